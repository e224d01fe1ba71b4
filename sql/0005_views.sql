-- oldest: 3
-- The other stories that people ask for: deploys, sessions, changes, gaps, the timeline, the lines.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

CREATE VIEW flytrail.deploys AS
SELECT
	done.app, 'unknown'::text AS release,
	'unknown'::text AS actor, 'unknown'::text AS actor_type,
	'no log line says who deployed'::text AS actor_reason,
	coalesce(prepared.image, 'unknown') AS image, prepared.image_digest,
	'unknown'::text AS reason,
	done.started_at, done.finished_at, done.outcome,
	ARRAY[done.machine_id] AS machines,
	done.trust, done.summary,
	fire.version AS machine_version,
	done.seconds, done.region, done.event_id
FROM (
	-- The runner says that it is done. It began with the first line about the image.
	SELECT d.event_id, d.app, d.region, d.machine_id, d.outcome, d.trust, d.action,
		coalesce(d.summary, flytrail.without_ansi(d.message)) AS summary,
		flytrail.as_number(d.attributes ->> 'seconds') AS seconds,
		coalesce(begun.occurred_at, d.occurred_at
			- coalesce(flytrail.as_number(d.attributes ->> 'seconds'), 0) * interval '1 second') AS started_at,
		d.occurred_at AS finished_at
	FROM flytrail.events d
	LEFT JOIN LATERAL (
		SELECT max(p.occurred_at) AS occurred_at FROM flytrail.events p
		WHERE p.retention_class = 'security' AND p.machine_id = d.machine_id AND p.class = 'deploy'
			AND p.action IN ('deploy.machine_started', 'deploy.machine_left_stopped')
			AND p.occurred_at > d.occurred_at - interval '1 hour'
			AND p.occurred_at <= d.occurred_at AND (p.occurred_at, p.seq) < (d.occurred_at, d.seq)
	) AS earlier ON true
	LEFT JOIN LATERAL (
		SELECT min(i.occurred_at) AS occurred_at FROM flytrail.events i
		WHERE i.retention_class = 'security' AND i.machine_id = d.machine_id AND i.class = 'deploy'
			AND i.action IN ('deploy.image_pulling', 'deploy.image_unpacking', 'deploy.image_prepared')
			AND i.occurred_at <= d.occurred_at
			AND i.occurred_at >= greatest(earlier.occurred_at, d.occurred_at - interval '1 hour')
	) AS begun ON true
	WHERE d.retention_class = 'security' AND d.class = 'deploy'
		AND d.action IN ('deploy.machine_started', 'deploy.machine_left_stopped')
	UNION ALL
	-- It does not, but the machine started after its image had been prepared.
	SELECT i.event_id, i.app, i.region, i.machine_id, 'success', told.trust, i.action,
		'The machine started after an image had been prepared for it', NULL,
		coalesce(begun.occurred_at, i.occurred_at), start.occurred_at
	FROM flytrail.events i
	CROSS JOIN LATERAL (
		SELECT s.occurred_at FROM flytrail.events s
		WHERE s.machine_id = i.machine_id AND flytrail.is_start(s.class, s.action)
			AND s.occurred_at < i.occurred_at + interval '1 hour'
			AND s.occurred_at >= i.occurred_at AND (s.occurred_at, s.seq) > (i.occurred_at, i.seq)
		ORDER BY s.occurred_at, s.seq LIMIT 1
	) AS start
	CROSS JOIN LATERAL (
		SELECT CASE WHEN EXISTS (
			SELECT FROM flytrail.events s
			WHERE s.machine_id = i.machine_id AND flytrail.is_start(s.class, s.action) AND s.trust = 'platform'
				AND s.occurred_at >= start.occurred_at AND s.occurred_at < start.occurred_at + interval '1 minute'
		) THEN 'platform' ELSE 'guest' END AS trust
	) AS told
	LEFT JOIN LATERAL (
		SELECT min(p.occurred_at) AS occurred_at FROM flytrail.events p
		WHERE p.retention_class = 'security' AND p.machine_id = i.machine_id AND p.class = 'deploy'
			AND p.action IN ('deploy.image_pulling', 'deploy.image_unpacking')
			AND p.occurred_at <= i.occurred_at AND p.occurred_at > i.occurred_at - interval '10 minutes'
	) AS begun ON true
	WHERE i.retention_class = 'security' AND i.class = 'deploy'
		AND i.action IN ('deploy.image_pulling', 'deploy.image_unpacking', 'deploy.image_prepared')
		AND NOT EXISTS (
			SELECT FROM flytrail.events d
			WHERE d.retention_class = 'security' AND d.machine_id = i.machine_id AND d.class = 'deploy'
				AND d.action IN ('deploy.image_pulling', 'deploy.image_unpacking', 'deploy.image_prepared',
					'deploy.machine_started', 'deploy.machine_left_stopped')
				AND d.occurred_at >= i.occurred_at AND (d.occurred_at, d.seq) > (i.occurred_at, i.seq)
				AND d.occurred_at < start.occurred_at + interval '1 minute'
		)
	UNION ALL
	-- Nor does a line name an image, but Firecracker runs another version than before.
	SELECT f.event_id, f.app, f.region, f.machine_id, 'success', f.trust, f.action,
		'The machine started with another version than before', NULL,
		f.occurred_at, f.occurred_at
	FROM flytrail.events f
	CROSS JOIN LATERAL (
		SELECT p.correlation_id AS version FROM flytrail.events p
		WHERE p.retention_class = 'operations' AND p.machine_id = f.machine_id
			AND p.class = 'boot' AND p.action = 'boot.firecracker'
			AND p.occurred_at <= f.occurred_at AND (p.occurred_at, p.seq) < (f.occurred_at, f.seq)
		ORDER BY p.occurred_at DESC, p.seq DESC LIMIT 1
	) AS before
	WHERE f.retention_class = 'operations' AND f.class = 'boot' AND f.action = 'boot.firecracker'
		AND f.correlation_id <> before.version
		AND NOT EXISTS (
			SELECT FROM flytrail.events d
			WHERE d.retention_class = 'security' AND d.machine_id = f.machine_id AND d.class = 'deploy'
				AND d.action IN ('deploy.image_pulling', 'deploy.image_unpacking', 'deploy.image_prepared',
					'deploy.machine_started', 'deploy.machine_left_stopped')
				AND d.occurred_at > f.occurred_at - interval '1 hour'
				AND d.occurred_at < f.occurred_at + interval '1 minute'
		)
) AS done
-- The newest line that names an image, since the deploy began.
LEFT JOIN LATERAL (
	SELECT i.attributes ->> 'image' AS image, i.attributes ->> 'digest' AS image_digest
	FROM flytrail.events i
	WHERE i.retention_class = 'security' AND i.machine_id = done.machine_id AND i.class = 'deploy'
		AND i.action IN ('deploy.image_prepared', 'deploy.image_pulling') AND i.attributes ? 'image'
		AND i.occurred_at >= done.started_at AND i.occurred_at <= done.finished_at
	ORDER BY i.occurred_at DESC, i.seq DESC LIMIT 1
) AS prepared ON true
LEFT JOIN LATERAL (
	SELECT f.correlation_id AS version FROM flytrail.events f
	WHERE f.retention_class = 'operations' AND f.machine_id = done.machine_id
		AND f.class = 'boot' AND f.action = 'boot.firecracker'
		AND f.occurred_at >= done.started_at AND f.occurred_at < done.finished_at + interval '5 seconds'
		AND done.action <> 'deploy.machine_left_stopped'
	ORDER BY f.occurred_at DESC LIMIT 1
) AS fire ON true;
COMMENT ON VIEW flytrail.deploys IS 'each time that a machine got a version, as the lines show it; machines holds that one machine';
COMMENT ON COLUMN flytrail.deploys.app IS 'the application';
COMMENT ON COLUMN flytrail.deploys.release IS 'the release''s number; unknown, because no log line names it';
COMMENT ON COLUMN flytrail.deploys.actor IS 'who deployed; unknown: see actor_reason';
COMMENT ON COLUMN flytrail.deploys.actor_type IS 'user, token or unknown';
COMMENT ON COLUMN flytrail.deploys.actor_reason IS 'why the actor is unknown';
COMMENT ON COLUMN flytrail.deploys.image IS 'as the runner names it; unknown where no line within the hour does';
COMMENT ON COLUMN flytrail.deploys.image_digest IS 'of the image, where its name has one';
COMMENT ON COLUMN flytrail.deploys.reason IS 'why there was a deploy; unknown, because no log line says it';
COMMENT ON COLUMN flytrail.deploys.started_at IS 'the first line about the image, or when the runner''s count of seconds began';
COMMENT ON COLUMN flytrail.deploys.finished_at IS 'when the machine ran the version, or was left stopped with it';
COMMENT ON COLUMN flytrail.deploys.outcome IS 'success: the machine has the version. Whether it works is told by health checks and exits';
COMMENT ON COLUMN flytrail.deploys.machines IS 'the machines that got the version: one a row';
COMMENT ON COLUMN flytrail.deploys.trust IS 'platform: the runner says it. guest: only lines from inside the machine show that it started';
COMMENT ON COLUMN flytrail.deploys.summary IS 'one sentence for people';
COMMENT ON COLUMN flytrail.deploys.machine_version IS 'that Firecracker names; null where that line is missing or the machine was left stopped';
COMMENT ON COLUMN flytrail.deploys.seconds IS 'that it took, as the runner counts; null where it does not say';
COMMENT ON COLUMN flytrail.deploys.region IS 'Fly''s code of the region';
COMMENT ON COLUMN flytrail.deploys.event_id IS 'the event that the row stands on';

CREATE VIEW flytrail.ssh_sessions AS
SELECT
	e.event_id, e.occurred_at AS opened_at, e.app, e.region, e.machine_id, e.actor, e.actor_type,
	CASE e.attributes ->> 'verified' WHEN 'true' THEN true WHEN 'false' THEN false END AS verified,
	e.trust,
	CASE
		WHEN e.trust = 'api' THEN 'api'
		WHEN certificate.event_id IS NOT NULL OR EXISTS (
			SELECT FROM flytrail.confirmations c
			WHERE c.event_id = e.event_id AND c.occurred_at = e.occurred_at) THEN 'confirmed'
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
COMMENT ON VIEW flytrail.ssh_sessions IS 'SSH sessions that were opened, one a row';
COMMENT ON COLUMN flytrail.ssh_sessions.event_id IS 'the line that says so';
COMMENT ON COLUMN flytrail.ssh_sessions.opened_at IS 'when it was printed';
COMMENT ON COLUMN flytrail.ssh_sessions.app IS 'the application';
COMMENT ON COLUMN flytrail.ssh_sessions.region IS 'Fly''s code of the region';
COMMENT ON COLUMN flytrail.ssh_sessions.machine_id IS 'the machine';
COMMENT ON COLUMN flytrail.ssh_sessions.actor IS 'whose certificate it was, in lower case';
COMMENT ON COLUMN flytrail.ssh_sessions.actor_type IS 'user, token or unknown';
COMMENT ON COLUMN flytrail.ssh_sessions.verified IS 'as the SSH server in the machine says';
COMMENT ON COLUMN flytrail.ssh_sessions.trust IS 'guest: the line comes from inside the machine, where the application could print it as well';
COMMENT ON COLUMN flytrail.ssh_sessions.assurance IS 'claimed: the log stream alone says it. confirmed: Fly''s second copy has it, or Fly issued a certificate to the actor in the day before. api: Fly''s control plane says it';
COMMENT ON COLUMN flytrail.ssh_sessions.certificate_event IS 'the event of that certificate; null: none is known';
COMMENT ON COLUMN flytrail.ssh_sessions.closed_reason IS 'what ended it: never known from log lines';

CREATE VIEW flytrail.secret_changes AS
SELECT
	e.occurred_at AS changed_at, e.not_after, e.app, e.target AS secret_name,
	split_part(e.action, '.', 2) AS change,
	e.actor, e.actor_type, e.actor_reason,
	deployed.occurred_at AS deployed_at, deployed.correlation_id AS release, e.trust
FROM flytrail.events e
LEFT JOIN LATERAL (
	SELECT d.occurred_at, d.correlation_id FROM flytrail.events d
	WHERE d.retention_class = 'security' AND d.class = 'secret_change' AND d.action = 'secret_change.deployed'
		AND d.app = e.app AND d.occurred_at >= e.occurred_at
	ORDER BY d.occurred_at LIMIT 1
) AS deployed ON true
WHERE e.retention_class = 'security' AND e.class = 'secret_change' AND e.action <> 'secret_change.deployed';
COMMENT ON VIEW flytrail.secret_changes IS 'secrets that were set, updated or unset. No log line ever says so: rows come from Fly''s API alone';
COMMENT ON COLUMN flytrail.secret_changes.changed_at IS 'when, or the last time at which it had not changed yet';
COMMENT ON COLUMN flytrail.secret_changes.not_after IS 'the first time at which it had changed; null: changed_at is exact';
COMMENT ON COLUMN flytrail.secret_changes.app IS 'the application';
COMMENT ON COLUMN flytrail.secret_changes.secret_name IS 'its name; values are never known';
COMMENT ON COLUMN flytrail.secret_changes.change IS 'set, updated or unset';
COMMENT ON COLUMN flytrail.secret_changes.actor IS 'who changed it; unknown: see actor_reason';
COMMENT ON COLUMN flytrail.secret_changes.actor_type IS 'user, token or unknown';
COMMENT ON COLUMN flytrail.secret_changes.actor_reason IS 'why the actor is unknown';
COMMENT ON COLUMN flytrail.secret_changes.deployed_at IS 'when machines were given the secrets next; null: not yet';
COMMENT ON COLUMN flytrail.secret_changes.release IS 'the release that gave them';
COMMENT ON COLUMN flytrail.secret_changes.trust IS 'api';

CREATE VIEW flytrail.access_changes AS
SELECT
	e.event_id, e.occurred_at AS changed_at, e.not_after, split_part(e.action, '.', 2) AS change,
	e.target_type, e.target, e.actor, e.actor_type, e.actor_reason, e.origin, e.outcome, e.trust,
	coalesce(e.summary, flytrail.without_ansi(e.message)) AS summary
FROM flytrail.events e
WHERE e.retention_class = 'security' AND e.class = 'access';
COMMENT ON VIEW flytrail.access_changes IS 'who and what can reach the organisation: members, tokens, peers, certificates; from Fly''s API';
COMMENT ON COLUMN flytrail.access_changes.event_id IS 'the event';
COMMENT ON COLUMN flytrail.access_changes.changed_at IS 'when, or the last time at which it had not changed yet';
COMMENT ON COLUMN flytrail.access_changes.not_after IS 'the first time at which it had changed; null: changed_at is exact';
COMMENT ON COLUMN flytrail.access_changes.change IS 'member_added, token_revoked, ...';
COMMENT ON COLUMN flytrail.access_changes.target_type IS 'what kind of thing was changed';
COMMENT ON COLUMN flytrail.access_changes.target IS 'which one';
COMMENT ON COLUMN flytrail.access_changes.actor IS 'who changed it; unknown: see actor_reason';
COMMENT ON COLUMN flytrail.access_changes.actor_type IS 'user, token or unknown';
COMMENT ON COLUMN flytrail.access_changes.actor_reason IS 'why the actor is unknown';
COMMENT ON COLUMN flytrail.access_changes.origin IS 'from where';
COMMENT ON COLUMN flytrail.access_changes.outcome IS 'success, failure or unknown';
COMMENT ON COLUMN flytrail.access_changes.trust IS 'api';
COMMENT ON COLUMN flytrail.access_changes.summary IS 'one sentence for people';

CREATE VIEW flytrail.gaps AS
SELECT
	e.correlation_id AS gap_id,
	e.attributes ->> 'app' AS app,
	coalesce((e.attributes ->> 'gap_start')::timestamptz, '-infinity') AS gap_start,
	coalesce(CASE newest.action
		WHEN 'trail.gap_progress' THEN (newest.attributes ->> 'gap_end')::timestamptz -- null: it goes on again
		ELSE coalesce((newest.attributes ->> 'gap_end')::timestamptz, (e.attributes ->> 'gap_end')::timestamptz)
	END, later.gap_end) AS gap_end,
	coalesce(e.attributes ->> 'reason', 'unknown') AS reason,
	CASE newest.action WHEN 'trail.gap_closed' THEN coalesce(newest.attributes ->> 'state', 'closed') ELSE 'open' END AS state,
	coalesce(flytrail.as_number(newest.attributes ->> 'lines_recovered'), 0)::bigint AS lines_recovered,
	coalesce(e.machine_id, e.stream::text) AS noticed_by,
	coalesce(newest.occurred_at, e.observed_at) AS state_since,
	coalesce(flytrail.as_number(newest.attributes ->> 'lines_lost'), flytrail.as_number(e.attributes ->> 'lines_lost'))::bigint AS lines_lost
FROM flytrail.events e
LEFT JOIN LATERAL (
	SELECT n.action, n.occurred_at, n.attributes FROM flytrail.events n
	WHERE n.retention_class = 'security' AND n.class = 'trail'
		AND n.action IN ('trail.gap_progress', 'trail.gap_closed')
		AND n.correlation_id = e.correlation_id
	ORDER BY n.action = 'trail.gap_closed' DESC, n.occurred_at DESC, n.seq DESC LIMIT 1
) AS newest ON true
-- Who crashes in a gap never tells its end. The gap of the next start of this spool goes on from
-- there until lines came again.
LEFT JOIN LATERAL (
	SELECT min((s.attributes ->> 'gap_end')::timestamptz) AS gap_end FROM flytrail.events s
	WHERE s.retention_class = 'security' AND s.class = 'trail'
		AND s.action IN ('trail.gap_opened', 'trail.gap_progress') AND s.attributes ->> 'reason' = 'start'
		AND s.stream = e.stream AND s.seq > e.seq
		AND s.occurred_at > e.occurred_at - interval '1 day' -- it begins seconds before what was accepted last
) AS later ON e.attributes ->> 'reason' IN ('start', 'disconnect', 'spool_full')
WHERE e.retention_class = 'security' AND e.class = 'trail' AND e.action = 'trail.gap_opened';
COMMENT ON VIEW flytrail.gaps IS 'times for which lines may be missing, and what became of them';
COMMENT ON COLUMN flytrail.gaps.gap_id IS 'names the gap in its events (correlation_id)';
COMMENT ON COLUMN flytrail.gaps.app IS 'the application; null: all of them';
COMMENT ON COLUMN flytrail.gaps.gap_start IS 'from when lines may be missing; -infinity: not known';
COMMENT ON COLUMN flytrail.gaps.gap_end IS 'until when; null: not over, or not known';
COMMENT ON COLUMN flytrail.gaps.reason IS 'start, disconnect, slow_consumer, spool_full, spool_damaged or store_rewound';
COMMENT ON COLUMN flytrail.gaps.state IS 'open: nobody has looked for the lines. Otherwise what became of them';
COMMENT ON COLUMN flytrail.gaps.lines_recovered IS 'lines that were found elsewhere afterwards';
COMMENT ON COLUMN flytrail.gaps.noticed_by IS 'the machine of flytrail that noticed it, or its spool';
COMMENT ON COLUMN flytrail.gaps.state_since IS 'when it came into that state';
COMMENT ON COLUMN flytrail.gaps.lines_lost IS 'how many lines, where that is known';

CREATE VIEW flytrail.timeline AS
SELECT
	e.occurred_at, e.not_after, e.class, e.action, e.app, e.region, e.machine_id,
	e.actor, e.actor_type, e.outcome, e.severity, e.trust,
	CASE
		WHEN e.trust IN ('api', 'self') THEN e.trust
		WHEN EXISTS (
			SELECT FROM flytrail.confirmations c
			WHERE c.event_id = e.event_id AND c.occurred_at = e.occurred_at) THEN 'confirmed'
		ELSE 'claimed'
	END AS assurance,
	coalesce(e.summary, flytrail.without_ansi(e.message)) AS summary,
	flytrail.without_ansi(e.message) AS message,
	e.attributes, e.target_type, e.target, e.correlation_id, e.org, e.event_id
FROM flytrail.events e
WHERE e.action <> 'trail.gap_progress';
COMMENT ON VIEW flytrail.timeline IS 'everything that happened, gaps and what concerns the whole organisation included';
COMMENT ON COLUMN flytrail.timeline.occurred_at IS 'when; of a gap: from when lines may be missing';
COMMENT ON COLUMN flytrail.timeline.not_after IS 'where the time is not exact: the first time at which it had happened';
COMMENT ON COLUMN flytrail.timeline.class IS 'deploy, secret_change, restart, ssh_session, exit, oom, health_check, autoscale, boot, volume, cert, proxy_error, platform, access or trail';
COMMENT ON COLUMN flytrail.timeline.action IS 'the class in detail';
COMMENT ON COLUMN flytrail.timeline.app IS 'the application; null: the whole organisation; of a trail row: flytrail''s own';
COMMENT ON COLUMN flytrail.timeline.region IS 'Fly''s code of the region';
COMMENT ON COLUMN flytrail.timeline.machine_id IS 'the machine';
COMMENT ON COLUMN flytrail.timeline.actor IS 'who did it; unknown where nothing says it';
COMMENT ON COLUMN flytrail.timeline.actor_type IS 'user, token, flyd, proxy, flytrail or unknown';
COMMENT ON COLUMN flytrail.timeline.outcome IS 'success, failure or unknown';
COMMENT ON COLUMN flytrail.timeline.severity IS 'OCSF severity_id: 1 informational, 2 low, 3 medium, 4 high, 5 critical, 6 fatal, 0 unknown';
COMMENT ON COLUMN flytrail.timeline.trust IS 'platform: written outside the machine. guest: inside, where the application could write it too. api: Fly''s control plane. self: flytrail';
COMMENT ON COLUMN flytrail.timeline.assurance IS 'claimed: the log stream alone says it. confirmed: Fly''s second copy has it too. api, self: as trust';
COMMENT ON COLUMN flytrail.timeline.summary IS 'one sentence for people';
COMMENT ON COLUMN flytrail.timeline.message IS 'the line itself, without colours; null where there was none';
COMMENT ON COLUMN flytrail.timeline.attributes IS 'what was read out of it';
COMMENT ON COLUMN flytrail.timeline.target_type IS 'what kind of thing it was done to';
COMMENT ON COLUMN flytrail.timeline.target IS 'the name of the thing it was done to';
COMMENT ON COLUMN flytrail.timeline.correlation_id IS 'what ties facts together: machine version, gap id, ...';
COMMENT ON COLUMN flytrail.timeline.org IS 'slug of the organisation';
COMMENT ON COLUMN flytrail.timeline.event_id IS 'the event; a line has the same id in lines';

CREATE VIEW flytrail.lines AS
SELECT
	l.occurred_at, l.occurred_ns, l.app, l.region, l.machine_id, l.provider, l.level, l.class, l.action,
	flytrail.without_ansi(l.message) AS text,
	l.message, l.raw, l.attributes, l.observed_at, l.source, l.org, l.host, l.id, l.stream, l.seq
FROM flytrail.log_lines l;
COMMENT ON VIEW flytrail.lines IS 'every log line, the applications'' own included';
COMMENT ON COLUMN flytrail.lines.text IS 'the message without colours and other terminal sequences';
DO $$
DECLARE
	described record;
BEGIN
	-- All other columns are the table's, and are explained there.
	FOR described IN
		SELECT t.attname, col_description(t.attrelid, t.attnum) AS words
		FROM pg_attribute t
		WHERE t.attrelid = 'flytrail.log_lines'::regclass AND t.attnum > 0
	LOOP
		EXECUTE format('COMMENT ON COLUMN flytrail.lines.%I IS %L', described.attname, described.words);
	END LOOP;
END
$$;

DO $$
DECLARE
	reader_role CONSTANT name := current_setting('flytrail.reader_role');
	line_reader_role CONSTANT name := current_setting('flytrail.line_reader_role');
BEGIN
	EXECUTE format('GRANT SELECT ON flytrail.ssh_sessions, flytrail.deploys, flytrail.secret_changes,
		flytrail.access_changes, flytrail.timeline, flytrail.gaps TO %I, %I', reader_role, line_reader_role);
	EXECUTE format('GRANT SELECT ON flytrail.lines TO %I', line_reader_role);
END
$$;
