"""Rows that come to Postgres past the spool's order, against a real one."""

import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import test_store  # noqa: E402
from test_store import DAY, OTHER_STREAM, STREAM  # noqa: E402


class Apart(test_store.StoreCase):
    def setUp(self):
        super().setUp()
        self.d = self.driver()

    def apart(self, seq, *commands):
        """Adds what the commands make; the driver's answer."""
        self.d.tell("clear", 1)
        for command in commands:
            self.d.tell(*command)
        return self.d.ask("apart", seq)

    def numbers(self, table):
        return [int(seq) for seq, in self.pg.psql(
            f"SELECT seq FROM flytrail.{table} WHERE stream = '{STREAM}' ORDER BY seq")]

    def test_lines_and_events_get_the_stream_and_numbers_that_were_said(self):
        self.assertEqual(self.apart(41, ("line", self.now, "exit", "exit.main_child", "it ended"),
                                    ("event", self.now)), "ok")
        self.assertEqual(self.count("log_lines"), 0)
        self.assertEqual(self.d.ask("settle"), "ok 1 2 0")
        self.assertEqual(self.numbers("log_lines"), [41])
        self.assertEqual(self.numbers("events"), [41, 42])
        self.assertEqual(self.pg.psql(
            "SELECT count(*) FROM flytrail.events WHERE stored_at > now() - interval '1 min'"),
            [["2"]])

    def test_no_stream_is_made_and_no_cursor_moves(self):
        other = self.connected(stream=OTHER_STREAM)
        other.tell("line", self.now, "app_log", "-", "in order")
        self.assertEqual(other.write(0), (1, 0, 0, 1))
        before = self.pg.psql("SELECT * FROM flytrail.streams")
        self.apart(7, ("line", self.now, "app_log", "-", "apart"))
        self.assertEqual(self.d.ask("settle"), "ok 1 0 0")
        self.assertEqual(self.pg.psql("SELECT * FROM flytrail.streams"), before)

    def test_what_is_there_already_is_left_as_it_is(self):
        line = ("line", self.now, "exit", "exit.main_child", "it ended")
        self.apart(1, line)
        self.assertEqual(self.d.ask("settle"), "ok 1 1 0")
        self.apart(9, line, ("line", self.now + 1, "app_log", "-", "another"))
        self.assertEqual(self.d.ask("settle"), "ok 1 0 2")
        self.assertEqual(self.numbers("log_lines"), [1, 10])

    def test_many_batches_are_one_transaction_and_equal_ones_one_row(self):
        self.apart(1, ("lines", 20000, self.now, 1000))
        self.assertEqual(self.d.ask("apart", 1), "ok")  # the same once more
        self.assertEqual(self.apart(50000, ("lines", 15000, self.now + DAY // 4, 1000)), "ok")
        self.assertEqual(self.count("log_lines"), 0)
        self.assertEqual(self.d.ask("settle"), "ok 35000 350 20200")
        self.assertEqual(self.count("log_lines"), 35000)

    def test_partitions_are_made_where_there_are_none(self):
        self.apart(1, ("lines", 3, self.now - 40 * DAY, DAY))
        self.assertEqual(self.d.ask("settle"), "ok 3 0 0")

    def test_a_time_that_no_partition_is_made_for_is_refused(self):
        self.apart(1, ("line", self.now - 900 * DAY, "app_log", "-", "old"))
        self.assertRegex(self.d.ask("settle"), "^reject ")
        self.apart(1, ("line", self.now, "app_log", "-", "new"))
        self.assertEqual(self.d.ask("settle"), "ok 1 0 0")

    def test_one_record_that_is_refused_keeps_all_of_its_transaction_out(self):
        for refused in (("bytes",), ("garbage",), ("cut", self.now)):
            self.apart(1, ("line", self.now, "app_log", "-", "good"), refused)
            self.assertRegex(self.d.ask("settle"), "^reject ")
            self.assertEqual(self.count("log_lines"), 0)
        self.apart(1, ("line", self.now, "app_log", "-", "good"))
        self.assertEqual(self.d.ask("settle"), "ok 1 0 0")

    def test_what_a_constraint_refuses_at_the_end_keeps_all_of_it_out(self):
        self.pg.psql("ALTER TABLE flytrail.events ADD CONSTRAINT quiet CHECK (class <> 'trail')")
        self.addCleanup(self.pg.psql, "ALTER TABLE flytrail.events DROP CONSTRAINT quiet")
        self.apart(1, ("line", self.now, "exit", "exit.main_child", "good"), ("event", self.now))
        self.assertRegex(self.d.ask("settle"), "^reject ")
        self.assertEqual((self.count("log_lines"), self.count("events")), (0, 0))
        self.apart(1, ("line", self.now, "exit", "exit.main_child", "good"))
        self.assertEqual(self.d.ask("settle"), "ok 1 1 0")

    def test_what_is_not_committed_is_not_stored(self):
        self.apart(1, ("lines", 12000, self.now, 1000))
        self.assertEqual(self.d.ask("forget"), "ok")
        self.assertEqual(self.apart(1, ("line", self.now, "app_log", "-", "another")), "ok")
        self.assertEqual(self.d.ask("settle"), "ok 1 0 0")
        self.assertEqual(self.count("log_lines"), 1)

    def test_a_connection_that_is_lost_is_told_and_nothing_is_stored(self):
        self.apart(1, ("lines", 12000, self.now, 1000))
        self.pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                     "WHERE usename = 'flytrail_writer'")
        self.assertRegex(self.d.ask("settle"), "^retry ")
        self.assertEqual(self.count("log_lines"), 0)


if __name__ == "__main__":
    unittest.main()
