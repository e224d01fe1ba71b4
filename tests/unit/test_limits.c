/* What is past a limit: by two clocks, of which one may be wrong, and each kind by its own. */

#include "store/limits.h"

#include "base/time.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HOUR_NS (3600 * NS_PER_S)
#define HOUR_US (HOUR_NS / NS_PER_US)

enum { DAYS = 30, ROWS = 4 };

/* Read so long ago, when Postgres's clock was ahead by so much. */
static struct limits limits_of(int64_t age_ns, int64_t ahead_ns)
{
	return (struct limits){.server_ns = time_now_ns() - age_ns + ahead_ns,
			       .read_ns = time_monotonic_ns() - age_ns};
}

static bool is_near(int64_t age_seconds, int64_t ahead_seconds)
{
	const struct limits l = limits_of(age_seconds * NS_PER_S, ahead_seconds * NS_PER_S);

	return limits_clock_is_near(&l);
}

/* The seconds stand here once more: who changes them changes how long rows are waited for. */
static void a_clock_that_is_a_minute_ahead_is_near_and_no_other(void **state)
{
	(void)state;
	assert_int_equal(LIMITS_SKEW_SECONDS, 60);
	assert_true(is_near(0, 0));
	assert_true(is_near(0, 55));
	assert_true(is_near(0, -86400));
	assert_false(is_near(0, 65));
	assert_true(is_near(500, 55));
	assert_false(is_near(500, 65));
}

static void limits_are_old_ten_minutes_after_they_were_read(void **state)
{
	const struct limits never = {.read_ns = 0};
	struct limits l = limits_of(0, 0);

	(void)state;
	assert_true(limits_are_old(&never));
	assert_false(limits_are_old(&l));
	l = limits_of(500 * NS_PER_S, 0);
	assert_false(limits_are_old(&l));
	l = limits_of(600 * NS_PER_S, 0);
	assert_true(limits_are_old(&l));
}

static void assert_cut(const struct limits *l, int64_t expected_ns)
{
	int64_t off_us = limits_cut_us(l, LIMITS_SECURITY) - expected_ns / NS_PER_US;

	assert_in_range(off_us + HOUR_US, 0, 2 * HOUR_US);
}

static void the_earlier_of_two_clocks_says_what_is_past_it(void **state)
{
	const int64_t age_ns = 5 * HOUR_NS, limit_ns = time_now_ns() - DAYS * TIME_DAY_NS;
	struct limits l = limits_of(age_ns, 0);

	(void)state;
	assert_true(limits_cut_us(&l, LIMITS_SECURITY) == INT64_MIN);
	l.days[LIMITS_SECURITY] = DAYS;
	assert_cut(&l, limit_ns);
	assert_true(limits_cut_us(&l, LIMITS_LINES) == INT64_MIN);
	l = limits_of(age_ns, 100 * TIME_DAY_NS);
	l.days[LIMITS_SECURITY] = DAYS;
	assert_cut(&l, limit_ns);
	l = limits_of(age_ns, -100 * TIME_DAY_NS);
	l.days[LIMITS_SECURITY] = DAYS;
	assert_cut(&l, limit_ns - 100 * TIME_DAY_NS);
}

/* --- a plan --- */

struct rows {
	struct copy_key lines[ROWS], events[ROWS];
	struct spool_frame frames[ROWS];
	struct copy_plan plan;
	struct spool_batch batch;
};

/* Of each kind one row past a limit of DAYS, one an hour within it, with the numbers 40 and on.
 * Lines: 0 past, 1 within. Events: security 2 past, 3 within, operations 0 past, 1 within. */
static void make_rows(struct rows *r)
{
	const int64_t limit_us = (time_now_ns() - DAYS * TIME_DAY_NS) / NS_PER_US;
	const int64_t past_us = limit_us - HOUR_US, within_us = limit_us + HOUR_US;

	memset(r, 0, sizeof(*r));
	for (uint32_t i = 0; i < ROWS; i++)
		r->frames[i].seq = 40 + i;
	r->lines[0] = (struct copy_key){.occurred_us = past_us, .frame_idx = 0};
	r->lines[1] = (struct copy_key){.occurred_us = within_us, .frame_idx = 1};
	r->events[0] = (struct copy_key){.occurred_us = past_us, .frame_idx = 0};
	r->events[1] = (struct copy_key){.occurred_us = within_us, .frame_idx = 1};
	r->events[2] =
		(struct copy_key){.occurred_us = past_us, .frame_idx = 2, .is_security = true};
	r->events[3] =
		(struct copy_key){.occurred_us = within_us, .frame_idx = 3, .is_security = true};
	r->plan.lines = r->lines;
	r->plan.line_count = 2;
	r->plan.events = r->events;
	r->plan.event_count = ROWS;
	r->batch.frames = r->frames;
	r->batch.count = ROWS;
}

static void each_kind_goes_by_its_own_limit(void **state)
{
	static const struct {
		enum limits_kind kind;
		uint64_t seq;
		size_t lines, events;
	} kinds[] = {{LIMITS_LINES, 40, 1, 4},
		     {LIMITS_SECURITY, 42, 2, 3},
		     {LIMITS_OPERATIONS, 40, 2, 3}};
	struct rows r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct limits_expired out[LIMITS_KINDS] = {{.rows = 0}};
		struct limits l = limits_of(0, 0);

		make_rows(&r);
		assert_false(limits_are_met(&l, &r.plan));
		l.days[kinds[i].kind] = DAYS;
		assert_true(limits_are_met(&l, &r.plan));
		assert_int_equal(limits_take_out(&l, &r.batch, &r.plan, out), 1);
		assert_int_equal(r.plan.line_count, kinds[i].lines);
		assert_int_equal(r.plan.event_count, kinds[i].events);
		for (size_t k = 0; k < LIMITS_KINDS; k++)
			assert_int_equal(out[k].rows, k == (size_t)kinds[i].kind ? 1 : 0);
		assert_int_equal(out[kinds[i].kind].first_seq, kinds[i].seq);
		assert_int_equal(out[kinds[i].kind].last_seq, kinds[i].seq);
		assert_false(limits_are_met(&l, &r.plan));
	}
}

static void what_is_within_stays_in_its_order(void **state)
{
	struct limits_expired out[LIMITS_KINDS] = {{.rows = 0}};
	struct limits l = limits_of(0, 0);
	struct rows r;

	(void)state;
	make_rows(&r);
	for (size_t i = 0; i < LIMITS_KINDS; i++)
		l.days[i] = DAYS;
	assert_int_equal(limits_take_out(&l, &r.batch, &r.plan, out), 3);
	assert_int_equal(r.plan.line_count, 1);
	assert_int_equal(r.plan.lines[0].frame_idx, 1);
	assert_int_equal(r.plan.event_count, 2);
	assert_int_equal(r.plan.events[0].frame_idx, 1);
	assert_int_equal(r.plan.events[1].frame_idx, 3);
}

static void sums_reach_from_the_first_to_the_last(void **state)
{
	const struct limits_expired none = {.first_us = -9, .last_us = 900, .first_seq = 0};
	const struct limits_expired one = {1, 5, 5, 20, 20}, wide = {3, 2, 9, 10, 30};
	struct limits_expired sum = {.rows = 0, .first_us = 77};

	(void)state;
	limits_add(&sum, &none);
	assert_int_equal(sum.rows, 0);
	limits_add(&sum, &one);
	assert_memory_equal(&sum, &one, sizeof(sum));
	limits_add(&sum, &none);
	assert_memory_equal(&sum, &one, sizeof(sum));
	limits_add(&sum, &wide);
	assert_int_equal(sum.rows, 4);
	assert_int_equal(sum.first_us, 2);
	assert_int_equal(sum.last_us, 9);
	assert_int_equal(sum.first_seq, 10);
	assert_int_equal(sum.last_seq, 30);
	limits_add(&sum, &one);
	assert_int_equal(sum.rows, 5);
	assert_int_equal(sum.first_us, 2);
	assert_int_equal(sum.last_seq, 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clock_that_is_a_minute_ahead_is_near_and_no_other),
		cmocka_unit_test(limits_are_old_ten_minutes_after_they_were_read),
		cmocka_unit_test(the_earlier_of_two_clocks_says_what_is_past_it),
		cmocka_unit_test(each_kind_goes_by_its_own_limit),
		cmocka_unit_test(what_is_within_stays_in_its_order),
		cmocka_unit_test(sums_reach_from_the_first_to_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
