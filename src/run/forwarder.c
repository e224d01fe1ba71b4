#include "run/forwarder.h"

#include "base/backoff.h"
#include "base/log.h"
#include "base/time.h"
#include "run/sink_trail.h"
#include "sink/cursor.h"
#include "sink/dead_letter.h"

#include <stdio.h>
#include <stdlib.h>

enum { IDLE_MS = 500, LOOK_MS = 2000, CUT_BYTES_MAX = 128 * 1024 };

struct forwarder {
	struct forwarder_options o; /* const after forwarder_new() */
	uint64_t oldest_seq;        /* likewise; of the spool: what a new sink begins with */
	struct sink sink;           /* ops NULL: not opened yet */
	struct spool_reader *reader;
	struct spool_batch batch;
	size_t at; /* of the batch: what is before it is in the delivery, or in one before */
	struct dead_letters *dead;
	struct cursor cursor;
	struct buf cut;           /* of the present delivery */
	uint64_t last_seq;        /* of what is gathered; delivered_seq where nothing is */
	uint64_t records;         /* of these, in the delivery */
	int64_t first_ns;         /* when the first of it was read, on the monotonic clock */
	unsigned failures;        /* in a row */
	struct spool_damage hole; /* that the reader met last; it may be behind */
	struct sink_trail record;
	bool cut_is_saved;
	bool is_new; /* nothing was delivered to this place yet, as far as the cursor says */
};

/* --- start --- */

/* With what a sink that is new would take first. */
static void begin_anew(struct forwarder *f)
{
	struct spool_stream stream = spool_stream(f->o.spool);

	cursor_release(&f->cursor);
	cursor_init(&f->cursor, &stream);
	f->cursor.delivered_seq = f->oldest_seq - 1;
	f->cut_is_saved = false;
}

/* From where it goes on, and what it may have begun; where that cannot be read, as if it was new.
 */
static enum err_kind find_cursor(struct forwarder *f, struct err *err)
{
	struct spool_stream stream = spool_stream(f->o.spool);
	struct cursor *c = &f->cursor;
	struct spool_stats stats;
	bool found;
	enum err_kind rc;

	begin_anew(f);
	rc = cursor_load(c, f->o.folder, f->o.name, &found, err);
	if (!rc && found && id_compare(&c->stream.uuid, &stream.uuid) == 0 &&
	    c->stream.epoch == stream.epoch) {
		spool_stats(f->o.spool, &stats);
		f->cut_is_saved = true;
		if (c->delivered_seq <= stats.accepted_seq && c->cut_seq <= stats.accepted_seq)
			return ERR_NONE;
		rc = err_set(err, ERR_CONFIG,
			     "%s.cursor is ahead of the spool: the volume is an older copy; run "
			     "`flytrail spool adopt` on it",
			     f->o.name);
	}
	begin_anew(f);
	return rc;
}

/* What is wrong with the cursor is said when the sink is opened: until then all is kept. */
static enum err_kind hold(struct forwarder *f, struct err *err)
{
	if (find_cursor(f, err) == ERR_FATAL ||
	    spool_reader_new(&f->reader, f->o.spool, f->o.name, f->cursor.delivered_seq, err))
		return err->kind;
	spool_reader_yield(f->reader);
	atomic_store(&f->o.status->delivered_seq, f->cursor.delivered_seq);
	return ERR_NONE;
}

enum err_kind forwarder_new(struct forwarder **ret, const struct forwarder_options *options,
			    struct err *err)
{
	struct forwarder *f = calloc(1, sizeof(*f));
	struct spool_stats stats;
	enum err_kind rc;

	if (!f)
		return err_set(err, ERR_FATAL, "out of memory for %s", options->name);
	f->o = *options;
	f->record = (struct sink_trail){
		.sink = options->name,
		.trail = options->trail,
		.spool = options->spool,
		.life = options->life,
		.status = options->status,
	};
	spool_stats(options->spool, &stats);
	f->oldest_seq = stats.oldest_seq;
	buf_init(&f->cut, CUT_BYTES_MAX);
	rc = spool_batch_init(&f->batch, FORWARDER_FRAMES_MAX, FORWARDER_BYTES_MAX, err);
	if (!rc)
		rc = hold(f, err);
	if (rc) {
		forwarder_free(f);
		return rc;
	}
	sink_status_set(f->o.status, SINK_STARTING, "");
	*ret = f;
	return ERR_NONE;
}

void forwarder_free(struct forwarder *f)
{
	if (!f)
		return;
	spool_reader_free(f->reader);
	spool_batch_release(&f->batch);
	dead_letters_close(f->dead);
	cursor_release(&f->cursor);
	buf_release(&f->cut);
	if (f->sink.ops)
		f->sink.ops->close(f->sink.ctx);
	free(f);
}

/* --- what it says --- */

static void tell(struct forwarder *f, enum sink_state state, const char *error)
{
	if (state == SINK_WORKING || state == SINK_STARTING)
		atomic_store(&f->o.status->failing_ns, 0);
	else if (atomic_load(&f->o.status->failing_ns) == 0)
		atomic_store(&f->o.status->failing_ns, time_now_ns());
	sink_status_set(f->o.status, state, error);
}

/* --- gathering --- */

static bool has_any(const struct forwarder *f)
{
	return f->last_seq > f->cursor.delivered_seq;
}

static enum err_kind dead_letter(struct forwarder *f, uint64_t seq, struct span payload,
				 const char *why, struct span said, struct err *err)
{
	enum err_kind rc = dead_letters_add(f->dead, seq, payload, why, said, err);

	if (rc == ERR_FULL) /* the file, or the disk: nothing is passed that is not kept */
		err->kind = rc = ERR_CONFIG;
	if (!rc)
		sink_trail_dead(&f->record, seq, why);
	return rc;
}

static enum err_kind add_frame(struct forwarder *f, const struct spool_frame *frame,
			       struct err *err)
{
	struct span payload = spool_batch_payload(&f->batch, f->at);
	bool taken = false;
	enum err_kind rc = f->sink.ops->add(f->sink.ctx, frame->seq, payload, &taken, err);

	if (rc == ERR_REJECT) {
		struct err why = *err;

		rc = dead_letter(f, frame->seq, payload, why.text, SPAN(""), err);
	} else if (!rc) {
		f->records += taken;
	}
	if (rc)
		return rc;
	REQUIRE(frame->seq > f->last_seq);
	if (!has_any(f))
		f->first_ns = time_monotonic_ns();
	f->last_seq = frame->seq;
	f->at++;
	return ERR_NONE;
}

/* What comes next cannot be read. */
static bool is_at_hole(const struct forwarder *f)
{
	if (f->hole.last_seq <= f->last_seq)
		return false;
	return f->at == f->batch.count || f->batch.frames[f->at].seq > f->hole.last_seq;
}

/* What is read already. *ret_whole: the delivery takes nothing more. */
static enum err_kind take_batch(struct forwarder *f, uint64_t until_seq, bool *ret_whole,
				struct err *err)
{
	for (;;) {
		enum err_kind rc;

		*ret_whole = is_at_hole(f) || (until_seq != 0 && f->last_seq >= until_seq);
		if (*ret_whole || f->at == f->batch.count)
			return ERR_NONE;
		rc = add_frame(f, &f->batch.frames[f->at], err);
		*ret_whole = rc == ERR_FULL;
		if (rc == ERR_FULL) {
			REQUIRE(f->last_seq > f->cursor.delivered_seq);
			return ERR_NONE;
		}
		if (rc)
			return rc;
	}
}

static bool is_due(const struct forwarder *f)
{
	return has_any(f) && time_monotonic_ns() - f->first_ns >= f->sink.gather_seconds * NS_PER_S;
}

static void note_hole(struct forwarder *f, const struct spool_damage *lost)
{
	if (lost->first_seq != 0)
		f->hole = *lost;
}

/*
 * Fills a delivery: up to until_seq, or, where that is 0, as far as it takes more, or has waited
 * for it; in any case no further than to what cannot be read, so that its range names what it has.
 * *ret_end: nothing came, and nothing will.
 */
static enum err_kind gather(struct forwarder *f, uint64_t until_seq, bool *ret_end, struct err *err)
{
	bool whole = false;

	*ret_end = false;
	f->records = 0;
	while (!atomic_load(&f->o.life->cut)) {
		bool intake_was_done = atomic_load(&f->o.life->intake_done);
		enum err_kind rc = take_batch(f, until_seq, &whole, err);

		if (rc || whole || (until_seq == 0 && is_due(f)))
			return rc;
		spool_batch_reset(&f->batch);
		f->at = 0;
		rc = spool_reader_read(f->reader, &f->batch, IDLE_MS * NS_PER_MS, 0, err);
		if (rc)
			return rc;
		note_hole(f, &f->batch.damage);
		if (f->batch.count > 0 || is_at_hole(f))
			continue;
		/* What was cut and cannot be read any more is as whole as it will ever be; and to
		 * input that has ended nothing is added but facts. */
		if (until_seq != 0 || (has_any(f) && atomic_load(&f->o.life->lines_done)))
			return ERR_NONE;
		*ret_end = intake_was_done && !has_any(f);
		if (intake_was_done)
			return ERR_NONE;
	}
	return ERR_NONE;
}

/* --- waiting --- */

/*
 * It falls behind while it waits, whatever for. What ends the wait early is what may change an
 * answer: the end has begun, or nothing comes any more.
 */
static void wait_and_look(struct forwarder *f, int64_t wait_ns)
{
	struct life *life = f->o.life;
	enum life_state state = life_state(life);
	bool intake_was_done = atomic_load(&life->intake_done);
	int64_t until_ns = time_monotonic_ns() + wait_ns;
	int64_t rest_ns = wait_ns;

	while (rest_ns > 0 && !atomic_load(&life->cut) && life_state(life) == state &&
	       atomic_load(&life->intake_done) == intake_was_done) {
		sink_trail_look_behind(&f->record, f->reader, f->cursor.delivered_seq + 1);
		life_wait(life, rest_ns < LOOK_MS * NS_PER_MS ? rest_ns : LOOK_MS * NS_PER_MS);
		rest_ns = until_ns - time_monotonic_ns();
	}
}

/* Returns for how long it is to be left alone. */
static int64_t say_failed(struct forwarder *f, enum err_kind rc, unsigned wait_seconds,
			  const struct err *why)
{
	int64_t wait_ms = rc == ERR_CONFIG ? FORWARDER_PARKED_MS : backoff_random_ms(++f->failures);

	if (wait_ms < (int64_t)wait_seconds * 1000)
		wait_ms = (int64_t)wait_seconds * 1000;
	atomic_fetch_add(&f->o.status->retries, 1);
	if (rc == ERR_CONFIG) {
		tell(f, SINK_PARKED, why->text);
		log_error(sink_parked, LOG_TEXT("sink", f->o.name), LOG_TEXT("error", why->text));
		if (f->o.finite)
			life_fail(f->o.life, why);
	} else {
		tell(f, SINK_RETRYING, why->text);
		log_warn(sink_retry, LOG_TEXT("sink", f->o.name), LOG_TEXT("error", why->text),
			 LOG_NUMBER("wait_ms", wait_ms));
	}
	return wait_ms * NS_PER_MS;
}

static void wait_after(struct forwarder *f, enum err_kind rc, unsigned wait_seconds,
		       const struct err *why)
{
	wait_and_look(f, say_failed(f, rc, wait_seconds, why));
}

/* --- delivering --- */

/* What was read beyond the delivery is read again. */
static enum err_kind seek(struct forwarder *f, uint64_t after_seq, struct err *err)
{
	struct spool_damage lost;
	enum err_kind rc;

	spool_batch_reset(&f->batch);
	f->at = 0;
	f->hole = (struct spool_damage){.first_seq = 0}; /* it is met again */
	rc = spool_reader_reread(f->reader, after_seq, &lost, err);
	if (!rc)
		note_hole(f, &lost);
	return rc;
}

/* A record of the delivery, which was refused: the spool is asked for it once more. */
static enum err_kind bury(struct forwarder *f, const struct sink_answer *answer, const char *why,
			  struct err *err)
{
	struct span said = span_of(answer->said, answer->said_len);
	uint64_t seq = answer->refused_seq;
	enum err_kind rc = seek(f, seq - 1, err);

	if (!rc)
		rc = spool_reader_read(f->reader, &f->batch, 0, 0, err);
	if (rc)
		return rc;
	if (f->batch.count > 0 && f->batch.frames[0].seq == seq)
		rc = dead_letter(f, seq, spool_batch_payload(&f->batch, 0), why, said, err);
	else /* it has left the spool meanwhile */
		sink_trail_missed(&f->record,
				  &(struct spool_damage){.first_seq = seq, .last_seq = seq});
	return rc ? rc : seek(f, f->last_seq, err);
}

/* The sink knows no more of a record that it refused: until it is kept, nothing else is done. */
static enum err_kind bury_surely(struct forwarder *f, const struct sink_answer *answer,
				 struct err *err)
{
	struct err why = *err;
	enum err_kind rc;

	for (;;) {
		rc = bury(f, answer, why.text, err);
		if (!rc || rc == ERR_FATAL || atomic_load(&f->o.life->cut))
			break;
		wait_after(f, rc, 0, err);
	}
	if (!rc && f->records > 0)
		f->records--;
	return rc;
}

/* Until it is there, or life.cut: then as ERR_RETRY. */
static enum err_kind deliver(struct forwarder *f, struct err *err)
{
	for (;;) {
		struct sink_answer answer = {.wait_seconds = 0};
		enum err_kind rc;

		sink_trail_look_behind(&f->record, f->reader, f->cursor.delivered_seq + 1);
		rc = f->sink.ops->deliver(f->sink.ctx, &answer, err);
		if (rc == ERR_REJECT) {
			rc = bury_surely(f, &answer, err);
			if (!rc)
				continue;
		}
		if (rc == ERR_NONE || rc == ERR_FATAL || atomic_load(&f->o.life->cut))
			return rc;
		wait_after(f, rc, answer.wait_seconds, err);
	}
}

static enum err_kind save(struct forwarder *f, struct err *err)
{
	return cursor_save(&f->cursor, f->o.folder, f->o.name, err);
}

/* All up to last_seq is dealt with. */
static enum err_kind move_cursor(struct forwarder *f, struct err *err)
{
	f->failures = 0;
	f->cursor.delivered_seq = f->last_seq;
	f->cursor.cut_seq = 0;
	buf_reset(&f->cursor.cut);
	buf_reset(&f->cursor.place);
	buf_str(&f->cursor.place, f->sink.place);
	if (buf_check(&f->cursor.place, err) || save(f, err))
		return err->kind;
	spool_reader_pass(f->reader, f->last_seq);
	sink_trail_look_behind(&f->record, f->reader, f->cursor.delivered_seq + 1);
	atomic_store(&f->o.status->delivered_seq, f->last_seq);
	return ERR_NONE;
}

static enum err_kind note_delivered(struct forwarder *f, struct err *err)
{
	struct sink_status *s = f->o.status;

	if (move_cursor(f, err))
		return err->kind;
	atomic_fetch_add(&s->deliveries, 1);
	atomic_fetch_add(&s->records, f->records);
	atomic_store(&s->delivered_ns, time_now_ns());
	tell(f, SINK_WORKING, "");
	return ERR_NONE;
}

/*
 * Puts on record what is gathered, before any of it is sent. What was on record already is another
 * delivery only where the options have changed since, or the spool was damaged: then some records
 * may be there twice, under their one id.
 */
static enum err_kind cut(struct forwarder *f, struct err *err)
{
	struct cursor *c = &f->cursor;
	enum err_kind rc;

	buf_reset(&f->cut);
	rc = f->sink.ops->seal(f->sink.ctx, f->last_seq, &f->cut, err);
	if (rc)
		return rc;
	if (f->cut_is_saved && c->cut_seq == f->last_seq &&
	    span_equal(span_of(c->cut.data, c->cut.len), span_of(f->cut.data, f->cut.len)))
		return ERR_NONE;
	if (c->cut_seq != 0)
		log_warn(sink_cut_changed, LOG_TEXT("sink", f->o.name),
			 LOG_NUMBER("first_seq", c->delivered_seq + 1),
			 LOG_NUMBER("last_seq", f->last_seq));
	buf_reset(&c->cut);
	buf_span(&c->cut, span_of(f->cut.data, f->cut.len));
	c->cut_seq = f->last_seq;
	rc = buf_check(&c->cut, err);
	f->cut_is_saved = false;
	if (!rc)
		rc = save(f, err);
	f->cut_is_saved = !rc;
	return rc;
}

/*
 * There is nothing to deliver before what cannot be read: the cursor passes that. A cut that was on
 * record is given up with it: what it names cannot be made any more.
 */
static enum err_kind pass_hole(struct forwarder *f, bool *ret_end, struct err *err)
{
	if (is_at_hole(f)) {
		sink_trail_missed(&f->record, &f->hole);
		f->last_seq = f->hole.last_seq;
	}
	*ret_end = !sink_trail_await(&f->record);
	return *ret_end ? ERR_NONE : move_cursor(f, err);
}

/* One delivery, from the gathering to its end. *ret_end: there will be none any more. */
static enum err_kind forward(struct forwarder *f, bool *ret_end, struct err *err)
{
	uint64_t until_seq = f->cursor.cut_seq;
	enum err_kind rc;

	f->sink.ops->begin(f->sink.ctx, f->cursor.delivered_seq + 1, until_seq != 0);
	rc = gather(f, until_seq, ret_end, err);
	if (rc || *ret_end || atomic_load(&f->o.life->cut))
		return rc;
	if (!has_any(f))
		return pass_hole(f, ret_end, err);
	rc = cut(f, err);
	if (!rc && until_seq != 0)
		life_wait(f->o.life, FORWARDER_SETTLE_MS * NS_PER_MS);
	if (!rc)
		rc = deliver(f, err);
	if (rc)
		return rc;
	*ret_end = !sink_trail_await(&f->record);
	return *ret_end ? ERR_NONE : note_delivered(f, err);
}

/* After a failure: what was gathered is read again. */
static enum err_kind go_back(struct forwarder *f, struct err *err)
{
	f->last_seq = f->cursor.delivered_seq;
	return seek(f, f->last_seq, err);
}

/* --- opening --- */

/* What is open stays so where a later part is not; the reader has kept all meanwhile. */
static enum err_kind open_parts(struct forwarder *f, struct err *err)
{
	struct spool_damage lost;
	enum err_kind rc = ERR_NONE;

	if (!f->sink.ops)
		rc = f->o.open(f->o.arg, &f->sink, err);
	if (!rc)
		rc = find_cursor(f, err);
	if (!rc && !f->dead)
		rc = dead_letters_open(&f->dead, f->o.folder, f->o.name, f->cursor.stream, err);
	if (!rc)
		rc = spool_reader_seek(f->reader, f->cursor.delivered_seq, &lost, err);
	if (rc)
		return rc;
	REQUIRE(strcmp(f->sink.ops->name, f->o.name) == 0);
	note_hole(f, &lost);
	f->last_seq = f->cursor.delivered_seq;
	f->is_new = f->cursor.place.len == 0 ||
		    !span_is(span_of(f->cursor.place.data, f->cursor.place.len), f->sink.place);
	f->failures = 0;
	atomic_store(&f->o.status->delivered_seq, f->last_seq);
	tell(f, SINK_STARTING, "");
	return ERR_NONE;
}

/*
 * Until it is open, or nothing comes any more, or life.cut. What cannot be opened, because its
 * files are damaged or of an older copy of the volume, is that sink's trouble and nobody else's.
 */
static enum err_kind open_at_last(struct forwarder *f, struct err *err)
{
	for (;;) {
		enum err_kind rc = open_parts(f, err);
		int64_t wait_ns;

		if (!rc || rc == ERR_FATAL)
			return rc;
		rc = rc == ERR_RETRY ? rc : ERR_CONFIG;
		wait_ns = say_failed(f, rc, 0, err);
		if (atomic_load(&f->o.life->intake_done) || atomic_load(&f->o.life->cut))
			return rc;
		wait_and_look(f, wait_ns);
	}
}

/* Until the place can be used, or life.cut. */
static enum err_kind prove(struct forwarder *f, struct err *err)
{
	enum err_kind rc = ERR_RETRY;
	struct buf found;

	buf_init(&found, FACT_JSON_BYTES - 1);
	while (rc && rc != ERR_FATAL && !atomic_load(&f->o.life->cut)) {
		buf_reset(&found);
		rc = f->o.prove(f->o.arg, &found, err);
		if (rc && rc != ERR_FATAL && !atomic_load(&f->o.life->cut))
			wait_after(f, rc, 0, err);
	}
	if (!rc) {
		f->failures = 0;
		sink_trail_proved(&f->record, found.failed || found.len == 0
						      ? SPAN("")
						      : span_of(found.data, found.len));
		tell(f, SINK_STARTING, "");
	}
	buf_release(&found);
	return rc;
}

void forwarder_run(struct forwarder *f)
{
	struct err unready;
	bool end = false;
	enum err_kind ready = open_at_last(f, &unready);

	if (!ready && f->is_new && f->o.prove)
		ready = prove(f, &unready);
	if (ready == ERR_FATAL)
		life_fail(f->o.life, &unready);
	if (ready)
		return;
	while (!end && !atomic_load(&f->o.life->cut)) {
		struct err err;
		enum err_kind rc = forward(f, &end, &err);

		if (rc && rc != ERR_FATAL && !atomic_load(&f->o.life->cut)) {
			wait_after(f, rc, 0, &err);
			rc = go_back(f, &err);
		}
		if (rc == ERR_FATAL) {
			life_fail(f->o.life, &err);
			return;
		}
	}
}
