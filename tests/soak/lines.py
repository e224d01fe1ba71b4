"""The lines of a soak: what is published, where, and what must be stored of it.

A line is (nanoseconds, index of its place, index of its form); its number is its place in the
list of all lines. What it says and what has to be stored follow from these.
"""

import hashlib
import json
import os
import random
import struct
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# (application, region, machine, host)
PLACES = (
    ("web-1", "ams", "0e286551c30581", "0ad1"), ("web-1", "ams", "0e286551c30582", "0ad1"),
    ("web-1", "iad", "0e286551c30583", "0ad2"), ("shop-worker", "ams", "0e286551c30584", "0ad1"),
    ("shop-worker", "fra", "0e286551c30585", "0ad3"), ("db-1", "ams", "0e286551c30586", "0ad4"),
    ("quiet-1", "syd", "0e286551c30587", "0ad5"),
)
PLACE_WEIGHTS = (24, 24, 16, 16, 16, 3, 1)
FAT_BYTES = 8192
# (what an application prints, what may be stored of it)
SECRETS = (
    ("soak line {n} token ghp_EXAMPLEexample0017EXAMPLE went by",
     "soak line {n} token [REDACTED:github_token] went by"),
    ("soak line {n} connects to postgres://app:EXAMPLE-pa55word-0008@db.example.com:5432/main",
     "soak line {n} connects to postgres://app:[REDACTED:url_password]@db.example.com:5432/main"),
    ("soak line {n} has fm2_lJPEXAMPLEorganisation+0003/EXAMPLE in it",
     "soak line {n} has [REDACTED:fly_token] in it"),
    ("soak line {n} PGPASSWORD=EXAMPLE0050", "soak line {n} PGPASSWORD=[REDACTED:password]"),
)
SECRET_PIECES = ("ghp_EXAMPLE", "EXAMPLE-pa55word", "EXAMPLEorganisation", "EXAMPLE0050")
PLAIN = ("soak line {n} GET /things answered 200 to a visitor who asked for nothing in particular",
         "soak line {n} grüßt 世界 mit \"quotes\", a \\ and a\ttab",
         "\x1b[32m INFO\x1b[0m soak line {n} in colour")
PLAIN_SHARE, KNOWN_SHARE = 0.94, 0.98  # the rest: known forms up to the second, then secrets

ID_HEAD = b"flytrail line 1\n"


class Form:
    """What a line may say: sent and stored are templates with {n}, or fixed texts."""

    def __init__(self, sent, stored=None, provider="app", level="info"):
        self.sent = sent
        self.stored = sent if stored is None else stored
        self.provider = provider
        self.level = level
        self.is_fixed = "{n}" not in sent

    def sent_text(self, n):
        return self.sent if self.is_fixed else self.sent.replace("{n}", str(n))

    def stored_text(self, n):
        return self.stored if self.is_fixed else self.stored.replace("{n}", str(n))


def known_forms():
    """Lines that are events, as Fly prints them."""
    with open(os.path.join(ROOT, "tests", "data", "log-lines.jsonl"), encoding="utf-8") as file:
        rows = [json.loads(row) for row in file]
    seen = set()
    for row in rows:
        if row["label"] == "app_log" or not row["provider"] or row["message"] in seen:
            continue
        seen.add(row["message"])
        yield Form(row["message"], provider=row["provider"], level=row["level"] or "info")


class Forms:
    """All forms of a soak, and a random choice among them."""

    def __init__(self, rng):
        self.rng = rng
        plain = [Form(text) for text in PLAIN]
        secrets = [Form(sent, stored) for sent, stored in SECRETS]
        fat = [Form("soak line {n} is fat " + "x0123456789" * (FAT_BYTES // 11))]
        self.all = plain + list(known_forms()) + secrets + fat
        self.fat = len(self.all) - 1
        self.first_known, self.first_secret = len(plain), len(self.all) - len(secrets) - 1
        self.quoted = {}

    def choose(self):
        kind = self.rng.random()
        if kind < PLAIN_SHARE:
            return 0 if kind > 0.1 else self.rng.randrange(self.first_known)
        if kind < KNOWN_SHARE:
            return self.rng.randrange(self.first_known, self.first_secret)
        return self.rng.randrange(self.first_secret, self.fat)

    def add_fixed(self, text):
        """A form for a line that somebody else made, such as flytrail's heartbeat."""
        self.all.append(Form(text.replace("{n}", "{N}")))
        return len(self.all) - 1

    def quoted_text(self, form_index, n):
        """What the line says, as JSON."""
        form = self.all[form_index]
        if form_index not in self.quoted:
            self.quoted[form_index] = json.dumps(form.sent, ensure_ascii=False)
        quoted = self.quoted[form_index]
        return quoted if form.is_fixed else quoted.replace("{n}", str(n))

    def payload(self, place, form_index, n, time_text):
        """As Fly publishes: compact, keys sorted."""
        form = self.all[form_index]
        message = self.quoted_text(form_index, n)
        app, region, machine, host = place
        return (f'{{"event":{{"provider":"{form.provider}"}},"fly":{{"app":{{"instance":'
                f'"{machine}","name":"{app}"}},"region":"{region}"}},"host":"{host}",'
                f'"log":{{"level":"{form.level}"}},"message":{message},'
                f'"timestamp":"{time_text}"}}').encode()


def line_id(app, machine, message, ns):
    """The id that flytrail promises for a line, made here by its documented recipe."""
    hasher = hashlib.sha256(ID_HEAD)
    for text in (app, machine, message):
        raw = text.encode()
        hasher.update(struct.pack(">I", len(raw)) + raw)
    hasher.update(struct.pack(">q", ns))
    raw = bytearray(hasher.digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x1F | 0x80  # the row has all that this is made from
    return str(uuid.UUID(bytes=bytes(raw)))


class Lines:
    """Every line of a soak in the order of its number."""

    def __init__(self, seed):
        self.rng = random.Random(f"flytrail soak lines {seed}")
        self.forms = Forms(self.rng)
        self.places = list(PLACES)
        self.all = []
        self.last_ns = 0
        self.at_last_ns = set()  # places that have a line of this very nanosecond

    def place_index(self, place):
        if place not in self.places:
            self.places.append(place)
        return self.places.index(place)

    def time(self, place_index, ns):
        """Mostly a nanosecond of its own; now and then one shared with another machine's line."""
        if self.rng.random() < 0.02 and place_index not in self.at_last_ns and self.at_last_ns:
            ns = self.last_ns
        elif ns <= self.last_ns:
            ns = self.last_ns + 1
        if ns != self.last_ns:
            self.last_ns = ns
            self.at_last_ns.clear()
        self.at_last_ns.add(place_index)
        return ns

    def add(self, place_index, form_index, now_ns):
        """Returns (number, nanoseconds)."""
        ns = self.time(place_index, now_ns)
        self.all.append((ns, place_index, form_index))
        return len(self.all) - 1, ns

    def choose_place(self):
        return self.rng.choices(range(len(PLACES)), PLACE_WEIGHTS)[0]

    def stored_text(self, n):
        return self.forms.all[self.all[n][2]].stored_text(n)

    def place(self, n):
        return self.places[self.all[n][1]]
