#include "sink/archive_index.h"

#include "base/file.h"
#include "base/gzip.h"
#include "base/json.h"
#include "base/time.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

enum {
	DATE_BYTES = 11, /* 2026-11-26 and a NUL */
	PLACE_BYTES = 1024,
	PLACE_NAME_HEX = 16, /* of the hash of a place: so much tells a few from each other */
	HEADER_BYTES_MAX = 8192,
	ENTRY_BYTES_MAX = 4096, /* a key is plain, and not escaped */
	RANGE_BYTES_MAX = (ARCHIVE_OBJECTS_MAX + 2) * ENTRY_BYTES_MAX,
};

_Static_assert(HEADER_BYTES_MAX + 2 * RANGE_BYTES_MAX < INDEX_BYTES_MAX, "many ranges have room");

static const struct span ENTRY = {"{\"key\":", 7};

/* What is in the folder. */
struct journal {
	bool open;
	struct spool_stream stream;
	char date[DATE_BYTES];
	char prefix[ARCHIVE_PREFIX_BYTES_MAX + 1];
	char place[PLACE_BYTES];
	uint64_t first_seq;
	struct archive_range last; /* the newest */
	size_t lines;
	uint64_t len; /* of the file, as far as it is whole */
};

struct archive_index {
	/* const after archive_index_open() */
	char *folder, *prefix, *place;
	struct spool_stream stream;
	char path[PATH_MAX];
	struct gzip_writer *writer;
	struct hasher *hasher;

	struct journal journal;
	struct archive_object object; /* the index as it is put */
	struct buf bytes, text;
};

/* --- reading the journal --- */

static bool copy_text(const struct json *root, const char *key, char *ret, size_t room)
{
	const struct json *v = json_member(root, key);

	if (!v || json_type(v) != JSON_TEXT || json_text(v).len >= room)
		return false;
	memcpy(ret, json_text(v).data, json_text(v).len);
	ret[json_text(v).len] = '\0';
	return true;
}

static bool read_header(struct journal *j, const struct json *root)
{
	char stream[ID_TEXT_BYTES];

	return copy_text(root, "stream", stream, sizeof(stream)) &&
	       id_parse(span_text(stream), &j->stream.uuid) &&
	       json_read_digits(root, "epoch", &j->stream.epoch) &&
	       copy_text(root, "date", j->date, sizeof(j->date)) &&
	       strlen(j->date) == sizeof(j->date) - 1 &&
	       copy_text(root, "prefix", j->prefix, sizeof(j->prefix)) &&
	       copy_text(root, "place", j->place, sizeof(j->place)) &&
	       json_read_digits(root, "first_seq", &j->first_seq);
}

static bool read_range(struct journal *j, const struct json *root)
{
	return json_read_digits(root, "first_seq", &j->last.first_seq) &&
	       json_read_digits(root, "last_seq", &j->last.last_seq);
}

static enum err_kind damaged(struct err *err)
{
	return err_set(err, ERR_CORRUPT,
		       INDEX_JOURNAL_NAME " is damaged: move it away, and what was delivered since "
					  "its date is in no index");
}

static enum err_kind read_line(struct journal *j, struct span line,
			       bool (*read)(struct journal *j, const struct json *root),
			       struct err *err)
{
	struct json *root = NULL;
	enum err_kind rc = json_parse(&root, line, err);

	if (rc != ERR_FATAL)
		rc = !rc && read(j, root) ? ERR_NONE : damaged(err);
	json_free(root);
	return rc;
}

/* Takes a line with its end off text. False: no whole one is left. */
static bool next_line(struct span *text, struct span *ret)
{
	const char *end = text->len > 0 ? memchr(text->data, '\n', text->len) : NULL;

	if (!end)
		return false;
	*ret = span_of(text->data, (size_t)(end - text->data) + 1);
	*text = span_after(*text, ret->len);
	return true;
}

static enum err_kind read_journal(struct journal *j, struct span text, struct err *err)
{
	struct span left = text, line;
	size_t entries = 0;
	enum err_kind rc =
		next_line(&left, &line) ? read_line(j, line, read_header, err) : damaged(err);

	while (!rc && next_line(&left, &line)) {
		entries++;
		if (span_starts(line, ENTRY))
			continue;
		rc = read_line(j, line, read_range, err);
		j->lines += entries;
		j->len = text.len - left.len;
		entries = 0;
	}
	if (!rc && j->lines == 0) /* it is made with its first range, at once or not at all */
		rc = damaged(err);
	j->open = !rc;
	return rc;
}

/* On failure the journal is as it was: what was not read is not written anew. */
static enum err_kind load(struct archive_index *i, struct err *err)
{
	struct journal found = {.open = false};
	enum err_kind rc = ERR_NONE;

	buf_reset(&i->text);
	if (!file_is_missing(i->path)) {
		rc = file_read_all(i->path, &i->text, err);
		if (!rc)
			rc = read_journal(&found, span_of(i->text.data, i->text.len), err);
	}
	if (!rc)
		i->journal = found;
	return rc;
}

/* --- open and close --- */

void archive_index_free(struct archive_index *i)
{
	if (!i)
		return;
	gzip_writer_free(i->writer);
	hasher_free(i->hasher);
	buf_release(&i->bytes);
	buf_release(&i->text);
	free(i->folder);
	free(i->prefix);
	free(i->place);
	free(i);
}

static enum err_kind aside_path(struct archive_index *i, const char *place, char ret[PATH_MAX],
				struct err *err)
{
	uint8_t digest[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	enum err_kind rc = hasher_digest(i->hasher, span_text(place), digest, err);
	int len;

	if (rc)
		return rc;
	len = snprintf(ret, PATH_MAX, "%s.%.*s", i->path, PLACE_NAME_HEX, hash_hex(digest, hex));
	return len > 0 && len < PATH_MAX
		       ? ERR_NONE
		       : err_set(err, ERR_CONFIG, "the path of " INDEX_JOURNAL_NAME " is too long");
}

static enum err_kind put_aside(struct archive_index *i, struct err *err)
{
	char path[PATH_MAX];
	enum err_kind rc = aside_path(i, i->journal.place, path, err);

	if (!rc && !file_is_missing(path))
		rc = err_set(err, ERR_CONFIG,
			     INDEX_JOURNAL_NAME " is of another bucket, as %s is, which is in its "
						"way: move one of them out of the folder",
			     strrchr(path, '/') + 1);
	if (!rc)
		rc = file_rename(i->path, path, err);
	if (!rc)
		rc = file_sync_folder(i->folder, err);
	if (!rc)
		i->journal.open = false;
	return rc;
}

static enum err_kind take_up(struct archive_index *i, struct err *err)
{
	char path[PATH_MAX];
	enum err_kind rc = aside_path(i, i->place, path, err);

	if (rc || file_is_missing(path))
		return rc;
	rc = file_rename(path, i->path, err);
	if (!rc)
		rc = file_sync_folder(i->folder, err);
	return rc ? rc : load(i, err);
}

/* Its objects are not where an index of it would be put now. */
static bool is_of_another_place(const struct archive_index *i)
{
	return i->journal.open && strcmp(i->journal.place, i->place) != 0;
}

static enum err_kind find_journal(struct archive_index *i, struct err *err)
{
	enum err_kind rc = load(i, err);

	if (!rc && is_of_another_place(i))
		rc = put_aside(i, err);
	if (!rc && !i->journal.open)
		rc = take_up(i, err);
	return rc;
}

static enum err_kind open_parts(struct archive_index *i, struct err *err)
{
	int len = snprintf(i->path, sizeof(i->path), "%s/" INDEX_JOURNAL_NAME, i->folder);
	enum err_kind rc = ERR_NONE;

	if (len < 0 || (size_t)len >= sizeof(i->path))
		rc = err_set(err, ERR_CONFIG, "the path of " INDEX_JOURNAL_NAME " is too long");
	if (!rc && strlen(i->place) >= PLACE_BYTES)
		rc = err_set(err, ERR_CONFIG, "the endpoint and the bucket are too long");
	if (!rc)
		rc = gzip_writer_new(&i->writer, err);
	if (!rc)
		rc = hasher_new(&i->hasher, err);
	if (!rc)
		rc = find_journal(i, err);
	buf_release(&i->text);
	return rc;
}

enum err_kind archive_index_open(struct archive_index **ret, const char *folder, const char *place,
				 const struct archive_options *options, struct err *err)
{
	struct archive_index *i = calloc(1, sizeof(*i));
	enum err_kind rc;

	if (!i)
		return err_set(err, ERR_FATAL, "out of memory for an index");
	buf_init(&i->bytes, INDEX_BYTES_MAX);
	buf_init(&i->text, INDEX_BYTES_MAX);
	i->stream = options->stream;
	i->folder = span_copy(span_text(folder));
	i->prefix = span_copy(span_text(options->prefix));
	i->place = span_copy(span_text(place));
	rc = i->folder && i->prefix && i->place
		     ? open_parts(i, err)
		     : err_set(err, ERR_FATAL, "out of memory for an index");
	if (rc)
		archive_index_free(i);
	else
		*ret = i;
	return rc;
}

/* --- the index of a journal --- */

static enum err_kind write_index(struct archive_index *i, struct err *err)
{
	struct archive_object *o = &i->object;
	struct span left = span_of(i->text.data, (size_t)i->journal.len), line;
	uint8_t digest[HASH_BYTES];
	enum err_kind rc = hasher_begin(i->hasher, err);

	if (rc)
		return rc;
	*o = (struct archive_object){.records = 0};
	buf_reset(&i->bytes);
	gzip_writer_begin(i->writer, &i->bytes);
	while (next_line(&left, &line)) {
		if (!span_starts(line, ENTRY))
			continue;
		gzip_writer_add(i->writer, line);
		hasher_add(i->hasher, line.data, line.len);
		o->records++;
		o->content_bytes += line.len;
	}
	rc = gzip_writer_end(i->writer, err);
	if (!rc)
		rc = hasher_end(i->hasher, digest, err);
	if (rc)
		return rc;
	(void)hash_hex(digest, o->content_sha256);
	o->bytes = span_of(i->bytes.data, i->bytes.len);
	return ERR_NONE;
}

static void write_name(const struct journal *j, char ret[ARCHIVE_KEY_BYTES])
{
	char uuid[ID_TEXT_BYTES];

	(void)snprintf(ret, ARCHIVE_KEY_BYTES,
		       "%s%sindex/date=%s/%s.%" PRIu64 "-%020" PRIu64 "-%020" PRIu64 ".ndjson.gz",
		       j->prefix, j->prefix[0] != '\0' ? "/" : "", j->date,
		       id_format(&j->stream.uuid, uuid), j->stream.epoch, j->first_seq,
		       j->last.last_seq);
}

static void name_index(struct archive_index *i)
{
	const struct journal *j = &i->journal;
	struct archive_object *o = &i->object;
	char midnight[TIME_TEXT_BYTES];
	unsigned digits;
	int64_t day_ns;

	(void)snprintf(midnight, sizeof(midnight), "%sT00:00:00Z", j->date);
	o->kind = ARCHIVE_INDEX;
	if (time_parse(span_text(midnight), false, &day_ns, &digits))
		o->day_end_ns = day_ns + ARCHIVE_DAY_NS;
	o->first_seq = j->first_seq;
	o->last_seq = j->last.last_seq;
	write_name(j, o->key);
}

static void date_of(int64_t ns, char ret[DATE_BYTES])
{
	char at[TIME_TEXT_BYTES];

	(void)snprintf(ret, DATE_BYTES, "%.10s", time_format(ns, at));
}

/* The journal that a range makes which is the first. */
static struct journal begin_journal(const struct archive_index *i, int64_t now_ns,
				    struct archive_range range)
{
	struct journal j = {
		.open = true, .stream = i->stream, .first_seq = range.first_seq, .last = range};

	date_of(now_ns, j.date);
	(void)snprintf(j.prefix, sizeof(j.prefix), "%s", i->prefix);
	(void)snprintf(j.place, sizeof(j.place), "%s", i->place);
	return j;
}

void archive_index_name(const struct archive_index *i, int64_t now_ns, struct archive_range range,
			char ret[ARCHIVE_KEY_BYTES])
{
	const struct journal j = begin_journal(i, now_ns, range);

	write_name(&j, ret);
}

/* Of what is delivered now, whatever the day. */
static bool is_ours(const struct archive_index *i)
{
	const struct journal *j = &i->journal;

	return id_compare(&j->stream.uuid, &i->stream.uuid) == 0 &&
	       j->stream.epoch == i->stream.epoch && strcmp(j->prefix, i->prefix) == 0;
}

/* A crash came between the journal and the cursor; what was to be sent may be more now. */
static bool is_there(const struct archive_index *i, struct archive_range range)
{
	const struct journal *j = &i->journal;

	return j->open && is_ours(i) && j->last.first_seq == range.first_seq &&
	       j->last.last_seq == range.last_seq;
}

/* For a range, and its end once more: see archive_index_add(). */
static bool has_room(const struct journal *j)
{
	return j->lines + ARCHIVE_OBJECTS_MAX + 2 <= INDEX_ENTRIES_MAX &&
	       j->len + RANGE_BYTES_MAX <= INDEX_BYTES_MAX;
}

enum err_kind archive_index_due(struct archive_index *i, int64_t now_ns, struct archive_range range,
				const struct archive_object **ret, struct err *err)
{
	const struct journal *j = &i->journal;
	char today[DATE_BYTES];
	enum err_kind rc;

	*ret = NULL;
	date_of(now_ns, today);
	if (!j->open || is_there(i, range) ||
	    (is_ours(i) && range.first_seq == j->last.last_seq + 1 && has_room(j) &&
	     strcmp(today, j->date) <= 0))
		return ERR_NONE;
	rc = load(i, err);
	if (!rc && !j->open) /* who took it away has it */
		return ERR_NONE;
	if (!rc)
		rc = write_index(i, err);
	if (rc)
		return rc;
	name_index(i);
	*ret = &i->object;
	return ERR_NONE;
}

enum err_kind archive_index_closed(struct archive_index *i, struct err *err)
{
	enum err_kind rc = file_is_missing(i->path) ? ERR_NONE : file_remove(i->path, err);

	if (!rc)
		rc = file_sync_folder(i->folder, err);
	if (rc)
		return rc;
	buf_release(&i->bytes);
	buf_release(&i->text);
	i->journal.open = false;
	return ERR_NONE;
}

/* --- adding a range --- */

static int compare_keys(const void *a, const void *b)
{
	const struct archive_index_entry *x = a, *y = b;

	return strcmp(x->object->key, y->object->key);
}

static void write_key(struct buf *out, const struct archive_object *o)
{
	buf_span(out, ENTRY);
	json_write_text(out, span_text(o->key));
}

static void write_entry(struct buf *out, const struct archive_index_entry *e,
			struct archive_range range)
{
	const struct archive_object *o = e->object;

	write_key(out, o);
	buf_fmt(out,
		",\"bytes\":%" PRIu64 ",\"sha256\":\"%s\",\"content_sha256\":\"%s\""
		",\"content_bytes\":%" PRIu64 ",\"records\":%" PRIu64,
		e->bytes, e->sha256, o->content_sha256, o->content_bytes, o->records);
	json_write_digits(out, "first_seq", range.first_seq);
	json_write_digits(out, "last_seq", range.last_seq);
	buf_str(out, "}\n");
}

static void write_range(struct buf *out, struct archive_range range,
			const struct archive_index_entry *entries, size_t count)
{
	struct archive_index_entry sorted[ARCHIVE_OBJECTS_MAX];

	memcpy(sorted, entries, count * sizeof(sorted[0]));
	qsort(sorted, count, sizeof(sorted[0]), compare_keys);
	for (size_t at = 0; at < count; at++)
		write_entry(out, &sorted[at], range);
	buf_str(out, "{");
	json_write_digits(out, "first_seq", range.first_seq);
	json_write_digits(out, "last_seq", range.last_seq);
	buf_str(out, "}\n");
}

static void write_header(struct buf *out, const struct journal *j)
{
	char uuid[ID_TEXT_BYTES];

	buf_str(out, "{");
	json_write_key(out, "stream");
	json_write_text(out, span_text(id_format(&j->stream.uuid, uuid)));
	json_write_digits(out, "epoch", j->stream.epoch);
	json_write_key(out, "date");
	json_write_text(out, span_text(j->date));
	json_write_key(out, "prefix");
	json_write_text(out, span_text(j->prefix));
	json_write_key(out, "place");
	json_write_text(out, span_text(j->place));
	json_write_digits(out, "first_seq", j->first_seq);
	buf_str(out, "}\n");
}

/* What a crash left behind the last whole range is overwritten. */
static enum err_kind append(struct archive_index *i, struct err *err)
{
	int fd = -1;
	enum err_kind rc = file_open(&fd, i->path, FILE_WRITE, err);

	if (!rc)
		rc = file_truncate(fd, i->journal.len, err);
	if (!rc)
		rc = file_write_at(fd, i->text.data, i->text.len, i->journal.len, err);
	if (!rc)
		rc = file_sync(fd, err);
	file_close(&fd);
	return rc;
}

static bool is_named(const struct archive_index *i, struct span start)
{
	struct span left = span_of(i->text.data, (size_t)i->journal.len), line;

	while (next_line(&left, &line))
		if (span_starts(line, start))
			return true;
	return false;
}

/* Puts into ret those that the journal, which is read again, does not name. */
static enum err_kind find_new(struct archive_index *i, const struct archive_index_entry *entries,
			      size_t count, struct archive_index_entry *ret, size_t *ret_count,
			      struct err *err)
{
	struct buf start;
	enum err_kind rc = load(i, err);

	*ret_count = 0;
	buf_init(&start, ENTRY_BYTES_MAX);
	for (size_t at = 0; at < count && !rc; at++) {
		buf_reset(&start);
		write_key(&start, entries[at].object);
		rc = buf_check(&start, err);
		if (!rc && !is_named(i, span_of(start.data, start.len)))
			ret[(*ret_count)++] = entries[at];
	}
	buf_release(&start);
	buf_release(&i->text);
	return rc;
}

static enum err_kind add_range(struct archive_index *i, int64_t now_ns, struct archive_range range,
			       const struct archive_index_entry *entries, size_t count,
			       struct err *err)
{
	struct journal j = i->journal;
	enum err_kind rc;

	buf_reset(&i->text);
	if (!j.open) {
		j = begin_journal(i, now_ns, range);
		write_header(&i->text, &j);
	}
	write_range(&i->text, range, entries, count);
	rc = buf_check(&i->text, err);
	if (!rc)
		rc = i->journal.open ? append(i, err)
				     : file_replace(i->folder, INDEX_JOURNAL_NAME, i->text.data,
						    i->text.len, err);
	if (rc)
		return rc;
	j.len += i->text.len;
	j.lines += count + 1;
	j.last = range;
	i->journal = j;
	return ERR_NONE;
}

enum err_kind archive_index_add(struct archive_index *i, int64_t now_ns, struct archive_range range,
				const struct archive_index_entry *entries, size_t count,
				struct err *err)
{
	struct archive_index_entry found[ARCHIVE_OBJECTS_MAX];
	enum err_kind rc;

	REQUIRE(count <= ARCHIVE_OBJECTS_MAX);
	if (!is_there(i, range))
		return add_range(i, now_ns, range, entries, count, err);
	rc = find_new(i, entries, count, found, &count, err);
	if (rc || (i->journal.open && count == 0))
		return rc;
	return add_range(i, now_ns, range, found, count, err);
}
