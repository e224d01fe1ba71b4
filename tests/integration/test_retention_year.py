"""A year and more of each profile: what is left each day, and what an auditor finds of what went."""

import collections
import datetime
import functools
import gzip
import itertools
import json
import os
import random
import re
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import archive  # noqa: E402
import flytrail  # noqa: E402
import lab  # noqa: E402
import s3  # noqa: E402
from retention import KINDS, READER, STREAM, WRITER, RetentionCase, Row, days, is_held  # noqa: E402

AT_ONCE = 2
SEED = 20261126
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
START = datetime.datetime(2026, 1, 14, 9, tzinfo=datetime.timezone.utc)  # a Wednesday
MARGIN_DAYS = 120
INSTANT = datetime.timedelta(microseconds=1)
# Days after the start of which something is special.
GAP_DAY, LATE, LACKING = 8, 20, 120
GAP, REASON = "g1", "a case"
INDEXED_FROM = 6  # rows
OTHER_STREAM = "11111111-2222-4333-8444-666666666666"
WEEKLY_OVER_DAYS = 90
# As README has them: keep-for and keep-at-most, in days.
PROFILES = {
    "default": {"security": (396, None), "operations": (92, None), "log_lines": (30, None)},
    "pci": {"security": (366, None), "operations": (366, None), "log_lines": (92, None)},
    "hipaa": {"security": (2192, None), "operations": (2192, None), "log_lines": (92, None)},
    "eu": {"security": (330, 366), "operations": (330, 366), "log_lines": (30, 35)},
}
Verdict = collections.namedtuple("Verdict", "goes is_past why")
Stored = collections.namedtuple("Stored", "kind at ids index")  # an object of the archive; index: which names it


def midnight(at):
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


class Trail:
    """What is to be there, and why, by README's words alone."""

    def __init__(self, terms):
        self.terms = terms
        self.rows = {}  # by id
        self.by_hand = set()  # ids of facts that came by no spool
        self.confirmed = {}  # times of events by id
        self.holds = {}  # the scopes of open ones, in the order in which they were added
        self.gap = None  # the fact that opened it, first, last
        self.archived = None  # by key; None: there is no archive
        self.is_weekly = max(filter(None, terms["log_lines"])) > WEEKLY_OVER_DAYS

    def bounds(self, kind, at):
        first = midnight(at)
        if kind != "log_lines":
            first = first.replace(day=1)
            return first, (first + days(31)).replace(day=1)
        if self.is_weekly:
            first -= days(first.weekday())
            return first, first + days(7)
        return first, first + days(1)

    def name(self, kind, first):
        if kind != "log_lines":
            return f"events_{kind}_{first:%Y%m}"
        return f"log_lines_{first:%Y%m%d}" + ("_week" if self.is_weekly else "")

    def partitions(self):
        """The ids of each (kind, first, end)."""
        found = collections.defaultdict(set)
        for made, row in self.rows.items():
            found[row.kind, *self.bounds(row.kind, row.at)].add(made)
        return found

    def has_gap(self, first, end):
        return self.gap is not None and self.gap[0] in self.rows and self.gap[1] < end and self.gap[2] >= first

    def judge(self, partition, ids, now):
        kind, first, end = partition
        keep_for, at_most = self.terms[kind]
        if now - end < days(keep_for):
            return Verdict(False, False, f"kept until {end + days(keep_for):%Y-%m-%d}")
        is_past = at_most is not None and now - first > days(at_most)
        for hold, scopes in self.holds.items():
            if any(is_held(scopes, self.rows[made], first, end, self.rows.values()) for made in ids):
                return Verdict(False, is_past, f"hold {hold}: {REASON}")
        if is_past:
            return Verdict(True, True, "past keep_at_most")
        if self.has_gap(first, end):
            return Verdict(False, False, f"a gap in it is open: {GAP}")
        return Verdict(True, False, "past keep_for")

    def spooled(self, ids):
        return ids - self.by_hand

    def objects(self, partition):
        """Those of its kind and time, by key."""
        kind, first, end = partition
        return {key: stored for key, stored in self.archived.items() if stored.kind == kind and first <= stored.at < end}

    def missing(self, partition, ids):
        """How many rows the archive lacks."""
        if self.archived is None:
            return 0
        return len(self.spooled(ids).difference(*(stored.ids for stored in self.objects(partition).values())))

    def take_out(self, ids):
        """Returns how many confirmations go with them."""
        for made in ids:
            del self.rows[made]
        months = {self.bounds(row.kind, row.at)[0] for row in self.rows.values() if row.kind != "log_lines"}
        left = {made: at for made, at in self.confirmed.items() if self.bounds("security", at)[0] in months}
        lost, self.confirmed = len(self.confirmed) - len(left), left
        return lost


class Year(RetentionCase):
    """Rows come as time goes, each step of which ends with the command that applies the profile."""

    maxDiff = None

    def begin(self, profile, bucket=None):
        self.writer.ask("SELECT pg_advisory_unlock_all()")  # the command takes it
        self.reader = self.session(READER)
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as readme:
            self.question = re.search(r"`(SELECT [^`]* FROM flytrail\.timeline WHERE action = 'trail\.partition_dropped')`",
                                      " ".join(readme.read().split()))[1]
        self.seen = set()  # drops that an auditor has read of
        self.days_gone = {}  # by kind and day: when all that was there went last
        self.random = random.Random(SEED)
        self.trail = Trail(PROFILES[profile])
        self.longest = max(keep_for for keep_for, _ in self.trail.terms.values())
        self.end = START + days(self.longest + MARGIN_DAYS)
        self.set_clock(START)
        self.bucket, self.withheld, self.batch, self.asks = bucket, {}, [], []
        self.count = collections.Counter()
        self.steps = collections.defaultdict(list)  # by when they are: what is done besides
        self.snapshots = {"renewed": True, "old": True}
        for scope in self.snapshots:
            self.take_snapshot(scope)
        if bucket:
            self.trail.archived = {}
        self.command("retention", "profile", profile)
        self.assert_rows()
        self.coming = self.make_rows()

    def command(self, *words, status=0, **env):
        env |= {"FLYTRAIL_DATABASE_URL": self.pg.url(WRITER, self.database),
                "FLYTRAIL_ADMIN_DATABASE_URL": self.pg.url("postgres", self.database)}
        done = subprocess.run([flytrail.BINARY, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=lab.ENDED_SECONDS, check=False)
        self.assertEqual((done.returncode, done.stderr), (status, ""), done.stdout)
        return done.stdout

    # --- rows ---

    def make_rows(self):
        """Some for each partition, by when they come: (when, kind, their own time, application, actor)."""
        coming = []
        for kind in KINDS:
            first, end = self.trail.bounds(kind, START)
            while first < self.end:
                ats = [first, end - INSTANT, first + (end - first) * self.random.random()]
                coming += [(at, kind, at, self.random.choice(("web", "db", "shop")), self.random.choice(("alice", "bob")))
                           for at in (ats if kind != "log_lines" else [self.random.choice(ats)]) if at > START]
                first, end = end, self.trail.bounds(kind, end)[1]
        return collections.deque(sorted(coming))

    def come_late(self, kind, at, arrival):
        self.coming = collections.deque(sorted([*self.coming, (arrival, kind, at, "web", "bob")]))

    def store(self, kind, at, app=None, actor="unknown", **fields):
        """A row by the spool; returns its id. It is there after the next flush()."""
        fields["observed_at"] = max(at, self.now)
        if kind != "log_lines":
            fields["actor"] = actor
        insert, made = self.values(kind, at, app=app, **fields)
        self.asks += [f"SELECT flytrail.ensure_partition('{kind}', '{at}')", insert]
        if actor == "alice" and kind != "log_lines":
            self.asks.append("INSERT INTO flytrail.confirmations (event_id, occurred_at, source, seen_at) "
                             f"VALUES ('{made}', '{at}', 'http', '{at}')")
            self.trail.confirmed[made] = at
        klass = fields.get("class", {"log_lines": "app_log", "security": "deploy", "operations": "boot"}[kind])
        self.trail.rows[made] = Row(kind, at, app, None if kind == "log_lines" else actor, klass)
        self.batch.append((kind, at, made))
        return made

    def flush(self):
        self.writer.ask(";\n".join(["BEGIN", *self.asks, "COMMIT"]))
        self.asks = []

    def tell(self, action, at, **fields):
        """A fact of flytrail's own, by the spool."""
        return self.store("security", at, action=action, trust="self", source="trail", **{"class": "trail"}, **fields)

    def take_snapshot(self, scope):
        self.asks.append("INSERT INTO flytrail.snapshots (resource, scope, taken_at, content) VALUES "
                         f"('apps', '{scope}', '{self.now}', '{{}}') ON CONFLICT (resource, scope) DO UPDATE "
                         "SET taken_at = excluded.taken_at")

    def open_gap(self, first, last):
        opened = self.tell("trail.gap_opened", first, correlation_id=GAP, attributes=json.dumps(
            {"reason": "disconnect", "gap_start": str(first), "gap_end": str(last)}))
        self.trail.gap = opened, first, last

    def close_gap(self):
        self.tell("trail.gap_closed", self.now, correlation_id=GAP, attributes=json.dumps({"gap_end": str(self.trail.gap[2])}))
        self.trail.gap = None

    def add_hold(self, **scopes):
        words = [word for name, value in scopes.items() for word in
                 (f"--{name}", f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime.datetime) else value)]
        text = self.command("hold", "add", *words, "--reason", REASON)
        self.trail.holds[re.search("[0-9a-f-]{36}", text)[0]] = dict.fromkeys(
            ("app", "actor", "class", "since", "until")) | scopes

    def release_first_hold(self):
        hold = next(iter(self.trail.holds))
        self.command("hold", "release", hold, "--reason", "it is settled")
        del self.trail.holds[hold]

    # --- the archive ---

    def put_batch(self):
        """What came since the last step, as the sink puts it; an index names the many of a long one."""
        objects, span = collections.defaultdict(list), (self.seq - len(self.batch) + 1, self.seq)
        for kind, at, made in self.batch:
            at = midnight(at) if kind != "log_lines" else at.replace(minute=0, second=0, microsecond=0)
            (self.withheld[kind, at] if (kind, at) in self.withheld else objects[kind, at]).append(made)
        index = archive.key("index", self.now, span, STREAM) if len(self.batch) >= INDEXED_FROM else None
        entries = [self.put(kind, at, ids, span, STREAM, index) for (kind, at), ids in objects.items()]
        if index:
            self.bucket.put(index, gzip.compress(archive.ndjson(entries)))

    def put(self, kind, at, ids, span, stream, index):
        made = archive.put_ids(self.bucket, kind, at, ids, span, stream)
        self.trail.archived[made["key"]] = Stored(kind, at, set(ids), index)
        return made

    def withhold(self, kind, first, end):
        """What of these times comes is not in the archive."""
        hour = first
        while hour < end:
            self.withheld[kind, hour] = []
            hour += days(1) / 24

    def put_late(self, kind, first, end):
        """By another replica, and in no index yet."""
        for (of, at), ids in list(self.withheld.items()):
            if of == kind and first <= at < end and ids:
                self.put(kind, at, ids, (self.seq, self.seq), OTHER_STREAM, None)

    # --- a step ---

    def go_to(self, at):
        self.set_clock(at)
        while self.coming and self.coming[0][0] <= at:
            _, kind, own, app, actor = self.coming.popleft()
            self.store(kind, own, app, actor)
        self.tell("trail.started", at)

    def apply(self):
        self.flush()
        if self.bucket:
            self.put_batch()
        self.batch = []
        partitions = self.trail.partitions()
        verdicts = {partition: self.trail.judge(partition, ids, self.now) for partition, ids in partitions.items()}
        self.assertEqual(self.plan(), {self.trail.name(*partition[:2]): verdict for partition, verdict in verdicts.items()})
        goes = [partition for partition, verdict in verdicts.items() if verdict.goes]
        lacking = {partition: self.trail.missing(partition, partitions[partition]) for partition in goes}
        stays = [partition for partition in goes if lacking[partition] and not verdicts[partition].is_past]
        gone = [partition for partition in goes if partition not in stays]
        kept = sum("kept until" not in verdict.why and not verdict.goes for verdict in verdicts.values())
        text = self.command("retention", "apply", status=1 if stays else 0,
                            **(self.s3.environment(self.bucket) if self.bucket else {}))
        self.assertEqual(text.splitlines()[-1],
                         f"{len(gone)} partition{'s' * (len(gone) != 1)} dropped; past their terms, {kept} kept by holds "
                         f"or gaps and {len(stays)} that could not go")
        for kind, first, end in stays:
            name = self.trail.name(kind, first)
            self.assertIn(f"{name} stays, though past its term: its archive: {lacking[kind, first, end]} rows of {name} "
                          "are not in the archive\n", text)
        confirmations = self.assert_drops(self.read_drops(), {partition: verdicts[partition] for partition in gone}, partitions)
        self.assert_property([self.trail.rows[made] for partition in gone for made in partitions[partition]])
        lost = self.trail.take_out(itertools.chain.from_iterable(partitions[partition] for partition in gone))
        self.assertEqual(lost, confirmations)
        self.count["confirmations"] += lost
        self.assert_rows()
        self.count["partitions"] += len(gone)
        self.count["stays"] += len(stays)
        self.count["kept"] += kept

    # --- what there is, and what an auditor finds ---

    def read_drops(self):
        """Of those that are new: (when, what is told of it)."""
        read = {tuple(row) for row in self.reader.ask(f"SET timezone = 'UTC'; {self.question}")}
        new, self.seen = read - self.seen, self.seen | read
        return [(datetime.datetime.fromisoformat(at), json.loads(told)) for at, told in new]

    def assert_drops(self, drops, verdicts, partitions):
        """Each partition that went is told of once, and all that is asked of it is there: who did it, when, under
        which policy, how much went, and where its archive is. Returns how many confirmations went."""
        tidied = [told for _, told in drops if "partition" not in told]
        confirmations = sum(told["confirmations"] for told in tidied)
        drops = {told["partition"]: (at, told) for at, told in drops if "partition" in told}
        self.assertEqual(set(drops), {self.trail.name(*partition[:2]) for partition in verdicts})
        for partition, verdict in verdicts.items():
            at, told = drops[self.trail.name(*partition[:2])]
            self.assertLess(abs(at - self.now), datetime.timedelta(minutes=2))
            self.assertGreater(told.pop("bytes"), 0)
            self.assertRegex(told.pop("detached_at"), "^20")
            confirmations += told.pop("confirmations")
            failure = (told["archive"] or {}).pop("failure", None)
            self.assertEqual(told, self.expected_fact(partition, partitions[partition], verdict))
            self.assertEqual(failure is not None, told["archive_agrees"] is False, failure)
            kind, first, end = partition
            for day in range((end - first).days):
                self.days_gone[kind, first + days(day)] = at
        keep_for = days(self.longest)
        self.snapshots["old"] = self.snapshots["old"] and self.now - START <= keep_for
        self.assertEqual(self.admin.ask("SELECT scope FROM flytrail.snapshots ORDER BY 1"),
                         [[scope] for scope in sorted(self.snapshots) if self.snapshots[scope]])
        self.count["snapshots"] += sum(told["snapshots"] for told in tidied)
        return confirmations

    def expected_fact(self, partition, ids, verdict):
        kind, first, end = partition
        spooled = self.trail.spooled(ids)
        keep_for, at_most = self.trail.terms[kind]
        has_gap = self.trail.has_gap(first, end)
        [[changed_at]] = self.admin.ask(f"SELECT to_jsonb(changed_at) #>> '{{}}' FROM flytrail.retention WHERE kind = '{kind}'")
        archived, agrees = None, None
        if self.bucket:
            agrees = self.trail.missing(partition, ids) == 0
            objects = self.trail.objects(partition) if spooled else {}
            archived = {"rows": len(spooled) if agrees else 0, "apart": 0, "digest": archive.digest(spooled) if agrees else "",
                        "objects": len(objects), "index": sorted({stored.index for stored in objects.values()} - {None})}
        return {
            "kind": kind, "partition": self.trail.name(kind, first), "first_at": first.isoformat(), "end_at": end.isoformat(),
            "rows": len(spooled), "digest": archive.digest(spooled), "apart_archived": 0, "never_archived": len(ids) - len(spooled),
            "keep_for_days": keep_for, "keep_at_most_days": at_most, "policy_changed_at": changed_at,
            "policy_changed_by": "postgres", "why": verdict.why, "archive": archived, "archive_agrees": agrees,
            "without_archive": False, "open_gaps": [GAP] if has_gap else [], "session_user": WRITER,
            "application_name": "flytrail", "client_addr": "127.0.0.1"}

    def assert_property(self, gone):
        """Row by row: what went was past its term, and no hold is on it."""
        for row in gone:
            self.assertGreaterEqual(self.now - row.at, days(self.trail.terms[row.kind][0]), row)
            for scopes in self.trail.holds.values():
                self.assertFalse(is_held(scopes, row, *self.trail.bounds(row.kind, row.at), self.trail.rows.values()), row)
        self.count["rows"] += len(gone)

    def assert_rows(self):
        """Exactly these are there, with the facts of commands; their own are new since the last step."""
        there = {}
        for made, kind, us, actor, klass, seq in self.admin.ask("""
                SELECT id, 'log_lines', extract(epoch FROM occurred_at) * 1000000, NULL, class, seq FROM flytrail.log_lines
                UNION ALL SELECT event_id, retention_class, extract(epoch FROM occurred_at) * 1000000, actor, class, seq
                FROM flytrail.events"""):
            there[made] = Row(kind, EPOCH + INSTANT * int(float(us)), None, actor, klass)
            if seq == "0" and made not in self.trail.by_hand:
                self.assertLess(abs(there[made].at - self.now), datetime.timedelta(minutes=2))
                self.trail.by_hand.add(made)
                self.trail.rows[made] = there[made]
        self.assertEqual({made: self.trail.rows.get(made) for made in there.keys() ^ self.trail.rows.keys()}, {})
        for made, row in self.trail.rows.items():
            self.assertEqual((there[made].kind, there[made].at), (row.kind, row.at))
            at_most = self.trail.terms[row.kind][1]
            if at_most is not None and self.now - row.at > days(at_most):
                first, end = self.trail.bounds(row.kind, row.at)
                self.assertTrue(any(is_held(scopes, other, first, end, self.trail.rows.values())
                                    for scopes in self.trail.holds.values() for other in self.trail.rows.values()
                                    if other.kind == row.kind and first <= other.at < end), row)
                self.count["held past keep_at_most"] += 1
        self.assertEqual({row[0] for row in self.admin.ask("SELECT event_id FROM flytrail.confirmations")},
                         set(self.trail.confirmed))

    def assert_days_are_told(self):
        """At the end: of each day whose rows went, unless what told of it has gone by its own term."""
        told_days = set()
        for at, attributes in self.reader.ask(f"SET timezone = 'UTC'; {self.question}"):
            told = json.loads(attributes)
            if "partition" not in told:
                continue
            first, end = (datetime.datetime.fromisoformat(told[name]) for name in ("first_at", "end_at"))
            told_days |= {(told["kind"], first + days(day)) for day in range((end - first).days)}
        kept_since = self.now - days(self.trail.terms["security"][0])
        wanted = {day for day, at in self.days_gone.items() if at >= kept_since}
        self.assertEqual(wanted - told_days, set())
        self.count["days told"] = len(wanted)

    # --- the time that passes ---

    def around(self, kind, at, term):
        """The last instant before the partition of a time goes, and that in which it does."""
        first, end = self.trail.bounds(kind, at)
        goes_at = end + days(term) if term == self.trail.terms[kind][0] else first + days(term) + INSTANT
        return goes_at - INSTANT, goes_at

    def walk(self, step_days):
        steps, at = self.steps, START
        while at < self.end:
            at += days(step_days) * self.random.uniform(0.9, 1.1)
            steps[at].append(lambda: self.take_snapshot("renewed"))
        for kind, (keep_for, at_most) in self.trail.terms.items():
            for day in range(100, 105):
                for edge in self.around(kind, START + days(day), keep_for):
                    steps[edge] += []
            for day in (LACKING, GAP_DAY) if at_most else ():
                for edge in (*self.around(kind, START + days(day), keep_for), *self.around(kind, START + days(day), at_most)):
                    steps[edge] += []
            end = self.trail.bounds(kind, START + days(LATE))[1]
            late = end + days(keep_for + 2)
            self.come_late(kind, end - days(0.5), late)
            steps[late - days(1)] += []
            steps[late] += []
        steps[START + days(GAP_DAY + 3)].append(lambda: self.open_gap(START + days(GAP_DAY), START + days(GAP_DAY + 2)))
        steps[START + days(50)].append(lambda: self.add_hold(app="shop", since=START + days(35), until=START + days(45)))
        steps[START + days(80)].append(lambda: self.add_hold(actor="alice", since=START + days(60), until=START + days(75)))
        steps[START + days(self.longest + 70)].append(self.release_first_hold)
        if self.trail.terms["security"][1] is None:
            steps[START + days(self.longest + 90)].append(self.close_gap)
        for at in sorted(steps):
            if at > START:
                self.go_to(at)
                for act in steps[at]:
                    act()
                self.apply()
        self.assert_days_are_told()
        self.assertEqual(self.count["snapshots"], 1)
        for what, wanted in (("partitions", 60), ("rows", 80), ("kept", 80), ("confirmations", 5), ("days told", 400)):
            self.assertGreater(self.count[what], wanted, self.count)


class Profiles(Year):
    def test_default(self):
        self.begin("default")
        self.walk(15)

    def test_pci(self):
        self.begin("pci")
        self.walk(15)

    def test_hipaa(self):
        self.begin("hipaa")
        self.walk(30)


class Archived(Year):
    """With an archive in a real S3 server, which lacks some of it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.s3 = cls.enterClassContext(s3.Server())

    def test_eu(self):
        self.begin("eu", self.s3.bucket())
        for kind, day, is_late in (("log_lines", LACKING, False), ("log_lines", LACKING + 1, True),
                                   ("security", LACKING, False), ("operations", LACKING, True)):
            first, end = self.trail.bounds(kind, START + days(day))
            self.withhold(kind, first, first + days(1))
            if is_late:
                self.steps[end + days(self.trail.terms[kind][0] + 2)].append(
                    functools.partial(self.put_late, kind, first, end))
        self.walk(15)
        for what in ("stays", "held past keep_at_most"):
            self.assertGreater(self.count[what], 0)


if __name__ == "__main__":
    unittest.main()
