-- oldest: 3
-- Which partitions go, and how.
--
-- One goes in two transactions, so that nobody waits while its rows are read: retention_detach() takes it
-- out of the trail, retention_drop() drops it with a fact that says what went, or retention_attach() puts
-- it back. In between it is a row of flytrail.leaving.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- --- what goes ---

CREATE FUNCTION flytrail.rows_about(target regclass) RETURNS bigint
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	countable_bytes CONSTANT bigint := 8 * 1024 * 1024; -- counted in some milliseconds
	bytes_a_row CONSTANT bigint := 300; -- a line of ordinary length
	bytes CONSTANT bigint := coalesce(pg_relation_size(target), 0);
	known record;
	counted bigint;
BEGIN
	SELECT c.reltuples, c.relpages INTO known FROM pg_class c WHERE c.oid = target;
	IF bytes = 0 THEN
		RETURN 0;
	ELSIF known.reltuples >= 0 AND known.relpages > 0 THEN
		RETURN known.reltuples * (bytes / current_setting('block_size')::bigint) / known.relpages;
	ELSIF bytes > countable_bytes THEN
		RETURN bytes / bytes_a_row;
	END IF;
	EXECUTE format('SELECT count(*) FROM %s', target) INTO counted;
	RETURN counted;
END
$$;
COMMENT ON FUNCTION flytrail.rows_about(regclass) IS
	'about how many rows a table has: as its last ANALYZE or VACUUM found, grown as its file has; counted where there was none and it has 8 MiB at most, else a row for each 300 bytes';

-- What is out of the trail for the moment is of it all the same.
CREATE FUNCTION flytrail.has_event_of(actor text, first_at timestamptz, end_at timestamptz) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	leaving regclass;
	has boolean;
BEGIN
	IF EXISTS (SELECT FROM flytrail.events e WHERE e.actor = has_event_of.actor
			AND e.occurred_at >= has_event_of.first_at AND e.occurred_at < has_event_of.end_at) THEN
		RETURN true;
	END IF;
	FOR leaving IN
		SELECT c.oid FROM flytrail.leaving l
		JOIN pg_class c ON c.relname = l.leaving AND c.relnamespace = 'flytrail'::regnamespace AND NOT c.relispartition
		WHERE l.kind <> 'log_lines' AND l.first_at < has_event_of.end_at AND l.end_at > has_event_of.first_at
	LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM %s AS e WHERE e.actor = $1 AND e.occurred_at >= $2 AND e.occurred_at < $3)',
			leaving) INTO has USING actor, first_at, end_at;
		IF has THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END
$$;
COMMENT ON FUNCTION flytrail.has_event_of(text, timestamptz, timestamptz) IS
	'whether an actor has an event in a time, be it in the trail or in a partition that was taken out';

CREATE FUNCTION flytrail.hold_touches(hold flytrail.open_holds, kind text, target regclass, first_at timestamptz,
	end_at timestamptz) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	touches boolean;
BEGIN
	IF hold.since_at >= end_at OR hold.until_at <= first_at THEN
		RETURN false;
	END IF;
	-- Lines have no actor: who is held has an event in the same time.
	IF kind = 'log_lines' AND hold.actor IS NOT NULL AND NOT flytrail.has_event_of(hold.actor, first_at, end_at) THEN
		RETURN false;
	END IF;
	EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE true %s %s %s %s %s)', target,
		CASE WHEN hold.app IS NOT NULL THEN 'AND t.app = $1' END,
		CASE WHEN hold.actor IS NOT NULL AND kind <> 'log_lines' THEN 'AND t.actor = $2' END,
		CASE WHEN hold.class IS NOT NULL THEN 'AND t.class = $3' END,
		CASE WHEN hold.since_at IS NOT NULL THEN 'AND t.occurred_at >= $4' END,
		CASE WHEN hold.until_at IS NOT NULL THEN 'AND t.occurred_at < $5' END)
	INTO touches USING hold.app, hold.actor, hold.class, hold.since_at, hold.until_at;
	RETURN touches;
END
$$;
COMMENT ON FUNCTION flytrail.hold_touches(flytrail.open_holds, text, regclass, timestamptz, timestamptz) IS
	'whether a hold is on any row of a partition; an actor''s is on lines where an event of that actor is between the partition''s bounds';

-- Whether any is open in a time, all of them tell together: looked at one by one for each partition, the many
-- of a bad year would take long. Those that have been open for longest are named.
CREATE FUNCTION flytrail.open_gaps(OUT times tstzmultirange, OUT ids text[], OUT ranges tstzrange[])
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce(range_agg(g.range), '{}'), coalesce(array_agg(g.id ORDER BY g.number) FILTER (WHERE g.number <= 100), '{}'),
		coalesce(array_agg(g.range ORDER BY g.number) FILTER (WHERE g.number <= 100), '{}')
	FROM (
		SELECT left(coalesce(o.gap_id, 'without a name'), 64) AS id,
			tstzrange(o.gap_start, CASE WHEN o.gap_end IS NOT NULL THEN greatest(o.gap_start, o.gap_end) END, '[]') AS range,
			row_number() OVER (ORDER BY o.gap_start, o.gap_id) AS number
		FROM flytrail.gaps o WHERE o.state = 'open'
	) AS g
$$;
COMMENT ON FUNCTION flytrail.open_gaps() IS 'the times in which gaps are open, and the first 100 of the gaps';

CREATE FUNCTION flytrail.retention_verdict(kind text, target regclass, first_at timestamptz, end_at timestamptz,
	gap_times tstzmultirange, gap_ids text[], gap_ranges tstzrange[], OUT goes boolean, OUT is_past_keep_at_most boolean, OUT why text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	now CONSTANT timestamptz := flytrail.retention_now();
	term flytrail.retention;
	hold flytrail.open_holds;
	gap text;
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
	FOR hold IN SELECT h.* FROM flytrail.open_holds h ORDER BY h.added_at, h.hold_id LOOP
		IF flytrail.hold_touches(hold, kind, target, first_at, end_at) THEN
			why := format('hold %s: %s', hold.hold_id, hold.reason);
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
	END IF;
END
$$;
COMMENT ON FUNCTION flytrail.retention_verdict(text, regclass, timestamptz, timestamptz, tstzmultirange, text[], tstzrange[]) IS
	'whether a partition goes now, and why or why not; for retention_plan() and for who acts by it';

CREATE FUNCTION flytrail.retention_plan() RETURNS TABLE (kind text, partition name, first_at timestamptz,
	end_at timestamptz, rows_about bigint, bytes bigint, goes boolean, is_past_keep_at_most boolean, why text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	gap record := flytrail.open_gaps();
BEGIN
	RETURN QUERY
	SELECT k.kind, c.relname, p.first_at, p.end_at, flytrail.rows_about(c.oid), coalesce(pg_total_relation_size(c.oid), 0),
		v.goes, v.is_past_keep_at_most, v.why
	FROM unnest(ARRAY['log_lines', 'security', 'operations']) WITH ORDINALITY AS k (kind, number)
	CROSS JOIN LATERAL flytrail.partitions(k.kind) AS p
	JOIN pg_class c ON c.oid = p.partition
	CROSS JOIN LATERAL flytrail.retention_verdict(k.kind, p.partition, p.first_at, p.end_at, gap.times, gap.ids, gap.ranges) AS v
	WHERE isfinite(p.first_at) AND isfinite(p.end_at)
	ORDER BY k.number, p.first_at;
END
$$;
COMMENT ON FUNCTION flytrail.retention_plan() IS
	'every partition of lines and events: whether it goes when retention is applied now, and why or why not. It changes nothing';

-- --- how it goes ---

CREATE FUNCTION flytrail.retention_clock() RETURNS text
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	now CONSTANT timestamptz := flytrail.retention_now();
	newest timestamptz;
BEGIN
	-- What was done in Postgres itself goes by this very clock.
	SELECT e.observed_at INTO newest FROM flytrail.events e
	WHERE e.retention_class = 'security' AND e.class = 'trail' AND e.seq > 0
	ORDER BY e.occurred_at DESC LIMIT 1;
	IF newest BETWEEN now - interval '1 day' AND now + interval '1 day' OR newest IS NULL THEN
		RETURN NULL;
	END IF;
	RETURN format('the clock says %s and the newest record of the trail %s: they are more than a day apart, so nothing goes',
		to_char(now, 'YYYY-MM-DD HH24:MI'), to_char(newest, 'YYYY-MM-DD HH24:MI'));
END
$$;
COMMENT ON FUNCTION flytrail.retention_clock() IS
	'why retention does not act: the clock and the newest fact that came by a spool are more than a day apart; null: they are not';

CREATE FUNCTION flytrail.retention_guard(is_to_go boolean) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key CONSTANT bigint := hashtextextended('flytrail.retention', 0);
	clock text;
BEGIN
	PERFORM flytrail.see_all_or_refuse();
	IF NOT EXISTS (SELECT FROM pg_locks l
		WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid() AND l.granted AND l.mode = 'ExclusiveLock'
			AND l.classid::bigint = (key >> 32 & 4294967295) AND l.objid::bigint = (key & 4294967295) AND l.objsubid = 1) THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = 'this session does not hold the advisory lock flytrail.retention';
	END IF;
	clock := CASE WHEN is_to_go THEN flytrail.retention_clock() END;
	IF clock IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = clock;
	END IF;
END
$$;
COMMENT ON FUNCTION flytrail.retention_guard(boolean) IS 'refuses what has not the lock of retention, or the clock of the trail; for the functions that take partitions out and put them back';

CREATE FUNCTION flytrail.leaving_or_refuse(leaving text) RETURNS flytrail.leaving
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	target flytrail.leaving;
BEGIN
	SELECT l.* INTO target FROM flytrail.leaving l
	JOIN pg_class c ON c.relname = l.leaving AND c.relnamespace = 'flytrail'::regnamespace AND NOT c.relispartition
	WHERE l.leaving = leaving_or_refuse.leaving;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002',
			MESSAGE = format('there is no table %s on its way out', coalesce(left(leaving_or_refuse.leaving, 63), 'without a name'));
	END IF;
	RETURN target;
END
$$;
COMMENT ON FUNCTION flytrail.leaving_or_refuse(text) IS 'what is known of a partition that was taken out';

-- The verdict comes before the lock, because it may read all of the partition, and whoever writes waits for
-- the lock. What changes in between retention_drop() sees.
CREATE FUNCTION flytrail.retention_detach(partition text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '1500ms' AS $$
DECLARE
	gap record;
	target record;
	verdict record;
	out_name CONSTANT name := left(partition, 55) || '_leaving';
BEGIN
	PERFORM flytrail.retention_guard(true);
	SELECT k.kind, c.oid::regclass AS id, p.first_at, p.end_at INTO target
	FROM unnest(ARRAY['log_lines', 'security', 'operations']) AS k (kind)
	CROSS JOIN LATERAL flytrail.partitions(k.kind) AS p
	JOIN pg_class c ON c.oid = p.partition
	WHERE c.relname = retention_detach.partition AND isfinite(p.first_at) AND isfinite(p.end_at);
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002',
			MESSAGE = format('there is no partition %s', coalesce(left(retention_detach.partition, 63), 'without a name'));
	END IF;
	gap := flytrail.open_gaps();
	verdict := flytrail.retention_verdict(target.kind, target.id, target.first_at, target.end_at, gap.times, gap.ids, gap.ranges);
	IF NOT verdict.goes THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = format('%s stays: %s', retention_detach.partition, verdict.why);
	END IF;
	IF EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'flytrail'::regnamespace AND c.relname = out_name) THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = format('%s is still there: it has to be put back first', out_name);
	END IF;
	-- Who reads the parent keeps its partitions locked, so that with the first lock the second is there, but
	-- for VACUUM and for who names the partition itself. Together that is 2 seconds in which others wait.
	EXECUTE format('LOCK TABLE ONLY flytrail.%I IN ACCESS EXCLUSIVE MODE', flytrail.parent_name(target.kind));
	PERFORM set_config('lock_timeout', '500ms', true);
	EXECUTE format('ALTER TABLE flytrail.%I DETACH PARTITION flytrail.%I', flytrail.parent_name(target.kind), retention_detach.partition);
	-- Whoever names the table could still add to it: what does not belong there, or takes the place of a row
	-- that comes late when both are put together again. Not valid, it is for new rows alone.
	EXECUTE format('ALTER TABLE flytrail.%I ADD %s NOT VALID, ADD CONSTRAINT closed CHECK (false) NOT VALID', retention_detach.partition,
		flytrail.bounds_check(target.kind, target.first_at, target.end_at));
	EXECUTE format('ALTER TABLE flytrail.%I RENAME TO %I', retention_detach.partition, out_name);
	DELETE FROM flytrail.leaving l WHERE l.leaving = out_name; -- one that the owner dropped by hand
	INSERT INTO flytrail.leaving (leaving, kind, partition, first_at, end_at, detached_at, detached_by)
	VALUES (out_name, target.kind, retention_detach.partition, target.first_at, target.end_at, clock_timestamp(), session_user);
	RETURN out_name;
END
$$;
COMMENT ON FUNCTION flytrail.retention_detach(text) IS
	'takes a partition that goes out of the trail, and says the name that it has now. SQLSTATE FT002: it does not go, and why; 55P03: it was in use, so try again. Others wait for 2 seconds at most';

CREATE FUNCTION flytrail.digest_query(source text) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('SELECT coalesce(sum(part.rows), 0)::bigint AS rows,
			encode(sha256(coalesce(string_agg(part.digest, '''' ORDER BY part.number), '''')), ''hex'') AS digest
		FROM (
			SELECT i.number, count(*) AS rows, sha256(string_agg(uuid_send(i.id), '''' ORDER BY i.id)) AS digest
			FROM (SELECT s.id, (row_number() OVER (ORDER BY s.id) - 1) / 65536 AS number FROM (%s) AS s) AS i
			GROUP BY i.number
		) AS part', source)
$$;
COMMENT ON FUNCTION flytrail.digest_query(text) IS 'the query that counts the ids of a query and makes their digest, in one text for all who ask it';

CREATE FUNCTION flytrail.digest_of_ids(ids regclass) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' AS $$
DECLARE
	made record;
BEGIN
	EXECUTE flytrail.digest_query(format('SELECT id FROM %s', ids)) INTO made;
	RETURN made.digest;
END
$$;
COMMENT ON FUNCTION flytrail.digest_of_ids(regclass) IS
	'of a table with a column id of uuids, with the rights of the caller: the SHA-256 in hexadecimal over the SHA-256 of each 65,536 ids, which are sorted and 16 bytes each, so that no value is greater than a megabyte';

CREATE FUNCTION flytrail.retention_digest(leaving text) RETURNS TABLE (rows bigint, bytes bigint, digest text, apart bigint)
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' AS $$
DECLARE
	target CONSTANT flytrail.leaving := flytrail.leaving_or_refuse(leaving);
	id CONSTANT regclass := format('flytrail.%I', target.leaving)::regclass;
BEGIN
	EXECUTE flytrail.digest_query(format('SELECT %I AS id FROM %s WHERE seq > 0',
		CASE target.kind WHEN 'log_lines' THEN 'id' ELSE 'event_id' END, id)) INTO rows, digest;
	EXECUTE format('SELECT count(*) FROM %s WHERE seq <= 0', id) INTO apart;
	bytes := pg_total_relation_size(id);
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION flytrail.retention_digest(text) IS
	'of a partition that was taken out: how many rows came by a spool, and the digest of their ids as digest_of_ids() makes it; what its files have in bytes; how many further rows came by no spool, such as facts of commands';

-- A name that is like a partition's, on a table that is none and not on its way out; or bounds that are no times.
CREATE FUNCTION flytrail.retention_strays() RETURNS SETOF text
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
	ORDER BY 1
$$;
COMMENT ON FUNCTION flytrail.retention_strays() IS
	'what retention leaves alone: tables that are named as a partition and are none, because somebody detached them by hand, and partitions without two times as their bounds';

CREATE FUNCTION flytrail.retention_leftovers() RETURNS SETOF text
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT l.leaving FROM flytrail.leaving l
	JOIN pg_class c ON c.relname = l.leaving AND c.relnamespace = 'flytrail'::regnamespace AND NOT c.relispartition
	ORDER BY l.detached_at, 1
$$;
COMMENT ON FUNCTION flytrail.retention_leftovers() IS 'partitions that were taken out and neither dropped nor put back: somebody is at it, or was interrupted';

-- By the owner's hand an events table may be out of the trail that is wanted back; then they stay.
CREATE FUNCTION flytrail.drop_lone_confirmations() RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '1500ms' AS $$
DECLARE
	lone record;
	counted bigint;
	total bigint := 0;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('flytrail.partition', 0));
	IF EXISTS (SELECT FROM flytrail.retention_strays() AS s (name) WHERE s.name LIKE 'events%') THEN
		RETURN 0;
	END IF;
	FOR lone IN
		SELECT c.partition FROM flytrail.partitions('confirmations') c
		WHERE NOT EXISTS (
			SELECT FROM unnest(ARRAY['security', 'operations']) AS kind, flytrail.partitions(kind) AS p
			WHERE p.first_at < c.end_at AND p.end_at > c.first_at)
		AND NOT EXISTS (SELECT FROM flytrail.leaving l
			WHERE l.kind IN ('security', 'operations') AND l.first_at < c.end_at AND l.end_at > c.first_at)
	LOOP
		EXECUTE format('SELECT count(*) FROM %s', lone.partition) INTO counted;
		LOCK TABLE ONLY flytrail.confirmations IN ACCESS EXCLUSIVE MODE;
		PERFORM set_config('lock_timeout', '500ms', true);
		EXECUTE format('DROP TABLE %s', lone.partition);
		total := total + counted;
	END LOOP;
	RETURN total;
END
$$;
COMMENT ON FUNCTION flytrail.drop_lone_confirmations() IS 'drops the months of confirmations of which no events are there any more; says how many rows went';

CREATE FUNCTION flytrail.retention_drop(leaving text, archive jsonb, without_archive boolean) RETURNS uuid
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
	archive_bytes_max CONSTANT integer := 65536; -- 50 keys of an index, of 1,024 bytes each, have room
	gaps_max CONSTANT integer := 50;
	target flytrail.leaving;
	id regclass;
	made record;
	gap record;
	verdict record;
	term flytrail.retention;
	agrees boolean;
	apart_archived bigint;
	confirmations bigint := 0;
	open_in_it text[];
BEGIN
	PERFORM flytrail.retention_guard(true);
	target := flytrail.leaving_or_refuse(leaving);
	id := format('flytrail.%I', target.leaving)::regclass;
	IF archive IS NOT NULL AND (jsonb_typeof(archive) <> 'object' OR octet_length(archive::text) > archive_bytes_max) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('what is said of the archive is a JSON object of %s bytes at most', archive_bytes_max);
	END IF;
	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', id);
	SELECT d.* INTO made FROM flytrail.retention_digest(leaving) d;
	-- From here on nobody adds a hold or changes a term.
	LOCK TABLE flytrail.holds, flytrail.retention IN SHARE MODE;
	gap := flytrail.open_gaps();
	verdict := flytrail.retention_verdict(target.kind, id, target.first_at, target.end_at, gap.times, gap.ids, gap.ranges);
	IF NOT verdict.goes THEN
		RAISE EXCEPTION USING ERRCODE = 'FT002', MESSAGE = format('%s stays: %s', target.partition, verdict.why);
	END IF;
	agrees := archive ->> 'rows' IS NOT DISTINCT FROM made.rows::text
		AND archive ->> 'digest' IS NOT DISTINCT FROM made.digest;
	IF archive IS NOT NULL AND NOT agrees AND NOT coalesce(without_archive, false) AND NOT verdict.is_past_keep_at_most THEN
		RAISE EXCEPTION USING ERRCODE = 'FT003', MESSAGE = format(
			'%s stays: it has %s rows with the digest %s, and its archive %s with %s', target.partition, made.rows, made.digest,
			coalesce(left(archive ->> 'rows', 20), 'none'), coalesce(left(archive ->> 'digest', 64), 'none'));
	END IF;
	-- What came by no spool keeps nothing from going: where a sink was switched on in time, it has these, too.
	apart_archived := CASE WHEN jsonb_typeof(archive -> 'apart') = 'number'
		THEN least(made.apart, greatest((archive ->> 'apart')::numeric, 0)) ELSE 0 END;
	SELECT r.* INTO term FROM flytrail.retention r WHERE r.kind = target.kind;
	SELECT coalesce(array_agg(g.id), '{}') INTO open_in_it
	FROM (SELECT g.id FROM unnest(gap.ids, gap.ranges) AS g (id, times)
		WHERE g.times && tstzrange(target.first_at, target.end_at) LIMIT gaps_max) AS g;
	DELETE FROM flytrail.leaving l WHERE l.leaving = target.leaving;
	EXECUTE format('DROP TABLE %s', id);
	IF target.kind <> 'log_lines' THEN
		-- Where somebody reads them for long they go with a later month, or by retention_tidy().
		BEGIN
			confirmations := flytrail.drop_lone_confirmations();
		EXCEPTION WHEN lock_not_available THEN NULL;
		END;
	END IF;
	RETURN flytrail.tell('trail.partition_dropped', 4::smallint, target.partition, 'partition', target.partition,
		format('%s went with %s rows: %s', target.partition, made.rows + made.apart, verdict.why),
		jsonb_build_object('kind', target.kind, 'partition', target.partition, 'first_at', target.first_at, 'end_at', target.end_at,
			'rows', made.rows, 'bytes', made.bytes, 'digest', made.digest,
			'apart_archived', apart_archived, 'never_archived', made.apart - apart_archived,
			'confirmations', confirmations, 'keep_for_days', term.keep_for_days, 'keep_at_most_days', term.keep_at_most_days,
			'policy_changed_at', term.changed_at, 'policy_changed_by', term.changed_by, 'why', verdict.why,
			'archive', archive, 'archive_agrees', CASE WHEN archive IS NOT NULL THEN agrees END,
			'without_archive', coalesce(without_archive, false), 'open_gaps', open_in_it, 'detached_at', target.detached_at));
END
$$;
COMMENT ON FUNCTION flytrail.retention_drop(text, jsonb, boolean) IS
	'drops a partition that was taken out, with a fact that says what went and where its archive is; the fact''s id is returned. SQLSTATE FT002: it does not go any more, and why. FT003: its archive, of which the caller says {"rows", "digest", "apart", "objects", "index"}, has not all of it; past keep_at_most, or without_archive, that is only on record. archive null: there is none';

CREATE FUNCTION flytrail.retention_attach(leaving text) RETURNS text
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' SET lock_timeout = '2s' AS $$
DECLARE
	target flytrail.leaving;
	parent name;
	back name;
	fresh record;
BEGIN
	PERFORM flytrail.retention_guard(false);
	target := flytrail.leaving_or_refuse(leaving);
	parent := flytrail.parent_name(target.kind);
	EXECUTE format('ALTER TABLE flytrail.%I VALIDATE CONSTRAINT bounds', target.leaving);
	PERFORM pg_advisory_xact_lock(hashtextextended('flytrail.partition', 0));
	EXECUTE format('ALTER TABLE flytrail.%I DROP CONSTRAINT closed', target.leaving);
	FOR fresh IN
		SELECT p.partition, p.first_at, p.end_at FROM flytrail.partitions(target.kind) p
		WHERE p.first_at < target.end_at AND p.end_at > target.first_at
	LOOP
		IF fresh.first_at < target.first_at OR fresh.end_at > target.end_at THEN
			RAISE EXCEPTION USING ERRCODE = 'FT002',
				MESSAGE = format('%s cannot be put back: %s is for its time and more', target.leaving, fresh.partition);
		END IF;
		EXECUTE format('LOCK TABLE ONLY flytrail.%I IN ACCESS EXCLUSIVE MODE', parent);
		EXECUTE format('ALTER TABLE flytrail.%I DETACH PARTITION %s', parent, fresh.partition);
		EXECUTE format('INSERT INTO flytrail.%I SELECT * FROM %s ON CONFLICT DO NOTHING', target.leaving, fresh.partition);
		EXECUTE format('DROP TABLE %s', fresh.partition);
	END LOOP;
	back := flytrail.free_name(target.partition);
	EXECUTE format('ALTER TABLE flytrail.%I RENAME TO %I', target.leaving, back);
	EXECUTE format('ALTER TABLE flytrail.%I ATTACH PARTITION flytrail.%I FOR VALUES FROM (%L) TO (%L)',
		parent, back, target.first_at, target.end_at);
	EXECUTE format('ALTER TABLE flytrail.%I DROP CONSTRAINT bounds', back);
	DELETE FROM flytrail.leaving l WHERE l.leaving = target.leaving;
	RETURN back;
END
$$;
COMMENT ON FUNCTION flytrail.retention_attach(text) IS
	'puts a partition that was taken out back, with the rows that came since, and says its name. SQLSTATE 55P03: its parent was in use, so try again';

CREATE FUNCTION flytrail.retention_tidy() RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	-- Null while anything is kept for ever.
	keep_days CONSTANT integer := (SELECT max(r.keep_for_days) FROM flytrail.retention r HAVING count(*) = 3);
	snapshots bigint;
	confirmations bigint := 0;
BEGIN
	PERFORM flytrail.see_all_or_refuse();
	DELETE FROM flytrail.snapshots s
	WHERE isfinite(s.taken_at) AND s.taken_at < flytrail.retention_now() - keep_days * interval '1 day';
	GET DIAGNOSTICS snapshots = ROW_COUNT;
	BEGIN
		confirmations := flytrail.drop_lone_confirmations();
	EXCEPTION WHEN lock_not_available THEN NULL;
	END;
	IF snapshots + confirmations > 0 THEN
		PERFORM flytrail.tell('trail.partition_dropped', 3::smallint, NULL, 'retention', 'tidy',
			format('%s snapshots and %s confirmations went that nothing is kept of any more', snapshots, confirmations),
			jsonb_build_object('snapshots', snapshots, 'confirmations', confirmations, 'keep_for_days', keep_days));
	END IF;
	RETURN snapshots + confirmations;
END
$$;
COMMENT ON FUNCTION flytrail.retention_tidy() IS
	'deletes the snapshots that were not renewed for the longest keep_for, and confirmations without events, on record if there were any; says how many rows went';

DO $$
DECLARE
	made regprocedure;
BEGIN
	FOR made IN
		SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'flytrail'::regnamespace AND p.proname IN (
			'rows_about', 'has_event_of', 'hold_touches', 'open_gaps', 'retention_verdict', 'retention_plan',
			'retention_clock', 'retention_guard', 'leaving_or_refuse', 'retention_detach', 'digest_query',
			'digest_of_ids', 'retention_digest', 'retention_strays', 'retention_leftovers',
			'drop_lone_confirmations', 'retention_drop', 'retention_attach', 'retention_tidy')
	LOOP
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', made);
	END LOOP;
END
$$;
