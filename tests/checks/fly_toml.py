#!/usr/bin/env python3
"""fly.toml keeps the posture that it has: each rule below is tried on a file that breaks it, too."""

import copy
import os
import re
import sys
import tomllib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import tap

OPTION = re.compile(r'^OPTION\(\w+, (\w+), \w+, "([^"]*)",([^"]*)', re.MULTILINE)
LISTEN = re.compile(r"\[::\]:(\d+)")  # any other address is of one family alone
PLACEHOLDER = re.compile(r"[A-Z-]+")  # which Fly refuses as a name
# By which flytrail tells secrets apart, and flyctl when it warns of a variable's name.
SECRET = re.compile(r"KEY|PRIVATE|PASSWORD|SECRET|TOKEN|DATABASE_URL|WEBHOOK", re.IGNORECASE)
CREDENTIALS = re.compile(r"://[^/]*:[^/]*@")
FLY_STOPS_SECONDS_MAX = 300
SNAPSHOT_DAYS = range(6, 61)  # more than Fly's default, and no more than it keeps
GUEST = ("cpu_kind", "cpus", "memory")


def options():
    """(default, is it secret) of each, by name."""
    return {name: (default, "CONFIG_SECRET" in flags)
            for name, default, flags in OPTION.findall(tap.read("include/base/config.def"))}


def reached_from_outside(config, _known):
    for name in ("services", "http_service"):
        if name in config:
            yield f"{name}: that is what Fly's proxy, and with a public address the internet, could reach"


def value_of(config, known, name):
    return str(config.get("env", {}).get(name, known[name][0]))


def listening(config, known):
    address = value_of(config, known, "FLYTRAIL_LISTEN")
    found = LISTEN.fullmatch(address)
    if not found:
        yield f"FLYTRAIL_LISTEN is {address}: Fly's check and its Prometheus need [::], which has both families"
        return
    for what, part, path in (("checks.ready", config.get("checks", {}).get("ready", {}), "/ready"),
                             ("metrics", config.get("metrics", {}), "/metrics")):
        if (part.get("port"), part.get("path")) != (int(found[1]), path):
            yield f"{what} does not ask for {path} where flytrail listens"


def check(config, _known):
    ready = config.get("checks", {}).get("ready", {})
    if ready.get("type") != "http" or ready.get("method", "get").lower() != "get":
        yield "checks.ready is no GET by HTTP"
    for name in ("interval", "timeout", "grace_period"):
        if name not in ready:
            yield f"checks.ready has no {name}"


def volume(config, known):
    mounts = config.get("mounts", [])
    if not isinstance(mounts, list) or len(mounts) != 1:
        yield "there is not exactly one [[mounts]]"
        return
    mount = mounts[0]
    if mount.get("source") != "spool":
        yield "the volume is not called spool, as deploy/setup.sh and README make it"
    if not value_of(config, known, "FLYTRAIL_SPOOL_DIR").startswith(mount.get("destination", "/") + "/"):
        yield "the spool is not on the volume"
    if mount.get("snapshot_retention") not in SNAPSHOT_DAYS or mount.get("scheduled_snapshots") is not True:
        yield "snapshots of the volume are not made, or not kept for longer than Fly does by itself"
    if not re.fullmatch(r"\d+gb", str(mount.get("initial_size"))):
        yield "initial_size is not a number of gb"


def machine(config, _known):
    guests = config.get("vm", [])
    if not isinstance(guests, list) or len(guests) != 1 or any(name not in guests[0] for name in GUEST):
        yield f"[[vm]] does not say {', '.join(GUEST)}"
    policies = config.get("restart", [])
    if not isinstance(policies, list) or [policy.get("policy") for policy in policies] != ["always"]:
        yield "[[restart]] is not always: nothing else starts a machine that has no services"


def end(config, known):
    drain = int(value_of(config, known, "FLYTRAIL_DRAIN_SECONDS"))
    if config.get("kill_signal") != "SIGTERM":
        yield "kill_signal is not SIGTERM"
    if not drain < config.get("kill_timeout", 0) <= FLY_STOPS_SECONDS_MAX:
        yield f"kill_timeout is not between the {drain} s of the drain and Fly's {FLY_STOPS_SECONDS_MAX} s"


def environment(config, known):
    for name, value in config.get("env", {}).items():
        if name not in known:
            yield f"[env] has {name}, which is no option"
        elif known[name][1] or SECRET.search(name) or CREDENTIALS.search(str(value)):
            yield f"[env] has {name}, which is a secret's"


def deploying(config, _known):
    if not PLACEHOLDER.fullmatch(config.get("app", "")):
        yield "app is no placeholder: names are global, and somebody's is here"
    if config.get("build") != {"dockerfile": "deploy/Dockerfile"}:
        yield "it is not built by deploy/Dockerfile"
    if "release_command" in config.get("deploy", {}):
        yield "a release_command would need the administrator's URL among the app's secrets"


RULES = (reached_from_outside, listening, check, volume, machine, end, environment, deploying)


def without(*path):
    def lose(config):
        for name in path[:-1]:
            config = config[name]
        del config[path[-1]]

    return lose


def having(value, *path):
    def change(config):
        for name in path[:-1]:
            config = config.setdefault(name, {}) if isinstance(config, dict) else config[name]
        config[path[-1]] = value

    return change


# What each rule has to refuse.
BROKEN = {
    reached_from_outside: (having([{"internal_port": 8080}], "services"), having({"internal_port": 8080}, "http_service")),
    listening: (having("0.0.0.0:8080", "env", "FLYTRAIL_LISTEN"), having("[::]:9090", "env", "FLYTRAIL_LISTEN"),
                without("checks", "ready", "port"), having("/health", "checks", "ready", "path"),
                having("/", "metrics", "path"), without("metrics"), without("checks")),
    check: (having("tcp", "checks", "ready", "type"), having("post", "checks", "ready", "method"),
            without("checks", "ready", "grace_period"), without("checks", "ready", "timeout"), without("checks")),
    volume: (without("mounts"), having("data", "mounts", 0, "source"), having("/srv", "mounts", 0, "destination"),
             without("mounts", 0, "snapshot_retention"), having(5, "mounts", 0, "snapshot_retention"),
             having(False, "mounts", 0, "scheduled_snapshots"), without("mounts", 0, "initial_size"),
             having({"source": "spool", "destination": "/data"}, "mounts")),
    machine: (without("vm"), without("vm", 0, "memory"), without("vm", 0, "cpus"), without("vm", 0, "cpu_kind"),
              without("restart"), having("on-failure", "restart", 0, "policy"), having({"policy": "always"}, "restart")),
    end: (without("kill_signal"), having("SIGINT", "kill_signal"), without("kill_timeout"), having(20, "kill_timeout"),
          having(301, "kill_timeout"), having("60", "env", "FLYTRAIL_DRAIN_SECONDS")),
    environment: (having("FlyV1 made-up", "env", "ACCESS_TOKEN"), having("x", "env", "AWS_ACCESS_KEY_ID"),
                  having("postgres://a:b@c/d", "env", "FLYTRAIL_DATABASE_URL"), having("1", "env", "FLYTRAIL_LISTENS"),
                  having("nats://a:b@[fdaa::3]:4223", "env", "NATS_URL")),
    deploying: (having("flytrail", "app"), without("build"), without("app"), having("Dockerfile", "build", "dockerfile"),
                having("flytrail migrate", "deploy", "release_command")),
}


def not_refused(config, known, rule):
    for number, change in enumerate(BROKEN[rule]):
        broken = copy.deepcopy(config)
        change(broken)
        if not list(rule(broken, known)):
            yield f"{rule.__name__} takes what its change number {number} made"


def main():
    report = tap.Report()
    text = tap.read("fly.toml")
    config = tomllib.loads(text)
    known = options()
    for rule in RULES:
        report.case(f"fly.toml: {rule.__name__}", rule(config, known))
        report.case(f"fly.toml: {rule.__name__} refuses what breaks it", not_refused(config, known, rule))
    report.case("fly.toml says where alerts are", [] if "deploy/alerts.yml" in text else ["it does not"])
    report.end()


if __name__ == "__main__":
    main()
