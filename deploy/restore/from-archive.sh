#!/bin/bash
# A restore drill, or a restore: all that the archive in S3 keeps, into an empty database.
#
#	DRILL_TARGET_URL   an empty database, as a role that may make schemas and roles: postgres://USER:PASSWORD@HOST/DATABASE
#	AWS_…, S3_ENDPOINT  the archive, as `flytrail run` has it; credentials that list and read are enough
#
# It ends with what it proved: the archive is whole by its own indexes, and Postgres has all of it.
set -euo pipefail
# shellcheck source=deploy/restore/common.sh
. "$(dirname "$0")/common.sh"

need DRILL_TARGET_URL "the administrator's address of an empty database"
need AWS_ACCESS_KEY_ID "whose key it is that reads the archive"
need_commands psql "$flytrail"
reach_database DRILL_TARGET_URL "the empty database"
! has_objects || stop "the database of DRILL_TARGET_URL is not empty, and nothing is overwritten: make another. Nothing was done."

# Roles that are made here have no password yet, so that all of it is done as this one.
FLYTRAIL_ADMIN_DATABASE_URL=$DRILL_TARGET_URL "$flytrail" migrate || stop "\`flytrail migrate\` failed on the empty database"
export FLYTRAIL_DATABASE_URL=$DRILL_TARGET_URL
"$flytrail" replay || stop "\`flytrail replay\` did not bring all of it back, and says why above"
"$flytrail" archive verify || stop "the archive and what was restored differ, as \`flytrail archive verify\` says above"

say "restored, by table, rows, digest of the ids:"
{
	printf '%s\n' "$same_text"
	digest_query flytrail.log_lines "t.source = 'replay'" "t.id::text"
	digest_query flytrail.events "t.source = 'replay'" "t.event_id::text"
} | ask
[ "$(ask <<<"SELECT flytrail.check_schema()")" = 0 ] || stop "the schema changed meanwhile: trail.schema_changed in flytrail.timeline says how"
say "proved: the archive is whole, and each row that it names is in Postgres"
