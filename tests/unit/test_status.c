/* What is asked of the spool from outside is asked of one that is open; and what is worked out. */

#include "run/status.h"

#include "base/time.h"

#include "scratch.h"
#include "spool_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 30 };

static struct status status;
static struct scratch scratch;
static _Atomic bool enough;
static _Atomic unsigned answers;

static int make(void **state)
{
	(void)state;
	status_init(&status);
	scratch_make(&scratch);
	atomic_store(&enough, false);
	atomic_store(&answers, 0);
	return 0;
}

static int release(void **state)
{
	(void)state;
	scratch_remove(&scratch);
	status_release(&status);
	return 0;
}

static void without_a_spool_there_is_nothing_to_tell(void **state)
{
	struct spool_stats stats;

	(void)state;
	assert_false(status_spool(&status, &stats));
}

static void *ask(void *arg)
{
	(void)arg;
	while (!atomic_load(&enough)) {
		struct spool_stats stats = {0};

		if (!status_spool(&status, &stats))
			continue;
		REQUIRE(stats.max_bytes > 0);
		atomic_fetch_add(&answers, 1);
	}
	return NULL;
}

/* Under the sanitizers this is where a spool that is freed while it is asked shows. */
static void a_spool_is_not_closed_while_it_is_asked(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, ask, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		struct spool *spool = kit_open(scratch.path);
		unsigned before = atomic_load(&answers);

		status_set_spool(&status, spool);
		while (atomic_load(&answers) == before)
			;
		status_set_spool(&status, NULL);
		spool_close(spool);
	}
	atomic_store(&enough, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void a_store_s_error_belongs_to_its_state(void **state)
{
	char text[ERR_TEXT_BYTES];

	(void)state;
	status_set_store(&status, STORE_PARKED, "no right to log_lines");
	assert_int_equal(status_store(&status, text), STORE_PARKED);
	assert_string_equal(text, "no right to log_lines");
	assert_string_equal(store_state_name(STORE_PARKED), "parked");
}

/* Of a sink that has so many bytes of 100 before it, the oldest taken so long ago. */
static int64_t misses_in_seconds(uint64_t behind, int64_t age_seconds)
{
	static const int64_t now_ns = INT64_C(1750000000000000000);
	struct sink_status s = {.behind_bytes_max = 100};
	int64_t ret;

	atomic_store(&s.behind_bytes, behind);
	atomic_store(&s.behind_ns, now_ns - age_seconds * NS_PER_S);
	ret = sink_status_misses_ns(&s, now_ns);
	return ret == 0 ? -1 : (ret - now_ns) / NS_PER_S;
}

static void when_a_sink_misses_the_oldest_follows_from_a_time_or_from_half_of_the_room(void **state)
{
	(void)state;
	assert_int_equal(misses_in_seconds(10, 3600), 9 * 3600);
	assert_int_equal(misses_in_seconds(100, 3600), 0);
	assert_int_equal(misses_in_seconds(10, 600), 5400);
	assert_int_equal(misses_in_seconds(10, 599), -1);
	assert_int_equal(misses_in_seconds(49, 20), -1);
	assert_int_equal(misses_in_seconds(50, 20), 20);
	assert_int_equal(misses_in_seconds(80, 20), 5);
	assert_int_equal(misses_in_seconds(80, -20), 0); /* the clock was put back */
	assert_int_equal(misses_in_seconds(10, INT64_C(500) * 86400), -1); /* in 12 years */
	assert_int_equal(misses_in_seconds(0, 3600), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_a_spool_there_is_nothing_to_tell, make,
						release),
		cmocka_unit_test_setup_teardown(a_spool_is_not_closed_while_it_is_asked, make,
						release),
		cmocka_unit_test_setup_teardown(a_store_s_error_belongs_to_its_state, make,
						release),
		cmocka_unit_test(
			when_a_sink_misses_the_oldest_follows_from_a_time_or_from_half_of_the_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
