-- oldest: 3
-- How long rows are kept: terms, holds, which partitions go, and how they go.
--
-- A partition goes in two transactions, so that nobody waits while its rows are read: retention_detach()
-- takes it out of the trail, retention_drop() drops it with a fact that says what went, or
-- retention_attach() puts it back. In between it is a row of flytrail.leaving.
--
-- Callers' settings must not change what these functions do: each has its own search path and formats of
-- times, and no text in them has a backslash, which standard_conforming_strings would give a meaning.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- --- terms ---

ALTER TABLE flytrail.retention RENAME COLUMN keep_days TO keep_for_days;
ALTER TABLE flytrail.retention RENAME CONSTRAINT retention_keep_days_check TO retention_keep_for_days_check;
ALTER TABLE flytrail.retention ADD COLUMN keep_at_most_days integer;
-- A partition is past the first term with its youngest row, and past the second with its oldest.
ALTER TABLE flytrail.retention ADD CONSTRAINT retention_keep_at_most_days_check CHECK (keep_at_most_days
	>= keep_for_days + 2 + CASE WHEN kind <> 'log_lines' THEN 31 WHEN greatest(keep_for_days, keep_at_most_days) > 90 THEN 7 ELSE 1 END);
COMMENT ON COLUMN flytrail.retention.keep_for_days IS 'for so long no row goes; a partition may go when all of it is older';
COMMENT ON COLUMN flytrail.retention.keep_at_most_days IS 'when a partition has rows that are older it goes, unless a hold is on it or others of its rows are within keep_for_days; null: no upper limit';

CREATE FUNCTION flytrail.retention_now() RETURNS timestamptz
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS 'SELECT now()';
COMMENT ON FUNCTION flytrail.retention_now() IS 'the time that retention goes by; tests put another one in its place';

-- --- the facts of what was done ---

CREATE FUNCTION flytrail.tell(action text, severity smallint, correlation_id text, target_type text, target text,
	summary text, attributes jsonb) RETURNS uuid
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
	-- As far from the time of retention as this is from the transaction's beginning.
	at CONSTANT timestamptz := flytrail.retention_now() + (clock_timestamp() - now());
	application CONSTANT text := coalesce(nullif(current_setting('application_name'), ''), 'none');
	address CONSTANT text := coalesce(host(inet_client_addr()), 'local');
	told CONSTANT jsonb := coalesce(attributes, '{}') || jsonb_build_object(
		'session_user', session_user, 'application_name', application, 'client_addr', address);
	digest CONSTANT bytea := sha256(convert_to(jsonb_build_array('flytrail.tell', action, correlation_id, target, at,
		pg_current_xact_id()::text, told)::text, 'UTF8'));
	-- RFC 9562: version 8 and the variant, as in all of flytrail's ids.
	id CONSTANT uuid := encode(set_byte(set_byte(substr(digest, 1, 16), 6, get_byte(digest, 6) & 15 | 128),
		8, get_byte(digest, 8) & 63 | 128), 'hex')::uuid;
BEGIN
	PERFORM flytrail.ensure_partition('security', at);
	INSERT INTO flytrail.events (event_id, retention_class, class, action, occurred_at, time_basis, observed_at,
		correlation_id, actor, actor_type, actor_reason, target_type, target, origin, outcome, severity, trust, source,
		rule, summary, attributes, stream, seq)
	VALUES (id, 'security', 'trail', tell.action, at, 'observed', at, tell.correlation_id, lower(session_user), 'unknown',
		format('in Postgres as %s by application %s from %s; no more than that is known', session_user, application, address),
		tell.target_type, tell.target, address, 'success', tell.severity, 'self', 'trail', 'trail', tell.summary, told,
		'00000000-0000-0000-0000-000000000000', 0);
	RETURN id;
END
$$;
COMMENT ON FUNCTION flytrail.tell(text, smallint, text, text, text, text, jsonb) IS
	'writes a fact about what was done in Postgres itself, and by whom; for the functions of this schema alone. Its id is returned';

CREATE FUNCTION flytrail.set_retention(kind text, keep_for_days integer, keep_at_most_days integer) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	days_max CONSTANT integer := 36500;
	room CONSTANT integer := 2 + CASE WHEN kind <> 'log_lines' THEN 31
		WHEN greatest(keep_for_days, keep_at_most_days) > 90 THEN 7 ELSE 1 END;
	before flytrail.retention;
	is_shorter boolean;
BEGIN
	IF kind IS NULL OR kind NOT IN ('log_lines', 'security', 'operations') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'a term is set for log_lines, security or operations';
	END IF;
	IF keep_for_days IS NULL OR keep_for_days NOT BETWEEN 1 AND days_max THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('keep_for is 1 to %s days', days_max);
	END IF;
	IF keep_at_most_days NOT BETWEEN keep_for_days + room AND days_max + room THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format(
			'keep_at_most of %s is %s to %s days: keep_for, one partition and 2 days at least', kind,
			keep_for_days + room, days_max + room);
	END IF;
	LOCK TABLE flytrail.retention IN SHARE ROW EXCLUSIVE MODE;
	SELECT r.* INTO before FROM flytrail.retention r WHERE r.kind = set_retention.kind;
	IF before.keep_for_days = keep_for_days AND before.keep_at_most_days IS NOT DISTINCT FROM keep_at_most_days THEN
		RETURN;
	END IF;
	INSERT INTO flytrail.retention AS r (kind, keep_for_days, keep_at_most_days, changed_at, changed_by)
	VALUES (set_retention.kind, set_retention.keep_for_days, set_retention.keep_at_most_days, now(), session_user)
	ON CONFLICT ON CONSTRAINT retention_pkey DO UPDATE SET keep_for_days = excluded.keep_for_days,
		keep_at_most_days = excluded.keep_at_most_days, changed_at = excluded.changed_at, changed_by = excluded.changed_by;
	-- Without a term rows are kept for ever.
	is_shorter := before.keep_for_days IS NULL OR keep_for_days < before.keep_for_days
		OR keep_at_most_days < coalesce(before.keep_at_most_days, days_max + room + 1);
	PERFORM flytrail.tell('trail.retention_changed', (CASE WHEN is_shorter THEN 4 ELSE 3 END)::smallint, NULL, 'retention', kind,
		format('%s is kept for %s days%s', kind, keep_for_days, ', ' || keep_at_most_days || ' at most'),
		jsonb_build_object('kind', kind, 'is_shorter', is_shorter,
			'keep_for_days_before', before.keep_for_days, 'keep_at_most_days_before', before.keep_at_most_days,
			'keep_for_days', keep_for_days, 'keep_at_most_days', keep_at_most_days));
END
$$;
COMMENT ON FUNCTION flytrail.set_retention(text, integer, integer) IS
	'sets how many days log_lines, security or operations are kept for and at most (null: no upper limit), on record; for who may act as the owner';

-- --- holds ---

CREATE TABLE flytrail.holds (
	hold_id uuid PRIMARY KEY,
	app text,
	actor text CHECK (actor = lower(actor)),
	class text,
	since_at timestamptz,
	until_at timestamptz CHECK (until_at > since_at),
	reason text NOT NULL CHECK (reason ~ '[^[:space:]]'),
	added_at timestamptz NOT NULL,
	added_by text NOT NULL,
	CHECK (num_nonnulls(app, actor, class, since_at, until_at) > 0)
);
COMMENT ON TABLE flytrail.holds IS 'parts of the trail that do not go, however old: what is in all of a hold''s scopes that are given. Append-only';
COMMENT ON COLUMN flytrail.holds.hold_id IS 'the hold';
COMMENT ON COLUMN flytrail.holds.app IS 'rows of this application; null: of all';
COMMENT ON COLUMN flytrail.holds.actor IS 'events of this actor, and lines of the days or weeks with such an event; null: of all';
COMMENT ON COLUMN flytrail.holds.class IS 'rows of this class; null: of all';
COMMENT ON COLUMN flytrail.holds.since_at IS 'rows that occurred then or later; null: from the beginning';
COMMENT ON COLUMN flytrail.holds.until_at IS 'rows that occurred before; null: open';
COMMENT ON COLUMN flytrail.holds.reason IS 'why';
COMMENT ON COLUMN flytrail.holds.added_at IS 'when it was added';
COMMENT ON COLUMN flytrail.holds.added_by IS 'by which role';

CREATE TABLE flytrail.hold_releases (
	hold_id uuid PRIMARY KEY REFERENCES flytrail.holds,
	reason text NOT NULL CHECK (reason ~ '[^[:space:]]'),
	released_at timestamptz NOT NULL,
	released_by text NOT NULL
);
COMMENT ON TABLE flytrail.hold_releases IS 'holds that are none any more. Append-only';
COMMENT ON COLUMN flytrail.hold_releases.hold_id IS 'the hold';
COMMENT ON COLUMN flytrail.hold_releases.reason IS 'why';
COMMENT ON COLUMN flytrail.hold_releases.released_at IS 'when it was released';
COMMENT ON COLUMN flytrail.hold_releases.released_by IS 'by which role';

SELECT flytrail.make_append_only('flytrail.holds'), flytrail.make_append_only('flytrail.hold_releases');

CREATE VIEW flytrail.open_holds AS
SELECT h.hold_id, h.app, h.actor, h.class, h.since_at, h.until_at, h.reason, h.added_at, h.added_by
FROM flytrail.holds h
WHERE NOT EXISTS (SELECT FROM flytrail.hold_releases r WHERE r.hold_id = h.hold_id);
COMMENT ON VIEW flytrail.open_holds IS 'the holds that are not released: a partition that one touches stays whole';
COMMENT ON COLUMN flytrail.open_holds.hold_id IS 'the hold';
COMMENT ON COLUMN flytrail.open_holds.app IS 'rows of this application; null: of all';
COMMENT ON COLUMN flytrail.open_holds.actor IS 'events of this actor, and lines of the days or weeks with such an event; null: of all';
COMMENT ON COLUMN flytrail.open_holds.class IS 'rows of this class; null: of all';
COMMENT ON COLUMN flytrail.open_holds.since_at IS 'rows that occurred then or later; null: from the beginning';
COMMENT ON COLUMN flytrail.open_holds.until_at IS 'rows that occurred before; null: open';
COMMENT ON COLUMN flytrail.open_holds.reason IS 'why';
COMMENT ON COLUMN flytrail.open_holds.added_at IS 'when it was added';
COMMENT ON COLUMN flytrail.open_holds.added_by IS 'by which role';

CREATE FUNCTION flytrail.reason_or_refuse(reason text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	chars_max CONSTANT integer := 1000;
BEGIN
	IF reason IS NULL OR reason !~ '[^[:space:]]' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a reason is needed';
	END IF;
	IF length(reason) > chars_max THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('a reason has %s characters at most', chars_max);
	END IF;
	RETURN reason;
END
$$;
COMMENT ON FUNCTION flytrail.reason_or_refuse(text) IS 'the reason, where it is one; for the functions of holds';

CREATE FUNCTION flytrail.add_hold(app text, actor text, class text, since_at timestamptz, until_at timestamptz,
	reason text) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	-- As include/model/classes.def has them.
	classes CONSTANT text[] := ARRAY['app_log', 'deploy', 'secret_change', 'restart', 'ssh_session', 'exit', 'oom',
		'health_check', 'autoscale', 'boot', 'volume', 'cert', 'proxy_error', 'platform', 'access', 'trail'];
	chars_max CONSTANT integer := 256;
	id CONSTANT uuid := gen_random_uuid();
BEGIN
	PERFORM flytrail.reason_or_refuse(reason);
	IF num_nonnulls(app, actor, class, since_at, until_at) = 0 OR btrim(app) = '' OR btrim(actor) = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'a hold on nothing: name an application, an actor, a class or a time';
	END IF;
	IF greatest(length(app), length(actor)) > chars_max THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('an application or actor has %s characters at most', chars_max);
	END IF;
	IF class <> ALL (classes) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('there is no class %s; there are %s',
			left(class, 32), array_to_string(classes, ', '));
	END IF;
	IF NOT (isfinite(coalesce(since_at, now())) AND isfinite(coalesce(until_at, now()))) OR until_at <= since_at THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'the times of a hold are an earlier and a later one; leave out what is open';
	END IF;
	INSERT INTO flytrail.holds (hold_id, app, actor, class, since_at, until_at, reason, added_at, added_by)
	VALUES (id, app, lower(actor), class, since_at, until_at, reason, clock_timestamp(), session_user);
	PERFORM flytrail.tell('trail.hold_added', 4::smallint, id::text, 'hold', id::text, 'a hold was added: ' || reason,
		jsonb_build_object('hold', id, 'app', app, 'actor', lower(actor), 'class', class, 'since_at', since_at,
			'until_at', until_at, 'reason', reason));
	RETURN id;
END
$$;
COMMENT ON FUNCTION flytrail.add_hold(text, text, text, timestamptz, timestamptz, text) IS
	'puts a hold on what is of an application, of an actor, of a class and in a time, as far as they are given, on record; for who may act as the owner';

CREATE FUNCTION flytrail.release_hold(hold_id uuid, reason text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	hold flytrail.holds;
BEGIN
	PERFORM flytrail.reason_or_refuse(reason);
	SELECT h.* INTO hold FROM flytrail.holds h WHERE h.hold_id = release_hold.hold_id;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('there is no hold %s', release_hold.hold_id);
	END IF;
	INSERT INTO flytrail.hold_releases (hold_id, reason, released_at, released_by)
	VALUES (release_hold.hold_id, release_hold.reason, clock_timestamp(), session_user)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('hold %s is released already', release_hold.hold_id);
	END IF;
	PERFORM flytrail.tell('trail.hold_released', 4::smallint, hold.hold_id::text, 'hold', hold.hold_id::text,
		'a hold was released: ' || reason, jsonb_build_object('hold', hold.hold_id, 'app', hold.app, 'actor', hold.actor,
			'class', hold.class, 'since_at', hold.since_at, 'until_at', hold.until_at, 'reason', release_hold.reason,
			'reason_of_the_hold', hold.reason, 'added_at', hold.added_at, 'added_by', hold.added_by));
END
$$;
COMMENT ON FUNCTION flytrail.release_hold(uuid, text) IS 'releases a hold, on record; for who may act as the owner';

-- --- partitions ---

CREATE TABLE flytrail.leaving (
	leaving text PRIMARY KEY,
	kind text NOT NULL,
	partition text NOT NULL,
	first_at timestamptz NOT NULL,
	end_at timestamptz NOT NULL,
	detached_at timestamptz NOT NULL,
	detached_by text NOT NULL
);
COMMENT ON TABLE flytrail.leaving IS 'partitions that are out of the trail and not dropped: one at a time, while retention is applied; what an interrupted one left is put back by the next';
COMMENT ON COLUMN flytrail.leaving.leaving IS 'the table''s name now';
COMMENT ON COLUMN flytrail.leaving.kind IS 'log_lines, or a retention class of events';
COMMENT ON COLUMN flytrail.leaving.partition IS 'its name as a partition';
COMMENT ON COLUMN flytrail.leaving.first_at IS 'its rows occurred then or later';
COMMENT ON COLUMN flytrail.leaving.end_at IS 'and before';
COMMENT ON COLUMN flytrail.leaving.detached_at IS 'when it was taken out';
COMMENT ON COLUMN flytrail.leaving.detached_by IS 'by which role';

CREATE FUNCTION flytrail.parent_name(kind text) RETURNS name
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE kind WHEN 'security' THEN 'events_security' WHEN 'operations' THEN 'events_operations'
		WHEN 'log_lines' THEN 'log_lines' WHEN 'confirmations' THEN 'confirmations' END::name
$$;
COMMENT ON FUNCTION flytrail.parent_name(text) IS 'the table whose partitions a kind of rows has: log_lines, security, operations or confirmations';

-- What is no time in a partition's bounds, or a partition for all the rest, is without end: it stays.
CREATE FUNCTION flytrail.partitions(kind text) RETURNS TABLE (partition regclass, first_at timestamptz, end_at timestamptz)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
	SELECT c.oid::regclass,
		coalesce(substring(b.bounds FROM 'FROM [(]''([^'']+)''[)]')::timestamptz, '-infinity'),
		coalesce(substring(b.bounds FROM 'TO [(]''([^'']+)''[)]')::timestamptz, 'infinity')
	FROM pg_inherits i
	JOIN pg_class c ON c.oid = i.inhrelid
	CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bounds) AS b
	WHERE i.inhparent = to_regclass('flytrail.' || flytrail.parent_name(kind)) AND NOT i.inhdetachpending
$$;
COMMENT ON FUNCTION flytrail.partitions(text) IS 'the partitions of log_lines, security, operations or confirmations, and the times that they are for: by their bounds, whatever their names';

CREATE FUNCTION flytrail.free_name(wanted text) RETURNS name
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	free name := wanted;
	number integer := 1;
BEGIN
	WHILE EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'flytrail'::regnamespace AND c.relname = free) LOOP
		number := number + 1;
		free := wanted || '_' || number;
	END LOOP;
	RETURN free;
END
$$;
COMMENT ON FUNCTION flytrail.free_name(text) IS 'the name, or one with a number where a table has it that somebody detached by hand';

CREATE FUNCTION flytrail.bounds_check(kind text, first_at timestamptz, end_at timestamptz) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
	SELECT format('CONSTRAINT bounds CHECK (occurred_at >= %L AND occurred_at < %L %s)', first_at, end_at,
		CASE WHEN kind IN ('security', 'operations') THEN format('AND retention_class = %L', kind) END)
$$;
COMMENT ON FUNCTION flytrail.bounds_check(text, timestamptz, timestamptz) IS 'the constraint that saves ATTACH PARTITION a look at the rows';

-- Made apart and attached, because CREATE TABLE ... PARTITION OF waits for everybody who reads the
-- parent. A CHECK like the bounds saves ATTACH a look at the rows, and goes afterwards.
CREATE FUNCTION flytrail.make_partition(kind text, first_at timestamptz, end_at timestamptz) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
	parent CONSTANT name := flytrail.parent_name(kind);
	child CONSTANT name := flytrail.free_name(parent || CASE WHEN kind <> 'log_lines' THEN to_char(first_at, '_YYYYMM')
		WHEN end_at - first_at > interval '1 day' THEN to_char(first_at, '_YYYYMMDD') || '_week' ELSE to_char(first_at, '_YYYYMMDD') END);
	privilege record;
BEGIN
	EXECUTE format('CREATE TABLE flytrail.%I (LIKE flytrail.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS
		INCLUDING INDEXES INCLUDING STORAGE INCLUDING COMPRESSION, %s)',
		child, parent, flytrail.bounds_check(kind, first_at, end_at));
	PERFORM flytrail.make_append_only(format('flytrail.%I', child)::regclass);
	FOR privilege IN
		SELECT a.privilege_type, r.rolname FROM pg_class c, aclexplode(c.relacl) a, pg_roles r
		WHERE c.oid = format('flytrail.%I', parent)::regclass AND r.oid = a.grantee AND a.grantee <> c.relowner
	LOOP
		EXECUTE format('GRANT %s ON flytrail.%I TO %I', privilege.privilege_type, child, privilege.rolname);
	END LOOP;
	EXECUTE format('ALTER TABLE flytrail.%I ATTACH PARTITION flytrail.%I FOR VALUES FROM (%L) TO (%L)',
		parent, child, first_at, end_at);
	EXECUTE format('ALTER TABLE flytrail.%I DROP CONSTRAINT bounds', child);
END
$$;
COMMENT ON FUNCTION flytrail.make_partition(text, timestamptz, timestamptz) IS 'makes a partition with these bounds; for ensure_partition() and migrations';

CREATE FUNCTION flytrail.has_partition(kind text, at timestamptz) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM flytrail.partitions(kind) p WHERE p.first_at <= at AND p.end_at > at)
$$;
COMMENT ON FUNCTION flytrail.has_partition(text, timestamptz) IS 'whether a partition is there for a time';

CREATE FUNCTION flytrail.is_weekly(keep_for_days integer, keep_at_most_days integer) RETURNS boolean
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(greatest(keep_for_days, keep_at_most_days) > 90, false)
$$;
COMMENT ON FUNCTION flytrail.is_weekly(integer, integer) IS 'whether lines with these terms are in partitions of a week: daily ones would be more than the server''s lock table has room for';

-- A late row of what is on its way out gets a partition of just that time, which goes into it, or after it.
CREATE FUNCTION flytrail.bounds_for(kind text, at timestamptz, OUT first_at timestamptz, OUT end_at timestamptz)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	week CONSTANT timestamptz := date_trunc('week', at);
BEGIN
	SELECT l.first_at, l.end_at INTO first_at, end_at FROM flytrail.leaving l
	WHERE l.kind = bounds_for.kind AND l.first_at <= at AND l.end_at > at
	ORDER BY l.detached_at LIMIT 1;
	IF FOUND THEN
		RETURN;
	END IF;
	IF kind <> 'log_lines' THEN
		first_at := date_trunc('month', at);
		end_at := first_at + interval '1 month';
	ELSIF EXISTS (SELECT FROM flytrail.retention r
			WHERE r.kind = 'log_lines' AND flytrail.is_weekly(r.keep_for_days, r.keep_at_most_days))
		AND NOT EXISTS (
			SELECT FROM flytrail.partitions('log_lines') p WHERE p.first_at < week + interval '7 days' AND p.end_at > week
			UNION ALL
			SELECT FROM flytrail.leaving l
			WHERE l.kind = 'log_lines' AND l.first_at < week + interval '7 days' AND l.end_at > week) THEN
		first_at := week;
		end_at := week + interval '7 days';
	ELSE
		first_at := date_trunc('day', at);
		end_at := first_at + interval '1 day';
	END IF;
END
$$;
COMMENT ON FUNCTION flytrail.bounds_for(text, timestamptz) IS 'which times a new partition that holds a time is for: a month of events; a day of lines, or a week where their terms are long';

CREATE OR REPLACE FUNCTION flytrail.ensure_partition(kind text, at timestamptz) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	now CONSTANT timestamptz := flytrail.retention_now();
	term flytrail.retention;
	bounds record;
BEGIN
	IF kind IS NULL OR kind NOT IN ('log_lines', 'security', 'operations') OR at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'ensure_partition: kind is log_lines, security or operations, and a time is needed';
	END IF;
	SELECT r.* INTO term FROM flytrail.retention r WHERE r.kind = ensure_partition.kind;
	IF at < now - greatest(800, term.keep_for_days + 31) * interval '1 day' OR at > now + interval '100 days' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'ensure_partition: the time is out of the range that partitions are made for';
	END IF;
	IF flytrail.has_partition(kind, at) THEN
		RETURN false;
	END IF;
	PERFORM pg_advisory_xact_lock(hashtextextended('flytrail.partition', 0));
	IF flytrail.has_partition(kind, at) THEN
		RETURN false;
	END IF;
	bounds := flytrail.bounds_for(kind, at);
	IF bounds.end_at <= now - term.keep_at_most_days * interval '1 day' THEN
		RAISE EXCEPTION USING ERRCODE = 'FT001', MESSAGE = 'past keep_at_most';
	END IF;
	PERFORM flytrail.make_partition(kind, bounds.first_at, bounds.end_at);
	IF kind <> 'log_lines' AND NOT flytrail.has_partition('confirmations', bounds.first_at) THEN
		PERFORM flytrail.make_partition('confirmations', bounds.first_at, bounds.end_at);
	END IF;
	RETURN true;
END
$$;
COMMENT ON FUNCTION flytrail.ensure_partition(text, timestamptz) IS
	'makes the partition of log_lines, or of the events of a retention class, that holds a time; true: it was not there. SQLSTATE FT001: all of it would be past keep_at_most';

CREATE OR REPLACE FUNCTION flytrail.make_partitions_ahead() RETURNS bigint
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
	SELECT count(*) FILTER (WHERE flytrail.ensure_partition(p.kind, p.at))
	FROM (
		SELECT 'log_lines' AS kind, flytrail.retention_now() + days * interval '1 day' AS at FROM generate_series(0, 3) AS days
		UNION ALL
		SELECT kind, date_trunc('month', flytrail.retention_now()) + months * interval '1 month'
		FROM generate_series(0, 2) AS months, unnest(ARRAY['security', 'operations']) AS kind
	) AS p
$$;

-- --- confirmations, by month as the events that they are of ---

LOCK TABLE flytrail.confirmations IN ACCESS EXCLUSIVE MODE;
CREATE TEMPORARY TABLE views_of_confirmations ON COMMIT DROP AS
SELECT DISTINCT v.oid::regclass::text AS name, pg_get_viewdef(v.oid) AS query
FROM pg_depend d
JOIN pg_rewrite r ON r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class
WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = 'flytrail.confirmations'::regclass
	AND v.oid <> 'flytrail.confirmations'::regclass;

ALTER TABLE flytrail.confirmations RENAME TO confirmations_whole;
ALTER INDEX flytrail.confirmations_pkey RENAME TO confirmations_whole_pkey;
CREATE TABLE flytrail.confirmations (
	event_id uuid NOT NULL,
	occurred_at timestamptz NOT NULL,
	source text NOT NULL,
	seen_at timestamptz NOT NULL,
	PRIMARY KEY (event_id, occurred_at, source)
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE flytrail.confirmations IS 'the same line seen in Fly''s second copy: what makes a claim of the log stream confirmed. By month (UTC); a month goes with the last events of it';
COMMENT ON COLUMN flytrail.confirmations.event_id IS 'the event';
COMMENT ON COLUMN flytrail.confirmations.occurred_at IS 'the event''s';
COMMENT ON COLUMN flytrail.confirmations.source IS 'http: Fly''s second copy has the same line. http_differs: it has a line of the same application, machine and nanosecond with another text';
COMMENT ON COLUMN flytrail.confirmations.seen_at IS 'when it was seen there';
SELECT flytrail.make_append_only('flytrail.confirmations');
DO $$
BEGIN
	EXECUTE format('GRANT SELECT, INSERT ON flytrail.confirmations TO %I', current_setting('flytrail.writer_role'));
END
$$;
SELECT flytrail.make_partition('confirmations', months.first_at, (months.first_at AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC')
FROM (
	SELECT p.first_at FROM unnest(ARRAY['security', 'operations']) AS kind, flytrail.partitions(kind) AS p
	WHERE isfinite(p.first_at)
	UNION
	SELECT date_trunc('month', c.occurred_at, 'UTC') FROM flytrail.confirmations_whole c
) AS months;
INSERT INTO flytrail.confirmations (event_id, occurred_at, source, seen_at)
SELECT c.event_id, c.occurred_at, c.source, c.seen_at FROM flytrail.confirmations_whole c;

-- The views ask the new one: a query's text names what it asks.
DO $$
DECLARE
	asking record;
BEGIN
	FOR asking IN SELECT v.name, v.query FROM pg_temp.views_of_confirmations v LOOP
		EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', asking.name, asking.query);
	END LOOP;
END
$$;
DROP TABLE flytrail.confirmations_whole;

-- --- what goes ---

CREATE FUNCTION flytrail.rows_about(target regclass) RETURNS bigint
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	countable_bytes CONSTANT bigint := 8 * 1024 * 1024; -- counted in some milliseconds
	bytes_a_row CONSTANT bigint := 300; -- a line of ordinary length
	bytes CONSTANT bigint := coalesce(pg_relation_size(target), 0);
	known record;
	counted bigint;
BEGIN
	SELECT c.reltuples, c.relpages INTO known FROM pg_class c WHERE c.oid = target;
	IF bytes = 0 THEN
		RETURN 0;
	ELSIF known.reltuples >= 0 AND known.relpages > 0 THEN
		RETURN known.reltuples * (bytes / current_setting('block_size')::bigint) / known.relpages;
	ELSIF bytes > countable_bytes THEN
		RETURN bytes / bytes_a_row;
	END IF;
	EXECUTE format('SELECT count(*) FROM %s', target) INTO counted;
	RETURN counted;
END
$$;
COMMENT ON FUNCTION flytrail.rows_about(regclass) IS
	'about how many rows a table has: as its last ANALYZE or VACUUM found, grown as its file has; counted where there was none and it has 8 MiB at most, else a row for each 300 bytes';

CREATE FUNCTION flytrail.hold_touches(hold flytrail.open_holds, kind text, target regclass, first_at timestamptz,
	end_at timestamptz) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	touches boolean;
BEGIN
	IF hold.since_at >= end_at OR hold.until_at <= first_at THEN
		RETURN false;
	END IF;
	-- Lines have no actor: who is held has an event in the same time.
	IF kind = 'log_lines' AND hold.actor IS NOT NULL AND NOT EXISTS (
		SELECT FROM flytrail.events e
		WHERE e.actor = hold.actor AND e.occurred_at >= hold_touches.first_at AND e.occurred_at < hold_touches.end_at) THEN
		RETURN false;
	END IF;
	EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE true %s %s %s %s %s)', target,
		CASE WHEN hold.app IS NOT NULL THEN 'AND t.app = $1' END,
		CASE WHEN hold.actor IS NOT NULL AND kind <> 'log_lines' THEN 'AND t.actor = $2' END,
		CASE WHEN hold.class IS NOT NULL THEN 'AND t.class = $3' END,
		CASE WHEN hold.since_at IS NOT NULL THEN 'AND t.occurred_at >= $4' END,
		CASE WHEN hold.until_at IS NOT NULL THEN 'AND t.occurred_at < $5' END)
	INTO touches USING hold.app, hold.actor, hold.class, hold.since_at, hold.until_at;
	RETURN touches;
END
$$;
COMMENT ON FUNCTION flytrail.hold_touches(flytrail.open_holds, text, regclass, timestamptz, timestamptz) IS
	'whether a hold is on any row of a partition; an actor''s is on lines where an event of that actor is between the partition''s bounds';

CREATE FUNCTION flytrail.open_gaps(OUT ids text[], OUT ranges tstzrange[])
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(array_agg(left(g.gap_id, 64) ORDER BY g.gap_start), '{}'),
		coalesce(array_agg(tstzrange(g.gap_start, greatest(g.gap_start, g.gap_end), '[]') ORDER BY g.gap_start), '{}')
	FROM flytrail.gaps g WHERE g.state = 'open'
$$;
COMMENT ON FUNCTION flytrail.open_gaps() IS 'the gaps that are open, and the times that they may be in';

CREATE FUNCTION flytrail.retention_verdict(kind text, target regclass, first_at timestamptz, end_at timestamptz,
	gap_ids text[], gap_ranges tstzrange[], OUT goes boolean, OUT is_past_keep_at_most boolean, OUT why text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	now CONSTANT timestamptz := flytrail.retention_now();
	term flytrail.retention;
	hold flytrail.open_holds;
	gap text;
BEGIN
	goes := false;
	is_past_keep_at_most := false;
	SELECT r.* INTO term FROM flytrail.retention r WHERE r.kind = retention_verdict.kind;
	IF NOT FOUND THEN
		why := 'kept for ever: no term is set';
		RETURN;
	END IF;
	IF end_at > now - term.keep_for_days * interval '1 day' THEN
		why := 'kept until ' || CASE WHEN isfinite(end_at)
			THEN to_char(end_at + term.keep_for_days * interval '1 day', 'YYYY-MM-DD') ELSE 'its bounds end' END;
		RETURN;
	END IF;
	is_past_keep_at_most := coalesce(first_at < now - term.keep_at_most_days * interval '1 day', false);
	FOR hold IN SELECT h.* FROM flytrail.open_holds h ORDER BY h.added_at, h.hold_id LOOP
		IF flytrail.hold_touches(hold, kind, target, first_at, end_at) THEN
			why := format('hold %s: %s', hold.hold_id, hold.reason);
			RETURN;
		END IF;
	END LOOP;
	IF is_past_keep_at_most THEN
		goes := true;
		why := 'past keep_at_most';
		RETURN;
	END IF;
	SELECT g.id INTO gap FROM unnest(gap_ids, gap_ranges) AS g (id, times)
	WHERE g.times && tstzrange(first_at, end_at) LIMIT 1;
	goes := gap IS NULL;
	why := coalesce('a gap in it is open: ' || gap, 'past keep_for');
END
$$;
COMMENT ON FUNCTION flytrail.retention_verdict(text, regclass, timestamptz, timestamptz, text[], tstzrange[]) IS
	'whether a partition goes now, and why or why not; for retention_plan() and for who acts by it';

CREATE FUNCTION flytrail.retention_plan() RETURNS TABLE (kind text, partition name, first_at timestamptz,
	end_at timestamptz, rows_about bigint, bytes bigint, goes boolean, is_past_keep_at_most boolean, why text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	gap record := flytrail.open_gaps();
BEGIN
	RETURN QUERY
	SELECT k.kind, c.relname, p.first_at, p.end_at, flytrail.rows_about(c.oid), coalesce(pg_total_relation_size(c.oid), 0),
		v.goes, v.is_past_keep_at_most, v.why
	FROM unnest(ARRAY['log_lines', 'security', 'operations']) WITH ORDINALITY AS k (kind, number)
	CROSS JOIN LATERAL flytrail.partitions(k.kind) AS p
	JOIN pg_class c ON c.oid = p.partition
	CROSS JOIN LATERAL flytrail.retention_verdict(k.kind, p.partition, p.first_at, p.end_at, gap.ids, gap.ranges) AS v
	ORDER BY k.number, p.first_at;
END
$$;
COMMENT ON FUNCTION flytrail.retention_plan() IS
	'every partition of lines and events: whether it goes when retention is applied now, and why or why not. It changes nothing';

-- --- how it goes ---

CREATE FUNCTION flytrail.retention_clock() RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	now CONSTANT timestamptz := flytrail.retention_now();
	newest timestamptz;
BEGIN
	-- What was done in Postgres itself goes by this very clock.
	SELECT e.observed_at INTO newest FROM flytrail.events e
	WHERE e.retention_class = 'security' AND e.class = 'trail' AND e.seq > 0
	ORDER BY e.occurred_at DESC LIMIT 1;
	IF newest BETWEEN now - interval '1 day' AND now + interval '1 day' OR newest IS NULL THEN
		RETURN NULL;
	END IF;
	RETURN format('the clock says %s and the newest record of the trail %s: they are more than a day apart, so nothing goes',
		to_char(now, 'YYYY-MM-DD HH24:MI'), to_char(newest, 'YYYY-MM-DD HH24:MI'));
END
$$;
COMMENT ON FUNCTION flytrail.retention_clock() IS
	'why retention does not act: the clock and the newest fact that came by a spool are more than a day apart; null: they are not';

-- A snapshot from before a hold or a longer term would not know of it.
CREATE FUNCTION flytrail.retention_guard(is_to_go boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key CONSTANT bigint := hashtextextended('flytrail.retention', 0);
	clock text;
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = 'retention acts in transactions that are READ COMMITTED alone';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_locks l
		WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid() AND l.granted AND l.mode = 'ExclusiveLock'
			AND l.classid::bigint = (key >> 32 & 4294967295) AND l.objid::bigint = (key & 4294967295) AND l.objsubid = 1) THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = 'this session does not hold the advisory lock flytrail.retention';
	END IF;
	clock := CASE WHEN is_to_go THEN flytrail.retention_clock() END;
	IF clock IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = clock;
	END IF;
END
$$;
COMMENT ON FUNCTION flytrail.retention_guard(boolean) IS 'refuses what has not the lock of retention, or the clock of the trail; for the functions that take partitions out and put them back';

CREATE FUNCTION flytrail.leaving_or_refuse(leaving text) RETURNS flytrail.leaving
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	target flytrail.leaving;
BEGIN
	SELECT l.* INTO target FROM flytrail.leaving l
	JOIN pg_class c ON c.relname = l.leaving AND c.relnamespace = 'flytrail'::regnamespace AND NOT c.relispartition
	WHERE l.leaving = leaving_or_refuse.leaving;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002',
			MESSAGE = format('there is no table %s on its way out', coalesce(left(leaving_or_refuse.leaving, 63), 'without a name'));
	END IF;
	RETURN target;
END
$$;
COMMENT ON FUNCTION flytrail.leaving_or_refuse(text) IS 'what is known of a partition that was taken out';

-- The verdict comes before the lock, because it may read all of the partition, and whoever writes waits for
-- the lock. What changes in between retention_drop() sees.
CREATE FUNCTION flytrail.retention_detach(partition text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1500ms' AS $$
DECLARE
	gap record;
	target record;
	verdict record;
	leaving CONSTANT name := left(partition, 55) || '_leaving';
BEGIN
	PERFORM flytrail.retention_guard(true);
	SELECT k.kind, c.oid::regclass AS id, p.first_at, p.end_at INTO target
	FROM unnest(ARRAY['log_lines', 'security', 'operations']) AS k (kind)
	CROSS JOIN LATERAL flytrail.partitions(k.kind) AS p
	JOIN pg_class c ON c.oid = p.partition
	WHERE c.relname = retention_detach.partition;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002',
			MESSAGE = format('there is no partition %s', coalesce(left(retention_detach.partition, 63), 'without a name'));
	END IF;
	gap := flytrail.open_gaps();
	verdict := flytrail.retention_verdict(target.kind, target.id, target.first_at, target.end_at, gap.ids, gap.ranges);
	IF NOT verdict.goes THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = format('%s stays: %s', retention_detach.partition, verdict.why);
	END IF;
	IF EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'flytrail'::regnamespace AND c.relname = leaving) THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = format('%s is still there: it has to be put back first', leaving);
	END IF;
	-- Who reads the parent keeps its partitions locked, so that with the first lock the second is there, but
	-- for VACUUM and for who names the partition itself. Together that is 2 seconds in which others wait.
	EXECUTE format('LOCK TABLE ONLY flytrail.%I IN ACCESS EXCLUSIVE MODE', flytrail.parent_name(target.kind));
	PERFORM set_config('lock_timeout', '500ms', true);
	EXECUTE format('ALTER TABLE flytrail.%I DETACH PARTITION flytrail.%I', flytrail.parent_name(target.kind), retention_detach.partition);
	EXECUTE format('ALTER TABLE flytrail.%I RENAME TO %I', retention_detach.partition, leaving);
	INSERT INTO flytrail.leaving (leaving, kind, partition, first_at, end_at, detached_at, detached_by)
	VALUES (leaving, target.kind, retention_detach.partition, target.first_at, target.end_at, clock_timestamp(), session_user);
	RETURN leaving;
END
$$;
COMMENT ON FUNCTION flytrail.retention_detach(text) IS
	'takes a partition that goes out of the trail, and says the name that it has now. SQLSTATE FT002: it does not go, and why; 55P03: it was in use, so try again. Others wait for 2 seconds at most';

CREATE FUNCTION flytrail.digest_query(source text) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('SELECT coalesce(sum(part.rows), 0)::bigint AS rows,
			encode(sha256(coalesce(string_agg(part.digest, '''' ORDER BY part.number), '''')), ''hex'') AS digest
		FROM (
			SELECT i.number, count(*) AS rows, sha256(string_agg(uuid_send(i.id), '''' ORDER BY i.id)) AS digest
			FROM (SELECT s.id, (row_number() OVER (ORDER BY s.id) - 1) / 65536 AS number FROM (%s) AS s) AS i
			GROUP BY i.number
		) AS part', source)
$$;
COMMENT ON FUNCTION flytrail.digest_query(text) IS 'the query that counts the ids of a query and makes their digest, in one text for all who ask it';

CREATE FUNCTION flytrail.digest_of_ids(ids regclass) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' AS $$
DECLARE
	made record;
BEGIN
	EXECUTE flytrail.digest_query(format('SELECT id FROM %s', ids)) INTO made;
	RETURN made.digest;
END
$$;
COMMENT ON FUNCTION flytrail.digest_of_ids(regclass) IS
	'of a table with a column id of uuids, with the rights of the caller: the SHA-256 in hexadecimal over the SHA-256 of each 65,536 ids, which are sorted and 16 bytes each, so that no value is greater than a megabyte';

CREATE FUNCTION flytrail.retention_digest(leaving text) RETURNS TABLE (rows bigint, bytes bigint, digest text, never_archived bigint)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' AS $$
DECLARE
	target CONSTANT flytrail.leaving := flytrail.leaving_or_refuse(leaving);
	id CONSTANT regclass := format('flytrail.%I', target.leaving)::regclass;
BEGIN
	EXECUTE flytrail.digest_query(format('SELECT %I AS id FROM %s WHERE seq > 0',
		CASE target.kind WHEN 'log_lines' THEN 'id' ELSE 'event_id' END, id)) INTO rows, digest;
	EXECUTE format('SELECT count(*) FROM %s WHERE seq <= 0', id) INTO never_archived;
	bytes := pg_total_relation_size(id);
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION flytrail.retention_digest(text) IS
	'of a partition that was taken out: how many rows came by a spool, and the digest of their ids as digest_of_ids() makes it; what its files have in bytes; how many rows are in Postgres alone, such as facts of commands';

-- A name that is like a partition's, on a table that is none and not on its way out.
CREATE FUNCTION flytrail.retention_strays() RETURNS SETOF text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.relname::text
	FROM pg_class c
	WHERE c.relnamespace = 'flytrail'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		AND c.relname ~ '^(log_lines_[0-9]{8}(_week)?|(events_security|events_operations|confirmations)_[0-9]{6})(_[0-9]+)?(_leaving)?$'
		AND NOT EXISTS (SELECT FROM flytrail.leaving l WHERE l.leaving = c.relname)
	ORDER BY 1
$$;
COMMENT ON FUNCTION flytrail.retention_strays() IS 'tables that are named as a partition and are none: detached by hand. Retention leaves them alone';

CREATE FUNCTION flytrail.retention_leftovers() RETURNS SETOF text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT l.leaving FROM flytrail.leaving l
	JOIN pg_class c ON c.relname = l.leaving AND c.relnamespace = 'flytrail'::regnamespace AND NOT c.relispartition
	ORDER BY l.detached_at, 1
$$;
COMMENT ON FUNCTION flytrail.retention_leftovers() IS 'partitions that were taken out and neither dropped nor put back: somebody is at it, or was interrupted';

-- By the owner's hand an events table may be out of the trail that is wanted back; then they stay.
CREATE FUNCTION flytrail.drop_lone_confirmations() RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1500ms' AS $$
DECLARE
	lone record;
	counted bigint;
	total bigint := 0;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('flytrail.partition', 0));
	IF EXISTS (SELECT FROM flytrail.retention_strays() AS s (name) WHERE s.name LIKE 'events%') THEN
		RETURN 0;
	END IF;
	FOR lone IN
		SELECT c.partition FROM flytrail.partitions('confirmations') c
		WHERE NOT EXISTS (
			SELECT FROM unnest(ARRAY['security', 'operations']) AS kind, flytrail.partitions(kind) AS p
			WHERE p.first_at < c.end_at AND p.end_at > c.first_at)
		AND NOT EXISTS (SELECT FROM flytrail.leaving l
			WHERE l.kind IN ('security', 'operations') AND l.first_at < c.end_at AND l.end_at > c.first_at)
	LOOP
		EXECUTE format('SELECT count(*) FROM %s', lone.partition) INTO counted;
		LOCK TABLE ONLY flytrail.confirmations IN ACCESS EXCLUSIVE MODE;
		PERFORM set_config('lock_timeout', '500ms', true);
		EXECUTE format('DROP TABLE %s', lone.partition);
		total := total + counted;
	END LOOP;
	RETURN total;
END
$$;
COMMENT ON FUNCTION flytrail.drop_lone_confirmations() IS 'drops the months of confirmations of which no events are there any more; says how many rows went';

CREATE FUNCTION flytrail.retention_drop(leaving text, archive jsonb, without_archive boolean) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
	archive_bytes_max CONSTANT integer := 65536; -- 50 keys of an index, of 1,024 bytes each, have room
	gaps_max CONSTANT integer := 50;
	target flytrail.leaving;
	id regclass;
	made record;
	gap record;
	verdict record;
	term flytrail.retention;
	agrees boolean;
	confirmations bigint := 0;
	open_in_it text[];
BEGIN
	PERFORM flytrail.retention_guard(true);
	target := flytrail.leaving_or_refuse(leaving);
	id := format('flytrail.%I', target.leaving)::regclass;
	IF archive IS NOT NULL AND (jsonb_typeof(archive) <> 'object' OR octet_length(archive::text) > archive_bytes_max) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('what is said of the archive is a JSON object of %s bytes at most', archive_bytes_max);
	END IF;
	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', id);
	SELECT d.* INTO made FROM flytrail.retention_digest(leaving) d;
	-- From here on nobody adds a hold or changes a term.
	LOCK TABLE flytrail.holds, flytrail.retention IN SHARE MODE;
	gap := flytrail.open_gaps();
	verdict := flytrail.retention_verdict(target.kind, id, target.first_at, target.end_at, gap.ids, gap.ranges);
	IF NOT verdict.goes THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = format('%s stays: %s', target.partition, verdict.why);
	END IF;
	agrees := archive ->> 'rows' IS NOT DISTINCT FROM made.rows::text
		AND archive ->> 'digest' IS NOT DISTINCT FROM made.digest;
	IF archive IS NOT NULL AND NOT agrees AND NOT coalesce(without_archive, false) AND NOT verdict.is_past_keep_at_most THEN
		RAISE EXCEPTION USING ERRCODE = 'FT003', MESSAGE = format(
			'%s stays: it has %s rows with the digest %s, and its archive %s with %s', target.partition, made.rows, made.digest,
			coalesce(left(archive ->> 'rows', 20), 'none'), coalesce(left(archive ->> 'digest', 64), 'none'));
	END IF;
	SELECT r.* INTO term FROM flytrail.retention r WHERE r.kind = target.kind;
	SELECT coalesce(array_agg(g.id), '{}') INTO open_in_it
	FROM (SELECT g.id FROM unnest(gap.ids, gap.ranges) AS g (id, times)
		WHERE g.times && tstzrange(target.first_at, target.end_at) LIMIT gaps_max) AS g;
	DELETE FROM flytrail.leaving l WHERE l.leaving = target.leaving;
	EXECUTE format('DROP TABLE %s', id);
	IF target.kind <> 'log_lines' THEN
		-- Where somebody reads them for long they go with a later month, or by retention_tidy().
		BEGIN
			confirmations := flytrail.drop_lone_confirmations();
		EXCEPTION WHEN lock_not_available THEN NULL;
		END;
	END IF;
	RETURN flytrail.tell('trail.partition_dropped', 4::smallint, target.partition, 'partition', target.partition,
		format('%s went with %s rows: %s', target.partition, made.rows + made.never_archived, verdict.why),
		jsonb_build_object('kind', target.kind, 'partition', target.partition, 'first_at', target.first_at, 'end_at', target.end_at,
			'rows', made.rows, 'bytes', made.bytes, 'digest', made.digest, 'never_archived', made.never_archived,
			'confirmations', confirmations, 'keep_for_days', term.keep_for_days, 'keep_at_most_days', term.keep_at_most_days,
			'policy_changed_at', term.changed_at, 'policy_changed_by', term.changed_by, 'why', verdict.why,
			'archive', archive, 'archive_agrees', CASE WHEN archive IS NOT NULL THEN agrees END,
			'without_archive', coalesce(without_archive, false), 'open_gaps', open_in_it, 'detached_at', target.detached_at));
END
$$;
COMMENT ON FUNCTION flytrail.retention_drop(text, jsonb, boolean) IS
	'drops a partition that was taken out, with a fact that says what went and where its archive is; the fact''s id is returned. SQLSTATE FT002: it does not go any more, and why. FT003: its archive, of which the caller says {"rows", "digest", "objects", "index"}, has not all of it; past keep_at_most, or without_archive, that is only on record. archive null: there is none';

CREATE FUNCTION flytrail.retention_attach(leaving text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
	target flytrail.leaving;
	parent name;
	back name;
	fresh record;
BEGIN
	PERFORM flytrail.retention_guard(false);
	target := flytrail.leaving_or_refuse(leaving);
	parent := flytrail.parent_name(target.kind);
	EXECUTE format('ALTER TABLE flytrail.%I ADD %s', target.leaving, flytrail.bounds_check(target.kind, target.first_at, target.end_at));
	PERFORM pg_advisory_xact_lock(hashtextextended('flytrail.partition', 0));
	FOR fresh IN
		SELECT p.partition, p.first_at, p.end_at FROM flytrail.partitions(target.kind) p
		WHERE p.first_at < target.end_at AND p.end_at > target.first_at
	LOOP
		IF fresh.first_at < target.first_at OR fresh.end_at > target.end_at THEN
			RAISE EXCEPTION USING ERRCODE = 'FT002',
				MESSAGE = format('%s cannot be put back: %s is for its time and more', target.leaving, fresh.partition);
		END IF;
		EXECUTE format('LOCK TABLE ONLY flytrail.%I IN ACCESS EXCLUSIVE MODE', parent);
		EXECUTE format('ALTER TABLE flytrail.%I DETACH PARTITION %s', parent, fresh.partition);
		EXECUTE format('INSERT INTO flytrail.%I SELECT * FROM %s ON CONFLICT DO NOTHING', target.leaving, fresh.partition);
		EXECUTE format('DROP TABLE %s', fresh.partition);
	END LOOP;
	back := flytrail.free_name(target.partition);
	EXECUTE format('ALTER TABLE flytrail.%I RENAME TO %I', target.leaving, back);
	EXECUTE format('ALTER TABLE flytrail.%I ATTACH PARTITION flytrail.%I FOR VALUES FROM (%L) TO (%L)',
		parent, back, target.first_at, target.end_at);
	EXECUTE format('ALTER TABLE flytrail.%I DROP CONSTRAINT bounds', back);
	DELETE FROM flytrail.leaving l WHERE l.leaving = target.leaving;
	RETURN back;
END
$$;
COMMENT ON FUNCTION flytrail.retention_attach(text) IS
	'puts a partition that was taken out back, with the rows that came since, and says its name. SQLSTATE 55P03: its parent was in use, so try again';

CREATE FUNCTION flytrail.retention_tidy() RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	-- Null while anything is kept for ever.
	keep_days CONSTANT integer := (SELECT max(r.keep_for_days) FROM flytrail.retention r HAVING count(*) = 3);
	snapshots bigint;
	confirmations bigint := 0;
BEGIN
	DELETE FROM flytrail.snapshots s
	WHERE isfinite(s.taken_at) AND s.taken_at < flytrail.retention_now() - keep_days * interval '1 day';
	GET DIAGNOSTICS snapshots = ROW_COUNT;
	BEGIN
		confirmations := flytrail.drop_lone_confirmations();
	EXCEPTION WHEN lock_not_available THEN NULL;
	END;
	IF snapshots + confirmations > 0 THEN
		PERFORM flytrail.tell('trail.partition_dropped', 3::smallint, NULL, 'retention', 'tidy',
			format('%s snapshots and %s confirmations went that nothing is kept of any more', snapshots, confirmations),
			jsonb_build_object('snapshots', snapshots, 'confirmations', confirmations, 'keep_for_days', keep_days));
	END IF;
	RETURN snapshots + confirmations;
END
$$;
COMMENT ON FUNCTION flytrail.retention_tidy() IS
	'deletes the snapshots that were not renewed for the longest keep_for, and confirmations without events, on record if there were any; says how many rows went';

DO $$
DECLARE
	made record;
BEGIN
	FOR made IN SELECT p.oid::regprocedure AS id FROM pg_proc p WHERE p.pronamespace = 'flytrail'::regnamespace
		AND p.proname IN ('retention_now', 'tell', 'set_retention', 'reason_or_refuse', 'add_hold', 'release_hold', 'parent_name',
			'partitions', 'free_name', 'bounds_check', 'make_partition', 'has_partition', 'is_weekly', 'bounds_for', 'rows_about',
			'hold_touches', 'open_gaps', 'retention_verdict', 'retention_plan', 'retention_clock', 'retention_guard',
			'leaving_or_refuse', 'retention_detach', 'digest_query', 'digest_of_ids', 'retention_digest', 'retention_strays',
			'retention_leftovers', 'drop_lone_confirmations', 'retention_drop', 'retention_attach', 'retention_tidy')
	LOOP
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made.id);
	END LOOP;
END
$$;
