-- oldest: 3
-- Who has access: what people call an actor, and certificates and sessions, each with and without the other.

SELECT set_config('role', current_setting('flytrail.owner_role'), true);

-- For views, whose functions run with the rights of who asks: those may read no aliases as such.
CREATE FUNCTION flytrail.actor_name(actor text) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	RETURN (SELECT a.name FROM flytrail.actor_aliases a WHERE a.actor = actor_name.actor);
COMMENT ON FUNCTION flytrail.actor_name(text) IS 'what people call an actor, by flytrail.actor_aliases; null: it is not named there';
CREATE FUNCTION flytrail.is_automation(actor text) RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	RETURN (SELECT a.is_automation FROM flytrail.actor_aliases a WHERE a.actor = is_automation.actor);
COMMENT ON FUNCTION flytrail.is_automation(text) IS 'whether an actor is a robot, by flytrail.actor_aliases; null: it is not named there';

CREATE OR REPLACE VIEW flytrail.access_changes AS
SELECT
	e.event_id, e.occurred_at AS changed_at, e.not_after, split_part(e.action, '.', 2) AS change,
	e.target_type, e.target, e.actor, e.actor_type, e.actor_reason, e.origin, e.outcome, e.trust,
	coalesce(e.summary, flytrail.without_ansi(e.message)) AS summary,
	e.severity, e.attributes -> 'before' AS before, e.attributes -> 'after' AS after,
	flytrail.actor_name(e.actor) AS actor_name, flytrail.is_automation(e.actor) AS is_automation
FROM flytrail.events e
WHERE e.retention_class = 'security' AND e.class = 'access';
COMMENT ON VIEW flytrail.access_changes IS 'who and what can reach the organisation: members, invitations, tokens, peers, certificates; from Fly''s API';
COMMENT ON COLUMN flytrail.access_changes.actor IS 'who changed it, or probably did: see actor_reason; unknown: nothing says it';
COMMENT ON COLUMN flytrail.access_changes.actor_reason IS 'why the actor is unknown, or from what it is inferred, as of a peer from its name, which its maker may choose; null: Fly says it';
COMMENT ON COLUMN flytrail.events.actor_reason IS 'why the actor is unknown, or from what it is inferred';
COMMENT ON COLUMN flytrail.access_changes.change IS 'member_added, two_factor_off, invitation_made, token_revoked, token_expiring, peer_added, certificate_issued, ...';
COMMENT ON COLUMN flytrail.access_changes.severity IS 'OCSF severity_id: 1 informational to 6 fatal, what touches flytrail itself';
COMMENT ON COLUMN flytrail.access_changes.before IS 'what Fly said of it before; null: it was not there';
COMMENT ON COLUMN flytrail.access_changes.after IS 'what Fly says of it since; null: it is gone';
COMMENT ON COLUMN flytrail.access_changes.actor_name IS 'what people call the actor; null: flytrail.actor_aliases does not say';
COMMENT ON COLUMN flytrail.access_changes.is_automation IS 'whether the actor is a robot; null: flytrail.actor_aliases does not say';

-- A session that has a certificate is looked for where the certificate was good, and the other way
-- round. What was listed when flytrail first looked is no event, but is in the snapshot, which has
-- those that expired up to 7 days ago, too.
CREATE OR REPLACE VIEW flytrail.ssh_sessions AS
SELECT
	e.event_id, e.occurred_at AS opened_at, e.app, e.region, e.machine_id, e.actor, e.actor_type,
	CASE e.attributes ->> 'verified' WHEN 'true' THEN true WHEN 'false' THEN false END AS verified,
	e.trust,
	CASE
		WHEN e.trust = 'api' THEN 'api'
		-- A certificate is no second witness: anybody can print the line while its owner has one.
		WHEN e.source = 'http' OR EXISTS (
			SELECT FROM flytrail.confirmations c
			WHERE c.event_id = e.event_id AND c.occurred_at = e.occurred_at AND c.source = 'http') THEN 'confirmed'
		ELSE 'claimed'
	END AS assurance,
	certificate.event_id AS certificate_event,
	'unknown: Fly prints nothing when a session ends'::text AS closed_reason,
	CASE
		WHEN certificate.event_id IS NOT NULL THEN 'issued'
		WHEN listed.is_there THEN 'listed'
		WHEN watched.unobserved_since IS NULL AND watched.taken_at > e.occurred_at AND e.occurred_at >= began.at
			AND (e.occurred_at > watched.taken_at - interval '7 days' OR e.occurred_at > began.at + interval '3 days')
			AND sight.action IS DISTINCT FROM 'trail.unobserved'
			THEN 'none'
		ELSE 'unknown'
	END AS certificate_state,
	flytrail.actor_name(e.actor) AS actor_name, flytrail.is_automation(e.actor) AS is_automation
FROM flytrail.events e
LEFT JOIN LATERAL (
	SELECT c.event_id FROM flytrail.events c
	WHERE c.retention_class = 'security' AND c.class = 'access' AND c.action = 'access.certificate_issued'
		AND c.actor = e.actor AND c.actor <> 'unknown'
		AND c.occurred_at <= e.occurred_at
		AND (c.attributes #>> '{after,lifetime}' = 'for ever' OR e.occurred_at <= coalesce(
			(c.attributes #>> '{after,valid_before}')::timestamptz, c.occurred_at + interval '1 day'))
	ORDER BY c.occurred_at DESC LIMIT 1
) AS certificate ON true
LEFT JOIN flytrail.snapshots watched ON watched.resource = 'ssh_certificates' AND watched.scope = ''
LEFT JOIN (
	SELECT min(b.occurred_at) AS at FROM flytrail.events b
	WHERE b.retention_class = 'security' AND b.class = 'trail' AND b.action = 'trail.baseline'
		AND b.target = 'ssh_certificates'
) AS began ON true
-- Whether certificates could be looked at then.
LEFT JOIN LATERAL (
	SELECT t.action FROM flytrail.events t
	WHERE t.retention_class = 'security' AND t.class = 'trail' AND t.action IN ('trail.unobserved', 'trail.observed')
		AND t.target = 'ssh_certificates' AND t.occurred_at <= e.occurred_at
	ORDER BY t.occurred_at DESC LIMIT 1
) AS sight ON true
LEFT JOIN LATERAL (
	SELECT true AS is_there FROM jsonb_each(watched.content) AS c (id, said)
	WHERE certificate.event_id IS NULL AND e.actor <> 'unknown' AND lower(c.said ->> 'key_id') = e.actor
		AND coalesce((c.said ->> 'valid_after')::timestamptz, '-infinity') <= e.occurred_at
		AND (c.said ->> 'lifetime' = 'for ever' OR (c.said ->> 'valid_before')::timestamptz >= e.occurred_at)
	LIMIT 1
) AS listed ON true
WHERE e.retention_class = 'security' AND e.class = 'ssh_session' AND e.action = 'ssh_session.opened';
COMMENT ON COLUMN flytrail.ssh_sessions.assurance IS 'claimed: the log stream alone says it. confirmed: Fly''s second copy has it, too. api: Fly''s control plane says it. Whether the actor had a certificate is in certificate_state';
COMMENT ON COLUMN flytrail.ssh_sessions.certificate_event IS 'the event of the newest certificate of the actor that was good then; null: none is known';
COMMENT ON COLUMN flytrail.ssh_sessions.certificate_state IS 'issued: certificate_event. listed: Fly had issued one to the actor when flytrail first looked. none: Fly lists none of the actor''s that was good then, so that either it does not list all, or the line is no session; one from before flytrail looked that was good for more than three days is forgotten a week after its end. unknown: the certificates were not looked at, or could not be then';
COMMENT ON COLUMN flytrail.ssh_sessions.actor_name IS 'what people call the actor; null: flytrail.actor_aliases does not say';
COMMENT ON COLUMN flytrail.ssh_sessions.is_automation IS 'whether the actor is a robot; null: flytrail.actor_aliases does not say';

CREATE VIEW flytrail.ssh_certificates AS
SELECT
	e.event_id, e.occurred_at AS valid_after, said.valid_before, e.not_after,
	coalesce(said.lifetime <> 'session', true) AS is_long_lived,
	e.actor, e.actor_type, e.actor_reason,
	said.body ->> 'key_id' AS key_id, said.body ->> 'serial' AS serial, said.body ->> 'principals' AS principals,
	coalesce(said.body ->> 'root' = 'true', false) AS is_root,
	sessions.session_event, coalesce(sessions.count, 0) AS sessions,
	e.severity, e.target AS certificate_id,
	flytrail.actor_name(e.actor) AS actor_name, flytrail.is_automation(e.actor) AS is_automation
FROM flytrail.events e
CROSS JOIN LATERAL (
	SELECT e.attributes -> 'after' AS body, e.attributes #>> '{after,lifetime}' AS lifetime,
		CASE e.attributes #>> '{after,lifetime}' WHEN 'for ever' THEN 'infinity'
			ELSE (e.attributes #>> '{after,valid_before}')::timestamptz END AS valid_before
) AS said
LEFT JOIN LATERAL (
	SELECT (array_agg(s.event_id ORDER BY s.occurred_at, s.seq))[1] AS session_event, count(*) AS count
	FROM flytrail.events s
	WHERE s.retention_class = 'security' AND s.class = 'ssh_session' AND s.action = 'ssh_session.opened'
		AND s.actor = e.actor AND e.actor <> 'unknown'
		AND s.occurred_at >= e.occurred_at AND s.occurred_at <= said.valid_before
) AS sessions ON true
WHERE e.retention_class = 'security' AND e.class = 'access' AND e.action = 'access.certificate_issued';
COMMENT ON VIEW flytrail.ssh_certificates IS 'SSH certificates that Fly issued since flytrail looks, with the sessions that they may have been used for';
COMMENT ON COLUMN flytrail.ssh_certificates.event_id IS 'the event';
COMMENT ON COLUMN flytrail.ssh_certificates.valid_after IS 'from when it is good, which is when it was issued; where not_after is given, the last time at which it was not listed yet';
COMMENT ON COLUMN flytrail.ssh_certificates.valid_before IS 'until when it is good; null: it cannot be read';
COMMENT ON COLUMN flytrail.ssh_certificates.not_after IS 'the first time at which it was listed, where Fly does not say when it was issued; else null';
COMMENT ON COLUMN flytrail.ssh_certificates.is_long_lived IS 'good for longer than flyctl needs for a session, which is an hour; or not known to be good for less';
COMMENT ON COLUMN flytrail.ssh_certificates.actor IS 'who may come with it, by its key id; unknown: see actor_reason';
COMMENT ON COLUMN flytrail.ssh_certificates.actor_type IS 'user, token or unknown';
COMMENT ON COLUMN flytrail.ssh_certificates.actor_reason IS 'why the actor is unknown';
COMMENT ON COLUMN flytrail.ssh_certificates.key_id IS 'as in the certificate';
COMMENT ON COLUMN flytrail.ssh_certificates.serial IS 'its number';
COMMENT ON COLUMN flytrail.ssh_certificates.principals IS 'the users of a machine that it is good for; null: any';
COMMENT ON COLUMN flytrail.ssh_certificates.is_root IS 'whether Fly calls it a root certificate';
COMMENT ON COLUMN flytrail.ssh_certificates.session_event IS 'the first session of the actor while it was good; null: none is known, so that it was not used, or is not yet, or the session''s line is missing';
COMMENT ON COLUMN flytrail.ssh_certificates.sessions IS 'how many sessions of the actor there were while it was good';
COMMENT ON COLUMN flytrail.ssh_certificates.severity IS 'OCSF severity_id: 3 medium; 4 high or 5 critical, where it is long-lived';
COMMENT ON COLUMN flytrail.ssh_certificates.certificate_id IS 'Fly''s id of it';
COMMENT ON COLUMN flytrail.ssh_certificates.actor_name IS 'what people call the actor; null: flytrail.actor_aliases does not say';
COMMENT ON COLUMN flytrail.ssh_certificates.is_automation IS 'whether the actor is a robot; null: flytrail.actor_aliases does not say';
