#include "model/id.h"

#include "base/bytes.h"
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { TEXT_BYTES_MAX = 1024 * 1024 };

static struct hasher *hasher;

static int make_hasher(void **state)
{
	struct err err;

	(void)state;
	return hasher_new(&hasher, &err) != ERR_NONE;
}

static int free_hasher(void **state)
{
	(void)state;
	hasher_free(hasher);
	return 0;
}

static struct id line_id(struct span app, struct span instance, struct span message, int64_t ns,
			 const struct id_extra *extra)
{
	struct id id;
	struct err err;

	const struct id_parts line = {
		.app = app,
		.instance = instance,
		.message = message,
		.occurred_ns = ns,
		.extra = extra,
	};

	assert_int_equal(id_line(hasher, &line, &id, &err), ERR_NONE);
	return id;
}

static void the_published_vector_comes_out(void **state)
{
	struct id id = line_id(SPAN("web-1"), SPAN("0e286551c30586"),
			       SPAN("machine exited with exit code 0, not restarting"),
			       1664310879660159411, NULL);
	char text[ID_TEXT_BYTES];

	(void)state;
	assert_string_equal(id_format(&id, text), "4718f5dc-5f98-830a-888b-c53ebf1e1bf5");
}

static void add_part(struct buf *b, struct span part)
{
	uint8_t len[4];

	put_u32_be(len, (uint32_t)part.len);
	buf_add(b, len, sizeof(len));
	buf_span(b, part);
}

/* The header's recipe, followed by the book. */
static struct id by_the_book(struct span message, const struct id_extra *extra)
{
	uint8_t number[8], digest[HASH_BYTES];
	struct err err;
	struct buf b;
	struct id id;

	buf_init(&b, TEXT_BYTES_MAX);
	buf_str(&b, "flytrail line 1\n");
	add_part(&b, SPAN("app"));
	add_part(&b, SPAN("instance"));
	add_part(&b, message);
	put_u64_be(number, (uint64_t)INT64_C(-2));
	buf_add(&b, number, sizeof(number));
	if (extra) {
		add_part(&b, extra->source);
		add_part(&b, extra->raw);
		put_u64_be(number, extra->ordinal);
		buf_add(&b, number, sizeof(number));
		put_u64_be(number, extra->file);
		if (extra->file)
			buf_add(&b, number, sizeof(number));
	}
	assert_int_equal(hasher_digest(hasher, span_of(b.data, b.len), digest, &err), ERR_NONE);
	buf_release(&b);
	memcpy(id.bytes, digest, ID_BYTES);
	id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x80);
	id.bytes[8] = (uint8_t)((id.bytes[8] & 0x1f) | (extra ? 0xa0 : 0x80));
	return id;
}

static void short_and_long_lines_follow_one_recipe(void **state)
{
	static char message[3000];

	(void)state;
	memset(message, 'm', sizeof(message));
	for (size_t len = 0; len < sizeof(message); len++) {
		struct span text = span_of(message, len);
		const struct id_extra extra = {SPAN("file"), SPAN("raw bytes"), UINT64_MAX,
					       len % 3};
		struct id plain = line_id(SPAN("app"), SPAN("instance"), text, -2, NULL);
		struct id more = line_id(SPAN("app"), SPAN("instance"), text, -2, &extra);
		struct id wanted = by_the_book(text, NULL);

		assert_int_equal(id_compare(&plain, &wanted), 0);
		wanted = by_the_book(text, &extra);
		assert_int_equal(id_compare(&more, &wanted), 0);
	}
}

static void moving_a_byte_between_fields_changes_the_id(void **state)
{
	struct id a = line_id(SPAN("ab"), SPAN("c"), SPAN(""), 0, NULL);
	struct id b = line_id(SPAN("a"), SPAN("bc"), SPAN(""), 0, NULL);
	struct id c = line_id(SPAN("ab"), SPAN(""), SPAN("c"), 0, NULL);
	struct id d = line_id(SPAN("ab"), SPAN("c"), SPAN(""), 1, NULL);

	(void)state;
	assert_int_not_equal(id_compare(&a, &b), 0);
	assert_int_not_equal(id_compare(&a, &c), 0);
	assert_int_not_equal(id_compare(&a, &d), 0);
}

static void an_inexact_line_is_told_apart_by_source_bytes_and_place(void **state)
{
	struct id_extra extra = {SPAN("file"), SPAN("x"), 1, 0};
	struct id plain = line_id(SPAN("a"), SPAN("b"), SPAN("c"), 0, NULL);
	struct id first = line_id(SPAN("a"), SPAN("b"), SPAN("c"), 0, &extra);
	struct id second, other, numbered;

	(void)state;
	extra.ordinal = 2;
	second = line_id(SPAN("a"), SPAN("b"), SPAN("c"), 0, &extra);
	extra.file = 7;
	numbered = line_id(SPAN("a"), SPAN("b"), SPAN("c"), 0, &extra);
	extra = (struct id_extra){SPAN("http"), SPAN("x"), 1, 0};
	other = line_id(SPAN("a"), SPAN("b"), SPAN("c"), 0, &extra);
	assert_int_not_equal(id_compare(&plain, &first), 0);
	assert_int_not_equal(id_compare(&first, &second), 0);
	assert_int_not_equal(id_compare(&first, &other), 0);
	assert_int_not_equal(id_compare(&second, &numbered), 0);
}

static void what_the_row_does_not_keep_is_told_by_one_digit(void **state)
{
	struct id_parts line = {.message = SPAN("m")};
	struct id kept, beyond;
	struct err err;

	(void)state;
	assert_int_equal(id_line(hasher, &line, &kept, &err), ERR_NONE);
	line.beyond_row = true;
	assert_int_equal(id_line(hasher, &line, &beyond, &err), ERR_NONE);
	assert_false(id_is_beyond_row(&kept));
	assert_true(id_is_beyond_row(&beyond));
	assert_int_equal(kept.bytes[8] ^ beyond.bytes[8], 0x20);
	beyond.bytes[8] = kept.bytes[8];
	assert_int_equal(id_compare(&kept, &beyond), 0);
}

static void a_fact_has_the_id_of_its_parts(void **state)
{
	const struct span parts[] = {SPAN("a"), SPAN(""), SPAN("b")};
	struct id three, again, two;
	struct err err;

	(void)state;
	assert_int_equal(id_event(hasher, parts, 3, &three, &err), ERR_NONE);
	assert_int_equal(id_event(hasher, parts, 3, &again, &err), ERR_NONE);
	assert_int_equal(id_event(hasher, parts, 2, &two, &err), ERR_NONE);
	assert_int_equal(id_compare(&three, &again), 0);
	assert_int_not_equal(id_compare(&three, &two), 0);
	assert_int_equal(three.bytes[6] >> 4, 8);
	assert_int_equal(three.bytes[8] >> 6, 2);
	assert_true(id_is_beyond_row(&three));
}

static void random_ids_are_version_4_and_differ(void **state)
{
	struct id a, b;
	struct err err;

	(void)state;
	assert_int_equal(id_random(&a, &err), ERR_NONE);
	assert_int_equal(id_random(&b, &err), ERR_NONE);
	assert_int_not_equal(id_compare(&a, &b), 0);
	assert_int_equal(a.bytes[6] >> 4, 4);
	assert_int_equal(a.bytes[8] >> 6, 2);
}

static void text_reads_back_and_nothing_else_does(void **state)
{
	static const char *const bad[] = {
		"",
		"4718f5dc-5f98-830a-888b-c53ebf1e1bf",
		"4718f5dc-5f98-830a-888b-c53ebf1e1bf50",
		"4718f5dc05f98-830a-888b-c53ebf1e1bf5",
		"4718f5dg-5f98-830a-888b-c53ebf1e1bf5",
		"4718f5d-c5f98-830a-888b-c53ebf1e1bf5",
	};
	struct id id, again;
	char text[ID_TEXT_BYTES];

	(void)state;
	assert_true(id_parse(SPAN("4718F5DC-5f98-830a-888b-c53ebf1e1bf5"), &id));
	assert_string_equal(id_format(&id, text), "4718f5dc-5f98-830a-888b-c53ebf1e1bf5");
	assert_true(id_parse(span_text(text), &again));
	assert_int_equal(id_compare(&id, &again), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(id_parse(span_text(bad[i]), &again));
}

static void a_number_is_its_digits(void **state)
{
	char text[ID_NUMBER_BYTES];

	(void)state;
	assert_true(span_is(id_number(0, text), "0"));
	assert_true(span_is(id_number(INT64_MIN, text), "-9223372036854775808"));
	assert_true(span_is(id_number(INT64_MAX, text), "9223372036854775807"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_number_is_its_digits),
		cmocka_unit_test(the_published_vector_comes_out),
		cmocka_unit_test(short_and_long_lines_follow_one_recipe),
		cmocka_unit_test(moving_a_byte_between_fields_changes_the_id),
		cmocka_unit_test(an_inexact_line_is_told_apart_by_source_bytes_and_place),
		cmocka_unit_test(what_the_row_does_not_keep_is_told_by_one_digit),
		cmocka_unit_test(a_fact_has_the_id_of_its_parts),
		cmocka_unit_test(random_ids_are_version_4_and_differ),
		cmocka_unit_test(text_reads_back_and_nothing_else_does),
	};

	return cmocka_run_group_tests(tests, make_hasher, free_hasher);
}
