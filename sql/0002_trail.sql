-- oldest: 2
-- The trail: lines, events, confirmations; and what flytrail needs to know about itself.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

CREATE TABLE flytrail.log_lines (
	id uuid NOT NULL,
	occurred_at timestamptz NOT NULL,
	occurred_ns smallint NOT NULL,
	observed_at timestamptz NOT NULL,
	source text NOT NULL,
	org text,
	app text,
	region text,
	machine_id text,
	host text,
	provider text,
	level text,
	class text NOT NULL,
	action text,
	message text NOT NULL,
	raw bytea,
	attributes jsonb,
	stream uuid NOT NULL,
	seq bigint NOT NULL,
	PRIMARY KEY (occurred_at, id)
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE flytrail.log_lines IS 'every log line of the organisation, once; a partition a day (UTC). Append-only. People read the view lines.';
COMMENT ON COLUMN flytrail.log_lines.id IS 'UUID version 8 made of application, machine, message and time: the same line by any way is the same row';
COMMENT ON COLUMN flytrail.log_lines.occurred_at IS 'when Fly says the line was printed; when it was observed, where that is not to be believed (attributes say so)';
COMMENT ON COLUMN flytrail.log_lines.occurred_ns IS 'the nanoseconds, 0 to 999, that occurred_at drops';
COMMENT ON COLUMN flytrail.log_lines.observed_at IS 'when flytrail took the line';
COMMENT ON COLUMN flytrail.log_lines.source IS 'how it came: nats, http, file, replay';
COMMENT ON COLUMN flytrail.log_lines.org IS 'slug of the organisation';
COMMENT ON COLUMN flytrail.log_lines.app IS 'the application; null where the line names none';
COMMENT ON COLUMN flytrail.log_lines.region IS 'Fly''s code of the region';
COMMENT ON COLUMN flytrail.log_lines.machine_id IS 'the machine, which Fly''s stream calls instance';
COMMENT ON COLUMN flytrail.log_lines.host IS 'Fly''s id of the physical host';
COMMENT ON COLUMN flytrail.log_lines.provider IS 'who printed it: app (all that is inside the machine), runner, proxy, health';
COMMENT ON COLUMN flytrail.log_lines.level IS 'info, warn or error, as Fly gives it';
COMMENT ON COLUMN flytrail.log_lines.class IS 'what the line is; app_log: the application''s own output';
COMMENT ON COLUMN flytrail.log_lines.action IS 'the class in detail; null for app_log';
COMMENT ON COLUMN flytrail.log_lines.message IS 'the text as received but for redactions, colours included';
COMMENT ON COLUMN flytrail.log_lines.raw IS 'what came, where message could not hold it (NUL, bytes that are no UTF-8)';
COMMENT ON COLUMN flytrail.log_lines.attributes IS 'further fields, what was redacted, what was cut; null when there are none';
COMMENT ON COLUMN flytrail.log_lines.stream IS 'the spool that delivered it first';
COMMENT ON COLUMN flytrail.log_lines.seq IS 'its number in that spool';

CREATE TABLE flytrail.events (
	event_id uuid NOT NULL,
	retention_class text NOT NULL,
	class text NOT NULL,
	action text NOT NULL,
	occurred_at timestamptz NOT NULL,
	not_after timestamptz,
	time_basis text NOT NULL,
	observed_at timestamptz NOT NULL,
	stored_at timestamptz NOT NULL DEFAULT now(),
	org text,
	app text,
	region text,
	machine_id text,
	correlation_id text,
	actor text NOT NULL,
	actor_type text NOT NULL,
	actor_reason text,
	target_type text,
	target text,
	origin text,
	outcome text NOT NULL,
	severity smallint NOT NULL,
	trust text NOT NULL,
	source text NOT NULL,
	rule text,
	summary text,
	message text,
	attributes jsonb,
	stream uuid NOT NULL,
	seq bigint NOT NULL,
	PRIMARY KEY (retention_class, occurred_at, event_id)
) PARTITION BY LIST (retention_class);
CREATE INDEX events_class_idx ON flytrail.events (class, occurred_at DESC);
CREATE INDEX events_app_idx ON flytrail.events (app, occurred_at DESC);
CREATE INDEX events_actor_idx ON flytrail.events (actor, occurred_at DESC);
CREATE INDEX events_machine_idx ON flytrail.events (machine_id, class, action, occurred_at DESC);
-- A gap's later facts, found by the gap's id; only flytrail's own rows are in it.
CREATE INDEX events_trail_idx ON flytrail.events (correlation_id, occurred_at DESC) WHERE class = 'trail';
CREATE TABLE flytrail.events_security PARTITION OF flytrail.events
	FOR VALUES IN ('security') PARTITION BY RANGE (occurred_at);
CREATE TABLE flytrail.events_operations PARTITION OF flytrail.events
	FOR VALUES IN ('operations') PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE flytrail.events IS 'one fact a row, from one log line or one difference in Fly''s API: written once, never updated. By retention class, then by month (UTC).';
COMMENT ON TABLE flytrail.events_security IS 'events that are kept long: deploys, secrets, SSH sessions, access, certificates, the trail itself';
COMMENT ON TABLE flytrail.events_operations IS 'all other events';
COMMENT ON COLUMN flytrail.events.event_id IS 'a line''s id, or a hash of the fact: the same fact by any way is the same row';
COMMENT ON COLUMN flytrail.events.retention_class IS 'security or operations: how long it is kept; follows from class';
COMMENT ON COLUMN flytrail.events.class IS 'deploy, secret_change, restart, ssh_session, exit, oom, health_check, autoscale, boot, volume, cert, proxy_error, platform, access or trail';
COMMENT ON COLUMN flytrail.events.action IS 'the class in detail, such as deploy.machine_started';
COMMENT ON COLUMN flytrail.events.occurred_at IS 'when it happened; with time_basis interval, the last time at which it had not happened yet';
COMMENT ON COLUMN flytrail.events.not_after IS 'with time_basis interval: the first time at which it had happened; else null';
COMMENT ON COLUMN flytrail.events.time_basis IS 'source: Fly gave the time. observed: Fly gave none, it is flytrail''s. interval: between occurred_at and not_after';
COMMENT ON COLUMN flytrail.events.observed_at IS 'when flytrail learned of it';
COMMENT ON COLUMN flytrail.events.stored_at IS 'when the transaction that wrote this row began';
COMMENT ON COLUMN flytrail.events.org IS 'slug of the organisation';
COMMENT ON COLUMN flytrail.events.app IS 'the application; null: the whole organisation';
COMMENT ON COLUMN flytrail.events.region IS 'Fly''s code of the region';
COMMENT ON COLUMN flytrail.events.machine_id IS 'the machine; null where it is about none';
COMMENT ON COLUMN flytrail.events.correlation_id IS 'what ties facts together: release id, machine version, certificate id, gap id';
COMMENT ON COLUMN flytrail.events.actor IS 'who did it, in lower case; unknown: see actor_reason';
COMMENT ON COLUMN flytrail.events.actor_type IS 'user, token, flyd (Fly''s machine runner), proxy (Fly''s proxy), flytrail or unknown';
COMMENT ON COLUMN flytrail.events.actor_reason IS 'why the actor is unknown';
COMMENT ON COLUMN flytrail.events.target_type IS 'what kind of thing it was done to';
COMMENT ON COLUMN flytrail.events.target IS 'the name of the thing it was done to';
COMMENT ON COLUMN flytrail.events.origin IS 'from where it was done';
COMMENT ON COLUMN flytrail.events.outcome IS 'success, failure or unknown';
COMMENT ON COLUMN flytrail.events.severity IS 'OCSF severity_id: 1 informational, 2 low, 3 medium, 4 high, 5 critical, 6 fatal, 0 unknown';
COMMENT ON COLUMN flytrail.events.trust IS 'platform: written outside the machine. guest: written inside, where the application could write it too. api: Fly''s control plane. self: flytrail about itself';
COMMENT ON COLUMN flytrail.events.source IS 'how it came: nats, http, file, replay, watch, trail';
COMMENT ON COLUMN flytrail.events.rule IS 'the rule that recognised it';
COMMENT ON COLUMN flytrail.events.summary IS 'one sentence for people; null: the message says it';
COMMENT ON COLUMN flytrail.events.message IS 'the evidence: the line as received but for redactions';
COMMENT ON COLUMN flytrail.events.attributes IS 'what was read out of the line or the API; null when there is nothing';
COMMENT ON COLUMN flytrail.events.stream IS 'the spool that delivered it first';
COMMENT ON COLUMN flytrail.events.seq IS 'its number in that spool';

CREATE TABLE flytrail.confirmations (
	event_id uuid NOT NULL,
	occurred_at timestamptz NOT NULL,
	source text NOT NULL,
	seen_at timestamptz NOT NULL,
	PRIMARY KEY (event_id, occurred_at, source)
);
COMMENT ON TABLE flytrail.confirmations IS 'the same line seen in Fly''s second copy: what makes a claim of the log stream confirmed';
COMMENT ON COLUMN flytrail.confirmations.event_id IS 'the event';
COMMENT ON COLUMN flytrail.confirmations.occurred_at IS 'the event''s';
COMMENT ON COLUMN flytrail.confirmations.source IS 'where else it was seen';
COMMENT ON COLUMN flytrail.confirmations.seen_at IS 'when it was seen there';

CREATE TABLE flytrail.streams (
	stream uuid PRIMARY KEY,
	epoch bigint NOT NULL CHECK (epoch >= 0),
	replica text NOT NULL,
	cursor_seq bigint NOT NULL CHECK (cursor_seq >= 0),
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE flytrail.streams IS 'one row a spool: how far it has been stored, moved in the same transaction as its rows';
COMMENT ON COLUMN flytrail.streams.stream IS 'the spool''s id';
COMMENT ON COLUMN flytrail.streams.epoch IS 'raised when a copied or restored volume is adopted';
COMMENT ON COLUMN flytrail.streams.replica IS 'the machine that wrote last, for people';
COMMENT ON COLUMN flytrail.streams.cursor_seq IS 'the last number of the spool that is stored; 0: none yet';
COMMENT ON COLUMN flytrail.streams.created_at IS 'when the spool first reached this database';
COMMENT ON COLUMN flytrail.streams.updated_at IS 'when the cursor last moved';

CREATE TABLE flytrail.leases (
	name text PRIMARY KEY,
	holder text NOT NULL,
	taken_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL
);
COMMENT ON TABLE flytrail.leases IS 'work that only one replica should do, and which one does it';
COMMENT ON COLUMN flytrail.leases.name IS 'the work';
COMMENT ON COLUMN flytrail.leases.holder IS 'the replica';
COMMENT ON COLUMN flytrail.leases.taken_at IS 'since when';
COMMENT ON COLUMN flytrail.leases.expires_at IS 'from when another replica may take it, unless it is renewed';

CREATE TABLE flytrail.snapshots (
	resource text NOT NULL,
	scope text NOT NULL,
	taken_at timestamptz NOT NULL,
	content jsonb NOT NULL,
	PRIMARY KEY (resource, scope)
);
COMMENT ON TABLE flytrail.snapshots IS 'the newest state of Fly''s control plane that was seen: what the next one is compared with';
COMMENT ON COLUMN flytrail.snapshots.resource IS 'what kind of thing: secrets, members, ...';
COMMENT ON COLUMN flytrail.snapshots.scope IS 'whose: an application or the organisation';
COMMENT ON COLUMN flytrail.snapshots.taken_at IS 'when it was read from Fly';
COMMENT ON COLUMN flytrail.snapshots.content IS 'what Fly said, without values of secrets';

CREATE TABLE flytrail.actor_aliases (
	actor text PRIMARY KEY CHECK (actor = lower(actor)),
	name text NOT NULL,
	is_automation boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE flytrail.actor_aliases IS 'what people call an actor; filled in by hand';
COMMENT ON COLUMN flytrail.actor_aliases.actor IS 'as in events.actor';
COMMENT ON COLUMN flytrail.actor_aliases.name IS 'for people';
COMMENT ON COLUMN flytrail.actor_aliases.is_automation IS 'a robot, such as a deploy key in CI';

CREATE TABLE flytrail.retention (
	kind text PRIMARY KEY CHECK (kind IN ('log_lines', 'security', 'operations')),
	keep_days integer NOT NULL CHECK (keep_days > 0),
	changed_at timestamptz NOT NULL DEFAULT now(),
	changed_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE flytrail.retention IS 'how long rows are kept; a kind without a row is kept for ever';
COMMENT ON COLUMN flytrail.retention.kind IS 'log_lines, or a retention class of events';
COMMENT ON COLUMN flytrail.retention.keep_days IS 'partitions wholly older than this may go';
COMMENT ON COLUMN flytrail.retention.changed_at IS 'when this was decided';
COMMENT ON COLUMN flytrail.retention.changed_by IS 'by which role';

-- The writer adds to the trail and reads it; it changes only what is about itself. People's roles
-- get nothing here: they see views.
DO $$
DECLARE
	writer_role CONSTANT name := current_setting('flytrail.writer_role');
BEGIN
	EXECUTE format('GRANT SELECT, INSERT ON flytrail.log_lines, flytrail.events, flytrail.events_security,
		flytrail.events_operations, flytrail.confirmations TO %I', writer_role);
	EXECUTE format('GRANT SELECT, INSERT, UPDATE ON flytrail.streams, flytrail.leases, flytrail.snapshots TO %I',
		writer_role);
	EXECUTE format('GRANT SELECT ON flytrail.actor_aliases, flytrail.retention TO %I', writer_role);
END
$$;
