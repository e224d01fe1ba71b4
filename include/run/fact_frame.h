#ifndef RUN_FACT_FRAME_H
#define RUN_FACT_FRAME_H

/*
 * fact_frame: a fact of the trail as a frame of a batch that did not come from the spool.
 *
 * It stands where what it is about was, under the last number of that, so that Postgres commits
 * it in the transaction that moves the cursor past it (run/consumer.h).
 *
 * Ownership: the caller's, all of it; the payload is in the batch.
 * Threads:   the hasher's.
 * Limits:    the batch's bytes. One frame more than it was made for is the caller's to have left.
 * Errors:    ERR_FULL where the bytes are too many; ERR_FATAL: no memory.
 */

#include "run/trail.h"

struct fact_frames {
	struct trail *trail;
	struct hasher *hasher;
};

/* Where the cursor is, and the mark of the record there; 0: not known. */
struct fact_place {
	uint64_t cursor, mark;
};

/* Its place in the batch is the caller's business. */
NODISCARD enum err_kind fact_frame_make(const struct fact_frames *f, struct spool_batch *b,
					const struct fact *fact, struct spool_frame *ret,
					struct err *err);

/*
 * Puts the fact before what came after it, and raises frames_max by one. One that is about no
 * record or about what is passed stands at the cursor, with the mark there: the cursor does not
 * go back for it, and stays that record's.
 */
NODISCARD enum err_kind fact_frame_put(const struct fact_frames *f, struct spool_batch *b,
				       const struct fact *fact, const struct fact_place *place,
				       struct err *err);

#endif
