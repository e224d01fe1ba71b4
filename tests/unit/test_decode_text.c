#include "one_line.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define CAPTURES "tests/data/captures"

enum { CAPTURE_COUNT = 12, CAPTURE_BYTES_MAX = 64 * 1024, PATH_BYTES = 64 };

#define assert_span(s, text) assert_true(span_is((s), (text)))

static const struct record *text_line(const char *text)
{
	const struct record *r = one_line(&line, RAW_FLY_TEXT, span_text(text));

	if (!r->decoded)
		print_error("not decoded: %s\n", text);
	assert_true(r->decoded);
	assert_span(r->app, "given-app");
	return r;
}

static void a_plain_line_is_read(void **state)
{
	const struct record *r = text_line(
		"2026-05-03T22:04:17Z runner[e2862692b79d68] sin [info]Configuring firecracker");

	(void)state;
	assert_span(r->provider, "runner");
	assert_span(r->machine_id, "e2862692b79d68");
	assert_span(r->region, "sin");
	assert_span(r->level, "info");
	assert_span(r->message, "Configuring firecracker");
	assert_true(r->occurred_ns == INT64_C(1777845857000000000));
	assert_false(r->exact_time);
	assert_null(r->raw.data);
	assert_int_equal(r->attr_count, 0);
}

static void a_message_keeps_its_leading_space_and_its_colours(void **state)
{
	const struct record *r =
		text_line("2026-05-03T22:04:17Z app[e2862692b79d68] sin [info] INFO Starting init");

	(void)state;
	assert_span(r->message, " INFO Starting init");
	r = text_line("\x1b[2m2026-05-03T22:04:17Z\x1b[0m app[90807799a69568] \x1b[32mgru\x1b[0m "
		      "[\x1b[34minfo\x1b[0m]\x1b[32m INFO\x1b[0m Starting init\x1b[0m");
	assert_span(r->message, "\x1b[32m INFO\x1b[0m Starting init\x1b[0m");
	assert_span(r->region, "gru");
	assert_span(r->level, "info");
	r = text_line("\x1b[2m2026-05-03T22:04:17Z\x1b[0m app[90807799a69568] \x1b[32mgru\x1b[0m "
		      "[\x1b[34minfo\x1b[0m]\x1b[0mreset first");
	assert_span(r->message, "\x1b[0mreset first");
}

static void colours_may_stand_anywhere_in_the_prefix(void **state)
{
	const struct record *r =
		text_line("\x1b[0m\x1b[2m2026-05-03T22:04:17Z "
			  "\x1b[0m\x1b[1;35mproxy\x1b[0m[\x1b[36m90807799a69568"
			  "\x1b[0m]\x1b[0m \x1b[32mgru \x1b[0m\x1b[38;5;9m[error]\x1b[0mm");

	(void)state;
	assert_span(r->provider, "proxy");
	assert_span(r->machine_id, "90807799a69568");
	assert_span(r->region, "gru");
	assert_span(r->level, "error");
	assert_span(r->message, "m");
}

static void a_copy_from_the_dashboard_is_read(void **state)
{
	const struct record *r = text_line(
		"2026-05-03T12:44:48.950 app[5683d6e7b0458e] hkg [info] INFO Starting clean up.");

	(void)state;
	assert_span(r->message, "INFO Starting clean up.");
	assert_true(r->exact_time);
	assert_true(r->occurred_ns == INT64_C(1777812288950000000));
}

static void parts_may_be_missing(void **state)
{
	const struct record *r = text_line("2026-05-03T22:04:17Z proxy lhr [warn]slow");

	(void)state;
	assert_span(r->provider, "proxy");
	assert_int_equal(r->machine_id.len, 0);
	assert_span(r->region, "lhr");
	assert_span(r->message, "slow");
	r = text_line("2026-05-03T22:04:17Z 90807799a69568 lhr [info]m");
	assert_span(r->machine_id, "90807799a69568");
	assert_int_equal(r->provider.len, 0);
	r = text_line("\x1b[2m2026-05-03T22:04:17Z\x1b[0m  \x1b[32m\x1b[0m [\x1b[31m\x1b[0m]m");
	assert_int_equal(r->provider.len + r->region.len + r->level.len, 0);
	assert_span(r->message, "m");
	r = text_line("2026-05-03T22:04:17Z app[90807799a69568] lhr [info]");
	assert_int_equal(r->message.len, 0);
}

static void an_error_before_the_time_is_the_message(void **state)
{
	const struct record *r = text_line(
		"error.message=\"instance refused connection. is it up?\" 2026-05-03T22:04:17Z "
		"proxy[328744dbee4e85] sjc [error]request.method=\"GET\" "
		"request.url=\"https://example.com/?q=1\" request.id=\"01HGP\" "
		"response.status=502 ");

	(void)state;
	assert_span(r->message, "instance refused connection. is it up?");
	assert_span(r->provider, "proxy");
	assert_span(r->level, "error");
	assert_true(r->occurred_ns == INT64_C(1777845857000000000));
	assert_true(one_line_attr_is(r, "http.request.method", "GET"));
	assert_true(one_line_attr_is(r, "url.full", "https://example.com/?q=1"));
	assert_true(one_line_attr_is(r, "http.request.id", "01HGP"));
	assert_int_equal(one_line_attr(r, "http.response.status_code")->number, 502);
	assert_int_equal(r->attr_count, 4);
}

static void quotes_inside_an_early_error_are_kept(void **state)
{
	const struct record *r = text_line(
		"\x1b[2merror.message=\x1b[0m\"machines API returned an error: \"machine ID "
		"2879325b42d318 "
		"lease currently held by x@tokens.fly.io, expires at 2026-05-14T10:41:08Z\"\" "
		"\x1b[2m2026-05-03T22:04:17Z\x1b[0m proxy[328744dbee4e85] \x1b[32msjc\x1b[0m "
		"[\x1b[31merror\x1b[0m]\x1b[2mrequest.url=\x1b[0m\"https://example.com/\" ");

	(void)state;
	assert_span(r->message,
		    "machines API returned an error: \"machine ID 2879325b42d318 lease "
		    "currently held by x@tokens.fly.io, expires at 2026-05-14T10:41:08Z\"");
	assert_true(one_line_attr_is(r, "url.full", "https://example.com/"));
	assert_int_equal(r->attr_count, 1);
}

static void an_early_error_beside_a_message_is_an_attribute(void **state)
{
	const struct record *r = text_line("error.message=\"x\" 2026-05-03T22:04:17Z "
					   "proxy[328744dbee4e85] sjc [error]error.code=3 gone");

	(void)state;
	assert_span(r->message, "gone");
	assert_true(one_line_attr_is(r, "error.message", "x"));
	assert_int_equal(one_line_attr(r, "error.code")->number, 3);
}

static void an_application_that_prints_fields_keeps_its_message(void **state)
{
	const struct record *r = text_line("2026-05-03T22:04:17Z app[328744dbee4e85] sjc "
					   "[info]request.method=\"GET\" done");

	(void)state;
	assert_span(r->message, "request.method=\"GET\" done");
	assert_int_equal(r->attr_count, 0);
}

static void text_without_the_prefix_is_kept(void **state)
{
	static const char *const texts[] = {
		"    at Object.<anonymous> (/app/index.js:1:7)",
		"2026-05-03T22:04:17Z",
		"2026-05-03T22:04:17Z app",
		"2026-05-03T22:04:17Z app[328744dbee4e85 sjc [info]m",
		"2026-05-03T22:04:17Z app[328744dbee4e85] sjcx [info]m",
		"2026-05-03T22:04:17Z app[328744dbee4e85] sjc info m",
		"2026-05-03T22:04:17Z app[328744dbee4e85] sjc [INFO]m",
		"2026-13-03T22:04:17Z app[328744dbee4e85] sjc [info]m",
		"2026-05-03 22:04:17 app[328744dbee4e85] sjc [info]m",
		"error.message=\"never closed 2026-05-03T22:04:17Z proxy[1] sjc [error]",
		"error.message=\"no prefix\" m",
		"\x1b[2m",
		"\x1b[",
		"\x1b",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const struct record *r = one_line(&line, RAW_FLY_TEXT, span_text(texts[i]));

		assert_false(r->decoded);
		assert_true(one_line_attr_is(r, "undecoded", "not_fly_text"));
		assert_null(one_line_attr(r, "time"));
		assert_span(r->message, texts[i]);
		assert_span(r->app, "given-app");
		assert_true(r->occurred_ns == ONE_LINE_RECEIVED_NS);
		assert_false(r->exact_time);
	}
}

static void bytes_that_are_no_text_stand_in_raw(void **state)
{
	const struct record *r =
		one_line(&line, RAW_FLY_TEXT,
			 SPAN("2026-05-03T22:04:17Z app[328744dbee4e85] sjc [info]a\xff\0b"));

	(void)state;
	assert_true(r->decoded);
	assert_span(r->message, "a\xef\xbf\xbd\xef\xbf\xbd"
				"b");
	assert_int_equal(r->raw.len, 4);
	assert_memory_equal(r->raw.data, "a\xff\0b", 4);
}

static void a_time_out_of_range_is_marked(void **state)
{
	const struct record *r = text_line("2023-05-03T22:04:17Z app[328744dbee4e85] sjc [info]m");

	(void)state;
	assert_true(one_line_attr_is(r, "time", "out_of_range"));
	assert_true(one_line_attr_is(r, "claimed_time", "2023-05-03T22:04:17Z"));
	assert_false(r->exact_time);
	assert_true(r->claimed_ns == INT64_C(1683151457000000000));
}

/* Lines of a capture one by one; returns how many. */
static size_t every_line_has_its_fields(struct span text)
{
	size_t count = 0;

	while (text.len > 0) {
		const char *end = memchr(text.data, '\n', text.len);
		struct span one;
		const struct record *r;

		assert_non_null(end);
		one = span_of(text.data, (size_t)(end - text.data));
		text = span_after(text, one.len + 1);
		r = one_line(&line, RAW_FLY_TEXT, one);
		if (!r->decoded)
			print_error("not decoded: %.*s\n", (int)one.len, one.data);
		assert_true(r->decoded);
		assert_int_equal(r->machine_id.len, 14);
		assert_int_equal(r->region.len, 3);
		assert_true(r->provider.len >= 3 && r->level.len >= 4 && r->message.len > 0);
		assert_int_not_equal(r->message.data[0], ']');
		assert_null(r->raw.data);
		count++;
	}
	return count;
}

static void every_line_that_fly_logs_printed_is_read(void **state)
{
	size_t count = 0;

	(void)state;
	for (int i = 1; i <= CAPTURE_COUNT; i++) {
		char path[PATH_BYTES];
		struct err err;
		struct buf b;

		(void)snprintf(path, sizeof(path), CAPTURES "/%02d.txt", i);
		buf_init(&b, CAPTURE_BYTES_MAX);
		assert_int_equal(file_read_all(path, &b, &err), ERR_NONE);
		count += every_line_has_its_fields(span_of(b.data, b.len));
		buf_release(&b);
	}
	assert_int_equal(count, 176);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, one_line_set_up, one_line_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_plain_line_is_read),
		TEST(a_message_keeps_its_leading_space_and_its_colours),
		TEST(colours_may_stand_anywhere_in_the_prefix),
		TEST(a_copy_from_the_dashboard_is_read),
		TEST(parts_may_be_missing),
		TEST(an_error_before_the_time_is_the_message),
		TEST(quotes_inside_an_early_error_are_kept),
		TEST(an_early_error_beside_a_message_is_an_attribute),
		TEST(an_application_that_prints_fields_keeps_its_message),
		TEST(text_without_the_prefix_is_kept),
		TEST(bytes_that_are_no_text_stand_in_raw),
		TEST(a_time_out_of_range_is_marked),
		TEST(every_line_that_fly_logs_printed_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
