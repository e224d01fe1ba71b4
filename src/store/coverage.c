#include "store/coverage.h"

#include "store/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_SECONDS = 10, ANSWER_SECONDS = 300, NUMBER_BYTES = 24, STEPS = 3 };

#define RFC3339 "'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'"
/* The first statement leaves them behind, so that they mean the same to the others. */
#define SINCE "current_setting('flytrail.since')::timestamptz"
#define UNTIL "current_setting('flytrail.until')::timestamptz"
#define APP "current_setting('flytrail.app')"
/* Where no beginning was asked for, a forged line's time may be before the trail's. */
#define LINES_SINCE "current_setting('flytrail.lines_since')::timestamptz"
/* Rows of the time and the application that were asked for. */
#define ASKED                                                                      \
	"FROM flytrail.coverage c WHERE (c.app IS NULL OR " APP " IN ('', c.app))" \
	" AND c.window_start < " UNTIL " AND coalesce(c.window_end, 'infinity') > " SINCE

#define HOLE                                                                            \
	"(c.kind IN ('gap', 'compared') AND c.state IN ('open', 'partly_lost', 'lost')" \
	" OR c.kind = 'silence' AND c.state = 'silent')"

/* Of all that src/run/ says of a window that is not checked, this alone leaves no doubt. */
#define NOT_PROVED                                         \
	"(c.kind = 'compared' AND c.state = 'not_checked'" \
	" AND c.why IS DISTINCT FROM '" COVERAGE_WHY_GONE "')"

#define UNOBSERVED "kind = 'watched' AND state = 'unobserved'"
#define NOT_SEEN UNOBSERVED " AND why <> '" COVERAGE_WHY_NEVER "'"
#define OVERRUN "kind = 'watched' AND state = 'overrun'"

/* Of the ranges that follow, and are ended by "x)". */
#define SECONDS "(SELECT coalesce(sum(extract(epoch FROM upper(x) - lower(x))), 0) FROM unnest("

static const char ASK_SQL[] =
	"WITH named AS (SELECT nullif($2, '')::timestamptz AS since,"
	" coalesce(nullif($3, '')::timestamptz, now()) AS until) "
	"SELECT set_config('TimeZone', 'UTC', false), set_config('flytrail.app', $1, false),"
	" set_config('flytrail.until', until::text, false),"
	" set_config('flytrail.since', coalesce(since,"
	"  least((SELECT min(listening_start) FROM flytrail.listening), until))::text, false),"
	" set_config('flytrail.lines_since', coalesce(since, '-infinity')::text, false) "
	"FROM named";

static const char TOTAL_SQL[] =
	"WITH asked AS (SELECT tstzmultirange(tstzrange(" SINCE ", greatest(" SINCE ", " UNTIL
	"))) AS r), rows AS (SELECT c.kind, c.state, c.why, " HOLE " AS is_hole, " NOT_PROVED
	" AS is_not_proved,"
	" tstzrange(c.window_start, greatest(c.window_start, coalesce(c.window_end, 'infinity')))"
	" AS r " ASKED "), sums AS ("
	" SELECT asked.r AS asked,"
	" coalesce(range_agg(rows.r) FILTER (WHERE kind = 'listening'), '{}') * asked.r AS "
	"listening,"
	" coalesce(range_agg(rows.r) FILTER (WHERE kind = 'gap'), '{}') * asked.r AS gaps,"
	" coalesce(range_agg(rows.r) FILTER (WHERE kind = 'silence' AND state = 'silent'), '{}')"
	"  * asked.r AS silent,"
	" count(*) FILTER (WHERE is_hole) AS holes,"
	" count(*) FILTER (WHERE is_not_proved) AS not_proved,"
	" count(*) FILTER (WHERE " NOT_SEEN " AND upper(rows.r) = 'infinity') AS unobserved,"
	" count(*) FILTER (WHERE " NOT_SEEN " AND upper(rows.r) < 'infinity') AS was_unobserved,"
	" count(*) FILTER (WHERE " OVERRUN ") AS overrun,"
	" count(*) FILTER (WHERE kind = 'watched' AND state = 'late') AS late"
	" FROM asked LEFT JOIN rows ON true GROUP BY asked.r), "
	"begun AS (SELECT min(listening_start) AS at FROM flytrail.listening) "
	"SELECT to_char(" SINCE ", " RFC3339 "), to_char(" UNTIL ", " RFC3339 "),"
	" begun.at IS NOT NULL, coalesce(to_char(begun.at, " RFC3339 "), ''),"
	" coalesce(begun.at >= " UNTIL ", false),"
	" " SECONDS "asked) x), " SECONDS "listening - gaps) x), " SECONDS "gaps) x),"
	" " SECONDS "silent) x), " SECONDS
	"asked - listening - gaps - silent - tstzmultirange(tstzrange(NULL, begun.at))) x),"
	" greatest(0, extract(epoch FROM least(begun.at, " UNTIL ") - " SINCE ")),"
	" holes, not_proved,"
	" (SELECT count(*) FROM flytrail.timeline t"
	"  WHERE t.class = 'trail' AND t.action = 'trail.unconfirmed_line'"
	"  AND t.occurred_at >= " LINES_SINCE
	"  AND (t.attributes ->> 'line_at')::timestamptz >= " LINES_SINCE
	"  AND (t.attributes ->> 'line_at')::timestamptz < " UNTIL "  AND (" APP
	" = '' OR t.attributes ->> 'app' = " APP ")),"
	" " APP " = '' OR EXISTS (SELECT FROM flytrail.timeline t WHERE t.app = " APP ")"
	"  OR EXISTS (SELECT FROM flytrail.coverage c WHERE c.app = " APP "),"
	" unobserved, late, was_unobserved, overrun "
	"FROM sums, begun";

#define NEWEST_LINES_OF(relation)                                                                 \
	"SELECT coalesce(bool_or(newest.app = " APP "), false) FROM (SELECT l.app FROM " relation \
	" l WHERE l.occurred_at >= " SINCE " AND l.occurred_at < " UNTIL                          \
	" ORDER BY l.occurred_at DESC LIMIT $1) AS newest"

/* The writer may read the table, people who read lines the view, others neither. */
static const char *const LINES_SQL[] = {
	NEWEST_LINES_OF("flytrail.log_lines"),
	NEWEST_LINES_OF("flytrail.lines"),
};

static const char ROWS_SQL[] =
	"SELECT c.kind, c.state, coalesce(c.app, ''),"
	" CASE WHEN isfinite(c.window_start) THEN to_char(c.window_start, " RFC3339
	") ELSE 'a time not known' END,"
	" coalesce(to_char(c.window_end, " RFC3339 "), ''), coalesce(c.why, ''),"
	" c.lines_recovered, " HOLE " AS is_hole " ASKED
	" AND (c.kind IN ('gap', 'silence') OR c.kind = 'compared' AND c.state <> 'agrees'"
	" OR " UNOBSERVED " OR " OVERRUN ")"
	" ORDER BY c.window_start, c.window_end LIMIT $1";

static const char APPS_SQL[] =
	"SELECT w.app, count(*), sum(w.lines_seen), sum(w.lines_recovered), sum(w.id_mismatches),"
	" (SELECT coalesce(sum(extract(epoch FROM upper(x) - lower(x))), 0)"
	"  FROM unnest(range_agg(w.r) * tstzmultirange(tstzrange(" SINCE ", greatest(" SINCE
	", " UNTIL ")))) x) "
	"FROM (SELECT c.app, c.lines_seen, c.lines_recovered, c.id_mismatches,"
	" tstzrange(c.window_start, greatest(c.window_start, c.window_end)) AS r " ASKED
	" AND c.kind = 'compared' AND c.state <> 'not_checked') AS w "
	"WHERE w.app IS NOT NULL GROUP BY w.app ORDER BY w.app LIMIT $1";

/* What the trail has no more, as it was to be. */
static const char GONE_SQL[] =
	"SELECT kind, to_char(min(first_at), " RFC3339 "), to_char(max(end_at), " RFC3339
	"), count(*) FROM (SELECT t.attributes ->> 'kind' AS kind,"
	" flytrail.as_time(t.attributes ->> 'first_at') AS first_at,"
	" flytrail.as_time(t.attributes ->> 'end_at') AS end_at FROM flytrail.timeline t"
	" WHERE t.class = 'trail' AND t.action = 'trail.partition_dropped') AS dropped"
	" WHERE kind IN ('log_lines', 'security', 'operations')"
	" AND first_at < " UNTIL " AND end_at > " SINCE " GROUP BY kind ORDER BY kind";

static uint64_t number_at(const PGresult *rows, int row, int column)
{
	return strtoull(PQgetvalue(rows, row, column), NULL, 10);
}

static double seconds_at(const PGresult *rows, int row, int column)
{
	return strtod(PQgetvalue(rows, row, column), NULL);
}

static enum err_kind ask(struct session *s, const struct coverage_options *o, struct err *err)
{
	const char *const values[] = {o->app, o->since, o->until};
	PGresult *rows;
	enum err_kind rc = session_ask(s, ASK_SQL, values, ARRAY_LEN(values), &rows, err);

	if (!rc)
		PQclear(rows);
	return rc;
}

static enum err_kind read_total(struct session *s, struct coverage_total *ret, struct err *err)
{
	PGresult *rows;
	enum err_kind rc = session_ask(s, TOTAL_SQL, NULL, 0, &rows, err);

	if (rc)
		return rc;
	(void)snprintf(ret->since, sizeof(ret->since), "%s", PQgetvalue(rows, 0, 0));
	(void)snprintf(ret->until, sizeof(ret->until), "%s", PQgetvalue(rows, 0, 1));
	ret->has_begun = PQgetvalue(rows, 0, 2)[0] == 't';
	(void)snprintf(ret->beginning, sizeof(ret->beginning), "%s", PQgetvalue(rows, 0, 3));
	ret->all_before = PQgetvalue(rows, 0, 4)[0] == 't';
	ret->asked_s = seconds_at(rows, 0, 5);
	ret->listening_s = seconds_at(rows, 0, 6);
	ret->gap_s = seconds_at(rows, 0, 7);
	ret->silent_s = seconds_at(rows, 0, 8);
	ret->pending_s = seconds_at(rows, 0, 9);
	ret->before_s = seconds_at(rows, 0, 10);
	ret->holes = number_at(rows, 0, 11);
	ret->not_checked = number_at(rows, 0, 12);
	ret->unconfirmed = number_at(rows, 0, 13);
	ret->app_known = PQgetvalue(rows, 0, 14)[0] == 't';
	ret->unobserved = number_at(rows, 0, 15);
	ret->late = number_at(rows, 0, 16);
	ret->was_unobserved = number_at(rows, 0, 17);
	ret->overrun = number_at(rows, 0, 18);
	PQclear(rows);
	return ERR_NONE;
}

static const char *limit_text(char text[NUMBER_BYTES], int limit)
{
	(void)snprintf(text, NUMBER_BYTES, "%d", limit);
	return text;
}

/* Who prints, and nothing that is an event, is in the lines alone until it is compared. */
static enum err_kind look_at_lines(struct session *s, struct coverage_total *ret, struct err *err)
{
	char limit[NUMBER_BYTES];
	const char *const values[] = {limit_text(limit, COVERAGE_LINES_MAX)};
	struct err aside = {0};
	enum err_kind rc = ERR_CONFIG;
	PGresult *rows;

	for (size_t i = 0; i < ARRAY_LEN(LINES_SQL) && rc == ERR_CONFIG; i++)
		rc = session_ask(s, LINES_SQL[i], values, ARRAY_LEN(values), &rows, &aside);
	ret->lines_hidden = rc == ERR_CONFIG;
	if (ret->lines_hidden)
		return ERR_NONE;
	if (rc) {
		*err = aside;
		return rc;
	}
	ret->app_known = PQgetvalue(rows, 0, 0)[0] == 't';
	PQclear(rows);
	return ERR_NONE;
}

static enum err_kind read_rows(struct session *s, const struct coverage_calls *calls, bool *ret_cut,
			       struct err *err)
{
	char limit[NUMBER_BYTES];
	const char *const values[] = {limit_text(limit, COVERAGE_ROWS_MAX)};
	PGresult *rows;
	enum err_kind rc = session_ask(s, ROWS_SQL, values, ARRAY_LEN(values), &rows, err);

	if (rc)
		return rc;
	*ret_cut = PQntuples(rows) == COVERAGE_ROWS_MAX;
	for (int i = 0; i < PQntuples(rows); i++) {
		const struct coverage_row row = {
			.kind = PQgetvalue(rows, i, 0),
			.state = PQgetvalue(rows, i, 1),
			.app = PQgetvalue(rows, i, 2),
			.start = PQgetvalue(rows, i, 3),
			.end = PQgetvalue(rows, i, 4),
			.why = PQgetvalue(rows, i, 5),
			.lines_recovered = number_at(rows, i, 6),
			.is_hole = PQgetvalue(rows, i, 7)[0] == 't',
		};

		calls->row(calls->arg, &row);
	}
	PQclear(rows);
	return ERR_NONE;
}

static enum err_kind read_apps(struct session *s, const struct coverage_calls *calls,
			       struct err *err)
{
	char limit[NUMBER_BYTES];
	const char *const values[] = {limit_text(limit, COVERAGE_ROWS_MAX)};
	PGresult *rows;
	enum err_kind rc = session_ask(s, APPS_SQL, values, ARRAY_LEN(values), &rows, err);

	if (rc)
		return rc;
	for (int i = 0; i < PQntuples(rows); i++) {
		const struct coverage_app app = {
			.app = PQgetvalue(rows, i, 0),
			.windows = number_at(rows, i, 1),
			.lines_seen = number_at(rows, i, 2),
			.lines_recovered = number_at(rows, i, 3),
			.id_mismatches = number_at(rows, i, 4),
			.compared_s = seconds_at(rows, i, 5),
		};

		calls->app(calls->arg, &app);
	}
	PQclear(rows);
	return ERR_NONE;
}

static enum err_kind read_gone(struct session *s, const struct coverage_calls *calls,
			       struct coverage_total *ret, struct err *err)
{
	PGresult *rows;
	enum err_kind rc = session_ask(s, GONE_SQL, NULL, 0, &rows, err);

	if (rc)
		return rc;
	for (int i = 0; i < PQntuples(rows); i++) {
		const struct coverage_gone gone = {
			.kind = PQgetvalue(rows, i, 0),
			.start = PQgetvalue(rows, i, 1),
			.end = PQgetvalue(rows, i, 2),
			.partitions = number_at(rows, i, 3),
		};

		ret->own_gone |= strcmp(gone.kind, "security") == 0;
		calls->gone(calls->arg, &gone);
	}
	PQclear(rows);
	return ERR_NONE;
}

enum err_kind coverage_read(const struct coverage_options *options,
			    const struct coverage_calls *calls, struct coverage_total *ret,
			    bool *ret_cut, struct err *err)
{
	const struct session_options session = {
		.url = options->url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = CONNECT_SECONDS,
		.answer_seconds = ANSWER_SECONDS,
	};
	struct session *s = NULL;
	enum err_kind rc;

	*ret = (struct coverage_total){.holes = 0};
	*ret_cut = false;
	rc = session_open(&s, &session, err);
	if (!rc)
		rc = ask(s, options, err);
	if (!rc)
		rc = read_total(s, ret, err);
	if (!rc && !ret->app_known)
		rc = look_at_lines(s, ret, err);
	if (!rc)
		rc = read_rows(s, calls, ret_cut, err);
	if (!rc)
		rc = read_apps(s, calls, err);
	if (!rc)
		rc = read_gone(s, calls, ret, err);
	session_close(s);
	return rc;
}
