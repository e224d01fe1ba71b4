#ifndef RUN_CONSUMER_H
#define RUN_CONSUMER_H

/*
 * consumer: carries records from the spool to Postgres, and owns the back-off.
 *
 *	connect -> go to Postgres's own cursor -> write batch after batch
 *
 * What an error leads to:
 *	ERR_RETRY   wait as base/backoff.h says, for ever; connect again, read the cursor
 *	            again, rewind to it
 *	ERR_REJECT  halve the batch until one record is left; that one goes to the
 *	            dead letters, and a fact takes its place
 *	            (a code that is not known: see run/refusal.h)
 *	ERR_CONFIG  parked: said once a minute, tried again every CONSUMER_PARKED_MS,
 *	            since an operator may mend it; where input is finite, the end
 *	ERR_FATAL   the end of the process
 *
 * Nothing is passed that is not on record. A fact about what cannot be delivered
 * (a dead letter; frames that the spool or Postgres has lost; what was published
 * before a spool began that is not this trail's first) stands in the batch
 * where those records were, under their last number: so Postgres commits it in
 * the transaction that moves the cursor past them, at the end of the program as
 * at any time. After a crash before that, they are met again, and told then.
 *
 * A cursor beyond what this spool ever was, or behind a record that it has not,
 * is ERR_CONFIG for good, also after a restart (run/foreign.h): the volume is a
 * copy, and its numbers are no longer the ones that Postgres means. Of two
 * machines that go on from one state, one wins the first move of the cursor; the
 * other one connects again and finds the winner's record there. Nothing is passed
 * by its number alone. `flytrail spool adopt` makes a copy a stream of its own.
 *
 * Ownership: the caller owns the handle and what the options name.
 * Threads:   consumer_run() is one thread's; consumer_free() when it has ended.
 * Limits:    two batches, each STORE_BATCH_ROWS or STORE_BATCH_BYTES_MAX.
 */

#include "run/life.h"
#include "run/status.h"
#include "run/trail.h"
#include "spool/spool.h"

enum {
	CONSUMER_PARKED_MS = 60 * 1000,
	CONSUMER_GATHER_MS = 1000, /* after a batch's first record, unless it is full before */
};

struct consumer;

struct consumer_options {
	struct spool *spool;
	struct trail *trail;
	struct status *status;
	struct life *life;
	const char *database_url; /* the writer's */
	const char *replica;      /* this machine's name, for people */
	const char *folder;       /* of the dead letters */
	bool finite;              /* the input ends by itself: being parked ends the process */
};

NODISCARD enum err_kind consumer_new(struct consumer **ret, const struct consumer_options *options,
				     struct err *err);
void consumer_free(struct consumer *c); /* NULL is fine */

/*
 * Until life.intake_done and all is stored, or life.cut. Failures that end the
 * process are told by life_fail().
 */
void consumer_run(struct consumer *c);

#endif
