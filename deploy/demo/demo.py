"""`make demo`: an incident told by SQL, on servers of its own.

Starts a private Postgres (a socket in a temporary folder), nats-server and a stand-in for
Fly's API (on loopback), runs `flytrail migrate` and `flytrail run` on them, publishes
deploy/demo/incident.py's stream as Fly would, deploys, changes a secret, a machine and who has
access as Fly's API would show it, and prints what SQL answers. On a terminal it stays until Enter.
Everything it started and made is gone when it ends, however it ends.
"""

import grp
import os
import pwd
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import incident

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import fly_api  # noqa: E402
import lab  # noqa: E402

FLYTRAIL = os.environ.get("DEMO_FLYTRAIL", os.path.join(ROOT, "build", "flytrail"))
QUESTIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "questions.sql")
UNPRIVILEGED = "postgres"  # the user that Debian's package makes; only when called by root
WAIT_SECONDS = 60
ORG = "demo-org"
MARA, JONAS = "mara.lind@example.com", "jonas.vik@example.com"
# What is looked at first, so that what changes after is a change.
BASELINES = ("secrets", "releases", "machine_config", "machine_events", "members", "tokens", "ssh_certificates",
             "machines")


class DemoError(Exception):
    """Something did not work; the text says what, and what to look at."""


def say(text):
    print(text, flush=True)


def wait_for(condition, what):
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"waited {WAIT_SECONDS} s in vain for {what}")
        time.sleep(0.05)


def postgres_bin():
    """The newest Postgres that Debian's packages brought."""
    versions = [v for v in os.listdir("/usr/lib/postgresql")
                if os.path.exists(f"/usr/lib/postgresql/{v}/bin/initdb")] \
        if os.path.isdir("/usr/lib/postgresql") else []
    if not versions:
        raise DemoError("no Postgres server in /usr/lib/postgresql; is the package postgresql "
                        "installed?")
    return f"/usr/lib/postgresql/{max(versions, key=float)}/bin"


class Demo:
    def __init__(self):
        self.folder = None
        self.children = []  # in the order of their start
        self.bin = postgres_bin()
        self.password = secrets.token_hex(16)
        self.nats_port, self.http_port = lab.free_port(), lab.free_port()
        self.api = fly_api.FlyApi(token=self.password, org=ORG)

    # Processes: as somebody without rights, and ended with this one.

    def command(self, *words):
        prefix = ["setpriv", "--pdeathsig", "TERM"]
        if os.getuid() == 0:
            prefix += [f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--init-groups"]
        return [*prefix, *words]

    def environment(self, **more):
        keep = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": self.folder,
                "LANG": "C.UTF-8", "TZ": "UTC"}
        return {**keep, **more}

    def log_path(self, name):
        return os.path.join(self.folder, f"{name}.log")

    def start(self, name, *words, **env):
        with open(self.log_path(name), "wb") as log:
            child = subprocess.Popen(
                self.command(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, env=self.environment(**env), start_new_session=True)
        self.children.append((name, child))
        return child

    def run(self, name, *words, text=None, **env):
        child = subprocess.Popen(
            self.command(*words), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=self.folder, env=self.environment(**env),
            start_new_session=True)
        try:
            out, errors = child.communicate(text, timeout=WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise DemoError(f"{name} did not end within {WAIT_SECONDS} s") from None
        finally:
            if child.poll() is None:  # also on Ctrl-C: whatever it has started goes with it
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if child.returncode != 0:
            raise DemoError(f"{name} failed:\n{out}{errors}")
        return out

    def tail(self, name):
        with open(self.log_path(name), encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-15:])

    def await_child(self, name, child, condition, what):
        def ready():
            if child.poll() is not None:
                raise DemoError(f"{name} ended while it started:\n{self.tail(name)}")
            return condition()

        wait_for(ready, what)

    # The servers.

    def make_folder(self):
        self.folder = tempfile.mkdtemp(prefix="flytrail-demo-", dir="/tmp")
        if os.getuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.folder, user.pw_uid, grp.getgrgid(user.pw_gid).gr_gid)

    def url(self, role):
        return f"postgres:///flytrail?host={self.folder}&user={role}"

    def psql(self, role, sql, *options):
        return self.run("psql", f"{self.bin}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1",
                        *options, self.url(role), text=sql)

    def start_postgres(self):
        data = os.path.join(self.folder, "postgres")
        self.run("initdb", f"{self.bin}/initdb", "-D", data, "-U", "postgres", "-A", "trust",
                 "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        # Trust is fine here: the only way in is a socket in a folder that is closed to others.
        server = self.start(
            "postgres", f"{self.bin}/postgres", "-D", data, "-c", "listen_addresses=",
            "-c", f"unix_socket_directories={self.folder}", "-c", "fsync=off",
            "-c", "max_connections=30", "-c", "timezone=UTC")
        self.await_child("postgres", server, lambda: subprocess.run(
            [f"{self.bin}/pg_isready", "-q", "-h", self.folder], check=False).returncode == 0,
            "Postgres to start")
        self.run("createdb", f"{self.bin}/createdb", "-h", self.folder, "-U", "postgres",
                 "flytrail")

    def configure_nats(self):
        path = os.path.join(self.folder, "nats.conf")
        self.run("tee", "tee", path, text=f"""
listen: "127.0.0.1:{self.nats_port}"
authorization {{ users = [
  {{ user: fly, password: "{self.password}" }},
  {{ user: {ORG}, password: "{self.password}", permissions: {{ publish: {{ deny: ">" }} }} }} ] }}
""")
        return path

    def start_nats(self):
        path = self.configure_nats()
        program = shutil.which("nats-server") or "/usr/sbin/nats-server"
        server = self.start("nats-server", program, "-c", path)

        def accepts():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.nats_port)) == 0

        self.await_child("nats-server", server, accepts, "nats-server to start")
        return server

    def migrate(self):
        self.run("flytrail migrate", FLYTRAIL, "migrate",
                 FLYTRAIL_ADMIN_DATABASE_URL=self.url("postgres"))

    def health(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/health",
                                        timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def start_flytrail(self):
        child = self.start(
            "flytrail", FLYTRAIL, "run", ORG=ORG, ACCESS_TOKEN=f"FlyV1 {self.password}",
            NATS_URL=f"nats://127.0.0.1:{self.nats_port}",
            FLYTRAIL_DATABASE_URL=self.url("flytrail_writer"),
            FLYTRAIL_SPOOL_DIR=os.path.join(self.folder, "spool"),
            FLYTRAIL_SPOOL_MAX_BYTES="256MiB",
            FLYTRAIL_LISTEN=f"127.0.0.1:{self.http_port}",
            FLYTRAIL_API_URL=self.api.url, FLYTRAIL_MACHINES_URL=self.api.url,
            FLYTRAIL_WATCH_FULL_SECONDS="2",
            FLYTRAIL_HEARTBEAT_SECONDS="0",  # nobody ships what it prints
            FLY_APP_NAME="flytrail", FLY_MACHINE_ID="demo", FLY_REGION="ams")
        self.await_child("flytrail", child, self.health, "flytrail's /health to be green")

    # The stream.

    def publish(self, lines):
        """NATS's text protocol, as much of it as publishing needs."""
        with socket.create_connection(("127.0.0.1", self.nats_port), timeout=10) as wire, \
                wire.makefile("rwb") as stream:
            if not stream.readline().startswith(b"INFO "):
                raise DemoError("what listens on the nats-server's port does not speak NATS")
            stream.write(b'CONNECT {"verbose":false,"pedantic":false,"user":"fly","pass":"%s"}\r\n'
                         % self.password.encode())
            for subject, line in lines:
                stream.write(b"PUB %s %d\r\n%s\r\n" % (subject, len(line), line))
            stream.write(b"PING\r\n")
            stream.flush()
            answer = stream.readline()
            if answer != b"PONG\r\n":
                raise DemoError(f"nats-server did not take the stream: {answer!r}")

    def await_rows(self, count):
        wait_for(lambda: self.rows() >= count, f"{count} rows in Postgres")

    def cut_stream(self, nats):
        """The log stream goes away, and comes back: what a gap is made of."""
        nats.kill()
        nats.wait()
        wait_for(lambda: not self.health(), "flytrail to notice that the stream is gone")
        self.start_nats()
        wait_for(self.health, "flytrail to come back to the stream")

    def rows(self):
        return int(self.psql("postgres", "SELECT count(*) FROM flytrail.log_lines", "-A", "-t"))

    # Fly's control plane.

    def start_api(self, story):
        """What there is before: applications, a release of each, machines, people."""
        for machine in (incident.WEB_1, incident.WORKER, incident.BILLING):
            self.api.deploy(machine.app, f"registry.fly.io/{machine.app}:deployment-before",
                            JONAS, ns=story.begin_ns)
            self.api.machine_run(machine.app, machine.region, machine_id=machine.machine_id)
        self.api.add_app("flytrail")
        self.api.member_add(MARA, role="ADMIN")
        self.api.member_add(JONAS)
        self.api.token_create("shipper", by=MARA, days=365)
        self.api.ips_allocate("shop-web", "2001:db8::50")
        # Mara's console of the story, which is over; and what this token may not read.
        self.api.ssh_certificate(MARA, 1, at=story.begin_ns // incident.NS + incident.CONSOLE_SECOND)
        self.api.graphql_refuse("delegatedWireGuardTokens")
        self.api.start()

    def count(self, sql):
        return int(self.psql("postgres", f"SELECT count(*) FROM {sql}", "-A", "-t"))

    def await_baseline(self):
        wait_for(lambda: self.count(f"flytrail.snapshots WHERE resource IN {BASELINES}") ==
                 4 + 4 + 3 + 3 + 4, "the first look at Fly's API")

    def change(self, story):
        """The releases that the lines tell of, with who made them; and more, just now."""
        for ns, app, image, person in story.releases:
            self.api.deploy(app, image, person, ns=ns)
        self.api.secrets_set("billing-api", PAYMENT_KEY="made-up")
        self.api.secrets_deploy("billing-api", MARA)
        self.api.member_add("noor.haas@example.com")
        self.api.token_create("ci", by=JONAS, days=None)
        self.api.machine_update(incident.BILLING.machine_id, guest={"memory_mb": 512})
        # Fly issues a certificate for the one session, and none that it lists for the other.
        self.api.ssh_certificate(MARA, 1)
        lines = incident.consoles(story)
        self.publish(lines)
        wait_for(lambda: self.count(
            "flytrail.events WHERE action IN ('secret_change.deployed', 'access.member_added', "
            "'access.token_created', 'deploy.machine_updated', 'deploy.machine_replacing', "
            "'deploy.release_succeeded')") == 8,
            "the changes in Postgres")
        wait_for(lambda: self.count(
            "flytrail.ssh_sessions WHERE certificate_state IN ('issued', 'none')") == len(lines),
            "the sessions and Fly's list of certificates")
        wait_for(lambda: self.count("flytrail.watched WHERE state = 'unobserved'") == 1,
                 "what the token may not read to be on record")
        return len(lines)

    # The answers.

    def ask(self):
        """Each question of questions.sql: its comment, then psql's answer."""
        with open(QUESTIONS, encoding="utf-8") as file:
            blocks = re.findall(r"((?:^-- .*\n)+)((?:^(?!--).*\n)+)", file.read(), re.MULTILINE)
        for number, (comment, sql) in enumerate(blocks, 1):
            title = " ".join(line[3:] for line in comment.splitlines())
            say(f"\n{number}. {title}\n")
            say("".join(f"    {line}\n" for line in sql.strip().splitlines()))
            say(self.psql("flytrail_line_reader", sql, "-P", "pager=off", "-P", "null=-",
                          "-P", "footer=off").rstrip())

    def stay(self):
        call = shlex.join([f"{self.bin}/psql", self.url("flytrail_line_reader")])
        if "SUDO_USER" in os.environ:
            call = "sudo " + call
        say(f"\nAll of it still runs. Ask on, in another terminal:\n\n    {call}\n\n"
            "and begin with \\dv flytrail.* to see the views.\n")
        print("Press Enter to end the demo and remove everything. ", end="", flush=True)
        sys.stdin.readline()  # or the end of input

    def prepare(self):
        """Everything up to the rows being there; returns how many lines were published."""
        self.make_folder()
        say(f"1/6 a private Postgres and nats-server, in {self.folder}")
        self.start_postgres()
        nats = self.start_nats()
        story = incident.story()
        self.start_api(story)
        say("2/6 flytrail migrate")
        self.migrate()
        say("3/6 flytrail run")
        self.start_flytrail()
        self.await_baseline()
        say("4/6 the log stream of an organisation, as Fly would publish it")
        lines = list(incident.lines(story))
        for _, line in lines:
            self.api.add_payload(line)  # Fly's second copy of them
        half = len(lines) // 2
        self.publish(lines[:half])
        self.await_rows(half)
        self.cut_stream(nats)
        self.publish(lines[half:])
        self.await_rows(len(lines))
        say("5/6 deploys, a secret, a member, a token, consoles: simulated, a stand-in plays Fly's API")
        return len(lines) + self.change(story)

    def tell(self):
        begin = time.monotonic()
        count = self.prepare()
        say(f"6/6 {count} lines published, {self.rows()} rows in Postgres, "
            f"{time.monotonic() - begin:.0f} s since the start")
        self.ask()
        if sys.stdin.isatty() and sys.stdout.isatty():
            self.stay()

    def close(self):
        self.api.close()
        for _, child in reversed(self.children):
            # flytrail drains; Postgres and nats-server need not.
            number = signal.SIGINT if child.args[-1] != "run" else signal.SIGTERM
            if child.poll() is None:
                child.send_signal(number)
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        # A process that was killed with its parent may still be on its way out.
        deadline = time.monotonic() + WAIT_SECONDS
        while self.folder and os.path.exists(self.folder) and time.monotonic() < deadline:
            shutil.rmtree(self.folder, ignore_errors=True)


def leave(number, _):
    raise SystemExit(128 + number)


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    if not os.access(FLYTRAIL, os.X_OK):
        raise DemoError(f"{FLYTRAIL} is not there; run `make` first")
    demo = Demo()
    try:
        demo.tell()
    except KeyboardInterrupt:
        say("")
        raise SystemExit(130) from None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        demo.close()


if __name__ == "__main__":
    try:
        main()
    except DemoError as error:
        sys.exit(f"demo: {error}")
