/* What follows from one look at the status: ages, what is left, how full. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "serve/look.h"
#include "scratch.h"
#include "spool_kit.h"

static struct status status;

static int setup(void **state)
{
	(void)state;
	status_init(&status);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	status_release(&status);
	return 0;
}

static void an_age_is_told_in_the_units_that_people_use(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{0, "0.0 s"},
		{99 * NS_PER_MS, "0.0 s"},
		{1250 * NS_PER_MS, "1.2 s"},
		{60 * NS_PER_S - 1, "59.9 s"},
		{60 * NS_PER_S, "1 min 0 s"},
		{3599 * NS_PER_S, "59 min 59 s"},
		{3600 * NS_PER_S, "1 h 0 min"},
		{86399 * NS_PER_S, "23 h 59 min"},
		{(2 * 86400 + 5 * 3600) * NS_PER_S, "2 d 5 h"},
		{INT64_MAX, "106751 d 23 h"},
	};
	char text[LOOK_AGE_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(look_age_text(rows[i].ns, text), rows[i].text);
}

static void without_a_spool_there_is_nothing_left(void **state)
{
	struct look l;

	(void)state;
	look_take(&l, &status, 30, false);
	assert_false(l.spool_open);
	assert_true(l.now_ns >= status.started_ns);
	assert_true(l.monotonic_ns >= status.started_monotonic_ns);
	assert_int_equal(look_records_left(&l), 0);
	assert_int_equal(look_spool_percent(&l), 0);
	assert_int_equal(look_lag_ns(&l), 0);
}

static void what_an_earlier_process_left_counts_when_postgres_has_said_so(void **state)
{
	struct scratch dir;
	struct spool *s;
	struct look l;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 5, 50);
	kit_commit(s);
	spool_close(s);
	s = kit_open(dir.path);
	kit_append(s, 2, 50);
	kit_commit(s);
	status_set_spool(&status, s);
	look_take(&l, &status, 30, false);
	assert_true(l.spool_open);
	assert_int_equal(look_records_left(&l), 2);
	atomic_store(&status.stored_seq, 1);
	atomic_store(&status.stored_known, true);
	assert_int_equal(look_records_left(&l), 6);
	atomic_store(&status.stored_seq, 9); /* stored since the look */
	assert_int_equal(look_records_left(&l), 0);
	assert_int_equal(look_spool_percent(&l), 1);
	status_set_spool(&status, NULL);
	spool_close(s);
	scratch_remove(&dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_age_is_told_in_the_units_that_people_use),
		TEST(without_a_spool_there_is_nothing_left),
		TEST(what_an_earlier_process_left_counts_when_postgres_has_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
