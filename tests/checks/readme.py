#!/usr/bin/env python3
"""README names every option, command and folder that there is, and no option that there is not."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import tap

OPTION = re.compile(r"^OPTION\(\w+, (\w+),", re.MULTILINE)
COMMAND = re.compile(r"^COMMAND\((\w+),", re.MULTILINE)
NAME = re.compile(r"\bFLYTRAIL_[A-Z0-9_]+\b")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMANDS = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"\$\{?([A-Z][A-Z0-9_]+)")
# Knobs of the tests, which are no options of the program.
NOT_OPTIONS = re.compile(r"FLYTRAIL_(CHECK|BENCH|DEMO)_\w+")


def readme_lacks(readme, names):
    for name in names:
        if not re.search(rf"\b{re.escape(name)}\b", readme):
            yield f"README.md does not name {name}"


def unknown_options(options, paths):
    for path in paths:
        for name in sorted(set(NAME.findall(tap.read(path)))):
            if name not in options and not NOT_OPTIONS.fullmatch(name):
                yield f"{path} names {name}, which is no option"


def dead_links(paths):
    for path in paths:
        for target in LINK.findall(tap.read(path)):
            where = os.path.normpath(os.path.join(tap.ROOT, os.path.dirname(path), target))
            if "://" not in target and not target.startswith("mailto:") \
                    and not os.path.exists(where):
                yield f"{path} points to {target}, which is not there"


def unset_variables(paths):
    """What a command uses, another before it has to have set, on the same page."""
    for path in paths:
        seen = ""
        for line in "".join(COMMANDS.findall(tap.read(path))).splitlines():
            for name in VARIABLE.findall(line):
                if not re.search(rf"\b{name}=|\bread .*\b{name}\b", seen):
                    yield f"{path} has a command that wants ${name}, which nothing before it sets"
            seen += line + "\n"


def secrets_as_arguments(paths):
    for path in paths:
        if "fly secrets set" in " ".join(tap.read(path).split()):
            yield f"{path} names `fly secrets set`, which a shell's history and `ps` have: `fly secrets import` reads stdin"


def main():
    report = tap.Report()
    if not os.path.exists(os.path.join(tap.ROOT, "README.md")):
        report.case("there is a README", ["README.md is missing"])
        report.end()
    readme = tap.read("README.md")
    options = OPTION.findall(tap.read("include/base/config.def"))
    commands = COMMAND.findall(tap.read("include/cmd/commands.def"))
    folders = sorted(name for name in os.listdir(os.path.join(tap.ROOT, "src"))
                     if os.path.isdir(os.path.join(tap.ROOT, "src", name)))
    pages = [name for name in sorted(os.listdir(tap.ROOT)) if name.endswith((".md", ".toml"))]
    pages += tap.files(["deploy"], [".md", ".toml"])
    report.case("README names every option", readme_lacks(readme, options))
    report.case("README names every command",
                readme_lacks(readme, commands))
    report.case("README names every folder of src/", readme_lacks(readme, folders))
    report.case("no page names an option that is none", unknown_options(options, pages))
    report.case("no page points to a file that is not there", dead_links(pages))
    report.case("no command wants a variable that nothing sets", unset_variables(pages))
    report.case("no secret is to be typed as an argument", secrets_as_arguments(pages))
    report.case("README begins with `make demo` and `make check`",
                [] if readme.find("make demo") < readme.find("\n## ") or "\n## " not in readme
                else ["they stand after the first heading"])
    report.end()


if __name__ == "__main__":
    main()
