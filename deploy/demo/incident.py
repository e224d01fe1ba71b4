"""The demo's log stream: an incident in an organisation that does not exist.

The lines have the forms that Fly's runner, init, kernel, hallpass (the SSH server inside
a machine), proxy and health checks print; people, apps and machines are invented. Times
are counted back from now. `python3 incident.py` prints the stream as NDJSON.
"""

import json
import random
import sys
import time

NS = 1_000_000_000
GREEN, YELLOW, RESET = "\x1b[32m", "\x1b[33m", "\x1b[0m"
ULID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
STORY_SECONDS = 45 * 60
CONSOLE_SECOND = 959  # when somebody asks for one
RESTART_LIMIT = 5  # as if fly.toml said [[restart]] retries = 5


class Machine:
    def __init__(self, app, region, machine_id, host, address, command, main_pid):
        self.app, self.region, self.machine_id, self.host = app, region, machine_id, host
        self.address, self.command, self.main_pid = address, command, main_pid
        self.version = None  # the ULID of the machine's version
        self.booted = 0.0


WEB_1 = Machine("shop-web", "ams", "148e21ea7d1089", "0ad1",
                "fdaa:9:1e1e:a7b:445:4113:fbe5:2", "node server.js", 637)
WEB_2 = Machine("shop-web", "fra", "3287d42b17d968", "1c5e",
                "fdaa:9:1e1e:a7b:1af:bfe0:82e3:2", "node server.js", 638)
WORKER = Machine("shop-worker", "ams", "5683970eae6308", "0ad1",
                 "fdaa:9:1e1e:a7b:4ff:9914:1cd8:2", "python worker.py", 656)
BILLING = Machine("billing-api", "fra", "90807799a69568", "77b2",
                  "fdaa:9:1e1e:a7b:5d5:f8fa:b973:2", "gunicorn billing:app", 631)


class Story:
    """Collects lines; `at` is always in seconds after the story's begin."""

    def __init__(self, end_ns, seed=7):
        self.begin_ns = end_ns - STORY_SECONDS * NS
        self.random = random.Random(seed)
        self.lines = []
        self.releases = []  # what the log does not say: (ns, application, image, who)

    def clock(self, at, form):
        return time.strftime(form, time.gmtime((self.begin_ns + int(at * NS)) / NS))

    def ulid(self, at):
        stamp = self.begin_ns // 1_000_000 + int(at * 1000)
        digits = [ULID_DIGITS[(stamp >> shift) & 31] for shift in range(45, -1, -5)]
        return "".join(digits) + "".join(self.random.choice(ULID_DIGITS) for _ in range(16))

    def say(self, at, machine, provider, level, message):
        # Some microseconds more for each line, so that what is said at once keeps its order.
        ns = self.begin_ns + int(at * NS) + len(self.lines) * 1000 + self.random.randrange(1000)
        digits = 6 if provider == "health" else 9
        fraction = f"{ns % NS:09d}"[:digits].rstrip("0") or "0"
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // NS))
        self.lines.append((ns, machine, {
            "event": {"provider": provider},
            "fly": {"app": {"instance": machine.machine_id, "name": machine.app},
                    "region": machine.region},
            "host": machine.host,
            "log": {"level": level},
            "message": message,
            "timestamp": f"{second}.{fraction}Z",
        }))

    def app(self, at, machine, message):
        self.say(at, machine, "app", "info", message)

    def init(self, at, machine, message, colour=GREEN, word="INFO"):
        self.app(at, machine, f"{colour}{word:>5}{RESET} {message}")

    def runner(self, at, machine, message, level="info"):
        self.say(at, machine, "runner", level, message)

    # What Fly's parts print, one after another.

    def boot(self, at, machine):
        machine.booted = at
        stamp = self.clock(at, "%Y-%m-%dT%H:%M:%S") + f".{self.random.randrange(NS):09d}"
        self.app(at, machine, f"{stamp} [{machine.version}:main] Running Firecracker v1.14.4")
        self.app(at + 0.01, machine,
                 f'{stamp} [{machine.version}:main] Listening on API socket ("/fc.sock").')
        self.init(at + 0.6, machine, "Starting init (commit: 350f2667)...")
        self.init(at + 0.7, machine, f"Preparing to run: `{machine.command}` as root")
        self.init(at + 0.7, machine, "[fly api proxy] listening at /.fly/api")
        self.app(at + 1.3, machine, self.clock(at + 1.3, "%Y/%m/%d %H:%M:%S")
                 + f" INFO SSH listening listen_address=[{machine.address}]:22")

    def vanish(self, at, machine):
        """What init and the kernel print at every stop, whatever the cause."""
        self.init(at, machine, "Starting clean up.")
        self.init(at + 0.1, machine, "could not unmount /rootfs: EINVAL: Invalid argument",
                  YELLOW, "WARN")
        self.app(at + 0.1, machine, f"[{at - machine.booted:12.6f}] reboot: Restarting system")

    def start_again(self, at, machine):
        self.boot(at, machine)
        self.runner(at + 1.2, machine, f"Machine started in {self.random.randrange(900, 1400)}ms")

    def crash(self, at, machine, code):
        self.app(at - 0.3, machine, "Traceback (most recent call last):")
        self.app(at - 0.3, machine, '  File "/app/worker.py", line 88, in run')
        self.app(at - 0.3, machine, "ValueError: batch_size 50000 is more than the queue allows")
        self.init(at, machine, f"Main child exited normally with code: {code}")
        self.vanish(at + 0.1, machine)

    def out_of_memory(self, at, machine):
        pid = machine.main_pid
        self.app(at, machine,
                 f"[{at - machine.booted:12.6f}] Out of memory: Killed process {pid} (python) "
                 "total-vm:982076kB, anon-rss:187304kB, file-rss:0kB, shmem-rss:0kB, UID:0 "
                 "pgtables:804kB oom_score_adj:0")
        self.init(at + 0.8, machine,
                  "Main child exited with signal (with signal 'SIGKILL', core dumped? false)")
        self.init(at + 0.8, machine, "Process appears to have been OOM killed!")
        self.vanish(at + 0.9, machine)

    def ssh(self, at, machine, email):
        self.app(at, machine, self.clock(at, "%Y/%m/%d %H:%M:%S")
                 + f" INFO New SSH session email={email} verified=true")

    def deploy(self, at, machine, image, stopped=False):
        """A new version of the machine, as a rolling deploy gives it."""
        version = self.ulid(at)
        self.runner(at, machine, f"Pulling container image {image}")
        self.runner(at + 3.2, machine, f"Successfully prepared image {image} (3.142341191s)")
        self.runner(at + 3.9, machine, "Configuring firecracker")
        if not stopped:
            self.init(at + 4.0, machine,
                      f"Sending signal SIGTERM to main child process w/ PID {machine.main_pid}")
            self.init(at + 4.6, machine, "Main child exited normally with code: 0")
            self.vanish(at + 4.8, machine)
        machine.version = version
        self.boot(at + 6.0, machine)
        self.runner(at + 8.4, machine, "Machine created and started in 8.437s")
        self.health(at + 8.6, machine, failed=True)
        self.health(at + 14.0, machine, failed=False)

    def release(self, at, app, person):
        """The image of a release that somebody makes then, for its machines to get."""
        image = f"registry.fly.io/{app}:deployment-{self.ulid(at - 40)}"
        self.releases.append((self.begin_ns + at * NS, app, image, person))
        return image

    def health(self, at, machine, failed):
        check = "Health check 'servicecheck-00-http-8080' on port 8080 "
        if failed:
            self.say(at, machine, "health", "error", check + "has failed. Your app is not "
                     "responding properly. Services exposed on ports [80, 443] will have "
                     "intermittent failures until the health check passes.")
        else:
            self.say(at, machine, "health", "info", check + "is now passing.")

    # What the applications print.

    def ordinary_lines(self):
        paths = ["/", "/cart", "/products/17", "/products/204", "/checkout", "/assets/app.css"]
        at = 0.0
        while at < STORY_SECONDS - 5:
            at += self.random.expovariate(1.2)
            machine = self.random.choice([WEB_1, WEB_1, WEB_2])
            self.app(at, machine,
                     f'192.0.2.{self.random.randrange(1, 255)} - "GET '
                     f'{self.random.choice(paths)} HTTP/1.1" 200 {self.random.randrange(300, 9000)}')
        for at in range(20, STORY_SECONDS, 23):
            if not 1100 < at < 1860:  # when it is not up
                self.app(at, WORKER, f"worker: {self.random.randrange(40, 400)} jobs done")
        for at in range(11, STORY_SECONDS, 61):
            if not 2000 < at < 2300:
                self.app(at, BILLING, f"invoice {4000 + at} rendered in "
                         f"{self.random.randrange(20, 90)} ms")

    def run(self):
        for machine, age in ((WEB_1, 86_000), (WEB_2, 85_900), (WORKER, 300_000),
                             (BILLING, 7_000)):
            machine.version, machine.booted = self.ulid(-age), -age
        self.ordinary_lines()

        # A deploy as on any day.
        image = self.release(238, "shop-web", "Mara.Lind@example.com")
        self.deploy(240, WEB_1, image)
        self.deploy(262, WEB_2, image)

        # Somebody looks at the worker, and changes a setting.
        self.ssh(CONSOLE_SECOND + 1, WORKER, "Mara.Lind@example.com")
        self.app(1075, WORKER, "worker: settings reloaded, batch_size=50000, from "
                 "postgres://worker:made-up-password@jobs-db.example.com:5432/jobs")

        # It crashes, and crashes again; then it takes too much memory instead.
        at = 1100.0
        for attempt in range(RESTART_LIMIT):
            if attempt < 3:
                self.crash(at, WORKER, 1)
            else:
                self.out_of_memory(at, WORKER)
            at += 2.5
            self.start_again(at, WORKER)
            at += 9.0 + 4.0 * attempt
        self.out_of_memory(at, WORKER)
        self.runner(at + 1.4, WORKER,
                    f"machine has reached its max restart count of {RESTART_LIMIT}")
        self.health(at + 4.0, WORKER, failed=True)
        for delay in (6.0, 13.0, 31.0):
            self.app(at + delay, WEB_1, "POST http://shop-worker.internal:8080/jobs failed: "
                     "connection refused, will restart the request")

        # Meanwhile the proxy puts another app to sleep, and wakes it.
        self.say(2000, BILLING, "proxy", "info",
                 f"App billing-api has excess capacity, autostopping machine {BILLING.machine_id}. "
                 "0 out of 1 machines left running (region=fra, process group=app)")
        self.init(2000.5, BILLING, f"Sending signal SIGINT to main child process w/ PID "
                  f"{BILLING.main_pid}")
        self.init(2001, BILLING,
                  "Main child exited with signal (with signal 'SIGINT', core dumped? false)")
        self.vanish(2001.2, BILLING)
        self.say(2300, BILLING, "proxy", "info", "Starting machine")
        self.start_again(2300.3, BILLING)
        self.say(2301.7, BILLING, "proxy", "info", "machine started in 1.301277110s")
        self.say(2303.4, BILLING, "proxy", "info", "machine became reachable in 3.062726563s")

        # A new version of the worker heals it; somebody makes sure.
        self.app(1700, BILLING, "note: New SSH session email=nobody@example.com verified=true "
                 "is how hallpass would say it")
        image = self.release(1848, "shop-worker", "jonas.vik@example.com")
        self.deploy(1850, WORKER, image, stopped=True)
        self.ssh(1980, WORKER, "jonas.vik@example.com")
        self.lines.sort(key=lambda line: line[0])
        return self


def consoles(story):
    """Two sessions just now, as lines in order."""
    at = (time.time_ns() - story.begin_ns) / NS
    story.lines = []
    story.ssh(at, BILLING, "Mara.Lind@example.com")
    story.ssh(at, WEB_1, "jonas.vik@example.com")
    return list(lines(story))


def story(end_ns=None):
    return Story(time.time_ns() if end_ns is None else end_ns).run()


def lines(story):
    """The stream in order: (subject, line) pairs, both bytes."""
    for _, machine, line in story.lines:
        subject = f"logs.{machine.app}.{machine.region}.{machine.machine_id}"
        yield subject.encode(), json.dumps(line, separators=(",", ":")).encode()


if __name__ == "__main__":
    sys.stdout.writelines(text.decode() + "\n" for _, text in lines(story()))
