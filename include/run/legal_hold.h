#ifndef RUN_LEGAL_HOLD_H
#define RUN_LEGAL_HOLD_H

/*
 * legal_hold: a hold on the trail, for its archive: S3's legal hold (sink/s3_hold.h) on all that
 * may have what the hold is of.
 *
 * That are all versions, also those that a marker of deletion hides, of all objects with lines
 * and events whose hour or day the hold's time touches, and whose kind can have rows of its
 * class. What application or actor they are of no name says, so more is held than was asked for,
 * and never less.
 *
 * What was held for a hold that is released is let go of, where no open hold covers it. A legal
 * hold that somebody else put on such an object goes with it: S3 has one of each version, and
 * does not say whose it is.
 *
 * What was done is a fact of the actions trail.hold_added and trail.hold_released, with the
 * state `archive`, beside that of the hold itself: how many versions have the hold, how many were
 * given it, how many failed and why. In Postgres the hold stands whatever S3 says.
 *
 *	legal_hold_one()	for a command, of its one hold
 *	legal_hold_daily()	of all, as the replica does it that applies retention
 *
 * The latter looks at all objects the first time and after a failure; and then at those alone
 * that were put since, and holds that came or went.
 *
 * Ownership: options are lent for the call; a struct legal_hold is its owner's.
 * Threads:   one at a time.
 * Limits:    HELD_MAX holds; of objects a page of names at a time.
 * Errors:    those of sink/s3_hold.h: after ERR_CONFIG an operator must act. ERR_FULL: is_over()
 *            says so, or there are too many holds. ERR_RETRY: S3 or Postgres is away.
 */

#include "base/config.h"
#include "run/sinks.h"
#include "store/held.h"

struct legal_hold_options {
	const struct config *config; /* whose database and bucket it is; both are set */
	const char *command;         /* for the record: "hold add", "run" */
	const _Atomic bool *cut;     /* see sink/s3_client.h */
	bool (*is_over)(void *arg);  /* asked before each version */
	void *arg;
};

struct legal_hold_result {
	uint64_t versions; /* that are as they should be */
	uint64_t changed;  /* and were not before */
	uint64_t failed;
};

/* id: as the trail has it. The result counts also where it ends early. */
NODISCARD enum err_kind legal_hold_one(const struct legal_hold_options *options, const char *id,
				       struct legal_hold_result *ret, struct err *err);

/* Between the days; zeros to begin with. */
struct legal_hold {
	int64_t done_ns;           /* when the last whole look began; 0: there was none */
	struct held_list last;     /* the holds then */
	char told[ERR_TEXT_BYTES]; /* the failure that is on record already */
};

NODISCARD enum err_kind legal_hold_daily(struct legal_hold *l,
					 const struct legal_hold_options *options,
					 struct legal_hold_result *ret, struct err *err);

#endif
