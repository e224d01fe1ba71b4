/* When a batch is doubted. What is tried then is seen in tests/integration/test_refusals.py. */

#include "run/refusal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_batch_that_is_refused_again_and_again_is_doubted(void **state)
{
	struct refusal r = {.count = 0};

	(void)state;
	for (unsigned i = 0; i < REFUSAL_ATTEMPTS; i++) {
		assert_false(refusal_doubts(&r, 100));
		refusal_note(&r, 100, true);
	}
	assert_true(refusal_doubts(&r, 100));
	assert_false(refusal_doubts(&r, 200));
	refusal_moved(&r, 150, false);
	assert_true(refusal_doubts(&r, 150));
	refusal_moved(&r, 200, true);
	assert_false(refusal_doubts(&r, 200));
}

static void only_refusals_in_a_row_count(void **state)
{
	struct refusal r = {.count = 0};

	(void)state;
	for (unsigned i = 0; i < 10 * REFUSAL_ATTEMPTS; i++)
		refusal_note(&r, 100, i % REFUSAL_ATTEMPTS != 0);
	assert_false(refusal_doubts(&r, 100));
	for (unsigned i = 0; i < 10 * REFUSAL_ATTEMPTS; i++) /* of another batch each */
		refusal_note(&r, i, true);
	assert_false(refusal_doubts(&r, 10 * REFUSAL_ATTEMPTS - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_that_is_refused_again_and_again_is_doubted),
		cmocka_unit_test(only_refusals_in_a_row_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
