"""Holes are filled from Fly's second copy, and what is stored is compared with it."""

import contextlib
import json
import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import fly_api  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402

HOUR = 3600
DAY = 24 * HOUR
MACHINE = "0e286551c30586"


def iso_ns(ns):
    whole, part = divmod(ns, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:09}Z"


def iso(seconds):
    return iso_ns(int(seconds * 10**9))


class Backfill(unittest.TestCase):
    """A world with Fly's second copy, which is given each line that is published."""

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.world = self.stack.enter_context(flytrail.World())
        self.api = self.stack.enter_context(
            fly_api.FlyApi(token=self.world.nats.ORG[1], org=self.world.nats.ORG[0]))
        self.last_ns = 0
        self.sent = []

    def flytrail(self, **env):
        return self.world.flytrail(
            FLYTRAIL_API_URL=self.api.url, FLYTRAIL_MACHINES_URL=self.api.url,
            # No heartbeat, because nobody ships it, but words of listening each ten seconds.
            **{"FLYTRAIL_BACKFILL_DELAY_SECONDS": "1", "FLYTRAIL_HEARTBEAT_SECONDS": "1", "FLY_APP_NAME": "",
               "FLYTRAIL_RECONCILE_PAGES_PER_HOUR": "360000", **env})

    def payload(self, message, at=None, app="web-1", provider="app", machine=MACHINE):
        if at is None:
            at_ns = self.last_ns = max(self.last_ns + 1, time.time_ns())
        else:
            at_ns = int(at * 10**9)
        self.sent.append(message)
        return json.dumps({"event": {"provider": provider},
                           "fly": {"app": {"instance": machine, "name": app}, "region": "ams"},
                           "host": "0ad1", "log": {"level": "info"}, "message": message,
                           "timestamp": iso_ns(at_ns)}, separators=(",", ":")).encode()

    def publish(self, payloads, nats=True, api=True, app="web-1"):
        payloads = list(payloads)
        if api:
            for payload in payloads:
                self.api.add_payload(payload)
        if nats:
            self.world.nats.publish([(f"logs.{app}.ams.{MACHINE}", payload) for payload in payloads])

    def store(self, payloads, **ways):
        """By a flytrail that compares nothing, and has ended when this returns."""
        ft = self.flytrail(FLYTRAIL_RECONCILE_PAGES_PER_HOUR="0").start()
        self.publish(payloads, **ways)
        self.world.await_rows(len(payloads), "app = 'web-1'")
        self.assertEqual(ft.stop(), 0)

    def lines(self, count, word="line", **columns):
        return [self.payload(f"{word} {n}", **columns) for n in range(count)]

    def messages(self, where="true"):
        rows = self.world.pg.psql("SELECT message FROM flytrail.log_lines WHERE app <> 'flytrail' "
                                  f"AND {where} ORDER BY message")
        return [message for message, in rows]

    def gaps(self, columns="reason, state"):
        return self.world.pg.psql(f"SELECT {columns} FROM flytrail.gaps ORDER BY gap_start")

    def await_closed(self, count=1, timeout=60):
        """At least so many gaps, and none of them open."""
        def closed():
            states = [state for _, state in self.gaps()]
            return len(states) >= count and "open" not in states

        lab.wait_for(closed, timeout, f"{count} gaps to be closed")

    def tell(self, second, action, gap=None, **attributes):
        """A fact of another flytrail, by the superuser."""
        kind = "ensure_partition('security', to_timestamp(%f))" % second
        self.world.pg.psql(f"SELECT flytrail.{kind}")
        self.world.pg.psql(
            "INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis, "
            "observed_at, actor, actor_type, outcome, severity, trust, source, stream, seq, correlation_id, "
            f"attributes) VALUES (gen_random_uuid(), 'security', 'trail', 'trail.{action}', "
            f"to_timestamp({second}), 'observed', to_timestamp({second}), 'flytrail', 'flytrail', 'unknown', 4, "
            "'self', 'trail', '00000000-0000-4000-8000-000000000001', 1, "
            f"{'NULL' if gap is None else repr(gap)}, '{json.dumps(attributes)}')")

    def began(self, seconds_ago):
        """The trail listens since then, as far as the views know."""
        now = time.time()
        self.tell(now - seconds_ago + 1, "listening", listening_start=iso(now - seconds_ago),
                  listening_end=iso(now))

    def facts(self, action, columns="attributes"):
        rows = self.world.pg.psql(f"SELECT {columns} FROM flytrail.events WHERE action = '{action}' "
                                  "ORDER BY occurred_at, seq")
        return [json.loads(row[0]) if columns == "attributes" else row for row in rows]

    def assert_all_once(self):
        self.assertEqual(self.messages(), sorted(self.sent))


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

    def test_each_bad_answer_leaves_the_gap_open_and_the_next_good_one_fills_it(self):
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        for count, (kind, options) in enumerate((
                ("status", {"code": 500}), ("html", {}), ("truncated", {}), ("status", {"code": 401})), 1):
            with self.subTest(kind=kind, **options):
                ft.kill()
                self.publish(self.lines(20, f"during {kind} {options}"))
                self.api.misbehave(kind, **options)
                ft.start()
                asked = len(self.api.paths())
                lab.wait_for(lambda asked=asked: len(self.api.paths()) > asked + 2, 30, "requests")
                self.assertIn("open", [state for _, state in self.gaps()])
                self.api.behave()
                self.await_closed(count)
                self.assert_all_once()

    def test_strange_pages_are_taken_for_what_they_hold(self):
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        for count, kind in enumerate(("unsorted", "no_ids", "no_token"), 1):
            with self.subTest(kind=kind):
                ft.kill()
                self.publish(self.lines(250, f"during {kind}"))
                self.api.misbehave(kind)
                ft.start()
                self.await_closed(count)
                self.api.behave()
                self.assert_all_once()

    def test_a_gap_older_than_fly_keeps_is_lost_and_one_that_reaches_back_is_partly(self):
        now = time.time()
        self.tell(now - 9 * DAY, "gap_opened", gap="gap-lost", reason="disconnect",
                  gap_start=iso(now - 9 * DAY), gap_end=iso(now - 8 * DAY))
        self.tell(now - 8 * DAY, "gap_opened", gap="gap-part", reason="disconnect",
                  gap_start=iso(now - 8 * DAY), gap_end=iso(now - 6 * DAY))
        self.publish([self.payload("still there", at=now - 6.5 * DAY)], nats=False)
        self.flytrail().start()
        self.await_closed()
        self.assertEqual(self.gaps("gap_id, state, lines_recovered"),
                         [["gap-lost", "lost", "0"], ["gap-part", "partly_lost", "1"]])
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

    def test_a_restart_goes_on_where_it_was(self):
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        ft.kill()
        self.publish(self.lines(3000, "during"))
        for _ in range(4):
            ft.start()
            lab.wait_for(lambda: self.api.pages_asked("web-1"), 30, "a page to be asked for")
            ft.kill()
        ft.start()
        self.await_closed()
        self.assert_all_once()


class Compared(Backfill):
    EXIT = "machine exited with exit code {}, not restarting"

    def setUp(self):
        super().setUp()
        self.began(5 * HOUR)
        self.at = time.time() - 2.5 * HOUR

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


class Replicas(Backfill):
    def test_what_another_replica_took_is_covered_and_fly_is_not_asked(self):
        one, other = self.flytrail().start(), self.flytrail().start()
        self.publish(self.lines(20, "both"))
        lab.wait_for(lambda: len({row[0] for row in self.facts("trail.listening", "stream")}) == 2, 60,
                     "both to vouch for their time")
        one.kill()
        self.publish(self.lines(20, "one is dead"))
        one.start()
        self.publish(self.lines(20, "again both"))
        self.await_closed()
        self.assert_all_once()
        self.assertEqual(self.gaps("state, why"),
                         [["covered", f"replica {os.path.basename(other.folder)} took the lines of that time"]])
        self.assertEqual(self.messages("source = 'http'"), [])


if __name__ == "__main__":
    unittest.main()
