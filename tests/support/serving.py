"""A server of socketserver's that serves on loopback, from a thread of its own, while it is entered.

    class Strict(serving.Serving, http.server.ThreadingHTTPServer):
        def __init__(self):
            super().__init__(serving.ANY_PORT, StrictRequest)

    with Strict() as server:
        ... server.url ...
"""

import threading

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
