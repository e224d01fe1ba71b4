"""deploy/alerts.yml: each alert fires and is silent when it should, and says what to do in deploy/runbook.md."""

import os
import re
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import datadog  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import prometheus  # noqa: E402

ALERTS = os.path.join(ROOT, "deploy", "alerts.yml")
TESTS = os.path.join(ROOT, "deploy", "alerts_test.yml")
# What Fly's Prometheus has of every machine and volume, as its documentation names it.
FLYS_OWN = {"fly_instance_cpu", "fly_instance_net_sent_bytes", "fly_volume_used_pct"}
METRIC = re.compile(r"\b(?:flytrail|fly)_\w+")
# So many looks at all that is asked, of each of which the first may be too early.
SETTLED_LOOKS = 3


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


RUNBOOK = read("deploy/runbook.md")


class Rules(unittest.TestCase):
    """As Prometheus reads them, while it scrapes a `flytrail run` with a sink."""

    @classmethod
    def setUpClass(cls):
        cls.world = cls.enterClassContext(flytrail.World())
        cls.intake = cls.enterClassContext(datadog.Intake())
        cls.ft = cls.world.flytrail(**cls.intake.environment()).start()
        labels = {"app": "flytrail", "instance": "ft0"}
        cls.server = cls.enterClassContext(prometheus.Server(
            {"flytrail": (f"127.0.0.1:{cls.ft.port}", labels)}, rules=[ALERTS]))
        cls.rules = [rule for group in cls.server.rules() for rule in group["rules"]]
        cls.names = [rule["name"] for rule in cls.rules]

    def state(self, name):
        return next(rule["state"] for group in self.server.rules() for rule in group["rules"] if rule["name"] == name)

    def test_promtool_finds_nothing_wrong(self):
        status, said = prometheus.promtool("check", "rules", ALERTS)
        self.assertEqual((status, "SUCCESS" in said), (0, True), said)

    def test_each_fires_and_is_silent_as_its_scenarios_say(self):
        status, said = prometheus.promtool("test", "rules", TESTS)
        self.assertEqual(status, 0, said)

    def test_each_has_a_scenario_in_which_it_fires_after_it_was_silent(self):
        self.assertEqual(len(self.names), len(set(self.names)))
        tried = set()
        for scenario in read("deploy/alerts_test.yml").split("  - name: ")[1:]:
            silent, *fired = re.split(r'alertname="(\w+)"', scenario)
            if "exp_samples: []" in silent:
                tried.update(fired[::2])
        self.assertEqual(tried, set(self.names))

    def test_each_metric_that_one_asks_for_is_there(self):
        for rule in self.rules:
            for metric in METRIC.findall(rule["query"]):
                with self.subTest(rule["name"], metric=metric):
                    if metric not in FLYS_OWN:
                        lab.wait_for(lambda m=metric: self.server.query(m), 30, "a sample")

    def test_each_check_of_health_has_an_alert(self):
        """That leaves no check out which nothing else is about."""
        others = " ".join(rule["query"] for rule in self.rules if rule["name"] != "FlytrailNotHealthy")
        query = next(rule["query"] for rule in self.rules if rule["name"] == "FlytrailNotHealthy")
        left_out = re.search(r'check!~"([^"]+)"', query)[1].split("|")
        self.assertIn("s3", left_out)
        for check in left_out:
            asked = {"lag": "flytrail_store_lag_seconds", "store": "flytrail_store_parked",
                     "s3": "flytrail_sink_working", "datadog": "flytrail_sink_working"}.get(check, check)
            self.assertIn(asked, others, check)

    def test_while_all_is_well_none_is_about_to_fire_and_a_parked_sink_is_told(self):
        """The control plane alone is out of reach here, which is FlytrailNotHealthy's."""
        lab.wait_for(self.ft.is_well, 60, "health")
        lab.wait_for(lambda: self.server.query("flytrail_sink_working == 1"), 60, "a delivery")
        for _ in range(SETTLED_LOOKS):
            self.server.await_evaluation()
            waiting = {rule["name"] for group in self.server.rules() for rule in group["rules"]
                       if rule["state"] != "inactive"}
            self.assertLessEqual(waiting, {"FlytrailNotHealthy"})
        self.intake.key = "another"
        self.world.publish(10)
        lab.wait_for(lambda: self.state("FlytrailSinkParked") == "pending", 60, "the alert")

    def test_each_says_whom_it_wakes_and_what_is_the_matter(self):
        for rule in self.rules:
            self.assertIn(rule["labels"]["severity"], ("page", "ticket"), rule["name"])
            self.assertTrue(rule["annotations"]["summary"], rule["name"])

    def test_each_points_to_its_heading_in_the_runbook_and_none_is_unused(self):
        for rule in self.rules:
            self.assertEqual(rule["annotations"]["runbook_url"], f"deploy/runbook.md#{rule['name'].lower()}")
        in_order = re.findall(r"^ +- alert: (\w+)$", read("deploy/alerts.yml"), re.MULTILINE)
        self.assertEqual(set(in_order), set(self.names))
        self.assertEqual(re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE), [*in_order, "Restore drills"])


class Runbook(unittest.TestCase):
    def test_each_query_is_one_that_people_may_ask(self):
        queries = re.findall(r"^```sql\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL)
        self.assertGreater(len(queries), 8)
        pg = self.enterContext(lab.Postgres(template=flytrail.migrated_data()))
        for query in queries:
            with self.subTest(query):
                pg.psql(query, "flytrail_line_reader" if "flytrail.lines" in query else "flytrail_reader")

    def test_what_an_administrator_asks_can_be_asked(self):
        queries = re.findall(r'^psql "\$ADMIN/flytrail" -c "(.*)"$', RUNBOOK, re.MULTILINE)
        self.assertEqual(len(queries), 2)
        pg = self.enterContext(lab.Postgres(template=flytrail.migrated_data()))
        for query in queries:
            self.assertTrue(pg.psql(query), query)

    def test_each_command_and_metric_that_it_names_exists(self):
        commands = set(re.findall(r"^COMMAND\((\w+),", read("include/cmd/commands.def"), re.MULTILINE))
        shell = "".join(re.findall(r"^```sh\n(.*?)^```", RUNBOOK, re.MULTILINE | re.DOTALL))
        named = set(re.findall(r'[`"]flytrail ([a-z]+)', RUNBOOK)) | set(
            re.findall(r"^flytrail ([a-z]+)", shell, re.MULTILINE))
        self.assertGreater(len(named), 4)
        self.assertLessEqual(named, commands)
        metrics = read("include/serve/metrics.def")
        for name in re.findall(r"`flytrail_(\w+_total)`", RUNBOOK):
            self.assertIn(f"METRIC(counter, {name},", metrics)

    def test_where_an_alert_refers_to_another_that_is_there(self):
        headings = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)
        self.assertLessEqual(set(re.findall(r"\bFly(?:trail)?[A-Z]\w+", RUNBOOK)), set(headings))


if __name__ == "__main__":
    unittest.main()
