"""flytrail's own lines have to come back by the log stream; while they do not, that is a gap."""

import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

AT_ONCE = 2  # they wait more than they work

EVERY = 2  # seconds: three in a row are missed where the shipper, or anybody else, stands still for six
MISSES = 3  # HEARTBEAT_MISSES
MARGIN = flytrail.MARGIN_SECONDS
BEAT = r"^flytrail heartbeat machine=%s nonce=[0-9a-f]{16} count=[0-9]+$"


class Case(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def beating(self, **env):
        """A flytrail with a heartbeat, and who ships it; not started."""
        ft = self.world.flytrail(FLYTRAIL_HEARTBEAT_SECONDS=str(EVERY), **env)
        return ft, self.enterContext(flytrail.Shipper(self.world.nats, ft))


class Heartbeat(Case):
    def test_beats_that_come_back_open_nothing_and_are_lines_of_the_own_app(self):
        ft, shipper = self.beating()
        ft.start()
        ft.await_event("heartbeat_returned")
        shipper.await_shipped(6)
        for line in shipper.lines:
            self.assertRegex(line, BEAT % "ft0")
        self.assertEqual(len(set(shipper.lines)), len(shipper.lines))
        self.world.await_rows(6, "message LIKE 'flytrail heartbeat %'")
        self.assertEqual(self.world.pg.psql("SELECT DISTINCT app, class, machine_id FROM flytrail.log_lines"),
                         [["flytrail", "app_log", "ft0"]])
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.gaps(), [])
        self.assertEqual(ft.events("heartbeat_missed"), [])

    def test_beats_that_stay_away_are_a_gap_until_one_comes_by_a_fresh_connection(self):
        ft, shipper = self.beating()
        ft.start()
        ft.await_event("heartbeat_returned")
        well = time.time()
        shipper.await_shipped(3)
        shipper.stop()
        stopped = time.time()
        gap = self.world.await_gap("heartbeat_missed", closed=False)
        self.assertIsNone(gap["end"])
        flytrail.check_moment(gap["start"] + MARGIN, well, stopped)
        ft.await_event("heartbeat_missed")
        self.assertIn(ft.events("heartbeat_missed")[0]["missed"], (MISSES, MISSES + 1))
        if "heartbeat" in ft.health()[1]:
            self.assertEqual(ft.health()[0], 503)
            self.assertFalse(ft.health()[1]["heartbeat"]["ok"])
        shipper.await_printed(8)  # and it goes on trying
        reasons = [line["error"] for line in ft.events("source_disconnected")]
        self.assertTrue(any("own lines" in reason for reason in reasons), reasons)
        self.world.publish(100)  # the stream itself works all the time
        self.world.await_rows(100, "message LIKE 'numbered %'")
        resumed = time.time()
        shipper.resume()
        gap = self.world.await_gap("heartbeat_missed", closed=True)
        flytrail.check_moment(gap["end"] - MARGIN, resumed, time.time())
        shipper.await_shipped(3)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(len(self.world.gaps()), 1, self.world.gaps())
        self.assertEqual(len(ft.events("heartbeat_returned")), 2)

    def test_old_beats_and_those_of_others_do_not_count(self):
        ft, shipper = self.beating()
        ft.start()
        shipper.await_shipped(3)
        old = list(shipper.lines)
        shipper.stop()
        forged = [old[-1], old[0], "flytrail heartbeat machine=ft0 nonce=0000000000000000 count=9"]

        def forge_until_missed():
            for line in forged:
                shipper.publish(line)
            return self.world.gaps("heartbeat_missed")

        lab.wait_for(forge_until_missed, 30, "a gap in spite of forged beats")
        shipper.await_printed(4)
        for line in forged:
            shipper.publish(line)
        shipper.await_printed(2)
        self.assertIsNone(self.world.gaps("heartbeat_missed")[0]["end"])
        self.assertEqual(len(ft.events("heartbeat_returned")), 1)

    def test_a_narrow_subject_does_not_hide_them(self):
        ft, shipper = self.beating(SUBJECT="logs.web.>")
        ft.start()
        ft.await_event("heartbeat_returned")
        shipper.await_shipped(6)
        self.assertEqual(self.world.count(), 0)  # what was not asked for is not kept
        shipper.stop()
        self.world.await_gap("heartbeat_missed", closed=False)
        shipper.resume()
        self.world.await_gap("heartbeat_missed", closed=True)

    def test_replicas_that_share_lines_see_their_own_each(self):
        pairs = [self.beating(FLYTRAIL_QUEUE="group") for _ in range(2)]
        for ft, _ in pairs:
            ft.start()
            ft.await_event("heartbeat_returned")
        for _, shipper in pairs:
            shipper.await_shipped(6)
        self.assertEqual(self.world.gaps(), [])
        pairs[0][1].stop()
        self.world.await_gap("heartbeat_missed", closed=False)
        pairs[1][1].await_shipped(4)
        self.assertEqual(len(pairs[1][0].events("heartbeat_missed")), 0)
        self.assertEqual(len(self.world.gaps("heartbeat_missed")), 1)
        for ft, _ in pairs:
            self.assertEqual(ft.stop(), 0)
        rows = self.world.pg.psql("SELECT message FROM flytrail.log_lines")
        self.assertEqual(len({message for message, in rows}), len(rows))  # shared, not doubled

    def test_a_connection_that_is_down_is_one_gap_whatever_is_missed_meanwhile(self):
        ft, shipper = self.beating()
        ft.start()
        ft.await_event("heartbeat_returned")
        self.world.nats.crash()
        self.world.await_gap("disconnect", closed=False)
        printed = len(shipper.lines)
        time.sleep(5 * EVERY)  # time in which nothing may happen
        self.assertLess(len(shipper.lines) - printed, 4)  # nobody prints what cannot come back
        self.world.nats.restart()
        self.world.await_gap("disconnect", closed=True)
        shipper.await_shipped(4)
        self.assertEqual([gap["reason"] for gap in self.world.gaps()], ["disconnect"])

    def test_off_fly_there_is_none_and_no_gap_for_it(self):
        ft, shipper = self.beating(FLY_APP_NAME="")
        ft.start()
        self.world.publish(100)
        self.world.await_rows(100)
        time.sleep(5 * EVERY)  # time in which nothing may happen
        self.assertEqual(shipper.lines, [])
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.gaps(), [])

    def test_a_token_that_may_not_read_its_own_lines_keeps_the_stream(self):
        path = os.path.join(self.world.nats.folder, "nats.conf")
        with open(path, encoding="utf-8") as conf:
            text = conf.read()
        self.world.nats.crash()
        with open(path, "w", encoding="utf-8") as conf:
            conf.write(text.replace('allow: ["logs.>"', 'allow: ["logs.web.>"'))
        self.world.nats.launch(["setpriv", "--pdeathsig", "KILL", lab.NATS_SERVER, "-c", path])
        self.world.nats.await_ready(self.world.nats.accepts)
        ft, shipper = self.beating(SUBJECT="logs.web.>")
        ft.start()
        ft.await_event("heartbeat_missed")
        self.assertIn("token", ft.events("heartbeat_missed")[0]["error"])
        self.world.nats.publish([("logs.web.ams.m", b"a line of web")])
        self.world.await_rows(1)
        time.sleep(5 * EVERY)  # time in which nothing may happen
        self.assertEqual(self.world.gaps(), [])
        self.assertEqual(len(ft.events("source_disconnected")), 0)
        self.assertEqual(shipper.lines, [])


class Stdout(Case):
    def check_it_stores_lines(self, ft):
        ft.await_event("heartbeat_missed")
        self.assertIn("standard output", ft.events("heartbeat_missed")[0]["error"])
        self.world.publish(1000)
        self.world.await_rows(1000)
        time.sleep(4 * EVERY)  # time in which nothing may happen
        self.world.publish(1000, first=1000)
        self.world.await_rows(2000)
        self.assertEqual(ft.stop(), 0)
        # What could not be printed says nothing about the stream.
        self.assertEqual(self.world.gaps(), [])

    def test_a_pipe_that_nobody_reads_stops_nothing(self):
        ft = self.world.flytrail(FLYTRAIL_HEARTBEAT_SECONDS=str(EVERY))
        reading, ft.stdout = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, ft.stdout)
        os.set_blocking(ft.stdout, False)
        with self.assertRaises(BlockingIOError):
            while True:
                os.write(ft.stdout, b"x" * 4096)
        os.set_blocking(ft.stdout, True)
        ft.start()
        self.check_it_stores_lines(ft)

    def test_a_pipe_whose_reader_is_gone_stops_nothing(self):
        ft = self.world.flytrail(FLYTRAIL_HEARTBEAT_SECONDS=str(EVERY))
        reading, ft.stdout = os.pipe()
        self.addCleanup(os.close, ft.stdout)
        os.close(reading)
        ft.start()
        self.check_it_stores_lines(ft)

    def test_a_stdout_that_is_closed_stops_nothing_and_spoils_no_file(self):
        ft = self.world.flytrail(FLYTRAIL_HEARTBEAT_SECONDS=str(EVERY))
        ft.closed = (0, 1)
        ft.start()
        spool = ft.env["FLYTRAIL_SPOOL_DIR"]
        self.check_it_stores_lines(ft)
        for name in os.listdir(spool):
            with open(os.path.join(spool, name), "rb") as file:
                self.assertNotIn(b"flytrail heartbeat", file.read(), name)


if __name__ == "__main__":
    unittest.main()
