"""Fly's private network, as namespaces of this machine: AAAA alone, real servers, links that fail.

    with private_network.World() as world:           # raises NotAllowed where there is no right to
        ft = world.flytrail(FLYTRAIL_DATABASE_URL=world.url("audit-db.internal"))
        world.machines["db"].cut()                   # heal(), slow(ms), lossy(percent)
        world.dns.tell("audit-db.internal", ADDRESSES["spare"])
        world.dns.pause()

A machine is a namespace whose only way out is a port of tests/support/netswitch.c. Nothing of it has
a name in the file system, and all of it goes when this process goes, however it does.

    fly     fdaa::3: the resolver, the log stream at 4223, _api.internal at 4280
    db      Postgres, audit-db.internal
    spare   another one, empty at first
    proxy   the address of audit-db.flycast; what is there is the test's
    in      flytrail, as the user of the image or in it, with /etc/resolv.conf as Fly has it
"""

import concurrent.futures
import contextlib
import ctypes
import os
import random
import signal
import socket
import struct
import subprocess
import tempfile

import fly_api
import flytrail
import lab

NETSWITCH = os.path.join(flytrail.ROOT, "build", "tests", "support", "netswitch")
NETENTER = os.path.join(flytrail.ROOT, "build", "tests", "support", "netenter")
NOT_ALLOWED = 77  # netswitch's
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)

ADDRESSES = {"fly": "fdaa::3", "db": "fdaa:0:1:a7b:1::2", "spare": "fdaa:0:1:a7b:2::2",
             "proxy": "fdaa:0:1:0:1::5", "in": "fdaa:0:1:a7b:3::2"}
NETWORK = "fdaa::/16"
MTU = 1420  # of WireGuard, as Fly has it
DNS_SECONDS = 2
RECORD_A, RECORD_AAAA = 1, 28
USER = 10001  # of the image


class NotAllowed(Exception):
    """This machine has no namespaces for us; the text says what it refused."""


class Machine:
    """One namespace of a network that has begun."""

    def __init__(self, network, name):
        self.network, self.name = network, name
        self.path = None  # of its namespace

    def enter(self, *options):
        """The words before a command that is to run here."""
        return [NETENTER, "--net", self.path, *options]

    def run(self, *command, text=None):
        done = subprocess.run([*self.enter(), *command], input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise lab.LabError(f"on {self.name}, {' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def within(self, call, *arguments):
        """What call returns, from a thread whose sockets are this machine's, as those of its threads."""
        def enter_and_call():
            with open(self.path, "rb") as namespace:
                if LIBC.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"the namespace of {self.name}")
            return call(*arguments)

        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(enter_and_call).result()

    def begin(self, address):
        self.run("ip", "-batch", "-", text="link set lo up\n"
                 f"link set eth0 mtu {MTU} up\naddress add {address}/128 dev eth0 nodad\n"
                 f"route add {NETWORK} dev eth0\n")

    def move(self, before, after):
        """It is at another address, and at the earlier one there is nobody."""
        self.run("ip", "-batch", "-", text=f"address add {after}/128 dev eth0 nodad\n"
                 f"address del {before}/128 dev eth0\n")

    def cut(self):
        self.network.order("cut", self.name, 1)

    def heal(self):
        for what in ("cut", "delay", "loss"):
            self.network.order(what, self.name, 0)

    def slow(self, milliseconds):
        """One way."""
        self.network.order("delay", self.name, milliseconds)

    def lossy(self, percent):
        """Of what comes, and of what goes."""
        self.network.order("loss", self.name, percent)


class Network:
    """The machines, and the switch between them."""

    def __init__(self, names):
        self.machines = {name: Machine(self, name) for name in names}
        self.switch = None

    def __enter__(self):
        seed = random.randrange(2**31)
        self.switch = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", NETSWITCH, str(seed), *self.machines], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            self.read_ports()
            for name, machine in self.machines.items():
                machine.begin(ADDRESSES[name])
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def read_ports(self):
        for line in self.switch.stdout:
            word, *rest = line.split()
            if word == "ready":
                return
            self.machines[rest[0]].path = rest[1]
        why = self.switch.stderr.read().strip()
        if self.switch.wait() == NOT_ALLOWED:
            raise NotAllowed(why)
        raise lab.LabError(f"the switch did not begin: {why}")

    def order(self, *words):
        self.switch.stdin.write(" ".join(map(str, words)) + "\n")
        self.switch.stdin.flush()
        answer = self.switch.stdout.readline()
        if answer != "done\n":
            raise lab.LabError(f"the switch was told {words} and said {answer!r}")

    def close(self):
        self.switch.kill()
        self.switch.wait()
        for pipe in (self.switch.stdin, self.switch.stdout, self.switch.stderr):
            pipe.close()


class Dns(lab.Server):
    """The resolver of the private network. It knows AAAA alone, as Fly's does of such names."""

    def __init__(self, machine):
        super().__init__("flytrail-dns-")
        self.machine, self.at = machine, ADDRESSES[machine.name]
        self.names = {}

    def start(self):
        hosts, path = (os.path.join(self.folder, name) for name in ("hosts", "dnsmasq.conf"))
        self.write_names()
        with open(path, "w", encoding="ascii") as conf:
            # Another group than ours would take from it that it ends with us.
            conf.write("keep-in-foreground\nuser=root\ngroup=root\npid-file=\nlog-facility=-\nno-resolv\nno-hosts\n"
                       f"addn-hosts={hosts}\nlocal=/internal/\nlocal=/flycast/\n"
                       f"listen-address={self.at}\nbind-interfaces\n")
        self.launch([*self.machine.enter(), "dnsmasq", "--conf-file=" + path])
        self.await_ready(lambda: self.ask("_api.internal", RECORD_AAAA) == 1)
        return self

    restart = start

    def write_names(self):
        path = os.path.join(self.folder, "hosts")
        with open(path + ".new", "w", encoding="ascii") as out:
            out.writelines(f"{address} {name}\n" for name, address in self.names.items())
        os.rename(path + ".new", path)

    def tell(self, name, address):
        """From now on the name is at this address."""
        self.names[name] = address
        if self.is_running():
            self.write_names()
            self.process.send_signal(signal.SIGHUP)
            lab.wait_for(lambda: socket.inet_pton(socket.AF_INET6, address) in self.answer(name, RECORD_AAAA),
                         60, f"{name} at its new address")

    def answer(self, name, record):
        """The bytes of the answer to a question for one kind of record; empty: there was none."""
        question = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
        query = struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + question + b"\0" + struct.pack(">2H", record, 1)

        def ask():
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asking:
                asking.settimeout(DNS_SECONDS)
                with contextlib.suppress(OSError):
                    asking.sendto(query, (self.at, 53))
                    return asking.recv(4096)
                return b""

        return self.machine.within(ask)

    def ask(self, name, record):
        """How many records of that kind the name has; -1: no answer, or none that is good."""
        answer = self.answer(name, record)
        if len(answer) < 12 or answer[3] & 15 != 0:
            return -1
        return struct.unpack_from(">H", answer, 6)[0]


class Postgres(lab.Postgres):
    """On a machine, for all of the network; we ask it by its socket, which no cut link is in the way of."""

    def __init__(self, machine, **options):
        self.machine = machine
        super().__init__(**options)
        self.port = 5432
        self.access = os.path.join(self.folder, "access.conf")
        self.settings += ["listen_addresses = '*'", f"hba_file = '{self.access}'",
                          "wal_sender_timeout = 5s", "wal_receiver_timeout = 5s"]

    def command(self, *words):
        return [*self.machine.enter(), *super().command(*words)]

    def start(self):
        self.own_folder()
        with open(self.access, "w", encoding="ascii") as access:
            access.write(f"local all all trust\nhost all,replication all {NETWORK} trust\n")
        return super().start()

    restart = start

    def url(self, role="postgres", database="postgres"):
        return f"postgres://{role}@/{database}?host={self.folder}&port={self.port}"

    def follow(self, primary_at):
        """It is, not started, a standby of the server at that address, and was nothing before."""
        self.own_folder()
        self.run("rm", "-rf", self.data)
        self.run(f"{lab.PG_BIN}/pg_basebackup", "-d", f"host={primary_at} user=postgres", "-D", self.data, "-R",
                 "-c", "fast", "--no-sync")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
            conf.write("\n".join(["", *self.settings, ""]))


class Nats(lab.Nats):
    def __init__(self, machine, **options):
        super().__init__(**options)
        self.machine, self.at, self.port = machine, ADDRESSES[machine.name], 4223

    def command(self, *words):
        return [*self.machine.enter(), *super().command(*words)]

    def connect(self):
        return self.machine.within(super().connect)


class Pooler(lab.Server):
    """pgbouncer at the address of audit-db.flycast: a session of its own in Postgres for each client."""

    def __init__(self, machine, target):
        super().__init__("flytrail-pooler-")
        self.machine, self.target = machine, target

    def start(self):
        path, users = (os.path.join(self.folder, name) for name in ("pgbouncer.ini", "users"))
        with open(users, "w", encoding="ascii") as out:
            out.write('"flytrail_writer" ""\n"postgres" ""\n')
        with open(path, "w", encoding="ascii") as conf:
            conf.write(f"[databases]\npostgres = host={self.target} port=5432\n[pgbouncer]\n"
                       f"listen_addr = {ADDRESSES[self.machine.name]}\nlisten_port = 5432\nunix_socket_dir = {self.folder}\n"
                       f"auth_type = trust\nauth_file = {users}\nadmin_users = postgres\npool_mode = session\n"
                       "server_connect_timeout = 3\nquery_wait_timeout = 5\nserver_login_retry = 1\n")
        for name in (self.folder, users, path):
            os.chmod(name, 0o755)
        os.chmod(self.folder, 0o777)  # its socket
        self.launch([*self.machine.enter(), *lab.Postgres.command("pgbouncer", path)])
        self.await_ready(lambda: self.tell("SHOW VERSION"))
        return self

    restart = start

    def tell(self, *commands):
        """False: it is not there to be told."""
        words = [word for command in commands for word in ("-c", command)]
        return subprocess.run([f"{lab.PG_BIN}/psql", "-X", "-q", "-h", self.folder, "-p", "5432", "-U", "postgres",
                               *words, "pgbouncer"], capture_output=True, check=False).returncode == 0

    def drop_all(self):
        """Every connection, of clients and to Postgres; who comes again is served."""
        if not self.tell("KILL postgres", "RESUME postgres"):
            raise lab.LabError("the pooler was not there")


class Flytrail(flytrail.Flytrail):
    """On a machine; asked from there, so that a link that is cut does not hide what it says."""

    machine = None

    def health(self, path="/health"):
        return self.machine.within(super().health, path)

    def metric(self, name):
        return self.machine.within(super().metric, name)


class World(flytrail.World):
    kind = Flytrail

    def __init__(self):
        self.network = Network(ADDRESSES)
        self.machines = self.network.machines
        super().__init__()
        self.dns = Dns(self.machines["fly"])
        self.api = fly_api.FlyApi(token=self.nats.ORG[1], org=self.nats.ORG[0], host=ADDRESSES["fly"], port=4280)
        self.api.add_app("flytrail")  # what it is itself
        self.stack = contextlib.ExitStack()
        for name, at in (("audit-db.internal", "db"), ("audit-db.flycast", "proxy"), ("_api.internal", "fly"),
                         ("fly-local-6pn", "in")):
            self.dns.names[name] = ADDRESSES[at]

    def make_pg(self, **options):
        return Postgres(self.machines["db"], **options)

    def make_nats(self, **options):
        return Nats(self.machines["fly"], **options)

    def __enter__(self):
        os.chmod(self.folder, 0o755)
        with contextlib.ExitStack() as stack:
            stack.callback(super().__exit__)
            stack.callback(self.dns.close)
            stack.enter_context(self.network)
            self.beside_nats = self.machines["fly"].enter()
            stack.callback(self.api.close)
            self.machines["fly"].within(self.api.start)
            self.dns.start()
            super().__enter__()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def env(self):
        """As Fly and README set it; where the stream and Fly's API are, flytrail finds out."""
        found = super().env()
        for name in ("NATS_URL", "FLYTRAIL_MACHINES_URL"):
            del found[name]
        return {**found, "FLYTRAIL_API_URL": "http://_api.internal:4280", "FLYTRAIL_LISTEN": "[::]:8080",
                "FLYTRAIL_DATABASE_URL": self.url("audit-db.internal")}

    @staticmethod
    def url(host):
        return f"postgres://flytrail_writer@{host}/postgres"

    def flytrail(self, arguments=(), root=None, **env):
        """root: the image.Root that it runs in; None: the files of this machine, and build/flytrail."""
        ft = super().flytrail(arguments, **(root.environment() if root else {}), **env)
        ft.machine, ft.port = self.machines["in"], 8080
        volume, resolver = (os.path.join(ft.folder, name) for name in ("volume", "resolv.conf"))
        os.mkdir(volume)
        os.chown(volume, USER, USER)
        with open(resolver, "w", encoding="ascii") as out:
            out.write(f"nameserver {ADDRESSES['fly']}\n")
        self.set_program(ft, volume, resolver, root)
        return ft

    @staticmethod
    def set_program(ft, volume, resolver, root):
        """What runs it, as the user of the image, and where it finds its volume."""
        as_user = ["--user", str(USER)]
        if root is None:
            ft.env["FLYTRAIL_SPOOL_DIR"] = os.path.join(volume, "spool")
            ft.program = [*ft.machine.enter("--bind", f"{resolver}:/etc/resolv.conf", *as_user), flytrail.BINARY]
            return
        del ft.env["FLYTRAIL_SPOOL_DIR"]  # it has its own
        with open(os.path.join(root.path, "etc", "resolv.conf"), "ab"):
            pass  # a place for the machine's
        binds = [word for pair in ((resolver, "/etc/resolv.conf"), (volume, "/data"), ("/dev", "/dev"), ("/proc", "/proc"))
                 for word in ("--bind", ":".join(pair))]
        ft.program = ft.machine.enter(*binds, "--root", root.path, *as_user) + root.config["Cmd"][:1]
