"""Who says that they reviewed the trail, and which time of it nobody reviewed."""

import json
import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from flytrail import migrated_data  # noqa: E402

WRITER, READER, LINE_READER = "flytrail_writer", "flytrail_reader", "flytrail_line_reader"
INSTALLED_DAYS = 100  # ago
EVENT = """INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis,
    observed_at, actor, actor_type, outcome, severity, trust, source, attributes, stream, seq, correlation_id)
    VALUES (gen_random_uuid(), '{kind}', '{event_class}', '{action}', now() - interval '{hours} hours', 'observed',
    now(), 'unknown', 'unknown', 'success', 1, 'self', 'trail', {attributes}, gen_random_uuid(), 1, '{ties}')"""


class Reviews(unittest.TestCase):
    def setUp(self):
        self.pg = lab.Postgres(template=migrated_data())
        self.addCleanup(self.pg.close)
        self.pg.start()
        for kind in ("security", "operations"):
            for days in (0, 10):  # which no month lies between, as February may between today and a month ago
                self.pg.psql(f"SELECT flytrail.ensure_partition('{kind}', now() - interval '{days} days')", WRITER)
        self.pg.psql(f"UPDATE flytrail.schema_version SET applied_at = now() - interval '{INSTALLED_DAYS} days'")

    def event(self, kind, event_class, action, hours, attributes="NULL", ties=""):
        self.pg.psql(EVENT.format(kind=kind, event_class=event_class, action=action, hours=hours,
                                  attributes=attributes, ties=ties), WRITER)

    def review(self, since_days, until_days, role=READER, rest=""):
        row, = self.pg.psql(f"""SELECT flytrail.record_review(now() - interval '{since_days} days',
            now() - interval '{until_days} days', 'nothing odd'{rest})""", role)
        return json.loads(row[0])

    def due(self, kind="security", role=READER):
        """Days since the first moment that is in no review; overdue; how many holes; by whom last."""
        row, = self.pg.psql(f"""SELECT round(extract(epoch FROM now() - unreviewed_since) / 86400), is_overdue,
            unreviewed_ranges, last_reviewed_by, round(extract(epoch FROM now() - due_at) / 86400)
            FROM flytrail.reviews_due WHERE kind = '{kind}'""", role)
        return row

    def test_a_review_is_a_fact_with_who_and_what_there_was(self):
        self.event("security", "deploy", "deploy.app_created", 5)
        self.event("security", "deploy", "deploy.app_created", 6)
        self.event("operations", "exit", "exit.vm", 7)
        self.event("security", "deploy", "deploy.app_created", 24 * 9)  # outside
        self.event("security", "trail", "trail.gap_opened", 10, ties="g1", attributes=(
            "jsonb_build_object('reason', 'disconnect', 'gap_start', now() - interval '10 hours', "
            "'gap_end', now() - interval '9 hours')"))
        counts = self.review(7, 0)
        self.assertEqual(counts, {"events": {"deploy": 2, "exit": 1, "trail": 1}, "gaps_open": 1})
        (summary, severity, target, attributes), = self.pg.psql(
            "SELECT summary, severity, target, attributes FROM flytrail.events WHERE action = 'trail.reviewed'")
        told = json.loads(attributes)
        self.assertIn("flytrail_reader says that they reviewed the trail (security) from", summary)
        self.assertEqual((severity, target, told["session_user"], told["note"], told["events"]),
                         ("1", "security", READER, "nothing odd", counts["events"]))

    def test_a_gap_that_ended_before_or_began_after_is_not_counted(self):
        for name, since, until in (("g1", 100, 99), ("g2", 10, 9)):
            self.event("security", "trail", "trail.gap_opened", since, ties=name, attributes=(
                f"jsonb_build_object('reason', 'disconnect', 'gap_start', now() - interval '{since} hours', "
                f"'gap_end', now() - interval '{until} hours')"))
        self.assertEqual(self.review(4, 1)["gaps_open"], 0)
        self.assertEqual(self.review(5, 0)["gaps_open"], 2)

    def test_a_review_of_access_says_what_the_inventory_has(self):
        self.pg.psql("""INSERT INTO flytrail.snapshots (resource, scope, taken_at, content)
            VALUES ('apps', '', now(), '{"a1": {"name": "web"}, "a2": {"name": "db"}}')""", WRITER)
        there = dict(self.pg.psql("SELECT kind, count(*) FROM flytrail.inventory GROUP BY 1", READER))
        self.assertTrue(there)
        counts = self.review(90, 0, rest=", 'access'")
        self.assertEqual({kind: str(count) for kind, count in counts["inventory"].items()}, there)
        self.assertEqual(self.due("access")[3], READER)
        self.assertIsNone(self.due("security")[3], "the one is not the other")

    def test_what_nobody_ever_reviewed_is_overdue_since_the_trail_began(self):
        self.assertEqual(self.due(), ["100", "t", "1", None, "93"])
        self.assertEqual(self.due("access")[:4], ["100", "t", "1", None])

    def test_contiguous_reviews_leave_nothing_due_until_the_week_is_over(self):
        self.review(100.5, 20)
        self.assertEqual(self.due(), ["20", "t", "1", READER, "13"])
        self.review(21, 9, LINE_READER)  # it may begin before the end of the last
        self.assertEqual(self.due(), ["9", "t", "1", LINE_READER, "2"])
        self.review(9, 0)  # since is the moment of asking: a little later than until of the last
        self.assertEqual(self.due()[2], "2")
        self.review(10, 0)
        self.assertEqual(self.due(), ["0", "f", "1", READER, "-7"])

    def test_a_hole_between_reviews_is_overdue(self):
        self.review(101, 60)
        self.review(58, 0)
        self.assertEqual(self.due(), ["60", "t", "2", READER, "53"])
        hole, = self.pg.psql("SELECT round(extract(epoch FROM unreviewed_until - unreviewed_since) / 86400) "
                             "FROM flytrail.reviews_due WHERE kind = 'security'", LINE_READER)
        self.assertEqual(hole, ["2"])
        self.review(61, 57)
        self.assertEqual(self.due()[:3], ["0", "f", "1"])

    def test_access_is_due_after_a_quarter(self):
        self.review(101, 80, rest=", 'access'")
        self.assertEqual(self.due("access")[:3], ["80", "f", "1"])

    def test_bad_input_is_one_sentence_and_nothing_is_recorded(self):
        for arguments, why in (
                ("now() - interval '1 day', now(), ''", "a note is needed"),
                ("now() - interval '1 day', now(), E' \\t\\n'", "a note is needed"),
                ("now() - interval '1 day', now(), NULL", "a note is needed"),
                ("now() - interval '1 day', now(), repeat('x', 4001)", "longer than 4000"),
                ("now(), now() - interval '1 day', 'x'", "until is not after since"),
                ("now() - interval '1 day', now() - interval '1 day', 'x'", "until is not after since"),
                ("now() - interval '1 day', now() + interval '1 minute', 'x'", "until is in the future"),
                ("NULL, now(), 'x'", "since and until are needed"),
                ("now(), NULL, 'x'", "since and until are needed"),
                ("'-infinity', now(), 'x'", "since and until are needed"),
                ("now() - interval '1 day', now(), 'x', 'everything'", "kind is security"),
                ("now() - interval '1 day', now(), 'x', NULL", "kind is security")):
            for settings in ("", "SET standard_conforming_strings = off; SET backslash_quote = on;"):
                with self.subTest(arguments=arguments), self.assertRaisesRegex(
                        lab.LabError, f"ERROR:  record_review: .*{why}"):
                    self.pg.psql(f"{settings} SELECT flytrail.record_review({arguments})", READER)
        self.assertEqual(self.pg.psql("SELECT count(*) FROM flytrail.reviews"), [["0"]])

    def test_a_writer_can_forge_an_event_and_no_review(self):
        self.event("security", "trail", "trail.reviewed", 0, attributes=(
            "jsonb_build_object('kind', 'security', 'session_user', 'flytrail_reader', "
            "'since', now() - interval '900 days', 'until', now())"))
        for sql in ("SELECT flytrail.record_review(now() - interval '900 days', now(), 'x')",
                    "INSERT INTO flytrail.reviews (kind, since_at, until_at, note) VALUES ('security', now() - "
                    "interval '900 days', now(), 'x')", "SELECT * FROM flytrail.reviews",
                    "SELECT flytrail.tell('trail.reviewed', 1::smallint, NULL, 'review', 'security', 'x', '{}')"):
            with self.subTest(sql=sql), self.assertRaisesRegex(lab.LabError, "permission denied"):
                self.pg.psql(sql, WRITER)
        self.assertEqual(self.due()[:4], ["100", "t", "1", None])


if __name__ == "__main__":
    unittest.main()
