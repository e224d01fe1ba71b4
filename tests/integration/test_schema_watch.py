"""Whoever changes the trail's schema is told of: by event triggers, and by what the next look finds."""

import json
import os
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from flytrail import World, migrated_data  # noqa: E402
from retention import Refused, Session  # noqa: E402
from test_migrate import migrate  # noqa: E402

WRITER, READERS = "flytrail_writer", ("flytrail_reader", "flytrail_line_reader")
# What an owner can do: the command; its tag and object by the event trigger; what a look finds.
CHANGES = (
    ("ALTER TABLE flytrail.log_lines DISABLE TRIGGER append_only",
     "ALTER TABLE", "table flytrail.log_lines", "changed trigger append_only on flytrail.log_lines"),
    ("ALTER TABLE flytrail.{partition} SET UNLOGGED",
     "ALTER TABLE", "table flytrail.{partition}", "changed partition flytrail.{partition}"),
    ("ALTER TABLE flytrail.{partition} DISABLE TRIGGER append_only",
     "ALTER TABLE", "table flytrail.{partition}", "changed partition flytrail.{partition}"),
    ("DROP TRIGGER append_only ON flytrail.holds", "DROP TRIGGER",
     "trigger append_only on flytrail.holds", "removed trigger append_only on flytrail.holds"),
    ("CREATE OR REPLACE FUNCTION flytrail.refuse_change() RETURNS trigger LANGUAGE plpgsql "
     "SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'", "CREATE FUNCTION",
     "function flytrail.refuse_change()", "changed function flytrail.refuse_change()"),
    ("ALTER FUNCTION flytrail.make_partitions_ahead() SECURITY INVOKER", "ALTER FUNCTION",
     "function flytrail.make_partitions_ahead()", "changed function flytrail.make_partitions_ahead()"),
    ("GRANT UPDATE ON flytrail.events TO flytrail_writer",
     "GRANT", "rights on table events", "changed table flytrail.events"),
    ("GRANT DELETE ON flytrail.{partition} TO flytrail_writer",
     "GRANT", "rights on table {partition}", "changed partition flytrail.{partition}"),
    ("GRANT UPDATE (reason) ON flytrail.holds TO flytrail_writer", "GRANT",
     "rights on column holds.reason", "changed column flytrail.holds.reason"),
    ("ALTER TABLE flytrail.schema_version DROP COLUMN sha256", "ALTER TABLE",
     "table column flytrail.schema_version.sha256", "removed column flytrail.schema_version.sha256"),
    ("CREATE RULE deaf AS ON INSERT TO flytrail.told_commands DO ALSO NOTHING", "CREATE RULE",
     "rule deaf on flytrail.told_commands", "added rule deaf on flytrail.told_commands"),
    ("CREATE OR REPLACE VIEW flytrail.watched AS SELECT * FROM ({watched}) AS v WHERE false",
     "CREATE VIEW", "view flytrail.watched", "changed view flytrail.watched"),
    ("CREATE TABLE flytrail.mine (x integer)",
     "CREATE TABLE", "table flytrail.mine", "added table flytrail.mine"),
    ("ALTER TABLE flytrail.mine ENABLE ROW LEVEL SECURITY",
     "ALTER TABLE", "table flytrail.mine", "changed table flytrail.mine"),
    ("DROP TABLE flytrail.mine", "DROP TABLE", "table flytrail.mine", "removed table flytrail.mine"),
    ("DROP TABLE flytrail.{partition}",
     "DROP TABLE", "table flytrail.{partition}", "removed partition flytrail.{partition}"),
)


class Watched(unittest.TestCase):
    """A server of its own for each case, since what is changed stays changed."""

    admin, has_event_triggers = "postgres", True

    def setUp(self):
        self.pg = lab.Postgres(template=migrated_data())
        self.addCleanup(self.pg.close)
        self.pg.start()
        self.pg.psql("SELECT flytrail.make_partitions_ahead()", WRITER)
        self.partition = self.first_partition()

    def first_partition(self):
        """Of those of lines: today's, or at midnight yesterday's."""
        return self.pg.psql("SELECT min(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = "
                            "'flytrail.log_lines'::regclass")[0][0].removeprefix("flytrail.")

    def as_owner(self, sql):
        return self.pg.psql(f"SET ROLE flytrail_owner; {sql}", self.admin)

    def look(self):
        return int(self.pg.psql("SELECT flytrail.check_schema()", WRITER)[0][0])

    def facts(self, found_by):
        """What was told since the last call."""
        rows = self.pg.psql(f"""SELECT attributes FROM flytrail.events WHERE class = 'trail'
            AND action = 'trail.schema_changed' AND severity = 4 AND attributes ->> 'found_by' = '{found_by}'
            ORDER BY occurred_at""")
        told = self.told.setdefault(found_by, [])
        new = [json.loads(row[0]) for row in rows][len(told):]
        told += new
        return new

    @property
    def told(self):
        return self.__dict__.setdefault("told_so_far", {})

    def check_changes_are_told(self):
        words = {"partition": self.partition,
                 "watched": self.pg.psql("SELECT pg_get_viewdef('flytrail.watched'::regclass)")[0][0].rstrip(";")}
        for sql, tag, touched, found in CHANGES:
            sql, touched, found = (text.format(**words) for text in (sql, touched, found))
            with self.subTest(sql=sql):
                before = self.pg.psql("SELECT flytrail.schema_fingerprint()", "flytrail_reader")
                self.as_owner(sql)
                self.assertEqual(self.look(), 1 + self.has_event_triggers)
                seen, = self.facts("fingerprint")
                self.assertIn(found, seen["objects"])
                commands = [c for fact in self.facts("event trigger") for c in fact["commands"]]
                if self.has_event_triggers:
                    self.assertIn((tag, self.admin, "flytrail_owner", "psql", "127.0.0.1"),
                                  [(c["tag"], c["login"], c["acted_as"], c["application_name"], c["client_addr"])
                                   for c in commands])
                    self.assertIn(touched, sum((c["objects"] for c in commands), []))
                else:
                    self.assertEqual(commands, [])
                self.assertEqual(self.look(), 0, "told once")
                if "DROP TABLE flytrail.log_lines" not in sql:
                    self.assertNotEqual(
                        self.pg.psql("SELECT flytrail.schema_fingerprint()", "flytrail_reader"), before)


class WithEventTriggers(Watched):
    def test_each_change_is_told_by_both_nets(self):
        self.check_changes_are_told()

    def test_a_view_is_the_same_when_it_comes_back_from_a_dump(self):
        """Which prints it and makes it from that."""
        state = "SELECT object, shape FROM flytrail.schema_rows() WHERE object LIKE 'view %' ORDER BY 1"
        before = self.as_owner(state)
        for view, in self.pg.psql("SELECT oid::regclass FROM pg_class WHERE relkind = 'v' "
                                  "AND relnamespace = 'flytrail'::regnamespace"):
            [[text]] = self.pg.psql(f"SELECT pg_get_viewdef('{view}'::regclass)")
            self.as_owner(f"CREATE OR REPLACE VIEW {view} AS {text}")
        for was, now in zip(before, self.as_owner(state), strict=True):
            self.assertEqual(was, now)

    def test_what_is_undone_before_the_next_look_is_told_with_who_did_it(self):
        self.as_owner(f"""BEGIN; ALTER TABLE flytrail.{self.partition} DISABLE TRIGGER append_only;
            DELETE FROM flytrail.{self.partition};
            ALTER TABLE flytrail.{self.partition} ENABLE TRIGGER append_only; COMMIT""")
        self.assertEqual(self.look(), 1)
        fact, = self.facts("event trigger")
        self.assertEqual([(c["tag"], c["objects"], c["login"]) for c in fact["commands"]],
                         [("ALTER TABLE", [f"table flytrail.{self.partition}"], "postgres")] * 2)

    def test_it_is_told_also_where_triggers_are_switched_off_for_a_session(self):
        self.pg.psql("SET session_replication_role = replica; CREATE TABLE flytrail.mine ()")
        self.look()
        self.assertEqual(len(self.facts("event trigger")), 1)

    def test_partitions_that_come_are_no_change(self):
        for kind, days in (("log_lines", 9), ("security", 70), ("operations", 70)):
            self.pg.psql(f"SELECT flytrail.ensure_partition('{kind}', now() - interval '{days} days')", WRITER)
        self.assertEqual(self.look(), 0)

    def test_partitions_that_retention_takes_are_no_change_at_any_step(self):
        self.pg.psql("SELECT flytrail.set_retention('log_lines', 5, NULL), flytrail.set_retention('operations', 5, NULL)")
        for kind, days in (("log_lines", 30), ("log_lines", 31), ("operations", 70)):
            self.pg.psql(f"SELECT flytrail.ensure_partition('{kind}', now() - interval '{days} days')", WRITER)
        self.assertEqual(self.look(), 0)
        going = [row[0] for row in self.pg.psql("SELECT partition FROM flytrail.retention_plan() WHERE goes", WRITER)]
        self.assertEqual(len(going), 3)
        steps = ["SELECT pg_advisory_lock(hashtextextended('flytrail.retention', 0))",
                 "CREATE TEMPORARY TABLE looks (facts integer)"]
        look = "INSERT INTO looks SELECT flytrail.check_schema()"
        for name in going:
            steps += [f"SELECT flytrail.retention_detach('{name}')", look,
                      f"SELECT flytrail.retention_attach('{name}_leaving')", look,
                      f"SELECT flytrail.retention_detach('{name}')", look,
                      f"SELECT flytrail.retention_drop('{name}_leaving', NULL, false)", look]
        self.pg.psql("; ".join(steps + ["DO $$ BEGIN ASSERT (SELECT sum(facts) = 0 FROM looks); END $$"]), WRITER)
        self.assertEqual(self.pg.psql("SELECT tag, objects FROM flytrail_ddl.commands"), [])
        self.assertEqual(self.pg.psql("SELECT count(*) FROM flytrail.events "
                                      "WHERE action = 'trail.partition_dropped'"), [["3"]])

    def test_a_stack_of_calls_that_is_forged_hides_nothing(self):
        line = "PL/pgSQL function flytrail.ensure_partition(text,timestamp with time zone) line 1 at PERFORM"
        seal = self.pg.psql("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'append_only' "
                            f"AND tgrelid = 'flytrail.{self.partition}'::regclass")[0][0]
        for sql in (f"ALTER TABLE flytrail.{self.partition} DISABLE TRIGGER append_only",
                    f"DROP TRIGGER append_only ON flytrail.{self.partition}", seal,
                    f"GRANT DELETE ON flytrail.{self.partition} TO flytrail_writer"):
            with self.subTest(sql=sql):
                self.as_owner(f"""DO $do$ BEGIN EXECUTE $sql$DO $inner$ BEGIN EXECUTE
                    E'{sql} /*\\n{line}\\n*/'; END $inner$ $sql$; END $do$""")
                self.look()
                self.assertEqual(len(self.facts("event trigger")), 1)
        self.pg.psql(f"""CREATE FUNCTION public."x\n{line}"() RETURNS void LANGUAGE plpgsql AS $$
            BEGIN DROP TABLE flytrail.{self.partition}; END $$""")
        self.as_owner(f'SELECT public."x\n{line}"()')
        self.look()
        self.assertEqual(len(self.facts("event trigger")), 1)

    def test_no_other_session_and_no_depth_keeps_a_command_from_being_noted(self):
        other = Session(self.pg.url())
        self.addCleanup(other.close)
        other.ask("SET ROLE flytrail_owner; BEGIN; GRANT SELECT ON flytrail.holds TO flytrail_reader")
        self.as_owner(f"""SET lock_timeout = '20ms'; BEGIN; GRANT SELECT ON flytrail.leases TO flytrail_reader;
            ALTER TABLE flytrail.{self.partition} DISABLE TRIGGER append_only; DELETE FROM flytrail.{self.partition};
            ALTER TABLE flytrail.{self.partition} ENABLE TRIGGER append_only;
            REVOKE SELECT ON flytrail.leases FROM flytrail_reader; COMMIT""")
        other.ask("ROLLBACK")
        self.assertEqual(self.look(), 1)
        fact, = self.facts("event trigger")
        self.assertEqual([c["tag"] for c in fact["commands"]], ["GRANT", "ALTER TABLE", "ALTER TABLE"])
        deep = Session(self.pg.url())
        self.addCleanup(deep.close)
        deep.ask("""CREATE FUNCTION pg_temp.deep(n integer, sql text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
            IF n > 0 THEN RETURN pg_temp.deep(n - 1, sql); END IF; EXECUTE sql; RETURN true; END $$""")
        done, depth, step = 0, 0, 1024
        while step > 0:  # to the last depth in which the command succeeds
            try:
                deep.ask(f"SELECT pg_temp.deep({depth + step}, 'ALTER TABLE flytrail.{self.partition} ENABLE TRIGGER append_only')")
                done, depth = done + 1, depth + step
            except Refused as refused:
                self.assertEqual(refused.state, "54001")
                step //= 2
        self.assertGreater(depth, 100)
        self.look()
        self.assertEqual(sum(fact["count"] for fact in self.facts("event trigger")), done)

    def test_what_is_moved_out_of_the_schema_is_followed(self):
        self.pg.psql(f"ALTER TABLE flytrail.{self.partition} SET SCHEMA public; "
                     f"ALTER TABLE public.{self.partition} DISABLE TRIGGER append_only")
        self.look()
        self.assertEqual([c["objects"] for c in self.facts("event trigger")[0]["commands"]],
                         [[f"table public.{self.partition}"]])

    def test_what_is_not_the_trails_is_left_alone_and_unseen(self):
        self.pg.psql("""CREATE ROLE somebody LOGIN; CREATE SCHEMA theirs AUTHORIZATION somebody;""")
        self.pg.psql("""CREATE TABLE theirs.t (i integer); CREATE INDEX CONCURRENTLY ON theirs.t (i);
            CREATE TEMPORARY TABLE flytrail (i integer); GRANT SELECT ON theirs.t TO PUBLIC;
            ALTER TABLE theirs.t DROP COLUMN i; CREATE FUNCTION theirs.f() RETURNS void LANGUAGE sql AS '';
            ALTER DEFAULT PRIVILEGES IN SCHEMA theirs GRANT SELECT ON TABLES TO PUBLIC;
            CREATE DOMAIN theirs.d AS text; DROP SCHEMA theirs CASCADE""", "somebody")
        self.assertEqual(self.look(), 0)
        self.assertEqual(self.pg.psql("SELECT count(*) FROM flytrail_ddl.commands"), [["0"]])

    def test_a_broken_net_breaks_no_command(self):
        self.pg.psql("ALTER TABLE flytrail_ddl.commands ADD CHECK (tag = '') NOT VALID")
        self.pg.psql("CREATE TABLE flytrail.mine (); DROP TABLE flytrail.mine; CREATE TABLE public.other ()")
        self.assertEqual(self.look(), 1)
        self.assertEqual(self.facts("fingerprint")[0]["objects"],
                         ["added constraint commands_tag_check on flytrail_ddl.commands"])

    def test_a_net_that_is_taken_away_is_missed_by_the_other(self):
        self.pg.psql("ALTER EVENT TRIGGER flytrail_drop DISABLE; DROP EVENT TRIGGER flytrail_command")
        self.look()
        self.assertEqual(self.facts("fingerprint")[0]["objects"],
                         ["changed event trigger flytrail_drop", "removed event trigger flytrail_command"])

    def test_the_owner_cannot_change_what_the_net_wrote_nor_what_it_runs(self):
        for sql in ("DELETE FROM flytrail_ddl.commands", "UPDATE flytrail_ddl.commands SET login = 'x'",
                    "INSERT INTO flytrail_ddl.commands (tag, objects) VALUES ('x', '{}')",
                    "DROP SCHEMA flytrail_ddl CASCADE", "DROP EVENT TRIGGER flytrail_drop",
                    "ALTER EVENT TRIGGER flytrail_drop DISABLE", "ALTER TABLE flytrail_ddl.commands ADD x integer",
                    "CREATE TRIGGER t BEFORE INSERT ON flytrail_ddl.commands FOR EACH ROW "
                    "EXECUTE FUNCTION flytrail.refuse_change()", "CREATE FUNCTION flytrail_ddl.f() RETURNS void "
                    "LANGUAGE sql AS ''", "SELECT flytrail_ddl.changed_rights()",
                    "CREATE OR REPLACE FUNCTION flytrail_ddl.note() RETURNS event_trigger LANGUAGE plpgsql AS "
                    "'BEGIN END'"):
            with self.subTest(sql=sql), self.assertRaisesRegex(lab.LabError, "permission denied|must be owner"):
                self.as_owner(sql)

    def test_nothing_of_the_owners_runs_in_a_superusers_session(self):
        """What the owner puts in the way of every row of the trail is not met by the event trigger."""
        self.as_owner("""CREATE TABLE flytrail.ran_as (who text);
            CREATE FUNCTION flytrail.spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO flytrail.ran_as VALUES (session_user); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER spy AFTER INSERT ON flytrail.events DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION flytrail.spy()""")
        self.pg.psql("CREATE TABLE flytrail.mine ()")
        self.assertEqual(self.pg.psql("SELECT * FROM flytrail.ran_as"), [])
        self.assertEqual(self.pg.psql("SELECT login FROM flytrail_ddl.commands WHERE tag = 'CREATE TABLE' "
                                      "AND acted_as = 'none'"), [["postgres"]])

    def test_a_schema_that_somebody_laid_out_beforehand_is_refused(self):
        self.pg.psql("CREATE ROLE trapper LOGIN; CREATE DATABASE trap; GRANT CREATE ON DATABASE trap TO trapper")
        self.pg.psql("CREATE SCHEMA flytrail_ddl", "trapper", "trap")
        status, said = migrate(self.pg.url(database="trap"))
        self.assertEqual(status, 1)
        self.assertIn("schema flytrail_ddl belongs to role trapper, which is no superuser", said)

    def test_a_grant_elsewhere_is_not_blamed_for_what_came_or_went_before(self):
        self.as_owner("CREATE TABLE flytrail.mine (); DROP VIEW flytrail.deploys")
        self.look()
        self.facts("event trigger")
        self.pg.psql("CREATE TABLE public.other (); GRANT SELECT ON public.other TO PUBLIC")
        self.assertEqual(self.look(), 0)

    def test_who_is_no_superuser_may_migrate_afterwards_and_leaves_the_net_as_it_is(self):
        self.pg.psql("CREATE ROLE manager LOGIN CREATEROLE; GRANT flytrail_owner TO manager; "
                     "GRANT CREATE ON DATABASE postgres TO manager")
        self.assertEqual(migrate(self.pg.url("manager"))[0], 0)
        self.look()
        self.facts("event trigger")
        self.pg.psql("SET ROLE flytrail_owner; CREATE TABLE flytrail.mine ()", "manager")
        self.look()
        self.assertEqual([c["login"] for c in self.facts("event trigger")[0]["commands"]], ["manager"])

    def test_migrating_again_tells_nothing_and_after_a_change_one_fact(self):
        url = self.pg.url()
        self.assertEqual(migrate(url)[0], 0)
        self.assertEqual(self.look(), 0)
        self.as_owner("CREATE TABLE flytrail.mine ()")
        self.assertEqual(migrate(url)[0], 0)
        fact, = self.facts("migrate")
        self.assertEqual((fact["objects"], fact["session_user"]), (["added table flytrail.mine"], "postgres"))
        # Who did it is told all the same; what migrate took as right is no news to the next look.
        self.assertEqual(self.look(), 1)
        self.assertEqual(len(self.facts("event trigger")), 1)

    def test_what_migrate_itself_does_is_one_fact(self):
        self.pg.psql("REVOKE SELECT ON flytrail.lines FROM flytrail_line_reader")
        self.assertEqual(self.look(), 2)
        self.assertEqual(migrate(self.pg.url())[0], 0)
        fact, = self.facts("migrate")
        self.assertEqual(fact["objects"], ["changed view flytrail.lines"])
        self.assertEqual([(c["tag"], c["objects"]) for c in fact["commands"]],
                         [("GRANT", ["rights on table lines"])])
        self.assertEqual(self.look(), 0)


class WithoutThem(Watched):
    """Where who migrates is no superuser."""

    admin, has_event_triggers = "manager", False

    def setUp(self):
        self.pg = lab.Postgres()
        self.addCleanup(self.pg.close)
        self.pg.start()
        self.pg.psql("""CREATE ROLE manager LOGIN CREATEROLE NOSUPERUSER;
            GRANT CREATE ON DATABASE postgres TO manager WITH GRANT OPTION""")
        status, said = migrate(self.pg.url("manager"))
        self.assertEqual(status, 0, said)
        self.pg.psql("SELECT flytrail.make_partitions_ahead()", WRITER)
        self.partition = self.first_partition()

    def test_each_change_is_told_by_the_next_look(self):
        self.assertEqual(self.pg.psql("SELECT count(*) FROM pg_event_trigger"), [["0"]])
        self.assertEqual(self.pg.psql("SELECT to_regnamespace('flytrail_ddl')"), [[None]])
        self.check_changes_are_told()

    def test_who_may_act_as_the_owner_is_watched(self):
        self.pg.psql("CREATE ROLE friend; CREATE ROLE friends_friend LOGIN; CREATE ROLE boss LOGIN")
        for sql, found in (("GRANT flytrail_owner TO friend", "added role friend that"),
                           ("GRANT friend TO friends_friend", "added role friends_friend that"),
                           ("ALTER ROLE boss SUPERUSER", "added role boss that"),
                           ("ALTER ROLE flytrail_owner LOGIN", "changed role flytrail_owner that"),
                           ("ALTER ROLE boss NOSUPERUSER", "removed role boss that")):
            with self.subTest(sql=sql):
                self.pg.psql(sql)
                self.assertEqual(self.look(), 1)
                self.assertEqual(self.facts("fingerprint")[0]["objects"], [f"{found} may act as flytrail_owner"])

    def test_a_seal_that_never_refuses_is_none(self):
        self.look()
        every = "UPDATE OR DELETE OR TRUNCATE"
        for events, condition in ((every, "WHEN (false)"), (every, ""), ("UPDATE OF seq OR DELETE OR TRUNCATE", "")):
            self.as_owner(f"""DROP TRIGGER append_only ON flytrail.{self.partition}; CREATE TRIGGER append_only
                BEFORE {events} ON flytrail.{self.partition} FOR EACH STATEMENT {condition}
                EXECUTE FUNCTION flytrail.refuse_change()""")
            self.look()
            self.assertEqual(self.facts("fingerprint")[0]["objects"], [f"changed partition flytrail.{self.partition}"])

    def test_a_partition_detached_or_renamed_by_hand_is_missed(self):
        self.look()
        self.as_owner(f"ALTER TABLE flytrail.log_lines DETACH PARTITION flytrail.{self.partition}")
        self.look()
        found = self.facts("fingerprint")[0]["objects"]
        self.assertIn(f"removed partition flytrail.{self.partition}", found)
        self.assertIn(f"added table flytrail.{self.partition}", found)
        self.as_owner(f"ALTER TABLE flytrail.{self.partition} RENAME TO {self.partition}_leaving")
        self.assertEqual(self.look(), 1)

    def test_a_state_that_somebody_removed_is_told(self):
        self.as_owner("ALTER TABLE flytrail.schema_states DISABLE TRIGGER append_only; TRUNCATE flytrail.schema_states")
        self.assertEqual(self.look(), 1)
        self.assertEqual(self.pg.psql("SELECT summary FROM flytrail.events WHERE action = 'trail.schema_changed'"),
                         [["what the schema of the trail was like is not known any more: "
                           "flytrail.schema_states is empty"]])
        self.assertEqual(self.look(), 0)

    def test_a_look_is_the_same_whoever_looks_and_however_they_print(self):
        shown = {self.pg.psql(f"{settings} SELECT flytrail.schema_fingerprint()", role)[-1][0]
                 for role, settings in (("flytrail_reader", ""), ("flytrail_line_reader", "SET search_path = flytrail;"),
                                        ("postgres", "SET timezone = 'Asia/Tokyo'; SET intervalstyle = 'iso_8601'; "
                                                     "SET quote_all_identifiers = on; SET datestyle = 'German';"))}
        self.assertEqual(len(shown), 1)

    def test_replicas_that_look_at_once_tell_a_change_once(self):
        self.as_owner("CREATE TABLE flytrail.mine ()")
        ask = [f"{lab.PG_BIN}/psql", "-X", "-q", "-A", "-t", "-c", "SELECT flytrail.check_schema()",
               self.pg.url(WRITER)]
        several = [subprocess.Popen(ask, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for _ in range(6)]
        answers = [p.communicate(timeout=lab.ENDED_SECONDS) for p in several]
        self.assertEqual(sorted(answer[0].strip() for answer in answers), ["0"] * 5 + ["1"], answers)

    def test_nobody_calls_what_is_not_theirs(self):
        owners = ("schema_rows()", "schema_state()", "untold_commands()", "keep_state('{}', true)",
                  "tell_commands()", "schema_migrated()", "schema_difference('{}', '{}', now())")
        for role, calls in ((WRITER, owners), *((reader, owners + ("check_schema()",)) for reader in READERS)):
            for call in calls:
                with self.subTest(role=role, call=call), self.assertRaisesRegex(lab.LabError, "permission denied for function"):
                    self.pg.psql(f"SELECT flytrail.{call}", role)
        for table in ("schema_states", "told_commands"):
            for sql in (f"SELECT * FROM flytrail.{table}", f"DELETE FROM flytrail.{table}",
                        f"INSERT INTO flytrail.{table} DEFAULT VALUES"):
                for role in (WRITER, *READERS):
                    with self.subTest(role=role, sql=sql), self.assertRaisesRegex(lab.LabError, "permission denied"):
                        self.pg.psql(sql, role)
            with self.assertRaisesRegex(lab.LabError, "append-only"):
                self.as_owner(f"DELETE FROM flytrail.{table}")


class Housekeeping(unittest.TestCase):
    def test_run_looks_and_says_that_the_schema_changed(self):
        with World() as world:
            world.pg.psql("SET ROLE flytrail_owner; CREATE TABLE flytrail.mine ()")
            with world.flytrail() as ft:
                ft.await_event("schema_changed")
                self.assertEqual([line["facts"] for line in ft.events("schema_changed")], [2])
                self.assertEqual(world.pg.psql("SELECT count(*) FROM flytrail.events "
                                               "WHERE action = 'trail.schema_changed'"), [["2"]])
                self.assertEqual(ft.events("schema_unchecked"), [])

    def test_a_look_that_fails_is_a_warning(self):
        with World() as world:
            world.pg.psql("REVOKE EXECUTE ON FUNCTION flytrail.check_schema() FROM flytrail_writer")
            with world.flytrail() as ft:
                ft.await_event("schema_unchecked")
                self.assertIn("check_schema", ft.events("schema_unchecked")[0]["error"])
                lab.wait_for(ft.is_well, what="a flytrail that is well")


if __name__ == "__main__":
    unittest.main()
