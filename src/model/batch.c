#include "model/batch.h"

#include <stdlib.h>

enum { SUBJECT_BYTES_MAX = 64 * 1024 }; /* far above what a NATS server lets through */

const char *source_name(enum record_source s)
{
	switch (s) {
	case SOURCE_NATS: return "nats";
	case SOURCE_HTTP: return "http";
	case SOURCE_FILE: return "file";
	case SOURCE_REPLAY: return "replay";
	case SOURCE_WATCH: return "watch";
	case SOURCE_TRAIL: return "trail";
	case SOURCE_COUNT: break;
	}
	REQUIRE(s < SOURCE_COUNT);
	return "";
}

const char *gap_reason_name(enum gap_reason r)
{
	static const char *const names[] = {
#define GAP_REASON(name, doc) #name,
#include "model/gap_reasons.def"
#undef GAP_REASON
	};

	REQUIRE(r < GAP_REASON_COUNT);
	return names[r];
}

enum err_kind batch_new(struct batch **ret, struct err *err)
{
	/* Not cleared: raws past count mean nothing, and their pages need not exist yet. */
	struct batch *b = malloc(sizeof(*b));

	if (!b)
		return err_set(err, ERR_FATAL, "out of memory for a batch");
	b->source = SOURCE_NATS;
	buf_init(&b->bytes, BATCH_BYTES_FULL + RAW_BYTES_MAX + SUBJECT_BYTES_MAX);
	b->count = 0;
	b->gap_count = 0;
	b->listened_count = 0;
	b->event_count = 0;
	b->shared = false;
	b->last = false;
	b->recovered = false;
	*ret = b;
	return ERR_NONE;
}

void batch_free(struct batch *b)
{
	if (!b)
		return;
	buf_release(&b->bytes);
	free(b);
}

void batch_reset(struct batch *b)
{
	if (b->bytes.cap > BATCH_KEEP_BYTES)
		buf_release(&b->bytes);
	buf_reset(&b->bytes);
	b->count = 0;
	b->gap_count = 0;
	b->listened_count = 0;
	b->event_count = 0;
	b->shared = false;
	b->last = false;
	b->recovered = false;
}

bool batch_is_full(const struct batch *b)
{
	return b->count == BATCH_RECORDS_MAX || b->bytes.len >= BATCH_BYTES_FULL;
}

struct raw *batch_add(struct batch *b, struct span subject, struct span line)
{
	size_t start = b->bytes.len;
	struct raw *raw;
	uint8_t *room;

	if (b->count == BATCH_RECORDS_MAX || line.len > RAW_BYTES_MAX ||
	    subject.len > SUBJECT_BYTES_MAX)
		return NULL;
	room = buf_extend(&b->bytes, subject.len + line.len);
	if (!room) {
		b->bytes.failed = ERR_NONE; /* the lines that are in stay good */
		return NULL;
	}
	if (subject.len > 0)
		memcpy(room, subject.data, subject.len);
	if (line.len > 0)
		memcpy(room + subject.len, line.data, line.len);
	raw = &b->raws[b->count++];
	*raw = (struct raw){
		.offset = start + subject.len,
		.len = line.len,
		.subject_len = subject.len,
		.full_len = line.len,
	};
	return raw;
}

/* 0 is "not known", and a sum with it is not known either. */
static uint64_t add_lost(uint64_t a, uint64_t b)
{
	uint64_t sum;

	if (a == 0 || b == 0 || __builtin_add_overflow(a, b, &sum))
		return 0;
	return sum;
}

bool batch_add_gap(struct batch *b, const struct gap *gap)
{
	struct gap *last;

	if (b->gap_count < BATCH_GAPS_MAX) {
		b->gaps[b->gap_count++] = *gap;
		return true;
	}
	last = &b->gaps[BATCH_GAPS_MAX - 1];
	if (gap->start_ns < last->start_ns)
		last->start_ns = gap->start_ns;
	if (gap->end_ns > last->end_ns)
		last->end_ns = gap->end_ns;
	last->lines_lost = add_lost(last->lines_lost, gap->lines_lost);
	return false;
}

bool batch_add_listened(struct batch *b, const struct listened *listened)
{
	if (b->listened_count == BATCH_LISTENED_MAX)
		return false;
	b->listened[b->listened_count++] = *listened;
	return true;
}

bool batch_add_event(struct batch *b, struct span payload, int64_t observed_ns)
{
	size_t start = b->bytes.len;

	if (b->event_count == BATCH_EVENTS_MAX)
		return false;
	buf_add(&b->bytes, payload.data, payload.len);
	if (b->bytes.failed) {
		b->bytes.failed = ERR_NONE; /* what is in stays good */
		return false;
	}
	b->events[b->event_count++] = (struct batch_event){
		.offset = start, .len = payload.len, .observed_ns = observed_ns};
	return true;
}

struct span batch_line(const struct batch *b, const struct raw *raw)
{
	REQUIRE(raw->len <= b->bytes.len && raw->offset <= b->bytes.len - raw->len);
	return raw->len > 0 ? span_of(b->bytes.data + raw->offset, raw->len) : SPAN("");
}

struct span batch_subject(const struct batch *b, const struct raw *raw)
{
	REQUIRE(raw->subject_len <= raw->offset && raw->offset <= b->bytes.len);
	if (raw->subject_len == 0)
		return SPAN("");
	return span_of(b->bytes.data + raw->offset - raw->subject_len, raw->subject_len);
}

struct span batch_event(const struct batch *b, size_t idx)
{
	REQUIRE(idx < b->event_count);
	return span_of(b->bytes.data + b->events[idx].offset, b->events[idx].len);
}
