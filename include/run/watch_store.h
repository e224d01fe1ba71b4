#ifndef RUN_WATCH_STORE_H
#define RUN_WATCH_STORE_H

/*
 * watch_store: where the snapshots of watching are, and the lease of who watches:
 * in Postgres; and while that is away, for who held the lease when it went, in
 * files beside the spool (store/kept.h), so that watching goes on from memory.
 *
 * When Postgres is back, the files go there first, unless it has newer ones; then
 * the lease is asked for. Who did not hold it and saw another do so leaves that one
 * the time for it. A replica that can reach Postgres while the one that watches
 * cannot takes over when the lease has expired: then both look for a while, and a
 * change that Fly gives no time for may be told by both.
 *
 * Ownership: watch_store_new() copies nothing: what the options name must live.
 * Threads:   one, the watcher's.
 * Errors:    ERR_RETRY: it may not be looked at now, or what is asked for is in Postgres
 *            alone, which is away; ERR_CONFIG: Postgres refuses. ERR_FATAL: no memory,
 *            or a disk that cannot be trusted.
 */

#include "spool/spool.h"
#include "watch/watch.h"

struct watch_store;

struct watch_store_options {
	const char *url;     /* of Postgres */
	const char *replica; /* who this is, for the lease */
	struct spool_stream stream;
	const char *spool_folder;
};

NODISCARD enum err_kind watch_store_new(struct watch_store **ret,
					const struct watch_store_options *options, struct err *err);
void watch_store_free(struct watch_store *s); /* NULL is fine; the lease is given back */

/* Whether this one may look now. *ret_anew: another may have, so all is to be loaded again. */
NODISCARD enum err_kind watch_store_hold(struct watch_store *s, bool *ret_anew, struct err *err);

/* Of the newest watch_store_hold(): another replica has the lease, or goes first. */
bool watch_store_is_others(const struct watch_store *s);

/* Why Postgres is away while this one goes on without it; NULL: it does not. */
const char *watch_store_away(const struct watch_store *s);

uint64_t watch_store_damaged(const struct watch_store *s); /* files that were no snapshots */

/* As struct watch_ops of watch/watch.h wants them. */
NODISCARD enum err_kind watch_store_load(struct watch_store *s, const char *resource,
					 const char *scope, struct watch_snapshot *ret,
					 struct err *err);
NODISCARD enum err_kind watch_store_save(struct watch_store *s, const char *resource,
					 const char *scope, struct span content, int64_t taken_ns,
					 struct err *err);
NODISCARD enum err_kind watch_store_unobserve(struct watch_store *s, const char *resource,
					      const char *scope, const char *why, struct err *err);

#endif
