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
