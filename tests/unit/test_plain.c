/* The plain form reads as a person reads it, and each of its bytes knows where it came from. */

#include "stage/plain.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FORM_BYTES_MAX = 4096 };

static void assert_form(unsigned depth, const char *text, const char *expected)
{
	struct buf out;

	buf_init(&out, FORM_BYTES_MAX);
	plain_write(span_text(text), depth, &out);
	if (!span_is(span_of(out.data, out.len), expected))
		fail_msg("%s reads %.*s, not %s", text, (int)out.len, (char *)out.data, expected);
	buf_release(&out);
}

static void assert_plain(const char *text, const char *expected)
{
	assert_form(0, text, expected);
}

static void colours_are_left_out(void **state)
{
	(void)state;
	assert_plain("a\x1b[0mb", "ab");
	assert_plain("a\x1b[1;38;5;208mb", "ab");
	assert_plain("a\x1b[Kb\x1b[2Jc", "abc");
	assert_plain("a\\u001b[0mb\\x1b[0mc\\033[0md\\e[0me", "abcde");
	assert_plain("a\\u001b\\u005b0mb", "ab");
}

static void what_stands_for_nothing_is_left_out(void **state)
{
	struct span nul = {"a\0b", 3};
	struct buf out;

	(void)state;
	assert_plain("a\xef\xbf\xbd"
		     "b\xef\xbf\xbd",
		     "ab");
	assert_plain("\xef\xbf\xbc", "\xef\xbf\xbc");
	assert_plain("a\\ufffdb\\uFFFDc\\ud800d\\\\uDFFFe", "abcde");
	assert_plain("\\ud7ff\\ufffc\\udx00\\ud80", "\\ud7ff\\ufffc\\udx00\\ud80");
	assert_plain("a\\u0000b\\x00c", "abc");
	buf_init(&out, FORM_BYTES_MAX);
	plain_write(nul, 0, &out);
	assert_true(span_is(span_of(out.data, out.len), "ab"));
	buf_release(&out);
	assert_true(plain_differs(nul));
	assert_true(plain_differs(SPAN("\xef\xbf\xbd")));
}

static void bytes_that_are_no_utf8_are_left_out(void **state)
{
	(void)state;
	assert_plain("a\xff"
		     "b\xc3"
		     "c\xe2\x80"
		     "d\x80"
		     "e",
		     "abcde");
	assert_plain("a\xed\xa0\x80"
		     "b\xed\xbf\xbf"
		     "c",
		     "abc");
	assert_plain("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xff",
		     "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
}

static void what_begins_no_sequence_stays(void **state)
{
	(void)state;
	assert_plain("a\x1b", "a");
	assert_plain("a\x1b[", "a[");
	assert_plain("a\x1b[0", "a[0");
	assert_plain("a\x1b[0\xc3\xa4", "a[0\xc3\xa4");
	assert_plain("\\e", "\\e");
}

static void escapes_are_undone(void **state)
{
	(void)state;
	assert_plain("fm2\\u005fx", "fm2_x");
	assert_plain("\\x41\\x7a", "Az");
	assert_plain("a\\/b\\nc\\rd\\te", "a/b\nc\rd\te");
	assert_plain("a\\\\/b\\\\\\u0041", "a/bA");
}

static void percent_encoding_is_undone(void **state)
{
	(void)state;
	assert_form(PLAIN_DEPTH_MAX, "a%3A%2f%2Fb%40c", "a://b@c");
	assert_form(PLAIN_DEPTH_MAX, "%2540 %252540 %25", "@ @ %");
	assert_form(PLAIN_DEPTH_MAX, "%0A%22%5C%7e", "\n\"\\~");
	assert_form(PLAIN_DEPTH_MAX, "a%00b%1b%5B0mc", "abc");
	assert_form(PLAIN_DEPTH_MAX, "\\u00254\\u0030%\\x34\\\\u0030", "@@");
	assert_form(PLAIN_DEPTH_MAX, "100% of 12%ab %8 %4 %", "100% of 12%ab %8 %4 %");
	assert_form(PLAIN_DEPTH_MAX, "%25ab%2", "%ab%2");
	assert_plain("%41\\u002542", "%41%42");
	assert_form(1, "%41 %2541 %252541", "A %41 %2541");
	assert_form(2, "%41 %2541 %252541", "A A %41");
}

static void a_quote_stays_escaped(void **state)
{
	(void)state;
	assert_plain("\\\"a\\\\\\\"", "\\\"a\\\\\\\"");
	assert_plain("\\u0022a", "\\\"a");
	assert_plain("\\\\\\u0022a\\u0022", "\\\\\\\"a\\\"");
}

static void what_is_no_escape_stays(void **state)
{
	(void)state;
	assert_plain("\\", "\\");
	assert_plain("\\\\", "\\\\");
	assert_plain("\\q", "\\q");
	assert_plain("\\u00", "\\u00");
	assert_plain("\\u00e9", "\\u00e9");
	assert_plain("\\u0100", "\\u0100");
	assert_plain("\\x4", "\\x4");
	assert_plain("\\x80", "\\x80");
	assert_plain("\\xgg", "\\xgg");
}

static void only_texts_with_escapes_differ(void **state)
{
	(void)state;
	assert_false(plain_differs(SPAN("")));
	assert_false(plain_differs(SPAN("a \xc3\xa4 %41")));
	assert_false(plain_has_percent(SPAN("")));
	assert_false(plain_has_percent(SPAN("a \xc3\xa4 100% %% %ff %")));
	assert_true(plain_has_percent(SPAN("a %% %41")));
	assert_true(plain_differs(SPAN("a\\")));
	assert_true(plain_differs(SPAN("a\x1b")));
}

static void each_byte_is_led_back_to_its_origin(void **state)
{
	/* 0 'a', 1..4 a colour, 5..10 'b', 11..16 an escaped quote, 17 'c' */
	struct span text = SPAN("a\x1b[0m\\u0062\\u0022c");
	static const size_t starts[] = {0, 5, 11, 11, 17};
	static const size_t ends[] = {1, 11, 17, 17, 18};
	struct plain_walk walk = {0};
	size_t start;
	size_t end;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		plain_origin(&walk, text, i, &start, &end);
		assert_int_equal(start, starts[i]);
		assert_int_equal(end, ends[i]);
	}
	plain_origin(&walk, text, ARRAY_LEN(starts), &start, &end);
	assert_int_equal(start, text.len);
	assert_int_equal(end, text.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(colours_are_left_out),
		cmocka_unit_test(what_stands_for_nothing_is_left_out),
		cmocka_unit_test(bytes_that_are_no_utf8_are_left_out),
		cmocka_unit_test(what_begins_no_sequence_stays),
		cmocka_unit_test(escapes_are_undone),
		cmocka_unit_test(percent_encoding_is_undone),
		cmocka_unit_test(a_quote_stays_escaped),
		cmocka_unit_test(what_is_no_escape_stays),
		cmocka_unit_test(only_texts_with_escapes_differ),
		cmocka_unit_test(each_byte_is_led_back_to_its_origin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
