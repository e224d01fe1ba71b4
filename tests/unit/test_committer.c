#include "run/committer.h"

#include "base/file.h"
#include "fault.h"
#include "scratch.h"
#include "spool_kit.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* What the callback was told; read when the committer has stopped. */
struct told {
	unsigned count;
	struct err why;
};

static void on_fatal(void *arg, const struct err *why)
{
	struct told *told = arg;

	told->count++;
	told->why = *why;
}

static struct committer *start(struct spool *s, struct told *told)
{
	const struct committer_options options = {.spool = s, .fatal = on_fatal, .arg = told};
	struct committer *c = NULL;
	struct err err = {0};

	assert_int_equal(committer_start(&c, &options, &err), ERR_NONE);
	return c;
}

static void stopping_makes_everything_accepted(void **state)
{
	struct told told = {0};
	struct spool_stats st;
	struct committer *c;
	struct scratch dir;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	c = start(s, &told);
	kit_append(s, 2000, 5000); /* more than the two blocks hold: it has to commit meanwhile */
	committer_stop(c);
	spool_stats(s, &st);
	assert_int_equal(st.accepted_seq, 2000);
	assert_int_equal(told.count, 0);
	spool_close(s);
	committer_stop(NULL);
	scratch_remove(&dir);
}

static int failing_fdatasync(int fd)
{
	(void)fd;
	errno = EIO;
	return -1;
}

static void a_disk_that_fails_is_told_once_and_ends_the_thread(void **state)
{
	static const struct fault_disk disk = {.fdatasync = failing_fdatasync};
	struct told told = {0};
	struct spool_stats st;
	struct committer *c;
	struct scratch dir;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 3, 10);
	fault_set_disk(&disk);
	c = start(s, &told);
	committer_stop(c);
	fault_set_disk(NULL);
	spool_stats(s, &st);
	assert_int_equal(st.accepted_seq, 0);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.why.kind, ERR_FATAL);
	assert_non_null(strstr(told.why.text, "sync"));
	spool_close(s);
	scratch_remove(&dir);
}

static _Atomic int full_calls;

static ssize_t full_for_a_while(int fd, const void *bytes, size_t len, off_t at)
{
	if (full_calls-- <= 0)
		return fault_real_pwrite(fd, bytes, len, at);
	errno = ENOSPC;
	return -1;
}

static void a_full_disk_is_tried_again_until_there_is_room(void **state)
{
	static const struct fault_disk disk = {.pwrite = full_for_a_while};
	struct told told = {0};
	struct spool_stats st;
	struct committer *c;
	struct scratch dir;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 3, 10);
	full_calls = 3;
	fault_set_disk(&disk);
	c = start(s, &told);
	committer_stop(c);
	fault_set_disk(NULL);
	spool_stats(s, &st);
	assert_int_equal(st.accepted_seq, 3);
	assert_int_equal(told.count, 0);
	spool_close(s);
	scratch_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stopping_makes_everything_accepted),
		cmocka_unit_test(a_disk_that_fails_is_told_once_and_ends_the_thread),
		cmocka_unit_test(a_full_disk_is_tried_again_until_there_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
