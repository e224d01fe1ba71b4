#include "base/json.h"
#include "base/time.h"
#include "model/event.h"
#include "run/act.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static struct config on_fly(void)
{
	return (struct config){
		.org = "example-org",
		.fly_app_name = "flytrail",
		.fly_region = "ams",
		.fly_machine_id = "0e286551c30586",
	};
}

static const struct act_number numbers[] = {{"records", 12}, {"bytes", 0}};

static const struct act_text texts[] = {{"reason", {"Postgres\0", 9}}};

static const struct act drop = {
	.action = ACTION_trail_dead_dropped,
	.command = "dead drop",
	.target_type = "sink",
	.target = "s3",
	.stream = {{0x47, 0x18}},
	.epoch = 3,
	.first_seq = 41,
	.last_seq = 42,
	.why = "it is \"known\"",
	.numbers = numbers,
	.number_count = 2,
	.texts = texts,
	.text_count = 1,
};

struct told {
	struct buf bytes;
	struct event event;
};

static enum err_kind encode(struct told *t, const struct config *c, const struct act *act,
			    struct err *err)
{
	struct hasher *hasher;
	enum err_kind rc;

	assert_int_equal(hasher_new(&hasher, err), ERR_NONE);
	buf_init(&t->bytes, 65536);
	rc = act_encode(c, act, hasher, &t->bytes, err);
	if (!rc)
		assert_int_equal(event_decode(span_of(t->bytes.data, t->bytes.len), &t->event, err),
				 ERR_NONE);
	hasher_free(hasher);
	return rc;
}

static void assert_has(struct span text, const char *part)
{
	assert_non_null(memmem(text.data, text.len, part, strlen(part)));
}

static void told_twice_it_is_one_fact_where_its_time_is_said(void **state)
{
	struct config c = on_fly();
	struct act act = drop;
	struct told first, again;
	struct err err;

	(void)state;
	act.at_ns = 1764150000 * NS_PER_S;
	assert_int_equal(encode(&first, &c, &act, &err), ERR_NONE);
	assert_int_equal(encode(&again, &c, &act, &err), ERR_NONE);
	assert_int_equal(id_compare(&first.event.id, &again.event.id), 0);
	assert_int_equal(first.event.occurred_ns, act.at_ns);
	assert_int_equal(again.event.occurred_ns, act.at_ns);
	buf_release(&first.bytes);
	buf_release(&again.bytes);
}

static void it_says_where_and_as_whom_and_claims_no_person(void **state)
{
	struct config c = on_fly();
	struct told t;
	struct err err;
	char uid[32];

	(void)state;
	(void)snprintf(uid, sizeof(uid), "uid %u", geteuid());
	assert_int_equal(encode(&t, &c, &drop, &err), ERR_NONE);
	assert_int_equal(t.event.class, CLASS_trail);
	assert_int_equal(t.event.action, ACTION_trail_dead_dropped);
	assert_int_equal(t.event.severity, SEVERITY_HIGH);
	assert_int_equal(t.event.trust, TRUST_SELF);
	assert_int_equal(t.event.actor_type, ACTOR_UNKNOWN);
	assert_int_equal(t.event.actor.len, 0);
	assert_has(t.event.actor_reason, uid);
	assert_has(t.event.actor_reason, "0e286551c30586");
	assert_true(span_is(t.event.origin, "0e286551c30586"));
	assert_true(span_is(t.event.target, "s3"));
	assert_true(time_now_ns() - t.event.occurred_ns < 60 * NS_PER_S);
	buf_release(&t.bytes);
}

static void off_fly_the_place_is_the_hosts_name(void **state)
{
	struct config c = {
		.org = "example-org", .fly_app_name = "", .fly_region = "", .fly_machine_id = ""};
	struct told t;
	struct err err;
	char host[65] = "";

	(void)state;
	assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
	assert_int_equal(encode(&t, &c, &drop, &err), ERR_NONE);
	assert_true(span_is(t.event.origin, host));
	assert_int_equal(t.event.machine_id.len, 0);
	buf_release(&t.bytes);
}

static void its_attributes_are_json_with_all_that_was_said(void **state)
{
	struct config c = on_fly();
	struct json *attributes;
	struct told t;
	struct err err;

	(void)state;
	assert_int_equal(encode(&t, &c, &drop, &err), ERR_NONE);
	assert_int_equal(json_parse(&attributes, t.event.attributes, &err), ERR_NONE);
	assert_true(span_is(json_text(json_member(attributes, "command")), "dead drop"));
	assert_true(span_is(json_text(json_member(attributes, "sink")), "s3"));
	assert_true(span_is(json_text(json_member(attributes, "why")), "it is \"known\""));
	assert_true(span_is(json_text(json_member(attributes, "stream")),
			    "47180000-0000-0000-0000-000000000000"));
	assert_int_equal((int)json_number(json_member(attributes, "epoch")), 3);
	assert_int_equal((int)json_number(json_member(attributes, "first_seq")), 41);
	assert_int_equal((int)json_number(json_member(attributes, "last_seq")), 42);
	assert_int_equal((int)json_number(json_member(attributes, "records")), 12);
	assert_int_equal((int)json_number(json_member(attributes, "bytes")), 0);
	assert_true(span_is(json_text(json_member(attributes, "reason")), "Postgres\xef\xbf\xbd"));
	json_free(attributes);
	buf_release(&t.bytes);
}

static void what_is_of_no_one_stream_names_none(void **state)
{
	static const struct act_text narrowed[] = {{"app", {"web-1", 5}}, {"since", {"", 0}}};
	struct config c = on_fly();
	struct act act = drop;
	struct json *attributes;
	struct told t;
	struct err err;

	(void)state;
	act.epoch = 0;
	act.texts = narrowed;
	act.text_count = ARRAY_LEN(narrowed);
	assert_int_equal(encode(&t, &c, &act, &err), ERR_NONE);
	assert_int_equal(json_parse(&attributes, t.event.attributes, &err), ERR_NONE);
	assert_null(json_member(attributes, "stream"));
	assert_null(json_member(attributes, "first_seq"));
	assert_true(span_is(json_text(json_member(attributes, "app")), "web-1"));
	assert_null(json_member(attributes, "since"));
	json_free(attributes);
	buf_release(&t.bytes);
}

static void what_is_done_twice_is_two_facts(void **state)
{
	struct config c = on_fly();
	struct told one, two;
	struct err err;

	(void)state;
	assert_int_equal(encode(&one, &c, &drop, &err), ERR_NONE);
	assert_int_equal(encode(&two, &c, &drop, &err), ERR_NONE);
	assert_int_not_equal(id_compare(&one.event.id, &two.event.id), 0);
	buf_release(&one.bytes);
	buf_release(&two.bytes);
}

static void a_reason_without_end_is_refused(void **state)
{
	static char why[2 * ACT_ATTRIBUTES_BYTES_MAX];
	struct config c = on_fly();
	struct act act = drop;
	struct told t;
	struct err err;

	(void)state;
	memset(why, 'x', sizeof(why) - 1);
	act.why = why;
	assert_int_equal(encode(&t, &c, &act, &err), ERR_FULL);
	buf_release(&t.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_twice_it_is_one_fact_where_its_time_is_said),
		cmocka_unit_test(it_says_where_and_as_whom_and_claims_no_person),
		cmocka_unit_test(off_fly_the_place_is_the_hosts_name),
		cmocka_unit_test(its_attributes_are_json_with_all_that_was_said),
		cmocka_unit_test(what_is_of_no_one_stream_names_none),
		cmocka_unit_test(what_is_done_twice_is_two_facts),
		cmocka_unit_test(a_reason_without_end_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
