#ifndef STORE_COVERAGE_H
#define STORE_COVERAGE_H

/*
 * coverage: what the view flytrail.coverage says of a time: for `flytrail coverage`.
 *
 * Ownership: texts in rows are lent until the callback returns.
 * Threads:   one.
 * Limits:    COVERAGE_ROWS_MAX rows; *ret_cut tells that there were more. For an
 *            application that no event and no window names, COVERAGE_LINES_MAX lines.
 * Errors:    the session's (store/session.h).
 */

#include "base/err.h"
#include "base/time.h"

enum {
	COVERAGE_ROWS_MAX = 10000,
	COVERAGE_LINES_MAX = 20000, /* the newest of the time */
};

/* Why a window was not checked of which that is no doubt: there was nothing to be compared with. */
#define COVERAGE_WHY_GONE "Fly knows no such application"
/* The view's word where flytrail has only lines to go by, which is no doubt about them. */
#define COVERAGE_WHY_NEVER "nothing of the control plane was ever looked at"

struct coverage_options {
	const char *url;
	const char *app;           /* "": all */
	const char *since, *until; /* RFC 3339, or dates; "": since the beginning, now */
};

struct coverage_total {
	char since[TIME_TEXT_BYTES], until[TIME_TEXT_BYTES]; /* what was asked for */
	bool has_begun;                                      /* somebody has listened, ever */
	char beginning[TIME_TEXT_BYTES];                     /* of the trail */
	bool all_before;                                     /* all of the time is before that */
	double asked_s; /* 0: it is no time, of which nothing can be said */
	double listening_s, gap_s, silent_s;
	double pending_s; /* of which nothing is told yet; what is left is before the beginning */
	double before_s;  /* asked for, before the beginning */
	uint64_t holes;
	uint64_t not_checked; /* windows of which nothing was proved, though the application is */
	/*
	 * Lines that Fly's second copy does not have. Where no beginning was asked for, of any
	 * time before the end: a forged line may name any.
	 */
	uint64_t unconfirmed;
	/* Resources of Fly's control plane that cannot be looked at, or were not for long. */
	uint64_t unobserved, late;
	/* Times that such a resource could not be looked at, or hid what happened; they are over.
	 */
	uint64_t was_unobserved, overrun;
	bool app_known;    /* the trail has an event, a window or a line of it, or it is all */
	bool own_gone;     /* retention dropped what flytrail said of itself in a part of it */
	bool lines_hidden; /* it is not known by events and windows, and lines may not be read */
};

/* A gap, a time of silence, a window that did not agree, or what cannot be looked at. */
struct coverage_row {
	const char *kind, *state, *app, *start, *end, *why; /* app "" is all; end "": it goes on */
	uint64_t lines_recovered;
	bool is_hole;
};

/* What was compared of one application. */
struct coverage_app {
	const char *app;
	uint64_t windows, lines_seen, lines_recovered, id_mismatches;
	double compared_s;
};

/* What retention dropped of a kind of rows: partitions, the first from start, the last to end. */
struct coverage_gone {
	const char *kind, *start, *end;
	uint64_t partitions;
};

struct coverage_calls {
	void (*row)(void *arg, const struct coverage_row *row);
	void (*app)(void *arg, const struct coverage_app *app);
	void (*gone)(void *arg, const struct coverage_gone *gone);
	void *arg;
};

/* Rows first, by time, then applications, by name, then what is gone. ERR_CONFIG also for a time
 * that is none. */
NODISCARD enum err_kind coverage_read(const struct coverage_options *options,
				      const struct coverage_calls *calls,
				      struct coverage_total *ret, bool *ret_cut, struct err *err);

#endif
