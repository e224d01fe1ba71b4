/* Releases, what triggers a look at them, and the secrets that they carry. */

#include "watch_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TEXT_BYTES = 64 * 1024 };

#define RELEASE(version, status, image, user)                                   \
	"{\"id\":\"r" #version "\",\"version\":" #version                       \
	",\"stable\":true,\"in_progress\":false,"                               \
	"\"status\":\"" status "\",\"strategy\":\"rolling\",\"user\":" user "," \
	"\"created_at\":\"2026-11-20T10:0" #version ":00.25Z\",\"image_ref\":\"" image "\"}"
#define RELEASES(list) "{\"releases\":[" list "]}"
#define MARA "\"Mara@example.com\""

static struct span field(const char *key, const char *name)
{
	return watch_kit_field(&watch_releases, watch_kit_item(&kit.list, key), name);
}

/* --- the trigger --- */

static void the_trigger_keeps_a_time_for_each_application(void **state)
{
	(void)state;
	assert_int_equal(watch_kit_fetch(&watch_current_releases,
					 "{\"web-1\":\"2026-11-20T10:00:00Z\",\"blog\":null,"
					 "\"shop\":1763632800000}"),
			 ERR_NONE);
	assert_non_null(strstr(kit.server.requests[0], "GET /api/v1/releases/all_current HTTP"));
	assert_int_equal(kit.list.count, 3);
	assert_true(span_is(kit.list.items[0].key, "blog"));
	assert_int_equal(kit.list.items[0].values[0].len, 0);
	assert_true(span_is(kit.list.items[1].values[0], "2025-11-20T10:00:00.000000000Z"));
	assert_true(span_is(kit.list.items[2].values[0], "2026-11-20T10:00:00.000000000Z"));
	assert_null(watch_current_releases.describe);
}

static void what_names_no_applications_is_no_answer(void **state)
{
	static const char *const bodies[] = {"[]", "null", "", "{\"\":1}", "{\"web-1\":\"20", "7"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		assert_int_equal(watch_kit_fetch(&watch_current_releases, bodies[i]), ERR_RETRY);
}

/* --- releases --- */

static void a_release_is_who_when_and_of_which_image(void **state)
{
	(void)state;
	assert_int_equal(
		watch_kit_fetch(&watch_releases,
				RELEASES(RELEASE(2, "running", "example/web:b", "null") "," RELEASE(
					1, "complete", "example/web:a", MARA))),
		ERR_NONE);
	assert_non_null(strstr(kit.server.requests[0],
			       "GET /api/v1/apps/web-1/releases?limit=20 HTTP/1.1\r\n"));
	assert_int_equal(atomic_load(&kit.server.count), 1);
	assert_true(span_is(field("r1", "version"), "1"));
	assert_true(span_is(field("r1", "user"), "Mara@example.com"));
	assert_true(span_is(field("r1", "created_at"), "2026-11-20T10:01:00.250000000Z"));
	assert_true(span_is(field("r2", "previous_image"), "example/web:a"));
	assert_true(span_is(field("r2", "previous_at"), "2026-11-20T10:01:00.250000000Z"));
	assert_int_equal(field("r2", "rollback_to").len, 0);
	assert_int_equal(field("r2", "user").len, 0);
}

static void a_release_that_was_made_and_ended_between_two_looks_is_two_facts(void **state)
{
	(void)state;
	assert_int_equal(watch_kit_fetch(&watch_releases,
					 RELEASES(RELEASE(1, "complete", "example/web:a", MARA))),
			 ERR_NONE);
	assert_true(watch_kit_fact(&watch_releases, "r1", 0));
	assert_int_equal(kit.fact.action, ACTION_deploy_release_started);
	assert_string_equal(kit.fact.actor, "mara@example.com");
	assert_int_equal(kit.fact.actor_type, ACTOR_USER);
	assert_true(span_is(kit.fact.correlation, "1"));
	assert_string_equal(kit.fact.summary, "release 1 of web-1 was made");
	assert_int_not_equal(kit.fact.fly_ns, LISTING_NO_TIME);
	/* Its status may be another when it is seen again, so it is not told with it. */
	assert_string_equal(watch_releases.shape.fields[kit.fact.field_count], "status");
	assert_true(watch_kit_fact(&watch_releases, "r1", 1));
	assert_int_equal(kit.fact.action, ACTION_deploy_release_succeeded);
	assert_int_equal(kit.fact.fly_ns, LISTING_NO_TIME);
	assert_true(kit.fact.since_ns == watch_field_time(SPAN("2026-11-20T10:01:00.250000000Z")));
	assert_true(span_is(kit.fact.outcome, "success"));
	assert_false(watch_kit_fact(&watch_releases, "r1", 2));
}

static void the_end_is_told_when_the_status_says_so(void **state)
{
	static const struct {
		const char *before, *after;
		enum action action; /* none: no fact */
	} cases[] = {
		{RELEASES(RELEASE(3, "running", "a", MARA)),
		 RELEASES(RELEASE(3, "failed", "a", MARA)), ACTION_deploy_release_failed},
		{RELEASES(RELEASE(3, "running", "a", MARA)),
		 RELEASES(RELEASE(3, "interrupted", "a", MARA)), ACTION_deploy_release_interrupted},
		{RELEASES(RELEASE(3, "pondering", "a", MARA)),
		 RELEASES(RELEASE(3, "complete", "a", MARA)), ACTION_deploy_release_succeeded},
		{RELEASES(RELEASE(3, "running", "a", MARA)),
		 RELEASES(RELEASE(3, "pondering", "a", MARA)), ACTION_none},
		{RELEASES(RELEASE(3, "complete", "a", MARA)),
		 RELEASES(RELEASE(3, "complete", "b", "null")), ACTION_none},
		{RELEASES(RELEASE(3, "complete", "a", MARA)), RELEASES(""), ACTION_none},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool told;

		assert_int_equal(watch_kit_fetch(&watch_releases, cases[i].before), ERR_NONE);
		watch_kit_remember(&watch_releases);
		assert_int_equal(watch_kit_fetch(&watch_releases, cases[i].after), ERR_NONE);
		told = watch_kit_fact(&watch_releases, "r3", 0);
		assert_int_equal(told, cases[i].action != ACTION_none);
		assert_int_equal(kit.fact.action, cases[i].action);
		assert_false(watch_kit_fact(&watch_releases, "r3", 1));
	}
}

static void an_unknown_status_is_kept_and_says_nothing(void **state)
{
	(void)state;
	assert_int_equal(watch_kit_fetch(&watch_releases,
					 RELEASES(RELEASE(1, "pondering", "a", "\"user\""))),
			 ERR_NONE);
	assert_true(span_is(field("r1", "status"), "pondering"));
	assert_true(watch_kit_fact(&watch_releases, "r1", 0));
	assert_string_equal(kit.fact.actor, "");
	assert_int_equal(kit.fact.actor_type, ACTOR_UNKNOWN);
	assert_non_null(kit.fact.actor_reason);
	assert_false(watch_kit_fact(&watch_releases, "r1", 1));
}

static void an_image_of_an_earlier_release_is_a_rollback(void **state)
{
	(void)state;
	assert_int_equal(watch_kit_fetch(&watch_releases,
					 RELEASES(RELEASE(4, "complete", "a", MARA) "," RELEASE(
						 3, "complete", "b",
						 MARA) "," RELEASE(2, "complete", "b",
								   MARA) "," RELEASE(1, "complete",
										     "a", MARA))),
			 ERR_NONE);
	assert_true(span_is(field("r4", "rollback_to"), "1"));
	assert_int_equal(field("r3", "rollback_to").len, 0);
	assert_int_equal(field("r2", "rollback_to").len, 0);
	assert_int_equal(field("r1", "previous_image").len, 0);
}

static void another_try_of_a_failed_image_is_no_rollback(void **state)
{
	(void)state;
	assert_int_equal(watch_kit_fetch(&watch_releases,
					 RELEASES(RELEASE(4, "complete", "b", MARA) "," RELEASE(
						 3, "complete", "a",
						 MARA) "," RELEASE(2, "failed", "b",
								   MARA) "," RELEASE(1, "complete",
										     "a", MARA))),
			 ERR_NONE);
	assert_int_equal(field("r4", "rollback_to").len, 0);
	assert_true(span_is(field("r4", "previous_image"), "a"));
	assert_true(span_is(field("r3", "rollback_to"), "1"));
}

static void one_that_is_under_way_is_looked_at_again_but_not_for_ever(void **state)
{
	static const char *const running = RELEASES(RELEASE(1, "running", "a", MARA));
	int64_t made_ns = watch_field_time(SPAN("2026-11-20T10:01:00.25Z"));

	(void)state;
	kit.ask.now_ns = made_ns + 60 * NS_PER_S;
	assert_int_equal(watch_kit_fetch(&watch_releases, running), ERR_NONE);
	assert_true(watch_releases.is_moving(&kit.list));
	kit.ask.now_ns = made_ns + 3601 * NS_PER_S;
	assert_int_equal(watch_kit_fetch(&watch_releases, running), ERR_NONE);
	assert_false(watch_releases.is_moving(&kit.list));
	kit.ask.now_ns = made_ns + NS_PER_S;
	assert_int_equal(
		watch_kit_fetch(&watch_releases, RELEASES(RELEASE(1, "complete", "a", MARA))),
		ERR_NONE);
	assert_false(watch_releases.is_moving(&kit.list));
}

static void what_fly_leaves_out_is_not_fatal(void **state)
{
	(void)state;
	assert_int_equal(
		watch_kit_fetch(&watch_releases,
				"{\"releases\":[{\"id\":7,\"version\":\"5\",\"status\":null},"
				"{\"version\":4,\"created_at\":\"soon\",\"user\":{}},"
				"{\"created_at\":\"2026-11-20T10:00:00Z\",\"image_ref\":9}]}"),
		ERR_NONE);
	assert_int_equal(kit.list.count, 3);
	assert_true(span_is(field("7", "version"), "5"));
	assert_true(span_is(field("4", "version"), "4"));
	assert_true(watch_kit_fact(&watch_releases, "4", 0));
	assert_int_equal(kit.fact.fly_ns, LISTING_NO_TIME);
	assert_true(watch_kit_fact(&watch_releases, "2026-11-20T10:00:00.000000000Z", 0));
	assert_int_equal(watch_kit_fetch(&watch_releases, RELEASES("7")), ERR_RETRY);
	assert_int_equal(watch_kit_fetch(&watch_releases, "{}"), ERR_RETRY);
	assert_int_equal(watch_kit_fetch(&watch_releases, "{\"releases\":null}"), ERR_NONE);
	assert_int_equal(watch_kit_fetch_status(&watch_releases, 404, "{}"), ERR_REJECT);
}

/* Releases first to last, the newest first. */
static const char *answer_of(char text[TEXT_BYTES], unsigned first, unsigned last)
{
	static char body[TEXT_BYTES / 2];
	size_t len = (size_t)snprintf(body, sizeof(body), "{\"releases\":[");

	for (unsigned version = last; version >= first; version--)
		len += (size_t)snprintf(body + len, sizeof(body) - len,
					"%s{\"id\":\"r%u\",\"version\":%u}",
					version == last ? "" : ",", version, version);
	(void)snprintf(body + len, sizeof(body) - len, "]}");
	return tiny_http_answer(text, TEXT_BYTES, 200, "", body);
}

static void a_page_that_leaves_some_out_is_asked_for_again_in_full(void **state)
{
	static char few[TEXT_BYTES], all[TEXT_BYTES];
	const char *first[] = {answer_of(few, 1, 5), NULL};
	const char *both[] = {NULL, NULL, NULL};

	(void)state;
	assert_int_equal(watch_kit_fetch_all(&watch_releases, first), ERR_NONE);
	watch_kit_remember(&watch_releases);
	kit.ask.before_ns = kit.ask.now_ns - NS_PER_S;
	both[0] = answer_of(few, 11, 30);
	both[1] = answer_of(all, 1, 30);
	assert_int_equal(watch_kit_fetch_all(&watch_releases, both), ERR_NONE);
	assert_non_null(strstr(kit.server.requests[1], "/releases?limit=200 HTTP"));
	assert_int_equal(kit.list.count, 30);
	assert_false(watch_releases.has_hole(&kit.before, &kit.list));

	both[1] = answer_of(all, 7, 30);
	assert_int_equal(watch_kit_fetch_all(&watch_releases, both), ERR_NONE);
	assert_true(watch_releases.has_hole(&kit.before, &kit.list));

	both[0] = answer_of(few, 6, 25);
	assert_int_equal(watch_kit_fetch_all(&watch_releases, both), ERR_NONE);
	assert_int_equal(atomic_load(&kit.server.count), 1);
	/* Of an application that was made again versions begin anew. */
	assert_false(watch_releases.has_hole(&kit.list, &kit.before));
}

/* An application that was new, and had none when it was looked at first. */
static void where_there_were_none_a_full_page_is_asked_for_again_too(void **state)
{
	static char few[TEXT_BYTES], all[TEXT_BYTES];
	const char *both[] = {answer_of(few, 11, 30), NULL, NULL};

	(void)state;
	kit.ask.before_ns = LISTING_NO_TIME;
	assert_int_equal(watch_kit_fetch_all(&watch_releases, both), ERR_NONE);
	assert_int_equal(atomic_load(&kit.server.count), 1);
	kit.ask.before_ns = kit.ask.now_ns - NS_PER_S;
	both[0] = answer_of(few, 11, 30);
	both[1] = answer_of(all, 1, 30);
	assert_int_equal(watch_kit_fetch_all(&watch_releases, both), ERR_NONE);
	assert_int_equal(kit.list.count, 30);
}

/* --- secrets --- */

#define SECRET(name, updated)                                                              \
	"{\"name\":\"" name "\",\"digest\":\"d\",\"created_at\":\"2026-11-20T09:00:00Z\"," \
	"\"updated_at\":\"2026-11-20T10:" updated "Z\"}"
#define SECRETS(list) "{\"secrets\":[" list "]}"

static enum err_kind fetch_secrets(const char *secrets, unsigned status, const char *releases)
{
	static char one[TEXT_BYTES], two[TEXT_BYTES];
	const char *answers[] = {tiny_http_answer(one, sizeof(one), 200, "", secrets),
				 tiny_http_answer(two, sizeof(two), status, "", releases), NULL};

	return watch_kit_fetch_all(&watch_secrets, answers);
}

static struct span release_of(const char *name)
{
	return watch_kit_field(&watch_secrets, watch_kit_item(&kit.list, name), "release");
}

static void a_secret_is_carried_by_the_first_release_after_it(void **state)
{
	static const char *const releases = RELEASES(RELEASE(3, "running", "a", "null") "," RELEASE(
		2, "pondering", "a", MARA) "," RELEASE(1, "complete", "a", MARA));

	(void)state;
	assert_int_equal(fetch_secrets(SECRETS(SECRET("A", "00:10") "," SECRET(
					       "B", "01:30") "," SECRET("C", "03:01")),
				       200, releases),
			 ERR_NONE);
	assert_non_null(
		strstr(kit.server.requests[1], "GET /api/v1/apps/web-1/releases?limit=20 HTTP"));
	assert_true(span_is(release_of("A"), "1"));
	assert_true(span_is(release_of("B"), "2"));
	assert_int_equal(release_of("C").len, 0);

	assert_true(watch_kit_fact(&watch_secrets, "B", 0));
	assert_int_equal(kit.fact.action, ACTION_secret_change_set);
	assert_string_equal(watch_secrets.shape.fields[kit.fact.field_count], "release");
	assert_true(watch_kit_fact(&watch_secrets, "B", 1));
	assert_int_equal(kit.fact.action, ACTION_secret_change_deployed);
	assert_string_equal(kit.fact.actor, "mara@example.com");
	assert_true(span_is(kit.fact.correlation, "2"));
	assert_true(kit.fact.fly_ns == watch_field_time(SPAN("2026-11-20T10:02:00.25Z")));
	assert_false(watch_kit_fact(&watch_secrets, "B", 2));
	assert_true(watch_kit_fact(&watch_secrets, "C", 0));
	assert_false(watch_kit_fact(&watch_secrets, "C", 1));
}

/* Otherwise that it did is known as late as all is looked at again. */
static void a_secret_whose_release_is_under_way_is_looked_at_again_but_not_for_ever(void **state)
{
	static const char secrets[] = SECRETS(SECRET("A", "00:10"));
	static const char running[] = RELEASES(RELEASE(1, "running", "a", MARA));
	static const char complete[] = RELEASES(RELEASE(1, "complete", "a", MARA));
	int64_t made_ns = watch_field_time(SPAN("2026-11-20T10:01:00.25Z"));

	(void)state;
	kit.ask.now_ns = made_ns + 60 * NS_PER_S;
	assert_int_equal(fetch_secrets(secrets, 200, running), ERR_NONE);
	assert_true(watch_secrets.is_moving(&kit.list));
	watch_kit_remember(&watch_secrets);
	assert_int_equal(fetch_secrets(secrets, 200, complete), ERR_NONE);
	assert_false(watch_secrets.is_moving(&kit.list));
	/* Which says nothing but that. */
	assert_true(watch_kit_fact(&watch_secrets, "A", 0));
	assert_int_equal(kit.fact.action, ACTION_secret_change_deployed);
	assert_string_equal(watch_secrets.shape.fields[kit.fact.field_count], "moving");
	assert_false(watch_kit_fact(&watch_secrets, "A", 1));
	kit.ask.now_ns = made_ns + 3601 * NS_PER_S;
	assert_int_equal(fetch_secrets(secrets, 200, running), ERR_NONE);
	assert_false(watch_secrets.is_moving(&kit.list));
}

static void a_release_that_fails_carries_nothing(void **state)
{
	static const struct {
		const char *second, *third, *release; /* of a secret that was changed before both */
	} cases[] = {
		{"failed", "complete", "3"},    {"interrupted", "complete", "3"},
		{"failed", "failed", ""},       {"failed", "running", ""},
		{"failed", "pending", ""},      {"running", "complete", ""},
		{"pending", "complete", ""},    {"complete", "failed", "2"},
		{"pondering", "complete", "2"},
	};
	char body[TEXT_BYTES / 2];

	(void)state;
	kit.ask.now_ns = watch_field_time(SPAN("2026-11-20T10:04:00Z"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(body, sizeof(body),
			       RELEASES(RELEASE(3, "%s", "a", "null") "," RELEASE(
				       2, "%s", "a", MARA) "," RELEASE(1, "complete", "a", MARA)),
			       cases[i].third, cases[i].second);
		assert_int_equal(fetch_secrets(SECRETS(SECRET("A", "01:30")), 200, body), ERR_NONE);
		assert_true(span_is(release_of("A"), cases[i].release));
		assert_int_equal(watch_kit_fact(&watch_secrets, "A", 1),
				 cases[i].release[0] != '\0');
	}
	/* One that is under way for an hour does not hide for ever what it may have done. */
	kit.ask.now_ns = watch_field_time(SPAN("2026-11-20T11:02:01Z"));
	assert_int_equal(fetch_secrets(SECRETS(SECRET("A", "01:30")), 200,
				       RELEASES(RELEASE(2, "running", "a", MARA) "," RELEASE(
					       1, "complete", "a", MARA))),
			 ERR_NONE);
	assert_true(span_is(release_of("A"), "2"));
}

static void releases_are_asked_for_only_while_one_is_staged(void **state)
{
	static const char *const releases = RELEASES(RELEASE(2, "complete", "a", MARA));

	(void)state;
	assert_int_equal(fetch_secrets(SECRETS(SECRET("A", "01:30")), 200, releases), ERR_NONE);
	watch_kit_remember(&watch_secrets);
	assert_int_equal(fetch_secrets(SECRETS(SECRET("A", "01:30")), 200, "{}"), ERR_NONE);
	assert_int_equal(atomic_load(&kit.server.count), 1);
	assert_true(span_is(release_of("A"), "2"));
	assert_false(watch_kit_fact(&watch_secrets, "A", 0));
	/* It is changed, and staged; then carried. */
	assert_int_equal(fetch_secrets(SECRETS(SECRET("A", "05:00")), 200, releases), ERR_NONE);
	assert_int_equal(atomic_load(&kit.server.count), 2);
	assert_true(watch_kit_fact(&watch_secrets, "A", 0));
	assert_int_equal(kit.fact.action, ACTION_secret_change_updated);
	assert_false(watch_kit_fact(&watch_secrets, "A", 1));
	watch_kit_remember(&watch_secrets);
	assert_int_equal(fetch_secrets(SECRETS(SECRET("A", "05:00")), 200,
				       RELEASES(RELEASE(6, "complete", "a", "null"))),
			 ERR_NONE);
	assert_true(watch_kit_fact(&watch_secrets, "A", 0));
	assert_int_equal(kit.fact.action, ACTION_secret_change_deployed);
	assert_int_equal(kit.fact.actor_type, ACTOR_UNKNOWN);
	assert_non_null(kit.fact.actor_reason);
	assert_false(watch_kit_fact(&watch_secrets, "A", 1));
}

static void releases_that_cannot_be_had_hide_no_secret(void **state)
{
	static const struct {
		unsigned status;
		const char *body;
	} cases[] = {
		{404, "{}"},     {403, "{}"},
		{500, ""},       {200, "{}"},
		{200, "[]"},     {200, "{\"releases\":[{\"version\":9},7,{\"version\":null}]}"},
		{200, "{\"rel"}, {200, "{\"releases\":{\"a\":1}}"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(fetch_secrets(SECRETS(SECRET("A", "01:30")), cases[i].status,
					       cases[i].body),
				 ERR_NONE);
		assert_int_equal(kit.list.count, 1);
		assert_int_equal(release_of("A").len, 0);
	}
}

static void a_release_in_the_same_second_may_be_later_than_its_time_says(void **state)
{
	(void)state;
	assert_int_equal(fetch_secrets(SECRETS(SECRET("A", "00:00.9") "," SECRET("B", "00:01")),
				       200,
				       "{\"releases\":[{\"version\":8,"
				       "\"created_at\":\"2026-11-20T10:00:00Z\"}]}"),
			 ERR_NONE);
	assert_true(span_is(release_of("A"), "8"));
	assert_int_equal(release_of("B").len, 0);
}

static void a_release_that_the_answer_may_lack_is_unknown(void **state)
{
	char body[TEXT_BYTES / 2];
	size_t len = (size_t)snprintf(body, sizeof(body), "{\"releases\":[");

	(void)state;
	for (unsigned n = 0; n < 20; n++)
		len += (size_t)snprintf(body + len, sizeof(body) - len,
					"%s{\"version\":%u,\"created_at\":"
					"\"2026-11-20T11:00:%02u.5Z\"}",
					n == 0 ? "" : ",", n + 31, n);
	(void)snprintf(body + len, sizeof(body) - len, "]}");
	assert_int_equal(fetch_secrets(SECRETS(SECRET("A", "00:00")), 200, body), ERR_NONE);
	assert_true(span_is(release_of("A"), "unknown"));
	assert_true(watch_kit_fact(&watch_secrets, "A", 1));
	assert_int_equal(kit.fact.fly_ns, LISTING_NO_TIME);
	assert_int_equal(kit.fact.correlation.len, 0);
	assert_int_equal(kit.fact.actor_type, ACTOR_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WATCH_TEST(the_trigger_keeps_a_time_for_each_application),
		WATCH_TEST(what_names_no_applications_is_no_answer),
		WATCH_TEST(a_release_is_who_when_and_of_which_image),
		WATCH_TEST(a_release_that_was_made_and_ended_between_two_looks_is_two_facts),
		WATCH_TEST(the_end_is_told_when_the_status_says_so),
		WATCH_TEST(an_unknown_status_is_kept_and_says_nothing),
		WATCH_TEST(an_image_of_an_earlier_release_is_a_rollback),
		WATCH_TEST(another_try_of_a_failed_image_is_no_rollback),
		WATCH_TEST(one_that_is_under_way_is_looked_at_again_but_not_for_ever),
		WATCH_TEST(what_fly_leaves_out_is_not_fatal),
		WATCH_TEST(a_page_that_leaves_some_out_is_asked_for_again_in_full),
		WATCH_TEST(where_there_were_none_a_full_page_is_asked_for_again_too),
		WATCH_TEST(a_secret_is_carried_by_the_first_release_after_it),
		WATCH_TEST(a_secret_whose_release_is_under_way_is_looked_at_again_but_not_for_ever),
		WATCH_TEST(a_release_that_fails_carries_nothing),
		WATCH_TEST(releases_are_asked_for_only_while_one_is_staged),
		WATCH_TEST(releases_that_cannot_be_had_hide_no_secret),
		WATCH_TEST(a_release_in_the_same_second_may_be_later_than_its_time_says),
		WATCH_TEST(a_release_that_the_answer_may_lack_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
