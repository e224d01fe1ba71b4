#ifndef RUN_INTAKE_H
#define RUN_INTAKE_H

/*
 * intake: the thread of one source: a batch from the pool, filled, to the pipeline.
 *
 * No batch in the pool is the back-pressure: then nothing is read.
 *
 * Ownership: the caller owns everything; the intake passes batches on.
 * Threads:   intake_run() is the source's thread.
 * Errors:    a source that fails ends the process, by life_fail().
 */

#include "base/queue.h"
#include "run/life.h"
#include "run/status.h"
#include "source/source.h"

struct intake {
	struct source source; /* ops NULL: not open */
	struct queue *pool, *filled;
	struct status *status;
	struct life *life;
	_Atomic bool close; /* set by main: read no more */
	uint64_t
		lost_told; /* the source's thread's: of the drops that go on, so many are counted */
};

enum { INTAKE_BATCHES = 4 };

/* Makes both queues, and the batches of the pool. */
NODISCARD enum err_kind intake_make_batches(struct intake *in, struct err *err);
void intake_free_batches(struct intake *in); /* also what was made in part */

/* Until the source has ended or close is set; then closes the queue `filled`. */
void intake_run(struct intake *in);

#endif
