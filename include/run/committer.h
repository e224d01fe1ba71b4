#ifndef RUN_COMMITTER_H
#define RUN_COMMITTER_H

/*
 * committer: the thread that makes records accepted: spool_commit() in a loop.
 *
 * It ends by itself when everything is synced after spool_end_appends(), or
 * when the disk fails for good: then fatal() is called once, from its thread,
 * and the process is to end in order.
 *
 * Ownership: the caller owns the handle; the spool must outlive it.
 * Threads:   one, of its own.
 * Errors:    what can be tried again is logged and tried again.
 */

#include "spool/spool.h"

struct committer;

struct committer_options {
	struct spool *spool;
	void (*fatal)(void *arg, const struct err *why);
	void *arg;
};

NODISCARD enum err_kind committer_start(struct committer **ret,
					const struct committer_options *options, struct err *err);

/* Ends the appends, waits until the rest is synced, frees. NULL is fine. */
void committer_stop(struct committer *c);

#endif
