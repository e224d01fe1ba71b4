#include "sink/dead_letter.h"

#include "base/base64.h"
#include "base/file.h"
#include "base/json.h"
#include "base/time.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	SCAN_CHUNK_BYTES = 64 * 1024,
	REASON_BYTES_MAX = ERR_TEXT_BYTES,
	/* A payload in base64, and what stands around it with every byte escaped. */
	LINE_BYTES_MAX =
		BASE64_BYTES(RECORD_PAYLOAD_BYTES_MAX) + 6 * (REASON_BYTES_MAX + PATH_MAX) + 512,
};

struct dead_letters {
	int fd;
	uint64_t len;
	struct spool_stream stream;
	char sink[SPOOL_CONSUMER_NAME_BYTES];
};

/* Where the last whole line ends: a line that a crash tore was never dealt with. */
static enum err_kind find_end(int fd, uint64_t *ret, struct err *err)
{
	char chunk[SCAN_CHUNK_BYTES];
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

static enum err_kind open_file(struct dead_letters *d, const char *folder, struct err *err)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/dead-%s.ndjson", folder, d->sink);
	enum err_kind rc;
	bool there;

	if (len < 0 || (size_t)len >= sizeof(path))
		return err_set(err, ERR_CONFIG, "the path of the dead letters is too long");
	rc = file_make_folder(folder, err);
	if (rc)
		return rc;
	there = access(path, F_OK) == 0;
	rc = file_open(&d->fd, path, there ? FILE_WRITE : FILE_CREATE, err);
	if (!rc)
		rc = find_end(d->fd, &d->len, err);
	if (!rc)
		rc = file_truncate(d->fd, d->len, err);
	return rc ? rc : file_sync_folder(folder, err);
}

enum err_kind dead_letters_open(struct dead_letters **ret, const char *folder, const char *sink,
				struct spool_stream stream, struct err *err)
{
	struct dead_letters *d = calloc(1, sizeof(*d));
	enum err_kind rc;

	if (!d)
		return err_set(err, ERR_FATAL, "no memory for the dead letters");
	REQUIRE(strlen(sink) < sizeof(d->sink));
	memcpy(d->sink, sink, strlen(sink) + 1);
	d->stream = stream;
	d->fd = -1;
	rc = open_file(d, folder, err);
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
	free(d);
}

static void write_line(struct buf *out, const struct dead_letters *d, uint64_t seq,
		       struct span payload, const char *reason)
{
	char time_text[TIME_TEXT_BYTES], stream_text[ID_TEXT_BYTES];

	buf_fmt(out, "{\"time\":\"%s\",\"sink\":", time_format(time_now_ns(), time_text));
	json_write_text(out, span_text(d->sink));
	buf_fmt(out, ",\"stream\":\"%s\",\"epoch\":%" PRIu64 ",\"seq\":%" PRIu64 ",\"reason\":",
		id_format(&d->stream.uuid, stream_text), d->stream.epoch, seq);
	json_write_text(out, span_of(reason, strnlen(reason, REASON_BYTES_MAX)));
	buf_str(out, ",\"payload\":\"");
	base64_write(out, payload);
	buf_str(out, "\"}\n");
}

static enum err_kind append_line(struct dead_letters *d, const struct buf *line, struct err *err)
{
	struct err cut_err;
	enum err_kind rc;

	if (d->len + line->len > DEAD_LETTER_FILE_BYTES_MAX)
		return err_set(err, ERR_FULL,
			       "the dead letters of %s have reached %d MiB: look at them, move the "
			       "file away and start again",
			       d->sink, DEAD_LETTER_FILE_BYTES_MAX >> 20);
	rc = file_write_at(d->fd, line->data, line->len, d->len, err);
	if (!rc)
		rc = file_sync(d->fd, err);
	/* Half a line is overwritten by the next, or cut off when the file is opened. */
	if (rc && file_truncate(d->fd, d->len, &cut_err))
		return rc;
	if (!rc)
		d->len += line->len;
	return rc;
}

enum err_kind dead_letters_add(struct dead_letters *d, uint64_t seq, struct span payload,
			       const char *reason, struct err *err)
{
	struct buf line;
	enum err_kind rc;

	buf_init(&line, LINE_BYTES_MAX);
	write_line(&line, d, seq, payload, reason);
	rc = buf_check(&line, err);
	if (!rc)
		rc = append_line(d, &line, err);
	buf_release(&line);
	return rc;
}
