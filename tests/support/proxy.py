"""A proxy, as http_proxy and https_proxy name one: on loopback, for whoever asks, and it notes for what.

    with proxy.Proxy({"trail.s3.eu-west-1.amazonaws.com:443": server.port}) as way:
        ... https_proxy=way.url ...
        way.asked                       # ["CONNECT trail.s3.eu-west-1.amazonaws.com:443 HTTP/1.1"]

No name is looked up: a tunnel leads to the port on loopback that is given for its name, and for
another name there is none, which is a 502. Of plain HTTP the address itself is asked.
"""

import contextlib
import socket
import threading
import urllib.parse

import rough
import serving
from serving import SECONDS


class Proxy(serving.Way):
    def __init__(self, ways=None):
        super().__init__()
        self.ways = ways or {}
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def welcome(self, connection):
        with connection, contextlib.suppress(OSError, ValueError):
            while request := rough.read_message(connection):
                line = request.split(b"\r\n", 1)[0].decode()
                self.asked.append(line)
                method, target, _ = line.split(" ")
                if method == "CONNECT":
                    self.tunnel(connection, target)
                    return
                connection.sendall(forward(request, target))

    def tunnel(self, connection, target):
        if target not in self.ways:
            connection.sendall(rough.canned(502))
            return
        with socket.create_connection(("127.0.0.1", self.ways[target]), SECONDS) as real:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=copy, args=(real, connection), daemon=True)
            back.start()
            copy(connection, real)
            back.join()


def forward(request, target):
    url = urllib.parse.urlsplit(target)
    path = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
    with socket.create_connection((url.hostname, url.port), SECONDS) as real:
        real.sendall(request.replace(target.encode(), path.encode(), 1))
        return rough.read_message(real, no_body=request.startswith(b"HEAD "))


def copy(one, other):
    """To the end of one, which is then the other's as well."""
    with contextlib.suppress(OSError):
        while piece := one.recv(65536):
            other.sendall(piece)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)
