/* What is kept of Fly's answers about applications and their secrets, and what is no answer. */

#include "watch_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TEXT_BYTES = 8192 };

static void secrets_are_names_and_times_and_no_digest(void **state)
{
	(void)state;
	assert_int_equal(
		watch_kit_fetch(&watch_secrets,
				"{\"secrets\":[{\"name\":\"B\",\"digest\":\"d1g3st\","
				"\"created_at\":\"2026-11-20T10:00:00Z\","
				"\"updated_at\":\"2026-11-20T10:00:00.5\",\"x\":1},"
				"{\"name\":\"A\",\"digest\":null,\"updated_at\":\"soon\"}]}"),
		ERR_NONE);
	assert_non_null(strstr(kit.server.requests[0], "GET /v1/apps/web-1/secrets HTTP/1.1\r\n"));
	assert_int_equal(kit.list.count, 2);
	assert_true(span_is(kit.list.items[0].key, "A"));
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(kit.list.items[0].values[i].len, 0);
	assert_int_equal(kit.list.items[1].values[0].len, WATCH_MAC_BYTES - 1);
	assert_true(span_is(kit.list.items[1].values[1], "2026-11-20T10:00:00.000000000Z"));
	assert_true(span_is(kit.list.items[1].values[2], "2026-11-20T10:00:00.500000000Z"));
}

static void macs_are_compared_by_one_key_alone(void **state)
{
	static const char body[] = "{\"secrets\":[{\"name\":\"A\",\"digest\":\"%s\"}]}";
	static const struct {
		const char *key, *digest;
	} cases[] = {{WATCH_KIT_KEY, "1"},
		     {WATCH_KIT_KEY, "2"},
		     {"another-key-of-mine", "2"},
		     {"", "2"}};
	char texts[ARRAY_LEN(cases)][WATCH_MAC_BYTES], answer[TEXT_BYTES];
	struct span macs[ARRAY_LEN(cases)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span mac;

		(void)snprintf(answer, sizeof(answer), body, cases[i].digest);
		kit.key = cases[i].key;
		assert_int_equal(watch_kit_fetch(&watch_secrets, answer), ERR_NONE);
		mac = kit.list.items[0].values[0];
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
	assert_int_equal(watch_kit_fetch(&watch_secrets, "{\"secrets\":[]}"), ERR_NONE);
	assert_int_equal(kit.list.count, 0);
	assert_int_equal(watch_kit_fetch(&watch_secrets, "{\"secrets\":null}"), ERR_NONE);
	assert_int_equal(kit.list.count, 0);
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
		assert_int_equal(watch_kit_fetch(&watch_secrets, bodies[i]), ERR_RETRY);
		assert_int_equal(watch_kit_fetch(&watch_apps, bodies[i]), ERR_RETRY);
	}
}

/* A name that is none hides no other, and may be that of what is known already. */
static void what_has_no_name_makes_a_list_a_part(void **state)
{
	static const char *const parts[] = {
		"{\"secrets\":[{\"name\":\"A\",\"created_at\":1763632800000},{\"name\":\"\"}]}",
		"{\"secrets\":[7,null,[],{\"name\":\"A\",\"created_at\":1763632800000}]}",
		"{\"secrets\":[{\"name\":\"A\",\"created_at\":1763632800000},{\"name\":\"A\"}]}",
	};
	static const char *const none[] = {"{\"secrets\":[7]}",
					   "{\"secrets\":[{\"name\":null},{}]}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		assert_int_equal(watch_kit_fetch(&watch_secrets, parts[i]), ERR_NONE);
		assert_true(kit.list.part);
		assert_int_equal(kit.list.count, 1);
		assert_true(span_is(kit.list.items[0].key, "A"));
		/* Of two the first stays. */
		assert_true(kit.list.items[0].values[1].len > 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_int_equal(watch_kit_fetch(&watch_secrets, none[i]), ERR_RETRY);
	assert_int_equal(watch_kit_fetch(&watch_secrets, "{\"secrets\":[{\"name\":\"A\"}]}"),
			 ERR_NONE);
	assert_false(kit.list.part);
}

static void an_application_that_is_gone_is_rejected(void **state)
{
	(void)state;
	assert_int_equal(watch_kit_fetch_status(&watch_secrets, 404, "{}"), ERR_REJECT);
	assert_int_equal(watch_kit_fetch_status(&watch_secrets, 500, "{}"), ERR_RETRY);
}

static void applications_are_those_of_the_organisation(void **state)
{
	(void)state;
	assert_int_equal(
		watch_kit_fetch(&watch_apps,
				"{\"apps\":[{\"id\":\"i2\",\"name\":\"shop\"},{\"id\":null,"
				"\"name\":\"blog\"}],\"total_apps\":2}"),
		ERR_NONE);
	assert_non_null(
		strstr(kit.server.requests[0], "GET /v1/apps?org_slug=example-org HTTP/1.1"));
	assert_int_equal(kit.list.count, 2);
	assert_true(span_is(kit.list.items[0].key, "blog"));
	assert_true(span_is(kit.list.items[1].values[0], "i2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WATCH_TEST(secrets_are_names_and_times_and_no_digest),
		WATCH_TEST(macs_are_compared_by_one_key_alone),
		WATCH_TEST(an_application_without_secrets_has_none),
		WATCH_TEST(what_is_no_list_is_no_empty_list),
		WATCH_TEST(what_has_no_name_makes_a_list_a_part),
		WATCH_TEST(an_application_that_is_gone_is_rejected),
		WATCH_TEST(applications_are_those_of_the_organisation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
