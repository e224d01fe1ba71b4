#include "sink/s3.h"

#include <stdlib.h>

struct s3 {
	struct s3_put *put;
	struct archive *archive;
	bool again;    /* a process before may have put any of the delivery */
	size_t next;   /* the object that is put next; those before it are there */
	bool in_doubt; /* whether it is there is not known */
};

/* --- open and close --- */

static void s3_close(void *ctx)
{
	struct s3 *s = ctx;

	if (!s)
		return;
	s3_put_free(s->put);
	archive_free(s->archive);
	free(s);
}

static enum err_kind open_parts(struct s3 *s, const struct s3_sink_options *o, struct err *err)
{
	enum err_kind rc = archive_new(&s->archive, &o->archive, err);

	if (!rc)
		rc = s3_put_new(&s->put, &o->client, &o->put, err);
	return rc;
}

/* --- a delivery --- */

static void s3_begin(void *ctx, uint64_t first_seq, bool again)
{
	struct s3 *s = ctx;

	archive_begin(s->archive, first_seq);
	s->again = again;
	s->next = 0;
	s->in_doubt = again;
}

static enum err_kind s3_add(void *ctx, uint64_t seq, struct span payload, struct err *err)
{
	struct s3 *s = ctx;

	(void)seq; /* the range's ends name the objects */
	return archive_add(s->archive, payload, err);
}

/* Names and contents of all objects. */
static enum err_kind s3_seal(void *ctx, uint64_t last_seq, struct buf *cut, struct err *err)
{
	struct s3 *s = ctx;
	enum err_kind rc = archive_end(s->archive, last_seq, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < archive_count(s->archive); i++) {
		const struct archive_object *o = archive_object(s->archive, i);

		buf_fmt(cut, "%s %s\n", o->content_sha256, o->key);
	}
	return buf_check(cut, err);
}

static enum err_kind s3_deliver(void *ctx, struct sink_answer *ret, struct err *err)
{
	struct s3 *s = ctx;

	for (; s->next < archive_count(s->archive); s->next++) {
		struct s3_answer answer = {.status = 0};
		enum err_kind rc = s3_put_once(s->put, archive_object(s->archive, s->next),
					       &s->in_doubt, &answer, err);

		ret->wait_seconds = answer.retry_after_seconds;
		if (rc == ERR_REJECT)
			err->kind = rc = ERR_CONFIG;
		if (rc)
			return rc;
		s->in_doubt = s->again;
	}
	return ERR_NONE;
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
	rc = open_parts(s, options, err);
	if (rc)
		s3_close(s);
	else
		*ret = (struct sink){&ops, s, options->gather_seconds};
	return rc;
}
