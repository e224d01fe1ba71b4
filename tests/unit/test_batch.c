#include "fault.h"
#include "model/batch.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct batch *make(void)
{
	struct batch *b = NULL;
	struct err err;

	assert_int_equal(batch_new(&b, &err), ERR_NONE);
	return b;
}

static void lines_and_subjects_stay_apart(void **state)
{
	struct batch *b = make();
	struct raw *first = batch_add(b, SPAN("logs.a.ams.1"), SPAN("{\"a\":1}"));
	struct raw *second = batch_add(b, SPAN(""), SPAN(""));
	struct raw *third = batch_add(b, SPAN("s"), SPAN("x\0y"));

	(void)state;
	assert_non_null(first);
	assert_non_null(second);
	assert_non_null(third);
	assert_int_equal(b->count, 3);
	assert_true(span_is(batch_subject(b, first), "logs.a.ams.1"));
	assert_true(span_is(batch_line(b, first), "{\"a\":1}"));
	assert_int_equal(first->full_len, 7);
	assert_int_equal(batch_subject(b, second).len, 0);
	assert_int_equal(batch_line(b, second).len, 0);
	assert_true(span_equal(batch_line(b, third), SPAN("x\0y")));
	batch_free(b);
	batch_free(NULL);
}

static void the_longest_line_fits_an_empty_batch(void **state)
{
	struct batch *b = make();
	char *line = calloc(1, RAW_BYTES_MAX + 1);

	(void)state;
	assert_null(batch_add(b, SPAN(""), span_of(line, RAW_BYTES_MAX + 1)));
	assert_non_null(batch_add(b, SPAN("subject"), span_of(line, RAW_BYTES_MAX)));
	assert_true(batch_is_full(b));
	assert_true(b->bytes.cap > BATCH_KEEP_BYTES);
	batch_reset(b);
	assert_int_equal(b->bytes.cap, 0);
	assert_false(batch_is_full(b));
	free(line);
	batch_free(b);
}

static void a_batch_is_full_by_lines_or_by_bytes(void **state)
{
	struct batch *b = make();
	char line[1024] = {0};

	(void)state;
	for (size_t i = 0; i < BATCH_RECORDS_MAX; i++) {
		assert_false(batch_is_full(b));
		assert_non_null(batch_add(b, SPAN("s"), SPAN("l")));
	}
	assert_true(batch_is_full(b));
	assert_null(batch_add(b, SPAN("s"), SPAN("l")));
	batch_reset(b);
	assert_int_equal(b->count, 0);
	for (size_t i = 0; i < BATCH_BYTES_FULL / sizeof(line); i++) {
		assert_false(batch_is_full(b));
		assert_non_null(batch_add(b, SPAN(""), span_of(line, sizeof(line))));
	}
	assert_true(batch_is_full(b));
	batch_free(b);
}

static void gaps_past_the_last_widen_it(void **state)
{
	struct batch *b = make();
	const struct gap *last = &b->gaps[BATCH_GAPS_MAX - 1];

	(void)state;
	for (int i = 0; i < BATCH_GAPS_MAX; i++)
		assert_true(batch_add_gap(
			b, &(struct gap){.start_ns = 100, .end_ns = 200, .lines_lost = 2}));
	assert_false(
		batch_add_gap(b, &(struct gap){.start_ns = 50, .end_ns = 150, .lines_lost = 3}));
	assert_int_equal(b->gap_count, BATCH_GAPS_MAX);
	assert_int_equal(last->start_ns, 50);
	assert_int_equal(last->end_ns, 200);
	assert_int_equal(last->lines_lost, 5);
	assert_false(batch_add_gap(b, &(struct gap){.start_ns = 60, .end_ns = INT64_MAX}));
	assert_int_equal(last->end_ns, INT64_MAX);
	assert_int_equal(last->lines_lost, 0);
	batch_free(b);
}

static void what_was_listened_is_bounded_and_gone_after_a_reset(void **state)
{
	struct batch *b = make();

	(void)state;
	for (int i = 0; i < BATCH_LISTENED_MAX; i++)
		assert_true(batch_add_listened(b, &(struct listened){i, i + 1}));
	assert_false(batch_add_listened(b, &(struct listened){8, 9}));
	assert_int_equal(b->listened_count, BATCH_LISTENED_MAX);
	assert_int_equal(b->listened[BATCH_LISTENED_MAX - 1].until_ns, BATCH_LISTENED_MAX);
	b->shared = true;
	batch_reset(b);
	assert_int_equal(b->listened_count, 0);
	assert_false(b->shared);
	batch_free(b);
}

static void the_lists_have_names(void **state)
{
	(void)state;
	assert_string_equal(source_name(SOURCE_NATS), "nats");
	assert_string_equal(source_name(SOURCE_TRAIL), "trail");
	assert_string_equal(gap_reason_name(GAP_start), "start");
	for (unsigned a = 0; a < SOURCE_COUNT; a++) {
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(source_name((enum record_source)a),
						source_name((enum record_source)b));
	}
}

static void fill_under_faults(void *arg)
{
	struct batch *b = NULL;
	struct err err;
	char line[1000];

	(void)arg;
	memset(line, 'l', sizeof(line));
	if (batch_new(&b, &err)) {
		assert_int_equal(err.kind, ERR_FATAL);
		return;
	}
	for (int i = 0; i < 100; i++) {
		size_t count = b->count;
		const struct raw *raw = batch_add(b, SPAN("subject"), span_of(line, sizeof(line)));

		assert_int_equal(b->count, raw ? count + 1 : count);
	}
	fault_pause(); /* memory is back: so is the batch */
	assert_non_null(batch_add(b, SPAN("subject"), span_of(line, sizeof(line))));
	fault_resume();
	for (size_t i = 0; i < b->count; i++) {
		struct span got = batch_line(b, &b->raws[i]);

		assert_true(span_equal(got, span_of(line, sizeof(line))));
	}
	batch_free(b);
}

static void no_memory_fault_spoils_the_lines_that_are_in(void **state)
{
	(void)state;
	fault_everywhere(fill_under_faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_and_subjects_stay_apart),
		cmocka_unit_test(the_longest_line_fits_an_empty_batch),
		cmocka_unit_test(a_batch_is_full_by_lines_or_by_bytes),
		cmocka_unit_test(gaps_past_the_last_widen_it),
		cmocka_unit_test(what_was_listened_is_bounded_and_gone_after_a_reset),
		cmocka_unit_test(the_lists_have_names),
		cmocka_unit_test(no_memory_fault_spoils_the_lines_that_are_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
