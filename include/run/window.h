#ifndef RUN_WINDOW_H
#define RUN_WINDOW_H

/*
 * window: times of one application that were compared with Fly's second copy, on
 * their way to be facts (trail.window_checked).
 *
 *	agrees        all that Fly shows is stored
 *	recovered     lines were missing, and are stored now
 *	lost          Fly has lines that cannot be had
 *	not_checked   it could not be compared, and why
 *
 * Ownership: states and reasons are constant texts.
 * Threads:   one, the worker's.
 * Limits:    WINDOWS_MAX in an hour.
 */

#include "run/second_copy.h"

enum { WINDOWS_MAX = 8 };

struct window {
	int64_t from_ns;
	struct copy_result result; /* through_ns is where it ends */
	const char *state, *why;
};

/* What was compared in an hour; it is told when all of the hour is done. */
struct windows {
	struct window list[WINDOWS_MAX];
	size_t count;
};

struct window window_of(const struct copy_range *range, const struct copy_result *result);

void windows_add(struct windows *w, const struct window *window);

/* Whether all of the microsecond that begins at ns is in one of them. */
bool windows_have(const struct windows *w, int64_t ns);

/* hour_done: it is the last word about its hour and application. */
NODISCARD enum err_kind window_tell(const struct window *w, const char *app, bool hour_done,
				    struct second_copy *copy, struct trail *trail, struct err *err);

/* One outside of an hour's; that its lines were recovered is told when they are stored. */
NODISCARD enum err_kind window_tell_alone(const struct copy_range *range,
					  const struct copy_result *result,
					  struct second_copy *copy, struct trail *trail,
					  struct err *err);

/* All of them, the last with hour_done; that lines were recovered is told when they are stored. */
NODISCARD enum err_kind windows_tell(const struct windows *w, const char *app,
				     struct second_copy *copy, struct trail *trail,
				     struct err *err);

#endif
