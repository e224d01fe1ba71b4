/* An object is put once, looked at where it may be there already, and never overwritten. */
#include "sink/s3.h"

#include "base/file.h"
#include "base/time.h"
#include "sink/archive_index.h"

#include "fault.h"
#include "s3_kit.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY_NS (24 * 3600 * NS_PER_S)

enum { TEXT_BYTES = 1024, JOURNAL_BYTES = 4096 };

#define SHA256_HEADER "x-amz-meta-content-sha256: "

static struct s3_kit k;
static const char *folder; /* of the index's journal */

static void answer(unsigned status, const char *headers)
{
	s3_kit_answer(&k.script, status, headers, "");
}

static int set_up(void **state)
{
	(void)state;
	folder = NULL;
	s3_kit_make(&k);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	s3_kit_remove(&k);
	return 0;
}

/* A delivery of one object. */
static void seal(bool again)
{
	struct s3_sink_options options = s3_kit_sink_options();

	options.folder = folder;
	s3_kit_serve(&k);
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

/* The hash of what is in the object, as the cut names it. */
static const char *there(char text[TEXT_BYTES], struct span sha256)
{
	(void)snprintf(text, TEXT_BYTES, SHA256_HEADER "%.*s\r\n", (int)sha256.len, sha256.data);
	return text;
}

static struct span our_sha256(void)
{
	return span_of(k.cut.data, HASH_HEX_BYTES - 1);
}

static void a_new_object_is_put_at_once_and_with_its_proofs(void **state)
{
	static const char *const headers[] = {
		"\r\ncontent-type: application/gzip\r\n",
		"\r\ncontent-md5: ",
		"\r\nif-none-match: *\r\n",
		"\r\nx-amz-checksum-sha256: ",
		"\r\nx-amz-meta-range: 1-1\r\n",
		"\r\nx-amz-meta-records: 1\r\n",
		"\r\nx-amz-meta-sha256: ",
		"x-amz-server-side-encryption: aws:kms",
		"\r\nx-amz-server-side-encryption-aws-kms-key-id: an-example\r\n"};
	char expected[TEXT_BYTES];

	(void)state;
	answer(200, "");
	seal(false);
	(void)snprintf(expected, sizeof(expected), "%s trail", k.server.url);
	assert_string_equal(k.sink.place, expected);
	assert_int_equal(deliver(), ERR_NONE);
	assert_asked(0, "PUT");
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		assert_non_null(strstr(k.server.requests[0], headers[i]));
	assert_non_null(strstr(k.server.requests[0], there(expected, our_sha256())));
	assert_null(strstr(k.server.requests[0], "x-amz-storage-class"));
	assert_int_equal(deliver(), ERR_NONE); /* it is known to be there */
	assert_int_equal(atomic_load(&k.server.count), 1);
}

static void after_a_crash_it_is_looked_at_first(void **state)
{
	(void)state;
	answer(404, "");
	answer(200, "");
	seal(true);
	assert_int_equal(deliver(), ERR_NONE);
	assert_asked(0, "HEAD");
	assert_asked(1, "PUT");
}

static void what_may_have_arrived_is_looked_at_and_not_put_again(void **state)
{
	char headers[TEXT_BYTES];

	(void)state;
	answer(503, "Retry-After: 7\r\n");
	answer(200, "");
	seal(false);
	assert_int_equal(deliver(), ERR_RETRY);
	(void)tiny_http_answer(k.script.texts[1], S3_KIT_ANSWER_BYTES, 200,
			       there(headers, our_sha256()), "");
	assert_int_equal(deliver(), ERR_NONE);
	assert_asked(0, "PUT");
	assert_asked(1, "HEAD");
	assert_int_equal(atomic_load(&k.server.count), 2);
}

static void what_is_another_is_not_overwritten(void **state)
{
	(void)state;
	answer(412, "");
	answer(200, SHA256_HEADER "0000\r\n");
	seal(false);
	assert_int_equal(deliver(), ERR_CONFIG);
	assert_non_null(strstr(k.err.text, "nothing is overwritten"));
	assert_asked(0, "PUT");
	assert_asked(1, "HEAD");
	assert_int_equal(atomic_load(&k.server.count), 2);
}

static void a_refusal_of_a_request_is_an_operators(void **state)
{
	(void)state;
	answer(400, "");
	seal(false);
	assert_int_equal(deliver(), ERR_CONFIG);
	assert_int_equal(k.err.kind, ERR_CONFIG);
}

/* The first delivery of a day waits for the index of the day before, which is put like all else. */
static void an_index_is_put_before_the_next_days_first_object(void **state)
{
	struct scratch scratch;

	(void)state;
	scratch_make(&scratch);
	folder = scratch.path;
	answer(200, "");
	answer(404, "");
	answer(503, "Retry-After: 7\r\n");
	answer(404, "");
	answer(200, "");
	answer(200, "");
	seal(false);
	assert_int_equal(deliver(), ERR_NONE);
	fault_set_wall_clock(DAY_NS);
	s3_kit_seal(&k, 2, false);
	assert_int_equal(deliver(), ERR_RETRY);
	assert_int_equal(deliver(), ERR_NONE);
	fault_set_wall_clock(0);
	assert_asked(0, "PUT");
	s3_kit_assert_asked(&k, 1, "HEAD", "index/date%3D");
	s3_kit_assert_asked(&k, 2, "PUT", "index/date%3D");
	s3_kit_assert_asked(&k, 3, "HEAD", "index/date%3D");
	s3_kit_assert_asked(&k, 4, "PUT", "index/date%3D");
	assert_non_null(strstr(k.server.requests[4], "\r\nif-none-match: *\r\n"));
	assert_non_null(strstr(k.server.requests[4], "\r\nx-amz-meta-records: 1\r\n"));
	assert_asked(5, "PUT");
	assert_int_equal(atomic_load(&k.server.count), 6);
	scratch_remove(&scratch);
}

/* What the index says is in the bucket is what S3 says, and not what would be put today. */
static void what_is_there_is_noted_as_it_is_there(void **state)
{
	char headers[TEXT_BYTES], sha256[HASH_HEX_BYTES], place[TEXT_BYTES];
	struct scratch scratch;
	struct buf journal;

	(void)state;
	memset(sha256, 'a', sizeof(sha256) - 1);
	sha256[sizeof(sha256) - 1] = '\0';
	scratch_make(&scratch);
	folder = scratch.path;
	answer(200, "");
	seal(true);
	(void)snprintf(headers, sizeof(headers), SHA256_HEADER "%.*s\r\nx-amz-meta-sha256: %s\r\n",
		       (int)our_sha256().len, our_sha256().data, sha256);
	(void)tiny_http_answer(k.script.texts[0], S3_KIT_ANSWER_BYTES, 200, headers, "");
	assert_int_equal(deliver(), ERR_NONE);
	buf_init(&journal, JOURNAL_BYTES);
	assert_int_equal(
		file_read_all(scratch_file(&scratch, INDEX_JOURNAL_NAME), &journal, &k.err),
		ERR_NONE);
	assert_non_null(strstr((const char *)journal.data, "\"bytes\":0,"));
	assert_non_null(strstr((const char *)journal.data, sha256));
	(void)snprintf(place, sizeof(place), "\"place\":\"%s trail\"", k.server.url);
	assert_non_null(strstr((const char *)journal.data, place));
	buf_release(&journal);
	scratch_remove(&scratch);
}

/* Its metadata is whoever's that wrote it: what is no hash does not come into the index. */
static void what_is_said_for_a_hash_and_is_none_is_not_noted(void **state)
{
	static const char *const said[] = {
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"bytes\":1,\"x\":\"aaaaaaaaaaaaaaa",
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	char headers[TEXT_BYTES];
	struct scratch scratch;
	struct buf journal;

	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		scratch_make(&scratch);
		folder = scratch.path;
		answer(200, "");
		seal(true);
		(void)snprintf(headers, sizeof(headers),
			       SHA256_HEADER "%.*s\r\nx-amz-meta-sha256: %s\r\n",
			       (int)our_sha256().len, our_sha256().data, said[i]);
		(void)tiny_http_answer(k.script.texts[0], S3_KIT_ANSWER_BYTES, 200, headers, "");
		assert_int_equal(deliver(), ERR_NONE);
		buf_init(&journal, JOURNAL_BYTES);
		assert_int_equal(
			file_read_all(scratch_file(&scratch, INDEX_JOURNAL_NAME), &journal, &k.err),
			ERR_NONE);
		buf_add(&journal, "", 1);
		assert_non_null(strstr((const char *)journal.data, "\"sha256\":\""));
		assert_null(strstr((const char *)journal.data, said[i]));
		buf_release(&journal);
		scratch_remove(&scratch);
		if (i + 1 == ARRAY_LEN(said))
			return;
		(void)tear_down(state);
		(void)set_up(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_new_object_is_put_at_once_and_with_its_proofs),
		TEST(after_a_crash_it_is_looked_at_first),
		TEST(what_may_have_arrived_is_looked_at_and_not_put_again),
		TEST(what_is_another_is_not_overwritten),
		TEST(a_refusal_of_a_request_is_an_operators),
		TEST(an_index_is_put_before_the_next_days_first_object),
		TEST(what_is_there_is_noted_as_it_is_there),
		TEST(what_is_said_for_a_hash_and_is_none_is_not_noted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
