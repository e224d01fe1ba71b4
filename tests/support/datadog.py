"""Datadog's intake of logs, version 2, as a strict stand-in on loopback.

    with datadog.Intake() as intake:
        ... intake.environment() is what switches flytrail's sink on ...
        intake.logs                                 # what it accepted, in order; as dicts
        intake.late                                 # of what it accepted: older than 18 hours
        intake.poison = "bad"                       # 400 to a request with a log of such a message
        intake.bytes_max = 100_000                  # 413 beyond
        intake.key = "another"                      # 403 to whoever has the old one
        intake.misbehave("status", 3, code=429, headers=["Retry-After: 1"])
        intake.answers                              # (status, logs, why, at) of each request

It refuses what the published API refuses, and more: another path 404, another method 405, no key
401, another key 403, more than 5 MB of JSON 413, more than 1000 logs 413; and 400 for whatever is
no JSON array of logs in one gzip member with the right headers: see faults_of(). Datadog takes a
log of more than 1 MB and cuts it; here that is 400, so that a test fails that sends one.

It also plays the API that says whether a key is valid, GET /api/v1/validate, which is another host
of Datadog's: 403 to whatever comes without the key, or with a body.

Kinds of misbehave(): status (code=, headers=, body=), hang, half (of an answer), reset (when the request
was read), early (the answer, code=, before the body was read, and no more of it is). Of those where
the answer is lost, accepts=True keeps the logs nevertheless, as a broken network would.

Source: Datadog's API reference, "Send logs", "Validate API key"; "Log collection": attributes and tags.
"""

import collections
import contextlib
import gzip
import json
import re
import time
import zlib

import judging

PATH = "/api/v2/logs"
VALIDATE = "/api/v1/validate"
MB = 1_000_000
REQUEST_BYTES_MAX, LOG_BYTES_MAX, LOGS_MAX = 5 * MB, MB, 1000
LATE_SECONDS = 18 * 3600
TAGS_MAX, TAG_CHARS_MAX = 100, 200
ATTRIBUTES_MAX, KEY_CHARS_MAX, LEVELS_MAX = 256, 50, 10
STATUSES = ("emerg", "alert", "critical", "error", "warning", "notice", "info", "debug", "ok")
TEXTS = ("message", "ddsource", "ddtags", "hostname", "service", "status")
BLANKS = re.compile(r"[ \t\r\n]*")


class Bad(Exception):
    """A request that is refused: the status and why."""

    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


def pack(text):
    """As a client would: in one gzip member."""
    return gzip.compress(text.encode())


def inflate(body):
    """Of exactly one gzip member; no more of it than is taken."""
    member = zlib.decompressobj(31)
    try:
        text = member.decompress(body, REQUEST_BYTES_MAX + 1)
    except zlib.error as error:
        raise Bad(400, f"no gzip: {error}") from None
    if len(text) > REQUEST_BYTES_MAX:
        raise Bad(413, "too many bytes")
    if not member.eof or member.unused_data:
        raise Bad(400, "not one whole gzip member")
    return text


def object_of(pairs):
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key twice")
    return made


def no_constant(name):
    raise ValueError(name)


def skip(text, at):
    """Blanks."""
    return BLANKS.match(text, at).end()


def items_of(text):
    """(log, its bytes) of an array."""
    decoder = json.JSONDecoder(object_pairs_hook=object_of, parse_constant=no_constant)
    try:
        text = text.decode("utf-8")
        if not isinstance(decoder.decode(text), list):
            raise ValueError("no array")
        at, found = skip(text, text.index("[") + 1), []
        while text[at] != "]":
            item, end = decoder.raw_decode(text, at)
            found.append((item, len(text[at:end].encode())))
            at = skip(text, end)
            if text[at] == ",":
                at = skip(text, at + 1)
        return found
    except (ValueError, RecursionError) as error:
        raise Bad(400, f"no array: {error}") from None


def attributes_of(value, level=1):
    """(key, level) of all that is in a log."""
    for key, inner in value.items():
        yield key, level
        if isinstance(inner, dict):
            yield from attributes_of(inner, level + 1)


def faults_of(log, size):
    """What is wrong with one log."""
    if not isinstance(log, dict):
        return ["it is no object"]
    found = [f"{name} is no text" for name in TEXTS if name in log and not isinstance(log[name], str)]
    if found:
        return found
    if not log.get("message"):
        found.append("no message")
    if size > LOG_BYTES_MAX:
        found.append(f"{size} bytes")
    if not isinstance(log.get("timestamp"), int) or isinstance(log["timestamp"], bool):
        found.append("timestamp is no integer")
    if log.get("status", "info") not in STATUSES:
        found.append("a status that is none")
    tags = log["ddtags"].split(",") if log.get("ddtags") else []
    if len(tags) > TAGS_MAX or not all(":" in tag and len(tag) <= TAG_CHARS_MAX for tag in tags):
        found.append("tags")
    attributes = list(attributes_of(log))
    if len(attributes) >= ATTRIBUTES_MAX:
        found.append("too many attributes")
    if any(not 0 < len(key) < KEY_CHARS_MAX or level >= LEVELS_MAX for key, level in attributes):
        found.append("an attribute's name or depth")
    return found


class Intake(judging.Judging):
    """See above. Every setting may be changed while it runs."""

    KINDS = (*judging.Judging.KINDS, "half", "early")
    ANSWER = collections.namedtuple("Answer", "status logs why at")

    def __init__(self, key="0123456789abcdef0123456789abcdef"):
        super().__init__(Request)
        self.key = key
        self.poison = None
        self.bytes_max = REQUEST_BYTES_MAX
        self.logs, self.late = [], []

    def environment(self):
        return {"DATADOG_API_KEY": self.key, "FLYTRAIL_DATADOG_URL": self.url}

    def judge(self, headers, body):
        """The logs of a request that is right."""
        if "dd-api-key" not in headers:
            raise Bad(401, "no key")
        if headers["dd-api-key"] != self.key:
            raise Bad(403, "another key")
        if headers.get("content-type") != "application/json":
            raise Bad(400, "content-type")
        if headers.get("content-encoding") != "gzip":
            raise Bad(400, "content-encoding")
        text = inflate(body)
        if len(text) > self.bytes_max:
            raise Bad(413, "too many bytes")
        items = items_of(text)
        if len(items) > LOGS_MAX:
            raise Bad(413, "too many logs")
        for log, size in items:
            for fault in faults_of(log, size):
                raise Bad(400, fault)
            if self.poison is not None and self.poison in log["message"]:
                raise Bad(400, "poison")
        return [log for log, _ in items]

    def accept(self, logs):
        oldest_ms = (time.time() - LATE_SECONDS) * 1000
        with self.lock:
            self.logs.extend(logs)
            self.late.extend(log for log in logs if log["timestamp"] < oldest_ms)

    # ---- what tests ask ----

    def messages(self):
        with self.lock:
            return [log["message"] for log in self.logs]


class Request(judging.Request):
    content_type = "application/json"

    def judged(self, body):
        """(status, logs, why) of a request by what it is."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.path not in (PATH, VALIDATE):
            return 404, [], "another path"
        if self.command != ("POST" if self.path == PATH else "GET"):
            return 405, [], "another method"
        if len(headers) != len(self.headers):
            return 400, [], "a header twice"
        if self.path == VALIDATE:
            is_valid = headers.get("dd-api-key") == self.server.key and not body
            return (200, [], None) if is_valid else (403, [], "another key")
        try:
            return 202, self.server.judge(headers, body), None
        except Bad as bad:
            return bad.status, [], str(bad)

    def break_off(self, fault):
        """Or not all of it."""
        if fault.kind == "half":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{")
        else:
            super().break_off(fault)

    def answer(self):
        fault = self.server.take_fault()
        if fault and fault.kind == "early":
            self.close_connection = True
            self.server.note(fault.options.get("code", 503), 0, "told early")
            self.reply(fault.options.get("code", 503), ("Connection: close",), b"{}")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, logs, why = self.judged(body)
        if fault and fault.kind == "status":
            self.server.note(fault.options["code"], len(logs), "told status")
            self.reply(fault.options["code"], fault.options.get("headers", ()), fault.options.get("body", b"{}"))
            return
        if fault is None or fault.options.get("accepts"):
            self.server.accept(logs)
        self.server.note(status, len(logs), f"told {fault.kind}" if fault else why)
        with contextlib.suppress(OSError):
            if fault:
                self.break_off(fault)
            else:
                self.reply(status, body=b'{"valid":true}' if status == 200 else b"{}")

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer
