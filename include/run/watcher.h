#ifndef RUN_WATCHER_H
#define RUN_WATCHER_H

/*
 * watcher: the thread that watches Fly's control plane (watch/watch.h), of which
 * only one replica at a time does it: who holds the lease `watch`.
 *
 * Its events go to the pipeline in batches of the source's pool, as lines do, so a
 * full spool makes it wait. Between two requests to Fly it waits WATCHER_PACE_MS.
 *
 * Without Postgres it waits: what changed meanwhile is told when it is back, from the
 * snapshot that is there.
 *
 * Ownership: the caller owns what the options name.
 * Threads:   watcher_run() is one thread's.
 */

#include "base/config.h"
#include "base/queue.h"
#include "run/life.h"
#include "run/status.h"
#include "spool/spool.h"

enum {
	WATCHER_PACE_MS = 250,
	WATCHER_IDLE_MS = 1000,
	WATCHER_LEASE_SECONDS = 180, /* more than the longest request and wait */
	WATCHER_RENEW_SECONDS = 15,
	WATCHER_OTHER_MS = 15 * 1000,  /* while another replica holds the lease */
	WATCHER_PARKED_MS = 60 * 1000, /* while the token is refused */
};

struct watcher_options {
	const struct config *config;
	struct spool *spool;
	struct status *status;
	struct life *life;
	struct queue *pool, *filled;
	const char *replica;
};

/* Until life is DRAINING. */
void watcher_run(const struct watcher_options *options);

#endif
