#include "base/backoff.h"

#include "base/time.h"
#include "base/util.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

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

static void on_alarm(int signal)
{
	(void)signal;
}

static void a_signal_does_not_end_a_wait(void **state)
{
	const struct itimerval often = {.it_interval = {.tv_usec = 50000},
					.it_value = {.tv_usec = 50000}};
	struct sigaction action = {.sa_handler = on_alarm};
	int64_t start_ns;

	(void)state;
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	start_ns = time_monotonic_ns();
	backoff_wait(1, 0);
	assert_true(time_monotonic_ns() - start_ns >= BACKOFF_MS_MIN / 2 * NS_PER_MS);
	start_ns = time_monotonic_ns();
	backoff_wait(1, 2);
	assert_true(time_monotonic_ns() - start_ns >= 2 * NS_PER_S);
	assert_int_equal(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_double_up_to_a_minute_and_differ),
		cmocka_unit_test(the_systems_randomness_makes_waits_differ),
		cmocka_unit_test(a_signal_does_not_end_a_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
