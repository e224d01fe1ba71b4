#ifndef SOURCE_GAP_TRACK_H
#define SOURCE_GAP_TRACK_H

/*
 * gap_track: from what a live source notices to the gaps it must admit, and to
 * the times for which it can vouch.
 *
 * The stream has no history: what was published while nobody was subscribed is
 * gone. So a gap is opened at the start, at every loss of the connection, at
 * every drop that the library admits, when flytrail's own lines do not come
 * back, and when the clock jumps; and it is never too small:
 *
 *	start        from the last line that came live, or from the start of a
 *	             stream's very first run, until the subscription is confirmed
 *	disconnect   from the last proof that everything had come through
 *	silent       from the last heartbeat that came back, or from the proof where
 *	             that is older, until one comes back by a fresh connection
 *	slow         from the last look at which nothing had been dropped
 *	jump         from the earlier to the later of what the clock says now and
 *	             what it should say after what it said at the look before
 *
 * each GAP_MARGIN_NS wider on both sides, because lines carry the time of the
 * machine that printed them and travel for a while. An outage that is not over
 * is reported at once with an open end; its end follows as `known`, with the
 * same reason and start. Outages that touch become one.
 *
 * Between gaps it listens. What is reported as listened begins where the last
 * gap ends and ends GAP_MARGIN_NS before the last proof, so that no gap that is
 * opened later reaches into it; only a clock that is set back can make one that
 * does. It is told in pieces that touch: one every tell_every_ns, and one when
 * a gap begins.
 *
 * Ownership: the caller owns the struct; nothing is allocated.
 * Threads:   the source's own; no clock is read: now_ns is the caller's.
 */

#include "model/batch.h"

#define GAP_MARGIN_NS (10 * NS_PER_S)
#define GAP_DROPS_REPORT_NS (5 * NS_PER_S)    /* while drops go on, told so often */
#define GAP_JUMP_NS (5 * NS_PER_S)            /* the least step of the clock that is a jump */
#define GAP_LISTENED_TELL_NS (300 * NS_PER_S) /* tell_every_ns, unless it is set */

struct gap_track {
	/* An outage: reason start, disconnect or heartbeat_missed. */
	struct gap outage;
	bool outage_any;   /* there is or was one */
	bool outage_over;  /* the subscription is confirmed, or a heartbeat came back */
	bool outage_dirty; /* not reported as it is now */
	bool first_run;    /* nothing was accepted before: coverage begins, nothing is missing */

	struct gap drops;
	bool drops_any, drops_dirty;
	int64_t drops_reported_ns;
	int64_t drops_checked_ns; /* the last look */
	uint64_t dropped_count;   /* at the last look, of the present subscription */

	struct gap jump;
	bool jump_dirty;
	int64_t wall_ns, steady_ns; /* at the last look at the clocks; 0: there was none */
	uint64_t jumps;
	int64_t jumped_ns,
		jump_ns; /* when, by what the clock says since, and how far; below 0: back */

	int64_t asked_ns; /* the server answered a question of this time; lines may be waiting */
	int64_t proof_ns; /* everything up to here has been taken */
	/* A missed heartbeat would speak of what comes after; INT64_MAX: none can. */
	int64_t sure_ns;

	/* What can be vouched for and is not told yet begins here, unless an outage goes on. */
	int64_t heard_from_ns;
	int64_t heard_told_ns; /* when it was told last */
	struct listened heard; /* ended by a gap, not reported yet; until_ns 0: none */
	int64_t tell_every_ns;
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

/* No heartbeat that was printed up to sure_ns is missing; see source/heartbeat.h. */
void gap_track_sure(struct gap_track *t, int64_t sure_ns);

/* Heartbeats are missing: an outage that a new subscription alone does not end ... */
void gap_track_silent(struct gap_track *t);

/* ... but one that came back. */
void gap_track_beat(struct gap_track *t, int64_t now_ns);

/* A look at both clocks at one moment. True: the wall clock has jumped since the last look. */
bool gap_track_clocks(struct gap_track *t, int64_t wall_ns, int64_t steady_ns);

/*
 * Puts into the batch what is not reported yet; last: also what would wait for
 * its turn. The batch holds all lines that were taken: what is listened stands
 * behind them.
 */
void gap_track_report(struct gap_track *t, struct batch *batch, int64_t now_ns, bool last);

#endif
