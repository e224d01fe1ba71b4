-- oldest: 3
-- What of Fly's control plane is watched: since when, how often, and what cannot be looked at.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

ALTER TABLE flytrail.snapshots
	ADD COLUMN interval_seconds double precision,
	ADD COLUMN unobserved_why text,
	ADD COLUMN unobserved_since timestamptz;
COMMENT ON COLUMN flytrail.snapshots.taken_at IS 'when it was read from Fly; -infinity: it never could be';
COMMENT ON COLUMN flytrail.snapshots.interval_seconds IS 'between the two newest looks at all of it; null: there was one';
COMMENT ON COLUMN flytrail.snapshots.unobserved_why IS 'why it cannot be looked at; null: it can';
COMMENT ON COLUMN flytrail.snapshots.unobserved_since IS 'since when it cannot';

-- What only says that all is well, or goes on, is for the view coverage; and that each single thing
-- (a machine, a volume) was looked at first, for the view watched.
CREATE OR REPLACE VIEW flytrail.timeline AS
SELECT
	e.occurred_at, e.not_after, e.class, e.action, e.app, e.region, e.machine_id,
	e.actor, e.actor_type, e.outcome, e.severity, e.trust,
	CASE
		WHEN e.trust IN ('api', 'self') THEN e.trust
		WHEN e.source = 'http' OR EXISTS (
			SELECT FROM flytrail.confirmations c
			WHERE c.event_id = e.event_id AND c.occurred_at = e.occurred_at AND c.source = 'http') THEN 'confirmed'
		ELSE 'claimed'
	END AS assurance,
	coalesce(e.summary, flytrail.without_ansi(e.message)) AS summary,
	flytrail.without_ansi(e.message) AS message,
	e.attributes, e.target_type, e.target, e.correlation_id, e.org, e.event_id
FROM flytrail.events e
-- What only says that all is well, or goes on, is for the view coverage.
WHERE e.action NOT IN ('trail.gap_progress', 'trail.listening')
	AND (e.action <> 'trail.window_checked' OR e.attributes ->> 'state' <> 'agrees')
	AND (e.action <> 'trail.baseline' OR NOT e.attributes ? 'item');
