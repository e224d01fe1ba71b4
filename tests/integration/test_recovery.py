"""What comes back is not what was left: a lagging standby, a damaged disk, a full one, old copies."""

import glob
import os
import signal
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402


def can_mount():
    with open("/proc/self/status", encoding="ascii") as status:
        capabilities = [int(line.split()[1], 16) for line in status if line.startswith("CapEff")]
    return bool(capabilities[0] & (1 << 21))  # CAP_SYS_ADMIN


class Recovery(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def gap(self, reason):
        found = lab.wait_for(lambda: [g for g in self.world.gaps() if g["reason"] == reason],
                             30, f"a gap {reason}")
        self.assertEqual(len(found), 1)
        return found[0]

    def test_a_failover_to_a_lagging_standby_loses_no_row(self):
        standby = self.world.pg.standby()
        self.addCleanup(standby.close)
        standby.start()
        url = (f"postgres://flytrail_writer@127.0.0.1:{self.world.pg.port},"
               f"127.0.0.1:{standby.port}/postgres")
        ft = self.world.flytrail(FLYTRAIL_DATABASE_URL=url).start()
        self.world.publish(5000)
        self.world.await_rows(5000)
        lab.wait_for(lambda: standby.psql("SELECT count(*) FROM flytrail.log_lines")
                     == [["5000"]], what="the standby to follow")
        standby.pause()  # from here on the primary commits what the standby never hears of
        self.world.publish(5000, first=5000)
        self.world.await_rows(10000)
        self.world.pg.crash()
        standby.resume()
        standby.promote()
        primary, self.world.pg = self.world.pg, standby
        self.addCleanup(primary.close)
        self.world.publish(1000, first=10000)
        self.world.await_rows(11000, timeout=90)
        self.assertEqual(ft.stop(), 0)
        self.world.check_each_line_is_one_row(range(11000))
        self.assertEqual(self.world.gaps(), [])

    def test_a_cursor_older_than_the_spool_is_a_gap(self):
        ft = self.world.flytrail(FLYTRAIL_SPOOL_KEEP_SECONDS="0").start()
        self.world.publish_awaited(ft, 150000)
        self.world.await_rows(150000)
        segments = os.path.join(ft.folder, "spool", "*.seg")
        lab.wait_for(lambda: len(glob.glob(segments)) <= 5, what="old segments to be dropped")
        ft.stop()
        self.world.pg.psql("UPDATE flytrail.streams SET cursor_seq = 5")
        ft.start()
        gap = self.gap("store_rewound")
        self.assertGreater(gap["lost"], 10000)
        self.assertLess(gap["start"], gap["end"])
        self.world.publish(10, tag="after")
        self.world.await_rows(10, "message LIKE 'after line %'")
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.count("message LIKE 'numbered %'"), 150000)

    def test_a_volume_that_is_an_older_copy_is_parked_with_a_sentence(self):
        ft = self.world.flytrail(FLYTRAIL_DRAIN_SECONDS="1").start()
        self.world.publish(10)
        self.world.await_rows(10)
        ft.stop()
        self.world.pg.psql("UPDATE flytrail.streams SET cursor_seq = 500")
        ft.start(wait=False)
        ft.await_event("store_parked")
        self.assertIn("flytrail spool adopt", ft.events("store_parked")[0]["error"])
        self.assertEqual(ft.health()[1]["store"]["ok"], False)
        # Its numbers come past Postgres's, which makes nothing good: they are other records'.
        ft.await_event("source_connected")
        self.world.publish(1000, first=10)
        ft.await_accepted(1000)
        ft.stop()
        self.assertGreater(ft.events("stopped")[0]["left_in_spool"], 500)
        ft.start(wait=False)
        ft.await_event("store_parked")
        self.assertEqual(self.world.count("message LIKE 'numbered %'"), 10)
        self.assertEqual(self.world.pg.psql("SELECT cursor_seq FROM flytrail.streams"), [["500"]])

    def damaged(self):
        """A flytrail that was killed with damage in the middle of what Postgres, stopped, has not got."""
        ft = self.world.flytrail(FLYTRAIL_DRAIN_SECONDS="50").start()
        self.world.publish(1000)
        self.world.await_rows(1000)
        self.world.pg.stop()
        self.world.publish(30000, first=1000)
        ft.await_accepted(31000)
        ft.kill()
        first = min(glob.glob(os.path.join(ft.folder, "spool", "*.seg")))
        with open(first, "r+b") as segment:
            segment.seek(2 * 1024 * 1024)
            segment.write(b"\xa5" * 4096)
        return ft

    def test_damage_that_is_met_at_the_end_is_on_record_too(self):
        ft = self.damaged()
        ft.start(wait=False)
        ft.await_event("store_retry")
        ft.signal(signal.SIGTERM)
        ft.await_event("draining")
        self.world.pg.restart()
        self.assertEqual(ft.process.wait(timeout=lab.ENDED_SECONDS), 0)
        self.assertEqual(ft.events("stopped")[0]["left_in_spool"], 0)
        gap = self.gap("spool_damaged")
        self.assertEqual(self.world.count("message LIKE 'numbered %'"), 31000 - gap["lost"])

    def test_the_cursor_is_never_past_damage_that_is_not_on_record(self):
        ft = self.damaged()
        self.world.pg.restart()
        ft.start(wait=False)
        lab.wait_for(lambda: self.world.count("message LIKE 'numbered %'") > 20000,
                     what="rows from behind the damage")
        ft.kill()
        gap = self.gap("spool_damaged")
        self.assertGreater(gap["lost"], 0)

    def test_damage_in_the_spool_is_a_gap_and_the_rest_is_stored(self):
        ft = self.damaged()
        self.world.pg.restart()
        ft.start()
        gap = self.gap("spool_damaged")
        self.assertGreater(gap["lost"], 0)
        self.assertLess(gap["lost"], 100)
        self.assertEqual(ft.health()[1]["spool"]["damaged_segments"], 1)
        self.world.publish(10, tag="after")
        self.world.await_rows(10, "message LIKE 'after line %'")
        self.assertEqual(ft.stop(), 0)
        got = [n for n, _ in self.world.numbers()]
        self.assertEqual(len(got), 31000 - gap["lost"])
        self.assertEqual(len(ft.events("spool_damaged")), 1)

    def test_what_a_crash_had_not_finished_is_told_at_the_start(self):
        ft = self.world.flytrail().start()
        self.world.publish(100)
        self.world.await_rows(100)
        self.assertEqual(ft.events("spool_mended"), [])
        self.assertEqual(ft.health()[1]["spool"]["torn_bytes"], 0)
        ft.kill()
        segment, = glob.glob(os.path.join(ft.folder, "spool", "*.seg"))
        with open(segment, "r+b") as spool:
            spool.seek(len(spool.read().rstrip(b"\0")))
            spool.write(b"half a group")
        ft.start()
        self.assertGreater(ft.events("spool_mended")[0]["torn_bytes"], 0)
        self.assertGreater(ft.health()[1]["spool"]["torn_bytes"], 0)
        self.assertEqual(ft.stop(), 0)

    @unittest.skipUnless(can_mount(), "a tmpfs can be mounted by root alone")
    def test_a_full_disk_stops_intake_and_is_a_gap(self):
        ft = self.world.flytrail()
        spool = os.path.join(ft.folder, "spool")
        os.makedirs(spool)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "none", spool], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", spool], check=True)
        ft.start()
        self.world.publish(1000)
        self.world.await_rows(1000)
        self.world.pg.stop()
        # Somebody else's file takes what the spool counts on.
        with open(os.path.join(spool, "other"), "wb") as other:
            other.write(b"x" * (30 * 1024 * 1024))
        self.world.publish(400000, first=1000, rate=60000)
        ft.await_event("spool_full")
        self.world.pg.restart()
        os.remove(os.path.join(spool, "other"))
        ft.await_event("spool_room", timeout=90)
        self.world.publish(10, tag="after")
        self.world.await_rows(10, "message LIKE 'after line %'", timeout=90)
        self.assertEqual(ft.stop(), 0)
        self.assertTrue([g for g in self.world.gaps() if g["reason"] == "spool_full"])
        self.world.check_every_line_is_a_row_or_in_a_gap(401000)


if __name__ == "__main__":
    unittest.main()
