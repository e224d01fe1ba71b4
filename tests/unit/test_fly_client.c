/* What each answer of Fly's makes of the next request, and where the token goes. */

#include "base/fly_client.h"

#include "base/time.h"

#include "fault.h"
#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TEXT_BYTES = 4096, ANSWERS_MAX = 40, URL_BYTES = 256, BODY_BYTES_MAX = 65536 };

static struct tiny_http server, other;
static struct err err;

/* The list of answers that the next test's server gives. */
static char texts[ANSWERS_MAX][TEXT_BYTES];
static const char *answers[ANSWERS_MAX + 1];
static size_t answer_count;

static void answer(unsigned status, const char *headers, const char *body)
{
	answers[answer_count] =
		tiny_http_answer(texts[answer_count], TEXT_BYTES, status, headers, body);
	answers[++answer_count] = NULL;
}

static struct fly_client *open_client(const char *token)
{
	const struct fly_client_options options = {.token = token, .seconds = 60};
	struct fly_client *c = NULL;

	tiny_http_start(&server, answers);
	assert_int_equal(fly_client_new(&c, &options, &err), ERR_NONE);
	return c;
}

static void close_client(struct fly_client *c)
{
	fly_client_free(c);
	tiny_http_stop(&server);
	answer_count = 0;
	answers[0] = NULL;
}

static enum err_kind get(struct fly_client *c, struct span *ret_body)
{
	char url[URL_BYTES];

	(void)snprintf(url, sizeof(url), "%s/v1/x", server.url);
	return fly_client_get(c, url, BODY_BYTES_MAX, ret_body, &err);
}

static enum err_kind ask(struct fly_client *c)
{
	struct span body;
	enum err_kind rc = get(c, &body);

	return rc ? rc : fly_client_done(c, ERR_NONE);
}

static void the_scheme_is_that_of_the_tokens_form(void **state)
{
	static const struct {
		const char *token, *header;
	} cases[] = {
		{"fm2_example0", "Authorization: FlyV1 fm2_example0\r\n"},
		{"fm1r_example0,fm1a_x", "Authorization: FlyV1 fm1r_example0,fm1a_x\r\n"},
		{"fm1r_example0", "Authorization: FlyV1 fm1r_example0\r\n"},
		{"fm1a_example0", "Authorization: FlyV1 fm1a_example0\r\n"},
		{"fo1_example0,fm2_x", "Authorization: FlyV1 fo1_example0,fm2_x\r\n"},
		{"fo1_example0", "Authorization: Bearer fo1_example0\r\n"},
		{"xfm2_example0", "Authorization: Bearer xfm2_example0\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fly_client *c;

		answer(200, "", "{}");
		c = open_client(cases[i].token);
		assert_int_equal(ask(c), ERR_NONE);
		assert_non_null(strstr(server.requests[0], cases[i].header));
		assert_ptr_equal(strstr(server.requests[0], "GET /v1/x HTTP/1.1\r\n"),
				 server.requests[0]);
		close_client(c);
	}
}

static void what_may_pass_is_tried_again_after_a_growing_wait(void **state)
{
	static const unsigned statuses[] = {500, 502, 503, 400, 302, 418, 204};
	struct fly_client *c;
	int64_t wait_ns = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		answer(statuses[i], "Location: http://127.0.0.1:1/\r\n", "");
	answer(200, "", "{}");
	c = open_client("fm2_example0");
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		assert_int_equal(ask(c), ERR_RETRY);
		wait_ns = fly_client_wait_ns(c);
		assert_in_range((uint64_t)wait_ns / NS_PER_MS, 400, 60 * 1000);
	}
	assert_true(wait_ns > 7 * NS_PER_S);
	assert_int_equal(ask(c), ERR_NONE);
	assert_int_equal(fly_client_wait_ns(c), 0);
	close_client(c);
	c = open_client("fm2_example0"); /* the connection is closed at once */
	assert_int_equal(ask(c), ERR_RETRY);
	assert_in_range((uint64_t)fly_client_wait_ns(c) / NS_PER_MS, 400, 1000);
	close_client(c);
}

static void a_redirect_takes_the_token_nowhere(void **state)
{
	static const char *const nothing[] = {NULL};
	char location[128];
	struct fly_client *c;

	(void)state;
	tiny_http_start(&other, nothing);
	(void)snprintf(location, sizeof(location), "Location: %s/\r\n", other.url);
	answer(307, location, "");
	c = open_client("fm2_example0");
	assert_int_equal(ask(c), ERR_RETRY);
	assert_non_null(strstr(err.text, "redirect"));
	close_client(c);
	tiny_http_stop(&other);
	assert_int_equal(atomic_load(&other.connections), 0);
}

static void too_many_requests_slow_it_down_and_good_answers_quicken_it(void **state)
{
	struct fly_client *c;
	int64_t before_ns, wait_ns;

	(void)state;
	answer(429, "", "");
	answer(429, "", "");
	answer(429, "Retry-After: 9\r\n", "");
	for (int i = 0; i < 30; i++)
		answer(200, "", "{}");
	c = open_client("fm2_example0");
	assert_int_equal(ask(c), ERR_RETRY);
	wait_ns = fly_client_wait_ns(c);
	assert_true(wait_ns == FLY_CLIENT_PACE_MS_MIN * NS_PER_MS);
	assert_int_equal(ask(c), ERR_RETRY);
	wait_ns = fly_client_wait_ns(c);
	assert_true(wait_ns == 2 * FLY_CLIENT_PACE_MS_MIN * NS_PER_MS);
	assert_int_equal(ask(c), ERR_RETRY);
	assert_true(fly_client_wait_ns(c) == 9 * NS_PER_S);
	before_ns = NS_PER_S;
	for (int i = 0; i < 30; i++) {
		assert_int_equal(ask(c), ERR_NONE);
		wait_ns = fly_client_wait_ns(c);
		assert_true(wait_ns < before_ns);
		before_ns = wait_ns + 10 * NS_PER_MS;
	}
	assert_true(wait_ns < FLY_CLIENT_PACE_MS_MIN * NS_PER_MS);
	close_client(c);
}

static void a_lone_refusal_is_passing_and_many_in_a_row_are_not(void **state)
{
	struct fly_client *c;

	(void)state;
	for (int i = 1; i < FLY_CLIENT_REFUSALS_MAX; i++)
		answer(401, "", "");
	answer(200, "", "{}");
	for (int i = 0; i < FLY_CLIENT_REFUSALS_MAX + 1; i++)
		answer(i % 2 ? 401 : 403, "", "");
	answer(200, "", "{}");
	answer(401, "", "");
	c = open_client("fm2_example0");
	for (int i = 1; i < FLY_CLIENT_REFUSALS_MAX; i++)
		assert_int_equal(ask(c), ERR_RETRY);
	assert_int_equal(ask(c), ERR_NONE);
	for (int i = 1; i < FLY_CLIENT_REFUSALS_MAX; i++)
		assert_int_equal(ask(c), ERR_RETRY);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask(c), ERR_CONFIG);
		assert_non_null(strstr(err.text, "check ACCESS_TOKEN"));
		assert_null(strstr(err.text, "fm2_"));
		assert_true(fly_client_wait_ns(c) > 0);
	}
	assert_int_equal(ask(c), ERR_NONE); /* it may be tried again */
	assert_int_equal(ask(c), ERR_RETRY);
	close_client(c);
}

static void a_request_that_is_cut_is_no_failure_of_the_api(void **state)
{
	_Atomic bool cut = true;
	struct fly_client *c = NULL;
	const struct fly_client_options options = {.token = "fm2_x", .cut = &cut};

	(void)state;
	answers[0] = TINY_HTTP_HANG;
	answers[1] = NULL;
	tiny_http_start(&server, answers);
	assert_int_equal(fly_client_new(&c, &options, &err), ERR_NONE);
	assert_int_equal(ask(c), ERR_RETRY);
	assert_int_equal(fly_client_wait_ns(c), 0);
	close_client(c);
}

static void what_is_not_there_is_rejected_and_no_failure(void **state)
{
	struct fly_client *c;

	(void)state;
	answer(404, "", "");
	c = open_client("fm2_example0");
	assert_int_equal(ask(c), ERR_REJECT);
	assert_int_equal(fly_client_wait_ns(c), 0);
	close_client(c);
}

static void a_body_that_is_no_answer_is_a_failure(void **state)
{
	struct fly_client *c;
	struct span body;

	(void)state;
	answer(200, "", "<html>");
	answer(200, "", "{}");
	c = open_client("fm2_example0");
	assert_int_equal(get(c, &body), ERR_NONE);
	assert_true(span_is(body, "<html>"));
	assert_int_equal(fly_client_done(c, ERR_RETRY), ERR_RETRY);
	assert_in_range((uint64_t)fly_client_wait_ns(c) / NS_PER_MS, 400, 1000);
	assert_int_equal(ask(c), ERR_NONE);
	assert_int_equal(fly_client_wait_ns(c), 0);
	close_client(c);
}

static void a_name_is_what_may_stand_in_a_url(void **state)
{
	static const char *const bad[] = {"",    "a/b", "a.b",  "..",
					  "a b", "a?b", "a%2f", "caf\xc3\xa9"};
	char longest[FLY_CLIENT_NAME_BYTES_MAX + 1];

	(void)state;
	assert_true(fly_client_is_name(SPAN("web-1")));
	assert_true(fly_client_is_name(SPAN("A_z09")));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(fly_client_is_name(span_text(bad[i])));
	memset(longest, 'a', sizeof(longest));
	assert_true(fly_client_is_name(span_of(longest, FLY_CLIENT_NAME_BYTES_MAX)));
	assert_false(fly_client_is_name(span_of(longest, sizeof(longest))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_scheme_is_that_of_the_tokens_form),
		cmocka_unit_test(what_may_pass_is_tried_again_after_a_growing_wait),
		cmocka_unit_test(a_redirect_takes_the_token_nowhere),
		cmocka_unit_test(too_many_requests_slow_it_down_and_good_answers_quicken_it),
		cmocka_unit_test(a_lone_refusal_is_passing_and_many_in_a_row_are_not),
		cmocka_unit_test(a_request_that_is_cut_is_no_failure_of_the_api),
		cmocka_unit_test(what_is_not_there_is_rejected_and_no_failure),
		cmocka_unit_test(a_body_that_is_no_answer_is_a_failure),
		cmocka_unit_test(a_name_is_what_may_stand_in_a_url),
	};

	fault_stop_clocks(); /* what is left of a wait is the wait */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
