-- oldest: 3
-- A partition that somebody began to detach CONCURRENTLY, and did not end, is in no view and no plan: it is
-- named with what was detached by hand. Its confirmations stay, too, as drop_lone_confirmations() asks this.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

CREATE OR REPLACE FUNCTION flytrail.retention_strays() RETURNS SETOF text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.relname::text
	FROM pg_class c
	WHERE c.relnamespace = 'flytrail'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		AND c.relname ~ '^(log_lines_[0-9]{8}(_week)?|(events_security|events_operations|confirmations)_[0-9]{6})(_[0-9]+)?(_leaving)?$'
		AND NOT EXISTS (SELECT FROM flytrail.leaving l WHERE l.leaving = c.relname)
	UNION ALL
	SELECT c.relname::text
	FROM unnest(ARRAY['log_lines', 'security', 'operations']) AS k (kind)
	CROSS JOIN LATERAL flytrail.partitions(k.kind) AS p
	JOIN pg_class c ON c.oid = p.partition
	WHERE NOT (isfinite(p.first_at) AND isfinite(p.end_at))
	UNION ALL
	SELECT c.relname::text
	FROM unnest(ARRAY['log_lines', 'security', 'operations', 'confirmations']) AS k (kind)
	JOIN pg_inherits i ON i.inhparent = to_regclass('flytrail.' || flytrail.parent_name(k.kind)) AND i.inhdetachpending
	JOIN pg_class c ON c.oid = i.inhrelid
	ORDER BY 1
$$;
COMMENT ON FUNCTION flytrail.retention_strays() IS
	'what retention leaves alone: tables that are named as a partition and are none, because somebody detached them by hand, also where that was begun and not ended, and partitions without two times as their bounds';
