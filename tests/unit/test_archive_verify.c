/* What an archive is held against: names with their times, and as many as may be named. */
#include "sink/archive_verify.h"

#include "base/gzip.h"
#include "base/time.h"

#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define STREAM "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"
#define RANGE_11_20 STREAM ".1-00000000000000000011-00000000000000000020.ndjson.gz"
#define RANGE_21_30 STREAM ".1-00000000000000000021-00000000000000000030.ndjson.gz"
#define RANGE_32_40 STREAM ".1-00000000000000000032-00000000000000000040.ndjson.gz"
#define INDEX_KEY "index/date=2026-11-26/" RANGE_11_20
#define LINES "lines/date=2026-11-26/hour="
#define HASH "185f8db32271fe25f561a6fc938b2e264306ec304eda518007d1764826381969"

enum { ANSWER_BYTES = 8192, TOLD_BYTES = 4096, ENTRIES_MAX = 16 };

/* The bucket: what it lists under index/ and lines/, and the index. */
static char indexes[ANSWER_BYTES], lines[ANSWER_BYTES];
static struct buf index_object;

static struct tiny_http server;
static char told[TOLD_BYTES];
static struct archive_verify_total total;
static struct err err;

static void append(char *text, size_t room, const char *more)
{
	size_t len = strlen(text);

	assert_true(len + strlen(more) < room);
	(void)snprintf(text + len, room - len, "%s", more);
}

static void list_object(char *listing, const char *key, int64_t stored_ns)
{
	char text[ANSWER_BYTES], at[TIME_TEXT_BYTES];

	(void)snprintf(text, sizeof(text),
		       "<Contents><Key>%s</Key><LastModified>%s</LastModified><Size>1</Size>"
		       "</Contents>",
		       key, time_format(stored_ns, at));
	append(listing, ANSWER_BYTES, text);
}

static const char *listing_of(const char *objects)
{
	static char body[2 * ANSWER_BYTES], text[3 * ANSWER_BYTES];

	(void)snprintf(body, sizeof(body), "<ListBucketResult>%s</ListBucketResult>", objects);
	return tiny_http_answer(text, sizeof(text), 200, "", body);
}

static const char *answer_index(void)
{
	static char text[2 * ANSWER_BYTES];
	int len = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
			   index_object.len);

	memcpy(text + len, index_object.data, index_object.len);
	server.answer_bytes = (size_t)len + index_object.len;
	return text;
}

static const char *answer(const char *request)
{
	server.answer_bytes = 0;
	if (strncmp(request, "GET /trail/index/", strlen("GET /trail/index/")) == 0)
		return answer_index();
	if (strstr(request, "prefix=index%2F"))
		return listing_of(indexes);
	return listing_of(strstr(request, "prefix=lines%2F") ? lines : "");
}

static int set_up(void **state)
{
	(void)state;
	indexes[0] = lines[0] = told[0] = '\0';
	buf_init(&index_object, ANSWER_BYTES);
	tiny_http_start_choosing(&server, answer);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tiny_http_stop(&server);
	buf_release(&index_object);
	return 0;
}

/* An index of the range from 11 to 20, of that many objects. */
static void put_index(unsigned count)
{
	struct gzip_writer *writer;

	assert_true(count <= ENTRIES_MAX);
	assert_int_equal(gzip_writer_new(&writer, &err), ERR_NONE);
	gzip_writer_begin(writer, &index_object);
	for (unsigned i = 0; i < count; i++) {
		char line[1024];
		int len = snprintf(
			line, sizeof(line),
			"{\"key\":\"" LINES "%02u/" RANGE_11_20 "\",\"bytes\":1,\"sha256\":\"" HASH
			"\",\"content_sha256\":\"" HASH "\",\"content_bytes\":1,\"records\":1,"
			"\"first_seq\":\"11\",\"last_seq\":\"20\"}\n",
			i);

		gzip_writer_add(writer, span_of(line, (size_t)len));
	}
	assert_int_equal(gzip_writer_end(writer, &err), ERR_NONE);
	gzip_writer_free(writer);
	list_object(indexes, INDEX_KEY, time_now_ns());
}

static void finding(void *arg, const char *word, const char *text)
{
	(void)arg;
	append(told, sizeof(told), word);
	append(told, sizeof(told), " ");
	append(told, sizeof(told), text);
	append(told, sizeof(told), ";");
}

static enum err_kind stream(void *arg, const struct archive_stream *s, struct err *e)
{
	(void)arg;
	(void)s;
	(void)e;
	return ERR_NONE;
}

static enum err_kind object(void *arg, const struct archive_entry *entry, struct span content,
			    struct err *e)
{
	(void)arg;
	(void)entry;
	(void)content;
	(void)e;
	return ERR_NONE;
}

static enum err_kind verify(bool all_sent, size_t objects_max)
{
	const struct archive_verify_options options = {
		.client = {.endpoint = server.url,
			   .bucket = "trail",
			   .region = "us-east-1",
			   .access_key = "AKIAEXAMPLEEXAMPLE00",
			   .secret_key = "an-example-of-a-secret-key",
			   .session_token = ""},
		.prefix = "",
		.since_ns = INT64_MIN,
		.until_ns = INT64_MAX,
		.all_sent = all_sent,
		.objects_max = objects_max,
	};
	const struct archive_verify_calls calls = {
		.finding = finding, .stream = stream, .object = object};

	return archive_verify(&options, &calls, &total, &err);
}

static void numbers_that_no_object_has_are_told_where_all_is_sent(void **state)
{
	const int64_t now_ns = time_now_ns();

	(void)state;
	put_index(0);
	list_object(lines, LINES "01/" RANGE_21_30, now_ns);
	list_object(lines, LINES "01/" RANGE_32_40, now_ns);
	list_object(lines, LINES "02/" RANGE_21_30, now_ns);
	assert_int_equal(verify(false, 0), ERR_NONE);
	assert_string_equal(told, "");
	assert_int_equal(verify(true, 0), ERR_NONE);
	assert_string_equal(told, "RANGE stream " STREAM
				  ".1: no object has 31 to 31, and later ones are there;");
	assert_int_equal(total.findings, 1);
	assert_int_equal(total.unindexed, 3);
	assert_int_equal(total.overdue, 0);
}

static void an_index_that_should_be_there_is_missed(void **state)
{
	const int64_t now_ns = time_now_ns();

	(void)state;
	list_object(lines, LINES "01/" RANGE_11_20, now_ns - 3 * TIME_DAY_NS);
	assert_int_equal(verify(true, 0), ERR_NONE);
	assert_string_equal(told, ""); /* its stream may have ended */
	assert_int_equal(total.unindexed, 1);
	assert_int_equal(total.overdue, 1);
	list_object(lines, LINES "01/" RANGE_21_30, now_ns);
	assert_int_equal(verify(true, 0), ERR_NONE);
	assert_string_equal(
		told, "RANGE stream " STREAM
		      ".1: no index has 11 to 20, which were stored a day and more before later "
		      "ones;");
	assert_int_equal(total.unindexed, 2);
	assert_int_equal(total.overdue, 1);
}

static void as_many_objects_may_be_named_as_there_is_room_for(void **state)
{
	(void)state;
	put_index(3);
	assert_int_equal(verify(true, 3), ERR_NONE);
	assert_int_equal(total.findings, 3); /* that they are missing */
	assert_int_equal(verify(true, 2), ERR_FULL);
	assert_non_null(strstr(err.text, "more than 2 objects of that time"));
	/* It is noticed before all are read. */
	assert_int_equal(verify(true, 1), ERR_FULL);
	assert_non_null(strstr(err.text, "more than 1 objects of that time"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(numbers_that_no_object_has_are_told_where_all_is_sent),
		TEST(an_index_that_should_be_there_is_missed),
		TEST(as_many_objects_may_be_named_as_there_is_room_for),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
