#include "run/archive_agrees.h"

#include "base/json.h"
#include "base/time.h"
#include "sink/archive_days.h"
#include "store/archive_rows.h"

#include <inttypes.h>
#include <stdio.h>

_Static_assert((int)S3_LIST_PAGE_MAX <= (int)ARCHIVE_ROWS_RANGES_MAX,
	       "a page is asked for at once");
_Static_assert((int)ARCHIVE_ROWS_DIGEST_BYTES == (int)RETENTION_DIGEST_BYTES, "both are SHA-256");

struct agreeing {
	const struct archive_agrees_options *options;
	const struct retention_part *part;
	struct retention_archive *ret;
	struct archive_rows *rows;
	uint64_t unsound; /* of the part's own time */
	struct err first; /* why the first of these is */
	bool is_elsewhere;
};

static enum archive_kind kind_of(const char *kind)
{
	if (strcmp(kind, "log_lines") == 0)
		return ARCHIVE_LINES;
	return strcmp(kind, "security") == 0 ? ARCHIVE_SECURITY : ARCHIVE_OPERATIONS;
}

/* --- what the archive has --- */

static struct archive_rows_range range_of(const struct archive_name *n)
{
	return (struct archive_rows_range){.stream = n->stream,
					   .epoch = n->epoch,
					   .first_seq = n->first_seq,
					   .last_seq = n->last_seq};
}

/* The days that rows claim are read one by one, and an index may name objects of several. */
static bool is_told(const struct agreeing *a, struct span key)
{
	const struct buf *keys = &a->ret->keys;

	return keys->len > 0 && memmem(keys->data, keys->len, key.data, key.len) != NULL;
}

static enum err_kind index_read(void *arg, const struct archive_walk_object *index, uint64_t named,
				struct err *err)
{
	struct agreeing *a = arg;
	const struct archive_rows_range range = range_of(&index->name);

	if (named > 0 && !is_told(a, index->listed.key))
		retention_add_key(a->ret, index->listed.key);
	return archive_rows_cover(a->rows, &range, err);
}

static enum err_kind uncovered(void *arg, const struct archive_walk_object *objects, size_t count,
			       bool *ret, struct err *err)
{
	struct agreeing *a = arg;
	struct archive_rows_range ranges[ARCHIVE_ROWS_RANGES_MAX];

	for (size_t i = 0; i < count; i++)
		ranges[i] = range_of(&objects[i].name);
	return archive_rows_uncovered(a->rows, ranges, count, ret, err);
}

/* ERR_REJECT: the line has none. */
static enum err_kind read_id(struct span line, const char *member, struct id *ret, struct err *err)
{
	struct json *root = NULL;
	const struct json *value;
	enum err_kind rc = json_parse(&root, line, err);

	if (rc)
		return rc;
	value = json_member(root, member);
	if (!value || json_type(value) != JSON_TEXT || !id_parse(json_text(value), ret))
		rc = err_set(err, ERR_REJECT, "a line of it has no id");
	json_free(root);
	return rc;
}

static enum err_kind put_ids(struct agreeing *a, const char *member, struct span content,
			     struct err *err)
{
	enum err_kind rc = ERR_NONE;
	struct id id;

	while (content.len > 0 && !rc) {
		const char *end = memchr(content.data, '\n', content.len);
		size_t len = end ? (size_t)(end - content.data) : content.len;

		rc = read_id(span_of(content.data, len), member, &id, err);
		if (!rc)
			rc = archive_rows_put(a->rows, &id, err);
		content = span_after(content, end ? len + 1 : len);
	}
	return rc;
}

static enum err_kind object(void *arg, const struct archive_entry *entry, struct span content,
			    struct err *err)
{
	struct agreeing *a = arg;
	const char *member = entry->name.kind == ARCHIVE_LINES ? "id" : "event_id";
	struct err aside;
	enum err_kind rc;

	if (a->options->is_over(a->options->arg))
		return err_set(err, ERR_FULL, "it was told to end");
	rc = archive_rows_begin(a->rows, err);
	if (rc)
		return rc;
	rc = put_ids(a, member, content, err);
	if (!rc)
		rc = archive_rows_end(a->rows, err);
	else if (archive_rows_drop(a->rows, &aside) && rc == ERR_REJECT)
		rc = err_set(err, aside.kind, "%s", aside.text); /* the session cannot go on */
	if (!rc)
		a->ret->objects++;
	return rc;
}

static void unsound(void *arg, const char *why)
{
	struct agreeing *a = arg;

	if (!a->is_elsewhere && a->unsound++ == 0)
		(void)err_set(&a->first, ERR_CORRUPT, "%s", why);
}

static enum err_kind read_days(struct agreeing *a, int64_t since_ns, int64_t until_ns,
			       struct err *err)
{
	const struct s3_sink_options *s3 = &a->options->s3->options;
	const struct archive_days_options options = {
		.client = s3->client,
		.prefix = s3->archive.prefix,
		.kind = kind_of(a->part->kind),
		.since_ns = since_ns,
		.until_ns = until_ns,
	};
	const struct archive_days_calls calls = {.index = index_read,
						 .uncovered = uncovered,
						 .object = object,
						 .unsound = unsound,
						 .arg = a};

	return archive_days(&options, &calls, err);
}

/* --- the comparison --- */

static enum err_kind read_claimed_days(struct agreeing *a, struct err *err)
{
	int64_t days[ARCHIVE_ROWS_DAYS_MAX];
	size_t count = 0;
	enum err_kind rc =
		archive_rows_days(a->rows, a->part->from_ns, a->part->to_ns, days, &count, err);

	a->is_elsewhere = true;
	for (size_t i = 0; i < count && !rc; i++)
		rc = read_days(a, days[i], days[i] + TIME_DAY_NS, err);
	return rc;
}

static enum err_kind tell_missing(const struct agreeing *a, const struct archive_rows_result *r,
				  struct err *err)
{
	if (a->unsound == 0)
		return err_set(err, ERR_REJECT, "%" PRIu64 " rows of %s are not in the archive",
			       r->missing, a->part->partition);
	return err_set(err, ERR_REJECT,
		       "%" PRIu64 " rows of %s are not in the archive, where %" PRIu64
		       " objects or indexes are not as they should be; the first: %s",
		       r->missing, a->part->partition, a->unsound, a->first.text);
}

static enum err_kind compare(struct agreeing *a, struct err *err)
{
	struct archive_rows_result r;
	enum err_kind rc = archive_rows_compare(a->rows, &r, err);

	if (!rc && (r.missing > 0 || r.apart > 0)) {
		rc = read_days(a, a->part->from_ns, a->part->to_ns, err);
		if (!rc)
			rc = archive_rows_compare(a->rows, &r, err);
	}
	if (!rc && r.missing > 0) {
		rc = read_claimed_days(a, err);
		if (!rc)
			rc = archive_rows_compare(a->rows, &r, err);
	}
	if (rc || r.missing > 0)
		return rc ? rc : tell_missing(a, &r, err);
	a->ret->rows = r.rows;
	a->ret->apart = r.apart_found;
	memcpy(a->ret->digest, r.digest, sizeof(a->ret->digest));
	return ERR_NONE;
}

enum err_kind archive_agrees(void *arg, struct retention *db, const struct retention_part *part,
			     struct retention_archive *ret, struct err *err)
{
	struct agreeing a = {.options = arg, .part = part, .ret = ret};
	enum err_kind rc;

	ret->is_none = kind_of(part->kind) == ARCHIVE_LINES &&
		       a.options->s3->options.archive.send == ARCHIVE_EVENTS;
	if (ret->is_none)
		return ERR_NONE;
	rc = archive_rows_new(&a.rows, retention_session(db), part->kind, part->leaving, err);
	if (!rc)
		rc = compare(&a, err);
	archive_rows_free(a.rows);
	return rc;
}
