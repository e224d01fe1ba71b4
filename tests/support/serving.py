"""Servers for tests: one that is written here, and one of socketserver's.

Way, for what speaks HTTP itself, takes connections on loopback, each in a thread of its own:

    class Deaf(serving.Way):
        def welcome(self, connection):
            connection.close()

    with Deaf() as way:
        ... way.port ...

A server of socketserver's that serves on loopback, from a thread of its own, while it is entered.

    class Strict(serving.Serving, http.server.ThreadingHTTPServer):
        def __init__(self):
            super().__init__(serving.ANY_PORT, StrictRequest)

    with Strict() as server:
        ... server.url ...
"""

import socket
import threading

SECONDS = 30  # of a connection's pieces, one by one
ANY_PORT = ("127.0.0.1", 0)
POLL_SECONDS = 0.02  # how long its end may take


class Serving:
    daemon_threads = True

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Way:
    def __init__(self):
        self.listener = socket.create_server(ANY_PORT)
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            connection.settimeout(SECONDS)
            threading.Thread(target=self.welcome, args=(connection,), daemon=True).start()
