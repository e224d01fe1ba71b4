/*
 * The HTTP server answers four pages, refuses all else, and survives whatever is
 * sent to it. There is no spool in these tests, so /ready is red.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "skip.h"

#include "serve/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TOKEN "made-up-token"

enum { ANSWER_BYTES = 65536, ADDRESS_BYTES = 64, PATIENCE_SECONDS = 60 };

static struct status status;
static struct http *http;
static uint16_t port;
static char answer[ANSWER_BYTES];

static int holder = -1; /* a socket that has the port, so that the kernel gives it to nobody else */

static uint16_t free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	holder = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(holder >= 0);
	assert_int_equal(bind(holder, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(holder, (struct sockaddr *)&a, &len), 0);
	/* Beside it the server may have it too, which asks for the same. */
	assert_int_equal(setsockopt(holder, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
	return ntohs(a.sin_port);
}

static enum err_kind start_at(struct http **ret, const char *address, const char *token,
			      struct err *err)
{
	const struct http_options options = {
		.listen = address,
		.status = &status,
		.status_token = token,
		.heartbeat_seconds = 30,
	};

	return http_start(ret, &options, err);
}

static enum err_kind start_with(const char *host, const char *token, struct err *err)
{
	char address[ADDRESS_BYTES];

	(void)snprintf(address, sizeof(address), "%s:%u", host, port);
	return start_at(&http, address, token, err);
}

static enum err_kind start(const char *host, struct err *err)
{
	return start_with(host, "", err);
}

static int setup(void **state)
{
	(void)state;
	status_init(&status);
	port = free_port();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	http_stop(http);
	http = NULL;
	(void)close(holder);
	status_release(&status);
	return 0;
}

static int dial(int family)
{
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
	int fd = socket(family, SOCK_STREAM, 0);
	int rc;

	if (fd < 0)
		return -1;
	a4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a6.sin6_addr = in6addr_loopback;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	rc = family == AF_INET ? connect(fd, (struct sockaddr *)&a4, sizeof(a4))
			       : connect(fd, (struct sockaddr *)&a6, sizeof(a6));
	if (rc == 0)
		return fd;
	(void)close(fd);
	return -1;
}

/* Sends, then reads until the server hangs up. */
static void converse(int family, const char *request, size_t len)
{
	int fd = dial(family);
	size_t got = 0;
	ssize_t n;

	assert_true(fd >= 0);
	while (len > 0) {
		n = send(fd, request, len, MSG_NOSIGNAL);
		if (n < 0)
			break; /* it has refused the rest already */
		request += n;
		len -= (size_t)n;
	}
	do {
		n = recv(fd, answer + got, sizeof(answer) - 1 - got, 0);
		got += n > 0 ? (size_t)n : 0;
	} while (n > 0 && got < sizeof(answer) - 1);
	answer[got] = '\0';
	(void)close(fd);
}

static void request(const char *head)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		       head);
	converse(AF_INET, text, strlen(text));
}

static bool answers(const char *start_of_answer)
{
	return strncmp(answer, start_of_answer, strlen(start_of_answer)) == 0;
}

/* With further headers. */
static void request_with(const char *head, const char *headers)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: x\r\n%sConnection: close\r\n\r\n",
		       head, headers);
	converse(AF_INET, text, strlen(text));
}

static void metrics_and_status_are_there_though_nothing_is_well(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	request("GET /metrics");
	assert_true(answers("HTTP/1.1 200 "));
	assert_non_null(
		strstr(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_non_null(strstr(answer, "\r\n\r\n# HELP flytrail_"));
	assert_non_null(strstr(answer, "\nflytrail_check_ok{check=\"source\"} 0\n"));
	request("GET /status");
	assert_true(answers("HTTP/1.1 200 "));
	assert_non_null(strstr(answer, "Content-Type: text/plain; charset=utf-8\r\n"));
	assert_non_null(strstr(answer, "\r\n\r\nflytrail "));
	assert_null(strstr(answer, "WWW-Authenticate"));
	request("HEAD /metrics");
	assert_true(answers("HTTP/1.1 200 "));
	assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
}

static void a_token_guards_status_alone(void **state)
{
	static const char *const wrong[] = {
		"", "Authorization: Bearer made-up-toke\r\n", "Authorization: Basic " TOKEN "\r\n",
		"Authorization: " TOKEN "\r\n", "X-Authorization: Bearer " TOKEN "\r\n"};
	struct err err;

	(void)state;
	assert_int_equal(start_with("127.0.0.1", TOKEN, &err), ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		request_with("GET /status", wrong[i]);
		assert_true(answers("HTTP/1.1 401 "));
		assert_non_null(strstr(answer, "WWW-Authenticate: Bearer realm=\"flytrail\"\r\n"));
		assert_null(strstr(answer, "flytrail 0"));
		assert_null(strstr(answer, "made-up"));
	}
	request("HEAD /status");
	assert_true(answers("HTTP/1.1 401 "));
	request_with("GET /status", "Authorization: Bearer " TOKEN "\r\n");
	assert_true(answers("HTTP/1.1 200 "));
	assert_null(strstr(answer, "made-up"));
	request("GET /metrics");
	assert_true(answers("HTTP/1.1 200 "));
	request("GET /ready");
	assert_true(answers("HTTP/1.1 503 "));
}

static void a_process_that_has_just_begun_says_that_it_is_starting(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	request("GET /health");
	assert_true(answers("HTTP/1.1 503 "));
	assert_non_null(strstr(answer, "{\"status\":\"starting\""));
	status.started_monotonic_ns -= INT64_C(90) * NS_PER_S;
	request("GET /health");
	assert_true(answers("HTTP/1.1 503 "));
	assert_non_null(strstr(answer, "{\"status\":\"failing\""));
}

static void the_two_pages_are_there(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	request("GET /ready");
	assert_true(answers("HTTP/1.1 503 "));
	assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
	assert_non_null(strstr(answer, "\"status\":\"failing\""));
	request("GET /health?verbose=1");
	assert_true(answers("HTTP/1.1 503 "));
	assert_non_null(strstr(answer, "\"store\""));
}

static void head_is_the_head_alone(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	request("HEAD /ready");
	assert_true(answers("HTTP/1.1 503 "));
	assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
}

static void anything_else_is_not_there(void **state)
{
	static const char *const heads[] = {
		"GET /",      "GET /readyx",   "GET /ready/", "GET /metrics/", "GET //ready",
		"GET /READY", "GET /../ready", "GET /%00",    "HEAD /nothing", "GET *"};
	struct err err;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		request(heads[i]);
		/* 400 is the library's, for a path that is none. */
		if (!answers("HTTP/1.1 404 ") && !answers("HTTP/1.1 400 "))
			fail_msg("%s: %s", heads[i], answer);
	}
}

static void other_methods_are_refused(void **state)
{
	static const char *const heads[] = {"POST /ready",   "PUT /health",     "DELETE /status",
					    "POST /metrics", "OPTIONS /health", "get /ready",
					    "TRACE /ready"};
	struct err err;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		request(heads[i]);
		assert_true(answers("HTTP/1.1 405 "));
		assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
	}
}

static void a_body_is_not_read(void **state)
{
	static const char post[] =
		"POST /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n";
	struct err err;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	converse(AF_INET, post, sizeof(post) - 1);
	assert_true(answers("HTTP/1.1 405 "));
}

/* After each piece of nonsense the server must still answer. */
static void nonsense_does_no_harm(void **state)
{
	enum { NONSENSE_BYTES = 200000 };
	static const char *const starts[] = {"GET /", "GET /ready HTTP/1.1\r\nX: ", "", "\r\n",
					     "GET /ready HTTP/1.1\r\n"};
	static const char fills[] = {'a', '\0', '\r', '\n', ' ', '\xff', '%'};
	char *text = malloc(NONSENSE_BYTES);
	struct err err;

	(void)state;
	assert_non_null(text);
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	for (size_t s = 0; s < ARRAY_LEN(starts); s++) {
		for (size_t f = 0; f < sizeof(fills); f++) {
			memset(text, fills[f], NONSENSE_BYTES);
			memcpy(text, starts[s], strlen(starts[s]));
			converse(AF_INET, text, NONSENSE_BYTES);
			assert_false(answers("HTTP/1.1 200 "));
			request("GET /ready");
			assert_true(answers("HTTP/1.1 503 "));
		}
	}
	free(text);
}

/* Connections from one address with a head that does not end. */
static void dial_half_open(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		fds[i] = dial(AF_INET);
		assert_true(fds[i] >= 0);
		assert_int_equal(send(fds[i], "GET /hea", 8, MSG_NOSIGNAL), 8);
	}
}

static void half_open_connections_do_not_shut_others_out(void **state)
{
	int fds[3 * HTTP_CONNECTIONS_MAX];
	struct err err;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	for (size_t round = 0; round < 3; round++) {
		dial_half_open(fds + round * HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_MAX);
		request("GET /ready");
		assert_true(answers("HTTP/1.1 503 "));
	}
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		(void)close(fds[i]);
	request("GET /ready");
	assert_true(answers("HTTP/1.1 503 "));
}

static void one_that_trickles_goes_before_the_newest(void **state)
{
	int fds[HTTP_CONNECTIONS_MAX];
	char byte;
	struct err err;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	dial_half_open(fds, HTTP_CONNECTIONS_HELD + 1);
	for (size_t i = 0; i <= HTTP_CONNECTIONS_HELD; i++)
		(void)send(fds[i], "l", 1, MSG_NOSIGNAL);
	/* The oldest was hung up on, the newest was not. */
	assert_true(recv(fds[0], &byte, 1, 0) <= 0);
	assert_int_equal(recv(fds[HTTP_CONNECTIONS_HELD], &byte, 1, MSG_DONTWAIT), -1);
	for (size_t i = 0; i <= HTTP_CONNECTIONS_HELD; i++)
		(void)close(fds[i]);
}

static void a_head_that_does_not_go_on_is_hung_up_on(void **state)
{
	char byte;
	struct err err;
	int fd;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	dial_half_open(&fd, 1);
	/* Within the socket's PATIENCE_SECONDS. */
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	(void)close(fd);
}

static void both_families_reach_the_wildcard(void **state)
{
	static const char get[] = "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	struct err err = {0};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	(void)state;
	if (fd < 0)
		skip_because("this kernel has no IPv6");
	(void)close(fd);
	assert_int_equal(start("[::]", &err), ERR_NONE);
	converse(AF_INET, get, sizeof(get) - 1);
	assert_true(answers("HTTP/1.1 503 "));
	fd = dial(AF_INET6);
	if (fd < 0)
		skip_because("this machine has no ::1");
	(void)close(fd);
	converse(AF_INET6, get, sizeof(get) - 1);
	assert_true(answers("HTTP/1.1 503 "));
}

static void an_address_that_is_taken_is_told(void **state)
{
	struct http *second = NULL;
	char address[ADDRESS_BYTES];
	struct err err;

	(void)state;
	assert_int_equal(start("127.0.0.1", &err), ERR_NONE);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	assert_int_equal(start_at(&second, address, "", &err), ERR_CONFIG);
	assert_null(second);
	assert_non_null(strstr(err.text, address));
	assert_non_null(strstr(err.text, "FLYTRAIL_LISTEN"));
}

static void an_address_that_is_none_is_told(void **state)
{
	static const char *const bad[] = {
		"localhost:8080", "8080",           "[::1",           "", ":",
		"127.0.0.1:",     "999.0.0.1:8080", "[fe80::zz]:8080"};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(start_at(&http, bad[i], "", &err), ERR_CONFIG);
	assert_null(http);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_two_pages_are_there),
		TEST(metrics_and_status_are_there_though_nothing_is_well),
		TEST(a_token_guards_status_alone),
		TEST(a_process_that_has_just_begun_says_that_it_is_starting),
		TEST(head_is_the_head_alone),
		TEST(anything_else_is_not_there),
		TEST(other_methods_are_refused),
		TEST(a_body_is_not_read),
		TEST(nonsense_does_no_harm),
		TEST(half_open_connections_do_not_shut_others_out),
		TEST(one_that_trickles_goes_before_the_newest),
		TEST(a_head_that_does_not_go_on_is_hung_up_on),
		TEST(both_families_reach_the_wildcard),
		TEST(an_address_that_is_taken_is_told),
		TEST(an_address_that_is_none_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
