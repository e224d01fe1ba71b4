"""The archive in a real S3 server: its indexes, and `flytrail archive verify`."""

import contextlib
import datetime
import gzip
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.timezone.utc)
OLDER, NEWER = (NOW - 3 * DAY).strftime("%Y-%m-%d"), (NOW - 2 * DAY).strftime("%Y-%m-%d")
PREFIX = "flytrail/"


def line(message, day, number, provider="app"):
    return json.dumps({
        "event": {"provider": provider},
        "fly": {"app": {"instance": "0e286551c30586", "name": "web"}, "region": "ams"},
        "host": "0ad1", "log": {"level": "info"}, "message": message,
        "timestamp": f"{day}T0{number % 2}:14:18.{number:09}Z",
    }, separators=(",", ":"))


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Archives(unittest.TestCase):
    """Each test has a bucket, a spool and an empty trail of its own."""

    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(flytrail.World())
        cls.server = cls.enterClassContext(s3.Server())

    def setUp(self):
        lab.begin_within(lab.DAY)  # whose deliveries one index names
        for table in ("events", "streams", "log_lines"):
            self.forget(table)
        self.bucket = self.server.bucket()
        self.spool = os.path.join(self.world.folder, "spool")
        shutil.rmtree(self.spool, ignore_errors=True)
        self.env = {**self.server.environment(self.bucket),
                    "FLYTRAIL_DATABASE_URL": self.world.pg.url("flytrail_writer"),
                    "FLYTRAIL_SPOOL_DIR": self.spool, "FLYTRAIL_SPOOL_MAX_BYTES": "64MiB",
                    "FLYTRAIL_S3_GATHER_SECONDS": "1"}

    def forget(self, table, where="true"):
        """What the trail's triggers refuse."""
        self.world.pg.psql(f"SET session_replication_role = replica; DELETE FROM flytrail.{table} WHERE {where}")

    def age(self):
        """As if all that is there had come three hours before."""
        for table, seen in (("log_lines", "observed_at"), ("events", "stored_at")):
            self.world.pg.psql("SET session_replication_role = replica; "
                               f"UPDATE flytrail.{table} SET {seen} = {seen} - interval '3 hours'")

    def flytrail(self, *arguments, **env):
        done = subprocess.run([flytrail.BINARY, *arguments], env={**self.env, **env}, check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=lab.ENDED_SECONDS)
        return done.returncode, done.stdout, done.stderr

    def write_input(self, lines):
        path = os.path.join(self.world.folder, "input")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(text + "\n" for text in lines)
        return path

    def keep(self, *lines):
        """What `flytrail run FILE` makes of them, with the facts about itself."""
        status, _, log = self.flytrail("run", self.write_input(lines))
        self.assertEqual(status, 0, log)

    def keep_days(self, count):
        """So many indexes, each of a run with lines of two days and an event; and a run after them."""
        for n in range(count + 1):
            self.keep(*(line(f"run {n} line {m}", day, 100 * n + m)
                        for day in (OLDER, NEWER) for m in range(10)),
                      line("machine exited with exit code 0, not restarting", NEWER, n, "runner"))
            if n < count:
                archive.end_day(self.spool)

    def keys(self, folder):
        return self.bucket.keys(PREFIX + folder)

    def index(self, key):
        return [json.loads(text) for text in gzip.decompress(self.bucket.get(key)).splitlines()]

    def verify(self, *arguments, **env):
        status, out, log = self.flytrail("archive", "verify", *arguments, **env)
        self.assertIn(status, (0, 2), log)
        found = [text.split(maxsplit=1) for text in out.splitlines() if re.match("[A-Z]+ ", text)]
        self.assertEqual(status, 2 if found else 0, out)
        return [(word, text) for word, text in found if word != "Postgres"], out

    def assert_found(self, word, text, *arguments):
        found, out = self.verify(*arguments)
        self.assertEqual([(word, True)], [(w, text in t) for w, t in found], out)


class Indexes(Archives):
    def test_an_index_names_all_that_was_delivered_and_they_touch(self):
        self.keep_days(2)
        indexes = self.keys("index/")
        self.assertEqual(len(indexes), 2)
        ranges = []
        for key in indexes:
            self.assertRegex(key, r"^flytrail/index/date=[0-9-]{10}/[0-9a-f-]{36}\.1-[0-9]{20}-[0-9]{20}\.ndjson\.gz$")
            first, last = (int(number) for number in re.findall("[0-9]{20}", key))
            ranges.append((first, last))
            entries = self.index(key)
            self.assertEqual([e["key"] for e in entries],
                             [e["key"] for e in sorted(entries, key=lambda e: (int(e["first_seq"]), e["key"]))])
            for entry in entries:
                stored = self.bucket.get(entry["key"])
                content = gzip.decompress(stored)
                self.assertEqual(entry, {
                    "key": entry["key"], "bytes": len(stored), "sha256": sha256(stored),
                    "content_sha256": sha256(content), "content_bytes": len(content),
                    "records": content.count(b"\n"),
                    "first_seq": entry["first_seq"], "last_seq": entry["last_seq"]})
                self.assertTrue(first <= int(entry["first_seq"]) <= int(entry["last_seq"]) <= last)
        ranges.sort()
        self.assertEqual(ranges[0][0], 1)
        self.assertEqual(ranges[1][0], ranges[0][1] + 1)
        named = {entry["key"] for key in indexes for entry in self.index(key)}
        there = set(self.keys("lines/") + self.keys("events/"))
        self.assertLess(named, there)
        for key in there - named:  # of the run after the last index
            self.assertGreater(int(re.findall("[0-9]{20}", key)[0]), ranges[1][1])

    def test_who_is_killed_forgets_no_object_and_names_none_twice(self):
        self.env["FLYTRAIL_SPOOL_MAX_BYTES"] = "1GiB"  # nothing of it leaves before it is delivered
        path = self.write_input(line(f"line {n} " + "z" * (n % 97), OLDER, n) for n in range(40000))
        chance = random.Random(20261126)
        for _ in range(8):
            with subprocess.Popen([flytrail.BINARY, "run", path], env=self.env, stdin=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as run:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.wait(chance.uniform(0.2, 2.5))
                run.kill()
        status, _, log = self.flytrail("run", path)
        self.assertEqual(status, 0, log)
        archive.end_day(self.spool)
        self.keep(line("the next day", NEWER, 1))
        entries = [entry["key"] for key in self.keys("index/") for entry in self.index(key)]
        self.assertEqual(len(entries), len(set(entries)))
        found, out = self.verify()
        self.assertEqual(found, [])
        self.assertRegex(out, rf"(?m)^{len(entries)} objects were compared with Postgres; of 0 .* of 0 not all yet$")

    def test_another_stream_closes_what_the_one_before_left(self):
        self.keep(line("one", OLDER, 1))
        status, _, log = self.flytrail("spool", "adopt")
        self.assertEqual(status, 0, log)
        self.keep(line("two", OLDER, 2))
        key, = self.keys("index/")
        with open(os.path.join(self.spool, "s3.index"), encoding="ascii") as journal:
            now = json.loads(journal.readline())
        self.assertNotIn(f"{now['stream']}.{now['epoch']}-", key)
        self.assertEqual(self.verify()[0], [])


class Verify(Archives):
    def objects(self, folder=""):
        """Keys that an index names."""
        return [entry["key"] for key in self.keys("index/") for entry in self.index(key)
                if entry["key"].startswith(PREFIX + folder)]

    def test_what_agrees_is_counted(self):
        self.keep_days(2)
        found, out = self.verify()
        self.assertEqual(found, [])
        objects = self.objects()
        records = sum(entry["records"] for key in self.keys("index/") for entry in self.index(key))
        self.assertIn(f"{len(objects)} objects of {records} records and ", out)
        unindexed = len(self.keys("lines/") + self.keys("events/")) - len(objects)
        self.assertGreater(unindexed, 0)
        self.assertIn(f"\n{unindexed} objects are in no index yet", out)
        self.assertRegex(out, r"stream [0-9a-f-]{36}\.1: 2 indexes, to [0-9]+ of ")
        self.assertIn(f"\n{len(objects)} objects were compared with Postgres; of 0 ", out)
        self.assertTrue(out.endswith("all agree\n"))

    def test_only_objects_of_the_time_are_looked_at(self):
        self.keep_days(1)
        older = [key for key in self.objects() if f"date={OLDER}" in key]
        self.bucket.ask("DELETE", older[0])
        self.assertEqual(self.verify("--since", NEWER)[0], [])
        self.assertEqual(self.verify("--until", (NOW - 4 * DAY).strftime("%Y-%m-%d"))[0], [])
        found, out = self.verify("--since", OLDER, "--until", OLDER)
        self.assertEqual([word for word, _ in found], ["MISSING"], out)
        self.assertIn(f"\n{len(older) - 1} objects of ", out)

    def test_what_is_missing_strange_or_changed_is_named(self):
        self.keep_days(1)
        missing, changed, doubled, *_ = self.objects("lines/")
        kept = {key: self.bucket.get(key) for key in (missing, changed, doubled)}
        with self.subTest("missing"):
            self.bucket.ask("DELETE", missing)
            self.assert_found("MISSING", missing)
            self.bucket.put(missing, kept[missing])
        with self.subTest("changed"):
            content = gzip.decompress(kept[changed]).replace(b"line 1", b"line I", 1)
            self.bucket.put(changed, gzip.compress(content, 1))
            self.assert_found("DIFFERS", changed)
            self.bucket.put(changed, kept[changed][:-9])
            self.assert_found("DIFFERS", changed)
            self.bucket.put(changed, kept[changed])
        with self.subTest("another member"):
            self.bucket.put(doubled, kept[doubled] + gzip.compress(b"{}\n"))
            self.assert_found("DIFFERS", doubled)
            self.bucket.put(doubled, kept[doubled])
        with self.subTest("strange"):
            strange = missing.replace("hour=0", "hour=1")
            self.bucket.put(strange, kept[missing])
            self.assert_found("STRANGE", strange)
            self.bucket.ask("DELETE", strange)
            self.bucket.put(PREFIX + "lines/a\x1b[31m b", b"")
            self.assert_found("STRANGE", "flytrail/lines/a?[31m?b is no name")
            self.bucket.ask("DELETE", PREFIX + "lines/a\x1b[31m b")
        self.assertEqual(self.verify()[0], [])

    def test_an_index_that_is_missing_or_no_index_is_named(self):
        self.keep_days(3)
        first, second, _ = sorted(self.keys("index/"), key=lambda key: re.findall("[0-9]{20}", key))
        kept = self.bucket.get(second)
        with self.subTest("missing"):
            self.bucket.ask("DELETE", second)
            found, out = self.verify()
            from_seq, to_seq = (int(number) for number in re.findall("[0-9]{20}", second))
            self.assertIn(f"no index has {from_seq} to {to_seq}", dict(found)["RANGE"], out)
            self.assertEqual({word for word, _ in found}, {"RANGE", "STRANGE"})
        for what, stored in (("cut", kept[:-1]), ("no gzip", b"[]"), ("more", kept + kept),
                             ("no line", gzip.compress(b"{}\n")), ("another's", self.bucket.get(first))):
            with self.subTest(what):
                self.bucket.put(second, stored)
                self.assertIn("INDEX", {word for word, _ in self.verify()[0]})
        self.bucket.put(second, kept)
        self.assertEqual(self.verify()[0], [])

    def test_what_no_index_names_is_missed_by_postgres(self):
        self.keep_days(1)
        indexed = {entry["key"] for key in self.keys("index/") for entry in self.index(key)}
        self.keep(line("a newer range", NEWER, 500))
        self.assertEqual(self.verify()[0], [])
        left = [key for key in self.keys("lines/") if key not in indexed]
        gone = next(key for key in left if f"date={OLDER}" in key)
        kept = self.bucket.get(gone)
        self.bucket.ask("DELETE", gone)
        self.assertEqual(self.verify()[0], [])  # a listing before it was put would not have it either
        self.age()
        self.assert_found("UNNAMED", "of the class lines Postgres has 5 rows")
        self.assertEqual(self.verify("--since", NEWER)[0], [])
        self.bucket.put(gone, kept)
        index, = self.keys("index/")
        self.bucket.ask("DELETE", index)
        self.assert_found("UNNAMED", "no index was read")
        self.assertNotIn("all agree", self.verify(FLYTRAIL_DATABASE_URL="")[1])

    def test_a_class_of_which_nothing_is_left_is_missed_by_postgres(self):
        self.keep_days(1)
        self.age()
        index, = self.keys("index/")
        for folder, what in (("lines/", "class lines Postgres has 42 rows"),
                             ("events/class=security/", "class security Postgres has "),
                             ("events/class=operations/", "class operations Postgres has 2 rows")):
            with self.subTest(folder):
                kept = {key: self.bucket.get(key) for key in (index, *self.keys(folder))}
                for key in kept:
                    self.bucket.ask("DELETE", key)
                found, out = self.verify()
                self.assertIn(("UNNAMED", True), [(word, what in text) for word, text in found], out)
                self.assertRegex(out, r"stream [0-9a-f-]{36}\.1: no index, from 1 on\n")
                if folder == "lines/":
                    self.assertNotIn("class lines", self.verify(FLYTRAIL_S3_SEND="events")[1])
                for key, content in kept.items():
                    self.bucket.put(key, content)
        self.assertEqual(self.verify()[0], [])

    def test_what_was_lost_is_counted_a_day_a_statement(self):
        self.keep_days(1)
        self.keep(*(line(f"a newer range {n}", day, 500 + n) for n in range(6) for day in (OLDER, NEWER)))
        self.age()
        indexed = self.objects()
        self.assertEqual(self.verify()[0], [])
        for day in (OLDER, NEWER):
            self.bucket.ask("DELETE", next(key for key in reversed(self.keys(f"lines/date={day}/hour=01/"))
                                           if key not in indexed))
        self.world.pg.psql("ALTER ROLE flytrail_writer SET log_statement = 'all'")
        self.addCleanup(self.world.pg.psql, "ALTER ROLE flytrail_writer RESET log_statement")
        self.assert_found("UNNAMED", "of the class lines Postgres has 6 rows")
        days = re.findall(r"NOT EXISTS \(SELECT FROM [^\n]*\n[^\n]*\$1 = '([0-9-]{10}) 00:00:00\+00', "
                          r"\$2 = '([0-9-]{10}) 00:00:00\+00'", self.world.pg.log())
        self.assertLessEqual({OLDER, NEWER}, {since for since, _ in days})
        for since, until in days:
            self.assertEqual(datetime.date.fromisoformat(until) - datetime.date.fromisoformat(since), DAY)
        for day in (OLDER, NEWER):
            self.assert_found("UNNAMED", "of the class lines Postgres has 3 rows", "--since", day, "--until", day)

    def test_lines_are_missed_where_the_options_of_their_time_sent_them(self):
        more = iter(range(1000, 9000, 100))

        def keep_more(send):
            first = next(more)
            self.env["FLYTRAIL_S3_SEND"] = send
            self.keep(*(line(f"{send} {n}", OLDER, first + n) for n in range(10)),
                      line("machine exited with exit code 0, not restarting", OLDER, first + 10, "runner"))
            self.age()

        def assert_nothing_is_missed():
            for send in ("all", "events"):
                self.assertEqual(self.verify(FLYTRAIL_S3_SEND=send)[0], [])

        keep_more("events")
        archive.end_day(self.spool)
        keep_more("events")
        self.assertEqual(self.keys("lines/"), [])
        assert_nothing_is_missed()
        keep_more("all")
        assert_nothing_is_missed()
        archive.end_day(self.spool)
        keep_more("all")
        keep_more("events")
        keep_more("events")
        self.assertEqual(self.verify(FLYTRAIL_S3_SEND="events")[0], [])
        archive.end_day(self.spool)
        keep_more("all")
        assert_nothing_is_missed()
        self.bucket.ask("DELETE", max(self.keys("lines/"), key=lambda key: re.findall("[0-9]{20}", key)))
        for send in ("all", "events"):
            self.assertIn(("UNNAMED", True), [(word, "class lines" in text) for word, text
                                              in self.verify(FLYTRAIL_S3_SEND=send)[0]])

    def test_a_range_of_which_nothing_is_left_is_missed_by_its_neighbours(self):
        self.keep_days(1)
        self.keep(line("a range to lose", NEWER, 500))
        indexed, = (int(re.findall("[0-9]{20}", key)[1]) for key in self.keys("index/"))
        ranges = {}
        for key in self.keys("lines/") + self.keys("events/"):
            first, last = (int(number) for number in re.findall("[0-9]{20}", key))
            if first > indexed:
                ranges.setdefault((first, last), []).append(key)
        self.assertGreaterEqual(len(ranges), 2)
        no_postgres = {"FLYTRAIL_DATABASE_URL": ""}
        self.assertEqual(self.verify(**no_postgres)[0], [])
        for (first, last), keys in list(sorted(ranges.items()))[:-1]:
            kept = {key: self.bucket.get(key) for key in keys}
            for key in keys:
                self.bucket.ask("DELETE", key)
            found, out = self.verify(**no_postgres)
            self.assertEqual([word for word, _ in found], ["RANGE"], out)
            self.assertRegex(found[0][1], rf"\.1: no object has {first} to {last}, and later ones are there$")
            self.assertEqual(self.verify(FLYTRAIL_S3_SEND="events", **no_postgres)[0], [])
            for key, content in kept.items():
                self.bucket.put(key, content)

    def test_what_postgres_lost_is_named_and_what_it_gave_up_is_not(self):
        self.keep_days(1)
        day = f"occurred_at::date = '{OLDER}'"
        self.forget("log_lines", f"{day} AND message = 'run 0 line 4'")
        self.assert_found("ROWS", "Postgres has not 1 of its 5 records")
        self.forget("log_lines", day)
        found, out = self.verify()
        self.assertEqual(found, [])
        self.assertRegex(out, r"of 2 it has nothing of that day any more, and of 0 not all yet")
        self.world.pg.psql("UPDATE flytrail.streams SET cursor_seq = 1")
        found, out = self.verify()
        self.assertEqual(found, [])
        self.assertRegex(out, r"\n0 objects were compared with Postgres; of 0 ")
        self.assertIn("\nPostgres was not asked", self.verify(FLYTRAIL_DATABASE_URL="")[1])

    def test_a_copied_volume_and_its_original_name_the_same_objects(self):
        self.keep(line("before the copy", OLDER, 1))
        copy = self.spool + "-copy"
        self.addCleanup(shutil.rmtree, copy)
        shutil.copytree(self.spool, copy)
        self.assertEqual(self.flytrail("spool", "adopt", FLYTRAIL_SPOOL_DIR=copy)[0], 0)
        path = self.write_input([line("on the copy", OLDER, 2)])
        self.assertEqual(self.flytrail("run", path, FLYTRAIL_SPOOL_DIR=copy)[0], 0)
        self.keep(line("on the original", OLDER, 3))
        archive.end_day(self.spool)
        self.keep(line("the next day", OLDER, 4))
        self.assertEqual(len(self.keys("index/")), 2)
        short, long = sorted(self.keys("index/"), key=lambda key: re.findall("[0-9]{20}", key))
        self.assertEqual(self.index(long)[:len(self.index(short))], self.index(short))
        self.assertEqual(self.verify()[0], [])
        other = [{**entry, "records": entry["records"] + 1} for entry in self.index(short)]
        self.bucket.put(short, gzip.compress(b"".join(
            json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in other)))
        self.assertIn("two indexes do not say the same", dict(self.verify()[0])["INDEX"])

    def test_a_server_that_is_away_for_a_moment_is_asked_again(self):
        self.keep_days(1)
        self.server.crash_gateway()
        with subprocess.Popen([flytrail.BINARY, "archive", "verify"], env=self.env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as verify:
            self.server.start_gateway()
            out, _ = verify.communicate(timeout=lab.ENDED_SECONDS)
        self.assertEqual(verify.returncode, 0, out)

    def cut_sessions(self, when):
        """Ends the session of the writer that reads a row."""
        self.world.pg.psql(f"""
            CREATE SEQUENCE public.rows_seen;
            CREATE FUNCTION public.cut() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                IF {when} THEN
                    PERFORM pg_terminate_backend(pg_backend_pid());
                END IF;
                RETURN true;
            END $$;""")
        self.addCleanup(self.world.pg.psql, "DROP FUNCTION public.cut() CASCADE; DROP SEQUENCE public.rows_seen")
        for table in ("log_lines", "events"):
            self.world.pg.psql(f"ALTER TABLE flytrail.{table} ENABLE ROW LEVEL SECURITY; "
                               f"CREATE POLICY cut ON flytrail.{table} USING (public.cut())")
            self.addCleanup(self.world.pg.psql, f"ALTER TABLE flytrail.{table} DISABLE ROW LEVEL SECURITY")

    def test_a_lost_connection_to_postgres_is_made_again(self):
        self.keep_days(1)
        self.age()
        sound = self.verify()
        self.cut_sessions("nextval('public.rows_seen') % 40 = 0")
        self.assertEqual(self.verify(), sound)
        self.assertGreater(int(self.world.pg.psql("SELECT last_value FROM public.rows_seen")[0][0]), 40)

    def test_where_postgres_stays_away_in_the_end_what_was_read_is_told(self):
        self.keep_days(1)
        self.age()
        self.bucket.ask("DELETE", self.objects("lines/")[0])
        counts = [text for text in self.verify()[1].splitlines() if " objects " in text]
        self.assertEqual(len(counts), 3)
        self.cut_sessions("current_query() LIKE '%stored_at%'")
        status, out, log = self.flytrail("archive", "verify")
        self.assertEqual(status, 1, out)
        self.assertIn("flytrail: archive verify: the connection to Postgres is lost", log)
        self.assertEqual([text for text in out.splitlines() if " objects " in text], counts)
        self.assertIn("MISSING ", out)
        self.assertTrue(out.endswith("\n1 difference\nit did not come to its end\n"), out)

    def test_what_cannot_be_checked_is_1(self):
        self.keep(line("one", OLDER, 1))
        for what, arguments, env in (
                ("FLYTRAIL_DATABASE_URL", (), {"FLYTRAIL_DATABASE_URL": "postgres://127.0.0.1:1/x"}),
                ("AWS_SECRET_ACCESS_KEY", (), {"AWS_SECRET_ACCESS_KEY": "another"}),
                ("AWS_BUCKET", (), {"AWS_BUCKET": "not-there"}),
                ("AWS_BUCKET", (), {"AWS_BUCKET": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}),
                ("--since", ("--since", "yesterday"), {}), ("--since", ("--since",), {}),
                ("--since", ("--since", NEWER, "--until", OLDER), {})):
            with self.subTest(arguments=arguments, env=env):
                status, out, log = self.flytrail("archive", "verify", *arguments, **env)
                self.assertEqual((status, out), (1, ""))
                self.assertIn(what, log)


if __name__ == "__main__":
    unittest.main()
