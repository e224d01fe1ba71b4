/* A raw line becomes the same record, with the same id, on whichever way it came. */

#include "stage/stages.h"

#include "base/time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
	struct stages *stages;
	struct batch *batch;
	struct record record;
};

static const char nats_line[] = "{\"event\":{\"provider\":\"runner\"},\"fly\":{\"app\":{"
				"\"instance\":\"0e286551c30586\",\"name\":"
				"\"web-1\"},\"region\":\"sjc\"},\"host\":\"0ad1\",\"log\":{"
				"\"level\":\"info\"},\"message\":\"machine "
				"exited with exit code 0, not "
				"restarting\",\"timestamp\":\"2022-09-27T20:34:39.660159411Z\"}";

static struct fixture *open_fixture(const char *own_app)
{
	struct stages_options options = {.own_app = span_text(own_app)};
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;

	assert_non_null(f);
	assert_int_equal(stages_new(&f->stages, &options, &err), ERR_NONE);
	assert_int_equal(batch_new(&f->batch, &err), ERR_NONE);
	return f;
}

static void close_fixture(struct fixture *f)
{
	stages_free(f->stages);
	batch_free(f->batch);
	free(f);
}

static void take(struct fixture *f, struct span line)
{
	struct err err;
	struct raw *raw;

	batch_reset(f->batch);
	raw = batch_add(f->batch, SPAN(""), line);
	assert_non_null(raw);
	raw->form = RAW_NATS_JSON;
	raw->ordinal = 1;
	raw->received_ns = time_now_ns();
	stages_begin_batch(f->stages);
	assert_int_equal(stages_take(f->stages, f->batch, raw, &f->record, &err), ERR_NONE);
}

static void the_designs_test_vector_has_its_id(void **state)
{
	struct fixture *f = open_fixture("");
	char text[ID_TEXT_BYTES];

	(void)state;
	take(f, span_text(nats_line));
	/* A line so old is stored under its time of arrival, but its id is made of its own. */
	assert_string_equal(id_format(&f->record.id, text), "4718f5dc-5f98-830a-888b-c53ebf1e1bf5");
	assert_int_equal(f->record.class, CLASS_restart);
	assert_int_equal(f->record.finding.trust, TRUST_PLATFORM);
	assert_false(stages_redacted(f->stages));
	close_fixture(f);
}

static void fields_beside_the_message_are_not_in_the_id(void **state)
{
	struct fixture *f = open_fixture("");
	char line[4096], text[ID_TEXT_BYTES];
	size_t len = sizeof(nats_line) - 2; /* without its last brace */

	(void)state;
	memcpy(line, nats_line, len);
	memcpy(line + len, ",\"url\":\"", 8);
	memset(line + len + 8, 'u', 2000); /* longer than a field: raw has the whole line */
	memcpy(line + len + 2008, "\"}", 2);
	take(f, span_of(line, len + 2010));
	assert_non_null(f->record.raw.data);
	assert_true(f->record.raw_is_line);
	assert_string_equal(id_format(&f->record.id, text), "4718f5dc-5f98-830a-888b-c53ebf1e1bf5");
	close_fixture(f);
}

static void a_line_of_flytrails_own_is_never_an_event(void **state)
{
	struct fixture *f = open_fixture("web-1");

	(void)state;
	take(f, span_text(nats_line));
	assert_int_equal(f->record.class, CLASS_app_log);
	assert_int_equal(f->record.action, ACTION_none);
	close_fixture(f);
}

static void a_secret_is_gone_before_the_id_is_made(void **state)
{
	struct fixture *f = open_fixture("");
	struct id first;

	(void)state;
	take(f, SPAN("{\"message\":\"postgres://u:hunter2@db/"
		     "x\",\"timestamp\":\"2026-01-01T00:00:00.5Z\"}"));
	assert_true(stages_redacted(f->stages));
	assert_null(memmem(f->record.message.data, f->record.message.len, "hunter2", 7));
	first = f->record.id;
	take(f, SPAN("{\"message\":\"postgres://u:hunter3@db/"
		     "x\",\"timestamp\":\"2026-01-01T00:00:00.5Z\"}"));
	assert_int_equal(id_compare(&first, &f->record.id), 0);
	close_fixture(f);
}

static void lines_whose_raw_was_redacted_stay_apart(void **state)
{
	struct fixture *f = open_fixture("");
	struct id first;

	(void)state;
	take(f, SPAN("{\"message\":\"a \xff "
		     "token=hunter2\",\"timestamp\":\"2026-01-01T00:00:00.5Z\"}"));
	assert_true(span_is(f->record.raw, "[REDACTED:token]"));
	first = f->record.id;
	take(f, SPAN("{\"message\":\"b \xff "
		     "token=hunter2\",\"timestamp\":\"2026-01-01T00:00:00.5Z\"}"));
	assert_true(span_is(f->record.raw, "[REDACTED:token]"));
	assert_int_not_equal(id_compare(&first, &f->record.id), 0);
	close_fixture(f);
}

static void a_long_message_is_cut_and_its_whole_told(void **state)
{
	static const char head[] = "{\"message\":\"";
	static const char tail[] = "\",\"timestamp\":\"2026-01-01T00:00:00.123456789Z\"}";
	const size_t message = RECORD_TEXT_BYTES_MAX + 1000;
	size_t len = sizeof(head) - 1 + message + sizeof(tail) - 1;
	struct fixture *f = open_fixture("");
	char *line = malloc(len);
	struct id first;

	(void)state;
	assert_non_null(line);
	memcpy(line, head, sizeof(head) - 1);
	memset(line + sizeof(head) - 1, 'a', message);
	memcpy(line + sizeof(head) - 1 + message, tail, sizeof(tail) - 1);
	take(f, span_of(line, len));
	assert_int_equal(f->record.message.len, RECORD_TEXT_BYTES_MAX);
	assert_true(span_is(f->record.attrs[f->record.attr_count - 2].key, "message_bytes"));
	assert_int_equal(f->record.attrs[f->record.attr_count - 2].number, message);
	assert_int_equal(f->record.attrs[f->record.attr_count - 1].text.len, 2 * HASH_BYTES);
	first = f->record.id;
	line[sizeof(head) - 1 + message - 1] = 'b';
	take(f, span_of(line, len));
	assert_int_not_equal(id_compare(&first, &f->record.id), 0);
	free(line);
	close_fixture(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_designs_test_vector_has_its_id),
		cmocka_unit_test(fields_beside_the_message_are_not_in_the_id),
		cmocka_unit_test(a_line_of_flytrails_own_is_never_an_event),
		cmocka_unit_test(a_secret_is_gone_before_the_id_is_made),
		cmocka_unit_test(lines_whose_raw_was_redacted_stay_apart),
		cmocka_unit_test(a_long_message_is_cut_and_its_whole_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
