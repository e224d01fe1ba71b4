-- The archive in S3 for DuckDB, in place: the views `lines` and `events`, one row an id.
--
--     duckdb
--     INSTALL httpfs; LOAD httpfs;
--     CREATE SECRET (TYPE s3, KEY_ID '...', SECRET '...', REGION 'auto',
--         ENDPOINT 'fly.storage.tigris.dev', URL_STYLE 'vhost');   -- or PROVIDER credential_chain
--     SET VARIABLE root = 's3://BUCKET/flytrail';                  -- with FLYTRAIL_S3_PREFIX
--     .read deploy/duckdb.sql
--     SELECT app, count(*) FROM lines WHERE date = '2026-11-26' AND hour = 7 GROUP BY app;
--
-- An endpoint without TLS takes USE_SSL false; MinIO and Ceph take URL_STYLE 'path'. Objects that
-- were downloaded are read as well: root is the folder above `lines` and `events`.
--
-- Events come first: where the archive has no lines (FLYTRAIL_S3_SEND=events), DuckDB says "No files
-- found" of the view `lines`, and `events` is there.
--
-- Always say of which `date` lines are wanted, and best of which `hour`: only those objects are
-- read. Times are UTC; the three digits that a microsecond has not are in occurred_ns. A record
-- may be in several objects, once for each spool that accepted it; it has one id in all of them,
-- and the first that saw it counts.

-- The `class` of an object's name is the retention class, and that of a row is its own: so names
-- are not taken for columns here, and all objects are read. Events are few.
CREATE OR REPLACE VIEW events AS
SELECT
	event_id, retention_class, class, action,
	occurred_at::TIMESTAMP AS occurred_at,
	not_after::TIMESTAMP AS not_after,
	time_basis,
	observed_at::TIMESTAMP AS observed_at,
	org, app, region, machine_id, correlation_id, actor, actor_type, actor_reason, target_type,
	target, origin, outcome, severity, trust, source, rule, summary, message, attributes, filename
FROM read_json(
	getvariable('root') || '/events/class=*/date=*/*.ndjson.gz',
	format = 'newline_delimited', compression = 'gzip', union_by_name = true, filename = true,
	maximum_object_size = 33554432, hive_partitioning = false,
	columns = {
		'event_id': 'UUID', 'retention_class': 'VARCHAR', 'class': 'VARCHAR', 'action': 'VARCHAR',
		'occurred_at': 'VARCHAR', 'not_after': 'VARCHAR', 'time_basis': 'VARCHAR',
		'observed_at': 'VARCHAR', 'org': 'VARCHAR', 'app': 'VARCHAR', 'region': 'VARCHAR',
		'machine_id': 'VARCHAR', 'correlation_id': 'VARCHAR', 'actor': 'VARCHAR',
		'actor_type': 'VARCHAR', 'actor_reason': 'VARCHAR', 'target_type': 'VARCHAR',
		'target': 'VARCHAR', 'origin': 'VARCHAR', 'outcome': 'VARCHAR', 'severity': 'SMALLINT',
		'trust': 'VARCHAR', 'source': 'VARCHAR', 'rule': 'VARCHAR', 'summary': 'VARCHAR',
		'message': 'VARCHAR', 'attributes': 'JSON'
	})
QUALIFY row_number() OVER (PARTITION BY retention_class, event_id ORDER BY observed_at, filename) = 1;

CREATE OR REPLACE VIEW lines AS
SELECT
	id,
	occurred_at::TIMESTAMP AS occurred_at,
	substr(occurred_at, 27, 3)::SMALLINT AS occurred_ns,
	observed_at::TIMESTAMP AS observed_at,
	source, org, app, region, machine_id, host, provider, level, class, action, message,
	from_base64(raw) AS raw,
	attributes, date, hour, filename
FROM read_json(
	getvariable('root') || '/lines/date=*/hour=*/*.ndjson.gz',
	format = 'newline_delimited', compression = 'gzip', union_by_name = true, filename = true,
	maximum_object_size = 33554432,
	hive_partitioning = true, hive_types = {'date': DATE, 'hour': SMALLINT},
	columns = {
		'id': 'UUID', 'occurred_at': 'VARCHAR', 'observed_at': 'VARCHAR', 'source': 'VARCHAR',
		'org': 'VARCHAR', 'app': 'VARCHAR', 'region': 'VARCHAR', 'machine_id': 'VARCHAR',
		'host': 'VARCHAR', 'provider': 'VARCHAR', 'level': 'VARCHAR', 'class': 'VARCHAR',
		'action': 'VARCHAR', 'message': 'VARCHAR', 'raw': 'VARCHAR', 'attributes': 'JSON'
	})
-- By date and hour as well, so that these pass the window and choose the objects.
QUALIFY row_number() OVER (PARTITION BY date, hour, id ORDER BY observed_at, filename) = 1;
