/* What the HTTP source asks for next, and when it says on disk how far it has come. */

#include "source/http_logs.h"

#include "base/fly_client.h"
#include "base/time.h"
#include "source/gap_track.h"
#include "source/logs_api.h"
#include "source/positions.h"

#include "fault.h"
#include "scratch.h"
#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { LATE_SECONDS = 60, ANSWERS_MAX = 40, ANSWER_BYTES = 64 * 1024, TRIES_MAX = 100 };

#define DAY (NS_PER_S * 24 * 3600)
#define LIST "{\"apps\":[{\"name\":\"web-1\"}]}"
#define TWO "{\"apps\":[{\"name\":\"web-1\"},{\"name\":\"web-2\"}]}"
#define EMPTY "{\"data\":[],\"meta\":{}}"

static struct scratch folder;
static struct tiny_http server;
static struct source source;
static struct batch *one, *two;
static struct err err;
static uint64_t appended, accepted;
static int64_t heartbeat_ns;

/* The answers that the server gives. */
static char texts[ANSWERS_MAX][ANSWER_BYTES];
static const char *answers[ANSWERS_MAX + 1];
static size_t answer_count;

static int set_up(void **state)
{
	(void)state;
	answer_count = 0;
	memset(answers, 0, sizeof(answers));
	appended = accepted = 0;
	heartbeat_ns = 0;
	fault_stop_clocks();
	scratch_make(&folder);
	return batch_new(&one, &err) || batch_new(&two, &err);
}

static int tear_down(void **state)
{
	(void)state;
	if (source.ops) {
		source.ops->close(source.ctx);
		tiny_http_stop(&server);
	}
	source.ops = NULL;
	batch_free(one);
	batch_free(two);
	scratch_remove(&folder);
	return 0;
}

static void answer(unsigned status, const char *body)
{
	assert_true(answer_count < ANSWERS_MAX);
	answers[answer_count] =
		tiny_http_answer(texts[answer_count], ANSWER_BYTES, status, "", body);
	answer_count++;
}

/* A page of count lines, a nanosecond apart. */
static void answer_page(int64_t ns, const char *message, int count)
{
	char body[ANSWER_BYTES] = "{\"data\":[", time[TIME_TEXT_BYTES];
	size_t len = strlen(body);

	for (int i = 0; i < count; i++)
		len += (size_t)snprintf(
			body + len, sizeof(body) - len,
			"%s{\"id\":\"x\",\"attributes\":{\"timestamp\":\"%s\",\"message\":\"%s\"}}",
			i > 0 ? "," : "", time_format(ns + i, time), message);
	(void)snprintf(body + len, sizeof(body) - len, "],\"meta\":{}}");
	answer(200, body);
}

static bool spool_seqs(void *ctx, uint64_t *ret_appended, uint64_t *ret_accepted)
{
	assert_ptr_equal(ctx, &appended);
	*ret_appended = appended;
	*ret_accepted = accepted;
	return true;
}

static void open_source(int64_t last_live_ns)
{
	struct http_logs_options options = {
		.heartbeat_ns = heartbeat_ns,
		.token = "fm2_example0",
		.org = "example-org",
		.folder = folder.path,
		.last_live_ns = last_live_ns,
		.late_ns = LATE_SECONDS * NS_PER_S,
		.spool_seqs = spool_seqs,
		.ctx = &appended,
	};

	tiny_http_start(&server, answers);
	options.url = server.url;
	options.machines_url = server.url;
	assert_int_equal(http_logs_open(&source, &options, &err), ERR_NONE);
}

static void read_into(struct batch *b)
{
	batch_reset(b);
	assert_int_equal(source.ops->read(source.ctx, b, &err), ERR_NONE);
	assert_int_equal(b->source, SOURCE_HTTP);
}

/* Reads until the server was asked so often; what came last is in `one`. Time passes where a read
 * waits. */
static void read_to_request(size_t count)
{
	for (int i = 0; i < TRIES_MAX && atomic_load(&server.count) < count; i++) {
		size_t before = atomic_load(&server.count);

		read_into(one);
		if (atomic_load(&server.count) == before)
			fault_step_clock(SOURCE_WAIT_MS * NS_PER_MS);
	}
	assert_int_equal(atomic_load(&server.count), count);
}

/* The time that a request asked for. */
static int64_t asked_ns(size_t request)
{
	const char *at = strstr(server.requests[request], "next_token=");

	assert_non_null(at);
	return strtoll(at + strlen("next_token="), NULL, 10);
}

static bool asks_for(size_t request, const char *what)
{
	return strstr(server.requests[request], what) != NULL;
}

static bool has_message(const struct batch *b, const char *message)
{
	for (size_t i = 0; i < b->count; i++) {
		struct span line = batch_line(b, &b->raws[i]);

		if (memmem(line.data, line.len, message, strlen(message)))
			return true;
	}
	return false;
}

static bool connected(const char **ret_why)
{
	return source.ops->connected(source.ctx, ret_why);
}

static void the_first_start_begins_now_and_misses_nothing(void **state)
{
	int64_t now_ns = time_now_ns();
	const char *why;

	(void)state;
	answer(200, LIST);
	answer_page(now_ns + 2 * NS_PER_S, "a", 1);
	open_source(0);
	assert_false(connected(&why));
	read_to_request(1);
	assert_true(asks_for(0, "GET /v1/apps?org_slug=example-org "));
	assert_int_equal(one->gap_count, 0);
	assert_true(connected(&why));
	read_to_request(2);
	assert_true(asks_for(1, "GET /api/v1/apps/web-1/logs?"));
	assert_in_range(asked_ns(1) - now_ns, 0, NS_PER_S);
	assert_int_equal(one->gap_count, 0);
	assert_int_equal(one->count, 1);
}

static void a_full_page_is_followed_at_once_and_an_empty_one_after_a_growing_wait(void **state)
{
	int64_t now_ns = time_now_ns(), before_ns;

	(void)state;
	fault_step_clock(3600 * NS_PER_S); /* so that no page is of the future */
	answer(200, LIST);
	answer_page(now_ns + 3000 * NS_PER_S, "full", LOGS_API_PAGE_LINES);
	for (int i = 0; i < 3; i++)
		answer(200, EMPTY);
	open_source(now_ns);
	read_to_request(2);
	assert_int_equal(one->count, LOGS_API_PAGE_LINES);
	before_ns = time_monotonic_ns();
	read_to_request(3);
	assert_true(time_monotonic_ns() == before_ns);
	before_ns = time_monotonic_ns();
	read_to_request(4);
	assert_in_range(time_monotonic_ns() - before_ns, 200 * NS_PER_MS, 400 * NS_PER_MS);
	before_ns = time_monotonic_ns();
	read_to_request(5);
	assert_in_range(time_monotonic_ns() - before_ns, 450 * NS_PER_MS, 900 * NS_PER_MS);
}

static void a_line_that_is_seen_late_is_read_and_others_not_twice(void **state)
{
	int64_t start_ns = time_now_ns();

	(void)state;
	answer(200, LIST);
	answer_page(start_ns + 9 * NS_PER_S, "young", 1);
	answer(200, EMPTY);
	answer(200, EMPTY);
	answer_page(start_ns + 5 * NS_PER_S, "late", 1);
	open_source(0);
	fault_step_clock(10 * NS_PER_S);
	read_to_request(2);
	assert_true(has_message(one, "young"));
	read_to_request(3);
	assert_int_equal(asked_ns(2), start_ns + 9 * NS_PER_S - 1);
	fault_step_clock(70 * NS_PER_S);
	read_to_request(4);
	read_to_request(5);
	/* One of the two is the next page, the other is what the first reading began with. */
	assert_int_equal(asked_ns(3) < asked_ns(4) ? asked_ns(4) : asked_ns(3),
			 start_ns + 9 * NS_PER_S - 1);
	assert_true((asked_ns(3) < asked_ns(4) ? asked_ns(3) : asked_ns(4)) <
		    start_ns + 2 * NS_PER_S);
}

/* After an absence, what is old when it comes is not read twice, and the rest is. */
static void only_what_was_young_is_read_a_second_time(void **state)
{
	int64_t now_ns = time_now_ns(), first_ns, second_ns;

	(void)state;
	answer(200, LIST);
	answer_page(now_ns - 5 * NS_PER_S, "young", 1);
	answer(200, EMPTY);
	answer(200, EMPTY);
	answer(200, EMPTY);
	open_source(now_ns - 600 * NS_PER_S);
	read_to_request(3);
	fault_step_clock(70 * NS_PER_S);
	read_to_request(5);
	first_ns = asked_ns(3) < asked_ns(4) ? asked_ns(3) : asked_ns(4);
	second_ns = asked_ns(3) < asked_ns(4) ? asked_ns(4) : asked_ns(3);
	assert_in_range(first_ns - (now_ns - LATE_SECONDS * NS_PER_S), 0, NS_PER_S);
	assert_int_equal(second_ns, now_ns - 5 * NS_PER_S - 1);
}

static void what_was_read_a_while_ago_is_left_out(void **state)
{
	int64_t now_ns = time_now_ns();

	(void)state;
	answer(200, LIST);
	answer_page(now_ns - 10 * NS_PER_S, "a", 2);
	answer_page(now_ns - 10 * NS_PER_S + 1, "a", 1);
	answer_page(now_ns - 10 * NS_PER_S + 1, "a", 2);
	open_source(now_ns);
	read_to_request(2);
	assert_int_equal(one->count, 2);
	read_to_request(3);
	assert_int_equal(one->count, 0);
	read_to_request(4);
	assert_int_equal(one->count, 1);
}

static void an_application_that_is_gone_rests_until_the_list_has_it(void **state)
{
	(void)state;
	answer(200, LIST);
	answer(404, "");
	answer(200, LIST);
	answer(200, EMPTY);
	open_source(0);
	read_to_request(2);
	for (int i = 0; i < 5; i++)
		read_into(one);
	assert_int_equal(atomic_load(&server.count), 2);
	fault_step_clock((HTTP_LOGS_LIST_SECONDS + 1) * NS_PER_S);
	read_to_request(4);
	assert_true(asks_for(2, "/v1/apps?"));
	assert_true(asks_for(3, "/web-1/logs?"));
}

static void a_new_application_is_read_from_when_flytrail_began(void **state)
{
	int64_t now_ns = time_now_ns();

	(void)state;
	answer(200, LIST);
	answer(200, EMPTY);
	answer(200, EMPTY);
	answer(200, "{\"apps\":[{\"name\":\"web-1\"},{\"name\":\"new\"}]}");
	answer(200, EMPTY);
	open_source(0);
	read_to_request(2);
	fault_step_clock((HTTP_LOGS_LIST_SECONDS + 1) * NS_PER_S);
	read_to_request(5);
	assert_true(asks_for(3, "/v1/apps?"));
	assert_true(asks_for(4, "/new/logs?"));
	assert_in_range(asked_ns(4) - now_ns, 0, NS_PER_S);
}

static void failures_in_a_row_are_told_and_a_success_ends_them(void **state)
{
	const char *why;

	(void)state;
	answer(200, LIST);
	for (int i = 0; i < HTTP_LOGS_FAILURES_TOLD; i++)
		answer(500, "");
	answer(200, EMPTY);
	open_source(0);
	read_to_request(1);
	for (int i = 1; i <= HTTP_LOGS_FAILURES_TOLD; i++) {
		assert_true(connected(&why));
		fault_step_clock(60 * NS_PER_S);
		read_to_request(1 + (size_t)i);
	}
	assert_false(connected(&why));
	assert_non_null(strstr(why, "FLYTRAIL_API_URL"));
	fault_step_clock(60 * NS_PER_S);
	read_to_request(2 + HTTP_LOGS_FAILURES_TOLD);
	assert_true(connected(&why));
	assert_null(why);
}

static void a_refused_token_is_told_as_such(void **state)
{
	const char *why;

	(void)state;
	for (int i = 0; i < FLY_CLIENT_REFUSALS_MAX; i++)
		answer(401, "");
	open_source(0);
	for (size_t i = 1; i <= FLY_CLIENT_REFUSALS_MAX; i++) {
		read_to_request(i);
		fault_step_clock(60 * NS_PER_S);
	}
	assert_false(connected(&why));
	assert_non_null(strstr(why, "ACCESS_TOKEN"));
}

static void hold_back(struct batch *other, int reads)
{
	for (int i = 0; i < reads; i++) {
		fault_step_clock(6 * NS_PER_S);
		read_into(other);
	}
}

static size_t count_of_file(void)
{
	struct positions p;
	size_t count;

	assert_int_equal(positions_read(folder.path, &p, &err), ERR_NONE);
	count = p.count;
	positions_release(&p);
	return count;
}

static void a_batch_that_is_not_back_holds_its_positions_back(void **state)
{
	int64_t now_ns = time_now_ns();

	(void)state;
	answer(200, LIST);
	answer_page(now_ns - 300 * NS_PER_S, "old", 1);
	for (int i = 0; i < 30; i++)
		answer(200, EMPTY);
	open_source(now_ns - 600 * NS_PER_S);
	read_to_request(2);
	assert_int_equal(one->count, 1); /* the pipeline has it now */
	appended = accepted = 0;
	hold_back(two, 6);
	assert_int_equal(count_of_file(), 0);
	appended = 5; /* its lines are in the spool, but not yet on disk */
	read_into(one);
	hold_back(two, 4);
	assert_int_equal(count_of_file(), 0);
	accepted = 4;
	hold_back(two, 2);
	assert_int_equal(count_of_file(), 0);
	accepted = 5;
	read_into(two);
	assert_int_equal(count_of_file(), 0); /* it may be that the program is failing */
	hold_back(two, 2);
	assert_int_equal(count_of_file(), 1);
}

static void write_positions(int64_t began_ns, int64_t listened_ns, int64_t sure_ns,
			    int64_t checked_ns)
{
	struct position app = {.app = "web-1", .sure_ns = sure_ns, .checked_ns = checked_ns};
	const struct positions p = {
		.began_ns = began_ns, .listened_ns = listened_ns, .apps = &app, .count = 1};

	assert_int_equal(positions_write(folder.path, &p, &err), ERR_NONE);
}

static void a_restart_goes_on_from_its_positions(void **state)
{
	int64_t now_ns = time_now_ns();

	(void)state;
	write_positions(now_ns - 20 * DAY, now_ns - DAY, now_ns - 2 * DAY, now_ns - DAY);
	answer(500, "");
	answer(200, EMPTY);
	open_source(now_ns - DAY);
	read_to_request(1);
	fault_step_clock(2 * NS_PER_S);
	read_to_request(2);
	assert_int_equal(asked_ns(1), now_ns - 2 * DAY);
	assert_int_equal(one->gap_count, 0);
}

static void an_application_that_says_little_is_no_gap(void **state)
{
	int64_t now_ns = time_now_ns();

	(void)state;
	write_positions(now_ns - 60 * DAY, now_ns - DAY, now_ns - 30 * DAY, now_ns - DAY);
	answer(200, LIST);
	answer(200, EMPTY);
	open_source(now_ns - DAY);
	read_to_request(1);
	assert_int_equal(one->gap_count, 0);
	read_to_request(2);
	assert_in_range(asked_ns(1) - (now_ns - 7 * DAY), 0, 10 * NS_PER_S);
}

static void what_fly_keeps_no_more_is_a_gap(void **state)
{
	int64_t now_ns = time_now_ns();

	(void)state;
	write_positions(now_ns - 60 * DAY, now_ns - 9 * DAY, now_ns - 10 * DAY, 0);
	answer(200, LIST);
	open_source(now_ns - 9 * DAY);
	read_to_request(1);
	assert_int_equal(one->gap_count, 1);
	assert_int_equal(one->gaps[0].reason, GAP_start);
	assert_int_equal(one->gaps[0].start_ns, now_ns - 9 * DAY);
	assert_in_range(one->gaps[0].end_ns - (now_ns - 7 * DAY), GAP_MARGIN_NS, 2 * GAP_MARGIN_NS);
	read_into(one);
	assert_int_equal(one->gap_count, 0);
}

static void without_positions_the_spools_last_line_is_where_it_goes_on(void **state)
{
	int64_t now_ns = time_now_ns();

	(void)state;
	answer(200, LIST);
	answer(200, EMPTY);
	open_source(now_ns - DAY);
	read_to_request(2);
	assert_int_equal(asked_ns(1), now_ns - DAY - GAP_MARGIN_NS);
	assert_int_equal(one->gap_count, 0);
}

static void a_spool_that_says_nothing_of_its_last_line_is_a_gap(void **state)
{
	(void)state;
	answer(200, LIST);
	open_source(1);
	read_to_request(1);
	assert_int_equal(one->gap_count, 1);
	assert_int_equal(one->gaps[0].start_ns, 1);
}

static void an_absence_longer_than_fly_keeps_lines_is_a_gap(void **state)
{
	(void)state;
	answer(200, LIST);
	answer(200, EMPTY);
	open_source(0);
	read_to_request(1);
	fault_step_clock(8 * DAY);
	read_to_request(2);
	assert_int_equal(one->gap_count, 1);
	assert_int_equal(one->gaps[0].reason, GAP_disconnect);
}

/* ---- what was listened to ---- */

/* The only word in `one`. */
static struct listened word(void)
{
	assert_int_equal(one->listened_count, 1);
	return one->listened[0];
}

/* What is told at the end comes into `one`. */
static void read_last(void)
{
	batch_reset(one);
	source.ops->last_gaps(source.ctx, one);
}

static void assert_near(int64_t ns, int64_t expected_ns)
{
	assert_in_range(ns - expected_ns + NS_PER_S, 0, 3 * NS_PER_S);
}

/* Answers to the pages of an application and the list that are due a while after the last ones. */
static void answer_round(void)
{
	answer(200, EMPTY);
	answer(200, LIST);
}

static void an_idle_time_is_listened_to_in_words_that_touch(void **state)
{
	int64_t now_ns = time_now_ns();
	struct listened first;

	(void)state;
	answer(200, LIST);
	answer(200, EMPTY);
	answer_round();
	answer_round();
	open_source(0);
	read_to_request(1);
	assert_int_equal(one->listened_count, 0);
	read_to_request(2);
	fault_step_clock(400 * NS_PER_S);
	read_to_request(4);
	first = word();
	assert_near(first.since_ns, now_ns);
	assert_near(first.until_ns, now_ns + (400 - LATE_SECONDS) * NS_PER_S);
	fault_step_clock(400 * NS_PER_S);
	read_to_request(6);
	assert_true(word().since_ns == first.until_ns);
	assert_near(word().until_ns, now_ns + (800 - LATE_SECONDS) * NS_PER_S);
	assert_int_equal(one->gap_count, 0);
	fault_step_clock(100 * NS_PER_S);
	read_last();
	assert_int_equal(one->listened_count, 0); /* nothing was asked since */
}

static void words_come_as_often_as_ten_heartbeats(void **state)
{
	(void)state;
	heartbeat_ns = NS_PER_S;
	answer(200, LIST);
	answer(200, EMPTY);
	answer_round();
	open_source(time_now_ns() - 600 * NS_PER_S);
	read_to_request(2);
	fault_step_clock(11 * NS_PER_S);
	read_to_request(4);
	assert_true(asks_for(3, "/v1/apps?"));
	assert_int_equal(one->listened_count, 1);
}

static void no_word_goes_beyond_an_application_that_cannot_be_read(void **state)
{
	int64_t now_ns = time_now_ns();

	(void)state;
	answer(200, TWO);
	answer(200, EMPTY);
	answer(500, "");
	answer(200, EMPTY);
	answer(500, "");
	answer(200, TWO);
	answer(200, EMPTY);
	answer(200, EMPTY);
	open_source(0);
	read_to_request(3);
	fault_step_clock(400 * NS_PER_S);
	read_to_request(6);
	assert_int_equal(one->listened_count, 0);
	fault_step_clock(100 * NS_PER_S);
	read_to_request(8);
	read_last();
	/* The list is the oldest answer now. */
	assert_near(word().since_ns, now_ns);
	assert_near(word().until_ns, now_ns + (400 - LATE_SECONDS) * NS_PER_S);
}

static void without_a_list_nothing_is_vouched_for(void **state)
{
	(void)state;
	write_positions(time_now_ns() - DAY, time_now_ns() - 3600 * NS_PER_S,
			time_now_ns() - 3600 * NS_PER_S, 0);
	answer(500, "");
	answer(200, EMPTY);
	open_source(0);
	fault_step_clock(100 * NS_PER_S);
	read_to_request(2);
	read_last();
	assert_int_equal(one->listened_count, 0);
}

static void with_more_applications_than_can_be_polled_nothing_is_vouched_for(void **state)
{
	int64_t old_ns = time_now_ns() - 3600 * NS_PER_S;
	struct positions p = {
		.began_ns = old_ns, .listened_ns = old_ns, .count = LOGS_API_APPS_MAX};

	(void)state;
	p.apps = calloc(p.count, sizeof(*p.apps));
	assert_non_null(p.apps);
	for (size_t i = 0; i < p.count; i++) {
		(void)snprintf(p.apps[i].app, sizeof(p.apps[i].app), "app-%zu", i);
		p.apps[i].sure_ns = old_ns + 600 * NS_PER_S;
	}
	assert_int_equal(positions_write(folder.path, &p, &err), ERR_NONE);
	positions_release(&p);
	answer(200, "{\"apps\":[{\"name\":\"app-7\"}]}");
	open_source(0);
	read_to_request(1);
	assert_true(word().until_ns == old_ns + 600 * NS_PER_S);
	source.ops->close(source.ctx);
	tiny_http_stop(&server);
	answer_count = 0;
	answer(200, LIST);
	open_source(0);
	read_to_request(1);
	assert_int_equal(one->listened_count, 0);
	read_last();
	assert_int_equal(one->listened_count, 0);
}

static void an_absence_is_listened_to_once_it_is_read(void **state)
{
	int64_t now_ns = time_now_ns(), told_ns = now_ns - 3600 * NS_PER_S;

	(void)state;
	write_positions(now_ns - DAY, told_ns, now_ns - 3000 * NS_PER_S, 0);
	answer(200, LIST);
	answer(200, EMPTY);
	open_source(0);
	read_to_request(1);
	/* As far as the run before had come. */
	assert_true(word().since_ns == told_ns);
	assert_true(word().until_ns == now_ns - 3000 * NS_PER_S);
	read_to_request(2);
	read_last();
	assert_true(word().since_ns == now_ns - 3000 * NS_PER_S);
	assert_near(word().until_ns, now_ns - LATE_SECONDS * NS_PER_S);
}

static void a_word_is_on_disk_before_the_position_that_it_ends_at(void **state)
{
	int64_t now_ns = time_now_ns(), told_ns = now_ns - 3600 * NS_PER_S;
	struct positions p;

	(void)state;
	write_positions(now_ns - DAY, told_ns, now_ns - 3000 * NS_PER_S, 0);
	answer(200, LIST);
	for (int i = 0; i < 30; i++)
		answer(200, EMPTY);
	open_source(0);
	read_to_request(1);
	assert_int_equal(one->listened_count, 1); /* the pipeline has it now */
	hold_back(two, 8);
	assert_int_equal(positions_read(folder.path, &p, &err), ERR_NONE);
	assert_true(p.listened_ns == told_ns);
	positions_release(&p);
	read_into(one); /* it is back */
	hold_back(two, 4);
	assert_int_equal(positions_read(folder.path, &p, &err), ERR_NONE);
	assert_true(p.listened_ns == now_ns - 3000 * NS_PER_S);
	positions_release(&p);
}

static void what_fly_keeps_no_more_is_not_listened_to(void **state)
{
	int64_t now_ns = time_now_ns(), gap_end_ns;

	(void)state;
	write_positions(now_ns - 60 * DAY, now_ns - 9 * DAY, now_ns - 9 * DAY, 0);
	answer(200, LIST);
	answer(200, EMPTY);
	open_source(0);
	read_to_request(1);
	assert_int_equal(one->gap_count, 1);
	assert_true(one->gaps[0].start_ns == now_ns - 9 * DAY);
	gap_end_ns = one->gaps[0].end_ns;
	read_to_request(2);
	read_last();
	assert_true(word().since_ns == gap_end_ns);
	assert_near(word().until_ns, now_ns - LATE_SECONDS * NS_PER_S);
}

/* The other was read all the time, so that this one alone holds words back. */
static void an_application_that_failed_for_longer_than_fly_keeps_lines_is_a_gap(void **state)
{
	int64_t now_ns = time_now_ns(), gap_end_ns;

	(void)state;
	answer(200, TWO);
	answer(200, EMPTY);
	answer(500, "");
	answer(200, EMPTY); /* after four days */
	answer(500, "");
	answer(200, TWO);
	answer(200, EMPTY); /* after eight */
	answer(200, EMPTY);
	answer(200, TWO);
	open_source(0);
	read_to_request(3);
	fault_step_clock(4 * DAY);
	read_to_request(6);
	assert_int_equal(one->gap_count, 0);
	assert_int_equal(one->listened_count, 0);
	fault_step_clock(4 * DAY);
	for (int i = 0; i < TRIES_MAX && one->gap_count == 0; i++)
		read_into(one);
	assert_int_equal(one->gap_count, 1);
	assert_int_equal(one->gaps[0].reason, GAP_disconnect);
	assert_near(one->gaps[0].start_ns, now_ns);
	gap_end_ns = one->gaps[0].end_ns;
	assert_near(gap_end_ns, now_ns + DAY + GAP_MARGIN_NS);
	read_to_request(9);
	assert_true(word().since_ns == gap_end_ns);
	assert_near(word().until_ns, now_ns + 8 * DAY - LATE_SECONDS * NS_PER_S);
}

static void what_was_cut_is_not_listened_to(void **state)
{
	int64_t now_ns = time_now_ns(), tie_ns = now_ns - 300 * NS_PER_S;
	char body[ANSWER_BYTES] = "{\"data\":[", time[TIME_TEXT_BYTES];
	size_t len = strlen(body);

	(void)state;
	for (int i = 0; i < LOGS_API_PAGE_LINES; i++)
		len += (size_t)snprintf(body + len, sizeof(body) - len,
					"%s{\"id\":\"x\",\"attributes\":{\"timestamp\":\"%s\","
					"\"message\":\"%d\"}}",
					i > 0 ? "," : "", time_format(tie_ns, time), i);
	(void)snprintf(body + len, sizeof(body) - len, "],\"meta\":{}}");
	answer(200, LIST);
	answer(200, body); /* the next page is asked for from a nanosecond before */
	answer(200, body);
	answer(200, EMPTY);
	open_source(now_ns - 600 * NS_PER_S);
	read_to_request(3);
	assert_int_equal(one->gap_count, 1);
	assert_int_equal(one->gaps[0].reason, GAP_tie_cut);
	read_to_request(4);
	read_last();
	assert_int_equal(one->listened_count, 2);
	assert_true(one->listened[0].until_ns == tie_ns);
	assert_true(one->listened[1].since_ns == tie_ns + 1);
	assert_near(one->listened[1].until_ns, now_ns - LATE_SECONDS * NS_PER_S);
}

static void who_is_gone_is_not_waited_for(void **state)
{
	int64_t now_ns = time_now_ns();

	(void)state;
	write_positions(now_ns - DAY, now_ns - 3600 * NS_PER_S, now_ns - 3600 * NS_PER_S, 0);
	answer(200, "{\"apps\":[]}");
	answer(404, "");
	open_source(0);
	read_to_request(2);
	read_last();
	assert_near(word().until_ns, now_ns - LATE_SECONDS * NS_PER_S);
}

static void a_source_without_a_token_is_refused(void **state)
{
	const struct http_logs_options options = {.url = "http://127.0.0.1:1",
						  .machines_url = "http://127.0.0.1:1",
						  .token = "",
						  .org = "o",
						  .folder = folder.path};

	(void)state;
	assert_int_equal(http_logs_open(&source, &options, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "ACCESS_TOKEN"));
}

static void open_and_close(void *arg)
{
	const struct http_logs_options options = {.url = "http://127.0.0.1:1",
						  .machines_url = "http://127.0.0.1:1",
						  .token = "x",
						  .org = "o",
						  .folder = folder.path,
						  .last_live_ns = 1};
	struct source s = {.ops = NULL};

	(void)arg;
	if (http_logs_open(&s, &options, &err) == ERR_NONE)
		s.ops->close(s.ctx);
	else
		assert_int_not_equal(err.kind, ERR_NONE);
}

static void no_fault_at_the_start_leaks(void **state)
{
	(void)state;
	fault_everywhere(open_and_close, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_start_begins_now_and_misses_nothing),
		TEST(a_full_page_is_followed_at_once_and_an_empty_one_after_a_growing_wait),
		TEST(a_line_that_is_seen_late_is_read_and_others_not_twice),
		TEST(only_what_was_young_is_read_a_second_time),
		TEST(what_was_read_a_while_ago_is_left_out),
		TEST(an_application_that_is_gone_rests_until_the_list_has_it),
		TEST(a_new_application_is_read_from_when_flytrail_began),
		TEST(failures_in_a_row_are_told_and_a_success_ends_them),
		TEST(a_refused_token_is_told_as_such),
		TEST(a_batch_that_is_not_back_holds_its_positions_back),
		TEST(a_restart_goes_on_from_its_positions),
		TEST(an_application_that_says_little_is_no_gap),
		TEST(what_fly_keeps_no_more_is_a_gap),
		TEST(without_positions_the_spools_last_line_is_where_it_goes_on),
		TEST(a_spool_that_says_nothing_of_its_last_line_is_a_gap),
		TEST(an_absence_longer_than_fly_keeps_lines_is_a_gap),
		TEST(an_idle_time_is_listened_to_in_words_that_touch),
		TEST(words_come_as_often_as_ten_heartbeats),
		TEST(no_word_goes_beyond_an_application_that_cannot_be_read),
		TEST(without_a_list_nothing_is_vouched_for),
		TEST(with_more_applications_than_can_be_polled_nothing_is_vouched_for),
		TEST(an_absence_is_listened_to_once_it_is_read),
		TEST(a_word_is_on_disk_before_the_position_that_it_ends_at),
		TEST(what_fly_keeps_no_more_is_not_listened_to),
		TEST(an_application_that_failed_for_longer_than_fly_keeps_lines_is_a_gap),
		TEST(what_was_cut_is_not_listened_to),
		TEST(who_is_gone_is_not_waited_for),
		TEST(a_source_without_a_token_is_refused),
		TEST(no_fault_at_the_start_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
