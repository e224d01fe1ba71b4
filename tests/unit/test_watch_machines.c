/* What is kept of Fly's answers about machines, and what a change of it is as a fact. */

#include "watch/flat.h"
#include "watch/resource.h"

#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { ANSWER_BYTES = 64 * 1024, ANSWERS_MAX = 4, MINUTE = 60 };

#define MACHINE "0e286551c30586"
#define SECRET_KEY "an-example-of-a-key"

static struct tiny_http server;
static struct err err;
static struct listing list, older;
static char room[ANSWERS_MAX][ANSWER_BYTES];
static const char *hmac_key = SECRET_KEY;
static bool part;
static int64_t before_ns = LISTING_NO_TIME;

static struct watch_api *connect(void)
{
	struct watch_api_options options = {.org = "example-org",
					    .own_app = "",
					    .token = "fm2_x",
					    .hmac_key = hmac_key,
					    .machines_url = server.url,
					    .api_url = server.url};
	struct watch_api *api = NULL;

	assert_int_equal(watch_api_new(&api, &options, &err), ERR_NONE);
	return api;
}

/* Answers are the bodies; NULL ends them. What was fetched before is the snapshot. */
static enum err_kind look(const struct watch_resource *r, const char *const bodies[])
{
	const char *answers[ANSWERS_MAX + 1] = {NULL};
	struct watch_ask ask = {.app = r == &watch_machines ? "" : "web-1",
				.item = r == &watch_machines ? "" : MACHINE,
				.before = &older,
				.before_ns = before_ns,
				.now_ns = time_now_ns(),
				.part = part};
	struct watch_api *api;
	enum err_kind rc;

	for (size_t i = 0; i < ANSWERS_MAX && bodies[i]; i++)
		answers[i] = tiny_http_answer(room[i], ANSWER_BYTES, 200, "", bodies[i]);
	tiny_http_start(&server, answers);
	ask.api = api = connect();
	listing_release(&list);
	listing_init(&list, &r->shape);
	rc = r->fetch(&ask, &list, &err);
	watch_api_free(api);
	tiny_http_stop(&server);
	return rc;
}

static enum err_kind look_once(const struct watch_resource *r, const char *body)
{
	const char *const bodies[] = {body, NULL};

	return look(r, bodies);
}

/* What was fetched becomes the snapshot. */
static void keep(void)
{
	listing_release(&older);
	older = list;
	listing_init(&list, older.shape);
}

static struct watch_fact fact;

/* The nth fact of the change of the first item from the snapshot to what was fetched. */
static bool tells(const struct watch_resource *r, const struct item *was, const struct item *is,
		  unsigned nth)
{
	const struct change c = {.kind = !was  ? CHANGE_ADDED
					 : !is ? CHANGE_REMOVED
					       : CHANGE_CHANGED,
				 .item = is ? is : was,
				 .before = was,
				 .after = is,
				 .from_ns = 1,
				 .to_ns = 2};
	const struct watch_ask ask = {.app = "web-1", .item = MACHINE, .before = &older};

	fact = (struct watch_fact){.fly_ns = LISTING_NO_TIME};
	return r->describe(&c, &ask, nth, &fact);
}

static struct span field(const struct watch_resource *r, size_t item, const char *name)
{
	for (size_t i = 0; i < r->shape.field_count; i++)
		if (strcmp(r->shape.fields[i], name) == 0)
			return list.items[item].values[i];
	fail_msg("no field %s", name);
	return SPAN("");
}

#define ASSERT_FIELD(r, item, name, text) assert_true(span_is(field(&(r), item, name), text))

/* --- the organisation's list --- */

#define ONE(state, more)                                                    \
	"{\"id\":\"" MACHINE "\",\"app_name\":\"web-1\",\"state\":\"" state \
	"\",\"region\":\"ams\""                                             \
	",\"created_at\":\"2026-11-20T10:00:00Z\"" more "}"
#define CONFIG(group)                                                                       \
	",\"config\":{\"image\":\"i:1\",\"metadata\":{\"fly_process_group\":\"" group "\"," \
	"\"fly_release_version\":7}}"
#define PAGE(machines, next) "{\"machines\":[" machines "],\"next_cursor\":\"" next "\"}"

static void all_of_a_list_is_what_is_there_and_what_went_since(void **state)
{
	static const char *const bodies[] = {
		PAGE("", "c 1"), PAGE(ONE("started", CONFIG("app")), ""),
		PAGE("{\"id\":\"d1\",\"app_name\":\"web-1\",\"state\":\"destroyed\"},"
		     "{\"id\":\"d2\",\"app_name\":\"web-1\",\"state\":\"started\"}",
		     ""),
		NULL};

	(void)state;
	before_ns = 1764000000 * NS_PER_S;
	assert_int_equal(look(&watch_machines, bodies), ERR_NONE);
	before_ns = LISTING_NO_TIME;
	assert_non_null(strstr(server.requests[0], "GET /v1/orgs/example-org/machines?limit=500&"
						   "include_deleted=false&cursor= HTTP/1.1"));
	assert_non_null(strstr(server.requests[1], "&cursor=c%201 HTTP/1.1"));
	/* Two minutes before the look before. */
	assert_non_null(strstr(server.requests[2],
			       "include_deleted=true&updated_after=2025-11-24T15%3A58%3A00."
			       "000000000Z&cursor= HTTP/1.1"));
	assert_int_equal(list.count, 2); /* what came since has its own answer */
	ASSERT_FIELD(watch_machines, 0, "group", "app");
	ASSERT_FIELD(watch_machines, 0, "release", "7");
	ASSERT_FIELD(watch_machines, 1, "state", "destroyed");
}

static void a_part_is_what_moved(void **state)
{
	(void)state;
	part = true;
	assert_int_equal(look_once(&watch_machines, PAGE(ONE("started", CONFIG("app")), "")),
			 ERR_NONE);
	part = false;
	assert_int_equal(list.count, 1);
	assert_non_null(strstr(server.requests[0], "include_deleted=true&updated_after=20"));
}

static void doubt_is_no_answer(void **state)
{
	static const char *const bodies[] = {
		"{\"machines\":[],\"error_regions\":[\"gru\"]}",
		"{\"machines\":[7]}",
		"{\"machines\":[{\"id\":null,\"app_name\":\"web-1\"}]}",
		"{\"machines\":[{\"id\":\"" MACHINE "\"}]}",
		"{\"machines\":[" ONE("started", ""),
		"{\"machines\":{}}",
		"[]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		assert_int_equal(look_once(&watch_machines, bodies[i]), ERR_RETRY);
}

static void what_is_unknown_or_older_is_as_it_was(void **state)
{
	static const char *const first[] = {
		PAGE(ONE("started", CONFIG("app") ",\"updated_at\":\"2026-11-20T11:00:00Z\""), ""),
		PAGE("", ""), NULL};
	static const char *const hostless[] = {
		PAGE(ONE("odd state", ",\"updated_at\":\"2026-11-20T12:00:00Z\""), ""),
		PAGE("", ""), NULL};
	static const char *const stale[] = {
		PAGE(ONE("stopped", ",\"updated_at\":\"2026-11-20T10:30:00Z\""), ""), PAGE("", ""),
		NULL};

	(void)state;
	assert_int_equal(look(&watch_machines, first), ERR_NONE);
	keep();
	assert_int_equal(look(&watch_machines, hostless), ERR_NONE);
	ASSERT_FIELD(watch_machines, 0, "state", "odd state");
	ASSERT_FIELD(watch_machines, 0, "image", "i:1");
	ASSERT_FIELD(watch_machines, 0, "release", "7");
	assert_int_equal(look(&watch_machines, stale), ERR_NONE);
	ASSERT_FIELD(watch_machines, 0, "state", "started");
	assert_true(
		item_is_like(&list.items[0], &older.items[0], watch_machines.shape.field_count));
}

static void a_console_is_access_even_where_it_is_known_late(void **state)
{
	static const char *const bodies[] = {PAGE(ONE("started", ""), ""), PAGE("", ""), NULL};
	static const char *const later[] = {
		PAGE("", ""), PAGE(ONE("destroyed", CONFIG("fly_app_console")), ""), NULL};

	(void)state;
	assert_int_equal(look(&watch_machines, bodies), ERR_NONE);
	assert_true(tells(&watch_machines, NULL, &list.items[0], 0));
	assert_int_equal(fact.action, ACTION_deploy_machine_created);
	assert_false(tells(&watch_machines, NULL, &list.items[0], 1));
	keep();
	assert_int_equal(look(&watch_machines, later), ERR_NONE);
	assert_true(tells(&watch_machines, &older.items[0], &list.items[0], 0));
	assert_int_equal(fact.action, ACTION_access_console_opened);
	assert_true(span_is(fact.app, "web-1"));
	assert_true(tells(&watch_machines, &older.items[0], &list.items[0], 1));
	assert_int_equal(fact.action, ACTION_deploy_machine_destroyed);
	assert_false(tells(&watch_machines, &older.items[0], &list.items[0], 2));
	/* That it is listed no more is no news. */
	assert_false(tells(&watch_machines, &list.items[0], NULL, 0));
	assert_true(tells(&watch_machines, &older.items[0], NULL, 0));
	assert_int_equal(fact.fly_ns, LISTING_NO_TIME);
}

/* Seen again after a crash, it is the same fact. */
static void that_a_machine_came_is_the_same_whatever_became_of_it(void **state)
{
	static const char *const first[] = {PAGE(ONE("created", ""), ""), PAGE("", ""), NULL};
	static const char *const later[] = {
		PAGE(ONE("started", ",\"version\":2" CONFIG("app")), ""), PAGE("", ""), NULL};

	(void)state;
	assert_int_equal(look(&watch_machines, first), ERR_NONE);
	keep();
	assert_int_equal(look(&watch_machines, later), ERR_NONE);
	assert_true(tells(&watch_machines, NULL, &list.items[0], 0));
	assert_true(fact.field_count > 0);
	assert_true(item_is_like(&list.items[0], &older.items[0], fact.field_count));
}

static void machines_of_releases_are_told_apart(void **state)
{
	static const struct {
		const char *body, *begins;
	} cases[] = {
		{PAGE(ONE("started", CONFIG("fly_app_release_command")), ""),
		 "release command's machine "},
		{PAGE(ONE("started", CONFIG("fly_app_test_machine_command")), ""), "test machine "},
		{PAGE(ONE("started", CONFIG("web")), ""), "machine "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *const bodies[] = {cases[i].body, PAGE("", ""), NULL};

		assert_int_equal(look(&watch_machines, bodies), ERR_NONE);
		assert_true(tells(&watch_machines, NULL, &list.items[0], 0));
		assert_int_equal(fact.action, ACTION_deploy_machine_created);
		assert_ptr_equal(strstr(fact.summary, cases[i].begins), fact.summary);
	}
}

/* --- events --- */

static void events_are_read_in_all_their_forms(void **state)
{
	static const struct {
		const char *event;
		enum action action;
		const char *code, *exited_at, *says;
	} cases[] = {
		{"{\"id\":\"a\",\"type\":\"exit\",\"status\":\"stopped\",\"source\":\"flyd\","
		 "\"timestamp\":"
		 "1653346106636,\"request\":{\"exit_event\":{\"exit_code\":127,\"exited_at\":"
		 "1653346105255,"
		 "\"guest_signal\":-1,\"signal\":-1,\"oom_killed\":false},\"restart_count\":4}}",
		 ACTION_exit_crashed, "127", "2022-05-23T22:48:25.255000000Z",
		 "machine " MACHINE " of web-1 ended with exit code 127, restarts so far: 4"},
		{"{\"type\":\"exit\",\"timestamp\":\"1653346106636\",\"request\":{\"MonitorEvent\":"
		 "{"
		 "\"exit_event\":{\"requested_stop\":true,\"signal\":15,\"exited_at\":"
		 "\"2022-11-22T21:17:51.924Z\"}}}}",
		 ACTION_exit_stopped, "0", "2022-11-22T21:17:51.924000000Z",
		 "machine " MACHINE " of web-1 ended with exit code 0 by SIGTERM"},
		{"{\"type\":\"exit\",\"request\":{\"exit_event\":{\"exit_code\":\"137\",\"oom_"
		 "killed\":true,"
		 "\"requested_stop\":true,\"guest_signal\":9}}}",
		 ACTION_exit_crashed, "137", "",
		 "machine " MACHINE
		 " of web-1 ended with exit code 137 by SIGKILL, for want of memory"},
		{"{\"type\":\"exit\",\"request\":{\"exit_event\":{}}}", ACTION_exit_ended, "0", "",
		 "machine " MACHINE " of web-1 ended with exit code 0"},
		{"{\"type\":\"exit\",\"request\":null,\"source\":null}", ACTION_exit_ended, "", "",
		 "machine " MACHINE " of web-1 ended"},
		{"{\"type\":\"exit\",\"request\":{\"exit_event\":7}}", ACTION_exit_ended, "", "",
		 NULL},
		{"{\"type\":\"exit\",\"request\":{\"exit_event\":{\"signal\":4000}}}",
		 ACTION_exit_crashed, "0", "",
		 "machine " MACHINE " of web-1 ended with exit code 0 by 4000"},
		{"{\"type\":\"start\",\"status\":\"started\"}", ACTION_boot_started, "", "", NULL},
		{"{\"type\":\"start\",\"status\":\"starting\"}", ACTION_platform_machine_event, "",
		 "", NULL},
		{"{\"type\":\"restart\",\"source\":\"user\"}", ACTION_restart_requested, "", "",
		 NULL},
		{"{\"type\":\"restart\",\"source\":\"flyd\"}", ACTION_restart_begun, "", "", NULL},
		{"{\"type\":\"update\",\"status\":\"replacing\"}", ACTION_deploy_machine_replacing,
		 "", "", NULL},
		{"{\"type\":\"launch\",\"status\":\"created\",\"source\":\"flyd\"}",
		 ACTION_platform_machine_migrated, "", "", NULL},
		{"{\"type\":\"launch\",\"status\":\"created\",\"source\":\"user\"}",
		 ACTION_platform_machine_event, "", "",
		 "machine " MACHINE " of web-1 has an event: launch, created"},
		{"{\"type\":\"reap\",\"status\":\"destroyed\"}", ACTION_deploy_machine_destroying,
		 "", "", NULL},
		{"{\"type\":\"tele port\",\"status\":{}}", ACTION_platform_machine_event, "", "",
		 "machine " MACHINE " of web-1 has an event: tele port, "},
	};
	char body[ANSWER_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(body, sizeof(body), "[%s]", cases[i].event);
		assert_int_equal(look_once(&watch_machine_events, body), ERR_NONE);
		assert_int_equal(list.count, 1);
		assert_true(tells(&watch_machine_events, NULL, &list.items[0], 0));
		assert_int_equal(fact.action, cases[i].action);
		ASSERT_FIELD(watch_machine_events, 0, "exit_code", cases[i].code);
		ASSERT_FIELD(watch_machine_events, 0, "exited_at", cases[i].exited_at);
		if (cases[i].says)
			assert_string_equal(fact.summary, cases[i].says);
		assert_false(tells(&watch_machine_events, NULL, &list.items[0], 1));
	}
	assert_non_null(strstr(server.requests[0],
			       "GET /v1/apps/web-1/machines/" MACHINE "/events?limit=50 HTTP/1.1"));
}

static void an_event_is_known_by_its_id_or_by_what_it_says(void **state)
{
	(void)state;
	assert_int_equal(
		look_once(
			&watch_machine_events,
			"[{\"id\":\"b\",\"type\":\"start\",\"timestamp\":1653346106636},"
			"{\"id\":\"b\",\"type\":\"start\",\"timestamp\":1653346106636},"
			"{\"id\":null,\"type\":\"start\",\"status\":\"started\",\"timestamp\":"
			"1653346106636},"
			"{\"type\":\"start\",\"status\":\"started\",\"timestamp\":1653346106636}]"),
		ERR_NONE);
	assert_int_equal(list.count, 2);
	assert_true(span_is(list.items[0].key, "2022-05-23T22:48:26.636000000Z start started"));
	assert_true(tells(&watch_machine_events, NULL, &list.items[1], 0));
	assert_int_equal(fact.fly_ns, 1653346106636 * NS_PER_MS);
	/* What is added to an event later is no other event. */
	assert_false(tells(&watch_machine_events, &list.items[0], &list.items[1], 0));
	assert_int_equal(look_once(&watch_machine_events, "[]"), ERR_NONE);
	assert_int_equal(look_once(&watch_machine_events, "[7]"), ERR_RETRY);
	assert_int_equal(look_once(&watch_machine_events, "{\"events\":[]}"), ERR_RETRY);
	assert_int_equal(look_once(&watch_machine_events, "[{\"id\":\"b\"}"), ERR_RETRY);
}

static void actors_are_named_as_far_as_fly_names_them(void **state)
{
	static const struct {
		const char *source, *actor, *reason;
		enum actor_type type;
	} cases[] = {
		{"\"user\"", "", "Fly says that it was a user, and not which", ACTOR_UNKNOWN},
		{"\"flyd\"", "flyd", NULL, ACTOR_FLYD},
		{"\"proxy\"", "proxy", NULL, ACTOR_PROXY},
		{"\"someone@example.com\"", "someone@example.com", NULL, ACTOR_USER},
		{"\"gremlin\"", "", "Fly does not say who or what it was", ACTOR_UNKNOWN},
		{"null", "", "Fly does not say who or what it was", ACTOR_UNKNOWN},
	};
	char body[ANSWER_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(body, sizeof(body), "[{\"type\":\"stop\",\"source\":%s}]",
			       cases[i].source);
		assert_int_equal(look_once(&watch_machine_events, body), ERR_NONE);
		assert_true(tells(&watch_machine_events, NULL, &list.items[0], 0));
		assert_string_equal(fact.actor, cases[i].actor);
		assert_int_equal(fact.actor_type, cases[i].type);
		if (cases[i].reason)
			assert_string_equal(fact.actor_reason, cases[i].reason);
	}
}

/* --- config --- */

#define SHOWN(more, config)             \
	"{\"id\":\"" MACHINE "\"," more \
	"\"image_ref\":{\"digest\":\"sha256:ab\"},\"config\":{" config "}}"
#define RELEASE(n) "\"metadata\":{\"fly_release_version\":\"" n "\",\"mine\":\"hidden\"}"

static void values_are_hidden_and_names_are_not(void **state)
{
	(void)state;
	assert_int_equal(
		look_once(&watch_machine_config,
			  SHOWN("\"instance_id\":\"v1\",\"host_status\":\"ok\",",
				"\"image\":\"i:1\",\"env\":{\"B\":\"hidden\",\"A\":\"\"},"
				"\"guest\":{\"memory_mb\":256,\"cpus\":1},\"auto_destroy\":true,"
				"\"init\":{\"cmd\":[\"hidden\"]},\"schedule\":null,"
				"\"files\":[{\"guest_path\":\"hidden\",\"raw_value\":\"hidden\"}],"
				"\"services\":[{\"internal_port\":80,\"checks\":[{\"headers\":["
				"{\"name\":\"hidden\",\"values\":[\"hidden\"]}]}]}],"
				"\"processes\":[{\"env\":{\"C\":\"hidden\"}}],"
				"\"containers\":[{\"env\":{\"D\":\"hidden\"}}]," RELEASE("7"))),
		ERR_NONE);
	assert_non_null(
		strstr(server.requests[0], "GET /v1/apps/web-1/machines/" MACHINE " HTTP/1.1"));
	ASSERT_FIELD(watch_machine_config, 0, "image", "i:1@sha256:ab");
	ASSERT_FIELD(watch_machine_config, 0, "guest", "cpus=1 memory_mb=256");
	ASSERT_FIELD(watch_machine_config, 0, "release", "7");
	assert_true(span_starts(field(&watch_machine_config, 0, "env"), SPAN("A= B#")));
	assert_true(span_starts(field(&watch_machine_config, 0, "other"),
				SPAN("auto_destroy=true init.cmd.0#")));
	assert_true(span_starts(field(&watch_machine_config, 0, "processes"),
				SPAN("containers.0.env.D#")));
	for (size_t i = 0; i < watch_machine_config.shape.field_count; i++) {
		struct span value = list.items[0].values[i];
		char text[FLAT_BYTES_MAX + 1];

		(void)snprintf(text, sizeof(text), "%.*s", (int)value.len,
			       value.len > 0 ? value.data : "");
		assert_null(strstr(text, "hidden"));
	}
}

/* From one config to the other: whether that is an update, and what is said of it. */
static bool is_update(const char *was, const char *is)
{
	assert_int_equal(look_once(&watch_machine_config, was), ERR_NONE);
	keep();
	assert_int_equal(look_once(&watch_machine_config, is), ERR_NONE);
	return tells(&watch_machine_config, &older.items[0], &list.items[0], 0);
}

static void an_update_names_its_parts(void **state)
{
	(void)state;
	assert_true(is_update(
		SHOWN("\"instance_id\":\"v1\",",
		      "\"image\":\"i:1\",\"env\":{\"A\":\"1\",\"B\":\"2\"}," RELEASE("7")),
		SHOWN("\"instance_id\":\"v2\",\"events\":[{\"type\":\"update\",\"source\":\"user\","
		      "\"timestamp\":1653346106636},{\"type\":\"update\",\"timestamp\":"
		      "1653346100000}],",
		      "\"image\":\"i:2\",\"env\":{\"B\":\"3\",\"C\":\"\"}," RELEASE("7"))));
	assert_string_equal(fact.summary,
			    "machine " MACHINE " of web-1 was changed without a release: "
			    "image, env (A, B, C)");
	assert_int_equal(fact.fly_ns, 1653346106636 * NS_PER_MS);
	assert_string_equal(fact.actor_reason, "Fly says that it was a user, and not which");
	assert_true(span_is(fact.correlation, "v2"));
	assert_int_equal(fact.severity, SEVERITY_UNKNOWN);
	assert_true(is_update(SHOWN("\"instance_id\":\"v1\",", RELEASE("7")),
			      SHOWN("\"instance_id\":\"v2\",", RELEASE("7"))));
	assert_non_null(strstr(fact.summary, "nothing that Fly shows of it differs"));
	assert_int_equal(fact.fly_ns, LISTING_NO_TIME);
	/* Metadata may be changed without a version. */
	assert_true(is_update(SHOWN("", "\"metadata\":{\"mine\":\"1\"}"),
			      SHOWN("", "\"metadata\":{\"mine\":\"2\"}")));
}

/* Anybody who may change machines may write their metadata. */
static void an_update_says_which_release_it_claims(void **state)
{
	static const char was[] =
		SHOWN("\"instance_id\":\"v1\",", "\"image\":\"i:1\"," RELEASE("7"));

	(void)state;
	assert_true(is_update(was,
			      SHOWN("\"instance_id\":\"v2\",", "\"image\":\"i:2\"," RELEASE("8"))));
	assert_int_equal(fact.severity, SEVERITY_INFO);
	assert_string_equal(fact.summary, "machine " MACHINE " of web-1 was changed by release 8, "
					  "as its metadata says: image, metadata "
					  "(fly_release_version)");
	/* Who takes the claim away makes none. */
	assert_true(is_update(was, SHOWN("\"instance_id\":\"v2\",", "\"image\":\"i:2\"")));
	assert_int_equal(fact.severity, SEVERITY_UNKNOWN);
	assert_non_null(strstr(fact.summary, " was changed without a release: image, metadata ("));
}

/* What people can make long would leave no room for the rest, or be cut within a character. */
static void a_long_claim_and_a_long_image_are_cut_and_hide_nothing(void **state)
{
	static char claim[4096], image[1024], body[ANSWER_BYTES];
	struct span kept;

	(void)state;
	memset(claim, '7', sizeof(claim) - 1);
	image[0] = 'i';
	for (size_t i = 1; i + 2 < sizeof(image); i += 2) {
		image[i] = '\xc3';
		image[i + 1] = '\xa9';
	}
	(void)snprintf(body, sizeof(body),
		       SHOWN("\"instance_id\":\"v1\",",
			     "\"image\":\"%s\",\"metadata\":{\"fly_release_version\":\"%s\"}"),
		       image, claim);
	assert_int_equal(look_once(&watch_machine_config, body), ERR_NONE);
	assert_true(field(&watch_machine_config, 0, "release").len <= 64);
	kept = field(&watch_machine_config, 0, "image");
	assert_true(kept.len < 1024 && span_starts(kept, SPAN("i\xc3\xa9")));
	assert_true(span_is(span_after(kept, kept.len - 10), "@sha256:ab"));
}

/* An answer without it says nothing of the image; one with another does. */
static void a_digest_that_is_not_said_is_no_other_image(void **state)
{
#define IMAGE(digest)                                                          \
	"{\"id\":\"" MACHINE "\",\"instance_id\":\"v1\",\"image_ref\":" digest \
	",\"config\":{\"image\":\"i:1\"}}"
	static const char one[] = IMAGE("{\"digest\":\"sha256:ab\"}");

	(void)state;
	assert_false(is_update(one, IMAGE("null")));
	assert_false(is_update(IMAGE("null"), one));
	assert_true(is_update(one, IMAGE("{\"digest\":\"sha256:abc\"}")));
	assert_true(is_update(one, SHOWN("\"instance_id\":\"v1\",", "\"image\":\"i:12\"")));
}

/* A start or a stop between two tellings of it, the second after a crash, makes no other. */
static void when_a_machine_moved_is_no_part_of_what_an_update_is_known_by(void **state)
{
	(void)state;
	assert_true(is_update(SHOWN("\"instance_id\":\"v1\",", ""),
			      SHOWN("\"instance_id\":\"v2\",", "")));
	assert_true(fact.field_count > 0);
	for (size_t i = 0; i < fact.field_count; i++)
		assert_string_not_equal(watch_machine_config.shape.fields[i], "updated_at");
	assert_int_equal(fact.field_count + 1, watch_machine_config.shape.field_count);
}

static void another_order_and_another_key_are_no_update(void **state)
{
	static const char one[] =
		SHOWN("\"instance_id\":\"v1\",", "\"env\":{\"A\":\"1\",\"B\":\"2\"}");

	(void)state;
	assert_false(is_update(one, SHOWN("\"instance_id\":\"v1\",",
					  "\"env\":{\"B\":\"2\",\"A\":\"1\"},\"mounts\":null")));
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(look_once(&watch_machine_config, one), ERR_NONE);
		keep();
		hmac_key = i == 0 ? "another-key-of-mine" : "";
		assert_int_equal(look_once(&watch_machine_config, one), ERR_NONE);
		hmac_key = SECRET_KEY;
		assert_false(tells(&watch_machine_config, &older.items[0], &list.items[0], 0));
	}
}

static void what_is_not_known_of_a_machine_is_no_answer(void **state)
{
	static const char *const bodies[] = {
		SHOWN("\"host_status\":\"unreachable\",", ""),
		SHOWN("\"host_status\":\"odd\",", ""),
		SHOWN("\"updated_at\":\"2026-11-20T10:00:00Z\",", ""),
		"{\"id\":\"" MACHINE "\",\"incomplete_config\":{}}",
		"{\"id\":\"" MACHINE "\",\"config\":[]}",
		"{\"id\":\"another\",\"config\":{}}",
		"{\"config\":{}}",
		"[]",
		"{\"id\":\"" MACHINE "\",\"config\":{",
	};

	(void)state;
	assert_int_equal(look_once(&watch_machine_config,
				   SHOWN("\"updated_at\":\"2026-11-20T11:00:00Z\",", "")),
			 ERR_NONE);
	keep();
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		assert_int_equal(look_once(&watch_machine_config, bodies[i]), ERR_RETRY);
	assert_int_equal(look_once(&watch_machine_config,
				   SHOWN("", "\"env\":7,\"guest\":[null,{}],\"image\":{}")),
			 ERR_NONE);
}

/* An environment of `count` names, of which the last has the value. */
static const char *big(char body[ANSWER_BYTES], size_t count, const char *value)
{
	size_t len = (size_t)snprintf(body, ANSWER_BYTES, "%s",
				      "{\"id\":\"" MACHINE "\",\"config\":{\"env\":{");

	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(body + len, ANSWER_BYTES - len, "%s\"N%05zu\":\"%s\"",
					i > 0 ? "," : "", i, i + 1 < count ? "x" : value);
	(void)snprintf(body + len, ANSWER_BYTES - len, "}}}");
	return body;
}

static void what_there_is_no_room_for_is_compared_all_the_same(void **state)
{
	static const size_t counts[] = {200, FLAT_VALUES_MAX + 100};
	static char was[ANSWER_BYTES], is[ANSWER_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		assert_true(is_update(big(was, counts[i], "a"), big(is, counts[i], "b")));
		assert_non_null(strstr(fact.summary, "env (and more)"));
		assert_true(field(&watch_machine_config, 0, "env").len <= FLAT_BYTES_MAX);
		assert_false(is_update(big(was, counts[i], "a"), big(is, counts[i], "a")));
		keep();
		hmac_key = "";
		assert_int_equal(look_once(&watch_machine_config, big(is, counts[i], "b")),
				 ERR_NONE);
		hmac_key = SECRET_KEY;
		assert_false(tells(&watch_machine_config, &older.items[0], &list.items[0], 0));
	}
}

static void odd_names_stay_apart_and_are_not_shown(void **state)
{
	char name[TINY_HTTP_REQUEST_BYTES], was[ANSWER_BYTES], is[ANSWER_BYTES];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	(void)snprintf(was, sizeof(was),
		       SHOWN("", "\"env\":{\"%.300sa\":\"1\",\"%.300sb\":\"2\",\"\":\"3\","
				 "\"a\\\"\\n=#\":\"4\"}"),
		       name, name);
	(void)snprintf(is, sizeof(is),
		       SHOWN("", "\"env\":{\"%.300sa\":\"1\",\"%.300sb\":\"9\",\"\":\"3\","
				 "\"a\\\"\\n=#\":\"4\"}"),
		       name, name);
	assert_true(is_update(was, is));
	assert_non_null(strstr(fact.summary, "nnn~1)"));
	assert_false(is_update(was, was));
}

static int tear_down_all(void **state)
{
	(void)state;
	listing_release(&list);
	listing_release(&older);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define MACHINES_TEST(name) cmocka_unit_test_teardown(name, tear_down_all)
		MACHINES_TEST(all_of_a_list_is_what_is_there_and_what_went_since),
		MACHINES_TEST(a_part_is_what_moved),
		MACHINES_TEST(doubt_is_no_answer),
		MACHINES_TEST(what_is_unknown_or_older_is_as_it_was),
		MACHINES_TEST(a_console_is_access_even_where_it_is_known_late),
		MACHINES_TEST(that_a_machine_came_is_the_same_whatever_became_of_it),
		MACHINES_TEST(machines_of_releases_are_told_apart),
		MACHINES_TEST(events_are_read_in_all_their_forms),
		MACHINES_TEST(an_event_is_known_by_its_id_or_by_what_it_says),
		MACHINES_TEST(actors_are_named_as_far_as_fly_names_them),
		MACHINES_TEST(values_are_hidden_and_names_are_not),
		MACHINES_TEST(an_update_names_its_parts),
		MACHINES_TEST(an_update_says_which_release_it_claims),
		MACHINES_TEST(a_long_claim_and_a_long_image_are_cut_and_hide_nothing),
		MACHINES_TEST(a_digest_that_is_not_said_is_no_other_image),
		MACHINES_TEST(when_a_machine_moved_is_no_part_of_what_an_update_is_known_by),
		MACHINES_TEST(another_order_and_another_key_are_no_update),
		MACHINES_TEST(what_is_not_known_of_a_machine_is_no_answer),
		MACHINES_TEST(what_there_is_no_room_for_is_compared_all_the_same),
		MACHINES_TEST(odd_names_stay_apart_and_are_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
