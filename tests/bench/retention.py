"""What planning and applying retention costs, and whether intake notices, for `make bench`.

Three years of partitions, daily ones of lines and monthly ones of events, and so many rows in them. What goes is
told, taken out, held against its digest and dropped by the functions of the schema, as `flytrail retention apply`
does; what it asks of S3 is not in it.
"""

import collections
import threading
import time

from measure import WAIT_SECONDS


DAYS, MONTHS = 3 * 365, 36
KEEP_DAYS = 90  # what is older goes
MAKE_AT_ONCE = 50  # partitions of a transaction: each is some locks
FILL_AT_ONCE = 500000
EVENTS_SHARE = 100  # a hundredth of the rows are events
AT_ONCE = 30  # partitions of an apply
FULL_SHARE = 0.12  # of COPY's rows a second: what the program, Postgres and the publisher take together on two cores, with room
LOAD_SECONDS = 30
WARM_SECONDS = 5
TRIES = 30
Applied = collections.namedtuple("Applied", "dropped total digests tries")


def make_partitions(bench):
    for first in range(0, DAYS, MAKE_AT_ONCE):
        bench.postgres.psql(
            "SET ROLE flytrail_owner; SELECT flytrail.make_partition('log_lines', day, day + interval '1 day') FROM (SELECT "
            "date_trunc('day', now()) - d * interval '1 day' AS day FROM "
            f"generate_series({first + 1}, {min(first + MAKE_AT_ONCE, DAYS)}) AS d) AS days "
            "WHERE NOT flytrail.has_partition('log_lines', day)")
    for first in range(0, MONTHS, 6):
        bench.postgres.psql(
            "SET ROLE flytrail_owner; SELECT flytrail.make_partition(kind, month, month + interval '1 month') FROM unnest(ARRAY['security', "
            "'operations']) AS kind, (SELECT date_trunc('month', now()) - m * interval '1 month' AS month FROM "
            f"generate_series({first + 1}, {first + 6}) AS m) AS months WHERE NOT flytrail.has_partition(kind, month)")


def fill(bench, rows):
    """Spread over all days; none of them came live, so that no gap reaches from them to now."""
    at = f"date_trunc('day', now()) - (1 + n % {DAYS - 1}) * interval '1 day' + n % 86000 * interval '1 s'"
    identity = "md5(n::text || 'x')::uuid"
    stream = "'11111111-2222-4333-8444-555555555555'"
    for first in range(0, rows, FILL_AT_ONCE):
        series = f"generate_series({first + 1}::bigint, {min(first + FILL_AT_ONCE, rows)})"
        bench.postgres.psql(
            "INSERT INTO flytrail.log_lines (id, occurred_at, occurred_ns, observed_at, source, app, class, message, stream, seq) "
            f"SELECT {identity}, {at}, 0, {at}, 'file', 'web-' || n % 50, 'app_log', repeat('a line ', 20), {stream}, n "
            f"FROM {series} AS n ORDER BY 2, 1")
        bench.postgres.psql(
            "INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis, observed_at, actor, "
            "actor_type, outcome, severity, trust, source, stream, seq) "
            f"SELECT {identity}, CASE WHEN n % 2 = 0 THEN 'security' ELSE 'operations' END, CASE WHEN n % 2 = 0 THEN 'ssh_session' "
            f"ELSE 'exit' END, 'x', {at}, 'source', {at}, 'unknown', 'unknown', 'unknown', 2, 'guest', 'file', {stream}, n "
            f"FROM {series} AS n WHERE n % {EVENTS_SHARE} < 2 ORDER BY 2, 5, 1")
    bench.postgres.psql("ANALYZE")


def prepare(bench, rows):
    bench.postgres.psql("ALTER SYSTEM SET track_commit_timestamp = on")
    bench.postgres.stop()
    bench.postgres.restart()
    bench.empty_trail()
    make_partitions(bench)
    fill(bench, rows)
    bench.postgres.psql(f"SELECT flytrail.set_retention(kind, {KEEP_DAYS}, NULL) "
                        "FROM unnest(ARRAY['log_lines', 'security', 'operations']) AS kind; "
                        "SELECT flytrail.add_hold('web-7', NULL, NULL, now() - interval '700 days', now() - interval '690 days', "
                        "'a bench'); CHECKPOINT")


def plan_seconds(bench):
    """And how many partitions there are, and how many of them go."""
    [[seconds, count, goes]] = bench.postgres.psql(
        "CREATE TEMPORARY TABLE begun AS SELECT clock_timestamp() AS at; "
        "CREATE TEMPORARY TABLE planned AS SELECT * FROM flytrail.retention_plan(); "
        "SELECT extract(epoch FROM clock_timestamp() - at), (SELECT count(*) FROM planned), "
        "(SELECT count(*) FROM planned WHERE goes) FROM begun")
    return float(seconds), int(count), int(goes)


def apply(bench):
    """AT_ONCE of the oldest daily partitions, each in the transactions that `apply` takes."""
    sql = f"""
        SELECT pg_advisory_lock(hashtextextended('flytrail.retention', 0));
        CREATE TEMPORARY TABLE took (dropped int, digests interval, tries int);
        CREATE TEMPORARY TABLE goes AS SELECT partition, first_at FROM flytrail.retention_plan()
            WHERE kind = 'log_lines' AND goes ORDER BY first_at LIMIT {AT_ONCE};
        CREATE TEMPORARY TABLE begun AS SELECT clock_timestamp() AS at;
        DO $$
        DECLARE
            one name; left_as text; tried int; began timestamptz; digests interval;
        BEGIN
            FOR one IN SELECT partition FROM goes ORDER BY first_at LOOP
                left_as := NULL;
                tried := 0;
                WHILE left_as IS NULL LOOP
                    tried := tried + 1;
                    BEGIN
                        left_as := flytrail.retention_detach(one);
                    EXCEPTION WHEN lock_not_available THEN
                        IF tried >= {TRIES} THEN RAISE; END IF;
                    END;
                    COMMIT;
                END LOOP;
                began := clock_timestamp();
                PERFORM flytrail.retention_digest(left_as);
                digests := clock_timestamp() - began;
                COMMIT;
                PERFORM flytrail.retention_drop(left_as, NULL, false);
                INSERT INTO took VALUES (1, 2 * digests, tried); -- the drop makes another
                COMMIT;
            END LOOP;
        END $$;
        SELECT sum(dropped), extract(epoch FROM clock_timestamp() - (SELECT at FROM begun)), extract(epoch FROM sum(digests)),
            sum(tries) FROM took"""
    dropped, total, digests, tries = bench.postgres.psql(sql, role="flytrail_writer")[-1]
    if int(dropped) != AT_ONCE:
        raise SystemExit(f"bench: {dropped} of {AT_ONCE} partitions were dropped")
    return Applied(int(dropped), float(total), float(digests), int(tries))


def latency(bench, rate, tag, meanwhile=None):
    """Half, 99 % and all lines within so many ms, from the publish to the COMMIT of their row; what meanwhile gave."""
    made = []
    with bench.flytrail(bench.environment()) as process:
        bench.await_connected(process)
        publisher = bench.publish(rate=rate, count=rate * LOAD_SECONDS, tag=tag)
        time.sleep(WARM_SECONDS)
        worker = threading.Thread(target=lambda: made.append(meanwhile()))
        if meanwhile:
            worker.start()
            worker.join(WAIT_SECONDS)
            if not made:
                raise SystemExit("bench: retention was not applied")
        if publisher.wait(WAIT_SECONDS) != 0:
            raise SystemExit("bench: natspub failed")
        bench.await_delivered()
    half, share, slowest, count = bench.postgres.psql(
        "SELECT 1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY waited), 1000 * percentile_cont(0.99) WITHIN GROUP (ORDER BY "
        "waited), 1000 * max(waited), count(*) FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - occurred_at)::float "
        f"AS waited, occurred_at, min(occurred_at) OVER () AS first_at FROM flytrail.log_lines WHERE occurred_at > now() - "
        f"interval '10 minutes' AND message LIKE '{tag} line %') AS lines "
        f"WHERE occurred_at > first_at + interval '{WARM_SECONDS} s'")[0]
    return float(half), float(share), float(slowest), int(count), made[0] if made else None


def measure(bench, rows, figures, note):
    rate = int(bench.copy_rate() * FULL_SHARE)
    begun = time.monotonic()
    prepare(bench, rows)
    note(f"{rows:,} rows in {DAYS} daily and {2 * MONTHS} monthly partitions, made in {time.monotonic() - begun:.0f} s")
    for _ in range(3):
        seconds, count, goes = plan_seconds(bench)
        figures["retention_plan"].append(seconds)
        note(f"the plan of {count:,} partitions, of which {goes:,} go: {seconds:.2f} s")
    half, share, slowest, lines, _ = latency(bench, rate, "quiet")
    figures["stored_p99"].append(share)
    note(f"publish to stored at {rate:,} lines/s, {lines:,} lines: half {half:.0f} ms, 99 % {share:.0f} ms, slowest {slowest:.0f} ms")
    done = apply(bench)
    figures["retention_apply"].append(done.total - done.digests)
    note(f"{done.dropped} partitions taken out and dropped in {done.total:.2f} s, of which digests {done.digests:.2f} s; "
         f"{done.tries} attempts")
    half, share, slowest, lines, done = latency(bench, rate, "busy", lambda: apply(bench))
    figures["applying_p99"].append(share)
    note(f"the same while {done.dropped} partitions were taken out and dropped in {done.total:.2f} s, {done.tries} attempts: "
         f"half {half:.0f} ms, 99 % {share:.0f} ms, slowest {slowest:.0f} ms, {lines:,} lines")
