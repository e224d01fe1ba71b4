"""Releases and the secrets that they carry: which facts there are, of whom, and what the views say."""

import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from backfill import Backfill, now  # noqa: E402
from fly_time import time_text  # noqa: E402

AT_ONCE = 4  # they wait more than they work
KEY = "an-example-of-a-key-of-ones-own"
MARA, JONAS = "mara@example.com", "jonas@example.com"
TOKEN = "00000000-0000-4000-8000-000000000007@tokens.fly.io"
IMAGE_A, IMAGE_B, IMAGE_C = (f"registry.example.com/web-1:{name}" for name in "abc")


class Watching(Backfill):
    def setUp(self):
        super().setUp()
        self.api.add_app("web-1")
        self.api.deploy("web-1", IMAGE_A, MARA)

    def watching(self, **env):
        return self.flytrail(**{"FLYTRAIL_WATCH_FULL_SECONDS": "1", "FLYTRAIL_HMAC_KEY": KEY,
                                "FLYTRAIL_RECONCILE_PAGES_PER_HOUR": "0", **env})

    def begin(self, **env):
        ft = self.watching(**env).start()
        for resource, scope in (("secrets", "web-1"), ("releases", "web-1"), ("current_releases", "")):
            lab.wait_for(lambda r=resource, s=scope: self.world.pg.psql(
                f"SELECT 1 FROM flytrail.snapshots WHERE resource = '{r}' AND scope = '{s}'"), 30,
                f"the baseline of {resource}")
        return ft

    def told(self, columns="action, target, correlation_id, actor, time_basis, trust"):
        """Everything but what flytrail says of itself, in the order of its time."""
        return self.world.pg.psql(f"SELECT {columns} FROM flytrail.events WHERE class <> 'trail' "
                                  "ORDER BY occurred_at, not_after NULLS FIRST, action DESC")

    def await_told(self, count):
        lab.wait_for(lambda: len(self.told()) >= count, 60, f"{count} facts")
        self.await_looks(2)
        self.assertEqual(len(self.told()), count, self.told())

    def asked(self, end):
        return sum(path.split("?")[0].endswith(end) for path in self.api.paths())

    def await_looks(self, count):
        before = self.asked("/secrets"), self.asked("/releases")
        lab.wait_for(lambda: self.asked("/secrets") >= before[0] + count
                     and self.asked("/releases") >= before[1] + count, 60, f"{count} looks")

    def deploys(self, columns="release, actor, reason, outcome"):
        return self.world.pg.psql(f"SELECT {columns} FROM flytrail.deploys ORDER BY started_at")

    def changes(self, columns="change, secret_name, actor, release"):
        return self.world.pg.psql(f"SELECT {columns} FROM flytrail.secret_changes ORDER BY changed_at, secret_name")


class Releases(Watching):
    def test_what_there_was_before_is_a_baseline_alone(self):
        self.api.secrets_set("web-1", OLD="1")
        self.api.secrets_deploy("web-1", MARA)
        ft = self.begin()
        self.await_looks(3)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.world.pg.psql(
            "SELECT target, summary FROM flytrail.events WHERE action = 'trail.baseline' AND app = 'web-1' "
            "AND target IN ('releases', 'secrets') ORDER BY target"), [["releases", "2 of releases of web-1 when flytrail first looked"],
                                 ["secrets", "1 of secrets of web-1 when flytrail first looked"]])

    def test_a_deploy_is_told_from_its_start_to_its_end(self):
        self.begin()
        before = now()
        version = self.api.begin_release("web-1", IMAGE_B, MARA)
        self.await_told(1)
        self.api.end_release("web-1", version)
        self.await_told(2)
        self.assertEqual(self.told(), [["deploy.release_started", "2", "2", MARA, "source", "api"],
                                       ["deploy.release_succeeded", "2", "2", MARA, "interval", "api"]])
        (started, none), (since, until) = self.told("extract(epoch FROM occurred_at), extract(epoch FROM not_after)")
        self.assertIsNone(none)
        self.assertTrue(before <= float(started) <= float(since) < float(until) <= time.time())
        self.assertEqual(self.deploys(), [["2", MARA, "deploy", "success"]])

    def test_one_that_is_over_before_the_next_look_ends_after_it_began(self):
        self.begin(FLYTRAIL_WATCH_FULL_SECONDS="5")
        self.api.deploy("web-1", IMAGE_B, TOKEN)
        lab.wait_for(lambda: len(self.told()) >= 2, 30, "both facts")
        self.assertEqual(self.told("action, actor, actor_type"), [
            ["deploy.release_started", TOKEN, "token"], ["deploy.release_succeeded", TOKEN, "token"]])

    def test_failures_and_rollbacks_are_told_as_such(self):
        self.begin()
        for act in (lambda: self.api.deploy("web-1", IMAGE_B, MARA),
                    lambda: self.api.deploy("web-1", IMAGE_C, JONAS, "failed"),
                    lambda: self.api.rollback("web-1", 2, JONAS),
                    lambda: self.api.rollback("web-1", 1, None),
                    lambda: self.api.secrets_deploy("web-1", MARA),
                    lambda: self.api.deploy("web-1", IMAGE_C, MARA, "interrupted"),
                    lambda: self.api.deploy("web-1", IMAGE_C, MARA, "pondering")):
            act()
        self.await_told(13)
        self.assertEqual(self.deploys(), [
            ["2", MARA, "deploy", "success"], ["3", JONAS, "deploy", "failure"],
            ["4", JONAS, "rollback", "success"], ["5", "unknown", "rollback", "success"],
            ["6", MARA, "restart", "success"], ["7", MARA, "deploy", "interrupted"],
            ["8", MARA, "restart", "unknown"]])
        self.assertEqual(self.deploys("actor_type, actor_reason IS NULL")[3], ["unknown", "f"])

    def test_a_release_that_fly_does_not_show_is_on_record(self):
        self.begin()
        with self.api.lock:  # so that no look sees it with another version
            newest = self.api.releases["web-1"][-1]
            self.api.releases["web-1"].append({**newest, "id": "relweb-1000004", "version": 4, "image_ref": IMAGE_B,
                                               "created_at": time_text(time.time_ns())})
        self.await_told(2)
        self.assertEqual(self.facts("trail.overrun", "target, app"), [["releases", "web-1"]])

    def test_more_than_a_page_is_read_when_flytrail_is_back(self):
        ft = self.begin()
        ft.kill()
        for number in range(30):
            self.api.deploy("web-1", f"{IMAGE_B}{number}", MARA)
        ft.start()
        self.await_told(60)
        self.assertEqual(self.facts("trail.overrun"), [])

    def test_a_kill_makes_nothing_twice(self):
        ft = self.begin()
        for number in range(4):
            version = self.api.begin_release("web-1", f"{IMAGE_B}{number}", MARA)
            self.api.secrets_set("web-1", TOKEN=str(number))
            lab.wait_for(lambda n=number: len(self.told()) > n, 30, "a fact")
            ft.kill()
            self.api.end_release("web-1", version)
            ft.start()
            self.await_looks(2)
        self.await_told(4 * 2 + 4)
        self.assertEqual(sorted(self.told("action, correlation_id")), sorted(
            [[f"deploy.release_{what}", str(version)] for what in ("started", "succeeded") for version in range(2, 6)]
            + [["secret_change.set", None], *[["secret_change.updated", None]] * 3]))

    def test_releases_that_the_token_may_not_read_hide_no_secret(self):
        for what in ("web-1/releases", "/all_current"):
            self.api.misbehave("status", app=what, code=403)
        self.watching().start()
        lab.wait_for(lambda: len(self.facts("trail.unobserved", "target")) >= 2, 60, "what is unobserved")
        self.api.secrets_set("web-1", TOKEN="x")
        lab.wait_for(self.changes, 30, "the change")
        self.assertEqual(sorted(self.facts("trail.unobserved", "target")), [["current_releases"], ["releases"]])
        self.assertEqual(self.told("action"), [["secret_change.set"]])


class Secrets(Watching):
    def test_a_secret_that_is_set_is_carried_by_a_release_of_somebody(self):
        self.begin()
        self.api.secrets_set("web-1", TOKEN="x")
        self.api.secrets_deploy("web-1", MARA)
        self.await_told(4)
        self.assertEqual(self.told("action, target, correlation_id, actor, actor_type, time_basis"), [
            ["secret_change.set", "TOKEN", None, "unknown", "unknown", "source"],
            ["secret_change.deployed", "TOKEN", "2", MARA, "user", "source"],
            ["deploy.release_started", "2", "2", MARA, "user", "source"],
            ["deploy.release_succeeded", "2", "2", MARA, "user", "interval"]])
        self.assertEqual(self.deploys(), [["2", MARA, "secret change", "success"]])
        self.assertEqual(self.changes("change, secret_name, actor, actor_type, release, not_after, deployed_at > changed_at"),
                         [["set", "TOKEN", MARA, "user", "2", None, "t"]])
        self.assertRegex(self.changes("actor_reason")[0][0], "inferred")

    def test_a_staged_secret_waits_for_its_release(self):
        self.begin()
        self.api.secrets_set("web-1", STAGED="x")
        self.await_told(1)
        self.await_looks(2)
        self.assertEqual(self.changes(), [["set", "STAGED", "unknown", None]])
        self.api.secrets_deploy("web-1", JONAS)
        self.await_told(4)
        self.assertEqual(self.changes(), [["set", "STAGED", JONAS, "2"]])
        self.assertEqual(self.deploys(), [["2", JONAS, "secret change", "success"]])

    def test_each_change_has_its_own_release(self):
        self.begin()
        self.api.secrets_set("web-1", FIRST="x")
        self.api.secrets_deploy("web-1", MARA)
        self.await_told(4)
        self.api.secrets_set("web-1", SECOND="x")
        self.await_told(5)
        self.api.deploy("web-1", IMAGE_B, JONAS)
        self.await_told(8)
        self.api.secrets_unset("web-1", "FIRST")
        self.api.secrets_deploy("web-1", MARA)
        self.await_told(11)
        self.assertEqual(self.changes(), [["set", "FIRST", MARA, "2"], ["set", "SECOND", "unknown", "3"],
                                          ["unset", "FIRST", MARA, "4"]])
        self.assertEqual(self.deploys(), [["2", MARA, "secret change", "success"], ["3", JONAS, "deploy", "success"],
                                          ["4", MARA, "secret change", "success"]])

    def test_releases_are_asked_for_twice_only_while_a_secret_is_staged(self):
        self.api.secrets_set("web-1", OLD="1")
        self.api.secrets_deploy("web-1", MARA)
        self.begin()
        before = self.asked("/secrets"), self.asked("/releases")
        self.await_looks(4)
        after = self.asked("/secrets"), self.asked("/releases")
        self.assertLessEqual(after[1] - before[1], after[0] - before[0] + 2)

    def test_who_made_a_release_much_later_did_not_change_the_secret(self):
        self.begin()
        old = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        with self.api.lock:
            self.api.secrets["web-1"] = {"OLD": {"digest": "d", "created_at": old, "updated_at": old}}
            self.api.releases["web-1"][0]["created_at"] = "2026-01-01T00:00:00Z"
        self.await_told(1)
        self.api.secrets_deploy("web-1", JONAS)
        self.await_told(4)
        self.assertEqual(self.changes("change, actor, release"), [["set", "unknown", "2"]])


if __name__ == "__main__":
    unittest.main()
