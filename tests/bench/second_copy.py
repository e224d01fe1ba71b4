"""Fly's second copy of the log, in a process of its own, for `make bench`.

usage: second_copy.py FILE TOKEN ORG

FILE holds lines as the log stream carries them. Prints the API's address, then
does what each line on stdin asks for, and answers with "done":

    add COUNT FROM_NS TO_NS   Fly has the first COUNT lines, as printed in this time
    clear                     Fly has no line
"""

import gc
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import fly_api  # noqa: E402

TIME = re.compile(rb'"timestamp":"[^"]*"\}$')


def add(api, lines, begin_ns, end_ns):
    """In order, each with a nanosecond of its own."""
    for n, line in enumerate(lines):
        ns = begin_ns + n * (end_ns - begin_ns) // len(lines)
        stamp = b'"timestamp":"%s"}' % fly_api.time_text(ns).encode()
        api.add_payload(TIME.sub(stamp, line))


def main():
    with open(sys.argv[1], "rb") as file:
        lines = file.read().splitlines()
    gc.disable()  # nothing here is a ring, and a million lines take long to look through
    with fly_api.FlyApi(token=sys.argv[2], org=sys.argv[3]) as api:
        print(api.url, flush=True)
        for line in sys.stdin:
            words = line.split()
            if words[0] == "add":
                add(api, lines[:int(words[1])], int(words[2]), int(words[3]))
            else:
                for app in list(api.keys):
                    api.remove_app(app)
            print("done", flush=True)


main()
