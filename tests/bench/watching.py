"""What watching Fly's control plane costs, and how soon it notices, for `make bench`.

Against the stand-in with so many applications, each with secrets, and with what else the
stand-in's families make of an application (their fill(app, machines), where they have one).
"""

import collections
import os
import random
import statistics
import sys
import time

from measure import HERE

sys.path.insert(0, os.path.join(HERE, "..", "support"))
import fly_api  # noqa: E402

SECRETS = 5  # of an application
LOOK_SECONDS = 0.5
Watching = collections.namedtuple("Watching", "requests apps changes staged deployed seconds")
Latency = collections.namedtuple("Latency", "p50 p95 max")


def populate(api, apps, machines):
    for n in range(apps):
        app = f"app-{n:03}"
        api.add_app(app)
        api.secrets_set(app, **{f"SECRET_{s}": "x" for s in range(SECRETS)})
        for family in fly_api.FAMILIES:
            fill = getattr(family, "fill", None)
            if fill:
                fill(api, app, machines // apps)


def await_all(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"bench: waited {seconds} s in vain for {what}")
        time.sleep(LOOK_SECONDS)


def make_changes(api, apps, count, seconds):
    """When each secret was set, by its name; every other one is deployed, where that is known."""
    deploy = getattr(api, "secrets_deploy", None)
    at = {"staged": {}, "deployed": {}}
    for n in range(count):
        app = f"app-{random.randrange(apps):03}"
        kind = "deployed" if deploy and n % 2 else "staged"
        at[kind][f"NEW_{n}"] = time.time()
        api.secrets_set(app, **{f"NEW_{n}": "x"})
        if kind == "deployed":
            deploy(app)
        time.sleep(seconds / count)
    return at


def latency(stored, changed):
    """In seconds; None: there was no such change."""
    seconds = sorted(stored[name] - at for name, at in changed.items())
    if not seconds:
        return None
    return Latency(statistics.median(seconds), seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))], seconds[-1])


def watch(bench, apps, machines, changes, full_seconds):
    """Changes at random over a full interval; each must be there at the end, once."""
    bench.empty_trail()
    user, password = bench.nats.ORG
    with fly_api.FlyApi(token=password, org=user) as api:
        populate(api, apps, machines)
        env = {**bench.environment(), "FLYTRAIL_API_URL": api.url, "FLYTRAIL_MACHINES_URL": api.url,
               "FLYTRAIL_WATCH_FULL_SECONDS": str(full_seconds), "FLYTRAIL_RECONCILE_PAGES_PER_HOUR": "0",
               "FLYTRAIL_HMAC_KEY": "an-example-of-a-key-of-ones-own"}

        def stored():
            rows = bench.postgres.psql("select target, extract(epoch from min(stored_at)), count(*) from flytrail.events "
                                       "where class = 'secret_change' and target like 'NEW%' group by target")
            if any(count != "1" for _, _, count in rows):
                raise SystemExit("bench: a change was told twice")
            return {name: float(at) for name, at, _ in rows}

        with bench.flytrail(env):
            await_all(lambda: int(bench.postgres.psql(
                "select count(*) from flytrail.snapshots where resource = 'secrets'")[0][0]) == apps,
                2 * full_seconds + apps, "the first snapshots")
            asked, begun = len(api.paths()), time.monotonic()
            changed = make_changes(api, apps, changes, full_seconds)
            await_all(lambda: len(stored()) == changes, 2 * full_seconds + apps, "every change")
            seconds = time.monotonic() - begun
            requests = len([path for path in api.paths()[asked:] if "/logs" not in path])
        found = stored()
    return Watching(requests / seconds, apps, changes, latency(found, changed["staged"]),
                    latency(found, changed["deployed"]), seconds)
