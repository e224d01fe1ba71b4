#include "store/apart.h"

#include "store/migrate.h"
#include "store/rows.h"
#include "store/sqlstate.h"

#include <stdlib.h>

#define LINES "pg_temp.apart_lines"
#define EVENTS "pg_temp.apart_events"

struct apart {
	struct session *session;
	struct spool_batch batch; /* what is not in the temporary tables yet; of one stream */
	struct id stream;
	struct copy_plan plan;
	struct buf chunk;
	uint64_t added;      /* rows in the temporary tables */
	uint64_t duplicates; /* of what was added, known before the server was asked */
};

/* events.stored_at gets its default at the INSERT, not here. */
static const char MAKE_SQL[] = "CREATE TEMPORARY TABLE apart_lines (LIKE flytrail.log_lines); "
			       "CREATE TEMPORARY TABLE apart_events (LIKE flytrail.events); "
			       "ALTER TABLE " EVENTS " ALTER COLUMN stored_at DROP NOT NULL";
static const char EMPTY_SQL[] = "TRUNCATE " LINES ", " EVENTS;

enum err_kind apart_open(struct apart **ret, const char *url, struct err *err)
{
	const struct session_options options = {
		.url = url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = APART_CONNECT_SECONDS,
		.answer_seconds = APART_ANSWER_SECONDS,
	};
	struct apart *a = calloc(1, sizeof(*a));
	enum err_kind rc;

	if (!a)
		return err_set(err, ERR_FATAL, "out of memory for rows apart from the spool");
	rows_init_chunk(&a->chunk);
	rc = spool_batch_init(&a->batch, APART_BATCH_ROWS, APART_BATCH_BYTES_MAX, err);
	if (!rc)
		rc = copy_plan_init(&a->plan, APART_BATCH_ROWS, err);
	if (!rc)
		rc = session_open(&a->session, &options, err);
	if (!rc)
		rc = migrate_check_database(a->session, err);
	if (!rc)
		rc = session_run(a->session, MAKE_SQL, err);
	if (rc)
		apart_close(a);
	else
		*ret = a;
	return rc;
}

void apart_close(struct apart *a)
{
	if (!a)
		return;
	session_close(a->session);
	copy_plan_release(&a->plan);
	spool_batch_release(&a->batch);
	buf_release(&a->chunk);
	free(a);
}

static void forget(struct apart *a)
{
	spool_batch_reset(&a->batch);
	a->added = 0;
	a->duplicates = 0;
}

/* After a failure: the connection is good for the next records only where one was refused. */
static enum err_kind give_up(struct apart *a, enum err_kind failed, struct err *err)
{
	struct err aside;

	forget(a);
	if (failed != ERR_REJECT)
		return failed;
	if (!session_run(a->session, "ROLLBACK", &aside) &&
	    !session_run(a->session, EMPTY_SQL, &aside))
		return failed;
	*err = aside;
	return aside.kind;
}

static enum err_kind put_part(struct apart *a, const struct copy_context *context,
			      const struct rows_part *part, struct err *err)
{
	enum err_kind rc;

	if (part->count == 0)
		return ERR_NONE;
	rc = rows_send(a->session, &a->chunk, "", context, part, err);
	if (!rc)
		rc = rows_end(a->session, part, err);
	a->added += part->count;
	return rc;
}

/* What is gathered here goes into the temporary tables. */
static enum err_kind put_batch(struct apart *a, struct err *err)
{
	const struct copy_context context = {
		.batch = &a->batch, .plan = &a->plan, .stream = a->stream};
	struct rows_part lines, events;
	enum err_kind rc;

	if (a->batch.count == 0)
		return ERR_NONE;
	rc = copy_plan_fill(&a->plan, &a->batch, 0, a->batch.count, err);
	if (rc)
		return rc;
	lines = rows_lines(LINES, &a->plan);
	events = rows_events(EVENTS, &a->plan);
	rc = rows_make_partitions(a->session, &a->plan, err);
	if (!rc)
		rc = put_part(a, &context, &lines, err);
	if (!rc)
		rc = put_part(a, &context, &events, err);
	a->duplicates += a->plan.duplicates;
	spool_batch_reset(&a->batch);
	return rc;
}

static bool is_full(const struct apart *a, size_t len)
{
	const struct spool_batch *b = &a->batch;

	return b->count > 0 && (b->count == b->frames_max || b->bytes.len + len > b->bytes_max);
}

enum err_kind apart_add(struct apart *a, const struct apart_row *row, struct err *err)
{
	struct spool_batch *b = &a->batch;
	enum err_kind rc = ERR_NONE;

	if (row->payload.len > RECORD_PAYLOAD_BYTES_MAX)
		rc = err_set(err, ERR_REJECT, "a record of %zu bytes is none", row->payload.len);
	else if (is_full(a, row->payload.len) || id_compare(&a->stream, &row->stream) != 0)
		rc = put_batch(a, err);
	if (rc)
		return give_up(a, rc, err);
	a->stream = row->stream;
	b->frames[b->count++] = (struct spool_frame){
		.seq = row->seq, .offset = b->bytes.len, .len = row->payload.len};
	buf_span(&b->bytes, row->payload);
	rc = buf_check(&b->bytes, err);
	return rc ? give_up(a, rc, err) : ERR_NONE;
}

static enum err_kind merge(struct apart *a, struct apart_result *ret, struct err *err)
{
	const struct rows_part lines = {.table = LINES, .columns = COPY_LINE_COLUMNS, .count = 1};
	const struct rows_part events = {
		.table = EVENTS, .columns = COPY_EVENT_COLUMNS, .count = 1};
	enum err_kind rc = session_run(a->session, "BEGIN", err);

	if (!rc)
		rc = rows_merge(a->session, &lines, &rows_target_lines, &ret->lines, err);
	if (!rc)
		rc = rows_merge(a->session, &events, &rows_target_events, &ret->events, err);
	if (!rc)
		rc = session_run(a->session, EMPTY_SQL, err);
	return rc ? rc : session_run(a->session, "COMMIT", err);
}

enum err_kind apart_commit(struct apart *a, struct apart_result *ret, struct err *err)
{
	enum err_kind rc = put_batch(a, err);

	*ret = (struct apart_result){.lines = 0};
	if (!rc && a->added > 0)
		rc = merge(a, ret, err);
	/* It was dropped since it was made, or found: the next time it is made again. */
	if (rc == ERR_REJECT && session_lacks_partition(a->session))
		err->kind = rc = ERR_RETRY;
	if (rc) {
		*ret = (struct apart_result){.lines = 0};
		return give_up(a, rc, err);
	}
	ret->duplicates = a->duplicates + a->added - ret->lines - ret->events;
	forget(a);
	return ERR_NONE;
}
