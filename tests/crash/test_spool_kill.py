"""kill -9 of a spool's writer at random moments: what it said was accepted is there, once, in order.

The seed is printed; SPOOL_KILL_SEED replays it, SPOOL_KILLS changes how many kills there are.
"""

import os
import random
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BUILD", "build")
WRITER = os.path.join(ROOT, BUILD, "tests", "crash", "spool_writer")

KILLS = int(os.environ.get("SPOOL_KILLS", "200"))
WRITE_SECONDS_MAX = 0.04
KILLED_OPENS = 0.3  # of the kills, so many come any time after the start; the rest under load
VERIFY_SECONDS = 60
KILLED_VERIFIES = 0.2  # of the openings after a crash, so many are killed themselves


class SpoolKill(unittest.TestCase):
    def setUp(self):
        seed = int(os.environ.get("SPOOL_KILL_SEED", random.SystemRandom().getrandbits(32)))
        print(f"# SPOOL_KILL_SEED={seed}", flush=True)
        self.random = random.Random(seed)
        self.scratch = tempfile.TemporaryDirectory(prefix="flytrail-kill-")
        self.addCleanup(self.scratch.cleanup)
        self.folder = os.path.join(self.scratch.name, "spool")

    def kill_writer(self):
        """The last number that it said was accepted; None when it had no time to say one."""
        writer = subprocess.Popen([WRITER, "write", self.folder],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  bufsize=0)
        out = b""
        if self.random.random() >= KILLED_OPENS:
            out = writer.stdout.readline()
        time.sleep(self.random.uniform(0, WRITE_SECONDS_MAX))
        writer.kill()
        rest, err = writer.communicate()
        self.assertEqual(writer.returncode, -9, err.decode())
        lines = (out + rest).decode().splitlines()
        return int(lines[-1]) if lines else None

    def kill_verify(self, after):
        verify = subprocess.Popen([WRITER, "verify", self.folder, str(after)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.random.uniform(0, WRITE_SECONDS_MAX / 2))
        verify.kill()
        verify.wait()

    def verify(self, after):
        done = subprocess.run([WRITER, "verify", self.folder, str(after)],
                              capture_output=True, text=True, timeout=VERIFY_SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(done.stdout)

    def test_what_was_accepted_is_there_once_and_in_order(self):
        verified = 0
        told = 0
        for kill in range(KILLS):
            accepted = self.kill_writer()
            told += accepted is not None
            if self.random.random() < KILLED_VERIFIES:
                self.kill_verify(verified)
            last = self.verify(verified)
            with self.subTest(kill=kill):
                self.assertGreaterEqual(last, max(verified, accepted or 0))
            verified = last
        print(f"# {KILLS} kills, {told} of them under load, {verified} records", flush=True)
        self.assertGreaterEqual(told, KILLS // 2)


if __name__ == "__main__":
    unittest.main()
