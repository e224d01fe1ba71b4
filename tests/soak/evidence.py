"""What a soak finds out about its world: while it runs, and at its end."""

import calendar
import collections
import http.client
import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.request

import lab
import verdict

SAMPLE_SECONDS = 0.4
ASK_SECONDS = 3      # a paused Postgres does not answer
# What a line may be under way, on a busy machine: from its time until it is synced in the spool.
SLACK_SECONDS = 2.0
TRAVEL_NS = 10 * 10**9  # what flytrail itself allows a line for its way, see source/gap_track.h
CONNECTION_EVENTS = ("source_disconnected", "draining", "source_connected")
ROOM_EVENTS = ("spool_full", "spool_room", "started")
DROPS_SECONDS = 5.0  # what the library dropped is told so often
# Targets whose faults can cost lines.
LOSING = ("flytrail", "nats", "nats_link", "cable", "disk")

NS = "(extract(epoch FROM {0}) * 1000000000)::bigint"
ROWS_SQL = f"""
SELECT id, app, machine_id, {NS.format('occurred_at')} + occurred_ns, region, source, class,
       md5(message) FROM flytrail.log_lines"""
GAPS_SQL = f"""
SELECT gap_id, app,
       CASE WHEN isfinite(gap_start) THEN {NS.format('gap_start')} END,
       CASE WHEN isfinite(gap_end) THEN {NS.format('gap_end')} END,
       reason, state, lines_recovered, lines_lost,
       coalesce((SELECT s.replica FROM flytrail.streams s WHERE s.stream::text = g.noticed_by),
                g.noticed_by)
FROM flytrail.gaps g ORDER BY gap_start, gap_id"""
# Those that lines are; that an application has come is told by the watcher, too.
EVENTS_SQL = "SELECT event_id FROM flytrail.events WHERE class <> 'trail' AND trust <> 'api'"
# In a queue group one replica's listening says nothing about the others' lines.
WORDS_SQL = f"""
SELECT action, attributes->>'app', {NS.format("(attributes->>'listening_start')::timestamptz")},
       {NS.format("(attributes->>'listening_end')::timestamptz")}, stream FROM flytrail.events
WHERE action = 'trail.listening' AND NOT attributes ? 'shared'
UNION ALL
SELECT action, attributes->>'app', {NS.format("(attributes->>'window_start')::timestamptz")},
       {NS.format("(attributes->>'window_end')::timestamptz")}, stream FROM flytrail.events
WHERE action = 'trail.window_checked' AND attributes->>'state' IN ('agrees', 'recovered')"""
ALARMS_SQL = """
SELECT action || ' ' || coalesce(summary, '') || ' ' || attributes FROM flytrail.events
WHERE action IN ('trail.unconfirmed_line', 'trail.dead_lettered')
   OR class = 'trail' AND (attributes->>'id_mismatches')::bigint > 0"""
TRAIL_SQL = "SELECT to_jsonb(e) FROM flytrail.events e WHERE class = 'trail' ORDER BY stream, seq"


def seconds(text):
    """Of RFC 3339 with nanoseconds."""
    whole = calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    return whole + float("0" + text[19:-1])


def number(text):
    return None if text is None else int(text)


def rows_of(pg):
    return [verdict.Row(row[0], row[1], row[2], int(row[3]), *row[4:])
            for row in pg.psql(ROWS_SQL)]


def gaps_of(pg):
    return [verdict.Gap(gap_id, app, number(start), number(end), reason, state, int(recovered),
                        number(lost), replica)
            for gap_id, app, start, end, reason, state, recovered, lost, replica
            in pg.psql(GAPS_SQL)]


def words_of(pg):
    """Times of listening are about when lines came: at their edges one may have been under way."""
    by_teller = collections.defaultdict(list)
    for action, app, start, end, stream in pg.psql(WORDS_SQL):
        by_teller[(action, app, stream)].append((int(start), int(end)))
    for (action, app, _), spans in by_teller.items():
        merged = verdict.Spans(spans)
        margin = TRAVEL_NS if action == "trail.listening" else 0
        for start, end in zip(merged.starts, merged.ends):
            if start + margin <= end - margin:
                yield verdict.Word(action, app, start + margin, end - margin)


class Watcher:
    """Asks again and again how far the lines have come, and what flytrail counts."""

    def __init__(self, world):
        self.world = world
        self.samples = []  # (when, time of the newest stored line)
        self.counted = collections.Counter()  # over all lives
        self.last = {}     # by replica: what it counted when asked last
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.thread.start()

    def close(self):
        self.over.set()
        self.thread.join()

    def run(self):
        while not self.over.wait(SAMPLE_SECONDS):
            newest = self.newest()
            if newest is not None:
                self.samples.append((time.time(), newest))
            for number_, ft in enumerate(self.world.flytrails):
                self.count(number_, f"{ft.at}:{ft.port}")

    def newest(self):
        """None: nothing is stored, or Postgres does not answer."""
        try:
            done = subprocess.run(
                [f"{lab.PG_BIN}/psql", "-XqAt", "-c",
                 "SELECT extract(epoch FROM max(occurred_at)) FROM flytrail.log_lines",
                 self.world.pg.url()], capture_output=True, text=True, check=False,
                timeout=ASK_SECONDS, env={**os.environ, "PGCONNECT_TIMEOUT": "2"})
        except subprocess.TimeoutExpired:
            return None
        return float(done.stdout) if done.returncode == 0 and done.stdout.strip() else None

    def count(self, replica, address):
        """Duplicates, from Prometheus's text, where this flytrail has it."""
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=1) as got:
                text = got.read().decode()
        except (OSError, ValueError, http.client.HTTPException):
            return
        for name, value in re.findall(r"^(\w*duplicates\w*?)(?:\{[^}]*\})? (\d+)", text, re.M):
            before = self.last.get((replica, name), 0)
            now = int(value)
            self.counted[name] += now - before if now >= before else now
            self.last[(replica, name)] = now

    def flows_again(self, moment):
        """Seconds until a line of after the moment was stored; None: never seen."""
        for at, newest in self.samples:
            if at >= moment and newest >= moment:
                return at - moment
        return None


def recoveries(faults, watcher):
    """By kind of fault: seconds from the end of what was broken until lines were stored again."""
    found = collections.defaultdict(list)
    for fault in faults:
        if fault["target"] == "api":
            continue
        end = fault["ended"]
        took = watcher.flows_again(end)
        while took is not None:
            # Something else was broken before lines flowed: from its end on it could have.
            later = [other["ended"] for other in faults if other["target"] != "api"
                     and other["began"] <= end + took and end < other["ended"]]
            if not later:
                break
            end = max(later)
            took = watcher.flows_again(end)
        found[fault["kind"]].append(took)
    return found


def between(marks, until):
    """Spans from a mark that is False to the next that is True."""
    since = None
    for moment, is_good in sorted(marks):
        if is_good and since is not None:
            yield since, moment
            since = None
        elif not is_good and since is None:
            since = moment
    if since is not None:
        yield since, until


def held_back(log_lines):
    """Spans of the log in which events that could tell were not written, but counted."""
    last = {}
    for line in log_lines:
        moment = seconds(line["ts"])
        if "repeated" in line and line["event"] in CONNECTION_EVENTS + ROOM_EVENTS:
            yield last.get(line["event"], moment), moment
        last[line["event"]] = moment


def away(ft, until):
    """Spans in which this flytrail says that it took no lines, or dropped some."""
    log_lines = ft.whole_log()
    yield from held_back(log_lines)
    log = [(seconds(line["ts"]), line["event"]) for line in log_lines]
    ends = [(moment, False) for moment in ft.ended]
    yield from between(ends + [(moment, event == "source_connected") for moment, event in log
                               if event in CONNECTION_EVENTS], until)
    yield from between([(moment, event != "spool_full") for moment, event in log
                        if event in ROOM_EVENTS], until)
    yield from ((moment - DROPS_SECONDS, moment) for moment, event in log
                if event == "source_dropped")


def may_lose(world, faults, late_seconds):
    """By replica: when lines could pass it by, as nanoseconds. Lines are sent that late."""
    slack = SLACK_SECONDS + late_seconds
    found = {}
    for replica, ft in enumerate(world.flytrails):
        spans = list(away(ft, time.time()))
        spans += [(fault["began"], fault["ended"]) for fault in faults
                  if fault["target"].rstrip("0123456789") in LOSING
                  and fault["number"] in (None, replica)]
        found[f"ft{replica}"] = verdict.Spans(
            (int((start - slack) * 1e9), int((end + slack) * 1e9))
            for start, end in spans)
    return found


def duplicates(world, watcher):
    """What flytrail says it was offered again, and how that is known."""
    if watcher.counted:
        return sum(watcher.counted.values()), "/metrics"
    counted = [line["duplicates"] for ft in world.flytrails for line in ft.whole_log()
               if line["event"] == "stopped"]
    return sum(counted), "logs of orderly ends alone"


def told(world):
    """How often each event stands in the logs: what the faults did to flytrail."""
    return dict(collections.Counter(
        line["event"] for ft in world.flytrails for line in ft.whole_log()))


def keep(folder, world, case, result, report, schedule):
    """Everything that helps to understand a red verdict, in a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)

    def write(name, lines):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            out.writelines(f"{line}\n" for line in lines)

    for server, name in ((world.nats, "nats.log"), (world.pg, "postgres.log")):
        write(name, [server.log()])
    for replica, ft in enumerate(world.flytrails):
        shutil.copy(ft.log_path, os.path.join(folder, f"ft{replica}.log"))
    write("report.json", [json.dumps(report, indent=2)])
    write("schedule.json", [json.dumps(schedule, indent=2)])
    if result is None:
        return
    write("findings.txt", (f"{finding.kind}\t{finding.n}\t{finding.what}"
                           for finding in result.findings))
    write("missing.tsv", (f"{n}\t{case.key(n)[2]}\t{case.key(n)[0]}\t{case.key(n)[1]}\t"
                          f"{case.lines.stored_text(n)[:120]!r}" for n in result.missing))
    write("gaps.json", (json.dumps(gap._asdict()) for gap in case.gaps))
    write("trail.jsonl", (row[0] for row in world.pg.psql(TRAIL_SQL)))
