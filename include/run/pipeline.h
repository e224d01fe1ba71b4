#ifndef RUN_PIPELINE_H
#define RUN_PIPELINE_H

/*
 * pipeline: the one thread that makes records of raw lines and appends them.
 *
 *	batch -> for each gap a fact of the trail
 *	      -> for each line: the stages, encode -> spool
 *	      -> for each time that the source vouches for a fact of the trail
 *
 * It is the only appender, so it fetches other threads' facts from the trail's
 * mailbox, too. When the spool is full it waits for room with the batch in its
 * hands; the pool of batches runs empty, and that stops the source. One that
 * keeps nothing loses lines by that, so it is a gap on record, GAP_MARGIN_NS
 * wider on both sides; a spool that is full again within that margin is one gap,
 * not two. From one that keeps what it has, it is read later.
 *
 * What the source vouches for (struct listened) becomes a fact behind the batch's lines, without
 * the times at which the spool was full: where the fact is stored, those lines are.
 *
 * Ownership: the caller owns the handle and all that the options name.
 * Threads:   one calls pipeline_run(), or a test the other functions.
 * Limits:    those of stage/stages.h, and one payload at a time.
 * Errors:    ERR_FULL: `cut` was set while the spool was full; what is in the
 *            batch was not accepted. ERR_FATAL: memory, or the spool failed.
 */

#include "base/queue.h"
#include "model/batch.h"
#include "run/life.h"
#include "run/status.h"
#include "run/trail.h"
#include "spool/spool.h"

struct pipeline;

struct pipeline_options {
	struct spool *spool;
	struct trail *trail;
	struct status *status;
	struct life *life;     /* cut ends a wait for room */
	struct queue *filled;  /* of struct batch *, from the source */
	struct queue *pool;    /* where empty batches go back to */
	struct span org;       /* as configured; may be empty */
	struct span app;       /* for lines that name none; may be empty */
	struct span own_app;   /* flytrail's: what it prints is app_log; may be empty */
	struct span store_app; /* its Postgres's; may be empty */
	bool keeps;            /* the source loses nothing while the spool is full */
};

NODISCARD enum err_kind pipeline_new(struct pipeline **ret, const struct pipeline_options *options,
				     struct err *err);
void pipeline_free(struct pipeline *p); /* NULL is fine */

/* All that is in the batch, gaps first. The batch's bytes are changed; it is not reset. */
NODISCARD enum err_kind pipeline_take(struct pipeline *p, struct batch *batch, struct err *err);

/* The facts in the trail's mailbox. ERR_FULL: the rest stays there, the reserve is used up. */
NODISCARD enum err_kind pipeline_take_facts(struct pipeline *p, struct err *err);

/* Until the queue `filled` is closed and drained. */
NODISCARD enum err_kind pipeline_run(struct pipeline *p, struct err *err);

#endif
