/* Every record reaches the sink, in order, in deliveries that are the same after a crash. */
#include "run/forwarder.h"

#include "base/file.h"
#include "base/time.h"
#include "sink/cursor.h"
#include "sink/dead_file.h"
#include "spool/segment.h"

#include "fault.h"
#include "scratch.h"
#include "spool_kit.h"

#include <errno.h>
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
	uint64_t late_seq; /* of one that it refuses when it is delivered; 0: none */
	uint64_t each;     /* so many records make a delivery */
	unsigned failures; /* so many deliveries fail first, as ... */
	enum err_kind failure;
	_Atomic unsigned tries;
	const char *name;          /* where it is, if it can be tried */
	unsigned proofs, unproved; /* the first so many fail, as ... */
	enum err_kind unproved_as;
	_Atomic enum err_kind unopened; /* as what it cannot be opened; ERR_NONE: it can */
	bool closed;
	bool cut_was_known; /* before each delivery, the cut was on record */
	const char *folder;
};

static struct scratch dir;
static struct spool *spool;
static struct life life;
static struct sink_status status;
static struct trail *trail;
static struct place place;
static unsigned gather_seconds;
static size_t record_bytes;
static struct err err;

static void place_begin(void *ctx, uint64_t first_seq, bool again)
{
	struct place *p = ctx;

	p->now = (struct delivery){.first = first_seq, .again = again};
	p->expected = first_seq;
}

static enum err_kind place_add(void *ctx, uint64_t seq, struct span payload, bool *ret_taken,
			       struct err *ret_err)
{
	struct place *p = ctx;

	assert_true(seq >= p->expected); /* some may be missing */
	assert_true(span_equal(payload, kit_payload(seq, record_bytes)));
	if (p->now.count == p->each)
		return err_set(ret_err, ERR_FULL, "no more");
	p->expected = seq + 1;
	if (seq == p->bad_seq)
		return err_set(ret_err, ERR_REJECT, "it is bad");
	p->now.count++;
	*ret_taken = true;
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
	if (p->late_seq != 0) {
		ret->refused_seq = p->late_seq;
		p->late_seq = 0;
		return err_set(ret_err, ERR_REJECT, "it is bad, after all");
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
	gather_seconds = 3600;
	record_bytes = RECORD_BYTES;
	place = (struct place){.cut_was_known = true, .each = RECORDS_EACH, .folder = dir.path};
	status = (struct sink_status){.state = SINK_OFF};
	lock_init(&status.lock, LOCK_RANK_status);
	assert_int_equal(
		trail_new(&trail, &(struct trail_self){.stream = spool_stream(spool)}, &err),
		ERR_NONE);
	return life_init(&life, &err) != ERR_NONE;
}

static int tear_down(void **state)
{
	(void)state;
	life_release(&life);
	lock_destroy(&status.lock);
	trail_free(trail);
	spool_close(spool);
	scratch_remove(&dir);
	return 0;
}

static enum err_kind prove(void *arg, struct buf *found, struct err *ret_err)
{
	struct place *p = arg;

	if (p->proofs++ < p->unproved)
		return err_set(ret_err, p->unproved_as, "no answer");
	buf_str(found, "{\"reads\":\"yes\"}");
	return ERR_NONE;
}

static enum err_kind open_place(void *arg, struct sink *ret, struct err *ret_err)
{
	struct place *p = arg;
	enum err_kind unopened = atomic_load(&p->unopened);

	if (unopened)
		return err_set(ret_err, unopened, "its index is damaged");
	*ret = (struct sink){&place_ops, p, gather_seconds, p->name ? p->name : "here"};
	p->closed = false;
	return ERR_NONE;
}

static struct forwarder *open_forwarder(void)
{
	const struct forwarder_options options = {
		.name = "place",
		.spool = spool,
		.life = &life,
		.status = &status,
		.trail = trail,
		.folder = dir.path,
		.open = open_place,
		.prove = place.name ? prove : NULL,
		.arg = &place,
	};
	struct forwarder *f = NULL;

	assert_int_equal(forwarder_new(&f, &options, &err), ERR_NONE);
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
	assert_int_equal(atomic_load(&status.state), SINK_WORKING);
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
	while (atomic_load(&place.tries) == 0 || atomic_load(&status.state) == SINK_STARTING)
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
	assert_int_equal(atomic_load(&status.state), SINK_RETRYING);
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
	assert_int_equal(atomic_load(&status.state), SINK_PARKED);
	assert_string_equal(status.error, "not now");
	assert_int_equal(place.done_count, 0);
	assert_int_equal(atomic_load(&status.delivered_seq), 0);
}

/* says: what its error has in it. */
static void await_state(enum sink_state state, const char *says)
{
	char error[ERR_TEXT_BYTES];

	while (sink_status_read(&status, error) != state)
		(void)sched_yield();
	assert_non_null(strstr(error, says));
}

static struct buf read_dead_letters(void)
{
	struct buf text;

	buf_init(&text, TEXT_BYTES);
	assert_int_equal(file_read_all(scratch_file(&dir, "dead-place.ndjson"), &text, &err),
			 ERR_NONE);
	return text;
}

/* What was posted; the pipeline fetches facts while a forwarder runs. */
static struct fact next_fact(void)
{
	struct fact fact = {.action = ACTION_none};

	while (!trail_peek(trail, &fact))
		(void)sched_yield();
	trail_pop(trail);
	return fact;
}

static pthread_t start_forwarder(struct forwarder **ret)
{
	pthread_t thread;

	*ret = open_forwarder();
	assert_int_equal(pthread_create(&thread, NULL, run_main, *ret), 0);
	return thread;
}

static void end_forwarder(struct forwarder *f, pthread_t thread)
{
	atomic_store(&life.intake_done, true);
	spool_wake(spool);
	assert_int_equal(pthread_join(thread, NULL), 0);
	forwarder_free(f);
}

static void a_record_that_is_refused_goes_to_the_dead_letters(void **state)
{
	struct forwarder *f;
	struct buf text;
	pthread_t thread;

	(void)state;
	append(5);
	place.bad_seq = 3;
	thread = start_forwarder(&f);
	assert_int_equal(next_fact().first_seq, 3);
	end_forwarder(f, thread);
	assert_delivery(0, 1, 5, 4, false);
	assert_int_equal(atomic_load(&status.dead_letters), 1);
	text = read_dead_letters();
	assert_non_null(strstr((const char *)text.data, "it is bad"));
	buf_release(&text);
}

/* The place's answer is about one of many; what was read beyond the delivery is not lost by it. */
static void a_record_that_is_refused_late_goes_there_too(void **state)
{
	struct forwarder *f;
	struct fact fact;
	struct buf text;
	pthread_t thread;

	(void)state;
	append(25);
	place.late_seq = 7;
	thread = start_forwarder(&f);
	fact = next_fact();
	end_forwarder(f, thread);
	assert_int_equal(fact.action, ACTION_trail_dead_lettered);
	assert_int_equal(fact.first_seq, 7);
	assert_string_equal(fact.found.subject, "place");
	assert_int_equal(place.done_count, 3);
	assert_delivery(0, 1, 10, 10, false);
	assert_delivery(1, 11, 20, 10, false);
	assert_delivery(2, 21, 25, 5, false);
	assert_int_equal(atomic_load(&status.dead_letters), 1);
	assert_int_equal(atomic_load(&status.records), 24);
	text = read_dead_letters();
	assert_non_null(strstr((const char *)text.data, "\"seq\":7,"));
	assert_non_null(strstr((const char *)text.data, "after all"));
	buf_release(&text);
}

/* Where the dead letters are full an operator must act, and nothing is passed that is not kept. */
static void a_record_that_cannot_be_kept_holds_what_is_behind_it(void **state)
{
	static char full[DEAD_FILE_BYTES_MAX / 1024];
	struct forwarder *f;
	struct buf text;
	pthread_t thread;
	FILE *file;

	(void)state;
	append(25);
	file = fopen(scratch_file(&dir, "dead-place.ndjson"), "we");
	assert_non_null(file);
	memset(full, ' ', sizeof(full));
	full[sizeof(full) - 1] = '\n';
	for (size_t i = 0; i < 1024; i++)
		assert_int_equal(fwrite(full, sizeof(full), 1, file), 1);
	assert_int_equal(fclose(file), 0);
	place.late_seq = 7;
	thread = start_forwarder(&f);
	await_state(SINK_PARKED, "");
	assert_int_equal(place.done_count, 0);
	life_cut(&life);
	spool_wake(spool);
	assert_int_equal(pthread_join(thread, NULL), 0);
	forwarder_free(f);
	assert_int_equal(atomic_load(&status.delivered_seq), 0);

	assert_int_equal(unlink(scratch_file(&dir, "dead-place.ndjson")), 0);
	life_release(&life);
	assert_int_equal(life_init(&life, &err), ERR_NONE);
	place.late_seq = 7;
	thread = start_forwarder(&f);
	assert_int_equal(next_fact().first_seq, 7);
	end_forwarder(f, thread);
	assert_int_equal(place.done_count, 3);
	assert_delivery(0, 1, 10, 10, true);
	text = read_dead_letters();
	assert_non_null(strstr((const char *)text.data, "\"seq\":7,"));
	buf_release(&text);
}

/* Lines that never cease do not make it wait for the delivery to be full. */
static void what_has_waited_long_enough_goes_though_more_comes(void **state)
{
	enum { APPENDS_MAX = 900, PAUSE_US = 10 * 1000 };
	struct forwarder *f = NULL;
	pthread_t thread;

	(void)state;
	gather_seconds = 1;
	place.each = APPENDS_MAX;
	thread = start_forwarder(&f);
	for (int i = 0; i < APPENDS_MAX && atomic_load(&place.tries) == 0; i++) {
		append(1);
		(void)usleep(PAUSE_US);
	}
	assert_true(atomic_load(&place.tries) > 0);
	end_forwarder(f, thread);
	assert_true(place.done[0].last < APPENDS_MAX);
}

static void run_and_take(size_t count, struct fact *facts)
{
	struct forwarder *f;
	pthread_t thread = start_forwarder(&f);

	for (size_t i = 0; i < count; i++)
		facts[i] = next_fact();
	end_forwarder(f, thread);
	atomic_store(&life.intake_done, false);
}

static void a_place_is_tried_before_the_first_delivery_to_it(void **state)
{
	struct fact fact;

	(void)state;
	place.name = "one bucket";
	place.unproved = 1;
	place.unproved_as = ERR_RETRY;
	append(5);
	run_and_take(1, &fact);
	assert_int_equal(fact.action, ACTION_trail_sink_proved);
	assert_string_equal(fact.found_json, "{\"reads\":\"yes\"}");
	assert_int_equal(place.proofs, 2);
	assert_delivery(0, 1, 5, 5, false);
	append(5);
	run_and_take(0, NULL);
	assert_int_equal(place.proofs, 2); /* it is known */
	assert_delivery(1, 6, 10, 5, false);
	place.name = "another";
	append(5);
	run_and_take(1, &fact);
	assert_int_equal(fact.action, ACTION_trail_sink_proved);
	assert_int_equal(place.proofs, 3);
	assert_delivery(2, 11, 15, 5, false);
}

/* What is not on record is not passed: after the pipeline's end that is delivered, and told, again.
 */
static void what_cannot_be_told_any_more_holds_the_cursor(void **state)
{
	struct forwarder *f = NULL;
	struct fact fact;

	(void)state;
	append(5);
	place.bad_seq = 3;
	atomic_store(&life.pipeline_done, true);
	atomic_store(&life.intake_done, true);
	f = open_forwarder();
	forwarder_run(f);
	forwarder_free(f);
	assert_int_equal(place.done_count, 1);
	assert_int_equal(atomic_load(&status.delivered_seq), 0);
	assert_true(trail_peek(trail, &fact));
	trail_pop(trail);
	atomic_store(&life.pipeline_done, false);
	atomic_store(&life.intake_done, false);
	run_and_take(1, &fact);
	assert_int_equal(fact.first_seq, 3);
	assert_delivery(1, 1, 5, 4, true);
	assert_int_equal(atomic_load(&status.delivered_seq), 5);
}

static int renames_to_fail;

static int rename_fails_first(const char *from, const char *to)
{
	if (renames_to_fail == 0 || !strstr(to, "place.cursor"))
		return fault_real_rename(from, to);
	renames_to_fail--;
	errno = EIO;
	return -1;
}

static void fail_renames(int count)
{
	static const struct fault_disk disk = {.rename = rename_fails_first};

	renames_to_fail = count;
	fault_set_disk(count > 0 ? &disk : NULL);
}

static void a_cut_that_could_not_be_written_is_not_sent(void **state)
{
	(void)state;
	append(5);
	fail_renames(1);
	run_to_the_end();
	fail_renames(0);
	assert_true(place.cut_was_known);
	assert_delivery(0, 1, 5, 5, true);
}

/* Other bytes where the payload with this number lies. */
static void damage(uint64_t seq)
{
	struct segment_path path = segment_path(dir.path, 1);
	struct span payload = kit_payload(seq, RECORD_BYTES);
	struct buf bytes;
	uint8_t *at;
	int fd = -1;

	buf_init(&bytes, SPOOL_SEGMENT_BYTES);
	assert_int_equal(file_read_all(path.text, &bytes, &err), ERR_NONE);
	at = memmem(bytes.data, bytes.len, payload.data, payload.len);
	assert_non_null(at);
	assert_int_equal(file_open(&fd, path.text, FILE_WRITE, &err), ERR_NONE);
	assert_int_equal(file_write_at(fd, "damaged", 7, (uint64_t)(at - bytes.data) + 8, &err),
			 ERR_NONE);
	file_close(&fd);
	buf_release(&bytes);
}

static void a_hole_that_is_ahead_is_not_jumped_to(void **state)
{
	struct fact fact;

	(void)state;
	append(25);
	damage(8);
	fail_renames(1);
	run_and_take(1, &fact);
	fail_renames(0);
	assert_int_equal(fact.action, ACTION_trail_sink_missed);
	assert_true(fact.first_seq == 8 && fact.last_seq == 8);
	assert_delivery(0, 1, 7, 7, true);
	assert_delivery(1, 9, 18, 10, false);
	assert_delivery(2, 19, 25, 7, false);
	assert_int_equal(atomic_load(&status.missed), 1);
}

static void write_cursor(uint64_t delivered_seq, uint64_t cut_seq)
{
	struct spool_stream stream = spool_stream(spool);
	struct cursor cursor;

	cursor_init(&cursor, &stream);
	cursor.delivered_seq = delivered_seq;
	cursor.cut_seq = cut_seq;
	assert_int_equal(cursor_save(&cursor, dir.path, "place", &err), ERR_NONE);
	cursor_release(&cursor);
}

enum { MIB = 1024 * 1024, SEGMENTS = 8 };

/* Twice the segments that the bound has room for, two records each; a store has passed them all. */
static void fill_beyond_the_bound(void)
{
	struct spool_reader *store;

	assert_int_equal(spool_reader_new(&store, spool, "store", 0, &err), ERR_NONE);
	for (uint64_t seq = 2; seq <= 2 * SEGMENTS; seq += 2) {
		kit_append(spool, 2, 7 * MIB);
		kit_commit(spool);
		spool_reader_pass(store, seq);
	}
	spool_reader_free(store);
	record_bytes = 7 * MIB;
}

static void what_left_the_spool_before_it_was_taken_is_a_fact(void **state)
{
	struct forwarder *f;
	struct fact fact;
	pthread_t thread;

	(void)state;
	fill_beyond_the_bound();
	write_cursor(0, 0);
	thread = start_forwarder(&f);
	fact = next_fact();
	assert_int_equal(fact.action, ACTION_trail_sink_missed);
	assert_int_equal(fact.first_seq, 1);
	assert_in_range(fact.last_seq, 2, 2 * SEGMENTS - 4);
	atomic_store(&life.intake_done, true); /* what it has is delivered now */
	spool_wake(spool);
	assert_int_equal(next_fact().action, ACTION_trail_sink_behind);
	end_forwarder(f, thread);
	assert_int_equal(atomic_load(&status.missed), fact.last_seq);
	assert_int_equal(atomic_load(&status.delivered_seq), 2 * SEGMENTS);
	assert_delivery(0, fact.last_seq + 1, 2 * SEGMENTS, 2 * SEGMENTS - fact.last_seq, false);
}

/* What was cut when it was killed, and has left the spool in part, is no delivery of that name. */
static void a_cut_that_cannot_be_made_again_is_given_up(void **state)
{
	struct forwarder *f;
	struct fact fact;
	pthread_t thread;

	(void)state;
	fill_beyond_the_bound();
	write_cursor(2, 2 * SEGMENTS - 2);
	thread = start_forwarder(&f);
	fact = next_fact();
	assert_int_equal(fact.first_seq, 3);
	atomic_store(&life.intake_done, true);
	spool_wake(spool);
	assert_int_equal(next_fact().action, ACTION_trail_sink_behind);
	end_forwarder(f, thread);
	assert_delivery(0, fact.last_seq + 1, 2 * SEGMENTS, 2 * SEGMENTS - fact.last_seq, false);
	assert_true(place.cut_was_known);
}

static void a_new_sink_begins_with_the_oldest_record_there_is(void **state)
{
	static const char of_another[] =
		"{\"stream\":\"01020300-0000-0000-0000-000000000000\",\"epoch\":\"1\","
		"\"delivered_seq\":\"7\",\"cut_seq\":\"9\",\"cut\":\"8-9\",\"place\":\"here\"}\n";

	(void)state;
	append(5);
	assert_int_equal(
		file_replace(dir.path, "place.cursor", of_another, sizeof(of_another) - 1, &err),
		ERR_NONE);
	run_to_the_end();
	assert_int_equal(place.done_count, 1);
	assert_delivery(0, 1, 5, 5, false);
}

/* Cuts it when it has said that it waits, and lets another begin. */
static void end_when_it_is(enum sink_state state, struct forwarder *f, pthread_t thread)
{
	await_state(state, "");
	life_cut(&life);
	spool_wake(spool);
	assert_int_equal(pthread_join(thread, NULL), 0);
	forwarder_free(f);
	life_release(&life);
	assert_int_equal(life_init(&life, &err), ERR_NONE);
}

static void a_cursor_that_is_ahead_of_the_spool_is_said_so(void **state)
{
	struct forwarder *f;
	pthread_t thread;

	(void)state;
	write_cursor(6, 0);
	append(5);
	thread = start_forwarder(&f);
	end_when_it_is(SINK_PARKED, f, thread);
	assert_true(place.closed);
	assert_non_null(strstr(status.error, "spool adopt"));
	assert_int_equal(place.done_count, 0);
}

/* With room, and no time for which what all have passed is kept. */
static void open_wide_spool(void)
{
	const struct spool_options options = {
		.folder = dir.path, .max_bytes = (uint64_t)256 * MIB, .keep_ns = 0};

	spool_close(spool);
	assert_int_equal(spool_open(&spool, &options, &err), ERR_NONE);
}

/* Five segments of two records each, and a store that has passed them all. Returns the oldest. */
static uint64_t fill_and_let_go(void)
{
	struct spool_reader *store;
	struct spool_stats stats;

	assert_int_equal(spool_reader_new(&store, spool, "store", 0, &err), ERR_NONE);
	for (uint64_t seq = 2; seq <= 10; seq += 2) {
		kit_append(spool, 2, 7 * MIB);
		kit_commit(spool);
		spool_reader_pass(store, seq);
	}
	kit_commit(spool);
	spool_reader_free(store);
	record_bytes = 7 * MIB;
	spool_stats(spool, &stats);
	return stats.oldest_seq;
}

/* Its reader is there before its parts are, and keeps what the store has passed. */
static void what_it_has_not_taken_stays_while_it_cannot_be_opened(void **state)
{
	struct forwarder *f;
	pthread_t thread;

	(void)state;
	open_wide_spool();
	append(2);
	write_cursor(2, 0);
	atomic_store(&place.unopened, ERR_RETRY);
	thread = start_forwarder(&f);
	await_state(SINK_RETRYING, "its index is damaged");
	assert_int_equal(fill_and_let_go(), 1); /* where 3 is, too */
	atomic_store(&place.unopened, ERR_NONE);
	await_state(SINK_STARTING, "");
	end_forwarder(f, thread);
	assert_delivery(0, 3, 12, 10, false);
	assert_int_equal(atomic_load(&status.missed), 0);
	assert_int_equal(atomic_load(&status.failing_ns), 0);
}

static void what_is_damaged_in_its_files_parks_it(void **state)
{
	struct forwarder *f;
	pthread_t thread;

	(void)state;
	append(5);
	atomic_store(&place.unopened, ERR_CORRUPT);
	thread = start_forwarder(&f);
	end_when_it_is(SINK_PARKED, f, thread);
	assert_true(atomic_load(&status.failing_ns) != 0);
	atomic_store(&place.unopened, ERR_NONE);
	run_to_the_end();
	assert_delivery(0, 1, 5, 5, false);
}

/* From where it would go on is not known: all stays. */
static void where_the_cursor_is_damaged_nothing_goes(void **state)
{
	struct forwarder *f;
	pthread_t thread;

	(void)state;
	open_wide_spool();
	assert_int_equal(file_replace(dir.path, "place.cursor", "damaged\n", 8, &err), ERR_NONE);
	thread = start_forwarder(&f);
	await_state(SINK_PARKED, "place.cursor is damaged");
	assert_int_equal(fill_and_let_go(), 1);
	write_cursor(4, 0);
	life_advance(&life, LIFE_RUNNING); /* which ends its wait */
	await_state(SINK_STARTING, "");
	assert_int_equal(atomic_load(&status.delivered_seq), 4);
	end_forwarder(f, thread);
	assert_delivery(0, 5, 10, 6, false);
}

/* At its end it is not waited for: nothing that it has is to be delivered by it. */
static void what_cannot_be_opened_ends_when_nothing_comes_any_more(void **state)
{
	struct forwarder *f;

	(void)state;
	append(5);
	atomic_store(&place.unopened, ERR_CONFIG);
	atomic_store(&life.intake_done, true);
	f = open_forwarder();
	forwarder_run(f);
	forwarder_free(f);
	assert_int_equal(place.done_count, 0);
	assert_int_equal(atomic_load(&status.state), SINK_PARKED);
}

/* Whatever it waits for, that it falls behind is on record while it does. */
static void assert_it_says_that_it_is_behind(void)
{
	struct forwarder *f;
	struct fact fact;
	pthread_t thread = start_forwarder(&f);

	while (atomic_load(&status.state) == SINK_STARTING)
		(void)sched_yield();
	fill_beyond_the_bound();
	fact = next_fact();
	assert_int_equal(fact.action, ACTION_trail_sink_behind);
	assert_int_equal(fact.first_seq, 1);
	assert_non_null(strstr(fact.why, "will have to go at 20"));
	assert_true(atomic_load(&status.behind_bytes) > atomic_load(&status.behind_bytes_max));
	assert_int_equal(place.done_count, 0);
	life_cut(&life);
	spool_wake(spool);
	assert_int_equal(pthread_join(thread, NULL), 0);
	forwarder_free(f);
}

static void a_place_that_is_not_proved_says_that_it_is_behind(void **state)
{
	(void)state;
	place.name = "one bucket";
	place.unproved = UINT32_MAX;
	place.unproved_as = ERR_CONFIG;
	assert_it_says_that_it_is_behind();
}

static void a_sink_that_cannot_be_opened_says_that_it_is_behind(void **state)
{
	(void)state;
	atomic_store(&place.unopened, ERR_CONFIG);
	assert_it_says_that_it_is_behind();
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
		TEST(a_record_that_is_refused_late_goes_there_too),
		TEST(a_record_that_cannot_be_kept_holds_what_is_behind_it),
		TEST(what_has_waited_long_enough_goes_though_more_comes),
		TEST(a_place_is_tried_before_the_first_delivery_to_it),
		TEST(what_cannot_be_told_any_more_holds_the_cursor),
		TEST(a_cut_that_could_not_be_written_is_not_sent),
		TEST(a_hole_that_is_ahead_is_not_jumped_to),
		TEST(what_left_the_spool_before_it_was_taken_is_a_fact),
		TEST(a_cut_that_cannot_be_made_again_is_given_up),
		TEST(a_new_sink_begins_with_the_oldest_record_there_is),
		TEST(a_cursor_that_is_ahead_of_the_spool_is_said_so),
		TEST(what_it_has_not_taken_stays_while_it_cannot_be_opened),
		TEST(what_is_damaged_in_its_files_parks_it),
		TEST(where_the_cursor_is_damaged_nothing_goes),
		TEST(what_cannot_be_opened_ends_when_nothing_comes_any_more),
		TEST(a_place_that_is_not_proved_says_that_it_is_behind),
		TEST(a_sink_that_cannot_be_opened_says_that_it_is_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
