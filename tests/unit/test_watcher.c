/* How long the watcher leaves Fly alone after a look. */

#include "run/watcher.h"

#include "base/time.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SECONDS = 300, PAGES = 100 };

static const int64_t pace_ns = WATCHER_PACE_MS * NS_PER_MS;

static void each_request_of_a_look_is_waited_for(void **state)
{
	(void)state;
	assert_int_equal(watcher_pace_ns(SECONDS, 1), pace_ns);
	assert_int_equal(watcher_pace_ns(SECONDS, 2), 2 * pace_ns);
	assert_int_equal(watcher_pace_ns(SECONDS, PAGES), PAGES * pace_ns);
	/* One that found nothing due, or failed before it asked. */
	assert_int_equal(watcher_pace_ns(SECONDS, 0), pace_ns);
}

static void a_short_interval_is_kept(void **state)
{
	(void)state;
	assert_int_equal(watcher_pace_ns(WATCHER_PACE_SHARE / 10, 1), NS_PER_S / 10);
	assert_int_equal(watcher_pace_ns(WATCHER_PACE_SHARE / 10, 3), 3 * NS_PER_S / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_of_a_look_is_waited_for),
		cmocka_unit_test(a_short_interval_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
