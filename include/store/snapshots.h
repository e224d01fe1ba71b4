#ifndef STORE_SNAPSHOTS_H
#define STORE_SNAPSHOTS_H

/*
 * snapshots: the newest state of Fly's control plane that was seen, a row for
 * each resource and scope, on a connection of its own; and the lease of who may
 * look.
 *
 * A lease promises little (store/lease.h), so a row is only replaced by a newer
 * one: who was paused and still thinks that it may, changes nothing.
 *
 * Ownership: snapshots_open() makes it, snapshots_close() ends it.
 * Threads:   one.
 * Errors:    the session's (store/session.h); after ERR_RETRY it is of no use.
 */

#include "base/buf.h"
#include "spool/spool.h"

struct snapshots;

struct snapshots_options {
	const char *url;
	const char *replica; /* who this is, for the lease */
	struct spool_stream stream;
};

NODISCARD enum err_kind snapshots_open(struct snapshots **ret,
				       const struct snapshots_options *options, struct err *err);
void snapshots_close(struct snapshots *s); /* NULL is fine; the lease is given back */
void snapshots_drop(struct snapshots *s);  /* likewise, and the lease stays until it expires */

NODISCARD enum err_kind snapshots_take_lease(struct snapshots *s, int seconds, bool *ret_mine,
					     struct err *err);

struct snapshot {
	bool found;
	bool unobserved; /* it cannot be looked at */
	int64_t taken_ns;
};

/* Appends the snapshot to content. */
NODISCARD enum err_kind snapshots_load(struct snapshots *s, const char *resource, const char *scope,
				       struct buf *content, struct snapshot *ret, struct err *err);

/* content: a JSON object. Changes nothing where there is a newer one. */
NODISCARD enum err_kind snapshots_save(struct snapshots *s, const char *resource, const char *scope,
				       struct span content, int64_t taken_ns, struct err *err);

/* It cannot be looked at, for the reason why, until one is saved. */
NODISCARD enum err_kind snapshots_unobserve(struct snapshots *s, const char *resource,
					    const char *scope, const char *why, struct err *err);

#endif
