"""The world of a soak and who torments it.

Every target has a thread that works off its faults; the thread lives until the world ends,
because a server ends with the thread that started it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import cable  # noqa: E402
import fly_api  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402

REGION = "ams"
DRAIN_SECONDS = 20
END_SECONDS = DRAIN_SECONDS + 40  # after SIGTERM, on a busy machine
SPOOL_BYTES = "64MiB"             # the least that flytrail takes
VOLUME_BYTES = "100m"
HEARTBEAT_SECONDS = 5
BACKFILL_DELAY_SECONDS = 3
API_DELAY_SECONDS = 0.5           # Fly's second copy is a little late
TOKEN = "fm2_example000000000"
# Without a volume of its own the spool is filled to its bound, with Postgres out of reach.
FAT_BYTES_TO_THE_BOUND = 14_000_000
API_FAULTS = {
    "api_500": ("status", {"code": 500}), "api_429": ("status", {"code": 429}),
    "api_401": ("status", {"code": 401}), "api_html": ("html", {}), "api_half": ("half", {}),
    "api_truncated": ("truncated", {}), "api_close": ("close", {}),
    "api_unsorted": ("unsorted", {}),
}


def can_mount():
    with open("/proc/self/status", encoding="ascii") as status:
        capabilities = [int(line.split()[1], 16) for line in status if line.startswith("CapEff")]
    return bool(capabilities[0] & (1 << 21))  # CAP_SYS_ADMIN


class Flytrail(flytrail.Flytrail):
    """One whose standard output comes back by the log stream, as Fly would bring it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ship = lambda text: None
        self.ended = []   # times at which a life ended
        self.wanted = False  # to be running
        self.at = "127.0.0.1"
        self.cable = None

    def start(self, wait=True):
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        command = [flytrail.BINARY, "run", *self.arguments]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.cable.inside(*command) if self.cable else command, env=self.env,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        threading.Thread(target=self.read, args=(self.process.stdout,), daemon=True).start()
        self.wanted = True
        if wait:
            self.await_event("source_connected")
            self.await_event("store_connected")
        return self

    def read(self, stdout):
        with stdout:
            for line in stdout:
                if line.endswith(b"\n"):
                    self.ship(line.decode("utf-8", "replace").rstrip("\n"))

    def kill(self):
        self.wanted = False
        super().kill()
        self.ended.append(time.time())

    def end(self):
        """SIGTERM. False: it did not end, and was killed."""
        self.wanted = False
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        self.ended.append(time.time())
        return True

    def whole_log(self):
        start, self.log_start = self.log_start, 0
        try:
            return self.log_lines()
        finally:
            self.log_start = start


class World(flytrail.World):
    """Servers, links and flytrails of a plan."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan
        self.nats.ORG = (lab.Nats.ORG[0], TOKEN)
        self.api = fly_api.FlyApi(token=TOKEN, org=lab.Nats.ORG[0])
        self.api.delay_seconds = API_DELAY_SECONDS
        self.nats_links, self.pg_links, self.api_links = [], [], []
        self.volumes, self.cables = [], []
        self.skipped = []  # what this machine does not allow, and why

    def __enter__(self):
        super().__enter__()
        self.api.start()
        for number in range(self.plan.replicas):
            self.add_replica(number)
        return self

    def close_servers(self):
        for ft in self.flytrails:
            ft.kill()
        for link in self.nats_links + self.pg_links + self.api_links:
            link.close()
        self.nats.crash()
        self.pg.crash()

    def __exit__(self, *exception):
        self.close_servers()
        for laid in self.cables:
            laid.close()
        for volume in self.volumes:
            subprocess.run(["umount", "-l", volume], check=False)
        self.api.close()
        super().__exit__(*exception)

    def add_replica(self, number):
        laid = self.lay_cable(number)
        near = laid.near if laid else "127.0.0.1"
        nats_link, pg_link = lab.Link(self.nats.port, at=near), lab.Link(self.pg.port, at=near)
        self.nats_links.append(nats_link)
        self.pg_links.append(pg_link)
        folder = os.path.join(self.folder, f"ft{number}")
        spool = os.path.join(folder, "spool")
        os.makedirs(spool)
        self.mount(spool)
        api_url = self.api.url
        if laid:
            # Without TLS flytrail asks an API on its own loopback alone.
            self.api_links.append(lab.Link(self.api.port, at=near))
            api_url = f"http://127.0.0.1:{laid.bring(self.api_links[-1].port)}"
        env = {
            **self.env(), "FLY_MACHINE_ID": f"ft{number}", "FLY_REGION": REGION,
            "NATS_URL": f"nats://{near}:{nats_link.port}",
            "FLYTRAIL_DATABASE_URL":
                f"postgres://flytrail_writer@{near}:{pg_link.port}/postgres",
            "FLYTRAIL_API_URL": api_url, "FLYTRAIL_MACHINES_URL": api_url,
            "FLYTRAIL_SPOOL_MAX_BYTES": SPOOL_BYTES,
            "FLYTRAIL_DRAIN_SECONDS": str(DRAIN_SECONDS),
            "FLYTRAIL_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
            "FLYTRAIL_BACKFILL_DELAY_SECONDS": str(BACKFILL_DELAY_SECONDS),
            "FLYTRAIL_RECONCILE_PAGES_PER_HOUR": "360000",
            **({"FLYTRAIL_QUEUE": "soak"} if self.plan.mode == "shared" else {}),
        }
        ft = Flytrail(env, folder)
        if laid:
            ft.cable, ft.at = laid, laid.far
            ft.env["FLYTRAIL_LISTEN"] = f"{ft.at}:{ft.port}"
        self.flytrails.append(ft)

    def lay_cable(self, number):
        """None: not allowed here, and said so once."""
        try:
            self.cables.append(cable.Cable(number))
            return self.cables[-1]
        except cable.Refused as why:
            if not any("namespace" in what for what in self.skipped):
                self.skipped.append(f"network namespaces: {why}; both links are blocked instead")
            return None

    def mount(self, spool):
        """A small volume for the spool, where that is allowed."""
        if can_mount() and subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={VOLUME_BYTES}", "none", spool],
                check=False, capture_output=True).returncode == 0:
            self.volumes.append(spool)
        elif not any("volume" in what for what in self.skipped):
            self.skipped.append("a full volume: no tmpfs can be mounted here; the spool is filled "
                                "to FLYTRAIL_SPOOL_MAX_BYTES instead")


class Tormentor:
    """begin_X and end_X of each kind of fault, and the threads that call them."""

    def __init__(self, world, publisher):
        self.world = world
        self.publisher = publisher
        self.done = []      # dicts, as they end
        self.failures = []  # sentences: what a fault brought out at once
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.at_work = threading.Semaphore(0)
        self.threads = []

    def start(self, faults):
        self.started = time.time()
        by_target = {}
        for fault in faults:
            by_target.setdefault(fault.target, []).append(fault)
        for target, own in by_target.items():
            thread = threading.Thread(target=self.work, args=(target, own), daemon=True)
            self.threads.append(thread)
            thread.start()

    def wait(self, seconds):
        """Until every fault is over and healed."""
        deadline = time.monotonic() + seconds
        for _ in self.threads:
            if not self.at_work.acquire(timeout=max(0.1, deadline - time.monotonic())):
                raise AssertionError(f"faults do not end; done are {self.done}")

    def close(self):
        """When no server is needed any more."""
        self.over.set()
        for thread in self.threads:
            thread.join()

    def work(self, target, faults):
        try:
            for fault in faults:
                self.over.wait(max(0.0, self.started + fault.at - time.time()))
                if self.over.is_set():
                    break
                self.one(target, fault)
        except Exception as error:
            with self.lock:
                self.failures.append(f"the tormentor of {target}: {type(error).__name__}: {error}")
        self.at_work.release()
        self.over.wait()

    def one(self, target, fault):
        number = int(target[-1]) if target[-1].isdigit() else None
        begin = getattr(self, f"begin_{fault.kind}", None) or self.begin_api
        end = getattr(self, f"end_{fault.kind}", None) or \
            (self.end_api if fault.target == "api" else None)
        began = time.time()
        begin(number, fault)
        self.over.wait(fault.seconds)
        if end:
            end(number, fault)
        with self.lock:
            self.done.append({**fault._asdict(), "began": began, "ended": time.time(),
                              "number": number})

    def fail(self, what):
        with self.lock:
            self.failures.append(what)

    # ---- flytrail ----

    def alive(self, number):
        """It is to be running; an end of its own is a finding."""
        ft = self.world.flytrails[number]
        if ft.wanted and ft.process.poll() is not None:
            self.fail(f"ft{number} ended by itself, with status {ft.process.returncode}: "
                      f"{ft.log_lines()[-3:]}")
            ft.kill()
            return False
        return True

    def begin_flytrail_kill(self, number, _):
        self.alive(number)
        self.world.flytrails[number].kill()

    def end_flytrail_kill(self, number, _):
        self.world.flytrails[number].start(wait=False)

    def begin_flytrail_pause(self, number, _):
        if self.alive(number):
            self.world.flytrails[number].signal(signal.SIGSTOP)

    def end_flytrail_pause(self, number, _):
        self.world.flytrails[number].signal(signal.SIGCONT)

    def begin_flytrail_term(self, number, _):
        if not self.alive(number):
            return
        ft = self.world.flytrails[number]
        if not ft.end():
            self.fail(f"ft{number} did not end within {END_SECONDS} s of SIGTERM")
        elif ft.process.returncode == -signal.SIGTERM and not ft.log_lines():
            pass  # it had been started just now, and was not at its first line of code
        elif ft.process.returncode != 0:
            self.fail(f"ft{number} ended with status {ft.process.returncode} after SIGTERM")

    end_flytrail_term = end_flytrail_kill

    # ---- servers ----

    def begin_nats_kill(self, *_):
        self.world.nats.crash()

    def end_nats_kill(self, *_):
        self.world.nats.restart()

    def begin_nats_pause(self, *_):
        self.world.nats.pause()

    def end_nats_pause(self, *_):
        self.world.nats.resume()

    def begin_pg_crash(self, *_):
        self.world.pg.crash()

    def end_pg_crash(self, *_):
        self.world.pg.restart()

    def begin_pg_pause(self, *_):
        self.world.pg.pause()

    def end_pg_pause(self, *_):
        self.world.pg.resume()

    # ---- links ----

    def begin_nats_link_cut(self, number, _):
        self.world.nats_links[number].cut()

    def begin_nats_link_block(self, number, _):
        self.world.nats_links[number].block()

    def end_nats_link_block(self, number, _):
        self.world.nats_links[number].unblock()

    def begin_pg_link_cut(self, number, _):
        self.world.pg_links[number].cut()

    def begin_pg_link_block(self, number, _):
        self.world.pg_links[number].block()

    def end_pg_link_block(self, number, _):
        self.world.pg_links[number].unblock()

    def begin_cable_pull(self, number, _):
        """Nothing comes through to this flytrail, by any way, and nobody is told."""
        if self.world.flytrails[number].cable:
            self.world.flytrails[number].cable.pull()
        else:
            self.world.nats_links[number].block()
            self.world.pg_links[number].block()

    def end_cable_pull(self, number, _):
        if self.world.flytrails[number].cable:
            self.world.flytrails[number].cable.plug()
        else:
            self.world.nats_links[number].unblock()
            self.world.pg_links[number].unblock()

    # ---- disk ----

    def spool(self, number):
        return self.world.flytrails[number].env["FLYTRAIL_SPOOL_DIR"]

    def begin_disk_full(self, number, _):
        """Somebody else's file takes the volume, while more comes in than otherwise."""
        if self.spool(number) not in self.world.volumes:
            self.world.pg_links[number].block()
            self.publisher.fatten(f"disk{number}", FAT_BYTES_TO_THE_BOUND)
            return
        self.publisher.fatten(f"disk{number}")
        with contextlib.suppress(OSError), \
                open(os.path.join(self.spool(number), "other"), "wb", buffering=0) as other:
            while other.write(b"x" * 65536):
                pass

    def end_disk_full(self, number, _):
        self.publisher.slim(f"disk{number}")
        if self.spool(number) not in self.world.volumes:
            self.world.pg_links[number].unblock()
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(self.spool(number), "other"))

    # ---- the API ----

    def begin_api(self, _, fault):
        kind, options = API_FAULTS[fault.kind]
        self.world.api.misbehave(kind, **options)

    def end_api(self, *_):
        self.world.api.behave()
