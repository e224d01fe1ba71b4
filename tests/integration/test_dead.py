"""`flytrail dead`: what could not be delivered is listed, shown, retried and dropped, on record."""

import base64
import contextlib
import fcntl
import gzip
import json
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import datadog  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402

STREAM = "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"
REFUSED = "^numbered line (3|7) "


class Case(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def path(self, ft, name):
        return os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], name)

    def letters(self, ft, sink="store"):
        """The IDs that list prints."""
        return re.findall(rf"^({sink}/\S+) ", ft.command("dead", "list", "--sink", sink)[1], re.M)

    def facts(self, action):
        return [(row[0], int(row[1]), int(row[2]), json.loads(row[3])) for row in self.world.pg.psql(
            "SELECT stream || '.' || (attributes->>'epoch') || '-' || (attributes->>'first_seq'), severity, "
            "(attributes->>'first_seq')::bigint, attributes || jsonb_build_object("
            "'actor_type', actor_type, 'actor_reason', actor_reason, 'origin', origin, 'machine', machine_id) "
            f"FROM flytrail.events WHERE action = '{action}' ORDER BY occurred_at")]


class Store(Case):
    """Two lines that Postgres refuses, and a flytrail that runs on."""

    def setUp(self):
        super().setUp()
        self.world.pg.psql(
            f"ALTER TABLE flytrail.log_lines ADD CONSTRAINT picky CHECK (message !~ '{REFUSED}')")
        self.ft = self.world.flytrail().start()
        self.world.publish(10)
        self.world.await_rows(8, "message LIKE 'numbered %'")
        lab.wait_for(lambda: len(self.facts("trail.dead_lettered")) == 2, 60, "two dead letters")

    def relent(self):
        self.world.pg.psql("ALTER TABLE flytrail.log_lines DROP CONSTRAINT picky")

    def test_list_and_show_say_what_it_is_and_why_while_it_runs(self):
        status, text = self.ft.command("dead", "list")
        self.assertEqual(status, 0)
        self.assertEqual(len(self.letters(self.ft)), 2)
        self.assertRegex(text, r'(?m)^store/[0-9a-f-]{36}\.1-\d+  20\S+Z  app_log of 20\S+Z in "web-3": '
                               r'"Postgres refuses a row: SQLSTATE 23514"$')
        self.assertTrue(text.endswith("\n2 dead letters\n"))
        status, text = self.ft.command("dead", "show", self.letters(self.ft)[0])
        self.assertEqual(status, 0)
        self.assertIn('reason: "Postgres refuses a row: SQLSTATE 23514"\n', text)
        line = json.loads(text.splitlines()[-1])
        self.assertRegex(line["message"], "^numbered line 3 ")
        self.assertEqual(line["app"], "web-3")
        self.assertEqual(self.ft.command("dead", "list", "--sink", "s3"), (0, "0 dead letters\n"))

    def test_a_letter_that_is_refused_again_stays(self):
        before = self.letters(self.ft)
        status, text = self.ft.command("dead", "retry", "--all")
        self.assertEqual(status, 1)
        self.assertEqual(text.count(': refused once more: "Postgres refuses a row: SQLSTATE 23514"'), 2)
        self.assertEqual(self.ft.command("dead", "retry", before[0])[0], 1)
        self.assertEqual(self.letters(self.ft), before)
        self.assertEqual(self.facts("trail.dead_retried"), [])

    def test_what_is_retried_is_a_row_in_its_place_and_a_fact_and_no_letter(self):
        first, second = self.letters(self.ft)
        stream, seq = re.fullmatch(r"store/(.*)\.1-(\d+)", first).groups()
        self.relent()
        self.assertEqual(self.ft.command("dead", "retry", first), (0, f"{first}: delivered\n"))
        self.assertEqual(self.world.pg.psql(
            "SELECT stream, seq FROM flytrail.log_lines WHERE message LIKE 'numbered line 3 %'"),
            [[stream, seq]])
        (row, severity, number, said), = self.facts("trail.dead_retried")
        self.assertEqual((f"store/{row}", severity, number), (first, 1, int(seq)))
        self.assertEqual((said["sink"], said["command"], said["actor_type"], said["machine"]),
                         ("store", "dead retry", "unknown", "ft0"))
        self.assertIn(f"uid {os.geteuid()}", said["ran_as"])
        self.assertIn("ft0", said["actor_reason"])
        self.assertEqual(self.letters(self.ft), [second])
        self.assertEqual(self.ft.command("dead", "retry", first)[0], 1)
        # It goes on meanwhile, and its cursor with it.
        self.world.publish(5, first=100)
        self.world.await_rows(14, "message LIKE 'numbered %'")
        self.assertEqual(self.ft.command("dead", "retry", "--all", "--sink", "store"),
                         (0, f"{second}: delivered\n"))
        self.assertEqual(self.ft.stop(), 0)
        self.world.check_each_line_is_one_row([*range(10), *range(100, 105)])

    def test_a_retry_that_was_broken_off_is_done_again_and_is_one_row(self):
        self.relent()
        self.assertEqual(self.ft.command("dead", "retry", "--all")[0], 0)
        os.remove(self.path(self.ft, "dead-store.settled.ndjson"))  # as if it had not come so far
        self.assertEqual(len(self.letters(self.ft)), 2)
        self.assertEqual(self.ft.command("dead", "retry", "--all")[0], 0)
        self.assertEqual(self.letters(self.ft), [])
        self.assertEqual(len(self.world.numbers()), 10)

    def test_one_that_a_trigger_refuses_does_not_keep_the_next_from_being_delivered(self):
        first, second = self.letters(self.ft)
        self.relent()
        self.world.pg.psql("""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'I do not like %', NEW.message;
            END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON flytrail.log_lines FOR EACH ROW
                WHEN (NEW.message ~ '^numbered line 3 ') EXECUTE FUNCTION refuse();""")
        status, text = self.ft.command("dead", "retry", "--all")
        self.assertEqual(status, 1)
        self.assertIn(f"{first}: refused once more: \"Postgres refuses a row: SQLSTATE P0001\"\n", text)
        self.assertIn(f"{second}: delivered\n", text)
        self.assertEqual(self.letters(self.ft), [first])

    def test_what_is_dropped_is_a_fact_that_says_why_and_what_it_was(self):
        first, second = self.letters(self.ft)
        shown = json.loads(self.ft.command("dead", "show", first)[1].splitlines()[-1])
        words = first.split("/")
        self.assertEqual(self.ft.command("dead", "drop", *words, "--why", 'it is "known"'),
                         (0, f"{first}: dropped\n"))
        (row, severity, _, said), = self.facts("trail.dead_dropped")
        self.assertEqual((f"store/{row}", severity), (first, 4))
        self.assertEqual((said["why"], said["reason"], said["record_id"]),
                         ('it is "known"', "Postgres refuses a row: SQLSTATE 23514", shown["id"]))
        self.assertEqual(self.letters(self.ft), [second])
        status, text = self.ft.command("dead", "drop", first, "--why", "again")
        self.assertEqual(status, 1)
        self.assertIn("retried or dropped before", text)
        self.assertEqual(len(self.facts("trail.dead_dropped")), 1)
        # The next start clears it away, and keeps the other.
        self.assertEqual(self.ft.stop(), 0)
        self.ft.start()
        self.assertFalse(os.path.exists(self.path(self.ft, "dead-store.settled.ndjson")))
        with open(self.path(self.ft, "dead-store.ndjson"), encoding="ascii") as file:
            self.assertEqual([json.loads(line)["seq"] for line in file], [int(second.split("-")[-1])])
        self.assertEqual(self.letters(self.ft), [second])
        self.assertEqual(self.world.count("message ~ '" + REFUSED + "'"), 0)

    def test_where_postgres_cannot_be_told_nothing_is_dropped(self):
        before = self.letters(self.ft)
        self.world.pg.stop()
        status, text = self.ft.command("dead", "drop", before[0], "--why", "it is known")
        self.assertEqual(status, 1)
        self.assertIn("Postgres", text)
        self.assertEqual(self.letters(self.ft), before)
        self.world.pg.restart()
        self.world.pg.psql("ALTER TABLE flytrail.events ADD CONSTRAINT quiet "
                           "CHECK (action <> 'trail.dead_dropped')")
        self.assertEqual(self.ft.command("dead", "drop", before[0], "--why", "it is known")[0], 1)
        self.assertEqual(self.letters(self.ft), before)

    def test_of_two_commands_at_once_one_works(self):
        before = self.letters(self.ft)
        self.relent()
        with open(self.path(self.ft, "dead-store.lock"), "a", encoding="ascii") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            status, text = self.ft.command("dead", "retry", "--all")
            self.assertEqual(status, 1)
            self.assertIn("another flytrail is at work on the dead letters of store", text)
            self.assertEqual(self.letters(self.ft), before)  # which may be looked at
        commands = [subprocess.Popen([flytrail.BINARY, "dead", "retry", "--all"], env=self.ft.env,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                    for _ in range(4)]
        texts = "".join(command.communicate(timeout=lab.ENDED_SECONDS)[0] for command in commands)
        self.assertEqual(texts.count(": delivered\n"), 2)
        self.assertEqual(len(self.facts("trail.dead_retried")), 2)
        self.assertEqual(self.letters(self.ft), [])

    def test_a_file_that_is_damaged_and_torn_is_told_and_its_letters_are_dealt_with(self):
        first, second = self.letters(self.ft)
        self.assertEqual(self.ft.stop(), 0)
        path = self.path(self.ft, "dead-store.ndjson")
        with open(path, "rb") as file:
            lines = file.read().splitlines(keepends=True)
        with open(path, "wb") as file:
            file.write(lines[0] + b"\x00\xff no line\n" + lines[1] + lines[1][:100])
        status, text = self.ft.command("dead", "list")
        self.assertEqual(status, 1)
        self.assertIn(f"damaged: {path} has a line that cannot be read, at byte {len(lines[0])}\n", text)
        self.assertEqual(self.letters(self.ft), [first, second])
        self.relent()
        self.assertEqual(self.ft.command("dead", "retry", "--all"),
                         (0, f"{first}: delivered\n{second}: delivered\n"))
        self.ft.start()
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"\x00\xff no line\n")

    def test_what_is_no_letter_and_no_sink_is_said_and_changes_nothing(self):
        before = self.letters(self.ft)
        key = before[0].split("/")[1]
        for words in (["show"], ["show", "nowhere/" + key], ["show", key], ["show", "store/" + key[:-1] + "x"],
                      ["show", f"store/{STREAM}.0-1"], ["show", f"store/{STREAM}.1-0"],
                      ["show", f"store/{STREAM}.1-18446744073709551617"], ["show", f"store/{STREAM}.1-+1"],
                      ["show", "store", key, "more"], ["show", before[0], "--sink", "store"], ["list", "more"],
                      ["list", "--sink"], ["list", "--sink", "nowhere"], ["retry"], ["retry", before[0], "--all"],
                      ["retry", before[0], "--why", "x"], ["drop", before[0]], ["drop", "--all", "--why", "x"],
                      ["drop", before[0], "--why", "x" * 600], ["drop", before[0], "--why", ""], ["bury"], []):
            with self.subTest(words=words):
                status, text = self.ft.command("dead", *words)
                self.assertEqual(status, 2, text)
                self.assertRegex(text, "^flytrail: dead: .*[;?] it is `flytrail dead list")
        status, text = self.ft.command("dead", "show", f"store/{STREAM}.1-1")
        self.assertEqual(status, 1)
        self.assertIn("there is no such letter", text)
        self.assertEqual(self.letters(self.ft), before)


class Killed(Case):
    def test_whenever_it_is_killed_each_letter_is_one_row_and_none_is_forgotten(self):
        count, kills = 40, 12
        self.world.pg.psql("ALTER TABLE flytrail.log_lines ADD CONSTRAINT picky CHECK (message !~ '^numbered ')")
        ft = self.world.flytrail().start()
        self.world.publish(count)
        lab.wait_for(lambda: len(self.letters(ft)) == count, 90, "the dead letters")
        self.world.pg.psql("ALTER TABLE flytrail.log_lines DROP CONSTRAINT picky")
        for n in range(kills):
            command = subprocess.Popen([flytrail.BINARY, "dead", "retry", "--all"], env=ft.env,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(timeout=0.02 + 0.007 * n)
            command.kill()
            command.wait()
            # A row of what is settled, always; of what is not, perhaps.
            self.assertGreaterEqual(len(self.world.numbers()), count - len(self.letters(ft)))
        self.assertEqual(ft.command("dead", "retry", "--all")[0], 0)
        self.assertEqual(self.letters(ft), [])
        self.world.check_each_line_is_one_row(range(count))
        self.assertGreaterEqual(len(self.facts("trail.dead_retried")), count)
        self.assertEqual(ft.stop(), 0)


class Datadog(Case):
    """One line that Datadog refuses, and a flytrail that runs on."""

    def setUp(self):
        super().setUp()
        self.intake = self.enterContext(datadog.Intake())
        self.intake.poison = "numbered line 3 "
        self.ft = self.world.flytrail(**self.intake.environment()).start()
        self.world.publish(10)
        lab.wait_for(lambda: self.letters(self.ft, "datadog"), 60, "a dead letter")

    def messages(self, text):
        return [message for message in self.intake.messages() if message.startswith(text)]

    def test_it_keeps_what_datadog_said_and_is_retried_when_that_is_mended(self):
        letter, = self.letters(self.ft, "datadog")
        text = self.ft.command("dead", "show", letter)[1]
        self.assertRegex(text, r'(?m)^answer: ".+"$')
        self.assertIn("numbered line 3 ", text)
        status, text = self.ft.command("dead", "retry", letter)
        self.assertEqual(status, 1)
        self.assertEqual(self.letters(self.ft, "datadog"), [letter])
        self.intake.poison = None
        self.assertEqual(self.ft.command("dead", "retry", letter), (0, f"{letter}: delivered\n"))
        self.assertEqual(len(self.messages("numbered line 3 ")), 1)
        self.assertEqual(self.letters(self.ft, "datadog"), [])
        self.assertEqual([f"datadog/{row}" for row, *_ in self.facts("trail.dead_retried")], [letter])
        self.assertEqual(self.ft.stop(), 0)
        self.assertEqual(len(self.messages("numbered line ")), 10)

    def test_what_stays_refused_does_not_keep_the_next_from_being_delivered(self):
        path = self.path(self.ft, "dead-datadog.ndjson")
        self.assertEqual(self.ft.stop(), 0)
        with open(path, encoding="ascii") as file:
            letter = json.loads(file.readline())
        payload = base64.b64decode(letter["payload"]).replace(b"numbered line 3 ", b"numbered line 4 ")
        good = base64.b64encode(payload).decode()
        with open(path, "w", encoding="ascii") as file:
            for n in range(30):
                file.write(json.dumps({**letter, "seq": 1000 + n}) + "\n")
            file.write(json.dumps({**letter, "seq": 2000, "payload": good}) + "\n")
        status, text = self.ft.command("dead", "retry", "--all")
        self.assertEqual(status, 1)
        self.assertEqual(text.count(": refused once more: "), 30)
        self.assertIn("-2000: delivered\n", text)
        self.assertEqual(len(self.letters(self.ft, "datadog")), 30)

    def retry_delayed(self, meanwhile):
        """What becomes of a retry, while Datadog asks for seconds."""
        self.intake.poison = None
        before = len(self.intake.answers)
        self.intake.misbehave("status", code=429, headers=["Retry-After: 3"])
        command = subprocess.Popen([flytrail.BINARY, "dead", "retry", "--all"], env=self.ft.env,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lab.wait_for(lambda: len(self.intake.answers) > before, 30, "the first request")
        with lab.held_still(command):
            meanwhile()
        text = command.communicate(timeout=lab.ENDED_SECONDS)[0]
        return command.returncode, text

    def cut_off(self):
        self.world.pg.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                           "WHERE usename = 'flytrail_writer'")

    def test_a_connection_that_is_lost_meanwhile_is_made_again_for_the_fact(self):
        letter, = self.letters(self.ft, "datadog")
        self.assertEqual(self.ft.stop(), 0)
        self.assertEqual(self.retry_delayed(self.cut_off), (0, f"{letter}: delivered\n"))
        self.assertEqual(len(self.facts("trail.dead_retried")), 1)
        self.assertEqual(self.letters(self.ft, "datadog"), [])

    def test_what_is_delivered_and_cannot_be_on_record_is_said(self):
        letter, = self.letters(self.ft, "datadog")
        self.assertEqual(self.ft.stop(), 0)
        status, text = self.retry_delayed(self.world.pg.stop)
        self.assertEqual(status, 1)
        self.assertRegex(text, r"number \d+ was delivered, but that is not on record: .*Postgres")
        self.assertNotIn("refused once more", text)
        self.assertEqual(self.letters(self.ft, "datadog"), [letter])
        self.world.pg.restart()
        self.world.pg.psql("ALTER TABLE flytrail.events ADD CONSTRAINT quiet "
                           "CHECK (action <> 'trail.dead_retried')")
        status, text = self.ft.command("dead", "retry", "--all")
        self.assertEqual(status, 1)
        self.assertRegex(text, r"was delivered, but that is not on record: Postgres refuses a row")
        self.assertEqual(self.letters(self.ft, "datadog"), [letter])

    def test_what_is_left_out_by_now_is_not_delivered(self):
        letter, = self.letters(self.ft, "datadog")
        self.intake.poison = None
        self.ft.env["FLYTRAIL_DATADOG_SEND"] = "events"
        status, text = self.ft.command("dead", "retry", "--all")
        self.assertEqual(status, 1)
        self.assertIn("it is none of the records that datadog is to have: see FLYTRAIL_DATADOG_SEND", text)
        self.assertEqual(self.letters(self.ft, "datadog"), [letter])
        self.assertEqual(self.facts("trail.dead_retried"), [])
        del self.ft.env["FLYTRAIL_DATADOG_SEND"]
        self.assertEqual(self.ft.command("dead", "retry", "--all")[0], 0)
        self.assertEqual(len(self.messages("numbered line 3 ")), 1)

    def test_what_is_left_out_for_its_age_is_not_delivered(self):
        path = self.path(self.ft, "dead-datadog.ndjson")
        self.assertEqual(self.ft.stop(), 0)
        with open(path, encoding="ascii") as file:
            letter = json.loads(file.readline())
        payload = bytearray(base64.b64decode(letter["payload"]))
        when = int.from_bytes(payload[18:26], "little") - 19 * 3600 * 10**9  # behind version, kind and id
        payload[18:26] = when.to_bytes(8, "little")
        with open(path, "w", encoding="ascii") as file:
            file.write(json.dumps({**letter, "payload": base64.b64encode(payload).decode()}) + "\n")
        self.intake.poison = None
        status, text = self.ft.command("dead", "retry", "--all")
        self.assertEqual(status, 1)
        self.assertIn("FLYTRAIL_DATADOG_LATE", text)
        self.ft.env["FLYTRAIL_DATADOG_LATE"] = "send"
        self.assertEqual(self.ft.command("dead", "retry", "--all")[0], 0)
        self.assertEqual(self.letters(self.ft, "datadog"), [])


class Sinks(Case):
    """Letters of S3 are made here: it refuses no record that is one."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(s3.Server())

    def setUp(self):
        super().setUp()
        self.bucket = self.server.bucket()
        self.ft = self.world.flytrail(**self.server.environment(self.bucket))
        os.makedirs(self.ft.env["FLYTRAIL_SPOOL_DIR"])

    def bury(self, *letters):
        with open(self.path(self.ft, "dead-s3.ndjson"), "a", encoding="ascii") as out:
            for number, payload in letters:
                out.write(json.dumps({
                    "time": "2026-11-26T10:00:00.000000000Z", "sink": "s3", "stream": STREAM, "epoch": 2,
                    "seq": number, "reason": "it would not", "answer": "no\x1b[2J",
                    "payload": base64.b64encode(payload).decode()}) + "\n")

    def payload(self):
        """Of a line that the store has refused."""
        self.world.pg.psql("ALTER TABLE flytrail.log_lines ADD CONSTRAINT picky "
                           "CHECK (message !~ '^numbered ')")
        with self.world.flytrail() as other:
            self.world.publish(1)
            lab.wait_for(lambda: self.facts("trail.dead_lettered"), 60, "a dead letter")
            with open(self.path(other, "dead-store.ndjson"), encoding="ascii") as file:
                return base64.b64decode(json.loads(file.readline())["payload"])

    def test_a_letter_of_s3_is_an_object_of_its_own_and_a_fact(self):
        self.bury((41, self.payload()))
        letter = f"s3/{STREAM}.2-41"
        status, text = self.ft.command("dead", "show", letter)
        self.assertEqual(status, 0)
        self.assertIn('answer: "no\\u001b[2J"\n', text)
        self.assertEqual(self.ft.command("dead", "retry", letter), (0, f"{letter}: delivered\n"))
        index, key = self.bucket.keys()
        self.assertRegex(index, rf"^flytrail/index/date=\S+/{STREAM}\.2-0*41-0*41\.ndjson\.gz$")
        self.assertRegex(key, rf"^flytrail/lines/date=\S+/hour=\d\d/{STREAM}\.2-0*41-0*41\.ndjson\.gz$")
        line = json.loads(gzip.decompress(self.bucket.get(key)))
        self.assertRegex(line["message"], "^numbered line 0 ")
        self.assertEqual([row for row, *_ in self.facts("trail.dead_retried")], [f"{STREAM}.2-41"])
        self.assertEqual(self.letters(self.ft, "s3"), [])
        # Broken off before that was on record: the same once more.
        os.remove(self.path(self.ft, "dead-s3.settled.ndjson"))
        self.assertEqual(self.ft.command("dead", "retry", "--all"), (0, f"{letter}: delivered\n"))
        self.assertEqual(len(self.bucket.versions()), 2)

    def test_what_is_no_record_is_refused_once_more_and_the_next_is_delivered(self):
        self.bury((1, b"\x01\x01 no payload"), (2, self.payload()))
        status, text = self.ft.command("dead", "list", "--sink", "s3")
        self.assertEqual(status, 0)
        self.assertIn(": \"it would not\"\n", text)
        self.assertIn("what this version cannot read", text)
        self.assertIn("payload, in base64: AQEgbm8gcGF5bG9hZA==\n",
                      self.ft.command("dead", "show", f"s3/{STREAM}.2-1")[1])
        status, text = self.ft.command("dead", "retry", "--all", "--sink", "s3")
        self.assertEqual(status, 1)
        self.assertIn(f"s3/{STREAM}.2-1: refused once more: ", text)
        self.assertIn(f"s3/{STREAM}.2-2: delivered\n", text)
        self.assertEqual(self.letters(self.ft, "s3"), [f"s3/{STREAM}.2-1"])
        self.assertEqual(self.ft.command("dead", "drop", f"s3/{STREAM}.2-1", "--why", "it is none")[0], 0)
        self.assertEqual(self.facts("trail.dead_dropped")[0][3]["record_id"], "unknown")

    def test_one_whose_name_is_taken_does_not_keep_the_next_from_being_delivered(self):
        payload = self.payload()
        self.bury((1, payload))
        self.assertEqual(self.ft.command("dead", "retry", "--all")[0], 0)
        index, key = self.bucket.keys()
        self.bury(*((number, payload) for number in (2, 3, 4, 7)))
        name = "{:020}-{:020}.".format
        self.bucket.put(key.replace(name(1, 1), name(2, 2)), b"other")
        self.bucket.put(index.replace(name(1, 1), name(3, 3)), b"other")
        self.bucket.put(index.replace(name(1, 1), name(4, 4)), gzip.compress(
            gzip.decompress(self.bucket.get(index)).replace(name(1, 1).encode(), name(4, 4).encode())))
        status, text = self.ft.command("dead", "retry", "--all")
        self.assertEqual(status, 1)
        for number, folder in ((2, "lines"), (3, "index"), (4, "index")):
            self.assertRegex(text, rf's3/{STREAM}.2-{number}: refused once more: ".*/{folder}/.* is in the bucket already')
        self.assertIn(f"s3/{STREAM}.2-7: delivered\n", text)
        self.assertEqual(self.letters(self.ft, "s3"), [f"s3/{STREAM}.2-{number}" for number in (2, 3, 4)])
        self.assertIn(" is in the bucket already", self.ft.command("dead", "retry", f"s3/{STREAM}.2-2")[1])

    def test_where_the_sink_says_no_the_letter_stays(self):
        self.bury((1, self.payload()))
        for name, value, says in (("AWS_SECRET_ACCESS_KEY", "wrong", "S3 answers 403"),
                                  ("AWS_BUCKET", "", "s3 is not configured here")):
            with self.subTest(name=name):
                good, self.ft.env[name] = self.ft.env[name], value
                status, text = self.ft.command("dead", "retry", "--all")
                self.ft.env[name] = good
                self.assertEqual(status, 1)
                self.assertIn(says, text)
        self.assertEqual(len(self.letters(self.ft, "s3")), 1)
        self.assertEqual(self.facts("trail.dead_retried"), [])

    def test_a_sink_that_is_away_is_tried_a_few_times(self):
        self.bury((1, self.payload()))
        self.ft.env["S3_ENDPOINT"] = f"http://127.0.0.1:{lab.free_port()}"
        status, _ = self.ft.command("dead", "retry", "--all")
        self.assertEqual(status, 1)
        self.assertEqual(len(self.letters(self.ft, "s3")), 1)


if __name__ == "__main__":
    unittest.main()
