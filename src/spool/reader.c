#include "spool/inside.h"

#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	READ_CHUNK_BYTES = 256 * 1024,
	READ_CHUNK_BYTES_MIN = 4096, /* a disk's sector and a page: what fails as one */
	READ_TRIES = 5,              /* before a place that the disk does not give is damage */
	UNREAD_MAX = 16,             /* such places that are known at a time */
};

/*
 * Bytes of a segment that the disk did not give. They are known by their place, for a consumer
 * goes back after each failure and comes by what was read before and by other such places.
 */
struct unread {
	uint64_t segment, from, until; /* in the segment */
	unsigned tries;                /* 0: the slot is free */
};

struct spool_reader {
	struct spool *spool;
	size_t consumer;
	uint64_t from_seq; /* frames before it are walked over, not delivered */
	/* the segment that is being read; fd -1: to be found by walk.next_seq */
	int fd;
	uint64_t segment;
	struct walk walk;
	uint64_t offset; /* of walk.next_seq in the segment */
	size_t need;     /* bytes that the frame there is known to need */
	bool committed;  /* a commit stands right before offset */
	size_t chunk;
	struct unread unread[UNREAD_MAX];
	size_t unread_next; /* where the next one is noted, over the oldest */
	/* for the next damage */
	int64_t last_ns;
	struct spool_damage pending; /* found, not told yet */
};

/* ---- consumers ---- */

static enum err_kind check_position(struct spool *s, const char *name, uint64_t after_seq,
				    struct err *err)
{
	LOCK_ASSERT_HELD(&s->lock);
	if (after_seq <= s->accepted_seq)
		return ERR_NONE;
	return err_set(err, ERR_CONFIG,
		       "%s has had records up to %" PRIu64 ", the spool ends at %" PRIu64
		       ": its volume is an older copy, or lost its end; run `flytrail spool adopt` "
		       "to make it a stream of its own",
		       name, after_seq, s->accepted_seq);
}

static enum err_kind take_consumer(struct spool *s, const char *name, uint64_t after_seq,
				   size_t *ret, struct err *err)
{
	size_t idx = 0;
	enum err_kind rc;

	lock_take(&s->lock);
	while (idx < SPOOL_CONSUMERS_MAX && s->consumers[idx].used)
		idx++;
	REQUIRE(idx < SPOOL_CONSUMERS_MAX);
	rc = check_position(s, name, after_seq, err);
	if (!rc) {
		s->consumers[idx] = (struct consumer){.used = true, .passed = after_seq};
		(void)snprintf(s->consumers[idx].name, SPOOL_CONSUMER_NAME_BYTES, "%s", name);
		*ret = idx;
	}
	lock_drop(&s->lock);
	return rc;
}

static void go_to(struct spool_reader *r, uint64_t after_seq)
{
	file_close(&r->fd);
	r->from_seq = after_seq + 1;
	r->walk.next_seq = after_seq + 1;
	r->last_ns = 0;
	r->pending = (struct spool_damage){0};
	r->chunk = READ_CHUNK_BYTES;
}

enum err_kind spool_reader_new(struct spool_reader **ret, struct spool *s, const char *name,
			       uint64_t after_seq, struct err *err)
{
	struct spool_reader *r = calloc(1, sizeof(*r));
	enum err_kind rc;

	if (!r)
		return err_set(err, ERR_FATAL, "no memory for a reader");
	rc = take_consumer(s, name, after_seq, &r->consumer, err);
	if (rc) {
		free(r);
		return rc;
	}
	r->spool = s;
	r->fd = -1;
	go_to(r, after_seq);
	*ret = r;
	return ERR_NONE;
}

void spool_reader_free(struct spool_reader *r)
{
	if (!r)
		return;
	lock_take(&r->spool->lock);
	r->spool->consumers[r->consumer].used = false;
	lock_drop(&r->spool->lock);
	file_close(&r->fd);
	free(r);
}

void spool_reader_yield(struct spool_reader *r)
{
	lock_take(&r->spool->lock);
	r->spool->consumers[r->consumer].yields = true;
	lock_drop(&r->spool->lock);
}

void spool_reader_behind(struct spool_reader *r, struct spool_behind *ret)
{
	struct spool *s = r->spool;

	lock_take(&s->lock);
	spool_look_behind(s, &s->consumers[r->consumer], ret);
	lock_drop(&s->lock);
}

static enum err_kind move(struct spool_reader *r, uint64_t after_seq, bool passes,
			  struct spool_damage *ret_lost, struct err *err)
{
	struct spool *s = r->spool;
	struct spool_damage lost = {0};
	enum err_kind rc;

	lock_take(&s->lock);
	rc = check_position(s, s->consumers[r->consumer].name, after_seq, err);
	if (!rc && s->segment_count > 0 && after_seq + 1 < s->segments[0].first_seq) {
		lost.first_seq = after_seq + 1;
		lost.last_seq = s->segments[0].first_seq - 1;
		lost.to_ns = s->segments[0].first_ns;
		after_seq = lost.last_seq;
	}
	if (!rc && passes)
		s->consumers[r->consumer].passed = after_seq;
	lock_drop(&s->lock);
	if (rc)
		return rc;
	go_to(r, after_seq);
	*ret_lost = lost;
	return ERR_NONE;
}

enum err_kind spool_reader_seek(struct spool_reader *r, uint64_t after_seq,
				struct spool_damage *ret_lost, struct err *err)
{
	return move(r, after_seq, true, ret_lost, err);
}

enum err_kind spool_reader_reread(struct spool_reader *r, uint64_t after_seq,
				  struct spool_damage *ret_lost, struct err *err)
{
	return move(r, after_seq, false, ret_lost, err);
}

void spool_reader_pass(struct spool_reader *r, uint64_t seq)
{
	struct spool *s = r->spool;

	lock_take(&s->lock);
	if (seq > s->consumers[r->consumer].passed)
		s->consumers[r->consumer].passed = seq;
	lock_drop(&s->lock);

	lock_take(&s->block_lock);
	if (s->no_room) {
		s->room_wanted = true;
		MUST0(pthread_cond_signal(&s->work));
	}
	lock_drop(&s->block_lock);
}

/* ---- what the disk does not give ---- */

/* Counts a read that failed. True: it was tried often enough. */
static bool is_given_up(struct spool_reader *r, uint64_t segment, uint64_t from, uint64_t until)
{
	struct unread *u = NULL;

	for (size_t i = 0; i < UNREAD_MAX && !u; i++)
		if (r->unread[i].tries > 0 && r->unread[i].segment == segment &&
		    from <= r->unread[i].until && r->unread[i].from <= until)
			u = &r->unread[i];
	if (!u) {
		u = &r->unread[r->unread_next++ % UNREAD_MAX];
		*u = (struct unread){.segment = segment, .from = from, .until = until};
	}
	if (from < u->from)
		u->from = from;
	if (until > u->until) /* what follows on it is a part of it, and not tried as often again */
		u->until = until;
	if (u->tries <= READ_TRIES)
		u->tries++;
	return u->tries > READ_TRIES;
}

static void forget_unread(struct spool_reader *r, uint64_t segment, uint64_t from, uint64_t until)
{
	for (size_t i = 0; i < UNREAD_MAX; i++)
		if (r->unread[i].segment == segment && from <= r->unread[i].from &&
		    until >= r->unread[i].until)
			r->unread[i].tries = 0;
}

/* ---- where a number is ---- */

struct place {
	uint64_t segment;  /* 0: none holds it */
	uint64_t last_seq; /* the highest number there, or before the next segment */
	uint64_t end;      /* offset up to which there are frames */
	bool sealed;
};

/* What is known of the place of seq. False: nothing with this number is accepted yet. */
static bool find_place(struct spool *s, uint64_t seq, struct place *ret)
{
	struct place p = {0};
	size_t idx = 0, behind;
	bool accepted;

	lock_take(&s->lock);
	/* idx: the first segment that begins after seq */
	for (behind = s->segment_count; idx < behind;) {
		size_t middle = idx + (behind - idx) / 2;

		if (s->segments[middle].first_seq <= seq)
			idx = middle + 1;
		else
			behind = middle;
	}
	p.last_seq = s->accepted_seq;
	p.sealed = idx < s->segment_count;
	if (p.sealed)
		p.last_seq = s->segments[idx].first_seq - 1;
	if (idx > 0)
		p.segment = s->segments[idx - 1].first_seq;
	p.end = p.sealed ? SPOOL_SEGMENT_BYTES : s->accepted_end;
	accepted = seq <= s->accepted_seq;
	lock_drop(&s->lock);
	*ret = p;
	return accepted;
}

static void lose(struct spool_reader *r, uint64_t first_seq, uint64_t last_seq)
{
	if (first_seq < r->from_seq)
		first_seq = r->from_seq;
	if (first_seq > last_seq)
		return;
	if (r->pending.first_seq == 0)
		r->pending = (struct spool_damage){.first_seq = first_seq, .from_ns = r->last_ns};
	r->pending.last_seq = last_seq;
}

/* The rest of the segment cannot be read. */
static void lose_rest(struct spool_reader *r, const struct place *p)
{
	if (r->walk.next_seq > p->last_seq)
		return;
	lose(r, r->walk.next_seq, p->last_seq);
	r->walk.next_seq = p->last_seq + 1;
	if (p->segment != 0)
		spool_note_damage(r->spool, p->segment);
}

/* Opens the segment at p. One that is gone, or whose header is damaged, is lost. */
static enum err_kind enter(struct spool_reader *r, const struct place *p, struct err *err)
{
	struct spool *s = r->spool;
	const struct segment_home home = spool_home(s);
	struct segment_header h = {0};
	enum err_kind rc = ERR_CORRUPT;

	if (p->segment != 0)
		rc = segment_open(&home, p->segment, FILE_READ, &r->fd, &h, err);
	if (rc == ERR_RETRY && is_given_up(r, p->segment, 0, SEGMENT_HEADER_BYTES))
		rc = ERR_CORRUPT;
	if (rc == ERR_CORRUPT || rc == ERR_CONFIG) {
		lose_rest(r, p);
		return ERR_NONE;
	}
	if (rc)
		return rc;
	forget_unread(r, p->segment, 0, SEGMENT_HEADER_BYTES);
	r->segment = p->segment;
	r->walk = (struct walk){.keys = frame_keys_from(h.salt), .next_seq = p->segment};
	r->offset = SEGMENT_HEADER_BYTES;
	r->need = 0;
	r->committed = false;
	return ERR_NONE;
}

/* ---- reading ---- */

/* Tells the pending damage with b; false: b tells of another one already. */
static bool tell_damage(struct spool_reader *r, struct spool_batch *b, int64_t to_ns)
{
	if (r->pending.first_seq == 0)
		return true;
	if (b->damage.first_seq != 0)
		return false;
	b->damage = r->pending;
	b->damage.to_ns = to_ns;
	r->pending = (struct spool_damage){0};
	return true;
}

/* Delivers a frame; false: b can take no more, and the frame comes with the next one. */
static bool deliver(struct spool_reader *r, struct spool_batch *b, const struct frame *f)
{
	if (f->seq < r->from_seq) {
		r->last_ns = f->observed_ns;
		return true;
	}
	if (b->count == b->frames_max || !tell_damage(r, b, f->observed_ns)) {
		b->full = true;
		return false;
	}
	if (b->count == 0)
		b->first_ns = time_monotonic_ns();
	b->frames[b->count++] = (struct spool_frame){
		.observed_ns = f->observed_ns,
		.seq = f->seq,
		.offset = (size_t)((const uint8_t *)f->payload.data - b->bytes.data),
		.len = f->payload.len,
		.mark = f->mark,
	};
	r->last_ns = f->observed_ns;
	return true;
}

/*
 * Walks over the window at the end of b. What is behind the last frame that was
 * delivered is cut off again. *ret_more: the window ended, not the batch.
 */
static void walk_window(struct spool_reader *r, struct spool_batch *b, const struct place *p,
			size_t start, bool *ret_more)
{
	struct walk *w = &r->walk;
	uint64_t bad = w->bad;
	size_t keep = start;
	struct walk_found found;
	bool more = false, taken = true, ended = false;

	w->last_seq = p->last_seq;
	w->bytes = b->bytes.data + start;
	w->len = b->bytes.len - start;
	w->base = r->offset;
	w->pos = 0;
	r->need = 0;
	while (taken && !more && !ended) { /* behind the end of a sealed segment is nothing */
		size_t delivered = b->count;

		switch (walk_next(w, &found)) {
		case WALK_RECORD:
			taken = deliver(r, b, &found.frame);
			r->committed = false;
			if (b->count > delivered)
				keep = start + w->pos;
			break;
		case WALK_COMMIT:
			r->committed = true;
			ended = p->sealed && w->next_seq > p->last_seq;
			break;
		case WALK_MISSING: lose(r, found.first_seq, found.last_seq); break;
		case WALK_MORE:
			more = true;
			r->need = found.need;
			break;
		}
	}
	r->offset = w->base + w->pos;
	if (!taken) { /* it is read again for the next batch */
		w->next_seq = found.frame.seq;
		r->offset = found.start;
	}
	buf_cut(&b->bytes, keep);
	if (w->bad != bad)
		spool_note_damage(r->spool, r->segment);
	*ret_more = more;
}

/* A place that the disk does not give is tried again, smaller; at last it is damage. */
static enum err_kind unreadable(struct spool_reader *r, const struct place *p, size_t len,
				enum err_kind rc)
{
	if (rc == ERR_FATAL)
		return rc;
	if (r->chunk > READ_CHUNK_BYTES_MIN) {
		r->chunk = READ_CHUNK_BYTES_MIN;
		return ERR_NONE;
	}
	if (!is_given_up(r, r->segment, r->offset, r->offset + len))
		return rc;
	r->offset = (r->offset / READ_CHUNK_BYTES_MIN + 1) * READ_CHUNK_BYTES_MIN;
	if (r->offset > p->end)
		r->offset = p->end;
	r->need = 0;
	r->walk.lost = true;
	spool_note_damage(r->spool, r->segment);
	return ERR_NONE;
}

/* Reads one window of the segment to the end of b and delivers what is in it. */
static enum err_kind read_window(struct spool_reader *r, struct spool_batch *b,
				 const struct place *p, struct err *err)
{
	size_t start = b->bytes.len;
	size_t room = b->bytes_max > start ? b->bytes_max - start : 0;
	size_t want = r->need > r->chunk ? r->need : r->chunk;
	uint64_t left = p->end - r->offset;
	size_t delivered = b->count;
	enum err_kind rc;
	uint8_t *at;
	size_t got;
	bool more;

	if (room < want)
		want = room > r->need ? room : r->need;
	if (want > left)
		want = (size_t)left;
	if (b->count > 0 && (want > room || room < FRAME_OVERHEAD_BYTES)) {
		b->full = true;
		return ERR_NONE;
	}
	at = buf_extend(&b->bytes, want);
	if (!at)
		return buf_check(&b->bytes, err);
	rc = file_read_at(r->fd, at, want, r->offset, &got, err);
	buf_cut(&b->bytes, rc ? start : start + got);
	if (rc)
		return unreadable(r, p, want, rc);
	forget_unread(r, r->segment, r->offset, r->offset + got);
	walk_window(r, b, p, start, &more);
	if (b->count > delivered)
		r->chunk = READ_CHUNK_BYTES;
	if (more && (got < want || got == left)) { /* nothing follows: the file or the end */
		lose_rest(r, p);
		r->offset = p->end;
	}
	return ERR_NONE;
}

/*
 * One step on: into a segment, through a window of it, or out of it.
 * *ret_end: everything that is accepted was read.
 */
static enum err_kind step(struct spool_reader *r, struct spool_batch *b, bool *ret_end,
			  struct err *err)
{
	struct place p;
	bool accepted;

	*ret_end = false;
	if (r->fd < 0) {
		*ret_end = !find_place(r->spool, r->walk.next_seq, &p);
		return *ret_end ? ERR_NONE : enter(r, &p, err);
	}
	accepted = find_place(r->spool, r->segment, &p);
	REQUIRE(accepted);
	if (p.segment != r->segment) { /* it was dropped, so all have passed it */
		file_close(&r->fd);
		return ERR_NONE;
	}
	if (r->offset < p.end && !(p.sealed && r->committed && r->walk.next_seq > p.last_seq))
		return read_window(r, b, &p, err);
	lose_rest(r, &p);
	if (p.sealed)
		file_close(&r->fd);
	*ret_end = !p.sealed;
	return ERR_NONE;
}

/* Takes what is there now. */
static enum err_kind fill(struct spool_reader *r, struct spool_batch *b, struct err *err)
{
	enum err_kind rc = ERR_NONE;
	bool end = false;

	while (!rc && !b->full && !end)
		rc = step(r, b, &end, err);
	if (!rc && end && !tell_damage(r, b, 0))
		b->full = true;
	return rc;
}

/* Waits for a frame after the last that was read; false: the time is up, or spool_wake(). */
static bool await_accepted(struct spool_reader *r, int64_t until_ns, uint64_t wakes)
{
	struct spool *s = r->spool;
	bool in_time = true, more;

	lock_take(&s->lock);
	while (in_time && s->accepted_seq < r->walk.next_seq && wakes == s->read_wakes)
		in_time = lock_wait_until(&s->lock, &s->accepted, until_ns);
	more = s->accepted_seq >= r->walk.next_seq && wakes == s->read_wakes;
	lock_drop(&s->lock);
	return more;
}

enum err_kind spool_reader_read(struct spool_reader *r, struct spool_batch *b, int64_t timeout_ns,
				int64_t gather_ns, struct err *err)
{
	int64_t deadline_ns = time_monotonic_ns() + timeout_ns;
	struct err failed;
	enum err_kind rc;
	bool more = true;
	uint64_t wakes;

	lock_take(&r->spool->lock);
	wakes = r->spool->read_wakes;
	lock_drop(&r->spool->lock);
	for (;;) {
		rc = fill(r, b, &failed);
		if (rc && b->count == 0) {
			*err = failed;
			return rc;
		}
		if (rc || b->full || !more)
			return ERR_NONE; /* what came stands; an error comes again */
		if (b->damage.first_seq != 0 && b->count == 0)
			return ERR_NONE;
		more = await_accepted(r, b->count > 0 ? b->first_ns + gather_ns : deadline_ns,
				      wakes);
		if (!more)
			return ERR_NONE;
		more = b->count == 0 || time_monotonic_ns() < b->first_ns + gather_ns;
	}
}

enum err_kind spool_reader_find_mark(struct spool_reader *r, struct spool_batch *b, uint64_t seq,
				     uint64_t *ret_mark, struct err *err)
{
	size_t frames_max = b->frames_max;
	struct spool_damage lost = {0};
	enum err_kind rc;

	REQUIRE(seq > 0 && b->count == 0);
	*ret_mark = 0;
	rc = spool_reader_seek(r, seq - 1, &lost, err);
	if (rc || lost.first_seq != 0)
		return rc;
	b->frames_max = 1;
	rc = spool_reader_read(r, b, 0, 0, err);
	if (!rc && b->count == 1 && b->frames[0].seq == seq)
		*ret_mark = b->frames[0].mark;
	spool_batch_reset(b);
	b->frames_max = frames_max;
	return rc;
}
