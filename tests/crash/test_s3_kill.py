"""kill -9 of `flytrail run` in the middle of its PUTs: each accepted record is in the bucket, once,
and each object in one index, whatever day ended on the way.

FLYTRAIL_CHECK_S3_KILLS sets the number of kills.
"""

import datetime
import gzip
import json
import os
import random
import re
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import rough  # noqa: E402
import s3  # noqa: E402

KILLS = int(os.environ.get("FLYTRAIL_CHECK_S3_KILLS", "100"))
RATE = 2000
WAY_SECONDS = 0.02
VERIFY_SECONDS = 300
DAY_KILLS = 3  # each third kill is at the end of a day


def stamp(path):
    return os.stat(path).st_mtime_ns if os.path.exists(path) else None


def last_range(path):
    """Of a journal: the newest that is whole."""
    if not os.path.exists(path):
        return 0
    with open(path, encoding="ascii") as journal:
        return max((int(found) for found in re.findall(r'(?m)^{"first_seq":"[0-9]+","last_seq":"([0-9]+)"}$',
                                                       journal.read())), default=0)


class Kill(unittest.TestCase):
    def setUp(self):
        seed = int.from_bytes(os.urandom(4), "big")
        print(f"# seed {seed}")
        self.random = random.Random(seed)
        self.server = self.enterContext(s3.Server())
        self.world = self.enterContext(flytrail.World())
        self.way = self.enterContext(rough.Way(self.server.port))

    def puts(self, folder):
        return sum(f"/{folder}/" in line for line in self.way.asked if line.startswith("PUT "))

    def await_journal(self, path, before):
        """Until it is written: who is killed then has no cursor yet that says so."""
        deadline = time.monotonic() + 1
        while stamp(path) == before and time.monotonic() < deadline:
            time.sleep(0.0002)

    def end_day(self, ft):
        """As if the journal had been begun yesterday; False: it is missing, or of another day already."""
        spool = ft.env["FLYTRAIL_SPOOL_DIR"]
        if archive.day(spool) != datetime.datetime.now(datetime.timezone.utc).date().isoformat():
            return False
        archive.end_day(spool)
        return True

    def check_indexes(self, ft, bucket):
        """Of all objects but those since the last index, which is of the last run."""
        env = {**ft.env, **self.server.environment(bucket)}  # straight to the server
        done = subprocess.run([flytrail.BINARY, "archive", "verify"], env=env, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=VERIFY_SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertTrue(done.stdout.endswith("all agree\n"), done.stdout)
        indexes = bucket.keys("flytrail/index/")
        named = [json.loads(line)["key"] for key in indexes
                 for line in gzip.decompress(bucket.get(key)).splitlines()]
        self.assertEqual(len(named), len(set(named)))
        with open(os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], "s3.index"), encoding="ascii") as journal:
            unnamed = [entry["key"] for entry in map(json.loads, journal) if "key" in entry]
        there = [key for folder in ("lines", "events") for key in bucket.keys(f"flytrail/{folder}/")]
        self.assertEqual(sorted(named + unnamed), sorted(there))
        return len(indexes)

    def test_killed_in_the_middle_of_a_put(self):
        bucket = self.server.bucket(versioned=True)
        ft = self.world.flytrail(**{**self.server.environment(bucket), "S3_ENDPOINT": self.way.url,
                                    "FLYTRAIL_S3_GATHER_SECONDS": "1"})
        publisher = self.world.publisher("--count", 10**9, "--rate", RATE)
        self.addCleanup(publisher.wait)
        self.addCleanup(publisher.kill)
        self.way.delay = WAY_SECONDS
        in_delivery = in_index = in_cursor = 0
        journal = os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], "s3.index")
        for n in range(1, KILLS + 1):
            folder = "index" if n % DAY_KILLS == 0 and self.end_day(ft) else "lines"
            before, written = self.puts(folder), stamp(journal)
            ft.start(wait=False)
            lab.wait_for(lambda seen=before, of=folder: self.puts(of) > seen, 60, f"a PUT of {folder}")
            # On its way there, while it is stored, on the way back, when the cursor is written; and
            # of an index, when its journal goes.
            if n % DAY_KILLS == 1:
                self.await_journal(journal, written)
            else:
                time.sleep(self.random.uniform(0, 3 * WAY_SECONDS))
            ft.kill()
            in_index += folder == "index"
            with open(os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], "s3.cursor"), encoding="ascii") as cursor:
                text = cursor.read()
            in_delivery += '"cut_seq":"0"' not in text
            in_cursor += last_range(journal) > int(re.search('"delivered_seq":"([0-9]+)"', text)[1])
        self.assertGreater(in_delivery, KILLS // 4)
        self.assertGreater(in_index, 0)
        publisher.kill()
        publisher.wait()
        self.way.delay = 0
        ft.start()
        self.assertEqual(ft.stop(), 0)
        self.end_day(ft)
        ft.start()
        self.assertEqual(ft.stop(), 0)
        indexes = self.check_indexes(ft, bucket)
        found = archive.read(bucket)
        for kind, table, column in (("lines", "log_lines", "id"), ("events", "events", "event_id")):
            stored = [row[0] for row in self.world.pg.psql(f"SELECT {column} FROM flytrail.{table} ORDER BY 1")]
            self.assertEqual(archive.ids(found, kind), stored)
        versions = [key for key, _, _ in bucket.versions()]
        self.assertEqual(len(versions), len(set(versions)))
        print(f"# {len(versions)} objects, {indexes} of them indexes, {in_index} of {KILLS} kills at an index, "
              f"{in_cursor} behind the journal, {in_delivery} before the cursor had moved, "
              f"{len(archive.ids(found, 'lines'))} lines")


if __name__ == "__main__":
    unittest.main()
