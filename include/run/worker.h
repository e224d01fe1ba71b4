#ifndef RUN_WORKER_H
#define RUN_WORKER_H

/*
 * worker: the thread for long jobs: filling gaps and comparing with Fly's second
 * copy, of which only one replica at a time does any: who holds the lease
 * `recovery`.
 *
 * A lease promises little: a worker that was paused may think that it still has
 * it. So all of this may be done twice: ids make lines, facts and confirmations
 * one.
 *
 * It owns its connections to Postgres and to Fly, so that neither being away
 * stops anything else; why it waits is in status.worker_why and in the log.
 *
 * Ownership: the caller owns what the options name.
 * Threads:   worker_run() is one thread's.
 */

#include "base/config.h"
#include "base/queue.h"
#include "run/life.h"
#include "run/status.h"
#include "run/trail.h"

enum {
	WORKER_IDLE_MS = 1000,      /* between looks when there is nothing to do */
	WORKER_LEASE_SECONDS = 180, /* more than the longest request and wait */
	WORKER_RENEW_SECONDS = 15,
	WORKER_OTHER_MS = 15 * 1000,  /* while another replica holds the lease */
	WORKER_PARKED_MS = 60 * 1000, /* while the token is refused */
};

struct worker_options {
	const struct config *config;
	struct spool *spool;
	struct trail *trail;
	struct status *status;
	struct life *life;
	struct queue *pool, *filled;
	const char *replica;
};

/* Until life is DRAINING. */
void worker_run(const struct worker_options *options);

#endif
