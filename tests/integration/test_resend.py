"""`flytrail resend`: a range of the trail goes to a sink again, from Postgres."""

import datetime
import gzip
import json
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import datadog  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402

STREAM = "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"
OBJECTS = 64  # of a delivery
HOURS = 80  # more than that
DAY = datetime.timedelta(days=1)
MINUTE = datetime.timedelta(minutes=1)
KEY = re.compile(r"/([0-9a-f-]{36})\.(\d+)-(\d{20})-(\d{20})\.ndjson\.gz$")
TIMES = ("occurred_at", "observed_at", "not_after")


def line(message, at, provider="app", **more):
    return json.dumps({
        "event": {"provider": provider}, "host": "0ad1", "log": {"level": "info"}, "message": message,
        "fly": {"app": {"instance": "0e286551c30586", "name": "web-1"}, "region": "ams"},
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "789Z", **more})


def known(row):
    """Columns end at the microsecond, where the time is not a line's own."""
    times = ("observed_at",) if "id" in row or row["source"] != "trail" else TIMES
    return {name: value[:26] + "Z" if name in times and value else value for name, value in row.items()}


def content(bucket, prefix):
    rows = [json.loads(text) for key in bucket.keys(f"flytrail/{prefix}/")
            for text in gzip.decompress(bucket.get(key)).splitlines()]
    return sorted(map(known, rows), key=lambda row: row.get("id") or row.get("event_id"))


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(s3.Server())

    def setUp(self):
        lab.begin_within(lab.DAY)  # whose deliveries one index names
        self.world = self.enterContext(flytrail.World())
        self.bucket = self.server.bucket()
        self.now = datetime.datetime.now(datetime.timezone.utc)

    def lines(self):
        """Of all kinds: plain, with attributes and raw bytes, classified, and none that decodes."""
        return [
            *(line(f"plain {n}", self.now) for n in range(200)),
            line("Main child exited normally with code: 0", self.now),
            line("Process appears to have been OOM killed!", self.now),
            line("more", self.now, extra={"b": [1, 2], "a": 'x , y: "z \\ and , {'}, an="a  b"),
            line("bell \x07 and \x00 nothing", self.now),
            "no JSON at all",
        ]

    def keep(self, ft, lines):
        """The trail's numbers end at the cursor, when it has ended."""
        ft.start()
        self.world.publish_lines(lines)
        self.world.await_rows(len(lines))
        self.assertEqual(ft.stop(), 0)
        (stream, cursor), = self.world.pg.psql("SELECT stream, cursor_seq FROM flytrail.streams")
        return stream, int(cursor)

    def resend(self, ft, bucket, range_, *words, sink="s3"):
        ft.env.update(self.server.environment(bucket))
        return ft.command("resend", "--sink", sink, "--range", range_, *words)

    def facts(self):
        return [json.loads(row) for row, in self.world.pg.psql(
            "SELECT attributes FROM flytrail.events WHERE action = 'trail.resent' ORDER BY occurred_at")]

    def ranges(self, bucket):
        """Of the objects; each has an index of its own."""
        of = [sorted({(int(first), int(last)) for _, _, first, last in
                      (KEY.search(key).groups() for key in bucket.keys(f"flytrail/{prefix}"))})
              for prefix in ("lines/", "events/", "index/")]
        self.assertEqual(sorted({*of[0], *of[1]}), of[2])
        return of[2]


class Resend(Case):
    def test_what_is_sent_again_says_what_the_sink_was_given(self):
        ft = self.world.flytrail(**self.server.environment(self.bucket))
        stream, cursor = self.keep(ft, self.lines())
        again = self.server.bucket()
        status, text = self.resend(ft, again, f"{stream}.1-1-{cursor}")
        self.assertEqual((status, text),
                         (0, f"{cursor} records were sent to s3, in 1 deliveries\n"))
        self.assertEqual(self.ranges(again), [(1, cursor)])
        for prefix in ("lines", "events"):
            self.assertEqual(content(again, prefix), content(self.bucket, prefix))
        self.assertEqual(len(content(again, "lines")), len(self.lines()))
        said, = self.facts()
        self.assertEqual((said["sink"], said["stream"], said["epoch"], said["first_seq"], said["last_seq"]),
                         ("s3", stream, 1, 1, cursor))
        self.assertEqual((said["records"], said["deliveries"], said["numbers"], said["refused"]),
                         (cursor, 1, cursor, 0))
        status, text = ft.command("archive", "verify")
        self.assertEqual(status, 0, text)
        self.assertIn("all agree\n", text)
        # Once more, the same is there.
        self.assertEqual(self.resend(ft, again, f"{stream}.1-1-{cursor}")[0], 0)
        self.assertEqual(len(again.versions()), len(again.keys()))

    def test_a_part_of_a_range_is_that_part(self):
        ft = self.world.flytrail()
        stream, cursor = self.keep(ft, self.lines())
        status, text = self.resend(ft, self.bucket, f"{stream}.1-11-20")
        self.assertEqual((status, text), (0, "10 records were sent to s3, in 1 deliveries\n"))
        self.assertEqual(self.ranges(self.bucket), [(11, 20)])
        ids = [row["id"] for row in content(self.bucket, "lines")]
        self.assertEqual(ids, [row for row, in self.world.pg.psql(
            "SELECT id FROM flytrail.log_lines WHERE seq BETWEEN 11 AND 20 ORDER BY id")])
        self.assertGreater(cursor, 20)

    def test_what_is_too_much_for_one_delivery_is_several_that_touch(self):
        ft = self.world.flytrail()
        hours = [self.now - datetime.timedelta(hours=n) for n in range(HOURS)]
        stream, cursor = self.keep(ft, [line(f"plain {n}", at) for n, at in enumerate(hours)])
        status, text = self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}")
        self.assertEqual((status, text), (0, f"{cursor} records were sent to s3, in 2 deliveries\n"))
        (first, middle), (next_, last) = self.ranges(self.bucket)
        self.assertEqual((first, next_, last), (1, middle + 1, cursor))
        self.assertEqual(len(content(self.bucket, "lines")), HOURS)

    def test_a_number_whose_records_are_torn_apart_is_sent_when_both_are(self):
        ft = self.world.flytrail()
        hours = [self.now - datetime.timedelta(hours=n) for n in range(HOURS)]
        stream, _ = self.keep(ft, [line(f"plain {n}", at) for n, at in enumerate(hours)])
        (first, last), = self.world.pg.psql("SELECT min(seq), max(seq) FROM flytrail.log_lines")
        # The line takes the last object that there is room for, and the fact beside it wants one more.
        # In the first days of a month that is of the month before.
        self.world.pg.psql(
            "SELECT flytrail.ensure_partition('security', occurred_at) FROM flytrail.log_lines; INSERT INTO flytrail.events SELECT made.* FROM flytrail.log_lines l, "
            "(SELECT e FROM flytrail.events e LIMIT 1) AS one, "
            "LATERAL jsonb_populate_record(one.e, jsonb_build_object('event_id', gen_random_uuid(), "
            f"'seq', l.seq, 'occurred_at', l.occurred_at)) AS made ORDER BY l.seq OFFSET {OBJECTS - 1} LIMIT 1")
        range_ = f"{stream}.1-{first}-{last}"
        self.assertEqual(self.resend(ft, self.bucket, range_)[0], 0)
        (_, torn), (again, _), *_ = self.ranges(self.bucket)
        self.assertEqual(torn, again)
        other = self.server.bucket()
        for key in self.bucket.keys():
            if f".1-{again:020}-" in key:
                other.put(key, b"other", {"x-amz-meta-content-sha256": "0" * 64})
        status, text = self.resend(ft, other, range_)
        self.assertEqual(status, 1)
        self.assertIn(f"what is numbered up to {torn - 1} was sent: go on with --range {stream}.1-{torn}-{last}\n",
                      text)
        self.assertEqual(self.facts()[-1]["last_seq"], torn - 1)

    def test_large_rows_come_one_by_one_and_whole(self):
        ft = self.world.flytrail()
        # As large as NATS_PENDING_BYTES lets them be, when all come at once.
        large = [line(f"large {n} " + "x" * 700_000, self.now) for n in range(20)]
        stream, cursor = self.keep(ft, large)
        self.assertEqual(self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}")[0], 0)
        self.assertEqual(len(content(self.bucket, "lines")), len(large))
        self.assertEqual({len(row["message"]) for row in content(self.bucket, "lines")},
                         {int(n) for n, in self.world.pg.psql("SELECT length(message) FROM flytrail.log_lines")})

    def test_rows_are_as_large_as_their_attributes(self):
        ft = self.world.flytrail(**self.server.environment(self.bucket))
        stream, cursor = self.keep(ft, [line(f"plain {n}", self.now) for n in range(300)])
        self.world.pg.psql("SET session_replication_role = replica; UPDATE flytrail.log_lines "
                           "SET attributes = jsonb_build_object('a', repeat('x', 400000))")
        again = self.server.bucket()
        ft.env.update(self.server.environment(again))
        # A child's peak begins as its parent's is: so that is a small one.
        peak = subprocess.run(
            [sys.executable, "-c", "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
             "stdout=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)",
             flytrail.BINARY, "resend", "--sink", "s3", "--range", f"{stream}.1-1-{cursor}"],
            env=ft.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=lab.ENDED_SECONDS, check=True)
        self.assertLess(int(peak.stdout), 64 * 1024)  # KiB; a FETCH of 256 rows would be 100 MB
        self.assertEqual([len(row["attributes"]["a"]) for row in content(again, "lines")], [400000] * 300)

    def test_since_and_until_leave_out_what_is_not_of_that_time(self):
        ft = self.world.flytrail()
        old = self.now - datetime.timedelta(days=3)
        stream, cursor = self.keep(ft, [line("old", old), line("new", self.now)])
        since = (self.now - datetime.timedelta(days=1)).strftime("%Y-%m-%d")
        status, text = self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}", "--since", since)
        self.assertEqual(status, 0)
        self.assertIn(f"for 1 of the {cursor} numbers there is nothing in Postgres of that time", text)
        self.assertEqual([row["message"] for row in content(self.bucket, "lines")], ["new"])
        self.assertEqual(self.facts()[0]["since"], since)

    def test_a_date_as_until_has_that_day_in_it(self):
        ft = self.world.flytrail()
        old = self.now - datetime.timedelta(days=3)
        stream, cursor = self.keep(ft, [line("old", old), line("new", self.now)])
        date = old.strftime("%Y-%m-%d")
        self.assertEqual(self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}", "--since", date, "--until", date)[0], 0)
        self.assertEqual([row["message"] for row in content(self.bucket, "lines")], ["old"])

    def windows(self, ft, range_, *times):
        """Sends what is between each two of them."""
        for since, until in zip(times, times[1:]):
            status, text = self.resend(ft, self.bucket, range_, "--since", f"{since:%Y-%m-%dT%H:%M:%SZ}",
                                       "--until", f"{until:%Y-%m-%dT%H:%M:%SZ}")
            self.assertEqual(status, 0, text)

    def assert_agrees(self, ft):
        status, text = ft.command("archive", "verify")
        self.assertEqual(status, 0, text)
        self.assertIn("all agree\n", text)

    def test_times_of_one_range_are_deliveries_of_their_own(self):
        """Whose numbers lie between each other's, in two days, and within one hour."""
        for apart in (DAY, datetime.timedelta(minutes=20)):
            with self.subTest(apart=apart), flytrail.World() as self.world:
                self.bucket = self.server.bucket()
                begin = (self.now - 3 * DAY).replace(minute=5)
                ft = self.world.flytrail()
                stream, cursor = self.keep(ft, [line(f"l{n}", begin + n % 2 * apart) for n in range(10)])
                self.windows(ft, f"{stream}.1-1-{cursor}", *(begin + n * apart - MINUTE for n in range(3)))
                seqs = [int(seq) for seq, in self.world.pg.psql("SELECT seq FROM flytrail.log_lines ORDER BY seq")]
                self.assertEqual(self.ranges(self.bucket), [(seqs[0], seqs[8]), (seqs[1], seqs[9])])
                self.assertEqual(len(content(self.bucket, "lines")), 10)
                self.assert_agrees(ft)
                status, text = ft.command("replay")
                self.assertEqual(status, 0, text)  # it refuses none of the objects
                self.assertEqual([(said["records"], said["last_seq"]) for said in self.facts()], [(5, cursor)] * 2)
                # Once more, the same is there; and where there is nothing, nothing is put.
                before = self.bucket.keys()
                self.windows(ft, f"{stream}.1-1-{cursor}", *(begin + n * apart - MINUTE for n in range(3)))
                status, text = self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}", "--until", "2020-01-01")
                self.assertEqual(status, 1)
                self.assertIn("0 records were sent to s3, in 0 deliveries\n", text)
                self.assertEqual(self.bucket.keys(), before)

    def test_what_no_index_could_name_is_not_put(self):
        """Another delivery had the same numbers at its ends, today, and its index names what it had."""
        ft = self.world.flytrail(FLYTRAIL_S3_SEND="events")
        old = self.now - 3 * DAY
        stream, cursor = self.keep(ft, [line("one", old), line("two", old + DAY), line("three", old)])
        range_ = f"{stream}.1-1-{cursor}"
        self.assertEqual(self.resend(ft, self.bucket, range_)[0], 0)
        ft.env["FLYTRAIL_S3_SEND"] = "all"
        self.windows(ft, range_, old - MINUTE, old + MINUTE)
        before = self.bucket.keys()
        for words in ((), ("--since", f"{old - MINUTE:%Y-%m-%d}", "--until", f"{old + 2 * DAY:%Y-%m-%d}")):
            with self.subTest(words=words):
                status, text = self.resend(ft, self.bucket, range_, *words)
                self.assertEqual(status, 1)
                self.assertIn("is not of these objects: nothing is overwritten; send less or more of the range", text)
                self.assertEqual(self.bucket.keys(), before)
        self.assertEqual(len(self.facts()), 2)
        self.assert_agrees(ft)

    def test_a_part_of_a_delivery_that_is_there_is_a_fact(self):
        ft = self.world.flytrail()
        begin = (self.now - 3 * DAY).replace(minute=5)
        stream, cursor = self.keep(ft, [line(f"l{n}", begin + n * MINUTE * 40) for n in range(3)])
        range_ = f"{stream}.1-1-{cursor}"
        self.assertEqual(self.resend(ft, self.bucket, range_)[0], 0)
        other, taken = self.server.bucket(), self.bucket.keys("flytrail/lines/")[1]
        other.put(taken, b"other", {"x-amz-meta-content-sha256": "0" * 64})
        status, text = self.resend(ft, other, range_)
        self.assertEqual(status, 1)
        self.assertIn(f"{taken} is in the bucket already", text)
        self.assertIn(f"of the {cursor} records in the delivery that failed some were sent\n", text)
        said = self.facts()[-1]
        self.assertEqual((said["records"], said["unfinished"], said["first_seq"], said["last_seq"]),
                         (0, cursor, 1, cursor))
        self.assertEqual(self.facts()[0]["unfinished"], 0)

    def test_an_event_outlives_its_line_and_a_line_its_event(self):
        ft = self.world.flytrail()
        stream, cursor = self.keep(ft, self.lines())
        self.world.pg.psql("SELECT format('ALTER TABLE %s DISABLE TRIGGER ALL', c.oid::regclass) FROM pg_class c "
                           "WHERE relkind IN ('r', 'p') AND relnamespace = 'flytrail'::regnamespace \\gexec\n"
                           "DELETE FROM flytrail.log_lines WHERE message LIKE 'Main child%';"
                           "DELETE FROM flytrail.events WHERE class = 'oom';")
        self.assertEqual(self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}")[0], 0)
        messages = [row["message"] for row in content(self.bucket, "lines")]
        self.assertFalse(any(message.startswith("Main child") for message in messages))
        self.assertIn("Process appears to have been OOM killed!", messages)
        events = {row["class"]: row for row in content(self.bucket, "events")}
        self.assertTrue(events["exit"]["message"].startswith("Main child"))
        self.assertEqual((events["oom"]["trust"], events["oom"]["actor"]), ("guest", "unknown"))
        self.assertIn("not stored any more", events["oom"]["actor_reason"])

    def test_what_somebody_else_has_under_that_name_is_not_overwritten(self):
        ft = self.world.flytrail()
        stream, cursor = self.keep(ft, self.lines())
        self.assertEqual(self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}")[0], 0)
        other = self.server.bucket()
        for key in self.bucket.keys():
            other.put(key, b"other", {"x-amz-meta-content-sha256": "0" * 64})
        status, text = self.resend(ft, other, f"{stream}.1-1-{cursor}")
        self.assertEqual(status, 1)
        self.assertIn("nothing is overwritten", text)
        self.assertEqual(len(self.facts()), 1)
        self.assertEqual({other.get(key) for key in other.keys()}, {b"other"})

    def test_while_it_runs_and_with_what_it_does_not_have(self):
        ft = self.world.flytrail().start()
        self.world.publish(100)
        self.world.await_rows(100)
        (stream, cursor), = self.world.pg.psql("SELECT stream, cursor_seq FROM flytrail.streams")
        for range_, says in ((f"{STREAM}.1-1-2", "Postgres knows no stream"),
                             (f"{stream}.2-1-2", "has epoch 1 in Postgres, and not 2"),
                             (f"{stream}.1-1-{int(cursor) + 10**6}", "has what is numbered up to")):
            with self.subTest(range=range_):
                status, text = self.resend(ft, self.bucket, range_)
                self.assertEqual(status, 1)
                self.assertIn(says, text)
        self.assertEqual(self.facts(), [])
        self.assertEqual(self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}")[0], 0)
        self.world.publish(10, first=100)
        self.world.await_rows(110)
        self.assertEqual(ft.stop(), 0)

    def test_where_nothing_can_be_sent_or_told_nothing_is_a_fact(self):
        ft = self.world.flytrail()
        stream, cursor = self.keep(ft, self.lines())
        ft.env.update(self.server.environment(self.bucket))
        ft.env["AWS_SECRET_ACCESS_KEY"] = "wrong"
        words = ("resend", "--sink", "s3", "--range", f"{stream}.1-1-{cursor}")
        status, text = ft.command(*words)
        self.assertEqual(status, 1)
        self.assertIn("403", text)
        self.assertEqual(ft.command("resend", "--sink", "datadog", *words[3:])[0], 1)
        self.assertEqual(self.facts(), [])
        ft.env.update(self.server.environment(self.bucket))
        self.world.pg.stop()
        self.assertEqual(ft.command(*words)[0], 1)
        self.assertEqual(self.bucket.keys(), [])

    def test_bad_arguments_are_said(self):
        ft = self.world.flytrail()
        good = f"{STREAM}.1-1-2"
        for words in ([], ["--sink", "s3"], ["--range", good], ["--sink", "store", "--range", good],
                      ["--sink", "s3", "--range"], ["--sink", "s3", "--range", f"{STREAM}.1-2-1"],
                      ["--sink", "s3", "--range", f"{STREAM}.1-0-1"], ["--sink", "s3", "--range", f"{STREAM}.1-1"],
                      ["--sink", "s3", "--range", f"{STREAM}-1-2"], ["--sink", "s3", "--range", good + "x"],
                      ["--sink", "s3", "--range", f"{STREAM}.1-1-99999999999999999999"],
                      ["--sink", "s3", "--range", f"{STREAM}.18446744073709551617-1-2"],
                      ["--sink", "s3", "--range", f"{STREAM}.0-1-2"],
                      ["--sink", "s3", "--range", good, "--since", "yesterday"],
                      ["--sink", "s3", "--range", good, "--since", "2026-01-03", "--until", "2026-01-02"],
                      ["--sink", "s3", "--range", good, "more"]):
            with self.subTest(words=words):
                status, text = ft.command("resend", *words)
                self.assertEqual(status, 2)
                self.assertRegex(text, "^flytrail: resend: .*; it takes --sink ")


class Datadog(Case):
    def test_what_datadog_missed_is_there(self):
        intake = self.enterContext(datadog.Intake())
        ft = self.world.flytrail()
        stream, cursor = self.keep(ft, [*self.lines(), line("poison it is", self.now)])
        ft.env.update(intake.environment())
        intake.poison = "poison"
        status, text = self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}", sink="datadog")
        self.assertEqual(status, 1)
        self.assertIn(f"{cursor - 1} records were sent to datadog, in 1 deliveries\n", text)
        self.assertRegex(text, r"(?m)^1 were refused, of the numbers \d+, the last one because: Datadog answers 400")
        self.assertEqual(len({log["event_id"] for log in intake.logs}), cursor - 1)
        self.assertEqual(self.facts()[0]["refused"], 1)

    def delayed(self, ft, meanwhile):
        """What becomes of a resend of all, while Datadog asks for seconds."""
        intake = self.enterContext(datadog.Intake())
        stream, cursor = self.keep(ft, [line("poison", self.now), *self.lines()])
        intake.poison = "poison"
        intake.misbehave("status", code=429, headers=["Retry-After: 3"])
        command = subprocess.Popen(
            [flytrail.BINARY, "resend", "--sink", "datadog", "--range", f"{stream}.1-1-{cursor}"],
            env={**ft.env, **intake.environment()}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lab.wait_for(lambda: intake.answers, 30, "the first request")
        with lab.held_still(command):
            meanwhile(intake)
        return command.communicate(timeout=lab.ENDED_SECONDS)[0], cursor

    def cut_off(self, _):
        self.world.pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                           "WHERE usename = 'flytrail_writer'")

    def test_a_connection_that_is_lost_meanwhile_is_made_again_for_the_fact(self):
        text, cursor = self.delayed(self.world.flytrail(), self.cut_off)
        self.assertIn(f"{cursor - 1} records were sent to datadog, in 1 deliveries\n", text)
        self.assertNotIn("on record", text)
        said, = self.facts()
        self.assertEqual((said["records"], said["refused"]), (cursor - 1, 1))

    def test_where_that_cannot_be_it_is_said_beside_what_was_sent(self):
        text, cursor = self.delayed(self.world.flytrail(), lambda _: self.world.pg.stop())
        self.assertIn(f"{cursor - 1} records were sent to datadog, in 1 deliveries\n", text)
        self.assertRegex(text, "flytrail: resend: it was sent, but that could not be put on record: .*Postgres")

    def test_a_failure_says_how_many_were_refused_before(self):
        def refuse(intake):
            intake.misbehave("status", 8, code=400)  # until of some 200 one is left
            intake.misbehave("status", code=403)
        text, cursor = self.delayed(self.world.flytrail(), refuse)
        self.assertIn(cursor, range(128, 256))
        self.assertIn("DATADOG_API_KEY", text)
        self.assertIn("\n1 were refused, of the numbers 1, the last one because: Datadog answers 400", text)
        self.assertEqual(self.facts(), [])

    def test_what_is_refused_does_not_keep_what_is_behind_it(self):
        intake = self.enterContext(datadog.Intake())
        ft = self.world.flytrail()
        bad = 70
        stream, cursor = self.keep(ft, [*(line(f"poison {n}", self.now) for n in range(bad)),
                                        *(line(f"good {n}", self.now) for n in range(30))])
        ft.env.update(intake.environment())
        intake.poison = "poison"
        status, text = self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}", sink="datadog")
        self.assertEqual(status, 1)
        self.assertIn(f"{cursor - bad} records were sent to datadog, in 1 deliveries\n", text)
        told = re.search(rf"(?m)^{bad} were refused, of the numbers ([\d ]+) and more, the last one", text)
        numbers = self.world.pg.psql("SELECT seq FROM flytrail.log_lines WHERE message LIKE 'poison%' ORDER BY seq")
        self.assertEqual(told[1].split(), [number for number, in numbers][:64])
        self.assertEqual(len({log["event_id"] for log in intake.logs}), cursor - bad)

    def test_what_it_is_not_to_have_and_what_is_late_is_told_apart(self):
        intake = self.enterContext(datadog.Intake())
        ft = self.world.flytrail()
        old = self.now - datetime.timedelta(hours=20)
        stream, cursor = self.keep(ft, [
            line("plain", self.now), line("Main child exited normally with code: 0", self.now),
            line("Process appears to have been OOM killed!", old)])
        ft.env.update(intake.environment())
        ft.env["FLYTRAIL_DATADOG_SEND"] = "events"
        status, text = self.resend(ft, self.bucket, f"{stream}.1-1-{cursor}", sink="datadog")
        self.assertEqual(status, 0, text)
        self.assertIn(f"{cursor - 2} records were sent to datadog, in 1 deliveries\n", text)
        self.assertIn("1 were left out for their age, as FLYTRAIL_DATADOG_LATE has it\n", text)
        self.assertIn("1 were left out, as FLYTRAIL_DATADOG_SEND has it\n", text)
        self.assertEqual(len({log["event_id"] for log in intake.logs}), cursor - 2)
        said, = self.facts()
        self.assertEqual((said["records"], said["late"], said["left_out"]), (cursor - 2, 1, 1))


if __name__ == "__main__":
    unittest.main()
