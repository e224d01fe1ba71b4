#include "payloads.h"
#include "model/event.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PAYLOAD_MAX = RECORD_PAYLOAD_BYTES_MAX };

static struct event full_event(void)
{
	struct event e = {
		.class = CLASS_secret_change,
		.action = (enum action)(ACTION_COUNT - 1),
		.occurred_ns = 1664310879660159411,
		.not_after_ns = INT64_MAX,
		.time_basis = TIME_INTERVAL,
		.observed_ns = -1,
		.org = SPAN("acme"),
		.app = SPAN("web-1"),
		.region = SPAN("ams"),
		.machine_id = SPAN("0e286551c30586"),
		.correlation_id = SPAN("01GDZ"),
		.actor = SPAN("ada@example.com"),
		.actor_type = ACTOR_USER,
		.actor_reason = SPAN("reason"),
		.target_type = SPAN("secret"),
		.target = SPAN("DATABASE_URL"),
		.origin = SPAN("192.0.2.7"),
		.outcome = SPAN("success"),
		.severity = SEVERITY_HIGH,
		.trust = TRUST_API,
		.source = SOURCE_WATCH,
		.rule = SPAN("secret.gone"),
		.summary = SPAN("a secret is gone"),
		.message = SPAN("line\0with a NUL"),
		.attributes = SPAN("{\"k\":1}"),
	};

	for (uint8_t i = 0; i < ID_BYTES; i++)
		e.id.bytes[i] = i;
	return e;
}

static void encode_full(struct buf *out)
{
	struct event full = full_event();

	event_encode(&full, out);
}

static enum err_kind decode(struct span payload, struct err *err)
{
	struct event got;

	return event_decode(payload, &got, err);
}

static const struct payload_codec codec = {encode_full, decode};

static void assert_same(const struct event *got, const struct event *wanted)
{
	assert_int_equal(id_compare(&got->id, &wanted->id), 0);
	assert_int_equal(got->class, wanted->class);
	assert_int_equal(got->action, wanted->action);
	assert_int_equal(got->occurred_ns, wanted->occurred_ns);
	assert_int_equal(got->not_after_ns, wanted->not_after_ns);
	assert_int_equal(got->time_basis, wanted->time_basis);
	assert_int_equal(got->observed_ns, wanted->observed_ns);
	assert_int_equal(got->actor_type, wanted->actor_type);
	assert_int_equal(got->severity, wanted->severity);
	assert_int_equal(got->trust, wanted->trust);
	assert_int_equal(got->source, wanted->source);
	assert_span(got->org, wanted->org);
	assert_span(got->app, wanted->app);
	assert_span(got->region, wanted->region);
	assert_span(got->machine_id, wanted->machine_id);
	assert_span(got->correlation_id, wanted->correlation_id);
	assert_span(got->actor, wanted->actor);
	assert_span(got->actor_reason, wanted->actor_reason);
	assert_span(got->target_type, wanted->target_type);
	assert_span(got->target, wanted->target);
	assert_span(got->origin, wanted->origin);
	assert_span(got->outcome, wanted->outcome);
	assert_span(got->rule, wanted->rule);
	assert_span(got->summary, wanted->summary);
	assert_span(got->message, wanted->message);
	assert_span(got->attributes, wanted->attributes);
}

static void an_event_comes_back_whole(void **state)
{
	struct event e = full_event();
	struct event got;
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, PAYLOAD_MAX);
	event_encode(&e, &b);
	assert_int_equal(payload_kind(payload_of(&b)), PAYLOAD_EVENT);
	assert_int_equal(event_decode(payload_of(&b), &got, &err), ERR_NONE);
	assert_same(&got, &e);
	buf_release(&b);
}

static void every_prefix_and_every_tail_is_corrupt(void **state)
{
	(void)state;
	assert_pieces_are_corrupt(&codec);
}

static void unknown_versions_kinds_and_values_are_corrupt(void **state)
{
	static const struct {
		size_t offset;
		unsigned first_unknown;
	} cases[] = {
		{0, 2},
		{1, PAYLOAD_LINE},
		{42, CLASS_COUNT},
		{43, ACTION_COUNT},
		{44, TIME_BASIS_COUNT},
		{45, ACTOR_TYPE_COUNT},
		{46, SEVERITY_FATAL + 1},
		{47, TRUST_COUNT},
		{48, SOURCE_COUNT},
		{49, 0xff},
	};
	struct event e = full_event();
	struct event got;
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, PAYLOAD_MAX);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_reset(&b);
		event_encode(&e, &b);
		b.data[cases[i].offset] = (uint8_t)cases[i].first_unknown;
		assert_int_equal(event_decode(payload_of(&b), &got, &err), ERR_CORRUPT);
	}
	buf_release(&b);
}

static void a_length_has_one_form_only(void **state)
{
	static const uint8_t zero_in_two_bytes[] = {0x80, 0x00};
	struct event e = {.class = CLASS_trail};
	struct event got;
	struct err err;
	struct buf b;

	(void)state;
	buf_init(&b, PAYLOAD_MAX);
	event_encode(&e, &b);
	assert_int_equal(event_decode(payload_of(&b), &got, &err), ERR_NONE);
	assert_int_equal(b.data[49], 0);
	buf_u8(&b, 0);
	memmove(b.data + 51, b.data + 50, b.len - 51);
	memcpy(b.data + 49, zero_in_two_bytes, sizeof(zero_in_two_bytes));
	assert_int_equal(event_decode(payload_of(&b), &got, &err), ERR_CORRUPT);
	buf_release(&b);
}

static void a_line_becomes_the_event_that_it_is(void **state)
{
	struct record r = {
		.occurred_ns = 5,
		.observed_ns = 6,
		.source = SOURCE_NATS,
		.app = SPAN("web-1"),
		.class = CLASS_ssh_session,
		.message = SPAN("new session"),
		.attributes = SPAN("{}"),
		.finding = {.rule = "ssh.opened",
			    .trust = TRUST_GUEST,
			    .severity = SEVERITY_LOW,
			    .actor_type = ACTOR_USER,
			    .actor = SPAN("ada@example.com")},
	};
	struct event e;

	(void)state;
	event_from_record(&r, &e);
	assert_int_equal(e.time_basis, TIME_SOURCE);
	assert_int_equal(e.not_after_ns, EVENT_NO_TIME);
	assert_int_equal(e.trust, TRUST_GUEST);
	assert_span(e.rule, SPAN("ssh.opened"));
	assert_span(e.actor, r.finding.actor);
	assert_span(e.message, r.message);
	assert_span(e.attributes, r.attributes);
	r.foreign_time = true;
	event_from_record(&r, &e);
	assert_int_equal(e.time_basis, TIME_OBSERVED);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	(void)state;
	assert_no_memory_fault_is_missed(&codec);
}

static void every_time_basis_has_its_name(void **state)
{
	(void)state;
	assert_string_equal(time_basis_name(TIME_SOURCE), "source");
	assert_string_equal(time_basis_name(TIME_OBSERVED), "observed");
	assert_string_equal(time_basis_name(TIME_INTERVAL), "interval");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_comes_back_whole),
		cmocka_unit_test(every_prefix_and_every_tail_is_corrupt),
		cmocka_unit_test(unknown_versions_kinds_and_values_are_corrupt),
		cmocka_unit_test(a_length_has_one_form_only),
		cmocka_unit_test(a_line_becomes_the_event_that_it_is),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
		cmocka_unit_test(every_time_basis_has_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
