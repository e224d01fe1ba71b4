#include "spool/inside.h"

#include "base/time.h"

#include <inttypes.h>
#include <stdlib.h>

/* How long a disk that was full is left alone, unless something was dropped. */
static const int64_t prepare_again_ns = NS_PER_S;

/* Has every consumer delivered all of the segment at idx, for good, or does not wait for it? */
static bool is_passed(const struct spool *s, size_t idx)
{
	uint64_t end_seq = s->segments[idx + 1].first_seq - 1;
	bool any = false;

	for (size_t i = 0; i < SPOOL_CONSUMERS_MAX; i++) {
		if (s->consumers[i].used && spool_passed(s, &s->consumers[i]) < end_seq)
			return false;
		any |= s->consumers[i].used;
	}
	return any;
}

/* Notes since when segments are passed; a consumer that went back has not passed them. */
static void note_passed(struct spool *s, int64_t now_ns)
{
	for (size_t i = 0; i + 1 < s->segment_count; i++) {
		bool passed = is_passed(s, i);

		if (!passed && s->segments[i].passed_ns == 0)
			return; /* none behind it was passed either */
		if (!passed)
			s->segments[i].passed_ns = 0;
		else if (s->segments[i].passed_ns == 0)
			s->segments[i].passed_ns = now_ns;
	}
}

/*
 * Drops the oldest segment if all passed it before_ns or earlier. The newest always stays, and so
 * does what a consumer has gone back to since note_passed().
 */
static enum err_kind drop_oldest(struct spool *s, int64_t before_ns, bool *ret_dropped,
				 struct err *err)
{
	struct segment_info oldest = {0};
	enum err_kind rc;

	lock_take(&s->lock);
	if (s->segment_count > 1 && s->segments[0].passed_ns != 0 &&
	    s->segments[0].passed_ns <= before_ns && is_passed(s, 0)) {
		oldest = s->segments[0];
		s->segment_count--;
		memmove(s->segments, s->segments + 1, s->segment_count * sizeof(*s->segments));
	}
	lock_drop(&s->lock);
	*ret_dropped = oldest.first_seq != 0;
	if (!*ret_dropped)
		return ERR_NONE;
	rc = segment_remove(s->folder, oldest.first_seq, err);
	if (!rc)
		return ERR_NONE;
	/* It is still there and still counts; only this thread changes the front of the list. */
	*ret_dropped = false;
	lock_take(&s->lock);
	memmove(s->segments + 1, s->segments, s->segment_count * sizeof(*s->segments));
	s->segments[0] = oldest;
	s->segment_count++;
	lock_drop(&s->lock);
	return rc;
}

static bool within_bound(struct spool *s)
{
	size_t count;

	lock_take(&s->lock);
	count = s->segment_count;
	lock_drop(&s->lock);
	return (uint64_t)(count + 1) * SPOOL_SEGMENT_BYTES <= s->max_bytes;
}

/* Makes `next`, dropping what all have passed as far as the bound or the disk asks for it. */
static enum err_kind prepare_next(struct spool *s, int64_t now_ns, struct err *err)
{
	enum err_kind rc = ERR_FULL;
	bool dropped = true;

	while (rc == ERR_FULL && dropped) {
		dropped = false;
		if (within_bound(s) && now_ns >= s->prepare_after_ns)
			rc = segment_prepare(s->folder, &s->next_fd, err);
		else
			rc = err_set(err, ERR_FULL, "the spool has reached its bound");
		if (rc == ERR_FULL && drop_oldest(s, now_ns, &dropped, err))
			return err->kind;
		if (dropped)
			s->prepare_after_ns = 0;
	}
	if (rc && now_ns >= s->prepare_after_ns)
		s->prepare_after_ns = now_ns + prepare_again_ns;
	return rc;
}

/* Tells the appender whether `next` has room. */
static void tell_next(struct spool *s, bool refused)
{
	lock_take(&s->block_lock);
	s->no_room = refused;
	s->preparing = false;
	MUST0(pthread_cond_broadcast(&s->room));
	lock_drop(&s->block_lock);
}

/* ... and whether the disk takes a block. */
static void tell_block(struct spool *s, bool refused)
{
	lock_take(&s->block_lock);
	s->no_room = refused;
	s->block_refused = refused;
	MUST0(pthread_cond_broadcast(&s->room));
	lock_drop(&s->block_lock);
}

static enum err_kind ready_next(struct spool *s, int64_t now_ns, struct err *err)
{
	uint8_t salt[FRAME_SALT_BYTES];
	enum err_kind rc = hash_random(salt, sizeof(salt), err);

	if (!rc)
		rc = prepare_next(s, now_ns, err);
	if (rc) {
		tell_next(s, true);
		return rc == ERR_FULL ? ERR_NONE : rc;
	}
	s->prepare_after_ns = 0;
	lock_take(&s->block_lock);
	memcpy(s->next_salt, salt, sizeof(salt));
	s->next_ready = true;
	lock_drop(&s->block_lock);
	tell_next(s, false);
	return ERR_NONE;
}

enum err_kind commit_upkeep(struct spool *s, struct err *err)
{
	int64_t now_ns = time_monotonic_ns();
	enum err_kind rc = ERR_NONE, next;
	bool dropped = true;

	lock_take(&s->block_lock);
	s->room_wanted = false;
	s->preparing = s->next_fd < 0;
	lock_drop(&s->block_lock);
	lock_take(&s->lock);
	note_passed(s, now_ns);
	lock_drop(&s->lock);
	while (!rc && dropped)
		rc = drop_oldest(s, now_ns - s->keep_ns, &dropped, err);
	if (s->next_fd >= 0)
		return rc;
	next = ready_next(s, now_ns, err); /* a file that cannot go must not stop intake */
	return next ? next : rc;
}

/* Takes the block that is to be written now; NULL: there is none within the time. */
static struct block *take_block(struct spool *s, int64_t deadline_ns, bool *ret_done)
{
	struct block *taken = NULL;
	uint64_t wakes;

	*ret_done = false;
	lock_take(&s->block_lock);
	for (wakes = s->room_wakes; !taken;) {
		struct block *filling = NULL;
		int64_t until_ns = deadline_ns, now_ns = time_monotonic_ns();

		for (size_t i = 0; i < BLOCK_COUNT; i++) {
			if (s->blocks[i].state == BLOCK_READY)
				taken = &s->blocks[i];
			else if (s->blocks[i].state == BLOCK_FILLING && s->blocks[i].len > 0)
				filling = &s->blocks[i];
		}
		if (taken)
			break;
		if (filling && (s->ended || now_ns >= filling->due_ns)) {
			spool_hand_over(s, filling, BLOCK_READY);
			continue;
		}
		*ret_done = !filling && s->ended;
		if (*ret_done || s->room_wanted || now_ns >= deadline_ns || wakes != s->room_wakes)
			break;
		if (filling && filling->due_ns < until_ns)
			until_ns = filling->due_ns;
		(void)lock_wait_until(&s->block_lock, &s->work, until_ns);
	}
	if (taken)
		taken->state = BLOCK_WRITING;
	lock_drop(&s->block_lock);
	return taken;
}

static enum err_kind write_block(struct spool *s, struct block *b, struct err *err)
{
	struct commit c = {.start = b->start, .end = b->start + b->len + COMMIT_FRAME_BYTES};
	int fd = b->fresh ? s->next_fd : s->tail_fd;
	enum err_kind rc;

	if (b->fresh)
		c.start += SEGMENT_HEADER_BYTES;
	c.count = b->count;
	REQUIRE(fd >= 0 && b->len + COMMIT_FRAME_BYTES <= b->cap);
	commit_encode(&b->keys, &c, b->last_seq, b->last_ns, b->data + b->len);
	rc = file_write_at(fd, b->data, b->len + COMMIT_FRAME_BYTES, b->start, err);
	if (rc)
		return rc == ERR_FULL ? rc : (err->kind = ERR_FATAL);
	rc = file_sync(fd, err);
	if (rc || !b->fresh)
		return rc;
	rc = segment_publish(s->folder, b->segment, err);
	if (rc)
		return rc == ERR_FULL ? rc : (err->kind = ERR_FATAL);
	file_close(&s->tail_fd);
	s->tail_fd = s->next_fd;
	s->next_fd = -1;
	return ERR_NONE;
}

static void publish_end(struct spool *s, const struct block *b)
{
	lock_take(&s->lock);
	if (b->fresh) {
		REQUIRE(s->segment_count < s->segments_max);
		s->segments[s->segment_count++] = (struct segment_info){
			.first_seq = b->segment,
			.first_ns = b->segment_ns,
		};
	}
	s->accepted_seq = b->last_seq;
	s->accepted_end = b->start + b->len + COMMIT_FRAME_BYTES;
	MUST0(pthread_cond_broadcast(&s->accepted));
	lock_drop(&s->lock);
}

/* A block that grew for one large payload goes back to its ordinary size. */
static void free_block(struct spool *s, struct block *b)
{
	uint8_t *data = b->cap > BLOCK_BYTES ? malloc(BLOCK_BYTES) : NULL;

	if (data) {
		free(b->data);
		b->data = data;
		b->cap = BLOCK_BYTES;
	}
	b->len = 0;
	b->count = 0;
	lock_take(&s->block_lock);
	b->state = BLOCK_FREE;
	MUST0(pthread_cond_broadcast(&s->room));
	lock_drop(&s->block_lock);
}

static void give_up(struct spool *s)
{
	lock_take(&s->block_lock);
	s->failed = true;
	lock_drop(&s->block_lock);
	spool_wake(s);
}

/* Writes the block that was taken; where the disk is full, drops what may go for the next try. */
static enum err_kind commit_pending(struct spool *s, struct err *err)
{
	int64_t start_ns = time_monotonic_ns();
	enum err_kind rc = write_block(s, s->pending, err);
	struct err drop_err;
	bool dropped;

	if (rc == ERR_FULL) {
		s->pending_blocked = true;
		tell_block(s, true);
		if (drop_oldest(s, INT64_MAX, &dropped, &drop_err))
			err_wrap(err, "%s; and", drop_err.text);
		return rc;
	}
	if (rc) {
		give_up(s);
		return rc;
	}
	if (s->commits)
		histogram_add(s->commits, time_monotonic_ns() - start_ns);
	publish_end(s, s->pending);
	free_block(s, s->pending);
	s->pending = NULL;
	if (s->pending_blocked)
		tell_block(s, false);
	s->pending_blocked = false;
	return ERR_NONE;
}

enum err_kind spool_commit(struct spool *s, int64_t timeout_ns, bool *ret_done, struct err *err)
{
	int64_t deadline_ns = time_monotonic_ns() + timeout_ns;
	enum err_kind upkeep = commit_upkeep(s, err);
	struct err commit_err;
	enum err_kind rc;
	bool done = false;

	if (upkeep == ERR_FATAL) {
		give_up(s);
		return upkeep;
	}
	if (!s->pending)
		s->pending = take_block(s, upkeep ? 0 : deadline_ns, &done);
	if (s->pending) {
		rc = commit_pending(s, &commit_err);
		if (rc) {
			*err = commit_err;
			return rc;
		}
	}
	if (!upkeep)
		*ret_done = done;
	return upkeep;
}
