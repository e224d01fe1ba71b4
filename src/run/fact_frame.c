#include "run/fact_frame.h"

#include "base/time.h"

#include <string.h>

enum err_kind fact_frame_make(const struct fact_frames *f, struct spool_batch *b,
			      const struct fact *fact, struct spool_frame *ret, struct err *err)
{
	size_t start = b->bytes.len;
	enum err_kind rc = trail_encode(f->trail, f->hasher, fact, &b->bytes, err);

	if (rc)
		return rc;
	*ret = (struct spool_frame){
		.seq = fact->last_seq,
		.observed_ns = fact->noticed_ns,
		.offset = start,
		.len = b->bytes.len - start,
	};
	return ERR_NONE;
}

enum err_kind fact_frame_put(const struct fact_frames *f, struct spool_batch *b,
			     const struct fact *fact, const struct fact_place *place,
			     struct err *err)
{
	struct spool_frame frame;
	enum err_kind rc = fact_frame_make(f, b, fact, &frame, err);
	size_t at = b->count;

	if (rc)
		return rc;
	if (frame.seq <= place->cursor) {
		frame.seq = place->cursor;
		frame.mark = place->mark;
	}
	while (at > 0 && b->frames[at - 1].seq > frame.seq)
		at--;
	memmove(&b->frames[at + 1], &b->frames[at], (b->count - at) * sizeof(frame));
	b->frames[at] = frame;
	b->frames_max++;
	if (b->count++ == 0)
		b->first_ns = time_monotonic_ns();
	return ERR_NONE;
}
