#ifndef RUN_APPS_H
#define RUN_APPS_H

/*
 * apps: the applications whose lines are compared with Fly's second copy: those
 * that the trail knows of, and those that the organisation has now.
 *
 * One that Fly does not know (any more) is gone: it is left alone until the
 * organisation has it again.
 *
 * Ownership: the caller owns the struct; apps_release() frees what it holds.
 * Threads:   one, the worker's.
 * Limits:    RECOVERY_APPS_MAX.
 * Errors:    ERR_RETRY where Postgres or Fly does not answer. A token that may not read
 *            the organisation's list is no error: list_refused says so, and those that the
 *            trail knows of are taken.
 */

#include "source/logs_api.h"
#include "store/recovery.h"

struct app {
	char name[LOGS_API_APP_BYTES];
	bool listed;     /* the organisation has it */
	bool was_listed; /* it had it at some time since the start */
	bool gone;       /* Fly does not know it (any more) */
};

struct apps {
	struct app *list;
	size_t count;
	int64_t asked_ns;    /* on the monotonic clock; 0: never */
	bool list_whole;     /* the organisation's list was had, and all of it */
	bool list_refused;   /* there may be applications that nobody knows of */
	const char *own_app; /* flytrail's own, which is on every list; "": not on Fly */
};

void apps_release(struct apps *a);

/* The place in list of the application; count: there is none. */
size_t apps_find(const struct apps *a, struct span name);

/* Asks again, unless it was asked within max_age_ns. */
NODISCARD enum err_kind apps_refresh(struct apps *a, struct recovery *db, struct logs_api *api,
				     int64_t max_age_ns, struct err *err);

#endif
