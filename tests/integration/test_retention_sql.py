"""Terms, holds and partitions, asked of a real Postgres as flytrail's C asks them."""

import datetime
import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402
from retention import KINDS, LINE_READER, NOW, READER, STREAM, WRITER, Refused, RetentionCase, days, literal  # noqa: E402


class Terms(RetentionCase):
    def test_absurd_ones_are_refused(self):
        for arguments, why in (("'log_lines', 0, NULL", "keep_for is 1 to"), ("'log_lines', -5, NULL", "keep_for is 1 to"),
                               ("'security', 36501, NULL", "keep_for is 1 to"), ("'log_lines', NULL, 5", "keep_for is 1 to"),
                               ("'lines', 5, NULL", "a term is set for"), ("NULL, 5, NULL", "a term is set for"),
                               ("'log_lines', 30, 32", "keep_at_most of log_lines is 33"),
                               ("'log_lines', 30, -1", "keep_at_most of log_lines is 33"),
                               ("'log_lines', 91, 99", "keep_at_most of log_lines is 100"),
                               ("'log_lines', 85, 93", "keep_at_most of log_lines is 94"),
                               ("'security', 330, 362", "keep_at_most of security is 363"),
                               ("'security', 330, 2147483647", "keep_at_most of security is 363")):
            self.assert_refused("22023", why, f"SELECT flytrail.set_retention({arguments})", self.admin)
        self.assertEqual(self.admin.ask("SELECT * FROM flytrail.retention"), [])

    def test_the_table_itself_has_no_room_for_them(self):
        for kind, keep_for, at_most in (("log_lines", 30, 32), ("log_lines", 91, 99), ("security", 330, 362)):
            self.assert_refused("23514", "keep_at_most", "INSERT INTO flytrail.retention (kind, keep_for_days, "
                                f"keep_at_most_days) VALUES ('{kind}', {keep_for}, {at_most})", self.admin)

    def test_each_change_is_a_fact_and_a_shorter_one_a_grave_one(self):
        for keep_for, at_most in ((90, None), (120, None), (100, None), (100, 200), (100, 300), (100, 250), (100, None)):
            self.set_term("security", keep_for, at_most)
        self.set_term("security", 100)  # nothing changes
        told = self.facts("trail.retention_changed")
        self.assertEqual([severity for severity, _, _ in told], [4, 3, 4, 4, 3, 4, 3])
        self.assertEqual(told[3][2] | {"client_addr": 0, "application_name": 0}, {
            "kind": "security", "is_shorter": True, "keep_for_days": 100, "keep_at_most_days": 200,
            "keep_for_days_before": 100, "keep_at_most_days_before": None, "session_user": "postgres",
            "client_addr": 0, "application_name": 0})
        self.assertEqual(told[3][2]["client_addr"], "127.0.0.1")
        self.assertEqual(told[3][2]["application_name"], "psql")

    def test_a_statement_on_the_table_is_told_as_well_and_as_of_who_made_it(self):
        self.admin.ask("SET ROLE flytrail_owner; INSERT INTO flytrail.retention (kind, keep_for_days, changed_by) "
                       "VALUES ('security', 400, 'somebody else')")
        self.assertEqual(self.admin.ask("SELECT changed_by FROM flytrail.retention"), [["postgres"]])
        self.admin.ask("UPDATE flytrail.retention SET keep_for_days = 90; DELETE FROM flytrail.retention; RESET ROLE")
        self.assertEqual([(severity, told["keep_for_days_before"], told["keep_for_days"], told["is_shorter"], told["session_user"])
                          for severity, _, told in self.facts("trail.retention_changed")],
                         [(4, None, 400, True, "postgres"), (4, 400, 90, True, "postgres"), (3, 90, None, False, "postgres")])
        self.set_term("security", 400)
        self.assert_refused("55000", "a term is of one kind", "UPDATE flytrail.retention SET kind = 'operations'", self.admin)
        self.assert_refused("42501", "append-only", "TRUNCATE flytrail.retention", self.admin)

    def test_who_acted_is_told_though_the_owner_acts(self):
        self.pg.psql("DROP ROLE IF EXISTS keeper")
        self.pg.psql("CREATE ROLE keeper LOGIN; GRANT flytrail_owner TO keeper")
        self.session("keeper").ask("SELECT flytrail.set_retention('security', 100, NULL)")
        row = self.admin.ask("SELECT actor, actor_type, actor_reason, origin, class, retention_class, trust, source, "
                             "seq, substr(event_id::text, 15, 1) FROM flytrail.events WHERE action = "
                             "'trail.retention_changed'")[0]
        self.assertEqual(row, ["keeper", "unknown", "in Postgres as keeper by application psql from 127.0.0.1; no "
                               "more than that is known", "127.0.0.1", "trail", "security", "self", "trail", "0", "8"])

    def test_nobody_else_sets_them(self):
        for role in (WRITER, READER, LINE_READER):
            session = self.session(role)
            for call in ("set_retention('security', 1, NULL)", "add_hold('a', NULL, NULL, NULL, NULL, 'x')",
                         "release_hold(gen_random_uuid(), 'x')", "tell('trail.x', 1::smallint, '', '', '', '', '{}')",
                         "make_partition('log_lines', now(), now())", "drop_lone_confirmations()", "retention_guard(true)"):
                self.assert_refused("42501", "permission denied", f"SELECT flytrail.{call}", session)

    def test_no_function_is_everybodys(self):
        """But what views call, as whoever asks them."""
        self.assertEqual(self.admin.ask(
            "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'flytrail'::regnamespace AND "
            "has_function_privilege('public', p.oid, 'EXECUTE') AND p.oid >= 'flytrail.tell'::regproc"), [["as_time"]])


class Partitions(RetentionCase):
    def bounds(self, kind="log_lines"):
        return [(name, first[:10], end[:10]) for name, first, end in self.admin.ask(
            "SET timezone = 'UTC'; SELECT c.relname, first_at, end_at FROM "
            f"flytrail.partitions('{kind}') p JOIN pg_class c ON c.oid = p.partition ORDER BY 2")]

    def ensure(self, at, kind="log_lines"):
        return self.writer.one(f"SELECT flytrail.ensure_partition('{kind}', '{at}')") == "t"

    def test_long_terms_of_lines_make_weeks_beside_the_days_that_there_are(self):
        self.set_term("log_lines", 90)
        self.assertTrue(self.ensure(NOW))
        self.set_term("log_lines", 91)
        self.assertTrue(self.ensure(NOW + days(1)))  # the same week as a day that is there
        self.assertTrue(self.ensure(NOW + days(7)))
        self.assertFalse(self.ensure(NOW + days(11)))
        self.assertTrue(self.ensure(NOW - days(3)))
        self.set_term("log_lines", 30)
        self.assertTrue(self.ensure(NOW + days(12)))
        self.assertFalse(self.ensure(NOW - days(9)))
        self.assertEqual(self.bounds(), [
            ("log_lines_20260608_week", "2026-06-08", "2026-06-15"), ("log_lines_20260617", "2026-06-17", "2026-06-18"),
            ("log_lines_20260618", "2026-06-18", "2026-06-19"), ("log_lines_20260622_week", "2026-06-22", "2026-06-29"),
            ("log_lines_20260629", "2026-06-29", "2026-06-30")])

    def test_an_upper_limit_over_90_days_makes_weeks_too(self):
        self.set_term("log_lines", 30, 95)
        self.ensure(NOW)
        self.assertEqual(self.bounds(), [("log_lines_20260615_week", "2026-06-15", "2026-06-22")])

    def test_those_ahead_are_weeks_and_go_by_the_clock(self):
        self.set_term("log_lines", 366)
        self.assertEqual(self.writer.one("SELECT flytrail.make_partitions_ahead()"), str(1 + 5))  # the fact of the term made one
        self.set_clock(NOW + days(2))
        self.assertEqual(self.writer.one("SELECT flytrail.make_partitions_ahead()"), "1")
        self.assertEqual([b[0] for b in self.bounds()], ["log_lines_20260615_week", "log_lines_20260622_week"])

    def test_what_would_be_past_keep_at_most_is_not_made(self):
        self.set_term("log_lines", 30, 33)
        self.set_term("operations", 92, 125)
        self.assertTrue(self.ensure(NOW - days(33)))
        for kind, at in (("log_lines", NOW - days(34)), ("operations", datetime.datetime(2026, 1, 31, 23))):
            self.assert_refused("FT001", "^past keep_at_most$", f"SELECT flytrail.ensure_partition('{kind}', '{at}')")
        self.assertTrue(self.ensure("2026-02-20", "operations"))

    def test_long_terms_take_late_rows_of_long_ago(self):
        self.assert_refused("FT004", "no partition is made for it", f"SELECT flytrail.ensure_partition('security', '{NOW - days(2000)}')")
        self.set_term("security", 2192)
        self.assertTrue(self.ensure(NOW - days(2000), "security"))

    def test_a_name_that_a_table_detached_by_hand_has_is_not_in_the_way(self):
        made = self.add("log_lines", NOW)
        name = self.partition("log_lines", NOW)
        self.admin.ask(f"ALTER TABLE flytrail.log_lines DETACH PARTITION flytrail.{name}")
        self.assertTrue(self.ensure(NOW))
        self.assertEqual(self.bounds()[0][0], f"{name}_2")
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_strays()"), [[name]])
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_leftovers()"), [])
        self.assertEqual(self.admin.one(f"SELECT id FROM flytrail.{name}"), made)

    def test_strange_bounds_stay(self):
        self.set_term("log_lines", 30)
        self.admin.ask("CREATE TABLE flytrail.odd PARTITION OF flytrail.log_lines DEFAULT; CREATE TABLE flytrail.older "
                       "PARTITION OF flytrail.log_lines FOR VALUES FROM (MINVALUE) TO ('2020-01-01 00:00:00+00')")
        self.assertEqual([name for name in self.plan() if "log_lines" in name or "o" == name[0]], [])
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_strays()"), [["odd"], ["older"]])
        self.assert_refused("FT002", "there is no partition older", "SELECT flytrail.retention_detach('older')")

    def test_confirmations_come_and_go_with_the_months_of_events(self):
        self.set_term("security", 60)
        self.set_term("operations", 120)
        at = datetime.datetime(2026, 2, 10, tzinfo=datetime.timezone.utc)
        for kind in ("security", "operations"):
            event = self.add(kind, at)
            insert = ("INSERT INTO flytrail.confirmations (event_id, occurred_at, source, seen_at) "
                      f"SELECT '{event}', '{at}', 'http', now() ON CONFLICT DO NOTHING")
            self.writer.ask(f"{insert}; {insert}")
        self.assertEqual([b[0] for b in self.bounds("confirmations")], ["confirmations_202602", "confirmations_202606"])
        self.drop(self.detach("events_security_202602"))
        self.assertEqual(self.admin.one("SELECT count(*) FROM flytrail.confirmations"), "2")
        self.set_term("operations", 60)
        self.drop(self.detach("events_operations_202602"))
        self.assertEqual([b[0] for b in self.bounds("confirmations")], ["confirmations_202606"])
        self.assertEqual([told["confirmations"] for _, _, told in self.facts("trail.partition_dropped")], [0, 2])

    def test_a_reader_of_confirmations_does_not_keep_a_month_of_events(self):
        self.set_term("security", 60)
        at = NOW - days(150)
        self.add("security", at)
        reader = self.session("postgres")
        reader.ask("BEGIN; SELECT count(*) FROM flytrail.confirmations")
        self.drop(self.detach(self.partition("security", at)))
        self.assertEqual(len(self.bounds("confirmations")), 2)
        reader.ask("COMMIT")
        self.writer.ask("SELECT flytrail.retention_tidy()")
        self.assertEqual(len(self.bounds("confirmations")), 1)


class Upgraded(unittest.TestCase):
    def test_confirmations_that_there_are_stay_and_views_find_them(self):
        with lab.Postgres() as pg:
            names = sorted(n for n in os.listdir(os.path.join(ROOT, "sql")) if n[0].isdigit())
            roles = "".join(f"SET flytrail.{kind} = 'flytrail_{kind[:-5]}';"
                            for kind in ("owner_role", "writer_role", "reader_role", "line_reader_role"))
            before = [os.path.join(ROOT, "sql", name) for name in names if int(name[:4]) < 13]
            # Each as `flytrail migrate` runs it: in a transaction, at whose end the role is the administrator's again.
            pg.psql(roles + "".join(f"BEGIN;\n\\i {path}\nCOMMIT; RESET role;\n" for path in before)
                    + "INSERT INTO flytrail.schema_version (version, name, oldest_binary, sha256) "
                    "SELECT n, 'x', 1, '' FROM generate_series(1, 12) AS n")
            pg.psql("""SELECT flytrail.ensure_partition('security', '2026-10-05');
                INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis, observed_at,
                    actor, actor_type, outcome, severity, trust, source, stream, seq)
                VALUES ('11111111-2222-4333-8444-555555555555', 'security', 'ssh_session', 'ssh_session.opened', '2026-10-05',
                    'source', now(), 'a', 'user', 'success', 1, 'guest', 'nats', gen_random_uuid(), 1);
                INSERT INTO flytrail.confirmations
                VALUES ('11111111-2222-4333-8444-555555555555', '2026-10-05', 'http', '2026-10-06'),
                    (gen_random_uuid(), '2025-01-31 23:59+00', 'http', now());
                INSERT INTO flytrail.retention (kind, keep_days) VALUES ('log_lines', 30)""")
            flytrail.migrate(pg)
            self.assertEqual(pg.psql("SELECT assurance FROM flytrail.ssh_sessions", READER), [["confirmed"]])
            self.assertEqual(pg.psql("SELECT assurance FROM flytrail.timeline", READER), [["confirmed"]])
            self.assertEqual(pg.psql("SELECT count(*) FROM flytrail.confirmations", WRITER), [["2"]])
            self.assertEqual(pg.psql("SELECT keep_for_days, keep_at_most_days FROM flytrail.retention"), [["30", None]])
            with self.assertRaisesRegex(lab.LabError, "append-only"):
                pg.psql("DELETE FROM flytrail.confirmations_202610")


class Holds(RetentionCase):
    def add_hold(self, app=None, actor=None, klass=None, since=None, until=None, reason="a case"):
        return self.admin.one("SELECT flytrail.add_hold("
                              + ", ".join(map(literal, (app, actor, klass, since, until, reason))) + ")")

    def test_what_is_none_is_refused(self):
        for arguments, why in (("NULL, NULL, NULL, NULL, NULL, 'x'", "a hold on nothing"),
                               ("'', NULL, NULL, NULL, NULL, 'x'", "a hold on nothing"),
                               ("NULL, ' ', NULL, NULL, NULL, 'x'", "a hold on nothing"),
                               ("'web', NULL, NULL, NULL, NULL, NULL", "a reason is needed"),
                               ("'web', NULL, NULL, NULL, NULL, E' \\t'", "a reason is needed"),
                               ("'web', NULL, NULL, NULL, NULL, repeat('x', 1001)", "a reason has 1000"),
                               ("repeat('x', 257), NULL, NULL, NULL, NULL, 'x'", "256 characters"),
                               ("NULL, NULL, 'no_such', NULL, NULL, 'x'", "there is no class no_such; there are app_log, "),
                               ("NULL, NULL, NULL, '2026-01-02', '2026-01-02', 'x'", "an earlier and a later one"),
                               ("NULL, NULL, NULL, '-infinity', NULL, 'x'", "an earlier and a later one"),
                               ("NULL, NULL, NULL, NULL, 'infinity', 'x'", "an earlier and a later one")):
            self.assert_refused("22023", why, f"SELECT flytrail.add_hold({arguments})", self.admin)
        self.assertEqual(self.admin.ask("SELECT * FROM flytrail.holds"), [])

    def test_every_class_of_the_rules_is_known(self):
        with open(os.path.join(ROOT, "include", "model", "classes.def"), encoding="ascii") as listed:
            classes = re.findall(r"^CLASS\((\w+)", listed.read(), re.MULTILINE)
        self.assertGreater(len(classes), 10)
        for name in classes:
            self.add_hold(klass=name)

    def test_a_hold_and_a_release_by_a_statement_are_told_as_well(self):
        self.admin.ask("INSERT INTO flytrail.holds (hold_id, app, reason, added_by) VALUES (gen_random_uuid(), 'web', 'a case', 'x')")
        self.admin.ask("INSERT INTO flytrail.hold_releases (hold_id, reason, released_by) SELECT hold_id, 'over', 'x' FROM flytrail.holds")
        self.assertEqual([told["session_user"] for action in ("trail.hold_added", "trail.hold_released")
                          for _, _, told in self.facts(action)], ["postgres", "postgres"])
        self.assertEqual(self.admin.ask("SELECT h.added_by, r.released_by FROM flytrail.holds h JOIN flytrail.hold_releases r USING (hold_id)"),
                         [["postgres", "postgres"]])

    def test_adding_and_releasing_are_facts_and_nothing_is_taken_back(self):
        hold = self.add_hold(app="web", actor="Alice@example.com", since="2026-01-01")
        self.assertEqual(self.session(READER).ask("SELECT hold_id, app, actor, reason, added_by FROM flytrail.open_holds"),
                         [[hold, "web", "alice@example.com", "a case", "postgres"]])
        self.assert_refused("22023", "a reason is needed", f"SELECT flytrail.release_hold('{hold}', '')", self.admin)
        self.admin.ask(f"SELECT flytrail.release_hold('{hold}', 'the case is closed')")
        self.assert_refused("22023", f"hold {hold} is released already",
                            f"SELECT flytrail.release_hold('{hold}', 'again')", self.admin)
        self.assert_refused("22023", "there is no hold", f"SELECT flytrail.release_hold('{STREAM}', 'x')", self.admin)
        self.assertEqual(self.session(LINE_READER).ask("SELECT * FROM flytrail.open_holds"), [])
        (severity, correlation, told), = self.facts("trail.hold_added")
        self.assertEqual((severity, correlation, told["actor"], told["reason"]), (4, hold, "alice@example.com", "a case"))
        (severity, correlation, told), = self.facts("trail.hold_released")
        self.assertEqual((severity, correlation, told["reason"], told["reason_of_the_hold"], told["session_user"]),
                         (4, hold, "the case is closed", "a case", "postgres"))
        for sql in ("DELETE FROM flytrail.holds", "UPDATE flytrail.hold_releases SET reason = 'x'", "TRUNCATE flytrail.holds CASCADE"):
            self.assert_refused("42501", "append-only", sql, self.admin)

    def test_each_scope_keeps_what_it_is_on_and_no_more(self):
        for kind in KINDS:
            self.set_term(kind, 30)
        march, april = (datetime.datetime(2026, month, 10, tzinfo=datetime.timezone.utc) for month in (3, 4))
        self.add("log_lines", march, app="web")
        self.add("log_lines", april, app="db")
        self.add("security", march, app="db", actor="alice", **{"class": "access"})
        self.add("operations", april, app="web")
        web_line, db_line = self.partition("log_lines", march), self.partition("log_lines", april)
        access, boot = self.partition("security", march), self.partition("operations", april)
        for scope, held in (({"app": "web"}, {web_line, boot}), ({"app": "db"}, {db_line, access}), ({"app": "x"}, set()),
                            ({"klass": "app_log"}, {web_line, db_line}), ({"klass": "access"}, {access}),
                            ({"klass": "access", "app": "web"}, set()), ({"actor": "ALICE"}, {access, web_line}),
                            ({"since": march}, {web_line, db_line, access, boot}),
                            ({"since": april}, {db_line, boot}), ({"until": april}, {web_line, access}),
                            ({"since": march + days(1), "until": april}, set()),
                            ({"until": april + datetime.timedelta(seconds=1), "app": "web"}, {web_line, boot})):
            with self.subTest(scope=scope):
                hold = self.add_hold(**scope)
                plan = self.plan()
                names = {web_line, db_line, access, boot}
                self.assertEqual({name for name in names if not plan[name][0]}, held)
                for name in held:
                    self.assertEqual(plan[name][2], f"hold {hold}: a case")
                    self.assert_refused("FT002", f"{name} stays: hold {hold}: a case", f"SELECT flytrail.retention_detach('{name}')")
                self.admin.ask(f"SELECT flytrail.release_hold('{hold}', 'done')")

    def test_an_actor_is_held_as_flytrail_writes_it(self):
        """In lower case as far as that is ASCII."""
        self.set_term("security", 30)
        self.add("security", NOW - days(80), actor="jos\u00c9@example.com")
        self.add_started(NOW)
        self.add_hold(actor="Jos\u00c9@Example.com")
        self.assertRegex(self.plan()[self.partition("security", NOW - days(80))][2], "^hold ")

    def test_an_actors_hold_keeps_the_lines_of_the_same_time(self):
        self.set_term("log_lines", 30)
        for age in (40, 41):
            self.add("log_lines", NOW - days(age))
        self.add("security", NOW - days(40) + datetime.timedelta(hours=3), actor="alice")
        self.add_hold(actor="alice")
        plan = self.plan()
        self.assertFalse(plan[self.partition("log_lines", NOW - days(40))][0])
        self.assertTrue(plan[self.partition("log_lines", NOW - days(41))][0])

    def test_one_that_comes_while_a_partition_is_on_its_way_stops_it(self):
        made, name = self.old_line()
        leaving = self.detach(name)
        hold = self.add_hold(app="web")
        self.assert_refused("FT002", f"{name} stays: hold {hold}", f"SELECT flytrail.retention_drop('{leaving}', NULL, true)")
        self.assertEqual(self.attach(leaving), name)
        self.assertIn(made, self.ids())

    def test_a_drop_and_a_hold_at_once_come_one_after_the_other(self):
        made, name = self.old_line()
        leaving = self.detach(name)
        self.admin.ask("BEGIN")
        self.add_hold(app="web")
        self.writer.send(f"SELECT flytrail.retention_drop('{leaving}', NULL, false)")
        lab.wait_for(lambda: self.pg.psql("SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
                                          f"WHERE d.datname = '{self.database}' AND NOT granted")[0][0] == "1", 60)
        self.admin.ask("COMMIT")
        with self.assertRaisesRegex(Refused, f"FT002: {name} stays: hold"):
            self.writer.receive()
        self.attach(leaving)
        self.assertIn(made, self.ids())


if __name__ == "__main__":
    unittest.main()
