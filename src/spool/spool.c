#include "spool/inside.h"

#include "base/time.h"

#include <inttypes.h>
#include <stdlib.h>

/* The block in a state; there is at most one but of FREE ones. */
static struct block *block_in(struct spool *s, enum block_state state)
{
	for (size_t i = 0; i < BLOCK_COUNT; i++)
		if (s->blocks[i].state == state)
			return &s->blocks[i];
	return NULL;
}

static enum err_kind check_options(const struct spool_options *options, struct err *err)
{
	const size_t names_bytes = 64; /* the longest path below the folder */

	if (options->max_bytes < (uint64_t)SPOOL_SEGMENTS_MIN * SPOOL_SEGMENT_BYTES)
		return err_set(
			err, ERR_CONFIG, "a spool needs %d MiB at least, not %" PRIu64 " bytes",
			SPOOL_SEGMENTS_MIN * (SPOOL_SEGMENT_BYTES >> 20), options->max_bytes);
	if (strlen(options->folder) + names_bytes > PATH_MAX)
		return err_set(err, ERR_CONFIG, "the path of the spool's folder is too long");
	return ERR_NONE;
}

static enum err_kind make_blocks(struct spool *s, struct err *err)
{
	for (size_t i = 0; i < BLOCK_COUNT; i++) {
		s->blocks[i].data = malloc(BLOCK_BYTES);
		if (!s->blocks[i].data)
			return err_set(err, ERR_FATAL, "no memory for the spool's blocks");
		s->blocks[i].cap = BLOCK_BYTES;
	}
	return ERR_NONE;
}

static struct spool *spool_new(const struct spool_options *options)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	memcpy(s->folder, options->folder, strlen(options->folder) + 1);
	s->max_bytes = options->max_bytes;
	s->keep_ns = options->keep_ns;
	s->commits = options->commits;
	s->lock_fd = -1;
	s->tail_fd = -1;
	s->next_fd = -1;
	lock_init(&s->block_lock, LOCK_RANK_spool_block);
	lock_init(&s->lock, LOCK_RANK_spool);
	lock_cond_init(&s->work);
	lock_cond_init(&s->room);
	lock_cond_init(&s->accepted);
	return s;
}

enum err_kind spool_open(struct spool **ret, const struct spool_options *options, struct err *err)
{
	enum err_kind rc = check_options(options, err);
	struct spool *s;

	if (rc)
		return rc;
	s = spool_new(options);
	if (!s)
		return err_set(err, ERR_FATAL, "no memory for a spool");
	rc = make_blocks(s, err);
	if (!rc)
		rc = recover_spool(s, err);
	if (!rc)
		rc = commit_upkeep(s, err);
	if (rc) {
		spool_close(s);
		return rc;
	}
	s->opened_seq = s->accepted_seq;
	*ret = s;
	return ERR_NONE;
}

void spool_close(struct spool *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < SPOOL_CONSUMERS_MAX; i++)
		REQUIRE(!s->consumers[i].used);
	file_close(&s->tail_fd);
	file_close(&s->next_fd);
	file_close(&s->lock_fd); /* and lets go of the folder */
	for (size_t i = 0; i < BLOCK_COUNT; i++)
		free(s->blocks[i].data);
	free(s->segments);
	MUST0(pthread_cond_destroy(&s->work));
	MUST0(pthread_cond_destroy(&s->room));
	MUST0(pthread_cond_destroy(&s->accepted));
	lock_destroy(&s->block_lock);
	lock_destroy(&s->lock);
	free(s);
}

enum err_kind spool_look(const char *folder, struct spool_look *ret, struct err *err)
{
	const struct spool_options options = {
		.folder = folder, .max_bytes = (uint64_t)SPOOL_SEGMENTS_MIN * SPOOL_SEGMENT_BYTES};
	enum err_kind rc = check_options(&options, err);
	struct spool_look look = {.found = false};
	struct spool *s;

	if (rc)
		return rc;
	s = spool_new(&options);
	if (!s)
		return err_set(err, ERR_FATAL, "no memory for a spool");
	rc = recover_look(s, &look, err);
	spool_close(s);
	if (!rc)
		*ret = look;
	return rc;
}

static enum err_kind adopt(struct spool *s, struct spool_adopted *ret, struct err *err)
{
	bool found = false;
	enum err_kind rc = recover_find(s, &found, err);

	if (!rc && !found)
		rc = err_set(err, ERR_CONFIG, "there is no spool in %s", s->folder);
	if (!rc)
		rc = recover_spool(s, err);
	if (rc)
		return rc;
	ret->before = s->stream;
	rc = identity_adopt(s, err);
	ret->now = s->stream;
	ret->end_seq = s->accepted_seq;
	return rc;
}

enum err_kind spool_adopt(const char *folder, struct spool_adopted *ret, struct err *err)
{
	const struct spool_options options = {
		.folder = folder, .max_bytes = (uint64_t)SPOOL_SEGMENTS_MIN * SPOOL_SEGMENT_BYTES};
	enum err_kind rc = check_options(&options, err);
	struct spool *s;

	if (rc)
		return rc;
	s = spool_new(&options);
	if (!s)
		return err_set(err, ERR_FATAL, "no memory for a spool");
	rc = adopt(s, ret, err);
	spool_close(s);
	return rc;
}

struct spool_stream spool_stream(const struct spool *s)
{
	return s->stream;
}

static size_t segments_kept(const struct spool *s)
{
	return (size_t)(s->max_bytes / SPOOL_SEGMENT_BYTES / 2);
}

uint64_t spool_passed(const struct spool *s, const struct consumer *c)
{
	size_t kept = segments_kept(s);
	uint64_t let_go = 0;

	if (c->yields && s->segment_count > kept)
		let_go = s->segments[s->segment_count - kept].first_seq - 1;
	return c->passed > let_go ? c->passed : let_go;
}

/* The newest frame that all have passed who do not yield; before the oldest where there is none. */
static uint64_t passed_by_all(const struct spool *s)
{
	uint64_t passed = UINT64_MAX;

	for (size_t i = 0; i < SPOOL_CONSUMERS_MAX; i++)
		if (s->consumers[i].used && !s->consumers[i].yields &&
		    s->consumers[i].passed < passed)
			passed = s->consumers[i].passed;
	return passed != UINT64_MAX ? passed : s->segments[0].first_seq - 1;
}

/* Whole segments from the first that is not passed; of the newest, what is accepted. */
static uint64_t bytes_after(const struct spool *s, uint64_t passed, size_t *ret_segment)
{
	size_t low = 0, high = s->segment_count;

	if (high == 0 || passed >= s->accepted_seq)
		return 0;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (s->segments[middle].first_seq <= passed + 1)
			low = middle;
		else
			high = middle;
	}
	*ret_segment = low;
	return (uint64_t)(s->segment_count - 1 - low) * SPOOL_SEGMENT_BYTES + s->accepted_end;
}

void spool_look_behind(const struct spool *s, const struct consumer *c, struct spool_behind *ret)
{
	size_t segment = 0;

	*ret = (struct spool_behind){
		.bytes = bytes_after(s, c->passed, &segment),
		.bytes_max =
			c->yields ? segments_kept(s) * (uint64_t)SPOOL_SEGMENT_BYTES : s->max_bytes,
	};
	if (ret->bytes > 0)
		ret->from_ns = s->segments[segment].first_ns;
}

void spool_stats(struct spool *s, struct spool_stats *ret)
{
	struct spool_stats st = {
		.max_bytes = s->max_bytes,
		.torn_bytes = s->torn_bytes,
		.opened_seq = s->opened_seq,
	};
	size_t ignored;

	lock_take(&s->lock);
	st.accepted_seq = s->accepted_seq;
	st.oldest_seq = s->segment_count > 0 ? s->segments[0].first_seq : s->accepted_seq + 1;
	st.oldest_ns = s->segment_count > 0 ? s->segments[0].first_ns : 0;
	st.bytes = (uint64_t)s->segment_count * SPOOL_SEGMENT_BYTES;
	if (s->segment_count > 0)
		st.held_bytes = bytes_after(s, passed_by_all(s), &ignored);
	st.damage_count = s->damage_count;
	lock_drop(&s->lock);

	lock_take(&s->block_lock);
	st.appended_seq = s->appended_seq;
	st.full = s->refused;
	if (s->next_ready)
		st.bytes += SPOOL_SEGMENT_BYTES;
	lock_drop(&s->block_lock);
	*ret = st;
}

void spool_hand_over(struct spool *s, struct block *b, enum block_state state)
{
	LOCK_ASSERT_HELD(&s->block_lock);
	REQUIRE(b->state == BLOCK_FILLING && b->count > 0);
	b->state = state;
	s->tail.offset = b->start + b->len + COMMIT_FRAME_BYTES;
	REQUIRE(s->tail.offset <= SPOOL_SEGMENT_BYTES);
	MUST0(pthread_cond_signal(&s->work));
}

static void await_committer(struct spool *s)
{
	s->room_wanted = true;
	MUST0(pthread_cond_signal(&s->work));
	lock_wait(&s->block_lock, &s->room);
}

/* Both blocks are in use: the committer is at work, unless the disk does not take what they hold.
 */
static enum err_kind await_block(struct spool *s, struct err *err)
{
	if (s->block_refused)
		return err_set(err, ERR_FULL, "the spool's disk has no room for a block");
	await_committer(s);
	return ERR_NONE;
}

/* The segment is full: there is room if the committer, once it has looked, does not deny it. */
static enum err_kind await_next(struct spool *s, struct err *err)
{
	if (s->no_room && !s->room_wanted && !s->preparing)
		return err_set(err, ERR_FULL, "the spool has no room for records");
	await_committer(s);
	return ERR_NONE;
}

/* The next frame begins a segment in the room of `next`. */
static void roll(struct spool *s)
{
	s->tail.segment = s->appended_seq + 1;
	s->tail.offset = 0;
	memcpy(s->tail.salt, s->next_salt, sizeof(s->tail.salt));
	s->tail.keys = frame_keys_from(s->tail.salt);
	s->next_ready = false;
	MUST0(pthread_cond_signal(&s->work));
}

/* Swaps an empty block's memory for more. Only the appender touches an empty FILLING block. */
static enum err_kind grow(struct spool *s, struct block *b, size_t cap, struct err *err)
{
	uint8_t *data;

	lock_drop(&s->block_lock);
	data = malloc(cap);
	if (data) {
		free(b->data);
		b->data = data;
		b->cap = cap;
	}
	lock_take(&s->block_lock);
	return data ? ERR_NONE : err_set(err, ERR_FATAL, "no memory for a payload of its size");
}

/*
 * One step towards a block that takes need bytes: *ret is set when it does.
 * ERR_FULL: no room on disk.
 */
static enum err_kind step_to_block(struct spool *s, size_t need, enum spool_use use,
				   struct block **ret, struct err *err)
{
	bool reserve_is_mine = use == SPOOL_TRAIL || s->next_ready;
	uint64_t limit = SPOOL_SEGMENT_BYTES - (reserve_is_mine ? 0 : SPOOL_TRAIL_RESERVE_BYTES);
	struct block *b = block_in(s, BLOCK_FILLING);
	uint64_t at;
	size_t used;

	if (!b)
		b = block_in(s, BLOCK_FREE);
	if (!b)
		return await_block(s, err);
	b->state = BLOCK_FILLING;
	at = b->len > 0 ? b->start : s->tail.offset;
	used = b->len;
	if (at == 0 && used == 0)
		used = SEGMENT_HEADER_BYTES;
	if (at + used + need + COMMIT_FRAME_BYTES > limit) {
		if (b->len > 0 && block_in(s, BLOCK_READY))
			return await_block(s, err);
		if (!s->next_ready) {
			b->due_ns = 0; /* `next` may be made when this block is on disk */
			return await_next(s, err);
		}
		if (b->len > 0)
			spool_hand_over(s, b, BLOCK_READY);
		else
			roll(s);
		return ERR_NONE;
	}
	if (used + need + COMMIT_FRAME_BYTES <= b->cap) {
		*ret = b;
		return ERR_NONE;
	}
	if (b->len == 0)
		return grow(s, b, used + need + COMMIT_FRAME_BYTES, err);
	if (block_in(s, BLOCK_READY))
		return await_block(s, err);
	spool_hand_over(s, b, BLOCK_READY);
	return ERR_NONE;
}

/* The first frame of a block says which segment it belongs to. */
static void begin_block(struct spool *s, struct block *b, int64_t observed_ns)
{
	struct segment_header h = {
		.uuid = s->stream.uuid,
		.epoch = s->stream.epoch,
		.first_seq = s->tail.segment,
		.first_ns = observed_ns,
	};

	b->segment = s->tail.segment;
	b->segment_ns = observed_ns;
	b->start = s->tail.offset;
	b->fresh = s->tail.offset == 0;
	b->keys = s->tail.keys;
	b->count = 0;
	b->due_ns = time_monotonic_ns() + BLOCK_GATHER_MS * NS_PER_MS;
	if (b->fresh) {
		memcpy(h.salt, s->tail.salt, sizeof(h.salt));
		segment_header_encode(&h, b->data);
		b->len = SEGMENT_HEADER_BYTES;
	}
	MUST0(pthread_cond_signal(&s->work));
}

static void add_frame(struct spool *s, struct block *b, struct span payload, int64_t observed_ns)
{
	struct frame f = {
		.kind = FRAME_RECORD,
		.seq = s->appended_seq + 1,
		.observed_ns = observed_ns,
		.payload = payload,
	};

	if (b->len == 0)
		begin_block(s, b, observed_ns);
	frame_encode(&b->keys, &f, b->data + b->len);
	b->len += FRAME_OVERHEAD_BYTES + payload.len;
	b->last_seq = f.seq;
	b->last_ns = observed_ns;
	b->count++;
	s->appended_seq = f.seq;
}

enum err_kind spool_append(struct spool *s, struct span payload, int64_t observed_ns,
			   enum spool_use use, struct err *err)
{
	enum err_kind rc = ERR_NONE;
	struct block *b = NULL;

	REQUIRE(payload.len > 0 && payload.len <= RECORD_PAYLOAD_BYTES_MAX);
	lock_take(&s->block_lock);
	REQUIRE(!s->ended);
	while (!rc && !b) {
		if (s->failed)
			rc = err_set(err, ERR_FATAL, "the spool's disk failed");
		else
			rc = step_to_block(s, FRAME_OVERHEAD_BYTES + payload.len, use, &b, err);
	}
	if (b)
		add_frame(s, b, payload, observed_ns);
	if (use == SPOOL_ORDINARY)
		s->refused = rc == ERR_FULL;
	lock_drop(&s->block_lock);
	return rc;
}

bool spool_wait_room(struct spool *s, int64_t timeout_ns)
{
	int64_t deadline_ns = time_monotonic_ns() + timeout_ns;
	bool in_time = true;
	uint64_t wakes;
	bool room;

	lock_take(&s->block_lock);
	wakes = s->room_wakes;
	while (in_time && s->no_room && !s->failed && wakes == s->room_wakes)
		in_time = lock_wait_until(&s->block_lock, &s->room, deadline_ns);
	room = !s->no_room || s->failed; /* a failed spool says so at the next append */
	lock_drop(&s->block_lock);
	return room;
}

void spool_flush(struct spool *s)
{
	struct block *b;

	lock_take(&s->block_lock);
	b = block_in(s, BLOCK_FILLING);
	if (b && b->len > 0) {
		b->due_ns = 0;
		MUST0(pthread_cond_signal(&s->work));
	}
	lock_drop(&s->block_lock);
}

void spool_end_appends(struct spool *s)
{
	lock_take(&s->block_lock);
	s->ended = true;
	MUST0(pthread_cond_signal(&s->work));
	lock_drop(&s->block_lock);
}

void spool_wake(struct spool *s)
{
	lock_take(&s->block_lock);
	s->room_wakes++;
	MUST0(pthread_cond_broadcast(&s->room));
	MUST0(pthread_cond_signal(&s->work));
	lock_drop(&s->block_lock);

	lock_take(&s->lock);
	s->read_wakes++;
	MUST0(pthread_cond_broadcast(&s->accepted));
	lock_drop(&s->lock);
}

/* ---- what a reader fills ---- */

enum err_kind spool_batch_init(struct spool_batch *b, size_t frames_max, size_t bytes_max,
			       struct err *err)
{
	struct spool_batch fresh = {.frames_max = frames_max, .bytes_max = bytes_max};

	REQUIRE(frames_max > 0 && bytes_max > 0);
	fresh.frames = malloc(frames_max * sizeof(*fresh.frames));
	if (!fresh.frames)
		return err_set(err, ERR_FATAL, "no memory for a batch of %zu frames", frames_max);
	buf_init(&fresh.bytes, bytes_max + FRAME_BYTES_MAX);
	*b = fresh;
	return ERR_NONE;
}

void spool_batch_release(struct spool_batch *b)
{
	free(b->frames);
	buf_release(&b->bytes);
	*b = (struct spool_batch){0};
}

void spool_batch_reset(struct spool_batch *b)
{
	if (b->bytes.cap > 2 * b->bytes_max + 2) /* a buf grows by doubling */
		buf_release(&b->bytes);
	buf_reset(&b->bytes);
	b->count = 0;
	b->full = false;
	b->damage = (struct spool_damage){0};
}

struct span spool_batch_payload(const struct spool_batch *b, size_t idx)
{
	REQUIRE(idx < b->count);
	return span_of(b->bytes.data + b->frames[idx].offset, b->frames[idx].len);
}
