"""flytrail classify: one JSON object a line, of files or stdin, without database or configuration."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402

FLYTRAIL = os.path.join(ROOT, "build", "flytrail")
DATA = os.path.join(ROOT, "tests", "data")
COLUMNS = ["id", "occurred_at", "observed_at", "source", "org", "app", "region", "machine_id", "host", "provider",
           "level", "class", "action", "message", "attributes", "trust", "rule"]


def classify(*words, stdin=b"", **env):
    """Runs it; returns status, the objects that it printed, stderr."""
    done = subprocess.run([FLYTRAIL, "classify", *words], input=stdin, capture_output=True, env=env, timeout=lab.ENDED_SECONDS,
                          check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


def nats(message, provider="app", level="info", **more):
    """A line as Fly's NATS stream has it."""
    return json.dumps({
        "event": {"provider": provider},
        "fly": {"app": {"instance": "0e286551c30586", "name": "web-1"}, "region": "sjc"},
        "host": "0ad1", "log": {"level": level}, "message": message,
        "timestamp": "2026-03-03T17:47:06.123456789Z", **more}).encode() + b"\n"


class Classify(unittest.TestCase):
    def test_every_line_of_every_capture_has_its_class(self):
        for number in range(1, 13):
            name = os.path.join(DATA, "captures", f"{number:02}")
            status, lines, err = classify(name + ".txt")
            self.assertEqual((status, err), (0, ""))
            with open(name + ".labels", encoding="ascii") as labels:
                self.assertEqual([line["class"] for line in lines], labels.read().split(), name)

    def test_every_labelled_line_has_its_class_in_the_nats_shape(self):
        with open(os.path.join(DATA, "log-lines.jsonl"), encoding="utf-8") as f:
            labelled = [json.loads(line) for line in f]
        stdin = b"".join(nats(l["message"], l["provider"] or "", l["level"] or "") for l in labelled)
        status, lines, err = classify(stdin=stdin)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual([line["class"] for line in lines], [l["label"] for l in labelled])
        self.assertEqual([line["message"] for line in lines], [l["message"] for l in labelled])

    def test_every_object_has_the_columns(self):
        _, lines, _ = classify(stdin=nats("Machine started in 825ms", "runner") + b"not JSON\n")
        for line in lines:
            self.assertEqual(list(line), COLUMNS)
        first = lines[0]
        self.assertEqual(first["occurred_at"], "2026-03-03T17:47:06.123456789Z")
        self.assertEqual((first["app"], first["machine_id"], first["host"]), ("web-1", "0e286551c30586", "0ad1"))
        self.assertEqual((first["class"], first["action"]), ("boot", "boot.machine_started"))
        self.assertEqual((first["trust"], first["rule"]), ("platform", "runner.machine_started"))
        self.assertEqual(first["attributes"], {"seconds": 0.825})
        self.assertIsNone(lines[1]["occurred_at"])

    def test_a_session_printed_by_the_application_has_a_guests_trust(self):
        _, lines, _ = classify(stdin=nats(
            "2026/03/07 15:20:03 INFO New SSH session email=user1@example.com verified=true"))
        self.assertEqual((lines[0]["class"], lines[0]["trust"]), ("ssh_session", "guest"))
        self.assertEqual(lines[0]["attributes"], {"email": "user1@example.com", "verified": True})

    def test_it_redacts(self):
        _, lines, _ = classify(stdin=nats("postgres://u:hunter2@db.example.com/x"))
        self.assertNotIn("hunter2", json.dumps(lines))

    def test_the_same_input_gives_the_same_output(self):
        paths = [os.path.join(DATA, "captures", "03.txt"), os.path.join(DATA, "not-events.txt")]
        self.assertEqual(classify(*paths), classify(*paths, TZ="Asia/Tokyo", FLYTRAIL_NO_SUCH="1"))

    def test_app_names_what_the_form_does_not(self):
        line = b"2026-03-03T17:47:06Z runner[90807799a69568] gru [info]Machine started in 1s\n"
        self.assertEqual(classify("--app", "web-1", stdin=line)[1][0]["app"], "web-1")
        self.assertEqual(classify("--app=web-2", "-", stdin=line)[1][0]["app"], "web-2")

    def test_a_file_that_cannot_be_read_is_one_sentence(self):
        with tempfile.TemporaryDirectory() as folder:
            for path in (os.path.join(folder, "none"), folder):
                status, lines, err = classify(path)
                self.assertEqual((status, lines), (1, []))
                self.assertEqual(err.count("\n"), 1)
                self.assertIn(path, err)

    def test_bad_arguments_are_said_and_nothing_is_read(self):
        for words in (["--app"], ["--bogus"], ["-x"]):
            status, lines, err = classify(*words)
            self.assertEqual((status, lines), (2, []))
            self.assertEqual(err.count("\n"), 1)

    def test_a_reader_that_goes_away_is_no_error(self):
        with subprocess.Popen([FLYTRAIL, "classify"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as child:
            child.stdout.close()
            for step in (lambda: child.stdin.write(nats("x" * 300) * 20000), child.stdin.close):
                try:
                    step()
                except BrokenPipeError:
                    pass  # it has ended already
            self.assertEqual((child.stderr.read(), child.wait(lab.ENDED_SECONDS)), (b"", 0))

    def progress_of(self, terminal, stdout):
        """What it printed on a terminal while and after it read one line, and another one later."""
        with subprocess.Popen([FLYTRAIL, "classify"], stdin=subprocess.PIPE, stdout=stdout,
                              stderr=terminal.fd) as child:
            child.stdin.write(nats("x"))
            child.stdin.flush()
            # However late it begins: the pause is one of its own.
            lab.wait_for(lambda: b'"message":"x"' in (child.stdout.readline() if child.stdout else terminal.seen().encode()),
                         60, "the first line's object")
            time.sleep(0.7)
            child.stdin.write(nats("x"))
            child.stdin.close()
            if child.stdout:
                self.assertEqual(child.stdout.read().count(b"\n"), 1)
            self.assertEqual(child.wait(lab.ENDED_SECONDS), 0)
        return terminal.all()

    def test_progress_is_shown_on_a_terminal_that_the_output_does_not_go_to(self):
        with lab.Terminal() as terminal:
            told = self.progress_of(terminal, subprocess.PIPE)
            self.assertRegex(told, "^(\r\x1b\\[K[12] lines classified)+\r\x1b\\[K$")
        with lab.Terminal() as terminal:
            told = self.progress_of(terminal, terminal.fd)
            self.assertNotIn("lines classified", told)

    def test_a_full_disk_is_said(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([FLYTRAIL, "classify"], input=nats("x"), stdout=full, stderr=subprocess.PIPE,
                                  timeout=lab.ENDED_SECONDS, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)


if __name__ == "__main__":
    unittest.main()
