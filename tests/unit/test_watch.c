/* What is looked at when, and what is on record of what cannot be looked at. */

#include "watch/watch.h"

#include "base/time.h"
#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
	ANSWER_BYTES = 1024,
	STORED_MAX = 64,
	NAME_BYTES = 128,
	CONTENT_BYTES = 1024,
	STEPS_MAX = 500,
	ROUNDS = 3,
};

static const int64_t HOUR_NS = 3600 * NS_PER_S;
static const int64_t SOON_NS = NS_PER_S;

/* A snapshot as it is kept. */
struct stored {
	char name[NAME_BYTES]; /* "secrets of web-1" */
	char content[CONTENT_BYTES];
	int64_t taken_ns;
	bool found, unobserved;
	unsigned loads, saves;
	unsigned unobserves;
};

static struct stored all[STORED_MAX];
static size_t stored_count;
static unsigned told[ACTION_COUNT];

static struct tiny_http server;
static struct watch_api *api;
static struct watch *watch;
static struct watch_step step;
static _Atomic bool cut;
static struct err err;

/* What Fly answers where the request has such a path; elsewhere, something of no use. */
struct answer {
	const char *path, *body; /* NULL: it is refused */
};

static _Atomic(const struct answer *) answers; /* one without a path ends them */

static const char *choose(const char *request)
{
	static char text[ANSWER_BYTES];

	for (const struct answer *a = atomic_load(&answers); a && a->path; a++)
		if (strstr(request, a->path))
			return tiny_http_answer(text, sizeof(text), a->body ? 200 : 403, "",
						a->body ? a->body : "");
	return tiny_http_answer(text, sizeof(text), 200, "", "{}");
}

/* --- the snapshots --- */

static struct stored *stored(const char *resource, const char *scope)
{
	char name[NAME_BYTES];

	(void)snprintf(name, sizeof(name), "%s of %s", resource, scope);
	for (size_t i = 0; i < stored_count; i++)
		if (strcmp(all[i].name, name) == 0)
			return &all[i];
	assert_true(stored_count < STORED_MAX);
	(void)snprintf(all[stored_count].name, NAME_BYTES, "%s", name);
	return &all[stored_count++];
}

static enum err_kind load(void *arg, const char *resource, const char *scope,
			  struct watch_snapshot *ret, struct err *e)
{
	struct stored *s = stored(resource, scope);

	(void)arg;
	s->loads++;
	ret->found = s->found;
	ret->unobserved = s->unobserved;
	ret->taken_ns = s->taken_ns;
	buf_str(ret->content, s->content);
	return buf_check(ret->content, e);
}

static enum err_kind save(void *arg, const char *resource, const char *scope, struct span content,
			  int64_t taken_ns, struct err *e)
{
	struct stored *s = stored(resource, scope);

	(void)arg;
	(void)e;
	assert_true(content.len < CONTENT_BYTES);
	(void)snprintf(s->content, CONTENT_BYTES, "%.*s", (int)content.len, content.data);
	s->taken_ns = taken_ns;
	s->found = true;
	s->unobserved = false;
	s->saves++;
	return ERR_NONE;
}

static enum err_kind unobserve(void *arg, const char *resource, const char *scope, const char *why,
			       struct err *e)
{
	struct stored *s = stored(resource, scope);

	(void)arg;
	(void)e;
	assert_true(why[0] != '\0');
	s->unobserved = true;
	s->unobserves++;
	return ERR_NONE;
}

static enum err_kind tell(void *arg, const struct event *event, struct err *e)
{
	(void)arg;
	(void)e;
	told[event->action]++;
	return ERR_NONE;
}

static enum err_kind settle(void *arg, struct err *e)
{
	(void)arg;
	(void)e;
	return ERR_NONE;
}

/* --- steps --- */

static void begin(int64_t full_ns)
{
	static const struct watch_ops ops = {
		.load = load, .save = save, .unobserve = unobserve, .tell = tell, .settle = settle};
	const struct watch_api_options of_api = {
		.machines_url = server.url,
		.api_url = server.url,
		.org = "example-org",
		.own_app = "",
		.token = "fm2_x",
		.hmac_key = "",
		.cut = &cut,
	};
	struct watch_options options = {
		.ops = &ops, .org = SPAN("example-org"), .full_ns = full_ns};

	assert_int_equal(watch_api_new(&api, &of_api, &err), ERR_NONE);
	options.api = api;
	assert_int_equal(watch_new(&watch, &options, &err), ERR_NONE);
}

static int set_up(void **state)
{
	(void)state;
	memset(all, 0, sizeof(all));
	memset(told, 0, sizeof(told));
	stored_count = 0;
	atomic_store(&cut, false);
	atomic_store(&answers, NULL);
	tiny_http_start_choosing(&server, choose);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	watch_free(watch);
	watch_api_free(api);
	tiny_http_stop(&server);
	return 0;
}

static void do_step(void)
{
	assert_int_equal(watch_step(watch, &step, &err), ERR_NONE);
}

/* All that is due now. */
static unsigned look_at_all(void)
{
	unsigned looks = 0;

	for (do_step(); step.polled; do_step())
		assert_true(++looks < STEPS_MAX);
	return looks;
}

static unsigned look_at_all_again(void)
{
	watch_forget(watch);
	return look_at_all();
}

static void wait_until_due(void)
{
	const struct timespec nap = {.tv_sec = step.wait_ns / NS_PER_S,
				     .tv_nsec = step.wait_ns % NS_PER_S};

	assert_false(step.polled);
	(void)nanosleep(&nap, NULL);
}

/* --- */

static const struct answer an_app[] = {{"/v1/apps?", "{\"apps\":[{\"name\":\"web-1\"}]}"},
				       {NULL, NULL}};

static void what_was_never_seen_and_is_not_answered_is_unobserved_in_the_end(void **state)
{
	const struct stored *members = stored("members", "");

	(void)state;
	atomic_store(&cut, true);
	begin(HOUR_NS);
	(void)look_at_all();
	for (unsigned i = 1; i < WATCH_FAILURES_MAX; i++) {
		assert_int_equal(told[ACTION_trail_unobserved], 0);
		(void)look_at_all_again();
	}
	assert_int_equal(members->loads, WATCH_FAILURES_MAX);
	assert_int_equal(members->unobserves, 1);
	assert_int_equal(step.unobserved, 0); /* of a step that looked at nothing */
	/* Nobody said no, so that all is looked at again. */
	assert_false(step.blind);
	assert_true(look_at_all_again() > 1);
	assert_int_equal(members->loads, WATCH_FAILURES_MAX + 1);
	assert_int_equal(members->unobserves, 1);
}

static void what_was_seen_and_is_not_answered_stays_what_it_was(void **state)
{
	const struct stored *apps = stored("apps", "");

	(void)state;
	atomic_store(&answers, an_app);
	begin(HOUR_NS);
	(void)look_at_all();
	assert_true(apps->found);
	atomic_store(&cut, true);
	for (unsigned i = 0; i < 2 * WATCH_FAILURES_MAX; i++)
		(void)look_at_all_again();
	assert_int_equal(apps->unobserves, 0);
	assert_int_equal(stored("members", "")->unobserves, 1);
}

static void what_is_of_no_use_again_and_again_is_unobserved_until_it_is_shown(void **state)
{
	static const struct answer good[] = {{"/v1/apps?", "{\"apps\":[{\"name\":\"web-1\"}]}"},
					     {"/v1/apps/web-1/secrets", "{\"secrets\":[]}"},
					     {NULL, NULL}};
	const struct stored *secrets = stored("secrets", "web-1");

	(void)state;
	atomic_store(&answers, an_app);
	begin(HOUR_NS);
	(void)look_at_all();
	for (unsigned i = 1; i < WATCH_REFUSALS_MAX; i++) {
		assert_int_equal(secrets->unobserves, 0);
		(void)look_at_all_again();
	}
	assert_int_equal(secrets->unobserves, 1);
	assert_false(secrets->found);
	atomic_store(&answers, good);
	(void)look_at_all_again();
	assert_true(secrets->found);
	assert_false(secrets->unobserved);
	assert_int_equal(told[ACTION_trail_observed], 1);
}

/* Otherwise it would look as if nothing went. */
static void
a_list_of_which_some_is_never_read_is_unobserved_and_is_told_as_far_as_it_is(void **state)
{
#define SECRETS(some)                                                   \
	{"/v1/apps?", "{\"apps\":[{\"name\":\"web-1\"}]}"},             \
		{"/v1/apps/web-1/secrets", "{\"secrets\":[" some "]}"}, \
	{                                                               \
		NULL, NULL                                              \
	}
#define NAMED(name) "{\"name\":\"" name "\",\"digest\":\"1\"}"
	static const struct answer both[] = {SECRETS(NAMED("A") "," NAMED("B"))};
	static const struct answer part[] = {SECRETS(NAMED("A") ",{}")};
	static const struct answer more[] = {SECRETS(NAMED("A") ",{}," NAMED("C"))};
	static const struct answer less[] = {SECRETS(NAMED("A"))};
	const struct stored *secrets = stored("secrets", "web-1");

	(void)state;
	atomic_store(&answers, both);
	begin(HOUR_NS);
	(void)look_at_all();
	assert_true(secrets->found);
	atomic_store(&answers, part);
	for (unsigned i = 0; i < WATCH_REFUSALS_MAX; i++) {
		assert_int_equal(secrets->unobserves, 0);
		(void)look_at_all_again();
	}
	assert_int_equal(secrets->unobserves, 1);
	assert_string_equal(secrets->content, "{\"A\":{},\"B\":{}}");
	atomic_store(&answers, more);
	told[ACTION_trail_unobserved] = 0;
	(void)look_at_all_again();
	assert_int_equal(told[ACTION_secret_change_set], 1);
	assert_true(secrets->unobserved);
	assert_int_equal(told[ACTION_trail_unobserved] + told[ACTION_trail_observed], 0);
	atomic_store(&answers, less);
	(void)look_at_all_again();
	assert_false(secrets->unobserved);
	assert_int_equal(told[ACTION_trail_observed], 1);
	assert_int_equal(told[ACTION_secret_change_unset], 0);
	(void)look_at_all_again();
	assert_int_equal(told[ACTION_secret_change_unset], 2);
}

static void a_list_of_applications_that_is_refused_is_all_that_is_asked_for(void **state)
{
	static const struct answer refused[] = {{"/v1/apps?", NULL}, {NULL, NULL}};
	unsigned rounds = 1;

	(void)state;
	atomic_store(&answers, refused);
	begin(HOUR_NS);
	(void)look_at_all();
	while (!step.blind && rounds++ < STEPS_MAX)
		(void)look_at_all_again();
	assert_int_equal(rounds, WATCH_REFUSALS_MAX);
	assert_int_equal(look_at_all_again(), 1);
	/* Who does not answer does not refuse, and does not allow either. */
	atomic_store(&cut, true);
	assert_int_equal(look_at_all_again(), 1);
	assert_true(step.blind);
	atomic_store(&cut, false);
	atomic_store(&answers, an_app);
	assert_true(look_at_all_again() > 1);
	assert_false(step.blind);
}

static void a_list_of_applications_that_is_of_no_use_hides_nothing_else(void **state)
{
	static const struct answer no_use[] = {{"/v1/apps?", "{\"apps\":[]}"}, {NULL, NULL}};
	const struct stored *apps = stored("apps", ""), *members = stored("members", "");

	(void)state;
	atomic_store(&answers, no_use);
	begin(HOUR_NS);
	(void)look_at_all();
	for (unsigned i = 0; i < WATCH_REFUSALS_MAX; i++)
		(void)look_at_all_again();
	assert_int_equal(apps->unobserves, 1);
	assert_false(step.blind);
	assert_int_equal(members->loads, WATCH_REFUSALS_MAX + 1);
}

static void what_another_may_have_gone_on_with_is_loaded_and_due_at_once(void **state)
{
	const struct stored *members = stored("members", "");
	unsigned looks;

	(void)state;
	atomic_store(&cut, true);
	begin(HOUR_NS);
	looks = look_at_all();
	assert_true(step.wait_ns > 0);
	do_step();
	assert_false(step.polled);
	assert_int_equal(members->loads, 1);
	assert_int_equal(look_at_all_again(), looks);
	assert_int_equal(members->loads, 2);
}

/* The machine's application was not listed for a while, so that the machine was not looked at. */
static void a_whole_list_has_its_items_looked_at_even_where_none_came_or_went(void **state)
{
#define MACHINES                                                            \
	{                                                                   \
		"/machines?", "{\"machines\":[{\"id\":\"m1\",\"app_name\":" \
			      "\"shop\",\"state\":\"started\"}]}"           \
	}
	static const struct answer without[] = {
		MACHINES, {"/v1/apps?", "{\"apps\":[{\"name\":\"web-1\"}]}"}, {NULL, NULL}};
	static const struct answer with[] = {
		MACHINES,
		{"/v1/apps?", "{\"apps\":[{\"name\":\"shop\"},{\"name\":\"web-1\"}]}"},
		{NULL, NULL}};
	const struct stored *machines = stored("machines", "");
	const struct stored *machine = stored("machine_config", "shop/m1");

	(void)state;
	atomic_store(&answers, without);
	begin(SOON_NS);
	(void)look_at_all();
	assert_int_equal(machine->loads, 0);
	atomic_store(&answers, with);
	for (unsigned i = 0; i < ROUNDS && machine->loads == 0; i++) {
		wait_until_due();
		(void)look_at_all();
	}
	assert_int_equal(machine->loads, 1);
	assert_int_equal(machines->loads, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_was_never_seen_and_is_not_answered_is_unobserved_in_the_end),
		TEST(what_was_seen_and_is_not_answered_stays_what_it_was),
		TEST(what_is_of_no_use_again_and_again_is_unobserved_until_it_is_shown),
		TEST(a_list_of_which_some_is_never_read_is_unobserved_and_is_told_as_far_as_it_is),
		TEST(a_list_of_applications_that_is_refused_is_all_that_is_asked_for),
		TEST(a_list_of_applications_that_is_of_no_use_hides_nothing_else),
		TEST(what_another_may_have_gone_on_with_is_loaded_and_due_at_once),
		TEST(a_whole_list_has_its_items_looked_at_even_where_none_came_or_went),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
