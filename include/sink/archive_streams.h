#ifndef SINK_ARCHIVE_STREAMS_H
#define SINK_ARCHIVE_STREAMS_H

/*
 * archive_streams: what the names in an archive (sink/archive.h) say of its streams.
 *
 * Ranges follow on each other, those of indexes and, where all is sent, those of objects. So it
 * tells, in a sentence each, that
 *
 *	no index has numbers that stand between two indexes;
 *	no index has numbers of which an object is there, and was stored more than a day, and an
 *	hour for clocks that differ, before another behind the last index: an index is put before
 *	the first object of a later day;
 *	no object has numbers that stand behind the last index, or the first object where there is
 *	no index, and before another object.
 *
 * What came before the first name of a stream or behind the last, no name can say.
 *
 * Ownership: what the calls are given is lent to them.
 * Threads:   one.
 * Limits:    ARCHIVE_STREAMS_MAX streams, ARCHIVE_RANGES_MAX ranges of indexes and behind the
 *            last of them.
 * Errors:    ERR_FULL: the limits. ERR_FATAL: no memory.
 */

#include "sink/archive_read.h"

enum {
	ARCHIVE_STREAMS_MAX = 10 * 1000,
	ARCHIVE_RANGES_MAX = 500 * 1000,
	ARCHIVE_LATE_SECONDS = 25 * 3600, /* a day, and what clocks may differ */
};

struct archive_streams;

struct archive_stream {
	struct id uuid;
	uint64_t epoch;
	/* Of its indexes: how many, the end of what they have, and that one's day. */
	uint64_t indexes, last_seq;
	int64_t date_ns;
	/* Where what is there of it begins; lines alone: UINT64_MAX where there are none. */
	uint64_t first_seq, first_line_seq;
};

struct archive_streams_calls {
	void (*missing)(void *arg, const char *text);
	enum err_kind (*stream)(void *arg, const struct archive_stream *s, struct err *err);
	void *arg;
};

NODISCARD enum err_kind archive_streams_new(struct archive_streams **ret, struct err *err);
void archive_streams_free(struct archive_streams *s); /* NULL is fine */

NODISCARD enum err_kind archive_streams_add_index(struct archive_streams *s,
						  const struct archive_name *n, struct err *err);
/* stored_ns: when, as the server says it. */
NODISCARD enum err_kind archive_streams_add_object(struct archive_streams *s,
						   const struct archive_name *n, int64_t stored_ns,
						   bool is_behind, struct err *err);

/* all_sent: whatever is numbered is in an object. */
NODISCARD enum err_kind archive_streams_tell(struct archive_streams *s, bool all_sent,
					     const struct archive_streams_calls *calls,
					     struct err *err);

/* In the order of streams; and of their ranges. */
int archive_compare_streams(const struct archive_name *a, const struct archive_name *b);
int archive_compare_names(const struct archive_name *a, const struct archive_name *b);

#endif
