/* Every text of a record is redacted, and private keys over the lines of a batch. */

#include "redact_kit.h"
#include "secrets.h"
#include "stage/hits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TOKEN "fm2_EXAMPLEexample0EXAMPLE"
#define GONE "[REDACTED:fly_token]"
#define KEY "[REDACTED:pem_private_key]"
/* 64 characters that are no key: "EXAMPLE" and digits. */
#define BODY "EXAMPLEexample00EXAMPLEexample01EXAMPLEexample02EXAMPLEexample03"

static struct record record;

static int begin(void **state)
{
	(void)state;
	arena_reset(&arena);
	redactor_begin_batch(redactor);
	memset(&record, 0, sizeof(record));
	return 0;
}

static void assert_text(struct span text, const char *expected)
{
	if (!span_is(text, expected))
		fail_msg("%.*s is not %s", (int)text.len, text.data, expected);
}

/* The attribute `redacted`, or an empty span. */
static struct span counts(void)
{
	for (size_t i = 0; i < record.attr_count; i++) {
		if (span_is(record.attrs[i].key, "redacted")) {
			assert_int_equal(record.attrs[i].type, ATTR_JSON);
			return record.attrs[i].text;
		}
	}
	return SPAN("");
}

/* A line of a machine after redaction. */
static struct span line_of(const char *machine, const char *message)
{
	memset(&record, 0, sizeof(record));
	record.app = SPAN("web");
	record.machine_id = span_text(machine);
	record.message = span_text(message);
	redact(redactor, &arena, &record);
	return record.message;
}

static void every_text_of_a_record_is_redacted(void **state)
{
	struct span *const texts[] = {&record.message, &record.raw,      &record.org,
				      &record.app,     &record.region,   &record.machine_id,
				      &record.host,    &record.provider, &record.level};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		memset(&record, 0, sizeof(record));
		*texts[i] = SPAN("x " TOKEN " y");
		redact(redactor, &arena, &record);
		assert_text(*texts[i], texts[i] == &record.raw ? GONE : "x " GONE " y");
		assert_text(counts(), "{\"fly_token\":1}");
	}
}

static void every_sample_is_gone_from_every_text(void **state)
{
	struct span *const texts[] = {&record.message, &record.raw,          &record.app,
				      &record.level,   &record.attrs[0].key, &record.attrs[0].text};
	size_t count;
	const struct secret *secrets = secrets_load(&count);

	(void)state;
	for (size_t i = 0; i < count * ARRAY_LEN(texts); i++) {
		const struct secret *s = &secrets[i / ARRAY_LEN(texts)];
		struct span *text = texts[i % ARRAY_LEN(texts)];

		memset(&record, 0, sizeof(record));
		record.attr_count = 1;
		record.attrs[0].key = SPAN("extra");
		*text = s->text;
		redact(redactor, &arena, &record);
		assert_false(secret_is_in(s->secret, *text));
		assert_int_equal(record.attr_count, 2);
		arena_reset(&arena);
	}
}

static void hits_are_counted_by_kind(void **state)
{
	(void)state;
	record.decoded = true;
	record.message = SPAN("password=a password=b " TOKEN " end");
	record.region = SPAN("token=zzz");
	redact(redactor, &arena, &record);
	assert_text(counts(), "{\"fly_token\":1,\"password\":2,\"token\":1}");
}

static void a_clean_record_gets_no_attribute(void **state)
{
	(void)state;
	record.message = SPAN("GET /feed 200");
	record.app = SPAN("web");
	record_attr_number(&record, SPAN("bytes"), 12);
	redact(redactor, &arena, &record);
	assert_int_equal(record.attr_count, 1);
	assert_text(record.message, "GET /feed 200");
	assert_null(record.raw.data);
}

static void a_second_redaction_of_a_record_changes_nothing(void **state)
{
	(void)state;
	record.message = SPAN("password=a " TOKEN);
	record_attr_text(&record, SPAN("api_key"), SPAN("abc"));
	redact(redactor, &arena, &record);
	redact(redactor, &arena, &record);
	assert_int_equal(record.attr_count, 2);
	assert_text(record.message, "password=[REDACTED:password] " GONE);
	assert_text(counts(), "{\"fly_token\":1,\"password\":1,\"api_key\":1}");
}

static void an_attribute_is_judged_by_its_name_too(void **state)
{
	(void)state;
	record_attr_text(&record, SPAN("db.password"), SPAN("hunter two"));
	record_attr_number(&record, SPAN("auth_token"), 123456);
	record_attr_text(&record, SPAN("headers.cookie"), SPAN("a=b"));
	record_attr_text(&record, SPAN("token_count"), SPAN("12"));
	record_attr_bool(&record, SPAN("password"), true);
	record_attr_text(&record, SPAN("secret"), SPAN(""));
	redact(redactor, &arena, &record);
	assert_text(record.attrs[0].text, "[REDACTED:password]");
	assert_int_equal(record.attrs[1].type, ATTR_TEXT);
	assert_text(record.attrs[1].text, "[REDACTED:token]");
	assert_text(record.attrs[2].text, "[REDACTED:cookie]");
	assert_text(record.attrs[3].text, "12");
	assert_int_equal(record.attrs[4].type, ATTR_BOOL);
	assert_text(record.attrs[5].text, "");
	assert_text(counts(), "{\"cookie\":1,\"password\":1,\"token\":1}");
}

static void what_a_list_or_an_object_under_such_a_name_holds_is_gone(void **state)
{
	static const char *const keys[] = {
		"password.0",
		"password.value",
		"headers.authorization.0",
		"headers.Set-Cookie.0",
		"a.api.key.b.0.c",
		"password",
		"pass",
		"x.pass.0",
		"\"password\".x",
		"pass\\u0077ord.a",
		"user[password].0.1.2",
		"a.b.db_password.c",
	};
	static const char *const others[] = {
		"", ".", "..", "a.b", "token_count.0", "compass.0", "monkey.key.0", "pass_count.x"};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		(void)begin(state);
		record_attr_text(&record, span_text(keys[i]), SPAN("EXAMPLE"));
		record_attr_number(&record, span_text(keys[i]), 12);
		redact(redactor, &arena, &record);
		for (size_t j = 0; j < 2; j++) {
			assert_int_equal(record.attrs[j].type, ATTR_TEXT);
			if (!secret_is_marker(record.attrs[j].text))
				fail_msg("%s: stays", keys[i]);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		(void)begin(state);
		record_attr_text(&record, span_text(others[i]), SPAN("EXAMPLE"));
		redact(redactor, &arena, &record);
		assert_text(record.attrs[0].text, "EXAMPLE");
	}
}

static void a_line_that_was_not_decoded_goes_with_what_a_name_in_it_gives_away(void **state)
{
	(void)state;
	record.message = SPAN("{\"message\":{\"master\": {\"key\":\"EXAMPLE\"}}}");
	record_attr_text(&record, SPAN("message.master.key"), SPAN("EXAMPLE"));
	redact(redactor, &arena, &record);
	assert_text(record.message, "[REDACTED:api_key]");
	assert_text(record.attrs[0].text, "[REDACTED:api_key]");
	assert_text(counts(), "{\"api_key\":1}");
}

/* Numbers are printed anew, and escapes undone: what the attribute has is not what stood there. */
static void such_a_line_goes_in_whatever_form_it_has_the_value(void **state)
{
	(void)begin(state);
	record.message = SPAN("{\"env\":[{\"name\":\"DB_PASSWORD\",\"value\":83920e4}]}");
	record_attr_text(&record, SPAN("env.0.name"), SPAN("DB_PASSWORD"));
	record_attr_number(&record, SPAN("env.0.value"), 839200000);
	redact(redactor, &arena, &record);
	assert_text(record.message, "[REDACTED:password]");

	(void)begin(state);
	record.message = SPAN("{\"master\": {\"key\": 0.123456789012345678}}");
	record_attr_text(&record, SPAN("master.key"), SPAN("0.123456789012346"));
	redact(redactor, &arena, &record);
	assert_text(record.message, "[REDACTED:api_key]");

	(void)begin(state);
	record.message = SPAN("{\"master\": {\"key\": \"EXA\\/MPLE\"}}");
	record_attr_text(&record, SPAN("master.key"), SPAN("EXA/MPLE"));
	redact(redactor, &arena, &record);
	assert_text(record.message, "[REDACTED:api_key]");
}

static void a_name_without_a_value_gives_nothing_away(void **state)
{
	static const char *const nothing[] = {"null", "{}", "[]"};

	for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
		(void)begin(state);
		record_attr_json(&record, SPAN("password"), span_text(nothing[i]));
		redact(redactor, &arena, &record);
		assert_int_equal(record.attr_count, 1);
		assert_text(record.attrs[0].text, nothing[i]);
	}
}

static void a_value_beside_the_name_of_a_secret_is_gone(void **state)
{
	(void)state;
	record_attr_text(&record, SPAN("h.0.name"), SPAN("Cookie"));
	record_attr_text(&record, SPAN("h.0.value"), SPAN("EXAMPLE"));
	record_attr_text(&record, SPAN("h.1.name"), SPAN("accept"));
	record_attr_text(&record, SPAN("h.1.value"), SPAN("text/html"));
	record_attr_text(&record, SPAN("env.Value"), SPAN("EXAMPLE"));
	record_attr_text(&record, SPAN("env.Key"), SPAN("DB_PASSWORD"));
	record_attr_text(&record, SPAN("raw.2"), SPAN("Authorization"));
	record_attr_text(&record, SPAN("raw.3"), SPAN("Basic EXAMPLE"));
	record_attr_text(&record, SPAN("permit.0"), SPAN("password"));
	record_attr_text(&record, SPAN("permit.1"), SPAN("email"));
	redact(redactor, &arena, &record);
	assert_text(record.attrs[0].text, "Cookie");
	assert_text(record.attrs[1].text, "[REDACTED:cookie]");
	assert_text(record.attrs[3].text, "text/html");
	assert_text(record.attrs[4].text, "[REDACTED:password]");
	assert_text(record.attrs[7].text, "[REDACTED:authorization]");
	assert_text(record.attrs[9].text, "email");
	assert_text(counts(), "{\"authorization\":1,\"cookie\":1,\"password\":1}");
}

static void json_with_a_hole_becomes_text(void **state)
{
	(void)state;
	record_attr_json(&record, SPAN("a"), SPAN("{\"password\":12345}"));
	record_attr_json(&record, SPAN("b"), SPAN("{\"x\":12345}"));
	redact(redactor, &arena, &record);
	assert_int_equal(record.attrs[0].type, ATTR_TEXT);
	assert_text(record.attrs[0].text, "{\"password\":[REDACTED:password]}");
	assert_int_equal(record.attrs[1].type, ATTR_JSON);
}

static void a_field_stays_within_its_limit(void **state)
{
	char field[1000];

	(void)state;
	for (size_t i = 0; i < sizeof(field); i += 8)
		memcpy(field + i, "token=a ", 8);
	record.app = span_of(field, sizeof(field));
	redact(redactor, &arena, &record);
	assert_int_equal(record.app.len, RECORD_FIELD_BYTES_MAX);
	assert_true(
		span_starts(record.app, SPAN("token=[REDACTED:token] token=[REDACTED:token] ")));
}

static void a_secret_that_a_cut_goes_through_is_taken_out(void **state)
{
	char field[RECORD_FIELD_BYTES_MAX + 100];

	(void)state;
	memset(field, 'x', sizeof(field));
	memcpy(field + 900, " postgres://app:EXAMPLE", 23);
	field[1100] = '@';
	record.app = span_of(field, sizeof(field));
	redact(redactor, &arena, &record);
	assert_true(span_starts(span_after(record.app, 900),
				SPAN(" postgres://app:[REDACTED:url_password]@xx")));
}

static void a_long_field_without_a_secret_is_cut_and_no_more(void **state)
{
	char field[5000];

	(void)state;
	memset(field, 'x', sizeof(field));
	record.decoded = true;
	record.app = span_of(field, sizeof(field));
	record.raw = record.app;
	record_attr_text(&record, SPAN("url"), record.app);
	redact(redactor, &arena, &record);
	assert_int_equal(record.app.len, RECORD_FIELD_BYTES_MAX);
	assert_int_equal(record.attrs[0].text.len, RECORD_FIELD_BYTES_MAX);
	assert_int_equal(record.raw.len, sizeof(field));
	assert_int_equal(record.attr_count, 1);
}

static void a_private_key_is_followed_over_lines(void **state)
{
	(void)state;
	assert_text(line_of("m1", "key: -----BEGIN RSA PRIVATE KEY-----"), "key: " KEY);
	assert_text(line_of("m2", "an ordinary line"), "an ordinary line");
	assert_text(line_of("m1", "Proc-Type: 4,ENCRYPTED"), KEY);
	assert_text(line_of("m1", "DEK-Info: AES-128-CBC,00EXAMPLE"), KEY);
	assert_text(line_of("m2", "word"), "word");
	assert_text(line_of("m1", BODY), KEY);
	assert_text(counts(), "{\"pem_private_key\":1}");
	assert_text(line_of("m1", "  RVhBTVBMRQ=="), KEY);
	assert_text(line_of("m1", "-----END RSA PRIVATE KEY----- done"), KEY " done");
	assert_text(line_of("m1", "word"), "word");
}

static void a_private_key_is_followed_through_colours_and_holes(void **state)
{
	(void)state;
	assert_text(line_of("m1", "-----BEG\x1b[1mIN PRIVATE KEY-----"), KEY);
	assert_text(line_of("m1", "\x1b[32mEXAMPLE\xef\xbf\xbd"
				  "example\x1b[0m"),
		    KEY "\x1b[0m");
	assert_text(line_of("m1", "\x1b[32m-----END\x1b[0m PRIVATE KEY----- done"), KEY " done");
	assert_text(line_of("m1", "word"), "word");
}

static void an_unfinished_key_ends_at_a_line_that_is_none(void **state)
{
	(void)state;
	assert_text(line_of("m1", "-----BEGIN PRIVATE KEY-----"), KEY);
	assert_text(line_of("m1", "EXAMPLE0"), KEY);
	assert_text(line_of("m1", "error: file ended"), "error: file ended");
	assert_text(line_of("m1", "EXAMPLE0"), "EXAMPLE0");
}

static void the_same_machine_of_another_app_is_another(void **state)
{
	(void)state;
	(void)line_of("m1", "-----BEGIN PRIVATE KEY-----");
	memset(&record, 0, sizeof(record));
	record.app = SPAN("other");
	record.machine_id = SPAN("m1");
	record.message = SPAN("word");
	redact(redactor, &arena, &record);
	assert_text(record.message, "word");
}

static void a_new_batch_forgets_open_keys(void **state)
{
	(void)state;
	(void)line_of("m1", "-----BEGIN PRIVATE KEY-----");
	redactor_begin_batch(redactor);
	assert_text(line_of("m1", "word"), "word");
}

static void a_batch_that_begins_inside_a_key_hides_its_full_lines(void **state)
{
	(void)state;
	assert_text(line_of("m1", BODY), KEY);
	assert_text(line_of("m1", BODY "ab0AB1"), KEY);
	assert_text(line_of("m1", "RVhBTVBMRQ=="), KEY);
	assert_text(line_of("m1", "-----END PRIVATE KEY-----"), KEY);
	assert_text(line_of("m1", "word"), "word");
}

static void certificates_and_digests_stay(void **state)
{
	static const char digest[] =
		"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

	(void)state;
	assert_text(line_of("m1", digest), digest);
	assert_text(line_of("m1", "-----BEGIN CERTIFICATE-----"), "-----BEGIN CERTIFICATE-----");
	assert_text(line_of("m1", BODY), BODY);
	assert_text(line_of("m1", "-----END CERTIFICATE-----"), "-----END CERTIFICATE-----");
	assert_text(line_of("m1", BODY), KEY);
}

static void a_key_and_a_certificate_may_follow_each_other(void **state)
{
	(void)state;
	(void)line_of("m1", "-----BEGIN CERTIFICATE-----");
	assert_text(line_of("m1", "-----END CERTIFICATE----- -----BEGIN PRIVATE KEY-----"),
		    "-----END CERTIFICATE----- " KEY);
	assert_text(line_of("m1", "EXAMPLE0"), KEY);
}

static void a_key_in_one_line_opens_nothing(void **state)
{
	(void)state;
	assert_text(
		line_of("m1", "-----BEGIN PRIVATE KEY-----\nEXAMPLE0\n-----END PRIVATE KEY-----"),
		KEY);
	assert_text(line_of("m1", "word"), "word");
}

static void more_open_keys_than_can_be_followed_hide_more(void **state)
{
	char machine[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		(void)snprintf(machine, sizeof(machine), "m%d", i);
		(void)line_of(machine, "-----BEGIN PRIVATE KEY-----");
	}
	for (int i = 0; i < 100; i++) {
		(void)snprintf(machine, sizeof(machine), "m%d", i);
		assert_text(line_of(machine, "EXAMPLEexample00EXAMPLE="), KEY);
	}
	assert_text(line_of("new", "an ordinary line"), "an ordinary line");
}

static void raw_goes_with_a_line_of_a_key(void **state)
{
	(void)state;
	(void)line_of("m1", "-----BEGIN PRIVATE KEY-----");
	memset(&record, 0, sizeof(record));
	record.app = SPAN("web");
	record.machine_id = SPAN("m1");
	record.message = SPAN("EXAMPLE0");
	record.raw = SPAN("{\"message\":\"EXAMPLE0\",\"x\":\"\xff\"}");
	redact(redactor, &arena, &record);
	assert_text(record.message, KEY);
	assert_text(record.raw, KEY);
}

static void a_secret_with_a_hole_in_its_middle_is_gone_from_raw_too(void **state)
{
	static const char *const holes[] = {"\xff", "\xed\xa0\x80", "\xc3", "\\ud800", "\\ufffd"};

	for (size_t i = 0; i < ARRAY_LEN(holes); i++) {
		char raw[128];
		int len = snprintf(raw, sizeof(raw), "a fm2_EXAMPLEexampleEXAMPLE%s0EXAMPLE b",
				   holes[i]);

		(void)begin(state);
		record.decoded = true;
		record.message = SPAN("a fm2_EXAMPLEexampleEXAMPLE\xef\xbf\xbd"
				      "0EXAMPLE b");
		record.raw = span_of(raw, (size_t)len);
		redact(redactor, &arena, &record);
		assert_text(record.message, "a " GONE " b");
		assert_text(record.raw, GONE);
		assert_text(counts(), "{\"fly_token\":1}");
		/* Where raw alone has it, it is found as well. */
		(void)begin(state);
		record.message = SPAN("a");
		record.raw = span_of(raw, (size_t)len);
		redact(redactor, &arena, &record);
		assert_text(record.raw, GONE);
		assert_text(counts(), "{\"fly_token\":1}");
	}
}

static void raw_goes_with_a_secret_in_any_other_text(void **state)
{
	struct span *const texts[] = {&record.message, &record.app, &record.level,
				      &record.attrs[0].key, &record.attrs[0].text};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		(void)begin(state);
		record.decoded = true;
		record.raw_is_line = true;
		record.raw = SPAN("what is not found in it, in whatever form");
		record_attr_text(&record, SPAN("extra"), SPAN("x"));
		*texts[i] = SPAN("x " TOKEN " y");
		redact(redactor, &arena, &record);
		assert_text(record.raw, GONE);
		assert_text(counts(), "{\"fly_token\":1}");
	}
}

static void a_name_with_a_hole_in_it_is_read_all_the_same(void **state)
{
	(void)begin(state);
	record.raw = SPAN("{\"pass\\ud800word\":\"EXAMPLE00001\"}");
	record_attr_text(&record, SPAN("pass\xef\xbf\xbdword"), SPAN("EXAMPLE00001"));
	redact(redactor, &arena, &record);
	assert_text(record.attrs[0].text, "[REDACTED:password]");
	assert_text(record.raw, "[REDACTED:password]");
	(void)begin(state);
	record_attr_bool(&record, SPAN(TOKEN), true);
	redact(redactor, &arena, &record);
	assert_text(record.attrs[0].key, GONE);
}

static void raw_without_a_secret_stays(void **state)
{
	(void)state;
	record.message = SPAN("a\xef\xbf\xbd b");
	record.raw = SPAN("a\xff b");
	redact(redactor, &arena, &record);
	assert_text(record.raw, "a\xff b");
	assert_int_equal(record.attr_count, 0);
}

static void what_several_texts_of_a_line_hold_is_counted_once(void **state)
{
	(void)begin(state);
	record.decoded = true;
	record.message = SPAN("a\xef\xbf\xbd " TOKEN);
	record.raw = SPAN("a\xff " TOKEN " password=x");
	redact(redactor, &arena, &record);
	assert_text(counts(), "{\"fly_token\":1,\"password\":1}");
	/* A line that was not decoded is its message, and has its fields in it. */
	(void)begin(state);
	record.message = SPAN("{\"message\":{\"a\":\"" TOKEN "\"}}");
	record_attr_text(&record, SPAN("message.a"), SPAN(TOKEN));
	record_attr_text(&record, SPAN("api_key"), SPAN("EXAMPLE"));
	redact(redactor, &arena, &record);
	assert_text(counts(), "{\"fly_token\":1,\"api_key\":1}");
}

static void a_line_without_machine_may_go_on_with_any_key(void **state)
{
	(void)state;
	(void)line_of("m1", "-----BEGIN PRIVATE KEY-----");
	assert_text(line_of("", "EXAMPLEexample00EXAMPLE=="), KEY);
	assert_text(line_of("", "a line of words"), "a line of words");
	assert_text(line_of("m2", "EXAMPLEexample00EXAMPLE=="), "EXAMPLEexample00EXAMPLE==");
	assert_text(line_of("m1", "EXAMPLE"), KEY);
	(void)line_of("m1", "-----END PRIVATE KEY-----");
	assert_text(line_of("", "EXAMPLEexample00EXAMPLE=="), "EXAMPLEexample00EXAMPLE==");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_text_of_a_record_is_redacted, begin),
		cmocka_unit_test_setup(every_sample_is_gone_from_every_text, begin),
		cmocka_unit_test_setup(hits_are_counted_by_kind, begin),
		cmocka_unit_test_setup(a_clean_record_gets_no_attribute, begin),
		cmocka_unit_test_setup(a_second_redaction_of_a_record_changes_nothing, begin),
		cmocka_unit_test_setup(an_attribute_is_judged_by_its_name_too, begin),
		cmocka_unit_test_setup(what_a_list_or_an_object_under_such_a_name_holds_is_gone,
				       begin),
		cmocka_unit_test_setup(
			a_line_that_was_not_decoded_goes_with_what_a_name_in_it_gives_away, begin),
		cmocka_unit_test_setup(such_a_line_goes_in_whatever_form_it_has_the_value, begin),
		cmocka_unit_test_setup(a_name_without_a_value_gives_nothing_away, begin),
		cmocka_unit_test_setup(a_value_beside_the_name_of_a_secret_is_gone, begin),
		cmocka_unit_test_setup(json_with_a_hole_becomes_text, begin),
		cmocka_unit_test_setup(a_field_stays_within_its_limit, begin),
		cmocka_unit_test_setup(a_secret_that_a_cut_goes_through_is_taken_out, begin),
		cmocka_unit_test_setup(a_long_field_without_a_secret_is_cut_and_no_more, begin),
		cmocka_unit_test_setup(a_private_key_is_followed_over_lines, begin),
		cmocka_unit_test_setup(a_private_key_is_followed_through_colours_and_holes, begin),
		cmocka_unit_test_setup(an_unfinished_key_ends_at_a_line_that_is_none, begin),
		cmocka_unit_test_setup(the_same_machine_of_another_app_is_another, begin),
		cmocka_unit_test_setup(a_new_batch_forgets_open_keys, begin),
		cmocka_unit_test_setup(a_batch_that_begins_inside_a_key_hides_its_full_lines,
				       begin),
		cmocka_unit_test_setup(certificates_and_digests_stay, begin),
		cmocka_unit_test_setup(a_key_and_a_certificate_may_follow_each_other, begin),
		cmocka_unit_test_setup(a_key_in_one_line_opens_nothing, begin),
		cmocka_unit_test_setup(more_open_keys_than_can_be_followed_hide_more, begin),
		cmocka_unit_test_setup(raw_goes_with_a_line_of_a_key, begin),
		cmocka_unit_test_setup(a_secret_with_a_hole_in_its_middle_is_gone_from_raw_too,
				       begin),
		cmocka_unit_test_setup(raw_goes_with_a_secret_in_any_other_text, begin),
		cmocka_unit_test_setup(a_name_with_a_hole_in_it_is_read_all_the_same, begin),
		cmocka_unit_test_setup(raw_without_a_secret_stays, begin),
		cmocka_unit_test_setup(what_several_texts_of_a_line_hold_is_counted_once, begin),
		cmocka_unit_test_setup(a_line_without_machine_may_go_on_with_any_key, begin),
	};

	return cmocka_run_group_tests(tests, redact_kit_set_up, redact_kit_tear_down);
}
