# What the scripts of this folder share. Each is read by bash with `set -euo pipefail`.
# shellcheck shell=bash disable=SC2034 # what is set here is for who reads it

say() {
	printf '%s\n' "$*"
}

# One sentence about what is wrong, and what was not done because of it.
stop() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# VARIABLE 'what it is': it has to be set.
need() {
	[ -n "${!1:-}" ] || stop "$1 is not set: $2. Nothing was done."
}

need_commands() {
	local command
	for command in "$@"; do
		command -v "$command" >/dev/null || stop "there is no $command on this machine. Nothing was done."
	done
}

# Where flytrail is not on the PATH, DRILL_FLYTRAIL says where it is.
flytrail=${DRILL_FLYTRAIL:-flytrail}

# FOLDER of a spool to be made: whether somebody else's data may be there.
need_absent_or_empty() {
	[ ! -e "$1" ] || { [ -d "$1" ] && [ -z "$(ls -A "$1")" ]; } ||
		stop "$1 is there and not empty, and nothing is overwritten: name another folder. Nothing was done."
}

# VARIABLE: a program's arguments are for everybody on its machine to see, so the password of the
# URL goes by the environment. Sets bare_url, and PGPASSWORD for what is started from here on; where
# the URL has none, PGPASSWORD is the caller's.
use_database() {
	local url=${!1} password
	case $url in
	*password=*) stop "$1 has its password as a parameter: write it as postgres://USER:PASSWORD@HOST/DATABASE. Nothing was done." ;;
	postgres://* | postgresql://*) ;;
	*) stop "$1 is no address like postgres://USER:PASSWORD@HOST/DATABASE. Nothing was done." ;;
	esac
	if [[ $url =~ ^([a-z]+://[^:@/]*):([^@/]*)@(.*)$ ]]; then
		bare_url=${BASH_REMATCH[1]}@${BASH_REMATCH[3]}
		password=${BASH_REMATCH[2]//\\/\\\\}
		printf -v PGPASSWORD '%b' "${password//%/\\x}"
		export PGPASSWORD
	else
		bare_url=$url
	fi
}

# SQL on standard input, of the database in use; rows as text, columns apart by a blank.
ask() {
	psql -X -q -A -t -F ' ' -v ON_ERROR_STOP=1 -f - "$bare_url"
}

# VARIABLE 'whose it is': the database answers, and is in use from here on.
reach_database() {
	use_database "$1"
	ask <<<'SELECT 1' >/dev/null || stop "$2, which $1 names, does not answer, or refuses us. Nothing was done."
}

# Says whether anything that is not Postgres's own is in the database in use.
has_objects() {
	[ "$(ask <<<"SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'")" != 0 ]
}

# So that the same row is the same text, whoever asks. The digest of a table is a sum, so that no
# order is needed, and 64 bits of each row's MD5: it finds what differs by mistake, not a forger.
same_text="SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET intervalstyle = 'postgres';
SET bytea_output = 'hex'; SET extra_float_digits = 1; SET statement_timeout = 0;"

# TABLE [CONDITION [TEXT]]: a query for its name, rows, and digest of the rows or of the TEXT of each.
digest_query() {
	printf "SELECT '%s', count(*), md5(coalesce(sum(('x' || left(md5(%s), 16))::bit(64)::bigint::numeric), 0)::text)
		FROM %s AS t WHERE %s;\n" "$1" "${3:-t::text}" "$1" "${2:-true}"
}

# A query for the trail's tables; partitions are their parents'.
trail_tables="SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
	JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname IN ('flytrail', 'flytrail_ddl') AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY n.nspname, c.relname"
