"""What filling a gap costs, and what it costs the lines that come meanwhile; bench.py calls it."""

import bisect
import collections
import os
import re
import subprocess
import sys
import time
import urllib.request

from measure import HERE, cpu_seconds, peak_rss_mib, poll

LIVE_RATE = 10000
LIVE_SECONDS = 15
LEAD_SECONDS = 2  # of the live lines, which are not looked at: the publisher and flytrail begin
DEAD_SECONDS = 2  # that the lines of the gap are printed in
FIRST_LINES = 1000
SLOW_SECONDS = 0.1

# Milliseconds from publish to accepted: half of the lines, 99 %, the slowest; how many lines these
# are; how many others the NATS library dropped; the commits of that time that took longer than
# SLOW_SECONDS; and the lines/s that were backfilled meanwhile.
Live = collections.namedtuple("Live", "p50 p99 max lines dropped slow_commits filled")


class SecondCopy:
    """second_copy.py, as long as the bench runs: its CPU seconds are not flytrail's."""

    def __init__(self, lines, token, org):
        command = [sys.executable, os.path.join(HERE, "second_copy.py"), lines, token, org]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.url = self.process.stdout.readline().strip()

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        if self.process.stdout.readline().strip() != "done":
            raise SystemExit("bench: second_copy.py ended")

    def close(self):
        self.process.kill()
        self.process.wait()


class Fill:
    """A flytrail that died, and what Fly has of the time until its next start."""

    def __init__(self, bench, count, timed=False):
        self.bench, self.count = bench, count
        self.env = bench.environment()
        self.env.update({
            "FLYTRAIL_BACKFILL_DELAY_SECONDS": "1",
            "FLY_APP_NAME": "",  # no heartbeat
            "FLYTRAIL_RECONCILE_PAGES_PER_HOUR": "0",
        })
        self.commits = os.path.join(bench.folder, f"commits{bench.spools}")
        self.binary = bench.binary
        if timed:
            self.binary = os.path.join(bench.build, "tests/bench/flytrail_timed")
            self.env["BENCH_COMMIT_TIMES"] = self.commits
        bench.second_copy.ask("clear")

    def die(self):
        """Runs until it has stored some lines, and is killed. Then Fly prints the others."""
        with self.bench.flytrail(self.env, binary=self.binary, keep=True) as process:
            self.bench.await_connected(process)
            self.bench.publish(count=FIRST_LINES, tag="first").wait()
            self.bench.await_delivered()
        begun = time.time_ns()
        time.sleep(DEAD_SECONDS)
        if self.count:
            self.bench.second_copy.ask("add", self.count, begun, time.time_ns())

    def run(self):
        return self.bench.flytrail(self.env, binary=self.binary)

    def metric(self, name):
        address = f"http://{self.env['FLYTRAIL_LISTEN']}/metrics"
        with urllib.request.urlopen(address, timeout=10) as got:
            found = re.search(rf"^flytrail_{re.escape(name)} (\S+)$", got.read().decode(),
                              re.MULTILINE)
        return int(found.group(1))

    def slow_commits(self):
        """Writes to the spool that took more than SLOW_SECONDS, nearly all of it the disk's."""
        name = "spool_commit_duration_seconds"
        return self.metric(f"{name}_count") - self.metric(f'{name}_bucket{{le="{SLOW_SECONDS:.9f}"}}')

    def await_recovered(self, count):
        poll(lambda: self.metric("lines_recovered_total") >= count, "lines to be recovered")

    def await_closed(self, process):
        def closed():
            with open(process.log, encoding="utf-8") as log:
                return '"event":"gap_closed"' in log.read()
        poll(closed, "the gap to be closed")

    def check(self):
        """Each line of the gap is there once. Returns the seconds from the first page to the last."""
        count, seconds = self.bench.postgres.psql(
            "select count(*), extract(epoch from max(observed_at) - min(observed_at)) "
            "from flytrail.log_lines where source = 'http'")[0]
        if int(count) != self.count:
            raise SystemExit(f"bench: {count} of {self.count} lines of the gap recovered")
        return float(seconds)


def fill_cost(bench, count):
    """CPU microseconds a line until all are stored, and until the gap is closed, which takes a
    second pass over the same lines; lines/s of the first pass; peak RSS in MiB."""
    bench.empty_trail()
    fill = Fill(bench, count)
    fill.die()
    with fill.run() as process:
        bench.await_connected(process)
        before = cpu_seconds(process.pid)
        fill.await_recovered(count)
        poll(lambda: fill.metric("lines_stored_total") >= count, "lines to be stored")
        stored = cpu_seconds(process.pid) - before
        fill.await_closed(process)
        closed = cpu_seconds(process.pid) - before
        peak = peak_rss_mib(process.pid)
        seconds = fill.check()
    return stored / count * 1e6, closed / count * 1e6, count / seconds, peak


def published_and_accepted(bench, path):
    """Nanoseconds since 1970 of each live line, and from there to the commit that it was in."""
    with open(path, encoding="ascii") as file:
        commits = [tuple(map(int, line.split())) for line in file]
    commits.sort()
    numbers = [number for number, _ in commits]
    rows = bench.postgres.psql(
        "select seq, (extract(epoch from occurred_at) * 1000000)::bigint * 1000 + occurred_ns "
        "from flytrail.log_lines where source = 'nats' and message like 'live line %'")
    for seq, published in rows:
        at = commits[bisect.bisect_left(numbers, int(seq))][1]
        yield int(published), at - int(published)


def share(values, part):
    return values[min(len(values) - 1, int(len(values) * part))]


def live_latency(bench, count):
    """Lines come at LIVE_RATE, while count lines of a gap are filled; 0: no gap has any."""
    bench.empty_trail()
    fill = Fill(bench, count, timed=True)
    fill.die()
    with fill.run() as process:
        bench.await_connected(process)
        if count:
            fill.await_recovered(1)
        begun = time.time_ns()
        bench.publish(rate=LIVE_RATE, count=LIVE_RATE * LIVE_SECONDS, tag="live").wait()
        ended = time.time_ns()
        recovered = fill.metric("lines_recovered_total")
        slow = fill.slow_commits()
        if count:
            if recovered >= count:
                raise SystemExit(f"bench: {count} lines were filled before {LIVE_SECONDS} s had passed")
            fill.await_recovered(count)
            fill.await_closed(process)
        else:
            bench.await_delivered()
    if count:
        fill.check()
    lines = sorted(published_and_accepted(bench, fill.commits))
    latencies = sorted(waited / 1e6 for at, waited in lines if at >= begun + LEAD_SECONDS * 10**9)
    return Live(share(latencies, 0.5), share(latencies, 0.99), latencies[-1], len(latencies),
                LIVE_RATE * LIVE_SECONDS - len(lines), slow, recovered / ((ended - begun) / 1e9))
