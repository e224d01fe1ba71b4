"""Terms, holds and partitions that go, asked of a real Postgres as flytrail's C asks them."""

import datetime
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
import unittest
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

WRITER, READER, LINE_READER = "flytrail_writer", "flytrail_reader", "flytrail_line_reader"
LOCK = "SELECT pg_try_advisory_lock(hashtextextended('flytrail.retention', 0))"
STREAM = "11111111-2222-4333-8444-555555555555"
NOW = datetime.datetime(2026, 6, 17, 12, tzinfo=datetime.timezone.utc)  # a Wednesday
KINDS = {"log_lines": "log_lines", "security": "events_security", "operations": "events_operations"}
IN_USE = "55P03"


def days(count):
    return datetime.timedelta(days=count)


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


class Refused(Exception):
    """What Postgres says, in its first line, and its SQLSTATE."""

    def __init__(self, state, message):
        super().__init__(f"{state}: {message}")
        self.state, self.message = state, message


class Session:
    """One connection, by psql."""

    def __init__(self, url):
        self.process = subprocess.Popen(
            [f"{lab.PG_BIN}/psql", "-X", "-q", "-A", "-t", "-F", lab.COLUMN_END, "-P", f"null={lab.NULL_TEXT}",
             "-v", "VERBOSITY=verbose", url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.asked = 0

    def send(self, sql):
        self.asked += 1
        self.process.stdin.write(f"{sql}\n;\n\\echo end of {self.asked}\n")
        self.process.stdin.flush()

    def receive(self):
        """The rows, but for those of a statement that has none; raises Refused."""
        rows, refused = [], None
        while (line := self.process.stdout.readline()) != f"end of {self.asked}\n":
            if not line:
                raise AssertionError(f"psql ended with {self.process.wait()}")
            said = re.search(r"(?:ERROR|FATAL):  (\w{5}): (.*)", line)
            if said and not refused:
                refused = Refused(*said.groups())
            rows.append([None if cell == lab.NULL_TEXT else cell
                         for cell in line.rstrip("\n").split(lab.COLUMN_END)])
        if refused:
            raise refused
        return rows

    def ask(self, sql):
        self.send(sql)
        return self.receive()

    def one(self, sql):
        return self.ask(sql)[0][0]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class RetentionCase(unittest.TestCase):
    """A database of its own for each test, in one server a class; the clock stands at NOW."""

    @classmethod
    def setUpClass(cls):
        cls.pg = lab.Postgres(template=flytrail.migrated_data())
        cls.addClassCleanup(cls.pg.close)
        cls.pg.start()

    def setUp(self):
        self.database = f"t{uuid.uuid4().hex}"
        self.pg.psql(f"CREATE DATABASE {self.database} TEMPLATE postgres")
        self.seq = 0
        self.admin = self.session("postgres")
        self.set_clock(NOW)
        self.writer = self.session(WRITER)
        self.assertEqual(self.writer.one(LOCK), "t")

    def session(self, role):
        made = Session(self.pg.url(role, self.database))
        self.addCleanup(made.close)
        return made

    def set_clock(self, at):
        self.now = at
        self.admin.ask("CREATE OR REPLACE FUNCTION flytrail.retention_now() RETURNS timestamptz LANGUAGE sql "
                       f"STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT timestamptz '{at}' $$")

    def set_term(self, kind, keep_for, keep_at_most=None):
        self.admin.ask(f"SELECT flytrail.set_retention('{kind}', {keep_for}, {literal(keep_at_most)})")

    def values(self, kind, at, **fields):
        """INSERT's text of one row, and its id."""
        self.seq += 1
        row = {"occurred_at": at, "observed_at": at, "source": "nats", "app": "web", "stream": STREAM, "seq": self.seq}
        if kind == "log_lines":
            row |= {"id": uuid.uuid4(), "occurred_ns": 0, "class": "app_log", "message": "hello"}
        else:
            row |= {"event_id": uuid.uuid4(), "retention_class": kind, "time_basis": "source", "actor": "unknown",
                    "class": "deploy" if kind == "security" else "boot", "action": "x", "actor_type": "unknown",
                    "outcome": "success", "severity": 1, "trust": "platform"}
        row |= fields
        table = "log_lines" if kind == "log_lines" else "events"
        return (f"INSERT INTO flytrail.{table} ({', '.join(row)}) VALUES ({', '.join(map(literal, row.values()))})",
                str(row["id" if kind == "log_lines" else "event_id"]))

    def add(self, kind, at, **fields):
        """A row, in a partition that is made where there is none; returns its id."""
        sql, made = self.values(kind, at, **fields)
        self.writer.ask(f"SELECT flytrail.ensure_partition('{kind}', '{at}'); {sql}")
        return made

    def add_started(self, at):
        self.add("security", at, **{"class": "trail"}, action="trail.started", trust="self", source="trail")

    def add_gap(self, start, end, gap_id="g1"):
        self.add_started(self.now)  # the newest record is no older than the clock
        self.add("security", start, **{"class": "trail"}, action="trail.gap_opened", correlation_id=gap_id,
                 trust="self", source="trail",
                 attributes=json.dumps({"reason": "disconnect", "gap_start": str(start), "gap_end": str(end)}))

    def partition(self, kind, at):
        return self.admin.one(f"SELECT c.relname FROM flytrail.partitions('{kind}') p JOIN pg_class c "
                              f"ON c.oid = p.partition WHERE first_at <= '{at}' AND end_at > '{at}'")

    def plan(self):
        """(goes, past keep_at_most, why) by partition."""
        rows = self.writer.ask("SELECT partition, goes, is_past_keep_at_most, why FROM flytrail.retention_plan()")
        return {name: (goes == "t", is_past == "t", why) for name, goes, is_past, why in rows}

    def detach(self, partition):
        return self.writer.one(f"SELECT flytrail.retention_detach('{partition}')")

    def attach(self, leaving):
        return self.writer.one(f"SELECT flytrail.retention_attach('{leaving}')")

    def drop(self, leaving, archive=None, without_archive="false"):
        told = "NULL" if archive is None else literal(json.dumps(archive))
        return self.writer.one(f"SELECT flytrail.retention_drop('{leaving}', {told}, {without_archive})")

    def digest(self, leaving):
        return self.writer.ask(f"SELECT rows, digest, never_archived FROM flytrail.retention_digest('{leaving}')")[0]

    def ids(self):
        return {row[0] for row in self.admin.ask("SELECT id FROM flytrail.log_lines UNION ALL "
                                                 "SELECT event_id FROM flytrail.events WHERE seq > 0")}

    def facts(self, action):
        rows = self.admin.ask("SELECT severity, correlation_id, attributes FROM flytrail.events "
                              f"WHERE action = '{action}' ORDER BY stored_at")
        return [(int(severity), correlation, json.loads(attributes)) for severity, correlation, attributes in rows]

    def assert_refused(self, state, why, sql, session=None):
        with self.subTest(sql=sql), self.assertRaises(Refused) as got:
            (session or self.writer).ask(sql)
        self.assertRegex(got.exception.message, why)
        self.assertEqual(got.exception.state, state)

    def old_line(self, age=40, **fields):
        """Of a day that is past keep_for: its id, and its partition's name."""
        self.set_term("log_lines", 30)
        at = self.now - days(age)
        made = self.add("log_lines", at, **fields)
        return made, self.partition("log_lines", at)


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
        self.assertEqual(self.admin.ask(
            "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'flytrail'::regnamespace AND "
            "has_function_privilege('public', p.oid, 'EXECUTE') AND p.oid >= 'flytrail.tell'::regproc"), [])


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
        self.assert_refused("22023", "out of the range", f"SELECT flytrail.ensure_partition('security', '{NOW - days(2000)}')")
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
        plan = self.plan()
        self.assertEqual(plan["odd"], (False, False, "kept until its bounds end"))
        self.assertEqual(plan["older"], (True, False, "past keep_for"))

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


class Random(RetentionCase):
    """For random terms, holds, partitions, gaps and clocks."""

    ROUNDS, SEED = 120, 20261126
    RESET = """SET client_min_messages = warning; SET session_replication_role = replica;
        DO $$ DECLARE t regclass; BEGIN
            FOR t IN SELECT inhrelid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent WHERE c.relname IN
                ('log_lines', 'events_security', 'events_operations', 'confirmations') AND c.relkind = 'p' LOOP
                EXECUTE format('DROP TABLE %s', t);
            END LOOP; END $$;
        DELETE FROM flytrail.hold_releases; DELETE FROM flytrail.holds; DELETE FROM flytrail.retention"""

    def setUp(self):
        super().setUp()
        self.kept = self.gone = self.held = self.gaps = self.refused = 0

    def random_term(self, r, kind):
        keep_for = r.choice((1, 5, 30, 60, 85, 92, 150, 330))
        room = 2 + (31 if kind != "log_lines" else 7)
        return keep_for, r.choice((None, None, keep_for + room, keep_for + room + r.randrange(100)))

    def make_rows(self, r):
        """Under other terms than those that they go by."""
        sql = []
        self.admin.ask("INSERT INTO flytrail.retention (kind, keep_for_days) VALUES ('log_lines', "
                       f"{r.choice((30, 100))})")
        for _ in range(r.randrange(15, 30)):
            kind = r.choice(("log_lines", "log_lines", "security", "operations"))
            at = NOW - days(r.choice((r.uniform(-1, 30), r.uniform(0, 200), r.uniform(0, 500))))
            app, actor = r.choice(("web", "db")), r.choice(("alice", "bob", "unknown"))
            klass = {"log_lines": "app_log", "security": "access", "operations": "boot"}[kind]
            fields = {"app": app} | ({} if kind == "log_lines" else {"actor": actor, "class": klass})
            insert, _ = self.values(kind, at, **fields)
            sql.append(f"SELECT flytrail.ensure_partition('{kind}', '{at}'); {insert}")
            if r.random() < 0.1:
                self.admin.ask(f"UPDATE flytrail.retention SET keep_for_days = {r.choice((30, 100))}")
        self.writer.ask("; ".join(sql))
        self.admin.ask("DELETE FROM flytrail.retention")

    def make_holds(self, r):
        holds = []
        for _ in range(r.choice((0, 1, 1, 2))):
            since = r.choice((None, NOW - days(r.uniform(0, 400))))
            until = r.choice((None, (since or NOW - days(200)) + days(r.uniform(1, 100))))
            hold = {"app": r.choice((None, "web", "x")), "actor": r.choice((None, None, "alice")),
                    "class": r.choice((None, None, "app_log", "access")), "since": since, "until": until}
            if any(value is not None for value in hold.values()):
                made = self.admin.one(f"SELECT flytrail.add_hold({', '.join(map(literal, hold.values()))}, 'x')")
                if r.random() < 0.2:
                    self.admin.ask(f"SELECT flytrail.release_hold('{made}', 'y')")
                else:
                    holds.append(hold)
        return holds

    @staticmethod
    def is_held(hold, row, first, end, rows):
        kind, at, app, actor, klass = row
        if hold["actor"] and kind != "log_lines" and actor != hold["actor"]:
            return False
        if hold["actor"] and kind == "log_lines" and not any(
                other[3] == hold["actor"] and first <= other[1] < end for other in rows.values()):
            return False
        return (hold["app"] in (None, app) and hold["class"] in (None, klass)
                and (hold["since"] is None or at >= hold["since"]) and (hold["until"] is None or at < hold["until"]))

    def apply(self, r):
        """As src/run/retention.c does it, with troubles."""
        for name, (goes, _, _) in self.plan().items():
            if not goes:
                continue
            leaving = self.detach(name)
            rows, digest, _ = self.digest(leaving)
            trouble = r.random()
            if trouble < 0.1:
                self.attach(leaving)
                leaving = self.detach(name)
            archive = {"rows": int(rows), "digest": digest} if trouble < 0.5 else None
            if trouble < 0.2:
                archive["rows"] += 1
            try:
                self.drop(leaving, archive, "true" if trouble < 0.15 else "false")
            except Refused as refused:
                self.assertEqual(refused.state, "FT003")
                self.refused += 1
                self.attach(leaving)
                self.drop(self.detach(name))

    def check(self, before, rows, bounds, terms, holds, gap):
        there = self.ids()
        for made in before:
            row = rows[made]
            kind, at = row[:2]
            keep_for, at_most = terms.get(kind, (None, None))
            first, end, together = next((first, end, [rows[i] for i in ids]) for first, end, ids in bounds if made in ids)
            is_past = keep_for is not None and end <= self.now - days(keep_for)
            is_too_old = is_past and at_most is not None and first < self.now - days(at_most)
            is_held = any(self.is_held(hold, other, first, end, rows) for hold in holds for other in together)
            has_gap = gap is not None and gap[0] < end and gap[1] >= first
            if is_held or not is_past:
                self.assertIn(made, there, row)
                self.held += is_held and is_past
                self.kept += not is_past
            elif is_too_old or not has_gap:
                self.assertNotIn(made, there, row)
                self.gone += 1
                self.assertTrue(at < self.now - days(keep_for))
            elif kind == "security" or "security" not in terms or terms["security"][1] is None:
                self.assertIn(made, there, row)
                self.gaps += 1
            if at_most is not None and at < self.now - days(at_most) and is_past and not is_held:
                self.assertNotIn(made, there, row)

    def read_all(self):
        """(kind, time, app, actor, class) by id, and (first, end, ids) of each partition that has rows."""
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        rows, partitions = {}, {}
        for made, first, end, kind, at, app, actor, klass in self.admin.ask(f"""
                SELECT r.id, {', '.join(f"(extract(epoch FROM {at}) * 1000000)::bigint" for at in ('first_at', 'end_at'))},
                    k.kind, (extract(epoch FROM r.occurred_at) * 1000000)::bigint, r.app, r.actor, r.class
                FROM (SELECT id, tableoid, occurred_at, app, NULL AS actor, class FROM flytrail.log_lines UNION ALL
                    SELECT event_id, tableoid, occurred_at, app, actor, class FROM flytrail.events) AS r,
                    unnest(ARRAY['log_lines', 'security', 'operations']) AS k (kind), flytrail.partitions(k.kind) p
                WHERE p.partition = r.tableoid"""):
            first, end, at = (epoch + datetime.timedelta(microseconds=int(us)) for us in (first, end, at))
            rows[made] = (kind, at, app, actor, klass)
            partitions.setdefault((kind, first, end), set()).add(made)
        return rows, [(first, end, ids) for (_, first, end), ids in partitions.items()]

    def one_round(self, r):
        self.admin.ask(self.RESET)
        self.admin.ask("SET session_replication_role = origin")
        self.set_clock(NOW)
        self.make_rows(r)
        holds = self.make_holds(r)
        gap = None
        if r.random() < 0.5:
            start = NOW - days(r.uniform(0, 300))
            gap = (start, start + days(r.uniform(0, 40)))
            self.add_gap(*gap)
        self.set_clock(NOW + days(r.choice((0, 0, 10, 75))))
        disagrees = r.random() < 0.1
        self.add_started(self.now + (days(1.1 if gap else r.choice((-1.1, 1.1))) if disagrees else days(0)))
        terms = {kind: self.random_term(r, kind) for kind in KINDS if r.random() < 0.9}
        for kind, term in terms.items():
            self.set_term(kind, *term)
        rows, bounds = self.read_all()
        before = self.ids()
        if disagrees:
            with self.assertRaises(Refused) as got:
                self.apply(r)
                raise Refused("FT002", "nothing was to go")
            self.assertEqual(got.exception.state, "FT002")
            self.assertEqual(self.ids(), before)
            return
        self.apply(r)
        self.check(before, rows, bounds, terms, holds, gap)

    def test_nothing_held_or_within_its_term_goes_and_all_past_its_upper_limit_does(self):
        began = time.monotonic()
        for number in range(self.ROUNDS):
            with self.subTest(round=number):
                self.one_round(random.Random(self.SEED + number))
        told = (self.kept, self.gone, self.held, self.gaps, self.refused)
        for count, wanted in zip(told, (500, 500, 50, 20, 10)):
            self.assertGreater(count, wanted, told)
        self.assertLess(time.monotonic() - began, 120)


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

    def test_a_table_that_is_out_takes_nothing_that_keeps_it_out(self):
        name = self.partition("operations", NOW - days(100))
        leaving = self.detach(name)
        sql, _ = self.values("operations", NOW)
        self.assert_refused("23514", "bounds", sql.replace("flytrail.events", f"flytrail.{leaving}"))
        self.assertEqual(self.attach(leaving), name)

    def test_readers_take_nothing_away_either(self):
        for role in (READER, LINE_READER):
            thief = self.session(role)
            thief.ask(LOCK)
            for call in ("ensure_partition('log_lines', now())", "retention_detach('x')", "retention_attach('x')",
                         "retention_drop('x', NULL, true)", "retention_digest('x')", "retention_tidy()"):
                self.assert_refused("42501", "permission denied", f"SELECT flytrail.{call}", thief)


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
                                          f"WHERE d.datname = '{self.database}' AND NOT granted")[0][0] == "1", 10)
        self.admin.ask("COMMIT")
        with self.assertRaisesRegex(Refused, f"FT002: {name} stays: hold"):
            self.writer.receive()
        self.attach(leaving)
        self.assertIn(made, self.ids())


class Applying(RetentionCase):
    def test_the_forms_of_the_plan(self):
        for age in (20, 40, 60, 61):
            self.add("log_lines", NOW - days(age))
        names = {age: self.partition("log_lines", NOW - days(age)) for age in (20, 40, 60, 61)}
        self.assertEqual(set(self.plan().values()), {(False, False, "kept for ever: no term is set")})
        self.set_term("log_lines", 30, 60)
        self.add_gap(NOW - days(62), NOW - days(39))
        plan = self.plan()
        self.assertEqual(plan[names[20]], (False, False, "kept until 2026-06-28"))
        self.assertEqual(plan[names[40]], (False, False, "a gap in it is open: g1"))
        self.assertEqual(plan[names[60]], (True, True, "past keep_at_most"))
        self.admin.ask("SELECT flytrail.add_hold('web', NULL, NULL, NULL, NULL, 'why')")
        self.assertEqual(self.plan()[names[60]][:2], (False, True))
        for role in (READER, LINE_READER):
            self.assertEqual(self.session(role).one("SELECT count(*) FROM flytrail.retention_plan()"), "6")

    def test_a_day_goes_at_the_end_of_its_term_and_not_before(self):
        self.set_term("log_lines", 30)
        self.add("log_lines", "2026-05-17 23:59:59.999999+00")
        for clock, goes in (("2026-06-16 23:59:59.999999+00", False), ("2026-06-17 00:00:00+00", True)):
            self.set_clock(clock)
            self.assertEqual(self.plan()["log_lines_20260517"][0], goes)

    def test_a_drop_is_on_record_with_all_that_an_auditor_asks(self):
        made, name = self.old_line()
        at = self.now - days(40)
        self.add("log_lines", at, seq=0)
        leaving = self.detach(name)
        rows, digest, never = self.digest(leaving)
        self.assertEqual((rows, never), ("1", "1"))
        archive = {"rows": 1, "digest": digest, "objects": 1, "index": ["trail/index/2026.json"]}
        fact = self.drop(leaving, archive)
        (severity, correlation, told), = self.facts("trail.partition_dropped")
        self.assertEqual((severity, correlation), (4, name))
        self.assertEqual(fact, self.admin.one("SELECT event_id FROM flytrail.events WHERE action = 'trail.partition_dropped'"))
        self.assertGreater(told.pop("bytes"), 0)
        for field in ("policy_changed_at", "detached_at"):
            self.assertRegex(told.pop(field), "^20")
        self.assertEqual(told, {
            "kind": "log_lines", "partition": name, "first_at": "2026-05-08T00:00:00+00:00",
            "end_at": "2026-05-09T00:00:00+00:00", "rows": 1, "digest": digest, "never_archived": 1, "confirmations": 0,
            "keep_for_days": 30, "keep_at_most_days": None, "policy_changed_by": "postgres", "why": "past keep_for",
            "archive": archive, "archive_agrees": True, "without_archive": False, "open_gaps": [],
            "session_user": WRITER, "application_name": "psql", "client_addr": "127.0.0.1"})
        self.assertNotIn(made, self.ids())

    def test_an_archive_that_has_not_all_of_it_stops_it(self):
        _, name = self.old_line()
        leaving = self.detach(name)
        digest = self.digest(leaving)[1]
        for archive in ({"rows": 0, "digest": digest}, {"rows": 1, "digest": "0" * 64}, {}, {"rows": None, "digest": None},
                        {"rows": "1 "}):
            self.assert_refused("FT003", f"{name} stays: it has 1 rows with the digest {digest}",
                                f"SELECT flytrail.retention_drop('{leaving}', '{json.dumps(archive)}', false)")
        for archive in ("[1]", '"x"', "null", json.dumps({"x": "y" * 70000})):
            self.assert_refused("22023", "a JSON object",
                                f"SELECT flytrail.retention_drop('{leaving}', '{archive}', true)")
        self.drop(leaving, {"rows": 0}, "true")
        told = self.facts("trail.partition_dropped")[0][2]
        self.assertEqual((told["without_archive"], told["archive_agrees"]), (True, False))

    def test_past_keep_at_most_a_missing_archive_and_an_open_gap_are_on_record(self):
        at = NOW - days(60)
        self.add("log_lines", at)
        self.set_term("log_lines", 30, 40)
        self.add_gap(at, at + days(1))
        self.drop(self.detach(self.partition("log_lines", at)), {"rows": 0, "digest": ""})
        told = self.facts("trail.partition_dropped")[0][2]
        self.assertEqual((told["why"], told["archive_agrees"], told["open_gaps"]), ("past keep_at_most", False, ["g1"]))

    def test_one_digest_for_server_and_client(self):
        _, name = self.old_line()
        for _ in range(20):
            self.add("log_lines", self.now - days(40))
        leaving = self.detach(name)
        self.writer.ask("CREATE TEMPORARY TABLE found (id uuid, at timestamptz); INSERT INTO found "
                        f"SELECT id, occurred_at FROM flytrail.{leaving} ORDER BY random()")
        digest = self.writer.one("SELECT flytrail.digest_of_ids('found')")
        self.assertEqual(self.digest(leaving)[:2], ["21", digest])
        self.writer.ask("DELETE FROM found WHERE ctid IN (SELECT ctid FROM found LIMIT 1)")
        self.assertNotEqual(self.writer.one("SELECT flytrail.digest_of_ids('found')"), digest)

    def test_the_digest_is_of_two_levels(self):
        self.writer.ask("CREATE TEMPORARY TABLE many AS SELECT lpad(to_hex(n), 32, '0')::uuid AS id "
                        "FROM generate_series(0, 70000) AS n")
        parts = [range(0, 65536), range(65536, 70001)]
        expected = hashlib.sha256(b"".join(
            hashlib.sha256(b"".join(n.to_bytes(16, "big") for n in part)).digest() for part in parts)).hexdigest()
        self.assertEqual(self.writer.one("SELECT flytrail.digest_of_ids('many')"), expected)

    def test_late_rows_come_in_while_it_is_out_and_go_into_it(self):
        for back in (False, True):
            with self.subTest(back=back):
                made, name = self.old_line()
                leaving = self.detach(name)
                self.assertNotIn(made, self.ids())
                late = self.add("log_lines", self.now - days(40))
                if back:
                    self.assertEqual(self.attach(leaving), name)
                    self.assertLessEqual({made, late}, self.ids())
                else:
                    self.drop(leaving)
                    self.assertIn(late, self.ids())
                    self.assertTrue(self.plan()[name][0])

    def test_a_row_that_came_twice_is_there_once_after_it(self):
        _, name = self.old_line()
        leaving = self.detach(name)
        twin = self.admin.ask(f"SELECT id, occurred_at FROM flytrail.{leaving}")[0]
        self.add("log_lines", self.now - days(40), id=twin[0], occurred_at=twin[1])
        self.attach(leaving)
        self.assertEqual(self.admin.one(f"SELECT count(*) FROM flytrail.log_lines WHERE id = '{twin[0]}'"), "1")
        self.assertEqual(self.admin.ask("SELECT conname FROM pg_constraint WHERE conname = 'bounds'"), [])
        self.assert_refused("42501", "append-only", f"DELETE FROM flytrail.{name}", self.admin)

    def test_a_week_that_is_out_gets_a_week_for_late_rows_whatever_the_terms_are_now(self):
        self.set_term("log_lines", 100)
        at = NOW - days(120)
        self.add("log_lines", at)
        leaving = self.detach(self.partition("log_lines", at))
        self.set_term("log_lines", 30)
        self.add("log_lines", at + days(1))
        self.assertEqual(self.partition("log_lines", at), leaving.removesuffix("_leaving"))
        self.attach(leaving)
        self.assertEqual(self.admin.one("SELECT count(*) FROM flytrail.log_lines"), "2")

    def test_an_interrupted_one_is_found_and_put_back(self):
        made, name = self.old_line()
        leaving = self.detach(name)
        self.writer.process.kill()
        self.writer.process.wait()
        self.writer = self.session(WRITER)
        lab.wait_for(lambda: self.writer.one(LOCK) == "t", 10, "the lock of a session that is gone")
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_leftovers()"), [[leaving]])
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_strays()"), [])
        late = self.add("log_lines", self.now - days(40))
        self.assert_refused("FT002", f"{leaving} is still there", f"SELECT flytrail.retention_detach('{name}')")
        self.attach(leaving)
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_leftovers()"), [])
        self.assertLessEqual({made, late}, self.ids())

    def test_the_crash_of_the_server_between_detach_and_drop_loses_nothing(self):
        made, name = self.old_line()
        leaving = self.detach(name)
        self.writer.ask("BEGIN")
        self.drop(leaving)
        self.pg.crash()
        self.pg.restart()
        self.admin, self.writer = self.session("postgres"), self.session(WRITER)
        self.assertEqual(self.writer.one(LOCK), "t")
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_leftovers()"), [[leaving]])
        self.attach(leaving)
        self.assertIn(made, self.ids())
        self.assertEqual(self.facts("trail.partition_dropped"), [])

    def test_only_who_holds_the_lock_acts(self):
        _, name = self.old_line()
        other = self.session(WRITER)
        self.assertEqual(other.one(LOCK), "f")
        leaving = self.detach(name)
        for call in (f"retention_detach('{name}')", f"retention_attach('{leaving}')", f"retention_drop('{leaving}', NULL, true)"):
            self.assert_refused("FT002", "does not hold the advisory lock", f"SELECT flytrail.{call}", other)
        other.ask("SELECT pg_advisory_lock_shared(1); SELECT pg_advisory_lock(0, 0)")
        self.assert_refused("FT002", "does not hold the advisory lock", f"SELECT flytrail.retention_attach('{leaving}')", other)

    def test_a_clock_that_disagrees_with_the_newest_record_stops_it(self):
        made, name = self.old_line()
        self.assertIsNone(self.writer.one("SELECT flytrail.retention_clock()"))
        self.add_started(self.now)
        leaving = self.detach(name)
        for off in (days(1.01), -days(1.01)):
            self.set_clock(NOW + off)
            sentence = self.writer.one("SELECT flytrail.retention_clock()")
            self.assertRegex(sentence, "more than a day apart, so nothing goes$")
            self.assert_refused("FT002", "more than a day apart", f"SELECT flytrail.retention_drop('{leaving}', NULL, true)")
            self.assert_refused("FT002", "more than a day apart", f"SELECT flytrail.retention_detach('{name}')")
        self.attach(leaving)
        self.assertIn(made, self.ids())
        self.set_clock(NOW + days(0.99))
        self.assertIsNone(self.writer.one("SELECT flytrail.retention_clock()"))
        self.drop(self.detach(name))

    def test_what_is_not_there_is_told(self):
        self.set_term("log_lines", 30)
        for call, why in (("retention_detach('log_lines_19990101')", "there is no partition log_lines_19990101"),
                          ("retention_detach(NULL)", "there is no partition without a name"),
                          ("retention_drop('x', NULL, false)", "there is no table x on its way out"),
                          ("retention_attach(NULL)", "there is no table without a name"),
                          ("retention_digest('log_lines')", "there is no table log_lines on its way out")):
            self.assert_refused("FT002", why, f"SELECT flytrail.{call}")

    def test_who_waits_for_the_parent_holds_up_others_for_two_seconds_at_most(self):
        _, name = self.old_line()
        reader = self.session("postgres")
        reader.ask("BEGIN; SELECT count(*) FROM flytrail.log_lines")
        waits = []

        def take_in():
            session = self.session(WRITER)
            for _ in range(30):
                sql, _ = self.values("log_lines", self.now - days(40))
                began = time.monotonic()
                session.ask(sql)
                waits.append(time.monotonic() - began)

        intake = threading.Thread(target=take_in)
        began = time.monotonic()
        self.writer.send(f"SELECT flytrail.retention_detach('{name}')")
        intake.start()
        with self.assertRaises(Refused) as got:
            self.writer.receive()
        self.assertEqual(got.exception.state, IN_USE)
        self.assertLess(time.monotonic() - began, 2.5)
        intake.join()
        self.assertLess(max(waits), 2)
        reader.ask("COMMIT")
        self.detach(name)

    def test_a_drop_waits_for_nobody_who_reads_the_parent(self):
        _, name = self.old_line()
        leaving = self.detach(name)
        reader = self.session("postgres")
        reader.ask("BEGIN; SELECT count(*) FROM flytrail.log_lines; SELECT count(*) FROM flytrail.events")
        self.drop(leaving)
        reader.ask("COMMIT")

    def test_snapshots_that_nothing_renews_are_tidied_away(self):
        insert = "INSERT INTO flytrail.snapshots (resource, scope, taken_at, content) VALUES ('apps', '{}', '{}', '{{}}')"
        for scope, at in (("old", NOW - days(101)), ("new", NOW - days(99)), ("never", "-infinity")):
            self.writer.ask(insert.format(scope, at))
        self.assertEqual(self.writer.one("SELECT flytrail.retention_tidy()"), "0")
        for kind, keep_for in (("log_lines", 30), ("security", 100), ("operations", 50)):
            self.assertEqual(self.writer.one("SELECT flytrail.retention_tidy()"), "0")
            self.set_term(kind, keep_for)
        self.assertEqual(self.writer.one("SELECT flytrail.retention_tidy()"), "1")
        self.assertEqual(self.admin.ask("SELECT scope FROM flytrail.snapshots ORDER BY 1"), [["never"], ["new"]])
        self.assertEqual(self.facts("trail.partition_dropped")[0][2]["snapshots"], 1)


if __name__ == "__main__":
    unittest.main()
