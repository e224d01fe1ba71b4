"""The stand-in's volumes, snapshots, certificates and addresses, and what flyctl does to them.

See fly_secrets.py for what a family is. Times that a test needs in the past or ahead are given as
seconds from now; list_page is how many volumes or certificates a page has at most.

    api.volume_doubts = ["region", "", "unread"]   # the next looks at all volumes; the last is for the rest, too

A look is "" (whole), "empty" (whole, after an empty page with a cursor), "half" (that page, and the next
is an error), "region" (a region did not answer) or "unread" (a volume stands there without its id).
"""

import ipaddress
import time

from fly_secrets import APP
from fly_time import time_text

DAY = 24 * 3600
LIMITS = {"volumes": (1000, 1000), "certificates": (500, 25)}  # the greatest, and without a word


def moment(seconds=0.0):
    return time_text(time.time_ns() + int(seconds * 10**9))


class Lists:
    ROUTES = (
        (r"/v1/orgs/(?P<org>[a-z0-9-]+)/volumes", "volumes",
         ("include_deleted", "region", "state", "summary", "updated_after", "cursor", "limit"), "answer_volumes"),
        (rf"/v1/apps/{APP}/volumes/(?P<volume>vol_[a-z0-9]+)", "volume", (), "answer_volume"),
        (rf"/v1/apps/{APP}/volumes/(?P<volume>vol_[a-z0-9]+)/snapshots", "volume_snapshots", (),
         "answer_snapshots"),
        (rf"/v1/apps/{APP}/certificates", "certificates", ("filter", "cursor", "limit"), "answer_certificates"),
        (rf"/v1/apps/{APP}/certificates/(?P<hostname>[A-Za-z0-9.%*-]+)", "certificate", (), "answer_certificate"),
        (rf"/v1/apps/{APP}/ip_assignments", "addresses", (), "answer_addresses"),
    )

    def begin(self):
        self.volumes = {}       # by id
        self.snapshots = {}     # by volume: by id
        self.certificates = {}  # by application: by host name: the detail
        self.addresses = {}     # by application: by address
        self.error_regions = []
        self.volume_doubts = []
        self.volume_doubt = ""  # of the look that is under way
        self.list_page = 1000
        self.list_number = 0

    # ---- answers ----

    def page_of_list(self, kind, query, items):
        """The items of a page, and the cursor of the next; None: Fly would refuse it."""
        greatest, usual = LIMITS[kind]
        limit = query.get("limit", str(usual))
        cursor = query.get("cursor") or "after-0"
        if not limit.isdigit() or not 1 <= int(limit) <= greatest or not cursor.startswith("after-"):
            return None
        start = int(cursor.removeprefix("after-"))
        end = start + min(int(limit), self.list_page)
        return items[start:end], f"after-{end}" if end < len(items) else ""

    def answer_volumes(self, query, _request, org):
        if org != self.org:
            return 404, {"error": "no"}
        with self.lock:
            page = self.page_of_list("volumes", query, sorted(self.volumes.values(), key=lambda v: v["id"]))
            if page is None:
                return 400, {"error": "no"}
            begins = not query.get("cursor")
            if begins:
                self.volume_doubt = self.next_doubt()
            if begins and self.volume_doubt in ("empty", "half"):
                return 200, {"volumes": [], "next_cursor": "after-0"}
            if self.volume_doubt == "half":
                return 500, {"error": "no"}
            answer = {"volumes": page[0], "last_updated_at": moment(),
                      **({"next_cursor": page[1]} if page[1] else {})}
            if self.volume_doubt == "unread":
                answer["volumes"] = [*page[0], {"name": "data", "app_name": "web-1", "host_status": "unknown"}]
            if self.volume_doubt == "region":
                answer["error_regions"] = ["gru"]
            if self.error_regions:
                answer["error_regions"] = list(self.error_regions)
                answer["volumes"] = [v for v in page[0] if v["region"] not in self.error_regions]
            return 200, answer

    def next_doubt(self):
        if not self.volume_doubts:
            return ""
        first, *rest = self.volume_doubts
        if rest:
            self.volume_doubts = rest
        return first

    def answer_volume(self, _query, _request, app, volume):
        with self.lock:
            found = self.volumes.get(volume)
            if found is None or found["app_name"] != app:
                return 404, {"error": "no"}
            return 200, {name: value for name, value in found.items() if name != "app_name"}

    def answer_snapshots(self, _query, _request, app, volume):
        with self.lock:
            found = self.volumes.get(volume)
            if found is None or found["app_name"] != app:
                return 404, {"error": "no"}
            return 200, list(self.snapshots.get(volume, {}).values())

    def answer_certificates(self, query, _request, app):
        with self.lock:
            if app not in self.keys:
                return 404, {"error": "no"}
            details = [detail for _, detail in sorted(self.certificates.get(app, {}).items())]
            page = self.page_of_list("certificates", query, details)
            if page is None:
                return 400, {"error": "no"}
            summaries = [{
                "hostname": detail["hostname"], "status": detail["status"], "configured": detail["configured"],
                "acme_requested": detail["acme_requested"], "dns_provider": detail["dns_provider"],
                "has_fly_certificate": any(e["source"] == "fly" for e in detail["certificates"]),
                "has_custom_certificate": any(e["source"] == "custom" for e in detail["certificates"]),
                "created_at": detail["created_at"], "updated_at": moment(),
            } for detail in page[0]]
            return 200, {"certificates": summaries, "total_count": len(details), "next_cursor": page[1]}

    def answer_certificate(self, _query, _request, app, hostname):
        hostname = hostname.replace("%2A", "*")
        with self.lock:
            detail = self.certificates.get(app, {}).get(hostname)
            if app not in self.keys or detail is None:
                return 404, {"error": "no"}
            return 200, {name: value for name, value in detail.items() if name != "created_at"}

    def answer_addresses(self, _query, _request, app):
        with self.lock:
            if app not in self.keys:
                return 404, {"error": "no"}
            return 200, {"ips": list(self.addresses.get(app, {}).values())}

    # ---- fly volumes ----

    def next_number(self):
        self.list_number += 1
        return self.list_number

    def volume_create(self, app, name="data", region="ams", size_gb=1, encrypted=True, created=0.0, **more):
        """As `fly volumes create`; returns its id."""
        with self.lock:
            volume = f"vol_{self.next_number():016x}"
            self.volumes[volume] = {
                "id": volume, "name": name, "app_name": app, "state": "created", "region": region, "zone": "0ad1",
                "size_gb": size_gb, "encrypted": encrypted, "attached_machine_id": None, "attached_alloc_id": None,
                "created_at": moment(created), "updated_at": moment(created), "blocks": 257160, "block_size": 4096,
                "blocks_free": 249830, "blocks_avail": 249830, "bytes_used": 30023680, "bytes_total": 1053327360,
                "fstype": "ext4", "snapshot_retention": 5, "auto_backup_enabled": True, "host_status": "ok",
                "type": "local", **more}
            self.snapshots[volume] = {}
        return volume

    def volume_change(self, volume, **fields):
        """As `fly volumes extend` and `update`, or a machine that takes it or is destroyed."""
        with self.lock:
            self.volumes[volume].update(fields, updated_at=moment())

    def volume_destroy(self, volume):
        """It is listed for a while yet, in a state that says so."""
        self.volume_change(volume, state="pending_destroy", attached_machine_id=None)

    def volume_purge(self, volume):
        with self.lock:
            del self.volumes[volume]

    def snapshot_make(self, volume, status="created", made=0.0):
        """As Fly does each day, or `fly volumes snapshots create`; returns its id."""
        with self.lock:
            snapshot = f"vs_{self.next_number():016x}"
            self.snapshots[volume][snapshot] = {
                "id": snapshot, "status": status, "created_at": moment(made), "size": 30023680,
                "volume_size": 1053327360, "digest": "not-to-be-kept", "retention_days": 5}
        return snapshot

    # ---- fly certs ----

    def certs_add(self, app, hostname):
        """As `fly certs add`: nothing is issued yet."""
        with self.lock:
            self.certificates.setdefault(app, {})[hostname] = {
                "hostname": hostname, "status": "pending_validation", "configured": False, "acme_requested": True,
                "dns_provider": "example", "dns_requirements": {}, "validation": {}, "validation_errors": [],
                "certificates": [{"source": "fly", "status": "pending_validation", "issued": []}],
                "created_at": moment()}

    def certs_issued(self, app, hostname, days=90.0, types=("ecdsa", "rsa")):
        """Fly issues it, or renews it."""
        with self.lock:
            detail = self.certificates[app][hostname]
            detail.update(status="active", configured=True, validation_errors=[], certificates=[
                *(entry for entry in detail["certificates"] if entry["source"] != "fly"),
                {"source": "fly", "status": "active", "issuer": "Let's Encrypt", "created_at": moment(),
                 "expires_at": moment(days * DAY),
                 "issued": [{"type": kind, "expires_at": moment(days * DAY),
                             "certificate_authority": "lets_encrypt"} for kind in types]}])

    def certs_import(self, app, hostname, days=365.0):
        """As `fly certs import`: one's own."""
        with self.lock:
            self.certificates[app][hostname]["certificates"].append(
                {"source": "custom", "status": "active", "issuer": "CN=Example CA", "created_at": moment(),
                 "expires_at": moment(days * DAY)})

    def certs_fail(self, app, hostname, *codes):
        with self.lock:
            self.certificates[app][hostname]["validation_errors"] = [
                {"code": code, "message": "not to be kept", "remediation": "", "timestamp": moment()}
                for code in codes]

    def certs_remove(self, app, hostname):
        with self.lock:
            del self.certificates[app][hostname]

    # ---- fly ips ----

    def ips_allocate(self, app, address, **more):
        """As `fly ips allocate-v4`, `allocate-v6` and, of fdaa::/16, `--private`."""
        version = ipaddress.ip_address(address).version
        with self.lock:
            self.addresses.setdefault(app, {})[address] = {
                "ip": address, "region": "global", "service_name": "", "shared": False,
                "created_at": moment(), **({"network": None} if version == 6 else {}), **more}

    def ips_release(self, app, address):
        with self.lock:
            del self.addresses[app][address]
