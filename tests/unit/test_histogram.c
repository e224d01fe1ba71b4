/* A histogram counts each time once, in the bucket whose bound it does not pass. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/histogram.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 20000 };

static void an_empty_one_is_all_zeros(void **state)
{
	struct histogram h = {0};
	struct histogram_reading got;

	(void)state;
	histogram_read(&h, &got);
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++)
		assert_int_equal(got.up_to[i], 0);
	assert_int_equal(got.count, 0);
	assert_int_equal(got.sum_ns, 0);
}

static void the_bounds_rise(void **state)
{
	(void)state;
	assert_true(histogram_bounds_ns[0] > 0);
	for (size_t i = 1; i < HISTOGRAM_BOUNDS; i++)
		assert_true(histogram_bounds_ns[i - 1] < histogram_bounds_ns[i]);
}

static void a_bound_belongs_to_its_own_bucket_and_what_is_beyond_to_the_next(void **state)
{
	(void)state;
	for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
		struct histogram h = {0};
		struct histogram_reading got;

		histogram_add(&h, histogram_bounds_ns[i]);
		histogram_add(&h, histogram_bounds_ns[i] + 1);
		histogram_read(&h, &got);
		for (size_t j = 0; j < HISTOGRAM_BOUNDS; j++)
			assert_int_equal(got.up_to[j], j < i ? 0 : j == i ? 1 : 2);
		assert_int_equal(got.count, 2);
		assert_int_equal(got.sum_ns, 2 * histogram_bounds_ns[i] + 1);
	}
}

static void what_is_beyond_all_bounds_counts_in_the_count_alone(void **state)
{
	struct histogram h = {0};
	struct histogram_reading got;

	(void)state;
	histogram_add(&h, INT64_MAX);
	histogram_read(&h, &got);
	assert_int_equal(got.up_to[HISTOGRAM_BOUNDS - 1], 0);
	assert_int_equal(got.count, 1);
	assert_true(got.sum_ns == INT64_MAX);
}

static void a_time_below_zero_is_zero(void **state)
{
	struct histogram h = {0};
	struct histogram_reading got;

	(void)state;
	histogram_add(&h, -5);
	histogram_read(&h, &got);
	assert_int_equal(got.up_to[0], 1);
	assert_int_equal(got.sum_ns, 0);
}

static void *add_many(void *arg)
{
	for (int64_t i = 0; i < ROUNDS; i++)
		histogram_add(arg, i * NS_PER_MS);
	return NULL;
}

static void no_addition_is_lost_between_threads_and_no_reading_falls(void **state)
{
	struct histogram h = {0};
	struct histogram_reading got = {.count = 0};
	pthread_t threads[THREADS];
	uint64_t before = 0;

	(void)state;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, &h), 0);
	while (got.count < ROUNDS) {
		histogram_read(&h, &got);
		assert_true(got.count >= before);
		for (size_t i = 1; i < HISTOGRAM_BOUNDS; i++)
			assert_true(got.up_to[i - 1] <= got.up_to[i]);
		assert_true(got.up_to[HISTOGRAM_BOUNDS - 1] <= got.count);
		before = got.count;
	}
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	histogram_read(&h, &got);
	assert_int_equal(got.count, THREADS * ROUNDS);
	assert_true(got.sum_ns == (uint64_t)THREADS * ROUNDS * (ROUNDS - 1) / 2 * NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_is_all_zeros),
		cmocka_unit_test(the_bounds_rise),
		cmocka_unit_test(a_bound_belongs_to_its_own_bucket_and_what_is_beyond_to_the_next),
		cmocka_unit_test(what_is_beyond_all_bounds_counts_in_the_count_alone),
		cmocka_unit_test(a_time_below_zero_is_zero),
		cmocka_unit_test(no_addition_is_lost_between_threads_and_no_reading_falls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
