"""Retention as it is applied, by command and by `run`: what goes, what stays and why, and that nothing is lost."""

import contextlib
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402
from old_trail import LINES, OLD_DAYS, Case  # noqa: E402

AT_ONCE = 4
WAIT_SECONDS_MAX = 3
DETACH_TRIES = 30


class Apply(Case):
    def setUp(self):
        super().setUp()
        self.fill(10, OLD_DAYS, OLD_DAYS + 1)
        self.set_lines(30)
        self.olds = [self.day(OLD_DAYS + 1), self.day(OLD_DAYS)]

    def all_is_there(self):
        self.assertEqual(self.old_lines(), 3 * LINES)
        self.assertLessEqual(set(self.olds), self.partitions())

    def test_what_is_past_its_term_goes_and_each_is_on_record(self):
        text = self.command("retention", "apply")
        self.assertTrue(text.endswith("\n2 partitions dropped; past their terms, 0 kept by holds or gaps and 0 that "
                                      "could not go\n"), text)
        self.assertEqual(self.old_lines(), LINES)
        facts = self.facts("trail.partition_dropped")
        self.assertEqual([(fact["partition"], fact["rows"], fact["archive"]) for fact in facts],
                         [(name, LINES, None) for name in self.olds])
        self.assertIn("0 partitions dropped;", self.command("retention", "apply"))

    def test_a_late_row_of_what_is_gone_has_room(self):
        self.command("retention", "apply")
        self.fill(OLD_DAYS)
        self.assertEqual(self.old_lines(), 2 * LINES)
        self.assertIn("1 partition dropped;", self.command("retention", "apply"))

    def test_an_archive_that_agrees_is_in_the_fact(self):
        text = self.drive("agree", 0)
        self.assertEqual(text, "".join(f"asked log_lines {name}\ndropped {name}\n" for name in self.olds))
        for fact in self.facts("trail.partition_dropped"):
            self.assertEqual((fact["archive"]["rows"], fact["archive"]["objects"]), (LINES, 2))
            self.assertEqual(fact["archive"]["digest"], fact["digest"])
            self.assertEqual(fact["archive"]["index"], ["flytrail/index/x.ndjson.gz"])

    def test_an_archive_that_lacks_a_row_or_cannot_be_read_keeps_the_partition(self):
        for does, why in (("lack", "its archive 4 with"), ("fail", "an object of it is damaged")):
            with self.subTest(does=does):
                text = self.drive(does, 1)
                for name in self.olds:
                    self.assertRegex(text, rf"(?m)^stays {name} archive: .*{why}")
                self.all_is_there()
        self.assertEqual(self.facts("trail.partition_dropped"), [])

    def test_an_archive_that_is_away_is_not_asked_again_and_again(self):
        self.fill(*range(OLD_DAYS + 2, OLD_DAYS + 5))
        olds = [self.day(age) for age in range(OLD_DAYS + 4, OLD_DAYS - 1, -1)]
        text = self.drive("away", 1)
        self.assertEqual(re.findall("(?m)^asked log_lines (.*)$", text), olds[:3])
        self.assertEqual(re.findall("(?m)^stays (.*) archive: its archive: S3 does not answer$", text), olds)
        self.assertEqual(self.old_lines(), 6 * LINES)
        text = self.drive("one", 1)
        self.assertEqual(re.findall("(?m)^dropped (.*)$", text), olds[1:])
        self.fill(*range(OLD_DAYS, OLD_DAYS + 4))
        self.set_lines(30, "--keep-at-most", "35")
        text = self.drive("away", 0)
        self.assertEqual(re.findall("(?m)^dropped (.*)$", text), olds)

    def test_a_kind_that_is_in_use_is_not_waited_for_again_and_again(self):
        self.fill(*range(OLD_DAYS + 2, OLD_DAYS + 6))
        self.pg.psql("ALTER FUNCTION flytrail.retention_detach(text) SET lock_timeout = '10ms'")
        with self.holding("LOCK TABLE flytrail.log_lines IN ACCESS SHARE MODE"):
            text = self.drive("agree", 1)
        self.assertEqual(re.findall("(?m)^stays (.*) busy: ", text),
                         [self.day(age) for age in range(OLD_DAYS + 5, OLD_DAYS - 1, -1)])
        self.assertEqual(self.pg.log().count("canceling statement due to lock timeout"), 3 * DETACH_TRIES)
        self.assertEqual(self.drive("agree", 0).count("dropped"), 6)

    def test_past_keep_at_most_no_archive_stops_it_and_that_is_on_record(self):
        self.set_lines(30, "--keep-at-most", "35")
        for does in ("lack", "fail"):
            with self.subTest(does=does):
                self.assertEqual(self.drive(does, 0).count("dropped"), 2)
                facts = self.facts("trail.partition_dropped")[-2:]
                self.assertEqual([fact["archive_agrees"] for fact in facts], [False, False])
                self.assertEqual([fact["archive"].get("failure") for fact in facts],
                                 [None if does == "lack" else "an object of it is damaged"] * 2)
                self.set_lines(30)
                self.fill(OLD_DAYS, OLD_DAYS + 1)
                self.set_lines(30, "--keep-at-most", "35")

    def test_a_connection_that_is_lost_after_the_check_loses_nothing(self):
        text = self.drive("cut", 1)
        self.assertIn(f"attached {self.olds[0]}_leaving\n", text)
        self.assertRegex(text, rf"(?m)^error {self.olds[0]}: nothing is left detached: the connection to Postgres is "
                               "lost: ")
        self.all_is_there()
        self.assertEqual(self.drive("agree", 0).count("dropped"), 2)

    def test_what_a_killed_one_left_is_attached_by_the_next(self):
        self.drive("die", 3)
        self.assertEqual(self.old_lines(), 2 * LINES)
        self.command("hold", "add", "--app", "web-3", "--reason", "all of it")
        text = self.command("retention", "apply")
        self.assertIn(f"attached again what an interrupted one had left: {self.olds[0]}_leaving\n", text)
        self.all_is_there()

    def test_rows_that_came_while_it_was_detached_stay_too(self):
        self.drive("die", 3)
        self.fill(OLD_DAYS + 1)
        self.command("hold", "add", "--app", "web-3", "--reason", "all of it")
        self.command("retention", "apply")
        self.assertEqual(self.old_lines(), 4 * LINES)

    def test_a_signal_attaches_again_what_is_detached(self):
        self.assertRegex(self.drive("end", 1), rf"(?m)^error {self.olds[0]}: it was ended before it was done$")
        self.all_is_there()
        self.assertEqual(self.pg.psql("SELECT flytrail.retention_leftovers()"), [])

    def test_of_two_at_once_one_does_nothing(self):
        with self.holding("SELECT pg_advisory_lock(hashtextextended('flytrail.retention', 0))"):
            text = self.command("retention", "apply", status=1)
        self.assertEqual(text, "flytrail: retention apply: another `retention apply` or `flytrail run` is at it: this "
                               "one did nothing\n")
        self.all_is_there()

    def test_a_clock_that_disagrees_with_the_newest_record_stops_it(self):
        self.ft.start().await_event("store_connected")
        lab.wait_for(lambda: self.pg.psql("SELECT 1 FROM flytrail.events WHERE seq > 0"), 60, "a fact of the spool's")
        self.ft.stop()
        self.fill(OLD_DAYS, OLD_DAYS + 1)  # what it has dropped meanwhile
        before = self.old_lines()
        for ahead in ("2 days", "-2 days", "400 days"):
            with self.subTest(ahead=ahead):
                self.pg.psql("CREATE OR REPLACE FUNCTION flytrail.retention_now() RETURNS timestamptz LANGUAGE sql "
                             f"STABLE AS $$ SELECT now() + interval '{ahead}' $$")
                text = self.command("retention", "apply", status=1)
                self.assertRegex(text, r"^flytrail: retention apply: the clock says .* nothing goes: set the clock that is "
                                       "wrong, or, .*\n$")
        self.assertEqual(self.old_lines(), before)

    def test_what_was_detached_by_hand_is_named_and_left_alone(self):
        self.pg.psql(f"ALTER TABLE flytrail.log_lines DETACH PARTITION flytrail.{self.olds[0]}")
        text = self.command("retention", "apply", status=1)
        self.assertIn(f"{self.olds[0]} is left alone: somebody detached it", text)
        self.assertIn(f"{self.olds[0]} is left alone: ", self.command("retention", "plan"))
        self.assertEqual(self.pg.psql(f"SELECT count(*) FROM flytrail.{self.olds[0]}"), [[str(LINES)]])
        self.assertEqual(self.old_lines(), LINES)

    def test_what_somebody_built_on_a_partition_keeps_that_one_alone_and_it_is_said(self):
        self.fill(*range(OLD_DAYS + 2, OLD_DAYS + 6))
        built_on = [self.day(age) for age in range(OLD_DAYS + 5, OLD_DAYS + 1, -1)]
        for name in built_on:
            self.pg.psql(f"CREATE VIEW public.of_{name} AS SELECT * FROM flytrail.{name}")
        text = self.command("retention", "apply", status=1)
        for name in built_on:
            self.assertRegex(text, f"(?m)^{name} stays, though past its term: Postgres says: cannot drop table .*{name}_leaving "
                                   r"because other objects depend on it \(SQLSTATE 2BP01\)$")
        self.assertEqual(re.findall("(?m)^dropped (.*?):", text), self.olds)

    @contextlib.contextmanager
    def holding(self, sql):
        """A session that has done sql, and is in its transaction, until the end."""
        with subprocess.Popen([f"{lab.PG_BIN}/psql", "-X", "-q", "-A", "-t", self.pg.url()], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as session:
            session.stdin.write(f"BEGIN; {sql}; SELECT 'held';\n")
            session.stdin.flush()
            for line in session.stdout:
                if line.strip() == "held":
                    break
            yield
            session.stdin.close()

    def test_a_partition_in_use_is_tried_again_and_goes_at_last(self):
        with contextlib.ExitStack() as stack:
            with self.holding("LOCK TABLE flytrail.log_lines IN ACCESS SHARE MODE"):
                apply = stack.enter_context(subprocess.Popen(
                    [flytrail.BINARY, "retention", "apply"], env=self.ft.env, text=True, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT))
                lab.wait_for(lambda: self.pg.psql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                                                  "query LIKE '%retention_detach%'"), 30, "it waits for the lock")
                # By the server's own clock: on a busy machine the way to it and back takes its time.
                (waited,), = self.pg.psql("SELECT extract(epoch FROM clock_timestamp() - statement_timestamp()) "
                                          "FROM (SELECT count(*) FROM flytrail.log_lines) AS counted")
                self.assertLess(float(waited), WAIT_SECONDS_MAX)
                self.all_is_there()
            self.assertIn("2 partitions dropped;", apply.communicate(timeout=lab.ENDED_SECONDS)[0])
        self.assertEqual(apply.returncode, 0)

    def test_a_command_that_is_ended_while_it_waits_says_so(self):
        with contextlib.ExitStack() as stack, self.holding("LOCK TABLE flytrail.log_lines IN ACCESS SHARE MODE"):
            apply = stack.enter_context(subprocess.Popen(
                [flytrail.BINARY, "retention", "apply"], env=self.ft.env, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT))
            lab.wait_for(lambda: self.pg.psql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                                              "query LIKE '%retention_detach%'"), 30, "it waits for the lock")
            apply.terminate()
            self.assertEqual(apply.communicate(timeout=lab.ENDED_SECONDS)[0], f"flytrail: retention apply: {self.olds[0]}: it was "
                             "ended before it was done\n")
        self.assertEqual(apply.returncode, 1)
        self.all_is_there()

    def where_they_are(self):
        """Of the old lines: in the trail, detached, and gone on record."""
        detached = [self.pg.psql(f"SELECT count(*) FROM flytrail.{name}")[0][0]
                    for name, in self.pg.psql("SELECT flytrail.retention_leftovers()")]
        return self.old_lines(), sum(map(int, detached)), sum(
            fact["rows"] for fact in self.facts("trail.partition_dropped") if "rows" in fact)

    def test_wherever_it_is_killed_no_row_is_lost(self):
        self.fill(*range(OLD_DAYS + 2, OLD_DAYS + 6))
        seen = set()
        for lock, function in (("flytrail.log_lines IN ACCESS SHARE", "retention_detach"),
                               ("flytrail.leaving IN SHARE", "retention_attach"),
                               ("flytrail.holds IN ROW EXCLUSIVE", "retention_drop"),
                               ("flytrail.events_security IN SHARE", "retention_drop"),
                               ("flytrail.leaving IN SHARE", "retention_detach"),
                               ("flytrail.snapshots IN ACCESS EXCLUSIVE", "retention_tidy")):
            with self.subTest(function, lock=lock):
                with self.holding(f"LOCK TABLE {lock} MODE"), subprocess.Popen(
                        [flytrail.BINARY, "retention", "apply"], env=self.ft.env, stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL) as apply:
                    lab.wait_for(lambda f=function: self.pg.psql(
                        f"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{f}(%' "
                        "AND usename = 'flytrail_writer'"), 30, "it waits")
                    apply.kill()
                lab.wait_for(lambda: not self.pg.psql("SELECT 1 FROM pg_stat_activity WHERE usename = 'flytrail_writer'"), 30,
                             "what it had asked for to be done")
                where = self.where_they_are()
                self.assertEqual(sum(where), 7 * LINES)
                seen.add(where)
        self.assertGreater(len(seen), 2)
        self.command("retention", "apply")
        self.assertEqual(self.where_they_are(), (LINES, 0, 6 * LINES))

    def test_a_lost_connection_is_one_sentence_to_its_end(self):
        with contextlib.ExitStack() as stack:
            with self.holding("LOCK TABLE flytrail.holds IN ROW EXCLUSIVE MODE"):
                apply = stack.enter_context(subprocess.Popen(
                    [flytrail.BINARY, "retention", "apply"], env=self.ft.env, text=True, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE))
                lab.wait_for(lambda: self.pg.psql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                    "query LIKE '%retention_drop%'"), 30, "it waits to drop")
            said = apply.communicate(timeout=lab.ENDED_SECONDS)[1]
        self.assertRegex(said, f"^flytrail: retention apply: {self.olds[0]}: nothing is left detached: the connection to "
                         "Postgres is lost: FATAL: 57P01: terminating connection due to administrator command\n$")
        self.all_is_there()


class Run(Case):
    """What `flytrail run` does of it by itself."""

    def setUp(self):
        super().setUp()
        self.fill(OLD_DAYS, OLD_DAYS + 1)
        self.fill(OLD_DAYS + 2, app="held")
        self.set_lines(30)
        self.command("hold", "add", "--app", "held", "--reason", "a dispute")

    def test_it_applies_the_policy_and_says_once_why_a_partition_waits(self):
        self.ft.start().await_event("retention_stays")
        lab.wait_for(lambda: len(self.facts("trail.partition_dropped")) == 2, 60, "the old days to go")
        lab.wait_for(lambda: self.facts("trail.retention_waits"), 60, "why one waits")
        self.ft.await_event("retention_applied")
        self.assertEqual(self.ft.stop(), 0)
        self.assertEqual(self.old_lines(), LINES)
        event = self.ft.events("retention_applied")[0]
        self.assertEqual((event["dropped"], event["waiting"], event["attached"]), (2, 1, 0))
        fact = self.facts("trail.retention_waits")[0]
        self.assertEqual((fact["partition"], fact["state"]), (self.day(OLD_DAYS + 2), "hold"))
        self.assertRegex(fact["why"], "^hold .*: a dispute$")
        self.fill(OLD_DAYS)
        self.ft.start()
        lab.wait_for(lambda: len(self.facts("trail.partition_dropped")) == 3, 60, "it applies the policy again")
        self.ft.stop()
        self.assertEqual(len(self.facts("trail.retention_waits")), 1)


    def test_a_reason_in_any_script_is_told(self):
        self.command("hold", "release", self.command("hold", "list").split()[0], "--reason", "settled")
        for number in range(4):
            self.fill(OLD_DAYS + 3 + number, app=f"app-{number}")
            self.command("hold", "add", "--app", f"app-{number}", "--reason", "x" * number + "\U0001f4dc" * 250)
        self.ft.start().await_event("retention_applied")
        facts = lab.wait_for(lambda: len(told := self.facts("trail.retention_waits")) == 4 and told, 60, "why each waits")
        for fact in facts:
            self.assertRegex(fact["why"], "^hold .*: x{0,3}\U0001f4dc+$")
        self.ft.stop()
        self.assertEqual(self.ft.events("dead_letter"), [])


class Replicas(Case):
    PG = {"settings": ["log_disconnections = on", "log_line_prefix = '%p '"]}

    def test_while_another_replica_has_the_lease_nothing_goes(self):
        self.fill(OLD_DAYS)
        self.set_lines(30)
        self.pg.psql("INSERT INTO flytrail.leases (name, holder, taken_at, expires_at) "
                     "VALUES ('retention', 'another', now(), now() + interval '1 hour'); "
                     "ALTER ROLE flytrail_writer SET log_statement = 'all'")
        self.ft.start()
        # The connection by which the lease was asked for ends when the look is over.
        pid, = lab.wait_for(lambda: re.findall(r"^(\d+) DETAIL:  parameters: \$1 = 'retention', \$2", self.pg.log(), re.MULTILINE),
                            60, "it asks for the lease")
        lab.wait_for(lambda: re.search(rf"^{pid} LOG:  disconnection", self.pg.log(), re.MULTILINE), 60, "its look is over")
        self.assertEqual(self.facts("trail.partition_dropped"), [])
        self.assertEqual(self.old_lines(), LINES)
        self.pg.psql("UPDATE flytrail.leases SET expires_at = now() WHERE name = 'retention'")
        self.ft.stop()
        self.ft.start()
        lab.wait_for(lambda: self.facts("trail.partition_dropped"), 60, "the one that is there applies it")


class Stuck(Case):
    def test_what_stays_for_longer_than_it_should_is_told_and_turns_nothing_red(self):
        self.fill(OLD_DAYS, OLD_DAYS + 1)
        self.pg.psql(f"ALTER TABLE flytrail.log_lines DETACH PARTITION flytrail.{self.day(OLD_DAYS)}")
        self.set_lines(30)
        self.command("hold", "add", "--app", "web-3", "--reason", "a dispute")
        self.ft.start().await_event("retention_stray")
        check = lab.wait_for(lambda: (said := self.ft.health()[1].get("retention", {"value": ""}))["value"].startswith("applied")
                             and said, 60, "it is applied")
        self.assertRegex(check["value"], r"^applied .* ago: somebody detached a partition, .*; 1 partitions stay though past their terms$")
        self.assertTrue(check["ok"])
        lab.wait_for(self.ft.is_well, 60, "health")
        self.assertEqual((self.ft.metric("retention_well"), self.ft.metric("partitions_waiting")), (0, 1))


class Load(Case):
    """Lines that come while partitions go."""

    PG = {"settings": ["track_commit_timestamp = on"]}

    def longest_wait(self):
        """In seconds, between two transactions of the store's that wrote numbered lines."""
        return float(self.pg.psql("""
            SELECT max(extract(epoch FROM at - before)) FROM (
                SELECT at, lag(at) OVER (ORDER BY at) AS before FROM (
                    SELECT DISTINCT pg_xact_commit_timestamp(xmin) AS at FROM flytrail.log_lines
                    WHERE message LIKE 'numbered %') AS commits) AS waits""")[0][0])

    def test_lines_at_full_rate_are_all_there_and_none_waits_long(self):
        count, rounds = 120000, 0
        self.set_lines(30)
        self.fill(OLD_DAYS)
        self.ft.start().await_event("retention_applied")  # from here on the command alone is at it
        lab.wait_for(lambda: not self.pg.psql("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"),
                     60, "the end of the session that had its lock")
        publisher = self.world.publisher("--count", count, "--rate", 20000, "--tag", "numbered")
        self.addCleanup(publisher.kill)
        while publisher.poll() is None:
            self.fill(*range(OLD_DAYS, OLD_DAYS + 5))
            self.assertIn("5 partitions dropped;", self.command("retention", "apply"))
            rounds += 1
        self.assertEqual(publisher.returncode, 0)
        self.world.await_rows(count, "message LIKE 'numbered %'", 120)
        self.ft.stop()
        self.assertGreaterEqual(rounds, 2)
        self.assertLess(self.longest_wait(), WAIT_SECONDS_MAX)
        self.assertEqual(self.world.check_every_line_is_a_row_or_in_a_gap(count), 0)


if __name__ == "__main__":
    unittest.main()
