/* One member goes in and comes out, within its bounds, and nothing else is taken for one. */
#include "base/gzip.h"

#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LARGE_BYTES = 300 * 1000 };

/* Of "hello\n", by gzip 1.12 -n -9. */
static const uint8_t by_gzip[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
				  0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xe7, 0x02, 0x00,
				  0x20, 0x30, 0x3a, 0x36, 0x06, 0x00, 0x00, 0x00};
static char large[LARGE_BYTES];
static struct buf out, back;

static int set_up(void **state)
{
	uint32_t seed = 7;

	(void)state;
	buf_init(&out, 1024 * 1024);
	buf_init(&back, 1024 * 1024);
	for (size_t i = 0; i < sizeof(large); i++) { /* words that come again and noise */
		seed = seed * 1664525 + 1013904223;
		large[i] = (char)(i % 64 < 40 ? 'a' + i % 7 : seed >> 24);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_release(&out);
	buf_release(&back);
	return 0;
}

static void write_member(struct gzip_writer *w, struct span bytes, size_t piece)
{
	struct err err;

	gzip_writer_begin(w, &out);
	for (size_t at = 0; at < bytes.len; at += piece)
		gzip_writer_add(w, span_of(bytes.data + at,
					   bytes.len - at < piece ? bytes.len - at : piece));
	assert_int_equal(gzip_writer_end(w, &err), ERR_NONE);
}

static void what_is_written_comes_back(void **state)
{
	static const size_t lengths[] = {0, 1, 350, 65535, LARGE_BYTES};
	struct gzip_writer *w = NULL;
	struct err err;

	(void)state;
	assert_int_equal(gzip_writer_new(&w, &err), ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct span bytes = span_of(large, lengths[i]);

		buf_reset(&out);
		buf_reset(&back);
		write_member(w, bytes, 777);
		assert_int_equal(gzip_read(span_of(out.data, out.len), &back, &err), ERR_NONE);
		assert_true(span_equal(span_of(back.data, back.len), bytes));
	}
	gzip_writer_free(w);
}

/* The same object is made again after a crash. */
static void the_same_bytes_make_the_same_member(void **state)
{
	struct gzip_writer *w = NULL;
	struct err err;
	size_t len;

	(void)state;
	assert_int_equal(gzip_writer_new(&w, &err), ERR_NONE);
	write_member(w, SPAN("what was before is of no matter"), 5);
	buf_reset(&out);
	write_member(w, span_of(large, sizeof(large)), 777);
	len = out.len;
	write_member(w, span_of(large, sizeof(large)), 777); /* behind it */
	assert_int_equal(out.len, 2 * len);
	assert_memory_equal(out.data, out.data + len, len);
	gzip_writer_free(w);
}

static void a_writer_never_writes_beyond_the_ceiling(void **state)
{
	struct gzip_writer *w = NULL;
	struct err err;

	(void)state;
	assert_int_equal(gzip_writer_new(&w, &err), ERR_NONE);
	out.max = 1000;
	gzip_writer_begin(w, &out);
	gzip_writer_add(w, span_of(large, sizeof(large)));
	gzip_writer_add(w, SPAN("more"));
	assert_int_equal(gzip_writer_end(w, &err), ERR_FULL);
	assert_true(out.len <= 1000);
	gzip_writer_free(w);
}

static void what_gzip_makes_is_read(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(gzip_read(span_of(by_gzip, sizeof(by_gzip)), &back, &err), ERR_NONE);
	assert_string_equal(back.data, "hello\n");
}

static void a_part_of_a_member_is_none(void **state)
{
	struct err err;

	(void)state;
	for (size_t len = 0; len < sizeof(by_gzip); len++) {
		buf_reset(&back);
		assert_int_equal(gzip_read(span_of(by_gzip, len), &back, &err), ERR_REJECT);
		assert_int_equal(err.kind, ERR_REJECT);
	}
}

static void no_byte_of_a_member_can_change(void **state)
{
	/* The header's time, flags of no meaning and the system's name are nobody's proof. */
	static const size_t free_from = 3, free_to = 9;
	uint8_t damaged[sizeof(by_gzip)];
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(by_gzip); i++) {
		if (i >= free_from && i <= free_to)
			continue;
		memcpy(damaged, by_gzip, sizeof(damaged));
		damaged[i] ^= 0x01;
		buf_reset(&back);
		assert_int_not_equal(gzip_read(span_of(damaged, sizeof(damaged)), &back, &err),
				     ERR_NONE);
	}
}

static void a_second_member_is_refused(void **state)
{
	uint8_t two[2 * sizeof(by_gzip)];
	struct err err;

	(void)state;
	memcpy(two, by_gzip, sizeof(by_gzip));
	memcpy(two + sizeof(by_gzip), by_gzip, sizeof(by_gzip));
	assert_int_equal(gzip_read(span_of(two, sizeof(two)), &back, &err), ERR_REJECT);
	buf_reset(&back);
	assert_int_equal(gzip_read(span_of(two, sizeof(by_gzip) + 1), &back, &err), ERR_REJECT);
}

static void a_bomb_ends_at_the_ceiling(void **state)
{
	static const char zeros[LARGE_BYTES];
	struct gzip_writer *w = NULL;
	struct err err;

	(void)state;
	assert_int_equal(gzip_writer_new(&w, &err), ERR_NONE);
	gzip_writer_begin(w, &out);
	for (unsigned i = 0; i < 20; i++)
		gzip_writer_add(w, span_of(zeros, sizeof(zeros)));
	assert_int_equal(gzip_writer_end(w, &err), ERR_NONE);
	gzip_writer_free(w);
	back.max = 100 * 1000;
	assert_int_equal(gzip_read(span_of(out.data, out.len), &back, &err), ERR_FULL);
	assert_true(back.len <= back.max);
}

static void all_of_it(void *arg)
{
	struct gzip_writer *w = NULL;
	struct err err;
	enum err_kind rc = gzip_writer_new(&w, &err);

	(void)arg;
	buf_release(&out);
	buf_release(&back);
	if (!rc) {
		gzip_writer_begin(w, &out);
		gzip_writer_add(w, span_of(large, sizeof(large)));
		rc = gzip_writer_end(w, &err);
	}
	if (!rc)
		rc = gzip_read(span_of(out.data, out.len), &back, &err);
	gzip_writer_free(w);
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
	if (rc == ERR_NONE)
		assert_int_equal(back.len, sizeof(large));
}

static void no_allocation_is_taken_for_granted(void **state)
{
	(void)state;
	fault_everywhere(all_of_it, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_is_written_comes_back),
		TEST(the_same_bytes_make_the_same_member),
		TEST(a_writer_never_writes_beyond_the_ceiling),
		TEST(what_gzip_makes_is_read),
		TEST(a_part_of_a_member_is_none),
		TEST(no_byte_of_a_member_can_change),
		TEST(a_second_member_is_refused),
		TEST(a_bomb_ends_at_the_ceiling),
		TEST(no_allocation_is_taken_for_granted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
