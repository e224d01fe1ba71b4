#include "store/replay.h"

#include "base/bytes.h"
#include "base/time.h"
#include "model/ndjson.h"
#include "store/copy.h"
#include "store/limits.h"
#include "store/migrate.h"
#include "store/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	JSONB_VERSION = 1,
	ROW_HEAD_BYTES = 2 + 4 + 1, /* a count of fields, a length, the version */
	NUMBER_BYTES = 24,
};

struct replay {
	char *url;
	struct session *session; /* NULL: to be connected */
	struct hasher *hasher;
	struct buf chunk;
};

/* --- what Postgres is asked --- */

#define TABLE "pg_temp.replayed"

/* Times compare as texts, to the nanosecond, for all have the same form. Postgres would take 24:00
 * and a second 60, and make the next hour or minute of it. */
#define TIME_FORM                     \
	"^[0-9]{4}-[0-9]{2}-[0-9]{2}" \
	"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{9}Z$"
#define TIME "(line ->> 'occurred_at') COLLATE \"C\""

/* $1: the application; $2 and $3: from when, until when. */
#define WANTED                                                                            \
	"($1::text = '' OR line ->> 'app' = $1::text) AND " TIME " >= $2::text AND " TIME \
	" < $3::text"

/*
 * Lines that are none of this version's; those that stand in the wrong object; those that are
 * wanted, and of these, those from before $8. $4 and $5: from when and until when the object is;
 * $6: its retention class, '' of lines; $7: the keys of texts, each of which may be null.
 */
static const char CHECK_SQL[] =
	"SELECT count(*) FILTER (WHERE jsonb_typeof(line) <> 'object' OR EXISTS ("
	"  SELECT FROM jsonb_each(CASE jsonb_typeof(line) WHEN 'object' THEN line ELSE '{}' END) "
	"    AS member (key, value) "
	"  WHERE NOT CASE jsonb_typeof(value) "
	"    WHEN 'string' THEN key = ANY ($7::text[]) AND "
	"      (key NOT IN ('occurred_at', 'observed_at', 'not_after') "
	"        OR value #>> '{}' ~ '" TIME_FORM "') "
	"    WHEN 'null' THEN key = 'attributes' OR key = ANY ($7::text[]) "
	"    WHEN 'object' THEN key = 'attributes' "
	"    WHEN 'number' THEN key = 'severity' AND $6::text <> '' "
	"    ELSE false END)), "
	"count(*) FILTER (WHERE coalesce(" TIME " < $4::text OR " TIME " >= $5::text, true) "
	"  OR line ->> 'retention_class' IS DISTINCT FROM nullif($6::text, '')), "
	"count(*) FILTER (WHERE " WANTED "), "
	"count(*) FILTER (WHERE " WANTED " AND " TIME " < $8::text) FROM " TABLE;

/*
 * Rows as COPY_LINE_COLUMNS and COPY_EVENT_COLUMNS have them. $4: the stream; $5: the number. The
 * session is in UTC; 26 characters are a time to the microsecond.
 */
static const char LINES_SQL[] =
	"INSERT INTO flytrail.log_lines (" COPY_LINE_COLUMNS ") "
	"SELECT r.id, left(r.occurred_at, 26)::timestamptz, "
	"substr(r.occurred_at, 27, 3)::smallint, left(r.observed_at, 26)::timestamptz, 'replay', "
	"r.org, r.app, r.region, r.machine_id, r.host, r.provider, r.level, r.class, r.action, "
	"r.message, decode(r.raw, 'base64'), r.attributes, $4::uuid, $5::bigint "
	"FROM " TABLE ", jsonb_to_record(line) AS r (id uuid, occurred_at text, "
	"observed_at text, org text, app text, region text, machine_id text, host text, "
	"provider text, level text, class text, action text, message text, raw text, "
	"attributes jsonb) "
	"WHERE " WANTED " ORDER BY " TIME ", r.id ON CONFLICT DO NOTHING";

static const char EVENTS_SQL[] =
	"INSERT INTO flytrail.events (" COPY_EVENT_COLUMNS ") "
	"SELECT r.event_id, r.retention_class, r.class, r.action, "
	"left(r.occurred_at, 26)::timestamptz, left(r.not_after, 26)::timestamptz, r.time_basis, "
	"left(r.observed_at, 26)::timestamptz, r.org, r.app, r.region, r.machine_id, "
	"r.correlation_id, r.actor, r.actor_type, r.actor_reason, r.target_type, r.target, "
	"r.origin, r.outcome, r.severity, r.trust, 'replay', r.rule, r.summary, r.message, "
	"r.attributes, $4::uuid, $5::bigint "
	"FROM " TABLE ", jsonb_to_record(line) AS r (event_id uuid, retention_class text, "
	"class text, action text, occurred_at text, not_after text, time_basis text, "
	"observed_at text, org text, app text, region text, machine_id text, "
	"correlation_id text, actor text, actor_type text, actor_reason text, "
	"target_type text, target text, origin text, outcome text, severity smallint, "
	"trust text, rule text, summary text, message text, attributes jsonb) "
	"WHERE " WANTED " ORDER BY " TIME ", r.event_id ON CONFLICT DO NOTHING";

/* The keys of lines, and of events, whose values are texts. */
#define LINE_TEXTS                                                                          \
	"{id,occurred_at,observed_at,source,org,app,region,machine_id,host,provider,level," \
	"class,action,message,raw}"
#define EVENT_TEXTS                                                                            \
	"{event_id,retention_class,class,action,occurred_at,not_after,time_basis,observed_at," \
	"org,app,region,machine_id,correlation_id,actor,actor_type,actor_reason,target_type,"  \
	"target,origin,outcome,trust,source,rule,summary,message}"

static const struct kind {
	const char *partition; /* as flytrail.ensure_partition() calls it */
	enum limits_kind limit;
	const char *retention_class;
	const char *texts;
	const char *insert_sql;
} kinds[] = {
	[REPLAY_LINES] = {"log_lines", LIMITS_LINES, "", LINE_TEXTS, LINES_SQL},
	[REPLAY_SECURITY] = {"security", LIMITS_SECURITY, "security", EVENT_TEXTS, EVENTS_SQL},
	[REPLAY_OPERATIONS] = {"operations", LIMITS_OPERATIONS, "operations", EVENT_TEXTS,
			       EVENTS_SQL},
};

/* --- the connection --- */

enum err_kind replay_open(struct replay **ret, const char *url, struct err *err)
{
	struct replay *r = calloc(1, sizeof(*r));
	enum err_kind rc;

	if (!r)
		return err_set(err, ERR_FATAL, "out of memory for rows of an archive");
	buf_init(&r->chunk, COPY_CHUNK_BYTES);
	rc = hasher_new(&r->hasher, err);
	r->url = span_copy(span_text(url));
	if (!rc && !r->url)
		rc = err_set(err, ERR_FATAL, "out of memory for rows of an archive");
	if (rc)
		replay_close(r);
	else
		*ret = r;
	return rc;
}

static void disconnect(struct replay *r)
{
	session_close(r->session);
	r->session = NULL;
}

void replay_close(struct replay *r)
{
	if (!r)
		return;
	disconnect(r);
	buf_release(&r->chunk);
	hasher_free(r->hasher);
	free(r->url);
	free(r);
}

static enum err_kind connect_to(struct replay *r, struct err *err)
{
	const struct session_options options = {
		.url = r->url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = REPLAY_CONNECT_SECONDS,
		.answer_seconds = REPLAY_ANSWER_SECONDS,
	};
	enum err_kind rc = session_open(&r->session, &options, err);

	if (!rc)
		rc = migrate_check_database(r->session, err);
	if (!rc)
		rc = session_run(r->session,
				 "CREATE TEMPORARY TABLE replayed (line jsonb NOT NULL) "
				 "ON COMMIT DELETE ROWS",
				 err);
	return rc;
}

/* --- lines into the temporary table --- */

/* In pieces, however long it is. */
static enum err_kind put(struct replay *r, struct span bytes, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	while (bytes.len > 0 && !rc) {
		size_t room = COPY_CHUNK_BYTES - r->chunk.len;
		size_t len = bytes.len < room ? bytes.len : room;

		buf_add(&r->chunk, bytes.data, len);
		bytes = span_after(bytes, len);
		rc = buf_check(&r->chunk, err);
		if (rc || r->chunk.len < COPY_CHUNK_BYTES)
			continue;
		rc = session_copy_put(r->session, r->chunk.data, r->chunk.len, err);
		buf_reset(&r->chunk);
	}
	return rc;
}

/* One field: jsonb's version, and the text. */
static enum err_kind put_line(struct replay *r, struct span line, struct err *err)
{
	uint8_t head[ROW_HEAD_BYTES];
	enum err_kind rc;

	put_u16_be(head, 1);
	put_u32_be(head + 2, (uint32_t)line.len + 1);
	head[ROW_HEAD_BYTES - 1] = JSONB_VERSION;
	rc = put(r, span_of(head, sizeof(head)), err);
	return rc ? rc : put(r, line, err);
}

/* The first line of what is left, without its end; where it has none, all of it. */
static struct span take_line(struct span *left)
{
	const char *end = memchr(left->data, '\n', left->len);
	struct span line = end ? span_of(left->data, (size_t)(end - left->data)) : *left;

	*left = span_after(*left, end ? line.len + 1 : line.len);
	return line;
}

static enum err_kind send_lines(struct replay *r, struct span content, struct err *err)
{
	struct buf *chunk = &r->chunk;
	enum err_kind rc = ERR_NONE;

	buf_reset(chunk);
	copy_put_header(chunk);
	while (content.len > 0 && !rc) {
		struct span line = take_line(&content);

		rc = put_line(r, line, err);
	}
	if (!rc && chunk->len + COPY_TRAILER_BYTES > COPY_CHUNK_BYTES) {
		rc = session_copy_put(r->session, chunk->data, chunk->len, err);
		buf_reset(chunk);
	}
	copy_put_trailer(chunk);
	if (!rc)
		rc = session_copy_put(r->session, chunk->data, chunk->len, err);
	return rc ? rc : session_copy_done(r->session, err);
}

static enum err_kind copy_content(struct replay *r, struct span content, struct err *err)
{
	uint64_t rows;
	enum err_kind rc = session_copy_begin(
		r->session, "BEGIN; COPY " TABLE " (line) FROM STDIN (FORMAT binary)", err);

	if (!rc)
		rc = send_lines(r, content, err);
	return rc ? rc : session_copy_end(r->session, &rows, err);
}

/* --- from there to the trail --- */

/* Of the object, and of what is wanted of it; as texts. */
struct times {
	char from[TIME_TEXT_BYTES], until[TIME_TEXT_BYTES];
	char wanted_from[TIME_TEXT_BYTES], wanted_until[TIME_TEXT_BYTES];
	char cut[TIME_TEXT_BYTES];         /* of before this nothing is stored */
	char stored_from[TIME_TEXT_BYTES]; /* of what is wanted */
};

static void format_times(const struct replay_job *job, const struct limits *limits,
			 struct times *ret)
{
	int64_t from_ns = time_later(job->from_ns, job->wanted_from_ns);
	int64_t cut_us = limits_cut_us(limits, kinds[job->kind].limit);
	/* Without a limit, when the object begins: no row of it is of before. */
	int64_t cut_ns = cut_us == INT64_MIN ? job->from_ns : cut_us * NS_PER_US;

	(void)time_format(job->from_ns, ret->from);
	(void)time_format(job->until_ns, ret->until);
	(void)time_format(from_ns, ret->wanted_from);
	(void)time_format(time_earlier(job->until_ns, job->wanted_until_ns), ret->wanted_until);
	(void)time_format(cut_ns, ret->cut);
	(void)time_format(time_later(from_ns, cut_ns), ret->stored_from);
}

static uint64_t number(const PGresult *row, int column)
{
	return strtoull(PQgetvalue(row, 0, column), NULL, 10);
}

static enum err_kind check_lines(struct replay *r, const struct replay_job *job,
				 const struct times *times, struct replay_result *ret,
				 struct err *err)
{
	const struct kind *kind = &kinds[job->kind];
	const char *const values[] = {job->app,    times->wanted_from, times->wanted_until,
				      times->from, times->until,       kind->retention_class,
				      kind->texts, times->cut};
	uint64_t unknown, misplaced;
	PGresult *row;
	enum err_kind rc = session_ask(r->session, CHECK_SQL, values, ARRAY_LEN(values), &row, err);

	if (rc)
		return rc;
	unknown = number(row, 0);
	misplaced = number(row, 1);
	ret->wanted = number(row, 2);
	ret->expired = number(row, 3);
	PQclear(row);
	if (unknown > 0)
		return err_set(err, ERR_REJECT,
			       "%" PRIu64 " of its lines are none that this version writes",
			       unknown);
	if (misplaced > 0)
		return err_set(err, ERR_REJECT,
			       "%" PRIu64 " of its lines do not belong where it stands", misplaced);
	return ERR_NONE;
}

/* By what Postgres takes each line for, which has passed check_lines(). */
static enum err_kind check_ids(struct replay *r, struct span content, struct err *err)
{
	uint64_t foreign = 0;

	while (content.len > 0) {
		struct span line = take_line(&content);
		enum err_kind rc = ndjson_check_id(r->hasher, line, err);

		if (rc && rc != ERR_REJECT)
			return rc;
		foreign += rc == ERR_REJECT;
	}
	if (foreign > 0)
		return err_set(err, ERR_REJECT,
			       "%" PRIu64 " of its lines have an id that is not their own",
			       foreign);
	return ERR_NONE;
}

static enum err_kind ensure_partition(struct replay *r, const struct replay_job *job,
				      const struct times *times, struct err *err)
{
	const char *const values[] = {kinds[job->kind].partition, times->from};
	PGresult *row;
	enum err_kind rc =
		session_ask(r->session, "SELECT flytrail.ensure_partition($1, $2::timestamptz)",
			    values, ARRAY_LEN(values), &row, err);

	if (!rc)
		PQclear(row);
	return rc;
}

static enum err_kind insert(struct replay *r, const struct replay_job *job,
			    const struct times *times, uint64_t *ret_added, struct err *err)
{
	char stream[ID_TEXT_BYTES], seq[NUMBER_BYTES];
	const char *const values[] = {job->app, times->stored_from, times->wanted_until,
				      id_format(&job->stream, stream), seq};
	PGresult *result;
	enum err_kind rc;

	(void)snprintf(seq, sizeof(seq), "%" PRIu64, job->seq);
	rc = session_ask(r->session, kinds[job->kind].insert_sql, values, ARRAY_LEN(values),
			 &result, err);
	if (rc)
		return rc;
	*ret_added = strtoull(PQcmdTuples(result), NULL, 10);
	PQclear(result);
	return ERR_NONE;
}

static enum err_kind write_job(struct replay *r, const struct replay_job *job,
			       struct replay_result *ret, struct err *err)
{
	struct limits limits = {.read_ns = 0};
	struct times times;
	enum err_kind rc = copy_content(r, job->content, err);

	if (!rc)
		rc = limits_read(&limits, r->session, err);
	format_times(job, &limits, &times);
	if (!rc)
		rc = check_lines(r, job, &times, ret, err);
	if (!rc)
		rc = check_ids(r, job->content, err);
	if (!rc && ret->wanted > ret->expired)
		rc = ensure_partition(r, job, &times, err);
	if (!rc && ret->wanted > ret->expired)
		rc = insert(r, job, &times, &ret->added, err);
	return rc ? rc : session_run(r->session, "COMMIT", err);
}

enum err_kind replay_write(struct replay *r, const struct replay_job *job,
			   struct replay_result *ret, struct err *err)
{
	struct replay_result result = {.wanted = 0};
	struct err aside;
	enum err_kind rc = ERR_NONE;

	if (!r->session)
		rc = connect_to(r, err);
	if (!rc)
		rc = write_job(r, job, &result, err);
	if (!rc)
		*ret = result;
	else if (rc != ERR_REJECT || session_run(r->session, "ROLLBACK", &aside))
		disconnect(r);
	return rc;
}
