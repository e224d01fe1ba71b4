"""Signatures of requests to S3, by a reading of AWS's rules of its own, and a judge of them.

    with s3.Judge() as judge:                   # an HTTP server that refuses what is signed wrongly
        ...a request to judge.url...
"""

import datetime
import hashlib
import hmac
import http.server
import re
import threading
import urllib.parse

ACCESS_KEY = "AKIAEXAMPLEEXAMPLE00"
SECRET_KEY = "an-example/with+slash=and-equals-sign000"
REGION = "default"


def encode(text, safe=""):
    return urllib.parse.quote(text, safe=safe + "-_.~")


def authorization(method, path, query, headers, body_sha256, keys):
    """By "Authenticating Requests" of the S3 API Reference; every header of `headers` is signed."""
    access, secret, region = keys
    stamp = headers["x-amz-date"]
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    names = sorted(headers)
    asked = "\n".join((
        method, path,
        "&".join(map("=".join, sorted((encode(name), encode(value)) for name, value in query.items()))),
        "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names),
        ";".join(names), body_sha256))
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(asked.encode()).hexdigest()))
    key = ("AWS4" + secret).encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return (f"AWS4-HMAC-SHA256 Credential={access}/{scope}, SignedHeaders={';'.join(names)}, "
            f"Signature={key.hex()}")


class Judge(http.server.ThreadingHTTPServer):
    """A server that does nothing but judge signatures: 200 where one is right, else 403 and why.

    It is as strict as AWS's rules: every header x-amz-*, content-md5 and content-type is signed, in
    order; the body has the hash that the header says; the time is now.
    """

    daemon_threads = True

    def __init__(self, keys=(ACCESS_KEY, SECRET_KEY, REGION), token=None):
        super().__init__(("127.0.0.1", 0), JudgeRequest)
        self.keys, self.token = keys, token
        self.asked = []

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class JudgeRequest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def faults(self, body):
        """What S3 would call what is wrong."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        given = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(\S+?),\s*SignedHeaders=(\S+?),\s*Signature=([0-9a-f]{64})",
                             headers.get("authorization", ""))
        if not given:
            return "AccessDenied"
        signed = given[2].split(";")
        must = {"host"} | {name for name in headers
                           if name.startswith("x-amz-") or name in ("content-md5", "content-type")}
        if signed != sorted(signed) or not must <= set(signed) or len(headers) != len(self.headers):
            return "AccessDenied"
        if headers.get("x-amz-content-sha256") != hashlib.sha256(body).hexdigest():
            return "XAmzContentSHA256Mismatch"
        if headers.get("x-amz-security-token") != self.server.token:
            return "InvalidToken"
        at = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%S%z")
        if abs(datetime.datetime.now(datetime.timezone.utc) - at) > datetime.timedelta(minutes=15):
            return "RequestTimeTooSkewed"
        path, _, query = self.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        if path != encode(urllib.parse.unquote(path), safe="/"):
            return "SignatureDoesNotMatch"
        right = authorization(self.command, path, asked, {name: headers[name] for name in signed},
                              headers["x-amz-content-sha256"], self.server.keys)
        return None if right.endswith(given[3]) else "SignatureDoesNotMatch"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        code = self.faults(body)
        self.server.asked.append((self.command, self.path, dict(self.headers.items())))
        told = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
        self.send_response(403 if code else 200)
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer
