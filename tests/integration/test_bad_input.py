"""Bad input: each line is a stored row that says what it is, and its neighbours are rows, too.

The same lines come once through NATS and once through a file, into a real Postgres, and once
through `flytrail classify`.
"""

import base64
import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

MIB = 1024 * 1024
SUBJECT = "logs.web.ams.0e286551c30586"
NOW = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
NANOSECONDS = itertools.count(500000000)
COLUMNS = ["message", "raw", "attributes", "class", "app", "region", "machine_id", "occurred_at",
           "observed_at", "id"]
# When the file with them was written: an hour before it is read.
WRITTEN_NS = (time.time_ns() // 1000 - 3600 * 10**6) * 1000
WRITTEN = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(WRITTEN_NS // 10**9)) + f".{WRITTEN_NS // 1000 % 10**6:06}"


def line(message=b'"hello"', timestamp=None, more=b"", **parts):
    """A line of the NATS shape, whose values are given as they stand in the JSON. Without a
    timestamp it has one of its own: lines that say the same at the same time are one row."""
    timestamp = timestamp or b'"%s.%09dZ"' % (NOW.encode(), next(NANOSECONDS))
    app, level = parts.get("app", b'"web"'), parts.get("level", b'"info"')
    return (b'{"event":{"provider":"app"},"fly":{"app":{"instance":"0e286551c30586","name":' + app
            + b'},"region":"ams"},"host":"0ad1","log":{"level":' + level + b'},"message":' + message
            + b',"timestamp":' + timestamp + more + b"}")


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Item:
    """A bad line. marks: the attributes that must be there; the rest: columns as they must be."""

    def __init__(self, name, payload, marks=None, subject=SUBJECT, ways=("nats", "file"), **columns):
        self.name = name
        self.payload = payload
        self.marks = marks or {}
        self.subject = subject
        self.ways = ways
        self.columns = columns


def whole(name, payload, word, **more):
    """A line that cannot be decoded and is kept whole, with the word that says why."""
    more = {"message": payload.decode(errors="replace"), **more}
    return Item(name, payload, {"undecoded": word}, **more)


LONG = b"y" * (2 * MIB)
FAR = {"1970": "1970-01-01T00:00:00Z", "2262": "2262-04-11T23:47:16.854775807Z"}
MANY_FIELDS = line(more=b"".join(b',"f%d":%d' % (n, n) for n in range(200)))
ITEMS = [
    whole("no JSON, by NATS", b"Killed", "not_json", ways=["nats"]),
    whole("no JSON, in a file", b"Killed", "not_fly_text", ways=["file"]),
    whole("broken JSON", b'{"message":nope}', "not_json"),
    whole("two objects", line() + line(), "not_json"),
    whole("truncated", line()[:-30], "truncated"),
    whole("truncated in a text", b'{"fly":{"app":{"name":"web', "truncated"),
    Item("2 MiB", line(b'"' + LONG + b'"'), {"message_bytes": 2 * MIB, "message_sha256": sha256(LONG)},
         message="y" * MIB, app="web"),
    Item("2 MiB without JSON", LONG, {"message_bytes": 2 * MIB, "message_sha256": sha256(LONG)},
         message="y" * MIB),
    Item("5 MiB", LONG + LONG + LONG[:MIB],
         {"undecoded": "line_too_long", "line_bytes": 5 * MIB, "line_sha256": sha256(LONG + LONG + LONG[:MIB])},
         ways=["file"]),
    whole("10,000 levels", line(more=b',"a":' + b"[" * 10000 + b"]" * 10000), "too_deep"),
    whole("10,000 levels, never closed", b'{"a":' * 10000, "too_deep", ways=["nats"]),
    whole("a duplicate key", b'{"message":"a","message":"b"}', "duplicate_key"),
    whole("a duplicate key, spelled differently", b'{"message":"a","mess\\u0061ge":"b"}', "duplicate_key"),
    whole("a message that is a number", line(b"17"), "wrong_type"),
    whole("a message that is an object", line(b'{"a":1}'), "wrong_type"),
    whole("an array", b'["message"]', "wrong_type", ways=["nats"]),
    whole("null", b"null", "wrong_type", ways=["nats"]),
    Item("a level that is a number", line(level=b"3"), {"wrong_type": "log.level", "log.level": 3},
         message="hello", app="web"),
    Item("an application that is an object", line(app=b'{"x":1}'),
         {"wrong_type": "fly.app.name", "fly.app.name.x": 1}, message="hello", ways=["file"], app=None),
    Item("an application that is an object, by NATS", line(app=b'{"x":1}'),
         {"wrong_type": "fly.app.name", "fly.app.name.x": 1, "from_subject": True},
         message="hello", ways=["nats"], app="web"),
    whole("no message", b'{"timestamp":"' + NOW.encode() + b'Z"}', "missing_field"),
    Item("no time", b'{"fly":{"app":{"name":"web"}},"message":"hello"}', {"time": "missing"},
         message="hello", app="web"),
    Item("unknown fields", line(more=b',"extra":{"deep":[1,"two"]},"flag":true'),
         {"extra.deep.0": 1, "extra.deep.1": "two", "flag": True}, message="hello"),
    Item("more fields than there is room for", MANY_FIELDS, {"f0": 0, "fields_in_raw": True},
         message="hello", raw=MANY_FIELDS),
    Item("invalid UTF-8", line(b'"caf\xe9 \xff\xfe"'), message="caf\ufffd \ufffd\ufffd", raw=b"caf\xe9 \xff\xfe"),
    Item("invalid UTF-8 in an application's name", line(app=b'"w\xffb"'), app="w\ufffdb", message="hello",
         ways=["file"]),
    whole("invalid UTF-8 without JSON", b"\x80\x81 binary", "not_json", ways=["nats"],
          message="\ufffd\ufffd binary", raw=b"\x80\x81 binary"),
    Item("half of a surrogate pair", line(b'"a\\ud800b\\udfffc"'), message="a\ufffdb\ufffdc",
         raw=b"a\xed\xa0\x80b\xed\xbf\xbfc"),
    Item("NUL, escaped", line(b'"a\\u0000b"'), message="a\ufffdb", raw=b"a\0b"),
    Item("NUL in a key and in a value", line(more=b',"k\\u0000":"v\\u0000"'), {"k\ufffd": "v\ufffd"},
         message="hello"),
    whole("NUL, as it is", b"a\0b", "not_json", ways=["nats"], message="a\ufffdb", raw=b"a\0b"),
    Item("terminal escapes", line(b'"\\u001b[2J\\u001b]0;owned\\u0007\\u001b[31mred\\u001b[0m"'),
         message="\x1b[2J\x1b]0;owned\x07\x1b[31mred\x1b[0m"),
    Item("the year 1970", line(timestamp=b'"%s"' % FAR["1970"].encode()),
         {"time": "out_of_range", "claimed_time": FAR["1970"]}, message="hello"),
    Item("the year 2262", line(timestamp=b'"%s"' % FAR["2262"].encode()),
         {"time": "out_of_range", "claimed_time": FAR["2262"]}, message="hello"),
    Item("the year 9999", line(timestamp=b'"9999-12-31T23:59:59Z"'),
         {"time": "unreadable", "claimed_time": "9999-12-31T23:59:59Z"}, message="hello"),
    Item("a time that is none", line(timestamp=b'"yesterday"'),
         {"time": "unreadable", "claimed_time": "yesterday"}, message="hello"),
    Item("a time that is a number", line(timestamp=b"1700000000"),
         {"time": "missing", "wrong_type": "timestamp", "timestamp": 1700000000}, message="hello"),
    Item("an empty message", line(b'""'), {"empty_message": True}, message="", app="web"),
    Item("known fields' parents that are none", b'{"fly":5,"message":"hello","timestamp":5}',
         {"wrong_type": "fly,timestamp", "fly": 5, "timestamp": 5, "time": "missing"}, message="hello", ways=["file"]),
    whole("nothing at all", b"", "not_json", ways=["nats"]),
    Item("a subject that names another application", line(), {"subject_mismatch": "logs.other.ams.0e286551c30586"},
         subject="logs.other.ams.0e286551c30586", ways=["nats"], app="web"),
    Item("a subject that names less", line(), subject="logs.web", ways=["nats"], app="web"),
    Item("a subject that names more", line(), {"subject_mismatch": SUBJECT + ".more"},
         subject=SUBJECT + ".more", ways=["nats"], app="web"),
]


def neighbour(n):
    return line(b'"neighbour %d"' % n, timestamp=b'"%s.%09dZ"' % (NOW.encode(), n))


class BadInput(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def rows(self):
        sql = ("SELECT message, encode(raw, 'hex'), coalesce(attributes, '{}'), class, app, region, machine_id, "
               "to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), "
               "to_char(observed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), id "
               "FROM flytrail.log_lines ORDER BY seq")
        rows = [dict(zip(COLUMNS, row)) for row in self.world.pg.psql(sql)]
        for row in rows:
            row["raw"] = row["raw"] and bytes.fromhex(row["raw"])
            row["attributes"] = json.loads(row["attributes"])
        return rows

    def check(self, way, rows):
        items = [item for item in ITEMS if way in item.ways]
        self.assertEqual([row["message"] for row in rows[::2]],
                         [f"neighbour {n}" for n in range(len(items) + 1)])
        self.assertEqual(len(rows), 2 * len(items) + 1)
        for item, row in zip(items, rows[1::2]):
            with self.subTest(item.name):
                self.check_item(item, row, way)

    def check_item(self, item, row, way):
        got = {key: row["attributes"].get(key) for key in item.marks}
        self.assertEqual(got, item.marks, f"all attributes: {str(row['attributes'])[:1000]}")
        for column, value in item.columns.items():
            self.assertTrue(row[column] == value, f"{column} is {str(row[column])[:200]!r}")
        self.assertEqual(row["class"], "app_log")
        if "time" in item.marks:
            self.assertEqual(row["occurred_at"], WRITTEN if way == "file" else row["observed_at"])

    def check_silent(self, log):
        for word in (b"hello", b"neighbour", b"owned", b"yyyy"):
            self.assertNotIn(word, log)

    def test_through_nats(self):
        ft = self.world.flytrail().start()
        messages = [(SUBJECT, neighbour(0))]
        for n, item in enumerate(item for item in ITEMS if "nats" in item.ways):
            messages += [(item.subject, item.payload), (SUBJECT, neighbour(n + 1))]
        self.world.nats.publish(messages)
        self.world.await_rows(len(messages))
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(ft.events("dead_letter"), [])
        with open(ft.log_path, "rb") as log:
            self.check_silent(log.read())
        self.assertEqual(self.world.gaps(), [])
        self.check("nats", self.rows())

    def write_file(self):
        path = os.path.join(self.world.folder, "bad-lines")
        with open(path, "wb") as out:
            out.write(neighbour(0) + b"\n")
            for n, item in enumerate(item for item in ITEMS if "file" in item.ways):
                out.write(item.payload + b"\n" + neighbour(n + 1) + b"\n")
        os.utime(path, ns=(WRITTEN_NS, WRITTEN_NS))
        return path

    def classify(self, path):
        done = subprocess.run([flytrail.BINARY, "classify", path], capture_output=True, timeout=lab.ENDED_SECONDS, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_by_classify(self):
        """A time is taken however far away; else a line has the time that it is stored with."""
        rows = self.classify(self.write_file())
        for row in rows:
            row["occurred_at"] = row["occurred_at"][:26].replace("T", " ")
            row["raw"] = base64.b64decode(row["raw"]) if row.get("raw") else None
            row["attributes"] = row["attributes"] or {}
            if row["occurred_at"][:4] in ("1970", "2262"):
                row["attributes"].update(time="out_of_range", claimed_time=FAR[row["occurred_at"][:4]])
                row["occurred_at"] = WRITTEN
        self.check("file", rows)

    def test_through_a_file(self):
        """Twice: the second reading adds nothing, and `classify` gives each line the id that it has."""
        path = self.write_file()
        env = {**self.world.env(), "FLYTRAIL_SPOOL_DIR": os.path.join(self.world.folder, "spool"),
               "FLYTRAIL_SPOOL_MAX_BYTES": "256MiB"}
        for _ in range(2):
            done = subprocess.run([flytrail.BINARY, "run", path], env=env, capture_output=True, timeout=lab.ENDED_SECONDS,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.check_silent(done.stderr)
            rows = self.rows()
            self.check("file", rows)
        for row in rows:
            if "time" in row["attributes"]:
                self.assertGreater(row["observed_at"], WRITTEN)
        self.assertEqual([row["id"] for row in rows], [row["id"] for row in self.classify(path)])


if __name__ == "__main__":
    unittest.main()
