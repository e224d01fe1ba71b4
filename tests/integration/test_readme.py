"""README's questions are answered by the demo's database, and its table of options is right."""

import contextlib
import io
import os
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "deploy", "demo"))
import demo  # noqa: E402

with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
    README = file.read()
QUESTION = re.compile(r"^([^\n|`#]+\?)\n\n```sql\n(.*?)```", re.MULTILINE | re.DOTALL)
LINE_QUESTIONS = 2  # the last ones, which only flytrail_line_reader may ask


class Options(unittest.TestCase):
    def test_the_table_has_every_option_its_default_and_what_it_is_for(self):
        shown = subprocess.run([demo.FLYTRAIL, "help"], capture_output=True, text=True, check=True)
        words = " ".join(shown.stdout.split())
        rows = re.findall(r"^\| `([A-Z0-9_]+)` \| (?:`([^`]+)`)? *\| (.*) \|$", README, re.MULTILINE)
        config = subprocess.run([demo.FLYTRAIL, "config"], capture_output=True, text=True, env={},
                                check=False).stdout
        self.assertEqual([row[0] for row in rows], re.findall(r"(?m)^(\w+)=", config))
        for name, default, doc in rows:
            self.assertIn(f"{name} {doc}" + (f" [{default}]" if default else ""), words)


class Questions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.demo = demo.Demo()
        cls.addClassCleanup(cls.demo.close)
        with contextlib.redirect_stdout(io.StringIO()):
            cls.demo.prepare()

    def ask(self, role, sql):
        return self.demo.psql(role, sql, "-A", "-t").strip().splitlines()

    def test_each_has_an_answer(self):
        questions = QUESTION.findall(README)
        self.assertEqual(len(questions), README.count("```sql"))
        self.assertGreaterEqual(len(questions), 12)
        for number, (title, sql) in enumerate(questions):
            role = "flytrail_reader"
            if number >= len(questions) - LINE_QUESTIONS:
                with self.subTest(f"not for flytrail_reader: {title}"), \
                        self.assertRaisesRegex(demo.DemoError, "permission denied"):
                    self.ask(role, sql)
                role = "flytrail_line_reader"
            with self.subTest(title):
                self.assertGreater(len(self.ask(role, sql)), 0)

    def test_the_answers_are_the_incidents(self):
        by_title = dict(QUESTION.findall(README))
        for title, expected in {
            "What did one person do?": "ssh_session.opened",
            "Which machines gave up, and stay stopped until somebody acts?": "5683970eae6308",
            "Which applications print secrets?": "shop-worker",
            "What may be missing?": "disconnect",
            "Who has access who had not, and who has it no longer?": "noor.haas@example.com",
            "Which SSH sessions are there for which Fly lists no certificate?": "jonas.vik@example.com",
            "Which SSH certificates were issued, for how long, and were they used?": "mara.lind@example.com",
            "What is there that gives access or can be reached?": "2001:db8::50",
            "Which machines were changed without a release?": "90807799a69568",
            "What of Fly's control plane is not observed, and why?": "delegated_tokens",
        }.items():
            with self.subTest(title):
                self.assertIn(expected, "\n".join(self.ask("flytrail_line_reader",
                                                           by_title[title])))

    def test_nothing_that_looks_like_a_session_is_one(self):
        self.assertEqual(self.ask("flytrail_reader",
                                  "SELECT count(*) FROM flytrail.ssh_sessions"), ["4"])

    def test_the_planted_password_is_nowhere(self):
        self.assertEqual(self.ask("flytrail_line_reader", """
            SELECT count(*) FROM flytrail.lines AS l WHERE l::text LIKE '%made-up-password%'"""),
                         ["0"])


if __name__ == "__main__":
    unittest.main()
