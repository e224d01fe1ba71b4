/* The books about what Postgres has: whatever happens to the cursor, they agree with it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run/account.h"

enum { OPENED_SEQ = 100 };

static struct status status;
static uint64_t cursor;

static int setup(void **state)
{
	(void)state;
	status_init(&status);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	status_release(&status);
	return 0;
}

static void connect_at(uint64_t seq)
{
	cursor = seq;
	account_connected(&status, OPENED_SEQ, seq);
}

static void write_up_to(uint64_t seq)
{
	cursor = seq;
	account_cursor(&status, seq);
}

/* With so much accepted by this process, what was found and what is left is what was passed. */
static void assert_sums(uint64_t accepted, uint64_t found, uint64_t unanswered, uint64_t forgotten)
{
	uint64_t left = OPENED_SEQ + accepted - cursor;

	assert_int_equal(status.stored_seq, cursor);
	assert_int_equal(status.records_found, found);
	assert_int_equal(status.records_unanswered, unanswered);
	assert_int_equal(status.records_forgotten, forgotten);
	assert_int_equal(accepted + found, status.records_passed - status.records_forgotten + left);
}

static void a_spool_that_is_stored_wholly_has_nothing_found(void **state)
{
	(void)state;
	assert_false(status.stored_known);
	connect_at(100);
	assert_true(status.stored_known);
	assert_sums(5, 0, 0, 0);
	write_up_to(103);
	assert_sums(5, 0, 0, 0);
	assert_int_equal(status.records_passed, 3);
}

static void what_an_earlier_process_left_is_found(void **state)
{
	(void)state;
	connect_at(60);
	assert_sums(0, 40, 0, 0);
	write_up_to(100);
	assert_sums(7, 40, 0, 0);
	assert_int_equal(status.records_passed, 40);
}

static void a_commit_without_an_answer_is_passed_all_the_same(void **state)
{
	(void)state;
	connect_at(100);
	write_up_to(110);
	connect_at(130);
	assert_sums(40, 0, 20, 0);
	write_up_to(140);
	assert_sums(40, 0, 20, 0);
}

static void what_postgres_forgets_is_passed_again(void **state)
{
	(void)state;
	connect_at(100);
	write_up_to(150);
	connect_at(80);
	assert_sums(50, 0, 0, 70);
	write_up_to(150);
	assert_sums(50, 0, 0, 70);
	assert_int_equal(status.records_passed, 120);
}

static void a_write_is_counted_by_its_rows(void **state)
{
	const struct store_result result = {
		.lines = 5, .events = 3, .duplicates = 4, .line_duplicates = 2};
	struct histogram_reading took;

	(void)state;
	account_written(&status, &result, 7);
	account_written(&status, &result, 8);
	assert_int_equal(status.lines_stored, 10);
	assert_int_equal(status.events_stored, 6);
	assert_int_equal(status.duplicates, 8);
	assert_int_equal(status.lines_duplicate, 4);
	assert_true(status.last_stored_ns >= status.started_ns);
	histogram_read(&status.transactions, &took);
	assert_int_equal(took.count, 2);
	assert_int_equal(took.sum_ns, 15);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_spool_that_is_stored_wholly_has_nothing_found),
		TEST(what_an_earlier_process_left_is_found),
		TEST(a_commit_without_an_answer_is_passed_all_the_same),
		TEST(what_postgres_forgets_is_passed_again),
		TEST(a_write_is_counted_by_its_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
