#include "base/json.h"
#include "base/utf8.h"
#include "fault.h"
#include "names.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { TEXT_BYTES_MAX = 1024 * 1024 };

static struct json *parse(struct span text)
{
	struct json *root = NULL;
	struct err err;

	assert_int_equal(json_parse(&root, text, &err), ERR_NONE);
	return root;
}

static void refuse(struct span text)
{
	struct json *root = NULL;
	struct err err;

	assert_int_equal(json_parse(&root, text, &err), ERR_REJECT);
	assert_null(root);
}

static void every_type_is_read(void **state)
{
	struct json *root = parse(SPAN("{\"t\":\"x\\n\",\"n\":-1.5,\"b\":true,\"f\":false,"
				       "\"z\":null,\"a\":[1,2],\"o\":{\"k\":{}}}"));
	const struct json *v;

	(void)state;
	assert_int_equal(json_type(root), JSON_OBJECT);
	assert_true(span_is(json_text(json_member(root, "t")), "x\n"));
	assert_true(json_number(json_member(root, "n")) == -1.5);
	assert_true(json_bool(json_member(root, "b")));
	assert_false(json_bool(json_member(root, "f")));
	assert_int_equal(json_type(json_member(root, "f")), JSON_BOOL);
	assert_int_equal(json_type(json_member(root, "z")), JSON_NULL);
	v = json_member(root, "a");
	assert_int_equal(json_type(v), JSON_ARRAY);
	assert_true(json_number(json_first(v)) == 1);
	assert_true(json_number(json_next(json_first(v))) == 2);
	assert_null(json_next(json_next(json_first(v))));
	assert_true(span_is(json_key(json_first(json_member(root, "o"))), "k"));
	assert_null(json_member(root, "T"));
	assert_null(json_member(v, "t"));
	assert_int_equal(json_text(v).len, 0);
	assert_true(json_number(v) == 0);
	json_free(root);
	json_free(NULL);
}

static void what_is_no_json_is_refused(void **state)
{
	static const char *const cases[] = {
		"",
		" ",
		"{",
		"}",
		"{\"a\":}",
		"{\"a\"}",
		"[1,]",
		"[1 2]",
		"{} {}",
		"{}x",
		"nul",
		"\"abc",
		"\"\\",
		"\"\\x\"",
		"\"\\u12\"",
		"[01]",
		"[1.]",
		"[.5]",
		"[-]",
		"[1e]",
		"[1e+]",
		"[--1]",
		"[+1]",
		"[1.2.3]",
		"[0x10]",
		"{1:2}",
		"{'a':1}",
		"[NaN]",
		"[1234567890123456789012.]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		refuse(span_text(cases[i]));
	refuse(SPAN("{\"a\":\"b\0c\"}"));
	refuse(SPAN("{}\0"));
}

static void depth_is_bounded(void **state)
{
	char text[2 * (JSON_DEPTH_MAX + 1)];

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	json_free(parse(span_of(text + 1, sizeof(text) - 2)));
	refuse(span_of(text, sizeof(text)));
}

static void ten_thousand_levels_are_refused(void **state)
{
	static char text[20000];

	(void)state;
	memset(text, '[', sizeof(text) / 2);
	memset(text + sizeof(text) / 2, ']', sizeof(text) / 2);
	refuse(span_of(text, sizeof(text)));
}

static void the_number_of_values_is_bounded(void **state)
{
	static char text[2 * (JSON_VALUES_MAX + 2)];
	size_t len = 0;

	(void)state;
	text[len++] = '[';
	for (size_t i = 0; i < JSON_VALUES_MAX - 1; i++) {
		text[len++] = '1';
		text[len++] = ',';
	}
	text[len++] = '1';
	text[len] = ']';
	json_free(parse(span_of(text, len + 1)));
	text[len++] = ',';
	text[len++] = '1';
	text[len++] = ']';
	refuse(span_of(text, len));
}

static void a_key_twice_is_refused_however_many_there_are(void **state)
{
	struct buf b;

	(void)state;
	refuse(SPAN("{\"a\":1,\"a\":2}"));
	refuse(SPAN("{\"a\":1,\"\\u0061\":2}"));
	refuse(SPAN("[{\"x\":{\"a\":1,\"b\":1,\"a\":2}}]"));
	json_free(parse(SPAN("{\"a\":1,\"A\":{\"a\":1}}")));
	buf_init(&b, TEXT_BYTES_MAX);
	for (int i = 0; i < 40; i++)
		buf_fmt(&b, "%c\"k%d\":1", i ? ',' : '{', i);
	buf_u8(&b, '}');
	json_free(parse(span_of(b.data, b.len)));
	buf_cut(&b, b.len - 1);
	buf_str(&b, ",\"k17\":1}");
	refuse(span_of(b.data, b.len));
	buf_release(&b);
}

static void numbers_that_a_double_would_change_stay_text(void **state)
{
	static const char *const exact[] = {"0",       "-0",      "123456789012345",
					    "-1.5e10", "0.00001", "1E-250"};
	static const char *const text[] = {"1234567890123456",
					   "18446744073709551615",
					   "-9007199254740993",
					   "0.1234567890123456",
					   "1e400",
					   "1e-400",
					   "1e99999999999999999",
					   "1664310879660159411"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(exact); i++) {
		struct json *root = parse(span_text(exact[i]));

		assert_int_equal(json_type(root), JSON_NUMBER);
		json_free(root);
	}
	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		struct json *root = parse(span_text(text[i]));

		assert_int_equal(json_type(root), JSON_TEXT);
		assert_true(span_is(json_text(root), text[i]));
		json_free(root);
	}
}

static void unicode_that_no_text_can_hold_becomes_the_replacement(void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
		{"\"a\\u0000b\"", "a" UTF8_REPLACEMENT "b"},
		{"\"\\ud800\"", UTF8_REPLACEMENT},
		{"\"\\udc00x\"", UTF8_REPLACEMENT "x"},
		{"\"\\ud800\\ud83d\\ude42\"", UTF8_REPLACEMENT "\xf0\x9f\x99\x82"},
		{"\"\\uD83D\\uDE42\"", "\xf0\x9f\x99\x82"},
		{"\"\\\\u0000\"", "\\u0000"},
		{"\"\\u00e9\\/\\b\"", "\xc3\xa9/\b"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *root = parse(span_text(cases[i].json));

		assert_true(span_is(json_text(root), cases[i].text));
		json_free(root);
	}
}

static void whatever_is_written_reads_back_as_valid_text(void **state)
{
	static const struct {
		struct span text;
		const char *json;
	} cases[] = {
		{{"", 0}, "\"\""},
		{{"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
		{{"\n\r\t\x01\x7f", 5}, "\"\\n\\r\\t\\u0001\\u007f\""},
		{{"a\0b", 3}, "\"a" UTF8_REPLACEMENT "b\""},
		{{"\xc3\xa9\xff\xe2\x82", 5},
		 "\"\xc3\xa9" UTF8_REPLACEMENT UTF8_REPLACEMENT UTF8_REPLACEMENT "\""},
	};
	struct buf b;

	(void)state;
	buf_init(&b, TEXT_BYTES_MAX);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_reset(&b);
		json_write_text(&b, cases[i].text);
		assert_string_equal((char *)b.data, cases[i].json);
	}
	for (int c = 0; c < 256; c++) {
		char byte = (char)c;
		struct json *root;

		buf_reset(&b);
		json_write_text(&b, span_of(&byte, 1));
		root = parse(span_of(b.data, b.len));
		assert_true(utf8_is_text(json_text(root)));
		assert_true(c == 0 || c >= 0x80 || span_equal(json_text(root), span_of(&byte, 1)));
		json_free(root);
	}
	buf_release(&b);
}

static void keys_bring_their_commas(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, TEXT_BYTES_MAX);
	buf_u8(&b, '{');
	json_write_key(&b, "a{");
	json_write_text(&b, SPAN("{"));
	json_write_key_span(&b, SPAN("b"));
	buf_u8(&b, '{');
	json_write_key(&b, "c");
	buf_str(&b, "1}}");
	assert_string_equal((char *)b.data, "{\"a{\":\"{\",\"b\":{\"c\":1}}");
	json_free(parse(span_of(b.data, b.len)));
	buf_release(&b);
}

static void parse_under_faults(void *arg)
{
	struct json *root = NULL;
	struct err err = {0};
	enum err_kind rc;

	(void)arg;
	rc = json_parse(&root,
			SPAN("{\"a\":[1,\"x\"],\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,"
			     "\"g\":1,\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,\"m\":1,"
			     "\"n\":1,\"o\":1,\"p\":1,\"q\":1}"),
			&err);
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
	assert_true((rc == ERR_NONE) == (root != NULL));
	json_free(root);
}

static void no_memory_fault_leaks_or_passes_for_bad_json(void **state)
{
	(void)state;
	fault_everywhere(parse_under_faults, NULL);
}

static void a_time_is_a_member_with_nine_digits(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	buf_u8(&out, '{');
	json_write_time(&out, "a", 0);
	json_write_time(&out, "b", 1777846458000000001);
	buf_u8(&out, '}');
	assert_true(span_is(span_of(out.data, out.len),
			    "{\"a\":\"1970-01-01T00:00:00.000000000Z\","
			    "\"b\":\"2026-05-03T22:14:18.000000001Z\"}"));
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_time_is_a_member_with_nine_digits),
		cmocka_unit_test(every_type_is_read),
		cmocka_unit_test(what_is_no_json_is_refused),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(ten_thousand_levels_are_refused),
		cmocka_unit_test(the_number_of_values_is_bounded),
		cmocka_unit_test(a_key_twice_is_refused_however_many_there_are),
		cmocka_unit_test(numbers_that_a_double_would_change_stay_text),
		cmocka_unit_test(unicode_that_no_text_can_hold_becomes_the_replacement),
		cmocka_unit_test(whatever_is_written_reads_back_as_valid_text),
		cmocka_unit_test(keys_bring_their_commas),
		cmocka_unit_test(no_memory_fault_leaks_or_passes_for_bad_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
