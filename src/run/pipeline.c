#include "run/pipeline.h"

#include "base/log.h"
#include "base/time.h"
#include "base/utf8.h"
#include "stage/classify.h"
#include "stage/decode.h"
#include "stage/redact.h"

#include <stdlib.h>

enum { TICK_MS = 100, ROOM_WAIT_MS = 200 }; /* facts of other threads wait so long at most */

struct pipeline {
	struct pipeline_options o; /* const after pipeline_new() */

	struct decode_context decode;
	struct arena arena;
	struct redactor *redactor;
	struct hasher *hasher;
	struct record record;
	struct buf payload; /* of a line */
	struct buf fact;    /* of a fact; the line's payload may be waiting meanwhile */

	struct gap full; /* while and shortly after the spool is full */
	bool full_open, full_now;
};

enum err_kind pipeline_new(struct pipeline **ret, const struct pipeline_options *options,
			   struct err *err)
{
	struct pipeline *p = calloc(1, sizeof(*p));
	enum err_kind rc;

	if (!p)
		return err_set(err, ERR_FATAL, "out of memory for the pipeline");
	p->o = *options;
	arena_init(&p->arena, PIPELINE_ARENA_BYTES_MAX);
	buf_init(&p->payload, RECORD_PAYLOAD_BYTES_MAX);
	buf_init(&p->fact, RECORD_PAYLOAD_BYTES_MAX);
	p->decode = (struct decode_context){
		.arena = &p->arena, .org = options->org, .app = options->app};
	rc = redactor_new(&p->redactor, err);
	if (rc == ERR_NONE)
		rc = hasher_new(&p->hasher, err);
	if (rc) {
		pipeline_free(p);
		return rc;
	}
	*ret = p;
	return ERR_NONE;
}

void pipeline_free(struct pipeline *p)
{
	if (!p)
		return;
	hasher_free(p->hasher);
	redactor_free(p->redactor);
	buf_release(&p->fact);
	buf_release(&p->payload);
	arena_release(&p->arena);
	free(p);
}

static enum err_kind append_fact(struct pipeline *p, const struct fact *fact, struct err *err)
{
	enum err_kind rc;

	buf_reset(&p->fact);
	rc = trail_encode(p->o.trail, fact, &p->fact, err);
	if (rc)
		return rc;
	return spool_append(p->o.spool, span_of(p->fact.data, p->fact.len), fact->noticed_ns,
			    SPOOL_TRAIL, err);
}

enum err_kind pipeline_take_facts(struct pipeline *p, struct err *err)
{
	struct fact fact;

	while (trail_peek(p->o.trail, &fact)) {
		enum err_kind rc = append_fact(p, &fact, err);

		if (rc)
			return rc;
		trail_pop(p->o.trail);
	}
	return ERR_NONE;
}

static void post_gap(struct pipeline *p, const struct gap *gap)
{
	struct fact fact = {
		.action = gap->known ? ACTION_trail_gap_progress : ACTION_trail_gap_opened,
		.noticed_ns = time_now_ns(),
		.gap = *gap,
	};

	if (!gap->known)
		atomic_fetch_add(&p->o.status->gaps, 1);
	trail_post(p->o.trail, &fact);
}

/* The spool refuses lines from now on. */
static void note_full(struct pipeline *p)
{
	int64_t now_ns = time_now_ns();

	if (p->full_now)
		return;
	p->full_now = true;
	atomic_store(&p->o.status->intake_stopped, true);
	log_error(spool_full,
		  LOG_TEXT("source", p->o.live ? "lines are being lost" : "reading waits"));
	if (!p->o.live || p->full_open)
		return;
	p->full = (struct gap){.reason = GAP_spool_full, .start_ns = now_ns, .end_ns = INT64_MAX};
	p->full_open = true;
	post_gap(p, &p->full);
	p->full.known = true;
}

static void note_room(struct pipeline *p)
{
	if (!p->full_now)
		return;
	p->full_now = false;
	p->full.end_ns = time_now_ns();
	atomic_store(&p->o.status->intake_stopped, false);
	log_info(spool_room, LOG_TEXT("source", "goes on"));
}

/* Puts the end of the gap on record when the spool has had room for a while, or at the end. */
static void settle_full(struct pipeline *p, bool at_once)
{
	if (!p->full_open || p->full_now)
		return;
	if (!at_once && time_now_ns() - p->full.end_ns < PIPELINE_SETTLE_NS)
		return;
	post_gap(p, &p->full);
	p->full_open = false;
}

/* Appends a line's payload, however long it takes for the spool to have room. */
static enum err_kind append_line(struct pipeline *p, int64_t observed_ns, struct err *err)
{
	struct span payload = span_of(p->payload.data, p->payload.len);

	for (;;) {
		struct err fact_err;
		enum err_kind rc =
			spool_append(p->o.spool, payload, observed_ns, SPOOL_ORDINARY, err);

		if (rc == ERR_NONE)
			note_room(p);
		if (rc != ERR_FULL)
			return rc;
		note_full(p);
		rc = pipeline_take_facts(p, &fact_err);
		if (rc != ERR_NONE && rc != ERR_FULL) {
			*err = fact_err;
			return rc;
		}
		spool_flush(p->o.spool);
		if (atomic_load(&p->o.life->cut))
			return ERR_FULL;
		(void)spool_wait_room(p->o.spool, ROOM_WAIT_MS * NS_PER_MS);
	}
}

/* Keeps text to RECORD_TEXT_BYTES_MAX; what it was wholly is told by length and digest. */
static enum err_kind cut_text(struct pipeline *p, struct span *text, bool characters,
			      struct span bytes_key, struct span digest_key, struct err *err)
{
	uint8_t digest[HASH_BYTES];
	struct span hex;
	char *room;
	enum err_kind rc;

	if (text->len <= RECORD_TEXT_BYTES_MAX)
		return ERR_NONE;
	rc = hasher_digest(p->hasher, *text, digest, err);
	if (rc)
		return rc;
	room = arena_alloc(&p->arena, HASH_HEX_BYTES);
	if (!room)
		return err_set(err, ERR_FATAL, "out of memory for a line of %zu bytes", text->len);
	hex = span_of(hash_hex(digest, room), HASH_HEX_BYTES - 1);
	record_attr_number(&p->record, bytes_key, (int64_t)text->len);
	record_attr_text(&p->record, digest_key, hex);
	*text = characters ? utf8_cut(*text, RECORD_TEXT_BYTES_MAX)
			   : span_of(text->data, RECORD_TEXT_BYTES_MAX);
	return ERR_NONE;
}

/* Over the whole text, before it is cut: a longer line with the same start is another line. */
static enum err_kind make_id(struct pipeline *p, const struct raw *raw, struct err *err)
{
	struct record *r = &p->record;
	struct span text = r->raw.data ? r->raw : r->message;
	struct id_extra extra = {
		.source = span_text(source_name(r->source)), .raw = text, .ordinal = raw->ordinal};
	bool own_time = r->exact_time && r->decoded;

	return id_line(p->hasher, r->app, r->machine_id, text, r->claimed_ns,
		       own_time ? NULL : &extra, &r->id, err);
}

static enum err_kind encode(struct pipeline *p, struct err *err)
{
	struct record *r = &p->record;
	enum err_kind rc;

	buf_reset(&p->payload);
	record_encode(r, &p->payload);
	rc = buf_check(&p->payload, err);
	if (rc != ERR_FULL)
		return rc;
	/* Attributes that swell by escaping are all that can be too much. */
	r->attr_count = 0;
	record_attr_text(r, SPAN("attributes_dropped"), SPAN("too long"));
	buf_reset(&p->payload);
	record_encode(r, &p->payload);
	return buf_check(&p->payload, err);
}

static void count_line(struct pipeline *p, size_t attrs_before, size_t attrs_after)
{
	struct status *s = p->o.status;

	if (!p->record.decoded)
		atomic_fetch_add_explicit(&s->lines_undecoded, 1, memory_order_relaxed);
	if (attrs_after > attrs_before)
		atomic_fetch_add_explicit(&s->lines_redacted, 1, memory_order_relaxed);
	if (p->record.class != CLASS_app_log)
		atomic_fetch_add_explicit(&s->lines_classified, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->lines_accepted, 1, memory_order_relaxed);
}

static enum err_kind take_line(struct pipeline *p, struct batch *batch, const struct raw *raw,
			       struct err *err)
{
	struct record *r = &p->record;
	size_t attrs_before, attrs_after;
	enum err_kind rc;

	decode(&p->decode, batch, raw, r);
	attrs_before = r->attr_count;
	redact(p->redactor, &p->arena, r);
	attrs_after = r->attr_count;
	rc = make_id(p, raw, err);
	if (rc == ERR_NONE)
		rc = cut_text(p, &r->message, true, SPAN("message_bytes"), SPAN("message_sha256"),
			      err);
	if (rc == ERR_NONE && r->raw.data)
		rc = cut_text(p, &r->raw, false, SPAN("raw_bytes"), SPAN("raw_sha256"), err);
	if (rc)
		return rc;
	r->class = CLASS_app_log;
	r->action = ACTION_none;
	/* What flytrail prints about an event must not become an event. */
	if (p->o.own_app.len == 0 || !span_equal(r->app, p->o.own_app))
		classify(&p->arena, r);
	rc = encode(p, err);
	if (rc == ERR_NONE)
		rc = append_line(p, r->observed_ns, err);
	if (rc == ERR_NONE)
		count_line(p, attrs_before, attrs_after);
	return rc;
}

enum err_kind pipeline_take(struct pipeline *p, struct batch *batch, struct err *err)
{
	enum err_kind rc;

	for (size_t i = 0; i < batch->gap_count; i++)
		post_gap(p, &batch->gaps[i]);
	/* Before the lines: once they are accepted, the next start's gap begins after them. */
	rc = pipeline_take_facts(p, err);
	if (rc != ERR_NONE && rc != ERR_FULL)
		return rc;
	redactor_begin_batch(p->redactor);
	for (size_t i = 0; i < batch->count; i++) {
		rc = take_line(p, batch, &batch->raws[i], err);
		if (rc)
			return rc;
	}
	arena_reset(&p->arena);
	return ERR_NONE;
}

/* What is done between batches and while none comes. */
static enum err_kind keep_house(struct pipeline *p, bool at_end, struct err *err)
{
	enum err_kind rc;

	settle_full(p, at_end);
	rc = pipeline_take_facts(p, err);
	return rc == ERR_FULL ? ERR_NONE : rc;
}

enum err_kind pipeline_run(struct pipeline *p, struct err *err)
{
	for (;;) {
		bool closed = queue_is_closed(p->o.filled);
		struct batch *batch = queue_get(p->o.filled, 0);
		enum err_kind rc;

		if (!batch) {
			spool_flush(p->o.spool);
			batch = queue_get(p->o.filled, TICK_MS * NS_PER_MS);
		}
		rc = batch ? pipeline_take(p, batch, err) : ERR_NONE;
		if (batch) {
			batch_reset(batch);
			REQUIRE(queue_put(p->o.pool, batch));
		}
		if (rc == ERR_NONE)
			rc = keep_house(p, closed && !batch, err);
		if (rc || (closed && !batch))
			return rc;
	}
}
