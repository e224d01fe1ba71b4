#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

/*
 * histogram: how long something took, counted in fixed buckets.
 *
 * The bounds are the same for all of them, from half a millisecond (a sync of a
 * fast disk) to a minute (the longest wait for Postgres), so that two can be
 * laid side by side.
 *
 * Ownership: the caller owns the struct; one of zeros is empty. Nothing is allocated.
 * Threads:   any number add and read, without a lock. A reading's count is the sum
 *            of its buckets; its sum may be one addition ahead or behind.
 */

#include "base/util.h"

#include <stdatomic.h>

enum { HISTOGRAM_BOUNDS = 16 };

struct histogram {
	_Atomic uint64_t
		counts[HISTOGRAM_BOUNDS + 1]; /* by bucket; the last is beyond all bounds */
	_Atomic uint64_t sum_ns;
};

/* At most so long, the bound included. */
extern const int64_t histogram_bounds_ns[HISTOGRAM_BOUNDS];

/* A negative time, which only a broken clock gives, counts as 0. */
void histogram_add(struct histogram *h, int64_t ns);

struct histogram_reading {
	uint64_t up_to[HISTOGRAM_BOUNDS]; /* so many took at most histogram_bounds_ns[i] */
	uint64_t count;
	uint64_t sum_ns;
};

void histogram_read(const struct histogram *h, struct histogram_reading *ret);

#endif
