/* What counts as a difference, and from when to when. */

#include "watch/differ.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TOLD_BYTES = 1024 };

static const char *const fields[] = {"value"};
static const struct listing_shape shape = {.fields = fields, .field_count = 1};
static struct err err;

/* The snapshot between polls, and what the last poll told: "+a 1-2 " and the like. */
static struct listing snapshot;
static int64_t snapshot_ns;
static char told[TOLD_BYTES];
static enum err_kind refusal;

static int set_up(void **state)
{
	(void)state;
	listing_init(&snapshot, &shape);
	snapshot_ns = 0;
	refusal = ERR_NONE;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	listing_release(&snapshot);
	return 0;
}

static enum err_kind tell(void *arg, const struct change *c, struct err *e)
{
	const struct item *item = c->item;
	size_t len = strlen(told);

	(void)arg;
	assert_int_equal(c->kind == CHANGE_ADDED, c->before == NULL);
	assert_int_equal(c->kind == CHANGE_REMOVED, c->after == NULL);
	assert_ptr_equal(c->item, c->after ? c->after : c->before);
	(void)snprintf(told + len, sizeof(told) - len, "%c%.*s %d-%d ", "+~-"[c->kind],
		       (int)item -> key.len, item->key.data, (int)c->from_ns, (int)c->to_ns);
	return refusal ? err_set(e, refusal, "no") : ERR_NONE;
}

/* "a=1 b=2": an answer of Fly's; "..." before it: a part of one. */
static enum err_kind poll(const char *answer, int64_t now_ns)
{
	const struct differ d = {.take = tell};
	const struct dated before = {.list = &snapshot, .ns = snapshot_ns};
	bool part = strncmp(answer, "...", 3) == 0;
	struct dated after = {.ns = now_ns, .part = part};
	struct listing now, next;
	struct item *item;
	enum err_kind rc;

	told[0] = '\0';
	listing_init(&now, &shape);
	listing_init(&next, &shape);
	for (const char *p = answer + (part ? 3 : 0); *p != '\0';
	     p += strcspn(p, " "), p += *p == ' ') {
		assert_int_equal(listing_add(&now, span_of(p, 1), &item, &err), ERR_NONE);
		assert_int_equal(listing_set(&now, item, 0, span_of(p + 2, 1), &err), ERR_NONE);
	}
	assert_int_equal(listing_end(&now, &err), ERR_NONE);
	after.list = &now;
	rc = differ_run(&d, &before, &after, &next, &err);
	listing_release(&now);
	if (rc) {
		listing_release(&next);
		return rc;
	}
	listing_release(&snapshot);
	snapshot = next;
	if (!part)
		snapshot_ns = now_ns;
	return ERR_NONE;
}

static void assert_told(const char *answer, int64_t now_ns, const char *expected)
{
	assert_int_equal(poll(answer, now_ns), ERR_NONE);
	assert_string_equal(told, expected);
}

static void what_is_new_and_what_is_other_is_told_once_in_order(void **state)
{
	(void)state;
	assert_told("b=1 a=1", 1, "+a 0-1 +b 0-1 ");
	assert_told("a=1 b=1", 2, "");
	assert_told("c=1 a=1 b=2", 3, "~b 2-3 +c 2-3 ");
	assert_told("a=1 b=2 c=1", 4, "");
}

static void what_two_answers_lack_is_gone_since_the_first_of_them(void **state)
{
	(void)state;
	assert_told("a=1 b=1", 1, "+a 0-1 +b 0-1 ");
	assert_told("a=1", 2, "");
	assert_told("a=1", 5, "-b 1-2 ");
	assert_told("a=1", 6, "");
	assert_told("", 7, "");
	assert_told("", 8, "-a 6-7 ");
	assert_int_equal(snapshot.count, 0);
}

static void an_answer_that_was_short_once_is_no_removal(void **state)
{
	(void)state;
	assert_told("a=1 b=1", 1, "+a 0-1 +b 0-1 ");
	assert_told("", 2, "");
	assert_told("a=1 b=1", 3, "");
	assert_told("b=1", 4, "");
	assert_told("b=1", 5, "-a 3-4 ");
}

static void what_comes_back_as_another_has_changed_since_it_was_seen(void **state)
{
	(void)state;
	assert_told("a=1", 1, "+a 0-1 ");
	assert_told("", 2, "");
	assert_told("a=2", 3, "~a 1-3 ");
}

static void what_a_part_of_an_answer_lacks_is_as_it_was(void **state)
{
	(void)state;
	assert_told("a=1 b=1 c=1", 1, "+a 0-1 +b 0-1 +c 0-1 ");
	assert_told("...b=2 d=1", 2, "~b 1-2 +d 1-2 ");
	assert_told("...", 3, "");
	assert_told("a=1 b=2 c=1 d=1", 4, "");
	assert_told("a=1 b=2 c=1", 5, "");
	assert_told("...", 6, "");
	assert_told("a=1 b=2 c=1", 7, "-d 4-5 ");
}

static void a_change_that_is_refused_ends_it_and_comes_again(void **state)
{
	(void)state;
	assert_told("a=1", 1, "+a 0-1 ");
	refusal = ERR_RETRY;
	assert_int_equal(poll("a=2 b=1", 2), ERR_RETRY);
	assert_string_equal(told, "~a 1-2 ");
	refusal = ERR_NONE;
	assert_told("a=2 b=1", 2, "~a 1-2 +b 1-2 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_is_new_and_what_is_other_is_told_once_in_order),
		TEST(what_two_answers_lack_is_gone_since_the_first_of_them),
		TEST(an_answer_that_was_short_once_is_no_removal),
		TEST(what_comes_back_as_another_has_changed_since_it_was_seen),
		TEST(what_a_part_of_an_answer_lacks_is_as_it_was),
		TEST(a_change_that_is_refused_ends_it_and_comes_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
