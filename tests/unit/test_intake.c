/* What a source hands over is counted once, also what it says that it lost. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run/intake.h"

/* A source that gives one scripted batch at each read, then ends. */
struct script {
	const struct gap *gaps; /* one for each read */
	size_t count, at;
};

static struct status status;
static struct life life;
static struct intake intake;

static enum err_kind read_script(void *ctx, struct batch *batch, struct err *err)
{
	struct script *s = ctx;
	struct raw *raw;

	(void)err;
	if (s->at == s->count) {
		batch->last = true;
		return ERR_NONE;
	}
	raw = batch_add(batch, SPAN("logs.web.ams.m1"), SPAN("{}"));
	assert_non_null(raw);
	raw->received_ns = (int64_t)++s->at;
	assert_true(batch_add_gap(batch, &s->gaps[s->at - 1]));
	return ERR_NONE;
}

static bool is_connected(void *ctx, const char **ret_why)
{
	(void)ctx;
	(void)ret_why;
	return true;
}

static void stay(void *ctx)
{
	(void)ctx;
}

static const struct source_ops ops = {.name = "nats",
				      .live = true,
				      .read = read_script,
				      .connected = is_connected,
				      .close = stay};

static void run_script(struct script *script)
{
	struct batch *batch;
	struct err err;

	status_init(&status);
	assert_int_equal(life_init(&life, &err), ERR_NONE);
	intake = (struct intake){
		.source = {.ops = &ops, .ctx = script}, .status = &status, .life = &life};
	assert_int_equal(queue_new(&intake.pool, 8, &err), ERR_NONE);
	assert_int_equal(queue_new(&intake.filled, 8, &err), ERR_NONE);
	for (size_t i = 0; i <= script->count; i++) {
		assert_int_equal(batch_new(&batch, &err), ERR_NONE);
		assert_true(queue_put(intake.pool, batch));
	}
	intake_run(&intake);
	queue_close(intake.pool);
	while ((batch = queue_get(intake.filled, 0)) != NULL)
		batch_free(batch);
	while ((batch = queue_get(intake.pool, 0)) != NULL)
		batch_free(batch);
	queue_free(intake.pool);
	queue_free(intake.filled);
	life_release(&life);
	status_release(&status);
}

static void lines_and_the_time_of_the_newest_are_counted(void **state)
{
	static const struct gap gaps[] = {{.reason = GAP_start}, {.reason = GAP_disconnect}};
	struct script script = {.gaps = gaps, .count = 2};

	(void)state;
	run_script(&script);
	assert_int_equal(status.lines_received, 2);
	assert_int_equal(status.last_received_ns, 2);
	assert_int_equal(status.lines_lost, 0);
}

static void drops_are_counted_once_however_often_a_gap_tells_of_them(void **state)
{
	static const struct gap gaps[] = {
		{.reason = GAP_slow_consumer, .lines_lost = 10},
		{.reason = GAP_slow_consumer, .lines_lost = 10, .known = true},
		{.reason = GAP_disconnect, .known = true},
		{.reason = GAP_slow_consumer, .lines_lost = 25, .known = true},
		{.reason = GAP_slow_consumer, .lines_lost = 3},                /* another gap */
		{.reason = GAP_slow_consumer, .lines_lost = 0, .known = true}, /* not known */
		{.reason = GAP_slow_consumer, .lines_lost = 4, .known = true},
	};
	struct script script = {.gaps = gaps, .count = ARRAY_LEN(gaps)};

	(void)state;
	run_script(&script);
	assert_int_equal(status.lines_lost, 25 + 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_and_the_time_of_the_newest_are_counted),
		cmocka_unit_test(drops_are_counted_once_however_often_a_gap_tells_of_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
