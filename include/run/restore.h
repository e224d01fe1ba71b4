#ifndef RUN_RESTORE_H
#define RUN_RESTORE_H

/*
 * restore: an archive's objects, brought back into Postgres; for `flytrail replay`.
 *
 * First each index, in the order of days, and what it names: an object that differs from
 * its index, or is not there, is refused. Then all that the bucket lists: an object of a
 * range that an index covers, and that it does not name, is refused, for somebody has put it
 * there since; one of a range that no index covers, as those of today, is held against its
 * own metadata, and counted apart. What is refused is told and counted, and the others go on.
 *
 * An object is a transaction of its own (store/replay.h), and ids make it so that all may be
 * done again, after whatever ended it. What was done is on record as a fact, trail.replayed,
 * also where it ended early and something had been done.
 *
 * Rows have as their number the first of their object's range, for an archive keeps no more.
 *
 * Ownership: what the options point at is lent for the call.
 * Threads:   one; it waits for S3 and Postgres.
 * Limits:    RESTORE_ATTEMPTS_MAX of each thing that may work later, with base/backoff.h's
 *            waits; RESTORE_INDEXES_MAX indexes, RESTORE_OBJECTS_MAX objects that they name,
 *            of 8 bytes each here; of an object, what it holds is in memory.
 * Errors:    ERR_RETRY: S3 or Postgres stays away. ERR_CONFIG: an operator must act.
 *            ERR_FULL: the limits. ERR_FATAL: no memory. Not that something was refused.
 */

#include "base/config.h"
#include "sink/archive_read.h"

enum {
	RESTORE_ATTEMPTS_MAX = 5,
	RESTORE_INDEXES_MAX = 100 * 1000,
	RESTORE_OBJECTS_MAX = 16 * 1000 * 1000,
};

struct restore_counts {
	uint64_t indexes;
	uint64_t indexed, unindexed; /* objects that were taken; by what they were held against */
	uint64_t refused;            /* objects and indexes */
	uint64_t rows, added;        /* rows that were wanted, and those that were not there yet */
};

struct restore_options {
	const struct config *config; /* whose database it is, and what the fact says of itself */
	const struct s3_options *s3;
	const char *prefix;
	const char *from;           /* for the record: s3://BUCKET/PREFIX */
	const char *class;          /* lines, security or operations; "": all */
	const char *app;            /* "": of all */
	int64_t since_ns, until_ns; /* INT64_MIN and INT64_MAX: of all time */
	/* Told of each thing that is refused, in words; and of how far it is, after each object. */
	void (*refused)(void *arg, const char *why);
	void (*progress)(void *arg, const struct restore_counts *so_far);
	void *arg;
};

/* *ret is filled in also where it ends early. */
NODISCARD enum err_kind restore_run(const struct restore_options *options,
				    struct restore_counts *ret, struct err *err);

/* False: it is none of those of restore_options. */
NODISCARD bool restore_is_class(const char *name);

#endif
