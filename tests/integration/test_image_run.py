"""The release binary in the image's root, as its user, on read-only files; and what it says where the
machine is not as it should be.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import datadog  # noqa: E402
import flytrail  # noqa: E402
import image  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402

USER = 10001
MIB = 1024 * 1024
GROUPS = "/sys/fs/cgroup/memory"
# What Fly's kernel leaves of 256 MB; and what of that may be the process's own.
MACHINE_BYTES, PEAK_BYTES_MAX = 200 * MIB, 100 * MIB
FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
BURST_LINES = 500_000
FULL_RATE = 1_000_000  # a second, which is more than comes through
# System calls that change what a name stands for, or make one.
CHANGES = re.compile(r"\b(creat|mkdir(at)?|mknod(at)?|rename(at2?)?|unlink(at)?|rmdir|link(at)?|symlink(at)?"
                     r"|truncate|f?chmod(at)?|l?chown|fchownat|utimensat)\(")
OPENED_TO_WRITE = re.compile(r"\bopen(at2?)?\(.*O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)")
THREAD_NAME = re.compile(r'"/proc/self/task/[0-9]+/comm"')  # is no file
NAMES = re.compile(r'"(/[^"]*)"')
UNFINISHED, RESUMED = " <unfinished ...>", re.compile(r"<\.\.\. \w+ resumed>")


def whole_calls(lines):
    """The calls of a trace: one that another thread's came into stands in two lines, its answer in the second."""
    begun = {}
    for line in lines:
        thread, call = line.rstrip("\n").split(maxsplit=1)
        if call.endswith(UNFINISHED):
            begun[thread] = call.removesuffix(UNFINISHED)
        elif resumed := RESUMED.match(call):
            yield begun.pop(thread) + call[resumed.end():]
        else:
            yield call
    yield from begun.values()


class InImage(unittest.TestCase):
    """Cases with the image's root, and for each a world and a volume."""

    @classmethod
    def setUpClass(cls):
        why = image.why_not()
        if why:
            raise unittest.SkipTest(why)
        cls.root = cls.enterClassContext(image.Root(image.build()))

    def setUp(self):
        self.volume = self.enterContext(self.root.volume())

    def world(self):
        return self.enterContext(flytrail.World())

    def one_line(self, done, status):
        """The one line of its log, which is a sentence, and its error."""
        self.assertEqual((done.returncode, done.stdout), (status, ""), done.stderr)
        line, = done.stderr.splitlines()
        return json.loads(line)

    def run_once(self, env, **options):
        return subprocess.run(self.root.words("flytrail", "run", **options), env={**self.root.environment(), **env},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=lab.ENDED_SECONDS, check=False)


class Running(InImage):
    def test_it_writes_nowhere_but_into_the_spool(self):
        trace = os.path.join(tempfile.mkdtemp(prefix="flytrail-trace-"), "strace")
        self.addCleanup(shutil.rmtree, os.path.dirname(trace))
        world = self.world()
        intake = self.enterContext(datadog.Intake())
        ft = self.root.flytrail(world, self.volume, trace=trace, env=intake.environment()).start()
        world.publish(2000)
        world.await_rows(2000)
        lab.wait_for(lambda: len(intake.logs) >= 2000, 60, "logs in Datadog")
        # strace is the child, and what it traces is the child's.
        os.kill(lab.children(ft.process.pid)[0], 15)
        self.assertEqual(ft.process.wait(timeout=lab.ENDED_SECONDS), 0)
        with open(trace, encoding="utf-8", errors="replace") as file:
            changes = [call for call in whole_calls(file) if CHANGES.search(call) or OPENED_TO_WRITE.search(call)]
        names = {name for call in changes for name in NAMES.findall(call)}
        self.assertTrue({"/data/spool"} <= names, names)
        self.assertGreater(len([name for name in names if name.startswith("/data/spool/")]), 3)
        for call in changes:
            if re.search(r'mkdir\("/data".* EEXIST', call) or THREAD_NAME.search(call):
                continue
            for name in re.findall(r'"([^"]*)"', call):
                self.assertTrue(f"{name}/".startswith("/data/spool/"), call)

    def test_what_a_command_keeps_for_a_while_finds_a_place(self):
        """There is no /tmp; and it is here that dead letters and the credentials are."""
        world, server = self.world(), self.enterContext(s3.Server())
        bucket = server.bucket()
        ft = self.root.flytrail(world, self.volume, env=server.environment(bucket)).start()
        world.publish(10)
        world.await_rows(10)
        (stream, cursor), = world.pg.psql("SELECT stream, cursor_seq FROM flytrail.streams")
        status, text = ft.command("resend", "--sink", "s3", "--range", f"{stream}.1-1-{cursor}")
        self.assertEqual((status, text), (0, f"{cursor} records were sent to s3, in 1 deliveries\n"))
        self.assertEqual([name for name in os.listdir(f"{self.volume}/spool") if "delivery" in name], [])

    def test_it_runs_as_nobody_who_may_do_anything(self):
        ft = self.root.flytrail(self.world(), self.volume).start()
        with open(f"/proc/{ft.process.pid}/status", encoding="ascii") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual(set(status["Uid"].split() + status["Gid"].split()), {str(USER)})
        self.assertEqual(status["Groups"].split(), [str(USER)])
        for rights in ("CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(status[rights], 16), 0, rights)
        self.assertEqual(status["NoNewPrivs"], "1")
        lab.wait_for(ft.is_well, 60, "health")
        self.assertEqual(ft.stop(), 0)
        # This world has no API of Fly's to ask.
        self.assertEqual({line["event"] for line in ft.troubles()} - {"worker_waits", "watcher_waits"}, set())
        for folder, names, others in os.walk(self.volume):
            for name in names + others:
                info = os.lstat(os.path.join(folder, name))
                self.assertEqual((info.st_uid, info.st_gid, info.st_mode & 0o077), (USER, USER, 0), name)

    def test_doctor_and_a_shell_are_found_by_their_names(self):
        """As `fly ssh console -C` calls them, which may be by a shell."""
        world = self.world()
        ft = self.root.flytrail(world, self.volume)
        status, text = ft.command("doctor")
        self.assertRegex(text, r"(?m)^ok   spool: /data/spool is writable, \d+ of \d+ MiB free$")
        self.assertRegex(text, r"(?m)^ok   postgres: 15")
        ft.program = self.root.words("sh", "-c", "flytrail doctor", volume=self.volume)
        self.assertEqual(ft.command()[0], status)


class Memory(InImage):
    """256 MB suffice."""

    def group(self, limit):
        """A control group of so many bytes, or why there can be none."""
        path = os.path.join(GROUPS, f"flytrail-test-{os.getpid()}")
        try:
            os.mkdir(path)
            self.addCleanup(os.rmdir, path)
            with open(f"{path}/memory.limit_in_bytes", "w", encoding="ascii") as file:
                file.write(str(limit))
        except OSError as error:
            self.skipTest(f"no control group of memory can be made here: {error}")
        return path

    def test_a_burst_at_full_rate_without_postgres_and_its_return(self):
        group = self.group(MACHINE_BYTES)
        world = self.world()
        intake = self.enterContext(datadog.Intake())
        ft = self.root.flytrail(world, self.volume, cgroup=group, env=intake.environment()).start()
        world.pg.stop()
        began = time.monotonic()
        world.publish(BURST_LINES, rate=FULL_RATE)
        taken = time.monotonic() - began
        world.pg.restart()
        world.publish(1, first=BURST_LINES)
        world.await_rows(1, f"message ~ '^numbered line {BURST_LINES} '", timeout=180)
        peak = ft.memory_peak_bytes()
        with open(f"{group}/memory.max_usage_in_bytes", encoding="ascii") as file:
            usage = int(file.read())
        print(f"## {BURST_LINES} lines in {taken:.1f} s, {ft.metric('lines_dropped_total'):.0f} of them dropped by "
              f"NATS' limit: the process took {peak / MIB:.0f} MiB, with the pages of its files {usage / MIB:.0f} MiB")
        self.assertLess(peak, PEAK_BYTES_MAX)
        self.assertEqual(ft.stop(), 0)
        world.check_every_line_is_a_row_or_in_a_gap(BURST_LINES + 1)

    def test_64_megabytes_are_too_little(self):
        """As a container sees its limit."""
        group = self.group(64 * MIB)
        seen = self.enterContext(tempfile.TemporaryDirectory(prefix="flytrail-sys-"))
        os.chmod(seen, 0o755)
        os.makedirs(f"{seen}/fs/cgroup/memory")
        shutil.copyfile(f"{group}/memory.limit_in_bytes", f"{seen}/fs/cgroup/memory/memory.limit_in_bytes")
        line = self.one_line(self.run_once({}, volume=self.volume, sys=seen, cgroup=group), 2)
        self.assertRegex(line["error"], r"^64 MiB of memory are too little: flytrail needs 128; give .* 256 MB")
        os.rename(f"{seen}/fs/cgroup/memory/memory.limit_in_bytes", f"{seen}/fs/cgroup/memory.max")
        again = self.one_line(self.run_once({}, volume=self.volume, sys=seen, cgroup=group), 2)
        self.assertEqual(again["error"], line["error"])


class BadInput(InImage):
    def test_nothing_configured(self):
        line = self.one_line(self.run_once({}, volume=self.volume), 2)
        self.assertEqual((line["level"], line["event"]), ("error", "config_bad"))
        for name in ("ORG", "ACCESS_TOKEN", "FLYTRAIL_DATABASE_URL"):
            self.assertRegex(line["error"], rf"\b{name}: is not set \(\w")
        self.assertEqual(os.listdir(self.volume), [])

    def test_a_volume_that_cannot_be_written(self):
        world = self.world()
        ft = self.root.flytrail(world, self.volume).start()
        world.publish(10)
        world.await_rows(10)
        self.assertEqual(ft.stop(), 0)
        with self.root.volume() as empty, self.root.volume("0:0") as roots:
            for folder, read_only, why in ((empty, True, "Read-only file system"),
                                           (self.volume, True, "Read-only file system"),
                                           (roots, False, "Permission denied")):
                with self.subTest(why, folder=folder):
                    self.check_unwritable(ft, volume=folder, read_only=read_only, why=why)

    def check_unwritable(self, ft, why, **options):
        line = self.one_line(self.run_once(ft.env, **options), 2)
        self.assertEqual((line["level"], line["event"]), ("error", "fatal"))
        self.assertRegex(line["error"], rf"^FLYTRAIL_SPOOL_DIR: .*/data/spool.*: {why}; ")
        ft.program = self.root.words("flytrail", **options)
        status, text = ft.command("doctor")
        self.assertEqual(status, 1, text)
        self.assertRegex(text, rf"(?m)^FAIL spool: cannot write: .*{why}; let this user write there")

    def test_no_volume(self):
        """It works; a restart would lose what is in the spool, and that is said."""
        world = self.world()
        ft = self.root.flytrail(world).start()
        line, = ft.events("spool_no_volume")
        self.assertEqual((line["level"], line["spool"]), ("warn", "/data/spool"))
        self.assertIn("a restart loses what is not delivered", line["do"])
        self.assertEqual(ft.health("/ready")[0], 200)
        status, checks = ft.health()
        self.assertEqual((status, checks["spool"]["ok"]), (503, False))
        self.assertIn("not on a volume: a restart loses what is not delivered", checks["spool"]["value"])
        self.assertIn("mount a volume", checks["spool"]["do"])
        world.publish(10)
        world.await_rows(10)
        text = ft.command("doctor")[1]
        self.assertRegex(text, r"(?m)^warn spool: .* what is not delivered then is lost; mount a volume$")


@unittest.skipUnless(FAKETIME, "the package libfaketime is not installed")
class Clock(unittest.TestCase):
    """A machine whose clock is 30 hours off, and a Postgres that knows the time."""

    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def test_it_is_said_and_lines_are_kept(self):
        for hours, words in ((30, "behind"), (-30, "ahead of")):
            with self.subTest(hours=hours):
                self.check(hours, words)

    def check(self, hours, words):
        ft = self.world.flytrail()
        ft.env.update(LD_PRELOAD=FAKETIME[0], FAKETIME=f"{hours:+d}h", FAKETIME_DONT_FAKE_MONOTONIC="1")
        ft.start()
        before = self.world.count()
        self.world.publish(100, first=before)
        self.world.await_rows(before + 100)
        status, checks = ft.health()
        self.assertEqual((status, checks["clock"]["ok"]), (503, False))
        self.assertRegex(checks["clock"]["value"], rf"^Postgres's clock is (1 d 6 h|1 d 5 h) {words} this machine's$")
        self.assertEqual(ft.health("/ready")[0], 200)
        code, text = ft.command("doctor")
        self.assertEqual(code, 1)
        self.assertRegex(text, r"(?m)^FAIL clock: Postgres is 10[78]\d{6} ms (ahead|behind) of this machine; set both by NTP")
        self.assertEqual(ft.stop(), 0)


if __name__ == "__main__":
    unittest.main()
