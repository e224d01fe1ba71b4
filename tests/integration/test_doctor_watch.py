"""What `flytrail doctor` says of what the token may read of Fly's control plane."""

import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
from backfill import Backfill  # noqa: E402

RESOURCES = re.findall(r"(?m)^RESOURCE\((\w+)\)",
                       open(os.path.join(flytrail.ROOT, "include", "watch", "resources.def"), encoding="utf-8").read())


class Doctor(Backfill):
    def setUp(self):
        super().setUp()
        self.api.add_app("web-1")
        self.ft = self.flytrail(FLYTRAIL_HMAC_KEY="an-example-of-a-key-of-ones-own")

    def doctor(self, **env):
        self.ft.env.update(env)
        status, out = self.ft.command("doctor")
        self.assertNotIn(self.api.token, out)
        return status, out

    def line(self, out, word):
        found = re.findall(rf"(?m)^(\w+) +{word}(?: +|$)(.*)$", out)
        self.assertEqual(len(found), 1, (word, out))
        return found[0]

    def test_each_resource_has_a_line(self):
        self.api.secrets_set("web-1", TOKEN="1", OTHER="2")
        status, out = self.doctor()
        self.assertEqual(status, 0, out)
        self.assertEqual(len(re.findall("(?m)^.... watch: ", out)), len(RESOURCES))
        self.assertEqual(self.line(out, "watch: apps"), ("ok", "readable: 1"))
        self.assertEqual(self.line(out, "watch: secrets"), ("ok", "readable: 2 of web-1"))

    def test_one_that_is_refused_is_a_warning(self):
        self.api.misbehave("status", app="web-1/secrets", code=403)
        status, out = self.doctor()
        self.assertEqual(status, 0, out)
        verdict, text = self.line(out, "watch: secrets")
        self.assertEqual(verdict, "warn")
        self.assertRegex(text, r"^refused \(.*status 403\): it is unobserved")

    def test_one_that_is_not_answered_is_no_refusal(self):
        self.api.misbehave("status", app="web-1/secrets", code=500)
        status, out = self.doctor()
        self.assertEqual(status, 0, out)
        self.assertRegex(self.line(out, "watch: secrets")[1], r"^not answered \(.*status 500\)")

    def test_a_lone_refusal_is_passing(self):
        self.api.misbehave("status", 1, app="web-1/secrets", code=401)
        self.assertEqual(self.line(self.doctor()[1], "watch: secrets")[0], "ok")

    def test_a_list_of_applications_that_is_refused_is_a_failure(self):
        answer = self.api.answer_apps
        self.api.answer_apps = lambda connection, _query: self.api.refuse(connection, 403)
        status, out = self.doctor()
        self.api.answer_apps = answer
        self.assertEqual(status, 1, out)
        self.assertRegex(out, r"(?m)^FAIL watch: apps +refused \(.*status 403\): .*check ORG")
        self.assertEqual(self.line(out, "watch: secrets"),
                         ("warn", "not asked for, because nothing can be read of apps"))

    def test_without_a_key_it_says_how_to_make_one(self):
        self.assertNotIn("FLYTRAIL_HMAC_KEY", self.doctor()[1])
        out = self.doctor(FLYTRAIL_HMAC_KEY="")[1]
        self.assertRegex(out, "(?m)^warn secrets: FLYTRAIL_HMAC_KEY is not set, .*times alone; .*openssl rand")

    def test_what_the_token_covers(self):
        org = self.api.org
        for covers, words in (
                ({}, f"covers all applications of {org}; it is no person's"),
                ({"user": "u-1"}, f"covers all applications of {org}; it is a person's, and may do what that one may"),
                ({"apps": ["web-1", "\x1b[2J", "web-2"], "restricted_to_machine": "0e286551c30586"},
                 f"covers web-1, web-2 of {org}, from one machine alone; it is no person's"),
                ({"org_slug": "\x1b[2J", "apps": [str(n) for n in range(9)]},
                 "covers 0, 1, 2, 3, 4 and 4 more of unknown; it is no person's")):
            self.api.token_covers = {"apps": [], **covers}
            self.api.buckets.clear()
            self.assertEqual(self.line(self.doctor()[1], "token:")[1], words)
        self.api.buckets.clear()
        self.api.misbehave("status", app="/tokens/current", code=404)
        verdict, text = self.line(self.doctor()[1], "token:")
        self.assertEqual(verdict, "ok")
        self.assertRegex(text, r"^Fly does not say what it covers \(.*404\)$")


if __name__ == "__main__":
    unittest.main()
