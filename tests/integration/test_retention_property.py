"""What goes and what stays, for random terms, holds, partitions, gaps and clocks."""

import datetime
import os
import random
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import flytrail  # noqa: E402
from retention import KINDS, NOW, Refused, RetentionCase, Row, days, is_held, literal  # noqa: E402


class Random(RetentionCase):
    """For random terms, holds, partitions, gaps and clocks."""

    ROUNDS, SEED = 120, 20261126
    RESET = """SET client_min_messages = warning; SET session_replication_role = replica;
        DO $$ DECLARE t regclass; BEGIN
            FOR t IN SELECT inhrelid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent WHERE c.relname IN
                ('log_lines', 'events_security', 'events_operations', 'confirmations') AND c.relkind = 'p' LOOP
                EXECUTE format('DROP TABLE %s', t);
            END LOOP; END $$;
        DELETE FROM flytrail.hold_releases; DELETE FROM flytrail.holds; DELETE FROM flytrail.retention"""

    def setUp(self):
        super().setUp()
        self.kept = self.gone = self.held = self.gaps = self.refused = 0

    def random_term(self, r, kind):
        keep_for = r.choice((1, 5, 30, 60, 85, 92, 150, 330))
        room = 2 + (31 if kind != "log_lines" else 7)
        return keep_for, r.choice((None, None, keep_for + room, keep_for + room + r.randrange(100)))

    def make_rows(self, r):
        """Under other terms than those that they go by."""
        sql = []
        self.admin.ask("INSERT INTO flytrail.retention (kind, keep_for_days) VALUES ('log_lines', "
                       f"{r.choice((30, 100))})")
        for _ in range(r.randrange(15, 30)):
            kind = r.choice(("log_lines", "log_lines", "security", "operations"))
            at = NOW - days(r.choice((r.uniform(-1, 30), r.uniform(0, 200), r.uniform(0, 500))))
            app, actor = r.choice(("web", "db")), r.choice(("alice", "bob", "unknown"))
            klass = {"log_lines": "app_log", "security": "access", "operations": "boot"}[kind]
            fields = {"app": app} | ({} if kind == "log_lines" else {"actor": actor, "class": klass})
            insert, _ = self.values(kind, at, **fields)
            sql.append(f"SELECT flytrail.ensure_partition('{kind}', '{at}'); {insert}")
            if r.random() < 0.1:
                self.admin.ask(f"UPDATE flytrail.retention SET keep_for_days = {r.choice((30, 100))}")
        self.writer.ask("; ".join(sql))
        self.admin.ask("DELETE FROM flytrail.retention")

    def make_holds(self, r):
        holds = []
        for _ in range(r.choice((0, 1, 1, 2))):
            since = r.choice((None, NOW - days(r.uniform(0, 400))))
            until = r.choice((None, (since or NOW - days(200)) + days(r.uniform(1, 100))))
            hold = {"app": r.choice((None, "web", "x")), "actor": r.choice((None, None, "alice")),
                    "class": r.choice((None, None, "app_log", "access")), "since": since, "until": until}
            if any(value is not None for value in hold.values()):
                made = self.admin.one(f"SELECT flytrail.add_hold({', '.join(map(literal, hold.values()))}, 'x')")
                if r.random() < 0.2:
                    self.admin.ask(f"SELECT flytrail.release_hold('{made}', 'y')")
                else:
                    holds.append(hold)
        return holds

    def apply(self, r):
        """As src/run/retention.c does it, with troubles."""
        for name, (goes, _, _) in self.plan().items():
            if not goes:
                continue
            leaving = self.detach(name)
            rows, digest, _ = self.digest(leaving)
            trouble = r.random()
            if trouble < 0.1:
                self.attach(leaving)
                leaving = self.detach(name)
            archive = {"rows": int(rows), "digest": digest} if trouble < 0.5 else None
            if trouble < 0.2:
                archive["rows"] += 1
            try:
                self.drop(leaving, archive, "true" if trouble < 0.15 else "false")
            except Refused as refused:
                self.assertEqual(refused.state, "FT003")
                self.refused += 1
                self.attach(leaving)
                self.drop(self.detach(name))

    def check(self, before, rows, bounds, terms, holds, gap):
        there = self.ids()
        for made in before:
            row = rows[made]
            kind, at = row.kind, row.at
            keep_for, at_most = terms.get(kind, (None, None))
            first, end, together = next((first, end, [rows[i] for i in ids]) for first, end, ids in bounds if made in ids)
            is_past = keep_for is not None and end <= self.now - days(keep_for)
            is_too_old = is_past and at_most is not None and first < self.now - days(at_most)
            has_hold = any(is_held(hold, other, first, end, rows.values()) for hold in holds for other in together)
            has_gap = gap is not None and gap[0] < end and gap[1] >= first
            if has_hold or not is_past:
                self.assertIn(made, there, row)
                self.held += has_hold and is_past
                self.kept += not is_past
            elif is_too_old or not has_gap:
                self.assertNotIn(made, there, row)
                self.gone += 1
                self.assertTrue(at < self.now - days(keep_for))
            elif kind == "security" or "security" not in terms or terms["security"][1] is None:
                self.assertIn(made, there, row)
                self.gaps += 1
            if at_most is not None and at < self.now - days(at_most) and is_past and not has_hold:
                self.assertNotIn(made, there, row)

    def read_all(self):
        """(kind, time, app, actor, class) by id, and (first, end, ids) of each partition that has rows."""
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        rows, partitions = {}, {}
        for made, first, end, kind, at, app, actor, klass in self.admin.ask(f"""
                SELECT r.id, {', '.join(f"(extract(epoch FROM {at}) * 1000000)::bigint" for at in ('first_at', 'end_at'))},
                    k.kind, (extract(epoch FROM r.occurred_at) * 1000000)::bigint, r.app, r.actor, r.class
                FROM (SELECT id, tableoid, occurred_at, app, NULL AS actor, class FROM flytrail.log_lines UNION ALL
                    SELECT event_id, tableoid, occurred_at, app, actor, class FROM flytrail.events) AS r,
                    unnest(ARRAY['log_lines', 'security', 'operations']) AS k (kind), flytrail.partitions(k.kind) p
                WHERE p.partition = r.tableoid"""):
            first, end, at = (epoch + datetime.timedelta(microseconds=int(us)) for us in (first, end, at))
            rows[made] = Row(kind, at, app, actor, klass)
            partitions.setdefault((kind, first, end), set()).add(made)
        return rows, [(first, end, ids) for (_, first, end), ids in partitions.items()]

    def one_round(self, r):
        self.admin.ask(self.RESET)
        self.admin.ask("SET session_replication_role = origin")
        self.set_clock(NOW)
        self.make_rows(r)
        holds = self.make_holds(r)
        gap = None
        if r.random() < 0.5:
            start = NOW - days(r.uniform(0, 300))
            gap = (start, start + days(r.uniform(0, 40)))
            self.add_gap(*gap)
        self.set_clock(NOW + days(r.choice((0, 0, 10, 75))))
        disagrees = r.random() < 0.1
        self.add_started(self.now + (days(1.1 if gap else r.choice((-1.1, 1.1))) if disagrees else days(0)))
        terms = {kind: self.random_term(r, kind) for kind in KINDS if r.random() < 0.9}
        for kind, term in terms.items():
            self.set_term(kind, *term)
        rows, bounds = self.read_all()
        before = self.ids()
        if disagrees:
            with self.assertRaises(Refused) as got:
                self.apply(r)
                raise Refused("FT002", "nothing was to go")
            self.assertEqual(got.exception.state, "FT002")
            self.assertEqual(self.ids(), before)
            return
        self.apply(r)
        self.check(before, rows, bounds, terms, holds, gap)

    def test_nothing_held_or_within_its_term_goes_and_all_past_its_upper_limit_does(self):
        for number in range(self.ROUNDS):
            with self.subTest(round=number):
                self.one_round(random.Random(self.SEED + number))
        told = (self.kept, self.gone, self.held, self.gaps, self.refused)
        for count, wanted in zip(told, (500, 500, 50, 20, 10)):
            self.assertGreater(count, wanted, told)


if __name__ == "__main__":
    unittest.main()
