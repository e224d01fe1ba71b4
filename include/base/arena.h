#ifndef BASE_ARENA_H
#define BASE_ARENA_H

/*
 * arena: scratch memory for one batch, given back all at once.
 *
 * What a stage makes while it works on a record (a redacted message, a form
 * without ANSI colours) lives here until the batch is encoded. Pointers stay
 * valid until arena_reset(), unlike those into a growing buf.
 *
 * Ownership: the arena owns its blocks and lends what it hands out.
 * Threads:   none; one owner at a time.
 * Limits:    max bytes, given at init; past them, and out of memory,
 *            arena_alloc() returns NULL and the caller does without.
 */

#include "base/span.h"
#include "base/util.h"

struct arena_block;

struct arena {
	struct arena_block *blocks; /* the one being filled first */
	size_t used;                /* bytes in all blocks */
	size_t max;
};

void arena_init(struct arena *a, size_t max);
void arena_release(struct arena *a);
void arena_reset(struct arena *a); /* keeps one block of ordinary size */

/* len bytes, 8-aligned, not cleared; or NULL. */
NODISCARD void *arena_alloc(struct arena *a, size_t len);

/* Gives back the tail of the newest allocation: it keeps its first used bytes. */
void arena_shrink(struct arena *a, void *newest, size_t len, size_t used);

/* A copy of s; its data is NULL when there is no room. */
NODISCARD struct span arena_copy(struct arena *a, struct span s);

#endif
