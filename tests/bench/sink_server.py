"""A server that takes what sinks send and keeps nothing but what a bucket is tried with: 200 to PUT,
404 to HEAD, 202 to POST, 403 to the rest.

usage: sink_server.py [FILE]        prints its port; FILE gets the bodies of all PUTs to */lines/*, inflated

Every PUT's size and moment are printed, a line each: when, bytes.
"""

import gzip
import http.server
import sys
import time


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize = 1 << 20  # what it costs to receive is not what is measured
    content = None
    kept = {}

    def log_message(self, *_):
        pass

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer_kept(self, otherwise):
        body, headers = self.kept.get(self.path, (None, None))
        if body is None:
            self.answer(otherwise)
            return
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self):
        self.answer_kept(404)

    def do_GET(self):
        self.answer_kept(403)

    def do_DELETE(self):
        self.answer(403)

    def do_PUT(self):
        body = self.body()
        if "/probe/" in self.path:
            self.kept[self.path] = body, [(name, value) for name, value in self.headers.items()
                                          if name.lower().startswith("x-amz-meta-")]
            self.answer(403 if "?" in self.path else 200)
            return
        print(f"{time.time()} {len(body)}", flush=True)
        if self.content and "/lines/" in self.path:
            self.content.write(gzip.decompress(body))
            self.content.flush()
        self.answer(200)

    def do_POST(self):
        self.body()
        self.answer(202)


def main():
    if len(sys.argv) > 1:
        Request.content = open(sys.argv[1], "wb")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Request)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
