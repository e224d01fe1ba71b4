/* What an answer of S3's means, and that neither a key nor a byte of it stands in an error. */
#include "sink/s3_client.h"

#include "base/time.h"

#include "fault.h"
#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SECRET "an-example/of+a=secret-key00000000000000"
#define TOKEN "an-example-of-a-session-token"
#define SIXTEEN "aaaaaaaaaaaaaaaa"
#define SIXTY_FOUR SIXTEEN SIXTEEN SIXTEEN SIXTEEN

enum { ANSWER_BYTES = 4096 };

static struct tiny_http server;
static char text[ANSWER_BYTES];
static const char *answers[] = {text, NULL};

static struct s3_options options(void)
{
	return (struct s3_options){
		.endpoint = server.url,
		.bucket = "trail",
		.region = "us-east-1",
		.access_key = "AKIAEXAMPLEEXAMPLE00",
		.secret_key = SECRET,
		.session_token = TOKEN,
	};
}

static enum err_kind ask(const struct s3_request *request, struct s3_answer *ret, struct err *err)
{
	struct s3_options o;
	struct s3_client *c = NULL;
	enum err_kind rc;

	tiny_http_start(&server, answers);
	o = options();
	assert_int_equal(s3_client_new(&c, &o, err), ERR_NONE);
	rc = s3_client_send(c, request, ret, err);
	s3_client_free(c);
	tiny_http_stop(&server);
	return rc;
}

static enum err_kind ask_for(const char *key, unsigned status, const char *headers,
			     const char *body, struct s3_answer *ret, struct err *err)
{
	const struct s3_request request = {.method = "GET", .key = span_text(key)};

	(void)tiny_http_answer(text, sizeof(text), status, headers, body);
	*err = (struct err){.kind = ERR_NONE};
	return ask(&request, ret, err);
}

static void a_request_has_what_s3_wants(void **state)
{
	const struct sigv4_pair headers[] = {{"content-type", SPAN("text/plain")},
					     {"if-none-match", SPAN("*")}};
	const struct s3_request request = {
		.method = "PUT",
		.key = SPAN("lines/date=2026-11-26/a b"),
		.headers = headers,
		.header_count = ARRAY_LEN(headers),
		.body = SPAN("hello"),
	};
	const char *asked = server.requests[0];
	struct s3_answer answer;
	struct err err;

	(void)state;
	(void)tiny_http_answer(text, sizeof(text), 200, "", "");
	assert_int_equal(ask(&request, &answer, &err), ERR_NONE);
	assert_ptr_equal(strstr(asked, "PUT /trail/lines/date%3D2026-11-26/a%20b HTTP/1.1\r\n"),
			 asked);
	assert_non_null(strstr(asked, "\r\nx-amz-security-token: " TOKEN "\r\n"));
	assert_non_null(strstr(asked, "\r\nx-amz-content-sha256: "
				      "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e7304"
				      "3362938b9824\r\n"));
	assert_non_null(strstr(asked, "\r\nif-none-match: *\r\n"));
	assert_non_null(strstr(asked, "SignedHeaders=content-type;host;if-none-match;"
				      "x-amz-content-sha256;x-amz-date;x-amz-security-token,"));
	assert_null(strstr(asked, SECRET));
}

/* The name is not looked up here: a proxy is asked, and would. */
static void the_buckets_name_may_stand_before_the_host(void **state)
{
	const struct sigv4_pair query[] = {{"prefix", SPAN("a/b")}, {"list-type", SPAN("2")}};
	const struct s3_request request = {
		.method = "GET", .query = query, .query_count = ARRAY_LEN(query)};
	struct s3_options o = options();
	struct s3_client *c = NULL;
	struct s3_answer answer;
	struct err err;

	(void)state;
	o.endpoint = "http://s3.example.com";
	o.host_style = true;
	o.session_token = "";
	(void)tiny_http_answer(text, sizeof(text), 200, "", "");
	tiny_http_start(&server, answers);
	assert_int_equal(setenv("http_proxy", server.url, 1), 0);
	assert_int_equal(s3_client_new(&c, &o, &err), ERR_NONE);
	assert_int_equal(s3_client_send(c, &request, &answer, &err), ERR_NONE);
	assert_int_equal(unsetenv("http_proxy"), 0);
	s3_client_free(c);
	tiny_http_stop(&server);
	assert_ptr_equal(strstr(server.requests[0],
				"GET http://trail.s3.example.com/?list-type=2&prefix=a%2Fb HTTP"),
			 server.requests[0]);
	assert_non_null(strcasestr(server.requests[0], "\r\nhost: trail.s3.example.com\r\n"));
	assert_null(strstr(server.requests[0], "security-token"));
}

static void a_refusal_says_what_is_to_be_done(void **state)
{
	static const struct {
		unsigned status;
		const char *body;
		enum err_kind kind;
		const char *says;
	} cases[] = {
		{403, "<Error><Code>SignatureDoesNotMatch</Code></Error>", ERR_CONFIG,
		 "403 SignatureDoesNotMatch: AWS_SECRET_ACCESS_KEY"},
		{403, "<Error><Code>InvalidAccessKeyId</Code></Error>", ERR_CONFIG,
		 "AWS_ACCESS_KEY_ID"},
		{403, "", ERR_CONFIG, "S3 answers 403"},
		{401, "", ERR_CONFIG, "S3 answers 401"},
		{404, "<Code>NoSuchBucket</Code>", ERR_CONFIG, "AWS_BUCKET"},
		{400, "<Code>AuthorizationHeaderMalformed</Code>", ERR_CONFIG, "AWS_REGION"},
		{400, "<Code>ExpiredToken</Code>", ERR_CONFIG, "AWS_SESSION_TOKEN"},
		{501, "<Code>NotImplemented</Code>", ERR_CONFIG, "has no such thing"},
		{301, "<Code>PermanentRedirect</Code>", ERR_CONFIG, "AWS_REGION"},
		{307, "", ERR_CONFIG, "S3 answers 307"},
		{400, "<Code>RequestTimeout</Code>", ERR_RETRY, "RequestTimeout"},
		{400, "<Code>BadDigest</Code>", ERR_RETRY, "BadDigest"},
		{408, "", ERR_RETRY, "S3 answers 408"},
		{409, "<Code>ConditionalRequestConflict</Code>", ERR_RETRY, "409"},
		{429, "", ERR_RETRY, "S3 answers 429"},
		{500, "<Code>InternalError</Code>", ERR_RETRY, "500 InternalError"},
		{503, "<Code>SlowDown</Code>", ERR_RETRY, "503 SlowDown"},
		{400, "<Code>InvalidArgument</Code>", ERR_REJECT, "400 InvalidArgument"},
		{405, "", ERR_REJECT, "S3 answers 405"},
	};
	struct s3_answer answer;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(ask_for("a", cases[i].status, "", cases[i].body, &answer, &err),
				 cases[i].kind);
		assert_int_equal(err.kind, cases[i].kind);
		assert_int_equal(answer.status, cases[i].status);
		assert_non_null(strstr(err.text, cases[i].says));
		assert_null(strstr(err.text, TOKEN));
		assert_null(strstr(err.text, SECRET));
	}
}

/* As Amazon says it, in both places; to HEAD, where no body may be; and as others do. */
static void a_wrong_region_is_said_with_the_right_one(void **state)
{
#define MALFORMED(region) \
	"<Error><Code>AuthorizationHeaderMalformed</Code><Region>" region "</Region></Error>"
#define THERE "x-amz-bucket-region: eu-west-1\r\n"
#define SET_IT "AWS_REGION is not the bucket's: set it to eu-west-1"
	static const struct {
		unsigned status;
		const char *headers, *body;
		enum err_kind kind;
		const char *text;
	} cases[] = {
		{400, THERE, MALFORMED("eu-west-1"), ERR_CONFIG,
		 "400 AuthorizationHeaderMalformed: " SET_IT},
		{400, "", MALFORMED("eu-west-1"), ERR_CONFIG,
		 "400 AuthorizationHeaderMalformed: " SET_IT},
		{400, THERE, "", ERR_CONFIG, "400: " SET_IT},
		{301, THERE, "", ERR_CONFIG, "301: " SET_IT},
		{301, THERE, "<Code>PermanentRedirect</Code>", ERR_CONFIG,
		 "301 PermanentRedirect: " SET_IT},
		/* nothing is taken over that could be no region, or is ours */
		{400, "", MALFORMED("eu west"), ERR_CONFIG,
		 "400 AuthorizationHeaderMalformed: AWS_REGION is not the bucket's"},
		{400, "", MALFORMED(SIXTY_FOUR), ERR_CONFIG,
		 "400 AuthorizationHeaderMalformed: AWS_REGION is not the bucket's"},
		{400, "x-amz-bucket-region: %s\r\n", MALFORMED("us-east-1"), ERR_CONFIG,
		 "400 AuthorizationHeaderMalformed: AWS_REGION is not the bucket's"},
		{400, "x-amz-bucket-region: us-east-1\r\n", "", ERR_REJECT, "400"},
		/* nor is a region to blame for what is not of regions */
		{403, THERE, "<Code>AccessDenied</Code>", ERR_CONFIG,
		 "403 AccessDenied: the credentials do not allow it"},
		{503, THERE, "", ERR_RETRY, "503"},
		{400, THERE, "<Code>InvalidArgument</Code>", ERR_REJECT, "400 InvalidArgument"},
	};
	char expected[256];
	struct s3_answer answer;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(ask_for("a", cases[i].status, cases[i].headers, cases[i].body,
					 &answer, &err),
				 cases[i].kind);
		(void)snprintf(expected, sizeof(expected), "GET a: S3 answers %s", cases[i].text);
		assert_string_equal(err.text, expected);
	}
}

static void what_was_asked_for_is_an_answer(void **state)
{
	struct s3_answer answer;
	struct err err;

	(void)state;
	assert_int_equal(ask_for("a", 200, "", "hello", &answer, &err), ERR_NONE);
	assert_int_equal(answer.status, 200);
	assert_int_equal(ask_for("a", 404, "", "<Code>NoSuchKey</Code>", &answer, &err), ERR_NONE);
	assert_int_equal(answer.status, 404);
	assert_string_equal(answer.code, "NoSuchKey");
	assert_int_equal(ask_for("a", 412, "", "<Code>PreconditionFailed</Code>", &answer, &err),
			 ERR_NONE);
	assert_int_equal(answer.status, 412);
	assert_int_equal(ask_for("", 404, "", "", &answer, &err), ERR_REJECT); /* the bucket's */
}

static void how_long_to_wait_is_told(void **state)
{
	struct s3_answer answer;
	struct err err;

	(void)state;
	assert_int_equal(ask_for("a", 503, "Retry-After: 7\r\n", "", &answer, &err), ERR_RETRY);
	assert_int_equal(answer.retry_after_seconds, 7);
}

/* A code is letters and digits; whatever else is there is not said. */
static void what_is_no_code_stands_in_no_error(void **state)
{
	static const char *const bodies[] = {"<Code>Evil\nline</Code>", "<Code>",
					     "<Code>" SIXTY_FOUR "</Code>", "<Code>%s</Code>",
					     "</Code><Code>"};
	struct s3_answer answer;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		assert_int_equal(ask_for("a", 403, "", bodies[i], &answer, &err), ERR_CONFIG);
		assert_string_equal(answer.code, "");
		assert_string_equal(err.text, "GET a: S3 answers 403");
	}
}

static void a_clock_that_is_wrong_is_said_so_from_the_answers_date(void **state)
{
	struct s3_answer answer;
	struct err err;

	(void)state;
	assert_int_equal(ask_for("a", 403, "Date: Fri, 24 May 2013 00:00:00 GMT\r\n",
				 "<Code>AccessDenied</Code>", &answer, &err),
			 ERR_CONFIG);
	assert_non_null(strstr(err.text, "this machine's clock is "));
	assert_non_null(strstr(err.text, " seconds before S3's"));
	fault_set_wall_clock(-20 * 60 * NS_PER_S);
	assert_int_equal(ask_for("a", 503, "", "", &answer, &err), ERR_RETRY);
	assert_null(strstr(err.text, "clock"));
	fault_set_wall_clock(20 * 60 * NS_PER_S);
}

static void without_memory_it_is_said_so(void *arg)
{
	const struct s3_request request = {.method = "GET", .key = SPAN("a")};
	struct s3_options o = options();
	struct s3_client *c = NULL;
	struct s3_answer answer;
	struct err err;
	enum err_kind rc;

	(void)arg;
	o.endpoint = "http://127.0.0.1:1"; /* nobody listens there */
	rc = s3_client_new(&c, &o, &err);
	if (!rc)
		rc = s3_client_send(c, &request, &answer, &err);
	s3_client_free(c);
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
		cmocka_unit_test(a_request_has_what_s3_wants),
		cmocka_unit_test(the_buckets_name_may_stand_before_the_host),
		cmocka_unit_test(a_refusal_says_what_is_to_be_done),
		cmocka_unit_test(a_wrong_region_is_said_with_the_right_one),
		cmocka_unit_test(what_was_asked_for_is_an_answer),
		cmocka_unit_test(how_long_to_wait_is_told),
		cmocka_unit_test(what_is_no_code_stands_in_no_error),
		cmocka_unit_test(a_clock_that_is_wrong_is_said_so_from_the_answers_date),
		cmocka_unit_test(no_allocation_is_taken_for_granted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
