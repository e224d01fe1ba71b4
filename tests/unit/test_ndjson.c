/* A line as NDJSON is one JSON object in one line, with the columns' names and nothing lost. */

#include "model/ndjson.h"

#include "base/json.h"
#include "fault.h"
#include "names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { OUT_BYTES_MAX = 64 * 1024 };

static const char *const columns[] = {
	"id",     "occurred_at", "observed_at", "source",   "org",   "app",
	"region", "machine_id",  "host",        "provider", "level", "class",
	"action", "message",     "attributes",  "trust",    "rule",
};

static void fill(struct record *r)
{
	*r = (struct record){
		.occurred_ns = INT64_C(1664310879660159411),
		.observed_ns = INT64_C(1664310879000000000),
		.source = SOURCE_FILE,
		.app = SPAN("web-1"),
		.machine_id = SPAN("0e286551c30586"),
		.provider = SPAN("runner"),
		.message = SPAN("a \"quoted\"\nline\x1b[0m"),
		.class = CLASS_restart,
		.action = ACTION_restart_suppressed,
		.finding = {.rule = "runner.x", .trust = TRUST_PLATFORM},
	};
	assert_true(id_parse(SPAN("4718f5dc-5f98-830a-888b-c53ebf1e1bf5"), &r->id));
	record_attr_number(r, SPAN("exit_code"), 137);
	record_attr_json(r, SPAN("seconds"), SPAN("1.5"));
}

/* One line of text, and one object in it. */
static struct json *read_back(struct buf *out)
{
	struct json *root;
	struct err err;

	assert_int_equal(buf_check(out, &err), ERR_NONE);
	assert_int_equal(out->data[out->len - 1], '\n');
	assert_ptr_equal(memchr(out->data, '\n', out->len), out->data + out->len - 1);
	assert_int_equal(json_parse(&root, span_of(out->data, out->len - 1), &err), ERR_NONE);
	buf_release(out);
	return root;
}

static struct json *written(const struct record *r, enum ndjson_finding finding)
{
	struct buf out;

	buf_init(&out, OUT_BYTES_MAX);
	ndjson_write(r, finding, &out);
	return read_back(&out);
}

static struct json *written_event(const struct event *e)
{
	struct buf out;

	buf_init(&out, OUT_BYTES_MAX);
	ndjson_write_event(e, &out);
	return read_back(&out);
}

static void assert_member(const struct json *root, const char *key, const char *text)
{
	const struct json *v = json_member(root, key);

	assert_non_null(v);
	if (text == NULL)
		assert_int_equal(json_type(v), JSON_NULL);
	else
		assert_true(span_is(json_text(v), text));
}

static void the_keys_are_the_columns_in_order(void **state)
{
	struct record *r = malloc(sizeof(*r));
	const struct json *v;
	struct json *root;
	size_t i = 0;

	(void)state;
	assert_non_null(r);
	fill(r);
	root = written(r, NDJSON_WITH_FINDING);
	for (v = json_first(root); v; v = json_next(v))
		assert_true(i < ARRAY_LEN(columns) && span_is(json_key(v), columns[i++]));
	assert_int_equal(i, ARRAY_LEN(columns));
	json_free(root);
	root = written(r, NDJSON_LINE);
	assert_null(json_member(root, "trust"));
	assert_null(json_member(root, "rule"));
	json_free(root);
	free(r);
}

static void what_a_record_has_is_there_and_the_rest_is_null(void **state)
{
	struct record *r = malloc(sizeof(*r));
	struct json *root;

	(void)state;
	assert_non_null(r);
	fill(r);
	root = written(r, NDJSON_WITH_FINDING);
	assert_member(root, "id", "4718f5dc-5f98-830a-888b-c53ebf1e1bf5");
	assert_member(root, "occurred_at", "2022-09-27T20:34:39.660159411Z");
	assert_member(root, "observed_at", "2022-09-27T20:34:39.000000000Z");
	assert_member(root, "source", "file");
	assert_member(root, "org", NULL);
	assert_member(root, "region", NULL);
	assert_member(root, "class", "restart");
	assert_member(root, "action", "restart.suppressed");
	assert_member(root, "message", "a \"quoted\"\nline\x1b[0m");
	assert_member(root, "trust", "platform");
	assert_member(root, "rule", "runner.x");
	assert_true(json_number(json_member(json_member(root, "attributes"), "exit_code")) > 136);
	assert_true(json_number(json_member(json_member(root, "attributes"), "seconds")) > 1);
	json_free(root);
	free(r);
}

static void an_applications_line_has_neither_action_nor_rule(void **state)
{
	struct record *r = malloc(sizeof(*r));
	struct json *root;

	(void)state;
	assert_non_null(r);
	*r = (struct record){.source = SOURCE_FILE};
	root = written(r, NDJSON_WITH_FINDING);
	assert_member(root, "class", "app_log");
	assert_member(root, "action", NULL);
	assert_member(root, "trust", NULL);
	assert_member(root, "rule", NULL);
	assert_member(root, "attributes", NULL);
	assert_member(root, "message", "");
	json_free(root);
	free(r);
}

static void a_record_read_back_from_the_spool_is_written_the_same(void **state)
{
	struct record *r = malloc(2 * sizeof(*r));
	struct buf payload, a, b;
	struct err err;

	(void)state;
	assert_non_null(r);
	fill(r);
	buf_init(&payload, OUT_BYTES_MAX);
	buf_init(&a, OUT_BYTES_MAX);
	buf_init(&b, OUT_BYTES_MAX);
	record_encode(r, &payload);
	assert_int_equal(buf_check(&payload, &err), ERR_NONE);
	assert_int_equal(record_decode(span_of(payload.data, payload.len), &r[1], &err), ERR_NONE);
	ndjson_write(r, NDJSON_WITH_FINDING, &a);
	ndjson_write(&r[1], NDJSON_WITH_FINDING, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	buf_release(&payload);
	buf_release(&a);
	buf_release(&b);
	free(r);
}

static void an_events_keys_are_its_columns_in_order(void **state)
{
	static const char *const keys[] = {
		"event_id",     "retention_class", "class",          "action", "occurred_at",
		"not_after",    "time_basis",      "observed_at",    "org",    "app",
		"region",       "machine_id",      "correlation_id", "actor",  "actor_type",
		"actor_reason", "target_type",     "target",         "origin", "outcome",
		"severity",     "trust",           "source",         "rule",   "summary",
		"message",      "attributes",
	};
	const struct event e = {
		.class = CLASS_secret_change,
		.action = ACTION_secret_change_set,
		.occurred_ns = INT64_C(1664310879660159411),
		.not_after_ns = INT64_C(1664310880000000000),
		.time_basis = TIME_INTERVAL,
		.app = SPAN("web-1"),
		.target = SPAN("DATABASE_URL"),
		.severity = SEVERITY_MEDIUM,
		.trust = TRUST_API,
		.source = SOURCE_WATCH,
		.summary = SPAN("a \"secret\"\nwas set"),
		.attributes = SPAN("{\"interval_seconds\":300}"),
	};
	struct json *root = written_event(&e);
	const struct json *v;
	size_t i = 0;

	(void)state;
	for (v = json_first(root); v; v = json_next(v))
		assert_true(i < ARRAY_LEN(keys) && span_is(json_key(v), keys[i++]));
	assert_int_equal(i, ARRAY_LEN(keys));
	assert_member(root, "retention_class", "security");
	assert_member(root, "action", "secret_change.set");
	assert_member(root, "occurred_at", "2022-09-27T20:34:39.660159411Z");
	assert_member(root, "not_after", "2022-09-27T20:34:40.000000000Z");
	assert_member(root, "time_basis", "interval");
	assert_member(root, "summary", "a \"secret\"\nwas set");
	assert_member(root, "target", "DATABASE_URL");
	assert_member(root, "org", NULL);
	assert_true(json_number(json_member(root, "severity")) > 2);
	assert_true(json_number(json_member(json_member(root, "attributes"), "interval_seconds")) >
		    299);
	json_free(root);
}

/* As its row has it: unknown, and why. */
static void what_an_event_does_not_know_is_said(void **state)
{
	const struct event e = {
		.class = CLASS_exit, .action = ACTION_exit_crashed, .not_after_ns = EVENT_NO_TIME};
	struct json *root = written_event(&e);

	(void)state;
	assert_member(root, "retention_class", "operations");
	assert_member(root, "actor", "unknown");
	assert_member(root, "actor_reason", "nothing names who did it");
	assert_member(root, "outcome", "unknown");
	assert_member(root, "not_after", NULL);
	assert_member(root, "attributes", NULL);
	json_free(root);
}

static void raw_bytes_are_in_base64(void **state)
{
	static const struct {
		const char *raw, *text;
	} cases[] = {{"", ""},
		     {"f", "Zg=="},
		     {"fo", "Zm8="},
		     {"foo", "Zm9v"},
		     {"\xff\xfe\xfd\xfc", "//79/A=="}};
	struct record *r = malloc(sizeof(*r));

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct json *root;

		fill(r);
		r->raw = span_text(cases[i].raw);
		root = written(r, NDJSON_LINE);
		assert_member(root, "raw", cases[i].text);
		json_free(root);
	}
	free(r);
}

/* {"id":OWN,"app":"web-1", ...} of the line that model/id.h's vector is of. */
#define OWN "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"
#define REST                                                   \
	"\"app\":\"web-1\",\"machine_id\":\"0e286551c30586\"," \
	"\"message\":\"machine exited with exit code 0, not restarting\""
#define TIME "\"occurred_at\":\"2022-09-27T20:34:39.660159411Z\""

static void an_id_is_its_own_or_beyond_its_row(void **state)
{
	static const char *const good[] = {
		"{\"id\":\"" OWN "\"," TIME "," REST ",\"level\":\"any\"}",
		"{\"event_id\":\"" OWN "\"," TIME "," REST ",\"attributes\":{\"a\":[{\"id\":1}]}}",
		"{\"id\":\"" OWN "\"," TIME ",\"app\":\"we\\u0062-1\","
		"\"machine_id\":\"0e286551c30586\",\"message\":"
		"\"machine exited with exit code 0, \\u006eot restarting\"}",
		/* Stored under another time, as it says. */
		"{\"id\":\"" OWN "\",\"occurred_at\":\"2026-01-01T00:00:00.000000000Z\"," REST
		",\"attributes\":{\"claimed_time\":\"2022-09-27T22:34:39.660159411+02:00\","
		"\"time\":\"out_of_range\"}}",
		/* Made from more. */
		"{\"id\":\"4718f5dc-5f98-830a-a88b-c53ebf1e1bf5\"}",
		"{\"event_id\":\"4718f5dc-5f98-830a-b88b-c53ebf1e1bf5\"}",
	};
	static const char *const bad[] = {
		"",
		"[]",
		"{",
		"{\"id\":\"" OWN "\"," TIME "," REST,
		"{\"id\":\"" OWN "\"," TIME "," REST "} {}",
		"{" TIME "," REST "}",
		"{\"id\":5," TIME "," REST "}",
		"{\"id\":\"" OWN "\"," REST "}",
		"{\"id\":\"" OWN "\",\"occurred_at\":\"2022-09-27T20:34:39.660159412Z\"," REST "}",
		"{\"id\":\"4718f5dc-5f98-830a-888b-c53ebf1e1bf4\"," TIME "," REST "}",
		"{\"id\":\"4718f5dc-5f98-830a-988b-c53ebf1e1bf5\"," TIME "," REST "}",
		"{\"id\":\"" OWN "\"," TIME ",\"app\":\"web-2\",\"machine_id\":\"0e286551c30586\","
		"\"message\":\"machine exited with exit code 0, not restarting\"}",
		"{\"id\":\"" OWN "\"," TIME ",\"app\":\"web-1\",\"machine_id\":null,"
		"\"message\":\"machine exited with exit code 0, not restarting\"}",
		"{\"id\":\"" OWN "\"," TIME ",\"app\":\"web-1\","
		"\"machine_id\":\"0e286551c30586\",\"message\":\"another\"}",
		"{\"id\":\"" OWN "\"," TIME ",\"app\":\"web-1\"}",
		/* One of two counts in Postgres. */
		"{\"id\":\"" OWN "\",\"message\":\"another\"," TIME "," REST "}",
		"{\"id\":\"" OWN "\"," TIME "," REST ",\"message\":\"another\"}",
		"{\"id\":\"" OWN "\"," TIME "," REST ",\"m\\u0065ssage\":\"another\"}",
		/* A time counts that was refused for its range, and no other. */
		"{\"id\":\"" OWN "\",\"occurred_at\":\"2026-01-01T00:00:00.000000000Z\"," REST
		",\"attributes\":{\"claimed_time\":\"2022-09-27T20:34:39.660159411Z\"}}",
		"{\"id\":\"" OWN "\"," TIME "," REST
		",\"attributes\":{\"claimed_time\":\"x\",\"time\":\"out_of_range\"}}",
	};
	struct hasher *hasher;
	struct err err;

	(void)state;
	assert_int_equal(hasher_new(&hasher, &err), ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (ndjson_check_id(hasher, span_text(good[i]), &err))
			fail_msg("%s: %s", err.text, good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (ndjson_check_id(hasher, span_text(bad[i]), &err) != ERR_REJECT)
			fail_msg("taken: %s", bad[i]);
	hasher_free(hasher);
}

static void check_under_faults(void *arg)
{
	static const char line[] = "{\"id\":\"" OWN "\"," TIME ",\"app\":\"we\\u0062-1\","
				   "\"machine_id\":\"0e286551c3058\\u0036\",\"message\":"
				   "\"machine exited with exit code 0, \\u006eot restarting\"}";
	struct err err = {.kind = ERR_NONE};
	enum err_kind rc = ndjson_check_id(arg, span_text(line), &err);

	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
	assert_int_equal(err.kind, rc);
}

static void without_memory_no_id_is_called_anothers(void **state)
{
	struct hasher *hasher;
	struct err err;

	(void)state;
	assert_int_equal(hasher_new(&hasher, &err), ERR_NONE);
	fault_everywhere(check_under_faults, hasher);
	hasher_free(hasher);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_keys_are_the_columns_in_order),
		cmocka_unit_test(what_a_record_has_is_there_and_the_rest_is_null),
		cmocka_unit_test(an_applications_line_has_neither_action_nor_rule),
		cmocka_unit_test(a_record_read_back_from_the_spool_is_written_the_same),
		cmocka_unit_test(an_events_keys_are_its_columns_in_order),
		cmocka_unit_test(what_an_event_does_not_know_is_said),
		cmocka_unit_test(raw_bytes_are_in_base64),
		cmocka_unit_test(an_id_is_its_own_or_beyond_its_row),
		cmocka_unit_test(without_memory_no_id_is_called_anothers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
