#include "store/archived.h"

#include "base/buf.h"
#include "base/time.h"
#include "store/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	CONNECT_SECONDS = 10,
	ANSWER_SECONDS = 300,
	NUMBER_BYTES = 21,
	NAMES_BYTES = 128 * 1024,
	NAME_BYTES_MAX = 256,
	IDS_BYTES_MAX = 2 + ARCHIVED_IDS_MAX * ID_TEXT_BYTES,
};

/* Postgres keeps microseconds; and another replica may have seen a line first. */
#define OCCURRED_SLACK_NS 1000
#define OBSERVED_SLACK_NS (60 * NS_PER_S)

struct archived {
	struct session *session;
	struct buf ids;
	struct buf
		names; /* objects that the table does not have yet: a JSON array without its end */
	bool has_tables;
};

enum err_kind archived_open(struct archived **ret, const char *url, struct err *err)
{
	const struct session_options options = {
		.url = url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = CONNECT_SECONDS,
		.answer_seconds = ANSWER_SECONDS,
	};
	struct archived *a = calloc(1, sizeof(*a));
	enum err_kind rc;

	if (!a)
		return err_set(err, ERR_FATAL, "out of memory for Postgres");
	buf_init(&a->ids, IDS_BYTES_MAX);
	buf_init(&a->names, NAMES_BYTES);
	rc = session_open(&a->session, &options, err);
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
	buf_release(&a->names);
	free(a);
}

/* The one value that the statement gives; UINT64_MAX: no row. */
static enum err_kind ask(struct archived *a, const char *sql, const char *const *values, int count,
			 uint64_t *ret, struct err *err)
{
	PGresult *rows;
	enum err_kind rc = session_ask(a->session, sql, values, count, &rows, err);

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

static enum err_kind make_tables(struct archived *a, struct err *err)
{
	static const char sql[] =
		"CREATE TEMPORARY TABLE named (class text, stream uuid, from_at timestamptz, "
		"first_seq bigint, last_seq bigint); "
		"CREATE TEMPORARY TABLE begun (class text, stream uuid, first_seq bigint)";
	enum err_kind rc = a->has_tables ? ERR_NONE : session_run(a->session, sql, err);

	a->has_tables = a->has_tables || !rc;
	return rc;
}

static enum err_kind flush_names(struct archived *a, struct err *err)
{
	static const char sql[] =
		"INSERT INTO pg_temp.named SELECT o ->> 0, (o ->> 1)::uuid, (o ->> 2)::timestamptz,"
		" least((o ->> 3)::numeric, 9223372036854775807)::bigint,"
		" least((o ->> 4)::numeric, 9223372036854775807)::bigint "
		"FROM jsonb_array_elements($1::jsonb) AS o";
	const char *values[1];
	PGresult *rows;
	enum err_kind rc = make_tables(a, err);

	if (rc)
		return rc;
	buf_str(&a->names, a->names.len == 0 ? "[]" : "]");
	buf_u8(&a->names, '\0');
	rc = buf_check(&a->names, err);
	values[0] = (const char *)a->names.data;
	if (!rc)
		rc = session_ask(a->session, sql, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	PQclear(rows);
	buf_reset(&a->names);
	return ERR_NONE;
}

enum err_kind archived_name(struct archived *a, const struct archived_object *o, struct err *err)
{
	char uuid[ID_TEXT_BYTES], from[TIME_TEXT_BYTES];

	buf_fmt(&a->names, "%s[\"%s\",\"%s\",\"%s\",%" PRIu64 ",%" PRIu64 "]",
		a->names.len == 0 ? "[" : ",", o->class, id_format(&o->stream, uuid),
		time_format(o->from_ns, from), o->first_seq, o->last_seq);
	return a->names.len + NAME_BYTES_MAX > NAMES_BYTES ? flush_names(a, err)
							   : buf_check(&a->names, err);
}

enum err_kind archived_begins(struct archived *a, const struct id *stream, uint64_t first_seq,
			      uint64_t first_line_seq, struct err *err)
{
	static const char sql[] =
		"INSERT INTO pg_temp.begun SELECT class, $1::uuid, first::bigint FROM (VALUES "
		"('', $3::numeric), ('security', $2::numeric), ('operations', $2::numeric)) "
		"AS v (class, first) WHERE first <= 9223372036854775807";
	char uuid[ID_TEXT_BYTES], first[NUMBER_BYTES], line[NUMBER_BYTES];
	const char *const values[] = {id_format(stream, uuid), first, line};
	PGresult *rows;
	enum err_kind rc = make_tables(a, err);

	(void)snprintf(first, sizeof(first), "%" PRIu64, first_seq);
	(void)snprintf(line, sizeof(line), "%" PRIu64, first_line_seq);
	if (!rc)
		rc = session_ask(a->session, sql, values, ARRAY_LEN(values), &rows, err);
	if (!rc)
		PQclear(rows);
	return rc;
}

/* $1 and $2: the time, $3: the class. */
#define EDGE(edge, table)                                                                     \
	"(SELECT stream, " edge "(first_seq) AS seq FROM pg_temp." table " WHERE class = $3 " \
	"GROUP BY stream)"
#define UNNAMED_IN(table, part, seen)                                                          \
	"SELECT count(*) FROM " table " r JOIN " EDGE(                                         \
		"min",                                                                         \
		"begun") " oldest USING (stream) "                                             \
			 "LEFT JOIN " EDGE(                                                    \
				 "max",                                                        \
				 "named") " newest USING (stream) "                            \
					  "WHERE r.occurred_at >= $1::timestamptz AND "        \
					  "r.occurred_at < $2::timestamptz "                   \
					  "AND r.source <> 'replay' AND r.seq >= oldest.seq "  \
					  "AND (r.seq < newest.seq OR r." seen                 \
					  " < now() - interval '2 hours') "                    \
					  "AND NOT EXISTS (SELECT FROM pg_temp.named n WHERE " \
					  "n.class = $3 "                                      \
					  "AND n.stream = r.stream AND n.from_at = "           \
					  "date_trunc('" part "', r.occurred_at, 'UTC')"       \
					  " AND r.seq BETWEEN n.first_seq AND n.last_seq)"

enum err_kind archived_unnamed(struct archived *a, const char *class, int64_t since_ns,
			       int64_t until_ns, uint64_t *ret, struct err *err)
{
	static const char lines_sql[] = UNNAMED_IN("flytrail.log_lines", "hour", "observed_at");
	static const char events_sql[] =
		UNNAMED_IN("flytrail.events", "day", "stored_at") " AND r.retention_class = $3";
	struct times asked;
	const char *const values[] = {asked.from, asked.to, class};
	enum err_kind rc = flush_names(a, err);

	write_times(since_ns, until_ns, 0, &asked);
	if (rc)
		return rc;
	return ask(a, class[0] != '\0' ? events_sql : lines_sql, values, ARRAY_LEN(values), ret,
		   err);
}
