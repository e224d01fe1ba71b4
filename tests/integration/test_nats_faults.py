"""The log stream fails: whatever is missing lies in a gap on record, with its reason and times."""

import os
import signal
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402


MARGIN = flytrail.MARGIN_SECONDS


class NatsFaults(unittest.TestCase):
    def start(self, **nats_options):
        self.world = self.enterContext(flytrail.World(nats_options=nats_options))
        self.began = time.time()
        return self.world.flytrail().start()

    def change_password(self, password):
        """As an operator would: a new configuration, and a signal."""
        path = os.path.join(self.world.nats.folder, "nats.conf")
        with open(path, encoding="utf-8") as conf:
            text = conf.read()
        with open(path, "w", encoding="utf-8") as conf:
            conf.write(text.replace(f"password: {self.password}", f"password: {password}"))
        self.password = password
        self.world.nats.process.send_signal(signal.SIGHUP)

    def test_a_server_that_dies_is_a_gap_open_at_once_and_closed_later(self):
        self.start()
        self.world.publish(1000)
        self.world.await_rows(1000)
        self.world.nats.crash()
        died = time.time()
        gap = self.world.await_gap("disconnect", closed=False)
        self.assertIsNone(gap["end"])
        flytrail.check_moment(gap["start"] + MARGIN, self.began, died)
        back = time.time()
        self.world.nats.restart()
        gap = self.world.await_gap("disconnect", closed=True)
        flytrail.check_moment(gap["end"] - MARGIN, back, time.time())
        self.world.publish(1000, first=1000)
        self.world.await_rows(2000)
        self.assertEqual(len(self.world.gaps()), 1)
        self.assertEqual(self.world.check_every_line_is_a_row_or_in_a_gap(2000), 0)

    def test_a_server_that_hangs_is_noticed_and_is_a_gap(self):
        ft = self.start()
        self.world.publish(1000)
        self.world.await_rows(1000)
        self.world.nats.pause()
        hung = time.time()
        # Sooner than the library would give it up, whose second ping goes out after twenty seconds.
        lab.wait_for(lambda: not ft.health()[1]["source"]["ok"], 20, "a red source")
        gap = self.world.await_gap("disconnect", closed=False)
        flytrail.check_moment(gap["start"] + MARGIN, self.began, hung)
        self.world.nats.resume()
        self.world.await_gap("disconnect", closed=True)
        self.world.publish(1000, first=1000)
        self.world.await_rows(2000)
        lab.wait_for(ft.is_well, what="a green /health")

    def test_a_flytrail_that_stood_still_is_cut_off_and_says_so(self):
        ft = self.start(max_pending="5MB", write_deadline="1s")
        self.world.publish(10000)
        self.world.await_rows(10000)
        ft.signal(signal.SIGSTOP)
        publisher = self.world.publisher("--count", 290000, "--first", 10000, "--rate", 60000)
        lab.wait_for(lambda: "Slow Consumer" in self.world.nats.log(), 60, "the server to cut it off")
        ft.signal(signal.SIGCONT)
        self.assertEqual(publisher.wait(timeout=lab.ENDED_SECONDS), 0)
        self.world.await_gap("disconnect", closed=True)
        self.world.publish(1000, first=300000)
        self.world.await_rows(1000, "message ~ '^numbered line 300[0-9]{3} '")
        lost = self.world.check_every_line_is_a_row_or_in_a_gap(301000)
        self.assertGreater(lost, 0)

    def test_a_burst_that_fits_into_what_may_wait_loses_nothing(self):
        self.start()
        count = 60000  # 20 MB, as fast as they can be published
        self.assertEqual(self.world.publisher("--count", count).wait(timeout=lab.ENDED_SECONDS), 0)
        self.world.await_rows(count)
        self.assertEqual(self.world.gaps(), [])

    def test_what_the_library_drops_is_counted_to_the_line(self):
        # A server that never cuts it off, however slowly it reads: then all that is lost the library drops.
        self.world = self.enterContext(flytrail.World(nats_options={"max_pending": "1GB", "write_deadline": "120s"}))
        ft = self.world.flytrail(FLYTRAIL_SPOOL_MAX_BYTES="64MiB").start()
        count = 400000  # 130 MB: more than the spool and what may wait before it
        self.world.pg.pause()
        self.assertEqual(self.world.publisher("--count", count).wait(timeout=lab.ENDED_SECONDS), 0)
        self.world.pg.resume()
        def all_is_stored():
            return ft.is_well() and ft.health()[1]["lag"]["value"].endswith(" 0 records are not stored")

        lab.wait_for(all_is_stored, 120, "everything stored")
        self.world.publish(1, first=count)
        self.world.await_rows(1, f"message LIKE 'numbered line {count} %'")
        ft.stop()
        lost = self.world.check_every_line_is_a_row_or_in_a_gap(count + 1)
        told = sum(gap["lost"] or 0 for gap in self.world.gaps("slow_consumer"))
        self.assertGreater(lost, 0)
        self.assertEqual(told, lost, self.world.gaps())

    def test_a_wrong_token_is_tried_until_it_is_right(self):
        self.world = self.enterContext(flytrail.World())
        ft = self.world.flytrail(ACCESS_TOKEN="FlyV1 other").start(wait=False)
        ft.await_event("source_disconnected")
        self.assertIn("ORG and ACCESS_TOKEN", ft.events("source_disconnected")[0]["error"])
        self.assertNotIn("other", str(ft.log_lines()))
        self.assertEqual(ft.health("/ready")[0], 200)
        self.assertEqual(ft.health("/health")[0], 503)
        self.password = self.world.nats.ORG[1]
        self.change_password("other")
        ft.await_event("source_connected")
        self.world.publish(100)
        self.world.await_rows(100)
        # Coverage does not begin while nothing could come.
        gap = self.world.await_gap("start", closed=True)
        self.assertGreater(gap["end"] - gap["start"], 9)

    def test_a_token_that_is_withdrawn_while_running_is_tried_again_for_ever(self):
        ft = self.start()
        self.password = self.world.nats.ORG[1]
        self.change_password("withdrawn")
        self.world.await_gap("disconnect", closed=False)
        lab.wait_for(lambda: "ORG and ACCESS_TOKEN" in ft.health()[1]["source"]["value"],
                     what="the reason in /health")
        time.sleep(3)
        self.change_password(self.world.nats.ORG[1])
        self.world.await_gap("disconnect", closed=True)
        self.world.publish(100)
        self.world.await_rows(100)

    def test_a_subject_that_may_not_be_read_is_said(self):
        self.world = self.enterContext(flytrail.World())
        ft = self.world.flytrail(SUBJECT="metrics.>").start(wait=False)
        ft.await_event("source_disconnected")
        self.assertIn("SUBJECT", ft.events("source_disconnected")[0]["error"])
        self.assertEqual(ft.events("source_connected"), [])

    def test_a_server_that_comes_later_is_awaited(self):
        self.world = self.enterContext(flytrail.World())
        self.world.nats.crash()
        ft = self.world.flytrail().start(wait=False)
        ft.await_event("source_disconnected")
        self.assertIn("NATS_URL", ft.events("source_disconnected")[0]["error"])
        self.world.nats.restart()
        ft.await_event("source_connected")
        self.world.publish(100)
        self.world.await_rows(100)


if __name__ == "__main__":
    unittest.main()
