/* A copied or restored folder becomes a stream of its own, and loses nothing by that. */

#include "fault.h"
#include "scratch.h"
#include "spool_kit.h"

#include "base/time.h"
#include "spool/segment.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1024 * 1024, BIG_BYTES = MIB, STREAM_OWN_BYTES = 52 };

static void copy_folder(const struct scratch *from, const struct scratch *to)
{
	char command[2 * SCRATCH_PATH_BYTES + 32];

	(void)snprintf(command, sizeof(command), "cp -a %s/. %s", from->path, to->path);
	assert_int_equal(system(command), 0);
}

/* A spool with count frames, closed. */
static struct spool_stream make_spool(struct scratch *dir, size_t count, size_t len)
{
	struct spool_stream stream;
	struct spool *s;

	scratch_make(dir);
	s = kit_open(dir->path);
	stream = spool_stream(s);
	for (size_t i = 0; i < count; i++) {
		kit_append(s, 1, len);
		kit_commit(s);
	}
	spool_close(s);
	return stream;
}

static struct spool_adopted adopt(const struct scratch *dir)
{
	struct spool_adopted done = {0};
	struct err err = {0};

	if (spool_adopt(dir->path, &done, &err))
		fail_msg("spool_adopt: %s", err.text);
	return done;
}

static bool is_same(const struct spool_stream *a, const struct spool_stream *b)
{
	return id_compare(&a->uuid, &b->uuid) == 0 && a->epoch == b->epoch &&
	       a->start_seq == b->start_seq;
}

static void assert_reads(const struct scratch *dir, const struct spool_stream *stream,
			 uint64_t first, uint64_t last)
{
	struct kit_read *r = malloc(sizeof(*r));
	struct spool_stream found;
	struct spool *s;

	assert_non_null(r);
	s = kit_open(dir->path);
	found = spool_stream(s);
	assert_true(is_same(&found, stream));
	kit_read_all(s, first - 1, r);
	assert_true(kit_is_range(r, first, last, 0, 0));
	assert_int_equal(r->damage_count, 0);
	spool_close(s);
	free(r);
}

static void append(const struct scratch *dir, size_t count)
{
	struct spool *s = kit_open(dir->path);

	kit_append(s, count, 100);
	kit_commit(s);
	spool_close(s);
}

static struct segment_header header_of(const struct scratch *dir, uint64_t first_seq)
{
	struct segment_path path = segment_path(dir->path, first_seq);
	struct segment_header h = {0};
	struct err err = {0};
	int fd = -1;

	assert_int_equal(file_open(&fd, path.text, FILE_READ, &err), ERR_NONE);
	assert_int_equal(segment_read_header(fd, first_seq, &h, &err), ERR_NONE);
	file_close(&fd);
	return h;
}

static void an_adopted_spool_is_another_stream_with_the_same_records(void **state)
{
	struct spool_stream before;
	struct spool_adopted done;
	struct scratch dir;

	(void)state;
	before = make_spool(&dir, 40, BIG_BYTES); /* three segments */
	done = adopt(&dir);
	assert_true(is_same(&done.before, &before));
	assert_int_not_equal(id_compare(&done.now.uuid, &before.uuid), 0);
	assert_int_equal(done.now.epoch, before.epoch + 1);
	assert_int_equal(done.now.start_seq, 0);
	assert_int_equal(done.end_seq, 40);
	assert_reads(&dir, &done.now, 1, 40);
	scratch_remove(&dir);
}

static void copies_that_are_adopted_each_have_a_name_of_their_own(void **state)
{
	struct spool_adopted first, second;
	struct scratch a, b;

	(void)state;
	(void)make_spool(&a, 5, 10);
	scratch_make(&b);
	copy_folder(&a, &b);
	first = adopt(&a);
	second = adopt(&b);
	assert_int_not_equal(id_compare(&first.now.uuid, &second.now.uuid), 0);
	assert_reads(&a, &first.now, 1, 5);
	assert_reads(&b, &second.now, 1, 5);
	scratch_remove(&a);
	scratch_remove(&b);
}

static void what_comes_after_an_adoption_lies_in_segments_of_the_new_name(void **state)
{
	struct spool_adopted done;
	struct spool_stream before;
	struct segment_header h;
	struct scratch dir;

	(void)state;
	before = make_spool(&dir, 3, 10);
	for (uint64_t turn = 1; turn <= 2;
	     turn++) { /* each on top of all that was adopted before */
		done = adopt(&dir);
		append(&dir, 3);
		append(&dir, 3); /* in the segment that the first three began */
		h = header_of(&dir, 6 * turn - 2);
		assert_int_equal(id_compare(&h.uuid, &done.now.uuid), 0);
		assert_int_equal(h.epoch, turn + 1);
		assert_int_not_equal(access(segment_path(dir.path, 6 * turn + 1).text, F_OK), 0);
		assert_reads(&dir, &done.now, 1, 3 + 6 * turn);
	}
	h = header_of(&dir, 1);
	assert_int_equal(id_compare(&h.uuid, &before.uuid), 0);
	assert_int_equal(h.epoch, 1);
	scratch_remove(&dir);
}

static void adopted_twice_without_a_record_between_it_is_as_adopted_once(void **state)
{
	struct spool_adopted first, second;
	struct scratch dir;

	(void)state;
	(void)make_spool(&dir, 3, 10);
	first = adopt(&dir);
	second = adopt(&dir);
	assert_true(is_same(&second.before, &first.now));
	assert_int_not_equal(id_compare(&first.now.uuid, &second.now.uuid), 0);
	assert_reads(&dir, &second.now, 1, 3);
	scratch_remove(&dir);
}

/* What was dropped before the adoption is nothing that the new stream lost. */
static void the_new_stream_begins_at_the_oldest_segment_that_is_there(void **state)
{
	struct spool_adopted done;
	struct scratch dir;

	(void)state;
	(void)make_spool(&dir, 40, BIG_BYTES);
	assert_int_equal(unlink(segment_path(dir.path, 1).text), 0);
	done = adopt(&dir);
	assert_int_equal(access(segment_path(dir.path, done.now.start_seq + 1).text, F_OK), 0);
	assert_true(done.now.start_seq > 1);
	assert_reads(&dir, &done.now, done.now.start_seq + 1, 40);
	scratch_remove(&dir);
}

static void a_spool_that_holds_nothing_can_be_adopted(void **state)
{
	struct spool_adopted done;
	struct scratch dir;

	(void)state;
	(void)make_spool(&dir, 0, 10);
	done = adopt(&dir);
	assert_int_equal(done.end_seq, 0);
	append(&dir, 2);
	assert_reads(&dir, &done.now, 1, 2);
	scratch_remove(&dir);
}

static void a_copy_with_a_torn_end_is_adopted_up_to_its_last_commit(void **state)
{
	struct spool_adopted done;
	struct segment_path path;
	uint8_t half[60];
	struct scratch dir;
	struct stat st;
	int fd;

	(void)state;
	(void)make_spool(&dir, 7, 100);
	path = segment_path(dir.path, 1);
	fd = open(path.text, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, half, sizeof(half), SEGMENT_HEADER_BYTES), sizeof(half));
	assert_int_equal(fstat(fd, &st), 0);
	/* Half a frame stands where the eighth would. */
	assert_int_equal(pwrite(fd, half, sizeof(half),
				SEGMENT_HEADER_BYTES +
					7 * (100 + FRAME_OVERHEAD_BYTES + COMMIT_FRAME_BYTES)),
			 sizeof(half));
	(void)close(fd);
	done = adopt(&dir);
	assert_int_equal(done.end_seq, 7);
	append(&dir, 1);
	assert_reads(&dir, &done.now, 1, 8);
	scratch_remove(&dir);
}

static void a_spool_that_somebody_has_open_is_not_adopted(void **state)
{
	struct spool_adopted done;
	struct spool_stream before, after;
	struct scratch dir;
	struct err err = {0};
	struct spool *s;

	(void)state;
	before = make_spool(&dir, 3, 10);
	s = kit_open(dir.path);
	assert_int_equal(spool_adopt(dir.path, &done, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "another flytrail has the spool"));
	spool_close(s);
	s = kit_open(dir.path);
	after = spool_stream(s);
	assert_true(is_same(&before, &after));
	spool_close(s);
	scratch_remove(&dir);
}

static void a_folder_that_holds_no_spool_is_left_as_it_is(void **state)
{
	struct spool_adopted done;
	struct scratch dir;
	struct err err = {0};
	int fd;

	(void)state;
	scratch_make(&dir);
	assert_int_equal(spool_adopt(scratch_file(&dir, "absent"), &done, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "there is no spool in"));
	assert_int_not_equal(access(scratch_file(&dir, "absent"), F_OK), 0);
	assert_int_equal(spool_adopt(dir.path, &done, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "there is no spool in"));
	assert_int_not_equal(access(scratch_file(&dir, "lock"), F_OK), 0);
	fd = open(scratch_file(&dir, "stream"), O_CREAT | O_RDWR, 0600);
	assert_int_equal(write(fd, "something else", 14), 14);
	(void)close(fd);
	assert_int_equal(spool_adopt(dir.path, &done, &err), ERR_CORRUPT);
	assert_non_null(strstr(err.text, "fails its check"));
	assert_int_not_equal(access(scratch_file(&dir, "lock"), F_OK), 0);
	assert_int_equal(spool_adopt(scratch_file(&dir, "stream"), &done, &err), ERR_CONFIG);
	scratch_remove(&dir);
}

static void a_segment_that_is_not_this_spools_is_not_adopted_with_it(void **state)
{
	struct spool_adopted done;
	struct scratch dir, other;
	struct err err = {0};

	(void)state;
	(void)make_spool(&dir, 3, 10);
	(void)make_spool(&other, 3, 10);
	assert_int_equal(unlink(scratch_file(&other, "stream")), 0);
	assert_int_equal(rename(segment_path(other.path, 1).text, segment_path(dir.path, 1).text),
			 0);
	assert_int_equal(spool_adopt(dir.path, &done, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, "belongs to another stream"));
	scratch_remove(&dir);
	scratch_remove(&other);
}

static void the_name_of_an_adopted_spool_is_found_again_in_its_segments(void **state)
{
	struct spool_adopted done;
	struct scratch dir;

	(void)state;
	(void)make_spool(&dir, 3, 10);
	(void)adopt(&dir);
	append(&dir, 3);
	done = adopt(&dir);
	append(&dir, 3);
	assert_int_equal(unlink(scratch_file(&dir, "stream")), 0);
	assert_reads(&dir, &done.now, 1, 9);
	append(&dir, 1);
	assert_reads(&dir, &done.now, 1, 10);
	/* And one that lost it can be adopted, too. */
	assert_int_equal(unlink(scratch_file(&dir, "stream")), 0);
	done = adopt(&dir);
	assert_reads(&dir, &done.now, 1, 10);
	scratch_remove(&dir);
}

static void every_flipped_bit_of_the_name_is_noticed(void **state)
{
	struct spool_adopted done;
	struct spool_look look;
	struct scratch dir;
	struct err err = {0};
	uint8_t byte;
	struct stat st;
	int fd;

	(void)state;
	(void)make_spool(&dir, 3, 10);
	assert_int_equal(stat(scratch_file(&dir, "stream"), &st), 0);
	assert_int_equal(st.st_size, STREAM_OWN_BYTES); /* an older flytrail reads it */
	for (int turn = 0; turn < 2; turn++) {
		fd = open(scratch_file(&dir, "stream"), O_RDWR);
		assert_true(fd >= 0 && fstat(fd, &st) == 0);
		for (off_t bit = 0; bit < st.st_size * 8; bit++) {
			assert_int_equal(pread(fd, &byte, 1, bit / 8), 1);
			byte ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(pwrite(fd, &byte, 1, bit / 8), 1);
			assert_int_equal(spool_look(dir.path, &look, &err), ERR_CORRUPT);
			byte ^= (uint8_t)(1u << bit % 8);
			assert_int_equal(pwrite(fd, &byte, 1, bit / 8), 1);
		}
		(void)close(fd);
		done = adopt(&dir);
	}
	assert_reads(&dir, &done.now, 1, 3);
	scratch_remove(&dir);
}

static uint64_t mark_of(const struct scratch *dir, uint64_t seq)
{
	struct spool_reader *r = NULL;
	struct spool_damage lost;
	struct spool_batch b;
	struct err err = {0};
	struct spool *s;
	uint64_t mark;

	s = kit_open(dir->path);
	assert_int_equal(spool_batch_init(&b, 4, MIB, &err), ERR_NONE);
	assert_int_equal(spool_reader_new(&r, s, "mark", 0, &err), ERR_NONE);
	assert_int_equal(spool_reader_find_mark(r, &b, seq, &mark, &err), ERR_NONE);
	assert_true(b.count == 0 && b.frames_max == 4 && !b.full);
	assert_int_equal(spool_reader_seek(r, seq - 1, &lost, &err), ERR_NONE);
	assert_int_equal(spool_reader_read(r, &b, 0, 0, &err), ERR_NONE);
	if (mark != 0)
		assert_true(b.frames[0].seq == seq && b.frames[0].mark == mark);
	spool_reader_free(r);
	spool_batch_release(&b);
	spool_close(s);
	return mark;
}

/* The same payload a nanosecond later is another record: other machines take the same lines. */
static void append_at(const struct scratch *dir, int64_t ns)
{
	struct spool *s = kit_open(dir->path);
	struct err err = {0};

	assert_int_equal(spool_append(s, kit_payload(4, 100), ns, SPOOL_ORDINARY, &err), ERR_NONE);
	kit_commit(s);
	spool_close(s);
}

static void a_mark_tells_the_records_of_copies_apart(void **state)
{
	struct scratch a, b;

	(void)state;
	(void)make_spool(&a, 3, 100);
	scratch_make(&b);
	copy_folder(&a, &b);
	append_at(&a, 1000);
	append_at(&b, 1001);
	assert_true(mark_of(&a, 3) != 0 && mark_of(&a, 3) == mark_of(&b, 3));
	assert_true(mark_of(&a, 4) != 0 && mark_of(&a, 4) != mark_of(&b, 4));
	assert_true(mark_of(&a, 2) != mark_of(&a, 3));
	scratch_remove(&a);
	scratch_remove(&b);
}

static void what_cannot_be_read_has_no_mark(void **state)
{
	size_t frame_bytes = 100 + FRAME_OVERHEAD_BYTES + COMMIT_FRAME_BYTES;
	struct scratch dir;
	int fd;

	(void)state;
	(void)make_spool(&dir, 5, 100);
	fd = open(segment_path(dir.path, 1).text, O_RDWR);
	assert_int_equal(pwrite(fd, "rot", 3, (off_t)(SEGMENT_HEADER_BYTES + 2 * frame_bytes + 50)),
			 3);
	(void)close(fd);
	assert_int_equal(mark_of(&dir, 3), 0);
	assert_true(mark_of(&dir, 2) != 0 && mark_of(&dir, 4) != 0);
	scratch_remove(&dir);
	(void)make_spool(&dir, 40, BIG_BYTES);
	assert_int_equal(unlink(segment_path(dir.path, 1).text), 0);
	assert_int_equal(mark_of(&dir, 1), 0);
	assert_true(mark_of(&dir, 40) != 0);
	scratch_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_adopted_spool_is_another_stream_with_the_same_records),
		cmocka_unit_test(copies_that_are_adopted_each_have_a_name_of_their_own),
		cmocka_unit_test(what_comes_after_an_adoption_lies_in_segments_of_the_new_name),
		cmocka_unit_test(adopted_twice_without_a_record_between_it_is_as_adopted_once),
		cmocka_unit_test(the_new_stream_begins_at_the_oldest_segment_that_is_there),
		cmocka_unit_test(a_spool_that_holds_nothing_can_be_adopted),
		cmocka_unit_test(a_copy_with_a_torn_end_is_adopted_up_to_its_last_commit),
		cmocka_unit_test(a_spool_that_somebody_has_open_is_not_adopted),
		cmocka_unit_test(a_folder_that_holds_no_spool_is_left_as_it_is),
		cmocka_unit_test(a_segment_that_is_not_this_spools_is_not_adopted_with_it),
		cmocka_unit_test(the_name_of_an_adopted_spool_is_found_again_in_its_segments),
		cmocka_unit_test(every_flipped_bit_of_the_name_is_noticed),
		cmocka_unit_test(a_mark_tells_the_records_of_copies_apart),
		cmocka_unit_test(what_cannot_be_read_has_no_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
