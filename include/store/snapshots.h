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

NODISCARD enum err_kind snapshots_take_lease(struct snapshots *s, int seconds, bool *ret_mine,
					     struct err *err);

/* Appends the snapshot to ret. *ret_taken_ns: when it was taken; INT64_MIN: there is none. */
NODISCARD enum err_kind snapshots_load(struct snapshots *s, const char *resource, const char *scope,
				       struct buf *ret, int64_t *ret_taken_ns, struct err *err);

/* content: a JSON object. Changes nothing where there is one of the same time or a newer. */
NODISCARD enum err_kind snapshots_save(struct snapshots *s, const char *resource, const char *scope,
				       struct span content, int64_t taken_ns, struct err *err);

#endif
