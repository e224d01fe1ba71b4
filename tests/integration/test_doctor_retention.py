"""What `flytrail doctor` says of how long rows are kept, and of what stands against that."""

import os
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

LOCKED = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_BUCKET": "bucket",
          "AWS_REGION": "us-east-1", "S3_ENDPOINT": "http://127.0.0.1:1", "FLYTRAIL_S3_LOCK": "governance"}


class Doctor(unittest.TestCase):
    SETTINGS = ()

    @classmethod
    def setUpClass(cls):
        cls.pg = lab.Postgres(template=flytrail.migrated_data(), settings=cls.SETTINGS)
        cls.addClassCleanup(cls.pg.close)
        cls.pg.start()
        cls.pg.psql("SELECT flytrail.make_partitions_ahead()")

    def setUp(self):
        self.pg.psql("DELETE FROM flytrail.retention")

    def said(self, **env):
        """(verdict, text) of each line about retention."""
        done = subprocess.run(
            [flytrail.BINARY, "doctor"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=lab.ENDED_SECONDS,
            check=False, env={"PATH": os.environ["PATH"], "FLYTRAIL_DATABASE_URL": self.pg.url("flytrail_writer"),
                              "FLYTRAIL_SPOOL_DIR": os.path.join(self.pg.folder, "spool"), "FLYTRAIL_S3_STYLE": "path", **env})
        lines = [line.split(" retention: ", 1) for line in done.stdout.splitlines()]
        return [(line[0].strip(), line[1]) for line in lines if len(line) == 2]

    def assert_said(self, said, verdict, pattern):
        self.assertEqual([word for word, text in said if pattern in text], [verdict], said)


class Terms(Doctor):
    def test_each_kind_has_its_term_or_none(self):
        self.pg.psql("SELECT flytrail.set_retention('log_lines', 30, NULL), flytrail.set_retention('security', 330, 366)")
        said = self.said()
        self.assert_said(said, "ok", "log_lines: kept for 30 days, no upper limit")
        self.assert_said(said, "ok", "security: kept for 330 days, and for 366 at most")
        self.assert_said(said, "ok", "operations: kept for ever")
        self.assertEqual({word for word, _ in said}, {"ok"})

    def test_a_lock_that_is_longer_than_the_upper_limit_is_a_failure(self):
        self.pg.psql("SELECT flytrail.set_retention('log_lines', 30, 35), flytrail.set_retention('security', 330, 366), "
                     "flytrail.set_retention('operations', 330, 400)")
        lengths = {"FLYTRAIL_S3_LOCK_SECURITY_DAYS": "367", "FLYTRAIL_S3_LOCK_OPERATIONS_DAYS": "366",
                   "FLYTRAIL_S3_LOCK_LINES_DAYS": "20"}
        said = self.said(**LOCKED, **lengths)
        self.assert_said(said, "FAIL", "security may be kept for 366 days at most, and S3 deletes nothing for 367: "
                                       "lower FLYTRAIL_S3_LOCK_SECURITY_DAYS, or raise keep_at_most")
        self.assert_said(said, "ok", "log_lines: kept for 30 days in Postgres, locked in S3 for 20")
        self.assertNotIn("OPERATIONS", str(said))
        said = self.said(**{**LOCKED, **lengths, "FLYTRAIL_S3_LOCK_SECURITY_DAYS": "366"})
        self.assertNotIn("FAIL", str(said))
        self.assertNotIn("S3", str(self.said(**{**LOCKED, **lengths, "FLYTRAIL_S3_LOCK": "off",
                                                "FLYTRAIL_S3_LOCK_LINES_DAYS": "0"})))

    def test_what_is_neither_in_the_trail_nor_gone_is_named(self):
        now = self.pg.psql("SELECT now()")[0][0]  # of one day, also when that is over before the end
        self.pg.psql(f"SELECT flytrail.ensure_partition('log_lines', timestamptz '{now}' - d * interval '1 day') "
                     "FROM unnest(array[50, 60, 61, 62, 63, 64, 65]) AS d")
        *names, detached = [row[0] for row in self.pg.psql(
            f"SELECT to_char(timestamptz '{now}' AT TIME ZONE 'UTC' - d * interval '1 day', '\"log_lines_\"YYYYMMDD') "
            "FROM unnest(array[65, 64, 63, 62, 61, 60, 50]) AS d")]
        self.addCleanup(self.pg.psql, "; ".join(f"DROP TABLE flytrail.{name}" for name in names))
        for name in names:
            self.pg.psql(f"ALTER TABLE flytrail.log_lines DETACH PARTITION flytrail.{name}")
        said = self.said()
        self.assert_said(said, "warn", "6 tables are left alone: somebody detached them")
        self.assert_said(said, "warn", ": " + ", ".join(names[:5]) + ", ...")
        self.pg.psql("SELECT flytrail.set_retention('log_lines', 30, NULL)")
        self.assertNotIn("taken out", str(self.said()))
        self.pg.psql("SELECT pg_advisory_lock(hashtextextended('flytrail.retention', 0)); "
                     f"SELECT flytrail.retention_detach('{detached}')")
        [[leaving]] = self.pg.psql("SELECT * FROM flytrail.retention_leftovers()")
        self.assert_said(self.said(), "warn", "1 partitions are taken out of the trail and neither dropped nor put back, "
                                              f"which the next `flytrail retention apply` does unless one is at it: {leaving}")

    def test_what_keeps_rows_beyond_their_term_is_named(self):
        self.pg.psql("SELECT flytrail.set_retention('log_lines', 30, NULL), flytrail.ensure_partition('log_lines', "
                     "now() - interval '45 days')")
        name = self.pg.psql("SELECT partition FROM flytrail.retention_plan() WHERE goes")[-1][0]
        self.assertNotIn("past their terms", str(self.said()))
        self.pg.psql(f"INSERT INTO flytrail.{name} (id, occurred_at, occurred_ns, observed_at, source, class, message, stream, seq) "
                     "SELECT gen_random_uuid(), now() - interval '45 days', 0, now(), 'nats', 'app_log', 'x', "
                     "gen_random_uuid(), 1")
        hold = self.pg.psql("SELECT flytrail.add_hold(NULL, NULL, 'app_log', NULL, NULL, 'a dispute')")[0][0]
        self.addCleanup(self.pg.psql, f"SELECT flytrail.release_hold('{hold}', 'over')")
        self.assert_said(self.said(), "ok", f"1 partitions stay though past their terms, the oldest is {name}: hold {hold}")
        self.addCleanup(self.pg.psql, "SET session_replication_role = replica; DELETE FROM flytrail.events WHERE seq > 0")
        # Which may be of the month before, of which no partition is made ahead.
        self.pg.psql("SELECT flytrail.ensure_partition('security', now() - interval '25 hours')")
        self.pg.psql("INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis, observed_at, "
                     " actor, actor_type, outcome, severity, trust, source, stream, seq) "
                     "SELECT gen_random_uuid(), 'security', 'trail', 'trail.started', at, 'observed', at, 'unknown', 'unknown', "
                     " 'success', 1, 'self', 'trail', gen_random_uuid(), 1 FROM (SELECT now() - interval '25 hours') AS t (at)")
        self.assert_said(self.said(), "warn", "more than a day apart, so nothing goes; set the clock that is wrong")


class Locks(Doctor):
    SETTINGS = ("max_locks_per_transaction = 10", "max_connections = 10")

    def test_partitions_are_held_against_the_lock_table(self):
        [[partitions, locks]] = self.pg.psql(
            "SELECT count(*) FILTER (WHERE isleaf), count(*) + sum((SELECT count(*) FROM pg_indexes x WHERE x.schemaname = 'flytrail' "
            "AND format('%I.%I', x.schemaname, x.tablename)::regclass = relid)) FROM (SELECT * FROM pg_partition_tree('flytrail.log_lines') "
            "UNION ALL SELECT * FROM pg_partition_tree('flytrail.events')) t")
        self.assertGreater(int(locks), 50)
        self.assert_said(self.said(), "warn", f"{partitions} partitions: a query over all of them takes {locks} locks, of the 100 "
                                              "that the server has for all; make lines weekly by a term of more than 90 days, "
                                              "or raise max_locks_per_transaction")


class Room(Doctor):
    def test_a_lock_table_with_room_is_fine(self):
        self.assert_said(self.said(), "ok", "of the server's 3200 locks")


if __name__ == "__main__":
    unittest.main()
