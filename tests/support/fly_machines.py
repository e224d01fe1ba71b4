"""The stand-in's machines: what flyctl, the proxy and Fly do to them, and what the Machines API says.

    machine = api.machine_run("web-1", env={"LOG_LEVEL": "info"})
    api.machine_update(machine, guest={"memory_mb": 512})        # without a release
    api.machine_crash(machine, exit_code=3, restart_count=2)
    api.error_regions = ["gru"]                                  # the organisation's list lacks these
    api.machine_page, api.empty_pages = 2, 1                     # short pages, and empty ones between

Times are those of the calls. See fly_secrets.py for what a family is.
"""

import copy
import re
import time

from fly_time import time_ns, time_text

APP = r"(?P<app>[a-z0-9-]+)"
MACHINE = rf"/v1/apps/{APP}/machines/(?P<machine>[0-9a-f]+)"
LIST_MAX, EVENTS_DEFAULT, EVENTS_MAX = 1000, 20, 50
EMBEDDED_EVENTS = 5
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(ms, number):
    """As Fly makes ids of events and versions: in the order of time."""
    text = ""
    for _ in range(16):
        text = CROCKFORD[number % 32] + text
        number //= 32
    for _ in range(10):
        text = CROCKFORD[ms % 32] + text
        ms //= 32
    return text


class Machines:
    ROUTES = ((r"/v1/orgs/(?P<org>[a-z0-9-]+)/machines", "machines",
               ("include_deleted", "region", "state", "summary", "updated_after", "cursor", "limit"),
               "answer_machines"),
              (MACHINE, "machine", (), "answer_machine"),
              (rf"{MACHINE}/events", "machine_events", ("limit",), "answer_machine_events"))

    def begin(self):
        self.machines = {}
        self.machine_number = 0
        self.machine_ms = 0
        self.machine_page = LIST_MAX
        self.empty_pages = 0
        self.error_regions = []

    # ---- what Fly answers ----

    def answer_machines(self, query, _request, org):
        limit = query.get("limit", str(LIST_MAX))
        deleted = query.get("include_deleted", "false")
        cursor = query.get("cursor", "") or "0"
        if org != self.org:
            return 404, {"error": "no"}
        if not re.fullmatch(r"[1-9]\d{0,3}", limit) or int(limit) > LIST_MAX or \
                deleted not in ("true", "false") or not re.fullmatch(r"\d{1,6}", cursor):
            return 400, {"error": "no"}
        since_ns = time_ns(query["updated_after"]) if query.get("updated_after") else 0
        with self.lock:
            found = [machine for machine in self.machines.values()
                     if machine["app"] in self.keys
                     and (deleted == "true" or machine["state"] != "destroyed")
                     and machine["region"] not in self.error_regions
                     and time_ns(machine["updated_at"]) > since_ns]
            found.sort(key=lambda machine: time_ns(machine["updated_at"]))
            return 200, self.machines_page(found, int(cursor), min(int(limit), self.machine_page))

    def machines_page(self, found, page, size):
        """Each full page has so many empty ones before it."""
        whole, part = divmod(page, self.empty_pages + 1)
        last = (len(found) + size - 1) // size * (self.empty_pages + 1) - 1
        shown = found[whole * size:(whole + 1) * size] if part == self.empty_pages else []
        return {"machines": [self.overview(machine) for machine in shown],
                "next_cursor": str(page + 1) if page < last else "",
                "last_machine_id": shown[-1]["id"] if shown else "",
                "last_updated_at": shown[-1]["updated_at"] if shown else "",
                "error_regions": self.error_regions}

    @staticmethod
    def overview(machine):
        known = {key: machine[key] for key in ("id", "name", "state", "region", "private_ip",
                                               "created_at", "updated_at")}
        config = {key: machine["config"].get(key) for key in ("image", "guest", "metadata")}
        if machine["host_status"] == "ok":
            known["config"] = config
        return {**known, "app_name": machine["app"], "version": machine["instance_id"]}

    def answer_machine(self, _query, _request, app, machine):
        with self.lock:
            found = self.machines.get(machine)
            if found is None or found["app"] != app or app not in self.keys:
                return 404, {"error": "no"}
            answer = copy.deepcopy({key: value for key, value in found.items() if key != "app"})
            answer["events"] = answer["events"][:EMBEDDED_EVENTS]
            if found["host_status"] != "ok":
                answer["incomplete_config"] = {"image": answer.pop("config")["image"]}
            return 200, answer

    def answer_machine_events(self, query, _request, app, machine):
        limit = query.get("limit", str(EVENTS_DEFAULT))
        if not re.fullmatch(r"[1-9]\d?", limit) or int(limit) > EVENTS_MAX:
            return 400, {"error": "no"}
        with self.lock:
            found = self.machines.get(machine)
            if found is None or found["app"] != app or app not in self.keys:
                return 404, {"error": "no"}
            return 200, copy.deepcopy(found["events"][:int(limit)])

    # ---- what happens to machines ----

    def next_ms(self):
        """A millisecond that nothing else has, so that all has an order."""
        self.machine_ms = max(self.machine_ms + 1, time.time_ns() // 10**6)
        return self.machine_ms

    def happen(self, machine, kind, status, source, request=None):
        ms = self.next_ms()
        self.machine_number += 1
        event = {"id": ulid(ms, self.machine_number), "type": kind, "status": status, "source": source,
                 "timestamp": ms}
        if request is not None:
            event["request"] = request
        machine["events"].insert(0, event)
        machine["updated_at"] = time_text(ms * 10**6)
        return event

    def end(self, machine, nested=False, restart_count=0, **exit_event):
        """Go leaves out what is 0 or false; in one of its two forms Fly tells all the same."""
        machine["state"] = "stopped"
        at = time.time_ns()
        if nested:
            event = {"guest_signal": -1, "signal": -1, "exited_at": time_text(at), **exit_event}
            return self.happen(machine, "exit", "stopped", "flyd", {"MonitorEvent": {"exit_event": event}})
        event = {"exit_code": 0, "guest_exit_code": 0, "guest_signal": -1, "signal": -1,
                 "oom_killed": False, "requested_stop": False, "restarting": False,
                 "exited_at": at // 10**6, **exit_event}
        return self.happen(machine, "exit", "stopped", "flyd",
                           {"exit_event": event, "restart_count": restart_count})

    def come_up(self, machine, source="flyd"):
        machine["state"] = "started"
        self.happen(machine, "start", "started", source)

    def new_version(self, machine):
        self.machine_number += 1
        machine["instance_id"] = ulid(time.time_ns() // 10**6, self.machine_number)

    # ---- what flyctl does ----

    def machine_run(self, app, region="ams", release="1", group="app", env=None, machine_id=None, **config):
        """machine_id: of one that lines tell of, too."""
        self.add_app(app)
        with self.lock:
            self.machine_number += 1
            now = time_text(self.next_ms() * 10**6)
            metadata = {"fly_platform_version": "v2", "fly_process_group": group}
            if release is not None:
                metadata |= {"fly_release_version": release, "fly_release_id": f"release-{release}"}
            machine_id = machine_id or f"{0x2865501c300000 + self.machine_number:014x}"
            machine = {"id": machine_id, "app": app,
                       "name": f"example-{self.machine_number}", "region": region,
                       "private_ip": f"fdaa:0:1::{self.machine_number:x}", "created_at": now,
                       "updated_at": now, "host_status": "ok", "events": [],
                       "image_ref": {"registry": "registry.example.com", "repository": app, "tag": "one",
                                     "digest": f"sha256:{1:064x}"},
                       "config": {"image": f"registry.example.com/{app}:one", "env": env or {},
                                  "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
                                  "metadata": metadata, **config}}
            self.new_version(machine)
            self.machines[machine["id"]] = machine
            self.happen(machine, "launch", "created", "user")
            self.come_up(machine)
        return machine["id"]

    def console(self, app):
        """`fly console`."""
        return self.machine_run(app, group="fly_app_console", auto_destroy=True)

    def replace(self, machine, config, stopped=False):
        self.new_version(machine)
        for key, value in config.items():
            old = machine["config"].get(key)
            machine["config"][key] = {**old, **value} if isinstance(old, dict) else value
        self.happen(machine, "update", "replacing", "user")
        if not stopped:
            self.end(machine, nested=True, requested_stop=True)
            self.come_up(machine)

    def machine_update(self, machine, **config):
        """`fly machine update`: no release is made."""
        with self.lock:
            self.replace(self.machines[machine], config)

    def machines_deploy(self, app, release, image="two"):
        """What `fly deploy` does to the machines."""
        with self.lock:
            for machine in self.machines.values():
                if machine["app"] == app and machine["state"] != "destroyed":
                    self.replace(machine, {
                        "image": f"registry.example.com/{app}:{image}",
                        "metadata": {"fly_release_version": release, "fly_release_id": f"release-{release}"}})

    def machine_restart(self, machine):
        with self.lock:
            machine = self.machines[machine]
            self.happen(machine, "restart", "stopping", "user")
            self.end(machine, nested=True, requested_stop=True)
            self.happen(machine, "restart", "starting", "flyd")
            self.come_up(machine)

    def machine_stop(self, machine, source="user"):
        """`fly machine stop`, or the proxy's autostop."""
        with self.lock:
            machine = self.machines[machine]
            self.happen(machine, "stop", "stopping", source)
            self.end(machine, requested_stop=True)

    def machine_start(self, machine, source="user"):
        with self.lock:
            self.come_up(self.machines[machine], source)

    def machine_destroy(self, machine, source="user"):
        with self.lock:
            machine = self.machines[machine]
            if machine["state"] == "started":
                self.end(machine, requested_stop=True)
            self.happen(machine, "destroy", "destroyed", source)
            machine["state"] = "destroyed"

    # ---- what happens by itself ----

    def machine_crash(self, machine, restarts=True, restart_count=0, **exit_event):
        """Its main process ends; its policy starts it again."""
        with self.lock:
            machine = self.machines[machine]
            self.end(machine, restart_count=restart_count, restarting=restarts,
                     **{"exit_code": 1, "guest_exit_code": 1, **exit_event})
            if restarts:
                self.come_up(machine)

    def machine_oom(self, machine):
        self.machine_crash(machine, exit_code=137, guest_exit_code=0, guest_signal=9, oom_killed=True)

    def machine_migrate(self, machine):
        """Fly moves it to another host."""
        with self.lock:
            machine = self.machines[machine]
            self.end(machine, requested_stop=True)
            self.happen(machine, "launch", "created", "flyd")
            self.come_up(machine)

    def machine_host(self, machine, status):
        """Whether its host can be reached: ok, unknown or unreachable."""
        with self.lock:
            self.machines[machine]["host_status"] = status

    def machine_vanish(self, machine):
        """Fly does not know it any more."""
        with self.lock:
            self.machines.pop(machine)
