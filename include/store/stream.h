#ifndef STORE_STREAM_H
#define STORE_STREAM_H

/*
 * stream: this spool's row in flytrail.streams: its epoch, and how far it is stored.
 *
 * The cursor moves by comparing stream, epoch and the old position, in the
 * transaction of the rows it passes: of two writers of one stream one wins. With
 * it goes the mark of the record that it stands behind, by which the other one
 * sees that it was not its own. Rows that are new begin at the stream's start_seq.
 *
 * Threads: as the session.
 * Errors:  the session's; ERR_CONFIG where the epoch says that the volume is a copy.
 */

#include "spool/spool.h"
#include "store/session.h"

struct stream_row {
	struct spool_stream stream;
	const char *replica; /* this machine's name, for people; lent */
};

struct stream_position {
	uint64_t seq;
	uint64_t mark; /* of the record of that number (spool/spool.h); 0: not known */
};

/* Finds the row, makes it where there is none, and raises its epoch to this spool's. */
NODISCARD enum err_kind stream_open(struct session *s, const struct stream_row *r,
				    struct stream_position *ret, struct err *err);

/* ERR_RETRY: the cursor is elsewhere: a commit's answer was lost, or somebody else moved it. */
NODISCARD enum err_kind stream_move_cursor(struct session *s, const struct stream_row *r,
					   uint64_t after_seq, const struct stream_position *to,
					   struct err *err);

#endif
