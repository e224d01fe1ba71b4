-- oldest: 3
-- What became of gaps, and what the trail can be believed to cover.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- flytrail's own facts by what they say: gaps are few, and must be found among many others.
CREATE INDEX events_trail_action_idx ON flytrail.events (action, occurred_at DESC) WHERE class = 'trail';

-- What is not judged with its hour: it was stored too late for that, from a spool that waited or with a
-- forged time, or is in the name of what can be no application of Fly's.
CREATE INDEX events_late_idx ON flytrail.events (stored_at)
	WHERE source = 'nats' AND (stored_at - occurred_at > interval '1 hour' OR length(app) > 64);

-- All that was said of gaps is read at once and put together: asked for gap by gap it would be looked
-- for in each month of the history.
CREATE OR REPLACE VIEW flytrail.gaps AS
WITH told AS (
	SELECT
		e.correlation_id AS gap_id, e.stream, e.seq, e.action, e.occurred_at, e.observed_at, e.machine_id, e.attributes,
		e.attributes ->> 'reason' AS reason,
		(e.attributes ->> 'gap_end')::timestamptz AS gap_end,
		flytrail.as_number(e.attributes ->> 'lines_lost') AS lines_lost,
		e.attributes ? 'lines_recovered' AS is_recoverys
	FROM flytrail.events e
	WHERE e.retention_class = 'security' AND e.class = 'trail'
		AND e.action IN ('trail.gap_opened', 'trail.gap_progress', 'trail.gap_closed')
), opened AS (
	-- A start that took nothing is told again by the next.
	SELECT DISTINCT ON (t.gap_id, t.stream) t.*
	FROM told t WHERE t.action = 'trail.gap_opened'
	ORDER BY t.gap_id, t.stream, t.seq
), extent AS (
	-- What its own stream said last of its end.
	SELECT DISTINCT ON (t.gap_id, t.stream) t.gap_id, t.stream, t.seq, t.observed_at, t.gap_end, t.lines_lost
	FROM told t WHERE t.action IN ('trail.gap_opened', 'trail.gap_progress') AND NOT t.is_recoverys
	ORDER BY t.gap_id, t.stream, t.seq DESC
), starts AS (
	SELECT t.stream, t.seq, t.occurred_at, t.gap_end
	FROM told t
	WHERE t.action IN ('trail.gap_opened', 'trail.gap_progress') AND t.reason = 'start' AND t.gap_end IS NOT NULL
), closed AS (
	SELECT DISTINCT ON (t.gap_id)
		t.gap_id, t.occurred_at, coalesce(t.attributes ->> 'state', 'closed') AS state, t.attributes ->> 'why' AS why,
		t.gap_end
	FROM told t WHERE t.action = 'trail.gap_closed'
	ORDER BY t.gap_id, t.occurred_at DESC, t.seq DESC
), found AS (
	SELECT t.gap_id, max(flytrail.as_number(t.attributes ->> 'lines_recovered')) AS lines_recovered
	FROM told t WHERE t.action IN ('trail.gap_progress', 'trail.gap_closed') AND t.is_recoverys
	GROUP BY t.gap_id
)
SELECT
	gap.gap_id, gap.app, gap.gap_start, gap.gap_end, gap.reason,
	-- A gap that went on after it was closed is open again.
	CASE WHEN closed.gap_end >= gap.gap_end THEN closed.state ELSE 'open' END AS state,
	coalesce(found.lines_recovered, 0)::bigint AS lines_recovered,
	gap.noticed_by,
	coalesce(CASE WHEN closed.gap_end >= gap.gap_end THEN closed.occurred_at END, gap.extended_at, gap.observed_at)
		AS state_since,
	gap.lines_lost,
	CASE WHEN closed.gap_end >= gap.gap_end THEN closed.why END AS why,
	gap.stream
FROM (
	SELECT
		own.gap_id, own.app, own.stream, own.observed_at, own.gap_start,
		coalesce(own.gap_end, later.gap_end, ended.gap_end) AS gap_end,
		coalesce(own.reason, 'unknown') AS reason, own.noticed_by, own.lines_lost, own.extended_at
	FROM (
		SELECT
			o.gap_id, o.attributes ->> 'app' AS app, o.stream, o.seq, o.occurred_at, o.observed_at, o.reason,
			coalesce((o.attributes ->> 'gap_start')::timestamptz, '-infinity') AS gap_start,
			-- A newest word without an end says that it goes on.
			CASE WHEN x.observed_at IS NULL THEN o.gap_end ELSE x.gap_end END AS gap_end,
			coalesce(o.machine_id, o.stream::text) AS noticed_by,
			coalesce(x.lines_lost, o.lines_lost)::bigint AS lines_lost,
			x.observed_at AS extended_at
		FROM opened o
		LEFT JOIN extent x ON x.gap_id = o.gap_id AND x.stream = o.stream AND x.seq > o.seq
	) AS own
	-- Who crashes in a gap never tells its end. The gap of the next start of this spool goes on from
	-- there until lines came again.
	LEFT JOIN LATERAL (
		SELECT min(s.gap_end) AS gap_end FROM starts s
		WHERE own.gap_end IS NULL AND own.reason IN ('start', 'disconnect', 'spool_full', 'heartbeat_missed')
			AND s.stream = own.stream AND s.seq > own.seq
			AND s.occurred_at > own.occurred_at - interval '1 day' -- it begins seconds before what was accepted last
	) AS later ON true
	-- Nor does one that never comes back, or comes back as another stream. From its last record on it
	-- took nothing: whether somebody else did is for the view coverage.
	LEFT JOIN LATERAL (
		SELECT s.updated_at + interval '10 seconds' AS gap_end FROM flytrail.streams s
		WHERE s.stream = own.stream AND s.updated_at < now() - interval '1 day'
	) AS ended ON true
) AS gap
LEFT JOIN closed ON closed.gap_id = gap.gap_id
LEFT JOIN found ON found.gap_id = gap.gap_id;
COMMENT ON COLUMN flytrail.gaps.reason IS 'start, disconnect, slow_consumer, heartbeat_missed, time_jump, spool_full, spool_damaged, store_rewound or tie_cut';
COMMENT ON COLUMN flytrail.gaps.state IS 'open: not filled yet. filled: all that Fly''s second copy has of it is here. covered: another replica took the lines. partly_lost: filled, but not provably all of it, and why says so. lost: older than what Fly keeps';
COMMENT ON COLUMN flytrail.gaps.lines_recovered IS 'lines that were missing and were taken from Fly''s second copy';
COMMENT ON COLUMN flytrail.gaps.why IS 'what its state stands on; null while it is open';
COMMENT ON COLUMN flytrail.gaps.stream IS 'the spool that it is a gap of';

COMMENT ON COLUMN flytrail.confirmations.source IS 'http: Fly''s second copy has the same line. http_differs: it has a line of the same application, machine and nanosecond with another text';

-- A line that came by Fly's second copy itself needs no other to confirm it.
CREATE OR REPLACE VIEW flytrail.ssh_sessions AS
SELECT
	e.event_id, e.occurred_at AS opened_at, e.app, e.region, e.machine_id, e.actor, e.actor_type,
	CASE e.attributes ->> 'verified' WHEN 'true' THEN true WHEN 'false' THEN false END AS verified,
	e.trust,
	CASE
		WHEN e.trust = 'api' THEN 'api'
		WHEN e.source = 'http' OR certificate.event_id IS NOT NULL OR EXISTS (
			SELECT FROM flytrail.confirmations c
			WHERE c.event_id = e.event_id AND c.occurred_at = e.occurred_at AND c.source = 'http') THEN 'confirmed'
		ELSE 'claimed'
	END AS assurance,
	certificate.event_id AS certificate_event,
	'unknown: Fly prints nothing when a session ends'::text AS closed_reason
FROM flytrail.events e
LEFT JOIN LATERAL (
	SELECT c.event_id FROM flytrail.events c
	WHERE c.retention_class = 'security' AND c.class = 'access' AND c.action = 'access.certificate_issued'
		AND c.actor = e.actor AND c.actor <> 'unknown'
		AND c.occurred_at <= e.occurred_at AND c.occurred_at > e.occurred_at - interval '1 day'
	ORDER BY c.occurred_at DESC LIMIT 1
) AS certificate ON true
WHERE e.retention_class = 'security' AND e.class = 'ssh_session' AND e.action = 'ssh_session.opened';

CREATE OR REPLACE VIEW flytrail.timeline AS
SELECT
	e.occurred_at, e.not_after, e.class, e.action, e.app, e.region, e.machine_id,
	e.actor, e.actor_type, e.outcome, e.severity, e.trust,
	CASE
		WHEN e.trust IN ('api', 'self') THEN e.trust
		WHEN e.source = 'http' OR EXISTS (
			SELECT FROM flytrail.confirmations c
			WHERE c.event_id = e.event_id AND c.occurred_at = e.occurred_at AND c.source = 'http') THEN 'confirmed'
		ELSE 'claimed'
	END AS assurance,
	coalesce(e.summary, flytrail.without_ansi(e.message)) AS summary,
	flytrail.without_ansi(e.message) AS message,
	e.attributes, e.target_type, e.target, e.correlation_id, e.org, e.event_id
FROM flytrail.events e
-- What only says that all is well, or goes on, is for the view coverage.
WHERE e.action NOT IN ('trail.gap_progress', 'trail.listening')
	AND (e.action <> 'trail.window_checked' OR e.attributes ->> 'state' <> 'agrees');

-- When somebody listened, in one row for each uninterrupted time of any replica. Where a replica
-- crashed, what it had accepted was listening too, as far as its next gap.
CREATE VIEW flytrail.listening AS
SELECT told.stream, lower(part.range) AS listening_start, upper(part.range) AS listening_end
FROM (
	SELECT heard.stream, range_agg(tstzrange(heard.since, heard.until, '[]')) AS ranges
	FROM (
		SELECT said.stream,
			CASE WHEN said.is_gap THEN max(said.until) OVER earlier ELSE said.since END AS since,
			CASE WHEN said.is_gap THEN said.at ELSE said.until END AS until
		FROM (
			SELECT e.stream, false AS is_gap, e.occurred_at AS at,
				(e.attributes ->> 'listening_start')::timestamptz AS since,
				(e.attributes ->> 'listening_end')::timestamptz AS until
			FROM flytrail.events e
			WHERE e.retention_class = 'security' AND e.class = 'trail' AND e.action = 'trail.listening'
				AND NOT e.attributes ? 'subject' -- who subscribed to a part vouches for no more
			UNION ALL
			SELECT g.stream, true, g.gap_start, NULL, NULL FROM flytrail.gaps g WHERE g.reason = 'start'
		) AS said
		WINDOW earlier AS (PARTITION BY said.stream ORDER BY said.at)
	) AS heard
	WHERE heard.since <= heard.until
	GROUP BY heard.stream
) AS told
CROSS JOIN LATERAL unnest(told.ranges) AS part (range);
COMMENT ON VIEW flytrail.listening IS 'when each spool took all that its source gave it, the log stream or Fly''s HTTP logs API; the margins of gaps are in it';
COMMENT ON COLUMN flytrail.listening.stream IS 'the spool';
COMMENT ON COLUMN flytrail.listening.listening_start IS 'from when on';
COMMENT ON COLUMN flytrail.listening.listening_end IS 'until when';

CREATE VIEW flytrail.coverage AS
WITH gaps AS (SELECT * FROM flytrail.gaps), listening AS (SELECT * FROM flytrail.listening)
SELECT
	e.attributes ->> 'app' AS app,
	(e.attributes ->> 'window_start')::timestamptz AS window_start,
	(e.attributes ->> 'window_end')::timestamptz AS window_end,
	'compared'::text AS kind,
	coalesce(e.attributes ->> 'state', 'unknown') AS state,
	e.attributes ->> 'why' AS why,
	coalesce(flytrail.as_number(e.attributes ->> 'lines_seen'), 0)::bigint AS lines_seen,
	coalesce(flytrail.as_number(e.attributes ->> 'lines_recovered'), 0)::bigint AS lines_recovered,
	coalesce(flytrail.as_number(e.attributes ->> 'id_mismatches'), 0)::bigint AS id_mismatches
FROM flytrail.events e
WHERE e.retention_class = 'security' AND e.class = 'trail' AND e.action = 'trail.window_checked'
UNION ALL
SELECT g.app, g.gap_start, g.gap_end, 'gap', g.state, g.reason || coalesce(': ' || g.why, ''), 0, g.lines_recovered, 0
FROM gaps g
UNION ALL
SELECT NULL, lower(part.range), upper(part.range), 'listening', 'listening', NULL, 0, 0, 0
FROM (SELECT range_agg(tstzrange(l.listening_start, l.listening_end, '[]')) AS ranges FROM listening l) AS told
CROSS JOIN LATERAL unnest(told.ranges) AS part (range)
UNION ALL
-- Since the first word of listening: times for which nobody says that lines were taken, or missed.
SELECT NULL, lower(part.range), upper(part.range), 'silence',
	CASE WHEN upper(part.range) = told.until AND upper(part.range) - lower(part.range) < interval '15 minutes'
		THEN 'pending' ELSE 'silent' END,
	CASE WHEN upper(part.range) = told.until THEN 'nothing was heard of flytrail since'
		ELSE 'no replica says that it was listening' END, 0, 0, 0
FROM (
	SELECT now() AS until, tstzmultirange(tstzrange(min(l.listening_start), now(), '[]'))
		- range_agg(tstzrange(l.listening_start, l.listening_end, '[]'))
		- coalesce((SELECT range_agg(tstzrange(g.gap_start, coalesce(g.gap_end, 'infinity'), '[]'))
			FROM gaps g WHERE g.gap_end IS NULL OR g.gap_end >= g.gap_start), tstzmultirange())
		AS ranges
	FROM listening l
	WHERE l.listening_start <= now()
	HAVING count(*) > 0
) AS told
CROSS JOIN LATERAL unnest(told.ranges) AS part (range)
WHERE upper(part.range) - lower(part.range) >= interval '1 second';
COMMENT ON VIEW flytrail.coverage IS 'how far the trail can be believed to be whole: times of listening, gaps and what became of them, times that were compared with Fly''s second copy, and times of which nothing is known';
COMMENT ON COLUMN flytrail.coverage.app IS 'the application; null: all of them';
COMMENT ON COLUMN flytrail.coverage.window_start IS 'from when';
COMMENT ON COLUMN flytrail.coverage.window_end IS 'until when; null: it goes on';
COMMENT ON COLUMN flytrail.coverage.kind IS 'compared, gap, listening or silence';
COMMENT ON COLUMN flytrail.coverage.state IS 'compared: agrees, recovered (lines were missing, and are here now), lost (Fly has lines that cannot be had) or not_checked. gap: as in the view gaps. silence: silent, or pending (not 15 minutes old)';
COMMENT ON COLUMN flytrail.coverage.why IS 'the gap''s reason, or what the state stands on';
COMMENT ON COLUMN flytrail.coverage.lines_seen IS 'lines of Fly''s second copy that were compared';
COMMENT ON COLUMN flytrail.coverage.lines_recovered IS 'lines that were missing and were taken from there';
COMMENT ON COLUMN flytrail.coverage.id_mismatches IS 'lines that are here with another text or number than in Fly''s second copy';
