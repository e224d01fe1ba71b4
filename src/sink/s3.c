#include "sink/s3.h"

#include "base/time.h"
#include "sink/archive_index.h"
#include "sink/archive_read.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	ENTRY_START_BYTES = 16, /* of an index's line, beside the key */
	KEY_SHOWN_BYTES = 160,
};

struct s3 {
	struct s3_put *put;
	struct archive *archive;
	struct archive_index *index; /* NULL: none is kept */
	bool index_each;
	char *place;
	/* of a delivery */
	struct archive_range range;
	bool again;    /* a process before may have put any of it */
	size_t next;   /* the object that is put next; those before it are there */
	bool in_doubt; /* whether it is there is not known */
	struct s3_stored stored[ARCHIVE_OBJECTS_MAX];
};

/* --- open and close --- */

static void s3_close(void *ctx)
{
	struct s3 *s = ctx;

	if (!s)
		return;
	s3_put_free(s->put);
	archive_free(s->archive);
	archive_index_free(s->index);
	free(s->place);
	free(s);
}

static char *place_of(const struct s3_options *o)
{
	size_t size = strlen(o->endpoint) + 1 + strlen(o->bucket) + 1;
	char *ret = malloc(size);

	if (ret)
		(void)snprintf(ret, size, "%s %s", o->endpoint, o->bucket);
	return ret;
}

static enum err_kind open_parts(struct s3 *s, const struct s3_sink_options *o, struct err *err)
{
	enum err_kind rc = archive_new(&s->archive, &o->archive, err);

	if (!rc)
		rc = s3_put_new(&s->put, &o->client, &o->put, err);
	if (!rc && o->folder)
		rc = archive_index_open(&s->index, o->folder, s->place, &o->archive, err);
	return rc;
}

/* --- a delivery --- */

static void s3_begin(void *ctx, uint64_t first_seq, bool again)
{
	struct s3 *s = ctx;

	archive_begin(s->archive, first_seq);
	s->range.first_seq = first_seq;
	s->again = again;
	s->next = 0;
	s->in_doubt = again;
}

static enum err_kind s3_add(void *ctx, uint64_t seq, struct span payload, bool *ret_taken,
			    struct err *err)
{
	struct s3 *s = ctx;

	(void)seq; /* the range's ends name the objects */
	return archive_add(s->archive, payload, ret_taken, err);
}

/* Names and contents of all objects. */
static enum err_kind s3_seal(void *ctx, uint64_t last_seq, struct buf *cut, struct err *err)
{
	struct s3 *s = ctx;
	enum err_kind rc = archive_end(s->archive, last_seq, err);

	if (rc)
		return rc;
	s->range.last_seq = last_seq;
	for (size_t i = 0; i < archive_count(s->archive); i++) {
		const struct archive_object *o = archive_object(s->archive, i);

		buf_fmt(cut, "%s %s\n", o->content_sha256, o->key);
	}
	return buf_check(cut, err);
}

/* The index that ends before this range. It may have been put by a process before. */
static enum err_kind put_index(struct s3 *s, struct archive_range range, struct s3_answer *answer,
			       struct err *err)
{
	const struct archive_object *o = NULL;
	struct s3_stored stored;
	bool in_doubt = true;
	enum err_kind rc = archive_index_due(s->index, time_now_ns(), range, &o, err);

	if (rc || !o)
		return rc;
	rc = s3_put_once(s->put, o, &in_doubt, &stored, answer, err);
	return rc ? rc : archive_index_closed(s->index, err);
}

static enum err_kind put_objects(struct s3 *s, struct s3_answer *answer, struct err *err)
{
	for (; s->next < archive_count(s->archive); s->next++) {
		enum err_kind rc = s3_put_once(s->put, archive_object(s->archive, s->next),
					       &s->in_doubt, &s->stored[s->next], answer, err);

		if (rc)
			return rc;
		s->in_doubt = s->again;
	}
	return ERR_NONE;
}

static enum err_kind note_objects(struct s3 *s, struct err *err)
{
	struct archive_index_entry entries[ARCHIVE_OBJECTS_MAX];
	size_t count = archive_count(s->archive);

	for (size_t i = 0; i < count; i++)
		entries[i] = (struct archive_index_entry){
			.object = archive_object(s->archive, i),
			.bytes = s->stored[i].bytes,
			.sha256 = s->stored[i].sha256,
		};
	return archive_index_add(s->index, time_now_ns(), s->range, entries, count, err);
}

/* Whether an index's content is of the objects of this delivery, and no other. */
static bool is_of_ours(const struct s3 *s, struct span content)
{
	size_t lines = 0;

	for (size_t i = 0; i < content.len; i++)
		lines += content.data[i] == '\n';
	for (size_t i = 0; i < archive_count(s->archive); i++) {
		char start[ARCHIVE_KEY_BYTES + ENTRY_START_BYTES];
		int len = snprintf(start, sizeof(start), "{\"key\":\"%s\",",
				   archive_object(s->archive, i)->key);

		if (content.len == 0 || !memmem(content.data, content.len, start, (size_t)len))
			return false;
	}
	return lines == archive_count(s->archive);
}

/* *ret_taken: no index could name what this delivery puts. */
static enum err_kind check_own_index(struct s3 *s, bool *ret_taken, struct err *err)
{
	char key[ARCHIVE_KEY_BYTES];
	struct buf content;
	enum err_kind rc;

	buf_init(&content, INDEX_BYTES_MAX);
	archive_index_name(s->index, time_now_ns(), s->range, key);
	rc = archive_read_index(s3_put_client(s->put), span_text(key), &content, err);
	*ret_taken =
		rc == ERR_CORRUPT || (!rc && !is_of_ours(s, span_of(content.data, content.len)));
	buf_release(&content);
	if (*ret_taken)
		return err_set(
			err, ERR_CONFIG,
			"%.*s is in the bucket already, and is not of these objects: nothing "
			"is overwritten; send less or more of the range, or wait for tomorrow",
			KEY_SHOWN_BYTES, key);
	return rc == ERR_REJECT ? ERR_NONE : rc;
}

/* The index of this delivery alone: what would come next does not follow on it. */
static enum err_kind put_own_index(struct s3 *s, struct s3_answer *answer, struct err *err)
{
	const struct archive_range beyond = {.first_seq = s->range.last_seq + 2,
					     .last_seq = s->range.last_seq + 2};

	return put_index(s, beyond, answer, err);
}

static enum err_kind s3_deliver(void *ctx, struct sink_answer *ret, struct err *err)
{
	struct s3 *s = ctx;
	struct s3_answer answer = {.status = 0};
	bool taken = false;
	enum err_kind rc = s->index ? put_index(s, s->range, &answer, err) : ERR_NONE;

	if (!rc && s->index_each)
		rc = check_own_index(s, &taken, err);
	if (!rc)
		rc = put_objects(s, &answer, err);
	if (!rc && s->index)
		rc = note_objects(s, err);
	if (!rc && s->index_each)
		rc = put_own_index(s, &answer, err);
	ret->wait_seconds = answer.retry_after_seconds;
	ret->is_begun = s->next > 0;
	ret->is_its_own = rc == ERR_CONFIG && (taken || s3_put_met_another(s->put));
	if (rc == ERR_REJECT)
		err->kind = rc = ERR_CONFIG;
	return rc;
}

static const struct sink_ops ops = {
	.name = "s3",
	.begin = s3_begin,
	.add = s3_add,
	.seal = s3_seal,
	.deliver = s3_deliver,
	.close = s3_close,
};

enum err_kind s3_open(struct sink *ret, const struct s3_sink_options *options, struct err *err)
{
	struct s3 *s = calloc(1, sizeof(*s));
	enum err_kind rc;

	if (!s)
		return err_set(err, ERR_FATAL, "out of memory for S3");
	s->index_each = options->index_each;
	s->place = place_of(&options->client);
	rc = s->place ? open_parts(s, options, err)
		      : err_set(err, ERR_FATAL, "out of memory for S3");
	if (rc)
		s3_close(s);
	else
		*ret = (struct sink){&ops, s, options->gather_seconds, s->place};
	return rc;
}
