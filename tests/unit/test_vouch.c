/* What is vouched for and what is lost: neither overlaps, and nothing between is forgotten. */

#include "source/vouch.h"

#include "base/time.h"
#include "source/gap_track.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define T0 INT64_C(1790000000000000000)
#define S(seconds) (T0 + (seconds)*NS_PER_S)

static struct batch *batch;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	return (int)batch_new(&batch, &err);
}

static int tear_down(void **state)
{
	(void)state;
	batch_free(batch);
	return 0;
}

static void report(struct vouch *v, int64_t until_ns)
{
	batch_reset(batch);
	vouch_report(v, batch, until_ns);
}

static void assert_piece(size_t idx, int64_t since_ns, int64_t until_ns)
{
	assert_true(idx < batch->listened_count);
	assert_true(batch->listened[idx].since_ns == since_ns);
	assert_true(batch->listened[idx].until_ns == until_ns);
}

static void words_touch(void **state)
{
	struct vouch v;

	(void)state;
	vouch_init(&v, T0);
	report(&v, S(-5));
	assert_int_equal(batch->listened_count, 0);
	report(&v, S(10));
	assert_int_equal(batch->listened_count, 1);
	assert_piece(0, T0, S(10));
	report(&v, S(10));
	assert_int_equal(batch->listened_count, 0);
	report(&v, S(7)); /* a clock that was set back, or an application that is new */
	assert_int_equal(batch->listened_count, 0);
	report(&v, S(30));
	assert_piece(0, S(10), S(30));
	assert_int_equal(batch->gap_count, 0);
}

static void what_is_out_of_reach_is_a_gap_between_two_words(void **state)
{
	struct vouch v;

	(void)state;
	vouch_init(&v, T0);
	vouch_lost(&v, GAP_disconnect, S(100), S(50)); /* nothing is */
	report(&v, S(20));
	assert_int_equal(batch->gap_count, 0);
	vouch_lost(&v, GAP_disconnect, S(100), S(500));
	report(&v, S(100));
	assert_int_equal(batch->gap_count, 1);
	assert_int_equal(batch->gaps[0].reason, GAP_disconnect);
	assert_false(batch->gaps[0].known);
	assert_true(batch->gaps[0].start_ns == S(100));
	assert_true(batch->gaps[0].end_ns == S(500) + GAP_MARGIN_NS);
	assert_int_equal(batch->listened_count, 1);
	assert_piece(0, S(20), S(100));
	report(&v, S(505));
	assert_int_equal(batch->gap_count, 0);
	assert_int_equal(batch->listened_count, 0);
	report(&v, S(600));
	assert_piece(0, S(500) + GAP_MARGIN_NS, S(600));
}

static void applications_that_are_reached_one_by_one_are_one_gap(void **state)
{
	struct vouch v;

	(void)state;
	vouch_init(&v, T0);
	vouch_lost(&v, GAP_start, T0, S(500));
	vouch_report_lost(&v, batch);
	assert_int_equal(batch->gap_count, 1);
	batch_reset(batch);
	vouch_lost(&v, GAP_disconnect, T0, S(505)); /* within the margin */
	vouch_report_lost(&v, batch);
	assert_int_equal(batch->gap_count, 0);
	vouch_lost(&v, GAP_disconnect, T0, S(600));
	vouch_report_lost(&v, batch);
	assert_int_equal(batch->gap_count, 1);
	assert_int_equal(batch->gaps[0].reason, GAP_start);
	assert_true(batch->gaps[0].known);
	assert_true(batch->gaps[0].start_ns == T0);
	assert_true(batch->gaps[0].end_ns == S(600) + GAP_MARGIN_NS);
	report(&v, S(700));
	assert_int_equal(batch->listened_count, 1);
	assert_piece(0, S(600) + GAP_MARGIN_NS, S(700));
	vouch_lost(&v, GAP_disconnect, S(800), S(900)); /* another absence, another gap */
	report(&v, S(1000));
	assert_int_equal(batch->gaps[0].reason, GAP_disconnect);
	assert_false(batch->gaps[0].known);
	assert_piece(0, S(700), S(800));
	assert_piece(1, S(900) + GAP_MARGIN_NS, S(1000));
}

static void what_is_left_out_is_skipped_in_whatever_order_it_was_met(void **state)
{
	struct vouch v;

	(void)state;
	vouch_init(&v, T0);
	vouch_leave_out(&v, S(30), S(30) + 1);
	vouch_leave_out(&v, S(20), S(20) + 1);
	vouch_leave_out(&v, S(20) + 1, S(20) + 2); /* which touches */
	vouch_leave_out(&v, S(-1), S(-1) + 1);     /* of which a word was told already */
	report(&v, S(40));
	assert_int_equal(batch->listened_count, 2);
	assert_piece(0, T0, S(20));
	assert_piece(1, S(20) + 2, S(30));
	report(&v, S(40)); /* a batch holds two */
	assert_int_equal(batch->listened_count, 1);
	assert_piece(0, S(30) + 1, S(40));
}

static void more_holes_than_are_kept_cost_words_and_never_make_one_too_long(void **state)
{
	int64_t told_ns = T0;
	struct vouch v;

	(void)state;
	vouch_init(&v, T0);
	for (int i = 1; i <= 3 * VOUCH_HOLES_MAX; i++)
		vouch_leave_out(&v, S(10 * i), S(10 * i) + 1);
	do {
		report(&v, S(1000));
		for (size_t i = 0; i < batch->listened_count; i++) {
			assert_true(batch->listened[i].since_ns >= told_ns);
			told_ns = batch->listened[i].until_ns;
			for (int hole = 1; hole <= 3 * VOUCH_HOLES_MAX; hole++)
				assert_false(batch->listened[i].since_ns <= S(10 * hole) &&
					     S(10 * hole) < told_ns);
		}
	} while (batch->listened_count > 0);
	assert_true(told_ns == S(1000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(words_touch),
		TEST(what_is_out_of_reach_is_a_gap_between_two_words),
		TEST(applications_that_are_reached_one_by_one_are_one_gap),
		TEST(what_is_left_out_is_skipped_in_whatever_order_it_was_met),
		TEST(more_holes_than_are_kept_cost_words_and_never_make_one_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
