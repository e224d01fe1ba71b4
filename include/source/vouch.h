#ifndef SOURCE_VOUCH_H
#define SOURCE_VOUCH_H

/*
 * vouch: the times for which a source vouches that reads what is kept for a
 * while, and those that it came too late for.
 *
 * What it vouches for goes on from where its last word ended, also over the time
 * in which it was not running: all of that is read later. Left out is what it
 * tells as a gap: what is out of reach, GAP_MARGIN_NS more of it, because that
 * border moves, and what was cut. No two of these times overlap, and no time
 * between them is forgotten.
 *
 * Ownership: the caller owns the struct; nothing is allocated.
 * Threads:   the source's own; no clock is read.
 * Limits:    VOUCH_HOLES_MAX that lie ahead of the last word; where there are
 *            more, one of them is widened: less is vouched for.
 */

#include "model/batch.h"

enum { VOUCH_HOLES_MAX = 8 };

struct vouch {
	int64_t from_ns; /* of what is before, all is told */
	struct gap lost; /* what was out of reach last; end_ns 0: nothing was */
	bool dirty;      /* it is not reported as it is now */
	struct listened holes[VOUCH_HOLES_MAX]; /* in no order */
	size_t hole_count;
};

void vouch_init(struct vouch *v, int64_t from_ns);

/* What lies before edge_ns is out of reach, and was read up to read_ns only. */
void vouch_lost(struct vouch *v, enum gap_reason reason, int64_t read_ns, int64_t edge_ns);

/* Nobody vouches for this: a gap that the source has told. */
void vouch_leave_out(struct vouch *v, int64_t start_ns, int64_t end_ns);

/* Puts into the batch what was lost and is not reported yet. */
void vouch_report_lost(struct vouch *v, struct batch *batch);

/* A word: everything was read up to until_ns, and is in this batch or in one before. */
void vouch_report(struct vouch *v, struct batch *batch, int64_t until_ns);

#endif
