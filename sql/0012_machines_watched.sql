-- oldest: 3
-- Restarts and exits as Fly's API tells them, together with what the lines show.
--
-- One start, or one end, that both show is one row. They are the same when they are of one machine, within
-- a minute, and nothing of the contrary is between them: no start between two signs of an end, no end
-- between two signs of a start.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- What the lines alone show stays as it is, under other names.
DO $$
DECLARE
	kept record;
	told record;
BEGIN
	FOR kept IN SELECT * FROM (VALUES ('restarts', 'logged_restarts'), ('exits', 'logged_exits')) AS v (old, new) LOOP
		EXECUTE format('CREATE VIEW flytrail.%I AS %s', kept.new,
			pg_get_viewdef(format('flytrail.%I', kept.old)::regclass));
		EXECUTE format('COMMENT ON VIEW flytrail.%I IS %L', kept.new,
			obj_description(format('flytrail.%I', kept.old)::regclass) || '; from lines alone');
		FOR told IN SELECT a.attname, col_description(a.attrelid, a.attnum) AS says FROM pg_attribute a
			WHERE a.attrelid = format('flytrail.%I', kept.old)::regclass AND a.attnum > 0 LOOP
			EXECUTE format('COMMENT ON COLUMN flytrail.%I.%I IS %L', kept.new, told.attname, told.says);
		END LOOP;
	END LOOP;
END
$$;

-- Lists as conditions, for looks at a minute or two.
CREATE FUNCTION flytrail.is_api_end(class text, action text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN class = 'exit' AND action IN ('exit.stopped', 'exit.ended', 'exit.crashed');
COMMENT ON FUNCTION flytrail.is_api_end(text, text) IS 'whether such an event is Fly''s API''s word of a machine''s end';
-- The early signs of a start: reports of it may come when the machine has ended again.
CREATE FUNCTION flytrail.is_early_start(class text, action text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN class = 'boot' AND action IN ('boot.firecracker', 'boot.init', 'boot.started');
COMMENT ON FUNCTION flytrail.is_early_start(text, text) IS 'whether such an event comes at the beginning of a machine''s start';

CREATE OR REPLACE VIEW flytrail.restarts AS
SELECT
	m.occurred_at, m.app, m.region, m.machine_id,
	story.cause,
	CASE
		WHEN story.cause = 'migrated' THEN 'fly platform'
		WHEN same.source = 'user' OR (story.cause = 'requested' AND asked.by_user) THEN 'a user'
		WHEN story.cause = 'autostart' THEN 'fly proxy'
		WHEN story.cause IN ('requested', 'unknown') THEN 'unknown'
		ELSE 'fly runner'
	END AS requested_by,
	CASE
		WHEN story.cause = 'migrated' THEN 'flyd'
		WHEN same.source = 'user' THEN 'unknown'
		WHEN story.cause = 'autostart' THEN 'proxy'
		WHEN story.cause IN ('requested', 'unknown') THEN 'unknown'
		ELSE 'flyd'
	END AS actor_type,
	coalesce(ended.exit_code, m.exit_code) AS exit_code,
	coalesce(ended.signal, m.signal) AS signal,
	m.oom_killed OR coalesce(ended.oom_killed, false) AS oom_killed,
	CASE WHEN story.cause IN ('oom', 'kernel_panic', 'signal', 'exit', 'vm_abrupt')
		THEN coalesce(ended.restart_count, m.restart_count) END AS restart_count,
	CASE WHEN ended.action IS NOT NULL OR same.occurred_at IS NOT NULL THEN 'api' ELSE m.trust END AS trust
FROM (
	SELECT l.occurred_at, l.app, l.region, l.machine_id, l.cause, l.exit_code, l.signal, l.oom_killed,
		l.restart_count, l.trust
	FROM flytrail.logged_restarts l
	UNION ALL
	-- What the lines do not show at all.
	SELECT e.occurred_at, e.app,
		coalesce(e.region, (SELECT r.region FROM flytrail.events r
			WHERE r.machine_id = e.machine_id AND r.region IS NOT NULL LIMIT 1)),
		e.machine_id, 'unknown', NULL, NULL, false, NULL, 'api'
	FROM flytrail.events e
	-- The end before it, and the start before that: without an end it is no restart.
	CROSS JOIN LATERAL (
		SELECT sign.occurred_at
		FROM (VALUES ('exit.stopped'), ('exit.ended'), ('exit.crashed')) AS k (action) CROSS JOIN LATERAL (
			SELECT x.occurred_at FROM flytrail.events x
			WHERE x.retention_class = 'operations' AND x.machine_id = e.machine_id
				AND x.class = 'exit' AND x.action = k.action AND x.occurred_at < e.occurred_at
			ORDER BY x.occurred_at DESC LIMIT 1
		) AS sign
		ORDER BY sign.occurred_at DESC LIMIT 1
	) AS ending
	CROSS JOIN LATERAL (
		SELECT max(s.occurred_at) AS occurred_at FROM flytrail.events s
		WHERE s.retention_class = 'operations' AND s.machine_id = e.machine_id
			AND s.class = 'boot' AND s.action = 'boot.started' AND s.occurred_at < ending.occurred_at
	) AS previous
	WHERE e.retention_class = 'operations' AND e.class = 'boot' AND e.action = 'boot.started'
		-- The first such event of this start.
		AND NOT EXISTS (
			SELECT FROM flytrail.events s
			WHERE s.retention_class = 'operations' AND s.machine_id = e.machine_id
				AND s.class = 'boot' AND s.action = 'boot.started'
				AND s.occurred_at > greatest(ending.occurred_at, e.occurred_at - interval '1 minute')
				AND (s.occurred_at, s.event_id) < (e.occurred_at, e.event_id))
		-- A version that is new to the machine is a deploy.
		AND NOT EXISTS (
			SELECT FROM flytrail.events d
			WHERE d.retention_class = 'security' AND d.machine_id = e.machine_id
				AND d.class = 'deploy' AND d.action = 'deploy.machine_replacing'
				AND d.occurred_at > coalesce(previous.occurred_at, ending.occurred_at - interval '10 minutes')
				AND d.occurred_at <= e.occurred_at)
		AND NOT EXISTS (
			SELECT FROM flytrail.events s
			WHERE s.machine_id = e.machine_id AND flytrail.is_start(s.class, s.action)
				AND s.occurred_at > e.occurred_at - interval '1 minute'
				AND s.occurred_at < e.occurred_at + interval '1 minute'
				AND NOT EXISTS (
					SELECT FROM flytrail.events x
					WHERE x.retention_class = 'operations' AND x.machine_id = e.machine_id
						AND (flytrail.is_end(x.class, x.action) OR flytrail.is_api_end(x.class, x.action))
						AND x.occurred_at > least(s.occurred_at, e.occurred_at)
						AND x.occurred_at < greatest(s.occurred_at, e.occurred_at)))
) AS m
-- Fly's own word of the same start.
LEFT JOIN LATERAL (
	SELECT s.occurred_at, s.actor_type, s.attributes #>> '{after,source}' AS source FROM flytrail.events s
	WHERE s.retention_class = 'operations' AND s.machine_id = m.machine_id
		AND s.class = 'boot' AND s.action = 'boot.started'
		AND s.occurred_at > m.occurred_at - interval '1 minute'
		AND s.occurred_at < m.occurred_at + interval '1 minute'
		AND NOT EXISTS (
			SELECT FROM flytrail.events x
			WHERE x.retention_class = 'operations' AND x.machine_id = m.machine_id
				AND (flytrail.is_end(x.class, x.action) OR flytrail.is_api_end(x.class, x.action))
				AND x.occurred_at > least(s.occurred_at, m.occurred_at)
				AND x.occurred_at < greatest(s.occurred_at, m.occurred_at))
	ORDER BY abs(extract(epoch FROM s.occurred_at - m.occurred_at)) LIMIT 1
) AS same ON true
CROSS JOIN LATERAL (SELECT least(m.occurred_at, same.occurred_at) AS occurred_at) AS start
-- The life before it: what is older belongs to another one.
CROSS JOIN LATERAL (
	SELECT coalesce(max(sign.occurred_at), '-infinity') AS since
	FROM (VALUES ('boot.firecracker'), ('boot.init'), ('boot.started')) AS k (action) CROSS JOIN LATERAL (
		SELECT s.occurred_at FROM flytrail.events s
		WHERE s.retention_class = 'operations' AND s.machine_id = m.machine_id
			AND s.class = 'boot' AND s.action = k.action
			AND s.occurred_at < start.occurred_at - interval '1 second'
		ORDER BY s.occurred_at DESC LIMIT 1
	) AS sign
) AS life
LEFT JOIN LATERAL (
	SELECT sign.action,
		flytrail.as_number(sign.said ->> 'exit_code')::integer AS exit_code,
		sign.said ->> 'signal' AS signal,
		sign.said ->> 'oom_killed' = 'true' AS oom_killed,
		flytrail.as_number(sign.said ->> 'restart_count')::integer AS restart_count
	FROM (VALUES ('exit.stopped'), ('exit.ended'), ('exit.crashed')) AS k (action) CROSS JOIN LATERAL (
		SELECT x.occurred_at, x.action, x.attributes -> 'after' AS said FROM flytrail.events x
		WHERE x.retention_class = 'operations' AND x.machine_id = m.machine_id
			AND x.class = 'exit' AND x.action = k.action
			AND x.occurred_at > life.since AND x.occurred_at <= start.occurred_at
		ORDER BY x.occurred_at DESC LIMIT 1
	) AS sign
	ORDER BY sign.occurred_at DESC LIMIT 1
) AS ended ON true
CROSS JOIN LATERAL (
	SELECT
		EXISTS (
			SELECT FROM flytrail.events r
			WHERE r.retention_class = 'operations' AND r.machine_id = m.machine_id
				AND r.class = 'restart' AND r.action = 'restart.requested'
				AND r.occurred_at > life.since AND r.occurred_at <= start.occurred_at
		) AS by_user,
		EXISTS (
			SELECT FROM flytrail.events r
			WHERE r.retention_class = 'operations' AND r.machine_id = m.machine_id
				AND r.class = 'platform' AND r.action = 'platform.machine_migrated'
				AND r.occurred_at > life.since AND r.occurred_at <= start.occurred_at
		) AS by_platform
) AS asked
CROSS JOIN LATERAL (
	SELECT CASE
		WHEN asked.by_platform THEN 'migrated'
		WHEN asked.by_user THEN 'requested'
		WHEN m.cause = 'autostart' OR same.actor_type = 'proxy' THEN 'autostart'
		WHEN ended.oom_killed THEN 'oom'
		WHEN m.cause = 'kernel_panic' THEN m.cause
		WHEN ended.action = 'exit.stopped' THEN 'requested'
		WHEN m.cause = 'oom' THEN m.cause
		WHEN ended.signal IS NOT NULL THEN 'signal'
		WHEN ended.exit_code IS NOT NULL THEN 'exit'
		ELSE m.cause
	END AS cause
) AS story;
COMMENT ON VIEW flytrail.restarts IS 'machines that started again with the version they had, as lines, Fly''s API or both show it; what did not start again is in exits';
COMMENT ON COLUMN flytrail.restarts.occurred_at IS 'when the first sign of the new start was printed, or when it was by Fly''s API';
COMMENT ON COLUMN flytrail.restarts.cause IS 'oom, kernel_panic, signal, exit, vm_abrupt: it had ended so by itself. autostart: the proxy had stopped it or started it. requested: it was told to end. migrated: Fly moved it to another host. unknown: nothing says why';
COMMENT ON COLUMN flytrail.restarts.requested_by IS 'who started it again, or told it to: a user (Fly does not say which), fly runner (its restart policy), fly proxy, fly platform, or unknown';
COMMENT ON COLUMN flytrail.restarts.exit_code IS 'of the main process, as Fly''s API says, or else a line';
COMMENT ON COLUMN flytrail.restarts.signal IS 'that ended the main process, as Fly''s API says, or else a line';
COMMENT ON COLUMN flytrail.restarts.oom_killed IS 'Fly''s API says that it ended for want of memory, or the kernel killed a process for that within the minute before the end';
COMMENT ON COLUMN flytrail.restarts.restart_count IS 'as Fly''s API counts; or else how often it has ended by itself in the last hour since it was deployed, stopped or started by others; null for other causes';
COMMENT ON COLUMN flytrail.restarts.trust IS 'api: Fly''s API shows it, too. platform: the runner or the proxy says that it started; the cause may still be the guest''s word';

CREATE OR REPLACE VIEW flytrail.exits AS
SELECT
	m.event_id, m.occurred_at, m.app, m.region, m.machine_id,
	coalesce(ended.exit_code, m.exit_code) AS exit_code,
	coalesce(ended.signal, m.signal) AS signal,
	m.oom_killed OR coalesce(ended.oom_killed, false) AS oom_killed,
	story.outcome,
	CASE
		WHEN story.outcome = m.outcome THEN m.reason
		WHEN story.outcome = 'replaced' THEN 'a new version was put in its place'
		WHEN story.outcome = 'stopped' THEN 'Fly''s API says that it was told to end'
		WHEN story.outcome = 'restarted' THEN 'Fly''s API says that it is started again'
		WHEN story.outcome = 'not_restarted' THEN 'Fly''s API says that it ended by itself and is not started again'
		ELSE m.reason
	END AS reason,
	CASE WHEN ended.action IS NOT NULL THEN 'api' ELSE m.trust END AS trust
FROM (
	SELECT l.event_id, l.occurred_at, l.app, l.region, l.machine_id, l.exit_code, l.signal, l.oom_killed, l.outcome,
		l.reason, l.trust
	FROM flytrail.logged_exits l
	UNION ALL
	-- What the lines do not show at all.
	SELECT e.event_id, e.occurred_at, e.app,
		coalesce(e.region, (SELECT r.region FROM flytrail.events r
			WHERE r.machine_id = e.machine_id AND r.region IS NOT NULL LIMIT 1)),
		e.machine_id, NULL, NULL, false, 'unknown', 'unknown: nothing says what became of it', 'api'
	FROM flytrail.events e
	WHERE e.retention_class = 'operations' AND e.class = 'exit'
		AND e.action IN ('exit.stopped', 'exit.ended', 'exit.crashed')
		AND NOT EXISTS (
			SELECT FROM flytrail.events s
			WHERE s.retention_class = 'operations' AND s.machine_id = e.machine_id
				AND s.class IN ('exit', 'restart')
				AND s.action IN ('exit.main_child', 'exit.vm', 'exit.vm_abrupt', 'exit.vm_suspended',
					'exit.kernel_panic', 'restart.gave_up', 'restart.suppressed')
				AND s.occurred_at > e.occurred_at - interval '1 minute'
				AND s.occurred_at < e.occurred_at + interval '1 minute'
				AND NOT EXISTS (
					SELECT FROM flytrail.events b
					WHERE b.retention_class = 'operations' AND b.machine_id = e.machine_id
						AND flytrail.is_early_start(b.class, b.action)
						AND b.occurred_at > least(s.occurred_at, e.occurred_at)
						AND b.occurred_at < greatest(s.occurred_at, e.occurred_at)))
) AS m
-- Fly's own word of the same end.
LEFT JOIN LATERAL (
	SELECT x.occurred_at, x.action,
		flytrail.as_number(x.attributes -> 'after' ->> 'exit_code')::integer AS exit_code,
		x.attributes -> 'after' ->> 'signal' AS signal,
		x.attributes -> 'after' ->> 'oom_killed' = 'true' AS oom_killed,
		x.attributes -> 'after' ->> 'restarting' = 'true' AS restarting
	FROM flytrail.events x
	WHERE x.retention_class = 'operations' AND x.machine_id = m.machine_id
		AND x.class = 'exit' AND x.action IN ('exit.stopped', 'exit.ended', 'exit.crashed')
		AND x.occurred_at > m.occurred_at - interval '1 minute'
		AND x.occurred_at < m.occurred_at + interval '1 minute'
		AND NOT EXISTS (
			SELECT FROM flytrail.events b
			WHERE b.retention_class = 'operations' AND b.machine_id = m.machine_id
				AND flytrail.is_early_start(b.class, b.action)
				AND b.occurred_at > least(x.occurred_at, m.occurred_at)
				AND b.occurred_at < greatest(x.occurred_at, m.occurred_at))
	ORDER BY abs(extract(epoch FROM x.occurred_at - m.occurred_at)) LIMIT 1
) AS ended ON true
CROSS JOIN LATERAL (
	SELECT
		EXISTS (
			SELECT FROM flytrail.events d
			WHERE d.retention_class = 'security' AND d.machine_id = m.machine_id
				AND d.class = 'deploy' AND d.action = 'deploy.machine_replacing'
				AND d.occurred_at > m.occurred_at - interval '5 minutes' AND d.occurred_at <= m.occurred_at
				AND NOT EXISTS (
					SELECT FROM flytrail.events b
					WHERE b.retention_class = 'operations' AND b.machine_id = m.machine_id
						AND flytrail.is_early_start(b.class, b.action)
						AND b.occurred_at > d.occurred_at AND b.occurred_at < m.occurred_at)
		) AS by_update,
		EXISTS (
			SELECT FROM flytrail.events s
			WHERE s.retention_class = 'operations' AND s.machine_id = m.machine_id
				AND s.class = 'boot' AND s.action = 'boot.started'
				AND s.occurred_at > m.occurred_at AND s.occurred_at < m.occurred_at + interval '5 minutes'
		) AS then_started
) AS told
CROSS JOIN LATERAL (
	SELECT CASE
		WHEN ended.action IS NULL OR m.outcome IN ('gave_up', 'not_restarted', 'replaced') THEN m.outcome
		WHEN told.by_update THEN 'replaced'
		WHEN m.outcome <> 'unknown' THEN m.outcome
		WHEN told.then_started OR ended.restarting THEN 'restarted'
		WHEN ended.action = 'exit.stopped' THEN 'stopped'
		WHEN ended.exit_code IS NOT NULL THEN 'not_restarted'
		ELSE m.outcome
	END AS outcome
) AS story;
COMMENT ON VIEW flytrail.exits IS 'every end of a machine or of its main process that lines, Fly''s API or both show, once, and what became of it';
COMMENT ON COLUMN flytrail.exits.event_id IS 'the first sign of the end, or Fly''s API''s word where no line shows it';
COMMENT ON COLUMN flytrail.exits.exit_code IS 'of the main process, as Fly''s API says, or else a line';
COMMENT ON COLUMN flytrail.exits.signal IS 'that ended the main process, as Fly''s API says, or else a line';
COMMENT ON COLUMN flytrail.exits.oom_killed IS 'Fly''s API says that it ended for want of memory, or the kernel killed a process for that within a minute of the end';
COMMENT ON COLUMN flytrail.exits.trust IS 'api: Fly''s API shows it, too. Else of the first sign';
