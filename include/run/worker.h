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

#include "run/leased.h"

/* Until life is DRAINING. */
void worker_run(const struct leased_options *options);

#endif
