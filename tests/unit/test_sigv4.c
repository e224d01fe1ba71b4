/* Against the examples of the Amazon S3 API Reference, whose keys are no one's. */
#include "sink/sigv4.h"

#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HOST                                                   \
	{                                                      \
		"host", SPAN("examplebucket.s3.amazonaws.com") \
	}
#define DATE                                           \
	{                                              \
		"x-amz-date", SPAN("20130524T000000Z") \
	}
#define EMPTY                                              \
	{                                                  \
		"x-amz-content-sha256", SPAN(EMPTY_SHA256) \
	}
#define CREDENTIAL          \
	"AWS4-HMAC-SHA256 " \
	"Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders="

static struct buf out;

static int set_up(void **state)
{
	(void)state;
	buf_init(&out, 4096);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_release(&out);
	return 0;
}

static struct sigv4_key key_of(const char *secret)
{
	return (struct sigv4_key){
		.access_key = SPAN("AKIAIOSFODNN7EXAMPLE"),
		.secret_key = span_text(secret),
		.region = SPAN("us-east-1"),
		.service = SPAN("s3"),
	};
}

static void assert_signed(const struct sigv4_request *request, const char *expected)
{
	struct sigv4_key key = key_of("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
	struct err err;

	assert_int_equal(sigv4_sign(&key, request, &out, &err), ERR_NONE);
	assert_string_equal(out.data, expected);
}

static void an_object_is_got(void **state)
{
	const struct sigv4_pair headers[] = {HOST, {"range", SPAN("bytes=0-9")}, EMPTY, DATE};
	const struct sigv4_request request = {
		.method = "GET",
		.path = SPAN("/test.txt"),
		.headers = headers,
		.header_count = ARRAY_LEN(headers),
		.time = "20130524T000000Z",
		.payload_sha256 = EMPTY_SHA256,
	};

	(void)state;
	assert_signed(&request, CREDENTIAL
		      "host;range;x-amz-content-sha256;x-amz-date,"
		      "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

/* The headers come in another order than they are signed in, and with spaces that do not count. */
static void an_object_is_put(void **state)
{
	static const char sha256[] =
		"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
	const struct sigv4_pair headers[] = {
		{"x-amz-storage-class", SPAN(" REDUCED_REDUNDANCY ")},
		{"x-amz-content-sha256", span_text(sha256)},
		DATE,
		{"date", SPAN("Fri,  24 May 2013   00:00:00 GMT")},
		HOST,
	};
	struct sigv4_request request = {
		.method = "PUT",
		.headers = headers,
		.header_count = ARRAY_LEN(headers),
		.time = "20130524T000000Z",
		.payload_sha256 = sha256,
	};
	struct buf path;

	(void)state;
	buf_init(&path, 64);
	sigv4_encode(SPAN("/test$file.text"), SIGV4_SLASH_STAYS, &path);
	request.path = span_of(path.data, path.len);
	assert_signed(&request, CREDENTIAL
		      "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
		      "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
	buf_release(&path);
}

/* Of the bucket. */
static void assert_query_is_signed(const struct sigv4_pair *query, size_t count,
				   const char *expected)
{
	const struct sigv4_pair headers[] = {HOST, EMPTY, DATE};
	const struct sigv4_request request = {
		.method = "GET",
		.path = SPAN("/"),
		.query = query,
		.query_count = count,
		.headers = headers,
		.header_count = ARRAY_LEN(headers),
		.time = "20130524T000000Z",
		.payload_sha256 = EMPTY_SHA256,
	};

	assert_signed(&request, expected);
}

static void a_query_without_a_value_is_signed(void **state)
{
	const struct sigv4_pair query[] = {{"lifecycle", SPAN("")}};

	(void)state;
	assert_query_is_signed(
		query, ARRAY_LEN(query),
		CREDENTIAL
		"host;x-amz-content-sha256;x-amz-date,"
		"Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

static void a_query_is_signed_in_the_order_of_its_names(void **state)
{
	const struct sigv4_pair query[] = {{"prefix", SPAN("J")}, {"max-keys", SPAN("2")}};

	(void)state;
	assert_query_is_signed(
		query, ARRAY_LEN(query),
		CREDENTIAL
		"host;x-amz-content-sha256;x-amz-date,"
		"Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void what_is_not_plain_is_encoded(void **state)
{
	(void)state;
	sigv4_encode(SPAN("date=2026-11-26/a+b:c~_.txt \xc3\xa9"), SIGV4_SLASH_STAYS, &out);
	assert_string_equal(out.data, "date%3D2026-11-26/a%2Bb%3Ac~_.txt%20%C3%A9");
	buf_reset(&out);
	sigv4_encode(SPAN("a/b"), SIGV4_SLASH_TOO, &out);
	assert_string_equal(out.data, "a%2Fb");
}

static void a_time_is_written_without_its_marks(void **state)
{
	char text[SIGV4_TIME_BYTES];

	(void)state;
	assert_string_equal(sigv4_time(INT64_C(1369353599999999999), text), "20130523T235959Z");
}

static void a_secret_key_that_is_too_long_is_said_so(void **state)
{
	static char secret[4096];
	const struct sigv4_request request = {.method = "GET",
					      .path = SPAN("/"),
					      .time = "20130524T000000Z",
					      .payload_sha256 = EMPTY_SHA256};
	struct sigv4_key key;
	struct err err;

	(void)state;
	memset(secret, 'x', sizeof(secret) - 1);
	key = key_of(secret);
	assert_int_equal(sigv4_sign(&key, &request, &out, &err), ERR_CONFIG);
	assert_null(strstr(err.text, "xx"));
	assert_int_equal(out.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(an_object_is_got),
		TEST(an_object_is_put),
		TEST(a_query_without_a_value_is_signed),
		TEST(a_query_is_signed_in_the_order_of_its_names),
		TEST(what_is_not_plain_is_encoded),
		TEST(a_time_is_written_without_its_marks),
		TEST(a_secret_key_that_is_too_long_is_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
