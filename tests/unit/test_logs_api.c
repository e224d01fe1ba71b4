/* What each answer of Fly's makes of the next request, and where the token goes. */

#include "source/logs_api.h"

#include "base/time.h"

#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TEXT_BYTES = 4096, ANSWERS_MAX = 40 };

#define EMPTY_PAGE "{\"data\":[],\"meta\":{\"next_token\":\"5\"}}"

static struct tiny_http server, other;
static struct batch *batch;
static struct logs_page page;
static struct err err;

/* The list of answers that the next test's server gives. */
static char texts[ANSWERS_MAX][TEXT_BYTES];
static const char *answers[ANSWERS_MAX + 1];
static size_t answer_count;

static int set_up(void **state)
{
	(void)state;
	return batch_new(&batch, &err) != ERR_NONE;
}

static int tear_down(void **state)
{
	(void)state;
	batch_free(batch);
	return 0;
}

static void answer(unsigned status, const char *headers, const char *body)
{
	answers[answer_count] =
		tiny_http_answer(texts[answer_count], TEXT_BYTES, status, headers, body);
	answers[++answer_count] = NULL;
}

static struct logs_api *open_api(const char *token)
{
	struct logs_api *a = NULL;
	struct logs_api_options options = {.token = token, .org = "example-org", .seconds = 3};

	tiny_http_start(&server, answers);
	options.url = server.url;
	options.machines_url = server.url;
	assert_int_equal(logs_api_new(&a, &options, &err), ERR_NONE);
	return a;
}

static void close_api(struct logs_api *a)
{
	logs_api_free(a);
	tiny_http_stop(&server);
	answer_count = 0;
	answers[0] = NULL;
}

static enum err_kind ask(struct logs_api *a)
{
	batch_reset(batch);
	return logs_api_page(a, "web-1", INT64_C(1790000000000000000), batch, &page, &err);
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
		struct logs_api *a;

		answer(200, "", EMPTY_PAGE);
		a = open_api(cases[i].token);
		assert_int_equal(ask(a), ERR_NONE);
		assert_non_null(strstr(server.requests[0], cases[i].header));
		assert_ptr_equal(strstr(server.requests[0],
					"GET /api/v1/apps/web-1/logs?next_token="
					"1790000000000000000 HTTP/1.1\r\n"),
				 server.requests[0]);
		close_api(a);
	}
}

static void a_page_is_put_into_the_batch(void **state)
{
	struct logs_api *a;

	(void)state;
	answer(200, "",
	       "{\"data\":[{\"id\":\"1\",\"attributes\":{\"timestamp\":"
	       "\"2026-09-21T14:13:21Z\",\"message\":\"m\"}}],\"meta\":{}}");
	a = open_api("fm2_example0");
	assert_int_equal(logs_api_wait_ns(a), 0);
	assert_int_equal(ask(a), ERR_NONE);
	assert_int_equal(batch->count, 1);
	assert_int_equal(page.count, 1);
	assert_int_equal(page.next_ns, INT64_C(1790000000999999999));
	assert_true(batch->raws[0].received_ns > INT64_C(1700000000000000000));
	assert_int_equal(logs_api_wait_ns(a), 0);
	close_api(a);
}

static void what_may_pass_is_tried_again_after_a_growing_wait(void **state)
{
	static const unsigned statuses[] = {500, 502, 503, 400, 302, 418, 204};
	struct logs_api *a;
	int64_t wait_ns = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		answer(statuses[i], "Location: http://127.0.0.1:1/\r\n", "");
	answer(200, "", "<html></html>");
	answer(200, "", "{\"data\":[");
	answer(200, "", EMPTY_PAGE);
	a = open_api("fm2_example0");
	for (size_t i = 0; i < ARRAY_LEN(statuses) + 2; i++) {
		assert_int_equal(ask(a), ERR_RETRY);
		assert_int_equal(batch->count, 0);
		assert_ptr_equal(strstr(err.text, "logs of web-1: "), err.text);
		wait_ns = logs_api_wait_ns(a);
		assert_in_range((uint64_t)wait_ns / NS_PER_MS, 400, 60 * 1000);
	}
	assert_true(wait_ns > 20 * NS_PER_S);
	assert_int_equal(ask(a), ERR_NONE);
	assert_int_equal(logs_api_wait_ns(a), 0);
	close_api(a);
	a = open_api("fm2_example0"); /* the connection is closed at once */
	assert_int_equal(ask(a), ERR_RETRY);
	assert_in_range((uint64_t)logs_api_wait_ns(a) / NS_PER_MS, 400, 1000);
	close_api(a);
}

static void a_redirect_takes_the_token_nowhere(void **state)
{
	static const char *const nothing[] = {NULL};
	char location[128];
	struct logs_api *a;

	(void)state;
	tiny_http_start(&other, nothing);
	(void)snprintf(location, sizeof(location), "Location: %s/\r\n", other.url);
	answer(307, location, "");
	a = open_api("fm2_example0");
	assert_int_equal(ask(a), ERR_RETRY);
	assert_non_null(strstr(err.text, "redirect"));
	close_api(a);
	tiny_http_stop(&other);
	assert_int_equal(atomic_load(&other.connections), 0);
}

static void too_many_requests_slow_it_down_and_good_pages_quicken_it(void **state)
{
	struct logs_api *a;
	int64_t before_ns, wait_ns;

	(void)state;
	answer(429, "", "");
	answer(429, "", "");
	answer(429, "Retry-After: 9\r\n", "");
	for (int i = 0; i < 30; i++)
		answer(200, "", EMPTY_PAGE);
	a = open_api("fm2_example0");
	assert_int_equal(ask(a), ERR_RETRY);
	wait_ns = logs_api_wait_ns(a);
	assert_in_range((uint64_t)wait_ns / NS_PER_MS, LOGS_API_PACE_MS_MIN - 50,
			LOGS_API_PACE_MS_MIN);
	assert_int_equal(ask(a), ERR_RETRY);
	wait_ns = logs_api_wait_ns(a);
	assert_in_range((uint64_t)wait_ns / NS_PER_MS, 2 * LOGS_API_PACE_MS_MIN - 50,
			2 * LOGS_API_PACE_MS_MIN);
	assert_int_equal(ask(a), ERR_RETRY);
	assert_in_range((uint64_t)logs_api_wait_ns(a) / NS_PER_MS, 8900, 9000);
	before_ns = NS_PER_S;
	for (int i = 0; i < 30; i++) {
		assert_int_equal(ask(a), ERR_NONE);
		wait_ns = logs_api_wait_ns(a);
		assert_true(wait_ns < before_ns);
		before_ns = wait_ns + 10 * NS_PER_MS;
	}
	assert_true(wait_ns < LOGS_API_PACE_MS_MIN * NS_PER_MS);
	close_api(a);
}

static void a_lone_refusal_is_passing_and_many_in_a_row_are_not(void **state)
{
	struct logs_api *a;

	(void)state;
	for (int i = 1; i < LOGS_API_REFUSALS_MAX; i++)
		answer(401, "", "");
	answer(200, "", EMPTY_PAGE);
	for (int i = 0; i < LOGS_API_REFUSALS_MAX + 1; i++)
		answer(i % 2 ? 401 : 403, "", "");
	answer(200, "", EMPTY_PAGE);
	answer(401, "", "");
	a = open_api("fm2_example0");
	for (int i = 1; i < LOGS_API_REFUSALS_MAX; i++)
		assert_int_equal(ask(a), ERR_RETRY);
	assert_int_equal(ask(a), ERR_NONE);
	for (int i = 1; i < LOGS_API_REFUSALS_MAX; i++)
		assert_int_equal(ask(a), ERR_RETRY);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(ask(a), ERR_CONFIG);
		assert_non_null(strstr(err.text, "check ACCESS_TOKEN"));
		assert_null(strstr(err.text, "fm2_"));
		assert_true(logs_api_wait_ns(a) > 0);
	}
	assert_int_equal(ask(a), ERR_NONE); /* it may be tried again */
	assert_int_equal(ask(a), ERR_RETRY);
	close_api(a);
}

static void an_application_that_is_gone_is_rejected(void **state)
{
	struct logs_api *a;

	(void)state;
	answer(404, "", "");
	a = open_api("fm2_example0");
	assert_int_equal(ask(a), ERR_REJECT);
	assert_int_equal(logs_api_wait_ns(a), 0);
	batch_reset(batch);
	assert_int_equal(logs_api_page(a, "../x", 0, batch, &page, &err), ERR_REJECT);
	assert_int_equal(logs_api_page(a, "", 0, batch, &page, &err), ERR_REJECT);
	assert_int_equal(logs_api_page(a, "a.b", 0, batch, &page, &err), ERR_REJECT);
	assert_int_equal(atomic_load(&server.count), 1);
	close_api(a);
}

static void a_request_that_is_cut_is_no_failure_of_the_api(void **state)
{
	_Atomic bool cut = true;
	struct logs_api *a = NULL;
	struct logs_api_options options = {.token = "fm2_x", .org = "o", .cut = &cut};

	(void)state;
	answers[0] = TINY_HTTP_HANG;
	answers[1] = NULL;
	tiny_http_start(&server, answers);
	options.url = server.url;
	options.machines_url = server.url;
	assert_int_equal(logs_api_new(&a, &options, &err), ERR_NONE);
	assert_int_equal(ask(a), ERR_RETRY);
	assert_int_equal(logs_api_wait_ns(a), 0);
	close_api(a);
}

static void the_organisations_applications_are_listed(void **state)
{
	struct logs_api_apps apps = {.count = 0};
	struct logs_api *a;

	(void)state;
	answer(200, "",
	       "{\"apps\":[{\"id\":\"1\",\"name\":\"web-1\",\"organization\":{\"name\":\"x\"}},"
	       "{\"name\":\"no.name\"},{\"name\":5},{},7,{\"name\":\"db\"}],\"total_apps\":2}");
	answer(200, "", "{\"apps\":null}");
	answer(200, "", "{\"apps\":[{\"name\":\"web-1\"}");
	answer(200, "", "<html>");
	answer(200, "", "{}");
	answer(404, "", "");
	a = open_api("fm2_example0");
	assert_int_equal(logs_api_apps(a, &apps, &err), ERR_NONE);
	assert_ptr_equal(strstr(server.requests[0], "GET /v1/apps?org_slug=example-org HTTP/1.1"),
			 server.requests[0]);
	assert_non_null(strstr(server.requests[0], "Authorization: FlyV1 fm2_example0\r\n"));
	assert_int_equal(apps.count, 2);
	assert_string_equal(apps.names[0], "web-1");
	assert_string_equal(apps.names[1], "db");
	assert_false(apps.more);
	logs_api_apps_release(&apps);
	assert_int_equal(logs_api_apps(a, &apps, &err), ERR_NONE);
	assert_int_equal(apps.count, 0);
	logs_api_apps_release(&apps);
	for (int i = 0; i < 3; i++)
		assert_int_equal(logs_api_apps(a, &apps, &err), ERR_RETRY);
	assert_int_equal(logs_api_apps(a, &apps, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "check ORG"));
	close_api(a);
}

static void without_a_slug_no_list_is_asked_for(void **state)
{
	static const char *const slugs[] = {"", "a&b=c", "a/b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(slugs); i++) {
		const struct logs_api_options options = {.url = "http://127.0.0.1:1",
							 .machines_url = "http://127.0.0.1:1",
							 .token = "x",
							 .org = slugs[i]};
		struct logs_api_apps apps;
		struct logs_api *a = NULL;

		assert_int_equal(logs_api_new(&a, &options, &err), ERR_NONE);
		assert_int_equal(logs_api_apps(a, &apps, &err), ERR_CONFIG);
		logs_api_free(a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_scheme_is_that_of_the_tokens_form),
		cmocka_unit_test(a_page_is_put_into_the_batch),
		cmocka_unit_test(what_may_pass_is_tried_again_after_a_growing_wait),
		cmocka_unit_test(a_redirect_takes_the_token_nowhere),
		cmocka_unit_test(too_many_requests_slow_it_down_and_good_pages_quicken_it),
		cmocka_unit_test(a_lone_refusal_is_passing_and_many_in_a_row_are_not),
		cmocka_unit_test(an_application_that_is_gone_is_rejected),
		cmocka_unit_test(a_request_that_is_cut_is_no_failure_of_the_api),
		cmocka_unit_test(the_organisations_applications_are_listed),
		cmocka_unit_test(without_a_slug_no_list_is_asked_for),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
