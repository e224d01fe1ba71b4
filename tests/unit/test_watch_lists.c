/* What is kept of Fly's answers about volumes, snapshots, certificates and addresses, and told. */

#include "watch/resource.h"

#include "tiny_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TEXT_BYTES = 8192, ANSWERS_MAX = 4, TOLD_BYTES = 1024 };

#define HOUR_NS (3600 * NS_PER_S)
/* 2026-11-20T10:00:00Z */
#define NOW_NS (INT64_C(1795168800) * NS_PER_S)

static struct tiny_http server;
static struct err err;
static struct listing was, is;
static int64_t before_ns = NOW_NS - HOUR_NS;

/* What Fly says now, where it said `was` before. */
static enum err_kind ask_fly(const struct watch_resource *r, const char *item,
			     const char *const *bodies, size_t count)
{
	struct watch_api_options options = {
		.org = "example-org", .own_app = "", .token = "fm2_x", .hmac_key = ""};
	static char texts[ANSWERS_MAX][TEXT_BYTES];
	const char *answers[ANSWERS_MAX + 1] = {NULL};
	struct watch_ask ask = {.app = "web-1",
				.item = item,
				.before = &was,
				.before_ns = before_ns,
				.now_ns = NOW_NS};
	struct watch_api *api = NULL;
	enum err_kind rc;

	for (size_t i = 0; i < count; i++)
		answers[i] = tiny_http_answer(texts[i], TEXT_BYTES, 200, "", bodies[i]);
	tiny_http_start(&server, answers);
	options.machines_url = options.api_url = server.url;
	assert_int_equal(watch_api_new(&api, &options, &err), ERR_NONE);
	listing_release(&is);
	listing_init(&is, &r->shape);
	ask.api = api;
	rc = r->fetch(&ask, &is, &err);
	watch_api_free(api);
	tiny_http_stop(&server);
	return rc;
}

static enum err_kind ask_once(const struct watch_resource *r, const char *item, const char *body)
{
	return ask_fly(r, item, &body, 1);
}

static enum err_kind copy(const struct listing *from, struct listing *ret)
{
	enum err_kind rc = ERR_NONE;
	struct item *item;

	for (size_t i = 0; i < from->count && !rc; i++)
		rc = listing_copy(ret, &from->items[i], &item, &err);
	return rc;
}

/* What it says now is what it said before. */
static void remember(const struct watch_resource *r)
{
	listing_release(&was);
	listing_init(&was, &r->shape);
	assert_int_equal(copy(&is, &was), ERR_NONE);
	assert_int_equal(listing_end(&was, &err), ERR_NONE);
}

/* --- facts --- */

struct telling {
	const struct watch_resource *resource;
	struct watch_ask ask;
	char text[TOLD_BYTES];
};

/* "action(severity, time in hours from now)" for each */
static enum err_kind tell(void *arg, const struct change *c, struct err *unused)
{
	struct telling *t = arg;
	struct watch_fact fact = {.fly_ns = LISTING_NO_TIME};

	(void)unused;
	for (unsigned nth = 0; t->resource->describe(c, &t->ask, nth, &fact); nth++) {
		size_t used = strlen(t->text);
		enum severity severity =
			fact.severity ? fact.severity : action_severity(fact.action);

		assert_int_equal(fact.actor_type, ACTOR_UNKNOWN);
		assert_non_null(fact.actor_reason);
		(void)snprintf(t->text + used, sizeof(t->text) - used, "%s%s %d", used ? "; " : "",
			       action_name(fact.action), (int)severity);
		used = strlen(t->text);
		if (fact.fly_ns != LISTING_NO_TIME)
			(void)snprintf(t->text + used, sizeof(t->text) - used, " at %d",
				       (int)((fact.fly_ns - NOW_NS) / HOUR_NS));
		fact = (struct watch_fact){.fly_ns = LISTING_NO_TIME};
	}
	return ERR_NONE;
}

/* What differs between `was` and `is`; the snapshot between is `is` and what is missing. */
static void differ_tells(const struct watch_resource *r, const char *item, const char *expected)
{
	struct telling t = {
		.resource = r,
		.ask = {.app = "web-1", .item = item, .before = &was, .now_ns = NOW_NS}};
	const struct differ differ = {.take = tell, .arg = &t};
	const struct dated before = {.list = &was, .ns = NOW_NS - HOUR_NS};
	const struct dated now = {.list = &is, .ns = NOW_NS};
	struct listing next;

	listing_init(&next, &r->shape);
	assert_int_equal(differ_run(&differ, &before, &now, &next, &err), ERR_NONE);
	assert_string_equal(t.text, expected);
	listing_release(&was);
	was = next;
}

/* --- addresses --- */

static void addresses_are_told_apart_by_who_can_reach_them(void **state)
{
	(void)state;
	assert_int_equal(ask_once(&watch_addresses, "",
				  "{\"ips\":[{\"ip\":\"192.0.2.1\",\"shared\":true},"
				  "{\"ip\":\"192.0.2.2\",\"shared\":false,\"region\":null,"
				  "\"created_at\":\"2026-11-20T09:00:00Z\"},"
				  "{\"ip\":\"192.0.2.3\",\"egress\":true,\"network\":{\"name\":"
				  "\"x\"}},{\"ip\":\"fdaa:0:1::3\",\"network\":{\"name\":\"n\"}},"
				  "{\"ip\":\"192.0.2.2\",\"service_name\":\"again\"}]}"),
			 ERR_NONE);
	assert_non_null(strstr(server.requests[0], "GET /v1/apps/web-1/ip_assignments HTTP/1.1"));
	assert_int_equal(is.count, 4);
	assert_true(span_is(is.items[0].values[0], "shared"));
	assert_true(span_is(is.items[1].values[0], "public"));
	assert_true(span_is(is.items[1].values[3], "2026-11-20T09:00:00.000000000Z"));
	assert_true(span_is(is.items[2].values[0], "egress"));
	assert_true(span_is(is.items[3].values[0], "flycast"));
	assert_true(span_is(is.items[3].values[2], "n"));
	listing_init(&was, &watch_addresses.shape);
	differ_tells(&watch_addresses, "",
		     "access.address_allocated 4; access.address_allocated 4 at -1; "
		     "access.address_allocated 2; access.address_allocated 1");
	assert_int_equal(ask_once(&watch_addresses, "", "{\"ips\":[]}"), ERR_NONE);
	differ_tells(&watch_addresses, "", "");
	differ_tells(&watch_addresses, "",
		     "access.address_released 3; access.address_released 3; "
		     "access.address_released 2; access.address_released 1");
}

static void what_is_no_list_is_no_empty_one(void **state)
{
	static const struct watch_resource *const resources[] = {
		&watch_addresses, &watch_volumes, &watch_volume_snapshots, &watch_certificates,
		&watch_certificate};
	static const char *const bodies[] = {
		"",         "<html></html>",      "null",
		"{}",       "{\"ips\":{}}",       "{\"volumes\":5}",
		"[7]",      "{\"ips\":[{}]}",     "{\"volumes\":[{\"id\":7}]}",
		"[{}]",     "{\"ips\":[null]}",   "{\"certificates\":[{\"hostname\":\"\"}",
		"\"text\"", "{\"volumes\":[[]]}", "{\"certificates\":\"none\"}"};

	(void)state;
	listing_init(&was, &watch_addresses.shape);
	for (size_t r = 0; r < ARRAY_LEN(resources); r++)
		for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
			assert_int_equal(ask_once(resources[r], "x", bodies[i]), ERR_RETRY);
}

/* --- volumes --- */

#define VOLUME(more) "{\"id\":\"vol_1\",\"app_name\":\"web-1\",\"name\":\"data\"," more "}"
#define VOLUMES(more) "{\"volumes\":[" VOLUME(more) "]}"

static void volumes_tell_what_became_of_them(void **state)
{
	static const struct {
		const char *body, *told;
	} steps[] = {
		{VOLUMES("\"state\":\"created\",\"encrypted\":false,\"size_gb\":1,"
			 "\"auto_backup_enabled\":true,\"created_at\":\"2026-11-20T08:00:00Z\""),
		 "volume.created 2 at -2; volume.unencrypted 4 at -2"},
		{VOLUMES("\"state\":\"created\",\"encrypted\":false,\"size_gb\":\"2\","
			 "\"auto_backup_enabled\":true,\"attached_machine_id\":\"m1\""),
		 "volume.attached 1; volume.extended 1"},
		{VOLUMES("\"state\":\"created\",\"encrypted\":false,\"size_gb\":2,"
			 "\"auto_backup_enabled\":false,\"attached_machine_id\":\"m2\""),
		 "volume.detached 1; volume.attached 1; volume.snapshots_changed 3"},
		/* Of what is not known now, nothing is told. */
		{VOLUMES("\"state\":\"hydrating\",\"attached_machine_id\":\"m2\""), ""},
		{VOLUMES("\"state\":\"created\",\"encrypted\":true,\"attached_machine_id\":null,"
			 "\"host_status\":\"unreachable\""),
		 ""},
		{VOLUMES("\"state\":\"pending_destroy\""), "volume.deleted 3"},
		{"{\"volumes\":null}", ""},
		{"{\"volumes\":[]}", ""},
		{VOLUMES("\"state\":\"destroying\""), ""},
		{VOLUMES("\"state\":\"created\""), ""},
		{"{\"volumes\":[]}", ""},
		{"{\"volumes\":[]}", "volume.deleted 3"},
	};

	(void)state;
	listing_init(&was, &watch_volumes.shape);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		assert_int_equal(ask_once(&watch_volumes, "", steps[i].body), ERR_NONE);
		differ_tells(&watch_volumes, "", steps[i].told);
	}
}

static void volumes_come_in_pages_and_in_doubt_not_at_all(void **state)
{
	static const char *const pages[] = {"{\"volumes\":[],\"next_cursor\":\"a b\"}",
					    VOLUMES("\"state\":\"created\"")};

	(void)state;
	listing_init(&was, &watch_volumes.shape);
	assert_int_equal(ask_fly(&watch_volumes, "", pages, ARRAY_LEN(pages)), ERR_NONE);
	assert_int_equal(is.count, 1);
	assert_non_null(strstr(server.requests[0],
			       "GET /v1/orgs/example-org/volumes?limit=1000&cursor= HTTP/1.1"));
	assert_non_null(strstr(server.requests[1], "&cursor=a%20b HTTP/1.1"));
	assert_int_equal(
		ask_once(&watch_volumes, "", "{\"volumes\":[],\"error_regions\":[\"ams\"]}"),
		ERR_RETRY);
}

/* Of what came, no part that moves: seen again after a crash, it is the same fact. */
static void what_came_is_the_same_fact_whatever_became_of_it(void **state)
{
	static const struct {
		const struct watch_resource *resource;
		const char *first, *later;
		unsigned facts;
	} cases[] = {
		{&watch_volumes,
		 VOLUMES("\"state\":\"creating\",\"encrypted\":false,\"size_gb\":1"),
		 VOLUMES("\"state\":\"created\",\"encrypted\":false,\"size_gb\":2,"
			 "\"attached_machine_id\":\"m1\",\"snapshot_retention\":5,"
			 "\"auto_backup_enabled\":true"),
		 2},
		{&watch_certificates,
		 "{\"certificates\":[{\"hostname\":\"a.example\",\"status\":\"pending\"}]}",
		 "{\"certificates\":[{\"hostname\":\"a.example\",\"status\":\"active\","
		 "\"has_fly_certificate\":true,\"dns_provider\":\"x\"}]}",
		 1},
		{&watch_addresses, "{\"ips\":[{\"ip\":\"192.0.2.1\",\"service_name\":\"a\"}]}",
		 "{\"ips\":[{\"ip\":\"192.0.2.1\",\"service_name\":\"b\"}]}", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct watch_resource *r = cases[i].resource;
		const struct watch_ask ask = {.app = "web-1", .item = "", .now_ns = NOW_NS};
		struct change c = {.kind = CHANGE_ADDED};

		assert_int_equal(ask_once(r, "", cases[i].first), ERR_NONE);
		remember(r);
		assert_int_equal(ask_once(r, "", cases[i].later), ERR_NONE);
		assert_false(item_is_like(&was.items[0], &is.items[0], r->shape.field_count));
		c.item = c.after = &is.items[0];
		for (unsigned nth = 0; nth < cases[i].facts; nth++) {
			struct watch_fact fact = WATCH_NO_FACT;

			assert_true(r->describe(&c, &ask, nth, &fact));
			assert_true(fact.field_count > 0);
			assert_true(item_is_like(&was.items[0], &is.items[0], fact.field_count));
		}
		listing_release(&was);
		listing_init(&was, &r->shape);
	}
}

/* --- snapshots --- */

#define SNAPSHOT(id, status, at)                                                          \
	"{\"id\":\"" id "\",\"status\":\"" status "\",\"created_at\":\"2026-11-" at "\"," \
	"\"size\":1,\"digest\":\"d1g3st\"}"
#define PLAN(on, at) \
	"{\"id\":\"vol_1\",\"auto_backup_enabled\":" on ",\"created_at\":\"2026-11-" at "\"}"

static void snapshots_are_made_fail_and_are_overdue(void **state)
{
	static const struct {
		const char *bodies[2], *told;
		size_t count, items;
	} steps[] = {
		/* A volume that is new, or has no snapshots because nobody wants them. */
		{{"[]", PLAN("true", "19T09:00:00Z")}, "", 2, 0},
		{{"null", PLAN("false", "01T09:00:00Z")}, "", 2, 0},
		{{"[]", PLAN("null", "01T09:00:00Z")}, "", 2, 0},
		{{"[]", PLAN("true", "19T06:00:00Z")}, "volume.snapshot_overdue 4 at -2", 2, 1},
		{{"[" SNAPSHOT("s1", "running", "20T09:00:00Z") "]", NULL}, "", 1, 1},
		{{"[" SNAPSHOT("s1", "created", "20T09:00:00Z") "]", NULL},
		 "volume.snapshot_made 1 at -1",
		 1,
		 1},
		{{"[" SNAPSHOT("s1", "created", "19T01:00:00Z") "," SNAPSHOT("s2", "failed",
									     "20T08:00:00Z") "]",
		  PLAN("true", "01T00:00:00Z")},
		 "volume.snapshot_overdue 4 at -7; volume.snapshot_failed 3",
		 2,
		 2},
		{{"[" SNAPSHOT("s2", "failed", "20T08:00:00Z") "," SNAPSHOT("s3", "created",
									    "20T09:00:00Z") "]",
		  NULL},
		 "volume.snapshot_made 1 at -1",
		 1,
		 2},
		{{"[" SNAPSHOT("s3", "whatever", "never") "]", PLAN("true", "20T01:00:00Z")},
		 "",
		 2,
		 1},
	};

	(void)state;
	listing_init(&was, &watch_volume_snapshots.shape);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		assert_int_equal(
			ask_fly(&watch_volume_snapshots, "vol_1", steps[i].bodies, steps[i].count),
			ERR_NONE);
		assert_int_equal(is.count, steps[i].items);
		differ_tells(&watch_volume_snapshots, "vol_1", steps[i].told);
	}
	assert_non_null(strstr(server.requests[1], "GET /v1/apps/web-1/volumes/vol_1 HTTP/1.1"));
}

/* --- certificates --- */

static void host_names_are_listed_with_what_they_have(void **state)
{
	(void)state;
	listing_init(&was, &watch_certificates.shape);
	assert_int_equal(ask_once(&watch_certificates, "",
				  "{\"certificates\":[{\"hostname\":\"www.example.com\",\"status\":"
				  "\"active\",\"has_fly_certificate\":true,\"created_at\":"
				  "\"2026-11-20T09:00:00\"},{\"hostname\":\"*.example.com\"}],"
				  "\"next_cursor\":null}"),
			 ERR_NONE);
	assert_non_null(strstr(server.requests[0],
			       "GET /v1/apps/web-1/certificates?limit=500&cursor= HTTP/1.1"));
	assert_int_equal(is.count, 2);
	assert_true(span_is(is.items[1].values[3], "true"));
	differ_tells(&watch_certificates, "", "cert.added 2; cert.added 2 at -1");
	assert_int_equal(ask_once(&watch_certificates, "", "{\"certificates\":[]}"), ERR_NONE);
	differ_tells(&watch_certificates, "", "");
	differ_tells(&watch_certificates, "", "cert.removed 3; cert.removed 3");
}

#define DETAIL(errors, entries) \
	"{\"status\":\"s\",\"validation_errors\":" errors ",\"certificates\":[" entries "]}"
#define FLY(created, type, expires)                                                         \
	"{\"source\":\"fly\",\"issuer\":\"i\",\"created_at\":\"" created "\",\"issued\":[{" \
	"\"type\":\"" type "\",\"expires_at\":\"" expires "\"}]}"
#define CUSTOM(expires) "{\"source\":\"custom\",\"expires_at\":\"" expires "\"}"

static void certificates_are_issued_renewed_and_expire(void **state)
{
	static const struct {
		const char *body, *told;
	} steps[] = {
		{DETAIL("[]", "{\"source\":\"fly\",\"status\":\"pending_validation\"}"), ""},
		{DETAIL("[{\"code\":\"dns\",\"message\":\"m\",\"timestamp\":"
			"\"2026-11-20T09:30:00Z\"},{\"code\":null},{\"code\":\"caa\"}]",
			"{\"source\":\"fly\",\"status\":\"pending_validation\",\"issued\":null}"),
		 "cert.validation_failing 3 at 0"},
		{DETAIL("null", FLY("2026-11-20T09:00:00Z", "ecdsa", "2027-02-01T00:00:00Z")),
		 "cert.issued 2 at -1; cert.validation_passing 1"},
		/* An older one beside it counts for nothing; what was waited for is not gone. */
		{DETAIL("[]", FLY("2026-11-20T09:00:00Z", "ecdsa", "2027-02-01T00:00:00Z") "," FLY(
				      "2026-08-20T09:00:00Z", "ecdsa", "2026-11-21T00:00:00Z")),
		 ""},
		/* Without a time of its own, and one that is about to expire when it comes. */
		{DETAIL("[]", FLY("2026-11-20T09:00:00Z", "ecdsa",
				  "2027-03-01T00:00:00Z") "," CUSTOM("2026-12-01T00:00:00Z")),
		 "cert.issued 2; cert.expiring 3; cert.issued 2 at -1"},
		{DETAIL("[]", FLY("2026-11-20T09:00:00Z", "ecdsa", "2026-11-20T09:00:00Z")),
		 "cert.issued 2 at -1; cert.expired 4"},
		{DETAIL("[]", ""), "cert.withdrawn 3"},
		{DETAIL("[]", "{\"source\":null,\"expires_at\":\"soon\"}"), "cert.withdrawn 3"},
	};

	(void)state;
	listing_init(&was, &watch_certificate.shape);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		assert_int_equal(ask_once(&watch_certificate, "*.example.com", steps[i].body),
				 ERR_NONE);
		differ_tells(&watch_certificate, "*.example.com", steps[i].told);
	}
	assert_non_null(strstr(server.requests[0],
			       "GET /v1/apps/web-1/certificates/%2A.example.com HTTP/1.1"));
}

/* The same certificate, while time goes by: 14 days before, and after. */
static void a_certificate_that_is_not_renewed_is_told_twice(void **state)
{
	static const char *const ends[] = {"2026-12-04T10:00:01Z", "2026-12-04T10:00:00Z",
					   "2026-11-20T10:00:01Z", "2026-11-20T10:00:00Z"};
	static const char *const expiry[] = {"", "soon", "soon", "expired"};
	char body[TEXT_BYTES];

	(void)state;
	listing_init(&was, &watch_certificate.shape);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		(void)snprintf(body, sizeof(body), DETAIL("[]", CUSTOM("%s")), ends[i]);
		assert_int_equal(ask_once(&watch_certificate, "x", body), ERR_NONE);
		assert_int_equal(is.count, 2);
		assert_true(span_is(is.items[0].values[5], expiry[i]));
	}
	remember(&watch_certificate);
	was.items[0].values[5] = SPAN("soon");
	differ_tells(&watch_certificate, "x", "cert.expired 4 at 0");
	(void)snprintf(body, sizeof(body), DETAIL("[]", CUSTOM("%s")), "2026-12-03T10:00:00Z");
	assert_int_equal(ask_once(&watch_certificate, "x", body), ERR_NONE);
	remember(&watch_certificate);
	was.items[0].values[5] = SPAN("");
	differ_tells(&watch_certificate, "x", "cert.expiring 3 at -24");
}

/* It is not new, so that no baseline may hide it. */
static void what_expires_soon_at_the_first_look_is_told_at_the_second(void **state)
{
	static const char body[] = DETAIL("[]", CUSTOM("2026-12-03T10:00:00Z"));

	(void)state;
	listing_init(&was, &watch_certificate.shape);
	before_ns = LISTING_NO_TIME;
	assert_int_equal(ask_once(&watch_certificate, "x", body), ERR_NONE);
	before_ns = NOW_NS - HOUR_NS;
	remember(&watch_certificate);
	assert_int_equal(ask_once(&watch_certificate, "x", body), ERR_NONE);
	differ_tells(&watch_certificate, "x", "cert.expiring 3 at -24");
	assert_int_equal(ask_once(&watch_certificate, "x", body), ERR_NONE);
	differ_tells(&watch_certificate, "x", "");
}

static int tear_down(void **state)
{
	(void)state;
	listing_release(&was);
	listing_release(&is);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
		TEST(addresses_are_told_apart_by_who_can_reach_them),
		TEST(what_is_no_list_is_no_empty_one),
		TEST(volumes_tell_what_became_of_them),
		TEST(volumes_come_in_pages_and_in_doubt_not_at_all),
		TEST(what_came_is_the_same_fact_whatever_became_of_it),
		TEST(snapshots_are_made_fail_and_are_overdue),
		TEST(host_names_are_listed_with_what_they_have),
		TEST(certificates_are_issued_renewed_and_expire),
		TEST(a_certificate_that_is_not_renewed_is_told_twice),
		TEST(what_expires_soon_at_the_first_look_is_told_at_the_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
