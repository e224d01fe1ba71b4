"""`flytrail run` over HTTP: both families, four pages and no more, red with a reason, exact sums."""

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import fly_api  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402

FLYTRAIL = flytrail.BINARY
TOKEN = "made-up-status-token"
SECRETS = (lab.Nats.ORG[1], "MADE-UP-PASSWORD", TOKEN)
LAG_SECONDS = 30  # HEALTH_LAG_SECONDS_MAX
HELP = re.compile(r"# HELP ([a-z][a-z0-9_]*) [^\\]+")
TYPE = re.compile(r"# TYPE ([a-z][a-z0-9_]*) (counter|gauge|histogram)")
SAMPLE = re.compile(r'([a-z][a-z0-9_]*)(?:\{([a-z]+)="([^"\\]*)"\})? (NaN|[0-9]+(?:\.[0-9]+)?)')


def parse_metrics(text):
    """Samples by name, or by (name, label's value); fails on what the text format does not allow."""
    samples, families = {}, {}
    assert text.endswith("\n")
    lines = text.split("\n")[:-1]
    family = kind = None
    for number, line in enumerate(lines):
        if found := HELP.fullmatch(line):
            family = found[1]
            assert family not in families and TYPE.fullmatch(lines[number + 1]), line
        elif found := TYPE.fullmatch(line):
            assert found[1] == family and HELP.fullmatch(lines[number - 1]), line
            kind = families[family] = found[2]
            assert (kind == "counter") == family.endswith("_total"), line
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            assert found[1] in [family + end for end in ends], line
            key = (found[1], found[3]) if found[2] else found[1]
            assert key not in samples, line
            samples[key] = float(found[4])
    for name in (name for name, kind in families.items() if kind == "histogram"):
        buckets = [(float(key[1]), value) for key, value in samples.items()
                   if key[0] == name + "_bucket"]
        assert buckets == sorted(buckets) and buckets[-1][0] == float("inf"), name
        counts = [count for _, count in buckets]
        assert counts == sorted(counts) and counts[-1] == samples[name + "_count"], name
    return samples


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pg = lab.Postgres().start()
        cls.addClassCleanup(cls.pg.close)
        cls.nats = lab.Nats().start()
        cls.addClassCleanup(cls.nats.close)
        # Gaps that nobody could fill would be red.
        cls.api = cls.enterClassContext(fly_api.FlyApi(token=cls.nats.ORG[1], org=cls.nats.ORG[0]))
        cls.api.add_app("web-1")
        cls.folder = tempfile.mkdtemp(prefix="flytrail-http-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        subprocess.run([FLYTRAIL, "migrate"], check=True, capture_output=True,
                       env={"FLYTRAIL_ADMIN_DATABASE_URL": cls.pg.url()})
        cls.port = lab.free_port()
        url = cls.pg.url("flytrail_writer").replace("@", f":{SECRETS[1]}@")
        cls.env = env = {**{name: os.environ[name] for name in flytrail.SANITIZERS
                            if name in os.environ}, "ORG": cls.nats.ORG[0], "ACCESS_TOKEN": cls.nats.ORG[1],
               "NATS_URL": cls.nats.url, "FLYTRAIL_API_URL": cls.api.url,
               "FLYTRAIL_MACHINES_URL": cls.api.url, "FLYTRAIL_SPOOL_DIR": f"{cls.folder}/spool",
               "FLYTRAIL_SPOOL_MAX_BYTES": "64MiB", "FLYTRAIL_DRAIN_SECONDS": "2",
               "FLYTRAIL_DATABASE_URL": url, "FLYTRAIL_STATUS_TOKEN": TOKEN,
               "FLYTRAIL_LISTEN": f"{'[::]' if has_ipv6() else '0.0.0.0'}:{cls.port}"}
        with open(f"{cls.folder}/log", "wb") as log:
            cls.run_ = subprocess.Popen([FLYTRAIL, "run"], env=env, stdin=subprocess.DEVNULL,
                                        stderr=log)
        cls.addClassCleanup(cls.end)
        lab.wait_for(lambda: cls.status("/health") == 200, what="a green /health")

    @classmethod
    def end(cls):
        cls.run_.terminate()
        cls.run_.wait(timeout=lab.ENDED_SECONDS)

    @classmethod
    def ask(cls, path, method="GET", host="127.0.0.1", headers=()):
        connection = http.client.HTTPConnection(host, cls.port, timeout=flytrail.ANSWER_SECONDS)
        try:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    @classmethod
    def status(cls, path):
        try:
            return cls.ask(path)[0]
        except OSError:
            return None

    def checks(self, path):
        status, _, body = self.ask(path)
        for secret in SECRETS:
            self.assertNotIn(secret.encode(), body)
        answer = json.loads(body)
        self.assertEqual(answer["status"] == "ok", status == 200)
        for check in answer["checks"]:
            self.assertTrue(check["value"] and check["limit"] and check["do"], check)
        return status, {check["name"]: check for check in answer["checks"]}

    def test_both_families_are_served(self):
        self.assertEqual(self.ask("/ready")[0], 200)
        if not has_ipv6():
            self.skipTest("this machine has no ::1")
        for path in ("/ready", "/health", "/metrics"):
            self.assertEqual(self.ask(path, host="::1")[0], 200)

    def test_each_check_says_its_value(self):
        status, checks = self.checks("/health")
        self.assertEqual(status, 200)
        self.assertEqual(set(checks), {"source", "heartbeat", "lag", "spool", "store", "clock",
                                       "worker", "watcher", "retention"})
        self.assertEqual(checks["source"]["value"], "connected")
        self.assertRegex(checks["spool"]["value"], r"^open: \d+ % of \d+ bytes wait for Postgres$")
        self.assertRegex(checks["lag"]["value"], r"^\d+\.\d s, \d+ records are not stored$")
        self.assertEqual(checks["lag"]["limit"], f"{LAG_SECONDS} s")
        self.assertEqual(set(self.checks("/ready")[1]), {"source", "spool"})

    def test_head_has_the_same_head_and_no_body(self):
        status, headers, body = self.ask("/ready", "HEAD")
        self.assertEqual((status, body), (200, b""))
        self.assertEqual(headers["Content-Type"], "application/json")

    def test_nothing_else_is_there(self):
        for path in ("/", "/metrics/", "/health/x", "/config"):
            self.assertEqual(self.ask(path)[0], 404, path)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            self.assertEqual(self.ask("/ready", method)[0], 405, method)

    def test_oversized_requests_do_no_harm(self):
        for request in (b"GET /" + b"a" * 1_000_000, b"GET /ready HTTP/1.1\r\n" + b"X: y\r\n" * 200_000,
                        b"\0" * 1_000_000):
            with socket.create_connection(("127.0.0.1", self.port), timeout=flytrail.ANSWER_SECONDS) as wire:
                try:
                    wire.sendall(request)
                    wire.recv(4096)
                except OSError:
                    pass  # it hung up while we were still sending
            self.assertEqual(self.ask("/ready")[0], 200)

    def test_health_is_red_while_postgres_is_away_and_ready_is_not(self):
        self.pg.stop()
        try:
            lab.wait_for(self.publish_and_see_red, what="a red /health")
            status, checks = self.checks("/health")
            self.assertEqual(status, 503)
            self.assertFalse(checks["store"]["ok"])
            self.assertIn("doctor", checks["store"]["do"])
            self.assertTrue(checks["spool"]["ok"])
            self.assertEqual(self.ask("/ready")[0], 200)
        finally:
            self.pg.restart()
        lab.wait_for(lambda: self.status("/health") == 200, timeout=90, what="a green /health")

    def publish(self, count, first=0):
        subprocess.run([os.path.join(ROOT, "build", "tests", "support", "natspub"), self.nats.url,
                        *self.nats.FLY, "--count", str(count), "--first", str(first)], check=True,
                       capture_output=True)

    def publish_and_see_red(self):
        """A line now and then, because only a write notices that Postgres is gone."""
        self.publish(1)
        return not self.checks("/health")[1]["store"]["ok"]

    def metrics(self):
        status, headers, body = self.ask("/metrics")
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
        for secret in SECRETS:
            self.assertNotIn(secret.encode(), body)
        return {key.removeprefix("flytrail_") if isinstance(key, str)
                else (key[0].removeprefix("flytrail_"), key[1]): value
                for key, value in parse_metrics(body.decode("ascii")).items()}

    def settled(self, metrics=None):
        """The metrics when nothing is under way, to the spool or from it."""
        def are():
            m = (metrics or self.metrics)()
            came = m["lines_accepted_total"] + m["facts_accepted_total"] + m["events_accepted_total"]
            return m if m["spool_records"] == 0 and m["records_accepted_total"] == came else None

        return lab.wait_for(are, what="all to be stored")

    def check_sums(self, m):
        """What run/status.h says; nothing is on its way between the two."""
        self.assertEqual(m["lines_received_total"], m["lines_accepted_total"])
        self.assertEqual(m["lines_decoded_total"] + m["lines_undecoded_total"],
                         m["lines_accepted_total"])
        self.assertEqual(m["records_accepted_total"],
                         m["lines_accepted_total"] + m["facts_accepted_total"] + m["events_accepted_total"])
        self.assertEqual(m["records_accepted_total"] + m["records_found_total"],
                         m["records_passed_total"] - m["records_forgotten_total"]
                         + m["spool_records"])

    def test_a_line_is_counted_at_every_hand_over(self):
        before = self.settled()
        self.publish(500, first=100_000)
        lab.wait_for(lambda: self.metrics()["lines_stored_total"] >= before["lines_stored_total"]
                     + 500, what="500 lines")
        after = self.settled()
        self.check_sums(after)
        for name in ("lines_received_total", "lines_accepted_total", "lines_stored_total",
                     "lines_decoded_total"):
            self.assertEqual(after[name] - before[name], 500, name)
        for name in ("lines_dropped_total", "lines_duplicate_total", "dead_letters_total"):
            self.assertEqual(after[name], before[name], name)
        self.assertEqual(after["store_lag_seconds"], 0)
        self.assertLess(after["source_received_age_seconds"], 60)
        self.assertEqual((after["source_connected"], after["store_working"]), (1, 1))
        self.assertTrue(all(after["check_ok", name] == 1 for name in self.checks("/health")[1]))
        for name in ("spool_commit", "store_transaction", "store_copy"):
            self.assertGreater(after[f"{name}_duration_seconds_count"],
                               before[f"{name}_duration_seconds_count"])
            self.assertGreater(after[f"{name}_duration_seconds_sum"], 0)
        self.publish_again_and_see_duplicates()

    def publish_again_and_see_duplicates(self):
        """Twenty lines, each of them published twice."""
        now = fly_api.time_text(time.time_ns())
        with open(f"{self.folder}/lines", "w", encoding="utf-8") as out:
            for n in range(40):
                out.write(json.dumps({
                    "event": {"provider": "app"}, "fly": {"app": {"instance": "m1", "name": "web"},
                                                          "region": "ams"},
                    "host": "h1", "log": {"level": "info"}, "message": f"again {n % 20}",
                    "timestamp": now}) + "\n")
        before = self.settled()
        subprocess.run([os.path.join(ROOT, "build", "tests", "support", "natspub"), self.nats.url,
                        *self.nats.FLY, "--file", f"{self.folder}/lines"], check=True,
                       capture_output=True)
        lab.wait_for(lambda: self.metrics()["lines_received_total"]
                     == before["lines_received_total"] + 40, what="40 lines")
        after = self.settled()
        self.check_sums(after)
        self.assertEqual(after["lines_stored_total"] - before["lines_stored_total"], 20)
        self.assertEqual(after["lines_duplicate_total"] - before["lines_duplicate_total"], 20)

    def test_health_is_red_by_its_lag_while_postgres_hangs(self):
        """It accepts connections and answers nothing: the store still waits, and says `working`."""
        before = self.settled()
        self.pg.pause()
        try:
            published = time.monotonic()
            self.publish(300, first=200_000)
            checks = lab.wait_for(self.red_checks, timeout=LAG_SECONDS + 60, what="a red /health")
            self.assertEqual([name for name, check in checks.items() if not check["ok"]], ["lag"])
            seconds, = re.fullmatch(r"(\d\d\.\d) s, 300 records are not stored", checks["lag"]["value"]).groups()
            flytrail.check_moment(float(seconds), LAG_SECONDS, time.monotonic() - published)
            self.assertIn("pg_stat_activity", checks["lag"]["do"])
            now = self.metrics()
            self.check_sums(now)
            self.assertEqual(now["spool_records"], 300)
            self.assertEqual(now["lines_accepted_total"] - before["lines_accepted_total"],
                             now["lines_stored_total"] - before["lines_stored_total"]
                             + now["lines_duplicate_total"] - before["lines_duplicate_total"]
                             + now["dead_letters_total"] - before["dead_letters_total"]
                             + now["spool_records"])
            self.assertGreater(now["store_lag_seconds"], LAG_SECONDS)
            self.assertGreater(now["spool_held_bytes"], 0)
            self.assertEqual((now["check_ok", "lag"], now["check_ok", "store"]), (0, 1))
            self.assertEqual(self.ask("/ready")[0], 200)
            self.assertRegex(self.status_page(), r"lag         NOT OK    \d\d\.\d s, 300 records")
        finally:
            self.pg.resume()
        lab.wait_for(lambda: self.status("/health") == 200, timeout=90, what="a green /health")
        after = self.settled()
        self.check_sums(after)
        self.assertEqual(after["lines_stored_total"] - before["lines_stored_total"], 300)
        self.assertEqual(after["store_lag_seconds"], 0)

    def red_checks(self):
        status, checks = self.checks("/health")
        return checks if status == 503 else None

    def status_page(self):
        status, headers, body = self.ask("/status", headers={"Authorization": f"Bearer {TOKEN}"})
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "text/plain; charset=utf-8")
        for secret in SECRETS:
            self.assertNotIn(secret.encode(), body)
        return body.decode("ascii")

    def test_status_fits_a_terminal_and_wants_the_token(self):
        self.settled()
        text = self.status_page()
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertIn("\nAll is well", text)
        self.assertRegex(text, r"\n  lines stored +\d+\n")
        for headers in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}):
            status, answer, body = self.ask("/status", headers=headers)
            self.assertEqual((status, answer["WWW-Authenticate"]),
                             (401, 'Bearer realm="flytrail"'))
            self.assertNotIn(b"lines stored", body)
            self.assertNotIn(TOKEN.encode(), body)

    def test_it_is_starting_while_postgres_was_never_there_and_what_was_left_is_found(self):
        with flytrail.World() as world:
            world.pg.stop()
            ft = world.flytrail(FLYTRAIL_HEARTBEAT_SECONDS="0", FLYTRAIL_DRAIN_SECONDS="0",
                                FLYTRAIL_API_URL=self.api.url, FLYTRAIL_MACHINES_URL=self.api.url)
            ft.start(wait=False)
            ft.await_event("source_connected")
            world.publish(200)
            lab.wait_for(lambda: ft.metrics()["lines_accepted_total"] == 200,
                         what="200 lines")
            status, checks = ft.health()
            self.assertEqual((status, checks["store"]["ok"]), (503, False))
            self.assertEqual(self.word_of(ft), "starting")
            lab.wait_for(lambda: ft.metrics()["records_accepted_total"] > 200,
                         what="a commit of all")
            left = ft.metrics()
            self.assertGreater(left["store_lag_seconds"], 0)
            ft.kill()
            world.pg.restart()
            ft.start()
            world.await_rows(200)
            lab.wait_for(lambda: self.word_of(ft) == "ok", what="a green /health")
            found = self.settled(ft.metrics)
            self.check_sums(found)
            self.assertGreaterEqual(found["records_found_total"], left["spool_records"])
            self.assertEqual(found["lines_stored_total"], 200)

    @staticmethod
    def word_of(ft):
        connection = http.client.HTTPConnection("127.0.0.1", ft.port, timeout=flytrail.ANSWER_SECONDS)
        connection.request("GET", "/health")
        return json.loads(connection.getresponse().read())["status"]

    def test_health_is_red_while_the_stream_is_away_and_ready_is_not(self):
        self.nats.crash()
        try:
            lab.wait_for(lambda: not self.checks("/health")[1]["source"]["ok"], what="a red source")
            self.assertEqual(self.status("/health"), 503)
            self.assertEqual(self.ask("/ready")[0], 200)
        finally:
            self.nats.restart()
        lab.wait_for(lambda: self.status("/health") == 200, timeout=90, what="a green /health")

    def test_doctor_disturbs_nothing(self):
        before = sorted(os.listdir(f"{self.folder}/spool"))
        done = subprocess.run([FLYTRAIL, "doctor"], env=self.env, capture_output=True, text=True,
                              timeout=lab.ENDED_SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(sorted(os.listdir(f"{self.folder}/spool")), before)
        self.assertEqual(self.ask("/health")[0], 200)

    def test_the_environment_holds_no_secret_any_more(self):
        with open(f"/proc/{self.run_.pid}/environ", "rb") as file:
            environ = file.read()
        for secret in SECRETS:
            self.assertNotIn(secret.encode(), environ)
        with open(f"/proc/{self.run_.pid}/cmdline", "rb") as file:
            self.assertNotIn(b"MADE-UP", file.read())


if __name__ == "__main__":
    unittest.main()
