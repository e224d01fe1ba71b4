/* The shape that Fly's HTTP logs API has: read at once, and as the parser reads it. */

#include "one_line.h"
#include "stage/draft.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define TIME "\"timestamp\":\"2026-05-03T22:04:17.809965798Z\""
#define MESSAGE "\"message\":\"\\u001b[32m INFO\\u001b[0m \\\"a\\\\\""
#define LEVEL "\"level\":\"error\""
#define MACHINE "\"instance\":\"286d097b71e118\""
#define REGION "\"region\":\"ams\""
#define EVENT "\"event\":{\"provider\":\"proxy\"}"
#define META "\"meta\":{" MACHINE "," REGION "," EVENT "}"
#define BEFORE_META TIME "," MESSAGE "," LEVEL "," MACHINE "," REGION ","

/* Whether the scanner takes it; if it does not, it has changed nothing. */
static bool is_taken(struct span text)
{
	struct draft d = {.form = RAW_FLY_JSON};
	const struct draft empty = d;
	char *copy = malloc(text.len);
	bool taken;

	assert_non_null(copy);
	memcpy(copy, text.data, text.len);
	taken = scan_fly(&d, copy, text.len);
	if (!taken) {
		assert_memory_equal(copy, text.data, text.len);
		assert_memory_equal(&d, &empty, sizeof(d));
	}
	free(copy);
	return taken;
}

static void assert_equal(struct span a, struct span b)
{
	assert_true(span_equal(a, b));
	assert_true(!a.data == !b.data);
}

/* As decode() reads text and as it reads it with a blank before its end, which the parser takes. */
static void assert_both_ways_alike(struct span text)
{
	struct record fast = *one_line(&line, RAW_FLY_JSON, text);
	struct one_line other;
	const struct record *slow;
	char *loose = malloc(text.len + 1);

	assert_non_null(loose);
	memcpy(loose, text.data, text.len - 1);
	memcpy(loose + text.len - 1, " }", 2);
	assert_false(is_taken(span_of(loose, text.len + 1)));
	one_line_init(&other);
	slow = one_line(&other, RAW_FLY_JSON, span_of(loose, text.len + 1));
	assert_true(fast.decoded && slow->decoded);
	assert_equal(fast.app, slow->app);
	assert_equal(fast.region, slow->region);
	assert_equal(fast.machine_id, slow->machine_id);
	assert_equal(fast.host, slow->host);
	assert_equal(fast.provider, slow->provider);
	assert_equal(fast.level, slow->level);
	assert_equal(fast.message, slow->message);
	assert_equal(fast.raw, slow->raw);
	assert_true(fast.occurred_ns == slow->occurred_ns);
	assert_true(fast.exact_time && slow->exact_time);
	assert_int_equal(fast.attr_count, slow->attr_count);
	one_line_release(&other);
	free(loose);
}

static void a_line_of_the_api_is_taken_with_its_keys_in_any_order(void **state)
{
	const struct span lines[] = {
		SPAN("{" BEFORE_META META "}"),
		SPAN("{" REGION "," MACHINE "," META "," LEVEL "," MESSAGE "," TIME "}"),
		SPAN("{" BEFORE_META "\"meta\":{" EVENT "," REGION "," MACHINE "}}"),
		SPAN("{" BEFORE_META "\"meta\":{" EVENT "}}"),
		SPAN("{" BEFORE_META "\"meta\":{\"url\":null," EVENT ",\"http\":null,"
		     "\"error\":null}}"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		const struct record *r;

		assert_true(is_taken(lines[i]));
		r = one_line(&line, RAW_FLY_JSON, lines[i]);
		assert_true(r->decoded && r->exact_time);
		assert_equal(r->app, SPAN("given-app"));
		assert_equal(r->region, SPAN("ams"));
		assert_equal(r->machine_id, SPAN("286d097b71e118"));
		assert_equal(r->provider, SPAN("proxy"));
		assert_equal(r->level, SPAN("error"));
		assert_equal(r->message, SPAN("\x1b[32m INFO\x1b[0m \"a\\"));
		assert_true(r->occurred_ns == INT64_C(1777845857809965798));
		assert_int_equal(r->attr_count, 0);
		assert_both_ways_alike(lines[i]);
	}
}

static void messages_of_any_bytes_are_read_as_the_parser_reads_them(void **state)
{
#define AROUND(message) \
	SPAN("{" TIME "," LEVEL "," MACHINE "," REGION ",\"message\":\"" message "\"," META "}")
	const struct span lines[] = {
		AROUND(""),
		AROUND("},\\\"meta\\\":{"),
		AROUND("a\0b \xff \xe2\x82\xac"),
		AROUND("\\u0000 \\ud800 \\ud83d\\ude00 \\/ \\t"),
		AROUND("two\nlines"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		assert_true(is_taken(lines[i]));
		assert_both_ways_alike(lines[i]);
	}
#undef AROUND
}

static void whatever_else_a_line_says_is_left_to_the_parser(void **state)
{
	const struct span lines[] = {
		SPAN(""),
		SPAN("{"),
		SPAN("{}"),
		SPAN("{" BEFORE_META META "} "),
		SPAN("{" BEFORE_META META ",}"),
		SPAN("{" BEFORE_META META),
		SPAN("{" BEFORE_META "\"meta\":{" EVENT "}"),
		SPAN("{" BEFORE_META "\"meta\":{}}"),
		/* something is twice, or not at all */
		SPAN("{" BEFORE_META LEVEL "," META "}"),
		SPAN("{" BEFORE_META META "," META "}"),
		SPAN("{" BEFORE_META "\"meta\":{" EVENT "," EVENT "}}"),
		SPAN("{" BEFORE_META
		     "\"meta\":{\"event\":{\"provider\":\"a\",\"provider\":\"b\"}}}"),
		SPAN("{" TIME "," LEVEL "," MACHINE "," REGION "," META "}"),
		SPAN("{" MESSAGE "," LEVEL "," MACHINE "," REGION "," META "}"),
		/* there is more to it */
		SPAN("{" BEFORE_META "\"x\":1," META "}"),
		SPAN("{" BEFORE_META "\"meta\":{\"error\":{\"code\":1}," EVENT "}}"),
		SPAN("{" BEFORE_META "\"meta\":{" EVENT "},\"http\":null}"),
		SPAN("{" BEFORE_META "\"meta\":{\"event\":{\"provider\":\"a\",\"x\":\"b\"}}}"),
		/* meta says something else, or says it first */
		SPAN("{" BEFORE_META "\"meta\":{\"region\":\"lhr\"," EVENT "}}"),
		SPAN("{" META "," TIME "," MESSAGE "," LEVEL "," MACHINE "," REGION "}"),
		/* a field that has to be looked at closely */
		SPAN("{" TIME "," MESSAGE ",\"level\":\"\\u0061\"," MACHINE "," REGION "," META
		     "}"),
		SPAN("{" TIME "," MESSAGE ",\"level\":null," MACHINE "," REGION "," META "}"),
		SPAN("{" TIME ",\"message\":\"\\x\"," LEVEL "," MACHINE "," REGION "," META "}"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_false(is_taken(lines[i]));
}

static void a_line_that_was_cut_anywhere_is_not_taken(void **state)
{
	const struct span whole = SPAN("{" BEFORE_META META "}");

	(void)state;
	for (size_t len = 0; len < whole.len; len++)
		assert_false(is_taken(span_of(whole.data, len)));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, one_line_set_up, one_line_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_line_of_the_api_is_taken_with_its_keys_in_any_order),
		TEST(messages_of_any_bytes_are_read_as_the_parser_reads_them),
		TEST(whatever_else_a_line_says_is_left_to_the_parser),
		TEST(a_line_that_was_cut_anywhere_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
