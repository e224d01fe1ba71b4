#ifndef RUN_SECOND_COPY_H
#define RUN_SECOND_COPY_H

/*
 * second_copy: compares a time of one application with Fly's second copy of its
 * log, and recovers what is missing here.
 *
 *	page by page:  fetch -> the stages, for the ids -> look up in Postgres
 *	known          an event: put on record as confirmed
 *	missing        to the pipeline, as any line, and so through the spool
 *	mismatch       counted; never stored twice
 *
 * What is on its way to Postgres would look missing. So what is compared has to
 * be over for a while, and second_copy_settle() to be called before: it waits
 * until all that this spool had accepted is stored.
 *
 * Lines without an exact time of their own have no id that could be compared:
 * they are counted, and left alone.
 *
 * Ownership: the caller owns the handle and all that the options name.
 * Threads:   one, the worker's.
 * Limits:    a page at a time; SECOND_COPY_ATTEMPTS in a row for each.
 * Errors:    ERR_RETRY: Fly or Postgres is away; what was done stands. ERR_REJECT: Fly
 *            knows no such application. ERR_CONFIG: the token is refused. ERR_FULL: the
 *            program is ending. ERR_FATAL: no memory.
 */

#include "base/queue.h"
#include "run/life.h"
#include "run/status.h"
#include "run/trail.h"
#include "source/logs_api.h"
#include "store/recovery.h"

enum { SECOND_COPY_ATTEMPTS = 4, SECOND_COPY_SETTLE_SECONDS = 300 };

/* An hour less than Fly keeps, so that what is asked for is there until it was answered. */
#define SECOND_COPY_KEPT_NS (NS_PER_S * 3600 * (LOGS_API_DAYS * 24 - 1))

struct second_copy;

struct second_copy_options {
	struct logs_api *api;
	struct spool *spool;
	struct trail *trail;
	struct status *status;
	struct life *life;
	struct queue *pool, *filled; /* of batches: where free ones are, and to the pipeline */
	struct span org, own_app;    /* as the pipeline's */
	/* Called before each request and while waiting: an error ends the comparison. */
	enum err_kind (*tick)(void *arg, struct err *err);
	void *arg;
};

NODISCARD enum err_kind second_copy_new(struct second_copy **ret,
					const struct second_copy_options *options, struct err *err);
void second_copy_free(struct second_copy *c); /* NULL is fine */

/* [from_ns, to_ns) of an application. */
struct copy_range {
	const char *app;
	int64_t from_ns, to_ns;
	unsigned pages_max; /* 0: as many as there are */
};

struct copy_result {
	uint64_t seen, recovered, mismatches;
	uint64_t unreadable; /* entries without an exact time of their own */
	bool unreachable;    /* more lines of one nanosecond than a page holds */
	unsigned pages;
	int64_t through_ns; /* compared up to here: to_ns, unless pages_max came before */
};

/* Why lines that Fly has cannot be had, in a constant text; NULL: all of them can. */
const char *copy_result_lack(const struct copy_result *result);

/* *ret is to be zeros; it tells what was done also where an error ended it. */
NODISCARD enum err_kind second_copy_compare(struct second_copy *c, struct recovery *db,
					    const struct copy_range *range, struct copy_result *ret,
					    struct err *err);

/* Until Fly may be asked. */
NODISCARD enum err_kind second_copy_await_api(struct second_copy *c, struct err *err);

/* Puts a fact into the trail's mailbox, as soon as there is room for it. */
NODISCARD enum err_kind second_copy_tell(struct second_copy *c, struct trail *trail,
					 const struct fact *fact, struct err *err);

/*
 * Whether Fly's second copy reaches back to `before`: it shows the newest line that the trail has
 * of that part, or one of its time. Where the trail has none, nothing speaks against it. An empty
 * answer about what comes after proves nothing else.
 */
NODISCARD enum err_kind second_copy_reaches(struct second_copy *c, struct recovery *db,
					    const struct recovery_part *before, bool *ret,
					    struct err *err);

/* Of an error of second_copy_compare() or _reaches(): it is Fly's, about this application at least.
 */
bool second_copy_fly_failed(const struct second_copy *c);

/* Until all that is accepted now, all that was recovered, and all that was told is stored. */
NODISCARD enum err_kind second_copy_settle(struct second_copy *c, struct err *err);

#endif
