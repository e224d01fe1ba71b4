"""Postgres fails while lines come: nothing is lost, nothing is doubled, intake goes on."""

import os
import signal
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

COUNT = 60000
# With all that may wait in the NATS library, as it does while the disk is slow: see README.
MEMORY_BYTES_MAX = 80 * 1024 * 1024


class StoreFaults(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def load(self, count=COUNT, rate=20000):
        """A flytrail and a publisher on their way, some rows there already."""
        ft = self.world.flytrail().start()
        publisher = self.world.publisher("--count", count, "--rate", rate)
        self.addCleanup(publisher.wait)
        self.addCleanup(publisher.kill)
        self.world.await_rows(1000)
        return ft, publisher

    def assert_all_there(self, ft, publisher, count=COUNT):
        self.assertEqual(publisher.wait(timeout=lab.ENDED_SECONDS), 0)
        self.world.await_rows(count, timeout=90)
        self.assertEqual(ft.stop(), 0)
        self.world.check_each_line_is_one_row(range(count))
        self.assertEqual(self.world.gaps(), [])

    def dead_lettered(self):
        """Of each fact about a dead letter: the record's number, and the reason."""
        return self.world.pg.psql(
            "SELECT attributes->>'first_seq', attributes->>'why' FROM flytrail.events "
            "WHERE action = 'trail.dead_lettered'")

    def test_postgres_that_restarts_again_and_again(self):
        ft, publisher = self.load()
        for _ in range(3):
            self.world.pg.stop()
            self.world.pg.restart()
            time.sleep(0.5)
        self.assert_all_there(ft, publisher)

    def test_postgres_that_is_killed_again_and_again(self):
        ft, publisher = self.load()
        for _ in range(5):
            self.world.pg.crash()
            self.world.pg.restart()
            time.sleep(0.4)
        self.assert_all_there(ft, publisher)

    def test_postgres_that_hangs(self):
        ft, publisher = self.load()
        for _ in range(3):
            self.world.pg.pause()
            time.sleep(1)
            self.world.pg.resume()
            time.sleep(0.3)
        self.assert_all_there(ft, publisher)

    def test_a_commit_that_comes_through_after_its_connection_was_given_up(self):
        self.world.pg.psql("""
            CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_sleep(6); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER dawdle AFTER UPDATE ON flytrail.streams
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            WHEN (old.cursor_seq BETWEEN 1 AND 100) EXECUTE FUNCTION public.dawdle()""")
        link = lab.Link(self.world.pg.port)
        self.addCleanup(link.close)
        url = self.world.pg.url("flytrail_writer").replace(f":{self.world.pg.port}/", f":{link.port}/")
        ft = self.world.flytrail(FLYTRAIL_DATABASE_URL=url).start()
        self.world.publish(50)
        self.world.await_rows(50)
        self.world.publish(100, first=50)
        lab.wait_for(lambda: self.world.pg.psql(
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), what="a slow commit")
        self.world.publish(50, first=150)  # so that the next batch ends further on
        time.sleep(0.2)
        link.cut()
        self.world.await_rows(200, timeout=60)
        lab.wait_for(ft.is_well, 30, "a healthy store")
        self.assertEqual(ft.events("store_parked"), [])
        self.assertEqual(ft.stop(), 0)
        self.world.check_each_line_is_one_row(range(200))

    def test_postgres_that_is_read_only_for_a_while(self):
        ft, publisher = self.load()
        self.world.pg.psql("ALTER SYSTEM SET default_transaction_read_only = on;")
        self.world.pg.psql("SELECT pg_reload_conf()")
        lab.wait_for(lambda: ft.events("store_retry"), what="a retry")
        self.assertEqual(ft.health()[0], 503)
        self.assertEqual(ft.health("/ready")[0], 200)
        self.world.pg.psql("SET default_transaction_read_only = off; "
                           "ALTER SYSTEM RESET default_transaction_read_only;")
        self.world.pg.psql("SELECT pg_reload_conf()")
        self.assert_all_there(ft, publisher)

    def test_sessions_that_are_cut_in_the_middle_of_a_batch(self):
        ft, publisher = self.load()
        for _ in range(30):
            self.world.pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                               "WHERE usename = 'flytrail_writer'")
            time.sleep(0.05)
        self.assert_all_there(ft, publisher)

    def test_a_row_that_postgres_refuses_is_a_dead_letter_and_stops_nobody(self):
        self.world.pg.psql("ALTER TABLE flytrail.log_lines ADD CONSTRAINT no_poison "
                           "CHECK (message NOT LIKE '%line 777 %')")
        ft = self.world.flytrail().start()
        self.world.publish(5000)
        self.world.await_rows(4999)
        self.assertEqual(len(self.dead_lettered()), 1)
        self.assertEqual(ft.stop(), 0)
        self.world.check_each_line_is_one_row(n for n in range(5000) if n != 777)
        self.assertEqual(len(ft.events("dead_letter")), 1)
        self.assertNotIn("line 777", str(ft.log_lines()))

    def test_a_dead_letter_of_the_drain_is_on_record_too(self):
        self.world.pg.psql("ALTER TABLE flytrail.log_lines ADD CONSTRAINT no_poison "
                           "CHECK (message NOT LIKE '%line 777 %')")
        ft = self.world.flytrail(FLYTRAIL_DRAIN_SECONDS="60").start()
        self.world.pg.stop()
        self.world.publish(5000)
        ft.await_accepted(5000)
        ft.await_event("store_retry")
        ft.signal(signal.SIGTERM)
        ft.await_event("draining")
        self.world.pg.restart()
        self.assertEqual(ft.process.wait(timeout=lab.ENDED_SECONDS), 0)
        self.assertEqual(self.world.count("message LIKE 'numbered %'"), 4999)
        self.assertEqual(len(self.dead_lettered()), 1)

    def test_a_dead_letter_whose_fact_is_refused_is_not_passed(self):
        self.world.pg.psql("ALTER TABLE flytrail.log_lines ADD CONSTRAINT no_poison "
                           "CHECK (message NOT LIKE '%line 3 %')")
        self.world.pg.psql("ALTER TABLE flytrail.events ADD CONSTRAINT no_fact "
                           "CHECK (action <> 'trail.dead_lettered')")
        ft = self.world.flytrail().start()
        self.world.publish(5)
        ft.await_event("store_parked")
        self.assertIn("dead letter", ft.events("store_parked")[0]["error"])
        self.assertEqual(self.world.count("message LIKE 'numbered %'"), 3)
        self.world.pg.psql("ALTER TABLE flytrail.events DROP CONSTRAINT no_fact")
        ft.stop()
        self.assertEqual(self.world.count("message LIKE 'numbered %'"), 4)
        self.assertEqual(len(self.dead_lettered()), 1)

    def test_a_schema_that_is_not_there_parks_the_store_and_the_spool_keeps_all(self):
        self.world.pg.psql("DROP SCHEMA flytrail CASCADE")
        ft = self.world.flytrail().start(wait=False)
        ft.await_event("store_parked")
        ft.await_event("source_connected")
        self.world.publish(1000)
        ft.await_accepted(1000)
        health = ft.health()
        self.assertEqual(health[0], 503)
        self.assertIn("migrate", health[1]["store"]["value"])
        self.world.migrate()
        ft.stop()
        ft.start()
        self.world.await_rows(1000)

    def test_a_spool_that_fills_stops_intake_says_so_and_goes_on(self):
        ft = self.world.flytrail(FLYTRAIL_SPOOL_MAX_BYTES="64MiB").start()
        self.world.publish(1000)
        self.world.await_rows(1000)
        self.world.pg.stop()
        stopped = time.time()
        publisher = self.world.publisher("--count", 500000, "--first", 1000, "--rate", 60000)
        ft.await_event("spool_full")
        full = time.time()
        health = ft.health()
        self.assertEqual(health[0], 503)
        self.assertIn("full", health[1]["spool"]["value"])
        self.assertEqual(publisher.wait(timeout=lab.ENDED_SECONDS), 0)
        self.assertLess(ft.memory_peak_bytes(), MEMORY_BYTES_MAX)
        self.world.pg.restart()
        ft.await_event("spool_room", timeout=90)
        self.world.publish(1000, first=501000)
        self.world.await_rows(1000, "message ~ '^numbered line 501[0-9]{3} '", timeout=90)
        self.assertEqual(ft.stop(), 0)
        gap, = [gap for gap in self.world.gaps() if gap["reason"] == "spool_full"]
        self.assertTrue(stopped - 10 < gap["start"] <= full < gap["end"])
        self.assertGreater(self.world.check_every_line_is_a_row_or_in_a_gap(502000), 0)

    def test_partitions_are_made_ahead(self):
        ft = self.world.flytrail().start()
        self.world.publish(1)
        self.world.await_rows(1)
        tomorrow = "to_regclass('flytrail.log_lines_' || " \
                   "to_char((now() AT TIME ZONE 'UTC') + interval '1 day', 'YYYYMMDD'))"
        lab.wait_for(lambda: self.world.pg.psql(f"SELECT {tomorrow}")[0][0], what="tomorrow")
        self.assertEqual(ft.events("partition_failed"), [])


if __name__ == "__main__":
    unittest.main()
