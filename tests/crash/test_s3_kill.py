"""kill -9 of `flytrail run` in the middle of its PUTs: each accepted record is in the bucket, once.

FLYTRAIL_CHECK_S3_KILLS sets the number of kills.
"""

import os
import random
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


class Kill(unittest.TestCase):
    def setUp(self):
        seed = int.from_bytes(os.urandom(4), "big")
        print(f"# seed {seed}")
        self.random = random.Random(seed)
        self.server = self.enterContext(s3.Server())
        self.world = self.enterContext(flytrail.World())
        self.way = self.enterContext(rough.Way(self.server.port))

    def puts(self):
        return sum("/lines/" in line for line in self.way.asked if line.startswith("PUT "))

    def test_killed_in_the_middle_of_a_put(self):
        bucket = self.server.bucket(versioned=True)
        ft = self.world.flytrail(**{**self.server.environment(bucket), "S3_ENDPOINT": self.way.url,
                                    "FLYTRAIL_S3_GATHER_SECONDS": "1"})
        publisher = self.world.publisher("--count", 10**9, "--rate", RATE)
        self.addCleanup(publisher.wait)
        self.addCleanup(publisher.kill)
        self.way.delay = WAY_SECONDS
        in_delivery = 0
        for _ in range(KILLS):
            ft.start(wait=False)
            before = self.puts()
            lab.wait_for(lambda seen=before: self.puts() > seen, 60, "a PUT")
            # On its way there, while it is stored, on the way back, when the cursor is written.
            time.sleep(self.random.uniform(0, 3 * WAY_SECONDS))
            ft.kill()
            with open(os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], "s3.cursor"), encoding="ascii") as cursor:
                in_delivery += '"cut_seq":"0"' not in cursor.read()
        self.assertGreater(in_delivery, KILLS // 4)
        publisher.kill()
        publisher.wait()
        self.way.delay = 0
        ft.start()
        self.assertEqual(ft.stop(), 0)
        found = archive.read(bucket)
        for kind, table, column in (("lines", "log_lines", "id"), ("events", "events", "event_id")):
            stored = [row[0] for row in self.world.pg.psql(f"SELECT {column} FROM flytrail.{table} ORDER BY 1")]
            self.assertEqual(archive.ids(found, kind), stored)
        versions = [key for key, _, _ in bucket.versions()]
        self.assertEqual(len(versions), len(set(versions)))
        print(f"# {len(versions)} objects, {in_delivery} of {KILLS} kills before the cursor had moved, "
              f"{len(archive.ids(found, 'lines'))} lines")


if __name__ == "__main__":
    unittest.main()
