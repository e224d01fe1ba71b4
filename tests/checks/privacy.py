#!/usr/bin/env python3
"""Nothing in the repository looks like a real token, person, host, or somebody's machine."""

import ipaddress
import math
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import tap

FOLDERS = ["src", "include", "sql", "tests", "deploy", ".ci"]
ENDINGS = [".c", ".h", ".def", ".py", ".sh", ".sql", ".md", ".json", ".jsonl", ".txt", ".labels",
           ".toml", ".ndjson"]
TOKENS = [
    r"\bfm\d[rab]?_([A-Za-z0-9+/=_-]{24,})",
    r"\bfo1_([A-Za-z0-9_-]{24,})",
    r"\bAKIA([0-9A-Z]{16})\b",
    r"\bgh[pousr]_([A-Za-z0-9]{30,})",
    r"\bgithub_pat_([A-Za-z0-9_]{30,})",
    r"\bglpat-([A-Za-z0-9_-]{20,})",
    r"\bxox[abeprs]-([A-Za-z0-9-]{20,})",
    r"\b[rs]k_live_([A-Za-z0-9]{20,})",
    r"\bnpm_([A-Za-z0-9]{30,})",
    r"\bAIza([A-Za-z0-9_-]{30,})",
    r"\bsk-(?:ant-|proj-)?([A-Za-z0-9_-]{32,})",
    r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.([A-Za-z0-9_-]{20,})",
    r"PRIVATE KEY-----\s+([A-Za-z0-9+/=]{48,})",
]
# A planted secret says that it is one, or is plainly no random text.
MADE_UP = re.compile(r"example|fake|made.?up|planted|not.?real|invented|dummy|x{6}|0{6}|"
                     r"abcdef|012345|123456|secret", re.IGNORECASE)
RANDOM_BITS_A_CHARACTER = 3.8
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|home/\w+|Users/\w+|tmp/w)/[\w.-]+")
EMAIL = re.compile(r"[\w.+-]+@((?:[\w-]+\.)+[A-Za-z]{2,})\b")
# Reserved by RFC 2606, Fly's own name for what a token did, hosts of its private network behind a
# password, and OpenSSH's names of types.
EMAIL_DOMAINS = re.compile(r"(.*\.)?(example\.(com|org|net)|example|test|invalid|localhost)|"
                           r"tokens\.fly\.io|openssh\.com|.*\.(flycast|internal)")
ADDRESS = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?![\w.]*\.\d|\w)")
# RFC 5737, and what is never anybody's.
ADDRESSES = [ipaddress.ip_network(text) for text in (
    "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8", "172.16.0.0/12",
    "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8", "255.255.255.255/32")]


def places(texts, pattern):
    for path, text in texts.items():
        for match in pattern.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1}", match


def looks_random(text):
    counts = [text.count(character) for character in set(text)]
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
    return bits > RANDOM_BITS_A_CHARACTER and not MADE_UP.search(text)


def tokens(texts):
    for pattern in TOKENS:
        for place, match in places(texts, re.compile(pattern)):
            if looks_random(match.group(1)):
                yield f"{place}: {match.group()[:12]}... looks real"


def machine_paths(texts):
    for place, match in places(texts, MACHINE_PATH):
        yield f"{place}: {match.group()}"


def emails(texts):
    for place, match in places(texts, EMAIL):
        if not EMAIL_DOMAINS.fullmatch(match.group(1).lower()):
            yield f"{place}: {match.group()}"


def addresses(texts):
    for place, match in places(texts, ADDRESS):
        try:
            address = ipaddress.ip_address(match.group(1))
        except ValueError:
            continue
        if not any(address in network for network in ADDRESSES):
            yield f"{place}: {match.group(1)}"


def main():
    paths = tap.files(FOLDERS, ENDINGS)
    paths += [name for name in sorted(os.listdir(tap.ROOT))
              if name.endswith((".md", ".toml")) or name == "Makefile"]
    texts = {path: tap.read(path) for path in paths if path != "tests/checks/privacy.py"}
    # What machines in the captures call their folders is theirs.
    ours = {path: text for path, text in texts.items() if not path.startswith("tests/data/")}
    report = tap.Report()
    report.case("no token looks real", tokens(texts))
    report.case("no path of somebody's machine", machine_paths(ours))
    report.case("e-mail addresses are of reserved domains", emails(texts))
    report.case("IPv4 addresses are nobody's", addresses(texts))
    report.end()


if __name__ == "__main__":
    main()
