/* An archive's objects of some days: what an index vouches for, then what none covers. */
#include "sink/archive_days.h"

#include "base/gzip.h"
#include "base/time.h"

#include "fault.h"
#include "s3_kit.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define DAY_BEGAN INT64_C(1795651200000000000) /* 2026-11-26T00:00:00Z */
#define STREAM "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"
#define RANGE(first, last) \
	STREAM ".2-000000000000000000" first "-000000000000000000" last ".ndjson.gz"
#define LINES "audit/lines/date=2026-11-26/hour="
#define INDEX_KEY "audit/index/date=2026-11-27/" RANGE("11", "20")
#define NAMED_KEY LINES "12/" RANGE("11", "15")
#define UNNAMED_KEY LINES "13/" RANGE("21", "25")
#define LATER_KEY "audit/lines/date=2026-11-27/hour=00/" RANGE("21", "25")

static const char content[] = "{\"id\":1}\n{\"id\":2}\n";

enum { BYTES_MAX = 8192, TEXT_BYTES = 1024, TOLD_BYTES = 4096 };

static struct tiny_http server;
static struct buf object, index_lines, index_object, reply;
static char object_hash[HASH_HEX_BYTES], content_hash[HASH_HEX_BYTES];
static bool object_is_lost;
static struct archive_days_options options;

/* What the calls were told, a line each; and what they answer. */
static struct {
	char text[TOLD_BYTES];
	size_t len;
	bool covers; /* an index that was told of covers all pages */
	bool rejects;
} told;

/* --- the bucket --- */

static void compress(struct span bytes, struct buf *out)
{
	struct gzip_writer *writer = NULL;
	struct err err;

	buf_init(out, BYTES_MAX);
	assert_int_equal(gzip_writer_new(&writer, &err), ERR_NONE);
	gzip_writer_begin(writer, out);
	gzip_writer_add(writer, bytes);
	assert_int_equal(gzip_writer_end(writer, &err), ERR_NONE);
	gzip_writer_free(writer);
}

static void hash(struct span bytes, char ret[HASH_HEX_BYTES])
{
	struct hasher *hasher = NULL;
	uint8_t digest[HASH_BYTES];
	struct err err;

	assert_int_equal(hasher_new(&hasher, &err), ERR_NONE);
	assert_int_equal(hasher_digest(hasher, bytes, digest, &err), ERR_NONE);
	(void)hash_hex(digest, ret);
	hasher_free(hasher);
}

static const char *serve_bytes(const struct buf *bytes)
{
	buf_reset(&reply);
	buf_fmt(&reply,
		"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nx-amz-meta-content-sha256: %s\r\n"
		"x-amz-meta-content-bytes: %zu\r\nx-amz-meta-records: 2\r\n\r\n",
		bytes->len, content_hash, strlen(content));
	buf_add(&reply, bytes->data, bytes->len);
	server.answer_bytes = reply.len;
	return (const char *)reply.data;
}

static const char *serve_listing(const char *const *keys)
{
	char body[TEXT_BYTES * 2];
	size_t len = (size_t)snprintf(body, sizeof(body), "<ListBucketResult>");

	for (; *keys; keys++)
		len += (size_t)snprintf(body + len, sizeof(body) - len,
					"<Contents><Key>%s</Key><Size>1</Size></Contents>", *keys);
	(void)snprintf(body + len, sizeof(body) - len, "</ListBucketResult>");
	buf_reset(&reply);
	buf_fmt(&reply, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
	return (const char *)reply.data;
}

static const char *choose(const char *request)
{
	static const char *const indexes[] = {"audit/index/strange", INDEX_KEY, NULL};
	static const char *const lines[] = {LINES "12/x", NAMED_KEY, UNNAMED_KEY, LATER_KEY, NULL};

	if (strstr(request, "prefix=audit%2Findex%2F"))
		return serve_listing(indexes);
	if (strstr(request, "prefix=audit%2Flines%2F"))
		return serve_listing(lines);
	if (strstr(request, "/audit/index/"))
		return serve_bytes(&index_object);
	if (object_is_lost && strstr(request, "hour%3D12"))
		return "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
	return serve_bytes(&object);
}

static void add_line(const char *key, const char *first, const char *last)
{
	buf_fmt(&index_lines,
		"{\"key\":\"%s\",\"bytes\":%zu,\"sha256\":\"%s\",\"content_sha256\":\"%s\","
		"\"content_bytes\":%zu,\"records\":2,\"first_seq\":\"%s\",\"last_seq\":\"%s\"}\n",
		key, object.len, object_hash, content_hash, strlen(content), first, last);
}

static int set_up(void **state)
{
	(void)state;
	memset(&told, 0, sizeof(told));
	object_is_lost = false;
	compress(span_text(content), &object);
	hash(span_text(content), content_hash);
	hash(span_of(object.data, object.len), object_hash);
	buf_init(&reply, BYTES_MAX);
	buf_init(&index_lines, BYTES_MAX);
	add_line(NAMED_KEY, "11", "15");
	add_line("audit/lines/date=2026-11-25/hour=23/" RANGE("16", "20"), "16", "20");
	tiny_http_start_choosing(&server, choose);
	options = (struct archive_days_options){.client = s3_kit_options(server.url),
						.prefix = "audit",
						.kind = ARCHIVE_LINES,
						.since_ns = DAY_BEGAN,
						.until_ns = DAY_BEGAN + TIME_DAY_NS};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tiny_http_stop(&server);
	buf_release(&object);
	buf_release(&index_lines);
	buf_release(&index_object);
	buf_release(&reply);
	return 0;
}

/* --- the calls --- */

static void tell(const char *word, struct span text, uint64_t number)
{
	int len = snprintf(told.text + told.len, sizeof(told.text) - told.len,
			   "%s %.*s %" PRIu64 "\n", word, (int)text.len, text.data, number);

	assert_true(len > 0 && told.len + (size_t)len < sizeof(told.text));
	told.len += (size_t)len;
}

static enum err_kind note_index(void *arg, const struct archive_walk_object *index, uint64_t named,
				struct err *err)
{
	(void)arg;
	(void)err;
	tell("index", index->listed.key, named);
	return ERR_NONE;
}

static enum err_kind uncovered(void *arg, const struct archive_walk_object *objects, size_t count,
			       bool *ret, struct err *err)
{
	(void)arg;
	(void)err;
	tell("page", SPAN(""), count);
	for (size_t i = 0; i < count; i++)
		ret[i] = !told.covers || objects[i].name.first_seq > 20;
	return ERR_NONE;
}

static enum err_kind note_object(void *arg, const struct archive_entry *entry, struct span bytes,
				 struct err *err)
{
	(void)arg;
	assert_true(span_is(bytes, content));
	tell(entry->sha256[0] != '\0' ? "vouched" : "read", span_text(entry->key), 0);
	return told.rejects ? err_set(err, ERR_REJECT, "no") : ERR_NONE;
}

static void note_unsound(void *arg, const char *why)
{
	(void)arg;
	tell("unsound", span_text(why), 0);
}

static const struct archive_days_calls calls = {.index = note_index,
						.uncovered = uncovered,
						.object = note_object,
						.unsound = note_unsound};

static void assert_told(const char *expected)
{
	struct err err = {.text = ""};

	if (!index_object.data)
		compress(span_of(index_lines.data, index_lines.len), &index_object);
	assert_int_equal(archive_days(&options, &calls, &err), ERR_NONE);
	assert_string_equal(told.text, expected);
}

/* --- tests --- */

static void what_an_index_names_comes_first_and_then_what_none_covers(void **state)
{
	(void)state;
	told.covers = true;
	assert_told("vouched " NAMED_KEY " 0\nindex " INDEX_KEY " 1\npage  2\nread " UNNAMED_KEY
		    " 0\n");
	assert_non_null(
		strstr(server.requests[3], "start-after=audit%2Flines%2Fdate%3D2026-11-26 "));
}

static void an_index_with_a_line_that_is_none_is_none(void **state)
{
	(void)state;
	add_line("audit/lines/date=2026-11-25/hour=23/" RANGE("26", "27"), "26", "27");
	assert_told("unsound " INDEX_KEY ": it names an object of another range 0\npage  2\n"
		    "read " NAMED_KEY " 0\nread " UNNAMED_KEY " 0\n");
}

static void an_index_that_is_no_gzip_is_none(void **state)
{
	(void)state;
	buf_init(&index_object, BYTES_MAX);
	buf_str(&index_object, "[]");
	told.covers = true;
	assert_told("unsound " INDEX_KEY
		    ": it is not what gzip makes, or is damaged 0\npage  2\nread " UNNAMED_KEY
		    " 0\n");
}

static void an_index_of_long_before_is_not_read_and_covers(void **state)
{
	(void)state;
	options.since_ns = DAY_BEGAN + (ARCHIVE_DAYS_AHEAD + 2) * TIME_DAY_NS;
	options.until_ns = options.since_ns + TIME_DAY_NS;
	assert_told("index " INDEX_KEY " 0\n");
	assert_int_equal(atomic_load(&server.count), 2);
}

static void what_is_lost_is_told(void **state)
{
	(void)state;
	told.covers = true;
	object_is_lost = true;
	assert_told("unsound " NAMED_KEY ": it is not in the bucket 0\nindex " INDEX_KEY
		    " 0\npage  2\nread " UNNAMED_KEY " 0\n");
}

static void what_the_caller_finds_wrong_is_not_sound(void **state)
{
	(void)state;
	told.covers = told.rejects = true;
	assert_told("vouched " NAMED_KEY " 0\nunsound " NAMED_KEY ": no 0\nindex " INDEX_KEY
		    " 0\npage  2\nread " UNNAMED_KEY " 0\nunsound " UNNAMED_KEY ": no 0\n");
}

static void read_under_faults(void *arg)
{
	struct err err = {.text = ""};
	enum err_kind rc;

	(void)arg;
	told.len = 0;
	rc = archive_days(&options, &calls, &err);
	/* Without memory nothing is told as if it were not sound. */
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
	assert_int_equal(rc == ERR_FATAL, err.text[0] != '\0');
	assert_null(strstr(told.text, "unsound"));
}

static void without_memory_it_ends(void **state)
{
	(void)state;
	told.covers = true;
	compress(span_of(index_lines.data, index_lines.len), &index_object);
	fault_everywhere(read_under_faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_an_index_names_comes_first_and_then_what_none_covers),
		TEST(an_index_with_a_line_that_is_none_is_none),
		TEST(an_index_that_is_no_gzip_is_none),
		TEST(an_index_of_long_before_is_not_read_and_covers),
		TEST(what_is_lost_is_told),
		TEST(what_the_caller_finds_wrong_is_not_sound),
		TEST(without_memory_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
