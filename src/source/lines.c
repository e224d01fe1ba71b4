#include "source/lines.h"

#include "base/file.h"
#include "base/time.h"
#include "source/splitter.h"
#include "source/utf16.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BLOCK_BYTES = 256 * 1024, /* read at once */
	/* A unit that is kept whole, and what a block of UTF-16 becomes. */
	WINDOW_BYTES_MAX = RAW_BYTES_MAX + 4 * BLOCK_BYTES,
	MARK_BYTES_MAX = 3, /* a byte order mark */
};

static const char STDIN_NAME[] = "standard input";

struct lines {
	/* const after open */
	const char *const *paths;
	size_t path_count; /* 0: stdin alone */

	/* any thread */
	_Atomic bool ended;

	/* owned by the source thread */
	size_t path_idx;
	int fd; /* -1: none open */
	const char *name;
	bool at_start;   /* of the file: a byte order mark may come */
	bool file_ended; /* all of it is in the window */
	bool is_wide;
	struct utf16 utf16;
	uint8_t *block;    /* for UTF-16 as it comes */
	struct buf window; /* what was read; from start on not taken yet */
	size_t start;
	struct splitter splitter;
	/* A unit past RAW_BYTES_MAX: its beginning lies at the window's start, the rest is only
	 * counted and hashed. */
	bool is_cut;
	uint64_t cut_bytes;
	struct hasher *hasher;
	struct file_stamp stamp; /* of the file, as it was when it was opened */
	uint64_t ordinal;        /* in the file */
	int64_t received_ns;
};

static struct span untaken(const struct lines *l)
{
	const uint8_t *data = l->window.data;

	return span_of(data ? data + l->start : NULL, l->window.len - l->start);
}

static enum err_kind put_unit(struct lines *l, struct batch *batch, struct span unit,
			      struct raw **ret, struct err *err)
{
	struct raw *raw = batch_add(batch, SPAN(""), unit);

	if (!raw)
		return err_set(err, ERR_FATAL, "out of memory for the lines of %s", l->name);
	raw->form = splitter_form(unit);
	raw->received_ns = l->received_ns;
	raw->file = l->stamp;
	raw->ordinal = ++l->ordinal;
	*ret = raw;
	return ERR_NONE;
}

/* From here on the unit is only counted and hashed. */
static enum err_kind begin_cut(struct lines *l, size_t len, struct err *err)
{
	struct span left = untaken(l);
	enum err_kind rc = hasher_begin(l->hasher, err);

	if (rc)
		return rc;
	hasher_add(l->hasher, left.data, len);
	l->is_cut = true;
	l->cut_bytes = len;
	/* What is beyond the unit moves up to its kept beginning. */
	memmove(l->window.data + l->start + RAW_BYTES_MAX, l->window.data + l->start + len,
		left.len - len);
	buf_cut(&l->window, l->window.len - (len - RAW_BYTES_MAX));
	splitter_reset(&l->splitter);
	return ERR_NONE;
}

static enum err_kind end_cut(struct lines *l, struct batch *batch, size_t used, struct err *err)
{
	struct span left = untaken(l);
	uint8_t digest[HASH_BYTES];
	struct raw *raw;
	enum err_kind rc;

	rc = hasher_end(l->hasher, digest, err);
	if (rc)
		return rc;
	rc = put_unit(l, batch, span_of(left.data, RAW_BYTES_MAX), &raw, err);
	if (rc)
		return rc;
	raw->full_len = l->cut_bytes;
	memcpy(raw->full_sha256, digest, sizeof(digest));
	l->is_cut = false;
	l->start += RAW_BYTES_MAX + used;
	return ERR_NONE;
}

/* Goes on with a cut unit up to the end of the line. Sets *ret_more when more is to be read. */
static enum err_kind go_on_with_cut(struct lines *l, struct batch *batch, bool *ret_more,
				    struct err *err)
{
	struct span rest = span_after(untaken(l), RAW_BYTES_MAX);
	const char *newline = rest.len > 0 ? memchr(rest.data, '\n', rest.len) : NULL;
	size_t len = newline ? (size_t)(newline - rest.data) : rest.len;

	hasher_add(l->hasher, rest.data, len);
	l->cut_bytes += len;
	if (newline || l->file_ended)
		return end_cut(l, batch, len + (newline ? 1 : 0), err);
	buf_cut(&l->window, l->window.len - len);
	*ret_more = true;
	return ERR_NONE;
}

/* Takes one unit out of the window, if a whole one is there. */
static enum err_kind take_unit(struct lines *l, struct batch *batch, bool *ret_more,
			       struct err *err)
{
	struct span left = untaken(l);
	struct unit unit;
	struct raw *raw;
	enum err_kind rc;

	if (l->is_cut)
		return go_on_with_cut(l, batch, ret_more, err);
	if (!splitter_next(&l->splitter, left, l->file_ended, &unit)) {
		*ret_more = true;
		return left.len > RAW_BYTES_MAX ? begin_cut(l, left.len, err) : ERR_NONE;
	}
	if (unit.bytes.len > RAW_BYTES_MAX) {
		rc = begin_cut(l, unit.bytes.len, err);
		return rc ? rc : end_cut(l, batch, unit.used - unit.bytes.len, err);
	}
	l->start += unit.used;
	return unit.bytes.len > 0 ? put_unit(l, batch, unit.bytes, &raw, err) : ERR_NONE;
}

static enum err_kind take_units(struct lines *l, struct batch *batch, struct err *err)
{
	enum err_kind rc = ERR_NONE;
	bool more = l->at_start; /* until it is known whether a mark is there */

	while (!rc && !more && !batch_is_full(batch))
		rc = take_unit(l, batch, &more, err);
	return rc;
}

/* Room for len bytes at the end of the window. */
static uint8_t *make_room(struct lines *l, size_t len)
{
	size_t left = l->window.len - l->start;

	if (l->start > 0) {
		memmove(l->window.data, l->window.data + l->start, left);
		buf_cut(&l->window, left);
		l->start = 0;
	}
	return buf_extend(&l->window, len);
}

/* Up to max bytes of the file; 0: its end, or nothing yet. */
static enum err_kind read_some(struct lines *l, uint8_t *bytes, size_t max, size_t *ret,
			       struct err *err)
{
	ssize_t got;

	do {
		got = read(l->fd, bytes, max);
	} while (got < 0 && errno == EINTR);
	if (got < 0 && errno != EAGAIN)
		return err_errno(err, ERR_CONFIG, "cannot read %s", l->name);
	l->received_ns = time_now_ns();
	l->file_ended = got == 0;
	*ret = got > 0 ? (size_t)got : 0;
	return ERR_NONE;
}

static enum err_kind read_wide(struct lines *l, struct err *err)
{
	enum { ROOM = 2 * BLOCK_BYTES + 2 * UTF16_BYTES_OVER };
	char *room;
	size_t got, written;
	enum err_kind rc;

	rc = read_some(l, l->block, BLOCK_BYTES, &got, err);
	if (rc)
		return rc;
	room = (char *)make_room(l, ROOM);
	if (!room)
		return buf_check(&l->window, err);
	written = utf16_add(&l->utf16, l->block, got, room);
	if (l->file_ended)
		written += utf16_end(&l->utf16, room + written);
	buf_cut(&l->window, l->window.len - (ROOM - written));
	return ERR_NONE;
}

static enum err_kind read_narrow(struct lines *l, struct err *err)
{
	uint8_t *room = make_room(l, BLOCK_BYTES);
	size_t got = 0;
	enum err_kind rc;

	if (!room)
		return buf_check(&l->window, err);
	rc = read_some(l, room, BLOCK_BYTES, &got, err);
	buf_cut(&l->window, l->window.len - (BLOCK_BYTES - got));
	return rc;
}

/* The bytes read so far turn out to be UTF-16. */
static enum err_kind turn_wide(struct lines *l, struct err *err)
{
	struct span wide = untaken(l);

	if (!l->block)
		l->block = malloc(BLOCK_BYTES + MARK_BYTES_MAX);
	if (!l->block)
		return err_set(err, ERR_FATAL, "out of memory for UTF-16 in %s", l->name);
	REQUIRE(wide.len <= BLOCK_BYTES + MARK_BYTES_MAX);
	memcpy(l->block, wide.data, wide.len);
	buf_reset(&l->window);
	l->start = 0;
	if (!make_room(l, 2 * wide.len + UTF16_BYTES_OVER))
		return buf_check(&l->window, err);
	l->is_wide = true;
	utf16_init(&l->utf16);
	buf_cut(&l->window,
		utf16_add(&l->utf16, l->block + 2, wide.len - 2, (char *)l->window.data));
	return ERR_NONE;
}

static enum err_kind look_for_mark(struct lines *l, struct err *err)
{
	static const char utf8_mark[] = "\xef\xbb\xbf";
	struct span left = untaken(l);

	if (left.len < MARK_BYTES_MAX && !l->file_ended)
		return ERR_NONE;
	l->at_start = false;
	if (span_starts(left, SPAN("\xff\xfe")))
		return turn_wide(l, err);
	if (span_starts(left, span_text(utf8_mark)))
		l->start += MARK_BYTES_MAX;
	return ERR_NONE;
}

static bool is_stdin(const char *path)
{
	return strcmp(path, "-") == 0;
}

static enum err_kind open_next(struct lines *l, struct err *err)
{
	enum err_kind rc;

	if (l->path_count == 0 || is_stdin(l->paths[l->path_idx])) {
		l->fd = STDIN_FILENO;
		l->name = STDIN_NAME;
	} else {
		l->name = l->paths[l->path_idx];
		rc = file_open(&l->fd, l->name, FILE_READ, err);
		if (rc)
			return rc;
	}
	l->stamp = (struct file_stamp){0};
	rc = l->fd == STDIN_FILENO ? ERR_NONE : file_stamp(l->fd, &l->stamp, err);
	if (rc)
		return rc;
	l->ordinal = 0;
	l->at_start = true;
	l->file_ended = false;
	l->is_wide = false;
	splitter_reset(&l->splitter);
	return ERR_NONE;
}

static void close_file(struct lines *l)
{
	if (l->fd == STDIN_FILENO)
		l->fd = -1; /* not ours to close */
	else
		file_close(&l->fd);
}

static bool all_taken(const struct lines *l)
{
	return l->file_ended && !l->is_cut && !l->at_start && l->start == l->window.len;
}

/* Reads what is there; waits for it until deadline_ns. *ret_any: something came, or an end. */
static enum err_kind read_on(struct lines *l, int64_t deadline_ns, bool *ret_any, struct err *err)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};
	int64_t wait_ns = deadline_ns - time_monotonic_ns();
	enum err_kind rc;

	*ret_any = false;
	if (wait_ns < 0 || poll(&p, 1, (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS)) <= 0)
		return ERR_NONE; /* EINTR as well: the caller comes again */
	rc = l->is_wide ? read_wide(l, err) : read_narrow(l, err);
	if (!rc && l->at_start)
		rc = look_for_mark(l, err);
	*ret_any = true;
	return rc;
}

/* To the next file, when this one is done. */
static enum err_kind move_on(struct lines *l, struct err *err)
{
	if (l->fd >= 0 && all_taken(l)) {
		close_file(l);
		l->path_idx++;
	}
	if (l->fd >= 0)
		return ERR_NONE;
	if (l->path_idx >= l->path_count && l->path_idx > 0) {
		atomic_store(&l->ended, true);
		return ERR_NONE;
	}
	return open_next(l, err);
}

static enum err_kind lines_read(void *ctx, struct batch *batch, struct err *err)
{
	struct lines *l = ctx;
	int64_t deadline_ns = time_monotonic_ns() + SOURCE_WAIT_MS * NS_PER_MS;
	bool any = true;
	enum err_kind rc = ERR_NONE;

	batch->source = SOURCE_FILE;
	while (!rc && any) {
		bool was_empty = batch->count == 0;

		rc = move_on(l, err);
		if (rc || atomic_load(&l->ended))
			break;
		rc = take_units(l, batch, err);
		if (rc || batch_is_full(batch))
			break;
		if (was_empty && batch->count > 0)
			deadline_ns = time_monotonic_ns() + SOURCE_GATHER_MS * NS_PER_MS;
		if (!all_taken(l))
			rc = read_on(l, deadline_ns, &any, err);
	}
	batch->last = atomic_load(&l->ended);
	return rc;
}

static bool lines_connected(void *ctx, const char **ret_why)
{
	struct lines *l = ctx;

	if (!atomic_load(&l->ended))
		return true;
	*ret_why = "the input has ended";
	return false;
}

static void lines_close(void *ctx)
{
	struct lines *l = ctx;

	if (!l)
		return;
	close_file(l);
	buf_release(&l->window);
	hasher_free(l->hasher);
	free(l->block);
	free(l);
}

static const struct source_ops lines_ops = {
	.name = "file",
	.keeps = true,
	.read = lines_read,
	.connected = lines_connected,
	.close = lines_close,
};

static enum err_kind check_path(const char *path, struct err *err)
{
	const char *name = is_stdin(path) ? STDIN_NAME : path;
	struct stat st;
	bool good;

	if (is_stdin(path))
		good = fstat(STDIN_FILENO, &st) == 0;
	else
		good = access(path, R_OK) == 0 && stat(path, &st) == 0;
	if (!good)
		return err_errno(err, ERR_CONFIG, "cannot read %s", name);
	if (S_ISDIR(st.st_mode))
		return err_set(err, ERR_CONFIG,
			       "cannot read %s: it is a folder; name the files in it", name);
	return ERR_NONE;
}

enum err_kind lines_open(struct source *ret, const char *const *paths, size_t count,
			 struct err *err)
{
	struct lines *l;
	enum err_kind rc;

	/* All at once, before a line is read: a name mistyped is told at the start. */
	for (size_t i = 0; i < count; i++) {
		rc = check_path(paths[i], err);
		if (rc)
			return rc;
	}
	if (count == 0 && check_path("-", err))
		return err->kind;
	l = calloc(1, sizeof(*l));
	if (!l)
		return err_set(err, ERR_FATAL, "out of memory for reading lines");
	l->paths = paths;
	l->path_count = count;
	l->fd = -1;
	buf_init(&l->window, WINDOW_BYTES_MAX);
	rc = hasher_new(&l->hasher, err);
	if (rc) {
		lines_close(l);
		return rc;
	}
	*ret = (struct source){.ops = &lines_ops, .ctx = l};
	return ERR_NONE;
}
