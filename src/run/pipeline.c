#include "run/pipeline.h"

#include "base/log.h"
#include "base/time.h"
#include "source/gap_track.h"
#include "stage/stages.h"

#include <stdlib.h>

enum { TICK_MS = 100, ROOM_WAIT_MS = 200 }; /* facts of other threads wait so long at most */

struct line_counts {
	uint64_t decoded, undecoded, redacted, classified, accepted, recovered;
};

struct pipeline {
	struct pipeline_options o; /* const after pipeline_new() */

	struct stages *stages;
	struct hasher *hasher; /* for the ids of facts */
	struct record record;
	struct line_counts counts; /* of the batch under way */
	struct buf payload;        /* of a line */
	struct buf fact;           /* of a fact; the line's payload may be waiting meanwhile */

	struct gap full; /* while and shortly after the spool is full */
	bool full_open, full_now;
	/* All such gaps since the last fact of listening, and what is between them; 0: none. */
	int64_t full_from_ns, full_until_ns;
};

enum err_kind pipeline_new(struct pipeline **ret, const struct pipeline_options *options,
			   struct err *err)
{
	const struct stages_options stages = {.org = options->org,
					      .app = options->app,
					      .own_app = options->own_app,
					      .store_app = options->store_app};
	struct pipeline *p = calloc(1, sizeof(*p));
	enum err_kind rc;

	if (!p)
		return err_set(err, ERR_FATAL, "out of memory for the pipeline");
	p->o = *options;
	buf_init(&p->payload, RECORD_PAYLOAD_BYTES_MAX);
	buf_init(&p->fact, RECORD_PAYLOAD_BYTES_MAX);
	rc = stages_new(&p->stages, &stages, err);
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
	stages_free(p->stages);
	hasher_free(p->hasher);
	buf_release(&p->fact);
	buf_release(&p->payload);
	free(p);
}

static enum err_kind append_fact(struct pipeline *p, const struct fact *fact, struct err *err)
{
	enum err_kind rc;

	buf_reset(&p->fact);
	rc = trail_encode(p->o.trail, p->hasher, fact, &p->fact, err);
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
		atomic_fetch_add(&p->o.status->facts_accepted, 1);
	}
	return ERR_NONE;
}

/* Its own facts never go through the mailbox, which drops what it has no room for. */
static enum err_kind tell(struct pipeline *p, const struct fact *fact, struct err *err)
{
	enum err_kind rc = append_fact(p, fact, err);

	if (rc == ERR_NONE)
		atomic_fetch_add(&p->o.status->facts_accepted, 1);
	return rc;
}

static enum err_kind tell_gap(struct pipeline *p, const struct gap *gap, struct err *err)
{
	struct fact fact = {
		.action = gap->known ? ACTION_trail_gap_progress : ACTION_trail_gap_opened,
		.noticed_ns = time_now_ns(),
		.gap = *gap,
	};
	enum err_kind rc = tell(p, &fact, err);

	if (rc == ERR_NONE && !gap->known)
		atomic_fetch_add(&p->o.status->gaps, 1);
	return rc;
}

/* ERR_FULL: it is not on record yet, and must be before the next line is. */
static enum err_kind tell_full(struct pipeline *p, struct err *err)
{
	enum err_kind rc;

	if (!p->full_open || p->full.known)
		return ERR_NONE;
	rc = tell_gap(p, &p->full, err);
	p->full.known = rc == ERR_NONE;
	return rc;
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
		  LOG_TEXT("intake", p->o.keeps ? "reading waits" : "lines are being lost"));
	if (p->o.keeps || p->full_open)
		return;
	p->full = (struct gap){
		.reason = GAP_spool_full, .start_ns = now_ns - GAP_MARGIN_NS, .end_ns = INT64_MAX};
	p->full_open = true;
	if (p->full_from_ns == 0)
		p->full_from_ns = p->full.start_ns;
	p->full_until_ns = INT64_MAX;
}

static void note_room(struct pipeline *p)
{
	if (!p->full_now)
		return;
	p->full_now = false;
	p->full.end_ns = time_now_ns() + GAP_MARGIN_NS;
	atomic_store(&p->o.status->intake_stopped, false);
	log_info(spool_room, LOG_TEXT("intake", "goes on"));
}

/*
 * Puts the end of the gap on record when the spool has had room for a while, or at the end.
 * ERR_FULL: it has none again; the end is told later.
 */
static enum err_kind settle_full(struct pipeline *p, bool at_once, struct err *err)
{
	enum err_kind rc;

	if (!p->full_open || p->full_now)
		return ERR_NONE;
	if (!at_once && time_now_ns() < p->full.end_ns)
		return ERR_NONE;
	rc = tell_gap(p, &p->full, err);
	if (rc)
		return rc;
	p->full_open = false;
	p->full_until_ns = p->full.end_ns;
	return ERR_NONE;
}

/*
 * What is done while the spool refuses, as long as ERR_NONE is returned. ERR_FULL: it is to be
 * waited for no longer.
 */
static enum err_kind await_room(struct pipeline *p, struct err *err)
{
	struct err fact_err;
	enum err_kind rc;

	note_full(p);
	rc = tell_full(p, &fact_err);
	if (rc == ERR_NONE)
		rc = pipeline_take_facts(p, &fact_err);
	if (rc != ERR_NONE && rc != ERR_FULL) {
		*err = fact_err;
		return rc;
	}
	spool_flush(p->o.spool);
	if (atomic_load(&p->o.life->cut))
		return ERR_FULL;
	(void)spool_wait_room(p->o.spool, ROOM_WAIT_MS * NS_PER_MS);
	return ERR_NONE;
}

/* Whether what came to *rc is to be tried again, for which it may have waited for room. */
static bool try_again(struct pipeline *p, enum err_kind *rc, struct err *err)
{
	if (*rc == ERR_NONE)
		note_room(p);
	if (*rc != ERR_FULL)
		return false;
	*rc = await_room(p, err);
	return *rc == ERR_NONE;
}

/* Appends a line's payload, however long it takes for the spool to have room. */
static enum err_kind append_line(struct pipeline *p, int64_t observed_ns, struct err *err)
{
	struct span payload = span_of(p->payload.data, p->payload.len);
	enum err_kind rc;

	do {
		rc = tell_full(p, err);
		if (rc == ERR_NONE)
			rc = spool_append(p->o.spool, payload, observed_ns, SPOOL_ORDINARY, err);
	} while (try_again(p, &rc, err));
	return rc;
}

/* As a line: the batch waits in hand, and with it the source. */
static enum err_kind append_gap(struct pipeline *p, const struct gap *gap, struct err *err)
{
	enum err_kind rc;

	do
		rc = tell_gap(p, gap, err);
	while (try_again(p, &rc, err));
	return rc;
}

/* As a line: the batch waits in hand, and who watches with it. */
static enum err_kind append_event(struct pipeline *p, const struct batch *batch, size_t idx,
				  struct err *err)
{
	enum err_kind rc;

	do
		rc = spool_append(p->o.spool, batch_event(batch, idx),
				  batch->events[idx].observed_ns, SPOOL_ORDINARY, err);
	while (try_again(p, &rc, err));
	if (rc)
		return rc;
	if (batch->source == SOURCE_TRAIL) {
		atomic_fetch_add(&p->o.status->facts_accepted, 1);
		atomic_fetch_add(&p->o.status->mirrored_accepted, 1);
	} else {
		atomic_fetch_add(&p->o.status->events_accepted, 1);
	}
	return ERR_NONE;
}

static enum err_kind append_listened(struct pipeline *p, const struct batch *batch,
				     struct listened l, struct err *err)
{
	const struct fact fact = {
		.action = ACTION_trail_listening,
		.noticed_ns = time_now_ns(),
		.gap = {.start_ns = l.since_ns, .end_ns = l.until_ns},
		.shared = batch->shared,
	};
	enum err_kind rc;

	if (l.since_ns >= l.until_ns)
		return ERR_NONE;
	do
		rc = tell(p, &fact, err);
	while (try_again(p, &rc, err));
	return rc;
}

/*
 * What the source heard, but for when the spool was full, which the source does not know. Called
 * when all lines of the batch are in the spool, so that the fact stands behind them: where it is
 * stored, they are.
 */
static enum err_kind take_listened(struct pipeline *p, const struct batch *batch, struct listened l,
				   struct err *err)
{
	struct listened before = l;

	if (p->full_from_ns != 0) {
		enum err_kind rc;

		if (before.until_ns > p->full_from_ns)
			before.until_ns = p->full_from_ns;
		if (l.since_ns < p->full_until_ns)
			l.since_ns = p->full_until_ns;
		if (l.until_ns >= p->full_until_ns)
			p->full_from_ns = 0;
		rc = append_listened(p, batch, before, err);
		if (rc)
			return rc;
	}
	return append_listened(p, batch, l, err);
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

static void count_line(struct pipeline *p)
{
	p->counts.decoded += p->record.decoded;
	p->counts.undecoded += !p->record.decoded;
	p->counts.redacted += stages_redacted(p->stages);
	p->counts.classified += p->record.class != CLASS_app_log;
	p->counts.accepted++;
}

/* Once a batch: a counter that other threads read costs more than all the rest of counting. */
static void tell_counts(struct pipeline *p)
{
	struct status *s = p->o.status;

	atomic_fetch_add_explicit(&s->lines_decoded, p->counts.decoded, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->lines_undecoded, p->counts.undecoded, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->lines_redacted, p->counts.redacted, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->lines_classified, p->counts.classified, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->lines_accepted, p->counts.accepted, memory_order_relaxed);
	atomic_fetch_add(&s->lines_recovered, p->counts.recovered);
	p->counts = (struct line_counts){0};
}

static enum err_kind take_line(struct pipeline *p, struct batch *batch, const struct raw *raw,
			       struct err *err)
{
	enum err_kind rc;

	rc = stages_take(p->stages, batch, raw, &p->record, err);
	if (rc == ERR_NONE)
		rc = encode(p, err);
	if (rc == ERR_NONE)
		rc = append_line(p, p->record.observed_ns, err);
	if (rc == ERR_NONE)
		count_line(p);
	return rc;
}

enum err_kind pipeline_take(struct pipeline *p, struct batch *batch, struct err *err)
{
	enum err_kind rc;

	rc = pipeline_take_facts(p, err);
	if (rc == ERR_FULL)
		rc = ERR_NONE;
	/* Before the lines: once they are accepted, the next start's gap begins after them. */
	for (size_t i = 0; i < batch->gap_count && !rc; i++)
		rc = append_gap(p, &batch->gaps[i], err);
	for (size_t i = 0; i < batch->event_count && !rc; i++)
		rc = append_event(p, batch, i, err);
	if (rc)
		return rc;
	stages_begin_batch(p->stages);
	for (size_t i = 0; i < batch->count && !rc; i++)
		rc = take_line(p, batch, &batch->raws[i], err);
	if (batch->recovered)
		p->counts.recovered = p->counts.accepted;
	tell_counts(p);
	for (size_t i = 0; i < batch->listened_count && !rc; i++)
		rc = take_listened(p, batch, batch->listened[i], err);
	return rc;
}

/* What is done between batches and while none comes. */
static enum err_kind keep_house(struct pipeline *p, bool at_end, struct err *err)
{
	enum err_kind rc = settle_full(p, at_end, err);

	if (rc == ERR_NONE)
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
		if (rc == ERR_NONE)
			rc = keep_house(p, closed && !batch, err);
		/* When the source has it back, what the batch vouched for is in the spool, too. */
		if (batch) {
			batch_reset(batch);
			REQUIRE(queue_put(p->o.pool, batch));
		}
		if (rc || (closed && !batch))
			return rc;
	}
}
