-- oldest: 3
-- How machines start and end: machine_starts, restarts, exits.
--
-- What only a sequence tells (the same machine version started twice is a restart, a new one a
-- deploy) is told by an anchor fact that looks back at the facts before it on its machine, by the
-- index (machine_id, class, action, occurred_at DESC). So a filter on time or application reaches
-- the partitions, and late lines or a second replica change nothing but the answer.
--
-- Lines are lost on the way, and none of them is relied on alone: a start or an end is the first
-- of several signs of it.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- How machines show that they start and end. A sign comes once a start, or once an end; together
-- they come within a minute.
CREATE VIEW flytrail.machine_sign_kinds AS
SELECT * FROM (VALUES
	('start', 'operations', 'boot', 'boot.firecracker'),
	('start', 'operations', 'boot', 'boot.init'),
	('start', 'operations', 'boot', 'boot.command'),
	('start', 'operations', 'boot', 'boot.machine_started'),
	('start', 'operations', 'volume', 'volume.mounted'),
	('start', 'operations', 'autoscale', 'autoscale.started'),
	('start', 'operations', 'autoscale', 'autoscale.reachable'),
	('start', 'security', 'deploy', 'deploy.machine_started'),
	('end', 'operations', 'exit', 'exit.main_child'),
	('end', 'operations', 'exit', 'exit.cleanup'),
	('end', 'operations', 'exit', 'exit.vm'),
	('end', 'operations', 'exit', 'exit.vm_abrupt'),
	('end', 'operations', 'exit', 'exit.vm_suspended'),
	('end', 'operations', 'exit', 'exit.kernel_panic'),
	('end', 'operations', 'restart', 'restart.scheduled'),
	('end', 'operations', 'restart', 'restart.suppressed'),
	('end', 'operations', 'restart', 'restart.gave_up'),
	('end', 'operations', 'autoscale', 'autoscale.stopping'),
	('end', 'operations', 'autoscale', 'autoscale.suspending'),
	('end', 'operations', 'volume', 'volume.unmounted')
) AS kinds (sign, retention_class, class, action);
COMMENT ON VIEW flytrail.machine_sign_kinds IS 'the events that are signs of a machine''s start or end; for the views that tell stories of them';
COMMENT ON COLUMN flytrail.machine_sign_kinds.sign IS 'start or end';
COMMENT ON COLUMN flytrail.machine_sign_kinds.retention_class IS 'where such events are';
COMMENT ON COLUMN flytrail.machine_sign_kinds.class IS 'of the event';
COMMENT ON COLUMN flytrail.machine_sign_kinds.action IS 'of the event';

-- The same lists as conditions: for looks at a minute or two, which they make one scan.
CREATE FUNCTION flytrail.is_start(class text, action text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (class = 'boot' AND action IN ('boot.firecracker', 'boot.init', 'boot.command', 'boot.machine_started'))
		OR (class = 'volume' AND action = 'volume.mounted')
		OR (class = 'autoscale' AND action IN ('autoscale.started', 'autoscale.reachable'))
		OR (class = 'deploy' AND action = 'deploy.machine_started');
COMMENT ON FUNCTION flytrail.is_start(text, text) IS 'whether such an event is a sign of a machine''s start';
CREATE FUNCTION flytrail.is_end(class text, action text) RETURNS boolean
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN (class = 'exit' AND action IN ('exit.main_child', 'exit.cleanup', 'exit.vm', 'exit.vm_abrupt',
			'exit.vm_suspended', 'exit.kernel_panic'))
		OR (class = 'restart' AND action IN ('restart.scheduled', 'restart.suppressed', 'restart.gave_up'))
		OR (class = 'autoscale' AND action IN ('autoscale.stopping', 'autoscale.suspending'))
		OR (class = 'volume' AND action = 'volume.unmounted');
COMMENT ON FUNCTION flytrail.is_end(text, text) IS 'whether such an event is a sign of a machine''s end';

-- Attributes of guest lines are whatever a program printed: a cast may not fail on them.
CREATE FUNCTION flytrail.as_number(value text) RETURNS numeric
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN value ~ '^-?[0-9]{1,9}([.][0-9]{1,9})?$' THEN value::numeric END;
COMMENT ON FUNCTION flytrail.as_number(text) IS 'the number, or null where the text is none';
CREATE FUNCTION flytrail.reported_time(action text, attributes jsonb) RETURNS interval
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE WHEN action IN ('boot.machine_started', 'autoscale.started', 'autoscale.reachable')
		THEN coalesce(flytrail.as_number(attributes ->> 'seconds'), 0) ELSE 0 END * interval '1 second';
COMMENT ON FUNCTION flytrail.reported_time(text, jsonb) IS 'how long before the line a start began, where the line reports one';
CREATE FUNCTION flytrail.without_ansi(value text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN regexp_replace(value, '\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|[@-Z\\^_])', '', 'g');
COMMENT ON FUNCTION flytrail.without_ansi(text) IS 'the text without colours and other terminal sequences';

CREATE VIEW flytrail.machine_starts AS
SELECT
	e.event_id, e.occurred_at, e.seq, e.org, e.app, e.region, e.machine_id,
	CASE
		WHEN told.deploy THEN 'deploy'
		WHEN boot.version = before.version THEN 'again'
		WHEN boot.version <> before.version THEN 'deploy'
		WHEN image.occurred_at > coalesce(previous.occurred_at, '-infinity') THEN 'deploy'
		WHEN coalesce(previous.occurred_at, ended.occurred_at) IS NULL THEN 'first seen'
		ELSE 'again'
	END AS kind,
	boot.version AS machine_version,
	previous.occurred_at AS previous_start_at,
	ended.occurred_at AS ended_at,
	CASE WHEN e.trust = 'platform' OR told.platform THEN 'platform' ELSE e.trust END AS trust
FROM flytrail.events e
-- The newest sign of a start that may be this same one.
LEFT JOIN LATERAL (
	SELECT s.occurred_at, s.seq, s.action FROM flytrail.events s
	WHERE s.machine_id = e.machine_id AND flytrail.is_start(s.class, s.action)
		AND s.occurred_at > e.occurred_at - CASE e.action
			WHEN 'autoscale.reachable' THEN interval '10 minutes' ELSE interval '1 minute' END
		AND s.occurred_at <= e.occurred_at AND (s.occurred_at, s.seq) < (e.occurred_at, e.seq)
	ORDER BY s.occurred_at DESC, s.seq DESC LIMIT 1
) AS near ON true
-- The newest sign of an earlier start, as of when that start began: a machine may end before it is
-- reported. This month's partitions are asked first: most have it.
LEFT JOIN LATERAL (
	SELECT recent.occurred_at - recent.reported AS occurred_at FROM (
		SELECT sign.occurred_at, sign.reported
		FROM flytrail.machine_sign_kinds k CROSS JOIN LATERAL (
			SELECT s.occurred_at, flytrail.reported_time(s.action, s.attributes) AS reported FROM flytrail.events s
			WHERE s.retention_class = k.retention_class AND s.machine_id = e.machine_id
				AND s.class = k.class AND s.action = k.action
				AND s.occurred_at > e.occurred_at - interval '30 days'
				AND s.occurred_at <= e.occurred_at AND (s.occurred_at, s.seq) < (e.occurred_at, e.seq)
			ORDER BY s.occurred_at DESC LIMIT 1
		) AS sign
		WHERE k.sign = 'start'
		ORDER BY sign.occurred_at DESC LIMIT 1
	) AS recent
	UNION ALL
	SELECT older.occurred_at FROM (
		SELECT sign.occurred_at
		FROM flytrail.machine_sign_kinds k CROSS JOIN LATERAL (
			SELECT s.occurred_at FROM flytrail.events s
			WHERE s.retention_class = k.retention_class AND s.machine_id = e.machine_id
				AND s.class = k.class AND s.action = k.action
				AND s.occurred_at <= e.occurred_at - interval '30 days'
			ORDER BY s.occurred_at DESC LIMIT 1
		) AS sign
		WHERE k.sign = 'start'
		ORDER BY sign.occurred_at DESC LIMIT 1
	) AS older
	LIMIT 1
) AS previous ON true
LEFT JOIN LATERAL (
	SELECT s.occurred_at FROM flytrail.events s
	WHERE s.retention_class = 'operations' AND s.machine_id = e.machine_id AND flytrail.is_end(s.class, s.action)
		AND s.occurred_at >= coalesce(previous.occurred_at, '-infinity')
		AND s.occurred_at <= e.occurred_at AND (s.occurred_at, s.seq) < (e.occurred_at, e.seq)
	ORDER BY s.occurred_at DESC LIMIT 1
) AS ended ON true
-- The version that boots: on this line or one soon after; and the one before it.
LEFT JOIN LATERAL (
	SELECT f.correlation_id AS version FROM flytrail.events f
	WHERE f.retention_class = 'operations' AND f.machine_id = e.machine_id
		AND f.class = 'boot' AND f.action = 'boot.firecracker'
		AND f.occurred_at >= e.occurred_at AND f.occurred_at < e.occurred_at + interval '1 minute'
	ORDER BY f.occurred_at LIMIT 1
) AS boot ON true
LEFT JOIN LATERAL (
	SELECT f.correlation_id AS version FROM flytrail.events f
	WHERE f.retention_class = 'operations' AND f.machine_id = e.machine_id
		AND f.class = 'boot' AND f.action = 'boot.firecracker'
		AND f.occurred_at <= e.occurred_at AND (f.occurred_at, f.seq) < (e.occurred_at, e.seq)
	ORDER BY f.occurred_at DESC, f.seq DESC LIMIT 1
) AS before ON boot.version IS NOT NULL
LEFT JOIN LATERAL (
	SELECT i.occurred_at FROM flytrail.events i
	WHERE i.retention_class = 'security' AND i.machine_id = e.machine_id AND i.class = 'deploy'
		AND i.action IN ('deploy.image_pulling', 'deploy.image_unpacking', 'deploy.image_prepared')
		AND i.occurred_at >= coalesce(previous.occurred_at, '-infinity')
		AND i.occurred_at <= e.occurred_at AND (i.occurred_at, i.seq) < (e.occurred_at, e.seq)
	ORDER BY i.occurred_at DESC LIMIT 1
) AS image ON true
-- What the runner and the proxy say of it when it is up.
CROSS JOIN LATERAL (
	SELECT
		EXISTS (
			SELECT FROM flytrail.events d
			WHERE d.retention_class = 'security' AND d.machine_id = e.machine_id
				AND d.class = 'deploy' AND d.action = 'deploy.machine_started'
				AND d.occurred_at >= e.occurred_at AND d.occurred_at < e.occurred_at + interval '1 minute'
		) AS deploy,
		EXISTS (
			SELECT FROM flytrail.events d
			WHERE d.retention_class = 'operations' AND d.machine_id = e.machine_id
				AND ((d.class = 'boot' AND d.action = 'boot.machine_started')
					OR (d.class = 'autoscale' AND d.action = 'autoscale.started'))
				AND d.occurred_at >= e.occurred_at AND d.occurred_at < e.occurred_at + interval '1 minute'
		) AS platform
) AS told
WHERE e.retention_class = 'operations' AND e.class IN ('boot', 'volume', 'autoscale')
	AND e.action IN ('boot.firecracker', 'boot.init', 'boot.command', 'boot.machine_started',
		'volume.mounted', 'autoscale.started', 'autoscale.reachable')
	-- The first sign of this start: none is near, or that one comes later in a start than this one
	-- or is the same again (only volumes may be several), or the machine has ended since, ...
	AND (near.occurred_at IS NULL
		OR (near.action = e.action AND e.action <> 'volume.mounted')
		OR (e.action = 'boot.firecracker')
		OR (e.action = 'boot.init' AND near.action <> 'boot.firecracker')
		OR EXISTS (
		SELECT FROM flytrail.events s
		WHERE s.retention_class = 'operations' AND s.machine_id = e.machine_id AND flytrail.is_end(s.class, s.action)
			AND s.occurred_at >= near.occurred_at AND (s.occurred_at, s.seq) > (near.occurred_at, near.seq)
			AND s.occurred_at <= e.occurred_at AND (s.occurred_at, s.seq) < (e.occurred_at, e.seq)))
	-- ... and, of a report, none is in the time that it says the start took.
	AND NOT (
		e.action IN ('boot.machine_started', 'autoscale.started', 'autoscale.reachable')
		AND near.occurred_at IS NOT NULL
		AND near.occurred_at >= e.occurred_at - interval '1 second' - flytrail.reported_time(e.action, e.attributes));
COMMENT ON VIEW flytrail.machine_starts IS 'every start of a machine that the lines show, once; restarts and deploys are made of it';
COMMENT ON COLUMN flytrail.machine_starts.event_id IS 'the first sign of the start';
COMMENT ON COLUMN flytrail.machine_starts.occurred_at IS 'of the first sign';
COMMENT ON COLUMN flytrail.machine_starts.seq IS 'of the first sign: orders what has the same time';
COMMENT ON COLUMN flytrail.machine_starts.org IS 'slug of the organisation';
COMMENT ON COLUMN flytrail.machine_starts.app IS 'the application';
COMMENT ON COLUMN flytrail.machine_starts.region IS 'Fly''s code of the region';
COMMENT ON COLUMN flytrail.machine_starts.machine_id IS 'the machine';
COMMENT ON COLUMN flytrail.machine_starts.kind IS 'deploy: a version that had not run on it. again: a restart. first seen: nothing is known of it before';
COMMENT ON COLUMN flytrail.machine_starts.machine_version IS 'that Firecracker names; null where that line is missing';
COMMENT ON COLUMN flytrail.machine_starts.previous_start_at IS 'when the newest sign of an earlier start says that it began';
COMMENT ON COLUMN flytrail.machine_starts.ended_at IS 'the newest sign of an end before it';
COMMENT ON COLUMN flytrail.machine_starts.trust IS 'platform where the runner or the proxy says that it started; else guest';

CREATE VIEW flytrail.restarts AS
SELECT
	m.occurred_at, m.app, m.region, m.machine_id,
	story.cause,
	CASE story.cause WHEN 'autostart' THEN 'fly proxy'
		WHEN 'requested' THEN 'unknown' WHEN 'unknown' THEN 'unknown' ELSE 'fly runner' END AS requested_by,
	CASE story.cause WHEN 'autostart' THEN 'proxy'
		WHEN 'requested' THEN 'unknown' WHEN 'unknown' THEN 'unknown' ELSE 'flyd' END AS actor_type,
	child.exit_code, child.signal, died.of_memory AS oom_killed,
	CASE WHEN story.cause IN ('oom', 'kernel_panic', 'signal', 'exit', 'vm_abrupt') THEN ends.restart_count END AS restart_count,
	m.trust
FROM flytrail.machine_starts m
CROSS JOIN LATERAL (
	SELECT coalesce(m.previous_start_at, m.occurred_at - interval '1 day') AS since
) AS life
LEFT JOIN LATERAL (
	SELECT c.occurred_at, flytrail.as_number(c.attributes ->> 'exit_code')::integer AS exit_code, c.attributes ->> 'signal' AS signal
	FROM flytrail.events c
	WHERE c.retention_class = 'operations' AND c.machine_id = m.machine_id
		AND c.class = 'exit' AND c.action = 'exit.main_child'
		AND c.occurred_at >= life.since AND c.occurred_at <= m.occurred_at
	ORDER BY c.occurred_at DESC, c.seq DESC LIMIT 1
) AS child ON true
CROSS JOIN LATERAL (
	SELECT
		EXISTS (
			SELECT FROM flytrail.events o
			WHERE o.retention_class = 'operations' AND o.machine_id = m.machine_id
				AND o.class = 'oom' AND o.action IN ('oom.killed', 'oom.main_child')
				AND o.occurred_at >= greatest(life.since, coalesce(m.ended_at, m.occurred_at) - interval '1 minute')
				AND o.occurred_at <= m.occurred_at
		) AS of_memory,
		EXISTS (
			SELECT FROM flytrail.events p
			WHERE p.retention_class = 'operations' AND p.machine_id = m.machine_id
				AND p.class = 'exit' AND p.action = 'exit.kernel_panic'
				AND p.occurred_at >= life.since AND p.occurred_at <= m.occurred_at
		) AS of_panic,
		EXISTS (
			SELECT FROM flytrail.events p
			WHERE p.retention_class = 'operations' AND p.machine_id = m.machine_id
				AND p.class = 'exit' AND p.action = 'exit.vm_abrupt'
				AND p.occurred_at >= life.since AND p.occurred_at <= m.occurred_at
		) AS abruptly,
		EXISTS (
			SELECT FROM flytrail.events p
			WHERE p.retention_class = 'operations' AND p.machine_id = m.machine_id
				AND p.class = 'exit' AND p.action = 'exit.signal_sent'
				AND p.occurred_at >= life.since AND p.occurred_at <= m.occurred_at
		) AS when_asked,
		EXISTS (
			SELECT FROM flytrail.events p
			WHERE p.retention_class = 'operations' AND p.machine_id = m.machine_id
				AND p.class = 'autoscale' AND p.action IN ('autoscale.stopping', 'autoscale.suspending')
				AND p.occurred_at >= life.since AND p.occurred_at <= m.occurred_at
		) AS by_autostop,
		EXISTS (
			SELECT FROM flytrail.events p
			WHERE p.retention_class = 'operations' AND p.machine_id = m.machine_id
				AND p.class = 'restart' AND p.action IN ('restart.suppressed', 'restart.gave_up')
				AND p.occurred_at >= life.since AND p.occurred_at <= m.occurred_at
		) AS for_good
) AS died
CROSS JOIN LATERAL (
	SELECT EXISTS (
		SELECT FROM flytrail.events p
		WHERE p.retention_class = 'operations' AND p.machine_id = m.machine_id
			AND p.class = 'autoscale'
			AND p.action IN ('autoscale.starting', 'autoscale.started', 'autoscale.reachable')
			AND p.occurred_at >= greatest(life.since, coalesce(m.ended_at, m.occurred_at - interval '1 minute'))
			AND p.occurred_at <= m.occurred_at + interval '1 minute'
	) AS by_proxy
) AS woken
-- How often it has ended by itself in the last hour, since somebody or something else started it.
CROSS JOIN LATERAL (
	SELECT count(*) FILTER (WHERE x.action = 'exit.main_child') AS children, count(*) FILTER (WHERE x.action = 'exit.vm') AS machines
	FROM flytrail.events x
	WHERE x.retention_class = 'operations' AND x.machine_id = m.machine_id
		AND x.class = 'exit' AND x.action IN ('exit.main_child', 'exit.vm')
		AND x.occurred_at <= m.occurred_at
		AND x.occurred_at > greatest(m.occurred_at - interval '1 hour', (
			SELECT max(n.occurred_at) FROM flytrail.events n
			WHERE n.retention_class = 'operations' AND n.machine_id = m.machine_id
				AND n.class = 'autoscale' AND n.action IN ('autoscale.starting', 'autoscale.stopping', 'autoscale.suspending')
				AND n.occurred_at > m.occurred_at - interval '1 hour' AND n.occurred_at <= m.occurred_at
		), (
			SELECT max(n.occurred_at) FROM flytrail.events n
			WHERE n.retention_class = 'security' AND n.machine_id = m.machine_id
				AND n.class = 'deploy' AND n.action IN ('deploy.image_pulling', 'deploy.image_prepared')
				AND n.occurred_at > m.occurred_at - interval '1 hour' AND n.occurred_at <= m.occurred_at
		))
) AS counted
CROSS JOIN LATERAL (SELECT greatest(counted.children, counted.machines, 1)::integer AS restart_count) AS ends
CROSS JOIN LATERAL (
	SELECT CASE
		WHEN died.by_autostop OR (woken.by_proxy AND (died.for_good OR child.occurred_at IS NULL
			OR child.occurred_at < m.occurred_at - interval '10 seconds')) THEN 'autostart'
		WHEN died.of_memory THEN 'oom'
		WHEN died.of_panic THEN 'kernel_panic'
		WHEN died.when_asked THEN 'requested'
		WHEN child.signal IS NOT NULL THEN 'signal'
		WHEN child.exit_code IS NOT NULL THEN 'exit'
		WHEN died.abruptly THEN 'vm_abrupt'
		WHEN woken.by_proxy THEN 'autostart'
		ELSE 'unknown'
	END AS cause
) AS story
WHERE m.kind = 'again';
COMMENT ON VIEW flytrail.restarts IS 'machines that started again with the version they had; what did not start again is in exits';
COMMENT ON COLUMN flytrail.restarts.occurred_at IS 'when the first sign of the new start was printed';
COMMENT ON COLUMN flytrail.restarts.app IS 'the application';
COMMENT ON COLUMN flytrail.restarts.region IS 'Fly''s code of the region';
COMMENT ON COLUMN flytrail.restarts.machine_id IS 'the machine';
COMMENT ON COLUMN flytrail.restarts.cause IS 'oom, kernel_panic, signal, exit, vm_abrupt: it had ended so by itself. autostart: the proxy had stopped it or started it. requested: init was told to end it, and no line says by whom. unknown: no line says why';
COMMENT ON COLUMN flytrail.restarts.requested_by IS 'fly runner (its restart policy), fly proxy, or unknown';
COMMENT ON COLUMN flytrail.restarts.actor_type IS 'flyd, proxy or unknown';
COMMENT ON COLUMN flytrail.restarts.exit_code IS 'of the main process, where a line says it';
COMMENT ON COLUMN flytrail.restarts.signal IS 'that ended the main process, where a line says it';
COMMENT ON COLUMN flytrail.restarts.oom_killed IS 'the kernel killed a process for want of memory within the minute before the end';
COMMENT ON COLUMN flytrail.restarts.restart_count IS 'how often it has ended by itself in the last hour since it was deployed, stopped or started by others; null for other causes';
COMMENT ON COLUMN flytrail.restarts.trust IS 'platform where the runner or the proxy says that it started; the cause may still be the guest''s word';

CREATE FUNCTION flytrail.end_step(action text) RETURNS integer
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	RETURN CASE action WHEN 'exit.main_child' THEN 1 WHEN 'exit.kernel_panic' THEN 2
		WHEN 'exit.vm' THEN 3 WHEN 'exit.vm_abrupt' THEN 3 WHEN 'exit.vm_suspended' THEN 3 ELSE 4 END;
COMMENT ON FUNCTION flytrail.end_step(text) IS 'where an action stands in the order in which a machine ends';

CREATE VIEW flytrail.exits AS
SELECT
	e.event_id, e.occurred_at, e.app, e.region, e.machine_id,
	child.exit_code, child.signal, died.of_memory AS oom_killed,
	CASE
		WHEN decision.action = 'restart.gave_up' THEN 'gave_up'
		WHEN decision.action = 'restart.suppressed' THEN 'not_restarted'
		WHEN died.by_autostop THEN 'stopped'
		WHEN died.by_deploy THEN 'replaced'
		WHEN next_start.occurred_at IS NOT NULL THEN 'restarted'
		WHEN died.when_asked THEN 'stopped'
		ELSE 'unknown'
	END AS outcome,
	CASE
		WHEN decision.action IS NOT NULL THEN coalesce(decision.summary, flytrail.without_ansi(decision.message))
		WHEN died.by_autostop THEN 'the proxy stopped it for want of load'
		WHEN died.by_deploy THEN 'a new version was put in its place'
		WHEN next_start.occurred_at IS NOT NULL THEN 'it started again within 5 minutes'
		WHEN died.when_asked THEN 'init was told to end it; no line says by whom'
		ELSE 'unknown: no line says what became of it'
	END AS reason,
	e.trust
FROM flytrail.events e
LEFT JOIN LATERAL (
	SELECT sign.occurred_at, sign.seq
	FROM flytrail.machine_sign_kinds k CROSS JOIN LATERAL (
		SELECT s.occurred_at, s.seq FROM flytrail.events s
		WHERE s.retention_class = k.retention_class AND s.machine_id = e.machine_id
			AND s.class = k.class AND s.action = k.action
			AND s.occurred_at > e.occurred_at - interval '1 minute'
			AND s.occurred_at <= e.occurred_at AND (s.occurred_at, s.seq) < (e.occurred_at, e.seq)
		ORDER BY s.occurred_at DESC, s.seq DESC LIMIT 1
	) AS sign
	WHERE k.sign = 'start'
	ORDER BY sign.occurred_at DESC, sign.seq DESC LIMIT 1
) AS started ON true
LEFT JOIN LATERAL (
	SELECT sign.occurred_at
	FROM flytrail.machine_sign_kinds k CROSS JOIN LATERAL (
		SELECT s.occurred_at FROM flytrail.events s
		WHERE s.retention_class = k.retention_class AND s.machine_id = e.machine_id
			AND s.class = k.class AND s.action = k.action
			AND s.occurred_at < e.occurred_at + interval '5 minutes'
			AND s.occurred_at >= e.occurred_at AND (s.occurred_at, s.seq) > (e.occurred_at, e.seq)
		ORDER BY s.occurred_at LIMIT 1
	) AS sign
	WHERE k.sign = 'start'
	ORDER BY sign.occurred_at LIMIT 1
) AS next_start ON true
CROSS JOIN LATERAL (
	SELECT greatest(started.occurred_at, e.occurred_at - interval '1 minute') AS from_time,
		least(next_start.occurred_at, e.occurred_at + interval '1 minute') AS to_time
) AS span
LEFT JOIN LATERAL (
	SELECT flytrail.as_number(c.attributes ->> 'exit_code')::integer AS exit_code, c.attributes ->> 'signal' AS signal
	FROM flytrail.events c
	WHERE c.retention_class = 'operations' AND c.machine_id = e.machine_id
		AND c.class = 'exit' AND c.action = 'exit.main_child'
		AND c.occurred_at >= e.occurred_at AND c.occurred_at <= span.to_time
	ORDER BY c.occurred_at, c.seq LIMIT 1
) AS child ON true
LEFT JOIN LATERAL (
	SELECT r.action, r.summary, r.message FROM flytrail.events r
	WHERE r.retention_class = 'operations' AND r.machine_id = e.machine_id
		AND r.class = 'restart' AND r.action IN ('restart.gave_up', 'restart.suppressed')
		AND r.occurred_at >= e.occurred_at AND r.occurred_at <= span.to_time
	ORDER BY r.occurred_at, r.seq LIMIT 1
) AS decision ON true
CROSS JOIN LATERAL (
	SELECT
		EXISTS (
			SELECT FROM flytrail.events o
			WHERE o.retention_class = 'operations' AND o.machine_id = e.machine_id
				AND o.class = 'oom' AND o.action IN ('oom.killed', 'oom.main_child')
				AND o.occurred_at >= span.from_time AND o.occurred_at <= span.to_time
		) AS of_memory,
		EXISTS (
			SELECT FROM flytrail.events p
			WHERE p.retention_class = 'operations' AND p.machine_id = e.machine_id
				AND p.class = 'autoscale' AND p.action IN ('autoscale.stopping', 'autoscale.suspending')
				AND p.occurred_at >= span.from_time - interval '4 minutes' AND p.occurred_at <= e.occurred_at
		) AS by_autostop,
		EXISTS (
			SELECT FROM flytrail.events p
			WHERE p.retention_class = 'security' AND p.machine_id = e.machine_id
				AND p.class = 'deploy' AND p.action IN ('deploy.image_pulling', 'deploy.image_prepared')
				AND p.occurred_at >= greatest(started.occurred_at, e.occurred_at - interval '5 minutes')
				AND p.occurred_at <= e.occurred_at
		) AS by_deploy,
		EXISTS (
			SELECT FROM flytrail.events p
			WHERE p.retention_class = 'operations' AND p.machine_id = e.machine_id
				AND p.class = 'exit' AND p.action = 'exit.signal_sent'
				AND p.occurred_at >= span.from_time - interval '4 minutes' AND p.occurred_at <= e.occurred_at
		) AS when_asked
) AS died
WHERE e.retention_class = 'operations' AND e.class IN ('exit', 'restart')
	AND e.action IN ('exit.main_child', 'exit.vm', 'exit.vm_abrupt', 'exit.vm_suspended',
		'exit.kernel_panic', 'restart.gave_up', 'restart.suppressed')
	-- The first sign of this end: one end's come in the order of their steps, so a step that is not
	-- further than the one before it belongs to another end, whose start was lost.
	AND NOT EXISTS (
		SELECT FROM (
			SELECT s.action FROM flytrail.events s
			WHERE s.retention_class = 'operations' AND s.machine_id = e.machine_id
				AND s.class IN ('exit', 'restart')
				AND s.action IN ('exit.main_child', 'exit.vm', 'exit.vm_abrupt', 'exit.vm_suspended',
					'exit.kernel_panic', 'restart.gave_up', 'restart.suppressed')
				AND s.occurred_at > e.occurred_at - interval '1 minute'
				AND s.occurred_at <= e.occurred_at AND (s.occurred_at, s.seq) < (e.occurred_at, e.seq)
				AND (started.occurred_at IS NULL
					OR (s.occurred_at, s.seq) > (started.occurred_at, started.seq))
			ORDER BY s.occurred_at DESC, s.seq DESC LIMIT 1
		) AS newest
		WHERE flytrail.end_step(newest.action) < flytrail.end_step(e.action)
	);
COMMENT ON VIEW flytrail.exits IS 'every end of a machine or of its main process that the lines show, once, and what became of it';
COMMENT ON COLUMN flytrail.exits.event_id IS 'the first sign of the end';
COMMENT ON COLUMN flytrail.exits.occurred_at IS 'of the first sign';
COMMENT ON COLUMN flytrail.exits.app IS 'the application';
COMMENT ON COLUMN flytrail.exits.region IS 'Fly''s code of the region';
COMMENT ON COLUMN flytrail.exits.machine_id IS 'the machine';
COMMENT ON COLUMN flytrail.exits.exit_code IS 'of the main process, where a line says it';
COMMENT ON COLUMN flytrail.exits.signal IS 'that ended the main process, where a line says it';
COMMENT ON COLUMN flytrail.exits.oom_killed IS 'the kernel killed a process for want of memory within a minute of the end';
COMMENT ON COLUMN flytrail.exits.outcome IS 'restarted, stopped (by the proxy, or on request), replaced (by a new version), not_restarted (by its policy), gave_up (too many restarts) or unknown';
COMMENT ON COLUMN flytrail.exits.reason IS 'why that outcome, for people';
COMMENT ON COLUMN flytrail.exits.trust IS 'of the first sign';

DO $$
DECLARE
	reader_role CONSTANT name := current_setting('flytrail.reader_role');
	line_reader_role CONSTANT name := current_setting('flytrail.line_reader_role');
BEGIN
	EXECUTE format('GRANT SELECT ON flytrail.machine_starts, flytrail.restarts, flytrail.exits TO %I, %I',
		reader_role, line_reader_role);
END
$$;
