#include "base/buf.h"
#include "fault.h"
#include "panics.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { CEILING_BYTES = 1000 };

static void appends_end_to_end_with_a_nul(void **state)
{
	struct buf b;
	struct err err;

	(void)state;
	buf_init(&b, CEILING_BYTES);
	buf_str(&b, "a");
	buf_add(&b, "b\0c", 3);
	buf_span(&b, SPAN("d"));
	buf_u8(&b, 'e');
	buf_fmt(&b, "%d-%s", 12, "f");
	assert_int_equal(buf_check(&b, &err), ERR_NONE);
	assert_int_equal(b.len, 10);
	assert_memory_equal(b.data, "ab\0cde12-f", 11);
	buf_release(&b);
	assert_null(b.data);
}

static void the_ceiling_can_be_reached_and_not_passed(void **state)
{
	struct buf b;
	struct err err;

	(void)state;
	buf_init(&b, CEILING_BYTES);
	for (int i = 0; i < CEILING_BYTES; i++)
		buf_u8(&b, 'x');
	assert_int_equal(buf_check(&b, &err), ERR_NONE);
	assert_int_equal(b.data[CEILING_BYTES], '\0');
	buf_u8(&b, 'x');
	assert_int_equal(buf_check(&b, &err), ERR_FULL);
	assert_string_equal(err.text, "more than 1000 bytes in one buffer");
	assert_int_equal(b.len, CEILING_BYTES);
	buf_release(&b);
}

static void after_a_failure_nothing_is_added_until_reset(void **state)
{
	struct buf b;
	struct err err;

	(void)state;
	buf_init(&b, CEILING_BYTES);
	buf_str(&b, "kept");
	assert_null(buf_extend(&b, CEILING_BYTES));
	buf_str(&b, "lost");
	buf_fmt(&b, "%s", "lost");
	buf_cut(&b, 0);
	assert_int_equal(b.len, 4);
	assert_int_equal(buf_check(&b, &err), ERR_FULL);
	buf_reset(&b);
	buf_str(&b, "new");
	assert_int_equal(buf_check(&b, &err), ERR_NONE);
	assert_string_equal((char *)b.data, "new");
	buf_release(&b);
}

static void cutting_keeps_the_start(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, CEILING_BYTES);
	buf_cut(&b, 0);
	buf_str(&b, "abcdef");
	buf_cut(&b, 2);
	buf_str(&b, "g");
	assert_string_equal((char *)b.data, "abg");
	buf_release(&b);
}

static void cut_past_the_end(void)
{
	struct buf b;

	buf_init(&b, CEILING_BYTES);
	buf_cut(&b, 1);
}

static void cutting_to_more_than_there_is_is_a_bug(void **state)
{
	(void)state;
	assert_true(panics(cut_past_the_end));
}

static void append_under_faults(void *arg)
{
	struct err err = {0};
	struct buf b;

	(void)arg;
	buf_init(&b, CEILING_BYTES * 100);
	for (int i = 0; i < CEILING_BYTES; i++)
		buf_fmt(&b, "%04d", i);
	if (buf_check(&b, &err))
		assert_int_equal(err.kind, ERR_FATAL);
	else
		assert_int_equal(b.len, CEILING_BYTES * 4);
	buf_release(&b);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	(void)state;
	fault_everywhere(append_under_faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_end_to_end_with_a_nul),
		cmocka_unit_test(the_ceiling_can_be_reached_and_not_passed),
		cmocka_unit_test(after_a_failure_nothing_is_added_until_reset),
		cmocka_unit_test(cutting_keeps_the_start),
		cmocka_unit_test(cutting_to_more_than_there_is_is_a_bug),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
