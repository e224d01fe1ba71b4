/* A legal hold is on when S3 says that it is. */
#include "sink/s3_hold.h"

#include "s3_kit.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HOLD(status) "<LegalHold><Status>" status "</Status></LegalHold>"
#define CODE(code) "<Error><Code>" code "</Code></Error>"

static struct tiny_http server;
static struct s3_kit_script script;
static struct s3_client *client;
static struct hasher *hasher;
static struct err err;
static bool is_changed;

static int set_up(void **state)
{
	(void)state;
	script.count = 0;
	assert_int_equal(hasher_new(&hasher, &err), ERR_NONE);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	s3_client_free(client);
	hasher_free(hasher);
	tiny_http_stop(&server);
	return 0;
}

static void answer(unsigned status, const char *body)
{
	s3_kit_answer(&script, status, "", body);
}

/* Of a server that gives the script. */
static enum err_kind set(bool on)
{
	const struct s3_hold_target target = {.key = SPAN("a=b/c"), .version = SPAN("v1")};
	struct s3_options options;

	tiny_http_start(&server, script.answers);
	options = s3_kit_options(server.url);
	assert_int_equal(s3_client_new(&client, &options, &err), ERR_NONE);
	return s3_hold_set(client, hasher, &target, on, &is_changed, &err);
}

static void assert_asked(size_t idx, const char *text)
{
	assert_true(idx < atomic_load(&server.count));
	assert_non_null(strcasestr(server.requests[idx], text));
}

static void it_is_looked_at_put_and_read_back(void **state)
{
	(void)state;
	answer(404, CODE("NoSuchObjectLockConfiguration"));
	answer(200, "");
	answer(200, HOLD("ON"));
	assert_int_equal(set(true), ERR_NONE);
	assert_true(is_changed);
	assert_int_equal(atomic_load(&server.count), 3);
	assert_asked(0, "GET /trail/a%3Db/c?legal-hold=&versionId=v1 ");
	assert_asked(1, "PUT /trail/a%3Db/c?legal-hold=&versionId=v1 ");
	assert_asked(1, "\r\ncontent-md5: ");
	assert_asked(1, "\r\nx-amz-checksum-sha256: ");
	assert_asked(1, "<Status>ON</Status>");
	assert_asked(2, "GET /trail/a%3Db/c?legal-hold=&versionId=v1 ");
}

static void it_is_taken_off_in_the_same_way(void **state)
{
	(void)state;
	answer(200, HOLD("ON"));
	answer(200, "");
	answer(200, HOLD("OFF"));
	assert_int_equal(set(false), ERR_NONE);
	assert_true(is_changed);
	assert_asked(1, "<Status>OFF</Status>");
}

static void what_is_so_already_is_left_alone(void **state)
{
	(void)state;
	answer(200, HOLD("ON"));
	assert_int_equal(set(true), ERR_NONE);
	assert_false(is_changed);
	assert_int_equal(atomic_load(&server.count), 1);
}

static void ceph_says_otherwise_that_there_was_none(void **state)
{
	(void)state;
	answer(404, CODE("ObjectLockConfigurationNotFoundError"));
	assert_int_equal(set(false), ERR_NONE);
	assert_false(is_changed);
}

static void what_is_taken_and_not_told_is_no_hold(void **state)
{
	(void)state;
	answer(200, HOLD("OFF"));
	answer(200, "");
	answer(200, HOLD("OFF"));
	assert_int_equal(set(true), ERR_CONFIG);
	assert_false(is_changed);
	assert_non_null(strstr(err.text, "does not say that it has it"));
}

static void assert_refused(unsigned status, const char *body, enum err_kind kind, const char *text)
{
	set_up(NULL);
	answer(200, HOLD("OFF"));
	answer(status, body);
	assert_int_equal(set(true), kind);
	assert_non_null(strstr(err.text, text));
	tear_down(NULL);
	set_up(NULL);
	answer(status, body);
	assert_int_equal(set(true), kind);
	assert_non_null(strstr(err.text, text));
	tear_down(NULL);
}

static void a_bucket_without_object_lock_has_no_hold_to_be_taken_off(void **state)
{
	(void)state;
	answer(400, CODE("InvalidRequest"));
	assert_int_equal(set(false), ERR_NONE);
	assert_false(is_changed);
}

static void a_bucket_without_object_lock_is_told_when_it_should_hold(void **state)
{
	(void)state;
	answer(400, CODE("InvalidRequest"));
	answer(400, CODE("InvalidRequest"));
	assert_int_equal(set(true), ERR_CONFIG);
	assert_non_null(strstr(err.text, "the bucket has no Object Lock: "));
}

static void a_refusal_says_what_is_to_be_done(void **state)
{
	(void)state;
	assert_refused(403, CODE("AccessDenied"), ERR_CONFIG, "s3:PutObjectLegalHold");
	assert_refused(404, CODE("NoSuchVersion"), ERR_REJECT, "no such version any more");
	assert_refused(404, CODE("NoSuchBucket"), ERR_CONFIG, "AWS_BUCKET");
	assert_refused(503, "", ERR_RETRY, "503");
}

static void assert_no_answer(const char *body)
{
	set_up(NULL);
	answer(200, body);
	assert_int_equal(set(true), ERR_RETRY);
	assert_string_equal(err.text, "what S3 answers is no legal hold");
	tear_down(NULL);
}

static void what_is_no_hold_is_not_taken_for_one(void **state)
{
	(void)state;
	assert_no_answer("");
	assert_no_answer("<html></html>");
	assert_no_answer(HOLD("on"));
	assert_no_answer("<a><LegalHold><Status>ON</Status></LegalHold></a>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(it_is_looked_at_put_and_read_back),
		TEST(it_is_taken_off_in_the_same_way),
		TEST(what_is_so_already_is_left_alone),
		TEST(ceph_says_otherwise_that_there_was_none),
		TEST(what_is_taken_and_not_told_is_no_hold),
		TEST(a_bucket_without_object_lock_has_no_hold_to_be_taken_off),
		TEST(a_bucket_without_object_lock_is_told_when_it_should_hold),
		cmocka_unit_test(a_refusal_says_what_is_to_be_done),
		cmocka_unit_test(what_is_no_hold_is_not_taken_for_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
