"""The restore drill: `flytrail replay` of what `flytrail run` archived, against what it had stored."""

import datetime
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import lab  # noqa: E402
import test_replay  # noqa: E402
from test_replay import text  # noqa: E402
from test_store import FLYTRAIL  # noqa: E402


class Drill(test_replay.ReplayCase):
    """The restore drill: an archive that `flytrail run` made, into an empty database, is what the trail was."""

    # What an archive cannot keep of a row, or a replay must not.
    APART = "'{stored_at,observed_at,source,stream,seq}'::text[]"
    # What commands and Postgres itself put on record is there alone, and in no archive.
    BY_A_SPOOL = "coalesce(action, '') NOT IN ('trail.replayed', 'trail.schema_changed', 'trail.retention_changed')"

    def setUp(self):
        lab.begin_within(lab.DAY)  # whose deliveries one index names
        super().setUp()
        self.folder = self.enterContext(tempfile.TemporaryDirectory())

    def lines(self):
        """Every labelled line, as Fly's log stream has it, and what is hard to keep."""
        with open(os.path.join(ROOT, "tests", "data", "log-lines.jsonl"), encoding="utf-8") as file:
            labelled = [json.loads(line) for line in file]
        with open(os.path.join(ROOT, "tests", "data", "secrets.txt"), encoding="utf-8") as file:
            labelled += [{"message": line.split("\t")[2]} for line in file if line.count("\t") == 2]
        labelled += [{"message": message} for message in (
            "", "\\.", "\\N", "a\tb\r", "\u001b[32mgreen\u001b[0m", "é\U0001f600\u2028", '{"level":"warn","n":1.50,"deep":[{}]}',
            "with \x00 in it", "x" * 100000)]
        for number, line in enumerate(labelled):
            at = self.hour + number * datetime.timedelta(minutes=1, microseconds=7)
            yield json.dumps({
                "event": {"provider": line.get("provider") or "app"},
                "fly": {"app": {"instance": "0e286551c30586", "name": f"web-{number % 3}"}, "region": "ams"},
                "host": "0ad1", "log": {"level": line.get("level") or "info"}, "message": line["message"],
                "timestamp": text(at, number % 1000), **({"further": {"a": [number, None]}} if number % 7 == 0 else {}),
            }, ensure_ascii=False).encode()
        yield b'{"message":"not \xff UTF-8","timestamp":"' + text(self.hour).encode() + b'"}'
        yield b"no JSON at all \xfe"

    def run_once(self):
        """`flytrail run` of a file, to its end: all of it is in Postgres and in S3."""
        path = os.path.join(self.folder, "lines")
        with open(path, "wb") as out:
            out.write(b"\n".join(self.lines()) + b"\n")
        done = subprocess.run(
            [FLYTRAIL, "run", path], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=lab.ENDED_SECONDS, check=False,
            env={**self.environment(), "FLYTRAIL_SPOOL_DIR": os.path.join(self.folder, "spool"), "FLY_APP_NAME": "flytrail",
                 "FLYTRAIL_SPOOL_MAX_BYTES": "1GiB", "FLYTRAIL_S3_GATHER_SECONDS": "1", "ORG": "example-org",
                 "FLYTRAIL_LISTEN": f"127.0.0.1:{lab.free_port()}"})
        self.assertEqual(done.returncode, 0, done.stderr)

    def rows(self, table, database):
        key = "id" if table == "log_lines" else "event_id"
        return self.pg.psql(f"SELECT to_jsonb(t) - {self.APART} FROM flytrail.{table} AS t "
                            f"WHERE {self.BY_A_SPOOL} ORDER BY {key}, occurred_at", database=database)

    def told(self, view, database):
        """A view's rows, but for what follows from a row's source."""
        by_a_spool = self.BY_A_SPOOL.replace("action", "to_jsonb(t) ->> 'action'")
        return self.pg.psql(f"SELECT to_jsonb(t) - 'assurance' AS row FROM flytrail.{view} AS t "
                            f"WHERE {by_a_spool} ORDER BY 1", database=database)

    def test_an_empty_database_becomes_what_the_trail_was(self):
        self.run_once()
        archive.end_day(os.path.join(self.folder, "spool"))
        self.run_once()
        self.pg.psql("CREATE DATABASE restored")
        self.addCleanup(self.pg.psql, "DROP DATABASE restored")
        url = self.pg.url(database="restored")
        subprocess.run([FLYTRAIL, "migrate"], env={"FLYTRAIL_ADMIN_DATABASE_URL": url}, check=True, capture_output=True)
        status, out, error = self.replay(FLYTRAIL_DATABASE_URL=self.pg.url("flytrail_writer", "restored"))
        self.assertEqual((status, error), (0, ""), out)
        self.assertRegex(out, r"[1-9]\d* as 1 indexes have them, [1-9]\d* that no index has yet")
        for table, least in (("log_lines", 350), ("events", 100)):
            before, after = self.rows(table, "postgres"), self.rows(table, "restored")
            self.assertGreater(len(before), least)
            for old, new in zip(before, after):
                self.assertEqual(old, new)
            self.assertEqual(len(before), len(after))
        for view, least in (("timeline", 100), ("deploys", 0), ("secret_changes", 0), ("restarts", 1),
                            ("ssh_sessions", 1), ("inventory", 0)):
            with self.subTest(view):
                before, after = (self.told(view, database) for database in ("postgres", "restored"))
                self.assertGreaterEqual(len(before), least)
                self.assertEqual(before, after)
        [[raws, attributes]] = self.pg.psql("SELECT count(raw), count(attributes) FROM flytrail.log_lines",
                                            database="restored")
        self.assertGreater(int(raws), 1)
        self.assertGreater(int(attributes), 50)
        self.assertEqual(self.pg.psql("SELECT DISTINCT source FROM flytrail.log_lines", database="restored"), [["replay"]])
        self.assertEqual(self.pg.psql("SELECT stream FROM flytrail.log_lines UNION SELECT stream FROM flytrail.events "
                                      f"WHERE {self.BY_A_SPOOL}", database="restored"),
                         self.pg.psql("SELECT stream FROM flytrail.streams"))

    def test_a_limit_leaves_out_what_is_past_it_and_nothing_else(self):
        # Lines are a minute apart; the limit is passed by none of them in the next 50 seconds.
        now = datetime.datetime.now(datetime.timezone.utc)
        self.hour = now - 4 * test_replay.DAY - datetime.timedelta(minutes=100) + datetime.timedelta(seconds=50)
        self.run_once()
        self.pg.psql("CREATE DATABASE restored")
        self.addCleanup(self.pg.psql, "DROP DATABASE restored")
        subprocess.run([FLYTRAIL, "migrate"], check=True, capture_output=True,
                       env={"FLYTRAIL_ADMIN_DATABASE_URL": self.pg.url(database="restored")})
        self.pg.psql("SELECT flytrail.set_retention('log_lines', 1, 4)", database="restored")
        status, out, error = self.replay(FLYTRAIL_DATABASE_URL=self.pg.url("flytrail_writer", "restored"))
        self.assertEqual((status, error), (0, ""), out)
        limit = (now - 4 * test_replay.DAY).isoformat()
        before, after = self.rows("log_lines", "postgres"), self.rows("log_lines", "restored")
        young = [row for row in before if json.loads(row[0])["occurred_at"] >= limit]
        self.assertEqual(young, after)
        self.assertGreater(len(young), 200)
        self.assertGreaterEqual(len(before) - len(young), 100)
        self.assertIn(f"\n{len(before) - len(young)} rows are past keep_at_most of their kind, and not stored\n", out)
        self.assertRegex(out, r"\d+ rows added, 0 there already")
        self.assertEqual(self.rows("events", "postgres"), self.rows("events", "restored"))
        [[told]] = self.pg.psql("SELECT attributes FROM flytrail.events WHERE action = 'trail.replayed' "
                                "AND attributes->>'state' = 'done'", database="restored")
        self.assertEqual(json.loads(told)["rows_expired"], len(before) - len(young))

    def test_what_is_kept_for_years_comes_back_after_years(self):
        at = self.hour - 2190 * test_replay.DAY
        self.put([self.line(at)], at=at)
        self.assert_refused("more than 800 days ago")
        self.pg.psql("SELECT flytrail.set_retention('log_lines', 2192, NULL)")
        self.addCleanup(self.pg.psql, "DELETE FROM flytrail.retention")
        self.assertEqual(self.replay()[0], 0)
        self.assertEqual(self.pg.psql("SELECT count(*) FROM flytrail.log_lines"), [["1"]])

    def test_beside_the_trail_it_adds_nothing(self):
        self.run_once()
        before = self.pg.psql("SELECT * FROM flytrail.log_lines ORDER BY id")
        status, out, _ = self.replay()
        self.assertEqual(status, 0)
        self.assertIn("\n0 rows added", out)
        self.assertEqual(self.pg.psql("SELECT * FROM flytrail.log_lines ORDER BY id"), before)


if __name__ == "__main__":
    unittest.main()
