"""deploy/setup.sh: from a Postgres and a login to a session in the trail; against a stand-in for flyctl, whose
machine is a real `flytrail run`, and with a real Postgres that asks for passwords, behind its proxy."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import fly_api  # noqa: E402
import flyctl  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402

SECONDS = 120
ADMIN_PASSWORD = "made-up: of an@administrator/s\\own"
ADMIN_URL = "postgres://postgres:made-up%3A%20of%20an%40administrator%2Fs%5Cown@shop-db.flycast:5432"
TOKEN = "fm2_example" + os.urandom(12).hex()
READERS = ("flytrail_reader", "flytrail_line_reader")
# Whatever setup.sh starts: a wrapper of each notes with which arguments and in which environment.
TOOLS = ("awk", "cat", "cmp", "comm", "dirname", "grep", "mkdir", "mktemp", "mv", "psql", "python3", "rm", "sed", "sleep",
         "sort", "stty", "tail", "tr")
WRAPPER = """#!/bin/sh
{{ printf '%s\\n' "$0" "$@"; /usr/bin/tr '\\0' '\\n' </proc/self/environ; }} >>'{record}'
exec '{real}' "$@"
"""
NO_WRAPPER_FOR_PYTHON = {"python3": sys.executable}  # itself, and no script in front of it
HEX_SECRET = re.compile(r"\b[0-9a-f]{64}\b")
BY_HAND = re.compile(r"^### By hand\n(.*?)^##", re.MULTILINE | re.DOTALL)
# The order of what changes something, which is README's.
CHANGES = ["apps create", "volumes create", "proxy", "tokens create readonly", "secrets import", "deploy", "ssh console"]


def printed_calls(said):
    """Those of flyctl: commands, arguments, flags."""
    return [flyctl.parse(shlex.split(line.replace(" &", " "), comments=True)[1:])
            for line in said.splitlines() if line.startswith("   fly ")]


class Guarded(lab.Postgres):
    """By TCP it wants passwords; tests come by its own socket. Each statement is in its log."""

    def __init__(self):
        super().__init__(settings=["log_statement = 'all'"])

    def start(self):
        super().start()
        with open(os.path.join(self.data, "pg_hba.conf"), "w", encoding="utf-8") as file:
            file.write("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        password = ADMIN_PASSWORD.replace("'", "''")
        self.psql(f"SET log_statement = 'none'; ALTER ROLE postgres PASSWORD '{password}'; SELECT pg_reload_conf()")
        return self

    def url(self, role="postgres", database="postgres"):
        return f"postgres://{role}@/{database}?host={self.folder}&port={self.port}"


class Stream(lab.Nats):
    ORG = ("example-org", TOKEN)


class Stub:
    """A machine whose doctor says what it is told to."""

    def __init__(self, doctor="ok   all of it\n"):
        self.doctor = doctor

    def command(self, *_):
        return 0, self.doctor

    def kill(self):
        pass


class Setups(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pg = cls.enterClassContext(Guarded())
        cls.nats = cls.enterClassContext(Stream())
        cls.api = cls.enterClassContext(fly_api.FlyApi(token=TOKEN, org=Stream.ORG[0]))

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="flytrail setup test-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.record = os.path.join(self.folder, "record")
        self.port = lab.free_port()
        self.shippers, self.flytrails = {}, []
        self.addCleanup(self.end_machines)
        self.fly = self.enterContext(flyctl.Fly(self.start_machine, self.say_session, token=f"FlyV1 {TOKEN}"))
        self.fly.postgres_port = self.pg.port
        self.fly.add_app("shop-db", machine_region="fra").addresses.append("fdaa:9:1e1e:0:1::2")
        self.forget_passwords()
        self.make_tree()

    def make_tree(self):
        """The repository's files that it takes, the program behind a wrapper, and wrappers of all else."""
        self.tree, tools = (os.path.join(self.folder, name) for name in ("tree", "tools"))
        for name in ("tree/deploy", "tree/build", "tools", "home", "tmp"):
            os.makedirs(os.path.join(self.folder, name))
        for name in ("deploy/setup.sh", "deploy/setup_helper.py", "fly.toml"):
            shutil.copy(os.path.join(ROOT, name), os.path.join(self.tree, name))
        for name in TOOLS:
            self.wrap(os.path.join(tools, name), NO_WRAPPER_FOR_PYTHON.get(name) or shutil.which(name))
        self.wrap(os.path.join(self.tree, "build", "flytrail"), flytrail.BINARY)
        self.env = {"PATH": f"{self.fly.path}:{tools}:/usr/bin:/bin", "HOME": os.path.join(self.folder, "home"),
                    "TMPDIR": os.path.join(self.folder, "tmp"), "FLYTRAIL_MACHINES_URL": self.api.url}

    def wrap(self, path, real):
        with open(path, "w", encoding="utf-8") as file:
            file.write(WRAPPER.format(record=self.record, real=real))
        os.chmod(path, 0o755)

    def hurry(self, what):
        """A wait that has to run out, for POSTGRES or the PROOF, is short in this test's copy."""
        path = os.path.join(self.tree, "deploy", "setup.sh")
        with open(path, encoding="utf-8") as file:
            text, count = re.subn(rf"(?m)^{what}_SECONDS=\d+$", f"{what}_SECONDS=2", file.read())
        self.assertEqual(count, 1)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    # ---- Fly's part ----

    def start_machine(self, app, env):
        """What of Fly's network is elsewhere here; all else is as the script left it."""
        url = env["FLYTRAIL_DATABASE_URL"]
        self.assertRegex(url, r"@(shop-db\.flycast|top2\.nearest\.of\.shop-db\.internal):5432/flytrail\?sslmode=disable$")
        env = {**env, "FLYTRAIL_DATABASE_URL": re.sub(r"@[^/]*/", f"@127.0.0.1:{self.pg.port}/", url), "NATS_URL": self.nats.url,
               "FLYTRAIL_API_URL": self.api.url, "FLYTRAIL_MACHINES_URL": self.api.url}
        self.assertEqual(env.pop("FLYTRAIL_LISTEN"), "[::]:8080")
        folder = os.path.join(self.folder, "machine")
        os.makedirs(folder, exist_ok=True)
        ft = flytrail.Flytrail(env, folder)
        self.shippers[app.name] = self.enterContext(flytrail.Shipper(self.nats, ft, env["FLY_REGION"]))
        self.flytrails.append(ft)
        self.api.add_line(app.name, env["FLY_REGION"], env["FLY_MACHINE_ID"], "app", "info", "it boots", time.time_ns())
        return ft.start()

    def say_session(self, app):
        """As the SSH server of its machine does."""
        self.shippers[app.name].publish(
            time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime()) + f" INFO New SSH session email={self.fly.who} verified=true")

    def end_machines(self):
        for ft in self.flytrails:
            ft.kill()

    # ---- the script's ----

    def command(self, *words, app="acme-trail", org="example-org", postgres=("--postgres", "shop-db")):
        return [os.path.join(self.tree, "deploy", "setup.sh"), "--app", app, "--org", org, *postgres, "--port", str(self.port), *words]

    def run_setup(self, *words, text=ADMIN_URL + "\n", **names):
        """(status, all it printed); what is never allowed is looked for."""
        done = subprocess.run(self.command(*words, **names), input=text, env=self.env, timeout=SECONDS, check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        self.check_left_nothing(done.stdout)
        return done.returncode, done.stdout

    def check_left_nothing(self, printed):
        """No secret was printed, an argument, or in an environment; no file and no proxy is left."""
        with open(self.record, encoding="utf-8", errors="replace") as file:
            seen = file.read()
        seen += "".join(f"{call['words']} {call['env']}" for call in self.fly.calls)
        for secret in self.secrets():
            self.assertNotIn(secret, seen)
            self.assertNotIn(secret, printed)
        self.assertNotRegex(seen, HEX_SECRET)
        self.assertNotRegex(printed, HEX_SECRET)
        self.assertEqual(os.listdir(self.env["TMPDIR"]), [])
        lab.wait_for(self.port_is_free, 60, "the proxy to be gone")

    def port_is_free(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0

    def secrets(self):
        """All that this test knows of."""
        found = [ADMIN_PASSWORD, ADMIN_URL, "made-up%3A", TOKEN, *self.readers().values()]
        for app in self.fly.apps.values():
            found += [value for name, value in app.secrets.items() if name != "ORG"]
        return found

    def readers(self):
        """The passwords that were left for people, by role."""
        path = os.path.join(self.env["HOME"], ".config", "flytrail", "acme-trail.pgpass")
        if not os.path.exists(path):
            return {}
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, encoding="utf-8") as file:
            return dict(line.rstrip("\n").split(":")[3:] for line in file)

    def fly_toml(self):
        with open(os.path.join(self.tree, "fly.toml"), "rb") as file:
            return tomllib.load(file)

    def changes(self):
        """What was done that changes something, in order; a proxy that is held open is one."""
        return [command for command in self.fly.commands() if command in CHANGES]

    def check_is_whole(self, printed):
        app = self.fly.apps["acme-trail"]
        self.assertIn("It is: mara.lind@example.com opened a session in acme-trail", printed)
        self.assertEqual(len(app.volumes), 1)
        self.assertEqual(sorted(app.secrets), ["ACCESS_TOKEN", "FLYTRAIL_DATABASE_URL", "FLYTRAIL_HMAC_KEY", "ORG"])
        self.assertEqual(app.staged, set())
        # A token that an ended run had made and could not hand over is no good to anybody.
        self.assertEqual([token["revoked"] for token in self.fly.tokens], [True] * (len(self.fly.tokens) - 1) + [False])

    def forget_passwords(self):
        for role in (*READERS, "flytrail_writer"):
            self.pg.psql(f"DO $$ BEGIN ALTER ROLE {role} PASSWORD NULL; EXCEPTION WHEN undefined_object THEN END $$")


class Whole(Setups):
    def setUp(self):
        super().setUp()
        self.pg.psql("DROP DATABASE IF EXISTS flytrail WITH (FORCE)")
        status, self.first = self.run_setup()
        self.assertEqual(status, 0, self.first)

    def test_all_of_it_twice_and_what_stays_when_it_is_destroyed(self):
        with self.subTest("in README's order"):
            self.assertEqual(self.changes(), CHANGES)
        with self.subTest("it does what it prints"):
            done = [flyctl.parse(call["words"]) for call in self.fly.calls]
            for call in printed_calls(self.first):
                if call[0] in CHANGES:
                    self.assertIn(call, done)
        with self.subTest("the trail has the session by which doctor was asked"):
            self.check_session()
        with self.subTest("what the application has"):
            self.check_application()
        with self.subTest("passwords"):
            self.check_passwords()
        with self.subTest("again"):
            self.check_second_run()
        with self.subTest("destroyed"):
            self.check_destroyed()

    def check_session(self):
        rows = self.pg.psql("SELECT app, machine_id, actor, verified FROM flytrail.ssh_sessions", database="flytrail")
        self.assertEqual(rows, [["acme-trail", "5683970eae6308", "mara.lind@example.com", "t"]])
        self.assertIn("It is: mara.lind@example.com opened a session in acme-trail", self.first)
        self.assertRegex(self.first, r"(?m)^   ok   schema: ")

    def check_application(self):
        app = self.fly.apps["acme-trail"]
        self.assertEqual(sorted(app.secrets), ["ACCESS_TOKEN", "FLYTRAIL_DATABASE_URL", "FLYTRAIL_HMAC_KEY", "ORG"])
        self.assertEqual((app.secrets["ORG"], app.secrets["ACCESS_TOKEN"]), ("example-org", f"FlyV1 {TOKEN}"))
        self.assertRegex(app.secrets["FLYTRAIL_HMAC_KEY"], HEX_SECRET)
        self.assertIn("@shop-db.flycast:5432/", app.secrets["FLYTRAIL_DATABASE_URL"])
        mount, = self.fly_toml()["mounts"]
        volume, = app.volumes
        self.assertEqual((volume["region"], volume["snapshot_retention"], f"{volume['size_gb']}gb", volume["encrypted"]),
                         ("fra", mount["snapshot_retention"], mount["initial_size"], True))
        self.assertEqual((self.fly_toml()["app"], self.fly_toml()["primary_region"]), ("acme-trail", "fra"))
        self.assertEqual(app.addresses, [])
        token, = self.fly.tokens
        self.assertEqual((token["name"], token["seconds"], token["revoked"]), ("flytrail-acme-trail", 365 * 24 * 3600, False))

    def check_passwords(self):
        """Each works, and the server has seen none of them."""
        url = self.fly.apps["acme-trail"].secrets["FLYTRAIL_DATABASE_URL"]
        passwords = {"flytrail_writer": re.search(r":([^:@]+)@", url)[1], **self.readers()}
        self.assertEqual(sorted(passwords), sorted([*READERS, "flytrail_writer"]))
        for role, password in passwords.items():
            self.assertRegex(password, HEX_SECRET)
            for given, status in ((password, 0), (password[:-1] + "g", 2)):
                done = subprocess.run(["psql", "-X", "-c", "SELECT 1", f"postgres://{role}@127.0.0.1:{self.pg.port}/flytrail"],
                                      env={**os.environ, "PGPASSWORD": given}, capture_output=True, check=False)
                self.assertEqual(done.returncode, status, done.stderr)
            self.assertNotIn(password, self.pg.log())
        self.assertIn("ALTER ROLE flytrail_writer PASSWORD 'SCRAM-SHA-256$", self.pg.log())

    def check_second_run(self):
        before = (dict(self.fly.apps["acme-trail"].secrets), self.readers())
        machine = self.fly.apps["acme-trail"].runs
        self.fly.calls.clear()
        status, said = self.run_setup()
        self.assertEqual(status, 0, said)
        self.assertEqual(self.changes(), ["proxy", "ssh console"])
        self.assertEqual((self.fly.apps["acme-trail"].secrets, self.readers()), before)
        self.assertIs(self.fly.apps["acme-trail"].runs, machine)
        self.assertEqual(said.count("There already: "), 7)
        self.assertNotIn("Note: ", said)
        self.assertEqual(self.pg.psql("SELECT count(*) FROM flytrail.ssh_sessions", database="flytrail"), [["2"]])

    def check_destroyed(self):
        status, said = self.run_setup("--destroy", text="acme\n", postgres=())
        self.assertEqual((status, "nothing was destroyed" in said), (1, True), said)
        self.assertIn("acme-trail", self.fly.apps)
        status, said = self.run_setup("--destroy", text="acme-trail\n", postgres=())
        self.assertEqual(status, 0, said)
        self.assertIn("What stays: database flytrail", said)
        self.assertEqual(sorted(self.fly.apps), ["shop-db"])
        self.assertEqual([token["revoked"] for token in self.fly.tokens], [True])
        self.assertEqual(self.fly_toml()["app"], "YOUR-FLYTRAIL")
        self.assertEqual(self.pg.psql("SELECT count(*) FROM flytrail.ssh_sessions", database="flytrail"), [["2"]])
        self.assertEqual(sorted(self.readers()), sorted(READERS))
        status, said = self.run_setup("--destroy", text="acme-trail\n", postgres=())
        self.assertEqual((status, "no application acme-trail" in said), (0, True), said)


class DryRun(Setups):
    def test_it_prints_what_readme_says_and_asks_nobody(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
            section = BY_HAND.search(file.read())[1]
        expected, fenced = [], False
        for line in section.splitlines():
            if line.strip().startswith("```"):
                fenced = not fenced
            elif fenced:
                expected.append(line)
            elif title := re.match(r"(\d+\. )\*\*(.+?)\.\*\*", line):
                expected.append(title[1] + title[2])
        self.assertGreater(len(expected), 20)
        self.port = 15432
        status, said = self.run_setup("--dry-run", app="YOUR-FLYTRAIL", org="YOUR-ORG", postgres=("--postgres", "YOUR-PG-APP"), text="")
        self.assertEqual((status, said.splitlines()), (0, expected))
        self.assertEqual((self.fly.calls, self.fly_toml()["app"]), ([], "YOUR-FLYTRAIL"))

    def test_it_is_found_by_a_shell_that_looks_for_folders_elsewhere_first(self):
        done = subprocess.run(["deploy/setup.sh", *self.command("--dry-run")[1:]], env={**self.env, "CDPATH": self.tree}, cwd=self.tree,
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_it_names_the_commands_that_a_run_calls_in_their_order(self):
        said = self.run_setup("--dry-run", text="")[1]
        named = [re.search("|".join(CHANGES), line) for line in said.splitlines() if line.startswith("   fly ")]
        self.assertEqual([found[0] for found in named if found], CHANGES)
        self.assertGreaterEqual(len(printed_calls(said)), len(CHANGES))

    def test_the_stand_in_refuses_what_flyctl_refuses(self):
        for words, refusal in (("frobnicate", "unknown command"), ("deploy --no-public-ip", "unknown flag"),
                               ("volumes create -a shop-db", "received 0"), ("volumes create spool -a shop-db", "yes flag"),
                               ("volumes create spool --yes -a shop-db", "region code"), ("secrets list -a nobodys", "Could not find"),
                               ("deploy --no-public-ips --ha=false -a shop-db", "needs volumes"), ("tokens revoke", "received 0"),
                               ("ssh console -a shop-db -C true", "no started VMs"), ("proxy 1:5433 -a shop-db", "nobody listens")):
            done = subprocess.run(["fly", *words.split()], env=self.env, cwd=ROOT, capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, refusal in done.stderr), (1, True), done.stderr)

    def test_what_is_no_call_of_it_is_told_how_to_call(self):
        for words in (["--app", "x"], ["--app", "x", "--org", "y"], ["--help"], ["--app"],
                      ["--app", "X'Y", "--org", "y", "--postgres", "z"], ["--app", "x", "--org", "y", "--postgres", "z", "--port", "a"]):
            done = subprocess.run([os.path.join(self.tree, "deploy", "setup.sh"), *words], env=self.env, capture_output=True,
                                  text=True, check=False)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn("usage: deploy/setup.sh --app NAME", done.stderr)


class Failures(Setups):
    """Each is one clear sentence, and running it again goes on."""

    def setUp(self):
        super().setUp()
        self.hurry("PROOF")
        self.fly.start = lambda app, env: Stub()
        self.fly.session = lambda app: None

    def check_fails(self, sentence, **options):
        status, said = self.run_setup(**options)
        self.assertEqual(status, 1, said)
        self.assertRegex(said, r"(?m)^setup: .*" + sentence)
        self.assertIn("Run the same again", said)
        return said

    def test_nobody_is_logged_in(self):
        self.fly.who = None
        self.check_fails("not logged in: run `fly auth login`")

    def test_there_is_no_flyctl(self):
        os.remove(os.path.join(self.fly.path, "fly"))
        status, said = self.run_setup()
        self.assertEqual((status, "setup: flyctl is not installed" in said), (1, True), said)

    def test_the_name_is_somebodys(self):
        self.check_fails("names of applications are global on Fly", app="flytrail")
        self.assertEqual(self.fly_toml()["app"], "YOUR-FLYTRAIL")

    def test_there_is_no_such_postgres(self):
        self.check_fails("no application shop-pg", postgres=("--postgres", "shop-pg"))
        self.assertEqual(self.changes(), [])

    def test_the_application_has_another_purpose(self):
        """It would be deployed over."""
        for state in ("started", "stopped"):
            self.fly.add_app("shop", machine_region="fra").machines[0]["state"] = state
            self.check_fails("application shop has machines and no volume spool", app="shop")
        self.assertEqual((self.changes(), self.fly_toml()["app"]), ([], "YOUR-FLYTRAIL"))

    def test_what_the_environment_says_to_psql_leads_to_no_other_server(self):
        self.env.update(PGHOSTADDR="127.0.0.9", PGSSLMODE="require", PGOPTIONS="-c default_transaction_read_only=on")
        self.check_fails("the SSH session of mara.lind@example.com is not in")

    def test_the_organisation_is_not_to_be_seen(self):
        self.check_fails("not known which applications other-org has", org="other-org")

    def test_postgres_has_no_machine_that_runs(self):
        self.fly.apps["shop-db"].machines[0]["state"] = "stopped"
        self.check_fails("shop-db has no machine that runs")

    def test_the_url_is_none(self):
        self.check_fails("no postgres://USER:PASSWORD@", text="shop-db.flycast\n")

    def test_no_url_is_given(self):
        self.check_fails("no postgres://USER:PASSWORD@", text="")

    def test_the_password_is_wrong(self):
        self.check_fails("Postgres refuses that user and password", text=ADMIN_URL.replace("made-up", "wrong") + "\n")

    def test_the_administrator_is_none(self):
        self.pg.psql("DROP ROLE IF EXISTS half; CREATE ROLE half LOGIN CREATEDB CREATEROLE PASSWORD 'of-half'")
        self.check_fails("half is no superuser there", text="postgres://half:of-half@shop-db.flycast:5432\n")

    def test_the_port_is_taken(self):
        with socket.create_server(("127.0.0.1", self.port)) as taken:
            said = subprocess.run(self.command(), input=ADMIN_URL + "\n", env=self.env, text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
            taken.settimeout(0)
            self.assertRegex(said, f"port {self.port} of this machine is taken")
            with self.assertRaises(BlockingIOError):  # nobody came, so nobody was told the password
                taken.accept()

    def test_the_proxy_ends(self):
        self.fly.refuse("proxy", "Error: tunnel unavailable")
        self.assertIn("tunnel unavailable", self.check_fails("`fly proxy` to shop-db ended"))

    def test_no_postgres_answers(self):
        self.hurry("POSTGRES")
        self.fly.postgres_port = lab.free_port()
        self.check_fails("no Postgres answers by `fly proxy`")

    def test_the_application_has_a_public_address(self):
        def start(app, env):
            app.addresses.append("2001:db8::50")
            return Stub()

        self.fly.start = start
        self.check_fails("has a public address, which it does not need: fly ips release 2001:db8::50")

    def test_doctor_finds_something_wrong(self):
        self.fly.start = lambda app, env: Stub("ok   configuration\nFAIL nats: nobody is there\n")
        self.assertIn("FAIL nats: nobody is there", self.check_fails("doctor found something wrong"))

    def test_doctor_cannot_be_asked(self):
        self.fly.refuse("ssh console", "Error: ssh: no route to host")
        self.check_fails("`flytrail doctor` did not run in acme-trail")

    def test_the_session_is_not_in_the_trail(self):
        self.check_fails("the SSH session of mara.lind@example.com is not in flytrail.ssh_sessions after 2 s")

    def test_fly_toml_is_of_another_application(self):
        """As it was written, and as flyctl writes it."""
        path = os.path.join(self.tree, "fly.toml")
        with open(path, encoding="utf-8") as file:
            text = file.read().replace("YOUR-FLYTRAIL", "other-trail")
        for text in (text, text.replace('"', "'")):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            status, said = self.run_setup()
            self.assertEqual((status, "fly.toml here is of application other-trail" in said), (1, True), said)
        self.assertEqual(self.fly.calls, [])

    def test_fly_toml_was_written_by_flyctl(self):
        path = os.path.join(self.tree, "fly.toml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace('"', "'"))
        self.fly.refuse("volumes create", "Error: no room")
        self.check_fails("no volume was made in fra")
        self.assertEqual((self.fly_toml()["app"], self.fly_toml()["primary_region"]), ("acme-trail", "fra"))
        asked, = [call["words"] for call in self.fly.calls if call["words"][:2] == ["volumes", "create"]]
        self.assertEqual(asked[asked.index("--size") + 1], "3")


class GoesOn(Setups):
    """After whatever ended it, the next run makes what is missing, and nothing twice."""

    def test_flyctl_refuses_each_step(self):
        for command, sentence in (("apps create", "application acme-trail was not made"),
                                  ("volumes create", "no volume was made in fra"), ("tokens create readonly", "no token was made"),
                                  ("secrets import", "did not get its secrets"), ("deploy", "was not deployed"),
                                  ("ips list", "failed, so it is not known which addresses"), ("tokens list", "`fly tokens list` failed")):
            with self.subTest(command):
                self.fly.refuse(command, "Error: some words of Fly's")
                status, said = self.run_setup()
                self.assertEqual(status, 1, said)
                self.assertIn("some words of Fly's", said)
                self.assertRegex(said, r"(?m)^setup: .*" + sentence)
                self.assertIn("Run the same again", said)
        status, said = self.run_setup()
        self.assertEqual(status, 0, said)
        self.assertGreater(len(self.fly.tokens), 1)
        self.check_is_whole(said)

    def test_a_secret_that_was_taken_away_is_made_anew_and_deployed(self):
        self.assertEqual(self.run_setup()[0], 0)
        app = self.fly.apps["acme-trail"]
        before = dict(app.secrets)
        del app.secrets["ACCESS_TOKEN"], app.secrets["FLYTRAIL_DATABASE_URL"]
        self.fly.calls.clear()
        status, said = self.run_setup()
        self.assertEqual(status, 0, said)
        self.check_is_whole(said)
        self.assertEqual(self.changes(), ["proxy", "tokens create readonly", "secrets import", "deploy", "ssh console"])
        self.assertIn("Note: flytrail_writer gets a new password", said)
        self.assertNotEqual(app.secrets["FLYTRAIL_DATABASE_URL"], before["FLYTRAIL_DATABASE_URL"])
        self.assertEqual(app.secrets["FLYTRAIL_HMAC_KEY"], before["FLYTRAIL_HMAC_KEY"])


class Circumstances(Setups):
    def test_what_personal_stands_for_is_asked_with_the_token(self):
        self.fly.org = self.fly.apps["shop-db"].org = "personal"
        status, said = self.run_setup(org="personal")
        self.assertEqual(status, 0, said)
        self.assertEqual(self.fly.apps["acme-trail"].secrets["ORG"], "example-org")

    def test_where_fly_does_not_say_it_the_slug_has_to_be_given(self):
        self.fly.org = self.fly.apps["shop-db"].org = "personal"
        self.env["FLYTRAIL_MACHINES_URL"] = "http://127.0.0.1:1"
        status, said = self.run_setup(org="personal")
        self.assertEqual(status, 1, said)
        self.assertIn("Fly does not say what personal stands for", said)
        self.assertNotIn("secrets import", self.fly.commands())

    def test_a_database_without_flycast_and_with_a_public_address(self):
        self.fly.apps["shop-db"].addresses[:] = ["2001:db8::51"]
        status, said = self.run_setup()
        self.assertEqual(status, 0, said)
        self.assertIn("@top2.nearest.of.shop-db.internal:5432/", self.fly.apps["acme-trail"].secrets["FLYTRAIL_DATABASE_URL"])
        self.assertIn("Note: shop-db has a public address, 2001:db8::51 at which anybody can try passwords", said)

    def test_an_earlier_session_and_somebody_elses_prove_nothing(self):
        self.assertEqual(self.run_setup()[0], 0)
        self.hurry("PROOF")
        self.fly.session = lambda app: self.shippers[app.name].publish(
            time.strftime("%Y/%m/%d %H:%M:%S INFO New SSH session email=jonas.vik@example.com verified=true", time.gmtime()))
        status, said = self.run_setup()
        self.assertEqual(status, 1, said)
        self.assertIn("the SSH session of mara.lind@example.com is not in flytrail.ssh_sessions", said)
        lab.wait_for(lambda: self.pg.psql("SELECT 1 FROM flytrail.ssh_sessions WHERE actor = 'jonas.vik@example.com'",
                                          database="flytrail"), 60, "the other session, which did come")

    def test_readers_that_have_passwords_keep_them(self):
        self.assertEqual(self.run_setup()[0], 0)
        os.remove(os.path.join(self.env["HOME"], ".config", "flytrail", "acme-trail.pgpass"))
        status, said = self.run_setup()
        self.assertEqual(status, 0, said)
        self.assertIn("the password of flytrail_reader is not in", said)
        self.assertEqual(self.readers(), {})


if __name__ == "__main__":
    unittest.main()
