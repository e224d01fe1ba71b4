"""What is stored is compared with Fly's second copy."""

import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from backfill import HOUR, Backfill  # noqa: E402


class Compared(Backfill):
    EXIT = "machine exited with exit code {}, not restarting"

    def setUp(self):
        super().setUp()
        self.began(5 * HOUR)
        # In the middle of an hour: lines of some seconds are in one window.
        self.at = (int(time.time()) // HOUR - 3) * HOUR + HOUR / 2

    def windows(self, **wanted):
        return [fact for fact in self.facts("trail.window_checked") if wanted.items() <= fact.items()]

    def test_a_line_that_the_stream_lost_is_found_and_its_window_says_so(self):
        self.publish([self.payload(f"lost {n}", at=self.at + n) for n in range(3)], nats=False)
        self.flytrail().start()
        lab.wait_for(lambda: self.windows(state="recovered", lines_recovered=3), 30, "the window")
        self.assert_all_once()

    def test_events_that_fly_has_too_are_confirmed_and_others_are_told(self):
        both = [self.payload(self.EXIT.format(1), at=self.at, provider="runner")]
        claims = [self.payload(self.EXIT.format(2), at=self.at + 1, provider="runner"),
                  *self.lines(1, "guest", at=self.at + 2)]
        for payload in both:
            self.api.add_payload(payload)
        self.store(both + claims, api=False)
        ft = self.flytrail().start()
        lab.wait_for(lambda: self.facts("trail.unconfirmed_line"), 30, "the claim to be told")
        self.assertEqual(
            self.world.pg.psql("SELECT l.message FROM flytrail.events e JOIN flytrail.log_lines l "
                               "ON l.id::text = e.correlation_id WHERE e.action = 'trail.unconfirmed_line'"),
            [[self.EXIT.format(2)]])
        self.assertEqual(self.facts("trail.unconfirmed_line", "severity"), [["4"]])
        self.assertEqual(
            self.world.pg.psql("SELECT message, assurance FROM flytrail.timeline WHERE message LIKE '%exited%' "
                               "ORDER BY occurred_at"),
            [[self.EXIT.format(1), "confirmed"], [self.EXIT.format(2), "claimed"]])
        self.assertEqual(ft.stop(), 0)

    def test_a_busy_hour_is_compared_in_part_and_each_claim_of_it_is_looked_for(self):
        hour = self.newest_hour()
        # More than half of its pages hold.
        burst = [self.payload(f"burst {n}", at=hour + 0.001 + n * 2e-6) for n in range(350)]
        both = [self.payload(self.EXIT.format(1), at=hour + 1860, provider="runner")]
        claim = [self.payload(self.EXIT.format(2), at=hour + 1800, provider="runner")]
        for payload in burst + both:
            self.api.add_payload(payload)
        self.store(burst + both + claim, api=False)
        # The gap of this start waits for longer than the test, and so do the windows around it.
        self.flytrail(FLYTRAIL_RECONCILE_PAGES_PER_HOUR="4", FLYTRAIL_BACKFILL_DELAY_SECONDS="300").start()
        lab.wait_for(lambda: self.facts("trail.unconfirmed_line"), 30, "the claim to be told")
        self.assertEqual(self.world.pg.psql("SELECT count(*) FROM flytrail.confirmations WHERE source = 'http'"),
                         [["1"]])
        self.assertEqual(len(self.facts("trail.unconfirmed_line")), 1)
        parts = [window for window in self.windows() if window.get("lines_seen")]
        self.assertTrue(parts)
        self.assertFalse([part for part in parts if part["window_end"].endswith(":00:00.000000000Z")
                          and part["window_start"].endswith(":00:00.000000000Z")], "an hour, not parts of it")

    def test_the_same_nanosecond_with_another_text_is_counted_and_not_stored_twice(self):
        self.store([self.payload(self.EXIT.format(1), at=self.at, provider="runner")], api=False)
        self.publish([self.payload(self.EXIT.format(7), at=self.at, provider="runner")], nats=False)
        self.flytrail().start()
        lab.wait_for(lambda: self.windows(id_mismatches=1), 30, "the mismatch")
        self.assertEqual(self.messages(), [self.EXIT.format(1)])
        self.assertEqual(self.facts("trail.unconfirmed_line"), [])
        self.assertEqual(self.world.pg.psql("SELECT source FROM flytrail.confirmations"), [["http_differs"]])

    def test_two_lines_of_one_nanosecond_are_two_and_the_lost_one_is_found(self):
        self.store([self.payload("first of a nanosecond", at=self.at)])
        self.publish([self.payload("second of a nanosecond", at=self.at)], nats=False)
        self.flytrail().start()
        lab.wait_for(lambda: self.windows(state="recovered", lines_recovered=1), 30, "the window")
        self.assert_all_once()

    def test_nothing_is_compared_without_a_budget(self):
        self.publish([self.payload("lost", at=self.at)], nats=False)
        ft = self.flytrail(FLYTRAIL_RECONCILE_PAGES_PER_HOUR="0").start()
        self.publish(self.lines(3))
        self.world.await_rows(3, "app = 'web-1'")
        ft.kill()
        ft.start()
        self.await_closed()  # which takes pages of that time alone
        self.assertNotIn("lost", self.messages())
        self.assertEqual(self.facts("trail.window_checked"), [])


if __name__ == "__main__":
    unittest.main()
