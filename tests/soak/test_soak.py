"""The soak's own parts: a schedule that can be replayed, and a verdict that can turn red."""

import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
import evidence  # noqa: E402
import fly_api  # noqa: E402
import lines  # noqa: E402
import mutants  # noqa: E402
import publisher  # noqa: E402
import schedule  # noqa: E402
import tormentor  # noqa: E402
import verdict  # noqa: E402

SEEDS = range(60)
S = 10**9


class Schedule(unittest.TestCase):
    def test_it_is_the_same_in_another_process(self):
        script = ("import json, schedule; "
                  "print(json.dumps([schedule.make(seed, 600) for seed in range(5)]))")
        got = subprocess.run([sys.executable, "-c", script], cwd=HERE, check=True, text=True,
                             capture_output=True, env={**os.environ, "PYTHONHASHSEED": "7"}).stdout
        own = json.dumps([schedule.make(seed, 600) for seed in range(5)])
        self.assertEqual(json.loads(got), json.loads(own))

    def test_it_differs_by_seed(self):
        self.assertEqual(len({str(schedule.make(seed, 60).faults) for seed in SEEDS}), len(SEEDS))

    def test_every_fault_lies_between_the_lead_and_the_tail(self):
        for seed in SEEDS:
            for seconds in (40, 60, 600):
                for fault in schedule.make(seed, seconds).faults:
                    self.assertGreaterEqual(fault.at, schedule.LEAD_SECONDS)
                    self.assertLessEqual(fault.at + fault.seconds,
                                         seconds - schedule.TAIL_SECONDS + 0.001)

    def test_a_target_has_one_fault_at_a_time_and_different_targets_overlap(self):
        overlaps = 0
        for seed in SEEDS:
            busy, everywhere = {}, 0.0
            for fault in schedule.make(seed, 120).faults:
                self.assertGreaterEqual(fault.at, busy.get(fault.target, 0.0))
                busy[fault.target] = fault.at + fault.seconds
                overlaps += fault.at < everywhere
                everywhere = max(everywhere, busy[fault.target])
        self.assertGreater(overlaps, 100)

    def test_every_kind_of_fault_and_every_mode_comes_up_and_can_be_done(self):
        plans = [schedule.make(seed, 60) for seed in SEEDS]
        wanted = {name for kinds in schedule.KINDS.values() for name, *_ in kinds}
        self.assertEqual({fault.kind for plan in plans for fault in plan.faults}, wanted)
        self.assertEqual({plan.mode for plan in plans}, {name for name, _ in schedule.MODES})
        for name in wanted:
            self.assertTrue(name in tormentor.API_FAULTS
                            or hasattr(tormentor.Tormentor, f"begin_{name}"), name)

    def test_a_chapter_leaves_some_targets_alone(self):
        spared = sum(not any(fault.target.startswith(("nats", "flytrail")) for fault in plan.faults)
                     for plan in (schedule.make(seed, 60) for seed in range(300)))
        self.assertGreater(spared, 5)


class Lines(unittest.TestCase):
    def test_an_id_is_made_as_documented(self):
        self.assertEqual(lines.line_id("web-1", "0e286551c30586",
                                       "machine exited with exit code 0, not restarting",
                                       1664310879660159411),
                         "4718f5dc-5f98-830a-888b-c53ebf1e1bf5")

    def test_no_machine_has_two_lines_of_one_nanosecond_and_different_machines_do(self):
        made = lines.Lines(1)
        for n in range(20000):
            made.add(made.choose_place(), 0, 1000 + n)
        self.assertEqual(len({(ns, place) for ns, place, _ in made.all}), 20000)
        self.assertLess(len({ns for ns, _, _ in made.all}), 19900)
        self.assertEqual([ns for ns, _, _ in made.all], sorted(ns for ns, _, _ in made.all))

    def test_every_form_goes_both_ways_with_the_same_text(self):
        forms = lines.Lines(1).forms
        api = fly_api.FlyApi()
        for index, form in enumerate(forms.all):
            payload = forms.payload(lines.PLACES[0], index, 17, fly_api.time_text(5 * S))
            self.assertEqual(json.loads(payload)["message"], form.sent_text(17))
            api.add_payload(payload)
        self.assertEqual(api.count("web-1"), len(forms.all))

    def test_no_stored_text_holds_a_piece_of_a_planted_secret(self):
        forms = lines.Lines(1).forms.all
        planted = [form for form in forms if form.sent != form.stored]
        self.assertEqual(len(planted), len(lines.SECRETS))
        for form in planted:
            self.assertTrue(any(piece in form.sent for piece in lines.SECRET_PIECES))
        for form in forms:
            self.assertFalse(any(piece in form.stored for piece in lines.SECRET_PIECES))


class Publisher(unittest.TestCase):
    def test_the_second_copy_gets_the_same_as_from_the_payload(self):
        made = lines.Lines(1)
        here, there = fly_api.FlyApi(), fly_api.FlyApi()
        sender = publisher.Publisher(made, None, here, 100)
        out = []
        for index in range(len(made.forms.all)):
            sender.one(out, index % len(lines.PLACES), index, 1000 * S + index)
        for message in dict.fromkeys(out):  # some go out twice
            there.add_payload(message.split(b"\r\n")[1])
        for app in here.lines:
            self.assertEqual([line.attributes for line in here.lines[app]],
                             [line.attributes for line in there.lines[app]])

    def test_fat_lines_that_cannot_be_made_in_time_are_not_made_up_for(self):
        fat = publisher.Fat(publisher.FAT_BYTES_PER_SECOND)
        fat.paid_until -= 1000
        self.assertEqual(fat.due(), publisher.FAT_LINES_A_TICK_MAX)
        self.assertLess(fat.due(), publisher.FAT_LINES_A_TICK_MAX)


class Verdict(unittest.TestCase):
    def setUp(self):
        self.lines = lines.Lines(1)
        for n in range(100):
            self.lines.add(n % 5, 0, (1000 + n) * S)
        self.replicas = ["ft0", "ft1"]

    def row(self, n, **changes):
        ns, place, _ = self.lines.all[n]
        app, region, machine, _ = self.lines.places[place]
        text = self.lines.stored_text(n)
        row = verdict.Row(lines.line_id(app, machine, text, ns), app, machine, ns, region, "nats",
                          "app_log", verdict.digest(text))
        return row._replace(**changes)

    def rows(self, *but):
        return [self.row(n) for n in range(100) if n not in but]

    @staticmethod
    def gap(start, end, replica="ft0", state="open", app=None, reason="disconnect"):
        return verdict.Gap("g", app, start and start * S, end and end * S, reason, state, 0, None,
                           replica)

    def kinds(self, rows, gaps=(), **more):
        case = verdict.Case(self.lines, rows, list(gaps), self.replicas, **more)
        return sorted({finding.kind for finding in verdict.judge(case).findings})

    def test_all_lines_stored_once_is_green(self):
        self.assertEqual(self.kinds(self.rows()), [])

    def test_a_missing_line_is_told_by_its_number(self):
        case = verdict.Case(self.lines, self.rows(50), [], self.replicas)
        result = verdict.judge(case)
        self.assertEqual([(finding.kind, finding.n) for finding in result.findings],
                         [("silent", 50)])
        self.assertEqual(result.missing, [50])

    def test_a_missing_line_needs_a_gap_of_each_replica(self):
        one, two = self.gap(1049, 1051), self.gap(1049, 1051, "ft1")
        self.assertEqual(self.kinds(self.rows(50), [one]), ["silent"])
        self.assertEqual(self.kinds(self.rows(50), [one, two]), [])
        self.assertEqual(self.kinds(self.rows(50), [one], shared=True), [])

    def test_a_gap_of_another_application_excuses_nothing(self):
        own = self.lines.place(50)[0]
        for app, kinds in ((own, []), ("other", ["silent"])):
            gaps = [self.gap(1049, 1051, name, app=app) for name in self.replicas]
            self.assertEqual(self.kinds(self.rows(50), gaps), kinds)

    def test_a_gap_excuses_its_own_edges_and_nothing_beyond(self):
        for start, end, kinds in ((1050, 1050, []), (1040, 1049, ["silent"]),
                                  (1051, 1060, ["silent"])):
            gaps = [self.gap(start, end, name) for name in self.replicas]
            self.assertEqual(self.kinds(self.rows(50), gaps), kinds)

    def test_a_filled_or_covered_gap_with_a_missing_line_is_the_worst_lie(self):
        for state in ("filled", "covered"):
            gaps = [self.gap(1049, 1051, name, state) for name in self.replicas]
            self.assertEqual(self.kinds(self.rows(50), gaps), ["claimed"])
        # Nor does another gap that is honest make it true.
        gaps += [self.gap(1040, 1060, name) for name in self.replicas]
        self.assertEqual(self.kinds(self.rows(50), gaps), ["claimed"])

    def test_where_gaps_are_filled_nothing_may_be_missing_or_open(self):
        gaps = [self.gap(1049, 1051, name, "lost") for name in self.replicas]
        self.assertEqual(self.kinds(self.rows(50), gaps, fills=True), ["unfilled"])
        self.assertEqual(self.kinds(self.rows(), gaps, fills=True), [])
        self.assertEqual(self.kinds(self.rows(), [self.gap(1049, 1051)], fills=True), ["unended"])

    def test_a_line_that_could_have_been_taken_may_not_be_missing(self):
        gaps = [self.gap(1040, 1060, name) for name in self.replicas]
        never = {name: verdict.Spans([]) for name in self.replicas}
        then = {name: verdict.Spans([(1049 * S, 1051 * S)]) for name in self.replicas}
        self.assertEqual(self.kinds(self.rows(50), gaps, may_lose=never), ["needless"])
        self.assertEqual(self.kinds(self.rows(50), gaps, may_lose=then), [])
        self.assertEqual(self.kinds(self.rows(50), gaps, may_lose={**then, "ft1": never["ft1"]}),
                         ["needless"])

    def test_a_gap_without_end_or_start_is_not_let_pass(self):
        self.assertEqual(self.kinds(self.rows(), [self.gap(1049, None)]), ["unended"])
        self.assertEqual(self.kinds(self.rows(), [self.gap(None, 1051)]), ["unended"])
        damaged = self.gap(None, 1051, reason="spool_damaged")
        self.assertEqual(self.kinds(self.rows(), [damaged]), [])

    def test_rows_that_differ_are_found(self):
        for row, kind in ((self.row(5, digest="x"), "changed"), (self.row(5, id="x"), "changed"),
                          (self.row(5, region="x"), "changed")):
            self.assertEqual(self.kinds(self.rows(5) + [row]), [kind])
        self.assertEqual(self.kinds(self.rows() + [self.row(5)]), ["twice"])
        self.assertEqual(self.kinds(self.rows() + [self.row(5, ns=1)]), ["foreign"])

    def test_every_lie_about_a_green_soak_turns_it_red(self):
        case = verdict.Case(self.lines, self.rows(), [], self.replicas)
        case.rows[0] = case.rows[0]._replace(klass="boot")
        case.events = [case.rows[0].id]
        self.assertEqual(verdict.judge(case).findings, [])
        told = set()
        for mutant in mutants.MUTANTS:
            other, kind = mutant(case)
            self.assertTrue(verdict.judge(other).of(kind), mutant.__name__)
            told.add(kind)
        self.assertEqual(told, set(verdict.KINDS))


class Spans(unittest.TestCase):
    def test_spans_that_overlap_are_one(self):
        spans = verdict.Spans([(5, 9), (1, 3), (8, 12)])
        self.assertEqual([moment for moment in range(14) if spans.hold(moment)],
                         [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12])
        self.assertEqual(spans.total(), 9)


class Recoveries(unittest.TestCase):
    def test_time_runs_from_the_end_of_the_last_thing_that_was_broken(self):
        class Sampled(evidence.Watcher):
            def __init__(self, samples):
                self.samples = samples

        watcher = Sampled([(10, 9), (14, 9.5), (16, 15.5), (30, 29)])
        faults = [{"kind": "pg_crash", "target": "pg", "began": 9, "ended": 11},
                  {"kind": "nats_kill", "target": "nats", "began": 10, "ended": 15}]
        self.assertEqual(evidence.recoveries(faults, watcher),
                         {"pg_crash": [1], "nats_kill": [1]})


if __name__ == "__main__":
    unittest.main()
