#ifndef RUN_PACE_H
#define RUN_PACE_H

/*
 * pace: so many a minute at most, whichever minute it is, and a second at least between two.
 *
 * Threads: none shared.
 * Limits:  a minute's are remembered, PACE_PER_MINUTE_MAX of them. A restart forgets.
 */

#include "base/util.h"

enum { PACE_PER_MINUTE_MAX = 60 };

struct pace {
	unsigned per_minute;                  /* 1 to PACE_PER_MINUTE_MAX */
	int64_t last_ns[PACE_PER_MINUTE_MAX]; /* on the monotonic clock, in a ring; 0: none yet */
	unsigned next;
};

/* How long the next one has to wait; 0: it may come now. */
int64_t pace_wait_ns(const struct pace *p, int64_t now_ns);

/* One came. */
void pace_note(struct pace *p, int64_t now_ns);

#endif
