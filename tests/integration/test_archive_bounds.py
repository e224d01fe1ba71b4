"""What retention asks of an archive and does to it, at the bounds: of objects, ranges, days, holds and times."""

import datetime
import gzip
import json
import os
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402
from retention import STREAM, WRITER, RetentionCase, days, literal  # noqa: E402

DRIVER = os.path.join(os.path.dirname(flytrail.BINARY), "tests", "support", "archive_driver")
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0) - days(40)
HOUR = datetime.timedelta(hours=1)
DAYS_MAX, HOLDS_MAX, RELEASED_DAYS = 32, 1000, 30  # as the headers say
ACTIONS = ("ListBucket", "ListBucketVersions", "GetObject", "GetObjectLegalHold", "PutObjectLegalHold")


class Case(RetentionCase):
    LOCK = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s3 = cls.enterClassContext(s3.Server())

    def setUp(self):
        super().setUp()
        self.set_clock(NOW)  # the driver goes by this machine's
        self.bucket = self.s3.bucket(lock=self.LOCK)
        self.env = {"FLYTRAIL_DATABASE_URL": self.pg.url(WRITER, self.database), "FLYTRAIL_SPOOL_MAX_BYTES": "64MiB",
                    **self.s3.environment(self.bucket)}

    def drive(self, *words):
        done = subprocess.run([DRIVER, *words], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=lab.ENDED_SECONDS, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout.splitlines()

    def put(self, ids, at=DAY, span=(1, 10)):
        return archive.put_ids(self.bucket, "log_lines", at, ids, span, STREAM)

    def put_index(self, entries, span, epoch=1, at=DAY):
        made = archive.key("index", at, span, STREAM).replace(".1-", f".{epoch}-")
        self.bucket.put(made, gzip.compress(archive.ndjson(entries)))
        return made


class Agrees(Case):
    """Whether the archive has the lines of one day."""

    def row(self, claims=None):
        return self.add("log_lines", DAY + HOUR, attributes=claims and json.dumps({"claimed_time": f"{claims:%Y-%m-%d}T00:00:00Z"}))

    def ask(self):
        keys, answer = self.drive("agrees", "log_lines", self.partition("log_lines", DAY), f"{DAY:%Y-%m-%d}T00:00:00Z",
                                  f"{DAY + days(1):%Y-%m-%d}T00:00:00Z")
        return json.loads(keys), answer

    def assert_agrees(self, ids, objects, keys=()):
        self.assertEqual(self.ask(), (list(keys), f"agrees {len(ids)} {objects} {archive.digest(ids)}"))

    def assert_missing(self, count, why=""):
        name = self.partition("log_lines", DAY)
        self.assertEqual(self.ask()[1], f"failed {count} rows of {name} are not in the archive{why}")

    def test_more_ids_than_are_sent_at_once(self):
        self.row()
        self.writer.ask("INSERT INTO flytrail.log_lines (id, occurred_at, occurred_ns, observed_at, source, class, message, "
                        f"stream, seq) SELECT gen_random_uuid(), '{DAY}', 0, '{DAY}', 'nats', 'app_log', 'x', '{STREAM}', n "
                        "FROM generate_series(2, 20000) AS n")
        ids = sorted(self.ids())
        self.put(ids[:-1])
        self.assert_missing(1)
        self.put(ids, span=(1, 20000))
        self.assert_agrees(ids, 2)

    def test_of_an_object_with_a_line_that_has_no_id_no_line_counts(self):
        made = self.row()
        content = archive.ndjson([{"id": made}, {"message": "x"}])
        key = archive.key("lines", DAY, (1, 2), STREAM)
        self.bucket.put(key, gzip.compress(content), archive.metadata(content))
        self.assert_missing(1, f", where 1 objects or indexes are not as they should be; the first: {key}: a line of it "
                               "has no id")
        self.put([made], span=(3, 3))
        self.assert_agrees([made], 1)

    def test_an_index_covers_what_is_wholly_of_its_range_and_epoch(self):
        ids = [self.row() for _ in range(3)]
        other = archive.put_ids(self.bucket, "security", DAY, [STREAM], (40, 50), STREAM)
        self.put_index([other], (11, 100))
        self.put_index([], (1, 200), epoch=2)
        self.put(ids[:1], span=(1, 10))
        self.put(ids[1:2], span=(10, 20))
        self.put(ids[2:], span=(90, 101))
        self.assert_agrees(ids, 3)
        late = self.row()
        for span in ((11, 20), (90, 100), (30, 40)):  # nobody but who adds objects says that they are there
            self.put([late], span=span)
            self.assert_missing(1)

    def test_an_index_is_told_once_and_one_that_names_nothing_of_it_is_not(self):
        here, there = self.row(), self.row(claims=DAY - days(3))
        named = self.put_index([self.put([here], span=(1, 5)), self.put([there], DAY - days(3), (6, 10))], (1, 10))
        self.put_index([self.put([STREAM], DAY - days(9), (11, 20))], (11, 20))
        self.assert_agrees([here, there], 2, [named])

    def test_so_many_days_are_looked_at_that_rows_claim_and_no_more(self):
        ids = []
        for number in range(DAYS_MAX + 1):
            there = DAY + days(2 + number)
            ids.append(self.row(claims=there))
            self.put(ids[-1:], there, (number + 1, number + 1))
            if number + 1 == DAYS_MAX:
                self.assert_agrees(ids, DAYS_MAX)
        self.assert_missing(1)

    def test_what_is_wrong_is_told_of_its_own_time_and_once(self):
        self.row(claims=DAY - days(3))
        bad = archive.key("index", DAY, (1, 9), STREAM)
        self.bucket.put(bad, b"no gzip")
        self.bucket.put(archive.key("lines", DAY - days(3), (1, 9), STREAM), b"no gzip", archive.metadata(b"x\n"))
        self.assertRegex(self.ask()[1], rf"^failed 1 rows .* where 1 objects or indexes are not as .* the first: {bad}: ")


class HoldCase(Case):
    """What a hold does to objects of the hours of a day."""

    LOCK = True

    def setUp(self):
        super().setUp()
        self.admin.ask("SET session_replication_role = replica")  # no trigger says when it was, or puts it on record

    def hold(self, since=None, until=None, released=None):
        """released: how many days ago."""
        made = self.admin.one(f"INSERT INTO flytrail.holds SELECT gen_random_uuid(), 'web', NULL, NULL, {literal(since)}, "
                              f"{literal(until)}, 'x', now(), 'x' RETURNING hold_id")
        if released is not None:
            self.release(made, released)
        return made

    def release(self, hold, ago=0):
        self.admin.ask(f"INSERT INTO flytrail.hold_releases VALUES ('{hold}', 'x', now() - interval '{ago} days', 'x')")

    def many(self, count):
        self.admin.ask("INSERT INTO flytrail.holds SELECT gen_random_uuid(), NULL, NULL, 'exit', NULL, NULL, 'x', now(), 'x' "
                       f"FROM generate_series(1, {count})")

    def act(self, hold, command="hold add"):
        counts, said = self.drive("hold", command, hold)
        return counts, said

    def held(self):
        return {key for key, version, _ in self.bucket.versions("flytrail/lines/") if b"<Status>ON<" in self.status(key, version)}

    def status(self, key, version):
        try:
            return self.bucket.ask("GET", key, {"legal-hold": "", "versionId": version})[1]
        except s3.Refused as refused:
            self.assertEqual(refused.code, "ObjectLockConfigurationNotFoundError")
            return b""

    def set_off(self, key):
        body = b"<LegalHold><Status>OFF</Status></LegalHold>"
        self.bucket.ask("PUT", key, {"legal-hold": ""}, body=body)

    def put_hours(self, count):
        return [self.put([STREAM], DAY + number * HOUR)["key"] for number in range(count)]


class Held(HoldCase):
    def test_what_was_released_of_late_is_let_go_of_and_nothing_older(self):
        key, = self.put_hours(1)
        hold = self.hold()
        self.assertEqual(self.act(hold), ("held 1 1 0", "fine "))
        self.release(hold, RELEASED_DAYS - 1)
        old = self.hold(released=RELEASED_DAYS + 1)
        self.assertEqual(self.act(old, "hold release"), ("held 0 0 0", f"failed there is no hold {old}"))
        self.assertEqual(self.held(), {key})
        self.assertEqual(self.act(hold, "hold release"), ("held 1 1 0", "fine "))
        self.assertEqual(self.held(), set())

    def test_released_ones_are_left_out_before_open_ones_and_the_oldest_first(self):
        self.put_hours(1)
        older, newer, open_one = self.hold(released=9), self.hold(released=2), self.hold()
        self.many(HOLDS_MAX - 2)
        self.assertEqual(self.act(open_one), ("held 1 1 0", "fine "))
        self.assertEqual(self.act(newer), ("held 0 0 0", "fine "))
        self.assertEqual(self.act(older), ("held 0 0 0", f"failed there is no hold {older}"))
        self.many(1)
        self.assertEqual(self.act(open_one), ("held 1 0 0", "fine "))
        self.many(1)
        self.assertRegex(self.act(open_one)[1], f"^failed there are more than {HOLDS_MAX} open holds")

    def test_times_that_nanoseconds_cannot_say_are_far_away(self):
        key, = self.put_hours(1)
        for since, until in (("2001-01-01 BC", None), (None, "100000-01-01"), ("2001-01-01 BC", "100000-01-01")):
            with self.subTest(since=since, until=until):
                hold = self.hold(since, until)
                self.assertEqual((self.act(hold), self.held()), (("held 1 1 0", "fine "), {key}))
                self.release(hold)
                self.assertEqual((self.act(hold), self.held()), (("held 1 1 0", "fine "), set()))
        for since, until in (("100000-01-01", None), (None, "2001-01-01 BC")):
            self.assertEqual(self.act(self.hold(since, until)), ("held 0 0 0", "fine "))

    def test_what_only_touches_another_hold_is_let_go_of(self):
        keys = self.put_hours(3)
        everything = self.hold()
        self.hold(DAY + HOUR, DAY + 2 * HOUR)
        self.act(everything)
        self.assertEqual(self.held(), set(keys))
        self.release(everything)
        self.assertEqual(self.act(everything), ("held 2 2 0", "fine "))
        self.assertEqual(self.held(), {keys[1]})


class Daily(HoldCase):
    """What `flytrail run` does each day; a line of stdin is a day."""

    def setUp(self):
        super().setUp()
        self.env |= self.bucket.allow(*ACTIONS)
        self.process = None

    def next_day(self):
        if not self.process:
            self.process = self.enterContext(subprocess.Popen([DRIVER, "daily"], env=self.env, stdin=subprocess.PIPE,
                                                              stdout=subprocess.PIPE, text=True))
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n"), self.process.stdout.readline().rstrip("\n")

    def test_what_was_put_about_the_time_of_the_last_look_is_looked_at_again(self):
        keys = self.put_hours(2)
        self.hold()
        self.assertEqual(self.next_day(), ("held 2 2 0", "fine "))
        self.set_off(keys[0])  # as one that was not there yet when its folder was listed
        self.assertEqual(self.next_day(), ("held 2 1 0", "fine "))
        self.assertEqual(self.held(), set(keys))

    def test_what_could_not_be_let_go_of_is_tried_again(self):
        keys = self.put_hours(2)
        hold = self.hold()
        self.assertEqual(self.next_day(), ("held 2 2 0", "fine "))
        self.release(hold)
        policy = self.bucket.ask("GET", query={"policy": ""})[1]
        self.bucket.ask("DELETE", query={"policy": ""})
        self.assertRegex(self.next_day()[1], "^failed .*AccessDenied")
        self.assertEqual(self.held(), set(keys))
        self.bucket.ask("PUT", query={"policy": ""}, body=policy)
        self.assertEqual(self.next_day(), ("held 2 2 0", "fine "))
        self.assertEqual((self.next_day(), self.held()), (("held 0 0 0", "fine "), set()))


if __name__ == "__main__":
    unittest.main()
