/*
 * recover: what spool_open() does with the folder that a crash, or an orderly
 * end, has left.
 *
 * Only the newest segment can have a torn tail, since a segment is begun when
 * the one before it is synced. It is read wholly: what follows its last valid
 * commit was never accepted and is overwritten with zeros, so that it cannot
 * come back. Damage before that is left where it is: readers find it when they
 * come there, and tell. A segment whose header fails its check has lost its
 * salt, and one without a single valid commit has lost as much: it goes to
 * quarantine whole, and the file `stream` keeps in mind which numbers it used.
 */

#include "spool/inside.h"

#include "base/bytes.h"
#include "base/gzip.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_NAME "lock"

enum {
	/*
	 * A commit frame follows from the frames before it. One that differs from
	 * that in so few bytes has rotted; one that a crash tore lacks whole sectors.
	 */
	COMMIT_ROT_BYTES_MAX = 4,
	SEGMENT_FRAMES_MAX = SPOOL_SEGMENT_BYTES / FRAME_OVERHEAD_BYTES,
};

static void path_in(char path[PATH_MAX], const char *folder, const char *name)
{
	int len = snprintf(path, PATH_MAX, "%s/%s", folder, name);

	REQUIRE(len > 0 && len < PATH_MAX);
}

static enum err_kind take_folder(struct spool *s, struct err *err)
{
	char path[PATH_MAX];
	enum err_kind rc = file_make_folder(s->folder, err);
	bool there;

	if (rc)
		return rc;
	path_in(path, s->folder, LOCK_NAME);
	there = access(path, F_OK) == 0;
	rc = file_open(&s->lock_fd, path, there ? FILE_WRITE : FILE_CREATE, err);
	if (rc)
		return rc;
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return ERR_NONE;
	if (errno == EWOULDBLOCK)
		return err_set(err, ERR_CONFIG,
			       "another flytrail has the spool %s open: stop it, or give this one "
			       "a folder of its own",
			       s->folder);
	return err_errno(err, ERR_RETRY, "cannot lock the spool %s", s->folder);
}

static int by_first_seq(const void *a, const void *b)
{
	const struct segment_info *x = a, *y = b;

	return (x->first_seq > y->first_seq) - (x->first_seq < y->first_seq);
}

/* Makes the list hold one more name; the bound on disk is the bound of the list. */
static enum err_kind add_segment(struct spool *s, uint64_t first_seq, struct err *err)
{
	if (s->segment_count == s->segments_max) {
		size_t cap = 2 * s->segments_max;
		struct segment_info *more = realloc(s->segments, cap * sizeof(*more));

		if (!more)
			return err_set(err, ERR_FATAL, "no memory for the list of segments");
		s->segments = more;
		s->segments_max = cap;
	}
	s->segments[s->segment_count++] = (struct segment_info){.first_seq = first_seq};
	return ERR_NONE;
}

static enum err_kind list_segments(struct spool *s, struct err *err)
{
	size_t cap = (size_t)(s->max_bytes / SPOOL_SEGMENT_BYTES) + 1;
	enum err_kind rc = ERR_NONE;
	const struct dirent *entry;
	uint64_t first_seq;
	DIR *dir;

	free(s->segments); /* of an earlier look */
	s->segment_count = 0;
	s->segments = malloc(cap * sizeof(*s->segments));
	if (!s->segments)
		return err_set(err, ERR_FATAL, "no memory for the list of segments");
	s->segments_max = cap;
	dir = opendir(s->folder);
	if (!dir)
		return err_errno(err, ERR_RETRY, "cannot list the spool %s", s->folder);
	for (entry = readdir(dir); entry && !rc; entry = readdir(dir))
		if (segment_parse_name(entry->d_name, &first_seq))
			rc = add_segment(s, first_seq, err);
	(void)closedir(dir);
	qsort(s->segments, s->segment_count, sizeof(*s->segments), by_first_seq);
	return rc;
}

static enum err_kind read_segment(int fd, uint8_t **ret, size_t *ret_len, struct err *err)
{
	uint8_t *bytes;
	uint64_t len;
	enum err_kind rc = file_size(fd, &len, err);

	if (rc)
		return rc;
	if (len > SPOOL_SEGMENT_BYTES)
		len = SPOOL_SEGMENT_BYTES;
	bytes = malloc(len > 0 ? (size_t)len : 1);
	if (!bytes)
		return err_set(err, ERR_FATAL, "no memory to read a segment");
	rc = file_read_at(fd, bytes, (size_t)len, 0, ret_len, err);
	if (rc) {
		free(bytes);
		return rc;
	}
	*ret = bytes;
	return ERR_NONE;
}

/*
 * How far the numbers have come in a segment whose salt is lost: goes along the
 * frames without their checks. Where that ends too early, the most that the
 * segment can have held: numbers may be left out, but never used twice.
 */
static uint64_t guess_last_seq(const uint8_t *bytes, size_t len, uint64_t first_seq)
{
	size_t at = SEGMENT_HEADER_BYTES;
	uint64_t seq = first_seq - 1;

	while (at + FRAME_HEADER_BYTES <= len && get_u64_le(bytes + at) != 0) {
		size_t payload_len = get_u32_le(bytes + at + 8) & 0xffffff;
		bool record = bytes[at + 11] == FRAME_RECORD;

		if (memcmp(bytes + at, bytes + SEGMENT_HEADER_BYTES, FRAME_MAGIC_BYTES) != 0 ||
		    get_u64_le(bytes + at + 12) != seq + record)
			return first_seq + SEGMENT_FRAMES_MAX;
		seq += record;
		at += FRAME_OVERHEAD_BYTES + payload_len;
	}
	return seq < first_seq ? first_seq + SEGMENT_FRAMES_MAX : seq;
}

/* Puts a segment that cannot be believed into quarantine. The numbers it used stay used. */
static enum err_kind set_aside(struct spool *s, size_t idx, struct err *err)
{
	uint64_t first_seq = s->segments[idx].first_seq;
	struct segment_path path = segment_path(s->folder, first_seq);
	uint8_t *bytes = NULL;
	uint64_t last_seq;
	size_t len = 0;
	enum err_kind rc;
	int fd = -1;

	rc = file_open(&fd, path.text, FILE_READ, err);
	if (!rc)
		rc = read_segment(fd, &bytes, &len, err);
	file_close(&fd);
	if (rc)
		return rc;
	last_seq = guess_last_seq(bytes, len, first_seq);
	free(bytes);
	if (idx + 1 == s->segment_count && last_seq > s->appended_seq) {
		s->appended_seq = last_seq;
		rc = identity_write(s, err);
	}
	if (!rc)
		rc = segment_quarantine_move(s->folder, first_seq, err);
	if (rc)
		return rc;
	s->damage_count++;
	s->segment_count--;
	memmove(s->segments + idx, s->segments + idx + 1,
		(s->segment_count - idx) * sizeof(*s->segments));
	return ERR_NONE;
}

static enum err_kind check_headers(struct spool *s, struct err *err)
{
	size_t idx = 0;

	while (idx < s->segment_count) {
		const struct segment_home home = spool_home(s);
		struct segment_header h = {0};
		enum err_kind rc;
		int fd = -1;

		rc = segment_open(&home, s->segments[idx].first_seq, FILE_READ, &fd, &h, err);
		file_close(&fd);
		if (rc == ERR_CORRUPT)
			rc = set_aside(s, idx, err);
		else if (!rc)
			s->segments[idx++].first_ns = h.first_ns;
		if (rc)
			return rc;
	}
	return ERR_NONE;
}

/* What a reading of the newest segment found. */
struct survey {
	uint64_t end;       /* of the last valid commit */
	uint64_t last_seq;  /* of it */
	uint64_t bad;       /* places before end that fail their check */
	bool commit_rotten; /* the commit at end - COMMIT_FRAME_BYTES is to be written anew */
	uint8_t commit[COMMIT_FRAME_BYTES];
};

/* The frames behind a valid commit, up to the first place that is none. */
struct open_group {
	bool closed;
	uint64_t start;
	uint64_t end;
	uint64_t count;
	uint64_t last_seq;
	int64_t last_ns;
};

/* Behind the group must stand its commit: is that what is there, but for rotten bytes? */
static void find_rotten_commit(struct survey *v, const struct frame_keys *keys,
			       const struct open_group *g, const uint8_t *bytes, size_t len)
{
	struct commit c = {
		.start = g->start,
		.end = g->end + COMMIT_FRAME_BYTES,
		.count = g->count,
	};
	size_t different = 0;

	if (g->count == 0 || c.end > len)
		return;
	commit_encode(keys, &c, g->last_seq, g->last_ns, v->commit);
	for (size_t i = 0; i < COMMIT_FRAME_BYTES; i++)
		different += bytes[g->end + i] != v->commit[i];
	if (different > COMMIT_ROT_BYTES_MAX)
		return;
	v->commit_rotten = true;
	v->end = c.end;
	v->last_seq = g->last_seq;
	v->bad++;
}

static void survey_segment(struct survey *v, const struct segment_header *h, const uint8_t *bytes,
			   size_t len)
{
	struct walk w = {
		.keys = frame_keys_from(h->salt),
		.next_seq = h->first_seq,
		.last_seq = h->first_seq + SEGMENT_FRAMES_MAX,
		.bytes = bytes,
		.len = len,
		.pos = SEGMENT_HEADER_BYTES,
	};
	struct open_group g = {.start = SEGMENT_HEADER_BYTES};
	struct walk_found found;
	enum walk_step step;

	*v = (struct survey){.end = SEGMENT_HEADER_BYTES, .last_seq = h->first_seq - 1};
	for (step = walk_next(&w, &found); step != WALK_MORE; step = walk_next(&w, &found)) {
		g.closed = g.closed || w.bad != v->bad || step == WALK_MISSING;
		if (step == WALK_COMMIT) {
			v->end = w.pos;
			v->last_seq = found.frame.seq;
			v->bad = w.bad;
			g = (struct open_group){.start = w.pos, .end = w.pos};
		} else if (!g.closed) {
			g.count++;
			g.last_seq = found.frame.seq;
			g.last_ns = found.frame.observed_ns;
			g.end = w.pos;
		}
	}
	find_rotten_commit(v, &w.keys, &g, bytes, len);
}

/* Up to the last byte that is not zero. */
static size_t used_len(const uint8_t *bytes, size_t len)
{
	while (len >= sizeof(uint64_t) && get_u64_le(bytes + len - sizeof(uint64_t)) == 0)
		len -= sizeof(uint64_t);
	while (len > 0 && bytes[len - 1] == 0)
		len--;
	return len;
}

/* Overwrites what was never accepted, so that it cannot come back. */
static enum err_kind cut_tail(struct spool *s, uint8_t *bytes, size_t len, uint64_t end,
			      struct err *err)
{
	size_t used = used_len(bytes, len);
	enum err_kind rc;

	if (used > end) {
		s->torn_bytes = used - end;
		memset(bytes + end, 0, used - end);
		rc = file_write_at(s->tail_fd, bytes + end, used - end, end, err);
		if (rc)
			return rc;
	}
	if (len < SPOOL_SEGMENT_BYTES) {
		rc = file_allocate(s->tail_fd, SPOOL_SEGMENT_BYTES, err);
		if (rc == ERR_FULL) /* written to its end as it is */
			s->tail.offset = SPOOL_SEGMENT_BYTES;
		else if (rc)
			return rc;
	}
	return used > end ? file_sync(s->tail_fd, err) : ERR_NONE;
}

static enum err_kind repair(struct spool *s, const struct survey *v, uint8_t *bytes, size_t len,
			    struct err *err)
{
	enum err_kind rc = ERR_NONE;

	if (v->commit_rotten)
		rc = file_write_at(s->tail_fd, v->commit, sizeof(v->commit),
				   v->end - sizeof(v->commit), err);
	if (!rc && v->commit_rotten)
		rc = file_sync(s->tail_fd, err);
	return rc ? rc : cut_tail(s, bytes, len, v->end, err);
}

/* Goes on in the newest segment. *ret_lost: there is not one commit in it. */
static enum err_kind recover_newest(struct spool *s, bool *ret_lost, struct err *err)
{
	uint64_t first_seq = s->segments[s->segment_count - 1].first_seq;
	const struct segment_home home = spool_home(s);
	struct segment_header h = {0};
	uint8_t *bytes = NULL;
	struct survey v;
	size_t len = 0;
	enum err_kind rc;

	rc = segment_open(&home, first_seq, FILE_WRITE, &s->tail_fd, &h, err);
	if (!rc)
		rc = read_segment(s->tail_fd, &bytes, &len, err);
	if (rc)
		return rc;
	survey_segment(&v, &h, bytes, len);
	*ret_lost = v.end == SEGMENT_HEADER_BYTES;
	if (*ret_lost) {
		free(bytes);
		file_close(&s->tail_fd);
		return ERR_NONE;
	}
	if (v.bad > 0)
		spool_note_damage(s, first_seq);
	s->accepted_seq = v.last_seq;
	s->accepted_end = v.end;
	s->tail.segment = first_seq;
	s->tail.offset = v.end;
	memcpy(s->tail.salt, h.salt, sizeof(h.salt));
	s->tail.keys = frame_keys_from(h.salt);
	rc = repair(s, &v, bytes, len, err);
	/* A segment's frames are its header's stream's: what an adopted spool takes is the next's.
	 */
	if (id_compare(&h.uuid, &s->stream.uuid) != 0)
		s->tail.offset = SPOOL_SEGMENT_BYTES;
	free(bytes);
	return rc;
}

static enum err_kind recover_end(struct spool *s, struct err *err)
{
	enum err_kind rc = ERR_NONE;
	bool lost = true;

	s->tail.offset = SPOOL_SEGMENT_BYTES; /* with no segment, the first frame waits for one */
	while (!rc && lost && s->segment_count > 0) {
		rc = recover_newest(s, &lost, err);
		if (!rc && lost)
			rc = set_aside(s, s->segment_count - 1, err);
	}
	if (rc)
		return rc;
	if (s->appended_seq > s->accepted_seq) {
		/* Numbers that are lost lie between: what follows is another segment's. */
		s->accepted_seq = s->appended_seq;
		s->tail.offset = SPOOL_SEGMENT_BYTES;
	}
	s->appended_seq = s->accepted_seq;
	return ERR_NONE;
}

enum err_kind recover_spool(struct spool *s, struct err *err)
{
	enum err_kind rc = take_folder(s, err);

	if (!rc)
		rc = list_segments(s, err);
	if (!rc)
		rc = identity_find(s, err);
	if (!rc)
		rc = check_headers(s, err);
	return rc ? rc : recover_end(s, err);
}

/* *ret_seq: the last that is accepted in the newest segment; 0: that cannot be told. */
static enum err_kind look_at_newest(struct spool *s, uint64_t *ret_seq, struct err *err)
{
	uint64_t first_seq = s->segments[s->segment_count - 1].first_seq;
	const struct segment_home home = spool_home(s);
	struct segment_header h = {0};
	uint8_t *bytes = NULL;
	struct survey v;
	size_t len = 0;
	enum err_kind rc;
	int fd = -1;

	*ret_seq = 0;
	rc = segment_open(&home, first_seq, FILE_READ, &fd, &h, err);
	if (rc == ERR_CORRUPT)
		return ERR_NONE;
	if (!rc)
		rc = read_segment(fd, &bytes, &len, err);
	file_close(&fd);
	if (rc)
		return rc;
	survey_segment(&v, &h, bytes, len);
	free(bytes);
	if (v.end > SEGMENT_HEADER_BYTES)
		*ret_seq = v.last_seq;
	return ERR_NONE;
}

enum err_kind recover_find(struct spool *s, bool *ret, struct err *err)
{
	enum err_kind rc;
	struct err aside;

	if (file_is_missing(s->folder)) {
		*ret = false;
		return ERR_NONE;
	}
	rc = identity_read(s, ret, err);
	if (*ret || (rc && rc != ERR_CORRUPT))
		return rc;
	/* One that lost its name may still have it in its segments. */
	if (list_segments(s, &aside)) {
		*err = aside;
		return aside.kind;
	}
	*ret = s->segment_count > 0;
	return *ret ? ERR_NONE : rc;
}

enum err_kind recover_look(struct spool *s, struct spool_look *ret, struct err *err)
{
	uint64_t seq = 0;
	enum err_kind rc = identity_read(s, &ret->found, err);

	if (rc || !ret->found)
		return rc;
	rc = list_segments(s, err);
	if (!rc && s->segment_count > 0)
		rc = look_at_newest(s, &seq, err);
	if (rc)
		return rc;
	ret->stream = s->stream;
	ret->end_known = seq > 0 || s->segment_count == 0;
	ret->end_seq = seq > s->appended_seq ? seq : s->appended_seq;
	return ERR_NONE;
}

void spool_note_damage(struct spool *s, uint64_t segment)
{
	struct segment_info *info = NULL;
	struct err err;

	lock_take(&s->lock);
	for (size_t i = 0; i < s->segment_count; i++)
		if (s->segments[i].first_seq == segment && !s->segments[i].damaged)
			info = &s->segments[i];
	if (info) {
		info->damaged = true;
		s->damage_count++;
	}
	lock_drop(&s->lock);
	/* A copy is for people; where there is no room for it, reading goes on all the same. */
	if (info && segment_quarantine_copy(s->folder, segment, &err))
		return;
}
