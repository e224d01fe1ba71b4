#ifndef RUN_VERIFY_H
#define RUN_VERIFY_H

/*
 * verify: an archive held against its indexes and, where its records are still there, against
 * Postgres: for `flytrail archive verify`.
 *
 * Beside what sink/archive_verify.h finds:
 *
 *	ROWS		Postgres has not all records of the object, though it has some of that day
 *	UNNAMED		no index was read; or Postgres has rows that no object of the archive can
 *			have, by its name (store/archived.h)
 *
 * A day of which Postgres has nothing has passed its retention. What Postgres has not come to
 * yet, of that stream, is not asked for. Lines are missed where S3 gets all records, by the
 * options that there are now; those of a stream that never had one there, for it was delivered
 * while S3 got events alone, are told of until their retention is over. A stream of which the
 * archive has nothing at all is not missed: nothing says that it was ever to be there.
 *
 * Ownership: what the calls are given is lent to them.
 * Threads:   one.
 * Limits:    those of sink/archive_verify.h and store/archived.h.
 * Errors:    those of sink/archive_verify.h and of store/session.h.
 */

#include "run/sinks.h"
#include "sink/archive_verify.h"

struct verify_options {
	const struct sinks_s3 *s3;
	const char *database_url;   /* "": Postgres is not asked */
	int64_t since_ns, until_ns; /* see sink/archive_verify.h */
};

struct verify_calls {
	void (*finding)(void *arg, const char *word, const char *text);
	void (*stream)(void *arg, const struct archive_stream *s);
	void *arg;
};

struct verify_total {
	struct archive_verify_total archive; /* its findings are all there are */
	/* Objects by what Postgres has of them. */
	uint64_t compared, gone, pending;
};

NODISCARD enum err_kind verify_archive(const struct verify_options *options,
				       const struct verify_calls *calls, struct verify_total *ret,
				       struct err *err);

#endif
