#ifndef SERVE_LOOK_H
#define SERVE_LOOK_H

/*
 * look: one look at struct status, with the clock beside it, so that all that one
 * page says is of one moment; and what follows from it by arithmetic.
 *
 * Threads: any; it takes the lock `status` for as long as the spool is asked.
 */

#include "run/status.h"

struct look {
	struct status *status;
	uint64_t heartbeat_seconds; /* as configured */
	bool by_http;               /* lines come without the log stream, which has heartbeats */
	int64_t now_ns, monotonic_ns;
	bool spool_open;
	struct spool_stats spool; /* zeros while it is not open */
};

void look_take(struct look *ret, struct status *status, uint64_t heartbeat_seconds, bool by_http);

/* How long ago that was; a time to come, by a clock that went back, is now. */
int64_t look_age_ns(const struct look *l, int64_t then_ns);

/* Age of the oldest record that is accepted and not stored; 0: all is stored. */
int64_t look_lag_ns(const struct look *l);

/*
 * Records that are accepted and not stored. What an earlier process left counts from when
 * Postgres has said what it has.
 */
uint64_t look_records_left(const struct look *l);

/* How much of the spool's room is held by what is not stored, rounded up. */
uint64_t look_spool_percent(const struct look *l);

enum { LOOK_AGE_BYTES = 32 };

/* "12.3 s", "5 min 3 s", "3 h 12 min" or "2 d 5 h". Returns text. */
const char *look_age_text(int64_t age_ns, char text[LOOK_AGE_BYTES]);

#endif
