#ifndef RUN_DELIVERY_H
#define RUN_DELIVERY_H

/*
 * delivery: gives records to a sink by a command, beside the forwarder that `flytrail run` has
 * for it, with cuts and tries of its own.
 *
 *	delivery_open()
 *	delivery_begin(), delivery_add() ..., delivery_end()     for each range
 *	delivery_close()
 *
 * An archive gets an index for each of these ranges; its journal is in a folder that goes with the
 * delivery: in the spool's, or, where there is none, in /tmp. No cursor is read or moved. What is
 * given may be there already, in part or whole: the sink looks, as after a crash (sink/sink.h,
 * again).
 *
 * Ownership: delivery_open() makes it, delivery_close() ends it; the configuration outlives it.
 * Threads:   one.
 * Limits:    DELIVERY_TRIES_MAX tries of a range, with the waits of base/backoff.h or what the
 *            sink asks for, up to DELIVERY_WAIT_SECONDS_MAX each. Of the records that are
 *            refused DELIVERY_REFUSED_TOLD are told by their numbers.
 * Errors:    the sink's. ERR_CONFIG from delivery_open(): there is no such sink, or it is not
 *            configured.
 */

#include "base/config.h"
#include "sink/sink.h"
#include "spool/spool.h"

enum { DELIVERY_TRIES_MAX = 5, DELIVERY_WAIT_SECONDS_MAX = 60, DELIVERY_REFUSED_TOLD = 64 };

struct delivery;

/* stream is that of the records. */
NODISCARD enum err_kind delivery_open(struct delivery **ret, const struct config *c,
				      const char *sink, const struct spool_stream *stream,
				      struct err *err);
void delivery_close(struct delivery *d); /* NULL is fine */

void delivery_begin(struct delivery *d, uint64_t first_seq);
/*
 * ERR_FULL: the range ends before this record. ERR_REJECT: it can never be delivered. *ret_taken
 * false: it is none of those that the sink is to have, by delivery_send_option().
 */
NODISCARD enum err_kind delivery_add(struct delivery *d, uint64_t seq, struct span payload,
				     bool *ret_taken, struct err *err);
const char *delivery_send_option(const struct delivery *d);

struct delivery_result {
	uint64_t refused; /* records that the place refused when it had them; the rest is there */
	uint64_t refused_seqs[DELIVERY_REFUSED_TOLD]; /* the first of these */
	uint64_t late;  /* that were left out for their age, as the sink's options have it */
	struct err why; /* of the last that was refused */
	/* Where it failed: */
	bool is_begun;   /* some of it is there */
	bool is_its_own; /* another range may be delivered all the same */
};

NODISCARD enum err_kind delivery_end(struct delivery *d, uint64_t last_seq,
				     struct delivery_result *ret, struct err *err);

#endif
