/* The spool with its threads: one appends, one commits, others read. Run under TSan as well. */

#include "scratch.h"
#include "spool_kit.h"

#include "base/time.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { THREADS_FRAMES = 200000, THREADS_READERS = 2, WAIT_S = 30, MIB = 1024 * 1024 };

struct race {
	struct spool *s;
	struct spool_reader *readers[THREADS_READERS];
};

struct race_reader {
	struct race *race;
	size_t idx;
};

static void *commit_until_done(void *arg)
{
	struct race *race = arg;
	struct err err = {0};
	bool done = false;

	while (!done)
		assert_int_equal(spool_commit(race->s, NS_PER_S, &done, &err), ERR_NONE);
	return NULL;
}

static void *read_until_last(void *arg)
{
	const struct race_reader *me = arg;
	struct spool_reader *r = me->race->readers[me->idx];
	struct spool_damage lost;
	struct spool_batch b;
	struct err err = {0};
	uint64_t seq = 0;
	bool went_back = false;

	assert_int_equal(spool_batch_init(&b, 500, MIB, &err), ERR_NONE);
	while (seq < THREADS_FRAMES) {
		spool_batch_reset(&b);
		assert_int_equal(spool_reader_read(r, &b, WAIT_S * NS_PER_S, NS_PER_MS, &err),
				 ERR_NONE);
		assert_int_equal(b.damage.first_seq, 0);
		for (size_t i = 0; i < b.count; i++)
			assert_true(b.frames[i].seq == ++seq);
		if (seq > THREADS_FRAMES / 2 && !went_back) {
			went_back = true;
			seq -= 100;
			assert_int_equal(spool_reader_seek(r, seq, &lost, &err), ERR_NONE);
			assert_int_equal(lost.first_seq, 0);
		} else {
			spool_reader_pass(r, seq);
		}
	}
	spool_batch_release(&b);
	return NULL;
}

static void appender_committer_and_readers_run_at_once(void **state)
{
	struct spool_options options = {.max_bytes = 64 * MIB, .keep_ns = 0};
	struct race race = {0};
	struct race_reader readers[THREADS_READERS];
	pthread_t committer, threads[THREADS_READERS];
	struct scratch dir;
	struct err err = {0};

	(void)state;
	scratch_make(&dir);
	options.folder = dir.path;
	assert_int_equal(spool_open(&race.s, &options, &err), ERR_NONE);
	for (size_t i = 0; i < THREADS_READERS; i++) {
		readers[i] = (struct race_reader){&race, i};
		assert_int_equal(spool_reader_new(&race.readers[i], race.s, "r", 0, &err),
				 ERR_NONE);
		assert_int_equal(pthread_create(&threads[i], NULL, read_until_last, &readers[i]),
				 0);
	}
	assert_int_equal(pthread_create(&committer, NULL, commit_until_done, &race), 0);
	for (uint64_t seq = 1; seq <= THREADS_FRAMES; seq++) {
		enum err_kind rc = ERR_FULL;

		while (rc == ERR_FULL) {
			rc = spool_append(race.s, kit_payload(seq, seq % 1500 + 1), 1,
					  SPOOL_ORDINARY, &err);
			if (rc == ERR_FULL)
				(void)spool_wait_room(race.s, NS_PER_S);
		}
		assert_int_equal(rc, ERR_NONE);
	}
	spool_end_appends(race.s);
	assert_int_equal(pthread_join(committer, NULL), 0);
	for (size_t i = 0; i < THREADS_READERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		spool_reader_free(race.readers[i]);
	}
	spool_close(race.s);
	scratch_remove(&dir);
}

static void a_record_is_accepted_though_nothing_follows_it(void **state)
{
	struct race race = {0};
	struct spool_batch b;
	struct scratch dir;
	struct err err = {0};
	pthread_t committer;
	int64_t before_ns;

	(void)state;
	scratch_make(&dir);
	race.s = kit_open(dir.path);
	assert_int_equal(spool_reader_new(&race.readers[0], race.s, "r", 0, &err), ERR_NONE);
	assert_int_equal(spool_batch_init(&b, 10, MIB, &err), ERR_NONE);
	assert_int_equal(pthread_create(&committer, NULL, commit_until_done, &race), 0);
	before_ns = time_monotonic_ns();
	kit_append(race.s, 1, 100);
	assert_int_equal(spool_reader_read(race.readers[0], &b, WAIT_S * NS_PER_S, 0, &err),
			 ERR_NONE);
	assert_int_equal(b.count, 1);
	/* A wide bound: what is meant is "not at the next flush, or at the end". */
	assert_true(time_monotonic_ns() - before_ns < WAIT_S * NS_PER_S / 2);
	spool_end_appends(race.s);
	assert_int_equal(pthread_join(committer, NULL), 0);
	spool_reader_free(race.readers[0]);
	spool_batch_release(&b);
	spool_close(race.s);
	scratch_remove(&dir);
}

static void *wake_soon(void *arg)
{
	struct race *race = arg;

	for (int i = 0; i < 1000; i++)
		spool_wake(race->s);
	return NULL;
}

static void *wait_for_ever(void *arg)
{
	struct race *race = arg;
	struct spool_batch b;
	struct err err = {0};

	assert_int_equal(spool_batch_init(&b, 10, MIB, &err), ERR_NONE);
	assert_int_equal(spool_reader_read(race->readers[0], &b, 3600 * NS_PER_S, 0, &err),
			 ERR_NONE);
	assert_int_equal(b.count, 0);
	spool_batch_release(&b);
	return NULL;
}

static void a_wake_ends_the_waits(void **state)
{
	struct race race = {0};
	pthread_t waiter, waker;
	struct scratch dir;
	struct timespec until;
	struct err err = {0};
	int joined = ETIMEDOUT;

	(void)state;
	scratch_make(&dir);
	race.s = kit_open(dir.path);
	assert_int_equal(spool_reader_new(&race.readers[0], race.s, "r", 0, &err), ERR_NONE);
	assert_int_equal(pthread_create(&waiter, NULL, wait_for_ever, &race), 0);
	/* A wake that comes before the wait has begun ends nothing, so they come until it does. */
	for (int i = 0; i < 1000 && joined == ETIMEDOUT; i++) {
		assert_int_equal(pthread_create(&waker, NULL, wake_soon, &race), 0);
		assert_int_equal(pthread_join(waker, NULL), 0);
		assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
		until.tv_sec += 1;
		joined = pthread_timedjoin_np(waiter, NULL, &until);
	}
	assert_int_equal(joined, 0);
	spool_reader_free(race.readers[0]);
	spool_close(race.s);
	scratch_remove(&dir);
}

/* ---- full, or only busy ---- */

enum {
	FULL_PAYLOAD_BYTES = MIB - 4096,
	FULL_TO_LAST = 3 * 16 + 2, /* of those: three segments, and the beginning of the last */
	FULL_OF_BLOCKS = 2 * 4,    /* two blocks' worth */
};

struct appender {
	struct spool *s;
	size_t count;
	enum err_kind rc; /* of the last append */
	pthread_t thread;
};

static void *append_until_refused(void *arg)
{
	struct appender *a = arg;
	struct err err = {0};

	a->rc = ERR_NONE;
	for (size_t i = 0; i < a->count && !a->rc; i++) {
		struct spool_stats st;

		spool_stats(a->s, &st);
		a->rc = spool_append(a->s, kit_payload(st.appended_seq + 1, FULL_PAYLOAD_BYTES), 1,
				     SPOOL_ORDINARY, &err);
	}
	return NULL;
}

/* What the appender gets when the committer comes late. */
static enum err_kind append_before_the_committer(struct spool *s, size_t count)
{
	const struct timespec late = {.tv_nsec = 200 * NS_PER_MS};
	struct appender a = {.s = s, .count = count};
	struct timespec until;
	struct err err = {0};
	int joined = ETIMEDOUT;
	bool done;

	assert_int_equal(pthread_create(&a.thread, NULL, append_until_refused, &a), 0);
	(void)nanosleep(&late, NULL);
	for (int i = 0; i < WAIT_S * 100 && joined == ETIMEDOUT; i++) {
		assert_int_equal(spool_commit(s, 0, &done, &err), ERR_NONE);
		assert_int_equal(clock_gettime(CLOCK_REALTIME, &until), 0);
		until.tv_nsec += 10 * NS_PER_MS; /* in which the appender may run */
		until.tv_sec += until.tv_nsec / NS_PER_S;
		until.tv_nsec %= NS_PER_S;
		joined = pthread_timedjoin_np(a.thread, NULL, &until);
	}
	assert_int_equal(joined, 0);
	kit_commit(s);
	return a.rc;
}

static void a_committer_that_is_busy_is_no_lack_of_room(void **state)
{
	struct spool_reader *reader = NULL;
	struct scratch dir;
	struct err err = {0};
	struct spool *s;

	(void)state;
	scratch_make(&dir);
	s = kit_open(dir.path);
	assert_int_equal(spool_reader_new(&reader, s, "r", 0, &err), ERR_NONE);
	for (int i = 0; i < FULL_TO_LAST; i++) {
		kit_append(s, 1, FULL_PAYLOAD_BYTES);
		kit_commit(s);
	}
	assert_false(spool_wait_room(s, 0)); /* for a segment more; the last one is nearly empty */
	assert_int_equal(append_before_the_committer(s, FULL_OF_BLOCKS), ERR_NONE);
	assert_int_equal(append_before_the_committer(s, FULL_OF_BLOCKS), ERR_FULL);
	/* The committer has not come to look yet, and then there is room. */
	spool_reader_pass(reader, 16);
	assert_int_equal(append_before_the_committer(s, 1), ERR_NONE);
	spool_reader_free(reader);
	spool_close(s);
	scratch_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appender_committer_and_readers_run_at_once),
		cmocka_unit_test(a_record_is_accepted_though_nothing_follows_it),
		cmocka_unit_test(a_wake_ends_the_waits),
		cmocka_unit_test(a_committer_that_is_busy_is_no_lack_of_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
