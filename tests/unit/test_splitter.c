#include "source/splitter.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define TEXT                                                        \
	"{\"event\":{}}\r\n{\n  \"a\": \"} \\\" {\",\n  \"meta\": " \
	"{}\n}\n\n{\"a\":\nplain\n{\"cut\n"                         \
	"  {\"b\":[1,\n  2\n  ]}\n{\n  \"level\": 1,\n2026-05-03T22:04:17Z\n{}{}\nend"

static const char *const wanted[] = {
	"{\"event\":{}}",
	"{\n  \"a\": \"} \\\" {\",\n  \"meta\": {}\n}",
	"{\"a\":",
	"plain",
	"{\"cut",
	"  {\"b\":[1,\n  2\n  ]}",
	"{\n  \"level\": 1,",
	"2026-05-03T22:04:17Z",
	"{}{}",
	"end",
};

/* Splits text when step more bytes of it come each time. */
static void split(struct span text, size_t step)
{
	struct splitter s;
	size_t start = 0, end = 0, count = 0;

	splitter_reset(&s);
	while (start < text.len) {
		struct unit unit;

		if (!splitter_next(&s, span_of(text.data + start, end - start), end == text.len,
				   &unit)) {
			end = text.len - end < step ? text.len : end + step;
			continue;
		}
		assert_in_range(unit.used, 1, end - start);
		assert_in_range(unit.bytes.len, 0, unit.used);
		start += unit.used;
		if (unit.bytes.len == 0)
			continue;
		assert_true(count < ARRAY_LEN(wanted));
		assert_true(span_is(unit.bytes, wanted[count++]));
	}
	assert_int_equal(count, ARRAY_LEN(wanted));
}

static void pieces_make_no_difference(void **state)
{
	(void)state;
	for (size_t step = 1; step <= sizeof(TEXT); step++)
		split(SPAN(TEXT), step);
}

static void every_prefix_is_split_to_its_end(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(TEXT); len++) {
		struct splitter s;
		size_t start = 0;
		struct unit unit;

		splitter_reset(&s);
		while (splitter_next(&s, span_of(&TEXT[start], len - start), true, &unit)) {
			assert_true(unit.used > 0);
			start += unit.used;
		}
		assert_int_equal(start, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_make_no_difference),
		cmocka_unit_test(every_prefix_is_split_to_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
