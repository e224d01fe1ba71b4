#ifndef STORE_KEPT_H
#define STORE_KEPT_H

/*
 * kept: the snapshots that could not be put into Postgres, each as a file in the
 * folder `snapshots` of the spool's, until they can be.
 *
 * A file is put in place whole, and synced: after a crash it is the old or the new.
 * Its name is made of whose snapshot it is. One that is damaged, or is not what its
 * name says, is none, and is removed, as is one that somebody removed; files of other names
 * are nobody's here.
 *
 * Ownership: kept_open() makes it, kept_close() ends it; the files stay. What it gives is lent
 *            until its next call.
 * Threads:   one.
 * Limits:    KEPT_FILES_MAX files, KEPT_BYTES_MAX of all together.
 * Errors:    ERR_RETRY: no room, here or on the disk; or the disk fails. ERR_FATAL: as
 *            base/file.h, no memory, and a folder that cannot be read at the start.
 */

#include "base/buf.h"

#include <stdint.h>

enum { KEPT_FILES_MAX = 16384, KEPT_BYTES_MAX = 32 * 1024 * 1024 };

struct kept;

struct kept_snapshot {
	const char *resource, *scope; /* whose it is */
	bool found;                   /* there is one, and not only `why` */
	int64_t taken_ns;
	struct span content;
	const char *why; /* it could not be looked at since; "": it could */
};

NODISCARD enum err_kind kept_open(struct kept **ret, const char *spool_folder, struct err *err);
void kept_close(struct kept *k); /* NULL is fine */

size_t kept_count(const struct kept *k);
bool kept_has_room(
	const struct kept *k); /* false: one could not be put, and none was taken since */
uint64_t kept_damaged(const struct kept *k); /* files that were removed for that */

/* Replaces the one that there is of the same. */
NODISCARD enum err_kind kept_put(struct kept *k, const struct kept_snapshot *s, struct err *err);

/* ret->found false and ret->why "": there is none. */
NODISCARD enum err_kind kept_get(struct kept *k, const char *resource, const char *scope,
				 struct kept_snapshot *ret, struct err *err);

struct kept_taker {
	enum err_kind (*take)(void *arg, const struct kept_snapshot *s, struct err *err);
	void *arg;
};

/* Gives each to `to`, in no order, and removes it then; whatever error that says ends it. */
NODISCARD enum err_kind kept_hand_over(struct kept *k, const struct kept_taker *to,
				       struct err *err);

#endif
