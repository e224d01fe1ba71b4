"""A trail and an archive of the same two days, for tests of what retention asks of both and does to them.

    class Agrees(archived.Case):
        def setUp(self):
            self.use(self.server.bucket(lock=True))
            self.keep_lines([archived.line("hello", archived.OLDER, 0)])
"""

import datetime
import json
import os
import subprocess
import unittest

import flytrail
import lab
import s3

DRIVER = os.path.join(os.path.dirname(flytrail.BINARY), "tests", "support", "archive_driver")
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.timezone.utc)
OLDER, NEWER = (NOW - 3 * DAY).strftime("%Y-%m-%d"), (NOW - 2 * DAY).strftime("%Y-%m-%d")
EXIT = "machine exited with exit code 0, not restarting"
RUN_SECONDS, DRIVE_SECONDS = 60, 120


def line(message, day, number, provider="app"):
    """Of one of the first two hours of a day; its nanoseconds are the number."""
    return json.dumps({
        "event": {"provider": provider},
        "fly": {"app": {"instance": "0e286551c30586", "name": "web"}, "region": "ams"},
        "host": "0ad1", "log": {"level": "info"}, "message": message,
        "timestamp": f"{day}T0{number % 2}:14:18.{number:09}Z"}, separators=(",", ":"))


class Case(unittest.TestCase):
    """One trail and one S3 server a class; each test uses a bucket, with a spool of its own."""

    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(flytrail.World())
        cls.server = cls.enterClassContext(s3.Server())

    def use(self, bucket):
        lab.begin_within(lab.DAY)  # whose deliveries one index names
        self.bucket = bucket
        self.spool = os.path.join(self.world.folder, bucket.name)
        self.env = {**os.environ, **self.server.environment(bucket),
                    "FLYTRAIL_DATABASE_URL": self.world.pg.url("flytrail_writer"),
                    "FLYTRAIL_SPOOL_DIR": self.spool, "FLYTRAIL_SPOOL_MAX_BYTES": "64MiB",
                    "FLYTRAIL_S3_GATHER_SECONDS": "1"}

    def sql(self, text):
        return self.world.pg.psql(text)

    def command(self, *arguments, seconds=DRIVE_SECONDS, **env):
        """(status, stdout, stderr) of flytrail's."""
        done = subprocess.run([flytrail.BINARY, *arguments], env={**self.env, **env}, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
        return done.returncode, done.stdout, done.stderr

    def keep_lines(self, lines, spool=None):
        """What one `flytrail run FILE` makes of them."""
        path = os.path.join(self.world.folder, "input")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(each + "\n" for each in lines)
        status, _, said = self.command("run", path, seconds=RUN_SECONDS, FLYTRAIL_SPOOL_DIR=spool or self.spool)
        self.assertEqual(status, 0, said)

    def drive(self, *arguments, lines="", **env):
        """What tests/support/archive_driver.c prints, line by line."""
        done = subprocess.run([DRIVER, *arguments], env={**self.env, **env}, check=False, input=lines,
                              capture_output=True, text=True, timeout=DRIVE_SECONDS)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout.splitlines()
