/* The ping goes out while /health is green, not while it is red, and its end waits for nobody. */
#include "serve/ping.h"

#include "base/time.h"

#include "fault.h"
#include "scratch.h"
#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { URL_BYTES = 128, LOOKS = 3, LOOK_US = 20 * 1000, WAITS_MAX = 3000 };

static struct tiny_http server;
static struct status status;
static char url[URL_BYTES];
static struct ping_options options;
static struct err err;

static void set_up(const char *const *answers)
{
	status_init(&status);
	tiny_http_start(&server, answers);
	(void)snprintf(url, sizeof(url), "%s/ping/SECRETEXAMPLE", server.url);
	options = (struct ping_options){.url = url, .status = &status, .by_http = true};
}

static void tear_down(void)
{
	tiny_http_stop(&server);
	status_release(&status);
}

/* But for the spool, without which nothing is green. */
static void make_green(struct spool *spool)
{
	status_set_spool(&status, spool);
	atomic_store(&status.source_started, true);
	atomic_store(&status.source_connected, true);
	atomic_store(&status.source_why, NULL);
	status_set_store(&status, STORE_WORKING, "");
}

static void nobody_is_pinged_while_health_is_red(void **state)
{
	static const char *const none[] = {NULL};
	struct ping *p = NULL;

	(void)state;
	set_up(none);
	make_green(NULL); /* there is no spool */
	assert_int_equal(ping_start(&p, &options, &err), ERR_NONE);
	assert_int_equal(usleep(LOOKS * PING_LOOK_MS * 1000), 0);
	ping_stop(p);
	assert_int_equal(atomic_load(&server.count), 0);
	tear_down();
}

static void when_it_turns_green_they_are_pinged_once_a_minute(void **state)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	static const char *const answers[] = {ok, ok, NULL};
	struct spool *spool = NULL;
	struct ping *p = NULL;
	struct scratch dir;
	const struct spool_options spool_options = {
		.folder = dir.path, .max_bytes = UINT64_C(64) << 20, .keep_ns = NS_PER_S};

	(void)state;
	scratch_make(&dir);
	set_up(answers);
	assert_int_equal(spool_open(&spool, &spool_options, &err), ERR_NONE);
	assert_int_equal(ping_start(&p, &options, &err), ERR_NONE);
	make_green(spool);
	for (int i = 0; i < WAITS_MAX && atomic_load(&status.pinged_ns) == 0; i++)
		assert_int_equal(usleep(LOOK_US), 0);
	assert_int_not_equal(atomic_load(&status.pinged_ns), 0);
	assert_int_equal(usleep(LOOKS * PING_LOOK_MS * 1000), 0);
	ping_stop(p);
	assert_int_equal(atomic_load(&server.count), 1);
	assert_ptr_equal(strstr(server.requests[0], "GET /ping/SECRETEXAMPLE HTTP/1.1\r\n"),
			 server.requests[0]);
	status_set_spool(&status, NULL);
	spool_close(spool);
	scratch_remove(&dir);
	tear_down();
}

static void start_and_stop(void *arg)
{
	struct ping *p = NULL;
	struct err e = {0};

	(void)arg;
	if (ping_start(&p, &options, &e))
		assert_int_equal(e.kind, ERR_FATAL);
	ping_stop(p);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	static const char *const none[] = {NULL};

	(void)state;
	set_up(none);
	fault_everywhere(start_and_stop, NULL);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_pinged_while_health_is_red),
		cmocka_unit_test(when_it_turns_green_they_are_pinged_once_a_minute),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
