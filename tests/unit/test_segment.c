/* Segments on disk: what rot, cuts and strangers do to them, and what is found of them again. */

#include "fault.h"
#include "scratch.h"
#include "spool_kit.h"

#include "spool/segment.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN_PATH "tests/data/segment-v1.bin"

enum {
	PAYLOAD_BYTES = 5,
	FRAME_BYTES = FRAME_OVERHEAD_BYTES + PAYLOAD_BYTES,
	COMMIT_END_BYTES = 12, /* its CRC and its count: four of them are not zero */
	GROUP_COUNT = 3,
	FRAME_COUNT = 5, /* groups of 2, 1 and 2 frames */
	USED_BYTES =
		SEGMENT_HEADER_BYTES + FRAME_COUNT * FRAME_BYTES + GROUP_COUNT * COMMIT_FRAME_BYTES,
};

static const size_t group_frames[GROUP_COUNT] = {2, 1, 2};

/* The segment as the disk has it: what is used of it; the rest is zero. */
struct image {
	uint8_t bytes[USED_BYTES];
	struct segment_header header;
};

static void make_image(struct image *m)
{
	struct frame_keys k;
	uint64_t seq = 0;
	size_t at = SEGMENT_HEADER_BYTES;

	m->header =
		(struct segment_header){.epoch = 1, .first_seq = 1, .first_ns = kit_observed_ns(1)};
	memcpy(m->header.salt, "0123456789abcdef", sizeof(m->header.salt));
	memset(m->header.uuid.bytes, 0x42, sizeof(m->header.uuid.bytes));
	k = frame_keys_from(m->header.salt);
	segment_header_encode(&m->header, m->bytes);
	for (size_t g = 0; g < GROUP_COUNT; g++) {
		struct commit c = {.start = at, .count = group_frames[g]};

		for (size_t i = 0; i < group_frames[g]; i++) {
			uint64_t now = ++seq;
			struct frame f = {.kind = FRAME_RECORD,
					  .seq = now,
					  .observed_ns = kit_observed_ns(now),
					  .payload = kit_payload(now, PAYLOAD_BYTES)};

			frame_encode(&k, &f, m->bytes + at);
			at += FRAME_BYTES;
		}
		c.end = at + COMMIT_FRAME_BYTES;
		commit_encode(&k, &c, seq, kit_observed_ns(seq), m->bytes + at);
		at += COMMIT_FRAME_BYTES;
	}
	assert_int_equal(at, USED_BYTES);
}

/* The frame that byte is in; 0: in the header or a commit. */
static uint64_t frame_at(size_t byte)
{
	size_t at = SEGMENT_HEADER_BYTES;
	uint64_t seq = 0;

	for (size_t g = 0; g < GROUP_COUNT; g++) {
		for (size_t i = 0; i < group_frames[g]; i++, at += FRAME_BYTES) {
			seq++;
			if (byte >= at && byte < at + FRAME_BYTES)
				return seq;
		}
		at += COMMIT_FRAME_BYTES;
	}
	return 0;
}

/* Puts the first len bytes of the image into a folder as its only segment. */
static void put_image(const char *folder, const struct image *m, size_t len, size_t file_len)
{
	struct segment_path path = segment_path(folder, 1);
	struct err err = {0};
	int fd = open(path.text, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(file_write_at(fd, m->bytes, len, 0, &err), ERR_NONE);
	assert_int_equal(file_truncate(fd, file_len, &err), ERR_NONE);
	file_close(&fd);
}

static void forget_quarantine(const struct scratch *dir)
{
	char folder[PATH_MAX];
	struct segment_path path;

	(void)snprintf(folder, sizeof(folder), "%s/quarantine", dir->path);
	path = segment_path(folder, 1);
	(void)unlink(path.text);
}

static bool in_quarantine(const struct scratch *dir)
{
	char folder[PATH_MAX];
	struct segment_path path;

	(void)snprintf(folder, sizeof(folder), "%s/quarantine", dir->path);
	path = segment_path(folder, 1);
	return access(path.text, F_OK) == 0;
}

static void check_flipped(const struct scratch *dir, size_t bit)
{
	bool header = bit / 8 < SEGMENT_HEADER_BYTES;
	uint64_t lost_first = header ? 1 : frame_at(bit / 8);
	uint64_t lost_last = header ? FRAME_COUNT : lost_first;
	struct spool *s = kit_open(dir->path);
	struct spool_stats st;
	struct kit_read r;

	kit_read_all(s, 0, &r);
	spool_stats(s, &st);
	if (st.damage_count == 0 || !kit_is_range(&r, 1, FRAME_COUNT, lost_first, lost_last))
		fail_msg("bit %zu: %zu read, damage_count %" PRIu64, bit, r.count, st.damage_count);
	assert_int_equal(r.damage_count, lost_first != 0);
	if (lost_first != 0) {
		assert_int_equal(r.damages[0].first_seq, lost_first);
		assert_int_equal(r.damages[0].last_seq, lost_last);
	}
	if (lost_first > 1)
		assert_true(r.damages[0].from_ns == kit_observed_ns(lost_first - 1));
	if (lost_first != 0 && lost_last < FRAME_COUNT)
		assert_true(r.damages[0].to_ns == kit_observed_ns(lost_last + 1));
	assert_int_equal(st.accepted_seq, FRAME_COUNT);
	spool_close(s);
	assert_true(in_quarantine(dir));
}

/* A folder whose stream is the image's. */
static void make_folder(struct scratch *dir, struct image *m)
{
	scratch_make(dir);
	make_image(m);
	put_image(dir->path, m, USED_BYTES, SPOOL_SEGMENT_BYTES);
	spool_close(kit_open(dir->path));
}

static void every_flipped_bit_is_noticed_and_costs_no_neighbour(void **state)
{
	struct scratch dir;
	struct image m;

	(void)state;
	make_folder(&dir, &m);
	for (size_t bit = 0; bit < (size_t)USED_BYTES * 8; bit++) {
		m.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		put_image(dir.path, &m, USED_BYTES, USED_BYTES);
		check_flipped(&dir, bit);
		forget_quarantine(&dir);
		m.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	scratch_remove(&dir);
}

/* Frames of the groups whose commit is wholly within len bytes. */
static uint64_t committed_within(size_t len)
{
	size_t at = SEGMENT_HEADER_BYTES;
	uint64_t seq = 0;

	for (size_t g = 0; g < GROUP_COUNT; g++) {
		at += group_frames[g] * FRAME_BYTES + COMMIT_FRAME_BYTES;
		if (at > len)
			break;
		seq += group_frames[g];
	}
	return seq;
}

static size_t end_of_commits(size_t len)
{
	size_t at = SEGMENT_HEADER_BYTES, end = at;

	for (size_t g = 0; g < GROUP_COUNT; g++) {
		at += group_frames[g] * FRAME_BYTES + COMMIT_FRAME_BYTES;
		if (at <= len)
			end = at;
	}
	return end;
}

/* A torn tail that is only ignored could come back behind a shorter group. */
static void check_zero_from(const struct scratch *dir, size_t from)
{
	static const uint8_t zero[USED_BYTES];
	struct segment_path path = segment_path(dir->path, 1);
	uint8_t bytes[USED_BYTES];
	struct err err = {0};
	size_t got = 0;
	int fd = -1;

	assert_int_equal(file_open(&fd, path.text, FILE_READ, &err), ERR_NONE);
	assert_int_equal(file_read_at(fd, bytes, sizeof(bytes), from, &got, &err), ERR_NONE);
	assert_int_equal(got, sizeof(bytes));
	assert_memory_equal(bytes, zero, sizeof(bytes));
	file_close(&fd);
}

/* file_len: what a crash leaves is cut short, or has zeros where nothing was written yet. */
static void check_prefix(const struct scratch *dir, const struct image *m, size_t len,
			 size_t file_len)
{
	uint64_t whole = committed_within(len);
	struct spool_stats st;
	struct kit_read r;
	struct spool *s;

	put_image(dir->path, m, len, file_len);
	s = kit_open(dir->path);
	kit_read_all(s, 0, &r);
	spool_stats(s, &st);
	if (!kit_is_range(&r, 1, whole, 0, 0) || r.damage_count != 0)
		fail_msg("%zu bytes: %zu read, %zu damages", len, r.count, r.damage_count);
	check_zero_from(dir, end_of_commits(len));
	assert_true((st.torn_bytes > 0) == (len > end_of_commits(len)));
	kit_append(s, 2, PAYLOAD_BYTES); /* the torn numbers were never accepted: used again */
	kit_commit(s);
	spool_close(s);

	s = kit_open(dir->path);
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, whole + 2, 0, 0));
	spool_stats(s, &st);
	assert_true(st.torn_bytes == 0 && st.damage_count == 0);
	spool_close(s);
}

static void every_prefix_keeps_its_commits_and_loses_its_torn_tail(void **state)
{
	size_t first = SEGMENT_HEADER_BYTES + 2 * FRAME_BYTES + COMMIT_FRAME_BYTES;
	struct scratch dir;
	struct image m;

	(void)state;
	make_folder(&dir, &m);
	for (size_t len = first; len <= USED_BYTES; len++)
		check_prefix(&dir, &m, len, len);
	scratch_remove(&dir);
}

static void a_tail_torn_anywhere_before_zeros_is_cut(void **state)
{
	size_t first = SEGMENT_HEADER_BYTES + 2 * FRAME_BYTES + COMMIT_FRAME_BYTES;
	struct scratch dir;
	struct image m;

	(void)state;
	make_folder(&dir, &m);
	/* But for the last bytes of a commit: whether they were torn or rotted, the frames are
	 * whole, and are kept. */
	for (size_t len = first; len <= USED_BYTES; len++)
		if (committed_within(len) == committed_within(len + COMMIT_END_BYTES))
			check_prefix(&dir, &m, len, SPOOL_SEGMENT_BYTES);
	scratch_remove(&dir);
}

/* A named segment had a commit once. Without one it is damage, and its numbers stay used. */
static void a_segment_cut_before_its_first_commit_is_lost_and_told(void **state)
{
	size_t first = SEGMENT_HEADER_BYTES + 2 * FRAME_BYTES + COMMIT_FRAME_BYTES;
	struct scratch dir;
	struct image m;

	(void)state;
	scratch_make(&dir);
	make_image(&m);
	for (size_t len = 0; len < first; len++) {
		struct spool_stats st;
		struct kit_read r;
		struct spool *s;

		scratch_remove(&dir);
		make_folder(&dir, &m);
		put_image(dir.path, &m, len, len);
		s = kit_open(dir.path);
		kit_append(s, 1, PAYLOAD_BYTES);
		kit_commit(s);
		spool_stats(s, &st);
		kit_read_all(s, 0, &r);
		assert_int_equal(r.count, 1);
		assert_int_equal(r.damage_count, 1);
		assert_int_equal(r.damages[0].first_seq, 1);
		assert_int_equal(r.damages[0].last_seq, st.accepted_seq - 1);
		spool_close(s);
		assert_true(in_quarantine(&dir));
	}
	scratch_remove(&dir);
}

/* The salt is gone, so is every frame; the numbers are known from the frames' places. */
static void numbers_of_a_lost_segment_are_never_used_again(void **state)
{
	struct scratch dir;
	struct image m;

	(void)state;
	make_folder(&dir, &m);
	m.bytes[60] ^= 1;
	put_image(dir.path, &m, USED_BYTES, SPOOL_SEGMENT_BYTES);
	for (int again = 0; again < 3; again++) {
		struct spool *s = kit_open(dir.path);
		struct spool_stats st;

		spool_stats(s, &st);
		assert_int_equal(st.accepted_seq, FRAME_COUNT);
		spool_close(s);
	}
	scratch_remove(&dir);
}

static enum err_kind open_with(const struct scratch *dir, struct err *err)
{
	struct spool_options options = {
		.folder = dir->path,
		.max_bytes = (uint64_t)SPOOL_SEGMENTS_MIN * SPOOL_SEGMENT_BYTES,
	};
	struct spool *s = NULL;
	enum err_kind rc = spool_open(&s, &options, err);

	if (!rc)
		spool_close(s);
	return rc;
}

static void a_segment_of_another_stream_is_refused_with_a_sentence(void **state)
{
	struct scratch dir;
	struct image m;
	struct err err = {0};

	(void)state;
	make_folder(&dir, &m);
	m.header.uuid.bytes[0] ^= 0xff;
	segment_header_encode(&m.header, m.bytes);
	put_image(dir.path, &m, USED_BYTES, SPOOL_SEGMENT_BYTES);
	assert_int_equal(open_with(&dir, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "another stream"));
	scratch_remove(&dir);
}

static void a_segment_of_a_newer_format_is_refused_with_a_sentence(void **state)
{
	/* The golden header with version 2, and the CRC that goes with it. */
	static const char header_v2[] = "tests/data/segment-v2-header.bin";
	struct scratch dir;
	struct image m;
	struct err err = {0};
	struct buf bytes;

	(void)state;
	make_folder(&dir, &m);
	buf_init(&bytes, SEGMENT_HEADER_BYTES);
	assert_int_equal(file_read_all(header_v2, &bytes, &err), ERR_NONE);
	assert_int_equal(bytes.len, SEGMENT_HEADER_BYTES);
	memcpy(m.bytes, bytes.data, bytes.len);
	buf_release(&bytes);
	put_image(dir.path, &m, USED_BYTES, SPOOL_SEGMENT_BYTES);
	assert_int_equal(open_with(&dir, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "format version 2"));
	scratch_remove(&dir);
}

static void the_golden_file_of_version_1_is_read_and_written_for_ever(void **state)
{
	struct err err = {0};
	struct scratch dir;
	struct kit_read r;
	struct image m;
	struct spool *s;
	struct buf bytes;

	(void)state;
	make_image(&m);
	buf_init(&bytes, USED_BYTES);
	assert_int_equal(file_read_all(GOLDEN_PATH, &bytes, &err), ERR_NONE);
	assert_int_equal(bytes.len, USED_BYTES);
	assert_memory_equal(bytes.data, m.bytes, USED_BYTES);
	scratch_make(&dir);
	memcpy(m.bytes, bytes.data, USED_BYTES);
	put_image(dir.path, &m, USED_BYTES, SPOOL_SEGMENT_BYTES);
	s = kit_open(dir.path);
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, FRAME_COUNT, 0, 0));
	assert_int_equal(r.damage_count, 0);
	spool_close(s);
	buf_release(&bytes);
	scratch_remove(&dir);
}

static void only_a_segment_has_a_segments_name(void **state)
{
	static const char *const strangers[] = {
		"",
		"1.seg",
		"next",
		"0000000000000000000a.seg",
		"lock",
		"00000000000000000001.segment",
		"stream",
		"000000000000000000001.seg",
		".seg",
		"99999999999999999999.seg",
		"00000000000000000000.seg",
	};
	uint64_t seq = 0;

	(void)state;
	assert_true(segment_parse_name("00000000000000000042.seg", &seq));
	assert_true(seq == 42);
	assert_true(segment_parse_name("18446744073709551615.seg", &seq));
	assert_true(seq == UINT64_MAX);
	for (size_t i = 0; i < ARRAY_LEN(strangers); i++)
		assert_false(segment_parse_name(strangers[i], &seq));
}

/* Thousands of spools are opened here; waiting for a disk would take most of the time. */
static int no_sync(int fd)
{
	(void)fd;
	return 0;
}

int main(void)
{
	static const struct fault_disk disk = {.fdatasync = no_sync, .fsync = no_sync};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_flipped_bit_is_noticed_and_costs_no_neighbour),
		cmocka_unit_test(every_prefix_keeps_its_commits_and_loses_its_torn_tail),
		cmocka_unit_test(a_tail_torn_anywhere_before_zeros_is_cut),
		cmocka_unit_test(a_segment_cut_before_its_first_commit_is_lost_and_told),
		cmocka_unit_test(numbers_of_a_lost_segment_are_never_used_again),
		cmocka_unit_test(a_segment_of_another_stream_is_refused_with_a_sentence),
		cmocka_unit_test(a_segment_of_a_newer_format_is_refused_with_a_sentence),
		cmocka_unit_test(the_golden_file_of_version_1_is_read_and_written_for_ever),
		cmocka_unit_test(only_a_segment_has_a_segments_name),
	};

	fault_set_disk(&disk);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
