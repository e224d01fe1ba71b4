#include "base/err.h"
#include "base/utf8.h"
#include "panics.h"

#include <errno.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void setting_returns_the_kind_and_keeps_one_line(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(err_set(&err, ERR_FULL, "%d of %s", 3, "four"), ERR_FULL);
	assert_int_equal(err.kind, ERR_FULL);
	assert_string_equal(err.text, "3 of four");
}

static void errno_is_told_in_words_and_survives(void **state)
{
	struct err err;

	(void)state;
	errno = ENOENT;
	assert_int_equal(err_errno(&err, ERR_CONFIG, "open %s", "x"), ERR_CONFIG);
	assert_string_equal(err.text, "open x: No such file or directory");
}

static void wrapping_puts_the_context_in_front(void **state)
{
	struct err err;

	(void)state;
	(void)err_set(&err, ERR_RETRY, "inner");
	assert_int_equal(err_wrap(&err, "outer %d", 1), ERR_RETRY);
	assert_string_equal(err.text, "outer 1: inner");
}

static void a_long_text_is_cut(void **state)
{
	char text[2 * ERR_TEXT_BYTES];
	struct err err;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)err_set(&err, ERR_RETRY, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
	(void)err_wrap(&err, "%s", text);
	(void)err_errno(&err, ERR_RETRY, "%s", text);
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
}

static void a_cut_splits_no_character(void **state)
{
	char text[2 * ERR_TEXT_BYTES + 1];
	struct err err;

	(void)state;
	for (size_t i = 0; i < ERR_TEXT_BYTES; i++)
		memcpy(text + 2 * i, "\xc3\xa9", 2);
	text[sizeof(text) - 1] = '\0';
	for (int wide = 0; wide < 2; wide++) {
		(void)err_set(&err, ERR_RETRY, "%*s%s", wide, "", text);
		assert_true(utf8_is_text(span_text(err.text)));
		(void)err_wrap(&err, "%*s", wide, "");
		assert_true(utf8_is_text(span_text(err.text)));
		(void)err_errno(&err, ERR_RETRY, "%*s%s", wide, "", text);
		assert_true(utf8_is_text(span_text(err.text)));
	}
}

static void break_a_promise(void)
{
	REQUIRE(errno == -1);
}

static void a_broken_promise_ends_the_process(void **state)
{
	(void)state;
	assert_true(panics(break_a_promise));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(setting_returns_the_kind_and_keeps_one_line),
		cmocka_unit_test(errno_is_told_in_words_and_survives),
		cmocka_unit_test(wrapping_puts_the_context_in_front),
		cmocka_unit_test(a_long_text_is_cut),
		cmocka_unit_test(a_cut_splits_no_character),
		cmocka_unit_test(a_broken_promise_ends_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
