"""Leases in a real Postgres: of those who ask, one holds."""

import os
import sys
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from test_store import Driver, migrate  # noqa: E402

SOON = 30  # seconds; nothing expires by itself within a test that does not wait for it


class Lease(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pg = lab.Postgres()
        cls.addClassCleanup(cls.pg.close)
        cls.pg.start()
        done = migrate(cls.pg)
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def setUp(self):
        self.pg.psql("DELETE FROM flytrail.leases")

    def taker(self):
        made = Driver(self.pg.url("flytrail_writer"))
        self.addCleanup(made.close)
        return made

    def row(self):
        """Who holds it; seconds since it was taken; seconds that are left."""
        row, = self.pg.psql("SELECT holder, extract(epoch FROM clock_timestamp() - taken_at), "
                            "extract(epoch FROM expires_at - clock_timestamp()) FROM flytrail.leases")
        return row[0], float(row[1]), float(row[2])

    def test_of_two_takers_one_wins_and_the_other_sees_who(self):
        first, second = self.taker(), self.taker()
        self.assertEqual(first.ask("lease", "watch", "a", SOON), "ok yes a")
        self.assertEqual(second.ask("lease", "watch", "b", SOON), "ok no a")
        self.assertEqual(second.ask("lease", "notify", "b", SOON), "ok yes b")  # other work

    def test_the_holder_renews_and_has_held_it_since_it_took_it(self):
        first, second = self.taker(), self.taker()
        self.assertEqual(first.ask("lease", "watch", "a", 2), "ok yes a")
        self.pg.psql("UPDATE flytrail.leases SET taken_at = taken_at - interval '1 hour'")
        began = time.monotonic()
        self.assertEqual(first.ask("lease", "watch", "a", SOON), "ok yes a")
        holder, held, left = self.row()
        self.assertEqual(holder, "a")
        self.assertGreater(held, 3600)
        self.assertTrue(SOON - 1 - (time.monotonic() - began) < left <= SOON, left)
        self.assertEqual(second.ask("lease", "watch", "b", SOON), "ok no a")
        # A restart has the same name: it goes on, and sooner than the lease expires.
        self.assertEqual(self.taker().ask("lease", "watch", "a", SOON), "ok yes a")

    def test_an_expired_one_changes_hands_and_its_holder_learns_of_it(self):
        first, second = self.taker(), self.taker()
        self.assertEqual(first.ask("lease", "watch", "a", 1), "ok yes a")
        lab.wait_for(lambda: self.row()[2] < 0, what="the lease to expire")
        self.assertEqual(second.ask("lease", "watch", "b", SOON), "ok yes b")
        self.assertLess(self.row()[1], SOON)
        self.assertEqual(first.ask("lease", "watch", "a", SOON), "ok no b")
        self.assertEqual(self.row()[0], "b")

    def test_one_that_expired_and_nobody_wanted_is_its_holders_still(self):
        first = self.taker()
        first.ask("lease", "watch", "a", 1)
        lab.wait_for(lambda: self.row()[2] < 0, what="the lease to expire")
        self.assertEqual(first.ask("lease", "watch", "a", SOON), "ok yes a")

    def test_one_that_is_given_back_is_free_at_once(self):
        first, second = self.taker(), self.taker()
        first.ask("lease", "watch", "a", SOON)
        self.assertEqual(second.ask("give", "watch", "b"), "ok")  # it is not b's
        self.assertEqual(second.ask("lease", "watch", "b", SOON), "ok no a")
        self.assertEqual(first.ask("give", "watch", "a"), "ok")
        self.assertEqual(first.ask("give", "watch", "a"), "ok")
        self.assertEqual(first.ask("give", "nothing", "a"), "ok")
        self.assertEqual(second.ask("lease", "watch", "b", SOON), "ok yes b")

    def test_of_many_who_ask_at_once_one_wins(self):
        takers = [self.taker() for _ in range(8)]
        for t in takers:
            t.ask("give", "watch", "warm")  # connected
        for turn in range(20):
            answers = [None] * len(takers)

            def ask(i, turn=turn, answers=answers):
                answers[i] = takers[i].ask("lease", f"work{turn}", f"holder{i}", SOON)

            threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(takers))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            winners = [i for i, answer in enumerate(answers) if answer.startswith("ok yes")]
            self.assertEqual(len(winners), 1, answers)
            for i, answer in enumerate(answers):
                # The loser sees the winner, unless both came at the same moment.
                self.assertIn(answer, ("ok yes" if i in winners else "ok no",
                                       f"ok {'yes' if i in winners else 'no'} holder{winners[0]}"))

    def test_a_postgres_that_is_away_is_tried_again(self):
        first = self.taker()
        self.assertEqual(first.ask("lease", "watch", "a", SOON), "ok yes a")
        self.pg.crash()
        self.assertRegex(first.ask("lease", "watch", "a", SOON), "^retry ")
        self.assertRegex(first.ask("give", "watch", "a"), "^retry ")
        self.pg.restart()
        self.assertEqual(first.ask("lease", "watch", "a", SOON), "ok yes a")

    def test_only_the_writers_role_may_hold_one(self):
        reader = Driver(self.pg.url("flytrail_reader"))
        self.addCleanup(reader.close)
        self.assertRegex(reader.ask("lease", "watch", "a", SOON), "^config .*permission denied")


if __name__ == "__main__":
    unittest.main()
