#ifndef SINK_ARCHIVE_VERIFY_H
#define SINK_ARCHIVE_VERIFY_H

/*
 * archive_verify: an archive (sink/archive.h) held against its indexes (sink/archive_index.h).
 *
 * All indexes are read, because any of them may name an object of the time that is asked for.
 * What is found wrong is told in a word and a sentence:
 *
 *	RANGE		no index has these numbers of a stream, or no object (archive_streams.h)
 *	INDEX		it is not what an index is, or differs from another one
 *	MISSING		an index names the object, and the bucket does not have it
 *	STRANGE		no index names the object, though its range is in one or before all
 *	DIFFERS		the object is not what its index says
 *
 * An object behind the last index of its stream is counted as not indexed yet: its day may
 * not be over. So is one in the range of an index that is told of as INDEX: what that can still
 * say counts, and what it does not say proves nothing. Those that were stored a day ago and more
 * are counted apart: where nothing of their stream was delivered since, no index has to be there,
 * and whether there was one nobody can know. Of a stream all of whose last objects are gone, with
 * the index of their day, names say nothing: that takes Postgres (run/verify.h). stream() says
 * what names do say of a stream, for whoever reads it. With unindexed_too, each object of a range
 * that no whole index has is held against its own metadata instead (sink/archive_read.h), and
 * counted as not indexed: after all that an index vouches for, so that whoever can only add an
 * object cannot get ahead of one.
 *
 * What the caller finds out about an object's records is told and counted in the same way.
 *
 * Ownership: what the calls are given is lent to them.
 * Threads:   one.
 * Limits:    VERIFY_INDEXES_MAX, VERIFY_OBJECTS_MAX of the time that is asked for, with some
 *            500 bytes each. What S3 does not answer is asked for VERIFY_TRIES times.
 * Errors:    those of sink/s3_client.h; ERR_FULL: the limits; and what object() says. Texts
 *            hold of a strange key only what can be printed.
 */

#include "sink/archive_streams.h"

enum { VERIFY_INDEXES_MAX = 200 * 1000, VERIFY_OBJECTS_MAX = 500 * 1000, VERIFY_TRIES = 5 };

struct archive_verify_options {
	struct s3_options client;
	const char *prefix;
	/* Of the objects' own hours and days, all that are in part of this time; until is not in
	 * it. */
	int64_t since_ns, until_ns;
	unsigned kinds; /* 1 << each enum archive_kind that is asked for; 0: all */
	bool unindexed_too;
	bool all_sent;      /* see sink/archive_streams.h */
	size_t objects_max; /* that indexes may name of that time; 0: VERIFY_OBJECTS_MAX */
};

struct archive_verify_total {
	uint64_t indexes, objects, records, bytes; /* looked at, and as they should be */
	uint64_t unindexed, findings;
	uint64_t overdue; /* of those unindexed, stored ARCHIVE_LATE_SECONDS ago */
};

struct archive_verify_calls {
	void (*finding)(void *arg, const char *word, const char *text);
	enum err_kind (*stream)(void *arg, const struct archive_stream *s, struct err *err);
	/* Of an object that is as it should be; entry->sha256 is "" where no index says it. */
	enum err_kind (*object)(void *arg, const struct archive_entry *entry, struct span content,
				struct err *err);
	/* Of each object of that time that is listed, or that an index names; NULL: not wanted. */
	enum err_kind (*named)(void *arg, const struct archive_name *n, struct err *err);
	void *arg;
};

NODISCARD enum err_kind archive_verify(const struct archive_verify_options *options,
				       const struct archive_verify_calls *calls,
				       struct archive_verify_total *ret, struct err *err);

#endif
