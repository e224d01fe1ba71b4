#include "sink/s3_put.h"

#include "base/time.h"
#include "sink/s3_sums.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	HEADERS_MAX = 16,
	NUMBER_BYTES = 21,
	KEY_SHOWN_BYTES = 160, /* all of one, where the prefix is not long */
};

static const char CONTENT_SHA256[] = "x-amz-meta-content-sha256";
static const char STORED_SHA256[] = "x-amz-meta-sha256";

struct s3_put {
	struct s3_client *client;
	struct hasher *hasher;
	char *sse, *kms_key_id, *storage_class;
	struct s3_lock_terms lock;
	bool met_another;
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
	p->lock = o->lock;
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

struct s3_client *s3_put_client(struct s3_put *p)
{
	return p->client;
}

bool s3_put_met_another(const struct s3_put *p)
{
	return p->met_another;
}

/* What stands in the headers of an object, beside texts that live longer. */
struct values {
	struct s3_sums sums;
	char records[NUMBER_BYTES], bytes[NUMBER_BYTES], range[2 * NUMBER_BYTES];
	struct s3_lock lock;
	char lock_date[S3_LOCK_DATE_BYTES];
	bool sent; /* now, and taken: what S3 has is these bytes, and not another compressor's */
	struct s3_stored stored;
};

static enum err_kind make_values(struct s3_put *p, const struct archive_object *o,
				 struct values *ret, struct err *err)
{
	enum err_kind rc = s3_sums(p->hasher, o->bytes, &ret->sums, err);

	if (rc)
		return rc;
	(void)snprintf(ret->records, sizeof(ret->records), "%" PRIu64, o->records);
	(void)snprintf(ret->bytes, sizeof(ret->bytes), "%" PRIu64, o->content_bytes);
	(void)snprintf(ret->range, sizeof(ret->range), "%" PRIu64 "-%" PRIu64, o->first_seq,
		       o->last_seq);
	ret->lock = s3_lock_of(&p->lock, o, time_now_ns());
	ret->lock_date[0] = '\0';
	if (ret->lock.mode != S3_LOCK_OFF)
		(void)s3_lock_date(ret->lock.until_ns, ret->lock_date);
	ret->sent = false;
	ret->stored.bytes = o->bytes.len;
	memcpy(ret->stored.sha256, ret->sums.sha256_hex, sizeof(ret->stored.sha256));
	return ERR_NONE;
}

static void add_header(struct sigv4_pair *headers, size_t *count, const char *name,
		       const char *value)
{
	if (value[0] != '\0')
		headers[(*count)++] = (struct sigv4_pair){name, span_text(value)};
	REQUIRE(*count <= HEADERS_MAX);
}

/* The refusal of an object that is to be locked, where the lock may be why. */
static enum err_kind explain_refusal(enum err_kind rc, const struct s3_answer *answer,
				     struct err *err)
{
	if (rc == ERR_REJECT && strcmp(answer->code, "InvalidRequest") == 0)
		return err_set(err, ERR_CONFIG,
			       "S3 answers %u InvalidRequest to a lock: this bucket has no Object "
			       "Lock; make one that has, as by `aws s3api create-bucket "
			       "--object-lock-enabled-for-bucket`, and name it, or set "
			       "FLYTRAIL_S3_LOCK=off",
			       answer->status);
	if (rc == ERR_CONFIG && strcmp(answer->code, "AccessDenied") == 0)
		return err_set(err, ERR_CONFIG,
			       "S3 answers %u AccessDenied to a lock: the credentials need "
			       "s3:PutObject and, to lock, s3:PutObjectRetention",
			       answer->status);
	return rc;
}

/* *ret_there: there is an object of that name already. */
static enum err_kind put(struct s3_put *p, const struct archive_object *o, const struct values *v,
			 bool *ret_there, struct s3_answer *answer, struct err *err)
{
	struct sigv4_pair headers[HEADERS_MAX + 1];
	struct s3_request request = {
		.method = "PUT",
		.key = span_text(o->key),
		.headers = headers,
		.body = o->bytes,
		.body_sha256 = v->sums.sha256_hex,
	};
	size_t *count = &request.header_count;
	enum err_kind rc;

	add_header(headers, count, "content-type", "application/gzip");
	add_header(headers, count, "content-md5", v->sums.md5);
	add_header(headers, count, "if-none-match", "*");
	add_header(headers, count, "x-amz-checksum-sha256", v->sums.sha256);
	add_header(headers, count, CONTENT_SHA256, o->content_sha256);
	add_header(headers, count, STORED_SHA256, v->stored.sha256);
	add_header(headers, count, "x-amz-meta-content-bytes", v->bytes);
	add_header(headers, count, "x-amz-meta-range", v->range);
	add_header(headers, count, "x-amz-meta-records", v->records);
	add_header(headers, count, "x-amz-object-lock-mode", s3_lock_mode_name(v->lock.mode));
	add_header(headers, count, "x-amz-object-lock-retain-until-date", v->lock_date);
	add_header(headers, count, "x-amz-server-side-encryption", p->sse);
	add_header(headers, count, "x-amz-server-side-encryption-aws-kms-key-id", p->kms_key_id);
	add_header(headers, count, "x-amz-storage-class", p->storage_class);
	rc = s3_client_send(p->client, &request, answer, err);
	*ret_there = !rc && answer->status == 412;
	if (!rc && answer->status == 404) /* of a key that is put there is no such answer */
		rc = err_set(err, ERR_RETRY, "PUT %s: S3 answers 404", o->key);
	return rc && v->lock.mode != S3_LOCK_OFF ? explain_refusal(rc, answer, err) : rc;
}

/*
 * What S3 says that it has of the object that was looked at; of one that does not say it,
 * v->stored stays, as of one whose hash is none. Whoever put it, and
 * whenever: with our hash it has as many bytes as we would put. Under another hash it may be
 * another compressor's.
 */
static enum err_kind read_stored(const struct s3_put *p, const struct archive_object *o,
				 struct values *v, struct err *err)
{
	struct span text, length;
	struct s3_stored says = {.bytes = 0};
	bool says_hash = s3_client_header(p->client, STORED_SHA256, &text) &&
			 hash_hex_copy(text, says.sha256);
	bool says_length = s3_client_header(p->client, "content-length", &length) &&
			   span_digits(length, &says.bytes);
	bool is_same = says_hash && strcmp(says.sha256, v->sums.sha256_hex) == 0;

	if ((is_same || v->sent) && !(is_same && says_length && says.bytes == o->bytes.len))
		return err_set(err, ERR_CONFIG,
			       "S3 was sent %zu bytes of %.*s and says that it has others; what "
			       "stands between?",
			       o->bytes.len, KEY_SHOWN_BYTES, o->key);
	if (says_hash && says_length)
		v->stored = says;
	return ERR_NONE;
}

/* *ret_there: the object is there, as it would be put. */
static enum err_kind look(struct s3_put *p, const struct archive_object *o, struct values *v,
			  bool *ret_there, struct s3_answer *answer, struct err *err)
{
	const struct s3_request request = {.method = "HEAD", .key = span_text(o->key)};
	struct span sha256;
	enum err_kind rc = s3_client_send(p->client, &request, answer, err);

	*ret_there = false;
	if (rc == ERR_CONFIG && answer->status == 403) {
		struct err why = *err; /* an answer to HEAD has no code */

		return err_set(err, rc,
			       "%s; to look at what is put the credentials need s3:GetObject, and "
			       "s3:ListBucket, or what is not there is forbidden as well",
			       why.text);
	}
	if (rc || answer->status == 404)
		return rc;
	*ret_there = s3_client_header(p->client, CONTENT_SHA256, &sha256) &&
		     span_is(sha256, o->content_sha256);
	if (*ret_there)
		return read_stored(p, o, v, err);
	p->met_another = true;
	return err_set(err, ERR_CONFIG,
		       "%.*s is in the bucket already, and is not what flytrail has for it: "
		       "nothing is overwritten; find out who wrote it, move it away, and it is put",
		       KEY_SHOWN_BYTES, o->key);
}

/* What S3 says that it has, held against what it was to have. */
static enum err_kind prove(struct s3_put *p, const struct archive_object *o, struct values *v,
			   struct s3_answer *answer, struct err *err)
{
	const struct s3_lock_target target = {.key = o->key, .version = ""};
	struct s3_lock has, raised;
	bool there;
	enum err_kind rc = look(p, o, v, &there, answer, err);

	if (rc || !there)
		return rc ? rc : err_set(err, ERR_RETRY, "%s was put and is not there", o->key);
	has = s3_lock_read(p->client);
	if (s3_lock_holds(&has, &v->lock))
		return ERR_NONE;
	raised = (struct s3_lock){
		.mode = has.mode > v->lock.mode ? has.mode : v->lock.mode,
		.until_ns = time_later(has.until_ns, v->lock.until_ns),
	};
	rc = s3_lock_set(p->client, p->hasher, &target, &raised, answer, err);
	if (rc)
		return explain_refusal(rc, answer, err);
	rc = look(p, o, v, &there, answer, err);
	has = s3_lock_read(p->client);
	if (rc || s3_lock_holds(&has, &v->lock))
		return rc;
	return err_set(err, ERR_CONFIG,
		       "S3 took a lock and does not say that it has it (%s until %s): either the "
		       "server has no Object Lock, or the credentials lack s3:GetObjectRetention; "
		       "of %.*s",
		       s3_lock_mode_name(v->lock.mode), v->lock_date, KEY_SHOWN_BYTES, o->key);
}

enum err_kind s3_put_once(struct s3_put *p, const struct archive_object *o, bool *in_doubt,
			  struct s3_stored *ret, struct s3_answer *ret_answer, struct err *err)
{
	struct values v;
	bool there = false;
	enum err_kind rc = make_values(p, o, &v, err);

	p->met_another = false;
	if (!rc && *in_doubt)
		rc = look(p, o, &v, &there, ret_answer, err);
	if (!rc && !there) {
		*in_doubt = true;
		rc = put(p, o, &v, &there, ret_answer, err);
		v.sent = !rc && !there;
		if (!rc && there)
			rc = look(p, o, &v, &there, ret_answer, err);
		else
			there = !rc;
	}
	if (!rc && !there) /* it was there a moment ago */
		rc = err_set(err, ERR_RETRY, "%s is in the bucket and cannot be looked at", o->key);
	if (!rc && v.lock.mode != S3_LOCK_OFF)
		rc = prove(p, o, &v, ret_answer, err);
	if (rc)
		return rc;
	*in_doubt = false;
	*ret = v.stored;
	return ERR_NONE;
}
