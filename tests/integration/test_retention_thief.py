"""What somebody can do who has the writer's password: no row within keep_for disappears."""

import json
import os
import random
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from retention import KINDS, LINE_READER, LOCK, NOW, READER, WRITER, Refused, RetentionCase, days, literal  # noqa: E402


class StolenWriter(RetentionCase):
    """Its password is stolen: no row within keep_for disappears or changes, whatever is tried."""

    SETTINGS = ("SET standard_conforming_strings = off", "SET datestyle = 'German, DMY'", "SET timezone = 'Pacific/Apia'",
                "SET quote_all_identifiers = on", "SET search_path = pg_temp, public", "SET transform_null_equals = on",
                "SET array_nulls = off", "SET bytea_output = 'escape'", "SET extra_float_digits = -15",
                "SET default_transaction_isolation = serializable", "SET check_function_bodies = off",
                "SET session_replication_role = replica", "SET flytrail.owner_role = flytrail_writer",
                "SET ROLE flytrail_owner", "SET SESSION AUTHORIZATION postgres", "SET row_security = off")
    SHADOWS = """
        CREATE TEMPORARY TABLE retention (kind text, keep_for_days int, keep_at_most_days int);
        INSERT INTO retention SELECT k, 1, 50 FROM unnest(ARRAY['log_lines', 'security', 'operations']) k;
        CREATE TEMPORARY TABLE pg_class (oid oid, relname name, relnamespace oid);
        CREATE TEMPORARY TABLE pg_inherits (inhparent oid, inhrelid oid, inhdetachpending boolean);
        CREATE TEMPORARY TABLE pg_locks (locktype text, pid int);
        CREATE TEMPORARY TABLE open_holds (hold_id uuid); CREATE TEMPORARY TABLE leaving (leaving text);
        CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2036-01-01' $$;
        CREATE FUNCTION pg_temp.retention_now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2036-01-01' $$;
        CREATE FUNCTION pg_temp.pg_get_expr(pg_node_tree, oid) RETURNS text LANGUAGE sql AS
            $$ SELECT 'FOR VALUES FROM (''2001-01-01'') TO (''2001-01-02'')' $$;
        CREATE FUNCTION pg_temp.isfinite(timestamptz) RETURNS boolean LANGUAGE sql AS 'SELECT true';
        CREATE OPERATOR pg_temp.> (leftarg = timestamptz, rightarg = timestamptz, function = timestamptz_lt)"""

    def setUp(self):
        super().setUp()
        for kind in KINDS:
            for age in (0, 20, 45, 70, 100, 130):
                self.add(kind, NOW - days(age))
                self.add_started(NOW - days(age))
        self.set_term("log_lines", 60, 90)
        self.set_term("security", 60, 120)
        self.set_term("operations", 60)
        self.writer.ask(f"INSERT INTO flytrail.confirmations SELECT event_id, occurred_at, 'http', now() FROM flytrail.events "
                        f"WHERE occurred_at > '{NOW - days(60)}'")
        self.before = self.protected()

    def protected(self):
        """All that is within keep_for, whole."""
        since = NOW - days(60)
        return self.admin.ask(f"SELECT to_jsonb(l) FROM flytrail.log_lines l WHERE occurred_at >= '{since}' UNION ALL "
                              f"SELECT to_jsonb(e) FROM flytrail.events e WHERE occurred_at >= '{since}' AND seq > 0 UNION ALL "
                              f"SELECT to_jsonb(c) FROM flytrail.confirmations c WHERE occurred_at >= '{since}' ORDER BY 1")

    def attack(self, sql, session=None):
        """True: Postgres did not object."""
        try:
            (session or self.writer).ask(sql)
        except Refused:
            return False
        return True

    def assert_whole(self, what):
        self.assertEqual(self.protected(), self.before, what)

    def tables(self):
        return ["flytrail." + row[0] for row in self.admin.ask(
            "SELECT relname FROM pg_class WHERE relnamespace = 'flytrail'::regnamespace AND relkind IN ('r', 'p') AND relname "
            "~ '^(log_lines|events|confirmations|leaving|holds|hold_releases|retention$)'")]

    def test_no_statement_takes_a_row_away(self):
        old = self.partition("log_lines", NOW - days(70))
        leaving = self.detach(old)
        tables = self.tables()
        self.assertIn(f"flytrail.{leaving}", tables)
        self.assertGreater(len(tables), 20)
        for table in tables:
            column = "reason" if "hold" in table else "kind" if table.endswith(("leaving", "retention")) else "source"
            column = "message" if table.endswith("_leaving") else column
            for sql in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE",
                        f"DROP TABLE {table} CASCADE", f"ALTER TABLE {table} DISABLE TRIGGER ALL",
                        f"ALTER TABLE {table} DISABLE TRIGGER append_only", f"DROP TRIGGER append_only ON {table}",
                        f"ALTER TABLE {table} RENAME TO gone", f"ALTER TABLE {table} SET SCHEMA public",
                        f"ALTER TABLE {table} OWNER TO flytrail_writer", f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                        f"ALTER TABLE {table} INHERIT flytrail.snapshots", f"CREATE RULE r AS ON SELECT TO {table} DO INSTEAD NOTHING",
                        f"CREATE TRIGGER t BEFORE INSERT ON {table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
                        f"ALTER TABLE flytrail.log_lines DETACH PARTITION {table}",
                        f"ALTER TABLE flytrail.log_lines DETACH PARTITION {table} CONCURRENTLY",
                        f"ALTER TABLE flytrail.events_security DETACH PARTITION {table}",
                        f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
                        f"MERGE INTO {table} USING (SELECT 1) x ON true WHEN MATCHED THEN DELETE"):
                self.assertFalse(self.attack(sql), sql)
        self.assert_whole("statements")

    def test_no_call_takes_a_row_away(self):
        functions = [row[0] for row in self.admin.ask(
            "SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'flytrail'::regnamespace")]
        self.assertGreater(len(functions), 30)
        names = self.admin.ask("SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'flytrail'::regnamespace "
                               "AND c.relkind IN ('r', 'p', 'v')")
        texts = [row[0] for row in names] + [None, "", "x'; DROP TABLE flytrail.events; --", '"', "log_lines", "security"]
        r = random.Random(6)
        for function in functions:
            name, arguments = re.fullmatch(r"(.*)\((.*)\)", function).groups()
            kinds = arguments.split(",") if arguments else []
            for text in texts if kinds else [None]:
                values = [{"text": literal(text), "boolean": "true", "integer": "1", "smallint": "1",
                           "jsonb": r.choice(("NULL", "'{}'", "'[]'")), "regclass": "'flytrail.log_lines'",
                           "timestamp with time zone": r.choice(("now()", "'infinity'", "NULL", "'2026-06-01'"))}.get(kind, "NULL")
                          for kind in kinds]
                self.attack(f"SELECT * FROM {name}({', '.join(values)})")
        self.assert_whole("calls")

    def test_no_setting_or_shadow_leads_a_function_astray(self):
        for setting in self.SETTINGS + (self.SHADOWS, "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"):
            with self.subTest(setting=setting):
                thief = self.session(WRITER)
                self.attack("SELECT pg_advisory_unlock_all()")
                thief.ask(LOCK)
                self.attack(setting, thief)
                plan = self.attack("SELECT * FROM flytrail.retention_plan()", thief)
                for name, _, _ in [(n, 0, 0) for n in self.plan()]:
                    self.attack(f"SELECT flytrail.retention_detach('{name}')", thief)
                for name in [row[0] for row in self.admin.ask("SELECT leaving FROM flytrail.leaving")]:
                    self.attack(f"SELECT flytrail.retention_drop('{name}', NULL, true)", thief)
                self.assertTrue(plan or setting.startswith("BEGIN"), setting)
                self.attack("SELECT flytrail.retention_tidy()", thief)
                self.assert_whole(setting)
                thief.close()

    def test_what_a_snapshot_does_not_know_of_counts(self):
        """A hold, or a longer term, that came after the thief's transaction began."""
        name = self.partition("log_lines", NOW - days(70))
        for level in ("REPEATABLE READ", "SERIALIZABLE"):
            self.writer.ask(f"BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM flytrail.retention")
            self.set_term("log_lines", 80)
            self.assert_refused("FT002", "READ COMMITTED alone", f"SELECT flytrail.retention_detach('{name}')")
            self.writer.ask("ROLLBACK")
            self.set_term("log_lines", 60)
        self.writer.ask("BEGIN; SELECT count(*) FROM flytrail.retention")
        self.set_term("log_lines", 80)
        self.assert_refused("FT002", f"{name} stays: kept until", f"SELECT flytrail.retention_detach('{name}')")

    def test_a_hold_on_an_actor_keeps_lines_whose_event_is_out_of_the_trail(self):
        at = NOW - days(85)
        line = self.add("log_lines", at)
        self.add("security", at, actor="alice")
        name = self.partition("log_lines", at)
        out = self.detach(self.partition("security", at))
        self.admin.ask("SELECT flytrail.add_hold(NULL, 'alice', NULL, NULL, NULL, 'x')")
        self.assert_refused("FT002", f"{name} stays: hold", f"SELECT flytrail.retention_detach('{name}')")
        self.attach(out)
        self.assertIn(line, self.ids())

    def test_a_table_that_is_out_takes_nothing(self):
        """Nor anything that would take the place of a late row when it is put back."""
        at = NOW - days(100)
        name = self.partition("operations", at)
        leaving = self.detach(name)
        late = self.add("operations", at, message="genuine")
        self.admin.ask("SELECT flytrail.add_hold('web', NULL, NULL, NULL, NULL, 'x')")
        for fields in ({"event_id": late, "message": "forged"}, {"occurred_at": NOW}):
            sql, _ = self.values("operations", at, **fields)
            self.assert_refused("23514", "bounds|closed", sql.replace("flytrail.events", f"flytrail.{leaving}"))
        self.assertEqual(self.attach(leaving), name)
        self.assertEqual(self.admin.one(f"SELECT message FROM flytrail.events WHERE event_id = '{late}'"), "genuine")
        self.add("operations", at)

    def test_no_old_snapshot_makes_a_partition_that_is_in_the_way_of_one_that_is_out(self):
        for age, level in ((75, "REPEATABLE READ"), (82, "SERIALIZABLE")):
            self.set_term("log_lines", 60, 95)  # in weeks
            thief = self.session(WRITER)
            thief.ask(f"BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM flytrail.leases")
            self.set_term("log_lines", 60, 90)
            self.add("log_lines", NOW - days(age))
            name = self.partition("log_lines", NOW - days(age))
            leaving = self.detach(name)
            self.assert_refused("FT002", "READ COMMITTED alone",
                                f"SELECT flytrail.ensure_partition('log_lines', '{NOW - days(age - 1)}')", thief)
            self.assertEqual(self.attach(leaving), name)

    def test_no_old_snapshot_tidies_confirmations_away(self):
        """It may not know of the events that they are of."""
        self.admin.ask("SET ROLE flytrail_owner; SELECT flytrail.make_partition('confirmations', '2026-08-01 00:00+00', '2026-09-01 00:00+00'); RESET ROLE")
        thief = self.session(WRITER)
        thief.ask("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM flytrail.leases")
        event = self.add("security", "2026-08-02 00:00+00")
        self.writer.ask(f"INSERT INTO flytrail.confirmations VALUES ('{event}', '2026-08-02 00:00+00', 'http', now())")
        self.before = self.protected()
        self.assert_refused("FT002", "READ COMMITTED alone", "SELECT flytrail.retention_tidy()", thief)
        thief.ask("ROLLBACK")
        self.assert_whole("tidied")

    def test_a_fact_that_is_none_keeps_what_is_past_keep_for_and_no_more(self):
        self.add("security", NOW, **{"class": "trail"}, action="trail.gap_opened", correlation_id="g",
                 attributes='{"gap_start": "2026-13-45", "gap_end": "some day"}')
        plan = self.plan()
        self.assertEqual(plan[self.partition("log_lines", NOW - days(100))], (True, True, "past keep_at_most"))
        goes, _, why = plan[self.partition("log_lines", NOW - days(70))]
        self.assertFalse(goes)
        self.assertEqual(why, "a gap in it is open: g")

    def test_a_fact_that_is_none_stops_no_view(self):
        for number, (action, said) in enumerate((
                ("trail.gap_opened", {"gap_start": "2026-13-45", "gap_end": "some day"}),
                ("trail.gap_opened", {"gap_start": "2026-05-03T00:00:00Z", "gap_end": "2026-05-02T00:00:00Z"}),
                ("trail.listening", {"listening_start": "", "listening_end": "2026-05-02T00:00:00Z"}),
                ("trail.listening", {"listening_start": "2026-05-03T00:00:00Z", "listening_end": "2026-05-02T00:00:00Z"}),
                ("trail.window_checked", {"window_start": "x", "window_end": "0000-00-00T00:00:00Z"}),
                ("trail.window_checked", {"window_start": "-infinity", "window_end": "infinity"}),
                ("trail.window_checked", {"window_start": "4700-01-01 BC", "window_end": "294000-01-01"}),
                ("trail.gap_opened", {"gap_start": "-infinity", "gap_end": "-infinity"}),
                ("trail.listening", {"listening_start": "-infinity", "listening_end": "infinity"}),
                ("access.certificate_issued", {"after": {"valid_before": "2026-02-29T00:00:00Z"}}),
                ("ssh_session.opened", {}),
                ("deploy.release_started", {"after": {"created_at": "yesterday", "previous_at": ""}}))):
            self.add("security", NOW, **{"class": action.split(".", maxsplit=1)[0]}, action=action, correlation_id=f"g{number}",
                     actor="a@example.com", trust="api", attributes=json.dumps(said))
        views = [name for name, in self.admin.ask("SELECT relname FROM pg_class WHERE relnamespace = 'flytrail'::regnamespace "
                                                  "AND relkind = 'v'")]
        self.assertGreater(len(views), 15)
        for view in views:
            self.admin.ask(f"SELECT count(v::text) FROM flytrail.{view} AS v")
        # What is not known to have been listened to was not.
        self.assertEqual(self.admin.ask("SELECT * FROM flytrail.listening"), [])

    def test_readers_take_nothing_away_either(self):
        for role in (READER, LINE_READER):
            thief = self.session(role)
            thief.ask(LOCK)
            for call in ("ensure_partition('log_lines', now())", "retention_detach('x')", "retention_attach('x')",
                         "retention_drop('x', NULL, true)", "retention_digest('x')", "retention_tidy()"):
                self.assert_refused("42501", "permission denied", f"SELECT flytrail.{call}", thief)


if __name__ == "__main__":
    unittest.main()
