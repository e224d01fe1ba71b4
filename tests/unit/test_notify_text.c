/* What people read: nothing of a fact acts, each is in a number, the most severe comes first. */
#include "sink/notify_message.h"

#include "base/json.h"
#include "base/time.h"
#include "base/utf8.h"
#include "sink/notify_plain.h"

#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define AT (INT64_C(1795695600) * NS_PER_S)

enum { SHOWN_BYTES = 64 };

static struct notify_text *text;
static struct buf out;

static int set_up(void **state)
{
	(void)state;
	text = malloc(sizeof(*text));
	notify_text_init(text);
	buf_init(&out, NOTIFY_MESSAGE_BYTES_MAX);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	notify_text_release(text);
	free(text);
	buf_release(&out);
	return 0;
}

static const char *shown(struct span given, size_t max)
{
	buf_reset(&out);
	if (!notify_plain(given, max, &out))
		return "";
	assert_false(out.failed);
	assert_true(out.len <= max);
	return (const char *)out.data;
}

static struct event fact(enum action action, const char *app, enum severity severity)
{
	return (struct event){
		.class = action_class(action),
		.action = action,
		.occurred_ns = AT,
		.not_after_ns = EVENT_NO_TIME,
		.app = span_text(app),
		.machine_id = SPAN("0e286551c30586"),
		.region = SPAN("ams"),
		.actor = SPAN("mara.lind@example.com"),
		.actor_type = ACTOR_USER,
		.severity = severity,
		.trust = TRUST_GUEST,
		.summary = SPAN("mara.lind@example.com opened an SSH session"),
	};
}

static const char *message(void)
{
	struct err err;

	buf_reset(&out);
	assert_int_equal(notify_text_write(text, SPAN("example-org"), &out, &err), ERR_NONE);
	return (const char *)out.data;
}

static void assert_has(const char *in, const char *part)
{
	if (!strstr(in, part))
		fail_msg("no \"%s\" in: %s", part, in);
}

/* --- what a text from elsewhere looks like --- */

static void nothing_of_a_hostile_text_acts(void **state)
{
	const struct {
		struct span given;
		const char *shown;
	} cases[] = {
		{SPAN("<!channel> <@U012|x> a & b"), "&lt;!channel&gt; &lt;@U012|x&gt; a &amp; b"},
		{SPAN("&lt;"), "&amp;lt;"},
		{SPAN("end` *bold* `of code"), "end' *bold* 'of code"},
		{SPAN("https://evil.example.com/x"), "https[://]evil.example.com/x"},
		{SPAN("\x1b[31mred\x1b[0m \x1b[38;2;1;2;3mrgb\x1b[m"), "red rgb"},
		{SPAN("\x1b[2Jcleared\x1b]8;;x\x07link"), "\\x1b[2Jcleared\\x1b]8;;x\\x07link"},
		{SPAN("\x1b[31"), "\\x1b[31"},
		{SPAN("  a\r\n\tb \n"), "a b"},
		{SPAN("a\0b"), "a\\x00b"},
		{SPAN("\xff\xc3("), "\\xff\\xc3("},
		{SPAN("abc\xe2\x80\xae"
		      "fed"),
		 "abc\\u202efed"},
		{SPAN("a\xe2\x81\xa6\xe2\x81\xa9"), "a\\u2066\\u2069"},
		{SPAN("a\xe2\x80\x8b\xe2\x80\x8d\xef\xbb\xbf"), "a\\u200b\\u200d\\ufeff"},
		{SPAN("\xf3\xa0\x81\xa1"), "\\ue0061"},
		{SPAN("\xc2\x9b"
		      "31m\x7f"),
		 "\\u009b31m\\x7f"},
		{SPAN("J\xc3\xb6rg \xe6\x97\xa5\xe6\x9c\xac"),
		 "J\xc3\xb6rg \xe6\x97\xa5\xe6\x9c\xac"},
		{SPAN(" \t\x1b[0m\n"), ""},
		{SPAN(""), ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(shown(cases[i].given, SHOWN_BYTES), cases[i].shown);
}

static void a_long_text_is_cut_behind_a_whole_character(void **state)
{
	static const char *const pieces[] = {"a",   "\xc3\xb6", "\xf0\x9f\x98\x80",
					     "<",   "&",        "\x01",
					     "://", "a b ",     "\xe2\x80\xae"};
	char given[512];

	(void)state;
	for (size_t p = 0; p < ARRAY_LEN(pieces); p++)
		for (size_t max = NOTIFY_PLAIN_BYTES_MIN; max <= SHOWN_BYTES; max++) {
			const char *got;
			char whole[4096];

			given[0] = '\0';
			while (strlen(given) + strlen(pieces[p]) < 200)
				strcat(given, pieces[p]);
			memcpy(whole, shown(span_text(given), 3000), 200);
			got = shown(span_text(given), max);
			assert_true(utf8_is_text(span_text(got)));
			assert_string_equal(got + strlen(got) - 3, "\xe2\x80\xa6");
			assert_memory_equal(got, whole, strlen(got) - 3);
			assert_true(strlen(got) + 12 + 3 > max); /* no more than a piece short */
		}
	assert_string_equal(shown(SPAN("0123456789abcdef"), 16), "0123456789abcdef");
	assert_string_equal(shown(SPAN("0123456789abcdefg"), 16), "0123456789abc\xe2\x80\xa6");
}

/* --- a message --- */

static void a_fact_says_when_who_where_and_what(void **state)
{
	struct event e = fact(ACTION_ssh_session_opened, "shop", SEVERITY_MEDIUM);

	(void)state;
	notify_text_begin(text);
	notify_text_add(text, &e);
	assert_string_equal(
		message(),
		"*flytrail* `example-org`: 1 fact\n"
		"*ssh_session.opened* medium, `shop`\n"
		"\xe2\x80\xa2 2026-11-26 12:20:00 UTC, by `mara.lind@example.com`, machine "
		"`0e286551c30586` `ams`: `mara.lind@example.com opened an SSH session` (as said "
		"from inside the machine)");
}

static void what_is_not_known_is_said_and_flytrail_is_nobody(void **state)
{
	struct event e = fact(ACTION_secret_change_set, "shop", SEVERITY_MEDIUM);

	(void)state;
	e.actor = SPAN("");
	e.actor_reason = SPAN("Fly does not say");
	e.trust = TRUST_API;
	e.not_after_ns = AT + 300 * NS_PER_S;
	e.machine_id = e.region = SPAN("");
	notify_text_begin(text);
	notify_text_add(text, &e);
	assert_has(message(), "2026-11-26 12:20:00 to 12:25:00 UTC, by nobody that is known: "
			      "`mara.lind@example.com opened an SSH session`; `Fly does not say`");
	e = fact(ACTION_trail_gap_opened, "flytrail", SEVERITY_HIGH);
	e.actor = SPAN("flytrail");
	e.actor_type = ACTOR_SELF;
	e.trust = TRUST_SELF;
	notify_text_begin(text);
	notify_text_add(text, &e);
	assert_null(strstr(message(), ", by "));
}

static void facts_of_one_action_and_application_are_one_group(void **state)
{
	struct event e = fact(ACTION_ssh_session_opened, "shop", SEVERITY_MEDIUM);

	(void)state;
	notify_text_begin(text);
	for (int i = 0; i < 10000; i++) {
		e.occurred_ns = AT + i * NS_PER_S;
		notify_text_add(text, &e);
	}
	e.actor = SPAN("jonas.vik@example.com");
	notify_text_add(text, &e);
	assert_has(message(), ": 10001 facts\n*ssh_session.opened* medium, `shop`, 10001 times, "
			      "2026-11-26 12:20:00 to 15:06:39 UTC\n");
	/* One that differs is seen among however many that do not. */
	assert_has(message(), "`jonas.vik@example.com`");
	assert_null(strstr(message(), "that differ"));
	e.app = SPAN("billing");
	notify_text_add(text, &e);
	assert_has(message(), ", `billing`");
}

static void each_fact_is_in_a_number(void **state)
{
	struct event e = fact(ACTION_ssh_session_opened, "shop", SEVERITY_MEDIUM);
	char actor[32];

	(void)state;
	notify_text_begin(text);
	for (int i = 0; i < 12; i++) {
		(void)snprintf(actor, sizeof(actor), "user%d@example.com", i);
		e.actor = span_text(actor);
		notify_text_add(text, &e);
	}
	assert_has(message(), "`user4@example.com`");
	assert_null(strstr(message(), "`user5@example.com`"));
	assert_has(message(), "and 7 that differ from these");
}

static void the_most_severe_come_first_and_noise_hides_none(void **state)
{
	char app[32];
	struct event e = fact(ACTION_ssh_session_opened, "x", SEVERITY_MEDIUM);
	const char *said;

	(void)state;
	notify_text_begin(text);
	for (int i = 0; i < 100; i++) {
		(void)snprintf(app, sizeof(app), "noise-%d", i);
		e.app = span_text(app);
		notify_text_add(text, &e);
	}
	e = fact(ACTION_access_two_factor_off, "flytrail", SEVERITY_FATAL);
	notify_text_add(text, &e);
	said = message();
	assert_has(said, ": 101 facts\n*access.two_factor_off* fatal, `flytrail`\n");
	assert_has(said, "\nand 81 facts of other actions or applications, which "
			 "`flytrail.timeline` has");
	/* And one more of those that were counted out, which begins no group again. */
	e = fact(ACTION_ssh_session_opened, "noise-0", SEVERITY_MEDIUM);
	notify_text_add(text, &e);
	assert_has(message(), "and 82 facts of other");
}

static void the_longest_message_has_room_and_slacks_length(void **state)
{
	char *hostile = malloc(RECORD_FIELD_BYTES_MAX);
	char app[RECORD_FIELD_BYTES_MAX];
	struct err err;

	(void)state;
	memset(hostile, 0x01, RECORD_FIELD_BYTES_MAX);
	notify_text_begin(text);
	for (unsigned i = 0; i < 200; i++) {
		struct event e = fact(ACTION_trail_gap_opened, "", SEVERITY_HIGH);

		memset(app, '<', sizeof(app));
		app[0] = (char)('a' + i % 40);
		hostile[1] = (char)('a' + i / 40);
		e.app = span_of(app, sizeof(app));
		e.actor = e.summary = e.machine_id = e.region =
			span_of(hostile, RECORD_FIELD_BYTES_MAX);
		notify_text_add(text, &e);
	}
	assert_true(strlen(message()) <= NOTIFY_TEXT_BYTES_MAX);
	assert_int_equal(text->count, 200);
	buf_release(&out);
	buf_init(&out, NOTIFY_TEXT_BYTES_MAX);
	assert_int_equal(notify_text_write(text, SPAN("example-org"), &out, &err), ERR_NONE);
	free(hostile);
}

/* --- the body --- */

static struct json *body_of(enum notify_kind kind, const struct event *e, size_t count)
{
	struct notify_message *m = malloc(sizeof(*m));
	struct json *json = NULL;
	struct span body;
	struct err err;

	notify_message_init(m, kind);
	notify_message_begin(m, SPAN("example-org"));
	for (size_t i = 0; i < count && !notify_message_is_full(m); i++)
		notify_message_add(m, e);
	assert_int_equal(notify_message_end(m, &body, &err), ERR_NONE);
	assert_true(body.len <= NOTIFY_MESSAGE_BYTES_MAX);
	assert_int_equal(json_parse(&json, body, &err), ERR_NONE);
	notify_message_release(m);
	free(m);
	return json;
}

static void slack_gets_a_text_that_it_makes_no_links_of(void **state)
{
	struct event e = fact(ACTION_ssh_session_opened, "shop", SEVERITY_MEDIUM);
	struct json *json = body_of(NOTIFY_SLACK, &e, 3);

	(void)state;
	assert_true(span_starts(json_text(json_member(json, "text")), SPAN("*flytrail* ")));
	assert_false(json_bool(json_member(json, "unfurl_links")));
	assert_false(json_bool(json_member(json, "unfurl_media")));
	json_free(json);
}

static void a_webhook_gets_the_columns_of_each(void **state)
{
	struct event e = fact(ACTION_ssh_session_opened, "shop", SEVERITY_MEDIUM);
	struct json *json;
	const struct json *first;

	(void)state;
	e.attributes = SPAN("{\"verified\":true}");
	json = body_of(NOTIFY_WEBHOOK, &e, 3);
	assert_int_equal((int)json_number(json_member(json, "version")), 1);
	assert_int_equal((int)json_number(json_member(json, "count")), 3);
	assert_int_equal((int)json_number(json_member(json, "shortened")), 0);
	assert_true(span_is(json_text(json_member(json, "org")), "example-org"));
	first = json_first(json_member(json, "events"));
	assert_true(span_is(json_text(json_member(first, "action")), "ssh_session.opened"));
	assert_true(span_is(json_text(json_member(first, "actor")), "mara.lind@example.com"));
	assert_true(json_bool(json_member(json_member(first, "attributes"), "verified")));
	json_free(json);
}

/* The owner's or the writer's password puts anything there; the message must go out all the same.
 */
static void every_text_of_a_row_may_be_long(void **state)
{
	struct event plain = fact(ACTION_ssh_session_opened, "shop", SEVERITY_MEDIUM);
	struct span *const texts[] = {
		&plain.org,
		&plain.app,
		&plain.region,
		&plain.machine_id,
		&plain.correlation_id,
		&plain.actor,
		&plain.actor_reason,
		&plain.target_type,
		&plain.target,
		&plain.origin,
		&plain.outcome,
		&plain.rule,
		&plain.summary,
	};
	char *longest = malloc(RECORD_TEXT_BYTES_MAX);
	struct json *json;

	(void)state;
	memset(longest, 0x01, RECORD_TEXT_BYTES_MAX);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		*texts[i] = span_of(longest, RECORD_TEXT_BYTES_MAX);
	for (enum notify_kind kind = 0; kind < NOTIFY_COUNT; kind++) {
		json = body_of(kind, &plain, 1000);
		if (kind == NOTIFY_WEBHOOK) {
			assert_true(json_number(json_member(json, "count")) >= 2);
			assert_true(json_number(json_member(json, "shortened")) ==
				    json_number(json_member(json, "count")));
		}
		json_free(json);
	}
	free(longest);
}

static void what_is_very_long_is_shortened_and_the_body_is_bounded(void **state)
{
	struct event e = fact(ACTION_ssh_session_opened, "shop", SEVERITY_MEDIUM);
	char *longest = malloc(RECORD_TEXT_BYTES_MAX);
	struct json *json;
	double count;

	(void)state;
	memset(longest, 0x01, RECORD_TEXT_BYTES_MAX);
	e.message = span_of(longest, RECORD_TEXT_BYTES_MAX);
	json = body_of(NOTIFY_WEBHOOK, &e, 1000);
	count = json_number(json_member(json, "count"));
	assert_true(count >= 2 && count < 20);
	assert_true(json_number(json_member(json, "shortened")) == count);
	assert_int_equal(
		json_text(json_member(json_first(json_member(json, "events")), "message")).len,
		NOTIFY_MESSAGE_TEXT_BYTES_MAX);
	json_free(json);
	free(longest);
}

static void make_under_faults(void *arg)
{
	struct event e = fact(ACTION_ssh_session_opened, "shop", SEVERITY_MEDIUM);
	enum notify_kind kind = *(enum notify_kind *)arg;
	struct notify_message *m = calloc(1, sizeof(*m));
	struct span body;
	struct err err = {0};

	if (!m)
		return;
	notify_message_init(m, kind);
	notify_message_begin(m, SPAN("example-org"));
	for (int i = 0; i < 40; i++)
		notify_message_add(m, &e);
	if (notify_message_end(m, &body, &err))
		assert_int_equal(err.kind, ERR_FATAL);
	else
		assert_non_null(memmem(body.data, body.len, "40", 2));
	notify_message_release(m);
	free(m);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	(void)state;
	for (enum notify_kind kind = 0; kind < NOTIFY_COUNT; kind++)
		fault_everywhere(make_under_faults, &kind);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(nothing_of_a_hostile_text_acts),
		TEST(a_long_text_is_cut_behind_a_whole_character),
		TEST(a_fact_says_when_who_where_and_what),
		TEST(what_is_not_known_is_said_and_flytrail_is_nobody),
		TEST(facts_of_one_action_and_application_are_one_group),
		TEST(each_fact_is_in_a_number),
		TEST(the_most_severe_come_first_and_noise_hides_none),
		TEST(the_longest_message_has_room_and_slacks_length),
		TEST(slack_gets_a_text_that_it_makes_no_links_of),
		TEST(a_webhook_gets_the_columns_of_each),
		TEST(every_text_of_a_row_may_be_long),
		TEST(what_is_very_long_is_shortened_and_the_body_is_bounded),
		TEST(no_memory_fault_leaks_or_crashes),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
