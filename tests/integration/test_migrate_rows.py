"""`flytrail migrate` of a database that an older flytrail filled: each row is there afterwards, as it was."""

import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

SQL = os.path.join(ROOT, "sql")
STREAM = "11111111-2222-4333-8444-555555555555"
ROLES = {"owner": "flytrail_owner", "writer": "flytrail_writer", "reader": "flytrail_reader",
         "line_reader": "flytrail_line_reader"}
AGES = (0, 40, 400)  # days
ROWS = 20  # of each kind and age
# Events whose month has no partition any more, as who made them up by hand may have it.
LONE_DAYS = 900
FROM = (7, 12)  # the newest one that was released, and the one before terms


def read(name):
    with open(os.path.join(SQL, name), encoding="ascii") as file:
        return file.read()


def make_at(pg, version):
    """As flytrail's src/store/migrate.c does it, up to that version, but for the rights."""
    names = [name for name in sorted(os.listdir(SQL)) if re.match(r"\d{4}_", name)][:version]
    settings = "; ".join(f"SELECT set_config('flytrail.{role}_role', '{name}', true)" for role, name in ROLES.items())
    pg.psql(f"BEGIN; {settings};" + read("roles.sql") + "\n".join(
        f"{settings}; RESET ROLE; {read(name)}; INSERT INTO flytrail.schema_version (version, name, oldest_binary, sha256) "
        f"VALUES ({int(name[:4])}, '{name[5:-4]}', 1, 'x');" for name in names) + "COMMIT")


def fill(pg):
    for age in AGES:
        at = f"now() - interval '{age} days'"
        common = f"gen_random_uuid(), {at}, now(), 'nats', 'web', '{STREAM}', n"
        pg.psql(f"SELECT flytrail.ensure_partition(kind, {at}) FROM unnest(ARRAY['log_lines', 'security', 'operations']) AS kind;"
                "INSERT INTO flytrail.log_lines (id, occurred_at, observed_at, source, app, stream, seq, occurred_ns, class, "
                f" message) SELECT {common}, 0, 'app_log', 'line ' || n FROM generate_series(1, {ROWS}) AS n")
        for kind, klass in (("security", "deploy"), ("operations", "boot")):
            pg.psql("INSERT INTO flytrail.events (event_id, occurred_at, observed_at, source, app, stream, seq, retention_class, "
                    " time_basis, actor, class, action, actor_type, outcome, severity, trust) "
                    f"SELECT {common}, '{kind}', 'source', 'unknown', '{klass}', 'x', 'unknown', 'success', 1, 'platform' "
                    f"FROM generate_series(1, {ROWS}) AS n")
    pg.psql("INSERT INTO flytrail.confirmations (event_id, occurred_at, source, seen_at) "
            "SELECT event_id, occurred_at, 'http', now() FROM flytrail.events UNION ALL "
            f"SELECT gen_random_uuid(), now() - interval '{LONE_DAYS} days', 'http', now()")
    pg.psql("INSERT INTO flytrail.retention (kind, keep_days) VALUES ('log_lines', 45)")


def rows(pg):
    """By table: how many, and a hash of all of them."""
    return {table: pg.psql("SELECT count(*), md5(string_agg(row_text, '|' ORDER BY row_text)) FROM "
                           f"(SELECT t::text AS row_text FROM flytrail.{table} AS t) AS r")[0]
            for table in ("log_lines", "events", "confirmations")}


class Rows(unittest.TestCase):
    def setUp(self):
        self.pg = self.enterContext(lab.Postgres())

    def test_each_is_there_as_it_was_and_goes_by_the_terms_that_were_set(self):
        for version in FROM:
            with self.subTest(version):
                self.pg.psql("DROP SCHEMA IF EXISTS flytrail, flytrail_ddl CASCADE")
                make_at(self.pg, version)
                fill(self.pg)
                before = rows(self.pg)
                self.assertEqual(int(before["confirmations"][0]), 2 * ROWS * len(AGES) + 1)
                flytrail.migrate(self.pg)
                self.assertEqual(rows(self.pg), before)
                self.assertEqual(self.pg.psql("SELECT kind, keep_for_days, keep_at_most_days FROM flytrail.retention"),
                                 [["log_lines", "45", None]])
                self.assertEqual([row[0] for row in self.pg.psql(
                    "SELECT why FROM flytrail.retention_plan() WHERE goes AND kind = 'log_lines'")], ["past keep_for"])


if __name__ == "__main__":
    unittest.main()
