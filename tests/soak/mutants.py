"""Lies about a finished soak that its verdict must not believe: each (case, kind of finding)."""

import copy

import verdict

SECOND_NS = 10**9


def altered(case, **changes):
    other = copy.copy(case)
    for name, value in changes.items():
        setattr(other, name, value)
    return other


def stored_outside_of_gaps(case):
    """The index of a row that no gap may excuse."""
    excused = verdict.GapTimes(case.gaps)
    return next(at for at in reversed(range(len(case.rows)))
                if not excused.hold(case.rows[at].app, case.rows[at].ns))


def without(rows, at):
    return rows[:at] + rows[at + 1:]


def a_row_is_gone(case):
    """a stored row is taken away"""
    at = stored_outside_of_gaps(case)
    return altered(case, rows=without(case.rows, at)), "silent"


def a_row_is_there_twice(case):
    """a row is there a second time, under another id"""
    row = case.rows[len(case.rows) // 2]
    return altered(case, rows=case.rows + [row._replace(id=case.rows[0].id)]), "twice"


def a_text_is_changed(case):
    """a text is changed"""
    at = len(case.rows) // 2
    row = case.rows[at]._replace(digest=verdict.digest("another text"))
    return altered(case, rows=without(case.rows, at) + [row]), "changed"


def an_id_is_wrong(case):
    """a row has the id of another"""
    at = len(case.rows) // 2
    row = case.rows[at]._replace(id=case.rows[at - 1].id)
    return altered(case, rows=without(case.rows, at) + [row]), "changed"


def a_row_is_foreign(case):
    """a row is there that nobody published"""
    row = case.rows[0]
    return altered(case, rows=case.rows + [row._replace(ns=row.ns - 1)]), "foreign"


def in_a_gap(case, state, width_ns):
    """A case in which a row is gone, and the only gap around it is a made one of that width."""
    at = stored_outside_of_gaps(case)
    ns = case.rows[at].ns
    made = [verdict.Gap(f"made {name}", None, ns - width_ns, ns + width_ns - 1, "start", state, 0,
                        None, name) for name in case.replicas]
    return altered(case, rows=without(case.rows, at), gaps=case.gaps + made, may_lose=None,
                   fills=False, events=None)


def a_gap_says_filled(case):
    """a gap says that it was filled, and a line of it is gone"""
    return in_a_gap(case, "filled", SECOND_NS), "claimed"


def a_line_is_missing_from_a_time_of_listening(case):
    """flytrail says that it was listening, and a line of that time is gone"""
    other = in_a_gap(case, "open", SECOND_NS)
    made = other.gaps[-1]
    word = verdict.Word("trail.listening", None, made.start_ns, made.end_ns)
    return altered(other, words=[word]), "claimed"


def an_alarm_is_false(case):
    """flytrail says that Fly's second copy lacks a line"""
    return altered(case, alarms=["trail.unconfirmed_line"]), "alarm"


def a_gap_is_too_small(case):
    """a gap ends a nanosecond before the line that is gone"""
    return in_a_gap(case, "open", 0), "silent"


def a_line_is_lost_for_nothing(case):
    """a line is gone, within a gap, while nothing was broken"""
    other = in_a_gap(case, "open", SECOND_NS)
    # Nothing was ever broken, is what this lie says.
    return altered(other, may_lose={name: verdict.Spans([]) for name in case.replicas}), "needless"


def a_line_is_not_filled(case):
    """a line is gone, within a gap, though the second copy has it"""
    return altered(in_a_gap(case, "open", SECOND_NS), fills=True), "unfilled"


def a_gap_never_ends(case):
    """a gap has no end"""
    gap = verdict.Gap("made", None, 0, None, "disconnect", "open", 0, None, case.replicas[0])
    return altered(case, gaps=case.gaps + [gap]), "unended"


def an_event_is_gone(case):
    """an event of a stored line is taken away"""
    return altered(case, events=case.events[1:]), "events"


MUTANTS = (a_row_is_gone, a_row_is_there_twice, a_text_is_changed, an_id_is_wrong,
           a_row_is_foreign, a_gap_says_filled, a_line_is_missing_from_a_time_of_listening,
           an_alarm_is_false, a_gap_is_too_small, a_line_is_lost_for_nothing,
           a_line_is_not_filled, a_gap_never_ends, an_event_is_gone)
