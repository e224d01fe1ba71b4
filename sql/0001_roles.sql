-- oldest: 1
-- The roles, the schema, and the record of migrations.
--
-- `flytrail migrate` sets flytrail.owner_role, .writer_role, .reader_role and .line_reader_role
-- for the transaction. A role that exists is used as it is; one that does not is made, where the
-- server allows that, without a password: give it one with ALTER ROLE before it is used.

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

-- Who migrates must be able to act as the owner.
DO $$
DECLARE
	owner_role CONSTANT name := current_setting('flytrail.owner_role');
	before CONSTANT text := current_setting('role');
BEGIN
	BEGIN
		PERFORM set_config('role', owner_role, true);
	EXCEPTION WHEN insufficient_privilege THEN
		EXECUTE format('GRANT %I TO CURRENT_USER', owner_role);
		PERFORM set_config('role', owner_role, true);
	END;
	PERFORM set_config('role', before, true);
	EXECUTE format('CREATE SCHEMA IF NOT EXISTS flytrail AUTHORIZATION %I', owner_role);
	-- The writer's staging tables are temporary ones.
	IF NOT has_database_privilege(current_setting('flytrail.writer_role'), current_database(), 'TEMPORARY') THEN
		EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(),
			current_setting('flytrail.writer_role'));
	END IF;
END
$$;

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

COMMENT ON SCHEMA flytrail IS
	'flytrail: the audit trail of a Fly.io organisation. Ask the views; \d+ VIEW explains its columns.';

CREATE TABLE flytrail.schema_version (
	version integer PRIMARY KEY,
	name text NOT NULL,
	oldest_binary integer NOT NULL CHECK (oldest_binary <= version),
	sha256 text NOT NULL,
	applied_at timestamptz NOT NULL DEFAULT now(),
	applied_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE flytrail.schema_version IS 'the migrations that `flytrail migrate` has applied';
COMMENT ON COLUMN flytrail.schema_version.version IS 'the number of the file in sql/';
COMMENT ON COLUMN flytrail.schema_version.name IS 'the file''s name, without number and ending';
COMMENT ON COLUMN flytrail.schema_version.oldest_binary IS 'the number of the newest migration that a binary must know at least, to live with this one';
COMMENT ON COLUMN flytrail.schema_version.sha256 IS 'of the file, as it was applied';
COMMENT ON COLUMN flytrail.schema_version.applied_at IS 'when the migration''s transaction began';
COMMENT ON COLUMN flytrail.schema_version.applied_by IS 'the role that connected to apply it';

DO $$
DECLARE
	setting text;
BEGIN
	FOREACH setting IN ARRAY ARRAY['writer_role', 'reader_role', 'line_reader_role'] LOOP
		EXECUTE format('GRANT USAGE ON SCHEMA flytrail TO %I', current_setting('flytrail.' || setting));
	END LOOP;
	EXECUTE format('GRANT SELECT ON flytrail.schema_version TO %I', current_setting('flytrail.writer_role'));
END
$$;
