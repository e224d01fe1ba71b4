#ifndef RUN_ACT_H
#define RUN_ACT_H

/*
 * act: what somebody does to the trail by a command of flytrail, as a fact of the class `trail`.
 *
 * `flytrail run` may have the spool open, so a command's facts go to Postgres past it
 * (store/apart.h), in the transaction of the rows that they are about, where there are some.
 * They have the number 0, for they are none of the spool's; so they are in Postgres alone, until
 * `flytrail run` passes them on to its sinks (run/mirror.h).
 *
 * Who it was is not known, and is not made up: the fact has as which user of the system, on
 * which machine, by which command. Who was on that machine at that time, the trail's own
 * ssh_sessions tell, if anybody does.
 *
 * Ownership: nothing is kept.
 * Threads:   none shared.
 * Limits:    the attributes have ACT_ATTRIBUTES_BYTES_MAX; beyond, ERR_FULL.
 * Errors:    those of apart_add(); ERR_FATAL: no memory.
 */

#include "base/buf.h"
#include "base/config.h"
#include "model/class.h"
#include "store/apart.h"

enum { ACT_ATTRIBUTES_BYTES_MAX = 8192 };

struct act_number {
	const char *name;
	uint64_t value;
};

struct act_text {
	const char *name;
	struct span text; /* empty: it is left out */
};

struct act {
	enum action action;               /* of class trail */
	const char *command;              /* as it was called, without its options: "dead drop" */
	const char *target_type, *target; /* what it was done to: "sink", "s3" */
	struct id stream;                 /* of the records that it is about */
	uint64_t epoch, first_seq, last_seq; /* epoch 0: they are of no one stream */
	int64_t at_ns;                    /* 0: now; said, an act that is told twice is one fact */
	const char *why;                  /* in the words of who did it; "": none were asked for */
	const struct act_number *numbers; /* further attributes; those of 0, too */
	size_t number_count;
	const struct act_text *texts; /* likewise */
	size_t text_count;
};

/* Adds the fact to what a's next commit stores. */
NODISCARD enum err_kind act_add(struct apart *a, const struct config *c, const struct act *act,
				struct err *err);

/* The fact's payload at the end of out; for act_add() and tests. */
struct hasher;
NODISCARD enum err_kind act_encode(const struct config *c, const struct act *act,
				   struct hasher *hasher, struct buf *out, struct err *err);

#endif
