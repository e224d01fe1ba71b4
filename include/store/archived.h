#ifndef STORE_ARCHIVED_H
#define STORE_ARCHIVED_H

/*
 * archived: which records of an archive Postgres has not, and which rows the archive has not.
 *
 * A line stands under its id, at the time that it claims or, where that could not be its own,
 * at that of its arrival; an event under its id, in its retention class.
 *
 * Ownership: archived_open() makes it, archived_close() ends it.
 * Threads:   one.
 * Limits:    ARCHIVED_IDS_MAX ids at once; those of store/archived_ranges.h and store/session.h.
 * Errors:    theirs. A connection that is lost is made again, and each statement is tried
 *            ARCHIVED_TRIES times; archived_open() tries once, for what is wrong from the start is
 *            mostly the way there.
 */

#include "model/id.h"

#include <stdint.h>

enum { ARCHIVED_IDS_MAX = 10000, ARCHIVED_TRIES = 5, ARCHIVED_YOUNG_SECONDS = 2 * 3600 };

struct archived;

struct archived_id {
	struct id id;
	int64_t occurred_ns, observed_ns;
};

/* url is the writer's. */
NODISCARD enum err_kind archived_open(struct archived **ret, const char *url, struct err *err);
void archived_close(struct archived *a); /* NULL is fine */

/* *ret_seq: how far Postgres has come in that stream; UINT64_MAX: it knows no such stream. */
NODISCARD enum err_kind archived_reach(struct archived *a, const struct id *stream, uint64_t epoch,
				       uint64_t *ret_seq, struct err *err);

/* Where class is "", lines; else events of that retention class. */
NODISCARD enum err_kind archived_missing(struct archived *a, const char *class,
					 const struct archived_id *ids, size_t count,
					 uint64_t *ret_missing, struct err *err);
NODISCARD enum err_kind archived_has_day(struct archived *a, const char *class, int64_t day_ns,
					 bool *ret, struct err *err);

/*
 * The other way round: rows that no object has. Named first are all objects of a time; class is as
 * above, and a constant.
 */
struct archived_object {
	const char *class;
	struct id stream;
	int64_t from_ns; /* the hour of lines, the day of events */
	uint64_t first_seq, last_seq;
};

NODISCARD enum err_kind archived_name(struct archived *a, const struct archived_object *o,
				      struct err *err);

/* From that number on, the archive should have all rows of the class and the stream. */
NODISCARD enum err_kind archived_expect(struct archived *a, const char *class,
					const struct id *stream, uint64_t first_seq,
					struct err *err);

/*
 * *ret: rows of that class and time that an object should have, and none has: those with a number
 * that is expected, or in the range of any object of their class and stream, for what is delivered
 * of a range is all that the class has in it. Not asked for is what was seen less than
 * ARCHIVED_YOUNG_SECONDS before archived_open(): it may be on its way, and an object that was put
 * meanwhile may have been listed or not, in no order. since and until are of whole days, each of
 * which is a statement of its own.
 */
NODISCARD enum err_kind archived_unnamed(struct archived *a, const char *class, int64_t since_ns,
					 int64_t until_ns, uint64_t *ret, struct err *err);

#endif
