-- What watches the schema. Every `flytrail migrate` ends with this.
--
-- Event triggers see each command at once, also one that is undone a moment later; only a superuser can
-- make them. Where the server has none, or does not let us, the hourly look of check_schema() is all
-- there is. The settings are those of roles.sql.
--
-- An event trigger's function runs in everybody's sessions, superusers' among them. So it is a
-- superuser's, in a schema of its own, and touches nothing that the trail's owner could change: a
-- function, trigger or default of the owner's in its way would run with that session's rights. It writes
-- down what it sees; check_schema() puts that into the trail.

DO $$
DECLARE
	stranger CONSTANT name := (SELECT r.rolname FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner
		WHERE n.nspname = 'flytrail_ddl' AND NOT r.rolsuper AND r.rolname <> current_user);
BEGIN
	IF stranger IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format(
			'schema flytrail_ddl belongs to role %I, which is no superuser, and what is in it would run with superusers'' rights: drop it',
			stranger);
	END IF;
END
$$;

DO $watch$
DECLARE
	owner_role CONSTANT name := current_setting('flytrail.owner_role');
BEGIN
	CREATE SCHEMA IF NOT EXISTS flytrail_ddl;
	EXECUTE format('GRANT USAGE ON SCHEMA flytrail_ddl TO %I', owner_role);
	COMMENT ON SCHEMA flytrail_ddl IS 'flytrail: what commands changed the schema flytrail, as event triggers saw them; a superuser''s';

	CREATE TABLE IF NOT EXISTS flytrail_ddl.commands (
		command_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		at timestamptz NOT NULL DEFAULT clock_timestamp(),
		tag text NOT NULL,
		objects text[] NOT NULL,
		login text NOT NULL DEFAULT session_user,
		acted_as text NOT NULL DEFAULT current_setting('role'),
		application_name text NOT NULL DEFAULT current_setting('application_name'),
		client_addr inet DEFAULT inet_client_addr(),
		pid integer NOT NULL DEFAULT pg_backend_pid(),
		transaction text NOT NULL DEFAULT pg_current_xact_id()::text
	);
	EXECUTE format('GRANT SELECT ON flytrail_ddl.commands TO %I', owner_role);
	COMMENT ON TABLE flytrail_ddl.commands IS 'commands that changed the schema flytrail; not those of flytrail''s functions that make and drop partitions';
	COMMENT ON COLUMN flytrail_ddl.commands.command_id IS 'the command';
	COMMENT ON COLUMN flytrail_ddl.commands.at IS 'when it ended';
	COMMENT ON COLUMN flytrail_ddl.commands.tag IS 'what it was, as Postgres calls it';
	COMMENT ON COLUMN flytrail_ddl.commands.objects IS 'what it changed; the first 20';
	COMMENT ON COLUMN flytrail_ddl.commands.login IS 'the role that connected';
	COMMENT ON COLUMN flytrail_ddl.commands.acted_as IS 'the role that it had SET; none: its own';
	COMMENT ON COLUMN flytrail_ddl.commands.application_name IS 'what the session calls itself';
	COMMENT ON COLUMN flytrail_ddl.commands.client_addr IS 'from where it connected; null: by a socket of the same machine';
	COMMENT ON COLUMN flytrail_ddl.commands.pid IS 'of the session';
	COMMENT ON COLUMN flytrail_ddl.commands.transaction IS 'which commands were one transaction';

	CREATE TABLE IF NOT EXISTS flytrail_ddl.rights (object text PRIMARY KEY, acl text NOT NULL);
	COMMENT ON TABLE flytrail_ddl.rights IS 'who had which rights after the last GRANT or REVOKE: Postgres does not tell an event trigger what those are about';
	COMMENT ON COLUMN flytrail_ddl.rights.object IS 'what they are rights on';
	COMMENT ON COLUMN flytrail_ddl.rights.acl IS 'the rights, as Postgres writes them';

	-- Of partitions only those that have not the same as their parent.
	CREATE OR REPLACE FUNCTION flytrail_ddl.rights_now(OUT object text, OUT acl text) RETURNS SETOF record
		LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH sorted AS (
		SELECT c.oid, c.relname, c.relispartition AND c.relkind = 'r' AS is_leaf,
			ARRAY(SELECT a::text FROM unnest(c.relacl) AS a ORDER BY 1)::text AS acl
		FROM pg_class c WHERE c.relnamespace = to_regnamespace('flytrail') AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
			-- On its way out; a name like that hides nothing from the hourly look.
			AND c.relname !~ '^(log_lines|events_security|events_operations|confirmations)_[0-9]{6,8}[a-z0-9_]*_leaving$'
	)
	SELECT 'table ' || s.relname, s.acl FROM sorted s
	WHERE NOT s.is_leaf OR NOT EXISTS (SELECT FROM pg_inherits i JOIN sorted p ON p.oid = i.inhparent
		WHERE i.inhrelid = s.oid AND p.acl = s.acl)
	UNION ALL
	SELECT format('column %s.%s', s.relname, a.attname), a.attacl::text
	FROM pg_attribute a JOIN sorted s ON s.oid = a.attrelid WHERE a.attacl IS NOT NULL
	UNION ALL
	SELECT format('function %s(%s)', f.proname, pg_get_function_identity_arguments(f.oid)),
		coalesce(ARRAY(SELECT a::text FROM unnest(f.proacl) AS a ORDER BY 1)::text, 'default')
	FROM pg_proc f WHERE f.pronamespace = to_regnamespace('flytrail')
	UNION ALL
	SELECT 'schema ' || n.nspname, ARRAY(SELECT a::text FROM unnest(n.nspacl) AS a ORDER BY 1)::text
	FROM pg_namespace n WHERE n.nspname = 'flytrail'
	UNION ALL
	SELECT format('default rights %s %s of %s', d.defaclobjtype, d.oid, pg_get_userbyid(d.defaclrole)), d.defaclacl::text
	FROM pg_default_acl d WHERE d.defaclnamespace = to_regnamespace('flytrail')
	$$;
	COMMENT ON FUNCTION flytrail_ddl.rights_now() IS 'who has which rights on what is in the schema flytrail';

	CREATE OR REPLACE FUNCTION flytrail_ddl.changed_rights() RETURNS text[]
		LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
	DECLARE
		differs text[];
	BEGIN
		SELECT array_agg(concat('rights on ', coalesce(o.object, n.object)) ORDER BY coalesce(o.object, n.object)) INTO differs
		FROM flytrail_ddl.rights o FULL JOIN flytrail_ddl.rights_now() AS n ON n.object = o.object
		WHERE o.acl IS DISTINCT FROM n.acl;
		IF differs IS NOT NULL THEN
			DELETE FROM flytrail_ddl.rights;
			INSERT INTO flytrail_ddl.rights (object, acl) SELECT n.object, n.acl FROM flytrail_ddl.rights_now() AS n;
		END IF;
		RETURN differs;
	-- Another session that grants at the same time must not keep a command from being noted.
	EXCEPTION WHEN OTHERS THEN
		RETURN ARRAY['rights, which could not be compared: ' || SQLERRM];
	END
	$$;
	COMMENT ON FUNCTION flytrail_ddl.changed_rights() IS 'on what the rights are not those of the table rights, which has the new ones afterwards; null: they are';

	-- What ensure_partition() and retention do shows by the stack of calls, as long as it is about
	-- partitions that stay append-only. Lines of a stack may be text of a statement, which can be anything;
	-- its last is the call that began it all, and no name can look like that, as one with a bracket has quotes.
	CREATE OR REPLACE FUNCTION flytrail_ddl.is_partitions_coming_or_going(stack text, objects text[]) RETURNS boolean
		LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT stack ~ (chr(10) || 'PL/pgSQL function flytrail[.](ensure_partition|retention_[a-z]+)[(]')
		AND stack ~ (chr(10) || 'PL/pgSQL function flytrail[.](ensure_partition|retention_[a-z]+|set_retention|add_hold'
			|| '|release_hold|record_review|check_schema|schema_migrated|tell)[(][a-z ,]*[)] line [0-9]+ at [A-Za-z ]+'
			|| '(' || chr(10) || 'SQL function "make_partitions_ahead" statement 1)?$')
		AND NOT EXISTS (SELECT FROM unnest(objects) AS o
			WHERE o !~ '( on |^table |^index )flytrail[.](log_lines|events_security|events_operations|confirmations)(_[0-9]{6,8}[a-z0-9_]*)?$')
	$$;
	COMMENT ON FUNCTION flytrail_ddl.is_partitions_coming_or_going(text, text[]) IS 'whether a command is one of flytrail''s own functions at its work on partitions';

	CREATE OR REPLACE FUNCTION flytrail_ddl.note() RETURNS event_trigger
		LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	DECLARE
		objects_max CONSTANT integer := 20;
		touched text[];
		unsealed boolean := false;
		stack text;
	BEGIN
		GET DIAGNOSTICS stack = PG_CONTEXT;
		IF TG_EVENT = 'sql_drop' THEN
			SELECT (array_agg(concat(d.object_type, ' ', d.object_identity) ORDER BY d.original DESC, d.object_identity))[:objects_max]
			INTO touched
			FROM pg_event_trigger_dropped_objects() AS d
			WHERE (d.original OR d.normal) AND NOT d.is_temporary
				AND (d.schema_name = 'flytrail' OR d.address_names[1] = 'flytrail')
				AND d.object_identity NOT LIKE '"_RETURN" on %';
		ELSIF TG_TAG IN ('GRANT', 'REVOKE', 'ALTER DEFAULT PRIVILEGES') THEN
			-- A partition that is being made is not one yet, and its rights are news until it is.
			IF NOT flytrail_ddl.is_partitions_coming_or_going(stack, '{}') THEN
				touched := (flytrail_ddl.changed_rights())[:objects_max];
			END IF;
		ELSE
			SELECT (array_agg(DISTINCT concat(c.object_type, ' ', c.object_identity)))[:objects_max],
				coalesce(bool_or(TG_TAG = 'ALTER TABLE' AND c.classid = 'pg_class'::regclass AND NOT EXISTS (
					SELECT FROM pg_trigger t WHERE t.tgrelid = c.objid AND t.tgname = 'append_only' AND t.tgenabled IN ('O', 'A'))), false)
			INTO touched, unsealed
			FROM pg_event_trigger_ddl_commands() AS c
			CROSS JOIN LATERAL pg_identify_object_as_address(c.classid, c.objid, c.objsubid) AS a
			WHERE c.schema_name = 'flytrail' OR a.object_names[1] = 'flytrail'
				-- One that was moved out of the schema.
				OR (c.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_trigger t JOIN pg_proc f ON f.oid = t.tgfoid
					WHERE t.tgrelid = c.objid AND f.pronamespace = to_regnamespace('flytrail')));
		END IF;
		IF touched IS NULL THEN
			RETURN;
		END IF;
		IF unsealed OR NOT flytrail_ddl.is_partitions_coming_or_going(stack, touched) THEN
			INSERT INTO flytrail_ddl.commands (tag, objects) VALUES (TG_TAG, touched);
			-- What is new has rights, too, which are not the next GRANT's.
			PERFORM flytrail_ddl.changed_rights();
		END IF;
	EXCEPTION
	-- Whoever goes so deep that a command has room and its note has none.
	WHEN insufficient_resources OR program_limit_exceeded THEN
		RAISE;
	-- Whatever else goes wrong here must not stop the command: the hourly look remains.
	WHEN OTHERS THEN
		RAISE WARNING 'flytrail could not note a command: %', SQLERRM;
	END
	$$;
	COMMENT ON FUNCTION flytrail_ddl.note() IS 'the event triggers'': writes down a command that changed the schema flytrail';
	REVOKE ALL ON ALL FUNCTIONS IN SCHEMA flytrail_ddl FROM PUBLIC;

	PERFORM flytrail_ddl.changed_rights();
	-- ALWAYS: also for who sets session_replication_role, as the triggers of tables do not.
	IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'flytrail_command') THEN
		CREATE EVENT TRIGGER flytrail_command ON ddl_command_end EXECUTE FUNCTION flytrail_ddl.note();
		ALTER EVENT TRIGGER flytrail_command ENABLE ALWAYS;
	END IF;
	IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'flytrail_drop') THEN
		CREATE EVENT TRIGGER flytrail_drop ON sql_drop EXECUTE FUNCTION flytrail_ddl.note();
		ALTER EVENT TRIGGER flytrail_drop ENABLE ALWAYS;
	END IF;
EXCEPTION WHEN insufficient_privilege THEN
	NULL; -- as most managed servers answer
END
$watch$;

SELECT set_config('role', current_setting('flytrail.owner_role'), true);
SELECT flytrail.schema_migrated();
