/* So many messages in any minute, and no two in one second. */
#include "run/pace.h"

#include "base/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define START (1000 * NS_PER_S)

static void the_first_waits_for_nobody_and_the_next_for_a_second(void **state)
{
	struct pace p = {.per_minute = 6};

	(void)state;
	assert_int_equal(pace_wait_ns(&p, START), 0);
	pace_note(&p, START);
	assert_int_equal(pace_wait_ns(&p, START), NS_PER_S);
	assert_int_equal(pace_wait_ns(&p, START + NS_PER_S), 0);
}

static void no_minute_has_more_than_its_number(void **state)
{
	enum { MESSAGES = 500 };

	(void)state;
	for (unsigned per_minute = 1; per_minute <= PACE_PER_MINUTE_MAX; per_minute++) {
		struct pace p = {.per_minute = per_minute};
		int64_t sent[MESSAGES], now_ns = START;

		for (size_t i = 0; i < MESSAGES; i++) {
			now_ns += pace_wait_ns(&p, now_ns) + rand() % 3 * NS_PER_MS;
			assert_int_equal(pace_wait_ns(&p, now_ns), 0);
			pace_note(&p, now_ns);
			sent[i] = now_ns;
			assert_true(i == 0 || now_ns - sent[i - 1] >= NS_PER_S);
			assert_true(i < per_minute ||
				    now_ns - sent[i - per_minute] >= 60 * NS_PER_S);
		}
		/* And not less: all of them went as fast as they may. */
		assert_true(now_ns - START <=
			    (MESSAGES / per_minute + 1) * 60 * NS_PER_S + MESSAGES * 3 * NS_PER_MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_waits_for_nobody_and_the_next_for_a_second),
		cmocka_unit_test(no_minute_has_more_than_its_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
