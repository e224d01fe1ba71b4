#ifndef RUN_LIFE_H
#define RUN_LIFE_H

/*
 * life: how far the process has come, and how its threads learn of the end.
 *
 *	INIT -> RUNNING -> DRAINING -> STOPPED
 *
 * It only goes forward. In DRAINING sources are closed and what was taken is
 * stored. cut: the time for that is over; whoever waits for somebody else
 * gives up, and all is safe in the spool.
 *
 * Ownership: run/lifecycle.c owns it, for longer than any thread lives.
 * Threads:   any; lock `life`. Only main calls life_advance() and life_cut().
 */

#include "base/err.h"
#include "base/lock.h"

enum life_state { LIFE_INIT, LIFE_RUNNING, LIFE_DRAINING, LIFE_STOPPED };

struct life {
	/* const after life_init() */
	int wake_fd; /* becomes readable for main when something happened */

	_Atomic bool ending; /* DRAINING has begun: long jobs end now */
	_Atomic bool cut;
	_Atomic bool intake_done; /* nothing will be appended to the spool any more */
	_Atomic bool input_ended; /* the source has no more lines, ever */
	_Atomic bool lines_done;  /* then: all of them are in the spool */

	/* a thread has ended, or will not do anything more that matters */
	_Atomic bool source_done, pipeline_done, store_done, house_done;
	_Atomic bool sinks_done, jobs_done; /* all of them */

	/* guarded by lock */
	struct lock lock;
	pthread_cond_t changed;
	enum life_state state;
	struct err why; /* of the first failure; kind ERR_NONE: none */
};

NODISCARD enum err_kind life_init(struct life *l, struct err *err);
void life_release(struct life *l);

enum life_state life_state(struct life *l);

/* next must be beyond the present state. Wakes all that wait. */
void life_advance(struct life *l, enum life_state next);
void life_cut(struct life *l);

/* Any thread: the process cannot go on. The first reason counts; main ends it in order. */
void life_fail(struct life *l, const struct err *why);

/* ERR_NONE, or the first failure, copied. */
enum err_kind life_failure(struct life *l, struct err *ret);

/* Wakes main and all that wait, after one of the flags was set. */
void life_wake(struct life *l);

/* Waits for timeout_ns, or until the state changes, not at all after life_cut(). */
void life_wait(struct life *l, int64_t timeout_ns);

#endif
