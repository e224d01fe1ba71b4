"""Real servers for tests: Postgres and nats-server in temporary folders, on loopback.

Every server runs as this process's own child and ends with it, also when it is
killed. Start servers from the main thread: the kernel ties a child to the thread
that made it. Called by root, Postgres runs as the user postgres.

    with lab.Postgres() as pg:
        pg.psql("SELECT 1")            # [["1"]]
        pg.crash(); pg.restart()
"""

import contextlib
import json
import multiprocessing.util
import os
import pty
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

PG_BIN = os.environ.get("PG_BIN", "/usr/lib/postgresql/15/bin")
NATS_SERVER = shutil.which("nats-server") or "/usr/sbin/nats-server"
START_SECONDS = 90
ENDED_SECONDS = 180  # a child that is not done by then hangs, on however busy a machine
PATIENCE = 3  # times as long as something takes where nothing else is at work
GONE_SECONDS = 60  # what is killed while it writes ends when the disk has taken that
LINK_SECONDS = 5
# As flytrail sets them for its sessions in Postgres.
LINK_KEEPALIVE = (((socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1),
                  ((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 30),
                  ((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), 5),
                  ((socket.IPPROTO_TCP, socket.TCP_KEEPCNT), 3))
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.02, 0.2
# Of the time that a condition takes, which is mostly psql's: many tests wait at the same time.
PAUSE_SHARE = 4
TERMINAL_END = b"\x1dend of what was printed"
SERVER_USER = "postgres"
HOUR, DAY = 3600, 86400
# Texts that stand between what psql prints, because rows may hold anything else.
COLUMN_END, ROW_END, NULL_TEXT = "\x1f", "\x1e\n", "\x1dnull"


def wait_for(condition, timeout=30.0, what="condition"):
    """Calls condition until it returns something true, and returns that. timeout: of a machine that has nothing else to do."""
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        got = condition()
        if got:
            return got
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"waited {timeout} s in vain for: {what}")
        time.sleep(min(max(PAUSE_SECONDS, PAUSE_SHARE * (now - began)), PAUSE_SECONDS_MAX))


def date_ago(days):
    """UTC, as a line's time begins."""
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * DAY))


def begin_within(period, room=60):
    """For tests of one hour, or one day, of so many seconds (UTC): where less than room is left of it, the next has begun."""
    wait_for(lambda: time.time() % period < period - room, 2 * room, "the next hour or day")


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


claims = []  # sockets that nobody connects to: as long as this process lives, the ports are its own


def claim(port):
    """Whether no other test has it, or had it and may start its server again."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0flytrail-test-port-{port}")
    except OSError:
        name.close()
        return False
    claims.append(name)
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(count=1):
    """The first of so many ports that nobody has, below those that the kernel gives to outgoing connections."""
    while True:
        first = random.randint(20000, 32000 - count)
        if all(claim(port) for port in range(first, first + count)):
            return first


def children(pid):
    """The processes whose parent is pid."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as stat:
                parent = int(stat.read().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
        if parent == pid:
            found.append(int(name))
    return found


class Terminal:
    """A terminal for a child's stderr: fd is the child's end; seen() is all that was printed so far."""

    def __init__(self):
        self.ours, self.fd = pty.openpty()
        os.set_blocking(self.ours, False)
        self.printed = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.ours)
        os.close(self.fd)

    def seen(self):
        """What is there of a character that is still under way is left out."""
        while True:
            try:
                self.printed += os.read(self.ours, 65536)
            except BlockingIOError:
                return self.printed.decode(errors="ignore").replace("\r\n", "\n")

    def all(self):
        """What a child printed that has ended: the kernel may hand it over only a moment later,
        but what is printed now overtakes none of it."""
        self.seen()  # which makes room
        os.write(self.fd, TERMINAL_END)
        return wait_for(lambda: TERMINAL_END.decode() in self.seen() and self.seen(), 60,
                        "all that was printed").partition(TERMINAL_END.decode())[0]


class Beside:
    """What its run() does in a thread beside a test, until the block ends: then self.over is set."""

    def __init__(self):
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def state_of(pid):
    """One letter, as the kernel has it: X for what is not there any more. pid may be PID/task/TID."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def is_gone(pid):
    """Ended, though perhaps not reaped by whoever has to."""
    return state_of(pid) in "ZX"


def hold_still(process):
    """Returns when all its threads stand still, until it gets SIGCONT; one that has ended does so as well."""
    def is_still():
        try:
            threads = os.listdir(f"/proc/{process.pid}/task")
        except OSError:
            return True
        return all(state_of(f"{process.pid}/task/{thread}") in "TtZX" for thread in threads)

    process.send_signal(signal.SIGSTOP)
    if process.poll() is None:
        wait_for(is_still, GONE_SECONDS, "a process to stop")


@contextlib.contextmanager
def held_still(process):
    hold_still(process)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def send_signal(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def remove_at_exit(folder):
    """Also at that of a child of multiprocessing's, which does not ask atexit."""
    multiprocessing.util.Finalize(None, shutil.rmtree, (folder, True), exitpriority=0)


def make_same(copy, of):
    """copy, which was one once, is one again; a file of the same size and time was not written since."""
    for folder, _, names in os.walk(copy, topdown=False):
        twin = os.path.join(of, os.path.relpath(folder, copy))
        for name in names:
            if not os.path.exists(os.path.join(twin, name)):
                os.unlink(os.path.join(folder, name))
        if not os.path.isdir(twin):
            os.rmdir(folder)
    for folder, _, names in os.walk(of):
        twin = os.path.join(copy, os.path.relpath(folder, of))
        if not os.path.isdir(twin):
            os.mkdir(twin)
            copy_attributes(folder, twin)
        for name in names:
            source, sink = os.path.join(folder, name), os.path.join(twin, name)
            if size_and_time(source) != size_and_time(sink):
                shutil.copyfile(source, sink)
                copy_attributes(source, sink)


def size_and_time(path):
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def copy_attributes(source, sink):
    found = os.stat(source)
    os.chown(sink, found.st_uid, found.st_gid)
    shutil.copystat(source, sink)


class LabError(Exception):
    """A server did not do what was asked, or SQL failed; the text is the server's own."""


class Server:
    """What the two kinds have in common: a folder, a child process, a log."""

    def __init__(self, prefix, folder=None):
        self.owns_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix=prefix, dir="/tmp")
        self.port = free_port()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def launch(self, command):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
            )

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def await_ready(self, ready):
        def ready_or_dead():
            if self.process.poll() is not None:
                raise LabError(f"the server ended while it started:\n{self.log()[-4000:]}")
            return ready()

        wait_for(ready_or_dead, START_SECONDS, "the server to be ready")

    def family(self):
        return [self.process.pid] + children(self.process.pid)

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop_family(self):
        """Its parent first, so that no child is made while they are counted: that one would live on."""
        hold_still(self.process)
        family = self.family()
        send_signal(family, signal.SIGSTOP)
        return family

    def crash(self):
        """SIGKILL, to all of it; returns when it is gone."""
        if self.is_running():
            family = self.stop_family()
            send_signal(family, signal.SIGKILL)
            self.process.wait()
            wait_for(lambda: all(map(is_gone, family)), GONE_SECONDS, "the killed processes to be gone")

    def pause(self):
        """A hung server: it accepts connections, by the kernel, and answers nothing."""
        family = self.stop_family()
        wait_for(lambda: all(state_of(pid) in "TZX" for pid in family), GONE_SECONDS, "all of the server to stand still")

    def resume(self):
        send_signal(self.family(), signal.SIGCONT)

    def close(self):
        """Ends it and removes its folder, if it made that itself."""
        self.crash()
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


class Link:
    """A TCP way to a port, mostly of this machine, that can be cut or blocked under its users."""

    def __init__(self, port, at="127.0.0.1", to="127.0.0.1", at_port=0):
        self.target = (to, port)
        self.listener = socket.create_server((at, at_port), family=family_of(at))
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        self.flows = threading.Event()
        self.flows.set()
        self.blocks = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target, LINK_SECONDS)
            except OSError:
                near.close()  # nobody listens there at present
                continue
            far.settimeout(None)
            # A server asks by keepalive whether its client is there; behind a link, we do.
            for option, value in LINK_KEEPALIVE:
                near.setsockopt(*option, value)
            self.sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source, sink):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                self.flows.wait()
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        """Ends every connection; new ones may be made."""
        sockets, self.sockets = self.sockets, []
        for end in sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def block(self):
        """Half open: connections stand, also new ones, and nothing comes through either way.
        Blocked twice, it takes two unblock()."""
        with self.lock:
            self.blocks += 1
            self.flows.clear()

    def unblock(self):
        """What was held back comes through, to whom is still there."""
        with self.lock:
            self.blocks = max(0, self.blocks - 1)
            if self.blocks == 0:
                self.flows.set()

    def close(self):
        self.listener.close()
        self.cut()
        self.flows.set()


class Postgres(Server):
    """A throw-away cluster; the superuser is `postgres`; nobody needs a password.

    template: the data of another, which was stopped in order, to begin with a copy of. There is one
    of them in a process: what a closed one leaves is what the next begins with, since a thousand files
    made anew cost the kernel more, the more were removed in the last seconds."""

    spares = []  # folders of closed ones that began with the template

    def __init__(self, folder=None, fsync=False, settings=(), template=None):
        super().__init__("flytrail-pg-", folder)
        self.template = template
        self.data = os.path.join(self.folder, "data")
        self.settings = [
            "listen_addresses = '127.0.0.1'",
            f"unix_socket_directories = '{self.folder}'",
            f"fsync = {'on' if fsync else 'off'}",
            f"full_page_writes = {'on' if fsync else 'off'}",
            "max_connections = 50",
            "shared_buffers = 64MB",
            "max_wal_size = 512MB",
            "log_line_prefix = '%m [%p] '",
            "jit = off",
            *settings,
        ]

    def close(self):
        self.crash()
        self.free_memory()
        if self.template is not None and self.owns_folder and os.path.exists(self.data):
            self.spares.append(self.folder)
            remove_at_exit(self.folder)
            return
        super().close()

    def copy_template(self):
        if not self.spares:
            self.run("cp", "-a", self.template, self.data)
            return
        folder = self.spares.pop()
        os.rename(os.path.join(folder, "data"), self.data)
        shutil.rmtree(folder, ignore_errors=True)
        make_same(self.data, of=self.template)

    def free_memory(self):
        """The System V segment of a killed server, which is gone with its next start alone: the
        kernel has room for 4,096 of them, and then no server starts on this machine."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            with open(os.path.join(self.data, "postmaster.pid"), encoding="utf-8") as pid:
                _, segment = pid.read().splitlines()[6].split()
            subprocess.run(["ipcrm", "-m", segment], check=False, capture_output=True)

    @staticmethod
    def command(*words):
        """The command as the unprivileged user, ended when this process ends."""
        prefix = ["setpriv", "--pdeathsig", "QUIT"]
        if os.getuid() == 0:
            prefix += [f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--init-groups"]
        return [*prefix, *words]

    def run(self, *words):
        done = subprocess.run(
            self.command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, cwd="/", env={**os.environ, "HOME": self.folder},
        )
        if done.returncode != 0:
            raise LabError(f"{words[0]}: {done.stdout}{done.stderr}")

    def own_folder(self):
        os.makedirs(self.folder, exist_ok=True)
        if os.getuid() == 0:
            entry = pwd.getpwnam(SERVER_USER)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)

    def start(self):
        if not os.path.exists(self.data):
            self.own_folder()
            if self.template is not None:
                self.copy_template()
            else:
                self.run(f"{PG_BIN}/initdb", "-D", self.data, "-U", "postgres", "-A", "trust",
                         "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
            with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
                conf.write("\n".join(["", *self.settings, ""]))
        self.launch(self.command(f"{PG_BIN}/postgres", "-D", self.data, "-p", str(self.port)))
        self.await_ready(self.accepts)
        return self

    restart = start  # after stop() or crash(): the same data, with recovery

    def accepts(self):
        return subprocess.run([f"{PG_BIN}/pg_isready", "-q", "-d", self.url()], check=False).returncode == 0

    def stop(self):
        """An orderly end; sessions are cut off."""
        if self.is_running():
            self.process.send_signal(signal.SIGINT)
            self.process.wait()

    def standby(self, **options):
        """A second server, not started, that follows this one asynchronously."""
        other = Postgres(**options)
        other.own_folder()
        other.run(f"{PG_BIN}/pg_basebackup", "-d", self.url(), "-D", other.data, "-R",
                  "-c", "fast", "--no-sync")
        with open(os.path.join(other.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
            conf.write(f"\nunix_socket_directories = '{other.folder}'\n")
        return other

    def promote(self):
        self.run(f"{PG_BIN}/pg_ctl", "-D", self.data, "-s", "-w", "promote")

    def url(self, role="postgres", database="postgres"):
        return f"postgres://{role}@127.0.0.1:{self.port}/{database}"

    def psql(self, sql, role="postgres", database="postgres"):
        """Runs SQL and returns the rows of texts; NULL is None. Raises LabError."""
        done = subprocess.run(
            [f"{PG_BIN}/psql", "-X", "-q", "-A", "-t", "-F", COLUMN_END, "-R", ROW_END,
             "-P", f"null={NULL_TEXT}", "-v", "ON_ERROR_STOP=1", "-f", "-",
             self.url(role, database)],
            input=sql, capture_output=True, text=True, check=False, timeout=ENDED_SECONDS,
        )
        if done.returncode != 0:
            raise LabError(done.stderr.strip())
        rows = done.stdout.removesuffix("\n").split(ROW_END) if done.stdout else []
        return [[None if cell == NULL_TEXT else cell for cell in row.split(COLUMN_END)]
                for row in rows]


class Nats(Server):
    """nats-server as Fly's log stream looks: `fly` may publish, `org` may only subscribe."""

    FLY = ("fly", "s3cret")
    ORG = ("org", "orgtok")
    at = "127.0.0.1"

    def __init__(self, folder=None, max_pending="64MB", write_deadline="10s"):
        super().__init__("flytrail-nats-", folder)
        self.max_pending = max_pending
        self.write_deadline = write_deadline

    def start(self):
        path = os.path.join(self.folder, "nats.conf")
        with open(path, "w", encoding="utf-8") as conf:
            conf.write(f"""
listen: "{self.place}"
max_payload: 4MB
max_pending: {self.max_pending}
write_deadline: "{self.write_deadline}"
authorization {{ users = [
  {{ user: {self.FLY[0]}, password: {self.FLY[1]},
     permissions: {{ publish: ">", subscribe: ">" }} }},
  {{ user: {self.ORG[0]}, password: {self.ORG[1]},
     permissions: {{ publish: {{ deny: ">" }}, subscribe: {{ allow: ["logs.>", "_INBOX.>"] }} }} }}
] }}
""")
        self.launch(self.command(NATS_SERVER, "-c", path))
        self.await_ready(self.accepts)
        return self

    restart = start

    @staticmethod
    def command(*words):
        return ["setpriv", "--pdeathsig", "KILL", *words]

    def connect(self):
        return socket.create_connection((self.at, self.port), timeout=30)

    def accepts(self):
        with contextlib.suppress(OSError), self.connect():
            return True
        return False

    @property
    def place(self):
        return f"[{self.at}]:{self.port}" if ":" in self.at else f"{self.at}:{self.port}"

    @property
    def url(self):
        """Without credentials: those are FLY and ORG."""
        return f"nats://{self.place}"

    def publish(self, messages):
        """Publishes (subject, bytes) pairs as Fly, whatever the bytes are; the server has taken
        them all when this returns."""
        login = json.dumps({"user": self.FLY[0], "pass": self.FLY[1], "verbose": False})
        out = [f"CONNECT {login}\r\n".encode()]
        for subject, payload in messages:
            out += [f"PUB {subject} {len(payload)}\r\n".encode(), payload, b"\r\n"]
        with self.connect() as connection:
            connection.sendall(b"".join(out) + b"PING\r\n")
            answer = b""
            while b"PONG\r\n" not in answer:
                got = connection.recv(65536)
                answer += got
                if not got or b"-ERR" in answer:
                    raise LabError(answer.decode(errors="replace"))
