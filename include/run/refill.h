#ifndef RUN_REFILL_H
#define RUN_REFILL_H

/*
 * refill: fills gaps from Fly's second copy, or says why that cannot be.
 *
 * A gap is looked at when it has been over for delay_ns, because Fly's copy
 * needs a while of its own. Then, in this order:
 *
 *	lost         all of it is older than what Fly keeps (LOGS_API_DAYS)
 *	covered      another replica took the lines; nothing is asked of Fly
 *	filled       two passes over all applications, at least delay_ns apart, of
 *	             which the later found nothing missing
 *	partly_lost  as filled, but what Fly shows is not all: a part was older than
 *	             what it keeps, or than it keeps in truth; an application that
 *	             printed lines about then is gone, or may not be on the list;
 *	             lines cannot be had; or passes never agreed
 *
 * The newest gap comes first, also before an older one whose pass is under way:
 * a pass is made in steps of REFILL_PAGES_AT_ONCE. Passes that never agree end
 * at REFILL_PASSES_MAX. What was found is on record after each step
 * (gap_progress), so that a restart or another replica goes on from there; all of
 * it may be done twice without harm, because ids make lines one.
 *
 * Ownership: the caller owns the handle and all that the options name.
 * Threads:   one, the worker's.
 * Limits:    RECOVERY_GAPS_MAX gaps are looked at; further ones wait.
 * Errors:    as run/second_copy.h; the gap stays open, and is tried again.
 */

#include "run/apps.h"
#include "run/second_copy.h"
#include "run/trail.h"

enum { REFILL_PAGES_AT_ONCE = 100, REFILL_PASSES_MAX = 16 };

struct refill;

struct refill_options {
	struct second_copy *copy;
	struct logs_api *api;
	struct trail *trail;
	struct status *status;
	struct apps *apps; /* asked for anew before each pass */
	int64_t delay_ns;
	int64_t cover_wait_ns; /* so long another replica that lives may take to vouch for its time
				*/
};

NODISCARD enum err_kind refill_new(struct refill **ret, const struct refill_options *options,
				   struct err *err);
void refill_free(struct refill *r); /* NULL is fine */

/*
 * A step of a pass over the newest gap that is due, or what else one gap needs. *ret_worked: there
 * was one. *ret_closed: what became of it is on record; else its id is empty.
 */
NODISCARD enum err_kind refill_step(struct refill *r, struct recovery *db, bool *ret_worked,
				    struct recovery_gap *ret_closed, struct err *err);

#endif
