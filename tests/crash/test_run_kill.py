"""kill -9 of `flytrail run` at random moments under load: no line is lost in silence or doubled.

What was accepted before a kill is a row afterwards; what was not lies in a gap on record.
FLYTRAIL_CHECK_KILLS sets the number of kills.
"""

import datetime
import os
import random
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

KILLS = int(os.environ.get("FLYTRAIL_CHECK_KILLS", "200"))
RATE = 15000
# A line is accepted this long after it came: 10 ms to gather, 50 ms to commit, a busy machine; and
# later where the machine stood still about that time.
SLACK_SECONDS = 0.5
LOOK_SECONDS, NEAR_SECONDS = 0.1, 2.0


def seconds(text):
    """Of RFC 3339 with nanoseconds."""
    whole = datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp()
    return whole + float("0" + text[19:-1])


class Standstills(lab.Beside):
    """How long this machine, its disk included, keeps a thread waiting that writes to it again and again:
    so much later than usual a line may be accepted."""

    def __init__(self, folder):
        super().__init__()
        self.path = os.path.join(folder, "standstills")
        self.spans = []  # (since, until, seconds more than usual)

    def run(self):
        with open(self.path, "wb", buffering=0) as file:
            while True:
                since = time.time()
                if self.over.wait(LOOK_SECONDS):
                    return
                os.pwrite(file.fileno(), b"x", 0)
                os.fdatasync(file.fileno())
                self.spans.append((since, time.time(), time.time() - since - LOOK_SECONDS))

    def near(self, moment):
        return max((more for since, until, more in self.spans
                    if since - NEAR_SECONDS < moment < until + NEAR_SECONDS), default=0.0)


class Kill(unittest.TestCase):
    def setUp(self):
        seed = int.from_bytes(os.urandom(4), "big")
        print(f"# seed {seed}")
        self.random = random.Random(seed)
        self.world = self.enterContext(flytrail.World())
        self.standstills = self.enterContext(Standstills(self.world.folder))

    def publish_for_ever(self):
        """Not before the stream has begun: what was before its first fact is no gap of it."""
        lab.wait_for(lambda: self.world.pg.psql(
            "SELECT true FROM flytrail.events WHERE action = 'trail.started'"), 60, "the first fact")
        publisher = self.world.publisher("--count", 10**9, "--rate", RATE)
        self.addCleanup(publisher.wait)
        self.addCleanup(publisher.kill)
        return publisher

    def finish(self, ft, publisher):
        """Ends it in order and checks every line up to the last that came."""
        publisher.kill()
        publisher.wait()
        ft.start()
        self.world.publish(1, tag="last")  # from here on nothing is missing
        self.world.await_rows(1, "message LIKE 'last line %'")
        self.assertEqual(ft.stop(), 0)
        count = self.world.numbers()[-1][0] + 1
        lost = self.world.check_every_line_is_a_row_or_in_a_gap(count)
        self.assertLess(lost, count)
        print(f"# {count} lines, {lost} of them while nobody was there, all in gaps")
        return count

    def check_only_downtime_is_missing(self, lives, count):
        """lives: (when lines could come, when it was killed). Gaps are wider than that."""
        away = list(zip([killed for _, killed in lives],
                        [connected for connected, _ in lives[1:]] + [time.time()]))
        for size, before, after in self.world.missing_runs(count):
            self.assertTrue(
                any(killed - self.slack(killed) < before and after < connected + self.slack(connected)
                    for killed, connected in away),
                f"{size} lines between {before} and {after} came and were not kept: {away}")

    def slack(self, moment):
        return SLACK_SECONDS + self.standstills.near(moment)

    def test_killed_at_random_moments(self):
        ft = self.world.flytrail().start()
        publisher = self.publish_for_ever()
        lives = []
        for turn in range(KILLS):
            # Every other time at once, within the start; the rest in the middle of work.
            if turn > 0:
                ft.start(wait=turn % 2 == 0)
            time.sleep(self.random.uniform(0.0, 0.6))
            connected = [seconds(line["ts"]) for line in ft.events("source_connected")]
            killed = time.time()
            ft.kill()
            if connected:
                lives.append((connected[0], killed))
        count = self.finish(ft, publisher)
        self.check_only_downtime_is_missing(lives, count)

    def test_killed_together_with_postgres(self):
        ft = self.world.flytrail().start()
        publisher = self.publish_for_ever()
        for _ in range(5):
            time.sleep(self.random.uniform(0.1, 0.8))
            ft.kill()
            self.world.pg.crash()
            self.world.pg.restart()
            ft.start()
        ft.kill()
        self.finish(ft, publisher)

    def test_killed_while_postgres_is_away(self):
        ft = self.world.flytrail().start()
        publisher = self.publish_for_ever()
        time.sleep(1)
        self.world.pg.stop()
        for _ in range(10):
            time.sleep(self.random.uniform(0.1, 0.5))
            ft.kill()
            ft.start(wait=False)
            ft.await_event("source_connected")
        self.world.pg.restart()
        time.sleep(0.5)
        ft.kill()
        self.finish(ft, publisher)

    def test_what_was_accepted_is_never_missing(self):
        """Not even within a gap: one line at a time, each seen in the spool before the kill."""
        ft = self.world.flytrail().start()
        for n in range(10):
            self.world.publish(50, first=n * 50)
            ft.await_accepted(50)
            ft.kill()
            ft.start()
        self.assertEqual(ft.stop(), 0)
        self.world.check_each_line_is_one_row(range(500))


if __name__ == "__main__":
    unittest.main()
