#include "base/lock.h"
#include "base/time.h"
#include "panics.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { THREADS = 4, ROUNDS = 20000 };

struct shared {
	struct lock lock;
	pthread_cond_t cond;
	/* guarded by lock */
	unsigned count;
	bool go;
};

static void setup(struct shared *s)
{
	*s = (struct shared){.count = 0};
	lock_init(&s->lock, LOCK_RANK_queue);
	lock_cond_init(&s->cond);
}

static void teardown(struct shared *s)
{
	MUST0(pthread_cond_destroy(&s->cond));
	lock_destroy(&s->lock);
}

static void *count_up(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		lock_take(&s->lock);
		LOCK_ASSERT_HELD(&s->lock);
		s->count++;
		lock_drop(&s->lock);
		REQUIRE(!lock_is_mine(&s->lock));
	}
	return NULL;
}

static void only_one_thread_is_inside(void **state)
{
	pthread_t threads[THREADS];
	struct shared s;

	(void)state;
	setup(&s);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, &s), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(s.count, THREADS * ROUNDS);
	teardown(&s);
}

static void *wait_for_go(void *arg)
{
	struct shared *s = arg;

	lock_take(&s->lock);
	while (!s->go)
		lock_wait(&s->lock, &s->cond);
	LOCK_ASSERT_HELD(&s->lock);
	s->count++;
	lock_drop(&s->lock);
	return NULL;
}

static void a_wait_ends_with_the_signal_and_the_lock(void **state)
{
	struct shared s;
	pthread_t thread;

	(void)state;
	setup(&s);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_go, &s), 0);
	lock_take(&s.lock);
	s.go = true;
	MUST0(pthread_cond_signal(&s.cond));
	lock_drop(&s.lock);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(s.count, 1);
	teardown(&s);
}

static void a_wait_ends_at_its_deadline(void **state)
{
	int64_t deadline_ns = time_monotonic_ns() + 20 * NS_PER_MS;
	struct shared s;
	bool signalled = true;

	(void)state;
	setup(&s);
	lock_take(&s.lock);
	while (signalled) /* a wake-up without a cause is allowed, and says true */
		signalled = lock_wait_until(&s.lock, &s.cond, deadline_ns);
	assert_true(lock_is_mine(&s.lock));
	assert_true(time_monotonic_ns() >= deadline_ns);
	assert_false(lock_wait_until(&s.lock, &s.cond, -1));
	lock_drop(&s.lock);
	teardown(&s);
}

static void take_twice(void)
{
	struct lock l;

	lock_init(&l, LOCK_RANK_queue);
	lock_take(&l);
	lock_take(&l);
}

static void take_upwards(void)
{
	struct lock inner, outer;

	lock_init(&inner, LOCK_RANK_log);
	lock_init(&outer, LOCK_RANK_queue);
	lock_take(&inner);
	lock_take(&outer);
}

static void drop_what_is_not_mine(void)
{
	struct lock l;

	lock_init(&l, LOCK_RANK_queue);
	lock_drop(&l);
}

static void *take_and_keep(void *arg)
{
	lock_take(arg);
	return NULL;
}

static void drop_another_threads(void)
{
	struct lock l;
	pthread_t thread;

	lock_init(&l, LOCK_RANK_queue);
	MUST0(pthread_create(&thread, NULL, take_and_keep, &l));
	MUST0(pthread_join(thread, NULL));
	lock_drop(&l);
}

static void destroy_while_held(void)
{
	struct lock l;

	lock_init(&l, LOCK_RANK_queue);
	lock_take(&l);
	lock_destroy(&l);
}

static void wait_holding_another(void)
{
	struct lock outer, inner;
	pthread_cond_t cond;

	lock_init(&outer, LOCK_RANK_queue);
	lock_init(&inner, LOCK_RANK_log);
	lock_cond_init(&cond);
	lock_take(&outer);
	lock_take(&inner);
	(void)lock_wait_until(&inner, &cond, 0);
}

static void take_downwards(void)
{
	struct lock outer, inner;

	lock_init(&outer, LOCK_RANK_queue);
	lock_init(&inner, LOCK_RANK_log);
	lock_take(&outer);
	lock_take(&inner);
	lock_drop(&outer);
	lock_drop(&inner);
	lock_take(&outer);
	lock_drop(&outer);
}

static void every_misuse_ends_the_process(void **state)
{
	(void)state;
	assert_true(panics(take_twice));
	assert_true(panics(take_upwards));
	assert_true(panics(drop_what_is_not_mine));
	assert_true(panics(drop_another_threads));
	assert_true(panics(destroy_while_held));
	assert_true(panics(wait_holding_another));
	assert_false(panics(take_downwards));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_misuse_ends_the_process),
		cmocka_unit_test(only_one_thread_is_inside),
		cmocka_unit_test(a_wait_ends_with_the_signal_and_the_lock),
		cmocka_unit_test(a_wait_ends_at_its_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
