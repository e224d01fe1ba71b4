/* /status fits a terminal, says what is wrong and what to do, and obeys nobody's bytes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "serve/status_page.h"

#include <string.h>

#define NOW_NS (INT64_C(1777844911) * NS_PER_S) /* 2026-05-03T21:48:31Z */

static struct status status;
static struct look look;
static struct health health;
static struct buf body;

static int setup(void **state)
{
	(void)state;
	status_init(&status);
	buf_init(&body, STATUS_PAGE_BYTES_MAX);
	look = (struct look){
		.status = &status,
		.heartbeat_seconds = 30,
		.now_ns = NOW_NS,
		.monotonic_ns = status.started_monotonic_ns + 3725 * NS_PER_S,
		.spool_open = true,
		.spool = {.max_bytes = 1000},
	};
	atomic_store(&status.source_connected, true);
	status_set_store(&status, STORE_WORKING, "");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	status_release(&status);
	buf_release(&body);
	return 0;
}

/* The page, every row of which is printable and fits. */
static const char *page(void)
{
	struct err err;
	size_t columns = 0;

	buf_reset(&body);
	health_health(&look, &health);
	status_page_write(&look, &health, &body);
	assert_int_equal(buf_check(&body, &err), ERR_NONE);
	for (size_t i = 0; i < body.len; i++) {
		if (body.data[i] == '\n') {
			assert_true(i == 0 || body.data[i - 1] != ' ');
			columns = 0;
			continue;
		}
		assert_in_range(body.data[i], ' ', '~');
		assert_true(++columns <= STATUS_PAGE_COLUMNS);
	}
	assert_int_equal(columns, 0);
	return (const char *)body.data;
}

static void a_process_that_is_well_says_so(void **state)
{
	const char *text;

	(void)state;
	text = page();
	assert_non_null(strstr(text, ", up 1 h 2 min "));
	assert_non_null(strstr(text, " 2026-05-03T21:48:31Z\n"));
	assert_non_null(strstr(text, "\nAll is well"));
	assert_non_null(strstr(text, "\n  store       ok        working\n"));
	assert_null(strstr(text, "NOT"));
	assert_null(strstr(text, "do:"));
	assert_null(strstr(text, "Which:"));
}

static void what_is_not_well_has_its_limit_and_what_to_do(void **state)
{
	const char *text;

	(void)state;
	status_set_store(&status, STORE_PARKED, "another machine writes this stream");
	text = page();
	assert_non_null(strstr(text, "\nNOT ALL IS WELL"));
	assert_non_null(strstr(text, "\n  store       NOT OK    parked: another machine"));
	assert_non_null(strstr(text, "\n                        limit: working\n"));
	assert_non_null(strstr(text, "\n                        do:    `flytrail doctor` says"));
	look.monotonic_ns = status.started_monotonic_ns;
	atomic_store(&status.was_healthy, false);
	assert_non_null(strstr(page(), "\nIt is starting"));
}

static void numbers_stand_below_each_other(void **state)
{
	const char *text, *received, *stored;

	(void)state;
	atomic_store(&status.lines_received, 123456);
	atomic_store(&status.lines_stored, 7);
	atomic_store(&status.gaps_open, 2);
	text = page();
	received = strstr(text, "  lines received  ");
	stored = strstr(text, "  lines stored  ");
	assert_non_null(received);
	assert_non_null(stored);
	assert_int_equal(strchr(received, '\n') - received, strchr(stored, '\n') - stored);
	assert_int_equal(strncmp(strchr(received, '\n') - 7, " 123456", 7), 0);
	assert_int_equal(strncmp(strchr(stored, '\n') - 2, " 7", 2), 0);
	assert_non_null(strstr(text, "flytrail.gaps"));
}

static void what_a_server_said_is_wrapped_and_does_nothing_to_a_terminal(void **state)
{
	char error[ERR_TEXT_BYTES];
	const char *text;

	(void)state;
	status_set_store(&status, STORE_RETRYING,
			 "\x1b[2J \xc2\x9b"
			 "31m a\tb\nc \xff\x7f");
	text = page();
	assert_non_null(strstr(text, "retrying: ?[2J ??31m a?b?c ??\n"));
	memset(error, 'x', sizeof(error) - 1); /* a word that is longer than a row */
	error[sizeof(error) - 1] = '\0';
	status_set_store(&status, STORE_RETRYING, error);
	assert_non_null(strstr(page(), "xxxx\n                        xxxx"));
}

static void a_sink_that_is_on_has_its_numbers(void **state)
{
	(void)state;
	assert_null(strstr(page(), "Forwarding"));
	sink_status_set(&status.sinks[SINK_S3], SINK_WORKING, "");
	atomic_store(&status.sinks[SINK_S3].records, 4711);
	assert_non_null(strstr(page(), "\nForwarding to s3\n  records delivered since the start"));
	assert_non_null(strstr(page(), "4711\n"));
	assert_null(strstr(page(), "datadog"));
}

static void the_longest_page_fits(void **state)
{
	char error[ERR_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(error) - 1; i++)
		error[i] = i % 2 ? ' ' : 'x';
	error[sizeof(error) - 1] = '\0';
	status_set_store(&status, STORE_RETRYING, error);
	for (size_t i = 0; i < SINK_COUNT; i++) {
		sink_status_set(&status.sinks[i], SINK_PARKED, error);
		atomic_store(&status.sinks[i].records, UINT64_MAX);
	}
	atomic_store(&status.lines_received, UINT64_MAX);
	atomic_store(&status.source_connected, false);
	atomic_store(&status.oldest_unstored_ns, 1);
	atomic_store(&status.clock_jumps, UINT64_MAX);
	atomic_store(&status.clock_jumped_ns, NOW_NS);
	atomic_store(&status.worker_why, "the token is refused");
	atomic_store(&status.heartbeat_on, true);
	atomic_store(&status.heartbeats_missed, UINT64_MAX);
	look.spool = (struct spool_stats){
		.full = true, .held_bytes = UINT64_MAX / 2, .max_bytes = UINT64_MAX};
	(void)page();
	assert_true(body.len < STATUS_PAGE_BYTES_MAX / 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_process_that_is_well_says_so),
		TEST(what_is_not_well_has_its_limit_and_what_to_do),
		TEST(numbers_stand_below_each_other),
		TEST(what_a_server_said_is_wrapped_and_does_nothing_to_a_terminal),
		TEST(a_sink_that_is_on_has_its_numbers),
		TEST(the_longest_page_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
