"""What watching Fly's control plane costs, and how soon it notices, for `make bench`.

Against the stand-in, with so many applications and machines and what an organisation has besides.
There are changes over a full interval twice: while everything is still looked at for the first
time, as after each start, and when all was.
"""

import collections
import os
import random
import re
import statistics
import sys
import time

from measure import HERE, peak_rss_mib

sys.path.insert(0, os.path.join(HERE, "..", "support"))
import fly_api  # noqa: E402

SECRETS = 5  # of an application
MEMBERS, TOKENS, PEERS = 30, 50, 40
LOOK_SECONDS = 0.5
FIRST_PASS_SECONDS = 3600
PERSON = "mara.lind@example.com"
LISTS = ("secrets", "releases", "certificates", "addresses")  # of each application
# How many of the changes are releases: what most organisations do in a day.
RELEASE_EACH, DEPLOYED_AT = 16, 8
Watching = collections.namedtuple("Watching", "requests seconds staged deployed release rss")
Latency = collections.namedtuple("Latency", "count p50 p95 max")


def populate(api, apps, machines):
    for n in range(apps):
        app = f"app-{n:03}"
        api.add_app(app)
        api.secrets_set(app, **{f"SECRET_{s}": "x" for s in range(SECRETS)})
        api.deploy(app, f"registry.example.com/{app}:one", PERSON)
        for _ in range(machines // apps):
            api.machine_run(app)
        api.ips_allocate(app, f"2001:db8::{n + 1:x}")
        if n % 2:
            api.certs_add(app, f"{app}.example.com")
            api.certs_issued(app, f"{app}.example.com")
        else:
            api.snapshot_make(api.volume_create(app))
    for n in range(MEMBERS):
        api.member_add(f"member-{n}@example.com")
    for n in range(TOKENS):
        api.token_create(f"token-{n}", by=PERSON)
    for n in range(PEERS):
        api.peer_add(f"member-{n}@example.com")


def await_all(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"bench: waited {seconds} s in vain for {what}")
        time.sleep(LOOK_SECONDS)


def release(api, app, image):
    """As `fly deploy`: the machines get it one after another, and then it is complete."""
    version = api.begin_release(app, image, PERSON)
    api.machines_deploy(app, str(version))
    api.end_release(app, version)


def make_changes(api, apps, count, seconds, name):
    """When each was made, by its kind and name. No application has two, and their order is no look's."""
    order = random.Random(name).sample(range(apps), count)
    at = {"staged": {}, "deployed": {}, "release": {}}
    for n in range(count):
        app = f"app-{order[n]:03}"
        kind = {0: "release", DEPLOYED_AT: "deployed"}.get(n % RELEASE_EACH, "staged")
        at[kind][f"{name}_{n}"] = time.time()
        if kind == "release":
            release(api, app, f"registry.example.com/{app}:{name}_{n}")
        else:
            api.secrets_set(app, **{f"{name}_{n}": "x"})
            if kind == "deployed":
                release(api, app, api.image_of(app))
        time.sleep(seconds / count)
    return at


def latency(stored, changed):
    """In seconds."""
    seconds = sorted(stored[name] - at for name, at in changed.items())
    return Latency(len(seconds), statistics.median(seconds), seconds[int(len(seconds) * 0.95)], seconds[-1])


class Watch:
    def __init__(self, bench, api, process, apps):
        self.bench, self.api, self.process, self.apps = bench, api, process, apps

    def have_snapshots(self, *resources, count):
        rows = self.bench.postgres.psql("select resource, count(*) from flytrail.snapshots group by 1")
        counts = {resource: int(there) for resource, there in rows}
        return all(counts.get(resource, 0) >= count for resource in resources)

    def stored(self, name):
        rows = self.bench.postgres.psql(f"""
            select coalesce(substring(attributes::text from '{name}_[0-9]+'), target), count(*),
                extract(epoch from min(stored_at))
            from flytrail.events
            where action in ('secret_change.set', 'deploy.release_started')
                and (target like '{name}_%' or attributes::text like '%:{name}_%')
            group by 1""")
        if any(count != "1" for _, count, _ in rows):
            raise SystemExit("bench: a change was told twice")
        return {told: float(at) for told, _, at in rows}

    def asked(self):
        return [request.at for request in self.api.requests
                if re.match(r"/v1/|/graphql|/api/v1/releases|/api/v1/apps/[^/]+/releases", request.target)]

    def changes(self, name, count, seconds):
        """Each must be there at the end, once."""
        begun = time.time()
        changed = make_changes(self.api, self.apps, count, seconds, name)
        ended = time.time()
        await_all(lambda: len(self.stored(name)) == count, FIRST_PASS_SECONDS, "every change")
        found = self.stored(name)
        asked = sum(begun <= moment < ended for moment in self.asked())
        return Watching(asked / (ended - begun), ended - begun,
                        *(latency(found, changed[kind]) for kind in ("staged", "deployed", "release")),
                        peak_rss_mib(self.process.pid))


def watch(bench, apps, machines, changes, full_seconds, note):
    """Both times, and that of a quiet interval: requests/s."""
    bench.empty_trail()
    user, password = bench.nats.ORG
    with fly_api.FlyApi(token=password, org=user) as api:
        populate(api, apps, machines)
        env = {**bench.environment(), "FLYTRAIL_API_URL": api.url, "FLYTRAIL_MACHINES_URL": api.url,
               "FLYTRAIL_WATCH_FULL_SECONDS": str(full_seconds), "FLYTRAIL_RECONCILE_PAGES_PER_HOUR": "0",
               "FLYTRAIL_HMAC_KEY": "an-example-of-a-key-of-ones-own"}
        with bench.flytrail(env) as process:
            w = Watch(bench, api, process, apps)
            begun = time.monotonic()
            await_all(lambda: w.have_snapshots(*LISTS, count=apps), FIRST_PASS_SECONDS, "the first lists")
            note(f"the first look at every list: {time.monotonic() - begun:.0f} s")
            first = w.changes("EARLY", changes, full_seconds)
            note(f"changes in the first pass: {first}")
            await_all(lambda: w.have_snapshots("machine_config", "machine_events", count=apps * (machines // apps)),
                      FIRST_PASS_SECONDS, "the first look at every machine")
            note(f"the first look at everything: {time.monotonic() - begun:.0f} s, {len(w.asked())} requests")
            at = time.time()
            time.sleep(full_seconds)
            quiet = sum(moment >= at for moment in w.asked()) / full_seconds
            note(f"nothing changes: {quiet:.2f} requests/s")
            steady = w.changes("LATER", changes, full_seconds)
            note(f"changes after the first pass: {steady}")
    return first, quiet, steady
