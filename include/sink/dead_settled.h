#ifndef SINK_DEAD_SETTLED_H
#define SINK_DEAD_SETTLED_H

/*
 * dead_settled: which dead letters of a sink are dealt with, and how.
 *
 * `flytrail run` may be adding to the letters, so what a command settles stands in a file of
 * its own: NDJSON lines {"time","stream","epoch","seq","end","why"}, each synced before the
 * command says that it is done. Who settles holds a lock, so of two commands one works.
 *
 * What is settled is so for the letters of its key that were written before: where the record is
 * refused again later, as after a rewind, that is a letter nobody has dealt with. So a settlement
 * has the time of its letter, where a clock that went wrong between puts that behind its own.
 *
 * `run` clears, when it opens its letters and when they are full: what is settled goes out of
 * the file of letters, which is put in place whole, and then the settled ones' own file goes.
 * A crash between the two leaves lines there about letters that are gone, which mean nothing.
 * While a command holds the lock nothing is cleared.
 *
 * Ownership: the caller owns the handle; dead_settled_close() gives the lock back.
 * Threads:   one handle, one thread.
 * Limits:    DEAD_FILE_BYTES_MAX; beyond it ERR_FULL: restart `run`, which clears.
 * Errors:    those of base/file.h; ERR_CONFIG: another command has the lock.
 */

#include "sink/dead_file.h"

enum { DEAD_WHY_BYTES_MAX = 512 };

enum dead_end { DEAD_RETRIED, DEAD_DROPPED };

struct dead_settled;

NODISCARD enum err_kind dead_settled_open(struct dead_settled **ret, const char *folder,
					  const char *sink, struct err *err);
void dead_settled_close(struct dead_settled *s); /* NULL is fine */
/* written_ns is when the letter was written, by a clock that may have been ahead of this one. */
NODISCARD enum err_kind dead_settled_add(struct dead_settled *s, const struct dead_key *key,
					 int64_t written_ns, enum dead_end end, const char *why,
					 struct err *err);

/* All that is settled, in the order of keys, and then of time. */
struct dead_keys {
	struct dead_settlement {
		struct dead_key key;
		int64_t time_ns;
	} * keys;
	size_t count, room;
};

NODISCARD enum err_kind dead_keys_read(struct dead_keys *ret, const char *folder, const char *sink,
				       struct err *err);
void dead_keys_release(struct dead_keys *k); /* one of zeros is fine */
/* Whether a letter of this key that was written then is settled. */
bool dead_keys_have(const struct dead_keys *k, const struct dead_key *key, int64_t written_ns);

/* For who adds letters alone, with their file closed. *ret_cleared: some went. */
NODISCARD enum err_kind dead_settled_clear(const char *folder, const char *sink, bool *ret_cleared,
					   struct err *err);

#endif
