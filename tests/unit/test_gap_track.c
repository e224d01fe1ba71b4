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

/* --- heartbeats --- */

static void missed_heartbeats_are_a_gap_from_the_last_that_came_until_one_comes_again(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_answered(&t, T0 + S(190));
	gap_track_drained(&t);
	gap_track_sure(&t, T0 + S(100));
	gap_track_silent(&t);
	assert_gap(report(&t, T0 + S(191)), GAP_heartbeat_missed, T0 + S(90), INT64_MAX, false);
	gap_track_silent(&t); /* they still do not come */
	assert_null(report(&t, T0 + S(280)));
	gap_track_beat(&t, T0 + S(300));
	assert_gap(report(&t, T0 + S(300)), GAP_heartbeat_missed, T0 + S(90), T0 + S(310), true);
	gap_track_beat(&t, T0 + S(330));
	assert_null(report(&t, T0 + S(330)));
}

static void lines_that_still_wait_make_a_gap_of_missed_heartbeats_longer(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_answered(&t, T0 + S(100)); /* never drained: the proof is T0 */
	gap_track_sure(&t, T0 + S(100));
	gap_track_silent(&t);
	assert_gap(report(&t, T0 + S(191)), GAP_heartbeat_missed, T0 - S(10), INT64_MAX, false);
}

static void a_new_subscription_does_not_end_a_gap_of_missed_heartbeats(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_sure(&t, T0);
	gap_track_silent(&t);
	(void)report(&t, T0 + S(90));
	gap_track_lost(&t, T0 + S(91)); /* which is no further gap */
	assert_null(report(&t, T0 + S(91)));
	gap_track_subscribed(&t, T0 + S(92));
	assert_null(report(&t, T0 + S(92)));
	gap_track_beat(&t, T0 + S(93));
	assert_gap(report(&t, T0 + S(93)), GAP_heartbeat_missed, T0 - S(10), T0 + S(103), true);
}

static void heartbeats_missed_while_the_connection_is_down_are_no_gap(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_lost(&t, T0 + S(1));
	assert_gap(report(&t, T0 + S(1)), GAP_disconnect, T0 - S(10), INT64_MAX, false);
	gap_track_silent(&t);
	assert_null(report(&t, T0 + S(90)));
	gap_track_beat(&t, T0 + S(91)); /* nor does one that comes end the other outage */
	assert_null(report(&t, T0 + S(91)));
}

static void heartbeats_missed_twice_in_one_go_are_one_gap(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_sure(&t, T0);
	gap_track_silent(&t);
	gap_track_beat(&t, T0 + S(95));
	assert_gap(report(&t, T0 + S(95)), GAP_heartbeat_missed, T0 - S(10), T0 + S(105), false);
	gap_track_answered(&t, T0 + S(185));
	gap_track_drained(&t);
	gap_track_sure(&t, T0 + S(95));
	gap_track_silent(&t);
	assert_gap(report(&t, T0 + S(185)), GAP_heartbeat_missed, T0 - S(10), INT64_MAX, true);
}

/* --- the clock --- */

static void a_clock_that_is_put_forward_is_a_gap_told_once(void **state)
{
	struct gap_track t = connected();

	(void)state;
	assert_false(gap_track_clocks(&t, T0 + S(1), S(7)));
	assert_false(gap_track_clocks(&t, T0 + S(2), S(8)));
	assert_true(gap_track_clocks(&t, T0 + S(63), S(9)));
	assert_int_equal(t.jumps, 1);
	assert_int_equal(t.jump_ns, S(60));
	assert_int_equal(t.jumped_ns, T0 + S(63));
	assert_gap(report(&t, T0 + S(63)), GAP_time_jump, T0 - S(8), T0 + S(73), false);
	assert_false(gap_track_clocks(&t, T0 + S(64), S(10)));
	assert_null(report(&t, T0 + S(64)));
}

static void a_clock_that_is_set_back_is_a_gap_of_what_was_twice(void **state)
{
	struct gap_track t = connected();

	(void)state;
	assert_false(gap_track_clocks(&t, T0 + S(3600), S(10)));
	assert_true(gap_track_clocks(&t, T0 + S(1), S(11)));
	assert_int_equal(t.jump_ns, -S(3600));
	assert_gap(report(&t, T0 + S(1)), GAP_time_jump, T0 - S(9), T0 + S(3611), false);
	/* What was proved before is not proved of the time that comes again. */
	gap_track_lost(&t, T0 + S(2));
	assert_gap(report(&t, T0 + S(2)), GAP_disconnect, T0 - S(10), INT64_MAX, false);
}

static void a_clock_that_is_set_back_takes_back_what_was_proved_of_later(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_answered(&t, T0 + S(3600));
	gap_track_drained(&t);
	(void)gap_track_clocks(&t, T0 + S(3600), S(10));
	assert_true(gap_track_clocks(&t, T0 + S(1), S(11)));
	(void)report(&t, T0 + S(1));
	gap_track_lost(&t, T0 + S(3700));
	assert_gap(report(&t, T0 + S(3700)), GAP_disconnect, T0 - S(9), INT64_MAX, false);
}

static void small_steps_and_long_pauses_are_no_jump(void **state)
{
	struct gap_track t = connected();

	(void)state;
	assert_false(gap_track_clocks(&t, T0, S(10)));
	assert_false(gap_track_clocks(&t, T0 + S(6), S(11)));    /* 5 s more than passed */
	assert_false(gap_track_clocks(&t, T0 + S(2), S(12)));    /* 5 s less */
	assert_false(gap_track_clocks(&t, T0 + S(902), S(912))); /* both stood by for 15 minutes */
	assert_null(report(&t, T0 + S(902)));
	assert_int_equal(t.jumps, 0);
}

/* --- what was listened --- */

/* As a source that looks at everything at now_ns and finds nothing wrong. */
static void all_is_well(struct gap_track *t, int64_t now_ns)
{
	gap_track_answered(t, now_ns);
	gap_track_drained(t);
	gap_track_dropped(t, t->dropped_count, now_ns);
}

/* What is reported as listened at now_ns; NULL: nothing. Gaps are not looked at. */
static const struct listened *listened(struct gap_track *t, int64_t now_ns, bool last)
{
	batch_reset(batch);
	gap_track_report(t, batch, now_ns, last);
	assert_true(batch->listened_count <= 1);
	return batch->listened_count == 1 ? &batch->listened[0] : NULL;
}

static void assert_listened(const struct listened *l, int64_t since_ns, int64_t until_ns)
{
	assert_non_null(l);
	assert_int_equal(l->since_ns, since_ns);
	assert_int_equal(l->until_ns, until_ns);
}

static void listening_is_told_in_pieces_that_touch(void **state)
{
	struct gap_track t = connected();

	(void)state;
	all_is_well(&t, T0 + S(299));
	assert_null(listened(&t, T0 + S(299), false));
	all_is_well(&t, T0 + S(300));
	assert_listened(listened(&t, T0 + S(300), false), T0 + S(10), T0 + S(290));
	all_is_well(&t, T0 + S(599));
	assert_null(listened(&t, T0 + S(599), false));
	all_is_well(&t, T0 + S(600));
	assert_listened(listened(&t, T0 + S(600), false), T0 + S(290), T0 + S(590));
	all_is_well(&t, T0 + S(660));
	assert_listened(listened(&t, T0 + S(660), true), T0 + S(590), T0 + S(650));
	assert_null(listened(&t, T0 + S(660), true));
}

static void nothing_is_vouched_for_beyond_the_proof(void **state)
{
	struct gap_track t = connected();

	(void)state;
	all_is_well(&t, T0 + S(100));
	gap_track_answered(&t, T0 + S(290)); /* lines are waiting */
	assert_listened(listened(&t, T0 + S(300), false), T0 + S(10), T0 + S(90));
	gap_track_lost(&t, T0 + S(310));
	assert_null(listened(&t, T0 + S(310), true));
	assert_gap(&batch->gaps[0], GAP_disconnect, T0 + S(90), INT64_MAX, false);
}

static void nothing_is_vouched_for_before_the_subscription(void **state)
{
	struct gap_track t;

	(void)state;
	gap_track_init(&t, T0 - S(500), T0);
	assert_null(listened(&t, T0 + S(400), true));
	gap_track_subscribed(&t, T0 + S(400));
	all_is_well(&t, T0 + S(700));
	assert_listened(listened(&t, T0 + S(700), true), T0 + S(410), T0 + S(690));
}

static void a_gap_ends_what_was_listened_and_is_not_in_what_follows(void **state)
{
	struct gap_track t = connected();

	(void)state;
	all_is_well(&t, T0 + S(100));
	gap_track_lost(&t, T0 + S(103));
	assert_listened(listened(&t, T0 + S(103), false), T0 + S(10), T0 + S(90));
	assert_gap(&batch->gaps[0], GAP_disconnect, T0 + S(90), INT64_MAX, false);
	assert_null(listened(&t, T0 + S(500), true)); /* it goes on */
	gap_track_subscribed(&t, T0 + S(500));
	all_is_well(&t, T0 + S(600));
	assert_listened(listened(&t, T0 + S(600), true), T0 + S(510), T0 + S(590));
}

static void drops_end_what_was_listened(void **state)
{
	struct gap_track t = connected();

	(void)state;
	all_is_well(&t, T0 + S(100));
	gap_track_dropped(&t, 3, T0 + S(101));
	assert_listened(listened(&t, T0 + S(101), false), T0 + S(10), T0 + S(90));
	assert_gap(&batch->gaps[0], GAP_slow_consumer, T0 + S(90), T0 + S(111), false);
	gap_track_dropped(&t, 4, T0 + S(102));
	all_is_well(&t, T0 + S(600));
	assert_listened(listened(&t, T0 + S(600), true), T0 + S(112), T0 + S(590));
}

static void a_jump_of_the_clock_ends_what_was_listened(void **state)
{
	struct gap_track t = connected();

	(void)state;
	assert_false(gap_track_clocks(&t, T0 + S(100), S(100)));
	all_is_well(&t, T0 + S(101));
	assert_true(gap_track_clocks(&t, T0 + S(1000), S(102)));
	assert_listened(listened(&t, T0 + S(1000), false), T0 + S(10), T0 + S(90));
	assert_gap(&batch->gaps[0], GAP_time_jump, T0 + S(90), T0 + S(1010), false);
	(void)gap_track_clocks(&t, T0 + S(1100), S(202));
	all_is_well(&t, T0 + S(1100));
	assert_listened(listened(&t, T0 + S(1100), true), T0 + S(1010), T0 + S(1090));
}

static void nothing_is_vouched_for_that_a_jump_since_the_last_look_would_speak_against(void **state)
{
	struct gap_track t = connected();

	(void)state;
	assert_false(gap_track_clocks(&t, T0 + S(100), S(100)));
	all_is_well(&t, T0 + S(103));
	assert_listened(listened(&t, T0 + S(103), true), T0 + S(10), T0 + S(90));
	assert_true(gap_track_clocks(&t, T0 + S(1000), S(104)));
	assert_null(listened(&t, T0 + S(1000), true));
	assert_gap(&batch->gaps[0], GAP_time_jump, T0 + S(90), T0 + S(1010), false);
}

static void a_clock_set_back_delays_no_telling_but_vouches_for_nothing_twice(void **state)
{
	struct gap_track t = connected();

	(void)state;
	(void)gap_track_clocks(&t, T0 + S(100), S(100));
	all_is_well(&t, T0 + S(100));
	assert_listened(listened(&t, T0 + S(100), true), T0 + S(10), T0 + S(90));
	assert_true(gap_track_clocks(&t, T0 + S(50), S(101)));
	assert_null(listened(&t, T0 + S(50), false));
	assert_gap(&batch->gaps[0], GAP_time_jump, T0 + S(40), T0 + S(111), false);
	(void)gap_track_clocks(&t, T0 + S(115), S(166));
	all_is_well(&t, T0 + S(115));
	assert_null(listened(&t, T0 + S(115), false));
	(void)gap_track_clocks(&t, T0 + S(360), S(411));
	all_is_well(&t, T0 + S(360));
	assert_listened(listened(&t, T0 + S(360), false), T0 + S(111), T0 + S(350));
}

static void nothing_is_vouched_for_that_a_missed_heartbeat_would_speak_against(void **state)
{
	struct gap_track t = connected();

	(void)state;
	gap_track_sure(&t, T0);
	all_is_well(&t, T0 + S(300));
	assert_null(listened(&t, T0 + S(300), false));
	gap_track_sure(&t, T0 + S(310));
	all_is_well(&t, T0 + S(600));
	assert_listened(listened(&t, T0 + S(600), false), T0 + S(10), T0 + S(300));
	gap_track_silent(&t);
	assert_null(listened(&t, T0 + S(610), true));
	assert_gap(&batch->gaps[0], GAP_heartbeat_missed, T0 + S(300), INT64_MAX, false);
	gap_track_subscribed(&t, T0 + S(611));
	all_is_well(&t, T0 + S(700));
	gap_track_sure(&t, T0 + S(699));
	assert_null(listened(&t, T0 + S(700), true));
	gap_track_beat(&t, T0 + S(701));
	all_is_well(&t, T0 + S(800));
	gap_track_sure(&t, T0 + S(800));
	assert_listened(listened(&t, T0 + S(800), true), T0 + S(711), T0 + S(790));
}

/* Whatever happens, in whatever order, but for a clock that is set back. */
static void no_gap_reaches_into_what_was_told_before_or_after(void **state)
{
	struct gap_track t;
	int64_t now_ns = T0, told_ns = 0;
	struct gap gaps[4096];
	size_t gap_count = 0, told = 0;
	uint64_t dropped = 0;
	unsigned seed = 7;

	(void)state;
	gap_track_init(&t, T0 - S(1000), T0);
	gap_track_sure(&t, T0);
	for (unsigned i = 0; i < 200000; i++) {
		unsigned what;

		seed = seed * 1103515245u + 12345u;
		what = seed >> 16 & 1023;
		now_ns += (int64_t)(seed >> 8 & 1023) * NS_PER_MS;
		if (what == 0)
			now_ns += S(60); /* unless the machine was suspended: then it is a jump */
		(void)gap_track_clocks(&t, now_ns, S(1) + now_ns - (what == 0 ? S(60) : 0));
		if (what == 0)
			t.steady_ns = S(1) + now_ns; /* the test's steady clock follows */
		if (what < 4)
			gap_track_lost(&t, now_ns);
		else if (what < 200)
			gap_track_subscribed(&t, now_ns);
		if (what > 200 && what < 400)
			gap_track_answered(&t, now_ns);
		if (what % 3 == 0)
			gap_track_drained(&t);
		dropped += what == 999;
		gap_track_dropped(&t, dropped, now_ns);
		if (what % 7 == 0)
			gap_track_sure(&t, now_ns - S(1));
		if (what == 998)
			gap_track_silent(&t);
		if (what > 900 && what < 990)
			gap_track_beat(&t, now_ns);
		batch_reset(batch);
		gap_track_report(&t, batch, now_ns, what == 997);
		for (size_t g = 0; g < batch->gap_count; g++) {
			assert_true(batch->gaps[g].known || batch->gaps[g].start_ns >= told_ns);
			if (gap_count < ARRAY_LEN(gaps))
				gaps[gap_count++] = batch->gaps[g];
		}
		for (size_t l = 0; l < batch->listened_count; l++) {
			const struct listened *it = &batch->listened[l];

			assert_true(it->since_ns < it->until_ns && it->since_ns >= told_ns);
			told_ns = it->until_ns;
			told++;
			for (size_t g = 0; g < gap_count; g++)
				assert_true(gaps[g].end_ns == INT64_MAX ||
					    gaps[g].end_ns <= it->since_ns ||
					    gaps[g].start_ns >= it->until_ns);
		}
	}
	assert_true(told > 100);
	assert_true(gap_count > 100);
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
		cmocka_unit_test(
			missed_heartbeats_are_a_gap_from_the_last_that_came_until_one_comes_again),
		cmocka_unit_test(lines_that_still_wait_make_a_gap_of_missed_heartbeats_longer),
		cmocka_unit_test(a_new_subscription_does_not_end_a_gap_of_missed_heartbeats),
		cmocka_unit_test(heartbeats_missed_while_the_connection_is_down_are_no_gap),
		cmocka_unit_test(heartbeats_missed_twice_in_one_go_are_one_gap),
		cmocka_unit_test(a_clock_that_is_put_forward_is_a_gap_told_once),
		cmocka_unit_test(a_clock_that_is_set_back_is_a_gap_of_what_was_twice),
		cmocka_unit_test(a_clock_that_is_set_back_takes_back_what_was_proved_of_later),
		cmocka_unit_test(small_steps_and_long_pauses_are_no_jump),
		cmocka_unit_test(listening_is_told_in_pieces_that_touch),
		cmocka_unit_test(nothing_is_vouched_for_beyond_the_proof),
		cmocka_unit_test(nothing_is_vouched_for_before_the_subscription),
		cmocka_unit_test(a_gap_ends_what_was_listened_and_is_not_in_what_follows),
		cmocka_unit_test(drops_end_what_was_listened),
		cmocka_unit_test(a_jump_of_the_clock_ends_what_was_listened),
		cmocka_unit_test(
			nothing_is_vouched_for_that_a_jump_since_the_last_look_would_speak_against),
		cmocka_unit_test(a_clock_set_back_delays_no_telling_but_vouches_for_nothing_twice),
		cmocka_unit_test(
			nothing_is_vouched_for_that_a_missed_heartbeat_would_speak_against),
		cmocka_unit_test(no_gap_reaches_into_what_was_told_before_or_after),
	};

	return cmocka_run_group_tests(tests, make_batch, free_batch);
}
