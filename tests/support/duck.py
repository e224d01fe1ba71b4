"""DuckDB, and what deploy/duckdb.sql makes of an archive's objects there.

    folder, why = duck.find()                   # why: there is none
    rows, = duck.ask(folder, root, "SELECT id FROM lines")

DuckDB is in no Debian: it is what python3 has of it, or is taken from the Python package index
into a folder of the test's own; where neither can be had, there is nothing to test with.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile

import lab

SQL = os.path.join(os.path.dirname(__file__), "..", "..", "deploy", "duckdb.sql")
PACKAGE = "duckdb==2.0.1"
PIP_SECONDS = 90
ASK = """
import duckdb, json, sys
asked = json.load(sys.stdin)
db = duckdb.connect()
db.execute("SET VARIABLE root = '" + asked["root"] + "'")
db.execute(asked["views"])
json.dump([[list(map(str, row)) for row in db.execute(sql).fetchall()] for sql in asked["queries"]], sys.stdout)
"""


def python(path, *arguments, text=""):
    return subprocess.run([sys.executable, *arguments], input=text, capture_output=True, text=True,
                          check=False, timeout=PIP_SECONDS, env={**os.environ, "PYTHONPATH": path})


@functools.cache
def find():
    """The folder that it is imported from, "" for python3's own; None, and why there is none."""
    if python("", "-c", "import duckdb").returncode == 0:
        return "", None
    folder = tempfile.mkdtemp(prefix="flytrail-duckdb-")
    lab.remove_at_exit(folder)
    try:
        done = python("", "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check",
                      "--timeout", "5", "--retries", "0", "--target", folder, PACKAGE)
    except subprocess.TimeoutExpired:
        return None, f"pip did not get {PACKAGE} in {PIP_SECONDS} seconds"
    if done.returncode != 0:
        return None, f"there is no duckdb, and pip does not get {PACKAGE}"
    return folder, None


def ask(folder, root, *queries, program=ASK):
    """The rows of each query, as texts, over the objects below root."""
    with open(SQL, encoding="utf-8") as views:
        text = json.dumps({"root": root, "views": views.read(), "queries": queries})
    done = python(folder, "-c", program, text=text)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
