#ifndef SOURCE_SOURCE_H
#define SOURCE_SOURCE_H

/*
 * source: where raw lines come from. source/nats.c and source/lines.c
 * implement it; run/ calls it from one thread of its own for each source.
 *
 * Ownership: the caller owns the batch and passes it in, empty.
 * Threads:   one thread calls read, last_gaps, pulse and close; connected may be called by any.
 */

#include "model/batch.h"

enum { SOURCE_WAIT_MS = 200 };       /* read returns at the latest after so long without a line */
enum { SOURCE_GATHER_MS = 10 };      /* and so long after the first line of a batch */
enum { SOURCE_BEATS_PER_WORD = 10 }; /* what was listened to is told once in so many heartbeats */

struct source {
	const struct source_ops *ops;
	void *ctx; /* the implementation's own */
};

/* What a live source says of its heartbeat and of the clock; counted since it was opened. */
struct source_pulse {
	bool on;         /* heartbeats are printed, and have to come back */
	const char *why; /* they prove nothing now: a constant text; NULL: they do */
	unsigned missed; /* in a row */
	uint64_t sent, returned, unsent;
	int64_t returned_ns; /* when the last came back; 0: none did */
	uint64_t jumps;      /* of the clock */
	int64_t jumped_ns;   /* when it jumped last, by what it says since; 0: never */
	int64_t jump_ns;     /* how far then; below 0: back */
};

struct source_ops {
	const char *name; /* as in the column `source` */
	bool live;        /* new lines come for ever: it has no end of its own */
	bool keeps;       /* what is not read in time can be read later: a wait loses nothing */
	/*
	 * Fills the batch with what came, with the gaps the source knows of, and with the
	 * times for which it vouches.
	 * ERR_NONE with an empty batch: nothing came. batch->last: the source has
	 * ended. A connection that is lost is no error: the source reconnects for
	 * ever and says so as a gap. ERR_CONFIG: an operator must act.
	 */
	enum err_kind (*read)(void *ctx, struct batch *batch, struct err *err);
	/* Before close: the gaps that are not told yet. NULL: a source that has none. */
	void (*last_gaps)(void *ctx, struct batch *batch);
	/* True while lines can come. *ret_why says why not, in a constant text. */
	bool (*connected)(void *ctx, const char **ret_why);
	/* After a read. NULL: a source that has none. */
	void (*pulse)(void *ctx, struct source_pulse *ret);
	/* Ends it; frees ctx. */
	void (*close)(void *ctx);
};

#endif
