"""A hold on the trail is S3's legal hold on its archive, in a real S3 server with Object Lock."""

import json
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archived  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402
from archived import DRIVER, EXIT, NEWER, OLDER, line  # noqa: E402

LINES, SECURITY, OPERATIONS = "lines/", "events/class=security/", "events/class=operations/"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


class LegalHold(archived.Case):
    """Each test has a bucket, with lines and events of two days, and a trail without holds."""

    def setUp(self):
        self.sql("SET session_replication_role = replica; DELETE FROM flytrail.events; "
                 "DELETE FROM flytrail.hold_releases; DELETE FROM flytrail.holds")
        self.use(self.server.bucket(lock=True))

    def keep(self, number=0):
        self.keep_lines(each for day in (OLDER, NEWER) for each in (
            line(f"run {number}", day, number), line(EXIT, day, number, "runner")))

    def add(self, app=None, actor=None, klass=None, since=None, until=None):
        values = ", ".join("NULL" if value is None else f"'{value}'" for value in (app, actor, klass, since, until))
        (id,), = self.sql(f"SELECT flytrail.add_hold({values}, 'a lawsuit')")
        return id

    def release(self, id):
        self.sql(f"SELECT flytrail.release_hold('{id}', 'settled')")

    def counted(self, *arguments, **more):
        said = self.drive(*arguments, **more)
        return list(zip([[int(number) for number in counts.split()[1:]] for counts in said[::2]], said[1::2]))

    def hold(self, id, command="hold add", **env):
        """((versions, changed, failed), what went wrong)"""
        (counts, said), = self.counted("hold", command, id, **env)
        return counts, said.removeprefix("fine ").removeprefix("failed ")

    def is_on(self, key, version):
        try:
            body = self.bucket.ask("GET", key, {"legal-hold": "", "versionId": version})[1]
        except s3.Refused as refused:
            self.assertEqual((refused.status, refused.code), (404, "ObjectLockConfigurationNotFoundError"))
            return False
        status = re.search(rb"<Status>(ON|OFF)</Status>", body)[1]
        return status == b"ON"

    def versions(self):
        return [(key, version) for key, version, is_marker in self.bucket.versions("flytrail/")
                if not is_marker and "/probe/" not in key]

    def held(self):
        return {key for key, version in self.versions() if self.is_on(key, version)}

    def keys(self, *folders, days=None):
        return {key for key, _ in self.versions() if key.startswith(tuple(f"flytrail/{f}" for f in folders))
                and (days is None or any(f"date={day}" in key for day in days))}

    def facts(self, action):
        return [(target, json.loads(attributes)) for target, attributes in self.sql(
            f"SELECT target, attributes FROM flytrail.events WHERE action = '{action}' "
            "AND attributes ->> 'state' = 'archive' ORDER BY occurred_at")]

    def assert_fact(self, action, id, **expected):
        target, attributes = self.facts(action)[-1]
        self.assertEqual(target, id)
        self.assertEqual({name: attributes.get(name) for name in expected}, expected)

    def test_all_objects_that_may_have_its_rows_are_held(self):
        self.keep()
        today = {re.search("date=([0-9-]{10})", key)[1] for key in self.keys(SECURITY)}  # both, at midnight
        for scope, folders, days in (
                ({"app": "web"}, (LINES, SECURITY, OPERATIONS), None),
                ({"actor": "user1@example.com"}, (LINES, SECURITY, OPERATIONS), None),
                ({"klass": "exit"}, (LINES, OPERATIONS), None),
                ({"klass": "trail"}, (LINES, SECURITY), None),
                ({"klass": "app_log"}, (LINES,), None),
                ({"until": f"{NEWER} 00:00Z"}, (LINES, SECURITY, OPERATIONS), (OLDER,)),
                ({"since": f"{NEWER} 00:00:01Z", "until": f"{NEWER} 00:00:02Z"}, (LINES, SECURITY, OPERATIONS), (NEWER,)),
                ({"since": f"{NEWER} 00:00Z"}, (LINES, SECURITY, OPERATIONS), (NEWER, *today))):
            with self.subTest(scope):
                id = self.add(**scope)
                counts, said = self.hold(id)
                wanted = self.keys(*folders, days=days)
                self.assertGreater(len(wanted), 0)
                self.assertEqual(self.held(), wanted)
                self.assertEqual((counts, said), ([len(wanted), len(wanted), 0], ""))
                self.assert_fact("trail.hold_added", id, versions=len(wanted), changed=len(wanted), failed=0,
                                 command="hold add", failure=None)
                self.assertEqual(self.hold(id), ([len(wanted), 0, 0], ""))
                self.release(id)
                self.assertEqual(self.hold(id, "hold release"), ([len(wanted), len(wanted), 0], ""))
                self.assertEqual(self.held(), set())
                self.assert_fact("trail.hold_released", id, versions=len(wanted), changed=len(wanted), failed=0,
                                 command="hold release", failure=None)

    def test_the_server_deletes_no_version_that_is_held(self):
        self.keep()
        id = self.add(klass="exit")
        self.hold(id)
        for key, version in self.versions():
            query = {"versionId": version}
            if key in self.keys(LINES, OPERATIONS):
                with self.assertRaises(s3.Refused) as refused:
                    self.bucket.ask("DELETE", key, query, {"x-amz-bypass-governance-retention": "true"})
                self.assertEqual((refused.exception.status, refused.exception.code), (403, "AccessDenied"))
        self.release(id)
        self.hold(id, "hold release")
        for key, version in self.versions():
            self.bucket.ask("DELETE", key, {"versionId": version})
        self.assertEqual(self.versions(), [])

    def test_all_versions_are_held_and_those_that_a_marker_hides(self):
        self.keep()
        hidden, other, *_ = sorted(self.keys(LINES))
        self.bucket.put(other, b"another version")
        self.bucket.ask("DELETE", hidden)
        id = self.add(klass="app_log")
        self.hold(id)
        held = [(key, version) for key, version in self.versions() if key in self.keys(LINES)]
        self.assertEqual(len(held), len(self.keys(LINES)) + 1)
        self.assertTrue(all(self.is_on(*one) for one in held))

    def test_what_another_hold_covers_stays_held(self):
        self.keep()
        days = self.add(until=f"{NEWER} 00:00Z")
        exits = self.add(klass="exit")
        self.hold(days)
        self.hold(exits)
        self.release(exits)
        self.hold(exits, "hold release")
        self.assertEqual(self.held(), self.keys(LINES, SECURITY, OPERATIONS, days=(OLDER,)))

    def test_each_day_what_is_new_is_held_and_what_was_released_let_go(self):
        self.keep()
        id = self.add(app="web")
        env = {**self.env}
        with subprocess.Popen([DRIVER, "daily"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as daily:
            def next_day():
                daily.stdin.write("\n")
                daily.stdin.flush()
                counts = [int(number) for number in daily.stdout.readline().split()[1:]]
                return counts, daily.stdout.readline().rstrip("\n")

            count = len(self.keys(LINES, SECURITY, OPERATIONS))
            self.assertEqual(next_day(), ([count, count, 0], "fine "))
            self.assertEqual(next_day()[0][1:], [0, 0])
            self.keep(1)
            self.assertEqual(next_day()[0][1:], [len(self.keys(LINES, SECURITY, OPERATIONS)) - count, 0])
            self.assertEqual(self.held(), self.keys(LINES, SECURITY, OPERATIONS))
            self.release(id)
            self.assertEqual(next_day()[0][1:], [len(self.keys(LINES, SECURITY, OPERATIONS)), 0])
            self.assertEqual(next_day(), ([0, 0, 0], "fine "))
            self.assertEqual(self.held(), set())
            daily.stdin.close()
        self.assertEqual([len(self.facts(f"trail.hold_{what}")) for what in ("added", "released")], [2, 1])

    def test_a_bucket_without_object_lock_is_told_and_on_record_once(self):
        self.use(self.server.bucket(versioned=True))
        self.keep()
        id = self.add(app="web")
        counts, said = self.hold(id)
        self.assertEqual(counts, [0, 0, 0])
        self.assertRegex(said, "^the bucket has no Object Lock: ")
        self.assert_fact("trail.hold_added", id, versions=0, failed=0, failure=said)
        self.assertEqual(self.sql(f"SELECT count(*) FROM flytrail.open_holds WHERE hold_id = '{id}'"), [["1"]])
        days = self.counted("daily", lines="\n\n\n")
        self.assertEqual(days, [([0, 0, 0], f"failed {said}")] * 3)
        self.assertEqual(len(self.facts("trail.hold_added")), 2)

    def test_who_may_not_is_told_what_is_needed(self):
        self.keep()
        id = self.add(klass="app_log")
        keys = self.bucket.allow("ListBucket", "ListBucketVersions", "GetObject", "GetObjectLegalHold")
        _, said = self.hold(id, **keys)
        self.assertRegex(said, "403 AccessDenied to a legal hold: the credentials need s3:PutObjectLegalHold")
        self.assertEqual(self.held(), set())

    def hold_command(self, *arguments, **env):
        status, out, said = self.command("hold", *arguments, **{"FLYTRAIL_ADMIN_DATABASE_URL": self.world.pg.url(), **env})
        return status, out + said

    def test_the_command_holds_the_archive_and_lets_it_go(self):
        self.keep()
        wanted = self.keys(LINES, OPERATIONS)
        status, said = self.hold_command("add", "--class", "exit", "--reason", "a lawsuit")
        self.assertEqual((status, self.held()), (0, wanted), said)
        self.assertIn(f"put on or taken off {len(wanted)} of the {len(wanted)} versions", said)
        id = re.match("hold ([0-9a-f-]{36}) is on", said)[1]
        self.assert_fact("trail.hold_added", id, changed=len(wanted))
        status, said = self.hold_command("release", id, "--reason", "settled")
        self.assertEqual((status, self.held()), (0, set()), said)

    def test_what_s3_refuses_does_not_end_the_hold(self):
        self.use(self.server.bucket())
        status, said = self.hold_command("add", "--app", "web", "--reason", "a lawsuit")
        self.assertEqual(status, 0, said)  # there is nothing in it
        self.keep()
        status, said = self.hold_command("add", "--app", "web", "--reason", "a lawsuit")
        self.assertEqual(status, 1)
        self.assertRegex(said, "that is so in Postgres, and not in all of the archive.*: the bucket has no Object Lock: ")
        status, said = self.hold_command("release", said.split()[1], "--reason", "settled")
        self.assertEqual(status, 0, said)  # nothing there is held
        status, said = self.hold_command("add", "--app", "web", "--reason", "a lawsuit", FLYTRAIL_DATABASE_URL="")
        self.assertEqual(status, 0, said)
        self.assertIn("follows within a day, by `flytrail run`", said)
        self.assertEqual(self.sql("SELECT count(*) FROM flytrail.open_holds"), [["2"]])

    def test_flytrail_run_holds_what_is_there(self):
        self.keep()
        wanted = self.keys(LINES)
        self.add(klass="app_log")
        ft = self.world.flytrail(**self.server.environment(self.bucket), FLYTRAIL_S3_GATHER_SECONDS="1").start()
        lab.wait_for(lambda: self.held() >= wanted, 60, "objects that are held")
        self.assertEqual(ft.stop(), 0)
        self.assertEqual({attributes["command"] for _, attributes in self.facts("trail.hold_added")}, {"run"})

    def test_what_cannot_be_done_is_one_sentence(self):
        self.keep()
        self.assertEqual(self.hold(UNKNOWN), ([0, 0, 0], f"there is no hold {UNKNOWN}"))
        id = self.add(app="web")
        self.assertEqual(self.hold(id, ARCHIVE_DRIVER_IS_OVER="1"), ([0, 0, 0], "it was told to end"))
        self.assertRegex(self.hold(id, AWS_BUCKET="not-there")[1], "AWS_BUCKET")
        self.sql("INSERT INTO flytrail.holds SELECT gen_random_uuid(), 'web', NULL, NULL, NULL, NULL, 'x', now(), 'x' "
                 "FROM generate_series(1, 1000)")
        self.assertRegex(self.hold(id)[1], "^there are more than 1000 open holds: ")
        self.assertEqual(self.held(), set())


if __name__ == "__main__":
    unittest.main()
