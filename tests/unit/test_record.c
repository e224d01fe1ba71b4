#include "payloads.h"
#include "model/event.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PAYLOAD_MAX = RECORD_PAYLOAD_BYTES_MAX };

/* A classified line with every field set. */
static struct record full_record(void)
{
	struct record r = {
		.occurred_ns = 1664310879660159411,
		.observed_ns = INT64_MIN,
		.foreign_time = true,
		.source = SOURCE_REPLAY,
		.org = SPAN("acme"),
		.app = SPAN("web-1"),
		.region = SPAN("ams"),
		.machine_id = SPAN("0e286551c30586"),
		.host = SPAN("host-1"),
		.provider = SPAN("runner"),
		.level = SPAN("info"),
		.message = SPAN("machine exited"),
		.raw = SPAN("machine\0exited"),
		.class = CLASS_exit,
		.action = (enum action)(ACTION_COUNT - 1),
		.finding = {.rule = "exit.machine",
			    .trust = TRUST_PLATFORM,
			    .severity = SEVERITY_FATAL,
			    .actor_type = ACTOR_FLYD,
			    .actor = SPAN("flyd"),
			    .actor_reason = SPAN("reason"),
			    .target_type = SPAN("machine"),
			    .target = SPAN("0e286551c30586"),
			    .outcome = SPAN("success"),
			    .correlation_id = SPAN("01GDZ"),
			    .summary = SPAN("it ended")},
	};

	for (uint8_t i = 0; i < ID_BYTES; i++)
		r.id.bytes[i] = i;
	record_attr_text(&r, SPAN("a.text"), SPAN("x\"y"));
	record_attr_number(&r, SPAN("a.number"), INT64_MIN);
	record_attr_bool(&r, SPAN("a.bool"), true);
	record_attr_json(&r, SPAN("a.json"), SPAN("{\"k\":[]}"));
	return r;
}

static const char full_attributes[] = "{\"a.text\":\"x\\\"y\",\"a.number\":-9223372036854775808,"
				      "\"a.bool\":true,\"a.json\":{\"k\":[]}}";

static void encode_full(struct buf *out)
{
	struct record full = full_record();

	record_encode(&full, out);
}

static enum err_kind decode(struct span payload, struct err *err)
{
	struct record got;

	return record_decode(payload, &got, err);
}

static const struct payload_codec codec = {encode_full, decode};

static void assert_same_finding(const struct finding *got, const struct finding *wanted)
{
	assert_string_equal(got->rule, wanted->rule);
	assert_int_equal(got->trust, wanted->trust);
	assert_int_equal(got->severity, wanted->severity);
	assert_int_equal(got->actor_type, wanted->actor_type);
	assert_span(got->actor, wanted->actor);
	assert_span(got->actor_reason, wanted->actor_reason);
	assert_span(got->target_type, wanted->target_type);
	assert_span(got->target, wanted->target);
	assert_span(got->outcome, wanted->outcome);
	assert_span(got->correlation_id, wanted->correlation_id);
	assert_span(got->summary, wanted->summary);
}

static void assert_same_record(const struct record *got, const struct record *wanted)
{
	assert_int_equal(id_compare(&got->id, &wanted->id), 0);
	assert_int_equal(got->occurred_ns, wanted->occurred_ns);
	assert_int_equal(got->observed_ns, wanted->observed_ns);
	assert_int_equal(got->foreign_time, wanted->foreign_time);
	assert_int_equal(got->source, wanted->source);
	assert_int_equal(got->class, wanted->class);
	assert_int_equal(got->action, wanted->action);
	assert_span(got->org, wanted->org);
	assert_span(got->app, wanted->app);
	assert_span(got->region, wanted->region);
	assert_span(got->machine_id, wanted->machine_id);
	assert_span(got->host, wanted->host);
	assert_span(got->provider, wanted->provider);
	assert_span(got->level, wanted->level);
	assert_span(got->message, wanted->message);
	assert_int_equal(got->raw.data == NULL, wanted->raw.data == NULL);
	assert_span(got->raw, wanted->raw);
}

static void a_classified_line_comes_back_whole(void **state)
{
	struct record r = full_record();
	struct record got;
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, PAYLOAD_MAX);
	record_encode(&r, &b);
	assert_int_equal(payload_kind(payload_of(&b)), PAYLOAD_LINE);
	assert_int_equal(record_decode(payload_of(&b), &got, &err), ERR_NONE);
	assert_same_record(&got, &r);
	assert_same_finding(&got.finding, &r.finding);
	assert_span(got.attributes, span_text(full_attributes));
	assert_int_equal(got.attr_count, 0);
	buf_release(&b);
}

static void an_application_line_carries_no_finding(void **state)
{
	struct record r = {.message = SPAN("hello"), .finding = {.rule = "ignored"}};
	struct record got;
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, PAYLOAD_MAX);
	record_encode(&r, &b);
	assert_int_equal(record_decode(payload_of(&b), &got, &err), ERR_NONE);
	assert_same_record(&got, &r);
	assert_null(got.raw.data);
	assert_int_equal(got.attributes.len, 0);
	assert_string_equal(got.finding.rule, "");
	assert_true(b.len < 70);
	buf_release(&b);
}

static void raw_that_is_empty_is_not_raw_that_is_absent(void **state)
{
	struct record r = {.raw = SPAN("")};
	struct record got;
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, PAYLOAD_MAX);
	record_encode(&r, &b);
	assert_int_equal(record_decode(payload_of(&b), &got, &err), ERR_NONE);
	assert_non_null(got.raw.data);
	buf_release(&b);
}

static void long_texts_come_back(void **state)
{
	static const size_t lens[] = {127, 128, 16383, 16384, RECORD_TEXT_BYTES_MAX};
	char *text = malloc(RECORD_TEXT_BYTES_MAX);
	struct record r = {.class = CLASS_app_log};
	struct record got;
	struct err err;
	struct buf b;

	(void)state;
	memset(text, 't', RECORD_TEXT_BYTES_MAX);
	buf_init(&b, PAYLOAD_MAX);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		r.message = span_of(text, lens[i]);
		buf_reset(&b);
		record_encode(&r, &b);
		assert_int_equal(record_decode(payload_of(&b), &got, &err), ERR_NONE);
		assert_span(got.message, r.message);
	}
	buf_release(&b);
	free(text);
}

static void payloads_stand_one_after_another_in_a_buffer(void **state)
{
	struct record r = full_record();
	struct record got;
	struct err err;
	struct buf b;
	size_t first;

	(void)state;
	buf_init(&b, PAYLOAD_MAX);
	record_encode(&r, &b);
	first = b.len;
	record_encode(&r, &b);
	assert_int_equal(b.len, 2 * first);
	assert_int_equal(record_decode(span_of(b.data + first, first), &got, &err), ERR_NONE);
	assert_same_record(&got, &r);
	buf_release(&b);
}

static void every_prefix_and_every_tail_is_corrupt(void **state)
{
	(void)state;
	assert_pieces_are_corrupt(&codec);
}

/* Puts byte at offset of a good payload and says what the decoder makes of it. */
static enum err_kind decode_with(size_t offset, unsigned byte)
{
	struct record r = full_record();
	struct record got;
	struct err err;
	struct buf b;
	enum err_kind rc;

	buf_init(&b, PAYLOAD_MAX);
	record_encode(&r, &b);
	b.data[offset] = (uint8_t)byte;
	rc = record_decode(payload_of(&b), &got, &err);
	buf_release(&b);
	return rc;
}

static void unknown_versions_kinds_and_values_are_corrupt(void **state)
{
	(void)state;
	assert_int_equal(decode_with(0, 2), ERR_CORRUPT);
	assert_int_equal(decode_with(0, 0), ERR_CORRUPT);
	assert_int_equal(decode_with(1, PAYLOAD_EVENT), ERR_CORRUPT);
	assert_int_equal(decode_with(1, 3), ERR_CORRUPT);
	assert_int_equal(decode_with(34, SOURCE_COUNT - 1), ERR_NONE);
	assert_int_equal(decode_with(34, SOURCE_COUNT), ERR_CORRUPT);
	assert_int_equal(decode_with(35, CLASS_COUNT - 1), ERR_NONE);
	assert_int_equal(decode_with(35, CLASS_COUNT), ERR_CORRUPT);
	assert_int_equal(decode_with(36, ACTION_COUNT), ERR_CORRUPT);
	assert_int_equal(decode_with(37, 2), ERR_CORRUPT);
	assert_int_equal(decode_with(38, TRUST_COUNT), ERR_CORRUPT);
	assert_int_equal(decode_with(39, SEVERITY_FATAL + 1), ERR_CORRUPT);
	assert_int_equal(decode_with(40, ACTOR_TYPE_COUNT), ERR_CORRUPT);
	assert_int_equal(decode_with(41, 0xff), ERR_CORRUPT);
}

static void a_rule_without_its_nul_is_corrupt(void **state)
{
	struct record r = full_record();
	struct record got;
	struct err err;
	struct buf b;
	uint8_t *rule;

	(void)state;
	buf_init(&b, PAYLOAD_MAX);
	record_encode(&r, &b);
	rule = memmem(b.data, b.len, "exit.machine", sizeof("exit.machine"));
	assert_non_null(rule);
	rule[12] = 'x';
	assert_int_equal(record_decode(payload_of(&b), &got, &err), ERR_CORRUPT);
	rule[12] = '\0';
	rule[4] = '\0';
	assert_int_equal(record_decode(payload_of(&b), &got, &err), ERR_CORRUPT);
	buf_release(&b);
}

static void attributes_past_the_last_are_counted(void **state)
{
	static struct record r;
	struct buf b;

	(void)state;
	for (int i = 0; i < RECORD_ATTRS_MAX - 1; i++)
		record_attr_bool(&r, SPAN("k"), false);
	buf_init(&b, PAYLOAD_MAX);
	record_write_attributes(&r, &b);
	assert_null(strstr((char *)b.data, "attributes_dropped"));
	for (int i = 0; i < 10; i++)
		record_attr_text(&r, SPAN("late"), SPAN("x"));
	assert_int_equal(r.attr_count, RECORD_ATTRS_MAX);
	buf_reset(&b);
	record_write_attributes(&r, &b);
	assert_non_null(strstr((char *)b.data, ",\"attributes_dropped\":10}"));
	assert_null(strstr((char *)b.data, "late"));
	buf_release(&b);
}

static void a_buffer_that_is_too_small_says_so(void **state)
{
	struct record r = full_record();
	struct err err;
	struct buf b;
	size_t whole;

	(void)state;
	buf_init(&b, PAYLOAD_MAX);
	record_encode(&r, &b);
	whole = b.len;
	buf_release(&b);
	for (size_t max = 1; max < whole; max++) {
		buf_init(&b, max);
		record_encode(&r, &b);
		assert_int_equal(buf_check(&b, &err), ERR_FULL);
		buf_release(&b);
	}
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	(void)state;
	assert_no_memory_fault_is_missed(&codec);
}

static void every_actor_type_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (unsigned a = 0; a < ACTOR_TYPE_COUNT; a++) {
		for (unsigned b = 0; b < a; b++)
			assert_string_not_equal(actor_type_name((enum actor_type)a),
						actor_type_name((enum actor_type)b));
	}
}

static void the_key_is_what_the_whole_record_says(void **state)
{
	struct record full = full_record();
	struct record_key key;
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, RECORD_PAYLOAD_BYTES_MAX);
	record_encode(&full, &b);
	assert_int_equal(record_decode_key(span_of(b.data, b.len), &key, &err), ERR_NONE);
	assert_memory_equal(key.id.bytes, full.id.bytes, ID_BYTES);
	assert_true(key.occurred_ns == full.occurred_ns);
	assert_int_equal(key.class, full.class);
	for (size_t len = 0; len < 2 + ID_BYTES + 8 + 8 + 2; len++)
		assert_int_equal(record_decode_key(span_of(b.data, len), &key, &err), ERR_CORRUPT);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_classified_line_comes_back_whole),
		cmocka_unit_test(an_application_line_carries_no_finding),
		cmocka_unit_test(raw_that_is_empty_is_not_raw_that_is_absent),
		cmocka_unit_test(long_texts_come_back),
		cmocka_unit_test(payloads_stand_one_after_another_in_a_buffer),
		cmocka_unit_test(every_prefix_and_every_tail_is_corrupt),
		cmocka_unit_test(unknown_versions_kinds_and_values_are_corrupt),
		cmocka_unit_test(a_rule_without_its_nul_is_corrupt),
		cmocka_unit_test(attributes_past_the_last_are_counted),
		cmocka_unit_test(a_buffer_that_is_too_small_says_so),
		cmocka_unit_test(the_key_is_what_the_whole_record_says),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
		cmocka_unit_test(every_actor_type_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
