"""The view inventory, on snapshots and facts written by hand."""

import datetime
import json
import unittest

from test_coverage import T0, Coverage, when


class Inventory(Coverage):
    def inventory(self):
        return self.pg.psql("SELECT kind, name, round(extract(epoch FROM since)), since_basis FROM flytrail.inventory "
                            "ORDER BY kind, id", "flytrail_reader")

    def test_the_inventory_knows_since_when_of_what_has_an_id_of_its_own(self):
        t0 = int(T0.timestamp())
        self.watch("peers", "", 0, 100, content='{"p1": {"name": "laptop"}, "p2": {"name": "laptop"}}')
        self.watch("delegated_tokens", "", 0, 100, content='{"d1": {"name": "ci"}}')
        self.watch("tokens", "", 0, 100, content='{"d1": {"name": "ci"}}')
        self.watch("members", "", 0, 100, content='{"u1": {"email": "mara@example.com"}, "u2": {"name": "x"}}')
        self.watch("invitations", "", 0, 100, content='{"i1": {"email": "ola@example.com"}}')
        for second, action, target_type, target, key in (
                (10, "peer_added", "peer", "laptop", "p1"), (20, "peer_added", "peer", "laptop", "p3"),
                (30, "token_created", "wireguard_token", "ci", "d1"),
                (40, "member_added", "member", "mara@example.com", None),
                (50, "invitation_made", "invitation", "ola@example.com", "i1")):
            self.tell([(0, f"access.{action}", {"after": {}})], base=f"'{when(second)}'::timestamptz", app=None,
                      target_type=target_type, target=target, correlation_id=key, source="watch", trust="api")
        come, unknown = "flytrail saw it come", "not known"
        self.assertEqual(self.inventory(), [
            ["delegated_tokens", "ci", str(t0 + 30), come], ["invitations", "ola@example.com", str(t0 + 50), come],
            ["members", "mara@example.com", str(t0 + 40), come], ["members", "x", None, unknown],
            ["peers", "laptop", str(t0 + 10), come], ["peers", "laptop", None, unknown],
            ["tokens", "ci", None, unknown]])

    def test_the_inventory_says_how_well_it_knows_since_when(self):
        t0 = int(T0.timestamp())
        self.watch("apps", "", 0, 100, content='{"web-1": {}}')
        self.watch("members", "", 0, 100, content='{"u1": {"email": "mara@example.com"}}')
        self.watch("certificates", "web-1", 0, 100, content='{"example.com": {}, "www.example.com": {}}')
        self.tell([(0, "access.member_added", {"after": {}})], base=f"'{when(40)}'::timestamptz", app=None, source="watch", trust="api",
                  target_type="member", target="mara@example.com", time_basis="interval", not_after=when(70))
        cert = {"app": "web-1", "target_type": "hostname", "source": "watch", "trust": "api"}
        self.tell([(0, "cert.added", {"after": {}})], base=f"'{when(10)}'::timestamptz", target="example.com", **cert)
        for name in ("example.com", "www.example.com"):
            self.tell([(0, "cert.issued", {"after": {}})], base=f"'{when(50)}'::timestamptz", target=name, **cert)
        self.assertEqual(
            self.pg.psql("SELECT name, round(extract(epoch FROM since)), round(extract(epoch FROM not_after)), since_basis "
                         "FROM flytrail.inventory WHERE kind <> 'apps' ORDER BY 1", "flytrail_reader"),
            [["example.com", str(t0 + 10), None, "flytrail saw it come"],
             ["mara@example.com", str(t0 + 40), str(t0 + 70), "flytrail saw it come"],
             ["www.example.com", None, None, "not known"]])

    def test_the_inventory_has_the_ssh_certificates_that_are_good(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        soon, over = ((now + datetime.timedelta(hours=hours)).isoformat() for hours in (1, -1))
        self.watch("ssh_certificates", "", 0, 100, content=json.dumps({
            "c1": {"key_id": "mara@example.com", "lifetime": "session", "valid_after": when(0), "valid_before": soon},
            "c2": {"key_id": "ola@example.com", "lifetime": "session", "valid_after": when(0), "valid_before": over},
            "c3": {"key_id": "robot", "lifetime": "for ever"}, "c4": {"root": "true"}}))
        self.assertEqual(self.inventory(), [
            ["ssh_certificates", "mara@example.com", str(int(T0.timestamp())), "Fly says so"],
            ["ssh_certificates", "robot", None, "not known"], ["ssh_certificates", "c4", None, "not known"]])

    def test_an_application_that_was_made_again_is_as_old_as_that(self):
        self.watch("apps", "", 0, 100, content='{"web-1": {"id": "2"}}')
        for second, action, was in ((10, "created", {}), (50, "replaced", {"before": {"id": "1"}})):
            self.tell([(0, f"deploy.app_{action}", {**was, "after": {}})], base=f"'{when(second)}'::timestamptz",
                      app="web-1", target_type="app", target="web-1", source="watch", trust="api")
        self.assertEqual(self.inventory(), [["apps", "web-1", str(int(T0.timestamp()) + 50), "flytrail saw it come"]])


if __name__ == "__main__":
    unittest.main()
