"""When the HTTP source says that it has listened: what it comes to read later is no hole."""

import glob
import os
import time
import unittest

import test_http_logs

import lab

SECOND = test_http_logs.SECOND


class Listening(test_http_logs.HttpCase):
    """What is vouched for; a word comes every ten heartbeats, and a line is never later than a second."""

    def setUp(self):
        super().setUp()
        self.api.add_app("web-1")

    def beating(self, **env):
        return self.flytrail(FLYTRAIL_HEARTBEAT_SECONDS="1", FLYTRAIL_BACKFILL_DELAY_SECONDS="1", **env)

    def await_word_of(self, moment):
        lab.wait_for(lambda: [1 for _, until in self.world.listened() if until > moment], 40,
                     "a word of listening")

    def test_a_quiet_hour_is_covered(self):
        ft = self.beating(SUBJECT="logs.web-1.>")  # which narrows nothing here
        hour_ago = time.time_ns() - 3600 * SECOND
        self.write_positions(ft, hour_ago - 3600 * SECOND, hour_ago, **{"web-1": hour_ago})
        ft.start()
        self.await_word_of(time.time())
        self.assertEqual(ft.stop(), 0)
        ranges = self.world.listened()
        self.assertAlmostEqual(ranges[0][0], hour_ago / SECOND, places=5)
        for (_, until), (since, _) in zip(ranges, ranges[1:]):
            self.assertEqual(until, since)
        status, text = self.coverage(ft, ranges[0][0], ranges[-1][1])
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"listening +100\.00 %")
        self.assertEqual(self.world.gaps(), [])

    def test_an_absence_that_is_read_afterwards_is_no_hole(self):
        ft = self.beating().start()
        self.await_word_of(0)
        ft.kill()
        self.add("web-1", 5)
        killed = time.time()
        lab.wait_for(lambda: time.time() > killed + 3, what="an absence")
        ft.start()
        self.await_word_of(time.time())
        self.await_lines("web-1", "numbered", 5)
        ft.kill()
        ranges = self.world.listened()
        self.assertLess(ranges[0][0], killed)
        status, text = self.coverage(ft, ranges[0][0], ranges[-1][1])
        self.assertEqual(status, 0, text)
        self.assertEqual(self.world.gaps(), [])

    def test_a_full_spool_makes_reading_wait_and_loses_nothing(self):
        ft = self.beating(FLYTRAIL_SPOOL_MAX_BYTES="64MiB").start()
        self.add("web-1", 10)
        self.await_lines("web-1", "numbered", 10)
        self.world.pg.stop()
        self.add("web-1", 10000, "long", more="x" * 8000)
        ft.await_event("spool_full", 60)
        self.assertEqual(ft.events("spool_full")[0]["intake"], "reading waits")
        self.world.pg.restart()
        self.await_lines("web-1", "long", 10000)
        self.await_word_of(time.time())
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.gaps(), [])
        ranges = self.world.listened()
        self.assertEqual(self.coverage(ft, ranges[0][0], ranges[-1][1])[0], 0)

    def test_what_the_spool_lost_is_filled_and_nothing_is_compared(self):
        count = 3000
        self.api.add_app("flytrail")  # else the list is not the organisation's, and no gap is `filled`
        ft = self.beating()
        hours_ago = time.time_ns() - 4 * 3600 * SECOND  # of which some could be compared at once
        self.write_positions(ft, hours_ago, hours_ago, **{"web-1": hours_ago})
        self.add("web-1", 1, "old", at=hours_ago + SECOND)
        ft.start()
        self.await_word_of(hours_ago / SECOND + 3 * 3600)
        self.world.pg.stop()
        self.add("web-1", count, "long", more="x" * 2000)
        last_ns = self.api.keys["web-1"][-1]
        # Else the next start would read them again.
        lab.wait_for(lambda: self.positions(ft).get("web-1", 0) >= last_ns - 1, 60, "positions")
        ft.kill()
        first = min(glob.glob(os.path.join(ft.folder, "spool", "*.seg")))
        with open(first, "r+b") as segment:
            segment.seek(2 * 1024 * 1024)
            segment.write(b"\xa5" * 4096)
        self.world.pg.restart()
        ft.start()
        closed = lab.wait_for(lambda: self.world.pg.psql(
            "SELECT reason, state, lines_recovered FROM flytrail.gaps WHERE state <> 'open'"), 90,
            "a gap that is filled")
        self.assertEqual(closed[0][:2], ["spool_damaged", "filled"])
        self.assertGreater(int(closed[0][2]), 0)
        self.await_lines("web-1", "long", count)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.pg.psql("SELECT count(*) FROM flytrail.events "
                                            "WHERE action = 'trail.window_checked'"), [["0"]])


if __name__ == "__main__":
    unittest.main()
