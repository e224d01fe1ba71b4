"""A database to apply retention in, asked as flytrail's C asks it, with a clock that stands."""

import datetime
import json
import re
import subprocess
import unittest
import uuid

import flytrail
import lab

WRITER, READER, LINE_READER = "flytrail_writer", "flytrail_reader", "flytrail_line_reader"
LOCK = "SELECT pg_try_advisory_lock(hashtextextended('flytrail.retention', 0))"
STREAM = "11111111-2222-4333-8444-555555555555"
NOW = datetime.datetime(2026, 6, 17, 12, tzinfo=datetime.timezone.utc)  # a Wednesday
KINDS = {"log_lines": "log_lines", "security": "events_security", "operations": "events_operations"}


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
        return self.writer.ask(f"SELECT rows, digest, apart FROM flytrail.retention_digest('{leaving}')")[0]

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
