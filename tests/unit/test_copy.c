#include "fault.h"
#include "model/event.h"
#include "store/copy.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ROWS_MAX = 64, LINE_FIELDS = 19, EVENT_FIELDS = 29 };

static const struct id stream = {{0xaa, 0xbb, 0xcc}};
static struct record scratch; /* large */

static void must(enum err_kind rc, const struct err *err)
{
	if (rc)
		fail_msg("%s", err->text);
}

static void add_frame(struct spool_batch *b, const struct buf *payload)
{
	b->frames[b->count] = (struct spool_frame){
		.seq = 100 + b->count, .offset = b->bytes.len, .len = payload->len};
	buf_add(&b->bytes, payload->data, payload->len);
	b->count++;
}

static struct id id_of(uint8_t first)
{
	struct id id = {{0}};

	id.bytes[0] = first;
	return id;
}

static struct record *plain_line(uint8_t id, int64_t ns)
{
	scratch = (struct record){
		.id = id_of(id),
		.occurred_ns = ns,
		.observed_ns = 1000,
		.source = SOURCE_NATS,
		.app = SPAN("web"),
		.message = SPAN("hi"),
		.class = CLASS_app_log,
	};
	return &scratch;
}

static void add_line(struct spool_batch *b, const struct record *r)
{
	struct buf payload;

	buf_init(&payload, RECORD_PAYLOAD_BYTES_MAX);
	record_encode(r, &payload);
	add_frame(b, &payload);
	buf_release(&payload);
}

static void add_event(struct spool_batch *b, const struct event *e)
{
	struct buf payload;

	buf_init(&payload, RECORD_PAYLOAD_BYTES_MAX);
	event_encode(e, &payload);
	add_frame(b, &payload);
	buf_release(&payload);
}

static void begin_batch(struct spool_batch *b)
{
	struct err err;

	must(spool_batch_init(b, ROWS_MAX, 1024 * 1024, &err), &err);
}

/* A row as the server reads it. */
struct field {
	const uint8_t *data; /* NULL: null */
	size_t len;
};

static const uint8_t *read_row(const uint8_t *at, struct field *fields, size_t count)
{
	assert_int_equal(at[0] << 8 | at[1], count);
	at += 2;
	for (size_t i = 0; i < count; i++) {
		uint32_t len = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
			       (uint32_t)at[2] << 8 | at[3];

		at += 4;
		fields[i] = len == UINT32_MAX ? (struct field){NULL, 0} : (struct field){at, len};
		if (fields[i].data)
			at += len;
	}
	return at;
}

static int64_t i64_of(const struct field *f)
{
	uint64_t v = 0;

	assert_int_equal(f->len, 8);
	for (size_t i = 0; i < 8; i++)
		v = v << 8 | f->data[i];
	return (int64_t)v;
}

static int i16_of(const struct field *f)
{
	assert_int_equal(f->len, 2);
	return (int16_t)(f->data[0] << 8 | f->data[1]);
}

static void assert_text(const struct field *f, const char *text)
{
	assert_non_null(f->data);
	assert_int_equal(f->len, strlen(text));
	assert_memory_equal(f->data, text, f->len);
}

static void a_line_is_these_bytes(void **state)
{
	static const uint8_t expected[] =
		{
			'P',  'G',  'C',  'O',  'P',  'Y',  '\n', 0xff, '\r', '\n', 0,
			0,    0,    0,    0,    0,    0,    0,    0,    0,    19,   0,
			0,    0,    16,   7,    0,    0,    0,    0,    0,    0,    0,
			0,    0,    0,    0,    0,    0,    0,    0, /* id */
			0,    0,    0,    8,    0,    0,    0,    0,    0,    0,    0,
			1,                               /* one microsecond after 2000 */
			0,    0,    0,    2,    0,    5, /* and five nanoseconds */
			0,    0,    0,    8,    0xff, 0xfc, 0xa2, 0xfe, 0xc4, 0xc8, 0x20,
			0x01, /* 1970 and 1 us */
			0,    0,    0,    4,    'n',  'a',  't',  's',  0xff, 0xff, 0xff,
			0xff, /* org */
			0,    0,    0,    3,    'w',  'e',  'b',  0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* region, machine, host */
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* provider, level */
			0,    0,    0,    7,    'a',  'p',  'p',  '_',  'l',  'o',  'g',
			0xff, 0xff, 0xff, 0xff,                                     /* action */
			0,    0,    0,    2,    'h',  'i',  0xff, 0xff, 0xff, 0xff, /* raw */
			0,    0,    0,    8,    1,    '{',  '"',  'n',  '"',  ':',  '1',
			'}',  0,    0,    0,    16,   0xaa, 0xbb, 0xcc, 0,    0,    0,
			0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
			0,    0,    8,    0,    0,    0,    0,    0,    0,    0,    100,
			0xff, 0xff,
		};
	struct spool_batch b;
	struct copy_plan plan;
	struct copy_context context = {.batch = &b, .plan = &plan, .stream = stream};
	struct buf out;
	struct err err;

	(void)state;
	begin_batch(&b);
	buf_init(&out, 4096);
	must(copy_plan_init(&plan, ROWS_MAX, &err), &err);
	record_attr_number(plain_line(7, INT64_C(946684800000001005)), SPAN("n"), 1);
	add_line(&b, &scratch);
	must(copy_plan_fill(&plan, &b, 0, 1, &err), &err);
	copy_put_header(&out);
	must(copy_put_line(&context, &plan.lines[0], &out, &err), &err);
	copy_put_trailer(&out);
	assert_int_equal(out.len, sizeof(expected));
	assert_memory_equal(out.data, expected, sizeof(expected));
	buf_release(&out);
	copy_plan_release(&plan);
	spool_batch_release(&b);
}

/* What a batch of one line or event makes, for the tests below. */
struct kit {
	struct spool_batch batch;
	struct copy_plan plan;
	struct copy_context context;
	struct buf out;
	struct field fields[EVENT_FIELDS];
	struct err err;
};

static struct kit *kit_new(void)
{
	struct kit *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	begin_batch(&k->batch);
	buf_init(&k->out, COPY_ROW_BYTES_MAX);
	must(copy_plan_init(&k->plan, ROWS_MAX, &k->err), &k->err);
	k->context = (struct copy_context){.batch = &k->batch, .plan = &k->plan, .stream = stream};
	return k;
}

static void kit_free(struct kit *k)
{
	buf_release(&k->out);
	copy_plan_release(&k->plan);
	spool_batch_release(&k->batch);
	free(k);
}

static void plan_all(struct kit *k)
{
	must(copy_plan_fill(&k->plan, &k->batch, 0, k->batch.count, &k->err), &k->err);
}

static void read_line(struct kit *k, size_t idx)
{
	buf_reset(&k->out);
	must(copy_put_line(&k->context, &k->plan.lines[idx], &k->out, &k->err), &k->err);
	assert_ptr_equal(read_row(k->out.data, k->fields, LINE_FIELDS), k->out.data + k->out.len);
}

static void read_event(struct kit *k, size_t idx)
{
	buf_reset(&k->out);
	must(copy_put_event(&k->context, &k->plan.events[idx], &k->out, &k->err), &k->err);
	assert_ptr_equal(read_row(k->out.data, k->fields, EVENT_FIELDS), k->out.data + k->out.len);
}

static void times_before_1970_round_down(void **state)
{
	static const struct {
		int64_t ns, us;
		int rest;
	} times[] = {
		{-1, -1, 999},
		{-999, -1, 1},
		{-1000, -1, 0},
		{-1001, -2, 999},
		{0, 0, 0},
		{999, 0, 999},
		{INT64_MAX, INT64_MAX / 1000, 807},
		{INT64_MIN, INT64_MIN / 1000 - 1, 192},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		struct kit *k = kit_new();

		add_line(&k->batch, plain_line(1, times[i].ns));
		plan_all(k);
		read_line(k, 0);
		assert_int_equal(i64_of(&k->fields[1]), times[i].us - INT64_C(946684800000000));
		assert_int_equal(i16_of(&k->fields[2]), times[i].rest);
		kit_free(k);
	}
}

static void what_a_message_cannot_hold_goes_into_raw(void **state)
{
	struct kit *k = kit_new();

	(void)state;
	(void)plain_line(1, 0);
	scratch.raw = SPAN("a\0b");
	scratch.message = SPAN("");
	add_line(&k->batch, &scratch);
	plan_all(k);
	read_line(k, 0);
	assert_int_equal(k->fields[14].len, 0);
	assert_non_null(k->fields[14].data); /* an empty message is a message */
	assert_int_equal(k->fields[15].len, 3);
	assert_memory_equal(k->fields[15].data, "a\0b", 3);
	kit_free(k);
}

static void a_classified_line_is_a_row_of_both_tables(void **state)
{
	struct kit *k = kit_new();

	(void)state;
	(void)plain_line(9, 5000);
	scratch.class = CLASS_ssh_session;
	scratch.action = ACTION_ssh_session_opened;
	scratch.finding = (struct finding){.rule = "hallpass.session",
					   .trust = TRUST_GUEST,
					   .severity = SEVERITY_MEDIUM,
					   .actor_type = ACTOR_USER,
					   .actor = SPAN("user1@example.com"),
					   .outcome = SPAN("success")};
	add_line(&k->batch, &scratch);
	plan_all(k);
	assert_int_equal(k->plan.line_count, 1);
	assert_int_equal(k->plan.event_count, 1);
	read_line(k, 0);
	assert_text(&k->fields[12], "ssh_session");
	assert_text(&k->fields[13], "ssh_session.opened");
	read_event(k, 0);
	assert_int_equal(k->fields[0].data[0], 9); /* the line's id */
	assert_text(&k->fields[1], "security");
	assert_text(&k->fields[2], "ssh_session");
	assert_null(k->fields[5].data); /* not_after */
	assert_text(&k->fields[6], "source");
	assert_text(&k->fields[13], "user1@example.com");
	assert_text(&k->fields[14], "user");
	assert_null(k->fields[15].data); /* actor_reason */
	assert_text(&k->fields[19], "success");
	assert_int_equal(i16_of(&k->fields[20]), SEVERITY_MEDIUM);
	assert_text(&k->fields[21], "guest");
	assert_text(&k->fields[23], "hallpass.session");
	assert_text(&k->fields[25], "hi");
	assert_int_equal(i64_of(&k->fields[28]), 100);
	kit_free(k);
}

static struct event plain_event(uint8_t id, int64_t ns)
{
	return (struct event){
		.id = id_of(id),
		.class = CLASS_secret_change,
		.action = ACTION_secret_change_unset,
		.occurred_ns = ns,
		.not_after_ns = ns + 2000,
		.time_basis = TIME_INTERVAL,
		.trust = TRUST_API,
		.source = SOURCE_WATCH,
		.target = SPAN("API_KEY"),
	};
}

static void what_is_not_known_is_said_with_its_reason(void **state)
{
	struct kit *k = kit_new();
	struct event e = plain_event(3, 1000);

	(void)state;
	add_event(&k->batch, &e);
	plan_all(k);
	assert_int_equal(k->plan.line_count, 0);
	read_event(k, 0);
	assert_int_equal(i64_of(&k->fields[5]), 3 - INT64_C(946684800000000));
	assert_text(&k->fields[6], "interval");
	assert_text(&k->fields[13], "unknown");
	assert_text(&k->fields[14], "unknown");
	assert_text(&k->fields[15], "nothing names who did it");
	assert_text(&k->fields[17], "API_KEY");
	assert_text(&k->fields[19], "unknown");
	kit_free(k);
}

static void rows_are_sorted_by_primary_key(void **state)
{
	static const struct {
		uint8_t id;
		int64_t ns;
	} lines[] = {{3, 9000}, {9, 2000}, {1, 2999}, {5, 1000}, {4, 9000}};
	static const uint8_t expected[] = {5, 1, 9, 3,
					   4}; /* of one microsecond the lower id first */
	struct kit *k = kit_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		add_line(&k->batch, plain_line(lines[i].id, lines[i].ns));
	plan_all(k);
	assert_int_equal(k->plan.line_count, ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		assert_int_equal(k->plan.lines[i].id.bytes[0], expected[i]);
	assert_int_equal(k->plan.duplicates, 0);
	kit_free(k);
}

static void events_are_sorted_by_retention_class_first(void **state)
{
	struct kit *k = kit_new();
	struct event secret = plain_event(1, 1000), boot = plain_event(2, 9000);

	(void)state;
	boot.class = CLASS_boot;
	boot.action = ACTION_boot_init;
	add_event(&k->batch, &secret);
	add_event(&k->batch, &boot);
	plan_all(k);
	assert_int_equal(k->plan.events[0].id.bytes[0], 2);
	assert_int_equal(k->plan.events[1].id.bytes[0], 1);
	kit_free(k);
}

static void a_key_is_sent_once(void **state)
{
	struct kit *k = kit_new();

	(void)state;
	for (int round = 0; round < 3; round++) {
		add_line(&k->batch, plain_line(2, 7000));
		/* 7001 ns is 7 us as well: to Postgres the same key. */
		add_line(&k->batch, plain_line(2, 7001));
		add_line(&k->batch, plain_line(2, 8000));
	}
	plan_all(k);
	assert_int_equal(k->plan.line_count, 2);
	assert_int_equal(k->plan.duplicates, 7);
	kit_free(k);
}

static void a_plan_takes_the_range_it_is_given(void **state)
{
	struct kit *k = kit_new();

	(void)state;
	for (uint8_t i = 0; i < 10; i++)
		add_line(&k->batch, plain_line(i, i * 1000));
	must(copy_plan_fill(&k->plan, &k->batch, 4, 3, &k->err), &k->err);
	assert_int_equal(k->plan.line_count, 3);
	assert_int_equal(k->plan.lines[0].frame_idx, 4);
	assert_int_equal(k->plan.lines[2].frame_idx, 6);
	read_line(k, 0);
	assert_int_equal(i64_of(&k->fields[18]), 104);
	kit_free(k);
}

static void a_payload_that_is_none_is_a_reject(void **state)
{
	static const char *const payloads[] = {"",           "\x01",     "\x01\x01",
					       "\x01\x02zz", "\x02\x01", "text"};
	struct buf payload;

	(void)state;
	buf_init(&payload, 64);
	for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
		struct kit *k = kit_new();

		buf_reset(&payload);
		buf_str(&payload, payloads[i]);
		add_line(&k->batch, plain_line(1, 0));
		add_frame(&k->batch, &payload);
		assert_int_equal(copy_plan_fill(&k->plan, &k->batch, 0, 2, &k->err), ERR_REJECT);
		assert_int_equal(copy_plan_fill(&k->plan, &k->batch, 0, 1, &k->err), ERR_NONE);
		kit_free(k);
	}
	buf_release(&payload);
}

/* The plan reads no more than it sorts by. */
static void a_payload_that_is_cut_is_a_reject_when_its_row_is_put(void **state)
{
	struct kit *k = kit_new();

	(void)state;
	add_line(&k->batch, plain_line(1, 0));
	k->batch.frames[0].len--;
	must(copy_plan_fill(&k->plan, &k->batch, 0, 1, &k->err), &k->err);
	assert_int_equal(copy_put_line(&k->context, &k->plan.lines[0], &k->out, &k->err),
			 ERR_REJECT);
	assert_int_equal(k->out.len, 0);
	kit_free(k);
}

static void the_largest_line_fits(void **state)
{
	static char text[RECORD_TEXT_BYTES_MAX];
	struct kit *k = kit_new();

	(void)state;
	memset(text, 'x', sizeof(text));
	spool_batch_release(&k->batch);
	must(spool_batch_init(&k->batch, ROWS_MAX, 4 * sizeof(text), &k->err), &k->err);
	(void)plain_line(1, 0);
	scratch.message = span_of(text, sizeof(text));
	scratch.raw = scratch.message;
	scratch.class = CLASS_exit;
	scratch.action = ACTION_exit_vm;
	scratch.finding.rule = "r";
	add_line(&k->batch, &scratch);
	plan_all(k);
	read_line(k, 0);
	assert_int_equal(k->fields[15].len, sizeof(text));
	read_event(k, 0);
	assert_int_equal(k->fields[25].len, sizeof(text));
	kit_free(k);
}

static void plan_under_memory_faults(void *arg)
{
	struct spool_batch *b = arg;
	struct copy_plan plan;
	struct copy_context context = {.batch = b, .plan = &plan, .stream = stream};
	struct buf out;
	struct err err;
	enum err_kind rc;

	buf_init(&out, COPY_ROW_BYTES_MAX);
	rc = copy_plan_init(&plan, ROWS_MAX, &err);
	if (!rc)
		rc = copy_plan_fill(&plan, b, 0, b->count, &err);
	if (!rc)
		rc = copy_put_line(&context, &plan.lines[0], &out, &err);
	if (!rc)
		rc = copy_put_event(&context, &plan.events[0], &out, &err);
	if (rc)
		assert_int_equal(rc, ERR_FATAL);
	else
		assert_true(out.len > 0);
	copy_plan_release(&plan);
	buf_release(&out);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	struct kit *k = kit_new();
	struct event e = plain_event(1, 0);

	(void)state;
	add_line(&k->batch, plain_line(1, 0));
	add_event(&k->batch, &e);
	fault_everywhere(plan_under_memory_faults, &k->batch);
	kit_free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_these_bytes),
		cmocka_unit_test(times_before_1970_round_down),
		cmocka_unit_test(what_a_message_cannot_hold_goes_into_raw),
		cmocka_unit_test(a_classified_line_is_a_row_of_both_tables),
		cmocka_unit_test(what_is_not_known_is_said_with_its_reason),
		cmocka_unit_test(rows_are_sorted_by_primary_key),
		cmocka_unit_test(events_are_sorted_by_retention_class_first),
		cmocka_unit_test(a_key_is_sent_once),
		cmocka_unit_test(a_plan_takes_the_range_it_is_given),
		cmocka_unit_test(a_payload_that_is_none_is_a_reject),
		cmocka_unit_test(a_payload_that_is_cut_is_a_reject_when_its_row_is_put),
		cmocka_unit_test(the_largest_line_fits),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
