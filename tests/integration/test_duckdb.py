"""deploy/duckdb.sql: what DuckDB reads from the archive's objects is what Postgres holds."""

import glob
import gzip
import json
import os
import shutil
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import duck  # noqa: E402
import test_archive  # noqa: E402

ASK_WITHOUT_LINES = duck.ASK.replace('db.execute(asked["views"])', """
try:
    db.execute(asked["views"])
except duckdb.IOException as error:
    assert "No files found" in str(error), error
""")


def seen_later(line):
    """The same record as another spool accepts it after the first one did."""
    return json.dumps({**json.loads(line), "observed_at": "2099-01-01T00:00:00.000000000Z", "source": "http"}).encode() + b"\n"


class Duckdb(test_archive.Archives):
    @classmethod
    def setUpClass(cls):
        cls.folder, why = duck.find()
        if why:
            raise unittest.SkipTest(why)
        super().setUpClass()

    def download(self):
        """Every object, under a folder that is returned, and each a second time, as of two streams."""
        root = tempfile.mkdtemp(dir=self.world.folder)
        archive.download(self.bucket, root)
        for path in glob.glob(os.path.join(root, "**", "*.gz"), recursive=True):
            with open(path, "rb") as stored:
                rows = gzip.decompress(stored.read()).splitlines()
            with open(os.path.join(os.path.dirname(path), "again-" + os.path.basename(path)), "wb") as out:
                out.write(gzip.compress(b"".join(map(seen_later, rows))))
        return root

    def ask(self, root, *queries):
        return duck.ask(self.folder, root, *queries)

    def test_the_views_hold_each_row_of_postgres_once(self):
        older, newer = test_archive.OLDER, test_archive.NEWER
        self.keep(*(test_archive.line(f"line {n} ü \\ \"", day, n) for day in (older, newer) for n in range(20)),
                  test_archive.line("machine exited with exit code 1", newer, 30, "runner"), "no JSON \x01 at all")
        lines = ("id, occurred_ns, source, coalesce(app, '-'), class, coalesce(action, '-'), message, "
                 "coalesce(raw{}, '-')")
        events = ("event_id, retention_class, class, action, actor, actor_type, severity, trust, rule, "
                  "coalesce(message, '-')")
        times = "epoch_us(occurred_at), epoch_us(observed_at)"
        got_lines, got_events, got_day, count = self.ask(
            self.download(),
            f"SELECT {lines.format('::VARCHAR')}, {times} FROM lines ORDER BY id",
            f"SELECT {events}, {times} FROM events ORDER BY event_id",
            f"SELECT id FROM lines WHERE date = '{older}' AND hour = 1 ORDER BY id",
            "SELECT count(*) FROM events WHERE attributes->>'$.app' IS NULL")
        times = ("(extract(epoch FROM occurred_at) * 1000000)::bigint, "
                 "(extract(epoch FROM observed_at) * 1000000)::bigint")
        psql = self.world.pg.psql
        self.assertEqual(got_lines, psql(f"SELECT {lines.format('::text')}, {times} FROM flytrail.log_lines ORDER BY id"))
        self.assertEqual(got_events, psql(f"SELECT {events}, {times} FROM flytrail.events ORDER BY event_id"))
        self.assertEqual(len(got_day), 10)
        self.assertEqual(got_day, psql("SELECT id FROM flytrail.log_lines WHERE occurred_at "
                                       f"BETWEEN '{older} 01:00Z' AND '{older} 02:00Z' ORDER BY id"))
        self.assertGreater(int(count[0][0]), 0)

    def test_without_lines_there_are_the_events(self):
        self.keep(test_archive.line("machine exited with exit code 1", test_archive.NEWER, 0, "runner"))
        root = self.download()
        shutil.rmtree(os.path.join(root, "lines"))
        (found,), = duck.ask(self.folder, root, "SELECT count(*) > 0 FROM events", program=ASK_WITHOUT_LINES)
        self.assertEqual(found, ["True"])

    def test_only_the_objects_of_the_date_are_read(self):
        self.keep(*(test_archive.line("line", day, 0) for day in (test_archive.OLDER, test_archive.NEWER)))
        root = self.download()
        plan, = self.ask(root, f"EXPLAIN ANALYZE SELECT message FROM lines WHERE date = '{test_archive.OLDER}'")
        self.assertRegex(str(plan), "Scanning Files: 2/|Total Files Read: 2")


if __name__ == "__main__":
    unittest.main()
