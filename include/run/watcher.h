#ifndef RUN_WATCHER_H
#define RUN_WATCHER_H

/*
 * watcher: the thread that watches Fly's control plane (watch/watch.h), of which
 * only one replica at a time does it: who holds the lease `watch`.
 *
 * Its events go to the pipeline in batches of the source's pool, as lines do, so a
 * full spool makes it wait. After a look it waits WATCHER_PACE_MS for each request to Fly
 * that it took, or less where the full interval is short.
 *
 * While Postgres is away, who held the lease goes on from memory (run/watch_store.h); who
 * never loaded a snapshot waits, and tells what changed meanwhile when it is back.
 *
 * Ownership: the caller owns what the options name.
 * Threads:   watcher_run() is one thread's.
 */

#include "run/leased.h"

enum {
	WATCHER_PACE_MS = 250,
	/* Of the full interval: whoever wants a short one wants it to be kept. */
	WATCHER_PACE_SHARE = 240,
};

/* How long to wait after a look that took so many requests; a look without any waits, too. */
int64_t watcher_pace_ns(uint64_t full_seconds, uint64_t requests);

/* Until life is DRAINING. */
void watcher_run(const struct leased_options *options);

#endif
