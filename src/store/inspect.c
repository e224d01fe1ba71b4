#include "store/inspect.h"

#include "base/time.h"
#include "store/session.h"

#include <stdio.h>
#include <stdlib.h>

enum { COVERAGE_SCHEMA = 7 }; /* has the view coverage */

/* One statement that gives one row. */
static enum err_kind ask(struct session *s, const char *sql, PGresult **ret, struct err *err)
{
	PGresult *row = NULL;
	enum err_kind rc = session_ask(s, sql, NULL, 0, &row, err);

	if (rc)
		return rc;
	if (PQntuples(row) != 1) {
		PQclear(row);
		return err_set(err, ERR_CONFIG, "Postgres' catalogues do not say who is connected");
	}
	*ret = row;
	return ERR_NONE;
}

static int64_t number(const PGresult *row, int column)
{
	return strtoll(PQgetvalue(row, 0, column), NULL, 10);
}

static bool truth(const PGresult *row, int column)
{
	return PQgetvalue(row, 0, column)[0] == 't';
}

static const char ROLE_SQL[] =
	"SELECT current_setting('server_version_num')::int, r.rolname, "
	"r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolbypassrls, r.rolreplication, "
	"CASE WHEN to_regnamespace('flytrail') IS NULL THEN false "
	" WHEN NOT has_schema_privilege('flytrail', 'USAGE') THEN false "
	" ELSE to_regclass('flytrail.schema_version') IS NOT NULL END, "
	"coalesce(NOT has_table_privilege(pg_catalog.to_regclass('flytrail.schema_version'), "
	" 'SELECT'), false) "
	"FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

static enum err_kind ask_role(struct session *s, struct inspection *in, bool *ret_schema,
			      struct err *err)
{
	PGresult *row = NULL;
	enum err_kind rc = ask(s, ROLE_SQL, &row, err);

	if (rc)
		return rc;
	in->server_version = (int)number(row, 0);
	(void)snprintf(in->role, sizeof(in->role), "%s", PQgetvalue(row, 0, 1));
	in->superuser = truth(row, 2);
	in->create_role = truth(row, 3);
	in->create_db = truth(row, 4);
	in->bypass_rls = truth(row, 5);
	in->replication = truth(row, 6);
	*ret_schema = truth(row, 7);
	in->is_hidden = *ret_schema && truth(row, 8);
	PQclear(row);
	return ERR_NONE;
}

/* The tables that hold state may be updated by the writer; the trail's may not, by anybody. */
static const char RIGHTS_SQL[] =
	"SELECT coalesce(bool_or(pg_has_role(c.relowner, 'USAGE')), false), "
	"count(*) FILTER (WHERE has_table_privilege(c.oid, 'TRUNCATE') "
	" OR (has_table_privilege(c.oid, 'DELETE') AND c.relname <> 'facts_taken') "
	" OR (has_any_column_privilege(c.oid, 'UPDATE') "
	" AND c.relname NOT IN ('streams', 'leases', 'snapshots', 'fact_takers'))), "
	"coalesce(bool_and(has_table_privilege(c.oid, 'INSERT')) "
	" FILTER (WHERE c.relname IN ('log_lines', 'events')), false) AND "
	"coalesce(bool_and(has_any_column_privilege(c.oid, 'UPDATE')) "
	" FILTER (WHERE c.relname = 'streams'), false) "
	"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
	"WHERE n.nspname = 'flytrail' AND c.relkind IN ('r', 'p')";

static enum err_kind ask_rights(struct session *s, struct inspection *in, struct err *err)
{
	PGresult *row = NULL;
	enum err_kind rc = ask(s, RIGHTS_SQL, &row, err);

	if (rc)
		return rc;
	in->owns_tables = truth(row, 0);
	in->tables_changeable = (int)number(row, 1);
	in->can_add = truth(row, 2);
	PQclear(row);
	return ERR_NONE;
}

static enum err_kind ask_schema(struct session *s, struct inspection *in, struct err *err)
{
	PGresult *row = NULL;
	enum err_kind rc;

	rc = ask(s,
		 "SELECT coalesce(max(version), 0), coalesce(max(oldest_binary), 0) "
		 "FROM flytrail.schema_version",
		 &row, err);
	if (rc)
		return rc;
	in->schema_version = (int)number(row, 0);
	in->oldest_binary = (int)number(row, 1);
	PQclear(row);
	return ERR_NONE;
}

static enum err_kind ask_stream(struct session *s, const struct spool_stream *stream,
				struct inspection *in, struct err *err)
{
	char uuid[ID_TEXT_BYTES];
	const char *const values[] = {id_format(&stream->uuid, uuid)};
	PGresult *row = NULL;
	enum err_kind rc =
		session_ask(s, "SELECT epoch, cursor_seq FROM flytrail.streams WHERE stream = $1",
			    values, 1, &row, err);

	if (rc)
		return rc;
	in->has_stream = PQntuples(row) == 1;
	if (in->has_stream) {
		in->stream_epoch = (uint64_t)number(row, 0);
		in->stream_cursor = (uint64_t)number(row, 1);
	}
	PQclear(row);
	return ERR_NONE;
}

static enum err_kind ask_mismatches(struct session *s, struct inspection *in, struct err *err)
{
	PGresult *row = NULL;
	enum err_kind rc;

	rc = ask(s,
		 "SELECT coalesce(sum(id_mismatches), 0) FROM flytrail.coverage "
		 "WHERE kind = 'compared' AND window_end > now() - interval '7 days'",
		 &row, err);
	if (rc)
		return rc;
	in->id_mismatches = (uint64_t)number(row, 0);
	PQclear(row);
	return ERR_NONE;
}

static enum err_kind ask_clock(struct session *s, struct inspection *in, struct err *err)
{
	int64_t before_ns = time_now_ns();
	int64_t start_ns = time_monotonic_ns();
	PGresult *row = NULL;
	enum err_kind rc;

	rc = ask(s, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", &row, err);
	if (rc)
		return rc;
	in->round_trip_ns = time_monotonic_ns() - start_ns;
	in->clock_ahead_ns = number(row, 0) * 1000 - (before_ns + in->round_trip_ns / 2);
	PQclear(row);
	return ERR_NONE;
}

enum err_kind store_inspect(struct inspection *ret, const char *url,
			    const struct spool_stream *stream, struct err *err)
{
	const struct session_options options = {.url = url,
						.url_name = "FLYTRAIL_DATABASE_URL",
						.connect_seconds = INSPECT_WAIT_SECONDS,
						.answer_seconds = INSPECT_WAIT_SECONDS};
	struct inspection in = {0};
	struct session *s = NULL;
	bool schema = false;
	enum err_kind rc;

	rc = session_open(&s, &options, err);
	if (!rc)
		rc = ask_clock(s, &in, err);
	if (!rc)
		rc = ask_role(s, &in, &schema, err);
	if (!rc && schema)
		rc = ask_rights(s, &in, err);
	if (!rc && schema && !in.is_hidden)
		rc = ask_schema(s, &in, err);
	if (!rc && in.can_add && in.schema_version >= COVERAGE_SCHEMA)
		rc = ask_mismatches(s, &in, err);
	if (!rc && in.can_add && stream)
		rc = ask_stream(s, stream, &in, err);
	if (!rc)
		*ret = in;
	session_close(s);
	return rc;
}

int store_library_version(void)
{
	return PQlibVersion();
}
