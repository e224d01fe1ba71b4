#include "base/json.h"
#include "base/time.h"
#include "fault.h"
#include "run/event_feed.h"
#include "run/pipeline.h"
#include "names.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LINE_NS INT64_C(1664310879660159411)

/* A pipeline over a real spool; the test is its own committer and reader. */
struct rig {
	struct scratch scratch;
	struct spool *spool;
	struct spool_reader *reader;
	struct spool_batch read;
	struct trail *trail;
	struct status status;
	struct life life;
	struct queue *filled, *pool;
	struct pipeline *pipeline;
	struct batch *batch;
	struct record record; /* of the last payload looked at */
	struct event event;
};

static void must(enum err_kind rc, const struct err *err)
{
	if (rc)
		fail_msg("%s: %s", err_kind_name(rc), err->text);
}

static void rig_init(struct rig *r, bool keeps)
{
	struct spool_options spool = {.max_bytes = 4 * (uint64_t)SPOOL_SEGMENT_BYTES};
	struct trail_self self = {.org = SPAN("example-org"), .app = SPAN("flytrail")};
	struct pipeline_options options = {
		.status = &r->status,
		.life = &r->life,
		.org = SPAN("example-org"),
		.own_app = SPAN("flytrail"),
		.keeps = keeps,
	};
	struct err err;

	memset(r, 0, sizeof(*r));
	scratch_make(&r->scratch);
	spool.folder = r->scratch.path;
	status_init(&r->status);
	must(life_init(&r->life, &err), &err);
	must(spool_open(&r->spool, &spool, &err), &err);
	must(spool_reader_new(&r->reader, r->spool, "test", 0, &err), &err);
	must(spool_batch_init(&r->read, 8192, 12 * 1024 * 1024, &err), &err);
	self.stream = spool_stream(r->spool);
	must(trail_new(&r->trail, &self, &err), &err);
	must(queue_new(&r->filled, 4, &err), &err);
	must(queue_new(&r->pool, 4, &err), &err);
	must(batch_new(&r->batch, &err), &err);
	options.spool = r->spool;
	options.trail = r->trail;
	options.filled = r->filled;
	options.pool = r->pool;
	must(pipeline_new(&r->pipeline, &options, &err), &err);
}

static void rig_release(struct rig *r)
{
	pipeline_free(r->pipeline);
	batch_free(r->batch);
	queue_free(r->pool);
	queue_free(r->filled);
	trail_free(r->trail);
	spool_batch_release(&r->read);
	spool_reader_free(r->reader);
	spool_close(r->spool);
	life_release(&r->life);
	status_release(&r->status);
	scratch_remove(&r->scratch);
}

static struct raw *put(struct rig *r, const char *line, size_t len)
{
	struct raw *raw = batch_add(r->batch, SPAN(""), span_of(line, len));

	assert_non_null(raw);
	raw->form = RAW_NATS_JSON;
	raw->received_ns = LINE_NS + NS_PER_S;
	raw->ordinal = r->batch->count;
	return raw;
}

static struct raw *put_text(struct rig *r, const char *line)
{
	return put(r, line, strlen(line));
}

/* Takes the batch, accepts it, and reads all that was accepted and not read yet. */
static size_t take(struct rig *r)
{
	struct err err;
	bool done;

	must(pipeline_take(r->pipeline, r->batch, &err), &err);
	must(pipeline_take_facts(r->pipeline, &err), &err);
	batch_reset(r->batch);
	spool_flush(r->spool);
	must(spool_commit(r->spool, NS_PER_S, &done, &err), &err);
	spool_batch_reset(&r->read);
	must(spool_reader_read(r->reader, &r->read, 0, 0, &err), &err);
	return r->read.count;
}

static const struct record *line(struct rig *r, size_t idx)
{
	struct err err;

	assert_true(idx < r->read.count);
	must(record_decode(spool_batch_payload(&r->read, idx), &r->record, &err), &err);
	return &r->record;
}

static const struct event *event(struct rig *r, size_t idx)
{
	struct err err;

	assert_true(idx < r->read.count);
	must(event_decode(spool_batch_payload(&r->read, idx), &r->event, &err), &err);
	return &r->event;
}

static bool has_text(struct span attributes, const char *text)
{
	return attributes.len > 0 &&
	       memmem(attributes.data, attributes.len, text, strlen(text)) != NULL;
}

static bool has_attribute(const struct record *r, const char *text)
{
	return has_text(r->attributes, text);
}

static void the_design_s_line_gets_the_design_s_id(void **state)
{
	char id[ID_TEXT_BYTES];
	struct rig r;

	(void)state;
	rig_init(&r, false);
	put_text(&r, "{\"event\":{\"provider\":\"runner\"},\"fly\":{\"app\":{\"instance\":"
		     "\"0e286551c30586\",\"name\":\"web-1\"},\"region\":\"sjc\"},\"host\":\"0ad1\","
		     "\"log\":{\"level\":\"info\"},\"message\":\"machine exited with exit code 0, "
		     "not restarting\",\"timestamp\":\"2022-09-27T20:34:39.660159411Z\"}");
	assert_int_equal(take(&r), 1);
	assert_string_equal(id_format(&line(&r, 0)->id, id),
			    "4718f5dc-5f98-830a-888b-c53ebf1e1bf5");
	assert_int_equal(r.record.occurred_ns, LINE_NS);
	assert_int_equal(r.record.class, CLASS_restart);
	assert_int_equal(r.record.finding.trust, TRUST_PLATFORM);
	assert_int_equal(r.status.lines_accepted, 1);
	assert_int_equal(r.status.lines_decoded, 1);
	assert_int_equal(r.status.lines_classified, 1);
	assert_int_equal(r.status.facts_accepted, 0);
	rig_release(&r);
}

static void what_flytrail_prints_is_never_an_event(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, false);
	put_text(&r, "{\"event\":{\"provider\":\"app\"},\"fly\":{\"app\":{\"instance\":"
		     "\"0e286551c30586\",\"name\":\"flytrail\"},\"region\":\"sjc\"},\"host\":"
		     "\"0ad1\",\"log\":{\"level\":\"info\"},\"message\":\"machine exited with exit "
		     "code 0, not restarting\",\"timestamp\":\"2022-09-27T20:34:39.660159411Z\"}");
	assert_int_equal(take(&r), 1);
	assert_int_equal(line(&r, 0)->class, CLASS_app_log);
	assert_int_equal(r.record.action, ACTION_none);
	assert_int_equal(r.status.lines_classified, 0);
	rig_release(&r);
}

static void secrets_are_gone_before_the_id_and_the_spool(void **state)
{
	static const char secret[] = "hunter2-planted";
	struct rig r;

	(void)state;
	rig_init(&r, false);
	put_text(&r,
		 "{\"event\":{\"provider\":\"app\"},\"fly\":{\"app\":{\"instance\":\"m\","
		 "\"name\":\"web\"},\"region\":\"ams\"},\"host\":\"0\",\"log\":{\"level\":"
		 "\"info\"},\"message\":\"db at postgres://u:hunter2-planted@db.example.com/x\","
		 "\"timestamp\":\"2022-09-27T20:34:39.660159411Z\"}");
	put_text(&r, "not json, postgres://u:hunter2-planted@db.example.com/x");
	assert_int_equal(take(&r), 2);
	for (size_t i = 0; i < 2; i++) {
		struct span payload = spool_batch_payload(&r.read, i);

		assert_null(memmem(payload.data, payload.len, secret, sizeof(secret) - 1));
		assert_true(has_attribute(line(&r, i), "redacted"));
	}
	assert_int_equal(r.status.lines_redacted, 2);
	rig_release(&r);
}

/* A line of Fly's shape whose message is count times text, then tail. */
static char *long_line(const char *text, size_t count, const char *tail)
{
	static const char head[] =
		"{\"event\":{\"provider\":\"app\"},\"fly\":{\"app\":{\"instance\":"
		"\"m\",\"name\":\"web\"},\"region\":\"ams\"},\"host\":\"0\","
		"\"log\":{\"level\":\"info\"},\"message\":\"";
	static const char end[] = "\",\"timestamp\":\"2022-09-27T20:34:39.660159411Z\"}";
	char *made = malloc(sizeof(head) + strlen(text) * count + strlen(tail) + sizeof(end));
	char *at = made;

	assert_non_null(made);
	at = stpcpy(at, head);
	for (size_t i = 0; i < count; i++)
		at = stpcpy(at, text);
	at = stpcpy(at, tail);
	(void)stpcpy(at, end);
	return made;
}

static void a_longer_message_is_cut_at_a_character_and_told(void **state)
{
	/* three bytes each, so that 1 MiB falls into the middle of one */
	size_t count = RECORD_TEXT_BYTES_MAX / 3 + 10;
	char *a = long_line("\xe2\x82\xac", count, "a"), *b = long_line("\xe2\x82\xac", count, "b");
	struct id first;
	struct rig r;

	(void)state;
	rig_init(&r, false);
	put_text(&r, a);
	put_text(&r, b);
	assert_int_equal(take(&r), 2);
	assert_int_equal(line(&r, 0)->message.len, RECORD_TEXT_BYTES_MAX / 3 * 3);
	assert_true(has_attribute(&r.record, "\"message_sha256\":\""));
	assert_true(has_attribute(&r.record, "\"message_bytes\":1048606"));
	first = r.record.id;
	/* What was cut off still tells two lines apart. */
	assert_int_not_equal(id_compare(&first, &line(&r, 1)->id), 0);
	free(a);
	free(b);
	rig_release(&r);
}

static void a_message_that_just_fits_is_whole(void **state)
{
	char *text = long_line("x", RECORD_TEXT_BYTES_MAX, "");
	struct rig r;

	(void)state;
	rig_init(&r, false);
	put_text(&r, text);
	assert_int_equal(take(&r), 1);
	assert_int_equal(line(&r, 0)->message.len, RECORD_TEXT_BYTES_MAX);
	assert_false(has_attribute(&r.record, "message_sha256"));
	free(text);
	rig_release(&r);
}

static void broken_lines_are_rows_of_their_own(void **state)
{
	struct id first;
	struct rig r;

	(void)state;
	rig_init(&r, false);
	put_text(&r, "{\"event\":");
	put_text(&r, "{\"event\":");
	put(&r, "\0\xff", 2);
	assert_int_equal(take(&r), 3);
	assert_true(has_attribute(line(&r, 0), "undecoded"));
	first = r.record.id;
	assert_int_not_equal(id_compare(&first, &line(&r, 1)->id), 0);
	assert_true(line(&r, 2)->raw.data != NULL);
	assert_true(span_equal(r.record.raw, span_of("\0\xff", 2)));
	assert_int_equal(r.status.lines_undecoded, 3);
	assert_int_equal(r.status.lines_decoded, 0);
	assert_int_equal(r.status.lines_accepted, 3);
	rig_release(&r);
}

static void a_gap_is_an_event_before_the_lines_of_its_batch(void **state)
{
	const struct gap gap = {
		.reason = GAP_start, .start_ns = LINE_NS, .end_ns = LINE_NS + 5 * NS_PER_S};
	struct gap more = gap;
	char id[ID_TEXT_BYTES] = "";
	struct rig r;

	(void)state;
	rig_init(&r, false);
	more.known = true;
	more.end_ns += NS_PER_S;
	assert_true(batch_add_gap(r.batch, &gap));
	put_text(&r, "a line");
	assert_int_equal(take(&r), 2);
	assert_int_equal(event(&r, 0)->action, ACTION_trail_gap_opened);
	memcpy(id, r.event.correlation_id.data, r.event.correlation_id.len);
	assert_int_equal(payload_kind(spool_batch_payload(&r.read, 1)), PAYLOAD_LINE);
	assert_true(batch_add_gap(r.batch, &more));
	assert_int_equal(take(&r), 1);
	assert_int_equal(event(&r, 0)->action, ACTION_trail_gap_progress);
	assert_true(span_is(r.event.correlation_id, id));
	assert_int_equal(r.status.gaps, 1);
	assert_int_equal(r.status.facts_accepted, 2);
	rig_release(&r);
}

/* What a thread that feeds events waits for, a step each time that it looks. */
struct feeding {
	struct rig *r;
	unsigned looks;
	bool fails;
};

static enum err_kind step_of_the_others(void *arg, struct err *err)
{
	struct feeding *f = arg;
	struct batch *batch;
	bool done;

	f->looks++;
	if (f->fails)
		return err_set(err, ERR_RETRY, "the lease is another's");
	if (f->looks == 2) {
		batch = queue_get(f->r->filled, 0);
		must(pipeline_take(f->r->pipeline, batch, err), err);
		batch_reset(batch);
		assert_true(queue_put(f->r->pool, batch));
	} else if (f->looks == 4) {
		spool_flush(f->r->spool);
		must(spool_commit(f->r->spool, NS_PER_S, &done, err), err);
	}
	return ERR_NONE;
}

static void what_is_fed_is_settled_when_the_spool_has_accepted_it(void **state)
{
	const struct event fact = {.class = CLASS_trail,
				   .action = ACTION_trail_retention_changed,
				   .occurred_ns = LINE_NS,
				   .not_after_ns = EVENT_NO_TIME,
				   .observed_ns = LINE_NS,
				   .source = SOURCE_TRAIL};
	struct event_feed feed;
	struct rig r;
	struct leased_options o = {.status = &r.status, .life = &r.life};
	struct feeding feeding = {.r = &r};
	struct spool_stats stats;
	struct err err;

	(void)state;
	rig_init(&r, false);
	o.spool = r.spool;
	o.pool = r.pool;
	o.filled = r.filled;
	life_advance(&r.life, LIFE_RUNNING);
	assert_true(queue_put(r.pool, r.batch));
	event_feed_init(&feed, &o, SOURCE_TRAIL, &r.status.mirrored_accepted);
	must(event_feed_put(&feed, &fact, LINE_NS + NS_PER_S, &err), &err);
	must(event_feed_settle(&feed, step_of_the_others, &feeding, &err), &err);
	assert_int_equal(feeding.looks, 4);
	spool_stats(r.spool, &stats);
	assert_int_equal(stats.accepted_seq, 1);
	must(spool_reader_read(r.reader, &r.read, 0, 0, &err), &err);
	assert_int_equal(event(&r, 0)->action, ACTION_trail_retention_changed);
	assert_int_equal(r.status.facts_accepted, 1);
	assert_int_equal(r.status.events_accepted, 0);

	/* Who may not go on gives up. */
	feeding.fails = true;
	must(event_feed_put(&feed, &fact, LINE_NS, &err), &err);
	assert_int_equal(event_feed_settle(&feed, step_of_the_others, &feeding, &err), ERR_RETRY);
	life_advance(&r.life, LIFE_DRAINING);
	assert_int_equal(event_feed_settle(&feed, step_of_the_others, &feeding, &err), ERR_FULL);
	event_feed_release(&feed);
	r.batch = queue_get(r.filled, 0);
	assert_non_null(r.batch);
	rig_release(&r);
}

static void what_was_listened_is_an_event_behind_the_lines(void **state)
{
	const struct gap gap = {
		.reason = GAP_disconnect, .start_ns = LINE_NS, .end_ns = LINE_NS + NS_PER_S};
	struct rig r;

	(void)state;
	rig_init(&r, false);
	assert_true(batch_add_gap(r.batch, &gap));
	assert_true(batch_add_listened(r.batch, &(struct listened){LINE_NS, LINE_NS + NS_PER_S}));
	put_text(&r, "a line");
	put_text(&r, "another");
	r.batch->shared = true;
	assert_int_equal(take(&r), 4);
	assert_int_equal(event(&r, 0)->action, ACTION_trail_gap_opened);
	assert_int_equal(payload_kind(spool_batch_payload(&r.read, 2)), PAYLOAD_LINE);
	assert_int_equal(event(&r, 3)->action, ACTION_trail_listening);
	assert_true(has_text(r.event.attributes,
			     "\"listening_start\":\"2022-09-27T20:34:39.660159411Z\""));
	assert_true(has_text(r.event.attributes,
			     "\"listening_end\":\"2022-09-27T20:34:40.660159411Z\""));
	assert_true(has_text(r.event.attributes, "\"shared\":true"));
	assert_int_equal(r.status.gaps, 1);
	rig_release(&r);
}

/* Fills the spool until the pipeline gives up, which it does because of cut. */
static void fill(struct rig *r)
{
	char *text = long_line("x", 60 * 1024, "");
	enum err_kind rc = ERR_NONE;
	struct err err;
	bool done;

	atomic_store(&r->life.cut, true);
	for (unsigned i = 0; rc == ERR_NONE && i < 4096; i++) {
		batch_reset(r->batch);
		put_text(r, text);
		rc = pipeline_take(r->pipeline, r->batch, &err);
		spool_flush(r->spool);
		must(spool_commit(r->spool, 0, &done, &err), &err);
	}
	assert_int_equal(rc, ERR_FULL);
	atomic_store(&r->life.cut, false);
	batch_reset(r->batch);
	free(text);
}

/* Reads on until an event comes. */
static const struct event *next_event(struct rig *r)
{
	struct err err;

	for (;;) {
		spool_batch_reset(&r->read);
		must(spool_reader_read(r->reader, &r->read, 0, 0, &err), &err);
		assert_true(r->read.count > 0);
		spool_reader_pass(r->reader, r->read.frames[r->read.count - 1].seq);
		for (size_t i = 0; i < r->read.count; i++)
			if (payload_kind(spool_batch_payload(&r->read, i)) == PAYLOAD_EVENT)
				return event(r, i);
	}
}

static void a_full_spool_is_a_gap_of_a_source_that_keeps_nothing(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, false);
	fill(&r);
	assert_true(r.status.intake_stopped);
	assert_int_equal(next_event(&r)->action, ACTION_trail_gap_opened);
	assert_non_null(memmem(r.event.attributes.data, r.event.attributes.len, "spool_full", 10));
	assert_null(memmem(r.event.attributes.data, r.event.attributes.len, "gap_end", 7));
	rig_release(&r);
}

/* A fact about a range of time, as a reader of the spool sees it. */
struct told {
	enum action action;
	int64_t start_ns, end_ns; /* 0: absent */
};

static int64_t time_member(const struct json *attributes, const char *gap, const char *listening)
{
	const struct json *v = json_member(attributes, gap);
	unsigned digits;
	int64_t ns;

	v = v ? v : json_member(attributes, listening);
	return v && time_parse(json_text(v), false, &ns, &digits) ? ns : 0;
}

/* Reads, and passes, all that is accepted. Returns how many facts there were. */
static size_t read_facts(struct rig *r, struct told *ret, size_t max)
{
	size_t count = 0;
	struct err err;

	for (;;) {
		spool_batch_reset(&r->read);
		must(spool_reader_read(r->reader, &r->read, 0, 0, &err), &err);
		if (r->read.count == 0)
			return count;
		for (size_t i = 0; i < r->read.count; i++) {
			struct json *attributes = NULL;

			if (payload_kind(spool_batch_payload(&r->read, i)) != PAYLOAD_EVENT)
				continue;
			assert_true(count < max);
			must(json_parse(&attributes, event(r, i)->attributes, &err), &err);
			ret[count++] = (struct told){
				r->event.action,
				time_member(attributes, "gap_start", "listening_start"),
				time_member(attributes, "gap_end", "listening_end"),
			};
			json_free(attributes);
		}
		spool_reader_pass(r->reader, r->read.frames[r->read.count - 1].seq);
	}
}

/* Lets the pipeline run with batches that hold what was listened, one each. */
static void run_listened(struct rig *r, const struct listened *listened, size_t count)
{
	struct err err;
	bool done;

	for (size_t i = 0; i < count; i++) {
		struct batch *batch;

		must(batch_new(&batch, &err), &err);
		assert_true(batch_add_listened(batch, &listened[i]));
		assert_true(queue_put(r->filled, batch));
	}
	queue_close(r->filled);
	must(pipeline_run(r->pipeline, &err), &err);
	for (size_t i = 0; i < count; i++)
		batch_free(queue_get(r->pool, 0));
	must(spool_commit(r->spool, 0, &done, &err), &err);
}

static void nothing_is_vouched_for_while_the_spool_was_full(void **state)
{
	int64_t start_ns = time_now_ns() - 100 * NS_PER_S, end_ns;
	struct told told[8];
	struct rig r;

	(void)state;
	rig_init(&r, false);
	fill(&r);
	(void)read_facts(&r, told, ARRAY_LEN(told)); /* which makes room */
	assert_int_equal(told[0].action, ACTION_trail_gap_opened);
	fault_set_wall_clock(60 * NS_PER_S);
	put_text(&r, "a line for which there is room again");
	assert_int_equal(take(&r), 1);
	assert_false(r.status.intake_stopped);
	fault_set_wall_clock(11 * NS_PER_S); /* now the gap's end is put on record */
	end_ns = time_now_ns() + 100 * NS_PER_S;
	run_listened(&r,
		     (const struct listened[]){{start_ns, start_ns + NS_PER_S},
					       {start_ns + NS_PER_S, time_now_ns() - 20 * NS_PER_S},
					       {time_now_ns() - 20 * NS_PER_S, end_ns - NS_PER_S},
					       {end_ns - NS_PER_S, end_ns}},
		     4);
	assert_int_equal(read_facts(&r, told + 1, ARRAY_LEN(told) - 1), 5);
	assert_int_equal(told[1].start_ns, start_ns);
	assert_int_equal(told[1].end_ns, start_ns + NS_PER_S);
	assert_int_equal(told[2].action, ACTION_trail_gap_progress);
	assert_int_equal(told[2].start_ns, told[0].start_ns);
	/* The gap lies between the next two, and touches both. */
	assert_int_equal(told[3].start_ns, start_ns + NS_PER_S);
	assert_int_equal(told[3].end_ns, told[0].start_ns);
	assert_int_equal(told[4].start_ns, told[2].end_ns);
	assert_int_equal(told[4].end_ns, end_ns - NS_PER_S);
	assert_int_equal(told[5].start_ns, end_ns - NS_PER_S);
	assert_int_equal(told[5].end_ns, end_ns);
	rig_release(&r);
}

/* Fills the spool to its last byte, the reserve too, behind the pipeline's back. */
static void fill_all(struct rig *r)
{
	char *text = long_line("x", 60 * 1024, "");
	struct span payload;
	struct buf copy;
	struct err err;
	bool done;

	put_text(r, text);
	assert_int_equal(take(r), 1);
	payload = spool_batch_payload(&r->read, 0);
	buf_init(&copy, payload.len);
	buf_add(&copy, payload.data, payload.len);
	/* Ever shorter ones, until no fact fits either: what their bytes say is read by nobody. */
	for (size_t len = copy.len; len > 16; len /= 2) {
		enum err_kind rc = ERR_NONE;

		for (unsigned i = 0; rc == ERR_NONE && i < 4096; i++) {
			rc = spool_append(r->spool, span_of(copy.data, len), LINE_NS, SPOOL_TRAIL,
					  &err);
			spool_flush(r->spool);
			must(spool_commit(r->spool, 0, &done, &err), &err);
		}
		assert_int_equal(rc, ERR_FULL);
	}
	buf_release(&copy);
	free(text);
}

static void a_gap_that_meets_a_full_mailbox_is_on_record(void **state)
{
	const struct fact fact = {.action = ACTION_trail_started, .noticed_ns = LINE_NS};
	const struct gap gap = {
		.reason = GAP_disconnect, .start_ns = LINE_NS, .end_ns = LINE_NS + NS_PER_S};
	struct rig r;

	(void)state;
	rig_init(&r, false);
	for (unsigned i = 0; i < TRAIL_FACTS_MAX + 1; i++)
		trail_post(r.trail, &fact);
	assert_true(batch_add_gap(r.batch, &gap));
	put_text(&r, "a line");
	assert_int_equal(take(&r), TRAIL_FACTS_MAX + 2);
	assert_int_equal(event(&r, TRAIL_FACTS_MAX)->action, ACTION_trail_gap_opened);
	assert_int_equal(r.status.gaps, 1);
	rig_release(&r);
}

static void facts_that_find_no_room_wait_for_it_and_stand_before_the_line(void **state)
{
	const struct fact fact = {.action = ACTION_trail_started, .noticed_ns = LINE_NS};
	const struct gap gap = {
		.reason = GAP_disconnect, .start_ns = LINE_NS, .end_ns = LINE_NS + NS_PER_S};
	struct told told[8];
	struct err err;
	struct rig r;
	bool done;

	(void)state;
	rig_init(&r, false);
	fill_all(&r);
	for (unsigned i = 0; i < TRAIL_FACTS_MAX; i++)
		trail_post(r.trail, &fact);
	assert_true(batch_add_gap(r.batch, &gap));
	put_text(&r, "a line");
	atomic_store(&r.life.cut, true);
	assert_int_equal(pipeline_take(r.pipeline, r.batch, &err), ERR_FULL);
	atomic_store(&r.life.cut, false);
	assert_int_equal(r.status.gaps, 0);
	for (unsigned i = 0; i < TRAIL_FACTS_MAX; i++)
		trail_pop(r.trail);
	assert_int_equal(read_facts(&r, told, ARRAY_LEN(told)), 0); /* which makes room */
	for (unsigned i = 0; i < 100 && !spool_wait_room(r.spool, 0); i++)
		must(spool_commit(r.spool, NS_PER_S / 100, &done, &err), &err);
	assert_true(spool_wait_room(r.spool, 0));
	assert_int_equal(take(&r), 3);
	assert_int_equal(event(&r, 0)->action, ACTION_trail_gap_opened);
	assert_int_equal(event(&r, 1)->action, ACTION_trail_gap_opened);
	assert_true(has_text(r.event.attributes, "spool_full"));
	assert_int_equal(payload_kind(spool_batch_payload(&r.read, 2)), PAYLOAD_LINE);
	assert_int_equal(read_facts(&r, told, ARRAY_LEN(told)), 0);
	rig_release(&r);
}

static void a_full_spool_is_no_gap_of_a_source_that_keeps_its_lines(void **state)
{
	int64_t start_ns = time_now_ns() - 100 * NS_PER_S;
	struct told told[2];
	struct rig r;

	(void)state;
	rig_init(&r, true);
	fill(&r);
	assert_true(r.status.intake_stopped);
	assert_int_equal(r.status.gaps, 0);
	assert_int_equal(read_facts(&r, told, ARRAY_LEN(told)), 0); /* which makes room */
	put_text(&r, "a line for which there is room again");
	assert_int_equal(take(&r), 1);
	assert_false(r.status.intake_stopped);
	/* It is vouched for as if it never had been full. */
	run_listened(&r, &(const struct listened){start_ns, start_ns + 200 * NS_PER_S}, 1);
	assert_int_equal(read_facts(&r, told, ARRAY_LEN(told)), 1);
	assert_int_equal(told[0].action, ACTION_trail_listening);
	assert_int_equal(told[0].start_ns, start_ns);
	assert_int_equal(told[0].end_ns, start_ns + 200 * NS_PER_S);
	rig_release(&r);
}

static void a_run_ends_when_its_queue_is_closed_and_gives_batches_back(void **state)
{
	struct err err;
	struct rig r;
	bool done;

	(void)state;
	rig_init(&r, false);
	put_text(&r, "one line");
	assert_true(queue_put(r.filled, r.batch));
	queue_close(r.filled);
	must(pipeline_run(r.pipeline, &err), &err);
	assert_ptr_equal(queue_get(r.pool, 0), r.batch);
	assert_int_equal(r.batch->count, 0);
	must(spool_commit(r.spool, 0, &done, &err), &err);
	must(spool_reader_read(r.reader, &r.read, 0, 0, &err), &err);
	assert_int_equal(r.read.count, 1);
	rig_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_design_s_line_gets_the_design_s_id),
		cmocka_unit_test(what_flytrail_prints_is_never_an_event),
		cmocka_unit_test(secrets_are_gone_before_the_id_and_the_spool),
		cmocka_unit_test(a_longer_message_is_cut_at_a_character_and_told),
		cmocka_unit_test(a_message_that_just_fits_is_whole),
		cmocka_unit_test(broken_lines_are_rows_of_their_own),
		cmocka_unit_test(a_gap_is_an_event_before_the_lines_of_its_batch),
		cmocka_unit_test(what_is_fed_is_settled_when_the_spool_has_accepted_it),
		cmocka_unit_test(what_was_listened_is_an_event_behind_the_lines),
		cmocka_unit_test(a_full_spool_is_a_gap_of_a_source_that_keeps_nothing),
		cmocka_unit_test(nothing_is_vouched_for_while_the_spool_was_full),
		cmocka_unit_test(a_gap_that_meets_a_full_mailbox_is_on_record),
		cmocka_unit_test(facts_that_find_no_room_wait_for_it_and_stand_before_the_line),
		cmocka_unit_test(a_full_spool_is_no_gap_of_a_source_that_keeps_its_lines),
		cmocka_unit_test(a_run_ends_when_its_queue_is_closed_and_gives_batches_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
