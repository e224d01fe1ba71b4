#ifndef BASE_TIME_H
#define BASE_TIME_H

/*
 * time: nanoseconds since 1970-01-01T00:00:00Z as int64_t, and RFC 3339.
 *
 * Threads: pure functions, but for the two clocks.
 * Limits:  years 1678 to 2262, what an int64_t of nanoseconds holds.
 */

#include "base/span.h"
#include "base/util.h"

enum { TIME_TEXT_BYTES = 31 }; /* "2262-04-11T23:47:16.854775807Z" and a NUL */

int64_t time_now_ns(void);       /* the wall clock, UTC */
int64_t time_monotonic_ns(void); /* for waits and ages: never steps */

static inline int64_t time_earlier(int64_t a_ns, int64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

static inline int64_t time_later(int64_t a_ns, int64_t b_ns)
{
	return a_ns > b_ns ? a_ns : b_ns;
}

/*
 * Reads RFC 3339: `T` or a space between date and time, any number of fraction
 * digits (past nine they are cut), `Z` or an offset. Where zone_optional, a time
 * without zone is UTC (copies from Fly's dashboard have none). Sets *ret_digits
 * to the fraction digits seen. False: not such a time, or out of range.
 */
NODISCARD bool time_parse(struct span text, bool zone_optional, int64_t *ret_ns,
			  unsigned *ret_digits);

/* Writes RFC 3339 with 9 fraction digits and `Z`, and a NUL. Returns text. */
const char *time_format(int64_t ns, char text[TIME_TEXT_BYTES]);

#endif
