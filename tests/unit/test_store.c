/* The store without a server: what it does about memory, and about URLs that lead nowhere. */

#include "fault.h"
#include "store/migrate.h"
#include "store/postgres.h"
#include "store/session.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct store_options options_for(const char *url)
{
	return (struct store_options){.url = url, .stream = {.epoch = 1}, .replica = "test"};
}

static enum err_kind connect_to(const char *url, struct err *err)
{
	struct store_options options = options_for(url);
	struct store *s;
	uint64_t cursor = 12345;
	enum err_kind rc = store_new(&s, &options, err);

	assert_int_equal(rc, ERR_NONE);
	rc = store_connect(s, &cursor, err);
	assert_int_equal(cursor, 12345);
	store_free(s);
	return rc;
}

static void nobody_there_is_tried_again(void **state)
{
	struct err err;

	(void)state;
	/* Port 1 is nobody's on loopback. */
	assert_int_equal(connect_to("postgres://writer:hunter2@127.0.0.1:1/trail", &err),
			 ERR_RETRY);
	assert_non_null(strstr(err.text, "refused"));
	assert_non_null(strstr(err.text, "FLYTRAIL_DATABASE_URL"));
	assert_null(strstr(err.text, "hunter2"));
}

static void a_url_that_cannot_be_read_is_never_quoted(void **state)
{
	static const char *const urls[] = {
		"postgres://writer:hunter2@host:port/trail",
		"postgres://writer:hunt%zzer2@host/trail",
		"postgres://writer:hunter2@h/trail?nonsense=hunter2",
		"hunter2",
		"postgres://writer:hun@ter2@127.0.0.1:1/trail",
		"host='hunter2",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct err err;

		if (connect_to(urls[i], &err) != ERR_CONFIG)
			fail_msg("%s: %s", urls[i], err.text);
		assert_non_null(strstr(err.text, "FLYTRAIL_DATABASE_URL"));
		assert_null(strstr(err.text, "ter2"));
	}
}

static void nothing_is_written_without_a_connection(void **state)
{
	struct store_options options = options_for("postgres://127.0.0.1:1/trail");
	struct spool_batch batch = {.count = 1};
	struct store_job job = {.batch = &batch, .count = 1};
	struct store_result result;
	struct store *s;
	struct err err;

	(void)state;
	assert_int_equal(store_new(&s, &options, &err), ERR_NONE);
	assert_int_equal(store_write(s, &job, &result, &err), ERR_RETRY);
	assert_int_equal(store_make_partitions(s, &err), ERR_RETRY);
	store_free(s);
	store_free(NULL);
	session_close(NULL);
}

static void the_schemas_numbers_decide(void **state)
{
	int newest = migrate_newest();
	struct err err;

	(void)state;
	assert_true(newest > 0);
	assert_int_equal(migrate_check(newest, newest, &err), ERR_NONE);
	assert_int_equal(migrate_check(newest + 5, newest, &err), ERR_NONE);
	assert_int_equal(migrate_check(newest + 5, newest + 2, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "install a newer flytrail"));
	assert_int_equal(migrate_check(newest - 1, 1, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "flytrail migrate"));
	assert_int_equal(migrate_check(0, 0, &err), ERR_CONFIG);
}

static void make_and_connect(void *arg)
{
	struct store_options options = options_for(arg);
	struct store *s = NULL;
	uint64_t cursor;
	struct err err;
	enum err_kind rc = store_new(&s, &options, &err);

	if (rc) {
		assert_int_equal(rc, ERR_FATAL);
		assert_null(s);
		return;
	}
	rc = store_connect(s, &cursor, &err);
	assert_true(rc == ERR_RETRY || rc == ERR_FATAL);
	store_free(s);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	char url[] = "postgres://127.0.0.1:1/trail";

	(void)state;
	fault_everywhere(make_and_connect, url);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_there_is_tried_again),
		cmocka_unit_test(a_url_that_cannot_be_read_is_never_quoted),
		cmocka_unit_test(nothing_is_written_without_a_connection),
		cmocka_unit_test(the_schemas_numbers_decide),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
