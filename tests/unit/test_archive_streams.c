/* What names alone say of an archive: which of its ranges are missing, and which indexes. */
#include "sink/archive_streams.h"

#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define DAY TIME_DAY_NS
#define AT (INT64_C(20000) * TIME_DAY_NS)

enum { TOLD_BYTES = 4096, STREAMS_MAX = 4 };

static struct archive_streams *streams;
static char told[TOLD_BYTES];
static struct archive_stream seen[STREAMS_MAX];
static size_t seen_count;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	told[0] = '\0';
	seen_count = 0;
	return archive_streams_new(&streams, &err) != ERR_NONE;
}

static int tear_down(void **state)
{
	(void)state;
	archive_streams_free(streams);
	return 0;
}

static struct archive_name name_of(enum archive_kind kind, uint8_t stream, uint64_t first,
				   uint64_t last)
{
	struct archive_name n = {.kind = kind, .epoch = 1, .first_seq = first, .last_seq = last};

	n.stream.bytes[0] = stream;
	return n;
}

static void add_index(uint8_t stream, uint64_t first, uint64_t last)
{
	struct archive_name n = name_of(ARCHIVE_INDEX, stream, first, last);

	assert_int_equal(archive_streams_add_index(streams, &n, &err), ERR_NONE);
}

static void add_behind(uint8_t stream, uint64_t first, uint64_t last, int64_t stored_ns)
{
	struct archive_name n = name_of(ARCHIVE_LINES, stream, first, last);

	assert_int_equal(archive_streams_add_object(streams, &n, stored_ns, true, &err), ERR_NONE);
}

/* Each sentence without the stream's name, and a semicolon. */
static void missing(void *arg, const char *text)
{
	const char *what = strstr(text, ".1: no ");
	size_t len = strlen(told);

	(void)arg;
	assert_non_null(what);
	(void)snprintf(told + len, sizeof(told) - len, "%s;", what + strlen(".1: no "));
}

static enum err_kind stream(void *arg, const struct archive_stream *s, struct err *e)
{
	(void)arg;
	(void)e;
	assert_true(seen_count < STREAMS_MAX);
	seen[seen_count++] = *s;
	return ERR_NONE;
}

static const struct archive_streams_calls calls = {.missing = missing, .stream = stream};

static void assert_told(bool all_sent, const char *expected)
{
	assert_int_equal(archive_streams_tell(streams, all_sent, &calls, &err), ERR_NONE);
	assert_string_equal(told, expected);
}

static void ranges_that_follow_on_each_other_are_all_there(void **state)
{
	(void)state;
	add_behind(1, 31, 31, AT);
	add_index(1, 11, 20);
	add_behind(1, 21, 30, AT);
	add_index(1, 1, 10);
	add_behind(2, 7, 9, AT); /* of what came before nobody knows */
	assert_told(true, "");
	assert_int_equal(seen_count, 2);
	assert_int_equal(seen[0].indexes, 2);
	assert_int_equal(seen[0].last_seq, 20);
	assert_int_equal(seen[0].first_seq, 1);
	assert_int_equal(seen[0].first_line_seq, 21);
	assert_int_equal(seen[1].indexes, 0);
	assert_int_equal(seen[1].first_seq, 7);
}

static void a_hole_between_two_indexes_is_told(void **state)
{
	(void)state;
	add_index(1, 1, 10);
	add_index(1, 12, 20);
	add_index(1, 15, 18); /* of a copied volume */
	add_index(1, 24, 30);
	assert_told(false, "index has 11 to 11;index has 21 to 23;");
	assert_int_equal(seen[0].last_seq, 30);
}

static void a_hole_behind_the_last_index_is_told(void **state)
{
	(void)state;
	add_index(1, 1, 10);
	add_behind(1, 12, 20, AT);
	add_behind(1, 31, 40, AT);
	add_behind(1, 12, 20, AT);
	assert_told(true, "object has 11 to 11, and later ones are there;"
			  "object has 21 to 30, and later ones are there;");
}

static void a_hole_without_any_index_is_told(void **state)
{
	(void)state;
	add_behind(1, 12, 20, AT);
	add_behind(1, 22, UINT64_MAX, AT);
	assert_told(true, "object has 21 to 21, and later ones are there;");
}

static void ranges_of_nothing_that_is_sent_are_no_holes(void **state)
{
	(void)state;
	add_index(1, 1, 10);
	add_behind(1, 12, 20, AT);
	assert_told(false, "");
}

static void an_object_of_an_earlier_day_has_an_index(void **state)
{
	const int64_t late_ns = ARCHIVE_LATE_SECONDS * NS_PER_S;

	(void)state;
	add_index(1, 1, 10);
	add_behind(1, 11, 20, AT);
	add_behind(1, 21, 30, AT + 1);
	add_behind(1, 31, 40, AT + late_ns); /* no more than that after 11 to 20 */
	add_behind(2, 1, 10, AT - 10 * DAY); /* nothing of it came since */
	assert_told(true, "");
	add_behind(1, 41, 50, AT + late_ns + 2);
	assert_told(true,
		    "index has 11 to 30, which were stored a day and more before later ones;");
}

/* A delivery that took days is in the journal of its end. */
static void a_range_was_stored_with_the_last_of_its_objects(void **state)
{
	(void)state;
	add_behind(1, 1, 10, AT);
	add_behind(1, 1, 10, AT + 3 * DAY);
	add_behind(1, 1, 10, AT + DAY);
	add_behind(1, 11, 20, AT + 3 * DAY + 1);
	assert_told(true, "");
}

static void objects_before_the_last_index_say_where_a_stream_begins(void **state)
{
	struct archive_name line = name_of(ARCHIVE_LINES, 1, 30, 40);
	struct archive_name event = name_of(ARCHIVE_SECURITY, 1, 5, 10);

	(void)state;
	add_index(1, 20, 50);
	assert_int_equal(archive_streams_add_object(streams, &line, AT, false, &err), ERR_NONE);
	assert_int_equal(archive_streams_add_object(streams, &event, AT, false, &err), ERR_NONE);
	event.epoch = 2;
	assert_int_equal(archive_streams_add_object(streams, &event, AT, false, &err), ERR_NONE);
	assert_told(true, "");
	assert_int_equal(seen_count, 2);
	assert_int_equal(seen[0].first_seq, 5);
	assert_int_equal(seen[0].first_line_seq, 30);
	assert_int_equal(seen[1].epoch, 2);
	assert_true(seen[1].first_line_seq == UINT64_MAX);
}

static void streams_are_bounded(void **state)
{
	struct archive_name n = name_of(ARCHIVE_LINES, 1, 1, 2);

	(void)state;
	for (n.epoch = 0; n.epoch < ARCHIVE_STREAMS_MAX; n.epoch++)
		assert_int_equal(archive_streams_add_object(streams, &n, AT, false, &err),
				 ERR_NONE);
	assert_int_equal(archive_streams_add_object(streams, &n, AT, false, &err), ERR_FULL);
	assert_non_null(strstr(err.text, "10000 streams"));
	n.epoch = 5;
	assert_int_equal(archive_streams_add_object(streams, &n, AT, false, &err), ERR_NONE);
}

static void ranges_are_bounded_however_many_objects_they_have(void **state)
{
	struct archive_name n = name_of(ARCHIVE_LINES, 1, 1, 1);

	(void)state;
	for (size_t i = 0; i < 2 * ARCHIVE_RANGES_MAX + 10; i++)
		assert_int_equal(archive_streams_add_object(streams, &n, AT, true, &err), ERR_NONE);
	for (; n.last_seq < ARCHIVE_RANGES_MAX; n.first_seq = ++n.last_seq)
		assert_int_equal(archive_streams_add_object(streams, &n, AT, true, &err), ERR_NONE);
	assert_told(true, "");
	assert_int_equal(archive_streams_add_object(streams, &n, AT, true, &err), ERR_NONE);
	assert_told(true, "");
	n.first_seq = ++n.last_seq;
	assert_int_equal(archive_streams_add_object(streams, &n, AT, true, &err), ERR_NONE);
	assert_int_equal(archive_streams_tell(streams, true, &calls, &err), ERR_FULL);
	assert_non_null(strstr(err.text, "500000 indexes and ranges"));
}

static void a_few(void *arg)
{
	struct archive_name n = name_of(ARCHIVE_LINES, 1, 1, 2);
	struct archive_streams *few = NULL;
	struct err e = {.kind = ERR_NONE};
	enum err_kind rc = archive_streams_new(&few, &e);

	(void)arg;
	if (!rc)
		rc = archive_streams_add_object(few, &n, AT, true, &e);
	if (!rc)
		rc = archive_streams_tell(few, true, &calls, &e);
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
	assert_int_equal(rc, e.kind);
	archive_streams_free(few);
	seen_count = 0;
}

static void no_memory_is_said(void **state)
{
	(void)state;
	fault_everywhere(a_few, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(ranges_that_follow_on_each_other_are_all_there),
		TEST(a_hole_between_two_indexes_is_told),
		TEST(a_hole_behind_the_last_index_is_told),
		TEST(a_hole_without_any_index_is_told),
		TEST(ranges_of_nothing_that_is_sent_are_no_holes),
		TEST(an_object_of_an_earlier_day_has_an_index),
		TEST(a_range_was_stored_with_the_last_of_its_objects),
		TEST(objects_before_the_last_index_say_where_a_stream_begins),
		TEST(streams_are_bounded),
		TEST(ranges_are_bounded_however_many_objects_they_have),
		TEST(no_memory_is_said),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
