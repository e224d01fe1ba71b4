#ifndef RUN_EVENT_FEED_H
#define RUN_EVENT_FEED_H

/*
 * event_feed: events that no line shows, from a thread of their own into the spool, by the
 * pipeline, in batches of the source's pool as lines come. So a full spool makes it wait.
 *
 *	event_feed_init(), event_feed_put() ..., event_feed_settle(), ..., event_feed_release()
 *
 * Ownership: the caller owns what the options name. A payload is copied.
 * Threads:   one, which is not the pipeline's.
 * Limits:    EVENT_FEED_BYTES_MAX for an event's payload.
 * Errors:    ERR_FULL: the program is ending, and what was not settled may not be in the spool.
 *            ERR_REJECT: the event is larger than that; the next may be put. ERR_FATAL: no memory.
 */

#include "model/batch.h"
#include "model/event.h"
#include "run/leased.h"

enum { EVENT_FEED_BYTES_MAX = 1024 * 1024 };

struct event_feed {
	const struct leased_options *o;
	enum record_source source;
	_Atomic uint64_t *accepted; /* of the status: it counts these events, and no others */
	struct buf payload;
	struct batch *batch; /* what was put and is not handed over; NULL: nothing */
	uint64_t fed;        /* handed over, since the start */
};

void event_feed_init(struct event_feed *f, const struct leased_options *options,
		     enum record_source source, _Atomic uint64_t *accepted);
void event_feed_release(struct event_feed *f); /* what is not handed over is dropped */

/* at_ns: the time of its frame in the spool, by which the spool tells how old it is. */
NODISCARD enum err_kind event_feed_put(struct event_feed *f, const struct event *event,
				       int64_t at_ns, struct err *err);

/*
 * Until all that was put is accepted by the spool. Calls tick with arg meanwhile, however long
 * that takes, and gives up with what that fails with.
 */
NODISCARD enum err_kind event_feed_settle(struct event_feed *f,
					  enum err_kind (*tick)(void *arg, struct err *err),
					  void *arg, struct err *err);

#endif
