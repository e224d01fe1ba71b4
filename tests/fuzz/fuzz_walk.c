/*
 * Whatever a segment's bytes are, and wherever windows of them end, the walk
 * ends, gives only frames that stand there with valid checks, and their numbers
 * and the missing ones together are each number once.
 */

#include "spool/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { SEQ_MAX = 1000 };

/* The salt of tests/data/segment-v1.bin, which is the seed. */
static const uint8_t salt[FRAME_SALT_BYTES] = {'0', '1', '2', '3', '4', '5', '6', '7',
					       '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};

static void check_step(const struct walk *w, enum walk_step step, const struct walk_found *found,
		       uint64_t *seq)
{
	struct frame f;
	size_t used;

	if (step == WALK_MISSING) {
		REQUIRE(found->first_seq == *seq + 1 && found->last_seq >= found->first_seq);
		*seq = found->last_seq;
		return;
	}
	REQUIRE(frame_decode(&w->keys, w->bytes + (found->start - w->base),
			     w->len - (size_t)(found->start - w->base), &f, &used) == FRAME_WHOLE);
	REQUIRE(f.seq == found->frame.seq && f.kind == found->frame.kind);
	if (step == WALK_RECORD)
		REQUIRE(f.seq == ++*seq);
	REQUIRE(*seq <= SEQ_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	size_t window = len > 0 ? 64 + (size_t)bytes[0] * 8 : 64;
	struct walk w = {.keys = frame_keys_from(salt), .next_seq = 1, .last_seq = SEQ_MAX};
	size_t offset = 0, need = 0;
	struct walk_found found;
	enum walk_step step;
	uint64_t seq = 0;

	while (offset < len) {
		w.bytes = bytes + offset;
		w.len = need > window ? need : window;
		if (w.len > len - offset)
			w.len = len - offset;
		w.base = offset;
		w.pos = 0;
		for (step = walk_next(&w, &found); step != WALK_MORE; step = walk_next(&w, &found))
			check_step(&w, step, &found, &seq);
		if (w.pos == 0 && w.len == len - offset)
			break; /* what is left is cut short */
		need = found.need;
		offset += w.pos;
	}
	return 0;
}
