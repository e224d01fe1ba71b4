"""What tests of `flytrail retention` and `flytrail hold` stand on."""

import datetime
import json
import os
import subprocess
import unittest

import flytrail
import lab

DRIVER = os.path.join(flytrail.ROOT, "build", "tests", "support", "retention_driver")
OLD_DAYS = 40
LINES = 5  # of each old day


class Case(unittest.TestCase):
    """A trail that tests give old days of lines, and terms."""

    PG = {}

    def setUp(self):
        self.world = self.enterContext(flytrail.World(pg_options=self.PG))
        self.pg = self.world.pg
        self.ft = self.world.flytrail(FLYTRAIL_ADMIN_DATABASE_URL=self.pg.url())
        self.now = datetime.datetime.now(datetime.timezone.utc)  # old days are of it, also past midnight

    def at(self, days):
        return self.now - datetime.timedelta(days=days)

    def fill(self, *days, app="web-3"):
        """Lines of so many days ago, as a spool brought them."""
        for day in days:
            self.pg.psql(
                f"SELECT flytrail.ensure_partition('log_lines', '{self.at(day)}');"
                "INSERT INTO flytrail.log_lines (id, occurred_at, occurred_ns, observed_at, source, app, class, "
                f" message, stream, seq) SELECT gen_random_uuid(), '{self.at(day)}', 0, now(), 'nats', "
                f" '{app}', 'app_log', 'old line ' || n, gen_random_uuid(), n FROM generate_series(1, {LINES}) AS n")

    def command(self, *words, status=0):
        got, text = self.ft.command(*words)
        self.assertEqual(got, status, text)
        return text

    def set_lines(self, days, *more):
        return self.command("retention", "set", "log_lines", "--keep-for", str(days), *more)

    def day(self, days):
        """The name of the partition of so many days ago."""
        return f"log_lines_{self.at(days):%Y%m%d}"

    def old_lines(self):
        return self.world.count("message LIKE 'old line %'")

    def partitions(self):
        return {row[0] for row in self.pg.psql("SELECT partition FROM flytrail.retention_plan()")}

    def facts(self, action):
        return [json.loads(row[0]) for row in self.pg.psql(
            f"SELECT attributes FROM flytrail.events WHERE action = '{action}' ORDER BY occurred_at")]

    def drive(self, does, status):
        done = subprocess.run([DRIVER, self.pg.url("flytrail_writer"), does], stdin=subprocess.DEVNULL, timeout=lab.ENDED_SECONDS,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout
