"""`flytrail run` tells somebody: Slack and a webhook as strict stand-ins, a real Postgres and nats-server."""

import collections
import datetime
import json
import os
import re
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402
import receivers  # noqa: E402

AT_ONCE = 4  # they wait more than they work

SOON_SECONDS = 15
SECRETS = ("SECRETEXAMPLE", "an-EXAMPLE-key")
MACHINE = "0e286551c30586"


def fly_line(message, app="web", provider="app", age_seconds=0.0):
    at = datetime.datetime.fromtimestamp(time.time() - age_seconds, datetime.timezone.utc)
    return json.dumps({
        "event": {"provider": provider}, "fly": {"app": {"instance": MACHINE, "name": app}, "region": "ams"},
        "host": "0ad1", "log": {"level": "info"}, "message": message,
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"}, separators=(",", ":"))


def shell_of(email, app="web", verified="true"):
    """What hallpass prints when somebody opens a shell."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y/%m/%d %H:%M:%S")
    return fly_line(f"{now} INFO New SSH session email={email} verified={verified}", app)


class Case(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())
        self.slack = self.enterContext(receivers.Slack())
        self.hook = self.enterContext(receivers.Webhook())

    def flytrail(self, **env):
        return self.world.flytrail(**{**self.slack.environment(), **env})

    def begun(self, *flytrails, taker="notifier.slack"):
        """They run, and what happens from now on is told."""
        for ft in flytrails:
            ft.start()
        lab.wait_for(lambda: self.world.pg.psql(
            f"SELECT 1 FROM flytrail.fact_takers WHERE taker = '{taker}'"), 60, "the notifier to begin")
        return flytrails[0]

    def await_told(self, text, timeout=60):
        """When the first message with that in it was taken."""
        def found():
            with self.slack.lock:
                return [message.at for message in self.slack.messages if text in message.text]
        return lab.wait_for(found, timeout, f"Slack to be told of {text}; it has {self.slack.messages}, "
                            f"{self.slack.answers[-5:]}")[0]

    def await_events(self, count, timeout=60):
        lab.wait_for(lambda: len(self.hook.events) >= count, timeout, f"{count} events at the webhook")

    def tell(self, count, action="ssh_session.opened", severity=3, app="web", actor="mara.lind@example.com"):
        """Facts that are in Postgres at once, as another replica may have stored them."""
        self.world.pg.psql(f"""
            INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis, observed_at,
                app, actor, actor_type, outcome, severity, trust, source, summary, stream, seq)
            SELECT gen_random_uuid(), 'security', split_part('{action}', '.', 1), '{action}', now(), 'source', now(),
                '{app}', '{actor}', 'user', 'success', {severity}, 'guest', 'nats', 'fact number ' || n,
                gen_random_uuid(), n FROM generate_series(1, {count}) AS n""")

    def untaken(self, taker="notifier.slack"):
        return int(self.world.pg.psql(f"""
            SELECT count(*) FROM flytrail.events AS e WHERE severity >= 3
            AND class IN ('ssh_session', 'secret_change', 'access', 'deploy', 'trail') AND NOT EXISTS (
                SELECT FROM flytrail.facts_taken AS t WHERE t.event_id = e.event_id AND taker = '{taker}')""")[0][0])

    def numbers_told(self):
        """How many facts Slack was told of, as its messages count them."""
        return sum(int(re.search(r": (\d+) facts?$", message.text.splitlines()[0])[1])
                   for message in self.slack.messages)

    def tearDown(self):
        for receiver in (self.slack, self.hook):
            self.assertEqual(receiver.complaints(), [])
        self.assertEqual(self.slack.faulty, [])
        for ft in self.world.flytrails:
            with open(ft.log_path, encoding="utf-8") as log:
                said = log.read() + json.dumps(ft.health()[1])
            for secret in SECRETS:
                self.assertNotIn(secret, said)


class Told(Case):
    def test_a_shell_on_any_machine_is_told_within_15_seconds_with_the_persons_name(self):
        ft = self.begun(self.flytrail(**self.hook.environment()))
        at = time.monotonic()
        self.world.publish_lines([shell_of("Mara.Lind@example.com")])
        self.assertLess(self.await_told("`mara.lind@example.com`") - at, SOON_SECONDS)
        message = next(m.text for m in self.slack.messages if "ssh_session.opened" in m.text)
        self.assertIn(f"machine `{MACHINE}` `ams`", message)
        self.assertIn("*ssh_session.opened* medium, `web`", message)
        self.assertIn("as said from inside the machine", message)
        self.await_events(1)
        opened = [event for event in self.hook.events if event["action"] == "ssh_session.opened"]
        self.assertLess(self.hook.times[0] - at, SOON_SECONDS)
        row = self.world.pg.psql("SELECT event_id, actor, app, message, severity FROM flytrail.events "
                                 "WHERE class = 'ssh_session'")[0]
        self.assertEqual([str(opened[0][name]) for name in ("event_id", "actor", "app", "message", "severity")], row)
        self.assertEqual(ft.health()[1]["slack"]["value"], "working")
        self.assertEqual(ft.stop(), 0)


if __name__ == "__main__":
    unittest.main()
