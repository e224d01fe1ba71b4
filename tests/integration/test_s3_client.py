"""sink/s3_client against a real S3 server, and against a judge of signatures that is as strict as AWS."""

import base64
import hashlib
import os
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
import rough  # noqa: E402
import s3  # noqa: E402

DRIVER = os.path.join(ROOT, "build", "tests", "support", "s3_driver")
# Each broke a signer that is in use.
KEYS = ("a", "lines/date=2026-11-26/hour=07/x.ndjson.gz", "a b", "a+b", "a:b", "a=b", "a@b,c(d)!'*&$",
        "é/ü", "a//b", "a~b_c-d.e", "%3D", "ends/")
HEADERS = (
    {"content-type": "application/gzip"},
    {"x-amz-meta-a": "1", "x-amz-meta-a-b": "2"},
    {"x-amz-server-side-encryption": "aws:kms",
     "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:us-east-1:000000000000:key/example"},
    {"x-amz-object-lock-mode": "COMPLIANCE",
     "x-amz-object-lock-retain-until-date": "2027-01-01T00:00:00Z"},
    {"x-amz-storage-class": "STANDARD_IA", "if-none-match": "*"},
    {"x-amz-meta-spaces": "  two  spaces   within "},
)
QUERIES = ({"list-type": "2", "prefix": "a/b=c"}, {"versioning": ""}, {"object-lock": ""},
           {"versionId": "a+b/c", "retention": ""}, {"z": "1", "a": "2", "a-b": "3"})


def ask(environment, method, key="", headers=None, query=None, body=b""):
    """(status, code, body), or what went wrong."""
    done = subprocess.run(
        [DRIVER, method, key, *(f"{name}:{value}" for name, value in (headers or {}).items()),
         *(f"{name}={value}" for name, value in (query or {}).items())],
        input=body, capture_output=True, timeout=lab.ENDED_SECONDS, check=False, env={**os.environ, **environment})
    if done.returncode != 0:
        return done.stderr.decode().strip()
    first, _, rest = done.stdout.partition(b"\n")
    status, _, code = first.decode().partition(" ")
    return int(status), code, rest


class Signatures(unittest.TestCase):
    def setUp(self):
        self.judge = self.enterContext(s3.Judge())
        self.environment = {"S3_ENDPOINT": self.judge.url, "AWS_BUCKET": "trail",
                            "AWS_ACCESS_KEY_ID": s3.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": s3.SECRET_KEY,
                            "AWS_REGION": s3.REGION}

    def test_what_others_sign_wrongly_is_signed(self):
        for method in ("PUT", "GET", "HEAD", "DELETE"):
            for key in KEYS:
                with self.subTest(method=method, key=key):
                    self.assertEqual(ask(self.environment, method, key, body=b"hello"), (200, "", b""))
        for headers in HEADERS:
            with self.subTest(headers=headers):
                self.assertEqual(ask(self.environment, "PUT", "a", headers=headers, body=b"x"),
                                 (200, "", b""))
        for query in QUERIES:
            with self.subTest(query=query):
                self.assertEqual(ask(self.environment, "GET", query=query), (200, "", b""))

    def test_a_session_token_is_sent_and_signed(self):
        self.judge.token = "an/example+of=a-token"
        given = {**self.environment, "AWS_SESSION_TOKEN": self.judge.token}
        self.assertEqual(ask(given, "PUT", "a", body=b"x"), (200, "", b""))
        self.assertIn("InvalidToken", ask(self.environment, "PUT", "a", body=b"x"))

    def test_the_judge_refuses_what_is_wrong(self):
        wrong = {**self.environment, "AWS_SECRET_ACCESS_KEY": "another"}
        self.assertIn("SignatureDoesNotMatch: AWS_SECRET_ACCESS_KEY", ask(wrong, "GET", "a"))
        self.judge.keys = (s3.ACCESS_KEY, s3.SECRET_KEY, "eu-west-1")
        self.assertIn("SignatureDoesNotMatch", ask(self.environment, "GET", "a"))


class Real(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(s3.Server())

    def test_what_is_put_is_there_and_comes_back(self):
        bucket = self.server.bucket()
        environment = self.server.environment(bucket)
        for n, key in enumerate(KEYS):
            body = os.urandom(n * 1000)
            with self.subTest(key=key):
                md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
                sent = {"content-type": "application/gzip", "content-md5": md5, "x-amz-meta-range": f"{n}"}
                self.assertEqual(ask(environment, "PUT", key, headers=sent, body=body)[0], 200)
                self.assertEqual(bucket.get(key), body)
                self.assertEqual(bucket.head(key)["x-amz-meta-range"], str(n))
                self.assertEqual(bucket.head(key)["content-type"], "application/gzip")
                self.assertEqual(ask(environment, "GET", key), (200, "", body))
                self.assertEqual(ask(environment, "HEAD", key), (200, "", b""))
        self.assertEqual(sorted(bucket.keys()), sorted(KEYS))

    def test_what_is_not_there_or_there_already(self):
        environment = self.server.environment(self.server.bucket())
        self.assertEqual(ask(environment, "GET", "a")[:2], (404, "NoSuchKey"))
        self.assertEqual(ask(environment, "HEAD", "a")[:2], (404, ""))
        once = {"if-none-match": "*"}
        self.assertEqual(ask(environment, "PUT", "a", headers=once, body=b"1")[0], 200)
        self.assertEqual(ask(environment, "PUT", "a", headers=once, body=b"2")[:2],
                         (412, "PreconditionFailed"))

    def test_what_is_refused_says_what_to_do(self):
        bucket = self.server.bucket()
        right = self.server.environment(bucket)
        for wrong, says in (({"AWS_SECRET_ACCESS_KEY": "another"}, "403 SignatureDoesNotMatch: AWS_SECRET"),
                            ({"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, "403 InvalidAccessKeyId: AWS_ACCESS_KEY_ID"),
                            ({"AWS_BUCKET": "nobodys"}, "404 NoSuchBucket: check AWS_BUCKET")):
            with self.subTest(wrong=wrong):
                told = ask({**right, **wrong}, "PUT", "a", body=b"x")
                self.assertIn(says, told)
                self.assertNotIn(s3.SECRET_KEY, told)
        self.assertEqual(bucket.keys(), [])

    def test_a_body_that_changed_on_the_way_is_sent_again(self):
        environment = self.server.environment(self.server.bucket())
        self.assertIn("400 BadDigest", ask(
            environment, "PUT", "a", headers={"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, body=b"x"))

    def test_a_lock_holds(self):
        bucket = self.server.bucket(lock=True)
        environment = self.server.environment(bucket)
        lock = {"x-amz-object-lock-mode": "COMPLIANCE", "content-md5": "nXnxr3EGhGXxaHZbzpHzmA==",
                "x-amz-object-lock-retain-until-date": "2099-01-01T00:00:00Z"}
        lock["content-md5"] = base64.b64encode(hashlib.md5(b"x").digest()).decode()
        self.assertEqual(ask(environment, "PUT", "a", headers=lock, body=b"x")[0], 200)
        version = bucket.versions()[0][1]
        self.assertIn("403 AccessDenied", ask(environment, "DELETE", "a", query={"versionId": version}))
        self.assertEqual(bucket.get("a", version), b"x")

    def test_over_tls_who_is_known_is_asked_and_nobody_else(self):
        bucket = self.server.bucket()
        way = self.enterContext(rough.Way(self.server.port, tls=True))
        environment = {**self.server.environment(bucket), "S3_ENDPOINT": way.url}
        self.assertEqual(ask(environment, "PUT", "a", body=b"x"),
                         f"PUT /{bucket.name}/a: the certificate does not verify")
        self.assertEqual((way.asked, bucket.keys()), ([], []))
        known = {**environment, "S3_DRIVER_CA": way.cert_path}
        self.assertEqual(ask(known, "PUT", "a", body=b"x")[0], 200)
        self.assertEqual(ask(known, "GET", "a"), (200, "", b"x"))
        for greeting in (rough.drop, rough.answer(400)):  # in the middle of it, and what is none
            way.greetings.append(greeting)
            self.assertRegex(ask(known, "PUT", "b", body=b"x"), f"^PUT /{bucket.name}/b: .*SSL")
        self.assertEqual(bucket.keys(), ["a"])

    def test_a_server_that_is_away_is_tried_again(self):
        bucket = self.server.bucket()
        environment = self.server.environment(bucket)
        self.server.crash_gateway()
        self.assertIn("PUT /", ask(environment, "PUT", "a", body=b"x"))
        self.server.start_gateway()
        self.assertEqual(ask(environment, "PUT", "a", body=b"x")[0], 200)


if __name__ == "__main__":
    unittest.main()
