"""A bucket as Amazon has them, for what Ceph does not do: regions, keys of KMS, classes of storage.

    with amazon.Bucket("eu-west-1") as bucket:      # in memory; signatures are judged as s3.Judge does
        ... bucket.environment() ...                # with the endpoint that it has on loopback
        archive.read(bucket.objects)                # as of a bucket of s3.Server
        bucket.puts                                 # (key, headers) of each that was taken

Its credentials may put, read and list, and nothing else. With context it speaks TLS.

Source: Amazon S3 API Reference, "PutObject", "Error responses": a request that is signed for another
region is AuthorizationHeaderMalformed, and both a header and the body say which one is right.
"""

import base64
import hashlib
import re
import urllib.parse

import s3

NAME = "trail"
KEPT = ("x-amz-meta-", "x-amz-server-side-encryption", "x-amz-storage-class")


def refusal(status, code, more="", headers=None):
    return status, headers or {}, f"<Error><Code>{code}</Code>{more}</Error>".encode()


class Request(s3.JudgeRequest):
    def refuse(self, body):
        """What is wrong with the request whatever it is about; None: nothing."""
        region = self.server.keys[2]
        scope = re.search(r"Credential=[^/]+/\d{8}/([^/]+)/s3/", self.headers.get("authorization") or "")
        if scope and scope[1] != region:
            return refusal(400, "AuthorizationHeaderMalformed", f"<Region>{region}</Region>",
                           {"x-amz-bucket-region": region})
        fault = self.faults(body)
        return refusal(403, fault) if fault else None

    def put(self, key, body):
        told = {name.lower(): value for name, value in self.headers.items()}
        if told.get("if-none-match") == "*" and key in self.server.objects.kept:
            return refusal(412, "PreconditionFailed")
        for name, digest in (("content-md5", hashlib.md5(body)), ("x-amz-checksum-sha256", hashlib.sha256(body))):
            if name in told and told[name] != base64.b64encode(digest.digest()).decode():
                return refusal(400, "BadDigest")
        if "x-amz-server-side-encryption-aws-kms-key-id" in told and \
                told.get("x-amz-server-side-encryption") not in ("aws:kms", "aws:kms:dsse"):
            return refusal(400, "InvalidArgument")
        self.server.objects.kept[key] = ({name: value for name, value in told.items() if name.startswith(KEPT)}, body)
        self.server.puts.append((key, told))
        return 200, {}, b""

    def serve(self, body):
        path, _, query = self.path.partition("?")
        key = urllib.parse.unquote(path)[1:]
        if not self.headers["host"].startswith(f"{NAME}."):
            bucket, _, key = key.partition("/")
            if bucket != NAME:
                return refusal(404, "NoSuchBucket")
        if query == "versioning=":
            return 200, {}, b"<VersioningConfiguration/>"
        if query == "object-lock=":
            return refusal(404, "ObjectLockConfigurationNotFoundError")
        if self.command == "PUT":
            return self.put(key, body)
        if self.command not in ("GET", "HEAD"):
            return refusal(403, "AccessDenied")
        if key not in self.server.objects.kept:
            return refusal(404, "NoSuchKey")
        return 200, *self.server.objects.kept[key]

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked.append((self.command, self.path, dict(self.headers.items())))
        status, headers, told = self.refuse(body) or self.serve(body)
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(told))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer


class Objects:
    def __init__(self):
        self.kept = {}  # by key: (headers, body)

    def keys(self, prefix=""):
        return sorted(key for key in list(self.kept) if key.startswith(prefix))  # some may come meanwhile

    def get(self, key):
        return self.kept[key][1]

    def head(self, key):
        return self.kept[key][0]


class Bucket(s3.Judge):
    def __init__(self, region, token=None, context=None):
        super().__init__((s3.ACCESS_KEY, s3.SECRET_KEY, region), token)
        self.RequestHandlerClass = Request
        self.objects = Objects()
        self.puts = []
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def port(self):
        return self.server_address[1]

    def secrets(self):
        """What somebody has who has a bucket at Amazon."""
        return {"AWS_ACCESS_KEY_ID": s3.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": s3.SECRET_KEY,
                "AWS_BUCKET": NAME, "AWS_REGION": self.keys[2]}

    def environment(self):
        return {**self.secrets(), "S3_ENDPOINT": self.url}
