-- oldest: 3
-- Who says that they reviewed the trail, and which time of it nobody did.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

CREATE TABLE flytrail.reviews (
	review_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	kind text NOT NULL CHECK (kind IN ('security', 'access')),
	since_at timestamptz NOT NULL,
	until_at timestamptz NOT NULL CHECK (until_at > since_at),
	note text NOT NULL,
	reviewed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	reviewed_by text NOT NULL DEFAULT session_user
);
SELECT flytrail.make_append_only('flytrail.reviews');
COMMENT ON TABLE flytrail.reviews IS 'who says that they reviewed which time of the trail; record_review() alone writes it';
COMMENT ON COLUMN flytrail.reviews.review_id IS 'the review; also the correlation_id of its fact';
COMMENT ON COLUMN flytrail.reviews.kind IS 'security: what happened. access: who may do what';
COMMENT ON COLUMN flytrail.reviews.since_at IS 'the time that was reviewed begins here';
COMMENT ON COLUMN flytrail.reviews.until_at IS 'and ends before this';
COMMENT ON COLUMN flytrail.reviews.note IS 'what the reviewer found';
COMMENT ON COLUMN flytrail.reviews.reviewed_at IS 'when it was put on record';
COMMENT ON COLUMN flytrail.reviews.reviewed_by IS 'the role that connected to say so';

-- Its own table is what reviews_due goes by: the writer could forge an event, and not this.
CREATE FUNCTION flytrail.record_review(since timestamptz, until timestamptz, note text, kind text DEFAULT 'security')
	RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
	note_chars_max CONSTANT integer := 4000;
	wrong CONSTANT text := CASE
		WHEN record_review.kind IS NULL OR record_review.kind NOT IN ('security', 'access') THEN
			'kind is security (what happened) or access (who may do what)'
		WHEN note IS NULL OR note !~ '[^[:space:]]' THEN 'a note is needed: what the review found'
		WHEN length(note) > note_chars_max THEN format('the note is longer than %s characters', note_chars_max)
		WHEN since IS NULL OR until IS NULL OR NOT isfinite(since) OR NOT isfinite(until) THEN
			'since and until are needed: the time that was reviewed'
		WHEN until <= since THEN 'until is not after since'
		WHEN until > now() THEN 'until is in the future, and nobody can have reviewed that' END;
	review CONSTANT uuid := gen_random_uuid();
	counts jsonb;
BEGIN
	IF wrong IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'record_review: ' || wrong;
	END IF;
	SELECT jsonb_build_object(
		'events', coalesce((SELECT jsonb_object_agg(e.class, e.count) FROM (
			SELECT v.class, count(*) FROM flytrail.events v WHERE v.occurred_at >= since AND v.occurred_at < until
			GROUP BY v.class) AS e), '{}'),
		'gaps_open', (SELECT count(*) FROM flytrail.gaps g
			WHERE g.state = 'open' AND g.gap_start < until AND coalesce(g.gap_end, 'infinity') > since))
	INTO counts;
	-- Who may do what, as it is at this moment.
	IF record_review.kind = 'access' THEN
		counts := counts || jsonb_build_object('inventory', coalesce((SELECT jsonb_object_agg(i.kind, i.count)
			FROM (SELECT v.kind, count(*) FROM flytrail.inventory v GROUP BY v.kind) AS i), '{}'));
	END IF;
	INSERT INTO flytrail.reviews (review_id, kind, since_at, until_at, note)
	VALUES (review, record_review.kind, since, until, record_review.note);
	PERFORM flytrail.tell('trail.reviewed', 1::smallint, review::text, 'review', record_review.kind,
		format('%s says that they reviewed the trail (%s) from %s to %s', session_user, record_review.kind, since, until),
		counts || jsonb_build_object('kind', record_review.kind, 'since', since, 'until', until, 'note', note));
	RETURN counts;
END
$$;
COMMENT ON FUNCTION flytrail.record_review(timestamptz, timestamptz, text, text) IS 'puts on record that you reviewed the trail from since until before until, and what you found; answers with how much there was: events by class, gaps that are still open, and for a review of access what the inventory has. The fourth argument is security (which it is without one) or access';

CREATE VIEW flytrail.reviews_due AS
SELECT
	k.kind, k.every,
	lower(first.hole) AS unreviewed_since,
	upper(first.hole) AS unreviewed_until,
	lower(first.hole) + k.every AS due_at,
	lower(first.hole) + k.every < now() AS is_overdue,
	coalesce(first.holes, 0) AS unreviewed_ranges,
	newest.reviewed_at AS last_reviewed_at, newest.reviewed_by AS last_reviewed_by, newest.until_at AS last_reviewed_until
FROM (VALUES ('security', interval '7 days'), ('access', interval '3 months')) AS k (kind, every)
-- What nobody reviewed since the trail was made, before a review as well as after the last.
LEFT JOIN LATERAL (
	SELECT (array_agg(h.hole ORDER BY h.hole))[1] AS hole, count(*) AS holes
	FROM unnest(
		tstzmultirange(tstzrange((SELECT min(v.applied_at) FROM flytrail.schema_version v), now()))
		- coalesce((SELECT range_agg(tstzrange(r.since_at, r.until_at)) FROM flytrail.reviews r WHERE r.kind = k.kind),
			'{}'::tstzmultirange)) AS h (hole)
) AS first ON true
LEFT JOIN LATERAL (
	SELECT r.reviewed_at, r.reviewed_by, r.until_at FROM flytrail.reviews r
	WHERE r.kind = k.kind ORDER BY r.reviewed_at DESC LIMIT 1
) AS newest ON true;
COMMENT ON VIEW flytrail.reviews_due IS 'which time of the trail nobody has reviewed yet, for each kind of review, and by when somebody should have: every moment since the trail was made, in a review at most so long afterwards as `every` says';
COMMENT ON COLUMN flytrail.reviews_due.kind IS 'security: what happened. access: who may do what';
COMMENT ON COLUMN flytrail.reviews_due.every IS 'how often it is to be done';
COMMENT ON COLUMN flytrail.reviews_due.unreviewed_since IS 'the first moment that is in no review; a hole between two reviews counts';
COMMENT ON COLUMN flytrail.reviews_due.unreviewed_until IS 'where the next review begins; now, where none does';
COMMENT ON COLUMN flytrail.reviews_due.due_at IS 'by when unreviewed_since is to be in a review; once this is past, since when it is overdue';
COMMENT ON COLUMN flytrail.reviews_due.is_overdue IS 'whether that is past';
COMMENT ON COLUMN flytrail.reviews_due.unreviewed_ranges IS 'how many times apart from one another are in no review; more than 1: reviews left holes';
COMMENT ON COLUMN flytrail.reviews_due.last_reviewed_at IS 'when a review of that kind was last put on record; null: never';
COMMENT ON COLUMN flytrail.reviews_due.last_reviewed_by IS 'by which role';
COMMENT ON COLUMN flytrail.reviews_due.last_reviewed_until IS 'up to when that one went';

REVOKE ALL ON FUNCTION flytrail.record_review(timestamptz, timestamptz, text, text) FROM PUBLIC;
