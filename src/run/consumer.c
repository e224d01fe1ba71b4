#include "run/consumer.h"

#include "base/backoff.h"
#include "base/log.h"
#include "base/time.h"
#include "run/account.h"
#include "run/expired.h"
#include "run/fact_frame.h"
#include "run/foreign.h"
#include "run/refusal.h"
#include "sink/dead_letter.h"
#include "source/gap_track.h"
#include "store/postgres.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	IDLE_MS = 200, /* a read waits so long for a first record */
	SETTLE_MS = 20,
	/* Places of a batch: for what is missing before this spool began, what Postgres forgot, a
	 * damage of the spool, and what came too late, of each kind. */
	FACT_FRAMES = 3 + LIMITS_KINDS,
};

struct consumer {
	struct consumer_options o; /* const after consumer_new() */

	struct store *store;
	struct dead_letters *dead;
	struct expired *expired;
	bool is_telling; /* a fact of what came too late is in the batch that is written next */
	struct spool_reader *reader; /* made when the cursor is known first */
	struct spool_batch batches[2];
	bool damage_put[2]; /* of each batch */
	unsigned now;       /* the batch that is written next; the other one is read meanwhile */
	struct fact_frames facts;
	struct spool_damage told; /* the newest in the log; it is met again when a write fails */
	uint64_t buried_seq;      /* the newest dead letter; likewise */
	struct fact beginning;    /* see put_beginning(); noticed_ns 0: not worked out */
	uint64_t opened_seq;      /* what this process accepts comes after it */
	uint64_t cursor, cursor_mark; /* and its record's mark; 0: not known */
	uint64_t sure_seq; /* up to here Postgres may have it of us: it was here at the start, or
			      was sent since, whatever came of that */
	bool foreign;      /* Postgres has had another spool's records: see check_cursor() */
	unsigned failures; /* in a row */
	struct refusal refusal;
	struct err read_err; /* of the read that went on while Postgres worked */
};

/* What is accepted before the consumer is there may have been stored by a process before. */
static void find_sure(struct consumer *c)
{
	struct spool_stream stream = spool_stream(c->o.spool);
	struct spool_stats stats;

	spool_stats(c->o.spool, &stats);
	c->opened_seq = stats.opened_seq;
	c->sure_seq = stats.accepted_seq;
	c->foreign = foreign_is_marked(c->o.folder, &stream);
}

enum err_kind consumer_new(struct consumer **ret, const struct consumer_options *options,
			   struct err *err)
{
	struct spool_stream stream = spool_stream(options->spool);
	const struct store_options store_options = {
		.url = options->database_url,
		.stream = stream,
		.replica = options->replica,
		.copies = &options->status->copies,
	};
	struct consumer *c = calloc(1, sizeof(*c));
	enum err_kind rc = ERR_NONE;

	if (!c)
		return err_set(err, ERR_FATAL, "out of memory for the store's consumer");
	c->o = *options;
	account_oldest(c->o.status, time_now_ns());
	c->facts.trail = options->trail;
	c->buried_seq = UINT64_MAX; /* 0 is a fact of ours */
	find_sure(c);
	rc = hasher_new(&c->facts.hasher, err);
	for (size_t i = 0; i < ARRAY_LEN(c->batches) && rc == ERR_NONE; i++)
		rc = spool_batch_init(&c->batches[i], STORE_BATCH_ROWS, STORE_BATCH_BYTES_MAX, err);
	if (rc == ERR_NONE)
		rc = store_new(&c->store, &store_options, err);
	if (rc == ERR_NONE)
		rc = dead_letters_open(&c->dead, options->folder, "store", stream, err);
	if (rc == ERR_NONE)
		rc = expired_open(&c->expired, options->folder, &stream, err);
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
	expired_close(c->expired);
	hasher_free(c->facts.hasher);
	store_free(c->store);
	spool_reader_free(c->reader);
	for (size_t i = 0; i < ARRAY_LEN(c->batches); i++)
		spool_batch_release(&c->batches[i]);
	free(c);
}

static void forget_batch(struct consumer *c, size_t idx)
{
	spool_batch_reset(&c->batches[idx]);
	c->batches[idx].frames_max = STORE_BATCH_ROWS - FACT_FRAMES;
	c->damage_put[idx] = false;
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
	atomic_fetch_add(&c->o.status->records_damaged, d->last_seq - d->first_seq + 1);
}

static enum err_kind put_fact(struct consumer *c, size_t idx, const struct fact *fact,
			      struct err *err)
{
	const struct fact_place place = {.cursor = c->cursor, .mark = c->cursor_mark};

	REQUIRE(c->batches[idx].frames_max < STORE_BATCH_ROWS);
	return fact_frame_put(&c->facts, &c->batches[idx], fact, &place, err);
}

/* The fact about what is missing, where that was. */
static enum err_kind put_damage(struct consumer *c, size_t idx, enum gap_reason reason,
				const struct spool_damage *d, struct err *err)
{
	struct fact fact = trail_damage(reason, d);
	enum err_kind rc = put_fact(c, idx, &fact, err);

	if (rc)
		return rc;
	if (d->first_seq != c->told.first_seq || d->last_seq != c->told.last_seq)
		tell_damage(c, reason, d);
	c->told = *d;
	return ERR_NONE;
}

/*
 * A trail that has lines, and a spool that nothing is stored of yet: its volume takes another's
 * place, or a replica was added. What was published since the newest line that came live may have
 * been taken by nobody. Worked out once, so that it is one gap, and put again at each connection
 * until something of this spool is stored. One that was adopted and has older records has its
 * beginning behind it; since when it took nothing, its source tells at the start.
 */
static enum err_kind put_beginning(struct consumer *c, struct err *err)
{
	struct fact *fact = &c->beginning;
	struct spool_stats stats;
	int64_t newest_ns = 0;
	enum err_kind rc;

	if (fact->noticed_ns != 0)
		return put_fact(c, c->now, fact, err);
	rc = store_find_newest_live(c->store, &newest_ns, err);
	if (rc || newest_ns == 0)
		return rc;
	spool_stats(c->o.spool, &stats);
	if (spool_stream(c->o.spool).epoch > 1 && stats.oldest_ns != 0 &&
	    stats.oldest_ns < newest_ns)
		return ERR_NONE;
	*fact = (struct fact){
		.action = ACTION_trail_gap_opened,
		.noticed_ns = time_now_ns(),
		.gap = {.reason = GAP_start, .start_ns = newest_ns - GAP_MARGIN_NS},
	};
	fact->gap.end_ns =
		(stats.oldest_ns != 0 ? stats.oldest_ns : fact->noticed_ns) + GAP_MARGIN_NS;
	/* Another machine's clock may be ahead. */
	if (fact->gap.start_ns > fact->gap.end_ns)
		fact->gap.start_ns = fact->gap.end_ns;
	atomic_fetch_add(&c->o.status->gaps, 1);
	return put_fact(c, c->now, fact, err);
}

/* What came too late, where it is to be told now, and the batch has room. */
static enum err_kind put_expired(struct consumer *c, bool is_end, struct err *err)
{
	const struct spool_batch *b = &c->batches[c->now];
	enum err_kind rc = ERR_NONE;

	if (b->bytes.len >= b->bytes_max)
		return ERR_NONE;
	for (size_t i = 0; i < LIMITS_KINDS && !rc; i++) {
		struct fact fact;
		bool any;

		rc = expired_tell(c->expired, (enum limits_kind)i, is_end, &fact, &any, err);
		if (!rc && any)
			rc = put_fact(c, c->now, &fact, err);
		c->is_telling = c->is_telling || any;
	}
	return rc;
}

/* Before a COMMIT that passes it. */
static enum err_kind note_expired(void *arg, const struct store_result *result, uint64_t last_seq,
				  struct err *err)
{
	struct consumer *c = arg;

	return expired_note(c->expired, result->expired, last_seq, err);
}

/* Appends to a batch what the spool gives, and what it does not give any more. */
static enum err_kind read_batch(struct consumer *c, size_t idx, int64_t timeout_ns,
				int64_t gather_ns, struct err *err)
{
	struct spool_batch *b = &c->batches[idx];
	enum err_kind rc = spool_reader_read(c->reader, b, timeout_ns, gather_ns, err);

	if (rc || b->damage.first_seq == 0 || c->damage_put[idx])
		return rc;
	c->damage_put[idx] = true;
	return put_damage(c, idx, GAP_spool_damaged, &b->damage, err);
}

static void note_tried(struct consumer *c, uint64_t seq)
{
	if (c->sure_seq < seq)
		c->sure_seq = seq;
}

/* A fact that was put into the batch is younger than what follows it. */
static int64_t oldest_of(const struct spool_batch *b, size_t first)
{
	int64_t oldest_ns = b->frames[first].observed_ns;

	for (size_t i = first + 1; i < b->count && i <= first + FACT_FRAMES; i++)
		if (b->frames[i].observed_ns < oldest_ns)
			oldest_ns = b->frames[i].observed_ns;
	return oldest_ns;
}

/* What is the oldest that Postgres does not have, frame first of the batch being the next one. */
static void note_oldest(struct consumer *c, size_t first)
{
	const struct spool_batch *now = &c->batches[c->now], *next = &c->batches[1 - c->now];
	struct spool_stats stats;

	if (first < now->count) {
		account_oldest(c->o.status, oldest_of(now, first));
	} else if (next->count > 0) {
		account_oldest(c->o.status, oldest_of(next, 0));
	} else {
		spool_stats(c->o.spool, &stats);
		if (c->cursor >= stats.accepted_seq)
			account_oldest(c->o.status, 0);
		/* Else it is read now, and is not older than the one before. */
	}
}

/* To where Postgres says it is: what was written after that, it has forgotten. */
static enum err_kind go_to_cursor(struct consumer *c, struct err *err)
{
	struct spool_damage lost = {.first_seq = 0};
	enum err_kind rc = spool_reader_seek(c->reader, c->cursor, &lost, err);

	if (rc == ERR_NONE && lost.first_seq > 0)
		rc = put_damage(c, c->now, GAP_store_rewound, &lost, err);
	if (rc == ERR_NONE && c->cursor == 0 && !c->o.finite) /* files have no history to miss */
		rc = put_beginning(c, err);
	return rc;
}

/*
 * Whether the record that Postgres's cursor stands behind is another one than that of this number
 * here. Where Postgres does not know it, or it cannot be read here, it is taken for the same.
 */
static enum err_kind compare_marks(struct consumer *c, bool *ret_other, struct err *err)
{
	uint64_t theirs = store_cursor_mark(c->store), ours = 0;
	enum err_kind rc = ERR_NONE;

	*ret_other = false;
	if (c->cursor == 0 || theirs == 0)
		return ERR_NONE;
	rc = spool_reader_find_mark(c->reader, &c->batches[c->now], c->cursor, &ours, err);
	*ret_other = rc == ERR_NONE && ours != 0 && ours != theirs;
	return rc;
}

static enum err_kind refuse_copy(struct consumer *c, struct err *err)
{
	struct spool_stream stream = spool_stream(c->o.spool);
	char uuid[ID_TEXT_BYTES];
	struct err aside;

	(void)err_set(
		err, ERR_CONFIG,
		"Postgres is at record %" PRIu64 " of stream %s, and it is not this spool's: "
		"this volume was copied or restored, and nothing is stored from it; stop this "
		"flytrail and run `flytrail spool adopt` on it, or give it an empty "
		"FLYTRAIL_SPOOL_DIR",
		c->cursor, id_format(&stream.uuid, uuid));
	if (!c->foreign && foreign_mark(c->o.folder, &stream, &aside))
		(void)err_wrap(err, "%s; and", aside.text);
	c->foreign = true;
	return ERR_CONFIG;
}

/*
 * Postgres cannot be further than this spool ever was, nor at a record that this spool has not,
 * unless the volume is an older copy or another machine writes one. Then what is accepted here has
 * numbers that Postgres takes for stored ones, so nothing is stored by them: not when they have
 * come past Postgres's, and not after a restart, for which a file remembers it.
 */
static enum err_kind check_cursor(struct consumer *c, struct err *err)
{
	bool other = c->foreign || c->cursor > c->sure_seq;
	enum err_kind rc = ERR_NONE;

	if (!other && !c->reader)
		rc = spool_reader_new(&c->reader, c->o.spool, "store", c->cursor, err);
	if (!other && rc == ERR_NONE)
		rc = compare_marks(c, &other, err);
	return other && rc == ERR_NONE ? refuse_copy(c, err) : rc;
}

static enum err_kind connect_store(struct consumer *c, struct err *err)
{
	enum err_kind rc;

	for (size_t i = 0; i < ARRAY_LEN(c->batches); i++)
		forget_batch(c, i);
	c->read_err.kind = ERR_NONE;
	c->is_telling = false;
	rc = store_connect(c->store, &c->cursor, err);
	c->cursor_mark = store_cursor_mark(c->store);
	if (rc == ERR_NONE)
		rc = check_cursor(c, err);
	if (rc == ERR_NONE)
		rc = expired_settle(c->expired, c->cursor, err);
	if (rc == ERR_NONE)
		rc = go_to_cursor(c, err);
	if (rc)
		return rc;
	account_connected(c->o.status, c->opened_seq, c->cursor);
	atomic_store(&c->o.status->store_clock_ns, store_clock_ns(c->store));
	note_tried(c, c->cursor);
	status_set_store(c->o.status, STORE_WORKING, "");
	log_info(store_connected, LOG_NUMBER("cursor", c->cursor));
	return ERR_NONE;
}

/* While Postgres works on one batch the next is read, as far as it is there, and planned. */
static void read_meanwhile(void *arg)
{
	struct consumer *c = arg;
	struct spool_batch *next = &c->batches[1 - c->now];

	if (read_batch(c, 1 - c->now, 0, 0, &c->read_err))
		return;
	c->read_err.kind = ERR_NONE;
	if (next->full)
		store_plan(c->store, next);
}

/*
 * Puts the record beside the spool, and the fact about that in its place. Where the fact cannot be
 * stored, the record is met again, and is a dead letter already.
 */
static enum err_kind bury(struct consumer *c, struct spool_batch *batch, size_t idx,
			  const struct err *why, struct err *err)
{
	struct spool_frame *frame = &batch->frames[idx];
	uint64_t mark = frame->mark; /* the record's, which the spool still has there */
	struct fact fact = {
		.action = ACTION_trail_dead_lettered,
		.noticed_ns = time_now_ns(),
		.first_seq = frame->seq,
		.last_seq = frame->seq,
	};
	enum err_kind rc;

	memcpy(fact.why, why->text, sizeof(fact.why));
	if (frame->seq != c->buried_seq) {
		rc = dead_letters_add(c->dead, frame->seq, spool_batch_payload(batch, idx),
				      why->text, SPAN(""), err);
		if (rc == ERR_FULL) /* nothing is passed that is not kept: somebody must look */
			err->kind = ERR_CONFIG;
		if (rc)
			return err->kind;
		log_error(dead_letter, LOG_NUMBER("seq", frame->seq), LOG_TEXT("error", why->text));
		atomic_fetch_add(&c->o.status->dead_letters, 1);
		c->buried_seq = frame->seq;
	}
	rc = fact_frame_make(&c->facts, batch, &fact, frame, err);
	frame->mark = mark;
	if (rc != ERR_FULL)
		return rc;
	return err_set(
		err, ERR_RETRY,
		"more records of one batch are refused than there is room to say so of: going "
		"on from the newest that is stored");
}

/* A record is refused alone. ERR_NONE: the fact about that is in its place. */
static enum err_kind bury_refused(struct consumer *c, struct spool_batch *batch, size_t idx,
				  const struct store_result *refused, struct err *err)
{
	struct err why = *err;
	enum err_kind rc = ERR_NONE;

	if (refused->unknown_code)
		rc = refusal_prove(c->store, batch, idx, err);
	return rc ? rc : bury(c, batch, idx, &why, err);
}

/* Frames of the batch up to next are stored, or counted, since start_ns. */
static enum err_kind note_written(struct consumer *c, const struct spool_batch *batch, size_t next,
				  const struct store_result *result, int64_t start_ns,
				  struct err *err)
{
	c->cursor = batch->frames[next - 1].seq;
	c->cursor_mark = batch->frames[next - 1].mark;
	note_tried(c, c->cursor);
	account_cursor(c->o.status, c->cursor);
	refusal_moved(&c->refusal, c->cursor, next == batch->count);
	c->failures = 0;
	account_written(c->o.status, result, time_monotonic_ns() - start_ns);
	note_oldest(c, next);
	spool_reader_pass(c->reader, c->cursor);
	return expired_settle(c->expired, c->cursor, err);
}

/* The whole batch; what Postgres refuses is narrowed down by halves and buried. */
static enum err_kind write_batch(struct consumer *c, struct err *err)
{
	struct spool_batch *batch = &c->batches[c->now];
	bool doubted = refusal_doubts(&c->refusal, c->cursor);
	size_t first = 0, count = batch->count, buried_end = 0;

	while (first < batch->count) {
		const struct store_job job = {
			.batch = batch,
			.first = first,
			.count = count,
			.after_seq = c->cursor,
			.doubted = doubted,
			.meanwhile = read_meanwhile,
			.expired = note_expired,
			.arg = c,
		};
		struct store_result result = {0};
		int64_t start_ns = time_monotonic_ns();
		enum err_kind rc;

		note_tried(c, batch->frames[first + count - 1].seq);
		/* The other batch is filled further at each turn, until it is full. */
		rc = store_write(c->store, &job, &result, err);
		if (rc == ERR_REJECT && count > 1) {
			count /= 2;
			continue;
		}
		if (rc == ERR_REJECT && first >= buried_end) {
			buried_end = first + 1;
			rc = bury_refused(c, batch, first, &result, err);
			if (rc == ERR_NONE)
				continue;
		} else if (rc == ERR_REJECT) {
			err->kind = rc = ERR_CONFIG;
			(void)err_wrap(err, "not even the fact about a dead letter can be stored, "
					    "and without it nothing is passed");
		}
		if (rc == ERR_RETRY)
			refusal_note(&c->refusal, c->cursor, result.unknown_code);
		if (rc)
			return rc;
		first += count;
		count = batch->count - first;
		rc = note_written(c, batch, first, &result, start_ns, err);
		if (rc)
			return rc;
	}
	if (!c->is_telling)
		return ERR_NONE;
	c->is_telling = false;
	return expired_told(c->expired, err);
}

/* At the end nothing is waited for but what is on its way. */
static enum err_kind fill_batch(struct consumer *c, struct err *err)
{
	bool ending = atomic_load(&c->o.life->intake_done) || atomic_load(&c->o.life->input_ended);
	int64_t gather_ns = (ending ? SETTLE_MS : CONSUMER_GATHER_MS) * NS_PER_MS;
	int64_t idle_ns = (ending ? SETTLE_MS : IDLE_MS) * NS_PER_MS;

	if (c->read_err.kind) {
		*err = c->read_err;
		return err->kind;
	}
	return read_batch(c, c->now, idle_ns, gather_ns, err);
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
		bool intake_was_done = atomic_load(&c->o.life->intake_done), is_end;

		if (atomic_load(&c->o.life->cut))
			return ERR_NONE;
		rc = fill_batch(c, err);
		if (rc)
			return rc;
		note_oldest(c, 0);
		is_end = all_stored(c, intake_was_done);
		rc = put_expired(c, is_end, err);
		if (rc)
			return rc;
		if (is_end && c->batches[c->now].count == 0)
			return ERR_NONE;
		rc = write_batch(c, err);
		if (rc)
			return rc;
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
		if (rc == ERR_FATAL) {
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
