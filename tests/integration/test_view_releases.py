"""Releases and lines tell one story of a deploy, and each machine's part of it once."""

import datetime
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_views  # noqa: E402

MARA = "mara@example.com"
IMAGE_A, IMAGE_B = "registry.example.com/web-1:a", "registry.example.com/web-1@sha256:b2"


class Releases(test_views.Database):
    def setUp(self):
        super().setUp()
        self.begin = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=20)

    def moment(self, second):
        return (self.begin + datetime.timedelta(seconds=second)).isoformat()

    def tell(self, facts, **columns):
        super().tell(facts, base=f"timestamptz '{self.moment(0)}'", **columns)

    def release(self, second, version, image=IMAGE_B, end="release_succeeded", seconds=30, previous=IMAGE_A, **more):
        """Made at that second; ended so many seconds later, as the next look showed."""
        after = {"image": image, "previous_image": previous, **more}
        columns = {"machine_id": None, "region": None, "correlation_id": str(version), "actor": MARA,
                   "actor_type": "user", "trust": "api", "source": "watch", "target": str(version), "message": None}
        self.tell([(second, "deploy.release_started", {"after": after})], summary=f"release {version}", **columns)
        if end:
            self.tell([(second + seconds - 15, f"deploy.{end}", {"after": after})], time_basis="interval",
                      not_after=self.moment(second + seconds), **columns)

    def secret(self, second, action, name="TOKEN", **columns):
        self.tell([(second, f"secret_change.{action}")], **{
            "machine_id": None, "region": None, "target": name, "trust": "api", "source": "watch", "message": None,
            **columns})

    def lines(self, second, *machines):
        for number, machine in enumerate(machines):
            self.tell([(second + number, "deploy.image_prepared", test_views.IMAGE),
                       (second + number + 5, "deploy.machine_started", {"seconds": 6})], machine_id=machine)

    def of_machine(self, second, action, machine="m1", **columns):
        self.tell([(second, f"deploy.{action}", {"after": {"image": IMAGE_A}})], machine_id=machine, region=None,
                  **{"trust": "api", "source": "watch", "message": None, "summary": action, **columns})

    def rows(self, columns="release, machines, outcome"):
        return self.see("deploys", columns, "started_at, event_id")

    def test_a_release_has_its_machines_and_they_have_no_row(self):
        self.release(0, 2)
        self.lines(4, "m1", "m2")
        self.assertEqual(
            self.rows("release, actor, actor_type, machines, outcome, reason, seconds, finished_at - started_at, "
                      "finished_after, region, image, image_digest, trust, summary"),
            [["2", MARA, "user", "{m1,m2}", "success", "deploy", "10.000", "00:00:10", None, "ams", IMAGE_B,
              "sha256:b2", "api", "release 2"]])

    def test_without_lines_a_release_ends_when_that_was_seen(self):
        self.release(0, 2, seconds=40)
        self.assertEqual(self.rows("machines, seconds, finished_at - started_at, finished_at - finished_after"),
                         [["{}", "40.000", "00:00:40", "00:00:15"]])

    def test_each_release_has_its_own_machines(self):
        self.release(0, 2)
        self.lines(3, "m1")
        self.release(20, 3, end="release_failed")
        self.lines(22, "m2")
        self.release(60, 4, end=None)
        self.lines(90, "m1", "m2")
        self.assertEqual(self.rows(), [["2", "{m1}", "success"], ["3", "{m2}", "failure"], ["4", "{m1,m2}", "unknown"]])

    def test_what_belongs_to_no_release_stays_a_row_of_its_own(self):
        self.lines(-300, "m1")
        self.release(0, 2)
        self.lines(500, "m1")
        self.lines(3600, "m2")
        self.assertEqual(self.rows(), [["unknown", "{m1}", "success"], ["2", "{}", "success"],
                                       ["unknown", "{m1}", "success"], ["unknown", "{m2}", "success"]])

    def test_the_lines_of_another_application_are_its_own(self):
        self.release(0, 2)
        app = self.app
        self.app = f"{app}-too"
        self.lines(3, "m9")
        self.assertEqual(self.rows(), [["unknown", "{m9}", "success"]])
        self.app = app
        self.assertEqual(self.rows(), [["2", "{}", "success"]])

    def test_one_that_ended_while_nobody_looked_does_not_take_what_came_much_later(self):
        self.release(0, 2, seconds=19 * 3600)
        self.lines(3, "m1")
        self.lines(90 * 60, "m1")
        self.assertEqual(self.rows("release, machines"), [["2", "{m1}"], ["unknown", "{m1}"]])

    def test_why_there_was_a_release(self):
        self.release(0, 1, previous=None)
        self.release(10, 2, IMAGE_A)
        self.secret(20, "set")
        self.secret(22, "deployed", correlation_id="3")
        self.release(22, 3, IMAGE_A, previous_at="2026-01-01T00:00:00Z")
        self.release(30, 4, IMAGE_B, rollback_to="1")
        self.release(40, 5, IMAGE_B, previous=IMAGE_B)
        self.release(50, 6, None)
        self.release(60, 7, IMAGE_A, previous=None)
        self.assertEqual(self.rows("release, reason"), [
            ["1", "deploy"], ["2", "restart"], ["3", "secret change"], ["4", "rollback"], ["5", "restart"],
            ["6", "unknown"], ["7", "unknown"]])

    def test_a_secret_that_is_unset_goes_with_the_release_that_kept_the_image(self):
        self.release(5, 2, IMAGE_B)
        self.secret(0, "unset", time_basis="interval", not_after=self.moment(30))
        self.release(20, 3, IMAGE_B, previous=IMAGE_B, previous_at="2026-01-01T00:00:00Z")
        self.assertEqual(self.rows("release, reason"), [["2", "deploy"], ["3", "secret change"]])
        self.assertEqual(self.see("secret_changes", "change, release, actor"), [["unset", "3", MARA]])

    def test_a_secret_that_is_unset_and_staged_goes_with_the_next_release(self):
        self.release(-60, 2, IMAGE_B)
        self.secret(0, "unset")
        self.assertEqual(self.see("secret_changes", "release, actor"), [[None, "unknown"]])
        self.release(3600, 3, IMAGE_A)
        self.assertEqual(self.see("secret_changes", "release, actor"), [["3", "unknown"]])

    def test_a_release_that_fails_gives_no_machine_what_was_unset(self):
        self.release(-60, 2, IMAGE_B)
        self.secret(0, "unset")
        self.release(20, 3, IMAGE_B, previous=IMAGE_B, end="release_failed")
        self.assertEqual(self.see("secret_changes", "release"), [[None]])
        self.release(40, 4, IMAGE_A, previous=IMAGE_B)
        self.assertEqual(self.see("secret_changes", "release"), [["4"]])

    def test_each_secret_has_the_release_that_carried_it(self):
        self.secret(0, "set", "ONE")
        self.secret(1, "set", "TWO")
        self.secret(2, "deployed", "ONE", correlation_id="2", actor=MARA, actor_type="user")
        self.secret(900, "deployed", "TWO", correlation_id="3", actor=MARA, actor_type="user")
        self.assertEqual(self.see("secret_changes", "secret_name, release, actor"),
                         [["ONE", "2", MARA], ["TWO", "3", "unknown"]])
        self.assertRegex(self.see("secret_changes", "actor_reason")[0][0], "^inferred: made release 2")

    def test_a_machine_without_lines_is_of_its_release_as_fly_shows_it(self):
        self.release(0, 2, end="release_failed")
        self.of_machine(2, "machine_replacing")
        self.lines(4, "m2")
        self.of_machine(4, "machine_replacing", "m2")
        self.release(60, 3)
        self.of_machine(62, "machine_replacing", "m3")
        self.of_machine(600, "machine_replacing", "m4")
        self.assertEqual(self.rows(), [["2", "{m1,m2}", "failure"], ["3", "{m3}", "success"]])

    def test_an_update_of_a_machine_is_a_row_with_its_own_actor(self):
        self.of_machine(0, "machine_replacing")
        self.of_machine(0, "machine_updated", actor_reason="not which")
        self.of_machine(100, "machine_updated", "m2", time_basis="interval", not_after=self.moment(130),
                        actor=MARA, actor_type="user")
        self.assertEqual(
            self.rows("release, actor, actor_type, actor_reason, reason, machines, image, outcome, trust, summary, "
                      "finished_at - started_at, finished_at - finished_after"),
            [["none", "unknown", "unknown", "not which", "machine update", "{m1}", IMAGE_A, "success", "api",
              "machine_updated", None, None],
             ["none", MARA, "user", None, "machine update", "{m2}", IMAGE_A, "success", "api", "machine_updated",
              "00:00:30", "00:00:30"]])

    def test_an_update_just_after_a_release_is_not_of_it(self):
        self.release(0, 2)
        self.lines(3, "m1", "m2")
        self.of_machine(50, "machine_replacing")
        self.of_machine(50, "machine_updated")
        self.lines(53, "m1")
        self.of_machine(70, "machine_replacing", "m3")
        self.of_machine(70, "machine_updated", "m3")
        self.assertEqual(self.rows("release, machines, region, finished_at - started_at"),
                         [["2", "{m1,m2}", "ams", "00:00:09"], ["none", "{m1}", "ams", "00:00:08"],
                          ["none", "{m3}", None, None]])

    def test_an_update_at_some_time_takes_no_lines_of_a_release(self):
        self.release(100, 2)
        self.lines(103, "m1")
        self.of_machine(0, "machine_updated", time_basis="interval", not_after=self.moment(900))
        self.lines(600, "m1")
        self.assertEqual(self.rows("release, machines, finished_at - started_at"),
                         [["none", "{m1}", "00:10:05"], ["2", "{m1}", "00:00:08"]])

    def claimed(self, second, release, machine="m1", before="1", **columns):
        """A machine was changed, and its metadata says by which release."""
        self.tell([(second, "deploy.machine_updated", {"before": {"release": before},
                                                       "after": {"image": IMAGE_B, "release": release}})],
                  machine_id=machine, region=None, **{"trust": "api", "source": "watch", "message": None,
                                                      "summary": f"by {release}", "outcome": "unknown", **columns})

    def test_machines_whose_metadata_names_the_release_are_of_it(self):
        self.release(0, 2)
        self.lines(3, "m1")
        for second, machine in ((4, "m1"), (6, "m2")):
            self.of_machine(second, "machine_replacing", machine)
            self.claimed(second, "2", machine)
        self.claimed(8, "2", "m3")
        self.claimed(0, "2", "m4", time_basis="interval", not_after=self.moment(40))
        self.assertEqual(self.rows("release, machines, reason, finished_at - started_at"),
                         [["2", "{m1,m2,m3,m4}", "deploy", "00:00:08"]])
        self.assertEqual(self.see("machine_updates", "machine_id, claimed_release, release_event IS NOT NULL", "1"),
                         [[f"m{n}", "2", "t"] for n in range(1, 5)])

    def test_a_release_that_is_claimed_and_not_known_to_have_been_then_is_not_believed(self):
        self.release(0, 2)
        self.claimed(100, "2")
        self.claimed(5, "9", "m2")
        self.claimed(-20, "2", "m3")
        self.claimed(7, "1", "m4")
        self.assertEqual(self.rows("release, machines, reason, outcome"),
                         [["unknown", "{m3}", "machine update", "unknown"], ["2", "{}", "deploy", "success"],
                          ["unknown", "{m2}", "machine update", "unknown"],
                          ["none", "{m4}", "machine update", "unknown"],
                          ["unknown", "{m1}", "machine update", "unknown"]])

    def test_an_update_whose_fields_are_too_long_to_be_kept_may_be_of_a_release(self):
        self.tell([(0, "deploy.machine_updated", {"fields": "too long to be kept"})], machine_id="z1", region=None,
                  trust="api", source="watch", message=None, outcome="unknown")
        self.assertEqual(self.rows("release, machines, image"), [["unknown", "{z1}", "unknown"]])

    def test_lines_are_of_the_release_that_was_made_after_an_update(self):
        self.of_machine(0, "machine_updated", "p1")
        self.lines(3, "p1")
        self.release(45, 2)
        self.lines(50, "p1")
        self.assertEqual(self.rows("release, machines, finished_at - started_at"),
                         [["none", "{p1}", "00:00:08"], ["2", "{p1}", "00:00:10"]])

    def test_lines_that_one_update_does_not_explain_twice_are_a_row_of_their_own(self):
        self.of_machine(0, "machine_updated", "q1")
        self.lines(3, "q1")
        self.lines(50, "q1")
        self.of_machine(300, "machine_updated", "q2", time_basis="interval", not_after=self.moment(900))
        self.lines(400, "q2")
        self.lines(600, "q2")
        self.assertEqual(self.rows("release, machines, finished_at - started_at"),
                         [["none", "{q1}", "00:00:08"], ["unknown", "{q1}", "00:00:05"],
                          ["none", "{q2}", "00:01:45"], ["unknown", "{q2}", "00:00:05"]])

    def test_a_release_of_an_application_that_had_the_name_before_is_another(self):
        for second, made, end in ((-7200, -7200, None), (0, 0, "release_succeeded")):
            self.release(second, 2, end=end, created_at=self.moment(made))
        self.assertEqual(self.rows("release, outcome"), [["2", "unknown"], ["2", "success"]])

    def test_the_end_of_a_release_is_a_row_though_its_name_had_another_of_that_number(self):
        self.release(-7200, 2, created_at=self.moment(-7200))
        self.tell([(0, "deploy.release_failed", {"after": {"image": IMAGE_B, "created_at": self.moment(-20)}})],
                  machine_id=None, region=None, correlation_id="2", trust="api", source="watch", target="2",
                  message=None, time_basis="interval", not_after=self.moment(10))
        self.assertEqual(self.rows("release, outcome"), [["2", "success"], ["2", "failure"]])

    def test_a_release_whose_time_cannot_be_is_one_row(self):
        self.release(0, 2, created_at=self.moment(7200))
        self.assertEqual(self.rows("release, outcome"), [["2", "success"]])

    def test_a_release_that_two_looks_tell_is_one_row(self):
        self.release(0, 2, created_at=self.moment(0))
        self.release(0, 2, created_at=self.moment(0), rollback_to="1")
        self.assertEqual(self.rows("release, outcome"), [["2", "success"]])

    def test_without_its_number_and_the_image_before_nothing_says_why_there_was_a_release(self):
        self.tell([(0, "deploy.release_started", {"after": {"image": IMAGE_B}})], machine_id=None, region=None,
                  trust="api", source="watch", message=None)
        self.assertEqual(self.rows("release, reason"), [["unknown", "unknown"]])

    def test_nobody_is_named_for_a_secret_that_went_with_another_image(self):
        """Setting a secret makes a release with the image that is there: it was staged, and somebody deployed."""
        self.secret(0, "set", actor_reason="why")
        self.release(20, 2, IMAGE_B, previous=IMAGE_A)
        self.secret(20, "deployed", correlation_id="2", actor=MARA, actor_type="user")
        self.assertEqual(self.see("secret_changes", "actor, actor_reason, release"), [["unknown", "why", "2"]])
        self.secret(100, "unset", "GONE", time_basis="interval", not_after=self.moment(130))
        self.release(140, 3, IMAGE_A, previous=IMAGE_B)
        self.assertEqual(self.see("secret_changes", "actor, release", "changed_at"),
                         [["unknown", "2"], ["unknown", "3"]])

    def test_what_was_unset_before_or_after_a_deploy_has_no_release(self):
        self.secret(0, "unset", time_basis="interval", not_after=self.moment(300))
        self.release(100, 2, IMAGE_B, previous=IMAGE_A)
        self.release(500, 3, IMAGE_A, previous=IMAGE_B)
        self.assertEqual(self.see("secret_changes", "release, deployed_at, actor"), [[None, None, "unknown"]])

    def test_a_release_that_fly_does_not_show_any_more_was_at_some_time(self):
        self.secret(0, "set")
        self.secret(5, "deployed", time_basis="interval", not_after=self.moment(900))
        self.assertEqual(self.see("secret_changes", "release, deployed_at - changed_at, deployed_not_after - changed_at"),
                         [["unknown", "00:00:05", "00:15:00"]])
        self.secret(2000, "set", "OTHER")
        self.assertEqual(self.see("secret_changes", "release, deployed_not_after IS NULL", "changed_at")[1], [None, "t"])

    def test_a_release_that_was_under_way_at_the_first_look_is_a_row(self):
        columns = {"machine_id": None, "region": None, "correlation_id": "2", "actor": MARA, "actor_type": "user",
                   "trust": "api", "source": "watch", "target": "2", "message": None, "time_basis": "interval"}
        after = {"after": {"image": IMAGE_B, "previous_image": IMAGE_A, "created_at": self.moment(-20)}}
        self.tell([(0, "deploy.release_failed", after)], not_after=self.moment(10), **columns)
        self.tell([(10, "deploy.release_succeeded", after)], not_after=self.moment(20), **columns)
        self.lines(-10, "m1")
        self.assertEqual(self.rows("release, machines, outcome, actor, reason, image"),
                         [["2", "{m1}", "failure", MARA, "deploy", IMAGE_B]])
        self.assertEqual(self.see("releases", "ended_before - started_at, ended_before - ended_after"),
                         [["00:00:30", "00:00:10"]])

    def test_nobody_is_named_for_an_unset_that_may_have_been_long_before_the_release(self):
        self.secret(0, "unset", "WIDE", time_basis="interval", not_after=self.moment(1000), actor_reason="why")
        self.secret(0, "unset", "NARROW", time_basis="interval", not_after=self.moment(800))
        self.release(500, 2, IMAGE_B, previous=IMAGE_B)
        self.assertEqual(self.see("secret_changes", "secret_name, release, deployed_at IS NULL, actor"),
                         [["NARROW", "2", "f", "unknown"], ["WIDE", None, "t", "unknown"]])
        self.assertRegex(self.see("secret_changes", "actor_reason", "secret_name")[1][0], "^why; .*15 minutes")

    def test_nobody_is_named_for_a_wide_unset_with_a_release_at_its_beginning(self):
        self.secret(0, "unset", time_basis="interval", not_after=self.moment(1000))
        self.release(100, 2, IMAGE_B, previous=IMAGE_B)
        self.assertEqual(self.see("secret_changes", "release, actor"), [[None, "unknown"]])

    def test_what_was_overwritten_before_a_release_reached_no_machine(self):
        self.secret(0, "set")
        self.secret(10, "updated")
        self.secret(20, "deployed", correlation_id="2", actor=MARA, actor_type="user")
        self.secret(30, "updated")
        self.assertEqual(self.see("secret_changes", "release, deployed_at IS NULL, actor", "changed_at"),
                         [[None, "t", "unknown"], ["2", "f", MARA], [None, "t", "unknown"]])

    def test_an_unset_that_was_undone_before_a_release_reached_no_machine(self):
        self.secret(0, "unset", time_basis="interval", not_after=self.moment(10))
        self.secret(15, "set")
        self.release(20, 2, IMAGE_B, previous=IMAGE_B)
        self.assertEqual(self.see("secret_changes", "change, release", "changed_at"), [["unset", None], ["set", None]])

    def test_a_filter_reaches_the_partitions(self):
        for view, column, scans in (("releases", "event_at", 2), ("deploys", "event_at", 6),
                                    ("machine_updates", "occurred_at", 1),
                                    ("secret_changes", "changed_at", 1)):
            plan = "\n".join(row[0] for row in self.pg.psql(
                f"EXPLAIN (COSTS OFF) SELECT * FROM flytrail.{view} "
                f"WHERE app = 'web-1' AND {column} > now() - interval '1 hour'"))
            self.assertEqual(plan.count("Subplans Removed"), scans, plan)


if __name__ == "__main__":
    unittest.main()
