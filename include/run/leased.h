#ifndef RUN_LEASED_H
#define RUN_LEASED_H

/*
 * leased: what the threads share whose work only one replica at a time does, by a
 * lease in Postgres (store/lease.h): the worker and the watcher.
 *
 * Ownership: the caller owns what the options name.
 */

#include "base/config.h"
#include "base/queue.h"
#include "run/life.h"
#include "run/status.h"
#include "run/trail.h"

enum {
	LEASED_SECONDS = 180, /* more than the longest request and wait */
	LEASED_RENEW_SECONDS = 15,
	LEASED_IDLE_MS = 1000,        /* between looks when there is nothing to do */
	LEASED_OTHER_MS = 15 * 1000,  /* while another replica holds the lease */
	LEASED_PARKED_MS = 60 * 1000, /* while the token is refused */
};

struct leased_options {
	const struct config *config;
	struct spool *spool;
	struct trail *trail;
	struct status *status;
	struct life *life;
	struct queue *pool, *filled; /* of batches: where free ones are, and to the pipeline */
	const char *replica;
	struct span store_app; /* of Fly's, which has Postgres; may be empty */
};

#endif
