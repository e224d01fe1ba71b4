"""Was every published line stored once, or lost with a word about it, and nothing else stored?

Pure: from what was published and what was found to findings. An empty list is a green verdict.
"""

import bisect
import collections
import hashlib

import lines as soak_lines

EXAMPLES = 5  # shown of each kind of finding; the evidence has them all

# what: one of the kinds below. n: number of the line, None where there is none.
Finding = collections.namedtuple("Finding", "kind what n")
KINDS = {
    "silent": "a line is missing, and no gap says so",
    "claimed": "flytrail says that nothing is missing from a time, and a line is",
    "twice": "a line is stored more than once",
    "changed": "a line is stored with another text, id or origin",
    "foreign": "a row that nobody published",
    "needless": "a line is missing from a time at which nothing stood in its way",
    "unended": "a gap has no end, or no beginning, although everything is well again",
    "unfilled": "a line is missing that Fly's second copy still has",
    "events": "events and classified lines differ",
    "alarm": "flytrail reports a line that is not confirmed, an id that differs, a dead letter",
}

# replica: who noticed it. end_ns None: not over. start_ns None: not known.
Gap = collections.namedtuple(
    "Gap", "gap_id app start_ns end_ns reason state recovered lost replica")
# flytrail's word that it has all lines of a time: it was listening, or has compared.
# app None: all of them.
Word = collections.namedtuple("Word", "what app start_ns end_ns")
Row = collections.namedtuple("Row", "id app machine ns region source klass digest")

# States in which a gap says that every line of it is there.
WHOLE = ("filled", "covered")
CAN_HAVE_NO_START = ("spool_damaged", "store_rewound")


class Spans:
    """Times, as sorted spans that do not touch; asked whether one holds a moment."""

    def __init__(self, spans):
        self.starts, self.ends = [], []
        for start, end in sorted(spans):
            if self.ends and start <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            else:
                self.starts.append(start)
                self.ends.append(end)

    def hold(self, moment):
        at = bisect.bisect_right(self.starts, moment) - 1
        return at >= 0 and moment <= self.ends[at]

    def total(self):
        return sum(end - start for start, end in zip(self.starts, self.ends))


class GapTimes:
    """Whether gaps, or words, are about a line."""

    def __init__(self, gaps):
        by_app = collections.defaultdict(list)
        for gap in gaps:
            start = float("-inf") if gap.start_ns is None else gap.start_ns
            end = float("inf") if gap.end_ns is None else gap.end_ns
            by_app[gap.app].append((start, end))
        self.by_app = {app: Spans(spans) for app, spans in by_app.items()}

    def hold(self, app, ns):
        return any(key in self.by_app and self.by_app[key].hold(ns) for key in (None, app))


class Case:
    """What a verdict is made of."""

    def __init__(self, lines, rows, gaps, replicas, shared=False, fills=False, may_lose=None):
        self.lines = lines          # lines.Lines
        self.rows = rows
        self.gaps = gaps
        self.replicas = replicas    # names
        self.shared = shared        # a line goes to one replica, not to each
        self.fills = fills          # the binary fills gaps from Fly's second copy
        self.may_lose = may_lose    # by replica: Spans in which it could not take lines; or None
        self.events = None          # ids of events that lines made; or None: not looked at
        self.words = []             # flytrail's, that nothing is missing
        self.alarms = []            # texts
        self.by_key = {}
        for n, (ns, place, _) in enumerate(lines.all):
            self.by_key[(lines.places[place][0], lines.places[place][2], ns)] = n

    def key(self, n):
        place = self.lines.place(n)
        return place[0], place[2], self.lines.all[n][0]


def digest(text):
    return hashlib.md5(text.encode()).hexdigest()


def row_findings(case, seen):
    """What is wrong with single rows; fills seen: how often each line is stored."""
    for row in case.rows:
        n = case.by_key.get((row.app, row.machine, row.ns))
        if n is None:
            yield Finding("foreign", f"{row}", None)
            continue
        seen[n] += 1
        text = case.lines.stored_text(n)
        region = case.lines.place(n)[1]
        if row.digest != digest(text):
            yield Finding("changed", f"the text of {row}", n)
        elif row.id != soak_lines.line_id(row.app, row.machine, text, row.ns):
            yield Finding("changed", f"the id of {row}", n)
        elif row.region != region:
            yield Finding("changed", f"the region of {row}", n)
        if seen[n] > 1:
            yield Finding("twice", f"{row}", n)


def missing_findings(case, missing):
    by_replica = {name: GapTimes([gap for gap in case.gaps if gap.replica == name])
                  for name in case.replicas}
    whole = GapTimes([gap for gap in case.gaps if gap.state in WHOLE] + case.words)
    enough = any if case.shared else all
    for n in missing:
        app, _, ns = case.key(n)
        if not enough(times.hold(app, ns) for times in by_replica.values()):
            yield Finding("silent", f"{case.key(n)}", n)
        if whole.hold(app, ns):
            yield Finding("claimed", f"{case.key(n)}", n)
        if case.fills:
            yield Finding("unfilled", f"{case.key(n)}", n)
        if case.may_lose is not None and \
                not enough(case.may_lose[name].hold(ns) for name in case.replicas):
            yield Finding("needless", f"{case.key(n)}", n)


def gap_findings(case):
    for gap in case.gaps:
        if gap.end_ns is None:
            yield Finding("unended", f"{gap}", None)
        elif gap.start_ns is None and gap.reason not in CAN_HAVE_NO_START:
            yield Finding("unended", f"{gap}", None)
        elif case.fills and gap.state == "open":
            yield Finding("unended", f"still open: {gap}", None)


def event_findings(case):
    if case.events is None:
        return
    wanted = collections.Counter(row.id for row in case.rows if row.klass != "app_log")
    found = collections.Counter(case.events)
    for event_id in (wanted - found).keys() | (found - wanted).keys():
        yield Finding("events", f"{event_id}: {wanted[event_id]} lines, {found[event_id]} events",
                      None)


def alarm_findings(case):
    for alarm in case.alarms:
        yield Finding("alarm", alarm, None)


class Verdict:
    def __init__(self, findings, missing):
        self.findings = findings
        self.missing = missing  # numbers of lines that are not stored

    def of(self, kind):
        return [finding for finding in self.findings if finding.kind == kind]

    def is_green(self):
        return not self.findings


def judge(case):
    seen = [0] * len(case.lines.all)
    findings = list(row_findings(case, seen))
    missing = [n for n, count in enumerate(seen) if count == 0]
    findings += missing_findings(case, missing)
    findings += gap_findings(case)
    findings += event_findings(case)
    findings += alarm_findings(case)
    return Verdict(findings, missing)
