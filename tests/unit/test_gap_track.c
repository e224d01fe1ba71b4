#include "source/gap_track.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define T0 (INT64_C(1700000000) * NS_PER_S)
#define S(n) ((int64_t)(n)*NS_PER_S)

static struct batch *batch;

static int make_batch(void **state)
{
	struct err err;

	(void)state;
	return batch_new(&batch, &err) ? -1 : 0;
}

static int free_batch(void **state)
{
	(void)state;
	batch_free(batch);
	return 0;
}

/* What is reported at now; NULL: nothing. At most one gap is expected. */
static const struct gap *report(struct gap_track *t, int64_t now_ns)
{
	batch_reset(batch);
	gap_track_report(t, batch, now_ns, false);
	assert_true(batch->gap_count <= 1);
	return batch->gap_count == 1 ? &batch->gaps[0] : NULL;
}

static void assert_gap(const struct gap *g, enum gap_reason reason, int64_t start_ns,
		       int64_t end_ns, bool known)
{
	assert_non_null(g);
	assert_int_equal(g->reason, reason);
	assert_int_equal(g->start_ns, start_ns);
	assert_int_equal(g->end_ns, end_ns);
	assert_int_equal(g->known, known);
}

/* A track that is connected, with nothing left to report. */
static struct gap_track connected(void)
{
	struct gap_track t;

	gap_track_init(&t, 0, T0);
	gap_track_subscribed(&t, T0);
	assert_null(report(&t, T0));
	return t;
}

static void the_first_run_of_a_stream_misses_nothing(void **state)
{
	struct gap_track t;

	(void)state;
	gap_track_init(&t, 0, T0);
	gap_track_subscribed(&t, T0 + S(1));
	assert_null(report(&t, T0 + S(1)));
}

static void a_first_run_that_cannot_subscribe_has_a_gap_from_its_start(void **state)
{
	struct gap_track t;

	(void)state;
	gap_track_init(&t, 0, T0);
	assert_gap(report(&t, T0), GAP_start, T0, INT64_MAX, false);
	gap_track_subscribed(&t, T0 + S(60));
	assert_gap(report(&t, T0 + S(60)), GAP_start, T0, T0 + S(70), true);
	assert_null(report(&t, T0 + S(61)));
}

static void a_start_is_a_gap_from_the_last_live_line(void **state)
{
	struct gap_track t;

	(void)state;
	gap_track_init(&t, T0 - S(100), T0);
	gap_track_subscribed(&t, T0 + S(1));
	assert_gap(report(&t, T0 + S(1)), GAP_start, T0 - S(110), T0 + S(11), false);
}

static void a_start_that_takes_long_is_told_at_once_and_its_end_later(void **state)
{
	struct gap_track t;

	(void)state;
	gap_track_init(&t, T0 - S(100), T0);
	assert_gap(report(&t, T0), GAP_start, T0 - S(110), INT64_MAX, false);
	assert_null(report(&t, T0 + S(1)));
	gap_track_lost(&t, T0 + S(2)); /* another failed attempt changes nothing */
	assert_null(report(&t, T0 + S(2)));
	gap_track_subscribed(&t, T0 + S(5));
	assert_gap(report(&t, T0 + S(5)), GAP_start, T0 - S(110), T0 + S(15), true);
}

static void a_clock_that_was_set_back_makes_no_gap_that_ends_before_it_starts(void **state)
{
	struct gap_track t;

	(void)state;
	gap_track_init(&t, T0 + S(1000), T0);
	gap_track_subscribed(&t, T0 + S(1));
	assert_gap(report(&t, T0 + S(1)), GAP_start, T0, T0 + S(11), false);
}

static void a_last_record_of_unknown_time_makes_a_gap_of_unknown_start(void **state)
{
	struct gap_track t;

	(void)state;
	gap_track_init(&t, 1, T0);
	assert_gap(report(&t, T0), GAP_start, 0, INT64_MAX, false);
}

static void a_disconnect_is_a_gap_from_the_last_proof(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_answered(&t, T0 + S(100));
	gap_track_drained(&t);
	gap_track_lost(&t, T0 + S(130));
	assert_gap(report(&t, T0 + S(130)), GAP_disconnect, T0 + S(90), INT64_MAX, false);
	gap_track_subscribed(&t, T0 + S(140));
	assert_gap(report(&t, T0 + S(140)), GAP_disconnect, T0 + S(90), T0 + S(150), true);
}

static void an_answer_is_no_proof_while_lines_are_waiting(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_answered(&t, T0 + S(100));
	gap_track_lost(&t, T0 + S(130));
	assert_gap(report(&t, T0 + S(130)), GAP_disconnect, T0 - S(10), INT64_MAX, false);
}

static void a_short_disconnect_is_told_once_with_its_end(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_lost(&t, T0 + S(1));
	gap_track_subscribed(&t, T0 + S(2));
	assert_gap(report(&t, T0 + S(2)), GAP_disconnect, T0 - S(10), T0 + S(12), false);
}

static void disconnects_that_touch_are_one_gap(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_lost(&t, T0 + S(1));
	gap_track_subscribed(&t, T0 + S(2));
	assert_gap(report(&t, T0 + S(2)), GAP_disconnect, T0 - S(10), T0 + S(12), false);
	gap_track_lost(&t, T0 + S(5));
	assert_gap(report(&t, T0 + S(5)), GAP_disconnect, T0 - S(10), INT64_MAX, true);
	gap_track_subscribed(&t, T0 + S(6));
	assert_gap(report(&t, T0 + S(6)), GAP_disconnect, T0 - S(10), T0 + S(16), true);
}

static void disconnects_far_apart_are_two_gaps(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_lost(&t, T0 + S(1));
	gap_track_subscribed(&t, T0 + S(2));
	(void)report(&t, T0 + S(2));
	gap_track_answered(&t, T0 + S(60));
	gap_track_drained(&t);
	gap_track_lost(&t, T0 + S(61));
	assert_gap(report(&t, T0 + S(61)), GAP_disconnect, T0 + S(50), INT64_MAX, false);
}

static void a_disconnect_soon_after_the_start_is_a_gap_of_its_own(void **state)
{
	struct gap_track t;

	(void)state;
	gap_track_init(&t, T0 - S(100), T0);
	gap_track_subscribed(&t, T0);
	(void)report(&t, T0);
	gap_track_lost(&t, T0 + S(3));
	assert_gap(report(&t, T0 + S(3)), GAP_disconnect, T0 - S(10), INT64_MAX, false);
}

static void drops_are_a_gap_with_their_count(void **state)
{
	struct gap_track t = connected();
	const struct gap *g;

	(void)state;
	gap_track_dropped(&t, 0, T0 + S(20));
	assert_null(report(&t, T0 + S(20)));
	gap_track_dropped(&t, 7, T0 + S(21));
	g = report(&t, T0 + S(21));
	assert_gap(g, GAP_slow_consumer, T0 + S(10), T0 + S(31), false);
	assert_int_equal(g->lines_lost, 7);
}

static void drops_that_go_on_are_told_now_and_then_as_one_gap(void **state)
{
	struct gap_track t = connected();
	const struct gap *g;
	unsigned told = 0;

	(void)state;
	for (int i = 1; i <= 100; i++) {
		gap_track_dropped(&t, (uint64_t)i, T0 + i * S(1) / 5);
		told += report(&t, T0 + i * S(1) / 5) != NULL;
	}
	assert_true(told >= 4 && told <= 5);
	g = report(&t, T0 + S(30));
	assert_gap(g, GAP_slow_consumer, T0 - S(10), T0 + S(30), true);
	assert_int_equal(g->lines_lost, 100);
	assert_null(report(&t, T0 + S(40)));
}

static void the_last_report_does_not_wait_for_its_turn(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_dropped(&t, 5, T0 + S(1));
	(void)report(&t, T0 + S(1));
	gap_track_dropped(&t, 9, T0 + S(2));
	assert_null(report(&t, T0 + S(2)));
	batch_reset(batch);
	gap_track_report(&t, batch, T0 + S(2), true);
	assert_int_equal(batch->gap_count, 1);
	assert_int_equal(batch->gaps[0].lines_lost, 9);
}

static void a_new_subscription_counts_its_drops_from_zero(void **state)
{
	struct gap_track t = connected();
	const struct gap *g;

	(void)state;
	gap_track_dropped(&t, 5, T0 + S(1));
	(void)report(&t, T0 + S(1));
	gap_track_new_subscription(&t);
	gap_track_dropped(&t, 0, T0 + S(2));
	assert_null(report(&t, T0 + S(10)));
	gap_track_dropped(&t, 3, T0 + S(11));
	g = report(&t, T0 + S(11));
	assert_gap(g, GAP_slow_consumer, T0 - S(10), T0 + S(21), true);
	assert_int_equal(g->lines_lost, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_run_of_a_stream_misses_nothing),
		cmocka_unit_test(a_first_run_that_cannot_subscribe_has_a_gap_from_its_start),
		cmocka_unit_test(a_start_is_a_gap_from_the_last_live_line),
		cmocka_unit_test(a_start_that_takes_long_is_told_at_once_and_its_end_later),
		cmocka_unit_test(a_clock_that_was_set_back_makes_no_gap_that_ends_before_it_starts),
		cmocka_unit_test(a_last_record_of_unknown_time_makes_a_gap_of_unknown_start),
		cmocka_unit_test(a_disconnect_is_a_gap_from_the_last_proof),
		cmocka_unit_test(an_answer_is_no_proof_while_lines_are_waiting),
		cmocka_unit_test(a_short_disconnect_is_told_once_with_its_end),
		cmocka_unit_test(disconnects_that_touch_are_one_gap),
		cmocka_unit_test(disconnects_far_apart_are_two_gaps),
		cmocka_unit_test(a_disconnect_soon_after_the_start_is_a_gap_of_its_own),
		cmocka_unit_test(drops_are_a_gap_with_their_count),
		cmocka_unit_test(drops_that_go_on_are_told_now_and_then_as_one_gap),
		cmocka_unit_test(the_last_report_does_not_wait_for_its_turn),
		cmocka_unit_test(a_new_subscription_counts_its_drops_from_zero),
	};

	return cmocka_run_group_tests(tests, make_batch, free_batch);
}
