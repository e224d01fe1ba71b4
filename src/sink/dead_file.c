#include "sink/dead_file.h"

#include "base/file.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Up to here a double has every whole number. */
#define EXACT_MAX 9007199254740992.0

/* --- keys --- */

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int dead_key_compare(const struct dead_key *a, const struct dead_key *b)
{
	int order = id_compare(&a->stream, &b->stream);

	if (order == 0)
		order = compare_numbers(a->epoch, b->epoch);
	return order != 0 ? order : compare_numbers(a->seq, b->seq);
}

/* A number that a double might change comes as the text of its digits. */
static bool read_number(const struct json *v, uint64_t *ret)
{
	double number;

	if (!v)
		return false;
	if (json_type(v) == JSON_TEXT)
		return span_digits(json_text(v), ret) && *ret > 0 && *ret <= INT64_MAX;
	number = json_type(v) == JSON_NUMBER ? json_number(v) : 0;
	if (!(number >= 1 && number <= EXACT_MAX))
		return false;
	*ret = (uint64_t)number;
	return (double)*ret == number;
}

bool dead_key_read(const struct json *line, struct dead_key *ret)
{
	const struct json *stream = json_member(line, "stream");

	return stream && json_type(stream) == JSON_TEXT &&
	       id_parse(json_text(stream), &ret->stream) &&
	       read_number(json_member(line, "epoch"), &ret->epoch) &&
	       read_number(json_member(line, "seq"), &ret->seq);
}

bool dead_time_read(const struct json *line, int64_t *ret_ns)
{
	const struct json *v = json_member(line, "time");
	unsigned digits;

	return v && json_type(v) == JSON_TEXT && time_parse(json_text(v), false, ret_ns, &digits);
}

void dead_key_write(const struct dead_key *key, struct buf *out)
{
	char stream[ID_TEXT_BYTES];

	json_write_key(out, "stream");
	json_write_text(out, span_text(id_format(&key->stream, stream)));
	json_write_key(out, "epoch");
	buf_fmt(out, "%" PRIu64, key->epoch);
	json_write_key(out, "seq");
	buf_fmt(out, "%" PRIu64, key->seq);
}

/* --- files --- */

enum err_kind dead_file_path(char path[PATH_MAX], const char *folder, const char *sink,
			     enum dead_name name, struct err *err)
{
	static const char *const ends[] = {
		[DEAD_LETTERS] = "ndjson",
		[DEAD_LETTERS_FRESH] = "ndjson.new",
		[DEAD_SETTLED] = "settled.ndjson",
		[DEAD_LOCK] = "lock",
	};
	int len = snprintf(path, PATH_MAX, "%s/dead-%s.%s", folder, sink, ends[name]);

	if (len < 0 || len >= PATH_MAX)
		return err_set(err, ERR_CONFIG, "the path of the dead letters is too long");
	return ERR_NONE;
}

/* Where the last whole line ends: a line that a crash tore was never dealt with. */
static enum err_kind find_end(int fd, uint64_t *ret, struct err *err)
{
	char chunk[DEAD_CHUNK_BYTES];
	uint64_t end = 0;
	enum err_kind rc = file_size(fd, &end, err);

	while (!rc && end > 0) {
		size_t len = end < sizeof(chunk) ? (size_t)end : sizeof(chunk);
		const char *newline;
		size_t got;

		rc = file_read_at(fd, chunk, len, end - len, &got, err);
		if (rc)
			break;
		newline = memrchr(chunk, '\n', got);
		if (newline) {
			end = end - len + (uint64_t)(newline - chunk) + 1;
			break;
		}
		end -= len;
	}
	if (!rc)
		*ret = end;
	return rc;
}

enum err_kind dead_file_open(int *ret_fd, const char *folder, const char *path, uint64_t *ret_len,
			     struct err *err)
{
	enum err_kind rc = file_make_folder(folder, err);

	if (!rc)
		rc = file_open(ret_fd, path, file_is_missing(path) ? FILE_CREATE : FILE_WRITE, err);
	if (!rc)
		rc = find_end(*ret_fd, ret_len, err);
	if (!rc)
		rc = file_truncate(*ret_fd, *ret_len, err);
	if (!rc)
		rc = file_sync_folder(folder, err);
	if (rc) /* without a length it is of no use */
		file_close(ret_fd);
	return rc;
}

enum err_kind dead_file_add(int fd, const struct buf *line, uint64_t *len, struct err *err)
{
	struct err cut_err;
	enum err_kind rc = file_write_at(fd, line->data, line->len, *len, err);

	if (!rc)
		rc = file_sync(fd, err);
	/* Half a line is overwritten by the next, or cut off when the file is opened. */
	if (rc && file_truncate(fd, *len, &cut_err))
		return rc;
	if (!rc)
		*len += line->len;
	return rc;
}

/* --- lines --- */

enum err_kind dead_line_key(const struct dead_line *line, struct dead_key *ret,
			    int64_t *ret_written_ns, bool *ret_found, struct err *err)
{
	struct json *v = NULL;
	struct err aside;
	enum err_kind rc = line->is_too_long ? ERR_REJECT : json_parse(&v, line->text, &aside);

	*ret_found = !rc && dead_key_read(v, ret) && dead_time_read(v, ret_written_ns);
	json_free(v);
	if (rc != ERR_FATAL)
		return ERR_NONE;
	*err = aside;
	return rc;
}

struct lines {
	int fd;
	struct buf text;
	struct dead_line line;
	uint64_t read_at; /* what follows is in no chunk yet */
	size_t used, got; /* of chunk */
	char chunk[DEAD_CHUNK_BYTES];
};

static enum err_kind read_chunk(struct lines *l, struct err *err)
{
	enum err_kind rc =
		file_read_at(l->fd, l->chunk, sizeof(l->chunk), l->read_at, &l->got, err);

	l->used = 0;
	if (rc)
		return rc;
	l->read_at += l->got;
	if (l->read_at > DEAD_FILE_BYTES_MAX)
		return err_set(err, ERR_FULL,
			       "the file of dead letters has more than the %d MiB that flytrail "
			       "writes",
			       DEAD_FILE_BYTES_MAX >> 20);
	return ERR_NONE;
}

/* Up to a newline, or the chunk's end. */
static void take_bytes(struct lines *l, bool *ret_whole)
{
	const char *from = l->chunk + l->used;
	const char *newline = memchr(from, '\n', l->got - l->used);
	size_t len = newline ? (size_t)(newline - from) : l->got - l->used;

	if (len > l->text.max - l->text.len)
		l->line.is_too_long = true;
	else if (!l->line.is_too_long)
		buf_add(&l->text, from, len);
	*ret_whole = newline != NULL;
	l->used += len + (newline ? 1 : 0);
	l->line.end += len + (newline ? 1 : 0);
}

/* *ret_found false: there are no more. */
static enum err_kind next_line(struct lines *l, bool *ret_found, struct err *err)
{
	enum err_kind rc = ERR_NONE;
	bool whole = false;

	buf_reset(&l->text);
	l->line.is_too_long = false;
	l->line.at = l->line.end;
	while (!whole) {
		if (l->used == l->got)
			rc = read_chunk(l, err);
		if (rc || l->got == 0)
			break;
		take_bytes(l, &whole);
	}
	*ret_found = whole;
	l->line.text = span_of(l->text.data, l->text.len);
	return rc ? rc : buf_check(&l->text, err);
}

enum err_kind dead_lines_each(int fd,
			      enum err_kind (*take)(void *arg, const struct dead_line *line,
						    struct err *err),
			      void *arg, struct err *err)
{
	struct lines *l = calloc(1, sizeof(*l));
	bool found = true;
	enum err_kind rc = ERR_NONE;

	if (!l)
		return err_set(err, ERR_FATAL, "no memory to read dead letters");
	buf_init(&l->text, DEAD_LINE_BYTES_MAX);
	l->fd = fd;
	while (!rc && found) {
		rc = next_line(l, &found, err);
		if (!rc && found)
			rc = take(arg, &l->line, err);
	}
	buf_release(&l->text);
	free(l);
	return rc;
}
