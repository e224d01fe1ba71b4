-- oldest: 3
-- A text that is no time where the views read one must not stop them: no statement takes it out of the
-- trail again. It is one that Fly has not told, or that the writer's password forged.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- A pattern that lets through only what is a time takes ten times as long.
CREATE FUNCTION flytrail.as_time(value text) RETURNS timestamptz
	LANGUAGE plpgsql STABLE AS $$
DECLARE
	-- What flytrail can have written. Of what is without end nobody can subtract.
	first CONSTANT pg_catalog.timestamptz := '1678-01-01 00:00Z';
	last CONSTANT pg_catalog.timestamptz := '2262-01-01 00:00Z';
	at pg_catalog.timestamptz;
BEGIN
	at := value::pg_catalog.timestamptz;
	RETURN CASE WHEN at BETWEEN first AND last THEN at END;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION flytrail.as_time(text) IS 'the time, or null where the text is none, or one without end';

-- Views are read and written as Postgres shows them.
DO $$
DECLARE
	-- ((e.attributes ->> 'gap_end'::text))::timestamp with time zone
	read_as_time CONSTANT text := '\((\(\w+\.\w+ (?:->>|#>>) ''[^'']+''::text(?:\[\])?\))\)::timestamp with time zone';
	asking record;
BEGIN
	FOR asking IN
		SELECT c.oid::regclass AS view, pg_get_viewdef(c.oid) AS text FROM pg_class c
		WHERE c.relnamespace = 'flytrail'::regnamespace AND c.relkind = 'v' ORDER BY c.oid
	LOOP
		IF asking.text ~ read_as_time THEN
			EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', asking.view,
				regexp_replace(asking.text, read_as_time, 'flytrail.as_time\1', 'g'));
		END IF;
	END LOOP;
END
$$;
