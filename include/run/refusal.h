#ifndef RUN_REFUSAL_H
#define RUN_REFUSAL_H

/*
 * refusal: whether Postgres refuses a record, or everything.
 *
 * A code that store/sqlstate.c does not know (XX000, or P0001 of somebody's
 * trigger) may be about either, so the batch is tried again at first, with the
 * consumer's back-off. One that was refused so REFUSAL_ATTEMPTS times in a row is
 * doubted: from then on it is halved as for ERR_REJECT, down to the record that is
 * refused.
 *
 * That one is at fault only if the server takes another one at that very moment:
 * one that has rows for the same tables. So others of the batch are tried, one at
 * a time and rolled back: of those behind it the REFUSAL_NEAR nearest and then the
 * 16th, 32nd, 64th, ..., likewise of those before it. While none is taken, all are
 * tried again: a server that refuses everything gets everything later, and nothing
 * is thrown out of the queue for it.
 *
 * Threads: the consumer's.
 */

#include "store/postgres.h"

enum { REFUSAL_ATTEMPTS = 4, REFUSAL_NEAR = 8 };

struct refusal {
	uint64_t after_seq; /* the cursor before the batch */
	unsigned count;     /* of refusals in a row */
};

/* A write of what follows after_seq failed for now; unknown: with an unknown code. */
void refusal_note(struct refusal *r, uint64_t after_seq, bool unknown);

/* Some of the batch is stored, or, done, all of it; the rest of it is as doubtful as before. */
void refusal_moved(struct refusal *r, uint64_t after_seq, bool done);

bool refusal_doubts(const struct refusal *r, uint64_t after_seq);

/*
 * The record idx is refused alone, for what *err says. ERR_NONE: it is at fault. ERR_RETRY: no
 * other is taken either. Else: what a trial failed with.
 */
NODISCARD enum err_kind refusal_prove(struct store *store, const struct spool_batch *batch,
				      size_t idx, struct err *err);

#endif
