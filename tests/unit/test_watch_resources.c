/* What is kept of Fly's answers about applications and their secrets, and what is no answer. */

#include "watch/resource.h"

#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TEXT_BYTES = 8192 };

#define KEY "an-example-of-a-key"

static struct tiny_http server;
static struct err err;
static struct listing list;
static const struct listing nothing;

static enum err_kind fetch_by(const struct watch_resource *r, const char *key, unsigned status,
			      const char *body)
{
	struct watch_api_options options = {
		.org = "example-org", .own_app = "", .token = "fm2_x", .hmac_key = key};
	char text[TEXT_BYTES];
	const char *answers[] = {tiny_http_answer(text, sizeof(text), status, "", body), NULL};
	struct watch_ask ask = {.app = "web-1", .item = "", .before = &nothing};
	struct watch_api *api = NULL;
	enum err_kind rc;

	tiny_http_start(&server, answers);
	options.machines_url = options.api_url = server.url;
	assert_int_equal(watch_api_new(&api, &options, &err), ERR_NONE);
	listing_release(&list);
	listing_init(&list, &r->shape);
	ask.api = api;
	rc = r->fetch(&ask, &list, &err);
	watch_api_free(api);
	tiny_http_stop(&server);
	return rc;
}

static enum err_kind fetch(const struct watch_resource *r, const char *body)
{
	return fetch_by(r, KEY, 200, body);
}

static void secrets_are_names_and_times_and_no_digest(void **state)
{
	(void)state;
	assert_int_equal(fetch(&watch_secrets,
			       "{\"secrets\":[{\"name\":\"B\",\"digest\":\"d1g3st\","
			       "\"created_at\":\"2026-11-20T10:00:00Z\","
			       "\"updated_at\":\"2026-11-20T10:00:00.5\",\"x\":1},"
			       "{\"name\":\"A\",\"digest\":null,\"updated_at\":\"soon\"}]}"),
			 ERR_NONE);
	assert_non_null(strstr(server.requests[0], "GET /v1/apps/web-1/secrets HTTP/1.1\r\n"));
	assert_int_equal(list.count, 2);
	assert_true(span_is(list.items[0].key, "A"));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(list.items[0].values[i].len, 0);
	assert_int_equal(list.items[1].values[0].len, WATCH_MAC_BYTES - 1);
	assert_true(span_is(list.items[1].values[1], "2026-11-20T10:00:00.000000000Z"));
	assert_true(span_is(list.items[1].values[2], "2026-11-20T10:00:00.500000000Z"));
}

static void macs_are_compared_by_one_key_alone(void **state)
{
	static const char body[] = "{\"secrets\":[{\"name\":\"A\",\"digest\":\"%s\"}]}";
	static const struct {
		const char *key, *digest;
	} cases[] = {{KEY, "1"}, {KEY, "2"}, {"another-key-of-mine", "2"}, {"", "2"}};
	char texts[ARRAY_LEN(cases)][WATCH_MAC_BYTES], answer[TEXT_BYTES];
	struct span macs[ARRAY_LEN(cases)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span mac;

		(void)snprintf(answer, sizeof(answer), body, cases[i].digest);
		assert_int_equal(fetch_by(&watch_secrets, cases[i].key, 200, answer), ERR_NONE);
		mac = list.items[0].values[0];
		(void)snprintf(texts[i], sizeof(texts[i]), "%.*s", (int)mac.len, mac.data);
		macs[i] = span_text(texts[i]);
		assert_null(strstr(texts[i], cases[i].key[0] != '\0' ? cases[i].key : "-"));
	}
	assert_true(watch_macs_differ(macs[0], macs[1]));
	assert_false(watch_macs_differ(macs[0], macs[0]));
	assert_false(watch_macs_differ(macs[1], macs[2]));
	assert_false(watch_macs_differ(macs[2], macs[3]));
	assert_int_equal(macs[3].len, 0);
}

static void an_application_without_secrets_has_none(void **state)
{
	(void)state;
	assert_int_equal(fetch(&watch_secrets, "{\"secrets\":[]}"), ERR_NONE);
	assert_int_equal(list.count, 0);
	assert_int_equal(fetch(&watch_secrets, "{\"secrets\":null}"), ERR_NONE);
	assert_int_equal(list.count, 0);
}

static void what_is_no_list_is_no_empty_list(void **state)
{
	static const char *const bodies[] = {"",
					     "<html></html>",
					     "{}",
					     "[]",
					     "null",
					     "{\"secrets\":{}}",
					     "{\"secrets\":[{\"name\":\"A\"}",
					     "{\"apps\":5}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		assert_int_equal(fetch(&watch_secrets, bodies[i]), ERR_RETRY);
		assert_int_equal(fetch(&watch_apps, bodies[i]), ERR_RETRY);
	}
	/* A name that is none makes all of it doubtful. */
	assert_int_equal(fetch(&watch_secrets, "{\"secrets\":[{\"name\":\"A\"},{\"name\":\"\"}]}"),
			 ERR_RETRY);
	assert_int_equal(fetch(&watch_secrets, "{\"secrets\":[{\"name\":\"A\"},7]}"), ERR_RETRY);
	assert_int_equal(fetch(&watch_secrets, "{\"secrets\":[{\"name\":\"A\"},{\"name\":\"A\"}]}"),
			 ERR_RETRY);
}

static void an_application_that_is_gone_is_rejected(void **state)
{
	(void)state;
	assert_int_equal(fetch_by(&watch_secrets, KEY, 404, "{}"), ERR_REJECT);
	assert_int_equal(fetch_by(&watch_secrets, KEY, 500, "{}"), ERR_RETRY);
}

static void applications_are_those_of_the_organisation(void **state)
{
	(void)state;
	assert_int_equal(fetch(&watch_apps,
			       "{\"apps\":[{\"id\":\"i2\",\"name\":\"shop\"},{\"id\":null,"
			       "\"name\":\"blog\"}],\"total_apps\":2}"),
			 ERR_NONE);
	assert_non_null(strstr(server.requests[0], "GET /v1/apps?org_slug=example-org HTTP/1.1"));
	assert_int_equal(list.count, 2);
	assert_true(span_is(list.items[0].key, "blog"));
	assert_true(span_is(list.items[1].values[0], "i2"));
}

static int tear_down(void **state)
{
	(void)state;
	listing_release(&list);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
		TEST(secrets_are_names_and_times_and_no_digest),
		TEST(macs_are_compared_by_one_key_alone),
		TEST(an_application_without_secrets_has_none),
		TEST(what_is_no_list_is_no_empty_list),
		TEST(an_application_that_is_gone_is_rejected),
		TEST(applications_are_those_of_the_organisation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
