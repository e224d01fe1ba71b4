/* The positions that were written are those that are read, and what is no such file is none. */

#include "source/positions.h"

#include "base/file.h"

#include "fault.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct err err;

static struct scratch folder;

static int set_up(void **state)
{
	(void)state;
	scratch_make(&folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	scratch_remove(&folder);
	return 0;
}

static void write_text(const char *text)
{
	assert_int_equal(file_replace(folder.path, POSITIONS_NAME, text, strlen(text), &err),
			 ERR_NONE);
}

static void what_was_written_is_read(void **state)
{
	struct position apps[] = {
		{.app = "web-1", .sure_ns = INT64_C(1790000000000000001), .checked_ns = 0},
		{.app = "db", .sure_ns = 5, .checked_ns = INT64_MAX},
	};
	const struct positions written = {
		.began_ns = 7, .listened_ns = 8, .apps = apps, .count = ARRAY_LEN(apps)};
	struct positions read;

	(void)state;
	assert_int_equal(positions_write(folder.path, &written, &err), ERR_NONE);
	assert_int_equal(positions_read(folder.path, &read, &err), ERR_NONE);
	assert_int_equal(read.began_ns, 7);
	assert_int_equal(read.listened_ns, 8);
	assert_int_equal(read.count, 2);
	for (size_t i = 0; i < read.count; i++) {
		assert_string_equal(read.apps[i].app, apps[i].app);
		assert_true(read.apps[i].sure_ns == apps[i].sure_ns);
		assert_true(read.apps[i].checked_ns == apps[i].checked_ns);
	}
	positions_release(&read);
}

static void as_many_as_there_can_be_are_kept(void **state)
{
	struct positions all = {.began_ns = 1, .listened_ns = 1, .count = LOGS_API_APPS_MAX}, read;

	(void)state;
	all.apps = calloc(LOGS_API_APPS_MAX, sizeof(*all.apps));
	assert_non_null(all.apps);
	for (size_t i = 0; i < LOGS_API_APPS_MAX; i++) {
		struct position *p = &all.apps[i];

		(void)snprintf(p->app, sizeof(p->app), "%064zu", i);
		p->sure_ns = INT64_MAX;
		p->checked_ns = INT64_MAX;
	}
	assert_int_equal(positions_write(folder.path, &all, &err), ERR_NONE);
	assert_int_equal(positions_read(folder.path, &read, &err), ERR_NONE);
	assert_int_equal(read.count, LOGS_API_APPS_MAX);
	assert_memory_equal(read.apps, all.apps, LOGS_API_APPS_MAX * sizeof(*all.apps));
	positions_release(&read);
	positions_release(&all);
}

static void what_is_no_such_file_counts_as_none(void **state)
{
#define HEAD "flytrail http positions 1\n"
	static const char *const texts[] = {
		"",
		"flytrail http positions 2\nbegan 5\nlistened 6\n",
		HEAD,
		HEAD "began\n",
		HEAD "began -5\n",
		HEAD "began 5 6\n",
		HEAD "began 5\n",
		HEAD "listened 6\n",
		HEAD "began 99999999999999999999\n",
		HEAD "began 5\nlistened 6\napp web-1 7\n",
		HEAD "began 5\nlistened 6\napp web-1 7 8 9\n",
		HEAD "began 5\nlistened 6\napp  7 8\n",
		HEAD "began 5\nlistened 6\nother 7\n",
		HEAD
		"began 5\nlistened 6\napp aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa 7 8\n",
	};
	struct positions read;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		write_text(texts[i]);
		assert_int_equal(positions_read(folder.path, &read, &err), ERR_NONE);
		assert_int_equal(read.began_ns, 0);
		assert_int_equal(read.count, 0);
		positions_release(&read);
	}
	write_text(HEAD "began 5\nlistened 6\napp web-1 7 8\n");
	assert_int_equal(positions_read(folder.path, &read, &err), ERR_NONE);
	assert_int_equal(read.began_ns, 5);
	assert_int_equal(read.count, 1);
	positions_release(&read);
#undef HEAD
}

static void without_a_file_there_are_none(void **state)
{
	struct positions read;

	(void)state;
	assert_int_equal(positions_read(scratch_file(&folder, "nothing"), &read, &err), ERR_NONE);
	assert_int_equal(read.began_ns, 0);
	positions_release(&read);
}

static void write_and_read(void *arg)
{
	struct position app = {.app = "web-1", .sure_ns = 1};
	const struct positions written = {
		.began_ns = 9, .listened_ns = 9, .apps = &app, .count = 1};
	struct positions read = {.apps = NULL};
	enum err_kind rc = positions_write(folder.path, &written, &err);

	(void)arg;
	if (rc == ERR_NONE)
		rc = positions_read(folder.path, &read, &err);
	if (rc == ERR_NONE)
		assert_int_equal(read.began_ns, 9);
	else
		assert_int_not_equal(err.kind, ERR_NONE);
	positions_release(&read);
}

static void no_fault_leaks_or_tears_the_file(void **state)
{
	(void)state;
	fault_everywhere(write_and_read, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_written_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(as_many_as_there_can_be_are_kept, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_such_file_counts_as_none, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(without_a_file_there_are_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_fault_leaks_or_tears_the_file, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
