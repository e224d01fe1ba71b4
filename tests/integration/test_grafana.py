"""Each query of each panel of deploy/grafana, against what it asks in earnest: /metrics and Postgres.

The panels are those of the files, so that one without a test is none that exists.
"""

import datetime
import http.server
import json
import math
import os
import re
import sys
import unittest
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import datadog  # noqa: E402
import flytrail  # noqa: E402
import judging  # noqa: E402
import lab  # noqa: E402
import prometheus  # noqa: E402
import serving  # noqa: E402
import test_views  # noqa: E402
from test_coverage import T0, Coverage, when  # noqa: E402

FOLDER = os.path.join(ROOT, "deploy", "grafana")
BOARDS = ("operators.json", "security.json")
# What Grafana puts in for them.
RATE_INTERVAL = "10s"
TIME_FILTER = re.compile(r"\$__timeFilter\((\w+)\)")
COLUMNS = 24
# No value is right here: the sink takes everything, and there is no API of Fly's to look at.
WITHOUT_VALUE = ("Time left until a sink misses records", "Age of the newest look", "Token expires in")
# Chosen by the board's variable: another Grafana has other ids.
SOURCES = {"operators.json": {"type": "prometheus", "uid": "${prometheus}"},
           "security.json": {"type": "grafana-postgresql-datasource", "uid": "${postgres}"}}

MARA, OLA = "mara@example.com", "ola@example.com"


def board(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return json.load(file)


def panels(name):
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


def cells(panel):
    at = panel["gridPos"]
    return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}


class Files(unittest.TestCase):
    def test_there_is_no_other_board_than_those_that_are_tested(self):
        self.assertEqual(sorted(os.listdir(FOLDER)), sorted(BOARDS))

    def test_panels_have_ids_of_their_own_and_do_not_overlap(self):
        for name in BOARDS:
            all_panels = board(name)["panels"]
            ids = [panel["id"] for panel in all_panels]
            self.assertEqual(len(ids), len(set(ids)), name)
            taken = [cell for panel in all_panels for cell in cells(panel)]
            self.assertEqual(len(taken), len(set(taken)), name)
            self.assertLess(max(x for x, _ in taken), COLUMNS, name)
            titles = [panel["title"] for panel in panels(name)]
            for panel in panels(name):
                self.assertTrue(panel["title"] and panel["description"], panel["id"])
            self.assertEqual(len(titles), len(set(titles)), name)

    def test_the_source_of_data_is_chosen_where_the_board_is_shown(self):
        for name in BOARDS:
            said = board(name)
            variable, = said["templating"]["list"]
            self.assertEqual(variable["type"], "datasource")
            self.assertEqual((variable["query"], "${%s}" % variable["name"]), tuple(SOURCES[name].values()))
            self.assertNotIn("id", said)  # a Grafana's own number of it
            for panel in panels(name):
                self.assertTrue(panel["targets"], panel["title"])
                for part in (panel, *panel["targets"]):
                    self.assertEqual(part["datasource"], SOURCES[name], panel["title"])


class FlysOwn(serving.Serving, http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(serving.ANY_PORT, FlysOwnPage)


class FlysOwnPage(judging.Request):
    """What Fly's Prometheus has of a machine besides /metrics, as its documentation names it."""

    content_type = "text/plain; version=0.0.4"
    scrapes = 0

    def do_GET(self):
        type(self).scrapes += 1
        own = 'app="flytrail",region="ams",host="0ad1",instance="ft0"'
        lines = [f'fly_instance_cpu{{{own},cpu_id="0",mode="{mode}"}} {self.scrapes * rate}'
                 for mode, rate in (("user", 20), ("system", 5), ("idle", 70), ("iowait", 5))]
        lines += [f"fly_instance_memory_mem_total{{{own}}} 256000000",
                  f"fly_instance_memory_mem_available{{{own}}} 192000000",
                  f'fly_instance_net_sent_bytes{{{own},device="eth0"}} {self.scrapes * 1000}',
                  f'fly_instance_net_sent_bytes{{{own},device="dummy0"}} {self.scrapes * 9000}',
                  'fly_volume_used_pct{app="flytrail",region="ams",host="0ad1",id="vol_1"} 12']
        self.reply(200, body="\n".join([*lines, ""]).encode())


class Operators(unittest.TestCase):
    """Of a `flytrail run` to which lines come, with a heartbeat and a sink."""

    @classmethod
    def setUpClass(cls):
        world = cls.enterClassContext(flytrail.World())
        intake = cls.enterClassContext(datadog.Intake())
        cls.ft = world.flytrail(**intake.environment(), FLYTRAIL_HEARTBEAT_SECONDS="1")
        cls.enterClassContext(flytrail.Shipper(world.nats, cls.ft))
        cls.ft.start()
        publisher = world.publisher("--count", 10**7, "--rate", 500)
        cls.addClassCleanup(publisher.wait)
        cls.addClassCleanup(publisher.kill)
        flys = cls.enterClassContext(FlysOwn())
        # As Fly labels what it scrapes.
        labels = {"app": "flytrail", "region": "ams", "host": "0ad1", "instance": "ft0"}
        cls.server = cls.enterClassContext(prometheus.Server({
            "flytrail": (f"127.0.0.1:{cls.ft.port}", labels), "fly": (f"127.0.0.1:{flys.server_address[1]}", {})}))
        lab.wait_for(lambda: cls.server.query("flytrail_build_info") and cls.server.query("fly_volume_used_pct"), 30,
                     "both pages")

    def shows(self, panel, target):
        found = self.server.query(target["expr"].replace("$__rate_interval", RATE_INTERVAL))
        return found and (panel["title"] in WITHOUT_VALUE or all(math.isfinite(value) for _, value in found))

    def test_each_query_of_each_panel_shows_something(self):
        for panel in panels("operators.json"):
            for target in panel["targets"]:
                with self.subTest(panel["title"], query=target["expr"]):
                    lab.wait_for(lambda p=panel, t=target: self.shows(p, t), 30, "a value")

    def test_each_metric_of_a_query_is_there(self):
        asked = {name for panel in panels("operators.json") for target in panel["targets"]
                 for name in re.findall(r"\b(?:flytrail|fly)_\w+", target["expr"])}
        self.assertGreater(len(asked), 50)
        for name in sorted(asked):
            with self.subTest(name):
                lab.wait_for(lambda n=name: self.server.query(n), 30, "a sample")

    def test_values_are_those_of_metrics(self):
        def value(title, number=0):
            target = next(panel for panel in panels("operators.json") if panel["title"] == title)["targets"][number]
            return {tuple(labels.values()): value for labels, value in self.server.query(
                target["expr"].replace("$__rate_interval", RATE_INTERVAL))}

        lab.wait_for(lambda: any(300 < found < 700 for found in value("Lines a second, by hand-over").values()), 60,
                     "500 lines a second")
        self.assertEqual(value("Checks of /health")[("source",)], 1)
        lab.wait_for(lambda: value("Postgres and sinks", 1) == {("datadog",): 1}, 60, "a sink that works")
        cpu, = value("CPU").values()
        self.assertAlmostEqual(cpu, 0.25, 3)
        sent, = value("Sent").values()
        self.assertLess(sent, 5000)  # without dummy0

    def test_metrics_are_written_as_prometheus_wants_them(self):
        status, body = self.ft_page()
        self.assertEqual(status, 200)
        self.assertEqual(prometheus.promtool("check", "metrics", text=body), (0, ""))

    def ft_page(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ft.port}/metrics") as answer:
            return answer.status, answer.read().decode()


class Security(Coverage):
    """On facts written by hand: what each panel must then show, by its title."""

    SHOWN = {
        "Deploys": [["1"]],
        "Secret changes": [["1"]],
        "Restarts": [["3"]],
        "SSH sessions": [["2"]],
        "Gaps that are open": [["1"]],
        "What could end the audit": [["1"]],
        "Open gaps": "disconnect",
        "Gaps that lost lines": "older than what Fly keeps",
        "What cannot be looked at": "not permitted",
        "Times of which nobody says anything": "no replica says that it was listening",
        "SSH sessions by person and app": [["Mara on shop", "2"]],
        "Sessions, one by one": "confirmed",
        "Deploys, one by one": MARA,
        "Secret changes, one by one": "STRIPE_KEY",
        "Restarts an hour, by app": "shop",
        "Machines in a loop": "exit",
        "Restarts, one by one": "fly runner",
        "Who can reach the organisation": "Ola",
        "Tokens by their expiry": "flytrail-readonly",
        "High severity": "the spool's volume is gone",
    }

    def api(self, second, action, attributes=None, **columns):
        self.tell([(0, action, attributes)], base=f"'{when(second)}'::timestamptz", **{
            "app": "shop", "machine_id": None, "region": None, "message": None, "source": "watch", "trust": "api",
            "actor_type": "user", "actor": MARA, **columns})

    def fill(self):
        self.pg.psql(f"""INSERT INTO flytrail.actor_aliases VALUES ('{MARA}', 'Mara', false), ('{OLA}', 'Ola', false)
            ON CONFLICT DO NOTHING""")
        self.api(100, "deploy.release_started", {"after": {"image": "registry.example.com/shop:b"}}, correlation_id="2",
                 target="2", summary="release 2")
        self.api(200, "secret_change.set", target="STRIPE_KEY", actor="unknown", actor_type="unknown")
        for second in (300, 320):
            self.tell([(0, "ssh_session.opened", {"verified": "true"})], base=f"'{when(second)}'::timestamptz", app="shop",
                      actor=MARA, actor_type="user", source="http", severity=3)
        boots = [*test_views.at(0, *test_views.BOOT)]
        for n in range(1, 4):
            boots += [*test_views.crash(n * 20 - 2), *test_views.at(n * 20, *test_views.BOOT)]
        self.tell(boots, base=f"'{when(400)}'::timestamptz", app="shop")
        self.api(500, "access.member_added", {"after": {}}, app=None, target_type="member", target=OLA, actor=OLA)
        self.api(600, "volume.deleted", app="flytrail", severity=6, summary="the spool's volume is gone")
        self.listened(0, 1000)
        self.listened(2000, 3000)
        self.opened(3000, None)
        self.opened(700, 800, gap="gap-2")
        self.closed(900, 800, "lost", gap="gap-2", why="it is older than what Fly keeps")
        self.watch("members", "", 0, None, why="not permitted", since=0)
        self.watch("tokens", "", 0, 900, content=json.dumps({"t1": {
            "name": "flytrail-readonly", "created_at": when(0), "expires_at": when(0), "revoked_at": ""}}))

    def rows(self, target):
        """As Grafana asks: a week, which is what the board begins with."""
        now = datetime.datetime.now(datetime.timezone.utc)
        since = now - datetime.timedelta(days=7)
        sql = TIME_FILTER.sub(rf"\1 BETWEEN '{since.isoformat()}' AND '{now.isoformat()}'", target["rawSql"])
        self.assertNotIn("$", sql)
        return self.pg.psql(sql, "flytrail_reader")

    def test_each_panel_shows_what_happened(self):
        self.fill()
        self.assertEqual({panel["title"] for panel in panels("security.json")}, set(self.SHOWN))
        for panel in panels("security.json"):
            wanted = self.SHOWN[panel["title"]]
            for target in panel["targets"]:
                with self.subTest(panel["title"]):
                    rows = self.rows(target)
                    if isinstance(wanted, list):
                        self.assertEqual(rows, wanted)
                    else:
                        self.assertIn(wanted, "\n".join(cell or "" for row in rows for cell in row))

    def test_where_nothing_happened_no_panel_has_a_row_and_each_count_is_0(self):
        for panel in panels("security.json"):
            with self.subTest(panel["title"]):
                wanted = [["0"]] if panel["type"] == "stat" else []
                self.assertEqual([self.rows(target) for target in panel["targets"]], [wanted])

    def test_what_is_in_order_is_in_no_panel_of_faults(self):
        """A gap that was filled, one restart by a user, a list that is looked at, a token that was revoked."""
        now = int(datetime.datetime.now(datetime.timezone.utc).timestamp() - T0.timestamp())
        self.listened(0, now)
        self.opened(100, 200)
        self.closed(300, 200, "filled", why="two passes")
        self.watch("members", "", 0, now - 10)
        self.watch("tokens", "", 0, now - 10, content=json.dumps({"t1": {"name": "old", "revoked_at": when(50)}}))
        self.tell([*test_views.at(0, *test_views.BOOT), *test_views.crash(60), *test_views.at(62, *test_views.BOOT)])
        faults = {panel["title"]: self.rows(target) for panel in panels("security.json") for target in panel["targets"]
                  if panel["title"] in ("Open gaps", "Gaps that are open", "Gaps that lost lines", "Machines in a loop",
                                        "What cannot be looked at", "Times of which nobody says anything",
                                        "What could end the audit", "Tokens by their expiry")}
        self.assertEqual({title: rows for title, rows in faults.items() if rows},
                         {"Gaps that are open": [["0"]], "What could end the audit": [["0"]]})


if __name__ == "__main__":
    unittest.main()
