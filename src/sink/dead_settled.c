#include "sink/dead_settled.h"

#include "base/file.h"
#include "base/time.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

enum { LINE_BYTES_MAX = 6 * DEAD_WHY_BYTES_MAX + 512, KEYS_MIN = 64 };

struct dead_settled {
	int lock_fd, fd;
	uint64_t len;
};

/* --- the lock --- */

/* *ret_busy: somebody else has it, and that is no error. */
static enum err_kind take_lock(int *ret_fd, const char *folder, const char *sink, bool *ret_busy,
			       struct err *err)
{
	char path[PATH_MAX];
	enum err_kind rc = dead_file_path(path, folder, sink, DEAD_LOCK, err);

	*ret_busy = false;
	if (!rc && file_is_missing(path)) {
		rc = file_open(ret_fd, path, FILE_CREATE, err);
		if (rc && !file_is_missing(path)) /* another command was faster */
			rc = file_open(ret_fd, path, FILE_WRITE, err);
	} else if (!rc) {
		rc = file_open(ret_fd, path, FILE_WRITE, err);
	}
	if (rc || flock(*ret_fd, LOCK_EX | LOCK_NB) == 0)
		return rc;
	*ret_busy = errno == EWOULDBLOCK;
	return *ret_busy ? ERR_NONE : err_errno(err, ERR_RETRY, "cannot lock %s", path);
}

/* --- settling --- */

static enum err_kind open_files(struct dead_settled *s, const char *folder, const char *sink,
				struct err *err)
{
	char path[PATH_MAX];
	bool busy = false;
	enum err_kind rc = dead_file_path(path, folder, sink, DEAD_SETTLED, err);

	if (!rc)
		rc = take_lock(&s->lock_fd, folder, sink, &busy, err);
	if (!rc && busy)
		rc = err_set(err, ERR_CONFIG,
			     "another flytrail is at work on the dead letters of %s: wait for its "
			     "end",
			     sink);
	return rc ? rc : dead_file_open(&s->fd, folder, path, &s->len, err);
}

enum err_kind dead_settled_open(struct dead_settled **ret, const char *folder, const char *sink,
				struct err *err)
{
	struct dead_settled *s = calloc(1, sizeof(*s));
	enum err_kind rc;

	if (!s)
		return err_set(err, ERR_FATAL, "no memory for the dead letters");
	s->lock_fd = s->fd = -1;
	rc = open_files(s, folder, sink, err);
	if (rc)
		dead_settled_close(s);
	else
		*ret = s;
	return rc;
}

void dead_settled_close(struct dead_settled *s)
{
	if (!s)
		return;
	file_close(&s->fd);
	file_close(&s->lock_fd);
	free(s);
}

enum err_kind dead_settled_add(struct dead_settled *s, const struct dead_key *key,
			       int64_t written_ns, enum dead_end end, const char *why,
			       struct err *err)
{
	struct buf line;
	enum err_kind rc;

	buf_init(&line, LINE_BYTES_MAX);
	buf_u8(&line, '{');
	json_write_time(&line, "time", time_later(time_now_ns(), written_ns));
	dead_key_write(key, &line);
	json_write_key(&line, "end");
	buf_str(&line, end == DEAD_RETRIED ? "\"retried\"" : "\"dropped\"");
	json_write_key(&line, "why");
	json_write_text(&line, span_of(why, strnlen(why, DEAD_WHY_BYTES_MAX)));
	buf_str(&line, "}\n");
	rc = buf_check(&line, err);
	if (!rc && s->len + line.len > DEAD_FILE_BYTES_MAX)
		rc = err_set(err, ERR_FULL,
			     "no more letters can be settled before `flytrail run` has cleared "
			     "them away: restart it");
	if (!rc)
		rc = dead_file_add(s->fd, &line, &s->len, err);
	buf_release(&line);
	return rc;
}

/* --- what is settled --- */

static enum err_kind add_key(struct dead_keys *k, const struct dead_settlement *one,
			     struct err *err)
{
	if (k->count == k->room) {
		size_t room = k->room > 0 ? 2 * k->room : KEYS_MIN;
		struct dead_settlement *keys = realloc(k->keys, room * sizeof(*keys));

		if (!keys)
			return err_set(err, ERR_FATAL, "no memory for %zu dead letters", room);
		k->keys = keys;
		k->room = room;
	}
	k->keys[k->count++] = *one;
	return ERR_NONE;
}

/* What cannot be read settles nothing: its letter is dealt with once more. */
static enum err_kind add_line(void *arg, const struct dead_line *line, struct err *err)
{
	struct dead_settlement one;
	bool found;
	enum err_kind rc = dead_line_key(line, &one.key, &one.time_ns, &found, err);

	return rc || !found ? rc : add_key(arg, &one, err);
}

static int compare_settlements(const void *a, const void *b)
{
	const struct dead_settlement *x = a, *y = b;
	int order = dead_key_compare(&x->key, &y->key);

	return order != 0 ? order : (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

enum err_kind dead_keys_read(struct dead_keys *ret, const char *folder, const char *sink,
			     struct err *err)
{
	struct dead_keys keys = {.count = 0};
	char path[PATH_MAX];
	int fd = -1;
	enum err_kind rc = dead_file_path(path, folder, sink, DEAD_SETTLED, err);

	if (!rc && !file_is_missing(path)) {
		rc = file_open(&fd, path, FILE_READ, err);
		if (!rc)
			rc = dead_lines_each(fd, add_line, &keys, err);
		file_close(&fd);
	}
	if (rc) {
		dead_keys_release(&keys);
		return rc;
	}
	if (keys.count > 0)
		qsort(keys.keys, keys.count, sizeof(keys.keys[0]), compare_settlements);
	*ret = keys;
	return ERR_NONE;
}

void dead_keys_release(struct dead_keys *k)
{
	free(k->keys);
	*k = (struct dead_keys){.count = 0};
}

bool dead_keys_have(const struct dead_keys *k, const struct dead_key *key, int64_t written_ns)
{
	const struct dead_settlement wanted = {.key = *key, .time_ns = written_ns};
	size_t from = 0, to = k->count;

	while (from < to) { /* the first that is not before it */
		size_t middle = from + (to - from) / 2;

		if (compare_settlements(&k->keys[middle], &wanted) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from < k->count && dead_key_compare(&k->keys[from].key, key) == 0;
}

/* --- clearing --- */

struct copy {
	int from, to;
	struct dead_keys keys;
	bool leaves_some_out;
	uint64_t len; /* of to */
	char bytes[DEAD_CHUNK_BYTES];
};

static enum err_kind copy_range(struct copy *c, uint64_t at, uint64_t end, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	while (!rc && at < end) {
		size_t wanted = end - at < sizeof(c->bytes) ? (size_t)(end - at) : sizeof(c->bytes);
		size_t got = 0;

		rc = file_read_at(c->from, c->bytes, wanted, at, &got, err);
		if (!rc && got == 0)
			rc = err_set(err, ERR_RETRY, "the file of dead letters has become shorter");
		if (!rc)
			rc = file_write_at(c->to, c->bytes, got, c->len, err);
		at += got;
		c->len += got;
	}
	return rc;
}

/* All lines but the settled ones, those that cannot be read among them. */
static enum err_kind copy_line(void *arg, const struct dead_line *line, struct err *err)
{
	struct copy *c = arg;
	struct dead_key key;
	int64_t written_ns;
	bool found;
	enum err_kind rc = dead_line_key(line, &key, &written_ns, &found, err);

	if (rc)
		return rc;
	if (!found || !dead_keys_have(&c->keys, &key, written_ns))
		return copy_range(c, line->at, line->end, err);
	c->leaves_some_out = true;
	return ERR_NONE;
}

/* What stays of it is removed by the next one that clears. */
static void discard(const char *path)
{
	struct err aside;
	enum err_kind rc = file_remove(path, &aside);

	(void)rc;
}

static enum err_kind rewrite(struct copy *c, const char *folder, const char *sink,
			     bool *ret_cleared, struct err *err)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	enum err_kind rc = dead_file_path(path, folder, sink, DEAD_LETTERS, err);

	if (!rc)
		rc = dead_file_path(fresh, folder, sink, DEAD_LETTERS_FRESH, err);
	if (rc || file_is_missing(path))
		return rc;
	if (!file_is_missing(fresh)) /* a crash left it */
		rc = file_remove(fresh, err);
	if (!rc)
		rc = file_open(&c->from, path, FILE_READ, err);
	if (!rc)
		rc = file_open(&c->to, fresh, FILE_CREATE, err);
	if (rc)
		return rc;
	rc = dead_lines_each(c->from, copy_line, c, err);
	if (rc || !c->leaves_some_out) {
		discard(fresh);
		return rc;
	}
	rc = file_sync(c->to, err);
	if (!rc)
		rc = file_rename(fresh, path, err);
	*ret_cleared = !rc;
	return rc ? rc : file_sync_folder(folder, err);
}

static enum err_kind clear(const char *folder, const char *sink, bool *ret_cleared, struct err *err)
{
	struct copy *c = calloc(1, sizeof(*c));
	char path[PATH_MAX];
	enum err_kind rc = dead_file_path(path, folder, sink, DEAD_SETTLED, err);

	if (!c)
		return err_set(err, ERR_FATAL, "no memory to clear dead letters");
	c->from = c->to = -1;
	if (!rc)
		rc = dead_keys_read(&c->keys, folder, sink, err);
	if (!rc && c->keys.count > 0)
		rc = rewrite(c, folder, sink, ret_cleared, err);
	if (!rc)
		rc = file_remove(path, err);
	if (!rc)
		rc = file_sync_folder(folder, err);
	file_close(&c->from);
	file_close(&c->to);
	dead_keys_release(&c->keys);
	free(c);
	return rc;
}

enum err_kind dead_settled_clear(const char *folder, const char *sink, bool *ret_cleared,
				 struct err *err)
{
	char path[PATH_MAX];
	bool busy = false;
	int lock_fd = -1;
	enum err_kind rc = dead_file_path(path, folder, sink, DEAD_SETTLED, err);

	*ret_cleared = false;
	if (rc || file_is_missing(path))
		return rc;
	rc = take_lock(&lock_fd, folder, sink, &busy, err);
	if (!rc && !busy)
		rc = clear(folder, sink, ret_cleared, err);
	file_close(&lock_fd);
	return rc;
}
