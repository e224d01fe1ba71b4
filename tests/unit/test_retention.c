#include "run/retention.h"

#include "base/json.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { TEXT_BYTES_MAX = 128 * 1024 };

static void the_plans_words_are_a_hold_a_gap_or_something_else(void **state)
{
	(void)state;
	assert_string_equal(retention_state("hold 4718f5dc: a gap"), "hold");
	assert_string_equal(retention_state("a gap in it is open: hold"), "gap");
	assert_string_equal(retention_state("something new"), "refused");
	assert_string_equal(retention_state(""), "refused");
}

static void what_is_kept_for_its_term_does_not_wait(void **state)
{
	struct retention_row row = {.why = "kept until 2026-12-01"};

	(void)state;
	assert_true(retention_row_is_kept(&row));
	assert_false(retention_row_waits(&row));
	row.why = "kept for ever: no term is set";
	assert_true(retention_row_is_kept(&row));
	row.why = "hold x: kept until 2026-12-01";
	assert_false(retention_row_is_kept(&row));
	assert_true(retention_row_waits(&row));
	row.why = "past keep_for";
	row.goes = true;
	assert_false(retention_row_is_kept(&row));
	assert_false(retention_row_waits(&row));
}

static struct json *written(const struct retention_archive *a, const char *failure)
{
	struct json *json = NULL;
	struct buf out;
	struct err err;

	buf_init(&out, TEXT_BYTES_MAX);
	retention_write_archive(a, failure, &out);
	assert_int_equal(buf_check(&out, &err), ERR_NONE);
	assert_int_equal(json_parse(&json, span_of(out.data, out.len), &err), ERR_NONE);
	buf_release(&out);
	return json;
}

static void what_the_archive_has_is_json_with_its_keys(void **state)
{
	struct retention_archive a = {.rows = 12, .digest = "00ff", .objects = 3};
	const struct json *index;
	struct json *json;

	(void)state;
	buf_init(&a.keys, RETENTION_KEYS_BYTES_MAX);
	retention_add_key(&a, SPAN("flytrail/a\"b"));
	retention_add_key(&a, SPAN("flytrail/c"));
	json = written(&a, NULL);
	assert_true(json_number(json_member(json, "rows")) == 12);
	assert_true(json_number(json_member(json, "objects")) == 3);
	assert_true(span_is(json_text(json_member(json, "digest")), "00ff"));
	assert_null(json_member(json, "failure"));
	index = json_first(json_member(json, "index"));
	assert_true(span_is(json_text(index), "flytrail/a\"b"));
	assert_true(span_is(json_text(json_next(index)), "flytrail/c"));
	assert_null(json_next(json_next(index)));
	json_free(json);
	buf_release(&a.keys);
}

static void an_archive_that_could_not_be_read_says_why(void **state)
{
	struct retention_archive a = {.rows = 0};
	struct json *json;

	(void)state;
	buf_init(&a.keys, RETENTION_KEYS_BYTES_MAX);
	json = written(&a, "an object is \"damaged\"");
	assert_true(span_is(json_text(json_member(json, "failure")), "an object is \"damaged\""));
	assert_null(json_first(json_member(json, "index")));
	json_free(json);
	buf_release(&a.keys);
}

static void more_keys_than_are_kept_are_left_out(void **state)
{
	struct retention_archive a = {.rows = 0};
	const struct json *key;
	struct json *json;
	size_t count = 0;

	(void)state;
	buf_init(&a.keys, RETENTION_KEYS_BYTES_MAX);
	for (int i = 0; i < RETENTION_KEYS_MAX + 5; i++)
		retention_add_key(&a, SPAN("flytrail/index"));
	json = written(&a, NULL);
	for (key = json_first(json_member(json, "index")); key; key = json_next(key))
		count++;
	assert_int_equal(count, RETENTION_KEYS_MAX);
	json_free(json);
	buf_release(&a.keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_plans_words_are_a_hold_a_gap_or_something_else),
		cmocka_unit_test(what_is_kept_for_its_term_does_not_wait),
		cmocka_unit_test(what_the_archive_has_is_json_with_its_keys),
		cmocka_unit_test(an_archive_that_could_not_be_read_says_why),
		cmocka_unit_test(more_keys_than_are_kept_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
