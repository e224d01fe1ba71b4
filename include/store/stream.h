#ifndef STORE_STREAM_H
#define STORE_STREAM_H

/*
 * stream: this spool's row in flytrail.streams: its epoch, and how far it is stored.
 *
 * The cursor moves by comparing stream, epoch and the old position, in the
 * transaction of the rows it passes: of two writers of one stream one wins.
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

/* Finds the row, makes it where there is none, and raises its epoch to this spool's. */
NODISCARD enum err_kind stream_open(struct session *s, const struct stream_row *r,
				    uint64_t *ret_cursor_seq, struct err *err);

/* ERR_RETRY: the cursor is elsewhere: a commit's answer was lost, or somebody else moved it. */
NODISCARD enum err_kind stream_move_cursor(struct session *s, const struct stream_row *r,
					   uint64_t after_seq, uint64_t seq, struct err *err);

#endif
