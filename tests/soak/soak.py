#!/usr/bin/env python3
"""Proof by force: numbered lines, a tormentor, and at the end every line is accounted for.

    tests/soak/soak.py [--seconds 600] [--seed N]

Real Postgres, nats-server and flytrail, a stand-in for Fly's second copy, and faults by a
schedule that the seed decides. Every published line has to be stored exactly once, because
flytrail fills what it missed, and nothing else may be stored. A line that is missing has to lie
in a gap on record at least, whose state says so. build/soak/ has the report, and all evidence
when something is wrong.
"""

import argparse
import collections
import json
import os
import statistics
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import evidence  # noqa: E402
import lab  # noqa: E402
import lines as soak_lines  # noqa: E402
import publisher as soak_publisher  # noqa: E402
import schedule  # noqa: E402
import tap  # noqa: E402
import tormentor as soak_tormentor  # noqa: E402
import verdict  # noqa: E402
from mutants import MUTANTS  # noqa: E402

OUT = os.path.join(ROOT, "build", "soak")
SECONDS = 600
SECONDS_MIN = 40
HEAL_SECONDS = 90     # for what the tormentor has begun to end
STORED_SECONDS = 150  # for the spools to be stored
STILL_SECONDS = 2     # no row has been added; two replicas print a heartbeat each 5
FILLED_SECONDS = 420  # for gaps to be filled: flytrail waits a minute before it looks
POLL_SECONDS = 0.5


class Soak:
    def __init__(self, plan):
        self.plan = plan
        self.failures = []
        self.faults = []
        self.case = self.result = None
        self.report = {"seed": plan.seed, "seconds": plan.seconds, "mode": plan.mode,
                       "lines_per_second": plan.rate}

    def run(self):
        with soak_tormentor.World(self.plan) as world:
            self.world = world
            lines = soak_lines.Lines(self.plan.seed)
            self.publisher = soak_publisher.Publisher(lines, world.nats, world.api, self.plan.rate)
            self.tormentor = soak_tormentor.Tormentor(world, self.publisher)
            self.watcher = evidence.Watcher(world)
            try:
                self.torment()
                self.settle()
                self.judge(lines)
            except (AssertionError, lab.LabError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self.failures += self.tormentor.failures
            self.finish_report(lines)
            if self.failures or not self.result.is_green():
                self.keep()
            self.watcher.close()
            # Threads that started servers must not end before the servers.
            world.close_servers()
            self.tormentor.close()

    def torment(self):
        for number, ft in enumerate(self.world.flytrails):
            ft.ship = lambda text, machine=f"ft{number}": \
                self.publisher.ship(soak_tormentor.REGION, machine, text)
            ft.start()
        self.watcher.start()
        self.publisher.start()
        start = time.monotonic()
        self.tormentor.start(self.plan.faults)
        heal_at = self.plan.seconds - schedule.TAIL_SECONDS
        while time.monotonic() - start < heal_at:
            time.sleep(POLL_SECONDS)
        self.tormentor.wait(HEAL_SECONDS)
        # Faults that took longer than planned must not shorten what comes after them.
        healed = time.monotonic()
        while time.monotonic() - healed < schedule.TAIL_SECONDS:
            time.sleep(POLL_SECONDS)
        self.publisher.pace_over.set()
        self.faults = sorted(self.tormentor.done, key=lambda fault: fault["began"])

    def settle(self):
        """Until everything is stored and no gap is open; then the end."""
        for number, _ in enumerate(self.world.flytrails):
            self.tormentor.alive(number)
        self.await_stored()
        lab.wait_for(self.no_gap_is_open, FILLED_SECONDS, "every gap to be looked after")
        self.publisher.finish()
        time.sleep(1)  # the last of it is under way to flytrail
        for ft in self.world.flytrails:
            if not ft.end():
                self.failures.append("flytrail does not end")
            elif ft.process.returncode != 0:
                self.failures.append(f"flytrail ended with status {ft.process.returncode}")
            elif ft.events("stopped")[0]["left_in_spool"] != 0:
                self.failures.append(f"not all was stored: {ft.events('stopped')}")

    def await_stored(self):
        rows, since = None, 0.0  # so many are there since then

        def is_stored():
            nonlocal rows, since
            now, count = time.monotonic(), self.world.count()
            if count != rows:
                rows, since = count, now
            newest = self.watcher.newest() or 0
            return (newest >= self.publisher.last_ns // 1000 / 1e6 - 0.001
                    and now - since >= STILL_SECONDS)

        lab.wait_for(is_stored, STORED_SECONDS, "everything to be stored")

    def no_gap_is_open(self):
        time.sleep(POLL_SECONDS)
        return not any(gap.state == "open" for gap in evidence.gaps_of(self.world.pg))

    def judge(self, lines):
        pg = self.world.pg
        replicas = [f"ft{number}" for number in range(self.plan.replicas)]
        self.case = verdict.Case(lines, evidence.rows_of(pg), evidence.gaps_of(pg), replicas,
                                 shared=self.plan.mode == "shared", fills=True,
                                 may_lose=evidence.may_lose(self.world, self.faults,
                                                            self.publisher.late_seconds))
        self.case.events = [row[0] for row in pg.psql(evidence.EVENTS_SQL)]
        self.case.words = list(evidence.words_of(pg))
        self.case.alarms = [row[0] for row in pg.psql(evidence.ALARMS_SQL)]
        self.result = verdict.judge(self.case)
        for ft in self.world.flytrails:
            with open(ft.log_path, encoding="utf-8", errors="replace") as log:
                text = log.read()
            self.failures += [f"a secret stands in flytrail's log: {piece}"
                              for piece in soak_lines.SECRET_PIECES if piece in text]

    def finish_report(self, lines):
        report = self.report
        report["published"] = len(lines.all)
        report["known_to_the_second_copy_alone"] = self.publisher.wire.dropped
        report["published_late_seconds"] = round(self.publisher.late_seconds, 3)
        report["offered_twice"] = self.publisher.twice
        report["duplicates"], report["duplicates_known_by"] = \
            evidence.duplicates(self.world, self.watcher)
        report["log_events"] = evidence.told(self.world)
        report["faults"] = dict(collections.Counter(fault["kind"] for fault in self.faults))
        report["skipped"] = self.world.skipped
        report["failures"] = self.failures
        if self.result is None:
            return
        report["stored"] = len(self.case.rows)
        report["recovered"] = sum(gap.recovered for gap in self.case.gaps)
        report["stored_by_source"] = dict(
            collections.Counter(row.source for row in self.case.rows))
        report["lost"] = len(self.result.missing)
        report["gaps"] = {f"{reason} {state}": count for (reason, state), count in sorted(
            collections.Counter((gap.reason, gap.state) for gap in self.case.gaps).items())}
        report["seconds_in_gaps"] = self.seconds_in_gaps()
        report["findings"] = dict(
            collections.Counter(finding.kind for finding in self.result.findings))
        report["recovery_seconds"] = {
            kind: self.percentiles(times) for kind, times in
            sorted(evidence.recoveries(self.faults, self.watcher).items())}

    def seconds_in_gaps(self):
        """Of the time in which lines were published."""
        first, last = self.case.lines.all[0][0], self.case.lines.all[-1][0]
        spans = verdict.Spans((max(gap.start_ns or 0, first), min(gap.end_ns or last, last))
                              for gap in self.case.gaps)
        return round(spans.total() / 1e9, 1)

    @staticmethod
    def percentiles(times):
        known = [took for took in times if took is not None]
        if not known:
            return {"count": len(times), "never": len(times)}
        return {"count": len(times), "p50": round(statistics.median(known), 2),
                "max": round(max(known), 2), "never": len(times) - len(known)}

    def keep(self):
        self.kept = os.path.join(OUT, f"seed-{self.plan.seed}")
        evidence.keep(self.kept, self.world, self.case, self.result, self.report,
                      {"plan": self.plan._asdict(), "done": self.faults})


def tell(report):
    for name in ("mode", "lines_per_second", "published", "stored", "duplicates", "recovered",
                 "lost", "faults", "gaps", "seconds_in_gaps", "recovery_seconds",
                 "log_events"):
        print(f"#   {name}: {report.get(name, 'not known')}")
    for what in report["skipped"]:
        print(f"#   skipped: {what}")


def cases(soak):
    """Says in TAP how it went."""
    out = tap.Report()
    out.case("flytrail did what it was asked to, and ended when told", soak.failures)
    for kind, meaning in verdict.KINDS.items():
        found = soak.result.of(kind) if soak.result else ["no verdict"]
        shown = [getattr(finding, "what", finding) for finding in found[:verdict.EXAMPLES]]
        more = [f"and {len(found) - len(shown)} more"] if len(found) > len(shown) else []
        out.case(f"never: {meaning}", shown + more)
    if soak.result and soak.result.is_green():
        for mutant in MUTANTS:
            case, kind = mutant(soak.case)
            turned = verdict.judge(case).of(kind)
            out.case(f"the verdict is red when {mutant.__doc__}",
                     [] if turned else [f"no finding `{kind}`"])
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    if options.seconds < SECONDS_MIN:
        parser.error(f"--seconds must be {SECONDS_MIN} or more")
    seed = options.seed
    if seed is None:
        seed = int.from_bytes(os.urandom(3), "big")
    print(f"## seed {seed}; again: make soak SEED={seed} SECONDS_={options.seconds}", flush=True)
    soak = Soak(schedule.make(seed, options.seconds))
    soak.run()
    os.makedirs(OUT, exist_ok=True)
    path = os.path.join(OUT, f"report-{seed}.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(soak.report, out, indent=2)
    tell(soak.report)
    out = cases(soak)
    print(f"# report: {os.path.relpath(path, ROOT)}")
    if out.failed and hasattr(soak, "kept"):
        print(f"# evidence: {os.path.relpath(soak.kept, ROOT)}")
    out.end()


if __name__ == "__main__":
    main()
