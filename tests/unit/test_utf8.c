#include "base/utf8.h"
#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* RFC 3629 said the long way round: what encoding a code point gives, and nothing else. */
static size_t encode(uint32_t c, unsigned char bytes[4])
{
	if (c < 0x80) {
		bytes[0] = (unsigned char)c;
		return 1;
	}
	if (c < 0x800) {
		bytes[0] = (unsigned char)(0xc0 | c >> 6);
		bytes[1] = (unsigned char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		bytes[0] = (unsigned char)(0xe0 | c >> 12);
		bytes[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
		bytes[2] = (unsigned char)(0x80 | (c & 0x3f));
		return 3;
	}
	bytes[0] = (unsigned char)(0xf0 | c >> 18);
	bytes[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
	bytes[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
	bytes[3] = (unsigned char)(0x80 | (c & 0x3f));
	return 4;
}

static void every_code_point_but_surrogates_is_a_character(void **state)
{
	unsigned char bytes[4];

	(void)state;
	for (uint32_t c = 0; c <= 0x10ffff; c++) {
		size_t len = encode(c, bytes);
		bool surrogate = c >= 0xd800 && c <= 0xdfff;

		assert_int_equal(utf8_char(span_of(bytes, len)), surrogate ? 0 : len);
		assert_int_equal(utf8_char(span_of(bytes, len - 1)), 0);
	}
	assert_int_equal(utf8_char(span_of(bytes, encode(0x110000, bytes))), 0);
}

static void no_other_bytes_are(void **state)
{
	static const char *const cases[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xe0\x80\x80",
		"\xe0\x9f\xbf",
		"\xf0\x80\x80\x80",
		"\xf0\x8f\xbf\xbf",
		"\xf5\x80\x80\x80",
		"\xff",
		"\xfe",
		"\xc3(",
		"\xe2\x28\xa1",
		"\xe2\x82(",
		"\xf0\x90\x8c(",
		"\xf0(\x8c\xbc",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(utf8_char(span_text(cases[i])), 0);
		assert_false(utf8_is_text(span_text(cases[i])));
	}
}

static void a_text_is_one_when_all_of_it_is(void **state)
{
	char text[64];

	(void)state;
	assert_true(utf8_is_text(SPAN("")));
	assert_true(utf8_is_text(
		SPAN("plain \x01\x7f and \xc3\xa9 \xf0\x9f\x99\x82 long enough for words")));
	for (size_t at = 0; at < sizeof(text); at++) {
		memset(text, 'x', sizeof(text));
		assert_true(utf8_is_text(span_of(text, sizeof(text))));
		text[at] = '\xff';
		assert_false(utf8_is_text(span_of(text, sizeof(text))));
		text[at] = '\0';
		assert_false(utf8_is_text(span_of(text, sizeof(text))));
	}
}

static void a_cut_splits_no_character(void **state)
{
	struct span text = SPAN("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82z");

	(void)state;
	for (size_t max = 0; max <= text.len + 1; max++) {
		struct span cut = utf8_cut(text, max);

		assert_true(cut.len <= max && cut.len + 3 >= (max < text.len ? max : text.len));
		assert_true(utf8_is_text(cut));
	}
	assert_int_equal(utf8_cut(text, text.len).len, text.len);
	assert_int_equal(utf8_cut(SPAN("\x80\x80\x80\x80\x80\x80"), 5).len, 2);
}

static void what_a_cut_left_of_a_character_goes(void **state)
{
	static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82z";
	static const size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		char cut[sizeof(text)] = "";

		memcpy(cut, text, len);
		utf8_end(cut);
		assert_int_equal(strlen(cut), whole[len]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_point_but_surrogates_is_a_character),
		cmocka_unit_test(no_other_bytes_are),
		cmocka_unit_test(a_text_is_one_when_all_of_it_is),
		cmocka_unit_test(a_cut_splits_no_character),
		cmocka_unit_test(what_a_cut_left_of_a_character_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
