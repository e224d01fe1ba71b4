/* Hits that overlap become one, under the kind that says most, and markers are no hits. */

#include "stage/hits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct hits hits;
static struct arena arena;

static int set_up(void **state)
{
	(void)state;
	hits_init(&hits);
	arena_init(&arena, 1024 * 1024);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	hits_release(&hits);
	arena_release(&arena);
	return 0;
}

static void add(struct span text, size_t start, size_t end, enum secret_kind kind)
{
	hits_add(&hits, text, &(struct hit){start, end, kind});
}

static void assert_becomes(struct span text, const char *expected)
{
	struct span out;

	hits_merge(&hits, 0);
	out = hits_replace(&hits, &arena, text);
	if (!span_is(out, expected))
		fail_msg("%.*s is not %s", (int)out.len, out.data, expected);
}

static void hits_are_replaced_in_order(void **state)
{
	struct span text = SPAN("abcdef");

	(void)state;
	add(text, 4, 6, SECRET_token);
	add(text, 0, 1, SECRET_jwt);
	assert_becomes(text, "[REDACTED:jwt]bcd[REDACTED:token]");
}

static void hits_that_overlap_become_one(void **state)
{
	struct span text = SPAN("abcdef");

	(void)state;
	add(text, 1, 3, SECRET_token);
	add(text, 2, 5, SECRET_jwt);
	add(text, 1, 2, SECRET_cookie);
	assert_becomes(text, "a[REDACTED:jwt]f");
}

static void neighbours_stay_apart(void **state)
{
	struct span text = SPAN("abcd");

	(void)state;
	add(text, 0, 2, SECRET_token);
	add(text, 2, 4, SECRET_token);
	assert_becomes(text, "[REDACTED:token][REDACTED:token]");
}

static void a_marker_is_no_hit(void **state)
{
	struct span text = SPAN("x[REDACTED:jwt]y");

	(void)state;
	add(text, 1, 15, SECRET_token);
	add(text, 1, 9, SECRET_token);
	add(text, 3, 3, SECRET_token);
	assert_int_equal(hits_count(&hits), 0);
	add(text, 1, 16, SECRET_token);
	assert_int_equal(hits_count(&hits), 1);
}

static void only_the_names_in_markers_are_theirs(void **state)
{
	struct span text = SPAN("[REDACTED:jwt] jwt [REDACTED:nothing]");

	(void)state;
	assert_true(secret_in_marker(text, 10));
	assert_true(secret_in_marker(text, 12));
	assert_false(secret_in_marker(text, 15));
	assert_false(secret_in_marker(text, 30));
	assert_false(secret_in_marker(text, 0));
}

static void too_many_hits_are_admitted(void **state)
{
	struct span text = SPAN("ab");

	(void)state;
	for (size_t i = 0; i <= HITS_BYTES_MAX / sizeof(struct hit); i++)
		add(text, 0, 1, SECRET_token);
	assert_true(hits_failed(&hits));
	hits_reset(&hits);
	assert_false(hits_failed(&hits));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hits_are_replaced_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hits_that_overlap_become_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(neighbours_stay_apart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_marker_is_no_hit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_the_names_in_markers_are_theirs, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(too_many_hits_are_admitted, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
