/* Nothing that lies in a bucket is believed: neither a key, nor an index, nor an object. */
#include "sink/archive_read.h"

#include "base/gzip.h"
#include "model/event.h"

#include "fault.h"
#include "s3_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define AT INT64_C(1795694400000000000) /* 2026-11-26T12:00:00Z */
#define HOUR (3600 * NS_PER_S)
#define STREAM "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"
#define RANGE STREAM ".2-00000000000000000011-18446744073709551615.ndjson.gz"
#define LINES_KEY "audit/fly/lines/date=2026-11-26/hour=12/" RANGE
#define HASH "185f8db32271fe25f561a6fc938b2e264306ec304eda518007d1764826381969"

enum { STORED_BYTES = 64 * 1024, CONTENT_BYTES = 64 * 1024, TEXT_BYTES = 2048 };

static const char two_lines[] = "{\"one\":1}\n{\"two\":2}\n";

static struct gzip_writer *writer;
static struct buf stored, content;
static struct archive_entry entry;
static struct err err;

static void hash_into(struct span bytes, char hex[HASH_HEX_BYTES])
{
	struct hasher *hasher = NULL;
	uint8_t digest[HASH_BYTES];

	assert_int_equal(hasher_new(&hasher, &err), ERR_NONE);
	assert_int_equal(hasher_digest(hasher, bytes, digest, &err), ERR_NONE);
	(void)hash_hex(digest, hex);
	hasher_free(hasher);
}

static void add_member(struct span bytes)
{
	gzip_writer_begin(writer, &stored);
	gzip_writer_add(writer, bytes);
	assert_int_equal(gzip_writer_end(writer, &err), ERR_NONE);
}

/* The entry is what an index says of what is stored, which has that content. */
static void describe(struct span bytes, uint64_t records)
{
	entry = (struct archive_entry){
		.key = LINES_KEY,
		.bytes = stored.len,
		.content_bytes = bytes.len,
		.records = records,
	};
	hash_into(span_of(stored.data, stored.len), entry.sha256);
	hash_into(bytes, entry.content_sha256);
}

static int set_up(void **state)
{
	(void)state;
	buf_init(&stored, STORED_BYTES);
	buf_init(&content, CONTENT_BYTES);
	assert_int_equal(gzip_writer_new(&writer, &err), ERR_NONE);
	add_member(span_text(two_lines));
	describe(span_text(two_lines), 2);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	gzip_writer_free(writer);
	buf_release(&stored);
	buf_release(&content);
	return 0;
}

/* --- keys --- */

static void a_key_says_what_it_holds(void **state)
{
	static const struct {
		const char *prefix, *key;
		enum archive_kind kind;
		int64_t from_ns, until_ns;
	} keys[] = {
		{"audit/fly", LINES_KEY, ARCHIVE_LINES, AT, AT + HOUR},
		{"a", "a/events/class=security/date=2026-11-26/" RANGE, ARCHIVE_SECURITY,
		 AT - 12 * HOUR, AT + 12 * HOUR},
		{"", "events/class=operations/date=2026-11-26/" RANGE, ARCHIVE_OPERATIONS,
		 AT - 12 * HOUR, AT + 12 * HOUR},
		{"a", "a/index/date=2026-11-26/" RANGE, ARCHIVE_INDEX, AT - 12 * HOUR,
		 AT + 12 * HOUR},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct archive_name name;
		char uuid[ID_TEXT_BYTES];

		assert_true(archive_name_parse(keys[i].prefix, span_text(keys[i].key), &name));
		assert_int_equal(name.kind, keys[i].kind);
		assert_int_equal(name.from_ns, keys[i].from_ns);
		assert_int_equal(name.until_ns, keys[i].until_ns);
		assert_string_equal(id_format(&name.stream, uuid), STREAM);
		assert_int_equal(name.epoch, 2);
		assert_int_equal(name.first_seq, 11);
		assert_int_equal(name.last_seq, UINT64_MAX);
	}
}

static void what_archive_writes_is_a_key(void **state)
{
	const struct archive_options options = {.prefix = "a", .stream = {.epoch = UINT64_MAX}};
	const struct event event = {.class = CLASS_exit, .not_after_ns = EVENT_NO_TIME};
	struct archive *archive = NULL;
	struct archive_name name;

	(void)state;
	buf_reset(&content);
	event_encode(&event, &content);
	assert_int_equal(archive_new(&archive, &options, &err), ERR_NONE);
	archive_begin(archive, 1);
	assert_int_equal(
		archive_add(archive, span_of(content.data, content.len), &(bool){false}, &err),
		ERR_NONE);
	assert_int_equal(archive_end(archive, 7, &err), ERR_NONE);
	assert_true(archive_name_parse("a", span_text(archive_object(archive, 0)->key), &name));
	assert_int_equal(name.kind, ARCHIVE_OPERATIONS);
	assert_int_equal(name.epoch, UINT64_MAX);
	assert_int_equal(name.first_seq, 1);
	assert_int_equal(name.last_seq, 7);
	archive_free(archive);
}

static void any_other_key_is_none(void **state)
{
	static const char *const keys[] = {
		"",
		"audit/fly",
		"lines/date=2026-11-26/hour=12/" RANGE,
		"audit/fly/../fly/lines/date=2026-11-26/hour=12/" RANGE,
		"audit/flylines/date=2026-11-26/hour=12/" RANGE,
		"audit/fly/lines/date=2026-11-26/" RANGE,
		"audit/fly/lines/date=2026-11-26/hour=24/" RANGE,
		"audit/fly/lines/date=2026-11-26/hour=1/" RANGE,
		"audit/fly/lines/date=2026-02-30/hour=12/" RANGE,
		"audit/fly/lines/date=9999-11-26/hour=12/" RANGE,
		"audit/fly/events/class=trail/date=2026-11-26/" RANGE,
		"audit/fly/events/class=security/date=2026-11-26/hour=12/" RANGE,
		LINES_KEY "x",
		"audit/fly/lines/date=2026-11-26/hour=12/4718F5DC-5f98-830a-888b-c53ebf1e1bf5"
		".2-00000000000000000011-00000000000000000019.ndjson.gz",
		"audit/fly/lines/date=2026-11-26/hour=12/" STREAM
		".-00000000000000000011-00000000000000000019.ndjson.gz",
		"audit/fly/lines/date=2026-11-26/hour=12/" STREAM
		".02-00000000000000000011-00000000000000000019.ndjson.gz",
		"audit/fly/lines/date=2026-11-26/hour=12/" STREAM
		".2-00000000000000000020-00000000000000000019.ndjson.gz",
		"audit/fly/lines/date=2026-11-26/hour=12/" STREAM
		".2-00000000000000000011-18446744073709551616.ndjson.gz",
		"audit/fly/lines/date=2026-11-26/hour=12/" STREAM ".2-11-19.ndjson.gz",
	};
	struct archive_name name;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (archive_name_parse("audit/fly", span_text(keys[i]), &name))
			fail_msg("%s is taken for a key", keys[i]);
	for (size_t len = 0; len < strlen(LINES_KEY); len++)
		assert_false(archive_name_parse("audit/fly", span_of(LINES_KEY, len), &name));
}

/* --- an index --- */

static const char *index_line(char text[TEXT_BYTES], const char *key, const char *bytes,
			      const char *sha256, const char *first_seq)
{
	(void)snprintf(text, TEXT_BYTES,
		       "{\"key\":\"%s\",\"bytes\":%s,\"sha256\":\"%s\",\"content_sha256\":\"%s\","
		       "\"content_bytes\":300,\"records\":2,\"first_seq\":\"%s\","
		       "\"last_seq\":\"18446744073709551615\"}",
		       key, bytes, sha256, HASH, first_seq);
	return text;
}

static void a_line_of_an_index_names_an_object(void **state)
{
	char text[TEXT_BYTES];
	struct span line = span_text(index_line(text, LINES_KEY, "100", HASH, "11"));

	(void)state;
	assert_int_equal(archive_index_parse("audit/fly", line, &entry, &err), ERR_NONE);
	assert_string_equal(entry.key, LINES_KEY);
	assert_int_equal(entry.name.kind, ARCHIVE_LINES);
	assert_int_equal(entry.bytes, 100);
	assert_int_equal(entry.content_bytes, 300);
	assert_int_equal(entry.records, 2);
	assert_string_equal(entry.sha256, HASH);
	assert_string_equal(entry.content_sha256, HASH);
	for (size_t len = 0; len < line.len; len++)
		assert_int_equal(archive_index_parse("audit/fly", span_of(text, len), &entry, &err),
				 ERR_CORRUPT);
}

static void an_index_names_nothing_that_cannot_be(void **state)
{
	static const char index_key[] = "audit/fly/index/date=2026-11-26/" RANGE;
	static const struct {
		const char *key, *bytes, *sha256, *first_seq;
	} lines[] = {
		{"other/lines/date=2026-11-26/hour=12/" RANGE, "100", HASH, "11"},
		{index_key, "100", HASH, "11"},
		{LINES_KEY, "-1", HASH, "11"},
		{LINES_KEY, "1.5", HASH, "11"},
		{LINES_KEY, "1e300", HASH, "11"},
		{LINES_KEY, "25165825", HASH, "11"}, /* one more than ARCHIVE_OBJECT_BYTES_MAX */
		{LINES_KEY, "\"100\"", HASH, "11"},
		{LINES_KEY, "null", HASH, "11"},
		{LINES_KEY, "100", "", "11"},
		{LINES_KEY, "100", HASH "0", "11"},
		{LINES_KEY, "100",
		 "185F8db32271fe25f561a6fc938b2e264306ec304eda518007d1764826381969", "11"},
		{LINES_KEY, "100", HASH, "12"},
		{LINES_KEY, "100", HASH, "-11"},
		{LINES_KEY, "100", HASH, "18446744073709551627"}, /* 11 past what 64 bits hold */
	};
	char text[TEXT_BYTES];

	(void)state;
	_Static_assert(ARCHIVE_OBJECT_BYTES_MAX == 25165824, "what the test says");
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		(void)index_line(text, lines[i].key, lines[i].bytes, lines[i].sha256,
				 lines[i].first_seq);
		if (archive_index_parse("audit/fly", span_text(text), &entry, &err) != ERR_CORRUPT)
			fail_msg("taken: %s", text);
	}
	assert_int_equal(archive_index_parse("audit/fly", SPAN("[]"), &entry, &err), ERR_CORRUPT);
}

/* --- an object --- */

static enum err_kind check(void)
{
	return archive_check(&entry, span_of(stored.data, stored.len), &content, &err);
}

static void an_object_is_what_its_index_says(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		assert_int_equal(check(), ERR_NONE);
		assert_true(span_equal(span_of(content.data, content.len), span_text(two_lines)));
	}
	buf_reset(&stored);
	add_member(SPAN(""));
	describe(SPAN(""), 0);
	assert_int_equal(check(), ERR_NONE);
	assert_int_equal(content.len, 0);
}

static void each_difference_is_noticed(void **state)
{
	const struct archive_entry right = entry;

	(void)state;
	entry.bytes++;
	assert_int_equal(check(), ERR_CORRUPT);
	entry = right;
	entry.sha256[0] ^= 1;
	assert_int_equal(check(), ERR_CORRUPT);
	entry = right;
	entry.content_sha256[0] ^= 1;
	assert_int_equal(check(), ERR_CORRUPT);
	entry = right;
	entry.content_bytes++;
	assert_int_equal(check(), ERR_CORRUPT);
	entry = right;
	entry.content_bytes--;
	assert_int_equal(check(), ERR_CORRUPT);
	entry = right;
	entry.records++;
	assert_int_equal(check(), ERR_CORRUPT);
	entry = right;
	for (size_t i = 0; i < stored.len; i++) {
		stored.data[i] ^= 1;
		assert_int_equal(check(), ERR_CORRUPT);
		stored.data[i] ^= 1;
	}
	assert_int_equal(check(), ERR_NONE);
}

/* As it would be held against its own metadata, by whoever wrote both. */
static void what_is_not_one_member_is_refused(void **state)
{
	size_t len = stored.len;

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		stored.len = entry.bytes = cut;
		entry.sha256[0] = '\0';
		assert_int_equal(check(), ERR_CORRUPT);
	}
	stored.len = len;
	add_member(span_text(two_lines));
	entry.bytes = stored.len;
	assert_int_equal(check(), ERR_CORRUPT);
	assert_non_null(strstr(err.text, LINES_KEY));
}

static void a_bomb_is_inflated_no_further_than_is_on_record(void **state)
{
	static const char zeros[2 * CONTENT_BYTES];

	(void)state;
	buf_reset(&stored);
	add_member(span_of(zeros, sizeof(zeros)));
	describe(span_of(zeros, sizeof(zeros)), 0);
	entry.content_bytes = 1000;
	assert_int_equal(check(), ERR_CORRUPT);
	assert_true(content.len <= 1001);
}

static void a_last_line_without_its_end_is_noticed(void **state)
{
	static const char cut[] = "{\"one\":1}\n{\"two\":2}\n{";

	(void)state;
	buf_reset(&stored);
	add_member(span_text(cut));
	describe(span_text(cut), 2);
	assert_int_equal(check(), ERR_CORRUPT);
}

static void check_under_faults(void *arg)
{
	enum err_kind rc;

	(void)arg;
	buf_release(&content);
	rc = check();
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
}

static void no_allocation_is_taken_for_granted(void **state)
{
	(void)state;
	fault_everywhere(check_under_faults, NULL);
}

/* --- from a bucket --- */

static struct tiny_http server;
static struct s3_client *client;

static void serve(const char *const *answers)
{
	struct s3_options options;

	tiny_http_start(&server, answers);
	options = s3_kit_options(server.url);
	assert_int_equal(s3_client_new(&client, &options, &err), ERR_NONE);
}

static void stop(void)
{
	s3_client_free(client);
	tiny_http_stop(&server);
}

static void an_object_that_is_not_there_is_told_from_one_that_differs(void **state)
{
	char missing[TEXT_BYTES], other[TEXT_BYTES], away[TEXT_BYTES];
	const char *const answers[] = {
		tiny_http_answer(missing, TEXT_BYTES, 404, "", "<Code>NoSuchKey</Code>"),
		tiny_http_answer(other, TEXT_BYTES, 200, "", "something else"),
		tiny_http_answer(away, TEXT_BYTES, 503, "", ""), NULL};

	(void)state;
	serve(answers);
	assert_int_equal(archive_read_object(client, &entry, &content, &err), ERR_REJECT);
	assert_int_equal(archive_read_object(client, &entry, &content, &err), ERR_CORRUPT);
	assert_int_equal(archive_read_object(client, &entry, &content, &err), ERR_RETRY);
	stop();
}

static void what_says_nothing_of_itself_is_not_taken(void **state)
{
	char bare[TEXT_BYTES], half[TEXT_BYTES], wrong[TEXT_BYTES];
	const char *const answers[] = {tiny_http_answer(bare, TEXT_BYTES, 200, "", "text"),
				       tiny_http_answer(half, TEXT_BYTES, 200,
							"x-amz-meta-content-sha256: " HASH "\r\n"
							"x-amz-meta-records: 2\r\n",
							"text"),
				       tiny_http_answer(wrong, TEXT_BYTES, 200,
							"x-amz-meta-content-sha256: " HASH "\r\n"
							"x-amz-meta-content-bytes: 99999999999\r\n"
							"x-amz-meta-records: 2\r\n",
							"text"),
				       NULL};

	(void)state;
	serve(answers);
	for (size_t i = 0; i + 1 < ARRAY_LEN(answers); i++)
		assert_int_equal(archive_read_unindexed(client, "audit/fly", SPAN(LINES_KEY),
							&entry, &content, &err),
				 ERR_CORRUPT);
	assert_int_equal(
		archive_read_unindexed(client, "other", SPAN(LINES_KEY), &entry, &content, &err),
		ERR_CORRUPT);
	assert_int_equal(atomic_load(&server.count), 3);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_key_says_what_it_holds),
		TEST(what_archive_writes_is_a_key),
		TEST(any_other_key_is_none),
		TEST(a_line_of_an_index_names_an_object),
		TEST(an_index_names_nothing_that_cannot_be),
		TEST(an_object_is_what_its_index_says),
		TEST(each_difference_is_noticed),
		TEST(what_is_not_one_member_is_refused),
		TEST(a_bomb_is_inflated_no_further_than_is_on_record),
		TEST(a_last_line_without_its_end_is_noticed),
		TEST(no_allocation_is_taken_for_granted),
		TEST(an_object_that_is_not_there_is_told_from_one_that_differs),
		TEST(what_says_nothing_of_itself_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
