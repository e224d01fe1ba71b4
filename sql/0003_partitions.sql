-- oldest: 3
-- Partitions made on demand, and the triggers that keep the trail append-only.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

CREATE FUNCTION flytrail.refuse_change() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format(
		'%s on %I.%I is refused: the trail is append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME);
END
$$;
COMMENT ON FUNCTION flytrail.refuse_change() IS 'refuses UPDATE, DELETE and TRUNCATE to everybody, the owner included';

-- For statements, not rows: a statement that would meet no row is refused as well, and COPY
-- does not slow down.
CREATE FUNCTION flytrail.make_append_only(target regclass) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
		FOR EACH STATEMENT EXECUTE FUNCTION flytrail.refuse_change()', target);
END
$$;
COMMENT ON FUNCTION flytrail.make_append_only(regclass) IS 'puts the trigger append_only on a table; for migrations and ensure_partition()';

SELECT flytrail.make_append_only(t::regclass)
FROM unnest(ARRAY['flytrail.log_lines', 'flytrail.events', 'flytrail.events_security',
	'flytrail.events_operations', 'flytrail.confirmations']) AS t;

-- Made apart and attached, because CREATE TABLE ... PARTITION OF waits for everybody who reads the
-- parent. A CHECK like the bounds saves ATTACH a look at the rows, and goes afterwards.
CREATE FUNCTION flytrail.ensure_partition(kind text, at timestamptz) RETURNS boolean
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	parent CONSTANT name := CASE kind WHEN 'log_lines' THEN 'log_lines'
		WHEN 'security' THEN 'events_security' WHEN 'operations' THEN 'events_operations' END;
	is_daily CONSTANT boolean := kind = 'log_lines';
	first_at CONSTANT timestamptz := date_trunc(CASE WHEN is_daily THEN 'day' ELSE 'month' END, at);
	end_at CONSTANT timestamptz := first_at + CASE WHEN is_daily THEN interval '1 day' ELSE interval '1 month' END;
	child CONSTANT name := parent || to_char(first_at, CASE WHEN is_daily THEN '_YYYYMMDD' ELSE '_YYYYMM' END);
	parent_id CONSTANT regclass := to_regclass('flytrail.' || parent);
	privilege record;
BEGIN
	IF parent IS NULL OR at IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'ensure_partition: kind is log_lines, security or operations, and a time is needed';
	END IF;
	IF at < now() - interval '800 days' OR at > now() + interval '100 days' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'ensure_partition: the time is out of the range that partitions are made for';
	END IF;
	IF EXISTS (SELECT FROM pg_inherits WHERE inhparent = parent_id
		AND inhrelid = to_regclass('flytrail.' || child)) THEN
		RETURN false;
	END IF;
	PERFORM pg_advisory_xact_lock(hashtextextended('flytrail.partition', 0));
	-- By name from the table, not by to_regclass(): that may still remember that there was none.
	IF EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = parent_id AND c.relname = child) THEN
		RETURN false;
	END IF;
	EXECUTE format('CREATE TABLE flytrail.%I (LIKE flytrail.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS
		INCLUDING INDEXES INCLUDING STORAGE INCLUDING COMPRESSION,
		CONSTRAINT bounds CHECK (occurred_at >= %L AND occurred_at < %L %s))',
		child, parent, first_at, end_at, CASE WHEN is_daily THEN '' ELSE format('AND retention_class = %L', kind) END);
	PERFORM flytrail.make_append_only(to_regclass('flytrail.' || child));
	FOR privilege IN
		SELECT a.privilege_type, r.rolname FROM pg_class c, aclexplode(c.relacl) a, pg_roles r
		WHERE c.oid = parent_id AND r.oid = a.grantee AND a.grantee <> c.relowner
	LOOP
		EXECUTE format('GRANT %s ON flytrail.%I TO %I', privilege.privilege_type, child, privilege.rolname);
	END LOOP;
	EXECUTE format('ALTER TABLE flytrail.%I ATTACH PARTITION flytrail.%I FOR VALUES FROM (%L) TO (%L)',
		parent, child, first_at, end_at);
	EXECUTE format('ALTER TABLE flytrail.%I DROP CONSTRAINT bounds', child);
	RETURN true;
END
$$;
COMMENT ON FUNCTION flytrail.ensure_partition(text, timestamptz) IS 'makes the partition of log_lines, or of the events of a retention class, that holds a time; true: it was not there';

CREATE FUNCTION flytrail.make_partitions_ahead() RETURNS bigint
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
	SELECT count(*) FILTER (WHERE flytrail.ensure_partition(p.kind, p.at))
	FROM (
		SELECT 'log_lines' AS kind, now() + days * interval '1 day' AS at FROM generate_series(0, 3) AS days
		UNION ALL
		SELECT kind, date_trunc('month', now()) + months * interval '1 month'
		FROM generate_series(0, 2) AS months, unnest(ARRAY['security', 'operations']) AS kind
	) AS p
$$;
COMMENT ON FUNCTION flytrail.make_partitions_ahead() IS 'makes the partitions of today and the coming 3 days, of this month and the next 2; says how many were made';

REVOKE ALL ON FUNCTION flytrail.refuse_change(), flytrail.make_append_only(regclass),
	flytrail.ensure_partition(text, timestamptz), flytrail.make_partitions_ahead() FROM PUBLIC;
DO $$
BEGIN
	EXECUTE format('GRANT EXECUTE ON FUNCTION flytrail.ensure_partition(text, timestamptz),
		flytrail.make_partitions_ahead() TO %I', current_setting('flytrail.writer_role'));
END
$$;
