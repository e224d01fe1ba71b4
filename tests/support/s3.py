"""A real S3 server for tests, Ceph's RADOS Gateway, and a client of its own to ask it with.

    with s3.Server() as server:                 # about a second; objects are kept in memory
        bucket = server.bucket(lock=True)
        bucket.put("a=b/c", b"text")
        bucket.versions()                       # [("a=b/c", "version", False)]
        server.crash_gateway(); server.start_gateway()

The client signs by its own reading of AWS's rules, so that a mistake of flytrail's signer is not
made twice. What Ceph does otherwise than Amazon, and no test may therefore bless: it takes a lock
without a checksum, ignores a wrong x-amz-checksum-sha256, and If-None-Match in a versioned bucket.
"""

import datetime
import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse
import uuid
import xml.etree.ElementTree

import judging
import lab
import serving

ACCESS_KEY = "AKIAEXAMPLEEXAMPLE00"
SECRET_KEY = "an-example/with+slash=and-equals-sign000"
REGION = "default"
COMMAND_SECONDS = 120  # of which they take one, where nobody else keeps the disk busy

CONFIG = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port}/0]
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = {osd_port}
ms bind port max = {last_port}
ms bind msgr1 = false
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
crash dir = {folder}
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
mon warn on pool no redundancy = false
mon data avail crit = 1
mon data avail warn = 1
[mon.a]
mon data = {folder}/mon
keyring = /dev/null
paxos propose interval = 0.05
paxos min wait = 0.01
mon lease = 1
mon tick interval = 1
[osd.0]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
osd crush initial weight = 1
osd op num shards = 2
osd op num threads per shard = 1
osd numa auto affinity = false
keyring = /dev/null
[client.rgw]
rgw data = {folder}/rgw
keyring = /dev/null
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
ms mon client mode = crc
auth client required = none
rgw thread pool size = 32
rgw num rados handles = 1
rgw enable quota threads = false
rgw enable lc threads = false
rgw enable gc threads = false
rgw dynamic resharding = false
rgw override bucket index max shards = 1
rgw run sync thread = false
"""
PORTS = 20  # of one cluster


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


class Refused(Exception):
    """An answer of 300 and more: its status and what S3 calls it."""

    def __init__(self, status, body):
        code = re.search(rb"<Code>(\w+)</Code>", body)
        self.status, self.code = status, code.group(1).decode() if code else ""
        super().__init__(f"S3 answers {self.status} {self.code}")


class Bucket:
    """Of one test; what it asks for is signed with the server's own key."""

    def __init__(self, server, name):
        self.server, self.name = server, name

    def ask(self, method, key="", query=None, headers=None, body=b""):
        """(headers, body) of the answer."""
        query, port = query or {}, self.server.port
        path = f"/{self.name}" + (f"/{encode(key, safe='/')}" if key else "")
        sha256 = hashlib.sha256(body).hexdigest()
        now = datetime.datetime.now(datetime.timezone.utc)
        signed = {"host": f"127.0.0.1:{port}", "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
                  "x-amz-content-sha256": sha256, **(headers or {})}
        signed["authorization"] = authorization(
            method, path, query, signed, sha256, (ACCESS_KEY, SECRET_KEY, REGION))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request(method, f"{path}?{urllib.parse.urlencode(query, quote_via=urllib.parse.quote)}",
                               body, signed)
            answer = connection.getresponse()
            got = answer.read()
            if answer.status >= 300:
                raise Refused(answer.status, got)
            return {name.lower(): value for name, value in answer.getheaders()}, got
        finally:
            connection.close()

    def allow(self, *actions):
        """The environment of somebody who may do that in this bucket, and nothing else."""
        name = uuid.uuid4().hex[:12]
        keys = {"AWS_ACCESS_KEY_ID": f"AKIA{name.upper()}", "AWS_SECRET_ACCESS_KEY": f"an-example-for-{name}"}
        self.server.make_user(name, *keys.values())
        where = f"arn:aws:s3:::{self.name}"
        self.ask("PUT", query={"policy": ""}, body=json.dumps({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": [f"arn:aws:iam:::user/{name}"]},
                           "Action": [f"s3:{action}" for action in actions],
                           "Resource": [where, f"{where}/*"]}]}).encode())
        return {**self.server.environment(self), **keys}

    def put(self, key, body, headers=None):
        self.ask("PUT", key, headers=headers, body=body)

    def get(self, key, version=None):
        return self.ask("GET", key, {"versionId": version} if version else None)[1]

    def head(self, key):
        return self.ask("HEAD", key)[0]

    def pages(self, query, marks):
        """The answers of a listing, to its end; marks: of the answer, and as it is asked for."""
        while True:
            page = xml.etree.ElementTree.fromstring(self.ask("GET", query=query)[1])
            for element in page.iter():
                element.tag = element.tag.rpartition("}")[2]
            yield page
            if page.findtext("IsTruncated") != "true":
                return
            query = {**query, **{asked: page.findtext(told) for told, asked in marks.items()}}

    def keys(self, prefix=""):
        return [item.findtext("Key") for page in self.pages(
            {"list-type": "2", "prefix": prefix}, {"NextContinuationToken": "continuation-token"})
            for item in page.iter("Contents")]

    def versions(self, prefix=""):
        """(key, version, whether it is a delete marker) of everything, however old."""
        return [(item.findtext("Key"), item.findtext("VersionId"), item.tag == "DeleteMarker")
                for page in self.pages({"versions": "", "prefix": prefix},
                                       {"NextKeyMarker": "key-marker",
                                        "NextVersionIdMarker": "version-id-marker"})
                for item in page if item.tag in ("Version", "DeleteMarker")]


class Server:
    """A cluster of one node: what keeps the objects, and the gateway that speaks S3."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="flytrail-s3-", dir="/tmp")
        self.port = lab.free_port(PORTS + 1)
        self.config = os.path.join(self.folder, "ceph.conf")
        self.daemons = {}

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def environment(self, bucket):
        return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_REGION": REGION, "AWS_BUCKET": bucket.name, "S3_ENDPOINT": self.url}

    def run(self, *command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=COMMAND_SECONDS, check=False)
        if done.returncode != 0:
            raise lab.LabError(f"{' '.join(command)}: {done.stdout[-1000:]}{done.stderr[-3000:]}")

    def launch(self, name, *command):
        daemon = lab.Server("", folder=self.folder)
        daemon.launch([*command, "-c", self.config, "-f"])
        self.daemons[name] = daemon

    def start(self):
        fsid = str(uuid.uuid4())
        mon_port = lab.free_port()
        ports = {"mon_port": mon_port, "osd_port": self.port + 1, "last_port": self.port + PORTS}
        with open(self.config, "w", encoding="ascii") as out:
            out.write(CONFIG.format(fsid=fsid, folder=self.folder, port=self.port, **ports))
        for name in ("mon", "osd"):
            os.mkdir(os.path.join(self.folder, name))
        self.run("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a",
                 f"[v2:127.0.0.1:{mon_port}]", f"{self.folder}/monmap")
        self.run("ceph-mon", "-c", self.config, "--mkfs", "-i", "a", "--monmap", f"{self.folder}/monmap")
        self.launch("mon", "ceph-mon", "-i", "a")
        node = str(uuid.uuid4())
        self.run("ceph", "-c", self.config, "osd", "new", node)
        self.run("ceph-osd", "-c", self.config, "-i", "0", "--mkfs", "--osd-uuid", node)
        self.launch("osd", "ceph-osd", "-i", "0")
        self.make_user("auditor", ACCESS_KEY, SECRET_KEY)
        self.start_gateway()
        return self

    def make_user(self, name, access_key, secret_key):
        self.run("radosgw-admin", "-c", self.config, "-n", "client.rgw", "user", "create", f"--uid={name}",
                 f"--display-name={name}", f"--access-key={access_key}", f"--secret-key={secret_key}")

    def start_gateway(self):
        self.launch("gateway", "radosgw", "-n", "client.rgw")
        self.daemons["gateway"].await_ready(self.answers)

    def answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def crash_gateway(self):
        self.daemons["gateway"].crash()

    def pause_gateway(self):
        self.daemons["gateway"].pause()

    def resume_gateway(self):
        self.daemons["gateway"].resume()

    def bucket(self, lock=False, versioned=False):
        made = Bucket(self, f"trail-{uuid.uuid4().hex[:12]}")
        made.ask("PUT", headers={"x-amz-bucket-object-lock-enabled": "true"} if lock else None)
        if versioned:
            made.ask("PUT", query={"versioning": ""}, body=b"<VersioningConfiguration><Status>Enabled"
                     b"</Status></VersioningConfiguration>")
        return made

    def close(self):
        for daemon in reversed(list(self.daemons.values())):
            daemon.crash()
        shutil.rmtree(self.folder, ignore_errors=True)


class Judge(serving.Serving, http.server.ThreadingHTTPServer):
    """A server that does nothing but judge signatures: 200 where one is right, else 403 and why.

    It is as strict as AWS's rules: every header x-amz-*, content-md5 and content-type is signed, in
    order; the body has the hash that the header says; the time is now.
    """

    def __init__(self, keys=(ACCESS_KEY, SECRET_KEY, REGION), token=None):
        super().__init__(serving.ANY_PORT, JudgeRequest)
        self.keys, self.token = keys, token
        self.asked = []


class JudgeRequest(judging.Request):
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
