"""Facts that a taker has not taken yet, against a real Postgres: each comes once at least, and what was
taken never again, however the transactions of those who wrote them lie."""

import json
import os
import statistics
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from test_store import BUILD, STREAM, Driver, StoreCase  # noqa: E402

DRIVER = os.path.join(BUILD, "tests", "support", "fresh_driver")
S = 10**9
PAGE = 32
MARGIN_S = 600
OLDEST_DAYS = 20  # of the facts of most tests
HIGH = 4


class Taker:
    """The commands of tests/support/fresh_driver.c."""

    def __init__(self, url, name, least=0, which="all"):
        self.process = subprocess.Popen([DRIVER, url, name, str(least), which], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.unknown = 0

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer or answer[0] != "ok":
            raise AssertionError(" ".join(answer) or f"the driver ended with {self.process.wait()}")
        return [int(n) for n in answer[1:]]

    def read(self):
        count, self.unknown = self.ask("read")
        return [json.loads(self.process.stdout.readline()) for _ in range(count)]

    def take(self, count):
        self.ask("take", count)

    def drain(self):
        """All that there are, each taken."""
        facts = []
        while page := self.read():
            facts += page
            self.take(len(page))
        return facts

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        if self.process.wait() != 0:
            raise AssertionError("the driver failed")


class Case(StoreCase):
    def setUp(self):
        super().setUp()
        # Facts are of this month and, in its first days, of the one before, too.
        self.pg.psql(f"""TRUNCATE flytrail.fact_takers, flytrail.facts_taken;
                        SELECT flytrail.make_partitions_ahead();
                        SELECT flytrail.ensure_partition('security', now() - interval '{OLDEST_DAYS} days')""")

    def taker(self, name="told", **options):
        made = Taker(self.pg.url("flytrail_writer"), name, **options)
        self.addCleanup(made.close)
        return made

    def fact(self, action="trail.started", **columns):
        """A row of events, as the writer could insert it; its id."""
        row = {"class": action.split(".")[0], "occurred_at": "clock_timestamp()", "stored_at": "clock_timestamp()",
               "severity": HIGH, "seq": 1, "retention_class": "security", "observed_at": "now()", "not_after": "NULL",
               "time_basis": "observed", "actor_type": "flytrail", "trust": "self", "source": "trail", **columns}
        return self.pg.psql(f"""
            INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, not_after, time_basis, observed_at,
                stored_at, actor, actor_type, outcome, severity, trust, source, stream, seq)
            VALUES (gen_random_uuid(), '{row["retention_class"]}', '{row["class"]}', '{action}', {row["occurred_at"]},
                {row["not_after"]}, '{row["time_basis"]}', {row["observed_at"]}, {row["stored_at"]}, 'flytrail',
                '{row["actor_type"]}', 'unknown', {row["severity"]}, '{row["trust"]}', '{row["source"]}',
                '{STREAM}', {row["seq"]}) RETURNING event_id""")[0][0]

    def tell(self, sql="SELECT flytrail.set_retention('log_lines', 30, NULL)"):
        self.pg.psql(f"SET ROLE flytrail_owner; {sql}")

    def up_to_is_past(self, name, seconds):
        """As if the taker had come so far so long ago."""
        self.pg.psql(f"UPDATE flytrail.fact_takers SET up_to = now() - interval '{seconds} s' WHERE taker = '{name}'")

    def ids(self, facts):
        return [f["event_id"] for f in facts]


class All(Case):
    def test_it_begins_now_and_history_is_nobodys_news(self):
        self.fact()
        self.fact(occurred_at="now() - interval '3 days'", seq=0)
        t = self.taker()
        self.assertEqual(t.read(), [])
        new = [self.fact(), self.fact("ssh_session.opened"), self.fact(seq=0)]
        self.assertEqual(self.ids(t.read()), new)

    def test_what_is_not_taken_comes_again_and_what_is_never_does(self):
        t = self.taker()
        t.read()
        first, second, third = self.fact(), self.fact(), self.fact()
        self.assertEqual(self.ids(t.read()), [first, second, third])
        t.take(2)
        self.assertEqual(self.ids(t.read()), [third])
        again = self.taker()  # a restart, which knows what the one before it took
        self.assertEqual(self.ids(again.read()), [third])
        again.take(1)
        self.assertEqual(again.read(), [])
        self.assertEqual(self.taker("another").read(), [])

    def test_other_classes_severities_and_times_are_left_out(self):
        t = self.taker(least=HIGH)
        t.read()
        self.fact("cert.issued", **{"class": "cert"})
        self.fact("exit.main_child", retention_class="operations")
        self.fact(severity=HIGH - 1)
        self.fact(occurred_at="now() - interval '9 days'")  # as a replay brings it
        wanted = [self.fact("deploy.machine_started", severity=HIGH), self.fact("access.token_created", severity=HIGH + 1),
                  self.fact("secret_change.set"), self.fact(occurred_at="now() - interval '7 days'")]
        self.assertEqual(sorted(self.ids(t.read())), sorted(wanted))

    def test_many_come_in_pages_in_the_order_in_which_they_were_stored(self):
        t = self.taker()
        t.read()
        facts = [self.fact(stored_at=f"clock_timestamp() - interval '{90 - i} s'") for i in range(PAGE + 5)]
        page = t.read()
        self.assertEqual(self.ids(page), facts[:PAGE])
        t.take(PAGE)
        self.assertEqual(self.ids(t.read()), facts[PAGE:])

    def test_what_a_long_transaction_stored_is_not_missed(self):
        """Its rows have the time of its begin, and are there when it ends: up_to is past that by then."""
        t = self.taker()
        t.read()
        late = self.fact(stored_at=f"now() - interval '{MARGIN_S - 20} s'")
        self.assertEqual(self.ids(t.read()), [late])
        too_late = self.fact(stored_at=f"now() - interval '{MARGIN_S + 20} s'")
        self.assertNotIn(too_late, self.ids(t.read()))  # which nothing of flytrail's does

    def test_a_transaction_that_is_open_while_others_are_taken(self):
        t = self.taker()
        t.read()
        open_one = subprocess.Popen(["psql", "-qAtX", "-d", self.pg.url()], text=True, bufsize=1,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(open_one.wait)
        self.addCleanup(open_one.stdin.close)
        self.addCleanup(open_one.stdout.close)
        open_one.stdin.write("""BEGIN; SET ROLE flytrail_owner;
            SELECT flytrail.add_hold('web-1', NULL, NULL, NULL, NULL, 'a suit');\n""")
        hold = open_one.stdout.readline().strip()
        other = self.fact()
        self.assertEqual(self.ids(t.drain()), [other])
        self.pg.psql("UPDATE flytrail.fact_takers SET up_to = up_to - interval '2 minutes'")
        self.assertEqual(t.read(), [])  # which moves up_to past the begin of the open one
        open_one.stdin.write("COMMIT; SELECT 'done';\n")
        self.assertEqual(open_one.stdout.readline().strip(), "done")
        fact, = t.read()
        self.assertEqual((fact["action"], fact["target"]), ("trail.hold_added", hold))

    def test_what_came_by_no_spool_is_new_however_long_its_transaction_was(self):
        t = self.taker()
        t.read()
        told = self.fact(stored_at="now() - interval '2 days'", seq=0)
        self.assertEqual(self.ids(t.drain()), [told])
        self.assertEqual(t.read(), [])

    def test_up_to_moves_when_nothing_is_left_and_what_no_read_gives_any_more_is_forgotten(self):
        t = self.taker()
        t.read()
        new = self.fact()
        old = self.fact(occurred_at="now() - interval '7 days 23 hours'")
        t.read()
        t.take(2)
        taken = "SELECT event_id FROM flytrail.facts_taken ORDER BY 1"
        self.up_to_is_past("told", 300)
        self.fact()
        t.read()
        self.assertLess(self.behind("told"), 400)
        self.assertGreater(self.behind("told"), 250)  # there is one to take
        t.take(1)
        self.pg.psql(f"UPDATE flytrail.facts_taken SET occurred_at = occurred_at - interval '2 days' WHERE event_id = '{old}'")
        t.read()
        self.assertLess(self.behind("told"), 60)
        self.assertNotIn([old], self.pg.psql(taken))
        self.assertIn([new], self.pg.psql(taken))

    def behind(self, name):
        return float(self.pg.psql(f"SELECT extract(epoch FROM now() - up_to) FROM flytrail.fact_takers WHERE taker = '{name}'")[0][0])

    def test_a_clock_that_goes_back_hides_nothing(self):
        """The server's, or another server's that took over: up_to is ahead of it."""
        t = self.taker()
        t.read()
        known = self.fact()
        self.assertEqual(self.ids(t.drain()), [known])
        self.up_to_is_past("told", -7200)
        since = self.fact(stored_at="now() - interval '1 hour'")  # while nobody looked
        new = self.fact()
        self.assertEqual(self.ids(t.drain()), [since, new])
        self.assertEqual(t.read(), [])
        self.assertLess(abs(self.behind("told")), 60)

    def test_no_time_that_somebody_forged_stops_a_read(self):
        """The writer's password can insert it, and nothing takes it out of the trail again."""
        t = self.taker()
        t.read()
        forged = [self.fact(observed_at="'infinity'"), self.fact(not_after="'-infinity'"),
                  self.fact(not_after="'infinity'"), self.fact(observed_at="'294000-01-01'")]
        self.assertEqual(sorted(self.ids(t.drain())), sorted(forged))
        new = self.fact()
        self.assertEqual(self.ids(t.drain()), [new])

    def test_words_of_a_newer_flytrail_are_left_to_it_and_hold_up_nobody(self):
        t = self.taker()
        t.read()
        self.up_to_is_past("told", 300)
        for _ in range(PAGE + 1):
            self.fact("trail.from_the_future")
        known = self.fact()
        self.assertEqual(self.ids(t.read()), [known])
        self.assertEqual(t.unknown, PAGE - 1)
        t.take(1)
        self.assertEqual(t.read(), [])
        self.assertEqual(t.unknown, PAGE)
        self.assertGreater(self.behind("told"), 250)

    def test_no_word_that_is_unknown_holds_up_what_is_known(self):
        for word in ("actor_type", "trust", "source", "time_basis"):
            with self.subTest(word):
                t = self.taker(word)
                t.read()
                for _ in range(PAGE + 1):
                    self.fact(**{word: "from_the_future"})
                known = self.fact()
                self.assertEqual(self.ids(t.read()), [known])
                self.assertEqual(t.unknown, PAGE - 1)

    def test_a_read_looks_at_what_is_new_and_not_at_all_of_its_days(self):
        self.pg.psql(f"""
            INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis, observed_at,
                stored_at, actor, actor_type, outcome, severity, trust, source, stream, seq)
            SELECT gen_random_uuid(), 'security', 'deploy', 'deploy.machine_started', now(), 'observed', now(),
                now() - interval '1 day', 'flytrail', 'flytrail', 'unknown', 1, 'api', 'nats', '{STREAM}', 1
            FROM generate_series(1, 20000);
            ANALYZE flytrail.events_security""")
        t = self.taker()
        t.read()
        before = self.rows_looked_at()
        t.read()
        self.fact()
        self.assertEqual(len(t.drain()), 1)
        lab.wait_for(lambda: self.rows_looked_at() != before, what="the server's statistics")
        self.assertLess(self.rows_looked_at() - before, 1000)

    def rows_looked_at(self):
        return int(self.pg.psql("""
            SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname LIKE 'events_security_%')
                + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname LIKE 'events_security_%')""")[0][0])


class Apart(Case):
    def taker(self, name="spool", **options):
        return super().taker(name, which="apart", **options)

    def test_it_begins_with_all_that_there_are(self):
        self.pg.psql("SELECT flytrail.ensure_partition('security', now() - interval '700 days')")
        old = self.fact(occurred_at="now() - interval '700 days'", stored_at="now() - interval '700 days'", seq=0)
        self.fact()
        self.tell()
        facts = self.taker().drain()
        self.assertEqual(facts[0]["event_id"], old)
        self.assertEqual([f["action"] for f in facts[1:]], ["trail.retention_changed"])

    def test_one_is_new_however_long_ago_it_says_it_was_stored(self):
        t = self.taker()
        self.assertEqual(t.drain(), [])
        ago = f"now() - interval '{OLDEST_DAYS} days'"
        late = self.fact(occurred_at=ago, stored_at=ago, seq=0)
        self.assertEqual(self.ids(t.drain()), [late])
        self.assertEqual(t.drain(), [])
        self.assertEqual(self.taker().drain(), [])

    def test_every_column_comes_as_it_is(self):
        self.tell("SELECT flytrail.add_hold('web-1', 'Ann@Example.com', 'ssh_session', now() - interval '1 day', NULL, "
                  "'a \"suit\": x,  y \\ z')")
        fact, = self.taker().read()
        row, = self.pg.psql(f"SELECT to_jsonb(e) FROM flytrail.events e WHERE event_id = '{fact['event_id']}'")
        row = json.loads(row[0])
        for only_in_rows in ("stored_at", "stream", "seq"):
            del row[only_in_rows]
        self.assertEqual(set(row), set(fact))
        for column, value in row.items():
            if column in ("occurred_at", "observed_at"):
                value = self.pg.psql("SET timezone = 'UTC'; SELECT to_char('%s'::timestamptz, "
                                     "'YYYY-MM-DD\"T\"HH24:MI:SS.US') || '000Z'" % value)[0][0]
            self.assertEqual(fact[column], value, column)
        self.assertEqual(fact["attributes"]["reason"], 'a "suit": x,  y \\ z')

    def test_rights_are_the_writers_alone(self):
        for role in ("flytrail_reader", "flytrail_line_reader"):
            for table in ("fact_takers", "facts_taken"):
                with self.assertRaisesRegex(lab.LabError, "permission denied"):
                    self.pg.psql(f"SELECT * FROM flytrail.{table}", role=role)

    def test_time_of_a_read(self):
        """Of a trail of many years it takes milliseconds: it is asked again and again."""
        for month in range(24):
            self.pg.psql(f"SELECT flytrail.ensure_partition('security', now() - interval '{month} months')")
        t = self.taker()
        t.drain()
        took = []
        for _ in range(11):
            start = time.monotonic()
            self.assertEqual(t.read(), [])
            took.append(time.monotonic() - start)
        # On a machine that is busy with other tests single ones may stand still, whatever they read.
        self.assertLess(statistics.median(took), 0.5)


if __name__ == "__main__":
    unittest.main()
