/* A page of Fly's logs API goes on or ends, whatever is in it, and loses no line on the way. */

#include "source/logs_page.h"

#include "base/time.h"
#include "stage/stages.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define T0 INT64_C(1790000000000000000) /* 2026-09-21, as far as lines of it go */
#define NOW (T0 + 3600 * NS_PER_S)

static struct batch *batch;
static struct hasher *hasher;
static struct buf body;
static struct logs_page page;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	buf_init(&body, 32 * 1024 * 1024);
	return batch_new(&batch, &err) || hasher_new(&hasher, &err);
}

static int tear_down(void **state)
{
	(void)state;
	buf_release(&body);
	batch_free(batch);
	hasher_free(hasher);
	return 0;
}

static enum err_kind read_at(int64_t after_ns)
{
	const struct logs_page_question q = {
		.app = "web-1", .after_ns = after_ns, .now_ns = NOW, .hasher = hasher};

	batch_reset(batch);
	memset(&page, 0, sizeof(page));
	return logs_page_read(span_of(body.data, body.len), &q, batch, &page, &err);
}

static enum err_kind read_text(const char *text, int64_t after_ns)
{
	buf_reset(&body);
	buf_str(&body, text);
	return read_at(after_ns);
}

static void begin(void)
{
	buf_reset(&body);
	buf_str(&body, "{\"data\":[");
}

static void add(int64_t ns, const char *message)
{
	char time[TIME_TEXT_BYTES];

	if (body.data[body.len - 1] != '[')
		buf_u8(&body, ',');
	buf_fmt(&body,
		"{\"id\":\"web-1-%" PRId64
		"\",\"attributes\":{\"timestamp\":\"%s\",\"message\":\"%s\","
		"\"level\":\"info\",\"instance\":\"0e286551c30586\",\"region\":\"ams\","
		"\"meta\":{\"event\":{\"provider\":\"app\"}}}}",
		ns, time_format(ns, time), message);
}

static void end(int64_t token_ns)
{
	buf_fmt(&body, "],\"meta\":{\"next_token\":\"%" PRId64 "\"}}", token_ns);
}

static struct span line(size_t idx)
{
	return batch_line(batch, &batch->raws[idx]);
}

static void attributes_are_taken_byte_for_byte(void **state)
{
	static const char text[] =
		"{ \"data\" : [ {\"id\":\"a-1790000000000000005\", \"attributes\" : "
		"{\"timestamp\":\"2026-09-21T14:13:20.000000005Z\", \"message\":\"a\\u003cb\\u0000"
		"\\ud800 \\\"}\xff\"} , \"type\":\"log\"} ],\"meta\":{\"next_token\":5}}";

	(void)state;
	assert_int_equal(read_text(text, T0 - NS_PER_S), ERR_NONE);
	assert_int_equal(page.count, 1);
	assert_true(
		span_equal(line(0), SPAN("{\"timestamp\":\"2026-09-21T14:13:20.000000005Z\", "
					 "\"message\":\"a\\u003cb\\u0000\\ud800 \\\"}\xff\"}")));
	assert_true(span_is(batch_subject(batch, &batch->raws[0]), "logs.web-1"));
	assert_int_equal(batch->source, SOURCE_HTTP);
	assert_int_equal(batch->raws[0].form, RAW_FLY_JSON);
	assert_int_equal(batch->raws[0].received_ns, NOW);
	assert_int_equal(batch->raws[0].full_len, batch->raws[0].len);
	assert_int_equal(page.last_ns, T0 + 5);
	assert_int_equal(page.next_ns, T0 + 4);
	assert_false(page.end);
	assert_false(page.tie_cut);
}

static void the_next_page_overlaps_by_a_nanosecond_and_then_it_ends(void **state)
{
	(void)state;
	begin();
	add(T0 + 10, "a");
	add(T0 + 20, "b");
	end(T0 + 20);
	assert_int_equal(read_at(T0), ERR_NONE);
	assert_int_equal(page.next_ns, T0 + 19);
	begin();
	add(T0 + 20, "b");
	end(T0 + 20);
	assert_int_equal(read_at(T0 + 19), ERR_NONE);
	assert_int_equal(page.next_ns, T0 + 20);
	assert_false(page.end);
	begin();
	end(T0 + 20);
	assert_int_equal(read_at(T0 + 20), ERR_NONE);
	assert_int_equal(page.next_ns, T0 + 20);
	assert_true(page.end);
	/* A server whose `after` is not strict gives it once more. */
	begin();
	add(T0 + 20, "b");
	end(T0 + 20);
	assert_int_equal(read_at(T0 + 20), ERR_NONE);
	assert_true(page.end);
}

static void entries_without_order_are_put_in_order(void **state)
{
	(void)state;
	begin();
	add(T0 + 30, "c");
	add(T0 + 10, "a");
	add(T0 + 20, "b");
	end(T0 + 20);
	assert_int_equal(read_at(T0), ERR_NONE);
	assert_int_equal(page.last_ns, T0 + 30);
	assert_int_equal(page.next_ns, T0 + 29);
	assert_non_null(memmem(line(0).data, line(0).len, "\"a\"", 3));
	assert_non_null(memmem(line(2).data, line(2).len, "\"c\"", 3));
}

static void more_lines_of_one_nanosecond_than_a_page_holds_are_stepped_over(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < LOGS_API_PAGE_LINES; i++)
		add(T0 + 1, "tie");
	end(T0 + 1);
	assert_int_equal(read_at(T0 - 1), ERR_NONE); /* it may be that there are no more */
	assert_int_equal(page.next_ns, T0);
	assert_false(page.tie_cut);
	assert_int_equal(read_at(T0), ERR_NONE);
	assert_int_equal(page.next_ns, T0 + 1);
	assert_true(page.tie_cut);
	assert_false(page.end);
	/* Not strict: the same page again, and on. */
	assert_int_equal(read_at(T0 + 1), ERR_NONE);
	assert_int_equal(page.next_ns, T0 + 2);
	assert_true(page.tie_cut);
	/* A server that gives them for ever is not followed. */
	assert_int_equal(read_at(T0 + 2), ERR_RETRY);
	assert_int_equal(batch->count, 0);
}

static void a_page_that_is_older_than_what_was_asked_for_is_no_answer(void **state)
{
	(void)state;
	begin();
	add(T0, "old");
	end(T0 + 5 * NS_PER_S);
	assert_int_equal(read_at(T0 + 5 * NS_PER_S), ERR_RETRY);
	assert_int_equal(batch->count, 0);
	/* Somewhat older: the server has rounded. */
	assert_int_equal(read_at(T0 + NS_PER_S / 2), ERR_NONE);
	assert_true(page.end);
}

static void times_ahead_say_nothing_about_the_next_page(void **state)
{
	(void)state;
	begin();
	add(T0 + 10, "now");
	add(NOW + 25 * 3600 * NS_PER_S, "far");
	end(NOW + 25 * 3600 * NS_PER_S);
	assert_int_equal(read_at(T0), ERR_NONE);
	assert_int_equal(page.count, 2);
	assert_int_equal(page.last_ns, T0 + 10);
	assert_int_equal(page.next_ns, T0 + 9);
	begin();
	add(NOW + 1, "a clock that is ahead");
	end(NOW + 1);
	assert_int_equal(read_at(T0), ERR_NONE);
	assert_int_equal(page.last_ns, 0);
	assert_int_equal(page.next_ns, T0);
	assert_true(page.end);
	assert_true(page.ahead);
	begin();
	add(NOW, "just now");
	end(NOW);
	assert_int_equal(read_at(T0), ERR_NONE);
	assert_int_equal(page.next_ns, NOW - 1);
	assert_false(page.ahead);
}

/* Of a server that gives no order, too. */
static void a_line_ahead_in_a_full_page_hides_nothing_after_it(void **state)
{
	(void)state;
	begin();
	add(NOW + NS_PER_S, "a clock that is ahead");
	for (int i = 1; i < LOGS_API_PAGE_LINES; i++)
		add(T0 + i, "a line");
	end(T0 + LOGS_API_PAGE_LINES - 1);
	assert_int_equal(read_at(T0), ERR_NONE);
	assert_int_equal(page.count, LOGS_API_PAGE_LINES);
	assert_int_equal(page.next_ns, T0 + LOGS_API_PAGE_LINES - 2);
	assert_false(page.end);
}

static void the_token_knows_better_than_a_rounded_time(void **state)
{
	(void)state;
	begin();
	add(T0 + NS_PER_MS, "to the millisecond");
	end(T0 + NS_PER_MS + 345);
	assert_int_equal(read_at(T0), ERR_NONE);
	assert_int_equal(page.next_ns, T0 + NS_PER_MS + 344);
	begin();
	add(T0 + NS_PER_MS, "a token of something else");
	end(T0 + 60 * NS_PER_S);
	assert_int_equal(read_at(T0), ERR_NONE);
	assert_int_equal(page.next_ns, T0 + NS_PER_MS - 1);
}

static void missing_ids_times_and_tokens_are_done_without(void **state)
{
	(void)state;
	assert_int_equal(read_text("{\"data\":[{\"attributes\":{\"message\":\"a\",\"timestamp\":"
				   "\"2026-09-21T14:13:20.000000007Z\"}}]}",
				   T0),
			 ERR_NONE);
	assert_int_equal(page.next_ns, T0 + 6);
	assert_int_equal(read_text("{\"data\":[{\"id\":\"x-1790000000000000009\",\"attributes\":{"
				   "\"message\":\"a\"}}],\"meta\":{}}",
				   T0),
			 ERR_NONE);
	assert_int_equal(page.last_ns, T0 + 9);
	assert_int_equal(read_text("{\"data\":[{\"attributes\":{\"timestamp\":\"x\"}}],"
				   "\"meta\":{\"next_token\":\"1790000000000000011\"}}",
				   T0),
			 ERR_NONE);
	assert_int_equal(page.last_ns, 0);
	assert_int_equal(page.next_ns, T0 + 10);
	assert_int_equal(read_text("{\"data\":[{\"attributes\":{}}],\"meta\":null}", T0), ERR_NONE);
	assert_int_equal(page.count, 1);
	assert_int_equal(page.next_ns, T0);
	assert_true(page.end);
	assert_int_equal(read_text("{\"data\":null,\"meta\":{\"next_token\":\"\"}}", T0), ERR_NONE);
	assert_int_equal(page.count, 0);
	assert_true(page.end);
}

static void an_entry_of_another_shape_is_a_line_as_a_whole(void **state)
{
	(void)state;
	assert_int_equal(
		read_text("{\"data\":[5,\"x\",{\"id\":\"a-1790000000000000009\",\"attributes\":"
			  "[1]},{\"a\":{}}],\"meta\":{}}",
			  T0),
		ERR_NONE);
	assert_int_equal(page.count, 4);
	assert_true(span_is(line(0), "5"));
	assert_true(span_is(line(1), "\"x\""));
	assert_true(span_is(line(2), "{\"id\":\"a-1790000000000000009\",\"attributes\":[1]}"));
	assert_true(span_is(line(3), "{\"a\":{}}"));
	assert_int_equal(page.last_ns, T0 + 9);
}

static void what_is_no_page_is_to_be_asked_for_again(void **state)
{
	static const char *const texts[] = {
		"",
		"<!DOCTYPE html><html></html>",
		"[]",
		"null",
		"{}",
		"{\"error\":\"no\"}",
		"{\"data\":{}}",
		"{\"data\":[],\"data\":[]}",
		"{\"data\":[{}}",
		"{\"data\":[]} and more",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_int_equal(read_text(texts[i], T0), ERR_RETRY);
		assert_int_equal(batch->count, 0);
	}
}

static void no_part_of_a_page_is_taken_for_all_of_it(void **state)
{
	(void)state;
	begin();
	add(T0 + 1, "a \\\"quoted\\\" one");
	add(T0 + 2, "b");
	end(T0 + 2);
	for (size_t len = body.len - 1; len > 0; len--) {
		buf_cut(&body, len);
		assert_int_equal(read_at(T0), ERR_RETRY);
	}
}

static void too_many_entries_are_refused(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i <= LOGS_API_PAGE_LINES_MAX; i++)
		add(T0 + i, "x");
	end(T0 + LOGS_API_PAGE_LINES_MAX);
	assert_int_equal(read_at(T0), ERR_RETRY);
}

/* Long lines in a page: what the batch cannot hold is in the next one. */
static void what_the_batch_has_no_room_for_is_left_for_the_next_page(void **state)
{
	enum { LONG_BYTES = 1500 * 1000, LINES = 5 };
	static char message[LONG_BYTES + 1];
	bool seen[LINES] = {false};
	int64_t after_ns = T0;

	(void)state;
	memset(message, 'x', LONG_BYTES);
	for (int step = 0; step < 10 && !seen[LINES - 1]; step++) {
		begin();
		for (int i = 0; i < LINES; i++)
			if (T0 + 10 * (i + 1) > after_ns)
				add(T0 + 10 * (i + 1), message);
		end(T0 + 10 * LINES);
		assert_int_equal(read_at(after_ns), ERR_NONE);
		assert_true(page.count > 0);
		assert_true(page.next_ns > after_ns);
		assert_false(page.tie_cut);
		for (int i = 0; i < LINES; i++)
			seen[i] = seen[i] ||
				  (page.last_ns >= T0 + 10 * (i + 1) &&
				   page.last_ns - 10 * (int64_t)page.count < T0 + 10 * (i + 1));
		after_ns = page.next_ns;
	}
	for (int i = 0; i < LINES; i++)
		assert_true(seen[i]);
}

static void a_line_that_is_too_long_is_cut_and_hashed(void **state)
{
	enum { LONG_BYTES = RAW_BYTES_MAX + 5 };
	static char message[LONG_BYTES + 1];
	uint8_t digest[HASH_BYTES];
	struct raw *raw;
	const char *start;

	(void)state;
	memset(message, 'x', LONG_BYTES);
	begin();
	add(T0 + 1, message);
	end(T0 + 1);
	assert_int_equal(read_at(T0), ERR_NONE);
	raw = &batch->raws[0];
	assert_int_equal(raw->len, RAW_BYTES_MAX);
	assert_true(raw->full_len > LONG_BYTES);
	start = memmem(body.data, body.len, "{\"timestamp", 11);
	assert_int_equal(hasher_digest(hasher, span_of(start, raw->full_len), digest, &err),
			 ERR_NONE);
	assert_memory_equal(digest, raw->full_sha256, HASH_BYTES);
}

/* ---- the same line by NATS and by HTTP ---- */

static struct record take(struct stages *stages)
{
	struct record r;

	stages_begin_batch(stages);
	assert_int_equal(stages_take(stages, batch, &batch->raws[0], &r, &err), ERR_NONE);
	assert_true(span_is(r.app, "web-1"));
	return r;
}

static struct record by_nats(struct stages *stages, const char *message, const char *more)
{
	struct raw *raw;

	buf_reset(&body);
	buf_fmt(&body,
		"{%s\"event\":{\"provider\":\"proxy\"},\"fly\":{\"app\":{\"instance\":"
		"\"0e286551c30586\",\"name\":\"web-1\"},\"region\":\"ams\"},\"host\":\"0ad1\","
		"\"log\":{\"level\":\"info\"},\"message\":\"%s\",\"timestamp\":"
		"\"2026-09-21T14:13:20.00000007Z\"}",
		more, message);
	batch_reset(batch);
	batch->source = SOURCE_NATS;
	raw = batch_add(batch, SPAN("logs.web-1.ams.0e286551c30586"), span_of(body.data, body.len));
	assert_non_null(raw);
	raw->form = RAW_NATS_JSON;
	raw->received_ns = NOW;
	raw->ordinal = 77;
	return take(stages);
}

static struct record by_http(struct stages *stages, const char *message, const char *more)
{
	buf_reset(&body);
	buf_fmt(&body,
		"{\"data\":[{\"id\":\"q-1790000000000000070\",\"attributes\":{\"timestamp\":"
		"\"2026-09-21T14:13:20.000000070Z\",\"message\":\"%s\",\"level\":\"info\","
		"\"instance\":\"0e286551c30586\",\"region\":\"ams\",\"meta\":{\"instance\":"
		"\"0e286551c30586\",%s\"region\":\"ams\",\"event\":{\"provider\":\"proxy\"}}}}],"
		"\"meta\":{\"next_token\":\"1790000000000000070\"}}",
		message, more);
	assert_int_equal(read_at(T0), ERR_NONE);
	return take(stages);
}

static void a_line_has_the_same_id_by_nats_and_by_http(void **state)
{
#define ERROR(text) "\"error\":{\"code\":5,\"message\":\"" text "\"},"
	static const struct {
		const char *nats, *nats_more, *http, *http_more;
	} cases[] = {
		{"hello", "", "hello", ""},
		{"a\\u003cb\\u003e \\u0026 c", "", "a<b> & c", ""},
		{"tab\\t quote\\\" slash\\/ back\\\\", "",
		 "tab\\u0009 quote\\u0022 slash/ back\\u005c", ""},
		{"\\u001b[32m INFO\\u001b[0m up", "", "\\u001B[32m INFO\\u001B[0m up", ""},
		{"half \\ud800 of a pair", "", "half \\uD800 of a pair", ""},
		{"other half \\udc00.", "", "other half \\udc00.", ""},
		{"nul \\u0000 inside", "", "nul \\u0000 inside", ""},
		{"pair \\ud83d\\ude00", "", "pair \xf0\x9f\x98\x80", ""},
		{"latin \xe9 byte", "", "latin \xe9 byte", ""},
		{"caf\\u00e9", "", "caf\xc3\xa9", ""},
		{"two\\nlines", "", "two\\u000alines", ""},
		{"token fm2_EXAMPLEexample0EXAMPLE here", "",
		 "token fm2_EXAMPLEexample0EXAMPLE here", ""},
		{"", "", "", ""},
		/* An error that the HTTP copy tells in meta alone. */
		{"[PM05] gave up <1>", "", "", ERROR("[PM05] gave up \\u003c1\\u003e")},
		{"", ERROR("gave up"), "", ERROR("gave up")},
		{"[PM05] gave up", ERROR("gave up"), "[PM05] gave up", ERROR("gave up")},
	};
	const struct stages_options options = {.own_app = SPAN("")};
	struct stages *stages = NULL;

	(void)state;
	assert_int_equal(stages_new(&stages, &options, &err), ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct record nats = by_nats(stages, cases[i].nats, cases[i].nats_more);
		struct record http;

		assert_true(nats.decoded);
		assert_int_equal(nats.source, SOURCE_NATS);
		assert_int_equal(nats.occurred_ns, T0 + 70);
		http = by_http(stages, cases[i].http, cases[i].http_more);
		assert_true(http.decoded);
		assert_int_equal(http.source, SOURCE_HTTP);
		assert_int_equal(http.occurred_ns, T0 + 70);
		if (id_compare(&nats.id, &http.id) != 0)
			fail_msg("case %zu: %s", i, cases[i].nats);
	}
	stages_free(stages);
#undef ERROR
}

static void a_usual_line_needs_no_marks(void **state)
{
	const struct stages_options options = {.own_app = SPAN("")};
	struct stages *stages = NULL;
	struct record r;

	(void)state;
	assert_int_equal(stages_new(&stages, &options, &err), ERR_NONE);
	r = by_http(stages, "hello", "");
	for (size_t i = 0; i < r.attr_count; i++)
		assert_true(span_is(r.attrs[i].key, "note")); /* classify()'s */
	assert_true(span_is(r.region, "ams"));
	assert_true(span_is(r.machine_id, "0e286551c30586"));
	assert_true(span_is(r.provider, "proxy"));
	stages_free(stages);
}

/* Overlapping pages give it again and again. */
static void a_line_that_does_not_decode_has_the_same_id_at_each_reading(void **state)
{
	static const char *const texts[] = {
		"{\"data\":[{\"id\":\"q-1790000000000000070\",\"attributes\":{\"message\":5}}]}",
		"{\"data\":[{\"id\":\"q-1790000000000000070\",\"attributes\":{\"message\":\"m\"}}]"
		"}",
		"{\"data\":[{\"id\":\"q\",\"attributes\":{\"a\":1,\"a\":2,\"timestamp\":"
		"\"2026-09-21T14:13:20.00000007Z\"}}]}",
	};
	const struct stages_options options = {.own_app = SPAN("")};
	struct stages *stages = NULL;

	(void)state;
	assert_int_equal(stages_new(&stages, &options, &err), ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct record first, second;

		assert_int_equal(read_text(texts[i], T0), ERR_NONE);
		first = take(stages);
		assert_int_equal(first.occurred_ns, T0 + 70);
		batch->raws[0].received_ns += NS_PER_S;
		second = take(stages);
		assert_int_equal(id_compare(&first.id, &second.id), 0);
	}
	stages_free(stages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attributes_are_taken_byte_for_byte),
		cmocka_unit_test(the_next_page_overlaps_by_a_nanosecond_and_then_it_ends),
		cmocka_unit_test(entries_without_order_are_put_in_order),
		cmocka_unit_test(more_lines_of_one_nanosecond_than_a_page_holds_are_stepped_over),
		cmocka_unit_test(a_page_that_is_older_than_what_was_asked_for_is_no_answer),
		cmocka_unit_test(times_ahead_say_nothing_about_the_next_page),
		cmocka_unit_test(a_line_ahead_in_a_full_page_hides_nothing_after_it),
		cmocka_unit_test(the_token_knows_better_than_a_rounded_time),
		cmocka_unit_test(missing_ids_times_and_tokens_are_done_without),
		cmocka_unit_test(an_entry_of_another_shape_is_a_line_as_a_whole),
		cmocka_unit_test(what_is_no_page_is_to_be_asked_for_again),
		cmocka_unit_test(no_part_of_a_page_is_taken_for_all_of_it),
		cmocka_unit_test(too_many_entries_are_refused),
		cmocka_unit_test(what_the_batch_has_no_room_for_is_left_for_the_next_page),
		cmocka_unit_test(a_line_that_is_too_long_is_cut_and_hashed),
		cmocka_unit_test(a_line_has_the_same_id_by_nats_and_by_http),
		cmocka_unit_test(a_usual_line_needs_no_marks),
		cmocka_unit_test(a_line_that_does_not_decode_has_the_same_id_at_each_reading),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
