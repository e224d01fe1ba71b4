#include "store/postgres.h"

#include "base/time.h"
#include "store/migrate.h"
#include "store/rows.h"
#include "store/session.h"
#include "store/sqlstate.h"
#include "store/stream.h"

#include <stdlib.h>
#include <string.h>

enum {
	/* Plain, late rows taken out, partitions made, staged, partitions made for the staged. */
	ATTEMPTS_MAX = 5,
};

struct store {
	char *url, *replica;
	struct stream_row row;
	struct session *session; /* NULL: to be connected */
	struct limits limits;
	uint64_t cursor_mark;     /* as it was read when connecting */
	struct histogram *copies; /* NULL: not measured */
	struct copy_plan plans[2];
	struct copy_plan *plan;             /* of the batch that is being written */
	struct copy_plan *ahead;            /* of the one after it; the other of plans */
	const struct spool_batch *ahead_of; /* NULL: nothing is planned ahead */
	struct buf chunk;
	unsigned staged_left; /* batches that still go through the staging tables */
	bool has_staging;     /* this connection has the staging tables */
};

enum err_kind store_new(struct store **ret, const struct store_options *options, struct err *err)
{
	struct store *s = calloc(1, sizeof(*s));
	enum err_kind rc = ERR_NONE;

	if (!s)
		return err_set(err, ERR_FATAL, "out of memory for the store");
	rows_init_chunk(&s->chunk);
	s->url = span_copy(span_text(options->url));
	s->replica = span_copy(span_text(options->replica));
	s->copies = options->copies;
	s->row = (struct stream_row){.stream = options->stream, .replica = s->replica};
	if (!s->url || !s->replica)
		rc = err_set(err, ERR_FATAL, "out of memory for the store");
	for (size_t i = 0; i < ARRAY_LEN(s->plans) && !rc; i++)
		rc = copy_plan_init(&s->plans[i], STORE_BATCH_ROWS, err);
	s->plan = &s->plans[0];
	s->ahead = &s->plans[1];
	if (rc) {
		store_free(s);
		return rc;
	}
	*ret = s;
	return ERR_NONE;
}

static void disconnect(struct store *s)
{
	session_close(s->session);
	s->session = NULL;
	s->has_staging = false;
	s->ahead_of = NULL; /* the caller goes back to the cursor, and reads anew */
}

void store_free(struct store *s)
{
	if (!s)
		return;
	disconnect(s);
	for (size_t i = 0; i < ARRAY_LEN(s->plans); i++)
		copy_plan_release(&s->plans[i]);
	buf_release(&s->chunk);
	free(s->url);
	free(s->replica);
	free(s);
}

enum err_kind store_connect(struct store *s, uint64_t *ret_cursor_seq, struct err *err)
{
	const struct session_options options = {
		.url = s->url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = STORE_CONNECT_SECONDS,
		.answer_seconds = STORE_ANSWER_SECONDS,
	};
	struct stream_position cursor = {0};
	enum err_kind rc;

	disconnect(s);
	rc = session_open(&s->session, &options, err);
	if (!rc)
		rc = migrate_check_database(s->session, err);
	if (!rc)
		rc = stream_open(s->session, &s->row, &cursor, err);
	if (!rc)
		rc = limits_read(&s->limits, s->session, err);
	if (rc) {
		disconnect(s);
		return rc;
	}
	s->cursor_mark = cursor.mark;
	*ret_cursor_seq = cursor.seq;
	return ERR_NONE;
}

uint64_t store_cursor_mark(const struct store *s)
{
	return s->cursor_mark;
}

int64_t store_clock_ns(const struct store *s)
{
	return s->limits.server_ns - s->limits.read_ns;
}

enum err_kind store_find_newest_live(struct store *s, int64_t *ret_observed_ns, struct err *err)
{
	PGresult *row;
	enum err_kind rc;

	if (!s->session)
		return err_set(err, ERR_RETRY, "not connected to Postgres");
	/* Newest by its own time, for which there is an index. Lines by HTTP are read in the order
	 * of their times, and perhaps long afterwards. */
	rc = session_ask(s->session,
			 "SELECT floor(extract(epoch FROM CASE source WHEN 'nats' THEN observed_at "
			 "ELSE least(occurred_at, observed_at) END) * 1e6)::bigint "
			 "FROM flytrail.log_lines WHERE source IN ('nats', 'http') "
			 "ORDER BY occurred_at DESC LIMIT 1",
			 NULL, 0, &row, err);
	if (rc) {
		disconnect(s);
		return rc;
	}
	*ret_observed_ns =
		PQntuples(row) == 1 ? strtoll(PQgetvalue(row, 0, 0), NULL, 10) * NS_PER_US : 0;
	PQclear(row);
	return ERR_NONE;
}

/* What is called while Postgres works: once, however many attempts a batch takes. */
struct meanwhile {
	void (*call)(void *);
	void *arg;
};

static void call_once(struct meanwhile *m)
{
	void (*call)(void *) = m->call;

	m->call = NULL;
	if (call)
		call(m->arg);
}

static enum err_kind copy_part(struct store *s, const char *before, const struct copy_context *c,
			       const struct rows_part *part, struct meanwhile *m, struct err *err)
{
	int64_t start_ns = time_monotonic_ns();
	enum err_kind rc;

	if (part->count == 0)
		return before[0] != '\0' ? session_run(s->session, before, err) : ERR_NONE;
	rc = rows_send(s->session, &s->chunk, before, c, part, err);
	if (rc)
		return rc;
	call_once(m);
	rc = rows_end(s->session, part, err);
	if (!rc && s->copies)
		histogram_add(s->copies, time_monotonic_ns() - start_ns);
	return rc;
}

static enum err_kind make_staging(struct store *s, struct err *err)
{
	enum err_kind rc;

	if (s->has_staging)
		return ERR_NONE;
	/* events.stored_at gets its default at the INSERT, not here. */
	rc = session_run(s->session,
			 "CREATE TEMPORARY TABLE staged_lines (LIKE flytrail.log_lines) "
			 "ON COMMIT DELETE ROWS; "
			 "CREATE TEMPORARY TABLE staged_events (LIKE flytrail.events) "
			 "ON COMMIT DELETE ROWS; "
			 "ALTER TABLE staged_events ALTER COLUMN stored_at DROP NOT NULL",
			 err);
	if (rc)
		return err_wrap(err, "make staging tables");
	s->has_staging = true;
	return ERR_NONE;
}

/* What store_write was asked for, and what came of it. */
struct job {
	struct copy_context context;
	uint64_t after_seq;
	struct stream_position last;
	bool doubted, trial;
	struct meanwhile meanwhile;
	enum err_kind (*expired)(void *arg, const struct store_result *result, uint64_t last_seq,
				 struct err *err);
	void *arg;
	struct store_result result;
};

static enum err_kind write_plain(struct store *s, struct job *job, const struct rows_part *lines,
				 const struct rows_part *events, struct err *err)
{
	enum err_kind rc = copy_part(s, "BEGIN; ", &job->context, lines, &job->meanwhile, err);

	if (!rc)
		rc = copy_part(s, "", &job->context, events, &job->meanwhile, err);
	job->result.lines = lines->count;
	job->result.events = events->count;
	return rc;
}

static enum err_kind write_staged(struct store *s, struct job *job, const struct rows_part *lines,
				  const struct rows_part *events, struct err *err)
{
	struct store_result *result = &job->result;
	enum err_kind rc = make_staging(s, err);

	if (!rc)
		rc = copy_part(s, "BEGIN; ", &job->context, lines, &job->meanwhile, err);
	if (!rc)
		rc = copy_part(s, "", &job->context, events, &job->meanwhile, err);
	if (!rc)
		rc = rows_merge(s->session, lines, &rows_target_lines, &result->lines, err);
	if (!rc)
		rc = rows_merge(s->session, events, &rows_target_events, &result->events, err);
	return rc;
}

static enum err_kind attempt(struct store *s, struct job *job, struct err *err)
{
	const struct copy_plan *plan = s->plan;
	const bool staged = s->staged_left > 0;
	const struct rows_part lines =
		rows_lines(staged ? "pg_temp.staged_lines" : "flytrail.log_lines", plan);
	const struct rows_part events =
		rows_events(staged ? "pg_temp.staged_events" : "flytrail.events", plan);
	uint64_t planned = plan->line_count + plan->event_count;
	enum err_kind rc;

	rc = staged ? write_staged(s, job, &lines, &events, err)
		    : write_plain(s, job, &lines, &events, err);
	if (rc)
		return rc;
	job->result.duplicates =
		plan->duplicates + planned - job->result.lines - job->result.events;
	job->result.line_duplicates = plan->line_duplicates + plan->line_count - job->result.lines;
	/* A trigger that waits for the COMMIT is tried, too. */
	if (job->trial)
		return session_run(s->session, "SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK", err);
	rc = stream_move_cursor(s->session, &s->row, job->after_seq, &job->last, err);
	if (!rc && job->expired && store_has_expired(&job->result))
		rc = job->expired(job->arg, &job->result, job->last.seq, err);
	return rc ? rc : session_run(s->session, "COMMIT", err);
}

/*
 * Leaves out what is past its limit, as the policy is now: what it was read as before may have
 * changed since, and what is left out does not come again. *ret_any: there was something.
 */
static enum err_kind take_out(struct store *s, struct job *job, bool *ret_any, struct err *err)
{
	enum err_kind rc = limits_read(&s->limits, s->session, err);

	if (!rc)
		*ret_any = limits_take_out(&s->limits, job->context.batch, s->plan,
					   job->result.expired) > 0;
	return rc;
}

static enum err_kind keep_limits(struct store *s, struct job *job, struct err *err)
{
	bool any;

	if (!limits_are_old(&s->limits) && !limits_are_met(&s->limits, s->plan))
		return ERR_NONE;
	return take_out(s, job, &any, err);
}

/*
 * For each row that needs one. Postgres makes none of a time that is past its limit as a whole:
 * then these rows are late by a policy that is newer than what was read, or by a clock that is
 * not this machine's.
 */
static enum err_kind make_partitions(struct store *s, struct job *job, struct err *err)
{
	enum err_kind rc = rows_make_partitions(s->session, s->plan, err);
	bool any = false;
	struct err aside;

	if (!rc || !sqlstate_is_past_limit(session_state(s->session)))
		return rc;
	if (take_out(s, job, &any, &aside)) {
		*err = aside;
		return aside.kind;
	}
	if (any)
		return ERR_NONE;
	err->kind = limits_clock_is_near(&s->limits) ? ERR_RETRY : ERR_REJECT;
	return err_wrap(err, "Postgres's clock is ahead of this machine's");
}

/* What to do about a failed attempt. */
enum way { WAY_NONE, WAY_STAGING, WAY_PARTITIONS };

static enum way way_around(const struct store *s)
{
	if (session_lacks_partition(s->session))
		return WAY_PARTITIONS;
	if (sqlstate_is_duplicate(session_state(s->session)) && s->staged_left == 0)
		return WAY_STAGING;
	return WAY_NONE;
}

/* A code that is not known is the rows' fault where the caller has doubts about them. */
static enum err_kind judge(const struct store *s, struct job *job, enum err_kind failed,
			   struct err *err)
{
	job->result.unknown_code = failed && sqlstate_is_unknown(session_state(s->session));
	if (!job->result.unknown_code || !job->doubted)
		return failed;
	err->kind = ERR_REJECT;
	return ERR_REJECT;
}

/* After a failed attempt. ERR_NONE: try again. */
static enum err_kind recover(struct store *s, struct job *job, enum err_kind failed,
			     struct err *err)
{
	enum way way = way_around(s);
	struct err aside;

	failed = judge(s, job, failed, err);
	if (failed == ERR_RETRY || failed == ERR_FATAL)
		return failed;
	if (session_run(s->session, "ROLLBACK", &aside)) {
		*err = aside;
		return aside.kind;
	}
	switch (way) {
	case WAY_NONE: return failed;
	case WAY_STAGING: s->staged_left = 1 + STORE_STAGED_BATCHES; return ERR_NONE;
	case WAY_PARTITIONS: return judge(s, job, make_partitions(s, job, err), err);
	}
	return failed;
}

static enum err_kind write_batch(struct store *s, struct job *job, struct err *err)
{
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		enum err_kind rc = attempt(s, job, err);

		if (!rc) {
			s->staged_left -= s->staged_left > 0;
			return ERR_NONE;
		}
		rc = recover(s, job, rc, err);
		if (rc)
			return rc;
	}
	return err_set(err, ERR_RETRY, "a batch did not go in after %d attempts", ATTEMPTS_MAX);
}

void store_plan(struct store *s, const struct spool_batch *next)
{
	struct err aside; /* store_write() meets it again, and tells */
	enum err_kind rc = copy_plan_fill(s->ahead, next, 0, next->count, &aside);

	s->ahead_of = rc ? NULL : next;
}

/* Takes the plan that was made ahead, or makes it now: frames may have been added since. */
static enum err_kind take_plan(struct store *s, const struct store_job *wanted, struct err *err)
{
	bool is_ahead = s->ahead_of == wanted->batch && wanted->first == 0 &&
			wanted->count == s->ahead->frame_count;
	struct copy_plan *plan = s->ahead;

	if (s->ahead_of == wanted->batch)
		s->ahead_of = NULL;
	if (!is_ahead)
		return copy_plan_fill(s->plan, wanted->batch, wanted->first, wanted->count, err);
	s->ahead = s->plan;
	s->plan = plan;
	return ERR_NONE;
}

enum err_kind store_write(struct store *s, const struct store_job *wanted, struct store_result *ret,
			  struct err *err)
{
	struct job job = {
		.after_seq = wanted->after_seq,
		.doubted = wanted->doubted,
		.trial = wanted->trial,
		.meanwhile = {.call = wanted->meanwhile, .arg = wanted->arg},
		.expired = wanted->expired,
		.arg = wanted->arg,
	};
	const struct spool_frame *last;
	enum err_kind rc;

	REQUIRE(wanted->count > 0);
	if (!s->session)
		return err_set(err, ERR_RETRY, "not connected to Postgres");
	rc = take_plan(s, wanted, err);
	if (rc)
		return rc;
	job.context = (struct copy_context){
		.batch = wanted->batch, .plan = s->plan, .stream = s->row.stream.uuid};
	last = &wanted->batch->frames[wanted->first + wanted->count - 1];
	job.last = (struct stream_position){.seq = last->seq, .mark = last->mark};
	rc = keep_limits(s, &job, err);
	if (!rc)
		rc = write_batch(s, &job, err);
	if (rc == ERR_RETRY || rc == ERR_FATAL || rc == ERR_CONFIG)
		disconnect(s);
	if (!rc)
		call_once(&job.meanwhile);
	else
		memset(job.result.expired, 0, sizeof(job.result.expired));
	*ret = job.result;
	return rc;
}

bool store_has_expired(const struct store_result *result)
{
	for (size_t i = 0; i < LIMITS_KINDS; i++)
		if (result->expired[i].rows > 0)
			return true;
	return false;
}

enum err_kind store_make_partitions(struct store *s, struct err *err)
{
	enum err_kind rc;

	if (!s->session)
		return err_set(err, ERR_RETRY, "not connected to Postgres");
	rc = session_run(s->session, "SELECT flytrail.make_partitions_ahead()", err);
	if (rc)
		disconnect(s);
	return rc;
}

enum err_kind store_check_schema(struct store *s, uint64_t *ret_facts, struct err *err)
{
	PGresult *row = NULL;
	enum err_kind rc;

	if (!s->session)
		return err_set(err, ERR_RETRY, "not connected to Postgres");
	rc = session_ask(s->session, "SELECT flytrail.check_schema()", NULL, 0, &row, err);
	if (rc) {
		disconnect(s);
		return rc;
	}
	*ret_facts = strtoull(PQgetvalue(row, 0, 0), NULL, 10);
	PQclear(row);
	return ERR_NONE;
}
