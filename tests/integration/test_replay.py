"""`flytrail replay`: an archive in a real S3 server, back into a real Postgres."""

import datetime
import gzip
import json
import os
import signal
import subprocess
import sys
import unittest
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402
import test_store  # noqa: E402
from archive import ndjson  # noqa: E402
from test_store import FLYTRAIL, OTHER_STREAM, STREAM  # noqa: E402

PREFIX = "audit/fly"
DAY = datetime.timedelta(days=1)
RANGE = (11, 19)
BEYOND = "4718f5dc-5f98-830a-a88b-"  # how an id begins that is made from more than its row


def text(at, ns=0):
    """As NDJSON has a time: nine digits, of which datetime knows six."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + f"{ns:03d}Z"


class ReplayCase(test_store.StoreCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s3 = cls.enterClassContext(s3.Server())

    def setUp(self):
        super().setUp()
        self.bucket = self.s3.bucket()
        self.hour = datetime.datetime.now(datetime.timezone.utc).replace(
            hour=12, minute=0, second=0, microsecond=0) - 2 * DAY
        self.entries = []  # what an index would name
        self.made = 0

    def environment(self):
        return {**self.s3.environment(self.bucket), "FLYTRAIL_S3_PREFIX": PREFIX,
                "FLYTRAIL_DATABASE_URL": self.pg.url("flytrail_writer"), "FLY_MACHINE_ID": "0e286551c30586"}

    def replay(self, *words, **environment):
        """The exit status, stdout, stderr."""
        done = subprocess.run([FLYTRAIL, "replay", *words], env={**self.environment(), **environment},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=lab.ENDED_SECONDS, check=False)
        return done.returncode, done.stdout, done.stderr

    # --- rows and objects ---

    def line(self, at=None, **values):
        self.made += 1
        return {"id": f"{BEYOND}{self.made:012x}", "occurred_at": text(at or self.hour),
                "observed_at": text(self.hour), "source": "nats", "org": "example-org", "app": "web-1",
                "region": "ams", "machine_id": "0e286551c30586", "host": None, "provider": "app",
                "level": "info", "class": "app_log", "action": None, "message": f"line {self.made}",
                "attributes": None, **values}

    def event(self, at=None, **values):
        self.made += 1
        return {"event_id": f"{BEYOND}{self.made:012x}", "retention_class": "security",
                "class": "ssh_session", "action": "ssh_session.opened", "occurred_at": text(at or self.hour),
                "not_after": None, "time_basis": "source", "observed_at": text(self.hour), "org": None,
                "app": "web-1", "region": None, "machine_id": None, "correlation_id": None, "actor": "unknown",
                "actor_type": "unknown", "actor_reason": "a test", "target_type": None, "target": None,
                "origin": None, "outcome": "unknown", "severity": 3, "trust": "guest", "source": "nats",
                "rule": "hallpass.session", "summary": None, "message": "somebody came", "attributes": None,
                **values}

    def key(self, kind="lines", at=None, span=RANGE, stream=STREAM):
        return archive.key(kind, at or self.hour, span, stream, PREFIX)

    def put(self, rows, content=None, stored=None, metadata=None, key=None, **place):
        """An object as the sink puts it, but for what the test says of it."""
        content = ndjson(rows) if content is None else content
        stored = gzip.compress(content) if stored is None else stored
        key = key or self.key(**place)
        self.bucket.put(key, stored, archive.metadata(content) if metadata is None else metadata)
        self.entries.append(archive.entry(key, stored, content, place.get("span", RANGE)))
        return key

    def put_index(self, entries=None, content=None, span=(1, 1000), **place):
        content = ndjson(self.entries if entries is None else entries) if content is None else content
        self.bucket.put(self.key("index", span=span, **place), gzip.compress(content))

    # --- what came of it ---

    def messages(self):
        return [row[0] for row in self.pg.psql("SELECT message FROM flytrail.log_lines ORDER BY id")]

    def partitions(self):
        return self.pg.psql("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = "
                            "'flytrail.log_lines'::regclass OR inhparent = 'flytrail.events_operations'::regclass")

    def recorded(self):
        """The attributes of each trail.replayed, by age."""
        return [json.loads(row[0]) for row in self.pg.psql(
            "SELECT attributes FROM flytrail.events WHERE action = 'trail.replayed' ORDER BY occurred_at")]

    def assert_refused(self, why, taken=()):
        """One thing is, with a sentence, and the others are taken."""
        status, out, error = self.replay()
        self.assertEqual(status, 1, out + error)
        self.assertRegex(error, r"\A[A-Z]+ +[^\n]+\n\Z")
        self.assertRegex(error, why)
        self.assertIn("\n1 refused", out)
        self.assertEqual(self.messages(), list(taken))


class Replay(ReplayCase):
    def test_every_column_comes_back(self):
        at = self.hour + datetime.timedelta(microseconds=123456)
        lines = [
            self.line(at, occurred_at=text(at, 789), observed_at=text(at, 999), host="0ad1",
                      message="tab\tquote\" back\\slash \u001b[31m é \U0001f600 \\N \\.", level=None,
                      attributes={"a": {"b": [1, 2.50, "x", None, True]}, "n": 12345678901234567890}),
            self.line(message="", raw="AP/+"), self.line(raw="", app=None)]
        event = self.event(at, not_after=text(at + DAY, 1), time_basis="interval", correlation_id="7",
                           actor="somebody@example.com", actor_type="user", target="x", severity=6,
                           attributes={"é": "\\"})
        self.put(lines)
        self.put([event], kind="security")
        self.assertEqual(self.replay()[0], 0)
        got = [json.loads(row[0]) for row in self.pg.psql(
            "SELECT to_jsonb(l) || jsonb_build_object('raw', encode(raw, 'base64'), 'us', "
            "to_char(occurred_at, 'US'), 'seen', to_char(observed_at AT TIME ZONE 'UTC', 'HH24:MI:SS.US')) "
            "FROM flytrail.log_lines l ORDER BY id")]
        self.assertEqual(got[0]["us"], "123456")
        self.assertEqual(got[0]["occurred_ns"], 789)
        self.assertEqual(got[0]["seen"], at.strftime("%H:%M:%S.%f"))  # rounded down
        for row, line in zip(got, lines, strict=True):
            same = {name: value for name, value in line.items() if name not in ("occurred_at", "observed_at")}
            self.assertEqual({name: row[name] for name in same}, {**same, "source": "replay"})
            self.assertEqual((row["stream"], row["seq"]), (STREAM, RANGE[0]))
        self.assertEqual([row["raw"] for row in got], [None, "AP/+", ""])
        [row] = self.pg.psql("SELECT to_jsonb(e), stored_at > now() - interval '1 min', "
                             "not_after - occurred_at = interval '1 day' "
                             "FROM flytrail.events e WHERE action = 'ssh_session.opened'")
        same = {name: value for name, value in event.items()
                if name not in ("occurred_at", "observed_at", "not_after")}
        row, is_new, is_a_day = json.loads(row[0]), *row[1:]
        self.assertEqual({name: row[name] for name in same}, {**same, "source": "replay"})
        self.assertEqual((is_new, is_a_day), ("t", "t"))

    def test_what_the_api_said_tells_its_stories_again(self):
        api = {"trust": "api", "source": "watch", "app": "web-1", "actor": "somebody@example.com", "actor_type": "user",
               "correlation_id": "2", "rule": "watch.releases", "message": None}
        release = {"class": "deploy", "target_type": "release", "target": "2",
                   "attributes": {"after": {"created_at": text(self.hour), "image": "web:2"}}}
        self.put([self.event(action="deploy.release_started", **release, **api),
                  self.event(self.hour + datetime.timedelta(minutes=1), action="deploy.release_succeeded", **release, **api),
                  self.event(self.hour - DAY / 24, action="secret_change.set", **{
                      **api, "class": "secret_change", "correlation_id": None, "target_type": "secret",
                      "target": "NAME", "attributes": {"after": {"digest": "1"}}})],
                 kind="security")
        self.assertEqual(self.replay()[0], 0)
        self.assertEqual(self.pg.psql("SELECT DISTINCT source FROM flytrail.events WHERE trust = 'api'"), [["replay"]])
        for view, columns, expected in (
                ("releases", "release, outcome, actor", ["2", "success", "somebody@example.com"]),
                ("deploys", "release, outcome, actor", ["2", "success", "somebody@example.com"]),
                ("secret_changes", "secret_name, change, actor", ["NAME", "set", "somebody@example.com"])):
            with self.subTest(view):
                self.assertEqual(self.pg.psql(f"SELECT {columns} FROM flytrail.{view}"), [expected])

    def test_again_it_adds_nothing_and_changes_nothing(self):
        self.put([self.line(), self.line()])
        self.put([self.event()], kind="security")
        self.assertIn("3 rows added, 0 there already", self.replay()[1])
        before = self.pg.psql("SELECT * FROM flytrail.log_lines")
        status, out, _ = self.replay()
        self.assertEqual(status, 0)
        self.assertIn("0 rows added, 3 there already", out)
        self.assertEqual(self.pg.psql("SELECT * FROM flytrail.log_lines"), before)

    def test_a_row_that_is_there_stays_as_it_is(self):
        line = self.line()
        self.put([line])
        self.replay()
        self.put([{**line, "message": "another"}], span=(20, 30))
        self.assertEqual(self.replay()[0], 0)
        self.assertEqual(self.messages(), ["line 1"])

    def test_it_says_what_was_held_against_an_index_and_what_was_not(self):
        self.put([self.line()])
        self.put([self.event()], kind="security")
        self.put_index()
        self.put([self.line()], span=(1001, 1002))
        self.put([self.line()], stream=OTHER_STREAM)
        status, out, _ = self.replay()
        self.assertEqual(status, 0)
        self.assertIn("4 objects replayed: 2 as 1 indexes have them, 2 that no index has yet", out)
        self.assertEqual(self.messages(), ["line 1", "line 3", "line 4"])

    def test_it_is_on_record(self):
        self.put([self.line(), self.line(app="web-2")])
        self.put([self.line()], span=(20, 30), metadata={})
        self.assertEqual(self.replay("--app", "web-2", "--class", "lines", "--since", "2020-01-01")[0], 1)
        begun, told = self.recorded()
        self.assertEqual((begun["state"], begun["rows_added"], told["state"]), ("begun", 0, "done"))
        self.assertEqual({name: told[name] for name in (
            "command", "archive", "app", "class", "since", "objects_indexed", "objects_unindexed", "refused",
            "rows_added", "rows_there")}, {
                "command": "replay", "archive": f"s3://{self.bucket.name}/{PREFIX}", "app": "web-2",
                "class": "lines", "since": "2020-01-01T00:00:00.000000000Z", "objects_indexed": 0,
                "objects_unindexed": 1, "refused": 1, "rows_added": 1, "rows_there": 0})
        self.assertNotIn("until", told)
        self.assertNotIn("stream", told)

    def test_another_archive_is_named(self):
        self.put([self.line()])
        archive = f"s3://{self.bucket.name}/{PREFIX}"
        for word in (archive, archive + "/"):
            self.assertEqual(self.replay("--from-archive", word, AWS_BUCKET="", FLYTRAIL_S3_PREFIX="other")[0], 0)
        self.assertEqual(self.messages(), ["line 1"])
        status, out, _ = self.replay("--from-archive", f"s3://{self.bucket.name}")
        self.assertEqual((status, out.startswith("0 objects")), (0, True))

    def test_a_bucket_that_is_not_there_is_said(self):
        status, _, error = self.replay("--from-archive", "s3://not-there/x")
        self.assertEqual(status, 1)
        self.assertIn("NoSuchBucket", error)
        self.assertEqual(self.recorded(), [])

    def test_bad_words_try_nothing(self):
        self.put([self.line()])
        for words in (["--clas", "lines"], ["--class", "trail"], ["--class"], ["--since", "yesterday"],
                      ["--since", "2026-11-26", "--until", "2026-11-25"], ["--from-archive", "bucket"],
                      ["--from-archive", "s3://"], ["--app", "x" * 65], ["--app", "a b"], ["--from-archive", "s3://a/b/../c"], ["x"]):
            with self.subTest(words=words):
                status, out, error = self.replay(*words)
                self.assertEqual((status, out), (2, ""))
                self.assertIn("flytrail: replay: ", error)
        status, _, error = self.replay(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
        self.assertEqual(status, 2)
        self.assertIn("AWS_ACCESS_KEY_ID", error)
        self.assertEqual(self.messages(), [])

    def test_a_lost_connection_is_made_again(self):
        self.pg.psql("""
            CREATE SEQUENCE public.attempts;
            CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                IF nextval('public.attempts') = 2 THEN
                    PERFORM pg_terminate_backend(pg_backend_pid());
                END IF;
                RETURN NULL;
            END $$;
            CREATE TRIGGER cut AFTER INSERT ON flytrail.log_lines FOR EACH ROW EXECUTE FUNCTION public.cut();""")
        self.addCleanup(self.pg.psql, "DROP FUNCTION public.cut() CASCADE; DROP SEQUENCE public.attempts")
        for first in (10, 20, 30):
            self.put([self.line()], span=(first, first + 1))
        status, out, _ = self.replay()
        self.assertEqual(status, 0)
        self.assertIn("3 rows added", out)
        self.assertEqual(self.messages(), ["line 1", "line 2", "line 3"])
        self.assertEqual(self.pg.psql("SELECT last_value FROM public.attempts"), [["4"]])

    def end_within_the_first_object(self, signal_number):
        """The exit status, and what it says."""
        self.pg.psql("""
            CREATE TABLE public.go (x int);
            CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                WHILE NOT EXISTS (SELECT FROM public.go) LOOP
                    PERFORM pg_sleep(0.05);
                END LOOP;
                RETURN NULL;
            END $$;
            CREATE TRIGGER hold AFTER INSERT ON flytrail.log_lines FOR EACH ROW EXECUTE FUNCTION public.hold();""")
        self.addCleanup(self.pg.psql, "DROP FUNCTION public.hold() CASCADE; DROP TABLE public.go")
        for first in (10, 20, 30):
            self.put([self.line()], span=(first, first + 1))
        with self.start() as replaying:
            lab.wait_for(lambda: self.pg.psql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
                         what="an object that is being written")
            replaying.send_signal(signal_number)
            if signal_number == signal.SIGKILL:
                replaying.wait(timeout=lab.ENDED_SECONDS)
            self.pg.psql("INSERT INTO public.go VALUES (1)")
            _, error = replaying.communicate(timeout=lab.ENDED_SECONDS)
        return replaying.returncode, error

    def assert_ended_between_two_objects(self, signal_number):
        status, error = self.end_within_the_first_object(signal_number)
        self.assertEqual(status, 1)
        self.assertRegex(error, "it was told to end; .*may be replayed again")
        self.assertEqual(self.messages(), ["line 1"])
        self.assertEqual([(told["state"], told["rows_added"]) for told in self.recorded()],
                         [("begun", 0), ("ended early", 1)])

    def test_who_is_told_to_end_does_so_between_two_objects_and_on_record(self):
        self.assert_ended_between_two_objects(signal.SIGTERM)

    def test_who_is_interrupted_does_too(self):
        self.assert_ended_between_two_objects(signal.SIGINT)

    def test_that_it_began_is_on_record_whatever_ends_it(self):
        self.assertEqual(self.end_within_the_first_object(signal.SIGKILL)[0], -signal.SIGKILL)
        self.assertEqual([told["state"] for told in self.recorded()], ["begun"])

    def start(self, **environment):
        return subprocess.Popen([FLYTRAIL, "replay"], env={**self.environment(), **environment}, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_s3_that_comes_back_is_waited_for(self):
        self.put([self.line()])
        self.s3.crash_gateway()
        with self.start() as replaying:
            self.s3.start_gateway()  # which takes longer than the first attempt
            self.assertEqual(replaying.wait(timeout=lab.ENDED_SECONDS), 0, replaying.stderr.read())
        self.assertEqual(self.messages(), ["line 1"])

    def test_what_stays_away_is_not_waited_for_for_ever(self):
        self.put([self.line()])
        with self.start(S3_ENDPOINT="http://127.0.0.1:1") as no_s3, \
                self.start(FLYTRAIL_DATABASE_URL="postgres://flytrail_writer@127.0.0.1:1/postgres") as no_postgres:
            for replaying, who in ((no_s3, "GET /trail-"), (no_postgres, "FLYTRAIL_DATABASE_URL")):
                self.assertEqual(replaying.wait(timeout=lab.ENDED_SECONDS), 1)
                self.assertRegex(replaying.stderr.read(), f"flytrail: replay: .*{who}.*may be replayed again")
        self.assertEqual(self.messages(), [])


class Filters(ReplayCase):
    def setUp(self):
        super().setUp()
        self.put([self.line(), self.line(app="web-2"), self.line(self.hour + DAY / 48)])
        self.put([self.line(self.hour + DAY)], at=self.hour + DAY)
        self.put([self.event(), self.event(app="web-2")], kind="security")
        self.put([self.event(retention_class="operations", **{"class": "exit", "action": "exit.vm"})],
                 kind="operations")

    def rows(self):
        return self.messages(), [row[0] for row in self.pg.psql(
            "SELECT right(event_id::text, 1) FROM flytrail.events WHERE class <> 'trail' ORDER BY 1")]

    def test_one_application(self):
        self.assertEqual(self.replay("--app", "web-2")[0], 0)
        self.assertEqual(self.rows(), (["line 2"], ["6"]))

    def test_one_class(self):
        for kind, expected in (("operations", ([], ["7"])), ("security", ([], ["5", "6", "7"])),
                               ("lines", (["line 1", "line 2", "line 3", "line 4"], ["5", "6", "7"]))):
            self.assertEqual(self.replay("--class", kind)[0], 0)
            self.assertEqual(self.rows(), expected)

    def test_from_when_to_before_when(self):
        since, until = self.hour + datetime.timedelta(microseconds=1), self.hour + DAY / 48
        status, out, _ = self.replay("--since", text(since), "--until", text(until))
        self.assertEqual((status, self.rows()), (0, ([], [])))
        self.assertIn("0 rows added", out)
        self.replay("--class", "lines", "--since", text(until), "--until", text(self.hour + DAY))
        self.assertEqual(self.rows(), (["line 3"], []))
        self.replay("--class", "lines", "--since", text(self.hour), "--until", text(self.hour, 1))
        self.assertEqual(self.rows(), (["line 1", "line 2", "line 3"], []))
        self.replay("--class", "lines", "--since", text(self.hour + DAY))
        self.assertEqual(len(self.messages()), 4)

    def test_a_date_as_the_end_is_the_end_of_that_day(self):
        date = text(self.hour)[:10]
        self.replay("--class", "lines", "--since", date, "--until", date)
        self.assertEqual(self.rows(), (["line 1", "line 2", "line 3"], []))

    def test_what_is_of_other_days_is_not_even_read(self):
        self.bucket.put(self.key(at=self.hour - DAY), b"no gzip")
        _, out, error = self.replay("--since", text(self.hour), "--until", text(self.hour + DAY / 2))
        self.assertEqual(error, "")
        self.assertIn("3 objects replayed", out)  # the day's


class Hostile(ReplayCase):
    """Whoever can write into the bucket can put anything there."""

    def test_what_differs_from_its_index(self):
        key = self.put([self.line()])
        self.put([self.line()], span=(20, 30))
        self.put_index()
        self.put([self.line()], key=key)  # with metadata that fit
        self.assert_refused(f"DIFFERS +{key}: its (bytes|length)", ["line 2"])

    def test_what_is_missing(self):
        self.put([self.line()])
        key = self.key(span=(20, 30))
        self.put_index([*self.entries, {**self.entries[0], "key": key, "first_seq": "20", "last_seq": "30"}])
        self.assert_refused(f"MISSING +{key}: it is not in the bucket", ["line 1"])

    def test_what_was_put_into_a_range_that_has_an_index(self):
        self.put([self.line()])
        self.put_index()
        key = self.put([self.line()], span=(20, 30))
        self.assert_refused(f"STRANGE +{key} is in no index, and its range is", ["line 1"])

    def test_an_index_that_cannot_be_read(self):
        self.bucket.put(self.key("index", span=(1, 5)), b"no gzip")
        self.put([self.line()])
        self.assert_refused("INDEX +.*index/.*not what gzip makes", ["line 1"])

    def test_an_index_that_cannot_be_read_vouches_for_nothing_and_forbids_nothing(self):
        self.put([self.line()])
        self.put([self.line()], span=(20, 30))
        for name, arguments in (("no gzip", None), ("a line that is none", {"content": ndjson([self.entries[0], {}])})):
            with self.subTest(name):
                if arguments:
                    self.put_index(**arguments)
                else:
                    self.bucket.put(self.key("index", span=(1, 1000)), b"no gzip")
                self.assert_refused("INDEX +.*index/", ["line 1", "line 2"])
        told = [(told["objects_indexed"], told["objects_unindexed"]) for told in self.recorded() if told["state"] == "done"]
        self.assertEqual(told, [(0, 2), (1, 1)])

    def test_an_index_that_cannot_be_read_and_a_part_of_its_range(self):
        self.put([self.line()])
        self.put([self.line(self.hour + DAY)], at=self.hour + DAY)
        self.put([self.event()], kind="security")
        self.bucket.put(self.key("index", span=(1, 1000)), b"no gzip")
        status, out, error = self.replay("--class", "lines", "--until", text(self.hour)[:10])
        self.assertEqual(status, 1)
        self.assertRegex(error, r"\AINDEX +[^\n]+\n\Z")
        self.assertIn("1 objects replayed: 0 as 0 indexes have them, 1 that no index has", out)
        self.assertEqual(self.messages(), ["line 1"])
        self.assertEqual(self.pg.psql("SELECT FROM flytrail.events WHERE class <> 'trail'"), [])

    def test_an_index_that_is_longer_than_one_can_be(self):
        self.put([self.line()])
        self.put_index(4096 * self.entries)
        self.assertEqual(self.replay()[0], 0)
        self.put_index(4097 * self.entries)
        self.assert_refused("INDEX +.*index/.*: it has more than 4096 lines", ["line 1"])
        self.put_index(content=b" " * (8 * 1024 * 1024 + 1) + b"\n")
        self.assert_refused("INDEX +.*index/.*: more is compressed in it", ["line 1"])
        self.assertEqual([(told["objects_indexed"], told["objects_unindexed"]) for told in self.recorded()
                          if told["state"] == "done"], [(1, 0), (0, 1), (0, 1)])

    def test_an_index_that_is_lost_is_said_and_what_it_named_is_taken(self):
        for first in (1, 11, 21):
            self.put([self.line()], span=(first, first + 9))
        self.put_index(self.entries[:1], span=(1, 10))
        self.put_index(self.entries[2:], span=(21, 30))
        self.assert_refused("RANGE .*no index has 11 to 20", ["line 1", "line 2", "line 3"])
        self.assertEqual((self.recorded()[1]["objects_indexed"], self.recorded()[1]["objects_unindexed"]), (2, 1))

    def test_an_index_of_what_is_not_its_own(self):
        self.put([self.line()])
        self.bucket.put("other/x", b"")
        for entry in ({**self.entries[0], "key": "other/x"},
                      {**self.entries[0], "key": self.key(stream=OTHER_STREAM)},
                      {**self.entries[0], "key": self.key(span=(11, 1001)), "last_seq": "1001"}):
            with self.subTest(entry=entry):
                self.put_index([entry, self.entries[0]])
                self.assert_refused("index/", ["line 1"])

    def test_what_an_index_vouches_for_comes_before_what_anybody_put_there(self):
        event, line = self.event(actor="mallory@example.com"), self.line()
        early = "00000000-0000-4000-8000-000000000001"  # whose keys are listed first
        self.put([event], kind="security", stream=STREAM)
        self.put([line], stream=STREAM)
        self.put_index()
        self.put([{**event, "actor": "alice@example.com"}], kind="security", stream=early)
        self.put([{**line, "message": "another"}], stream=early)
        status, out, error = self.replay()
        self.assertEqual((status, error), (0, ""))
        self.assertIn("4 objects replayed: 2 as 1 indexes have them, 2 that no index has", out)
        self.assertIn("\n2 rows added, 2 there already", out)
        self.assertEqual(self.pg.psql("SELECT actor FROM flytrail.events WHERE class = 'ssh_session'"),
                         [["mallory@example.com"]])
        self.assertEqual(self.messages(), [line["message"]])

    def test_a_key_that_is_none(self):
        self.put([self.line()])
        self.bucket.put(f"{PREFIX}/lines/date=2026-11-26/x", b"")
        self.assert_refused("STRANGE .*no name of the archive", ["line 1"])

    def test_stored_bytes(self):
        good = self.line()
        content = ndjson([good])
        stored = gzip.compress(content)
        zeros = zlib.compressobj(wbits=31)
        bomb = b"".join(zeros.compress(b"\n" * (1 << 20)) for _ in range(256)) + zeros.flush()
        facts = archive.metadata(content)
        for name, body, metadata, why in (
                ("cut", stored[:-5], None, "cut short"),
                ("two members", stored + stored, None, "something follows"),
                ("bytes behind it", stored + b"\0", None, "something follows"),
                ("damaged", stored[:15] + bytes([stored[15] ^ 255]) + stored[16:], None, "damaged|cut|on record"),
                ("bomb", bomb, facts, "more is compressed in it"),
                ("larger bomb", bomb, {**facts, "x-amz-meta-content-bytes": str(256 << 20)}, "does not say"),
                ("says nothing", stored, {}, "does not say what it holds"),
                ("other hash", stored, {**facts, "x-amz-meta-content-sha256": "0" * 64}, "not what is on record"),
                ("other count", stored, {**facts, "x-amz-meta-records": "2"}, "as many as")):
            with self.subTest(name):
                self.put([good], stored=body, metadata=metadata)
                self.assert_refused(why)

    def test_lines(self):
        def without(name):
            row = self.line()
            del row[name]
            return row

        old = self.line()
        for name, rows, why in (
                ("no JSON", b"{\n", "SQLSTATE 22P02"),
                ("an empty line", b"\n", "SQLSTATE 22P02"),
                ("bytes that are no UTF-8", b'{"id":"\xff"}\n', "SQLSTATE 22021"),
                ("NUL", ndjson([self.line(message="x")]).replace(b'"x"', b'"\\u0000"'), "SQLSTATE 22P05"),
                ("no object", b"[]\n5\n", "2 of its lines are none"),
                ("depth", b'{"attributes":' + b'{"a":' * 100000 + b"1" + b"}" * 100001 + b"\n", "SQLSTATE 54001"),
                ("a number for a text", [self.line(message=7)], "1 of its lines are none"),
                ("an object for a text", [self.line(app={"a": 1})], "1 of its lines are none"),
                ("a text for an object", [self.line(attributes="x")], "1 of its lines are none"),
                ("an unknown key", [self.line(stored_at="x")], "1 of its lines are none"),
                ("an event", [self.event()], "1 of its lines are none"),
                ("no id", [self.line(id="x")], "1 of its lines have an id that is not their own"),
                ("id null", [self.line(id=None)], "1 of its lines have an id that is not their own"),
                ("no message", [without("message")], "SQLSTATE 23502"),
                ("no time at all", [without("occurred_at")], "do not belong"),
                ("a time of another form", [self.line(occurred_at="now")], "none that this version writes"),
                ("infinity", [self.line(observed_at="infinity")], "none that this version writes"),
                ("a month that is none", [self.line(observed_at="2026-13-01T00:00:00.000000000Z")], "SQLSTATE 22008"),
                ("another hour", [self.line(), self.line(self.hour + DAY / 24)], "1 of its lines do not belong"),
                ("the hour before", [self.line(self.hour - datetime.timedelta(microseconds=1))], "do not belong"),
                ("raw that is no base64", [self.line(raw="~~~")], "SQLSTATE 22023"),
        ):
            with self.subTest(name):
                content = rows if isinstance(rows, bytes) else ndjson([old, *rows])
                self.put([], content=content)
                self.assert_refused(why)
        self.assertEqual(self.partitions(), [])

    def test_events(self):
        for name, event, why in (
                ("of another retention class", self.event(retention_class="security"), "do not belong"),
                ("of another day", self.event(self.hour + DAY, retention_class="operations"), "do not belong"),
                ("too severe", self.event(retention_class="operations", severity=99999), "SQLSTATE 22003"),
                ("half severe", self.event(retention_class="operations", severity=1.5), "SQLSTATE 22P02"),
                ("severity a text", self.event(retention_class="operations", severity="1"), "none that"),
                ("a line", self.line(), "none that this version writes"),
                ("no actor", self.event(retention_class="operations", actor=None), "SQLSTATE 23502")):
            with self.subTest(name):
                self.put([event], kind="operations")
                self.assert_refused(why)
        self.assertEqual(self.partitions(), [])

    def test_times_that_postgres_would_read_as_later_ones(self):
        last = self.hour.replace(hour=23)
        for name, time in (("24:00", f"{last:%Y-%m-%d}T24:00:00.000000000Z"),
                           ("a second 60", f"{last:%Y-%m-%d}T23:59:60.000000000Z"),
                           ("a minute 60", f"{last:%Y-%m-%d}T23:60:00.000000000Z")):
            with self.subTest(name):
                self.put([self.line(occurred_at=time)], at=last)
                self.assert_refused("1 of its lines are none that this version writes")
        self.assertEqual(self.partitions(), [])

    def test_times_for_which_no_partition_is_made(self):
        why = "more than 800 days ago or 100 days ahead"
        for days in (-801, 101):
            with self.subTest(days=days):
                at = self.hour + (days + 2) * DAY + datetime.timedelta(hours=1) * (1 if days > 0 else -1)
                key = self.put([self.line(at)], at=at)
                self.assert_refused(why)
                self.bucket.ask("DELETE", key)
        self.assertEqual(self.partitions(), [])

    def test_a_refused_object_leaves_nothing_and_the_next_is_taken(self):
        self.put([self.line(), self.line(raw="~~~")], span=(1, 10))
        self.put([self.line()], span=(11, 20))
        self.assert_refused("SQLSTATE 22023", ["line 3"])


if __name__ == "__main__":
    unittest.main()
