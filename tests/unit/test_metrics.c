/* /metrics is Prometheus' text format to the letter, has every metric once, and rounds nothing. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "serve/metrics.h"
#include "base/version.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_NS (INT64_C(1800000000) * NS_PER_S)

enum { FAMILIES_MAX = 128, NAME_BYTES = 96, SCRAPES = 200 };

static struct status status;
static struct look look;
static struct health health;
static struct buf body;

static int setup(void **state)
{
	(void)state;
	status_init(&status);
	buf_init(&body, METRICS_BODY_BYTES_MAX);
	look = (struct look){.status = &status, .heartbeat_seconds = 30, .now_ns = NOW_NS};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	status_release(&status);
	buf_release(&body);
	return 0;
}

static const char *scrape(void)
{
	struct err err;

	buf_reset(&body);
	health_health(&look, &health);
	metrics_write(&look, &health, &body);
	assert_int_equal(buf_check(&body, &err), ERR_NONE);
	return (const char *)body.data;
}

/* ---- a parser that takes nothing but what the format's description says ---- */

struct parser {
	const char *at;
	char family[NAME_BYTES]; /* as HELP and TYPE named it last */
	bool is_counter, is_histogram;
	uint64_t bucket; /* the last of this histogram */
	double bound;
	bool infinite; /* its last bucket was +Inf */
	unsigned families, samples;
	char seen[FAMILIES_MAX][NAME_BYTES];
};

static void need(struct parser *p, const char *text)
{
	size_t len = strlen(text);

	if (strncmp(p->at, text, len) != 0)
		fail_msg("not \"%s\": %.60s", text, p->at);
	p->at += len;
}

/* [a-z][a-z0-9_]*, which is less than the format allows. */
static void read_name(struct parser *p, char name[NAME_BYTES])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
	size_t len = strspn(p->at, allowed);

	assert_true(len > 0 && len < NAME_BYTES);
	assert_true(p->at[0] >= 'a' && p->at[0] <= 'z');
	memcpy(name, p->at, len);
	name[len] = '\0';
	p->at += len;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static double read_number(struct parser *p)
{
	char *end;
	double value = strtod(p->at, &end);

	assert_true(end > p->at);
	assert_true(*p->at != ' ' && *p->at != '-');
	p->at = end;
	return value;
}

/* # HELP name text, then # TYPE of the same name, which was not there before. */
static void read_head(struct parser *p)
{
	char again[NAME_BYTES];

	need(p, "# HELP ");
	read_name(p, p->family);
	need(p, " ");
	assert_int_equal(strncmp(p->family, "flytrail_", 9), 0);
	assert_true(strcspn(p->at, "\n") > 10); /* it says something */
	assert_null(memchr(p->at, '\\', strcspn(p->at, "\n")));
	p->at += strcspn(p->at, "\n");
	need(p, "\n# TYPE ");
	read_name(p, again);
	assert_string_equal(again, p->family);
	for (unsigned i = 0; i < p->families; i++)
		assert_string_not_equal(p->seen[i], p->family);
	assert_true(p->families < FAMILIES_MAX);
	memcpy(p->seen[p->families++], p->family, NAME_BYTES);
	p->is_counter = strncmp(p->at, " counter\n", 9) == 0;
	p->is_histogram = strncmp(p->at, " histogram\n", 11) == 0;
	if (!p->is_counter && !p->is_histogram)
		need(p, " gauge\n");
	else
		p->at += strcspn(p->at, "\n") + 1;
	assert_true(ends_with(p->family, "_total") == p->is_counter);
	p->bucket = 0;
	p->bound = -1;
	p->infinite = false;
}

static void read_bucket(struct parser *p)
{
	uint64_t count;
	double bound;

	need(p, "{le=\"");
	if (strncmp(p->at, "+Inf", 4) == 0) {
		p->at += 4;
		p->infinite = true;
	} else {
		assert_false(p->infinite);
		bound = read_number(p);
		assert_true(bound > p->bound);
		p->bound = bound;
	}
	need(p, "\"} ");
	count = (uint64_t)read_number(p);
	assert_true(count >= p->bucket);
	p->bucket = count;
}

static void read_sample(struct parser *p)
{
	char name[NAME_BYTES];
	size_t family_len = strlen(p->family);

	read_name(p, name);
	assert_int_equal(strncmp(name, p->family, family_len), 0);
	if (p->is_histogram && strcmp(name + family_len, "_bucket") == 0) {
		read_bucket(p);
	} else if (p->is_histogram && strcmp(name + family_len, "_count") == 0) {
		assert_true(p->infinite);
		need(p, " ");
		assert_true((uint64_t)read_number(p) == p->bucket);
	} else {
		assert_string_equal(name + family_len, p->is_histogram ? "_sum" : "");
		if (*p->at == '{') { /* one label, without escapes */
			p->at++;
			read_name(p, name);
			need(p, "=\"");
			p->at += strcspn(p->at, "\"\\\n");
			need(p, "\"}");
		}
		need(p, " ");
		(void)read_number(p);
	}
	need(p, "\n");
	p->samples++;
}

static void parse(struct parser *p, const char *text)
{
	*p = (struct parser){.at = text};
	while (*p->at != '\0') {
		if (*p->at == '#')
			read_head(p);
		read_sample(p);
	}
}

/* ---- */

static bool has(const char *line)
{
	const char *at = strstr(scrape(), line);

	return at != NULL && at[strlen(line)] == '\n' &&
	       (at == (const char *)body.data || at[-1] == '\n');
}

static void a_page_of_a_process_that_has_just_begun_is_well_formed(void **state)
{
	struct parser p;
	unsigned rows = 0;

	(void)state;
#define METRIC(type, name, value, help) rows++;
#define HISTOGRAM(name, field, help) rows++;
#include "serve/metrics.def"
#undef HISTOGRAM
#undef METRIC
	parse(&p, scrape());
	assert_int_equal(p.families, rows + 3);
	assert_true(has("flytrail_lines_received_total 0"));
	assert_true(has("flytrail_source_received_age_seconds NaN"));
	assert_true(has("flytrail_build_info{version=\"" FLYTRAIL_VERSION "\"} 1"));
	assert_true(has("flytrail_check_ok{check=\"store\"} 0"));
	assert_true(has("flytrail_check_ok{check=\"worker\"} 1"));
	assert_true(has("flytrail_spool_commit_duration_seconds_bucket{le=\"+Inf\"} 0"));
}

static void numbers_are_exact(void **state)
{
	(void)state;
	atomic_store(&status.lines_received, UINT64_C(9007199254740993)); /* no double has it */
	atomic_store(&status.last_received_ns, NOW_NS - 1500 * NS_PER_MS);
	atomic_store(&status.oldest_unstored_ns, NOW_NS - 1);
	status.started_ns = NOW_NS - 123456789;
	look.spool = (struct spool_stats){.accepted_seq = 107, .opened_seq = 100, .held_bytes = 33};
	atomic_store(&status.stored_seq, 95);
	atomic_store(&status.stored_known, true);
	assert_true(has("flytrail_lines_received_total 9007199254740993"));
	assert_true(has("flytrail_source_received_age_seconds 1.500000000"));
	assert_true(has("flytrail_store_lag_seconds 0.000000001"));
	assert_true(has("flytrail_start_time_seconds 1799999999.876543211"));
	assert_true(has("flytrail_records_accepted_total 7"));
	assert_true(has("flytrail_spool_records 12"));
	assert_true(has("flytrail_spool_held_bytes 33"));
}

static void each_counter_stands_under_its_own_name(void **state)
{
	static const struct {
		_Atomic uint64_t *field;
		const char *line;
	} rows[] = {
		{&status.lines_lost, "flytrail_lines_dropped_total 7"},
		{&status.lines_decoded, "flytrail_lines_decoded_total 7"},
		{&status.lines_undecoded, "flytrail_lines_undecoded_total 7"},
		{&status.lines_redacted, "flytrail_lines_redacted_total 7"},
		{&status.lines_classified, "flytrail_lines_classified_total 7"},
		{&status.lines_accepted, "flytrail_lines_accepted_total 7"},
		{&status.facts_accepted, "flytrail_facts_accepted_total 7"},
		{&status.lines_stored, "flytrail_lines_stored_total 7"},
		{&status.events_stored, "flytrail_events_stored_total 7"},
		{&status.lines_duplicate, "flytrail_lines_duplicate_total 7"},
		{&status.dead_letters, "flytrail_dead_letters_total 7"},
		{&status.records_found, "flytrail_records_found_total 7"},
		{&status.records_passed, "flytrail_records_passed_total 7"},
		{&status.records_unanswered, "flytrail_records_unanswered_total 7"},
		{&status.records_damaged, "flytrail_records_damaged_total 7"},
		{&status.records_forgotten, "flytrail_records_forgotten_total 7"},
		{&status.gaps, "flytrail_gaps_noticed_total 7"},
		{&status.gaps_open, "flytrail_gaps_open 7"},
		{&status.lines_recovered, "flytrail_lines_recovered_total 7"},
		{&status.lines_confirmed, "flytrail_lines_confirmed_total 7"},
		{&status.lines_unconfirmed, "flytrail_lines_unconfirmed_total 7"},
		{&status.id_mismatches, "flytrail_id_mismatches_total 7"},
		{&status.api_pages, "flytrail_api_pages_total 7"},
		{&status.api_errors, "flytrail_api_errors_total 7"},
		{&status.heartbeats_sent, "flytrail_heartbeats_sent_total 7"},
		{&status.heartbeats_returned, "flytrail_heartbeats_returned_total 7"},
		{&status.heartbeats_missed, "flytrail_heartbeats_missed 7"},
		{&status.clock_jumps, "flytrail_clock_jumps_total 7"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		atomic_store(rows[i].field, 7);
		if (!has(rows[i].line))
			fail_msg("%s", rows[i].line);
		atomic_store(rows[i].field, 0);
		assert_false(has(rows[i].line));
	}
}

static void histograms_are_cumulative_and_end_with_all(void **state)
{
	struct parser p;

	(void)state;
	histogram_add(&status.copies, 3 * NS_PER_MS);
	histogram_add(&status.copies, 4 * NS_PER_MS);
	histogram_add(&status.copies, 40 * NS_PER_MS);
	histogram_add(&status.copies, 100 * NS_PER_S);
	parse(&p, scrape());
#define COPY "flytrail_store_copy_duration_seconds"
	assert_true(has(COPY "_bucket{le=\"0.002000000\"} 0"));
	assert_true(has(COPY "_bucket{le=\"0.005000000\"} 2"));
	assert_true(has(COPY "_bucket{le=\"0.050000000\"} 3"));
	assert_true(has(COPY "_bucket{le=\"60.000000000\"} 3"));
	assert_true(has(COPY "_bucket{le=\"+Inf\"} 4"));
	assert_true(has(COPY "_sum 100.047000000"));
	assert_true(has(COPY "_count 4"));
#undef COPY
}

static void sinks_have_a_label_and_are_there_where_they_are_on(void **state)
{
	struct sink_status *s = &status.sinks[SINK_S3];
	struct parser p;

	(void)state;
	parse(&p, scrape());
	assert_false(has("flytrail_sink_working{"));
	sink_status_set(s, SINK_PARKED, "the key is refused");
	atomic_store(&s->missed, 12);
	atomic_store(&s->behind_bytes, 1000);
	atomic_store(&s->behind_bytes_max, 4000);
	atomic_store(&s->behind_ns, NOW_NS - 1000 * NS_PER_S);
	parse(&p, scrape());
	assert_true(has("flytrail_sink_working{sink=\"s3\"} 0"));
	assert_true(has("flytrail_sink_parked{sink=\"s3\"} 1"));
	assert_true(has("flytrail_sink_missed_total{sink=\"s3\"} 12"));
	assert_true(has("flytrail_sink_delivered_age_seconds{sink=\"s3\"} NaN"));
	assert_true(has("flytrail_sink_behind_age_seconds{sink=\"s3\"} 1000.000000000"));
	assert_true(has("flytrail_sink_missing_left_seconds{sink=\"s3\"} 3000.000000000"));
	assert_false(has("flytrail_sink_working{sink=\"datadog\"}"));
	atomic_store(&s->behind_bytes, 4001); /* it has begun */
	parse(&p, scrape());
	assert_true(has("flytrail_sink_missing_left_seconds{sink=\"s3\"} 0.000000000"));
}

static void the_longest_page_fits_twice(void **state)
{
	struct parser p;

	(void)state;
	/* Every byte of the counters and histograms, up to the locks, which are no numbers. */
	memset(&status, 0x7f, offsetof(struct status, sinks));
	for (size_t i = 0; i < SINK_COUNT; i++) {
		memset(&status.sinks[i], 0x7f, offsetof(struct sink_status, lock));
		atomic_store(&status.sinks[i].state, SINK_PARKED);
	}
	atomic_store(&status.source_why, "not connected");
	atomic_store(&status.worker_why, "the token is refused");
	atomic_store(&status.heartbeat_why, "a heartbeat could not be printed");
	atomic_store(&status.watch_why, "Fly refuses");
	atomic_store(&status.retention_why, "Postgres does not answer");
	atomic_store(&status.store_state, STORE_PARKED);
	memset(&look.spool, 0x7f, sizeof(look.spool));
	look.spool.full = true;
	atomic_store(&status.source_connected, true);
	atomic_store(&status.intake_stopped, true);
	atomic_store(&status.heartbeat_on, true);
	atomic_store(&status.watch_elsewhere, false);
	atomic_store(&status.watch_blind, true);
	atomic_store(&status.watch_alone, true);
	atomic_store(&status.was_healthy, true);
	atomic_store(&status.source_started, true);
	atomic_store(&status.stored_known, true);
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) { /* their sum is to fit, too */
		atomic_store(&status.copies.counts[i], UINT64_MAX / 32);
		atomic_store(&status.commits.counts[i], UINT64_MAX / 32);
		atomic_store(&status.transactions.counts[i], UINT64_MAX / 32);
	}
	parse(&p, scrape());
	assert_true(body.len < METRICS_BODY_BYTES_MAX / 2);
}

static _Atomic bool enough;

static void *count_on(void *arg)
{
	(void)arg;
	while (!atomic_load(&enough)) {
		histogram_add(&status.commits, NS_PER_MS);
		histogram_add(&status.copies, 70 * NS_PER_S);
		atomic_fetch_add(&status.lines_received, 1);
		atomic_fetch_add_explicit(&status.lines_accepted, 1, memory_order_relaxed);
		status_set_store(&status, STORE_RETRYING, "away");
		atomic_store(&status.worker_why, "away");
		atomic_store(&status.worker_why, NULL);
	}
	return NULL;
}

static void a_page_is_well_formed_while_others_count(void **state)
{
	struct parser p;
	pthread_t thread;

	(void)state;
	atomic_store(&enough, false);
	assert_int_equal(pthread_create(&thread, NULL, count_on, NULL), 0);
	for (int i = 0; i < SCRAPES; i++)
		parse(&p, scrape());
	atomic_store(&enough, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_page_of_a_process_that_has_just_begun_is_well_formed),
		TEST(numbers_are_exact),
		TEST(each_counter_stands_under_its_own_name),
		TEST(histograms_are_cumulative_and_end_with_all),
		TEST(sinks_have_a_label_and_are_there_where_they_are_on),
		TEST(the_longest_page_fits_twice),
		TEST(a_page_is_well_formed_while_others_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
