"""`flytrail run` as a child of the test, and what tests ask about the trail it keeps.

    with flytrail.World() as world:             # Postgres, migrated, and nats-server
        with world.flytrail() as ft:
            world.publish(1000)
            ft.stop()
        world.check_every_line_is_a_row_or_in_a_gap(1000)
"""

import collections
import contextlib
import datetime
import functools
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import lab

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("FLYTRAIL_BINARY", os.path.join(ROOT, "build", "flytrail"))
NATSPUB = os.path.join(ROOT, "build", "tests", "support", "natspub")
ANSWER_SECONDS = 90  # of its pages, on a machine where a thread may stand still for some of them
# A disk that all tests share may take half of that for what a start writes and syncs.
EVENT_SECONDS = 90
# A gap is so much wider than what is known of it, on both sides: GAP_MARGIN_NS.
MARGIN_SECONDS = 10
# Of a hole without a gap, what lies this near is told.
NEAR_SECONDS = 3
# Of a long list, so many are told.
TOLD_MAX = 10
# Of natspub's lines, 17 MB: NATS_PENDING_BYTES wait for whoever reads slowly, as on a busy machine.
PORTION = 50000
RATE = 50000  # a second
# What tests/run.py tells a binary with sanitizers.
SANITIZERS = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")


class Flytrail:
    """One `flytrail run` with a spool of its own; start() again is a restart on that spool."""

    def __init__(self, env, folder, arguments=()):
        self.folder = folder
        self.arguments = arguments
        self.port = lab.free_port()
        self.env = {
            "FLYTRAIL_SPOOL_DIR": os.path.join(folder, "spool"),
            "FLYTRAIL_SPOOL_MAX_BYTES": "1GiB",
            "FLYTRAIL_DRAIN_SECONDS": "20",
            "FLYTRAIL_LISTEN": f"127.0.0.1:{self.port}",
            **{name: os.environ[name] for name in SANITIZERS if name in os.environ},
            **env,
        }
        self.program = [BINARY]  # words that run it
        self.process = None
        self.stdout = None  # a descriptor; None: the log
        self.closed = ()  # of the standard descriptors, when it starts
        self.log_path = os.path.join(folder, "log")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def start(self, wait=True):
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        command = [*self.program, "run", *self.arguments]
        if self.closed:
            closing = " ".join(f"{number}>&-" for number in self.closed)
            command = ["/bin/sh", "-c", f'exec "$@" {closing}', "sh", *command]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, env=self.env,
                                            stdin=subprocess.DEVNULL, stderr=log,
                                            stdout=log if self.stdout is None else self.stdout)
        if wait:
            self.await_event("source_connected")
            self.await_event("store_connected")
        return self

    def log_lines(self):
        """The log since the last start, as objects."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_start)
            whole = log.read().rpartition(b"\n")[0].decode()  # and not the half of what is being written
        return [json.loads(line) for line in whole.split("\n") if line.startswith("{")]

    def events(self, name):
        return [line for line in self.log_lines() if line["event"] == name]

    def troubles(self):
        """What of the log since the last start is more than news."""
        return [line for line in self.log_lines() if line["level"] != "info"]

    def await_event(self, name, timeout=EVENT_SECONDS):
        def seen_or_dead():
            if self.events(name):
                return True
            if self.process.poll() is not None:
                raise AssertionError(f"flytrail ended: {self.log_lines()[-5:]}")
            return False

        try:
            lab.wait_for(seen_or_dead, timeout, f"log event {name}")
        except AssertionError as error:
            raise AssertionError(f"{error}; its log ends with {self.log_lines()[-5:]}; "
                                 f"its threads wait in {self.waits()}") from None

    def waits(self):
        """What each of its threads waits for, as the kernel names it."""
        waits = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):  # one that ends just now waits for nothing
                name = (task / "comm").read_text().strip()
                waits[f"{name} {task.name}"] = f"{(task / 'wchan').read_text()} in {(task / 'syscall').read_text().strip()}"
        return waits

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM; returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.process.wait(timeout=lab.ENDED_SECONDS)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def copy_spool(self, path):
        """As a snapshot of its volume has it: of one moment, with no file half written or about to be renamed."""
        with lab.held_still(self.process):
            subprocess.run(["cp", "-a", self.env["FLYTRAIL_SPOOL_DIR"], path], check=True)

    def command(self, *words):
        """Another command with this one's environment: the exit status, and all it printed."""
        done = subprocess.run([*self.program, *words], env=self.env, stdin=subprocess.DEVNULL, timeout=lab.ENDED_SECONDS,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout

    def is_well(self):
        """But for the worker and the watcher, which in most worlds have no API of Fly's to ask."""
        checks = self.health()[1]
        return checks and all(check["ok"] for name, check in checks.items() if name not in ("worker", "watcher"))

    def health(self, path="/health"):
        """The status and the checks by name; (0, {}) when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=ANSWER_SECONDS) as got:
                status, body = got.status, got.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        except (OSError, http.client.HTTPException):
            return 0, {}
        return status, {check["name"]: check for check in json.loads(body)["checks"]}

    def metrics(self):
        """Of one moment, by name, with the labels where it has some; NaN where there is none yet."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=ANSWER_SECONDS) as got:
            page = got.read().decode()
        return {name: float(value) for name, value in re.findall(r"^flytrail_(\w+(?:\{.*\})?) (\S+)$", page, re.MULTILINE)}

    def metric(self, name):
        return self.metrics()[name]

    def await_accepted(self, lines):
        """So many since its start: on its disk, from where no crash takes them."""
        def handed():
            m = self.metrics()
            return m["lines_accepted_total"] >= lines and sum(
                m[f"{kind}_accepted_total"] for kind in ("lines", "facts", "events"))

        records = lab.wait_for(handed, EVENT_SECONDS, f"{lines} lines to be in the spool")
        lab.wait_for(lambda: self.metric("records_accepted_total") >= records, EVENT_SECONDS, f"{records} records to be synced")

    def memory_peak_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")


class Shipper:
    """Plays Fly for one flytrail: what that prints comes to the log stream, as Fly would put it there.

        ft = world.flytrail(FLYTRAIL_HEARTBEAT_SECONDS="1")
        with flytrail.Shipper(world.nats, ft) as shipper:
            ft.start()
    """

    def __init__(self, nats, ft, region="ams"):
        self.nats = nats
        self.app, self.machine = ft.env["FLY_APP_NAME"], ft.env["FLY_MACHINE_ID"]
        self.region = region
        self.lines = []  # printed
        self.shipped = 0
        self.ships = True
        reading, ft.stdout = os.pipe()
        self.ends = [ft.stdout]
        threading.Thread(target=self.carry, args=(reading,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """The reader ends with the last who can write, which is flytrail."""
        for end in self.ends:
            os.close(end)

    def carry(self, reading):
        with open(reading, encoding="utf-8") as printed:
            for line in printed:
                self.lines.append(line.rstrip("\n"))
                if self.ships:
                    self.publish(self.lines[-1])

    def publish(self, line):
        with contextlib.suppress(OSError, lab.LabError):  # a server that is away loses it
            self.nats.publish([self.message(line)])
            self.shipped += 1

    def message(self, line):
        now = datetime.datetime.now(datetime.timezone.utc)
        body = {"event": {"provider": "app"},
                "fly": {"app": {"instance": self.machine, "name": self.app}, "region": self.region},
                "host": "0ad1", "log": {"level": "info"}, "message": line,
                "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"}
        return (f"logs.{self.app}.{self.region}.{self.machine}",
                json.dumps(body, separators=(",", ":")).encode())

    def await_shipped(self, count, timeout=60):
        """So many more than now."""
        target = self.shipped + count
        lab.wait_for(lambda: self.shipped >= target, timeout, f"{count} lines on the stream")

    def await_printed(self, count):
        target = len(self.lines) + count
        lab.wait_for(lambda: len(self.lines) >= target, 60, f"{count} lines printed")

    def stop(self):
        """From now on what is printed is lost."""
        self.ships = False

    def resume(self):
        self.ships = True


def check_moment(moment, since, until):
    """That it lies between two moments that the test has noted; however long they are apart."""
    if not since <= moment <= until:
        raise AssertionError(f"{moment:.6f} does not lie between {since:.6f} and {until:.6f}")


def migrate(pg):
    subprocess.run([BINARY, "migrate"], check=True, capture_output=True,
                   env={"FLYTRAIL_ADMIN_DATABASE_URL": pg.url()})


@functools.cache
def migrated_data():
    """The data of a server with flytrail's schema, made once in this process."""
    pg = lab.Postgres()
    lab.remove_at_exit(pg.folder)
    pg.start()
    migrate(pg)
    pg.stop()
    return pg.data


class World:
    """A Postgres with flytrail's schema, a nats-server, and folders for flytrails."""

    kind, make_pg, make_nats = Flytrail, lab.Postgres, lab.Nats
    beside_nats = ()  # what makes a command run where the stream's lines come from

    def __init__(self, nats_options=None, pg_options=None, migrated=True):
        self.pg = self.make_pg(template=migrated_data() if migrated else None, **(pg_options or {}))
        self.nats = self.make_nats(**(nats_options or {}))
        self.folder = tempfile.mkdtemp(prefix="flytrail-world-")
        self.flytrails = []
        self.published_from = {}  # by tag: no line is older
        self.published_until = {}  # by tag: no line of publish() is younger

    def __enter__(self):
        self.pg.start()
        self.nats.start()
        return self

    def __exit__(self, *_):
        for ft in self.flytrails:
            ft.kill()
        self.nats.close()
        self.pg.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def migrate(self):
        migrate(self.pg)

    def env(self):
        return {
            "ORG": self.nats.ORG[0],
            "ACCESS_TOKEN": f"FlyV1 {self.nats.ORG[1]}",
            "NATS_URL": self.nats.url,
            # No test asks Fly's own.
            "FLYTRAIL_API_URL": "http://127.0.0.1:1",
            "FLYTRAIL_MACHINES_URL": "http://127.0.0.1:1",
            "FLYTRAIL_DATABASE_URL": self.pg.url("flytrail_writer"),
            "FLY_APP_NAME": "flytrail",
            # Nobody ships its stdout here; tests/integration/test_heartbeat.py does.
            "FLYTRAIL_HEARTBEAT_SECONDS": "0",
        }

    def flytrail(self, arguments=(), **env):
        name = f"ft{len(self.flytrails)}"
        folder = os.path.join(self.folder, name)
        os.makedirs(folder)
        ft = self.kind({**self.env(), "FLY_MACHINE_ID": name, **env}, folder, arguments)
        self.flytrails.append(ft)
        return ft

    def copy_of(self, ft, **env):
        """A flytrail on another machine, whose volume is a copy of ft's as it is now."""
        made = self.flytrail(**env)
        ft.copy_spool(made.env["FLYTRAIL_SPOOL_DIR"])
        return made

    def publisher(self, *arguments):
        """natspub as a child; its lines are numbered from 0 unless --first says otherwise."""
        tag = arguments[arguments.index("--tag") + 1] if "--tag" in arguments else "numbered"
        self.published_from.setdefault(tag, time.time())
        self.published_until.pop(tag, None)
        return subprocess.Popen([*self.beside_nats, NATSPUB, self.nats.url, *self.nats.FLY, *map(str, arguments)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def publish(self, count, first=0, rate=RATE, tag="numbered"):
        done = self.publisher("--count", count, "--first", first, "--rate", rate, "--tag", tag)
        if done.wait(timeout=lab.ENDED_SECONDS) != 0:
            raise AssertionError("natspub failed")
        self.published_until[tag] = time.time()

    def publish_awaited(self, ft, count, first=0, rate=RATE):
        """Where none may be lost: ft has each portion on its disk before the next comes."""
        accepted = ft.metric("lines_accepted_total")
        for begin in range(0, count, PORTION):
            portion = min(PORTION, count - begin)
            self.publish(portion, first + begin, rate)
            ft.await_accepted(accepted + begin + portion)

    def publish_lines(self, lines):
        path = os.path.join(self.folder, "lines")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(line + "\n" for line in lines)
        if self.publisher("--file", path).wait(timeout=lab.ENDED_SECONDS) != 0:
            raise AssertionError("natspub failed")

    def count(self, where="true"):
        return int(self.pg.psql(f"SELECT count(*) FROM flytrail.log_lines WHERE {where}")[0][0])

    def await_rows(self, count, where="true", timeout=60):
        try:
            lab.wait_for(lambda: self.count(where) >= count, timeout, f"{count} rows")
        except AssertionError as e:
            raise AssertionError(f"{e}; there are {self.count(where)}; {self.what_may_be_why()}") from None

    def what_may_be_why(self):
        """Of rows that are missing, in few words."""
        return (f"gaps: {self.gaps()[:TOLD_MAX]}; "
                f"troubles: {[ft.troubles()[-TOLD_MAX:] for ft in self.flytrails if ft.process]}")

    def numbers(self, tag="numbered"):
        """(number, seconds since 1970) of each numbered line, by number."""
        rows = self.pg.psql(
            f"SELECT substring(message FROM '^{tag} line ([0-9]+) ')::bigint AS n, "
            "extract(epoch FROM occurred_at) FROM flytrail.log_lines "
            f"WHERE message LIKE '{tag} line %' ORDER BY n")
        return [(int(n), float(at)) for n, at in rows]

    def check_each_line_is_one_row(self, expected, tag="numbered"):
        """expected: the numbers. What is amiss is told in few words, with what may be why."""
        expected = set(expected)
        rows = collections.Counter(n for n, _ in self.numbers(tag))
        amiss = {"missing": expected - rows.keys(), "not expected": rows.keys() - expected,
                 "there more than once": {n for n, count in rows.items() if count > 1}}
        if any(amiss.values()):
            told = "; ".join(f"{len(found)} {what}: {sorted(found)[:TOLD_MAX]}"
                             for what, found in amiss.items() if found)
            raise AssertionError(f"of {len(expected)} lines: {told}; {self.what_may_be_why()}")

    def await_gap(self, reason, closed, timeout=60):
        def found():
            return [gap for gap in self.gaps(reason) if not closed or gap["end"] is not None]

        return lab.wait_for(found, timeout, f"a gap {reason}")[0]

    def gaps(self, reason=None):
        """Each gap once: reason, start (0: not known) and end in seconds (None: open), lines_lost."""
        rows = self.pg.psql("""
            SELECT (array_agg(attributes->>'reason'))[1],
                   min(extract(epoch FROM (attributes->>'gap_start')::timestamptz)),
                   (array_agg(extract(epoch FROM (attributes->>'gap_end')::timestamptz)
                              ORDER BY stream, seq DESC))[1],
                   max((attributes->>'lines_lost')::bigint)
              FROM flytrail.events WHERE action LIKE 'trail.gap%'
             GROUP BY correlation_id ORDER BY 2""")
        return [{"reason": why, "start": float(start or 0), "end": end and float(end),
                 "lost": lost and int(lost)} for why, start, end, lost in rows if reason in (None, why)]

    def listened(self):
        """(since, until) of each fact of listening in seconds, as the spool had them."""
        rows = self.pg.psql("""
            SELECT extract(epoch FROM (attributes->>'listening_start')::timestamptz),
                   extract(epoch FROM (attributes->>'listening_end')::timestamptz)
              FROM flytrail.events WHERE action = 'trail.listening'
             ORDER BY stream, seq""")
        return [(float(since), float(until)) for since, until in rows]

    def missing_runs(self, count, tag="numbered"):
        """(how many, time of the line before, time of the line after) of each hole."""
        got = self.numbers(tag)
        if len({n for n, _ in got}) != len(got):
            raise AssertionError("a line is there twice")
        runs, before, expected = [], self.published_from[tag], 0
        for n, at in got + [(count, self.published_until.get(tag, time.time()))]:
            if n > expected:
                runs.append((n - expected, before, at))
            before, expected = at, n + 1
        return runs

    def listened_near(self, before, after):
        return [(since, until) for since, until in self.listened()
                if since <= after + NEAR_SECONDS and until >= before - NEAR_SECONDS]

    def check_every_line_is_a_row_or_in_a_gap(self, count, tag="numbered"):
        """Returns how many lines are missing; each hole lies wholly in some gap."""
        gaps = self.gaps()
        lost = 0
        for size, before, after in self.missing_runs(count, tag):
            lost += size
            if not any(gap["start"] <= before and (gap["end"] is None or after <= gap["end"])
                       for gap in gaps):
                near = [gap for gap in gaps if gap["start"] <= after + NEAR_SECONDS
                        and (gap["end"] is None or gap["end"] >= before - NEAR_SECONDS)]
                raise AssertionError(f"{size} lines are missing between {before:.6f} and "
                                     f"{after:.6f}, and no gap says so; near it: {near}; "
                                     f"listened: {self.listened_near(before, after)}")
        return lost
