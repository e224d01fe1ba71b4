#!/usr/bin/env python3
"""Runs the unittest cases of one file and says how each went, in lines that tests/run.py counts.

    tests/support/cases.py tests/integration/test_x.py [Class.test ...]

AT_ONCE of the file is how many of its cases run at a time, each in a process of one of so many;
a file of cases that wait more than they work may say so.
"""

import concurrent.futures
import contextlib
import importlib.util
import io
import multiprocessing
import os
import sys
import traceback
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Lines(unittest.TestResult):
    """Prints `ok` or `not ok` as each case ends; a subtest that fails is a case that fails."""

    def __init__(self):
        super().__init__()
        self.bad = 0
        self.broken = False

    def startTest(self, test):
        super().startTest(test)
        self.broken = False

    def say(self, word, test, note=""):
        print(f"{word} - {test.id()}{note}", flush=True)

    def fail(self, test, error):
        self.bad += 1
        self.broken = True
        self.say("not ok", test)
        text = "".join(traceback.format_exception(*error))
        print("\n".join("# " + line for line in text.splitlines()), flush=True)

    def addSuccess(self, test):
        if not self.broken:
            self.say("ok", test)

    def addError(self, test, err):
        self.fail(test, err)

    def addFailure(self, test, err):
        self.fail(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.fail(subtest, err)

    def addSkip(self, test, reason):
        self.say("ok", test, f" # SKIP {reason}")

    def addExpectedFailure(self, test, err):
        self.say("ok", test)

    def addUnexpectedSuccess(self, test):
        self.bad += 1
        self.say("not ok", test, " # it was expected to fail")


def cases_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from cases_of(test)
        else:
            yield test


def run(test):
    """How many were bad, and what was printed."""
    result = Lines()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        unittest.TestSuite([test]).run(result)
    return result.bad, printed.getvalue()


def run_at_once(suite, count):
    bad = 0
    # Forked, a process knows the file's cases; its main thread runs them, as servers want it.
    with concurrent.futures.ProcessPoolExecutor(count, multiprocessing.get_context("fork")) as pool:
        for done in concurrent.futures.as_completed(pool.submit(run, test) for test in cases_of(suite)):
            case_bad, printed = done.result()
            bad += case_bad
            print(printed, end="", flush=True)
    return bad


def main():
    path = os.path.abspath(sys.argv[1])
    for folder in (ROOT, os.path.join(ROOT, "tests", "support"), os.path.dirname(path)):
        sys.path.insert(0, folder)
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    loader = unittest.TestLoader()
    if len(sys.argv) > 2:
        suite = loader.loadTestsFromNames(sys.argv[2:], module)
    else:
        suite = loader.loadTestsFromModule(module)
    at_once = getattr(module, "AT_ONCE", 1)
    if at_once > 1:
        return 1 if run_at_once(suite, at_once) else 0
    result = Lines()
    suite.run(result)
    return 1 if result.bad else 0


if __name__ == "__main__":
    sys.exit(main())
