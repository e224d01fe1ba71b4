#ifndef RUN_LIFECYCLE_H
#define RUN_LIFECYCLE_H

/*
 * lifecycle: starts the threads of `flytrail run` in order and ends them in order.
 *
 *	start   spool, committer, pipeline, source, consumer, forwarders, housekeeper, worker,
 *	        watcher
 *	end     source closed, batches accepted, trail.stopped, the drain time of the consumer and
 *	        the forwarders, spool closed
 *
 * SIGTERM and SIGINT begin the end; the second one, and the end of the drain
 * time, end it at once: what is accepted is safe in the spool. Input that ends
 * by itself has no drain time: it ends when all is stored and forwarded.
 *
 * Threads: lifecycle_run() in the main thread, after process_harden().
 */

#include "base/config.h"
#include "run/status.h"
#include "source/source.h"

enum { LIFECYCLE_LEAVE_SECONDS = 3 };

enum { RUN_DONE = 0, RUN_FAILED = 1, RUN_CONFIG = 2 }; /* exit statuses */

struct run_options {
	const struct config *config;
	struct status *status;
	bool live; /* the source's lines come for ever; it is told when the spool had it last */
	/*
	 * Makes the source; last_live_ns: see run/last_live.h. ending is set when the drain begins:
	 * what the source waits for then is given up.
	 */
	enum err_kind (*open_source)(void *arg, int64_t last_live_ns, const _Atomic bool *ending,
				     struct source *ret, struct err *err);
	void *arg;
	struct span app;             /* for lines that name none; may be empty */
	void (*progress)(void *arg); /* called now and then while finite input is read; or NULL */
};

/* Returns the exit status when all has ended; logs why. */
int lifecycle_run(const struct run_options *options);

#endif
