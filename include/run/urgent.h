#ifndef RUN_URGENT_H
#define RUN_URGENT_H

/*
 * urgent: windows that are to be compared before all others, in order; each when
 * it is over for long enough.
 *
 * Threads: one, the worker's.
 * Limits:  URGENT_MAX wait; beyond, the oldest gives way.
 */

#include "source/logs_api.h"

enum { URGENT_MAX = 256 };

struct urgent {
	char app[LOGS_API_APP_BYTES];
	int64_t from_ns, to_ns;
};

struct urgents {
	struct urgent list[URGENT_MAX];
	size_t first, count;
};

void urgent_push(struct urgents *u, const char *app, int64_t from_ns, int64_t to_ns);

/* Takes the first that ends at latest_ns or before. False: there is none. */
bool urgent_take(struct urgents *u, int64_t latest_ns, struct urgent *ret);

#endif
