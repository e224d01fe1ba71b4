#include "store/recovery.h"

#include "base/time.h"
#include "store/recovery_inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONNECT_SECONDS = 10,
	ANSWER_SECONDS = 60,
	ARRAY_BYTES_MAX = RECOVERY_LINES_MAX * 64,
};

enum err_kind recovery_open(struct recovery **ret, const struct recovery_options *options,
			    struct err *err)
{
	const struct session_options session = {
		.url = options->url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = CONNECT_SECONDS,
		.answer_seconds = ANSWER_SECONDS,
	};
	struct recovery *r = calloc(1, sizeof(*r));
	enum err_kind rc;

	if (!r)
		return err_set(err, ERR_FATAL, "out of memory for recovery");
	(void)lease_holder(options->replica, &options->stream, r->holder);
	buf_init(&r->times, ARRAY_BYTES_MAX);
	buf_init(&r->ids, ARRAY_BYTES_MAX);
	buf_init(&r->differs, ARRAY_BYTES_MAX);
	rc = session_open(&r->session, &session, err);
	if (rc) {
		recovery_close(r);
		return rc;
	}
	*ret = r;
	return ERR_NONE;
}

void recovery_close(struct recovery *r)
{
	if (!r)
		return;
	session_close(r->session);
	buf_release(&r->times);
	buf_release(&r->ids);
	buf_release(&r->differs);
	free(r);
}

enum err_kind recovery_take_lease(struct recovery *r, const char *name, int seconds, bool *ret_mine,
				  struct err *err)
{
	struct lease lease;
	enum err_kind rc = lease_take(r->session, name, r->holder, seconds, &lease, err);

	*ret_mine = rc == ERR_NONE && lease.mine;
	return rc;
}

void recovery_give_back_lease(struct recovery *r, const char *name)
{
	struct err aside;
	enum err_kind rc = lease_give_back(r->session, name, r->holder, &aside);

	(void)rc; /* then it expires */
}

/* Microseconds as Postgres told them; null is RECOVERY_NO_TIME. */
static int64_t time_at(const PGresult *rows, int row, int column)
{
	if (PQgetisnull(rows, row, column))
		return RECOVERY_NO_TIME;
	return strtoll(PQgetvalue(rows, row, column), NULL, 10) * NS_PER_US;
}

enum err_kind recovery_ask_bool(struct recovery *r, const char *sql, const char *const *values,
				int count, bool *ret, struct err *err)
{
	PGresult *rows;
	enum err_kind rc = session_ask(r->session, sql, values, count, &rows, err);

	if (rc)
		return rc;
	*ret = PQgetvalue(rows, 0, 0)[0] == 't';
	PQclear(rows);
	return ERR_NONE;
}

struct span recovery_text_at(const PGresult *rows, int row, int column)
{
	return span_of(PQgetvalue(rows, row, column), (size_t)PQgetlength(rows, row, column));
}

void recovery_copy_at(const PGresult *rows, int row, int column, char *ret, size_t bytes)
{
	(void)snprintf(ret, bytes, "%s", PQgetvalue(rows, row, column));
}

/* --- gaps --- */

/* Infinity has no number; it comes as null. */
static const char GAPS_SQL[] =
	"SELECT gap_id, stream, reason, "
	" CASE WHEN isfinite(gap_start) THEN (extract(epoch FROM gap_start) * 1000000)::bigint "
	"END, "
	" (extract(epoch FROM gap_end) * 1000000)::bigint, lines_recovered, count(*) OVER () "
	"FROM flytrail.gaps WHERE state = 'open' "
	"ORDER BY gap_end IS NULL, gap_start DESC LIMIT $1";

enum err_kind recovery_find_gaps(struct recovery *r, struct recovery_gap ret[RECOVERY_GAPS_MAX],
				 size_t *ret_count, size_t *ret_total, struct err *err)
{
	char limit[RECOVERY_NUMBER_BYTES];
	const char *const values[] = {limit};
	PGresult *rows;
	enum err_kind rc;
	int count;

	(void)snprintf(limit, sizeof(limit), "%d", RECOVERY_GAPS_MAX);
	rc = session_ask(r->session, GAPS_SQL, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	count = PQntuples(rows);
	*ret_count = (size_t)count;
	*ret_total = count > 0 ? strtoull(PQgetvalue(rows, 0, 6), NULL, 10) : 0;
	for (int i = 0; i < count; i++) {
		struct recovery_gap *g = &ret[i];

		recovery_copy_at(rows, i, 0, g->id, sizeof(g->id));
		recovery_copy_at(rows, i, 1, g->stream, sizeof(g->stream));
		recovery_copy_at(rows, i, 2, g->reason, sizeof(g->reason));
		g->start_ns = time_at(rows, i, 3);
		g->end_ns = time_at(rows, i, 4);
		g->lines_recovered = strtoull(PQgetvalue(rows, i, 5), NULL, 10);
	}
	PQclear(rows);
	return ERR_NONE;
}

/*
 * Words of listening are in their spool behind the lines that they vouch for: that they are stored
 * says that those are. A queue group shares lines, so that no member's word is about all of them,
 * nor is one's who subscribed to a part of them or to another organisation.
 */
static const char COVER_SQL[] =
	"SELECT coalesce(max(s.replica), told.stream::text),"
	" bool_or(told.ranges @> tstzrange($2::timestamptz, $3::timestamptz, '[]')) AS is_whole "
	"FROM ("
	" SELECT e.stream, range_agg(tstzrange((e.attributes ->> 'listening_start')::timestamptz,"
	"   (e.attributes ->> 'listening_end')::timestamptz, '[]')) AS ranges"
	" FROM flytrail.events e"
	" WHERE e.retention_class = 'security' AND e.class = 'trail'"
	"  AND e.action = 'trail.listening' AND e.stream <> $1::uuid"
	"  AND NOT e.attributes ?| ARRAY['shared', 'subject']"
	"  AND e.org IS NOT DISTINCT FROM (SELECT g.org FROM flytrail.events g"
	"   WHERE g.retention_class = 'security' AND g.class = 'trail'"
	"    AND g.action = 'trail.gap_opened' AND g.stream = $1::uuid AND g.correlation_id = $4"
	"   ORDER BY g.seq LIMIT 1)"
	"  AND e.occurred_at >= $2::timestamptz AND e.occurred_at < $3::timestamptz + interval '1 "
	"day'"
	"  AND (e.attributes ->> 'listening_start')::timestamptz"
	"   <= (e.attributes ->> 'listening_end')::timestamptz"
	" GROUP BY e.stream) AS told "
	"LEFT JOIN flytrail.streams s ON s.stream = told.stream "
	"WHERE told.ranges @> $2::timestamptz"
	" AND NOT EXISTS (SELECT FROM flytrail.gaps g WHERE g.stream = told.stream"
	"  AND g.gap_start <= $3::timestamptz"
	"  AND coalesce(g.gap_end, 'infinity') >= $2::timestamptz) "
	"GROUP BY told.stream "
	"HAVING bool_or(told.ranges @> $3::timestamptz) OR max(s.updated_at) > $3::timestamptz "
	"ORDER BY is_whole DESC, 1 LIMIT 1";

enum err_kind recovery_find_cover(struct recovery *r, const struct recovery_gap *gap,
				  struct recovery_cover *ret, struct err *err)
{
	char start[TIME_TEXT_BYTES], end[TIME_TEXT_BYTES];
	const char *const values[] = {gap->stream, start, end, gap->id};
	PGresult *rows;
	enum err_kind rc;

	*ret = (struct recovery_cover){.is_whole = false};
	if (gap->start_ns == RECOVERY_NO_TIME || gap->end_ns < gap->start_ns)
		return ERR_NONE;
	(void)time_format(gap->start_ns, start);
	(void)time_format(gap->end_ns, end);
	rc = session_ask(r->session, COVER_SQL, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	if (PQntuples(rows) == 1) {
		recovery_copy_at(rows, 0, 0, ret->by, sizeof(ret->by));
		ret->is_whole = PQgetvalue(rows, 0, 1)[0] == 't';
	}
	PQclear(rows);
	return ERR_NONE;
}

/* --- applications --- */

static const char ALIVE_SQL[] =
	"SELECT EXISTS (SELECT FROM flytrail.events e WHERE e.app = $1 AND e.class <> 'trail'"
	"  AND e.occurred_at >= $2::timestamptz - interval '1 day'"
	"  AND e.occurred_at <= $3::timestamptz + interval '1 day')"
	" OR EXISTS (SELECT FROM flytrail.log_lines l WHERE l.app = $1"
	"  AND l.occurred_at >= $2::timestamptz - interval '1 minute'"
	"  AND l.occurred_at <= $2::timestamptz)"
	" OR EXISTS (SELECT FROM flytrail.events w WHERE " RECOVERY_IS_WINDOW
	"  AND w.occurred_at >= $2::timestamptz - interval '1 day'"
	"  AND w.attributes ->> 'app' = $1 AND w.attributes ? 'lines_seen')";

enum err_kind recovery_was_alive(struct recovery *r, const char *app,
				 const struct recovery_gap *gap, bool *ret, struct err *err)
{
	char start[TIME_TEXT_BYTES], end[TIME_TEXT_BYTES];
	const char *const values[] = {app, start, end};
	int64_t start_ns = gap->start_ns == RECOVERY_NO_TIME ? gap->end_ns : gap->start_ns;

	(void)time_format(start_ns, start);
	(void)time_format(gap->end_ns, end);
	return recovery_ask_bool(r, ALIVE_SQL, values, ARRAY_LEN(values), ret, err);
}

/*
 * From one name to the next by the index (app, occurred_at), those of the newest lines, and those
 * that Fly showed within the time that it keeps.
 */
static const char APPS_SQL[] =
	"WITH RECURSIVE named AS ("
	" SELECT min(app) AS app FROM flytrail.events"
	" UNION ALL"
	" SELECT (SELECT min(e.app) FROM flytrail.events e WHERE e.app > named.app)"
	" FROM named WHERE named.app IS NOT NULL) "
	"SELECT app FROM named WHERE app IS NOT NULL UNION "
	"SELECT app FROM (SELECT l.app FROM flytrail.log_lines l"
	" ORDER BY l.occurred_at DESC LIMIT $2) AS newest WHERE app IS NOT NULL UNION "
	"SELECT w.attributes ->> 'app' FROM flytrail.events w WHERE " RECOVERY_IS_WINDOW
	" AND w.occurred_at >= now() - interval '8 days' AND w.attributes ? 'app' LIMIT $1";

enum err_kind recovery_find_apps(struct recovery *r, void (*add)(void *arg, struct span app),
				 void *arg, struct err *err)
{
	char apps[RECOVERY_NUMBER_BYTES], lines[RECOVERY_NUMBER_BYTES];
	const char *const values[] = {apps, lines};
	PGresult *rows;
	enum err_kind rc;

	(void)snprintf(apps, sizeof(apps), "%d", RECOVERY_APPS_MAX);
	(void)snprintf(lines, sizeof(lines), "%d", RECOVERY_NEWEST_LINES);
	rc = session_ask(r->session, APPS_SQL, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	for (int i = 0; i < PQntuples(rows); i++)
		add(arg, recovery_text_at(rows, i, 0));
	PQclear(rows);
	return ERR_NONE;
}

/* --- lines --- */

static void add_word(struct buf *out, const char *word)
{
	buf_u8(out, out->len == 0 ? '{' : ',');
	buf_str(out, word);
}

/* {"2026-11-25T10:00:00.123456000Z",...}; Postgres' microseconds are the first six digits. */
static void add_time(struct buf *out, int64_t ns)
{
	char text[TIME_TEXT_BYTES];

	add_word(out, time_format(ns - ns % NS_PER_US, text));
}

static void add_id(struct buf *out, const struct id *id)
{
	char text[ID_TEXT_BYTES];

	add_word(out, id_format(id, text));
}

/* The keys of the lines that are wanted as two arrays, and the times that they lie between. */
struct keys {
	char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
	size_t count;
};

static enum err_kind write_keys(struct recovery *r, const struct recovery_line *lines, size_t count,
				bool (*wanted)(const struct recovery_line *), struct keys *ret,
				struct err *err)
{
	int64_t from_ns = INT64_MAX, to_ns = INT64_MIN;
	enum err_kind rc;

	ret->count = 0;
	buf_reset(&r->times);
	buf_reset(&r->ids);
	buf_reset(&r->differs);
	for (size_t i = 0; i < count; i++) {
		if (!wanted(&lines[i]))
			continue;
		add_time(&r->times, lines[i].occurred_ns);
		add_id(&r->ids, lines[i].found == LINE_MISMATCH ? &lines[i].other : &lines[i].id);
		add_word(&r->differs, lines[i].found == LINE_MISMATCH ? "t" : "f");
		ret->count++;
		if (lines[i].occurred_ns < from_ns)
			from_ns = lines[i].occurred_ns;
		if (lines[i].occurred_ns > to_ns)
			to_ns = lines[i].occurred_ns;
	}
	if (ret->count == 0)
		return ERR_NONE;
	(void)time_format(from_ns - from_ns % NS_PER_US, ret->from);
	(void)time_format(to_ns, ret->to);
	buf_add(&r->times, "}", sizeof("}"));
	buf_add(&r->ids, "}", sizeof("}"));
	buf_add(&r->differs, "}", sizeof("}"));
	rc = buf_check(&r->times, err);
	if (!rc)
		rc = buf_check(&r->ids, err);
	return rc ? rc : buf_check(&r->differs, err);
}

static bool is_missing(const struct recovery_line *line)
{
	return line->found == LINE_MISSING;
}

/* Whether the other line of a mismatch is an event, Postgres knows. */
static bool can_be_confirmed(const struct recovery_line *line)
{
	return line->found == LINE_MISMATCH || (line->is_event && line->found == LINE_KNOWN);
}

/* LATERAL with a LIMIT: by the index, line by line, whatever the planner thinks of the range. */
static const char KNOWN_SQL[] =
	"SELECT w.i FROM unnest($1::timestamptz[], $2::uuid[]) WITH ORDINALITY AS w (at, id, i) "
	"CROSS JOIN LATERAL (SELECT FROM flytrail.log_lines l"
	" WHERE l.occurred_at = w.at AND l.id = w.id"
	"  AND l.occurred_at BETWEEN $3::timestamptz AND $4::timestamptz LIMIT 1) AS known";

static enum err_kind mark_known(struct recovery *r, struct recovery_line *lines, size_t count,
				struct err *err)
{
	struct keys keys;
	const char *values[4];
	PGresult *rows;
	enum err_kind rc;

	for (size_t i = 0; i < count; i++)
		lines[i].found = LINE_MISSING;
	rc = write_keys(r, lines, count, is_missing, &keys, err);
	if (rc || keys.count == 0)
		return rc;
	values[0] = (const char *)r->times.data;
	values[1] = (const char *)r->ids.data;
	values[2] = keys.from;
	values[3] = keys.to;
	rc = session_ask(r->session, KNOWN_SQL, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	for (int i = 0; i < PQntuples(rows); i++) {
		uint64_t number = strtoull(PQgetvalue(rows, i, 0), NULL, 10);

		if (number >= 1 && number <= count)
			lines[number - 1].found = LINE_KNOWN;
	}
	PQclear(rows);
	return ERR_NONE;
}

/* What stands under the times of missing lines. */
static const char SAME_TIME_SQL[] =
	"SELECT l.id, (extract(epoch FROM w.at) * 1000000)::bigint, l.occurred_ns,"
	" coalesce(l.machine_id, '') "
	"FROM (SELECT DISTINCT unnest($1::timestamptz[]) AS at) AS w "
	"CROSS JOIN LATERAL (SELECT m.id, m.occurred_ns, m.machine_id, m.app"
	" FROM flytrail.log_lines m WHERE m.occurred_at = w.at"
	"  AND m.occurred_at BETWEEN $2::timestamptz AND $3::timestamptz OFFSET 0) AS l "
	"WHERE l.app = $4 LIMIT $5";

static bool is_there(const struct recovery_line *lines, size_t count, const struct id *id)
{
	for (size_t i = 0; i < count; i++)
		if (id_compare(&lines[i].id, id) == 0)
			return true;
	return false;
}

/* A stored line that Fly's copy does not have takes the place of one missing line of its key. */
static void pair_up(struct recovery_line *lines, size_t count, const PGresult *rows, int row)
{
	int64_t occurred_ns = time_at(rows, row, 1) + strtol(PQgetvalue(rows, row, 2), NULL, 10);
	struct span machine = recovery_text_at(rows, row, 3);
	struct id id;

	if (!id_parse(recovery_text_at(rows, row, 0), &id) || is_there(lines, count, &id))
		return;
	for (size_t i = 0; i < count; i++) {
		struct recovery_line *line = &lines[i];

		if (line->found == LINE_MISSING && line->occurred_ns == occurred_ns &&
		    span_equal(line->machine_id, machine)) {
			line->found = LINE_MISMATCH;
			line->other = id;
			return;
		}
	}
}

enum err_kind recovery_look_up(struct recovery *r, const char *app, struct recovery_line *lines,
			       size_t count, struct err *err)
{
	char limit[RECOVERY_NUMBER_BYTES];
	const char *values[5];
	struct keys keys;
	PGresult *rows;
	enum err_kind rc;

	REQUIRE(count <= RECOVERY_LINES_MAX);
	rc = mark_known(r, lines, count, err);
	if (!rc)
		rc = write_keys(r, lines, count, is_missing, &keys, err);
	if (rc || keys.count == 0)
		return rc;
	(void)snprintf(limit, sizeof(limit), "%d", RECOVERY_LINES_MAX);
	values[0] = (const char *)r->times.data;
	values[1] = keys.from;
	values[2] = keys.to;
	values[3] = app;
	values[4] = limit;
	rc = session_ask(r->session, SAME_TIME_SQL, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	for (int i = 0; i < PQntuples(rows); i++)
		pair_up(lines, count, rows, i);
	PQclear(rows);
	return ERR_NONE;
}

static const char CONFIRM_SQL[] =
	"INSERT INTO flytrail.confirmations (event_id, occurred_at, source, seen_at) "
	"SELECT e.event_id, e.occurred_at,"
	" CASE WHEN w.differs THEN 'http_differs' ELSE 'http' END, now() "
	"FROM unnest($1::timestamptz[], $2::uuid[], $5::boolean[]) AS w (at, id, differs) "
	"CROSS JOIN LATERAL (SELECT m.event_id, m.occurred_at FROM flytrail.events m"
	" WHERE m.retention_class IN ('operations', 'security') AND m.occurred_at = w.at"
	"  AND m.event_id = w.id AND m.source = 'nats'"
	"  AND m.occurred_at BETWEEN $3::timestamptz AND $4::timestamptz LIMIT 1) AS e "
	"ON CONFLICT DO NOTHING";

enum err_kind recovery_confirm(struct recovery *r, const struct recovery_line *lines, size_t count,
			       uint64_t *ret_new, struct err *err)
{
	struct keys keys;
	const char *values[5];
	PGresult *result;
	enum err_kind rc;

	*ret_new = 0;
	REQUIRE(count <= RECOVERY_LINES_MAX);
	rc = write_keys(r, lines, count, can_be_confirmed, &keys, err);
	if (rc || keys.count == 0)
		return rc;
	values[0] = (const char *)r->times.data;
	values[1] = (const char *)r->ids.data;
	values[2] = keys.from;
	values[3] = keys.to;
	values[4] = (const char *)r->differs.data;
	rc = session_ask(r->session, CONFIRM_SQL, values, ARRAY_LEN(values), &result, err);
	if (rc)
		return rc;
	*ret_new = strtoull(PQcmdTuples(result), NULL, 10);
	PQclear(result);
	return ERR_NONE;
}

/* --- what was done before --- */

static const char CHECKED_SQL[] =
	"SELECT w.attributes ->> 'app', extract(epoch FROM"
	" date_trunc('hour', (w.attributes ->> 'window_start')::timestamptz, 'UTC'))::bigint "
	"FROM flytrail.events w WHERE " RECOVERY_IS_WINDOW " AND w.occurred_at >= $1::timestamptz"
	" AND w.attributes ? 'app' AND w.attributes ? 'hour_done' GROUP BY 1, 2";

enum err_kind recovery_find_checked(struct recovery *r, int64_t since_ns,
				    void (*add)(void *arg, struct span app, int64_t hour_s),
				    void *arg, struct err *err)
{
	char since[TIME_TEXT_BYTES];
	const char *const values[] = {time_format(since_ns, since)};
	PGresult *rows;
	enum err_kind rc;

	rc = session_ask(r->session, CHECKED_SQL, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	for (int i = 0; i < PQntuples(rows); i++)
		add(arg, recovery_text_at(rows, i, 0), strtoll(PQgetvalue(rows, i, 1), NULL, 10));
	PQclear(rows);
	return ERR_NONE;
}

enum err_kind recovery_find_beginning(struct recovery *r, int64_t *ret_ns, struct err *err)
{
	PGresult *rows;
	enum err_kind rc;

	rc = session_ask(r->session,
			 "SELECT (extract(epoch FROM min(listening_start)) * 1000000)::bigint "
			 "FROM flytrail.listening",
			 NULL, 0, &rows, err);
	if (rc)
		return rc;
	*ret_ns = time_at(rows, 0, 0);
	PQclear(rows);
	return ERR_NONE;
}
