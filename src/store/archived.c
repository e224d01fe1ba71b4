#include "store/archived.h"

#include "base/backoff.h"
#include "base/time.h"
#include "store/archived_ranges.h"
#include "store/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	CONNECT_SECONDS = 10,
	ANSWER_SECONDS = 300,
	NUMBER_BYTES = 21,
	IDS_BYTES_MAX = 2 + ARCHIVED_IDS_MAX * ID_TEXT_BYTES,
};

/* Postgres keeps microseconds; and another replica may have seen a line first. */
#define OCCURRED_SLACK_NS 1000
#define OBSERVED_SLACK_NS (60 * NS_PER_S)

struct archived {
	char *url;
	struct session *session; /* NULL: to be connected */
	struct buf ids;
	/* What objects have, and what they should have, of each class. */
	struct archived_ranges named, wanted;
	struct buf named_json, wanted_json;
	int64_t opened_ns;
};

static enum err_kind connect_to(struct archived *a, struct err *err)
{
	const struct session_options options = {
		.url = a->url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = CONNECT_SECONDS,
		.answer_seconds = ANSWER_SECONDS,
	};

	return session_open(&a->session, &options, err);
}

enum err_kind archived_open(struct archived **ret, const char *url, struct err *err)
{
	struct archived *a = calloc(1, sizeof(*a));
	enum err_kind rc;

	if (!a)
		return err_set(err, ERR_FATAL, "out of memory for Postgres");
	a->opened_ns = time_now_ns();
	buf_init(&a->ids, IDS_BYTES_MAX);
	buf_init(&a->named_json, ARCHIVED_JSON_BYTES_MAX);
	buf_init(&a->wanted_json, ARCHIVED_JSON_BYTES_MAX);
	a->url = span_copy(span_text(url));
	rc = a->url ? connect_to(a, err) : err_set(err, ERR_FATAL, "out of memory for Postgres");
	if (rc)
		archived_close(a);
	else
		*ret = a;
	return rc;
}

void archived_close(struct archived *a)
{
	if (!a)
		return;
	session_close(a->session);
	buf_release(&a->ids);
	buf_release(&a->named_json);
	buf_release(&a->wanted_json);
	archived_ranges_release(&a->named);
	archived_ranges_release(&a->wanted);
	free(a->url);
	free(a);
}

static enum err_kind ask_once(struct archived *a, const char *sql, const char *const *values,
			      int count, PGresult **ret, struct err *err)
{
	enum err_kind rc = a->session ? ERR_NONE : connect_to(a, err);

	if (!rc)
		rc = session_ask(a->session, sql, values, count, ret, err);
	if (rc == ERR_RETRY) {
		session_close(a->session);
		a->session = NULL;
	}
	return rc;
}

/* The one value that the statement gives; UINT64_MAX: no row. No statement needs what another one
 * left in its session, so each may be asked again in a new one. */
static enum err_kind ask(struct archived *a, const char *sql, const char *const *values, int count,
			 uint64_t *ret, struct err *err)
{
	PGresult *rows = NULL;
	enum err_kind rc = ask_once(a, sql, values, count, &rows, err);

	for (unsigned tries = 1; rc == ERR_RETRY && tries < ARCHIVED_TRIES; tries++) {
		backoff_wait(tries, 0);
		rc = ask_once(a, sql, values, count, &rows, err);
	}
	if (rc)
		return rc;
	*ret = PQntuples(rows) > 0 ? strtoull(PQgetvalue(rows, 0, 0), NULL, 10) : UINT64_MAX;
	PQclear(rows);
	return ERR_NONE;
}

enum err_kind archived_reach(struct archived *a, const struct id *stream, uint64_t epoch,
			     uint64_t *ret_seq, struct err *err)
{
	static const char sql[] =
		"SELECT cursor_seq FROM flytrail.streams WHERE stream = $1::uuid AND epoch = $2";
	char uuid[ID_TEXT_BYTES], number[NUMBER_BYTES];
	const char *const values[] = {id_format(stream, uuid), number};

	(void)snprintf(number, sizeof(number), "%" PRIu64, epoch);
	return ask(a, sql, values, ARRAY_LEN(values), ret_seq, err);
}

struct times {
	char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
};

static void write_times(int64_t from_ns, int64_t to_ns, int64_t slack_ns, struct times *ret)
{
	(void)time_format(time_later(from_ns, INT64_MIN + slack_ns) - slack_ns, ret->from);
	(void)time_format(time_earlier(to_ns, INT64_MAX - slack_ns) + slack_ns, ret->to);
}

static enum err_kind write_ids(struct archived *a, const struct archived_id *ids, size_t count,
			       struct times *ret_occurred, struct times *ret_observed,
			       struct err *err)
{
	int64_t occurred[2] = {INT64_MAX, INT64_MIN}, observed[2] = {INT64_MAX, INT64_MIN};
	char text[ID_TEXT_BYTES];

	buf_reset(&a->ids);
	for (size_t i = 0; i < count; i++) {
		buf_str(&a->ids, i == 0 ? "{" : ",");
		buf_str(&a->ids, id_format(&ids[i].id, text));
		occurred[0] = time_earlier(occurred[0], ids[i].occurred_ns);
		occurred[1] = time_later(occurred[1], ids[i].occurred_ns);
		observed[0] = time_earlier(observed[0], ids[i].observed_ns);
		observed[1] = time_later(observed[1], ids[i].observed_ns);
	}
	buf_str(&a->ids, "}");
	write_times(occurred[0], occurred[1], OCCURRED_SLACK_NS, ret_occurred);
	write_times(observed[0], observed[1], OBSERVED_SLACK_NS, ret_observed);
	return buf_check(&a->ids, err);
}

#define MISSING_FROM(table, id)                                                                \
	"SELECT count(*) FROM unnest($1::uuid[]) AS wanted(id) WHERE NOT EXISTS (SELECT FROM " \
	"" table " t WHERE t." id " = wanted.id"                                               \
	" AND (t.occurred_at BETWEEN $2::timestamptz AND $3::timestamptz"                      \
	" OR t.occurred_at BETWEEN $4::timestamptz AND $5::timestamptz)"

enum err_kind archived_missing(struct archived *a, const char *class, const struct archived_id *ids,
			       size_t count, uint64_t *ret_missing, struct err *err)
{
	static const char lines_sql[] = MISSING_FROM("flytrail.log_lines", "id") ")";
	static const char events_sql[] =
		MISSING_FROM("flytrail.events", "event_id") " AND t.retention_class = $6)";
	struct times occurred, observed;
	enum err_kind rc = ERR_NONE;

	REQUIRE(count <= ARCHIVED_IDS_MAX);
	*ret_missing = 0;
	if (count == 0)
		return ERR_NONE;
	rc = write_ids(a, ids, count, &occurred, &observed, err);
	if (!rc) {
		const char *const values[] = {(const char *)a->ids.data,
					      occurred.from,
					      occurred.to,
					      observed.from,
					      observed.to,
					      class};
		bool events = class[0] != '\0';

		rc = ask(a, events ? events_sql : lines_sql, values,
			 (int)ARRAY_LEN(values) - (events ? 0 : 1), ret_missing, err);
	}
	return rc;
}

enum err_kind archived_has_day(struct archived *a, const char *class, int64_t day_ns, bool *ret,
			       struct err *err)
{
	static const char lines_sql[] = "SELECT count(*) FROM (SELECT FROM flytrail.log_lines"
					" WHERE occurred_at >= $1::timestamptz AND occurred_at < "
					"$2::timestamptz LIMIT 1) x";
	static const char events_sql[] =
		"SELECT count(*) FROM (SELECT FROM flytrail.events"
		" WHERE occurred_at >= $1::timestamptz AND occurred_at < $2::timestamptz"
		" AND retention_class = $3 LIMIT 1) x";
	struct times day;
	const char *const values[] = {day.from, day.to, class};
	bool events = class[0] != '\0';
	uint64_t count;
	enum err_kind rc;

	write_times(day_ns, time_earlier(day_ns, INT64_MAX - TIME_DAY_NS) + TIME_DAY_NS, 0, &day);
	rc = ask(a, events ? events_sql : lines_sql, values,
		 (int)ARRAY_LEN(values) - (events ? 0 : 1), &count, err);
	if (!rc)
		*ret = count > 0;
	return rc;
}

/* --- rows that no object has --- */

enum err_kind archived_name(struct archived *a, const struct archived_object *o, struct err *err)
{
	const struct archived_range named = {.class = o->class,
					     .stream = o->stream,
					     .from_ns = o->from_ns,
					     .first_seq = o->first_seq,
					     .last_seq = o->last_seq};
	struct archived_range wanted = named;
	enum err_kind rc = archived_ranges_add(&a->named, &named, err);

	wanted.from_ns = 0;
	return rc ? rc : archived_ranges_add(&a->wanted, &wanted, err);
}

enum err_kind archived_expect(struct archived *a, const char *class, const struct id *stream,
			      uint64_t first_seq, struct err *err)
{
	const struct archived_range wanted = {
		.class = class, .stream = *stream, .first_seq = first_seq, .last_seq = UINT64_MAX};

	return archived_ranges_add(&a->wanted, &wanted, err);
}

#define NEXT_DAY                                                                    \
	"SELECT extract(epoch FROM date_trunc('day', occurred_at, 'UTC'))::bigint " \
	"FROM flytrail."
#define OF_TIME " WHERE occurred_at >= $1::timestamptz AND occurred_at < $2::timestamptz"
#define IN_ORDER " ORDER BY occurred_at LIMIT 1"

/* *ret: the day of the first row of that class and time; INT64_MAX: there is none. */
static enum err_kind next_day(struct archived *a, const char *class, int64_t since_ns,
			      int64_t until_ns, int64_t *ret, struct err *err)
{
	static const char lines_sql[] = NEXT_DAY "log_lines" OF_TIME IN_ORDER;
	static const char events_sql[] =
		NEXT_DAY "events" OF_TIME " AND retention_class = $3" IN_ORDER;
	struct times asked;
	const char *const values[] = {asked.from, asked.to, class};
	bool events = class[0] != '\0';
	uint64_t seconds;
	enum err_kind rc;

	write_times(since_ns, until_ns, 0, &asked);
	rc = ask(a, events ? events_sql : lines_sql, values,
		 (int)ARRAY_LEN(values) - (events ? 0 : 1), &seconds, err);
	if (!rc)
		*ret = seconds != UINT64_MAX ? (int64_t)seconds * NS_PER_S : INT64_MAX;
	return rc;
}

/*
 * $1 and $2: the time; $3: when a row was seen at the latest; $4 and $5: what objects should have
 * and what they have; $6: the class of events. What no object of its time has is few rows, and
 * comes first (OFFSET 0), for the ranges that should be there are those of all times.
 */
#define RANGES                                                                  \
	"SELECT (o ->> 0)::uuid AS stream, (o ->> 1)::timestamptz AS from_at, " \
	"(o ->> 2)::bigint AS first_seq, (o ->> 3)::bigint AS last_seq "        \
	"FROM jsonb_array_elements("
#define IS_IN "x.stream = r.stream AND r.seq BETWEEN x.first_seq AND x.last_seq"
#define UNNAMED                                                     \
	"WITH wanted AS MATERIALIZED (" RANGES "$4::jsonb) AS o), " \
	"named AS MATERIALIZED (" RANGES "$5::jsonb) AS o) "        \
	"SELECT count(*) FROM (SELECT r.stream, r.seq FROM flytrail."
#define UNNAMED_LINES                                                      \
	UNNAMED "log_lines r" OF_TIME " AND observed_at < $3::timestamptz" \
		" AND NOT EXISTS (SELECT FROM named x WHERE " IS_IN        \
		" AND x.from_at = date_trunc('hour', r.occurred_at, 'UTC'))"
#define UNNAMED_EVENTS                                                \
	UNNAMED "events r" OF_TIME " AND stored_at < $3::timestamptz" \
		" AND retention_class = $6"                           \
		" AND NOT EXISTS (SELECT FROM named x WHERE " IS_IN   \
		" AND x.from_at = date_trunc('day', r.occurred_at, 'UTC'))"
#define AND_WANTED \
	" AND source <> 'replay' OFFSET 0) r WHERE EXISTS (SELECT FROM wanted x WHERE " IS_IN ")"

/* a->wanted_json is that of the class. */
static enum err_kind count_of_day(struct archived *a, const char *class, int64_t day_ns,
				  int64_t end_ns, uint64_t *ret, struct err *err)
{
	static const char lines_sql[] = UNNAMED_LINES AND_WANTED;
	static const char events_sql[] = UNNAMED_EVENTS AND_WANTED;
	int64_t seen_ns = a->opened_ns - ARCHIVED_YOUNG_SECONDS * NS_PER_S;
	bool events = class[0] != '\0';
	char seen[TIME_TEXT_BYTES];
	struct times asked;
	enum err_kind rc =
		archived_ranges_write(&a->named, class, day_ns, end_ns, &a->named_json, err);

	if (rc)
		return rc;
	write_times(day_ns, end_ns, 0, &asked);

	const char *const values[] = {asked.from,
				      asked.to,
				      time_format(seen_ns, seen),
				      (const char *)a->wanted_json.data,
				      (const char *)a->named_json.data,
				      class};

	return ask(a, events ? events_sql : lines_sql, values,
		   (int)ARRAY_LEN(values) - (events ? 0 : 1), ret, err);
}

enum err_kind archived_unnamed(struct archived *a, const char *class, int64_t since_ns,
			       int64_t until_ns, uint64_t *ret, struct err *err)
{
	enum err_kind rc = archived_ranges_write(&a->wanted, class, INT64_MIN, INT64_MAX,
						 &a->wanted_json, err);

	*ret = 0;
	while (!rc && since_ns < until_ns) {
		int64_t day_ns;
		uint64_t rows = 0;

		rc = next_day(a, class, since_ns, until_ns, &day_ns, err);
		if (rc || day_ns == INT64_MAX)
			break;
		since_ns = time_earlier(day_ns, INT64_MAX - TIME_DAY_NS) + TIME_DAY_NS;
		rc = count_of_day(a, class, day_ns, since_ns, &rows, err);
		*ret += rows;
	}
	return rc;
}
