#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H

/*
 * watch: looks at Fly's control plane again and again, and turns what differs
 * into events.
 *
 *	look at a resource -> compare with its snapshot (watch/differ.h)
 *	                   -> an event for each change, to the spool (watch/tell.h)
 *	                   -> when they are accepted: the new snapshot
 *
 * So a crash anywhere makes the same differences again, and the same ids and times,
 * which are the snapshot's or Fly's own. The first snapshot of a resource is a single
 * event, trail.baseline: nobody knows since when there is what it lists; a crash
 * before it is saved makes it two. Of an application, or another thing, that comes
 * later everything is new.
 *
 * Everything is looked at once in full_ns (or each so-many-th time: `every`), what is
 * cheap in part each WATCH_QUICK_SECONDS, and what a change stirs at once. What Fly
 * cannot show is tried again after WATCH_RETRY_SECONDS, and holds up nothing else;
 * what Fly refuses WATCH_REFUSALS_MAX times in a row, or answers with what cannot be
 * read or kept, is unobserved, which is on record, and tried again once in full_ns.
 * So is a list of which so often something cannot be read: what comes and changes is
 * told, and nothing goes.
 *
 * Ownership: the caller owns the handle and all that the options name.
 * Threads:   one, the watcher's.
 * Limits:    as watch/jobs.h.
 * Errors:    ERR_RETRY: the snapshots or the spool are away; what was done stands.
 *            ERR_FULL: the program is ending. ERR_FATAL: no memory.
 */

#include "watch/jobs.h"

enum {
	WATCH_QUICK_SECONDS = 15,
	WATCH_RETRY_SECONDS = 60,
	WATCH_REFUSALS_MAX = 3,
	WATCH_FAILURES_MAX = 10,  /* of what was never seen, and is not even refused */
	WATCH_AWAY_INTERVALS = 3, /* without a look, which is on record when there is one again */
	WATCH_AWAY_SECONDS_MIN = 900,
};

struct watch_snapshot {
	struct buf *content; /* it is appended here */
	int64_t taken_ns;
	bool found;      /* there is one */
	bool unobserved; /* and it could not be looked at since */
};

/* Where snapshots are kept and events go: run's. */
struct watch_ops {
	enum err_kind (*load)(void *arg, const char *resource, const char *scope,
			      struct watch_snapshot *ret, struct err *err);
	/* Replaces it, unless that one is newer; what could not be looked at can be again. */
	enum err_kind (*save)(void *arg, const char *resource, const char *scope,
			      struct span content, int64_t taken_ns, struct err *err);
	/* It cannot be looked at, for the reason why. */
	enum err_kind (*unobserve)(void *arg, const char *resource, const char *scope,
				   const char *why, struct err *err);
	enum err_kind (*tell)(void *arg, const struct event *event, struct err *err);
	/* Until all that was told is accepted by the spool. */
	enum err_kind (*settle)(void *arg, struct err *err);
};

struct watch;

struct watch_options {
	struct watch_api *api;
	const struct watch_ops *ops;
	void *arg;
	struct span org, own_app, store_app; /* what touches an application of the last two has the
						highest severity */
	int64_t full_ns;
};

NODISCARD enum err_kind watch_new(struct watch **ret, const struct watch_options *options,
				  struct err *err);
void watch_free(struct watch *w); /* NULL is fine */

/* Another replica may have gone on: snapshots are loaded again. */
void watch_forget(struct watch *w);

struct watch_step {
	bool polled;    /* something was due */
	bool not_shown; /* and Fly could not show it, for the reason in err; it is due again */
	bool refused;   /* it was refused */
	bool blind; /* and that was the list of applications, which the token may not read either */
	size_t unobserved; /* what cannot be looked at, all told */
	int64_t wait_ns;   /* else: how long nothing is due */
};

/* Looks at what is due first. */
NODISCARD enum err_kind watch_step(struct watch *w, struct watch_step *ret, struct err *err);

#endif
