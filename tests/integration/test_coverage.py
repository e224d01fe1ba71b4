"""The views gaps, listening and coverage, and `flytrail coverage`, on facts written by hand."""

import datetime
import re
import subprocess
import unittest

import test_views

FLYTRAIL = test_views.FLYTRAIL
STREAMS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(10)]
# On the hour, for what is counted by hours.
T0 = datetime.datetime.now(datetime.timezone.utc).replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=20)


def when(second):
    return (T0 + datetime.timedelta(seconds=second)).isoformat().replace("+00:00", "Z")


class Coverage(test_views.Database):
    """Each test has a trail of its own: the one before it is taken away."""

    def setUp(self):
        super().setUp()
        self.pg.psql("""SET session_replication_role = replica;
            DELETE FROM flytrail.events; DELETE FROM flytrail.streams; DELETE FROM flytrail.log_lines;
            DELETE FROM flytrail.snapshots;""")

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

    def ask(self, *arguments, role="flytrail_writer", database="postgres", **env):
        done = subprocess.run(
            [FLYTRAIL, "coverage", *arguments], capture_output=True, text=True, check=False,
            env={"FLYTRAIL_DATABASE_URL": self.pg.url(role, database), **env})
        return done.returncode, done.stdout, done.stderr

    def coverage(self, *arguments, since=0, until=10000, **more):
        """Where since or until is None, it is not named."""
        times = [word for name, at in (("--since", since), ("--until", until)) if at is not None
                 for word in (name, when(at))]
        status, text, errors = self.ask(*times, *arguments, **more)
        self.assertEqual(errors, "")
        return status, text

    def holes(self, *arguments, **times):
        status, text = self.coverage(*arguments, **times)
        lines = [line for line in text.splitlines() if line.startswith("HOLE")]
        self.assertEqual(status, 2 if lines else 0, text)
        return lines

    def watch(self, resource, scope, first, newest, why=None, since=None, interval=300, content="{}"):
        def moment(second):
            return "NULL" if second is None else f"'{when(second)}'"

        self.pg.psql(f"""INSERT INTO flytrail.snapshots (resource, scope, first_at, taken_at, content,
            interval_seconds, unobserved_why, unobserved_since) VALUES ('{resource}', '{scope}', {moment(first)},
            coalesce({moment(newest)}::timestamptz, '-infinity'), '{content}', {interval}, {test_views.quote(why)}, {moment(since)})""")


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

    def test_what_retention_dropped_is_told_and_is_not_called_before_the_beginning(self):
        self.listened(1000, 10000)
        for kind, start, end in (("log_lines", 0, 2000), ("log_lines", 3000, 4000), ("security", 20000, 30000), ("no kind", 0, 9000)):
            self.say(9000 + start, "partition_dropped", kind=kind, first_at=when(start), end_at=when(end))
        self.say(9500, "partition_dropped", kind="security", first_at="no time", end_at="infinity")
        status, text = self.coverage(since=1000)
        self.assertEqual(status, 0)
        self.assertEqual(re.findall("(?m)^GONE .*$", text.replace(".000000Z", "Z")), [
            f"GONE 2 partitions of log_lines between {when(0)} and {when(4000)}, by retention: action trail.partition_dropped"])
        self.assertNotIn("GONE", self.coverage(since=5000)[1])
        self.say(9501, "partition_dropped", kind="security", first_at=when(-9000), end_at=when(500))
        text = self.coverage(since=0)[1].replace(".000000Z", "Z")
        self.assertIn(f"\nHOLE {when(0)} is before what the trail still says of its listening, which begins at {when(1000)}\n", text)
        self.assertIn("\n     not known ", text)
        self.assertRegex(self.coverage(since=0, until=900, role="flytrail_reader")[1], "(?m)^HOLE all of it is before what the trail still ")

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
        self.assertNotIn("not told yet", text)
        self.assertNotIn("not begun", text)
        self.assertTrue(text.endswith("\n2 holes\n"), text)

    def test_shares_add_up_where_not_all_is_told_yet(self):
        now = int((datetime.datetime.now(datetime.timezone.utc) - T0).total_seconds())
        self.listened(now - 2000, now - 500)
        status, text = self.coverage(since=now - 2500, until=now)
        self.assertEqual(status, 2)
        shares = dict(re.findall(r"(?m)^     ([a-z ]+?) +(\d+\.\d\d) %$", text))
        self.assertEqual(shares, {"not begun": "20.00", "listening": "60.00", "in gaps": "0.00",
                                  "silent": "0.00", "not told yet": "20.00"})
        self.assertTrue(text.endswith("\n1 hole\n"), text)

    def test_a_trail_that_never_listened_covers_nothing(self):
        status, text = self.coverage()
        self.assertEqual(status, 2)
        self.assertIn("nothing is covered", text)

    def test_what_it_does_not_take_is_named_in_a_sentence(self):
        ahead = when(300000)
        for arguments, sentence in (
                (("shop",), "shop is no option; it takes --app APP, --since TIME and --until TIME, where a date is the whole day"),
                (("--what", "x"), "--what is no option; "),
                (("--until",), "--until has no value"),
                (("--app", "--since", when(0)), "--app has no value"),
                (("--app", ""), "--app has no value"),
                (("--since", "yesterday"), "--since yesterday is no time; one is written like 2026-11-25 "),
                (("--since", "2026-02-30"), "--since 2026-02-30 is no time; "),
                (("--since", ahead), f"--since {ahead} is in the future"),
                (("--since", when(0), "--until", ahead), f"--until {ahead} is in the future"),
                (("--since", when(5000), "--until", when(1000)),
                 f"--since {when(5000)} must be before --until {when(1000)}"),
                (("--since", when(0), "--until", when(0)), "must be before")):
            status, text, errors = self.ask(*arguments)
            self.assertEqual((status, text), (1, ""), arguments)
            self.assertIn("flytrail: coverage: " + ("" if sentence == "must be before" else sentence), errors)
            self.assertIn(sentence, errors)

    def test_its_2_is_for_holes_and_doubts_alone(self):
        self.listened(0, 10000)
        for url in ("", "postgres://w:MADE-UP@PW/x@127.0.0.1:1/db", "postgres://w@127.0.0.1:1/db"):
            status, text, errors = self.ask(FLYTRAIL_DATABASE_URL=url)
            self.assertEqual((status, text), (1, ""), url)
            self.assertIn("FLYTRAIL_DATABASE_URL", errors)
            self.assertNotIn("MADE-UP", errors)

    def test_no_option_of_another_command_stops_it(self):
        self.listened(0, 10000)
        self.assertEqual(self.coverage(FLYTRAIL_SPOOL_DIR="spool", NATS_URL="?", FLYTRAIL_NO_SUCH="x",
                                       FLYTRAIL_ADMIN_DATABASE_URL=self.pg.url())[0], 0)

    def test_a_database_that_is_not_migrated_is_told_what_mends_it(self):
        self.pg.psql("CREATE DATABASE empty")
        status, text, errors = self.ask(role="postgres", database="empty")
        self.assertEqual((status, text), (1, ""))
        self.assertRegex(errors, r"SQLSTATE (42P01|3F000)\); .*run `flytrail migrate`")
        # Older than its views: a column that it asks for is not there yet.
        self.pg.psql("""CREATE SCHEMA flytrail;
            CREATE VIEW flytrail.listening AS SELECT now() AS since""", database="empty")
        status, text, errors = self.ask(role="postgres", database="empty")
        self.assertEqual((status, text), (1, ""))
        self.assertRegex(errors, r"SQLSTATE 42703\); .*run `flytrail migrate`")

    def test_a_year_of_gaps_is_told_in_one_reading_of_the_trail(self):
        """Not gap by gap, each time in every month: 2,000 gaps took 3 s so, and listening 10 s."""
        for month in range(12):
            self.pg.psql("SELECT flytrail.ensure_partition('security', now() - interval '1 month' * %d)" % month)
        for view, readings in (("gaps", 1), ("listening", 2)):
            plan = "\n".join(row for row, in self.pg.psql(f"EXPLAIN (COSTS off) SELECT * FROM flytrail.{view}"))
            months = re.findall(r" on (events_security_\d+)", plan)
            self.assertGreaterEqual(len(set(months)), 12, plan)
            self.assertEqual(len(months), readings * len(set(months)), plan)

    def test_a_line_that_fly_does_not_have_is_doubt(self):
        self.listened(0, 10000)
        self.say(5000, "unconfirmed_line", app="shop", line_id=STREAMS[1], line_at=when(1000))
        status, text = self.coverage()
        self.assertEqual(status, 2)
        self.assertIn("DOUBT 1 line came", text)

    def test_a_gap_that_goes_on_has_its_share(self):
        self.listened(0, 5000)
        self.opened(5000, None)
        status, text = self.coverage()
        self.assertEqual(status, 2)
        self.assertRegex(text, r"in gaps +50\.00 %")

    def test_a_line_of_another_time_is_no_doubt_about_this_one(self):
        self.listened(0, 10000)
        self.say(9000, "unconfirmed_line", app="shop", line_id=STREAMS[1], line_at=when(8000))
        self.assertEqual(self.coverage(until=8000)[0], 0)
        self.assertEqual(self.coverage(until=8001)[0], 2)

    def test_a_forged_line_of_before_the_beginning_counts_where_no_beginning_is_asked_for(self):
        self.listened(1000, 10000)
        self.say(5000, "unconfirmed_line", app="shop", line_id=STREAMS[1], line_at=when(-50000))
        status, text = self.coverage(since=None)
        self.assertEqual(status, 2, text)
        self.assertRegex(text, "DOUBT 1 line came .*trail.unconfirmed_line")
        self.assertTrue(text.endswith("\nno holes, but doubt\n"), text)
        self.assertEqual(self.coverage(since=1000)[0], 0)

    def test_an_end_before_the_beginning_is_a_hole(self):
        self.listened(1000, 10000)
        for since in (None, -5000):
            status, text = self.coverage(since=since, until=500)
            self.assertEqual(status, 2, text)
            self.assertRegex(text, "HOLE all of it is before the trail began to listen, at ")
            self.assertTrue(text.endswith("\n1 hole\n"), text)
        status, text, _ = self.ask("--until", "2020-01-01")
        self.assertEqual(status, 2, text)
        # The day of a date is in it.
        self.assertIn("from 2020-01-02T00:00:00.000000Z to 2020-01-02T00:00:00.000000Z\n", text)

    def test_a_day_that_is_not_over_is_asked_for_as_far_as_it_went(self):
        self.listened(0, 10000)
        before = datetime.datetime.now(datetime.timezone.utc)
        _, text, errors = self.ask("--since", when(0), "--until", f"{before:%Y-%m-%d}")
        self.assertEqual(errors, "")
        until = datetime.datetime.fromisoformat(re.search(r"(?m)^from \S+ to (\S+)Z$", text)[1] + "+00:00")
        self.assertLessEqual(before, until)
        self.assertLessEqual(until, datetime.datetime.now(datetime.timezone.utc))

    def test_of_no_time_at_all_nothing_is_said(self):
        self.listened(-1000, 10000)
        moment = when(0)[:-1]
        status, text, errors = self.ask("--since", f"{moment}.0000001Z", "--until", f"{moment}.0000002Z")
        self.assertEqual((status, errors), (2, ""), text)
        self.assertIn("DOUBT that is no time at all", text)

    def test_an_hour_of_which_nothing_was_proved_is_doubt(self):
        self.listened(0, 10000)
        self.say(9000, "window_checked", app="shop", window_start=when(3600), window_end=when(7200),
                 state="not_checked", why="lines in the platform's name that nothing confirms are more than the budget")
        status, text = self.coverage()
        self.assertEqual(status, 2, text)
        self.assertRegex(text, "DOUBT 1 time of an application was not compared, .*not_checked")
        self.assertTrue(text.endswith("\nno holes, but doubt\n"), text)
        self.say(9000, "window_checked", app="blog", window_start=when(3600), window_end=when(7200),
                 state="not_checked", why="Fly's copy shows nothing, and not what the trail has from before")
        self.assertIn("DOUBT 2 times of applications were not compared, ", self.coverage()[1])
        self.assertEqual(self.coverage(until=3600)[0], 0)
        self.assertEqual(self.coverage(since=7200)[0], 0)

    def test_an_application_that_was_destroyed_is_no_doubt(self):
        self.listened(0, 10000)
        self.say(9000, "window_checked", app="shop", window_start=when(3600), window_end=when(7200),
                 state="not_checked", why="Fly knows no such application")
        self.assertEqual(self.coverage()[0], 0)

    def test_an_application_that_the_trail_never_saw_is_doubt(self):
        self.listened(0, 10000)
        self.say(9000, "window_checked", app="shop", window_start=when(100), window_end=when(200), state="agrees")
        self.assertEqual(self.coverage("--app", "shop")[0], 0)
        status, text = self.coverage("--app", "shpo")
        self.assertEqual(status, 2)
        self.assertIn("DOUBT no event, no line and no comparison of shpo is in the trail: is that its name?", text)

    def store_line(self, second, app):
        self.pg.psql(f"""INSERT INTO flytrail.log_lines (id, occurred_at, occurred_ns, observed_at, source, app,
            class, message, stream, seq) VALUES (gen_random_uuid(), '{when(second)}', 0, now(), 'nats', '{app}',
            'app_log', 'hello', '{STREAMS[0]}', 1)""")

    def test_an_application_of_which_there_are_but_lines_is_known(self):
        self.listened(0, 10000)
        self.store_line(5000, "quiet")
        for role in ("flytrail_writer", "flytrail_line_reader"):
            self.assertEqual(self.coverage("--app", "quiet", role=role)[0], 0, role)
        self.assertEqual(self.coverage("--app", "quiet", until=5000)[0], 2)
        self.assertEqual(self.coverage("--app", "quiet", since=5001)[0], 2)
        status, text = self.coverage("--app", "quiet", role="flytrail_reader")
        self.assertEqual(status, 2)
        self.assertRegex(text, "is that its name.*this role may not read lines")

    def watched(self):
        return self.pg.psql("SELECT app, state, why, round(extract(epoch FROM window_start)), "
                            "round(extract(epoch FROM window_end)) FROM flytrail.coverage WHERE kind = 'watched' "
                            "ORDER BY why, state", "flytrail_reader")

    def test_what_cannot_be_looked_at_is_doubt(self):
        now = int((datetime.datetime.now(datetime.timezone.utc) - T0).total_seconds())
        t0 = int(T0.timestamp())
        self.listened(0, now)
        self.watch("apps", "", 0, now, content='{"web-1": {}}')
        self.watch("secrets", "web-1", 10, now)
        self.assertEqual(self.coverage(until=now)[0], 0)
        self.watch("members", "", None, None, why="HTTP status 403", since=5000, interval="NULL")
        self.watch("addresses", "web-1", 100, 7000, why="HTTP status 401", since=7100)
        self.assertEqual(self.watched(), [
            ["web-1", "watched", "addresses, each 300 s", str(t0 + 100), str(t0 + 7000)],
            ["web-1", "unobserved", "addresses: HTTP status 401", str(t0 + 7100), None],
            [None, "watched", "apps, each 300 s", str(t0), str(t0 + now)],
            [None, "unobserved", "members: HTTP status 403", str(t0 + 5000), None],
            ["web-1", "watched", "secrets, each 300 s", str(t0 + 10), str(t0 + now)]])
        status, text = self.coverage(until=now)
        self.assertEqual(status, 2, text)
        self.assertRegex(text, r"(?m)^     \S+ +now +watched +unobserved +all: members: HTTP status 403$")
        self.assertRegex(text, r"(?m)^     \S+ +now +watched +unobserved +web-1: addresses: HTTP status 401$")
        self.assertIn("DOUBT 2 resources of Fly's control plane cannot be looked at: ", text)
        self.assertTrue(text.endswith("\nno holes, but doubt\n"), text)
        self.assertEqual(self.coverage(until=5000)[0], 0)
        self.assertIn("DOUBT 1 resource of ", self.coverage(until=7100)[1])

    def test_what_was_not_looked_at_for_three_intervals_is_late_and_what_is_gone_is_not(self):
        now = int((datetime.datetime.now(datetime.timezone.utc) - T0).total_seconds())
        self.listened(0, now)
        self.watch("apps", "", 0, now, content='{"web-1": {}}')
        self.watch("secrets", "web-1", 0, now - 2000, interval=600)
        self.watch("volumes", "", 0, now - 800, interval=15, content='{"vol_1": {"app": "web-1"}}')
        self.watch("volume_snapshots", "web-1/vol_1", 0, now - 10000, interval=15)
        self.watch("volume_snapshots", "web-1/vol_0", 0, 100)
        self.watch("secrets", "gone", 0, 100)
        self.assertEqual(self.pg.psql("SELECT resource, state, app, item FROM flytrail.watched ORDER BY 1"),
                         [["apps", "watched", None, None], ["secrets", "late", "web-1", None],
                          ["volume_snapshots", "watched", "web-1", "vol_1"], ["volumes", "watched", None, None]])
        status, text = self.coverage(until=now)
        self.assertEqual(status, 2, text)
        self.assertIn("DOUBT 1 resource of Fly's control plane was not looked at for long: ", text)
        self.assertEqual(self.coverage(until=now - 2001)[0], 0)

    def test_after_an_outage_an_interval_as_long_is_no_excuse(self):
        now = int((datetime.datetime.now(datetime.timezone.utc) - T0).total_seconds())
        self.watch("apps", "", 0, now, content='{"web-1": {}}')
        self.watch("secrets", "web-1", 0, now - 3 * 3600 + 60, interval=15 * 3600)
        self.watch("members", "", 0, now - 3 * 3600 - 60, interval=15 * 3600)
        self.watch("volumes", "", 0, now, content='{"vol_1": {"app": "web-1"}, "vol_2": {"app": "web-1"}}')
        for item, ago in (("vol_1", 35), ("vol_2", 37)):
            self.watch("volume_snapshots", f"web-1/{item}", 0, now - ago * 3600, interval=90 * 3600)
        self.assertEqual(
            self.pg.psql("SELECT resource, state, item FROM flytrail.watched WHERE interval_seconds > 300 ORDER BY 1, 3"),
            [["members", "late", None], ["secrets", "watched", None], ["volume_snapshots", "watched", "vol_1"],
             ["volume_snapshots", "late", "vol_2"]])

    def test_what_is_looked_at_each_four_hours_is_not_late_after_three(self):
        now = int((datetime.datetime.now(datetime.timezone.utc) - T0).total_seconds())
        self.watch("apps", "", 0, now, content='{"web-1": {}}')
        self.watch("machines", "", 0, now, content='{"m1": {"app": "web-1"}, "m2": {"app": "web-1"}, "m3": {"app": "web-1"}}')
        self.watch("machine_config", "web-1/m1", 0, now - 4 * 3600, interval="NULL")
        self.watch("machine_config", "web-1/m2", 0, now - 11 * 3600, interval=15)
        self.watch("machine_config", "web-1/m3", 0, now - 13 * 3600, interval=15)
        self.watch("machine_events", "web-1/m1", 0, now - 4 * 3600, interval=15)
        self.assertEqual(
            self.pg.psql("SELECT resource, item, state FROM flytrail.watched WHERE item IS NOT NULL ORDER BY 1, 2"),
            [["machine_config", "m1", "watched"], ["machine_config", "m2", "watched"], ["machine_config", "m3", "late"],
             ["machine_events", "m1", "late"]])

    def sight(self, second, action, resource, app=None, item="", why="HTTP status 403", **columns):
        self.tell([(0, f"trail.{action}", {"resource": resource, "item": item, "why": why})],
                  base=f"'{when(second)}'::timestamptz", app=app, target=resource, target_type="resource",
                  source="watch", trust="self", actor="flytrail", actor_type="flytrail", **columns)

    def test_what_could_not_be_looked_at_before_is_not_forgotten(self):
        now = int((datetime.datetime.now(datetime.timezone.utc) - T0).total_seconds())
        t0 = int(T0.timestamp())
        self.listened(0, now)
        self.watch("apps", "", None, now, content='{"web-1": {}}')
        self.watch("secrets", "web-1", None, now)
        self.watch("tokens", "", None, now, "HTTP status 500", since=9000)
        for second, action in ((1000, "unobserved"), (1500, "unobserved"), (2000, "observed"), (3000, "unobserved"),
                               (3500, "observed")):
            self.sight(second, action, "secrets", "web-1", why=f"HTTP status 40{second // 1000}")
        self.sight(9000, "unobserved", "tokens", why="HTTP status 500")
        unobserved = [
            ["web-1", "unobserved", "secrets: HTTP status 401", str(t0 + 1000), str(t0 + 2000)],
            ["web-1", "unobserved", "secrets: HTTP status 403", str(t0 + 3000), str(t0 + 3500)],
            [None, "unobserved", "tokens: HTTP status 500", str(t0 + 9000), None]]
        self.assertEqual(self.watched(), unobserved)
        status, text = self.coverage(until=now)
        self.assertEqual(status, 2, text)
        self.assertIn("DOUBT 1 resource of Fly's control plane cannot be looked at: ", text)
        self.assertIn("DOUBT 2 times a resource of Fly's control plane could not be looked at, ", text)
        self.assertIn("DOUBT 1 time a resource ", self.coverage(since=1999, until=3000)[1])
        self.assertEqual(self.coverage(since=2000, until=3000)[0], 0)
        self.assertEqual(self.coverage("--app", "web-2", since=2500, until=3200)[1].count("DOUBT"), 1)

    def test_what_is_gone_could_not_be_looked_at_until_it_went(self):
        t0 = int(T0.timestamp())
        now = int((datetime.datetime.now(datetime.timezone.utc) - T0).total_seconds())
        self.watch("apps", "", None, now, content='{"web-1": {}}')
        self.sight(1000, "unobserved", "secrets", "web-2")
        self.sight(2000, "unobserved", "certificate", "web-1", "www.example.com")
        self.sight(2500, "unobserved", "certificate", "web-1", "example.com")
        gone = {"source": "watch", "trust": "api", "time_basis": "interval"}
        self.tell([(0, "deploy.app_deleted", {"before": {}})], base=f"'{when(1400)}'::timestamptz", app="web-2",
                  target="web-2", not_after=when(1500), **gone)
        self.tell([(0, "cert.removed", {"before": {}})], base=f"'{when(2900)}'::timestamptz", app="web-1",
                  target="www.example.com", not_after=when(3000), **gone)
        self.assertEqual(self.watched(), [
            ["web-1", "unobserved", "certificate example.com: HTTP status 403", str(t0 + 2500), None],
            ["web-1", "unobserved", "certificate www.example.com: HTTP status 403", str(t0 + 2000), str(t0 + 3000)],
            ["web-2", "unobserved", "secrets: HTTP status 403", str(t0 + 1000), str(t0 + 1500)]])

    def test_more_than_fly_shows_is_doubt_about_that_time(self):
        t0 = int(T0.timestamp())
        self.listened(0, 10000)
        self.sight(4000, "overrun", "machine_events", "web-1", "machine1", not_after=when(5000))
        self.assertEqual(self.watched(), [["web-1", "overrun", "machine_events machine1: more happened than Fly's "
                                           "answer shows", str(t0 + 4000), str(t0 + 5000)]])
        status, text = self.coverage()
        self.assertEqual(status, 2, text)
        self.assertRegex(text, r"(?m)^     \S+ +\S+ +watched +overrun +web-1: machine_events machine1: ")
        self.assertIn("DOUBT 1 time more happened between two looks ", text)
        self.assertEqual(self.coverage(since=5000)[0], 0)

    def test_where_nothing_was_ever_looked_at_a_row_says_so(self):
        t0 = int(T0.timestamp())
        now = int((datetime.datetime.now(datetime.timezone.utc) - T0).total_seconds())
        self.listened(0, 10000)
        self.assertEqual(self.watched(), [])
        self.say(10, "started")
        self.say(5000, "started")
        self.assertEqual(self.watched(), [
            [None, "unobserved", "nothing of the control plane was ever looked at", str(t0 + 10), None]])
        status, text = self.coverage()
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"(?m)^     \S+ +now +watched +unobserved +all: nothing of the control plane ")
        self.watch("apps", "", None, now)
        self.assertEqual(self.watched(), [])

    def test_people_who_only_read_may_ask(self):
        self.listened(0, 10000)
        self.assertEqual(self.coverage(until=9000, role="flytrail_reader")[0], 0)

    def test_the_timeline_shows_what_was_recovered_and_not_what_agrees(self):
        self.listened(0, 100)
        self.say(200, "window_checked", app="shop", window_start=when(0), window_end=when(60), state="agrees")
        self.say(300, "window_checked", app="shop", window_start=when(60), window_end=when(120), state="recovered")
        self.assertEqual(self.pg.psql("SELECT action, attributes ->> 'state' FROM flytrail.timeline"),
                         [["trail.window_checked", "recovered"]])


if __name__ == "__main__":
    unittest.main()
