#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

/*
 * source: where raw lines come from. source/nats.c and source/lines.c
 * implement it; run/ calls it from one thread of its own for each source.
 *
 * Ownership: the caller owns the batch and passes it in, empty.
 * Threads:   one thread calls read, last_gaps and close; connected may be called by any.
 */

#include "model/batch.h"

enum { SOURCE_WAIT_MS = 200 };  /* read returns at the latest after so long without a line */
enum { SOURCE_GATHER_MS = 10 }; /* and so long after the first line of a batch */

struct source {
	const struct source_ops *ops;
	void *ctx; /* the implementation's own */
};

struct source_ops {
	const char *name; /* as in the column `source` */
	bool live;        /* has no history: what is not read in time is gone */
	/*
	 * Fills the batch with what came, and with the gaps the source knows of.
	 * ERR_NONE with an empty batch: nothing came. batch->last: the source has
	 * ended. A connection that is lost is no error: the source reconnects for
	 * ever and says so as a gap. ERR_CONFIG: an operator must act.
	 */
	enum err_kind (*read)(void *ctx, struct batch *batch, struct err *err);
	/* Before close: the gaps that are not told yet. NULL: a source that has none. */
	void (*last_gaps)(void *ctx, struct batch *batch);
	/* True while lines can come. *ret_why says why not, in a constant text. */
	bool (*connected)(void *ctx, const char **ret_why);
	/* Ends it; frees ctx. */
	void (*close)(void *ctx);
};

#endif
