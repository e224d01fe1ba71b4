#include "sink/archive.h"

#include "base/gzip.h"
#include "base/time.h"
#include "model/ndjson.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	TEXT_BYTES_MAX = 8 * RECORD_PAYLOAD_BYTES_MAX, /* of a record: escapes are six bytes */
	TEXT_KEEP_BYTES = 1024 * 1024,
	PIECE_BYTES = 64 * 1024, /* what the compressor and the hash are given at a time */
	PLACE_BYTES = 64,        /* "lines/date=2026-11-26/hour=07" */
};

/* An object that is made, and what is made it with. */
struct part {
	struct archive_object object;
	char place[PLACE_BYTES];
	struct gzip_writer *writer; /* NULL: none yet; kept */
	struct hasher *hasher;
	struct buf piece; /* what they have not been given yet */
	struct buf bytes;
};

struct archive {
	struct archive_options options;
	char *prefix;
	uint64_t first_seq;
	struct part parts[ARCHIVE_OBJECTS_MAX];
	size_t count;
	/* Of all parts: what is made so far, and what it is made of. */
	size_t bytes;
	uint64_t content_bytes;
	struct record scratch;
	struct buf line, event; /* the present record's texts */
	int64_t hour;           /* since 1970, of the last line */
	char hour_place[PLACE_BYTES];
};

enum err_kind archive_new(struct archive **ret, const struct archive_options *options,
			  struct err *err)
{
	struct archive *a = calloc(1, sizeof(*a));

	REQUIRE(strlen(options->prefix) <= ARCHIVE_PREFIX_BYTES_MAX);
	if (a)
		a->prefix = span_copy(span_text(options->prefix));
	if (!a || !a->prefix) {
		free(a);
		return err_set(err, ERR_FATAL, "out of memory for an archive");
	}
	a->options = *options;
	a->options.prefix = a->prefix;
	buf_init(&a->line, TEXT_BYTES_MAX);
	buf_init(&a->event, TEXT_BYTES_MAX);
	for (size_t i = 0; i < ARRAY_LEN(a->parts); i++) {
		buf_init(&a->parts[i].bytes, ARCHIVE_OBJECT_BYTES_MAX);
		buf_init(&a->parts[i].piece, PIECE_BYTES);
	}
	*ret = a;
	return ERR_NONE;
}

void archive_free(struct archive *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < ARRAY_LEN(a->parts); i++) {
		gzip_writer_free(a->parts[i].writer);
		hasher_free(a->parts[i].hasher);
		buf_release(&a->parts[i].bytes);
		buf_release(&a->parts[i].piece);
	}
	buf_release(&a->line);
	buf_release(&a->event);
	free(a->prefix);
	free(a);
}

void archive_begin(struct archive *a, uint64_t first_seq)
{
	for (size_t i = 0; i < a->count; i++)
		buf_release(&a->parts[i].bytes);
	a->count = 0;
	a->bytes = 0;
	a->content_bytes = 0;
	a->first_seq = first_seq;
}

/* --- where a record stands --- */

struct place {
	char text[PLACE_BYTES];
	enum archive_kind kind;
	int64_t day_end_ns;
};

/* A time before 1970, or of the last days that there are, is no day's to be counted from. */
static int64_t end_of_day(int64_t ns)
{
	return (time_later(time_earlier(ns, INT64_MAX - 2 * ARCHIVE_DAY_NS), 0) / ARCHIVE_DAY_NS +
		1) *
	       ARCHIVE_DAY_NS;
}

static int64_t count_from(int64_t occurred_ns, int64_t observed_ns)
{
	return time_earlier(end_of_day(occurred_ns), end_of_day(observed_ns) + ARCHIVE_DAY_NS);
}

static void place_line(struct archive *a, const struct record *r, struct place *ret)
{
	static const int64_t hour_ns = 3600 * NS_PER_S;
	int64_t hour = r->occurred_ns / hour_ns - (r->occurred_ns % hour_ns < 0);
	char at[TIME_TEXT_BYTES];

	if (hour != a->hour || a->hour_place[0] == '\0') { /* most are of the hour of the last */
		(void)time_format(r->occurred_ns, at);
		(void)snprintf(a->hour_place, PLACE_BYTES, "lines/date=%.10s/hour=%.2s", at,
			       at + 11);
		a->hour = hour;
	}
	memcpy(ret->text, a->hour_place, PLACE_BYTES);
	ret->kind = ARCHIVE_LINES;
	ret->day_end_ns = count_from(r->occurred_ns, r->observed_ns);
}

static void place_event(const struct event *e, struct place *ret)
{
	const char *retention = class_retention(e->class);
	char at[TIME_TEXT_BYTES];

	(void)time_format(e->occurred_ns, at);
	(void)snprintf(ret->text, PLACE_BYTES, "events/class=%s/date=%.10s", retention, at);
	ret->kind = strcmp(retention, "security") == 0 ? ARCHIVE_SECURITY : ARCHIVE_OPERATIONS;
	ret->day_end_ns = count_from(e->occurred_ns, e->observed_ns);
}

/* NULL: there is none. */
static struct part *find(struct archive *a, const char *place)
{
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->parts[i].place, place) == 0)
			return &a->parts[i];
	return NULL;
}

static enum err_kind make_part(struct archive *a, const struct place *place, struct part **ret,
			       struct err *err)
{
	struct part *p = &a->parts[a->count];
	enum err_kind rc = ERR_NONE;

	REQUIRE(a->count < ARCHIVE_OBJECTS_MAX);
	if (!p->writer)
		rc = gzip_writer_new(&p->writer, err);
	if (!rc && !p->hasher)
		rc = hasher_new(&p->hasher, err);
	if (!rc)
		rc = hasher_begin(p->hasher, err);
	if (rc)
		return rc;
	memcpy(p->place, place->text, PLACE_BYTES);
	p->object = (struct archive_object){.kind = place->kind, .day_end_ns = place->day_end_ns};
	gzip_writer_begin(p->writer, &p->bytes);
	buf_reset(&p->piece);
	a->count++;
	*ret = p;
	return ERR_NONE;
}

/* --- a record --- */

struct texts {
	struct place line, event;
	bool has_line, has_event;
};

static enum err_kind write_texts(struct archive *a, struct span payload, struct texts *ret,
				 struct err *err)
{
	bool is_line = payload_kind(payload) == PAYLOAD_LINE;
	struct event event;
	enum err_kind rc = ERR_NONE;

	buf_reset(&a->line);
	buf_reset(&a->event);
	if (is_line)
		rc = record_decode(payload, &a->scratch, err);
	ret->has_line = is_line && a->options.send == ARCHIVE_ALL;
	ret->has_event = !is_line || a->scratch.class != CLASS_app_log;
	if (!rc && ret->has_line) {
		place_line(a, &a->scratch, &ret->line);
		ndjson_write(&a->scratch, NDJSON_LINE, &a->line);
		rc = buf_check(&a->line, err);
	}
	if (rc || !ret->has_event)
		return rc;
	if (is_line)
		event_from_record(&a->scratch, &event);
	else
		rc = event_decode(payload, &event, err);
	if (rc)
		return rc;
	place_event(&event, &ret->event);
	ndjson_write_event(&event, &a->event);
	return buf_check(&a->event, err);
}

/* Where the record's texts go; NULL: a part that is to be made. False: there is no room. */
static bool find_room(struct archive *a, const struct texts *t, struct part **ret_line,
		      struct part **ret_event)
{
	size_t made;

	*ret_line = t->has_line ? find(a, t->line.text) : NULL;
	*ret_event = t->has_event ? find(a, t->event.text) : NULL;
	made = (size_t)(t->has_line && !*ret_line) + (size_t)(t->has_event && !*ret_event);
	return a->bytes < ARCHIVE_BYTES_MAX && a->content_bytes < ARCHIVE_CONTENT_BYTES_MAX &&
	       a->count + made <= ARCHIVE_OBJECTS_MAX;
}

static void compress(struct part *p, const struct buf *text)
{
	gzip_writer_add(p->writer, span_of(text->data, text->len));
	hasher_add(p->hasher, text->data, text->len);
}

static void compress_piece(struct part *p)
{
	compress(p, &p->piece);
	buf_reset(&p->piece);
}

static enum err_kind add_text(struct archive *a, struct part *p, const struct place *place,
			      const struct buf *text, struct err *err)
{
	size_t made = p ? p->bytes.len : 0;
	enum err_kind rc = p ? ERR_NONE : make_part(a, place, &p, err);

	if (rc)
		return rc;
	if (p->piece.len + text->len > PIECE_BYTES)
		compress_piece(p);
	if (text->len > PIECE_BYTES)
		compress(p, text);
	else
		buf_add(&p->piece, text->data, text->len);
	p->object.records++;
	p->object.content_bytes += text->len;
	a->bytes += p->bytes.len - made;
	a->content_bytes += text->len;
	rc = buf_check(&p->piece, err);
	if (!rc)
		rc = buf_check(&p->bytes, err);
	REQUIRE(rc != ERR_FULL); /* ARCHIVE_OBJECT_BYTES_MAX has room for any record more */
	return rc;
}

enum err_kind archive_add(struct archive *a, struct span payload, bool *ret_taken, struct err *err)
{
	struct texts t = {.has_line = false};
	struct part *line, *event;
	enum err_kind rc = write_texts(a, payload, &t, err);

	if (rc == ERR_FATAL)
		return rc;
	if (rc) {
		err->kind = ERR_REJECT;
		return ERR_REJECT;
	}
	*ret_taken = t.has_line || t.has_event;
	if (!find_room(a, &t, &line, &event))
		return err_set(err, ERR_FULL, "there is room for no more in one range");
	if (t.has_line)
		rc = add_text(a, line, &t.line, &a->line, err);
	if (!rc && t.has_event)
		rc = add_text(a, event, &t.event, &a->event, err);
	if (a->line.cap + a->event.cap > TEXT_KEEP_BYTES) {
		buf_release(&a->line);
		buf_release(&a->event);
	}
	return rc;
}

/* --- the end --- */

static enum err_kind end_part(struct archive *a, struct part *p, uint64_t last_seq, struct err *err)
{
	const struct spool_stream *stream = &a->options.stream;
	struct archive_object *o = &p->object;
	uint8_t digest[HASH_BYTES];
	char uuid[ID_TEXT_BYTES];
	enum err_kind rc;

	compress_piece(p);
	rc = gzip_writer_end(p->writer, err);
	if (!rc)
		rc = hasher_end(p->hasher, digest, err);
	if (rc)
		return rc;
	(void)hash_hex(digest, o->content_sha256);
	(void)snprintf(o->key, sizeof(o->key),
		       "%s%s%s/%s.%" PRIu64 "-%020" PRIu64 "-%020" PRIu64 ".ndjson.gz", a->prefix,
		       a->prefix[0] != '\0' ? "/" : "", p->place, id_format(&stream->uuid, uuid),
		       stream->epoch, a->first_seq, last_seq);
	o->bytes = span_of(p->bytes.data, p->bytes.len);
	o->first_seq = a->first_seq;
	o->last_seq = last_seq;
	return ERR_NONE;
}

enum err_kind archive_end(struct archive *a, uint64_t last_seq, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < a->count && !rc; i++)
		rc = end_part(a, &a->parts[i], last_seq, err);
	return rc;
}

size_t archive_count(const struct archive *a)
{
	return a->count;
}

const struct archive_object *archive_object(const struct archive *a, size_t idx)
{
	REQUIRE(idx < a->count);
	return &a->parts[idx].object;
}
