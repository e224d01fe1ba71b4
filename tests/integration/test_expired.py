"""What comes past keep_at_most is counted, not stored, and on record; all else is stored."""

import datetime
import json
import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402
import retention  # noqa: E402
import test_replay  # noqa: E402
import test_store  # noqa: E402
from backfill import iso_ns  # noqa: E402
from test_store import DAY  # noqa: E402

HOUR = DAY // 24
AT_MOST = 35
SECONDS_PER_DAY = 86400


def set_clock(pg, ahead):
    """Postgres's, as far as retention goes by it."""
    pg.psql("CREATE OR REPLACE FUNCTION flytrail.retention_now() RETURNS timestamptz LANGUAGE sql STABLE "
            f"SET search_path = pg_catalog, pg_temp AS $$ SELECT now() + interval '{ahead}' $$")


def set_limit(pg, days, kind="log_lines", room=5):
    pg.psql(f"SELECT flytrail.set_retention('{kind}', {days - room}, {days})")


class Store(test_store.StoreCase):
    def setUp(self):
        super().setUp()
        self.pg.psql("DELETE FROM flytrail.retention")
        self.addCleanup(set_clock, self.pg, "0 s")
        self.limit = time.time_ns() - AT_MOST * DAY

    def partition(self, ns, kind="log_lines"):
        self.pg.psql(f"SELECT flytrail.ensure_partition('{kind}', to_timestamp({ns / 1e9}))")

    def lines(self, d, count, ns):
        d.tell("lines", count, ns, 1000)

    def test_rows_past_the_limit_are_counted_and_the_rest_of_the_batch_is_stored(self):
        set_limit(self.pg, AT_MOST)
        d = self.connected()
        self.lines(d, 30, self.limit - 2 * HOUR)
        self.lines(d, 50, self.now)
        self.lines(d, 20, self.limit + HOUR)
        self.assertEqual(d.write(0), (70, 0, 0, 1))
        self.assertEqual(d.ask("late"), "ok 30 0 0 1 30 100")
        self.assertEqual(self.count("log_lines"), 70)
        self.assertEqual(self.cursor(), 100)

    def test_a_partition_that_is_there_still_gets_none_past_the_limit(self):
        self.partition(self.limit - 2 * HOUR)
        set_limit(self.pg, AT_MOST)
        d = self.connected()
        self.lines(d, 10, self.limit - 2 * HOUR)
        self.assertEqual(d.write(0), (0, 0, 0, 1))
        self.assertEqual(d.ask("late"), "ok 10 0 0 1 10 10")
        self.assertEqual(self.count("log_lines"), 0)
        self.assertEqual(self.cursor(), 10)

    def test_a_line_that_is_an_event_is_of_two_kinds(self):
        set_limit(self.pg, AT_MOST)
        d = self.connected()
        self.lines(d, 100, self.limit - HOUR)  # one of them an exit
        self.assertEqual(d.write(0), (0, 1, 0, 1))
        self.assertEqual(d.ask("late"), "ok 100 0 0 1 100 100")
        self.pg.psql("DELETE FROM flytrail.retention")
        set_limit(self.pg, 80, "operations", room=40)
        d.tell("clear", 101)
        self.lines(d, 100, time.time_ns() - 80 * DAY - HOUR)
        self.assertEqual(d.ask("connect"), "ok 100")
        self.assertEqual(d.write(100), (100, 0, 0, 1))
        self.assertEqual(d.ask("late"), "ok 0 0 1 0 0 200")

    def test_each_class_of_events_has_its_own_limit(self):
        ns = time.time_ns() - 90 * DAY
        for kind, late in (("security", "1 0"), ("operations", "0 1")):
            with self.subTest(kind=kind):
                self.setUp()
                set_limit(self.pg, 80, kind, room=40)
                d = self.connected()
                d.tell("line", ns, "ssh_session", "ssh_session.opened", "somebody came")
                d.tell("line", ns + 1, "exit", "exit.vm", "the machine ends")
                self.assertEqual(d.write(0), (2, 1, 0, 1))
                self.assertRegex(d.ask("late"), f"^ok 0 {late} ")

    def test_a_limit_that_is_set_while_rows_wait_is_met_where_no_partition_is_made(self):
        d = self.connected()
        set_limit(self.pg, AT_MOST)
        self.lines(d, 10, self.limit - 3 * DAY)
        self.lines(d, 5, self.now)
        self.assertEqual(d.write(0), (5, 0, 0, 1))
        self.assertEqual(d.ask("late"), "ok 10 0 0 1 10 15")

    def test_a_limit_that_is_gone_while_rows_wait_leaves_nothing_out(self):
        for change in ("DELETE FROM flytrail.retention", f"UPDATE flytrail.retention SET keep_at_most_days = {AT_MOST + 9}"):
            with self.subTest(change=change):
                self.setUp()
                set_limit(self.pg, AT_MOST)
                d = self.connected()
                self.pg.psql(change)
                self.lines(d, 10, self.limit - 3 * DAY)
                self.assertEqual(d.write(0), (10, 0, 0, 1))
                self.assertEqual(d.ask("late"), "ok 0 0 0 0 0 0")

    def test_one_clock_that_is_wrong_leaves_nothing_out(self):
        self.partition(self.limit + DAY)
        self.partition(self.limit - 3 * DAY)
        set_limit(self.pg, AT_MOST)
        for ahead, ns in (("100 days", self.limit + DAY), ("-100 days", self.limit - 3 * DAY)):
            with self.subTest(ahead=ahead):
                set_clock(self.pg, ahead)
                d = self.connected(stream=test_store.STREAM if ahead[0] == "-" else test_store.OTHER_STREAM)
                self.lines(d, 10, ns)
                self.assertEqual(d.write(0), (10, 0, 0, 1))
                self.assertEqual(d.ask("late"), "ok 0 0 0 0 0 0")

    def test_rows_that_postgres_alone_takes_for_late_are_waited_for_or_refused(self):
        set_limit(self.pg, AT_MOST)
        set_clock(self.pg, "100 days")
        d = self.connected()
        self.lines(d, 10, self.limit + DAY)
        self.assertRegex(d.write(0), "^reject Postgres's clock is ahead of this machine's: .*past keep_at_most")
        self.assertEqual(d.ask("late"), "ok 0 0 0 0 0 0")
        self.assertEqual(self.cursor(), 0)

    def test_rows_that_are_there_already_and_late_ones_go_through_the_staging_tables(self):
        set_limit(self.pg, AT_MOST)
        d = self.connected()
        self.lines(d, 10, self.now)
        self.assertEqual(d.write(0), (10, 0, 0, 1))
        d.tell("clear", 11)
        self.lines(d, 10, self.now)
        self.lines(d, 10, self.limit - HOUR)
        self.assertEqual(d.write(10), (0, 0, 10, 1))
        self.assertEqual(d.ask("late"), "ok 10 0 0 21 30 30")

    def test_past_the_cursor_it_is_refused(self):
        self.partition(self.limit - 2 * HOUR)
        set_limit(self.pg, AT_MOST)
        d = self.driver()
        d.tell("line", self.limit - 2 * HOUR, "app_log", "-", "a dead letter")
        self.assertEqual(d.ask("apart", 7), "ok")
        self.assertEqual(d.ask("settle"), "reject it is past keep_at_most of its kind")
        self.assertEqual(self.count("log_lines"), 0)
        d.tell("clear", 1)
        d.tell("line", self.limit + HOUR, "app_log", "-", "another")
        self.assertEqual(d.ask("apart", 8), "ok")
        self.assertEqual(d.ask("settle"), "ok 1 0 0")


class Trail(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())
        self.now = time.time_ns()

    def payload(self, n, days=0.0, provider="app", message=None):
        ns = self.now - int(days * DAY) + n
        return json.dumps({"event": {"provider": provider},
                           "fly": {"app": {"instance": "0e286551c30586", "name": "web-1"}, "region": "ams"},
                           "host": "0ad1", "log": {"level": "info"}, "message": message or f"line {n}",
                           "timestamp": iso_ns(ns)}, separators=(",", ":"))

    def file(self, lines):
        path = os.path.join(self.world.folder, "late.ndjson")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(line + "\n" for line in lines)
        return path

    def told(self):
        """Each fact: kind, rows, times in days ago, numbers."""
        rows = self.world.pg.psql(
            "SELECT attributes->>'kind', attributes->>'rows', "
            f"round(({self.now / 1e9} - extract(epoch FROM (attributes->>'occurred_start')::timestamptz)) / {SECONDS_PER_DAY}), "
            f"round(({self.now / 1e9} - extract(epoch FROM (attributes->>'occurred_end')::timestamptz)) / {SECONDS_PER_DAY}), "
            "attributes->>'first_seq', attributes->>'last_seq' FROM flytrail.events "
            "WHERE action = 'trail.expired' ORDER BY occurred_at")
        return [(kind, *map(int, numbers)) for kind, *numbers in rows]

    def told_rows(self):
        return sum(rows for _, rows, *_ in self.told())

    def metric(self, ft, kind):
        return ft.metric(f'expired_total{{kind="{kind}"}}')

    def test_a_late_file(self):
        set_limit(self.world.pg, AT_MOST)
        exited = "machine exited with exit code 0, not restarting"
        path = self.file([self.payload(n, days=60) for n in range(99)]
                         + [self.payload(99, days=50, provider="runner", message=exited)]
                         + [self.payload(n, days=1) for n in range(100, 150)])
        ft = self.world.flytrail(arguments=[path])
        ft.start(wait=False)
        self.assertEqual(ft.process.wait(lab.ENDED_SECONDS), 0)
        self.assertEqual(self.world.count(), 50)
        told = self.told()  # one fact, or more where the file comes in pieces
        self.assertEqual({fact[0] for fact in told}, {"log_lines"})
        self.assertEqual((self.told_rows(), told[0][2], told[-1][3]), (100, 60, 50))
        self.assertEqual(told[-1][5] - told[0][4], 99)
        self.assertEqual(self.world.pg.psql(
            "SELECT message FROM flytrail.events WHERE class <> 'trail'"), [[exited]])
        for (summary,), fact in zip(self.world.pg.psql(
                "SELECT summary FROM flytrail.events WHERE action = 'trail.expired' ORDER BY occurred_at"), told, strict=True):
            self.assertRegex(summary, f"^{fact[1]} rows of log_lines from .* to .* were past keep_at_most when they came")
        self.assertEqual([(e["kind"], e["rows"]) for e in ft.events("rows_expired")], [fact[:2] for fact in told])
        self.assertEqual(ft.events("dead_letter"), [])
        cursor = int(self.world.pg.psql("SELECT cursor_seq FROM flytrail.streams")[0][0])
        self.assertGreater(cursor, told[-1][5])

    def test_lines_that_come_late_again_and_again_are_a_fact_a_minute_and_at_the_end(self):
        set_limit(self.world.pg, AT_MOST)
        ft = self.world.flytrail().start()
        self.world.publish_lines([self.payload(0, days=60)])  # one, of which no part can be late
        lab.wait_for(self.told, what="the first fact")
        for batch in (1, 2, 3):
            self.world.publish_lines(self.payload(n, days=40) for n in range(100 * batch, 100 * batch + 7))
            lab.wait_for(lambda batch=batch: self.metric(ft, "log_lines") == 1 + 7 * batch, what="the metric")
        self.world.publish_lines([self.payload(1000)])
        self.world.await_rows(1, "app = 'web-1'")
        self.assertEqual([fact[:4] for fact in self.told()], [("log_lines", 1, 60, 60)])
        self.assertEqual((self.metric(ft, "security"), self.metric(ft, "operations")), (0, 0))
        self.assertEqual(ft.stop(), 0)
        self.assertEqual([fact[:4] for fact in self.told()], [("log_lines", 1, 60, 60), ("log_lines", 21, 40, 40)])

    def hold(self, event, condition):
        """A COMMIT of such rows waits until let_go()."""
        self.holder = retention.Session(self.world.pg.url())
        self.addCleanup(self.holder.close)
        self.holder.ask(f"""
            CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
            CREATE CONSTRAINT TRIGGER hold AFTER {event}
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION public.hold();
            SELECT pg_advisory_lock(1)""")

    def let_go(self):
        """Of the COMMIT, whose flytrail is not there any more; it is done when this returns."""
        self.holder.ask("SELECT pg_advisory_unlock(1)")
        lab.wait_for(lambda: not self.world.pg.psql("SELECT 1 FROM pg_stat_activity WHERE usename = 'flytrail_writer'"),
                     60, "the COMMIT")

    def cursor(self):
        return int(self.world.pg.psql("SELECT cursor_seq FROM flytrail.streams")[0][0])

    def await_commit(self):
        lab.wait_for(lambda: self.world.pg.psql(
            "SELECT 1 FROM pg_stat_activity WHERE query = 'COMMIT' AND state = 'active'"), 30, "the COMMIT")

    def begin_late(self):
        """A flytrail whose COMMIT of late lines and others is on its way."""
        set_limit(self.world.pg, AT_MOST)
        ft = self.world.flytrail().start()
        lab.wait_for(ft.is_well, what="the start to be stored")
        self.hold("UPDATE ON flytrail.streams", "old.cursor_seq < new.cursor_seq")
        self.world.publish_lines([self.payload(n, days=60) for n in range(25)]
                                 + [self.payload(n) for n in range(25, 40)])
        ft.await_accepted(40)
        noted = os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], "store-expired")
        lab.wait_for(lambda: os.path.exists(noted), 30, "the late lines to be noted")
        self.await_commit()
        return ft

    def end_late(self, ft):
        self.world.await_rows(15, "message LIKE 'line %'")
        # Where they came in pieces, what is left is told in a minute, or at the end.
        lab.wait_for(self.told, 60, "the fact")
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.count("message LIKE 'line %'"), 15)
        self.assertEqual(self.told_rows(), 25)

    def test_flytrail_is_killed_while_the_commit_goes_through(self):
        ft = self.begin_late()
        before = self.cursor()
        ft.kill()
        self.let_go()
        self.assertGreater(self.cursor(), before)
        ft.start()
        self.end_late(ft)

    def test_postgres_is_killed_before_the_commit(self):
        ft = self.begin_late()
        self.world.pg.crash()
        self.world.pg.restart()
        self.end_late(ft)

    def test_both_are_killed_before_the_commit_and_the_limit_goes(self):
        ft = self.begin_late()
        ft.kill()
        self.world.pg.crash()
        self.world.pg.restart()
        self.world.pg.psql("DELETE FROM flytrail.retention")
        ft.start()
        self.world.await_rows(40, "message LIKE 'line %'")
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.told(), [])

    def test_a_fact_is_told_once_when_flytrail_is_killed_while_it_is_stored(self):
        set_limit(self.world.pg, AT_MOST)
        ft = self.world.flytrail().start()
        self.hold("INSERT ON flytrail.events_security", "new.action = 'trail.expired'")
        self.world.publish_lines(self.payload(n, days=60) for n in range(25))
        ft.await_accepted(25)
        self.await_commit()
        ft.kill()
        self.let_go()
        self.assertEqual(len(self.told()), 1)
        ft.start()
        self.world.publish_lines([self.payload(1000)])
        self.world.await_rows(1, "app = 'web-1'")
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.told_rows(), 25)


class Replay(test_replay.ReplayCase):
    def test_what_is_past_keep_at_most_is_counted_and_not_stored(self):
        self.pg.psql("SELECT flytrail.set_retention('log_lines', 30, 35), flytrail.set_retention('security', 30, 70)")
        self.addCleanup(self.pg.psql, "DELETE FROM flytrail.retention")
        lab.begin_within(lab.HOUR)  # in which the limit stays
        limit = datetime.datetime.now(datetime.timezone.utc) - 35 * test_replay.DAY
        hour = limit.replace(minute=0, second=0, microsecond=0)
        end = hour + datetime.timedelta(minutes=59, seconds=59, microseconds=999999)
        self.put([self.line(hour), self.line(hour), self.line(end)], at=hour)
        self.put([self.line(hour - 9 * test_replay.DAY, app="web-2"), self.line(hour - 9 * test_replay.DAY)], at=hour - 9 * test_replay.DAY, span=(20, 21))
        self.put([self.event(hour)], at=hour, kind="security", span=(22, 22))
        status, out, error = self.replay()
        self.assertEqual((status, error), (0, ""), out)
        self.assertIn("2 rows added, 0 there already\n4 rows are past keep_at_most of their kind, and not stored\n", out)
        self.assertEqual(self.messages(), ["line 3"])
        self.assertEqual([(told["rows_added"], told["rows_there"], told["rows_expired"]) for told in self.recorded()],
                         [(0, 0, 0), (2, 0, 4)])
        self.assertIn("\n1 rows are past keep_at_most", self.replay("--app", "web-2")[1])
        self.assertNotIn(f"log_lines_{hour - 9 * test_replay.DAY:%Y%m%d}", str(self.partitions()))


if __name__ == "__main__":
    unittest.main()
