/* A raw line becomes the same record, with the same id, on whichever way it came. */

#include "stage/stages.h"

#include "base/json.h"
#include "base/time.h"
#include "model/ndjson.h"
#include "stage/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
	struct stages *stages;
	struct batch *batch;
	struct record record;
};

static const char nats_line[] = "{\"event\":{\"provider\":\"runner\"},\"fly\":{\"app\":{"
				"\"instance\":\"0e286551c30586\",\"name\":"
				"\"web-1\"},\"region\":\"sjc\"},\"host\":\"0ad1\",\"log\":{"
				"\"level\":\"info\"},\"message\":\"machine "
				"exited with exit code 0, not "
				"restarting\",\"timestamp\":\"2022-09-27T20:34:39.660159411Z\"}";

static struct fixture *open_fixture_of(const char *own_app, const char *store_app)
{
	struct stages_options options = {.own_app = span_text(own_app),
					 .store_app = span_text(store_app)};
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	assert_non_null(f);
	assert_int_equal(stages_new(&f->stages, &options, &err), ERR_NONE);
	assert_int_equal(batch_new(&f->batch, &err), ERR_NONE);
	return f;
}

static struct fixture *open_fixture(const char *own_app)
{
	return open_fixture_of(own_app, "");
}

static void close_fixture(struct fixture *f)
{
	stages_free(f->stages);
	batch_free(f->batch);
	free(f);
}

static void take_of_file(struct fixture *f, uint64_t file, uint64_t ordinal, int64_t written_ns,
			 int64_t received_ns)
{
	struct err err;
	struct raw *raw;

	batch_reset(f->batch);
	f->batch->source = SOURCE_FILE;
	raw = batch_add(f->batch, SPAN(""), SPAN("plain text"));
	assert_non_null(raw);
	raw->form = RAW_FLY_TEXT;
	raw->ordinal = ordinal;
	raw->file = (struct file_stamp){.number = file, .written_ns = written_ns};
	raw->received_ns = received_ns;
	stages_begin_batch(f->stages);
	assert_int_equal(stages_take(f->stages, f->batch, raw, &f->record, &err), ERR_NONE);
}

static void take(struct fixture *f, struct span line)
{
	struct err err;
	struct raw *raw;

	batch_reset(f->batch);
	raw = batch_add(f->batch, SPAN(""), line);
	assert_non_null(raw);
	raw->form = RAW_NATS_JSON;
	raw->ordinal = 1;
	raw->received_ns = time_now_ns();
	stages_begin_batch(f->stages);
	assert_int_equal(stages_take(f->stages, f->batch, raw, &f->record, &err), ERR_NONE);
}

static void the_designs_test_vector_has_its_id(void **state)
{
	struct fixture *f = open_fixture("");
	char text[ID_TEXT_BYTES];

	(void)state;
	take(f, span_text(nats_line));
	/* A line so old is stored under its time of arrival, but its id is made of its own. */
	assert_string_equal(id_format(&f->record.id, text), "4718f5dc-5f98-830a-888b-c53ebf1e1bf5");
	assert_int_equal(f->record.class, CLASS_restart);
	assert_int_equal(f->record.finding.trust, TRUST_PLATFORM);
	assert_false(stages_redacted(f->stages));
	close_fixture(f);
}

static void fields_beside_the_message_are_not_in_the_id(void **state)
{
	struct fixture *f = open_fixture("");
	char line[4096], text[ID_TEXT_BYTES];
	size_t len = sizeof(nats_line) - 2; /* without its last brace */

	(void)state;
	memcpy(line, nats_line, len);
	memcpy(line + len, ",\"url\":\"", 8);
	memset(line + len + 8, 'u', 2000); /* longer than a field: raw has the whole line */
	memcpy(line + len + 2008, "\"}", 2);
	take(f, span_of(line, len + 2010));
	assert_non_null(f->record.raw.data);
	assert_true(f->record.raw_is_line);
	assert_string_equal(id_format(&f->record.id, text), "4718f5dc-5f98-830a-888b-c53ebf1e1bf5");
	close_fixture(f);
}

/* Takes a line of web-1. */
static void take_line(struct fixture *f, const char *provider, const char *message)
{
	char line[1024];

	(void)snprintf(line, sizeof(line),
		       "{\"event\":{\"provider\":\"%s\"},\"fly\":{\"app\":{\"instance\":"
		       "\"0e286551c30586\",\"name\":\"web-1\"},\"region\":\"ams\"},\"host\":"
		       "\"0ad1\",\"log\":{\"level\":\"info\"},\"message\":\"%s\","
		       "\"timestamp\":\"2026-01-01T00:00:00.5Z\"}",
		       provider, message);
	take(f, span_text(line));
}

static const char session_line[] =
	"2026/03/07 15:20:03 INFO New SSH session email=user1@example.com verified=true";
static const char exit_line[] = "machine exited with exit code 0, not restarting";

static void what_flytrail_prints_is_never_an_event(void **state)
{
	static const char *const printed[] = {
		"machine exited with exit code 0, not restarting",
		" INFO Main child exited normally with code: 0",
		("{\\\"error\\\":\\\"2026/03/07 15:20:03 INFO New SSH session "
		 "email=user1@example.com verified=true\\\"}"),
	};
	struct fixture *f = open_fixture("web-1");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(printed); i++) {
		take_line(f, "app", printed[i]);
		assert_int_equal(f->record.class, CLASS_app_log);
		assert_int_equal(f->record.action, ACTION_none);
		assert_int_equal(f->record.finding.severity, SEVERITY_UNKNOWN);
	}
	close_fixture(f);
}

static void what_is_done_to_flytrails_own_machines_is_severest(void **state)
{
	struct fixture *f = open_fixture("web-1");

	(void)state;
	take_line(f, "app", session_line);
	assert_int_equal(f->record.action, ACTION_ssh_session_opened);
	assert_int_equal(f->record.finding.severity, SEVERITY_FATAL);
	take_line(f, "runner", exit_line);
	assert_int_equal(f->record.action, ACTION_restart_suppressed);
	assert_int_equal(f->record.finding.severity, SEVERITY_FATAL);
	take_line(f, "runner", "Configuring firecracker");
	assert_int_equal(f->record.finding.severity,
			 action_severity(f->record.action)); /* how each of its starts goes */
	close_fixture(f);
}

static void so_is_what_is_done_to_its_postgres_and_nobody_elses(void **state)
{
	struct fixture *f = open_fixture_of("flytrail", "web-1");

	(void)state;
	take_line(f, "app", session_line);
	assert_int_equal(f->record.finding.severity, SEVERITY_FATAL);
	take_line(f, "runner", exit_line);
	assert_int_equal(f->record.finding.severity, SEVERITY_FATAL);
	close_fixture(f);
	f = open_fixture_of("flytrail", "trail-db");
	take_line(f, "app", session_line);
	assert_int_equal(f->record.finding.severity, SEVERITY_MEDIUM);
	close_fixture(f);
}

static void a_secret_is_gone_before_the_id_is_made(void **state)
{
	struct fixture *f = open_fixture("");
	struct id first;

	(void)state;
	take(f, SPAN("{\"message\":\"postgres://u:hunter2@db/"
		     "x\",\"timestamp\":\"2026-01-01T00:00:00.5Z\"}"));
	assert_true(stages_redacted(f->stages));
	assert_null(memmem(f->record.message.data, f->record.message.len, "hunter2", 7));
	first = f->record.id;
	take(f, SPAN("{\"message\":\"postgres://u:hunter3@db/"
		     "x\",\"timestamp\":\"2026-01-01T00:00:00.5Z\"}"));
	assert_int_equal(id_compare(&first, &f->record.id), 0);
	close_fixture(f);
}

static void lines_whose_raw_was_redacted_stay_apart(void **state)
{
	struct fixture *f = open_fixture("");
	struct id first;

	(void)state;
	take(f, SPAN("{\"message\":\"a \xff "
		     "token=hunter2\",\"timestamp\":\"2026-01-01T00:00:00.5Z\"}"));
	assert_true(span_is(f->record.raw, "[REDACTED:token]"));
	first = f->record.id;
	take(f, SPAN("{\"message\":\"b \xff "
		     "token=hunter2\",\"timestamp\":\"2026-01-01T00:00:00.5Z\"}"));
	assert_true(span_is(f->record.raw, "[REDACTED:token]"));
	assert_int_not_equal(id_compare(&first, &f->record.id), 0);
	close_fixture(f);
}

static void a_long_message_is_cut_and_its_whole_told(void **state)
{
	static const char head[] = "{\"message\":\"";
	static const char tail[] = "\",\"timestamp\":\"2026-01-01T00:00:00.123456789Z\"}";
	const size_t message = RECORD_TEXT_BYTES_MAX + 1000;
	size_t len = sizeof(head) - 1 + message + sizeof(tail) - 1;
	struct fixture *f = open_fixture("");
	char *line = malloc(len);
	struct id first;

	(void)state;
	assert_non_null(line);
	memcpy(line, head, sizeof(head) - 1);
	memset(line + sizeof(head) - 1, 'a', message);
	memcpy(line + sizeof(head) - 1 + message, tail, sizeof(tail) - 1);
	take(f, span_of(line, len));
	assert_int_equal(f->record.message.len, RECORD_TEXT_BYTES_MAX);
	assert_true(span_is(f->record.attrs[f->record.attr_count - 2].key, "message_bytes"));
	assert_int_equal(f->record.attrs[f->record.attr_count - 2].number, message);
	assert_int_equal(f->record.attrs[f->record.attr_count - 1].text.len, 2 * HASH_BYTES);
	assert_true(id_is_beyond_row(&f->record.id));
	first = f->record.id;
	line[sizeof(head) - 1 + message - 1] = 'b';
	take(f, span_of(line, len));
	assert_int_not_equal(id_compare(&first, &f->record.id), 0);
	free(line);
	close_fixture(f);
}

static const struct attr *attr_of(const struct record *r, const char *key)
{
	for (size_t i = 0; i < r->attr_count; i++) {
		if (span_is(r->attrs[i].key, key))
			return &r->attrs[i];
	}
	fail_msg("no attribute %s", key);
	return NULL;
}

static void what_a_rule_finds_wins_over_a_field_of_the_lines_own(void **state)
{
	static const char line[] =
		"{\"event\":{\"provider\":\"runner\"},\"exit_code\":\"99\",\"line.exit_code\":"
		"\"98\","
		"\"message\":\"machine exited with exit code 0, not restarting\"}";
	struct fixture *f = open_fixture("");

	(void)state;
	take(f, span_text(line));
	assert_int_equal(f->record.class, CLASS_restart);
	assert_int_equal(attr_of(&f->record, "exit_code")->type, ATTR_NUMBER);
	assert_int_equal(attr_of(&f->record, "exit_code")->number, 0);
	assert_true(span_is(attr_of(&f->record, "line.line.exit_code")->text, "99"));
	assert_true(span_is(attr_of(&f->record, "line.exit_code")->text, "98"));
	close_fixture(f);
}

/* json_parse() refuses a key that stands twice. */
static void assert_attributes_are_json(const struct record *r)
{
	struct json *root = NULL;
	struct err err;
	struct buf b;

	if (r->attr_count == 0)
		return;
	buf_init(&b, 1024 * 1024);
	record_write_attributes(r, &b);
	assert_int_equal(buf_check(&b, &err), ERR_NONE);
	if (json_parse(&root, span_of(b.data, b.len), &err) != ERR_NONE)
		fail_msg("%s: %.*s", err.text, (int)b.len, (const char *)b.data);
	json_free(root);
	buf_release(&b);
}

/* Every name that a rule's field, a stage or a secret's marker may give an attribute. */
static const char *random_key(char *room, size_t size)
{
	static const char *const marks[] = {
		"undecoded",      "time",          "claimed_time", "fields_in_raw",
		"wrong_type",     "redacted",      "raw_bytes",    "message_bytes",
		"exit_code",      "error_code",    "digest",       "machine_version",
		"uptime_seconds", "error.message", "k\\u0000",     "k\\ud800",
	};
	const struct rule *rule = &rules[(size_t)rand() % rules_count];
	const char *colon = strchr(rule->pattern, ':');

	if (rand() % 4 == 0)
		(void)snprintf(room, size, "postgres://u:hunter%d@db/x", rand() % 9);
	else if (rand() % 2 && colon && colon[1] >= 'a' && colon[1] <= 'z')
		(void)snprintf(room, size, "%.*s",
			       (int)strspn(colon + 1, "abcdefghijklmnopqrstuvwxyz_"), colon + 1);
	else
		(void)snprintf(room, size, "%s", marks[(size_t)rand() % ARRAY_LEN(marks)]);
	return room;
}

static void put_random_line(struct buf *b)
{
	static const char *const providers[] = {"app", "runner", "proxy", "health"};
	const struct rule *rule = &rules[(size_t)rand() % rules_count];

	buf_fmt(b, "{\"event\":{\"provider\":\"%s\"}", providers[rand() % 4]);
	for (int n = rand() % 8; n > 0; n--) {
		char key[128];

		buf_fmt(b, ",\"%s%s\":\"%d\"", rand() % 3 ? "" : "line.",
			random_key(key, sizeof(key)), n);
	}
	buf_str(b, ",");
	json_write_text(b, SPAN("message"));
	buf_str(b, ":");
	json_write_text(b, span_text(rule->match[0]));
	buf_str(b, "}");
}

static void no_record_writes_a_key_twice(void **state)
{
	struct fixture *f = open_fixture("");

	(void)state;
	srand(11);
	for (int i = 0; i < 20000; i++) {
		struct err err;
		struct buf b;

		buf_init(&b, 64 * 1024);
		put_random_line(&b);
		assert_int_equal(buf_check(&b, &err), ERR_NONE);
		take(f, span_of(b.data, b.len));
		assert_attributes_are_json(&f->record);
		buf_release(&b);
	}
	close_fixture(f);
}

static void a_line_of_a_file_has_the_id_of_its_place_in_it(void **state)
{
	static const struct {
		uint64_t file, ordinal;
		int64_t written_ns, received_ns;
		bool same;
	} others[] = {
		{7, 1, 1000 * NS_PER_S, 3000 * NS_PER_S, true},
		{8, 1, 1000 * NS_PER_S, 2000 * NS_PER_S, false},
		{7, 2, 1000 * NS_PER_S, 2000 * NS_PER_S, false},
		{7, 1, 1001 * NS_PER_S, 2000 * NS_PER_S, false},
		{0, 1, 1000 * NS_PER_S, 2000 * NS_PER_S, false},
	};
	struct fixture *f = open_fixture("");
	struct id first;
	int64_t occurred_ns;

	(void)state;
	take_of_file(f, 7, 1, 1000 * NS_PER_S, 2000 * NS_PER_S);
	first = f->record.id;
	occurred_ns = f->record.occurred_ns;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		take_of_file(f, others[i].file, others[i].ordinal, others[i].written_ns,
			     others[i].received_ns);
		assert_int_equal(id_compare(&first, &f->record.id) == 0, others[i].same);
		if (others[i].same)
			assert_true(f->record.occurred_ns == occurred_ns);
		assert_true(f->record.observed_ns == others[i].received_ns);
	}
	close_fixture(f);
}

/* Of the record as an archive has it, and of its event. */
static void assert_id_is_checked(const struct record *r, bool is_beyond_row)
{
	struct hasher *hasher;
	struct event event;
	struct err err;
	struct buf b;

	assert_int_equal(id_is_beyond_row(&r->id), is_beyond_row);
	assert_int_equal(hasher_new(&hasher, &err), ERR_NONE);
	buf_init(&b, 8 * RECORD_PAYLOAD_BYTES_MAX);
	ndjson_write(r, NDJSON_LINE, &b);
	assert_int_equal(buf_check(&b, &err), ERR_NONE);
	if (ndjson_check_id(hasher, span_of(b.data, b.len - 1), &err))
		fail_msg("%s: %.*s", err.text, (int)b.len, (const char *)b.data);
	buf_reset(&b);
	if (r->class != CLASS_app_log) {
		struct buf attributes;

		buf_init(&attributes, RECORD_PAYLOAD_BYTES_MAX);
		record_write_attributes(r, &attributes);
		event_from_record(r, &event);
		event.attributes = span_of(attributes.data, attributes.len);
		ndjson_write_event(&event, &b);
		assert_int_equal(buf_check(&b, &err), ERR_NONE);
		assert_int_equal(ndjson_check_id(hasher, span_of(b.data, b.len - 1), &err),
				 ERR_NONE);
		buf_release(&attributes);
	}
	buf_release(&b);
	hasher_free(hasher);
}

static void a_row_says_whether_its_id_can_be_made_again(void **state)
{
	static const char exit[] = "machine exited with exit code 0, not restarting";
	static const struct {
		const char *message, *time;
		bool is_beyond_row;
	} cases[] = {
		{exit, "2026-01-01T00:00:00.123456789Z", false},
		{exit, "2026-01-01T00:00:00.123456789987+02:00", false},
		{"a \\\"b\\\" \\n \\u00e9 \xc3\xa9", "2026-01-01T00:00:00Z", false},
		{"", "2026-01-01T00:00:00.5Z", false},
		{"token=hunter2", "2026-01-01T00:00:00.5Z", false},
		{"a \xff token=hunter2", "2026-01-01T00:00:00.5Z", false}, /* raw says less */
		{exit, "2022-09-27T20:34:39.660159411Z", false},           /* not taken, but kept */
		{exit, "2022-09-27T20:34:39.660159411+02:00", false},
		{exit, "2222-09-27T20:34:39Z", false},
		{exit, "2322-09-27T20:34:39Z", true}, /* unreadable */
		{exit, "yesterday", true},
		{exit, "2026-01-01 00:00:00", true},
		{"a \xff", "2026-01-01T00:00:00.5Z", true}, /* the bytes are in raw alone */
		{"a \\u0000", "2026-01-01T00:00:00.5Z", true},
	};
	struct fixture *f = open_fixture("");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char line[1024];

		(void)snprintf(line, sizeof(line),
			       "{\"event\":{\"provider\":\"runner\"},\"fly\":{\"app\":{"
			       "\"instance\":\"0e286551c30586\",\"name\":\"web-1\"}},"
			       "\"message\":\"%s\",\"timestamp\":\"%s\"}",
			       cases[i].message, cases[i].time);
		take(f, span_text(line));
		assert_id_is_checked(&f->record, cases[i].is_beyond_row);
	}
	take(f, SPAN("no JSON"));
	assert_id_is_checked(&f->record, true);
	take_of_file(f, 7, 1, 1000 * NS_PER_S, 2000 * NS_PER_S);
	assert_id_is_checked(&f->record, true);
	close_fixture(f);
}

/* A text of a time so long that an attribute does not hold it. */
static void a_time_that_is_not_all_kept_is_beyond_the_row(void **state)
{
	struct fixture *f = open_fixture("");
	struct buf line;

	(void)state;
	buf_init(&line, 64 * 1024);
	buf_str(&line, "{\"message\":\"m\",\"timestamp\":\"2022-09-27T20:34:39.");
	for (size_t i = 0; i < 2 * RECORD_FIELD_BYTES_MAX; i++)
		buf_u8(&line, '1');
	buf_str(&line, "+02:00\"}");
	take(f, span_of(line.data, line.len));
	assert_id_is_checked(&f->record, true);
	buf_release(&line);
	close_fixture(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_designs_test_vector_has_its_id),
		cmocka_unit_test(fields_beside_the_message_are_not_in_the_id),
		cmocka_unit_test(what_flytrail_prints_is_never_an_event),
		cmocka_unit_test(what_is_done_to_flytrails_own_machines_is_severest),
		cmocka_unit_test(so_is_what_is_done_to_its_postgres_and_nobody_elses),
		cmocka_unit_test(a_secret_is_gone_before_the_id_is_made),
		cmocka_unit_test(lines_whose_raw_was_redacted_stay_apart),
		cmocka_unit_test(a_long_message_is_cut_and_its_whole_told),
		cmocka_unit_test(what_a_rule_finds_wins_over_a_field_of_the_lines_own),
		cmocka_unit_test(no_record_writes_a_key_twice),
		cmocka_unit_test(a_line_of_a_file_has_the_id_of_its_place_in_it),
		cmocka_unit_test(a_row_says_whether_its_id_can_be_made_again),
		cmocka_unit_test(a_time_that_is_not_all_kept_is_beyond_the_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
