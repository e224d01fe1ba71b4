#include "source/lines.h"

#include "base/time.h"
#include "fault.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { UNITS_MAX = 64, MIB = 1024 * 1024 };

#define BUSY_NS \
	(20 * NS_PER_S) /* that it takes longer than usual on a busy machine is no failure */

/* What came out of a source, copied. */
struct result {
	size_t count;
	struct raw raws[UNITS_MAX];
	char *texts[UNITS_MAX];
};

static struct scratch folder;
static struct result result;

static int set_up(void **state)
{
	(void)state;
	scratch_make(&folder);
	result.count = 0;
	return 0;
}

static void forget(void)
{
	while (result.count > 0)
		free(result.texts[--result.count]);
}

static int tear_down(void **state)
{
	(void)state;
	forget();
	scratch_remove(&folder);
	return 0;
}

static const char *write_file(const char *name, struct span bytes)
{
	const char *path = scratch_file(&folder, name);
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes.data, 1, bytes.len, f), bytes.len);
	assert_int_equal(fclose(f), 0);
	return path;
}

static void keep(const struct batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		struct span text = batch_line(b, &b->raws[i]);
		char *copy = malloc(text.len + 1);

		assert_true(result.count < UNITS_MAX);
		assert_non_null(copy);
		memcpy(copy, text.data, text.len);
		copy[text.len] = '\0';
		result.raws[result.count] = b->raws[i];
		result.texts[result.count++] = copy;
	}
}

/* Reads to the end of paths, into result. */
static void read_paths(const char *const *paths, size_t count)
{
	struct source source;
	struct batch *batch = NULL;
	struct err err;
	bool last = false;

	forget();
	assert_int_equal(batch_new(&batch, &err), ERR_NONE);
	assert_int_equal(lines_open(&source, paths, count, &err), ERR_NONE);
	while (!last) {
		batch_reset(batch);
		assert_int_equal(source.ops->read(source.ctx, batch, &err), ERR_NONE);
		assert_int_equal(batch->source, SOURCE_FILE);
		assert_int_equal(batch->gap_count, 0);
		keep(batch);
		last = batch->last;
	}
	source.ops->close(source.ctx);
	batch_free(batch);
}

static void read_bytes(struct span bytes)
{
	const char *path = write_file("in", bytes);

	read_paths(&path, 1);
}

#define assert_unit(i, f, t)                                \
	do {                                                \
		assert_string_equal(result.texts[i], (t));  \
		assert_int_equal(result.raws[i].form, (f)); \
	} while (0)

#define NDJSON "{\"event\":{\"provider\":\"app\"},\"message\":\"m\"}"
#define PRETTY                                                                               \
	"{\n    \"level\": \"info\",\n    \"message\": \"a } \\\" { b\",\n    \"meta\": {\n" \
	"        \"Event\": {}\n    }\n}"
#define TEXT "2026-05-03T22:04:17Z app[e2862692b79d68] sin [info]m"

static void each_form_is_recognised_and_may_be_mixed(void **state)
{
	(void)state;
	read_bytes(SPAN(NDJSON "\n" PRETTY "\n" TEXT "\n" PRETTY "\n\n" NDJSON "\r\nother\n" PRETTY
			       " " PRETTY "\n" TEXT));
	assert_int_equal(result.count, 9);
	assert_unit(0, RAW_NATS_JSON, NDJSON);
	assert_unit(1, RAW_FLY_JSON, PRETTY);
	assert_unit(2, RAW_FLY_TEXT, TEXT);
	assert_unit(3, RAW_FLY_JSON, PRETTY);
	assert_unit(4, RAW_NATS_JSON, NDJSON);
	assert_unit(5, RAW_FLY_TEXT, "other");
	assert_unit(6, RAW_FLY_JSON, PRETTY);
	assert_unit(7, RAW_FLY_JSON, " " PRETTY);
	assert_unit(8, RAW_FLY_TEXT, TEXT);
	for (size_t i = 0; i < result.count; i++) {
		assert_true(result.raws[i].ordinal == i + 1);
		assert_true(result.raws[i].full_len == result.raws[i].len);
		assert_true(result.raws[i].received_ns > 0);
	}
}

static void an_object_on_one_line_has_the_form_of_its_keys(void **state)
{
	(void)state;
	read_bytes(SPAN(
		"{\"message\":\"m \\\"fly\\\":\",\"meta\":{}}\n{\"message\":\"m\",\"fly\" : {}}\n"
		"{\"message\":\"m\"}\n{braces} of a "
		"program\n{\"level\":\"info\",\"instance\":\"x\"}\n"));
	assert_int_equal(result.count, 5);
	assert_int_equal(result.raws[0].form, RAW_FLY_JSON);
	assert_int_equal(result.raws[1].form, RAW_NATS_JSON);
	assert_int_equal(result.raws[2].form, RAW_NATS_JSON);
	assert_unit(3, RAW_FLY_TEXT, "{braces} of a program");
	assert_int_equal(result.raws[4].form, RAW_FLY_JSON);
}

static void a_broken_object_does_not_swallow_what_follows(void **state)
{
	static const struct {
		const char *broken;
		const char *next;
	} cases[] = {
		{"{\"message\":\"cut", NDJSON},
		{"{\"a\":{\"b\":1", NDJSON},
		{"{\n    \"level\": \"info\",", PRETTY},
		{"{\n    \"level\": \"info\",", TEXT},
		{"{\n    \"level\": \"info\",", "\x1b[2m2026-05-03T22:04:17Z"},
		{"{\n    \"level\": \"info\",", "error.message=\"x\""},
		{"{\n    \"level\": \"info\",\n    \"message\": \"open", TEXT},
		{"{\n    \"level\": {", "the program crashed"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[1024];
		int len = snprintf(text, sizeof(text), "%s\n%s\n" TEXT "\n", cases[i].broken,
				   cases[i].next);

		read_bytes(span_of(text, (size_t)len));
		assert_int_equal(result.count, 3);
		assert_string_equal(result.texts[0], cases[i].broken);
		assert_string_equal(result.texts[1], cases[i].next);
		assert_string_equal(result.texts[2], TEXT);
	}
}

static void an_object_that_never_closes_ends_with_the_file(void **state)
{
	(void)state;
	read_bytes(SPAN("{\n    \"a\": {\n"));
	assert_int_equal(result.count, 1);
	assert_string_equal(result.texts[0], "{\n    \"a\": {");
}

static void ten_thousand_levels_are_one_unit(void **state)
{
	enum { LEVELS = 10000 };
	static char text[LEVELS * 6 + 100];
	size_t len = 0;

	(void)state;
	for (int i = 0; i < LEVELS; i++, len += 5)
		memcpy(text + len, "{\"a\":", 5);
	text[len++] = '1';
	memset(text + len, '}', LEVELS);
	len += LEVELS;
	memcpy(text + len, "\n" TEXT "\n", sizeof(TEXT) + 1);
	read_bytes(span_of(text, len + sizeof(TEXT) + 1));
	assert_int_equal(result.count, 2);
	assert_int_equal(result.raws[0].len, len);
	assert_unit(1, RAW_FLY_TEXT, TEXT);
	text[len - 1] = ' '; /* and with one brace missing */
	read_bytes(span_of(text, len + sizeof(TEXT) + 1));
	assert_int_equal(result.count, 2);
	assert_unit(1, RAW_FLY_TEXT, TEXT);
}

static void blank_lines_are_skipped_and_the_last_newline_may_miss(void **state)
{
	(void)state;
	read_bytes(SPAN("\n\r\n  \t\n a \n\n\nb"));
	assert_int_equal(result.count, 2);
	assert_string_equal(result.texts[0], " a ");
	assert_string_equal(result.texts[1], "b");
	read_bytes(SPAN(""));
	assert_int_equal(result.count, 0);
}

/* A line of len bytes between two others, of the file that it makes. */
static void read_long_line(size_t len, char fill, const char *start)
{
	char *text = malloc(len + 1024);
	size_t at = 0;

	assert_non_null(text);
	at += (size_t)sprintf(text, "before\n%s", start);
	memset(text + at, fill, len - strlen(start));
	at += len - strlen(start);
	at += (size_t)sprintf(text + at, "\n" TEXT "\n");
	read_bytes(span_of(text, at));
	free(text);
}

static void a_line_of_two_mebibytes_comes_whole(void **state)
{
	(void)state;
	read_long_line(2 * MIB, 'x', "");
	assert_int_equal(result.count, 3);
	assert_int_equal(result.raws[1].len, 2 * MIB);
	assert_true(result.raws[1].full_len == 2 * MIB);
	assert_unit(2, RAW_FLY_TEXT, TEXT);
	read_long_line(RAW_BYTES_MAX, 'x', "");
	assert_true(result.raws[1].full_len == RAW_BYTES_MAX &&
		    result.raws[1].len == RAW_BYTES_MAX);
}

static void assert_cut(size_t full_len, char fill, const char *start)
{
	struct hasher *h = NULL;
	struct err err;
	uint8_t digest[HASH_BYTES];
	char *text = malloc(full_len);

	assert_non_null(text);
	memset(text, fill, full_len);
	memcpy(text, start, strlen(start));
	assert_int_equal(hasher_new(&h, &err), ERR_NONE);
	assert_int_equal(hasher_digest(h, span_of(text, full_len), digest, &err), ERR_NONE);
	hasher_free(h);
	assert_int_equal(result.count, 3);
	assert_string_equal(result.texts[0], "before");
	assert_int_equal(result.raws[1].len, RAW_BYTES_MAX);
	assert_true(result.raws[1].full_len == full_len);
	assert_memory_equal(result.raws[1].full_sha256, digest, HASH_BYTES);
	assert_memory_equal(result.texts[1], text, RAW_BYTES_MAX);
	assert_unit(2, RAW_FLY_TEXT, TEXT);
	free(text);
}

static void a_longer_line_is_cut_counted_and_hashed(void **state)
{
	static const size_t lens[] = {
		RAW_BYTES_MAX + 1,
		RAW_BYTES_MAX + 1000,
		RAW_BYTES_MAX + 256 * 1024,
		9 * MIB + 17,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		read_long_line(lens[i], 'x', "");
		assert_cut(lens[i], 'x', "");
		read_long_line(lens[i], ' ', "{\"a\":");
		assert_cut(lens[i], ' ', "{\"a\":");
	}
	assert_int_equal(result.raws[1].form, RAW_NATS_JSON);
}

/* ASCII as UTF-16LE. */
static size_t widen(const char *text, char *out)
{
	size_t len = 0;

	for (; *text; text++) {
		out[len++] = *text;
		out[len++] = 0;
	}
	return len;
}

static void utf16_from_powershell_is_read(void **state)
{
	char wide[4096] = "\xff\xfe";
	size_t len = 2;

	(void)state;
	len += widen(TEXT "\r\n", wide + len);
	memcpy(wide + len, "\xe9\x00\x3d\xd8\x00\xde\x00\xd8\x61\x00\x0a\x00", 12);
	len += 12;
	len += widen(PRETTY "\r\n", wide + len);
	wide[len++] = 'z'; /* half a unit at the end */
	read_bytes(span_of(wide, len));
	assert_int_equal(result.count, 4);
	assert_unit(0, RAW_FLY_TEXT, TEXT);
	assert_unit(1, RAW_FLY_TEXT,
		    "\xc3\xa9\xf0\x9f\x98\x80\xed\xa0\x80"
		    "a");
	assert_unit(2, RAW_FLY_JSON, PRETTY);
	assert_unit(3, RAW_FLY_TEXT, "z");
	read_bytes(SPAN("\xff\xfe"));
	assert_int_equal(result.count, 0);
}

static void a_long_utf16_file_is_read_in_pieces(void **state)
{
	enum { LINES = 50, LINE_BYTES = 20000 };
	char *wide = malloc(LINES * LINE_BYTES * 2 + 2);
	size_t len = 2;

	(void)state;
	assert_non_null(wide);
	memcpy(wide, "\xff\xfe", 2);
	for (int i = 0; i < LINES; i++) {
		for (int j = 0; j < LINE_BYTES; j++) {
			wide[len++] = (char)(j == LINE_BYTES - 1 ? '\n' : 'a' + i % 26);
			wide[len++] = j == LINE_BYTES - 1 ? 0 : 0x4e; /* a CJK character */
		}
	}
	read_bytes(span_of(wide, len));
	free(wide);
	assert_int_equal(result.count, LINES);
	for (int i = 0; i < LINES; i++)
		assert_int_equal(result.raws[i].len, (LINE_BYTES - 1) * 3);
}

static void a_utf8_mark_is_dropped(void **state)
{
	(void)state;
	read_bytes(SPAN("\xef\xbb\xbf" NDJSON "\n"));
	assert_unit(0, RAW_NATS_JSON, NDJSON);
	read_bytes(SPAN("\xef"));
	assert_unit(0, RAW_FLY_TEXT, "\xef");
}

static void files_are_read_one_after_another(void **state)
{
	const char *paths[3];
	char names[3][SCRATCH_PATH_BYTES];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char text[2] = {(char)('a' + i), '\0'};

		(void)snprintf(names[i], sizeof(names[i]), "%s",
			       write_file(text, span_text(i == 1 ? "" : text)));
		paths[i] = names[i];
	}
	read_paths(paths, 3);
	assert_int_equal(result.count, 2);
	assert_string_equal(result.texts[0], "a");
	assert_string_equal(result.texts[1], "c");
}

static void every_line_tells_which_file_it_stands_in(void **state)
{
	const struct timespec times[2] = {{.tv_sec = 5}, {.tv_sec = 1700000000, .tv_nsec = 123}};
	const char *paths[2];
	char first[SCRATCH_PATH_BYTES];
	uint64_t number;

	(void)state;
	(void)snprintf(first, sizeof(first), "%s", write_file("a", SPAN("one\ntwo\n")));
	assert_int_equal(utimensat(AT_FDCWD, first, times, 0), 0);
	paths[0] = first;
	paths[1] = write_file("b", SPAN("three"));
	read_paths(paths, 2);
	assert_int_equal(result.count, 3);
	number = result.raws[0].file.number;
	assert_true(number != 0);
	assert_true(result.raws[0].file.written_ns == 1700000000 * NS_PER_S + 123);
	assert_true(result.raws[1].file.number == number);
	assert_true(result.raws[1].ordinal == 2);
	assert_true(result.raws[2].file.number != number);
	assert_true(result.raws[2].ordinal == 1); /* as it is without the file before it */
	read_paths(paths, 2);
	assert_true(result.raws[1].file.number == number);
	assert_true(result.raws[0].received_ns > 1700000000 * NS_PER_S + 123);
}

static void a_file_that_cannot_be_read_is_told_at_the_start(void **state)
{
	const char *path = "/nonexistent/example";
	struct source source = {0};
	struct err err;

	(void)state;
	assert_int_equal(lines_open(&source, &path, 1, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "/nonexistent/example"));
	assert_null(source.ops);
	path = folder.path;
	assert_int_equal(lines_open(&source, &path, 1, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, folder.path));
	assert_non_null(strstr(err.text, "folder"));
	assert_null(source.ops);
}

static void a_file_that_stops_being_readable_is_an_error(void **state)
{
	const char *path = "/proc/self/mem"; /* opens, and nothing is mapped at its start */
	struct source source = {0};
	struct batch *batch = NULL;
	struct err err;

	(void)state;
	assert_int_equal(batch_new(&batch, &err), ERR_NONE);
	assert_int_equal(lines_open(&source, &path, 1, &err), ERR_NONE);
	assert_int_equal(source.ops->read(source.ctx, batch, &err), ERR_CONFIG);
	source.ops->close(source.ctx);
	batch_free(batch);
}

/* stdin of this test program, replaced by a pipe. */
struct pipe_in {
	int writer;
	int saved;
};

static struct pipe_in pipe_in_open(void)
{
	struct pipe_in p = {.saved = dup(STDIN_FILENO)};
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	close(ends[0]);
	p.writer = ends[1];
	return p;
}

static void pipe_in_restore(struct pipe_in *p)
{
	assert_int_equal(dup2(p->saved, STDIN_FILENO), STDIN_FILENO);
	close(p->saved);
}

static void stdin_hands_over_what_it_has_and_waits_no_longer(void **state)
{
	struct pipe_in in = pipe_in_open();
	struct source source;
	struct batch *batch = NULL;
	struct err err;
	const char *why = NULL;
	int64_t started_ns;

	(void)state;
	assert_int_equal(batch_new(&batch, &err), ERR_NONE);
	assert_int_equal(lines_open(&source, NULL, 0, &err), ERR_NONE);

	started_ns = time_monotonic_ns();
	assert_int_equal(source.ops->read(source.ctx, batch, &err), ERR_NONE);
	assert_int_equal(batch->count, 0);
	assert_false(batch->last);
	assert_true(time_monotonic_ns() - started_ns >= (SOURCE_WAIT_MS - 20) * NS_PER_MS);
	assert_true(time_monotonic_ns() - started_ns < BUSY_NS);

	assert_int_equal(write(in.writer, "{\n    \"a\": 1\n}\none\ntw", 21), 21);
	started_ns = time_monotonic_ns();
	assert_int_equal(source.ops->read(source.ctx, batch, &err), ERR_NONE);
	assert_true(time_monotonic_ns() - started_ns < BUSY_NS);
	assert_int_equal(batch->count, 2);
	assert_true(batch->raws[0].file.number == 0);
	assert_false(batch->last);
	assert_true(source.ops->connected(source.ctx, &why));

	batch_reset(batch);
	assert_int_equal(write(in.writer, "o\nthree", 7), 7);
	close(in.writer);
	assert_int_equal(source.ops->read(source.ctx, batch, &err), ERR_NONE);
	assert_int_equal(batch->count, 2);
	assert_true(span_is(batch_line(batch, &batch->raws[0]), "two"));
	assert_true(span_is(batch_line(batch, &batch->raws[1]), "three"));
	assert_true(batch->last);
	assert_false(source.ops->connected(source.ctx, &why));
	assert_non_null(why);

	source.ops->close(source.ctx);
	batch_free(batch);
	assert_true(read(STDIN_FILENO, &in.writer, 1) == 0); /* left open: it is not ours */
	pipe_in_restore(&in);
}

static void a_mark_may_come_in_pieces(void **state)
{
	static const char *const pieces[] = {"\xef", "\xbb\xbf", NDJSON "\n"};
	struct pipe_in in = pipe_in_open();
	struct source source;
	struct batch *batch = NULL;
	struct err err;

	(void)state;
	assert_int_equal(batch_new(&batch, &err), ERR_NONE);
	assert_int_equal(lines_open(&source, NULL, 0, &err), ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		size_t len = strlen(pieces[i]);

		assert_int_equal(batch->count, 0);
		assert_int_equal(write(in.writer, pieces[i], len), len);
		assert_int_equal(source.ops->read(source.ctx, batch, &err), ERR_NONE);
	}
	assert_int_equal(batch->count, 1);
	assert_true(span_is(batch_line(batch, &batch->raws[0]), NDJSON));
	close(in.writer);
	source.ops->close(source.ctx);
	batch_free(batch);
	pipe_in_restore(&in);
}

static void a_full_batch_leaves_the_rest_for_the_next(void **state)
{
	enum { LINES = 10000 };
	char *text = malloc(LINES * 16);
	const char *path;
	struct source source;
	struct batch *batch = NULL;
	struct err err;
	size_t len = 0, count = 0;
	bool last = false;

	(void)state;
	assert_non_null(text);
	for (int i = 0; i < LINES; i++)
		len += (size_t)sprintf(text + len, "line %d\n", i);
	path = write_file("in", span_of(text, len));
	free(text);
	assert_int_equal(batch_new(&batch, &err), ERR_NONE);
	assert_int_equal(lines_open(&source, &path, 1, &err), ERR_NONE);
	while (!last) {
		batch_reset(batch);
		assert_int_equal(source.ops->read(source.ctx, batch, &err), ERR_NONE);
		for (size_t i = 0; i < batch->count; i++, count++) {
			char wanted[32];

			(void)snprintf(wanted, sizeof(wanted), "line %zu", count);
			assert_true(span_is(batch_line(batch, &batch->raws[i]), wanted));
		}
		last = batch->last;
	}
	assert_int_equal(count, LINES);
	source.ops->close(source.ctx);
	batch_free(batch);
}

static void read_under_faults(void *arg)
{
	const char *const *path = arg;
	struct source source;
	struct batch *batch = NULL;
	struct err err = {.kind = ERR_NONE};
	enum err_kind rc;

	if (batch_new(&batch, &err))
		return;
	rc = lines_open(&source, path, 1, &err);
	if (!rc) {
		while (!rc && !batch->last)
			rc = source.ops->read(source.ctx, batch, &err);
		source.ops->close(source.ctx);
	}
	if (!rc)
		assert_int_equal(batch->count, 2);
	else
		assert_true(rc == ERR_FATAL || rc == ERR_CONFIG || rc == ERR_RETRY);
	batch_free(batch);
}

static void no_fault_leaks_or_passes_for_the_end(void **state)
{
	char wide[256] = "\xff\xfe";
	const char *path = write_file("in", span_of(wide, 2 + widen("one\ntwo\n", wide + 2)));

	(void)state;
	fault_everywhere(read_under_faults, &path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(each_form_is_recognised_and_may_be_mixed),
		TEST(an_object_on_one_line_has_the_form_of_its_keys),
		TEST(a_broken_object_does_not_swallow_what_follows),
		TEST(an_object_that_never_closes_ends_with_the_file),
		TEST(ten_thousand_levels_are_one_unit),
		TEST(blank_lines_are_skipped_and_the_last_newline_may_miss),
		TEST(a_line_of_two_mebibytes_comes_whole),
		TEST(a_longer_line_is_cut_counted_and_hashed),
		TEST(utf16_from_powershell_is_read),
		TEST(a_long_utf16_file_is_read_in_pieces),
		TEST(a_utf8_mark_is_dropped),
		TEST(files_are_read_one_after_another),
		TEST(every_line_tells_which_file_it_stands_in),
		TEST(a_file_that_cannot_be_read_is_told_at_the_start),
		TEST(a_file_that_stops_being_readable_is_an_error),
		TEST(stdin_hands_over_what_it_has_and_waits_no_longer),
		TEST(a_mark_may_come_in_pieces),
		TEST(a_full_batch_leaves_the_rest_for_the_next),
		TEST(no_fault_leaks_or_passes_for_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
