#ifndef WATCH_WATCH_H
#define WATCH_WATCH_H

/*
 * watch: looks at Fly's control plane again and again, and turns what differs
 * into events.
 *
 *	poll a resource -> compare with its snapshot (watch/differ.h)
 *	                -> an event for each change, to the spool
 *	                -> when they are accepted: the new snapshot
 *
 * So a crash anywhere makes the same differences again, and the same ids and times,
 * which are the snapshot's or Fly's own. The first snapshot of a
 * resource is a single event, trail.baseline: nobody knows since when there is
 * what it lists; a crash before it is saved makes it two. Of an application that comes later
 *everything is new.
 *
 * The list of applications says which others there are to look at. One that Fly
 * cannot show is tried again after WATCH_RETRY_SECONDS, and holds up no other.
 *
 * Ownership: the caller owns the handle and all that the options name.
 * Threads:   one, the watcher's.
 * Limits:    WATCH_JOBS_MAX resources of all applications together.
 * Errors:    ERR_RETRY: the snapshots or the spool are away; what was done stands.
 *            ERR_CONFIG: the token is refused. ERR_FULL: the program is ending.
 *            ERR_FATAL: no memory.
 */

#include "watch/resource.h"

enum { WATCH_JOBS_MAX = 8192, WATCH_RETRY_SECONDS = 60 };

struct watch_snapshot {
	struct buf *content; /* it is appended here */
	int64_t taken_ns;
	bool found; /* there is one */
};

/* Where snapshots are kept and events go: run's. */
struct watch_ops {
	enum err_kind (*load)(void *arg, const char *resource, const char *scope,
			      struct watch_snapshot *ret, struct err *err);
	/* Replaces it, unless that one is newer. */
	enum err_kind (*save)(void *arg, const char *resource, const char *scope,
			      struct span content, int64_t taken_ns, struct err *err);
	enum err_kind (*tell)(void *arg, const struct event *event, struct err *err);
	/* Until all that was told is accepted by the spool. */
	enum err_kind (*settle)(void *arg, struct err *err);
};

struct watch;

struct watch_options {
	struct watch_api *api;
	const struct watch_ops *ops;
	void *arg;
	struct span org, own_app; /* as configured; what touches own_app has the highest severity */
	int64_t full_ns;          /* everything is looked at once in this time */
};

NODISCARD enum err_kind watch_new(struct watch **ret, const struct watch_options *options,
				  struct err *err);
void watch_free(struct watch *w); /* NULL is fine */

/* Another replica may have gone on: snapshots are loaded again. */
void watch_forget(struct watch *w);

struct watch_step {
	bool polled;     /* something was due */
	bool not_shown;  /* and Fly could not show it, for the reason in err; it is due again */
	int64_t wait_ns; /* else: how long nothing is due */
};

/* Polls what is due first. */
NODISCARD enum err_kind watch_step(struct watch *w, struct watch_step *ret, struct err *err);

#endif
