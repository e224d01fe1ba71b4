/* /ready and /health are green and red for the right reasons, and say what to do. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/json.h"
#include "serve/health.h"

#include <string.h>

#define NOW_NS (INT64_C(1800000000) * NS_PER_S)

static struct status status;
static struct look look;
static struct health health;
static struct buf body;

static int setup(void **state)
{
	(void)state;
	status_init(&status);
	buf_init(&body, HEALTH_BODY_BYTES_MAX);
	look = (struct look){
		.status = &status,
		.heartbeat_seconds = 30,
		.now_ns = NOW_NS,
		.monotonic_ns = status.started_monotonic_ns + HEALTH_START_SECONDS * NS_PER_S,
	};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	status_release(&status);
	buf_release(&body);
	return 0;
}

static void all_is_well(void)
{
	look.spool_open = true;
	look.spool = (struct spool_stats){.bytes = 900, .held_bytes = 10, .max_bytes = 1000};
	atomic_store(&status.source_started, true);
	atomic_store(&status.source_connected, true);
	atomic_store(&status.source_why, NULL);
	atomic_store(&status.heartbeat_on, true);
	atomic_store(&status.heartbeat_last_ns, NOW_NS - NS_PER_S);
	status_set_store(&status, STORE_WORKING, "");
}

static bool ready(void)
{
	health_ready(&look, &health);
	return health.state == HEALTH_OK;
}

static bool healthy(void)
{
	health_health(&look, &health);
	return health.state == HEALTH_OK;
}

/* The body is JSON and says what was found, and the named check alone is red, by that value. */
static void assert_only_red(const char *name, const char *value)
{
	struct json *root = NULL;
	struct err err;
	const struct json *check;
	unsigned red = 0;

	buf_reset(&body);
	health_write(&health, &look, &body);
	assert_int_equal(buf_check(&body, &err), ERR_NONE);
	assert_int_equal(json_parse(&root, span_of(body.data, body.len), &err), ERR_NONE);
	assert_true(span_is(json_text(json_member(root, "status")), name ? "failing" : "ok"));
	check = json_first(json_member(root, "checks"));
	for (; check != NULL; check = json_next(check)) {
		assert_true(json_text(json_member(check, "value")).len > 0);
		assert_true(json_text(json_member(check, "limit")).len > 0);
		assert_true(json_text(json_member(check, "do")).len > 0);
		if (json_bool(json_member(check, "ok")))
			continue;
		red++;
		assert_non_null(name);
		assert_true(span_is(json_text(json_member(check, "name")), name));
		assert_true(span_is(json_text(json_member(check, "value")), value));
	}
	assert_int_equal(red, name ? 1 : 0);
	json_free(root);
}

static void assert_red(const char *name, const char *value)
{
	assert_true(ready());
	assert_false(healthy());
	assert_only_red(name, value);
}

static void before_anything_runs_all_is_red(void **state)
{
	(void)state;
	assert_false(ready());
	assert_false(healthy());
}

static void all_is_well_is_green(void **state)
{
	(void)state;
	all_is_well();
	assert_true(ready());
	assert_only_red(NULL, NULL);
	assert_true(healthy());
	assert_only_red(NULL, NULL);
}

static void a_source_that_retries_is_ready_and_not_healthy(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.source_connected, false);
	atomic_store(&status.source_why, "the server said \"no\"");
	assert_true(ready());
	assert_false(healthy());
	assert_only_red("source", "the server said \"no\"");
	atomic_store(&status.source_why, NULL);
	assert_false(healthy());
	assert_only_red("source", "not connected");
	atomic_store(&status.source_connected, true);
	assert_true(healthy());
}

static void a_source_that_has_not_started_is_not_ready(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.source_started, false);
	atomic_store(&status.source_connected, false);
	assert_false(ready());
}

static void a_postgres_that_is_away_is_ready_and_not_healthy(void **state)
{
	(void)state;
	all_is_well();
	status_set_store(&status, STORE_RETRYING, "connection refused");
	assert_true(ready());
	assert_false(healthy());
	assert_only_red("store", "retrying: connection refused");
	status_set_store(&status, STORE_PARKED, "another machine writes this stream");
	assert_true(ready());
	assert_false(healthy());
	assert_only_red("store", "parked: another machine writes this stream");
	status_set_store(&status, STORE_STARTING, "");
	assert_false(healthy());
	assert_only_red("store", "starting");
}

static void a_full_spool_is_ready_and_not_healthy(void **state)
{
	(void)state;
	all_is_well();
	look.spool.full = true;
	look.spool.held_bytes = 1000;
	assert_red("spool", "full: 100 % of 1000 bytes wait for Postgres");
	look.spool.held_bytes = 10; /* the disk has no room, whatever the bound is */
	assert_red("spool", "full: 1 % of 1000 bytes wait for Postgres");
}

static void a_spool_is_red_at_its_mark_by_what_is_not_stored_alone(void **state)
{
	(void)state;
	all_is_well();
	look.spool.bytes = 1000; /* kept, in case Postgres forgets it */
	look.spool.held_bytes = 10 * (HEALTH_SPOOL_PERCENT_MAX - 1);
	assert_true(healthy());
	look.spool.held_bytes += 1;
	assert_red("spool", "open: 80 % of 1000 bytes wait for Postgres");
}

static void a_lag_is_red_beyond_its_mark(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.oldest_unstored_ns, NOW_NS - HEALTH_LAG_SECONDS_MAX * NS_PER_S);
	assert_true(healthy());
	atomic_fetch_sub(&status.oldest_unstored_ns, NS_PER_MS);
	look.spool.accepted_seq = 12;
	atomic_store(&status.stored_seq, 5);
	atomic_store(&status.stored_known, true);
	assert_red("lag", "30.0 s, 7 records are not stored");
	atomic_store(&status.oldest_unstored_ns, 0);
	assert_true(healthy());
	atomic_store(&status.oldest_unstored_ns, NOW_NS + NS_PER_S); /* the clock went back */
	assert_true(healthy());
}

static void a_heartbeat_is_red_when_three_are_missing(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.heartbeats_missed, HEARTBEAT_MISSES - 1);
	assert_true(healthy());
	atomic_store(&status.heartbeats_missed, HEARTBEAT_MISSES);
	assert_red("heartbeat", "the last came back 1.0 s ago, 3 missing in a row");
}

static void a_heartbeat_is_red_when_it_is_old_though_nobody_counts(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.heartbeat_last_ns, NOW_NS - 100 * NS_PER_S);
	assert_true(healthy());
	atomic_fetch_sub(&status.heartbeat_last_ns, 1);
	assert_red("heartbeat", "the last came back 1 min 40 s ago, 0 missing in a row");
	atomic_store(&status.heartbeat_last_ns, 0);
	assert_red("heartbeat", "none has come back yet, 0 missing in a row");
	look.heartbeat_seconds = 3600;
	atomic_store(&status.heartbeat_last_ns, NOW_NS - 3 * 3600 * NS_PER_S);
	assert_true(healthy());
}

static void a_heartbeat_that_is_off_is_no_failure(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.heartbeat_on, false);
	atomic_store(&status.heartbeat_last_ns, 0);
	assert_true(healthy());
}

static void what_is_the_log_streams_is_not_asked_of_http(void **state)
{
	(void)state;
	all_is_well();
	look.by_http = true;
	atomic_store(&status.heartbeats_missed, HEARTBEAT_MISSES);
	assert_true(healthy());
	for (size_t i = 0; i < health.count; i++)
		assert_string_not_equal(health.checks[i].name, "heartbeat");
}

static void a_clock_is_red_for_a_while_after_a_jump_and_while_it_is_not_set(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.clock_jumps, 2);
	atomic_store(&status.clock_jumped_ns, NOW_NS - HEALTH_CLOCK_SECONDS * NS_PER_S);
	assert_red("clock", "2 jumps, the last 5 min 0 s ago");
	atomic_fetch_sub(&status.clock_jumped_ns, 1);
	assert_true(healthy());
	atomic_store(&status.heartbeat_last_ns, 1);
	look.now_ns = 1000 * NS_PER_S;
	look.heartbeat_seconds = 1000;
	assert_red("clock", "never set: it shows a time before 2025");
}

static void clocks_that_are_apart_are_red_whichever_is_wrong(void **state)
{
	int64_t same_ns = NOW_NS - look.monotonic_ns; /* Postgres's is as this machine's */
	int64_t limit_ns = HEALTH_SKEW_SECONDS_MAX * NS_PER_S;

	(void)state;
	all_is_well();
	atomic_store(&status.store_clock_ns, same_ns + limit_ns);
	assert_true(healthy());
	atomic_store(&status.store_clock_ns, same_ns - limit_ns);
	assert_true(healthy());
	atomic_store(&status.store_clock_ns, same_ns + limit_ns + 1);
	assert_red("clock", "Postgres's clock is 1 min 0 s ahead of this machine's");
	atomic_store(&status.store_clock_ns, same_ns - 86400 * NS_PER_S);
	assert_red("clock", "Postgres's clock is 1 d 0 h behind this machine's");
	/* This machine's is set right: that is a jump, and Postgres need not be asked again. */
	look.now_ns -= 86400 * NS_PER_S;
	atomic_store(&status.heartbeat_last_ns, look.now_ns);
	assert_true(healthy());
}

static void a_spool_that_a_restart_loses_is_ready_and_not_healthy(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.spool_no_volume, true);
	assert_red("spool", "open: 1 % of 1000 bytes wait for Postgres, and not on a volume: a "
			    "restart loses what is not delivered");
}

static void a_worker_that_is_not_well_is_red_while_gaps_are_open(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.worker_why, "Fly's API refuses the token");
	atomic_store(&status.gaps_open, 2);
	assert_red("worker", "Fly's API refuses the token; 2 gaps are open");
	atomic_store(&status.gaps_open, 0);
	assert_true(healthy());
}

static void a_watcher_is_red_when_nothing_can_be_looked_at_for_long(void **state)
{
	enum { FULL_SECONDS = 300, LIMIT = HEALTH_WATCH_INTERVALS * FULL_SECONDS };

	(void)state;
	all_is_well();
	atomic_store(&status.watch_seconds, FULL_SECONDS);
	atomic_store(&status.watch_from_ns, NOW_NS - LIMIT * NS_PER_S);
	assert_true(healthy());
	atomic_fetch_sub(&status.watch_from_ns, 1);
	assert_red("watcher", "nothing was looked at yet, for 15 min 0 s");
	atomic_store(&status.watch_why, "Fly refuses");
	assert_red("watcher", "nothing was looked at yet, for 15 min 0 s: Fly refuses");
	atomic_store(&status.watch_last_ns, NOW_NS - LIMIT * NS_PER_S);
	assert_true(healthy());
	atomic_fetch_sub(&status.watch_last_ns, 1);
	atomic_store(&status.watch_unobserved, 2);
	assert_red("watcher",
		   "the last look was 15 min 0 s ago: Fly refuses; 2 cannot be looked at");
	/* Who begins because another replica has ended has the same time for it. */
	atomic_store(&status.watch_from_ns, NOW_NS);
	assert_true(healthy());
	atomic_store(&status.watch_from_ns, 1);
	atomic_store(&status.watch_elsewhere, true);
	assert_true(healthy());
}

static void a_short_interval_leaves_a_while_for_looking_again(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.watch_seconds, 1);
	atomic_store(&status.watch_last_ns, NOW_NS - HEALTH_WATCH_SECONDS_MIN * NS_PER_S);
	assert_true(healthy());
	atomic_fetch_sub(&status.watch_last_ns, 1);
	assert_red("watcher", "the last look was 3 min 0 s ago; 0 cannot be looked at");
}

static void a_watcher_that_may_not_list_applications_is_red_at_once(void **state)
{
	(void)state;
	all_is_well();
	atomic_store(&status.watch_seconds, 1);
	atomic_store(&status.watch_last_ns, NOW_NS);
	atomic_store(&status.watch_blind, true);
	assert_red("watcher", "the list of applications is refused, so nothing is looked at");
}

static void assert_says(const char *name, const char *value)
{
	assert_true(healthy());
	for (size_t i = 0; i < health.count; i++)
		if (strcmp(health.checks[i].name, name) == 0) {
			assert_string_equal(health.checks[i].value, value);
			return;
		}
	fail();
}

static void retention_that_waits_is_told_and_never_red(void **state)
{
	(void)state;
	all_is_well();
	assert_says("retention", "not applied by this replica yet");
	atomic_store(&status.retention_why, "somebody detached a partition");
	assert_says("retention", "not applied by this replica yet: somebody detached a partition");
	atomic_store(&status.retention_last_ns, NOW_NS - 60 * NS_PER_S);
	atomic_store(&status.partitions_waiting, 3);
	assert_says("retention", "applied 1 min 0 s ago: somebody detached a partition; 3 "
				 "partitions stay though past their terms");
	atomic_store(&status.retention_why, NULL);
	assert_says("retention",
		    "applied 1 min 0 s ago; 3 partitions stay though past their terms");
}

static void it_is_starting_until_it_was_green_once_or_the_time_is_over(void **state)
{
	int64_t start_ns = status.started_monotonic_ns;

	(void)state;
	look.monotonic_ns = start_ns + HEALTH_START_SECONDS * NS_PER_S - 1;
	assert_false(healthy());
	assert_int_equal(health.state, HEALTH_STARTING);
	assert_string_equal(health_state_name(health.state), "starting");
	assert_false(ready());
	assert_int_equal(health.state, HEALTH_FAILING); /* /ready is what it is */
	look.monotonic_ns++;
	assert_false(healthy());
	assert_int_equal(health.state, HEALTH_FAILING);
	look.monotonic_ns = start_ns;
	all_is_well();
	assert_true(healthy());
	atomic_store(&status.source_connected, false);
	assert_false(healthy());
	assert_int_equal(health.state, HEALTH_FAILING);
}

static void what_a_crash_and_the_disk_did_to_the_spool_is_told(void **state)
{
	struct json *root = NULL;
	const struct json *check;
	struct err err;

	(void)state;
	all_is_well();
	look.spool.torn_bytes = 4000;
	look.spool.damage_count = 3;
	assert_true(healthy());
	health_write(&health, &look, &body);
	assert_int_equal(json_parse(&root, span_of(body.data, body.len), &err), ERR_NONE);
	check = json_first(json_member(root, "checks"));
	while (!span_is(json_text(json_member(check, "name")), "spool"))
		check = json_next(check);
	assert_true(json_number(json_member(check, "torn_bytes")) == 4000);
	assert_true(json_number(json_member(check, "damaged_segments")) == 3);
	json_free(root);
}

static void a_sink_is_red_when_somebody_must_act_or_when_it_takes_nothing_for_long(void **state)
{
	struct sink_status *s = &status.sinks[SINK_S3];

	(void)state;
	all_is_well();
	sink_status_set(s, SINK_STARTING, "");
	assert_true(healthy());
	sink_status_set(s, SINK_RETRYING, "no answer");
	atomic_store(&s->failing_ns, NOW_NS - HEALTH_SINK_SECONDS_MAX * NS_PER_S);
	assert_true(healthy());
	atomic_store(&s->failing_ns, NOW_NS - (HEALTH_SINK_SECONDS_MAX + 1) * NS_PER_S);
	assert_false(healthy());
	assert_only_red("s3", "retrying: no answer; it takes nothing for 15 min 1 s");
	atomic_store(&s->failing_ns, NOW_NS - NS_PER_S);
	atomic_store(&s->behind_bytes, 10); /* in an hour a tenth: nine hours are left */
	atomic_store(&s->behind_bytes_max, 100);
	atomic_store(&s->behind_ns, NOW_NS - 3600 * NS_PER_S);
	assert_false(healthy());
	assert_only_red("s3", "retrying: no answer; it takes nothing for 1.0 s, and in 9 h 0 min "
			      "it begins to miss records");
	atomic_store(&s->behind_ns, NOW_NS - 24 * 3600 * NS_PER_S);
	assert_true(healthy());
	atomic_store(&s->failing_ns, 0);
	sink_status_set(s, SINK_PARKED, "the key is refused");
	assert_false(healthy());
	assert_only_red("s3", "parked: the key is refused");
	assert_true(ready());
}

static void who_is_told_is_red_likewise_but_where_another_replica_tells(void **state)
{
	struct sink_status *s = &status.told[NOTIFY_SLACK];

	(void)state;
	all_is_well();
	sink_status_set(s, SINK_STARTING, "");
	assert_true(healthy());
	sink_status_set(s, SINK_PARKED, "Slack answers 404");
	assert_red("slack", "parked: Slack answers 404");
	sink_status_set(s, SINK_RETRYING, "Slack answers 503");
	atomic_store(&s->failing_ns, NOW_NS - (HEALTH_SINK_SECONDS_MAX + 1) * NS_PER_S);
	assert_red("slack", "retrying: Slack answers 503; it takes nothing for 15 min 1 s");
	/* As the notifier does it when the lease is another's. */
	sink_status_set(s, SINK_STARTING, "");
	atomic_store(&s->failing_ns, 0);
	atomic_store(&status.notify_elsewhere[NOTIFY_SLACK], true);
	assert_true(healthy());
	assert_string_equal(health.checks[health.count - 1].name, "slack");
	assert_string_equal(health.checks[health.count - 1].value, "another replica tells");
	sink_status_set(&status.told[NOTIFY_WEBHOOK], SINK_STARTING, "");
	assert_true(healthy());
	assert_string_equal(health.checks[health.count - 1].name, "webhook");
	assert_string_not_equal(health.checks[health.count - 1].value, "another replica tells");
}

static void a_closed_spool_is_neither(void **state)
{
	(void)state;
	all_is_well();
	look.spool_open = false;
	assert_false(ready());
	assert_only_red("spool", "not open");
	assert_false(healthy());
	assert_only_red("spool", "not open");
}

static void the_longest_texts_fit_and_stay_json(void **state)
{
	char error[ERR_TEXT_BYTES];

	(void)state;
	all_is_well();
	memset(error, 1, sizeof(error) - 1); /* six bytes each in JSON */
	error[sizeof(error) - 1] = '\0';
	status_set_store(&status, STORE_RETRYING, error);
	for (size_t i = 0; i < SINK_COUNT; i++) {
		sink_status_set(&status.sinks[i], SINK_PARKED, error);
		atomic_store(&status.sinks[i].failing_ns, 1);
	}
	atomic_store(&status.clock_jumps, UINT64_MAX);
	atomic_store(&status.heartbeats_missed, UINT64_MAX);
	look.heartbeat_seconds = 3600;
	look.spool.max_bytes = UINT64_MAX;
	atomic_store(&status.oldest_unstored_ns, 1);
	assert_false(healthy());
	health_write(&health, &look, &body);
	assert_true(body.len > 6 * (sizeof(error) - 1));
	assert_true(body.len < HEALTH_BODY_BYTES_MAX);
	assert_int_equal(body.failed, ERR_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(before_anything_runs_all_is_red),
		TEST(all_is_well_is_green),
		TEST(a_source_that_retries_is_ready_and_not_healthy),
		TEST(a_source_that_has_not_started_is_not_ready),
		TEST(a_postgres_that_is_away_is_ready_and_not_healthy),
		TEST(a_full_spool_is_ready_and_not_healthy),
		TEST(a_spool_is_red_at_its_mark_by_what_is_not_stored_alone),
		TEST(a_lag_is_red_beyond_its_mark),
		TEST(a_heartbeat_is_red_when_three_are_missing),
		TEST(a_heartbeat_is_red_when_it_is_old_though_nobody_counts),
		TEST(a_heartbeat_that_is_off_is_no_failure),
		TEST(what_is_the_log_streams_is_not_asked_of_http),
		TEST(a_clock_is_red_for_a_while_after_a_jump_and_while_it_is_not_set),
		TEST(clocks_that_are_apart_are_red_whichever_is_wrong),
		TEST(a_spool_that_a_restart_loses_is_ready_and_not_healthy),
		TEST(a_worker_that_is_not_well_is_red_while_gaps_are_open),
		TEST(a_watcher_is_red_when_nothing_can_be_looked_at_for_long),
		TEST(a_short_interval_leaves_a_while_for_looking_again),
		TEST(a_watcher_that_may_not_list_applications_is_red_at_once),
		TEST(retention_that_waits_is_told_and_never_red),
		TEST(it_is_starting_until_it_was_green_once_or_the_time_is_over),
		TEST(what_a_crash_and_the_disk_did_to_the_spool_is_told),
		TEST(a_sink_is_red_when_somebody_must_act_or_when_it_takes_nothing_for_long),
		TEST(who_is_told_is_red_likewise_but_where_another_replica_tells),
		TEST(a_closed_spool_is_neither),
		TEST(the_longest_texts_fit_and_stay_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
