"""`flytrail run` with Datadog as a sink, against a strict stand-in of its intake."""

import collections
import datetime
import json
import os
import sys
import time
import unittest
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import datadog  # noqa: E402
import fly_api  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402

AT_ONCE = 4  # they wait more than they work

EXIT_LINE = "machine exited with exit code 0, not restarting"
HOUR = 3600
ANSWER_SECONDS = 60  # DATADOG_SECONDS: so long it waits for an answer


def fly_line(message, age_seconds=0.0, level="info", provider="app"):
    at = datetime.datetime.fromtimestamp(time.time() - age_seconds, datetime.timezone.utc)
    return json.dumps({
        "event": {"provider": provider},
        "fly": {"app": {"instance": "0e286551c30586", "name": "web"}, "region": "ams"},
        "host": "0ad1", "log": {"level": level}, "message": message,
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z",
    }, separators=(",", ":"), ensure_ascii=False)


class Case(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())
        self.intake = self.enterContext(datadog.Intake())

    def flytrail(self, **env):
        return self.world.flytrail(**{**self.intake.environment(), **env})

    def stored(self):
        """The id of each line and event in Postgres."""
        return {row[0] for row in self.world.pg.psql(
            "SELECT id FROM flytrail.log_lines UNION SELECT event_id FROM flytrail.events")}

    def sent(self):
        """How often each is in Datadog, by event_id."""
        with self.intake.lock:
            return collections.Counter(log["event_id"] for log in self.intake.logs)

    def await_sent(self, text, count=1):
        """So many logs whose message begins with the text."""
        lab.wait_for(lambda: sum(message.startswith(text) for message in self.intake.messages()) >= count,
                     60, f"{count} logs {text}")

    def await_answer(self, status, count=1):
        lab.wait_for(lambda: self.intake.statuses().count(status) >= count, 60, f"an answer {status}")

    def check_all_is_there(self, once=True):
        """What Postgres has, and nothing else, in requests that Datadog would take."""
        sent = self.sent()
        self.assertEqual(set(sent), self.stored())
        if once:
            self.assertEqual(max(sent.values()), 1)
        self.assertEqual(self.intake.complaints(), [])

    def metric(self, ft, name):
        return ft.metric(f'sink_{name}{{sink="datadog"}}')


class Arrives(Case):
    def test_what_postgres_has_is_there_once(self):
        ft = self.flytrail().start()
        self.world.publish(12000)
        self.world.publish_lines([fly_line(EXIT_LINE, provider="runner")])
        self.world.await_rows(12001)
        self.assertEqual(ft.stop(), 0)
        self.check_all_is_there()
        self.assertLessEqual(max(answer.logs for answer in self.intake.answers), datadog.LOGS_MAX)
        self.assertEqual(ft.events("stopped")[0]["left_in_spool"], 0)

    def test_a_lines_names_are_those_of_the_shipper_and_its_values_those_of_postgres(self):
        ft = self.flytrail().start()
        self.world.publish_lines([fly_line(EXIT_LINE, provider="runner"),
                                  fly_line('{"level":50,"msg":"it broke"}', level="info")])
        self.world.await_rows(2)
        self.assertEqual(ft.stop(), 0)
        logs = {log["message"]: log for log in self.intake.logs}
        (identity, at, action, rule_trust), = self.world.pg.psql(
            "SELECT event_id, floor(extract(epoch FROM occurred_at) * 1000)::bigint, action, trust "
            f"FROM flytrail.events WHERE message = '{EXIT_LINE}'")
        log = logs[EXIT_LINE]
        self.assertEqual(log["event_id"], identity)
        self.assertEqual(log["timestamp"], int(at))
        self.assertEqual((log["class"], log["action"]), (action.partition(".")[0], action))
        self.assertEqual((log["service"], log["hostname"], log["ddsource"]), ("web", "0e286551c30586", "fly"))
        self.assertEqual(log["fly"], {"app": {"name": "web", "instance": "0e286551c30586"}, "region": "ams",
                                      "host": "0ad1"})
        self.assertEqual((log["log"], log["event"]), ({"level": "info"}, {"provider": "runner"}))
        self.assertEqual(log["ddtags"].split(","), ["app:web", "region:ams", f"class:{log['class']}",
                                                    f"trust:{rule_trust}", "provider:runner"])
        self.assertEqual(logs['{"level":50,"msg":"it broke"}']["status"], "error")

    def test_long_lines_are_split_into_requests_and_cut_with_a_mark(self):
        ft = self.flytrail().start()
        texts = [f"{n} " + piece * count for n, (piece, count) in enumerate((
            ("a", 900_000), ('"', 900_000), ("\\", 900_000), ("é", 450_000), ("\x01", 300_000), ("€", 300_000)))]
        self.world.publish_lines([fly_line(text) for text in texts])
        self.world.await_rows(len(texts))
        self.assertEqual(ft.stop(), 0)
        self.check_all_is_there()
        logs = {int(log["message"].split(" ")[0]): log for log in self.intake.logs
                if log["message"][1:2] == " "}
        for n, text in enumerate(texts):
            with self.subTest(n=n):
                message, mark, rest = logs[n]["message"].partition(" [cut by flytrail]")
                is_cut = n in (1, 2, 4)  # what is one byte to a program, and more in JSON
                self.assertEqual((bool(mark), rest), (is_cut, ""))
                self.assertEqual(logs[n].get("flytrail"), {"cut": True} if is_cut else None)
                self.assertTrue(text.startswith(message) if is_cut else text == message)
        self.assertGreater(len([answer for answer in self.intake.answers if answer.logs]), 1)

    def test_events_alone(self):
        ft = self.flytrail(FLYTRAIL_DATADOG_SEND="events").start()
        self.world.publish(500)
        self.world.publish_lines([fly_line(EXIT_LINE, provider="runner")])
        self.world.await_rows(501)
        self.assertEqual(ft.stop(), 0)
        events = {row[0] for row in self.world.pg.psql("SELECT event_id FROM flytrail.events")}
        self.assertEqual(set(self.sent()), events)
        self.assertIn(EXIT_LINE, self.intake.messages())
        self.assertEqual(self.intake.complaints(), [])

    def test_what_is_older_than_18_hours_is_skipped_and_counted(self):
        ft = self.flytrail().start()
        self.world.publish_lines([fly_line("old", 19 * HOUR), fly_line("young", 17 * HOUR)])
        self.await_sent("young")
        lab.wait_for(lambda: self.metric(ft, "late_total") == 1, what="the count")
        self.assertEqual(ft.stop(), 0)
        self.assertNotIn("old", self.intake.messages())
        self.assertEqual(self.world.count("message = 'old'"), 1)
        self.assertEqual(self.intake.late, [])

    def test_or_sent_where_that_is_wanted(self):
        ft = self.flytrail(FLYTRAIL_DATADOG_LATE="send").start()
        self.world.publish_lines([fly_line("old", 19 * HOUR)])
        self.await_sent("old")
        self.assertEqual(self.metric(ft, "late_total"), 0)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual([log["message"] for log in self.intake.late], ["old"])


class Trouble(Case):
    def deliver_through(self, faults, once=True):
        """Each fault is the answer to one request; then all is there."""
        ft = self.flytrail().start()
        for kind, options in faults:
            self.intake.misbehave(kind, **options)
        self.world.publish(300)
        self.await_sent("numbered", 300)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.intake.faults, [])
        self.check_all_is_there(once)
        return ft

    def test_who_asks_for_a_rest_gets_it(self):
        self.deliver_through([("status", {"code": 429, "headers": ["Retry-After: 4"]})])
        told = [n for n, answer in enumerate(self.intake.answers) if answer.status == 429][0]
        before, after = self.intake.answers[told:told + 2]
        self.assertGreater(after.at - before.at, 3.9)

    def test_a_429_alone_and_a_500(self):
        self.deliver_through([("status", {"code": 429}), ("status", {"code": 500})])

    def test_a_503_and_a_408(self):
        self.deliver_through([("status", {"code": 503}), ("status", {"code": 408})])

    def test_an_answer_before_the_body_has_ended_and_a_hang(self):
        self.deliver_through([("early", {"code": 503}), ("hang", {})])

    def test_half_an_answer_and_a_reset(self):
        self.deliver_through([("half", {}), ("reset", {})])

    def test_what_arrived_without_an_answer_is_there_twice_under_one_id(self):
        self.deliver_through([("half", {"accepts": True}), ("reset", {"accepts": True})], once=False)
        logs = {}
        for log in self.intake.logs:
            self.assertEqual(logs.setdefault(log["event_id"], log), log)
        self.assertLess(len(logs), len(self.intake.logs))

    def test_a_request_that_is_too_large_for_a_relay_is_halved(self):
        self.intake.bytes_max = 20_000
        ft = self.flytrail().start()
        self.world.publish(2000)
        self.world.await_rows(2000)
        self.assertEqual(ft.stop(), 0)
        self.assertEqual({answer.why for answer in self.intake.answers}, {None, "too many bytes"})
        sent = self.sent()
        self.assertEqual((set(sent), max(sent.values())), (self.stored(), 1))
        self.assertEqual(ft.events("dead_letter"), [])

    def test_the_record_that_is_not_taken_is_a_dead_letter_and_no_other(self):
        self.intake.poison = "poison"
        ft = self.flytrail().start()
        self.world.publish(700)
        self.world.publish_lines([fly_line("poison")])
        self.world.publish(700, first=700)
        self.world.await_rows(1401)
        lab.wait_for(lambda: self.metric(ft, "dead_letters_total") == 1, what="the dead letter")
        self.await_sent("numbered", 1400)
        self.assertEqual(ft.stop(), 0)
        poison, = self.world.pg.psql("SELECT id FROM flytrail.log_lines WHERE message = 'poison'")
        sent = self.sent()
        self.assertEqual(set(sent), self.stored() - set(poison))
        self.assertEqual(max(sent.values()), 1)
        letter, = ft.events("dead_letter")
        self.assertIn("400", letter["error"])
        self.assertEqual(self.world.count("message = 'poison'"), 1)

    def test_a_key_that_is_not_taken_parks_it_and_a_changed_one_resumes(self):
        old, self.intake.key = self.intake.key, "fedcba9876543210fedcba9876543210"
        ft = self.flytrail(DATADOG_API_KEY=old).start()
        self.world.publish(300)
        ft.await_event("sink_parked")
        said = ft.events("sink_parked")[0]["error"]
        self.assertIn("DATADOG_API_KEY", said)
        self.assertIn("DATADOG_SITE", said)
        self.world.await_rows(300)
        check = ft.health()[1]["datadog"]
        self.assertFalse(check["ok"])
        self.assertIn("DATADOG_API_KEY", check["value"])
        self.assertEqual(self.metric(ft, "parked"), 1)
        self.assertEqual(self.intake.logs, [])
        with open(ft.log_path, encoding="utf-8") as log:
            self.assertNotIn(old, log.read())
        ft.kill()
        ft.env.update(self.intake.environment())
        ft.start()
        self.await_sent("numbered", 300)
        self.assertEqual(ft.stop(), 0)
        sent = self.sent()
        self.assertEqual((set(sent), max(sent.values())), (self.stored(), 1))
        self.assertEqual({answer.why for answer in self.intake.answers}, {None, "another key"})

    def test_what_is_no_intake_is_told_so(self):
        self.intake.misbehave("status", 1, code=404)
        ft = self.flytrail().start()
        ft.await_event("sink_parked")
        self.assertIn("FLYTRAIL_DATADOG_URL", ft.events("sink_parked")[0]["error"])

    def test_a_redirect_is_not_followed(self):
        with datadog.Intake() as other:
            self.intake.misbehave("status", 1, code=307, headers=[f"Location: {other.url}{datadog.PATH}"])
            ft = self.flytrail().start()
            ft.await_event("sink_parked")
            self.assertEqual(other.answers, [])

    def test_a_certificate_that_nobody_signed_ends_it_before_the_key_is_sent(self):
        with fly_api.FlyApi(tls=True) as stranger:
            ft = self.flytrail(FLYTRAIL_DATADOG_URL=stranger.url).start()
            ft.await_event("sink_retry")
            self.assertIn("certificate", ft.events("sink_retry")[0]["error"])
            self.assertEqual(len(stranger.requests), 0)


class Crashes(Case):
    def test_a_kill_in_the_middle_loses_nothing(self):
        ft = self.flytrail().start()
        publisher = self.world.publisher("--count", 40000, "--rate", 2500)
        self.addCleanup(publisher.wait)
        self.addCleanup(publisher.kill)
        for _ in range(3):
            taken = len(self.intake.answers)
            lab.wait_for(lambda: len(self.intake.answers) > taken, 60, "a request")
            ft.kill()
            ft.start()
        self.assertEqual(publisher.wait(timeout=lab.ENDED_SECONDS), 0)
        self.assertEqual(ft.stop(), 0)
        self.check_all_is_there(once=False)
        logs = {}
        for log in self.intake.logs:
            self.assertEqual(logs.setdefault(log["event_id"], log), log)

    def test_a_kill_while_it_is_away_loses_nothing(self):
        self.intake.misbehave("hang")
        ft = self.flytrail().start()
        self.world.publish(500)
        lab.wait_for(lambda: self.intake.answers, 60, "a request that hangs")
        ft.kill()
        ft.start()
        self.await_sent("numbered", 500)
        self.assertEqual(ft.stop(), 0)
        self.check_all_is_there()

    def test_an_intake_that_hangs_does_not_hold_up_the_end(self):
        ft = self.flytrail(FLYTRAIL_DRAIN_SECONDS="1").start()
        self.intake.misbehave("hang", 5)
        self.world.publish(500)
        lab.wait_for(lambda: self.intake.answers, 60, "a request that hangs")
        begun = time.monotonic()
        self.assertEqual(ft.stop(), 0)
        self.assertLess(time.monotonic() - begun, ANSWER_SECONDS / 2)
        self.intake.faults.clear()
        ft.start()
        self.await_sent("numbered", 500)
        self.assertEqual(ft.stop(), 0)
        self.check_all_is_there()


class StandIn(unittest.TestCase):
    """It is strict: what it does not take, Datadog would not."""

    GOOD = {"message": "hello", "timestamp": int(time.time() * 1000), "ddtags": "a:b,c:d"}

    def setUp(self):
        self.intake = self.enterContext(datadog.Intake())

    def ask(self, text, path=datadog.PATH, method="POST", packed=None, **headers):
        body = datadog.pack(text) if packed is None else packed
        given = {"DD-API-KEY": self.intake.key, "Content-Type": "application/json",
                 "Content-Encoding": "gzip", **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = urllib.request.Request(self.intake.url + path, body, method=method, headers={
            name: value for name, value in given.items() if value is not None})
        try:
            with urllib.request.urlopen(request, timeout=flytrail.ANSWER_SECONDS) as got:
                return got.status
        except urllib.error.HTTPError as error:
            return error.code

    def with_log(self, **fields):
        return json.dumps([{**self.GOOD, **fields}])

    def test_it_takes_what_is_right(self):
        self.assertEqual(self.ask(self.with_log()), 202)
        self.assertEqual(self.intake.logs, [self.GOOD])
        old = self.GOOD["timestamp"] - 19 * HOUR * 1000
        self.assertEqual(self.ask(self.with_log(timestamp=old)), 202)
        self.assertEqual([log["timestamp"] for log in self.intake.late], [old])

    def test_it_refuses_another_address_key_or_form(self):
        good = self.with_log()
        for status, options in ((404, {"path": "/api/v1/logs"}), (405, {"method": "PUT"}),
                                (401, {"DD_API_KEY": None}), (403, {"DD_API_KEY": "another"}),
                                (400, {"Content_Type": "text/plain"}), (400, {"Content_Encoding": None}),
                                (400, {"packed": good.encode()}),
                                (400, {"packed": datadog.pack(good) + datadog.pack(good)}),
                                (400, {"packed": datadog.pack(good)[:-1]})):
            with self.subTest(**options):
                self.assertEqual(self.ask(good, **options), status)
        self.assertEqual(self.intake.logs, [])

    def test_it_refuses_what_is_no_array_of_logs(self):
        deep = value = {}
        for _ in range(10):
            value["a"] = value = {}
        for text in ("{}", "[1]", "[", "", '[{"message":"a","message":"b","timestamp":1}]',
                     '[{"message":"a","timestamp":NaN}]',
                     json.dumps([{"timestamp": 1}]), json.dumps([{"message": "a"}]),
                     self.with_log(message=1), self.with_log(message=""), self.with_log(timestamp="1"),
                     self.with_log(timestamp=1.5), self.with_log(timestamp=True), self.with_log(service=None),
                     self.with_log(status="awful"), self.with_log(ddtags="a"),
                     self.with_log(ddtags=",".join(f"a:{n}" for n in range(101))),
                     self.with_log(ddtags="a:" + "b" * 200), self.with_log(**{"k" * 50: 1}),
                     self.with_log(**{f"k{n}": n for n in range(256)}), self.with_log(deep=deep),
                     self.with_log(message="m" * datadog.LOG_BYTES_MAX)):
            with self.subTest(text=text[:60]):
                self.assertEqual(self.ask(text), 400)
        self.assertEqual(self.intake.logs, [])

    def test_it_refuses_more_than_the_limits(self):
        self.assertEqual(self.ask(json.dumps([self.GOOD] * 1000)), 202)
        self.assertEqual(self.ask(json.dumps([self.GOOD] * 1001)), 413)
        self.assertEqual(self.ask(json.dumps([{**self.GOOD, "message": "m" * 900_000}] * 6)), 413)
        self.assertEqual(len(self.intake.logs), 1000)


if __name__ == "__main__":
    unittest.main()
