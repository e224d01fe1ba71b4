-- oldest: 3
-- Whether the schema is as `flytrail migrate` left it. What event triggers do about it is in watch.sql.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- Postgres prints a view from what it parsed, and not always as what it parses from that print: where a
-- UNION has columns without a name, a database restored from a dump would differ. Made from its own print
-- each view is what it will be after that, too.
DO $$
DECLARE
	view regclass;
BEGIN
	FOR view IN SELECT c.oid FROM pg_catalog.pg_class c
		WHERE c.relnamespace = 'flytrail'::regnamespace AND c.relkind = 'v' AND c.reloptions IS NULL LOOP
		EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', view, pg_catalog.pg_get_viewdef(view));
	END LOOP;
END
$$;

-- One that is made while another of that name is on its way out has a number.
CREATE FUNCTION flytrail.partition_name(name text) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT 'flytrail.' || coalesce(substring(name FROM '^(log_lines_[0-9]{8}(?:_week)?|[a-z_]+_[0-9]{6})_[0-9]+$'), name)
$$;
COMMENT ON FUNCTION flytrail.partition_name(text) IS 'what a partition is called whichever of its time it is';

-- What is watched: the schema flytrail, and flytrail_ddl, which watch.sql makes.
CREATE FUNCTION flytrail.schema_rows(OUT object text, OUT shape text) RETURNS SETOF record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
	-- Definitions are printed the same way, whoever asks.
	SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET bytea_output = 'hex'
	SET extra_float_digits = 1 SET quote_all_identifiers = off AS $$
WITH schemas AS (
	SELECT n.oid, n.nspname, n.nspowner, n.nspacl FROM pg_namespace n WHERE n.nspname IN ('flytrail', 'flytrail_ddl')
), relations AS (
	SELECT c.*, s.nspname, format('%I.%I', s.nspname, c.relname) AS name,
		ARRAY(SELECT a::text FROM unnest(c.relacl) AS a ORDER BY 1) AS rights
	FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
), partitions AS (
	SELECT i.inhrelid AS oid, i.inhparent AS parent, c.relname, c.relowner, c.relpersistence, c.rights
	FROM relations c JOIN pg_inherits i ON i.inhrelid = c.oid
	WHERE c.relispartition AND c.relkind = 'r'
	UNION ALL
	-- Detached to be dropped, or to be attached again.
	SELECT c.oid, top.oid, l.partition, c.relowner, c.relpersistence, c.rights
	FROM flytrail.leaving l
	JOIN relations c ON c.relname = l.leaving AND c.nspname = 'flytrail' AND c.relkind = 'r' AND NOT c.relispartition
	JOIN relations top ON top.relkind = 'p' AND top.nspname = 'flytrail'
		AND top.relname = CASE l.kind WHEN 'log_lines' THEN l.kind ELSE 'events_' || l.kind END
), plain AS (
	SELECT c.* FROM relations c
	WHERE c.oid NOT IN (SELECT p.oid FROM partitions p)
		AND c.oid NOT IN (SELECT i.indexrelid FROM pg_index i JOIN partitions p ON p.oid = i.indrelid)
), columns AS (
	SELECT a.attrelid, a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
		CASE WHEN a.attnotnull THEN 'not null' END, nullif(a.attidentity, ''), nullif(a.attgenerated, ''),
		(SELECT l.collname FROM pg_collation l WHERE l.oid = a.attcollation), pg_get_expr(d.adbin, d.adrelid),
		ARRAY(SELECT x::text FROM unnest(a.attacl) AS x ORDER BY 1)) AS shape
	FROM pg_attribute a
	JOIN relations c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
	LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE a.attnum > 0 AND NOT a.attisdropped
), rows_of AS (
	SELECT attrelid, string_agg(concat(attname, ' ', shape), ', ' ORDER BY attname) AS columns
	FROM columns GROUP BY attrelid
), triggers AS (
	SELECT t.tgrelid, t.tgname, t.tgisinternal, t.tgconstraint, t.tgenabled, t.tgfoid, t.tgtype, t.oid,
		t.tgqual IS NULL AND t.tgattr::text = '' AS is_for_all
	FROM pg_trigger t JOIN relations c ON c.oid = t.tgrelid
)
SELECT 'schema ' || quote_ident(s.nspname),
	concat_ws(' ', pg_get_userbyid(s.nspowner), ARRAY(SELECT a::text FROM unnest(s.nspacl) AS a ORDER BY 1))
FROM schemas s
UNION ALL
SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'view ' WHEN 'S' THEN 'sequence ' WHEN 'i' THEN 'index '
		WHEN 'I' THEN 'index ' ELSE 'table ' END || c.name,
	concat_ws(' ', c.relkind, pg_get_userbyid(c.relowner), c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
		c.relispartition, c.reloptions, c.rights, CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
		CASE WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid) END,
		(SELECT concat(i.indisvalid, i.indisready, i.indislive) FROM pg_index i WHERE i.indexrelid = c.oid))
FROM plain c
UNION ALL
SELECT format('column %s.%I', c.name, a.attname), a.shape FROM columns a JOIN plain c ON c.oid = a.attrelid
UNION ALL
SELECT format('constraint %I on %s', k.conname, c.name), concat_ws(' ', pg_get_constraintdef(k.oid), k.convalidated,
	(SELECT string_agg(t.tgenabled::text, '' ORDER BY t.tgfoid, t.tgtype) FROM triggers t WHERE t.tgconstraint = k.oid AND t.tgrelid = c.oid))
FROM pg_constraint k JOIN plain c ON c.oid = k.conrelid
UNION ALL
SELECT format('trigger %I on %s', t.tgname, c.name), concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
FROM triggers t JOIN plain c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal
UNION ALL
SELECT format('rule %I on %s', r.rulename, c.name), concat_ws(' ', pg_get_ruledef(r.oid), r.ev_enabled)
FROM pg_rewrite r JOIN plain c ON c.oid = r.ev_class
WHERE c.relkind NOT IN ('v', 'm') OR r.rulename <> '_RETURN'
UNION ALL
SELECT format('policy %I on %s', p.polname, c.name), concat_ws(' ', p.polcmd, p.polpermissive, p.polroles::regrole[],
	pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN plain c ON c.oid = p.polrelid
UNION ALL
SELECT format('function %I.%I(%s)', s.nspname, f.proname, pg_get_function_identity_arguments(f.oid)),
	concat_ws(' ', f.prokind, pg_get_userbyid(f.proowner), l.lanname, f.prosecdef, f.proleakproof, f.proisstrict,
		f.provolatile, f.proparallel, f.proconfig, pg_get_function_arguments(f.oid), pg_get_function_result(f.oid),
		f.prosrc, f.probin, pg_get_function_sqlbody(f.oid), f.prosupport,
		ARRAY(SELECT a::text FROM unnest(f.proacl) AS a ORDER BY 1), f.proacl IS NULL)
FROM pg_proc f JOIN schemas s ON s.oid = f.pronamespace JOIN pg_language l ON l.oid = f.prolang
UNION ALL
SELECT format('type %I.%I', s.nspname, t.typname), concat_ws(' ', t.typtype, pg_get_userbyid(t.typowner), t.typacl,
	format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
	(SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
	(SELECT string_agg(pg_get_constraintdef(k.oid), ', ' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid))
FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace
WHERE t.typtype IN ('d', 'e', 'r')
UNION ALL
SELECT format('default rights on %s of what %I makes', d.defaclobjtype, pg_get_userbyid(d.defaclrole)),
	string_agg(concat_ws(' ', d.defaclnamespace, d.defaclacl), ', ' ORDER BY d.defaclnamespace)
FROM pg_default_acl d
WHERE d.defaclnamespace IN (SELECT oid FROM schemas)
	OR (d.defaclnamespace = 0 AND d.defaclrole IN (SELECT nspowner FROM schemas))
GROUP BY d.defaclobjtype, d.defaclrole
UNION ALL
SELECT format('event trigger %I', e.evtname), concat_ws(' ', e.evtevent, e.evttags, e.evtenabled,
	pg_get_userbyid(e.evtowner), e.evtfoid::regprocedure)
FROM pg_event_trigger e JOIN pg_proc f ON f.oid = e.evtfoid
WHERE f.pronamespace IN (SELECT oid FROM schemas)
UNION ALL
-- Superusers, and members of members, among them.
SELECT format('role %I that may act as %I', r.rolname, pg_get_userbyid(s.nspowner)), concat_ws(' ', r.rolcanlogin, r.rolsuper,
	(SELECT bool_or(m.admin_option) FROM pg_auth_members m WHERE m.roleid = s.nspowner AND m.member = r.oid))
FROM schemas s JOIN pg_roles r ON pg_has_role(r.oid, s.nspowner, 'MEMBER')
WHERE s.nspname = 'flytrail'
UNION ALL
SELECT 'partition ' || flytrail.partition_name(p.relname),
	CASE WHEN p.relowner = parent.relowner AND p.relpersistence = parent.relpersistence AND p.rights = parent.rights
		AND own.columns = above.columns AND seal.enabled AND odd.text IS NULL THEN 'as its parent'
	ELSE concat_ws(' ', pg_get_userbyid(p.relowner), p.relpersistence, p.rights, own.columns, seal.enabled, odd.text) END
FROM partitions p
JOIN relations parent ON parent.oid = p.parent
LEFT JOIN rows_of own ON own.attrelid = p.oid
LEFT JOIN rows_of above ON above.attrelid = p.parent
CROSS JOIN LATERAL (
	SELECT coalesce(bool_or(t.tgname = 'append_only' AND t.tgenabled IN ('O', 'A') AND t.is_for_all
		AND t.tgfoid = to_regproc('flytrail.refuse_change') AND t.tgtype = (SELECT above_it.tgtype FROM triggers above_it
			WHERE above_it.tgrelid = p.parent AND above_it.tgname = 'append_only')), false) AS enabled
	FROM triggers t WHERE t.tgrelid = p.oid
) AS seal
-- What ensure_partition() puts on none.
CROSS JOIN LATERAL (
	SELECT string_agg(x.text, ', ' ORDER BY x.text) AS text FROM (
		SELECT concat('trigger ', pg_get_triggerdef(t.oid), t.tgenabled) FROM triggers t
		WHERE t.tgrelid = p.oid AND t.tgname <> 'append_only'
		UNION ALL
		SELECT pg_get_ruledef(r.oid) FROM pg_rewrite r WHERE r.ev_class = p.oid
		UNION ALL
		SELECT concat('policy ', y.polname) FROM pg_policy y WHERE y.polrelid = p.oid
	) AS x (text)
) AS odd
$$;
COMMENT ON FUNCTION flytrail.schema_rows() IS 'what the schema consists of, an object a row, and all that is to be seen of it: owner, rights, definition, whether it is enabled. A partition that is as its parent says just that, so that its coming is no change';

CREATE FUNCTION flytrail.schema_state() RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT jsonb_object_agg(o.object, o.digest)
	FROM (
		-- One that leaves and one that took its place have one name.
		SELECT r.object, left(encode(sha256(convert_to(string_agg(DISTINCT r.shape, ', '), 'UTF8')), 'hex'), 32) AS digest
		FROM flytrail.schema_rows() AS r GROUP BY r.object
	) AS o
$$;
COMMENT ON FUNCTION flytrail.schema_state() IS 'schema_rows() as one value: each object''s name, and the first half of the SHA-256 of its shape';

CREATE FUNCTION flytrail.schema_fingerprint() RETURNS text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT encode(sha256(convert_to(string_agg(s.key || ' ' || s.value, chr(10) ORDER BY s.key COLLATE "C"), 'UTF8')), 'hex')
	FROM jsonb_each_text(flytrail.schema_state()) AS s
	WHERE s.key NOT LIKE 'partition %' OR s.value <> left(encode(sha256('as its parent'), 'hex'), 32)
$$;
COMMENT ON FUNCTION flytrail.schema_fingerprint() IS 'SHA-256 (hex) over all of the schema: tables, columns, constraints, triggers, functions, views, rights, owners, event triggers, and partitions that are not as their parent. Another version of Postgres may print definitions in another way, and gives another one';

CREATE TABLE flytrail.schema_states (
	state_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	taken_by text NOT NULL DEFAULT session_user,
	is_migrated boolean NOT NULL,
	objects jsonb NOT NULL
);
SELECT flytrail.make_append_only('flytrail.schema_states');
COMMENT ON TABLE flytrail.schema_states IS 'what the schema was at every look that found it changed, be it by a partition that came or went; the newest is what the next look compares with';
COMMENT ON COLUMN flytrail.schema_states.state_id IS 'in the order in which they were taken';
COMMENT ON COLUMN flytrail.schema_states.taken_at IS 'when';
COMMENT ON COLUMN flytrail.schema_states.taken_by IS 'the role that connected to look';
COMMENT ON COLUMN flytrail.schema_states.is_migrated IS 'true: as `flytrail migrate` left it. false: as check_schema() found it';
COMMENT ON COLUMN flytrail.schema_states.objects IS 'each object''s name and a digest of its shape, as schema_state() gives them';

CREATE TABLE flytrail.told_commands (
	command_id uuid PRIMARY KEY,
	told_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT flytrail.make_append_only('flytrail.told_commands');
COMMENT ON TABLE flytrail.told_commands IS 'the commands of flytrail_ddl.commands that are in the trail';
COMMENT ON COLUMN flytrail.told_commands.command_id IS 'the command''s';
COMMENT ON COLUMN flytrail.told_commands.told_at IS 'since when';

-- What retention drops is on record by retention itself; what comes like its parent is no news.
CREATE FUNCTION flytrail.schema_difference(was jsonb, is_now jsonb, since timestamptz, OUT object text, OUT what text)
	RETURNS SETOF record LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH d AS (
		SELECT coalesce(o.key, n.key) AS object,
			CASE WHEN o.key IS NULL THEN 'added' WHEN n.key IS NULL THEN 'removed' ELSE 'changed' END AS what,
			n.value
		FROM jsonb_each_text(was) AS o FULL JOIN jsonb_each_text(is_now) AS n ON n.key = o.key
		WHERE o.value IS DISTINCT FROM n.value
	)
	SELECT d.object, d.what
	FROM d
	-- A table that comes or goes says it for its columns.
	WHERE (d.object NOT LIKE 'column %' OR NOT EXISTS (SELECT FROM d AS whole WHERE whole.what = d.what
			AND whole.object ~ '^(table|view) ' AND starts_with(d.object, regexp_replace(whole.object, '^[a-z]+', 'column') || '.')))
		AND (d.object NOT LIKE 'partition %'
			OR d.what = 'changed'
			OR (d.what = 'added' AND d.value <> left(encode(sha256('as its parent'), 'hex'), 32))
			OR (d.what = 'removed' AND CASE WHEN d.object LIKE 'partition flytrail.confirmations%'
				-- These go with the events of their month.
				THEN is_now ?| ARRAY[replace(d.object, 'confirmations', 'events_security'),
					replace(d.object, 'confirmations', 'events_operations')]
				-- By stored_at, which is never retention's clock. The drop may have begun before the last look.
				ELSE NOT EXISTS (
					SELECT FROM flytrail.events e
					WHERE e.retention_class = 'security' AND e.class = 'trail' AND e.action = 'trail.partition_dropped'
						AND e.stored_at >= since - interval '1 hour'
						AND d.object = 'partition ' || flytrail.partition_name(e.attributes ->> 'partition')) END))
$$;
COMMENT ON FUNCTION flytrail.schema_difference(jsonb, jsonb, timestamptz) IS 'what differs between two of schema_state(): added, changed or removed. A partition that retention dropped since then, or that is new and as its parent, does not';

CREATE FUNCTION flytrail.untold_commands() RETURNS SETOF jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- There are none where no superuser migrated.
	IF to_regclass('flytrail_ddl.commands') IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY EXECUTE 'SELECT to_jsonb(c) FROM flytrail_ddl.commands c
		WHERE NOT EXISTS (SELECT FROM flytrail.told_commands t WHERE t.command_id = c.command_id)
		ORDER BY c.at LIMIT 10000';
END
$$;
COMMENT ON FUNCTION flytrail.untold_commands() IS 'what the event triggers wrote down and the trail does not have yet';

CREATE FUNCTION flytrail.keep_state(found jsonb, is_migrated boolean) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
	BEGIN ATOMIC
		INSERT INTO flytrail.schema_states (is_migrated, objects) VALUES (keep_state.is_migrated, found);
	END;
COMMENT ON FUNCTION flytrail.keep_state(jsonb, boolean) IS 'makes a state of the schema the one that the next look compares with';

-- What is told of commands: a transaction is one fact.
CREATE FUNCTION flytrail.tell_commands() RETURNS integer
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	work record;
	facts integer := 0;
BEGIN
	FOR work IN
		SELECT c ->> 'pid' AS pid, c ->> 'transaction' AS transaction, min(c ->> 'login') AS login,
			array_agg((c ->> 'command_id')::uuid) AS ids, count(*) AS commands,
			string_agg(DISTINCT c ->> 'tag', ', ') AS tags,
			jsonb_agg(c - '{command_id,transaction}'::text[] ORDER BY c ->> 'at') AS told
		FROM flytrail.untold_commands() AS c
		GROUP BY 1, 2
	LOOP
		INSERT INTO flytrail.told_commands (command_id) SELECT unnest(work.ids);
		PERFORM flytrail.tell('trail.schema_changed', 4::smallint, NULL, 'schema', 'flytrail',
			format('%s changed the schema of the trail by %s', work.login, work.tags),
			jsonb_build_object('found_by', 'event trigger', 'count', work.commands,
				'commands', jsonb_path_query_array(work.told, '$[0 to 19]')));
		facts := facts + 1;
	END LOOP;
	RETURN facts;
END
$$;
COMMENT ON FUNCTION flytrail.tell_commands() IS 'puts what the event triggers wrote down into the trail, a fact a transaction; says how many';

CREATE FUNCTION flytrail.check_schema() RETURNS integer
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
	last flytrail.schema_states;
	found jsonb;
	differs text[];
	facts integer;
BEGIN
	-- Replicas look at the same time.
	PERFORM pg_advisory_xact_lock(hashtextextended('flytrail.schema', 0));
	found := flytrail.schema_state();
	facts := flytrail.tell_commands();
	SELECT * INTO last FROM flytrail.schema_states ORDER BY state_id DESC LIMIT 1;
	IF last.objects = found THEN
		RETURN facts;
	END IF;
	SELECT array_agg(concat(d.what, ' ', d.object) ORDER BY d.what, d.object) INTO differs
	FROM flytrail.schema_difference(last.objects, found, last.taken_at) AS d;
	PERFORM flytrail.keep_state(found, false);
	IF differs IS NULL THEN
		RETURN facts;
	END IF;
	PERFORM flytrail.tell('trail.schema_changed', 4::smallint, NULL, 'schema', 'flytrail',
		CASE WHEN last.state_id IS NULL THEN 'what the schema of the trail was like is not known any more: flytrail.schema_states is empty'
			ELSE format('the schema of the trail is not what it was at %s: %s of its objects differ, and a look does not show by whom',
				last.taken_at, cardinality(differs)) END,
		jsonb_build_object('found_by', 'fingerprint', 'since', last.taken_at, 'count', cardinality(differs),
			'objects', to_jsonb(differs[:20])));
	RETURN facts + 1;
END
$$;
COMMENT ON FUNCTION flytrail.check_schema() IS 'looks whether the schema is what it was, and puts each change on record once; says how many facts it wrote';

CREATE FUNCTION flytrail.schema_migrated() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
	last flytrail.schema_states;
	found jsonb;
	differs text[];
	commands jsonb;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('flytrail.schema', 0));
	found := flytrail.schema_state();
	SELECT * INTO last FROM flytrail.schema_states ORDER BY state_id DESC LIMIT 1;
	-- The first has nothing to be compared with; who made the schema is in schema_version.
	IF last.state_id IS NULL THEN
		PERFORM flytrail.keep_state(found, true);
		RETURN;
	END IF;
	SELECT array_agg(concat(d.what, ' ', d.object) ORDER BY d.what, d.object) INTO differs
	FROM flytrail.schema_difference(last.objects, found, last.taken_at) AS d;
	SELECT jsonb_agg(c ORDER BY c ->> 'at') INTO commands FROM flytrail.untold_commands() AS c
	WHERE (c ->> 'pid')::integer = pg_backend_pid();
	IF last.objects <> found THEN
		PERFORM flytrail.keep_state(found, true);
	END IF;
	IF differs IS NULL AND commands IS NULL THEN
		RETURN;
	END IF;
	INSERT INTO flytrail.told_commands (command_id)
	SELECT (c ->> 'command_id')::uuid FROM jsonb_array_elements(commands) AS c;
	PERFORM flytrail.tell('trail.schema_changed', 4::smallint, NULL, 'schema', 'flytrail',
		format('flytrail migrate: the schema of the trail is taken as right as it is now; %s of its objects differ from what was known',
			coalesce(cardinality(differs), 0)),
		jsonb_build_object('found_by', 'migrate', 'since', last.taken_at, 'count', coalesce(cardinality(differs), 0),
			'objects', coalesce(to_jsonb(differs[:20]), '[]'), 'command_count', coalesce(jsonb_array_length(commands), 0),
			'commands', coalesce(jsonb_path_query_array(commands, '$[0 to 19]'), '[]')));
END
$$;
COMMENT ON FUNCTION flytrail.schema_migrated() IS 'what `flytrail migrate` ends with: the schema as it is now is what later looks compare with. One fact says so, where anything differs or this session changed anything';

REVOKE ALL ON FUNCTION flytrail.partition_name(text), flytrail.schema_rows(), flytrail.schema_state(), flytrail.schema_fingerprint(),
	flytrail.schema_difference(jsonb, jsonb, timestamptz), flytrail.untold_commands(), flytrail.keep_state(jsonb, boolean),
	flytrail.tell_commands(), flytrail.check_schema(), flytrail.schema_migrated()
	FROM PUBLIC;
