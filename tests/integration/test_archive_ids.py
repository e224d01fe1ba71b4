"""Whether an archive in a real S3 server holds every row of a table that is to go."""

import datetime
import gzip
import hashlib
import json
import os
import re
import sys
import unittest
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import archived  # noqa: E402
from archived import DAY, EXIT, NEWER, NOW, OLDER, line  # noqa: E402

PREFIX = "flytrail/"
LINES = 10  # of each day in a run; every hour that has one has half of them
STREAM = "11111111-2222-4333-8444-555555555555"


def digest(ids):
    """As flytrail.digest_of_ids() is described, of fewer than 65,536."""
    return hashlib.sha256(hashlib.sha256(b"".join(sorted(uuid.UUID(id).bytes for id in ids))).digest()).hexdigest()


class Archives(archived.Case):
    """Each test has a bucket, a spool and an empty trail of its own."""

    def setUp(self):
        self.sql("SET session_replication_role = replica; DELETE FROM flytrail.events; "
                 "DELETE FROM flytrail.streams; DELETE FROM flytrail.log_lines")
        self.use(self.server.bucket())

    def keep(self, number, spool=None):
        """Lines of two days, and two events."""
        self.keep_lines((each for day in (OLDER, NEWER) for each in (
            *(line(f"run {number} line {n}", day, 100 * number + n) for n in range(LINES - 1)),
            line(EXIT, day, 100 * number + LINES - 1, "runner"))), spool)

    def keep_indexed(self, number=0, spool=None):
        """The same, and one more run that puts its index."""
        self.keep(number, spool)
        archive.end_day(spool or self.spool)
        self.keep(number + 1, spool)

    def table(self, day=OLDER):
        return "log_lines_" + day.replace("-", "")

    def keys(self, day=OLDER):
        return self.bucket.keys(f"{PREFIX}lines/date={day}/")


class ArchiveIds(Archives):
    def ask(self, kind, table, begin, end, **env):
        keys, answer = self.drive("agrees", kind, table, f"{begin}T00:00:00Z", f"{end}T00:00:00Z", **env)
        return json.loads(keys), answer

    def ask_lines(self, day=OLDER, **env):
        return self.ask("log_lines", self.table(day), day, (datetime.date.fromisoformat(day) + DAY).isoformat(), **env)

    def ids(self, table, column="id"):
        return [row[0] for row in self.sql(f"SELECT {column} FROM flytrail.{table} WHERE seq > 0")]

    def named(self):
        return [entry for key in self.bucket.keys(PREFIX + "index/")
                for entry in map(json.loads, gzip.decompress(self.bucket.get(key)).splitlines())]

    def assert_agrees(self, rows, objects, day=OLDER):
        keys, answer = self.ask_lines(day)
        ids = self.ids(self.table(day))
        self.assertEqual(len(ids), rows)
        self.assertEqual(answer, f"agrees {rows} {objects} {digest(ids)}")
        return keys

    def assert_missing(self, count, why="", day=OLDER):
        _, answer = self.ask_lines(day)
        self.assertIn(f"failed {count} rows of {self.table(day)} are not in the archive", answer)
        self.assertIn(why, answer)
        self.assertEqual(why == "", answer.endswith("the archive"), answer)

    def add_row(self, day, id="gen_random_uuid()", attributes="NULL", seq=7):
        self.sql("INSERT INTO flytrail.log_lines (id, occurred_at, occurred_ns, observed_at, source, class, message, "
                 f"attributes, stream, seq) VALUES ({id}, '{day} 05:00Z', 0, '{day} 05:00Z', 'nats', 'app_log', 'x', "
                 f"{attributes}, '{STREAM}', {seq})")

    def test_indexed_or_not_all_rows_are_there(self):
        self.keep_indexed()
        index, = self.bucket.keys(PREFIX + "index/")
        for day in (OLDER, NEWER):
            self.assertEqual(self.assert_agrees(2 * LINES, 4, day), [index])
        self.sql("INSERT INTO flytrail.log_lines SELECT (jsonb_populate_record(r, jsonb_build_object('id', "
                 "gen_random_uuid(), 'seq', 0))).* FROM flytrail.log_lines r LIMIT 1")  # in Postgres alone
        self.assert_agrees(2 * LINES, 4)

    def test_events_are_of_their_retention_class(self):
        self.keep_indexed()
        # The days of the lines, whose events are operations, may be of another month than today.
        months = self.sql("SELECT DISTINCT retention_class, to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM') "
                          "FROM flytrail.events")
        self.assertEqual({kind for kind, _ in months}, {"security", "operations"})
        for kind, month in months:
            table = f"events_{kind}_{month.replace('-', '')}"
            end = (datetime.date.fromisoformat(month + "-01") + 31 * DAY).replace(day=1).isoformat()
            _, answer = self.ask(kind, table, month + "-01", end)
            ids = self.ids(table, "event_id")
            self.assertGreater(len(ids), 0)
            self.assertRegex(answer, f"^agrees {len(ids)} [0-9]+ {digest(ids)}$")

    def test_a_table_without_rows_needs_no_archive(self):
        self.sql(f"SELECT flytrail.ensure_partition('log_lines', '{NOW}')")
        _, answer = self.ask_lines(NOW.strftime("%Y-%m-%d"), S3_ENDPOINT="http://127.0.0.1:1")
        self.assertEqual(answer, f"agrees 0 0 {hashlib.sha256(b'').hexdigest()}")

    def test_what_is_deleted_or_changed_does_not_count(self):
        self.keep_indexed()
        named = [entry["key"] for entry in self.named() if f"lines/date={OLDER}" in entry["key"]]
        unnamed = [key for key in self.keys() if key not in named]
        self.assertEqual((len(named), len(unnamed)), (2, 2))
        for key in (named[0], unnamed[0]):
            kept, head = self.bucket.get(key), self.bucket.head(key)
            metadata = {name: value for name, value in head.items() if name.startswith("x-amz-meta-")}
            with self.subTest("deleted", key=key):
                self.bucket.ask("DELETE", key)
                self.assert_missing(LINES // 2, f"{key}: it is not in the bucket" if key in named else "")
            with self.subTest("changed", key=key):
                content = gzip.decompress(kept).replace(b"line", b"LINE", 1)
                self.bucket.put(key, gzip.compress(content, 1), metadata)
                self.assert_missing(LINES // 2, f"1 objects or indexes are not as they should be; the first: {key}: ")
            self.bucket.put(key, kept, metadata)
            self.assert_agrees(2 * LINES, 4)

    def test_who_can_only_add_objects_makes_no_archive(self):
        self.keep_indexed()
        entry = next(entry for entry in self.named() if f"lines/date={OLDER}" in entry["key"])
        kept, head = self.bucket.get(entry["key"]), self.bucket.head(entry["key"])
        metadata = {name: value for name, value in head.items() if name.startswith("x-amz-meta-")}
        self.bucket.ask("DELETE", entry["key"])
        hour = re.search("hour=(..)", entry["key"])[0]
        self.bucket.put(entry["key"].replace(hour, "hour=09"), kept, metadata)
        self.assert_missing(LINES // 2, "it is not in the bucket")

    def test_an_index_that_is_none_vouches_for_nothing(self):
        self.keep_indexed()
        key, = self.bucket.keys(PREFIX + "index/")
        kept = self.bucket.get(key)
        lines = gzip.decompress(kept)
        for what, stored in (("cut", kept[:-1]), ("a line that is none", gzip.compress(lines + b"{}\n")),
                             ("another's", gzip.compress(lines.replace(b'.1-', b'.2-')))):
            with self.subTest(what):
                self.bucket.put(key, stored)
                self.assertEqual(self.assert_agrees(2 * LINES, 4), [])
        self.bucket.ask("DELETE", self.keys()[0])
        self.assert_missing(LINES // 2, f"1 objects or indexes are not as they should be; the first: {key}: ")

    def test_a_row_more_is_not_there(self):
        self.keep_indexed()
        self.add_row(OLDER)
        self.assert_missing(1)
        self.assert_agrees(2 * LINES, 4, NEWER)

    def test_a_row_is_found_where_it_claims_to_stand(self):
        self.keep_indexed()
        id = self.ids(self.table(OLDER))[0]
        self.add_row(NEWER, f"'{id}'", f"'{{\"claimed_time\": \"{OLDER}T00:14:18Z\"}}'")
        self.assert_agrees(2 * LINES + 1, 8, NEWER)
        self.sql("SET session_replication_role = replica; DELETE FROM flytrail.log_lines WHERE source = 'nats'")
        for claim in ("yesterday", "2026-99-99", f"{NEWER}T00:00:00Z"):
            with self.subTest(claim):
                self.add_row(NEWER, f"'{id}'", f"'{{\"claimed_time\": \"{claim}\"}}'")
                self.assert_missing(1, day=NEWER)
                self.sql("SET session_replication_role = replica; DELETE FROM flytrail.log_lines WHERE source = 'nats'")

    def test_another_replicas_objects_will_do(self):
        other = self.spool + "-other"
        self.keep_indexed()
        self.keep_indexed(spool=other)
        self.assertEqual(len({archive.stream(key) for key in self.keys()}), 2)
        self.assertEqual(len(self.assert_agrees(2 * LINES, 8)), 2)
        stream = archive.stream(self.keys()[0])
        for key in self.keys():
            if archive.stream(key) == stream:
                self.bucket.ask("DELETE", key)
        self.assert_agrees(2 * LINES, 4)
        self.bucket.ask("DELETE", self.keys()[0])
        self.assert_missing(LINES // 2, "objects or indexes are not as they should be")

    def test_it_ends_when_it_is_told_to(self):
        self.keep_indexed()
        self.assertEqual(self.ask_lines(ARCHIVE_DRIVER_IS_OVER="1")[1], "failed it was told to end")

    def test_what_cannot_be_read_is_no_agreement(self):
        self.keep_indexed()
        for what, env in (("AWS_SECRET_ACCESS_KEY", {"AWS_SECRET_ACCESS_KEY": "another"}),
                          ("AWS_BUCKET", {"AWS_BUCKET": "not-there"})):
            with self.subTest(what):
                answer = self.ask_lines(**env)[1]
                self.assertRegex(answer, f"^failed .*{what}")
        self.assertEqual(self.ask("log_lines", "x; y", OLDER, NEWER)[1],
                         "failed a table has a name that is none of flytrail's")


class Apply(Archives):
    """`flytrail retention apply`, of two days of lines that are past their term."""

    def setUp(self):
        super().setUp()
        self.sql("SELECT flytrail.set_retention('log_lines', 1, NULL)")
        self.addCleanup(self.sql, "DELETE FROM flytrail.retention")
        self.keep_indexed()

    def apply(self, *arguments, **env):
        status, out, said = self.command("retention", "apply", *arguments, **env)
        self.assertEqual(said, "")
        return status, out

    def facts(self):
        return {target: json.loads(attributes) for target, attributes in self.sql(
            "SELECT target, attributes FROM flytrail.events WHERE action = 'trail.partition_dropped'")}

    def rows(self, day=OLDER):
        return int(self.sql("SELECT count(*) FROM flytrail.log_lines WHERE occurred_at >= "
                            f"'{day} 00:00Z' AND occurred_at < '{day} 00:00Z'::timestamptz + interval '1 day'")[0][0])

    def be_at(self, time):
        self.sql("CREATE OR REPLACE FUNCTION flytrail.retention_now() RETURNS timestamptz LANGUAGE sql STABLE "
                 f"AS $$ SELECT {time} $$")

    def test_what_the_archive_has_goes_and_where_it_is_is_on_record(self):
        index, = self.bucket.keys(PREFIX + "index/")
        status, out = self.apply()
        self.assertEqual(status, 0, out)
        for day in (OLDER, NEWER):
            fact = self.facts()[self.table(day)]
            self.assertEqual(fact["archive"], {"rows": 2 * LINES, "apart": 0, "digest": fact["digest"], "objects": 4, "index": [index]})
            self.assertEqual((fact["rows"], fact["archive_agrees"], fact["without_archive"]), (2 * LINES, True, False))
            self.assertEqual(self.rows(day), 0)

    def test_what_it_has_not_stays_until_somebody_does_without(self):
        self.bucket.ask("DELETE", self.keys()[0])
        status, out = self.apply()
        self.assertEqual(status, 1)
        self.assertIn(f"{self.table()} stays, though past its term: its archive: {LINES // 2} rows of {self.table()} are "
                      "not in the archive", out)
        self.assertEqual((self.rows(), self.rows(NEWER)), (2 * LINES, 0))
        self.assertEqual(list(self.facts()), [self.table(NEWER)])
        status, out = self.apply("--without-archive")
        self.assertEqual((status, self.rows()), (0, 0), out)
        fact = self.facts()[self.table()]
        self.assertEqual((fact["archive"], fact["without_archive"]), (None, True))

    def test_past_keep_at_most_what_is_missing_is_on_record(self):
        self.sql("SELECT flytrail.set_retention('log_lines', 1, 4)")
        self.addCleanup(self.be_at, "now()")
        self.be_at(f"'{OLDER}'::timestamptz + interval '4 days 1 millisecond'")
        self.bucket.ask("DELETE", self.keys()[0])
        _, out = self.apply()
        self.assertEqual(self.rows(), 0, out)
        fact = self.facts()[self.table()]
        self.assertIn(f"{LINES // 2} rows of {self.table()} are not in the archive", fact["archive"]["failure"])
        self.assertFalse(fact["archive_agrees"])

    def test_lines_that_are_sent_to_no_archive_need_none(self):
        self.bucket.ask("DELETE", self.keys()[0])
        status, out = self.apply(FLYTRAIL_S3_SEND="events")
        self.assertEqual((status, self.rows()), (0, 0), out)
        self.assertIsNone(self.facts()[self.table()]["archive"])


if __name__ == "__main__":
    unittest.main()
