#ifndef SINK_CURSOR_H
#define SINK_CURSOR_H

/*
 * cursor: how far a sink has delivered a spool, and what it is delivering now.
 *
 * A file SINK.cursor in the spool's folder, JSON, replaced whole and synced:
 *
 *	{"stream":UUID,"epoch":"1","delivered_seq":"41","cut_seq":"99","cut":"...",
 *	 "place":"..."}
 *
 * A cut is on record before the first byte of it is sent. Found after a crash, it is
 * made again, and delivered, before another is made; `cut` is in the sink's own words
 * and proves that it is the same. place is where it was delivered to (sink/sink.h).
 * Postgres's cursor stands in Postgres, because it moves with the rows; no other place
 * that records go to has transactions.
 *
 * Ownership: the caller's struct owns its buffers.
 * Threads:   none; one owner.
 * Limits:    CURSOR_BYTES_MAX.
 * Errors:    ERR_CORRUPT: the file is none that this version writes; else as base/file.h.
 */

#include "spool/spool.h"

enum { CURSOR_BYTES_MAX = 256 * 1024, CURSOR_PLACE_BYTES_MAX = 2048 };

struct cursor {
	struct spool_stream stream; /* start_seq is not kept */
	uint64_t delivered_seq;     /* all up to here is there */
	uint64_t cut_seq;           /* the last of the cut under way; 0: none */
	struct buf cut;             /* the sink's text about it; empty: none */
	struct buf place;           /* empty: nothing was delivered to any */
};

void cursor_init(struct cursor *c, const struct spool_stream *stream);
void cursor_release(struct cursor *c);

/* *ret_found false: there is none yet, and c is as it was. */
NODISCARD enum err_kind cursor_load(struct cursor *c, const char *folder, const char *sink,
				    bool *ret_found, struct err *err);
NODISCARD enum err_kind cursor_save(const struct cursor *c, const char *folder, const char *sink,
				    struct err *err);

#endif
