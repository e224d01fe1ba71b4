#include "stage/escape.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ARENA_BYTES_MAX = 1024 * 1024, TEXT_BYTES_MAX = 64 };

static void a_text_ends_at_the_first_quote_that_is_not_escaped(void **state)
{
	static const struct {
		const char *text;
		size_t len; /* TEXT_BYTES_MAX: it has no end, or a bad escape */
		bool has_escapes;
	} cases[] = {
		{"\"", 0, false},
		{"a\"b\"", 1, false},
		{"\\\"\"", 2, true},
		{"\\\\\"\"", 2, true},
		{"a\\\"b\\\\\\\"c\"", 9, true},
		{"a\\\"\\\"\\\"\"", 7, true},
		{"a\"\\x", 1, false},
		{"\\ud83d\\ude00\"", 12, true},
		{"", TEXT_BYTES_MAX, false},
		{"a", TEXT_BYTES_MAX, false},
		{"a\\", TEXT_BYTES_MAX, false},
		{"a\\\"", TEXT_BYTES_MAX, false},
		{"\\x\"", TEXT_BYTES_MAX, false},
		{"\\u12\"", TEXT_BYTES_MAX, false},
		{"\\u12g4\"", TEXT_BYTES_MAX, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = TEXT_BYTES_MAX;
		bool has_escapes = false;
		bool ends = escape_text_end(span_text(cases[i].text), &len, &has_escapes);

		assert_int_equal(ends, cases[i].len != TEXT_BYTES_MAX);
		assert_int_equal(len, cases[i].len);
		assert_int_equal(has_escapes, cases[i].has_escapes);
	}
}

static void undoing_writes_what_each_escape_says(void **state)
{
	static const struct {
		const char *text;
		struct span undone;
	} cases[] = {
		{"", {"", 0}},
		{"plain", {"plain", 5}},
		{"\\n", {"\n", 1}},
		{"a\\tb\\\\\\/c\\\"", {"a\tb\\/c\"", 7}},
		{"\\b\\f\\r", {"\b\f\r", 3}},
		{"\\u0000", {"\0", 1}},
		{"\\u00E9\\u20ac", {"\xc3\xa9\xe2\x82\xac", 5}},
		{"x\\ud83d\\ude00y", {"x\xf0\x9f\x98\x80y", 6}},
		{"\\ud83dz", {"\xed\xa0\xbdz", 4}},
		{"\\ud83d\\u0041",
		 {"\xed\xa0\xbd"
		  "A",
		  4}},
		{"\\ude00\\ud83d", {"\xed\xb8\x80\xed\xa0\xbd", 6}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[TEXT_BYTES_MAX];
		size_t len = strlen(cases[i].text);

		memcpy(text, cases[i].text, len);
		assert_int_equal(escape_undo(text, len), cases[i].undone.len);
		assert_memory_equal(text, cases[i].undone.data, cases[i].undone.len);
	}
}

static void stand_ins_give_back_what_came(void **state)
{
	struct span line = SPAN("\\u0000 \\\\u0000 \xff\x02 \xff \\ud800 \\ud83d\\ude00 \\n");
	struct span bytes = SPAN("a\0\xff\x01\xff");
	struct arena arena;
	struct span s;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	s = escape_protect(&arena, line);
	assert_true(span_equal(s, SPAN("\xff\x02 \\\\u0000 \xff\x01\x02 \xff\x01 \xed\xa0\x80 "
				       "\\ud83d\\ude00 \\n")));
	assert_true(span_equal(escape_restore(&arena, escape_protect(&arena, bytes)), bytes));
	s = escape_protect(&arena, SPAN("nothing of the kind"));
	assert_true(span_is(s, "nothing of the kind"));
	arena_release(&arena);
}

static void without_memory_there_is_no_text(void **state)
{
	struct arena arena;

	(void)state;
	arena_init(&arena, 1);
	assert_null(escape_protect(&arena, SPAN("\\n\\n\\n\\n\\n\\n")).data);
	assert_null(escape_restore(&arena, SPAN("a text of more than eight")).data);
	arena_release(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_text_ends_at_the_first_quote_that_is_not_escaped),
		cmocka_unit_test(undoing_writes_what_each_escape_says),
		cmocka_unit_test(stand_ins_give_back_what_came),
		cmocka_unit_test(without_memory_there_is_no_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
