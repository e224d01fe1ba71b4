/* Who has the whole token is admitted, and nobody else. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "serve/token.h"

#define TOKEN "made-up-token"

static void without_a_token_everybody_is_admitted(void **state)
{
	(void)state;
	assert_true(token_admits("", NULL));
	assert_true(token_admits("", "Bearer whatever"));
}

static void the_token_is_admitted_whatever_the_case_of_its_scheme(void **state)
{
	(void)state;
	assert_true(token_admits(TOKEN, "Bearer " TOKEN));
	assert_true(token_admits(TOKEN, "bearer " TOKEN));
}

static void anything_else_is_not(void **state)
{
	static const char *const headers[] = {
		"",
		TOKEN,
		"Bearer",
		"Bearer ",
		"Bearer made-up-toke",
		"Bearer made-up-tokenn",
		"Bearer Made-up-token",
		"Bearer made-up-tokem",
		"Bearer  " TOKEN,
		"Bearer " TOKEN " ",
		"Bearer " TOKEN TOKEN,
		"Basic " TOKEN,
		"Bearer\t" TOKEN,
	};

	(void)state;
	assert_false(token_admits(TOKEN, NULL));
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		if (token_admits(TOKEN, headers[i]))
			fail_msg("%s", headers[i]);
	assert_false(token_admits("aaaa", "Bearer a"));
	assert_false(token_admits("a", "Bearer aaaa"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_token_everybody_is_admitted),
		cmocka_unit_test(the_token_is_admitted_whatever_the_case_of_its_scheme),
		cmocka_unit_test(anything_else_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
