#include "model/class.h"
#include "names.h"
#include "panics.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void every_class_reads_back_by_its_name(void **state)
{
	(void)state;
	for (unsigned c = 0; c < CLASS_COUNT; c++) {
		enum line_class read = CLASS_COUNT;

		assert_true(class_parse(span_text(class_name((enum line_class)c)), &read));
		assert_int_equal(read, c);
	}
	assert_false(class_parse(SPAN(""), &(enum line_class){0}));
	assert_false(class_parse(SPAN("Deploy"), &(enum line_class){0}));
	assert_false(class_parse(SPAN("deploys"), &(enum line_class){0}));
}

static void every_class_but_app_log_is_kept_for_a_reason(void **state)
{
	(void)state;
	assert_string_equal(class_retention(CLASS_app_log), "");
	for (unsigned c = CLASS_app_log + 1; c < CLASS_COUNT; c++) {
		const char *retention = class_retention((enum line_class)c);

		assert_true(strcmp(retention, "security") == 0 ||
			    strcmp(retention, "operations") == 0);
	}
	assert_string_equal(class_retention(CLASS_ssh_session), "security");
}

/* "ssh_session.opened" is an ssh_session. */
static void every_action_begins_with_its_class(void **state)
{
	(void)state;
	assert_string_equal(action_name(ACTION_none), "");
	assert_int_equal(action_class(ACTION_none), CLASS_app_log);
	for (unsigned a = ACTION_none + 1; a < ACTION_COUNT; a++) {
		const char *class = class_name(action_class((enum action)a));
		const char *name = action_name((enum action)a);

		assert_true(span_starts(span_text(name), span_text(class)));
		assert_int_equal(name[strlen(class)], '.');
		assert_true(action_severity((enum action)a) <= SEVERITY_FATAL);
		assert_true(strlen(action_doc((enum action)a)) > 10);
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(name, action_name((enum action)b));
	}
}

static void every_trust_has_its_name(void **state)
{
	(void)state;
	assert_string_equal(trust_name(TRUST_PLATFORM), "platform");
	assert_string_equal(trust_name(TRUST_GUEST), "guest");
	assert_string_equal(trust_name(TRUST_API), "api");
	assert_string_equal(trust_name(TRUST_SELF), "self");
}

static void name_no_class(void)
{
	(void)class_name(CLASS_COUNT);
}

static void name_no_action(void)
{
	(void)action_name(ACTION_COUNT);
}

static void name_no_trust(void)
{
	(void)trust_name(TRUST_COUNT);
}

static void what_is_in_no_list_has_no_name(void **state)
{
	(void)state;
	assert_true(panics(name_no_class));
	assert_true(panics(name_no_action));
	assert_true(panics(name_no_trust));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_class_reads_back_by_its_name),
		cmocka_unit_test(every_class_but_app_log_is_kept_for_a_reason),
		cmocka_unit_test(every_action_begins_with_its_class),
		cmocka_unit_test(every_trust_has_its_name),
		cmocka_unit_test(what_is_in_no_list_has_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
