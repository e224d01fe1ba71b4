"""What measures have in common."""

import os
import re
import time

HERE = os.path.dirname(os.path.abspath(__file__))
POLL_SECONDS = 0.05
WAIT_SECONDS = 300


def cpu_seconds(pid):
    """User and system seconds of a living process."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_rss_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) / 1024


def poll(condition, what):
    """The moment at which condition became true."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"bench: waited {WAIT_SECONDS} s in vain for {what}")
        time.sleep(POLL_SECONDS)
    return time.monotonic()
