#include "sink/archive_days.h"

#include "base/time.h"
#include "sink/archive_index.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_BYTES = ARCHIVE_KEY_BYTES + ERR_TEXT_BYTES + 2 }; /* KEY: ERROR */

struct days {
	const struct archive_days_options *options;
	const struct archive_days_calls *calls;
	struct s3_client *client;
	struct buf index, content;  /* of the present index, and object */
	struct archive_entry entry; /* the present one */
};

static enum err_kind unsound(struct days *d, const char *why)
{
	d->calls->unsound(d->calls->arg, why);
	return ERR_NONE;
}

/* --- objects --- */

/* d->entry and d->content are an object, if reading it went well. */
static enum err_kind judge_object(struct days *d, enum err_kind read, uint64_t *sound,
				  struct err *err)
{
	char text[TEXT_BYTES];
	enum err_kind rc;

	if (read == ERR_REJECT || read == ERR_CORRUPT)
		return unsound(d, err->text);
	if (read)
		return read;
	rc = d->calls->object(d->calls->arg, &d->entry, span_of(d->content.data, d->content.len),
			      err);
	if (rc == ERR_REJECT) {
		(void)snprintf(text, sizeof(text), "%s: %s", d->entry.key, err->text);
		return unsound(d, text);
	}
	(*sound)++;
	return rc;
}

static enum err_kind read_named(struct days *d, uint64_t *sound, struct err *err)
{
	unsigned tries = 0;
	enum err_kind rc;

	do
		rc = archive_read_object(d->client, &d->entry, &d->content, err);
	while (archive_walk_again(rc, ++tries, d->options->client.cut));
	return judge_object(d, rc, sound, err);
}

static enum err_kind read_uncovered(struct days *d, struct span key, struct err *err)
{
	uint64_t sound = 0;
	unsigned tries = 0;
	enum err_kind rc;

	do
		rc = archive_read_unindexed(d->client, d->options->prefix, key, &d->entry,
					    &d->content, err);
	while (archive_walk_again(rc, ++tries, d->options->client.cut));
	return judge_object(d, rc, &sound, err);
}

static enum err_kind take_objects(void *arg, const struct archive_walk_object *objects,
				  size_t count, struct err *err)
{
	struct days *d = arg;
	bool is_uncovered[S3_LIST_PAGE_MAX] = {false};
	enum err_kind rc = d->calls->uncovered(d->calls->arg, objects, count, is_uncovered, err);

	for (size_t i = 0; i < count && !rc; i++)
		if (is_uncovered[i])
			rc = read_uncovered(d, objects[i].listed.key, err);
	return rc;
}

/* --- indexes --- */

static bool is_asked_for(const struct days *d, const struct archive_name *n)
{
	return n->kind == d->options->kind && n->until_ns > d->options->since_ns &&
	       n->from_ns < d->options->until_ns;
}

/* An index speaks of its own range alone. */
static bool is_within(const struct archive_name *n, const struct archive_name *index)
{
	return id_compare(&n->stream, &index->stream) == 0 && n->epoch == index->epoch &&
	       n->first_seq >= index->first_seq && n->last_seq <= index->last_seq;
}

/* The next line of what is left, without its end. False: there is none. */
static bool next_line(struct span *left, struct span *ret)
{
	const char *end = left->len > 0 ? memchr(left->data, '\n', left->len) : NULL;
	size_t len = end ? (size_t)(end - left->data) : left->len;

	if (left->len == 0)
		return false;
	*ret = span_of(left->data, len);
	*left = span_after(*left, end ? len + 1 : len);
	return true;
}

/* ERR_CORRUPT: it is no index. */
static enum err_kind check_lines(struct days *d, const struct archive_name *index, struct err *err)
{
	struct span left = span_of(d->index.data, d->index.len), line;
	size_t count = 0;
	enum err_kind rc = ERR_NONE;

	while (!rc && next_line(&left, &line)) {
		rc = archive_index_parse(d->options->prefix, line, &d->entry, err);
		if (!rc && !is_within(&d->entry.name, index))
			rc = err_set(err, ERR_CORRUPT, "it names an object of another range");
		if (!rc && ++count > INDEX_ENTRIES_MAX)
			rc = err_set(err, ERR_CORRUPT, "it has more than %d lines",
				     INDEX_ENTRIES_MAX);
	}
	return rc;
}

static enum err_kind follow_lines(struct days *d, uint64_t *named, struct err *err)
{
	struct span left = span_of(d->index.data, d->index.len), line;
	enum err_kind rc = ERR_NONE;

	while (!rc && next_line(&left, &line)) {
		rc = archive_index_parse(d->options->prefix, line, &d->entry, err);
		if (!rc && is_asked_for(d, &d->entry.name))
			rc = read_named(d, named, err);
	}
	return rc;
}

static enum err_kind read_index(struct days *d, const struct archive_walk_object *index,
				struct err *err)
{
	char text[TEXT_BYTES];
	uint64_t named = 0;
	unsigned tries = 0;
	enum err_kind rc;

	do
		rc = archive_read_index(d->client, index->listed.key, &d->index, err);
	while (archive_walk_again(rc, ++tries, d->options->client.cut));
	if (rc == ERR_REJECT || rc == ERR_CORRUPT)
		return unsound(d, err->text);
	if (rc)
		return rc;
	rc = check_lines(d, &index->name, err);
	if (rc == ERR_CORRUPT) {
		(void)snprintf(text, sizeof(text), "%.*s: %s", (int)index->listed.key.len,
			       index->listed.key.data, err->text);
		return unsound(d, text);
	}
	if (!rc)
		rc = follow_lines(d, &named, err);
	return rc ? rc : d->calls->index(d->calls->arg, index, named, err);
}

static enum err_kind take_indexes(void *arg, const struct archive_walk_object *indexes,
				  size_t count, struct err *err)
{
	struct days *d = arg;
	const int64_t ahead_ns = ARCHIVE_DAYS_AHEAD * TIME_DAY_NS;
	const int64_t since_ns = time_later(d->options->since_ns, INT64_MIN + ahead_ns) - ahead_ns;
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < count && !rc; i++)
		rc = indexes[i].name.until_ns <= since_ns
			     ? d->calls->index(d->calls->arg, &indexes[i], 0, err)
			     : read_index(d, &indexes[i], err);
	return rc;
}

/* --- all of it --- */

static enum err_kind read_all(struct days *d, struct err *err)
{
	struct archive_walk_options walk = {
		.client = d->client,
		.cut = d->options->client.cut,
		.prefix = d->options->prefix,
		.kind = ARCHIVE_INDEX,
		.since_ns = INT64_MIN,
		.until_ns = INT64_MAX,
	};
	struct archive_walk_calls calls = {.page = take_indexes, .arg = d};
	enum err_kind rc = archive_walk(&walk, &calls, err);

	if (rc)
		return rc;
	walk.kind = d->options->kind;
	walk.since_ns = d->options->since_ns;
	walk.until_ns = d->options->until_ns;
	calls.page = take_objects;
	return archive_walk(&walk, &calls, err);
}

enum err_kind archive_days(const struct archive_days_options *options,
			   const struct archive_days_calls *calls, struct err *err)
{
	struct days *d = calloc(1, sizeof(*d));
	enum err_kind rc;

	if (!d)
		return err_set(err, ERR_FATAL, "out of memory for the archive's objects");
	d->options = options;
	d->calls = calls;
	buf_init(&d->index, INDEX_BYTES_MAX);
	buf_init(&d->content, ARCHIVE_OBJECT_CONTENT_BYTES_MAX);
	rc = s3_client_new(&d->client, &options->client, err);
	if (!rc)
		rc = read_all(d, err);
	buf_release(&d->index);
	buf_release(&d->content);
	s3_client_free(d->client);
	free(d);
	return rc;
}
