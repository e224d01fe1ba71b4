"""Writes generated records of Fly's NATS shape, one JSON object a line.

usage: generate.py COUNT [SEED] > FILE

The mean is 377 bytes a line, as in Fly's own streams; 1 % are platform lines,
in the forms that runner, proxy, init, kernel, health checks and hallpass
print. Names are invented. Times run up to the moment of writing, in order, to
the nanosecond. The same seed gives the same lines but for their times.
"""

import json
import random
import sys
import time

APPS = [f"{word}-{n}" for word in ("web", "api", "worker", "billing") for n in range(1, 6)]
REGIONS = ["ams", "fra", "iad", "ord", "sin", "syd"]
MACHINES = 60
SECONDS = 3000  # that the lines are spread over
PLATFORM_SHARE = 0.01
JSON_SHARE = 0.25  # of the applications' lines

PLATFORM = [
    ("runner", "info", "Pulling container image registry.fly.io/{app}:deployment-{ulid}"),
    ("runner", "info",
     "Successfully prepared image registry.fly.io/{app}:deployment-{ulid} (3.142341191s)"),
    ("runner", "info", "Machine created and started in 11.826s"),
    ("runner", "info", "Machine started in 1.17s"),
    ("runner", "info", "machine exited with exit code 0, not restarting"),
    ("app", "info", "\x1b[32m INFO\x1b[0m Main child exited normally with code: 1"),
    ("app", "info", "\x1b[32m INFO\x1b[0m Starting init (commit: 350f2667)..."),
    ("app", "info",
     "[  258.930660] Out of memory: Killed process 476 (beam.smp) total-vm:38749148kB, "
     "anon-rss:32433276kB, file-rss:4kB, shmem-rss:135308kB, UID:65534 pgtables:64504kB "
     "oom_score_adj:0"),
    ("app", "info",
     "2026/03/07 15:20:03 INFO New SSH session email=ada@example.com verified=true"),
    ("health", "info", "Health check 'servicecheck-00-http-8000' on port 8000 is now passing."),
    ("proxy", "info",
     "App {app} has excess capacity, autostopping machine {machine}. 0 out of 1 machines "
     "left running (region={region}, process group=app)"),
    ("proxy", "error",
     "[PM05] failed to connect to machine: gave up after 15 attempts (in 8.102201247s)"),
]

WORDS = ("GET POST /v1/orders /health status=200 status=404 took cache hit miss user cart item "
         "session queue worker job done retry commit select insert update rows bytes upstream "
         "response request started finished payload batch flush index lookup limiter shard "
         "replica primary").split()


def application_message(rng):
    if rng.random() < JSON_SHARE:
        return json.dumps({"level": "info", "msg": " ".join(rng.choices(WORDS, k=13)),
                           "request_id": f"{rng.getrandbits(64):016x}",
                           "ms": rng.randrange(2000)})
    text = " ".join(rng.choices(WORDS, k=rng.randrange(9, 41)))
    return f"{text} id={rng.getrandbits(48):012x}"


def main():
    count = int(sys.argv[1])
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    machines = [(rng.choice(APPS), f"{rng.getrandbits(56):014x}", rng.choice(REGIONS),
                 f"{rng.getrandbits(16):04x}") for _ in range(MACHINES)]
    step = SECONDS * 10**9 // count
    begin = time.time_ns() - SECONDS * 10**9
    out = sys.stdout.buffer
    for n in range(count):
        app, machine, region, host = rng.choice(machines)
        provider, level = "app", "info"
        if rng.random() < PLATFORM_SHARE:
            provider, level, message = rng.choice(PLATFORM)
            message = message.format(app=app, machine=machine, region=region,
                                     ulid="01HK8RHG7YCC6VMEHH0HVGGJ6B")
        else:
            message = application_message(rng)
        ns = begin + n * step + rng.randrange(step)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9))
        record = {"event": {"provider": provider},
                  "fly": {"app": {"instance": machine, "name": app}, "region": region},
                  "host": host, "log": {"level": level}, "message": message,
                  "timestamp": f"{stamp}.{ns % 10**9:09d}Z"}
        out.write(json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")


main()
