-- oldest: 3
-- Which facts were passed on, and to whom: what store/fresh.c goes by.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

CREATE TABLE flytrail.fact_takers (
	taker text PRIMARY KEY,
	up_to timestamptz NOT NULL
);
COMMENT ON TABLE flytrail.fact_takers IS 'who passes facts on as they come, and how far each has come. No part of the trail, and not append-only';
COMMENT ON COLUMN flytrail.fact_takers.taker IS 'spool: what is in Postgres alone goes into the spool, and so to the sinks';
COMMENT ON COLUMN flytrail.fact_takers.up_to IS 'all that was to be seen then was taken';

CREATE TABLE flytrail.facts_taken (
	taker text NOT NULL,
	event_id uuid NOT NULL,
	occurred_at timestamptz NOT NULL,
	PRIMARY KEY (taker, event_id)
);
COMMENT ON TABLE flytrail.facts_taken IS 'the facts that a taker has taken, as long as it may come across them again. No part of the trail, and not append-only';
COMMENT ON COLUMN flytrail.facts_taken.taker IS 'who: fact_takers.taker';
COMMENT ON COLUMN flytrail.facts_taken.event_id IS 'the event';
COMMENT ON COLUMN flytrail.facts_taken.occurred_at IS 'the event''s';

-- All of these classes are of the retention class security, so other events cost no index.
CREATE INDEX events_fresh_idx ON flytrail.events_security (stored_at)
	WHERE class IN ('ssh_session', 'secret_change', 'access', 'deploy', 'trail');
-- The few that commands and Postgres itself wrote.
CREATE INDEX events_apart_idx ON flytrail.events_security (stored_at) WHERE seq <= 0;
