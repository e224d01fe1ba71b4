#include "sink/s3_put.h"

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

struct s3_put {
	struct s3_client *client;
	struct hasher *hasher;
	char *sse, *kms_key_id, *storage_class;
};

void s3_put_free(struct s3_put *p)
{
	if (!p)
		return;
	s3_client_free(p->client);
	hasher_free(p->hasher);
	free(p->sse);
	free(p->kms_key_id);
	free(p->storage_class);
	free(p);
}

static bool copy_options(struct s3_put *p, const struct s3_put_options *o)
{
	p->sse = span_copy(span_text(o->sse));
	p->kms_key_id = span_copy(span_text(o->kms_key_id));
	p->storage_class = span_copy(span_text(o->storage_class));
	return p->sse && p->kms_key_id && p->storage_class;
}

enum err_kind s3_put_new(struct s3_put **ret, const struct s3_options *client,
			 const struct s3_put_options *options, struct err *err)
{
	struct s3_put *p = calloc(1, sizeof(*p));
	enum err_kind rc = p && copy_options(p, options)
				   ? ERR_NONE
				   : err_set(err, ERR_FATAL, "out of memory for S3");

	if (!rc)
		rc = hasher_new(&p->hasher, err);
	if (!rc)
		rc = s3_client_new(&p->client, client, err);
	if (rc)
		s3_put_free(p);
	else
		*ret = p;
	return rc;
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

static enum err_kind make_values(struct s3_put *p, const struct archive_object *o,
				 struct values *ret, struct err *err)
{
	uint8_t md5[HASH_MD5_BYTES], sha256[HASH_BYTES];
	enum err_kind rc = hasher_digest(p->hasher, o->bytes, sha256, err);

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
static enum err_kind put(struct s3_put *p, const struct archive_object *o, bool *ret_there,
			 struct s3_answer *answer, struct err *err)
{
	struct sigv4_pair headers[HEADERS_MAX + 1];
	struct s3_request request = {
		.method = "PUT", .key = span_text(o->key), .headers = headers, .body = o->bytes};
	struct values v;
	enum err_kind rc = make_values(p, o, &v, err);

	if (rc)
		return rc;
	add_header(headers, &request.header_count, "content-type", "application/gzip");
	add_header(headers, &request.header_count, "content-md5", v.md5);
	add_header(headers, &request.header_count, "if-none-match", "*");
	add_header(headers, &request.header_count, "x-amz-checksum-sha256", v.sha256);
	add_header(headers, &request.header_count, CONTENT_SHA256, o->content_sha256);
	add_header(headers, &request.header_count, "x-amz-meta-content-bytes", v.bytes);
	add_header(headers, &request.header_count, "x-amz-meta-records", v.records);
	add_header(headers, &request.header_count, "x-amz-server-side-encryption", p->sse);
	add_header(headers, &request.header_count, "x-amz-server-side-encryption-aws-kms-key-id",
		   p->kms_key_id);
	add_header(headers, &request.header_count, "x-amz-storage-class", p->storage_class);
	rc = s3_client_send(p->client, &request, answer, err);
	*ret_there = !rc && answer->status == 412;
	if (!rc && answer->status == 404) /* of a key that is put there is no such answer */
		rc = err_set(err, ERR_RETRY, "PUT %s: S3 answers 404", o->key);
	return rc;
}

/* *ret_there: the object is there, as it would be put. */
static enum err_kind look(struct s3_put *p, const struct archive_object *o, bool *ret_there,
			  struct s3_answer *answer, struct err *err)
{
	const struct s3_request request = {.method = "HEAD", .key = span_text(o->key)};
	struct span sha256;
	enum err_kind rc = s3_client_send(p->client, &request, answer, err);

	*ret_there = false;
	if (rc || answer->status == 404)
		return rc;
	*ret_there = s3_client_header(p->client, CONTENT_SHA256, &sha256) &&
		     span_is(sha256, o->content_sha256);
	if (*ret_there)
		return ERR_NONE;
	return err_set(err, ERR_CONFIG,
		       "%s is in the bucket already, and is not what flytrail has for it: nothing "
		       "is overwritten; find out who wrote it, move it away, and it is put",
		       o->key);
}

enum err_kind s3_put_once(struct s3_put *p, const struct archive_object *o, bool *in_doubt,
			  struct s3_answer *ret_answer, struct err *err)
{
	bool there = false;
	enum err_kind rc = *in_doubt ? look(p, o, &there, ret_answer, err) : ERR_NONE;

	if (!rc && !there) {
		*in_doubt = true;
		rc = put(p, o, &there, ret_answer, err);
		if (!rc && there)
			rc = look(p, o, &there, ret_answer, err);
		else
			there = !rc;
	}
	if (!rc && !there) /* it was there a moment ago */
		rc = err_set(err, ERR_RETRY, "%s is in the bucket and cannot be looked at", o->key);
	if (!rc)
		*in_doubt = false;
	return rc;
}
