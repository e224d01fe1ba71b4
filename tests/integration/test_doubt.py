"""What must not be taken for proof: failures on the way, empty answers, forged times, short lists."""

import json
import os
import random
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from backfill import DAY, HOUR, Backfill, iso  # noqa: E402

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Windows(Backfill):
    EXIT = "machine exited with exit code {}, not restarting"

    def setUp(self):
        super().setUp()
        self.began(5 * HOUR)
        self.hour = (int(time.time()) // HOUR - 3) * HOUR

    def exits(self, numbers, at):
        return [self.payload(self.EXIT.format(n), at=at + n, provider="runner") for n in numbers]

    def windows(self, **wanted):
        return [fact for fact in self.facts("trail.window_checked") if wanted.items() <= fact.items()]

    def add_to_copy(self, payloads):
        for payload in payloads:
            self.api.add_payload(payload)
        return payloads

    def age(self):
        """As if all had come more than an hour ago: what is younger is not judged yet."""
        self.world.pg.psql("SET session_replication_role = replica; UPDATE flytrail.events "
                           "SET stored_at = stored_at - interval '61 minutes'")

    def go_back(self):
        """So that, as it is aged, also what is of the hour after self.hour came more than an hour late."""
        self.began(6 * HOUR)
        self.hour -= HOUR

    def claims(self):
        return self.facts("trail.unconfirmed_line")

    def await_hours(self, back_to=None):
        """Hours are compared from the newest on: until that one is done, and so all after it."""
        first, end = (iso((back_to or self.hour) + seconds) for seconds in (0, HOUR))
        lab.wait_for(lambda: [w for w in self.windows(hour_done=True) if first <= w["window_start"] < end],
                     60, f"the hours back to {first} to be compared")

    def test_a_page_that_failed_after_it_was_read_is_read_again(self):
        both = self.add_to_copy(self.exits(range(3), self.hour + 600))
        self.store(both, api=False)
        self.add_to_copy([self.payload(f"lost {n}", at=self.hour + 700 + n) for n in range(3)])
        with self.held("LOCK TABLE flytrail.confirmations IN EXCLUSIVE MODE"):
            self.flytrail().start()
            waiting = ("FROM pg_stat_activity WHERE query LIKE 'INSERT INTO flytrail.confirmations%' "
                       "AND wait_event_type = 'Lock'")
            lab.wait_for(lambda: self.world.pg.psql(f"SELECT pid {waiting}"), 30, "the worker to wait")
            self.world.pg.psql(f"SELECT pg_terminate_backend(pid) {waiting}")
        lab.wait_for(lambda: self.messages("message LIKE 'lost%'"), 30, "the lost lines")
        self.assert_all_once()
        self.assertEqual(self.claims(), [])

    def test_a_window_is_not_its_hour(self):
        self.tell(self.hour + 1000, "window_checked", app="web-1", window_start=iso(self.hour + 600),
                  window_end=iso(self.hour + 660), state="agrees", lines_seen=1, lines_recovered=0)
        self.add_to_copy([self.payload(f"lost {n}", at=self.hour + 1200 + n) for n in range(3)])
        self.store(self.exits([9], self.hour + 1300), api=False)
        self.flytrail().start()
        lab.wait_for(self.claims, 30, "the forged line to be told")
        lab.wait_for(lambda: len(self.messages("message LIKE 'lost%'")) == 3, 30, "the lost lines")
        self.assert_all_once()

    def test_a_line_with_a_time_long_ago_is_judged_though_its_hour_is_done(self):
        self.store(self.exits(range(3), self.hour))
        ft = self.flytrail().start()
        self.await_hours()
        self.publish(self.exits([99], self.hour + 30), api=False)
        self.world.await_rows(4, "app = 'web-1'")
        self.assertEqual(ft.stop(), 0)
        self.age()
        ft.start()
        lab.wait_for(lambda: len(self.claims()) == 1, 30, "it to be told")
        self.assertEqual(self.claims()[0]["line_id"], self.ids_of("99")[0])

    def test_a_platform_line_without_a_time_is_none_of_flys(self):
        self.add_to_copy(self.exits([1], self.hour))
        line = json.dumps({**json.loads(self.payload(self.EXIT.format(98), provider="runner")), "timestamp": None})
        self.store([line.encode()], api=False)
        self.world.pg.psql("SET session_replication_role = replica; UPDATE flytrail.events "
                           f"SET occurred_at = to_timestamp({self.hour + 60}) WHERE message LIKE '%98%'")
        self.flytrail().start()
        lab.wait_for(self.claims, 30, "it to be told")

    def test_an_empty_answer_is_no_proof_against_lines(self):
        self.store(self.exits(range(3), self.hour), api=False)
        self.store(self.exits([7], self.hour + HOUR), api=False)
        self.api.add_app("web-1")
        self.flytrail().start()
        lab.wait_for(lambda: self.windows(state="not_checked"), 30, "an hour that shows nothing")
        self.await_hours()
        self.assertEqual([claim for claim in self.claims() if claim["line_id"] in self.ids_of("7")], [])

    def test_an_hour_that_takes_more_than_its_share_leaves_pages_for_its_claims(self):
        hour = self.newest_hour()
        quiet = [self.payload(f"quiet {n}", at=hour + 10 * n) for n in range(120)]
        burst = [self.payload(f"burst {n}", at=hour + 1800 + n * 0.01) for n in range(1500)]
        self.store(self.add_to_copy(quiet + burst) + self.exits([0], hour + 3000), api=False)
        # The gap of this start waits for longer than the test, and so do the windows around it.
        self.flytrail(FLYTRAIL_RECONCILE_PAGES_PER_HOUR="4", FLYTRAIL_BACKFILL_DELAY_SECONDS="300").start()
        lab.wait_for(self.claims, 30, "the forged line to be told")

    def forge(self, app):
        line = self.payload(self.EXIT.format(66), at=self.hour + 60, provider="runner", app=app)
        self.store([line], api=False, app=app)

    def test_a_line_in_the_name_of_an_application_that_never_was_is_forged(self):
        self.api.add_app("shop")
        self.forge("invented")
        self.flytrail().start()
        lab.wait_for(self.claims, 30, "it to be told")
        self.assertEqual([claim["app"] for claim in self.claims()], ["invented"])

    def test_an_application_that_was_destroyed_is_not_forged(self):
        self.api.add_app("shop")
        self.forge("doomed")  # which is looked at first
        self.forge("invented")
        self.world.pg.psql("INSERT INTO flytrail.confirmations SELECT event_id, occurred_at, 'http', now() "
                           "FROM flytrail.events WHERE app = 'doomed' LIMIT 1")
        late = self.payload(self.EXIT.format(67), at=self.hour + 70, provider="runner", app="doomed")
        self.store([late], api=False, app="doomed")
        self.age()
        self.flytrail().start()
        lab.wait_for(self.claims, 30, "the other to be told")
        self.assertEqual([claim["app"] for claim in self.claims()], ["invented"])

    def test_a_list_that_is_not_whole_proves_nothing_against_an_application(self):
        self.forge("invented")
        self.add_to_copy(self.exits([1], self.hour))
        self.forge("web-1")
        self.api.answer_apps = lambda connection, _: self.api.reply(connection, 200, b'{"apps":[],"total_apps":0}')
        self.flytrail().start()
        lab.wait_for(self.claims, 30, "the other to be told")
        self.await_closed()
        self.await_hours()
        self.assertEqual([claim["app"] for claim in self.claims()], ["web-1"])

    def test_an_empty_answer_is_no_proof_against_a_late_line(self):
        self.go_back()
        self.store(self.exits(range(3), self.hour), api=False)
        self.store(self.exits([7], self.hour + HOUR), api=False)
        self.age()
        self.api.add_app("web-1")
        self.flytrail().start()
        self.await_hours()
        self.assertEqual([claim for claim in self.claims() if claim["line_id"] in self.ids_of("7")], [])

    def test_a_forged_line_does_not_make_the_answer_about_later_ones_look_empty(self):
        self.go_back()
        self.store(self.add_to_copy(self.exits([1], self.hour - HOUR + 10)))
        ft = self.flytrail().start()
        self.await_hours(self.hour - HOUR)
        self.assertEqual(ft.stop(), 0)
        self.store(self.exits([66], self.hour + HOUR + 60), api=False)
        # Which Fly does not show either, and nobody knows yet when the other is looked for.
        self.store([self.payload("INFO Main child exited normally with code: 0", at=self.hour + 500),
                    *self.exits([55], self.hour + 600)], api=False)
        self.age()
        ft.start()
        lab.wait_for(lambda: len(self.claims()) == 2, 30, "both to be told")
        self.assertEqual({claim["line_id"] for claim in self.claims()}, {*self.ids_of("66"), *self.ids_of("55")})

    def test_a_listed_application_that_fly_denies_proves_nothing(self):
        self.forge("web-1")
        self.age()
        self.api.add_app("web-1")
        self.api.add_app("shop")
        self.api.misbehave("status", app="web-1", code=404)
        self.forge("invented")
        self.flytrail().start()
        lab.wait_for(self.claims, 30, "the other to be told")
        self.await_hours()
        self.assertEqual([claim["app"] for claim in self.claims()], ["invented"])

    def test_an_application_that_was_compared_before_is_not_forged(self):
        self.api.add_app("shop")
        self.forge("doomed")
        self.forge("invented")
        self.tell(self.hour - HOUR, "window_checked", app="doomed", window_start=iso(self.hour - 2 * HOUR),
                  window_end=iso(self.hour - HOUR), state="agrees", lines_seen=50, lines_recovered=0)
        self.flytrail().start()
        lab.wait_for(self.claims, 30, "the other to be told")
        self.assertEqual([claim["app"] for claim in self.claims()], ["invented"])

    def test_a_line_that_a_spool_delivers_when_its_hour_is_done_is_judged(self):
        self.store(self.add_to_copy(self.exits([1], self.hour)))
        ft = self.flytrail().start()
        self.await_hours()
        self.assertEqual(ft.stop(), 0)
        self.forge("web-1")
        self.world.pg.psql("SET session_replication_role = replica; UPDATE flytrail.events "
                           "SET observed_at = occurred_at + interval '1 second' WHERE message LIKE '%66%'")
        self.age()
        ft.start()
        lab.wait_for(self.claims, 30, "it to be told")
        self.assertEqual(self.claims()[0]["line_id"], self.ids_of("66")[0])

    def test_late_lines_of_one_moment_are_told_once_each(self):
        self.store(self.add_to_copy(self.exits([1], self.hour)))
        ft = self.flytrail().start()
        self.await_hours()
        self.assertEqual(ft.stop(), 0)
        moment = self.hour + 30
        self.store([self.payload(self.EXIT.format(n), at=moment, provider="runner") for n in range(100, 140)],
                   api=False)
        self.age()
        ft.start()
        lab.wait_for(lambda: len(self.claims()) >= 40, 30, "all to be told")
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(len(self.claims()), 40)

    def test_more_forged_lines_of_one_moment_than_are_looked_at_at_once_are_all_told(self):
        self.add_to_copy(self.exits([999], self.hour - 10))
        self.store([self.payload(self.EXIT.format(n), at=self.hour + 30, provider="runner") for n in range(300)],
                   api=False)
        self.flytrail().start()
        lab.wait_for(lambda: len(self.claims()) >= 300, 60, "all to be told")
        self.await_hours()
        self.assertEqual(len(self.claims()), 300)

    def test_names_that_are_none_of_flys_are_told_and_hold_up_nothing(self):
        self.add_to_copy(self.exits([1], self.hour))
        session = "2026/11/07 02:29:44 INFO New SSH session email=user@example.com verified=true"
        names = [self.payload(session, at=self.hour + 100 + n, app="x" * 100) for n in range(300)]
        self.store(names, api=False, app="x" * 100)
        self.store(self.exits([98], self.hour + 30), api=False)
        self.age()
        self.flytrail().start()
        lab.wait_for(lambda: len(self.claims()) == 301, 60, "all to be told")

    def test_what_follows_a_burst_is_compared_too(self):
        hour = self.newest_hour()
        burst = [self.payload(f"burst {n:03}", at=hour + n * 0.00001) for n in range(150)]
        self.store(self.add_to_copy(burst))
        self.add_to_copy([self.payload(f"lost {n}", at=hour + 20 + 10 * n) for n in range(350)])
        self.flytrail(FLYTRAIL_RECONCILE_PAGES_PER_HOUR="3600").start()
        lab.wait_for(lambda: len(self.messages("message LIKE 'lost%'")) == 350, 30, "the lost lines")

    def test_of_an_hour_that_is_too_long_minutes_are_compared(self):
        hour = self.newest_hour()
        self.add_to_copy([self.payload(f"many {n}", at=hour + 3 * n) for n in range(1200)])
        self.flytrail(FLYTRAIL_RECONCILE_PAGES_PER_HOUR="4", FLYTRAIL_BACKFILL_DELAY_SECONDS="300").start()
        first = iso(hour)
        lab.wait_for(lambda: self.windows(window_start=first), 30, "the beginning of the hour")
        lab.wait_for(lambda: [w for w in self.windows(app="web-1") if first < w["window_start"] < iso(hour + HOUR)],
                     30, "a minute of the rest")
        self.assertLess(self.windows(window_start=first)[0]["window_end"], iso(hour + HOUR))

    def test_the_hour_in_which_the_trail_began_is_compared_from_there_on(self):
        self.world.pg.psql("SET session_replication_role = replica; DELETE FROM flytrail.events")
        began = self.hour + 1800
        self.began(int(time.time()) - began)
        before = self.add_to_copy([self.payload("before", at=began - 100)])
        self.add_to_copy([self.payload(f"lost {n}", at=began + 100 + n) for n in range(3)])
        self.flytrail().start()
        lab.wait_for(lambda: len(self.messages("message LIKE 'lost%'")) == 3, 30, "the lost lines")
        self.assertEqual(len(before), 1)
        self.assertEqual(self.messages("message = 'before'"), [])

    def ids_of(self, number):
        return [row[0] for row in self.world.pg.psql(
            f"SELECT id FROM flytrail.log_lines WHERE message LIKE '%code {number},%'")]

    def test_every_forged_line_of_many_is_told_once(self):
        self.add_to_copy(self.exits([999], self.hour - 10))
        forged = [self.payload(self.EXIT.format(n), at=self.hour + 1 + n * 0.01, provider="runner")
                  for n in range(200)]
        self.store(forged, api=False)
        ft = self.flytrail().start()
        lab.wait_for(lambda: len(self.claims()) >= 200, 60, "all to be told")
        ft.kill()
        self.world.pg.psql("SET session_replication_role = replica; "
                           "DELETE FROM flytrail.events WHERE action = 'trail.window_checked'")
        ft.start()
        self.await_hours()
        self.assertEqual(len(self.claims()), 200)

    def test_lines_of_one_nanosecond_on_both_sides_of_a_page_are_found(self):
        at = self.hour + 600
        fill = [self.payload(f"fill {n:03}", at=at - 99 + n) for n in range(99)]
        stored, lost, later = (self.payload("tie stored", at=at), self.payload("tie lost", at=at),
                               self.payload("later", at=at + 5))
        self.add_to_copy([*fill, stored, lost, later])
        self.store([*fill, stored, later], api=False)
        self.flytrail().start()
        lab.wait_for(lambda: self.windows(state="recovered", lines_recovered=1), 30, "the window")
        self.assert_all_once()

    def test_a_keys_lost_line_is_recovered_as_redacted_as_the_others(self):
        dice = random.Random(1)
        words = ["-----BEGIN RSA PRIVATE KEY-----", *("".join(dice.choices(BASE64, k=64)) for _ in range(5)),
                 "tailOfKey" + "".join(dice.choices(BASE64, k=30)), "-----END RSA PRIVATE KEY-----"]
        key = self.add_to_copy([self.payload(word, at=self.hour + n * 0.001) for n, word in enumerate(words)])
        self.store(key[:6] + key[7:], api=False)
        self.flytrail().start()
        lab.wait_for(lambda: self.windows(state="recovered"), 30, "the window")
        self.assertEqual(len(self.messages()), len(words))
        self.assertEqual(self.messages("message LIKE '%tailOfKey%'"), [])


class Gaps(Backfill):
    def test_a_page_of_times_to_come_is_no_answer(self):
        self.store(self.lines(5, "before"))
        self.publish(self.lines(20, "lost"), nats=False)
        self.api.misbehave("future", app="web-1")
        ft = self.flytrail(FLYTRAIL_RECONCILE_PAGES_PER_HOUR="0").start()
        ft.await_event("worker_waits")
        self.assertEqual(self.gaps("state"), [["open"]])
        self.api.behave()
        self.await_closed()
        self.assertEqual(self.gaps("state"), [["filled"]])
        self.assert_all_once()

    def test_an_application_that_was_destroyed_in_a_gap_is_known_by_its_windows(self):
        self.api.add_app("web-1")
        self.tell(time.time() - 30, "window_checked", app="shop", window_start=iso(time.time() - 7200),
                  window_end=iso(time.time() - 3600), state="agrees", lines_seen=9, lines_recovered=0)
        self.store(self.lines(5))
        self.flytrail().start()
        self.await_closed()
        self.assertEqual(self.gaps("state"), [["partly_lost"]])
        self.assertIn("an application of that time is gone from Fly", self.gaps("why")[0][0])

    def test_fly_may_keep_less_than_it_says(self):
        now = time.time()
        self.api.reach_seconds = 5 * DAY
        self.store([self.payload("machine exited with exit code 0, not restarting", at=now - 6 * DAY - 60,
                                 provider="runner")])
        for n in range(3):
            self.api.add_payload(self.payload(f"lost {n}", at=now - 6 * DAY + n))
        self.tell(now - 6 * DAY, "gap_opened", gap="gap-1", reason="disconnect",
                  gap_start=iso(now - 6 * DAY - 10), gap_end=iso(now - 6 * DAY + 100))
        self.flytrail().start()
        self.await_closed()
        self.assertEqual(self.gaps("gap_id, state")[0], ["gap-1", "partly_lost"])
        self.assertIn("lines from before it are not there", self.gaps("why")[0][0])

    def test_a_witness_that_could_not_be_asked_for_is_asked_for_again(self):
        now = time.time()
        self.api.reach_seconds = 5 * DAY
        self.store([self.payload("machine exited with exit code 0, not restarting", at=now - 6 * DAY - 60,
                                 provider="runner")])
        self.tell(now - 6 * DAY, "gap_opened", gap="gap-1", reason="disconnect",
                  gap_start=iso(now - 6 * DAY - 10), gap_end=iso(now - 6 * DAY + 100))
        self.api.misbehave("status", 4, app="web-1", code=500)
        self.flytrail(FLYTRAIL_RECONCILE_PAGES_PER_HOUR="0").start()
        self.await_closed(timeout=120)
        self.assertEqual(self.gaps("gap_id, state")[0], ["gap-1", "partly_lost"])
        self.assertIn("lines from before it are not there", self.gaps("why")[0][0])

    def test_a_list_without_applications_is_not_the_organisations(self):
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        ft.kill()
        self.publish(self.lines(20, "new", app="new"), nats=False, app="new")
        self.api.answer_apps = lambda connection, _: self.api.reply(connection, 200, b'{"apps":[],"total_apps":0}')
        ft.start()
        self.await_closed()
        self.assertEqual(self.gaps("state"), [["partly_lost"]])

    def test_one_application_that_fly_cannot_show_holds_up_no_other(self):
        self.api.add_app("aaa")
        ft = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        ft.kill()
        self.publish(self.lines(20, "during"))
        self.api.misbehave("status", app="aaa", code=500)
        ft.start()
        lab.wait_for(lambda: len(self.messages("message LIKE 'during%'")) == 20, 90, "the other's lines")
        self.assertEqual([state for _, state in self.gaps()], ["open"])
        self.api.behave()
        self.await_closed(timeout=120)
        self.assertEqual(self.gaps("state"), [["filled"]])

    def test_a_gap_that_a_clock_turned_around_is_filled_from_its_end_to_its_start(self):
        now = time.time()
        self.publish([self.payload("between", at=now - 900)], nats=False)
        self.tell(now - 600, "gap_opened", gap="gap-1", reason="time_jump", gap_start=iso(now - 600),
                  gap_end=iso(now - 1200))
        self.flytrail().start()
        self.await_closed()
        self.assert_all_once()

    def test_what_is_missing_around_a_gap_is_followed_to_both_sides(self):
        start, end = time.time() - 1000, time.time() - 990
        self.store([self.payload("before", at=start - 500)])
        self.tell(end, "gap_opened", gap="gap-1", reason="disconnect", gap_start=iso(start), gap_end=iso(end))
        for n in (30, 90, 150):
            self.api.add_payload(self.payload(f"lost before {n}", at=start - n))
            self.api.add_payload(self.payload(f"lost after {n}", at=end + n))
        self.flytrail().start()
        lab.wait_for(lambda: len(self.messages("message LIKE 'lost%'")) == 6, 60, "the lost lines")
        self.assert_all_once()


class Replicas(Backfill):
    def test_who_has_lost_the_lease_tells_no_open_gaps(self):
        self.api.misbehave("status", code=500)
        self.tell(time.time() - 100, "gap_opened", gap="gap-1", reason="disconnect",
                  gap_start=iso(time.time() - 120), gap_end=iso(time.time() - 100))
        ft = self.flytrail().start()

        def worker():
            return ft.health()[1]["worker"]["value"]

        lab.wait_for(lambda: "1 gaps are open" in worker(), 60, "the open gap")
        self.world.pg.psql("UPDATE flytrail.leases SET holder = 'another', "
                           "expires_at = now() + interval '1 hour' WHERE name = 'recovery'")
        lab.wait_for(lambda: worker() == "well; 0 gaps are open", 120, "another to tell it")

    def test_a_replica_that_stores_nothing_leaves_the_work_to_others(self):
        one = self.flytrail().start()
        self.publish(self.lines(5, "before"))
        self.world.await_rows(5, "app = 'web-1'")
        lab.wait_for(lambda: self.world.pg.psql("SELECT 1 FROM flytrail.leases WHERE name = 'recovery'"), 30, "the lease")
        # Its rows are refused from now on, another's are not.
        self.world.pg.psql("UPDATE flytrail.streams SET epoch = epoch + 1")
        self.publish(self.lines(5, "refused"))
        one.await_event("store_parked")
        two = self.flytrail().start()
        self.tell(time.time() - 100, "gap_opened", gap="gap-1", reason="disconnect",
                  gap_start=iso(time.time() - 120), gap_end=iso(time.time() - 100))
        lab.wait_for(lambda: ["gap-1", "filled"] in self.gaps("gap_id, state"), 60, "the other to fill it")
        self.assertIn(f"{os.path.basename(two.folder)} ",
                      self.world.pg.psql("SELECT holder FROM flytrail.leases WHERE name = 'recovery'")[0][0])


if __name__ == "__main__":
    unittest.main()
