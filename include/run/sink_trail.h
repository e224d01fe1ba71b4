#ifndef RUN_SINK_TRAIL_H
#define RUN_SINK_TRAIL_H

/*
 * sink_trail: what a forwarder puts on record about its sink.
 *
 *	trail.dead_lettered, trail.sink_missed   about records: the cursor moves past them when
 *	                                         sink_trail_await() says that it is on record
 *	trail.sink_proved                        about the place
 *	trail.sink_behind                        before records are missed, and when that will be
 *
 * Ownership: what is in the struct outlives it.
 * Threads:   the forwarder's. It waits for the pipeline's, which fetches facts, and the
 *            committer's, which makes them accepted.
 * Limits:    at SINK_BEHIND_PERCENT of what is kept for a sink it is behind, and at half of
 *            that it has caught up. Behind is told when sink_status_misses_ns() can say until
 *            when: at once, but of a burst when that is ten minutes old or has taken half of
 *            what is kept.
 */

#include "run/life.h"
#include "run/status.h"
#include "run/trail.h"

enum { SINK_BEHIND_PERCENT = 10 };

struct sink_trail {
	const char *sink; /* its name */
	struct trail *trail;
	struct spool *spool;
	struct life *life;
	struct sink_status *status;
	uint64_t told; /* so many facts the trail had been given when the newest of these was */
	bool behind_told;
};

void sink_trail_dead(struct sink_trail *t, uint64_t seq, const char *why);

/* Of the notifier: the event of which the receiver cannot be told; on_record: not by the log alone.
 */
void sink_trail_untold(struct sink_trail *t, const struct id *event, bool on_record,
		       const char *why);

/* What left the spool, or was damaged in it, before it was taken. */
void sink_trail_missed(struct sink_trail *t, const struct spool_damage *lost);

/* found: a JSON object. */
void sink_trail_proved(struct sink_trail *t, struct span found);

/* To be called now and then: how far the reader is behind, in the status and, once, as a fact. */
void sink_trail_look_behind(struct sink_trail *t, struct spool_reader *reader, uint64_t next_seq);

/* All that was told is accepted by the spool. False: it cannot be any more. */
NODISCARD bool sink_trail_await(struct sink_trail *t);

#endif
