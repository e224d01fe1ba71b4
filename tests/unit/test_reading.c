/* How far an application was read, by what pages there were. */

#include "source/reading.h"

#include "base/time.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define T0 INT64_C(1790000000000000000)
#define S(seconds) (T0 + (seconds)*NS_PER_S)
#define LATE (60 * NS_PER_S)

static const struct logs_page nothing = {.end = true};

static struct reading begun(int64_t sure_ns, int64_t checked_ns)
{
	return (struct reading){.head_ns = sure_ns, .sure_ns = sure_ns, .checked_ns = checked_ns};
}

/* A page of the first reading whose last line is of until_ns. */
static void read_first(struct reading *r, int64_t until_ns, int64_t asked_ns)
{
	const struct logs_page page = {.count = 1, .last_ns = until_ns, .next_ns = until_ns - 1};

	reading_first(r, &page, asked_ns, LATE);
}

static void an_idle_application_is_vouched_for_up_to_where_lines_may_be_late(void **state)
{
	struct reading r = begun(T0, 0);

	(void)state;
	assert_true(reading_vouched_ns(&r, LATE) == T0);
	for (int second = 0; second < 7200; second += 4) {
		reading_first(&r, &nothing, S(second), LATE);
		assert_true(reading_vouched_ns(&r, LATE) == (second < 60 ? T0 : S(second - 60)));
		assert_false(reading_begin_second(&r, S(second), LATE));
	}
	assert_true(r.sure_ns == T0);
	assert_true(reading_checked_ns(&r) == S(7196));
}

static void what_was_read_young_is_vouched_for_when_it_was_read_again(void **state)
{
	struct reading r = begun(T0, 0);
	const struct logs_page last = {.count = 3, .last_ns = S(90), .next_ns = S(90) - 1};

	(void)state;
	read_first(&r, S(90), S(100));
	assert_true(r.head_ns == S(90) - 1);
	assert_true(reading_vouched_ns(&r, LATE) == S(40));
	/* Nothing is newer, but a line may still come that is older than the newest. */
	reading_first(&r, &nothing, S(140), LATE);
	assert_true(reading_vouched_ns(&r, LATE) == S(40));
	assert_true(reading_checked_ns(&r) == 0);
	assert_true(reading_begin_second(&r, S(120), LATE));
	assert_true(r.until_ns == S(60));
	reading_second(&r, &nothing);
	assert_int_equal(r.until_ns, 0);
	assert_true(reading_vouched_ns(&r, LATE) == S(60));
	assert_true(reading_begin_second(&r, S(160), LATE));
	reading_second(&r, &last);
	assert_int_equal(r.until_ns, 0);
	assert_true(r.sure_ns == r.head_ns);
	assert_true(reading_vouched_ns(&r, LATE) == S(90) - 1);
	reading_first(&r, &nothing, S(170), LATE);
	assert_true(reading_vouched_ns(&r, LATE) == S(110));
}

static void a_second_reading_vouches_page_by_page(void **state)
{
	struct reading r = begun(T0, 0);
	const struct logs_page page = {.count = 100, .last_ns = S(20), .next_ns = S(20) - 1};

	(void)state;
	read_first(&r, S(50), S(50));
	assert_true(reading_begin_second(&r, S(110), LATE));
	reading_second(&r, &page);
	assert_true(r.until_ns == S(50) - 1);
	assert_true(reading_vouched_ns(&r, LATE) == S(20) - 1);
}

static void what_is_old_when_it_comes_is_vouched_for_at_once(void **state)
{
	struct reading r = begun(T0, S(10));

	(void)state;
	read_first(&r, S(500), S(3600));
	assert_true(reading_vouched_ns(&r, LATE) == S(500) - 1);
	read_first(&r, S(3590), S(3600));
	assert_true(reading_vouched_ns(&r, LATE) == S(3540));
}

/* However pages come, nothing that was vouched for is taken back. */
static void the_bound_only_moves_up(void **state)
{
	struct reading r = begun(T0, S(30));
	int64_t before_ns = reading_vouched_ns(&r, LATE);
	uint32_t random = 1;

	(void)state;
	for (int second = 0; second < 20000; second++) {
		random = random * 1664525u + 1013904223u;
		if (random >> 30 == 0)
			read_first(&r, S(second - (int)(random >> 24 & 15)), S(second));
		else if (random >> 30 == 1)
			reading_first(&r, &nothing, S(second), LATE);
		else if (r.until_ns == 0)
			(void)reading_begin_second(&r, S(second), LATE);
		else
			reading_second(&r, &nothing);
		assert_true(reading_vouched_ns(&r, LATE) >= before_ns);
		before_ns = reading_vouched_ns(&r, LATE);
		assert_true(before_ns <= S(second > 60 ? second - 60 : 0));
	}
	assert_true(before_ns > S(19000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_application_is_vouched_for_up_to_where_lines_may_be_late),
		cmocka_unit_test(what_was_read_young_is_vouched_for_when_it_was_read_again),
		cmocka_unit_test(a_second_reading_vouches_page_by_page),
		cmocka_unit_test(what_is_old_when_it_comes_is_vouched_for_at_once),
		cmocka_unit_test(the_bound_only_moves_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
