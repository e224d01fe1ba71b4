"""`flytrail run` tells somebody: Slack and a webhook as strict stand-ins, a real Postgres and nats-server."""

import collections
import datetime
import json
import os
import re
import sys
import time
import unittest
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
import lab  # noqa: E402
import receivers  # noqa: E402
import retention  # noqa: E402

AT_ONCE = 4  # they wait more than they work

SOON_SECONDS = 15
KILLS = 8
SECRETS = ("SECRETEXAMPLE", "an-EXAMPLE-key")
LATE_SECONDS = 15  # a ping may be, on a machine where a thread stands still for some of them
MACHINE = "0e286551c30586"


def fly_line(message, app="web", provider="app", age_seconds=0.0):
    at = datetime.datetime.fromtimestamp(time.time() - age_seconds, datetime.timezone.utc)
    return json.dumps({
        "event": {"provider": provider}, "fly": {"app": {"instance": MACHINE, "name": app}, "region": "ams"},
        "host": "0ad1", "log": {"level": "info"}, "message": message,
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"}, separators=(",", ":"))


def shell_of(email, app="web", verified="true"):
    """What hallpass prints when somebody opens a shell."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y/%m/%d %H:%M:%S")
    return fly_line(f"{now} INFO New SSH session email={email} verified={verified}", app)


class Case(unittest.TestCase):
    def setUp(self):
        self.world = self.enterContext(flytrail.World())
        self.slack = self.enterContext(receivers.Slack())
        self.hook = self.enterContext(receivers.Webhook())

    def flytrail(self, **env):
        return self.world.flytrail(**{**self.slack.environment(), **env})

    def begun(self, *flytrails, taker="notifier.slack"):
        """They run, and what happens from now on is told; today's partitions are there with the first fact."""
        for ft in flytrails:
            ft.start()
        lab.wait_for(lambda: self.world.pg.psql(
            f"SELECT 1 FROM flytrail.fact_takers WHERE taker = '{taker}' AND EXISTS (SELECT FROM flytrail.events)"),
            60, "the notifier to begin")
        return flytrails[0]

    def await_told(self, text, timeout=60):
        """When the first message with that in it was taken."""
        def found():
            with self.slack.lock:
                return [message.at for message in self.slack.messages if text in message.text]
        return lab.wait_for(found, timeout, f"Slack to be told of {text}; it has {self.slack.messages}, "
                            f"{self.slack.answers[-5:]}")[0]

    def await_events(self, count, timeout=60):
        lab.wait_for(lambda: len(self.hook.events) >= count, timeout, f"{count} events at the webhook")

    def tell(self, count, action="ssh_session.opened", severity=3, app="web", actor="mara.lind@example.com"):
        """Facts that are in Postgres at once, as another replica may have stored them."""
        self.world.pg.psql(f"""
            INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis, observed_at,
                app, actor, actor_type, outcome, severity, trust, source, summary, stream, seq)
            SELECT gen_random_uuid(), 'security', split_part('{action}', '.', 1), '{action}', now(), 'source', now(),
                '{app}', '{actor}', 'user', 'success', {severity}, 'guest', 'nats', 'fact number ' || n,
                gen_random_uuid(), n FROM generate_series(1, {count}) AS n""")

    def untaken(self, taker="notifier.slack"):
        return int(self.world.pg.psql(f"""
            SELECT count(*) FROM flytrail.events AS e WHERE severity >= 3
            AND class IN ('ssh_session', 'secret_change', 'access', 'deploy', 'trail') AND NOT EXISTS (
                SELECT FROM flytrail.facts_taken AS t WHERE t.event_id = e.event_id AND taker = '{taker}')""")[0][0])

    def numbers_told(self):
        """How many facts Slack was told of, as its messages count them."""
        return sum(int(re.search(r": (\d+) facts?$", message.text.splitlines()[0])[1])
                   for message in self.slack.messages)

    def messages(self, text):
        with self.slack.lock:
            return [message.text for message in self.slack.messages if text in message.text]

    def tearDown(self):
        for receiver in (self.slack, self.hook):
            self.assertEqual(receiver.complaints(), [])
        self.assertEqual(self.slack.faulty, [])
        for ft in self.world.flytrails:
            with open(ft.log_path, encoding="utf-8") as log:
                said = log.read()
            if ft.process.poll() is None:
                said += json.dumps(ft.health()[1]) + ft.command("config")[1]
                for page in ("metrics", "status"):
                    with urllib.request.urlopen(f"http://127.0.0.1:{ft.port}/{page}",
                                                timeout=flytrail.ANSWER_SECONDS) as got:
                        said += got.read().decode()
            for secret in SECRETS:
                self.assertNotIn(secret, said)


class Told(Case):
    def test_a_shell_on_any_machine_is_told_within_15_seconds_with_the_persons_name(self):
        ft = self.begun(self.flytrail(**self.hook.environment()))
        at = time.monotonic()
        self.world.publish_lines([shell_of("Mara.Lind@example.com")])
        self.assertLess(self.await_told("`mara.lind@example.com`") - at, SOON_SECONDS)
        message, = self.messages("ssh_session.opened")
        self.assertIn(f"machine `{MACHINE}` `ams`", message)
        self.assertIn("*ssh_session.opened* medium, `web`", message)
        self.assertIn("as said from inside the machine", message)
        self.await_events(1)
        self.assertLess(self.hook.times[0] - at, SOON_SECONDS)
        # What is taken is counted already.
        lab.wait_for(lambda: self.untaken() + self.untaken("notifier.webhook") == 0, 60, "both to be through")
        told, = [event for event in self.hook.events if event["action"] == "ssh_session.opened"]
        row, = self.world.pg.psql("SELECT event_id, actor, app, message, severity FROM flytrail.events "
                                  "WHERE class = 'ssh_session'")
        self.assertEqual([str(told[name]) for name in ("event_id", "actor", "app", "message", "severity")], row)
        self.assertEqual(ft.health()[1]["slack"]["value"], "working")
        self.assertEqual((ft.metric("notify_facts_total"), ft.metric("notify_untold_total")), (2, 0))
        self.assertEqual(ft.stop(), 0)

    def test_what_a_line_says_does_nothing_in_slack(self):
        """tearDown() asks the stand-in what any message would have done there."""
        self.begun(self.flytrail())
        hostile = ("<!channel>@example.com", "`*x*`@example.com", "\x1b[31mred\x1b[0m@example.com",
                   "https://evil.example.com/@example.com", "\u202emoc.elpmaxe@x", "&lt;@example.com")
        self.world.publish_lines([shell_of(email) for email in hostile])
        self.await_told("&lt;!channel&gt;")
        lab.wait_for(lambda: self.untaken() == 0, 60, "all to be told")
        self.assertIn("https[://]evil.example.com/@example.com", self.slack.text())

    def test_routine_is_not_told_and_the_option_says_what_is(self):
        self.begun(self.flytrail(FLYTRAIL_NOTIFY_SEVERITY="4"))
        self.world.publish_lines([shell_of("mara.lind@example.com")])
        self.tell(1, "access.two_factor_off", 4, actor="jonas.vik@example.com")
        self.await_told("`jonas.vik@example.com`")
        self.world.await_rows(1)
        self.assertEqual(self.numbers_told(), 1)
        self.assertEqual(self.messages("trail.started"), [])

    def test_what_was_there_before_is_no_news_and_a_restart_tells_nothing_again(self):
        self.world.flytrail().start().stop()
        self.tell(5)
        ft = self.begun(self.flytrail())
        self.tell(1, actor="jonas.vik@example.com")
        self.await_told("`jonas.vik@example.com`")
        self.assertEqual(ft.stop(), 0)
        self.tell(2, actor="vera.holm@example.com")  # while nobody tells
        ft.start()
        self.await_told("`vera.holm@example.com`")
        lab.wait_for(lambda: self.untaken() == 0, 60, "all to be told")
        self.assertEqual(len(self.messages("`jonas.vik@example.com`")), 1)
        self.assertEqual(self.messages("`mara.lind@example.com`"), [])

    def test_a_stream_that_stops_is_told_within_three_minutes(self):
        """Nothing comes, and the connection stands: heartbeats alone show that, by default each 30 seconds."""
        ft = self.flytrail(FLYTRAIL_HEARTBEAT_SECONDS="30")
        with flytrail.Shipper(self.world.nats, ft) as shipper:
            self.begun(ft)
            shipper.await_shipped(2, 150)
            self.world.nats.pause()
            at = time.monotonic()
            self.assertLess(self.await_told("*trail.gap_opened* ", 180) - at, 180)
            self.world.nats.resume()

    def test_a_stream_that_is_gone_is_told_within_three_minutes(self):
        self.begun(self.flytrail())
        self.world.nats.crash()
        at = time.monotonic()
        # The gap is on record when it is known that it can end.
        self.assertLess(self.await_told("*trail.gap_opened* ", 180) - at, 180)

    def test_a_receiver_may_check_the_signature_as_readme_says(self):
        self.begun(self.world.flytrail(**self.hook.environment()), taker="notifier.webhook")
        self.tell(1)
        self.await_events(1)
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as readme:
            code = re.search(r"```python\n(import hashlib.*?)```", readme.read(), re.DOTALL)[1]
        names = {}
        exec(code, names)  # pylint: disable=exec-used
        signature, body = self.hook.signed[-1]
        self.assertTrue(names["is_flytrails"](signature, body, self.hook.key))
        self.assertFalse(names["is_flytrails"](signature, body + b" ", self.hook.key))
        self.assertFalse(names["is_flytrails"](signature, body, "another"))
        old = signature.replace("t=1", "t=0")
        self.assertFalse(names["is_flytrails"](old, body, self.hook.key))


class Limits(Case):
    def test_ten_thousand_facts_at_once_are_counted_and_no_two_messages_come_in_one_second(self):
        ft = self.begun(self.flytrail(FLYTRAIL_NOTIFY_PER_MINUTE="60"))
        self.tell(10000)
        lab.wait_for(lambda: self.untaken() == 0, 240, "all to be told")
        own = ft.metric("notify_facts_total") - 10000
        self.assertEqual(self.numbers_told(), 10000 + own)
        self.assertLess(own, 3)
        times = [message.at for message in self.slack.messages]
        self.assertLess(len(times), 20)
        self.assertGreater(min(b - a for a, b in zip(times, times[1:])), 0.9)
        self.assertLess(ft.memory_peak_bytes(), 128 << 20)

    def test_what_comes_when_no_more_messages_are_allowed_is_in_the_next_one(self):
        self.begun(self.flytrail(FLYTRAIL_NOTIFY_PER_MINUTE="2"))
        for actor in "abcd":
            self.tell(3, actor=f"{actor}@example.com")
            if actor in "ab":
                self.await_told(f"`{actor}@example.com`")
            else:
                time.sleep(0.5)
        self.await_told("`d@example.com`", 90)
        lab.wait_for(lambda: self.untaken() == 0, 60, "all to be told")
        times = [message.at for message in self.slack.messages]
        self.assertGreater(times[2] - times[0], 59)
        self.assertEqual(len(self.messages("`c@example.com`")), 1)
        self.assertEqual(self.messages("`c@example.com`"), self.messages("`d@example.com`"))
        self.assertEqual(self.numbers_told(), 12 + sum(
            len(re.findall("[*]trail[.]", text)) for text in self.messages("*trail.")))


class Away(Case):
    def test_a_receiver_that_is_away_is_told_when_it_is_back_and_holds_up_no_other(self):
        ft = self.begun(self.flytrail(**self.hook.environment()))
        self.slack.misbehave("status", 1, code=503, headers=["Retry-After: 3"])
        self.slack.misbehave("reset", 2)
        self.slack.misbehave("status", 1, code=429, headers=["Retry-After: 1"])
        self.tell(3)
        self.await_events(3)
        self.await_told("`mara.lind@example.com`")
        lab.wait_for(lambda: self.untaken() == 0, 60, "all to be told")
        self.assertEqual(len(self.messages("`mara.lind@example.com`")), 1)
        asked = [answer.at for answer in self.slack.answers]
        self.assertGreater(asked[1] - asked[0], 3)
        self.assertEqual(ft.metric("notify_retries_total"), 4)
        self.assertTrue(ft.events("notify_retry"))

    def test_one_that_an_operator_must_mend_is_parked_and_told_when_it_is(self):
        ft = self.begun(self.flytrail())
        self.slack.misbehave("status", 100, code=404, body=b"no_service")
        self.tell(1)
        lab.wait_for(lambda: not ft.health()[1]["slack"]["ok"], 30, "the check")
        self.assertIn("parked: Slack answers 404 no_service; ", ft.health()[1]["slack"]["value"])
        self.assertEqual(ft.health()[0], 503)
        self.slack.behave()
        self.await_told("`mara.lind@example.com`", 90)
        lab.wait_for(lambda: ft.health()[1]["slack"]["ok"], 30, "the check")

    def test_the_one_fact_that_is_refused_is_on_record_and_the_others_are_told(self):
        ft = self.begun(self.flytrail(**self.hook.environment(), FLYTRAIL_NOTIFY_PER_MINUTE="60"))
        self.slack.poison = "poison@example.com"
        self.tell(20)
        self.tell(1, "access.member_added", actor="poison@example.com", app="shop")
        self.tell(20, "access.token_created", app="billing")
        lab.wait_for(lambda: self.untaken() == 0, 90, "all to be taken")
        poison, = self.world.pg.psql("SELECT event_id FROM flytrail.events WHERE actor = 'poison@example.com'")
        untold, = self.world.pg.psql("SELECT event_id, attributes->>'sink', attributes->>'event_id', attributes->>'why' "
                                     "FROM flytrail.events WHERE action = 'trail.untold'")
        self.assertEqual(untold[1:], ["slack", *poison, "Slack answers 400 invalid_payload"])
        # The other one is told of it, and that one is told of all.
        lab.wait_for(lambda: untold[0] in [event["event_id"] for event in self.hook.events], 60, "trail.untold")
        self.assertIn(poison[0], [event["event_id"] for event in self.hook.events])
        self.assertEqual(self.messages("trail.untold"), [])
        told = sum(int(count) for text in self.messages("*ssh_session.opened*")
                   for count in re.findall(r"`web`, (\d+) times", text))
        self.assertLessEqual(19, told)
        self.assertEqual(ft.metric("notify_untold_total"), 1)
        self.assertEqual(len(ft.events("untold")), 1)

    def test_who_refuses_everything_is_parked_and_not_the_facts_given_up(self):
        ft = self.begun(self.flytrail())
        self.slack.poison = "flytrail"  # it is in each message
        self.tell(12)
        lab.wait_for(lambda: ft.events("notify_parked"), 90, "it to be parked")
        self.assertLessEqual(ft.metric("notify_untold_total"), 4)
        # From then on it is one each time that it is tried: few where it refuses all, and none is for ever in the way.
        lab.wait_for(lambda: len(ft.events("notify_parked")) == 2, 90, "it to be parked again")
        given_up = ft.metric("notify_untold_total")
        self.assertLessEqual(given_up, 5)
        self.slack.poison = None
        lab.wait_for(lambda: self.untaken() == 0, 90, "the rest to be told")
        self.assertGreaterEqual(self.numbers_told(), 12 - given_up)

    def test_two_that_refuse_everything_do_not_go_on_for_ever_about_each_other(self):
        ft = self.begun(self.flytrail(**self.hook.environment(), FLYTRAIL_NOTIFY_PER_MINUTE="60"))
        self.slack.poison = self.hook.poison = ""
        self.tell(1)
        lab.wait_for(lambda: self.untaken() + self.untaken("notifier.webhook") == 0, 240, "both to be through")
        told = self.world.pg.psql("SELECT count(DISTINCT e.event_id), count(*) FROM flytrail.events AS u "
                                  "JOIN flytrail.events AS e ON e.event_id = (u.attributes->>'event_id')::uuid "
                                  "WHERE u.action = 'trail.untold' AND e.action <> 'trail.untold'")[0]
        every = self.world.pg.psql("SELECT count(*) FROM flytrail.events WHERE action = 'trail.untold'")[0][0]
        self.assertEqual(int(told[1]), 2 * int(told[0]))
        self.assertEqual(every, told[1])
        self.assertEqual(ft.metric("notify_facts_total"), 0)

    def test_a_postgres_that_gives_nothing_to_who_tells_is_no_quiet_night(self):
        """All is stored meanwhile, so nothing else is red."""
        ft = self.begun(self.flytrail())
        self.world.pg.psql("REVOKE SELECT ON flytrail.facts_taken FROM flytrail_writer")
        lab.wait_for(lambda: not ft.health()[1]["slack"]["ok"], 30, "the check")
        self.assertRegex(ft.health()[1]["slack"]["value"], "parked: Postgres says: permission denied for table facts_taken")
        self.tell(1)
        self.world.pg.psql("GRANT SELECT ON flytrail.facts_taken TO flytrail_writer")
        self.await_told("`mara.lind@example.com`", 90)
        lab.wait_for(lambda: ft.health()[1]["slack"]["ok"], 30, "the check")

    def test_a_receiver_that_hangs_keeps_nobody_from_the_trail(self):
        """Retention would wait for it before it detaches a partition, and who stores for retention."""
        self.begun(self.flytrail())
        self.slack.misbehave("hang")
        self.tell(3)
        lab.wait_for(lambda: not self.slack.faults, 30, "the request")
        idle = "SELECT a.pid FROM pg_stat_activity a WHERE a.state = 'idle in transaction'"
        lab.wait_for(lambda: self.world.pg.psql(idle), 30, "the transaction that is open meanwhile")
        self.assertEqual(self.world.pg.psql(
            f"SELECT l.relation::regclass, l.mode FROM pg_locks l WHERE l.pid IN ({idle}) "
            "AND l.relation::regclass::text LIKE 'flytrail.events%'"), [])
        self.await_told("`mara.lind@example.com`")

    def test_one_that_hangs_holds_up_no_other(self):
        """Its answer is waited for, again and again; the other is told as soon as ever."""
        self.begun(self.flytrail(**self.hook.environment()))
        self.hook.misbehave("hang", 50)
        for n in range(3):
            self.world.publish_lines([shell_of(f"person-{n}@example.com")])
            self.await_told(f"`person-{n}@example.com`", SOON_SECONDS)
            time.sleep(5)

    def test_a_receivers_failure_is_not_this_replicas_when_another_has_taken_over(self):
        ft = self.begun(self.flytrail())
        self.slack.misbehave("status", 100, code=404, body=b"no_service")
        self.tell(1)
        lab.wait_for(lambda: not ft.health()[1]["slack"]["ok"], 30, "the check")
        lock = retention.Session(self.world.pg.url())
        self.addCleanup(lock.close)
        lock.ask("BEGIN; LOCK TABLE flytrail.leases; UPDATE flytrail.leases SET holder = 'another', "
                 "expires_at = now() + interval '1 hour' WHERE name = 'notifier.slack'")
        ft.await_event("notify_waits")
        lock.ask("COMMIT")
        lab.wait_for(lambda: ft.health()[1]["slack"]["value"] == "another replica tells", 60, "the check to say so")
        self.assertTrue(ft.health()[1]["slack"]["ok"])

    def test_a_webhook_with_another_key_is_parked(self):
        ft = self.begun(self.world.flytrail(**self.hook.environment()), taker="notifier.webhook")
        key, self.hook.key = self.hook.key, "another"
        self.tell(1)
        lab.wait_for(lambda: not ft.health()[1]["webhook"]["ok"], 30, "the check")
        self.assertIn("FLYTRAIL_WEBHOOK_KEY", ft.health()[1]["webhook"]["value"])
        self.assertEqual(set(self.hook.statuses()), {401})
        self.hook.key = key
        self.hook.answers.clear()
        self.await_events(1, 90)


class Killed(Case):
    def test_what_was_under_way_when_it_was_killed_is_told_after(self):
        ft = self.begun(self.flytrail())
        self.slack.misbehave("hang")
        self.tell(3)
        lab.wait_for(lambda: self.slack.statuses() or not self.slack.faults, 30, "the request")
        ft.kill()
        ft.start()
        self.await_told("`mara.lind@example.com`")
        lab.wait_for(lambda: self.untaken() == 0, 60, "all to be told")
        self.assertEqual(len(self.messages("`mara.lind@example.com`")), 1)

    def test_kills_at_any_moment_lose_nothing(self):
        """What was on its way at a kill, which is one message, may be there once more."""
        ft = self.begun(self.world.flytrail(**self.hook.environment()), taker="notifier.webhook")
        for n in range(KILLS):
            self.tell(5, app=f"app-{n}")
            time.sleep(0.4 * n)
            ft.kill()
            ft.start()
        lab.wait_for(lambda: self.untaken("notifier.webhook") == 0, 90, "all to be told")
        seen, repeats = collections.Counter(), 0
        for body in self.hook.bodies:
            ids = {event["event_id"] for event in body["events"]}
            repeats += bool(ids & seen.keys())
            seen.update(ids)
        self.assertLessEqual(repeats, KILLS)
        rows = self.world.pg.psql("SELECT event_id, app FROM flytrail.events WHERE app LIKE 'app-%'")
        self.assertEqual(len(rows), 5 * KILLS)
        for event_id, app in rows:
            kills = KILLS - int(app.removeprefix("app-"))  # since it was told
            self.assertTrue(1 <= seen[event_id] <= 1 + kills, (app, seen[event_id]))

    def test_two_replicas_tell_once_and_when_one_is_gone_the_other_tells(self):
        one, other = self.flytrail(), self.flytrail()
        self.begun(one, other)
        self.world.publish_lines([shell_of("mara.lind@example.com")])
        self.await_told("`mara.lind@example.com`")
        lab.wait_for(lambda: self.untaken() == 0, 60, "all to be told")
        holder = self.world.pg.psql("SELECT holder FROM flytrail.leases WHERE name = 'notifier.slack'")[0][0].split()[0]
        teller, waiting = (one, other) if holder == "ft0" else (other, one)
        lab.wait_for(lambda: waiting.health()[1]["slack"]["value"] == "another replica tells", 30, "the check")
        teller.kill()
        self.world.publish_lines([shell_of("jonas.vik@example.com")])
        self.await_told("`jonas.vik@example.com`", 90)
        self.assertEqual(len(self.messages("`mara.lind@example.com`")), 1)
        self.assertEqual(len(self.messages("`jonas.vik@example.com`")), 1)

    def test_a_receiver_that_only_one_replica_knows_is_told(self):
        """As of one that is not on Fly, and has secrets of its own."""
        one, other = self.flytrail(), self.world.flytrail(**self.hook.environment())
        self.begun(one)
        self.begun(other, taker="notifier.webhook")
        self.world.publish_lines([shell_of("mara.lind@example.com")])
        self.await_told("`mara.lind@example.com`")
        self.await_events(1)
        self.assertEqual(one.health()[1]["slack"]["value"], "working")
        lab.wait_for(lambda: other.health()[1]["webhook"]["value"] == "working", 30, "the check")

    def test_a_postgres_that_goes_away_is_waited_for(self):
        ft = self.begun(self.flytrail())
        self.tell(1, actor="jonas.vik@example.com")
        self.await_told("`jonas.vik@example.com`")
        self.world.pg.crash()
        ft.await_event("notify_waits")
        self.world.pg.restart()
        self.tell(1, actor="vera.holm@example.com")
        self.await_told("`vera.holm@example.com`", 120)


class Pinged(unittest.TestCase):
    def test_it_is_requested_each_minute_while_health_is_green_and_not_when_it_is_red(self):
        with flytrail.World() as world, receivers.Pings() as pings:
            pings.misbehave("status", code=500)
            begun = time.monotonic()
            ft = world.flytrail(**pings.environment()).start()
            lab.wait_for(lambda: ft.events("ping_failed"), 60, "the first ping, which fails")
            lab.wait_for(lambda: pings.times, 120, "the second")
            first, second = [answer.at for answer in pings.answers]
            self.assertGreater(second - begun, 60)
            self.assertLess(second - first, 60 + LATE_SECONDS)
            world.pg.crash()
            world.publish(1)  # else nobody asks Postgres for anything
            lab.wait_for(lambda: ft.health()[0] == 503, 30, "health to be red")
            time.sleep(70)  # in which there would be one
            self.assertEqual(len(pings.answers), 2)
            self.assertEqual(pings.complaints(), [])
            with open(ft.log_path, encoding="utf-8") as log:
                self.assertNotIn("SECRETEXAMPLE", log.read())


class Configured(unittest.TestCase):
    def test_an_address_that_cannot_be_one_is_refused_and_not_shown(self):
        with flytrail.World() as world:
            ft = world.flytrail(SLACK_WEBHOOK_URL="http://hooks.example.com/SECRETEXAMPLE",
                                FLYTRAIL_WEBHOOK_URL="https://hooks.example.com/SECRETEXAMPLE", FLYTRAIL_WEBHOOK_KEY="")
            status, said = ft.command("run")
            self.assertEqual(status, 2)
            self.assertIn("SLACK_WEBHOOK_URL: must begin with https://", said)
            self.assertIn("FLYTRAIL_WEBHOOK_KEY: is not set", said)
            self.assertNotIn("SECRETEXAMPLE", said)

    def test_doctor_says_who_is_told_and_sends_nothing(self):
        with flytrail.World() as world, receivers.Slack() as slack, receivers.Pings() as pings:
            ft = world.flytrail(**slack.environment(), **pings.environment(), FLYTRAIL_NOTIFY_SEVERITY="4")
            said = ft.command("doctor")[1]
            self.assertRegex(said, "(?m)^ok   slack: on: severity 4 or more is told, in 6 messages a minute")
            self.assertRegex(said, "(?m)^ok   webhook: off: it takes FLYTRAIL_WEBHOOK_URL")
            self.assertRegex(said, "(?m)^ok   ping: on: ")
            self.assertRegex(said, "(?m)^warn notify: FLYTRAIL_NOTIFY_SEVERITY is above 3")
            self.assertEqual((slack.answers, pings.answers), ([], []))
            self.assertNotIn("SECRETEXAMPLE", said)


if __name__ == "__main__":
    unittest.main()
