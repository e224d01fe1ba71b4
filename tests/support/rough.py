"""A rough way to an HTTP server: requests go through to the real one, but for those that meet a fault.

    with rough.Way(server.port) as way:
        way.faults += [rough.answer(503, b"<Code>SlowDown</Code>"), rough.reset_after_body]
        ... way.url ...                         # the next requests meet these, one each

With tls=True it is an https server with a certificate of its own, way.cert_path; `way.greetings` are
faults that take the connection before that, with an empty request.

A fault takes the connection and the whole request; what it returns false for goes no further. Bytes
are handed on as they are, so that what is signed stays so.
"""

import contextlib
import http.client
import shutil
import socket
import struct
import tempfile
import threading
import time

import certificate
import serving
from serving import SECONDS

STALL_SECONDS = 60
LAST_CHUNK = b"0\r\n\r\n"


class Way(serving.Way):
    def __init__(self, port, tls=False):
        super().__init__()
        self.target = port
        self.faults = []
        self.greetings = []
        self.folder = self.context = None
        if tls:
            self.folder = tempfile.mkdtemp(prefix="flytrail-way-")
            self.context, self.cert_path = certificate.make(self.folder, "127.0.0.1")
        self.delay = 0.0  # seconds that every request and every answer takes
        self.asked = []  # first lines of all requests
        self.lock = threading.Lock()
        self.closed = threading.Event()

    def __exit__(self, *_):
        self.closed.set()
        super().__exit__()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}"

    def welcome(self, connection):
        with connection, contextlib.suppress(OSError):
            with self.lock:
                greeting = self.greetings.pop(0) if self.greetings else None
            if greeting is not None:
                greeting(self, connection, b"")
            else:
                self.serve(self.context.wrap_socket(connection, server_side=True) if self.context else connection)

    def next_fault(self, line):
        with self.lock:
            self.asked.append(line)
            return self.faults.pop(0) if self.faults else None

    def serve(self, connection):
        with connection, contextlib.suppress(OSError, ValueError):
            while request := read_message(connection, is_early=self.is_early):
                fault = self.next_fault(request.split(b"\r\n", 1)[0].decode())
                if fault is not None and not fault(self, connection, request):
                    return
                if fault is None:
                    connection.sendall(self.forward(request))

    def is_early(self):
        """The next fault does not wait for the body."""
        with self.lock:
            return bool(self.faults) and getattr(self.faults[0], "early", False)

    def forward(self, request):
        """The real server's answer, whole."""
        time.sleep(self.delay)
        with socket.create_connection(("127.0.0.1", self.target), SECONDS) as real:
            real.sendall(request)
            answered = read_message(real, no_body=request.startswith(b"HEAD "))
        time.sleep(self.delay)
        return answered


def read_message(connection, is_early=lambda: False, no_body=False):
    """A request or an answer with its body; b"": there is none any more."""
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65536)
        if not piece:
            return b""
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in
               (line.partition(b":") for line in head.split(b"\r\n")[1:])}
    is_chunked = not no_body and headers.get(b"transfer-encoding", b"").lower() == b"chunked"
    length = 0 if no_body or is_early() else int(headers.get(b"content-length", 0))
    while len(body) < length or (is_chunked and not body.endswith(LAST_CHUNK)):
        piece = connection.recv(65536)
        if not piece:
            raise ValueError("half a message")
        body += piece
    return head + b"\r\n\r\n" + body


def canned(status, body=b"", headers=()):
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}",
             f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer(status, body=b"", headers=()):
    """The server is not asked."""
    def fault(_way, connection, _request):
        connection.sendall(canned(status, body, headers))
        return True
    return fault


def early(status, body=b""):
    """An answer before the body has come, and the end of the connection."""
    def fault(_way, connection, _request):
        connection.sendall(canned(status, body, ["Connection: close"]))
        return False
    fault.early = True
    return fault


def stall(way, _connection, _request):
    way.closed.wait(STALL_SECONDS)
    return False


def half_answer(way, connection, request):
    """The server has done what was asked."""
    connection.sendall(way.forward(request)[:40])
    return False


def reset_after_body(way, connection, request):
    """Likewise; of its answer nothing comes."""
    way.forward(request)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def drop(_way, _connection, _request):
    return False
