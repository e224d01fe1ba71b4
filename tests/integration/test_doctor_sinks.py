"""What `flytrail doctor` says of where records are forwarded to, of real buckets among others."""

import email.utils
import os
import re
import socketserver
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import datadog  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402
import serving  # noqa: E402

MARK = "MADE-UP-SECRET"
WRITER = ("PutObject", "GetObject", "ListBucket")
LOCKER = (*WRITER, "PutObjectRetention", "GetObjectRetention")
# Of fly-log-shipper's README and, where that has not all, its vector-configs; each alone switches a sink
# on, or is part of what does.
SHIPPERS = """APPSIGNAL_PUSH_API_KEY AXIOM_TOKEN AXIOM_DATASET BASELIME_API_KEY BASELIME_DATASET
BETTER_STACK_SOURCE_TOKEN LOGTAIL_TOKEN BETTER_STACK_INGESTING_HOST CLOUDWATCH_LOG_GROUP_NAME
ERASEARCH_URL ERASEARCH_AUTH ERASEARCH_INDEX HIGHLIGHT_PROJECT_ID HONEYBADGER_API_KEY
HONEYCOMB_API_KEY HONEYCOMB_DATASET HTTP_URL HTTP_TOKEN HUMIO_TOKEN HUMIO_ENDPOINT HYPERDX_API_KEY
LOGDNA_API_KEY LOGFLARE_API_KEY LOGFLARE_SOURCE_TOKEN LOKI_URL LOKI_USERNAME LOKI_PASSWORD
NEW_RELIC_INSERT_KEY NEW_RELIC_LICENSE_KEY NEW_RELIC_REGION NEW_RELIC_ACCOUNT_ID OPENOBSERVE_URI
OPENOBSERVE_USER OPENOBSERVE_PASSWORD OPSVERSE_LOGS_ENDPOINT OPSVERSE_USERNAME OPSVERSE_PASSWORD
PAPERTRAIL_ENDPOINT PAPERTRAIL_ENCODING_CODEC SEMATEXT_REGION SEMATEXT_TOKEN SIGNOZ_INGESTION_KEY
SIGNOZ_URI UPTRACE_API_KEY UPTRACE_PROJECT UPTRACE_SINK_INPUT UPTRACE_SINK_ENCODING
SLACK_ALERT_KEYWORDS GRAVWELL_URL GRAVWELL_TOKEN GRAVWELL_TAG QUICKWIT_URL
BETTER_STACK_URI MEZMO_API_KEY""".split()


def doctor(env):
    """(verdict, text) of each line; without Postgres and a log stream, whose lines are bad."""
    done = subprocess.run([flytrail.BINARY, "doctor"], env=env, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=lab.ENDED_SECONDS, check=False)
    assert done.stderr == "", done.stderr
    for secret in (s3.SECRET_KEY, MARK, *(env[name] for name in env if "SECRET" in name and env[name])):
        assert secret not in done.stdout, done.stdout
    return re.findall(r"(?m)^(ok  |warn|FAIL) ([a-z0-9]+: .*)$", done.stdout)


def said(env, word):
    return [(verdict.strip(), text.partition(": ")[2]) for verdict, text in doctor(env)
            if text.startswith(f"{word}: ")]


class Sinks(unittest.TestCase):
    def assert_says(self, lines, *expected):
        """Line by line: the verdict, and a pattern of the text."""
        self.assertEqual([verdict for verdict, _ in lines], [verdict for verdict, _ in expected], lines)
        for (_, text), (_, pattern) in zip(lines, expected):
            self.assertRegex(text, pattern)


class Off(Sinks):
    def test_what_is_not_configured_is_off(self):
        self.assert_says(said({}, "s3"), ("ok", "^off: it takes AWS_ACCESS_KEY_ID, "))
        self.assert_says(said({}, "datadog"), ("ok", "^off: it takes DATADOG_API_KEY"))
        self.assertEqual(said({}, "sinks"), [])

    def test_half_a_key_is_not_tried(self):
        self.assert_says(said({"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_BUCKET": "trail"}, "s3"),
                         ("warn", "^not checked, because AWS_SECRET_ACCESS_KEY has to be set right"))

    def test_each_sink_of_fly_log_shipper_that_flytrail_has_not_is_named(self):
        lines = said({**{name: MARK for name in SHIPPERS}, "AWS_REGION": "auto"}, "sinks")
        self.assertEqual(sorted(lines), sorted(
            ("warn", f"{name}: not forwarded by flytrail") for name in SHIPPERS))
        self.assertEqual(said({"LOKI_URL": ""}, "sinks"), [])


class NoWay(serving.Serving, socketserver.ThreadingTCPServer):
    """A proxy that lets nobody through, and keeps where they wanted to go."""

    def __init__(self):
        super().__init__(serving.ANY_PORT, NoWayRequest)
        self.asked = []


class NoWayRequest(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.asked.append(self.rfile.readline().decode().split()[:2])
        self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")


class Datadog(Sinks):
    def setUp(self):
        self.intake = self.enterContext(datadog.Intake(key=MARK))

    def assert_says_of_the_key(self, verdict, pattern, **env):
        lines = said({**self.intake.environment(), **env}, "datadog")
        self.assert_says(lines, ("ok", f"^on: at {self.intake.url}$"), (verdict, pattern))

    def test_a_key_that_is_valid(self):
        self.assert_says_of_the_key("ok", f"^the key is valid, says {self.intake.url}$")
        self.assertEqual(self.intake.answers[0][:2], (200, 0))

    def test_a_key_that_is_refused_is_a_failure(self):
        wrong = MARK + "-AND-WRONG"
        self.assert_says_of_the_key("FAIL", f"^{self.intake.url}: Datadog answers 403: check DATADOG_API_KEY, ",
                                    DATADOG_API_KEY=wrong)
        self.intake.misbehave("status", code=401)
        self.assert_says_of_the_key("FAIL", "Datadog answers 401: check DATADOG_API_KEY")

    def test_an_answer_that_says_neither_is_no_failure(self):
        not_known = f"^whether the key is valid is not known: {self.intake.url}: "
        for code, body in ((200, b"{}"), (200, b'{"valid":false}'), (200, b'{"valid":"true"}'), (200, b"yes"), (404, b""),
                           (302, b""), (429, b""), (500, MARK.encode())):
            with self.subTest(code=code, body=body):
                self.intake.misbehave("status", code=code, body=body, headers=["Location: /api/v1/validate"])
                self.assert_says_of_the_key("warn", f"{not_known}it answers {code}, which says neither$")
        self.intake.misbehave("reset")
        self.assert_says_of_the_key("warn", f"{not_known}GET /api/v1/validate: ")

    def test_its_api_is_at_the_host_of_the_site(self):
        with NoWay() as proxy:
            way = {"https_proxy": proxy.url}
            for env, site in (({"DATADOG_API_KEY": MARK}, "datadoghq.com"),
                              ({"DD_API_KEY": MARK, "DD_SITE": "us5.datadoghq.com"}, "us5.datadoghq.com")):
                with self.subTest(site):
                    self.assert_says(said({**env, **way}, "datadog"),
                                     ("ok", f"^on: at https://http-intake.logs.{site}$"),
                                     ("warn", f"^whether the key is valid is not known: https://api.{site}: GET "))
                    self.assertEqual(proxy.asked, [["CONNECT", f"api.{site}:443"]])
                    proxy.asked.clear()


class Real(Sinks):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(s3.Server())

    def said(self, env, **changes):
        lines = said({**env, **changes}, "s3")
        self.assertEqual(lines[0][0], "ok")
        self.assertRegex(lines[0][1], rf'^on: bucket \S+ at {self.server.url}, keys begin with "flytrail"$')
        return lines[1:]

    def test_a_bucket_of_whoever_may_do_all_works_and_could_be_destroyed(self):
        bucket = self.server.bucket()
        self.assert_says(
            self.said(self.server.environment(bucket)),
            ("ok", r"^flytrail/probe/\S+\.gz was put and read back, and is removed$"),
            ("warn", "^the bucket keeps no versions"),
            ("warn", "^whoever has these credentials can delete objects; to put, read and list is all"))
        self.assertEqual(bucket.versions(), [])

    def test_a_versioned_bucket(self):
        bucket = self.server.bucket(versioned=True)
        self.assert_says(self.said(self.server.environment(bucket)),
                         ("ok", "removed$"), ("ok", "^FLYTRAIL_S3_LOCK is off; the bucket keeps versions$"),
                         ("warn", "can hide objects, delete versions for ever;"))
        self.assertEqual(bucket.versions(), [])

    def test_put_only_credentials_are_the_best(self):
        bucket = self.server.bucket(lock=True)
        self.assert_says(
            self.said(bucket.allow(*LOCKER, "GetBucketVersioning"), FLYTRAIL_S3_LOCK="compliance"),
            ("ok", "was put and read back; it stays$"),
            ("ok", r"^locked: in COMPLIANCE until 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ, as S3 says"),
            ("ok", "^these credentials can put and read; to delete they were refused$"))
        self.assertEqual([marker for _, _, marker in bucket.versions("flytrail/probe/")], [False])

    def test_a_lock_in_governance_mode_can_be_lifted_by_whoever_may(self):
        bucket = self.server.bucket(lock=True)
        self.assert_says(self.said(self.server.environment(bucket), FLYTRAIL_S3_LOCK="governance"),
                         ("ok", "and is removed$"), ("ok", "^locked: in GOVERNANCE until "),
                         ("warn", "delete versions for ever, lift locks in governance mode;"))
        self.assertEqual(bucket.versions(), [])

    def test_a_lock_in_compliance_mode_is_lifted_by_nobody(self):
        bucket = self.server.bucket(lock=True)
        self.assert_says(self.said(self.server.environment(bucket), FLYTRAIL_S3_LOCK="compliance"),
                         ("ok", "it stays$"), ("ok", "^locked: in COMPLIANCE until "),
                         ("warn", "can hide objects, delete versions for ever;"))
        (key, version, _), = bucket.versions()
        self.assertEqual(bucket.head(key)["x-amz-object-lock-mode"], "COMPLIANCE")
        with self.assertRaisesRegex(s3.Refused, "403 AccessDenied"):
            bucket.ask("DELETE", key, {"versionId": version}, {"x-amz-bypass-governance-retention": "true"})

    def test_a_bucket_without_object_lock_says_how_to_make_one(self):
        for how in ({}, {"versioned": True}):
            bucket = self.server.bucket(**how)
            self.assert_says(self.said(self.server.environment(bucket), FLYTRAIL_S3_LOCK="governance"),
                             ("FAIL", "400 InvalidRequest to a lock: .*--object-lock-enabled-for-bucket"))
            self.assertEqual(bucket.versions(), [])

    def test_who_may_not_list_could_not_tell_after_a_crash(self):
        lines = self.said(self.server.bucket(versioned=True).allow("PutObject", "GetObject"))
        self.assertIn("FAIL", dict(lines))
        self.assertRegex(dict(lines)["FAIL"], "allow s3:ListBucket")

    def test_what_is_refused_says_what_to_do(self):
        bucket = self.server.bucket()
        right = self.server.environment(bucket)
        for wrong, says in (
                ({"AWS_SECRET_ACCESS_KEY": MARK}, "403 SignatureDoesNotMatch: AWS_SECRET_ACCESS_KEY is not that"),
                ({"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, "403 InvalidAccessKeyId: AWS_ACCESS_KEY_ID is not known"),
                ({"AWS_BUCKET": "nobodys"}, "404 NoSuchBucket: check AWS_BUCKET and the endpoint")):
            with self.subTest(wrong=wrong):
                self.assert_says(self.said(right, **wrong), ("FAIL", says))
        self.assert_says(self.said(bucket.allow("GetObject")), ("FAIL", "403 AccessDenied"))
        self.assertEqual(bucket.versions(), [])


class LateRequest(s3.JudgeRequest):
    """Of a server whose clock is twenty minutes before ours."""

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(time.time() + 20 * 60, usegmt=True)


class Clock(Sinks):
    def test_a_clock_that_is_wrong_is_said_so(self):
        with s3.Judge(keys=(s3.ACCESS_KEY, MARK, s3.REGION)) as judge:
            judge.RequestHandlerClass = LateRequest
            self.assert_says(
                said({"AWS_ACCESS_KEY_ID": s3.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": s3.SECRET_KEY,
                      "AWS_REGION": s3.REGION, "AWS_BUCKET": "trail", "S3_ENDPOINT": judge.url}, "s3"),
                ("ok", "^on: "),
                ("FAIL", r"this machine's clock is 1[12]\d\d seconds behind S3's: set it"))


if __name__ == "__main__":
    unittest.main()
