"""What `flytrail run` puts into a bucket with Object Lock holds its term, whoever wants it gone."""

import datetime
import json
import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402

PATIENCE = 90
BYPASS = {"x-amz-bypass-governance-retention": "true"}
EXIT = "INFO Main child exited normally with code: 1"  # an event of operations
SHELL = "INFO New SSH session email=user1@example.com verified=true"  # and one of security
PLAIN = "a line of the application's own"
# Of the options, beside those of the bucket.
SECURITY_DAYS, OPERATIONS_DAYS, LINES_DAYS = 395, 92, 30


def line(message, days_ago=0):
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days_ago)
    return json.dumps({"event": {"provider": "app"}, "host": "0ad1", "message": message, "log": {"level": "info"},
                       "fly": {"app": {"instance": "0e286551c30586", "name": "web-1"}, "region": "ams"},
                       "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}, separators=(",", ":"))


def term(key, days):
    """Until when an object is locked: so many days after the day that its key names has ended."""
    day = datetime.date.fromisoformat(re.search(r"/date=([-0-9]{10})/", key)[1])
    return f"{day + datetime.timedelta(days=days + 1)}T00:00:00Z"


class Lock(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(s3.Server())

    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def archive(self, lines, bucket, **env):
        """Runs to the end of a file of these lines."""
        path = os.path.join(self.world.folder, "lines.ndjson")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(text + "\n" for text in lines)
        ft = self.world.flytrail(arguments=[path], **self.server.environment(bucket), **env).start(wait=False)
        self.assertEqual(ft.process.wait(timeout=PATIENCE), 0)
        self.assertEqual(ft.events("sink_parked"), [])
        return ft

    def versions(self, bucket):
        return bucket.versions("flytrail/lines/") + bucket.versions("flytrail/events/")

    def keys(self, bucket):
        return bucket.keys("flytrail/lines/") + bucket.keys("flytrail/events/")

    def lock_of(self, bucket, key):
        told = bucket.head(key)
        date = told.get("x-amz-object-lock-retain-until-date", "")
        return told.get("x-amz-object-lock-mode"), re.sub(r"\.0+Z", "Z", date)

    def assert_locks(self, bucket, mode, of_lines):
        """Each object has one version, and is locked by its class, or not at all."""
        versions = self.versions(bucket)
        self.assertEqual(len({key for key, _, _ in versions}), len(versions))
        kinds = set()
        for key in self.keys(bucket):
            kind = re.match(r"flytrail/(lines|events/class=security|events/class=operations)/", key)[1]
            days = {"lines": of_lines, "events/class=security": SECURITY_DAYS,
                    "events/class=operations": OPERATIONS_DAYS}[kind]
            self.assertEqual(self.lock_of(bucket, key), (mode, term(key, days)) if days else (None, ""), key)
            kinds.add(kind)
        self.assertEqual(len(kinds), 3)

    def delete_all(self, bucket, headers):
        """What is left when whoever may do everything has tried."""
        for key, version, _ in self.versions(bucket):
            try:
                bucket.ask("DELETE", key, {"versionId": version}, headers)
            except s3.Refused as refused:
                self.assertEqual((refused.status, refused.code), (403, "AccessDenied"))
        return {re.match("flytrail/([a-z]+)/", key)[1] for key in self.keys(bucket)}

    def test_in_compliance_mode_nobody_deletes_an_event(self):
        bucket = self.server.bucket(lock=True)
        self.archive([line(PLAIN), line(EXIT), line(SHELL)], bucket, FLYTRAIL_S3_LOCK="compliance")
        self.assert_locks(bucket, "COMPLIANCE", 0)
        before = {key: bucket.get(key) for key in bucket.keys("flytrail/events/")}
        self.assertEqual(self.delete_all(bucket, BYPASS), {"events"})
        self.assertEqual({key: bucket.get(key) for key in bucket.keys("flytrail/events/")}, before)

    def test_in_governance_mode_who_may_bypass_it_does(self):
        bucket = self.server.bucket(lock=True)
        self.archive([line(PLAIN), line(EXIT), line(SHELL)], bucket, FLYTRAIL_S3_LOCK="governance",
                     FLYTRAIL_S3_LOCK_LINES_DAYS=str(LINES_DAYS))
        self.assert_locks(bucket, "GOVERNANCE", LINES_DAYS)
        self.assertEqual(self.delete_all(bucket, {}), {"events", "lines"})
        self.assertEqual(self.delete_all(bucket, BYPASS), set())

    def test_what_is_late_is_locked_for_what_is_left_of_its_term(self):
        bucket = self.server.bucket(lock=True)
        self.archive([line(EXIT, days_ago=OPERATIONS_DAYS - 1), line(EXIT, days_ago=OPERATIONS_DAYS + 2)],
                     bucket, FLYTRAIL_S3_LOCK="governance")
        exits = sorted(bucket.keys("flytrail/events/class=operations/"))[:2]
        self.assertEqual(self.lock_of(bucket, exits[0]), (None, ""))
        self.assertEqual(self.lock_of(bucket, exits[1]), ("GOVERNANCE", term(exits[1], OPERATIONS_DAYS)))

    def test_without_the_option_nothing_is_locked(self):
        bucket = self.server.bucket(lock=True)
        self.archive([line(PLAIN), line(EXIT)], bucket)
        self.assertEqual({self.lock_of(bucket, key) for key in self.keys(bucket)}, {(None, "")})

    def test_a_bucket_without_object_lock_parks_the_sink_and_nothing_else(self):
        bucket = self.server.bucket(versioned=True)
        ft = self.world.flytrail(**self.server.environment(bucket), FLYTRAIL_S3_LOCK="compliance",
                                 FLYTRAIL_S3_GATHER_SECONDS="1").start()
        self.world.publish_lines([line(EXIT), line(SHELL)])
        lab.wait_for(lambda: ft.events("sink_parked"), PATIENCE, "a sink that is parked")
        parked = ft.events("sink_parked")[0]
        self.assertEqual(parked["sink"], "s3")
        self.assertRegex(parked["error"], "400 InvalidRequest to a lock: .*--object-lock-enabled-for-bucket")
        self.assertNotIn(s3.SECRET_KEY, str(ft.log_lines()))
        self.world.await_rows(2)
        self.assertEqual(bucket.keys("flytrail/events/"), [])
        self.assertEqual(ft.stop(), 0)


if __name__ == "__main__":
    unittest.main()
