#ifndef RUN_CLAIMS_H
#define RUN_CLAIMS_H

/*
 * claims: events in the platform's name, and SSH sessions, that the log stream
 * alone brought. Each is looked for in Fly's second copy when an hour has passed,
 * one by one where no window has it. What is not there then is
 * trail.unconfirmed_line: the stream may be forged.
 *
 * Nothing is told where Fly's answer proves nothing: it shows nothing of the
 * hour, and not what the trail has from before either.
 *
 * Ownership: the caller owns the handle and all that the options name.
 * Threads:   one, the worker's.
 * Limits:    pages_max pages for the claims of an hour and application; what they do
 *            not suffice for is on record as not checked.
 * Errors:    as run/second_copy.h; what was told stands, and is not told again.
 */

#include "run/status.h"
#include "run/window.h"

#define CLAIMS_WAIT_NS (NS_PER_S * 3600)
#define CLAIMS_LOOK_NS (NS_PER_S * 60)    /* between looks for late ones */
#define CLAIMS_AGAIN_NS (NS_PER_S * 3600) /* late ones that could not be judged */

struct claims;

struct claims_options {
	struct second_copy *copy;
	struct trail *trail;
	struct status *status;
	uint64_t pages_max;
	/* Compares, and takes the pages from the budget. */
	enum err_kind (*compare)(void *arg, struct recovery *db, const struct copy_range *range,
				 struct copy_result *ret, struct err *err);
	void *arg;
};

NODISCARD enum err_kind claims_new(struct claims **ret, const struct claims_options *options,
				   struct err *err);
void claims_free(struct claims *c); /* NULL is fine */

/* Those of an hour, of which `compared` are the windows. */
NODISCARD enum err_kind claims_check_hour(struct claims *c, struct recovery *db,
					  const struct copy_range *hour, struct windows *compared,
					  struct err *err);

/*
 * Lines that were stored more than an hour after they say they were printed belong to hours that
 * may be done. Each is looked for by itself; RECOVERY_LATE_MAX at a call, and
 * none before it is time for it.
 */
NODISCARD enum err_kind claims_check_late(struct claims *c, struct recovery *db, bool *ret_worked,
					  struct err *err);

/*
 * All of an application that the organisation does not have, and of which Fly's copy never showed
 * anything. One that was made and destroyed before anybody asked for it looks the same.
 */
NODISCARD enum err_kind claims_refuse(struct claims *c, struct recovery *db, const char *app,
				      struct err *err);

#endif
