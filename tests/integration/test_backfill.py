"""Holes are filled from Fly's second copy, or it is said why not."""

import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from backfill import DAY, Backfill, iso  # noqa: E402


class Gaps(Backfill):
    def test_what_was_printed_while_flytrail_was_dead_is_filled_in(self):
        ft = self.flytrail().start()
        self.publish(self.lines(50, "before"))
        self.world.await_rows(50, "app = 'web-1'")
        ft.kill()
        self.publish(self.lines(350, "during"))
        ft.start()
        self.publish(self.lines(50, "after"))
        self.await_closed()
        self.assert_all_once()
        self.assertEqual(self.gaps("reason, state, lines_recovered"), [["start", "filled", "350"]])
        self.assertEqual([found["lines_recovered"] for found in self.facts("trail.gap_progress")
                          if "lines_recovered" in found], [350])
        self.assertEqual(len(self.messages("source = 'http'")), 350)
        self.assertEqual(ft.stop(), 0)

    def test_what_was_printed_while_the_stream_was_away_is_filled_in_for_every_application(self):
        ft = self.flytrail().start()
        self.publish(self.lines(10, "before"))
        self.world.await_rows(10, "app = 'web-1'")
        self.world.nats.crash()
        for app in ("web-1", "web-2", "quiet"):
            self.publish(self.lines(3 if app == "quiet" else 120, app, app=app), nats=False)
        ft.await_event("source_disconnected")
        self.world.nats.restart()
        self.await_closed()
        self.assert_all_once()
        self.assertEqual([state for _, state in self.gaps()], ["filled"] * len(self.gaps()))

    def asked(self):
        """How often anything of the logs was asked for: the watcher asks for other things."""
        return sum(path == "/v1/apps" or path.endswith("/logs")
                   for path in (path.split("?")[0] for path in self.api.paths()))

    def test_each_bad_answer_leaves_the_gap_open_and_the_next_good_one_fills_it(self):
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        for kind, options in (("status", {"code": 500}), ("html", {}), ("truncated", {})):
            with self.subTest(kind=kind, **options):
                ft.kill()
                self.publish(self.lines(20, f"during {kind} {options}"))
                self.api.misbehave(kind, **options)
                ft.start()
                lab.wait_for(lambda: "open" in [state for _, state in self.gaps()], 60, "the gap")
                asked = self.asked()
                lab.wait_for(lambda asked=asked: self.asked() > asked + 2, 60, "requests")
                self.assertIn("open", [state for _, state in self.gaps()])
                self.api.behave()
                self.await_filled()

    def test_strange_pages_are_taken_for_what_they_hold(self):
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        for kind in ("unsorted", "no_ids", "no_token"):
            with self.subTest(kind=kind):
                ft.kill()
                self.publish(self.lines(250, f"during {kind}"))
                self.api.misbehave(kind)
                ft.start()
                self.await_filled()
                self.api.behave()

    def test_a_gap_older_than_fly_keeps_is_lost_and_one_that_reaches_back_is_partly(self):
        now = time.time()
        self.tell(now - 9 * DAY, "gap_opened", gap="gap-lost", reason="disconnect",
                  gap_start=iso(now - 9 * DAY), gap_end=iso(now - 8 * DAY))
        self.tell(now - 8 * DAY, "gap_opened", gap="gap-part", reason="disconnect",
                  gap_start=iso(now - 8 * DAY), gap_end=iso(now - 6 * DAY))
        self.publish([self.payload("still there", at=now - 6.5 * DAY)], nats=False)
        ft = self.flytrail().start()
        self.await_closed()
        self.assertEqual(self.gaps("gap_id, state, lines_recovered"),
                         [["gap-lost", "lost", "0"], ["gap-part", "partly_lost", "1"]])
        lab.wait_for(lambda: ft.metric("gaps_lost_total") == 2, what="both to be counted")
        self.assertEqual(self.facts("trail.gap_closed", "severity"), [["4"], ["4"]])
        self.assert_all_once()

    def test_an_application_that_is_gone_from_fly_leaves_its_gap_partly_lost(self):
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.publish([self.payload("machine exited with exit code 0, not restarting", app="gone",
                                   provider="runner")], app="gone")
        self.world.await_rows(6, "app <> 'flytrail'")
        ft.kill()
        self.publish(self.lines(20, "during"))
        self.api.remove_app("gone")
        ft.start()
        self.await_closed()
        self.assert_all_once()
        self.assertEqual(self.gaps("state"), [["partly_lost"]])
        self.assertIn("gone from Fly", self.gaps("why")[0][0])

    def test_what_is_on_its_way_to_postgres_is_not_missing(self):
        ft = self.flytrail(FLYTRAIL_BACKFILL_DELAY_SECONDS="3").start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        ft.kill()
        self.publish(self.lines(20, "during"))
        ft.start()
        lab.wait_for(self.gaps, 60, "the gap")
        due = float(self.gaps("extract(epoch FROM gap_end)")[0][0]) + 3
        with self.held("SELECT FROM flytrail.streams FOR UPDATE"):
            # In the gap, because that ends ten seconds after the start; and not stored, because the
            # cursor cannot be moved.
            self.publish(self.lines(30, "within"))
            # Which it does with the list of applications.
            lab.wait_for(lambda: [r for r in list(self.api.requests)
                                  if r.at > due and r.target.startswith("/v1/apps?")], 60, "the pass to begin")
        self.await_closed()
        self.assert_all_once()
        self.assertEqual(self.gaps("state, lines_recovered"), [["filled", "20"]])

    def test_an_application_that_nobody_knew_of_is_asked_for(self):
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        ft.kill()
        ft.start()
        self.await_closed()
        self.world.nats.crash()
        self.publish(self.lines(150, "new", app="new"), nats=False)
        ft.await_event("source_disconnected")
        self.world.nats.restart()
        self.await_closed(2)
        self.assert_all_once()

    def test_a_list_of_applications_that_is_refused_leaves_its_gap_partly_lost(self):
        self.api.misbehave("status", app="", code=403)
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        ft.kill()
        self.publish(self.lines(20, "during"))
        ft.start()
        self.await_closed(timeout=120)
        self.assert_all_once()
        self.assertEqual(self.gaps("state"), [["partly_lost"]])
        self.assertIn("list of applications", self.gaps("why")[0][0])

    def test_a_restart_goes_on_where_it_was(self):
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        ft.kill()
        self.publish(self.lines(3000, "during"))
        for _ in range(4):
            ft.start()
            lab.wait_for(lambda: self.api.pages_asked("web-1"), 60, "a page to be asked for")
            ft.kill()
        ft.start()
        self.await_closed()
        self.assert_all_once()


class Replicas(Backfill):
    def each_vouches_for_when_the_other_began(self):
        """The gap of one that is killed begins where it vouched last: the other must have begun by then."""
        since, until = {}, {}
        for stream, start, end in self.facts("trail.listening", "stream, attributes->>'listening_start', "
                                                                "attributes->>'listening_end'"):
            since[stream] = min(start, since.get(stream, start))
            until[stream] = max(end, until.get(stream, end))
        return len(since) == 2 and max(since.values()) < min(until.values())

    def one_is_dead_for_a_while(self, delay="1", **others):
        """Two replicas, of which one is killed and comes back; returns the other."""
        both = {"FLYTRAIL_BACKFILL_DELAY_SECONDS": delay}
        one, other = self.flytrail(**both).start(), self.flytrail(**both, **others).start()
        self.publish(self.lines(20, "both"))
        lab.wait_for(self.each_vouches_for_when_the_other_began, 60, "both to vouch for their time")
        one.kill()
        self.publish(self.lines(20, "one is dead"))
        one.start()
        self.publish(self.lines(20, "again both"))
        self.await_closed(timeout=120)
        self.assert_all_once()
        return other

    def test_what_another_replica_took_is_covered_and_fly_is_not_asked(self):
        # The other says each ten seconds that it is alive, and is waited for no longer than the delay.
        other = self.one_is_dead_for_a_while(delay="15")
        self.assertEqual(self.gaps("state, why"),
                         [["covered", f"replica {os.path.basename(other.folder)} took the lines of that time"]])
        self.assertEqual(self.messages("source = 'http'"), [])

    def test_who_listens_to_a_part_covers_nothing_of_another(self):
        self.one_is_dead_for_a_while(SUBJECT="logs.other.>")
        self.assertEqual(self.gaps("state, lines_recovered"), [["filled", "20"]])


if __name__ == "__main__":
    unittest.main()
