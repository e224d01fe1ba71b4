#ifndef RUN_RESTORE_H
#define RUN_RESTORE_H

/*
 * restore: an archive's objects, brought back into Postgres; for `flytrail replay`.
 *
 * The archive is held against its indexes (sink/archive_verify.h), and each object that is as
 * it should be is written, whose rows have the ids that they make (store/replay.h). What no
 * index has yet, as that of today, is held against its own metadata, and counted apart. What is
 * not as it should be is refused: told, counted, and nothing of it is in the trail; the others
 * go on.
 *
 * An object is a transaction of its own, and ids make it so that all may be done again, after
 * whatever ended it. It is on record as facts, trail.replayed: one before the first object is
 * written, with the state begun, which stays alone where the process was killed; and one of what
 * was done, with the state done or ended early. Between two objects it asks whether to end.
 *
 * Rows have as their number the first of their object's range, for an archive keeps no more.
 *
 * Ownership: what the options point at is lent for the call.
 * Threads:   one; it waits for S3 and Postgres.
 * Limits:    those of sink/archive_verify.h; RESTORE_ATTEMPTS_MAX of each object's transaction,
 *            with base/backoff.h's waits.
 * Errors:    ERR_RETRY: S3 or Postgres stays away, or it was told to end. ERR_CONFIG: an operator
 * must act. ERR_FULL: the limits. ERR_FATAL: no memory. Not that something was refused.
 */

#include "base/config.h"
#include "sink/archive_verify.h"

enum { RESTORE_ATTEMPTS_MAX = 5 };

struct restore_counts {
	uint64_t indexes;
	uint64_t indexed, unindexed; /* objects that were taken; by what they were held against */
	uint64_t refused;            /* what is not as it should be, also of indexes */
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
	/* Of each thing that is refused: a word of sink/archive_verify.h, or REFUSED. */
	void (*refused)(void *arg, const char *word, const char *why);
	/* Before each object: true, and it is the end. */
	bool (*is_over)(void *arg);
	/* After each object. */
	void (*progress)(void *arg, const struct restore_counts *so_far);
	void *arg;
};

/* *ret is filled in also where it ends early. */
NODISCARD enum err_kind restore_run(const struct restore_options *options,
				    struct restore_counts *ret, struct err *err);

/* False: it is none of those of restore_options. */
NODISCARD bool restore_is_class(const char *name);

#endif
