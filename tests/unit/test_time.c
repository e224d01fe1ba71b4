#include "base/time.h"
#include "fault.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct case_ns {
	const char *text;
	int64_t ns;
	unsigned digits;
};

static void forms_of_rfc_3339_are_read(void **state)
{
	static const struct case_ns cases[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"1970-01-01 00:00:00.1Z", 100000000, 1},
		{"2022-09-27T20:34:39.660159411Z", 1664310879660159411, 9},
		{"2022-09-27t20:34:39.660159411z", 1664310879660159411, 9},
		{"2022-09-27T22:34:39.660159411+02:00", 1664310879660159411, 9},
		{"2022-09-27T15:04:39.660159411-05:30", 1664310879660159411, 9},
		{"2022-09-27T20:34:39.6601594119999Z", 1664310879660159411, 13},
		{"2000-02-29T23:59:59Z", 951868799, 0},
		{"1969-12-31T23:59:59.5Z", -500000000, 1},
		{"2016-12-31T23:59:60Z", 1483228800, 0},
		{"1677-09-21T00:12:43.145224192Z", INT64_MIN, 9},
		{"2262-04-11T23:47:16.854775807Z", INT64_MAX, 9},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t want = cases[i].ns;
		int64_t ns = 0;
		unsigned digits = 99;

		if (cases[i].digits == 0)
			want *= NS_PER_S;
		assert_true(time_parse(span_text(cases[i].text), false, &ns, &digits));
		assert_int_equal(ns, want);
		assert_int_equal(digits, cases[i].digits);
	}
}

static void what_is_no_time_is_refused_and_sets_nothing(void **state)
{
	static const char *const cases[] = {
		"",
		"2022",
		"2022-09-27",
		"2022-09-27T20:34:39",
		"2022-09-27T20:34Z",
		"2022-09-27T20:34:39.Z",
		"2022-09-27T20:34:39,5Z",
		"2022-09-27T20:34:39Z ",
		" 2022-09-27T20:34:39Z",
		"2022-09-27T20:34:39+0200",
		"2022-09-27T20:34:39+02:60",
		"2022-09-27T20:34:39+24:00",
		"2022-09-27_20:34:39Z",
		"2022-00-27T20:34:39Z",
		"2022-13-27T20:34:39Z",
		"2022-02-29T20:34:39Z",
		"1900-02-29T20:34:39Z",
		"2022-04-31T20:34:39Z",
		"2022-09-00T20:34:39Z",
		"2022-09-27T24:00:00Z",
		"2022-09-27T20:60:39Z",
		"2022-09-27T20:34:61Z",
		"2022-9-27T20:34:39Z",
		"-022-09-27T20:34:39Z",
		"20 2-09-27T20:34:39Z",
		"0000-01-01T00:00:00Z",
		"1677-09-21T00:12:43.145224191Z",
		"2262-04-11T23:47:16.854775808Z",
		"9999-12-31T23:59:59Z",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ns = 7;
		unsigned digits = 7;

		assert_false(time_parse(span_text(cases[i]), false, &ns, &digits));
		assert_int_equal(ns, 7);
		assert_int_equal(digits, 7);
	}
}

static void a_zone_may_be_left_out_only_where_allowed(void **state)
{
	int64_t ns = 0;
	unsigned digits;

	(void)state;
	assert_true(time_parse(SPAN("1970-01-01 00:00:01.25"), true, &ns, &digits));
	assert_int_equal(ns, 1250000000);
	assert_true(time_parse(SPAN("1970-01-01T00:00:01Z"), true, &ns, &digits));
	assert_false(time_parse(SPAN("1970-01-01T00:00:01+"), true, &ns, &digits));
}

static void every_prefix_is_refused(void **state)
{
	struct span text = SPAN("2022-09-27T20:34:39.660159411+02:00");
	int64_t ns;
	unsigned digits;

	(void)state;
	for (size_t len = 0; len < text.len; len++)
		assert_false(time_parse(span_of(text.data, len), false, &ns, &digits));
}

static void what_is_written_reads_back(void **state)
{
	static const int64_t odd[] = {INT64_MIN, INT64_MIN + 1, -NS_PER_S, -1, 0, 1, INT64_MAX};
	const int64_t step = 97 * 86399 * NS_PER_S + 123456789;
	char text[TIME_TEXT_BYTES];
	int64_t ns;
	unsigned digits;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		assert_true(time_parse(span_text(time_format(odd[i], text)), false, &ns, &digits));
		assert_int_equal(ns, odd[i]);
	}
	for (int64_t at = INT64_MIN; at < INT64_MAX - step; at += step) {
		assert_true(time_parse(span_text(time_format(at, text)), false, &ns, &digits));
		assert_int_equal(ns, at);
		assert_int_equal(digits, 9);
	}
	assert_string_equal(time_format(1664310879660159411, text),
			    "2022-09-27T20:34:39.660159411Z");
	assert_string_equal(time_format(INT64_MIN, text), "1677-09-21T00:12:43.145224192Z");
}

static void the_clocks_go_forward(void **state)
{
	int64_t wall = time_now_ns();
	int64_t monotonic = time_monotonic_ns();

	(void)state;
	assert_true(wall > INT64_C(1700000000) * NS_PER_S);
	assert_true(time_monotonic_ns() >= monotonic);
	fault_step_clock(90 * NS_PER_S);
	assert_true(time_monotonic_ns() - monotonic >= 90 * NS_PER_S);
	assert_true(time_now_ns() - wall >= 89 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_of_rfc_3339_are_read),
		cmocka_unit_test(what_is_no_time_is_refused_and_sets_nothing),
		cmocka_unit_test(a_zone_may_be_left_out_only_where_allowed),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(the_clocks_go_forward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
