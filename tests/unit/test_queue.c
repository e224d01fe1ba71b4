#include "base/queue.h"
#include "base/time.h"
#include "fault.h"
#include "panics.h"

#include <pthread.h>
#include <stdatomic.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SLOTS = 4, THREADS = 3, ITEMS = 20000 };

static struct queue *make(void)
{
	struct queue *q = NULL;
	struct err err;

	assert_int_equal(queue_new(&q, SLOTS, &err), ERR_NONE);
	return q;
}

static void what_goes_in_first_comes_out_first(void **state)
{
	struct queue *q = make();
	int own[SLOTS];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < SLOTS; i++)
			assert_true(queue_put(q, &own[i]));
		for (int i = 0; i < SLOTS; i++)
			assert_ptr_equal(queue_get(q, 0), &own[i]);
		assert_true(queue_put(q, &own[0]));
		assert_ptr_equal(queue_get(q, -1), &own[0]);
	}
	queue_free(q);
}

static void getting_from_an_empty_queue_ends_at_the_time_limit(void **state)
{
	struct queue *q = make();
	int64_t before_ns = time_monotonic_ns();

	(void)state;
	assert_null(queue_get(q, 0));
	assert_null(queue_get(q, 15 * NS_PER_MS));
	assert_true(time_monotonic_ns() - before_ns >= 15 * NS_PER_MS);
	queue_free(q);
}

static void a_closed_queue_takes_nothing_and_is_drained(void **state)
{
	struct queue *q = make();
	int item;

	(void)state;
	assert_true(queue_put(q, &item));
	assert_false(queue_is_closed(q));
	queue_close(q);
	queue_close(q);
	assert_true(queue_is_closed(q));
	assert_false(queue_put(q, &item));
	assert_ptr_equal(queue_get(q, -1), &item);
	assert_null(queue_get(q, -1));
	assert_null(queue_get(q, INT64_MAX));
	queue_free(q);
}

static void *put_until_refused(void *arg)
{
	static int item;

	while (queue_put(arg, &item))
		;
	return NULL;
}

static void *get_until_drained(void *arg)
{
	while (queue_get(arg, -1))
		;
	return NULL;
}

static void closing_wakes_everybody(void **state)
{
	struct queue *full = make();
	struct queue *empty = make();
	pthread_t putter, getter;

	(void)state;
	assert_int_equal(pthread_create(&putter, NULL, put_until_refused, full), 0);
	assert_int_equal(pthread_create(&getter, NULL, get_until_drained, empty), 0);
	queue_close(full);
	queue_close(empty);
	assert_int_equal(pthread_join(putter, NULL), 0);
	assert_int_equal(pthread_join(getter, NULL), 0);
	(void)get_until_drained(full);
	queue_free(full);
	queue_free(empty);
}

struct item {
	_Atomic unsigned seen;
};

static struct item items[ITEMS];

static void *put_all(void *arg)
{
	for (size_t i = 0; i < ITEMS; i++)
		REQUIRE(queue_put(arg, &items[i]));
	return NULL;
}

static void *mark_all(void *arg)
{
	struct item *item;

	while ((item = queue_get(arg, 100 * NS_PER_S)) != NULL)
		item->seen++;
	return NULL;
}

static void many_threads_lose_and_double_nothing(void **state)
{
	pthread_t putters[THREADS], getters[THREADS];
	struct queue *q = make();

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&putters[i], NULL, put_all, q), 0);
		assert_int_equal(pthread_create(&getters[i], NULL, mark_all, q), 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(putters[i], NULL), 0);
	queue_close(q);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(getters[i], NULL), 0);
	for (size_t i = 0; i < ITEMS; i++)
		assert_int_equal(items[i].seen, THREADS);
	queue_free(q);
}

static void free_with_an_item_inside(void)
{
	struct queue *q = NULL;
	struct err err;
	int item;

	REQUIRE(queue_new(&q, 1, &err) == ERR_NONE);
	REQUIRE(queue_put(q, &item));
	queue_free(q);
}

static void an_item_may_not_be_left_behind(void **state)
{
	(void)state;
	assert_true(panics(free_with_an_item_inside));
}

static void new_under_faults(void *arg)
{
	struct queue *q = NULL;
	struct err err;
	enum err_kind rc = queue_new(&q, SLOTS, &err);

	(void)arg;
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
	assert_true((rc == ERR_NONE) == (q != NULL));
	queue_free(q);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	(void)state;
	fault_everywhere(new_under_faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_item_may_not_be_left_behind),
		cmocka_unit_test(what_goes_in_first_comes_out_first),
		cmocka_unit_test(getting_from_an_empty_queue_ends_at_the_time_limit),
		cmocka_unit_test(a_closed_queue_takes_nothing_and_is_drained),
		cmocka_unit_test(closing_wakes_everybody),
		cmocka_unit_test(many_threads_lose_and_double_nothing),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
