#include "base/file.h"

#include "base/util.h"
#include "fault.h"
#include "scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "skip.h"

enum { CEILING_BYTES = 200 * 1024, SOMEBODY = 10001 };

static int make_scratch(void **state)
{
	struct scratch *s = malloc(sizeof(*s));

	scratch_make(s);
	*state = s;
	return 0;
}

static int remove_scratch(void **state)
{
	scratch_remove(*state);
	free(*state);
	return 0;
}

static void what_is_written_reads_back(void **state)
{
	const char *path = scratch_file(*state, "a");
	struct err err;
	struct file_stamp stamp;
	struct stat st;
	int ends[2];
	char bytes[16];
	uint64_t size = 0;
	size_t len = 0;
	int fd = -1;

	assert_int_equal(file_open(&fd, path, FILE_CREATE, &err), ERR_NONE);
	assert_int_equal(file_write_at(fd, "hello world", 11, 5, &err), ERR_NONE);
	assert_int_equal(file_sync(fd, &err), ERR_NONE);
	assert_int_equal(file_size(fd, &size, &err), ERR_NONE);
	assert_int_equal(size, 16);
	assert_int_equal(file_read_at(fd, bytes, 5, 11, &len, &err), ERR_NONE);
	assert_int_equal(len, 5);
	assert_memory_equal(bytes, "world", 5);
	assert_int_equal(file_read_at(fd, bytes, sizeof(bytes), 11, &len, &err), ERR_NONE);
	assert_int_equal(len, 5);
	assert_int_equal(file_truncate(fd, 7, &err), ERR_NONE);
	assert_int_equal(file_size(fd, &size, &err), ERR_NONE);
	assert_int_equal(size, 7);
	assert_int_equal(file_allocate(fd, 8192, &err), ERR_NONE);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 8192);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(file_stamp(fd, &stamp, &err), ERR_NONE);
	assert_true(stamp.number == st.st_ino);
	assert_true(stamp.written_ns == st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec);
	file_close(&fd);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(file_stamp(ends[0], &stamp, &err), ERR_NONE);
	assert_true(stamp.number == 0);
	assert_int_equal(close(ends[0]) | close(ends[1]), 0);
	assert_int_equal(fd, -1);
	file_close(&fd);
}

static void rights_and_paths_are_the_operators(void **state)
{
	const char *path = scratch_file(*state, "none");
	struct err err;
	int fd = -1;

	assert_int_equal(file_open(&fd, path, FILE_READ, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, path));
	assert_non_null(strstr(err.text, "No such file"));
	assert_int_equal(file_open(&fd, path, FILE_WRITE, &err), ERR_CONFIG);
	assert_int_equal(file_open(&fd, path, FILE_CREATE, &err), ERR_NONE);
	file_close(&fd);
	assert_int_equal(file_open(&fd, path, FILE_CREATE, &err), ERR_CONFIG);
	assert_int_equal(file_sync_folder(path, &err), ERR_CONFIG);
	assert_int_equal(file_remove(path, &err), ERR_NONE);
	assert_int_equal(file_remove(path, &err), ERR_CONFIG);
	assert_int_equal(file_rename(path, "/nowhere/else", &err), ERR_CONFIG);
	assert_int_equal(file_volume(path, &(uint64_t){0}, &(uint64_t){0}, &err), ERR_CONFIG);
}

static void a_full_device_is_full(void **state)
{
	struct err err;
	int fd = -1;

	(void)state;
	assert_int_equal(file_open(&fd, "/dev/full", FILE_WRITE, &err), ERR_NONE);
	assert_int_equal(file_write_at(fd, "x", 1, 0, &err), ERR_FULL);
	file_close(&fd);
}

static void replacing_leaves_the_new_and_nothing_else(void **state)
{
	const struct scratch *s = *state;
	struct err err;
	struct buf b;

	buf_init(&b, CEILING_BYTES);
	assert_int_equal(file_replace(s->path, "state", "old text", 8, &err), ERR_NONE);
	assert_int_equal(file_replace(s->path, "state", "new", 3, &err), ERR_NONE);
	assert_int_equal(file_read_all(scratch_file(s, "state"), &b, &err), ERR_NONE);
	assert_string_equal((char *)b.data, "new");
	assert_int_equal(access(scratch_file(s, "state.new"), F_OK), -1);
	buf_release(&b);
}

static void check_owner(const char *path, unsigned user)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, user);
	assert_int_equal(st.st_gid, user);
}

/* As by `fly ssh console`, while `run` is another user. */
static void what_root_makes_in_somebodys_folder_is_theirs(void **state)
{
	const struct scratch *s = *state;
	struct err err;
	int fd = -1;

	if (geteuid() != 0)
		skip_because("only root can make a file for somebody else");
	assert_int_equal(file_open(&fd, scratch_file(s, "ours"), FILE_CREATE, &err), ERR_NONE);
	file_close(&fd);
	check_owner(scratch_file(s, "ours"), 0);
	assert_int_equal(chown(s->path, SOMEBODY, SOMEBODY), 0);
	assert_int_equal(file_open(&fd, scratch_file(s, "made"), FILE_CREATE, &err), ERR_NONE);
	file_close(&fd);
	check_owner(scratch_file(s, "made"), SOMEBODY);
	assert_int_equal(file_replace(s->path, "replaced", "x", 1, &err), ERR_NONE);
	check_owner(scratch_file(s, "replaced"), SOMEBODY);
}

static void write_file(const char *path, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	for (size_t i = 0; i < len; i++)
		assert_true(fputc((int)(i % 251), f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void reading_all_ends_at_the_ceiling(void **state)
{
	static const size_t lens[] = {0, 1, 64 * 1024, 64 * 1024 + 1, CEILING_BYTES};
	const char *path = scratch_file(*state, "big");
	struct err err;
	struct buf b;

	buf_init(&b, CEILING_BYTES);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		write_file(path, lens[i]);
		buf_reset(&b);
		assert_int_equal(file_read_all(path, &b, &err), ERR_NONE);
		assert_int_equal(b.len, lens[i]);
		for (size_t at = 0; at < b.len; at++)
			assert_int_equal(b.data[at], at % 251);
	}
	write_file(path, CEILING_BYTES + 1);
	buf_reset(&b);
	assert_int_equal(file_read_all(path, &b, &err), ERR_FULL);
	buf_release(&b);
}

static void folders_are_made_with_their_parents(void **state)
{
	struct scratch deep;
	struct err err;
	struct stat st;
	char file[2 * SCRATCH_PATH_BYTES];
	int len;

	len = snprintf(deep.path, sizeof(deep.path), "%s", scratch_file(*state, "deep/b//c/"));
	assert_true(len > 0 && len < (int)sizeof(deep.path));
	assert_int_equal(file_make_folder(deep.path, &err), ERR_NONE);
	assert_int_equal(file_make_folder(deep.path, &err), ERR_NONE);
	assert_int_equal(stat(deep.path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(file_sync_folder(deep.path, &err), ERR_NONE);
	(void)snprintf(file, sizeof(file), "%s/file", deep.path);
	write_file(file, 1);
	assert_int_equal(file_make_folder(file, &err), ERR_CONFIG);
	assert_int_equal(file_make_folder("", &err), ERR_CONFIG);
}

static void a_volume_has_room(void **state)
{
	const struct scratch *s = *state;
	uint64_t total = 0, free_bytes = 0;
	struct err err;

	assert_int_equal(file_volume(s->path, &total, &free_bytes, &err), ERR_NONE);
	assert_true(total > 0 && free_bytes <= total);
}

/* The old or the new stands there, whole, whatever failed. */
static void replace_under_faults(void *arg)
{
	const struct scratch *s = arg;
	struct err err;
	struct buf b;
	enum err_kind rc = file_replace(s->path, "state", "two!", 4, &err);

	fault_pause();
	buf_init(&b, CEILING_BYTES);
	assert_int_equal(file_read_all(scratch_file(s, "state"), &b, &err), ERR_NONE);
	if (rc == ERR_NONE)
		assert_string_equal((char *)b.data, "two!");
	else
		assert_true(strcmp((char *)b.data, "one") == 0 ||
			    strcmp((char *)b.data, "two!") == 0);
	buf_release(&b);
	assert_int_equal(file_replace(s->path, "state", "one", 3, &err), ERR_NONE);
	fault_resume();
}

static void a_failed_replace_leaves_the_old(void **state)
{
	const struct scratch *s = *state;
	struct err err;

	assert_int_equal(file_replace(s->path, "state", "one", 3, &err), ERR_NONE);
	fault_everywhere(replace_under_faults, *state);
}

static void read_under_faults(void *arg)
{
	struct err err = {0};
	struct buf b;
	enum err_kind rc;

	buf_init(&b, CEILING_BYTES);
	rc = file_read_all(scratch_file(arg, "big"), &b, &err);
	assert_true(rc == ERR_NONE || rc == ERR_RETRY || rc == ERR_FATAL);
	assert_true(rc == err.kind);
	assert_true(rc != ERR_NONE || b.len == 70000);
	buf_release(&b);
}

static void no_fault_of_a_read_leaks_or_crashes(void **state)
{
	write_file(scratch_file(*state, "big"), 70000);
	fault_everywhere(read_under_faults, *state);
}

static void the_rest_under_faults(void *arg)
{
	const struct scratch *s = arg;
	struct err err = {0};
	struct file_stamp stamp;
	uint64_t n;
	int fd = -1;

	if (file_make_folder(scratch_file(s, "x/y"), &err) == ERR_NONE &&
	    file_open(&fd, scratch_file(s, "x/y/z"), FILE_CREATE, &err) == ERR_NONE &&
	    file_allocate(fd, 100, &err) == ERR_NONE && file_truncate(fd, 50, &err) == ERR_NONE &&
	    file_size(fd, &n, &err) == ERR_NONE && file_stamp(fd, &stamp, &err) == ERR_NONE &&
	    file_sync(fd, &err) == ERR_NONE)
		assert_true(file_volume(s->path, &n, &n, &err) == ERR_NONE ||
			    err.kind == ERR_RETRY);
	file_close(&fd);
	if (file_remove(scratch_file(s, "x/y/z"), &err) != ERR_NONE)
		(void)remove(scratch_file(s, "x/y/z"));
}

static void no_fault_elsewhere_leaks_or_crashes(void **state)
{
	fault_everywhere(the_rest_under_faults, *state);
}

static void a_failed_sync_is_fatal(void **state)
{
	struct err err;

	fault_arm(1, false);
	assert_int_equal(file_sync(-1, &err), ERR_FATAL);
	(void)fault_disarm();
	fault_arm(2, false);
	assert_int_equal(file_sync_folder(((struct scratch *)*state)->path, &err), ERR_FATAL);
	(void)fault_disarm();
}

static void what_is_written_at_once_never_waits_for_a_reader(void **state)
{
	char line[100] = "a line";
	size_t written = 0;
	int ends[2], fd;

	(void)state;
	assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	assert_int_equal(pipe(ends), 0);
	while (file_write_at_once(ends[1], line, sizeof(line)))
		written += sizeof(line);
	assert_true(written >= 32 * 1024 && written <= 1024 * 1024);
	assert_false(file_write_at_once(ends[1], line, sizeof(line))); /* and again */
	for (size_t i = 0; i < 8192; i += sizeof(line))
		assert_int_equal(read(ends[0], line, sizeof(line)), sizeof(line));
	assert_true(file_write_at_once(ends[1], line, sizeof(line)));
	(void)close(ends[0]);
	assert_false(file_write_at_once(ends[1], line, sizeof(line))); /* nobody can read it */
	(void)close(ends[1]);
	assert_false(file_write_at_once(ends[1], line, sizeof(line)));
	fd = open("/dev/null", O_PATH);
	assert_true(fd >= 0);
	assert_false(file_write_at_once(fd, line, sizeof(line)));
	(void)close(fd);
	assert_false(file_write_at_once(-1, line, sizeof(line)));
}

static void what_is_there_in_whatever_way_is_not_missing(void **state)
{
	struct scratch dir;
	struct err err;

	(void)state;
	scratch_make(&dir);
	assert_true(file_is_missing(scratch_file(&dir, "a")));
	assert_int_equal(file_replace(dir.path, "a", "", 0, &err), ERR_NONE);
	assert_false(file_is_missing(scratch_file(&dir, "a")));
	assert_false(file_is_missing(scratch_file(&dir, "a/b"))); /* of a file that is no folder */
	assert_false(file_is_missing(dir.path));
	scratch_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(rights_and_paths_are_the_operators),
		cmocka_unit_test(a_full_device_is_full),
		cmocka_unit_test(replacing_leaves_the_new_and_nothing_else),
		cmocka_unit_test(what_root_makes_in_somebodys_folder_is_theirs),
		cmocka_unit_test(reading_all_ends_at_the_ceiling),
		cmocka_unit_test(folders_are_made_with_their_parents),
		cmocka_unit_test(a_volume_has_room),
		cmocka_unit_test(a_failed_replace_leaves_the_old),
		cmocka_unit_test(no_fault_of_a_read_leaks_or_crashes),
		cmocka_unit_test(no_fault_elsewhere_leaks_or_crashes),
		cmocka_unit_test(a_failed_sync_is_fatal),
		cmocka_unit_test(what_is_written_at_once_never_waits_for_a_reader),
		cmocka_unit_test(what_is_there_in_whatever_way_is_not_missing),
	};

	return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
