/* What a list of Fly's holds, and that a snapshot gives it back. */

#include "watch/listing.h"

#include "base/json.h"

#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { KEY_BYTES = 32 };

static const char *const fields[] = {"role", "since"};
static const struct listing_shape shape = {.fields = fields, .field_count = ARRAY_LEN(fields)};
static struct err err;

static struct item *add(struct listing *l, const char *key, const char *role)
{
	struct item *item = NULL;

	assert_int_equal(listing_add(l, span_text(key), &item, &err), ERR_NONE);
	assert_int_equal(listing_set(l, item, 0, span_text(role), &err), ERR_NONE);
	return item;
}

static enum err_kind read_text(struct listing *l, const char *text)
{
	listing_init(l, &shape);
	return listing_read(l, span_text(text), &err);
}

static void items_come_in_the_order_of_their_keys(void **state)
{
	struct listing l;

	(void)state;
	listing_init(&l, &shape);
	(void)add(&l, "b", "1");
	(void)add(&l, "aa", "2");
	(void)add(&l, "a", "3");
	assert_int_equal(listing_end(&l, &err), ERR_NONE);
	assert_true(span_is(l.items[0].key, "a") && span_is(l.items[0].values[0], "3"));
	assert_true(span_is(l.items[1].key, "aa"));
	assert_true(span_is(l.items[2].key, "b"));
	(void)add(&l, "aa", "4");
	assert_int_equal(listing_end(&l, &err), ERR_REJECT);
	listing_release(&l);
}

static void of_one_name_the_first_stays_and_the_list_is_a_part(void **state)
{
	struct listing l;
	char key[KEY_BYTES], role[KEY_BYTES];

	(void)state;
	listing_init(&l, &shape);
	for (int i = 0; i < LISTING_ITEMS_MAX; i++) {
		(void)snprintf(key, sizeof(key), "%d", i % 7);
		(void)snprintf(role, sizeof(role), "%d", i);
		(void)add(&l, key, role);
	}
	assert_false(l.part);
	assert_int_equal(listing_end(&l, &err), ERR_REJECT);
	assert_true(l.part);
	assert_int_equal(l.count, 7);
	for (size_t i = 0; i < l.count; i++) {
		assert_true(span_equal(l.items[i].values[0], l.items[i].key));
		assert_int_equal(l.items[i].order, i);
	}
	assert_int_equal(listing_end(&l, &err), ERR_NONE);
	assert_true(l.part);
	listing_release(&l);
}

static void what_is_left_out_is_not_there_and_makes_a_part(void **state)
{
	struct listing l;

	(void)state;
	listing_init(&l, &shape);
	(void)add(&l, "b", "1");
	(void)add(&l, "a", "2");
	listing_skip(&l, 1);
	assert_true(l.part);
	assert_non_null(listing_added(&l, SPAN("b")));
	assert_null(listing_added(&l, SPAN("a")));
	(void)add(&l, "a", "3");
	assert_int_equal(listing_end(&l, &err), ERR_NONE);
	assert_int_equal(l.count, 2);
	assert_true(span_is(listing_find(&l, SPAN("a"))->values[0], "3"));
	assert_null(listing_find(&l, SPAN("aa")));
	listing_reset(&l);
	assert_false(l.part || l.full || l.count > 0);
	(void)add(&l, "c", "1");
	listing_release(&l);
}

static void what_is_kept_is_there(void **state)
{
	struct listing l, kept;
	struct item *item;

	(void)state;
	listing_init(&l, &shape);
	listing_init(&kept, &shape);
	item = add(&l, "a", "1");
	item->seen_ns = 1;
	item->missing_ns = 2;
	assert_int_equal(listing_keep(&kept, item, &err), ERR_NONE);
	assert_int_equal(kept.items[0].seen_ns, LISTING_NO_TIME);
	assert_int_equal(kept.items[0].missing_ns, LISTING_NO_TIME);
	assert_true(item_is_like(&kept.items[0], item, ARRAY_LEN(fields)));
	listing_release(&kept);
	listing_release(&l);
}

static void what_is_no_name_and_no_text_is_refused(void **state)
{
	static char key[LISTING_KEY_BYTES_MAX + 1];
	struct item *item;
	struct listing l;

	(void)state;
	memset(key, 'k', sizeof(key));
	listing_init(&l, &shape);
	assert_int_equal(listing_add(&l, SPAN(""), &item, &err), ERR_REJECT);
	assert_int_equal(listing_add(&l, SPAN("\xff"), &item, &err), ERR_REJECT);
	assert_int_equal(listing_add(&l, span_of(key, sizeof(key)), &item, &err), ERR_REJECT);
	assert_int_equal(listing_add(&l, span_of(key, sizeof(key) - 1), &item, &err), ERR_NONE);
	assert_int_equal(listing_set(&l, item, 0, SPAN("\xff"), &err), ERR_REJECT);
	assert_int_equal(listing_end(&l, &err), ERR_NONE);
	listing_release(&l);
}

static void a_list_has_its_bounds(void **state)
{
	static char value[1024 * 1024];
	enum err_kind rc = ERR_NONE;
	struct item *item = NULL;
	char key[KEY_BYTES];
	struct listing l;

	(void)state;
	memset(value, 'v', sizeof(value));
	listing_init(&l, &shape);
	for (int i = 0; i < LISTING_ITEMS_MAX; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(listing_add(&l, span_text(key), &item, &err), ERR_NONE);
	}
	assert_int_equal(listing_add(&l, SPAN("more"), &item, &err), ERR_REJECT);
	for (size_t i = 0; i <= LISTING_BYTES_MAX / sizeof(value) && !rc; i++)
		rc = listing_set(&l, item, 0, span_of(value, sizeof(value)), &err);
	assert_int_equal(rc, ERR_REJECT);
	assert_non_null(strstr(err.text, "16 MiB"));
	listing_release(&l);
}

static void a_snapshot_gives_back_what_was_written(void **state)
{
	struct listing l, back;
	struct item *item;
	struct buf out;

	(void)state;
	buf_init(&out, LISTING_JSON_BYTES_MAX);
	listing_init(&l, &shape);
	item = add(&l, "a\"\n\xc3\xa9", "x\\y");
	item->seen_ns = INT64_C(1777846458000000001);
	item->missing_ns = INT64_C(1777846459000000002);
	(void)add(&l, "b", "");
	assert_int_equal(listing_end(&l, &err), ERR_NONE);
	listing_write(&l, &out);
	assert_int_equal(buf_check(&out, &err), ERR_NONE);
	listing_init(&back, &shape);
	assert_int_equal(listing_read(&back, span_of(out.data, out.len), &err), ERR_NONE);
	assert_int_equal(back.count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(item_compare(&back.items[i], &l.items[i]), 0);
		assert_true(item_is_like(&back.items[i], &l.items[i], ARRAY_LEN(fields)));
		assert_int_equal(back.items[i].seen_ns, l.items[i].seen_ns);
		assert_int_equal(back.items[i].missing_ns, l.items[i].missing_ns);
	}
	listing_release(&back);
	listing_release(&l);
	buf_release(&out);
}

static void the_largest_snapshot_can_be_read(void **state)
{
	static const char *const many[LISTING_FIELDS_MAX] = {
		"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"};
	static const struct listing_shape wide = {.fields = many,
						  .field_count = LISTING_FIELDS_MAX};
	struct listing l, back;
	char key[KEY_BYTES];
	struct item *item;
	struct buf out;

	(void)state;
	buf_init(&out, LISTING_JSON_BYTES_MAX);
	listing_init(&l, &wide);
	for (int i = 0; i < LISTING_ITEMS_MAX; i++) {
		(void)snprintf(key, sizeof(key), "%d", i);
		assert_int_equal(listing_add(&l, span_text(key), &item, &err), ERR_NONE);
		for (size_t f = 0; f < LISTING_FIELDS_MAX; f++)
			assert_int_equal(listing_set(&l, item, f, SPAN("v"), &err), ERR_NONE);
		item->seen_ns = item->missing_ns = 1;
	}
	assert_int_equal(listing_end(&l, &err), ERR_NONE);
	listing_write(&l, &out);
	listing_init(&back, &wide);
	assert_int_equal(listing_read(&back, span_of(out.data, out.len), &err), ERR_NONE);
	assert_int_equal(back.count, LISTING_ITEMS_MAX);
	listing_release(&back);
	listing_release(&l);
	buf_release(&out);
}

static void fields_of_another_time_are_left_out_and_what_is_no_snapshot_is_refused(void **state)
{
	static const char *const bad[] = {"",
					  "[]",
					  "{\"a\":1}",
					  "{\"a\":{},\"a\":{}}",
					  "{\"\":{}}",
					  "{\"a\":{\"seen_at\":\"soon\"}}",
					  "{\"a\":{\"missing_at\":7}}",
					  "{\"a\":{}"};
	struct listing l;

	(void)state;
	assert_int_equal(read_text(&l, "{\"a\":{\"role\":\"x\",\"colour\":\"red\",\"since\":5}}"),
			 ERR_NONE);
	assert_true(span_is(l.items[0].values[0], "x"));
	assert_int_equal(l.items[0].values[1].len, 0);
	assert_int_equal(l.items[0].missing_ns, LISTING_NO_TIME);
	listing_release(&l);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(read_text(&l, bad[i]), ERR_REJECT);
		listing_release(&l);
	}
}

static void read_and_copy(void *arg)
{
	struct listing l, copy;
	struct item *item;
	enum err_kind rc;

	(void)arg;
	listing_init(&l, &shape);
	listing_init(&copy, &shape);
	rc = listing_read(&l, SPAN("{\"a\":{\"role\":\"x\"},\"b\":{\"since\":\"y\"}}"), &err);
	for (size_t i = 0; i < l.count && !rc; i++)
		rc = listing_copy(&copy, &l.items[i], &item, &err);
	if (rc)
		assert_int_equal(err.kind, ERR_FATAL);
	else
		assert_int_equal(copy.count, 2);
	listing_release(&copy);
	listing_release(&l);
}

static void want_of_memory_is_taken_for_nothing_else(void **state)
{
	(void)state;
	fault_everywhere(read_and_copy, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(items_come_in_the_order_of_their_keys),
		cmocka_unit_test(of_one_name_the_first_stays_and_the_list_is_a_part),
		cmocka_unit_test(what_is_left_out_is_not_there_and_makes_a_part),
		cmocka_unit_test(what_is_kept_is_there),
		cmocka_unit_test(what_is_no_name_and_no_text_is_refused),
		cmocka_unit_test(a_list_has_its_bounds),
		cmocka_unit_test(a_snapshot_gives_back_what_was_written),
		cmocka_unit_test(the_largest_snapshot_can_be_read),
		cmocka_unit_test(
			fields_of_another_time_are_left_out_and_what_is_no_snapshot_is_refused),
		cmocka_unit_test(want_of_memory_is_taken_for_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
