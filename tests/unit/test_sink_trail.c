/* That a sink is behind is told once, and then it says until when. */
#include "run/sink_trail.h"

#include "base/time.h"

#include "scratch.h"
#include "spool_kit.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MIB = 1024 * 1024, SPOOL_MIB = 256, PAYLOAD_MIB = 7 };

static struct scratch dir;
static struct spool *spool;
static struct spool_reader *reader;
static struct life life;
static struct sink_status status;
static struct trail *trail;
static struct sink_trail record;
static struct err err;

static int set_up(void **state)
{
	const struct spool_options options = {
		.folder = dir.path, .max_bytes = (uint64_t)SPOOL_MIB * MIB, .keep_ns = NS_PER_S};

	(void)state;
	scratch_make(&dir);
	assert_int_equal(spool_open(&spool, &options, &err), ERR_NONE);
	assert_int_equal(spool_reader_new(&reader, spool, "place", 0, &err), ERR_NONE);
	spool_reader_yield(reader);
	status = (struct sink_status){.state = SINK_RETRYING};
	lock_init(&status.lock, LOCK_RANK_status);
	assert_int_equal(
		trail_new(&trail, &(struct trail_self){.stream = spool_stream(spool)}, &err),
		ERR_NONE);
	assert_int_equal(life_init(&life, &err), ERR_NONE);
	record = (struct sink_trail){
		.sink = "place", .trail = trail, .spool = spool, .life = &life, .status = &status};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	life_release(&life);
	lock_destroy(&status.lock);
	trail_free(trail);
	spool_reader_free(reader);
	spool_close(spool);
	scratch_remove(&dir);
	return 0;
}

/* Two records each, taken at observed_ns. */
static void fill_segments(size_t count, int64_t observed_ns)
{
	for (size_t i = 0; i < count; i++) {
		for (int half = 0; half < 2; half++)
			assert_int_equal(spool_append(spool, kit_payload(1, PAYLOAD_MIB * MIB),
						      observed_ns, SPOOL_ORDINARY, &err),
					 ERR_NONE);
		kit_commit(spool);
	}
}

static bool told(struct fact *ret)
{
	sink_trail_look_behind(&record, reader, 1);
	if (!trail_peek(trail, ret))
		return false;
	trail_pop(trail);
	assert_int_equal(ret->action, ACTION_trail_sink_behind);
	assert_int_equal(ret->first_seq, 1);
	return true;
}

static void assert_says_when(const struct fact *fact)
{
	static const char says[] = "the oldest will have to go at 20";

	assert_int_equal(strncmp(fact->why, says, strlen(says)), 0);
}

static void what_was_written_last_is_not_behind(void **state)
{
	struct fact fact;

	(void)state;
	assert_false(told(&fact));
	fill_segments(2, time_now_ns() - 3600 * NS_PER_S);
	assert_false(told(&fact));
	assert_int_equal(atomic_load(&status.behind_bytes_max), SPOOL_MIB / 2 * MIB);
}

static void a_tenth_is_told_once_until_it_has_caught_up(void **state)
{
	struct fact fact;

	(void)state;
	fill_segments(3, time_now_ns() - 3600 * NS_PER_S);
	assert_true(told(&fact));
	assert_says_when(&fact);
	fill_segments(3, time_now_ns());
	assert_false(told(&fact));
	spool_reader_pass(reader, 12);
	assert_false(told(&fact));
	fill_segments(3, time_now_ns() - 3600 * NS_PER_S);
	sink_trail_look_behind(&record, reader, 1);
	assert_true(trail_peek(trail, &fact));
	assert_says_when(&fact);
}

/* Of a burst nothing follows yet: it is told when something does, and not before, without it. */
static void a_burst_is_told_when_it_can_say_until_when(void **state)
{
	struct fact fact;

	(void)state;
	fill_segments(3, time_now_ns());
	assert_false(told(&fact));
	fill_segments(2, time_now_ns());
	assert_true(told(&fact));
	assert_says_when(&fact);
	assert_false(told(&fact));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(what_was_written_last_is_not_behind),
		TEST(a_tenth_is_told_once_until_it_has_caught_up),
		TEST(a_burst_is_told_when_it_can_say_until_when),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
