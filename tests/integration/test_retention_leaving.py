"""How partitions go, step by step, and what stops them on their way."""

import datetime
import hashlib
import json
import os
import sys
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from retention import KINDS, LINE_READER, LOCK, NOW, READER, WRITER, Refused, RetentionCase, days  # noqa: E402

IN_USE = "55P03"
# In seconds, as the server has it: on a busy machine the way to it and back takes its own time.
WAITED = "extract(epoch FROM clock_timestamp() - statement_timestamp())"


class Applying(RetentionCase):
    def test_the_forms_of_the_plan(self):
        for age in (20, 40, 60, 61):
            self.add("log_lines", NOW - days(age))
        names = {age: self.partition("log_lines", NOW - days(age)) for age in (20, 40, 60, 61)}
        self.assertEqual(set(self.plan().values()), {(False, False, "kept for ever: no term is set")})
        self.set_term("log_lines", 30, 60)
        self.add_gap(NOW - days(62), NOW - days(39))
        plan = self.plan()
        self.assertEqual(plan[names[20]], (False, False, "kept until 2026-06-28"))
        self.assertEqual(plan[names[40]], (False, False, "a gap in it is open: g1"))
        self.assertEqual(plan[names[60]], (True, True, "past keep_at_most"))
        self.admin.ask("SELECT flytrail.add_hold('web', NULL, NULL, NULL, NULL, 'why')")
        self.assertEqual(self.plan()[names[60]][:2], (False, True))
        for role in (READER, LINE_READER):
            self.assertEqual(self.session(role).one("SELECT count(*) FROM flytrail.retention_plan()"), "6")

    def test_a_gap_without_a_name_or_an_end_and_one_of_many_keep_too(self):
        _, name = self.old_line()
        self.add_started(self.now)
        self.add("security", NOW - days(200), **{"class": "trail"}, action="trail.gap_opened", trust="self")
        self.assertEqual(self.plan()[name], (False, False, "a gap in it is open: without a name"))
        self.admin.ask("DROP TABLE flytrail.events_security_202511")
        for number in range(101):
            start = NOW - days(40 if number == 100 else 45)
            self.add_gap(start, start + datetime.timedelta(hours=1), f"g{number}")
        self.assertEqual(self.plan()[name], (False, False, "a gap in it is open: one of many"))

    def test_a_day_goes_at_the_end_of_its_term_and_not_before(self):
        self.set_term("log_lines", 30)
        self.add("log_lines", "2026-05-17 23:59:59.999999+00")
        for clock, goes in (("2026-06-16 23:59:59.999999+00", False), ("2026-06-17 00:00:00+00", True)):
            self.set_clock(clock)
            self.assertEqual(self.plan()["log_lines_20260517"][0], goes)

    def test_a_drop_is_on_record_with_all_that_an_auditor_asks(self):
        made, name = self.old_line()
        at = self.now - days(40)
        self.add("log_lines", at, seq=0)
        leaving = self.detach(name)
        rows, digest, never = self.digest(leaving)
        self.assertEqual((rows, never), ("1", "1"))
        archive = {"rows": 1, "digest": digest, "objects": 1, "index": ["trail/index/2026.json"]}
        fact = self.drop(leaving, archive)
        (severity, correlation, told), = self.facts("trail.partition_dropped")
        self.assertEqual((severity, correlation), (4, name))
        self.assertEqual(fact, self.admin.one("SELECT event_id FROM flytrail.events WHERE action = 'trail.partition_dropped'"))
        self.assertGreater(told.pop("bytes"), 0)
        for field in ("policy_changed_at", "detached_at"):
            self.assertRegex(told.pop(field), "^20")
        self.assertEqual(told, {
            "kind": "log_lines", "partition": name, "first_at": "2026-05-08T00:00:00+00:00",
            "end_at": "2026-05-09T00:00:00+00:00", "rows": 1, "digest": digest, "apart_archived": 0, "never_archived": 1, "confirmations": 0,
            "keep_for_days": 30, "keep_at_most_days": None, "policy_changed_by": "postgres", "why": "past keep_for",
            "archive": archive, "archive_agrees": True, "without_archive": False, "open_gaps": [],
            "session_user": WRITER, "application_name": "psql", "client_addr": "127.0.0.1"})
        self.assertNotIn(made, self.ids())

    def test_an_archive_that_has_not_all_of_it_stops_it(self):
        _, name = self.old_line()
        leaving = self.detach(name)
        digest = self.digest(leaving)[1]
        for archive in ({"rows": 0, "digest": digest}, {"rows": 1, "digest": "0" * 64}, {}, {"rows": None, "digest": None},
                        {"rows": "1 "}):
            self.assert_refused("FT003", f"{name} stays: it has 1 rows with the digest {digest}",
                                f"SELECT flytrail.retention_drop('{leaving}', '{json.dumps(archive)}', false)")
        for archive in ("[1]", '"x"', "null", json.dumps({"x": "y" * 70000})):
            self.assert_refused("22023", "a JSON object",
                                f"SELECT flytrail.retention_drop('{leaving}', '{archive}', true)")
        self.drop(leaving, {"rows": 0}, "true")
        told = self.facts("trail.partition_dropped")[0][2]
        self.assertEqual((told["without_archive"], told["archive_agrees"]), (True, False))

    def test_past_keep_at_most_a_missing_archive_and_an_open_gap_are_on_record(self):
        at = NOW - days(60)
        self.add("log_lines", at)
        self.set_term("log_lines", 30, 40)
        self.add_gap(at, at + days(1))
        self.drop(self.detach(self.partition("log_lines", at)), {"rows": 0, "digest": ""})
        told = self.facts("trail.partition_dropped")[0][2]
        self.assertEqual((told["why"], told["archive_agrees"], told["open_gaps"]), ("past keep_at_most", False, ["g1"]))

    def test_a_gap_that_goes_with_its_own_facts_is_on_record_too(self):
        at = NOW - days(200)
        self.add_gap(at, at + days(1))
        self.set_term("security", 60, 100)
        self.drop(self.detach(self.partition("security", at)))
        self.assertEqual(self.facts("trail.partition_dropped")[0][2]["open_gaps"], ["g1"])

    def gap_over_a_months_end(self):
        """The partitions in which it began, and in which it was closed."""
        began, closed = "2025-10-31 23:00:00+00", "2025-11-01 09:00:00+00"
        self.add_gap(began, "2025-10-31 23:30:00+00")
        self.add("security", closed, **{"class": "trail"}, action="trail.gap_closed", correlation_id="g1", trust="self",
                 source="trail", attributes=json.dumps({"state": "filled", "gap_end": "2025-10-31 23:30:00+00"}))
        return self.partition("security", began), self.partition("security", closed)

    def test_what_became_of_a_gap_stays_as_long_as_its_beginning(self):
        began, closed = self.gap_over_a_months_end()
        self.set_term("security", 60)
        self.assertEqual(self.plan()[began], (True, False, "past keep_for"))
        why = f"a gap of which it says what became of it began in {began}: g1"
        self.assertEqual(self.plan()[closed], (False, False, why))
        with self.assertRaisesRegex(Refused, f"{closed} stays: {why}"):
            self.detach(closed)
        self.drop(self.detach(began))
        self.assertEqual(self.plan()[closed], (True, False, "past keep_for"))
        self.drop(self.detach(closed))

    def test_what_holds_the_beginning_of_a_gap_holds_what_became_of_it(self):
        began, closed = self.gap_over_a_months_end()
        self.set_term("security", 60, 100)
        hold = self.admin.one("SELECT flytrail.add_hold(NULL, NULL, NULL, NULL, '2025-11-01 00:00:00+00', 'case 7')")
        why = {began: f"hold {hold}: case 7", closed: f"hold {hold}, which keeps the beginning of gap g1: case 7"}
        for name in (began, closed):
            self.assertEqual(self.plan()[name], (False, True, why[name]))
        self.assertEqual(self.writer.ask("SELECT state FROM flytrail.gaps"), [["filled"]])
        self.admin.ask(f"SELECT flytrail.release_hold('{hold}', 'settled')")
        for name in (closed, began):  # past keep_at_most nothing else keeps them
            self.drop(self.detach(name))

    def test_one_digest_for_server_and_client(self):
        _, name = self.old_line()
        for _ in range(20):
            self.add("log_lines", self.now - days(40))
        leaving = self.detach(name)
        self.writer.ask("CREATE TEMPORARY TABLE found (id uuid, at timestamptz); INSERT INTO found "
                        f"SELECT id, occurred_at FROM flytrail.{leaving} ORDER BY random()")
        digest = self.writer.one("SELECT flytrail.digest_of_ids('found')")
        self.assertEqual(self.digest(leaving)[:2], ["21", digest])
        self.writer.ask("DELETE FROM found WHERE ctid IN (SELECT ctid FROM found LIMIT 1)")
        self.assertNotEqual(self.writer.one("SELECT flytrail.digest_of_ids('found')"), digest)

    def test_the_digest_is_of_two_levels(self):
        self.writer.ask("CREATE TEMPORARY TABLE many AS SELECT lpad(to_hex(n), 32, '0')::uuid AS id "
                        "FROM generate_series(0, 70000) AS n")
        parts = [range(0, 65536), range(65536, 70001)]
        expected = hashlib.sha256(b"".join(
            hashlib.sha256(b"".join(n.to_bytes(16, "big") for n in part)).digest() for part in parts)).hexdigest()
        self.assertEqual(self.writer.one("SELECT flytrail.digest_of_ids('many')"), expected)

    def test_late_rows_come_in_while_it_is_out_and_go_into_it(self):
        for back in (False, True):
            with self.subTest(back=back):
                made, name = self.old_line()
                leaving = self.detach(name)
                self.assertNotIn(made, self.ids())
                late = self.add("log_lines", self.now - days(40))
                if back:
                    self.assertEqual(self.attach(leaving), name)
                    self.assertLessEqual({made, late}, self.ids())
                else:
                    self.drop(leaving)
                    self.assertIn(late, self.ids())
                    self.assertTrue(self.plan()[name][0])

    def test_a_row_that_came_twice_is_there_once_after_it(self):
        _, name = self.old_line()
        leaving = self.detach(name)
        twin = self.admin.ask(f"SELECT id, occurred_at FROM flytrail.{leaving}")[0]
        self.add("log_lines", self.now - days(40), id=twin[0], occurred_at=twin[1])
        self.attach(leaving)
        self.assertEqual(self.admin.one(f"SELECT count(*) FROM flytrail.log_lines WHERE id = '{twin[0]}'"), "1")
        self.assertEqual(self.admin.ask("SELECT conname FROM pg_constraint WHERE conname = 'bounds'"), [])
        self.assert_refused("42501", "append-only", f"DELETE FROM flytrail.{name}", self.admin)

    def test_a_week_that_is_out_gets_a_week_for_late_rows_whatever_the_terms_are_now(self):
        self.set_term("log_lines", 100)
        at = NOW - days(120)
        self.add("log_lines", at)
        leaving = self.detach(self.partition("log_lines", at))
        self.set_term("log_lines", 30)
        self.add("log_lines", at + days(1))
        self.assertEqual(self.partition("log_lines", at), leaving.removesuffix("_leaving"))
        self.attach(leaving)
        self.assertEqual(self.admin.one("SELECT count(*) FROM flytrail.log_lines"), "2")

    def test_an_interrupted_one_is_found_and_put_back(self):
        made, name = self.old_line()
        leaving = self.detach(name)
        self.writer.process.kill()
        self.writer.process.wait()
        self.writer = self.session(WRITER)
        lab.wait_for(lambda: self.writer.one(LOCK) == "t", 60, "the lock of a session that is gone")
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_leftovers()"), [[leaving]])
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_strays()"), [])
        late = self.add("log_lines", self.now - days(40))
        self.assert_refused("FT002", f"{leaving} is still there", f"SELECT flytrail.retention_detach('{name}')")
        self.attach(leaving)
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_leftovers()"), [])
        self.assertLessEqual({made, late}, self.ids())

    def test_one_that_the_owner_dropped_by_hand_is_not_in_the_way(self):
        _, name = self.old_line()
        self.admin.ask(f"DROP TABLE flytrail.{self.detach(name)}")
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_leftovers()"), [])
        self.old_line()
        self.drop(self.detach(name))
        self.assertEqual(self.admin.ask("SELECT * FROM flytrail.leaving"), [])

    def test_the_crash_of_the_server_between_detach_and_drop_loses_nothing(self):
        made, name = self.old_line()
        leaving = self.detach(name)
        self.writer.ask("BEGIN")
        self.drop(leaving)
        self.pg.crash()
        self.pg.restart()
        self.admin, self.writer = self.session("postgres"), self.session(WRITER)
        self.assertEqual(self.writer.one(LOCK), "t")
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_leftovers()"), [[leaving]])
        self.attach(leaving)
        self.assertIn(made, self.ids())
        self.assertEqual(self.facts("trail.partition_dropped"), [])

    def test_only_who_holds_the_lock_acts(self):
        _, name = self.old_line()
        other = self.session(WRITER)
        self.assertEqual(other.one(LOCK), "f")
        leaving = self.detach(name)
        for call in (f"retention_detach('{name}')", f"retention_attach('{leaving}')", f"retention_drop('{leaving}', NULL, true)"):
            self.assert_refused("FT002", "does not hold the advisory lock", f"SELECT flytrail.{call}", other)
        other.ask("SELECT pg_advisory_lock_shared(1); SELECT pg_advisory_lock(0, 0)")
        self.assert_refused("FT002", "does not hold the advisory lock", f"SELECT flytrail.retention_attach('{leaving}')", other)

    def test_a_clock_that_disagrees_with_the_newest_record_stops_it(self):
        made, name = self.old_line()
        self.assertIsNone(self.writer.one("SELECT flytrail.retention_clock()"))
        self.add_started(self.now)
        leaving = self.detach(name)
        for off in (days(1.01), -days(1.01)):
            self.set_clock(NOW + off)
            sentence = self.writer.one("SELECT flytrail.retention_clock()")
            self.assertRegex(sentence, "more than a day apart, so nothing goes$")
            self.assert_refused("FT002", "more than a day apart", f"SELECT flytrail.retention_drop('{leaving}', NULL, true)")
            self.assert_refused("FT002", "more than a day apart", f"SELECT flytrail.retention_detach('{name}')")
        self.attach(leaving)
        self.assertIn(made, self.ids())
        self.set_clock(NOW + days(0.99))
        self.assertIsNone(self.writer.one("SELECT flytrail.retention_clock()"))
        self.drop(self.detach(name))

    def test_what_is_not_there_is_told(self):
        self.set_term("log_lines", 30)
        for call, why in (("retention_detach('log_lines_19990101')", "there is no partition log_lines_19990101"),
                          ("retention_detach(NULL)", "there is no partition without a name"),
                          ("retention_drop('x', NULL, false)", "there is no table x on its way out"),
                          ("retention_attach(NULL)", "there is no table without a name"),
                          ("retention_digest('log_lines')", "there is no table log_lines on its way out")):
            self.assert_refused("FT002", why, f"SELECT flytrail.{call}")

    def test_who_waits_for_the_parent_holds_up_others_for_two_seconds_at_most(self):
        _, name = self.old_line()
        reader = self.session("postgres")
        reader.ask("BEGIN; SELECT count(*) FROM flytrail.log_lines")
        waits = []

        def take_in():
            session = self.session(WRITER)
            for _ in range(30):
                sql, _ = self.values("log_lines", self.now - days(40))
                waits.append(float(session.one(f"{sql} RETURNING {WAITED}")))

        intake = threading.Thread(target=take_in)
        self.writer.send(f"DO $$ BEGIN PERFORM flytrail.retention_detach('{name}'); EXCEPTION WHEN lock_not_available THEN "
                         f"RAISE '%', {WAITED} USING ERRCODE = SQLSTATE; END $$")
        intake.start()
        with self.assertRaises(Refused) as got:
            self.writer.receive()
        self.assertEqual(got.exception.state, IN_USE)
        self.assertLess(float(got.exception.message), 2.5)
        intake.join()
        self.assertLess(max(waits), 2)
        reader.ask("COMMIT")
        self.detach(name)

    def test_a_drop_waits_for_nobody_who_reads_the_parent(self):
        _, name = self.old_line()
        leaving = self.detach(name)
        reader = self.session("postgres")
        reader.ask("BEGIN; SELECT count(*) FROM flytrail.log_lines; SELECT count(*) FROM flytrail.events")
        self.drop(leaving)
        reader.ask("COMMIT")

    def test_snapshots_that_nothing_renews_are_tidied_away(self):
        insert = "INSERT INTO flytrail.snapshots (resource, scope, taken_at, content) VALUES ('apps', '{}', '{}', '{{}}')"
        for scope, at in (("old", NOW - days(101)), ("new", NOW - days(99)), ("never", "-infinity")):
            self.writer.ask(insert.format(scope, at))
        self.assertEqual(self.writer.one("SELECT flytrail.retention_tidy()"), "0")
        for kind, keep_for in (("log_lines", 30), ("security", 100), ("operations", 50)):
            self.assertEqual(self.writer.one("SELECT flytrail.retention_tidy()"), "0")
            self.set_term(kind, keep_for)
        self.assertEqual(self.writer.one("SELECT flytrail.retention_tidy()"), "1")
        self.assertEqual(self.admin.ask("SELECT scope FROM flytrail.snapshots ORDER BY 1"), [["never"], ["new"]])
        self.assert_tidied(snapshots=1, confirmations=0, keep_for_days=100)
        self.assertEqual(self.writer.one("SELECT flytrail.retention_tidy()"), "0")
        self.assert_tidied(snapshots=1, confirmations=0, keep_for_days=100)

    def assert_tidied(self, **counts):
        """One fact says so, and how much it was."""
        (severity, correlation, told), = self.facts("trail.partition_dropped")[-1:]
        self.assertEqual((severity, correlation, told), (3, None, counts | {
            "session_user": WRITER, "application_name": "psql", "client_addr": "127.0.0.1"}))
        self.assertEqual(self.admin.ask("SELECT target_type, target, summary FROM flytrail.events WHERE target = 'tidy'"),
                         [["retention", "tidy", f"{counts['snapshots']} snapshots and {counts['confirmations']} "
                           "confirmations went that nothing is kept of any more"]])

    def test_confirmations_that_somebody_read_when_their_events_went_are_tidied_away_on_record(self):
        at = NOW - days(150)
        made = self.add("security", at)
        self.writer.ask("INSERT INTO flytrail.confirmations (event_id, occurred_at, source, seen_at) "
                        f"VALUES ('{made}', '{at}', 'http', '{at}')")
        for kind in KINDS:
            self.set_term(kind, 60)
        reader = self.session("postgres")
        reader.ask("BEGIN; SELECT count(*) FROM flytrail.confirmations")
        self.drop(self.detach(self.partition("security", at)))
        reader.ask("COMMIT")
        self.assertEqual(self.writer.one("SELECT flytrail.retention_tidy()"), "1")
        self.assert_tidied(snapshots=0, confirmations=1, keep_for_days=60)
        self.assertEqual(self.admin.one("SELECT count(*) FROM flytrail.confirmations"), "0")

    def test_one_whose_detachment_by_hand_was_not_ended_is_named_and_its_confirmations_stay(self):
        at = NOW - days(150)
        made = self.add("security", at)
        self.writer.ask("INSERT INTO flytrail.confirmations (event_id, occurred_at, source, seen_at) "
                        f"VALUES ('{made}', '{at}', 'http', '{at}')")
        name = self.partition("security", at)
        reader = self.session("postgres")
        reader.ask("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM flytrail.events")
        hand = self.session("postgres")
        hand.ask("SET statement_timeout = '1s'")
        self.assert_refused("57014", "statement timeout",
                            f"ALTER TABLE flytrail.events_security DETACH PARTITION flytrail.{name} CONCURRENTLY", hand)
        reader.ask("COMMIT")
        self.assertEqual(self.ids(), set())
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_strays()"), [[name]])
        for kind in KINDS:
            self.set_term(kind, 60)
        self.assertEqual(self.writer.one("SELECT flytrail.retention_tidy()"), "0")
        self.assertEqual(self.admin.one("SELECT count(*) FROM flytrail.confirmations"), "1")
        hand.ask("SET statement_timeout = 0")
        hand.ask(f"ALTER TABLE flytrail.events_security DETACH PARTITION flytrail.{name} FINALIZE")
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_strays()"), [[name]])
        hand.ask(f"ALTER TABLE flytrail.events_security ATTACH PARTITION flytrail.{name} FOR VALUES FROM ('2026-01-01 00:00Z') TO "
                 "('2026-02-01 00:00Z')")
        self.assertEqual(self.writer.ask("SELECT flytrail.retention_strays()"), [])
        self.assertEqual(self.ids(), {made})


if __name__ == "__main__":
    unittest.main()
