#include "store/inspect.h"

#include "base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct link {
	PGconn *pg;
	int64_t deadline_ns; /* on the monotonic clock */
};

static void begin_wait(struct link *l)
{
	l->deadline_ns = time_monotonic_ns() + INSPECT_WAIT_SECONDS * NS_PER_S;
}

/* libpq's last words, on one line. */
static enum err_kind pg_failed(struct link *l, struct err *err, const char *doing)
{
	const char *text = PQerrorMessage(l->pg);
	char line[ERR_TEXT_BYTES];
	size_t len = 0;

	for (; *text != '\0' && len + 1 < sizeof(line); text++) {
		line[len] = *text;
		if (*text == '\n' || *text == '\t')
			line[len] = ' ';
		len++;
	}
	while (len > 0 && line[len - 1] == ' ')
		len--;
	line[len] = '\0';
	return err_set(err, ERR_RETRY, "%s: %s", doing, len > 0 ? line : "no answer");
}

static enum err_kind wait_for(struct link *l, short events, struct err *err)
{
	struct pollfd p = {.fd = PQsocket(l->pg), .events = events};
	int64_t left_ns = l->deadline_ns - time_monotonic_ns();
	int got;

	do {
		got = left_ns > 0 ? poll(&p, 1, (int)(left_ns / NS_PER_MS) + 1) : 0;
		left_ns = l->deadline_ns - time_monotonic_ns();
	} while (got < 0 && errno == EINTR);
	if (got > 0)
		return ERR_NONE;
	return err_set(err, ERR_RETRY, "Postgres did not answer within %d s", INSPECT_WAIT_SECONDS);
}

static enum err_kind connect_to(struct link *l, const char *url, struct err *err)
{
	const char *const names[] = {"dbname", "fallback_application_name", NULL};
	const char *const values[] = {url, "flytrail doctor", NULL};
	PQconninfoOption *parsed = PQconninfoParse(url, NULL);
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	enum err_kind rc;

	/* libpq's words about a bad connection string quote it, so they are not used. */
	if (parsed == NULL)
		return err_set(
			err, ERR_CONFIG,
			"the connection string cannot be read: give postgres://USER:PASSWORD@"
			"HOST:PORT/DATABASE, special characters as %%XX");
	PQconninfoFree(parsed);
	l->pg = PQconnectStartParams(names, values, 1);
	if (l->pg == NULL)
		return err_set(err, ERR_FATAL, "out of memory for a connection to Postgres");
	begin_wait(l);
	while (PQstatus(l->pg) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
		rc = wait_for(l, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, err);
		if (rc)
			return rc;
		state = PQconnectPoll(l->pg);
		if (state == PGRES_POLLING_FAILED)
			break;
	}
	if (PQstatus(l->pg) != CONNECTION_OK)
		return pg_failed(l, err, "cannot connect");
	if (PQsetnonblocking(l->pg, 1) != 0)
		return pg_failed(l, err, "cannot prepare the connection");
	return ERR_NONE;
}

static enum err_kind await_result(struct link *l, struct err *err)
{
	enum err_kind rc;

	for (;;) {
		int unsent = PQflush(l->pg);

		if (unsent == 0 && !PQisBusy(l->pg))
			return ERR_NONE;
		rc = wait_for(l, unsent > 0 ? POLLIN | POLLOUT : POLLIN, err);
		if (rc)
			return rc;
		if (unsent < 0 || PQconsumeInput(l->pg) != 1)
			return pg_failed(l, err, "the connection broke");
	}
}

/* One statement that gives one row of at least `columns` columns. */
static enum err_kind ask(struct link *l, const char *sql, int columns, PGresult **ret,
			 struct err *err)
{
	PGresult *row = NULL;
	PGresult *more;
	enum err_kind rc = ERR_NONE;

	begin_wait(l);
	if (PQsendQueryParams(l->pg, sql, 0, NULL, NULL, NULL, NULL, 0) != 1)
		return pg_failed(l, err, "cannot ask");
	for (;;) {
		rc = await_result(l, err);
		if (rc)
			goto out;
		more = PQgetResult(l->pg);
		if (more == NULL)
			break;
		PQclear(row);
		row = more;
	}
	if (row == NULL || PQresultStatus(row) != PGRES_TUPLES_OK || PQntuples(row) != 1 ||
	    PQnfields(row) < columns) {
		rc = pg_failed(l, err, "a question was refused");
		goto out;
	}
	*ret = row;
	row = NULL;
out:
	PQclear(row);
	return rc;
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
	"pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool, "
	"r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolbypassrls, r.rolreplication, "
	"CASE WHEN to_regnamespace('flytrail') IS NULL THEN false "
	" WHEN NOT has_schema_privilege('flytrail', 'USAGE') THEN false "
	" ELSE to_regclass('flytrail.schema_version') IS NOT NULL END "
	"FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

static enum err_kind ask_role(struct link *l, struct inspection *in, bool *ret_schema,
			      struct err *err)
{
	PGresult *row = NULL;
	enum err_kind rc = ask(l, ROLE_SQL, 9, &row, err);

	if (rc)
		return rc;
	in->server_version = (int)number(row, 0);
	(void)snprintf(in->role, sizeof(in->role), "%s", PQgetvalue(row, 0, 1));
	in->read_only = truth(row, 2);
	in->superuser = truth(row, 3);
	in->create_role = truth(row, 4);
	in->create_db = truth(row, 5);
	in->bypass_rls = truth(row, 6);
	in->replication = truth(row, 7);
	*ret_schema = truth(row, 8);
	PQclear(row);
	return ERR_NONE;
}

/* The tables that hold state may be updated by the writer; the trail's may not, by anybody. */
static const char RIGHTS_SQL[] =
	"SELECT coalesce(bool_or(pg_has_role(c.relowner, 'USAGE')), false), "
	"count(*) FILTER (WHERE has_table_privilege(c.oid, 'DELETE') "
	" OR has_table_privilege(c.oid, 'TRUNCATE') OR (has_any_column_privilege(c.oid, 'UPDATE') "
	" AND c.relname NOT IN ('streams', 'leases', 'snapshots'))), "
	"coalesce(bool_and(has_table_privilege(c.oid, 'INSERT')) "
	" FILTER (WHERE c.relname IN ('log_lines', 'events')), false) AND "
	"coalesce(bool_and(has_any_column_privilege(c.oid, 'UPDATE')) "
	" FILTER (WHERE c.relname = 'streams'), false) "
	"FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
	"WHERE n.nspname = 'flytrail' AND c.relkind IN ('r', 'p')";

static enum err_kind ask_rights(struct link *l, struct inspection *in, struct err *err)
{
	PGresult *row = NULL;
	enum err_kind rc = ask(l, RIGHTS_SQL, 3, &row, err);

	if (rc)
		return rc;
	in->owns_tables = truth(row, 0);
	in->tables_changeable = (int)number(row, 1);
	in->can_add = truth(row, 2);
	PQclear(row);
	return ERR_NONE;
}

static enum err_kind ask_schema(struct link *l, struct inspection *in, struct err *err)
{
	PGresult *row = NULL;
	enum err_kind rc;

	rc = ask(l,
		 "SELECT coalesce(max(number), 0), coalesce(max(oldest_binary), 0) "
		 "FROM flytrail.schema_version",
		 2, &row, err);
	if (rc)
		return rc;
	in->schema_version = (int)number(row, 0);
	in->oldest_binary = (int)number(row, 1);
	PQclear(row);
	return ERR_NONE;
}

static enum err_kind ask_clock(struct link *l, struct inspection *in, struct err *err)
{
	int64_t before_ns = time_now_ns();
	int64_t start_ns = time_monotonic_ns();
	PGresult *row = NULL;
	enum err_kind rc;

	rc = ask(l, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", 1, &row,
		 err);
	if (rc)
		return rc;
	in->round_trip_ns = time_monotonic_ns() - start_ns;
	in->clock_ahead_ns = number(row, 0) * 1000 - (before_ns + in->round_trip_ns / 2);
	PQclear(row);
	return ERR_NONE;
}

enum err_kind store_inspect(struct inspection *ret, const char *url, struct err *err)
{
	struct inspection in = {0};
	struct link l = {0};
	bool schema = false;
	enum err_kind rc;

	rc = connect_to(&l, url, err);
	if (!rc)
		rc = ask_clock(&l, &in, err);
	if (!rc)
		rc = ask_role(&l, &in, &schema, err);
	if (!rc && schema)
		rc = ask_rights(&l, &in, err);
	if (!rc && schema)
		rc = ask_schema(&l, &in, err);
	if (!rc)
		*ret = in;
	PQfinish(l.pg);
	return rc;
}

int store_library_version(void)
{
	return PQlibVersion();
}
