"""What is in a bucket, by the layout of the archive, read and written without anything of flytrail's."""

import datetime
import gzip
import hashlib
import json
import os
import re
import uuid

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


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def digest(ids):
    """As flytrail.digest_of_ids() is described, of 65,536 at most."""
    sorted_ids = b"".join(sorted(uuid.UUID(made).bytes for made in ids))
    return sha256(hashlib.sha256(sorted_ids).digest() if sorted_ids else b"")


def ndjson(rows):
    return b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)


def key(kind, at, span, stream, prefix="flytrail"):
    """Of an object, or of an index. kind: lines, index or a retention class."""
    place = {"lines": f"lines/date={at:%Y-%m-%d}/hour={at:%H}", "index": f"index/date={at:%Y-%m-%d}"}.get(
        kind, f"events/class={kind}/date={at:%Y-%m-%d}")
    return f"{prefix}/{place}/{stream}.1-{span[0]:020d}-{span[1]:020d}.ndjson.gz"


def metadata(content):
    return {"x-amz-meta-content-sha256": sha256(content), "x-amz-meta-content-bytes": str(len(content)),
            "x-amz-meta-records": str(content.count(b"\n"))}


def entry(key, stored, content, span):
    """An object's line in an index."""
    return {"key": key, "bytes": len(stored), "sha256": sha256(stored), "content_sha256": sha256(content),
            "content_bytes": len(content), "records": content.count(b"\n"), "first_seq": str(span[0]),
            "last_seq": str(span[1])}


def put_ids(bucket, kind, at, ids, span, stream):
    """An object with these rows, of which it has the ids alone; returns its line in an index. kind: as retention has it."""
    content = ndjson({"id" if kind == "log_lines" else "event_id": made} for made in ids)
    stored = gzip.compress(content)
    made = key("lines" if kind == "log_lines" else kind, at, span, stream)
    bucket.put(made, stored, metadata(content))
    return entry(made, stored, content, span)
