/* An object is put once, looked at where it may be there already, and never overwritten. */
#include "sink/s3.h"

#include "base/file.h"
#include "base/time.h"
#include "model/event.h"
#include "sink/archive_index.h"

#include "fault.h"
#include "scratch.h"
#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DAY_NS (24 * 3600 * NS_PER_S)

enum { ANSWER_BYTES = 1024, ANSWERS_MAX = 8, PAYLOAD_BYTES = 4096, CUT_BYTES = 4096 };

#define SHA256_HEADER "x-amz-meta-content-sha256: "

static struct tiny_http server;
static char texts[ANSWERS_MAX][ANSWER_BYTES];
static const char *answers[ANSWERS_MAX + 1];
static size_t answer_count;
static struct sink sink;
static struct buf payload, cut;
static struct err err;
static const char *folder; /* of the index's journal */

static void answer(unsigned status, const char *headers)
{
	char *text = texts[answer_count];

	answers[answer_count++] = tiny_http_answer(text, ANSWER_BYTES, status, headers, "");
	answers[answer_count] = NULL;
}

static int set_up(void **state)
{
	const struct event event = {
		.class = CLASS_exit, .action = ACTION_exit_crashed, .not_after_ns = EVENT_NO_TIME};

	(void)state;
	answer_count = 0;
	folder = NULL;
	buf_init(&payload, PAYLOAD_BYTES);
	buf_init(&cut, CUT_BYTES);
	event_encode(&event, &payload);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	sink.ops->close(sink.ctx);
	tiny_http_stop(&server);
	buf_release(&payload);
	buf_release(&cut);
	return 0;
}

static void seal_next(uint64_t seq, bool again)
{
	sink.ops->begin(sink.ctx, seq, again);
	assert_int_equal(sink.ops->add(sink.ctx, seq, span_of(payload.data, payload.len),
				       &(bool){false}, &err),
			 ERR_NONE);
	assert_int_equal(sink.ops->seal(sink.ctx, seq, &cut, &err), ERR_NONE);
}

/* A delivery of one object. */
static void seal(bool again)
{
	struct s3_sink_options options = {
		.client = {.bucket = "trail",
			   .region = "us-east-1",
			   .access_key = "AKIAEXAMPLEEXAMPLE00",
			   .secret_key = "an-example-of-a-secret-key",
			   .session_token = ""},
		.archive = {.prefix = "audit", .stream = {.epoch = 1}},
		.folder = folder,
		.put = {.sse = "aws:kms", .kms_key_id = "an-example", .storage_class = ""},
	};

	tiny_http_start(&server, answers);
	options.client.endpoint = server.url;
	assert_int_equal(s3_open(&sink, &options, &err), ERR_NONE);
	seal_next(1, again);
}

static enum err_kind deliver(void)
{
	struct sink_answer answer = {.wait_seconds = 0};
	enum err_kind rc = sink.ops->deliver(sink.ctx, &answer, &err);

	assert_int_equal(answer.wait_seconds, rc == ERR_RETRY ? 7 : 0);
	return rc;
}

static void assert_asked_in(size_t idx, const char *method, const char *place)
{
	char start[ANSWER_BYTES];

	(void)snprintf(start, sizeof(start), "%s /trail/audit/%s", method, place);
	assert_true(idx < atomic_load(&server.count));
	assert_ptr_equal(strstr(server.requests[idx], start), server.requests[idx]);
}

static void assert_asked(size_t idx, const char *method)
{
	assert_asked_in(idx, method, "events/class%3Doperations/");
}

/* The hash of what is in the object, as the cut names it. */
static const char *there(char text[ANSWER_BYTES], struct span sha256)
{
	(void)snprintf(text, ANSWER_BYTES, SHA256_HEADER "%.*s\r\n", (int)sha256.len, sha256.data);
	return text;
}

static struct span our_sha256(void)
{
	return span_of(cut.data, HASH_HEX_BYTES - 1);
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
	char expected[ANSWER_BYTES];

	(void)state;
	answer(200, "");
	seal(false);
	(void)snprintf(expected, sizeof(expected), "%s trail", server.url);
	assert_string_equal(sink.place, expected);
	assert_int_equal(deliver(), ERR_NONE);
	assert_asked(0, "PUT");
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		assert_non_null(strstr(server.requests[0], headers[i]));
	assert_non_null(strstr(server.requests[0], there(expected, our_sha256())));
	assert_null(strstr(server.requests[0], "x-amz-storage-class"));
	assert_int_equal(deliver(), ERR_NONE); /* it is known to be there */
	assert_int_equal(atomic_load(&server.count), 1);
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
	char headers[ANSWER_BYTES];

	(void)state;
	answer(503, "Retry-After: 7\r\n");
	answer(200, "");
	seal(false);
	assert_int_equal(deliver(), ERR_RETRY);
	(void)tiny_http_answer(texts[1], ANSWER_BYTES, 200, there(headers, our_sha256()), "");
	assert_int_equal(deliver(), ERR_NONE);
	assert_asked(0, "PUT");
	assert_asked(1, "HEAD");
	assert_int_equal(atomic_load(&server.count), 2);
}

static void what_is_another_is_not_overwritten(void **state)
{
	(void)state;
	answer(412, "");
	answer(200, SHA256_HEADER "0000\r\n");
	seal(false);
	assert_int_equal(deliver(), ERR_CONFIG);
	assert_non_null(strstr(err.text, "nothing is overwritten"));
	assert_asked(0, "PUT");
	assert_asked(1, "HEAD");
	assert_int_equal(atomic_load(&server.count), 2);
}

static void a_refusal_of_a_request_is_an_operators(void **state)
{
	(void)state;
	answer(400, "");
	seal(false);
	assert_int_equal(deliver(), ERR_CONFIG);
	assert_int_equal(err.kind, ERR_CONFIG);
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
	seal_next(2, false);
	assert_int_equal(deliver(), ERR_RETRY);
	assert_int_equal(deliver(), ERR_NONE);
	fault_set_wall_clock(0);
	assert_asked(0, "PUT");
	assert_asked_in(1, "HEAD", "index/date%3D");
	assert_asked_in(2, "PUT", "index/date%3D");
	assert_asked_in(3, "HEAD", "index/date%3D");
	assert_asked_in(4, "PUT", "index/date%3D");
	assert_non_null(strstr(server.requests[4], "\r\nif-none-match: *\r\n"));
	assert_non_null(strstr(server.requests[4], "\r\nx-amz-meta-records: 1\r\n"));
	assert_asked(5, "PUT");
	assert_int_equal(atomic_load(&server.count), 6);
	scratch_remove(&scratch);
}

/* What the index says is in the bucket is what S3 says, and not what would be put today. */
static void what_is_there_is_noted_as_it_is_there(void **state)
{
	char headers[ANSWER_BYTES], sha256[HASH_HEX_BYTES], place[ANSWER_BYTES];
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
	(void)tiny_http_answer(texts[0], ANSWER_BYTES, 200, headers, "");
	assert_int_equal(deliver(), ERR_NONE);
	buf_init(&journal, PAYLOAD_BYTES);
	assert_int_equal(file_read_all(scratch_file(&scratch, INDEX_JOURNAL_NAME), &journal, &err),
			 ERR_NONE);
	assert_non_null(strstr((const char *)journal.data, "\"bytes\":0,"));
	assert_non_null(strstr((const char *)journal.data, sha256));
	(void)snprintf(place, sizeof(place), "\"place\":\"%s trail\"", server.url);
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
	char headers[ANSWER_BYTES];
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
		(void)tiny_http_answer(texts[0], ANSWER_BYTES, 200, headers, "");
		assert_int_equal(deliver(), ERR_NONE);
		buf_init(&journal, PAYLOAD_BYTES);
		assert_int_equal(
			file_read_all(scratch_file(&scratch, INDEX_JOURNAL_NAME), &journal, &err),
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
