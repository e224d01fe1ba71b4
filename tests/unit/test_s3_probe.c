/* What a bucket says when it is tried, and what is made of it; see test_doctor_sinks.py, too. */
#include "sink/s3_probe.h"

#include "base/json.h"
#include "base/time.h"

#include "fault.h"
#include "s3_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ANSWER_BYTES = 4096, BODY_BYTES = 1024, VALUE_BYTES = 128, JSON_BYTES = 4096 };

#define CONTENT_SHA256 "x-amz-meta-content-sha256: "
#define STORED_SHA256 "x-amz-meta-sha256: "

/* A bucket that behaves; what is set of it is how it does not. */
static struct bucket {
	unsigned delete_status, destroy_status, bypass_status, lower_status; /* of these requests */
	unsigned missing_status, read_status, question_status;
	const char *versioning, *object_lock; /* its answers to questions */
	bool is_locked, is_versioned, changes_bytes, says_sse;
	char body[BODY_BYTES], sha256[VALUE_BYTES], stored[VALUE_BYTES], mode[VALUE_BYTES],
		date[VALUE_BYTES];
	size_t len;
	char answer[ANSWER_BYTES];
} bucket;

static struct tiny_http server;
static struct s3_probe probe;
static struct err err;
static struct s3_sink_options options;

static const struct bucket the_best = {
	.delete_status = 403,
	.destroy_status = 403,
	.bypass_status = 403,
	.lower_status = 403,
	.missing_status = 404,
	.read_status = 200,
	.question_status = 200,
	.versioning = "<Status>Enabled</Status>",
	.object_lock = "<ObjectLockEnabled>Enabled</ObjectLockEnabled>",
	.is_locked = true,
	.is_versioned = true,
	.says_sse = true,
};

/* Of a request, a header's line after its name; "" where it has none. */
static void copy_header(const char *request, const char *name, char ret[VALUE_BYTES])
{
	const char *at = strcasestr(request, name);
	size_t len = at ? strcspn(at + strlen(name), "\r") : 0;

	REQUIRE(len < VALUE_BYTES);
	if (len > 0)
		memcpy(ret, at + strlen(name), len);
	ret[len] = '\0';
}

static const char *answer(unsigned status, const char *headers, const char *body)
{
	return tiny_http_answer(bucket.answer, sizeof(bucket.answer), status, headers, body);
}

static const char *take(const char *request)
{
	const char *body = strstr(request, "\r\n\r\n") + 4;
	char len[VALUE_BYTES];

	copy_header(request, "\r\ncontent-length: ", len);
	bucket.len = strtoul(len, NULL, 10);
	REQUIRE(bucket.len < sizeof(bucket.body));
	memcpy(bucket.body, body, bucket.len);
	copy_header(request, CONTENT_SHA256, bucket.sha256);
	copy_header(request, STORED_SHA256, bucket.stored);
	copy_header(request, "x-amz-object-lock-mode: ", bucket.mode);
	copy_header(request, "x-amz-object-lock-retain-until-date: ", bucket.date);
	return answer(200, "", "");
}

static const char *give(bool with_body)
{
	int len = snprintf(bucket.answer, sizeof(bucket.answer),
			   "HTTP/1.1 200 Any\r\nContent-Length: %zu\r\n" CONTENT_SHA256
			   "%s\r\n" STORED_SHA256 "%s\r\n%s%s%s%s%s%s%s\r\n",
			   bucket.len, bucket.sha256, bucket.stored,
			   bucket.is_versioned ? "x-amz-version-id: the/first\r\n" : "",
			   bucket.says_sse ? "x-amz-server-side-encryption: AES256\r\n" : "",
			   bucket.is_locked ? "x-amz-object-lock-mode: " : "x-none: ", bucket.mode,
			   bucket.is_locked ? "\r\nx-amz-object-lock-retain-until-date: "
					    : "\r\nx-neither: ",
			   bucket.date, "\r\n");

	REQUIRE(len > 0 && (size_t)len + bucket.len < sizeof(bucket.answer));
	if (with_body) {
		memcpy(bucket.answer + len, bucket.body, bucket.len);
		bucket.answer[len] ^= (char)bucket.changes_bytes;
		server.answer_bytes = (size_t)len + bucket.len;
	}
	return bucket.answer;
}

static const char *take_away(const char *request)
{
	if (strstr(request, "?versionId=the%2Ffirst HTTP"))
		return answer(strcasestr(request, "\r\nx-amz-bypass-governance-retention: true\r\n")
				      ? bucket.bypass_status
				      : bucket.destroy_status,
			      "", "");
	if (strstr(request, "?versionId=a-marker HTTP"))
		return answer(bucket.destroy_status, "", "");
	return answer(bucket.delete_status,
		      bucket.is_versioned
			      ? "x-amz-delete-marker: true\r\nx-amz-version-id: a-marker\r\n"
			      : "",
		      "");
}

static const char *answer_of_bucket(const char *request)
{
	if (strstr(request, "?versioning= HTTP"))
		return answer(bucket.question_status, "", bucket.versioning);
	if (strstr(request, "?object-lock= HTTP"))
		return answer(bucket.question_status, "", bucket.object_lock);
	if (strstr(request, "retention="))
		return answer(strcasestr(request, "\r\nx-amz-bypass-governance-retention: true\r\n")
				      ? bucket.bypass_status
				      : bucket.lower_status,
			      "", "");
	if (strncmp(request, "DELETE", 6) == 0)
		return take_away(request);
	if (strncmp(request, "PUT", 3) == 0)
		return take(request);
	if (strstr(request, ".none HTTP"))
		return answer(bucket.missing_status, "", "");
	if (bucket.read_status != 200)
		return answer(bucket.read_status, "", "");
	return give(strncmp(request, "GET", 3) == 0);
}

static int set_up(void **state)
{
	(void)state;
	bucket = the_best;
	options = (struct s3_sink_options){
		.client = s3_kit_options(NULL),
		.archive = {.prefix = "audit"},
		.put = {.sse = "AES256",
			.kms_key_id = "",
			.storage_class = "",
			.lock = {.mode = S3_LOCK_COMPLIANCE, .days = {0, 395, 92}}},
	};
	return 0;
}

static enum err_kind try_it(void)
{
	enum err_kind rc;

	err = (struct err){.kind = ERR_NONE};
	tiny_http_start_choosing(&server, answer_of_bucket);
	options.client.endpoint = server.url;
	rc = s3_probe(&options, &probe, &err);
	tiny_http_stop(&server);
	return rc;
}

static const char *harm(void)
{
	static char text[S3_PROBE_HARM_BYTES];

	assert_int_equal(s3_probe_can_harm(&probe), s3_probe_harm(&probe, text)[0] != '\0');
	return text;
}

static void the_best_is_refused_what_could_do_harm(void **state)
{
	char date[S3_LOCK_DATE_BYTES];

	(void)state;
	assert_int_equal(try_it(), ERR_NONE);
	assert_ptr_equal(strstr(probe.key, "audit/probe/"), probe.key);
	assert_int_equal(probe.reads, S3_YES);
	assert_int_equal(probe.lists, S3_YES);
	assert_int_equal(probe.encrypted, S3_YES);
	assert_int_equal(probe.versioned, S3_YES);
	assert_int_equal(probe.has_lock, S3_YES);
	assert_int_equal(probe.lock.mode, S3_LOCK_COMPLIANCE);
	assert_string_equal(bucket.date, s3_lock_date(probe.lock.until_ns, date));
	assert_int_equal(probe.deletes, S3_NO);
	assert_int_equal(probe.deletes_versions, S3_UNKNOWN); /* the probe is locked */
	assert_int_equal(probe.lowers_lock, S3_NO);
	assert_int_equal(probe.bypasses_lock, S3_NO);
	assert_false(probe.removed);
	assert_string_equal(harm(), "");
}

/* A lock that nobody can end is no longer than has to be. */
static void a_probe_is_locked_for_a_day(void **state)
{
	int64_t left_ns;

	(void)state;
	assert_int_equal(try_it(), ERR_NONE);
	left_ns = probe.lock.until_ns - time_now_ns();
	assert_true(left_ns <= ARCHIVE_DAY_NS && left_ns > ARCHIVE_DAY_NS - 60 * NS_PER_S);
}

static void without_locks_what_can_be_deleted_is_removed(void **state)
{
	(void)state;
	options.put.lock.mode = S3_LOCK_OFF;
	bucket.delete_status = bucket.destroy_status = 204;
	assert_int_equal(try_it(), ERR_NONE);
	assert_int_equal(probe.lock.mode, S3_LOCK_OFF);
	assert_string_equal(bucket.mode, "");
	assert_true(probe.removed);
	assert_int_equal(probe.lowers_lock, S3_UNKNOWN);
	assert_string_equal(harm(), "hide objects, delete versions for ever");
	bucket.is_versioned = false;
	bucket.versioning = "";
	assert_int_equal(try_it(), ERR_NONE);
	assert_true(probe.removed);
	assert_int_equal(probe.versioned, S3_NO);
	assert_string_equal(harm(), "delete objects");
}

static void a_lock_that_can_be_lifted_is_found_out(void **state)
{
	(void)state;
	options.put.lock.mode = S3_LOCK_GOVERNANCE;
	bucket.bypass_status = 204;
	assert_int_equal(try_it(), ERR_NONE);
	assert_string_equal(bucket.mode, "GOVERNANCE");
	assert_true(probe.removed);
	assert_string_equal(harm(), "delete versions for ever, lift locks in governance mode");
	bucket.lower_status = 200;
	assert_int_equal(try_it(), ERR_NONE);
	assert_int_equal(probe.lowers_lock, S3_YES);
}

/* The marker that hides what is locked is a version that is not. */
static void who_may_delete_markers_may_delete_versions(void **state)
{
	(void)state;
	bucket.delete_status = 204;
	assert_int_equal(try_it(), ERR_NONE);
	assert_int_equal(probe.deletes_versions, S3_NO);
	assert_string_equal(harm(), "hide objects");
	assert_false(probe.removed);
}

static void a_lock_that_holds_nothing_is_no_lock(void **state)
{
	(void)state;
	bucket.destroy_status = 204;
	assert_int_equal(try_it(), ERR_CONFIG);
	assert_non_null(strstr(err.text, "its locks hold nothing"));
}

static void a_server_without_locks_is_found_out(void **state)
{
	(void)state;
	bucket.is_locked = false;
	bucket.lower_status = 200;
	assert_int_equal(try_it(), ERR_CONFIG);
	assert_non_null(strstr(err.text, "does not say that it has it"));
}

static void other_bytes_than_were_put_are_found_out(void **state)
{
	(void)state;
	bucket.changes_bytes = true;
	assert_int_equal(try_it(), ERR_CONFIG);
	assert_non_null(strstr(err.text, "gives back other bytes"));
}

static void what_is_not_encrypted_as_asked_is_found_out(void **state)
{
	(void)state;
	bucket.says_sse = false;
	assert_int_equal(try_it(), ERR_NONE);
	assert_int_equal(probe.encrypted, S3_NO);
	options.put.sse = "";
	assert_int_equal(try_it(), ERR_NONE);
	assert_int_equal(probe.encrypted, S3_UNKNOWN);
}

static void a_refusal_of_a_question_is_an_answer(void **state)
{
	static const struct {
		unsigned status;
		const char *body;
		enum s3_known has_lock;
	} cases[] = {
		{403, "<Code>AccessDenied</Code>", S3_UNKNOWN},
		{501, "<Code>NotImplemented</Code>", S3_UNKNOWN},
		{404, "<Code>ObjectLockConfigurationNotFoundError</Code>", S3_NO},
		{200, "<ObjectLockConfiguration/>", S3_NO},
	};

	(void)state;
	options.put.lock.mode = S3_LOCK_OFF;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bucket.question_status = cases[i].status;
		bucket.versioning = bucket.object_lock = cases[i].body;
		assert_int_equal(try_it(), ERR_NONE);
		assert_int_equal(probe.has_lock, cases[i].has_lock);
	}
}

static void who_may_not_read_or_list_is_told_so(void **state)
{
	(void)state;
	options.put.lock.mode = S3_LOCK_OFF;
	bucket.missing_status = bucket.read_status = 403;
	assert_int_equal(try_it(), ERR_NONE);
	assert_int_equal(probe.reads, S3_NO);
	assert_int_equal(probe.lists, S3_NO);
	options.put.lock.mode = S3_LOCK_GOVERNANCE; /* which takes a look */
	assert_int_equal(try_it(), ERR_CONFIG);
	assert_non_null(strstr(err.text, "s3:GetObject"));
}

static void a_server_that_is_busy_is_asked_again_later(void **state)
{
	(void)state;
	bucket.question_status = 503;
	assert_int_equal(try_it(), ERR_RETRY);
	assert_int_equal(err.kind, ERR_RETRY);
}

static void the_answers_are_a_facts_attributes(void **state)
{
	static const char *const keys[] = {"key",     "lock",      "lock_until",  "reads",
					   "lists",   "encrypted", "versioned",   "has_lock",
					   "deletes", "removed",   "lowers_lock", "bypasses_lock"};
	struct json *root = NULL;
	struct buf out;

	(void)state;
	assert_int_equal(try_it(), ERR_NONE);
	buf_init(&out, JSON_BYTES);
	s3_probe_json(&probe, &out);
	assert_int_equal(buf_check(&out, &err), ERR_NONE);
	assert_int_equal(json_parse(&root, span_of(out.data, out.len), &err), ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_int_equal(json_type(json_member(root, keys[i])), JSON_TEXT);
	assert_true(span_is(json_text(json_member(root, "lock")), "COMPLIANCE"));
	assert_true(span_is(json_text(json_member(root, "deletes")), "no"));
	json_free(root);
	buf_release(&out);
}

static void without_memory_it_is_said_so(void *arg)
{
	enum err_kind rc;

	(void)arg;
	options.client.endpoint = "http://127.0.0.1:1"; /* nobody listens there */
	rc = s3_probe(&options, &probe, &err);
	assert_true(rc == ERR_FATAL || rc == ERR_RETRY);
	assert_int_equal(err.kind, rc);
}

static void no_allocation_is_taken_for_granted(void **state)
{
	(void)state;
	fault_everywhere(without_memory_it_is_said_so, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
		TEST(the_best_is_refused_what_could_do_harm),
		TEST(a_probe_is_locked_for_a_day),
		TEST(without_locks_what_can_be_deleted_is_removed),
		TEST(a_lock_that_can_be_lifted_is_found_out),
		TEST(who_may_delete_markers_may_delete_versions),
		TEST(a_lock_that_holds_nothing_is_no_lock),
		TEST(a_server_without_locks_is_found_out),
		TEST(other_bytes_than_were_put_are_found_out),
		TEST(what_is_not_encrypted_as_asked_is_found_out),
		TEST(a_refusal_of_a_question_is_an_answer),
		TEST(who_may_not_read_or_list_is_told_so),
		TEST(a_server_that_is_busy_is_asked_again_later),
		TEST(the_answers_are_a_facts_attributes),
		TEST(no_allocation_is_taken_for_granted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
