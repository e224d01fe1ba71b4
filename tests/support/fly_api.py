"""Fly's HTTP logs API and list of applications, as a strict stand-in on loopback.

    with fly_api.FlyApi() as api:                    # api.token, api.org, api.url
        api.add_line("web-1", "iad", "0e286551c30586", "app", "info", "hello", time.time_ns())
        api.add_payload(payload)                     # the bytes that go to NATS: one line, both ways
        ... FLYTRAIL_API_URL and FLYTRAIL_MACHINES_URL are api.url ...
        api.misbehave("status", 3, code=500)         # the next 3 requests; no count: until behave();
                                                     # app="web-1", app="web-1/secrets": of these alone
        api.paths()                                  # what was asked for

It speaks `GET /api/v1/apps/APP/logs?next_token=&region=&instance=`, `GET /v1/apps?org_slug=` and
what the FAMILIES answer (their state is changed as flyctl does: api.secrets_set() and the like),
and refuses what Fly refuses: another path 404, an application that it does not know 404, another
method 405, a next_token that is no number 400, a token under the wrong scheme or another token
401. A page is PAGE_LINES lines after the time next_token (strictly; `after_is_strict = False`
gives the boundary's own nanosecond again), oldest first; without next_token the newest of the
last day. What is older than `reach_seconds` is not given any more. A line is to be seen
`delay_seconds` after it was added. `rate_limit` requests a second are answered, the others with
429, and Retry-After where `retry_after` is set.

Lines of an application that is not listed yet make it known. remove_app() makes it a 404.

Measured with both ends in one Python process on a shared core, with keep-alive: 6,800 full
pages a second, or 680,000 lines, and 120,000 add_payload() calls a second.
"""

import bisect
import collections
import contextlib
import json
import random
import re
import shutil
import socket
import tempfile
import threading
import time
import urllib.parse

import certificate
import fly_current
import fly_graphql
import fly_lists
import fly_machines
import fly_releases
import fly_secrets
import lab
from fly_time import time_ns, time_text

PAGE_LINES = 100
DAY_SECONDS = 24 * 3600
REACH_SECONDS = 7 * DAY_SECONDS
REQUESTS_KEPT = 200_000
HEAD_BYTES_MAX = 64 * 1024
BIG_BYTES = 10 * 1024 * 1024
DRIP_SECONDS = 0.5  # for each byte
FUTURE_SECONDS = 30 * DAY_SECONDS
MACAROONS = ("fm2_", "fm1r_", "fm1a_")
REASONS = {200: "OK", 301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect",
           308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
           404: "Not Found", 405: "Method Not Allowed", 429: "Too Many Requests",
           500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}
KINDS = ("status", "html", "empty", "answer", "half", "truncated", "same_page", "endless", "unsorted",
         "no_ids", "no_token", "future", "redirect", "hang", "drip", "big", "close")

TEXT = rb'"((?:[^"\\]|\\.)*)"'
# As Fly publishes: compact, keys sorted, nothing but the known keys. Others are read by json.
PAYLOAD = re.compile(
    rb'\{"event":\{"provider":' + TEXT + rb'\},"fly":\{"app":\{"instance":' + TEXT +
    rb',"name":' + TEXT + rb'\},"region":' + TEXT + rb'\},"host":' + TEXT +
    rb',"log":\{"level":' + TEXT + rb'\},"message":' + TEXT + rb',"timestamp":' + TEXT + rb'\}',
    re.DOTALL)

Line = collections.namedtuple("Line", "ns seen_at region instance attributes")
Request = collections.namedtuple("Request", "method target headers at body")
Fault = collections.namedtuple("Fault", "kind left app options")
Route = collections.namedtuple("Route", "name parameters answer")
ACTION_RATE, ACTION_BURST = 1.0, 3
ACTION_RATES = {"machine": (5.0, 10)}


def quoted(text):
    return json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")


def attributes_of(fields, more=b""):
    """The attributes as bytes, from texts that are quoted JSON already, without their quotes."""
    return (b'{"timestamp":"%(timestamp)s","message":"%(message)s","level":"%(level)s",'
            b'"instance":"%(instance)s","region":"%(region)s","meta":{"instance":"%(instance)s",'
            b'"region":"%(region)s","event":{"provider":"%(provider)s"}' % fields) + more + b"}}"


# Each answers for a family of resources of the control plane: see fly_secrets.py.
FAMILIES = (fly_secrets.Secrets, fly_current.Current, fly_graphql.GraphQL, fly_lists.Lists,
            fly_machines.Machines, fly_releases.Releases)

NAMES = [name for family in FAMILIES for name in vars(family)
         if not name.startswith("__") and name not in ("ROUTES", "begin")]
assert len(NAMES) == len(set(NAMES)), "two families have something of one name"


class FlyApi(*FAMILIES):
    """See above. Every setting may be changed while it runs."""

    def __init__(self, token="fm2_example000000000", org="example-org", tls=False, port=0,
                 host="127.0.0.1"):
        self.token = token
        self.org = org
        self.after_is_strict = True
        self.delay_seconds = 0.0
        self.reach_seconds = REACH_SECONDS
        self.rate_limit = None
        self.retry_after = None
        self.page_lines = PAGE_LINES
        self.requests = collections.deque(maxlen=REQUESTS_KEPT)
        self.lock = threading.Lock()
        self.keys = {}   # by application: the lines' nanoseconds, in order
        self.lines = {}  # by application: the lines, in the same order
        self.faults = []
        self.allowance, self.allowance_at = 0.0, time.monotonic()
        # Its own, so that it is free when this one listens again after stop().
        self.host, self.port = host, port or lab.free_port()
        self.folder = None
        self.context = self.make_tls() if tls else None
        self.connections = set()
        self.listener = None
        self.ended = threading.Event()
        self.buckets = {}
        self.routes = [(family, *route) for family in FAMILIES for route in family.ROUTES]
        for family in FAMILIES:
            family.begin(self)

    # ---- a server ----

    def make_tls(self):
        self.folder = tempfile.mkdtemp(prefix="flytrail-api-")
        return certificate.make(self.folder, self.host)[0]

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://{self.host}:{self.port}"

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Listens; after stop() on the same port, with all lines."""
        self.ended.clear()
        self.listener = socket.create_server((self.host, self.port), backlog=64, family=lab.family_of(self.host))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()
        return self

    def stop(self):
        """Nobody answers any more, and what is open is cut."""
        self.ended.set()
        if self.listener is not None:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        with self.lock:
            connections, self.connections = self.connections, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.stop()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with self.lock:
            self.connections.add(connection)
        raw = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            rest = b""
            while rest is not None:
                rest = self.serve_one(connection, rest)
        except OSError:
            pass
        finally:
            with self.lock:
                self.connections.discard(raw)
            with contextlib.suppress(OSError):
                connection.close()

    def serve_one(self, connection, rest):
        """Reads a request and answers it; returns what was read beyond it, None at the end."""
        while b"\r\n\r\n" not in rest:
            piece = connection.recv(65536)
            if not piece or len(rest) > HEAD_BYTES_MAX:
                return None
            rest += piece
        head, _, rest = rest.partition(b"\r\n\r\n")
        first, *others = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in others:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        while len(rest) < length:
            piece = connection.recv(65536)
            if not piece:
                return None
            rest += piece
        words = first.split(" ")
        if len(words) != 3:
            return None
        request = Request(words[0], words[1], headers, time.time(), rest[:length])
        self.requests.append(request)
        return b"" if self.answer(connection, request) else None

    @staticmethod
    def reply(connection, code, body, headers=(), kind="application/json"):
        lines = [f"HTTP/1.1 {code} {REASONS.get(code, 'Unknown')}", f"Content-Type: {kind}",
                 f"Content-Length: {len(body)}", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)
        return True

    def refuse(self, connection, code, headers=()):
        return self.reply(connection, code, b'{"error":"no"}', headers)

    # ---- what Fly refuses ----

    def authorization(self):
        """The only header that is right for the token."""
        parts = self.token.split(",")
        scheme = "FlyV1" if any(part.startswith(MACAROONS) for part in parts) else "Bearer"
        return f"{scheme} {self.token}"

    def is_over_rate(self):
        if self.rate_limit is None:
            return False
        with self.lock:
            now = time.monotonic()
            self.allowance += (now - self.allowance_at) * self.rate_limit
            self.allowance = min(self.allowance, max(1.0, self.rate_limit / 4))
            self.allowance_at = now
            if self.allowance < 1:
                return True
            self.allowance -= 1
            return False

    def answer(self, connection, request):
        """False: the connection is at its end."""
        url = urllib.parse.urlsplit(request.target)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        logs = re.fullmatch(r"/api/v1/apps/([a-z0-9-]+)/logs", url.path)
        route, match = self.route_of(url.path)
        fault = self.take_fault(logs.group(1) if logs else self.fault_key(route, match, request))
        if fault and fault.kind in WHOLE_FAULTS:
            return WHOLE_FAULTS[fault.kind](self, connection, fault)
        if not logs and not route and url.path != "/v1/apps":
            return self.refuse(connection, 404)
        if request.method != ("POST" if url.path == "/graphql" else "GET"):
            return self.refuse(connection, 405)
        if request.headers.get("authorization") != self.authorization():
            return self.refuse(connection, 401)
        if self.is_over_rate() or (route and self.is_over_action_rate(route, match, request)):
            again = [] if self.retry_after is None else [f"Retry-After: {self.retry_after}"]
            return self.refuse(connection, 429, again)
        if route:
            if not set(query) <= set(route.parameters):
                return self.refuse(connection, 400)
            code, answer = route.answer(self, query, request, **match.groupdict())
            return self.reply(connection, code, answer if isinstance(answer, bytes)
                              else json.dumps(answer).encode())
        if not logs:
            return self.answer_apps(connection, query)
        return self.answer_logs(connection, logs.group(1), query, fault)

    def route_of(self, path):
        for family, pattern, name, parameters, method in self.routes:
            match = re.fullmatch(pattern, path)
            if match:
                return Route(name, parameters, getattr(family, method)), match
        return None, None

    def fault_key(self, route, match, request):
        """What misbehave() calls it: "web-1/secrets", "/machines", "/graphql members"."""
        if route is None:
            return ""
        name = f"{route.name} {self.operation(request)}" if route.name == "graphql" else route.name
        return f"{match.groupdict().get('app', '')}/{name}"

    @staticmethod
    def operation(request):
        """A GraphQL query's own name."""
        found = re.search(r"query\s+(\w+)", request.body.decode("utf-8", "replace"))
        return found.group(1) if found else ""

    def is_over_action_rate(self, route, match, request):
        """Fly's own rule: one request a second for each action and thing, three at once, if no other."""
        now = time.monotonic()
        key = (self.fault_key(route, match, request), *match.groupdict().values())
        rate, burst = ACTION_RATES.get(route.name, (ACTION_RATE, ACTION_BURST))
        with self.lock:
            left, at = self.buckets.get(key, (burst, now))
            left = min(burst, left + (now - at) * rate)
            self.buckets[key] = (left - 1 if left >= 1 else left, now)
        return left < 1

    def answer_apps(self, connection, query):
        if not query.get("org_slug"):
            return self.refuse(connection, 400)
        if query["org_slug"] != self.org:
            return self.refuse(connection, 404)
        with self.lock:
            names = sorted(self.keys)
        apps = [{"id": f"id-{name}", "name": name, "status": "deployed", "machine_count": 1,
                 "volume_count": 0, "network": "default",
                 "organization": {"name": "Example", "slug": self.org}} for name in names]
        return self.reply(connection, 200,
                          json.dumps({"apps": apps, "total_apps": len(apps)}).encode())

    def answer_logs(self, connection, app, query, fault):
        token = query.get("next_token", "")
        if token and not re.fullmatch(r"\d{1,19}", token):
            return self.refuse(connection, 400)
        if app not in self.keys:
            return self.refuse(connection, 404)
        after_ns = int(token) if token else None
        if fault and fault.kind == "same_page":
            after_ns = 0
        lines = self.page(app, after_ns, query.get("region"), query.get("instance"))
        next_token = lines[-1].ns if lines else after_ns or 0
        if fault and fault.kind == "same_page":
            next_token = int(token or 0)
        if fault and fault.kind in LINE_FAULTS:
            lines, next_token = LINE_FAULTS[fault.kind](self, lines, after_ns or 0)
        ids = not (fault and fault.kind == "no_ids")
        body = self.page_bytes(app, lines, next_token, ids,
                               not (fault and fault.kind == "no_token"))
        if fault and fault.kind in BYTE_FAULTS:
            return BYTE_FAULTS[fault.kind](self, connection, body)
        return self.reply(connection, 200, body)

    # ---- lines ----

    def add_app(self, app):
        with self.lock:
            self.keys.setdefault(app, [])
            self.lines.setdefault(app, [])

    def remove_app(self, app):
        with self.lock:
            self.keys.pop(app, None)
            self.lines.pop(app, None)

    def add(self, app, ns, region, instance, attributes):
        """A line by its attributes' own bytes, whatever they are."""
        with self.lock:
            self.put(app, ns, region, instance, attributes)

    def put(self, app, ns, region, instance, attributes):
        """With the lock."""
        line = Line(ns, time.monotonic() + self.delay_seconds, region, instance, attributes)
        keys = self.keys.setdefault(app, [])
        lines = self.lines.setdefault(app, [])
        if not keys or keys[-1] <= ns:
            keys.append(ns)
            lines.append(line)
        else:
            at = bisect.bisect_right(keys, ns)
            keys.insert(at, ns)
            lines.insert(at, line)

    def add_line(self, app, region, machine, provider, level, message, ns=None, meta=None):
        """meta: what stands in meta beside instance, region and event, such as error. Without a time
        it is of now, and who asks from now on sees it, however long we stood still."""
        more = b"".join(b"," + quoted(key) + b":" + json.dumps(value).encode()
                        for key, value in (meta or {}).items())
        with self.lock:
            ns = ns or time.time_ns()
            texts = {"timestamp": time_text(ns), "message": message, "level": level,
                     "instance": machine, "region": region, "provider": provider}
            fields = {key.encode(): quoted(text)[1:-1] for key, text in texts.items()}
            self.put(app, ns, region, machine, attributes_of(fields, more))

    def add_payload(self, payload):
        """A line by what NATS carries; its message keeps its bytes, escapes and all."""
        match = PAYLOAD.fullmatch(payload)
        if match:
            provider, instance, app, region, _, level, message, timestamp = match.groups()
            fields = {b"timestamp": timestamp, b"message": message, b"level": level,
                      b"instance": instance, b"region": region, b"provider": provider}
            self.add(app.decode(), time_ns(timestamp.decode()), region.decode(),
                     instance.decode(), attributes_of(fields))
            return
        got = json.loads(payload)
        more = {key: got[key] for key in ("error", "http", "url") if key in got}
        self.add_line(got["fly"]["app"]["name"], got["fly"]["region"],
                      got["fly"]["app"]["instance"], got["event"]["provider"],
                      got["log"]["level"], got["message"], time_ns(got["timestamp"]), more)

    def count(self, app):
        with self.lock:
            return len(self.keys.get(app, ()))

    def page(self, app, after_ns, region=None, instance=None):
        """The lines of a page; after_ns None: the newest of a day."""
        oldest_ns = time.time_ns() - int(self.reach_seconds * 10**9)
        now = time.monotonic()
        with self.lock:
            keys, lines = self.keys.get(app, []), self.lines.get(app, [])
            if after_ns is None:
                start = bisect.bisect_left(keys, time.time_ns() - DAY_SECONDS * 10**9)
                found = lines[start:]
            else:
                find = bisect.bisect_right if self.after_is_strict else bisect.bisect_left
                start = max(find(keys, after_ns), bisect.bisect_left(keys, oldest_ns))
                found = []
                while start < len(lines) and len(found) < self.page_lines:
                    found += lines[start:start + self.page_lines]
                    start += self.page_lines
                    found = [line for line in found if line.seen_at <= now
                             and (not region or line.region == region)
                             and (not instance or line.instance == instance)]
                return found[:self.page_lines]
        found = [line for line in found if line.seen_at <= now
                 and (not region or line.region == region)
                 and (not instance or line.instance == instance)]
        return found[-self.page_lines:]

    @staticmethod
    def page_bytes(app, lines, next_token, ids=True, with_token=True):
        entries = [
            (b'{"id":"%s-%d","type":"log","attributes":%s}' % (app.encode(), line.ns, line.attributes)
             if ids else b'{"attributes":%s}' % line.attributes) for line in lines]
        meta = b'{"next_token":"%d"}' % next_token if with_token else b"{}"
        return b'{"data":[' + b",".join(entries) + b'],"meta":' + meta + b"}"

    # ---- faults ----

    def misbehave(self, kind, count=None, app=None, **options):
        """The next count requests (of the application); None: all until behave().

        status      code=500, headers=[]: an answer of that status
        html        200, and a web page
        empty       200, and nothing
        answer      body=b"[]": 200, and that
        half        200, and half of the page, as if it were all of it
        truncated   half of the page, then the connection ends
        same_page   the oldest page, and the token that was sent
        endless     a full page, however far it has come
        unsorted    the page's lines in any order
        no_ids      entries without ids
        no_token    a page without a token
        future      the lines' times and the token a month ahead
        redirect    code=302, location="http://...": somewhere else
        hang        no answer at all
        drip        a byte each half second
        big         ten megabytes
        close       the connection ends at once
        """
        if kind not in KINDS:
            raise ValueError(f"no such fault: {kind}")
        with self.lock:
            self.faults.append(Fault(kind, count, app, options))

    def behave(self):
        with self.lock:
            self.faults.clear()

    def take_fault(self, app):
        with self.lock:
            for idx, fault in enumerate(self.faults):
                if fault.app is not None and fault.app != app:
                    continue
                if fault.app is None and fault.left is not None and "/" in app:
                    continue  # a number of them is meant for who asks for logs
                if fault.left is not None:
                    self.faults[idx] = fault._replace(left=fault.left - 1)
                    if fault.left <= 1:
                        del self.faults[idx]
                return fault
        return None

    def reply_status(self, connection, fault):
        return self.refuse(connection, fault.options.get("code", 500),
                           fault.options.get("headers", ()))

    def reply_html(self, connection, _):
        return self.reply(connection, 200, b"<!DOCTYPE html><html><body>Sorry</body></html>\n",
                          kind="text/html")

    def reply_empty(self, connection, _):
        return self.reply(connection, 200, b"")

    def reply_answer(self, connection, fault):
        return self.reply(connection, 200, fault.options["body"])

    def reply_redirect(self, connection, fault):
        return self.refuse(connection, fault.options.get("code", 302),
                           [f"Location: {fault.options['location']}"])

    def reply_hang(self, _connection, _fault):
        self.ended.wait()
        return False

    def reply_close(self, _connection, _fault):
        return False

    def reply_big(self, connection, _):
        body = b'{"data":[],"pad":"' + b"x" * BIG_BYTES + b'","meta":{"next_token":"1"}}'
        return self.reply(connection, 200, body)

    def send_half(self, connection, body):
        return self.reply(connection, 200, body[:len(body) // 2])

    def send_truncated(self, connection, body):
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body[:len(body) // 2])
        return False

    def send_drip(self, connection, body):
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n")
        for byte in body:
            if self.ended.wait(DRIP_SECONDS):
                break
            connection.sendall(bytes([byte]))
        return False

    @staticmethod
    def shuffle(_, lines, after_ns):
        lines = list(lines)
        next_token = lines[-1].ns if lines else after_ns
        random.Random(len(lines)).shuffle(lines)
        return lines, next_token

    def move_ahead(self, lines, _):
        moved = [self.move_line(line, line.ns + FUTURE_SECONDS * 10**9) for line in lines]
        return moved, time.time_ns() + FUTURE_SECONDS * 10**9

    @staticmethod
    def move_line(line, ns):
        attributes = re.sub(rb'"timestamp":"[^"]*"',
                            b'"timestamp":"%s"' % time_text(ns).encode(), line.attributes, count=1)
        return line._replace(ns=ns, attributes=attributes)

    def make_up(self, lines, after_ns):
        """A full page after any time, of the last known lines or of one that is made up."""
        pattern = lines[-1] if lines else Line(0, 0, "iad", "0e286551c30586", attributes_of({
            b"timestamp": b"2026-01-01T00:00:00Z", b"message": b"again", b"level": b"info",
            b"instance": b"0e286551c30586", b"region": b"iad", b"provider": b"app"}))
        lines = [self.move_line(pattern, after_ns + 1 + step) for step in range(self.page_lines)]
        return lines, lines[-1].ns

    # ---- what was asked ----

    def paths(self):
        return [request.target for request in list(self.requests)]

    def pages_asked(self, app):
        prefix = f"/api/v1/apps/{app}/logs"
        return sum(1 for target in self.paths() if target.startswith(prefix))


WHOLE_FAULTS = {"status": FlyApi.reply_status, "html": FlyApi.reply_html,
                "empty": FlyApi.reply_empty, "answer": FlyApi.reply_answer, "redirect": FlyApi.reply_redirect,
                "hang": FlyApi.reply_hang, "close": FlyApi.reply_close, "big": FlyApi.reply_big}
LINE_FAULTS = {"unsorted": FlyApi.shuffle, "future": FlyApi.move_ahead, "endless": FlyApi.make_up}
BYTE_FAULTS = {"half": FlyApi.send_half, "truncated": FlyApi.send_truncated,
               "drip": FlyApi.send_drip}
