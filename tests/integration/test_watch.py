"""What the logs never say: changes of Fly's control plane become facts."""

import os
import sys
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from backfill import Backfill, now  # noqa: E402

AT_ONCE = 4  # they wait more than they work
KEY = "an-example-of-a-key-of-ones-own"


class Watching(Backfill):
    def setUp(self):
        super().setUp()
        self.api.add_app("web-1")

    def watching(self, **env):
        return self.flytrail(**{"FLYTRAIL_WATCH_FULL_SECONDS": "1", "FLYTRAIL_RECONCILE_PAGES_PER_HOUR": "0",
                                "FLYTRAIL_HMAC_KEY": KEY, **env})

    def changes(self, columns="change, secret_name, app"):
        return self.world.pg.psql(f"SELECT {columns} FROM flytrail.secret_changes ORDER BY changed_at, secret_name")

    def await_changes(self, count):
        lab.wait_for(lambda: len(self.changes()) >= count, 60, f"{count} changes")
        self.assertEqual(len(self.changes()), count)

    def await_baseline(self, app="web-1"):
        lab.wait_for(lambda: self.world.pg.psql("SELECT 1 FROM flytrail.snapshots WHERE resource = 'secrets' "
                                                f"AND scope = '{app}'"), 30, "the baseline")

    def polls(self):
        return sum(path.endswith("/secrets") for path in self.api.paths())

    def await_polls(self, count):
        before = self.polls()
        lab.wait_for(lambda: self.polls() >= before + count, 60, f"{count} polls")

    def answer_empty_once(self, what):
        """A list of web-1's, in one answer and no other, and then in three."""
        self.api.misbehave("answer", 1, app=f"web-1/{what}", body=b'{"secrets":[],"ips":[]}')
        lab.wait_for(lambda: not self.api.faults, 60, "the empty answer")
        self.await_polls(3)


class Apps(Watching):
    def apps(self, columns):
        return self.world.pg.psql(f"SELECT {columns} FROM flytrail.events WHERE action LIKE 'deploy.app_%' "
                                  "ORDER BY occurred_at")

    def test_an_application_that_comes_and_goes_is_told_with_an_interval(self):
        self.watching().start()
        self.await_baseline()
        self.api.add_app("shop")
        there = time.time()
        lab.wait_for(lambda: len(self.apps("1")) == 1, 30, "the new application")
        self.await_baseline("shop")
        gone = now()
        self.api.remove_app("shop")
        lab.wait_for(lambda: len(self.apps("1")) == 2, 30, "its end")
        self.assertEqual(self.apps("action, app, target_type, target, actor, actor_type, time_basis, trust"),
                         [[f"deploy.app_{what}", "shop", "app", "shop", "unknown", "unknown", "interval", "api"]
                          for what in ("created", "deleted")])
        looks = [request.at for request in list(self.api.requests) if request.target.startswith("/v1/apps?")]
        (since, created), (deleted, until) = [list(map(float, moments)) for moments in self.apps(
            "extract(epoch FROM occurred_at), extract(epoch FROM not_after)")]
        self.assertTrue(since < there and since < created and deleted < until and gone < until < time.time())
        # From the look before to the one that showed it: only that one is asked for in the meantime.
        for begin, end in ((since, created), (deleted, until)):
            self.assertEqual(len([at for at in looks if begin < at < end]), 2, (begin, end, looks))


class Secrets(Watching):
    def test_what_there_was_before_is_one_baseline_and_no_change(self):
        self.api.secrets_set("web-1", OLD="1", OLDER="2")
        ft = self.watching().start()
        self.await_baseline()
        self.await_polls(3)
        self.assertEqual(self.changes(), [])
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.pg.psql(
            "SELECT target, summary FROM flytrail.events WHERE action = 'trail.baseline' AND app = 'web-1' "
            "AND target = 'secrets'"),
            [["secrets", "2 of secrets of web-1 when flytrail first looked"]])

    def test_a_secret_that_is_set_updated_and_unset_is_named_with_its_time(self):
        self.watching().start()
        self.await_baseline()
        before = now()
        self.api.secrets_set("web-1", TOKEN="first")
        self.await_changes(1)
        self.api.secrets_set("web-1", TOKEN="second")
        self.await_changes(2)
        after = time.time()
        self.api.secrets_unset("web-1", "TOKEN")
        self.await_changes(3)
        self.assertEqual(self.changes("change, secret_name, app, actor_type, trust"),
                         [[change, "TOKEN", "web-1", "unknown", "api"] for change in ("set", "updated", "unset")])
        moments = self.changes("extract(epoch FROM changed_at), extract(epoch FROM not_after)")
        for exact, none in moments[:2]:
            self.assertTrue(before <= float(exact) <= after, moments)
            self.assertIsNone(none)
        since, until = moments[2]
        self.assertLess(float(since), float(until))
        self.assertLess(float(until), time.time())

    def test_neither_value_nor_digest_is_anywhere(self):
        ft = self.watching().start()
        self.await_baseline()
        self.api.secrets_set("web-1", TOKEN="first")
        self.await_changes(1)
        digest = self.api.secrets["web-1"]["TOKEN"]["digest"]
        self.assertEqual(ft.stop(), 0)
        rows = self.world.pg.psql("SELECT row_to_json(e)::text FROM flytrail.events e "
                                  "UNION ALL SELECT content::text FROM flytrail.snapshots")
        self.assertNotIn(digest, str(rows))
        self.assertNotIn(KEY, str(rows))
        self.assertIn("digest_mac", str(rows))

    def test_a_list_that_is_empty_once_is_no_removal(self):
        self.api.secrets_set("web-1", TOKEN="first")
        self.watching().start()
        self.await_baseline()
        self.answer_empty_once("secrets")
        self.assertEqual(self.changes(), [])

    def test_what_changed_while_flytrail_was_dead_is_told_once_when_it_is_back(self):
        self.api.secrets_set("web-1", TOKEN="first", GONE="x")
        ft = self.watching().start()
        self.await_baseline()
        ft.kill()
        self.api.secrets_set("web-1", TOKEN="second", NEW="1")
        self.api.secrets_unset("web-1", "GONE")
        ft.start()
        self.await_changes(3)
        ft.kill()
        ft.start()
        self.await_polls(3)
        self.assertEqual(sorted(self.changes("change, secret_name")),
                         [["set", "NEW"], ["unset", "GONE"], ["updated", "TOKEN"]])

    def test_what_changes_while_fly_answers_was_not_before_that_look_began(self):
        self.api.secrets_set("web-1", TOKEN="x")
        self.watching().start()
        self.await_baseline()
        asked, may_answer = threading.Event(), threading.Event()
        take_fault = self.api.take_fault

        def late(what):
            if what == "web-1/secrets":
                asked.set()
                may_answer.wait(lab.ENDED_SECONDS)
            return take_fault(what)

        self.api.take_fault = late
        self.assertTrue(asked.wait(lab.ENDED_SECONDS))
        gone = time.time()
        self.api.secrets_unset("web-1", "TOKEN")
        may_answer.set()
        self.await_changes(1)
        since, until = map(float, self.changes("extract(epoch FROM changed_at), extract(epoch FROM not_after)")[0])
        self.assertTrue(since < gone < until, (since, gone, until))

    def test_what_a_new_application_has_was_set(self):
        self.watching().start()
        self.await_baseline()
        self.api.secrets_set("later", TOKEN="x")
        self.api.add_app("later")
        self.await_changes(1)
        self.assertEqual(self.changes(), [["set", "TOKEN", "later"]])

    def test_what_touches_flytrail_itself_is_of_the_highest_severity(self):
        self.api.add_app("flytrail")
        self.watching(FLY_APP_NAME="flytrail").start()
        self.await_baseline("flytrail")
        self.await_baseline("web-1")
        self.api.secrets_set("flytrail", ACCESS_TOKEN="x")
        self.api.secrets_set("web-1", TOKEN="x")
        self.await_changes(2)
        self.assertEqual(self.world.pg.psql("SELECT app, severity FROM flytrail.events "
                                            "WHERE class = 'secret_change' ORDER BY app"),
                         [["flytrail", "6"], ["web-1", "3"]])

    def test_a_connection_that_breaks_between_two_looks_is_made_anew(self):
        self.watching(FLYTRAIL_WATCH_FULL_SECONDS="5").start()
        self.await_baseline()
        lab.wait_for(lambda: self.world.pg.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%flytrail.snapshots%' "
            "AND pid <> pg_backend_pid()"), 30, "a connection to break")
        self.api.secrets_set("web-1", TOKEN="x")
        lab.wait_for(self.changes, 60, "the change")

    def test_a_list_that_is_not_the_organisations_makes_nothing_new(self):
        self.api.secrets_set("web-1", OLD="1")
        self.watching().start()
        self.await_baseline()
        answer, asked = self.api.answer_apps, []

        def short(connection, query):
            asked.append(query)
            return self.api.reply(connection, 200, b'{"apps":[],"total_apps":0}')

        self.api.answer_apps = short
        lab.wait_for(lambda: len(asked) > 3, 30, "short answers")
        self.api.answer_apps = answer
        self.api.secrets_set("web-1", NEW="1")
        self.await_changes(1)
        self.assertEqual(self.changes(), [["set", "NEW", "web-1"]])

    def test_an_application_that_the_token_may_not_read_holds_up_no_other(self):
        self.api.add_app("aaa")
        self.api.misbehave("status", app="aaa/secrets", code=403)
        self.watching().start()
        self.await_baseline()
        lab.wait_for(lambda: sum("aaa/secrets" in path for path in self.api.paths()) > 6, 60, "refusals")
        self.api.secrets_set("web-1", TOKEN="x")
        self.await_changes(1)

    def test_another_key_is_no_change(self):
        self.api.secrets_set("web-1", TOKEN="first")
        ft = self.watching().start()
        self.await_baseline()
        self.assertEqual(ft.stop(), 0)
        for key in ("another-key-of-ones-own", ""):
            ft = self.watching(FLYTRAIL_HMAC_KEY=key).start()
            self.await_polls(3)
            self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.changes(), [])

    def test_one_application_that_fly_cannot_show_holds_up_no_other(self):
        self.api.add_app("aaa")
        self.api.misbehave("status", app="aaa/secrets", code=500)
        self.watching().start()
        self.await_baseline()
        self.api.behave()
        self.await_baseline("aaa")


class Absence(Watching):
    def watched(self):
        return self.world.pg.psql("SELECT app, state, why, extract(epoch FROM window_start)::int, "
                                  "extract(epoch FROM window_end)::int FROM flytrail.coverage "
                                  "WHERE kind = 'watched' AND state <> 'watched'", "flytrail_reader")

    def await_back(self, ago):
        """Flytrail is back, and what it saw last is as long ago."""
        self.world.pg.psql(f"UPDATE flytrail.snapshots SET taken_at = taken_at - interval '{ago}', "
                           f"first_at = first_at - interval '{ago}'")
        at, = self.world.pg.psql("SELECT extract(epoch FROM taken_at)::int FROM flytrail.snapshots WHERE resource = 'apps'")
        back = int(time.time())
        ft = self.watching().start()
        self.await_polls(2)
        self.assertEqual(ft.stop(), 0)
        return int(at[0]), back

    def test_a_time_in_which_nobody_looked_is_not_covered(self):
        ft = self.watching().start()
        self.await_baseline()
        self.assertEqual(ft.stop(), 0)
        self.await_back("10 minutes")
        self.assertEqual(self.watched(), [])
        at, back = self.await_back("3 hours")
        (app, state, why, since, until), = self.watched()
        self.assertEqual((app, state, why), (None, "unobserved", "apps: not looked at, and so perhaps nothing else"))
        self.assertEqual(int(since), at)
        self.assertTrue(back <= int(until) <= time.time(), until)
        [[minutes]] = self.world.pg.psql("SELECT floor(extract(epoch FROM window_end - window_start) / 60) "
                                         "FROM flytrail.coverage WHERE kind = 'watched' AND state = 'unobserved'")
        self.assertGreaterEqual(int(minutes), 180)
        self.assertEqual(self.world.pg.psql("SELECT action, summary FROM flytrail.timeline WHERE action IN "
                                            "('trail.unobserved', 'trail.observed') ORDER BY occurred_at"),
                         [["trail.unobserved", f"apps: not looked at for {minutes} minutes, and so perhaps nothing else"],
                          ["trail.observed", "apps can be looked at again"]])


class Replicas(Watching):
    def test_one_of_two_watches_and_the_other_goes_on(self):
        one = self.watching().start()
        self.await_baseline()
        two = self.watching().start()
        two.await_event("source_connected")
        self.api.secrets_set("web-1", FIRST="x")
        self.await_changes(1)
        self.assertEqual(self.world.pg.psql("SELECT count(*) FROM flytrail.leases WHERE name = 'watch'"), [["1"]])
        self.assertEqual(one.stop(), 0)
        self.api.secrets_set("web-1", SECOND="x")
        self.await_changes(2)
        self.assertEqual(self.world.pg.psql("SELECT count(*) FROM flytrail.events WHERE action = 'trail.baseline' "
                                            "AND app = 'web-1' AND target = 'secrets'"), [["1"]])


if __name__ == "__main__":
    unittest.main()
