"""What happens to machines: Fly's API tells it, with and without the lines."""

import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from test_watch import KEY, Watching  # noqa: E402

AT_ONCE = 4  # they wait more than they work
USER = ["unknown", "unknown", "Fly says that it was a user, and not which"]
FLYD = ["flyd", "flyd", None]
NOBODY = "Fly's API does not say who makes a machine"
MARA = "mara@example.com"


class Machines(Watching):
    """A flytrail that watches an application with one machine, which there was before."""

    ENV = {"FLYTRAIL_WATCH_FULL_SECONDS": "2"}

    def setUp(self):
        super().setUp()
        self.machine = self.api.machine_run("web-1", env={"LOG_LEVEL": "info", "TOKEN": "first"})
        self.ft = self.watching(**self.ENV).start()
        self.await_known(self.machine)

    def snapshot(self, resource, scope):
        return self.world.pg.psql("SELECT content FROM flytrail.snapshots WHERE taken_at > '-infinity' AND "
                                  f"resource = '{resource}' AND scope = '{scope}'")

    def await_known(self, machine, app="web-1"):
        for resource in ("machine_config", "machine_events"):
            lab.wait_for(lambda r=resource: self.snapshot(r, f"{app}/{machine}"), 40, f"the first {resource}")

    def events(self, columns="action", where="true"):
        """Of the trail, but what it says of itself; in the order of their times."""
        return self.world.pg.psql(f"SELECT {columns} FROM flytrail.events WHERE class <> 'trail' AND {where} "
                                  "ORDER BY occurred_at, action")

    def await_events(self, *actions):
        """All of them in this order, and nothing else, now and after another look."""
        expected = [[action] for action in actions]
        try:
            lab.wait_for(lambda: self.events() == expected, 60, f"{actions}")
        except AssertionError:
            self.assertEqual(self.events(), expected)
        self.await_looks()
        self.assertEqual(self.events(), expected)

    def lists(self):
        return sum("/machines?" in path and "include_deleted=false" in path for path in self.api.paths())

    def await_looks(self, count=2):
        before = self.lists()
        lab.wait_for(lambda: self.lists() >= before + count, 60, f"{count} looks at all machines")

    def see(self, view, columns):
        return self.world.pg.psql(f"SELECT {columns} FROM flytrail.{view} ORDER BY occurred_at", "flytrail_reader")


class Runs(Machines):
    def test_a_restart_by_a_user(self):
        before = time.time()
        self.api.machine_restart(self.machine)
        self.await_events("restart.requested", "exit.stopped", "restart.begun", "boot.started")
        rows = self.events("actor, actor_type, actor_reason, time_basis, trust, not_after, app, machine_id")
        self.assertEqual([row[:3] for row in rows], [USER, FLYD, FLYD, FLYD])
        for row in rows:
            self.assertEqual(row[3:], ["source", "api", None, "web-1", self.machine])
        for moment, in self.events("extract(epoch FROM occurred_at)"):
            self.assertTrue(before - 0.1 <= float(moment) <= time.time(), moment)
        self.assertEqual(self.see("restarts", "app, region, machine_id, cause, requested_by, actor_type, exit_code, "
                                  "oom_killed, restart_count, trust"),
                         [["web-1", None, self.machine, "requested", "a user", "unknown", "0", "f", None, "api"]])
        self.assertEqual(self.see("exits", "exit_code, outcome, reason, trust"),
                         [["0", "restarted", "Fly's API says that it is started again", "api"]])

    def test_a_crash_loop_counts_as_fly_counts(self):
        for count in range(3):
            self.api.machine_crash(self.machine, exit_code=3, restart_count=count)
        self.api.machine_crash(self.machine, restarts=False, exit_code=3, restart_count=3)
        self.await_events(*["exit.crashed", "boot.started"] * 3, "exit.crashed")
        self.assertEqual(self.events("actor, outcome, severity", "class = 'exit'"), [["flyd", "failure", "3"]] * 4)
        self.assertEqual(self.see("restarts", "cause, requested_by, exit_code, restart_count, trust"),
                         [["exit", "fly runner", "3", str(count), "api"] for count in range(3)])
        self.assertEqual(self.see("exits", "outcome, exit_code"),
                         [["restarted", "3"]] * 3 + [["not_restarted", "3"]])

    def test_who_started_it_again_is_who_fly_says(self):
        self.api.machine_crash(self.machine, restarts=False, exit_code=3)
        self.api.machine_start(self.machine)
        self.await_events("exit.crashed", "boot.started")
        self.assertEqual(self.events("actor, actor_type, actor_reason", "class = 'boot'"), [USER])
        self.api.machine_stop(self.machine)
        self.api.machine_start(self.machine)
        self.await_events("exit.crashed", "boot.started", "platform.machine_event", "exit.stopped", "boot.started")
        self.assertEqual(self.see("restarts", "cause, requested_by, actor_type, exit_code, trust"),
                         [["exit", "a user", "unknown", "3", "api"], ["requested", "a user", "unknown", "0", "api"]])

    def test_want_of_memory(self):
        self.api.machine_oom(self.machine)
        self.await_events("exit.crashed", "boot.started")
        self.assertEqual(self.events("severity, summary", "class = 'exit'"), [["4", (
            f"machine {self.machine} of web-1 ended with exit code 137 by SIGKILL, for want of memory")]])
        self.assertEqual(self.see("restarts", "cause, signal, oom_killed"), [["oom", "SIGKILL", "t"]])

    def test_a_migration_is_flys_doing(self):
        self.api.machine_migrate(self.machine)
        self.await_events("exit.stopped", "platform.machine_migrated", "boot.started")
        self.assertEqual(self.events("actor", "class = 'platform'"), [["flyd"]])
        self.assertEqual(self.see("restarts", "cause, requested_by, actor_type"),
                         [["migrated", "fly platform", "flyd"]])

    def test_the_proxy_stops_and_starts(self):
        self.api.machine_stop(self.machine, source="proxy")
        self.api.machine_start(self.machine, source="proxy")
        self.await_events("platform.machine_event", "exit.stopped", "boot.started")
        self.assertEqual(self.events("actor, actor_type, summary", "class = 'platform'"),
                         [["proxy", "proxy", f"machine {self.machine} of web-1 has an event: stop, stopping"]])
        self.assertEqual(self.see("restarts", "cause, requested_by, actor_type"),
                         [["autostart", "fly proxy", "proxy"]])

    def test_more_than_fly_shows_is_on_record(self):
        for count in range(30):
            self.api.machine_crash(self.machine, restart_count=count)
        lab.wait_for(lambda: self.world.pg.psql("SELECT 1 FROM flytrail.events WHERE action = 'trail.overrun'"),
                     60, "the overrun")
        self.assertEqual(self.world.pg.psql(
            "SELECT summary, severity, time_basis, app FROM flytrail.events WHERE action = 'trail.overrun'"),
            [[f"machine_events of web-1 for {self.machine}: more happened than Fly's answer shows, and is not here",
              "4", "interval", "web-1"]])
        self.await_looks()
        self.assertEqual(len(self.events()), 50)

    def test_lines_and_api_of_one_restart_are_one_row(self):
        def line(message, provider="app"):
            self.publish([self.payload(message, provider=provider, machine=self.machine)])

        version = self.api.machines[self.machine]["instance_id"]
        line(f"2026-01-01T00:00:00.000000000 [{version}:main] Running Firecracker v1.14.4")
        line("INFO Main child exited normally with code: 3")
        self.api.machine_crash(self.machine, exit_code=3, restart_count=7)
        line(f"2026-01-01T00:00:00.000000000 [{version}:main] Running Firecracker v1.14.4")
        lab.wait_for(lambda: len(self.events()) == 5, 60, "the facts of both")
        self.assertEqual(self.see("restarts", "region, cause, exit_code, restart_count, trust"),
                         [["ams", "exit", "3", "7", "api"]])
        self.assertEqual(self.see("exits", "region, exit_code, outcome, trust"), [["ams", "3", "restarted", "api"]])


class Lives(Machines):
    def test_a_machine_that_is_made_and_destroyed(self):
        machine = self.api.machine_run("web-1", region="gru")
        self.await_events("deploy.machine_created", "platform.machine_event", "boot.started")
        self.api.machine_destroy(machine)
        self.await_events("deploy.machine_created", "platform.machine_event", "boot.started",
                          "exit.stopped", "deploy.machine_destroyed", "deploy.machine_destroying")
        # The list of machines and the event tell the same moment: what there is no more, and who did it.
        self.assertEqual(self.events("machine_id, region, time_basis, trust, actor, severity, summary",
                                     "action IN ('deploy.machine_created', 'deploy.machine_destroyed')"),
                         [[machine, "gru", "source", "api", "unknown", severity,
                           f"machine {machine} of web-1 was {done}"]
                          for severity, done in (("1", "created"), ("2", "destroyed"))])
        self.assertEqual(self.events("actor_reason", "action = 'deploy.machine_destroying'"), [[USER[2]]])

    def test_a_machine_that_fly_does_not_know_any_more(self):
        self.api.machine_vanish(self.machine)
        lab.wait_for(self.events, 60, "the removal")
        self.await_looks(4)
        self.assertEqual(self.events("action, time_basis, occurred_at < not_after"),
                         [["deploy.machine_destroyed", "interval", "t"]])

    def test_a_console_is_access_though_it_is_gone_when_it_is_seen(self):
        machine = self.api.console("web-1")
        self.api.machine_destroy(machine)
        self.await_events("access.console_opened", "platform.machine_event", "boot.started", "exit.stopped",
                          "deploy.machine_destroyed", "deploy.machine_destroying")
        self.assertEqual(self.world.pg.psql(
            "SELECT change, target_type, target, actor, actor_reason, trust, summary FROM flytrail.access_changes",
            "flytrail_reader"),
            [["console_opened", "machine", machine, "unknown", NOBODY, "api",
              f"console machine {machine} of web-1 was created: somebody has a shell with all that the application has"]])

    def test_what_happened_while_flytrail_was_dead(self):
        self.ft.kill()
        machine = self.api.console("web-1")
        self.api.machine_destroy(machine)
        self.api.machine_restart(self.machine)
        self.ft.start()
        lab.wait_for(lambda: len(self.events()) == 10, 60, "all facts")
        self.ft.kill()
        self.ft.start()
        self.await_looks(3)
        self.assertEqual(len(self.events()), 10)


class Updates(Machines):
    def test_an_update_outside_a_release_names_what_was_changed(self):
        self.api.machine_update(self.machine, guest={"memory_mb": 512}, env={"TOKEN": "second", "NEW": "1"})
        self.await_events("deploy.machine_replacing", "deploy.machine_updated", "exit.stopped", "boot.started")
        replaced, = [event for event in self.api.machines[self.machine]["events"] if event["type"] == "update"]
        self.assertEqual(
            self.events("actor, actor_type, actor_reason, time_basis, severity, correlation_id, "
                        "(extract(epoch FROM occurred_at) * 1000)::bigint, summary, "
                        "attributes #>> '{before,guest}', attributes #>> '{after,guest}'",
                        "action = 'deploy.machine_updated'"),
            [[*USER, "source", "3", self.api.machines[self.machine]["instance_id"], str(replaced["timestamp"]),
              f"machine {self.machine} of web-1 was changed without a release: guest (memory_mb), env (NEW, TOKEN)",
              "cpu_kind=shared cpus=1 memory_mb=256", "cpu_kind=shared cpus=1 memory_mb=512"]])
        self.assertEqual(self.see("restarts", "cause"), [])
        self.assertEqual(self.see("exits", "outcome, trust"), [["replaced", "api"]])

    def test_no_value_is_anywhere(self):
        self.api.machine_update(self.machine, env={"TOKEN": "hidden-one"}, init={"cmd": ["hidden-two"]},
                                files=[{"guest_path": "/a", "raw_value": "hidden-three"}],
                                containers=[{"name": "hidden-four", "env": {"A": "hidden-five"}}],
                                metadata={"mine": "hidden-six"},
                                services=[{"checks": [{"headers": [{"name": "A", "values": ["hidden-seven"]}]}]}])
        lab.wait_for(lambda: self.events("1", "action = 'deploy.machine_updated'"), 60, "the update")
        rows = str(self.world.pg.psql("SELECT row_to_json(e)::text FROM flytrail.events e "
                                      "UNION ALL SELECT content::text FROM flytrail.snapshots"))
        self.assertNotIn("hidden", rows)
        self.assertNotIn(KEY, rows)
        self.assertIn("containers.0.env.A#", rows)

    def test_an_update_by_a_release_is_what_the_metadata_says(self):
        self.api.machines_deploy("web-1", "2")
        self.await_events("deploy.machine_replacing", "deploy.machine_updated", "exit.stopped", "boot.started")
        self.assertEqual(self.events("severity, summary ~ 'was changed by release 2, as its metadata says: image'",
                                     "action = 'deploy.machine_updated'"), [["1", "t"]])
        self.assertIn("two@sha256:", self.snapshot("machine_config", f"web-1/{self.machine}")[0][0])

    def test_a_release_and_the_updates_of_its_machines_are_one_deploy(self):
        self.api.deploy("web-1", "registry.example.com/web-1:one", MARA)  # the machine has that
        version = self.api.begin_release("web-1", "registry.example.com/web-1:two", MARA)
        self.api.machines_deploy("web-1", str(version))
        self.api.end_release("web-1", version)
        lab.wait_for(lambda: len(self.events("1", "action IN ('deploy.machine_updated', 'deploy.release_succeeded')"))
                     == 3, 60, "the release and the update")
        self.api.machine_update(self.machine, metadata={"fly_release_version": "77"})
        lab.wait_for(lambda: len(self.events("1", "action = 'deploy.machine_updated'")) == 2, 60, "the other update")
        self.assertEqual(
            self.world.pg.psql("SELECT release, actor, machines, outcome FROM flytrail.deploys ORDER BY started_at",
                               "flytrail_reader"),
            [["1", MARA, "{}", "success"], [str(version), MARA, f"{{{self.machine}}}", "success"],
             ["unknown", "unknown", f"{{{self.machine}}}", "unknown"]])

    def test_another_key_is_no_update(self):
        for key in ("another-key-of-ones-own", "", KEY):
            self.assertEqual(self.ft.stop(), 0)
            before = self.api.paths().count(f"/v1/apps/web-1/machines/{self.machine}")
            self.ft = self.watching(**self.ENV, FLYTRAIL_HMAC_KEY=key).start()
            lab.wait_for(lambda b=before: self.api.paths().count(f"/v1/apps/web-1/machines/{self.machine}") > b,
                         60, "a look at the config")
            self.await_looks()
        self.assertEqual(self.events(), [])


class Doubts(Machines):
    def test_a_host_that_cannot_be_reached_changes_nothing(self):
        self.api.machine_host(self.machine, "unreachable")
        self.await_looks(3)
        self.api.machine_host(self.machine, "ok")
        self.await_looks(3)
        self.assertEqual(self.events(), [])

    def test_a_list_that_lacks_a_region_is_no_answer(self):
        self.api.error_regions = ["ams"]
        self.await_looks(3)
        self.api.error_regions = []
        self.await_looks(3)
        self.assertEqual(self.events(), [])
        self.api.machine_restart(self.machine)
        self.await_events("restart.requested", "exit.stopped", "restart.begun", "boot.started")

    def test_short_pages_and_empty_ones_are_put_together(self):
        self.api.machine_page, self.api.empty_pages = 1, 1
        machine = self.api.machine_run("web-1")
        self.await_events("deploy.machine_created", "platform.machine_event", "boot.started")
        self.await_known(machine)
        self.await_looks(3)
        self.assertEqual(len(self.events()), 3)


class Quick(Machines):
    ENV = {"FLYTRAIL_WATCH_FULL_SECONDS": "3600"}

    def test_what_moved_is_seen_long_before_all_is_looked_at(self):
        self.api.machine_restart(self.machine)
        machine = self.api.console("web-1")
        self.api.machine_destroy(machine)
        lab.wait_for(lambda: len(self.events()) == 10, 60, "all facts")
        self.assertEqual(self.lists(), 1)
        self.assertTrue(all("updated_after=2" in path for path in self.api.paths() if "include_deleted=true" in path))


if __name__ == "__main__":
    unittest.main()
