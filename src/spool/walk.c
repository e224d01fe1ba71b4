#include "spool/walk.h"

/* Moves to the next place where a frame may begin; false: none in this window. */
static bool search(struct walk *w)
{
	const uint8_t *from = w->bytes + w->pos + 1;
	size_t len = w->len - w->pos - 1;
	const uint8_t *hit = memmem(from, len, w->keys.magic, FRAME_MAGIC_BYTES);

	if (!w->lost)
		w->bad++;
	w->lost = true;
	if (hit) {
		w->pos = (size_t)(hit - w->bytes);
		return true;
	}
	/* The magic may begin in the last bytes of this window. */
	w->pos += len < FRAME_MAGIC_BYTES ? 1 : 1 + len - (FRAME_MAGIC_BYTES - 1);
	return false;
}

static bool in_place(const struct walk *w, const struct frame *f, size_t bytes)
{
	if (f->seq > w->last_seq)
		return false;
	if (f->kind == FRAME_RECORD)
		return f->seq >= w->next_seq;
	return f->seq + 1 >= w->next_seq && commit_decode(f).end == w->base + w->pos + bytes;
}

static enum walk_step found_frame(struct walk *w, struct walk_found *ret, size_t bytes)
{
	uint64_t before = ret->frame.kind == FRAME_RECORD ? ret->frame.seq : ret->frame.seq + 1;

	w->lost = false;
	if (before > w->next_seq) {
		ret->first_seq = w->next_seq;
		ret->last_seq = before - 1;
		w->next_seq = before;
		return WALK_MISSING;
	}
	ret->start = w->base + w->pos;
	w->pos += bytes;
	if (ret->frame.kind == FRAME_COMMIT)
		return WALK_COMMIT;
	w->next_seq++;
	return WALK_RECORD;
}

enum walk_step walk_next(struct walk *w, struct walk_found *ret)
{
	ret->need = FRAME_HEADER_BYTES;
	while (w->pos < w->len) {
		size_t bytes = 0;
		enum frame_state state = frame_decode(&w->keys, w->bytes + w->pos, w->len - w->pos,
						      &ret->frame, &bytes);

		if (state == FRAME_WHOLE && in_place(w, &ret->frame, bytes))
			return found_frame(w, ret, bytes);
		if (state == FRAME_SHORT) {
			ret->need = bytes;
			return WALK_MORE;
		}
		(void)search(w);
	}
	return WALK_MORE;
}
