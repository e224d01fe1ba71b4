#!/usr/bin/env python3
"""What a reader can rely on in every source file: its size, its width, its plainness."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import tap

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 100
TAB_COLUMNS = 8
# Work that is not done is an issue, not a comment.
UNDONE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
DISABLED = re.compile(r"^\s*#\s*if\s+0\b", re.MULTILINE)
TYPEDEF = re.compile(r"^\s*typedef\s+(struct|enum|union)\b", re.MULTILINE)


def functions(text):
    """(line of the opening brace, lines) of each: a brace in the first column opens and ends it."""
    start = None
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            yield start, number - start + 1
            start = None


def too_long_files(texts):
    for path, text in texts.items():
        count = text.count("\n")
        # A .def is a table, a test a list of cases: read a row, a case at a time.
        if count > FILE_LINES_MAX and not path.startswith("tests/unit/") \
                and not path.endswith(".def"):
            yield f"{path} has {count} lines"


def too_long_functions(texts):
    for path, text in texts.items():
        for at, count in functions(text):
            if count > FUNCTION_LINES_MAX:
                yield f"{path}:{at}: a function of {count} lines"


def too_wide(texts):
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            if len(line.expandtabs(TAB_COLUMNS)) > LINE_COLUMNS_MAX:
                yield f"{path}:{number} is wider than {LINE_COLUMNS_MAX} columns"


def matching(texts, pattern):
    for path, text in texts.items():
        for match in pattern.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {match.group().strip()}"


def untidy(texts):
    for path, text in texts.items():
        if not text.endswith("\n") or text.endswith("\n\n"):
            yield f"{path} does not end with one newline"
        if re.search(r"[ \t]+$", text, re.MULTILINE):
            yield f"{path} has blanks at the end of a line"


def without_a_test(texts):
    """Modules that other folders use, and that no unit test is named after or includes."""
    includes = {path: set(re.findall(r'#include "([^"]+)"', text)) for path, text in texts.items()}
    used, tested = set(), set()
    for path, headers in includes.items():
        if path.startswith("tests/unit/"):
            tested |= headers
        elif path.startswith(("src/", "include/")):
            used |= {header for header in headers
                     if header.split("/")[0] != path.split("/")[1]}
    for path in texts:
        match = re.fullmatch(r"src/(base|model|stage|spool)/(\w+)\.c", path)
        if match and f"{match[1]}/{match[2]}.h" in used - tested \
                and f"tests/unit/test_{match[2]}.c" not in texts:
            yield f"{path}: no tests/unit/test_{match[2]}.c, and no test includes its header"


def main():
    c_texts = {path: tap.read(path)
               for path in tap.files(["src", "include", "tests"], [".c", ".h"])}
    all_texts = dict(c_texts)
    for path in tap.files(["src", "include", "tests", "sql", "deploy", ".ci"],
                          [".py", ".sh", ".sql", ".def"]):
        all_texts[path] = tap.read(path)
    report = tap.Report()
    report.case(f"no file is longer than {FILE_LINES_MAX} lines", too_long_files(all_texts))
    report.case(f"no function is longer than {FUNCTION_LINES_MAX} lines",
                too_long_functions(c_texts))
    report.case(f"no line of C is wider than {LINE_COLUMNS_MAX} columns", too_wide(c_texts))
    report.case("nothing is left undone in a comment",
                (fault for fault in matching(all_texts, UNDONE)
                 if not fault.startswith("tests/checks/sources.py")))
    report.case("no code is switched off", matching(c_texts, DISABLED))
    report.case("no struct, enum or union hides behind a typedef", matching(c_texts, TYPEDEF))
    report.case("files end with one newline, and lines without blanks", untidy(all_texts))
    report.case("every module of base, model, stage and spool is tested", without_a_test(c_texts))
    report.end()


if __name__ == "__main__":
    main()
