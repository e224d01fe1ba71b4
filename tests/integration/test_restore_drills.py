"""The restore drills of deploy/restore, each on real servers, and what flytrail then does with what came back."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402

AT_ONCE = 2
DIGEST = re.compile(r"^(flytrail\S+) ([0-9]+) ([0-9a-f]{32})$", re.MULTILINE)
PARKED = "Postgres is at record .*: this volume was copied or restored, and nothing is stored from it"
NOTHING_DONE = "Nothing was done.\n"


class Drill(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())
        self.folder = self.enterContext(tempfile.TemporaryDirectory())

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_script(self, name, **env):
        """The exit status, what it printed, what it complained of."""
        done = subprocess.run([os.path.join(ROOT, "deploy", "restore", name)], stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=lab.ENDED_SECONDS, check=False,
                              env={"PATH": os.environ["PATH"], "DRILL_FLYTRAIL": flytrail.BINARY, **env})
        return done.returncode, done.stdout, done.stderr

    def prove(self, name, **env):
        """What it printed, and (rows, digest) by table."""
        status, out, error = self.run_script(name, **env)
        self.assertEqual(status, 0, out + error)
        print("\n".join("# " + line for line in out.splitlines()))
        return out, {table: (int(rows), digest) for table, rows, digest in DIGEST.findall(out)}

    def refuse(self, name, sentence, **env):
        """It says why, in one line, and has done nothing."""
        status, out, error = self.run_script(name, **env)
        self.assertEqual((status, out), (1, ""), error)
        self.assertRegex(error.splitlines()[-1] + "\n", sentence)
        self.assertTrue(error.endswith(NOTHING_DONE), error)

    def stored(self, count, first=0, ft=None, **env):
        """A flytrail that runs and has stored count more lines."""
        ft = ft or self.world.flytrail(**{"FLYTRAIL_DRAIN_SECONDS": "5", **env}).start()
        self.world.publish_awaited(ft, count, first)
        self.world.await_rows(first + count, "message LIKE 'numbered %'")
        return ft

    def facts(self, action, pg=None, database="postgres"):
        return (pg or self.world.pg).psql(f"SELECT summary FROM flytrail.events WHERE action = '{action}'",
                                          database=database)


class Runbook(unittest.TestCase):
    def test_it_names_each_script_and_no_other(self):
        scripts = {name for name in os.listdir(os.path.join(ROOT, "deploy", "restore")) if name != "common.sh"}
        with open(os.path.join(ROOT, "deploy", "runbook.md"), encoding="utf-8") as file:
            self.assertEqual(set(re.findall(r"deploy/restore/([\w-]+\.sh)", file.read())), scripts)


class Snapshot(Drill):
    """The volume's snapshot: its spool was copied while flytrail ran."""

    def setUp(self):
        super().setUp()
        self.env = {"DRILL_SNAPSHOT": self.path("snapshot"), "DRILL_SPOOL": self.path("spool"), "ORG": "example-org",
                    "FLYTRAIL_DATABASE_URL": self.world.pg.url("flytrail_writer")}

    def snapshot(self, ft):
        ft.copy_spool(self.env["DRILL_SNAPSHOT"])

    def test_one_that_postgres_is_ahead_of(self):
        """The usual one: a day old, and flytrail ran on."""
        ft = self.stored(500)
        self.snapshot(ft)
        self.stored(500, first=500, ft=ft)
        self.assertEqual(ft.stop(), 0)
        rows = self.world.count()
        out, tables = self.prove("from-snapshot.sh", **self.env)
        self.assertRegex(out, f"(?m)^run: {PARKED}")
        self.assertRegex(out, r"(?m)^stored: 0 lines .* [0-9]+ rows were there$")
        self.assertEqual(tables["flytrail.log_lines"][0], rows)
        self.assertEqual(self.world.count(), rows)
        self.world.check_each_line_is_one_row(range(1000))

    def test_one_with_lines_that_nobody_else_had(self):
        """Postgres was away while it was made, and the machine did not come back."""
        ft = self.stored(500)
        self.world.pg.stop()
        self.world.publish(500, first=500)
        ft.await_accepted(1000)
        self.snapshot(ft)
        ft.kill()
        self.world.pg.restart()
        out, tables = self.prove("from-snapshot.sh", **self.env)
        self.assertRegex(out, r"(?m)^stored: ")
        self.assertGreaterEqual(tables["flytrail.log_lines"][0], 500)
        self.world.check_each_line_is_one_row(range(1000))
        # And the new machine goes on with it.
        new = self.world.flytrail(FLYTRAIL_SPOOL_DIR=self.env["DRILL_SPOOL"]).start()
        self.stored(100, first=1000, ft=new)
        self.assertEqual(new.events("store_parked"), [])
        self.assertEqual(new.stop(), 0)
        self.world.check_each_line_is_one_row(range(1100))

    def test_what_it_refuses(self):
        ft = self.stored(10)
        self.snapshot(ft)
        self.refuse("from-snapshot.sh", "a flytrail is connected to this database", **self.env)
        self.assertEqual(ft.stop(), 0)
        self.refuse("from-snapshot.sh", "DRILL_SPOOL is not set", **{**self.env, "DRILL_SPOOL": ""})
        self.refuse("from-snapshot.sh", r"has no segment \(\*\.seg\)", **{**self.env, "DRILL_SNAPSHOT": self.folder})
        self.refuse("from-snapshot.sh", "is there and not empty", **{**self.env, "DRILL_SPOOL": self.env["DRILL_SNAPSHOT"]})
        away = f"postgres://flytrail_writer:an-example-secret@127.0.0.1:{lab.free_port()}/postgres"
        status, out, error = self.run_script("from-snapshot.sh", **{**self.env, "FLYTRAIL_DATABASE_URL": away})
        self.assertEqual((status, out), (1, ""))
        self.assertRegex(error, "does not answer, or refuses us. Nothing was done.\n$")
        self.assertNotIn("an-example-secret", error)
        self.refuse("from-snapshot.sh", "is no address like postgres://",
                    **{**self.env, "FLYTRAIL_DATABASE_URL": "host=db dbname=trail"})
        self.refuse("from-snapshot.sh", "has no trail: run `flytrail migrate`",
                    **{**self.env, "FLYTRAIL_DATABASE_URL": self.world.pg.url(database="template1")})
        self.assertFalse(os.path.exists(self.env["DRILL_SPOOL"]))


class Dump(Drill):
    """Postgres itself is gone, and there is a dump."""

    def setUp(self):
        super().setUp()
        self.other = self.enterContext(lab.Postgres())  # a server without roles of ours
        self.env = {"DRILL_DUMP": self.path("trail.dump")}
        self.target = {**self.env, "DRILL_TARGET_URL": self.other.url()}

    def dump(self):
        return self.prove("dump.sh", DRILL_SOURCE_URL=self.world.pg.url(), **self.env)[1]

    def lose_postgres(self, ft):
        """From now on flytrail's database is the one that was restored."""
        self.world.pg.crash()
        self.addCleanup(self.world.pg.close)
        self.world.pg = self.other
        ft.env["FLYTRAIL_DATABASE_URL"] = self.other.url("flytrail_writer")

    def test_what_was_stored_after_it_comes_from_the_spool(self):
        ft = self.stored(500)
        dumped = self.dump()  # while it runs
        self.stored(500, first=500, ft=ft)
        self.assertEqual(ft.stop(), 0)
        out, restored = self.prove("from-dump.sh", **self.target)
        self.assertEqual(restored, dumped)
        self.assertGreaterEqual(restored["flytrail.log_lines"][0], 500)
        self.assertRegex(out, r"(?m)^proved: every row is what it was, and so is the schema: [0-9a-f]{64}$")
        self.lose_postgres(ft)
        ft.start()
        self.world.publish(100, first=1000)
        self.world.await_rows(1100, "message LIKE 'numbered %'")
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(ft.events("store_parked"), [])
        self.world.check_each_line_is_one_row(range(1100))
        self.assertEqual({gap["reason"] for gap in self.world.gaps()} - {"start"}, set())
        self.assertEqual(self.facts("trail.schema_changed"), [])

    def test_what_the_spool_has_no_more_is_a_gap_on_record(self):
        ft = self.stored(500, FLYTRAIL_SPOOL_KEEP_SECONDS="0")
        self.dump()
        self.stored(150000, first=500, ft=ft)
        lab.wait_for(lambda: len([name for name in os.listdir(ft.env["FLYTRAIL_SPOOL_DIR"]) if name.endswith(".seg")]) <= 5,
                     60, "old segments to be dropped")
        self.assertEqual(ft.stop(), 0)
        self.prove("from-dump.sh", **self.target)
        self.lose_postgres(ft)
        ft.start()
        gap = self.world.await_gap("store_rewound", closed=True)
        self.assertGreater(gap["lost"], 1000)
        self.world.publish(100, first=150500)
        self.world.await_rows(1, "message LIKE 'numbered line 150599 %'")
        self.assertEqual(ft.stop(), 0)
        self.assertGreater(self.world.check_every_line_is_a_row_or_in_a_gap(150600), 0)

    def test_rights_and_triggers_hold_in_what_was_restored(self):
        self.assertEqual(self.stored(10).stop(), 0)
        self.dump()
        self.prove("from-dump.sh", **self.target)
        for role, sql, refusal in (
                ("postgres", "DELETE FROM flytrail.log_lines", "append-only|only be added"),
                ("flytrail_writer", "UPDATE flytrail.events SET actor = 'nobody'", "permission denied"),
                ("flytrail_reader", "SELECT * FROM flytrail.log_lines", "permission denied")):
            with self.assertRaisesRegex(lab.LabError, refusal):
                self.other.psql(sql, role)
        self.assertEqual(self.facts("trail.schema_changed", self.other), [])
        self.other.psql("CREATE TABLE flytrail.mine (x integer)")
        self.other.psql("SELECT flytrail.check_schema()", "flytrail_writer")
        told = sorted(summary for summary, in self.facts("trail.schema_changed", self.other))
        self.assertEqual(told[0], "postgres changed the schema of the trail by CREATE TABLE")  # an event trigger
        self.assertRegex(told[1], "^the schema of the trail is not what it was at .* 1 of its objects differ")

    def test_what_they_refuse(self):
        self.assertEqual(self.stored(10).stop(), 0)
        source = {"DRILL_SOURCE_URL": self.world.pg.url(), **self.env}
        self.refuse("dump.sh", "DRILL_DUMP is not set", **{**source, "DRILL_DUMP": ""})
        self.refuse("dump.sh", "has no trail", **{**source, "DRILL_SOURCE_URL": self.other.url()})
        self.refuse("from-dump.sh", "there is no file", **self.target)
        self.dump()
        self.refuse("dump.sh", "is there, and nothing is overwritten", **source)
        self.refuse("from-dump.sh", "is not empty, and nothing is overwritten",
                    **{**self.target, "DRILL_TARGET_URL": self.world.pg.url()})
        self.other.psql("CREATE ROLE plain LOGIN")
        self.refuse("from-dump.sh", "is no superuser", **{**self.target, "DRILL_TARGET_URL": self.other.url("plain")})
        with open(self.env["DRILL_DUMP"], "r+b") as dump:
            dump.write(b"\0" * 64)
        self.refuse("from-dump.sh", "is no dump that pg_restore reads", **self.target)

    def test_a_row_that_is_not_what_was_dumped_is_told(self):
        self.assertEqual(self.stored(10).stop(), 0)
        self.dump()
        with open(self.path("trail.dump.rows"), encoding="ascii") as rows:
            text = rows.read()
        with open(self.path("trail.dump.rows"), "w", encoding="ascii") as rows:
            rows.write(re.sub(r"(flytrail.log_lines \d+ )\w{4}", r"\g<1>0000", text))
        status, _, error = self.run_script("from-dump.sh", **self.target)
        self.assertEqual(status, 1)
        self.assertRegex(error, r"what was restored is not what was dumped[^\n]*\n< flytrail.log_lines")


class Passwords(unittest.TestCase):
    """Nobody who looks at the processes of a machine sees one."""

    PASSWORD = "an-example @:/%\\041'\" é"

    def test_it_is_given_to_the_server_and_to_no_command_line(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        os.chmod(folder, 0o755)
        access, seen = (os.path.join(folder, name) for name in ("access", "seen"))
        with open(access, "w", encoding="ascii") as out:
            out.write("host all keeper all scram-sha-256\nhost all all all trust\n")
        pg = self.enterContext(lab.Postgres(template=flytrail.migrated_data(), settings=[f"hba_file = '{access}'"]))
        quoted = self.PASSWORD.replace("'", "''")
        pg.psql(f"CREATE ROLE keeper LOGIN SUPERUSER PASSWORD '{quoted}'")
        for name in ("psql", "pg_dump"):
            path = os.path.join(folder, name)
            with open(path, "w", encoding="ascii") as out:
                out.write(f'#!/bin/sh\necho "$0 $*" >>{seen}\nexec {lab.PG_BIN}/{name} "$@"\n')
            os.chmod(path, 0o755)
        url = pg.url().replace("postgres@", f"keeper:{urllib.parse.quote(self.PASSWORD, safe='')}@")
        script = os.path.join(ROOT, "deploy", "restore", "dump.sh")
        for name, env in (("in its URL", {"DRILL_SOURCE_URL": url}),
                          ("by libpq's own variable", {"DRILL_SOURCE_URL": pg.url("keeper"), "PGPASSWORD": self.PASSWORD})):
            with self.subTest(name):
                done = subprocess.run([script], capture_output=True, text=True, timeout=lab.ENDED_SECONDS, check=False, env={
                    "PATH": f"{folder}:{os.environ['PATH']}", "DRILL_DUMP": os.path.join(folder, name), **env})
                self.assertEqual(done.returncode, 0, done.stderr)
                with open(seen, encoding="utf-8") as file:
                    told = file.read()
                os.remove(seen)
                self.assertGreaterEqual(told.count("keeper@"), 3)
                self.assertNotIn("an-example", told + done.stdout + done.stderr)


class Archive(Drill):
    """Postgres and its dumps are gone, and there is the archive in S3."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s3 = cls.enterClassContext(s3.Server())

    def setUp(self):
        lab.begin_within(lab.DAY)  # whose deliveries one index names
        super().setUp()
        self.bucket = self.s3.bucket()
        self.other = self.enterContext(lab.Postgres())
        self.env = {**self.s3.environment(self.bucket), "DRILL_TARGET_URL": self.other.url()}

    def ids(self, pg, table, key):
        return pg.psql(f"SELECT {key} FROM flytrail.{table} WHERE stream <> '00000000-0000-0000-0000-000000000000' "
                       "ORDER BY 1")

    def archived(self):
        """What `run` stored in Postgres is in the bucket as well, of two days: that of the first is in its index."""
        # However slow the disk is, on which each delivery is noted: its end has time for all of it.
        ft = self.stored(1000, **self.s3.environment(self.bucket), FLYTRAIL_S3_GATHER_SECONDS="1", FLYTRAIL_DRAIN_SECONDS="50")
        self.assertEqual(ft.stop(), 0)
        archive.end_day(ft.env["FLYTRAIL_SPOOL_DIR"])
        ft.start()
        self.stored(1000, first=1000, ft=ft)
        self.assertEqual(ft.stop(), 0)

    def test_an_empty_database_becomes_what_the_archive_has(self):
        self.archived()
        out, tables = self.prove("from-archive.sh", **self.env)
        self.assertRegex(out, "(?m)^proved: the archive is whole")
        self.assertRegex(out, r"(?m)^[1-9]\d* objects of [1-9]\d* records .* are as the indexes say; 1 indexes were read$")
        self.assertGreaterEqual(tables["flytrail.log_lines"][0], 2000)
        for table, key in (("log_lines", "id"), ("events", "event_id")):
            before, after = (self.ids(pg, table, key) for pg in (self.world.pg, self.other))
            self.assertEqual(before, [row for row in after if row in before])
            self.assertGreater(len(before), 0)
        self.assertEqual(len(self.ids(self.other, "log_lines", "id")), tables["flytrail.log_lines"][0])

    def test_an_archive_that_was_changed_is_told(self):
        self.archived()
        key = self.bucket.keys("flytrail/lines/")[0]
        self.bucket.ask("DELETE", key)
        self.bucket.put(key, b"not what it was")
        status, out, error = self.run_script("from-archive.sh", **self.env)
        self.assertEqual(status, 1, out)
        self.assertNotIn("proved", out)
        self.assertIn("did not bring all of it back", error)

    def test_what_it_refuses(self):
        self.refuse("from-archive.sh", "is not empty, and nothing is overwritten",
                    **{**self.env, "DRILL_TARGET_URL": self.world.pg.url()})
        self.refuse("from-archive.sh", "AWS_ACCESS_KEY_ID is not set", **{**self.env, "AWS_ACCESS_KEY_ID": ""})


if __name__ == "__main__":
    unittest.main()
