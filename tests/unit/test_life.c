#include "base/time.h"
#include "panics.h"
#include "run/life.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct life life;

static int make(void **state)
{
	struct err err;

	(void)state;
	return life_init(&life, &err) ? -1 : 0;
}

static int release(void **state)
{
	(void)state;
	life_release(&life);
	return 0;
}

static bool main_is_woken(void)
{
	struct pollfd fd = {.fd = life.wake_fd, .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void the_first_failure_counts(void **state)
{
	struct err first, second, got = {.kind = ERR_NONE};

	(void)state;
	err_set(&first, ERR_FATAL, "the first");
	err_set(&second, ERR_CONFIG, "the second");
	assert_int_equal(life_failure(&life, &got), ERR_NONE);
	assert_int_equal(got.kind, ERR_NONE);
	life_fail(&life, &first);
	life_fail(&life, &second);
	assert_int_equal(life_failure(&life, &got), ERR_FATAL);
	assert_string_equal(got.text, "the first");
	assert_true(main_is_woken());
}

static void go_back(void)
{
	life_advance(&life, LIFE_DRAINING);
	life_advance(&life, LIFE_RUNNING);
}

static void stand_still(void)
{
	life_advance(&life, LIFE_RUNNING);
	life_advance(&life, LIFE_RUNNING);
}

static void life_only_goes_forward(void **state)
{
	(void)state;
	assert_int_equal(life_state(&life), LIFE_INIT);
	assert_true(panics(go_back));
	assert_true(panics(stand_still));
	life_advance(&life, LIFE_RUNNING);
	assert_int_equal(life_state(&life), LIFE_RUNNING);
	life_advance(&life, LIFE_STOPPED);
	assert_int_equal(life_state(&life), LIFE_STOPPED);
}

static void *advance(void *arg)
{
	(void)arg;
	life_advance(&life, LIFE_DRAINING);
	return NULL;
}

static void *cut(void *arg)
{
	(void)arg;
	life_cut(&life);
	return NULL;
}

/* How long a wait of a minute takes when another thread does body. */
static int64_t wait_while(void *(*body)(void *))
{
	int64_t start_ns = time_monotonic_ns();
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, body, NULL), 0);
	while (life_state(&life) == LIFE_RUNNING && !atomic_load(&life.cut))
		life_wait(&life, 60 * NS_PER_S);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return time_monotonic_ns() - start_ns;
}

static void a_wait_ends_when_the_state_changes(void **state)
{
	(void)state;
	life_advance(&life, LIFE_RUNNING);
	assert_true(wait_while(advance) < 30 * NS_PER_S);
}

static void a_wait_ends_at_the_cut_and_none_begins_after_it(void **state)
{
	int64_t start_ns;

	(void)state;
	life_advance(&life, LIFE_RUNNING);
	assert_true(wait_while(cut) < 30 * NS_PER_S);
	start_ns = time_monotonic_ns();
	life_wait(&life, 60 * NS_PER_S);
	assert_true(time_monotonic_ns() - start_ns < 30 * NS_PER_S);
	assert_true(main_is_woken());
}

static void a_wait_ends_by_itself(void **state)
{
	int64_t start_ns = time_monotonic_ns();

	(void)state;
	life_wait(&life, 20 * NS_PER_MS);
	assert_true(time_monotonic_ns() - start_ns >= 20 * NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_failure_counts, make, release),
		cmocka_unit_test_setup_teardown(life_only_goes_forward, make, release),
		cmocka_unit_test_setup_teardown(a_wait_ends_when_the_state_changes, make, release),
		cmocka_unit_test_setup_teardown(a_wait_ends_at_the_cut_and_none_begins_after_it,
						make, release),
		cmocka_unit_test_setup_teardown(a_wait_ends_by_itself, make, release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
