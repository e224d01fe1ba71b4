"""`flytrail run` with S3: what is accepted is in the bucket, once, whatever stands between.

The server is a real one; the faults of the table are put before it.
"""

import datetime
import json
import os
import re
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import datadog  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import rough  # noqa: E402
import s3  # noqa: E402

SLOW = b"<Error><Code>SlowDown</Code></Error>"
MORE_THAN_THE_SPOOL = 260000  # of natspub's lines, and a bound of 64 MiB
MORE_THAN_TWO_SEGMENTS = 300000  # of which the newest stays in any case
SEGMENT_BYTES = 16 * 1024 * 1024
AT_ONCE = 3  # they wait: for what is gathered, and for what is tried again
DATES = [lab.date_ago(n) for n in (28, 29, 30)]
LABELLED = os.path.join(ROOT, "tests", "data", "log-lines.jsonl")


def as_published(number, line):
    return json.dumps({
        "event": {"provider": line["provider"]},
        "fly": {"app": {"instance": "0e286551c30586", "name": "web"}, "region": "ams"}, "host": "0ad1",
        "log": {"level": line["level"]}, "message": line["message"],
        "timestamp": f"{DATES[number % len(DATES)]}T22:14:18.{number:09}Z"})


class SinksCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(s3.Server())

    def setUp(self):
        lab.begin_within(lab.DAY)  # whose deliveries one index names
        self.world = self.enterContext(flytrail.World())
        self.bucket = self.server.bucket()
        self.way = self.enterContext(rough.Way(self.server.port))

    def flytrail(self, arguments=(), **env):
        return self.world.flytrail(arguments, **{
            **self.server.environment(self.bucket), "S3_ENDPOINT": self.way.url,
            "FLYTRAIL_S3_GATHER_SECONDS": "1", **env})

    def rows(self, table, column):
        return [row[0] for row in self.world.pg.psql(f"SELECT {column} FROM flytrail.{table} ORDER BY {column}")]

    def check_bucket_is_postgres(self):
        found = archive.read(self.bucket)
        self.assertEqual(archive.ids(found, "lines"), self.rows("log_lines", "id"))
        self.assertEqual(archive.ids(found, "events"), self.rows("events", "event_id"))
        return found

    def await_archived(self, count):
        lab.wait_for(lambda: len(archive.ids(archive.read(self.bucket), "lines")) >= count, 60, f"{count} archived lines")


class Sinks(SinksCase):
    def test_the_bucket_holds_exactly_what_postgres_holds(self):
        ft = self.flytrail().start()
        self.world.publish(20000)
        with open(LABELLED, encoding="utf-8") as labelled:
            self.world.publish_lines([as_published(n, json.loads(line)) for n, line in enumerate(labelled)])
        self.world.await_rows(20000)
        self.assertEqual(ft.stop(), 0)
        found = self.check_bucket_is_postgres()
        self.assertGreater(len(archive.ids(found, "events")), 2)  # not only the trail's own
        status = ft.events("stopped")
        self.assertEqual(status[0]["left_in_spool"], 0)

    def test_a_file_is_forwarded_before_the_process_ends(self):
        path = os.path.join(self.world.folder, "lines.ndjson")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(as_published(n, {"message": f"line {n}", "provider": "app", "level": "info"}) + "\n"
                           for n in range(300))
        ft = self.flytrail([path], FLYTRAIL_S3_GATHER_SECONDS="3600").start(wait=False)
        self.assertEqual(ft.process.wait(timeout=lab.ENDED_SECONDS), 0)
        found = self.check_bucket_is_postgres()
        self.assertEqual({key.split("/")[2] for key in found if "/lines/" in key}, {f"date={date}" for date in DATES})

    def test_short_files_and_a_bucket_that_takes_its_time(self):
        """All is forwarded, and told of, although the input ends before the bucket has been tried."""
        self.way.delay = 0.05
        path = os.path.join(self.world.folder, "lines.ndjson")
        ft = self.flytrail([path])
        for turn in range(3):
            with open(path, "w", encoding="utf-8") as out:
                out.writelines(as_published(n, {"message": f"line {turn} {n}", "provider": "app", "level": "info"})
                               + "\n" for n in range(20))
            self.assertEqual(ft.start(wait=False).process.wait(timeout=lab.ENDED_SECONDS), 0)
        self.assertEqual(ft.events("sink_stopped")[0]["left_in_spool"], 0)
        found = self.check_bucket_is_postgres()
        self.assertEqual(len(archive.ids(found, "lines")), 60)
        (attributes,), = self.world.pg.psql(
            "SELECT attributes FROM flytrail.events WHERE action = 'trail.sink_proved'")
        self.assertEqual(json.loads(attributes)["found"]["reads"], "yes")

    def test_a_shippers_variables_are_enough(self):
        """As `fly storage create` and a Datadog account give them to fly-log-shipper."""
        with datadog.Intake() as intake:
            ft = self.world.flytrail(
                AWS_ACCESS_KEY_ID=s3.ACCESS_KEY, AWS_SECRET_ACCESS_KEY=s3.SECRET_KEY, AWS_REGION="auto",
                BUCKET_NAME=self.bucket.name, AWS_ENDPOINT_URL_S3=self.way.url + "/",
                DATADOG_API_KEY=intake.key, DATADOG_SITE="datadoghq.eu",
                FLYTRAIL_DATADOG_URL=intake.url).start()  # a site cannot be had here
            self.world.publish(100)
            self.world.await_rows(100)
            self.assertEqual(ft.stop(), 0)
            self.check_bucket_is_postgres()
            self.assertEqual(sorted(log["event_id"] for log in intake.logs if log["service"] != "flytrail"),
                             self.rows("log_lines", "id"))

    def test_events_alone_where_that_is_asked(self):
        ft = self.flytrail(FLYTRAIL_S3_SEND="events", FLYTRAIL_S3_PREFIX="audit/trail").start()
        self.world.publish(500)
        self.world.await_rows(500)
        self.assertEqual(ft.stop(), 0)
        keys = self.bucket.keys()
        self.assertTrue(all(key.startswith("audit/trail/") for key in keys), keys)
        self.assertEqual([key for key in keys if "/lines/" in key], [])
        self.assertTrue([key for key in keys if "/events/class=security/" in key], keys)

    def test_every_fault_ends_in_delivery(self):
        faults = {"500": rough.answer(500), "SlowDown": rough.answer(503, SLOW), "429": rough.answer(429),
                  "429 ": rough.answer(429, headers=["Retry-After: 2"]), "408": rough.answer(408),
                  "returned nothing": rough.drop, "receiving": rough.reset_after_body,
                  "partial": rough.half_answer, "SlowDown ": rough.early(503, SLOW),
                  "Conflict": rough.answer(409, b"<Error><Code>ConditionalRequestConflict</Code></Error>"),
                  "RequestTimeout": rough.answer(400, b"<Error><Code>RequestTimeout</Code></Error>")}
        ft = self.flytrail().start()
        for number, (word, fault) in enumerate(faults.items()):
            with self.subTest(word):
                self.way.faults.append(fault)
                self.world.publish(50, first=50 * number)
                self.await_archived(50 * (number + 1))
                # Where only the answer was lost it is there before it is asked for again, which the next fault is not to meet.
                lab.wait_for(lambda n=number: len(ft.events("sink_retry")) > n and ft.health()[1].get("s3", {}).get("ok"), 60,
                             "s3 to be well")
                self.assertEqual(self.way.faults, [])
                self.assertIn(word.strip(), ft.events("sink_retry")[number]["error"])
        waited = [line["wait_ms"] for line in ft.events("sink_retry")]
        self.assertGreaterEqual(waited[3], 2000)  # as the server asks
        self.assertEqual(ft.stop(), 0)
        self.check_bucket_is_postgres()

    def test_a_server_that_stalls_is_given_up_and_asked_again(self):
        self.way.faults += [rough.stall]
        ft = self.flytrail().start()
        self.world.publish(100)
        self.await_archived(100)
        self.assertEqual(len(ft.events("sink_retry")), 1)
        self.assertEqual(ft.stop(), 0)
        self.check_bucket_is_postgres()

    def parked(self, ft):
        ft.start()
        self.world.publish(100)
        ft.await_event("sink_parked")
        status, checks = ft.health()
        self.assertEqual(status, 503)
        self.assertFalse(checks["s3"]["ok"])
        self.world.await_rows(100)  # Postgres is not held up
        self.assertEqual(ft.stop(), 0)
        return checks["s3"]["value"]

    def test_a_wrong_secret_is_parked_and_a_changed_one_resumes(self):
        ft = self.flytrail(AWS_SECRET_ACCESS_KEY="not-the-secret/0000000000000000000000000")
        value = self.parked(ft)
        self.assertIn("SignatureDoesNotMatch", value)
        ft.env["AWS_SECRET_ACCESS_KEY"] = s3.SECRET_KEY
        ft.start()
        self.await_archived(100)
        self.assertEqual(ft.stop(), 0)
        self.check_bucket_is_postgres()
        with open(ft.log_path, encoding="utf-8") as log:
            self.assertNotIn("not-the-secret", log.read())

    def test_a_bucket_that_is_not_there_is_parked(self):
        self.assertIn("NoSuchBucket", self.parked(self.flytrail(AWS_BUCKET="no-such-bucket")))

    def test_a_clock_that_is_off_is_said_from_the_answers_date(self):
        """Amazon refuses a request whose time is not the server's."""
        def skewed(way, connection, request):
            now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=20)
            return rough.answer(403, b"<Error><Code>RequestTimeTooSkewed</Code></Error>",
                                [f"Date: {now:%a, %d %b %Y %H:%M:%S GMT}"])(way, connection, request)

        self.way.faults += [skewed] * 50
        value = self.parked(self.flytrail())
        self.assertRegex(value, "clock is (119|120).* seconds behind")

    def test_what_another_has_put_there_is_never_overwritten(self):
        """Before a delivery arrives somebody writes under its name."""
        ft = self.flytrail().start()
        self.world.publish(10)
        self.await_archived(10)
        self.way.faults += [rough.answer(500)] * 200
        self.world.publish(100, first=10)
        ft.await_event("sink_retry")
        with open(os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], "s3.cursor"), encoding="ascii") as cursor:
            key = json.load(cursor)["cut"].split("\n")[0].split(" ", 1)[1]
        self.bucket.put(key, b"somebody else's")
        self.way.faults.clear()
        ft.await_event("sink_parked")
        self.assertIn("nothing is overwritten", ft.events("sink_parked")[0]["error"])
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.bucket.get(key), b"somebody else's")
        self.bucket.ask("DELETE", key)
        ft.start()
        self.await_archived(110)
        self.assertEqual(ft.stop(), 0)
        self.check_bucket_is_postgres()

    def test_who_cannot_be_known_by_a_certificate_is_sent_nothing(self):
        with rough.Way(self.server.port, tls=True) as stranger:
            stranger.greetings += [rough.drop, rough.answer(400)]
            ft = self.flytrail(S3_ENDPOINT=stranger.url).start()
            self.world.publish(100)
            lab.wait_for(lambda: any("the certificate does not verify" in said["error"]
                                     for said in ft.events("sink_retry")), 60, "the certificate to be told of")
            self.assertIn("SSL", ft.events("sink_retry")[0]["error"])
            self.assertIn("certificate", ft.health()[1]["s3"]["value"])
            self.world.await_rows(100)  # Postgres is not held up
            self.assertEqual(ft.stop(), 0)
            self.assertEqual(stranger.asked, [])
        ft.env["S3_ENDPOINT"] = self.way.url
        ft.start()
        self.await_archived(100)
        self.assertEqual(ft.stop(), 0)
        self.check_bucket_is_postgres()

    def test_a_versioned_bucket_has_one_version_of_each_key(self):
        self.bucket = self.server.bucket(versioned=True)
        self.way.faults += [rough.reset_after_body, rough.half_answer]
        ft = self.flytrail().start()
        self.world.publish(500)
        self.await_archived(500)
        self.assertEqual(ft.stop(), 0)
        self.check_bucket_is_postgres()
        keys = [key for key, _, marker in self.bucket.versions("flytrail/lines/") if not marker]
        self.assertEqual(len(keys), len(set(keys)))

    def test_what_the_spool_had_to_let_go_is_on_record_and_sent_again_from_postgres(self):
        ft = self.flytrail(FLYTRAIL_SPOOL_MAX_BYTES="64MiB").start()
        self.world.publish(10)
        self.await_archived(10)
        self.server.pause_gateway()
        self.addCleanup(self.server.resume_gateway)
        self.world.publish_awaited(ft, MORE_THAN_THE_SPOOL, first=10, rate=25000)
        self.world.await_rows(MORE_THAN_THE_SPOOL + 10, timeout=120)  # Postgres is not held up
        self.server.resume_gateway()
        missed = lab.wait_for(lambda: self.world.pg.psql(
            "SELECT attributes->>'first_seq', attributes->>'last_seq', attributes->>'stream' FROM flytrail.events "
            "WHERE action = 'trail.sink_missed'"), 240, "what was missed to be on record")
        self.assertEqual(len(self.world.pg.psql(
            "SELECT event_id FROM flytrail.events WHERE action = 'trail.sink_behind'")), 1)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.gaps(), [])  # of the trail itself nothing is missing
        for first, last, stream in missed:
            status, said = ft.command("resend", "--sink", "s3", "--range", f"{stream}.1-{first}-{last}")
            self.assertEqual(status, 0, said)
        self.assertEqual(archive.ids(archive.read(self.bucket), "lines"), self.rows("log_lines", "id"))

    def metric(self, ft, name):
        return ft.metric(f'{name}{{sink="s3"}}')

    def test_what_is_not_proved_yet_says_that_it_falls_behind(self):
        ft = self.flytrail(FLYTRAIL_SPOOL_MAX_BYTES="64MiB", AWS_SECRET_ACCESS_KEY="not-the-secret").start()
        ft.await_event("sink_parked")
        self.world.publish_awaited(ft, MORE_THAN_THE_SPOOL, rate=25000)
        self.world.await_rows(MORE_THAN_THE_SPOOL, timeout=120)
        (why,), = lab.wait_for(lambda: self.world.pg.psql(
            "SELECT attributes->>'why' FROM flytrail.events WHERE action = 'trail.sink_behind'"), 30, "the fact")
        self.assertRegex(why, r"the oldest will have to go at 20\d\d-")
        self.assertGreater(self.metric(ft, "sink_behind_bytes"), self.metric(ft, "sink_behind_max_bytes"))
        self.assertEqual(self.metric(ft, "sink_missing_left_seconds"), 0)
        self.assertRegex(ft.health()[1]["s3"]["value"], "parked: .*SignatureDoesNotMatch.* it begins to miss records")
        self.assertEqual(ft.stop(), 0)

    def test_what_cannot_be_opened_misses_nothing(self):
        ft = self.flytrail(FLYTRAIL_SPOOL_KEEP_SECONDS="1").start()
        self.world.publish(10)
        self.await_archived(10)
        self.assertEqual(ft.stop(), 0)
        path = os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], "s3.index")
        with open(path, "rb") as index:
            kept = index.read()
        with open(path, "wb") as index:
            index.write(b"damaged\n")
        ft.start()
        ft.await_event("sink_parked")
        self.world.publish_awaited(ft, MORE_THAN_TWO_SEGMENTS, first=10, rate=25000)
        self.world.await_rows(MORE_THAN_TWO_SEGMENTS + 10, timeout=120)
        lab.wait_for(lambda: self.metric(ft, "sink_behind_bytes") > 2 * SEGMENT_BYTES, 30, "it to be behind")
        self.assertIn("s3.index", ft.health()[1]["s3"]["value"])
        self.assertEqual(ft.stop(), 0)
        with open(path, "wb") as index:
            index.write(kept)
        ft.start()
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(ft.events("sink_missed"), [])
        self.check_bucket_is_postgres()

    def test_at_the_end_each_sink_has_its_share_where_postgres_has_none(self):
        with datadog.Intake() as intake:
            ft = self.flytrail(FLYTRAIL_S3_GATHER_SECONDS="3600", FLYTRAIL_DRAIN_SECONDS="8",
                               DATADOG_API_KEY=intake.key, FLYTRAIL_DATADOG_URL=intake.url).start()
            self.world.publish(10)
            self.world.await_rows(10)
            self.world.pg.stop()
            self.way.delay = 0.5
            self.world.publish(1000, first=10)
            ft.await_accepted(1010)
            lab.wait_for(lambda: ft.health()[1].get("store", {}).get("ok") is False, 60, "Postgres to be missed")
            self.assertEqual(ft.stop(), 0)
            stopped = {line["sink"]: line["left_in_spool"] for line in ft.events("sink_stopped")}
            self.assertEqual(stopped, {"s3": 0, "datadog": 0})
            self.assertGreater(ft.events("stopped")[0]["left_in_spool"], 1000)
            self.assertEqual(len(archive.ids(archive.read(self.bucket), "lines")), 1010)
            self.assertEqual(len([log for log in intake.logs if log["service"] != "flytrail"]), 1010)
            self.world.pg.start()
            ft.start()
            self.world.await_rows(1010)
            self.assertEqual(ft.stop(), 0)
        self.check_bucket_is_postgres()

    def test_nothing_exists_in_memory_alone(self):
        """A gateway that hangs through the drain: what was not delivered is there after the next start."""
        self.server.pause_gateway()
        self.addCleanup(self.server.resume_gateway)
        ft = self.flytrail(FLYTRAIL_DRAIN_SECONDS="3").start()
        self.world.publish(1000)
        self.world.await_rows(1000)
        began = time.monotonic()
        self.assertEqual(ft.stop(), 0)
        self.assertLess(time.monotonic() - began, 15)
        self.server.resume_gateway()
        ft.env["FLYTRAIL_DRAIN_SECONDS"] = "20"
        ft.start()
        self.await_archived(1000)
        self.assertEqual(ft.stop(), 0)
        self.check_bucket_is_postgres()


class Prefix(SinksCase):
    """FLYTRAIL_S3_PREFIX becomes another in the middle of a day: that begins another archive."""

    PREFIXES = ("flytrail", "audit/two")

    def go_on_under_the_second(self, ft):
        """Until all is there, and the day over."""
        ft.env["FLYTRAIL_S3_PREFIX"] = self.PREFIXES[1]
        ft.start()
        self.world.publish(100, first=300)
        self.world.await_rows(400)
        self.assertEqual(ft.stop(), 0)
        changed = ft.events("sink_cut_changed")
        archive.end_day(ft.env["FLYTRAIL_SPOOL_DIR"])
        ft.start()
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(len([key for key in self.bucket.keys("") if "/index/" in key]), len(self.PREFIXES))
        return changed

    def ids(self, kind):
        """Of each archive: none is twice in one."""
        both = [archive.ids(archive.read(self.bucket, prefix), kind) for prefix in self.PREFIXES]
        for found in both:
            self.assertEqual(len(found), len(set(found)))
        return both

    def verify(self, ft, prefix, **env):
        ft.env.update(env, FLYTRAIL_S3_PREFIX=prefix, S3_ENDPOINT=self.server.url)
        return ft.command("archive", "verify")

    def test_no_record_is_lost_or_doubled_and_each_archive_agrees_with_its_indexes(self):
        ft = self.flytrail().start()
        self.world.publish(200)
        self.await_archived(200)
        self.world.publish(100, first=200)
        self.world.await_rows(300)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.go_on_under_the_second(ft), [])
        for kind, table, column in (("lines", "log_lines", "id"), ("events", "events", "event_id")):
            self.assertEqual(sorted(sum(self.ids(kind), [])), self.rows(table, column))
        for prefix in self.PREFIXES:
            status, said = self.verify(ft, prefix)
            self.assertEqual((status, said.splitlines()[-1]), (0, "all agree"), said)
        self.tell_what_is_in_the_other_archive(ft)

    def tell_what_is_in_the_other_archive(self, ft):
        """Of what is not on its way any more, Postgres does not know in which archive it is."""
        self.world.pg.psql("SET session_replication_role = replica; "
                           "UPDATE flytrail.log_lines SET observed_at = observed_at - interval '3 hours'; "
                           "UPDATE flytrail.events SET stored_at = stored_at - interval '3 hours'")
        earlier, later = self.PREFIXES
        status, said = self.verify(ft, earlier)
        self.assertEqual(status, 2, said)
        self.assertRegex(said, r"UNNAMED  of the class lines Postgres has 100 rows .*, or they went to another FLYTRAIL_S3_PREFIX ")
        self.assertEqual(self.verify(ft, later)[0], 0)
        self.assertEqual(self.verify(ft, earlier, FLYTRAIL_DATABASE_URL="")[0], 0)

    def test_a_delivery_that_was_broken_off_before_is_made_again_after(self):
        ft = self.flytrail().start()
        self.world.publish(200)
        self.await_archived(200)

        def reset_after_lines(way, connection, request):
            """What is before them, as a fact of the sink's own may be, goes through."""
            if re.match(rb"PUT \S+/lines/", request):
                return rough.reset_after_body(way, connection, request)
            way.faults.insert(0, reset_after_lines)
            connection.sendall(way.forward(request))
            return True

        self.way.faults += [reset_after_lines, *[rough.answer(500)] * 200]
        self.world.publish(100, first=200)
        ft.await_event("sink_retry")
        ft.kill()
        self.way.faults.clear()
        changed, = self.go_on_under_the_second(ft)
        for kind, table, column in (("lines", "log_lines", "id"), ("events", "events", "event_id")):
            self.assertEqual(sorted(set(sum(self.ids(kind), []))), self.rows(table, column))
        earlier, later = self.ids("lines")
        twice = set(earlier) & set(later)
        self.assertTrue(0 < len(twice) <= changed["last_seq"] - changed["first_seq"] + 1, changed)
        for prefix in self.PREFIXES:
            status, said = self.verify(ft, prefix)
            self.assertEqual((status, said.splitlines()[-1]), (0, "all agree"), said)


if __name__ == "__main__":
    unittest.main()
