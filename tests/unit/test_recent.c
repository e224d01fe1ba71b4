/* What was read a short while ago is known, and nothing else is. */

#include "source/recent.h"

#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static bool look(struct recent *r, const char *app, const char *line)
{
	bool known = false;
	struct err err;

	assert_int_equal(recent_look(r, span_text(app), span_text(line), &known, &err), ERR_NONE);
	return known;
}

static bool look_at_number(struct recent *r, int n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "line %d", n);
	return look(r, "web-1", text);
}

static void a_line_is_known_from_the_second_time_on(void **state)
{
	struct recent *r = NULL;
	struct err err;

	(void)state;
	assert_int_equal(recent_new(&r, &err), ERR_NONE);
	assert_false(look(r, "web-1", "a"));
	assert_true(look(r, "web-1", "a"));
	assert_false(look(r, "web-2", "a"));
	assert_false(look(r, "web-1", "a\n"));
	assert_false(look(r, "web-1", ""));
	assert_true(look(r, "web-1", "a"));
	recent_free(r);
}

static void the_last_lines_are_known_and_far_older_ones_are_not(void **state)
{
	enum { MANY = 3 * RECENT_LINES };
	struct recent *r = NULL;
	struct err err;

	(void)state;
	assert_int_equal(recent_new(&r, &err), ERR_NONE);
	for (int i = 0; i < MANY; i++)
		assert_false(look_at_number(r, i));
	for (int i = MANY - RECENT_LINES; i < MANY; i++)
		assert_true(look_at_number(r, i));
	assert_false(look_at_number(r, 0));
	recent_free(r);
}

static void make_under_faults(void *arg)
{
	struct recent *r = NULL;
	struct err err = {ERR_NONE, ""};

	(void)arg;
	if (recent_new(&r, &err))
		assert_int_equal(err.kind, ERR_FATAL);
	else
		assert_false(look(r, "web-1", "a"));
	recent_free(r);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	(void)state;
	fault_everywhere(make_under_faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_known_from_the_second_time_on),
		cmocka_unit_test(the_last_lines_are_known_and_far_older_ones_are_not),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
