"""What commands and Postgres itself put on record is in S3, too: soon, whole, and in Postgres one row."""

import json
import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import datadog  # noqa: E402
import lab  # noqa: E402
import retention  # noqa: E402
from test_sinks_s3 import SinksCase  # noqa: E402

SOON = 60  # seconds
LOOK = 10  # MIRROR_SECONDS
NOBODY = "00000000-0000-0000-0000-000000000000"
IN_POSTGRES_ALONE = "seq <= 0"


class MirrorCase(SinksCase):
    def sql(self, text):
        return self.world.pg.psql(text)

    def set_retention(self, days):
        self.sql(f"SELECT flytrail.set_retention('log_lines', {days}, NULL)")

    def apart(self):
        """The ids of what is in Postgres alone as its rows say."""
        return sorted(row[0] for row in self.sql(f"SELECT event_id FROM flytrail.events WHERE {IN_POSTGRES_ALONE}"))

    def ids(self, action):
        return [row[0] for row in self.sql(f"SELECT event_id FROM flytrail.events WHERE action = '{action}'")]

    def archived(self, *actions):
        """The events of the archive, in any order, of these actions or of all."""
        return [row for key, rows in archive.read(self.bucket).items() if "/events/" in key
                for row in rows if not actions or row["action"] in actions]

    def await_archived(self, ids, timeout=SOON):
        lab.wait_for(lambda: set(ids) <= {row["event_id"] for row in self.archived()}, timeout, f"{len(ids)} facts in S3")

    def taken(self):
        return sorted(row[0] for row in self.sql("SELECT event_id FROM flytrail.facts_taken WHERE taker = 'spool'"))

    def await_taken(self):
        lab.wait_for(lambda: self.taken() == self.apart(), SOON, "all that is in Postgres alone to be taken")

    def columns(self, id):
        """As an archive has it, but for the times."""
        row = json.loads(self.sql(f"SELECT to_jsonb(e) - '{{stored_at,stream,seq,occurred_at,observed_at}}'::text[] "
                                  f"FROM flytrail.events e WHERE event_id = '{id}'")[0][0])
        return row


class Mirror(MirrorCase):
    def test_a_command_is_in_the_archive_soon_and_one_row_in_postgres(self):
        ft = self.flytrail(FLYTRAIL_ADMIN_DATABASE_URL=self.world.pg.url()).start()
        lab.wait_for(lambda: self.archived("trail.started"), SOON, "the start in S3")
        status, out = ft.command("retention", "set", "log_lines", "--keep-for", "40")
        self.assertEqual(status, 0, out)
        id, = self.apart()
        self.await_archived([id], LOOK + 20)
        fact, = self.archived("trail.retention_changed")
        self.assertEqual({name: fact[name] for name in self.columns(id)}, self.columns(id))
        self.assertEqual(fact["attributes"]["keep_for_days"], 40)
        self.await_taken()
        # By the spool it comes to the store as well, which has it.
        numbers = int(self.sql("SELECT cursor_seq FROM flytrail.streams")[0][0])
        self.world.publish(100)
        self.world.await_rows(100)
        lab.wait_for(lambda: int(self.sql("SELECT cursor_seq FROM flytrail.streams")[0][0]) >= numbers + 100, SOON, "the cursor")
        self.assertEqual(self.sql(f"SELECT stream, seq, source FROM flytrail.events WHERE event_id = '{id}'"),
                         [[NOBODY, "0", "trail"]])
        self.assertEqual(ft.metric("facts_mirrored_total"), 1)
        self.assertEqual(ft.metric("mirror_well"), 1)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(len(self.archived("trail.retention_changed")), 1)
        ft.start()
        self.set_retention(50)
        self.await_archived(self.apart())
        self.assertEqual(len(self.archived("trail.retention_changed")), 2)  # nothing goes round

    def test_all_that_there_were_before_it_began(self):
        for days in range(40, 75):  # more than a page
            self.set_retention(days)
        self.sql("SELECT flytrail.record_review(now() - interval '1 hour', now(), 'looked at all of it')")
        ids = self.apart()
        self.assertEqual(len(ids), 36)
        self.flytrail().start()
        self.await_archived(ids)
        self.assertEqual(len(self.archived("trail.retention_changed", "trail.reviewed")), 36)

    def test_what_the_owner_deletes_later_is_in_the_archive(self):
        self.flytrail().start()
        self.set_retention(45)
        id, = self.apart()
        self.await_taken()
        self.sql("SET session_replication_role = replica; DELETE FROM flytrail.events WHERE seq <= 0")
        self.await_archived([id])

    def test_a_kill_between_accepting_and_marking(self):
        ft = self.flytrail().start()
        lab.wait_for(lambda: self.sql("SELECT 1 FROM flytrail.fact_takers"), SOON, "the first look")
        lock = retention.Session(self.world.pg.url())
        self.addCleanup(lock.close)
        lock.ask("BEGIN; LOCK TABLE flytrail.facts_taken IN SHARE MODE")
        self.set_retention(45)
        id, = self.apart()
        self.await_archived([id])
        ft.kill()
        # Or the server would do what it was asked to before it sees that nobody is there.
        self.sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO flytrail.facts_taken%'")
        lock.ask("ROLLBACK")
        self.assertEqual(self.taken(), [])
        ft.start()
        self.await_taken()
        self.world.publish(10)
        self.world.await_rows(10)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual({row["event_id"] for row in self.archived("trail.retention_changed")}, {id})
        self.assertEqual(len(self.archived("trail.retention_changed")), 2)
        self.assertEqual(self.sql("SELECT count(*) FROM flytrail.events WHERE action = 'trail.retention_changed'"), [["1"]])

    def test_a_long_transaction_is_not_missed(self):
        self.flytrail().start()
        late = retention.Session(self.world.pg.url())
        self.addCleanup(late.close)
        late.ask("BEGIN; SELECT flytrail.add_hold('web-1', NULL, NULL, NULL, NULL, 'a suit')")
        self.sql("SELECT flytrail.record_review(now() - interval '1 hour', now(), 'all well')")
        self.await_taken()
        lab.wait_for(lambda: self.sql("SELECT 1 FROM flytrail.fact_takers WHERE up_to > now() - interval '1 minute'"), SOON,
                     "a look that finds nothing more")
        late.ask("COMMIT")
        ids = self.apart()
        self.assertEqual(len(ids), 2)
        self.await_archived(ids)

    def test_of_two_replicas_one_does_it_and_the_other_takes_over(self):
        first, second = (self.flytrail().start() for _ in range(2))
        self.set_retention(45)
        self.await_taken()
        counts = [ft.metric("facts_mirrored_total") for ft in (first, second)]
        self.assertEqual(sorted(counts), [0, 1])
        one, other = (first, second) if counts[0] else (second, first)
        self.assertEqual(one.stop(), 0)  # which gives the lease back
        self.set_retention(46)
        self.await_archived(self.apart())
        self.assertEqual(other.metric("facts_mirrored_total"), 1)
        self.assertEqual(len(self.archived("trail.retention_changed")), 2)

    def test_datadog_alone_gets_it_as_well(self):
        with datadog.Intake() as intake:
            self.world.flytrail(**intake.environment()).start()
            self.set_retention(45)
            lab.wait_for(lambda: "log_lines is kept for 45 days" in intake.messages(), SOON, "the fact in Datadog")
            self.await_taken()

    def test_while_postgres_is_away_nothing_is_lost(self):
        ft = self.flytrail().start()
        self.set_retention(45)
        self.await_taken()
        self.world.pg.stop()
        ft.await_event("mirror_waits")
        self.assertEqual(ft.metric("mirror_well"), 0)
        self.world.pg.start()
        self.set_retention(46)
        self.await_archived(self.apart(), 2 * SOON)
        lab.wait_for(lambda: ft.metric("mirror_well") == 1, SOON, "the mirror to be well")

    def test_retention_counts_what_the_archive_has_and_waits_for_nothing_else(self):
        ft = self.flytrail().start()
        # What it makes ahead is made: else the clock below would lead it to months that go as well.
        lab.wait_for(lambda: self.sql("SELECT 1 FROM flytrail.partitions('log_lines') WHERE first_at > now()"), SOON,
                     "partitions ahead")
        as_of = "CREATE OR REPLACE FUNCTION flytrail.retention_now() RETURNS timestamptz LANGUAGE sql STABLE " \
            "SET search_path = pg_catalog, pg_temp AS $$SELECT now() - interval '%d days'$$"
        self.sql(as_of % 100)
        self.set_retention(45)
        old = self.ids("trail.retention_changed")
        self.await_archived(old)
        self.world.publish(10)
        self.world.await_rows(10)
        self.assertEqual(ft.stop(), 0)
        self.set_retention(46)
        new, = set(self.ids("trail.retention_changed")) - set(old)  # which nobody passes on
        self.sql(as_of % 0)
        partition, = self.sql(f"SELECT tableoid::regclass FROM flytrail.events WHERE event_id = '{new}'")[0]
        going = {row[0] for row in self.sql(f"SELECT event_id FROM {partition}")}
        archived = going & {row["event_id"] for row in self.archived()}
        self.assertEqual((set(old) <= archived, new in going - archived), (True, True))
        self.sql("SELECT flytrail.set_retention('security', 30, NULL)")
        status, out = ft.command("retention", "apply")
        self.assertEqual(status, 0, out)
        fact, = (json.loads(row[0]) for row in self.sql(
            "SELECT attributes FROM flytrail.events WHERE action = 'trail.partition_dropped'"))
        self.assertEqual("flytrail." + fact["partition"], partition)
        self.assertEqual((fact["rows"], fact["apart_archived"], fact["never_archived"], fact["archive_agrees"]),
                         (0, len(archived), len(going - archived), True))
        self.assertEqual(fact["archive"]["apart"], len(archived))

    def test_a_restore_from_the_archive_has_each_once(self):
        ft = self.flytrail().start()
        for days in range(40, 50):  # so many that their ids are of each kind there is
            self.set_retention(days)
        ids = self.apart()
        self.await_archived(ids)
        columns = {id: self.columns(id) for id in ids}
        self.assertEqual(ft.stop(), 0)
        archive.end_day(ft.env["FLYTRAIL_SPOOL_DIR"])
        self.assertEqual(ft.start().stop(), 0)
        status, out = ft.command("archive", "verify")
        self.assertEqual(status, 0, out)
        self.sql("CREATE DATABASE restored")
        ft.env["FLYTRAIL_ADMIN_DATABASE_URL"] = self.world.pg.url(database="restored")
        self.assertEqual(ft.command("migrate")[0], 0)
        ft.env["FLYTRAIL_DATABASE_URL"] = self.world.pg.url("flytrail_writer", "restored")
        status, out = ft.command("replay")
        self.assertEqual(status, 0, out)

        def restored(column):
            return self.world.pg.psql(f"SELECT {column} FROM flytrail.events e WHERE action = 'trail.retention_changed' ORDER BY event_id",
                                      database="restored")
        self.assertEqual([row[0] for row in restored("event_id")], ids)
        self.assertEqual([json.loads(row[0]) for row in restored("to_jsonb(e) - '{stored_at,stream,seq,occurred_at,observed_at}'::text[]")],
                         [{**columns[id], "source": "replay"} for id in ids])
        self.assertEqual(restored("seq > 0"), [["t"]] * 10)  # so that they are not passed on again

    def test_without_a_sink_nothing_is_passed_on(self):
        ft = self.world.flytrail().start()
        self.set_retention(45)
        self.world.publish(10)
        self.world.await_rows(10)
        self.assertNotIn("mirror", " ".join(ft.waits()))
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.sql("SELECT count(*) FROM flytrail.fact_takers"), [["0"]])
        # A sink that comes later gets it.
        self.flytrail().start()
        self.await_archived(self.apart())


if __name__ == "__main__":
    unittest.main()
