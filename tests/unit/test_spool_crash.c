/*
 * What a crash may do to the spool: power cuts that drop or tear whatever was
 * not synced, and faults of every call. The kill -9 of a real process is in
 * tests/crash/.
 */

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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a disk that forgets ---- */

enum {
	SECTOR_BYTES = 512,
	UNSYNCED_MAX = 64,
	CUTS = 200,
	MIB = 1024 * 1024,
};

/* A write that no sync has followed yet. */
struct unsynced {
	int fd; /* of our own: the spool may close its */
	ino_t inode;
	off_t at;
	size_t len;
	uint8_t *before;
};

static struct {
	struct unsynced writes[UNSYNCED_MAX];
	size_t count;
	char from[PATH_MAX], to[PATH_MAX]; /* a rename whose folder is not synced; empty: none */
	unsigned calls_left;               /* until the power is cut */
	bool cut;
	uint64_t random;
} model;

static uint64_t next_random(void)
{
	model.random ^= model.random << 13;
	model.random ^= model.random >> 7;
	model.random ^= model.random << 17;
	return model.random;
}

static ino_t inode_of(int fd)
{
	struct stat st;

	fault_pause();
	assert_int_equal(fstat(fd, &st), 0);
	fault_resume();
	return st.st_ino;
}

/* True: the machine has no power any more; nothing reaches the disk. */
static bool powerless(void)
{
	if (model.calls_left == 0)
		model.cut = true;
	else
		model.calls_left--;
	errno = EIO;
	return model.cut;
}

static ssize_t model_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	bool last =
		model.calls_left == 0 && !model.cut; /* this one is on its way when it happens */
	struct unsynced *u = &model.writes[model.count];
	char path[32];

	if (powerless() && !last)
		return -1;
	assert_true(model.count < UNSYNCED_MAX);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*u = (struct unsynced){.fd = open(path, O_RDWR),
			       .inode = inode_of(fd),
			       .at = at,
			       .len = len,
			       .before = malloc(len)};
	assert_true(u->fd >= 0);
	assert_non_null(u->before);
	memset(u->before, 0, len);
	assert_true(pread(u->fd, u->before, len, at) >= 0);
	model.count++;
	if (fault_real_pwrite(fd, bytes, len, at) != (ssize_t)len)
		return -1;
	errno = EIO;
	return last ? -1 : (ssize_t)len;
}

static void forget_write(size_t idx)
{
	(void)close(model.writes[idx].fd);
	free(model.writes[idx].before);
	model.count--;
	memmove(&model.writes[idx], &model.writes[idx + 1],
		(model.count - idx) * sizeof(model.writes[0]));
}

static int model_fdatasync(int fd)
{
	ino_t inode = inode_of(fd);

	if (powerless())
		return -1;
	for (size_t i = model.count; i-- > 0;)
		if (model.writes[i].inode == inode)
			forget_write(i);
	return 0; /* the real disk need not be troubled */
}

static int model_fsync(int fd)
{
	(void)fd;
	if (powerless())
		return -1;
	model.from[0] = '\0';
	return 0;
}

static int model_rename(const char *from, const char *to)
{
	if (powerless())
		return -1;
	(void)snprintf(model.from, sizeof(model.from), "%s", from);
	(void)snprintf(model.to, sizeof(model.to), "%s", to);
	return fault_real_rename(from, to);
}

static const struct fault_disk forgetful = {
	.pwrite = model_pwrite,
	.fdatasync = model_fdatasync,
	.fsync = model_fsync,
	.rename = model_rename,
};

/* Of every write since its sync, each sector may have reached the disk or not; so may a rename. */
static void lose_unsynced(void)
{
	while (model.count > 0) {
		const struct unsynced *u = &model.writes[model.count - 1];
		uint64_t luck = next_random() % 3; /* all, none, or as it comes */

		for (size_t done = 0; done < u->len;) {
			off_t at = u->at + (off_t)done;
			size_t n = SECTOR_BYTES - (size_t)(at % SECTOR_BYTES);

			if (n > u->len - done)
				n = u->len - done;
			if (luck == 1 || (luck == 2 && next_random() % 2))
				assert_int_equal(fault_real_pwrite(u->fd, u->before + done, n, at),
						 n);
			done += n;
		}
		forget_write(model.count - 1);
	}
	if (model.from[0] != '\0' && next_random() % 2)
		(void)fault_real_rename(model.to, model.from);
	model.from[0] = '\0';
}

/* Appends and commits until the power goes. Returns the last accepted number. */
static uint64_t work_until_the_cut(const char *folder)
{
	struct spool_options options = {.folder = folder, .max_bytes = 64 * MIB};
	struct spool_stats st = {0};
	struct err err = {0};
	struct spool *s;
	bool done;

	if (spool_open(&s, &options, &err))
		return 0;
	spool_stats(s, &st);
	while (!model.cut && st.appended_seq < KIT_READ_MAX / 2) {
		size_t n = 1 + next_random() % 8;

		for (size_t i = 0; i < n; i++) {
			uint64_t seq = st.appended_seq + 1 + i;
			size_t len = next_random() % 50 == 0 ? 3 * MIB : 1 + next_random() % 2000;

			if (spool_append(s, kit_payload(seq, len), kit_observed_ns(seq),
					 SPOOL_ORDINARY, &err))
				break;
			if (len > MIB) /* it may need both blocks */
				break;
		}
		spool_flush(s);
		(void)!spool_commit(s, 0, &done, &err);
		spool_stats(s, &st);
		if (st.full)
			break;
	}
	spool_stats(s, &st);
	spool_close(s);
	return st.accepted_seq;
}

static void a_power_cut_loses_nothing_that_was_accepted(void **state)
{
	const char *seed = getenv("SPOOL_CRASH_SEED");
	uint64_t accepted = 0;
	struct scratch dir;
	struct kit_read *r = malloc(sizeof(*r));

	(void)state;
	assert_non_null(r);
	model.random = seed ? strtoull(seed, NULL, 10) : (uint64_t)time_now_ns() | 1;
	print_message("SPOOL_CRASH_SEED=%" PRIu64 "\n", model.random);
	scratch_make(&dir);
	for (int cut = 0; cut < CUTS; cut++) {
		struct spool_stats st;
		struct spool *s;
		uint64_t now;

		if (cut % 20 == 0) {
			scratch_remove(&dir);
			scratch_make(&dir);
			accepted = 0;
		}
		model.cut = false;
		model.calls_left = (unsigned)(next_random() % 80);
		fault_set_disk(&forgetful);
		now = work_until_the_cut(dir.path);
		if (now > accepted)
			accepted = now;
		lose_unsynced();
		fault_set_disk(NULL);

		s = kit_open(dir.path);
		spool_stats(s, &st);
		assert_true(st.accepted_seq >= accepted);
		kit_read_all(s, 0, r);
		for (uint64_t seq = 1; seq <= accepted; seq++)
			if (seq > r->count || r->seqs[seq - 1] != seq)
				fail_msg("cut %d: %" PRIu64 " of %" PRIu64 " is not there", cut,
					 seq, accepted);
		if (r->damage_count > 0)
			assert_true(r->damages[0].first_seq > accepted);
		accepted = r->damage_count > 0 ? r->damages[0].first_seq - 1 : st.accepted_seq;
		spool_close(s);
		if (accepted < st.accepted_seq) { /* a hole that was never accepted: begin anew */
			scratch_remove(&dir);
			scratch_make(&dir);
			accepted = 0;
		}
	}
	free(r);
	scratch_remove(&dir);
}

/* ---- every call fails once ---- */

static void check_after_fault(const char *folder, uint64_t accepted)
{
	struct kit_read *r;
	struct spool *s;

	fault_pause();
	r = malloc(sizeof(*r));
	assert_non_null(r);
	s = kit_open(folder);
	kit_read_all(s, 0, r);
	assert_true(r->count >= accepted);
	assert_true(kit_is_range(r, 1, r->count, 0, 0));
	assert_int_equal(r->damage_count, 0);
	spool_close(s);
	free(r);
	fault_resume();
}

static void read_under_faults(struct spool *s)
{
	struct spool_reader *reader = NULL;
	struct spool_damage lost;
	struct spool_batch b;
	struct err err = {0};

	if (spool_batch_init(&b, 4, 4096, &err))
		return;
	if (spool_reader_new(&reader, s, "store", 0, &err) == ERR_NONE) {
		for (int i = 0; i < 4; i++) {
			enum err_kind rc = spool_reader_read(reader, &b, 0, 0, &err);

			for (size_t at = 0; at < b.count && !rc; at++) {
				struct span got = spool_batch_payload(&b, at);

				assert_true(
					span_equal(got, kit_payload(b.frames[at].seq, got.len)));
				spool_reader_pass(reader, b.frames[at].seq);
			}
			spool_batch_reset(&b);
		}
		(void)!spool_reader_seek(reader, 0, &lost, &err);
	}
	spool_reader_free(reader);
	spool_batch_release(&b);
}

static void open_append_commit_read(void *arg)
{
	struct spool_options options = {.max_bytes = 64 * MIB};
	static const size_t lens[] = {10, 5 * MIB, 7 * MIB, 10};
	struct spool_stats st = {0};
	struct scratch dir;
	struct err err = {0};
	struct spool *s = NULL;
	bool done = false;

	(void)arg;
	fault_pause();
	scratch_make(&dir);
	fault_resume();
	options.folder = dir.path;
	for (int again = 0; again < 2; again++) {
		if (spool_open(&s, &options, &err)) {
			assert_int_not_equal(err.kind, ERR_NONE);
			assert_true(strlen(err.text) > 10);
			continue;
		}
		for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
			spool_stats(s, &st);
			if (spool_append(s, kit_payload(st.appended_seq + 1, lens[i]),
					 kit_observed_ns(st.appended_seq + 1), SPOOL_ORDINARY,
					 &err))
				break;
			spool_flush(s);
			if (spool_commit(s, 0, &done, &err))
				break;
		}
		read_under_faults(s);
		spool_stats(s, &st);
		spool_close(s);
	}
	check_after_fault(dir.path, st.accepted_seq);
	fault_pause();
	scratch_remove(&dir);
	fault_resume();
}

/* Syncing for real takes most of the time of a test that opens a spool some hundred times. */
static int no_sync(int fd)
{
	(void)fd;
	return 0;
}

static void no_fault_of_any_call_loses_what_was_accepted(void **state)
{
	static const struct fault_disk disk = {.fdatasync = no_sync, .fsync = no_sync};

	(void)state;
	fault_set_disk(&disk);
	fault_everywhere(open_append_commit_read, NULL);
	fault_set_disk(NULL);
}

/* A spool with rot in it: a header, a frame, and a file that is no segment's. */
static void open_and_read_damage(void *arg)
{
	const struct scratch *whole = arg;
	struct spool_options options = {.max_bytes = 64 * MIB};
	struct scratch dir;
	struct err err = {0};
	struct spool *s = NULL;
	char command[2 * PATH_MAX];

	fault_pause();
	scratch_make(&dir);
	(void)snprintf(command, sizeof(command), "cp -r %s/. %s", whole->path, dir.path);
	assert_int_equal(system(command), 0);
	fault_resume();
	options.folder = dir.path;
	if (spool_open(&s, &options, &err) == ERR_NONE) {
		read_under_faults(s);
		spool_close(s);
	}
	fault_pause();
	scratch_remove(&dir);
	fault_resume();
}

static void rot(const char *folder, uint64_t segment, off_t at, off_t file_len)
{
	struct segment_path path = segment_path(folder, segment);
	int fd = open(path.text, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "rot", 3, at), 3);
	assert_int_equal(ftruncate(fd, file_len), 0); /* quick to copy, and cut short as well */
	(void)close(fd);
}

static void no_fault_while_damage_is_handled_leaks_or_crashes(void **state)
{
	static const struct fault_disk disk = {.fdatasync = no_sync, .fsync = no_sync};
	size_t small_end = SEGMENT_HEADER_BYTES + 5 * (FRAME_OVERHEAD_BYTES + (size_t)10);
	struct scratch large, small;
	struct spool *s;

	(void)state;
	fault_set_disk(&disk);
	scratch_make(&large); /* rotten frames, a rotten header, and a segment that lost all */
	s = kit_open(large.path);
	for (int i = 0; i < 3; i++) {
		kit_append(s, 2, 6 * MIB);
		kit_commit(s);
	}
	spool_close(s);
	rot(large.path, 1, 500, 8192);
	rot(large.path, 3, 20, 8192);
	rot(large.path, 5, 500, 8192);
	fault_everywhere(open_and_read_damage, &large);
	scratch_remove(&large);

	scratch_make(&small); /* a rotten commit with a torn tail behind it */
	s = kit_open(small.path);
	kit_append(s, 5, 10);
	kit_commit(s);
	kit_append(s, 5, 10);
	kit_commit(s);
	spool_close(s);
	rot(small.path, 1, (off_t)(small_end + COMMIT_FRAME_BYTES + 100), (off_t)small_end + 500);
	rot(small.path, 1, (off_t)small_end + 40, (off_t)small_end + 500);
	fault_everywhere(open_and_read_damage, &small);
	scratch_remove(&small);
	fault_set_disk(NULL);
}

/* ---- adopting ---- */

static void make_copy(const struct scratch *whole, struct scratch *ret)
{
	char command[2 * PATH_MAX];

	scratch_make(ret);
	(void)snprintf(command, sizeof(command), "cp -r %s/. %s", whole->path, ret->path);
	assert_int_equal(system(command), 0);
}

/* The folder is the old stream or the new one, and every record is there. */
static void check_adopted(const char *folder, const struct spool_stream *before,
			  const struct spool_adopted *done)
{
	struct kit_read *r = malloc(sizeof(*r));
	struct spool_stream found;
	struct spool *s = kit_open(folder);

	assert_non_null(r);
	found = spool_stream(s);
	if (found.epoch == before->epoch)
		assert_int_equal(id_compare(&found.uuid, &before->uuid), 0);
	else
		assert_int_equal(id_compare(&found.uuid, &done->now.uuid), 0);
	kit_append(s, 2, 10);
	kit_commit(s);
	kit_read_all(s, 0, r);
	assert_true(kit_is_range(r, 1, 8, 0, 0));
	assert_int_equal(r->damage_count, 0);
	spool_close(s);
	free(r);
}

/* Six frames, and a torn tail that adopting cuts off. */
static struct spool_stream make_torn(struct scratch *ret)
{
	struct spool_stream stream;
	struct spool *s;

	scratch_make(ret);
	s = kit_open(ret->path);
	stream = spool_stream(s);
	kit_append(s, 6, 10);
	kit_commit(s);
	spool_close(s);
	rot(ret->path, 1, 1000, SPOOL_SEGMENT_BYTES);
	return stream;
}

static void a_power_cut_while_adopting_leaves_the_old_name_or_the_new(void **state)
{
	struct spool_adopted done = {0};
	struct spool_stream before;
	struct scratch whole, dir;
	struct err err = {0};
	bool adopted = false;

	(void)state;
	fault_arm(0, false); /* the disk's model goes on from its pauses */
	before = make_torn(&whole);
	model.random = (uint64_t)time_now_ns() | 1;
	print_message("random=%" PRIu64 "\n", model.random);
	for (unsigned calls = 0; calls < 40 && !adopted; calls++)
		for (int luck = 0; luck < 8; luck++) {
			make_copy(&whole, &dir);
			model.cut = false;
			model.calls_left = calls;
			fault_set_disk(&forgetful);
			adopted = spool_adopt(dir.path, &done, &err) == ERR_NONE;
			lose_unsynced();
			fault_set_disk(NULL);
			check_adopted(dir.path, &before, &done);
			scratch_remove(&dir);
		}
	assert_true(adopted); /* with that many calls, there was one that was not cut */
	(void)fault_disarm();
	scratch_remove(&whole);
}

static void adopt_under_faults(void *arg)
{
	const struct scratch *whole = arg;
	struct spool_adopted done = {0};
	struct spool_look before;
	struct scratch dir;
	struct err err = {0};

	fault_pause();
	make_copy(whole, &dir);
	assert_int_equal(spool_look(dir.path, &before, &err), ERR_NONE);
	fault_resume();
	if (spool_adopt(dir.path, &done, &err))
		assert_true(strlen(err.text) > 10);
	fault_pause();
	check_adopted(dir.path, &before.stream, &done);
	scratch_remove(&dir);
	fault_resume();
}

static void no_fault_while_adopting_costs_a_record_or_both_names(void **state)
{
	static const struct fault_disk disk = {.fdatasync = no_sync, .fsync = no_sync};
	struct scratch whole;

	(void)state;
	fault_set_disk(&disk);
	(void)make_torn(&whole);
	fault_everywhere(adopt_under_faults, &whole);
	fault_set_disk(NULL);
	scratch_remove(&whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_power_cut_loses_nothing_that_was_accepted),
		cmocka_unit_test(no_fault_of_any_call_loses_what_was_accepted),
		cmocka_unit_test(no_fault_while_damage_is_handled_leaks_or_crashes),
		cmocka_unit_test(a_power_cut_while_adopting_leaves_the_old_name_or_the_new),
		cmocka_unit_test(no_fault_while_adopting_costs_a_record_or_both_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
