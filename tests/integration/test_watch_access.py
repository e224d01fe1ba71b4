"""Who has access: members, invitations, tokens, peers and SSH certificates, as facts and in the views."""

import math
import os
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import lab  # noqa: E402
from backfill import Backfill  # noqa: E402
from fly_graphql import now_text  # noqa: E402

AT_ONCE = 4  # they wait more than they work
ALICE, BOB, CAROL = "alice@example.com", "bob@example.com", "carol@example.com"
TOKEN = "0b5c0000-0000-4000-8000-000000000001@tokens.fly.io"
RESOURCES = ("members", "invitations", "tokens", "delegated_tokens", "peers", "ssh_certificates",
             "third_parties")
DAY = 24 * 3600
UNKNOWN = ["unknown", "unknown"]


class Access(Backfill):
    """An organisation with two members, which flytrail has looked at."""

    def setUp(self):
        super().setUp()
        self.api.add_app("web-1")
        self.api.member_add(ALICE, role="ADMIN")
        self.api.member_add(BOB)
        self.began = int(time.time())

    def watch(self, **env):
        ft = self.flytrail(**{"FLYTRAIL_WATCH_FULL_SECONDS": "1", "FLYTRAIL_RECONCILE_PAGES_PER_HOUR": "0",
                              **env}).start()
        self.await_baselines()
        return ft

    def await_baselines(self, but=()):
        wanted = set(RESOURCES) - set(but)
        lab.wait_for(lambda: wanted <= {name for name, in self.sql(
            "SELECT resource FROM flytrail.snapshots WHERE scope = '' AND unobserved_since IS NULL")},
                     60, f"the baselines of {wanted}")

    def sql(self, query):
        return self.world.pg.psql(query)

    def facts(self, columns="action, target, actor, actor_type, time_basis, severity", where="true"):
        """All that is no word of flytrail about itself, in the order in which it was told."""
        return self.sql(f"SELECT {columns} FROM flytrail.events WHERE class NOT IN ('trail', 'ssh_session') "
                        f"AND {where} ORDER BY seq")

    def await_facts(self, *wanted):
        """These, in this order, and nothing else: neither now nor when all was looked at again."""
        lab.wait_for(lambda: len(self.facts()) >= len(wanted), 60, f"{len(wanted)} facts")
        self.await_looks(2)
        self.assertEqual(self.facts(), [list(fact) for fact in wanted])
        self.assertEqual(self.api.forbidden, [])
        self.assertEqual(self.facts("trust, source"), [["api", "watch"]] * len(wanted))

    def looks(self, name):
        return sum(request.body.decode().count(f"query {name}(") for request in list(self.api.requests)
                   if request.target == "/graphql")

    def await_looks(self, count, *names):
        before = {name: self.looks(name) for name in names or RESOURCES}
        lab.wait_for(lambda: all(self.looks(name) >= looks + count for name, looks in before.items()), 60,
                     f"{count} looks")

    def moments(self, where="true"):
        """When and not after, as seconds."""
        return [[None if second is None else float(second) for second in row] for row in self.facts(
            "extract(epoch FROM occurred_at), extract(epoch FROM not_after)", where)]

    def assert_exact(self, where):
        """To the second, as Fly says."""
        for moment, none in self.moments(where):
            self.assertTrue(self.began <= moment <= time.time(), moment)
            self.assertIsNone(none)


class Members(Access):
    def test_who_appears_and_who_disappears(self):
        self.watch()
        self.api.member_add(CAROL, two_factor=False)
        added = ["access.member_added", CAROL, *UNKNOWN, "source", "3"]
        self.await_facts(added)
        self.assert_exact("true")
        self.api.member_remove(BOB)
        self.await_facts(added, ["access.member_removed", BOB, *UNKNOWN, "interval", "3"])
        since, until = self.moments("action = 'access.member_removed'")[0]
        self.assertTrue(self.began <= since < until <= time.time())
        self.assertEqual(self.sql("SELECT change, target, summary, actor_reason, before IS NULL, after IS NULL "
                                  "FROM flytrail.access_changes ORDER BY changed_at"), [
            ["member_added", CAROL, f"{CAROL} became a member of the organisation, as MEMBER, without two-factor "
             "authentication", "Fly's API does not say who lets a member in", "t", "f"],
            ["member_removed", BOB, f"{BOB} is no longer a member of the organisation",
             "Fly's API does not say who removes a member", "f", "t"]])

    def test_a_role_and_a_second_factor(self):
        self.watch()
        self.api.member_role(BOB, "ADMIN")
        role = ["access.member_changed", BOB, *UNKNOWN, "interval", "4"]
        self.await_facts(role)
        self.api.two_factor(BOB, False)
        off = ["access.two_factor_off", BOB, *UNKNOWN, "interval", "4"]
        self.await_facts(role, off)
        self.api.two_factor(BOB, True)
        self.await_facts(role, off, ["access.two_factor_on", BOB, *UNKNOWN, "interval", "1"])
        self.assertEqual(self.sql("SELECT before ->> 'role', after ->> 'role' FROM flytrail.access_changes "
                                  "WHERE change = 'member_changed'"), [["MEMBER", "ADMIN"]])

    def test_all_pages_are_one_list(self):
        self.api.page_max = 2
        for number in range(3):
            self.api.member_add(f"user{number}@example.com")
        ft = self.watch()
        self.api.member_remove("user1@example.com")
        self.await_facts(["access.member_removed", "user1@example.com", *UNKNOWN, "interval", "3"])
        self.assertEqual(ft.stop(), 0)
        self.assertEqual(self.sql("SELECT attributes ->> 'count' FROM flytrail.events "
                                  "WHERE action = 'trail.baseline' AND target = 'members'"), [["5"]])

    def test_partial_data_with_errors_is_no_removal(self):
        self.watch()
        self.api.graphql_partial("members", 1)
        self.await_looks(2, "members")
        self.api.graphql_permit()
        self.await_looks(2)
        self.assertEqual(self.facts(), [])

    def test_what_the_token_may_not_read_is_unobserved_and_on_record_once(self):
        self.api.graphql_refuse("members")
        self.watch_refused()
        self.await_looks(2, "members")
        self.assertEqual(self.facts(), [])
        told = ("SELECT action, target, severity, attributes ->> 'why' LIKE '%UNAUTHORIZED%' FROM flytrail.events "
                "WHERE action IN ('trail.unobserved', 'trail.observed') ORDER BY seq")
        self.assertEqual(self.sql(told), [["trail.unobserved", "members", "4", "t"]])
        self.api.graphql_permit()
        self.await_baselines()
        lab.wait_for(lambda: len(self.sql(told)) == 2, 60, "that it is observed again")
        self.api.member_remove(BOB)
        self.await_facts(["access.member_removed", BOB, *UNKNOWN, "interval", "3"])

    def watch_refused(self):
        self.flytrail(FLYTRAIL_WATCH_FULL_SECONDS="1", FLYTRAIL_RECONCILE_PAGES_PER_HOUR="0").start()
        lab.wait_for(lambda: self.sql("SELECT 1 FROM flytrail.snapshots WHERE resource = 'members' "
                                      "AND unobserved_since IS NOT NULL"), 60, "what is not observed")
        self.await_baselines(but=["members"])

    def test_what_changed_while_flytrail_was_dead_is_told_once(self):
        ft = self.watch()
        ft.kill()
        self.api.member_remove(BOB)
        self.api.member_add(CAROL)
        ft.start()
        # What is gone is sure at the second look.
        self.await_facts(["access.member_added", CAROL, *UNKNOWN, "source", "3"],
                         ["access.member_removed", BOB, *UNKNOWN, "interval", "3"])


class Invitations(Access):
    def test_one_that_is_made_and_redeemed(self):
        self.watch()
        self.api.invite(CAROL, by=ALICE)
        made = ["access.invitation_made", CAROL, ALICE, "user", "source", "3"]
        self.await_facts(made)
        self.api.redeem(CAROL)
        lab.wait_for(lambda: len(self.facts()) >= 3, 60, "the member")
        self.await_looks(2)
        self.assertEqual(self.facts()[0], made)
        self.assertEqual(sorted(self.facts()[1:]), [
            ["access.invitation_redeemed", CAROL, CAROL, "user", "source", "3"],
            ["access.member_added", CAROL, *UNKNOWN, "source", "3"]])
        self.assert_exact("true")

    def test_one_that_is_withdrawn(self):
        self.api.invite(CAROL, by=ALICE)
        self.watch()
        self.api.invitation_withdraw(CAROL)
        self.await_facts(["access.invitation_gone", CAROL, *UNKNOWN, "interval", "2"])


class Tokens(Access):
    def test_metrics_say_when_flytrails_own_token_expires(self):
        self.api.token_create("ci", ALICE, days=5)
        self.api.token_create("flytrail-readonly", ALICE, days=20)
        self.api.token_create("flytrail-next", ALICE, days=200)
        ft = self.watch()
        lab.wait_for(lambda: abs(ft.metric("token_expires_seconds") - self.began - 20 * 86400) < 60, 60, "its end")
        self.api.token_revoke("flytrail-readonly", ALICE)
        lab.wait_for(lambda: abs(ft.metric("token_expires_seconds") - self.began - 200 * 86400) < 60, 60, "the next")
        self.api.token_revoke("flytrail-next", ALICE)
        lab.wait_for(lambda: math.isnan(ft.metric("token_expires_seconds")), 60, "none")

    def test_one_that_is_made_and_revoked(self):
        self.watch()
        self.api.token_create("ci", by=BOB)
        made = ["access.token_created", "ci", BOB, "user", "source", "3"]
        self.await_facts(made)
        self.api.token_revoke("ci", by=ALICE)
        self.await_facts(made, ["access.token_revoked", "ci", ALICE, "user", "source", "3"])
        self.assert_exact("true")

    def test_without_expiry_or_for_twenty_years(self):
        self.watch()
        self.api.token_create("for-ever", by=BOB, days=None)
        first = ["access.token_created", "for-ever", BOB, "user", "source", "4"]
        self.await_facts(first)
        self.api.token_create("default", by=TOKEN, days=20 * 365)
        self.await_facts(first, ["access.token_created", "default", TOKEN, "token", "source", "4"])
        self.assertIn("without expiry", self.facts("summary")[0][0])
        self.assertIn("as good as without expiry", self.facts("summary")[1][0])

    def test_about_to_expire_and_expired(self):
        created = time.time() - 60 * DAY
        for name, days in (("ci", 91), ("flytrail-readonly", 91), ("old", 61)):
            self.api.token_create(name, by=BOB, days=days, created=created)
        self.watch()
        lab.wait_for(self.facts, 60, "that the old one is about to expire")
        # Only now that all of them were seen as they are their time comes near, however long that took.
        moment = int(time.time()) + 5
        with self.api.lock:
            for name, days in (("ci", 30), ("flytrail-readonly", 30), ("old", 0)):
                self.api.access_find("limitedAccessTokens", name)["expiresAt"] = now_text(moment + days * DAY)
        lab.wait_for(lambda: len(self.facts()) >= 4, 60, "what time does")
        self.await_looks(2)
        self.assertEqual(sorted(self.facts()), [
            ["access.token_expired", "old", *UNKNOWN, "source", "2"],
            ["access.token_expiring", "ci", *UNKNOWN, "source", "2"],
            ["access.token_expiring", "flytrail-readonly", *UNKNOWN, "source", "6"],
            ["access.token_expiring", "old", *UNKNOWN, "source", "2"]])
        self.assertEqual({int(moment) for moment, _ in self.moments(
            "target <> 'old' OR action = 'access.token_expired'")}, {moment})

    def test_about_to_expire_when_flytrail_first_looks(self):
        self.api.token_create("flytrail-readonly", by=BOB, days=80, created=time.time() - 60 * DAY)
        self.api.token_create("short", by=BOB, days=7)
        self.api.token_create("gone", by=BOB, days=7, created=time.time() - 60 * DAY)
        self.watch()
        self.await_facts(["access.token_expiring", "flytrail-readonly", *UNKNOWN, "source", "6"])

    def test_one_that_makes_peers(self):
        self.watch()
        self.api.delegated_token_create("gateway")
        self.await_facts(["access.token_created", "gateway", *UNKNOWN, "interval", "3"])


class ThirdParties(Access):
    def test_one_that_is_set_up_and_not_asked_any_more(self):
        self.watch()
        self.api.third_party_add("sso")
        added = ["access.third_party_added", "sso", *UNKNOWN, "source", "3"]
        self.await_facts(added)
        self.api.third_party_level("sso", "DISABLED")
        self.await_facts(added, ["access.third_party_changed", "sso", *UNKNOWN, "source", "4"])
        self.assert_exact("true")


class Peers(Access):
    def test_of_a_member_by_its_name(self):
        self.watch()
        name = self.api.peer_add(BOB, host="bobs-laptop")
        added = ["access.peer_added", name, BOB, "user", "source", "3"]
        self.await_facts(added)
        self.assert_exact("true")
        self.assertEqual(self.sql("SELECT actor, actor_reason FROM flytrail.access_changes"),
                         [[BOB, "inferred: from the peer's name, which its maker may choose"]])
        self.api.peer_remove(name)
        self.await_facts(added, ["access.peer_removed", name, *UNKNOWN, "interval", "3"])

    def test_of_nobody_that_is_a_member(self):
        self.watch()
        first = self.api.peer_add("mallory@example.com")
        fact = ["access.peer_added", first, *UNKNOWN, "source", "4"]
        self.await_facts(fact)
        self.api.peer_add(name="office")
        self.await_facts(fact, ["access.peer_added", "office", *UNKNOWN, "interval", "3"])
        self.assertEqual(self.facts("actor_reason"), [["the address in the peer's name is no member's"],
                                                      ["somebody named the peer, and Fly does not say who"]])

    def test_whose_owner_the_token_may_not_look_up(self):
        self.api.graphql_refuse("members")
        self.flytrail(FLYTRAIL_WATCH_FULL_SECONDS="1", FLYTRAIL_RECONCILE_PAGES_PER_HOUR="0").start()
        self.await_baselines(but=["members"])
        name = self.api.peer_add(BOB)
        lab.wait_for(self.facts, 60, "the peer")
        self.assertEqual(self.facts(), [["access.peer_added", name, *UNKNOWN, "source", "3"]])


class Sessions(Access):
    def publish_session(self, line):
        self.publish([self.payload(line)])

    def sessions(self, columns="actor, assurance, certificate_state, certificate_event IS NULL"):
        return self.sql(f"SELECT {columns} FROM flytrail.ssh_sessions ORDER BY opened_at")

    def certificates(self, columns="actor, is_long_lived, sessions, session_event IS NULL, severity"):
        return self.sql(f"SELECT {columns} FROM flytrail.ssh_certificates ORDER BY valid_after, event_id")

    def await_sessions(self, count):
        lab.wait_for(lambda: len(self.sessions()) >= count, 60, f"{count} sessions")

    def test_a_console_with_its_certificate(self):
        self.watch()
        self.publish_session(self.api.ssh_console(BOB))
        self.await_sessions(1)
        fact = ["access.certificate_issued", list(self.api.access["loggedCertificates"])[0], BOB, "user", "source", "3"]
        self.await_facts(fact)
        self.assert_exact("true")
        self.assertEqual(self.sessions(), [[BOB, "claimed", "issued", "f"]])
        self.assertEqual(self.certificates(), [[BOB, "f", "1", "f", "3"]])
        self.assertEqual(self.certificates("key_id, principals, valid_before - valid_after, is_root"),
                         [[BOB, "root, fly", "01:00:00", "f"]])
        self.assertEqual(self.sql("SELECT count(*) FROM flytrail.ssh_sessions s JOIN flytrail.ssh_certificates c "
                                  "ON c.event_id = s.certificate_event AND c.session_event = s.event_id"), [["1"]])

    def test_a_session_without_a_certificate(self):
        self.watch()
        self.api.ssh_console(ALICE)
        self.publish_session(self.api.ssh_console(BOB, logged=False))
        self.await_sessions(1)
        self.await_looks(2, "ssh_certificates")
        lab.wait_for(lambda: self.sessions() == [[BOB, "claimed", "none", "t"]], 60, "none")
        self.assertEqual(self.certificates(), [[ALICE, "f", "0", "t", "3"]])

    def test_a_certificate_that_was_there_before_flytrail_looked(self):
        line = self.api.ssh_console(BOB)
        self.watch()
        self.publish_session(line)
        self.await_sessions(1)
        self.assertEqual(self.sessions(), [[BOB, "claimed", "listed", "t"]])
        self.assertEqual(self.facts(), [])

    def test_one_of_another_time_supports_nothing(self):
        self.watch()
        self.api.ssh_certificate(BOB, 1, at=time.time() - 2 * 3600)
        lab.wait_for(self.certificates, 60, "the certificate")
        self.publish_session(self.api.ssh_console(BOB, logged=False))
        lab.wait_for(lambda: self.sessions() == [[BOB, "claimed", "none", "t"]], 60, "none")
        self.assertEqual(self.certificates(), [[BOB, "f", "0", "t", "3"]])

    def test_without_the_right_to_read_certificates_nothing_is_said_of_them(self):
        self.api.graphql_refuse("loggedCertificates")
        self.flytrail(FLYTRAIL_WATCH_FULL_SECONDS="1", FLYTRAIL_RECONCILE_PAGES_PER_HOUR="0").start()
        self.await_baselines(but=["ssh_certificates"])
        self.publish_session(self.api.ssh_console(BOB))
        self.await_sessions(1)
        self.await_looks(3, "ssh_certificates")
        self.assertEqual(self.sessions(), [[BOB, "claimed", "unknown", "t"]])

    def test_long_lived_ones_are_marked(self):
        self.watch()
        self.api.ssh_issue(BOB, hours=24)
        self.api.ssh_certificate("deploy key", 24 * 365 * 10**6)
        self.api.access_keep("loggedCertificates", root=False, cert="ssh-rsa AAAA")
        lab.wait_for(lambda: len(self.certificates()) >= 3, 60, "the certificates")
        self.await_looks(2)
        self.assertEqual(sorted(self.certificates("actor, is_long_lived, severity, valid_before = 'infinity'"),
                                key=str), [[BOB, "t", "4", "f"], ["unknown", "t", "4", None],
                                           ["unknown", "t", "5", "t"]])

    def test_a_robot_is_called_by_its_name(self):
        self.sql(f"INSERT INTO flytrail.actor_aliases VALUES ('{TOKEN}', 'CI', true)")
        self.watch()
        self.publish_session(self.api.ssh_console(TOKEN))
        self.await_sessions(1)
        lab.wait_for(self.certificates, 60, "the certificate")
        for view in ("ssh_sessions", "ssh_certificates", "access_changes"):
            self.assertEqual(self.world.pg.psql(f"SELECT actor, actor_name, is_automation FROM flytrail.{view}",
                                                "flytrail_reader"), [[TOKEN, "CI", "t"]], view)

    def test_neither_certificates_nor_keys_are_kept(self):
        self.watch()
        self.api.ssh_console(BOB)
        lab.wait_for(self.certificates, 60, "the certificate")
        rows = str(self.sql("SELECT row_to_json(e)::text FROM flytrail.events e "
                            "UNION ALL SELECT content::text FROM flytrail.snapshots"))
        self.assertNotIn("AAAA", rows)
        self.assertNotIn("ssh-ed25519", rows)


if __name__ == "__main__":
    unittest.main()
