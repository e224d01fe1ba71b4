"""The views gaps, listening and coverage, and `flytrail coverage`, on facts written by hand."""

import datetime
import os
import re
import subprocess
import unittest

import test_views

FLYTRAIL = test_views.FLYTRAIL
STREAMS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(10)]
T0 = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(hours=20)


def when(second):
    return (T0 + datetime.timedelta(seconds=second)).isoformat().replace("+00:00", "Z")


class Coverage(test_views.Database):
    """Each test has a trail of its own: the one before it is taken away."""

    def setUp(self):
        super().setUp()
        self.pg.psql("""SET session_replication_role = replica;
            DELETE FROM flytrail.events; DELETE FROM flytrail.streams;""")

    def say(self, second, action, stream=0, gap=None, **attributes):
        self.tell([(0, f"trail.{action}", attributes)], base=f"'{when(second)}'::timestamptz",
                  stream=STREAMS[stream], correlation_id=gap, source="trail", trust="self",
                  actor="flytrail", actor_type="flytrail")

    def opened(self, start, end, gap="gap-1", reason="disconnect", **more):
        times = {"gap_start": when(start)}
        if end is not None:
            times["gap_end"] = when(end)
        self.say(start, "gap_opened", gap=gap, reason=reason, **times, **more)

    def closed(self, second, end, state, gap="gap-1", lines=0, **more):
        self.say(second, "gap_closed", gap=gap, gap_end=when(end), state=state,
                 lines_recovered=lines, **more)

    def listened(self, start, end, stream=0, **more):
        self.say(end, "listening", stream=stream, listening_start=when(start),
                 listening_end=when(end), **more)

    def gaps(self, columns="state"):
        return self.pg.psql(f"SELECT {columns} FROM flytrail.gaps ORDER BY gap_start", "flytrail_reader")

    def silence(self):
        rows = self.pg.psql("SELECT round(extract(epoch FROM window_start)), state FROM flytrail.coverage "
                            "WHERE kind = 'silence' ORDER BY 1", "flytrail_reader")
        return [(int(start) - int(T0.timestamp()), state) for start, state in rows]

    def coverage(self, *arguments, since=0, until=10000):
        done = subprocess.run(
            [FLYTRAIL, "coverage", "--since", when(since), "--until", when(until), *arguments],
            env={"FLYTRAIL_DATABASE_URL": self.pg.url("flytrail_writer")}, capture_output=True,
            text=True, check=False)
        self.assertEqual(done.stderr, "")
        return done.returncode, done.stdout

    def holes(self, *arguments, **times):
        status, text = self.coverage(*arguments, **times)
        lines = [line for line in text.splitlines() if line.startswith("HOLE")]
        self.assertEqual(status, 2 if lines else 0, text)
        return lines


class Gaps(Coverage):
    def test_a_gap_is_open_until_it_is_closed_up_to_its_end(self):
        self.opened(100, 200)
        self.assertEqual(self.gaps("state, why"), [["open", None]])
        self.closed(300, 200, "filled", lines=7, why="two passes")
        self.assertEqual(self.gaps("state, lines_recovered, why, reason"),
                         [["filled", "7", "two passes", "disconnect"]])

    def test_a_gap_that_goes_on_after_it_was_closed_is_open_again(self):
        self.opened(100, 200)
        self.closed(300, 200, "filled", lines=7)
        self.say(301, "gap_progress", gap="gap-1", gap_end=when(250))
        self.assertEqual(self.gaps("state, lines_recovered"), [["open", "7"]])
        self.closed(400, 250, "filled", lines=9)
        self.assertEqual(self.gaps("state, lines_recovered"), [["filled", "9"]])

    def test_recoverys_progress_says_nothing_of_the_gaps_end(self):
        self.opened(100, None)
        self.say(150, "gap_progress", gap="gap-1", gap_end=when(200))
        self.say(250, "gap_progress", gap="gap-1", gap_end=when(120), lines_recovered=3)
        self.assertEqual(self.gaps("extract(epoch FROM gap_end - gap_start)::int, lines_recovered, state"),
                         [["100", "3", "open"]])

    def test_a_start_that_took_nothing_is_one_gap_with_the_next(self):
        self.opened(100, 120, reason="start")
        self.opened(100, 150, reason="start")
        self.assertEqual(self.gaps("extract(epoch FROM gap_end - gap_start)::int, state"), [["50", "open"]])

    def test_a_gap_without_end_cannot_be_closed(self):
        self.opened(100, None)
        self.closed(300, 200, "filled")
        self.assertEqual(self.gaps(), [["open"]])

    def test_who_never_comes_back_took_nothing_after_its_last_record(self):
        self.opened(100, None)
        self.pg.psql(f"INSERT INTO flytrail.streams VALUES ('{STREAMS[0]}', 1, 'gone', 7, now(), now())")
        self.assertEqual(self.gaps("gap_end"), [[None]])
        self.pg.psql("UPDATE flytrail.streams SET updated_at = now() - interval '25 hours'")
        self.assertEqual(self.gaps("gap_end = now() - interval '25 hours' + interval '10 seconds' OR "
                                   "gap_end > now() - interval '26 hours'"), [["t"]])

    def test_a_later_close_counts(self):
        self.opened(100, 200)
        self.closed(300, 200, "partly_lost", lines=4)
        self.closed(310, 200, "filled", lines=4)
        self.assertEqual(self.gaps(), [["filled"]])

    def test_who_crashed_in_a_gap_is_ended_by_the_gap_of_the_next_start(self):
        self.opened(100, None, reason="heartbeat_missed")
        self.opened(120, 300, gap="gap-2", reason="start")
        self.assertEqual(self.gaps("extract(epoch FROM gap_end - gap_start)::int"), [["200"], ["180"]])


class Covered(Coverage):
    def test_a_quiet_night_is_no_hole_and_a_planted_one_is(self):
        self.listened(0, 5000)
        self.listened(5000, 10000)
        self.assertEqual(self.holes(), [])
        self.pg.psql("SET session_replication_role = replica; DELETE FROM flytrail.events "
                     f"WHERE occurred_at > '{when(9000)}'")
        holes = self.holes()
        self.assertEqual(len(holes), 1, holes)
        self.assertIn("silence", holes[0])

    def test_a_gap_is_a_hole_while_it_is_open_and_where_lines_are_lost(self):
        self.listened(0, 1000)
        self.listened(2000, 10000)
        self.opened(1000, 2000)
        for state, is_hole in ((None, True), ("filled", False), ("lost", True), ("covered", False),
                               ("partly_lost", True)):
            if state:
                self.closed(3000, 2000, state)
            holes = self.holes()
            self.assertEqual(len(holes), 1 if is_hole else 0, state)
            self.pg.psql("SET session_replication_role = replica; DELETE FROM flytrail.events "
                         "WHERE action = 'trail.gap_closed'")

    def test_only_the_time_that_is_asked_for_counts(self):
        self.listened(0, 1000)
        self.listened(2000, 10000)
        self.opened(1000, 2000)
        self.assertEqual(len(self.holes(since=0, until=1500)), 1)
        self.assertEqual(self.holes(since=3000, until=4000), [])
        self.assertEqual(self.holes(since=10, until=900), [])

    def test_before_the_beginning_nothing_is_covered(self):
        self.listened(1000, 10000)
        holes = self.holes(since=0)
        self.assertEqual(len(holes), 1)
        self.assertIn("before the trail began", holes[0])

    def test_a_replicas_listening_covers_anothers_silence(self):
        self.listened(0, 4000)
        self.listened(6000, 10000)
        self.assertEqual(self.silence()[0], (4000, "silent"))
        self.listened(3900, 6100, stream=1)
        self.assertEqual(self.silence()[0][0], 10000)
        self.assertEqual(self.holes(), [])

    def test_what_a_crashed_replica_had_accepted_was_listening(self):
        self.listened(0, 1000)
        self.opened(1250, 1400, reason="start")
        self.closed(2000, 1400, "filled")
        self.listened(1390, 10000)
        self.assertEqual(self.holes(), [])

    def test_flytrail_that_is_gone_is_a_hole_after_a_while(self):
        self.listened(0, 1000)
        self.assertEqual(self.silence(), [(1000, "silent")])
        now = (datetime.datetime.now(datetime.timezone.utc) - T0).total_seconds()
        self.listened(1000, int(now) - 60)
        self.assertEqual([state for _, state in self.silence()], ["pending"])

    def test_windows_are_told_by_application(self):
        self.listened(0, 10000)
        for app, state, lines in (("shop", "agrees", 0), ("blog", "recovered", 3)):
            self.say(9000, "window_checked", app=app, window_start=when(3600), window_end=when(7200),
                     state=state, lines_seen=50, lines_recovered=lines)
        status, text = self.coverage()
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"shop +1 windows, +3600 s, +50 lines: 0 recovered")
        self.assertRegex(text, r"blog +1 windows, +3600 s, +50 lines: 3 recovered")
        self.assertRegex(text, r"compared +recovered +blog \(3 lines recovered\)")
        status, text = self.coverage("--app", "shop")
        self.assertEqual(status, 0, text)
        self.assertNotIn("blog", text)

    def test_a_window_with_lines_that_cannot_be_had_is_a_hole(self):
        self.listened(0, 10000)
        self.say(9000, "window_checked", app="shop", window_start=when(3600), window_end=when(7200),
                 state="lost", lines_seen=50, lines_recovered=0, why="more lines of one nanosecond")
        holes = self.holes()
        self.assertEqual(len(holes), 1)
        self.assertIn("shop: more lines of one nanosecond", holes[0])

    def test_shares_add_up(self):
        self.listened(0, 2500)
        self.opened(2500, 5000)
        self.listened(5000, 7500)
        status, text = self.coverage()
        self.assertEqual(status, 2)
        self.assertRegex(text, r"listening +50\.00 %")
        self.assertRegex(text, r"in gaps +25\.00 %")
        self.assertRegex(text, r"silent +25\.00 %")

    def test_a_trail_that_never_listened_covers_nothing(self):
        status, text = self.coverage()
        self.assertEqual(status, 2)
        self.assertIn("nothing is covered", text)

    def test_what_is_no_time_is_refused_in_a_sentence(self):
        for arguments in (("--since", "yesterday"), ("--until",), ("--what", "x"), ("shop",)):
            done = subprocess.run([FLYTRAIL, "coverage", *arguments], env=dict(os.environ),
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn("takes --app APP", done.stderr)

    def test_a_year_of_gaps_is_told_in_one_reading_of_the_trail(self):
        """Not gap by gap, each time in every month: 2,000 gaps took 3 s so, and listening 10 s."""
        for month in range(12):
            self.pg.psql("SELECT flytrail.ensure_partition('security', now() - interval '1 month' * %d)" % month)
        for view, readings in (("gaps", 1), ("listening", 2)):
            plan = "\n".join(row for row, in self.pg.psql(f"EXPLAIN (COSTS off) SELECT * FROM flytrail.{view}"))
            months = re.findall(r" on (events_security_\d+)", plan)
            self.assertGreaterEqual(len(set(months)), 12, plan)
            self.assertEqual(len(months), readings * len(set(months)), plan)

    def test_a_time_that_is_not_over_or_runs_backwards_is_refused(self):
        self.listened(0, 10000)
        for since, until in ((5000, 1000), (200000, 300000), (0, 300000)):
            done = subprocess.run([FLYTRAIL, "coverage", "--since", when(since), "--until", when(until)],
                                  env={"FLYTRAIL_DATABASE_URL": self.pg.url("flytrail_writer")},
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn("--since must be before --until", done.stderr)

    def test_a_line_that_fly_does_not_have_is_doubt(self):
        self.listened(0, 10000)
        self.say(5000, "unconfirmed_line", app="shop", line_id=STREAMS[1], line_at=when(1000))
        status, text = self.coverage()
        self.assertEqual(status, 2)
        self.assertIn("DOUBT 1 lines", text)

    def test_a_line_of_another_time_is_no_doubt_about_this_one(self):
        self.listened(0, 10000)
        self.say(9000, "unconfirmed_line", app="shop", line_id=STREAMS[1], line_at=when(8000))
        self.assertEqual(self.coverage(until=8000)[0], 0)
        self.assertEqual(self.coverage(until=8001)[0], 2)

    def test_an_application_that_the_trail_never_saw_is_doubt(self):
        self.listened(0, 10000)
        self.say(9000, "window_checked", app="shop", window_start=when(100), window_end=when(200), state="agrees")
        self.assertEqual(self.coverage("--app", "shop")[0], 0)
        status, text = self.coverage("--app", "shpo")
        self.assertEqual(status, 2)
        self.assertIn("DOUBT nothing in the trail is of shpo", text)

    def test_people_who_only_read_may_ask(self):
        self.listened(0, 10000)
        done = subprocess.run([FLYTRAIL, "coverage", "--since", when(0), "--until", when(9000)],
                              env={"FLYTRAIL_DATABASE_URL": self.pg.url("flytrail_reader")},
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def test_the_timeline_shows_what_was_recovered_and_not_what_agrees(self):
        self.listened(0, 100)
        self.say(200, "window_checked", app="shop", window_start=when(0), window_end=when(60), state="agrees")
        self.say(300, "window_checked", app="shop", window_start=when(60), window_end=when(120), state="recovered")
        self.assertEqual(self.pg.psql("SELECT action, attributes ->> 'state' FROM flytrail.timeline"),
                         [["trail.window_checked", "recovered"]])


if __name__ == "__main__":
    unittest.main()
