#include "base/json.h"
#include "run/trail.h"
#include "names.h"
#include "source/gap_track.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define T0 (INT64_C(1777846458) * NS_PER_S) /* 2026-05-03T22:14:18Z */

static const struct trail_self self = {
	.org = {"example-org", 11},
	.app = {"flytrail", 8},
	.region = {"ams", 3},
	.machine = {"0e286551c30586", 14},
	.stream = {.uuid = {{0x47, 0x18}}, .epoch = 3},
};

struct told {
	struct trail *trail;
	struct hasher *hasher;
	struct buf bytes;
	struct event event;
	struct json *attributes;
};

static void told_init(struct told *t)
{
	struct err err;

	memset(t, 0, sizeof(*t));
	assert_int_equal(trail_new(&t->trail, &self, &err), ERR_NONE);
	assert_int_equal(hasher_new(&t->hasher, &err), ERR_NONE);
	buf_init(&t->bytes, 65536);
}

static void told_release(struct told *t)
{
	json_free(t->attributes);
	buf_release(&t->bytes);
	trail_free(t->trail);
	hasher_free(t->hasher);
}

static const struct event *tell(struct told *t, const struct fact *fact)
{
	struct err err;

	json_free(t->attributes);
	t->attributes = NULL;
	buf_reset(&t->bytes);
	assert_int_equal(trail_encode(t->trail, t->hasher, fact, &t->bytes, &err), ERR_NONE);
	assert_int_equal(event_decode(span_of(t->bytes.data, t->bytes.len), &t->event, &err),
			 ERR_NONE);
	assert_int_equal(json_parse(&t->attributes, t->event.attributes, &err), ERR_NONE);
	return &t->event;
}

static void assert_text(const struct told *t, const char *key, const char *text)
{
	const struct json *v = json_member(t->attributes, key);

	assert_non_null(v);
	assert_int_equal(json_type(v), JSON_TEXT);
	assert_true(span_is(json_text(v), text));
}

static struct fact a_gap(void)
{
	return (struct fact){
		.action = ACTION_trail_gap_opened,
		.noticed_ns = T0,
		.gap = {.reason = GAP_disconnect,
			.start_ns = T0 - 30 * NS_PER_S,
			.end_ns = INT64_MAX},
	};
}

static void a_start_says_who_and_which_stream(void **state)
{
	struct fact fact = {.action = ACTION_trail_started, .noticed_ns = T0};
	const struct event *e;
	struct told t;

	(void)state;
	told_init(&t);
	e = tell(&t, &fact);
	assert_int_equal(e->class, CLASS_trail);
	assert_int_equal(e->action, ACTION_trail_started);
	assert_int_equal(e->occurred_ns, T0);
	assert_int_equal(e->trust, TRUST_SELF);
	assert_int_equal(e->source, SOURCE_TRAIL);
	assert_int_equal(e->actor_type, ACTOR_SELF);
	assert_true(span_is(e->actor, "flytrail"));
	assert_true(span_is(e->org, "example-org"));
	assert_true(span_is(e->app, "flytrail"));
	assert_true(span_is(e->machine_id, "0e286551c30586"));
	assert_int_equal(e->correlation_id.len, 0);
	assert_text(&t, "stream", "47180000-0000-0000-0000-000000000000");
	assert_true(json_number(json_member(t.attributes, "epoch")) == 3);
	assert_null(json_member(t.attributes, "gap_start"));
	told_release(&t);
}

static void an_open_gap_stands_at_its_start_and_has_no_end(void **state)
{
	struct fact fact = a_gap();
	const struct event *e;
	struct told t;

	(void)state;
	told_init(&t);
	e = tell(&t, &fact);
	assert_int_equal(e->occurred_ns, fact.gap.start_ns);
	assert_int_equal(e->correlation_id.len, ID_TEXT_BYTES - 1);
	assert_text(&t, "reason", "disconnect");
	assert_text(&t, "gap_start", "2026-05-03T22:13:48.000000000Z");
	assert_null(json_member(t.attributes, "gap_end"));
	assert_null(json_member(t.attributes, "lines_lost"));
	told_release(&t);
}

static void a_gaps_progress_carries_the_gaps_id(void **state)
{
	struct fact fact = a_gap();
	char gap[ID_TEXT_BYTES];
	const struct event *e;
	struct id opened;
	struct told t;

	(void)state;
	told_init(&t);
	e = tell(&t, &fact);
	opened = e->id;
	memcpy(gap, e->correlation_id.data, e->correlation_id.len);
	gap[e->correlation_id.len] = '\0';
	fact.action = ACTION_trail_gap_progress;
	fact.noticed_ns = T0 + NS_PER_S;
	fact.gap.end_ns = T0 + 11 * NS_PER_S;
	fact.gap.lines_lost = 12;
	e = tell(&t, &fact);
	assert_true(span_is(e->correlation_id, gap));
	assert_int_not_equal(id_compare(&e->id, &opened), 0);
	assert_int_equal(e->occurred_ns, fact.noticed_ns);
	assert_text(&t, "gap_end", "2026-05-03T22:14:29.000000000Z");
	assert_true(json_number(json_member(t.attributes, "lines_lost")) == 12);
	told_release(&t);
}

static void a_fact_told_twice_is_one_row_and_another_gap_is_another(void **state)
{
	struct fact fact = a_gap();
	struct id first;
	struct told t;

	(void)state;
	told_init(&t);
	first = tell(&t, &fact)->id;
	assert_int_equal(id_compare(&tell(&t, &fact)->id, &first), 0);
	fact.gap.start_ns++;
	assert_int_not_equal(id_compare(&tell(&t, &fact)->id, &first), 0);
	fact.gap.start_ns--;
	fact.gap.reason = GAP_slow_consumer;
	assert_int_not_equal(id_compare(&tell(&t, &fact)->id, &first), 0);
	told_release(&t);
}

static void times_that_are_not_known_are_left_out(void **state)
{
	struct fact fact = a_gap();
	const struct event *e;
	struct told t;

	(void)state;
	told_init(&t);
	fact.gap = (struct gap){.reason = GAP_spool_damaged, .lines_lost = 5};
	fact.first_seq = 10;
	fact.last_seq = 14;
	e = tell(&t, &fact);
	assert_int_equal(e->occurred_ns, T0);
	assert_null(json_member(t.attributes, "gap_start"));
	assert_null(json_member(t.attributes, "gap_end"));
	assert_true(json_number(json_member(t.attributes, "first_seq")) == 10);
	fact.gap.end_ns = T0 - NS_PER_S;
	assert_int_equal(tell(&t, &fact)->occurred_ns, T0 - NS_PER_S);
	fact.gap.start_ns = T0 - 800 * 86400 * NS_PER_S; /* older than partitions go back */
	assert_int_equal(tell(&t, &fact)->occurred_ns, T0);
	assert_text(&t, "reason", "spool_damaged");
	told_release(&t);
}

static void a_dead_letter_says_which_record_and_why(void **state)
{
	struct fact fact = {.action = ACTION_trail_dead_lettered,
			    .noticed_ns = T0,
			    .first_seq = 77,
			    .last_seq = 77,
			    .why = "a \"strange\" reason"};
	struct told t;

	(void)state;
	told_init(&t);
	(void)tell(&t, &fact);
	assert_text(&t, "why", "a \"strange\" reason");
	assert_true(json_number(json_member(t.attributes, "first_seq")) == 77);
	told_release(&t);
}

static void of_whom_nobody_was_told_there_is_a_fact_for_each(void **state)
{
	struct fact fact = {
		.action = ACTION_trail_untold,
		.noticed_ns = T0,
		.why = "Slack answers 400",
		.found = {.subject = "slack", .event = "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"}};
	struct told one, other;
	struct id first;

	(void)state;
	told_init(&one);
	told_init(&other);
	first = tell(&one, &fact)->id;
	assert_text(&one, "sink", "slack");
	assert_text(&one, "event_id", "4718f5dc-5f98-830a-888b-c53ebf1e1bf5");
	assert_text(&one, "why", "Slack answers 400");
	fact.found.event[0] = '5';
	assert_int_not_equal(id_compare(&first, &tell(&other, &fact)->id), 0);
	told_release(&one);
	told_release(&other);
}

static void a_partition_that_waits_is_named_with_its_days_and_why(void **state)
{
	struct fact fact = {.action = ACTION_trail_retention_waits,
			    .noticed_ns = T0,
			    .gap = {.start_ns = T0 - TIME_DAY_NS, .end_ns = T0},
			    .why = "hold 1: a dispute",
			    .found = {.subject = "log_lines_20260502", .state = "hold"}};
	const struct event *e;
	struct id first;
	struct told t;

	(void)state;
	told_init(&t);
	e = tell(&t, &fact);
	first = e->id;
	assert_true(span_is(e->correlation_id, "log_lines_20260502"));
	assert_int_equal(e->severity, SEVERITY_MEDIUM);
	assert_text(&t, "partition", "log_lines_20260502");
	assert_text(&t, "state", "hold");
	assert_text(&t, "why", "hold 1: a dispute");
	assert_text(&t, "partition_end", "2026-05-03T22:14:18.000000000Z");
	assert_null(json_member(t.attributes, "lines_recovered"));
	fact.found.state = "gap";
	assert_memory_not_equal(&tell(&t, &fact)->id, &first, sizeof(first));
	told_release(&t);
}

/* By recovery, of another stream's gap: named, and marked by lines_recovered, also when none was.
 */
static void what_became_of_a_gap_names_it(void **state)
{
	struct fact fact = a_gap();
	const struct event *e;
	struct id first;
	struct told t;

	(void)state;
	told_init(&t);
	fact.action = ACTION_trail_gap_closed;
	fact.gap.end_ns = T0;
	fact.found = (struct fact_found){.subject = "4718f5dc-5f98-830a-888b-c53ebf1e1bf5",
					 .state = "filled"};
	e = tell(&t, &fact);
	first = e->id;
	assert_true(span_is(e->correlation_id, "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"));
	assert_int_equal(e->severity, SEVERITY_INFO);
	assert_text(&t, "state", "filled");
	assert_text(&t, "gap_end", "2026-05-03T22:14:18.000000000Z");
	assert_true(json_number(json_member(t.attributes, "lines_recovered")) == 0);
	fact.found.lines_recovered = 7;
	fact.found.state = "partly_lost";
	fact.found.is_loss = true;
	e = tell(&t, &fact);
	assert_int_not_equal(id_compare(&e->id, &first), 0);
	assert_int_equal(e->severity, SEVERITY_HIGH);
	assert_true(json_number(json_member(t.attributes, "lines_recovered")) == 7);
	told_release(&t);
}

static void windows_of_one_time_are_one_fact_for_each_application(void **state)
{
	struct fact fact = {
		.action = ACTION_trail_window_checked,
		.noticed_ns = T0,
		.gap = {.start_ns = T0 - 60 * NS_PER_S, .end_ns = T0},
		.found = {.app = "web-1", .state = "agrees", .lines_seen = 9},
	};
	struct id first;
	struct told t;

	(void)state;
	told_init(&t);
	first = tell(&t, &fact)->id;
	assert_text(&t, "app", "web-1");
	assert_text(&t, "state", "agrees");
	assert_text(&t, "window_start", "2026-05-03T22:13:18.000000000Z");
	assert_text(&t, "window_end", "2026-05-03T22:14:18.000000000Z");
	assert_null(json_member(t.attributes, "reason"));
	assert_true(json_number(json_member(t.attributes, "lines_seen")) == 9);
	fact.gap.start_ns -= NS_PER_S;
	assert_int_not_equal(id_compare(&tell(&t, &fact)->id, &first), 0);
	fact.gap.start_ns += NS_PER_S;
	fact.found.app[0] = 'v';
	assert_int_not_equal(id_compare(&tell(&t, &fact)->id, &first), 0);
	told_release(&t);
}

static void listening_says_from_when_to_when_and_whether_others_took_lines(void **state)
{
	struct fact fact = {
		.action = ACTION_trail_listening,
		.noticed_ns = T0,
		.gap = {.start_ns = T0 - 60 * NS_PER_S, .end_ns = T0},
	};
	struct told t;

	(void)state;
	told_init(&t);
	(void)tell(&t, &fact);
	assert_text(&t, "listening_start", "2026-05-03T22:13:18.000000000Z");
	assert_text(&t, "listening_end", "2026-05-03T22:14:18.000000000Z");
	assert_null(json_member(t.attributes, "shared"));
	assert_null(json_member(t.attributes, "lines_recovered"));
	fact.shared = true;
	(void)tell(&t, &fact);
	assert_true(json_bool(json_member(t.attributes, "shared")));
	told_release(&t);
}

static void listening_to_a_part_says_to_which(void **state)
{
	struct trail_self narrow = self;
	struct fact fact = {
		.action = ACTION_trail_listening,
		.noticed_ns = T0,
		.gap = {.start_ns = T0 - 60 * NS_PER_S, .end_ns = T0},
	};
	struct err err;
	struct told t;

	(void)state;
	told_init(&t);
	(void)tell(&t, &fact);
	assert_null(json_member(t.attributes, "subject"));
	trail_free(t.trail);
	narrow.subject = SPAN("logs.other.>");
	assert_int_equal(trail_new(&t.trail, &narrow, &err), ERR_NONE);
	(void)tell(&t, &fact);
	assert_text(&t, "subject", "logs.other.>");
	fact.action = ACTION_trail_started;
	(void)tell(&t, &fact);
	assert_null(json_member(t.attributes, "subject"));
	told_release(&t);
}

static void an_unconfirmed_line_is_named(void **state)
{
	struct fact fact = {
		.action = ACTION_trail_unconfirmed_line,
		.noticed_ns = T0,
		.gap = {.start_ns = T0 - 3600 * NS_PER_S},
		.found = {.app = "web-1", .subject = "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"},
	};
	const struct event *e;
	struct told t;

	(void)state;
	told_init(&t);
	e = tell(&t, &fact);
	assert_int_equal(e->severity, SEVERITY_HIGH);
	assert_true(span_is(e->correlation_id, "4718f5dc-5f98-830a-888b-c53ebf1e1bf5"));
	assert_text(&t, "line_id", "4718f5dc-5f98-830a-888b-c53ebf1e1bf5");
	assert_text(&t, "line_at", "2026-05-03T21:14:18.000000000Z");
	assert_text(&t, "app", "web-1");
	assert_null(json_member(t.attributes, "lines_recovered"));
	told_release(&t);
}

static void the_mailbox_keeps_order_and_drops_what_is_too_much(void **state)
{
	struct fact fact = a_gap(), got;
	struct told t;

	(void)state;
	told_init(&t);
	assert_false(trail_peek(t.trail, &got));
	assert_true(trail_is_empty(t.trail));
	for (unsigned i = 0; i < TRAIL_FACTS_MAX + 10; i++) {
		fact.first_seq = i + 1;
		trail_post(t.trail, &fact);
		assert_false(trail_is_empty(t.trail));
	}
	for (unsigned i = 0; i < TRAIL_FACTS_MAX; i++) {
		assert_true(trail_peek(t.trail, &got));
		assert_int_equal(got.first_seq, i + 1);
		trail_pop(t.trail);
	}
	assert_false(trail_peek(t.trail, &got));
	told_release(&t);
}

static void what_is_offered_leaves_half_of_the_mailbox_to_others(void **state)
{
	struct fact fact = a_gap(), got;
	struct told t;

	(void)state;
	told_init(&t);
	for (unsigned i = 0; i < TRAIL_FACTS_MAX / 2; i++) {
		fact.first_seq = i + 1;
		assert_true(trail_offer(t.trail, &fact));
	}
	fact.first_seq = 1000;
	assert_false(trail_offer(t.trail, &fact));
	for (unsigned i = TRAIL_FACTS_MAX / 2; i < TRAIL_FACTS_MAX; i++) {
		fact.first_seq = i + 1;
		trail_post(t.trail, &fact);
	}
	for (unsigned i = 0; i < TRAIL_FACTS_MAX; i++) {
		assert_true(trail_peek(t.trail, &got));
		assert_int_equal(got.first_seq, i + 1);
		trail_pop(t.trail);
	}
	assert_true(trail_offer(t.trail, &fact));
	told_release(&t);
}

static void damage_becomes_a_gap_wider_than_its_neighbours(void **state)
{
	const struct spool_damage damage = {
		.first_seq = 5, .last_seq = 9, .from_ns = T0, .to_ns = T0 + 7};
	struct fact got = trail_damage(GAP_store_rewound, &damage);

	(void)state;
	assert_int_equal(got.gap.reason, GAP_store_rewound);
	assert_int_equal(got.gap.start_ns, T0 - GAP_MARGIN_NS);
	assert_int_equal(got.gap.end_ns, T0 + 7 + GAP_MARGIN_NS);
	assert_int_equal(got.gap.lines_lost, 5);
	assert_int_equal(got.first_seq, 5);
	assert_int_equal(got.last_seq, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_says_who_and_which_stream),
		cmocka_unit_test(an_open_gap_stands_at_its_start_and_has_no_end),
		cmocka_unit_test(a_gaps_progress_carries_the_gaps_id),
		cmocka_unit_test(a_fact_told_twice_is_one_row_and_another_gap_is_another),
		cmocka_unit_test(times_that_are_not_known_are_left_out),
		cmocka_unit_test(a_dead_letter_says_which_record_and_why),
		cmocka_unit_test(of_whom_nobody_was_told_there_is_a_fact_for_each),
		cmocka_unit_test(a_partition_that_waits_is_named_with_its_days_and_why),
		cmocka_unit_test(what_became_of_a_gap_names_it),
		cmocka_unit_test(windows_of_one_time_are_one_fact_for_each_application),
		cmocka_unit_test(listening_says_from_when_to_when_and_whether_others_took_lines),
		cmocka_unit_test(listening_to_a_part_says_to_which),
		cmocka_unit_test(an_unconfirmed_line_is_named),
		cmocka_unit_test(the_mailbox_keeps_order_and_drops_what_is_too_much),
		cmocka_unit_test(what_is_offered_leaves_half_of_the_mailbox_to_others),
		cmocka_unit_test(damage_becomes_a_gap_wider_than_its_neighbours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
