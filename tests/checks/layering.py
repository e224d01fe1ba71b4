#!/usr/bin/env python3
"""Includes point one way, each foreign library is met in one place, and only the top logs."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import tap

# What a folder may include, beside itself.
BELOW = {
    "base": set(),
    "model": {"base"},
    "spool": {"base", "model"},
    "stage": {"base", "model"},
    "source": {"base", "model", "spool", "stage"},
    "store": {"base", "model", "spool", "stage"},
    "sink": {"base", "model", "spool", "stage"},
    "watch": {"base", "model", "spool", "stage"},
    "run": {"base", "model", "spool", "stage", "source", "store", "sink", "watch"},
    "serve": {"base", "model", "spool", "stage", "source", "store", "sink", "watch", "run"},
}
BELOW["cmd"] = BELOW["serve"] | {"serve"}
BELOW["main"] = BELOW["cmd"] | {"cmd"}

# A foreign header and the one place that includes it, in src/ and in include/.
FOREIGN = {
    r"nats(/.*)?\.h": "source/nats.c",
    r"libpq.*|postgres.*\.h|pg_.*": "store/",
    r"openssl/.*": "base/hash.c",
    r"zlib\.h": "base/gzip.c",
    r"isa-l.*\.h": "base/gzip.c",
    r"expat.*\.h": "base/xml.c",
    r"cjson/.*|cJSON\.h": "base/json.c",
    r"microhttpd\.h": "serve/http.c",
    r"pcre2\.h": "stage/search",
    r"curl/.*": "base/http_client.c",
}
LOGGERS = {"cmd", "run", "serve", "main"}
# Printing is for commands; elsewhere a text is made with snprintf() or a buf.
PRINTERS = {"cmd", "main"}
PRINTS = re.compile(r"(?<![\w\"])(printf|fprintf|puts|fputs|putchar|perror|vprintf|vfprintf)\s*\(")
# panic() says where the bug is; there is nobody else left to say it.
PRINTS_ALLOWED = {"src/base/util.c"}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.MULTILINE)


def folder_of(path):
    """"base" for src/base/x.c and include/base/x.h; "main" for src/main.c."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else "main"


def code_only(text):
    """Without comments, so that a word in one is no call. Strings stay: they hide no call."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def own_includes(texts):
    for path, text in texts.items():
        for quote, header in INCLUDE.findall(text):
            if quote == '"' and "/" in header:
                yield path, header


def pointing_back(texts):
    for path, header in own_includes(texts):
        own, other = folder_of(path), header.split("/")[0]
        if own not in BELOW:
            yield f"{path}: {own}/ has no place in tests/checks/layering.py"
        elif other != own and other not in BELOW[own]:
            yield f"{path} includes {header}: {own} may not know {other}"


def not_by_folder(texts):
    """Generated files apart, own headers are named by their folder."""
    for path, text in texts.items():
        for quote, header in INCLUDE.findall(text):
            if quote == '"' and "/" not in header and not header.endswith(".inc"):
                yield f'{path} includes "{header}" without its folder'


def foreign_elsewhere(texts):
    for path, text in texts.items():
        for _, header in INCLUDE.findall(text):
            for pattern, place in FOREIGN.items():
                inside = path.removeprefix("src/").removeprefix("include/").startswith(place)
                if re.fullmatch(pattern, header) and not inside:
                    yield f"{path} includes {header}, which belongs to {place} alone"


def closure(texts, header):
    """The header, and all own ones that come with it."""
    found, left = set(), [header]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += [name for _, name in INCLUDE.findall(texts.get(f"include/{one}", ""))]
    return found


def own_header_not_first(texts):
    for path, text in texts.items():
        header = path.removeprefix("src/").removesuffix(".c") + ".h"
        if not path.endswith(".c") or f"include/{header}" not in texts:
            continue
        first = INCLUDE.findall(text)[0][1]
        # A module of several files has a header inside, which includes the one outside.
        if header not in closure(texts, first):
            yield f"{path} does not include {header} first"


def logging_below(texts):
    for path, header in own_includes(texts):
        if header == "base/log.h" and folder_of(path) not in LOGGERS | {"base"}:
            yield f"{path} includes base/log.h; it returns an err instead"
        if header == "base/log.h" and folder_of(path) == "base" and path != "src/base/log.c":
            yield f"{path} includes base/log.h; it returns an err instead"


def printing_below(texts):
    for path, text in texts.items():
        if folder_of(path) in PRINTERS or path in PRINTS_ALLOWED:
            continue
        for call in PRINTS.findall(code_only(text)):
            yield f"{path} calls {call}()"


def guards_wrong(texts):
    for path, text in texts.items():
        if not path.endswith(".h"):
            continue
        guard = path.removeprefix("include/").upper().replace("/", "_").replace(".", "_")
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            yield f"{path} is not guarded by {guard}"


def main():
    texts = {path: tap.read(path) for path in tap.files(["src", "include"], [".c", ".h"])}
    report = tap.Report()
    report.case("includes point one way", pointing_back(texts))
    report.case("headers are named by their folder", not_by_folder(texts))
    report.case("each foreign library is met in one place", foreign_elsewhere(texts))
    report.case("a file's own header comes first", own_header_not_first(texts))
    report.case("only cmd, run and serve log", logging_below(texts))
    report.case("only commands print", printing_below(texts))
    report.case("headers are guarded by their path", guards_wrong(texts))
    report.end()


if __name__ == "__main__":
    main()
