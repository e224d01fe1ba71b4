/* Pages and lists of Fly's, and what is none. */

#include "source/logs_api.h"

#include "base/time.h"

#include "fault.h"
#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TEXT_BYTES = 4096, ANSWERS_MAX = 40 };

#define EMPTY_PAGE "{\"data\":[],\"meta\":{\"next_token\":\"5\"}}"

static struct tiny_http server;
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
	struct logs_api_options options = {.token = token, .org = "example-org", .seconds = 60};

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
	assert_non_null(strstr(server.requests[0], "Authorization: FlyV1 fm2_example0\r\n"));
	assert_ptr_equal(strstr(server.requests[0], "GET /api/v1/apps/web-1/logs?next_token="
						    "1790000000000000000 HTTP/1.1\r\n"),
			 server.requests[0]);
	assert_int_equal(batch->count, 1);
	assert_int_equal(page.count, 1);
	assert_int_equal(page.next_ns, INT64_C(1790000000999999999));
	assert_true(batch->raws[0].received_ns > INT64_C(1700000000000000000));
	assert_int_equal(logs_api_wait_ns(a), 0);
	close_api(a);
}

static void what_is_no_page_is_tried_again_after_a_growing_wait(void **state)
{
	static const char *const bodies[] = {"<html></html>", "{\"data\":[", "", "[]", "{}"};
	struct logs_api *a;
	int64_t wait_ns = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		answer(200, "", bodies[i]);
	answer(200, "", EMPTY_PAGE);
	a = open_api("fm2_example0");
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		assert_int_equal(ask(a), ERR_RETRY);
		assert_int_equal(batch->count, 0);
		assert_ptr_equal(strstr(err.text, "logs of web-1: "), err.text);
		wait_ns = logs_api_wait_ns(a);
		assert_in_range((uint64_t)wait_ns / NS_PER_MS, 400, 60 * 1000);
	}
	assert_true(wait_ns > 7 * NS_PER_S);
	assert_int_equal(ask(a), ERR_NONE);
	assert_int_equal(logs_api_wait_ns(a), 0);
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
		cmocka_unit_test(a_page_is_put_into_the_batch),
		cmocka_unit_test(what_is_no_page_is_tried_again_after_a_growing_wait),
		cmocka_unit_test(an_application_that_is_gone_is_rejected),
		cmocka_unit_test(the_organisations_applications_are_listed),
		cmocka_unit_test(without_a_slug_no_list_is_asked_for),
	};

	fault_stop_clocks(); /* what is left of a wait is the wait */
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
