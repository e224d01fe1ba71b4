"""README's questions are answered by the demo's database, its table of options is right, and what it
compares with fly-log-shipper's objects is what differs."""

import contextlib
import datetime
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "deploy", "demo"))
import demo  # noqa: E402
import test_archive  # noqa: E402
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import duck  # noqa: E402

with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
    README = file.read()
QUESTION = re.compile(r"^([^\n|`#]+\?)\n\n```sql\n(.*?)```", re.MULTILINE | re.DOTALL)
COMPARISON = re.compile(r"^```sh\nduckdb <<'SQL'\n(.*?)^SQL\n```", re.MULTILINE | re.DOTALL)
IN_S3 = re.compile(r"\AINSTALL httpfs; LOAD httpfs;\nCREATE SECRET .*\n")  # not for what was downloaded
READ_VIEWS = ".read deploy/duckdb.sql\n"
MONTH_OF_README = "2026-11"
MONTH = f"{datetime.datetime.now(datetime.timezone.utc).replace(day=1) - datetime.timedelta(days=1):%Y-%m}"
LINE_QUESTIONS = 2  # the last ones, which only flytrail_line_reader may ask


class Options(unittest.TestCase):
    def test_the_table_has_every_option_its_default_and_what_it_is_for(self):
        shown = subprocess.run([demo.FLYTRAIL, "help"], capture_output=True, text=True, check=True)
        words = " ".join(shown.stdout.split())
        rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (?:`([^`]+)`)? *\| (.*) \|$", README, re.MULTILINE)
        config = subprocess.run([demo.FLYTRAIL, "config"], capture_output=True, text=True, env={},
                                check=False).stdout
        self.assertEqual([row[0] for row in rows], re.findall(r"(?m)^(\w+)=", config))
        for name, default, doc in rows:
            self.assertIn(f"{name} {doc}" + (f" [{default}]" if default else ""), words)


class Questions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.demo = demo.Demo()
        cls.addClassCleanup(cls.demo.close)
        with contextlib.redirect_stdout(io.StringIO()):
            cls.demo.prepare()

    def ask(self, role, sql):
        return self.demo.psql(role, sql, "-A", "-t").strip().splitlines()

    def test_each_has_an_answer(self):
        questions = QUESTION.findall(README)
        self.assertEqual(len(questions), README.count("```sql"))
        self.assertGreaterEqual(len(questions), 12)
        for number, (title, sql) in enumerate(questions):
            role = "flytrail_reader"
            if number >= len(questions) - LINE_QUESTIONS:
                with self.subTest(f"not for flytrail_reader: {title}"), \
                        self.assertRaisesRegex(demo.DemoError, "permission denied"):
                    self.ask(role, sql)
                role = "flytrail_line_reader"
            with self.subTest(title):
                self.assertGreater(len(self.ask(role, sql)), 0)

    def test_the_answers_are_the_incidents(self):
        by_title = dict(QUESTION.findall(README))
        for title, expected in {
            "What did one person do?": "ssh_session.opened",
            "Which machines gave up, and stay stopped until somebody acts?": "5683970eae6308",
            "Which applications print secrets?": "shop-worker",
            "What may be missing?": "disconnect",
            "Who has access who had not, and who has it no longer?": "noor.haas@example.com",
            "Which SSH sessions are there for which Fly lists no certificate?": "jonas.vik@example.com",
            "Which SSH certificates were issued, for how long, and were they used?": "mara.lind@example.com",
            "What is there that gives access or can be reached?": "2001:db8::50",
            "Which machines were changed without a release?": "90807799a69568",
            "What of Fly's control plane is not observed, and why?": "delegated_tokens",
        }.items():
            with self.subTest(title):
                self.assertIn(expected, "\n".join(self.ask("flytrail_line_reader",
                                                           by_title[title])))

    def test_nothing_that_looks_like_a_session_is_one(self):
        self.assertEqual(self.ask("flytrail_reader",
                                  "SELECT count(*) FROM flytrail.ssh_sessions"), ["4"])

    def test_the_planted_password_is_nowhere(self):
        self.assertEqual(self.ask("flytrail_line_reader", """
            SELECT count(*) FROM flytrail.lines AS l WHERE l::text LIKE '%made-up-password%'"""),
                         ["0"])


def shipped(app, time, message, machine="0e286551c30586"):
    """A line as Fly publishes it, which is how fly-log-shipper keeps it."""
    return json.dumps({"event": {"provider": "app"}, "fly": {"app": {"instance": machine, "name": app}, "region": "ams"},
                       "host": "0ad1", "log": {"level": "info"}, "message": message,
                       "timestamp": f"{MONTH}-26T{time}Z"})


class Comparison(test_archive.Archives):
    """Of README's day and hour, of last month, with objects of both in one folder, as both may use one bucket."""

    SECRET = shipped("web", "07:10:00.5", "signed in with password=made-up-password-of-nobody")
    BOTH = [shipped("web", "07:00:00", "the hour's first"), shipped("web", "07:59:59.999999999", "and its last"),
            shipped("web", "07:20:00.000000001", "of one"), shipped("web", "07:20:00.000000002", "microsecond"),
            shipped("web", "07:20:00.000000002", "of another machine", "683d3ef9c45d98"),
            shipped("api", "07:30:00.123", "of another application"), SECRET]
    OUTSIDE = [shipped("web", "06:59:59.999999999", "before"), shipped("web", "08:00:00", "after")]
    ONLY_SHIPPER = [shipped("web", "07:40:00.1", "missed"), shipped("worker", "07:40:00.2", "missed")]
    ONLY_FLYTRAIL = [shipped("web", f"07:50:0{n}", "filled in") for n in range(3)]

    @classmethod
    def setUpClass(cls):
        cls.python_path, why = duck.find()
        if why:
            raise unittest.SkipTest(why)
        super().setUpClass()

    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(dir=self.world.folder)

    def write(self, key, body):
        path = os.path.join(self.folder, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(body)

    def ship(self, app, date, lines):
        """An object of the shipper's, with one name for all that day."""
        self.write(f"{app}/{date}/1795676400-00000000-0000-4000-8000-000000000000.log.gz",
                   gzip.compress("".join(line + "\n" for line in lines).encode()))

    def compare(self):
        """What README's SQL prints of the folder, which stands for the bucket."""
        sql, = COMPARISON.findall(README)
        self.assertRegex(sql, IN_S3)
        self.assertIn(MONTH_OF_README, sql)
        with open(duck.SQL, encoding="utf-8") as views:
            text = re.sub(IN_S3, "", sql).replace(MONTH_OF_README, MONTH).replace(READ_VIEWS, views.read())
        text = text.replace("s3://BUCKET", self.folder)
        done = duck.python(self.python_path, "-c", "import duckdb, json, sys\n"
                           "json.dump(duckdb.execute(sys.stdin.read()).fetchall(), sys.stdout)", text=text)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [tuple(row) for row in json.loads(done.stdout)]

    def test_each_difference_is_counted_by_application(self):
        self.keep(*self.BOTH, *self.OUTSIDE, *self.ONLY_FLYTRAIL)
        for key in self.keys("lines/") + self.keys("events/"):
            self.write(key, self.bucket.get(key))
        of_web = [line for line in self.BOTH + self.OUTSIDE + self.ONLY_SHIPPER if '"name": "web"' in line]
        self.ship("web", f"{MONTH}-26", of_web[::2] + of_web[:1])  # one of them twice
        self.ship("web", f"{MONTH}-27", of_web[1::2])
        self.ship("api", f"{MONTH}-27", [line for line in self.BOTH if '"name": "api"' in line])
        self.ship("worker", f"{MONTH}-26", self.ONLY_SHIPPER[1:])
        self.ship("worker", f"{MONTH}-25", [shipped("worker", "07:00:01", "of a day that is not compared")])
        self.assertEqual(self.compare(), [("api", 0, 0, 1, 0), ("web", 1, 3, 5, 1), ("worker", 1, 0, 0, 0)])


if __name__ == "__main__":
    unittest.main()
