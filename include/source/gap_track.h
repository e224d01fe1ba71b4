#ifndef SOURCE_GAP_TRACK_H
#define SOURCE_GAP_TRACK_H

/*
 * gap_track: from what a live source notices to the gaps it must admit.
 *
 * The stream has no history: what was published while nobody was subscribed is
 * gone. So a gap is opened at the start, at every loss of the connection and
 * at every drop that the library admits, and it is never too small:
 *
 *	start        from the last line that came live, or from the start of a
 *	             stream's very first run, until the subscription is confirmed
 *	disconnect   from the last proof that everything had come through
 *	slow         from the last look at which nothing had been dropped
 *
 * each GAP_MARGIN_NS wider on both sides, because lines carry the time of the
 * machine that printed them and travel for a while. An outage that is not over
 * is reported at once with an open end; its end follows as `known`, with the
 * same reason and start. Outages that touch become one.
 *
 * Ownership: the caller owns the struct; nothing is allocated.
 * Threads:   the source's own; no clock is read: now_ns is the caller's.
 */

#include "model/batch.h"

#define GAP_MARGIN_NS (10 * NS_PER_S)
#define GAP_DROPS_REPORT_NS (5 * NS_PER_S) /* while drops go on, told so often */

struct gap_track {
	/* An outage: reason start or disconnect. */
	struct gap outage;
	bool outage_any;   /* there is or was one */
	bool outage_over;  /* the subscription is confirmed */
	bool outage_dirty; /* not reported as it is now */
	bool first_run;    /* nothing was accepted before: coverage begins, nothing is missing */

	struct gap drops;
	bool drops_any, drops_dirty;
	int64_t drops_reported_ns;
	int64_t drops_checked_ns; /* the last look */
	uint64_t dropped_count;   /* at the last look, of the present subscription */

	int64_t asked_ns; /* the server answered a question of this time; lines may be waiting */
	int64_t proof_ns; /* everything up to here has been taken */
};

/* last_live_ns is 0 for a stream that nothing came to yet. */
void gap_track_init(struct gap_track *t, int64_t last_live_ns, int64_t now_ns);

/* The subscription stands on the server: whatever is published from now on comes. */
void gap_track_subscribed(struct gap_track *t, int64_t now_ns);

/* The server answered what it was asked at asked_ns: all before it is here, taken or waiting. */
void gap_track_answered(struct gap_track *t, int64_t asked_ns);

/* Nothing is waiting any more: what was answered is now taken. */
void gap_track_drained(struct gap_track *t);

void gap_track_lost(struct gap_track *t, int64_t now_ns);

/* A subscription was made anew: the library's count of drops begins at 0 again. */
void gap_track_new_subscription(struct gap_track *t);

/* dropped_total is the library's count for the present subscription. */
void gap_track_dropped(struct gap_track *t, uint64_t dropped_total, int64_t now_ns);

/* Puts into the batch what is not reported yet; last: also what would wait for its turn. */
void gap_track_report(struct gap_track *t, struct batch *batch, int64_t now_ns, bool last);

#endif
