"""Measures flytrail against plain alternatives, on one machine, in one run.

usage: bench.py BUILD_FOLDER [--only stream|forward|recovery|watch|retention] [--rounds N] [--records N] [--lines N]
                [--backlog N] [--stall SECONDS] [--apps N] [--machines N] [--full SECONDS] [--rows N]

Every figure is a ratio of two things measured in the same round, one after the
other, so that a noisy machine moves both; the median of the rounds counts. It
asserts nothing but that no record was lost. What it prints, with the machine's
description, is kept in tests/bench/RESULTS.md.
"""

import argparse
import contextlib
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import forwarding
import recovery
import retention
import watching
from measure import HERE, POLL_SECONDS, WAIT_SECONDS, cpu_seconds, peak_rss_mib, poll

sys.path.insert(0, os.path.join(HERE, "..", "support"))
import lab  # noqa: E402

STALL_RATE = 50000
PUBLISH_SHARE = 0.75  # of the rate of COPY: more than is asked for, and no flood
QUIET_SECONDS = 1.5  # a cursor that stands still so long has arrived

MEASURES = [  # name, what it must reach, how it reads
    ("file", 0.85, "file -> spool -> Postgres, rows/s, over one raw binary COPY"),
    ("nats", 0.70, "NATS -> spool -> Postgres, rows/s, over the same COPY"),
    ("replicas", 0.45, "two replicas on one stream, rows/s, over one"),
    ("cpu", 2.2, "own CPU seconds per million records, NATS -> Postgres (at most)"),
    ("intake", 0.50, "NATS intake + spool over a bare libnats subscriber that counts"),
    ("rss", 64, "peak RSS in MiB while Postgres is stopped (at most)"),
    ("forward", 0.80, "spool -> gzip 1 -> PUT to a local sink, records/s, over zlib alone on the same bytes"),
    ("forward_cpu", 1.25, "own CPU of that, over zlib's alone (at most)"),
    ("together", 0.60, "NATS -> Postgres and S3 together, rows/s, over the same COPY"),
    ("forward_rss", 96, "peak RSS in MiB while S3 answers nothing, with all sinks on (at most)"),
    ("fill_cpu", 15, "own CPU microseconds a backfilled line, until it is stored (at most)"),
    ("fill_cpu_closed", None, "the same until the gap is closed: a second pass found nothing more"),
    ("fill_rate", None, "backfilled lines/s"),
    ("fill_rss", None, "peak RSS in MiB while filling"),
    ("live_p50", None, "publish to accepted at 10,000 lines/s, ms: half of the lines"),
    ("live_p99", None, "99 %"),
    ("live_max", None, "the slowest"),
    ("filling_p50", None, "the same while a gap is filled: half of the lines"),
    ("filling_p99", 150, "99 % (at most)"),
    ("filling_max", None, "the slowest"),
    ("filling_rate", None, "lines/s backfilled meanwhile"),
    ("watch_first_requests", 4, "in the first pass: requests/s to Fly for the control plane, in the mean (at most)"),
    ("watch_first_staged", 300, "95 % from a staged secret to its event in Postgres, s (at most: the full interval)"),
    ("watch_first_deployed", 60, "the same of a secret that is deployed (at most)"),
    ("watch_first_release", 60, "the same of a release (at most)"),
    ("watch_quiet_requests", 4, "after it: requests/s while nothing changes, in the mean (at most)"),
    ("watch_requests", 4, "requests/s while 100 things change in a full interval, in the mean (at most)"),
    ("watch_staged_p50", None, "from a staged secret to its event in Postgres, s: half of them"),
    ("watch_staged", 300, "95 % (at most: the full interval)"),
    ("watch_deployed_p50", None, "the same of a secret that is deployed: half of them"),
    ("watch_deployed", 60, "95 % (at most)"),
    ("watch_release_p50", None, "the same of a release: half of them"),
    ("watch_release", 60, "95 % (at most)"),
    ("watch_rss", None, "peak RSS in MiB"),
    ("retention_plan", 2, "the plan of three years of partitions, s (at most)"),
    ("retention_apply", 5, "30 partitions taken out and dropped, s, digests and S3 apart (at most)"),
    ("stored_p99", None, "publish to stored at full rate, ms: 99 %"),
    ("applying_p99", None, "the same while 30 partitions go"),
]
WATCH_CHANGES = 100


class Bench:
    def __init__(self, build, records, folder):
        self.build = os.path.abspath(build)
        self.records = records
        self.folder = folder
        self.binary = os.path.join(self.build, "flytrail")
        self.lines = os.path.join(folder, "lines.ndjson")
        self.rows = os.path.join(folder, "rows.copy")
        self.spools = 0
        with open(self.lines, "wb") as out:
            subprocess.run([sys.executable, os.path.join(HERE, "generate.py"), str(records)],
                           stdout=out, check=True)
        self.line_bytes = os.path.getsize(self.lines) / records
        self.postgres = lab.Postgres(fsync=True).start()
        self.nats = lab.Nats().start()
        user, password = self.nats.ORG
        self.second_copy = recovery.SecondCopy(self.lines, password, user)

    def close(self):
        self.second_copy.close()
        self.postgres.close()
        self.nats.close()

    # The parts that measures are made of.

    def environment(self, nats=True):
        """For a run with a spool of its own."""
        self.spools += 1
        env = {"PATH": os.environ["PATH"],
               "FLYTRAIL_DATABASE_URL": self.postgres.url("flytrail_writer"),
               "FLYTRAIL_SPOOL_DIR": os.path.join(self.folder, f"spool{self.spools}"),
               "FLYTRAIL_SPOOL_MAX_BYTES": "8GiB",
               "FLYTRAIL_LISTEN": f"127.0.0.1:{lab.free_port()}"}
        if nats:
            user, password = self.nats.ORG
            env.update({"ORG": user, "ACCESS_TOKEN": password, "NATS_URL": self.nats.url,
                        "FLYTRAIL_API_URL": self.second_copy.url,
                        "FLYTRAIL_MACHINES_URL": self.second_copy.url})
        return env

    @contextlib.contextmanager
    def flytrail(self, env, *args, binary=None, keep=False):
        """Killed at the end; keep: its spool is for the next start, which has another log."""
        path = os.path.join(self.folder, f"flytrail{self.spools}{'.first' if keep else ''}.log")
        with open(path, "ab") as log:
            process = subprocess.Popen([binary or self.binary, "run", *args], env=env, stderr=log,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        process.log = path
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            if not keep:
                shutil.rmtree(env["FLYTRAIL_SPOOL_DIR"], ignore_errors=True)

    def await_connected(self, process):
        def connected():
            with open(process.log, encoding="utf-8") as log:
                text = log.read()
            return "source_connected" in text and "store_connected" in text
        poll(connected, "flytrail to connect")

    def empty_trail(self):
        self.postgres.psql("drop schema if exists flytrail cascade")
        env = {"PATH": os.environ["PATH"],
               "FLYTRAIL_ADMIN_DATABASE_URL": self.postgres.url()}
        subprocess.run([self.binary, "migrate"], env=env, check=True, capture_output=True)
        self.postgres.psql("select flytrail.ensure_partition(kind, at) "
                           "from unnest(array['log_lines', 'security', 'operations']) kind, "
                           "unnest(array[now() - interval '2 hours', now()]) at; "
                           "select flytrail.make_partitions_ahead(); checkpoint")

    def stored(self):
        return int(self.postgres.psql("select count(*) from flytrail.log_lines")[0][0])

    def await_delivered(self):
        """Waits until the cursor, once it moved, has come to rest. Returns when the last batch
        began to be committed, on the wall clock. The waiting is one backend's, which sleeps: a
        client for each look would be load itself."""
        return float(self.postgres.psql(f"""
            do $$
            declare
                last bigint := 0; seen bigint; moved timestamptz := clock_timestamp();
            begin
                while last = 0 or clock_timestamp() < moved + interval '{QUIET_SECONDS} s' loop
                    select coalesce(max(cursor_seq), 0) into seen from flytrail.streams;
                    if seen <> last then
                        last := seen;
                        moved := clock_timestamp();
                    elsif clock_timestamp() > moved + interval '{WAIT_SECONDS} s' then
                        raise 'bench: nothing was stored';
                    end if;
                    perform pg_sleep({POLL_SECONDS});
                end loop;
            end
            $$;
            select extract(epoch from max(updated_at)) from flytrail.streams""")[0][0])

    def publish(self, rate=None, count=None, tag=None):
        """natspub, started: the whole file, or count generated lines."""
        command = [os.path.join(self.build, "tests/support/natspub"), self.nats.url, *self.nats.FLY]
        command += ["--count", str(count)] if count else ["--file", self.lines]
        command += ["--rate", str(rate)] if rate else []
        command += ["--tag", tag] if tag else []
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    # The measures.

    def copy_rate(self):
        """One raw binary COPY of the rows into an identical, empty trail."""
        self.empty_trail()
        begun = time.monotonic()
        subprocess.run([f"{lab.PG_BIN}/psql", "-Xq", self.postgres.url("flytrail_writer"), "-c",
                        f"\\copy flytrail.log_lines from '{self.rows}' with (format binary)"],
                       check=True)
        rate = self.records / (time.monotonic() - begun)
        if self.stored() != self.records:
            raise SystemExit("bench: the COPY did not store every row")
        return rate

    def file_rate(self):
        self.empty_trail()
        begun = time.monotonic()
        with self.flytrail(self.environment(nats=False), self.lines) as process:
            if process.wait(WAIT_SECONDS) != 0:
                raise SystemExit(f"bench: flytrail run failed: see {process.log}")
            rate = self.records / (time.monotonic() - begun)
        if self.stored() != self.records:
            raise SystemExit(f"bench: {self.stored()} of {self.records} lines of the file stored")
        return rate

    def save_rows(self):
        """What the file gave, as the bytes of a binary COPY, in the order of arrival."""
        subprocess.run([f"{lab.PG_BIN}/psql", "-Xq", self.postgres.url(), "-c",
                        "\\copy (select * from flytrail.log_lines order by seq) to "
                        f"'{self.rows}' with (format binary)"], check=True)

    def nats_rate(self, publish_rate, replicas=1):
        """Rows/s from the first publish to the last commit, own CPU seconds of the first
        replica per million records, and the lines that NATS dropped."""
        self.empty_trail()
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(self.flytrail(self.environment()))
                         for _ in range(replicas)]
            for process in processes:
                self.await_connected(process)
            before = cpu_seconds(processes[0].pid)
            begun = time.time()
            publisher = self.publish(rate=publish_rate)
            ended = self.await_delivered()
            used = cpu_seconds(processes[0].pid) - before
            publisher.wait()
        count = self.stored()
        return count / (ended - begun), used / count * 1e6, self.records - count

    def counter_rate(self):
        """What a bare subscriber counts in a second."""
        command = [os.path.join(self.build, "tests/bench/count_nats"), self.nats.url,
                   *self.nats.ORG, str(self.records)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as counter:
            counter.stdout.readline()
            publisher = self.publish()
            count, seconds = counter.stdout.readline().split()
            publisher.wait()
        return int(count) / float(seconds)

    def intake_rate(self):
        """What flytrail takes in a second from the same publisher, while Postgres hangs."""
        self.empty_trail()
        with self.flytrail(self.environment()) as process:
            self.await_connected(process)
            self.postgres.pause()
            try:
                self.publish().wait()
                time.sleep(1)  # for what is still on its way
            finally:
                self.postgres.resume()
            self.await_delivered()
        count, seconds = self.postgres.psql(
            "select count(*), extract(epoch from max(observed_at) - min(observed_at)) "
            "from flytrail.log_lines")[0]
        return int(count) / float(seconds), self.records - int(count)

    def stalled_rss(self, seconds):
        """Peak RSS with records coming and a Postgres that answers nothing."""
        self.empty_trail()
        with self.flytrail(self.environment()) as process:
            self.await_connected(process)
            self.postgres.pause()
            try:
                self.publish(rate=STALL_RATE, count=STALL_RATE * seconds).wait()
                peak = peak_rss_mib(process.pid)
            finally:
                self.postgres.resume()
            self.await_delivered()
            return max(peak, peak_rss_mib(process.pid))


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        model = re.search(r"model name\s*: (.*)", info.read()).group(1)
    with open("/proc/meminfo", encoding="ascii") as info:
        memory = int(info.read().split()[1]) // 1024 // 1024
    versions = subprocess.run([f"{lab.PG_BIN}/postgres", "--version"], capture_output=True,
                              text=True, check=True).stdout.strip()
    nats = subprocess.run([lab.NATS_SERVER, "--version"], capture_output=True, text=True,
                          check=True).stdout.strip()
    return (f"{model}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, "
            f"{versions} (fsync on), {nats}")


def stream_round(bench, figures, note):
    """All measures of the stream once, the two sides of each ratio close to each other."""
    file_rate = bench.file_rate()
    if not os.path.exists(bench.rows):
        bench.save_rows()
    copy_rate = bench.copy_rate()
    publish_rate = int(copy_rate * PUBLISH_SHARE)
    nats_rate, cpu, nats_lost = bench.nats_rate(publish_rate)
    replicas_rate, _, _ = bench.nats_rate(publish_rate, replicas=2)
    counter = bench.counter_rate()
    intake, lost = bench.intake_rate()
    figures["file"].append(file_rate / copy_rate)
    figures["nats"].append(nats_rate / copy_rate)
    figures["replicas"].append(replicas_rate / nats_rate)
    figures["cpu"].append(cpu)
    figures["intake"].append(intake / counter)
    note(f"COPY {copy_rate:,.0f} rows/s, file {file_rate:,.0f}, NATS {nats_rate:,.0f}, two "
         f"replicas {replicas_rate:,.0f}, CPU {cpu:.2f} s/M, count {counter:,.0f}, intake "
         f"{intake:,.0f}; dropped by libnats and on record as gaps: {nats_lost:,} of those at "
         f"{publish_rate:,}/s, {lost:,} of those at full speed")


def forward_round(bench, spool, figures, note):
    ratio, cpu, rate = spool.round()
    copy_rate = bench.copy_rate()
    together = forwarding.together_rate(bench, int(copy_rate * PUBLISH_SHARE))
    figures["forward"].append(ratio)
    figures["forward_cpu"].append(cpu)
    figures["together"].append(together / copy_rate)
    note(f"spool to S3 {rate:,.0f} records/s, {ratio:.2f} of zlib's, with {cpu:.2f} of its CPU; "
         f"COPY {copy_rate:,.0f} rows/s, NATS to Postgres and S3 {together:,.0f}")


def recovery_round(bench, args, figures, note):
    stored, closed, rate, peak = recovery.fill_cost(bench, args.lines)
    figures["fill_cpu"].append(stored)
    figures["fill_cpu_closed"].append(closed)
    figures["fill_rate"].append(rate)
    figures["fill_rss"].append(peak)
    note(f"{args.lines:,} backfilled lines: {stored:.1f} us CPU each until stored, {closed:.1f} until "
         f"closed, {rate:,.0f} lines/s, {peak:.1f} MiB")
    for name, count in (("live", 0), ("filling", args.backlog)):
        live = recovery.live_latency(bench, count)
        for part in ("p50", "p99", "max"):
            figures[f"{name}_{part}"].append(getattr(live, part))
        if count:
            figures["filling_rate"].append(live.filled)
        note(f"publish to accepted, {live.lines:,} lines, {live.filled:,.0f} lines/s backfilled meanwhile: "
             f"half {live.p50:.1f} ms, 99 % {live.p99:.1f} ms, slowest {live.max:.1f} ms; "
             f"{live.dropped:,} dropped by libnats, {live.slow_commits} slow commits, "
             f"load {os.getloadavg()[0]:.1f}")


def watch_once(bench, args, figures):
    """The machine has nothing to do with it: it is waiting, and once is enough."""
    def note(text):
        print(f"watching {args.apps} applications each {args.full} s: {text}", flush=True)

    first, quiet, steady = watching.watch(bench, args.apps, args.machines, min(WATCH_CHANGES, args.apps),
                                         args.full, note)
    figures["watch_first_requests"].append(first.requests)
    figures["watch_quiet_requests"].append(quiet)
    figures["watch_requests"].append(steady.requests)
    figures["watch_rss"].append(steady.rss)
    for kind in ("staged", "deployed", "release"):
        figures[f"watch_first_{kind}"].append(getattr(first, kind).p95)
        figures[f"watch_{kind}_p50"].append(getattr(steady, kind).p50)
        figures[f"watch_{kind}"].append(getattr(steady, kind).p95)


def retention_once(bench, args, figures):
    """Last, since it changes a setting of the server's."""
    if not os.path.exists(bench.rows):
        bench.save_rows()
    retention.measure(bench, args.rows, figures, lambda text: print(f"retention: {text}", flush=True))


def report(bench, figures, rounds):
    print(f"\n{machine()}")
    print(f"{bench.records:,} records, mean {bench.line_bytes:.0f} bytes; {rounds} rounds, "
          "everything on the same cores; median (lowest to highest)\n")
    print("| measure | must reach | measured |\n| --- | --- | --- |")
    for name, goal, text in MEASURES:
        if figures[name]:
            values = sorted(figures[name])
            median = statistics.median(values)
            form = ",.0f" if median >= 1000 else ".1f" if median >= 10 else ".2f"
            print(f"| {text} | {goal or ''} | {median:{form}} "
                  f"({values[0]:{form}} to {values[-1]:{form}}) |")


def main():
    parser = argparse.ArgumentParser(description="flytrail's benchmarks")
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=1000000)
    parser.add_argument("--only", choices=("stream", "forward", "recovery", "watch", "retention"))
    parser.add_argument("--lines", type=int, default=300000, help="of a gap that is filled")
    parser.add_argument("--backlog", type=int, default=1000000,
                        help="lines of a gap that is filled while others come")
    parser.add_argument("--stall", type=int, default=60, help="seconds that Postgres is stopped")
    parser.add_argument("--apps", type=int, default=200, help="that are watched")
    parser.add_argument("--machines", type=int, default=1000, help="that these have")
    parser.add_argument("--full", type=int, default=300, help="FLYTRAIL_WATCH_FULL_SECONDS")
    parser.add_argument("--rows", type=int, default=10000000, help="of the partitions that retention is about")
    args = parser.parse_args()
    figures = {name: [] for name, _, _ in MEASURES}
    with tempfile.TemporaryDirectory(prefix="flytrail-bench-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)  # psql and Postgres run as another user
        bench = Bench(args.build, args.records, folder)
        try:
            bench.file_rate()  # a new cluster's WAL files are made once, for whoever comes first
            spool = None
            if args.only in (None, "forward"):
                spool = forwarding.Forwarding(bench)
                if not os.path.exists(bench.rows):
                    bench.save_rows()
            for n in range(0 if args.only in ("watch", "retention") else args.rounds):
                def note(text, n=n):
                    print(f"round {n + 1}: {text}", flush=True)

                if args.only in (None, "stream"):
                    stream_round(bench, figures, note)
                if spool:
                    forward_round(bench, spool, figures, note)
                if args.only in (None, "recovery"):
                    recovery_round(bench, args, figures, note)
            if args.stall and args.only in (None, "stream"):
                figures["rss"].append(bench.stalled_rss(args.stall))
            if spool:
                spool.close()
                if args.stall:
                    figures["forward_rss"].append(forwarding.stalled_rss(bench, args.stall, STALL_RATE))
            if args.only in (None, "watch"):
                watch_once(bench, args, figures)
            if args.only in (None, "retention"):
                retention_once(bench, args, figures)
        finally:
            bench.close()
        report(bench, figures, args.rounds)


if __name__ == "__main__":
    main()
