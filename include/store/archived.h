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
 * Limits:    ARCHIVED_IDS_MAX ids at once; those of store/session.h.
 * Errors:    the session's (store/session.h).
 */

#include "model/id.h"

#include <stdint.h>

enum { ARCHIVED_IDS_MAX = 10000 };

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

/* The other way round: rows that no object has. All objects of a time are named first; class is
 * as above. */
struct archived_object {
	const char *class;
	struct id stream;
	int64_t from_ns; /* the hour of lines, the day of events */
	uint64_t first_seq, last_seq;
};

NODISCARD enum err_kind archived_name(struct archived *a, const struct archived_object *o,
				      struct err *err);

/* So are all streams that the archive has anything of: from where on it has their events, and
 * their lines (UINT64_MAX: none). */
NODISCARD enum err_kind archived_begins(struct archived *a, const struct id *stream,
					uint64_t first_seq, uint64_t first_line_seq,
					struct err *err);

/*
 * *ret: rows of that class and time that such a stream accepted, and no object has. What came
 * before it begins in the archive, or in its newest range of that time and behind it not two
 * hours ago, is not asked for: nobody has to have delivered it.
 */
NODISCARD enum err_kind archived_unnamed(struct archived *a, const char *class, int64_t since_ns,
					 int64_t until_ns, uint64_t *ret, struct err *err);

#endif
