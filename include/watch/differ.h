#ifndef WATCH_DIFFER_H
#define WATCH_DIFFER_H

/*
 * differ: what is different between a snapshot and what Fly says now.
 *
 * A stale or partial answer must not look like a removal, so an item that an
 * answer lacks stays in the snapshot, marked as missing, and counts as removed
 * when the next answer lacks it, too. One that comes back was never gone.
 *
 * A change is a function of the snapshot and the answer alone: made again after a
 * crash, or by another replica, it has the same times.
 *
 * Ownership: items of a change are lent for the call.
 * Threads:   pure.
 * Errors:    as watch/listing.h, and whatever `take` says, which ends it.
 */

#include "watch/listing.h"

enum change_kind { CHANGE_ADDED, CHANGE_CHANGED, CHANGE_REMOVED };

struct change {
	enum change_kind kind;
	const struct item *item;           /* as it is now, or was before it was removed */
	const struct item *before, *after; /* NULL: there was, or is, none */
	/* It came about between these: the last answer before it, and the first after it. */
	int64_t from_ns, to_ns;
};

struct differ {
	enum err_kind (*take)(void *arg, const struct change *change, struct err *err);
	void *arg;
};

/*
 * A snapshot, or an answer: what there was, and when. It has ended. Fly may have looked at any time
 * while it answered, so that a snapshot is of when that began, and an answer of when it was there.
 */
struct dated {
	const struct listing *list;
	int64_t ns;
	bool part; /* of an answer: what it lacks is as it was */
};

/*
 * *ret, which is initialised and empty, becomes the snapshot that follows. Changes come in the
 * order of keys.
 */
NODISCARD enum err_kind differ_run(const struct differ *d, const struct dated *before,
				   const struct dated *now, struct listing *ret, struct err *err);

#endif
