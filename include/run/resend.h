#ifndef RUN_RESEND_H
#define RUN_RESEND_H

/*
 * resend: a range of the trail goes to a sink again, from Postgres.
 *
 * For what the spool had to let go of before the sink had taken it: the fact
 * trail.sink_missed has the range. Records go in the order of their numbers, in deliveries as
 * large as the sink takes them; the first begins with the range, and the last ends with it, so
 * that objects in S3 have names that say which numbers they cover. Of a range that times limit
 * each delivery begins and ends with a record that it has: what is left out is covered by none,
 * and the other times of the range are deliveries of other names. What is there already under
 * such a name is not overwritten (sink/s3.h). What the sink refuses stands in nobody's way.
 *
 * What was sent is a fact, trail.resent, also where it ended early, and where of the delivery that
 * failed only some is there: which records those are is not known. Where Postgres is gone when it
 * is to be told, it is asked for another connection; where that is of no use, ret says why.
 *
 * Ownership: nothing is kept.
 * Threads:   one; `flytrail run` may be at work on the same stream.
 * Limits:    those of store/export.h and run/delivery.h.
 * Errors:    of those, and of store/apart.h. Where some was sent, ret says up to where.
 */

#include "base/config.h"
#include "run/delivery.h"
#include "store/export.h"

struct resend_result {
	uint64_t records, deliveries; /* that are there now */
	uint64_t numbers;             /* of the range's, for which Postgres has something */
	uint64_t refused;             /* of records, for good */
	uint64_t refused_seqs[DELIVERY_REFUSED_TOLD]; /* the first of these */
	uint64_t late;     /* of records that were left out for their age, by the sink's options */
	uint64_t left_out; /* of records that the sink is not to have, by send_option */
	const char *send_option; /* NULL: none was left out */
	uint64_t sent_seq;       /* all up to here was sent; 0: nothing */
	uint64_t reached_seq;    /* and up to here some */
	uint64_t unfinished; /* of records in the delivery that failed, of which some are there */
	struct err why;      /* of the newest that was refused */
	struct err untold;   /* why what was sent is not on record; its kind ERR_NONE: it is */
};

NODISCARD enum err_kind resend(const struct config *c, const char *sink,
			       const struct export_range *range, struct resend_result *ret,
			       struct err *err);

#endif
