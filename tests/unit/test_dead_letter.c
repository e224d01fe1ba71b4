#include "sink/dead_letter.h"

#include "base/file.h"
#include "base/json.h"
#include "fault.h"
#include "names.h"
#include "sink/dead_settled.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_READ_BYTES_MAX = 4 * 1024 * 1024 };

static const struct spool_stream stream = {
	.uuid = {{0x47, 0x18, 0xf5, 0xdc, 0x5f, 0x98, 0x83, 0x0a, 0x88, 0x8b, 0xc5, 0x3e, 0xbf,
		  0x1e, 0x1b, 0xf5}},
	.epoch = 3,
};

static struct dead_letters *open_letters(const struct scratch *dir)
{
	struct dead_letters *d = NULL;
	struct err err = {0};

	if (dead_letters_open(&d, dir->path, "store", stream, &err))
		fail_msg("dead_letters_open: %s", err.text);
	return d;
}

static void add(struct dead_letters *d, uint64_t seq, struct span payload, const char *reason)
{
	struct err err = {0};

	if (dead_letters_add(d, seq, payload, reason, SPAN(""), &err))
		fail_msg("dead_letters_add: %s", err.text);
}

static void read_file(const struct scratch *dir, struct buf *out)
{
	struct err err = {0};

	buf_init(out, FILE_READ_BYTES_MAX);
	if (file_read_all(scratch_file(dir, "dead-store.ndjson"), out, &err))
		fail_msg("file_read_all: %s", err.text);
	buf_u8(out, '\0');
}

/* The line that begins at text; *ret_next: behind its end. */
static struct json *parse_line(const char *text, const char **ret_next)
{
	const char *end = strchr(text, '\n');
	struct json *v = NULL;
	struct err err = {0};

	assert_non_null(end);
	if (json_parse(&v, span_of(text, (size_t)(end - text)), &err))
		fail_msg("json_parse: %s", err.text);
	*ret_next = end + 1;
	return v;
}

static bool member_is(const struct json *v, const char *key, const char *value)
{
	const struct json *m = json_member(v, key);

	return m && span_is(json_text(m), value);
}

static void a_letter_has_all_that_is_needed_to_try_again(void **state)
{
	struct scratch dir;
	struct dead_letters *d;
	struct buf file;
	const char *next;
	struct json *v;

	(void)state;
	scratch_make(&dir);
	d = open_letters(&dir);
	add(d, 42, SPAN("any carnal pleas"), "a \"reason\"\nof Postgres");
	dead_letters_close(d);
	read_file(&dir, &file);
	v = parse_line((const char *)file.data, &next);
	assert_string_equal(next, "");
	assert_true(member_is(v, "sink", "store"));
	assert_true(member_is(v, "stream", "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"));
	assert_true(json_number(json_member(v, "epoch")) > 2.5);
	assert_true(json_number(json_member(v, "seq")) > 41.5);
	assert_true(json_number(json_member(v, "seq")) < 42.5);
	assert_true(member_is(v, "reason", "a \"reason\"\nof Postgres"));
	assert_true(member_is(v, "payload", "YW55IGNhcm5hbCBwbGVhcw=="));
	assert_int_equal(json_text(json_member(v, "time")).len, 30);
	json_free(v);
	buf_release(&file);
	scratch_remove(&dir);
}

static void base64_is_right_for_every_length_and_byte(void **state)
{
	static const struct {
		struct span bytes;
		const char *text;
	} cases[] = {
		{{"f", 1}, "Zg=="},          {{"fo", 2}, "Zm8="},
		{{"foo", 3}, "Zm9v"},        {{"foob", 4}, "Zm9vYg=="},
		{{"\0\xff\xfe", 3}, "AP/+"}, {{"\xfb\xef\xbe", 3}, "++++"},
	};
	struct scratch dir;
	struct dead_letters *d;
	struct buf file;
	const char *next;

	(void)state;
	scratch_make(&dir);
	d = open_letters(&dir);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		add(d, i + 1, cases[i].bytes, "why");
	dead_letters_close(d);
	read_file(&dir, &file);
	next = (const char *)file.data;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *v = parse_line(next, &next);

		assert_true(member_is(v, "payload", cases[i].text));
		json_free(v);
	}
	buf_release(&file);
	scratch_remove(&dir);
}

static void only_the_owner_may_read_it(void **state)
{
	struct scratch dir;
	struct stat st;

	(void)state;
	scratch_make(&dir);
	dead_letters_close(open_letters(&dir));
	assert_int_equal(stat(scratch_file(&dir, "dead-store.ndjson"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	scratch_remove(&dir);
}

static void letters_are_added_behind_those_of_an_earlier_run(void **state)
{
	struct scratch dir;
	struct dead_letters *d;
	struct buf file;
	const char *next;

	(void)state;
	scratch_make(&dir);
	for (uint64_t seq = 1; seq <= 3; seq++) {
		d = open_letters(&dir);
		add(d, seq, SPAN("x"), "why");
		dead_letters_close(d);
	}
	read_file(&dir, &file);
	next = (const char *)file.data;
	for (int i = 1; i <= 3; i++) {
		struct json *v = parse_line(next, &next);

		assert_int_equal((int)json_number(json_member(v, "seq")), i);
		json_free(v);
	}
	assert_string_equal(next, "");
	buf_release(&file);
	scratch_remove(&dir);
}

static void a_line_that_a_crash_tore_is_cut_off(void **state)
{
	struct scratch dir;
	struct dead_letters *d;
	struct buf file;
	const char *next;
	struct stat st;

	(void)state;
	scratch_make(&dir);
	d = open_letters(&dir);
	add(d, 1, SPAN("first"), "why");
	dead_letters_close(d);
	assert_int_equal(stat(scratch_file(&dir, "dead-store.ndjson"), &st), 0);
	d = open_letters(&dir);
	add(d, 2, SPAN("torn"), "why");
	dead_letters_close(d);
	assert_int_equal(truncate(scratch_file(&dir, "dead-store.ndjson"), st.st_size + 20), 0);
	d = open_letters(&dir);
	add(d, 2, SPAN("again"), "why");
	dead_letters_close(d);
	read_file(&dir, &file);
	json_free(parse_line((const char *)file.data, &next));
	json_free(parse_line(next, &next));
	assert_string_equal(next, "");
	buf_release(&file);
	scratch_remove(&dir);
}

static void the_bound_holds(void **state)
{
	struct scratch dir;
	struct dead_letters *d;
	struct err err = {0};
	struct stat st;

	(void)state;
	scratch_make(&dir);
	d = open_letters(&dir);
	add(d, 1, SPAN("x"), "why");
	dead_letters_close(d);
	/* As if it were nearly full: a hole, and a line's end at its end. */
	{
		int fd = -1;

		assert_int_equal(
			file_open(&fd, scratch_file(&dir, "dead-store.ndjson"), FILE_WRITE, &err),
			ERR_NONE);
		assert_int_equal(file_write_at(fd, "\n", 1, DEAD_FILE_BYTES_MAX - 300, &err),
				 ERR_NONE);
		file_close(&fd);
	}
	d = open_letters(&dir);
	assert_int_equal(dead_letters_add(d, 2, SPAN("y"), "why", SPAN(""), &err), ERR_NONE);
	assert_int_equal(dead_letters_add(d, 3, SPAN("z"), "why", SPAN(""), &err), ERR_FULL);
	assert_non_null(strstr(err.text, "store"));
	dead_letters_close(d);
	assert_int_equal(stat(scratch_file(&dir, "dead-store.ndjson"), &st), 0);
	assert_true(st.st_size <= DEAD_FILE_BYTES_MAX);
	scratch_remove(&dir);
}

static void no_room_says_why_what_is_settled_is_still_there(void **state)
{
	const struct dead_key key = {.stream = stream.uuid, .epoch = stream.epoch, .seq = 1};
	struct dead_settled *settled = NULL;
	struct dead_letters *d;
	struct scratch dir;
	struct err err = {0};
	int fd = -1;

	(void)state;
	scratch_make(&dir);
	d = open_letters(&dir);
	add(d, 1, SPAN("x"), "why");
	dead_letters_close(d);
	MUST0(file_open(&fd, scratch_file(&dir, "dead-store.ndjson"), FILE_WRITE, &err));
	MUST0(file_write_at(fd, "\n", 1, DEAD_FILE_BYTES_MAX - 10, &err));
	file_close(&fd);
	d = open_letters(&dir);
	MUST0(dead_settled_open(&settled, dir.path, "store", &err));
	MUST0(dead_settled_add(settled, &key, 0, DEAD_DROPPED, "known", &err));
	dead_settled_close(settled);
	MUST0(mkdir(scratch_file(&dir, "dead-store.ndjson.new"), 0700)); /* in its way */
	assert_int_equal(dead_letters_add(d, 3, SPAN("z"), "why", SPAN(""), &err), ERR_FULL);
	assert_non_null(strstr(err.text, "; what is settled cannot be cleared: "));
	assert_non_null(strstr(err.text, "dead-store.ndjson.new"));
	MUST0(rmdir(scratch_file(&dir, "dead-store.ndjson.new")));
	add(d, 3, SPAN("z"), "why"); /* the hole is a line that cannot be read, and stays */
	dead_letters_close(d);
	scratch_remove(&dir);
}

static void the_largest_payload_has_room(void **state)
{
	char *payload = malloc(RECORD_PAYLOAD_BYTES_MAX);
	struct scratch dir;
	struct dead_letters *d;
	struct stat st;

	(void)state;
	assert_non_null(payload);
	memset(payload, 0xff, RECORD_PAYLOAD_BYTES_MAX);
	scratch_make(&dir);
	d = open_letters(&dir);
	add(d, 1, span_of(payload, RECORD_PAYLOAD_BYTES_MAX), "why");
	dead_letters_close(d);
	assert_int_equal(stat(scratch_file(&dir, "dead-store.ndjson"), &st), 0);
	assert_true(st.st_size > RECORD_PAYLOAD_BYTES_MAX / 3 * 4);
	free(payload);
	scratch_remove(&dir);
}

/* What add() called dealt with stands there as a whole line, whatever failed. */
static void open_and_add(void *arg)
{
	struct dead_letters *d = NULL;
	struct scratch dir;
	struct err err = {0};
	size_t added = 0;

	(void)arg;
	fault_pause();
	scratch_make(&dir);
	fault_resume();
	if (dead_letters_open(&d, dir.path, "store", stream, &err) == ERR_NONE) {
		for (uint64_t seq = 1; seq <= 3; seq++)
			added += dead_letters_add(d, seq, SPAN("payload"), "why", SPAN(""), &err) ==
				 ERR_NONE;
		dead_letters_close(d);
	}
	fault_pause();
	if (added > 0) {
		struct buf file;
		const char *next;

		dead_letters_close(open_letters(&dir));
		read_file(&dir, &file);
		next = (const char *)file.data;
		for (size_t i = 0; i < added; i++)
			json_free(parse_line(next, &next));
		buf_release(&file);
	}
	scratch_remove(&dir);
	fault_resume();
}

static void no_fault_loses_what_was_dealt_with(void **state)
{
	(void)state;
	fault_everywhere(open_and_add, NULL);
}

static void open_file(void *arg)
{
	const char *folder = arg;
	char path[PATH_MAX];
	struct err err = {0};
	uint64_t len;
	int fd = -1;

	assert_int_equal(dead_file_path(path, folder, "store", DEAD_LETTERS, &err), ERR_NONE);
	if (dead_file_open(&fd, folder, path, &len, &err))
		assert_int_equal(fd, -1);
	file_close(&fd);
}

static void what_cannot_be_opened_whole_is_not_open(void **state)
{
	struct scratch dir;

	(void)state;
	scratch_make(&dir);
	fault_everywhere(open_file, dir.path);
	scratch_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_letter_has_all_that_is_needed_to_try_again),
		cmocka_unit_test(base64_is_right_for_every_length_and_byte),
		cmocka_unit_test(only_the_owner_may_read_it),
		cmocka_unit_test(letters_are_added_behind_those_of_an_earlier_run),
		cmocka_unit_test(a_line_that_a_crash_tore_is_cut_off),
		cmocka_unit_test(the_bound_holds),
		cmocka_unit_test(no_room_says_why_what_is_settled_is_still_there),
		cmocka_unit_test(the_largest_payload_has_room),
		cmocka_unit_test(no_fault_loses_what_was_dealt_with),
		cmocka_unit_test(what_cannot_be_opened_whole_is_not_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
