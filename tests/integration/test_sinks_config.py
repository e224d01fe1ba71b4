"""`flytrail run` with what the environment says of its sinks: names, headers, proxies, a region.

What a shipper's secrets lead to stands in requests, which are judged as strictly as Amazon does.
"""

import json
import os
import ssl
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import amazon  # noqa: E402
import archive  # noqa: E402
import datadog  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import proxy  # noqa: E402
import test_s3_client  # noqa: E402

AT_ONCE = 3  # they wait more than they work
REGION = "eu-west-1"
TOKEN = "an-example/of+a=session-token"
KMS_KEY = "arn:aws:kms:eu-west-1:000000000000:key/00000000-0000-4000-8000-000000000000"
SSE, KMS, CLASS = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
                   "x-amz-storage-class")
S3_OF_AMAZON = f"{amazon.NAME}.s3.{REGION}.amazonaws.com"
DATE = lab.date_ago(30)
INTAKE_OF_DATADOG = "http-intake.logs.datadoghq.eu"


def line(number):
    return json.dumps({
        "event": {"provider": "app"}, "fly": {"app": {"instance": "0e286551c30586", "name": "web"}, "region": "ams"},
        "host": "0ad1", "log": {"level": "info"}, "message": f"line {number}",
        "timestamp": f"{DATE}T22:14:18.{number:09}Z"})


class Case(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())

    def flytrail(self, *environments, lines=0, **env):
        """Of a file of so many lines, or of the log stream."""
        arguments = []
        if lines:
            arguments = [os.path.join(self.world.folder, "lines.ndjson")]
            with open(arguments[0], "w", encoding="utf-8") as out:
                out.writelines(line(n) + "\n" for n in range(lines))
        given = {name: value for one in environments for name, value in one.items()}
        return self.world.flytrail(arguments, **{"FLYTRAIL_S3_GATHER_SECONDS": "1", **given, **env})

    def ids(self, table="log_lines", column="id"):
        return [row[0] for row in self.world.pg.psql(f"SELECT {column} FROM flytrail.{table} ORDER BY {column}")]

    def check_bucket_is_postgres(self, bucket):
        found = archive.read(bucket.objects)
        self.assertEqual(archive.ids(found, "lines"), self.ids())
        self.assertEqual(archive.ids(found, "events"), self.ids("events", "event_id"))

    def check_log_holds_none(self, ft, *secrets):
        with open(ft.log_path, encoding="utf-8") as log:
            text = log.read()
        for secret in secrets:
            self.assertNotIn(secret, text)


class Headers(Case):
    def keep(self, **env):
        """The headers of all that was put, by name; each was signed, or would not have been taken."""
        with amazon.Bucket(REGION, token=env.get("AWS_SESSION_TOKEN")) as bucket:
            ft = self.flytrail(bucket.environment(), lines=50, **env).start(wait=False)
            self.assertEqual(ft.process.wait(timeout=lab.ENDED_SECONDS), 0)
            self.assertEqual(ft.events("sink_parked"), [])
            self.check_bucket_is_postgres(bucket)
            self.assertEqual(len(self.ids()), 50)
            kinds = {key.split("/")[1] for key, _ in bucket.puts}
            self.assertEqual(kinds, {"lines", "events", "probe"})
            self.check_log_holds_none(ft, TOKEN)
            return [{name: told.get(name) for name in (SSE, KMS, CLASS, "x-amz-security-token")}
                    for _, told in bucket.puts]

    def test_how_objects_are_kept_and_a_session_are_in_each_request(self):
        for told in self.keep(AWS_SESSION_TOKEN=TOKEN, S3_SSE="aws:kms", S3_SSE_KMS_KEY_ID=KMS_KEY,
                              S3_STORAGE_CLASS="STANDARD_IA"):
            self.assertEqual(told, {SSE: "aws:kms", KMS: KMS_KEY, CLASS: "STANDARD_IA", "x-amz-security-token": TOKEN})

    def test_what_is_not_set_is_not_sent(self):
        for told in self.keep(S3_SSE="AES256"):
            self.assertEqual(told, {SSE: "AES256", KMS: None, CLASS: None, "x-amz-security-token": None})

    def test_a_key_of_kms_for_another_encryption_ends_the_start(self):
        with amazon.Bucket(REGION) as bucket:
            ft = self.flytrail(bucket.environment(), S3_SSE="AES256", S3_SSE_KMS_KEY_ID=KMS_KEY)
            status, said = ft.command("run")
            self.assertEqual(status, 2)
            self.assertIn("S3_SSE: must be aws:kms where S3_SSE_KMS_KEY_ID names a key", said)
            self.assertEqual(bucket.asked, [])


class Region(Case):
    def test_a_wrong_one_is_parked_with_the_right_one_and_that_resumes(self):
        with amazon.Bucket(REGION) as bucket:
            ft = self.flytrail(bucket.environment(), AWS_REGION="us-east-1", FLYTRAIL_DRAIN_SECONDS="5").start()
            self.world.publish(100)
            ft.await_event("sink_parked")
            said = "AWS_REGION is not the bucket's: set it to eu-west-1"
            self.assertIn(said, ft.events("sink_parked")[0]["error"])
            check = ft.health()[1]["s3"]
            self.assertFalse(check["ok"])
            self.assertIn(said, check["value"])
            self.world.await_rows(100)  # Postgres is not held up
            self.assertEqual(ft.stop(), 0)
            self.assertEqual(bucket.puts, [])
            ft.env["AWS_REGION"] = REGION
            ft.start()
            lab.wait_for(lambda: len(archive.ids(archive.read(bucket.objects), "lines")) == 100, 60, "the lines")
            self.assertEqual(ft.stop(), 0)
            self.check_bucket_is_postgres(bucket)


class Names(Case):
    """Amazon and Datadog by their own names, which are not looked up here: a proxy is asked, and would."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="flytrail-names-")
        lab.remove_at_exit(folder)
        cls.certificate, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", key, "-out", cls.certificate, "-days", "2", "-subj", "/CN=names.example.com",
             "-addext", f"subjectAltName=DNS:{S3_OF_AMAZON}"], check=True, capture_output=True)
        cls.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.context.load_cert_chain(cls.certificate, key)

    def setUp(self):
        super().setUp()
        self.bucket = self.enterContext(amazon.Bucket(REGION, context=self.context))
        self.way = self.enterContext(proxy.Proxy({f"{S3_OF_AMAZON}:443": self.bucket.port,
                                                  f"{INTAKE_OF_DATADOG}:443": self.bucket.port}))

    def test_a_shippers_secrets_lead_to_amazon_and_to_datadogs_site(self):
        """And no further than to whose certificate does not verify: nothing is asked of that one."""
        key = "0123456789abcdef0123456789abcdef"
        ft = self.flytrail(self.bucket.secrets(), DATADOG_API_KEY=key, DATADOG_SITE="datadoghq.eu",
                           https_proxy=self.way.url).start()
        self.world.publish(100)
        self.world.await_rows(100)
        lab.wait_for(lambda: {said["sink"] for said in ft.events("sink_retry")
                              if "the certificate does not verify" in said["error"]} == {"s3", "datadog"},
                     60, "both to be tried")
        for name in (S3_OF_AMAZON, INTAKE_OF_DATADOG):
            self.assertIn(f"CONNECT {name}:443 HTTP/1.1", self.way.asked)
        self.assertEqual(self.bucket.asked, [])
        ft.kill()
        self.check_log_holds_none(ft, key, self.bucket.secrets()["AWS_SECRET_ACCESS_KEY"])

    def test_amazons_own_address_is_signed_for_and_taken_through_the_proxy(self):
        env = {**self.bucket.secrets(), "https_proxy": self.way.url, "S3_DRIVER_CA": self.certificate}
        self.assertEqual(test_s3_client.ask(env, "PUT", "a=b/c", body=b"hello"), (200, "", b""))
        self.assertEqual(test_s3_client.ask(env, "GET", "a=b/c"), (200, "", b"hello"))
        self.assertEqual(self.way.asked, [f"CONNECT {S3_OF_AMAZON}:443 HTTP/1.1"] * 2)
        self.assertEqual({told["Host"] for _, _, told in self.bucket.asked}, {S3_OF_AMAZON})

    def test_a_proxy_that_refuses_is_told(self):
        self.way.ways.clear()
        env = {**self.bucket.secrets(), "https_proxy": self.way.url, "S3_DRIVER_CA": self.certificate}
        self.assertEqual(test_s3_client.ask(env, "GET", "a"), "GET /a: the proxy answers 502")


class Proxies(Case):
    def setUp(self):
        super().setUp()
        self.intake = self.enterContext(datadog.Intake())
        self.bucket = self.enterContext(amazon.Bucket(REGION))
        self.way = self.enterContext(proxy.Proxy())

    def deliver(self, **env):
        """The hosts and ports that the proxy was asked for."""
        ft = self.flytrail(self.bucket.environment(), self.intake.environment(), **env).start()
        self.world.publish(200)
        self.world.await_rows(200)
        self.assertEqual(ft.stop(), 0)
        self.check_bucket_is_postgres(self.bucket)
        self.assertEqual(sorted(log["event_id"] for log in self.intake.logs),
                         sorted(self.ids() + self.ids("events", "event_id")))
        self.assertEqual(self.intake.complaints(), [])
        return {"/".join(asked.split(" ")[1].split("/")[:3]) for asked in self.way.asked}

    def test_both_sinks_go_by_it_and_nothing_else_does(self):
        self.assertEqual(self.deliver(http_proxy=self.way.url, https_proxy=self.way.url),
                         {self.intake.url, self.bucket.url})

    def test_whom_no_proxy_names_is_asked_without_one(self):
        self.assertEqual(self.deliver(http_proxy=self.way.url, no_proxy="127.0.0.1,localhost"), set())


if __name__ == "__main__":
    unittest.main()
