/* What is asked of the spool from outside is asked of one that is open. */

#include "run/status.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_a_spool_there_is_nothing_to_tell, make,
						release),
		cmocka_unit_test_setup_teardown(a_spool_is_not_closed_while_it_is_asked, make,
						release),
		cmocka_unit_test_setup_teardown(a_store_s_error_belongs_to_its_state, make,
						release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
