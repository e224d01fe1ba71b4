"""The commands that a person calls: config, doctor, help, version; and their exit statuses."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import fly_api  # noqa: E402
import lab  # noqa: E402

FLYTRAIL = os.path.join(ROOT, "build", "flytrail")
MARK = "MADE-UP-SECRET"


def flytrail(*words, timeout=lab.ENDED_SECONDS, **env):
    """Runs it with this environment and no other; returns status, stdout, stderr."""
    done = subprocess.run([FLYTRAIL, *words], env=env, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=timeout, check=False)
    return done.returncode, done.stdout, done.stderr


class Usage(unittest.TestCase):
    def test_alone_it_helps(self):
        status, out, err = flytrail()
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(out, flytrail("help")[1])

    def test_help_names_every_command_and_option(self):
        out = flytrail("help")[1]
        for name in ("run", "classify", "migrate", "doctor", "spool", "config", "version", "help"):
            self.assertRegex(out, rf"(?m)^  {name}(?: |$)")
        options = re.findall(r"(?m)^(\w+)=", flytrail("config")[1])
        self.assertGreater(len(options), 15)
        for name in options:
            self.assertRegex(out, rf"(?m)^  {name}(?: |$)")
        self.assertLessEqual(max(map(len, out.splitlines())), 100)

    def test_the_usual_options_for_help_and_version_are_understood(self):
        for words in (["--help"], ["-h"], ["run", "--help"], ["classify", "-h"], ["doctor", "--help"]):
            self.assertEqual(flytrail(*words), flytrail("help"), words)
        self.assertEqual(flytrail("--version"), flytrail("version"))

    def test_an_unknown_command_is_exit_2(self):
        status, out, err = flytrail("frobnicate")
        self.assertEqual((status, out), (2, ""))
        self.assertIn("flytrail help", err)

    def test_arguments_that_nobody_asked_for_are_exit_2(self):
        for command in ("config", "doctor", "version"):
            self.assertEqual(flytrail(command, "--now")[0], 2, command)

    def test_version_names_itself_the_schema_and_the_libraries(self):
        status, out, _ = flytrail("version")
        self.assertEqual(status, 0)
        for line in (r"flytrail \d+\.\d+\.\d+", r"schema \d+", r"nats\.c \d", r"libpq \d",
                     r"libcurl \d", r"libcrypto 3", r"cJSON \d", r"PCRE2 \d", r"zlib \d", r"ISA-L 2", r"libexpat \d",
                     r"libmicrohttpd \d"):
            self.assertRegex(out, rf"(?m)^{line}")


class Config(unittest.TestCase):
    GOOD = {"ORG": "acme", "ACCESS_TOKEN": f"FlyV1 {MARK}",
            "FLYTRAIL_DATABASE_URL": f"postgres://w:{MARK}@127.0.0.1/x",
            "FLYTRAIL_ADMIN_DATABASE_URL": f"postgres://a:{MARK}@127.0.0.1/x"}

    def test_secrets_are_masked(self):
        status, out, err = flytrail("config", **self.GOOD)
        self.assertEqual(status, 0)
        self.assertNotIn(MARK, out + err)
        for name in ("ACCESS_TOKEN", "FLYTRAIL_DATABASE_URL", "FLYTRAIL_ADMIN_DATABASE_URL"):
            self.assertIn(f"{name}=***\n", out)
        self.assertIn("ORG=acme\n", out)

    def test_all_that_is_wrong_is_listed_at_once(self):
        bad = {"FLYTRAIL_DRAIN_SECONDS": MARK, "FLYTRAIL_LISTEN": MARK, "NATS_URL": MARK,
               "FLYTRAIL_SPOOL_MAX_BYTES": MARK, "FLYTRAIL_WRITER": MARK, "FLYTRAIL_X": MARK}
        for command, form in (("config", "(bad|unknown): "), ("doctor", "FAIL configuration: ")):
            status, out, err = flytrail(command, **self.GOOD, **bad)
            self.assertEqual(status, 2)
            self.assertNotIn(MARK, out + err)
            for name in bad:
                self.assertRegex(out + err, rf"(?m)^{form}{name}: ")

    def test_what_would_never_work_is_bad_for_every_command(self):
        bad = {"NATS_URL": f"nats://{MARK}:abc", "SUBJECT": f"logs..{MARK}", "NETWORK": "fdaa:::",
               "FLYTRAIL_DATABASE_URL": f"postgres://w:{MARK}@PW/x@127.0.0.1:1/db",
               "FLYTRAIL_ADMIN_DATABASE_URL": f"x {MARK}"}
        for command in ("config", "doctor", "run", "migrate"):
            status, out, err = flytrail(command, **{**self.GOOD, **bad})
            self.assertEqual(status, 2, command)
            self.assertNotIn(MARK, out + err)
            self.assertNotIn("PW", out + err)
            for name in bad:
                self.assertIn(f"{name}: ", out + err, command)

    def test_an_unknown_name_does_not_keep_migrate_from_its_work(self):
        url = f"postgres://a:{MARK}@127.0.0.1:{lab.free_port()}/x"
        status, _, err = flytrail("migrate", FLYTRAIL_XYZ="1", FLYTRAIL_ADMIN_DATABASE_URL=url)
        self.assertEqual(status, 1)
        self.assertIn("unknown: FLYTRAIL_XYZ: ", err)
        self.assertIn("refused", err)

    def test_what_is_missing_is_bad(self):
        status, _, err = flytrail("config")
        self.assertEqual(status, 2)
        for name in ("ORG", "ACCESS_TOKEN", "FLYTRAIL_DATABASE_URL"):
            self.assertIn(f"bad: {name}: is not set", err)

    def test_the_shippers_queue_is_a_warning(self):
        status, _, err = flytrail("config", QUEUE="org-logs", **self.GOOD)
        self.assertEqual(status, 0)
        self.assertIn("warning: QUEUE: is not honoured", err)

    def test_credentials_in_the_address_are_refused_and_not_shown(self):
        status, out, err = flytrail("config", NATS_URL=f"nats://u:{MARK}@127.0.0.1:1", **self.GOOD)
        self.assertEqual(status, 2)
        self.assertNotIn(MARK, out + err)


class Doctor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pg = lab.Postgres().start()
        cls.addClassCleanup(cls.pg.close)
        cls.nats = lab.Nats().start()
        cls.addClassCleanup(cls.nats.close)
        cls.api = fly_api.FlyApi(token=cls.nats.ORG[1], org=cls.nats.ORG[0]).start()
        cls.addClassCleanup(cls.api.close)
        cls.api.add_app("web-1")
        cls.folder = tempfile.mkdtemp(prefix="flytrail-doctor-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        status, out, err = flytrail("migrate", FLYTRAIL_ADMIN_DATABASE_URL=cls.pg.url())
        assert status == 0, out + err

    def doctor(self, **changes):
        env = {"ORG": self.nats.ORG[0], "ACCESS_TOKEN": f"FlyV1 {self.nats.ORG[1]}",
               "NATS_URL": self.nats.url, "FLYTRAIL_API_URL": self.api.url,
               "FLYTRAIL_MACHINES_URL": self.api.url, "FLYTRAIL_SPOOL_DIR": f"{self.folder}/spool",
               "FLYTRAIL_DATABASE_URL": self.pg.url("flytrail_writer"), **changes}
        status, out, err = flytrail("doctor", **env)
        self.assertEqual(err, "")
        for line in out.splitlines():
            self.assertRegex(line, r"^(ok  |warn|FAIL) [a-z0-9]+: ")
        return status, out

    def assert_fails(self, pattern, **changes):
        status, out = self.doctor(**changes)
        self.assertEqual(status, 1, out)
        self.assertRegex(out, rf"(?m)^FAIL {pattern}")
        return out

    def test_all_is_well(self):
        status, out = self.doctor()
        self.assertEqual(status, 0, out)
        for part in ("configuration", "nats", "api", "postgres", "schema", "rights", "clock"):
            self.assertRegex(out, rf"(?m)^ok   {part}: ", out)
        self.assertRegex(out, r"(?m)^(ok  |warn) spool: ")
        self.assertNotIn("FAIL", out)
        self.assertFalse(os.path.exists(f"{self.folder}/spool"), "doctor makes nothing")

    def test_the_admins_url_does_not_belong_here(self):
        _, out = self.doctor(FLYTRAIL_ADMIN_DATABASE_URL=self.pg.url())
        self.assertRegex(out, "(?m)^warn configuration: FLYTRAIL_ADMIN_DATABASE_URL")

    # NATS

    def test_a_wrong_token(self):
        out = self.assert_fails("nats: .*ACCESS_TOKEN", ACCESS_TOKEN=MARK)
        self.assertNotIn(MARK, out)

    def test_nobody_listens_there(self):
        self.assert_fails("nats: .*Connection refused",
                          NATS_URL=f"nats://127.0.0.1:{lab.free_port()}")

    def test_a_name_that_does_not_resolve(self):
        self.assert_fails("nats: DNS: ", NATS_URL="nats://nowhere.invalid:4222")

    def test_a_server_that_says_nothing(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            self.assert_fails("nats: ", NATS_URL=f"nats://127.0.0.1:{silent.getsockname()[1]}")

    # The HTTP logs API

    def test_an_api_that_is_away_costs_the_stream_only_its_gaps(self):
        status, out = self.doctor(FLYTRAIL_API_URL=f"http://127.0.0.1:{lab.free_port()}")
        self.assertEqual(status, 0, out)
        self.assertRegex(out, "(?m)^warn api: logs of web-1: GET /api/v1/apps/web-1/logs: .*gaps")

    def test_an_api_that_is_away_is_all_that_there_is_without_the_stream(self):
        out = self.assert_fails("api: list of applications: .*FLYTRAIL_MACHINES_URL",
                                FLYTRAIL_SOURCE="http",
                                FLYTRAIL_MACHINES_URL=f"http://127.0.0.1:{lab.free_port()}")
        self.assertNotIn(" nats: ", out)

    def test_without_the_stream_the_api_is_enough(self):
        status, out = self.doctor(FLYTRAIL_SOURCE="http",
                                  NATS_URL=f"nats://127.0.0.1:{lab.free_port()}")
        self.assertEqual(status, 0, out)
        self.assertRegex(out, f"(?m)^ok   api: 1 applications of {self.nats.ORG[0]}, ")
        self.assertNotIn(" nats: ", out)

    def test_a_token_that_the_api_refuses(self):
        out = self.assert_fails("api: .*status 401.*ACCESS_TOKEN", FLYTRAIL_SOURCE="http",
                                ACCESS_TOKEN=MARK)
        self.assertNotIn(MARK, out)

    def test_an_organisation_that_the_api_does_not_know(self):
        self.assert_fails("api: .*check ORG", FLYTRAIL_SOURCE="http", ORG="nobodys")

    def test_a_certificate_that_nobody_signed(self):
        with fly_api.FlyApi(token=self.nats.ORG[1], org=self.nats.ORG[0], tls=True) as api:
            self.assert_fails("api: .*the certificate does not verify", FLYTRAIL_SOURCE="http",
                              FLYTRAIL_API_URL=api.url, FLYTRAIL_MACHINES_URL=api.url)
            self.assertEqual(list(api.requests), [])

    # The heartbeat

    def test_where_the_heartbeat_comes_back_is_told(self):
        status, out = self.doctor(FLY_APP_NAME="flytrail", FLY_MACHINE_ID="e28650f1ab34d8")
        self.assertEqual(status, 0, out)
        self.assertRegex(out, r"(?m)^ok   heartbeat: every 30 s, .* logs\.flytrail\.\*\.e28650f1ab34d8$")

    def test_without_a_heartbeat_what_is_lost_is_told(self):
        for changes in ({}, {"FLY_APP_NAME": "flytrail"},
                        {"FLY_APP_NAME": "flytrail", "FLY_MACHINE_ID": "m", "FLYTRAIL_HEARTBEAT_SECONDS": "0"}):
            status, out = self.doctor(**changes)
            self.assertEqual(status, 0, out)
            self.assertRegex(out, r"(?m)^warn heartbeat: .* connected and brings nothing is not noticed")

    def test_http_has_no_heartbeat(self):
        with fly_api.FlyApi() as api:
            api.add_line("web-1", "ams", "0e286551c30586", "app", "info", "hello", time.time_ns())
            _, out = self.doctor(FLYTRAIL_SOURCE="http", FLYTRAIL_API_URL=api.url, FLYTRAIL_MACHINES_URL=api.url,
                                 FLY_APP_NAME="flytrail", FLY_MACHINE_ID="e28650f1ab34d8")
        self.assertRegex(out, "(?m)^(ok  |FAIL|warn) api: ")
        self.assertNotIn("heartbeat", out)

    # Postgres

    def test_postgres_is_not_there(self):
        url = f"postgres://w:{MARK}@127.0.0.1:{lab.free_port()}/x"
        out = self.assert_fails("postgres: .*refused", FLYTRAIL_DATABASE_URL=url)
        self.assertNotIn(MARK, out)

    def test_a_connection_string_that_is_none(self):
        for url in (f"{MARK}", f"postgres://w:{MARK}@[::1", f"host=x password='{MARK}",
                    f"postgres://w@127.0.0.1/x?{MARK}=1"):
            status, out = self.doctor(FLYTRAIL_DATABASE_URL=url)
            self.assertEqual(status, 2)
            self.assertRegex(out, "(?m)^FAIL configuration: FLYTRAIL_DATABASE_URL: ")
            self.assertRegex(out, "(?m)^warn postgres: not checked")
            self.assertNotIn(MARK, out)

    def test_what_can_be_checked_is_checked_whatever_else_is_wrong(self):
        status, out = self.doctor(FLYTRAIL_XYZ="1")
        self.assertEqual(status, 2)
        self.assertRegex(out, "(?m)^FAIL configuration: FLYTRAIL_XYZ: ")
        for part in ("nats", "postgres", "schema", "rights", "clock"):
            self.assertRegex(out, rf"(?m)^ok   {part}: ")
        status, out = self.doctor(ORG="", FLYTRAIL_SPOOL_DIR="spool")
        self.assertEqual(status, 2)
        self.assertRegex(out, "(?m)^warn nats: not checked, because ORG ")
        self.assertRegex(out, "(?m)^ok   postgres: ")
        self.assertRegex(out, "(?m)^warn spool: not checked, because FLYTRAIL_SPOOL_DIR ")

    def test_a_role_that_does_not_exist(self):
        self.assert_fails("postgres: .*nobody", FLYTRAIL_DATABASE_URL=self.pg.url("nobody"))

    def test_a_postgres_that_does_not_answer(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            self.assert_fails("postgres: ",
                              FLYTRAIL_DATABASE_URL=f"postgres://w@127.0.0.1:{port}/x")

    def test_a_database_without_the_schema(self):
        self.pg.psql("CREATE DATABASE bare")
        self.assert_fails("schema: .*flytrail migrate",
                          FLYTRAIL_DATABASE_URL=self.pg.url("flytrail_writer", "bare"))

    def test_a_database_that_takes_no_writes(self):
        self.pg.psql("ALTER ROLE flytrail_writer SET default_transaction_read_only = on")
        try:
            self.assert_fails("postgres: .*(no writes|read-only)")
        finally:
            self.pg.psql("ALTER ROLE flytrail_writer RESET default_transaction_read_only")

    def test_a_superuser_is_too_much(self):
        status, out = self.doctor(FLYTRAIL_DATABASE_URL=self.pg.url())
        self.assertRegex(out, "(?m)^warn rights: .*superuser")
        self.assertEqual(status, 0, out)

    def test_rights_beyond_need_are_told(self):
        self.pg.psql("""
            CREATE ROLE greedy LOGIN CREATEROLE CREATEDB IN ROLE flytrail_writer;
            GRANT DELETE ON flytrail.log_lines TO greedy""")
        _, out = self.doctor(FLYTRAIL_DATABASE_URL=self.pg.url("greedy"))
        self.assertRegex(out, "(?m)^warn rights: greedy has CREATEROLE CREATEDB")
        self.assertRegex(out, "(?m)^warn rights: greedy may .*DELETE")
        self.pg.psql("CREATE ROLE heir LOGIN IN ROLE flytrail_owner")
        _, out = self.doctor(FLYTRAIL_DATABASE_URL=self.pg.url("heir"))
        self.assertRegex(out, "(?m)^warn rights: heir owns")

    def test_a_role_that_may_only_read(self):
        out = self.assert_fails("rights: flytrail_reader may not read .*writer's role",
                                FLYTRAIL_DATABASE_URL=self.pg.url("flytrail_reader"))
        self.assertNotIn("permission denied", out)

    # The port

    def test_an_address_that_is_not_this_machines(self):
        self.assert_fails("listen: FLYTRAIL_LISTEN: cannot listen on 192.0.2.1:8080: ",
                          FLYTRAIL_LISTEN="192.0.2.1:8080")

    def test_a_port_that_is_taken_may_be_the_one_that_runs(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            address = f"127.0.0.1:{other.getsockname()[1]}"
            status, out = self.doctor(FLYTRAIL_LISTEN=address)
        self.assertEqual(status, 0, out)
        self.assertRegex(out, f"(?m)^warn listen: {address} is taken; ")

    # The spool

    def spool_with_rows(self, name):
        """A spool whose three lines Postgres has; doctor's changes for it, and the stream's id."""
        changes = {"FLYTRAIL_SPOOL_DIR": f"{self.folder}/{name}"}
        path = f"{self.folder}/{name}.txt"
        with open(path, "w", encoding="ascii") as lines:
            lines.writelines(f"{name} line {i}\n" for i in range(3))
        before = {row[0] for row in self.pg.psql("SELECT stream FROM flytrail.streams")}
        status, _, err = flytrail("run", path, **changes,
                                  FLYTRAIL_DATABASE_URL=self.pg.url("flytrail_writer"))
        self.assertEqual(status, 0, err)
        stream, = {row[0] for row in self.pg.psql("SELECT stream FROM flytrail.streams")} - before
        return changes, stream

    def test_how_far_a_spool_is_stored_is_told(self):
        changes, stream = self.spool_with_rows("stored")
        before = sorted(os.listdir(f"{self.folder}/stored"))
        status, out = self.doctor(**changes)
        self.assertEqual(status, 0, out)
        told = re.search(rf"(?m)^ok   spool: stream {stream}, of which Postgres has (\d+) of (\d+) records$",
                         out)
        self.assertTrue(told, out)
        self.assertEqual(told[1], told[2])
        self.assertEqual(sorted(os.listdir(f"{self.folder}/stored")), before)

    def test_a_volume_that_another_machine_has_adopted(self):
        changes, stream = self.spool_with_rows("adopted")
        self.pg.psql(f"UPDATE flytrail.streams SET epoch = 2 WHERE stream = '{stream}'")
        self.assert_fails(f"spool: stream {stream} has epoch 1 here and 2 in Postgres: .*copied or "
                          "restored.*empty FLYTRAIL_SPOOL_DIR", **changes)

    def test_a_volume_that_is_older_than_what_postgres_has(self):
        changes, stream = self.spool_with_rows("restored")
        self.pg.psql(f"UPDATE flytrail.streams SET cursor_seq = 900 WHERE stream = '{stream}'")
        self.assert_fails(f"spool: stream {stream} ends at record \\d+ here, and Postgres has it up to "
                          "900: .*copied or restored", **changes)
        with open(f"{self.folder}/restored/store-foreign", "w", encoding="ascii"):
            pass
        self.pg.psql(f"UPDATE flytrail.streams SET cursor_seq = 1 WHERE stream = '{stream}'")
        self.assert_fails("spool: the file store-foreign .*copied or restored", **changes)

    def test_a_folder_that_is_no_spool(self):
        os.makedirs(f"{self.folder}/other")
        with open(f"{self.folder}/other/stream", "wb") as file:
            file.write(b"x" * 100)
        self.assert_fails("spool: .*fails its check", FLYTRAIL_SPOOL_DIR=f"{self.folder}/other")

    def test_a_spool_that_is_a_file(self):
        path = f"{self.folder}/file"
        with open(path, "w", encoding="ascii"):
            pass
        self.assert_fails("spool: .*no folder", FLYTRAIL_SPOOL_DIR=path)

    def test_segments_that_were_set_aside_are_told(self):
        folder = f"{self.folder}/damaged"
        os.makedirs(f"{folder}/quarantine")
        for number in (1, 500):
            with open(f"{folder}/quarantine/{number:020}.seg", "w", encoding="ascii"):
                pass
        status, out = self.doctor(FLYTRAIL_SPOOL_DIR=folder)
        self.assertEqual(status, 0, out)
        self.assertRegex(out, "(?m)^warn spool: 2 damaged segments .*quarantine")

    def test_a_spool_larger_than_the_disk(self):
        status, out = self.doctor(FLYTRAIL_SPOOL_MAX_BYTES="16384GiB")
        self.assertEqual(status, 0, out)
        self.assertRegex(out, "(?m)^warn spool: .*less than FLYTRAIL_SPOOL_MAX_BYTES")

    def test_a_spool_that_may_not_be_written(self):
        if os.getuid() == 0 and not os.path.isdir("/proc/self/task"):
            self.skipTest("needs a folder that even root may not write")
        self.assert_fails("spool: cannot write", FLYTRAIL_SPOOL_DIR="/proc/self/task/spool")


if __name__ == "__main__":
    unittest.main()
