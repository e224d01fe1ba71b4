"""The store against a real Postgres: what it writes, what it refuses, and how it comes back."""

import os
import socket
import subprocess
import sys
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402

BUILD = os.environ.get("BUILD", os.path.join(ROOT, "build"))
FLYTRAIL = os.path.join(BUILD, "flytrail")
DRIVER = os.path.join(BUILD, "tests", "support", "store_driver")
STREAM = "11111111-2222-4333-8444-555555555555"
OTHER_STREAM = "66666666-7777-4888-9999-aaaaaaaaaaaa"
DAY = 86400 * 10**9
STAGED_BATCHES = 33  # the batch that met a duplicate, and 32 more


def migrate(pg, **environment):
    return subprocess.run(
        [FLYTRAIL, "migrate"], capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "FLYTRAIL_ADMIN_DATABASE_URL": pg.url(), **environment})


class Driver:
    """One store; every method is a command of tests/support/store_driver.c."""

    def __init__(self, url, stream=STREAM, epoch=1):
        self.process = subprocess.Popen([DRIVER, url, stream, str(epoch)], text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def ask(self, *words):
        self.tell(*words)
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise AssertionError(f"the driver ended with {self.process.wait()}")
        return answer

    def write(self, after, *range_of):
        """Lines, events, duplicates and calls of meanwhile; or the error as a text."""
        answer = self.ask("write", after, *range_of)
        if not answer.startswith("ok"):
            return answer
        return tuple(map(int, answer.split()[1:5]))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        if self.process.wait() != 0:
            raise AssertionError("the driver failed")


class StoreCase(unittest.TestCase):
    """A database of its own in one server a class."""

    @classmethod
    def setUpClass(cls):
        cls.pg = lab.Postgres(settings=["log_statement = 'mod'"])
        cls.addClassCleanup(cls.pg.close)
        cls.pg.start()
        done = migrate(cls.pg)
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def setUp(self):
        self.now = time.time_ns() // DAY * DAY + DAY // 2  # at noon: no test crosses midnight
        self.pg.psql("""
            ALTER TABLE flytrail.log_lines DISABLE TRIGGER ALL;
            ALTER TABLE flytrail.events DISABLE TRIGGER ALL;
            TRUNCATE flytrail.streams;
            SELECT format('DROP TABLE %s', inhrelid::regclass) FROM pg_inherits
            WHERE inhparent IN ('flytrail.log_lines'::regclass, 'flytrail.events_security'::regclass,
                'flytrail.events_operations'::regclass, 'flytrail.confirmations'::regclass) \\gexec
            ALTER TABLE flytrail.log_lines ENABLE TRIGGER ALL;
            ALTER TABLE flytrail.events ENABLE TRIGGER ALL;""")

    def driver(self, role="flytrail_writer", database="postgres", **options):
        made = Driver(self.pg.url(role, database), **options)
        self.addCleanup(made.close)
        return made

    def connected(self, **options):
        made = self.driver(**options)
        self.assertRegex(made.ask("connect"), r"^ok \d+$")
        return made

    def count(self, table):
        return int(self.pg.psql(f"SELECT count(*) FROM flytrail.{table}")[0][0])

    def cursor(self, stream=STREAM):
        return int(self.pg.psql(
            f"SELECT cursor_seq FROM flytrail.streams WHERE stream = '{stream}'")[0][0])


class Writing(StoreCase):
    def test_rows_and_cursor_are_one_transaction(self):
        d = self.connected()
        d.tell("lines", 1000, self.now, 1000)
        d.tell("event", self.now)
        self.assertEqual(d.write(0), (1000, 11, 0, 1))
        self.assertEqual(self.count("log_lines"), 1000)
        self.assertEqual(self.count("events"), 11)
        self.assertEqual(self.cursor(), 1001)
        self.assertEqual(d.ask("connect"), "ok 1001")

    def test_every_column_comes_back_as_it_went(self):
        d = self.connected()
        d.tell("line", self.now + 123456789, "exit", "exit.main_child", "it ended \\x1b")
        self.assertEqual(d.write(0), (1, 1, 0, 1))
        row = self.pg.psql("""
            SELECT extract(epoch FROM occurred_at) * 1000000 - %d, occurred_ns,
                observed_at - occurred_at, source, org, app, region, machine_id, host, provider,
                level, class, action, message, raw, attributes, stream, seq
            FROM flytrail.log_lines""" % (self.now // 1000))[0]
        self.assertEqual(row, ["123456.000000", "789", "00:00:00.001", "file", "example-org", "web-1",
                               "ams", "0e286551c30586", "0ad1", "app", "info", "exit",
                               "exit.main_child", "it ended \\x1b", None, '{"exit_code": 1}', STREAM,
                               "1"])
        row = self.pg.psql("""
            SELECT e.event_id = l.id AND e.occurred_at = l.occurred_at AND e.message = l.message,
                e.retention_class, e.actor, e.actor_reason, e.trust, e.rule, e.outcome, e.not_after,
                e.stored_at > now() - interval '1 minute'
            FROM flytrail.events e, flytrail.log_lines l""")[0]
        self.assertEqual(row, ["t", "operations", "unknown", "nothing names who did it", "guest",
                               "driver", "success", None, "t"])

    def test_what_is_there_already_is_not_written_twice(self):
        d = self.connected()
        d.tell("lines", 500, self.now, 1000)
        self.assertEqual(d.write(0), (500, 5, 0, 1))
        other = self.connected(stream=OTHER_STREAM)
        other.tell("lines", 700, self.now, 1000)  # 500 of them are the same lines
        self.assertEqual(other.write(0), (200, 2, 505, 1))
        self.assertEqual(self.count("log_lines"), 700)
        self.assertEqual(self.count("events"), 7)
        self.assertEqual(self.cursor(OTHER_STREAM), 700)
        self.assertEqual(self.pg.psql("SELECT DISTINCT stream, count(*) FROM flytrail.log_lines "
                                      "GROUP BY stream ORDER BY stream"),
                         [[STREAM, "500"], [OTHER_STREAM, "200"]])

    def test_after_a_duplicate_the_staging_tables_serve_a_while(self):
        d = self.connected()
        d.tell("lines", 1, self.now, 1000)
        d.write(0)
        d.tell("clear", 2)
        d.tell("lines", 2, self.now, 1000)
        self.assertEqual(d.write(1), (1, 0, 1, 1))
        seq = 3
        for batch in range(STAGED_BATCHES + 2):
            d.tell("clear", seq + 1)
            d.tell("lines", 2, self.now + (batch + 1) * 10**6, 1000)
            before = self.staged()
            self.assertEqual(d.write(seq), (2, 0, 0, 1))
            self.assertEqual(self.staged() > before, batch < STAGED_BATCHES - 1, batch)
            seq += 2
        self.assertEqual(self.cursor(), seq)

    def staged(self):
        """How often a batch has gone through the staging tables, as the server's log has it."""
        return self.pg.log().count("COPY pg_temp.staged_lines")

    def test_a_line_twice_in_one_batch_is_one_row(self):
        d = self.connected()
        for _ in range(3):
            d.tell("line", self.now, "exit", "exit.vm", "the same line")
        self.assertEqual(d.write(0), (1, 1, 4, 1))
        self.assertEqual(self.cursor(), 3)

    def test_partitions_are_made_when_they_are_needed(self):
        d = self.connected()
        for days in (0, 1, 40, 200, 395):
            d.tell("line", self.now - days * DAY, "exit", "exit.vm", "the machine ends")
        d.tell("line", self.now + DAY, "app_log", "-", "from a clock that is fast")
        d.tell("event", self.now - 70 * DAY)
        self.assertEqual(d.write(0), (6, 6, 0, 1))
        names = [row[0] for row in self.pg.psql(
            "SELECT inhrelid::regclass::text FROM pg_inherits "
            "WHERE inhparent = 'flytrail.log_lines'::regclass")]
        for days in (0, 1, 40, 200, 395, -1):
            day = time.strftime("%Y%m%d", time.gmtime((self.now - days * DAY) / 10**9))
            self.assertIn(f"flytrail.log_lines_{day}", names)
        self.assertEqual(len(names), 6)

    def test_partitions_are_made_whatever_isolation_a_role_has_by_default(self):
        self.pg.psql("ALTER ROLE flytrail_writer SET default_transaction_isolation = 'serializable'")
        self.addCleanup(self.pg.psql, "ALTER ROLE flytrail_writer RESET ALL")
        d = self.connected()
        d.tell("line", self.now, "app_log", "-", "one")
        self.assertEqual(d.write(0), (1, 0, 0, 1))

    def test_a_partition_is_made_in_the_staging_path_too(self):
        d = self.connected()
        d.tell("line", self.now, "app_log", "-", "one")
        d.write(0)
        d.tell("line", self.now - 3 * DAY, "app_log", "-", "two")
        self.assertEqual(d.write(1, 1, 1), (1, 0, 0, 1))
        self.assertEqual(self.count("log_lines"), 2)

    def test_partitions_are_made_ahead(self):
        d = self.connected()
        self.assertEqual(d.ask("partitions"), "ok")
        self.assertEqual(d.ask("partitions"), "ok")
        self.assertEqual(int(self.pg.psql("SELECT count(*) FROM pg_inherits i JOIN pg_class c "
                                          "ON c.oid = i.inhrelid AND c.relkind = 'r'")[0][0]), 4 + 6 + 3)

    def test_an_empty_range_of_kinds_moves_the_cursor(self):
        d = self.connected()
        d.tell("event", self.now)
        self.assertEqual(d.write(0), (0, 1, 0, 1))
        self.assertEqual(self.cursor(), 1)


class Refused(StoreCase):
    def test_a_row_that_postgres_cannot_hold_is_found_by_halving(self):
        d = self.connected()
        d.tell("lines", 10, self.now, 1000)
        d.tell("bytes")
        d.tell("lines", 10, self.now + 10**6, 1000)
        self.assertEqual(d.write(0), "reject Postgres refuses a row: SQLSTATE 22021")
        self.assertEqual(self.count("log_lines"), 0)
        self.assertEqual(d.write(0, 0, 10), (10, 0, 0, 1))  # the connection still serves
        self.assertRegex(d.write(10, 10, 1), "^reject ")
        self.assertEqual(d.write(10, 11, 10), (10, 0, 0, 1))
        self.assertEqual(self.cursor(), 21)

    def test_a_payload_that_is_none_is_refused_before_it_is_sent(self):
        d = self.connected()
        d.tell("lines", 3, self.now, 1000)
        d.tell("garbage")
        self.assertRegex(d.write(0), "^reject a record of the spool")
        self.assertEqual(d.write(0, 0, 3), (3, 0, 0, 1))

    def test_a_payload_that_is_cut_is_refused_and_the_connection_still_serves(self):
        d = self.connected()
        d.tell("lines", 1000, self.now, 1000)
        d.tell("cut", self.now + 10_000_000)
        self.assertRegex(d.write(0), "^reject a record of the spool")
        self.assertEqual(self.count("log_lines"), 0)
        self.assertEqual(d.write(0, 0, 1000), (1000, 10, 0, 1))
        self.assertEqual(self.count("log_lines"), 1000)

    def test_a_time_that_no_partition_is_made_for_is_refused(self):
        d = self.connected()
        d.tell("line", self.now - 2000 * DAY, "app_log", "-", "very old")
        self.assertRegex(d.write(0), "^reject make a partition of log_lines")
        d.tell("line", self.now, "app_log", "-", "new")
        self.assertEqual(d.write(0, 1, 1), (1, 0, 0, 1))

    def test_two_writers_of_one_stream_cannot_both_win(self):
        first, second = self.connected(), self.connected()
        for d in (first, second):
            d.tell("lines", 5, self.now, 1000)
        self.assertEqual(first.write(0), (5, 0, 0, 1))
        self.assertRegex(second.write(0), f"^retry Postgres has another position for spool {STREAM}")
        self.assertRegex(second.write(0), "^retry not connected")
        self.assertRegex(first.write(3), "^retry Postgres has another position")
        self.assertEqual(self.cursor(), 5)
        self.assertEqual(self.count("log_lines"), 5)

    def test_the_record_behind_the_cursor_is_known_again(self):
        d = self.connected()
        self.assertEqual(d.ask("mark"), "ok 0")
        d.tell("lines", 3, self.now, 1000)
        self.assertEqual(d.write(0), (3, 0, 0, 1))
        self.assertEqual(self.pg.psql("SELECT cursor_mark FROM flytrail.streams"),
                         [["3:0000000300000007"]])
        self.assertEqual(d.ask("connect"), "ok 3")
        self.assertEqual(d.ask("mark"), "ok 300000007")
        # An older flytrail moves the cursor and leaves the mark.
        self.pg.psql("UPDATE flytrail.streams SET cursor_seq = 2")
        self.assertEqual(d.ask("connect"), "ok 2")
        self.assertEqual(d.ask("mark"), "ok 0")

    def test_an_older_epoch_is_a_copied_volume(self):
        self.connected(epoch=3)
        self.assertRegex(self.driver(epoch=2).ask("connect"),
                         "^config .* has epoch 2 here and 3 in Postgres: this volume was copied")
        newer = self.driver(epoch=4)
        self.assertEqual(newer.ask("connect"), "ok 0")
        self.assertEqual(self.pg.psql("SELECT epoch FROM flytrail.streams"), [["4"]])

    def test_a_role_without_rights_is_told_apart(self):
        self.assertRegex(self.driver(role="flytrail_reader").ask("connect"),
                         "^config .*permission denied for table schema_version")
        self.assertRegex(self.driver(role="nobody_there").ask("connect"),
                         "^config cannot connect to Postgres by FLYTRAIL_DATABASE_URL: .*"
                         'role "nobody_there" does not exist')

    def test_a_database_without_the_schema_says_what_to_run(self):
        self.assertRegex(self.driver(database="template1").ask("connect"),
                         "^config this database has no schema flytrail: run `flytrail migrate`")
        self.assertRegex(self.driver(database="no_such_db").ask("connect"),
                         '^config .*database "no_such_db" does not exist')


class Away(StoreCase):
    """Postgres goes away in each of its ways; nothing is lost, nothing is doubled."""

    def tearDown(self):
        if not self.pg.is_running():
            self.pg.restart()

    def write_until_done(self, d, after):
        def done():
            answer = d.ask("connect")
            if not answer.startswith("ok"):
                self.assertRegex(answer, "^retry ")
                return None
            if int(answer.split()[1]) != after:
                return answer
            return d.write(after)

        return lab.wait_for(done, 30, "the write to go through")

    def test_a_restart(self):
        d = self.connected()
        d.tell("lines", 100, self.now, 1000)
        self.pg.stop()
        self.assertRegex(d.write(0), "^retry ")
        self.assertRegex(d.ask("connect"), "^retry cannot connect")
        self.pg.restart()
        self.assertEqual(self.write_until_done(d, 0), (100, 1, 0, 1))

    def test_a_crash_in_the_middle_of_batches(self):
        d = self.connected()
        seq = 0
        for round_number in range(3):
            killer = threading.Timer(0.05 * (round_number + 1), self.pg.crash)
            killer.start()
            while True:
                d.tell("clear", seq + 1)
                d.tell("lines", 5000, self.now + seq * 1000, 1000)
                answer = d.write(seq)
                if isinstance(answer, str):
                    self.assertRegex(answer, "^retry ")
                    break
                seq += 5000
            killer.join()
            self.pg.restart()
            seq = int(lab.wait_for(lambda: self.ok_words(d.ask("connect")), 30)[1])
            self.assertEqual(self.count("log_lines"), seq)
            self.assertEqual(self.count("events"), seq // 100)

    @staticmethod
    def ok_words(answer):
        return answer.split() if answer.startswith("ok") else None

    def test_a_session_that_is_ended_by_an_administrator(self):
        d = self.connected()
        d.tell("lines", 100, self.now, 1000)
        self.pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                     "WHERE usename = 'flytrail_writer'")
        self.assertRegex(d.write(0), "^retry ")
        self.assertEqual(self.write_until_done(d, 0), (100, 1, 0, 1))

    def test_a_read_only_database(self):
        d = self.connected()
        d.tell("lines", 10, self.now, 1000)
        self.pg.psql("ALTER DATABASE postgres SET default_transaction_read_only = true")
        self.addCleanup(self.pg.psql,
                        "SET default_transaction_read_only = false; "
                        "ALTER DATABASE postgres RESET default_transaction_read_only")
        self.assertRegex(d.ask("connect"), "^retry cannot connect to Postgres by "
                                           "FLYTRAIL_DATABASE_URL: .*read-only")

    def test_a_session_that_turns_read_only(self):
        d = self.connected()
        d.tell("lines", 10, self.now, 1000)
        self.pg.psql("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()")
        try:
            lab.wait_for(lambda: self.pg.psql("SHOW default_transaction_read_only") == [["on"]])
            answer = lab.wait_for(lambda: (lambda a: a if isinstance(a, str) else None)(d.write(0)), 60)
        finally:
            self.pg.psql("SET default_transaction_read_only = off; "
                         "ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()")
        self.assertRegex(answer, "^retry .*25006|^config Postgres has another position")

    def test_a_hung_server_is_given_up_in_time(self):
        """While connecting, that is; for the rest tests/unit/test_session.c has a shorter limit."""
        d = self.driver()
        self.pg.pause()
        try:
            start = time.monotonic()
            self.assertRegex(d.ask("connect"), "^retry connect by FLYTRAIL_DATABASE_URL: "
                                               "Postgres did not answer in time")
            self.assertLess(time.monotonic() - start, 15)
        finally:
            self.pg.resume()
        self.assertEqual(d.ask("connect"), "ok 0")

    def test_a_server_that_hangs_for_a_moment_is_waited_for(self):
        d = self.connected()
        d.tell("lines", 20000, self.now, 1000)
        self.pg.pause()
        waker = threading.Timer(1.5, self.pg.resume)
        waker.start()
        self.assertEqual(d.write(0), (20000, 200, 0, 1))
        waker.join()

    def test_a_port_that_says_nothing_is_given_up_in_time(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            d = Driver(f"postgres://x@127.0.0.1:{silent.getsockname()[1]}/x")
            self.addCleanup(d.close)
            start = time.monotonic()
            self.assertRegex(d.ask("connect"), "^retry ")
            self.assertLess(time.monotonic() - start, 15)

    def test_of_several_hosts_the_one_that_writes_is_taken(self):
        standby = self.pg.standby()
        self.addCleanup(standby.close)
        standby.start()
        url = (f"postgres://flytrail_writer@127.0.0.1:{lab.free_port()},127.0.0.1:{standby.port},"
               f"127.0.0.1:{self.pg.port}/postgres")
        d = Driver(url)
        self.addCleanup(d.close)
        self.assertEqual(d.ask("connect"), "ok 0")

    def test_a_failover_to_a_lagging_standby_takes_the_cursor_back(self):
        d = self.connected()
        d.tell("lines", 100, self.now, 1000)
        self.assertEqual(d.write(0), (100, 1, 0, 1))
        standby = self.pg.standby()
        self.addCleanup(standby.close)
        standby.start()
        lab.wait_for(lambda: standby.psql("SELECT cursor_seq FROM flytrail.streams") == [["100"]])
        standby.pause()
        d.tell("clear", 101)
        d.tell("lines", 100, self.now + 10**6, 1000)
        self.assertEqual(d.write(100), (100, 1, 0, 1))
        self.pg.crash()
        standby.resume()
        standby.promote()
        after = Driver(standby.url("flytrail_writer"))
        self.addCleanup(after.close)
        cursor = int(after.ask("connect").split()[1])
        self.assertIn(cursor, (100, 200))  # what the standby had received before it was paused
        if cursor == 100:
            after.tell("clear", 101)
            after.tell("lines", 100, self.now + 10**6, 1000)
            self.assertEqual(after.write(100), (100, 1, 0, 1))
        self.assertEqual(standby.psql("SELECT count(*) FROM flytrail.log_lines"), [["200"]])


if __name__ == "__main__":
    unittest.main()
