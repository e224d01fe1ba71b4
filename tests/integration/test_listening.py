"""The times for which flytrail says that it has listened: all there were, and none that lies in a gap."""

import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

AT_ONCE = 5  # they wait more than they work

EVERY = 2  # seconds between heartbeats
# The newest that came back is no older, or HEARTBEAT_MISSES after it are missed and it is a gap.
BEAT_AGE_MAX = 4 * EVERY
MARGIN = 10  # GAP_MARGIN_NS
BEATS_SECONDS = 120  # for some twenty or thirty of them


class Listening(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def beating(self):
        """A flytrail with a heartbeat, and who ships it; not started."""
        ft = self.world.flytrail(FLYTRAIL_HEARTBEAT_SECONDS=str(EVERY))
        return ft, self.enterContext(flytrail.Shipper(self.world.nats, ft))

    def check_touching(self, ranges):
        """They follow each other without a hole or an overlap; returns the whole."""
        for (_, until), (since, _) in zip(ranges, ranges[1:]):
            self.assertEqual(until, since)
        return ranges[0][0], ranges[-1][1]

    def check_no_gap_in(self, ranges):
        for gap in self.world.gaps():
            end = gap["end"] if gap["end"] is not None else float("inf")
            for since, until in ranges:
                self.assertLess(since, until)
                self.assertFalse(since < end and gap["start"] < until, (since, until, gap))

    def test_a_run_is_listened_to_from_its_first_subscription_to_its_end(self):
        ft, shipper = self.beating()
        begun = time.time()
        ft.start()
        connected = time.time()
        ft.await_event("heartbeat_returned")
        shipper.await_shipped(23, BEATS_SECONDS)  # facts are told once in ten beats
        ended = time.time()
        self.assertEqual(ft.stop(), 0)
        stopped = time.time()
        ranges = self.world.listened()
        self.assertGreaterEqual(len(ranges), 2)
        since, until = self.check_touching(ranges)
        self.assertTrue(begun < since - MARGIN < connected, (begun, since, connected))
        # Up to when the newest beat was made that came back.
        self.assertTrue(ended - BEAT_AGE_MAX < until + MARGIN < stopped, (ended, until, stopped))
        self.assertEqual(self.world.gaps(), [])
        shared = self.world.pg.psql("SELECT DISTINCT attributes ? 'shared', severity "
                                    "FROM flytrail.events WHERE action = 'trail.listening'")
        self.assertEqual(shared, [["f", "1"]])

    def test_without_heartbeats_and_in_a_queue_group_it_is_told_as_well(self):
        ft = self.world.flytrail(FLYTRAIL_QUEUE="group").start()
        begun = time.time()
        lab.wait_for(lambda: time.time() > begun + 2 * MARGIN + 6, 60, "more than two margins")
        self.assertEqual(ft.stop(), 0)
        (since, until), = self.world.listened()
        self.assertGreater(until - since, 2)
        self.assertEqual(self.world.pg.psql("SELECT attributes->>'shared' FROM flytrail.events "
                                            "WHERE action = 'trail.listening'"), [["true"]])

    def test_no_gap_is_listened_to_and_no_time_between_is_forgotten(self):
        ft, shipper = self.beating()
        ft.start()
        ft.await_event("heartbeat_returned")
        shipper.await_shipped(15, BEATS_SECONDS)
        shipper.stop()
        self.world.await_gap("heartbeat_missed", closed=False)
        shipper.resume()
        gap = self.world.await_gap("heartbeat_missed", closed=True)
        shipper.await_shipped(15, BEATS_SECONDS)
        self.world.nats.crash()
        self.world.await_gap("disconnect", closed=False)
        self.world.nats.restart()
        self.world.await_gap("disconnect", closed=True)
        self.assertEqual(ft.stop(), 0)
        ranges = self.world.listened()
        self.check_no_gap_in(ranges)
        silent, cut = self.world.gaps()
        # Up to the first gap, from its end to the second, and nothing after.
        before = [r for r in ranges if r[1] <= silent["start"]]
        between = [r for r in ranges if r[0] >= gap["end"]]
        self.assertEqual(before + between, ranges)
        self.assertEqual(self.check_touching(before)[1], silent["start"])
        self.assertEqual(self.check_touching(between)[0], silent["end"])
        self.assertLess(cut["start"] - between[-1][1], BEAT_AGE_MAX)

    def test_nobody_vouches_for_an_absence(self):
        ft, shipper = self.beating()
        ft.start()
        ft.await_event("heartbeat_returned")
        shipper.await_shipped(21, BEATS_SECONDS)
        lab.wait_for(self.world.listened, 60, "a fact of listening")
        ft.kill()
        killed = time.time()
        time.sleep(3)  # the absence
        back = time.time()
        ft.start()
        gap = self.world.await_gap("start", closed=True)
        shipper.await_shipped(13, BEATS_SECONDS)
        self.assertEqual(ft.stop(), 0)
        ranges = self.world.listened()
        self.check_no_gap_in(ranges)
        self.assertLess(gap["start"], killed - MARGIN)
        self.assertGreater(gap["end"], back + MARGIN)
        self.assertEqual(min(since for since, _ in ranges if since > killed), gap["end"])

    def test_a_quiet_time_that_was_listened_to_is_no_gap_after_a_restart(self):
        ft = self.world.flytrail().start()
        self.world.publish(10)
        self.world.await_rows(10)
        last = max(at for _, at in self.world.numbers())
        lab.wait_for(lambda: time.time() > last + 2 * MARGIN + 8, 60, "a time without a line")
        self.assertEqual(ft.stop(), 0)
        (_, until), = self.world.listened()
        self.assertGreater(until, last + MARGIN)
        ft.start()
        gap = self.world.await_gap("start", closed=True)
        self.assertEqual(gap["start"], until)


if __name__ == "__main__":
    unittest.main()
