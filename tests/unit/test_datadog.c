/* Deliveries within Datadog's limits, what its answers lead to, and what is not sent twice. */
#include "sink/datadog.h"

#include "base/gzip.h"
#include "base/json.h"
#include "base/time.h"

#include "fault.h"
#include "payloads.h"
#include "tiny_http.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define KEY "0123456789abcdef0123456789abcdef"
#define HOUR (3600 * NS_PER_S)

enum {
	SCRIPT_MAX = 8,
	REQUESTS_KEPT = 64,
	SEQS_KEPT = DATADOG_REQUESTS_MAX * DATADOG_REQUEST_LOGS_MAX,
	BODY_BYTES_MAX = DATADOG_REQUEST_BYTES_MAX + 1024 * 1024,
	WAIT_SECONDS = 7,
	NOTHING = -1, /* instead of a status: the connection is closed */
};

/* What the intake is told to do, and what it saw. Guarded by its lock. */
static struct {
	pthread_mutex_t lock;
	int script[SCRIPT_MAX + 1]; /* ends with 0; from there on it takes what it should */
	size_t at;
	size_t bytes_max; /* beyond it 413 */
	size_t logs[REQUESTS_KEPT], bytes[REQUESTS_KEPT];
	size_t requests, broken;           /* of these, what is no array in one gzip member */
	unsigned long accepted[SEQS_KEPT]; /* the numbers in the messages */
	size_t accepted_count;
} intake = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct tiny_http server;
static struct sink sink;
static struct buf payload, cut;
static struct record *record;
static struct datadog_options options;
static _Atomic uint64_t late;
static struct err err;

/* --- the intake --- */

static void take_logs(const struct json *array, size_t *ret_logs, bool *ret_bad)
{
	size_t count = intake.accepted_count;

	for (const struct json *v = json_first(array); v; v = json_next(v)) {
		struct span message = json_text(json_member(v, "message"));

		*ret_bad |= span_starts(message, SPAN("bad"));
		if (count < SEQS_KEPT && message.len > strlen("line "))
			intake.accepted[count++] =
				strtoul(message.data + strlen("line "), NULL, 10);
		(*ret_logs)++;
	}
}

/* The status that the request gets. */
static int judge(struct span body)
{
	size_t before = intake.accepted_count, idx = intake.requests++ % REQUESTS_KEPT;
	int status = intake.script[intake.at];
	struct json *json = NULL;
	struct err ignored;
	bool bad = false;
	struct buf text;

	buf_init(&text, BODY_BYTES_MAX);
	intake.logs[idx] = 0;
	if (gzip_read(body, &text, &ignored) ||
	    json_parse(&json, span_of(text.data, text.len), &ignored) ||
	    json_type(json) != JSON_ARRAY)
		intake.broken++;
	else
		take_logs(json, &intake.logs[idx], &bad);
	intake.bytes[idx] = text.len;
	if (status != 0)
		intake.at++;
	else if (text.len > intake.bytes_max)
		status = 413;
	else
		status = bad ? 400 : 202;
	if (status == 202 || status == 200)
		intake.accepted_count = before + intake.logs[idx];
	json_free(json);
	buf_release(&text);
	return status;
}

static const char *answer(const char *request)
{
	static char text[256];
	const char *length = strcasestr(request, "\r\nContent-Length:");
	const char *body = strstr(request, "\r\n\r\n") + 4;
	char headers[64] = "";
	int status;

	MUST0(pthread_mutex_lock(&intake.lock));
	status = judge(span_of(body, length ? strtoul(strchr(length, ':') + 1, NULL, 10) : 0));
	MUST0(pthread_mutex_unlock(&intake.lock));
	if (status == 429)
		(void)snprintf(headers, sizeof(headers), "Retry-After: %d\r\n", WAIT_SECONDS);
	if (status == NOTHING)
		return NULL;
	return tiny_http_answer(text, sizeof(text), (unsigned)status, headers, "");
}

static size_t requests(void)
{
	size_t count;

	MUST0(pthread_mutex_lock(&intake.lock));
	count = intake.requests;
	assert_int_equal(intake.broken, 0);
	MUST0(pthread_mutex_unlock(&intake.lock));
	return count;
}

/* The first lines of the script's answers; then it takes what it should. */
static void script(size_t count, const int *statuses)
{
	REQUIRE(count <= SCRIPT_MAX);
	MUST0(pthread_mutex_lock(&intake.lock));
	memset(intake.script, 0, sizeof(intake.script));
	for (size_t i = 0; i < count; i++)
		intake.script[i] = statuses[i];
	intake.at = 0;
	MUST0(pthread_mutex_unlock(&intake.lock));
}

#define SCRIPT(...) script(sizeof((int[]){__VA_ARGS__}) / sizeof(int), (const int[]){__VA_ARGS__})

/* Numbers from first to last, once each and in their order, but for one; 0: for none. */
static void assert_accepted(unsigned long first, unsigned long last, unsigned long without)
{
	size_t at = 0;

	MUST0(pthread_mutex_lock(&intake.lock));
	for (unsigned long n = first; n <= last; n++)
		if (n != without)
			assert_int_equal(intake.accepted[at++], n);
	assert_int_equal(intake.accepted_count, at);
	MUST0(pthread_mutex_unlock(&intake.lock));
}

/* --- the sink --- */

static void open_sink(void)
{
	if (sink.ops)
		sink.ops->close(sink.ctx);
	assert_int_equal(datadog_open(&sink, &options, &err), ERR_NONE);
	assert_ptr_equal(strstr(sink.place, options.url), sink.place);
	sink.ops->begin(sink.ctx, 1, false);
}

static int set_up(void **state)
{
	(void)state;
	script(0, NULL);
	intake.requests = intake.broken = intake.accepted_count = 0;
	intake.bytes_max = SIZE_MAX;
	tiny_http_start_choosing(&server, answer);
	options = (struct datadog_options){.url = server.url, .api_key = KEY, .late_count = &late};
	atomic_store(&late, 0);
	buf_init(&payload, RECORD_PAYLOAD_BYTES_MAX);
	buf_init(&cut, 4096);
	record = calloc(1, sizeof(*record));
	open_sink();
	return record == NULL;
}

static int tear_down(void **state)
{
	(void)state;
	sink.ops->close(sink.ctx);
	sink.ops = NULL;
	tiny_http_stop(&server);
	fault_set_wall_clock(0);
	buf_release(&payload);
	buf_release(&cut);
	free(record);
	return 0;
}

static enum err_kind add_payload(uint64_t seq)
{
	return sink.ops->add(sink.ctx, seq, payload_of(&payload), &(bool){false}, &err);
}

static enum err_kind try_line(uint64_t seq, struct span message, int64_t ns, enum line_class class)
{
	*record = (struct record){
		.occurred_ns = ns,
		.observed_ns = ns,
		.message = message,
		.class = class,
		.action = class == CLASS_app_log ? ACTION_none : ACTION_restart_suppressed,
		.finding = {.rule = "runner.x", .trust = TRUST_PLATFORM},
	};
	buf_reset(&payload);
	record_encode(record, &payload);
	return add_payload(seq);
}

/* "line 7", or "bad  7", of a time. */
static void add_line_at(uint64_t seq, const char *word, int64_t ns)
{
	char message[32];

	(void)snprintf(message, sizeof(message), "%-4s %llu", word, (unsigned long long)seq);
	assert_int_equal(try_line(seq, span_text(message), ns, CLASS_app_log), ERR_NONE);
}

static void add_line(uint64_t seq, const char *word)
{
	add_line_at(seq, word, time_now_ns());
}

static void add_event(uint64_t seq)
{
	const struct event event = {.class = CLASS_trail,
				    .action = ACTION_trail_started,
				    .occurred_ns = time_now_ns(),
				    .not_after_ns = EVENT_NO_TIME,
				    .summary = SPAN("line 3")};

	buf_reset(&payload);
	event_encode(&event, &payload);
	assert_int_equal(add_payload(seq), ERR_NONE);
}

static void seal(uint64_t last_seq)
{
	buf_reset(&cut);
	assert_int_equal(sink.ops->seal(sink.ctx, last_seq, &cut, &err), ERR_NONE);
}

/* Lines 1 to last, of which some are bad; 0: none. */
static void make_delivery(uint64_t last, uint64_t bad, uint64_t other_bad)
{
	for (uint64_t seq = 1; seq <= last; seq++)
		add_line(seq, seq == bad || seq == other_bad ? "bad" : "line");
	seal(last);
}

static enum err_kind deliver(struct sink_answer *ret)
{
	*ret = (struct sink_answer){.wait_seconds = 0};
	return sink.ops->deliver(sink.ctx, ret, &err);
}

static void assert_delivers(enum err_kind kind)
{
	struct sink_answer ret;

	assert_int_equal(deliver(&ret), kind);
	assert_int_equal(ret.wait_seconds, 0);
	assert_null(strstr(err.text, KEY));
}

/* --- requests --- */

static void a_request_is_what_the_published_api_wants(void **state)
{
	static const char *const headers[] = {
		"\r\nContent-Type: application/json\r\n", "\r\nContent-Encoding: gzip\r\n",
		"\r\nDD-API-KEY: " KEY "\r\n", "\r\nDD-EVP-ORIGIN: flytrail\r\n",
		"\r\nDD-EVP-ORIGIN-VERSION: "};
	static const char line[] = "POST /api/v2/logs HTTP/1.1\r\n";

	(void)state;
	make_delivery(3, 0, 0);
	assert_delivers(ERR_NONE);
	assert_accepted(1, 3, 0);
	assert_memory_equal(server.requests[0], line, strlen(line));
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		assert_non_null(strstr(server.requests[0], headers[i]));
	assert_delivers(ERR_NONE); /* it is known to be there */
	assert_int_equal(requests(), 1);
}

/* The name is not looked up here: a proxy is asked, and would. */
static void a_proxy_of_the_environment_is_asked(void **state)
{
	static const char line[] = "POST http://intake.example.com/api/v2/logs HTTP/1.1\r\n";

	(void)state;
	options.url = "http://intake.example.com";
	open_sink();
	make_delivery(3, 0, 0);
	assert_int_equal(setenv("http_proxy", server.url, 1), 0);
	assert_delivers(ERR_NONE);
	assert_int_equal(unsetenv("http_proxy"), 0);
	assert_accepted(1, 3, 0);
	assert_memory_equal(server.requests[0], line, strlen(line));
}

static void a_delivery_of_nothing_asks_nobody(void **state)
{
	(void)state;
	seal(1);
	assert_delivers(ERR_NONE);
	assert_int_equal(requests(), 0);
}

static void a_request_holds_no_more_logs_than_datadog_takes(void **state)
{
	const int64_t now = time_now_ns();

	(void)state;
	for (uint64_t seq = 1; seq <= DATADOG_REQUEST_LOGS_MAX + 1; seq++)
		assert_int_equal(try_line(seq, SPAN("line 1"), now, CLASS_app_log), ERR_NONE);
	seal(DATADOG_REQUEST_LOGS_MAX + 1);
	assert_delivers(ERR_NONE);
	assert_int_equal(requests(), 2);
	assert_int_equal(intake.logs[0], DATADOG_REQUEST_LOGS_MAX);
	assert_int_equal(intake.logs[1], 1);
}

static void nor_more_bytes(void **state)
{
	const int64_t now = time_now_ns();
	char *text = malloc(RECORD_TEXT_BYTES_MAX);

	(void)state;
	memset(text, 'a', RECORD_TEXT_BYTES_MAX);
	for (uint64_t seq = 1; seq <= 6; seq++)
		assert_int_equal(
			try_line(seq, span_of(text, RECORD_TEXT_BYTES_MAX), now, CLASS_app_log),
			ERR_NONE);
	free(text);
	seal(6);
	assert_delivers(ERR_NONE);
	assert_int_equal(requests(), 2);
	assert_int_equal(intake.logs[0], 4); /* five and the brackets would be a few bytes more */
	assert_int_equal(intake.logs[1], 2);
	assert_true(intake.bytes[0] <= DATADOG_REQUEST_BYTES_MAX);
}

/* Five logs, all but the first few of them a byte longer than each. */
static void deliver_five(char *text, size_t each, uint64_t shorter)
{
	const int64_t now = time_now_ns();

	sink.ops->begin(sink.ctx, 1, false);
	for (uint64_t seq = 1; seq <= 5; seq++)
		assert_int_equal(try_line(seq, span_of(text, seq <= shorter ? each : each + 1), now,
					  CLASS_app_log),
				 ERR_NONE);
	seal(5);
	assert_delivers(ERR_NONE);
}

static void a_request_may_be_of_just_the_length(void **state)
{
	const size_t each = (DATADOG_REQUEST_BYTES_MAX - 1) / 5 - 1; /* with its comma */
	char *text = malloc(RECORD_TEXT_BYTES_MAX);
	size_t frame;

	(void)state;
	memset(text, 'a', RECORD_TEXT_BYTES_MAX);
	assert_int_equal(try_line(1, span_of(text, 1), time_now_ns(), CLASS_app_log), ERR_NONE);
	seal(1);
	assert_delivers(ERR_NONE);
	frame = intake.bytes[0] - strlen("[a]");
	deliver_five(text, each - frame, 1);
	assert_int_equal(requests(), 2);
	assert_int_equal(intake.bytes[1], DATADOG_REQUEST_BYTES_MAX);
	deliver_five(text, each - frame, 0);
	assert_int_equal(requests(), 4);
	free(text);
}

static void a_delivery_ends_where_it_has_no_room(void **state)
{
	const int64_t now = time_now_ns();
	char *text = malloc(RECORD_TEXT_BYTES_MAX);
	uint64_t seq = 1;

	(void)state;
	memset(text, 'a', RECORD_TEXT_BYTES_MAX);
	while (seq <= DATADOG_REQUESTS_MAX * DATADOG_REQUEST_LOGS_MAX &&
	       !try_line(seq, SPAN("line 1"), now, CLASS_app_log))
		seq++;
	assert_int_equal(seq, DATADOG_REQUESTS_MAX * DATADOG_REQUEST_LOGS_MAX + 1);
	assert_int_equal(try_line(seq, SPAN("line 1"), now, CLASS_app_log), ERR_FULL);
	sink.ops->begin(sink.ctx, 1, false);
	for (seq = 1; !try_line(seq, span_of(text, RECORD_TEXT_BYTES_MAX), now, CLASS_app_log);)
		seq++;
	free(text);
	assert_int_equal(err.kind, ERR_FULL);
	assert_int_equal(seq, DATADOG_BYTES_MAX / DATADOG_LOG_BYTES_MAX + 1);
}

static void what_is_no_payload_is_rejected_and_the_delivery_is_without_it(void **state)
{
	(void)state;
	add_line(1, "line");
	assert_int_equal(sink.ops->add(sink.ctx, 2, SPAN("no payload"), &(bool){false}, &err),
			 ERR_REJECT);
	assert_int_equal(err.kind, ERR_REJECT);
	add_line(3, "line");
	seal(3);
	assert_delivers(ERR_NONE);
	assert_accepted(1, 3, 2);
}

static void a_cut_is_equal_where_the_delivery_is(void **state)
{
	const int64_t now = time_now_ns();
	char first[512];

	(void)state;
	add_line_at(1, "line", now);
	seal(1);
	REQUIRE(cut.len < sizeof(first));
	memcpy(first, cut.data, cut.len + 1);
	sink.ops->begin(sink.ctx, 1, true);
	add_line_at(1, "line", now);
	seal(1);
	assert_string_equal((const char *)cut.data, first);
	sink.ops->begin(sink.ctx, 1, true);
	add_line_at(1, "line", now + NS_PER_S);
	seal(1);
	assert_string_not_equal((const char *)cut.data, first);
}

static void of_events_alone_lines_without_one_are_left_out(void **state)
{
	(void)state;
	options.send = DATADOG_EVENTS;
	open_sink();
	add_line(1, "line");
	assert_int_equal(try_line(2, SPAN("line 2"), time_now_ns(), CLASS_restart), ERR_NONE);
	add_event(3);
	assert_int_equal(sink.ops->add(sink.ctx, 4, SPAN("no payload"), &(bool){false}, &err),
			 ERR_REJECT);
	seal(4);
	assert_delivers(ERR_NONE);
	assert_accepted(2, 3, 0);
}

/* --- answers --- */

static void what_was_accepted_is_not_sent_again(void **state)
{
	const size_t last = DATADOG_REQUEST_LOGS_MAX + 1;
	const int64_t now = time_now_ns();

	(void)state;
	SCRIPT(202, 503, 503);
	for (uint64_t seq = 1; seq <= last; seq++)
		assert_int_equal(try_line(seq, seq == last ? SPAN("line 2") : SPAN("line 1"), now,
					  CLASS_app_log),
				 ERR_NONE);
	seal(last);
	assert_delivers(ERR_RETRY);
	assert_delivers(ERR_RETRY);
	assert_delivers(ERR_NONE);
	assert_int_equal(requests(), 4);
	assert_int_equal(intake.accepted_count, last);
	assert_int_equal(intake.accepted[last - 1], 2);
}

static void a_passing_trouble_is_tried_again(void **state)
{
	/* On a connection that was in use libcurl itself asks again where nothing comes. */
	static const int statuses[] = {NOTHING, 408, 500, 502, 503, 504};

	(void)state;
	script(ARRAY_LEN(statuses), statuses);
	make_delivery(2, 0, 0);
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		assert_delivers(ERR_RETRY);
	assert_delivers(ERR_NONE);
	assert_accepted(1, 2, 0);
}

static void who_asks_to_be_left_alone_is(void **state)
{
	struct sink_answer ret;

	(void)state;
	SCRIPT(429);
	make_delivery(2, 0, 0);
	assert_int_equal(deliver(&ret), ERR_RETRY);
	assert_int_equal(ret.wait_seconds, WAIT_SECONDS);
	assert_delivers(ERR_NONE);
}

static void another_answer_is_an_operators_and_says_what_to_do(void **state)
{
	static const int keys[] = {401, 403}, addresses[] = {204, 302, 404, 405};

	(void)state;
	make_delivery(2, 0, 0);
	script(ARRAY_LEN(keys), keys);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		assert_delivers(ERR_CONFIG);
		assert_non_null(strstr(err.text, "DATADOG_API_KEY"));
		assert_non_null(strstr(err.text, "DATADOG_SITE"));
	}
	script(ARRAY_LEN(addresses), addresses);
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		assert_delivers(ERR_CONFIG);
		assert_non_null(strstr(err.text, "FLYTRAIL_DATADOG_URL"));
	}
	SCRIPT(200); /* of a relay */
	assert_delivers(ERR_NONE);
	assert_accepted(1, 2, 0);
}

static void what_fails_says_whether_some_was_accepted(void **state)
{
	struct sink_answer ret;

	(void)state;
	make_delivery(DATADOG_REQUEST_LOGS_MAX + 1, 0, 0);
	SCRIPT(403, 202, 403, 403);
	assert_int_equal(deliver(&ret), ERR_CONFIG);
	assert_false(ret.is_begun);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(deliver(&ret), ERR_CONFIG);
		assert_true(ret.is_begun);
	}
	sink.ops->begin(sink.ctx, 1, false);
	make_delivery(1, 0, 0);
	SCRIPT(403);
	assert_int_equal(deliver(&ret), ERR_CONFIG);
	assert_false(ret.is_begun);
}

static void the_record_at_fault_is_found_and_the_others_are_sent_once(void **state)
{
	(void)state;
	for (uint64_t bad = 1; bad <= 9; bad++) {
		struct sink_answer ret;

		intake.accepted_count = 0;
		sink.ops->begin(sink.ctx, 1, false);
		make_delivery(9, bad, 0);
		assert_int_equal(deliver(&ret), ERR_REJECT);
		assert_int_equal(ret.refused_seq, bad);
		assert_int_equal(err.kind, ERR_REJECT);
		assert_delivers(ERR_NONE);
		assert_accepted(1, 9, bad);
	}
}

static void so_are_two(void **state)
{
	struct sink_answer ret;

	(void)state;
	make_delivery(1000, 400, 401);
	assert_int_equal(deliver(&ret), ERR_REJECT);
	assert_int_equal(ret.refused_seq, 400);
	assert_int_equal(deliver(&ret), ERR_REJECT);
	assert_int_equal(ret.refused_seq, 401);
	assert_delivers(ERR_NONE);
	assert_int_equal(intake.accepted_count, 998);
	assert_int_equal(intake.accepted[398], 399);
	assert_int_equal(intake.accepted[399], 402);
	assert_true(requests() < 50);
}

static void who_refuses_everything_is_suspected_and_not_the_records(void **state)
{
	struct sink_answer ret;

	(void)state;
	options.suspects = true;
	open_sink();
	for (uint64_t seq = 1; seq <= 2 * DATADOG_REFUSALS_MAX; seq++)
		add_line(seq, "bad");
	add_line(2 * DATADOG_REFUSALS_MAX + 1, "line");
	add_line(2 * DATADOG_REFUSALS_MAX + 2, "bad");
	seal(2 * DATADOG_REFUSALS_MAX + 2);
	for (uint64_t seq = 1; seq <= 2 * DATADOG_REFUSALS_MAX; seq++) {
		if (seq == DATADOG_REFUSALS_MAX + 1) {
			assert_delivers(ERR_CONFIG);
			assert_non_null(strstr(err.text, "FLYTRAIL_DATADOG_URL"));
		}
		assert_int_equal(deliver(&ret), ERR_REJECT);
		assert_int_equal(ret.refused_seq, seq);
	}
	assert_int_equal(deliver(&ret), ERR_REJECT); /* one was accepted between */
	assert_int_equal(ret.refused_seq, 2 * DATADOG_REFUSALS_MAX + 2);
	assert_delivers(ERR_NONE);
	assert_int_equal(intake.accepted_count, 1);
}

static void who_does_not_suspect_is_told_of_each_record_that_is_refused(void **state)
{
	struct sink_answer ret;

	(void)state;
	for (uint64_t seq = 1; seq <= 3 * DATADOG_REFUSALS_MAX; seq++)
		add_line(seq, "bad");
	seal(3 * DATADOG_REFUSALS_MAX);
	for (uint64_t seq = 1; seq <= 3 * DATADOG_REFUSALS_MAX; seq++) {
		assert_int_equal(deliver(&ret), ERR_REJECT);
		assert_int_equal(ret.refused_seq, seq);
	}
	assert_delivers(ERR_NONE);
}

static void trouble_in_the_middle_of_a_search_does_not_begin_it_anew(void **state)
{
	struct sink_answer ret;

	(void)state;
	SCRIPT(400, 503, 202, 503);
	make_delivery(8, 7, 0);
	assert_delivers(ERR_RETRY);
	assert_delivers(ERR_RETRY);
	assert_int_equal(deliver(&ret), ERR_REJECT);
	assert_int_equal(ret.refused_seq, 7);
	assert_delivers(ERR_NONE);
	assert_accepted(1, 8, 7);
}

static void a_request_that_is_too_large_is_halved(void **state)
{
	(void)state;
	intake.bytes_max = 1000; /* some four of them */
	make_delivery(50, 0, 0);
	assert_delivers(ERR_NONE);
	assert_accepted(1, 50, 0);
	assert_true(requests() > 12);
}

static void a_record_that_is_too_large_alone_is_refused(void **state)
{
	struct sink_answer ret;

	(void)state;
	intake.bytes_max = 10;
	make_delivery(2, 0, 0);
	assert_int_equal(deliver(&ret), ERR_REJECT);
	assert_int_equal(ret.refused_seq, 1);
	assert_non_null(strstr(err.text, "too large"));
	intake.bytes_max = SIZE_MAX;
	assert_delivers(ERR_NONE);
	assert_accepted(2, 2, 0);
}

/* --- age --- */

static void what_is_late_is_skipped_and_counted(void **state)
{
	const int64_t now = time_now_ns();

	(void)state;
	add_line_at(1, "line", now - 17 * HOUR);
	add_line_at(2, "line", now - 19 * HOUR);
	add_line_at(3, "line", now + HOUR);
	seal(3);
	assert_delivers(ERR_NONE);
	assert_accepted(1, 3, 2);
	assert_int_equal(atomic_load(&late), 1);
}

static void or_sent_where_that_is_wanted(void **state)
{
	(void)state;
	options.late = DATADOG_LATE_SEND;
	open_sink();
	add_line_at(1, "line", time_now_ns() - 400 * 24 * HOUR);
	seal(1);
	assert_delivers(ERR_NONE);
	assert_accepted(1, 1, 0);
	assert_int_equal(atomic_load(&late), 0);
}

static void what_ages_while_datadog_is_away_is_late_too(void **state)
{
	(void)state;
	SCRIPT(503);
	make_delivery(3, 0, 0);
	assert_delivers(ERR_RETRY);
	assert_int_equal(atomic_load(&late), 0);
	fault_set_wall_clock(19 * HOUR);
	assert_delivers(ERR_NONE);
	assert_int_equal(atomic_load(&late), 3);
	assert_int_equal(requests(), 1);
}

static void a_late_one_beside_the_record_at_fault_is_counted_once(void **state)
{
	const int64_t now = time_now_ns();
	struct sink_answer ret;

	(void)state;
	add_line_at(1, "bad", now - 19 * HOUR);
	add_line_at(2, "bad", now);
	add_line_at(3, "line", now);
	add_line_at(4, "line", now - 19 * HOUR);
	seal(4);
	assert_int_equal(deliver(&ret), ERR_REJECT);
	assert_int_equal(ret.refused_seq, 2);
	assert_delivers(ERR_NONE);
	assert_accepted(3, 3, 0);
	assert_int_equal(atomic_load(&late), 2);
}

/* --- memory --- */

/* To where nobody listens, so that no other thread takes part. */
static void deliver_under_faults(void *arg)
{
	const struct datadog_options nowhere = {.url = "http://127.0.0.1:1", .api_key = KEY};
	struct sink_answer ret = {.wait_seconds = 0};
	struct sink s;
	struct err e;
	struct buf text;
	enum err_kind rc;

	(void)arg;
	if (datadog_open(&s, &nowhere, &e)) {
		assert_int_equal(e.kind, ERR_FATAL);
		return;
	}
	buf_init(&text, 4096);
	s.ops->begin(s.ctx, 1, false);
	rc = s.ops->add(s.ctx, 1, payload_of(&payload), &(bool){false}, &e);
	if (!rc)
		rc = s.ops->seal(s.ctx, 1, &text, &e);
	if (!rc)
		rc = s.ops->deliver(s.ctx, &ret, &e);
	assert_true(rc == ERR_FATAL || rc == ERR_RETRY);
	assert_int_equal(e.kind, rc);
	buf_release(&text);
	s.ops->close(s.ctx);
}

static void no_memory_fault_is_missed(void **state)
{
	(void)state;
	add_line(1, "line");
	fault_everywhere(deliver_under_faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_request_is_what_the_published_api_wants),
		TEST(a_proxy_of_the_environment_is_asked),
		TEST(a_delivery_of_nothing_asks_nobody),
		TEST(a_request_holds_no_more_logs_than_datadog_takes),
		TEST(nor_more_bytes),
		TEST(a_request_may_be_of_just_the_length),
		TEST(a_delivery_ends_where_it_has_no_room),
		TEST(what_is_no_payload_is_rejected_and_the_delivery_is_without_it),
		TEST(a_cut_is_equal_where_the_delivery_is),
		TEST(of_events_alone_lines_without_one_are_left_out),
		TEST(what_was_accepted_is_not_sent_again),
		TEST(a_passing_trouble_is_tried_again),
		TEST(who_asks_to_be_left_alone_is),
		TEST(another_answer_is_an_operators_and_says_what_to_do),
		TEST(what_fails_says_whether_some_was_accepted),
		TEST(the_record_at_fault_is_found_and_the_others_are_sent_once),
		TEST(so_are_two),
		TEST(who_refuses_everything_is_suspected_and_not_the_records),
		TEST(who_does_not_suspect_is_told_of_each_record_that_is_refused),
		TEST(trouble_in_the_middle_of_a_search_does_not_begin_it_anew),
		TEST(a_request_that_is_too_large_is_halved),
		TEST(a_record_that_is_too_large_alone_is_refused),
		TEST(what_is_late_is_skipped_and_counted),
		TEST(or_sent_where_that_is_wanted),
		TEST(what_ages_while_datadog_is_away_is_late_too),
		TEST(a_late_one_beside_the_record_at_fault_is_counted_once),
		TEST(no_memory_fault_is_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
