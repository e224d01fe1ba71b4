"""Several machines, one trail: replicas that die, and volumes that were copied or put back."""

import contextlib
import datetime
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

REFUSED = "this volume was copied or restored, and nothing is stored from it; .*`flytrail spool adopt`"
ROUNDS = 8
RATE = 10000


def seconds(text):
    """Of RFC 3339 with nanoseconds."""
    whole = datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp()
    return whole + float("0" + text[19:-1])


class WorldCase(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def seeded(self):
        seed = int.from_bytes(os.urandom(4), "big")
        print(f"# seed {seed}")
        return random.Random(seed)

    def publish_for_ever(self):
        publisher = self.world.publisher("--count", 10**9, "--rate", RATE)
        self.addCleanup(publisher.wait)
        self.addCleanup(publisher.kill)
        return publisher

    def end_publishing(self, publisher, *flytrails):
        """Returns how many lines there were; all replicas that live have them."""
        publisher.kill()
        publisher.wait()
        self.world.publish(1, tag="last")
        self.world.await_rows(1, "message LIKE 'last line %'")
        for ft in flytrails:
            self.assertEqual(ft.stop(), 0)
        return self.world.numbers()[-1][0] + 1

    def machines_gaps(self, ft):
        rows = self.world.pg.psql(
            "SELECT reason, extract(epoch FROM gap_start), extract(epoch FROM gap_end) "
            f"FROM flytrail.gaps WHERE noticed_by = '{ft.env['FLY_MACHINE_ID']}'")
        return [(reason, float(start), float("inf") if end is None else float(end))
                for reason, start, end in rows]

    def assert_in_a_gap_of(self, ft, start, end):
        gaps = self.machines_gaps(ft)
        self.assertTrue(any(gap_start <= start and end <= gap_end for _, gap_start, gap_end in gaps),
                        f"from {start} to {end}: {gaps}")

    def assert_parked(self, ft):
        ft.await_event("store_parked")
        self.assertRegex(ft.events("store_parked")[0]["error"], REFUSED)
        status, checks = ft.health()
        self.assertEqual(status, 503)
        self.assertFalse(checks["store"]["ok"])

    def adopt(self, ft):
        status, out = ft.command("spool", "adopt")
        self.assertEqual(status, 0, out)
        self.assertRegex(out, r"^\S+ was stream [0-9a-f-]{36}, epoch \d+, and is stream [0-9a-f-]{36}, "
                              r"epoch \d+, now: `flytrail run` will give Postgres all \d+ records .*\n$")


class Replicas(WorldCase):
    def test_either_of_two_may_die_at_any_moment(self):
        chance = self.seeded()
        pair = [self.world.flytrail().start(), self.world.flytrail().start()]
        publisher = self.publish_for_ever()
        absences = []
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0.0, 0.4))
            ft = chance.choice(pair)
            ft.kill()
            killed = time.time()
            time.sleep(chance.uniform(0.0, 0.4))
            ft.start(wait=False)
            # Before the other one may go, it has on its disk what came to it alone, and what came next.
            ft.await_event("source_connected")
            other = pair[ft is pair[0]]
            other.await_accepted(other.metric("lines_received_total") + RATE / 4)
            absences.append((ft, killed, seconds(ft.events("source_connected")[0]["ts"])))
        duplicates = 0
        count = self.end_publishing(publisher, *pair)
        for ft in pair:
            duplicates += ft.events("stopped")[0]["duplicates"]
        self.world.check_each_line_is_one_row(range(count))
        self.assertGreater(duplicates, 0)
        for absence in absences:
            self.assert_in_a_gap_of(*absence)

    def test_in_a_queue_group_what_a_killed_one_had_accepted_comes_with_its_return(self):
        chance = self.seeded()
        pair = [self.world.flytrail(FLYTRAIL_QUEUE="trail").start() for _ in range(2)]
        first, second = pair
        publisher = self.publish_for_ever()
        time.sleep(1 + chance.uniform(0.0, 0.5))
        self.world.pg.stop()
        time.sleep(1 + chance.uniform(0.0, 0.5))
        first.await_accepted(first.metric("lines_received_total"))  # however slow the disk was until now
        first.kill()
        killed = time.time()
        self.world.pg.restart()
        second.await_event("store_retry")
        lab.wait_for(second.is_well, what="the one that lives to store again")
        before = self.world.count()
        first.start()
        back = seconds(first.events("source_connected")[0]["ts"])
        self.assert_in_a_gap_of_when_stored(first, killed, back)
        count = self.end_publishing(publisher, *pair)
        self.assertGreater(self.world.count(), before)
        for ft in pair:
            self.assertGreater(ft.events("stopped")[0]["lines_stored"], 0)
            self.assertEqual(ft.events("stopped")[0]["left_in_spool"], 0)
        gaps = self.machines_gaps(first)
        lost = 0
        for size, line_before, line_after in self.world.missing_runs(count):
            lost += size
            self.assertTrue(any(start <= line_before and line_after <= end for _, start, end in gaps),
                            f"{size} lines from {line_before} to {line_after}: {gaps}")
            self.assertGreater(line_after, killed - 1)  # none that it had time to accept
            self.assertLess(line_before, back + 1)
        print(f"# {count} lines, {lost} on their way to the one that was killed")
        self.assertLess(lost, RATE)

    def assert_in_a_gap_of_when_stored(self, ft, start, end):
        lab.wait_for(lambda: self.machines_gaps(ft), what="the gap of the one that was away")
        self.assert_in_a_gap_of(ft, start, end)


class Copies(WorldCase):
    def stored(self, count, **env):
        """A flytrail that has stopped with count lines in its spool and in Postgres."""
        ft = self.world.flytrail(FLYTRAIL_DRAIN_SECONDS="2", **env).start()
        self.world.publish(count)
        self.world.await_rows(count)
        self.assertEqual(ft.stop(), 0)
        return ft

    def adopt_and_run(self, parked, other):
        """From then on both go on; returns when what parked had is stored."""
        parked.stop()
        self.adopt(parked)
        parked.start()
        self.world.publish(10, tag="both")
        self.world.await_rows(10, "message LIKE 'both line %'")
        for ft in (parked, other):
            self.assertEqual(ft.stop(), 0)
            self.assertEqual(ft.events("store_parked"), [])
            self.assertEqual(ft.events("stopped")[0]["left_in_spool"], 0)
        self.assertEqual({gap["reason"] for gap in self.world.gaps()} - {"start"}, set())

    @contextlib.contextmanager
    def cursors_held(self):
        """Nobody moves a cursor within; those who want to are waiting()."""
        with subprocess.Popen([f"{lab.PG_BIN}/psql", "-X", "-q", "-A", "-t", self.world.pg.url()],
                              text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as psql:
            psql.stdin.write("BEGIN; SELECT 'held' FROM flytrail.streams FOR UPDATE;\n")
            psql.stdin.flush()
            self.assertEqual(psql.stdout.readline(), "held\n")
            yield
            psql.stdin.write("COMMIT;\n")

    def waiting(self):
        return int(self.world.pg.psql(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND query LIKE 'UPDATE flytrail.streams%'")[0][0])

    def test_two_machines_that_go_on_from_one_state_at_once(self):
        """The first moves the cursor by less than the second has tried to: its own numbers."""
        first = self.stored(100)
        second = self.world.copy_of(first, FLYTRAIL_DRAIN_SECONDS="2")
        first.env["SUBJECT"] = "logs.web-1.>"  # an eighth of the lines
        with self.cursors_held():
            first.start()
            lab.wait_for(lambda: self.waiting() == 1, what="the first to move the cursor")
            second.start()  # it reads the cursor that the first one has read
            self.world.publish(400, first=100)
            lab.wait_for(lambda: self.waiting() == 2, what="the second to move the cursor")
        self.assert_parked(second)
        self.assertEqual(first.events("store_parked"), [])
        self.adopt_and_run(second, first)
        self.world.check_each_line_is_one_row(range(500))

    def test_a_copy_of_a_stopped_volume(self):
        first = self.stored(100)
        second = self.world.copy_of(first, FLYTRAIL_DRAIN_SECONDS="2")
        first.start()
        self.world.publish(100, first=100)
        self.world.await_rows(200)
        second.start(wait=False)
        self.assert_parked(second)
        second.await_event("source_connected")
        self.world.publish(300, first=200)
        self.world.await_rows(500)
        status, out = second.command("doctor")
        self.assertEqual(status, 1)
        self.assertRegex(out, "(?m)^FAIL spool: .*copied or restored.*`flytrail spool adopt`")
        status, out = second.command("spool", "adopt")
        self.assertEqual(status, 2)
        self.assertIn("another flytrail has the spool", out)
        second.stop()
        second.start(wait=False)  # it is remembered
        self.assert_parked(second)
        self.adopt_and_run(second, first)
        self.world.check_each_line_is_one_row(range(500))
        status, out = second.command("doctor")
        self.assertEqual(status, 0, out)
        self.assertRegex(out, r"(?m)^ok   spool: stream \S+, of which Postgres has (\d+) of \1 records$")
        self.assertEqual(self.world.pg.psql("SELECT epoch FROM flytrail.streams ORDER BY 1"),
                         [["1"], ["2"]])
        # It has no beginning, before which something may be missing: such a fact has no number.
        self.assertEqual(self.world.pg.psql("SELECT * FROM flytrail.events WHERE seq = 0"), [])

    def test_a_copy_of_a_running_volume(self):
        chance = self.seeded()
        first = self.world.flytrail(FLYTRAIL_DRAIN_SECONDS="2").start()
        publisher = self.publish_for_ever()
        time.sleep(0.5 + chance.uniform(0.0, 1.0))
        second = self.world.copy_of(first, FLYTRAIL_DRAIN_SECONDS="2").start(wait=False)
        pair = [first, second]
        lab.wait_for(lambda: any(ft.events("store_parked") for ft in pair), what="one to be refused")
        parked, other = sorted(pair, key=lambda ft: not ft.events("store_parked"))
        self.assert_parked(parked)
        self.assertEqual(other.events("store_parked"), [])
        publisher.kill()
        publisher.wait()
        parked.await_event("source_connected")
        self.world.publish(1, tag="last")
        self.world.await_rows(1, "message LIKE 'last line %'")
        self.adopt_and_run(parked, other)
        self.world.check_each_line_is_one_row(range(self.world.numbers()[-1][0] + 1))

    def put_back(self, ft, copy):
        shutil.rmtree(ft.env["FLYTRAIL_SPOOL_DIR"])
        subprocess.run(["cp", "-a", copy, ft.env["FLYTRAIL_SPOOL_DIR"]], check=True)

    def test_an_older_copy_put_back_after_more_was_stored(self):
        ft = self.stored(100)
        copy = os.path.join(ft.folder, "copy")
        shutil.copytree(ft.env["FLYTRAIL_SPOOL_DIR"], copy)
        ft.start()
        self.world.publish(100, first=100)
        self.world.await_rows(200)
        self.world.pg.stop()
        self.world.publish(100, first=200)  # accepted, and nowhere but on the volume
        ft.await_accepted(200)
        ft.kill()
        killed = time.time()
        self.world.pg.restart()
        self.put_back(ft, copy)
        ft.start(wait=False)
        self.assert_parked(ft)
        ft.await_event("source_connected")
        back = seconds(ft.events("source_connected")[0]["ts"])
        self.world.publish(100, first=300)
        ft.await_accepted(100)
        ft.stop()
        self.adopt(ft)
        ft.start()
        self.world.await_rows(300, "message LIKE 'numbered %'")
        self.assertEqual(ft.stop(), 0)
        lost = self.world.check_every_line_is_a_row_or_in_a_gap(400)
        self.assertEqual(lost, 100)
        self.assert_in_a_gap_of(ft, killed, back)
        # Both starts since are gaps from what the copy had last, and there is no other.
        self.assertEqual({gap["reason"] for gap in self.world.gaps()}, {"start"})

    def test_an_older_copy_that_outgrew_postgres_before_it_saw_it(self):
        ft = self.stored(100)
        copy = os.path.join(ft.folder, "copy")
        shutil.copytree(ft.env["FLYTRAIL_SPOOL_DIR"], copy)
        ft.start()
        self.world.publish(100, first=100)
        self.world.await_rows(200)
        ft.stop()
        self.put_back(ft, copy)
        self.world.pg.stop()
        ft.start(wait=False)
        ft.await_event("source_connected")
        self.world.publish(500, first=200)  # its numbers come past those that Postgres has
        ft.await_accepted(500)
        ft.kill()
        self.world.pg.restart()
        ft.start(wait=False)
        self.assert_parked(ft)
        ft.stop()
        self.adopt(ft)
        self.adopt(ft)  # once more does no harm
        ft.start()
        self.world.await_rows(700, "message LIKE 'numbered %'")
        self.assertEqual(ft.stop(), 0)
        self.world.check_each_line_is_one_row(range(700))

    def test_a_spool_whose_beginning_was_dropped_loses_nothing_by_being_adopted(self):
        ft = self.world.flytrail(FLYTRAIL_SPOOL_KEEP_SECONDS="0").start()
        self.world.publish_awaited(ft, 100000)
        self.world.await_rows(100000)
        first = os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], f"{1:020}.seg")
        lab.wait_for(lambda: not os.path.exists(first), what="the oldest segment to be dropped")
        self.assertEqual(ft.stop(), 0)
        self.adopt(ft)
        ft.start()
        self.world.publish(10, tag="after")
        self.world.await_rows(10, "message LIKE 'after line %'")
        self.assertEqual(ft.stop(), 0)
        self.assertGreater(ft.events("stopped")[0]["duplicates"], 0)
        self.assertEqual([gap["reason"] for gap in self.world.gaps()], ["start"])
        self.world.check_each_line_is_one_row(range(100000))


class Adopting(unittest.TestCase):
    """What needs no server."""

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="flytrail-adopt-"))

    def adopt(self, folder, *words, **env):
        done = subprocess.run([flytrail.BINARY, "spool", *(words or ["adopt"])], text=True, check=False,
                              env={"FLYTRAIL_SPOOL_DIR": folder, **env}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout

    def test_a_folder_without_a_spool_is_told_and_left_alone(self):
        absent = os.path.join(self.folder, "absent")
        for folder in (absent, self.folder):
            status, out = self.adopt(folder)
            self.assertEqual(status, 2)
            self.assertIn(f"there is no spool in {folder}; FLYTRAIL_SPOOL_DIR", out)
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_folder_with_something_else_is_told_and_left_alone(self):
        with open(os.path.join(self.folder, "stream"), "wb") as other:
            other.write(b"x" * 100)
        status, out = self.adopt(self.folder)
        self.assertEqual(status, 1)
        self.assertIn("stream fails its check", out)
        self.assertEqual(os.listdir(self.folder), ["stream"])

    def test_other_words_are_no_command(self):
        for words in (["drop"], ["adopt", "now"]):
            status, out = self.adopt(self.folder, *words)
            self.assertEqual(status, 2)
            self.assertIn("`flytrail spool adopt`", out)
        self.assertEqual(self.adopt("relative")[0], 2)

    def test_no_database_is_asked_and_every_record_stays(self):
        lines = os.path.join(self.folder, "lines")
        spool = os.path.join(self.folder, "spool")
        with open(lines, "w", encoding="ascii") as out:
            out.writelines(f"line {n}\n" for n in range(3))
        run = subprocess.Popen(
            [flytrail.BINARY, "run", lines], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"FLYTRAIL_SPOOL_DIR": spool,
                 "FLYTRAIL_DATABASE_URL": f"postgres://127.0.0.1:{lab.free_port()}/none"})
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        segment = os.path.join(spool, f"{1:020}.seg")
        lab.wait_for(lambda: os.path.exists(segment), what="a segment")
        status, out = self.adopt(spool)
        self.assertEqual(status, 2)
        self.assertIn("another flytrail has the spool", out)
        run.kill()
        run.wait()
        with open(os.path.join(spool, "store-foreign"), "w", encoding="ascii"):  # of any stream
            pass
        told = [self.adopt(spool, ACCESS_TOKEN="'", FLYTRAIL_NO_SUCH="1") for _ in range(2)]
        self.assertEqual([status for status, _ in told], [0, 0])
        self.assertFalse(os.path.exists(os.path.join(spool, "store-foreign")))
        streams = [re.findall(r"stream (\S+), epoch (\d+)", out) for _, out in told]
        self.assertEqual([[epoch for _, epoch in each] for each in streams], [["1", "2"], ["2", "3"]])
        self.assertEqual(streams[0][1], streams[1][0])
        self.assertEqual(len({stream for each in streams for stream, _ in each}), 3)


if __name__ == "__main__":
    unittest.main()
