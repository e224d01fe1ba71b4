#include "run/event_feed.h"

#include "base/time.h"

enum { POOL_WAIT_MS = 100, SETTLE_LOOK_MS = 20 };

void event_feed_init(struct event_feed *f, const struct leased_options *options,
		     enum record_source source, _Atomic uint64_t *accepted)
{
	*f = (struct event_feed){.o = options, .source = source, .accepted = accepted};
	buf_init(&f->payload, EVENT_FEED_BYTES_MAX);
}

void event_feed_release(struct event_feed *f)
{
	if (f->batch) {
		batch_reset(f->batch);
		REQUIRE(queue_put(f->o->pool, f->batch));
		f->batch = NULL;
	}
	buf_release(&f->payload);
}

static bool may_go_on(const struct event_feed *f)
{
	return life_state(f->o->life) == LIFE_RUNNING;
}

static enum err_kind ending(struct err *err)
{
	return err_set(err, ERR_FULL, "the program is ending");
}

static enum err_kind await_batch(struct event_feed *f, struct err *err)
{
	while (!f->batch) {
		if (!may_go_on(f))
			return ending(err);
		f->batch = queue_get(f->o->pool, POOL_WAIT_MS * NS_PER_MS);
		if (f->batch)
			f->batch->source = f->source;
	}
	return ERR_NONE;
}

static enum err_kind hand_over(struct event_feed *f, struct err *err)
{
	struct batch *batch = f->batch;
	size_t count = batch ? batch->event_count : 0;

	f->batch = NULL;
	if (!batch)
		return ERR_NONE;
	if (queue_put(f->o->filled, batch)) {
		f->fed += count;
		return ERR_NONE;
	}
	batch_reset(batch);
	REQUIRE(queue_put(f->o->pool, batch));
	return ending(err);
}

static enum err_kind encode(struct event_feed *f, const struct event *event, struct err *err)
{
	enum err_kind rc;

	buf_reset(&f->payload);
	event_encode(event, &f->payload);
	rc = buf_check(&f->payload, err);
	if (rc == ERR_FULL)
		rc = err_set(err, ERR_REJECT, "an event is larger than %d bytes",
			     EVENT_FEED_BYTES_MAX);
	return rc;
}

enum err_kind event_feed_put(struct event_feed *f, const struct event *event, int64_t at_ns,
			     struct err *err)
{
	enum err_kind rc = encode(f, event, err);
	struct span payload = span_of(f->payload.data, f->payload.len);

	if (!rc)
		rc = await_batch(f, err);
	if (rc || batch_add_event(f->batch, payload, at_ns))
		return rc;
	rc = hand_over(f, err);
	if (!rc)
		rc = await_batch(f, err);
	if (rc || batch_add_event(f->batch, payload, at_ns))
		return rc;
	return err_set(err, ERR_FATAL, "out of memory for an event");
}

enum err_kind event_feed_settle(struct event_feed *f,
				enum err_kind (*tick)(void *arg, struct err *err), void *arg,
				struct err *err)
{
	struct spool_stats stats;
	uint64_t appended_seq = 0;
	bool appended = false;
	enum err_kind rc = hand_over(f, err);

	while (!rc) {
		/* In this order: what is counted is in the spool, whose end is asked for after. */
		bool counted = atomic_load(f->accepted) >= f->fed;

		spool_stats(f->o->spool, &stats);
		if (counted && !appended) {
			appended = true;
			appended_seq = stats.appended_seq;
		}
		if (appended && stats.accepted_seq >= appended_seq)
			return ERR_NONE;
		if (!may_go_on(f))
			return ending(err);
		/* The spool may be full for long. Who has lost the lease does it again, or another.
		 */
		rc = tick(arg, err);
		if (!rc)
			life_wait(f->o->life, SETTLE_LOOK_MS * NS_PER_MS);
	}
	return rc;
}
