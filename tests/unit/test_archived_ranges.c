/* Numbers of streams that stand in an archive, as Postgres is given them. */
#include "store/archived_ranges.h"

#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HOUR (INT64_C(3600) * NS_PER_S)
#define UUID(last) "\"00000000-0000-0000-0000-0000000000" last "\""
#define AT(hour) "\"1970-01-01T" hour ":00:00.000000000Z\""

static struct archived_ranges ranges;
static struct buf json;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	buf_init(&json, ARCHIVED_JSON_BYTES_MAX);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	archived_ranges_release(&ranges);
	buf_release(&json);
	return 0;
}

static enum err_kind try_add(const char *class, uint8_t stream, int64_t hour, uint64_t first,
			     uint64_t last)
{
	struct archived_range range = {
		.class = class, .from_ns = hour * HOUR, .first_seq = first, .last_seq = last};

	range.stream.bytes[ID_BYTES - 1] = stream;
	return archived_ranges_add(&ranges, &range, &err);
}

static void add(uint8_t stream, int64_t hour, uint64_t first, uint64_t last)
{
	assert_int_equal(try_add("", stream, hour, first, last), ERR_NONE);
}

static void assert_written(const char *class, int64_t since_hour, int64_t until_hour,
			   const char *expected)
{
	assert_int_equal(archived_ranges_write(&ranges, class, since_hour * HOUR, until_hour * HOUR,
					       &json, &err),
			 ERR_NONE);
	assert_string_equal((const char *)json.data, expected);
}

static void what_follows_on_each_other_is_one_range(void **state)
{
	(void)state;
	add(1, 0, 11, 20);
	add(1, 0, 1, 10);
	add(1, 0, 15, 18); /* within */
	add(1, 0, 22, 30); /* 21 is not there */
	assert_written("", 0, 24,
		       "[[" UUID("01") "," AT("00") ",1,20],[" UUID("01") "," AT("00") ",22,30]]");
	add(1, 0, 21, 21);
	assert_written("", 0, 24, "[[" UUID("01") "," AT("00") ",1,30]]");
}

static void streams_hours_and_classes_are_apart(void **state)
{
	(void)state;
	add(1, 0, 1, 10);
	add(2, 0, 11, 20);
	add(1, 1, 11, 20);
	assert_int_equal(try_add("security", 1, 0, 11, 20), ERR_NONE);
	assert_written("", 0, 1,
		       "[[" UUID("01") "," AT("00") ",1,10],[" UUID("02") "," AT("00") ",11,20]]");
	assert_written("", 1, 2, "[[" UUID("01") "," AT("01") ",11,20]]");
	assert_written("security", 0, 24, "[[" UUID("01") "," AT("00") ",11,20]]");
	assert_written("operations", 0, 24, "[]");
	assert_written("", 2, 24, "[]");
}

static void a_range_without_an_end_takes_what_is_behind_it(void **state)
{
	(void)state;
	add(1, 0, 7, UINT64_MAX);
	add(1, 0, UINT64_MAX - 1, UINT64_MAX);
	add(1, 0, 9, 9);
	assert_written("", 0, 1, "[[" UUID("01") "," AT("00") ",7,9223372036854775807]]");
}

static void ranges_are_bounded_however_many_objects_they_are_of(void **state)
{
	enum err_kind rc = ERR_NONE;

	(void)state;
	for (uint64_t n = 0; n < 3 * (uint64_t)ARCHIVED_RANGES_MAX; n++)
		add(1, 0, n, n);
	assert_written("", 0, 1, "[[" UUID("01") "," AT("00") ",0,1499999]]");
	for (uint64_t n = 0; n < 3 * (uint64_t)ARCHIVED_RANGES_MAX && !rc; n++)
		rc = try_add("", 2, 0, 2 * n, 2 * n);
	assert_int_equal(rc, ERR_FULL);
	assert_non_null(strstr(err.text, "500000 ranges"));
	assert_int_equal(archived_ranges_write(&ranges, "", 0, 1, &json, &err), ERR_FULL);
}

static void a_few(void *arg)
{
	enum err_kind rc = ERR_NONE;

	(void)arg;
	for (uint64_t n = 0; n < 600 && !rc; n++)
		rc = try_add("", 1, 0, 2 * n, 2 * n);
	if (!rc)
		rc = archived_ranges_write(&ranges, "", 0, 1, &json, &err);
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
	archived_ranges_release(&ranges);
	buf_release(&json);
}

static void no_memory_is_said(void **state)
{
	(void)state;
	fault_everywhere(a_few, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_follows_on_each_other_is_one_range),
		TEST(streams_hours_and_classes_are_apart),
		TEST(a_range_without_an_end_takes_what_is_behind_it),
		TEST(ranges_are_bounded_however_many_objects_they_are_of),
		TEST(no_memory_is_said),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
