"""`flytrail run`, end to end: NATS or files in, rows in Postgres out, each line once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

MANY = 200000
DRAIN_SECONDS_MAX = 290
MARGIN = flytrail.MARGIN_SECONDS
# A year or so from now a fixed one would be too long ago for a line's own time.
DAY = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400))


def fly_line(app, message, provider="app", timestamp=f"{DAY}T22:14:18.000000001Z"):
    return json.dumps({
        "event": {"provider": provider},
        "fly": {"app": {"instance": "0e286551c30586", "name": app}, "region": "ams"},
        "host": "0ad1", "log": {"level": "info"}, "message": message, "timestamp": timestamp,
    }, separators=(",", ":"))


class Run(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def test_every_line_of_200_000_is_a_row(self):
        ft = self.world.flytrail().start()
        self.world.publish_awaited(ft, MANY)
        self.world.await_rows(MANY, timeout=120)
        self.assertEqual(ft.stop(), 0)
        self.world.check_each_line_is_one_row(range(MANY))
        self.assertEqual(self.world.gaps(), [])
        facts = self.world.pg.psql(
            "SELECT action FROM flytrail.events WHERE action <> 'trail.listening' ORDER BY seq")
        self.assertEqual(facts, [["trail.started"], ["trail.stopped"]])
        self.assertEqual(ft.events("stopped")[0]["left_in_spool"], 0)

    def test_a_file_that_is_read_in_does_not_hide_what_was_missed(self):
        ft = self.world.flytrail().start()
        self.world.publish(10)
        self.world.await_rows(10)
        self.assertEqual(ft.stop(), 0)
        stopped = time.time()
        time.sleep(2)
        path = os.path.join(self.world.folder, "lines.ndjson")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(fly_line("web", f"line {n}") + "\n" for n in range(1000))
        ft.arguments = [path]
        self.assertEqual(ft.start(wait=False).process.wait(timeout=lab.ENDED_SECONDS), 0)
        ft.arguments = []
        ft.start()
        gap, = lab.wait_for(self.world.gaps, what="the gap")
        self.assertEqual(gap["reason"], "start")
        self.assertLessEqual(gap["start"], stopped - MARGIN)  # and not before the file was read
        self.assertEqual(ft.stop(), 0)

    def test_sigterm_under_load_loses_nothing_that_came(self):
        ft = self.world.flytrail().start()
        publisher = self.world.publisher("--count", 10**7, "--rate", 6000)
        self.addCleanup(publisher.wait)
        self.addCleanup(publisher.kill)
        self.world.await_rows(10000)
        self.assertEqual(ft.stop(), 0)
        self.world.check_each_line_is_one_row(range(self.world.numbers()[-1][0] + 1))
        self.assertEqual(ft.events("stopped")[0]["left_in_spool"], 0)

    def test_a_second_sigterm_ends_the_drain_and_the_spool_keeps_the_rest(self):
        # Of itself it would drain for longer than it is waited for.
        self.assertGreater(DRAIN_SECONDS_MAX, lab.ENDED_SECONDS)
        ft = self.world.flytrail(FLYTRAIL_DRAIN_SECONDS=str(DRAIN_SECONDS_MAX)).start()
        self.world.pg.stop()
        self.world.publish(5000)
        ft.await_event("store_retry")
        ft.await_accepted(5000)
        ft.signal(signal.SIGTERM)
        ft.await_event("draining")
        time.sleep(0.5)
        self.assertIsNone(ft.process.poll())
        ft.signal(signal.SIGTERM)
        self.assertEqual(ft.process.wait(timeout=lab.ENDED_SECONDS), 0)
        self.assertGreaterEqual(ft.events("stopped")[0]["left_in_spool"], 5000)
        self.world.pg.restart()
        ft.start()
        self.world.await_rows(5000)
        self.world.check_each_line_is_one_row(range(5000))

    def test_a_hung_postgres_does_not_hold_up_the_end(self):
        ft = self.world.flytrail(FLYTRAIL_DRAIN_SECONDS="1").start()
        self.world.pg.pause()
        self.world.publish(1000)
        ft.await_accepted(1000)
        time.sleep(1)  # in which Postgres is asked to store them
        self.assertEqual(ft.stop(), 0)
        self.world.pg.resume()
        ft.start()
        self.world.await_rows(1000)
        self.world.check_each_line_is_one_row(range(1000))

    def miss_100_lines(self, ft, meanwhile=lambda: None):
        """Rows before and after a stop, and lines during it. Returns the times between which it
        stopped listening, and those between which it began again."""
        ft.start()
        stopped = [time.time()]
        self.world.publish(100)
        self.world.await_rows(100)
        ft.stop()
        stopped.append(time.time())
        self.world.publish(100, first=100)
        meanwhile()
        connected = [time.time()]
        ft.start()
        connected.append(time.time())
        self.world.publish(100, first=200)
        self.world.await_rows(200)
        ft.stop()
        self.assertEqual(self.world.check_every_line_is_a_row_or_in_a_gap(300), 100)
        return stopped, connected

    def check_gap(self, stopped, connected):
        gap, = self.world.gaps()
        self.assertEqual(gap["reason"], "start")
        flytrail.check_moment(gap["start"] + MARGIN, *stopped)
        flytrail.check_moment(gap["end"] - MARGIN, *connected)

    def test_a_restart_is_a_gap_and_a_first_start_is_none(self):
        stopped, connected = self.miss_100_lines(self.world.flytrail())
        self.check_gap(stopped, connected)

    def test_a_start_on_a_new_volume_is_a_gap_since_the_old_ones_last_row(self):
        ft = self.world.flytrail()
        stopped, connected = self.miss_100_lines(
            ft, meanwhile=lambda: shutil.rmtree(ft.env["FLYTRAIL_SPOOL_DIR"]))
        self.check_gap(stopped, connected)
        ft.start()
        ft.stop()
        self.assertEqual(len(self.world.gaps()), 2)  # that restart's own, and no other

    def test_two_replicas_make_every_line_one_row_and_either_may_die(self):
        first, second = self.world.flytrail().start(), self.world.flytrail().start()
        publisher = self.world.publisher("--count", 60000, "--rate", 15000)
        time.sleep(1.5)
        first.kill()
        self.assertEqual(publisher.wait(timeout=lab.ENDED_SECONDS), 0)
        self.world.await_rows(60000)
        first.start()
        second.stop()
        first.stop()
        self.world.check_each_line_is_one_row(range(60000))
        streams = self.world.pg.psql("SELECT count(*) FROM flytrail.streams")
        self.assertEqual(streams, [["2"]])

    def test_a_queue_group_shares_the_lines(self):
        pair = [self.world.flytrail(FLYTRAIL_QUEUE="trail").start() for _ in range(2)]
        self.world.publish(20000)
        self.world.await_rows(20000)
        for ft in pair:
            ft.stop()
        self.world.check_each_line_is_one_row(range(20000))
        stored = [ft.events("stopped")[0]["lines_stored"] for ft in pair]
        self.assertEqual(sum(stored), 20000)
        self.assertGreater(min(stored), 5000)

    def test_its_own_lines_come_back_and_are_answered_with_silence(self):
        ft = self.world.flytrail().start()
        self.world.publish_lines(["not json at all", fly_line("web", "hello")])
        self.world.await_rows(2)
        fed = 0
        before = len(ft.log_lines())
        for turn in range(5):
            with open(ft.log_path, encoding="utf-8") as log:
                own = log.read().splitlines()
            own += ['{"level":"error","event":"store_parked","error":"feedback"}',
                    "machine exited with exit code 0, not restarting"]
            lines = [fly_line("flytrail", text, "app", f"{DAY}T22:{turn:02}:18.{n:09}Z")
                     for n, text in enumerate(own * 20)]
            self.world.publish_lines(lines)
            fed += len(lines)
            self.world.await_rows(fed, "app = 'flytrail'")
        self.assertEqual(len(ft.log_lines()), before)
        ft.stop()
        self.assertEqual(self.world.count("app = 'flytrail' AND class <> 'app_log'"), 0)
        events = self.world.pg.psql(
            "SELECT count(*) FROM flytrail.events WHERE app = 'flytrail' AND class <> 'trail'")
        self.assertEqual(events, [["0"]])

    def test_lines_of_any_content_are_rows(self):
        ft = self.world.flytrail().start()
        lines = ["{", "[" * 10000, '{"message":"\\ud800 \\u0000"}', "\x1b[31mred",
                 '{"message":1}', '{"message":"a","message":"b"}',
                 fly_line("web", "", timestamp="1970-01-01T00:00:00Z"),
                 fly_line("web", "x", timestamp="2262-04-11T23:47:16.854775807Z"),
                 fly_line("web", "y" * (2 * 1024 * 1024))]
        self.world.publish_lines(lines)
        self.world.await_rows(len(lines))
        self.world.publish(10)
        self.world.await_rows(10, "message LIKE 'numbered%'")
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.count(), len(lines) + 10)
        long, = self.world.pg.psql("SELECT length(message), attributes->>'message_bytes' "
                                   "FROM flytrail.log_lines WHERE message LIKE 'yyy%'")
        self.assertEqual(long, ["1048576", "2097152"])
        self.assertEqual(ft.events("dead_letter"), [])


class Files(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())
        self.path = os.path.join(self.world.folder, "input")

    def run_on(self, text, *arguments, stdin=False, **env):
        with open(self.path, "w", encoding="utf-8") as out:
            out.write(text)
        with open(self.path, encoding="utf-8") as lines:
            return subprocess.run(
                [flytrail.BINARY, "run", *arguments, *(["-"] if stdin else [self.path])],
                env={"FLYTRAIL_DATABASE_URL": self.world.pg.url("flytrail_writer"),
                     "FLYTRAIL_SPOOL_MAX_BYTES": "64MiB",
                     "FLYTRAIL_SPOOL_DIR": f"{self.world.folder}/spool", **env},
                stdin=lines if stdin else subprocess.DEVNULL, capture_output=True, text=True,
                timeout=lab.ENDED_SECONDS, check=False)

    def lines(self, count):
        return "".join(fly_line("web", f"line {n}",
                                timestamp=f"{DAY}T22:14:18.{n:09}Z") + "\n"
                       for n in range(count))

    def test_a_file_ends_by_itself_and_twice_is_once(self):
        for stored in (5000, 0):
            done = self.run_on(self.lines(5000))
            self.assertEqual(done.returncode, 0, done.stderr)
            stopped = json.loads(done.stderr.splitlines()[-1])
            self.assertEqual(stopped["lines_stored"], stored)
            self.assertEqual(self.world.count(), 5000)
        self.assertEqual(stopped["duplicates"], 5000)
        self.assertEqual(self.world.gaps(), [])

    def test_a_file_larger_than_the_spool_waits_for_postgres_and_is_no_gap(self):
        text = "".join(fly_line("web", f"line {n} " + "z" * 1000,
                                timestamp=f"{DAY}T22:14:18.{n:09}Z") + "\n"
                       for n in range(120000))
        done = self.run_on(text)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.world.count(), 120000)
        self.assertEqual(self.world.gaps(), [])

    def test_stdin_is_read_and_app_names_the_lines_that_name_none(self):
        done = self.run_on(f"{DAY}T22:14:18Z app[0e286551c30586] ams [info]hello\n",
                           "--app", "web-9", stdin=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = self.world.pg.psql("SELECT app, machine_id, message FROM flytrail.log_lines")
        self.assertEqual(rows, [["web-9", "0e286551c30586", "hello"]])

    def test_an_input_that_was_not_read_to_its_end_is_no_success(self):
        with subprocess.Popen(
                [flytrail.BINARY, "run", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, env={"FLYTRAIL_DATABASE_URL": self.world.pg.url("flytrail_writer"),
                                "FLYTRAIL_SPOOL_MAX_BYTES": "64MiB",
                                "FLYTRAIL_SPOOL_DIR": f"{self.world.folder}/spool"}) as run:
            run.stdin.write(self.lines(10))
            run.stdin.flush()
            self.world.await_rows(10)
            run.terminate()
            told = run.stderr.read()
            self.assertEqual(run.wait(lab.ENDED_SECONDS), 1)
        self.assertIn("input_unread", told)
        self.assertEqual(self.world.count(), 10)

    def test_progress_on_a_terminal_makes_way_for_the_log(self):
        with lab.Terminal() as terminal:
            with subprocess.Popen(
                    [flytrail.BINARY, "run", "-"], stdin=subprocess.PIPE, stderr=terminal.fd,
                    env={"FLYTRAIL_DATABASE_URL": self.world.pg.url("flytrail_writer"),
                         "FLYTRAIL_SPOOL_MAX_BYTES": "64MiB",
                         "FLYTRAIL_SPOOL_DIR": f"{self.world.folder}/spool"}) as run:
                run.stdin.write(self.lines(10).encode())
                run.stdin.flush()
                lab.wait_for(lambda: "10 lines read, 10 stored" in terminal.seen())
                run.stdin.close()
                self.assertEqual(run.wait(lab.ENDED_SECONDS), 0)
            *lines, last = terminal.all().split("\n")
        self.assertEqual(last.split("\r\x1b[K")[-1], "")
        for line in lines:
            json.loads(line.split("\r\x1b[K")[-1])
        self.assertEqual(json.loads(lines[0])["event"], "started")
        self.assertRegex(json.loads(lines[0])["version"], r"^\d+\.\d+\.\d+$")
        self.assertEqual(json.loads(lines[0])["spool"], f"{self.world.folder}/spool")

    def test_a_store_that_needs_an_operator_ends_it_with_a_sentence(self):
        self.world.pg.psql("DROP SCHEMA flytrail CASCADE")
        done = self.run_on(self.lines(10))
        self.assertEqual(done.returncode, 1)
        self.assertIn("migrate", done.stderr)

    def test_what_is_wrong_with_the_way_to_postgres_names_its_variable(self):
        for url in (self.world.pg.url("nobody"), self.world.pg.url("flytrail_writer", "nowhere"),
                    self.world.pg.url("flytrail_reader")):
            done = self.run_on(self.lines(10), FLYTRAIL_DATABASE_URL=url)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, '"event":"fatal".*FLYTRAIL_DATABASE_URL')
            self.assertNotIn(url, done.stderr)

    def test_its_arguments_are_those_of_classify(self):
        line = f"{DAY}T22:14:18Z app[0e286551c30586] ams [info]hello\n"
        self.assertEqual(self.run_on(line, "--app=web-1", stdin=True).returncode, 0)
        self.assertEqual(self.world.count("app = 'web-1'"), 1)
        for words in (["--app"], ["--app", "web"], ["--bogus"]):
            done = subprocess.run([flytrail.BINARY, "run", *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(done.stderr.count("\n"), 1)
            self.assertIn(words[0], done.stderr)

    def test_what_cannot_be_read_is_named_before_anything_starts(self):
        for path in ("/nonexistent/lines", self.world.folder):
            done = self.run_on("", path)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(done.stderr.count("\n"), 1)
            self.assertIn(path, done.stderr)

    def test_bad_values_are_all_listed_and_secrets_are_not(self):
        done = subprocess.run(
            [flytrail.BINARY, "run"], capture_output=True, text=True, timeout=lab.ENDED_SECONDS, check=False,
            env={"ORG": "a b", "ACCESS_TOKEN": 'planted"token', "FLYTRAIL_DRAIN_SECONDS": "x",
                 "NATS_URL": "nats://u:planted@127.0.0.1:4222", "FLYTRAIL_NO_SUCH": "planted"})
        self.assertEqual(done.returncode, 2)
        for name in ("ORG", "ACCESS_TOKEN", "FLYTRAIL_DRAIN_SECONDS", "NATS_URL",
                     "FLYTRAIL_NO_SUCH", "FLYTRAIL_DATABASE_URL"):
            self.assertIn(name, done.stderr)
        self.assertNotIn("planted", done.stderr)


if __name__ == "__main__":
    unittest.main()
