"""Without Postgres watching goes on from memory, and nothing is told twice or wrongly for that."""

import os
import random
import signal
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab  # noqa: E402
import test_watch  # noqa: E402

AT_ONCE = 4  # they wait more than they work
KILLS = 6


class WithoutPostgres(test_watch.Watching):
    def facts_told(self):
        """All that watching told, but for baselines, which say when flytrail first looked."""
        return self.world.pg.psql("SELECT action, target, app FROM flytrail.events WHERE source = 'watch' "
                                  "AND action <> 'trail.baseline' ORDER BY occurred_at, target")

    def intervals(self):
        return {name: (float(since), until and float(until)) for name, since, until in self.world.pg.psql(
            "SELECT target, extract(epoch FROM occurred_at), extract(epoch FROM not_after) "
            "FROM flytrail.events WHERE class = 'secret_change'")}

    def kept(self, ft):
        folder = os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], "snapshots")
        return os.listdir(folder) if os.path.isdir(folder) else []

    def go_away(self, ft):
        self.world.pg.stop()
        ft.await_event("watcher_alone")

    def await_back(self, ft):
        lab.wait_for(lambda: not self.kept(ft), 60, "the snapshots to be in Postgres")


class Away(WithoutPostgres):
    def test_changes_are_told_with_the_time_they_had(self):
        self.api.secrets_set("web-1", GONE="1", OTHER="1")
        ft = self.watching().start()
        self.await_baseline()
        self.go_away(ft)
        self.await_polls(2)
        before = time.time()
        self.api.secrets_unset("web-1", "GONE")
        self.await_polls(3)
        until = time.time()
        self.api.secrets_set("web-1", NEW="1")
        self.await_polls(2)
        back = time.time()
        self.world.pg.restart()
        self.await_changes(2)
        self.await_back(ft)
        ft.await_event("watcher_back")
        self.await_polls(3)
        self.assertEqual(self.facts_told(), [["secret_change.unset", "GONE", "web-1"],
                                             ["secret_change.set", "NEW", "web-1"]])
        since, not_after = self.intervals()["GONE"]
        self.assertLess(since, not_after)
        self.assertLess(before, not_after)
        self.assertLess(not_after, until)
        self.assertLess(self.intervals()["NEW"][0], back)

    def test_killed_meanwhile_nothing_is_told_twice(self):
        self.api.secrets_set("web-1", GONE="1", LATER="1")
        ft = self.watching().start()
        self.await_baseline()
        self.go_away(ft)
        self.api.secrets_unset("web-1", "GONE")
        self.api.secrets_set("web-1", NEW="1")
        self.await_polls(4)
        killed = time.time()
        ft.kill()
        self.assertTrue(self.kept(ft))
        self.api.secrets_unset("web-1", "LATER")
        ft.start(wait=False)
        ft.await_event("watcher_waits")  # who knows nothing of what there was before looks at nothing
        self.world.pg.restart()
        self.await_changes(3)
        self.await_back(ft)
        self.await_polls(3)
        self.assertEqual(self.facts_told(), [["secret_change.unset", "GONE", "web-1"],
                                             ["secret_change.set", "NEW", "web-1"],
                                             ["secret_change.unset", "LATER", "web-1"]])
        intervals = self.intervals()
        self.assertLess(intervals["GONE"][1], killed)
        self.assertGreater(intervals["LATER"][1], killed)

    def test_what_is_refused_meanwhile_is_unobserved_once(self):
        ft = self.watching().start()
        self.await_baseline()
        self.go_away(ft)
        self.api.misbehave("status", app="web-1/secrets", code=403)
        self.await_polls(6)
        ft.kill()
        self.world.pg.restart()
        ft.start()
        self.await_polls(6)
        lab.wait_for(self.facts_told, 30, "the fact")
        self.assertEqual(self.facts_told(), [["trail.unobserved", "secrets", "web-1"]])
        self.assertEqual(self.world.pg.psql("SELECT scope FROM flytrail.snapshots WHERE unobserved_why IS NOT NULL"),
                         [["web-1"]])

    def test_an_application_that_comes_meanwhile_is_told_when_postgres_is_back(self):
        ft = self.watching().start()
        self.await_baseline()
        self.go_away(ft)
        self.api.secrets_set("later", TOKEN="1")
        self.api.add_app("later")
        self.api.secrets_set("web-1", NEW="1")
        self.await_polls(4)
        self.world.pg.restart()
        self.await_changes(2)
        # Between which looks an application came says nothing of what was before in it.
        self.assertCountEqual(self.facts_told(), [["deploy.app_created", "later", "later"],
                                                  ["secret_change.set", "TOKEN", "later"],
                                                  ["secret_change.set", "NEW", "web-1"]])

    def test_with_a_full_spool_it_waits_and_the_gap_is_on_record(self):
        ft = self.watching(FLYTRAIL_SPOOL_MAX_BYTES="64MiB").start()
        self.await_baseline()
        self.go_away(ft)
        self.world.publish(400_000)
        ft.await_event("spool_full", 60)
        self.api.secrets_set("web-1", NEW="1")
        self.api.secrets_set("web-1", NEWER="1")
        self.world.pg.restart()
        self.await_changes(2)
        self.await_polls(3)
        self.assertEqual(self.facts_told(), [["secret_change.set", "NEW", "web-1"],
                                             ["secret_change.set", "NEWER", "web-1"]])
        self.world.await_gap("spool_full", closed=True)

    def test_killed_again_and_again_each_change_is_told_once(self):
        self.api.secrets_set("web-1", **{f"GONE_{n}": "1" for n in range(KILLS)})
        ft = self.watching().start()
        self.await_baseline()
        seed = os.environ.get("SEED") or str(time.time_ns())
        print(f"# again: SEED={seed}")
        moments, wanted = random.Random(seed), []
        for n in range(KILLS):
            self.api.secrets_set("web-1", **{f"NEW_{n}": "1"})
            self.api.secrets_unset("web-1", f"GONE_{n}")
            wanted += [["secret_change.set", f"NEW_{n}", "web-1"], ["secret_change.unset", f"GONE_{n}", "web-1"]]
            time.sleep(moments.uniform(0, 2))  # at any point of its work
            if n % 2:
                self.world.pg.crash()
                time.sleep(moments.uniform(0, 2))
            ft.kill()
            if n % 2:
                self.world.pg.restart()
            ft.start()
        self.await_changes(len(wanted))
        self.await_polls(3)
        self.assertEqual(sorted(self.facts_told()), sorted(wanted))


class Replicas(WithoutPostgres):
    def test_who_watched_goes_first_when_postgres_is_back(self):
        """Also where the lease has expired meanwhile: its snapshots are newer than Postgres's."""
        self.api.secrets_set("web-1", GONE="1")
        one = self.watching().start()
        self.await_baseline()
        two = self.watching().start()
        lab.wait_for(lambda: two.health()[1]["watcher"]["value"] == "another replica watches", 30, "the other")
        two.signal(signal.SIGSTOP)  # it would take the lease as long as Postgres is there
        self.world.pg.psql("UPDATE flytrail.leases SET expires_at = now() WHERE name = 'watch'")
        self.go_away(one)
        two.signal(signal.SIGCONT)
        self.api.secrets_unset("web-1", "GONE")
        self.await_polls(4)
        back = time.time()
        self.world.pg.restart()
        self.await_back(one)
        self.await_changes(1)
        one.kill()
        self.world.pg.psql("UPDATE flytrail.leases SET expires_at = now() WHERE name = 'watch'")
        self.await_polls(4)
        self.assertEqual(self.facts_told(), [["secret_change.unset", "GONE", "web-1"]])
        self.assertLess(self.intervals()["GONE"][1], back)


class Health(test_watch.Watching):
    def test_a_list_of_applications_that_is_refused_is_red(self):
        ft = self.watching().start()
        self.await_baseline()
        self.api.secrets_set("web-1", NEW="1")
        self.await_changes(1)
        self.assertTrue(ft.health()[1]["watcher"]["ok"])
        self.assertEqual(ft.metric("watch_changes_total"), 1)
        self.assertEqual(ft.metric("watch_refusals_total"), 0)
        answer = self.api.answer_apps
        self.api.answer_apps = lambda connection, _query: self.api.refuse(connection, 403)
        lab.wait_for(lambda: not ft.health()[1]["watcher"]["ok"], 30, "the check to be red")
        self.assertIn("refused", ft.health()[1]["watcher"]["value"])
        lab.wait_for(lambda: ft.metric("watch_unobserved") == 1, 30, "the count of it")
        self.assertGreater(ft.metric("watch_refusals_total"), 2)
        self.api.answer_apps = answer
        lab.wait_for(lambda: ft.health()[1]["watcher"]["ok"], 60, "the check to be green")

    def test_another_replica_that_watches_is_fine(self):
        self.watching().start()
        self.await_baseline()
        two = self.watching().start()
        lab.wait_for(lambda: two.health()[1]["watcher"]["value"] == "another replica watches", 30, "the check")
        self.assertTrue(two.health()[1]["watcher"]["ok"])
        self.assertEqual(two.metric("watch_elsewhere"), 1)


if __name__ == "__main__":
    unittest.main()
