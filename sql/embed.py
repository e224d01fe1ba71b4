"""Makes build/gen/migrations.inc of the files named: a struct migration's initialisers in C.

A migration is NNNN_name.sql, in ASCII, and begins with the line "-- oldest: N": the number of the
newest migration that a binary must know at least, to live with a database that has this one.
Other names are what every `flytrail migrate` runs: name.sql becomes name_sql.
Bytes, not string literals: C promises only 4095 of those.
"""

import hashlib
import pathlib
import re
import sys

BYTES_A_LINE = 24


def fail(path, why):
    sys.exit(f"{path}: {why}")


def ascii_text(path):
    text = path.read_bytes()
    if not text.isascii() or b"\0" in text:
        fail(path, "only ASCII")
    return text


def migration(path, number):
    named = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", path.name)
    if not named or int(named[1]) != number:
        fail(path, f"the next migration is {number:04}_name.sql")
    text = ascii_text(path)
    oldest = re.match(rb"-- oldest: (\d+)\n", text)
    if not oldest or not 1 <= int(oldest[1]) <= number:
        fail(path, f"the first line is not `-- oldest: N` with N from 1 to {number}")
    return named[2], int(oldest[1]), text


def c_bytes(data):
    lines = (data[i : i + BYTES_A_LINE] for i in range(0, len(data), BYTES_A_LINE))
    return ",\n\t".join(",".join(str(byte) for byte in line) for line in lines)


def main():
    rows = []
    print("/* Made by sql/embed.py of sql/: not to be edited. */\n")
    paths = sorted(map(pathlib.Path, sys.argv[1:]))
    for path in (path for path in paths if not path.name[0].isdigit()):
        print(f"static const char {path.stem}_sql[] = {{\n\t{c_bytes(ascii_text(path))},0,\n}};\n")
    migrations = (path for path in paths if path.name[0].isdigit())
    for number, path in enumerate(migrations, start=1):
        name, oldest, text = migration(path, number)
        print(f"static const char migration_{number}[] = {{\n\t{c_bytes(text)},0,\n}};\n")
        digest = hashlib.sha256(text).hexdigest()
        rows.append(f'\t{{{number}, "{name}", {oldest}, "{digest}", migration_{number}}},\n')
    print("static const struct migration migrations[] = {\n" + "".join(rows) + "};")


main()
