-- What happened to shop-worker? The timeline has what Fly's parts said, not what the app printed.
SELECT to_char(occurred_at, 'HH24:MI:SS') AS at, action, left(summary, 60) AS summary
FROM flytrail.timeline
WHERE app = 'shop-worker' AND class IN ('ssh_session', 'restart', 'exit', 'oom', 'deploy')
  AND action NOT IN ('exit.cleanup', 'exit.vm', 'exit.unmount_failed', 'deploy.image_pulling')
ORDER BY occurred_at;

-- Who opened an SSH session, and did Fly issue a certificate for it? The latter is simulated.
SELECT to_char(opened_at, 'HH24:MI:SS') AS opened, app, machine_id, actor, verified, trust,
       certificate_state AS certificate
FROM flytrail.ssh_sessions
ORDER BY opened_at;

-- What was deployed, by whom, and why? Fly's API says the last two; here it is simulated.
SELECT to_char(started_at, 'HH24:MI') AS at, app, release AS rel, actor, reason,
       cardinality(machines) AS machines, seconds, outcome
FROM flytrail.deploys
ORDER BY started_at;

-- Which secrets were changed, and by whom? Fly's API alone says so; here it is simulated.
SELECT to_char(changed_at, 'HH24:MI') AS at, app, secret_name, change, actor, release AS rel,
       deployed_at IS NOT NULL AS deployed
FROM flytrail.secret_changes
ORDER BY changed_at;

-- Who has access now who had not, and what was changed by hand? Simulated likewise.
SELECT split_part(action, '.', 2) AS change, split_part(actor, '@', 1) AS actor,
       left(summary, 60) AS summary
FROM flytrail.timeline
WHERE class = 'access' OR action = 'deploy.machine_updated'
ORDER BY occurred_at, action;

-- What restarted, and why?
SELECT to_char(occurred_at, 'HH24:MI:SS') AS at, app, machine_id, cause, exit_code, signal,
       oom_killed AS oom
FROM flytrail.restarts
ORDER BY occurred_at;

-- What may be missing? The demo cut the stream once, to show this.
SELECT to_char(gap_start, 'HH24:MI:SS') AS gap_start, to_char(gap_end, 'HH24:MI:SS') AS gap_end,
       reason, state
FROM flytrail.gaps
ORDER BY gap_start;
