"""Volumes, snapshots, certificates and addresses: what flyctl does to them becomes facts."""

import re
import time
import unittest

import test_watch
from backfill import now
from fly_lists import DAY
from test_watch import lab

AT_ONCE = 4  # they wait more than they work
HOUR = 3600
# What an application has besides, and what is looked at for each item.
RESOURCES = ("secrets", "certificates", "addresses")


class Lists(test_watch.Watching):
    """Watches web-1 from its beginning, so that all that comes is told."""

    def begin(self, **env):
        self.ft = self.watching(**env).start()
        for resource in ("volumes", *RESOURCES):
            self.await_snapshot(resource, "" if resource == "volumes" else "web-1")

    def await_snapshot(self, resource, scope, where="true"):
        lab.wait_for(lambda: self.world.pg.psql(
            f"SELECT 1 FROM flytrail.snapshots WHERE resource = '{resource}' AND scope = '{scope}' AND {where}"),
            60, f"{resource} of {scope}")

    def facts(self, columns="action, target"):
        return self.world.pg.psql(
            f"SELECT {columns} FROM flytrail.events WHERE class <> 'trail' ORDER BY seq, action")

    def await_facts(self, *expected, seconds=60):
        """Those, in this order, and no other, also not after everything was looked at again."""
        lab.wait_for(lambda: len(self.facts()) >= len(expected), seconds,
                     f"{expected}; there are {self.facts()}")
        self.assertEqual(self.facts(), [list(fact) for fact in expected])

    def await_looks(self, path, count=3):
        def looks():
            return sum(bool(re.search(path, asked)) for asked in self.api.paths())

        before = looks()
        lab.wait_for(lambda: looks() >= before + count, 60, f"{count} looks at {path}")

    def settle(self, path, *expected, looks=3):
        self.await_facts(*expected)
        self.await_looks(path, looks)
        self.await_facts(*expected)
        for actor, actor_type, reason, trust in self.facts("actor, actor_type, actor_reason, trust"):
            self.assertEqual((actor, actor_type, trust), ("unknown", "unknown", "api"))
            self.assertRegex(reason, "Fly's API does not say who")

    def times(self):
        """For each fact: exact, or an interval in which it was."""
        return self.facts("time_basis, extract(epoch FROM occurred_at), extract(epoch FROM not_after)")


class Addresses(Lists):
    def test_a_public_address_is_told_apart_from_a_private_one(self):
        self.begin()
        before = now()
        self.api.ips_allocate("web-1", "192.0.2.7")
        self.settle("ip_assignments", ("access.address_allocated", "192.0.2.7"))
        self.api.ips_allocate("web-1", "fdaa:0:1::3")
        self.api.ips_release("web-1", "192.0.2.7")
        self.settle("ip_assignments", ("access.address_allocated", "192.0.2.7"),
                    ("access.address_allocated", "fdaa:0:1::3"), ("access.address_released", "192.0.2.7"))
        self.assertEqual(self.facts("app, target_type, severity, class, retention_class, summary"), [
            ["web-1", "address", "4", "access", "security", "public address 192.0.2.7 of web-1 was allocated"],
            ["web-1", "address", "1", "access", "security", "flycast address fdaa:0:1::3 of web-1 was allocated"],
            ["web-1", "address", "3", "access", "security", "public address 192.0.2.7 of web-1 was released"]])
        exact, _, gone = self.times()
        self.assertTrue(before <= float(exact[1]) <= time.time())
        self.assertEqual([exact[0], exact[2], gone[0]], ["source", None, "interval"])
        self.assertLess(float(gone[1]), float(gone[2]))
        self.assertCountEqual(self.world.pg.psql("SELECT change, target FROM flytrail.access_changes"),
                              [[action.partition(".")[2], target] for action, target in self.facts()])

    def test_what_there_was_and_a_list_that_is_empty_once_are_no_change(self):
        self.api.ips_allocate("web-1", "192.0.2.7", shared=True)
        self.begin()
        self.answer_empty_once("addresses")
        self.settle("ip_assignments")


class Volumes(Lists):
    def test_a_volume_from_its_creation_to_its_end(self):
        self.begin()
        volume = self.api.volume_create("web-1", encrypted=False)
        told = [("volume.created", volume), ("volume.unencrypted", volume)]
        self.settle("/volumes.limit", *told)
        self.api.volume_change(volume, attached_machine_id="0e286551c30586")
        told += [("volume.attached", volume)]
        self.settle("/volumes.limit", *told)
        self.api.volume_change(volume, size_gb=3, auto_backup_enabled=False)
        told += [("volume.extended", volume), ("volume.snapshots_changed", volume)]
        self.settle("/volumes.limit", *told)
        self.api.volume_change(volume, attached_machine_id=None)
        self.await_facts(*told, ("volume.detached", volume))
        self.api.volume_destroy(volume)
        told += [("volume.detached", volume), ("volume.deleted", volume)]
        self.settle("/volumes.limit", *told)
        self.api.volume_purge(volume)
        self.settle("/volumes.limit", *told)
        self.assertEqual(self.facts("app, region, machine_id, severity, time_basis"), [
            ["web-1", "ams", None, "2", "source"], ["web-1", "ams", None, "4", "source"],
            ["web-1", "ams", "0e286551c30586", "1", "interval"],
            ["web-1", "ams", "0e286551c30586", "1", "interval"],
            ["web-1", "ams", "0e286551c30586", "3", "interval"],
            ["web-1", "ams", "0e286551c30586", "1", "interval"], ["web-1", "ams", None, "3", "interval"]])

    def test_a_region_that_does_not_answer_and_a_host_that_is_away_take_nothing_away(self):
        volume = self.api.volume_create("web-1", attached_machine_id="0e286551c30586")
        self.api.volume_create("web-1", region="fra")
        self.api.list_page = 1
        self.begin()
        self.assertTrue(any("cursor=after-1" in path for path in self.api.paths()))
        self.api.error_regions = ["ams"]
        self.await_looks("/volumes.limit")
        self.api.error_regions = []
        self.api.volume_change(volume, host_status="unreachable", attached_machine_id=None, encrypted=None)
        self.settle("/volumes.limit")
        self.api.volume_change(volume, host_status="ok", attached_machine_id="0e286551c30586", encrypted=True)
        self.settle("/volumes.limit")

    def test_a_list_that_may_not_be_read_is_unobserved_and_not_silent(self):
        self.api.misbehave("status", app="/volumes", code=403)
        self.ft = self.watching().start()
        lab.wait_for(lambda: self.unobserved(), 60, "the word of it")
        self.assertEqual(self.unobserved(), [["volumes", "unobserved", "t"]])
        self.api.behave()
        lab.wait_for(lambda: len(self.sight()) > 1, 60, "that it can be read")
        self.assertEqual(self.sight(), [["trail.unobserved", "volumes"], ["trail.observed", "volumes"]])
        lab.wait_for(lambda: not self.unobserved(), 60, "that it can be read")

    def sight(self):
        return self.world.pg.psql("SELECT action, target FROM flytrail.events "
                                  "WHERE action IN ('trail.unobserved', 'trail.observed') ORDER BY seq")

    def unobserved(self):
        return self.world.pg.psql("SELECT kind, state, why LIKE '%403%' FROM flytrail.inventory "
                                  "WHERE state = 'unobserved'")


class Doubts(Lists):
    """Fly's answer is not all that there is: nothing is gone until two whole ones agree."""

    LOOK = "/volumes.limit=[0-9]+&cursor=$"

    def begin(self, **env):
        """One volume will go and the other stays."""
        self.goes, self.stays = self.api.volume_create("web-1"), self.api.volume_create("web-1")
        super().begin(**env)

    def look_in_doubt(self, *doubts):
        """Each look is what is said here, and the last as often as more are waited for."""
        with self.api.lock:
            self.api.volume_doubts = list(doubts)
        lab.wait_for(lambda: len(self.api.volume_doubts) == 1, 60, f"the looks {doubts}")

    def await_states(self, **states):
        """Of the volumes, by id; unobserved=True: and that Fly does not show them any more."""
        unobserved = [[None, "unobserved"]] if states.pop("unobserved", False) else []
        expected = sorted([volume, state] for volume, state in states.items()) + unobserved

        def seen():
            return self.world.pg.psql("SELECT id, state FROM flytrail.inventory WHERE kind = 'volumes' ORDER BY id",
                                      "flytrail_reader")

        lab.wait_for(lambda: seen() == expected, 30, f"the volumes {expected}")

    def check_removal(self, purged, *before):
        """It comes with the second whole answer, and was between the whole ones about it."""
        between = time.time()
        with self.api.lock:
            self.api.volume_doubts = []
        self.settle(self.LOOK, *before, ("volume.deleted", self.goes))
        basis, since, until = self.times()[-1]
        self.assertEqual(basis, "interval")
        self.assertTrue(float(since) < purged < float(until) < between, (since, purged, until, between))

    def test_of_a_part_what_is_new_is_told_and_what_it_lacks_is_as_it_was(self):
        """And where it is one look after look, that is said."""
        self.begin()
        self.look_in_doubt("unread")
        self.await_looks(self.LOOK, 1)
        purged = time.time()
        self.api.volume_purge(self.goes)
        new = self.api.volume_create("web-1")
        self.settle(self.LOOK, ("volume.created", new))
        self.await_states(**dict.fromkeys((self.goes, self.stays, new), "created"), unobserved=True)
        self.look_in_doubt("", "unread")
        newer = self.api.volume_create("web-1")
        told = [("volume.created", new), ("volume.created", newer)]
        self.settle(self.LOOK, *told)
        there = dict.fromkeys((self.stays, new, newer), "created")
        self.await_states(**there, **{self.goes: "missing"}, unobserved=True)
        self.check_removal(purged, *told)
        self.await_states(**there)

    def test_what_is_no_answer_tells_nothing_and_the_next_whole_one_tells_it(self):
        """A region does not answer, or a page; an empty page that has a next one is none of that."""
        self.begin()
        self.look_in_doubt("half", "half", "region")
        purged = time.time()
        self.api.volume_purge(self.goes)
        new = self.api.volume_create("web-1")
        self.settle(self.LOOK)
        self.await_states(**dict.fromkeys((self.goes, self.stays), "created"), unobserved=True)
        self.look_in_doubt("empty", "half", "half", "region")
        self.settle(self.LOOK, ("volume.created", new))
        there = dict.fromkeys((self.stays, new), "created")
        self.await_states(**there, **{self.goes: "missing"}, unobserved=True)
        self.check_removal(purged, ("volume.created", new))
        self.await_states(**there)


class Snapshots(Lists):
    def test_they_are_made_and_fail_and_what_was_there_is_none(self):
        volume = self.api.volume_create("web-1")
        old = self.api.snapshot_make(volume, made=-2 * HOUR)
        self.begin()
        self.await_snapshot("volume_snapshots", f"web-1/{volume}")
        new = self.api.snapshot_make(volume)
        failed = self.api.snapshot_make(volume, status="failed")
        self.settle("/snapshots", ("volume.snapshot_made", volume), ("volume.snapshot_failed", volume), looks=1)
        self.assertEqual(self.facts("correlation_id, severity, time_basis"),
                         [[new, "1", "source"], [failed, "3", "interval"]])
        content = self.world.pg.psql("SELECT content::text FROM flytrail.snapshots")
        self.assertIn(old, str(content))
        self.assertNotIn("not-to-be-kept", str(content))

    def test_one_that_should_have_been_made_is_overdue_where_they_are_wanted(self):
        """A volume that comes later has no baseline, so that all of it is told."""
        self.begin()
        late = self.api.volume_create("web-1", created=-40 * HOUR)
        self.await_facts(("volume.created", late), ("volume.snapshot_overdue", late))
        unwanted = self.api.volume_create("web-1", created=-40 * HOUR, auto_backup_enabled=False)
        self.settle(f"{unwanted}/snapshots", ("volume.created", late), ("volume.snapshot_overdue", late),
                    ("volume.created", unwanted), looks=1)
        self.assertEqual(self.facts("severity, time_basis, round(extract(epoch FROM now() - occurred_at) / 3600)")[1],
                         ["4", "source", "14"])
        self.api.snapshot_make(late)
        self.settle("/snapshots", ("volume.created", late), ("volume.snapshot_overdue", late),
                    ("volume.created", unwanted), ("volume.snapshot_made", late), looks=1)


class Certificates(Lists):
    def test_a_host_name_from_its_request_to_its_end(self):
        self.begin()
        self.api.certs_add("web-1", "*.example.com")
        self.await_facts(("cert.added", "*.example.com"))
        self.await_snapshot("certificate", "web-1/*.example.com", "content <> '{}'")
        self.api.certs_fail("web-1", "*.example.com", "dns_not_found")
        self.api.certificates["web-1"]["*.example.com"]["status"] = "failing"  # which stirs the look at it
        told = [("cert.added", "*.example.com"), ("cert.validation_failing", "*.example.com")]
        self.await_facts(*told)
        self.api.certs_issued("web-1", "*.example.com", types=("ecdsa",))
        told += [("cert.issued", "*.example.com"), ("cert.validation_passing", "*.example.com")]
        self.await_facts(*told)
        self.api.certs_remove("web-1", "*.example.com")
        told += [("cert.removed", "*.example.com")]
        self.settle("/certificates.limit", *told)
        self.assertEqual(self.facts("severity, time_basis, retention_class"), [
            ["2", "source", "security"], ["3", "source", "security"], ["2", "source", "security"],
            ["1", "interval", "security"], ["3", "interval", "security"]])
        rows = self.world.pg.psql("SELECT row_to_json(e)::text FROM flytrail.events e "
                                  "UNION ALL SELECT content::text FROM flytrail.snapshots")
        self.assertNotIn("not to be kept", str(rows))

    def test_one_that_fly_renews_does_not_expire_and_ones_own_does(self):
        self.api.certs_add("web-1", "www.example.com")
        self.api.certs_issued("web-1", "www.example.com", days=20)
        self.api.certs_import("web-1", "www.example.com", days=13)
        self.begin()
        self.await_snapshot("certificate", "web-1/www.example.com", "content ? 'custom'")
        self.assertEqual(self.ft.stop(), 0)
        # As it was more than 14 days before its end.
        self.world.pg.psql("UPDATE flytrail.snapshots SET content = content #- '{custom,expiry}' "
                           "WHERE resource = 'certificate'")
        self.api.certs_issued("web-1", "www.example.com", days=90)
        self.ft.start()
        self.settle("/certificates.limit", ("cert.expiring", "www.example.com"), ("cert.issued", "www.example.com"),
                    ("cert.issued", "www.example.com"))
        self.assertEqual(self.facts("round(extract(epoch FROM now() - occurred_at) / 86400)")[0], ["1"])
        self.assertEqual(sorted(self.facts("action, summary")), [
            ["cert.expiring", "certificate custom for www.example.com of web-1 expires soon"],
            ["cert.issued", "certificate fly/ecdsa for www.example.com of web-1 was issued"],
            ["cert.issued", "certificate fly/rsa for www.example.com of web-1 was issued"]])


class Inventory(Lists):
    def see(self, columns, where="true", order="kind, app, name"):
        return self.world.pg.psql(f"SELECT {columns} FROM flytrail.inventory WHERE {where} ORDER BY {order}",
                                  "flytrail_reader")

    def test_it_is_what_there_is_and_since_when(self):
        volume = self.api.volume_create("web-1", created=-3 * DAY)
        self.api.snapshot_make(volume)
        self.api.secrets_set("web-1", TOKEN="x")
        self.api.certs_add("web-1", "www.example.com")
        self.api.certs_issued("web-1", "www.example.com", types=("ecdsa",))
        self.api.ips_allocate("web-1", "192.0.2.7", created_at=None)
        self.begin()
        self.await_snapshot("certificate", "web-1/www.example.com")
        self.await_snapshot("volume_snapshots", f"web-1/{volume}")
        self.api.ips_allocate("web-1", "192.0.2.8", created_at="")
        self.await_facts(("access.address_allocated", "192.0.2.8"))
        lab.wait_for(lambda: len(self.see("id", "kind = 'addresses'")) == 2, 30, "the address")
        self.assertEqual(self.see("kind, app, name, id, state, since_basis"), [
            ["addresses", "web-1", "192.0.2.7", "192.0.2.7", "present", "not known"],
            ["addresses", "web-1", "192.0.2.8", "192.0.2.8", "present", "flytrail saw it come"],
            ["apps", "web-1", "web-1", "web-1", "present", "not known"],
            ["certificates", "web-1", "www.example.com", "www.example.com", "active", "Fly says so"],
            ["secrets", "web-1", "TOKEN", "TOKEN", "present", "Fly says so"],
            ["volumes", "web-1", "data", volume, "created", "Fly says so"]])
        self.assertEqual(self.see("since IS NULL, seen_at > now() - interval '1 minute'", "id = '192.0.2.7'"),
                         [["t", "t"]])
        self.assertEqual(self.see("round(extract(epoch FROM now() - since) / 86400)", "kind = 'volumes'"), [["3"]])
        self.assertEqual(self.see("details -> 'certificate' -> 'fly/ecdsa' ->> 'issuer'", "kind = 'certificates'"),
                         [["Let's Encrypt"]])

    def test_what_is_missing_is_marked_and_what_is_gone_is_not_there(self):
        self.api.ips_allocate("web-1", "192.0.2.7")
        self.begin(FLYTRAIL_WATCH_FULL_SECONDS="8")
        self.assertEqual(self.see("state", "kind = 'addresses'"), [["present"]])
        self.api.ips_release("web-1", "192.0.2.7")
        lab.wait_for(lambda: self.see("state", "kind = 'addresses'") == [["missing"]], 30, "it is missing")
        lab.wait_for(lambda: self.see("state", "kind = 'addresses'") == [], 30, "it is gone")

    def test_what_an_application_had_goes_with_it(self):
        self.api.add_app("web-2")
        self.api.secrets_set("web-2", TOKEN="x")
        self.begin()
        lab.wait_for(lambda: self.see("name", "app = 'web-2' AND kind = 'secrets'"), 30, "the secret")
        self.api.remove_app("web-2")
        lab.wait_for(lambda: not self.see("name", "app = 'web-2'"), 30, "that it goes")
        self.assertEqual(self.world.pg.psql("SELECT count(*) FROM flytrail.watched WHERE app = 'web-2'"), [["0"]])


class LongNames(Lists):
    def test_a_name_however_long_costs_no_fact(self):
        self.begin()
        names = ["x" * 70000, *("p" * pad + "é" * 400 for pad in range(4))]
        for name in names:
            self.api.volume_create("web-1", name=name)
        lab.wait_for(lambda: len(self.facts()) >= len(names), 60, "a fact for each")
        self.assertEqual(self.facts("action, attributes ? 'fields'"),
                         [["volume.created", answer] for answer in "tffff"])


if __name__ == "__main__":
    unittest.main()
