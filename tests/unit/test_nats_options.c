#include "base/time.h"
#include "fault.h"
#include "source/nats.h"
#include "source/nats_check.h"

#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Nobody listens there: the port is discard's, on loopback. */
static const struct nats_options good = {
	.url = "nats://127.0.0.1:9",
	.user = "example-org",
	.password = "fm2_planted",
	.subject = "logs.>",
};

static void assert_refused(const struct nats_options *options, const char *names)
{
	struct source source;
	struct err err;

	assert_int_equal(nats_open(&source, options, &err), ERR_CONFIG);
	assert_non_null(strstr(err.text, names));
	assert_null(strstr(err.text, "planted"));
}

static void credentials_in_the_url_are_refused_and_not_repeated(void **state)
{
	static const char *const urls[] = {
		"nats://planted@127.0.0.1:4223",
		"nats://org:planted@127.0.0.1:4223",
		"nats://org:planted@[fdaa::3]:4223/",
		"org:planted@127.0.0.1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct nats_options options = good;

		options.url = urls[i];
		assert_refused(&options, "NATS_URL");
	}
}

static void what_the_library_cannot_escape_is_refused(void **state)
{
	static const char *const bad[] = {"planted\"", "pl\\anted", "planted\n1", "\x7fplanted",
					  "planted\x01"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct nats_options options = good;

		options.password = bad[i];
		assert_refused(&options, "ACCESS_TOKEN");
		options.password = good.password;
		options.user = bad[i];
		assert_refused(&options, "ORG");
	}
}

static void what_is_missing_is_named(void **state)
{
	struct nats_options options = good;

	(void)state;
	options.user = "";
	assert_refused(&options, "ORG");
	options = good;
	options.password = "FlyV1 ";
	assert_refused(&options, "ACCESS_TOKEN");
	options = good;
	options.url = "nats://";
	assert_refused(&options, "NATS_URL");
}

static void assert_bare(const char *token, const char *bare)
{
	assert_true(span_is(nats_bare_token(span_text(token)), bare));
}

static void a_token_loses_its_scheme_and_nothing_else(void **state)
{
	(void)state;
	assert_bare("fm2_a", "fm2_a");
	assert_bare("FlyV1 fm2_a", "fm2_a");
	assert_bare("flyv1 fm2_a", "fm2_a");
	assert_bare("Bearer fo1_a", "fo1_a");
	assert_bare("BEARER  FlyV1 fm2_a", "fm2_a");
	assert_bare("FlyV1 FlyV1 fm2_a,fm2_b,fo1_c", "fm2_a,fm2_b,fo1_c");
	assert_bare(" FlyV1 fm2_a\r\n", "fm2_a");
	assert_bare("FlyV1fm2_a", "FlyV1fm2_a");
	assert_bare("FlyV1", "FlyV1");
	assert_bare("", "");
	assert_bare("  ", "");
}

static void a_server_that_is_away_is_no_error_but_a_gap(void **state)
{
	struct nats_options options = good;
	struct source source;
	struct batch *batch;
	struct err err;
	const char *why;

	(void)state;
	options.last_live_ns = time_now_ns() - 60 * NS_PER_S;
	assert_int_equal(nats_open(&source, &options, &err), ERR_NONE);
	assert_int_equal(batch_new(&batch, &err), ERR_NONE);
	assert_int_equal(source.ops->read(source.ctx, batch, &err), ERR_NONE);
	assert_int_equal(batch->count, 0);
	assert_int_equal(batch->gap_count, 1);
	assert_int_equal(batch->gaps[0].reason, GAP_start);
	assert_int_equal(batch->gaps[0].end_ns, INT64_MAX);
	assert_int_equal(batch->gaps[0].start_ns, options.last_live_ns - 10 * NS_PER_S);
	assert_false(source.ops->connected(source.ctx, &why));
	assert_non_null(strstr(why, "NATS_URL"));
	batch_reset(batch);
	assert_int_equal(source.ops->read(source.ctx, batch, &err), ERR_NONE);
	assert_int_equal(batch->gap_count, 0);
	source.ops->close(source.ctx);
	batch_free(batch);
}

/* The gaps and the pulse of one read. */
static void read_once(struct source *source, struct batch *batch, struct source_pulse *ret)
{
	struct err err;

	batch_reset(batch);
	assert_int_equal(source->ops->read(source->ctx, batch, &err), ERR_NONE);
	source->ops->pulse(source->ctx, ret);
}

static void a_clock_that_is_set_is_a_gap_told_once(void **state)
{
	static const int64_t steps[] = {3600 * NS_PER_S, -3600 * NS_PER_S};
	struct source_pulse pulse;
	struct source source;
	struct batch *batch;
	struct err err;

	(void)state;
	assert_int_equal(nats_open(&source, &good, &err), ERR_NONE);
	assert_int_equal(batch_new(&batch, &err), ERR_NONE);
	read_once(&source, batch, &pulse);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		fault_set_wall_clock(steps[i]);
		read_once(&source, batch, &pulse);
		assert_int_equal(batch->gap_count, 1);
		assert_int_equal(batch->gaps[0].reason, GAP_time_jump);
		assert_true(batch->gaps[0].end_ns - batch->gaps[0].start_ns > 3610 * NS_PER_S);
		assert_true(batch->gaps[0].end_ns - batch->gaps[0].start_ns < 3630 * NS_PER_S);
		assert_int_equal(pulse.jumps, i + 1);
		assert_true(llabs(pulse.jump_ns - steps[i]) < NS_PER_S);
		read_once(&source, batch, &pulse);
		assert_int_equal(batch->gap_count, 0);
		assert_int_equal(pulse.jumps, i + 1);
	}
	/* A machine that is suspended and one that stands still are told apart by the other clock.
	 */
	fault_step_clock(3600 * NS_PER_S);
	read_once(&source, batch, &pulse);
	assert_int_equal(batch->gap_count, 0);
	assert_false(pulse.on);
	source.ops->close(source.ctx);
	batch_free(batch);
}

static void a_source_that_was_never_read_closes(void **state)
{
	struct nats_options options = good;
	struct source source;
	struct err err;

	(void)state;
	options.queue = "group";
	assert_int_equal(nats_open(&source, &options, &err), ERR_NONE);
	source.ops->close(source.ctx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(credentials_in_the_url_are_refused_and_not_repeated),
		cmocka_unit_test(what_the_library_cannot_escape_is_refused),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(a_token_loses_its_scheme_and_nothing_else),
		cmocka_unit_test(a_server_that_is_away_is_no_error_but_a_gap),
		cmocka_unit_test(a_clock_that_is_set_is_a_gap_told_once),
		cmocka_unit_test(a_source_that_was_never_read_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
