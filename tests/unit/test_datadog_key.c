/* Whether Datadog takes a key: what is asked, and what an answer means; see test_doctor_sinks.py.
 */
#include "sink/datadog_key.h"

#include "fault.h"
#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define KEY "0123456789abcdef-a-key-of-nobody"

enum { ANSWER_BYTES = 1024 };

static struct tiny_http server;
static char text[ANSWER_BYTES];
static const char *const answers[] = {text, NULL};
static struct err err;

static enum err_kind check(unsigned status, const char *body)
{
	enum err_kind rc;

	(void)tiny_http_answer(text, sizeof(text), status, "", body);
	err = (struct err){.kind = ERR_NONE};
	tiny_http_start(&server, answers);
	rc = datadog_key_check(server.url, KEY, &err);
	tiny_http_stop(&server);
	assert_null(strstr(err.text, KEY));
	return rc;
}

static void it_is_asked_once_and_without_a_body(void **state)
{
	const char *asked = server.requests[0];

	(void)state;
	assert_int_equal(check(200, "{\"valid\":true}"), ERR_NONE);
	assert_int_equal(atomic_load(&server.count), 1);
	assert_ptr_equal(strstr(asked, "GET /api/v1/validate HTTP/1.1\r\n"), asked);
	assert_non_null(strstr(asked, "\r\nDD-API-KEY: " KEY "\r\n"));
	assert_null(strcasestr(asked, "\r\nContent-Length:"));
}

static void a_refusal_is_told_from_an_answer_that_says_neither(void **state)
{
	static const char *const neither[] = {
		"", "{}", "[]", "{\"valid\":false}", "{\"valid\":1}", "{\"valid\":true"};

	(void)state;
	assert_int_equal(check(403, "{\"valid\":true}"), ERR_CONFIG);
	assert_int_equal(check(401, KEY), ERR_CONFIG);
	for (size_t i = 0; i < ARRAY_LEN(neither); i++)
		assert_int_equal(check(200, neither[i]), ERR_RETRY);
	assert_int_equal(check(301, "{\"valid\":true}"), ERR_RETRY);
	assert_int_equal(check(404, KEY), ERR_RETRY);
	assert_int_equal(check(500, "{\"valid\":true}"), ERR_RETRY);
	assert_string_equal(err.text, "it answers 500, which says neither");
}

static void without_memory_it_is_said_so(void *arg)
{
	enum err_kind rc;

	(void)arg;
	rc = datadog_key_check("http://127.0.0.1:1", KEY, &err); /* nobody listens there */
	assert_true(rc == ERR_FATAL || rc == ERR_RETRY);
	assert_int_equal(err.kind, rc);
	assert_null(strstr(err.text, KEY));
}

static void no_allocation_is_taken_for_granted(void **state)
{
	(void)state;
	fault_everywhere(without_memory_it_is_said_so, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_asked_once_and_without_a_body),
		cmocka_unit_test(a_refusal_is_told_from_an_answer_that_says_neither),
		cmocka_unit_test(no_allocation_is_taken_for_granted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
