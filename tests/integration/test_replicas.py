"""Several machines, one trail: replicas that die, and volumes that were copied or put back."""

import os
import random
import shutil
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

COPIED = "this volume was copied or restored"


class Copies(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def test_two_machines_that_go_on_from_one_state_at_once(self):
        options = {"FLYTRAIL_QUEUE": "trail", "FLYTRAIL_DRAIN_SECONDS": "2"}
        first = self.world.flytrail(**options).start()
        self.world.publish(100)
        self.world.await_rows(100)
        first.stop()
        second = self.world.copy_of(first, **options)
        # Neither hears of the other: both have read the cursor before one moves it.
        pair = [first.start(wait=False), second.start(wait=False)]
        for ft in pair:
            ft.await_event("store_connected")
            ft.await_event("source_connected")
        for turn in range(20):
            self.world.publish(50, first=100 + 50 * turn)
            time.sleep(0.1)
        time.sleep(1)
        for ft in pair:
            ft.stop()
            print([l for l in ft.log_lines() if l["event"].startswith("store") or l["event"] == "stopped"])
        print(len(self.world.numbers()), self.world.missing_runs(1100), self.world.gaps())


if __name__ == "__main__":
    unittest.main()
