#include "store/terms.h"

#include "store/session.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t number(const PGresult *row, int line, int column)
{
	return strtoull(PQgetvalue(row, line, column), NULL, 10); /* null: "", which is 0 */
}

static enum err_kind ask_kinds(struct session *s, struct terms *ret, struct err *err)
{
	PGresult *rows;
	enum err_kind rc = session_ask(
		s, "SELECT kind, keep_for_days, keep_at_most_days FROM flytrail.retention", NULL, 0,
		&rows, err);

	if (rc)
		return rc;
	for (int i = 0; i < PQntuples(rows); i++)
		for (size_t k = 0; k < LIMITS_KINDS; k++)
			if (strcmp(PQgetvalue(rows, i, 0), limits_kind_name((enum limits_kind)k)) ==
			    0)
				ret->kinds[k] = (struct terms_kind){
					.for_days = (int64_t)number(rows, i, 1),
					.at_most_days = (int64_t)number(rows, i, 2),
				};
	PQclear(rows);
	return ERR_NONE;
}

/* Lines and events, as a view over both. */
static const char LOCKS_SQL[] =
	"SELECT count(*) FILTER (WHERE t.isleaf), "
	"sum(1 + (SELECT count(*) FROM pg_catalog.pg_index i WHERE i.indrelid = t.relid)), "
	"current_setting('max_locks_per_transaction')::bigint "
	"* (current_setting('max_connections')::bigint "
	"+ current_setting('max_prepared_transactions')::bigint) "
	"FROM (SELECT * FROM pg_partition_tree('flytrail.log_lines') "
	"UNION ALL SELECT * FROM pg_partition_tree('flytrail.events')) AS t";

static enum err_kind ask_locks(struct session *s, struct terms *ret, struct err *err)
{
	PGresult *row;
	enum err_kind rc = session_ask(s, LOCKS_SQL, NULL, 0, &row, err);

	if (rc)
		return rc;
	ret->partitions = number(row, 0, 0);
	ret->locks = number(row, 0, 1);
	ret->lock_max = number(row, 0, 2);
	PQclear(row);
	return ERR_NONE;
}

static const char LEFTOVERS_SQL[] =
	"SELECT name FROM flytrail.retention_leftovers() AS l (name) ORDER BY name";
static const char STRAYS_SQL[] =
	"SELECT name FROM flytrail.retention_strays() AS s (name) ORDER BY name";

static enum err_kind ask_tables(struct session *s, const char *sql, struct terms_tables *ret,
				struct err *err)
{
	size_t len = 0;
	PGresult *rows;
	enum err_kind rc = session_ask(s, sql, NULL, 0, &rows, err);

	if (rc)
		return rc;
	ret->count = (uint64_t)PQntuples(rows);
	for (int i = 0; i < PQntuples(rows) && i < TERMS_NAMES_MAX && len < sizeof(ret->names); i++)
		len += (size_t)snprintf(ret->names + len, sizeof(ret->names) - len, "%s%s",
					i > 0 ? ", " : "", PQgetvalue(rows, i, 0));
	PQclear(rows);
	return ERR_NONE;
}

/* What is kept for its term alone does not wait. A hold's reason is anybody's text: a terminal gets
 * none. */
static const char WAITING_SQL[] =
	"SELECT flytrail.retention_clock(), count(*), "
	"(array_agg(p.partition || ': ' || split_part(p.why, ':', 1) ORDER BY p.first_at))[1] "
	"FROM flytrail.retention_plan() AS p(kind, partition, first_at, end_at, rows_about, bytes, "
	"goes, is_past, why) WHERE NOT p.goes AND p.why NOT LIKE 'kept %'";

static enum err_kind ask_waiting(struct session *s, struct terms *ret, struct err *err)
{
	PGresult *row;
	enum err_kind rc = session_ask(s, WAITING_SQL, NULL, 0, &row, err);

	if (rc)
		return rc;
	(void)snprintf(ret->clock, sizeof(ret->clock), "%s", PQgetvalue(row, 0, 0));
	ret->waiting = number(row, 0, 1);
	(void)snprintf(ret->waits, sizeof(ret->waits), "%s", PQgetvalue(row, 0, 2));
	PQclear(row);
	return ERR_NONE;
}

enum err_kind terms_ask(struct terms *ret, const char *url, struct err *err)
{
	const struct session_options options = {.url = url,
						.url_name = "FLYTRAIL_DATABASE_URL",
						.connect_seconds = TERMS_WAIT_SECONDS,
						.answer_seconds = TERMS_WAIT_SECONDS};
	struct terms terms = {.partitions = 0};
	struct session *s = NULL;
	enum err_kind rc = session_open(&s, &options, err);

	if (!rc)
		rc = ask_kinds(s, &terms, err);
	if (!rc)
		rc = ask_locks(s, &terms, err);
	if (!rc)
		rc = ask_tables(s, LEFTOVERS_SQL, &terms.leftovers, err);
	if (!rc)
		rc = ask_tables(s, STRAYS_SQL, &terms.strays, err);
	if (!rc)
		rc = ask_waiting(s, &terms, err);
	if (!rc)
		*ret = terms;
	session_close(s);
	return rc;
}
