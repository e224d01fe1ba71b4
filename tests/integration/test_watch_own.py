"""What touches flytrail's own application or its Postgres's has the highest severity."""

import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab  # noqa: E402
import test_watch  # noqa: E402

SESSION = time.strftime("%Y/%m/%d %H:%M:%S INFO New SSH session email=user1@example.com verified=true", time.gmtime())


class Own(test_watch.Watching):
    def start(self):
        """Postgres has a name in Fly's private network, at an address of this machine's."""
        url = self.world.pg.url("flytrail_writer").replace("@127.0.0.1:", "@0e286551c30586.vm.trail-db.internal:")
        ft = self.watching(FLY_APP_NAME="flytrail", FLYTRAIL_DATABASE_URL=f"{url}?hostaddr=127.0.0.1")
        for app in ("flytrail", "trail-db"):
            self.api.add_app(app)
        ft.start()
        for app in ("flytrail", "trail-db", "web-1"):
            self.await_baseline(app)

    def severities(self, where):
        return self.world.pg.psql(f"SELECT app, action, severity FROM flytrail.events WHERE {where} ORDER BY app, action")

    def test_their_secrets(self):
        self.start()
        for app in ("flytrail", "trail-db", "web-1"):
            self.api.secrets_set(app, TOKEN="x")
        self.await_changes(3)
        self.assertEqual(self.severities("class = 'secret_change'"),
                         [["flytrail", "secret_change.set", "6"], ["trail-db", "secret_change.set", "6"],
                          ["web-1", "secret_change.set", "3"]])

    def test_sessions_and_stops_and_not_what_flytrail_prints(self):
        self.start()
        for app in ("flytrail", "trail-db", "web-1"):
            self.publish([self.payload(SESSION, app=app),
                          self.payload(f'{{"error":"{SESSION}"}}', app=app),
                          self.payload("machine exited with exit code 0, not restarting", app=app, provider="runner")],
                         app=app)
        lab.wait_for(lambda: len(self.severities("source = 'nats'")) >= 6, 30, "six events")
        self.assertEqual(self.severities("source = 'nats'"), [
            [app, action, str(severity)] for app, severities in (
                ("flytrail", (6, 6)), ("trail-db", (6, 6)), ("web-1", (1, 3)))
            for action, severity in zip(("restart.suppressed", "ssh_session.opened"), severities)])


if __name__ == "__main__":
    unittest.main()
