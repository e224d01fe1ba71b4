-- What each role may do. Every `flytrail migrate` runs this after the migrations, so that roles
-- that are named later get what those had that were named first. It takes nothing away: a role
-- that is named no more keeps its rights until somebody revokes them.
--
-- The settings are those of roles.sql.

-- The writer's staging tables are temporary ones.
DO $$
DECLARE
	writer_role CONSTANT name := current_setting('flytrail.writer_role');
BEGIN
	IF NOT has_database_privilege(writer_role, current_database(), 'TEMPORARY') THEN
		EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), writer_role);
	END IF;
END
$$;

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- The writer adds to the trail and reads it; it changes only what is about itself. People's roles
-- see views alone.
DO $$
DECLARE
	writer_role CONSTANT name := current_setting('flytrail.writer_role');
	reader_role CONSTANT name := current_setting('flytrail.reader_role');
	line_reader_role CONSTANT name := current_setting('flytrail.line_reader_role');
BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA flytrail TO %I, %I, %I', writer_role, reader_role, line_reader_role);
	EXECUTE format('GRANT SELECT ON flytrail.schema_version, flytrail.actor_aliases, flytrail.retention TO %I',
		writer_role);
	EXECUTE format('GRANT SELECT, INSERT ON flytrail.log_lines, flytrail.events, flytrail.events_security,
		flytrail.events_operations, flytrail.confirmations TO %I', writer_role);
	EXECUTE format('GRANT SELECT, INSERT, UPDATE ON flytrail.streams, flytrail.leases, flytrail.snapshots TO %I',
		writer_role);
	EXECUTE format('GRANT SELECT, INSERT, UPDATE ON flytrail.fact_takers TO %I', writer_role);
	EXECUTE format('GRANT SELECT, INSERT, DELETE ON flytrail.facts_taken TO %I', writer_role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION flytrail.ensure_partition(text, timestamptz),
		flytrail.make_partitions_ahead() TO %I', writer_role);
	-- Who applies retention: the functions see for themselves that what goes may go. Terms and holds are the owner's.
	EXECUTE format('GRANT EXECUTE ON FUNCTION flytrail.retention_detach(text), flytrail.retention_digest(text),
		flytrail.digest_query(text), flytrail.digest_of_ids(regclass), flytrail.retention_drop(text, jsonb, boolean),
		flytrail.retention_attach(text), flytrail.retention_tidy() TO %I', writer_role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION flytrail.retention_now(), flytrail.partitions(text), flytrail.retention_plan(),
		flytrail.retention_clock(), flytrail.retention_strays(), flytrail.retention_leftovers() TO %I, %I, %I',
		writer_role, reader_role, line_reader_role);
	EXECUTE format('GRANT SELECT ON flytrail.open_holds TO %I, %I, %I', writer_role, reader_role, line_reader_role);
	-- Who holds the archive lets go of what was held for those that are released.
	EXECUTE format('GRANT SELECT ON flytrail.holds, flytrail.hold_releases TO %I', writer_role);
	EXECUTE format('GRANT SELECT ON flytrail.ssh_sessions, flytrail.deploys, flytrail.secret_changes,
		flytrail.access_changes, flytrail.timeline, flytrail.gaps, flytrail.machine_starts, flytrail.restarts,
		flytrail.exits, flytrail.listening, flytrail.coverage, flytrail.ssh_certificates, flytrail.releases,
		flytrail.machine_deploys, flytrail.machine_updates TO %I, %I', reader_role, line_reader_role);
	-- What is recovered, and `flytrail coverage`, go by these.
	EXECUTE format('GRANT SELECT ON flytrail.gaps, flytrail.listening, flytrail.coverage, flytrail.timeline TO %I', writer_role);
	EXECUTE format('GRANT SELECT ON flytrail.inventory, flytrail.watched TO %I, %I, %I', writer_role, reader_role,
		line_reader_role);
	EXECUTE format('GRANT SELECT ON flytrail.lines TO %I', line_reader_role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION flytrail.check_schema() TO %I', writer_role);
	EXECUTE format('GRANT EXECUTE ON FUNCTION flytrail.schema_fingerprint(),
		flytrail.record_review(timestamptz, timestamptz, text, text) TO %I, %I', reader_role, line_reader_role);
	EXECUTE format('GRANT SELECT ON flytrail.reviews_due TO %I, %I, %I', writer_role, reader_role, line_reader_role);
END
$$;

-- Partitions have what their parents have, as those that ensure_partition() makes from now on.
DO $$
DECLARE
	missing record;
BEGIN
	FOR missing IN
		SELECT child.oid::regclass AS child, a.privilege_type, r.rolname
		FROM unnest(ARRAY['flytrail.log_lines', 'flytrail.events_security', 'flytrail.events_operations',
			'flytrail.confirmations']::regclass[]) AS top
		JOIN pg_inherits i ON i.inhparent = top
		JOIN pg_class child ON child.oid = i.inhrelid
		JOIN pg_class parent ON parent.oid = top
		CROSS JOIN LATERAL aclexplode(parent.relacl) AS a
		JOIN pg_roles r ON r.oid = a.grantee AND a.grantee <> parent.relowner
		WHERE NOT EXISTS (SELECT FROM aclexplode(child.relacl) AS has
			WHERE has.grantee = a.grantee AND has.privilege_type = a.privilege_type)
	LOOP
		EXECUTE format('GRANT %s ON %s TO %I', missing.privilege_type, missing.child, missing.rolname);
	END LOOP;
END
$$;
