"""The demo tells its incident, and leaves nothing behind, however it ends."""

import os
import signal
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402

DEMO = [sys.executable, os.path.join(ROOT, "deploy", "demo", "demo.py")]
WIDTH = 100


def descendants(pid):
    found = []
    for child in lab.children(pid):
        found += [child, *descendants(child)]
    return found


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Demo(unittest.TestCase):
    def answers(self, output):
        """The blocks of psql's output, by the number of their question."""
        parts = output.split("\n\n")
        found, number = {}, None
        for part in parts:
            head = part.split(".", 1)[0].strip()
            if head.isdigit():
                number = int(head)
            elif "-+-" in part and number:
                found[number] = part
        return found

    def test_the_incident_is_told(self):
        done = subprocess.run(DEMO, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=lab.ENDED_SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-3000:])
        self.assertEqual(done.stderr, "")
        out = done.stdout
        for line in out.splitlines():
            self.assertLessEqual(len(line), WIDTH, line)
        self.assertNotIn("made-up-password", out)
        self.assertNotIn("nobody@example.com", out)  # an application's line that only sounds so
        answers = self.answers(out)
        self.assertEqual(sorted(answers), [1, 2, 3, 4, 5, 6, 7])

        timeline = answers[1]
        order = [timeline.index(word) for word in
                 ("ssh_session.opened", "exit.main_child", "oom.killed", "restart.gave_up",
                  "deploy.image_prepared", "deploy.machine_started")]
        self.assertEqual(order, sorted(order), timeline)
        sessions = answers[2]
        for app, person, certificate in (("shop-worker", "mara.lind", "listed"), ("shop-worker", "jonas.vik", "unknown"),
                                         ("billing-api", "mara.lind", "issued"), ("shop-web", "jonas.vik", "none")):
            self.assertRegex(sessions, rf"{app} +\| \w+ +\| {person}@example.com \| t +\| guest \| {certificate}")
        self.assertEqual(sessions.count("@example.com"), 4, sessions)
        deploys = answers[3]
        self.assertRegex(deploys, r"shop-web +\| 2 +\| mara.lind@example.com +\| deploy +\| +2 \| +3\d\.\d+ \| success")
        self.assertRegex(deploys, r"shop-worker +\| 2 +\| jonas.vik@example.com +\| deploy +\| +1 ")
        self.assertRegex(deploys, r"billing-api +\| 2 +\| mara.lind@example.com +\| secret change +\| ")
        self.assertEqual(deploys.count("|"), 5 * 7, deploys)
        self.assertRegex(answers[4], r"billing-api \| PAYMENT_KEY \| set +\| mara.lind@example.com \| 2 +\| t")
        self.assertEqual(answers[4].count("|"), 2 * 6, answers[4])
        access = answers[5]
        for change, actor, summary in (
                ("certificate_issued", "mara.lind", "an SSH certificate was issued for mara.lind@example.com"),
                ("member_added", "unknown", "noor.haas@example.com became a member"),
                ("token_created", "jonas.vik", r"the token ci \(deploy_organization\) was made, without expiry"),
                ("machine_updated", "unknown", "machine 90807799a69568 of billing-api was changed")):
            self.assertRegex(access, rf"{change} +\| {actor} +\| {summary}")
        self.assertEqual(access.count("|"), 5 * 2, access)
        self.assertEqual(out.lower().count("simulated"), 5)
        restarts = answers[6]
        self.assertEqual(restarts.count("shop-worker"), 5, restarts)
        self.assertEqual(restarts.count("billing-api"), 1, restarts)
        self.assertIn("disconnect", answers[7])
        self.assertFalse(os.path.exists(out.split("\n")[0].split()[-1]))

    def stop_it(self, number, after):
        demo = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL)
        folder = None
        for line in demo.stdout:
            if line.startswith("1/6"):
                folder = line.split()[-1]
            if line.startswith(after):
                break
        lab.wait_for(lambda: len(descendants(demo.pid)) > 0, what="the demo's servers")
        time.sleep(0.2)  # anywhere in this step will do
        seen = descendants(demo.pid)
        demo.send_signal(number)
        demo.communicate(timeout=lab.ENDED_SECONDS)
        self.assertNotEqual(demo.returncode, 0)
        lab.wait_for(lambda: not any(map(is_running, seen)), what="the end of the demo's servers")
        self.assertFalse(os.path.exists(folder))

    def test_ctrl_c_leaves_nothing(self):
        self.stop_it(signal.SIGINT, "1/6")

    def test_a_terminal_that_closes_leaves_nothing(self):
        self.stop_it(signal.SIGHUP, "3/6")

    def test_an_error_leaves_nothing_and_says_what(self):
        done = subprocess.run(DEMO, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=lab.ENDED_SECONDS, check=False,
                              env={**os.environ, "DEMO_FLYTRAIL": "/bin/false"})
        self.assertEqual(done.returncode, 1)
        self.assertIn("demo: flytrail migrate failed", done.stderr)
        folder = done.stdout.split("\n")[0].split()[-1]
        self.assertFalse(os.path.exists(folder))


if __name__ == "__main__":
    unittest.main()
