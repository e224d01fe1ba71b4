"""What strict stand-ins that speak HTTP have in common: they note how they answered, and misbehave when told to.

    class Intake(judging.Judging):
        ANSWER = collections.namedtuple("Answer", "status why at")   # what note() is given, and when

        def __init__(self):
            super().__init__(Request)

    class Request(judging.Request):
        def answer(self):
            fault = self.server.take_fault()
            ...
        do_GET = do_POST = answer

Kinds of misbehave() that are the same everywhere: hang, reset.
"""

import collections
import http.server
import socket
import struct
import threading
import time

import serving

HANG_SECONDS = 120

Fault = collections.namedtuple("Fault", "kind options")


class Judging(serving.Serving, http.server.ThreadingHTTPServer):
    KINDS = ("status", "hang", "reset")
    ANSWER = None

    def __init__(self, request):
        super().__init__(serving.ANY_PORT, request)
        self.lock = threading.Lock()
        self.answers, self.faults = [], []
        self.ended = threading.Event()

    def __exit__(self, *error):
        self.ended.set()
        super().__exit__(*error)

    def handle_error(self, request, client_address):
        """A client that goes away is what some tests are about."""

    def misbehave(self, kind, count=1, **options):
        """The next so many requests."""
        assert kind in self.KINDS, kind
        with self.lock:
            self.faults.extend([Fault(kind, options)] * count)

    def behave(self):
        with self.lock:
            self.faults.clear()

    def take_fault(self):
        with self.lock:
            return self.faults.pop(0) if self.faults else None

    def note(self, *said):
        with self.lock:
            self.answers.append(self.ANSWER(*said, time.monotonic()))

    def statuses(self):
        with self.lock:
            return [answer.status for answer in self.answers]

    def complaints(self):
        """Why it refused what it was not told to refuse."""
        with self.lock:
            return [answer.why for answer in self.answers
                    if answer.why not in (None, "poison") and not answer.why.startswith("told")]


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    content_type = None

    def log_message(self, *_):
        pass

    def reply(self, status, headers=(), body=b""):
        self.send_response(status)
        for header in headers:
            name, _, value = header.partition(":")
            self.send_header(name, value.strip())
        if self.content_type:
            self.send_header("Content-Type", self.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def break_off(self, fault):
        """An answer that does not arrive."""
        self.close_connection = True
        if fault.kind == "hang":
            self.server.ended.wait(HANG_SECONDS)
        else:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
