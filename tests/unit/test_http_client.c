/* A request goes to its own host alone, ends in time, and its errors hold no secret. */

#include "base/http_client.h"

#include "base/time.h"

#include "tiny_http.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SECRET "fm2_example000000000"

enum { ANSWER_BYTES = 4096, BIG_BYTES = 64 * 1024, PATIENT_SECONDS = 60, SHORT_SECONDS = 3 };

static struct tiny_http server, other;

static struct http_client *new_client(const struct http_client_options *options)
{
	struct http_client *c = NULL;
	struct err err;

	assert_int_equal(http_client_new(&c, options, &err), ERR_NONE);
	return c;
}

static enum err_kind get(struct http_client *c, const char *base, const char *path,
			 struct http_answer *ret, struct err *err)
{
	static const char *const headers[] = {"Authorization: FlyV1 " SECRET, NULL};
	char url[256];
	struct http_request request = {.url = url,
				       .headers = headers,
				       .body_max = ANSWER_BYTES,
				       .seconds = PATIENT_SECONDS};

	(void)snprintf(url, sizeof(url), "%s%s", base, path);
	return http_client_send(c, &request, ret, err);
}

static void an_answer_is_given_back_and_the_connection_is_kept(void **state)
{
	char one[ANSWER_BYTES], two[ANSWER_BYTES];
	const char *const answers[] = {tiny_http_answer(one, sizeof(one), 200, "", "hello"),
				       tiny_http_answer(two, sizeof(two), 503, "", ""), NULL};
	struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});
	struct http_answer answer;
	struct err err;

	(void)state;
	tiny_http_start(&server, answers);
	assert_int_equal(get(c, server.url, "/a?b=c", &answer, &err), ERR_NONE);
	assert_int_equal(answer.status, 200);
	assert_true(span_is(answer.body, "hello"));
	assert_int_equal(get(c, server.url, "/", &answer, &err), ERR_NONE);
	assert_int_equal(answer.status, 503);
	assert_int_equal(answer.body.len, 0);
	assert_int_equal(atomic_load(&server.connections), 1);
	assert_ptr_equal(strstr(server.requests[0], "GET /a?b=c HTTP/1.1\r\n"), server.requests[0]);
	assert_non_null(strstr(server.requests[0], "\r\nAuthorization: FlyV1 " SECRET "\r\n"));
	assert_non_null(strstr(server.requests[0], "\r\nUser-Agent: flytrail/"));
	http_client_free(c);
	tiny_http_stop(&server);
}

static void a_body_and_a_method_are_sent(void **state)
{
	static const char *const headers[] = {"Content-Type: application/json", NULL};
	char text[ANSWER_BYTES], url[256];
	const char *const answers[] = {tiny_http_answer(text, sizeof(text), 200, "", ""), NULL};
	struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});
	struct http_request request = {.method = "PUT",
				       .url = url,
				       .headers = headers,
				       .body = SPAN("{\"a\":1}"),
				       .body_max = 10,
				       .seconds = PATIENT_SECONDS};
	struct http_answer answer;
	struct err err;

	(void)state;
	tiny_http_start(&server, answers);
	(void)snprintf(url, sizeof(url), "%s/x", server.url);
	assert_int_equal(http_client_send(c, &request, &answer, &err), ERR_NONE);
	assert_ptr_equal(strstr(server.requests[0], "PUT /x HTTP/1.1\r\n"), server.requests[0]);
	assert_non_null(strstr(server.requests[0], "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(server.requests[0], "\r\nContent-Length: 7\r\n"));
	http_client_free(c);
	tiny_http_stop(&server);
}

static void a_header_of_the_newest_answer_is_found(void **state)
{
	char one[ANSWER_BYTES], two[ANSWER_BYTES];
	const char *const answers[] = {
		tiny_http_answer(
			one, sizeof(one), 200,
			"ETag: \"x\"\r\netag: y\r\nDate: Fri, 24 May 2013 00:00:00 GMT\r\n", ""),
		tiny_http_answer(two, sizeof(two), 200, "", ""), NULL};
	struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});
	struct http_answer answer;
	struct span etag;
	struct err err;

	(void)state;
	tiny_http_start(&server, answers);
	assert_false(http_client_header(c, "etag", &etag));
	assert_int_equal(get(c, server.url, "/", &answer, &err), ERR_NONE);
	assert_true(http_client_header(c, "etag", &etag));
	assert_true(span_is(etag, "\"x\""));
	assert_true(answer.date_ns == INT64_C(1369353600) * NS_PER_S);
	assert_int_equal(get(c, server.url, "/", &answer, &err), ERR_NONE);
	assert_false(http_client_header(c, "etag", &etag));
	assert_true(answer.date_ns == 0);
	http_client_free(c);
	tiny_http_stop(&server);
}

/* A server tells how long the object is, and sends nothing of it. */
static void to_head_no_body_is_waited_for(void **state)
{
	static const char *const answers[] = {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
					      "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n",
					      NULL};
	struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});
	struct http_request request = {
		.method = "HEAD", .url = server.url, .body_max = 10, .seconds = PATIENT_SECONDS};
	struct http_answer answer;
	struct span length;
	struct err err;

	(void)state;
	tiny_http_start(&server, answers);
	assert_int_equal(http_client_send(c, &request, &answer, &err), ERR_NONE);
	assert_int_equal(answer.status, 200);
	assert_int_equal(answer.body.len, 0);
	assert_true(http_client_header(c, "content-length", &length));
	assert_true(span_is(length, "5"));
	assert_int_equal(http_client_send(c, &request, &answer, &err), ERR_NONE);
	assert_int_equal(answer.status, 404);
	assert_int_equal(atomic_load(&server.connections), 1);
	http_client_free(c);
	tiny_http_stop(&server);
}

static void a_large_body_is_sent_at_once(void **state)
{
	static char large[2 * 1024 * 1024];
	char text[ANSWER_BYTES];
	const char *const answers[] = {tiny_http_answer(text, sizeof(text), 200, "", ""), NULL};
	struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});
	struct http_request request = {.method = "PUT",
				       .url = server.url,
				       .body = span_of(large, sizeof(large)),
				       .body_max = 10,
				       .seconds = PATIENT_SECONDS};
	struct http_answer answer;
	struct err err;

	(void)state;
	tiny_http_start(&server, answers);
	/* It has no room for all of it and hangs up. */
	assert_int_equal(http_client_send(c, &request, &answer, &err), ERR_RETRY);
	http_client_free(c);
	tiny_http_stop(&server);
	assert_non_null(strstr(server.requests[0], "\r\nContent-Length: 2097152\r\n"));
	assert_null(strstr(server.requests[0], "Expect"));
	assert_null(strstr(server.requests[0], "Content-Type")); /* none was given */
}

/* A proxy is asked for the whole address. */
static void a_proxy_is_asked_where_that_is_wanted(void **state)
{
	char text[ANSWER_BYTES];
	const char *const answers[] = {tiny_http_answer(text, sizeof(text), 200, "", ""), NULL};
	struct http_client *c = new_client(&(struct http_client_options){.proxies = true});
	struct http_answer answer;
	struct err err;

	(void)state;
	tiny_http_start(&server, answers);
	assert_int_equal(setenv("http_proxy", server.url, 1), 0);
	assert_int_equal(get(c, "http://s3.example.com", "/a", &answer, &err), ERR_NONE);
	assert_int_equal(unsetenv("http_proxy"), 0);
	assert_ptr_equal(strstr(server.requests[0], "GET http://s3.example.com/a HTTP/1.1\r\n"),
			 server.requests[0]);
	http_client_free(c);
	tiny_http_stop(&server);
}

/* It sees where to, and nothing else of the request. */
static void a_proxy_is_asked_for_a_way_to_what_has_tls(void **state)
{
	char text[ANSWER_BYTES];
	const char *const answers[] = {tiny_http_answer(text, sizeof(text), 403, "", "not you"),
				       NULL};
	struct http_client *c = new_client(&(struct http_client_options){.proxies = true});
	struct http_answer answer;
	struct err err;

	(void)state;
	tiny_http_start(&server, answers);
	assert_int_equal(setenv("https_proxy", server.url, 1), 0);
	assert_int_equal(get(c, "https://s3.example.com", "/a?b", &answer, &err), ERR_RETRY);
	assert_int_equal(unsetenv("https_proxy"), 0);
	assert_ptr_equal(strstr(server.requests[0], "CONNECT s3.example.com:443 HTTP/1.1\r\n"),
			 server.requests[0]);
	assert_null(strstr(server.requests[0], SECRET));
	assert_null(strstr(server.requests[0], "/a?b"));
	assert_string_equal(err.text, "GET /a: the proxy answers 403");
	http_client_free(c);
	tiny_http_stop(&server);
}

static void whom_no_proxy_names_is_asked_without_one(void **state)
{
	static const char *const nothing[] = {NULL};
	static const char *const names[] = {"127.0.0.1", "*", "s3.example.com, 127.0.0.1"};
	char text[ANSWER_BYTES];
	const char *const answers[] = {tiny_http_answer(text, sizeof(text), 200, "", ""), NULL};
	struct http_answer answer;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct http_client *c = new_client(&(struct http_client_options){.proxies = true});

		tiny_http_start(&other, nothing);
		tiny_http_start(&server, answers);
		assert_int_equal(setenv("http_proxy", other.url, 1), 0);
		assert_int_equal(setenv("no_proxy", names[i], 1), 0);
		assert_int_equal(get(c, server.url, "/", &answer, &err), ERR_NONE);
		assert_int_equal(unsetenv("http_proxy"), 0);
		assert_int_equal(unsetenv("no_proxy"), 0);
		assert_int_equal(atomic_load(&other.connections), 0);
		http_client_free(c);
		tiny_http_stop(&server);
		tiny_http_stop(&other);
	}
}

static void a_redirect_is_an_answer_and_nobody_else_is_asked(void **state)
{
	static const unsigned statuses[] = {301, 302, 303, 307, 308};
	static const char *const nothing[] = {NULL};
	char text[ANSWER_BYTES], location[128];
	const char *answers[] = {text, NULL};
	struct http_answer answer;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});

		tiny_http_start(&other, nothing);
		(void)snprintf(location, sizeof(location), "Location: %s/\r\n", other.url);
		(void)tiny_http_answer(text, sizeof(text), statuses[i], location, "");
		tiny_http_start(&server, answers);
		assert_int_equal(get(c, server.url, "/", &answer, &err), ERR_NONE);
		assert_int_equal(answer.status, statuses[i]);
		http_client_free(c);
		tiny_http_stop(&server);
		tiny_http_stop(&other);
		assert_int_equal(atomic_load(&other.connections), 0);
	}
}

static void no_proxy_of_the_environment_is_asked(void **state)
{
	static const char *const nothing[] = {NULL};
	char text[ANSWER_BYTES];
	const char *const answers[] = {tiny_http_answer(text, sizeof(text), 200, "", ""), NULL};
	struct http_client *c;
	struct http_answer answer;
	struct err err;

	(void)state;
	tiny_http_start(&other, nothing);
	tiny_http_start(&server, answers);
	assert_int_equal(setenv("http_proxy", other.url, 1), 0);
	assert_int_equal(setenv("https_proxy", other.url, 1), 0);
	assert_int_equal(setenv("all_proxy", other.url, 1), 0);
	c = new_client(&(struct http_client_options){.ca_file = NULL});
	assert_int_equal(get(c, server.url, "/", &answer, &err), ERR_NONE);
	assert_int_equal(get(c, "https://127.0.0.1:1", "/", &answer, &err), ERR_RETRY);
	assert_int_equal(atomic_load(&other.connections), 0);
	assert_int_equal(unsetenv("http_proxy"), 0);
	assert_int_equal(unsetenv("https_proxy"), 0);
	assert_int_equal(unsetenv("all_proxy"), 0);
	http_client_free(c);
	tiny_http_stop(&server);
	tiny_http_stop(&other);
}

static void retry_after_is_read_in_both_forms_and_bounded(void **state)
{
	static const struct {
		const char *header;
		unsigned least, most;
	} cases[] = {
		{"Retry-After: 7\r\n", 7, 7},
		{"Retry-After: 0\r\n", 0, 0},
		{"Retry-After: -3\r\n", 0, 0},
		{"Retry-After: soon\r\n", 0, 0},
		{"Retry-After: 99999999999999999999\r\n", 0, HTTP_CLIENT_RETRY_AFTER_SECONDS_MAX},
		{"Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n",
		 HTTP_CLIENT_RETRY_AFTER_SECONDS_MAX, HTTP_CLIENT_RETRY_AFTER_SECONDS_MAX},
		{"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", 0, 0},
		{"", 0, 0},
	};
	char texts[ARRAY_LEN(cases)][ANSWER_BYTES];
	const char *answers[ARRAY_LEN(cases) + 1] = {NULL};
	struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});
	struct http_answer answer;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		answers[i] = tiny_http_answer(texts[i], ANSWER_BYTES, 429, cases[i].header, "");
	tiny_http_start(&server, answers);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(get(c, server.url, "/", &answer, &err), ERR_NONE);
		assert_in_range(answer.retry_after_seconds, cases[i].least, cases[i].most);
	}
	http_client_free(c);
	tiny_http_stop(&server);
}

static void more_than_is_taken_is_refused_however_it_comes(void **state)
{
	static char body[ANSWER_BYTES + 2], text[BIG_BYTES], chunked[BIG_BYTES];
	const char *const answers[] = {text, chunked, NULL};
	struct http_answer answer;
	struct err err;

	(void)state;
	memset(body, 'x', ANSWER_BYTES + 1);
	(void)tiny_http_answer(text, sizeof(text), 200, "", body);
	(void)snprintf(chunked, sizeof(chunked),
		       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
		       ANSWER_BYTES + 1, body);
	tiny_http_start(&server, answers);
	for (int i = 0; i < 2; i++) {
		struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});

		assert_int_equal(get(c, server.url, "/", &answer, &err), ERR_RETRY);
		assert_non_null(strstr(err.text, "longer than is taken"));
		http_client_free(c);
	}
	tiny_http_stop(&server);
}

static void a_broken_answer_is_to_be_tried_again(void **state)
{
	static const char *const broken[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf",
		"SSH-2.0-example\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Le",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n",
	};
	struct http_answer answer;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		const char *const answers[] = {broken[i], NULL};
		struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});

		tiny_http_start(&server, answers);
		assert_int_equal(get(c, server.url, "/a", &answer, &err), ERR_RETRY);
		assert_ptr_equal(strstr(err.text, "GET /a: "), err.text);
		http_client_free(c);
		tiny_http_stop(&server);
	}
}

static void an_answer_that_never_comes_ends_in_time(void **state)
{
	static const char *const answers[] = {TINY_HTTP_HANG, NULL};
	struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});
	int64_t start_ns = time_monotonic_ns();
	struct http_answer answer;
	struct err err;

	(void)state;
	tiny_http_start(&server, answers);
	assert_int_equal(http_client_send(c,
					  &(struct http_request){.url = server.url,
								 .body_max = 1,
								 .seconds = SHORT_SECONDS},
					  &answer, &err),
			 ERR_RETRY);
	/* A busy machine is no failure. */
	assert_in_range((time_monotonic_ns() - start_ns) / NS_PER_S, SHORT_SECONDS - 1,
			SHORT_SECONDS + 20);
	http_client_free(c);
	tiny_http_stop(&server);
}

static void *set_cut(void *arg)
{
	_Atomic bool *cut = arg;

	while (atomic_load(&server.count) == 0)
		(void)usleep(1000);
	atomic_store(cut, true);
	return NULL;
}

static void a_request_under_way_can_be_cut(void **state)
{
	static const char *const answers[] = {TINY_HTTP_HANG, NULL};
	_Atomic bool cut = false;
	struct http_client *c = new_client(&(struct http_client_options){.cut = &cut});
	int64_t start_ns = time_monotonic_ns();
	struct http_answer answer;
	pthread_t thread;
	struct err err;

	(void)state;
	tiny_http_start(&server, answers);
	assert_int_equal(pthread_create(&thread, NULL, set_cut, &cut), 0);
	assert_int_equal(get(c, server.url, "/", &answer, &err), ERR_RETRY);
	assert_true(time_monotonic_ns() - start_ns < PATIENT_SECONDS / 2 * NS_PER_S);
	assert_non_null(strstr(err.text, "cut short"));
	assert_int_equal(pthread_join(thread, NULL), 0);
	http_client_free(c);
	tiny_http_stop(&server);
}

static void errors_name_the_path_and_no_secret(void **state)
{
	struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});
	struct http_answer answer;
	struct err err;

	(void)state;
	/* Port 1 of this machine is nobody's. */
	assert_int_equal(
		get(c, "http://user:" SECRET "@127.0.0.1:1", "/p/q?token=" SECRET, &answer, &err),
		ERR_RETRY);
	assert_ptr_equal(strstr(err.text, "GET /p/q: "), err.text);
	assert_null(strstr(err.text, SECRET));
	assert_int_equal(get(c, "file:///etc/hostname", "", &answer, &err), ERR_CONFIG);
	assert_int_equal(get(c, "ftp://127.0.0.1", "/", &answer, &err), ERR_CONFIG);
	assert_int_equal(get(c, "http://no.such.host.invalid", "", &answer, &err), ERR_RETRY);
	assert_ptr_equal(strstr(err.text, "GET /: "), err.text);
	http_client_free(c);
}

static void where_the_path_is_a_secret_errors_have_another_name(void **state)
{
	struct http_client *c = new_client(&(struct http_client_options){.ca_file = NULL});
	struct http_answer answer;
	struct err err;

	(void)state;
	assert_int_equal(
		http_client_send(c,
				 &(struct http_request){.url = "http://127.0.0.1:1/" SECRET,
							.named = "EXAMPLE_URL",
							.body_max = 1,
							.seconds = PATIENT_SECONDS},
				 &answer, &err),
		ERR_RETRY);
	assert_ptr_equal(strstr(err.text, "GET EXAMPLE_URL: "), err.text);
	assert_null(strstr(err.text, SECRET));
	http_client_free(c);
}

/* ---- TLS, with a certificate that nobody signed but itself ---- */

/* out: the end of a pipe for what it prints; -1: nowhere. */
static pid_t run(const char *const *words, int out)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr) || !freopen("/dev/null", "w", stdout) ||
		    (out >= 0 && dup2(out, STDOUT_FILENO) < 0))
			_exit(126);
		(void)execvp(words[0], (char *const *)(uintptr_t)words);
		_exit(127);
	}
	return pid;
}

/* The port that `openssl s_server` says it listens on: "ACCEPT 0.0.0.0:40123". */
static unsigned long listening_port(FILE *said)
{
	char line[256];

	while (fgets(line, sizeof(line), said))
		if (strncmp(line, "ACCEPT", 6) == 0)
			return strtoul(strrchr(line, ':') + 1, NULL, 10);
	fail_msg("openssl s_server does not listen");
	return 0;
}

static void a_certificate_that_does_not_verify_is_refused(void **state)
{
	char folder[] = "/tmp/flytrail-tls-XXXXXX", key[64], cert[64], url[64], name[64];
	const char *const make[] = {"openssl",
				    "req",
				    "-x509",
				    "-newkey",
				    "ec",
				    "-pkeyopt",
				    "ec_paramgen_curve:P-256",
				    "-nodes",
				    "-keyout",
				    key,
				    "-out",
				    cert,
				    "-subj",
				    "/CN=x",
				    "-addext",
				    "subjectAltName=IP:127.0.0.1",
				    NULL};
	const char *const serve[] = {"openssl", "s_server", "-accept", "0",    "-cert",
				     cert,      "-key",     key,       "-www", NULL};
	struct http_client *c;
	struct http_answer answer;
	struct err err;
	unsigned long port;
	int status, ends[2];
	FILE *said;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(key, sizeof(key), "%s/key.pem", folder);
	(void)snprintf(cert, sizeof(cert), "%s/cert.pem", folder);
	assert_int_equal(waitpid(run(make, -1), &status, 0) > 0 ? status : -1, 0);
	assert_int_equal(pipe(ends), 0);
	pid = run(serve, ends[1]);
	(void)close(ends[1]);
	said = fdopen(ends[0], "r");
	assert_non_null(said);
	port = listening_port(said);
	(void)snprintf(url, sizeof(url), "https://127.0.0.1:%lu", port);
	(void)snprintf(name, sizeof(name), "https://localhost:%lu", port);

	c = new_client(&(struct http_client_options){.ca_file = NULL});
	assert_int_equal(get(c, url, "/", &answer, &err), ERR_RETRY);
	assert_non_null(strstr(err.text, "the certificate does not verify"));
	http_client_free(c);

	c = new_client(&(struct http_client_options){.ca_file = cert});
	assert_int_equal(get(c, name, "/", &answer, &err), ERR_RETRY); /* it is of another name */
	assert_non_null(strstr(err.text, "the certificate does not verify"));
	assert_int_equal(http_client_send(c,
					  &(struct http_request){.url = url,
								 .body_max = BIG_BYTES,
								 .seconds = PATIENT_SECONDS},
					  &answer, &err),
			 ERR_NONE);
	assert_int_equal(answer.status, 200);
	http_client_free(c);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)fclose(said);
	assert_int_equal(unlink(key) + unlink(cert) + rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_given_back_and_the_connection_is_kept),
		cmocka_unit_test(a_body_and_a_method_are_sent),
		cmocka_unit_test(a_header_of_the_newest_answer_is_found),
		cmocka_unit_test(to_head_no_body_is_waited_for),
		cmocka_unit_test(a_large_body_is_sent_at_once),
		cmocka_unit_test(a_proxy_is_asked_where_that_is_wanted),
		cmocka_unit_test(a_proxy_is_asked_for_a_way_to_what_has_tls),
		cmocka_unit_test(whom_no_proxy_names_is_asked_without_one),
		cmocka_unit_test(a_redirect_is_an_answer_and_nobody_else_is_asked),
		cmocka_unit_test(no_proxy_of_the_environment_is_asked),
		cmocka_unit_test(retry_after_is_read_in_both_forms_and_bounded),
		cmocka_unit_test(more_than_is_taken_is_refused_however_it_comes),
		cmocka_unit_test(a_broken_answer_is_to_be_tried_again),
		cmocka_unit_test(an_answer_that_never_comes_ends_in_time),
		cmocka_unit_test(a_request_under_way_can_be_cut),
		cmocka_unit_test(errors_name_the_path_and_no_secret),
		cmocka_unit_test(where_the_path_is_a_secret_errors_have_another_name),
		cmocka_unit_test(a_certificate_that_does_not_verify_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
