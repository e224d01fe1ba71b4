"""What is in a bucket, by the layout of the archive, read without anything of flytrail's."""

import datetime
import gzip
import json
import os
import re

KEY = re.compile(r"(?:lines/date=(\d{4}-\d\d-\d\d)/hour=(\d\d)|events/class=(\w+)/date=(\d{4}-\d\d-\d\d))/"
                 r"([0-9a-f-]{36})\.(\d+)-(\d{20})-(\d{20})\.ndjson\.gz")


def read(bucket, prefix="flytrail"):
    """{key: rows} of the objects with lines and events; each stands where its own time says."""
    found = {}
    for key in bucket.keys(f"{prefix}/"):
        if key.startswith((f"{prefix}/index/", f"{prefix}/probe/")):
            continue
        named = KEY.fullmatch(key, len(prefix) + 1)
        assert named, key
        body = bucket.get(key)
        rows = [json.loads(line) for line in gzip.decompress(body).decode().splitlines()]
        head = bucket.head(key)
        assert head["x-amz-meta-records"] == str(len(rows)), key
        assert head["x-amz-meta-range"] == f"{int(named[7])}-{int(named[8])}", key
        for row in rows:
            at = row["occurred_at"]
            assert at[:10] == (named[1] or named[4]), (key, at)
            if named[1]:
                assert at[11:13] == named[2], (key, at)
            else:
                assert row["retention_class"] == named[3], key
        found[key] = rows
    return found


def ids(found, kind):
    name = "id" if kind == "lines" else "event_id"
    return sorted(row[name] for key, rows in found.items() if f"/{kind}/" in key for row in rows)


def stream(key):
    """Of an object's or an index's name."""
    return os.path.basename(key).split(".")[0]


def download(bucket, folder):
    """Every object with lines and events, where deploy/duckdb.sql takes folder for the root."""
    for key in bucket.keys("flytrail/lines/") + bucket.keys("flytrail/events/"):
        path = os.path.join(folder, key.removeprefix("flytrail/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as out:
            out.write(bucket.get(key))


def day(spool):
    """Of the deliveries that are in no index yet; None: there are none."""
    path = os.path.join(spool, "s3.index")
    if not os.path.exists(path):
        return None
    with open(path, encoding="ascii") as journal:
        return re.match(r'{[^\n]*"date":"([0-9-]{10})"', journal.read())[1]


def end_day(spool):
    """As if they had been made the day before they were: the next delivery puts their index first."""
    date = day(spool)
    before = (datetime.date.fromisoformat(date) - datetime.timedelta(days=1)).isoformat()
    path = os.path.join(spool, "s3.index")
    with open(path, encoding="ascii") as journal:
        text = journal.read()
    with open(path, "w", encoding="ascii") as journal:
        journal.write(text.replace(date, before, 1))
