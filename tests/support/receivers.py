"""Who is told by flytrail, as strict stand-ins on loopback: Slack's incoming webhooks, a webhook of
one's own, and a service that expects a ping.

    with receivers.Slack() as slack, receivers.Webhook() as hook, receivers.Pings() as pings:
        ... slack.environment() and so on switch them on ...
        slack.messages          # (when, text) of each that was taken
        hook.events             # of each that was taken, as dicts
        hook.signed             # (signature, body) of each that came
        pings.times             # when it was requested
        slack.misbehave("status", 3, code=503, headers=["Retry-After: 1"])
        slack.poison = "bad"    # 400 invalid_payload to a message with that in it
        slack.answers           # (status, why, at) of each request

Slack answers as it documents: "ok"; 400 invalid_payload for what is no JSON object with a text, or of
another Content-Type; 404 no_service at another path; 429 rate_limited with Retry-After beyond one
message a second, short bursts of which it bears. And it complains of what Slack would do with a text and
nobody wants: markup that is not escaped or not known, more than 40,000 characters, a control
character, an address that it would make a link of outside of code.

The webhook verifies the signature as README's section tells its receivers to, and refuses with 401 what
is not signed with its key, or was minutes ago.

Kinds of misbehave(): status (code=, headers=, body=), hang, reset; keeps=True: what came is taken
nevertheless, and only the answer is lost.

Sources: Slack's "Sending messages using incoming webhooks", "Formatting text for app surfaces", "Rate limits".
"""

import collections
import contextlib
import hashlib
import hmac
import json
import re
import time
import unicodedata

import judging

Message = collections.namedtuple("Message", "at text")

SLACK_CHARS_MAX = 40_000
BURST = 4  # Slack bears "short bursts"
CODE = re.compile(r"`[^`\n]+`")
ENTITY = re.compile(r"&(?!amp;|lt;|gt;)")
LINK = re.compile(r"https?://|www\.|\w@\w")
SIGNATURE = re.compile(r"t=(\d{10}),v1=([0-9a-f]{64})")
SKEW_SECONDS = 300


class Bad(Exception):
    """A request that is refused: status, why, body and headers of the answer."""

    def __init__(self, status, why, body=b"", headers=()):
        super().__init__(why)
        self.status, self.body, self.headers = status, body, headers


class Receiver(judging.Judging):
    path = "/"
    ANSWER = collections.namedtuple("Answer", "status why at")

    def __init__(self):
        super().__init__(Request)

    @property
    def hook(self):
        return self.url + self.path


class Slack(Receiver):
    path = "/services/TEXAMPLE/BEXAMPLE/SECRETEXAMPLEofSLACK"
    method = "POST"

    def __init__(self):
        super().__init__()
        self.messages, self.faulty, self.times = [], [], []
        self.poison = None

    def environment(self):
        return {"SLACK_WEBHOOK_URL": self.hook}

    def text(self):
        """All that was taken, in order."""
        with self.lock:
            return "\n".join(message.text for message in self.messages)

    def judge(self, headers, body):
        if headers.get("content-type") != "application/json":
            raise Bad(400, "content-type", b"invalid_payload")
        now = time.monotonic()
        with self.lock:
            recent = [at for at in self.times if now - at < BURST]
            self.times.append(now)
        if len(recent) >= BURST:
            raise Bad(429, "too fast", b"rate_limited", ["Retry-After: 1"])
        try:
            payload = json.loads(body.decode("utf-8"))
            text = payload["text"]
            if not isinstance(text, str) or not text.strip():
                raise ValueError("no text")
        except (ValueError, KeyError, TypeError) as error:
            raise Bad(400, f"no payload: {error}", b"invalid_payload") from None
        if self.poison is not None and self.poison in text:
            raise Bad(400, "poison", b"invalid_payload")
        return text

    def accept(self, text):
        with self.lock:
            self.messages.append(Message(time.monotonic(), text))
            self.faulty += [f"{fault}: {text}" for fault in faults_of(text)]

    answer_body = b"ok"


def faults_of(text):
    """What of a message would do more than be read."""
    if len(text) > SLACK_CHARS_MAX:
        yield f"{len(text)} characters"
    if ENTITY.search(text) or "<" in text or ">" in text:
        yield "markup that is not escaped"
    for c in text:
        if c != "\n" and (unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")):
            yield f"the character U+{ord(c):04X}"
            break
    if text.count("`") % 2:
        yield "code that does not end"
    if LINK.search(CODE.sub("", text)):
        yield "a link outside of code"
    if re.search(r"(?<!\[)://", text):
        yield "an address that a client may make a link of"


class Webhook(Receiver):
    path = "/hooks/EXAMPLE?token=SECRETEXAMPLEofHOOK"
    method = "POST"

    def __init__(self, key="an-EXAMPLE-key-of-32-characters!"):
        super().__init__()
        self.key = key
        self.events, self.bodies, self.times, self.signed = [], [], [], []
        self.poison = None

    def environment(self):
        return {"FLYTRAIL_WEBHOOK_URL": self.hook, "FLYTRAIL_WEBHOOK_KEY": self.key}

    def judge(self, headers, body):
        if headers.get("content-type") != "application/json":
            raise Bad(400, "content-type")
        self.signed.append((headers.get("x-flytrail-signature", ""), body))
        signed = SIGNATURE.fullmatch(headers.get("x-flytrail-signature", ""))
        if not signed or abs(time.time() - int(signed[1])) > SKEW_SECONDS:
            raise Bad(401, "not signed now")
        made = hmac.new(self.key.encode(), signed[1].encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(made, signed[2]):
            raise Bad(401, "another key")
        try:
            payload = json.loads(body.decode("utf-8"))
            events = payload["events"]
            if payload["version"] != 1 or payload["count"] != len(events) or not events:
                raise ValueError("version or count")
        except (ValueError, KeyError, TypeError) as error:
            raise Bad(400, f"no payload: {error}") from None
        if self.poison is not None and self.poison in body.decode():
            raise Bad(400, "poison")
        return payload

    def accept(self, payload):
        with self.lock:
            self.bodies.append(payload)
            self.events.extend(payload["events"])
            self.times.append(time.monotonic())

    answer_body = b""


class Pings(Receiver):
    path = "/ping/SECRETEXAMPLEofPING"
    method = "GET"

    def __init__(self):
        super().__init__()
        self.times = []

    def environment(self):
        return {"FLYTRAIL_PING_URL": self.hook}

    def judge(self, headers, body):
        if body:
            raise Bad(400, "a body")

    def accept(self, _):
        with self.lock:
            self.times.append(time.monotonic())

    answer_body = b"OK"


class Request(judging.Request):
    def judged(self, body):
        """(what came, the answer's status, why, body, headers)"""
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            if self.path != self.server.path:
                raise Bad(404, "another path", b"no_service")
            if self.command != self.server.method:
                raise Bad(405, "another method")
            return self.server.judge(headers, body), 200, None, self.server.answer_body, ()
        except Bad as bad:
            return None, bad.status, str(bad), bad.body, bad.headers

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.take_fault()
        if fault and fault.kind == "status":
            self.server.note(fault.options["code"], "told status")
            self.reply(fault.options["code"], fault.options.get("headers", ()), fault.options.get("body", b""))
            return
        came, status, why, said, headers = self.judged(body)
        if why is None and (fault is None or fault.options.get("keeps")):
            self.server.accept(came)
        self.server.note(status, f"told {fault.kind}" if fault else why)
        with contextlib.suppress(OSError):
            if fault:
                self.break_off(fault)
            else:
                self.reply(status, headers, said)

    do_GET = do_POST = do_PUT = do_HEAD = answer
