#ifndef STORE_EXPORT_H
#define STORE_EXPORT_H

/*
 * export: a range of a stream from Postgres, as the payloads that its rows were made of.
 *
 * A line that is an event is a row of both tables, and comes back as one payload with what
 * classification found. Where the line's own row is gone, as lines are kept for a shorter time,
 * its event comes alone; where the event's is, the line comes with nothing found.
 *
 * What the rows do not have does not come back: of times that are no line's own, the
 * nanoseconds (columns end at the microsecond); the order and the blanks of attributes, which
 * jsonb keeps as it likes. So what is made of these payloads is equal in what it says, and not
 * in its bytes.
 *
 * A range is of the rows that Postgres has under this stream and these numbers. What another
 * replica had stored before is there once, under that one's stream: it is not of this range. A
 * stream has one epoch at a time, and rows do not have it; export_open() holds the one that is
 * asked for against the stream's, and the range against how far the stream is stored.
 *
 * There is no index by number, for it would cost every line that is written to be of use in a
 * case that is rare: the tables are read once, as far as since and until leave partitions of
 * them, and the range is sorted by the server. Of two million lines on the development
 * machine, in memory, 1000 came so in 0.7 s, and 200,000 in 3 s.
 *
 * Ownership: a payload is lent until the next.
 * Threads:   one.
 * Limits:    EXPORT_ROWS rows or EXPORT_BYTES_MAX at a time, or one row that is larger;
 *            EXPORT_ANSWER_SECONDS for the server's answers.
 * Errors:    the session's. ERR_CONFIG: no such stream or range; or a row was written by a
 *            newer flytrail.
 */

#include "base/span.h"
#include "spool/spool.h"

enum {
	EXPORT_ROWS = 256,
	EXPORT_BYTES_MAX = 8 * 1024 * 1024,
	EXPORT_CONNECT_SECONDS = 10,
	EXPORT_ANSWER_SECONDS = 1800, /* the first answer comes when all is read and sorted */
};

struct export_range {
	struct spool_stream stream; /* start_seq is not looked at */
	uint64_t first_seq, last_seq;
	const char *since, *until; /* of occurred_at, as Postgres reads times; "": all */
};

struct export;

struct export_record {
	uint64_t seq;
	struct span payload;
};

/* url is the writer's, who may read lines. */
NODISCARD enum err_kind export_open(struct export **ret, const char *url,
				    const struct export_range *range, struct err *err);
void export_close(struct export *e); /* NULL is fine */

/* In the order of their numbers. *ret_found false: there are no more. */
NODISCARD enum err_kind export_next(struct export *e, struct export_record *ret, bool *ret_found,
				    struct err *err);

#endif
