#ifndef STORE_ARCHIVED_RANGES_H
#define STORE_ARCHIVED_RANGES_H

/*
 * archived_ranges: numbers of streams, by class and time, for Postgres to compare its rows with.
 *
 * Ranges of one class, stream and time that follow on each other are kept as one, so that what a
 * stream delivers by the minute is a range for each hour.
 *
 * Ownership: one that is all zeros is empty; archived_ranges_release() frees what it has. class is
 *            kept as it is: a constant.
 * Threads:   one.
 * Limits:    ARCHIVED_RANGES_MAX, after those that touch are one.
 * Errors:    ERR_FULL: the limit, or the buffer's. ERR_FATAL: no memory.
 */

#include "base/buf.h"
#include "model/id.h"

#include <stdint.h>

enum {
	ARCHIVED_RANGES_MAX = 500 * 1000,
	ARCHIVED_JSON_BYTES_MAX = 64 * 1024 * 1024,
};

struct archived_range {
	const char *class;
	struct id stream;
	int64_t from_ns;
	uint64_t first_seq, last_seq;
};

struct archived_ranges {
	struct archived_range *items;
	size_t count, room;
	size_t merged; /* count, when there was last nothing to become one */
};

void archived_ranges_release(struct archived_ranges *r);

NODISCARD enum err_kind archived_ranges_add(struct archived_ranges *r,
					    const struct archived_range *range, struct err *err);

/* Into json, emptied before: [[STREAM, FROM, FIRST, LAST], ...] of those of the class with from_ns
 * in that time (until is not in it). Numbers that a bigint does not hold are its last. */
NODISCARD enum err_kind archived_ranges_write(struct archived_ranges *r, const char *class,
					      int64_t since_ns, int64_t until_ns, struct buf *json,
					      struct err *err);

#endif
