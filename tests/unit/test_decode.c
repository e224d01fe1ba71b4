#include "one_line.h"

#include "base/time.h"
#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* A line of Fly's NATS stream around a message and a time, both as they stand in JSON. */
#define NATS(message, time)                                                                  \
	SPAN("{\"event\":{\"provider\":\"app\"},\"fly\":{\"app\":{\"instance\":"             \
	     "\"0e286551c30586\","                                                           \
	     "\"name\":\"web-1\"},\"region\":\"ams\"},\"host\":\"0ad1\",\"log\":{\"level\":" \
	     "\"info\"},"                                                                    \
	     "\"message\":\"" message "\",\"timestamp\":\"" time "\"}")
#define TIME "2026-05-03T22:04:17.809965798Z"
#define TIME_NS INT64_C(1777845857809965798)
/* The same with a space, so that it goes by base/json.h. */
#define LOOSE(message, time)                                                                       \
	SPAN("{ "                                                                                  \
	     "\"event\":{\"provider\":\"app\"},\"fly\":{\"app\":{\"instance\":\"0e286551c30586\"," \
	     "\"name\":\"web-1\"},\"region\":\"ams\"},\"host\":\"0ad1\",\"log\":{\"level\":"       \
	     "\"info\"},"                                                                          \
	     "\"message\":\"" message "\",\"timestamp\":\"" time "\"}")

#define assert_span(s, text) assert_true(span_is((s), (text)))

static void assert_bytes(struct span s, struct span wanted)
{
	assert_non_null(s.data);
	assert_int_equal(s.len, wanted.len);
	assert_memory_equal(s.data, wanted.data, wanted.len);
}

static void assert_undecoded(const struct record *r, const char *why)
{
	assert_false(r->decoded);
	assert_true(one_line_attr_is(r, "undecoded", why));
}

static void assert_plain(const struct record *r)
{
	assert_true(r->decoded);
	assert_span(r->org, "example-org");
	assert_span(r->app, "web-1");
	assert_span(r->region, "ams");
	assert_span(r->machine_id, "0e286551c30586");
	assert_span(r->host, "0ad1");
	assert_span(r->provider, "app");
	assert_span(r->level, "info");
	assert_span(r->message, "hello");
	assert_null(r->raw.data);
	assert_true(r->occurred_ns == TIME_NS);
	assert_true(r->claimed_ns == TIME_NS);
	assert_true(r->observed_ns == ONE_LINE_RECEIVED_NS);
	assert_true(r->exact_time);
	assert_int_equal(r->attr_count, 0);
	assert_int_equal(r->source, SOURCE_NATS);
	assert_int_equal(r->attributes.len, 0);
}

static void a_line_of_the_stream_gives_every_field(void **state)
{
	(void)state;
	assert_plain(one_line(&line, RAW_NATS_JSON, NATS("hello", TIME)));
	assert_plain(one_line(&line, RAW_NATS_JSON, LOOSE("hello", TIME)));
}

static void keys_may_come_in_any_order(void **state)
{
	(void)state;
	assert_plain(one_line(&line, RAW_NATS_JSON,
			      SPAN("{\"timestamp\":\"" TIME "\",\"message\":\"hello\",\"log\":{"
				   "\"level\":\"info\"},\"host\":\"0ad1\",\"fly\":{\"region\":"
				   "\"ams\",\"app\":{\"name\":\"web-1\",\"instance\":"
				   "\"0e286551c30586\"}},\"event\":{\"provider\":\"app\"}}")));
}

static void escapes_in_the_message_are_undone(void **state)
{
	(void)state;
	for (int loose = 0; loose < 2; loose++) {
		const struct record *r =
			one_line(&line, RAW_NATS_JSON,
				 loose ? LOOSE("\\u001b[32m INFO\\u001b[0m \\\"a\\\" \\\\ \\/ "
					       "\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\uD83D\\uDE00",
					       TIME)
				       : NATS("\\u001b[32m INFO\\u001b[0m \\\"a\\\" \\\\ \\/ "
					      "\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\uD83D\\uDE00",
					      TIME));

		assert_true(r->decoded);
		assert_bytes(r->message, SPAN("\x1b[32m INFO\x1b[0m \"a\" \\ / \b\f\n\r\t\xc3\xa9"
					      "\xf0\x9f\x98\x80\xf0\x9f\x98\x80"));
		assert_null(r->raw.data);
		assert_true(r->occurred_ns == TIME_NS);
	}
}

static void what_no_text_can_hold_stands_in_raw(void **state)
{
	(void)state;
	for (int loose = 0; loose < 2; loose++) {
		const struct record *r = one_line(&line, RAW_NATS_JSON,
						  loose ? LOOSE("a\\u0000b\\ud800c\xff"
								"d\\udc00",
								TIME)
							: NATS("a\\u0000b\\ud800c\xff"
							       "d\\udc00",
							       TIME));

		assert_true(r->decoded);
		assert_span(r->message, "a\xef\xbf\xbd"
					"b\xef\xbf\xbd"
					"c\xef\xbf\xbd"
					"d\xef\xbf\xbd");
		assert_bytes(r->raw, SPAN("a\0b\xed\xa0\x80"
					  "c\xff"
					  "d\xed\xb0\x80"));
		assert_null(one_line_attr(r, "fields_in_raw"));
	}
}

static void a_raw_nul_byte_is_kept(void **state)
{
	const struct record *r = one_line(&line, RAW_NATS_JSON, LOOSE("a\0b", TIME));

	(void)state;
	assert_true(r->decoded);
	assert_span(r->message, "a\xef\xbf\xbd"
				"b");
	assert_bytes(r->raw, SPAN("a\0b"));
}

static void an_empty_message_is_a_message(void **state)
{
	const struct record *r = one_line(&line, RAW_NATS_JSON, NATS("", TIME));

	(void)state;
	assert_true(r->decoded);
	assert_int_equal(r->message.len, 0);
	assert_null(r->raw.data);
	assert_int_equal(one_line_attr(r, "empty_message")->type, ATTR_BOOL);
	r = one_line(&line, RAW_NATS_JSON,
		     SPAN("{\"message\":\"m\",\"empty_message\":1,\"timestamp\":\"" TIME "\"}"));
	assert_null(one_line_attr(r, "empty_message"));
	assert_non_null(one_line_attr(r, "line.empty_message"));
}

static void assert_json(const struct record *r, const char *key, const char *json)
{
	const struct attr *attr = one_line_attr(r, key);

	assert_non_null(attr);
	assert_int_equal(attr->type, ATTR_JSON);
	assert_span(attr->text, json);
}

static void unknown_fields_with_nothing_in_them_are_told(void **state)
{
	const struct record *r = one_line(
		&line, RAW_NATS_JSON,
		SPAN("{\"x\":null,\"y\":{},\"z\":[],\"deep\":{\"er\":[null]},\"host\":null,"
		     "\"fly\":{},\"log\":null,\"log\\u0000\":null,\"message\":\"m\",\"timestamp\":"
		     "\"" TIME "\"}"));

	(void)state;
	assert_json(r, "x", "null");
	assert_json(r, "y", "{}");
	assert_json(r, "z", "[]");
	assert_json(r, "deep.er.0", "null");
	assert_json(r, "log\xef\xbf\xbd", "null");
	assert_int_equal(r->attr_count,
			 5 + 1); /* and fields_in_raw; known ones have columns, which are empty */
}

static void unknown_fields_become_dotted_attributes(void **state)
{
	const struct record *r = one_line(
		&line, RAW_NATS_JSON,
		SPAN("{\"event\":{\"provider\":\"proxy\"},\"error\":{\"code\":9007199254740993,"
		     "\"message\":\"timed out\"},\"http\":{\"request\":{\"method\":\"GET\"},"
		     "\"response\":{\"status_code\":502}},\"url\":{\"full\":\"https://example.com/"
		     "\"},"
		     "\"ok\":true,\"no\":null,\"ratio\":0.25,\"exact\":123456789012345,\"list\":[1,"
		     "{\"k\":\"v\"}],\"empty\":{},\"message\":\"hello\",\"timestamp\":\"" TIME
		     "\"}"));

	(void)state;
	assert_true(r->decoded);
	assert_true(one_line_attr_is(r, "error.code", "9007199254740993"));
	assert_true(one_line_attr_is(r, "error.message", "timed out"));
	assert_true(one_line_attr_is(r, "http.request.method", "GET"));
	assert_int_equal(one_line_attr(r, "http.response.status_code")->type, ATTR_NUMBER);
	assert_int_equal(one_line_attr(r, "http.response.status_code")->number, 502);
	assert_true(one_line_attr_is(r, "url.full", "https://example.com/"));
	assert_int_equal(one_line_attr(r, "ok")->type, ATTR_BOOL);
	assert_int_equal(one_line_attr(r, "ok")->number, 1);
	assert_true(one_line_attr_is(r, "ratio", "0.25"));
	assert_true(one_line_attr(r, "exact")->number == INT64_C(123456789012345));
	assert_int_equal(one_line_attr(r, "list.0")->number, 1);
	assert_true(one_line_attr_is(r, "list.1.k", "v"));
	assert_int_equal(r->attr_count, 12);
}

static void more_fields_than_fit_leave_the_whole_line_in_raw(void **state)
{
	char text[4096];
	size_t len = 0;
	const struct record *r;

	(void)state;
	len += (size_t)snprintf(text, sizeof(text),
				"{\"message\":\"m\",\"timestamp\":\"" TIME "\"");
	for (int i = 0; i < 100; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, ",\"k%d\":%d", i, i);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "}");
	r = one_line(&line, RAW_NATS_JSON, span_of(text, len));
	assert_true(r->decoded);
	assert_span(r->message, "m");
	assert_bytes(r->raw, span_of(text, len));
	assert_int_equal(one_line_attr(r, "fields_in_raw")->number, 1);
	assert_int_equal(one_line_attr(r, "k39")->number, 39);
	assert_null(one_line_attr(r, "k40"));
	assert_int_equal(r->attr_count, DECODE_FIELDS_MAX + 1);
}

static void long_fields_are_left_for_redaction_to_cut_and_the_whole_line_kept(void **state)
{
	static char name[3000];
	char text[8192];
	size_t len;
	const struct record *r;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	len = (size_t)snprintf(
		text, sizeof(text),
		"{\"fly\":{\"app\":{\"name\":\"%s\"}},\"x\":\"%s\",\"message\":\"m\","
		"\"timestamp\":\"" TIME "\"}",
		name, name);
	r = one_line(&line, RAW_NATS_JSON, span_of(text, len));
	assert_bytes(r->app, span_text(name));
	assert_bytes(one_line_attr(r, "x")->text, span_text(name));
	assert_bytes(r->raw, span_of(text, len));
	assert_non_null(one_line_attr(r, "fields_in_raw"));
}

static void a_line_cannot_forge_the_marks(void **state)
{
	const struct record *r =
		one_line(&line, RAW_NATS_JSON,
			 SPAN("{\"undecoded\":\"not_json\",\"redacted\":{\"fly\":1},\"redacted\":2,"
			      "\"message\":\"m\",\"timestamp\":\"" TIME "\"}"));

	(void)state;
	assert_undecoded(r, "duplicate_key");
	r = one_line(&line, RAW_NATS_JSON,
		     SPAN("{\"undecoded\":\"not_json\",\"time\":\"x\",\"a.b\":1,\"a\":{\"b\":2},"
			  "\"message\":\"m\",\"timestamp\":\"" TIME "\"}"));
	assert_true(r->decoded);
	assert_null(one_line_attr(r, "undecoded"));
	assert_null(one_line_attr(r, "time"));
	assert_true(one_line_attr_is(r, "line.undecoded", "not_json"));
	assert_true(one_line_attr_is(r, "line.time", "x"));
	assert_int_equal(one_line_attr(r, "a.b")->number, 1);
	assert_non_null(one_line_attr(r, "fields_in_raw"));
}

static void what_is_broken_says_why(void **state)
{
	static const struct {
		const char *text;
		const char *why;
	} cases[] = {
		{"", "not_json"},
		{"hello", "not_json"},
		{"{\"message\":\"m\"", "truncated"},
		{"{\"message\":\"m", "truncated"},
		{"{\"message\":\"m\\", "truncated"},
		{"{\"message\":\"m\\u00", "truncated"},
		{"{\"message\":\"m\"}}", "not_json"},
		{"{\"message\":\"m\"} {}", "not_json"},
		{"{\"message\":\"m\\x\"}", "not_json"},
		{"{\"message\":\"\\uzzzz and more\"}", "not_json"},
		{"{\"message\":}", "not_json"},
		{"{\"message\":\"a\",\"message\":\"b\"}", "duplicate_key"},
		{"{\"message\":\"a\",\"x\":{\"y\":1,\"y\":1}}", "duplicate_key"},
		{"{\"message\":5}", "wrong_type"},
		{"{\"message\":{\"a\":\"b\"}}", "wrong_type"},
		{"{\"message\":[\"b\"]}", "wrong_type"},
		{"[1]", "wrong_type"},
		{"\"text\"", "wrong_type"},
		{"{\"message\":null}", "missing_field"},
		{"{}", "missing_field"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span text = span_text(cases[i].text);
		const struct record *r = one_line(&line, RAW_NATS_JSON, text);

		if (!one_line_attr_is(r, "undecoded", cases[i].why))
			print_error("%s is not said to be %s\n", cases[i].text, cases[i].why);
		assert_undecoded(r, cases[i].why);
		assert_bytes(r->message, text);
		assert_null(r->raw.data);
		assert_true(r->occurred_ns == ONE_LINE_RECEIVED_NS);
		assert_false(r->exact_time);
	}
}

static void ten_thousand_levels_are_too_deep(void **state)
{
	static char text[60010];
	size_t len = 0;
	const struct record *r;

	(void)state;
	for (int i = 0; i < 10000; i++, len += 5)
		memcpy(text + len, "{\"a\":", 5);
	text[len++] = '1';
	for (int i = 0; i < 9999; i++)
		text[len++] = '}';
	for (int closed = 0; closed < 2; closed++) {
		r = one_line(&line, RAW_NATS_JSON, span_of(text, len));
		assert_undecoded(r, "too_deep");
		assert_bytes(r->message, span_of(text, len));
		text[len++] = '}';
	}
}

static void what_can_be_read_of_a_broken_object_is_filled_in(void **state)
{
	const struct record *r =
		one_line(&line, RAW_NATS_JSON,
			 SPAN("{\"event\":{\"provider\":\"app\"},\"fly\":{\"app\":{\"instance\":"
			      "\"0e286551c30586\",\"name\":\"web-1\"},\"region\":\"ams\"},"
			      "\"message\":17,\"timestamp\":\"" TIME "\"}"));

	(void)state;
	assert_undecoded(r, "wrong_type");
	assert_span(r->app, "web-1");
	assert_span(r->machine_id, "0e286551c30586");
	assert_true(r->occurred_ns == TIME_NS);
	assert_true(span_starts(r->message, SPAN("{\"event\"")));
	assert_null(r->raw.data);
}

static void known_fields_of_another_type_are_named(void **state)
{
	const struct record *r = one_line(&line, RAW_NATS_JSON,
					  SPAN("{\"fly\":{\"app\":\"web-1\",\"region\":3},\"host\":"
					       "{\"id\":1},\"log\":{\"level\":"
					       "true},\"message\":\"m\",\"timestamp\":17}"));

	(void)state;
	assert_true(r->decoded);
	assert_span(r->message, "m");
	assert_true(
		one_line_attr_is(r, "wrong_type", "fly.app,fly.region,host,log.level,timestamp"));
	assert_true(one_line_attr_is(r, "fly.app", "web-1"));
	assert_int_equal(one_line_attr(r, "fly.region")->number, 3);
	assert_int_equal(one_line_attr(r, "host.id")->number, 1);
	assert_int_equal(one_line_attr(r, "log.level")->type, ATTR_BOOL);
	assert_true(one_line_attr_is(r, "time", "missing"));
	assert_int_equal(r->region.len, 0);
	r = one_line(
		&line, RAW_NATS_JSON,
		SPAN("{\"fly\":5,\"event\":[],\"log\":[\"info\"],\"host\":{},\"message\":\"m\","
		     "\"timestamp\":5}"));
	assert_true(one_line_attr_is(r, "wrong_type", "fly,event,log,host,timestamp"));
	assert_int_equal(one_line_attr(r, "fly")->number, 5);
	assert_json(r, "event", "[]");
	assert_true(one_line_attr_is(r, "log.0", "info"));
	assert_json(r, "host", "{}");
}

static void every_fraction_of_a_json_time_is_exact(void **state)
{
	const struct record *r = one_line(&line, RAW_NATS_JSON, NATS("m", "2026-05-03T22:04:17Z"));

	(void)state;
	assert_true(r->exact_time);
	assert_true(r->occurred_ns == INT64_C(1777845857000000000));
	r = one_line(&line, RAW_NATS_JSON, NATS("m", "2026-05-03T22:04:17.80996579Z"));
	assert_true(r->exact_time);
	assert_true(r->occurred_ns == TIME_NS - 8);
}

static void a_time_that_cannot_be_taken_is_kept_and_marked(void **state)
{
	static const struct {
		const char *time;
		const char *why;
		bool exact;
	} cases[] = {
		{"1970-01-01T00:00:00Z", "out_of_range", true},
		{"2262-01-01T00:00:00Z", "out_of_range", true},
		{"2262-12-31T00:00:00Z", "unreadable", false},
		{"2026-05-05T22:14:18Z", "out_of_range", true}, /* two days ahead */
		{"2025-03-01T00:00:00Z", "out_of_range", true},
		{"yesterday", "unreadable", false},
		{"2026-05-03T22:04:17", "unreadable", false},
		{"", "unreadable", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[512];
		size_t len =
			(size_t)snprintf(text, sizeof(text),
					 "{\"message\":\"m\",\"timestamp\":\"%s\"}", cases[i].time);
		const struct record *r = one_line(&line, RAW_NATS_JSON, span_of(text, len));
		int64_t claimed = ONE_LINE_RECEIVED_NS;
		unsigned digits;

		assert_true(r->decoded);
		assert_true(one_line_attr_is(r, "time", cases[i].why));
		assert_true(one_line_attr_is(r, "claimed_time", cases[i].time));
		assert_true(r->occurred_ns == ONE_LINE_RECEIVED_NS);
		assert_int_equal(r->exact_time, cases[i].exact);
		if (cases[i].exact)
			assert_true(time_parse(span_text(cases[i].time), false, &claimed, &digits));
		assert_true(r->claimed_ns == claimed);
	}
}

static void times_at_the_edges_of_the_range_are_taken(void **state)
{
	const int64_t day = 24 * 3600 * NS_PER_S;
	const int64_t edges[] = {
		ONE_LINE_RECEIVED_NS - DECODE_PAST_MAX_DAYS * day,
		ONE_LINE_RECEIVED_NS + DECODE_FUTURE_MAX_DAYS * day,
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (int past = 0; past < 2; past++) {
			int64_t ns = edges[i] + (past ? (i == 0 ? -1 : 1) : 0);
			char time[TIME_TEXT_BYTES], text[512];
			size_t len = (size_t)snprintf(text, sizeof(text),
						      "{\"message\":\"m\",\"timestamp\":\"%s\"}",
						      time_format(ns, time));
			const struct record *r = one_line(&line, RAW_NATS_JSON, span_of(text, len));

			assert_true(r->occurred_ns == (past ? ONE_LINE_RECEIVED_NS : ns));
			assert_int_equal(one_line_attr(r, "time") != NULL, past);
		}
	}
}

static void a_line_without_time_is_marked(void **state)
{
	const struct record *r = one_line(&line, RAW_NATS_JSON, SPAN("{\"message\":\"m\"}"));

	(void)state;
	assert_true(r->decoded);
	assert_true(one_line_attr_is(r, "time", "missing"));
	assert_null(one_line_attr(r, "claimed_time"));
	assert_false(r->exact_time);
	assert_true(r->claimed_ns == ONE_LINE_RECEIVED_NS);
}

#define WRITTEN_NS (ONE_LINE_RECEIVED_NS - 3600 * NS_PER_S)

static const struct record *one_line_of_a_file(struct span text, int64_t written_ns)
{
	one_line_put(&line, RAW_NATS_JSON, SPAN(""), text);
	line.batch->raws[0].file = (struct file_stamp){.number = 7, .written_ns = written_ns};
	return one_line_decode(&line);
}

static void a_line_without_time_has_its_files(void **state)
{
	static const int64_t day = 24 * 3600 * NS_PER_S;
	static const struct {
		const char *text;
		bool claims; /* a time that the id is made of */
	} cases[] = {
		{"{\"message\":\"m\"}", false},
		{"plain text", false},
		{"{\"message\":\"m\",\"timestamp\":\"yesterday\"}", false},
		{"{\"message\":\"m\",\"timestamp\":\"1970-01-01T00:00:00Z\"}", true},
	};
	const struct record *r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		r = one_line_of_a_file(span_text(cases[i].text), WRITTEN_NS);
		assert_true(r->occurred_ns == WRITTEN_NS);
		assert_true(r->claimed_ns == (cases[i].claims ? 0 : WRITTEN_NS));
		assert_true(r->observed_ns == ONE_LINE_RECEIVED_NS);
		assert_true(r->foreign_time);
		r = one_line_of_a_file(span_text(cases[i].text), ONE_LINE_RECEIVED_NS - 401 * day);
		assert_true(r->occurred_ns == ONE_LINE_RECEIVED_NS);
		r = one_line_of_a_file(span_text(cases[i].text), ONE_LINE_RECEIVED_NS + 2 * day);
		assert_true(r->occurred_ns == ONE_LINE_RECEIVED_NS);
		assert_true(r->foreign_time);
	}
	r = one_line_of_a_file(NATS("m", TIME), WRITTEN_NS);
	assert_true(r->occurred_ns == TIME_NS);
	assert_false(r->foreign_time);
}

static void a_subject_that_agrees_says_nothing(void **state)
{
	(void)state;
	one_line_put(&line, RAW_NATS_JSON, SPAN("logs.web-1.ams.0e286551c30586"),
		     NATS("hello", TIME));
	assert_plain(one_line_decode(&line));
}

static void a_subject_that_disagrees_is_told(void **state)
{
	const struct record *r;

	(void)state;
	one_line_put(&line, RAW_NATS_JSON, SPAN("logs.web-2.ams.0e286551c30586"),
		     NATS("hello", TIME));
	r = one_line_decode(&line);
	assert_span(r->app, "web-1");
	assert_true(one_line_attr_is(r, "subject_mismatch", "logs.web-2.ams.0e286551c30586"));
	one_line_put(&line, RAW_NATS_JSON, SPAN("logs.test"), NATS("hello", TIME));
	assert_true(one_line_attr_is(one_line_decode(&line), "subject_mismatch", "logs.test"));
	one_line_put(&line, RAW_NATS_JSON, SPAN("other.web-2.ams.x"), NATS("hello", TIME));
	assert_plain(one_line_decode(&line));
}

static void what_the_payload_lacks_comes_from_the_subject(void **state)
{
	const struct record *r;

	(void)state;
	one_line_put(&line, RAW_NATS_JSON, SPAN("logs.web-1.ams.0e286551c30586"),
		     SPAN("hello world"));
	r = one_line_decode(&line);
	assert_undecoded(r, "not_json");
	assert_span(r->message, "hello world");
	assert_span(r->app, "web-1");
	assert_span(r->region, "ams");
	assert_span(r->machine_id, "0e286551c30586");
	assert_int_equal(one_line_attr(r, "from_subject")->number, 1);
	assert_null(one_line_attr(r, "subject_mismatch"));
}

static void a_cut_line_tells_length_and_hash_of_the_whole(void **state)
{
	const struct record *r;
	struct raw *raw;

	(void)state;
	one_line_put(&line, RAW_NATS_JSON, SPAN("logs.web-1.ams.x"), NATS("hello", TIME));
	raw = &line.batch->raws[0];
	raw->full_len = 5000000;
	memset(raw->full_sha256, 0xab, sizeof(raw->full_sha256));
	r = one_line_decode(&line);
	assert_undecoded(r, "line_too_long");
	assert_int_equal(one_line_attr(r, "line_bytes")->number, 5000000);
	assert_true(one_line_attr_is(r, "line_sha256",
				     "abababababababababababababababab"
				     "abababababababababababababababab"));
	assert_span(r->app, "web-1");
	assert_bytes(r->message, NATS("hello", TIME));
}

static void a_message_of_two_mebibytes_comes_whole(void **state)
{
	enum { MESSAGE_BYTES = 2 * 1024 * 1024 };
	char *text = malloc(MESSAGE_BYTES + 200);
	size_t len = 0;
	const struct record *r;

	(void)state;
	assert_non_null(text);
	memcpy(text, "{\"message\":\"", 12);
	memset(text + 12, 'x', MESSAGE_BYTES);
	len = 12 + MESSAGE_BYTES;
	memcpy(text + len, "\",\"timestamp\":\"" TIME "\"}", 47);
	r = one_line(&line, RAW_NATS_JSON, span_of(text, len + 47));
	assert_true(r->decoded);
	assert_int_equal(r->message.len, MESSAGE_BYTES);
	free(text);
}

#define FLY_META(http)                                                               \
	"\"meta\": {\n  \"Instance\": \"286d097b71e118\",\n  \"Region\": \"ams\",\n" \
	"  \"Event\": {\n \"Provider\": \"proxy\"\n},\n" http "}\n}"
#define FLY_HEAD(message)                                                                        \
	"{\n    \"level\": \"error\",\n    \"instance\": \"286d097b71e118\",\n    \"message\": " \
	"\"" message "\",\n    \"region\": \"ams\",\n    \"timestamp\": \"" TIME "\",\n    "
#define FLY_ZEROS                                                                         \
	"\"HTTP\": {\"Request\": {\"ID\": \"\", \"Method\": \"\", \"Version\": \"\"}, "   \
	"\"Response\": "                                                                  \
	"{\"status_code\": 0}},\n \"Error\": {\"Code\": 0, \"Message\": \"\"}, \"URL\": " \
	"{\"Full\": "                                                                     \
	"\"\"}\n"

static void an_object_of_fly_logs_json_is_read(void **state)
{
	const struct record *r =
		one_line(&line, RAW_FLY_JSON,
			 SPAN(FLY_HEAD("\\u001b[32m INFO\\u001b[0m \\u003ca\\u003e \\u0026")
				      FLY_META(FLY_ZEROS)));

	(void)state;
	assert_true(r->decoded);
	assert_span(r->app, "given-app");
	assert_span(r->region, "ams");
	assert_span(r->machine_id, "286d097b71e118");
	assert_span(r->provider, "proxy");
	assert_span(r->level, "error");
	assert_span(r->message, "\x1b[32m INFO\x1b[0m <a> &");
	assert_true(r->occurred_ns == TIME_NS);
	assert_true(r->exact_time);
	assert_int_equal(r->attr_count, 0);
}

static void fields_of_meta_have_the_names_of_the_stream(void **state)
{
	const struct record *r = one_line(
		&line, RAW_FLY_JSON,
		SPAN(FLY_HEAD("m") FLY_META(
			"\"HTTP\": {\"Request\": {\"ID\": \"01HGP\", \"Method\": \"GET\"},"
			"\"Response\": {\"status_code\": 502}}, \"Error\": {\"Code\": 1,"
			"\"Message\": \"x\"}, \"URL\": {\"Full\": \"https://example.com/\"}")));

	(void)state;
	assert_true(one_line_attr_is(r, "http.request.id", "01HGP"));
	assert_true(one_line_attr_is(r, "http.request.method", "GET"));
	assert_int_equal(one_line_attr(r, "http.response.status_code")->number, 502);
	assert_int_equal(one_line_attr(r, "error.code")->number, 1);
	assert_true(one_line_attr_is(r, "error.message", "x"));
	assert_true(one_line_attr_is(r, "url.full", "https://example.com/"));
	assert_span(r->message, "m");
	r = one_line(&line, RAW_FLY_JSON,
		     SPAN(FLY_HEAD("") FLY_META("\"Error\": {\"Message\": \"timed out\"}")));
	assert_span(r->message, "timed out");
	assert_null(one_line_attr(r, "empty_message"));
	r = one_line(&line, RAW_FLY_JSON,
		     SPAN(FLY_HEAD("m") "\"meta\":{\"Event\":null,\"HTTP\":{},\"URL\":null}}"));
	assert_int_equal(r->attr_count, 0);
	r = one_line(&line, RAW_FLY_JSON, SPAN(FLY_HEAD("m") "\"meta\":{}}"));
	assert_int_equal(r->attr_count, 0);
	r = one_line(&line, RAW_FLY_JSON, SPAN(FLY_HEAD("m") "\"meta\":17}"));
	assert_true(one_line_attr_is(r, "wrong_type", "meta"));
}

static void without_memory_the_line_is_kept_as_it_came(void **state)
{
	struct span text = LOOSE("hello \\u0000 \xff", TIME);
	const struct record *r;

	(void)state;
	arena_release(&line.arena);
	arena_init(&line.arena, 8);
	r = one_line(&line, RAW_NATS_JSON, text);
	assert_undecoded(r, "no_memory");
	assert_bytes(r->raw, text);
	assert_true(r->message.len > 0 && r->message.len < text.len);
	r = one_line(&line, RAW_NATS_JSON, NATS("hello", TIME));
	assert_plain(r);
}

static void decode_under_faults(void *arg)
{
	const struct span *text = arg;
	const struct record *r;

	arena_release(&line.arena);
	arena_init(&line.arena, 1024 * 1024);
	r = one_line(&line, RAW_NATS_JSON, *text);
	if (r->decoded) {
		assert_bytes(r->raw, SPAN("a\0b"));
		assert_span(r->app, "web-1");
	} else {
		assert_undecoded(r, "no_memory");
		assert_bytes(r->message, *text);
	}
}

static void no_memory_fault_leaks_or_loses_the_line(void **state)
{
	struct span text = LOOSE("a\\u0000b", TIME);

	(void)state;
	one_line_put(&line, RAW_NATS_JSON, SPAN(""),
		     text); /* the batch's memory is not the matter */
	fault_everywhere(decode_under_faults, &text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, one_line_set_up, one_line_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_line_of_the_stream_gives_every_field),
		TEST(keys_may_come_in_any_order),
		TEST(escapes_in_the_message_are_undone),
		TEST(what_no_text_can_hold_stands_in_raw),
		TEST(a_raw_nul_byte_is_kept),
		TEST(an_empty_message_is_a_message),
		TEST(unknown_fields_with_nothing_in_them_are_told),
		TEST(unknown_fields_become_dotted_attributes),
		TEST(more_fields_than_fit_leave_the_whole_line_in_raw),
		TEST(long_fields_are_left_for_redaction_to_cut_and_the_whole_line_kept),
		TEST(a_line_cannot_forge_the_marks),
		TEST(what_is_broken_says_why),
		TEST(ten_thousand_levels_are_too_deep),
		TEST(what_can_be_read_of_a_broken_object_is_filled_in),
		TEST(known_fields_of_another_type_are_named),
		TEST(every_fraction_of_a_json_time_is_exact),
		TEST(a_time_that_cannot_be_taken_is_kept_and_marked),
		TEST(times_at_the_edges_of_the_range_are_taken),
		TEST(a_line_without_time_is_marked),
		TEST(a_line_without_time_has_its_files),
		TEST(a_subject_that_agrees_says_nothing),
		TEST(a_subject_that_disagrees_is_told),
		TEST(what_the_payload_lacks_comes_from_the_subject),
		TEST(a_cut_line_tells_length_and_hash_of_the_whole),
		TEST(a_message_of_two_mebibytes_comes_whole),
		TEST(an_object_of_fly_logs_json_is_read),
		TEST(fields_of_meta_have_the_names_of_the_stream),
		TEST(without_memory_the_line_is_kept_as_it_came),
		TEST(no_memory_fault_leaks_or_loses_the_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
