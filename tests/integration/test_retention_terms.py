"""`flytrail retention` and `flytrail hold`: the terms and holds that people set, and what they are told of them."""

import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
from old_trail import LINES, OLD_DAYS, Case  # noqa: E402


class Policy(Case):
    def test_a_profile_says_what_it_set_and_what_it_changed(self):
        text = self.command("retention", "profile", "default")
        self.assertIn("log_lines   kept for 30 days; it was kept for ever\n", text)
        text = self.command("retention", "profile", "eu")
        self.assertIn("security    kept for 330 days, at most 366; it was kept for 396 days\n", text)
        self.assertIn("operations  kept for 330 days, at most 366; it was kept for 92 days\n", text)
        self.assertIn("log_lines   kept for 30 days, at most 35; it was kept for 30 days\n", text)
        text = self.command("retention", "profile", "hipaa")
        self.assertIn("security    kept for 2192 days; it was kept for 330 days, at most 366\n", text)
        self.assertEqual(self.command("retention", "profile", "hipaa").count(", as before\n"), 3)
        self.assertEqual(len(self.facts("trail.retention_changed")), 9)

    def test_each_profile_is_as_readme_has_it(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
            rows = re.findall(r"^\| `(\w+)` \| ([\d,]+)(.*) \| ([\d,]+)(.*) \| ([\d,]+)(.*) \|$", file.read(), re.MULTILINE)
        self.assertEqual({row[0] for row in rows}, {"default", "pci", "hipaa", "eu"})
        for name, *cells in rows:
            with self.subTest(name):
                self.command("retention", "profile", name)
                at_most = [re.search(r"at most (\d+)", cell) for cell in cells[1::2]]
                self.assertEqual(
                    self.pg.psql("SELECT keep_for_days, keep_at_most_days FROM unnest(ARRAY['security', 'operations', 'log_lines']) "
                                 "WITH ORDINALITY AS k (kind, n) JOIN flytrail.retention USING (kind) ORDER BY n"),
                    [[days.replace(",", ""), found and found[1]] for days, found in zip(cells[::2], at_most)])

    def test_bad_terms_are_one_sentence_and_change_nothing(self):
        self.set_lines(30)
        for words in (["set", "log_lines", "--keep-for", "-3"], ["set", "log_lines", "--keep-for", "0"],
                      ["set", "log_lines", "--keep-for", "36501"], ["set", "log_lines", "--keep-for", "1.5"],
                      ["set", "log_lines", "--keep-for", "99999999999999999999"], ["set", "log_lines", "--keep-for"],
                      ["set", "log_lines"], ["set", "lines", "--keep-for", "3"], ["set"],
                      ["set", "log_lines", "--keep-for", "10", "--keep-at-most", "12"],
                      ["set", "log_lines", "--keep-for", "88", "--keep-at-most", "91"],
                      ["set", "security", "--keep-for", "100", "--keep-at-most", "132"],
                      ["profile", "sox"], ["profile"], ["apply", "--force"], ["plan", "all"], ["forget"], []):
            with self.subTest(words=words):
                text = self.command("retention", *words, status=2)
                self.assertEqual(text.count("\n"), 1, text)
        self.assertEqual(self.pg.psql("SELECT kind, keep_for_days, keep_at_most_days FROM flytrail.retention"),
                         [["log_lines", "30", None]])
        self.command("retention", "set", "security", "--keep-for", "100", "--keep-at-most", "133")
        self.command("retention", "set", "log_lines", "--keep-for", "88", "--keep-at-most", "97")

    def test_the_writer_may_plan_and_no_more(self):
        self.ft.env["FLYTRAIL_ADMIN_DATABASE_URL"] = self.pg.url("flytrail_writer")
        for words in (["retention", "profile", "eu"], ["hold", "add", "--app", "x", "--reason", "y"]):
            text = self.command(*words, status=1)
            self.assertEqual(text.count("\n"), 1, text)
        self.assertEqual(self.pg.psql("SELECT * FROM flytrail.retention"), [])
        self.assertIn("security    kept for ever\n", self.command("retention", "plan"))

    def test_a_plan_shows_what_goes_and_sums_up_what_is_kept(self):
        self.fill(1, 20, 32, OLD_DAYS)
        self.assertRegex(self.command("retention", "plan"), r"(?m)^log_lines .* stays  kept for ever: no term is set$")
        self.set_lines(30)
        text = self.command("retention", "plan")
        self.assertEqual(len([line for line in text.splitlines() if line.startswith("log_lines   2")
                              and line.endswith("  goes   past keep_for")]), 2, text)
        self.assertRegex(text, r"(?m)^log_lines .* stays  kept until 20\S+, what is newer longer$")
        self.assertIn("2 partitions would go: about ", text)
        self.assertEqual(self.old_lines(), 4 * LINES)

    def test_of_lines_that_are_not_archived_it_is_said_that_no_archive_is_asked(self):
        self.fill(OLD_DAYS)
        self.set_lines(30)
        self.ft.env |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_BUCKET": "trail",
                        "S3_ENDPOINT": "http://127.0.0.1:1", "FLYTRAIL_S3_SEND": "events"}
        said = "\nFLYTRAIL_S3_SEND is `events`, so of log_lines no archive {} asked\n"
        self.assertIn(said.format("would be"), self.command("retention", "plan"))
        self.assertIn(said.format("was"), self.command("retention", "apply"))
        self.ft.env["FLYTRAIL_S3_SEND"] = "all"
        self.assertNotIn("FLYTRAIL_S3_SEND", self.command("retention", "plan"))

    def test_terms_can_be_tried_before_they_are_set(self):
        self.fill(20, 32, OLD_DAYS)
        for words in (["profile", "eu"], ["set", "log_lines", "--keep-for", "30"]):
            with self.subTest(words=words):
                text = self.command("retention", *words, "--plan")
                self.assertIn("log_lines   kept for 30 days", text)
                self.assertEqual(len(re.findall("(?m)^log_lines   2.*  goes   past keep_", text)), 2, text)
                self.assertIn("2 partitions would go: about ", text)
                self.assertIn("that is not set", text)
        self.assertEqual(self.pg.psql("SELECT * FROM flytrail.retention"), [])
        self.assertEqual(self.facts("trail.retention_changed"), [])
        self.assertIn("log_lines   kept for ever\n", self.command("retention", "plan"))
        self.command("retention", "plan", "--plan", status=2)


class Holds(Case):
    def test_a_hold_keeps_a_partition_until_it_is_released(self):
        self.fill(OLD_DAYS)
        self.fill(OLD_DAYS + 1, app="other")
        self.set_lines(30)
        self.command("hold", "add", "--app", "web-3", "--reason", "a\x1b[31m dispute")
        text = self.command("hold", "list")
        self.assertRegex(text, r"(?m)^\S{36}  app web-3  by postgres at 20\S+Z: a\\u001b\[31m dispute$")
        self.assertTrue(text.endswith("\n1 hold\n"), text)
        hold = text.split()[0]
        self.assertRegex(self.command("retention", "plan"), rf"stays  hold {hold}: ")
        text = self.command("retention", "apply")
        self.assertIn(f"{self.day(OLD_DAYS)} stays, though past its term: hold {hold}: ", text)
        self.assertIn(f"dropped {self.day(OLD_DAYS + 1)}: ", text)
        self.assertEqual(self.old_lines(), LINES)
        self.command("hold", "release", hold, "--reason", "settled")
        self.assertEqual(self.command("hold", "list"), "0 holds\n")
        self.assertIn("1 partition dropped;", self.command("retention", "apply"))
        self.assertEqual(self.old_lines(), 0)
        self.assertEqual([fact["hold"] for fact in self.facts("trail.hold_added")
                          + self.facts("trail.hold_released")], [hold, hold])

    def test_bad_holds_are_one_sentence_and_change_nothing(self):
        for words, status in (
                (["add", "--reason", "why"], 2), (["add", "--app", "web-3"], 2),
                (["add", "--app", "web-3", "--reason", " \t"], 2), (["add", "--app", "web-3", "--reason", ""], 2),
                (["add", "--class", "nonsense", "--reason", "why"], 2),
                (["add", "--since", "yesterday", "--reason", "why"], 2),
                (["add", "--since", "2026-02-01", "--until", "2026-01-31", "--reason", "why"], 2),
                (["add", "--since", "2026-02-01", "--until", "2026-02-01T00:00:00Z", "--reason", "why"], 2),
                (["add", "--app", " ", "--reason", "why"], 2), (["add", "--actor", "alice@example.com ", "--reason", "why"], 2),
                (["add", "--app", "\tweb-3", "--reason", "why"], 2),
                (["add", "--app", "x" * 300, "--reason", "why"], 1),
                (["release", "4718f5dc-5f98-830a-888b-c53ebf1e1bf5", "--reason", "why"], 1),
                (["release", "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"], 2), (["release", "all", "--reason", "why"], 2),
                (["release", "--reason", "why"], 2), (["list", "--app", "x"], 2), (["drop"], 2), ([], 2)):
            with self.subTest(words=words):
                text = self.command("hold", *words, status=status)
                self.assertEqual(text.count("\n"), 1, text)
        self.assertEqual(self.pg.psql("SELECT * FROM flytrail.holds"), [])

    def test_a_name_that_the_trail_does_not_know_is_told(self):
        self.set_lines(30)  # an event
        self.pg.psql("SET session_replication_role = replica; "
                     "UPDATE flytrail.events SET app = 'web-3', actor = 'alice@example.com'; "
                     "INSERT INTO flytrail.snapshots VALUES ('secrets', 'quiet', now(), '{}')")
        for words, strangers in (
                (["--app", "web-3", "--actor", "Alice@Example.com"], []), (["--app", "quiet"], []), (["--class", "deploy"], []),
                (["--app", "web-3", "--actor", "alice"], ["actor alice"]),
                (["--app", "web-\x1b3", "--actor", "alice"], [r"app web-\u001b3", "actor alice"])):
            with self.subTest(words=words):
                text = self.command("hold", "add", *words, "--reason", "why")
                self.assertEqual(re.findall("(?m)^no event so far is of (.*): ", text), strangers)
        self.assertTrue(self.command("hold", "list").endswith("\n5 holds\n"))  # they stand all the same

    def test_a_name_that_cannot_be_looked_for_is_held(self):
        self.pg.psql("ALTER TABLE flytrail.snapshots RENAME TO away")
        self.assertRegex(self.command("hold", "add", "--app", "web-3", "--reason", "why"), r"\Ahold \S{36} is on; [^\n]*\n\Z")

    def test_a_date_is_the_whole_day_as_for_replay(self):
        self.fill(OLD_DAYS, OLD_DAYS + 1, OLD_DAYS + 2)
        self.set_lines(30)
        first, last = (f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in
                       (self.day(age).removeprefix("log_lines_") for age in (OLD_DAYS + 1, OLD_DAYS)))
        self.command("hold", "add", "--since", first, "--until", last, "--reason", "both days")
        self.assertIn("1 partition dropped;", self.command("retention", "apply"))
        self.assertEqual(self.old_lines(), 2 * LINES)
        self.command("hold", "add", "--until", f"{last}T10:20:30.5Z", "--reason", "a time")
        self.assertRegex(self.command("hold", "list"), f"(?m)  until {last}T10:20:30Z  by .*: a time$")

    def test_a_hold_is_released_once(self):
        self.command("hold", "add", "--class", "ssh_session", "--since", "2026-01-01", "--reason", "why")
        text = self.command("hold", "list")
        self.assertIn("  class ssh_session  since 2026-01-01T00:00:00Z  by ", text)
        self.command("hold", "release", text.split()[0], "--reason", "over")
        text = self.command("hold", "release", text.split()[0], "--reason", "over", status=1)
        self.assertIn("is released already", text)


if __name__ == "__main__":
    unittest.main()
