/* What the file store-foreign says, and of which stream. */

#include "fault.h"
#include "scratch.h"

#include "run/foreign.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct spool_stream ours = {.uuid = {{1, 2, 3}}, .epoch = 1};
static const struct spool_stream adopted = {.uuid = {{4, 5, 6}}, .epoch = 2};

static void write_file(const struct scratch *dir, const char *text)
{
	int fd = open(scratch_file(dir, FOREIGN_NAME), O_CREAT | O_TRUNC | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
}

static void a_mark_is_about_one_stream_until_it_is_cleared(void **state)
{
	struct scratch dir;
	struct err err = {0};

	(void)state;
	scratch_make(&dir);
	assert_false(foreign_is_marked(dir.path, &ours));
	assert_int_equal(foreign_mark(dir.path, &ours, &err), ERR_NONE);
	assert_true(foreign_is_marked(dir.path, &ours));
	assert_false(foreign_is_marked(dir.path, &adopted));
	assert_int_equal(foreign_mark(dir.path, &adopted, &err), ERR_NONE);
	assert_true(foreign_is_marked(dir.path, &adopted));
	for (int again = 0; again < 2; again++) {
		assert_int_equal(foreign_clear(dir.path, &err), ERR_NONE);
		assert_false(foreign_is_marked(dir.path, &adopted));
	}
	scratch_remove(&dir);
}

static void a_mark_that_names_no_stream_is_about_any(void **state)
{
	static const char *const texts[] = {
		"",
		"Postgres had records of this stream that are not of this spool\n",
		"Postgres had records of stream 01020300-0000-0000-0000-00000000000",
		"Postgres had records of stream 01020300-0000-0000-0000-00000000000x\n",
	};
	struct scratch dir;
	struct err err = {0};

	(void)state;
	scratch_make(&dir);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		write_file(&dir, texts[i]);
		assert_true(foreign_is_marked(dir.path, &ours));
		assert_true(foreign_is_marked(dir.path, &adopted));
	}
	assert_int_equal(unlink(scratch_file(&dir, FOREIGN_NAME)), 0);
	assert_int_equal(mkdir(scratch_file(&dir, FOREIGN_NAME), 0700), 0);
	assert_true(foreign_is_marked(dir.path, &ours));
	assert_int_not_equal(foreign_clear(dir.path, &err), ERR_NONE);
	scratch_remove(&dir);
}

static void mark_and_look(void *arg)
{
	const struct scratch *dir = arg;
	struct err err = {0};

	if (foreign_mark(dir->path, &ours, &err) == ERR_NONE)
		assert_true(foreign_is_marked(dir->path, &ours)); /* also where it cannot be read */
	(void)!foreign_clear(dir->path, &err);
}

static void no_fault_makes_a_mark_that_is_there_unseen(void **state)
{
	struct scratch dir;

	(void)state;
	scratch_make(&dir);
	fault_everywhere(mark_and_look, &dir);
	scratch_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_is_about_one_stream_until_it_is_cleared),
		cmocka_unit_test(a_mark_that_names_no_stream_is_about_any),
		cmocka_unit_test(no_fault_makes_a_mark_that_is_there_unseen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
