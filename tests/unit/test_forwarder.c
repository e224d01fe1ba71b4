/* Every record reaches the sink, in order, in deliveries that are the same after a crash. */
#include "run/forwarder.h"

#include "base/file.h"
#include "base/time.h"
#include "sink/cursor.h"

#include "fault.h"
#include "scratch.h"
#include "spool_kit.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { RECORD_BYTES = 100, DELIVERIES_MAX = 64, RECORDS_EACH = 10, TEXT_BYTES = 4096 };

struct delivery {
	uint64_t first, last, count;
	bool again;
};

/* A place that takes RECORDS_EACH records a delivery, and does what it is told. */
struct place {
	struct delivery now, done[DELIVERIES_MAX];
	size_t done_count;
	uint64_t expected; /* the number of the next record */
	uint64_t bad_seq;  /* of a record that it refuses; 0: none */
	unsigned failures; /* so many deliveries fail first, as ... */
	enum err_kind failure;
	_Atomic unsigned tries;
	bool closed;
	bool cut_was_known; /* before each delivery, the cut was on record */
	const char *folder;
};

static struct scratch dir;
static struct spool *spool;
static struct life life;
static struct forwarder_status status;
static struct place place;
static struct err err;

static void place_begin(void *ctx, uint64_t first_seq, bool again)
{
	struct place *p = ctx;

	p->now = (struct delivery){.first = first_seq, .again = again};
	p->expected = first_seq;
}

static enum err_kind place_add(void *ctx, uint64_t seq, struct span payload, struct err *ret_err)
{
	struct place *p = ctx;

	assert_int_equal(seq, p->expected);
	assert_true(span_equal(payload, kit_payload(p->expected, RECORD_BYTES)));
	if (p->now.count == RECORDS_EACH)
		return err_set(ret_err, ERR_FULL, "no more");
	p->expected++;
	if (p->expected - 1 == p->bad_seq)
		return err_set(ret_err, ERR_REJECT, "it is bad");
	p->now.count++;
	return ERR_NONE;
}

static enum err_kind place_seal(void *ctx, uint64_t last_seq, struct buf *cut, struct err *ret_err)
{
	struct place *p = ctx;

	p->now.last = last_seq;
	buf_fmt(cut, "%llu-%llu", (unsigned long long)p->now.first, (unsigned long long)last_seq);
	return buf_check(cut, ret_err);
}

static enum err_kind place_deliver(void *ctx, struct sink_answer *ret, struct err *ret_err)
{
	struct place *p = ctx;
	struct cursor cursor;
	struct err ignored;
	bool found;

	cursor_init(&cursor, &(struct spool_stream){.epoch = 1});
	assert_int_equal(cursor_load(&cursor, p->folder, "place", &found, &ignored), ERR_NONE);
	p->cut_was_known &=
		found && cursor.cut_seq == p->now.last && cursor.delivered_seq == p->now.first - 1;
	cursor_release(&cursor);
	atomic_fetch_add(&p->tries, 1);
	if (p->failures > 0) {
		p->failures--;
		return err_set(ret_err, p->failure, "not now");
	}
	assert_true(p->done_count < DELIVERIES_MAX);
	p->done[p->done_count++] = p->now;
	return ERR_NONE;
}

static void place_close(void *ctx)
{
	struct place *p = ctx;

	p->closed = true;
}

static const struct sink_ops place_ops = {
	.name = "place",
	.begin = place_begin,
	.add = place_add,
	.seal = place_seal,
	.deliver = place_deliver,
	.close = place_close,
};

static int set_up(void **state)
{
	(void)state;
	scratch_make(&dir);
	spool = kit_open(dir.path);
	place = (struct place){.cut_was_known = true, .folder = dir.path};
	status = (struct forwarder_status){.state = FORWARDER_STARTING};
	lock_init(&status.lock, LOCK_RANK_status);
	return life_init(&life, &err) != ERR_NONE;
}

static int tear_down(void **state)
{
	(void)state;
	life_release(&life);
	lock_destroy(&status.lock);
	spool_close(spool);
	scratch_remove(&dir);
	return 0;
}

static struct forwarder *open_forwarder(void)
{
	const struct forwarder_options options = {
		.spool = spool, .life = &life, .status = &status, .folder = dir.path};
	struct forwarder *f = NULL;

	assert_int_equal(forwarder_new(&f, (struct sink){&place_ops, &place, 3600}, &options, &err),
			 ERR_NONE);
	return f;
}

static void append(size_t count)
{
	kit_append(spool, count, RECORD_BYTES);
	kit_commit(spool);
}

/* With all that is there, and nothing to come. */
static void run_to_the_end(void)
{
	struct forwarder *f = open_forwarder();

	atomic_store(&life.intake_done, true);
	forwarder_run(f);
	forwarder_free(f);
	assert_true(place.closed);
	assert_true(place.cut_was_known);
}

static void assert_delivery(size_t idx, uint64_t first, uint64_t last, uint64_t count, bool again)
{
	assert_true(idx < place.done_count);
	assert_int_equal(place.done[idx].first, first);
	assert_int_equal(place.done[idx].last, last);
	assert_int_equal(place.done[idx].count, count);
	assert_int_equal(place.done[idx].again, again);
}

static void every_record_is_delivered_once_and_in_order(void **state)
{
	(void)state;
	append(25);
	run_to_the_end();
	assert_int_equal(place.done_count, 3);
	assert_delivery(0, 1, 10, 10, false);
	assert_delivery(1, 11, 20, 10, false);
	assert_delivery(2, 21, 25, 5, false);
	assert_int_equal(atomic_load(&status.delivered_seq), 25);
	assert_int_equal(atomic_load(&status.records), 25);
	assert_int_equal(atomic_load(&status.state), FORWARDER_WORKING);
	append(1); /* another process goes on from there */
	run_to_the_end();
	assert_int_equal(place.done_count, 4);
	assert_delivery(3, 26, 26, 1, false);
}

static void where_there_is_nothing_nothing_is_delivered(void **state)
{
	(void)state;
	run_to_the_end();
	assert_int_equal(place.done_count, 0);
	append(1);
	run_to_the_end();
	run_to_the_end();
	assert_int_equal(place.done_count, 1);
}

static void what_fails_is_tried_again(void **state)
{
	(void)state;
	append(12);
	place.failures = 1;
	place.failure = ERR_RETRY;
	run_to_the_end();
	assert_int_equal(place.done_count, 2);
	assert_delivery(0, 1, 10, 10, false);
	assert_delivery(1, 11, 12, 2, false);
	assert_int_equal(atomic_load(&status.retries), 1);
}

static void *run_main(void *arg)
{
	forwarder_run(arg);
	return NULL;
}

static void run_until_it_has_tried(enum err_kind failure)
{
	struct forwarder *f = open_forwarder();
	pthread_t thread;

	place.failures = UINT32_MAX;
	place.failure = failure;
	assert_int_equal(pthread_create(&thread, NULL, run_main, f), 0);
	while (atomic_load(&place.tries) == 0 || atomic_load(&status.state) == FORWARDER_STARTING)
		(void)sched_yield();
	life_cut(&life);
	spool_wake(spool);
	assert_int_equal(pthread_join(thread, NULL), 0);
	forwarder_free(f);
	assert_true(place.cut_was_known);
}

/* As after a crash in the middle of a delivery; what came meanwhile is for the next. */
static void what_was_cut_is_made_again_and_no_other(void **state)
{
	(void)state;
	append(15);
	run_until_it_has_tried(ERR_RETRY);
	assert_int_equal(atomic_load(&status.state), FORWARDER_RETRYING);
	life_release(&life);
	assert_int_equal(life_init(&life, &err), ERR_NONE);
	place.failures = 0;
	append(3);
	run_to_the_end();
	assert_int_equal(place.done_count, 2);
	assert_delivery(0, 1, 10, 10, true);
	assert_delivery(1, 11, 18, 8, false);
}

static void a_place_that_needs_an_operator_is_parked(void **state)
{
	(void)state;
	append(RECORDS_EACH + 1); /* more than one delivery: it does not wait for others */
	run_until_it_has_tried(ERR_CONFIG);
	assert_int_equal(atomic_load(&status.state), FORWARDER_PARKED);
	assert_string_equal(status.why.text, "not now");
	assert_int_equal(place.done_count, 0);
	assert_int_equal(atomic_load(&status.delivered_seq), 0);
}

static void a_record_that_is_refused_goes_to_the_dead_letters(void **state)
{
	struct buf text;

	(void)state;
	buf_init(&text, TEXT_BYTES);
	append(5);
	place.bad_seq = 3;
	run_to_the_end();
	assert_delivery(0, 1, 5, 4, false);
	assert_int_equal(atomic_load(&status.dead_letters), 1);
	assert_int_equal(file_read_all(scratch_file(&dir, "dead-place.ndjson"), &text, &err),
			 ERR_NONE);
	assert_non_null(strstr((const char *)text.data, "it is bad"));
	buf_release(&text);
}

static void a_new_sink_begins_with_the_oldest_record_there_is(void **state)
{
	static const char of_another[] =
		"{\"stream\":\"01020300-0000-0000-0000-000000000000\",\"epoch\":\"1\","
		"\"delivered_seq\":\"7\",\"cut_seq\":\"9\",\"cut\":\"8-9\"}\n";

	(void)state;
	append(5);
	assert_int_equal(
		file_replace(dir.path, "place.cursor", of_another, sizeof(of_another) - 1, &err),
		ERR_NONE);
	run_to_the_end();
	assert_int_equal(place.done_count, 1);
	assert_delivery(0, 1, 5, 5, false);
}

static void a_cursor_that_is_ahead_of_the_spool_is_said_so(void **state)
{
	const struct forwarder_options options = {
		.spool = spool, .life = &life, .status = &status, .folder = dir.path};
	struct forwarder *f = NULL;
	struct spool_stream stream = spool_stream(spool);
	struct cursor cursor;

	(void)state;
	cursor_init(&cursor, &stream);
	cursor.delivered_seq = 6;
	append(5);
	assert_int_equal(cursor_save(&cursor, dir.path, "place", &err), ERR_NONE);
	cursor_release(&cursor);
	assert_int_equal(forwarder_new(&f, (struct sink){&place_ops, &place, 3600}, &options, &err),
			 ERR_CONFIG);
	assert_true(place.closed);
	assert_non_null(strstr(err.text, "spool adopt"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(every_record_is_delivered_once_and_in_order),
		TEST(where_there_is_nothing_nothing_is_delivered),
		TEST(what_fails_is_tried_again),
		TEST(what_was_cut_is_made_again_and_no_other),
		TEST(a_place_that_needs_an_operator_is_parked),
		TEST(a_record_that_is_refused_goes_to_the_dead_letters),
		TEST(a_new_sink_begins_with_the_oldest_record_there_is),
		TEST(a_cursor_that_is_ahead_of_the_spool_is_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
