"""The views tell the stories from facts: written by hand, and from real captures."""

import datetime
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402

BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
FLYTRAIL = os.path.join(BUILD, "flytrail")
CAPTURES = os.path.join(ROOT, "tests", "data", "captures")
SECURITY = ("deploy", "secret_change", "ssh_session", "cert", "access", "trail")
PLATFORM = ("deploy.", "restart.", "autoscale.", "health_check.", "proxy_error.",
            "boot.machine_started", "boot.configuring")
IMAGE = {"image": "registry.fly.io/web-1@sha256:ab12", "digest": "sha256:ab12"}
# The signs of a start and of an end, with the seconds after its beginning.
BOOT = ((0, "boot.firecracker"), (0.1, "boot.init"), (0.2, "boot.command"), (0.9, "boot.ssh_listening"),
        (1, "boot.machine_started", {"seconds": 0.9}))
WOKEN = ((-0.2, "autoscale.starting"), *BOOT, (1.1, "autoscale.started", {"seconds": 1.2}),
         (3, "autoscale.reachable", {"seconds": 3.1}))


def at(second, *facts):
    return [(second + fact[0], *fact[1:]) for fact in facts]


def crash(second, code=1):
    return at(second, (0, "exit.main_child", {"exit_code": code}), (0.1, "exit.cleanup"), (0.2, "exit.vm"))


def quote(value):
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


class Database(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pg = lab.Postgres()
        cls.addClassCleanup(cls.pg.close)
        cls.pg.start()
        subprocess.run([FLYTRAIL, "migrate"], check=True, stdout=subprocess.DEVNULL,
                       env={"FLYTRAIL_ADMIN_DATABASE_URL": cls.pg.url()})
        # Of the next month, too, which may begin before the tests end.
        cls.pg.psql("""SELECT flytrail.ensure_partition(kind, now() - month * interval '1 month')
            FROM generate_series(-1, 5) AS month, unnest(ARRAY['security', 'operations']) AS kind;""")
        cls.pg.psql("SELECT flytrail.ensure_partition('log_lines', now() - day * interval '1 day') "
                    "FROM generate_series(0, 5) AS day;")
        cls.seq = 0
        cls.machines = 0

    def setUp(self):
        type(self).machines += 1
        # One moment for all that a test tells: what it tells in two calls is as far apart as their seconds say.
        self.two_hours_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=2)
        self.machine = f"machine{self.machines:07}"
        self.app = f"app-{self.machines}"

    def tell(self, facts, version="01AAAAAAAAAAAAAAAAAAAAAAAA", base=None, **columns):
        """Facts are (second, action[, attributes]); they are stored in the order given."""
        rows, base = [], base or f"timestamptz '{self.two_hours_ago.isoformat()}'"
        for fact in facts:
            type(self).seq += 1
            second, action, attributes = (*fact, None)[:3]
            row = {
                "event_id": f"00000000-0000-8000-8000-{self.seq:012}",
                "retention_class": "security" if action.split(".")[0] in SECURITY else "operations",
                "class": action.split(".")[0], "action": action, "time_basis": "source",
                "app": self.app, "region": "ams", "machine_id": self.machine,
                "correlation_id": version if action == "boot.firecracker" else None,
                "actor": "unknown", "actor_type": "unknown", "outcome": "success", "severity": 1,
                "trust": "platform" if action.startswith(PLATFORM) else "guest", "source": "nats",
                "message": f"\x1b[32m INFO\x1b[0m {action}",
                "attributes": json.dumps(attributes) if attributes is not None else None,
                "stream": "00000000-0000-4000-8000-000000000000", "seq": self.seq, **columns}
            time = f"{base} + {second} * interval '1 second'"
            rows.append(f"({time}, {time}, {', '.join(map(quote, row.values()))})")
            names = ", ".join(row)
        self.pg.psql(f"INSERT INTO flytrail.events (occurred_at, observed_at, {names}) VALUES "
                     + ",\n".join(rows))

    def see(self, view, columns, order="1"):
        return self.pg.psql(f"SELECT {columns} FROM flytrail.{view} WHERE app = '{self.app}' ORDER BY {order}",
                            "flytrail_reader")

    def restarts(self, columns="cause"):
        return [row[1:] if "," in columns else row[1]
                for row in self.see("restarts", f"occurred_at, {columns}")]

    def exits(self, columns="outcome"):
        return [row[1:] if "," in columns else row[1] for row in self.see("exits", f"occurred_at, {columns}")]

    def deploys(self, columns="summary"):
        return [row[1:] if "," in columns else row[1] for row in self.see("deploys", f"finished_at, {columns}")]


class Restarts(Database):
    def test_the_same_version_twice_is_a_restart(self):
        self.tell([*at(0, *BOOT), *crash(60, 3), *at(62, *BOOT)])
        self.assertEqual(self.restarts("cause, requested_by, actor_type, exit_code, signal, oom_killed, "
                                       "restart_count, trust"),
                         [["exit", "fly runner", "flyd", "3", None, "f", "1", "platform"]])
        self.assertEqual(self.deploys(), [])

    def test_another_version_is_a_deploy(self):
        self.tell([*at(0, *BOOT), *crash(60)])
        self.tell(at(70, *BOOT), version="01BBBBBBBBBBBBBBBBBBBBBBBB")
        self.assertEqual(self.restarts(), [])
        self.assertEqual(self.deploys("image, machine_version, trust, outcome"),
                         [["unknown", "01BBBBBBBBBBBBBBBBBBBBBBBB", "guest", "success"]])

    def test_the_first_that_is_seen_of_a_machine_is_neither(self):
        self.tell(at(0, *BOOT))
        self.assertEqual((self.restarts(), self.deploys()), ([], []))

    def test_a_crash_loop_counts(self):
        facts = list(at(0, *BOOT))
        for n in range(1, 5):
            facts += [*crash(n * 20 - 2), *at(n * 20, *BOOT)]
        self.tell([*facts, *crash(98), (99, "restart.gave_up")])
        self.assertEqual(self.restarts("cause, restart_count"),
                         [["exit", str(n)] for n in range(1, 5)])
        self.assertEqual(self.exits(), ["restarted"] * 4 + ["gave_up"])

    def test_want_of_memory_is_a_cause(self):
        self.tell([*at(0, *BOOT), (58, "oom.killed"), (59, "exit.main_child", {"signal": "SIGKILL"}),
                   (59.1, "oom.main_child"), (59.2, "exit.vm"), *at(60, *BOOT)])
        self.assertEqual(self.restarts("cause, signal, oom_killed"), [["oom", "SIGKILL", "t"]])
        self.assertEqual(self.exits("outcome, signal, oom_killed"), [["restarted", "SIGKILL", "t"]])

    def test_a_worker_that_was_killed_long_before_is_none(self):
        self.tell([*at(0, *BOOT), (10, "oom.killed"), *crash(900), *at(902, *BOOT)])
        self.assertEqual(self.restarts("cause, oom_killed"), [["exit", "f"]])

    def test_a_signal_a_panic_and_an_abrupt_end_are_causes(self):
        for facts, cause in (([(50, "exit.main_child", {"signal": "SIGSEGV"}), (51, "exit.vm")], "signal"),
                             ([(50, "exit.kernel_panic"), (51, "exit.vm")], "kernel_panic"),
                             ([(50, "exit.vm_abrupt")], "vm_abrupt"),
                             ([(50, "exit.vm")], "unknown")):
            with self.subTest(cause):
                self.setUp()
                self.tell([*at(0, *BOOT), *facts, *at(52, *BOOT)])
                self.assertEqual(self.restarts(), [cause])

    def test_an_end_that_was_asked_for_is_no_crash(self):
        self.tell([*at(0, *BOOT), (50, "exit.signal_sent", {"signal": "SIGINT"}), *crash(51, 0),
                   *at(53, *BOOT)])
        self.assertEqual(self.restarts("cause, requested_by, restart_count"), [["requested", "unknown", None]])

    def test_the_proxy_stops_and_wakes(self):
        self.tell([*at(0, *BOOT), (300, "autoscale.stopping"), (300.1, "exit.signal_sent"),
                   *crash(301, 0), *at(4000, *WOKEN)])
        self.assertEqual(self.restarts("cause, requested_by, actor_type, exit_code"),
                         [["autostart", "fly proxy", "proxy", "0"]])
        self.assertEqual(self.exits(), ["stopped"])

    def test_the_proxy_wakes_what_had_given_up(self):
        self.tell([*at(0, *BOOT), *crash(20), (20.5, "restart.gave_up"), *at(40, *WOKEN)])
        self.assertEqual(self.restarts("cause, exit_code"), [["autostart", "1"]])
        self.assertEqual(self.exits(), ["gave_up"])

    def test_a_report_that_comes_after_the_crash_is_no_other_start(self):
        self.tell([*at(0, *BOOT), *crash(60), *at(62, *BOOT[:3]), *crash(62.5),
                   (63, "boot.machine_started", {"seconds": 0.95}), *at(65, *BOOT)])
        self.assertEqual(self.restarts(), ["exit", "exit"])

    def test_any_line_of_a_start_may_be_missing(self):
        for kept in range(len(BOOT)):
            with self.subTest(BOOT[kept][1]):
                self.setUp()
                self.tell([*at(0, *BOOT), *crash(60), *at(62, BOOT[kept])])
                expected = [] if BOOT[kept][1] == "boot.ssh_listening" else ["exit"]
                self.assertEqual(self.restarts(), expected)

    def test_a_restart_counts_although_the_end_was_not_seen(self):
        self.tell([*at(0, *BOOT), *at(4000, *BOOT)])
        self.assertEqual(self.restarts("cause, trust"), [["unknown", "platform"]])

    def test_a_machine_that_slept_for_months_restarts(self):
        self.tell([*at(0, *BOOT), *crash(60)], base="now() - interval '120 days'")
        self.tell(at(0, *WOKEN))
        self.assertEqual(self.restarts(), ["autostart"])

    def test_lines_of_the_same_instant_are_told_apart_by_their_order(self):
        facts = [*BOOT, *crash(0), *BOOT, *crash(0), *BOOT]
        self.tell([(0, *fact[1:]) for fact in facts])
        self.assertEqual(self.restarts(), ["exit", "exit"])

    def test_what_a_guest_prints_for_a_number_breaks_nothing(self):
        for value in ("abc", "9" * 40, "", None, {"x": 1}, -1e300, True, [1]):
            with self.subTest(value=value):
                self.setUp()
                self.tell([*at(0, (0, "boot.machine_started", {"seconds": value})),
                           (60, "exit.main_child", {"exit_code": value, "signal": value}),
                           *at(62, (0, "boot.machine_started", {"seconds": value})),
                           (63, "ssh_session.opened", {"verified": value})])
                self.assertEqual(len(self.restarts()), 1)
                self.assertEqual(len(self.exits()), 1)
                self.assertEqual(len(self.see("ssh_sessions", "verified")), 1)


def api_end(second, action="exit.crashed", **said):
    said = {"exit_code": "3", "oom_killed": "false", "restarting": "true", "restart_count": "7", **said}
    return (second, action, {"after": said})


API = {"trust": "api", "source": "watch"}


class FlysWord(Database):
    """Starts and ends that Fly's API tells, with the lines and without them."""

    def test_each_is_one_row_with_the_line_that_is_nearest_in_the_same_life(self):
        facts, told = list(at(0, *BOOT)), [(0.5, "boot.started")]
        for n in range(1, 4):
            facts += [*crash(n * 5 - 2), *at(n * 5, *BOOT)]
            told += [api_end(n * 5 - 1.9, exit_code=str(n)), (n * 5 + 0.5, "boot.started")]
        self.tell(facts)
        self.tell(told, **API)
        self.assertEqual(self.restarts("cause, exit_code, restart_count, trust"),
                         [["exit", str(n), "7", "api"] for n in range(1, 4)])
        self.assertEqual(self.exits("outcome, exit_code, trust"), [["restarted", str(n), "api"] for n in range(1, 4)])

    def test_what_the_api_alone_shows_is_a_row(self):
        self.tell([*at(0, *BOOT), *crash(20), *at(22, *BOOT)])
        self.tell([api_end(600), (602, "boot.started"), (602.1, "boot.started")], **API)
        self.assertEqual(self.restarts("cause, exit_code, trust, region"),
                         [["exit", "1", "platform", "ams"], ["exit", "3", "api", "ams"]])
        self.assertEqual(self.exits("exit_code, trust"), [["1", "guest"], ["3", "api"]])

    def test_the_end_of_an_older_life_is_not_this_ones(self):
        self.tell([(0, "boot.started"), api_end(20), (22, "boot.started")], **API)
        self.tell([*at(600, *BOOT), (650, "exit.vm"), *at(652, *BOOT)])
        self.assertEqual(self.restarts("cause, exit_code, trust")[-1], ["unknown", None, "platform"])

    def test_an_update_is_no_restart(self):
        self.tell([(0, "boot.started"), (50, "deploy.machine_replacing"), api_end(51, "exit.stopped"),
                   (53, "boot.started")], **API)
        self.assertEqual(self.restarts(), [])
        self.assertEqual(self.exits(), ["replaced"])

    def test_who_asked_is_the_apis_word(self):
        for facts, story in (([(40, "restart.requested")], ["requested", "a user", "unknown"]),
                             ([(52, "platform.machine_migrated")], ["migrated", "fly platform", "flyd"]),
                             ([], ["requested", "unknown", "unknown"])):
            with self.subTest(story):
                self.setUp()
                self.tell([(0, "boot.started"), *facts, api_end(51, "exit.stopped"), (53, "boot.started")], **API)
                self.tell([*at(0, *BOOT), (50, "exit.signal_sent"), *crash(50.5, 0), *at(52.5, *BOOT)])
                self.assertEqual(self.restarts("cause, requested_by, actor_type"), [story])

    def test_what_somebody_wrote_for_a_number_breaks_nothing(self):
        for value in ("abc", "9" * 40, "", None, {"x": 1}, True, [1]):
            with self.subTest(value=value):
                self.setUp()
                self.tell([(0, "boot.started"), api_end(50, exit_code=value, signal=value, restart_count=value),
                           (52, "boot.started")], **API)
                self.assertEqual((len(self.restarts()), len(self.exits())), (1, 1))


class Exits(Database):
    def test_what_is_not_restarted_says_why(self):
        self.tell([*at(0, *BOOT), (5, "exit.vm"), (5.5, "restart.suppressed")],)
        self.assertEqual(self.exits("outcome, reason"), [["not_restarted", " INFO restart.suppressed"]])
        self.assertEqual(self.restarts(), [])

    def test_a_version_that_was_replaced_did_not_crash(self):
        self.tell([*at(0, *BOOT), (50, "deploy.image_prepared", IMAGE), (51, "exit.signal_sent"),
                   *crash(52, 0)])
        self.tell([*at(55, *BOOT[:4]), (57, "deploy.machine_started", {"seconds": 6})],
                  version="01CCCCCCCCCCCCCCCCCCCCCCCC")
        self.assertEqual(self.exits(), ["replaced"])
        self.assertEqual(self.restarts(), [])

    def test_ends_whose_starts_were_lost_are_each_told(self):
        self.tell([*crash(0), *crash(15), *crash(30)])
        self.assertEqual(self.exits("exit_code, outcome"), [["1", "unknown"]] * 3)

    def test_a_decision_alone_shows_an_end(self):
        self.tell([(0, "restart.gave_up")])
        self.assertEqual(self.exits("outcome, trust"), [["gave_up", "platform"]])


class Deploys(Database):
    def deploy(self, second, *more):
        return at(second, (0, "deploy.image_pulling", IMAGE), (5, "deploy.image_prepared", {**IMAGE, "seconds": 5}),
                  (6, "boot.configuring"), *more)

    def test_a_deploy_has_image_digest_version_and_seconds(self):
        self.tell([*self.deploy(0), *at(8, *BOOT[:4]), (11.8, "deploy.machine_started", {"seconds": 11.826})])
        row = self.see("deploys", "app, release, actor, actor_type, actor_reason, image, image_digest, reason, "
                       "finished_at - started_at, outcome, machines, trust, machine_version, seconds")
        self.assertEqual(row, [[self.app, "unknown", "unknown", "unknown", "no log line says who deployed",
                                IMAGE["image"], IMAGE["digest"], "unknown", "00:00:11.8", "success",
                                "{" + self.machine + "}", "platform", "01AAAAAAAAAAAAAAAAAAAAAAAA", "11.826"]])
        self.assertEqual(self.restarts(), [])

    def test_without_a_line_about_the_image_the_seconds_count(self):
        self.tell([(20, "deploy.machine_started", {"seconds": 12.5})])
        self.assertEqual(self.deploys("image, finished_at - started_at, machine_version"),
                         [["unknown", "00:00:12.5", None]])

    def test_two_in_a_row_have_an_image_each(self):
        self.tell([*self.deploy(0), (8, "deploy.machine_started", {"seconds": 8}),
                   (30, "deploy.machine_started", {"seconds": 3})])
        self.assertEqual(self.deploys("image"), [IMAGE["image"], "unknown"])

    def test_a_machine_left_stopped_is_deployed_once_and_its_first_start_is_no_restart(self):
        self.tell([*at(-600, *BOOT), *crash(-500), *self.deploy(0), (7, "deploy.machine_left_stopped")])
        self.tell(at(600, *WOKEN), version="01DDDDDDDDDDDDDDDDDDDDDDDD")
        self.assertEqual(self.deploys("image, machine_version"), [[IMAGE["image"], None]])
        self.assertEqual(self.restarts(), [])

    def test_a_release_command_is_a_deploy_that_ends_and_is_not_restarted(self):
        self.tell([*self.deploy(0), (10, "boot.command"), (12, "exit.vm"), (12.1, "restart.suppressed")])
        self.assertEqual(self.deploys("image, trust, outcome"), [[IMAGE["image"], "guest", "success"]])
        self.assertEqual(self.exits(), ["not_restarted"])

    def test_a_start_after_an_image_is_a_deploy_by_the_runners_word(self):
        self.tell([*self.deploy(0), (10, "boot.command"), (10.5, "boot.machine_started", {"seconds": 0.9})])
        self.assertEqual(self.deploys("image, trust"), [[IMAGE["image"], "platform"]])

    def test_an_image_that_never_ran_is_no_deploy(self):
        self.tell(self.deploy(0))
        self.assertEqual(self.deploys(), [])

    def test_a_crash_after_a_deploy_is_a_restart(self):
        self.tell([*self.deploy(0), *at(8, *BOOT[:4]), (9, "deploy.machine_started", {"seconds": 9}),
                   *crash(30), *at(32, *BOOT)])
        self.assertEqual(len(self.deploys()), 1)
        self.assertEqual(self.restarts("cause, restart_count"), [["exit", "1"]])


class Others(Database):
    def test_a_session_is_a_claim_until_something_agrees(self):
        self.tell([(0, "ssh_session.opened", {"verified": True})], actor="user1@example.com", actor_type="user")
        self.assertEqual(self.see("ssh_sessions", "actor, verified, trust, assurance, certificate_event"),
                         [["user1@example.com", "t", "guest", "claimed", None]])
        self.pg.psql(f"INSERT INTO flytrail.confirmations SELECT event_id, occurred_at, 'http', now() "
                     f"FROM flytrail.events WHERE app = '{self.app}'")
        self.assertEqual(self.see("ssh_sessions", "assurance"), [["confirmed"]])

    def test_a_certificate_of_the_same_person_supports_a_session(self):
        self.tell([(-3600, "access.certificate_issued")], actor="user2@example.com", trust="api", app=None,
                  machine_id=None)
        self.tell([(0, "ssh_session.opened", {"verified": True})], actor="user2@example.com")
        self.tell([(1, "ssh_session.opened", {"verified": True})], actor="user3@example.com")
        self.assertEqual([row[1:] for row in self.see(
            "ssh_sessions", "opened_at, assurance, certificate_state, certificate_event IS NOT NULL")],
            [["claimed", "issued", "t"], ["claimed", "unknown", "f"]])

    def test_a_certificate_supports_a_session_as_long_as_it_is_good(self):
        for days, lifetime in ((40, "long"), (40, "session"), (100, "for ever")):
            actor = f"{lifetime.replace(' ', '-')}@example.com"
            until = self.pg.psql(f"SELECT now() + interval '{1 if lifetime == 'long' else -39} days'")[0][0]
            self.tell([(-days * 86400, "access.certificate_issued", {
                "after": {"lifetime": lifetime, **({} if lifetime == "for ever" else {"valid_before": until})}})],
                actor=actor, trust="api", app=None, machine_id=None)
            self.tell([(0, "ssh_session.opened", {"verified": True})], actor=actor)
        self.assertEqual(self.see("ssh_sessions", "actor, certificate_state"), [
            ["for-ever@example.com", "issued"], ["long@example.com", "issued"], ["session@example.com", "unknown"]])

    def test_without_certificates_to_look_at_nothing_is_said_of_their_absence(self):
        self.pg.psql("INSERT INTO flytrail.snapshots (resource, scope, taken_at, content) "
                     "VALUES ('ssh_certificates', '', now(), '{}')")
        self.addCleanup(self.pg.psql, "DELETE FROM flytrail.snapshots WHERE resource = 'ssh_certificates'")
        self.tell([(-100, "trail.baseline"), (10, "trail.unobserved"), (30, "trail.observed"),
                   (50, "trail.unobserved"), (70, "trail.observed")],
                  app=None, machine_id=None, trust="self", target="ssh_certificates")
        self.tell([(40, "trail.unobserved")], app=None, machine_id=None, trust="self", target="members")
        for second in (0, 20, 40, 60, 80):
            self.tell([(second, "ssh_session.opened", {"verified": True})], actor="nobody@example.com")
        self.assertEqual([row[1] for row in self.see("ssh_sessions", "opened_at, certificate_state")],
                         ["none", "unknown", "none", "unknown", "none"])

    def test_a_gap_is_open_until_later_facts_say_otherwise(self):
        gap = {"gap_start": "2026-05-03T21:00:00.123456789Z", "reason": "disconnect", "stream": "s"}
        self.tell([(0, "trail.gap_opened", gap)], correlation_id=self.machine, trust="self")

        def see():
            return self.pg.psql(f"SELECT app, gap_start, gap_end, reason, state, lines_recovered, lines_lost "
                                f"FROM flytrail.gaps WHERE gap_id = '{self.machine}'", "flytrail_reader")

        start = "2026-05-03 21:00:00.123457+00"
        self.assertEqual(see(), [[None, start, None, "disconnect", "open", "0", None]])
        self.tell([(5, "trail.gap_progress", {**gap, "gap_end": "2026-05-03T21:00:05Z", "lines_lost": 7})],
                  correlation_id=self.machine, trust="self")
        self.assertEqual(see(), [[None, start, "2026-05-03 21:00:05+00", "disconnect", "open", "0", "7"]])
        self.tell([(90, "trail.gap_closed", {**gap, "gap_end": "2026-05-03T21:00:05Z", "state": "filled",
                                             "lines_recovered": 7})],
                  correlation_id=self.machine, trust="self")
        self.assertEqual(see()[0][4:6], ["filled", "7"])

    def gap_ends(self, *gaps, stream="10000000-0000-4000-8000-000000000000"):
        """Tells (gap, reason, seconds to its end or None); returns the ends that the view has."""
        for second, (gap, reason, end) in enumerate(gaps):
            fact = {"gap_start": f"2026-05-03T21:00:{second:02}Z", "reason": reason}
            if end is not None:
                fact["gap_end"] = f"2026-05-03T21:00:{end:02}Z"
            self.tell([(second, "trail.gap_opened", fact)], correlation_id=gap, trust="self", stream=stream)
        return [end and int(end[-5:-3]) for _, end in self.pg.psql(
            "SELECT gap_id, gap_end FROM flytrail.gaps "
            f"WHERE gap_id LIKE '{self.machine}%' ORDER BY 1", "flytrail_reader")]

    def test_a_gap_that_was_open_at_a_crash_ends_with_the_next_starts(self):
        m = self.machine
        self.assertEqual(self.gap_ends((f"{m}-1", "disconnect", None), (f"{m}-2", "spool_full", None),
                                       (f"{m}-3", "start", None), (f"{m}-4", "start", 30),
                                       (f"{m}-5", "slow_consumer", 40), (f"{m}-6", "start", 50),
                                       (f"{m}-7", "disconnect", None)),
                         [30, 30, 30, 30, 40, 50, None])

    def test_a_gap_of_another_spool_ends_no_gap(self):
        m = self.machine
        self.gap_ends((f"{m}-1", "disconnect", None), stream="20000000-0000-4000-8000-000000000000")
        self.assertEqual(self.gap_ends((f"{m}-2", "start", 30), stream="30000000-0000-4000-8000-000000000000"),
                         [None, 30])

    def test_a_gap_whose_start_is_not_known_may_have_begun_at_any_time(self):
        self.tell([(0, "trail.gap_opened", {"reason": "store_rewound", "gap_end": "2026-05-03T21:00:05Z"})],
                  correlation_id=self.machine, trust="self")
        self.assertEqual(self.pg.psql("SELECT gap_start, gap_end FROM flytrail.gaps "
                                      f"WHERE gap_id = '{self.machine}'", "flytrail_reader"),
                         [["-infinity", "2026-05-03 21:00:05+00"]])

    def test_the_timeline_has_everything_without_colours(self):
        self.tell([(0, "trail.gap_opened"), (1, "trail.gap_progress"), (2, "exit.vm"), (3, "deploy.image_pulling")])
        self.assertEqual([row[1:] for row in self.see("timeline", "occurred_at, action, summary")],
                         [["trail.gap_opened", " INFO trail.gap_opened"], ["exit.vm", " INFO exit.vm"],
                          ["deploy.image_pulling", " INFO deploy.image_pulling"]])

    def test_secrets_come_from_the_api(self):
        self.tell([(0, "secret_change.updated")], target="API_KEY", trust="api", actor="user1@example.com")
        self.tell([(9, "secret_change.deployed")], trust="api", correlation_id="v12")
        self.assertEqual(self.see("secret_changes", "secret_name, change, actor, deployed_at IS NOT NULL, release"),
                         [["API_KEY", "updated", "user1@example.com", "t", "v12"]])

    def test_access_comes_from_the_api(self):
        self.tell([(0, "access.member_added")], target_type="member", target=self.machine, trust="api", app=None)
        self.assertEqual(self.pg.psql(f"SELECT change, trust FROM flytrail.access_changes "
                                      f"WHERE target = '{self.machine}'", "flytrail_reader"),
                         [["member_added", "api"]])

    def test_a_lines_text_has_no_terminal_sequences(self):
        for message, text in (("\x1b[32m INFO\x1b[0m up", " INFO up"), ("\x1b[38;5;196mred\x1b[K", "red"),
                              ("\x1b]0;title\x07shown", "shown"), ("\x1b]8;;http://x\x1b\\link", "link"),
                              ("\x1bcreset", "\x1bcreset"), ("100% [####] [0m", "100% [####] [0m")):
            with self.subTest(message):
                self.assertEqual(self.pg.psql(f"SELECT flytrail.without_ansi({quote(message)})"), [[text]])

    def test_the_two_lists_of_signs_are_one(self):
        self.assertEqual(self.pg.psql("""
            SELECT k.action FROM flytrail.machine_sign_kinds k
            WHERE flytrail.is_start(k.class, k.action) <> (k.sign = 'start')
                OR flytrail.is_end(k.class, k.action) <> (k.sign = 'end')
                OR split_part(k.action, '.', 1) <> k.class
                OR k.retention_class <> CASE WHEN k.class = 'deploy' THEN 'security' ELSE 'operations' END"""), [])

    def test_every_action_in_a_view_is_one_that_there_is(self):
        with open(os.path.join(ROOT, "include", "model", "actions.def"), encoding="utf-8") as file:
            known = set(re.findall(r'^ACTION\(\w+, "([a-z_.]+)"', file.read(), re.MULTILINE))
        used = set()
        for path in glob.glob(os.path.join(ROOT, "sql", "*.sql")):
            with open(path, encoding="utf-8") as file:
                used |= set(re.findall(r"'((?:boot|volume|autoscale|deploy|exit|restart|oom|ssh_session|trail"
                                       r"|access|secret_change)\.[a-z_]+)'", file.read()))
        self.assertGreater(len(used), 20)
        self.assertEqual(used - known, set())


class Plans(Database):
    """A filter on time or application reaches the partitions and the indexes."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.today = cls.pg.psql("SELECT now()")[0][0]  # the last day that has a partition, also when it is over
        cls.pg.psql(f"SELECT flytrail.ensure_partition('log_lines', '{cls.today}')")
        cls.pg.psql("""
            INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis,
                observed_at, app, machine_id, actor, actor_type, outcome, severity, trust, source, stream, seq)
            SELECT gen_random_uuid(), 'operations', 'boot', 'boot.machine_started',
                now() - n * interval '10 minutes', 'source', now(), 'app-' || n % 50, 'machine' || n % 500,
                'unknown', 'unknown', 'success', 1, 'platform', 'nats', gen_random_uuid(), n
            FROM generate_series(1, 20000) AS n;
            ANALYZE flytrail.events;""")

    def plan(self, query, analyze=False):
        rows = self.pg.psql(f"EXPLAIN ({'ANALYZE, ' if analyze else ''}COSTS off) {query}")
        return "\n".join(row[0] for row in rows)

    def anchors(self, query):
        """The partitions in which the rows themselves are looked for (alias e, or l)."""
        return set(re.findall(r" on ((?:events|log_lines)_\w+) (?:e|l)(?:_\d+)?\b", self.plan(query)))

    def months(self, kind, ago):
        return self.pg.psql(f"SELECT 'events_{kind}_' || to_char(now() AT TIME ZONE 'UTC' - interval '{ago}', "
                            "'YYYYMM')")[0][0]

    def test_a_time_reaches_the_partitions(self):
        recent = "> now() - interval '1 hour'"
        for view, column in (("timeline", "occurred_at"), ("restarts", "occurred_at"), ("exits", "occurred_at"),
                             ("ssh_sessions", "opened_at"), ("access_changes", "changed_at")):
            with self.subTest(view):
                plan = self.plan(f"SELECT * FROM flytrail.{view} WHERE {column} {recent}", analyze=True)
                old = self.months("(operations|security)", "70 days")
                for line in plan.splitlines():
                    if re.search(rf" on {old} (e|l)(_\d+)?\b", line):
                        self.assertIn("never executed", line)
        self.assertEqual(len(self.anchors("SELECT * FROM flytrail.lines WHERE occurred_at >= date_trunc("
                                          f"'day', timestamptz '{self.today}', 'UTC')")), 1)

    def assert_full_month_is_not_read(self, query, ago, has):
        """Of a month that is full of rows on every day: where there are few, all of them are read, and rightly."""
        at, month = self.pg.psql("SELECT at, to_char(at AT TIME ZONE 'UTC', 'YYYYMM') FROM (SELECT "
                                 "date_trunc('month', now(), 'UTC') - interval '10 days' AS at) AS s")[0]
        plan = self.plan(f"{query} occurred_at BETWEEN timestamptz '{at}' - interval '{ago}' AND timestamptz '{at}'")
        self.assertRegex(plan, has)
        self.assertNotIn(f"Seq Scan on events_operations_{month} ", plan)

    def test_an_application_uses_its_index(self):
        self.assert_full_month_is_not_read("SELECT * FROM flytrail.timeline WHERE app = 'app-7' AND", "1 day",
                                           r"Index Scan.* events_operations_\d+_app_occurred_at_idx")

    def test_looks_back_are_by_the_machines_index(self):
        self.assert_full_month_is_not_read("SELECT * FROM flytrail.restarts WHERE", "3 hours",
                                           r"Index (Only )?Scan.* using events_operations_\d+_machine_id_class_action")


class Captures(Database):
    """What the views say of real lines, whose repeats are missing: each expectation was read by hand."""

    EXPECTED = {
        # capture: restarts (machine, cause, trust), exits (machine, outcome), deploys (machine, trust, seconds)
        "01": ([("5683970eae6308", "exit", "platform")], [("5683970eae6308", "restarted")], []),
        "02": ([], [], []),
        "03": ([("90807799a69568", "autostart", "platform")] * 2, [("90807799a69568", "replaced")],
               [("90807799a69568", "platform", "11.826")]),
        "04": ([("48ed047c13dd08", "autostart", "platform")],
               [("48ed047c13dd08", "stopped"), ("784e196a497738", "stopped")], []),
        "05": ([], [], [("6e82751f703287", "guest", None)]),
        "07": ([("2871549fe43968", "autostart", "platform")] * 2,
               [("2871549fe43968", outcome) for outcome in ("gave_up", "restarted", "unknown", "unknown")], []),
        "08": ([], [("2871549fe43968", "gave_up"), ("5683506eae1238", "unknown"),
                    ("6830d14c42d298", "not_restarted")],
               [("5683506eae1238", "platform", None), ("6830d14c42d298", "guest", None)]),
        "09": ([("2871549fe43968", "autostart", "platform")] * 2,
               [("2871549fe43968", outcome) for outcome in ("gave_up", "restarted", "unknown")], []),
        "10": ([("d894677b4d6d78", "autostart", "guest"), ("d894677b4d6d78", "autostart", "platform")], [], []),
        "11": ([("8e795eb7790098", "unknown", "guest")], [], [("8e795eb7790098", "platform", None)]),
        "12": ([], [("2865134a394268", "unknown")], []),
    }

    def run_capture(self, number):
        database = f"capture_{number}"
        self.pg.psql(f"CREATE DATABASE {database} TEMPLATE empty")
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [FLYTRAIL, "run", "--app", "cap", os.path.join(CAPTURES, f"{number}.txt")],
                capture_output=True, text=True, timeout=lab.ENDED_SECONDS, check=False,
                env={"FLYTRAIL_DATABASE_URL": self.pg.url("flytrail_writer", database),
                     "FLYTRAIL_SPOOL_DIR": os.path.join(folder, "spool"),
                     "FLYTRAIL_LISTEN": f"127.0.0.1:{lab.free_port()}"})
        self.assertEqual(done.returncode, 0, done.stderr)
        return database

    def test_each_capture_is_told_right(self):
        self.pg.psql("CREATE DATABASE empty")
        subprocess.run([FLYTRAIL, "migrate"], check=True, stdout=subprocess.DEVNULL,
                       env={"FLYTRAIL_ADMIN_DATABASE_URL": self.pg.url(database="empty")})
        for number, (restarts, exits, deploys) in self.EXPECTED.items():
            with self.subTest(number):
                database = self.run_capture(number)

                def see(sql):
                    return [tuple(row) for row in self.pg.psql(sql, "flytrail_reader", database)]

                self.assertEqual(see("SELECT machine_id, cause, trust FROM flytrail.restarts "
                                     "ORDER BY machine_id, trust"), restarts)
                self.assertEqual(sorted(see("SELECT machine_id, outcome FROM flytrail.exits")), sorted(exits))
                self.assertEqual(see("SELECT machines[1], trust, seconds FROM flytrail.deploys ORDER BY 1"),
                                 deploys)
                self.assertEqual(see("SELECT count(*) FROM flytrail.ssh_sessions"),
                                 [("2" if number == "10" else "0",)])


if __name__ == "__main__":
    unittest.main()
