"""A world whose every line Fly has a second copy of, for tests of filling and comparing."""

import contextlib
import json
import subprocess
import time
import unittest

import fly_api
import flytrail
import lab

HOUR = 3600
DAY = 24 * HOUR
MACHINE = "0e286551c30586"


def iso_ns(ns):
    whole, part = divmod(ns, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{part:09}Z"


def iso(seconds):
    return iso_ns(int(seconds * 10**9))


def now():
    """As exact as Postgres keeps a time: what is made after this is of no time before it."""
    return time.time_ns() // 1000 / 10**6


class Backfill(unittest.TestCase):
    """A world with Fly's second copy, which is given each line that is published."""

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.world = self.stack.enter_context(flytrail.World())
        self.api = self.stack.enter_context(
            fly_api.FlyApi(token=self.world.nats.ORG[1], org=self.world.nats.ORG[0]))
        self.last_ns = 0
        self.sent = []

    def flytrail(self, **env):
        return self.world.flytrail(
            FLYTRAIL_API_URL=self.api.url, FLYTRAIL_MACHINES_URL=self.api.url,
            # No heartbeat, because nobody ships it, but words of listening each ten seconds.
            **{"FLYTRAIL_BACKFILL_DELAY_SECONDS": "1", "FLYTRAIL_HEARTBEAT_SECONDS": "1", "FLY_APP_NAME": "",
               "FLYTRAIL_RECONCILE_PAGES_PER_HOUR": "360000", **env})

    def payload(self, message, at=None, app="web-1", provider="app", machine=MACHINE):
        if at is None:
            at_ns = self.last_ns = max(self.last_ns + 1, time.time_ns())
        else:
            at_ns = int(at * 10**9)
        self.sent.append(message)
        return json.dumps({"event": {"provider": provider},
                           "fly": {"app": {"instance": machine, "name": app}, "region": "ams"},
                           "host": "0ad1", "log": {"level": "info"}, "message": message,
                           "timestamp": iso_ns(at_ns)}, separators=(",", ":")).encode()

    def publish(self, payloads, nats=True, api=True, app="web-1"):
        payloads = list(payloads)
        if api:
            for payload in payloads:
                self.api.add_payload(payload)
        if nats:
            self.world.nats.publish([(f"logs.{app}.ams.{MACHINE}", payload) for payload in payloads])

    def store(self, payloads, **ways):
        """By a flytrail that compares nothing, and has ended when this returns."""
        ft = self.flytrail(FLYTRAIL_RECONCILE_PAGES_PER_HOUR="0").start()
        before = self.world.count("app <> 'flytrail'")
        self.publish(payloads, **ways)
        self.world.await_rows(before + len(payloads), "app <> 'flytrail'")
        self.assertEqual(ft.stop(), 0)

    def lines(self, count, word="line", **columns):
        return [self.payload(f"{word} {n}", **columns) for n in range(count)]

    def messages(self, where="true"):
        rows = self.world.pg.psql("SELECT message FROM flytrail.log_lines WHERE app <> 'flytrail' "
                                  f"AND {where} ORDER BY message")
        return [message for message, in rows]

    def gaps(self, columns="reason, state"):
        return self.world.pg.psql(f"SELECT {columns} FROM flytrail.gaps ORDER BY gap_start")

    def await_closed(self, count=1, timeout=60):
        """At least so many gaps, and none of them open."""
        def closed():
            states = [state for _, state in self.gaps()]
            return len(states) >= count and "open" not in states

        lab.wait_for(closed, timeout, f"{count} gaps to be closed")

    def await_filled(self, timeout=90):
        """Each line is stored, and no gap is open: starts that took nothing share one gap."""
        def filled():
            return self.messages() == sorted(self.sent) and all(state != "open" for _, state in self.gaps())

        lab.wait_for(filled, timeout, "every line to be stored and every gap closed")

    def tell(self, second, action, gap=None, **attributes):
        """A fact of another flytrail, by the superuser."""
        kind = "ensure_partition('security', to_timestamp(%f))" % second
        self.world.pg.psql(f"SELECT flytrail.{kind}")
        self.world.pg.psql(
            "INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis, "
            "observed_at, actor, actor_type, outcome, severity, trust, source, stream, seq, correlation_id, "
            f"attributes) VALUES (gen_random_uuid(), 'security', 'trail', 'trail.{action}', "
            f"to_timestamp({second}), 'observed', to_timestamp({second}), 'flytrail', 'flytrail', 'unknown', 4, "
            "'self', 'trail', '00000000-0000-4000-8000-000000000001', 1, "
            f"{'NULL' if gap is None else repr(gap)}, '{json.dumps(attributes)}')")

    def began(self, seconds_ago):
        """The trail listens since then, as far as the views know."""
        now = time.time()
        self.tell(now - seconds_ago + 1, "listening", listening_start=iso(now - seconds_ago),
                  listening_end=iso(now))

    def newest_hour(self):
        """The beginning of the newest that is compared. It stays that when the clock's hour turns in the middle
        of the test, because the one after it is on record as done."""
        hour = int(time.time() - HOUR) // HOUR * HOUR - HOUR
        self.tell(time.time(), "window_checked", app="web-1", window_start=iso(hour + HOUR),
                  window_end=iso(hour + 2 * HOUR), state="agrees", lines_seen=0, lines_recovered=0, hour_done=True)
        return hour

    @contextlib.contextmanager
    def held(self, sql):
        """While this holds, the locks that the statement takes are held."""
        with subprocess.Popen([f"{lab.PG_BIN}/psql", "-X", "-q", "-A", "-t", self.world.pg.url()],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as psql:
            psql.stdin.write(f"BEGIN; {sql}; SELECT 'held';\n")
            psql.stdin.flush()
            while "held" not in psql.stdout.readline():
                pass
            yield
            psql.stdin.close()

    def facts(self, action, columns="attributes"):
        rows = self.world.pg.psql(f"SELECT {columns} FROM flytrail.events WHERE action = '{action}' "
                                  "ORDER BY occurred_at, seq")
        return [json.loads(row[0]) if columns == "attributes" else row for row in rows]

    def assert_all_once(self):
        self.assertEqual(self.messages(), sorted(self.sent))
