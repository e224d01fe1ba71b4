"""Fly's HTTP logs API as the live source: each line once, whatever the API does."""

import os
import signal
import sys
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import fly_api  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402

MACHINE = "0e286551c30586"
SECOND = 10**9
DAY = 86400 * SECOND
# A full page, the one after it, and what a batch has no room for is not far.
BURST = 250


def payload(app, message, ns):
    return (f'{{"event":{{"provider":"app"}},"fly":{{"app":{{"instance":"{MACHINE}","name":"{app}"}},'
            f'"region":"ams"}},"host":"0ad1","log":{{"level":"info"}},"message":"{message}",'
            f'"timestamp":"{fly_api.time_text(ns)}"}}').encode()


class HttpCase(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())
        self.api = self.enterContext(fly_api.FlyApi())

    def flytrail(self, api=None, **env):
        api = api or self.api
        return self.world.flytrail(FLYTRAIL_SOURCE="http", FLYTRAIL_API_URL=api.url,
                                   FLYTRAIL_MACHINES_URL=api.url, ACCESS_TOKEN=api.token,
                                   ORG=api.org, **env)

    def add(self, app, count, tag="numbered", first=0, at=None, more=""):
        """Lines as of now, or of the nanosecond at: those of now are there before any later one."""
        for n in range(first, first + count):
            self.api.add_line(app, "ams", MACHINE, "app", "info", f"{tag} line {n} of {app}{more}",
                              at)

    @staticmethod
    def coverage(ft, since, until):
        """The exit status of `flytrail coverage` for a time in seconds since 1970, and what it prints."""
        return ft.command("coverage", "--since", fly_api.time_text(int((since + 0.001) * SECOND)),
                          "--until", fly_api.time_text(int((until - 0.001) * SECOND)))

    def await_lines(self, app, tag, count, timeout=60):
        where = f"app = '{app}' AND message LIKE '{tag} line %'"
        self.world.await_rows(count, where, timeout)
        self.assertEqual(self.world.count(where), count, f"{tag} of {app}")

    @staticmethod
    def write_positions(ft, began, listened, **apps):
        """As a run before would have left them: by application, up to where it was read."""
        os.makedirs(ft.env["FLYTRAIL_SPOOL_DIR"])
        with open(os.path.join(ft.folder, "spool", "http-positions"), "w", encoding="ascii") as out:
            out.write(f"flytrail http positions 1\nbegan {began}\nlistened {listened}\n")
            out.writelines(f"app {app} {ns} {ns}\n" for app, ns in apps.items())

    @staticmethod
    def positions(ft):
        path = os.path.join(ft.folder, "spool", "http-positions")
        if not os.path.exists(path):
            return {}
        with open(path, encoding="ascii") as lines:
            words = [line.split() for line in lines.read().splitlines()[1:]]
        return {word[1] if word[0] == "app" else word[0]: int(word[-2 if word[0] == "app" else -1])
                for word in words}


class Live(HttpCase):
    def test_lines_of_every_application_come_each_once(self):
        self.api.add_line("web-1", "ams", MACHINE, "app", "info", "before the first start",
                          time.time_ns() - 60 * SECOND)
        self.api.add_app("db")
        ft = self.flytrail().start()
        for app in ("web-1", "db"):
            self.add(app, BURST)
        for app in ("web-1", "db"):
            self.await_lines(app, "numbered", BURST)
        self.assertEqual(self.world.count("source <> 'http'"), 0)
        self.assertEqual(self.world.count("message = 'before the first start'"), 0)
        self.assertEqual(self.world.count("attributes IS NOT NULL"), 0)
        self.assertEqual(self.world.gaps(), [])
        self.assertEqual(ft.health()[1]["source"]["ok"], True)
        self.assertEqual(ft.stop(), 0)

    def test_a_line_by_nats_and_by_http_is_one_row(self):
        self.api.add_app("web-1")
        by_nats = self.world.flytrail().start()
        by_http = self.flytrail().start()
        lines = [payload("web-1", message, time.time_ns() + n) for n, message in enumerate(
            ["plain", "\\u001b[32m INFO\\u001b[0m up", "a\\u003cb\\u0026", "nul \\u0000",
             "half \\ud800", "caf\u00e9", "quote \\\" and \\\\"])]
        for line in lines:
            self.api.add_payload(line)
        self.world.await_rows(len(lines), "source = 'http'")
        lines.append(payload("web-1", "only by NATS", time.time_ns()))
        self.world.nats.publish([(f"logs.web-1.ams.{MACHINE}", line) for line in lines])
        self.world.await_rows(len(lines))
        self.assertEqual(by_http.stop(), 0)
        self.assertEqual(by_nats.stop(), 0)
        self.assertEqual(by_nats.events("stopped")[0]["duplicates"], len(lines) - 1)
        self.assertEqual(self.world.count(), len(lines))

    def test_killed_at_any_moment_it_loses_and_doubles_nothing(self):
        apps = ("web-1", "web-2", "db")
        for app in apps:
            self.api.add_app(app)
        ft = self.flytrail().start()
        done = threading.Event()
        counts = dict.fromkeys(apps, 0)

        def publish():
            while not done.is_set():
                for app in apps:
                    self.add(app, 20, first=counts[app])
                    counts[app] += 20
                time.sleep(0.01)

        publisher = threading.Thread(target=publish)
        publisher.start()
        try:
            lab.wait_for(lambda: "web-1" in self.positions(ft), what="positions")
            for pause in (0.3, 1.0, 3.0):
                ft.signal(signal.SIGKILL)
                ft.process.wait()
                time.sleep(0.5)
                ft.start()
                time.sleep(pause)
        finally:
            done.set()
            publisher.join()
        for app in apps:
            self.await_lines(app, "numbered", counts[app])
            numbers = self.world.pg.psql(
                "SELECT count(DISTINCT message) FROM flytrail.log_lines "
                f"WHERE app = '{app}'")
            self.assertEqual(int(numbers[0][0]), counts[app])
        self.assertEqual(self.world.gaps(), [])
        self.assertEqual(ft.stop(), 0)

    def test_positions_do_not_run_ahead_of_what_is_stored_on_disk(self):
        ft = self.flytrail()
        self.api.add_app("web-1")
        ft.start()
        self.add("web-1", 10)
        self.await_lines("web-1", "numbered", 10)
        last_ns = self.api.keys["web-1"][-1]
        lab.wait_for(lambda: self.positions(ft).get("web-1"), what="positions")
        self.assertLess(self.positions(ft)["web-1"], last_ns)
        self.assertGreater(self.positions(ft)["began"], last_ns - 60 * SECOND)
        self.assertEqual(ft.stop(), 0)

    def test_what_lies_further_back_than_fly_keeps_is_a_gap(self):
        ft = self.flytrail(FLYTRAIL_BACKFILL_DELAY_SECONDS="1")
        now = time.time_ns()
        for days in (9, 8, 6, 5):
            self.api.add_line("web-1", "ams", MACHINE, "app", "info", f"{days} days",
                              now - days * DAY)
        self.write_positions(ft, now - 20 * DAY, now - 10 * DAY, **{"web-1": now - 10 * DAY})
        ft.start()
        self.world.await_rows(2)
        gap, = lab.wait_for(self.world.gaps, what="the gap")
        self.assertEqual(gap["reason"], "start")
        self.assertAlmostEqual(gap["start"], (now - 10 * DAY) / SECOND, delta=1)
        self.assertAlmostEqual(gap["end"], (now - 7 * DAY) / SECOND, delta=60)
        self.assertEqual({row[0] for row in self.world.pg.psql(
            "SELECT message FROM flytrail.log_lines")}, {"6 days", "5 days"})
        self.assertEqual(ft.stop(), 0)
        (since, until), = self.world.listened()
        self.assertEqual(since, gap["end"])
        status, text = self.coverage(ft, since - DAY / SECOND, until)
        self.assertEqual(status, 2, text)
        self.assertRegex(text, r"HOLE .*start")
        self.assertEqual(self.coverage(ft, since + 1, until)[0], 0)

    def test_after_nats_it_goes_on_where_the_spool_ends(self):
        ft = self.world.flytrail()
        ft.start()
        lines = [payload("web-1", f"numbered line {n} of web-1", time.time_ns() + n)
                 for n in range(5)]
        self.world.nats.publish([(f"logs.web-1.ams.{MACHINE}", line) for line in lines])
        for line in lines:
            self.api.add_payload(line)
        self.world.await_rows(5)
        self.assertEqual(ft.stop(), 0)
        self.add("web-1", 5, first=5)  # while it is down
        ft.env |= self.flytrail().env | {"FLYTRAIL_SPOOL_DIR": ft.env["FLYTRAIL_SPOOL_DIR"]}
        ft.start()
        self.await_lines("web-1", "numbered", 10)
        self.assertEqual(self.world.gaps(), [])
        self.assertEqual(ft.stop(), 0)

    def test_an_application_that_is_gone_does_not_hold_up_the_others(self):
        for app in ("web-1", "gone"):
            self.api.add_app(app)
        ft = self.flytrail().start()
        self.add("gone", 1)
        self.await_lines("gone", "numbered", 1)
        self.api.remove_app("gone")
        self.add("web-1", 10)
        self.await_lines("web-1", "numbered", 10)
        asked = lab.wait_for(lambda: self.api.pages_asked("gone"), what="a page of it")
        self.add("web-1", 10, first=10)
        self.await_lines("web-1", "numbered", 20)
        time.sleep(1)  # twice as long as it took to ask before
        self.assertLessEqual(self.api.pages_asked("gone"), asked + 1)
        self.assertTrue(ft.health()[1]["source"]["ok"])
        self.assertEqual(ft.stop(), 0)


class SecondOrganisation(HttpCase):
    """flytrail runs where who belongs to the first cannot touch it, and reads the first with its token."""

    def machine(self, **env):
        ft = self.flytrail(FLY_MACHINE_ID="5683970eae6308", FLY_REGION="fra", **env)
        self.add("shop-web", 1)
        return ft

    def test_it_keeps_the_trail_of_the_first_and_watches_it(self):
        """As README has it started: the name of its own application is not to be looked for among the first's."""
        ft = self.machine()
        del ft.env["FLY_APP_NAME"]
        doctor = ft.command("doctor")[1]
        self.assertRegex(doctor, r"(?m)^ok   watch: apps +readable: 1$")
        ft.start()
        opened = time.strftime("%Y/%m/%d %H:%M:%S INFO New SSH session email=mara.lind@example.com verified=true", time.gmtime())
        self.api.add_line("shop-web", "ams", MACHINE, "app", "info", opened, time.time_ns())
        lab.wait_for(lambda: self.world.pg.psql("SELECT 1 FROM flytrail.ssh_sessions WHERE assurance = 'confirmed'"), 60, "the session")
        lab.wait_for(lambda: self.world.pg.psql("SELECT 1 FROM flytrail.watched WHERE resource = 'apps' AND state = 'watched'"),
                     60, "the applications to be watched")

    def test_with_the_name_of_its_own_application_it_watches_nothing_and_doctor_says_so(self):
        doctor = self.machine(FLY_APP_NAME="trail").command("doctor")[1]
        self.assertRegex(doctor, r"watch: apps +not answered \(a list without flytrail's own application")


if __name__ == "__main__":
    unittest.main()
