#ifndef RUN_LEASED_JOBS_H
#define RUN_LEASED_JOBS_H

/*
 * leased_jobs: a thread for each work that only one replica at a time does: filling gaps and
 * comparing (run/worker.h), watching (run/watcher.h), retention (run/retainer.h), where there is
 * a sink, passing on what is in Postgres alone (run/mirror.h), and, where somebody is to be told,
 * that (run/notifier.h).
 *
 * Ownership: leased_jobs_start() copies the options; the caller owns what they name.
 * Threads:   main's. When all of them have ended, life's jobs_done is set.
 * Errors:    ERR_FATAL: no memory, or no thread.
 */

#include "run/leased.h"

struct leased_jobs;

/* *ret is set also where it fails when some of them run. */
NODISCARD enum err_kind leased_jobs_start(struct leased_jobs **ret,
					  const struct leased_options *options, struct err *err);

/* Joins them: to be called when life's jobs_done is set, or will be. NULL is fine. */
void leased_jobs_free(struct leased_jobs *j);

#endif
