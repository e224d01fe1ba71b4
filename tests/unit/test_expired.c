/* Rows that came too late, from the count to the fact: what a crash, a reader or a disk does to it.
 */

#include "fault.h"
#include "scratch.h"

#include "base/time.h"
#include "run/expired.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct spool_stream ours = {.uuid = {{1, 2, 3}}, .epoch = 1};
static const struct spool_stream other = {.uuid = {{4, 5, 6}}, .epoch = 1};

static const struct limits_expired ten[LIMITS_KINDS] = {
	[LIMITS_LINES] = {.rows = 10, .first_us = -5, .last_us = 7, .first_seq = 3, .last_seq = 20},
	[LIMITS_OPERATIONS] =
		{.rows = 1, .first_us = 6, .last_us = 6, .first_seq = 9, .last_seq = 9},
};
static const struct limits_expired two[LIMITS_KINDS] = {
	[LIMITS_LINES] = {.rows = 2, .first_us = -9, .last_us = 1, .first_seq = 24, .last_seq = 25},
};

struct world {
	struct scratch dir;
	struct expired *expired;
	struct err err;
};

static void open_anew(struct world *w, const struct spool_stream *stream)
{
	expired_close(w->expired);
	w->expired = NULL;
	assert_int_equal(expired_open(&w->expired, w->dir.path, stream, &w->err), ERR_NONE);
}

static int make_world(void **state)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	scratch_make(&w.dir);
	open_anew(&w, &ours);
	*state = &w;
	return 0;
}

static int remove_world(void **state)
{
	struct world *w = *state;

	expired_close(w->expired);
	scratch_remove(&w->dir);
	return 0;
}

static void note(struct world *w, const struct limits_expired *rows, uint64_t last_seq)
{
	assert_int_equal(expired_note(w->expired, rows, last_seq, &w->err), ERR_NONE);
}

static void settle(struct world *w, uint64_t cursor)
{
	assert_int_equal(expired_settle(w->expired, cursor, &w->err), ERR_NONE);
}

static bool tell(struct world *w, enum limits_kind kind, bool is_end, struct fact *ret)
{
	bool any;

	assert_int_equal(expired_tell(w->expired, kind, is_end, ret, &any, &w->err), ERR_NONE);
	return any;
}

static uint64_t told_rows(struct world *w, enum limits_kind kind)
{
	struct fact fact;

	return tell(w, kind, true, &fact) ? fact.gap.lines_lost : 0;
}

static void rows_count_once_the_cursor_is_behind_them(void **state)
{
	struct world *w = *state;
	struct fact fact;

	note(w, ten, 20);
	assert_false(tell(w, LIMITS_LINES, true, &fact));
	settle(w, 20);
	assert_true(tell(w, LIMITS_LINES, false, &fact));
	assert_int_equal(fact.action, ACTION_trail_expired);
	assert_string_equal(fact.found.subject, "log_lines");
	assert_int_equal(fact.gap.lines_lost, 10);
	assert_int_equal(fact.gap.start_ns, -5000);
	assert_int_equal(fact.gap.end_ns, 7000);
	assert_int_equal(fact.first_seq, 3);
	assert_int_equal(fact.last_seq, 20);
	assert_false(tell(w, LIMITS_SECURITY, true, &fact));
	assert_int_equal(told_rows(w, LIMITS_OPERATIONS), 1);
}

static void rows_whose_commit_did_not_come_about_do_not(void **state)
{
	struct world *w = *state;
	struct fact fact;

	note(w, ten, 20);
	settle(w, 19);
	assert_false(tell(w, LIMITS_LINES, true, &fact));
	/* Nor later, when the cursor has come past them with rows that were stored. */
	open_anew(w, &ours);
	settle(w, 40);
	assert_false(tell(w, LIMITS_LINES, true, &fact));
}

static void a_crash_at_any_time_keeps_the_count(void **state)
{
	struct world *w = *state;

	note(w, ten, 20);
	open_anew(w, &ours);
	settle(w, 20);
	open_anew(w, &ours);
	settle(w, 22);
	note(w, two, 25);
	open_anew(w, &ours);
	settle(w, 25);
	assert_int_equal(told_rows(w, LIMITS_LINES), 12);
}

static void a_fact_is_the_same_until_it_is_told(void **state)
{
	struct world *w = *state;
	struct fact first, again;

	note(w, ten, 20);
	settle(w, 20);
	assert_true(tell(w, LIMITS_LINES, false, &first));
	note(w, two, 25);
	fault_step_clock(NS_PER_S);
	open_anew(w, &ours);
	settle(w, 25);
	assert_true(tell(w, LIMITS_LINES, false, &again));
	assert_int_equal(again.noticed_ns, first.noticed_ns);
	assert_int_equal(again.gap.lines_lost, 10);
	assert_int_equal(again.last_seq, 20);
	assert_int_equal(expired_told(w->expired, &w->err), ERR_NONE);
	open_anew(w, &ours);
	assert_true(tell(w, LIMITS_LINES, false, &again));
	assert_int_equal(again.gap.lines_lost, 2);
	assert_int_equal(again.gap.start_ns, -9000);
	assert_int_not_equal(again.noticed_ns, first.noticed_ns);
}

static void facts_of_a_kind_are_a_minute_apart(void **state)
{
	struct world *w = *state;
	struct fact fact;

	note(w, ten, 20);
	settle(w, 20);
	assert_true(tell(w, LIMITS_LINES, false, &fact));
	assert_int_equal(expired_told(w->expired, &w->err), ERR_NONE);
	note(w, two, 25);
	settle(w, 25);
	fault_step_clock((EXPIRED_TELL_SECONDS - 1) * NS_PER_S);
	assert_false(tell(w, LIMITS_LINES, false, &fact));
	fault_step_clock(2 * NS_PER_S);
	assert_true(tell(w, LIMITS_LINES, false, &fact));
	assert_int_equal(fact.gap.lines_lost, 2);
}

static void what_is_of_another_stream_or_damaged_says_nothing(void **state)
{
	struct world *w = *state;
	uint8_t byte = 0xff;
	int fd;

	note(w, ten, 20);
	open_anew(w, &other);
	settle(w, 20);
	assert_int_equal(told_rows(w, LIMITS_LINES), 0);
	open_anew(w, &ours);
	settle(w, 20);
	assert_int_equal(told_rows(w, LIMITS_LINES), 10);
	fd = open(scratch_file(&w->dir, EXPIRED_NAME), O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &byte, 1, 60), 1);
	(void)close(fd);
	open_anew(w, &ours);
	assert_int_equal(told_rows(w, LIMITS_LINES), 0);
	note(w, two, 25);
	assert_int_equal(truncate(scratch_file(&w->dir, EXPIRED_NAME), 100), 0);
	open_anew(w, &ours);
	settle(w, 25);
	assert_int_equal(told_rows(w, LIMITS_LINES), 0);
}

/* Each call that fails says so, and what it says is noted is there after a crash. */
static void note_and_open(void *arg)
{
	struct world *w = arg;
	struct expired *e = NULL;
	struct err err;
	bool is_noted;

	if (expired_open(&e, w->dir.path, &ours, &err))
		return;
	is_noted = expired_note(e, ten, 20, &err) == ERR_NONE;
	expired_close(e);
	if (!is_noted)
		return;
	fault_pause();
	open_anew(w, &ours);
	settle(w, 20);
	assert_int_equal(told_rows(w, LIMITS_LINES), 10);
	expired_close(w->expired);
	w->expired = NULL;
	(void)unlink(scratch_file(&w->dir, EXPIRED_NAME));
	fault_resume();
}

static void no_fault_loses_what_is_noted(void **state)
{
	fault_everywhere(note_and_open, *state);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_world, remove_world)
	const struct CMUnitTest tests[] = {
		TEST(rows_count_once_the_cursor_is_behind_them),
		TEST(rows_whose_commit_did_not_come_about_do_not),
		TEST(a_crash_at_any_time_keeps_the_count),
		TEST(a_fact_is_the_same_until_it_is_told),
		TEST(facts_of_a_kind_are_a_minute_apart),
		TEST(what_is_of_another_stream_or_damaged_says_nothing),
		TEST(no_fault_loses_what_is_noted),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
