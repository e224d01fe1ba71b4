#include "spool/frame.h"
#include "spool/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t salt_a[FRAME_SALT_BYTES] = "salt of segment";
static const uint8_t salt_b[FRAME_SALT_BYTES] = "another salt...";

static const struct frame sample = {
	.kind = FRAME_RECORD,
	.seq = UINT64_C(0x0102030405060708),
	.observed_ns = INT64_C(1750000000123456789),
	.payload = {"machine web-1 exited", 20},
};

enum { SAMPLE_BYTES = FRAME_OVERHEAD_BYTES + 20 };

static void a_frame_comes_back_as_it_was(void **state)
{
	struct frame_keys k = frame_keys_from(salt_a);
	uint8_t bytes[SAMPLE_BYTES];
	struct frame f;
	size_t used;

	(void)state;
	frame_encode(&k, &sample, bytes);
	assert_int_equal(frame_decode(&k, bytes, sizeof(bytes), &f, &used), FRAME_WHOLE);
	assert_int_equal(used, SAMPLE_BYTES);
	assert_int_equal(f.kind, FRAME_RECORD);
	assert_true(f.seq == sample.seq);
	assert_true(f.observed_ns == sample.observed_ns);
	assert_true(span_equal(f.payload, sample.payload));
}

static void every_flipped_bit_is_noticed(void **state)
{
	struct frame_keys k = frame_keys_from(salt_a);
	uint8_t bytes[SAMPLE_BYTES];
	struct frame f;
	size_t used;

	(void)state;
	frame_encode(&k, &sample, bytes);
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(frame_decode(&k, bytes, sizeof(bytes), &f, &used), FRAME_BAD);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void every_shorter_prefix_asks_for_more(void **state)
{
	struct frame_keys k = frame_keys_from(salt_a);
	uint8_t bytes[SAMPLE_BYTES];
	struct frame f;
	size_t used;

	(void)state;
	frame_encode(&k, &sample, bytes);
	for (size_t len = 0; len < sizeof(bytes); len++) {
		assert_int_equal(frame_decode(&k, bytes, len, &f, &used), FRAME_SHORT);
		assert_int_equal(used,
				 len < FRAME_HEADER_BYTES ? FRAME_HEADER_BYTES : SAMPLE_BYTES);
	}
}

static void a_frame_of_another_salt_is_none(void **state)
{
	struct frame_keys a = frame_keys_from(salt_a), b = frame_keys_from(salt_b);
	uint8_t bytes[SAMPLE_BYTES];
	struct frame f;
	size_t used;

	(void)state;
	frame_encode(&a, &sample, bytes);
	assert_int_equal(frame_decode(&b, bytes, sizeof(bytes), &f, &used), FRAME_BAD);
	memcpy(bytes, b.magic, FRAME_MAGIC_BYTES); /* nor with the right magic */
	assert_int_equal(frame_decode(&b, bytes, sizeof(bytes), &f, &used), FRAME_BAD);
}

static void a_commit_comes_back_as_it_was(void **state)
{
	struct frame_keys k = frame_keys_from(salt_a);
	struct commit c = {.start = 128, .end = 4242, .count = 7}, got;
	uint8_t bytes[COMMIT_FRAME_BYTES];
	struct frame f;
	size_t used;

	(void)state;
	commit_encode(&k, &c, 99, 5, bytes);
	assert_int_equal(frame_decode(&k, bytes, sizeof(bytes), &f, &used), FRAME_WHOLE);
	assert_int_equal(f.kind, FRAME_COMMIT);
	assert_true(f.seq == 99 && f.observed_ns == 5);
	got = commit_decode(&f);
	assert_true(got.start == c.start && got.end == c.end && got.count == c.count);
}

static void the_largest_payload_fits_and_is_read_back(void **state)
{
	struct frame_keys k = frame_keys_from(salt_a);
	char *payload = malloc(RECORD_PAYLOAD_BYTES_MAX);
	uint8_t *bytes = malloc(FRAME_BYTES_MAX);
	struct frame f = sample, got;
	size_t used;

	(void)state;
	assert_non_null(payload);
	assert_non_null(bytes);
	memset(payload, 'x', RECORD_PAYLOAD_BYTES_MAX);
	f.payload = span_of(payload, RECORD_PAYLOAD_BYTES_MAX);
	frame_encode(&k, &f, bytes);
	assert_int_equal(frame_decode(&k, bytes, FRAME_BYTES_MAX, &got, &used), FRAME_WHOLE);
	assert_true(span_equal(got.payload, f.payload));
	free(payload);
	free(bytes);
}

static void every_flipped_bit_of_a_header_is_noticed(void **state)
{
	struct segment_header h = {.epoch = 3, .first_seq = 77, .first_ns = 88}, got;
	uint8_t bytes[SEGMENT_HEADER_BYTES];

	(void)state;
	memcpy(h.salt, salt_a, sizeof(h.salt));
	memset(h.uuid.bytes, 0x5a, sizeof(h.uuid.bytes));
	segment_header_encode(&h, bytes);
	assert_true(segment_header_decode(bytes, &got));
	assert_true(got.version == SEGMENT_FORMAT_VERSION && got.epoch == 3);
	assert_true(got.first_seq == 77 && got.first_ns == 88);
	assert_memory_equal(got.salt, salt_a, sizeof(got.salt));
	assert_memory_equal(got.uuid.bytes, h.uuid.bytes, sizeof(got.uuid.bytes));
	for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_false(segment_header_decode(bytes, &got));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* Five frames of 10 bytes, seq 1..5, as they would stand behind a header. */
enum { RUN_FRAME_BYTES = FRAME_OVERHEAD_BYTES + 10, RUN_BYTES = 5 * RUN_FRAME_BYTES };

static void make_run(const struct frame_keys *k, uint8_t bytes[RUN_BYTES])
{
	for (uint64_t i = 0; i < 5; i++) {
		struct frame f = {FRAME_RECORD, i + 1, (int64_t)i, span_of("0123456789", 10), 0};

		frame_encode(k, &f, bytes + i * RUN_FRAME_BYTES);
	}
}

static void the_walk_goes_on_behind_damage_and_says_what_is_missing(void **state)
{
	struct frame_keys k = frame_keys_from(salt_a);
	uint8_t bytes[RUN_BYTES];
	struct walk w = {.keys = k, .next_seq = 1, .last_seq = 5, .bytes = bytes, .len = RUN_BYTES};
	struct walk_found found;

	(void)state;
	make_run(&k, bytes);
	memset(bytes + RUN_FRAME_BYTES, 0xff, 2 * RUN_FRAME_BYTES);
	assert_int_equal(walk_next(&w, &found), WALK_RECORD);
	assert_true(found.frame.seq == 1);
	assert_int_equal(walk_next(&w, &found), WALK_MISSING);
	assert_true(found.first_seq == 2 && found.last_seq == 3);
	assert_int_equal(walk_next(&w, &found), WALK_RECORD);
	assert_true(found.frame.seq == 4);
	assert_int_equal(walk_next(&w, &found), WALK_RECORD);
	assert_int_equal(walk_next(&w, &found), WALK_MORE);
	assert_true(w.bad == 1);
}

static void a_number_out_of_range_is_no_frame(void **state)
{
	struct frame_keys k = frame_keys_from(salt_a);
	uint8_t bytes[RUN_BYTES];
	struct walk w = {.keys = k, .next_seq = 3, .last_seq = 4, .bytes = bytes, .len = RUN_BYTES};
	struct walk_found found;

	(void)state;
	make_run(&k, bytes);
	assert_int_equal(walk_next(&w, &found), WALK_RECORD);
	assert_true(found.frame.seq == 3);
	assert_int_equal(walk_next(&w, &found), WALK_RECORD);
	assert_true(found.frame.seq == 4);
	assert_int_equal(walk_next(&w, &found), WALK_MORE);
}

/* What an application printed: whole frames of an older segment inside of a payload. */
static void frames_inside_of_a_payload_are_never_taken(void **state)
{
	struct frame_keys a = frame_keys_from(salt_a), b = frame_keys_from(salt_b);
	uint8_t inner[RUN_BYTES], outer[FRAME_OVERHEAD_BYTES + RUN_BYTES];
	struct frame f = {FRAME_RECORD, 1, 0, span_of(inner, RUN_BYTES), 0};
	struct walk w = {.keys = b, .next_seq = 1, .last_seq = 5, .bytes = outer};
	struct walk_found found;

	(void)state;
	make_run(&a, inner);
	frame_encode(&b, &f, outer);
	outer[0] ^= 1; /* the outer frame is damaged, so the walk searches through its payload */
	w.len = sizeof(outer);
	assert_int_equal(walk_next(&w, &found), WALK_MORE);
}

/* A window that ends anywhere changes nothing about what is found. */
static void windows_of_every_size_find_the_same(void **state)
{
	struct frame_keys k = frame_keys_from(salt_a);
	uint8_t bytes[RUN_BYTES];
	struct walk_found found;

	(void)state;
	make_run(&k, bytes);
	bytes[RUN_FRAME_BYTES + 3] ^= 4;
	for (size_t window = RUN_FRAME_BYTES; window < RUN_BYTES; window++) {
		struct walk w = {.keys = k, .next_seq = 1, .last_seq = 5};
		uint64_t records = 0, missing = 0;
		size_t offset = 0;

		while (offset < RUN_BYTES) {
			enum walk_step step;

			w.bytes = bytes + offset;
			w.len = RUN_BYTES - offset < window ? RUN_BYTES - offset : window;
			w.base = offset;
			w.pos = 0;
			while ((step = walk_next(&w, &found)) != WALK_MORE) {
				records += step == WALK_RECORD;
				missing += step == WALK_MISSING;
			}
			assert_true(w.pos > 0);
			offset += w.pos;
		}
		assert_int_equal(records, 4);
		assert_int_equal(missing, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_comes_back_as_it_was),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(every_shorter_prefix_asks_for_more),
		cmocka_unit_test(a_frame_of_another_salt_is_none),
		cmocka_unit_test(a_commit_comes_back_as_it_was),
		cmocka_unit_test(the_largest_payload_fits_and_is_read_back),
		cmocka_unit_test(every_flipped_bit_of_a_header_is_noticed),
		cmocka_unit_test(the_walk_goes_on_behind_damage_and_says_what_is_missing),
		cmocka_unit_test(a_number_out_of_range_is_no_frame),
		cmocka_unit_test(frames_inside_of_a_payload_are_never_taken),
		cmocka_unit_test(windows_of_every_size_find_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
