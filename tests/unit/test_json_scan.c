/* Members and elements are found as the bytes that they are, and what is cut is noticed. */

#include "base/json_scan.h"

#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define is(span, text) assert_true(span_is(span, text))

static void members_are_given_with_their_own_bytes(void **state)
{
	struct json_scan s;
	struct span key, value;

	(void)state;
	assert_true(json_scan_begin(&s,
				    SPAN(" { \"a\" : {\"x\":[1,\"}\"]} , \"b\\\"\":\"t\\\\\","
					 "\"\":-1.5e3,\"n\":null }\n"),
				    '{'));
	assert_true(json_scan_next(&s, &key, &value));
	is(key, "a");
	is(value, "{\"x\":[1,\"}\"]}");
	assert_true(json_scan_next(&s, &key, &value));
	is(key, "b\\\"");
	is(value, "\"t\\\\\"");
	assert_true(json_scan_next(&s, &key, &value));
	is(key, "");
	is(value, "-1.5e3");
	assert_true(json_scan_next(&s, &key, &value));
	is(value, "null");
	assert_false(json_scan_next(&s, &key, &value));
	assert_true(s.ended);
	assert_true(json_scan_is_all(&s));
	assert_false(json_scan_next(&s, &key, &value));
}

static void elements_have_no_keys(void **state)
{
	struct json_scan s;
	struct span key, value;

	(void)state;
	assert_true(json_scan_begin(&s, SPAN("[[],{},\"a\" ]x"), '['));
	assert_true(json_scan_next(&s, &key, &value));
	is(key, "");
	is(value, "[]");
	assert_true(json_scan_next(&s, &key, &value));
	is(value, "{}");
	assert_true(json_scan_next(&s, &key, &value));
	is(value, "\"a\"");
	assert_false(json_scan_next(&s, &key, &value));
	assert_true(s.ended);
	assert_false(json_scan_is_all(&s));
}

static void what_is_no_such_container_is_refused(void **state)
{
	static const char *const texts[] = {"", " ", "[]", "\"{\"", "<html>", "null"};
	struct json_scan s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_false(json_scan_begin(&s, span_text(texts[i]), '{'));
}

/* How many members are given before the end, or before it breaks. */
static size_t count(struct span text, char open, bool *ret_ended)
{
	struct json_scan s;
	struct span key, value;
	size_t n = 0;

	*ret_ended = false;
	if (!json_scan_begin(&s, text, open))
		return 0;
	while (json_scan_next(&s, &key, &value))
		n++;
	*ret_ended = s.ended;
	return n;
}

static void every_shorter_prefix_is_noticed(void **state)
{
	struct span text = SPAN("{\"a\":1,\"b\":[{\"c\":\"\\\"}\"}],\"d\":\"x\",\"e\":true}");
	bool ended;

	(void)state;
	for (size_t len = 0; len < text.len; len++) {
		(void)count(span_of(text.data, len), '{', &ended);
		assert_false(ended);
	}
	assert_int_equal(count(text, '{', &ended), 4);
	assert_true(ended);
}

static void broken_separators_end_the_walk(void **state)
{
	static const struct {
		const char *text;
		size_t good;
	} cases[] = {
		{"{\"a\":1,}", 1}, {"{\"a\":1 \"b\":2}", 1}, {"{\"a\" 1}", 0}, {"{\"a\":}", 0},
		{"{a:1}", 0},      {"{,\"a\":1}", 0},        {"{\"a\":1]", 1}, {"{\"a\":\"b}", 0},
	};
	bool ended;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(count(span_text(cases[i].text), '{', &ended), cases[i].good);
		assert_false(ended);
	}
}

static void any_depth_is_passed_over(void **state)
{
	enum { DEPTH = 100000 };
	char *text = malloc(2 * DEPTH + 2);
	bool ended;

	(void)state;
	assert_non_null(text);
	memset(text, '[', DEPTH + 1);
	memset(text + DEPTH + 1, ']', DEPTH + 1);
	assert_int_equal(count(span_of(text, 2 * DEPTH + 2), '[', &ended), 1);
	assert_true(ended);
	assert_int_equal(count(span_of(text, 2 * DEPTH), '[', &ended), 0);
	assert_false(ended);
	free(text);
}

static void a_plain_text_is_one_without_escapes(void **state)
{
	(void)state;
	is(json_scan_plain(SPAN("\"abc\"")), "abc");
	is(json_scan_plain(SPAN("\"\"")), "");
	assert_null(json_scan_plain(SPAN("\"a\\n\"")).data);
	assert_null(json_scan_plain(SPAN("12")).data);
	assert_null(json_scan_plain(SPAN("")).data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_are_given_with_their_own_bytes),
		cmocka_unit_test(elements_have_no_keys),
		cmocka_unit_test(what_is_no_such_container_is_refused),
		cmocka_unit_test(every_shorter_prefix_is_noticed),
		cmocka_unit_test(broken_separators_end_the_walk),
		cmocka_unit_test(any_depth_is_passed_over),
		cmocka_unit_test(a_plain_text_is_one_without_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
