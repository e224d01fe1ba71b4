/* The journal of what was delivered, and the index that is made of it: whole, once, in time. */
#include "sink/archive_index.h"

#include "base/file.h"
#include "base/gzip.h"
#include "base/time.h"
#include "sink/archive_read.h"

#include "fault.h"
#include "scratch.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define AT INT64_C(1795695600000000000) /* 2026-11-26T12:20:00Z */
#define DAY (24 * 3600 * NS_PER_S)
#define STREAM "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"
#define HERE "https://s3.example.com here"
#define THERE "https://s3.example.com there"
#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

enum { OBJECTS = 2 };

static struct scratch scratch;
static struct archive_index *archive_index;
static struct archive_object objects[ARCHIVE_OBJECTS_MAX];
static struct archive_index_entry entries[ARCHIVE_OBJECTS_MAX];
static struct buf content;
static struct err err;

static enum err_kind try_open_of(const char *place, const char *prefix, uint64_t epoch)
{
	struct archive_options options = {.prefix = prefix, .stream = {.epoch = epoch}};

	archive_index_free(archive_index);
	archive_index = NULL;
	assert_true(id_parse(SPAN(STREAM), &options.stream.uuid));
	return archive_index_open(&archive_index, scratch.path, place, &options, &err);
}

static enum err_kind try_open(const char *prefix, uint64_t epoch)
{
	return try_open_of(HERE, prefix, epoch);
}

static void open_index(const char *prefix, uint64_t epoch)
{
	assert_int_equal(try_open(prefix, epoch), ERR_NONE);
}

static int set_up(void **state)
{
	(void)state;
	scratch_make(&scratch);
	buf_init(&content, INDEX_BYTES_MAX);
	open_index("audit", 2);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	archive_index_free(archive_index);
	archive_index = NULL;
	buf_release(&content);
	scratch_remove(&scratch);
	return 0;
}

/* Objects of a range, the last name first. */
static void make_entries(struct archive_range range, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct archive_object *o = &objects[i];

		(void)snprintf(o->key, sizeof(o->key),
			       "audit/lines/date=2026-11-%02zu/hour=07/" STREAM
			       ".2-%020ju-%020ju.ndjson.gz",
			       30 - i % 30, (uintmax_t)range.first_seq, (uintmax_t)range.last_seq);
		(void)snprintf(o->content_sha256, sizeof(o->content_sha256), SHA_B);
		o->content_bytes = 1000;
		o->records = 10 + i;
		entries[i] = (struct archive_index_entry){
			.object = o, .bytes = 100 + i, .sha256 = SHA_A};
	}
}

static enum err_kind try_add(int64_t now_ns, uint64_t first_seq, uint64_t last_seq, size_t count)
{
	const struct archive_range range = {first_seq, last_seq};

	make_entries(range, count);
	return archive_index_add(archive_index, now_ns, range, entries, count, &err);
}

static void add(int64_t now_ns, uint64_t first_seq, uint64_t last_seq, size_t count)
{
	assert_int_equal(try_add(now_ns, first_seq, last_seq, count), ERR_NONE);
}

/* NULL: none. */
static const struct archive_object *due(int64_t now_ns, uint64_t first_seq, uint64_t last_seq)
{
	const struct archive_range range = {first_seq, last_seq};
	const struct archive_object *o;

	assert_int_equal(archive_index_due(archive_index, now_ns, range, &o, &err), ERR_NONE);
	return o;
}

static void close_journal(void)
{
	assert_int_equal(archive_index_closed(archive_index, &err), ERR_NONE);
	assert_true(file_is_missing(scratch_file(&scratch, INDEX_JOURNAL_NAME)));
}

/* The key of what is due, and how many lines it has, each of which is read back. */
static void assert_index(const struct archive_object *o, const char *date, uint64_t first_seq,
			 uint64_t last_seq, size_t lines)
{
	struct archive_entry entry;
	struct span left;
	char key[ARCHIVE_KEY_BYTES];
	size_t count = 0;

	assert_non_null(o);
	(void)snprintf(key, sizeof(key), "audit/index/date=%s/" STREAM ".2-%020ju-%020ju.ndjson.gz",
		       date, (uintmax_t)first_seq, (uintmax_t)last_seq);
	assert_string_equal(o->key, key);
	buf_reset(&content);
	assert_int_equal(gzip_read(o->bytes, &content, &err), ERR_NONE);
	assert_int_equal(content.len, o->content_bytes);
	for (left = span_of(content.data, content.len); left.len > 0; count++) {
		size_t len = (size_t)((const char *)memchr(left.data, '\n', left.len) - left.data);

		assert_int_equal(
			archive_index_parse("audit", span_of(left.data, len), &entry, &err),
			ERR_NONE);
		left = span_after(left, len + 1);
	}
	assert_int_equal(count, lines);
	assert_int_equal(o->records, lines);
}

static void the_index_of_a_day_names_what_was_delivered(void **state)
{
	static const char line[] =
		"{\"key\":\"audit/lines/date=2026-11-29/hour=07/" STREAM
		".2-00000000000000000007-00000000000000000009.ndjson.gz\",\"bytes\":101,"
		"\"sha256\":\"" SHA_A "\",\"content_sha256\":\"" SHA_B "\",\"content_bytes\":1000,"
		"\"records\":11,\"first_seq\":\"7\",\"last_seq\":\"9\"}\n";
	struct hasher *hasher = NULL;
	uint8_t digest[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	const struct archive_object *o;

	(void)state;
	assert_null(due(AT, 7, 9));
	add(AT, 7, 9, OBJECTS);
	assert_null(due(AT, 10, 12));
	add(AT, 10, 12, 1);
	o = due(AT + DAY, 13, 14);
	assert_index(o, "2026-11-26", 7, 12, OBJECTS + 1);
	assert_memory_equal(content.data, line, strlen(line)); /* the first by its key */
	assert_int_equal(hasher_new(&hasher, &err), ERR_NONE);
	assert_int_equal(hasher_digest(hasher, span_of(content.data, content.len), digest, &err),
			 ERR_NONE);
	hasher_free(hasher);
	assert_string_equal(o->content_sha256, hash_hex(digest, hex));
	close_journal();
	add(AT + DAY, 13, 14, 1);
	assert_index(due(AT + 2 * DAY, 15, 15), "2026-11-27", 13, 14, 1);
}

static void ranges_without_objects_count_and_make_no_line(void **state)
{
	(void)state;
	add(AT, 1, 5, 0);
	assert_index(due(AT + DAY, 6, 6), "2026-11-26", 1, 5, 0);
}

static void a_day_that_was_before_ends_nothing(void **state)
{
	(void)state;
	add(AT, 1, 5, 1);
	assert_null(due(AT - DAY, 6, 7));
}

static void a_range_that_is_in_it_is_neither_doubled_nor_a_reason_to_close(void **state)
{
	(void)state;
	add(AT, 1, 5, 1);
	open_index("audit", 2);
	assert_null(due(AT + DAY, 1, 5));
	add(AT + DAY, 1, 5, 1);
	assert_index(due(AT + DAY, 6, 7), "2026-11-26", 1, 5, 1);
}

/* Delivered as events alone, and after a crash, with another option, as lines, too. */
static void what_is_new_of_a_range_that_is_in_it_is_added(void **state)
{
	(void)state;
	add(AT, 1, 5, 1);
	open_index("audit", 2);
	assert_null(due(AT + DAY, 1, 5));
	add(AT + DAY, 1, 5, OBJECTS);
	for (size_t count = 0; count <= OBJECTS; count++) {
		open_index("audit", 2);
		assert_null(due(AT + DAY, 1, 5));
		add(AT + DAY, 1, 5, count);
	}
	assert_null(due(AT, 6, 7));
	assert_index(due(AT + DAY, 6, 7), "2026-11-26", 1, 5, OBJECTS);
}

static void a_range_that_was_taken_away_is_added_anew(void **state)
{
	(void)state;
	add(AT, 1, 5, 1);
	assert_int_equal(remove(scratch_file(&scratch, INDEX_JOURNAL_NAME)), 0);
	add(AT, 1, 5, OBJECTS);
	assert_index(due(AT + DAY, 6, 7), "2026-11-26", 1, 5, OBJECTS);
}

static void another_stream_prefix_or_place_ends_it(void **state)
{
	(void)state;
	add(AT, 1, 5, 1);
	open_index("audit", 3);
	assert_index(due(AT, 1, 5), "2026-11-26", 1, 5, 1);
	open_index("other", 2);
	assert_index(due(AT, 6, 7), "2026-11-26", 1, 5, 1);
	open_index("audit", 2);
	assert_index(due(AT, 7, 8), "2026-11-26", 1, 5, 1); /* 6 is missing */
	assert_null(due(AT, 6, 8));
	open_index("other", 2);
	assert_non_null(due(AT, 6, 7));
	close_journal();
	add(AT, 6, 7, 1);
	assert_string_equal(due(AT, 9, 9)->key, "other/index/date=2026-11-26/" STREAM
						".2-00000000000000000006-00000000000000000007"
						".ndjson.gz");
}

static void write_journal(const struct buf *text, size_t len)
{
	assert_int_equal(file_replace(scratch.path, INDEX_JOURNAL_NAME, text->data, len, &err),
			 ERR_NONE);
}

static void read_journal(struct buf *ret)
{
	buf_init(ret, INDEX_BYTES_MAX);
	assert_int_equal(file_read_all(scratch_file(&scratch, INDEX_JOURNAL_NAME), ret, &err),
			 ERR_NONE);
}

static size_t count_asides(void)
{
	glob_t found;
	size_t count = 0;

	if (glob(scratch_file(&scratch, INDEX_JOURNAL_NAME ".*"), 0, NULL, &found) == 0)
		count = found.gl_pathc;
	globfree(&found);
	return count;
}

/* What is in one bucket does not come into another's index, and is in its own when it is back. */
static void another_bucket_has_its_own(void **state)
{
	(void)state;
	add(AT, 1, 5, 1);
	assert_int_equal(try_open_of(THERE, "audit", 2), ERR_NONE);
	assert_true(file_is_missing(scratch_file(&scratch, INDEX_JOURNAL_NAME)));
	assert_int_equal(count_asides(), 1);
	assert_null(due(AT + DAY, 6, 7));
	add(AT, 6, 7, OBJECTS);
	assert_int_equal(try_open_of(THERE, "audit", 2), ERR_NONE);
	assert_index(due(AT + DAY, 8, 8), "2026-11-26", 6, 7, OBJECTS);
	open_index("audit", 2);
	assert_int_equal(count_asides(), 1);
	assert_index(due(AT, 8, 9), "2026-11-26", 1, 5, 1); /* it does not follow */
	close_journal();
	add(AT, 8, 9, 1);
	assert_int_equal(try_open_of(THERE, "audit", 2), ERR_NONE);
	assert_index(due(AT, 10, 11), "2026-11-26", 6, 7, OBJECTS);
}

static unsigned open_under_fault(const char *place, unsigned nth)
{
	fault_arm(nth, true);
	(void)try_open_of(place, "audit", 2);
	return fault_disarm();
}

/* Between any two steps: it is in its place or aside, and read again where it belongs. */
static void a_journal_on_its_way_aside_and_back_is_not_lost(void **state)
{
	unsigned calls;

	(void)state;
	add(AT, 1, 5, 1);
	calls = open_under_fault(THERE, 0) + open_under_fault(HERE, 0);
	assert_true(calls > 2);
	for (unsigned nth = 1; nth <= calls; nth++) {
		(void)open_under_fault(THERE, nth);
		(void)open_under_fault(HERE, nth);
		open_index("audit", 2);
		assert_index(due(AT + DAY, 6, 7), "2026-11-26", 1, 5, 1);
	}
}

static void what_is_aside_already_is_not_overwritten(void **state)
{
	struct buf text;

	(void)state;
	add(AT, 1, 5, 1);
	read_journal(&text);
	assert_int_equal(try_open_of(THERE, "audit", 2), ERR_NONE);
	write_journal(&text, text.len);
	assert_int_equal(try_open_of(THERE, "audit", 2), ERR_CONFIG);
	assert_non_null(strstr(err.text, INDEX_JOURNAL_NAME "."));
	assert_false(file_is_missing(scratch_file(&scratch, INDEX_JOURNAL_NAME)));
	buf_release(&text);
}

static void a_full_one_is_closed_early(void **state)
{
	uint64_t seq = 1;

	(void)state;
	for (; !due(AT, seq, seq); seq++)
		add(AT, seq, seq, ARCHIVE_OBJECTS_MAX);
	assert_index(due(AT, seq, seq), "2026-11-26", 1, seq - 1, (seq - 1) * ARCHIVE_OBJECTS_MAX);
	assert_true(seq * (ARCHIVE_OBJECTS_MAX + 1) > INDEX_ENTRIES_MAX);
	open_index("audit", 2);
	assert_non_null(due(AT, seq, seq));
}

/* Wherever it was torn, the ranges before are whole, and the torn one can be added again. */
static void a_torn_end_is_cut(void **state)
{
	struct buf one, two, again;

	(void)state;
	add(AT, 1, 5, 1);
	read_journal(&one);
	add(AT, 6, 9, OBJECTS);
	read_journal(&two);
	for (size_t len = one.len; len < two.len; len++) {
		write_journal(&two, len);
		open_index("audit", 2);
		assert_index(due(AT + DAY, 6, 9), "2026-11-26", 1, 5, 1);
		add(AT, 6, 9, OBJECTS);
		read_journal(&again);
		assert_true(span_equal(span_of(again.data, again.len), span_of(two.data, two.len)));
		buf_release(&again);
	}
	buf_release(&one);
	buf_release(&two);
}

static void what_is_no_journal_is_said_and_left(void **state)
{
	struct buf text;

	(void)state;
	add(AT, 1, 5, 1);
	read_journal(&text);
	for (size_t len = 0; len < text.len; len++) {
		write_journal(&text, len);
		assert_int_equal(try_open("audit", 2), ERR_CORRUPT);
		assert_false(file_is_missing(scratch_file(&scratch, INDEX_JOURNAL_NAME)));
	}
	text.data[0] = '[';
	write_journal(&text, text.len);
	assert_int_equal(try_open("audit", 2), ERR_CORRUPT);
	assert_non_null(strstr(err.text, "move it away"));
	buf_release(&text);
}

static int refuse_sync(int fd)
{
	(void)fd;
	return -1;
}

static void what_is_not_synced_is_not_added(void **state)
{
	const struct fault_disk disk = {.fdatasync = refuse_sync, .fsync = refuse_sync};

	(void)state;
	add(AT, 1, 5, 1);
	fault_set_disk(&disk);
	assert_int_equal(try_add(AT, 6, 9, 1), ERR_FATAL);
	fault_set_disk(NULL);
	assert_non_null(due(AT, 10, 10)); /* it does not follow on 5 */
	add(AT, 6, 9, 1);
	assert_null(due(AT, 10, 10));
}

static enum err_kind due_under_fault(unsigned nth, unsigned *ret_calls)
{
	const struct archive_range next = {6, 6};
	const struct archive_object *o;
	enum err_kind rc;

	fault_arm(nth, true);
	rc = archive_index_due(archive_index, AT + DAY, next, &o, &err);
	*ret_calls = fault_disarm();
	assert_true(rc || o);
	return rc;
}

/* Under each fault; the same process goes on without it. */
static void what_could_not_be_read_is_not_forgotten(void **state)
{
	unsigned calls, ignored;

	(void)state;
	add(AT, 1, 5, 1);
	assert_int_equal(due_under_fault(0, &calls), ERR_NONE);
	assert_true(calls > 1);
	for (unsigned nth = 1; nth <= calls; nth++) {
		open_index("audit", 2); /* without the memory that it had */
		(void)due_under_fault(nth, &ignored);
		assert_index(due(AT + DAY, 6, 6), "2026-11-26", 1, 5, 1);
	}
}

/* What was added is there, whatever failed. */
static void deliver_under_faults(void *arg)
{
	const struct archive_object *o = NULL;
	const struct archive_range next = {10, 10};
	bool first, second;
	enum err_kind rc;

	(void)arg;
	if (try_open("audit", 2))
		return;
	first = try_add(AT, 1, 5, 1) == ERR_NONE;
	second =
		first && try_add(AT, 6, 9, 1) == ERR_NONE && try_add(AT, 6, 9, OBJECTS) == ERR_NONE;
	rc = archive_index_due(archive_index, AT + DAY, next, &o, &err);
	fault_pause();
	if (rc == ERR_NONE && second)
		assert_index(o, "2026-11-26", 1, 9, 1 + OBJECTS);
	open_index("audit", 2);
	o = due(AT + DAY, 10, 10);
	if (second)
		assert_index(o, "2026-11-26", 1, 9, 1 + OBJECTS);
	else if (first) /* or with what was written, and its sync failed */
		assert_true(o->records >= 1 && o->records <= 1 + OBJECTS);
	(void)remove(scratch_file(&scratch, INDEX_JOURNAL_NAME));
	fault_resume();
}

static void no_fault_loses_what_was_added(void **state)
{
	(void)state;
	fault_everywhere(deliver_under_faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_index_of_a_day_names_what_was_delivered),
		TEST(ranges_without_objects_count_and_make_no_line),
		TEST(a_day_that_was_before_ends_nothing),
		TEST(a_range_that_is_in_it_is_neither_doubled_nor_a_reason_to_close),
		TEST(what_is_new_of_a_range_that_is_in_it_is_added),
		TEST(a_range_that_was_taken_away_is_added_anew),
		TEST(another_stream_prefix_or_place_ends_it),
		TEST(another_bucket_has_its_own),
		TEST(a_journal_on_its_way_aside_and_back_is_not_lost),
		TEST(what_is_aside_already_is_not_overwritten),
		TEST(a_full_one_is_closed_early),
		TEST(a_torn_end_is_cut),
		TEST(what_is_no_journal_is_said_and_left),
		TEST(what_is_not_synced_is_not_added),
		TEST(what_could_not_be_read_is_not_forgotten),
		TEST(no_fault_loses_what_was_added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
