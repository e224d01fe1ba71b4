#ifndef RUN_STATUS_H
#define RUN_STATUS_H

/*
 * status: what the threads of `flytrail run` say about themselves, for
 * serve/health.c to read. Nothing here decides anything.
 *
 * Counters count from the start of the process. They are monotonic, each is
 * exact, and together they may be some microseconds apart.
 *
 * Ownership: cmd/run.c owns it, for longer than any thread lives.
 * Threads:   atomics for any thread; the rest under the lock `status`, which is held while
 *            the spool is asked, so that nobody closes it meanwhile.
 */

#include "base/err.h"
#include "base/lock.h"
#include "spool/spool.h"

#include <stdatomic.h>

enum store_state {
	STORE_STARTING, /* not connected yet                                     */
	STORE_WORKING,  /* connected; the last write went well                   */
	STORE_RETRYING, /* away: retried with back-off, nothing is lost          */
	STORE_PARKED,   /* an operator must act; store_error says what to do     */
};

struct status {
	/* the source thread */
	_Atomic bool source_started; /* it is read from: connected, or retrying for ever */
	_Atomic bool source_connected;
	_Atomic(const char *) source_why; /* a constant text; NULL while connected */
	_Atomic uint64_t lines_received;
	_Atomic uint64_t lines_lost; /* that the source knows of */
	_Atomic int64_t last_received_ns;
	_Atomic bool heartbeat_on;           /* see source/heartbeat.h */
	_Atomic(const char *) heartbeat_why; /* it proves nothing now: a constant text, or NULL */
	_Atomic bool heartbeat_silent;       /* missed: a gap is open */
	_Atomic unsigned heartbeat_missed;   /* in a row */
	_Atomic int64_t heartbeat_last_ns;   /* when one came back last; 0: none did */
	_Atomic uint64_t beats_sent, beats_returned;
	_Atomic uint64_t beats_unsent; /* could not be printed */
	_Atomic uint64_t clock_jumps;
	_Atomic int64_t clock_jumped_ns; /* when it jumped last, by what it says since; 0: never */

	/* the pipeline thread */
	_Atomic uint64_t lines_undecoded;
	_Atomic uint64_t lines_classified; /* that are events */
	_Atomic uint64_t lines_redacted;
	_Atomic uint64_t lines_accepted; /* handed to the spool: durable within SPOOL_COMMIT_MS */
	_Atomic uint64_t gaps;
	_Atomic bool intake_stopped; /* the spool is full */

	/* the store's consumer */
	_Atomic enum store_state store_state;
	_Atomic uint64_t lines_stored;
	_Atomic uint64_t events_stored;
	_Atomic uint64_t duplicates;
	_Atomic uint64_t dead_letters;
	_Atomic uint64_t stored_seq; /* the cursor */
	_Atomic int64_t last_stored_ns;

	/* guarded by lock */
	struct lock lock;
	struct spool *spool;              /* NULL: not open */
	char store_error[ERR_TEXT_BYTES]; /* of the last failure; empty while WORKING */
};

void status_init(struct status *s);
void status_release(struct status *s);

void status_set_store(struct status *s, enum store_state state, const char *error);

/* A copy of store_error, NUL-terminated, into text. Returns the state it belongs to. */
enum store_state status_store(struct status *s, char text[ERR_TEXT_BYTES]);

const char *store_state_name(enum store_state state); /* "starting", "working", ... */

/* The lifecycle's, when the spool is open, and with NULL before it is closed. */
void status_set_spool(struct status *s, struct spool *spool);

/* False while there is no spool. */
bool status_spool(struct status *s, struct spool_stats *ret);

#endif
