-- oldest: 3
-- Releases and the secrets that they carry: who deployed, and which change reached the machines by which
-- release. What Fly's API says and what the lines say are told together.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- What the API says of an application's releases and secrets is little, among many lines' events.
CREATE INDEX events_release_idx ON flytrail.events (app, action, occurred_at DESC)
	WHERE trust = 'api' AND class IN ('deploy', 'secret_change');

-- Each release that was made, and its end where that is known; and those that were under way when they
-- were first looked at, of which only the end is on record. Numbers begin anew where an application is
-- made that has the name of one that is gone: releases of one number are told apart by their times.
CREATE VIEW flytrail.releases AS
SELECT
	s.event_id, s.app, s.correlation_id AS release, s.occurred_at AS started_at,
	ended.occurred_at AS ended_after, ended.not_after AS ended_before,
	CASE ended.action WHEN 'deploy.release_succeeded' THEN 'success' WHEN 'deploy.release_failed' THEN 'failure'
		WHEN 'deploy.release_interrupted' THEN 'interrupted' ELSE 'unknown' END AS outcome,
	s.actor, s.actor_type, s.actor_reason,
	s.attributes #>> '{after,image}' AS image,
	s.attributes #>> '{after,strategy}' AS strategy,
	s.attributes #>> '{after,previous_image}' AS previous_image,
	(s.attributes #>> '{after,previous_at}')::timestamptz AS previous_at,
	s.attributes #>> '{after,rollback_to}' AS rollback_to,
	s.trust, s.summary, s.seq, s.occurred_at AS event_at
FROM flytrail.events s
LEFT JOIN LATERAL (
	SELECT e.action, e.occurred_at, e.not_after FROM flytrail.events e
	WHERE e.retention_class = 'security' AND e.trust = 'api' AND e.class = 'deploy'
		AND e.action IN ('deploy.release_succeeded', 'deploy.release_failed', 'deploy.release_interrupted')
		AND e.app = s.app AND e.correlation_id = s.correlation_id
		AND e.attributes #>> '{after,created_at}' IS NOT DISTINCT FROM s.attributes #>> '{after,created_at}'
		AND e.occurred_at >= s.occurred_at
	ORDER BY e.occurred_at LIMIT 1
) AS ended ON true
WHERE s.retention_class = 'security' AND s.trust = 'api' AND s.class = 'deploy'
	AND s.action = 'deploy.release_started'
	-- Told again after a crash, another release may have come to be known as the one that it goes back to.
	AND s.event_id = coalesce((
		SELECT t.event_id FROM flytrail.events t
		WHERE t.retention_class = 'security' AND t.trust = 'api' AND t.class = 'deploy'
			AND t.action = 'deploy.release_started' AND t.app = s.app AND t.correlation_id = s.correlation_id
			AND t.occurred_at = s.occurred_at
		ORDER BY t.event_id LIMIT 1
	), s.event_id)
UNION ALL
SELECT
	e.event_id, e.app, e.correlation_id, coalesce((e.attributes #>> '{after,created_at}')::timestamptz, e.occurred_at),
	e.occurred_at, e.not_after,
	CASE e.action WHEN 'deploy.release_succeeded' THEN 'success' WHEN 'deploy.release_failed' THEN 'failure'
		ELSE 'interrupted' END,
	e.actor, e.actor_type, e.actor_reason,
	e.attributes #>> '{after,image}', e.attributes #>> '{after,strategy}', e.attributes #>> '{after,previous_image}',
	(e.attributes #>> '{after,previous_at}')::timestamptz, e.attributes #>> '{after,rollback_to}',
	e.trust, e.summary, e.seq, e.occurred_at
FROM flytrail.events e
WHERE e.retention_class = 'security' AND e.trust = 'api' AND e.class = 'deploy'
	AND e.action IN ('deploy.release_succeeded', 'deploy.release_failed', 'deploy.release_interrupted')
	AND e.correlation_id IS NOT NULL
	AND NOT EXISTS (
		SELECT FROM flytrail.events s
		WHERE s.retention_class = 'security' AND s.trust = 'api' AND s.class = 'deploy'
			AND s.action IN ('deploy.release_started', 'deploy.release_succeeded', 'deploy.release_failed',
				'deploy.release_interrupted')
			AND s.app = e.app AND s.correlation_id = e.correlation_id AND s.occurred_at <= e.occurred_at
			AND s.occurred_at >= coalesce(least((e.attributes #>> '{after,created_at}')::timestamptz,
				e.occurred_at - interval '1 day') - interval '1 second', '-infinity')
			AND s.attributes #>> '{after,created_at}' IS NOT DISTINCT FROM e.attributes #>> '{after,created_at}'
			AND (s.action = 'deploy.release_started' OR (s.occurred_at, s.seq) < (e.occurred_at, e.seq))
	);
COMMENT ON VIEW flytrail.releases IS 'the releases that Fly''s API shows; the view deploys tells them together with what the lines say';
COMMENT ON COLUMN flytrail.releases.event_id IS 'that it was made; or its end, where it was under way when it was first looked at';
COMMENT ON COLUMN flytrail.releases.app IS 'the application';
COMMENT ON COLUMN flytrail.releases.release IS 'its version';
COMMENT ON COLUMN flytrail.releases.started_at IS 'when it was made';
COMMENT ON COLUMN flytrail.releases.ended_after IS 'the last time at which it had not ended; null: it has not, or not in words that are known';
COMMENT ON COLUMN flytrail.releases.ended_before IS 'the first time at which it had ended';
COMMENT ON COLUMN flytrail.releases.outcome IS 'success, failure, interrupted or unknown';
COMMENT ON COLUMN flytrail.releases.actor IS 'who made it; unknown: see actor_reason';
COMMENT ON COLUMN flytrail.releases.actor_type IS 'user, token or unknown';
COMMENT ON COLUMN flytrail.releases.actor_reason IS 'why the actor is unknown';
COMMENT ON COLUMN flytrail.releases.image IS 'as the release names it';
COMMENT ON COLUMN flytrail.releases.strategy IS 'how the machines get it';
COMMENT ON COLUMN flytrail.releases.previous_image IS 'of the release before it; null: none is known';
COMMENT ON COLUMN flytrail.releases.previous_at IS 'when that was made';
COMMENT ON COLUMN flytrail.releases.rollback_to IS 'the newest earlier release with its image that was complete, where the one before it has another';
COMMENT ON COLUMN flytrail.releases.trust IS 'api';
COMMENT ON COLUMN flytrail.releases.summary IS 'one sentence for people';
COMMENT ON COLUMN flytrail.releases.seq IS 'the event''s number in its spool';
COMMENT ON COLUMN flytrail.releases.event_at IS 'the event''s time';

-- What Fly's API shows to have been changed of one machine. That a release did it, the machine's metadata
-- alone says, which anybody may write who may change machines: it is believed where that release was
-- being given to machines then.
CREATE VIEW flytrail.machine_updates AS
SELECT
	u.event_id, u.occurred_at, u.not_after, u.app, u.region, u.machine_id, u.actor, u.actor_type, u.actor_reason,
	u.attributes #>> '{after,image}' AS image, claim.release AS claimed_release, believed.event_id AS release_event,
	u.outcome, u.trust, u.summary
FROM flytrail.events u
CROSS JOIN LATERAL (
	SELECT CASE WHEN u.attributes ? 'after'
		THEN nullif(u.attributes #>> '{after,release}', u.attributes #>> '{before,release}')
		ELSE 'unknown' END AS release
) AS claim
LEFT JOIN LATERAL (
	SELECT r.event_id FROM flytrail.releases r
	WHERE r.app = u.app AND r.release = claim.release
		AND r.started_at <= coalesce(u.not_after, u.occurred_at) + interval '5 seconds' -- clocks differ
		AND u.occurred_at <= least(r.ended_before, r.started_at + interval '1 hour') + interval '1 minute'
		AND r.event_at > u.occurred_at - interval '2 hours'
		AND r.event_at < coalesce(u.not_after, u.occurred_at) + interval '2 hours'
	ORDER BY r.started_at DESC LIMIT 1
) AS believed ON true
WHERE u.retention_class = 'security' AND u.trust = 'api' AND u.class = 'deploy'
	AND u.action = 'deploy.machine_updated' AND u.machine_id IS NOT NULL;
COMMENT ON VIEW flytrail.machine_updates IS 'each time that Fly''s API shows a machine with another version or config than before, by a release or not';
COMMENT ON COLUMN flytrail.machine_updates.event_id IS 'the event';
COMMENT ON COLUMN flytrail.machine_updates.occurred_at IS 'when, or the last time at which it had not been changed yet';
COMMENT ON COLUMN flytrail.machine_updates.not_after IS 'the first time at which it had been changed; null: occurred_at is exact';
COMMENT ON COLUMN flytrail.machine_updates.app IS 'the application';
COMMENT ON COLUMN flytrail.machine_updates.region IS 'Fly''s code of the region';
COMMENT ON COLUMN flytrail.machine_updates.machine_id IS 'the machine';
COMMENT ON COLUMN flytrail.machine_updates.actor IS 'who changed it; unknown: see actor_reason';
COMMENT ON COLUMN flytrail.machine_updates.actor_type IS 'user, token, flyd, proxy or unknown';
COMMENT ON COLUMN flytrail.machine_updates.actor_reason IS 'why the actor is unknown';
COMMENT ON COLUMN flytrail.machine_updates.image IS 'that it has since';
COMMENT ON COLUMN flytrail.machine_updates.claimed_release IS 'the release that its metadata names since, and did not before; null: it names none, or that of before; unknown: its fields were too long to be kept';
COMMENT ON COLUMN flytrail.machine_updates.release_event IS 'that release, if it was being given to machines then; null: it was not, or is not known';
COMMENT ON COLUMN flytrail.machine_updates.outcome IS 'unknown: that it was changed says nothing of what came of it';
COMMENT ON COLUMN flytrail.machine_updates.trust IS 'api';
COMMENT ON COLUMN flytrail.machine_updates.summary IS 'one sentence for people, with what was changed';

-- What the lines show of one machine; and the release that it belongs to: the newest that was made
-- before, if that had not ended a minute ago. One that ended while nobody looked is over in an hour. What
-- Fly's API shows as an update of the machine by itself since then is of no release.
CREATE VIEW flytrail.machine_deploys AS
SELECT
	done.event_id, done.event_at, done.app, done.region, done.machine_id,
	coalesce(prepared.image, 'unknown') AS image, prepared.image_digest,
	done.started_at, done.finished_at, done.outcome, done.trust, done.summary, done.seconds,
	fire.version AS machine_version,
	CASE WHEN outside.at IS NULL OR outside.at < newest.started_at THEN newest.event_id END AS release_event,
	CASE WHEN outside.at >= newest.started_at OR newest.event_id IS NULL THEN outside.event_id END AS update_event
FROM (
	-- The runner says that it is done. It began with the first line about the image.
	SELECT d.event_id, d.app, d.region, d.machine_id, d.outcome, d.trust, d.action,
		coalesce(d.summary, flytrail.without_ansi(d.message)) AS summary,
		flytrail.as_number(d.attributes ->> 'seconds') AS seconds,
		coalesce(begun.occurred_at, d.occurred_at
			- coalesce(flytrail.as_number(d.attributes ->> 'seconds'), 0) * interval '1 second') AS started_at,
		d.occurred_at AS finished_at, d.occurred_at AS event_at
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
		coalesce(begun.occurred_at, i.occurred_at), start.occurred_at, i.occurred_at
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
		f.occurred_at, f.occurred_at, f.occurred_at
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
) AS fire ON true
LEFT JOIN LATERAL (
	SELECT of.event_id, of.started_at FROM (
		SELECT r.event_id, r.started_at, r.ended_before FROM flytrail.releases r
		WHERE r.app = done.app AND r.started_at <= done.started_at + interval '5 seconds' -- clocks differ
			AND r.event_at > done.started_at - interval '2 hours'
			AND r.event_at < done.started_at + interval '2 hours'
			AND r.started_at > done.started_at - interval '2 hours'
		ORDER BY r.started_at DESC, r.seq DESC LIMIT 1
	) AS of
	WHERE done.started_at <= least(of.ended_before, of.started_at + interval '1 hour') + interval '1 minute'
) AS newest ON true
-- An update of which only an interval is known does not tell whether a release was in it as well.
LEFT JOIN LATERAL (
	SELECT u.event_id, CASE WHEN u.not_after IS NULL THEN u.occurred_at END AS at FROM flytrail.machine_updates u
	WHERE u.release_event IS NULL AND u.app = done.app AND u.machine_id = done.machine_id
		AND u.occurred_at > done.started_at - interval '2 hours'
		AND u.occurred_at <= done.finished_at + interval '5 seconds'
		AND coalesce(u.not_after, u.occurred_at) >= done.started_at - interval '1 minute'
	ORDER BY u.not_after IS NOT NULL, u.occurred_at DESC LIMIT 1
) AS outside ON true;
COMMENT ON VIEW flytrail.machine_deploys IS 'each time that a machine got a version, as the lines show it';
COMMENT ON COLUMN flytrail.machine_deploys.event_id IS 'the event that the row stands on';
COMMENT ON COLUMN flytrail.machine_deploys.event_at IS 'its time';
COMMENT ON COLUMN flytrail.machine_deploys.app IS 'the application';
COMMENT ON COLUMN flytrail.machine_deploys.region IS 'Fly''s code of the region';
COMMENT ON COLUMN flytrail.machine_deploys.machine_id IS 'the machine';
COMMENT ON COLUMN flytrail.machine_deploys.image IS 'as the runner names it; unknown where no line within the hour does';
COMMENT ON COLUMN flytrail.machine_deploys.image_digest IS 'of the image, where its name has one';
COMMENT ON COLUMN flytrail.machine_deploys.started_at IS 'the first line about the image, or when the runner''s count of seconds began';
COMMENT ON COLUMN flytrail.machine_deploys.finished_at IS 'when the machine ran the version, or was left stopped with it';
COMMENT ON COLUMN flytrail.machine_deploys.outcome IS 'success: the machine has the version';
COMMENT ON COLUMN flytrail.machine_deploys.trust IS 'platform: the runner says it. guest: only lines from inside the machine show that it started';
COMMENT ON COLUMN flytrail.machine_deploys.summary IS 'one sentence for people';
COMMENT ON COLUMN flytrail.machine_deploys.seconds IS 'that it took, as the runner counts; null where it does not say';
COMMENT ON COLUMN flytrail.machine_deploys.machine_version IS 'that Firecracker names; null where that line is missing or the machine was left stopped';
COMMENT ON COLUMN flytrail.machine_deploys.release_event IS 'the release that it belongs to, by application and time; null: none is known';
COMMENT ON COLUMN flytrail.machine_deploys.update_event IS 'the update of this machine alone that it belongs to, by time; null: none is known';

CREATE OR REPLACE VIEW flytrail.deploys AS
SELECT
	m.app, 'unknown'::text AS release,
	'unknown'::text AS actor, 'unknown'::text AS actor_type,
	'no log line says who deployed'::text AS actor_reason,
	m.image, m.image_digest,
	'unknown'::text AS reason,
	m.started_at, m.finished_at, m.outcome,
	ARRAY[m.machine_id] AS machines,
	m.trust, m.summary,
	m.machine_version, m.seconds, m.region, m.event_id,
	NULL::timestamptz AS finished_after, m.event_at
FROM flytrail.machine_deploys m
WHERE m.release_event IS NULL AND (m.update_event IS NULL OR EXISTS (
	-- The update explains the first of them.
	SELECT FROM flytrail.machine_deploys o
	WHERE o.app = m.app AND o.machine_id = m.machine_id AND o.update_event = m.update_event
		AND o.event_at > m.event_at - interval '1 day' AND o.event_at < m.event_at + interval '1 hour'
		AND (o.finished_at, o.event_id) < (m.finished_at, m.event_id)
))
UNION ALL
-- A machine that was given a version by itself, with what the lines show of it.
SELECT
	u.app, CASE WHEN u.claimed_release IS NULL THEN 'none' ELSE 'unknown' END, u.actor, u.actor_type, u.actor_reason,
	coalesce(u.image, shown.image, 'unknown'),
	coalesce(substring(u.image FROM '@(sha256:[0-9a-f]+)$'), shown.image_digest),
	'machine update',
	least(u.occurred_at, shown.started_at), coalesce(shown.finished_at, u.not_after), u.outcome,
	ARRAY[u.machine_id],
	u.trust, u.summary,
	shown.machine_version, shown.seconds, coalesce(u.region, shown.region), u.event_id,
	CASE WHEN shown.finished_at IS NULL AND u.not_after IS NOT NULL THEN u.occurred_at END, u.occurred_at
FROM flytrail.machine_updates u
LEFT JOIN LATERAL (
	SELECT m.* FROM flytrail.machine_deploys m
	WHERE m.app = u.app AND m.machine_id = u.machine_id AND m.update_event = u.event_id
		AND m.event_at >= u.occurred_at - interval '1 hour'
		AND m.event_at < coalesce(u.not_after, u.occurred_at) + interval '2 hours'
	ORDER BY m.finished_at, m.event_id LIMIT 1
) AS shown ON true
WHERE u.release_event IS NULL
UNION ALL
SELECT
	r.app, coalesce(r.release, 'unknown'),
	r.actor, r.actor_type, r.actor_reason,
	coalesce(r.image, 'unknown'), coalesce(substring(r.image FROM '@(sha256:[0-9a-f]+)$'), machines.image_digest),
	CASE
		WHEN r.rollback_to IS NOT NULL THEN 'rollback'
		WHEN r.image IS NULL OR (r.previous_image IS NULL AND r.release IS DISTINCT FROM '1') THEN 'unknown'
		WHEN r.previous_image IS DISTINCT FROM r.image THEN 'deploy'
		WHEN secrets.changed THEN 'secret change'
		ELSE 'restart'
	END,
	r.started_at, coalesce(machines.finished_at, r.ended_before), r.outcome,
	coalesce(machines.ids, ARRAY[]::text[]),
	r.trust, r.summary,
	NULL, round(extract(epoch FROM coalesce(machines.finished_at, r.ended_before) - r.started_at), 3),
	machines.regions, r.event_id,
	CASE WHEN machines.finished_at IS NULL THEN r.ended_after END, r.event_at
FROM flytrail.releases r
LEFT JOIN LATERAL (
	SELECT
		array_agg(DISTINCT m.machine_id ORDER BY m.machine_id) AS ids,
		string_agg(DISTINCT m.region, ',' ORDER BY m.region) AS regions,
		max(m.finished_at) AS finished_at, max(m.image_digest) AS image_digest
	FROM (
		SELECT d.machine_id, d.region, d.finished_at, d.image_digest FROM flytrail.machine_deploys d
		WHERE d.app = r.app AND d.release_event = r.event_id
			-- Each is within two hours of its release, and says so by a line within another.
			AND d.event_at >= r.started_at - interval '5 seconds'
			AND d.event_at < r.started_at + interval '3 hours'
		UNION ALL
		-- Lines may be missing where Fly's API shows that a machine was given the version.
		SELECT g.machine_id, g.region, NULL, NULL FROM flytrail.events g
		WHERE g.retention_class = 'security' AND g.trust = 'api' AND g.class = 'deploy'
			AND g.action = 'deploy.machine_replacing' AND g.app = r.app AND g.machine_id IS NOT NULL
			AND g.occurred_at >= r.started_at - interval '5 seconds'
			AND g.occurred_at <= least(r.ended_before, r.started_at + interval '1 hour') + interval '1 minute'
			AND NOT EXISTS (
				SELECT FROM flytrail.events n
				WHERE n.retention_class = 'security' AND n.trust = 'api' AND n.class = 'deploy'
					AND n.action = 'deploy.release_started' AND n.app = r.app
					AND n.occurred_at > r.started_at AND n.occurred_at <= g.occurred_at + interval '5 seconds'
			)
			-- It is told by this as well when it was no release.
			AND NOT EXISTS (
				SELECT FROM flytrail.machine_updates u
				WHERE u.release_event IS NULL AND u.app = g.app AND u.machine_id = g.machine_id
					AND u.not_after IS NULL AND u.occurred_at >= g.occurred_at - interval '5 seconds'
					AND u.occurred_at <= g.occurred_at + interval '5 seconds'
			)
		UNION ALL
		SELECT u.machine_id, u.region, NULL, NULL FROM flytrail.machine_updates u
		WHERE u.app = r.app AND u.release_event = r.event_id
			AND u.occurred_at > r.started_at - interval '1 day' AND u.occurred_at < r.started_at + interval '2 hours'
	) AS m
) AS machines ON true
-- A secret that it carried; or one that was gone by then and was not when the release before was made.
CROSS JOIN LATERAL (
	SELECT EXISTS (
		SELECT FROM flytrail.events d
		WHERE d.retention_class = 'security' AND d.trust = 'api' AND d.class = 'secret_change'
			AND d.action = 'secret_change.deployed' AND d.app = r.app AND d.correlation_id = r.release
			AND d.occurred_at >= r.started_at - interval '1 second'
			AND d.occurred_at <= r.started_at + interval '1 second'
	) OR EXISTS (
		SELECT FROM flytrail.events u
		WHERE u.retention_class = 'security' AND u.trust = 'api' AND u.class = 'secret_change'
			AND u.action = 'secret_change.unset' AND u.app = r.app
			AND u.occurred_at <= r.started_at AND u.occurred_at > r.started_at - interval '30 days'
			AND coalesce(u.not_after, u.occurred_at) >= r.previous_at
	) AS changed
) AS secrets;
COMMENT ON VIEW flytrail.deploys IS 'releases, each with its machines; each update of a machine by itself; and each time that a machine got a version which belongs to neither';
COMMENT ON COLUMN flytrail.deploys.release IS 'the release''s number; none: a machine was updated by itself; unknown where only lines tell of it, because none names it, or where a machine''s metadata alone names one, which was not being given to machines then';
COMMENT ON COLUMN flytrail.deploys.image IS 'as the release names it, or else the runner; unknown where nothing does';
COMMENT ON COLUMN flytrail.deploys.reason IS 'deploy: another image. rollback: that of an earlier release. secret change: the image that was there, and secrets that differ. restart: the same of everything that is seen, so that it was restarted, scaled or configured. machine update: a machine was given another version or config, and no release that is known did it. unknown: nothing says it';
COMMENT ON COLUMN flytrail.deploys.started_at IS 'when the release was made, or the machine updated; without either the first line about the image, or when the runner''s count of seconds began';
COMMENT ON COLUMN flytrail.deploys.finished_at IS 'when the last machine ran the version, or was left stopped with it, as the lines show it; where they do not, when the release was first seen to have ended: see finished_after. Of a machine''s update without lines when it was first seen. null: it goes on, or nothing says when it was done';
COMMENT ON COLUMN flytrail.deploys.outcome IS 'of a release success, failure, interrupted, or unknown while it goes on or ended in words that are not known. Of lines without one success: the machine has the version. Of a machine''s update unknown. Whether it works is told by health checks and exits';
COMMENT ON COLUMN flytrail.deploys.machines IS 'the machines that got the version; of a release those that lines or Fly''s API show to have been given one in its time';
COMMENT ON COLUMN flytrail.deploys.trust IS 'api: Fly''s control plane says it. platform: the runner does. guest: only lines from inside the machine show that it started';
COMMENT ON COLUMN flytrail.deploys.seconds IS 'of a release from its start to finished_at; of others as the runner counts, or null where it does not say';
COMMENT ON COLUMN flytrail.deploys.region IS 'Fly''s code of the region; of a release those of its machines, with commas';
COMMENT ON COLUMN flytrail.deploys.event_at IS 'the time of the event that the row stands on: between started_at and finished_at. What is asked by it is answered from that time''s partitions alone';
COMMENT ON COLUMN flytrail.deploys.finished_after IS 'where finished_at is no line''s time: the last time at which the release had not ended, or the machine was not updated; otherwise null';

-- A set or updated secret has the release that carried it on record. Fly's list does not show one that
-- was unset any more: its release is the next of the application that has not failed, if possible one
-- that it could have made itself, which has the image that was there. In a wide interval any release
-- may be that. One that has another image was no change of a secret: it was made by somebody who
-- deployed, and carried what was staged. What was changed again before the release was made, no machine ever got.
CREATE OR REPLACE VIEW flytrail.secret_changes AS
SELECT
	e.occurred_at AS changed_at, e.not_after, e.app, e.target AS secret_name,
	split_part(e.action, '.', 2) AS change,
	CASE WHEN near.is_it THEN carrier.actor ELSE e.actor END AS actor,
	CASE WHEN near.is_it THEN carrier.actor_type ELSE e.actor_type END AS actor_type,
	CASE
		WHEN near.is_it THEN 'inferred: made release ' || carrier.release || ', which carried the change, within 5 minutes of it'
		WHEN e.actor = 'unknown' AND wide.is_it
			THEN concat_ws('; ', e.actor_reason, 'it was at some time within more than 15 minutes, so that no release tells who')
		ELSE e.actor_reason
	END AS actor_reason,
	carrier.deployed_at,
	CASE WHEN carrier.deployed_at IS NOT NULL THEN coalesce(carrier.release, 'unknown') END AS release, e.trust,
	carrier.deployed_not_after
FROM flytrail.events e
CROSS JOIN LATERAL (
	SELECT coalesce(e.not_after > e.occurred_at + interval '15 minutes', false) AS is_it
) AS wide
LEFT JOIN LATERAL (
	(SELECT d.occurred_at AS deployed_at, d.correlation_id AS release, d.actor, d.actor_type,
		d.not_after AS deployed_not_after,
		NOT EXISTS (
			SELECT FROM flytrail.releases r
			WHERE r.app = d.app AND r.release = d.correlation_id AND r.image <> r.previous_image
				AND r.event_at >= d.occurred_at - interval '1 second' AND r.event_at < d.occurred_at + interval '2 hours'
				AND r.started_at >= d.occurred_at - interval '1 second'
				AND r.started_at <= d.occurred_at + interval '1 second'
		) AS is_for_secrets
	FROM flytrail.events d
	WHERE d.retention_class = 'security' AND d.class = 'secret_change' AND d.action = 'secret_change.deployed'
		AND d.app = e.app AND (d.target = e.target OR d.target IS NULL) AND e.action <> 'secret_change.unset'
		AND d.occurred_at >= e.occurred_at - interval '1 second' -- a release's time may be cut to the second
	ORDER BY d.occurred_at LIMIT 1)
	UNION ALL
	(SELECT r.started_at, r.release, r.actor, r.actor_type, NULL, true
	FROM flytrail.releases r
	WHERE e.action = 'secret_change.unset' AND NOT wide.is_it AND r.app = e.app
		AND r.started_at >= e.occurred_at AND r.started_at <= coalesce(e.not_after, e.occurred_at) + interval '1 minute'
		AND r.image = r.previous_image AND r.outcome NOT IN ('failure', 'interrupted')
	ORDER BY r.started_at LIMIT 1)
	UNION ALL
	-- One that was made before the unset was seen may have been made before it.
	(SELECT n.* FROM (
		SELECT r.started_at, r.release, r.actor, r.actor_type, NULL::timestamptz, r.image = r.previous_image
		FROM flytrail.releases r
		WHERE e.action = 'secret_change.unset' AND NOT wide.is_it AND r.app = e.app AND r.started_at >= e.occurred_at
			AND r.outcome NOT IN ('failure', 'interrupted')
		ORDER BY r.started_at LIMIT 1
	) AS n
	WHERE n.started_at >= coalesce(e.not_after, e.occurred_at))
	LIMIT 1
) AS carrier ON NOT EXISTS (
	SELECT FROM flytrail.events later
	WHERE later.retention_class = 'security' AND later.class = 'secret_change'
		AND later.action IN ('secret_change.set', 'secret_change.updated', 'secret_change.unset')
		AND later.app = e.app AND later.target = e.target
		AND later.occurred_at >= e.occurred_at AND (later.occurred_at, later.seq) > (e.occurred_at, e.seq)
		AND later.occurred_at <= carrier.deployed_at + interval '1 second'
)
CROSS JOIN LATERAL (
	SELECT coalesce(e.actor = 'unknown' AND carrier.actor <> 'unknown' AND carrier.release IS NOT NULL
		AND carrier.is_for_secrets AND NOT wide.is_it AND carrier.deployed_at <= e.occurred_at + interval '5 minutes', false) AS is_it
) AS near
WHERE e.retention_class = 'security' AND e.class = 'secret_change' AND e.action <> 'secret_change.deployed';
COMMENT ON COLUMN flytrail.secret_changes.actor IS 'who changed it, or probably did: see actor_reason; unknown: nothing says it';
COMMENT ON COLUMN flytrail.secret_changes.actor_reason IS 'why the actor is unknown, or from what it is inferred; null: Fly says it';
COMMENT ON COLUMN flytrail.secret_changes.deployed_at IS 'when the release was made that gave the change to machines; null: none is known. It is staged, or was changed again before one was made, or was unset at a time so little known that another may be it';
COMMENT ON COLUMN flytrail.secret_changes.release IS 'the release that gave them; unknown: Fly does not show it any more; null: none is known';
COMMENT ON COLUMN flytrail.secret_changes.deployed_not_after IS 'where Fly does not show the release any more: the first time at which it had been made, and deployed_at the last at which it may not have been; otherwise null';
