#ifndef SPOOL_WALK_H
#define SPOOL_WALK_H

/*
 * walk: goes over the bytes of a segment, frame by frame, and over damage.
 *
 * Where bytes are no frame, it searches for the next that has this segment's
 * magic, valid checks and a sequence number in range; the numbers between are
 * missing. The caller gives a window of the segment's bytes and moves it when
 * asked: bytes, len, and base with pos = 0 for a new window; the rest is the
 * walk's.
 *
 * Ownership: none; frames are lent from the window.
 * Threads:   one.
 */

#include "spool/frame.h"

struct walk {
	struct frame_keys keys;
	uint64_t next_seq; /* the number that should come next */
	uint64_t last_seq; /* the highest that may stand here */
	uint64_t bad;      /* places that were no frame: counts */
	bool lost;         /* at such a place now */
	/* the window */
	const uint8_t *bytes;
	size_t len;
	size_t pos;
	uint64_t base; /* offset in the segment of bytes[0] */
};

enum walk_step {
	WALK_RECORD,
	WALK_COMMIT,
	WALK_MISSING, /* first_seq..last_seq are not here; go on */
	WALK_MORE,    /* the window ends: need bytes from base + pos on */
};

struct walk_found {
	struct frame frame;
	uint64_t start; /* offset of the frame in the segment */
	uint64_t first_seq, last_seq;
	size_t need;
};

enum walk_step walk_next(struct walk *w, struct walk_found *ret);

#endif
