#include "store/retention.h"

#include "store/session.h"

#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_BYTES = 24 };

#define RFC3339 "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'"
#define MICROSECONDS(column) "(extract(epoch FROM " column ") * 1000000)::bigint"

struct retention {
	struct session *session;
	bool lost;
};

struct retention_plan {
	PGresult *rows;
};

const char *const retention_kinds[RETENTION_KINDS] = {"log_lines", "security", "operations"};

/* --- the session --- */

static enum err_kind open_as(struct retention **ret, struct session_options options,
			     struct err *err)
{
	struct retention *r = calloc(1, sizeof(*r));
	enum err_kind rc;

	if (!r) {
		(void)err_set(err, ERR_FATAL, "out of memory for retention");
		return ERR_FATAL;
	}
	options.connect_seconds = RETENTION_CONNECT_SECONDS;
	options.answer_seconds = RETENTION_ANSWER_SECONDS;
	rc = session_open(&r->session, &options, err);
	if (rc) {
		free(r);
		return rc;
	}
	*ret = r;
	return ERR_NONE;
}

static enum err_kind ask(struct retention *r, const char *sql, const char *const *values, int count,
			 PGresult **ret, struct err *err)
{
	enum err_kind rc = session_ask(r->session, sql, values, count, ret, err);

	/* Without an SQLSTATE it was not the server that refused. */
	if (rc == ERR_RETRY && session_state(r->session)[0] == '\0')
		r->lost = true;
	return rc;
}

static enum err_kind run(struct retention *r, const char *sql, const char *const *values, int count,
			 struct err *err)
{
	PGresult *rows = NULL;
	enum err_kind rc = ask(r, sql, values, count, &rows, err);

	if (!rc)
		PQclear(rows);
	return rc;
}

enum err_kind retention_open(struct retention **ret, const char *url, struct err *err)
{
	const struct session_options options = {.url = url, .url_name = "FLYTRAIL_DATABASE_URL"};

	return open_as(ret, options, err);
}

enum err_kind retention_open_admin(struct retention **ret, const char *url, const char *owner_role,
				   struct err *err)
{
	const char *const values[] = {owner_role};
	const struct session_options options = {
		.url = url, .url_name = "FLYTRAIL_ADMIN_DATABASE_URL", .has_no_rows = true};
	struct retention *r = NULL;
	enum err_kind rc = open_as(&r, options, err);

	if (rc)
		return rc;
	/* Who acts is the session's user, whatever its role. */
	rc = run(r, "SELECT set_config('role', $1, false)", values, ARRAY_LEN(values), err);
	if (rc) {
		retention_close(r);
		return rc;
	}
	*ret = r;
	return ERR_NONE;
}

void retention_close(struct retention *r)
{
	if (!r)
		return;
	session_close(r->session);
	free(r);
}

struct session *retention_session(struct retention *r)
{
	return r->session;
}

bool retention_is_lost(struct retention *r)
{
	struct err aside;

	/* Whom the session was lent to may have lost it as well. */
	if (!r->lost && session_run(r->session, "SELECT 1", &aside))
		r->lost = true;
	return r->lost;
}

bool retention_archive_differs(const struct retention *r)
{
	return strcmp(session_state(r->session), "FT003") == 0;
}

static uint64_t number_at(const PGresult *rows, int row, int column)
{
	return strtoull(PQgetvalue(rows, row, column), NULL, 10);
}

static bool is_true(const PGresult *rows, int row, int column)
{
	return PQgetvalue(rows, row, column)[0] == 't';
}

static const char *number_text(int number, char text[NUMBER_BYTES])
{
	(void)snprintf(text, NUMBER_BYTES, "%d", number);
	return text;
}

/* --- terms --- */

static void take_term(const PGresult *rows, int row, struct retention_term ret[RETENTION_KINDS])
{
	for (size_t i = 0; i < RETENTION_KINDS; i++)
		if (strcmp(retention_kinds[i], PQgetvalue(rows, row, 0)) == 0) {
			ret[i].keep_for = (int)number_at(rows, row, 1);
			ret[i].keep_at_most = (int)number_at(rows, row, 2);
		}
}

enum err_kind retention_read_terms(struct retention *r, struct retention_term ret[RETENTION_KINDS],
				   struct err *err)
{
	PGresult *rows = NULL;
	enum err_kind rc = ask(r,
			       "SELECT kind, keep_for_days, coalesce(keep_at_most_days, 0) "
			       "FROM flytrail.retention",
			       NULL, 0, &rows, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < RETENTION_KINDS; i++)
		ret[i] = (struct retention_term){.kind = retention_kinds[i]};
	for (int i = 0; i < PQntuples(rows); i++)
		take_term(rows, i, ret);
	PQclear(rows);
	return ERR_NONE;
}

static enum err_kind set_term(struct retention *r, const struct retention_term *t, struct err *err)
{
	char keep_for[NUMBER_BYTES], keep_at_most[NUMBER_BYTES];
	const char *const values[] = {
		t->kind, number_text(t->keep_for, keep_for),
		t->keep_at_most > 0 ? number_text(t->keep_at_most, keep_at_most) : NULL};

	return run(r, "SELECT flytrail.set_retention($1, $2::int, $3::int)", values,
		   ARRAY_LEN(values), err);
}

/* In a transaction that is still open, also where it fails. */
static enum err_kind begin_terms(struct retention *r, const struct retention_term *terms,
				 size_t count, struct err *err)
{
	enum err_kind rc = run(r, "BEGIN", NULL, 0, err);

	for (size_t i = 0; i < count && !rc; i++) {
		rc = set_term(r, &terms[i], err);
		if (rc && count > 1)
			(void)err_wrap(err, "%s", terms[i].kind);
	}
	return rc;
}

/* What it cannot take back, the end of the session does. */
static void take_back(struct retention *r)
{
	struct err aside;

	if (run(r, "ROLLBACK", NULL, 0, &aside))
		r->lost = true;
}

enum err_kind retention_set_terms(struct retention *r, const struct retention_term *terms,
				  size_t count, struct err *err)
{
	enum err_kind rc = begin_terms(r, terms, count, err);

	if (!rc)
		return run(r, "COMMIT", NULL, 0, err);
	take_back(r);
	return rc;
}

enum err_kind retention_try_terms(struct retention *r, const struct retention_term *terms,
				  size_t count, struct retention_plan **ret, struct err *err)
{
	enum err_kind rc = begin_terms(r, terms, count, err);

	if (!rc)
		rc = retention_plan_read(r, ret, err);
	take_back(r);
	return rc;
}

/* --- holds --- */

enum err_kind retention_add_hold(struct retention *r, const struct retention_hold *h,
				 char ret_id[ID_TEXT_BYTES], struct err *err)
{
	const char *const values[] = {h->app, h->actor, h->class, h->since, h->until, h->reason};
	PGresult *rows = NULL;
	enum err_kind rc = ask(r,
			       "SELECT flytrail.add_hold(nullif($1, ''), nullif($2, ''), "
			       "nullif($3, ''), nullif($4, '')::timestamptz, "
			       "nullif($5, '')::timestamptz, $6)",
			       values, ARRAY_LEN(values), &rows, err);

	if (rc)
		return rc;
	(void)snprintf(ret_id, ID_TEXT_BYTES, "%s", PQgetvalue(rows, 0, 0));
	PQclear(rows);
	return ERR_NONE;
}

/* An actor is written as add_hold() writes it, and in the collation of the index. */
static const char STRANGERS_SQL[] =
	"SELECT $1 <> '' AND NOT EXISTS (SELECT FROM flytrail.events WHERE app = $1)"
	" AND NOT EXISTS (SELECT FROM flytrail.snapshots WHERE scope = $1),"
	" $2 <> '' AND NOT EXISTS"
	" (SELECT FROM flytrail.events WHERE actor = lower($2 COLLATE \"C\") COLLATE \"default\")";

enum err_kind retention_hold_strangers(struct retention *r, const struct retention_hold *h,
				       struct retention_strangers *ret, struct err *err)
{
	const char *const values[] = {h->app, h->actor};
	PGresult *rows = NULL;
	enum err_kind rc = ask(r, STRANGERS_SQL, values, ARRAY_LEN(values), &rows, err);

	if (rc)
		return rc;
	ret->app = is_true(rows, 0, 0);
	ret->actor = is_true(rows, 0, 1);
	PQclear(rows);
	return ERR_NONE;
}

enum err_kind retention_release_hold(struct retention *r, const char *id, const char *reason,
				     struct err *err)
{
	const char *const values[] = {id, reason};

	return run(r, "SELECT flytrail.release_hold($1::uuid, $2)", values, ARRAY_LEN(values), err);
}

static const char HOLDS_SQL[] =
	"SELECT hold_id, coalesce(app, ''), coalesce(actor, ''), coalesce(class, ''),"
	" coalesce(to_char(since_at, " RFC3339 "), ''), coalesce(to_char(until_at, " RFC3339
	"), ''), reason, added_by, to_char(added_at, " RFC3339
	") FROM flytrail.open_holds ORDER BY added_at, hold_id LIMIT $1";

enum err_kind retention_list_holds(struct retention *r,
				   void (*hold)(void *arg, const struct retention_hold *h),
				   void *arg, struct err *err)
{
	char limit[NUMBER_BYTES];
	const char *const values[] = {number_text(RETENTION_ROWS_MAX, limit)};
	PGresult *rows = NULL;
	enum err_kind rc = ask(r, HOLDS_SQL, values, ARRAY_LEN(values), &rows, err);

	if (rc)
		return rc;
	for (int i = 0; i < PQntuples(rows); i++) {
		const struct retention_hold h = {
			.id = PQgetvalue(rows, i, 0),
			.app = PQgetvalue(rows, i, 1),
			.actor = PQgetvalue(rows, i, 2),
			.class = PQgetvalue(rows, i, 3),
			.since = PQgetvalue(rows, i, 4),
			.until = PQgetvalue(rows, i, 5),
			.reason = PQgetvalue(rows, i, 6),
			.by = PQgetvalue(rows, i, 7),
			.added = PQgetvalue(rows, i, 8),
		};

		hold(arg, &h);
	}
	PQclear(rows);
	return ERR_NONE;
}

/* --- the plan --- */

static const char PLAN_SQL[] =
	"SELECT p.kind, p.partition, to_char(p.first_at, 'YYYY-MM-DD'),"
	" to_char(p.end_at, 'YYYY-MM-DD'), " MICROSECONDS("p.first_at") ", " MICROSECONDS(
		"p.end_at") ", p.rows_about, p.bytes, p.goes, p.is_past, p.why "
			    "FROM flytrail.retention_plan() AS p(kind, partition, first_at, "
			    "end_at, rows_about, bytes,"
			    " goes, is_past, why) ORDER BY p.kind, p.first_at LIMIT $1";

enum plan_column {
	PLAN_KIND,
	PLAN_PARTITION,
	PLAN_FROM,
	PLAN_TO,
	PLAN_FROM_US,
	PLAN_TO_US,
	PLAN_ROWS,
	PLAN_BYTES,
	PLAN_GOES,
	PLAN_IS_PAST,
	PLAN_WHY,
};

enum err_kind retention_plan_read(struct retention *r, struct retention_plan **ret, struct err *err)
{
	char limit[NUMBER_BYTES];
	const char *const values[] = {number_text(RETENTION_ROWS_MAX, limit)};
	struct retention_plan *p = calloc(1, sizeof(*p));
	enum err_kind rc;

	if (!p)
		return err_set(err, ERR_FATAL, "out of memory for a plan");
	rc = ask(r, PLAN_SQL, values, ARRAY_LEN(values), &p->rows, err);
	if (rc) {
		free(p);
		return rc;
	}
	*ret = p;
	return ERR_NONE;
}

void retention_plan_free(struct retention_plan *p)
{
	if (!p)
		return;
	PQclear(p->rows);
	free(p);
}

size_t retention_plan_count(const struct retention_plan *p)
{
	return (size_t)PQntuples(p->rows);
}

static int64_t ns_at(const PGresult *rows, int row, int column)
{
	return strtoll(PQgetvalue(rows, row, column), NULL, 10) * NS_PER_US;
}

struct retention_row retention_plan_row(const struct retention_plan *p, size_t idx)
{
	const PGresult *rows = p->rows;
	int row = (int)idx;

	REQUIRE(idx < retention_plan_count(p));
	return (struct retention_row){
		.kind = PQgetvalue(rows, row, PLAN_KIND),
		.partition = PQgetvalue(rows, row, PLAN_PARTITION),
		.from = PQgetvalue(rows, row, PLAN_FROM),
		.to = PQgetvalue(rows, row, PLAN_TO),
		.from_ns = ns_at(rows, row, PLAN_FROM_US),
		.to_ns = ns_at(rows, row, PLAN_TO_US),
		.rows_about = number_at(rows, row, PLAN_ROWS),
		.bytes = number_at(rows, row, PLAN_BYTES),
		.goes = is_true(rows, row, PLAN_GOES),
		.is_past_keep_at_most = is_true(rows, row, PLAN_IS_PAST),
		.why = PQgetvalue(rows, row, PLAN_WHY),
	};
}

bool retention_row_is_kept(const struct retention_row *row)
{
	static const char kept[] = "kept "; /* until a date, or for ever */

	return !row->goes && strncmp(row->why, kept, sizeof(kept) - 1) == 0;
}

bool retention_row_waits(const struct retention_row *row)
{
	return !row->goes && !retention_row_is_kept(row);
}

/* --- applying it --- */

enum err_kind retention_lock(struct retention *r, bool *ret_mine, struct err *err)
{
	PGresult *rows = NULL;
	enum err_kind rc = ask(r,
			       "SELECT pg_try_advisory_lock("
			       "hashtextextended('flytrail.retention', 0))",
			       NULL, 0, &rows, err);

	if (rc)
		return rc;
	*ret_mine = is_true(rows, 0, 0);
	PQclear(rows);
	return ERR_NONE;
}

enum err_kind retention_check_clock(struct retention *r, struct err *err)
{
	PGresult *rows = NULL;
	enum err_kind rc = ask(r, "SELECT flytrail.retention_clock()", NULL, 0, &rows, err);

	if (rc)
		return rc;
	if (!PQgetisnull(rows, 0, 0))
		rc = err_set(err, ERR_CONFIG,
			     "%s: set the clock that is wrong, or, if nothing was recorded for so "
			     "long, start `flytrail run`",
			     PQgetvalue(rows, 0, 0));
	PQclear(rows);
	return rc;
}

static enum err_kind read_names(struct retention *r, const char *sql, struct retention_names *ret,
				struct err *err)
{
	char limit[NUMBER_BYTES];
	const char *const values[] = {number_text(RETENTION_NAMES_MAX, limit)};
	PGresult *rows = NULL;
	enum err_kind rc = ask(r, sql, values, ARRAY_LEN(values), &rows, err);

	if (rc)
		return rc;
	ret->count = (size_t)PQntuples(rows);
	for (size_t i = 0; i < ret->count; i++)
		(void)snprintf(ret->names[i], sizeof(ret->names[i]), "%s",
			       PQgetvalue(rows, (int)i, 0));
	PQclear(rows);
	return ERR_NONE;
}

enum err_kind retention_leftovers(struct retention *r, struct retention_names *ret, struct err *err)
{
	return read_names(r,
			  "SELECT n FROM flytrail.retention_leftovers() AS n ORDER BY n LIMIT $1",
			  ret, err);
}

enum err_kind retention_strays(struct retention *r, struct retention_names *ret, struct err *err)
{
	return read_names(r, "SELECT n FROM flytrail.retention_strays() AS n ORDER BY n LIMIT $1",
			  ret, err);
}

enum err_kind retention_detach(struct retention *r, const char *partition,
			       char ret_leaving[RETENTION_NAME_BYTES], struct err *err)
{
	const char *const values[] = {partition};
	PGresult *rows = NULL;
	enum err_kind rc = ask(r, "SELECT flytrail.retention_detach($1)", values, ARRAY_LEN(values),
			       &rows, err);

	if (rc)
		return rc;
	(void)snprintf(ret_leaving, RETENTION_NAME_BYTES, "%s", PQgetvalue(rows, 0, 0));
	PQclear(rows);
	return ERR_NONE;
}

enum err_kind retention_attach(struct retention *r, const char *leaving, struct err *err)
{
	const char *const values[] = {leaving};

	return run(r, "SELECT flytrail.retention_attach($1)", values, ARRAY_LEN(values), err);
}

enum err_kind retention_digest(struct retention *r, const char *leaving,
			       struct retention_digest *ret, struct err *err)
{
	const char *const values[] = {leaving};
	PGresult *rows = NULL;
	enum err_kind rc = ask(r,
			       "SELECT d.rows, d.bytes, d.apart, coalesce(d.digest, '') FROM "
			       "flytrail.retention_digest($1) AS d(rows, bytes, digest, apart)",
			       values, ARRAY_LEN(values), &rows, err);

	if (rc)
		return rc;
	ret->rows = number_at(rows, 0, 0);
	ret->bytes = number_at(rows, 0, 1);
	ret->apart = number_at(rows, 0, 2);
	(void)snprintf(ret->digest, sizeof(ret->digest), "%s", PQgetvalue(rows, 0, 3));
	PQclear(rows);
	return ERR_NONE;
}

enum err_kind retention_drop(struct retention *r, const char *leaving, const char *archive,
			     bool without_archive, struct err *err)
{
	const char *const values[] = {leaving, archive, without_archive ? "true" : "false"};

	return run(r, "SELECT flytrail.retention_drop($1, $2::jsonb, $3::boolean)", values,
		   ARRAY_LEN(values), err);
}

enum err_kind retention_tidy(struct retention *r, struct err *err)
{
	return run(r, "SELECT flytrail.retention_tidy()", NULL, 0, err);
}

/* --- for the replica that applies it daily --- */

enum err_kind retention_take_lease(struct retention *r, const char *name, const char *holder,
				   int seconds, bool *ret_mine, struct err *err)
{
	struct lease lease;
	enum err_kind rc = lease_take(r->session, name, holder, seconds, &lease, err);

	if (!rc)
		*ret_mine = lease.mine;
	return rc;
}

/* The index events_trail_idx finds them. */
static const char IS_TOLD_SQL[] =
	"SELECT EXISTS (SELECT FROM flytrail.events e WHERE e.class = 'trail'"
	" AND e.correlation_id = $1 AND e.action = 'trail.retention_waits'"
	" AND e.attributes ->> 'state' = $2)";

enum err_kind retention_wait_is_told(struct retention *r, const char *partition, const char *state,
				     bool *ret, struct err *err)
{
	const char *const values[] = {partition, state};
	PGresult *rows = NULL;
	enum err_kind rc = ask(r, IS_TOLD_SQL, values, ARRAY_LEN(values), &rows, err);

	if (rc)
		return rc;
	*ret = is_true(rows, 0, 0);
	PQclear(rows);
	return ERR_NONE;
}
