#include "sink/dead_letter.h"

#include "base/file.h"
#include "base/time.h"
#include "sink/dead_settled.h"

#include <stdlib.h>

struct dead_letters {
	int fd;
	uint64_t len;
	struct spool_stream stream;
	char *folder;
	char sink[SPOOL_CONSUMER_NAME_BYTES];
};

/*
 * Also of letters that are open: then it is another file from now on. *ret_uncleared says why what
 * is settled is still there, else its kind is ERR_NONE; the next one that opens them tries again.
 */
static enum err_kind open_file(struct dead_letters *d, struct err *ret_uncleared, struct err *err)
{
	char path[PATH_MAX];
	bool cleared;
	enum err_kind rc;

	file_close(&d->fd);
	ret_uncleared->text[0] = '\0';
	ret_uncleared->kind = dead_settled_clear(d->folder, d->sink, &cleared, ret_uncleared);
	rc = dead_file_path(path, d->folder, d->sink, DEAD_LETTERS, err);
	return rc ? rc : dead_file_open(&d->fd, d->folder, path, &d->len, err);
}

enum err_kind dead_letters_open(struct dead_letters **ret, const char *folder, const char *sink,
				struct spool_stream stream, struct err *err)
{
	struct dead_letters *d = calloc(1, sizeof(*d));
	struct err uncleared;
	enum err_kind rc;

	REQUIRE(strlen(sink) < sizeof(d->sink));
	if (d)
		d->folder = span_copy(span_text(folder));
	if (!d || !d->folder) {
		free(d);
		return err_set(err, ERR_FATAL, "no memory for the dead letters");
	}
	memcpy(d->sink, sink, strlen(sink) + 1);
	d->stream = stream;
	d->fd = -1;
	rc = open_file(d, &uncleared, err);
	if (rc) {
		dead_letters_close(d);
		return err_wrap(err, "open the dead letters of %s", sink);
	}
	*ret = d;
	return ERR_NONE;
}

void dead_letters_close(struct dead_letters *d)
{
	if (!d)
		return;
	file_close(&d->fd);
	free(d->folder);
	free(d);
}

static struct span first_bytes(struct span s, size_t max)
{
	return span_of(s.data, s.len < max ? s.len : max);
}

static void write_line(struct buf *out, const struct dead_letters *d, uint64_t seq,
		       struct span payload, const char *reason, struct span answer)
{
	const struct dead_key key = {
		.stream = d->stream.uuid, .epoch = d->stream.epoch, .seq = seq};

	buf_u8(out, '{');
	json_write_time(out, "time", time_now_ns());
	json_write_key(out, "sink");
	json_write_text(out, span_text(d->sink));
	dead_key_write(&key, out);
	json_write_key(out, "reason");
	json_write_text(out, first_bytes(span_text(reason), DEAD_REASON_BYTES_MAX));
	if (answer.len > 0) {
		json_write_key(out, "answer");
		json_write_text(out, first_bytes(answer, DEAD_ANSWER_BYTES_MAX));
	}
	json_write_key(out, "payload");
	buf_u8(out, '"');
	base64_write(out, payload);
	buf_str(out, "\"}\n");
}

static bool is_full(const struct dead_letters *d, const struct buf *line)
{
	return d->len + line->len > DEAD_FILE_BYTES_MAX;
}

static enum err_kind append_line(struct dead_letters *d, const struct buf *line, struct err *err)
{
	struct err uncleared = {.kind = ERR_NONE};
	enum err_kind rc = ERR_NONE;

	if (d->fd < 0 || is_full(d, line)) /* there may be more room since somebody settled some */
		rc = open_file(d, &uncleared, err);
	if (!rc && is_full(d, line))
		rc = err_set(err, ERR_FULL,
			     "the dead letters of %s have reached %d MiB: see `flytrail dead list "
			     "--sink %s`, and retry or drop them%s%s",
			     d->sink, DEAD_FILE_BYTES_MAX >> 20, d->sink,
			     uncleared.kind != ERR_NONE ? "; what is settled cannot be cleared: "
							: "",
			     uncleared.text);
	return rc ? rc : dead_file_add(d->fd, line, &d->len, err);
}

enum err_kind dead_letters_add(struct dead_letters *d, uint64_t seq, struct span payload,
			       const char *reason, struct span answer, struct err *err)
{
	struct buf line;
	enum err_kind rc;

	buf_init(&line, DEAD_LINE_BYTES_MAX);
	write_line(&line, d, seq, payload, reason, answer);
	rc = buf_check(&line, err);
	if (!rc)
		rc = append_line(d, &line, err);
	buf_release(&line);
	return rc;
}
