/* An object is locked for its term, and is there when S3 has said so; see test_s3.c for the rest.
 */
#include "sink/s3.h"

#include "base/time.h"

#include "s3_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ANSWER_BYTES = 1024, VALUE_BYTES = 128 };

#define SHA256_HEADER "x-amz-meta-content-sha256: "
#define STORED_HEADER "x-amz-meta-sha256: "

static struct s3_kit k;
static struct s3_lock_terms lock;

static int set_up(void **state)
{
	(void)state;
	lock = (struct s3_lock_terms){.mode = S3_LOCK_OFF};
	s3_kit_make(&k);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	s3_kit_remove(&k);
	return 0;
}

/* A delivery of one object, to a server that has been started. */
static void seal_for_server(bool again)
{
	struct s3_sink_options options = s3_kit_sink_options();

	options.put.lock = lock;
	s3_kit_open(&k, &options);
	s3_kit_seal(&k, 1, again);
}

static enum err_kind deliver(void)
{
	return s3_kit_deliver(&k);
}

static void assert_asked(size_t idx, const char *method)
{
	s3_kit_assert_asked(&k, idx, method, "events/class%3Doperations/");
}

/* A bucket of one object, which says what it has to say of its lock. */
static struct bucket {
	const char *refusal; /* of a lock; NULL: none is refused */
	bool is_put, is_short;
	const char *mode, *date;               /* that it says; NULL: none */
	const char *mode_raised, *date_raised; /* and after PutObjectRetention */
	char sha256[VALUE_BYTES], stored[VALUE_BYTES], len[VALUE_BYTES];
	char answer[ANSWER_BYTES];
} bucket;

/* Of a request, a header's line after its name, copied. */
static void copy_header(const char *request, const char *name, char ret[VALUE_BYTES])
{
	const char *at = strcasestr(request, name);

	assert_non_null(at);
	at += strlen(name);
	(void)snprintf(ret, VALUE_BYTES, "%.*s", (int)strcspn(at, "\r"), at);
}

static const char *answer_of_bucket(const char *request)
{
	struct bucket *b = &bucket;
	char headers[2 * VALUE_BYTES];
	int len;

	if (strstr(request, "?retention= HTTP")) {
		b->mode = b->mode_raised;
		b->date = b->date_raised;
		return tiny_http_answer(b->answer, sizeof(b->answer), 200, "", "");
	}
	if (strncmp(request, "PUT", 3) == 0 && b->refusal)
		return tiny_http_answer(b->answer, sizeof(b->answer), 400, "", b->refusal);
	if (strncmp(request, "PUT", 3) == 0) {
		copy_header(request, SHA256_HEADER, b->sha256);
		copy_header(request, STORED_HEADER, b->stored);
		copy_header(request, "\r\ncontent-length: ", b->len);
		b->is_put = true;
		return tiny_http_answer(b->answer, sizeof(b->answer), 200, "", "");
	}
	if (!b->is_put)
		return tiny_http_answer(b->answer, sizeof(b->answer), 404, "", "");
	headers[0] = '\0';
	if (b->mode)
		(void)snprintf(headers, sizeof(headers),
			       "x-amz-object-lock-mode: %s\r\n"
			       "x-amz-object-lock-retain-until-date: %s\r\n",
			       b->mode, b->date);
	len = snprintf(b->answer, sizeof(b->answer),
		       "HTTP/1.1 200 Any\r\nContent-Length: %s\r\n%s" SHA256_HEADER
		       "%s\r\n" STORED_HEADER "%s\r\n\r\n",
		       b->is_short ? "1" : b->len, headers, b->sha256, b->stored);
	REQUIRE(len > 0 && (size_t)len < sizeof(b->answer));
	return b->answer;
}

enum { DAYS = 92 };

/* A delivery of one object of today, that is to be locked. Its date goes into date. */
static void seal_locked(bool again, char date[S3_LOCK_DATE_BYTES])
{
	int64_t now_ns = time_now_ns();

	s3_kit_have_event(&k, now_ns);
	lock = (struct s3_lock_terms){.mode = S3_LOCK_GOVERNANCE,
				      .days = {[ARCHIVE_OPERATIONS] = DAYS}};
	(void)s3_lock_date((now_ns / ARCHIVE_DAY_NS + 1 + DAYS) * ARCHIVE_DAY_NS, date);
	tiny_http_start_choosing(&k.server, answer_of_bucket);
	seal_for_server(again);
}

static void a_locked_object_is_there_when_s3_says_that_it_is_locked(void **state)
{
	char date[S3_LOCK_DATE_BYTES], header[ANSWER_BYTES];

	(void)state;
	bucket = (struct bucket){.mode = "GOVERNANCE", .date = date};
	seal_locked(false, date);
	assert_int_equal(deliver(), ERR_NONE);
	assert_int_equal(atomic_load(&k.server.count), 2);
	assert_asked(0, "PUT");
	assert_asked(1, "HEAD");
	assert_non_null(strstr(k.server.requests[0], "\r\nx-amz-object-lock-mode: GOVERNANCE\r\n"));
	(void)snprintf(header, sizeof(header), "\r\nx-amz-object-lock-retain-until-date: %s\r\n",
		       date);
	assert_non_null(strstr(k.server.requests[0], header));
}

static void a_stronger_lock_than_was_asked_for_is_one(void **state)
{
	char date[S3_LOCK_DATE_BYTES];

	(void)state;
	bucket = (struct bucket){.mode = "COMPLIANCE", .date = "2200-01-01T00:00:00.000Z"};
	seal_locked(false, date);
	assert_int_equal(deliver(), ERR_NONE);
	assert_int_equal(atomic_load(&k.server.count), 2);
}

/* Put by a process before, when no lock was asked for, or another. */
static void what_is_there_with_less_of_a_lock_is_given_it(void **state)
{
	static const char *const short_dates[] = {NULL, "2026-01-01T00:00:00Z", "soon"};
	char date[S3_LOCK_DATE_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(short_dates); i++) {
		bucket = (struct bucket){.mode = short_dates[i] ? "GOVERNANCE" : NULL,
					 .date = short_dates[i],
					 .mode_raised = "GOVERNANCE",
					 .date_raised = date};
		seal_locked(false, date);
		assert_int_equal(deliver(), ERR_NONE);
		assert_int_equal(atomic_load(&k.server.count), 4);
		assert_asked(2, "PUT");
		assert_non_null(strstr(k.server.requests[2], "?retention= HTTP"));
		assert_asked(3, "HEAD");
		if (i + 1 == ARRAY_LEN(short_dates))
			return;
		(void)tear_down(state);
		(void)set_up(state);
	}
}

static void a_server_that_passes_over_a_lock_is_found_out(void **state)
{
	char date[S3_LOCK_DATE_BYTES];

	(void)state;
	bucket = (struct bucket){.mode = NULL};
	seal_locked(false, date);
	assert_int_equal(deliver(), ERR_CONFIG);
	assert_non_null(strstr(k.err.text, "does not say that it has it (GOVERNANCE until "));
	assert_non_null(strstr(k.err.text, "s3:GetObjectRetention"));
	bucket.mode = "GOVERNANCE"; /* and is tried again, and looked at, not put */
	bucket.date = date;
	assert_int_equal(deliver(), ERR_NONE);
	assert_null(strstr(k.server.requests[atomic_load(&k.server.count) - 1], "PUT"));
}

static void a_bucket_that_takes_no_lock_says_how_to_make_one(void **state)
{
	char date[S3_LOCK_DATE_BYTES];

	(void)state;
	bucket = (struct bucket){.refusal = "<Error><Code>InvalidRequest</Code></Error>"};
	seal_locked(false, date);
	assert_int_equal(deliver(), ERR_CONFIG);
	assert_non_null(strstr(k.err.text, "--object-lock-enabled-for-bucket"));
	assert_non_null(strstr(k.err.text, "FLYTRAIL_S3_LOCK=off"));
}

static void fewer_bytes_than_were_sent_are_no_object(void **state)
{
	char date[S3_LOCK_DATE_BYTES];

	(void)state;
	bucket = (struct bucket){.mode = "GOVERNANCE", .date = date, .is_short = true};
	seal_locked(false, date);
	for (size_t i = 0; i < 3; i++) { /* it is not believed later either */
		k.err = (struct err){.kind = ERR_NONE};
		assert_int_equal(deliver(), ERR_CONFIG);
		assert_non_null(strstr(k.err.text, "says that it has others"));
	}
	bucket.is_short = false;
	assert_int_equal(deliver(), ERR_NONE);
}

/* Nor where no lock is asked for, or where a process before sent them. */
static void fewer_bytes_of_an_earlier_put_are_no_object(void **state)
{
	(void)state;
	bucket = (struct bucket){.mode = NULL};
	tiny_http_start_choosing(&k.server, answer_of_bucket);
	seal_for_server(false);
	assert_int_equal(deliver(), ERR_NONE);
	bucket.is_short = true;
	s3_kit_seal(&k, 1, true);
	assert_int_equal(deliver(), ERR_CONFIG);
	assert_non_null(strstr(k.err.text, "says that it has others"));
}

/* The event of set_up() is of 1970. */
static void a_term_that_is_over_asks_for_no_lock(void **state)
{
	(void)state;
	s3_kit_answer(&k.script, 200, "", "");
	lock = (struct s3_lock_terms){.mode = S3_LOCK_COMPLIANCE, .days = {0, DAYS, DAYS}};
	s3_kit_serve(&k);
	seal_for_server(false);
	assert_int_equal(deliver(), ERR_NONE);
	assert_null(strstr(k.server.requests[0], "object-lock"));
	assert_int_equal(atomic_load(&k.server.count), 1);
}

static void a_lock_is_as_strong_as_another_in_mode_and_date(void **state)
{
	static const struct s3_lock wanted = {S3_LOCK_COMPLIANCE, 1000},
				    none = {.mode = S3_LOCK_OFF};
	static const struct {
		struct s3_lock has;
		bool holds;
	} cases[] = {
		{{S3_LOCK_COMPLIANCE, 1000}, true},  {{S3_LOCK_COMPLIANCE, 1001}, true},
		{{S3_LOCK_COMPLIANCE, 999}, false},  {{S3_LOCK_GOVERNANCE, 1000}, false},
		{{S3_LOCK_GOVERNANCE, 2000}, false}, {{S3_LOCK_OFF, 2000}, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(s3_lock_holds(&cases[i].has, &wanted), cases[i].holds);
		assert_true(s3_lock_holds(&cases[i].has, &none));
	}
}

static void a_term_is_of_the_objects_own_day_and_class(void **state)
{
	const struct s3_lock_terms terms = {
		.mode = S3_LOCK_COMPLIANCE,
		.days = {[ARCHIVE_SECURITY] = 395, [ARCHIVE_OPERATIONS] = 1}};
	struct archive_object o = {.kind = ARCHIVE_SECURITY, .day_end_ns = 20000 * ARCHIVE_DAY_NS};
	char date[S3_LOCK_DATE_BYTES];
	struct s3_lock of;

	(void)state;
	of = s3_lock_of(&terms, &o, 0);
	assert_int_equal(of.mode, S3_LOCK_COMPLIANCE);
	assert_string_equal(s3_lock_date(of.until_ns, date), "2025-11-03T00:00:00Z");
	o.kind = ARCHIVE_OPERATIONS;
	assert_int_equal(s3_lock_of(&terms, &o, 0).until_ns, 20001 * ARCHIVE_DAY_NS);
	assert_int_equal(s3_lock_of(&terms, &o, 20001 * ARCHIVE_DAY_NS - 1).mode, S3_LOCK_OFF);
	assert_int_equal(
		s3_lock_of(&terms, &o, 20001 * ARCHIVE_DAY_NS - S3_SKEW_SECONDS * NS_PER_S - 1)
			.mode,
		S3_LOCK_COMPLIANCE);
	o.kind = ARCHIVE_LINES;
	assert_int_equal(s3_lock_of(&terms, &o, 0).mode, S3_LOCK_OFF);
	o = (struct archive_object){.kind = ARCHIVE_SECURITY, .day_end_ns = INT64_MAX};
	assert_int_equal(s3_lock_of(&terms, &o, 0).mode, S3_LOCK_OFF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_locked_object_is_there_when_s3_says_that_it_is_locked),
		TEST(a_stronger_lock_than_was_asked_for_is_one),
		TEST(what_is_there_with_less_of_a_lock_is_given_it),
		TEST(a_server_that_passes_over_a_lock_is_found_out),
		TEST(a_bucket_that_takes_no_lock_says_how_to_make_one),
		TEST(fewer_bytes_than_were_sent_are_no_object),
		TEST(fewer_bytes_of_an_earlier_put_are_no_object),
		TEST(a_term_that_is_over_asks_for_no_lock),
		cmocka_unit_test(a_lock_is_as_strong_as_another_in_mode_and_date),
		cmocka_unit_test(a_term_is_of_the_objects_own_day_and_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
