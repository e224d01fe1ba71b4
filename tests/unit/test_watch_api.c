/* What goes out to Fly's control plane, how often, and what is no answer. */

#include "watch/api.h"

#include "base/time.h"

#include "fault.h"
#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TEXT_BYTES = 1024, ANSWERS_MAX = 8 };

static struct tiny_http server;
static struct err err;
static struct json *got;
static char texts[ANSWERS_MAX][TEXT_BYTES];
static const char *answers[ANSWERS_MAX + 1];

/* A server that gives one answer again and again, and who asks it. */
static struct watch_api *open_api(unsigned status, const char *body)
{
	struct watch_api_options options = {
		.org = "example-org", .own_app = "", .token = "fm2_x", .hmac_key = ""};
	struct watch_api *api = NULL;

	for (size_t i = 0; i < ANSWERS_MAX; i++)
		answers[i] = tiny_http_answer(texts[i], TEXT_BYTES, status, "", body);
	tiny_http_start(&server, answers);
	options.machines_url = options.api_url = server.url;
	assert_int_equal(watch_api_new(&api, &options, &err), ERR_NONE);
	return api;
}

static void close_api(struct watch_api *api)
{
	watch_api_free(api);
	tiny_http_stop(&server);
}

static enum err_kind get(struct watch_api *api, const char *path, const struct watch_names *names)
{
	enum err_kind rc = watch_api_get(api, path, names, &got, &err);

	if (!rc)
		json_free(got);
	return rc;
}

static void names_stand_in_a_path_and_cannot_leave_it(void **state)
{
	static const char path[] = "v1/apps/{app}/certificates/{item}?org={org}&cursor={cursor}";
	static const struct {
		const char *item, *asked;
	} cases[] = {
		{"*.example.com", "GET /v1/apps/web-1/certificates/%2A.example.com?"},
		{"a/../b?c#d", "GET /v1/apps/web-1/certificates/a%2F..%2Fb%3Fc%23d?"},
		{"\xc3\xa9\n", "GET /v1/apps/web-1/certificates/%C3%A9%0A?"},
	};
	static const char *const refused[] = {"", ".", ".."};
	struct watch_names names = {.app = "web-1", .cursor = ""};
	struct watch_api *api = open_api(200, "{}");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		names.item = cases[i].item;
		assert_int_equal(get(api, path, &names), ERR_NONE);
		assert_non_null(strstr(server.requests[i], cases[i].asked));
		assert_non_null(strstr(server.requests[i], "?org=example-org&cursor= HTTP/1.1"));
	}
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		names.item = refused[i];
		assert_int_equal(get(api, path, &names), ERR_REJECT);
	}
	assert_int_equal(server.count, ARRAY_LEN(cases));
	close_api(api);
}

static void one_kind_of_request_about_an_application_goes_out_once_a_second(void **state)
{
	static const char path[] = "v1/apps/{app}/secrets", other[] = "v1/apps/{app}/releases";
	const struct watch_names web = {.app = "web-1"}, shop = {.app = "shop"};
	struct watch_api *api = open_api(200, "[]");
	int64_t begun_ns;

	(void)state;
	fault_stop_clocks(); /* who waited now would wait for ever */
	begun_ns = time_monotonic_ns();
	for (unsigned i = 0; i < WATCH_BURST; i++)
		assert_int_equal(get(api, path, &web), ERR_NONE);
	assert_int_equal(get(api, path, &shop), ERR_NONE);
	assert_int_equal(get(api, other, &web), ERR_NONE);
	fault_go_on();
	assert_int_equal(get(api, path, &web), ERR_NONE);
	assert_true(time_monotonic_ns() - begun_ns >= NS_PER_S);
	assert_int_equal(watch_api_sent(api), WATCH_BURST + 3);
	close_api(api);
}

static void what_is_neither_an_object_nor_a_list_is_no_answer(void **state)
{
	static const char *const bodies[] = {"", "7", "\"text\"", "{\"a\":", "<html>"};
	const struct watch_names names = {.app = "web-1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct watch_api *api = open_api(200, bodies[i]);

		assert_int_equal(get(api, "v1/apps/{app}/secrets", &names), ERR_RETRY);
		assert_false(watch_api_refused(api));
		close_api(api);
	}
}

static void a_refusal_is_told_from_a_failure(void **state)
{
	static const struct {
		unsigned status;
		bool refused;
	} cases[] = {{401, true}, {403, true}, {404, true}, {429, false}, {500, false}};
	const struct watch_names names = {.app = "web-1"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct watch_api *api = open_api(cases[i].status, "{}");

		assert_int_not_equal(get(api, "v1/apps/{app}/x", &names), ERR_NONE);
		assert_int_equal(watch_api_refused(api), cases[i].refused);
		close_api(api);
	}
}

static enum err_kind query(const char *body, bool *ret_refused)
{
	const struct watch_names names = {.app = "web-1", .cursor = "c\"1"};
	struct watch_api *api = open_api(200, body);
	enum err_kind rc = watch_api_query(api, "query q($org: String!) { x }", &names, &got, &err);

	*ret_refused = watch_api_refused(api);
	close_api(api);
	return rc;
}

static void a_question_has_its_variables_as_json(void **state)
{
	bool refused;

	(void)state;
	assert_int_equal(query("{\"data\":{\"x\":1}}", &refused), ERR_NONE);
	assert_non_null(strstr(server.requests[0], "POST /graphql HTTP/1.1\r\n"));
	assert_non_null(strstr(server.requests[0], "Content-Type: application/json\r\n"));
	assert_non_null(strstr(server.requests[0],
			       "{\"query\":\"query q($org: String!) { x }\",\"variables\":{"
			       "\"org\":\"example-org\",\"app\":\"web-1\",\"after\":\"c\\\"1\"}}"));
	assert_true(json_number(json_member(json_member(got, "data"), "x")) == 1);
	json_free(got);
}

static void a_part_with_errors_is_no_answer_and_a_refusal(void **state)
{
	static const struct {
		const char *body, *told;
		bool refused;
	} cases[] = {
		{"{\"errors\":[{\"message\":\"secret words\",\"extensions\":{\"code\":"
		 "\"UNAUTHORIZED\"}}],\"data\":{\"x\":1}}",
		 "an error: UNAUTHORIZED", true},
		{"{\"errors\":[{\"message\":\"secret words\",\"extensions\":{\"code\":"
		 "\"<secret words>\"}}],\"data\":null}",
		 "an error", true},
		{"{\"errors\":[],\"data\":{}}", "an error", true},
		{"{\"errors\":7,\"data\":{}}", "an error", true},
		{"{\"errors\":null,\"data\":null}", "has no data", false},
		{"{\"data\":[]}", "has no data", false},
		{"[]", "no JSON object", false},
	};
	bool refused;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(query(cases[i].body, &refused), ERR_RETRY);
		assert_non_null(strstr(err.text, cases[i].told));
		assert_null(strstr(err.text, "secret words"));
		assert_int_equal(refused, cases[i].refused);
	}
	assert_int_equal(query("{\"errors\":null,\"data\":{}}", &refused), ERR_NONE);
	json_free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_stand_in_a_path_and_cannot_leave_it),
		cmocka_unit_test(one_kind_of_request_about_an_application_goes_out_once_a_second),
		cmocka_unit_test(what_is_neither_an_object_nor_a_list_is_no_answer),
		cmocka_unit_test(a_refusal_is_told_from_a_failure),
		cmocka_unit_test(a_question_has_its_variables_as_json),
		cmocka_unit_test(a_part_with_errors_is_no_answer_and_a_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
