"""Publishes the lines of a soak, each to NATS and to the stand-in for Fly's second copy at once.

The stand-in always takes a line. NATS takes it at most once, as Fly's own: while the server is
away or hangs, what has waited for WAIT_SECONDS is dropped. Such a line counts like any other,
because flytrail was cut off from the same server.
"""

import collections
import json
import os
import queue
import select
import socket
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import fly_api  # noqa: E402
import lines as soak_lines  # noqa: E402

TICK_SECONDS = 0.01
# A stalled machine catches up in steps: a line must not wait for those that are made after it.
LINES_A_TICK_MAX = 200
FAT_LINES_A_TICK_MAX = 30
# What waits longer would be told to flytrail later than a gap's margin (10 s) allows for.
WAIT_SECONDS = 2.0
CONNECT_SECONDS = 0.2
RETRY_SECONDS = 0.05
FLUSH_SECONDS = 30.0
TWICE_SHARE = 0.003         # of the lines are offered to flytrail a second time
FAT_BYTES_PER_SECOND = 6_000_000
OWN_HOST = "0ad9"

Piece = collections.namedtuple("Piece", "born lines payload")


class Wire:
    """A NATS client that only publishes and never blocks."""

    def __init__(self, nats):
        self.nats = nats
        self.socket = None
        self.try_at = 0.0
        self.pieces = collections.deque()
        self.sent_of_first = 0
        self.answered = 0  # PONGs
        self.dropped = 0   # lines that the server never got, or not surely

    def connect(self):
        self.try_at = time.monotonic() + RETRY_SECONDS
        login = {"user": self.nats.FLY[0], "pass": self.nats.FLY[1], "verbose": False}
        try:
            self.socket = socket.create_connection(("127.0.0.1", self.nats.port), CONNECT_SECONDS)
            self.socket.sendall(f"CONNECT {json.dumps(login)}\r\n".encode())
        except OSError:
            if self.socket is not None:  # the server died as soon as it was reached
                self.socket.close()
                self.socket = None
            return
        self.socket.setblocking(False)

    def lose(self):
        """The connection is gone, and with it what was being sent."""
        self.socket.close()
        self.socket = None
        self.try_at = time.monotonic() + RETRY_SECONDS
        if self.sent_of_first:
            self.dropped += self.pieces.popleft().lines
            self.sent_of_first = 0

    def put(self, lines, payload):
        self.pieces.append(Piece(time.monotonic(), lines, payload))

    def drop_old(self):
        oldest = time.monotonic() - WAIT_SECONDS
        # The first may be half on its way.
        at = 1 if self.sent_of_first else 0
        while len(self.pieces) > at and self.pieces[at].born < oldest:
            self.dropped += self.pieces[at].lines
            del self.pieces[at]

    def read(self):
        try:
            got = self.socket.recv(65536)
        except BlockingIOError:
            return
        if not got or b"-ERR" in got:
            raise ConnectionError("the server ended it")
        self.answered += got.count(b"PONG\r\n")
        if b"PING\r\n" in got:
            self.put(0, b"PONG\r\n")

    def write(self):
        while self.pieces:
            first = self.pieces[0]
            sent = self.socket.send(memoryview(first.payload)[self.sent_of_first:])
            self.sent_of_first += sent
            if self.sent_of_first < len(first.payload):
                return
            self.pieces.popleft()
            self.sent_of_first = 0

    def work(self):
        """Does what can be done at once."""
        if self.socket is None and time.monotonic() >= self.try_at:
            self.connect()
        if self.socket is not None:
            try:
                self.read()
                self.write()
            except BlockingIOError:
                pass
            except OSError:
                self.lose()
        self.drop_old()

    def wait(self, seconds):
        if self.socket is None:
            time.sleep(seconds)
        else:
            select.select([self.socket], [], [], seconds)


class Fat:
    """A wish for fat lines."""

    def __init__(self, bytes_per_second):
        self.paid_until = time.monotonic()
        self.seconds_a_line = soak_lines.FAT_BYTES / bytes_per_second

    def due(self):
        """How many lines, now; a machine that cannot keep up makes fewer."""
        now = time.monotonic()
        count = int((now - self.paid_until) / self.seconds_a_line)
        if count > FAT_LINES_A_TICK_MAX:
            self.paid_until = now
            return FAT_LINES_A_TICK_MAX
        self.paid_until += count * self.seconds_a_line
        return count


class Publisher:
    def __init__(self, lines, nats, api, rate):
        self.lines = lines
        self.api = api
        self.rate = rate
        self.wire = Wire(nats)
        self.shipped = queue.SimpleQueue()  # what flytrails printed
        self.fat = {}        # by who asked for fat lines: Fat
        self.twice = 0
        self.last_ns = 0     # of the newest numbered line
        self.late_seconds = 0.0  # at most, between a line's time and its sending
        self.pace_over = threading.Event()  # no numbered lines any more
        self.over = threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()

    def ship(self, region, machine, text):
        """A line that flytrail's own app printed, as Fly would bring it back. Any thread."""
        self.shipped.put((region, machine, text))

    def finish(self):
        """No line any more; returns when NATS has all of them."""
        self.over.set()
        self.thread.join(FLUSH_SECONDS)
        if self.failure is not None:
            raise self.failure
        if self.thread.is_alive():
            raise AssertionError("the publisher does not end")

    def one(self, out, place_index, form_index, now_ns=None):
        n, ns = self.lines.add(place_index, form_index, now_ns or time.time_ns())
        place = self.lines.places[place_index]
        time_text = fly_api.time_text(ns)
        payload = self.lines.forms.payload(place, form_index, n, time_text)
        self.remember(place, form_index, n, ns, time_text)
        message = b"PUB logs.%s.%s.%s %d\r\n%s\r\n" % (
            place[0].encode(), place[1].encode(), place[2].encode(), len(payload), payload)
        out.append(message)
        if self.lines.rng.random() < TWICE_SHARE:
            out.append(message)
            self.twice += 1

    def remember(self, place, form_index, n, ns, time_text):
        """In the second copy; as its add_payload(), which reads every byte of a fat line."""
        form = self.lines.forms.all[form_index]
        app, region, machine, _ = place
        self.api.add(app, ns, region, machine, fly_api.attributes_of({
            b"timestamp": time_text.encode(), b"level": form.level.encode(),
            b"message": self.lines.forms.quoted_text(form_index, n)[1:-1].encode(),
            b"instance": machine.encode(), b"region": region.encode(),
            b"provider": form.provider.encode()}))

    def tick(self, due):
        out, start = [], time.monotonic()
        for _ in range(due):
            self.one(out, self.lines.choose_place(), self.lines.forms.choose())
        for fat in list(self.fat.values()):
            for _ in range(fat.due()):
                self.one(out, self.lines.choose_place(), self.lines.forms.fat)
        self.last_ns = self.lines.last_ns if out else self.last_ns
        while not self.shipped.empty():
            region, machine, text = self.shipped.get()
            place = self.lines.place_index(("flytrail", region, machine, OWN_HOST))
            self.one(out, place, self.lines.forms.add_fixed(text))
        if out:
            self.wire.put(len(out), b"".join(out))
            self.late_seconds = max(self.late_seconds, time.monotonic() - start)

    def fatten(self, who, bytes_per_second=FAT_BYTES_PER_SECOND):
        """Fat lines beside the others, until slim(). Any thread."""
        self.fat[who] = Fat(bytes_per_second)

    def slim(self, who):
        self.fat.pop(who, None)

    def run(self):
        try:
            self.pace()
            self.flush()
        except Exception as error:  # told by finish()
            self.failure = error

    def pace(self):
        start, made = time.monotonic(), 0
        while not self.over.is_set():
            due = int((time.monotonic() - start) * self.rate) - made
            due = 0 if self.pace_over.is_set() else min(due, LINES_A_TICK_MAX)
            made += due
            self.tick(due)
            self.wire.work()
            self.wire.wait(TICK_SECONDS)
            if self.wire.socket is not None:
                # A readable socket returns at once; the pace is the clock's.
                time.sleep(TICK_SECONDS / 4)

    def flush(self):
        asked = self.wire.answered
        self.wire.put(0, b"PING\r\n")
        deadline = time.monotonic() + FLUSH_SECONDS
        while self.wire.answered == asked and time.monotonic() < deadline:
            self.wire.work()
            self.wire.wait(TICK_SECONDS)
