#ifndef RUN_RECONCILE_H
#define RUN_RECONCILE_H

/*
 * reconcile: compares what is stored with Fly's second copy, within a budget of
 * pages, and puts what was compared on record as windows.
 *
 * In this order, whenever there are pages to spend:
 *	1. the minute before and after each gap that was closed, and around lines
 *	   that are here under another id (whatever lies outside of a gap and is
 *	   missing is a loss that nobody noticed)
 *	2. the hours of each application, the newest first, that ended an hour ago
 *	   and have no window yet: all of an hour where that takes no more than half
 *	   of the application's share of the budget, else as much of its beginning,
 *	   and random minutes for the other half
 *
 * With each hour the events of it that the stream alone brought are looked for:
 * run/claims.h.
 *
 * Ownership: the caller owns the handle and all that the options name.
 * Threads:   one, the worker's.
 * Limits:    RECONCILE_WINDOWS_MAX windows an hour and application, beside its beginning;
 *            urgent ones as in run/urgent.h.
 * Errors:    as run/second_copy.h; an hour that was not done is done again.
 */

#include "run/apps.h"
#include "run/second_copy.h"
#include "run/trail.h"

enum { RECONCILE_WINDOWS_MAX = 6, RECONCILE_APPS_SECONDS = 300 };

struct reconcile;

struct reconcile_options {
	struct second_copy *copy;
	struct logs_api *api;
	struct trail *trail;
	struct status *status;
	struct apps *apps;       /* asked for anew each RECONCILE_APPS_SECONDS */
	uint64_t pages_per_hour; /* 0: nothing is compared */
	int64_t delay_ns;        /* that Fly's copy takes */
};

NODISCARD enum err_kind reconcile_new(struct reconcile **ret,
				      const struct reconcile_options *options, struct err *err);
void reconcile_free(struct reconcile *r); /* NULL is fine */

/* A gap was closed: what is around it is to be compared. */
void reconcile_note_gap(struct reconcile *r, const struct recovery_gap *gap);

/* Another replica may have done hours since: what is on record is asked for again. */
void reconcile_forget(struct reconcile *r);

/* One urgent window or one hour. *ret_worked: there was one, and pages to spend. */
NODISCARD enum err_kind reconcile_step(struct reconcile *r, struct recovery *db, bool *ret_worked,
				       struct err *err);

#endif
