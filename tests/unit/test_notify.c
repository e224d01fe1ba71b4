/* What is posted, how it is signed, and what the answers mean: no text has the address in it. */
#include "sink/notify.h"

#include "base/hash.h"
#include "base/time.h"

#include "fault.h"
#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECRET "SECRETEXAMPLE"
#define KEY "an-EXAMPLE-key-of-32-characters!"

enum { ANSWER_BYTES = 512, URL_BYTES = 128 };

static struct tiny_http server;
static struct notify *n;
static struct err err;
static unsigned wait_seconds;

static void open_to(enum notify_kind kind, const char *const *answers)
{
	char url[URL_BYTES];
	struct notify_options options = {.kind = kind, .url = url, .key = KEY};

	tiny_http_start(&server, answers);
	(void)snprintf(url, sizeof(url), "%s/services/" SECRET "?x=" SECRET, server.url);
	assert_int_equal(notify_open(&n, &options, &err), ERR_NONE);
}

static void end(void)
{
	notify_close(n);
	tiny_http_stop(&server);
}

/* What comes of one answer. */
static enum err_kind answered(enum notify_kind kind, unsigned status, const char *headers,
			      const char *body)
{
	char text[ANSWER_BYTES];
	const char *const answers[] = {tiny_http_answer(text, sizeof(text), status, headers, body),
				       NULL};
	enum err_kind rc;

	open_to(kind, answers);
	rc = notify_send(n, SPAN("{\"text\":\"x\"}"), &wait_seconds, &err);
	end();
	if (rc) {
		assert_int_equal(rc, err.kind);
		assert_null(strstr(err.text, SECRET));
		assert_null(strstr(err.text, KEY));
		assert_null(strstr(err.text, "127.0.0.1"));
	}
	return rc;
}

static void each_answer_means_one_of_three_things(void **state)
{
	static const struct {
		unsigned status;
		enum err_kind kind;
	} cases[] = {
		{200, ERR_NONE},   {202, ERR_NONE},   {204, ERR_NONE},   {301, ERR_CONFIG},
		{302, ERR_CONFIG}, {400, ERR_REJECT}, {401, ERR_CONFIG}, {403, ERR_CONFIG},
		{404, ERR_CONFIG}, {405, ERR_CONFIG}, {408, ERR_RETRY},  {410, ERR_CONFIG},
		{413, ERR_REJECT}, {422, ERR_REJECT}, {425, ERR_RETRY},  {429, ERR_RETRY},
		{500, ERR_RETRY},  {502, ERR_RETRY},  {503, ERR_RETRY},  {504, ERR_RETRY},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (enum notify_kind kind = 0; kind < NOTIFY_COUNT; kind++)
			assert_int_equal(answered(kind, cases[i].status, "", ""), cases[i].kind);
}

static void who_asks_to_be_left_alone_is_for_an_hour_at_most(void **state)
{
	(void)state;
	assert_int_equal(answered(NOTIFY_SLACK, 429, "Retry-After: 30\r\n", "rate_limited"),
			 ERR_RETRY);
	assert_int_equal(wait_seconds, 30);
	assert_int_equal(answered(NOTIFY_SLACK, 503, "Retry-After: 999999\r\n", ""), ERR_RETRY);
	assert_int_equal(wait_seconds, 3600);
	assert_int_equal(answered(NOTIFY_SLACK, 404, "Retry-After: 30\r\n", ""), ERR_CONFIG);
	assert_int_equal(wait_seconds, 0);
}

static void slacks_words_are_told_and_no_others(void **state)
{
	(void)state;
	assert_int_equal(answered(NOTIFY_SLACK, 410, "", "channel_is_archived"), ERR_CONFIG);
	assert_ptr_equal(strstr(err.text, "Slack answers 410 channel_is_archived; see "), err.text);
	assert_int_equal(answered(NOTIFY_SLACK, 400, "", SECRET), ERR_REJECT);
	assert_string_equal(err.text, "Slack answers 400");
	assert_int_equal(answered(NOTIFY_WEBHOOK, 404, "", "no_service"), ERR_CONFIG);
	assert_null(strstr(err.text, "no_service"));
}

static void no_answer_is_tried_again_and_names_the_option(void **state)
{
	static const char *const none[] = {NULL};

	(void)state;
	open_to(NOTIFY_SLACK, none);
	assert_int_equal(notify_send(n, SPAN("{}"), &wait_seconds, &err), ERR_RETRY);
	end();
	assert_ptr_equal(strstr(err.text, "POST to SLACK_WEBHOOK_URL: "), err.text);
	assert_null(strstr(err.text, SECRET));
}

/* Made by `printf '1795695600.{"a":1}' | openssl dgst -sha256 -hmac KEY`. */
static void a_signature_is_what_anybody_can_make_again(void **state)
{
	char header[NOTIFY_SIGNATURE_BYTES];

	(void)state;
	assert_int_equal(
		notify_sign(SPAN(KEY), SPAN("{\"a\":1}"), 1795695600 * NS_PER_S + 1, header, &err),
		ERR_NONE);
	assert_string_equal(
		header,
		"X-Flytrail-Signature: "
		"t=1795695600,v1=af21fd4e86d3bd2c2f83f17656c1f54f7ee55a10d1835f50dfc2c76b6c65a30d");
}

static void a_webhook_is_signed_and_slack_is_not(void **state)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	static const char *const answers[] = {ok, NULL};

	(void)state;
	open_to(NOTIFY_WEBHOOK, answers);
	assert_int_equal(notify_send(n, SPAN("{}"), &wait_seconds, &err), ERR_NONE);
	assert_ptr_equal(strstr(server.requests[0], "POST /services/" SECRET), server.requests[0]);
	assert_non_null(strstr(server.requests[0], "\r\nX-Flytrail-Signature: t="));
	assert_non_null(strstr(server.requests[0], "\r\nContent-Type: application/json\r\n"));
	assert_null(strstr(server.requests[0], KEY));
	end();
	open_to(NOTIFY_SLACK, answers);
	assert_int_equal(notify_send(n, SPAN("{}"), &wait_seconds, &err), ERR_NONE);
	assert_null(strstr(server.requests[0], "Signature"));
	end();
}

static void send_under_faults(void *arg)
{
	struct notify_options options = {
		.kind = NOTIFY_WEBHOOK, .url = "http://127.0.0.1:1/" SECRET, .key = KEY};
	struct err e = {0};

	(void)arg;
	if (notify_open(&n, &options, &e)) {
		assert_int_equal(e.kind, ERR_FATAL);
		return;
	}
	assert_int_not_equal(notify_send(n, SPAN("{}"), &wait_seconds, &e), ERR_NONE);
	assert_true(e.kind == ERR_RETRY || e.kind == ERR_FATAL);
	notify_close(n);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	(void)state;
	fault_everywhere(send_under_faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_answer_means_one_of_three_things),
		cmocka_unit_test(who_asks_to_be_left_alone_is_for_an_hour_at_most),
		cmocka_unit_test(slacks_words_are_told_and_no_others),
		cmocka_unit_test(no_answer_is_tried_again_and_names_the_option),
		cmocka_unit_test(a_signature_is_what_anybody_can_make_again),
		cmocka_unit_test(a_webhook_is_signed_and_slack_is_not),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
