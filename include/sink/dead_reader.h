#ifndef SINK_DEAD_READER_H
#define SINK_DEAD_READER_H

/*
 * dead_reader: the dead letters of a sink that nobody has settled, as they are at one moment.
 *
 * dead_reader_open() reads the letters and what is settled of them (sink/dead_file.h), and
 * remembers where each letter stands; `flytrail run` may go on adding to them, or clear them
 * away, which changes nothing here. A line that cannot be read is told with its place, and
 * stands in nobody's way.
 *
 * Ownership: dead_reader_open() makes it; what dead_reader_read() gives is lent until its next.
 * Threads:   one.
 * Limits:    those of the files, so some 50 MB for the places of a million letters. Of lines
 *            that cannot be read DEAD_DAMAGES_TOLD have a place.
 * Errors:    those of base/file.h. A file that is not there has no letters. ERR_CORRUPT from
 *            dead_reader_read(): somebody has changed the line since dead_reader_open().
 */

#include "sink/dead_file.h"

enum { DEAD_DAMAGES_TOLD = 16 };

struct dead_reader;

NODISCARD enum err_kind dead_reader_open(struct dead_reader **ret, const char *folder,
					 const char *sink, struct err *err);
void dead_reader_close(struct dead_reader *r); /* NULL is fine */

/* In the order in which they were written; of two of one key the newer. */
size_t dead_reader_count(const struct dead_reader *r);
const struct dead_key *dead_reader_key(const struct dead_reader *r, size_t idx);
NODISCARD bool dead_reader_find(const struct dead_reader *r, const struct dead_key *key,
				size_t *ret_idx);
/* Of a key that is none of these: somebody has settled it, and it is not cleared away yet. */
bool dead_reader_is_settled(const struct dead_reader *r, const struct dead_key *key);

struct dead_damages {
	size_t count;
	uint64_t places[DEAD_DAMAGES_TOLD]; /* in the file, in bytes */
};
const struct dead_damages *dead_reader_damages(const struct dead_reader *r);

struct dead_letter {
	struct span time, reason, answer; /* answer may be empty */
	int64_t written_ns;               /* time */
	struct span payload;
};

NODISCARD enum err_kind dead_reader_read(struct dead_reader *r, size_t idx, struct dead_letter *ret,
					 struct err *err);

#endif
