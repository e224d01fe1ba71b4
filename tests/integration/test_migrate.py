"""Migrations, roles and what each may do: nobody changes the trail, readers see what is theirs."""

import datetime
import os
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402

BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
FLYTRAIL = os.path.join(BUILD, "flytrail")
NEWEST = len([name for name in os.listdir(os.path.join(ROOT, "sql")) if name[0].isdigit()])
EVENT_VIEWS = ("ssh_sessions", "deploys", "secret_changes", "restarts", "exits", "access_changes",
               "timeline", "gaps", "machine_starts", "ssh_certificates", "open_holds")


def days_ago(count):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=count)


def start_migrate(url, **environment):
    return subprocess.Popen(
        [FLYTRAIL, "migrate"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"PATH": os.environ["PATH"], "FLYTRAIL_ADMIN_DATABASE_URL": url, **environment})


def migrate(url, **environment):
    """The exit status, and what it said."""
    process = start_migrate(url, **environment)
    out, err = process.communicate(timeout=lab.ENDED_SECONDS)
    return process.returncode, out + err


class Server(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pg = lab.Postgres()
        cls.addClassCleanup(cls.pg.close)
        cls.pg.start()

    def fresh(self, name):
        self.pg.psql(f"CREATE DATABASE {name}")
        return name


class Migrating(Server):
    def test_twice_is_harmless(self):
        name = self.fresh("twice")
        url = self.pg.url(database=name)
        self.assertEqual(migrate(url), (0, f"schema {NEWEST}: {NEWEST} migrations applied now\n"))
        before = self.pg.psql("SELECT * FROM flytrail.schema_version", database=name)
        self.assertEqual(migrate(url), (0, f"schema {NEWEST}: 0 migrations applied now\n"))
        self.assertEqual(self.pg.psql("SELECT * FROM flytrail.schema_version", database=name), before)

    def test_each_is_on_record(self):
        name = self.fresh("record")
        migrate(self.pg.url(database=name))
        rows = self.pg.psql("""SELECT version, name, oldest_binary <= version, length(sha256), applied_by,
            applied_at > now() - interval '1 minute' FROM flytrail.schema_version ORDER BY 1""",
                            database=name)
        self.assertEqual([row[0] for row in rows], [str(n + 1) for n in range(NEWEST)])
        for row in rows:
            self.assertEqual(row[2:], ["t", "64", "postgres", "t"])

    def test_several_at_once_are_harmless(self):
        name = self.fresh("at_once")
        several = [start_migrate(self.pg.url(database=name)) for _ in range(4)]
        ends = [(p.communicate(timeout=lab.ENDED_SECONDS), p.returncode) for p in several]
        self.assertEqual([end[1] for end in ends], [0] * 4, ends)
        applied = sum(int(end[0][0].split()[2]) for end in ends)
        self.assertEqual(applied, NEWEST)

    def test_one_that_fails_leaves_nothing_of_itself(self):
        name = self.fresh("failing")
        migrate(self.pg.url(database=self.fresh("makes_the_roles")))
        self.pg.psql("CREATE SCHEMA flytrail AUTHORIZATION flytrail_owner; "
                     "CREATE TABLE flytrail.events ()", database=name)
        status, said = migrate(self.pg.url(database=name))
        self.assertEqual(status, 1)
        self.assertIn("migration 2 (trail)", said)
        self.assertEqual(self.pg.psql("SELECT max(version) FROM flytrail.schema_version", database=name),
                         [["1"]])
        self.assertEqual(self.pg.psql("SELECT to_regclass('flytrail.log_lines')", database=name), [[None]])

    def test_only_a_binary_that_is_too_old_is_refused(self):
        name = self.fresh("newer")
        url = self.pg.url(database=name)
        migrate(url)
        self.pg.psql(f"INSERT INTO flytrail.schema_version (version, name, oldest_binary, sha256) "
                     f"VALUES ({NEWEST + 1}, 'new_index', {NEWEST}, '')", database=name)
        status, said = migrate(url)
        self.assertEqual(status, 0)
        self.assertIn(f"schema {NEWEST + 1}: nothing done, because it is newer", said)
        self.pg.psql(f"INSERT INTO flytrail.schema_version (version, name, oldest_binary, sha256) "
                     f"VALUES ({NEWEST + 2}, 'new_column', {NEWEST + 2}, '')", database=name)
        status, said = migrate(url)
        self.assertEqual(status, 1)
        self.assertIn(f"this database is at schema {NEWEST + 2}, which needs flytrail with schema "
                      f"{NEWEST + 2} or newer", said)

    def test_a_server_that_is_away_is_told(self):
        status, said = migrate(f"postgres://postgres@127.0.0.1:{lab.free_port()}/postgres")
        self.assertEqual(status, 1)
        self.assertIn("refused", said)
        self.assertEqual(said.count("FLYTRAIL_ADMIN_DATABASE_URL"), 1)

    def test_no_url_is_bad_configuration(self):
        status, said = migrate("")
        self.assertEqual(status, 2)
        self.assertIn("FLYTRAIL_ADMIN_DATABASE_URL", said)

    ACL = """SELECT 'schema', 'flytrail', a.privilege_type FROM pg_namespace, aclexplode(nspacl) a
            WHERE nspname = 'flytrail' AND a.grantee = '{0}'::regrole
        UNION ALL SELECT 'relation', oid::regclass::text, a.privilege_type FROM pg_class, aclexplode(relacl) a
            WHERE relnamespace = 'flytrail'::regnamespace AND a.grantee = '{0}'::regrole
        UNION ALL SELECT 'function', oid::regprocedure::text, a.privilege_type FROM pg_proc, aclexplode(proacl) a
            WHERE pronamespace = 'flytrail'::regnamespace AND a.grantee = '{0}'::regrole
        ORDER BY 1, 2, 3"""

    def test_roles_that_are_named_later_get_what_the_first_ones_have(self):
        name = self.fresh("renamed")
        url = self.pg.url(database=name)
        self.assertEqual(migrate(url)[0], 0)
        self.pg.psql("SELECT flytrail.make_partitions_ahead()", "flytrail_writer", name)
        named = {"FLYTRAIL_WRITER_ROLE": "other_writer", "FLYTRAIL_READER_ROLE": "other_reader",
                 "FLYTRAIL_LINE_READER_ROLE": "other_line_reader"}
        self.assertEqual(migrate(url, **named), (0, f"schema {NEWEST}: 0 migrations applied now\n"))
        for kind in ("writer", "reader", "line_reader"):
            first = self.pg.psql(self.ACL.format(f"flytrail_{kind}"), database=name)
            self.assertEqual(self.pg.psql(self.ACL.format(f"other_{kind}"), database=name), first)
            self.assertGreater(len(first), 9)
        self.pg.psql("CREATE TEMPORARY TABLE staged (LIKE flytrail.events)", "other_writer", name)

    def test_the_writers_url_in_the_administrators_place_is_not_helped_to_more_rights(self):
        name = self.fresh("mixed_up")
        self.assertEqual(migrate(self.pg.url(database=name))[0], 0)
        status, said = migrate(self.pg.url("flytrail_writer", name))
        self.assertEqual(status, 1)
        self.assertIn("flytrail_writer is one of the roles that use the trail: let "
                      "FLYTRAIL_ADMIN_DATABASE_URL name one that may act as flytrail_owner", said)
        self.assertNotIn("GRANT", said)

    def test_another_owner_than_the_first_is_refused(self):
        name = self.fresh("another_owner")
        self.assertEqual(migrate(self.pg.url(database=name))[0], 0)
        status, said = migrate(self.pg.url(database=name), FLYTRAIL_OWNER_ROLE="late_owner")
        self.assertEqual(status, 1)
        self.assertIn("schema flytrail belongs to role flytrail_owner, not to late_owner: name "
                      "flytrail_owner in FLYTRAIL_OWNER_ROLE", said)


class Providers(Server):
    """Where an administrator is no superuser."""

    def test_one_who_may_make_roles_and_schemas_suffices(self):
        name = self.fresh("managed")
        self.pg.psql(f"CREATE ROLE manager LOGIN CREATEROLE; GRANT CREATE ON DATABASE {name} TO manager")
        status, said = migrate(self.pg.url("manager", name), FLYTRAIL_OWNER_ROLE="m_owner",
                               FLYTRAIL_WRITER_ROLE="m_writer", FLYTRAIL_READER_ROLE="m_reader",
                               FLYTRAIL_LINE_READER_ROLE="m_line_reader")
        self.assertEqual(status, 0, said)
        self.assertEqual(self.pg.psql("SELECT flytrail.make_partitions_ahead()", "m_writer", name), [["10"]])
        self.assertEqual(self.pg.psql("SELECT DISTINCT tableowner FROM pg_tables "
                                      "WHERE schemaname = 'flytrail'", database=name), [["m_owner"]])

    def test_existing_roles_are_named_where_none_may_be_made(self):
        name = self.fresh("bound")
        self.pg.psql(f"""CREATE ROLE bound_admin LOGIN; CREATE ROLE bound_writer LOGIN;
            CREATE ROLE bound_reader LOGIN; GRANT CREATE ON DATABASE {name} TO bound_admin""")
        url = self.pg.url("bound_admin", name)
        status, said = migrate(url, FLYTRAIL_OWNER_ROLE="bound_admin")
        self.assertEqual(status, 1)
        self.assertIn("FLYTRAIL_", said)
        named = {"FLYTRAIL_OWNER_ROLE": "bound_admin", "FLYTRAIL_WRITER_ROLE": "bound_writer",
                 "FLYTRAIL_READER_ROLE": "bound_reader", "FLYTRAIL_LINE_READER_ROLE": "bound_reader"}
        self.assertEqual(migrate(url, **named)[0], 0)
        self.assertEqual(self.pg.psql("SELECT count(*) FROM flytrail.lines", "bound_reader", name), [["0"]])


    def test_one_who_may_not_act_as_the_owner_is_told_what_to_do(self):
        name = self.fresh("not_the_owner")
        self.pg.psql(f"""CREATE ROLE stranger LOGIN CREATEROLE;
            GRANT CREATE ON DATABASE {name} TO stranger; CREATE ROLE w_owner SUPERUSER""")
        named = {"FLYTRAIL_WRITER_ROLE": "s_writer", "FLYTRAIL_READER_ROLE": "s_reader",
                 "FLYTRAIL_LINE_READER_ROLE": "s_line_reader"}
        status, said = migrate(self.pg.url("stranger", name), FLYTRAIL_OWNER_ROLE="w_owner", **named)
        self.assertEqual(status, 1)
        self.assertIn("role w_owner exists and stranger may not act as it: let a superuser GRANT w_owner "
                      "TO stranger, or name another one in FLYTRAIL_OWNER_ROLE", said)


class Roles(Server):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        status, said = migrate(cls.pg.url())
        if status != 0:
            raise AssertionError(said)
        cls.pg.psql("SELECT flytrail.make_partitions_ahead()", "flytrail_writer")
        cls.pg.psql("""
            INSERT INTO flytrail.log_lines (id, occurred_at, occurred_ns, observed_at, source, app, class,
                message, stream, seq)
            VALUES (gen_random_uuid(), now(), 0, now(), 'nats', 'web-1', 'app_log', 'hello',
                gen_random_uuid(), 1);
            INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis,
                observed_at, actor, actor_type, outcome, severity, trust, source, stream, seq)
            SELECT gen_random_uuid(), kind, 'trail', 'trail.started', now(), 'observed', now(), 'flytrail',
                'flytrail', 'success', 1, 'self', 'trail', gen_random_uuid(), 1
            FROM unnest(ARRAY['security', 'operations']) AS kind;
            INSERT INTO flytrail.confirmations VALUES (gen_random_uuid(), now(), 'http', now());""",
                    "flytrail_writer")
        cls.trail = ["flytrail.log_lines", "flytrail.events", "flytrail.confirmations"]
        cls.trail += [row[0] for row in cls.pg.psql(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent IN ('flytrail.log_lines'"
            "::regclass, 'flytrail.events'::regclass, 'flytrail.events_security'::regclass, "
            "'flytrail.events_operations'::regclass, 'flytrail.confirmations'::regclass)")]
        assert len(cls.trail) == 3 + 2 + 4 + 6 + 3

    def assert_refused(self, role, sql, why="permission denied|must be owner|append-only"):
        with self.subTest(role=role, sql=sql), self.assertRaisesRegex(lab.LabError, why):
            self.pg.psql(sql, role)

    def test_the_writer_changes_nothing_of_the_trail(self):
        for table in self.trail:
            for sql in (f"UPDATE {table} SET occurred_at = occurred_at",
                        f"UPDATE {table} SET occurred_at = now() WHERE false",
                        f"DELETE FROM {table}",
                        f"DELETE FROM {table} WHERE false",
                        f"TRUNCATE {table}",
                        f"TRUNCATE ONLY {table}",
                        f"SELECT * FROM {table} FOR UPDATE",
                        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
                        f"DROP TRIGGER append_only ON {table}",
                        f"CREATE RULE r AS ON INSERT TO {table} DO INSTEAD NOTHING",
                        f"ALTER TABLE {table} ADD COLUMN x integer",
                        f"ALTER TABLE {table} OWNER TO flytrail_writer",
                        f"GRANT UPDATE ON {table} TO flytrail_writer; UPDATE {table} SET occurred_at = now()",
                        f"DROP TABLE {table}"):
                self.assert_refused("flytrail_writer", sql)

    def test_the_writer_has_no_way_around(self):
        for sql in ("ALTER TABLE flytrail.log_lines DETACH PARTITION " + self.trail[-1],
                    "SET ROLE flytrail_owner",
                    "CREATE TABLE flytrail.x ()",
                    "DROP SCHEMA flytrail CASCADE",
                    "SELECT flytrail.make_append_only('flytrail.log_lines')",
                    "DROP FUNCTION flytrail.ensure_partition(text, timestamptz)",
                    "CREATE OR REPLACE FUNCTION flytrail.refuse_change() RETURNS trigger "
                    "LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
                    "SET session_replication_role = replica",
                    "DELETE FROM flytrail.streams",
                    "DELETE FROM flytrail.schema_version",
                    "UPDATE flytrail.retention SET keep_for_days = 1",
                    "INSERT INTO flytrail.log_lines DEFAULT VALUES ON CONFLICT (occurred_at, id) "
                    "DO UPDATE SET message = ''"):
            self.assert_refused("flytrail_writer", sql)

    def test_even_the_owner_is_refused_by_the_triggers(self):
        for table in self.trail:
            for sql in (f"UPDATE {table} SET occurred_at = now()", f"DELETE FROM {table}",
                        f"DELETE FROM {table} WHERE false", f"TRUNCATE {table}"):
                self.assert_refused("postgres", f"SET ROLE flytrail_owner; {sql}", "append-only")

    def test_every_row_is_still_there(self):
        self.assertEqual(self.pg.psql("SELECT count(*) FROM flytrail.log_lines"), [["1"]])
        self.assertEqual(self.pg.psql("SELECT count(*) FROM flytrail.events"), [["2"]])

    def test_what_the_writer_may_ask_of_its_functions_is_checked(self):
        for arguments, why in (("'log_lines; DROP', now()", "kind is"), ("'events', now()", "kind is"),
                               ("NULL, now()", "kind is"), ("'security', NULL", "a time is needed"),
                               ("'log_lines', now() + interval '2 years'", "no partition is made for it"),
                               ("'log_lines', 'infinity'", "no partition is made for it"),
                               ("'log_lines', '0001-01-01 BC'", "no partition is made for it")):
            self.assert_refused("flytrail_writer", f"SELECT flytrail.ensure_partition({arguments})", why)

    def test_a_search_path_does_not_lead_its_functions_astray(self):
        self.pg.psql("""
            CREATE TEMPORARY TABLE pg_inherits (inhparent regclass, inhrelid regclass);
            CREATE FUNCTION pg_temp.hashtextextended(text, integer) RETURNS bigint LANGUAGE sql
                AS 'SELECT 1 / 0';
            SET search_path = pg_temp, public;
            SELECT flytrail.ensure_partition('log_lines', now() - interval '9 days');""", "flytrail_writer")

    def test_a_new_partition_is_as_closed_as_the_others(self):
        at = days_ago(20)
        self.pg.psql(f"SELECT flytrail.ensure_partition('log_lines', '{at}')", "flytrail_writer")
        name = f"flytrail.log_lines_{at:%Y%m%d}"
        self.assert_refused("flytrail_writer", f"DELETE FROM {name}")
        self.assert_refused("postgres", f"DELETE FROM {name}", "append-only")
        self.assertEqual(self.pg.psql(f"SELECT tableowner FROM pg_tables WHERE "
                                      f"'flytrail.' || tablename = '{name}'"), [["flytrail_owner"]])
        self.assertEqual(self.pg.psql(f"SELECT count(*) FROM pg_constraint WHERE contype = 'c' "
                                      f"AND conrelid = '{name}'::regclass"), [["0"]])

    def test_readers_see_what_is_theirs_and_nothing_else(self):
        for view in EVENT_VIEWS:
            self.pg.psql(f"SELECT * FROM flytrail.{view}", "flytrail_reader")
            self.pg.psql(f"SELECT * FROM flytrail.{view}", "flytrail_line_reader")
        self.assertEqual(self.pg.psql("SELECT text FROM flytrail.lines", "flytrail_line_reader"), [["hello"]])
        self.assert_refused("flytrail_reader", "SELECT * FROM flytrail.lines")
        for role in ("flytrail_reader", "flytrail_line_reader"):
            for table in self.trail + ["flytrail.streams", "flytrail.leases", "flytrail.snapshots",
                                       "flytrail.actor_aliases", "flytrail.retention",
                                       "flytrail.schema_version"]:
                self.assert_refused(role, f"SELECT * FROM {table}")
                self.assert_refused(role, f"INSERT INTO {table} DEFAULT VALUES")
            self.assert_refused(role, "SELECT flytrail.ensure_partition('log_lines', now())")
            self.assert_refused(role, "INSERT INTO flytrail.timeline (action) VALUES ('x')",
                                "permission denied|cannot insert")

    def test_partitions_are_made_once_by_several_at_once(self):
        ask = ["psql", "-X", "-q", "-A", "-t", "-c",
               f"SELECT flytrail.ensure_partition('log_lines', '{days_ago(33)}')",
               self.pg.url("flytrail_writer")]
        ask[0] = f"{lab.PG_BIN}/psql"
        several = [subprocess.Popen(ask, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for _ in range(8)]
        answers = [p.communicate(timeout=lab.ENDED_SECONDS) for p in several]
        self.assertEqual(sorted(answer[0].strip() for answer in answers), ["f"] * 7 + ["t"], answers)

    def test_who_waited_for_a_partition_sees_it(self):
        psql = [f"{lab.PG_BIN}/psql", "-X", "-q", "-A", "-t", self.pg.url("flytrail_writer")]
        make = "SELECT flytrail.ensure_partition('security', '{}');\n"
        first, second, third = map(days_ago, (400, 300, 200))  # of three months
        maker, waiter = (subprocess.Popen(psql, text=True, stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                         for _ in range(2))
        # A session that has made some before asks its caches, which hear of others' work late.
        waiter.stdin.write(make.format(second) + make.format(first))
        waiter.stdin.flush()
        self.assertEqual(waiter.stdout.readline() + waiter.stdout.readline(), "t\nt\n")
        maker.stdin.write("BEGIN;\n" + make.format(third))
        maker.stdin.flush()
        self.assertEqual(maker.stdout.readline(), "t\n")
        waiter.stdin.write(make.format(third))
        waiter.stdin.flush()
        lab.wait_for(lambda: self.pg.psql(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"),
            what="the second to wait for the first")
        maker.communicate("COMMIT;\n", timeout=lab.ENDED_SECONDS)
        self.assertEqual(waiter.communicate(timeout=lab.ENDED_SECONDS), ("f\n", ""))

    def test_making_a_partition_waits_for_no_reader(self):
        reader = subprocess.Popen(
            [f"{lab.PG_BIN}/psql", "-X", "-q", "-A", "-t", self.pg.url()], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            reader.stdin.write("BEGIN; SELECT count(*) >= 0 FROM flytrail.log_lines;\n")
            reader.stdin.flush()
            self.assertEqual(reader.stdout.readline().strip(), "t")
            self.assertEqual(self.pg.psql("SET statement_timeout = '60s'; SELECT flytrail.ensure_partition("
                                          "'log_lines', now() - interval '50 days')", "flytrail_writer"),
                             [["t"]])
        finally:
            reader.communicate("COMMIT;\n", timeout=lab.ENDED_SECONDS)

    def test_everything_is_explained(self):
        rows = self.pg.psql("""
            SELECT c.relname, a.attname
            FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
                AND col_description(c.oid, a.attnum) IS NULL
            WHERE c.relnamespace = 'flytrail'::regnamespace AND c.relkind IN ('r', 'p', 'v')
                AND NOT c.relispartition AND (a.attname IS NOT NULL OR obj_description(c.oid) IS NULL)
            UNION ALL
            SELECT proname, 'function' FROM pg_proc
            WHERE pronamespace = 'flytrail'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL""")
        self.assertEqual(rows, [])


if __name__ == "__main__":
    unittest.main()
