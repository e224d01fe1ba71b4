-- oldest: 3
-- What stays that went, and what is named that was not.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- A partition that somebody began to detach CONCURRENTLY, and did not end, is in no view and no plan: it is
-- named with what was detached by hand. Its confirmations stay, too, as drop_lone_confirmations() asks this.
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

-- A gap is told in several facts. Where its beginning stayed and its end went it would be open again, and then
-- lost, though it was filled: so the later ones stay as long as the first, and whatever holds that holds them.
CREATE FUNCTION flytrail.gaps_from_before(target regclass, first_at timestamptz)
	RETURNS TABLE (gap_id text, partition regclass, began_first_at timestamptz, began_end_at timestamptz)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT DISTINCT ON (p.first_at) left(o.correlation_id, 64), p.partition, p.first_at, p.end_at
		FROM %s AS t
		JOIN flytrail.events o ON o.correlation_id = t.correlation_id AND o.retention_class = ''security''
			AND o.class = ''trail'' AND o.action = ''trail.gap_opened'' AND o.occurred_at < $1
		JOIN flytrail.partitions(''security'') AS p ON p.partition = o.tableoid
		WHERE t.class = ''trail'' AND t.action IN (''trail.gap_progress'', ''trail.gap_closed'')
		ORDER BY p.first_at, o.occurred_at', target) USING first_at;
END
$$;
COMMENT ON FUNCTION flytrail.gaps_from_before(regclass, timestamptz) IS
	'of a partition of security events: the partitions before it in which gaps began of which it says what became of them, with one such gap each';
REVOKE ALL ON FUNCTION flytrail.gaps_from_before(regclass, timestamptz) FROM PUBLIC;

CREATE OR REPLACE FUNCTION flytrail.retention_verdict(kind text, target regclass, first_at timestamptz, end_at timestamptz,
	gap_times tstzmultirange, gap_ids text[], gap_ranges tstzrange[], OUT goes boolean, OUT is_past_keep_at_most boolean, OUT why text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	now CONSTANT timestamptz := flytrail.retention_now();
	term flytrail.retention;
	hold flytrail.open_holds;
	gap text;
	begun_ids text[];
	begun regclass[];
	begun_first timestamptz[];
	begun_end timestamptz[];
BEGIN
	goes := false;
	is_past_keep_at_most := false;
	SELECT r.* INTO term FROM flytrail.retention r WHERE r.kind = retention_verdict.kind;
	IF NOT FOUND THEN
		why := 'kept for ever: no term is set';
		RETURN;
	END IF;
	IF end_at > now - term.keep_for_days * interval '1 day' THEN
		why := 'kept until ' || to_char(end_at + term.keep_for_days * interval '1 day', 'YYYY-MM-DD');
		RETURN;
	END IF;
	is_past_keep_at_most := coalesce(first_at < now - term.keep_at_most_days * interval '1 day', false);
	IF kind = 'security' THEN
		SELECT array_agg(b.gap_id), array_agg(b.partition), array_agg(b.began_first_at), array_agg(b.began_end_at)
		INTO begun_ids, begun, begun_first, begun_end
		FROM flytrail.gaps_from_before(target, first_at) AS b;
	END IF;
	FOR hold IN SELECT h.* FROM flytrail.open_holds h ORDER BY h.added_at, h.hold_id LOOP
		IF flytrail.hold_touches(hold, kind, target, first_at, end_at) THEN
			why := format('hold %s: %s', hold.hold_id, hold.reason);
			RETURN;
		END IF;
		SELECT b.gap_id INTO gap FROM unnest(begun_ids, begun, begun_first, begun_end) AS b (gap_id, partition, first_at, end_at)
		WHERE flytrail.hold_touches(hold, kind, b.partition, b.first_at, b.end_at) LIMIT 1;
		IF FOUND THEN
			why := format('hold %s, which keeps the beginning of gap %s: %s', hold.hold_id, gap, hold.reason);
			RETURN;
		END IF;
	END LOOP;
	IF is_past_keep_at_most THEN
		goes := true;
		why := 'past keep_at_most';
		RETURN;
	END IF;
	goes := NOT gap_times && tstzrange(first_at, end_at);
	why := 'past keep_for';
	IF NOT goes THEN
		SELECT g.id INTO gap FROM unnest(gap_ids, gap_ranges) AS g (id, times)
		WHERE g.times && tstzrange(first_at, end_at) LIMIT 1;
		why := 'a gap in it is open: ' || coalesce(gap, 'one of many');
	ELSIF begun_ids IS NOT NULL THEN
		goes := false;
		why := format('a gap of which it says what became of it began in %s: %s', (SELECT c.relname FROM pg_class c WHERE c.oid = begun[1]),
			begun_ids[1]);
	END IF;
END
$$;
