"""deploy/setup.sh that is ended before its end: no secret is left, the terminal is as it was, and the next run goes on."""

import os
import signal
import subprocess
import sys
import termios
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab  # noqa: E402
from test_setup import ADMIN_URL, SECONDS, Setups  # noqa: E402

# In its order.
EACH = ["auth whoami", "apps list", "apps create", "machines list", "volumes list", "volumes create", "proxy", "secrets list",
        "tokens create readonly", "ips list", "secrets import", "deploy", "ssh console", "tokens list"]


class Interrupted(Setups):
    def start_setup(self, *words, **names):
        """In a group of its own, as a terminal has one."""
        process = subprocess.Popen(self.command(*words, **names), env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True, start_new_session=True)
        process.stdin.write(ADMIN_URL + "\n")
        process.stdin.close()
        self.addCleanup(process.stdout.close)
        return process

    def interrupt_at(self, command):
        """As by Ctrl-C, which the terminal sends to all that run in it."""
        self.fly.hold(command)
        process = self.start_setup()
        self.fly.await_held(command)
        os.killpg(process.pid, signal.SIGINT)
        status, said = process.wait(SECONDS), process.stdout.read()
        self.fly.cancel(command)
        self.assertEqual(status, 130, said)
        self.assertIn("not finished; what was done stays. Run the same again", said)
        self.check_left_nothing(said)

    def check_goes_on(self):
        status, said = self.run_setup()
        self.assertEqual(status, 0, said)
        self.check_is_whole(said)

    def test_interrupted_before_the_application_has_its_secrets(self):
        self.interrupt_at("secrets import")
        self.check_goes_on()
        self.assertEqual(len(self.fly.tokens), 2)

    def test_interrupted_while_it_deploys(self):
        self.interrupt_at("deploy")
        self.check_goes_on()
        self.assertEqual(len(self.fly.tokens), 1)

    def test_interrupted_at_each_thing_that_it_asks_of_fly(self):
        for command in EACH:
            with self.subTest(command):
                self.interrupt_at(command)
        self.check_goes_on()

    def test_interrupted_again_and_again_by_who_cannot_wait(self):
        """The administrator's password is in its folder until it has cleaned up."""
        self.fly.hold("deploy")
        process = self.start_setup()
        self.fly.await_held("deploy")
        while process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.001)
        self.fly.cancel("deploy")
        self.assertEqual(process.returncode, 130)
        self.check_left_nothing(process.stdout.read())

    def test_ended_from_outside_while_it_asks_for_a_session(self):
        self.fly.hold("ssh console")
        process = self.start_setup()
        self.fly.await_held("ssh console")
        os.killpg(process.pid, signal.SIGTERM)
        status, said = process.wait(SECONDS), process.stdout.read()
        self.fly.cancel("ssh console")
        self.assertEqual(status, 143, said)
        self.check_left_nothing(said)


class Terminal(Setups):
    """Where a person types."""

    def setUp(self):
        super().setUp()
        self.terminal = self.enterContext(lab.Terminal())
        self.process = subprocess.Popen(self.command(), env=self.env, stdin=self.terminal.fd, stdout=self.terminal.fd,
                                        stderr=self.terminal.fd, start_new_session=True)
        lab.wait_for(lambda: "URL of its administrator" in self.terminal.seen() and not self.echoes(), 60, "the question")

    def echoes(self):
        return bool(termios.tcgetattr(self.terminal.fd)[3] & termios.ECHO)

    def test_what_is_typed_is_not_shown(self):
        os.write(self.terminal.ours, (ADMIN_URL + "\n").encode())
        lab.wait_for(lambda: self.terminal.seen() and self.process.poll() is not None, SECONDS, "its end")
        told = self.terminal.all()
        self.assertEqual(self.process.returncode, 0, told)
        self.check_left_nothing(told)
        self.assertTrue(self.echoes())

    def test_a_terminal_that_is_left_in_the_middle_of_the_question_shows_what_is_typed_again(self):
        self.check_left(signal.SIGINT)

    def test_and_when_it_is_left_by_the_other_key(self):
        self.check_left(signal.SIGQUIT)

    def check_left(self, number):
        os.killpg(self.process.pid, number)
        self.assertEqual(self.process.wait(SECONDS), 128 + number)
        self.assertTrue(self.echoes())
        self.assertIn("not finished", self.terminal.all())
        self.assertEqual(os.listdir(self.env["TMPDIR"]), [])


if __name__ == "__main__":
    unittest.main()
