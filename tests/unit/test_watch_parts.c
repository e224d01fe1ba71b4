/* Machines of which one cannot be read, or is there twice, or more went than there is room for. */

#include "watch_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ANSWER_BYTES = 96 * 1024, ANSWERS_MAX = 4 };

#define ONE(state) "{\"id\":\"m1\",\"app_name\":\"web-1\",\"state\":\"" state "\"}"
#define PAGE(machines, next) "{\"machines\":[" machines "],\"next_cursor\":\"" next "\"}"

static enum err_kind look(const char *const bodies[])
{
	static char room[ANSWERS_MAX][ANSWER_BYTES];
	const char *answers[ANSWERS_MAX + 1] = {NULL};

	for (size_t i = 0; i < ANSWERS_MAX && bodies[i]; i++)
		answers[i] = tiny_http_answer(room[i], ANSWER_BYTES, 200, "", bodies[i]);
	return watch_kit_fetch_all(&watch_machines, answers);
}

static void a_machine_that_cannot_be_read_or_is_there_twice_makes_a_part(void **state)
{
	static const char *const unread[] = {PAGE(ONE("started") ",{\"id\":\"m2\"}", ""),
					     PAGE("", ""), NULL};
	static const char *const twice[] = {PAGE(ONE("started"), "c1"), PAGE(ONE("stopped"), ""),
					    PAGE("", ""), NULL};
	static const char *const *const parts[] = {unread, twice};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		assert_int_equal(look(parts[i]), ERR_NONE);
		assert_true(kit.list.part);
		assert_int_equal(kit.list.count, 1);
		assert_true(span_is(
			watch_kit_field(&watch_machines, watch_kit_item(&kit.list, "m1"), "state"),
			"started"));
	}
}

/* So many that went, on a page. */
static const char *that_went(char *ret, unsigned from, unsigned count, const char *next)
{
	size_t len = (size_t)snprintf(ret, ANSWER_BYTES, "{\"machines\":[");

	for (unsigned i = from; i < from + count; i++)
		len += (size_t)snprintf(ret + len, ANSWER_BYTES - len,
					"%s{\"id\":\"d%u\",\"app_name\":\"a\",\"state\":\"%s\"}",
					i > from ? "," : "", i, "destroyed");
	(void)snprintf(ret + len, ANSWER_BYTES - len, "],\"next_cursor\":\"%s\"}", next);
	return ret;
}

/* Too many by themselves, or with the one that is there. */
static void more_that_went_than_there_is_room_for_hide_nothing(void **state)
{
	static char went[3][ANSWER_BYTES];
	static const unsigned half = LISTING_ITEMS_MAX / 2;
	const char *const more[] = {PAGE(ONE("started"), ""), that_went(went[0], 0, half, "c1"),
				    that_went(went[1], half, half + 1, ""), NULL};
	const char *const as_many[] = {more[0], more[1], that_went(went[2], half, half, ""), NULL};
	const char *const broken[] = {more[0], more[1], "{}", NULL};
	const char *const *const cases[] = {more, as_many};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(look(cases[i]), ERR_NONE);
		assert_int_equal(kit.list.count, 1);
		assert_true(span_is(kit.list.items[0].key, "m1"));
		assert_false(kit.list.part);
	}
	/* Any other failure is one. */
	assert_int_equal(look(broken), ERR_RETRY);
}

static void what_people_may_write_long_leaves_room_for_other_machines(void **state)
{
	static const char *const names[] = {"name", "image", "group", "release"};
	static char word[8192], page[ANSWER_BYTES];
	const char *const bodies[] = {page, PAGE("", ""), NULL};

	(void)state;
	memset(word, 'x', sizeof(word) - 1);
	(void)snprintf(page, sizeof(page),
		       PAGE("{\"id\":\"m1\",\"app_name\":\"web-1\",\"name\":\"%s\","
			    "\"config\":{\"image\":\"%s\",\"metadata\":{"
			    "\"fly_process_group\":\"%s\",\"fly_release_version\":\"%s\"}}}",
			    ""),
		       word, word, word, word);
	assert_int_equal(look(bodies), ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct span field = watch_kit_field(&watch_machines, &kit.list.items[0], names[i]);

		assert_int_equal(field.len, 512);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WATCH_TEST(a_machine_that_cannot_be_read_or_is_there_twice_makes_a_part),
		WATCH_TEST(what_people_may_write_long_leaves_room_for_other_machines),
		WATCH_TEST(more_that_went_than_there_is_room_for_hide_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
