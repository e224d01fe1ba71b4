#include "base/file.h"
#include "base/json.h"
#include "base/time.h"
#include "fault.h"
#include "names.h"
#include "scratch.h"
#include "sink/dead_letter.h"
#include "sink/dead_reader.h"
#include "sink/dead_settled.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char LETTERS[] = "dead-s3.ndjson";
static const char SETTLED[] = "dead-s3.settled.ndjson";
static const int64_t LONG_AGO_NS = 0; /* when a letter was written, where that is all the same */

static const struct spool_stream stream = {
	.uuid = {{0x47, 0x18, 0xf5, 0xdc, 0x5f, 0x98, 0x83, 0x0a, 0x88, 0x8b, 0xc5, 0x3e, 0xbf,
		  0x1e, 0x1b, 0xf5}},
	.epoch = 3,
};

static struct scratch dir;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	scratch_make(&dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	scratch_remove(&dir);
	return 0;
}

static struct dead_key key_of(uint64_t seq)
{
	return (struct dead_key){.stream = stream.uuid, .epoch = stream.epoch, .seq = seq};
}

/* --- what a run and a command do --- */

static void bury(uint64_t first, uint64_t last)
{
	struct dead_letters *d = NULL;

	assert_int_equal(dead_letters_open(&d, dir.path, "s3", stream, &err), ERR_NONE);
	for (uint64_t seq = first; seq <= last; seq++)
		assert_int_equal(dead_letters_add(d, seq, SPAN("\1payload"), "a reason",
						  SPAN("it said \"no\"\x1b"), &err),
				 ERR_NONE);
	dead_letters_close(d);
}

static void settle(uint64_t seq)
{
	struct dead_key key = key_of(seq);
	struct dead_settled *s = NULL;

	assert_int_equal(dead_settled_open(&s, dir.path, "s3", &err), ERR_NONE);
	assert_int_equal(dead_settled_add(s, &key, LONG_AGO_NS, DEAD_DROPPED, "it is known", &err),
			 ERR_NONE);
	dead_settled_close(s);
}

static struct dead_reader *open_reader(void)
{
	struct dead_reader *r = NULL;

	if (dead_reader_open(&r, dir.path, "s3", &err))
		fail_msg("dead_reader_open: %s", err.text);
	return r;
}

/* The numbers of the letters that are there, as text. */
static const char *numbers(void)
{
	static char text[256];
	struct dead_reader *r = open_reader();
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < dead_reader_count(r) && len < sizeof(text) - 24; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%llu", i > 0 ? " " : "",
					(unsigned long long)dead_reader_key(r, i)->seq);
	dead_reader_close(r);
	return text;
}

static void write_at_end(const char *name, struct span bytes)
{
	FILE *f = fopen(scratch_file(&dir, name), "ae");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes.data, 1, bytes.len, f), bytes.len);
	assert_int_equal(fclose(f), 0);
}

static off_t size_of(const char *name)
{
	struct stat st;

	return stat(scratch_file(&dir, name), &st) == 0 ? st.st_size : -1;
}

/* --- reading --- */

static void where_there_is_no_file_there_are_no_letters(void **state)
{
	(void)state;
	assert_string_equal(numbers(), "");
}

static void a_letter_comes_back_as_it_went(void **state)
{
	struct dead_letter letter;
	struct dead_reader *r;

	(void)state;
	bury(7, 9);
	r = open_reader();
	assert_int_equal(dead_reader_count(r), 3);
	assert_int_equal(dead_reader_read(r, 1, &letter, &err), ERR_NONE);
	assert_int_equal(dead_reader_key(r, 1)->seq, 8);
	assert_int_equal(dead_reader_key(r, 1)->epoch, 3);
	assert_int_equal(id_compare(&dead_reader_key(r, 1)->stream, &stream.uuid), 0);
	assert_true(span_is(letter.payload, "\1payload"));
	assert_true(span_is(letter.reason, "a reason"));
	assert_true(span_is(letter.answer, "it said \"no\"\x1b"));
	assert_int_equal(letter.time.len, 30);
	dead_reader_close(r);
}

static void of_an_answer_the_first_bytes_are_kept(void **state)
{
	char said[4 * DEAD_ANSWER_BYTES_MAX];
	struct dead_letters *d = NULL;
	struct dead_letter letter;
	struct dead_reader *r;

	(void)state;
	memset(said, 'x', sizeof(said));
	assert_int_equal(dead_letters_open(&d, dir.path, "s3", stream, &err), ERR_NONE);
	assert_int_equal(
		dead_letters_add(d, 1, SPAN("p"), "why", span_of(said, sizeof(said)), &err),
		ERR_NONE);
	assert_int_equal(dead_letters_add(d, 2, SPAN("p"), "why", SPAN(""), &err), ERR_NONE);
	dead_letters_close(d);
	r = open_reader();
	assert_int_equal(dead_reader_read(r, 0, &letter, &err), ERR_NONE);
	assert_true(span_equal(letter.answer, span_of(said, DEAD_ANSWER_BYTES_MAX)));
	assert_int_equal(dead_reader_read(r, 1, &letter, &err), ERR_NONE);
	assert_int_equal(letter.answer.len, 0);
	dead_reader_close(r);
}

static void the_largest_letter_is_one_line(void **state)
{
	char *payload = malloc(RECORD_PAYLOAD_BYTES_MAX);
	char reason[ERR_TEXT_BYTES], said[DEAD_ANSWER_BYTES_MAX];
	struct dead_letters *d = NULL;
	struct dead_letter letter;
	struct dead_reader *r;

	(void)state;
	assert_non_null(payload);
	memset(payload, 0xfb, RECORD_PAYLOAD_BYTES_MAX);
	memset(reason, 1, sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	memset(said, 0xff, sizeof(said));
	assert_int_equal(dead_letters_open(&d, dir.path, "s3", stream, &err), ERR_NONE);
	assert_int_equal(dead_letters_add(d, INT64_MAX, span_of(payload, RECORD_PAYLOAD_BYTES_MAX),
					  reason, span_of(said, sizeof(said)), &err),
			 ERR_NONE);
	dead_letters_close(d);
	r = open_reader();
	assert_int_equal(dead_reader_count(r), 1);
	assert_true(dead_reader_key(r, 0)->seq == INT64_MAX);
	assert_int_equal(dead_reader_read(r, 0, &letter, &err), ERR_NONE);
	assert_true(span_equal(letter.payload, span_of(payload, RECORD_PAYLOAD_BYTES_MAX)));
	dead_reader_close(r);
	free(payload);
}

static void of_two_of_one_key_the_newer_counts(void **state)
{
	struct dead_letters *d = NULL;
	struct dead_letter letter;
	struct dead_reader *r;

	(void)state;
	bury(1, 3);
	assert_int_equal(dead_letters_open(&d, dir.path, "s3", stream, &err), ERR_NONE);
	assert_int_equal(dead_letters_add(d, 2, SPAN("p"), "again", SPAN(""), &err), ERR_NONE);
	dead_letters_close(d);
	assert_string_equal(numbers(), "1 3 2");
	r = open_reader();
	assert_int_equal(dead_reader_read(r, 2, &letter, &err), ERR_NONE);
	assert_true(span_is(letter.reason, "again"));
	dead_reader_close(r);
}

static void a_line_that_is_torn_or_being_written_is_none(void **state)
{
	struct dead_reader *r;

	(void)state;
	bury(1, 2);
	for (off_t size = size_of(LETTERS); size > 0; size -= 7) {
		assert_int_equal(truncate(scratch_file(&dir, LETTERS), size), 0);
		r = open_reader();
		assert_true(dead_reader_count(r) <= 2);
		assert_int_equal(dead_reader_damages(r)->count, 0);
		dead_reader_close(r);
	}
}

static void a_line_that_cannot_be_read_is_told_with_its_place_and_stops_nobody(void **state)
{
	static const char *const bad[] = {
		"no JSON at all\n",
		"\n",
		"{}\n",
		"[1]\n",
		"{\"time\":\"2026-01-02T03:04:05Z\",\"stream\":\"4718f5dc-5f98-830a-888b-"
		"c53ebf1e1bf5\",\"epoch\":3,"
		"\"seq\":4,\"reason\":\"r\",\"payload\":\"no base64\"}\n",
		"{\"time\":\"2026-01-02T03:04:05Z\",\"stream\":\"4718f5dc\",\"epoch\":3,\"seq\":4,"
		"\"reason\":\"r\","
		"\"payload\":\"AAAA\"}\n",
		"{\"time\":\"2026-01-02T03:04:05Z\",\"stream\":\"4718f5dc-5f98-830a-888b-"
		"c53ebf1e1bf5\",\"epoch\":3,"
		"\"seq\":-4,\"reason\":\"r\",\"payload\":\"AAAA\"}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct dead_reader *r;
		off_t place;

		scratch_make(&dir);
		bury(1, 1);
		place = size_of(LETTERS);
		write_at_end(LETTERS, span_text(bad[i]));
		bury(2, 2);
		assert_string_equal(numbers(), "1 2");
		r = open_reader();
		assert_int_equal(dead_reader_damages(r)->count, 1);
		assert_int_equal(dead_reader_damages(r)->places[0], place);
		dead_reader_close(r);
		scratch_remove(&dir);
	}
}

static void a_line_without_end_is_passed_over(void **state)
{
	char *line = malloc(DEAD_LINE_BYTES_MAX + 2);
	struct dead_reader *r;

	(void)state;
	assert_non_null(line);
	memset(line, 'x', DEAD_LINE_BYTES_MAX + 1);
	line[DEAD_LINE_BYTES_MAX + 1] = '\n';
	write_at_end(LETTERS, span_of(line, DEAD_LINE_BYTES_MAX + 2));
	bury(1, 1);
	assert_string_equal(numbers(), "1");
	r = open_reader();
	assert_int_equal(dead_reader_damages(r)->count, 1);
	dead_reader_close(r);
	free(line);
}

static void a_file_that_no_flytrail_wrote_is_refused_by_its_size(void **state)
{
	struct dead_reader *r = NULL;

	(void)state;
	bury(1, 1);
	assert_int_equal(truncate(scratch_file(&dir, LETTERS), DEAD_FILE_BYTES_MAX + 1), 0);
	assert_int_equal(dead_reader_open(&r, dir.path, "s3", &err), ERR_FULL);
}

static void places_of_many_damages_are_bounded_and_all_are_counted(void **state)
{
	struct dead_reader *r;

	(void)state;
	for (int i = 0; i < 2 * DEAD_DAMAGES_TOLD; i++)
		write_at_end(LETTERS, SPAN("x\n"));
	r = open_reader();
	assert_int_equal(dead_reader_damages(r)->count, 2 * DEAD_DAMAGES_TOLD);
	assert_int_equal(dead_reader_damages(r)->places[DEAD_DAMAGES_TOLD - 1],
			 2 * (DEAD_DAMAGES_TOLD - 1));
	dead_reader_close(r);
}

static void letters_that_come_meanwhile_change_nothing(void **state)
{
	struct dead_letter letter;
	struct dead_reader *r;

	(void)state;
	bury(1, 2);
	r = open_reader();
	settle(1);
	bury(3, 3); /* and clears the first away */
	assert_int_equal(dead_reader_count(r), 2);
	assert_int_equal(dead_reader_read(r, 0, &letter, &err), ERR_NONE);
	assert_int_equal(dead_reader_read(r, 1, &letter, &err), ERR_NONE);
	assert_true(span_is(letter.payload, "\1payload"));
	dead_reader_close(r);
	assert_string_equal(numbers(), "2 3");
}

static void what_was_changed_meanwhile_is_told(void **state)
{
	struct dead_letter letter;
	struct dead_reader *r;
	int fd = -1;

	(void)state;
	bury(1, 2);
	r = open_reader();
	assert_int_equal(file_open(&fd, scratch_file(&dir, LETTERS), FILE_WRITE, &err), ERR_NONE);
	assert_int_equal(file_write_at(fd, "xx", 2, 0, &err), ERR_NONE);
	assert_int_equal(dead_reader_read(r, 0, &letter, &err), ERR_CORRUPT);
	assert_int_equal(dead_reader_read(r, 1, &letter, &err), ERR_NONE);
	assert_int_equal(file_truncate(fd, 10, &err), ERR_NONE);
	assert_int_equal(dead_reader_read(r, 1, &letter, &err), ERR_CORRUPT);
	file_close(&fd);
	dead_reader_close(r);
}

/* --- settling --- */

static void what_is_settled_is_no_letter_any_more(void **state)
{
	struct dead_key two = key_of(2), three = key_of(3), other = key_of(2);
	struct dead_reader *r;
	size_t idx = 7;

	(void)state;
	other.epoch = 4;
	bury(1, 3);
	settle(2);
	assert_string_equal(numbers(), "1 3");
	r = open_reader();
	assert_true(dead_reader_is_settled(r, &two));
	assert_false(dead_reader_is_settled(r, &other));
	assert_false(dead_reader_find(r, &two, &idx));
	assert_true(dead_reader_find(r, &three, &idx));
	assert_int_equal(idx, 1);
	dead_reader_close(r);
}

static void of_two_who_settle_one_waits(void **state)
{
	struct dead_settled *one = NULL, *two = NULL;

	(void)state;
	assert_int_equal(dead_settled_open(&one, dir.path, "s3", &err), ERR_NONE);
	assert_int_equal(dead_settled_open(&two, dir.path, "s3", &err), ERR_CONFIG);
	assert_int_equal(dead_settled_open(&two, dir.path, "store", &err), ERR_NONE);
	dead_settled_close(two);
	dead_settled_close(one);
	assert_int_equal(dead_settled_open(&one, dir.path, "s3", &err), ERR_NONE);
	dead_settled_close(one);
}

static void a_settled_line_that_is_torn_settles_nothing_and_the_next_is_whole(void **state)
{
	(void)state;
	bury(1, 3);
	settle(1);
	settle(2);
	assert_int_equal(truncate(scratch_file(&dir, SETTLED), size_of(SETTLED) - 5), 0);
	assert_string_equal(numbers(), "2 3");
	settle(3);
	assert_string_equal(numbers(), "2");
}

static void only_the_owner_may_read_what_is_settled(void **state)
{
	struct stat st;

	(void)state;
	settle(1);
	assert_int_equal(stat(scratch_file(&dir, SETTLED), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* --- clearing --- */

static void the_next_run_clears_away_what_is_settled_and_keeps_all_else_as_it_is(void **state)
{
	struct buf before, after;
	off_t first;

	(void)state;
	buf_init(&before, 65536);
	buf_init(&after, 65536);
	bury(1, 1);
	first = size_of(LETTERS);
	write_at_end(LETTERS, SPAN("damaged\n"));
	bury(2, 2);
	settle(1);
	assert_int_equal(file_read_all(scratch_file(&dir, LETTERS), &before, &err), ERR_NONE);
	bury(3, 2); /* opens them, and adds none */
	assert_int_equal(file_read_all(scratch_file(&dir, LETTERS), &after, &err), ERR_NONE);
	assert_true(span_equal(span_of(after.data, after.len),
			       span_of(before.data + first, before.len - (size_t)first)));
	assert_int_equal(size_of(SETTLED), -1);
	assert_string_equal(numbers(), "2");
	buf_release(&before);
	buf_release(&after);
}

static void where_all_is_settled_nothing_is_left(void **state)
{
	(void)state;
	bury(1, 2);
	settle(1);
	settle(2);
	bury(3, 2);
	assert_int_equal(size_of(LETTERS), 0);
	assert_int_equal(size_of(SETTLED), -1);
}

static void while_somebody_settles_nothing_is_cleared_away(void **state)
{
	struct dead_settled *s = NULL;

	(void)state;
	bury(1, 2);
	settle(1);
	assert_int_equal(dead_settled_open(&s, dir.path, "s3", &err), ERR_NONE);
	bury(3, 3);
	assert_true(size_of(SETTLED) > 0);
	assert_string_equal(numbers(), "2 3");
	dead_settled_close(s);
	bury(4, 4);
	assert_int_equal(size_of(SETTLED), -1);
	assert_string_equal(numbers(), "2 3 4");
}

static void letters_that_were_full_have_room_again_without_a_restart(void **state)
{
	struct dead_letters *d = NULL;

	(void)state;
	bury(1, 1);
	write_at_end(LETTERS, SPAN("x"));
	assert_int_equal(truncate(scratch_file(&dir, LETTERS), DEAD_FILE_BYTES_MAX - 300), 0);
	write_at_end(LETTERS, SPAN("\n"));
	assert_int_equal(dead_letters_open(&d, dir.path, "s3", stream, &err), ERR_NONE);
	assert_int_equal(dead_letters_add(d, 2, SPAN("y"), "why", SPAN(""), &err), ERR_NONE);
	assert_int_equal(dead_letters_add(d, 3, SPAN("y"), "why", SPAN(""), &err), ERR_FULL);
	settle(1);
	settle(2);
	assert_int_equal(dead_letters_add(d, 3, SPAN("y"), "why", SPAN(""), &err), ERR_NONE);
	dead_letters_close(d);
	assert_string_equal(numbers(), "3");
}

/* What a crash between the two steps leaves: lines about letters that are gone. */
static void what_is_settled_of_letters_that_are_gone_means_nothing(void **state)
{
	(void)state;
	settle(1);
	write_at_end("dead-s3.ndjson.new", SPAN("half of a fresh file"));
	bury(2, 2);
	assert_string_equal(numbers(), "2");
	assert_int_equal(size_of(SETTLED), -1);
	settle(2);
	bury(3, 3);
	assert_string_equal(numbers(), "3");
}

/* Whatever fails, a letter that is not settled stays, and one that is does not come back. */
static void clear_and_read(void *arg)
{
	struct dead_letters *d = NULL;
	struct dead_reader *r = NULL;

	(void)arg;
	fault_pause();
	scratch_make(&dir);
	bury(1, 3);
	settle(2);
	fault_resume();
	if (dead_letters_open(&d, dir.path, "s3", stream, &err) == ERR_NONE)
		dead_letters_close(d);
	if (dead_reader_open(&r, dir.path, "s3", &err) == ERR_NONE) {
		struct dead_letter letter;

		if (dead_reader_read(r, 1, &letter, &err) == ERR_NONE)
			assert_true(span_is(letter.payload, "\1payload"));
		dead_reader_close(r);
	}
	fault_pause();
	assert_string_equal(numbers(), "1 3");
	scratch_remove(&dir);
	fault_resume();
}

static void no_fault_of_clearing_loses_a_letter(void **state)
{
	(void)state;
	fault_everywhere(clear_and_read, NULL);
}

static void settle_one(void *arg)
{
	struct dead_key key = key_of(1);
	struct dead_settled *s = NULL;
	bool settled = false;

	(void)arg;
	fault_pause();
	scratch_make(&dir);
	bury(1, 1);
	fault_resume();
	if (dead_settled_open(&s, dir.path, "s3", &err) == ERR_NONE) {
		settled =
			dead_settled_add(s, &key, LONG_AGO_NS, DEAD_RETRIED, "", &err) == ERR_NONE;
		dead_settled_close(s);
	}
	fault_pause();
	if (settled)
		assert_string_equal(numbers(), "");
	settle(1); /* again is no harm, and no half line is in the way */
	assert_string_equal(numbers(), "");
	scratch_remove(&dir);
	fault_resume();
}

static void no_fault_settles_by_halves(void **state)
{
	(void)state;
	fault_everywhere(settle_one, NULL);
}

static void a_number_that_is_none_makes_no_letter(void **state)
{
	static const char *const bad[] = {"0",
					  "-5",
					  "1.5",
					  "1e20",
					  "\"-5\"",
					  "\" 5\"",
					  "\"\"",
					  "\"5x\"",
					  "9223372036854775808",
					  "\"0\"",
					  "\"18446744073709551621\"",
					  "null"};
	static const char *const good[] = {"1", "9223372036854775807", "\"5\""};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(bad) + ARRAY_LEN(good); i++) {
		bool is_bad = i < 2 * ARRAY_LEN(bad);
		const char *number = is_bad ? bad[i / 2] : good[i - 2 * ARRAY_LEN(bad)];
		bool is_epoch = is_bad && i % 2 == 0;
		struct dead_reader *r;
		char line[512];

		(void)snprintf(line, sizeof(line),
			       "{\"time\":\"2026-01-02T03:04:05Z\",\"stream\":"
			       "\"4718f5dc-5f98-830a-888b-c53ebf1e1bf5\",\"epoch\":%s,\"seq\":%s,"
			       "\"reason\":\"r\",\"payload\":\"AXBheWxvYWQ=\"}\n",
			       is_epoch ? number : "3", is_epoch ? "4" : number);
		scratch_make(&dir);
		bury(7, 7);
		write_at_end(LETTERS, span_text(line));
		r = open_reader();
		if (dead_reader_count(r) != (is_bad ? 1 : 2))
			fail_msg("%s", line);
		assert_int_equal(dead_reader_damages(r)->count, is_bad ? 1 : 0);
		dead_reader_close(r);
		scratch_remove(&dir);
	}
}

static void what_is_refused_again_after_it_was_settled_is_a_letter(void **state)
{
	struct dead_reader *r;
	bool cleared;

	(void)state;
	bury(7, 9);
	settle(8);
	settle(9);
	/* As a run does that has its letters open and clears nothing. */
	write_at_end(LETTERS, SPAN("{\"time\":\"2262-01-01T00:00:00Z\",\"stream\":"
				   "\"4718f5dc-5f98-830a-888b-c53ebf1e1bf5\",\"epoch\":3,\"seq\":8,"
				   "\"reason\":\"again\",\"payload\":\"AXBheWxvYWQ=\"}\n"));
	assert_string_equal(numbers(), "7 8");
	assert_int_equal(dead_settled_clear(dir.path, "s3", &cleared, &err), ERR_NONE);
	assert_true(cleared);
	assert_string_equal(numbers(), "7 8");
	r = open_reader();
	assert_int_equal(dead_reader_damages(r)->count, 0);
	dead_reader_close(r);
}

static void what_was_written_by_a_clock_that_was_ahead_is_settled_all_the_same(void **state)
{
	struct dead_key key = key_of(7);
	struct dead_settled *settled = NULL;
	struct dead_letter letter;
	struct dead_reader *r;
	bool cleared;

	(void)state;
	fault_set_wall_clock(3600 * NS_PER_S);
	bury(7, 8);
	fault_set_wall_clock(-3600 * NS_PER_S);
	r = open_reader();
	assert_int_equal(dead_reader_read(r, 0, &letter, &err), ERR_NONE);
	assert_int_equal(dead_settled_open(&settled, dir.path, "s3", &err), ERR_NONE);
	assert_int_equal(dead_settled_add(settled, &key, letter.written_ns, DEAD_RETRIED, "", &err),
			 ERR_NONE);
	dead_settled_close(settled);
	dead_reader_close(r);
	assert_string_equal(numbers(), "8");
	assert_int_equal(dead_settled_clear(dir.path, "s3", &cleared, &err), ERR_NONE);
	assert_true(cleared);
	assert_string_equal(numbers(), "8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_was_written_by_a_clock_that_was_ahead_is_settled_all_the_same),
		cmocka_unit_test(a_number_that_is_none_makes_no_letter),
		TEST(what_is_refused_again_after_it_was_settled_is_a_letter),
		TEST(where_there_is_no_file_there_are_no_letters),
		TEST(a_letter_comes_back_as_it_went),
		TEST(of_an_answer_the_first_bytes_are_kept),
		TEST(the_largest_letter_is_one_line),
		TEST(of_two_of_one_key_the_newer_counts),
		TEST(a_line_that_is_torn_or_being_written_is_none),
		cmocka_unit_test(
			a_line_that_cannot_be_read_is_told_with_its_place_and_stops_nobody),
		TEST(a_line_without_end_is_passed_over),
		TEST(a_file_that_no_flytrail_wrote_is_refused_by_its_size),
		TEST(places_of_many_damages_are_bounded_and_all_are_counted),
		TEST(letters_that_come_meanwhile_change_nothing),
		TEST(what_was_changed_meanwhile_is_told),
		TEST(what_is_settled_is_no_letter_any_more),
		TEST(of_two_who_settle_one_waits),
		TEST(a_settled_line_that_is_torn_settles_nothing_and_the_next_is_whole),
		TEST(only_the_owner_may_read_what_is_settled),
		TEST(the_next_run_clears_away_what_is_settled_and_keeps_all_else_as_it_is),
		TEST(where_all_is_settled_nothing_is_left),
		TEST(while_somebody_settles_nothing_is_cleared_away),
		TEST(letters_that_were_full_have_room_again_without_a_restart),
		TEST(what_is_settled_of_letters_that_are_gone_means_nothing),
		cmocka_unit_test(no_fault_of_clearing_loses_a_letter),
		cmocka_unit_test(no_fault_settles_by_halves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
