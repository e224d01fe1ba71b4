#!/bin/bash
# A restore drill, or a restore: a dump that dump.sh made, into an empty database.
#
#	DRILL_DUMP        the dump; beside it DRILL_DUMP.rows
#	DRILL_TARGET_URL  an empty database, on this server or another, as a superuser: postgres://USER:PASSWORD@HOST/DATABASE
#	FLYTRAIL_OWNER_ROLE, _WRITER_ROLE, _READER_ROLE, _LINE_READER_ROLE
#	                  where they are not flytrail's own names
#
# It ends with what it proved: every table has the rows that were dumped, and the schema is what it
# was, with its rights and triggers. Roles that it makes have no password yet.
set -euo pipefail
# shellcheck source=deploy/restore/common.sh
. "$(dirname "$0")/common.sh"

need DRILL_DUMP "the file that dump.sh made"
need DRILL_TARGET_URL "the administrator's address of an empty database"
need_commands psql pg_restore "$flytrail"
for file in "$DRILL_DUMP" "$DRILL_DUMP.rows"; do
	[ -r "$file" ] || stop "there is no file $file that can be read. Nothing was done."
done
pg_restore -l "$DRILL_DUMP" >/dev/null || stop "$DRILL_DUMP is no dump that pg_restore reads. Nothing was done."
reach_database DRILL_TARGET_URL "the empty database"
! has_objects || stop "the database of DRILL_TARGET_URL is not empty, and nothing is overwritten: make another. Nothing was done."
[ "$(ask <<<"SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")" = t ] ||
	stop "the role of DRILL_TARGET_URL is no superuser, and owners and event triggers need one. Nothing was done."

# The dump gives what it holds to these.
make_role() {
	ask <<<"SELECT format('CREATE ROLE %I $2', '${1//\'/\'\'}') WHERE to_regrole(quote_ident('${1//\'/\'\'}')) IS NULL \\gexec"
}
make_role "${FLYTRAIL_OWNER_ROLE:-flytrail_owner}" NOLOGIN
make_role "${FLYTRAIL_WRITER_ROLE:-flytrail_writer}" LOGIN
make_role "${FLYTRAIL_READER_ROLE:-flytrail_reader}" LOGIN
make_role "${FLYTRAIL_LINE_READER_ROLE:-flytrail_line_reader}" LOGIN

pg_restore --exit-on-error --single-transaction -d "$bare_url" "$DRILL_DUMP" ||
	stop "pg_restore failed, and the database is as empty as it was"
restored=$({
	printf '%s\n' "$same_text"
	for table in $(ask <<<"$trail_tables"); do
		digest_query "$table"
	done
} | ask)
differs=$(diff <(grep -v '^fingerprint ' "$DRILL_DUMP.rows") - <<<"$restored") ||
	stop "what was restored is not what was dumped (< dumped, > restored): $differs"

FLYTRAIL_ADMIN_DATABASE_URL=$DRILL_TARGET_URL "$flytrail" migrate || stop "\`flytrail migrate\` failed on what was restored"
was=$(grep '^fingerprint ' "$DRILL_DUMP.rows")
is=$(ask <<<"SELECT 'fingerprint', current_setting('server_version_num')::integer / 10000, flytrail.schema_fingerprint()")
changes=$(ask <<<"SELECT flytrail.check_schema()")
[ "$changes" = 0 ] || stop "the schema that was restored is not the one that was dumped: trail.schema_changed in flytrail.timeline says what differs"

say "restored, by table, rows, digest:"
say "$restored"
if [ "$was" = "$is" ]; then
	say "proved: every row is what it was, and so is the schema: ${is##* }"
else
	say "proved: every row is what it was; the fingerprint of the schema is another one (${was#* } before, ${is#* } now), as after an upgrade of Postgres or flytrail"
fi
