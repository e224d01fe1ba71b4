/* The spool as its users see it: appends, commits, readers, bounds. Crashes: test_spool_crash.c. */

#include "fault.h"
#include "scratch.h"
#include "spool_kit.h"

#include "base/time.h"
#include "spool/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	MIB = 1024 * 1024,
	BIG_BYTES = 1000 * 1000, /* some sixteen fill a segment */
};

static void nothing_is_read_before_it_is_accepted(void **state)
{
	struct scratch dir;
	struct spool_stats st;
	struct kit_read r;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 10, 100);
	kit_read_all(s, 0, &r);
	assert_int_equal(r.count, 0);
	spool_stats(s, &st);
	assert_true(st.appended_seq == 10 && st.accepted_seq == 0);
	kit_commit(s);
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, 10, 0, 0));
	kit_read_all(s, 7, &r);
	assert_true(kit_is_range(&r, 8, 10, 0, 0));
	spool_stats(s, &st);
	assert_true(st.accepted_seq == 10 && st.oldest_seq == 1 && !st.full);
	spool_close(s);
	scratch_remove(&dir);
}

static void what_was_not_accepted_is_gone_after_a_close_and_its_numbers_come_again(void **state)
{
	struct scratch dir;
	struct kit_read r;
	struct spool_stream first;
	struct spool_stream again;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	first = spool_stream(s);
	kit_append(s, 3, 50);
	kit_commit(s);
	kit_append(s, 3, 50);
	spool_close(s);
	s = kit_open(dir.path);
	again = spool_stream(s);
	assert_int_equal(id_compare(&first.uuid, &again.uuid), 0);
	assert_true(first.epoch == 1 && again.epoch == 1);
	kit_append(s, 2, 50);
	kit_commit(s);
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, 5, 0, 0));
	assert_int_equal(r.damage_count, 0);
	spool_close(s);
	scratch_remove(&dir);
}

static void a_folder_has_one_spool_at_a_time(void **state)
{
	struct spool_options options = {.max_bytes = 64 * MIB};
	struct spool *s, *other = NULL;
	struct scratch dir;
	struct err err = {0};

	(void)state;
	scratch_make(&dir);
	options.folder = dir.path;
	s = kit_open(dir.path);
	assert_int_equal(spool_open(&other, &options, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "another flytrail"));
	assert_null(other);
	spool_close(s);
	assert_int_equal(spool_open(&other, &options, &err), ERR_NONE);
	spool_close(other);
	options.max_bytes = 64 * MIB - 1;
	assert_int_equal(spool_open(&other, &options, &err), ERR_CONFIG);
	scratch_remove(&dir);
}

static void payloads_of_all_sizes_cross_segments_whole(void **state)
{
	static const size_t sizes[] = {1, RECORD_PAYLOAD_BYTES_MAX, 399, 7 * MIB, 1, MIB, 4 * MIB};
	struct scratch dir;
	struct spool_stats st;
	struct kit_read r;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		kit_append(s, 1, sizes[i]);
		kit_commit(s);
	}
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, ARRAY_LEN(sizes), 0, 0));
	spool_close(s);
	s = kit_open(dir.path);
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, ARRAY_LEN(sizes), 0, 0));
	assert_int_equal(r.damage_count, 0);
	spool_stats(s, &st);
	assert_int_equal(st.damage_count, 0);
	spool_close(s);
	scratch_remove(&dir);
}

static void a_frame_larger_than_the_batch_comes_alone(void **state)
{
	struct spool_reader *reader = NULL;
	struct spool_batch b;
	struct scratch dir;
	struct err err = {0};
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 1, 100);
	kit_append(s, 1, 5 * MIB);
	kit_commit(s);
	kit_append(s, 1, 100);
	kit_commit(s);
	assert_int_equal(spool_batch_init(&b, 100, 64 * 1024, &err), ERR_NONE);
	assert_int_equal(spool_reader_new(&reader, s, "small", 0, &err), ERR_NONE);
	for (uint64_t seq = 1; seq <= 3; seq++) {
		spool_batch_reset(&b);
		assert_true(b.bytes.cap <= 2 * 64 * 1024 + 2);
		assert_int_equal(spool_reader_read(reader, &b, 0, 0, &err), ERR_NONE);
		assert_int_equal(b.count, 1);
		assert_int_equal(b.frames[0].seq, seq);
		assert_true(b.full == (seq < 3));
	}
	spool_reader_free(reader);
	spool_batch_release(&b);
	spool_close(s);
	scratch_remove(&dir);
}

static void a_batch_is_filled_further_by_the_next_read(void **state)
{
	struct spool_reader *reader = NULL;
	struct spool_batch b;
	struct scratch dir;
	struct err err = {0};
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	assert_int_equal(spool_batch_init(&b, 5, MIB, &err), ERR_NONE);
	assert_int_equal(spool_reader_new(&reader, s, "store", 0, &err), ERR_NONE);
	for (size_t i = 1; i <= 3; i++) {
		kit_append(s, 2, 10);
		kit_commit(s);
		assert_int_equal(spool_reader_read(reader, &b, 0, 0, &err), ERR_NONE);
		assert_int_equal(b.count, i < 3 ? 2 * i : 5);
	}
	assert_true(b.full);
	for (size_t i = 0; i < b.count; i++)
		assert_true(span_equal(spool_batch_payload(&b, i), kit_payload(i + 1, 10)));
	spool_batch_reset(&b);
	assert_int_equal(spool_reader_read(reader, &b, 0, 0, &err), ERR_NONE);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.frames[0].seq, 6);
	spool_reader_free(reader);
	spool_batch_release(&b);
	spool_close(s);
	scratch_remove(&dir);
}

/* ---- bounds ---- */

/* Appends payloads of BIG_BYTES until one is refused, committing each. */
static uint64_t fill_up(struct spool *s, enum spool_use use)
{
	struct spool_stats st;
	struct err err = {0};
	enum err_kind rc;
	uint64_t count = 0;

	for (;;) {
		spool_stats(s, &st);
		rc = spool_append(s, kit_payload(st.appended_seq + 1, BIG_BYTES), 0, use, &err);
		if (rc) {
			assert_int_equal(rc, ERR_FULL);
			return count;
		}
		kit_commit(s);
		count++;
	}
}

static struct spool_reader *new_reader(struct spool *s, const char *name, uint64_t after_seq)
{
	struct spool_reader *r = NULL;
	struct err err = {0};

	if (spool_reader_new(&r, s, name, after_seq, &err))
		fail_msg("spool_reader_new: %s", err.text);
	return r;
}

static void the_bound_holds_and_the_last_mebibyte_is_the_trails(void **state)
{
	struct spool_reader *store;
	struct spool_stats st;
	struct scratch dir;
	struct kit_read r;
	struct spool *s;
	uint64_t ordinary, trail;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	store = new_reader(s, "store", 0);
	ordinary = fill_up(s, SPOOL_ORDINARY);
	spool_stats(s, &st);
	assert_true(st.full);
	assert_true(st.bytes <= st.max_bytes);
	assert_true(ordinary >= 3 * 16 + 15);
	trail = fill_up(s, SPOOL_TRAIL);
	assert_true(trail >= 1);
	assert_false(spool_wait_room(s, 0));
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, ordinary + trail, 0, 0));

	/* The oldest segment is passed: its room is needed, so its keep time does not count. */
	spool_reader_pass(store, 16);
	kit_commit(s);
	assert_true(spool_wait_room(s, 0));
	assert_true(fill_up(s, SPOOL_ORDINARY) >= 15);
	spool_stats(s, &st);
	assert_true(st.oldest_seq > 1 && st.oldest_seq <= 17);
	assert_true(st.bytes <= st.max_bytes);
	spool_reader_free(store);
	spool_close(s);
	scratch_remove(&dir);
}

static uint64_t held(struct spool *s)
{
	struct spool_stats st;

	spool_stats(s, &st);
	assert_true(st.held_bytes <= st.bytes);
	return st.held_bytes;
}

static void what_is_held_is_what_some_consumer_has_not_passed(void **state)
{
	struct spool_reader *store, *sink;
	struct spool_stats st;
	struct scratch dir;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	assert_int_equal(held(s), 0);
	for (int i = 0; i < 3; i++) { /* three segments of two payloads each */
		kit_append(s, 2, 7 * MIB);
		kit_commit(s);
	}
	spool_stats(s, &st);
	assert_int_equal(st.bytes, 4 * (uint64_t)SPOOL_SEGMENT_BYTES); /* and the next one's room */
	/* Nobody reads: nothing may go. */
	assert_in_range(held(s), 2 * SPOOL_SEGMENT_BYTES + 14 * MIB, 3 * SPOOL_SEGMENT_BYTES);
	store = new_reader(s, "store", 0);
	sink = new_reader(s, "sink", 0);
	spool_reader_pass(store, 6);
	assert_in_range(held(s), 2 * SPOOL_SEGMENT_BYTES + 14 * MIB, 3 * SPOOL_SEGMENT_BYTES);
	spool_reader_pass(sink, 1); /* half of a segment is all of it */
	assert_in_range(held(s), 2 * SPOOL_SEGMENT_BYTES + 14 * MIB, 3 * SPOOL_SEGMENT_BYTES);
	spool_reader_pass(sink, 2);
	assert_in_range(held(s), SPOOL_SEGMENT_BYTES + 14 * MIB, 2 * SPOOL_SEGMENT_BYTES);
	spool_reader_pass(sink, 5);
	assert_in_range(held(s), 14 * MIB, SPOOL_SEGMENT_BYTES);
	spool_reader_pass(sink, 6);
	assert_int_equal(held(s), 0);
	spool_reader_free(store);
	spool_reader_free(sink);
	spool_close(s);
	scratch_remove(&dir);
}

static void who_yields_is_waited_for_over_half_of_the_bound(void **state)
{
	struct spool_reader *store, *sink;
	struct spool_behind behind;
	struct spool_stats st;
	struct scratch dir;
	struct kit_read r;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	store = new_reader(s, "store", 0);
	sink = new_reader(s, "sink", 0);
	spool_reader_yield(sink);
	spool_reader_behind(sink, &behind);
	assert_int_equal(behind.bytes, 0);
	assert_int_equal(behind.bytes_max, 2 * (uint64_t)SPOOL_SEGMENT_BYTES);
	for (uint64_t seq = 2; seq <= 20; seq += 2) { /* ten segments, and the bound is of four */
		kit_append(s, 2, 7 * MIB);
		kit_commit(s);
		spool_reader_pass(store, seq);
	}
	spool_stats(s, &st);
	assert_false(st.full);
	assert_in_range(st.oldest_seq, 2,
			17); /* something had to go, and half of the bound did not */
	assert_int_equal(st.held_bytes, 0);
	spool_reader_behind(sink, &behind);
	assert_true(behind.bytes >= 2 * (uint64_t)SPOOL_SEGMENT_BYTES - 2 * MIB);
	assert_int_equal(behind.from_ns, kit_observed_ns(st.oldest_seq));
	kit_read_all(s, 0, &r);
	assert_int_equal(r.damage_count, 1);
	assert_true(kit_is_range(&r, 1, 20, 1, st.oldest_seq - 1));
	spool_reader_free(store);
	spool_reader_free(sink);
	spool_close(s);
	scratch_remove(&dir);
}

static void what_was_there_at_the_opening_is_told_and_commits_are_timed(void **state)
{
	struct histogram commits = {0};
	struct spool_options options = {
		.max_bytes = 64 * (uint64_t)MIB, .keep_ns = NS_PER_S, .commits = &commits};
	struct histogram_reading took;
	struct spool_stats st;
	struct scratch dir;
	struct err err;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 5, 50);
	kit_commit(s);
	spool_stats(s, &st);
	assert_int_equal(st.opened_seq, 0);
	spool_close(s);
	options.folder = dir.path;
	assert_int_equal(spool_open(&s, &options, &err), ERR_NONE);
	kit_append(s, 2, 50);
	histogram_read(&commits, &took);
	assert_int_equal(took.count, 0);
	kit_commit(s);
	histogram_read(&commits, &took);
	assert_int_equal(took.count, 1);
	assert_true(took.sum_ns > 0);
	spool_stats(s, &st);
	assert_int_equal(st.opened_seq, 5);
	assert_int_equal(st.accepted_seq, 7);
	spool_close(s);
	scratch_remove(&dir);
}

static void nothing_is_dropped_while_nobody_reads(void **state)
{
	struct spool_stats st;
	struct scratch dir;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	(void)fill_up(s, SPOOL_ORDINARY);
	fault_step_clock(7200 * NS_PER_S);
	kit_commit(s);
	fault_step_clock(-7200 * NS_PER_S);
	spool_stats(s, &st);
	assert_true(st.oldest_seq == 1 && st.full);
	spool_close(s);
	scratch_remove(&dir);
}

static void a_commit_step(struct spool *s)
{
	struct err err = {0};
	bool done;

	assert_int_equal(spool_commit(s, 0, &done, &err), ERR_NONE);
}

static void a_passed_segment_stays_for_its_keep_time(void **state)
{
	struct spool_reader *store, *sink;
	struct spool_stats st;
	struct scratch dir;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	store = new_reader(s, "store", 0);
	sink = new_reader(s, "sink", 0);
	kit_append(s, 2, 7 * MIB);
	kit_commit(s);
	kit_append(s, 2, 7 * MIB);
	kit_commit(s);
	spool_reader_pass(store, 4);
	a_commit_step(s);
	fault_step_clock(3601 * NS_PER_S);
	a_commit_step(s);
	spool_stats(s, &st);
	assert_int_equal(st.oldest_seq, 1); /* the sink has not passed it */
	spool_reader_pass(sink, 4);
	a_commit_step(s);
	fault_step_clock(3598 * NS_PER_S);
	a_commit_step(s);
	spool_stats(s, &st);
	assert_int_equal(st.oldest_seq, 1);
	fault_step_clock(3 * NS_PER_S);
	a_commit_step(s);
	spool_stats(s, &st);
	assert_int_equal(st.oldest_seq, 3); /* and the newest stays, whoever has passed it */
	fault_step_clock(-7202 * NS_PER_S);
	spool_reader_free(store);
	spool_reader_free(sink);
	spool_close(s);
	scratch_remove(&dir);
}

static void a_reader_goes_back_within_what_is_kept(void **state)
{
	struct spool_damage lost;
	struct spool_reader *store;
	struct spool_batch b;
	struct spool_stats st;
	struct scratch dir;
	struct err err = {0};
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	store = new_reader(s, "store", 0);
	assert_int_equal(spool_batch_init(&b, 100, MIB, &err), ERR_NONE);
	kit_append(s, 2, 7 * MIB);
	kit_commit(s);
	kit_append(s, 2, 7 * MIB);
	kit_commit(s);
	spool_reader_pass(store, 4);
	assert_int_equal(spool_reader_seek(store, 1, &lost, &err), ERR_NONE);
	assert_int_equal(lost.first_seq, 0);
	assert_int_equal(spool_reader_read(store, &b, 0, 0, &err), ERR_NONE);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.frames[0].seq, 2);

	/* It holds its segment again: past the keep time it is still there. */
	fault_step_clock(3601 * NS_PER_S);
	a_commit_step(s);
	fault_step_clock(3601 * NS_PER_S);
	a_commit_step(s);
	spool_stats(s, &st);
	assert_int_equal(st.oldest_seq, 1);
	spool_reader_pass(store, 4);
	a_commit_step(s);
	fault_step_clock(3601 * NS_PER_S);
	a_commit_step(s);
	fault_step_clock(-3 * 3601 * NS_PER_S);
	assert_int_equal(spool_reader_seek(store, 0, &lost, &err), ERR_NONE);
	assert_int_equal(lost.first_seq, 1);
	assert_int_equal(lost.last_seq, 2);
	assert_true(lost.to_ns == kit_observed_ns(3));
	spool_batch_reset(&b);
	assert_int_equal(spool_reader_read(store, &b, 0, 0, &err), ERR_NONE);
	assert_int_equal(b.frames[0].seq, 3);
	assert_int_equal(b.damage.first_seq, 0);
	spool_batch_release(&b);
	spool_reader_free(store);
	spool_close(s);
	scratch_remove(&dir);
}

static void a_position_beyond_the_end_is_an_operators_business(void **state)
{
	struct spool_damage lost = {0};
	struct spool_reader *r = NULL;
	struct scratch dir;
	struct err err = {0};
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 3, 10);
	kit_commit(s);
	assert_int_equal(spool_reader_new(&r, s, "store", 4, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "older copy"));
	r = new_reader(s, "store", 3);
	assert_int_equal(spool_reader_seek(r, 4, &lost, &err), ERR_CONFIG);
	spool_reader_free(r);
	spool_close(s);
	scratch_remove(&dir);
}

/* ---- a full disk ---- */

static bool disk_is_full;

static int full_fallocate(int fd, off_t at, off_t len)
{
	return disk_is_full ? ENOSPC : fault_real_posix_fallocate(fd, at, len);
}

static ssize_t full_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	if (!disk_is_full)
		return fault_real_pwrite(fd, bytes, len, at);
	errno = ENOSPC;
	return -1;
}

static void a_disk_without_room_for_segments_is_the_bound(void **state)
{
	static const struct fault_disk disk = {.posix_fallocate = full_fallocate};
	struct spool_reader *store;
	struct spool_stats st;
	struct scratch dir;
	struct kit_read r;
	struct spool *s;
	uint64_t count;

	(void)state;
	scratch_make(&dir);
	fault_set_disk(&disk);
	disk_is_full = false;
	s = kit_open(dir.path);
	store = new_reader(s, "store", 0);
	kit_append(s, 1, BIG_BYTES);
	kit_commit(s);
	a_commit_step(s); /* the next segment's room is taken */
	disk_is_full = true;
	count = 1 + fill_up(s, SPOOL_ORDINARY);
	assert_true(count >= 30 && count < 33); /* a segment, and the one that was ready */
	assert_true(fill_up(s, SPOOL_TRAIL) >= 1);
	assert_false(spool_wait_room(s, 0));
	disk_is_full = false;
	fault_step_clock(2 * NS_PER_S); /* a disk that was full is left alone for a second */
	a_commit_step(s);
	fault_step_clock(-2 * NS_PER_S);
	assert_true(spool_wait_room(s, 0));
	kit_append(s, 1, 100);
	kit_commit(s);
	spool_stats(s, &st);
	assert_false(st.full);
	kit_read_all(s, 0, &r);
	assert_int_equal(r.count, st.accepted_seq);
	assert_int_equal(r.damage_count, 0);
	spool_reader_free(store);
	spool_close(s);
	fault_set_disk(NULL);
	scratch_remove(&dir);
}

static void a_write_that_finds_no_room_is_done_again(void **state)
{
	static const struct fault_disk disk = {.pwrite = full_pwrite};
	struct spool_stats st;
	struct scratch dir;
	struct kit_read r;
	struct err err = {0};
	struct spool *s;
	bool done = false;

	(void)state;
	scratch_make(&dir);
	fault_set_disk(&disk);
	disk_is_full = false;
	s = kit_open(dir.path);
	kit_append(s, 5, 100);
	disk_is_full = true;
	spool_flush(s);
	for (int i = 0; i < 3; i++)
		assert_int_equal(spool_commit(s, 0, &done, &err), ERR_FULL);
	spool_stats(s, &st);
	assert_int_equal(st.accepted_seq, 0);
	kit_append(s, 5, 100); /* the other block has room */
	disk_is_full = false;
	kit_commit(s);
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, 10, 0, 0));
	assert_true(spool_wait_room(s, 0));
	spool_close(s);
	fault_set_disk(NULL);
	scratch_remove(&dir);
}

static int failing_fdatasync(int fd)
{
	(void)fd;
	errno = EIO;
	return -1;
}

static void a_failed_sync_is_the_end_and_accepts_nothing(void **state)
{
	static const struct fault_disk disk = {.fdatasync = failing_fdatasync};
	struct spool_stats st;
	struct scratch dir;
	struct err err = {0};
	struct spool *s;
	bool done = false;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 5, 100);
	spool_flush(s);
	fault_set_disk(&disk);
	assert_int_equal(spool_commit(s, 0, &done, &err), ERR_FATAL);
	fault_set_disk(NULL);
	spool_stats(s, &st);
	assert_int_equal(st.accepted_seq, 0);
	assert_int_equal(spool_append(s, SPAN("x"), 0, SPOOL_ORDINARY, &err), ERR_FATAL);
	spool_close(s);
	scratch_remove(&dir);
}

/* ---- damage in a running spool ---- */

static void write_into(const char *folder, uint64_t segment, const void *bytes, size_t len,
		       off_t at)
{
	struct segment_path path = segment_path(folder, segment);
	int fd = open(path.text, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, len, at), len);
	(void)close(fd);
}

/* Four segments, first frames 1, 3, 5 and 7. */
static struct spool *open_four_segments(const char *folder)
{
	struct spool *s = kit_open(folder);

	for (int i = 0; i < 4; i++) {
		kit_append(s, 2, 6 * MIB);
		kit_commit(s);
	}
	return s;
}

static void a_missing_segment_is_told_with_its_neighbours_times(void **state)
{
	struct segment_path gone;
	struct scratch dir;
	struct kit_read r;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	spool_close(open_four_segments(dir.path));
	gone = segment_path(dir.path, 3);
	assert_int_equal(unlink(gone.text), 0);
	s = kit_open(dir.path);
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, 8, 3, 4));
	assert_int_equal(r.damage_count, 1);
	assert_true(r.damages[0].first_seq == 3 && r.damages[0].last_seq == 4);
	assert_true(r.damages[0].from_ns == kit_observed_ns(2));
	assert_true(r.damages[0].to_ns == kit_observed_ns(5));
	spool_close(s);
	scratch_remove(&dir);
}

static void a_segment_whose_header_rots_under_way_is_lost_alone(void **state)
{
	struct spool_stats st;
	struct scratch dir;
	struct kit_read r;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = open_four_segments(dir.path);
	write_into(dir.path, 5, "rot", 3, 20);
	write_into(dir.path, 7, "rot", 3, 20);
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, 4, 0, 0));
	assert_int_equal(r.damage_count, 1); /* two that touch are one */
	assert_true(r.damages[0].first_seq == 5 && r.damages[0].last_seq == 8);
	spool_stats(s, &st);
	assert_int_equal(st.damage_count, 2);
	spool_close(s);
	scratch_remove(&dir);
}

static void damages_that_do_not_touch_come_with_a_batch_each(void **state)
{
	uint8_t rot[4] = {0xff, 0xff, 0xff, 0xff};
	size_t frame = FRAME_OVERHEAD_BYTES + 100;
	struct spool_stats st;
	struct scratch dir;
	struct kit_read r;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 20, 100);
	kit_commit(s);
	write_into(dir.path, 1, rot, sizeof(rot), (off_t)(SEGMENT_HEADER_BYTES + 4 * frame + 50));
	write_into(dir.path, 1, rot, sizeof(rot), (off_t)(SEGMENT_HEADER_BYTES + 9 * frame + 2));
	write_into(dir.path, 1, rot, sizeof(rot), (off_t)(SEGMENT_HEADER_BYTES + 19 * frame + 9));
	kit_read_all(s, 0, &r);
	assert_int_equal(r.count, 17);
	assert_int_equal(r.damage_count, 3);
	assert_true(r.damages[0].first_seq == 5 && r.damages[0].last_seq == 5);
	assert_true(r.damages[1].first_seq == 10 && r.damages[1].last_seq == 10);
	assert_true(r.damages[2].first_seq == 20 && r.damages[2].last_seq == 20);
	assert_true(r.damages[2].from_ns == kit_observed_ns(19) && r.damages[2].to_ns == 0);
	kit_append(s, 1, 100);
	kit_commit(s);
	kit_read_all(s, 10, &r); /* what lies before the position is not told */
	assert_int_equal(r.damage_count, 1);
	assert_int_equal(r.count, 10);
	spool_stats(s, &st);
	assert_int_equal(st.damage_count, 1); /* one segment */
	spool_close(s);
	scratch_remove(&dir);
}

static void a_place_that_the_disk_never_gives_is_damage_in_the_end(void **state)
{
	struct spool_reader *reader;
	struct spool_batch b;
	struct scratch dir;
	struct err err = {0};
	enum err_kind rc = ERR_RETRY;
	struct spool *s;
	int tries;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 10, 100); /* so that the batch has its memory before faults come */
	kit_commit(s);
	reader = new_reader(s, "store", 0);
	assert_int_equal(spool_batch_init(&b, 10, MIB, &err), ERR_NONE);
	assert_int_equal(spool_reader_read(reader, &b, 0, 0, &err), ERR_NONE);
	kit_append(s, 3, 100);
	kit_commit(s);
	for (tries = 0; tries < 20 && rc == ERR_RETRY; tries++) {
		spool_batch_reset(&b);
		fault_arm(1, true);
		rc = spool_reader_read(reader, &b, 0, 0, &err);
		(void)fault_disarm();
	}
	assert_int_equal(rc, ERR_NONE);
	assert_true(tries > 3); /* not at once */
	assert_int_equal(b.count, 0);
	assert_true(b.damage.first_seq == 11 && b.damage.last_seq == 13);
	kit_append(s, 1, 100);
	kit_commit(s);
	spool_batch_reset(&b);
	assert_int_equal(spool_reader_read(reader, &b, 0, 0, &err), ERR_NONE);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.frames[0].seq, 14);
	spool_batch_release(&b);
	spool_reader_free(reader);
	spool_close(s);
	scratch_remove(&dir);
}

enum { SECTOR = 4096 };

static const off_t bad_sectors[] = {3, 7, 8};

static ssize_t read_but_bad_sectors(int fd, void *bytes, size_t len, off_t at)
{
	for (size_t i = 0; i < ARRAY_LEN(bad_sectors); i++)
		if (at < (bad_sectors[i] + 1) * SECTOR &&
		    at + (off_t)len > bad_sectors[i] * SECTOR) {
			errno = EIO;
			return -1;
		}
	return fault_real_pread(fd, bytes, len, at);
}

/* As a consumer that delivers all or nothing. */
static enum err_kind gather(struct spool_reader *r, struct spool_batch *b, struct kit_read *ret)
{
	struct spool_damage lost;
	struct err err;
	enum err_kind rc = spool_reader_seek(r, 0, &lost, &err);

	ret->count = ret->damage_count = 0;
	while (!rc) {
		spool_batch_reset(b);
		rc = spool_reader_read(r, b, 0, 0, &err);
		if (rc || (b->count == 0 && b->damage.first_seq == 0))
			return rc;
		ret->count += b->count;
		ret->damage_count += b->damage.first_seq != 0;
	}
	return rc;
}

/* It goes back after each failure, and so over the place before it, too. */
static void what_goes_back_between_the_tries_comes_over_such_places_as_well(void **state)
{
	const struct fault_disk disk = {.pread = read_but_bad_sectors};
	enum err_kind rc = ERR_RETRY;
	struct kit_read got;
	struct spool_reader *r;
	struct spool_batch b;
	struct scratch dir;
	struct spool *s;
	struct err err;
	int tries = 0;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 300, 100);
	kit_commit(s);
	r = new_reader(s, "store", 0);
	assert_int_equal(spool_batch_init(&b, 100, MIB, &err), ERR_NONE);
	fault_set_disk(&disk);
	for (; tries < 30 && rc == ERR_RETRY; tries++)
		rc = gather(r, &b, &got);
	assert_int_equal(rc, ERR_NONE);
	assert_true(tries > 3); /* not at once */
	assert_int_equal(got.damage_count, 2);
	assert_in_range(got.count, 150, 299);
	assert_int_equal(gather(r, &b, &got), ERR_NONE);
	fault_set_disk(NULL);
	assert_int_equal(gather(r, &b, &got), ERR_NONE);
	assert_true(got.count == 300 && got.damage_count == 0);
	fault_set_disk(&disk); /* it gave them: what is not given now may be again */
	assert_int_equal(gather(r, &b, &got), ERR_RETRY);
	fault_set_disk(NULL);
	spool_batch_release(&b);
	spool_reader_free(r);
	spool_close(s);
	scratch_remove(&dir);
}

static void a_folder_that_is_no_spool_is_refused(void **state)
{
	struct spool_options options = {.max_bytes = 64 * MIB};
	struct scratch dir;
	struct err err = {0};
	struct spool *s = NULL;
	int fd;

	(void)state;
	scratch_make(&dir);
	options.folder = dir.path;
	fd = open(scratch_file(&dir, "stream"), O_CREAT | O_RDWR, 0600);
	assert_int_equal(write(fd, "something else", 14), 14);
	(void)close(fd);
	assert_int_equal(spool_open(&s, &options, &err), ERR_CORRUPT);
	assert_null(s);
	scratch_remove(&dir);
}

static void the_streams_name_is_found_again_in_its_segments(void **state)
{
	struct spool_stream before, after;
	struct scratch dir;
	struct kit_read r;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	before = spool_stream(s);
	kit_append(s, 4, 10);
	kit_commit(s);
	spool_close(s);
	assert_int_equal(unlink(scratch_file(&dir, "stream")), 0);
	s = kit_open(dir.path);
	after = spool_stream(s);
	assert_int_equal(id_compare(&before.uuid, &after.uuid), 0);
	kit_read_all(s, 0, &r);
	assert_true(kit_is_range(&r, 1, 4, 0, 0));
	spool_close(s);
	scratch_remove(&dir);
}

static void a_spool_can_be_looked_at_while_another_has_it(void **state)
{
	struct spool_look look = {.found = true};
	struct spool_stream stream;
	struct scratch dir;
	struct spool *s;
	struct err err;

	(void)state;
	scratch_make(&dir);
	assert_int_equal(spool_look(dir.path, &look, &err), ERR_NONE);
	assert_false(look.found);
	s = kit_open(dir.path);
	stream = spool_stream(s);
	assert_int_equal(spool_look(dir.path, &look, &err), ERR_NONE);
	assert_true(look.found && look.end_known && look.end_seq == 0);
	for (int i = 0; i < 20; i++) { /* three segments */
		kit_append(s, 2, BIG_BYTES);
		kit_commit(s);
	}
	kit_append(s, 3, 10);
	assert_int_equal(spool_look(dir.path, &look, &err), ERR_NONE);
	assert_int_equal(id_compare(&look.stream.uuid, &stream.uuid), 0);
	assert_true(look.stream.epoch == 1 && look.end_known && look.end_seq == 40);
	spool_close(s);
	assert_int_equal(spool_look(dir.path, &look, &err), ERR_NONE);
	assert_true(look.end_known && look.end_seq == 40);
	scratch_remove(&dir);
}

static void look(void *arg)
{
	const struct scratch *dir = arg;
	struct spool_look found = {.found = false};
	struct err err;

	if (spool_look(dir->path, &found, &err) == ERR_NONE)
		assert_true(found.found && found.end_seq == 5);
}

static void a_look_says_what_is_so_or_fails(void **state)
{
	struct scratch dir;
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	kit_append(s, 5, 10);
	kit_commit(s);
	spool_close(s);
	fault_everywhere(look, &dir);
	scratch_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_read_before_it_is_accepted),
		cmocka_unit_test(
			what_was_not_accepted_is_gone_after_a_close_and_its_numbers_come_again),
		cmocka_unit_test(a_folder_has_one_spool_at_a_time),
		cmocka_unit_test(payloads_of_all_sizes_cross_segments_whole),
		cmocka_unit_test(a_frame_larger_than_the_batch_comes_alone),
		cmocka_unit_test(a_batch_is_filled_further_by_the_next_read),
		cmocka_unit_test(the_bound_holds_and_the_last_mebibyte_is_the_trails),
		cmocka_unit_test(what_is_held_is_what_some_consumer_has_not_passed),
		cmocka_unit_test(who_yields_is_waited_for_over_half_of_the_bound),
		cmocka_unit_test(what_was_there_at_the_opening_is_told_and_commits_are_timed),
		cmocka_unit_test(nothing_is_dropped_while_nobody_reads),
		cmocka_unit_test(a_passed_segment_stays_for_its_keep_time),
		cmocka_unit_test(a_reader_goes_back_within_what_is_kept),
		cmocka_unit_test(a_position_beyond_the_end_is_an_operators_business),
		cmocka_unit_test(a_disk_without_room_for_segments_is_the_bound),
		cmocka_unit_test(a_write_that_finds_no_room_is_done_again),
		cmocka_unit_test(a_failed_sync_is_the_end_and_accepts_nothing),
		cmocka_unit_test(a_missing_segment_is_told_with_its_neighbours_times),
		cmocka_unit_test(a_segment_whose_header_rots_under_way_is_lost_alone),
		cmocka_unit_test(damages_that_do_not_touch_come_with_a_batch_each),
		cmocka_unit_test(a_place_that_the_disk_never_gives_is_damage_in_the_end),
		cmocka_unit_test(what_goes_back_between_the_tries_comes_over_such_places_as_well),
		cmocka_unit_test(a_folder_that_is_no_spool_is_refused),
		cmocka_unit_test(the_streams_name_is_found_again_in_its_segments),
		cmocka_unit_test(a_spool_can_be_looked_at_while_another_has_it),
		cmocka_unit_test(a_look_says_what_is_so_or_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
