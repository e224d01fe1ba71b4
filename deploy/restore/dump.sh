#!/bin/bash
# Makes a dump of the trail's database, and beside it what is in it: a table a line, rows and digest.
#
#	DRILL_SOURCE_URL  the database, as a role that may read all of it: postgres://USER:PASSWORD@HOST/DATABASE
#	DRILL_DUMP        the file to make; beside it DRILL_DUMP.rows
#
# flytrail may run on: the dump and its digests are of one moment. No password of a role is in it.
set -euo pipefail
# shellcheck source=deploy/restore/common.sh
. "$(dirname "$0")/common.sh"

need DRILL_SOURCE_URL "the administrator's address of the trail's database"
need DRILL_DUMP "the file to make"
need_commands psql pg_dump
for file in "$DRILL_DUMP" "$DRILL_DUMP.rows"; do
	[ ! -e "$file" ] || stop "$file is there, and nothing is overwritten: name another file. Nothing was done."
done
[ -d "$(dirname "$DRILL_DUMP")" ] || stop "there is no folder $(dirname "$DRILL_DUMP"). Nothing was done."
reach_database DRILL_SOURCE_URL "the trail's database"
[ "$(ask <<<"SELECT to_regclass('flytrail.log_lines') IS NOT NULL")" = t ] ||
	stop "the database of DRILL_SOURCE_URL has no trail. Nothing was done."
tables=$(ask <<<"$trail_tables")
umask 077

# A session that holds its snapshot while pg_dump and the digests use it.
coproc holder { psql -X -q -A -t -v ON_ERROR_STOP=1 -f - "$bare_url"; }
printf 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot();\n' >&"${holder[1]}"
read -r snapshot <&"${holder[0]}" || stop "the database gave no snapshot"

pg_dump -Fc --snapshot="$snapshot" -f "$DRILL_DUMP.part" "$bare_url" || stop "pg_dump failed, and left $DRILL_DUMP.part"
{
	printf "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '%s';\n%s\n" "$snapshot" "$same_text"
	for table in $tables; do
		digest_query "$table"
	done
} | ask >"$DRILL_DUMP.rows" || stop "what is in the dump cannot be told, so $DRILL_DUMP.part is no dump to rely on"
printf 'COMMIT;\n' >&"${holder[1]}"
ask <<<"SELECT 'fingerprint', current_setting('server_version_num')::integer / 10000, flytrail.schema_fingerprint()" >>"$DRILL_DUMP.rows"
mv "$DRILL_DUMP.part" "$DRILL_DUMP"

say "dumped: $(stat -c %s "$DRILL_DUMP") bytes, SHA-256 $(sha256sum "$DRILL_DUMP" | cut -d ' ' -f 1)"
say "by table, rows, digest:"
cat "$DRILL_DUMP.rows"
