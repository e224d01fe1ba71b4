#!/bin/bash
# A restore drill: the spool of a volume's snapshot on a new machine, into a copy of the trail.
#
#	DRILL_SNAPSHOT         the spool's folder as the snapshot has it; it is only read
#	DRILL_SPOOL            where it is put back: a folder that is not there, or empty
#	FLYTRAIL_DATABASE_URL  the writer's, of a database that no other flytrail stores into meanwhile
#	ORG                    as `flytrail run` has it
#
# It ends with what it proved: every record of the spool is a row, no row is there twice, and no row
# that was there before has changed. Nothing goes to S3 or Datadog, and no log stream is read.
set -euo pipefail
# shellcheck source=deploy/restore/common.sh
. "$(dirname "$0")/common.sh"

need DRILL_SNAPSHOT "the folder of the spool in the snapshot"
need DRILL_SPOOL "the folder to put it back into"
need FLYTRAIL_DATABASE_URL "the writer's address of the trail's database"
need ORG "the organisation's slug"
need_commands psql cp "$flytrail"
compgen -G "$DRILL_SNAPSHOT/*.seg" >/dev/null || stop "$DRILL_SNAPSHOT has no segment (*.seg) of a spool. Nothing was done."
need_absent_or_empty "$DRILL_SPOOL"
reach_database FLYTRAIL_DATABASE_URL "the trail's database"
[ "$(ask <<<"SELECT to_regclass('flytrail.log_lines') IS NOT NULL")" = t ] ||
	stop "the database of FLYTRAIL_DATABASE_URL has no trail: run \`flytrail migrate\` on it. Nothing was done."
[ "$(ask <<<"SELECT count(*) FROM pg_catalog.pg_stat_activity
	WHERE datname = current_database() AND application_name = 'flytrail'")" = 0 ] ||
	stop "a flytrail is connected to this database, and what it stores would be taken for ours: stop it, or use a copy. Nothing was done."
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY DATADOG_API_KEY DD_API_KEY

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# A run that reads nothing new: what is in the spool goes to Postgres, and it ends.
run() {
	FLYTRAIL_SPOOL_DIR=$DRILL_SPOOL "$flytrail" run /dev/null >/dev/null 2>"$log"
}

# EVENT FIELD: what the last run said of it; empty: nothing.
said() {
	sed -n -E "s/.*\"event\":\"$1\".*\"$2\":(\"(([^\"\\\\]|\\\\.)*)\"|([0-9]+)).*/\2\4/p" "$log" | tail -n 1
}

# Of the rows that were there before: under streams that were known, up to where they were stored.
cursors=$(ask <<<"SELECT coalesce(jsonb_object_agg(stream, cursor_seq), '{}') FROM flytrail.streams")
digests() {
	local table
	{
		printf '%s\n' "$same_text"
		for table in flytrail.log_lines flytrail.events; do
			digest_query "$table" "coalesce(t.seq <= ('$cursors'::jsonb ->> t.stream::text)::bigint,
				t.stream NOT IN (SELECT stream FROM flytrail.streams))"
		done
	} | ask
}

doubled() {
	ask <<<"SELECT (SELECT count(*) - count(DISTINCT id) FROM flytrail.log_lines)
		+ (SELECT count(*) - count(DISTINCT event_id) FROM flytrail.events)"
}

before=$(digests)
doubled_before=$(doubled)

mkdir -p "$DRILL_SPOOL"
cp -a "$DRILL_SNAPSHOT/." "$DRILL_SPOOL/"
say "put back: $(find "$DRILL_SPOOL" -name '*.seg' | wc -l) segments, $(du -sb "$DRILL_SPOOL" | cut -f 1) bytes"

if run; then
	say "run: Postgres has nothing newer of this spool, and took it as it is"
elif parked=$(said fatal error) && [ -n "$parked" ]; then
	say "run: $parked"
else
	stop "\`flytrail run\` failed on what was put back: $(tail -n 1 "$log")"
fi
FLYTRAIL_SPOOL_DIR=$DRILL_SPOOL "$flytrail" spool adopt || stop "\`flytrail spool adopt\` failed on $DRILL_SPOOL"
run || stop "\`flytrail run\` failed after \`flytrail spool adopt\`: $(tail -n 1 "$log")"
left=$(said stopped left_in_spool)
[ "$left" = 0 ] || stop "${left:-an unknown number of} records are still in $DRILL_SPOOL and not in Postgres"

[ "$(digests)" = "$before" ] || stop "rows that were in the database before are not what they were"
[ "$(doubled)" = "$doubled_before" ] || stop "there are rows twice that were not before"
say "stored: $(said stopped lines_stored) lines that Postgres had not got; $(said stopped duplicates) rows were there"
say "unchanged, by table, rows, digest:"
say "$before"
say "proved: all of the spool is in Postgres, nothing is there twice, and nothing that was there has changed"
