#include "sink/s3.h"

#include "base/base64.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	HEADERS_MAX = 16,
	VALUES_BYTES_MAX = 1024,
	HASH_TEXT_BYTES = BASE64_BYTES(HASH_BYTES) + 1,
	NUMBER_BYTES = 21,
};

static const char CONTENT_SHA256[] = "x-amz-meta-content-sha256";

struct s3 {
	struct s3_client *client;
	struct archive *archive;
	struct hasher *hasher;
	char *sse, *kms_key_id, *storage_class;
	bool again;  /* a process before may have put any of the delivery */
	size_t next; /* the object that is put next; those before it are there */
	bool tried;  /* it was put, and whether that arrived is not known */
};

/* --- open and close --- */

static void s3_close(void *ctx)
{
	struct s3 *s = ctx;

	if (!s)
		return;
	s3_client_free(s->client);
	archive_free(s->archive);
	hasher_free(s->hasher);
	free(s->sse);
	free(s->kms_key_id);
	free(s->storage_class);
	free(s);
}

static bool copy_options(struct s3 *s, const struct s3_sink_options *o)
{
	s->sse = span_copy(span_text(o->sse));
	s->kms_key_id = span_copy(span_text(o->kms_key_id));
	s->storage_class = span_copy(span_text(o->storage_class));
	return s->sse && s->kms_key_id && s->storage_class;
}

static enum err_kind open_parts(struct s3 *s, const struct s3_sink_options *o, struct err *err)
{
	enum err_kind rc =
		copy_options(s, o) ? ERR_NONE : err_set(err, ERR_FATAL, "out of memory for S3");

	if (!rc)
		rc = hasher_new(&s->hasher, err);
	if (!rc)
		rc = archive_new(&s->archive, &o->archive, err);
	if (!rc)
		rc = s3_client_new(&s->client, &o->client, err);
	return rc;
}

/* --- a delivery --- */

static void s3_begin(void *ctx, uint64_t first_seq, bool again)
{
	struct s3 *s = ctx;

	archive_begin(s->archive, first_seq);
	s->again = again;
	s->next = 0;
	s->tried = false;
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

/* What stands in the headers of an object, beside texts that live longer. */
struct values {
	char md5[BASE64_BYTES(HASH_MD5_BYTES) + 1], sha256[HASH_TEXT_BYTES];
	char records[NUMBER_BYTES], bytes[NUMBER_BYTES];
};

static enum err_kind base64_text(const void *bytes, size_t len, char *ret, size_t room,
				 struct err *err)
{
	struct buf text;
	enum err_kind rc;

	buf_init(&text, VALUES_BYTES_MAX);
	base64_write(&text, span_of(bytes, len));
	rc = buf_check(&text, err);
	REQUIRE(rc || text.len < room);
	if (!rc)
		memcpy(ret, text.data, text.len + 1);
	buf_release(&text);
	return rc;
}

static enum err_kind make_values(struct s3 *s, const struct archive_object *o, struct values *ret,
				 struct err *err)
{
	uint8_t md5[HASH_MD5_BYTES], sha256[HASH_BYTES];
	enum err_kind rc = hasher_digest(s->hasher, o->bytes, sha256, err);

	(void)snprintf(ret->records, sizeof(ret->records), "%" PRIu64, o->records);
	(void)snprintf(ret->bytes, sizeof(ret->bytes), "%" PRIu64, o->content_bytes);
	ret->md5[0] = '\0';
	if (!rc)
		rc = base64_text(sha256, sizeof(sha256), ret->sha256, sizeof(ret->sha256), err);
	if (!rc && hash_md5(o->bytes, md5))
		rc = base64_text(md5, sizeof(md5), ret->md5, sizeof(ret->md5), err);
	return rc;
}

static void add_header(struct sigv4_pair *headers, size_t *count, const char *name,
		       const char *value)
{
	if (value[0] != '\0')
		headers[(*count)++] = (struct sigv4_pair){name, span_text(value)};
	REQUIRE(*count <= HEADERS_MAX);
}

/* *ret_there: there is an object of that name already. */
static enum err_kind put(struct s3 *s, const struct archive_object *o, bool *ret_there,
			 struct s3_answer *answer, struct err *err)
{
	struct sigv4_pair headers[HEADERS_MAX + 1];
	struct s3_request request = {
		.method = "PUT", .key = span_text(o->key), .headers = headers, .body = o->bytes};
	struct values v;
	enum err_kind rc = make_values(s, o, &v, err);

	if (rc)
		return rc;
	add_header(headers, &request.header_count, "content-type", "application/gzip");
	add_header(headers, &request.header_count, "content-md5", v.md5);
	add_header(headers, &request.header_count, "if-none-match", "*");
	add_header(headers, &request.header_count, "x-amz-checksum-sha256", v.sha256);
	add_header(headers, &request.header_count, CONTENT_SHA256, o->content_sha256);
	add_header(headers, &request.header_count, "x-amz-meta-content-bytes", v.bytes);
	add_header(headers, &request.header_count, "x-amz-meta-records", v.records);
	add_header(headers, &request.header_count, "x-amz-server-side-encryption", s->sse);
	add_header(headers, &request.header_count, "x-amz-server-side-encryption-aws-kms-key-id",
		   s->kms_key_id);
	add_header(headers, &request.header_count, "x-amz-storage-class", s->storage_class);
	rc = s3_client_send(s->client, &request, answer, err);
	*ret_there = !rc && answer->status == 412;
	if (!rc && answer->status == 404) /* of a key that is put there is no such answer */
		rc = err_set(err, ERR_RETRY, "PUT %s: S3 answers 404", o->key);
	return rc;
}

/* *ret_there: the object is there, as it would be put. */
static enum err_kind look(struct s3 *s, const struct archive_object *o, bool *ret_there,
			  struct s3_answer *answer, struct err *err)
{
	const struct s3_request request = {.method = "HEAD", .key = span_text(o->key)};
	struct span sha256;
	enum err_kind rc = s3_client_send(s->client, &request, answer, err);

	*ret_there = false;
	if (rc || answer->status == 404)
		return rc;
	*ret_there = s3_client_header(s->client, CONTENT_SHA256, &sha256) &&
		     span_is(sha256, o->content_sha256);
	if (*ret_there)
		return ERR_NONE;
	return err_set(err, ERR_CONFIG,
		       "%s is in the bucket already, and is not what flytrail has for it: nothing "
		       "is overwritten; find out who wrote it, move it away, and it is put",
		       o->key);
}

static enum err_kind deliver_object(struct s3 *s, const struct archive_object *o,
				    struct s3_answer *answer, struct err *err)
{
	bool there = false;
	enum err_kind rc = s->again || s->tried ? look(s, o, &there, answer, err) : ERR_NONE;

	if (rc || there)
		return rc;
	s->tried = true;
	rc = put(s, o, &there, answer, err);
	if (rc || !there)
		return rc;
	rc = look(s, o, &there, answer, err);
	if (!rc && !there) /* it was there a moment ago */
		rc = err_set(err, ERR_RETRY, "%s is in the bucket and cannot be looked at", o->key);
	return rc;
}

static enum err_kind s3_deliver(void *ctx, struct sink_answer *ret, struct err *err)
{
	struct s3 *s = ctx;

	for (; s->next < archive_count(s->archive); s->next++) {
		struct s3_answer answer = {.status = 0};
		enum err_kind rc =
			deliver_object(s, archive_object(s->archive, s->next), &answer, err);

		ret->wait_seconds = answer.retry_after_seconds;
		if (rc == ERR_REJECT)
			err->kind = rc = ERR_CONFIG;
		if (rc)
			return rc;
		s->tried = false;
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
