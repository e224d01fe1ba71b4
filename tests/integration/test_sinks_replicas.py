"""Two replicas with one bucket, of which one is killed: each record is there once for each stream
that accepted it, and whoever reads the archive has it once."""

import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import duck  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402

# Of the lines, both have those before BOTH; from there on one of them is killed, is away from LOAD at
# the latest, and is back for those from BACK on.
BOTH, LOAD, BACK, LINES = 1000, 9000, 9500, 10000
RATE = 3000
EVENTS = 20
DATE = lab.date_ago(30)


def machine_line(number):
    return json.dumps({
        "event": {"provider": "runner"},
        "fly": {"app": {"instance": "0e286551c30586", "name": "web"}, "region": "ams"}, "host": "0ad1",
        "log": {"level": "info"}, "message": "machine exited with exit code 0, not restarting",
        "timestamp": f"{DATE}T22:14:{number:02}Z"})


class Replicas(unittest.TestCase):
    """What the tests look at was made once, by make()."""

    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(flytrail.World())
        cls.server = cls.enterClassContext(s3.Server())
        cls.bucket = cls.server.bucket()
        cls.killed, cls.survivor = (cls.world.flytrail(
            **cls.server.environment(cls.bucket), FLYTRAIL_S3_GATHER_SECONDS="1") for _ in range(2))
        cls.make()
        cls.found = archive.read(cls.bucket)

    @classmethod
    def make(cls):
        for ft in (cls.killed, cls.survivor):
            ft.start()
        cls.world.publish(BOTH)
        cls.world.publish_lines(map(machine_line, range(EVENTS)))
        lab.wait_for(lambda: [len(numbers) for numbers in cls.numbers().values()] == [BOTH, BOTH], 60,
                     "all in the bucket twice")
        publisher = cls.world.publisher("--first", BOTH, "--count", LOAD - BOTH, "--rate", RATE)
        cls.world.await_rows(2 * BOTH)
        cls.killed.kill()
        assert publisher.wait(timeout=lab.ENDED_SECONDS) == 0
        cls.world.publish(BACK - LOAD, first=LOAD)
        cls.world.await_rows(BACK)
        cls.killed.start()
        cls.world.publish(LINES - BACK, first=BACK)
        cls.world.await_rows(LINES)
        for turn in range(2):  # with the index of each, which the second time puts
            for ft in (cls.killed, cls.survivor):
                if turn == 1:
                    archive.end_day(ft.env["FLYTRAIL_SPOOL_DIR"])
                    ft.start()
                assert ft.stop() == 0
                assert ft.events("sink_stopped")[0]["left_in_spool"] == 0

    @classmethod
    def numbers(cls):
        """{stream: the numbered lines that it has in the bucket, sorted}"""
        made = collections.defaultdict(list)
        for key, rows in archive.read(cls.bucket).items():
            told = [re.match("numbered line ([0-9]+) ", row["message"]) for row in rows if "/lines/" in key]
            made[archive.stream(key)] += [int(number[1]) for number in told if number]
        return {stream: sorted(numbers) for stream, numbers in made.items()}

    def stream_of(self, ft):
        (stream,), = self.world.pg.psql("SELECT DISTINCT stream FROM flytrail.events WHERE action = 'trail.started' "
                                        f"AND machine_id = '{ft.env['FLY_MACHINE_ID']}'")
        return stream

    def ids(self, table, database="postgres"):
        column = "id" if table == "log_lines" else "event_id"
        return [row[0] for row in self.world.pg.psql(
            f"SELECT {column} FROM flytrail.{table} WHERE action IS DISTINCT FROM 'trail.replayed' ORDER BY 1",
            database=database)]

    def test_the_bucket_has_each_record_once_for_each_stream_that_accepted_it(self):
        numbers = self.numbers()
        self.assertEqual(set(numbers), {self.stream_of(self.killed), self.stream_of(self.survivor)})
        self.assertEqual(numbers[self.stream_of(self.survivor)], list(range(LINES)))
        # All that it had accepted when it was killed, and all since it was back.
        got = numbers[self.stream_of(self.killed)]
        away = got.index(BACK)
        self.assertEqual(got, [*range(away), *range(BACK, LINES)])
        self.assertTrue(BOTH <= away <= LOAD, away)

    def test_no_stream_has_an_id_twice_and_together_they_have_those_of_postgres(self):
        for kind, table in (("lines", "log_lines"), ("events", "events")):
            for stream in self.numbers():
                ids = archive.ids({key: rows for key, rows in self.found.items() if stream in key}, kind)
                self.assertEqual(len(ids), len(set(ids)), (stream, kind))
            self.assertEqual(sorted(set(archive.ids(self.found, kind))), self.ids(table))
        twice = collections.Counter(archive.ids(self.found, "events"))
        self.assertGreaterEqual(list(twice.values()).count(2), EVENTS)

    def test_the_indexes_of_both_agree(self):
        self.assertEqual({archive.stream(key) for key in self.bucket.keys("flytrail/index/")}, set(self.numbers()))
        status, said = self.survivor.command("archive", "verify")
        self.assertEqual(status, 0, said)
        self.assertTrue(said.endswith("all agree\n"), said)

    def test_a_replay_into_an_empty_database_has_each_id_once(self):
        pg = self.world.pg
        pg.psql("CREATE DATABASE restored")
        self.addCleanup(pg.psql, "DROP DATABASE restored")
        subprocess.run([flytrail.BINARY, "migrate"], check=True, capture_output=True,
                       env={"FLYTRAIL_ADMIN_DATABASE_URL": pg.url(database="restored")})
        self.survivor.env["FLYTRAIL_DATABASE_URL"] = pg.url("flytrail_writer", "restored")
        self.addCleanup(self.survivor.env.update, FLYTRAIL_DATABASE_URL=pg.url("flytrail_writer"))
        status, said = self.survivor.command("replay")
        self.assertEqual(status, 0, said)
        for table in ("log_lines", "events"):
            self.assertEqual(self.ids(table, "restored"), self.ids(table))

    def test_duckdb_has_each_id_once(self):
        folder, why = duck.find()
        if why:
            self.skipTest(why)
        root = self.enterContext(tempfile.TemporaryDirectory())
        archive.download(self.bucket, root)
        lines, events = duck.ask(folder, root, "SELECT id FROM lines ORDER BY id",
                                 "SELECT event_id FROM events ORDER BY event_id")
        self.assertEqual([row[0] for row in lines], self.ids("log_lines"))
        self.assertEqual([row[0] for row in events], self.ids("events"))


if __name__ == "__main__":
    unittest.main()
