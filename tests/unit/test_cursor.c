/* A sink's cursor is the old one or the new one, whole, and a damaged one is not believed. */
#include "sink/cursor.h"

#include "base/file.h"

#include "fault.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CUT "{\"key\":\"a \\\"b\\\"\"}"

enum { TEXT_BYTES = 4096 };

static const struct spool_stream stream = {.uuid = {{1, 2, 3}}, .epoch = 3};
static struct scratch dir;
static struct cursor cursor, read_back;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	scratch_make(&dir);
	cursor_init(&cursor, &stream);
	cursor_init(&read_back, &(struct spool_stream){.epoch = 1});
	cursor.delivered_seq = UINT64_MAX - 7;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	cursor_release(&cursor);
	cursor_release(&read_back);
	scratch_remove(&dir);
	return 0;
}

static void set_cut(void)
{
	cursor.cut_seq = UINT64_MAX - 1;
	buf_str(&cursor.cut, CUT);
	buf_str(&cursor.place, "a \"place\"");
}

static void assert_read_back(void)
{
	bool found;

	assert_int_equal(cursor_load(&read_back, dir.path, "s3", &found, &err), ERR_NONE);
	assert_true(found);
	assert_memory_equal(&read_back.stream.uuid, &stream.uuid, sizeof(stream.uuid));
	assert_int_equal(read_back.stream.epoch, 3);
	assert_true(read_back.delivered_seq == cursor.delivered_seq);
	assert_true(read_back.cut_seq == cursor.cut_seq);
	assert_int_equal(read_back.cut.len, cursor.cut.len);
	assert_int_equal(read_back.place.len, cursor.place.len);
	if (cursor.place.len > 0)
		assert_memory_equal(read_back.place.data, cursor.place.data, cursor.place.len);
	if (cursor.cut.len > 0)
		assert_memory_equal(read_back.cut.data, cursor.cut.data, cursor.cut.len);
}

static void what_is_saved_is_read_back(void **state)
{
	(void)state;
	assert_int_equal(cursor_save(&cursor, dir.path, "s3", &err), ERR_NONE);
	assert_read_back();
	set_cut();
	assert_int_equal(cursor_save(&cursor, dir.path, "s3", &err), ERR_NONE);
	assert_read_back();
	buf_reset(&cursor.cut);
	cursor.delivered_seq = cursor.cut_seq;
	cursor.cut_seq = 0;
	assert_int_equal(cursor_save(&cursor, dir.path, "s3", &err), ERR_NONE);
	assert_read_back();
}

static void one_that_is_not_there_changes_nothing(void **state)
{
	bool found = true;

	(void)state;
	assert_int_equal(cursor_save(&cursor, dir.path, "datadog", &err), ERR_NONE);
	assert_int_equal(cursor_load(&read_back, dir.path, "s3", &found, &err), ERR_NONE);
	assert_false(found);
	assert_int_equal(read_back.stream.epoch, 1);
}

static void assert_corrupt(const char *text, size_t len)
{
	bool found;

	assert_int_equal(file_replace(dir.path, "s3.cursor", text, len, &err), ERR_NONE);
	assert_int_equal(cursor_load(&read_back, dir.path, "s3", &found, &err), ERR_CORRUPT);
	assert_string_equal(err.text + strlen(dir.path), "/s3.cursor is damaged");
}

static void a_part_of_one_is_damaged(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, TEXT_BYTES);
	set_cut();
	assert_int_equal(cursor_save(&cursor, dir.path, "s3", &err), ERR_NONE);
	assert_int_equal(file_read_all(scratch_file(&dir, "s3.cursor"), &text, &err), ERR_NONE);
	for (size_t len = 0; len < text.len - 1; len++) /* but for the end of the line */
		assert_corrupt((const char *)text.data, len);
	buf_release(&text);
}

static void what_contradicts_itself_is_damaged(void **state)
{
	static const char *const texts[] = {
		"[]",
		"{}",
		/* no place */
		"{\"stream\":\"01020300-0000-0000-0000-000000000000\",\"epoch\":\"1\","
		"\"delivered_seq\":\"1\",\"cut_seq\":\"0\",\"cut\":\"\"}",
		/* a text without a cut */
		"{\"stream\":\"01020300-0000-0000-0000-000000000000\",\"epoch\":\"1\","
		"\"delivered_seq\":\"1\",\"cut_seq\":\"0\",\"cut\":\"{}\",\"place\":\"\"}",
		/* a cut that is behind what is delivered */
		"{\"stream\":\"01020300-0000-0000-0000-000000000000\",\"epoch\":\"1\","
		"\"delivered_seq\":\"2\",\"cut_seq\":\"2\",\"cut\":\"{}\",\"place\":\"\"}",
		/* numbers that are none */
		"{\"stream\":\"01020300-0000-0000-0000-000000000000\",\"epoch\":\"1\","
		"\"delivered_seq\":\"-1\",\"cut_seq\":\"0\",\"cut\":\"\",\"place\":\"\"}",
		"{\"stream\":\"01020300-0000-0000-0000-000000000000\",\"epoch\":\"1\","
		"\"delivered_seq\":\"18446744073709551616\",\"cut_seq\":\"0\",\"cut\":\"\","
		"\"place\":\"\"}",
		"{\"stream\":\"01020300-0000-0000-0000-000000000000\",\"epoch\":\"1x\","
		"\"delivered_seq\":\"1\",\"cut_seq\":\"0\",\"cut\":\"\",\"place\":\"\"}",
		"{\"stream\":\"01020300\",\"epoch\":\"1\","
		"\"delivered_seq\":\"1\",\"cut_seq\":\"0\",\"cut\":\"\",\"place\":\"\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_corrupt(texts[i], strlen(texts[i]));
}

/* The old one or the new one; and what is read is that. */
static void save_and_load(void *arg)
{
	bool found;
	enum err_kind rc;

	(void)arg;
	fault_pause();
	cursor_release(&read_back);
	cursor_init(&read_back, &stream);
	cursor.delivered_seq = 1;
	assert_int_equal(cursor_save(&cursor, dir.path, "s3", &err), ERR_NONE);
	cursor.delivered_seq = 2;
	fault_resume();
	rc = cursor_save(&cursor, dir.path, "s3", &err);
	if (!rc)
		rc = cursor_load(&read_back, dir.path, "s3", &found, &err);
	assert_int_not_equal(rc, ERR_CORRUPT);
	if (!rc)
		assert_true(found && read_back.delivered_seq == 2);
	fault_pause();
	assert_int_equal(cursor_load(&read_back, dir.path, "s3", &found, &err), ERR_NONE);
	assert_true(found && (read_back.delivered_seq == 1 || read_back.delivered_seq == 2));
	fault_resume();
}

static void no_call_is_taken_for_granted(void **state)
{
	(void)state;
	set_cut();
	cursor.cut_seq = 9;
	fault_everywhere(save_and_load, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_is_saved_is_read_back),   TEST(one_that_is_not_there_changes_nothing),
		TEST(a_part_of_one_is_damaged),     TEST(what_contradicts_itself_is_damaged),
		TEST(no_call_is_taken_for_granted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
