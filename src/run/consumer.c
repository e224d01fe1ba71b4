#include "run/consumer.h"

#include "base/backoff.h"
#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "sink/dead_letter.h"
#include "store/postgres.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { IDLE_MS = 200, SETTLE_MS = 20 }; /* a read waits so long for a first record */

struct consumer {
	struct consumer_options o; /* const after consumer_new() */

	struct store *store;
	struct dead_letters *dead;
	struct spool_reader *reader; /* made when the cursor is known first */
	struct spool_batch batches[2];
	bool damage_told[2]; /* of each batch */
	unsigned now;        /* the batch that is written next; the other one is read meanwhile */
	uint64_t cursor;
	uint64_t sure_seq;   /* up to here Postgres may have it of us: it was here at the start, or
				was stored since */
	uint64_t tried_seq;  /* where the newest write wanted the cursor; its answer may be lost */
	bool foreign;        /* Postgres has been further: see check_cursor() */
	unsigned failures;   /* in a row */
	struct err read_err; /* of the read that went on while Postgres worked */
};

/* What is accepted before the consumer is there may have been stored by a process before. */
static enum err_kind find_sure(struct consumer *c, struct err *err)
{
	struct spool_stats stats;
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/" CONSUMER_FOREIGN_NAME, c->o.folder);

	if (len < 0 || (size_t)len >= sizeof(path))
		return err_set(err, ERR_CONFIG, "the path of the spool's folder is too long");
	spool_stats(c->o.spool, &stats);
	c->sure_seq = stats.accepted_seq;
	c->foreign = access(path, F_OK) == 0;
	return ERR_NONE;
}

enum err_kind consumer_new(struct consumer **ret, const struct consumer_options *options,
			   struct err *err)
{
	struct spool_stream stream = spool_stream(options->spool);
	const struct store_options store_options = {
		.url = options->database_url, .stream = stream, .replica = options->replica};
	struct consumer *c = calloc(1, sizeof(*c));
	enum err_kind rc = ERR_NONE;

	if (!c)
		return err_set(err, ERR_FATAL, "out of memory for the store's consumer");
	c->o = *options;
	rc = find_sure(c, err);
	for (size_t i = 0; i < ARRAY_LEN(c->batches) && rc == ERR_NONE; i++)
		rc = spool_batch_init(&c->batches[i], STORE_BATCH_ROWS, STORE_BATCH_BYTES_MAX, err);
	if (rc == ERR_NONE)
		rc = store_new(&c->store, &store_options, err);
	if (rc == ERR_NONE)
		rc = dead_letters_open(&c->dead, options->folder, "store", stream, err);
	if (rc) {
		consumer_free(c);
		return rc;
	}
	*ret = c;
	return ERR_NONE;
}

void consumer_free(struct consumer *c)
{
	if (!c)
		return;
	dead_letters_close(c->dead);
	store_free(c->store);
	spool_reader_free(c->reader);
	for (size_t i = 0; i < ARRAY_LEN(c->batches); i++)
		spool_batch_release(&c->batches[i]);
	free(c);
}

static void forget_batch(struct consumer *c, size_t idx)
{
	spool_batch_reset(&c->batches[idx]);
	c->damage_told[idx] = false;
}

static void tell_damage(struct consumer *c, enum gap_reason reason, const struct spool_damage *d)
{
	const struct log_field fields[] = {LOG_NUMBER("first_seq", d->first_seq),
					   LOG_NUMBER("last_seq", d->last_seq)};

	if (reason == GAP_store_rewound)
		log_write(LOG_ERROR, LOG_EVENT_store_rewound, fields, ARRAY_LEN(fields));
	else
		log_write(LOG_ERROR, LOG_EVENT_spool_damaged, fields, ARRAY_LEN(fields));
	atomic_fetch_add(&c->o.status->gaps, 1);
	trail_post_damage(c->o.trail, reason, d);
}

static void note_cursor(struct consumer *c, uint64_t cursor)
{
	c->cursor = cursor;
	if (c->sure_seq < cursor)
		c->sure_seq = cursor;
	atomic_store(&c->o.status->stored_seq, cursor);
}

/* To where Postgres says it is: what was written after that, it has forgotten. */
static enum err_kind go_to_cursor(struct consumer *c, struct err *err)
{
	struct spool_damage lost = {.first_seq = 0};
	enum err_kind rc = ERR_NONE;

	if (!c->reader)
		rc = spool_reader_new(&c->reader, c->o.spool, "store", c->cursor, err);
	if (rc == ERR_NONE)
		rc = spool_reader_seek(c->reader, c->cursor, &lost, err);
	if (rc == ERR_NONE && lost.first_seq > 0)
		tell_damage(c, GAP_store_rewound, &lost);
	return rc;
}

/*
 * Postgres cannot be further than this spool ever was, unless the volume is an older copy or
 * another machine writes one. Then what is accepted here gets numbers that Postgres takes for
 * stored ones, so nothing is stored by them: not when they have come past Postgres's, and not
 * after a restart, for which a file remembers it.
 */
static enum err_kind check_cursor(struct consumer *c, struct err *err)
{
	static const char text[] =
		"Postgres had records of this stream that are not of this spool\n";
	struct err aside;

	if (!c->foreign && (c->cursor <= c->sure_seq || c->cursor == c->tried_seq))
		return ERR_NONE;
	(void)err_set(err, ERR_CONFIG,
		      "Postgres is at record %" PRIu64 " of a spool that this one is a copy of: "
		      "this volume was copied or restored; stop the other machine that has it, or "
		      "give this one an empty FLYTRAIL_SPOOL_DIR",
		      c->cursor);
	if (!c->foreign &&
	    file_replace(c->o.folder, CONSUMER_FOREIGN_NAME, text, sizeof(text) - 1, &aside))
		(void)err_wrap(err, "%s; and", aside.text);
	c->foreign = true;
	return ERR_CONFIG;
}

static enum err_kind connect_store(struct consumer *c, struct err *err)
{
	enum err_kind rc;

	for (size_t i = 0; i < ARRAY_LEN(c->batches); i++)
		forget_batch(c, i);
	c->read_err.kind = ERR_NONE;
	rc = store_connect(c->store, &c->cursor, err);
	if (rc == ERR_NONE)
		rc = check_cursor(c, err);
	if (rc == ERR_NONE)
		rc = go_to_cursor(c, err);
	if (rc)
		return rc;
	note_cursor(c, c->cursor);
	status_set_store(c->o.status, STORE_WORKING, "");
	log_info(store_connected, LOG_NUMBER("cursor", c->cursor));
	return ERR_NONE;
}

/* While Postgres works on one batch the next is read, as far as it is there, and planned. */
static void read_meanwhile(void *arg)
{
	struct consumer *c = arg;
	struct spool_batch *next = &c->batches[1 - c->now];

	if (spool_reader_read(c->reader, next, 0, 0, &c->read_err))
		return;
	c->read_err.kind = ERR_NONE;
	if (next->full)
		store_plan(c->store, next);
}

static void count_stored(struct consumer *c, const struct store_result *result)
{
	struct status *s = c->o.status;

	atomic_fetch_add(&s->lines_stored, result->lines);
	atomic_fetch_add(&s->events_stored, result->events);
	atomic_fetch_add(&s->duplicates, result->duplicates);
	atomic_store(&s->last_stored_ns, time_now_ns());
}

static enum err_kind bury(struct consumer *c, const struct spool_batch *batch, size_t idx,
			  const struct err *why, struct err *err)
{
	uint64_t seq = batch->frames[idx].seq;
	struct fact fact = {
		.action = ACTION_trail_dead_lettered,
		.noticed_ns = time_now_ns(),
		.first_seq = seq,
		.last_seq = seq,
	};
	enum err_kind rc;

	memcpy(fact.why, why->text, sizeof(fact.why));
	rc = dead_letters_add(c->dead, seq, spool_batch_payload(batch, idx), why->text, err);
	if (rc == ERR_FULL) /* nothing is skipped that is not kept: somebody must look */
		err->kind = ERR_CONFIG;
	if (rc)
		return err->kind;
	log_error(dead_letter, LOG_NUMBER("seq", seq), LOG_TEXT("error", why->text));
	trail_post(c->o.trail, &fact);
	atomic_fetch_add(&c->o.status->dead_letters, 1);
	return store_skip(c->store, c->cursor, seq, err);
}

/* The whole batch; what Postgres refuses is narrowed down by halves and buried. */
static enum err_kind write_batch(struct consumer *c, struct err *err)
{
	struct spool_batch *batch = &c->batches[c->now];
	size_t first = 0, count = batch->count;

	while (first < batch->count) {
		const struct store_job job = {
			.batch = batch,
			.first = first,
			.count = count,
			.after_seq = c->cursor,
			.meanwhile = read_meanwhile,
			.arg = c,
		};
		struct store_result result = {0};
		struct err buried_err;
		enum err_kind rc;

		c->tried_seq = batch->frames[first + count - 1].seq;
		/* The other batch is filled further at each turn, until it is full. */
		rc = store_write(c->store, &job, &result, err);
		if (rc == ERR_REJECT && count > 1) {
			count /= 2;
			continue;
		}
		if (rc == ERR_REJECT) {
			buried_err = *err;
			rc = bury(c, batch, first, &buried_err, err);
		}
		if (rc)
			return rc;
		first += count;
		note_cursor(c, batch->frames[first - 1].seq);
		count = batch->count - first;
		count_stored(c, &result);
		spool_reader_pass(c->reader, c->cursor);
	}
	return ERR_NONE;
}

/* At the end nothing is waited for but what is on its way. */
static enum err_kind fill_batch(struct consumer *c, struct err *err)
{
	struct spool_batch *batch = &c->batches[c->now];
	bool ending = atomic_load(&c->o.life->intake_done) || atomic_load(&c->o.life->input_ended);
	int64_t gather_ns = (ending ? SETTLE_MS : CONSUMER_GATHER_MS) * NS_PER_MS;
	int64_t idle_ns = (ending ? SETTLE_MS : IDLE_MS) * NS_PER_MS;
	enum err_kind rc;

	if (c->read_err.kind) {
		*err = c->read_err;
		return err->kind;
	}
	rc = spool_reader_read(c->reader, batch, idle_ns, gather_ns, err);
	if (rc == ERR_NONE && batch->damage.first_seq > 0 && !c->damage_told[c->now]) {
		if (ending) /* past the damage would be past what is on record */
			return err_set(err, ERR_CORRUPT,
				       "bytes of the spool fail their check, and nothing takes the "
				       "record of that any more: the next start does, and goes on");
		tell_damage(c, GAP_spool_damaged, &batch->damage);
		c->damage_told[c->now] = true;
	}
	/* Nothing was left to read but damage: the next batch begins after it. */
	if (rc == ERR_NONE && batch->count == 0 && batch->damage.first_seq > 0)
		forget_batch(c, c->now);
	return rc;
}

/* True when everything that was ever accepted is stored and nothing more will be. */
static bool all_stored(struct consumer *c, bool intake_was_done)
{
	struct spool_stats stats;

	spool_stats(c->o.spool, &stats);
	return intake_was_done && c->batches[c->now].count == 0 && c->cursor >= stats.accepted_seq;
}

/* Connects and writes until something fails, or all is done, or the time is over. */
static enum err_kind work(struct consumer *c, struct err *err)
{
	enum err_kind rc;

	rc = connect_store(c, err);
	if (rc)
		return rc;
	for (;;) {
		bool intake_was_done = atomic_load(&c->o.life->intake_done);

		if (atomic_load(&c->o.life->cut))
			return ERR_NONE;
		rc = fill_batch(c, err);
		if (rc)
			return rc;
		if (all_stored(c, intake_was_done))
			return ERR_NONE;
		rc = write_batch(c, err);
		if (rc)
			return rc;
		c->failures = 0;
		forget_batch(c, c->now);
		c->now = 1 - c->now;
	}
}

static void wait_to_retry(struct consumer *c, const struct err *why)
{
	int64_t ms = backoff_random_ms(++c->failures);

	status_set_store(c->o.status, STORE_RETRYING, why->text);
	log_warn(store_retry, LOG_TEXT("error", why->text), LOG_NUMBER("wait_ms", ms));
	life_wait(c->o.life, ms * NS_PER_MS);
}

static void wait_parked(struct consumer *c, const struct err *why)
{
	status_set_store(c->o.status, STORE_PARKED, why->text);
	if (c->o.finite)
		life_fail(c->o.life, why); /* and that is told at the end */
	else
		log_error(store_parked, LOG_TEXT("error", why->text));
	life_wait(c->o.life, CONSUMER_PARKED_MS * NS_PER_MS);
}

void consumer_run(struct consumer *c)
{
	struct err err;

	while (!atomic_load(&c->o.life->cut)) {
		enum err_kind rc = work(c, &err);

		if (rc == ERR_NONE)
			break;
		if (rc == ERR_FATAL || rc == ERR_CORRUPT) {
			life_fail(c->o.life, &err);
			break;
		}
		if (rc == ERR_CONFIG)
			wait_parked(c, &err);
		else
			wait_to_retry(c, &err);
	}
	atomic_store(&c->o.life->store_done, true);
	life_wake(c->o.life);
}
