/* What a record is as a log of Datadog's: its names, its status, and where it is cut. */
#include "sink/datadog_log.h"

#include "base/json.h"
#include "base/time.h"
#include "sink/datadog_status.h"

#include "payloads.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define AT (INT64_C(1795695600123) * NS_PER_MS + 456789)
#define ID "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"
#define CUT_MARK " [cut by flytrail]"

static struct buf payload, out;
static struct record *record, *scratch;
static struct json *json;
static char *long_text;

static int set_up(void **state)
{
	(void)state;
	buf_init(&payload, RECORD_PAYLOAD_BYTES_MAX);
	buf_init(&out, DATADOG_LOG_ROOM_BYTES);
	record = calloc(1, sizeof(*record));
	scratch = calloc(1, sizeof(*scratch));
	long_text = malloc(RECORD_TEXT_BYTES_MAX);
	json = NULL;
	return !record || !scratch || !long_text;
}

static int tear_down(void **state)
{
	(void)state;
	json_free(json);
	buf_release(&payload);
	buf_release(&out);
	free(record);
	free(scratch);
	free(long_text);
	return 0;
}

/* The log of what is in payload: a text, which is read back as JSON as well. */
static const char *write_log(void)
{
	int64_t occurred_ns;
	struct err err;

	buf_reset(&out);
	assert_int_equal(datadog_log_write(payload_of(&payload), scratch, &out, &occurred_ns, &err),
			 ERR_NONE);
	assert_int_equal(occurred_ns, AT);
	assert_true(out.len <= DATADOG_LOG_BYTES_MAX);
	json_free(json);
	json = NULL;
	assert_int_equal(json_parse(&json, span_of(out.data, out.len), &err), ERR_NONE);
	return (const char *)out.data;
}

static void make_line(struct span message)
{
	*record = (struct record){
		.occurred_ns = AT,
		.observed_ns = AT + 1,
		.source = SOURCE_NATS,
		.org = SPAN("example-org"),
		.app = SPAN("web-1"),
		.region = SPAN("ams"),
		.machine_id = SPAN("0e286551c30586"),
		.host = SPAN("0ad1"),
		.provider = SPAN("app"),
		.level = SPAN("info"),
		.message = message,
	};
	assert_true(id_parse(SPAN(ID), &record->id));
}

static void make_restart(void)
{
	make_line(SPAN("machine exited with exit code 0, not restarting"));
	record->provider = SPAN("runner");
	record->class = CLASS_restart;
	record->action = ACTION_restart_suppressed;
	record->finding = (struct finding){
		.rule = "runner.x",
		.trust = TRUST_PLATFORM,
		.severity = SEVERITY_MEDIUM,
		.actor_type = ACTOR_USER,
		.actor = SPAN("someone@example.com"),
		.target_type = SPAN("machine"),
		.target = SPAN("0e286551c30586"),
		.outcome = SPAN("success"),
		.correlation_id = SPAN("01J0EXAMPLE"),
		.summary = SPAN("the machine stays stopped"),
	};
}

static const char *write_line(void)
{
	buf_reset(&payload);
	record_encode(record, &payload);
	return write_log();
}

static const char *write_event(const struct event *event)
{
	buf_reset(&payload);
	event_encode(event, &payload);
	return write_log();
}

static struct span member(const char *key)
{
	const struct json *found = json_member(json, key);

	return found ? json_text(found) : SPAN("");
}

/* --- names --- */

static void a_line_has_datadogs_names_and_the_old_ones(void **state)
{
	(void)state;
	make_line(SPAN("hello \"world\""));
	assert_string_equal(
		write_line(),
		"{\"ddsource\":\"fly\",\"service\":\"web-1\",\"hostname\":\"0e286551c30586\","
		"\"ddtags\":\"app:web-1,region:ams,class:app_log,provider:app\","
		"\"status\":\"info\",\"timestamp\":1795695600123,\"event_id\":\"" ID "\","
		"\"fly\":{\"app\":{\"name\":\"web-1\",\"instance\":\"0e286551c30586\"},"
		"\"region\":\"ams\",\"host\":\"0ad1\"},\"log\":{\"level\":\"info\"},"
		"\"event\":{\"provider\":\"app\"},\"message\":\"hello \\\"world\\\"\"}");
}

static void a_classified_line_has_the_events_fields_too(void **state)
{
	(void)state;
	make_restart();
	assert_string_equal(
		write_line(),
		"{\"ddsource\":\"fly\",\"service\":\"web-1\",\"hostname\":\"0e286551c30586\","
		"\"ddtags\":\"app:web-1,region:ams,class:restart,trust:platform,provider:runner\","
		"\"status\":\"warning\",\"timestamp\":1795695600123,\"event_id\":\"" ID "\","
		"\"fly\":{\"app\":{\"name\":\"web-1\",\"instance\":\"0e286551c30586\"},"
		"\"region\":\"ams\",\"host\":\"0ad1\"},\"log\":{\"level\":\"info\"},"
		"\"event\":{\"provider\":\"runner\"},\"class\":\"restart\","
		"\"action\":\"restart.suppressed\",\"actor\":\"someone@example.com\","
		"\"actor_type\":\"user\",\"target_type\":\"machine\","
		"\"target\":\"0e286551c30586\",\"outcome\":\"success\","
		"\"correlation_id\":\"01J0EXAMPLE\",\"summary\":\"the machine stays stopped\","
		"\"message\":\"machine exited with exit code 0, not restarting\"}");
}

static void an_event_without_a_message_has_its_summary_and_no_empty_field(void **state)
{
	struct event event = {
		.class = CLASS_secret_change,
		.action = ACTION_secret_change_set,
		.occurred_ns = AT,
		.not_after_ns = EVENT_NO_TIME,
		.severity = SEVERITY_HIGH,
		.trust = TRUST_API,
		.app = SPAN("web-1"),
		.summary = SPAN("a secret was set"),
	};

	(void)state;
	assert_true(id_parse(SPAN(ID), &event.id));
	assert_string_equal(
		write_event(&event),
		"{\"ddsource\":\"fly\",\"service\":\"web-1\","
		"\"ddtags\":\"app:web-1,class:secret_change,trust:api\",\"status\":\"error\","
		"\"timestamp\":1795695600123,\"event_id\":\"" ID "\","
		"\"fly\":{\"app\":{\"name\":\"web-1\"}},\"class\":\"secret_change\","
		"\"action\":\"secret_change.set\",\"summary\":\"a secret was set\","
		"\"message\":\"a secret was set\"}");
	event.message = SPAN("its own");
	(void)write_event(&event);
	assert_span(member("message"), SPAN("its own"));
	event.message = event.summary = SPAN("");
	(void)write_event(&event);
	assert_span(member("message"), SPAN("secret_change.set"));
}

static void a_line_of_nothing_but_a_message_is_a_log(void **state)
{
	(void)state;
	*record = (struct record){.occurred_ns = AT, .message = SPAN("hello")};
	assert_true(id_parse(SPAN(ID), &record->id));
	assert_string_equal(write_line(), "{\"ddsource\":\"fly\",\"ddtags\":\"class:app_log\","
					  "\"timestamp\":1795695600123,\"event_id\":\"" ID "\","
					  "\"fly\":{\"app\":{}},\"message\":\"hello\"}");
}

static void a_tag_holds_no_comma_and_is_no_longer_than_datadog_takes(void **state)
{
	struct span tags, expected = SPAN("app:a_b_c,region:");
	const char *end;

	(void)state;
	make_line(SPAN("hello"));
	memset(long_text, 'r', RECORD_FIELD_BYTES_MAX);
	record->app = SPAN("a,b,c");
	record->region = span_of(long_text, RECORD_FIELD_BYTES_MAX);
	(void)write_line();
	tags = member("ddtags");
	assert_true(span_starts(tags, expected));
	tags = span_after(tags, expected.len - strlen("region:"));
	end = memchr(tags.data, ',', tags.len);
	assert_non_null(end);
	assert_int_equal(end - tags.data, DATADOG_TAG_BYTES_MAX);
}

static void what_is_no_payload_is_corrupt(void **state)
{
	int64_t occurred_ns;
	struct err err;

	(void)state;
	assert_int_equal(datadog_log_write(SPAN("x"), scratch, &out, &occurred_ns, &err),
			 ERR_CORRUPT);
	assert_int_equal(datadog_log_write(SPAN("\1\1x"), scratch, &out, &occurred_ns, &err),
			 ERR_CORRUPT);
}

/* --- the status --- */

static void levels_are_datadogs_statuses(void **state)
{
	static const char *const levels[][2] = {
		{"info", "info"},
		{"INFO", "info"},
		{"warn", "warning"},
		{"Warning", "warning"},
		{"error", "error"},
		{"err", "error"},
		{"fatal", "emerg"},
		{"panic", "emerg"},
		{"critical", "critical"},
		{"trace", "debug"},
		{"notice", "notice"},
		{"alert", "alert"},
		{"0", "emerg"},
		{"3", "error"},
		{"7", "debug"},
		{"8", ""},
		{"10", "debug"},
		{"20", "debug"},
		{"30", "info"},
		{"35", "info"},
		{"40", "warning"},
		{"50", "error"},
		{"60", "emerg"},
		{"61", ""},
		{"030", ""},
		{"-1", ""},
		{"", ""},
		{"finished", ""},
		{"information", "info"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		assert_string_equal(datadog_status_of_level(span_text(levels[i][0])), levels[i][1]);
}

static void a_message_of_json_says_its_own(void **state)
{
	static const char *const messages[][2] = {
		{"{\"level\":\"error\",\"msg\":\"x\"}", "error"},
		{" { \"level\" : 50 } ", "error"},
		{"{\"level\":\"40\"}", "warning"},
		{"{\"severity\":\"CRITICAL\"}", "critical"},
		{"{\"status\":\"warn\"}", "warning"},
		{"{\"status\":\"warn\",\"severity\":\"info\",\"level\":\"debug\"}", "debug"},
		{"{\"status\":\"warn\",\"level\":\"unheard of\"}", "warning"},
		{"{\"status\":500}", ""},
		{"{\"status\":\"5\"}", ""},
		{"{\"status\":\"finished\"}", ""},
		{"{\"level\":1e3}", ""},
		{"{\"level\":{\"level\":\"error\"}}", ""},
		{"{\"http\":{\"level\":\"error\"}}", ""},
		{"{\"level\":\"error\"", ""},
		{"{\"level\":\"error\"} and more", ""},
		{"[{\"level\":\"error\"}]", ""},
		{"level=error", ""},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(messages); i++)
		assert_string_equal(datadog_status_of_message(span_text(messages[i][0])),
				    messages[i][1]);
}

static void its_own_word_is_before_the_severity_and_that_before_flys_level(void **state)
{
	(void)state;
	make_restart();
	(void)write_line();
	assert_span(member("status"), SPAN("warning"));
	record->message = SPAN("{\"level\":50}");
	(void)write_line();
	assert_span(member("status"), SPAN("error"));
	record->message = SPAN("hello");
	record->finding.severity = SEVERITY_UNKNOWN;
	(void)write_line();
	assert_span(member("status"), SPAN("info"));
	record->level = SPAN("unheard of");
	(void)write_line();
	assert_null(json_member(json, "status"));
}

static void each_severity_is_a_status(void **state)
{
	static const char *const statuses[] = {"",      "info",     "notice", "warning",
					       "error", "critical", "emerg"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(statuses); i++)
		assert_string_equal(datadog_status_of_severity((enum severity)i), statuses[i]);
}

/* --- the cut --- */

static bool is_cut(void)
{
	const struct json *mark = json_member(json, "flytrail");

	return mark && json_bool(json_member(mark, "cut"));
}

/* A message of so many times the piece, without its mark, is times-pieces long. */
static void write_repeated(struct span piece, size_t times)
{
	REQUIRE(piece.len * times <= RECORD_TEXT_BYTES_MAX);
	for (size_t i = 0; i < times; i++)
		memcpy(long_text + i * piece.len, piece.data, piece.len);
	make_line(span_of(long_text, piece.len * times));
	(void)write_line();
}

static void a_log_that_is_too_long_is_cut_after_a_whole_character(void **state)
{
	static const struct span pieces[] = {{"a", 1},
					     {"\"", 1},
					     {"\\", 1},
					     {"\x01", 1},
					     {"\xc3\xa9", 2},
					     {"\xe2\x82\xac", 3},
					     {"\xf0\x9f\x98\x80", 4},
					     {"\n", 1},
					     {"\xff", 1}};
	const size_t mark = strlen(CUT_MARK);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct span piece = span_is(pieces[i], "\xff") ? SPAN("\xef\xbf\xbd") : pieces[i];
		struct span message;

		write_repeated(pieces[i], RECORD_TEXT_BYTES_MAX / pieces[i].len);
		message = member("message");
		assert_true(is_cut());
		assert_true(out.len > DATADOG_LOG_BYTES_MAX - 6); /* the longest escape */
		assert_span(span_after(message, message.len - mark), SPAN(CUT_MARK));
		assert_int_equal((message.len - mark) % piece.len, 0);
		for (size_t at = 0; at < message.len - mark; at += piece.len)
			assert_memory_equal(message.data + at, piece.data, piece.len);
	}
}

static void a_log_of_just_the_length_is_whole(void **state)
{
	size_t rest;

	(void)state;
	write_repeated(SPAN("a"), 1);
	rest = DATADOG_LOG_BYTES_MAX - out.len;
	write_repeated(SPAN("a"), 1 + rest);
	assert_int_equal(out.len, DATADOG_LOG_BYTES_MAX);
	assert_false(is_cut());
	write_repeated(SPAN("a"), 1 + rest + 1);
	assert_true(is_cut());
	assert_true(out.len <= DATADOG_LOG_BYTES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_line_has_datadogs_names_and_the_old_ones),
		TEST(a_classified_line_has_the_events_fields_too),
		TEST(an_event_without_a_message_has_its_summary_and_no_empty_field),
		TEST(a_line_of_nothing_but_a_message_is_a_log),
		TEST(a_tag_holds_no_comma_and_is_no_longer_than_datadog_takes),
		TEST(what_is_no_payload_is_corrupt),
		TEST(levels_are_datadogs_statuses),
		TEST(a_message_of_json_says_its_own),
		TEST(its_own_word_is_before_the_severity_and_that_before_flys_level),
		TEST(each_severity_is_a_status),
		TEST(a_log_that_is_too_long_is_cut_after_a_whole_character),
		TEST(a_log_of_just_the_length_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
