"""`flytrail run` over HTTP: both families, only what is there, and red when Postgres is away."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402

FLYTRAIL = os.path.join(ROOT, "build", "flytrail")
SECRETS = (lab.Nats.ORG[1], "MADE-UP-PASSWORD")


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
        cls.folder = tempfile.mkdtemp(prefix="flytrail-http-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        subprocess.run([FLYTRAIL, "migrate"], check=True, capture_output=True,
                       env={"FLYTRAIL_ADMIN_DATABASE_URL": cls.pg.url()})
        cls.port = lab.free_port()
        url = cls.pg.url("flytrail_writer").replace("@", f":{SECRETS[1]}@")
        cls.env = env = {"ORG": cls.nats.ORG[0], "ACCESS_TOKEN": cls.nats.ORG[1],
               "NATS_URL": cls.nats.url, "FLYTRAIL_API_URL": "http://127.0.0.1:1",
               "FLYTRAIL_MACHINES_URL": "http://127.0.0.1:1", "FLYTRAIL_SPOOL_DIR": f"{cls.folder}/spool",
               "FLYTRAIL_SPOOL_MAX_BYTES": "64MiB", "FLYTRAIL_DRAIN_SECONDS": "2",
               "FLYTRAIL_DATABASE_URL": url,
               "FLYTRAIL_LISTEN": f"{'[::]' if has_ipv6() else '0.0.0.0'}:{cls.port}"}
        with open(f"{cls.folder}/log", "wb") as log:
            cls.run_ = subprocess.Popen([FLYTRAIL, "run"], env=env, stdin=subprocess.DEVNULL,
                                        stderr=log)
        cls.addClassCleanup(cls.end)
        lab.wait_for(lambda: cls.status("/health") == 200, what="a green /health")

    @classmethod
    def end(cls):
        cls.run_.terminate()
        cls.run_.wait(timeout=30)

    @classmethod
    def ask(cls, path, method="GET", host="127.0.0.1"):
        connection = http.client.HTTPConnection(host, cls.port, timeout=5)
        try:
            connection.request(method, path)
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
        self.assertEqual(answer["status"], "ok" if status == 200 else "failing")
        return status, {check["name"]: check for check in answer["checks"]}

    def test_both_families_are_served(self):
        self.assertEqual(self.ask("/ready")[0], 200)
        if has_ipv6():
            self.assertEqual(self.ask("/ready", host="::1")[0], 200)

    def test_each_check_says_its_value(self):
        status, checks = self.checks("/health")
        self.assertEqual(status, 200)
        self.assertEqual(set(checks), {"source", "spool", "store"})
        self.assertEqual(checks["source"]["value"], "connected")
        self.assertRegex(checks["spool"]["value"], r"^open: \d+ of \d+ bytes$")

    def test_head_has_the_same_head_and_no_body(self):
        status, headers, body = self.ask("/ready", "HEAD")
        self.assertEqual((status, body), (200, b""))
        self.assertEqual(headers["Content-Type"], "application/json")

    def test_nothing_else_is_there(self):
        for path in ("/", "/metrics", "/health/x", "/config"):
            self.assertEqual(self.ask(path)[0], 404, path)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            self.assertEqual(self.ask("/ready", method)[0], 405, method)

    def test_oversized_requests_do_no_harm(self):
        for request in (b"GET /" + b"a" * 1_000_000, b"GET /ready HTTP/1.1\r\n" + b"X: y\r\n" * 200_000,
                        b"\0" * 1_000_000):
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as wire:
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

    def publish_and_see_red(self):
        """A line now and then, because only a write notices that Postgres is gone."""
        subprocess.run([os.path.join(ROOT, "build", "tests", "support", "natspub"), self.nats.url,
                        *self.nats.FLY, "--count", "1"], check=True, capture_output=True)
        return self.status("/health") == 503

    def test_health_is_red_while_the_stream_is_away_and_ready_is_not(self):
        self.nats.crash()
        try:
            lab.wait_for(lambda: self.status("/health") == 503, what="a red /health")
            status, checks = self.checks("/health")
            self.assertFalse(checks["source"]["ok"])
            self.assertEqual(self.ask("/ready")[0], 200)
        finally:
            self.nats.restart()
        lab.wait_for(lambda: self.status("/health") == 200, timeout=90, what="a green /health")

    def test_doctor_disturbs_nothing(self):
        before = sorted(os.listdir(f"{self.folder}/spool"))
        done = subprocess.run([FLYTRAIL, "doctor"], env=self.env, capture_output=True, text=True,
                              timeout=60, check=False)
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
