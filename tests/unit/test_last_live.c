/* Where the gap of the next start begins: at the newest line that came live. */

#include "run/last_live.h"

#include "model/event.h"
#include "run/trail.h"
#include "scratch.h"
#include "spool/segment.h"
#include "spool_kit.h"

#include <fcntl.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define T0 INT64_C(1750000000000000000)

static const char of_files[] = "{\"input\":\"" TRAIL_INPUT_FILES "\"}";

struct fixture {
	struct scratch dir;
	struct spool *spool;
};

static int setup(void **state)
{
	static struct fixture f;

	scratch_make(&f.dir);
	f.spool = kit_open(f.dir.path);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	spool_close(f->spool);
	scratch_remove(&f->dir);
	return 0;
}

static void append(struct fixture *f, struct buf *payload, int64_t ns)
{
	struct err err;

	assert_int_equal(buf_check(payload, &err), ERR_NONE);
	assert_int_equal(spool_append(f->spool, span_of(payload->data, payload->len), ns,
				      SPOOL_ORDINARY, &err),
			 ERR_NONE);
	buf_release(payload);
}

static void append_line(struct fixture *f, enum record_source source, int64_t ns, int64_t age_ns)
{
	static struct record r;
	struct buf payload;

	r = (struct record){.source = source,
			    .observed_ns = ns,
			    .occurred_ns = ns - age_ns,
			    .message = SPAN("a line"),
			    .class = CLASS_app_log};
	buf_init(&payload, 4096);
	record_encode(&r, &payload);
	append(f, &payload, ns);
}

static void append_fact(struct fixture *f, enum action action, int64_t ns, const char *attributes)
{
	const struct event e = {.class = CLASS_trail,
				.action = action,
				.source = SOURCE_TRAIL,
				.occurred_ns = ns,
				.observed_ns = ns,
				.not_after_ns = EVENT_NO_TIME,
				.attributes = span_text(attributes)};
	struct buf payload;

	buf_init(&payload, 4096);
	event_encode(&e, &payload);
	append(f, &payload, ns);
}

/* The first record of the first segment. */
static void spoil(const struct scratch *dir)
{
	int fd = open(segment_path(dir->path, 1).text, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "rot", 3, SEGMENT_HEADER_BYTES + FRAME_OVERHEAD_BYTES), 3);
	(void)close(fd);
}

static int64_t found(struct fixture *f)
{
	int64_t ns = -1;
	struct err err;

	kit_commit(f->spool);
	assert_int_equal(last_live_find(f->spool, &ns, &err), ERR_NONE);
	return ns;
}

static void a_spool_that_had_nothing_live_says_so(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(found(f), 0);
	append_fact(f, ACTION_trail_started, T0, of_files);
	append_line(f, SOURCE_FILE, T0 + 1, 0);
	append_fact(f, ACTION_trail_stopped, T0 + 2, of_files);
	assert_int_equal(found(f), 0);
}

static void what_files_gave_afterwards_does_not_count(void **state)
{
	struct fixture *f = *state;

	append_line(f, SOURCE_NATS, T0, 0);
	append_line(f, SOURCE_NATS, T0 + 5, 0);
	append_fact(f, ACTION_trail_stopped, T0 + 6, "{}");
	append_fact(f, ACTION_trail_started, T0 + 3600 * NS_PER_S, of_files);
	assert_int_equal(found(f), T0 + 5);
	for (int64_t i = 0; i < 20000; i++)
		append_line(f, SOURCE_FILE, T0 + 3600 * NS_PER_S + i, 0);
	assert_int_equal(found(f), T0 + 5);
	append_line(f, SOURCE_NATS, T0 + 7200 * NS_PER_S, 0);
	assert_int_equal(found(f), T0 + 7200 * NS_PER_S);
}

static void a_line_that_had_waited_is_as_old_as_it_says(void **state)
{
	struct fixture *f = *state;

	append_line(f, SOURCE_NATS, T0, 60 * NS_PER_S);
	assert_int_equal(found(f), T0 - 60 * NS_PER_S);
	append_line(f, SOURCE_NATS, T0, 86400 * NS_PER_S); /* a wrong clock */
	assert_int_equal(found(f), T0);
}

static void a_live_run_without_a_line_is_known_by_its_facts(void **state)
{
	struct fixture *f = *state;

	append_fact(f, ACTION_trail_started, T0, "{}");
	append_fact(f, ACTION_trail_stopped, T0 + 2, "{}");
	append_fact(f, ACTION_trail_started, T0 + 3600 * NS_PER_S, of_files);
	for (int64_t i = 0; i < 1000; i++)
		append_line(f, SOURCE_FILE, T0 + 3600 * NS_PER_S + i, 0);
	assert_int_equal(found(f), T0 + 2);
}

static void a_quiet_night_that_was_listened_to_is_no_gap(void **state)
{
	static const char until[] =
		"{\"listening_start\":\"2025-06-15T15:00:00.000000000Z\","
		"\"listening_end\":\"2025-06-15T16:13:20.000000000Z\"}"; /* T0 + 4000 s */
	struct fixture *f = *state;

	append_line(f, SOURCE_NATS, T0, 0);
	append_fact(f, ACTION_trail_listening, T0 + 4011 * NS_PER_S, until);
	assert_int_equal(found(f), T0 + 4010 * NS_PER_S);
	append_line(f, SOURCE_NATS, T0 + 4005 * NS_PER_S, 0);
	assert_int_equal(found(f), T0 + 4010 * NS_PER_S);
	append_line(f, SOURCE_NATS, T0 + 4012 * NS_PER_S, 0);
	assert_int_equal(found(f), T0 + 4012 * NS_PER_S);
	/* What is behind a line that had waited may be as old as that. */
	append_line(f, SOURCE_NATS, T0 + 4020 * NS_PER_S, 60 * NS_PER_S);
	assert_int_equal(found(f), T0 + 3960 * NS_PER_S);
}

static void listening_without_a_line_counts_too(void **state)
{
	struct fixture *f = *state;

	append_fact(f, ACTION_trail_listening, T0 + 4100 * NS_PER_S,
		    "{\"listening_end\":\"2025-06-15T16:13:20.000000000Z\"}");
	assert_int_equal(found(f), T0 + 4010 * NS_PER_S);
	append_fact(f, ACTION_trail_listening, T0 + 4200 * NS_PER_S,
		    "{\"listening_end\":\"soon\"}");
	append_fact(f, ACTION_trail_stopped, T0 + 4200 * NS_PER_S, "{}");
	assert_int_equal(found(f), T0 + 4010 * NS_PER_S);
}

static void what_is_damaged_may_have_been_live(void **state)
{
	struct fixture *f = *state;

	append_line(f, SOURCE_NATS, T0, 0);
	kit_commit(f->spool);
	spoil(&f->dir);
	append_line(f, SOURCE_FILE, T0 + 1, 0);
	assert_int_equal(found(f), LAST_LIVE_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_spool_that_had_nothing_live_says_so, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_files_gave_afterwards_does_not_count, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_line_that_had_waited_is_as_old_as_it_says, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_live_run_without_a_line_is_known_by_its_facts,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_quiet_night_that_was_listened_to_is_no_gap, setup,
						teardown),
		cmocka_unit_test_setup_teardown(listening_without_a_line_counts_too, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_damaged_may_have_been_live, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
