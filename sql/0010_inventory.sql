-- oldest: 3
-- What there is now, and since when; and how well that is watched.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

ALTER TABLE flytrail.snapshots ADD COLUMN first_at timestamptz;
COMMENT ON COLUMN flytrail.snapshots.first_at IS 'when it was first read from Fly; null: it never could be';
UPDATE flytrail.snapshots s SET first_at = coalesce((
	SELECT min(e.occurred_at) FROM flytrail.events e
	WHERE e.retention_class = 'security' AND e.class = 'trail' AND e.action = 'trail.baseline' AND e.target = s.resource
		AND concat_ws('/', nullif(e.app, ''), nullif(e.attributes ->> 'item', '')) = s.scope), s.taken_at)
WHERE isfinite(s.taken_at);

-- What snapshots list, an item a row. What an application had that is gone is not there any more.
CREATE VIEW flytrail.listed AS
WITH apps AS (SELECT s.content FROM flytrail.snapshots s WHERE s.resource = 'apps' AND s.scope = '')
SELECT
	s.resource, s.scope, i.key AS item,
	CASE WHEN s.resource = 'apps' THEN i.key
		ELSE coalesce(nullif(s.scope, ''), i.value ->> 'app') END AS app,
	i.value AS fields, s.taken_at
FROM flytrail.snapshots s
CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(s.content) WHEN 'object' THEN s.content ELSE '{}' END) AS i
WHERE jsonb_typeof(i.value) = 'object' AND position('/' IN s.scope) = 0 AND (s.scope = '' OR EXISTS (SELECT FROM apps WHERE apps.content ? s.scope));
COMMENT ON VIEW flytrail.listed IS 'what the snapshots of lists have: of the organisation, and of applications that it has';
COMMENT ON COLUMN flytrail.listed.resource IS 'what kind of thing';
COMMENT ON COLUMN flytrail.listed.scope IS 'whose list: an application''s or, empty, the organisation''s';
COMMENT ON COLUMN flytrail.listed.item IS 'its key there';
COMMENT ON COLUMN flytrail.listed.app IS 'the application that it belongs to, or that it is; null: the organisation';
COMMENT ON COLUMN flytrail.listed.fields IS 'what is kept of it';
COMMENT ON COLUMN flytrail.listed.taken_at IS 'when the list was read from Fly';

CREATE VIEW flytrail.watched AS
WITH snapshots AS (
	SELECT
		s.*, split_part(s.scope, '/', 1) AS app,
		-- As seldom as it is looked at by default at least: what is stirred is looked at sooner now and then;
		-- an hour at most, for the interval between two looks may have been an outage.
		-- What items have each is looked at in each twelfth interval, machines' configurations in each 48th.
		least(greatest(s.interval_seconds, every.intervals * 300), every.intervals * 3600)
			* interval '3 seconds' AS patience,
		nullif(substr(s.scope, length(split_part(s.scope, '/', 1)) + 2), '') AS item
	FROM flytrail.snapshots s
	CROSS JOIN LATERAL (
		SELECT CASE WHEN s.resource = 'machine_config' THEN 48 WHEN position('/' IN s.scope) > 0 THEN 12 ELSE 1 END
			AS intervals
	) AS every
)
SELECT
	s.resource, nullif(s.app, '') AS app, s.item,
	CASE
		WHEN s.unobserved_why IS NOT NULL THEN 'unobserved'
		WHEN s.taken_at < now() - s.patience THEN 'late'
		ELSE 'watched'
	END AS state,
	nullif(s.taken_at, '-infinity') AS watched_at, s.interval_seconds,
	CASE WHEN s.unobserved_why IS NOT NULL THEN s.unobserved_since ELSE s.first_at END AS since,
	s.unobserved_why AS why,
	s.first_at
FROM snapshots s
-- What is gone is not looked at any more, which is no neglect.
WHERE s.app = ''
	OR s.item IS NULL AND EXISTS (SELECT FROM flytrail.listed l WHERE l.resource = 'apps' AND l.item = s.app)
	OR s.item IS NOT NULL AND (s.app, s.item) IN (SELECT l.app, l.item FROM flytrail.listed l WHERE l.app IS NOT NULL);
COMMENT ON VIEW flytrail.watched IS 'each resource of Fly''s control plane that is looked at, for each application and item that has it';
COMMENT ON COLUMN flytrail.watched.resource IS 'what kind of thing: secrets, volumes, ...';
COMMENT ON COLUMN flytrail.watched.app IS 'whose; null: the organisation''s';
COMMENT ON COLUMN flytrail.watched.item IS 'of which of the application''s things, where each has its own; null: none';
COMMENT ON COLUMN flytrail.watched.state IS 'watched; late: not looked at for three intervals, of which each is taken to be five minutes at least and an hour at most, or for an item an hour at least and twelve at most, for a machine''s configuration four times that; unobserved: it cannot be looked at';
COMMENT ON COLUMN flytrail.watched.watched_at IS 'the newest look at all of it; null: there was none';
COMMENT ON COLUMN flytrail.watched.interval_seconds IS 'between the two newest looks; null: there was one';
COMMENT ON COLUMN flytrail.watched.since IS 'the first look; unobserved: since when it cannot be looked at';
COMMENT ON COLUMN flytrail.watched.why IS 'why it cannot be looked at';
COMMENT ON COLUMN flytrail.watched.first_at IS 'the first look; null: there was none';

CREATE VIEW flytrail.inventory AS
WITH details AS (
	-- What is looked at for each item by itself: the certificates of a host name, the configuration of a machine.
	SELECT s.scope, jsonb_object_agg(s.resource, s.content) AS fields
	FROM flytrail.snapshots s
	WHERE position('/' IN s.scope) > 0 AND s.resource NOT IN ('machine_events', 'volume_snapshots')
		AND s.taken_at > '-infinity'
	GROUP BY s.scope
), found AS (
	SELECT
		l.*,
		-- What its events are found by: a member's name the address, all others what Fly calls them.
		CASE l.resource WHEN 'members' THEN coalesce(l.fields ->> 'email', l.item) ELSE l.item END AS told_as,
		(l.fields ->> 'missing_at') IS NOT NULL AS is_missing,
		CASE WHEN said.at ~ '^\d{4}-\d\d-\d\dT' THEN said.at::timestamptz END AS said_at
	FROM flytrail.listed l
	CROSS JOIN LATERAL (
		SELECT CASE WHEN l.resource = 'ssh_certificates' THEN l.fields ->> 'valid_after'
			ELSE coalesce(l.fields ->> 'created_at', l.fields ->> 'joined_at') END AS at
	) AS said
	-- Logs, and what only says that there is something to look at. Certificates are as long as they are
	-- good, and what cannot be read may be.
	WHERE l.resource NOT IN ('releases', 'current_releases') AND (l.resource <> 'ssh_certificates'
		OR l.fields ->> 'lifetime' = 'for ever' OR coalesce((l.fields ->> 'valid_before')::timestamptz > now(), true))
), told AS (
	-- That it came, as flytrail saw it: of what Fly has times for it is not needed.
	SELECT
		kinds.resource, coalesce(e.app, '') AS app,
		CASE WHEN kinds.has_id THEN e.correlation_id ELSE e.target END AS told_as,
		max(e.occurred_at) AS occurred_at, (array_agg(e.not_after ORDER BY e.occurred_at DESC, e.seq DESC))[1] AS not_after
	FROM flytrail.events e
	-- An event's target is what people call a thing; where that is not Fly's id, it is correlated by that.
	JOIN (VALUES
		('app', 'apps', false), ('secret', 'secrets', false), ('member', 'members', false),
		('address', 'addresses', false), ('hostname', 'certificates', false), ('machine', 'machines', false),
		('invitation', 'invitations', true), ('token', 'tokens', true),
		('wireguard_token', 'delegated_tokens', true), ('peer', 'peers', true),
		('third_party', 'third_parties', true)
	) AS kinds (target_type, resource, has_id) ON kinds.target_type = e.target_type
	WHERE e.retention_class = 'security' AND e.class IN ('access', 'cert', 'deploy', 'secret_change') AND e.trust = 'api'
		AND e.attributes ? 'after' AND (e.action = 'deploy.app_replaced'
			OR NOT e.attributes ? 'before' AND e.action ~ '[._](added|created|set|made|allocated)$')
	GROUP BY 1, 2, 3
)
SELECT
	f.resource AS kind, f.app, coalesce(f.fields ->> 'name', f.fields ->> 'email', f.fields ->> 'key_id', f.item) AS name,
	coalesce(f.said_at, told.occurred_at) AS since,
	CASE WHEN f.is_missing THEN (f.fields ->> 'seen_at')::timestamptz ELSE f.taken_at END AS seen_at,
	CASE WHEN f.is_missing THEN 'missing'
		ELSE coalesce(f.fields ->> 'state', f.fields ->> 'status', 'present') END AS state,
	f.fields - ARRAY['seen_at', 'missing_at'] || coalesce(d.fields, '{}') AS details,
	f.item AS id,
	CASE
		WHEN f.said_at IS NOT NULL THEN 'Fly says so'
		WHEN told.occurred_at IS NOT NULL THEN 'flytrail saw it come'
		ELSE 'not known'
	END AS since_basis,
	NULL::text AS why,
	CASE WHEN f.said_at IS NULL THEN told.not_after END AS not_after
FROM found f
LEFT JOIN details d ON d.scope = f.app || '/' || f.item
LEFT JOIN told ON told.resource = f.resource AND told.told_as = f.told_as AND told.app = coalesce(f.app, '')
UNION ALL
SELECT
	w.resource, w.app, w.item, w.since, w.watched_at, w.state, '{}', w.item, 'flytrail cannot look', w.why, NULL
FROM flytrail.watched w
WHERE w.state = 'unobserved';
COMMENT ON VIEW flytrail.inventory IS 'what there is in the organisation now, as Fly last showed it, and since when; what cannot be looked at is in it as well';
COMMENT ON COLUMN flytrail.inventory.kind IS 'apps, secrets, members, machines, volumes, certificates, addresses, ssh_certificates that are good, ...';
COMMENT ON COLUMN flytrail.inventory.app IS 'the application that it belongs to, or that it is; null: the organisation';
COMMENT ON COLUMN flytrail.inventory.name IS 'what people call it';
COMMENT ON COLUMN flytrail.inventory.since IS 'when it was made, or the last time at which it was not there yet; null: nobody knows; of what is unobserved: since when that is so';
COMMENT ON COLUMN flytrail.inventory.seen_at IS 'when Fly last showed it; null: never';
COMMENT ON COLUMN flytrail.inventory.state IS 'as Fly says, or present; missing: the newest answer lacked it, and the next one decides; unobserved: nothing of that kind can be looked at, and rows of it are as old as seen_at says';
COMMENT ON COLUMN flytrail.inventory.details IS 'what is kept of it; no value of a secret and no token is';
COMMENT ON COLUMN flytrail.inventory.id IS 'what Fly calls it';
COMMENT ON COLUMN flytrail.inventory.since_basis IS 'where since is from; not known: Fly does not say, and no fact does, as of what was there at the first look';
COMMENT ON COLUMN flytrail.inventory.why IS 'why it cannot be looked at';
COMMENT ON COLUMN flytrail.inventory.not_after IS 'where since is not exact: the first time at which it was there; otherwise null';

CREATE OR REPLACE VIEW flytrail.coverage AS
WITH gaps AS (SELECT * FROM flytrail.gaps), listening AS (SELECT * FROM flytrail.listening),
	watched AS (SELECT * FROM flytrail.watched),
	sight AS (
		SELECT
			e.target AS resource, nullif(e.app, '') AS app, nullif(e.attributes ->> 'item', '') AS item, e.action,
			e.occurred_at, e.attributes ->> 'why' AS why,
			lag(e.action) OVER in_order AS action_before,
			min(e.occurred_at) FILTER (WHERE e.action = 'trail.observed') OVER (
				in_order ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS observed_at
		FROM flytrail.events e
		WHERE e.retention_class = 'security' AND e.class = 'trail'
			AND e.action IN ('trail.unobserved', 'trail.observed')
		WINDOW in_order AS (PARTITION BY e.target, nullif(e.app, ''), nullif(e.attributes ->> 'item', '')
			ORDER BY e.occurred_at, e.stream, e.seq)
	)
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
WHERE upper(part.range) - lower(part.range) >= interval '1 second'
UNION ALL
-- From the first look to the newest; and since when there was none, if there should have been.
SELECT w.app, w.first_at, w.watched_at, 'watched', 'watched',
	concat_ws(' ', w.resource, w.item) || coalesce(', each ' || round(w.interval_seconds) || ' s', ''), 0, 0, 0
FROM watched w
WHERE w.first_at IS NOT NULL
UNION ALL
SELECT w.app, CASE w.state WHEN 'late' THEN w.watched_at ELSE w.since END, NULL, 'watched', w.state,
	concat_ws(' ', w.resource, w.item) || coalesce(': ' || w.why, ''), 0, 0, 0
FROM watched w
WHERE w.state <> 'watched'
UNION ALL
-- What could not be looked at before, and can be now or is gone: what cannot yet is above.
SELECT s.app, s.occurred_at, coalesce(s.observed_at, gone.at, w.watched_at), 'watched', 'unobserved',
	concat_ws(' ', s.resource, s.item) || coalesce(': ' || nullif(s.why, ''), ''), 0, 0, 0
FROM sight s
LEFT JOIN watched w ON w.resource = s.resource AND w.app IS NOT DISTINCT FROM s.app
	AND w.item IS NOT DISTINCT FROM s.item
LEFT JOIN LATERAL (
	SELECT min(coalesce(e.not_after, e.occurred_at)) AS at
	FROM flytrail.events e
	WHERE s.observed_at IS NULL AND w.resource IS NULL AND e.trust = 'api' AND e.app = s.app
		AND coalesce(e.not_after, e.occurred_at) >= s.occurred_at
		AND (e.action = 'deploy.app_deleted' OR e.target = s.item
			AND e.action IN ('deploy.machine_destroyed', 'volume.deleted', 'cert.removed'))
) AS gone ON true
WHERE s.action = 'trail.unobserved' AND s.action_before IS DISTINCT FROM 'trail.unobserved'
	AND (s.observed_at IS NOT NULL OR w.state IS DISTINCT FROM 'unobserved')
UNION ALL
SELECT nullif(e.app, ''), e.occurred_at, e.not_after, 'watched', 'overrun',
	concat_ws(' ', e.target, nullif(e.attributes ->> 'item', ''))
		|| ': more happened than Fly''s answer shows', 0, 0, 0
FROM flytrail.events e
WHERE e.retention_class = 'security' AND e.class = 'trail' AND e.action = 'trail.overrun'
UNION ALL
-- The applications say what else there is to be looked at.
SELECT NULL, began.at, NULL, 'watched', 'unobserved', 'nothing of the control plane was ever looked at', 0, 0, 0
FROM (
	SELECT min(e.occurred_at) AS at
	FROM flytrail.events e
	WHERE e.retention_class = 'security' AND e.class = 'trail' AND e.action = 'trail.started'
) AS began
WHERE began.at IS NOT NULL AND NOT EXISTS (SELECT FROM watched w WHERE w.resource = 'apps');
COMMENT ON COLUMN flytrail.coverage.kind IS 'compared, gap, listening, silence, or watched: a resource of Fly''s control plane';
COMMENT ON COLUMN flytrail.coverage.state IS 'compared: agrees, recovered (lines were missing, and are here now), lost (Fly has lines that cannot be had) or not_checked. gap: as in the view gaps. silence: silent, or pending (not 15 minutes old). watched: as in the view watched, unobserved also of times that are over; or overrun (more happened between two looks than Fly shows)';
COMMENT ON COLUMN flytrail.coverage.why IS 'the gap''s reason, what the state stands on, or the resource and how often it was looked at';
