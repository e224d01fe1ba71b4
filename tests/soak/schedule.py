"""What a soak does and when: a pure function of the seed and the seconds.

    plan = schedule.make(seed=7, seconds=60)
    plan.mode, plan.rate, plan.faults     # Fault(at, kind, target, seconds)

A target (a process, a link, a disk, the API) has one fault at a time; faults of different
targets overlap as they like. Time is cut into chapters, and each chapter leaves some targets
alone: where only Postgres suffers, not one line may be lost to a gap either.
"""

import collections
import random

LEAD_SECONDS = 3.0     # nothing fails before
TAIL_SECONDS = 25.0    # nothing fails after: gaps end 10 s after the last reconnect
CHAPTER_SECONDS = 45.0
CHAPTER_TARGETS_MIN = 2
TARGET_IN_CHAPTER = 0.6
PAUSE_BETWEEN = (2.0, 14.0)  # of the faults of one target
RATES = (300, 600, 1000)     # lines a second
MODES = (("one", 5), ("two", 3), ("shared", 2))

# By kind of target: (kind of fault, weight, shortest, longest seconds). A NATS server that hangs
# makes lines late, and a gap's margin is 10 s: it must hang for less.
KINDS = {
    "flytrail": (("flytrail_kill", 4, 0.0, 4.0), ("flytrail_pause", 3, 0.5, 6.0),
                 ("flytrail_term", 2, 0.0, 2.0)),
    "nats": (("nats_kill", 2, 0.1, 4.0), ("nats_pause", 2, 0.5, 5.0)),
    "nats_link": (("nats_link_cut", 2, 0.0, 0.0), ("nats_link_block", 2, 1.0, 8.0)),
    "pg": (("pg_crash", 2, 0.1, 4.0), ("pg_pause", 2, 0.5, 8.0)),
    "pg_link": (("pg_link_cut", 2, 0.0, 0.0), ("pg_link_block", 2, 1.0, 8.0)),
    "cable": (("cable_pull", 1, 1.0, 8.0),),
    "disk": (("disk_full", 1, 5.0, 9.0),),
    "api": tuple((kind, 1, 1.0, 6.0) for kind in (
        "api_500", "api_429", "api_401", "api_html", "api_half", "api_truncated", "api_close",
        "api_unsorted")),
}
# Kinds of targets that each replica has its own of.
OF_A_REPLICA = ("flytrail", "nats_link", "pg_link", "cable", "disk")

Fault = collections.namedtuple("Fault", "at kind target seconds")
Plan = collections.namedtuple("Plan", "seed seconds mode replicas rate faults")


def targets(replicas):
    """(name, kind) of everything that can fail: flytrail0, nats, ..."""
    for kind in KINDS:
        if kind in OF_A_REPLICA:
            yield from ((f"{kind}{number}", kind) for number in range(replicas))
        else:
            yield kind, kind


def pick(rng, kind):
    """(kind of fault, seconds)"""
    name, _, shortest, longest = rng.choices(
        KINDS[kind], [weight for _, weight, _, _ in KINDS[kind]])[0]
    return name, round(rng.uniform(shortest, longest), 3)


def chapter(rng, replicas, start, end):
    """The faults of one stretch of time, all over at its end."""
    every = list(targets(replicas))
    chosen = [target for target in every if rng.random() < TARGET_IN_CHAPTER]
    if len(chosen) < CHAPTER_TARGETS_MIN:
        chosen = rng.sample(every, CHAPTER_TARGETS_MIN)
    for name, kind in chosen:
        at = start + rng.uniform(0, PAUSE_BETWEEN[1])
        while True:
            fault, seconds = pick(rng, kind)
            if at + seconds > end:
                break
            yield Fault(round(at, 3), fault, name, seconds)
            at += seconds + rng.uniform(*PAUSE_BETWEEN)


def make(seed, seconds):
    """The same for the same arguments, in every process and on every machine."""
    rng = random.Random(f"flytrail soak {seed}")
    mode = rng.choices([name for name, _ in MODES], [weight for _, weight in MODES])[0]
    replicas = 1 if mode == "one" else 2
    rate = rng.choice(RATES)
    faults = []
    start, last = LEAD_SECONDS, seconds - TAIL_SECONDS
    while last - start >= 1:
        end = start + CHAPTER_SECONDS
        if last - end < CHAPTER_SECONDS / 2:
            end = last  # no stump of a chapter
        faults += chapter(rng, replicas, start, end)
        start = end
    return Plan(seed, seconds, mode, replicas, rate, sorted(faults))
