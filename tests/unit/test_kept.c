/* Snapshots that wait for Postgres are whole or not there, and nobody's files are touched. */

#include "store/kept.h"

#include "base/file.h"
#include "scratch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PATH_BYTES = 512, TAKEN_MAX = 8, BIG_BYTES = KEPT_BYTES_MAX - 4096 };

static struct scratch spool;
static struct kept *kept;
static struct err err;

struct taken {
	char text[TAKEN_MAX][PATH_BYTES];
	size_t count;
	enum err_kind then; /* what the taker says */
};

static struct taken taken;

static void reopen(void)
{
	kept_close(kept);
	kept = NULL;
	assert_int_equal(kept_open(&kept, spool.path, &err), ERR_NONE);
}

static int set_up(void **state)
{
	(void)state;
	scratch_make(&spool);
	taken = (struct taken){.then = ERR_NONE};
	reopen();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kept_close(kept);
	kept = NULL;
	scratch_remove(&spool);
	return 0;
}

static enum err_kind put(const char *resource, const char *scope, const char *content)
{
	const struct kept_snapshot s = {.resource = resource,
					.scope = scope,
					.found = true,
					.taken_ns = 7,
					.content = span_text(content),
					.why = ""};

	return kept_put(kept, &s, &err);
}

static enum err_kind take(void *arg, const struct kept_snapshot *s, struct err *e)
{
	(void)arg;
	assert_true(taken.count < TAKEN_MAX);
	(void)snprintf(taken.text[taken.count++], PATH_BYTES, "%s|%s|%d|%d|%.*s|%s", s->resource,
		       s->scope, s->found, (int)s->taken_ns, (int)s->content.len, s->content.data,
		       s->why);
	return taken.then ? err_set(e, taken.then, "no") : ERR_NONE;
}

static enum err_kind hand_over(void)
{
	const struct kept_taker to = {.take = take};

	return kept_hand_over(kept, &to, &err);
}

static bool took(const char *text)
{
	for (size_t i = 0; i < taken.count; i++)
		if (strcmp(taken.text[i], text) == 0)
			return true;
	return false;
}

static size_t files(void)
{
	char path[PATH_BYTES];
	DIR *dir;
	size_t count = 0;

	(void)snprintf(path, sizeof(path), "%s/snapshots", spool.path);
	dir = opendir(path);
	while (dir && readdir(dir))
		count++;
	if (dir)
		(void)closedir(dir);
	return count > 2 ? count - 2 : 0; /* . and .. */
}

/* The path of the only file. */
static void only_file(char ret[PATH_BYTES])
{
	char path[PATH_BYTES];
	const struct dirent *entry;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/snapshots", spool.path);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			(void)snprintf(ret, PATH_BYTES, "%.400s/%.64s", path, entry->d_name);
	(void)closedir(dir);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void what_is_kept_is_there_after_a_restart_and_handed_over_once(void **state)
{
	struct kept_snapshot s;

	(void)state;
	assert_int_equal(kept_count(kept), 0);
	assert_int_equal(put("secrets", "web-1", "{\"A\":{}}"), ERR_NONE);
	assert_int_equal(put("secrets", "web-1", "{\"B\":{}}"), ERR_NONE);
	assert_int_equal(put("secrets", "web-2", "{}"), ERR_NONE);
	assert_int_equal(put("apps", "", "{}"), ERR_NONE);
	reopen();
	assert_int_equal(kept_count(kept), 3);
	assert_int_equal(kept_get(kept, "secrets", "web-1", &s, &err), ERR_NONE);
	assert_true(s.found && s.taken_ns == 7 && span_is(s.content, "{\"B\":{}}"));
	assert_int_equal(kept_get(kept, "secrets", "web-3", &s, &err), ERR_NONE);
	assert_false(s.found);
	assert_int_equal(hand_over(), ERR_NONE);
	assert_int_equal(taken.count, 3);
	assert_true(took("secrets|web-1|1|7|{\"B\":{}}|"));
	assert_true(took("secrets|web-2|1|7|{}|"));
	assert_true(took("apps||1|7|{}|"));
	assert_int_equal(files(), 0);
	reopen();
	assert_int_equal(hand_over(), ERR_NONE);
	assert_int_equal(taken.count, 3);
}

static void why_it_cannot_be_looked_at_is_kept_too(void **state)
{
	const struct kept_snapshot s = {
		.resource = "members", .scope = "", .content = SPAN(""), .why = "status 403"};

	(void)state;
	assert_int_equal(kept_put(kept, &s, &err), ERR_NONE);
	assert_int_equal(hand_over(), ERR_NONE);
	assert_true(took("members||0|0||status 403"));
}

static void what_is_not_taken_stays(void **state)
{
	(void)state;
	assert_int_equal(put("apps", "", "{}"), ERR_NONE);
	taken.then = ERR_RETRY;
	assert_int_equal(hand_over(), ERR_RETRY);
	assert_int_equal(files(), 1);
	taken.then = ERR_NONE;
	assert_int_equal(hand_over(), ERR_NONE);
	assert_int_equal(files(), 0);
}

/* Each bit of a file, and each length of it: none is taken for a snapshot. */
static void what_is_torn_or_damaged_is_none(void **state)
{
	struct kept_snapshot s;
	struct buf whole;
	char path[PATH_BYTES];

	(void)state;
	buf_init(&whole, PATH_BYTES);
	assert_int_equal(put("apps", "", "{\"A\":{}}"), ERR_NONE);
	only_file(path);
	assert_int_equal(file_read_all(path, &whole, &err), ERR_NONE);
	for (size_t len = 0; len < whole.len; len++) {
		write_file(path, whole.data, len);
		assert_int_equal(kept_get(kept, "apps", "", &s, &err), ERR_NONE);
		assert_false(s.found);
	}
	for (size_t bit = 0; bit < whole.len * 8; bit++) {
		whole.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
		write_file(path, whole.data, whole.len);
		whole.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_int_equal(kept_get(kept, "apps", "", &s, &err), ERR_NONE);
		assert_false(s.found);
	}
	assert_int_equal(hand_over(), ERR_NONE);
	assert_int_equal(taken.count, 0);
	assert_int_equal(kept_damaged(kept), 1);
	assert_int_equal(files(), 0);
	buf_release(&whole);
}

static void one_under_anothers_name_is_none(void **state)
{
	char path[PATH_BYTES], other[PATH_BYTES];
	char *digit;

	(void)state;
	assert_int_equal(put("apps", "", "{}"), ERR_NONE);
	only_file(path);
	(void)snprintf(other, sizeof(other), "%s", path);
	digit = other + strlen(other) - 1;
	*digit = *digit == '0' ? '1' : '0';
	assert_int_equal(rename(path, other), 0);
	reopen();
	assert_int_equal(hand_over(), ERR_NONE);
	assert_int_equal(taken.count, 0);
}

static void files_of_other_names_are_nobodys_and_half_written_ones_go(void **state)
{
	char path[PATH_BYTES], fresh[PATH_BYTES];

	(void)state;
	assert_int_equal(put("apps", "", "{}"), ERR_NONE);
	only_file(path);
	(void)snprintf(fresh, sizeof(fresh), "%.500s.new", path);
	write_file(fresh, "x", 1);
	(void)snprintf(path, sizeof(path), "%s/snapshots/notes.txt", spool.path);
	write_file(path, "x", 1);
	reopen();
	assert_int_equal(kept_count(kept), 1);
	assert_int_equal(files(), 2);
	assert_int_equal(hand_over(), ERR_NONE);
	assert_int_equal(files(), 1);
}

static void what_had_no_room_though_nothing_was_kept_is_forgotten_likewise(void **state)
{
	char *huge = calloc(1, KEPT_BYTES_MAX + 2);

	(void)state;
	assert_non_null(huge);
	memset(huge, ' ', KEPT_BYTES_MAX + 1);
	assert_int_equal(put("apps", "", huge), ERR_RETRY);
	assert_false(kept_has_room(kept));
	assert_int_equal(hand_over(), ERR_NONE);
	assert_true(kept_has_room(kept));
	free(huge);
}

/* Whoever clears the folder must not end watching for it. */
static void a_file_that_is_gone_is_none_and_holds_up_no_other(void **state)
{
	struct kept_snapshot s;
	char path[PATH_BYTES];

	(void)state;
	assert_int_equal(put("apps", "", "{}"), ERR_NONE);
	only_file(path);
	assert_int_equal(put("secrets", "web-1", "{}"), ERR_NONE);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(kept_get(kept, "apps", "", &s, &err), ERR_NONE);
	assert_false(s.found);
	assert_int_equal(hand_over(), ERR_NONE);
	assert_int_equal(taken.count, 1);
	assert_true(took("secrets|web-1|1|7|{}|"));
	assert_int_equal(kept_count(kept), 0);
	assert_int_equal(kept_damaged(kept), 1);
}

static void past_the_bound_nothing_is_kept_until_it_was_handed_over(void **state)
{
	char *big = calloc(1, BIG_BYTES + 1);

	(void)state;
	assert_non_null(big);
	memset(big, ' ', BIG_BYTES);
	assert_int_equal(put("apps", "", big), ERR_NONE);
	assert_true(kept_has_room(kept));
	assert_int_equal(put("apps", "", big), ERR_NONE); /* in place of the one before */
	assert_int_equal(put("secrets", "web-1", big), ERR_RETRY);
	assert_false(kept_has_room(kept));
	assert_int_equal(kept_count(kept), 1);
	assert_int_equal(hand_over(), ERR_NONE);
	assert_true(kept_has_room(kept));
	assert_int_equal(put("secrets", "web-1", big), ERR_NONE);
	free(big);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_kept_is_there_after_a_restart_and_handed_over_once),
		TEST(why_it_cannot_be_looked_at_is_kept_too),
		TEST(what_is_not_taken_stays),
		TEST(what_is_torn_or_damaged_is_none),
		TEST(one_under_anothers_name_is_none),
		TEST(files_of_other_names_are_nobodys_and_half_written_ones_go),
		TEST(a_file_that_is_gone_is_none_and_holds_up_no_other),
		TEST(past_the_bound_nothing_is_kept_until_it_was_handed_over),
		TEST(what_had_no_room_though_nothing_was_kept_is_forgotten_likewise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
