"""flytrail in a private network like Fly's, taken through what happens to one; lines come all the time."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import image  # noqa: E402
import lab  # noqa: E402
import private_network  # noqa: E402
from private_network import ADDRESSES  # noqa: E402

AT_ONCE = 3  # they wait more than they work
RATE = 200
HEARTBEAT_SECONDS = 2
HEALTH_SECONDS = 0.2
LOOKS_MIN = 3
RED_SECONDS = 60
# Of trying again, which waits up to a minute after an outage of minutes.
GREEN_SECONDS = 90
RESOLVER_SECONDS = 60  # its own patience is ten for a name
KILL_TIMEOUT_SECONDS = 30  # of fly.toml
LOST_MAX = 45 * RATE


class HealthLog(lab.Beside):
    """What /health said, asked again and again; each look: when, the status, the checks that are red."""

    def __init__(self, ft):
        super().__init__()
        self.ft = ft
        self.looks = []

    def run(self):
        while not self.over.wait(HEALTH_SECONDS):
            status, checks = self.ft.health()
            self.looks.append((time.monotonic(), status, {name for name, check in checks.items() if not check["ok"]}))

    def since(self, at):
        return [(status, red) for when, status, red in self.looks if when >= at]


class PrivateNetwork(unittest.TestCase):
    def setUp(self):
        try:
            self.world = self.enterContext(private_network.World())
        except private_network.NotAllowed as why:
            self.skipTest(f"there is no private network without the right to make one: {why}")
        self.root = self.image_root()
        self.machines, self.dns = self.world.machines, self.world.dns
        self.marks = 0

    def image_root(self):
        """Where the image of deploy/Dockerfile can be built it is what runs; else its user and build/flytrail."""
        if why := image.why_not():
            print(f"## without the image: {why}")
            return None
        return self.enterContext(image.Root(image.build()))

    def begin(self, host):
        """flytrail as its own app has it, and an organisation that prints; returns when all is green."""
        self.ft = self.world.flytrail(root=self.root, FLYTRAIL_DATABASE_URL=self.world.url(host),
                                      FLYTRAIL_HEARTBEAT_SECONDS=str(HEARTBEAT_SECONDS), FLYTRAIL_DRAIN_SECONDS="10",
                                      FLYTRAIL_RECONCILE_PAGES_PER_HOUR="0")
        self.enterContext(flytrail.Shipper(self.world.nats, self.ft))
        self.ft.start()
        self.pid = self.ft.process.pid
        self.publisher = self.world.publisher("--count", 10**9, "--rate", RATE)
        self.addCleanup(self.publisher.wait)
        self.addCleanup(self.publisher.kill)
        self.log = self.enterContext(HealthLog(self.ft))
        self.await_green()

    # ---- what is looked at ----

    def await_red(self, check):
        """In the looks since the step began; a red check is a red page."""
        def seen():
            return [status for status, red in self.log.since(self.began) if check in red]

        found = lab.wait_for(seen, RED_SECONDS, f"a red {check}")
        self.assertEqual(set(found), {503})

    def await_green(self):
        def is_green():
            return self.ft.health()[0] == 200

        try:
            lab.wait_for(is_green, GREEN_SECONDS, "a green page")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.ft.health()}; {self.ft.troubles()[-10:]}") from None

    def assert_never_red(self, *checks):
        """In this step; without checks: none was."""
        lab.wait_for(lambda: len(self.log.since(self.began)) >= LOOKS_MIN, 30, "looks at the page")
        for _, red in self.log.since(self.began):
            self.assertFalse(red & set(checks) if checks else red)

    def lines_lost(self):
        """Of all that was published until now; every one is a row, or in a gap that is on record."""
        tag, self.marks = f"mark{self.marks}", self.marks + 1
        self.world.publish(1, tag=tag)
        self.world.await_rows(1, f"message LIKE '{tag} line %'", timeout=GREEN_SECONDS)
        count = self.world.numbers()[-1][0] + 1
        return self.world.check_every_line_is_a_row_or_in_a_gap(count)

    @contextlib.contextmanager
    def step(self, name, lost=False):
        """Green before and after, every line accounted for; lost: some lines are, on record."""
        self.began = time.monotonic()
        before = self.lost
        yield
        self.await_green()
        self.lost = self.lines_lost()
        self.assertEqual(self.lost > before, lost, f"{self.lost - before} lines lost")
        self.assertLess(self.lost - before, LOST_MAX)
        self.assertEqual(self.ft.process.pid, self.pid)
        self.assertIsNone(self.ft.process.poll())
        print(f"## {name}: {time.monotonic() - self.began:.1f} s" + (f", {self.lost - before} lines in gaps" if lost else ""))

    lost = 0

    def end(self):
        self.publisher.kill()
        self.publisher.wait()
        self.await_green()
        self.assertEqual(self.ft.stop(), 0)
        self.assertEqual(self.ft.events("stopped")[0]["left_in_spool"], 0)
        self.assertEqual(self.ft.events("store_parked"), [])
        self.assertEqual(self.lines_lost_at_the_end(), self.lost)

    def lines_lost_at_the_end(self):
        return self.world.check_every_line_is_a_row_or_in_a_gap(self.world.numbers()[-1][0] + 1)

    def drop_sessions(self):
        self.world.pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'flytrail_writer'")

    # ---- a machine's life ----

    def names_have_aaaa_alone(self):
        for name in ("audit-db.internal", "audit-db.flycast", "_api.internal"):
            self.assertEqual(self.dns.ask(name, private_network.RECORD_AAAA), 1)
            self.assertEqual(self.dns.ask(name, private_network.RECORD_A), 0)
        self.assertEqual(self.dns.ask("nobody.internal", private_network.RECORD_AAAA), -1)
        if self.root:
            self.assertEqual(os.readlink(f"/proc/{self.pid}/root"), self.root.path)
            self.assertEqual(os.readlink(f"/proc/{self.pid}/exe"), f"{self.root.path}/usr/local/bin/flytrail")
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            self.assertIn(f"Uid:\t{private_network.USER}\t{private_network.USER}\t", status.read())
        # Fly asks for the checks and the metrics from another machine of the network.
        for path in ("ready", "health", "metrics"):
            page = self.machines["fly"].within(urllib.request.urlopen, f"http://[{ADDRESSES['in']}]:8080/{path}")
            with page:
                self.assertEqual(page.status, 200, path)
        # What it is told by _api.internal: nobody else answers here.
        lab.wait_for(lambda: self.ft.health()[1]["watcher"]["value"].startswith("the last look was "), 60, "a look at Fly")
        clients = self.world.pg.psql("SELECT DISTINCT client_addr FROM pg_stat_activity WHERE usename = 'flytrail_writer'")
        self.assertEqual(clients, [[ADDRESSES["in"]]])
        self.assert_never_red()

    def the_database_moves(self):
        after = "fdaa:0:1:a7b:4::2"
        self.machines["db"].move(ADDRESSES["db"], after)
        self.dns.tell("audit-db.internal", after)
        self.await_red("store")
        self.await_green()
        self.machines["db"].move(after, ADDRESSES["db"])
        self.dns.tell("audit-db.internal", ADDRESSES["db"])

    def rows(self, pg):
        return int(pg.psql("SELECT count(*) FROM flytrail.log_lines")[0][0])

    def await_followed(self, primary):
        """Its standby has all that it had when this was called."""
        at = primary.psql("SELECT pg_current_wal_lsn()")[0][0]
        lab.wait_for(lambda: primary.psql(f"SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= '{at}'"),
                     30, "the standby to follow")

    def a_standby_that_lags_takes_over(self):
        primary, standby = self.world.pg, self.spare
        standby.follow(ADDRESSES["db"])
        standby.start()
        self.await_followed(primary)
        self.machines["spare"].cut()  # what is stored from here on it never hears of
        forgotten = self.rows(primary) + 3 * RATE
        lab.wait_for(lambda: self.rows(primary) > forgotten, 30, "rows that the standby does not have")
        self.machines["db"].cut()
        primary.crash()
        self.machines["spare"].heal()
        self.assertLess(self.rows(standby), forgotten - RATE)
        standby.promote()
        self.world.pg = standby
        self.dns.tell("audit-db.internal", ADDRESSES["spare"])
        self.await_red("store")
        self.await_green()
        self.assertGreater(self.ft.metric("records_forgotten_total"), RATE)

    def the_first_comes_back_as_it_was_left(self):
        """It had been cut off, and knows nothing of what the other one took meanwhile."""
        forgotten = self.ft.metric("records_forgotten_total")
        self.world.pg.crash()
        self.machines["db"].heal()
        self.first.restart()
        self.world.pg = self.first
        self.dns.tell("audit-db.internal", ADDRESSES["db"])
        self.await_red("store")
        self.await_green()
        self.assertGreater(self.ft.metric("records_forgotten_total"), forgotten)

    def a_standby_that_has_followed_takes_over(self):
        """In order, as for an upgrade: nothing is stored twice, and nothing again."""
        self.spare.follow(ADDRESSES["db"])
        self.spare.start()
        self.await_followed(self.first)
        forgotten = self.ft.metric("records_forgotten_total")
        self.first.stop()
        self.spare.promote()
        self.world.pg = self.spare
        self.dns.tell("audit-db.internal", ADDRESSES["spare"])
        self.await_red("store")
        self.await_green()
        self.assertEqual(self.ft.metric("records_forgotten_total"), forgotten)

    def the_resolver_is_gone(self):
        """While the session with Postgres stands nothing is asked of it; so that ends as well."""
        self.dns.crash()
        self.drop_sessions()
        self.await_red("store")
        self.dns.restart()
        self.await_green()
        self.dns.pause()
        self.drop_sessions()
        time.sleep(RESOLVER_SECONDS)
        self.await_red("store")
        self.assert_never_red("source", "heartbeat", "spool")
        self.dns.resume()

    def the_link_to_the_database_is_cut(self):
        self.world.pg.machine.cut()
        self.await_red("store")
        self.await_red("lag")
        self.assert_never_red("source", "heartbeat", "spool")
        self.world.pg.machine.heal()

    def the_link_to_the_stream_is_cut(self):
        self.machines["fly"].cut()
        self.await_red("heartbeat")
        self.await_red("source")
        self.assertEqual(self.ft.health("/ready")[0], 200)  # a restart would mend nothing
        self.machines["fly"].heal()

    def the_links_are_slow(self):
        self.machines["in"].slow(150)
        time.sleep(10)
        self.assert_never_red()
        self.lines_lost()
        self.machines["in"].heal()

    def the_links_lose_frames(self):
        self.machines["in"].lossy(5)
        time.sleep(15)
        self.await_green()
        self.machines["in"].heal()

    def test_what_happens_to_a_machine_in_its_life(self):
        self.first = self.world.pg
        self.spare = private_network.Postgres(self.machines["spare"])
        self.addCleanup(self.spare.close)
        self.addCleanup(self.first.close)
        self.began = time.monotonic()
        self.begin("audit-db.internal")
        with self.step("names with AAAA alone"):
            self.names_have_aaaa_alone()
        with self.step("the database moves to another address, and back"):
            self.the_database_moves()
        with self.step("failover to a standby that lags"):
            self.a_standby_that_lags_takes_over()
        with self.step("and back to the first, as that was left"):
            self.the_first_comes_back_as_it_was_left()
        with self.step("failover in order"):
            self.a_standby_that_has_followed_takes_over()
        with self.step("the resolver is gone"):
            self.the_resolver_is_gone()
        with self.step("the link to the database is cut"):
            self.the_link_to_the_database_is_cut()
        with self.step("the link to the log stream is cut", lost=True):
            self.the_link_to_the_stream_is_cut()
        with self.step("links of 150 ms each way"):
            self.the_links_are_slow()
        with self.step("links that lose 5 % each way"):
            self.the_links_lose_frames()
        self.end()

    # ---- by the address that Fly's proxy has ----

    def test_a_pooler_that_drops_connections(self):
        pooler = private_network.Pooler(self.machines["proxy"], ADDRESSES["db"])
        self.addCleanup(pooler.close)
        pooler.start()
        self.begin("audit-db.flycast")
        with self.step("a pooler that drops every connection, ten times"):
            for _ in range(10):
                time.sleep(0.5)
                pooler.drop_all()
        with self.step("a pooler that is killed, and back"):
            pooler.crash()
            self.await_red("store")
            pooler.restart()
        with self.step("a pooler that hangs"):
            pooler.pause()
            self.await_red("lag")  # an answer is waited for longer than that
            pooler.resume()
        with self.step("a pooler without a Postgres behind it"):
            self.world.pg.crash()
            self.await_red("store")
            self.world.pg.restart()
        self.end()

    def test_a_proxy_that_accepts_and_closes(self):
        """As Fly's does while no machine behind it is well."""
        proxy = self.machines["proxy"].within(lab.Link, 5432, ADDRESSES["proxy"], ADDRESSES["db"], 5432)
        self.addCleanup(proxy.close)
        self.begin("audit-db.flycast")
        with self.step("a proxy that accepts and closes"):
            proxy.target = (ADDRESSES["db"], 9)  # nobody is there
            proxy.cut()
            self.await_red("store")
            time.sleep(3)
            self.assert_never_red("source", "heartbeat", "spool")
            proxy.target = (ADDRESSES["db"], 5432)
        with self.step("a proxy that cuts what it carries, ten times"):
            for _ in range(10):
                time.sleep(0.3)
                proxy.cut()
        self.end()

    # ---- its end ----

    def test_sigterm_while_no_name_can_be_looked_up(self):
        """libpq waits for the resolver as long as that has patience; Fly kills what has not ended in time."""
        self.began = time.monotonic()
        self.begin("audit-db.internal")
        self.dns.pause()
        self.drop_sessions()
        self.await_red("store")
        self.publisher.kill()
        asked = time.monotonic()
        self.assertIn(self.ft.stop(), (0, 1))
        taken = time.monotonic() - asked
        print(f"## SIGTERM while no name can be looked up: {taken:.1f} s")
        self.assertLess(taken, KILL_TIMEOUT_SECONDS)
        self.dns.resume()
        self.ft.start()
        self.await_green()
        self.lines_lost()


class Leavings(unittest.TestCase):
    """What a test leaves behind that is ended in its middle, and what it says where it may not begin."""

    WORLD = ("import sys, time; sys.path[:0] = ['tests/support']; import private_network\n"
             "with private_network.World() as w:\n"
             "    ft = w.flytrail(); ft.start()\n"
             "    print(w.network.switch.pid, w.pg.process.pid, w.nats.process.pid, w.dns.process.pid, ft.process.pid,\n"
             "          w.folder, w.pg.folder, w.nats.folder, w.dns.folder, flush=True)\n"
             "    time.sleep(60)\n")

    def setUp(self):
        try:
            with private_network.Network(["fly"]):
                pass
        except private_network.NotAllowed as why:
            self.skipTest(f"there is no private network without the right to make one: {why}")

    def test_nothing_runs_on_when_the_test_is_killed(self):
        for number in (signal.SIGKILL, signal.SIGTERM):
            with subprocess.Popen([sys.executable, "-c", self.WORLD], cwd=ROOT, text=True, stdout=subprocess.PIPE) as test:
                words = test.stdout.readline().split()
                pids, folders = words[:5], words[5:]
                self.assertEqual(len(folders), 4)
                for folder in folders:
                    self.addCleanup(shutil.rmtree, folder, True)
                test.send_signal(number)
                test.wait()
            lab.wait_for(lambda: all(map(lab.is_gone, pids)), 60, "all processes to be gone")

    def test_without_the_right_it_says_so_and_why(self):
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable,
                               "tests/support/cases.py", "tests/integration/test_private_network.py",
                               "PrivateNetwork.test_a_proxy_that_accepts_and_closes"],
                              cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertRegex(done.stdout, r"^ok - \S+ # SKIP there is no private network without the right to make one: "
                                      r"netswitch: a network namespace: Operation not permitted")


if __name__ == "__main__":
    unittest.main()
