#ifndef RUN_FORWARDER_H
#define RUN_FORWARDER_H

/*
 * forwarder: carries records from the spool to one sink, and owns the back-off.
 *
 *	what was cut and not delivered -> again, the same
 *	gather -> cut, on record -> deliver until it is there -> move the cursor -> gather ...
 *
 * The cut is on record (sink/cursor.h) before the first byte of it is sent, so that a
 * crash in the middle leads to the same delivery again and to no other. What is gathered
 * is in memory as a copy alone: the spool keeps it until it is delivered.
 *
 * What an error of the sink leads to:
 *	ERR_RETRY   wait as base/backoff.h says, or longer where the sink says so; for ever
 *	ERR_CONFIG  parked: said once a minute, tried again every FORWARDER_PARKED_MS
 *	ERR_REJECT  of a record: to the dead letters, and on without it
 *	ERR_FATAL   the end of the process
 *
 * It yields (spool/spool.h): what left the spool before the sink had taken it is in no
 * delivery, so that ranges name what they have, and is a fact, trail.sink_missed, which is
 * in the spool before the cursor moves past that; and before it comes so far,
 * run/sink_trail.h says when it will.
 *
 * The spool keeps for it from forwarder_new() on, where its files or its place cannot be opened,
 * too: what is damaged there or of another place parks it as ERR_CONFIG does, and where that is
 * the cursor, so that nobody knows what it has, all is kept.
 *
 * Where the place can be tried, that is done before the first delivery of this spool to it
 * (SINK.cursor says to which the last went), until it can be used; what was found is a fact,
 * trail.sink_proved.
 *
 * A sink that is new begins with the oldest record that the spool still has. So does one
 * whose cursor is another stream's: the volume was adopted, and ids make them one.
 *
 * Ownership: the sink that open gives is the forwarder's; the rest is the caller's.
 * Threads:   forwarder_run() is one thread's; forwarder_free() when it has ended.
 * Limits:    a batch of FORWARDER_FRAMES_MAX frames, and what the sink gathers.
 */

#include "run/life.h"
#include "run/status.h"
#include "run/trail.h"
#include "sink/sink.h"
#include "spool/spool.h"

enum {
	FORWARDER_PARKED_MS = 60 * 1000,
	/* Before what a process before may have sent is looked for: its last request may still be
	 * on its way, and not every store takes no second object of one name. */
	FORWARDER_SETTLE_MS = 1000,
	FORWARDER_FRAMES_MAX = 4096,
	FORWARDER_BYTES_MAX = 1024 * 1024,
};

struct forwarder;

struct forwarder_options {
	const char *name; /* of the sink, as its ops have it */
	struct spool *spool;
	struct life *life;
	struct sink_status *status;
	struct trail *trail;
	const char *folder; /* of the cursor and the dead letters */
	bool finite;        /* the input ends by itself: being parked ends the process */
	/* Errors as a sink's deliver, and any other as ERR_CONFIG. Called until it has worked. */
	enum err_kind (*open)(void *arg, struct sink *ret, struct err *err);
	/* Tries the place: errors as a sink's deliver; what is found is a JSON object. NULL: there
	 * is nothing to try. */
	enum err_kind (*prove)(void *arg, struct buf *found, struct err *err);
	void *arg;
};

/* ERR_FATAL alone: what else is wrong with the sink is forwarder_run()'s to say. */
NODISCARD enum err_kind forwarder_new(struct forwarder **ret,
				      const struct forwarder_options *options, struct err *err);
void forwarder_free(struct forwarder *f); /* NULL is fine */

/* Until life.intake_done and all is delivered, or what was to be opened is not; or life.cut. */
void forwarder_run(struct forwarder *f);

#endif
