/* /ready and /health are green and red for the right reasons, and say what to do. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "serve/health.h"
#include "names.h"

#include <string.h>

static struct status status;
static struct buf body;

static struct spool_stats stats;
static const struct spool_stats *spool; /* NULL: not open */

static int setup(void **state)
{
	(void)state;
	status_init(&status);
	buf_init(&body, HEALTH_BODY_BYTES_MAX);
	stats = (struct spool_stats){.bytes = 10, .max_bytes = 100};
	spool = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	status_release(&status);
	buf_release(&body);
	return 0;
}

static void all_is_well(void)
{
	spool = &stats;
	atomic_store(&status.source_started, true);
	atomic_store(&status.source_connected, true);
	atomic_store(&status.source_why, NULL);
	status_set_store(&status, STORE_WORKING, "");
}

static bool ready(void)
{
	buf_reset(&body);
	return health_ready(&status, spool, &body);
}

static bool healthy(void)
{
	buf_reset(&body);
	return health_health(&status, spool, &body);
}

/* The body is JSON, its status says what was returned, and the named check alone is red. */
static void assert_only_red(const char *name, const char *value)
{
	struct json *root = NULL;
	struct err err;
	const struct json *check;
	unsigned red = 0;

	assert_int_equal(buf_check(&body, &err), ERR_NONE);
	assert_int_equal(json_parse(&root, span_of(body.data, body.len), &err), ERR_NONE);
	assert_true(span_is(json_text(json_member(root, "status")), name ? "failing" : "ok"));
	check = json_first(json_member(root, "checks"));
	for (; check != NULL; check = json_next(check)) {
		if (json_bool(json_member(check, "ok"))) {
			assert_null(json_member(check, "do"));
			continue;
		}
		red++;
		assert_non_null(name);
		assert_true(span_is(json_text(json_member(check, "name")), name));
		assert_true(span_is(json_text(json_member(check, "value")), value));
		assert_true(json_text(json_member(check, "do")).len > 0);
	}
	assert_int_equal(red, name ? 1 : 0);
	json_free(root);
}

static void before_anything_runs_all_is_red(void **state)
{
	(void)state;
	assert_false(ready());
	assert_false(healthy());
}

static void all_is_well_is_green(void **state)
{
	(void)state;
	all_is_well();
	assert_true(ready());
	assert_only_red(NULL, NULL);
	assert_true(healthy());
	assert_only_red(NULL, NULL);
}

static void a_source_that_retries_is_ready_and_not_healthy(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.source_connected, false);
	atomic_store(&status.source_why, "the server said \"no\"");
	assert_true(ready());
	assert_false(healthy());
	assert_only_red("source", "the server said \"no\"");
	atomic_store(&status.source_why, NULL);
	assert_false(healthy());
	assert_only_red("source", "not connected");
}

static void a_source_that_has_not_started_is_not_ready(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.source_started, false);
	atomic_store(&status.source_connected, false);
	assert_false(ready());
}

static void a_postgres_that_is_away_is_ready_and_not_healthy(void **state)
{
	(void)state;
	all_is_well();
	status_set_store(&status, STORE_RETRYING, "connection refused");
	assert_true(ready());
	assert_false(healthy());
	assert_only_red("store", "retrying: connection refused");
	status_set_store(&status, STORE_PARKED, "another machine writes this stream");
	assert_true(ready());
	assert_false(healthy());
	assert_only_red("store", "parked: another machine writes this stream");
	status_set_store(&status, STORE_STARTING, "");
	assert_false(healthy());
	assert_only_red("store", "starting");
}

static void a_full_spool_is_ready_and_not_healthy(void **state)
{
	(void)state;
	all_is_well();
	stats.full = true;
	stats.bytes = 100;
	assert_true(ready());
	assert_false(healthy());
	assert_only_red("spool", "full: 100 of 100 bytes");
}

static void what_a_crash_and_the_disk_did_to_the_spool_is_told(void **state)
{
	struct json *root = NULL;
	const struct json *check;
	struct err err;

	(void)state;
	all_is_well();
	stats.torn_bytes = 4000;
	stats.damage_count = 3;
	assert_true(healthy());
	assert_int_equal(json_parse(&root, span_of(body.data, body.len), &err), ERR_NONE);
	check = json_next(json_first(json_member(root, "checks")));
	assert_true(span_is(json_text(json_member(check, "name")), "spool"));
	assert_true(json_number(json_member(check, "torn_bytes")) == 4000);
	assert_true(json_number(json_member(check, "damaged_segments")) == 3);
	json_free(root);
}

static void a_closed_spool_is_neither(void **state)
{
	(void)state;
	all_is_well();
	spool = NULL;
	assert_false(ready());
	assert_only_red("spool", "not open");
	assert_false(healthy());
	assert_only_red("spool", "not open");
}

static void the_longest_texts_fit_and_stay_json(void **state)
{
	char error[ERR_TEXT_BYTES];

	(void)state;
	all_is_well();
	memset(error, 1, sizeof(error) - 1); /* six bytes each in JSON */
	error[sizeof(error) - 1] = '\0';
	status_set_store(&status, STORE_RETRYING, error);
	assert_false(healthy());
	assert_true(body.len > 6 * (sizeof(error) - 1));
	assert_true(body.len < HEALTH_BODY_BYTES_MAX);
	assert_int_equal(body.failed, ERR_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(before_anything_runs_all_is_red),
		TEST(all_is_well_is_green),
		TEST(a_source_that_retries_is_ready_and_not_healthy),
		TEST(a_source_that_has_not_started_is_not_ready),
		TEST(a_postgres_that_is_away_is_ready_and_not_healthy),
		TEST(a_full_spool_is_ready_and_not_healthy),
		TEST(what_a_crash_and_the_disk_did_to_the_spool_is_told),
		TEST(a_closed_spool_is_neither),
		TEST(the_longest_texts_fit_and_stay_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
