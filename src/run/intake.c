#include "run/intake.h"

#include "base/log.h"

enum { POOL_WAIT_MS = 100 };

/* While it is away that is told again and again; the log keeps it to once a minute. */
static void tell_connection(struct intake *in, bool *connected, bool first)
{
	const char *why = NULL;
	bool now = in->source.ops->connected(in->source.ctx, &why);

	atomic_store(&in->status->source_why, now ? NULL : why);
	atomic_store(&in->status->source_connected, now);
	if (now && *connected && !first)
		return;
	*connected = now;
	if (now)
		log_info(source_connected, LOG_TEXT("source", in->source.ops->name));
	else
		log_warn(source_disconnected, LOG_TEXT("source", in->source.ops->name),
			 LOG_TEXT("error", why ? why : "not connected"));
}

/* Heartbeats that come or stay away are told when that changes, a jump of the clock each time. */
static void tell_pulse(struct intake *in, struct source_pulse *last)
{
	struct status *s = in->status;
	struct source_pulse now;

	if (!in->source.ops->pulse)
		return;
	in->source.ops->pulse(in->source.ctx, &now);
	atomic_store(&s->heartbeat_on, now.on);
	atomic_store(&s->heartbeat_why, now.why);
	atomic_store(&s->heartbeats_missed, now.missed);
	atomic_store(&s->heartbeat_last_ns, now.returned_ns);
	atomic_store(&s->heartbeats_sent, now.sent);
	atomic_store(&s->heartbeats_returned, now.returned);
	atomic_store(&s->heartbeats_unsent, now.unsent);
	atomic_store(&s->clock_jumps, now.jumps);
	atomic_store(&s->clock_jumped_ns, now.jumped_ns);
	if (now.why && now.why != last->why)
		log_warn(heartbeat_missed, LOG_TEXT("error", now.why),
			 LOG_NUMBER("missed", now.missed), LOG_NUMBER("unsent", now.unsent));
	else if (!now.why && now.returned > 0 && (last->why || last->returned == 0))
		log_info(heartbeat_returned, LOG_NUMBER("returned", now.returned));
	if (now.jumps != last->jumps)
		log_warn(clock_jumped, LOG_NUMBER("milliseconds", now.jump_ns / NS_PER_MS));
	*last = now;
}

static void count_received(struct intake *in, const struct batch *batch)
{
	struct status *s = in->status;

	if (batch->count > 0)
		atomic_store(&s->last_received_ns, batch->raws[batch->count - 1].received_ns);
	atomic_fetch_add(&s->lines_received, batch->count);
	for (size_t i = 0; i < batch->gap_count; i++) {
		const struct gap *g = &batch->gaps[i];

		if (g->reason != GAP_slow_consumer)
			continue;
		/* A gap's own count goes on while the gap does. */
		if (!g->known)
			in->lost_told = 0;
		if (g->lines_lost > in->lost_told) {
			atomic_fetch_add(&s->lines_lost, g->lines_lost - in->lost_told);
			in->lost_told = g->lines_lost;
		}
		log_warn(source_dropped, LOG_NUMBER("lines", g->lines_lost));
	}
}

static void pass_on(struct intake *in, struct batch *batch)
{
	count_received(in, batch);
	if (batch->count > 0 || batch->gap_count > 0 || batch->listened_count > 0) {
		REQUIRE(queue_put(in->filled, batch));
	} else {
		batch_reset(batch);
		REQUIRE(queue_put(in->pool, batch));
	}
}

/* False: the source has ended. */
static bool read_once(struct intake *in, struct err *err)
{
	struct batch *batch = queue_get(in->pool, POOL_WAIT_MS * NS_PER_MS);
	enum err_kind rc;
	bool last;

	if (!batch)
		return true;
	rc = in->source.ops->read(in->source.ctx, batch, err);
	last = batch->last;
	pass_on(in, batch);
	if (rc) {
		log_error(source_failed, LOG_TEXT("source", in->source.ops->name),
			  LOG_TEXT("error", err->text));
		life_fail(in->life, err);
	}
	return rc == ERR_NONE && !last;
}

/*
 * No batch is free when the spool is full: then the gap of that is on record already, or what was
 * not taken is read after the next start.
 */
static void tell_last_gaps(struct intake *in)
{
	struct batch *batch = NULL;

	if (in->source.ops->last_gaps)
		batch = queue_get(in->pool, POOL_WAIT_MS * NS_PER_MS);
	if (!batch)
		return;
	in->source.ops->last_gaps(in->source.ctx, batch);
	pass_on(in, batch);
}

void intake_run(struct intake *in)
{
	bool connected = false, first = true, more = true;
	struct source_pulse pulse = {.on = false};
	struct err err;

	while (more && !atomic_load(&in->close)) {
		more = read_once(in, &err);
		atomic_store(&in->status->source_started, true);
		if (more)
			tell_connection(in, &connected, first);
		tell_pulse(in, &pulse);
		first = false;
	}
	tell_last_gaps(in);
	queue_close(in->filled);
	atomic_store(&in->life->input_ended, !more);
	atomic_store(&in->life->source_done, true);
	life_wake(in->life);
}

/* --- its batches --- */

enum err_kind intake_make_batches(struct intake *in, struct err *err)
{
	enum err_kind rc;

	rc = queue_new(&in->pool, INTAKE_BATCHES, err);
	if (rc == ERR_NONE)
		rc = queue_new(&in->filled, INTAKE_BATCHES, err);
	for (size_t i = 0; i < INTAKE_BATCHES && rc == ERR_NONE; i++) {
		struct batch *batch;

		rc = batch_new(&batch, err);
		if (rc == ERR_NONE)
			REQUIRE(queue_put(in->pool, batch));
	}
	return rc;
}

static void free_queue(struct queue *q)
{
	struct batch *batch;

	if (!q)
		return;
	queue_close(q);
	while ((batch = queue_get(q, 0)) != NULL)
		batch_free(batch);
	queue_free(q);
}

void intake_free_batches(struct intake *in)
{
	free_queue(in->filled);
	free_queue(in->pool);
}
