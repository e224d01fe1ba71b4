#include "source/heartbeat.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* By the wall clock, when the monotonic one is at 0. */
#define T0 (INT64_C(1700000000) * NS_PER_S)
#define S(n) ((int64_t)(n)*NS_PER_S)

enum { MESSAGE_BYTES = HEARTBEAT_TEXT_BYTES + 512 };

static uint64_t nonces = 0x0123456789abcdef;

/* Watched from second 0 on, every 30 s. */
static struct heartbeat watched(void)
{
	struct heartbeat h;

	heartbeat_init(&h, S(30), "flytrail", "e28650f1ab34d8");
	assert_true(heartbeat_is_on(&h));
	assert_false(heartbeat_due(&h, 0));
	heartbeat_watch(&h, T0, 0);
	return h;
}

static void print(struct heartbeat *h, int second, char text[HEARTBEAT_TEXT_BYTES])
{
	assert_true(heartbeat_due(h, S(second)));
	heartbeat_make(h, nonces++, T0 + S(second), S(second), text);
	heartbeat_printed(h, true, T0 + S(second), S(second));
}

/* A message of Fly's around the text, which has a newline that Fly takes off. */
static bool take(struct heartbeat *h, int second, const char *text)
{
	char message[MESSAGE_BYTES];
	int len = snprintf(message, sizeof(message),
			   "{\"event\":{\"provider\":\"app\"},\"fly\":{\"app\":{\"instance\":"
			   "\"e28650f1ab34d8\",\"name\":\"flytrail\"},\"region\":\"ams\"},"
			   "\"host\":\"0ad1\",\"log\":{\"level\":\"info\"},\"message\":\"%.*s\","
			   "\"timestamp\":\"2023-11-14T22:13:20.5Z\"}",
			   (int)strcspn(text, "\n"), text);

	return heartbeat_take(h, span_of(message, (size_t)len), T0 + S(second), S(second));
}

static struct source_pulse pulse(const struct heartbeat *h)
{
	struct source_pulse p;

	heartbeat_pulse(h, &p);
	return p;
}

static bool is_silent(const struct heartbeat *h)
{
	const char *why = pulse(h).why;

	return why && strstr(why, "do not come back");
}

static void the_line_names_machine_nonce_and_count(void **state)
{
	struct heartbeat h = watched();
	char text[HEARTBEAT_TEXT_BYTES];

	(void)state;
	heartbeat_make(&h, 0xbeef, T0, 0, text);
	assert_string_equal(text, "flytrail heartbeat machine=e28650f1ab34d8 "
				  "nonce=000000000000beef count=1\n");
	heartbeat_make(&h, UINT64_MAX, T0, 0, text);
	assert_string_equal(text, "flytrail heartbeat machine=e28650f1ab34d8 "
				  "nonce=ffffffffffffffff count=2\n");
	assert_string_equal(h.subject, "logs.flytrail.*.e28650f1ab34d8");
}

static void the_longest_names_fit(void **state)
{
	char name[HEARTBEAT_NAME_BYTES] = "", text[HEARTBEAT_TEXT_BYTES];
	struct heartbeat h;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	heartbeat_init(&h, S(30), name, name);
	assert_int_equal(strlen(h.subject), strlen("logs..*.") + 2 * strlen(name));
	heartbeat_watch(&h, T0, 0);
	h.next.count = UINT64_MAX - 1;
	heartbeat_make(&h, UINT64_MAX, T0, 0, text);
	assert_int_equal(text[strlen(text) - 1], '\n');
}

static void it_is_off_where_nothing_can_come_back(void **state)
{
	static const char *const bad[] = {NULL, "", "a.b", "*", ">", "a b", "a\tb"};
	struct heartbeat h;

	(void)state;
	heartbeat_init(&h, 0, "flytrail", "m");
	assert_false(heartbeat_is_on(&h));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		heartbeat_init(&h, S(30), bad[i], "m");
		assert_false(heartbeat_is_on(&h));
		heartbeat_init(&h, S(30), "flytrail", bad[i]);
		assert_false(heartbeat_is_on(&h));
	}
	assert_int_equal(heartbeat_sure_ns(&h), INT64_MAX);
	assert_false(heartbeat_due(&h, S(1000)));
	assert_false(pulse(&h).on);
	assert_null(pulse(&h).why);
}

static void it_is_due_at_once_and_then_at_its_interval(void **state)
{
	struct heartbeat h = watched();
	char text[HEARTBEAT_TEXT_BYTES];

	(void)state;
	print(&h, 0, text);
	assert_false(heartbeat_due(&h, S(30) - 1));
	print(&h, 30, text);
	heartbeat_unwatch(&h);
	assert_false(heartbeat_due(&h, S(60)));
	heartbeat_watch(&h, T0 + S(61), S(61));
	print(&h, 61, text);
	assert_int_equal(pulse(&h).sent, 3);
}

static void one_that_comes_back_is_known_by_nonce_and_count(void **state)
{
	struct heartbeat h = watched(), other = watched();
	char text[HEARTBEAT_TEXT_BYTES], others[HEARTBEAT_TEXT_BYTES], forged[HEARTBEAT_TEXT_BYTES];

	(void)state;
	print(&h, 0, text);
	print(&other, 0, others);
	assert_false(take(&h, 1, others)); /* of another process on the same machine */
	(void)snprintf(forged, sizeof(forged), "%.*s2", (int)strlen(text) - 2, text);
	assert_false(take(&h, 1, forged)); /* another count */
	(void)snprintf(forged, sizeof(forged), "%.*s1", (int)strlen(text) - 2, text);
	assert_true(take(&h, 1, forged));
	assert_false(take(&h, 2, text)); /* the same for a second time */
	assert_int_equal(pulse(&h).returned, 1);
	assert_int_equal(pulse(&h).returned_ns, T0 + S(1));
	assert_int_equal(heartbeat_sure_ns(&h), T0);
}

static void what_is_no_heartbeat_is_passed_over(void **state)
{
	static const char *const others[] = {
		"",
		"flytrail heartbeat machine=",
		"flytrail heartbeat machine=m nonce=0123456789abcde",
		"flytrail heartbeat machine=m nonce=0123456789ABCDEF count=1",
		"flytrail heartbeat machine=m nonce=0123456789abcdef",
		"flytrail heartbeat machine=m nonce=0123456789abcdef count=",
		"flytrail heartbeat machine=m nonce=0123456789abcdef count=x",
		"flytrail heartbeat machine=m nonce=0123456789abcdef count=99999999999999999999",
		"nonce=0123456789abcdef count=1 flytrail heartbeat machine=m",
	};
	struct heartbeat h = watched();
	char text[HEARTBEAT_TEXT_BYTES];

	(void)state;
	print(&h, 0, text);
	h.out[0].nonce = 0x0123456789abcdef;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		assert_false(take(&h, 1, others[i]));
		assert_false(heartbeat_take(&h, span_text(others[i]), T0, 0));
	}
	assert_int_equal(pulse(&h).returned, 0);
	assert_true(take(&h, 1, "flytrail heartbeat machine=m nonce=0123456789abcdef count=1"));
}

static void only_the_beginning_of_a_long_message_is_looked_at(void **state)
{
	static char message[HEARTBEAT_MESSAGE_BYTES_MAX + HEARTBEAT_TEXT_BYTES];
	struct heartbeat h = watched();
	char text[HEARTBEAT_TEXT_BYTES];

	(void)state;
	print(&h, 0, text);
	memset(message, ' ', sizeof(message));
	memcpy(message + HEARTBEAT_MESSAGE_BYTES_MAX - 10, text, strlen(text));
	assert_false(heartbeat_take(&h, span_of(message, sizeof(message)), T0, 0));
}

static void one_that_comes_back_settles_those_before_it(void **state)
{
	struct heartbeat h = watched();
	char first[HEARTBEAT_TEXT_BYTES], second[HEARTBEAT_TEXT_BYTES], third[HEARTBEAT_TEXT_BYTES];

	(void)state;
	print(&h, 0, first);
	print(&h, 30, second);
	print(&h, 60, third);
	assert_true(take(&h, 61, second));
	assert_int_equal(heartbeat_sure_ns(&h), T0 + S(30));
	assert_false(take(&h, 62, first));
	assert_int_equal(heartbeat_sure_ns(&h), T0 + S(30));
	assert_true(take(&h, 63, third));
}

static void one_that_is_older_than_what_is_remembered_does_not_count(void **state)
{
	struct heartbeat h = watched();
	char texts[HEARTBEAT_OUT_MAX + 1][HEARTBEAT_TEXT_BYTES];

	(void)state;
	for (int i = 0; i <= HEARTBEAT_OUT_MAX; i++)
		print(&h, 30 * i, texts[i]);
	assert_false(take(&h, 1000, texts[0]));
	assert_true(take(&h, 1000, texts[1]));
	assert_true(take(&h, 1000, texts[HEARTBEAT_OUT_MAX]));
}

static void three_in_a_row_are_missed_and_two_are_not(void **state)
{
	struct heartbeat h = watched();
	char text[HEARTBEAT_TEXT_BYTES];

	(void)state;
	print(&h, 0, text);
	assert_true(take(&h, 1, text));
	print(&h, 30, text);
	print(&h, 60, text);
	assert_false(heartbeat_is_missed(&h, S(1000))); /* the process stood still: two are out */
	assert_int_equal(pulse(&h).missed, 1);
	print(&h, 90, text);
	assert_false(heartbeat_is_missed(&h, S(91) - 1));
	assert_true(heartbeat_is_missed(&h, S(91)));
	assert_int_equal(pulse(&h).missed, 2);
	assert_null(pulse(&h).why);
	heartbeat_silent(&h);
	assert_int_equal(pulse(&h).missed, 3);
	assert_true(is_silent(&h));
	assert_false(heartbeat_is_missed(&h, S(92)));
	assert_int_equal(heartbeat_sure_ns(&h), T0);
}

static void from_the_start_they_are_missed_after_three_intervals(void **state)
{
	struct heartbeat h = watched();
	char text[HEARTBEAT_TEXT_BYTES];

	(void)state;
	for (int second = 0; second < 90; second += 30)
		print(&h, second, text);
	assert_false(heartbeat_is_missed(&h, S(90) - 1));
	assert_true(heartbeat_is_missed(&h, S(90)));
}

static void a_way_that_is_slow_but_steady_misses_nothing(void **state)
{
	struct heartbeat h = watched();
	char texts[20][HEARTBEAT_TEXT_BYTES];

	(void)state;
	for (int i = 0; i < 20; i++) {
		print(&h, 30 * i, texts[i]);
		if (i >= 4)
			assert_true(take(&h, 30 * i, texts[i - 4]));
		if (i > 4)
			assert_false(heartbeat_is_missed(&h, S(30 * i + 29)));
	}
}

static void a_fresh_subscription_has_three_intervals_again(void **state)
{
	struct heartbeat h = watched();
	char text[HEARTBEAT_TEXT_BYTES];

	(void)state;
	for (int second = 0; second < 90; second += 30)
		print(&h, second, text);
	heartbeat_silent(&h);
	heartbeat_watch(&h, T0 + S(95), S(95));
	for (int second = 95; second < 185; second += 30)
		print(&h, second, text);
	assert_false(heartbeat_is_missed(&h, S(185) - 1));
	assert_int_equal(pulse(&h).missed, 6);
	assert_true(heartbeat_is_missed(&h, S(185)));
	heartbeat_silent(&h);
	heartbeat_watch(&h, T0 + S(190), S(190));
	assert_true(is_silent(&h));
	assert_true(take(&h, 191, text)); /* late, but the way is open */
	assert_null(pulse(&h).why);
	assert_int_equal(pulse(&h).missed, 0);
	/* It says nothing of what came before this subscription stood. */
	assert_int_equal(heartbeat_sure_ns(&h), T0 + S(190));
}

static void one_that_cannot_be_printed_is_told_and_not_missed(void **state)
{
	struct heartbeat h = watched();
	char text[HEARTBEAT_TEXT_BYTES];

	(void)state;
	print(&h, 0, text);
	print(&h, 30, text);
	for (int second = 60; second < 600; second += 30) {
		assert_true(heartbeat_due(&h, S(second)));
		heartbeat_make(&h, nonces++, T0 + S(second), S(second), text);
		heartbeat_printed(&h, false, T0 + S(second), S(second));
		assert_false(heartbeat_is_missed(&h, S(second + 29)));
		assert_int_equal(heartbeat_sure_ns(&h), T0 + S(second));
		assert_false(take(&h, second, text));
	}
	assert_int_equal(pulse(&h).unsent, 18);
	assert_int_equal(pulse(&h).sent, 2);
	assert_non_null(strstr(pulse(&h).why, "standard output"));
	assert_false(is_silent(&h));
	print(&h, 600, text);
	assert_null(pulse(&h).why);
	assert_true(take(&h, 601, text));
}

static void a_subscription_that_is_refused_is_told_and_not_missed(void **state)
{
	struct heartbeat h = watched();
	char text[HEARTBEAT_TEXT_BYTES];

	(void)state;
	print(&h, 0, text);
	heartbeat_unwatch(&h);
	heartbeat_deny(&h);
	assert_false(heartbeat_due(&h, S(30)));
	assert_false(heartbeat_is_missed(&h, S(1000)));
	assert_int_equal(heartbeat_sure_ns(&h), INT64_MAX);
	assert_non_null(strstr(pulse(&h).why, "token"));
	heartbeat_unwatch(&h);
	assert_null(pulse(&h).why);
	assert_int_equal(heartbeat_sure_ns(&h), T0);
}

static void a_clock_that_is_set_back_leaves_nothing_ahead_of_it(void **state)
{
	struct heartbeat h = watched();
	char first[HEARTBEAT_TEXT_BYTES], second[HEARTBEAT_TEXT_BYTES];

	(void)state;
	print(&h, 0, first);
	print(&h, 30, second);
	assert_true(take(&h, 31, first));
	heartbeat_clock_set(&h, T0 - S(3600));
	assert_int_equal(heartbeat_sure_ns(&h), T0 - S(3600));
	assert_true(take(&h, 32, second));
	assert_int_equal(heartbeat_sure_ns(&h), T0 - S(3600));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_line_names_machine_nonce_and_count),
		cmocka_unit_test(the_longest_names_fit),
		cmocka_unit_test(it_is_off_where_nothing_can_come_back),
		cmocka_unit_test(it_is_due_at_once_and_then_at_its_interval),
		cmocka_unit_test(one_that_comes_back_is_known_by_nonce_and_count),
		cmocka_unit_test(what_is_no_heartbeat_is_passed_over),
		cmocka_unit_test(only_the_beginning_of_a_long_message_is_looked_at),
		cmocka_unit_test(one_that_comes_back_settles_those_before_it),
		cmocka_unit_test(one_that_is_older_than_what_is_remembered_does_not_count),
		cmocka_unit_test(three_in_a_row_are_missed_and_two_are_not),
		cmocka_unit_test(from_the_start_they_are_missed_after_three_intervals),
		cmocka_unit_test(a_way_that_is_slow_but_steady_misses_nothing),
		cmocka_unit_test(a_fresh_subscription_has_three_intervals_again),
		cmocka_unit_test(one_that_cannot_be_printed_is_told_and_not_missed),
		cmocka_unit_test(a_subscription_that_is_refused_is_told_and_not_missed),
		cmocka_unit_test(a_clock_that_is_set_back_leaves_nothing_ahead_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
