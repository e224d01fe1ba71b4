/*
 * A server that greets, answers so many statements and then says nothing: no wait on it is for
 * ever. What real servers do is tried by tests/integration/test_store.py.
 */

#include "base/bytes.h"
#include "base/time.h"
#include "fault.h"
#include "store/session.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
	ANSWER_SECONDS = 5, /* of which what is answered before the silence takes nothing */
	CONNECT_SECONDS = 1,
	PATIENT_SECONDS = 60, /* of what is to be answered */
	CHUNK_BYTES = 256 * 1024,
	CHUNKS_MAX = 200, /* more than a socket's buffers take */
	URL_BYTES = 128,
};

/* What the server does after its greeting. */
struct script {
	int answers;     /* statements that it answers with CommandComplete */
	const char *end; /* the next one's answer, raw; NULL: silence */
	size_t end_len;
	bool hangs_up; /* after that */
	bool mute;     /* says nothing at all */
	bool silent;   /* what it says ends before the client's patience does */
};

struct server {
	struct script script;
	int listener, wake[2];
	uint16_t port;
	pthread_t thread;
};

static const char greeting[] = "R\0\0\0\x08\0\0\0\0"
			       "S\0\0\0\x18server_version\0"
			       "15.0\0"
			       "S\0\0\0\x17in_hot_standby\0"
			       "off\0"
			       "S\0\0\0\x26"
			       "default_transaction_read_only\0"
			       "off\0"
			       "S\0\0\0\x19"
			       "client_encoding\0"
			       "UTF8\0"
			       "Z\0\0\0\x05I";
static const char complete[] = "C\0\0\0\x08SET\0Z\0\0\0\x05I";
static const char copy_in[] = "G\0\0\0\x07\x01\0\0";
static const char failed[] = "E\0\0\0\x23SERROR\0C23514\0Mwords of a row\0\0Z\0\0\0\x05I";

/* False: the client has gone, or the test is over. */
static bool await_bytes(const struct server *s, int fd)
{
	struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = s->wake[0], .events = POLLIN}};
	char bytes[4096];

	if (poll(fds, 2, -1) < 0 || fds[1].revents)
		return false;
	return recv(fd, bytes, sizeof(bytes), 0) > 0;
}

static void say(int fd, const char *bytes, size_t len)
{
	(void)send(fd, bytes, len, MSG_NOSIGNAL);
}

static void serve(const struct server *s, int fd)
{
	if (s->script.mute || !await_bytes(s, fd))
		goto out;
	say(fd, greeting, sizeof(greeting) - 1);
	for (int i = 0; i < s->script.answers; i++) {
		if (!await_bytes(s, fd))
			return;
		say(fd, complete, sizeof(complete) - 1);
	}
	if (!await_bytes(s, fd))
		return;
	if (s->script.end)
		say(fd, s->script.end, s->script.end_len);
	if (s->script.hangs_up)
		return;
out:
	/* Silence, and nothing is read, until the test ends. */
	(void)poll(&(struct pollfd){.fd = s->wake[0], .events = POLLIN}, 1, -1);
}

static void *run_server(void *arg)
{
	struct server *s = arg;
	struct pollfd fds[] = {{.fd = s->listener, .events = POLLIN},
			       {.fd = s->wake[0], .events = POLLIN}};

	while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
		int fd = accept(s->listener, NULL, NULL);

		if (fd < 0)
			continue;
		serve(s, fd);
		close(fd);
	}
	return NULL;
}

static void server_start(struct server *s, struct script script)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);

	*s = (struct server){.script = script};
	s->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(s->listener, 8), 0);
	assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &len), 0);
	s->port = ntohs(address.sin_port);
	assert_int_equal(pipe(s->wake), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
}

static void server_stop(struct server *s)
{
	assert_int_equal(write(s->wake[1], "x", 1), 1);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	close(s->listener);
	close(s->wake[0]);
	close(s->wake[1]);
}

static enum err_kind open_to(const struct server *s, struct session **ret, struct err *err)
{
	char url[URL_BYTES];
	const struct session_options options = {
		.url = url,
		.url_name = "THE_URL",
		.connect_seconds = s->script.mute ? CONNECT_SECONDS : PATIENT_SECONDS,
		.answer_seconds = s->script.silent ? ANSWER_SECONDS : PATIENT_SECONDS};

	(void)snprintf(url, sizeof(url),
		       "postgres://x:made-up@127.0.0.1:%d/x?sslmode=disable&gssencmode=disable",
		       s->port);
	return session_open(ret, &options, err);
}

static void assert_in_time(int64_t start_ns, int seconds)
{
	int64_t took_ns = time_monotonic_ns() - start_ns;

	assert_true(took_ns >= (seconds * 900) * NS_PER_MS);
	assert_true(took_ns < (seconds + 20) * NS_PER_S); /* a busy machine is no failure */
}

static void a_server_that_never_greets_is_given_up(void **state)
{
	struct server server;
	struct session *s = NULL;
	struct err err;
	int64_t start_ns = time_monotonic_ns();

	(void)state;
	server_start(&server, (struct script){.mute = true});
	assert_int_equal(open_to(&server, &s, &err), ERR_RETRY);
	assert_in_time(start_ns, CONNECT_SECONDS);
	assert_non_null(strstr(err.text, "did not answer in time"));
	assert_non_null(strstr(err.text, "THE_URL"));
	assert_null(s);
	server_stop(&server);
}

static void a_server_that_stops_answering_is_given_up(void **state)
{
	struct server server;
	struct session *s;
	struct err err;
	int64_t start_ns;

	(void)state;
	server_start(&server, (struct script){.answers = 2, .silent = true});
	assert_int_equal(open_to(&server, &s, &err), ERR_NONE);
	assert_int_equal(session_run(s, "SELECT 1", &err), ERR_NONE);
	start_ns = time_monotonic_ns();
	assert_int_equal(session_run(s, "SELECT 1", &err), ERR_RETRY);
	assert_in_time(start_ns, ANSWER_SECONDS);
	session_close(s);
	server_stop(&server);
}

static void a_copy_that_nobody_reads_is_given_up(void **state)
{
	static char chunk[CHUNK_BYTES];
	struct server server;
	struct session *s;
	struct err err;
	enum err_kind rc = ERR_NONE;

	(void)state;
	server_start(&server, (struct script){.answers = 1,
					      .end = copy_in,
					      .end_len = sizeof(copy_in) - 1,
					      .silent = true});
	assert_int_equal(open_to(&server, &s, &err), ERR_NONE);
	assert_int_equal(session_copy_begin(s, "COPY t FROM STDIN", &err), ERR_NONE);
	for (int i = 0; i < CHUNKS_MAX && !rc; i++)
		rc = session_copy_put(s, chunk, sizeof(chunk), &err);
	assert_int_equal(rc, ERR_RETRY);
	assert_non_null(strstr(err.text, "did not answer in time"));
	session_close(s);
	server_stop(&server);
}

static void a_server_that_hangs_up_is_told(void **state)
{
	struct server server;
	struct session *s;
	struct err err;

	(void)state;
	server_start(&server, (struct script){.answers = 1, .hangs_up = true});
	assert_int_equal(open_to(&server, &s, &err), ERR_NONE);
	assert_int_equal(session_run(s, "SELECT 1", &err), ERR_RETRY);
	assert_non_null(strstr(err.text, "connection to Postgres is lost"));
	session_close(s);
	server_stop(&server);
}

static void words_that_may_quote_a_row_are_kept_back(void **state)
{
	struct server server;
	struct session *s;
	struct err err;

	(void)state;
	server_start(&server,
		     (struct script){.answers = 1, .end = failed, .end_len = sizeof(failed) - 1});
	assert_int_equal(open_to(&server, &s, &err), ERR_NONE);
	assert_int_equal(session_run(s, "SELECT 1", &err), ERR_REJECT);
	assert_string_equal(session_state(s), "23514");
	assert_true(session_lacks_partition(s));
	assert_null(strstr(err.text, "words"));
	session_close(s);
	server_stop(&server);
}

static void a_server_that_talks_nonsense_is_lost(void **state)
{
	struct server server;
	struct session *s;
	struct err err;

	(void)state;
	server_start(&server, (struct script){.answers = 1,
					      .end = "HTTP/1.1 400 Bad\r\n\r\n",
					      .end_len = 20,
					      .hangs_up = true});
	assert_int_equal(open_to(&server, &s, &err), ERR_NONE);
	assert_int_equal(session_run(s, "SELECT 1", &err), ERR_RETRY);
	session_close(s);
	server_stop(&server);
}

static void open_and_run(void *arg)
{
	struct session *s = NULL;
	struct err err;
	enum err_kind rc = open_to(arg, &s, &err);

	if (!rc)
		rc = session_run(s, "SELECT 1", &err);
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
	session_close(s);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	struct server server;

	(void)state;
	server_start(&server, (struct script){.answers = 2});
	fault_everywhere(open_and_run, &server);
	server_stop(&server);
}

/* libpq's words come on several lines, with a question that the first one answers. */
static void words_on_several_lines_become_one_sentence(void **state)
{
	struct session_options options = {
		.url = "host=127.0.0.1,127.0.0.1 port=1 gssencmode=disable sslmode=disable",
		.url_name = "URL",
		.connect_seconds = PATIENT_SECONDS,
		.answer_seconds = PATIENT_SECONDS};
	struct session *s = NULL;
	struct err err;

	(void)state;
	assert_int_equal(session_open(&s, &options, &err), ERR_RETRY);
	assert_string_equal(
		err.text,
		"cannot connect to Postgres by URL: connection to server at \"127.0.0.1\", "
		"port 1 failed: Connection refused; connection to server at "
		"\"127.0.0.1\", port 1 failed: Connection refused");
	options.url = "postgres://127.0.0.1:1/x?sslmode=verify-full&sslrootcert=/none";
	assert_int_equal(session_open(&s, &options, &err), ERR_RETRY);
	assert_null(strstr(err.text, "Is the server"));
}

/* What libpq says before it tries anything will be the same at the next attempt. */
static void a_string_that_libpq_will_not_use_is_configuration(void **state)
{
	const struct session_options options = {.url = "postgres://127.0.0.1:1/x?gssencmode=maybe",
						.url_name = "URL",
						.connect_seconds = CONNECT_SECONDS,
						.answer_seconds = ANSWER_SECONDS};
	struct session *s = NULL;
	struct err err;

	(void)state;
	assert_int_equal(session_open(&s, &options, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "gssencmode"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_that_never_greets_is_given_up),
		cmocka_unit_test(a_server_that_stops_answering_is_given_up),
		cmocka_unit_test(a_copy_that_nobody_reads_is_given_up),
		cmocka_unit_test(a_server_that_hangs_up_is_told),
		cmocka_unit_test(words_that_may_quote_a_row_are_kept_back),
		cmocka_unit_test(a_server_that_talks_nonsense_is_lost),
		cmocka_unit_test(words_on_several_lines_become_one_sentence),
		cmocka_unit_test(a_string_that_libpq_will_not_use_is_configuration),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
