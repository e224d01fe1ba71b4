#include "store/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_BYTES = 24, SQL_BYTES = 2048 };

#define US_PER_S INT64_C(1000000)
#define US_PER_DAY (86400 * US_PER_S)

struct rows_part rows_lines(const char *table, const struct copy_plan *plan)
{
	return (struct rows_part){table, COPY_LINE_COLUMNS, plan->lines, plan->line_count,
				  copy_put_line};
}

struct rows_part rows_events(const char *table, const struct copy_plan *plan)
{
	return (struct rows_part){table, COPY_EVENT_COLUMNS, plan->events, plan->event_count,
				  copy_put_event};
}

void rows_init_chunk(struct buf *chunk)
{
	buf_init(chunk, COPY_CHUNK_BYTES + COPY_ROW_BYTES_MAX);
}

static enum err_kind send_chunk(struct session *s, struct buf *chunk, struct err *err)
{
	enum err_kind rc = buf_check(chunk, err);

	if (!rc)
		rc = session_copy_put(s, chunk->data, chunk->len, err);
	buf_reset(chunk);
	return rc;
}

/* After a row that cannot be written: the connection stays good for the halves of the batch. */
static enum err_kind abort_rows(struct session *s, enum err_kind why, struct err *err)
{
	struct err aside;

	if (session_copy_abort(s, &aside) == ERR_NONE)
		return why;
	*err = aside;
	return aside.kind;
}

static enum err_kind send_all(struct session *s, struct buf *chunk,
			      const struct copy_context *context, const struct rows_part *part,
			      struct err *err)
{
	enum err_kind rc = ERR_NONE;

	buf_reset(chunk);
	copy_put_header(chunk);
	for (size_t i = 0; i < part->count && !rc; i++) {
		rc = part->put(context, &part->keys[i], chunk, err);
		if (rc)
			return abort_rows(s, rc, err);
		if (chunk->len >= COPY_CHUNK_BYTES)
			rc = send_chunk(s, chunk, err);
	}
	copy_put_trailer(chunk);
	if (!rc)
		rc = send_chunk(s, chunk, err);
	return rc ? rc : session_copy_done(s, err);
}

enum err_kind rows_send(struct session *s, struct buf *chunk, const char *before,
			const struct copy_context *context, const struct rows_part *part,
			struct err *err)
{
	char sql[SQL_BYTES];
	enum err_kind rc;

	REQUIRE(part->count > 0);
	(void)snprintf(sql, sizeof(sql), "%sCOPY %s (%s) FROM STDIN (FORMAT binary)", before,
		       part->table, part->columns);
	rc = session_copy_begin(s, sql, err);
	return rc ? rc : send_all(s, chunk, context, part, err);
}

enum err_kind rows_end(struct session *s, const struct rows_part *part, struct err *err)
{
	uint64_t rows = 0;
	enum err_kind rc = session_copy_end(s, &rows, err);

	if (!rc && rows != part->count)
		rc = err_set(err, ERR_RETRY, "Postgres took %" PRIu64 " rows of %zu", rows,
			     part->count);
	return rc;
}

const struct rows_target rows_target_lines = {"log_lines", "occurred_at, id"};
const struct rows_target rows_target_events = {"events", "retention_class, occurred_at, event_id"};

enum err_kind rows_merge(struct session *s, const struct rows_part *part,
			 const struct rows_target *target, uint64_t *ret_rows, struct err *err)
{
	char sql[SQL_BYTES];
	PGresult *result;
	enum err_kind rc;

	*ret_rows = 0;
	if (part->count == 0)
		return ERR_NONE;
	(void)snprintf(sql, sizeof(sql),
		       "INSERT INTO flytrail.%s (%s) SELECT %s FROM %s ORDER BY %s "
		       "ON CONFLICT DO NOTHING",
		       target->table, part->columns, part->columns, part->table, target->order);
	rc = session_ask(s, sql, NULL, 0, &result, err);
	if (rc)
		return rc;
	*ret_rows = strtoull(PQcmdTuples(result), NULL, 10);
	PQclear(result);
	return ERR_NONE;
}

static enum err_kind ensure_partition(struct session *s, const char *kind, int64_t at_us,
				      struct err *err)
{
	char seconds[NUMBER_BYTES];
	const char *const values[] = {kind, seconds};
	enum err_kind rc;

	(void)snprintf(seconds, sizeof(seconds), "%" PRId64, at_us / US_PER_S);
	rc = session_ask(s, "SELECT flytrail.ensure_partition($1, to_timestamp($2::bigint))",
			 values, ARRAY_LEN(values), NULL, err);
	return rc ? err_wrap(err, "make a partition of %s", kind) : ERR_NONE;
}

/* Of the days that the batch has rows for. A month's partition is asked for as often as its days.
 */
static enum err_kind ensure_days(struct session *s, const char *kind, const struct copy_key *keys,
				 size_t count, struct err *err)
{
	const char *name = kind;
	int64_t day = 0;
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < count && !rc; i++) {
		int64_t next = keys[i].occurred_us / US_PER_DAY;

		if (i > 0 && next == day && keys[i].is_security == keys[i - 1].is_security)
			continue;
		day = next;
		if (!kind)
			name = keys[i].is_security ? "security" : "operations";
		rc = ensure_partition(s, name, keys[i].occurred_us, err);
	}
	return rc;
}

enum err_kind rows_make_partitions(struct session *s, const struct copy_plan *plan, struct err *err)
{
	enum err_kind rc = ensure_days(s, "log_lines", plan->lines, plan->line_count, err);

	return rc ? rc : ensure_days(s, NULL, plan->events, plan->event_count, err);
}
