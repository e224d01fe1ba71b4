/* Every word is found wherever it stands, and nothing else is. */

#include "stage/prefilter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct prefilter_word words[] = {
	{{"key", 3}, true, 0}, {{"keyring", 7}, true, 1}, {{"eyJ", 3}, false, 2},
	{{"://", 3}, true, 3}, {{"://", 3}, true, 4},     {{"authorization", 13}, true, 5},
};

static struct prefilter prefilter;

static int set_up(void **state)
{
	(void)state;
	prefilter_init(&prefilter, words, ARRAY_LEN(words));
	return 0;
}

/* What is found in a text, as "owner@pos" one after another. */
static void assert_found(const char *text, const char *expected)
{
	struct prefilter_place place = {0};
	char found[128] = "";
	size_t len = 0;

	while (prefilter_find(&prefilter, span_text(text), &place)) {
		found[len++] = (char)('0' + place.word->owner);
		found[len++] = '@';
		found[len++] = (char)('a' + place.pos);
		assert_true(len < sizeof(found) - 3);
	}
	assert_string_equal(found, expected);
}

static void words_are_found_at_every_place(void **state)
{
	(void)state;
	assert_found("key", "0@a");
	assert_found("a key", "0@c");
	assert_found("a keykey b", "0@c0@f");
	assert_found("x eyJ", "2@c");
}

static void case_matters_only_where_it_should(void **state)
{
	(void)state;
	assert_found("KEY kEy", "0@a0@e");
	assert_found("EYJ eyj", "");
	assert_found("AUTHORIZATION", "5@a");
}

static void all_words_at_one_place_are_found(void **state)
{
	(void)state;
	assert_found("://", "3@a4@a");
	assert_found("keyring", "0@a1@a");
}

static void what_only_begins_like_a_word_is_none(void **state)
{
	(void)state;
	assert_found("", "");
	assert_found("k", "");
	assert_found("ke", "");
	assert_found("authorizatio", "");
	assert_found(":/ /:/", "");
	/* '_' and DEL fold together, as the two cases of a letter do. */
	assert_found(":\x0f/", "");
}

/* Long texts are looked at in windows, and the last one reaches back: no place may fall between. */
static void a_word_is_found_at_every_place_of_every_length(void **state)
{
	enum { LEN_MAX = 70 };
	char text[LEN_MAX];

	(void)state;
	for (size_t len = 3; len <= LEN_MAX; len++) {
		for (size_t at = 0; at + 3 <= len; at++) {
			struct prefilter_place place = {0};

			memset(text, 'e', len); /* what a word begins with, everywhere */
			memcpy(text + at, "eyJ", 3);
			assert_true(prefilter_find(&prefilter, span_of(text, len), &place));
			assert_int_equal(place.pos, at);
			assert_int_equal(place.word->owner, 2);
			assert_false(prefilter_find(&prefilter, span_of(text, len), &place));
		}
	}
}

static void no_byte_behind_the_text_is_taken_for_it(void **state)
{
	static const char text[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxkey";

	(void)state;
	for (size_t len = 0; len + 1 < sizeof(text); len++) {
		struct prefilter_place place = {0};
		/* A copy of its own, whose end a sanitizer knows. */
		char *copy = malloc(len + 1);

		assert_non_null(copy);
		memcpy(copy, text, len);
		assert_false(prefilter_find(&prefilter, span_of(copy, len), &place));
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_found_at_every_place),
		cmocka_unit_test(case_matters_only_where_it_should),
		cmocka_unit_test(all_words_at_one_place_are_found),
		cmocka_unit_test(what_only_begins_like_a_word_is_none),
		cmocka_unit_test(a_word_is_found_at_every_place_of_every_length),
		cmocka_unit_test(no_byte_behind_the_text_is_taken_for_it),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
