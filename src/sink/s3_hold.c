#include "sink/s3_hold.h"

#include "base/xml.h"
#include "sink/s3_sums.h"

enum { BODY_BYTES_MAX = 256, PAIRS_MAX = 2 };

static const char NO_OBJECT_LOCK[] = "InvalidRequest"; /* S3's code for it */

static const char *status_name(bool on)
{
	return on ? "ON" : "OFF";
}

/* "?legal-hold", of that version. */
static size_t write_query(const struct s3_hold_target *target, struct sigv4_pair query[PAIRS_MAX])
{
	query[0] = (struct sigv4_pair){"legal-hold", SPAN("")};
	query[1] = (struct sigv4_pair){"versionId", target->version};
	return target->version.len > 0 ? 2 : 1;
}

/* A refusal, where it is known what is to be done about it. */
static enum err_kind explain(enum err_kind rc, const struct s3_answer *answer, struct err *err)
{
	if (rc == ERR_REJECT && strcmp(answer->code, NO_OBJECT_LOCK) == 0)
		return err_set(err, ERR_CONFIG,
			       "the bucket has no Object Lock: S3 takes a legal hold only where it "
			       "has, which is said when a bucket is made");
	if (rc == ERR_CONFIG && answer->status == 403)
		return err_set(err, ERR_CONFIG,
			       "S3 answers 403 %s to a legal hold: the credentials need "
			       "s3:PutObjectLegalHold, s3:GetObjectLegalHold and "
			       "s3:ListBucketVersions",
			       answer->code);
	return rc;
}

/* --- what S3 has --- */

struct told {
	bool is_told, is_on;
};

static void read_element(void *arg, struct span path, struct span text)
{
	struct told *t = arg;

	if (!span_is(path, "LegalHold/Status"))
		return;
	t->is_on = span_is(text, status_name(true));
	t->is_told = t->is_on || span_is(text, status_name(false));
}

enum err_kind s3_hold_get(struct s3_client *c, const struct s3_hold_target *target, bool *ret,
			  struct err *err)
{
	struct told told = {.is_told = false};
	const struct xml_calls calls = {.element = read_element, .arg = &told};
	struct sigv4_pair query[PAIRS_MAX];
	const struct s3_request request = {.method = "GET",
					   .key = target->key,
					   .query = query,
					   .query_count = write_query(target, query)};
	struct s3_answer answer = {.status = 0};
	enum err_kind rc = s3_client_send(c, &request, &answer, err);

	/* A bucket without Object Lock holds nothing. That it cannot is told when it should. */
	if (rc == ERR_REJECT && strcmp(answer.code, NO_OBJECT_LOCK) == 0) {
		*ret = false;
		return ERR_NONE;
	}
	if (rc)
		return explain(rc, &answer, err);
	*ret = false;
	/* Of a version that never had one; Ceph's name for it is the second. */
	if (strcmp(answer.code, "NoSuchObjectLockConfiguration") == 0 ||
	    strcmp(answer.code, "ObjectLockConfigurationNotFoundError") == 0)
		return ERR_NONE;
	if (answer.status >= 300)
		return err_set(err, ERR_REJECT, "there is no such version any more");
	rc = xml_read(answer.body, &calls, err);
	if (rc == ERR_FATAL)
		return rc;
	if (rc || !told.is_told)
		return err_set(err, ERR_RETRY, "what S3 answers is no legal hold");
	*ret = told.is_on;
	return ERR_NONE;
}

/* --- what it is to have --- */

static enum err_kind put(struct s3_client *c, struct hasher *h, const struct s3_hold_target *target,
			 bool on, struct err *err)
{
	struct sigv4_pair query[PAIRS_MAX], headers[PAIRS_MAX];
	struct s3_request request = {.method = "PUT",
				     .key = target->key,
				     .query = query,
				     .query_count = write_query(target, query),
				     .headers = headers};
	struct s3_answer answer = {.status = 0};
	struct s3_sums sums;
	struct buf body;
	enum err_kind rc;

	buf_init(&body, BODY_BYTES_MAX);
	buf_fmt(&body,
		"<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
		"<Status>%s</Status></LegalHold>",
		status_name(on));
	rc = buf_check(&body, err);
	if (!rc)
		rc = s3_sums(h, span_of(body.data, body.len), &sums, err);
	if (!rc) {
		request.body = span_of(body.data, body.len);
		request.body_sha256 = sums.sha256_hex;
		headers[request.header_count++] =
			(struct sigv4_pair){"x-amz-checksum-sha256", span_text(sums.sha256)};
		if (sums.md5[0] != '\0')
			headers[request.header_count++] =
				(struct sigv4_pair){"content-md5", span_text(sums.md5)};
		rc = explain(s3_client_send(c, &request, &answer, err), &answer, err);
	}
	buf_release(&body);
	if (!rc && answer.status >= 300)
		return err_set(err, ERR_REJECT, "there is no such version any more");
	return rc;
}

enum err_kind s3_hold_set(struct s3_client *c, struct hasher *h,
			  const struct s3_hold_target *target, bool on, bool *ret_changed,
			  struct err *err)
{
	bool is_on = false;
	enum err_kind rc = s3_hold_get(c, target, &is_on, err);

	*ret_changed = false;
	if (rc || is_on == on)
		return rc;
	rc = put(c, h, target, on, err);
	if (!rc)
		rc = s3_hold_get(c, target, &is_on, err);
	if (!rc && is_on != on)
		return err_set(err, ERR_CONFIG,
			       "S3 took a legal hold and does not say that it has it: the server "
			       "has no Object Lock");
	*ret_changed = !rc;
	return rc;
}
