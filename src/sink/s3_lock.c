#include "sink/s3_lock.h"

#include "base/time.h"
#include "sink/s3_sums.h"

#include <stdio.h>

enum { BODY_BYTES_MAX = 512, PAIRS_MAX = 4 };

static const char *const names[] = {"", "GOVERNANCE", "COMPLIANCE"};

struct s3_lock s3_lock_of(const struct s3_lock_terms *terms, const struct archive_object *o,
			  int64_t now_ns)
{
	struct s3_lock lock = {.mode = S3_LOCK_OFF};
	int64_t term_ns = terms->days[o->kind] * ARCHIVE_DAY_NS;

	if (terms->mode == S3_LOCK_OFF || term_ns == 0 ||
	    __builtin_add_overflow(o->day_end_ns, term_ns, &lock.until_ns) ||
	    lock.until_ns <= now_ns + S3_SKEW_SECONDS * NS_PER_S)
		return (struct s3_lock){.mode = S3_LOCK_OFF};
	lock.mode = terms->mode;
	return lock;
}

const char *s3_lock_mode_name(enum s3_lock_mode mode)
{
	return names[mode];
}

const char *s3_lock_date(int64_t until_ns, char text[S3_LOCK_DATE_BYTES])
{
	char at[TIME_TEXT_BYTES];

	(void)time_format(until_ns, at);
	(void)snprintf(text, S3_LOCK_DATE_BYTES, "%.19sZ", at);
	return text;
}

struct s3_lock s3_lock_read(const struct s3_client *c)
{
	struct s3_lock lock = {.mode = S3_LOCK_OFF};
	struct span mode, date;
	unsigned digits;

	if (!s3_client_header(c, "x-amz-object-lock-mode", &mode) ||
	    !s3_client_header(c, "x-amz-object-lock-retain-until-date", &date) ||
	    !time_parse(date, false, &lock.until_ns, &digits))
		return (struct s3_lock){.mode = S3_LOCK_OFF};
	if (span_is(mode, names[S3_LOCK_GOVERNANCE]))
		lock.mode = S3_LOCK_GOVERNANCE;
	else if (span_is(mode, names[S3_LOCK_COMPLIANCE]))
		lock.mode = S3_LOCK_COMPLIANCE;
	return lock;
}

bool s3_lock_holds(const struct s3_lock *has, const struct s3_lock *wanted)
{
	return wanted->mode == S3_LOCK_OFF ||
	       (has->mode >= wanted->mode && has->until_ns >= wanted->until_ns);
}

static enum err_kind write_body(const struct s3_lock *lock, struct buf *out, struct err *err)
{
	char date[S3_LOCK_DATE_BYTES];

	buf_fmt(out,
		"<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>%s</Mode>"
		"<RetainUntilDate>%s</RetainUntilDate></Retention>",
		names[lock->mode], s3_lock_date(lock->until_ns, date));
	return buf_check(out, err);
}

enum err_kind s3_lock_set(struct s3_client *c, struct hasher *h,
			  const struct s3_lock_target *target, const struct s3_lock *lock,
			  struct s3_answer *ret_answer, struct err *err)
{
	struct sigv4_pair query[PAIRS_MAX] = {{"retention", SPAN("")}};
	struct sigv4_pair headers[PAIRS_MAX];
	struct s3_request request = {.method = "PUT",
				     .key = span_text(target->key),
				     .query = query,
				     .query_count = 1,
				     .headers = headers};
	struct s3_sums sums;
	struct buf body;
	enum err_kind rc;

	buf_init(&body, BODY_BYTES_MAX);
	rc = write_body(lock, &body, err);
	if (!rc)
		rc = s3_sums(h, span_of(body.data, body.len), &sums, err);
	if (!rc) {
		request.body = span_of(body.data, body.len);
		request.body_sha256 = sums.sha256_hex;
		if (target->version[0] != '\0')
			query[request.query_count++] =
				(struct sigv4_pair){"versionId", span_text(target->version)};
		headers[request.header_count++] =
			(struct sigv4_pair){"x-amz-checksum-sha256", span_text(sums.sha256)};
		if (sums.md5[0] != '\0')
			headers[request.header_count++] =
				(struct sigv4_pair){"content-md5", span_text(sums.md5)};
		if (target->bypass)
			headers[request.header_count++] = (struct sigv4_pair){
				"x-amz-bypass-governance-retention", SPAN("true")};
		rc = s3_client_send(c, &request, ret_answer, err);
	}
	buf_release(&body);
	return rc;
}
