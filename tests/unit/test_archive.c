/* A range's objects: where each record stands, what an object holds, and where a range ends. */
#include "sink/archive.h"

#include "base/gzip.h"
#include "model/event.h"

#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define AT INT64_C(1795695600000000000) /* 2026-11-26T12:20:00Z */
#define HOUR (3600 * NS_PER_S)
#define DAY (24 * HOUR)
#define STREAM "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"

enum { TEXT_BYTES = 4 * 1024 * 1024, NOISE_BYTES = 900 * 1024 };

static struct archive *archive;
static struct buf payload, content;
static struct record *record;

static void open_archive(const char *prefix, enum archive_send send)
{
	struct archive_options options = {.prefix = prefix, .send = send, .stream = {.epoch = 2}};
	struct err err;

	archive_free(archive);
	assert_true(id_parse(SPAN(STREAM), &options.stream.uuid));
	assert_int_equal(archive_new(&archive, &options, &err), ERR_NONE);
}

static int set_up(void **state)
{
	(void)state;
	record = calloc(1, sizeof(*record));
	buf_init(&payload, RECORD_PAYLOAD_BYTES_MAX);
	buf_init(&content, TEXT_BYTES);
	open_archive("audit/fly", ARCHIVE_ALL);
	return record == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	archive_free(archive);
	archive = NULL;
	buf_release(&payload);
	buf_release(&content);
	free(record);
	return 0;
}

static enum err_kind add(struct err *err)
{
	return archive_add(archive, span_of(payload.data, payload.len), &(bool){false}, err);
}

static enum err_kind add_line(int64_t ns, const char *message, enum line_class class,
			      struct err *err)
{
	*record = (struct record){
		.occurred_ns = ns,
		.observed_ns = ns,
		.source = SOURCE_NATS,
		.app = SPAN("web-1"),
		.message = span_text(message),
		.class = class,
		.action = class == CLASS_restart ? ACTION_restart_suppressed : ACTION_none,
		.finding = {.rule = "runner.x", .trust = TRUST_PLATFORM},
	};
	buf_reset(&payload);
	record_encode(record, &payload);
	return add(err);
}

static void add_app_line(int64_t ns, const char *message)
{
	struct err err;

	assert_int_equal(add_line(ns, message, CLASS_app_log, &err), ERR_NONE);
}

static void add_event(int64_t ns, enum line_class class, enum action action)
{
	const struct event event = {.class = class,
				    .action = action,
				    .occurred_ns = ns,
				    .not_after_ns = EVENT_NO_TIME,
				    .observed_ns = ns};
	struct err err;

	buf_reset(&payload);
	event_encode(&event, &payload);
	assert_int_equal(add(&err), ERR_NONE);
}

static void end(uint64_t last_seq)
{
	struct err err;

	assert_int_equal(archive_end(archive, last_seq, &err), ERR_NONE);
}

/* Its content, held against what the object says of it. */
static const char *content_of(const struct archive_object *o)
{
	struct hasher *hasher = NULL;
	uint8_t digest[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	struct err err;

	buf_reset(&content);
	assert_int_equal(gzip_read(o->bytes, &content, &err), ERR_NONE);
	assert_int_equal(content.len, o->content_bytes);
	assert_int_equal(hasher_new(&hasher, &err), ERR_NONE);
	assert_int_equal(hasher_digest(hasher, span_of(content.data, content.len), digest, &err),
			 ERR_NONE);
	hasher_free(hasher);
	assert_string_equal(o->content_sha256, hash_hex(digest, hex));
	return (const char *)content.data;
}

static const struct archive_object *object(const char *key)
{
	for (size_t i = 0; i < archive_count(archive); i++)
		if (strcmp(archive_object(archive, i)->key, key) == 0)
			return archive_object(archive, i);
	fail_msg("no object %s", key);
	return NULL;
}

#define RANGE "/" STREAM ".2-00000000000000000011-00000000000000000019.ndjson.gz"

static void a_record_stands_where_its_own_time_is(void **state)
{
	const char *text;
	struct err err;

	(void)state;
	archive_begin(archive, 11);
	add_app_line(AT, "one");
	add_app_line(AT + HOUR, "two");
	add_app_line(AT + 1, "three"); /* late */
	assert_int_equal(add_line(AT, "four", CLASS_restart, &err), ERR_NONE);
	add_event(AT + DAY, CLASS_secret_change, ACTION_secret_change_set);
	add_event(AT, CLASS_exit, ACTION_exit_crashed);
	end(19);
	assert_int_equal(archive_count(archive), 4);
	text = content_of(object("audit/fly/lines/date=2026-11-26/hour=12" RANGE));
	assert_true(strstr(text, "\"one\"") < strstr(text, "\"three\""));
	assert_true(strstr(text, "\"three\"") < strstr(text, "\"four\""));
	assert_non_null(strstr(text, "\"one\""));
	assert_null(strstr(text, "\"two\""));
	assert_null(strstr(text, "\"rule\""));
	assert_int_equal(object("audit/fly/lines/date=2026-11-26/hour=12" RANGE)->records, 3);
	text = content_of(object("audit/fly/lines/date=2026-11-26/hour=13" RANGE));
	assert_non_null(strstr(text, "\"two\""));
	text = content_of(object("audit/fly/events/class=security/date=2026-11-27" RANGE));
	assert_non_null(strstr(text, "\"action\":\"secret_change.set\""));
	text = content_of(object("audit/fly/events/class=operations/date=2026-11-26" RANGE));
	assert_non_null(strstr(text, "\"action\":\"restart.suppressed\""));
	assert_non_null(strstr(text, "\"action\":\"exit.crashed\""));
}

static void an_object_says_from_when_it_is_kept(void **state)
{
	static const int64_t year_2200_ns = INT64_C(7258118400) * NS_PER_S;
	const struct archive_object *o;
	struct err err;

	(void)state;
	archive_begin(archive, 11);
	add_app_line(AT, "one");
	assert_int_equal(add_line(AT + DAY, "two", CLASS_restart, &err), ERR_NONE);
	add_event(AT, CLASS_secret_change, ACTION_secret_change_set);
	end(19);
	o = object("audit/fly/lines/date=2026-11-26/hour=12" RANGE);
	assert_int_equal(o->kind, ARCHIVE_LINES);
	assert_int_equal(o->day_end_ns, (AT / DAY + 1) * DAY);
	o = object("audit/fly/events/class=operations/date=2026-11-27" RANGE);
	assert_int_equal(o->kind, ARCHIVE_OPERATIONS);
	assert_int_equal(o->day_end_ns, (AT / DAY + 2) * DAY);
	o = object("audit/fly/events/class=security/date=2026-11-26" RANGE);
	assert_int_equal(o->kind, ARCHIVE_SECURITY);
	assert_int_equal(o->day_end_ns, (AT / DAY + 1) * DAY);

	archive_begin(archive, 11); /* what a record claims of its time is not for ever */
	*record = (struct record){.occurred_ns = year_2200_ns, .observed_ns = AT};
	buf_reset(&payload);
	record_encode(record, &payload);
	assert_int_equal(add(&err), ERR_NONE);
	add_app_line(INT64_MAX, "the last time that there is");
	add_app_line(INT64_MIN, "and the first");
	end(19);
	assert_int_equal(archive_object(archive, 0)->day_end_ns, (AT / DAY + 2) * DAY);
	assert_int_equal(archive_object(archive, 2)->day_end_ns, DAY);
}

static void events_alone_are_sent_where_that_is_wanted(void **state)
{
	struct err err;

	(void)state;
	open_archive("", ARCHIVE_EVENTS);
	archive_begin(archive, 11);
	add_app_line(AT, "one");
	assert_int_equal(add_line(AT, "four", CLASS_restart, &err), ERR_NONE);
	end(19);
	assert_int_equal(archive_count(archive), 1);
	assert_int_equal(object("events/class=operations/date=2026-11-26" RANGE)->records, 1);
}

static void a_range_may_have_no_object(void **state)
{
	(void)state;
	archive_begin(archive, 11);
	end(19);
	assert_int_equal(archive_count(archive), 0);
}

/* Nothing of what was made before shows in it. */
static void the_same_range_makes_the_same_objects(void **state)
{
	struct buf first;

	(void)state;
	buf_init(&first, TEXT_BYTES);
	archive_begin(archive, 1);
	add_app_line(AT + HOUR, "something else");
	end(10);
	for (unsigned round = 0; round < 2; round++) {
		const struct archive_object *o;

		archive_begin(archive, 11);
		add_app_line(AT, "one");
		add_app_line(AT, "two");
		end(19);
		o = archive_object(archive, 0);
		if (round == 0)
			buf_span(&first, o->bytes);
		assert_int_equal(archive_count(archive), 1);
		assert_true(span_equal(span_of(first.data, first.len), o->bytes));
	}
	buf_release(&first);
}

static void a_range_ends_before_one_object_too_many(void **state)
{
	char place[64];
	struct err err;

	(void)state;
	archive_begin(archive, 11);
	for (int i = 0; i < ARCHIVE_OBJECTS_MAX - 1; i++)
		add_app_line(AT + i * HOUR, "one");
	/* It needs two: for the line and for the event. */
	assert_int_equal(add_line(AT - HOUR, "two", CLASS_restart, &err), ERR_FULL);
	add_app_line(AT - HOUR, "three");
	assert_int_equal(add_line(AT - DAY, "four", CLASS_app_log, &err), ERR_FULL);
	add_app_line(AT, "five");
	end(19);
	assert_int_equal(archive_count(archive), ARCHIVE_OBJECTS_MAX);
	(void)snprintf(place, sizeof(place), "audit/fly/lines/date=2026-11-26/hour=12");
	assert_ptr_equal(strstr(archive_object(archive, 0)->key, place),
			 archive_object(archive, 0)->key);
	assert_non_null(strstr(content_of(archive_object(archive, 0)), "\"five\""));
	for (size_t i = 0; i < archive_count(archive); i++) {
		const char *text = content_of(archive_object(archive, i));

		assert_null(strstr(text, "\"two\""));
		assert_null(strstr(text, "\"four\""));
	}
}

/* Who reads it has to have room for it, however well it is compressed. */
static void a_range_ends_when_its_content_is_large_enough(void **state)
{
	char *same = calloc(1, NOISE_BYTES + 1);
	uint64_t bytes;
	struct err err;

	(void)state;
	assert_non_null(same);
	memset(same, 'a', NOISE_BYTES);
	archive_begin(archive, 11);
	for (unsigned added = 0; add_line(AT, same, CLASS_app_log, &err) == ERR_NONE; added++)
		assert_true(added < 100);
	assert_int_equal(err.kind, ERR_FULL);
	end(19);
	bytes = archive_object(archive, 0)->content_bytes;
	assert_true(bytes >= ARCHIVE_CONTENT_BYTES_MAX &&
		    bytes < ARCHIVE_CONTENT_BYTES_MAX + 2 * NOISE_BYTES);
	archive_begin(archive, 20);
	assert_int_equal(add_line(AT, "the next", CLASS_app_log, &err), ERR_NONE);
	free(same);
}

static void a_range_ends_when_it_is_large_enough(void **state)
{
	char *noise = malloc(NOISE_BYTES + 1);
	uint32_t seed = 1;
	size_t bytes = 0;
	unsigned added = 0;
	struct err err;

	(void)state;
	assert_non_null(noise);
	for (size_t i = 0; i < NOISE_BYTES; i++) {
		seed = seed * 1664525 + 1013904223;
		noise[i] = (char)('!' + (seed >> 24) % 90);
	}
	noise[NOISE_BYTES] = '\0';
	archive_begin(archive, 11);
	while (add_line(AT, noise, CLASS_app_log, &err) == ERR_NONE)
		assert_true(added++ < 100);
	assert_int_equal(err.kind, ERR_FULL);
	end(19);
	bytes = archive_object(archive, 0)->bytes.len;
	assert_true(bytes >= ARCHIVE_BYTES_MAX && bytes < ARCHIVE_BYTES_MAX + 2 * NOISE_BYTES);
	assert_int_equal(archive_object(archive, 0)->records, added);
	archive_begin(archive, 20);
	assert_int_equal(add_line(AT, "the next", CLASS_app_log, &err), ERR_NONE);
	free(noise);
}

static void what_is_no_payload_is_refused_and_leaves_nothing(void **state)
{
	struct err err;

	(void)state;
	archive_begin(archive, 11);
	add_app_line(AT, "one");
	for (size_t cut = payload.len - 1; cut > 0; cut -= cut > 7 ? 7 : 1) {
		assert_int_equal(
			archive_add(archive, span_of(payload.data, cut), &(bool){false}, &err),
			ERR_REJECT);
		assert_int_equal(err.kind, ERR_REJECT);
	}
	assert_int_equal(archive_add(archive, SPAN("\xff garbage"), &(bool){false}, &err),
			 ERR_REJECT);
	end(19);
	assert_int_equal(archive_count(archive), 1);
	assert_int_equal(archive_object(archive, 0)->records, 1);
}

static void a_range(void *arg)
{
	const struct archive_options options = {.prefix = "x"};
	struct archive *a = NULL;
	struct err err;
	enum err_kind rc = archive_new(&a, &options, &err);

	(void)arg;
	if (!rc) {
		archive_begin(a, 1);
		rc = archive_add(a, span_of(payload.data, payload.len), &(bool){false}, &err);
	}
	if (!rc)
		rc = archive_end(a, 1, &err);
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
	if (!rc)
		assert_int_equal(archive_count(a), 2);
	archive_free(a);
}

static void no_allocation_is_taken_for_granted(void **state)
{
	struct err err;

	(void)state;
	archive_begin(archive, 1);
	assert_int_equal(add_line(AT, "one", CLASS_restart, &err), ERR_NONE);
	fault_everywhere(a_range, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_record_stands_where_its_own_time_is),
		TEST(an_object_says_from_when_it_is_kept),
		TEST(events_alone_are_sent_where_that_is_wanted),
		TEST(a_range_may_have_no_object),
		TEST(the_same_range_makes_the_same_objects),
		TEST(a_range_ends_before_one_object_too_many),
		TEST(a_range_ends_when_it_is_large_enough),
		TEST(a_range_ends_when_its_content_is_large_enough),
		TEST(what_is_no_payload_is_refused_and_leaves_nothing),
		TEST(no_allocation_is_taken_for_granted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
