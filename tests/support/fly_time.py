"""Times as Fly's APIs print them."""

import calendar
import re
import time

TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")
SECONDS = {}


def time_ns(text):
    """Nanoseconds since 1970 of Fly's text for a time."""
    match = TIME.fullmatch(text)
    if not match:
        raise ValueError(f"no time of Fly's: {text!r}")
    second, fraction = match.groups()
    if second not in SECONDS:
        if len(SECONDS) > 100_000:
            SECONDS.clear()
        SECONDS[second] = calendar.timegm(time.strptime(second, "%Y-%m-%dT%H:%M:%S"))
    return SECONDS[second] * 10**9 + int((fraction or "0").ljust(9, "0"))


def time_text(ns):
    """As Go prints it: zeros at the end of the fraction are cut."""
    second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ns // 10**9))
    fraction = f"{ns % 10**9:09}".rstrip("0")
    return f"{second}.{fraction}Z" if fraction else f"{second}Z"
