"""Planted secrets, of every kind, in every position: searched for wherever flytrail leaves bytes.

Those are the spool, Postgres, stderr, the dead letters; and a core, of which there is none. The
secrets of tests/data/secrets.txt all say EXAMPLE, and what stands around them never does.
"""

import base64
import json
import os
import resource
import signal
import subprocess
import sys
import time
import unittest
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402

NOW = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
SUBJECT = "logs.web.ams.0e286551c30586"
TEXT_PREFIX = f"{NOW}Z app[0e286551c30586] ams [info]"
DEAD = "nobody stores this"
# A key as openssl prints it; the lines are made up.
PEM = ["-----BEGIN RSA PRIVATE KEY-----",
       *("EXAMPLE" + str(n) * 3 + "abcdefghijklmnopqrstuvwxyz0123456789+/ABCDEFGHIJKLMNOP" + "xy" for n in range(4)),
       "EXAMPLEshortLast==",
       "-----END RSA PRIVATE KEY-----"]


def planted():
    """(kind, secret, the text that it stands in) of each."""
    with open(os.path.join(ROOT, "tests", "data", "secrets.txt"), encoding="utf-8") as lines:
        return [line.rstrip("\n").split("\t") for line in lines]


def nats(message="x", **parts):
    """An object of the NATS shape."""
    get = parts.pop
    return {"event": {"provider": get("provider", "app")},
            "fly": {"app": {"instance": get("instance", "0e286551c30586"), "name": get("app", "web")},
                    "region": get("region", "ams")},
            "host": get("host", "0ad1"), "log": {"level": get("level", "info")}, "message": message,
            "timestamp": get("timestamp", f"{NOW}.{len(message):09}Z"), **parts}


def dump(value):
    return json.dumps(value, separators=(",", ":")).encode()


def fly_json(text):
    return {"level": "info", "instance": "0e286551c30586", "message": text, "region": "ams",
            "timestamp": f"{NOW}Z",
            "meta": {"Instance": "0e286551c30586", "Region": "ams", "Event": {"Provider": "app"},
                     "HTTP": {"Request": {"ID": text, "Method": "GET", "Version": ""},
                              "Response": {"status_code": 0}},
                     "Error": {"Code": 0, "Message": text}, "URL": {"Full": text}}}


def escaped(text):
    return "".join(f"\\u{ord(c):04x}" for c in text)


def with_byte(make, text, secret, middle, byte=b"\xff"):
    """An object that has the text with a byte in the middle of the secret that is no UTF-8."""
    return dump(make(text.replace(secret, f"{secret[:middle]}@@@{secret[middle:]}"))).replace(b"@@@", byte)


def objects(secret, text):
    """The text in each place of an object of the NATS shape."""
    middle = len(secret) // 2
    return {
        "message": dump(nats(text)),
        "a field of its own": dump(nats(extra={"note": text})),
        "an array": dump(nats(list=[1, [text]])),
        "a key": dump(nats(**{text: 1})),
        "a key of a boolean": dump(nats(extra={text: True})),
        "a list under the name of a secret": dump(nats(extra={"password": [1, [secret]]})),
        "an object under the name of a secret": dump(nats(auth={"api": {"key": {"value": secret}}})),
        "a list of headers": dump(nats(headers=[{"name": "Cookie", "value": secret}])),
        "a name with NUL": dump(nats(**{"pass\0word": secret})),
        "a message that is an object": dump(nats(**{"message": {"password": {"value": secret}, "x": text}})),
        "JSON with an object under such a name": dump(nats(dump({"token": {"a": [secret]}}).decode())),
        "percent encoding": dump(nats("GET /?u=" + urllib.parse.quote(text, safe=""))),
        "percent encoding, twice": dump(nats(urllib.parse.quote(urllib.parse.quote(text)))),
        "a byte in its middle": with_byte(nats, text, secret, middle),
        "a byte in its middle, in a field": with_byte(lambda t: nats(extra={"note": t}), text, secret, middle),
        "a byte in its middle, in the app": with_byte(lambda t: nats(app=t), text, secret, middle),
        "a surrogate in its middle": with_byte(nats, text, secret, middle, b"\\ud800"),
        "a key on the way": dump(nats(extra={text: {"x": 1}})),
        **{name: dump(nats(**{name: text}))
           for name in ("app", "instance", "region", "host", "provider", "level", "timestamp")},
        "the time of another year": dump(nats(text, timestamp="1970-01-01T00:00:00Z")),
        "escapes": dump(nats("@@")).replace(b"@@", escaped(text).encode()),
        "JSON in JSON": dump(nats(dump({"log": dump({"text": text}).decode()}).decode())),
        "more fields than there is room for": dump(nats(**{f"f{n}": text for n in range(80)})),
        "the limit of a field": dump(nats(extra="y " * 500 + text)),
        "the limit of a message": dump(nats("z" * (1024 * 1024 - len(text) + 5) + " " + text)),
        "colours": dump(nats(text.replace(secret, f"\x1b[31m{secret}\x1b[0m"))),
        "a colour in its middle": dump(nats(text.replace(secret, f"{secret[:middle]}\x1b[1m{secret[middle:]}"))),
        "NUL": dump(nats("\0" + text)),
        "NUL in its middle": dump(nats(text.replace(secret, f"{secret[:middle]}\0{secret[middle:]}"))),
        "invalid UTF-8": dump(nats(text)).replace(b'"message":"', b'"message":"\xff'),
        "half of a surrogate pair": dump(nats(text)).replace(b'"message":"', b'"message":"\\ud800'),
    }


def undecoded(secret, text):
    """The text in lines that cannot be decoded."""
    middle = len(secret) // 2
    return {
        "truncated": dump(nats(text))[:-20],
        "truncated in the text": dump({"message": text})[:-2],
        "truncated, with escapes": b'{"message":"' + escaped(text).encode(),
        "truncated, with escaped slashes": dump({"message": text}).replace(b"/", b"\\/")[:-2],
        "duplicate key": b'{"message":"a","message":' + dump(text) + b"}",
        "a message of another type": b'{"message":[' + dump(text) + b"]}",
        "no message": dump({"fly": {"app": {"name": text}}}),
        "too deep": b'{"a":' + b"[" * 200 + dump(text) + b"]" * 200 + b"}",
        "no JSON": text.encode(),
        "no JSON, with a byte in its middle": text.encode().replace(secret.encode(), secret[:middle].encode()
                                                                    + b"\xff" + secret[middle:].encode()),
    }


def texts(text):
    """The text in what `fly logs` prints."""
    return {
        "fly logs": (TEXT_PREFIX + text).encode(),
        "fly logs with colours": f"\x1b[2m{NOW}Z\x1b[0m app[\x1b[36m0e286551c30586\x1b[0m] \x1b[33mams\x1b[0m "
                                 f"[\x1b[34minfo\x1b[0m]{text}".encode(),
        "its error": f'error.message="{text}" {NOW}Z proxy[0e286551c30586] ams [error]'.encode(),
        "its address": f'{NOW}Z proxy[0e286551c30586] ams [error]request.method="GET" request.url="{text}" x'.encode(),
        "fly logs --json": json.dumps(fly_json(text), indent=4).encode(),
    }


def subjects(secret):
    """Subjects with the secret as each part, where it can be one."""
    if any(c in secret for c in " .*>\t\r\n"):
        return []
    return [f"logs.{secret}.ams.x", f"logs.web.{secret}.x", f"logs.web.ams.{secret}", f"logs.web.ams.x.{secret}"]


class Secrets(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())
        self.world.pg.psql("ALTER TABLE flytrail.log_lines ADD CONSTRAINT refused "
                           f"CHECK (message NOT LIKE '%{DEAD}%')")
        self.lines = []
        for _, secret, text in planted():
            text = text.replace("\\n", "\n") if "BEGIN" in text else text
            secret = secret.replace("\\n", "\n") if "BEGIN" in secret else secret
            self.lines += [*objects(secret, text).values(), *undecoded(secret, text).values()]
        self.texts = [line for _, _, text in planted() if "BEGIN" not in text
                      for line in texts(text).values()]

    def needles(self):
        """What must be nowhere, in every form that a byte of it may be stored in."""
        words = {b"EXAMPLE", *(secret.encode() for _, secret, _ in planted() if "EXAMPLE" not in secret)}
        for word in words:
            yield word
            yield word.hex().encode()
            for shift in range(3):  # in base64, whatever stands before it
                coded = base64.b64encode(b"\0" * shift + word)
                yield coded[4 if shift else 0:len(coded) // 4 * 4 - 4]

    def check_bytes(self, where, data):
        for needle in self.needles():
            at = data.find(needle)
            self.assertEqual(at, -1, f"{where}: {data[max(0, at - 300):at + 100]!r}")

    def check_everywhere(self, ft_folder):
        """Every file under the spool's folder (dead letters are there, too), the log, Postgres."""
        seen = 0
        for folder, _, names in os.walk(ft_folder):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    data = file.read()
                seen += len(data)
                self.check_bytes(os.path.join(folder, name), data)
        self.assertGreater(seen, 100000)
        dumped = subprocess.run([f"{lab.PG_BIN}/pg_dump", self.world.pg.url()], capture_output=True, check=True)
        self.assertIn(b"[REDACTED:", dumped.stdout)
        self.check_bytes("Postgres", dumped.stdout)
        self.check_bytes("Postgres's log", self.world.pg.log().encode())

    def check_dead_letters(self, spool, count):
        with open(os.path.join(spool, "dead-store.ndjson"), encoding="utf-8") as file:
            letters = [json.loads(line) for line in file]
        self.assertEqual(len(letters), count)
        for letter in letters:
            payload = base64.b64decode(letter["payload"])
            self.assertIn(b"[REDACTED:", payload)
            self.check_bytes("a dead letter", payload)

    def test_by_nats(self):
        # Postgres is away at first, so that all of it is in the spool when it is looked at.
        self.world.pg.stop()
        ft = self.world.flytrail().start(wait=False)
        ft.await_event("source_connected")
        dead = [dump(nats(f"{DEAD}: {text}")) for _, _, text in planted()[:3]]
        # Without those of 1 MiB: all at once they would be more than NATS holds for a reader.
        short = [line for line in self.lines if len(line) < 100000]
        messages = [(SUBJECT, line) for line in short] + [(SUBJECT, line) for line in dead]
        named = [subject for _, secret, _ in planted() for subject in subjects(secret)
                 if secret[:4].lower() in ("fm1r", "fm1a", "fm2_", "ghp_", "npm_", "akia")]
        self.assertGreater(len(named), 12)
        messages += [(subject, line) for subject in named for line in (b"no JSON", dump(nats()))]
        for at in range(0, len(messages), 200):
            self.world.nats.publish(messages[at:at + 200])
        # Whole lines: those are known wherever a batch ends.
        self.world.nats.publish([(SUBJECT, dump(nats(line))) for line in PEM[:5]])
        time.sleep(1)
        self.check_bytes("the spool", self.read_spool(ft))
        self.world.pg.restart()
        lab.wait_for(lambda: self.buried() == len(dead), 60, "dead letters")
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.world.gaps(), [])
        self.check_dead_letters(ft.env["FLYTRAIL_SPOOL_DIR"], len(dead))
        self.check_everywhere(ft.folder)

    def buried(self):
        sql = "SELECT count(*) FROM flytrail.events WHERE action = 'trail.dead_lettered'"
        return int(self.world.pg.psql(sql)[0][0])

    def read_spool(self, ft):
        data = b""
        for name in os.listdir(ft.env["FLYTRAIL_SPOOL_DIR"]):
            with open(os.path.join(ft.env["FLYTRAIL_SPOOL_DIR"], name), "rb") as file:
                data += file.read()
        self.assertIn(b"[REDACTED:", data)
        return data

    def test_by_a_file(self):
        ft = self.world.flytrail()
        path = os.path.join(self.world.folder, "planted")
        with open(path, "wb") as out:
            for line in self.lines + self.texts:
                out.write(line + b"\n")
            for line in PEM:
                out.write((TEXT_PREFIX + line + "\n").encode())
            out.write((TEXT_PREFIX + "key:\n" + "\n".join(PEM) + "\n").encode())
        done = subprocess.run([flytrail.BINARY, "run", "--app", "web", path], env=ft.env, capture_output=True,
                              timeout=lab.ENDED_SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_bytes("stderr", done.stderr)
        self.check_everywhere(ft.folder)

    def test_by_classify(self):
        whole = b"".join(line + b"\n" for line in self.lines + self.texts)
        done = subprocess.run([flytrail.BINARY, "classify"], input=whole, capture_output=True, timeout=lab.ENDED_SECONDS, check=True)
        self.assertEqual(done.stderr, b"")
        for number, line in enumerate(done.stdout.splitlines()):
            self.check_bytes(f"line {number}", line)

    def test_no_core_is_written(self):
        resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
        ft = self.world.flytrail().start()
        self.world.nats.publish([(SUBJECT, line) for line in self.lines[:50]])
        self.world.await_rows(10)
        ft.signal(signal.SIGABRT)
        _, status = os.waitpid(ft.process.pid, 0)
        ft.process.returncode = -signal.SIGABRT
        self.assertEqual(os.WTERMSIG(status), signal.SIGABRT)
        self.assertFalse(os.WCOREDUMP(status))


if __name__ == "__main__":
    unittest.main()
