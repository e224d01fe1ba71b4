-- The roles that are named exist, and who migrates can act as the owner. Every `flytrail migrate`
-- runs this before the migrations, so that it has to be harmless where all is well.
--
-- flytrail.owner_role, .writer_role, .reader_role and .line_reader_role are set for the transaction.
-- A role that is made has no password: give it one before it is used.

DO $$
DECLARE
	setting text;
	wanted name;
BEGIN
	FOREACH setting IN ARRAY ARRAY['owner_role', 'writer_role', 'reader_role', 'line_reader_role'] LOOP
		wanted := current_setting('flytrail.' || setting);
		CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted);
		BEGIN
			EXECUTE format('CREATE ROLE %I %s', wanted,
				CASE setting WHEN 'owner_role' THEN 'NOLOGIN' ELSE 'LOGIN' END);
		EXCEPTION
			-- Roles belong to the whole server: another database's migration may be quicker.
			WHEN duplicate_object OR unique_violation THEN NULL;
			WHEN insufficient_privilege THEN
				RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format(
					'role %I does not exist and %I may not make it: make it, or name an existing one in %s',
					wanted, current_user, 'FLYTRAIL_' || upper(setting));
		END;
	END LOOP;
END
$$;

DO $$
DECLARE
	owner_role CONSTANT name := current_setting('flytrail.owner_role');
	before CONSTANT text := current_setting('role');
	schema_owner CONSTANT name := (SELECT pg_catalog.pg_get_userbyid(nspowner)
		FROM pg_catalog.pg_namespace WHERE nspname = 'flytrail');
BEGIN
	IF schema_owner <> owner_role THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format(
			'schema flytrail belongs to role %I, not to %I: name %I in FLYTRAIL_OWNER_ROLE',
			schema_owner, owner_role, schema_owner);
	END IF;
	BEGIN
		PERFORM set_config('role', owner_role, true);
	EXCEPTION WHEN insufficient_privilege THEN
		BEGIN
			EXECUTE format('GRANT %I TO CURRENT_USER', owner_role);
			PERFORM set_config('role', owner_role, true);
		EXCEPTION WHEN insufficient_privilege THEN
			-- One who runs with the trail must not be made its owner.
			IF current_user IN (current_setting('flytrail.writer_role'), current_setting('flytrail.reader_role'),
				current_setting('flytrail.line_reader_role')) THEN
				RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format(
					'%I is one of the roles that use the trail: let FLYTRAIL_ADMIN_DATABASE_URL name one that may act as %I',
					current_user, owner_role);
			END IF;
			RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format(
				'role %I exists and %I may not act as it: let a superuser GRANT %I TO %I, or name another one in FLYTRAIL_OWNER_ROLE',
				owner_role, current_user, owner_role, current_user);
		END;
	END;
	PERFORM set_config('role', before, true);
END
$$;
