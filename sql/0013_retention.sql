-- oldest: 3
-- How long rows are kept: terms, holds, and the partitions that go by them.
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
	-- RFC 9562: version 8 and the variant, as in all of flytrail's ids, and the bit of those that are made from
	-- more than the row has (include/model/id.h): a replay takes such an id as it is.
	id CONSTANT uuid := encode(set_byte(set_byte(substr(digest, 1, 16), 6, get_byte(digest, 6) & 15 | 128),
		8, get_byte(digest, 8) & 31 | 160), 'hex')::uuid;
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

-- Whoever changes a term, by whatever statement, it is on record, and as theirs.
CREATE FUNCTION flytrail.tell_term() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	kind CONSTANT text := coalesce(NEW.kind, OLD.kind);
	-- Without a term, or an upper limit, rows are kept for ever.
	is_shorter CONSTANT boolean := coalesce(NEW.keep_for_days < coalesce(OLD.keep_for_days, 'infinity'::float8)
		OR NEW.keep_at_most_days < coalesce(OLD.keep_at_most_days, 'infinity'::float8), false);
BEGIN
	IF TG_OP = 'UPDATE' AND OLD.kind <> NEW.kind THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'a term is of one kind for good: set the other''s';
	END IF;
	PERFORM flytrail.tell('trail.retention_changed', (CASE WHEN is_shorter THEN 4 ELSE 3 END)::smallint, NULL, 'retention', kind,
		CASE WHEN TG_OP = 'DELETE' THEN format('%s is kept for ever', kind)
			ELSE format('%s is kept for %s days%s', kind, NEW.keep_for_days, ', ' || NEW.keep_at_most_days || ' at most') END,
		jsonb_build_object('kind', kind, 'is_shorter', is_shorter,
			'keep_for_days_before', OLD.keep_for_days, 'keep_at_most_days_before', OLD.keep_at_most_days,
			'keep_for_days', NEW.keep_for_days, 'keep_at_most_days', NEW.keep_at_most_days));
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	NEW.changed_at := now();
	NEW.changed_by := session_user;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION flytrail.tell_term() IS 'puts a change of a term on record, with who made it';
CREATE TRIGGER tell BEFORE INSERT OR UPDATE OR DELETE ON flytrail.retention
	FOR EACH ROW EXECUTE FUNCTION flytrail.tell_term();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON flytrail.retention
	FOR EACH STATEMENT EXECUTE FUNCTION flytrail.refuse_change();

CREATE FUNCTION flytrail.set_retention(kind text, keep_for_days integer, keep_at_most_days integer) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	days_max CONSTANT integer := 36500;
	room CONSTANT integer := 2 + CASE WHEN kind <> 'log_lines' THEN 31
		WHEN flytrail.is_weekly(keep_for_days, keep_at_most_days) THEN 7 ELSE 1 END;
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
	INSERT INTO flytrail.retention (kind, keep_for_days, keep_at_most_days)
	SELECT set_retention.kind, set_retention.keep_for_days, set_retention.keep_at_most_days
	WHERE NOT EXISTS (SELECT FROM flytrail.retention r WHERE r.kind = set_retention.kind);
	UPDATE flytrail.retention r
	SET keep_for_days = set_retention.keep_for_days, keep_at_most_days = set_retention.keep_at_most_days
	WHERE r.kind = set_retention.kind AND (r.keep_for_days, r.keep_at_most_days)
		IS DISTINCT FROM (set_retention.keep_for_days, set_retention.keep_at_most_days);
END
$$;
COMMENT ON FUNCTION flytrail.set_retention(text, integer, integer) IS
	'sets how many days log_lines, security or operations are kept for and at most (null: no upper limit), on record; for who may act as the owner';

-- --- holds ---

CREATE TABLE flytrail.holds (
	hold_id uuid PRIMARY KEY,
	app text,
	actor text CHECK (actor = lower(actor COLLATE "C")),
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

-- By whatever statement they come, they are on record, and as of who made it.
CREATE FUNCTION flytrail.tell_hold() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
BEGIN
	NEW.added_at := clock_timestamp();
	NEW.added_by := session_user;
	PERFORM flytrail.tell('trail.hold_added', 4::smallint, NEW.hold_id::text, 'hold', NEW.hold_id::text,
		'a hold was added: ' || NEW.reason, jsonb_build_object('hold', NEW.hold_id, 'app', NEW.app, 'actor', NEW.actor,
			'class', NEW.class, 'since_at', NEW.since_at, 'until_at', NEW.until_at, 'reason', NEW.reason));
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION flytrail.tell_hold() IS 'puts a hold on record, with who added it';
CREATE TRIGGER tell BEFORE INSERT ON flytrail.holds FOR EACH ROW EXECUTE FUNCTION flytrail.tell_hold();

CREATE FUNCTION flytrail.tell_release() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	hold flytrail.holds;
BEGIN
	NEW.released_at := clock_timestamp();
	NEW.released_by := session_user;
	SELECT h.* INTO hold FROM flytrail.holds h WHERE h.hold_id = NEW.hold_id;
	PERFORM flytrail.tell('trail.hold_released', 4::smallint, NEW.hold_id::text, 'hold', NEW.hold_id::text,
		'a hold was released: ' || NEW.reason, jsonb_build_object('hold', NEW.hold_id, 'app', hold.app, 'actor', hold.actor,
			'class', hold.class, 'since_at', hold.since_at, 'until_at', hold.until_at, 'reason', NEW.reason,
			'reason_of_the_hold', hold.reason, 'added_at', hold.added_at, 'added_by', hold.added_by));
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION flytrail.tell_release() IS 'puts the release of a hold on record, with who released it';
CREATE TRIGGER tell BEFORE INSERT ON flytrail.hold_releases FOR EACH ROW EXECUTE FUNCTION flytrail.tell_release();

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
	-- In lower case as the events have it: of ASCII, whatever the database's locale.
	INSERT INTO flytrail.holds (hold_id, app, actor, class, since_at, until_at, reason)
	VALUES (id, app, lower(actor COLLATE "C"), class, since_at, until_at, reason);
	RETURN id;
END
$$;
COMMENT ON FUNCTION flytrail.add_hold(text, text, text, timestamptz, timestamptz, text) IS
	'puts a hold on what is of an application, of an actor, of a class and in a time, as far as they are given, on record; for who may act as the owner';

CREATE FUNCTION flytrail.release_hold(hold_id uuid, reason text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM flytrail.reason_or_refuse(reason);
	IF NOT EXISTS (SELECT FROM flytrail.holds h WHERE h.hold_id = release_hold.hold_id) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('there is no hold %s', release_hold.hold_id);
	END IF;
	INSERT INTO flytrail.hold_releases (hold_id, reason) VALUES (release_hold.hold_id, release_hold.reason)
	ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('hold %s is released already', release_hold.hold_id);
	END IF;
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

-- A snapshot from before would not know of a term, a hold, or a partition that came or went.
CREATE FUNCTION flytrail.see_all_or_refuse() RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF current_setting('transaction_isolation') <> 'read committed' THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = 'partitions come and go in transactions that are READ COMMITTED alone';
	END IF;
END
$$;
COMMENT ON FUNCTION flytrail.see_all_or_refuse() IS 'refuses transactions that go by an old snapshot; for the functions that make partitions and take them out';

CREATE OR REPLACE FUNCTION flytrail.ensure_partition(kind text, at timestamptz) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	now CONSTANT timestamptz := flytrail.retention_now();
	term flytrail.retention;
	days_back integer;
	days_ahead CONSTANT integer := 100;
	bounds record;
BEGIN
	IF kind IS NULL OR kind NOT IN ('log_lines', 'security', 'operations') OR at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'ensure_partition: kind is log_lines, security or operations, and a time is needed';
	END IF;
	SELECT r.* INTO term FROM flytrail.retention r WHERE r.kind = ensure_partition.kind;
	-- A month that has rows within the term is wanted whole.
	days_back := greatest(800, term.keep_for_days + 31);
	IF at < now - days_back * interval '1 day' OR at > now + days_ahead * interval '1 day' THEN
		RAISE EXCEPTION USING ERRCODE = 'FT004', MESSAGE = format(
			'it is of a time that is more than %s days ago or %s days ahead: no partition is made for it', days_back, days_ahead);
	END IF;
	IF flytrail.has_partition(kind, at) THEN
		RETURN false;
	END IF;
	PERFORM flytrail.see_all_or_refuse();
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
	'makes the partition of log_lines, or of the events of a retention class, that holds a time; true: it was not there. SQLSTATE FT001: all of it would be past keep_at_most. FT004: for such a time none is made';

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

-- The views followed the old one to its new name.
DO $$
DECLARE
	asking regclass;
BEGIN
	FOR asking IN
		SELECT DISTINCT r.ev_class FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
		WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = 'flytrail.confirmations_whole'::regclass
	LOOP
		EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', asking,
			replace(pg_get_viewdef(asking), 'confirmations_whole', 'confirmations'));
	END LOOP;
END
$$;
DROP TABLE flytrail.confirmations_whole;

DO $$
DECLARE
	made regprocedure;
BEGIN
	FOR made IN
		SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'flytrail'::regnamespace AND p.proname IN (
			'retention_now', 'tell', 'tell_term', 'tell_hold', 'tell_release', 'set_retention', 'reason_or_refuse', 'add_hold', 'release_hold',
			'parent_name', 'partitions', 'free_name', 'bounds_check', 'make_partition', 'has_partition',
			'is_weekly', 'bounds_for', 'see_all_or_refuse')
	LOOP
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made);
	END LOOP;
END
$$;
