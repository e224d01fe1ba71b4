"""For checks: one case a rule, said in the lines that tests/run.py counts."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Report:
    def __init__(self):
        self.failed = 0

    def case(self, name, faults):
        """faults: what broke the rule, a line each; none when it holds."""
        faults = list(faults)
        print(f"{'not ok' if faults else 'ok'} - {name}")
        for fault in faults:
            print(f"#   {fault}")
        self.failed += bool(faults)

    def end(self):
        sys.exit(1 if self.failed else 0)


def files(folders, endings):
    """Paths from the root of the repository, in order."""
    found = []
    for folder in folders:
        for where, _, names in os.walk(os.path.join(ROOT, folder)):
            found += [os.path.relpath(os.path.join(where, name), ROOT) for name in names
                      if name.endswith(tuple(endings))]
    return sorted(found)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()
