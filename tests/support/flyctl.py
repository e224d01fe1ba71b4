"""A stand-in for flyctl and, behind it, for what of Fly it changes. Nothing is asked of Fly.

    with flyctl.Fly(start=run_it) as fly:        # fly.path is a folder with `fly`, for PATH
        fly.add_app("shop-db", machine_region="fra")
        ... a script runs `fly apps create trail --org example-org` ...
        fly.calls                                # each: words, stdin, env
        fly.apps["trail"].secrets                # what it was given by `secrets import`

`fly` is strict: a command, a flag or a number of arguments that flyctl's own manual has not is an
error, and so is an application that is not there, a deploy without the volume that fly.toml mounts,
a shell where no machine runs, and a question that would have to be answered. What it prints has the
form that flyctl's has, keys in the case that the command has them in.

Each `fly` is a process of its own that asks the test's by a socket; `proxy` stays, listens, and
carries bytes to `postgres_port`. `deploy` calls start(app, environment), which gives the process that
plays the machine, with command(*words) for `ssh console -C`; `session` is called with the
application before that, to say on the log stream what a machine's SSH server says.

    fly.hold("deploy")                           # the next one does nothing until cancel() ends it
    fly.refuse("deploy", "Error: no capacity")   # the next one fails so
"""

import contextlib
import json
import os
import shlex
import shutil
import socket
import sys
import tempfile
import threading
import time
import tomllib

import lab

SUPPORT = os.path.dirname(os.path.abspath(__file__))
REQUEST_BYTES = 1 << 20
# Flags by command: whether one takes a value. "" stands for arguments: at least, at most.
APP, JSON, YES = {"--app": True}, {"--json": False}, {"--yes": False}
COMMANDS = {
    "auth whoami": {"": (0, 0), **JSON},
    "apps list": {"": (0, 0), "--org": True, "--quiet": False, **JSON},
    "apps create": {"": (0, 1), "--org": True, "--name": True, "--network": True, "--generate-name": False, **JSON},
    "apps destroy": {"": (1, 9), **YES},
    "machines list": {"": (0, 0), "--quiet": False, **APP, **JSON},
    "ips list": {"": (0, 0), **APP, **JSON},
    "volumes list": {"": (0, 0), **APP, **JSON},
    "volumes create": {"": (1, 1), "--region": True, "--size": True, "--snapshot-retention": True, "--count": True,
                       "--no-encryption": False, "--snapshot-id": True, **APP, **JSON, **YES},
    "proxy": {"": (1, 2), "--bind-addr": True, "--org": True, "--quiet": False, "--select": False, **APP},
    "tokens create readonly": {"": (0, 1), "--name": True, "--expiry": True, "--org": True, "--from-existing": False, **JSON},
    "tokens list": {"": (0, 0), "--scope": True, "--org": True, **APP},
    "tokens revoke": {"": (1, 99)},
    "secrets list": {"": (0, 0), **APP, **JSON},
    "secrets import": {"": (0, 0), "--stage": False, "--detach": False, **APP},
    "deploy": {"": (0, 1), "--no-public-ips": False, "--ha": False, "--config": True, "--image": True, "--dockerfile": True,
               "--remote-only": False, "--region": True, "--strategy": True, **APP, **YES},
    "ssh console": {"": (0, 1), "--command": True, "--machine": True, "--quiet": False, "--region": True, "--pty": False, **APP},
}
SHORT = {"-a": "--app", "-o": "--org", "-j": "--json", "-y": "--yes", "-C": "--command", "-c": "--config", "-n": "--name",
         "-x": "--expiry", "-r": "--region", "-s": "--size", "-q": "--quiet", "-i": "--image", "-b": "--bind-addr"}


class Refused(Exception):
    """What flyctl says on stderr as it ends with 1."""


def parse(words):
    """(command, arguments, flags), or what flyctl says of what it does not know."""
    for length in (3, 2, 1):
        command = " ".join(words[:length])
        if command in COMMANDS and len(words) >= length:
            break
    else:
        raise Refused(f'Error: unknown command "{" ".join(words[:2])}" for "flyctl"')
    known, arguments, flags, rest = COMMANDS[command], [], {}, list(words[length:])
    while rest:
        word, found, value = rest.pop(0).partition("=")
        if not word.startswith("-"):
            arguments.append(word + found + value)
            continue
        name = SHORT.get(word, word)
        if name not in known:
            raise Refused(f"Error: unknown flag: {word}")
        if known[name] and not found:
            if not rest:
                raise Refused(f"Error: flag needs an argument: {word}")
            value = rest.pop(0)
        flags[name] = value if known[name] or found else "true"
    least, most = known[""]
    if not least <= len(arguments) <= most:
        raise Refused(f"Error: accepts between {least} and {most} arg(s), received {len(arguments)}")
    return command, arguments, flags


class App:
    def __init__(self, name, org):
        self.name, self.org = name, org
        self.secrets, self.staged = {}, set()
        self.volumes, self.machines, self.addresses = [], [], []
        self.runs = None  # what plays its machine


class Fly:
    def __init__(self, start=None, session=None, org="example-org", token="FlyV1 fm2_example000000000"):
        self.path = tempfile.mkdtemp(prefix="flytrail-fly-")
        self.start, self.session, self.org, self.token = start, session, org, token
        self.who = "mara.lind@example.com"  # None: nobody is logged in
        self.apps, self.tokens, self.calls = {}, [], []
        self.names_of_others = {"flytrail"}
        self.postgres_port = None
        self.lock = threading.Lock()
        self.held, self.refusals = {}, {}
        self.listener = socket.socket(socket.AF_UNIX)

    def __enter__(self):
        program = os.path.join(self.path, "fly")
        with open(program, "w", encoding="utf-8") as file:
            file.write(f"#!{sys.executable} -S\nimport sys\nsys.path.insert(0, {SUPPORT!r})\nimport flyctl\nflyctl.client()\n")
        os.chmod(program, 0o755)
        self.listener.bind(os.path.join(self.path, "socket"))
        self.listener.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for name in list(self.held):
            self.cancel(name)
        shutil.rmtree(self.path, ignore_errors=True)

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, contextlib.suppress(OSError), connection.makefile("rwb") as stream:
            request = json.loads(stream.readline(REQUEST_BYTES))
            answer = self.answer(request)
            stream.write(json.dumps(answer).encode() + b"\n")

    # ---- what tests do ----

    def add_app(self, name, machine_region=None, org=None):
        app = self.apps[name] = App(name, org or self.org)
        if machine_region:
            app.machines.append({"id": "148e21ea7d1089", "region": machine_region, "state": "started",
                                 "checks": [{"name": "role", "status": "passing", "output": "primary"}]})
        return app

    def commands(self):
        """The commands in their order, without arguments."""
        with self.lock:
            return [call["command"] for call in self.calls]

    def hold(self, command):
        self.held[command] = (threading.Event(), threading.Event())

    def await_held(self, command):
        assert self.held[command][0].wait(60), f"nobody called {command}"

    def cancel(self, command):
        self.held.pop(command)[1].set()

    def refuse(self, command, words):
        self.refusals[command] = words

    # ---- what flyctl does ----

    def answer(self, request):
        """{"out", "err", "status"}, and "proxy" for the port to which it leads."""
        call = {"command": None, **request}
        with self.lock:
            self.calls.append(call)
        try:
            command, arguments, flags = parse(request["words"])
            call["command"] = command
            if self.who is None:
                raise Refused("Error: no access token available. Please login with 'flyctl auth login'")
            if command in self.held:
                begun, may_end = self.held[command]
                begun.set()
                may_end.wait()
                raise Refused("Error: context canceled")
            if command in self.refusals:
                raise Refused(self.refusals.pop(command))
            if "--app" in COMMANDS[command] and command not in ("tokens list",):
                flags["app"] = self.app(flags.get("--app", ""))
            out = getattr(self, "do_" + command.replace(" ", "_"))(arguments, flags, request)
        except Refused as error:
            return {"out": "", "err": f"{error}\n", "status": 1}
        return out if isinstance(out, dict) else {"out": out, "err": "", "status": 0}

    def app(self, name):
        if name not in self.apps:
            raise Refused(f"Error: failed to get app: Could not find App \"{name}\"")
        return self.apps[name]

    def of_org(self, org):
        if org != self.org:
            raise Refused(f"Error: failed retrieving organization with slug {org}: Could not find Organization")

    def do_auth_whoami(self, _arguments, _flags, _request):
        return f"{self.who}\n"

    def do_apps_list(self, _arguments, flags, _request):
        self.of_org(flags.get("--org", self.org))
        return json.dumps([{"ID": app.name, "Name": app.name, "Status": "pending", "Organization": {"Slug": app.org}}
                           for app in self.apps.values() if app.org == self.org])

    def do_apps_create(self, arguments, flags, _request):
        self.of_org(flags.get("--org"))
        if arguments[0] in self.apps or arguments[0] in self.names_of_others:
            raise Refused("Error: Validation failed: Name has already been taken")
        self.apps[arguments[0]] = App(arguments[0], self.org)
        return f"New app created: {arguments[0]}\n"

    def do_apps_destroy(self, arguments, flags, _request):
        if "--yes" not in flags:
            raise Refused("Error: yes flag must be specified when not running interactively")
        for name in arguments:
            app = self.app(name)
            if app.runs is not None:
                app.runs.kill()
            del self.apps[name]
        return "".join(f"Destroyed app {name}\n" for name in arguments)

    def do_machines_list(self, _arguments, flags, _request):
        if not flags["app"].machines:
            return f"No machines are available on this app {flags['app'].name}\n"
        return json.dumps(flags["app"].machines)

    def do_ips_list(self, _arguments, flags, _request):
        return json.dumps([{"ID": "ip_1", "Address": address, "Type": "v6"} for address in flags["app"].addresses])

    def do_volumes_list(self, _arguments, flags, _request):
        return json.dumps(flags["app"].volumes)

    def do_volumes_create(self, arguments, flags, _request):
        if "--yes" not in flags:
            raise Refused("Error: yes flag must be specified when not running interactively")
        if "--region" not in flags:
            raise Refused("Error: region code must be specified when not running interactively")
        flags["app"].volumes.append({"id": f"vol_{len(flags['app'].volumes)}", "name": arguments[0], "region": flags["--region"],
                                     "size_gb": int(flags.get("--size", 1)), "encrypted": "--no-encryption" not in flags,
                                     "snapshot_retention": int(flags.get("--snapshot-retention", 5))})
        return f"                  ID: {flags['app'].volumes[-1]['id']}\n"

    def do_proxy(self, arguments, flags, _request):
        local, _, remote = arguments[0].partition(":")
        if remote != "5432":
            raise Refused(f"Error: nobody listens at {flags['app'].name}.internal:{remote}")
        return {"out": f"Proxying local port {local} to remote [{flags['app'].name}.internal]:{remote}\n", "err": "",
                "status": 0, "proxy": self.postgres_port}

    def do_tokens_create_readonly(self, arguments, flags, _request):
        self.of_org(arguments[0] if arguments else flags.get("--org"))
        self.tokens.append({"id": f"token{len(self.tokens)}", "name": flags.get("--name", "Read-only org token"),
                            "seconds": float(flags.get("--expiry", "175200h").removesuffix("h")) * 3600, "revoked": False,
                            "made": time.time()})
        return f"{self.token}\n"

    def do_tokens_list(self, _arguments, flags, _request):
        self.of_org(flags.get("--org"))
        lines = [f'Tokens for organization "{self.org}":', "ID\tNAME\tCREATED BY\tEXPIRES AT\tREVOKED AT"]
        for token in self.tokens:
            expires = utc(token["made"] + token["seconds"] + int(token["id"].removeprefix("token")))
            revoked = utc(time.time()) if token["revoked"] else ""
            lines.append(f"{token['id']}\t{token['name']}\t{self.who}\t{expires}\t{revoked}")
        return "\n".join(lines) + "\n"

    def do_tokens_revoke(self, arguments, _flags, _request):
        for wanted in arguments:
            for token in self.tokens:
                token["revoked"] |= token["id"] == wanted
        return f"{len(arguments)} tokens revoked\n"

    def do_secrets_list(self, _arguments, flags, _request):
        return json.dumps([{"name": name, "digest": "0011223344556677",
                            "status": "Staged" if name in flags["app"].staged else "Deployed"} for name in flags["app"].secrets])

    def do_secrets_import(self, _arguments, flags, request):
        pairs = [line.partition("=") for line in request["stdin"].splitlines() if line.strip() and not line.startswith("#")]
        if not pairs or not all(found for _, found, _ in pairs):
            raise Refused("Error: Failed to parse secrets from stdin: Secrets must be provided as NAME=VALUE pairs")
        app = flags["app"]
        app.secrets.update((name.strip(), value.lstrip(" ")) for name, _, value in pairs)
        app.staged.update(name.strip() for name, _, _ in pairs)
        if "--stage" not in flags and app.machines:
            self.restart(app)
        return "Secrets have been staged, but not set on VMs.\n"

    def do_deploy(self, arguments, flags, request):
        app = flags["app"]
        path = os.path.join(request["cwd"], *arguments[:1], flags.get("--config", "fly.toml"))
        with open(path, "rb") as file:
            config = tomllib.load(file)
        wanted = [mount["source"] for mount in config.get("mounts", ())]
        missing = [name for name in wanted if name not in [volume["name"] for volume in app.volumes]]
        if missing or (wanted and flags.get("--ha") != "false" and len(app.volumes) < 2):
            raise Refused(f"Error: Process group 'app' needs volumes with name '{wanted[0]}' to fulfill mounts defined in fly.toml")
        if "--no-public-ips" not in flags and ("services" in config or "http_service" in config):
            app.addresses.append("2001:db8::50")
        if not app.machines:
            app.machines.append({"id": "5683970eae6308", "region": app.volumes[0]["region"], "state": "started", "checks": []})
        app.env = config.get("env", {})
        self.restart(app)
        return "Visit your newly deployed app\n"

    def restart(self, app):
        if app.runs is not None:
            app.runs.kill()
        app.staged.clear()
        machine = app.machines[0]
        app.runs = self.start(app, {**app.env, **app.secrets, "FLY_APP_NAME": app.name, "FLY_MACHINE_ID": machine["id"],
                                    "FLY_REGION": machine["region"]})

    def do_ssh_console(self, _arguments, flags, _request):
        app = flags["app"]
        if app.runs is None:
            raise Refused(f"Error: app {app.name} has no started VMs.\nIt may be unhealthy or not have been deployed yet.")
        self.session(app)
        words = shlex.split(flags["--command"])
        if words[0] != "flytrail":
            raise Refused("Error: ssh shell: Process exited with status 127")
        status, out = app.runs.command(*words[1:])
        err = f"Error: ssh shell: Process exited with status {status}\n" if status else ""
        return {"out": "Connecting to fdaa:9:1e1e:a7b:4ff:9914:1cd8:2... complete\n" + out, "err": err, "status": min(status, 1)}


def utc(seconds):
    return time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime(seconds))


# ---- the process that a script calls ----

def client():
    words = sys.argv[1:]
    request = {"words": words, "env": dict(os.environ), "cwd": os.getcwd(), "stdin": ""}
    if words[:2] == ["secrets", "import"]:
        request["stdin"] = sys.stdin.read()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "socket"))
        with connection.makefile("rwb") as stream:
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            answer = json.loads(stream.readline(REQUEST_BYTES))
    sys.stdout.write(answer["out"])
    sys.stdout.flush()
    sys.stderr.write(answer["err"])
    if "proxy" in answer:
        carry(int(words[1].partition(":")[0]), answer["proxy"])
    sys.exit(answer["status"])


def carry(port, target):
    """Until it is ended."""
    try:
        lab.Link(target, at_port=port)
    except OSError:
        sys.exit(f"Error: listen tcp 127.0.0.1:{port}: bind: address already in use")
    threading.Event().wait()
