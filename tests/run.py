#!/usr/bin/env python3
"""Runs every test there is; `make check` calls it.

    tests/run.py                  everything
    tests/run.py --only fuzz      the steps with this word in their name, and what they need
    tests/run.py --list           the names

A step is one command: a build, a test program, a fuzz target, a check. Each has a time
limit; one that needs another waits for it. Steps that wait for servers more than they work
have workers of their own, beside those of the steps that keep a core busy and that are nice
to them. What failed is shown in full, and once more at the end in short; the last line is
`N passed, N failed`, counting test cases, not steps.
"""

import argparse
import collections
import glob
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Four that wait take half of two cores; the rest is for those that work.
WAITING_WORKERS = int(os.environ.get("FLYTRAIL_CHECK_WORKERS", "4"))
WORKING_WORKERS = len(os.sched_getaffinity(0))
NICE = ["nice", "-n", "10"]
FUZZ_SECONDS = int(os.environ.get("FLYTRAIL_CHECK_FUZZ_SECONDS", "10"))
OUTPUT_LINES_SHOWN = 200
REASON_LINES, REASON_COLUMNS = 3, 300  # of a case that failed, at the end
# Against what hangs, and several times what is needed where two such runs share a machine.
BUILD_SECONDS = 1800
UNIT_SECONDS = 600
UNIT_SANITIZED_SECONDS = 900  # sanitizers are slower
CHECK_SECONDS = 1800
INTEGRATION_SECONDS = 1800
INTEGRATION_SANITIZED_SECONDS = 1200
CRASH_SECONDS = 900
SOAK_SECONDS = int(os.environ.get("FLYTRAIL_CHECK_SOAK_SECONDS", "60"))
SOAK_SELF_SECONDS = 60
SOAK_SETTLE_SECONDS = 900  # beyond: for faults to heal, spools to be stored, gaps to be filled
TIDY_FILES_AT_ONCE = 5
# What is killed has nothing to say to a sanitizer, and what it left is read in test_spool, too.
UNSANITIZED = {"test_spool_crash"}
# Integration tests of minutes, which begin first: else they are the end, and one worker's alone.
LONG = {"backfill", "doubt", "notify", "private_network", "listening", "image_run"}
# Unit tests whose module has threads: these run under ThreadSanitizer as well.
THREADED = re.compile(r"^test_(lock|queue|log|spool(?!_crash)|pipeline|committer|consumer|run|status"
                      r"|nats|source|http|health|life|lines|ping)")

BUILDS = {
    "release": {},
    "clang": {"BUILD": "build/clang", "CC": "clang-14"},
    "asan": {"BUILD": "build/asan", "CC": "clang-14", "SAN": "address,undefined"},
    "tsan": {"BUILD": "build/tsan", "CC": "clang-14", "SAN": "thread"},
    "fuzz": {"BUILD": "build/fuzz", "CC": "clang-14",
             "SAN": "fuzzer-no-link,address,undefined"},
}


class Step:
    """One command. cases: how its output is counted ("tap" lines, or the step as one).
    waits: for servers and time, more than it works."""

    def __init__(self, name, command, seconds, needs=(), cases="one", order=50, waits=False):
        self.name = name
        self.env = {}
        self.report = None  # where sanitizers of programs that it starts write
        self.waits = waits
        self.command = command if waits else NICE + command
        self.seconds = seconds
        self.needs = list(needs)
        self.cases = cases
        self.order = order  # lower first among those that may run
        self.ok = None
        self.passed = self.failed = 0
        self.skipped = []
        self.reasons = []


def build_dir(kind):
    return BUILDS[kind].get("BUILD", "build")


def build_step(kind, targets, order):
    settings = [f"{name}={value}" for name, value in BUILDS[kind].items()]
    # Nothing that the caller's make was told may leak into builds of another kind.
    command = ["env", "-u", "MAKEFLAGS", "-u", "MFLAGS", "-u", "MAKEOVERRIDES",
               "make", "--no-print-directory", "-j2", *settings, *targets]
    return Step(f"build/{kind}", command, BUILD_SECONDS, order=order)


def names(pattern):
    return sorted(os.path.splitext(os.path.basename(path))[0]
                  for path in glob.glob(os.path.join(ROOT, pattern)))


def unit_steps():
    for name in names("tests/unit/test_*.c"):
        for kind in ("release", "asan", "tsan"):
            if kind == "tsan" and not THREADED.match(name):
                continue
            if kind != "release" and name in UNSANITIZED:
                continue
            seconds = UNIT_SECONDS if kind == "release" else UNIT_SANITIZED_SECONDS
            yield Step(f"unit/{name[5:]} ({kind})", [f"{build_dir(kind)}/tests/unit/{name}"],
                       seconds, [f"build/{kind}"], "tap", order=40)


def fuzz_steps():
    for name in names("tests/fuzz/fuzz_*.c"):
        short = name[5:]
        # New inputs are kept for the next run, beside the build; seeds are only read.
        found = f"{build_dir('fuzz')}/corpus/{short}"
        seeds = f"tests/fuzz/corpus/{short}"
        os.makedirs(os.path.join(ROOT, found), exist_ok=True)
        command = [f"{build_dir('fuzz')}/tests/fuzz/{name}", "-timeout=30", "-rss_limit_mb=2048",
                   "-verbosity=0", f"-max_total_time={FUZZ_SECONDS}",
                   f"-artifact_prefix={build_dir('fuzz')}/", found]
        if os.path.isdir(os.path.join(ROOT, seeds)):
            command.append(seeds)
        yield Step(f"fuzz/{short}", command, FUZZ_SECONDS + 120, ["build/fuzz"], order=60)


def python_steps(folder, seconds, order):
    for name in names(f"tests/{folder}/test_*.py"):
        command = [sys.executable, "tests/support/cases.py", f"tests/{folder}/{name}.py"]
        yield Step(f"{folder}/{name[5:]}", command, seconds, ["build/release"], "tap",
                   order - (name[5:] in LONG), waits=True)


def soak_step():
    """Proof by force, for a minute; its seed is shown."""
    return Step(f"soak/{SOAK_SECONDS} seconds",
                [sys.executable, "tests/soak/soak.py", "--seconds", str(SOAK_SECONDS)],
                SOAK_SECONDS + SOAK_SETTLE_SECONDS, ["build/release"], "tap", 12, waits=True)


def sanitized_steps():
    """`flytrail run` from end to end, watched by a sanitizer."""
    for name, kind in itertools.product(("run", "compare"), ("tsan", "asan")):
        step = Step(f"integration/{name} ({kind})",
                    [sys.executable, "tests/support/cases.py", f"tests/integration/test_{name}.py"],
                    INTEGRATION_SANITIZED_SECONDS, ["build/release", f"build/{kind}"], "tap", 15,
                    waits=True)
        step.report = os.path.join(ROOT, build_dir(kind), f"report-{name}")
        to_report = f"log_path={step.report}"
        step.env = {
            "FLYTRAIL_BINARY": os.path.join(ROOT, build_dir(kind), "flytrail"),
            "ASAN_OPTIONS": to_report,
            "UBSAN_OPTIONS": to_report,
            # A drain that runs out of time leaves threads that wait for Postgres: on purpose.
            "TSAN_OPTIONS": f"halt_on_error=1:report_thread_leaks=0:{to_report}",
        }
        yield step


def tidy_steps():
    sources = sorted(glob.glob("src/**/*.c", root_dir=ROOT, recursive=True))
    for at in range(0, len(sources), TIDY_FILES_AT_ONCE):
        files = sources[at:at + TIDY_FILES_AT_ONCE]
        yield Step(f"check/clang-tidy {files[0][4:]}..", ["tests/checks/tidy.sh", *files],
                   CHECK_SECONDS, ["build/release"], order=50)


def check_steps():
    for path in sorted(glob.glob("tests/checks/*.py", root_dir=ROOT)):
        name = os.path.splitext(os.path.basename(path))[0]
        yield Step(f"check/{name}", [sys.executable, path], CHECK_SECONDS, cases="tap", order=45)
    code = sorted(glob.glob("src/**/*.[ch]", root_dir=ROOT, recursive=True) +
                  glob.glob("include/**/*.h", root_dir=ROOT, recursive=True) +
                  glob.glob("tests/**/*.[ch]", root_dir=ROOT, recursive=True))
    yield Step("check/clang-format", ["clang-format-14", "--dry-run", "-Werror", *code],
               CHECK_SECONDS, order=45)
    yield Step("check/cppcheck", ["tests/checks/cppcheck.sh"], CHECK_SECONDS,
               ["build/release"], order=45)
    scripts = sorted(glob.glob("**/*.sh", root_dir=ROOT, recursive=True)) + [".ci/run"]
    yield Step("check/shellcheck", ["shellcheck", *scripts], CHECK_SECONDS, order=45)
    yield from tidy_steps()


def all_steps():
    yield build_step("release", ["all", "unit"], 0)
    yield build_step("asan", ["all", "unit"], 1)
    yield build_step("tsan", ["all", "unit"], 2)
    yield build_step("fuzz", ["fuzz-targets"], 3)
    yield build_step("clang", ["all", "unit"], 4)
    # The longest first, so that the end is not one worker waiting for the other.
    yield from python_steps("crash", CRASH_SECONDS, order=10)
    yield soak_step()
    yield from python_steps("soak", SOAK_SELF_SECONDS, order=45)
    yield from sanitized_steps()
    yield from python_steps("integration", INTEGRATION_SECONDS, order=20)
    yield from unit_steps()
    yield from check_steps()
    yield from fuzz_steps()


def selected(steps, word):
    """Those with the word in their name, and what they need."""
    by_name = {step.name: step for step in steps}
    wanted = set()

    def add(step):
        if step.name not in wanted:
            wanted.add(step.name)
            for need in step.needs:
                add(by_name[need])

    for step in steps:
        if word in step.name:
            add(step)
    return [step for step in steps if step.name in wanted]


def count_tap(step, output, code):
    """Counts `ok` and `not ok` lines. A program that ended badly, or early, failed once more."""
    # A test program may run itself again, in another mode: every plan counts.
    plans = [int(count) for count in re.findall(r"^1\.\.(\d+)", output, re.MULTILINE)]
    why = ""
    for line in output.splitlines():
        if line.startswith("# skipped because "):
            why = ": " + line.removeprefix("# skipped because ")
        elif re.match(r"(not )?ok\b.*# SKIP", line):  # cmocka says `not ok`
            step.skipped.append(line + why)
            why = ""
        elif re.match(r"ok\b", line):
            step.passed += 1
        elif re.match(r"not ok\b", line):
            step.failed += 1
    seen = step.passed + step.failed + len(step.skipped)
    ended_badly = code != 0 and step.failed == 0
    ended_early = seen == 0 or (plans and sum(plans) != seen)
    if ended_badly or ended_early:
        step.failed += 1


def reasons(output):
    """Each case that failed, and how what it said ended."""
    for case in re.split(r"^(?=(?:not )?ok\b)", output, flags=re.MULTILINE):
        if case.startswith("not ok"):
            head, *said = [line[:REASON_COLUMNS] for line in case.splitlines()]
            yield "\n".join([head] + said[-REASON_LINES:])


def take_reports(step):
    """What a sanitizer said about a program that the step started, and that may be gone since."""
    found = ""
    for path in glob.glob(f"{step.report}.*") if step.report else ():
        with open(path, encoding="utf-8", errors="replace") as file:
            found += file.read()
        os.remove(path)
    return found


def run_command(step, output_file):
    """The exit code, or None when the time was up."""
    environment = {**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP", "TSAN_OPTIONS": "halt_on_error=1",
                   "UBSAN_OPTIONS": "print_stacktrace=1", "PYTHONDONTWRITEBYTECODE": "1",
                   **step.env}
    with subprocess.Popen(step.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output_file,
                          stderr=subprocess.STDOUT, env=environment,
                          start_new_session=True) as process:
        try:
            return process.wait(timeout=step.seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None


class Runner:
    def __init__(self, steps):
        self.lock = threading.Condition()
        self.waiting = sorted(steps, key=lambda step: step.order)
        self.by_name = {step.name: step for step in steps}

    def next_step(self, waits):
        """The next of its kind that may run; None when none is left. Waits while others must end first."""
        with self.lock:
            while mine := [step for step in self.waiting if step.waits == waits]:
                for step in mine:
                    needs = [self.by_name[need].ok for need in step.needs]
                    if False in needs or None not in needs:
                        self.waiting.remove(step)
                        return step
                self.lock.wait()
            return None

    def finish(self, step, text):
        with self.lock:
            step.ok = step.failed == 0
            print(text, flush=True)
            self.lock.notify_all()

    def run(self, step):
        broken = [need for need in step.needs if not self.by_name[need].ok]
        if broken:
            step.failed = 1
            self.finish(step, f"FAIL  {step.name}: not run, {broken[0]} failed")
            return
        take_reports(step)  # of an earlier run
        start = time.monotonic()
        with tempfile.TemporaryFile() as output_file:
            code = run_command(step, output_file)
            output_file.seek(0)
            output = output_file.read().decode("utf-8", "replace")
        reports = take_reports(step)
        if step.cases == "tap":
            count_tap(step, output, code)
        elif code == 0:
            step.passed = 1
        else:
            step.failed = 1
        if reports:
            step.failed += 1
            output += reports
        taken = time.monotonic() - start
        counts = f"{step.passed} passed" + (f", {step.failed} FAILED" if step.failed else "")
        text = f"{'FAIL' if step.failed else 'ok':5} {step.name}: {counts} ({taken:.1f} s)"
        if step.failed:
            why = f"no end within {step.seconds} s" if code is None else f"exit {code}"
            step.reasons = list(reasons(output)) or [why]
            lines = output.splitlines()[-OUTPUT_LINES_SHOWN:]
            text += "\n" + "\n".join(f"    | {line}" for line in lines) + f"\n    | {why}"
        elif "(asan)" not in step.name:
            shown = [line[3:] for line in output.splitlines() if line.startswith("## ")]
            text += "".join(f"\n    | {line}" for line in shown)
        self.finish(step, text)

    def work(self, waits):
        while True:
            step = self.next_step(waits)
            if step is None:
                return
            self.run(step)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    os.chdir(ROOT)
    steps = list(all_steps())
    doubled = [name for name, count in
               collections.Counter(step.name for step in steps).items() if count > 1]
    assert not doubled, doubled
    steps = selected(steps, options.only)
    if options.list:
        print("\n".join(step.name for step in steps))
        return 0
    runner = Runner(steps)
    workers = [threading.Thread(target=runner.work, args=[waits])
               for waits, count in ((True, WAITING_WORKERS), (False, WORKING_WORKERS)) for _ in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for step in steps:
        for line in step.skipped:
            print(f"skipped in {step.name}: {line}")
    for step in steps:
        for reason in step.reasons:
            print(f"failed in {step.name}: {reason}")
    passed = sum(step.passed for step in steps)
    failed = sum(step.failed for step in steps)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
