#include "base/backoff.h"

#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void waits_double_up_to_a_minute_and_differ(void **state)
{
	static const int64_t longest_ms[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(longest_ms); i++) {
		int64_t longest = longest_ms[i];

		assert_int_equal(backoff_ms(i + 1, 0), longest / 2);
		assert_int_equal(backoff_ms(i + 1, (uint64_t)longest / 2), longest);
		for (uint64_t random = 0; random < 3000; random += 7) {
			int64_t ms = backoff_ms(i + 1, random);

			assert_true(ms >= longest / 2 && ms <= longest);
		}
	}
	assert_int_equal(backoff_ms(1000000, UINT64_MAX) <= BACKOFF_MS_MAX, 1);
	assert_true(backoff_ms(0, 0) > 0);
}

static void the_systems_randomness_makes_waits_differ(void **state)
{
	int64_t first = backoff_random_ms(7), seen = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		int64_t ms = backoff_random_ms(7);

		assert_true(ms >= BACKOFF_MS_MAX / 2 && ms <= BACKOFF_MS_MAX);
		seen += ms != first;
	}
	assert_true(seen > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_double_up_to_a_minute_and_differ),
		cmocka_unit_test(the_systems_randomness_makes_waits_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
