#ifndef SINK_ARCHIVE_DAYS_H
#define SINK_ARCHIVE_DAYS_H

/*
 * archive_days: what an archive (sink/archive.h) holds of a kind and a time, each object read
 * and checked (sink/archive_read.h), in memory that does not grow with the archive.
 *
 * First the indexes, one after the other, and of each the objects that it names, held against
 * what it says. One that is not what an index is, in any of its lines, is none. Then the objects
 * that no index covers, held against what their own metadata says: those of deliveries that are
 * in no index yet. Which these are the caller knows: it is told of each index, and then asked of
 * each page of names. So what lies in the range of an index without being named there is not
 * read: who can only add an object makes no archive of it.
 *
 * An index that was made ARCHIVE_DAYS_AHEAD days or more before that time can name nothing of
 * it, for nothing that is so far ahead is stored; so it is not read, and covers what its name
 * says.
 *
 * What is not as it should be is told, and does not count; it is no error.
 *
 * Ownership: what the calls are given is lent to them.
 * Threads:   one.
 * Limits:    one index, one object and one page of names at a time. What S3 does not answer is
 *            asked for ARCHIVE_WALK_TRIES times.
 * Errors:    those of sink/s3_client.h, and what the calls say, which is the end. An object's
 *            ERR_REJECT is no error: it is told as what is not as it should be.
 */

#include "sink/archive_walk.h"

enum { ARCHIVE_DAYS_AHEAD = 101 }; /* flytrail.ensure_partition() has 100 */

struct archive_days_options {
	struct s3_options client;
	const char *prefix;
	enum archive_kind kind; /* not ARCHIVE_INDEX */
	/* Those whose own hour or day is in part of this time; until is not in it. */
	int64_t since_ns, until_ns;
};

struct archive_days_calls {
	/* Its range is covered. named: of its objects, those that were asked for and are sound. */
	enum err_kind (*index)(void *arg, const struct archive_walk_object *index, uint64_t named,
			       struct err *err);
	/* Sets those of ret that no index covers; they are all false. */
	enum err_kind (*uncovered)(void *arg, const struct archive_walk_object *objects,
				   size_t count, bool *ret, struct err *err);
	/* It is sound; ERR_REJECT: after all it is not. */
	enum err_kind (*object)(void *arg, const struct archive_entry *entry, struct span content,
				struct err *err);
	/* An index or an object is not as it should be. */
	void (*unsound)(void *arg, const char *why);
	void *arg;
};

NODISCARD enum err_kind archive_days(const struct archive_days_options *options,
				     const struct archive_days_calls *calls, struct err *err);

#endif
