#include "store/copy.h"

#include "base/bytes.h"
#include "model/event.h"

#include <stdlib.h>

enum {
	JSONB_VERSION = 1,
	LINE_FIELDS = 19,
	EVENT_FIELDS = 29,
	/* Of a row without its texts: field count, lengths, and what is of fixed size. */
	LINE_FIXED_BYTES = 2 + 4 * LINE_FIELDS + 16 + 8 + 2 + 8 + 1 + 16 + 8,
	EVENT_FIXED_BYTES = 2 + 4 * EVENT_FIELDS + 16 + 8 + 8 + 8 + 2 + 1 + 16 + 8,
};

#define POSTGRES_EPOCH_US INT64_C(946684800000000) /* 2000-01-01, where timestamptz begins */

static const uint8_t copy_header[] = {
	'P', 'G', 'C', 'O', 'P', 'Y', '\n', 0xff, '\r', '\n', 0, /* signature */
	0,   0,   0,   0,                                        /* flags */
	0,   0,   0,   0,                                        /* length of the extension */
};

enum err_kind copy_plan_init(struct copy_plan *p, size_t rows_max, struct err *err)
{
	REQUIRE(rows_max > 0 && rows_max <= UINT32_MAX);
	*p = (struct copy_plan){.rows_max = rows_max};
	p->lines = calloc(rows_max, sizeof(p->lines[0]));
	p->events = calloc(rows_max, sizeof(p->events[0]));
	if (p->lines && p->events)
		return ERR_NONE;
	copy_plan_release(p);
	return err_set(err, ERR_FATAL, "out of memory for batches of %zu rows", rows_max);
}

void copy_plan_release(struct copy_plan *p)
{
	free(p->lines);
	free(p->events);
	*p = (struct copy_plan){0};
}

/* Rounded down, so that occurred_ns is never negative. */
static int64_t us_of(int64_t ns)
{
	return ns / NS_PER_US - (ns % NS_PER_US < 0);
}

static int ns_past_us(int64_t ns)
{
	int past = (int)(ns % NS_PER_US);

	return past < 0 ? past + (int)NS_PER_US : past;
}

static bool is_security(enum line_class c)
{
	return strcmp(class_retention(c), "security") == 0;
}

static struct copy_key *add_key(struct copy_key *keys, size_t *count, const struct id *id,
				int64_t occurred_ns, size_t frame_idx)
{
	struct copy_key *key = &keys[(*count)++];

	key->occurred_us = us_of(occurred_ns);
	key->id = *id;
	key->frame_idx = (uint32_t)frame_idx;
	key->is_security = false;
	return key;
}

static enum err_kind add_line(struct copy_plan *p, struct span payload, size_t frame_idx,
			      struct err *err)
{
	struct record_key r;
	enum err_kind rc = record_decode_key(payload, &r, err);

	if (rc)
		return rc;
	(void)add_key(p->lines, &p->line_count, &r.id, r.occurred_ns, frame_idx);
	if (r.class != CLASS_app_log)
		add_key(p->events, &p->event_count, &r.id, r.occurred_ns, frame_idx)->is_security =
			is_security(r.class);
	return ERR_NONE;
}

static enum err_kind add_event(struct copy_plan *p, struct span payload, size_t frame_idx,
			       struct err *err)
{
	struct event event;
	enum err_kind rc = event_decode(payload, &event, err);

	if (rc)
		return rc;
	if (event.class == CLASS_app_log)
		return err_set(err, ERR_CORRUPT, "an event's payload has the class app_log");
	add_key(p->events, &p->event_count, &event.id, event.occurred_ns, frame_idx)->is_security =
		is_security(event.class);
	return ERR_NONE;
}

static int compare_keys(const void *left, const void *right)
{
	const struct copy_key *a = left, *b = right;

	/* 'operations' sorts before 'security'. */
	if (a->is_security != b->is_security)
		return a->is_security ? 1 : -1;
	if (a->occurred_us != b->occurred_us)
		return a->occurred_us < b->occurred_us ? -1 : 1;
	return id_compare(&a->id, &b->id);
}

/* Sorts, and keeps one row of each key. Returns how many went. */
static size_t sort_keys(struct copy_key *keys, size_t *count)
{
	size_t total = *count, kept = 0;
	bool sorted = true;

	/* What one source gives comes nearly in order, most of it wholly. */
	for (size_t i = 1; i < total && sorted; i++)
		sorted = compare_keys(&keys[i - 1], &keys[i]) < 0;
	if (sorted)
		return 0;
	qsort(keys, total, sizeof(keys[0]), compare_keys);
	for (size_t i = 0; i < total; i++) {
		if (kept > 0 && compare_keys(&keys[kept - 1], &keys[i]) == 0)
			continue;
		keys[kept++] = keys[i];
	}
	*count = kept;
	return total - kept;
}

static enum err_kind refuse(struct err *err)
{
	return err_set(err, ERR_REJECT, "a record of the spool is none that this version can read");
}

enum err_kind copy_plan_fill(struct copy_plan *p, const struct spool_batch *batch, size_t first,
			     size_t count, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	REQUIRE(count <= p->rows_max);
	REQUIRE(first <= batch->count && count <= batch->count - first);
	p->frame_count = count;
	p->line_count = 0;
	p->event_count = 0;
	for (size_t i = first; i < first + count && !rc; i++) {
		struct span payload = spool_batch_payload(batch, i);

		rc = payload_kind(payload) == PAYLOAD_EVENT ? add_event(p, payload, i, err)
							    : add_line(p, payload, i, err);
	}
	if (rc)
		return refuse(err);
	p->line_duplicates = sort_keys(p->lines, &p->line_count);
	p->duplicates = p->line_duplicates + sort_keys(p->events, &p->event_count);
	return ERR_NONE;
}

static uint8_t *put_len(uint8_t *at, size_t len)
{
	put_u32_be(at, (uint32_t)len);
	return at + 4;
}

static uint8_t *put_null(uint8_t *at)
{
	put_u32_be(at, UINT32_MAX);
	return at + 4;
}

static uint8_t *put_i16(uint8_t *at, int v)
{
	at = put_len(at, 2);
	put_u16_be(at, (uint16_t)v);
	return at + 2;
}

static uint8_t *put_i64(uint8_t *at, int64_t v)
{
	at = put_len(at, 8);
	put_u64_be(at, (uint64_t)v);
	return at + 8;
}

static uint8_t *put_time(uint8_t *at, int64_t us)
{
	return put_i64(at, us - POSTGRES_EPOCH_US);
}

static uint8_t *put_id(uint8_t *at, const struct id *id)
{
	at = put_len(at, ID_BYTES);
	memcpy(at, id->bytes, ID_BYTES);
	return at + ID_BYTES;
}

static uint8_t *put_bytes(uint8_t *at, struct span s)
{
	at = put_len(at, s.len);
	if (s.len > 0)
		memcpy(at, s.data, s.len);
	return at + s.len;
}

/* Null where there is nothing. */
static uint8_t *put_text(uint8_t *at, struct span s)
{
	return s.len > 0 ? put_bytes(at, s) : put_null(at);
}

/* For columns that are never null: the word `unknown` where there is nothing. */
static uint8_t *put_known(uint8_t *at, struct span s)
{
	return put_bytes(at, s.len > 0 ? s : SPAN("unknown"));
}

static uint8_t *put_name(uint8_t *at, const char *name)
{
	return put_text(at, span_text(name));
}

static uint8_t *put_jsonb(uint8_t *at, struct span json)
{
	if (json.len == 0)
		return put_null(at);
	at = put_len(at, json.len + 1);
	*at = JSONB_VERSION;
	memcpy(at + 1, json.data, json.len);
	return at + 1 + json.len;
}

static uint8_t *put_count(uint8_t *at, int fields)
{
	put_u16_be(at, (uint16_t)fields);
	return at + 2;
}

void copy_put_header(struct buf *out)
{
	buf_add(out, copy_header, sizeof(copy_header));
}

void copy_put_trailer(struct buf *out)
{
	buf_add(out, "\xff\xff", COPY_TRAILER_BYTES);
}

/* A row's bytes are counted before they are written, so that they are put without looking. */
static uint8_t *begin_row(struct buf *out, size_t bound, size_t *ret_start, struct err *err,
			  enum err_kind *ret_rc)
{
	uint8_t *room;

	*ret_start = out->len;
	room = buf_extend(out, bound);
	*ret_rc = room ? ERR_NONE : buf_check(out, err);
	return room;
}

static size_t line_bound(const struct record *r)
{
	return LINE_FIXED_BYTES + strlen(source_name(r->source)) + strlen(class_name(r->class)) +
	       strlen(action_name(r->action)) + r->org.len + r->app.len + r->region.len +
	       r->machine_id.len + r->host.len + r->provider.len + r->level.len + r->message.len +
	       r->raw.len + r->attributes.len;
}

enum err_kind copy_put_line(const struct copy_context *c, const struct copy_key *key,
			    struct buf *out, struct err *err)
{
	struct record *r = &c->plan->scratch;
	enum err_kind rc;
	uint8_t *room, *at;
	size_t start;

	if (record_decode(spool_batch_payload(c->batch, key->frame_idx), r, err))
		return refuse(err);
	room = begin_row(out, line_bound(r), &start, err, &rc);
	if (rc)
		return rc;
	at = put_count(room, LINE_FIELDS);
	at = put_id(at, &r->id);
	at = put_time(at, key->occurred_us);
	at = put_i16(at, ns_past_us(r->occurred_ns));
	at = put_time(at, us_of(r->observed_ns));
	at = put_name(at, source_name(r->source));
	at = put_text(at, r->org);
	at = put_text(at, r->app);
	at = put_text(at, r->region);
	at = put_text(at, r->machine_id);
	at = put_text(at, r->host);
	at = put_text(at, r->provider);
	at = put_text(at, r->level);
	at = put_name(at, class_name(r->class));
	at = put_name(at, action_name(r->action));
	at = put_bytes(at, r->message);
	at = r->raw.data ? put_bytes(at, r->raw) : put_null(at);
	at = put_jsonb(at, r->attributes);
	at = put_id(at, &c->stream);
	at = put_i64(at, (int64_t)c->batch->frames[key->frame_idx].seq);
	buf_cut(out, start + (size_t)(at - room));
	return ERR_NONE;
}

static size_t event_bound(const struct event *e)
{
	const struct span texts[] = {
		e->org,          e->app,          e->region, e->machine_id, e->correlation_id,
		e->target_type,  e->target,       e->origin, e->rule,       event_actor_reason(e),
		e->summary,      e->message,      e->actor,  e->outcome,    e->attributes,
		SPAN("unknown"), SPAN("unknown"),
	};
	size_t bound = EVENT_FIXED_BYTES + strlen(class_retention(e->class)) +
		       strlen(class_name(e->class)) + strlen(action_name(e->action)) +
		       strlen(time_basis_name(e->time_basis)) +
		       strlen(actor_type_name(e->actor_type)) + strlen(trust_name(e->trust)) +
		       strlen(source_name(e->source));

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		bound += texts[i].len;
	return bound;
}

enum err_kind copy_put_event(const struct copy_context *c, const struct copy_key *key,
			     struct buf *out, struct err *err)
{
	struct event e;
	enum err_kind rc;
	uint8_t *room, *at;
	size_t start;

	if (event_of_payload(spool_batch_payload(c->batch, key->frame_idx), &c->plan->scratch, &e,
			     err))
		return refuse(err);
	room = begin_row(out, event_bound(&e), &start, err, &rc);
	if (rc)
		return rc;
	at = put_count(room, EVENT_FIELDS);
	at = put_id(at, &e.id);
	at = put_name(at, class_retention(e.class));
	at = put_name(at, class_name(e.class));
	at = put_name(at, action_name(e.action));
	at = put_time(at, key->occurred_us);
	at = e.not_after_ns == EVENT_NO_TIME ? put_null(at) : put_time(at, us_of(e.not_after_ns));
	at = put_name(at, time_basis_name(e.time_basis));
	at = put_time(at, us_of(e.observed_ns));
	at = put_text(at, e.org);
	at = put_text(at, e.app);
	at = put_text(at, e.region);
	at = put_text(at, e.machine_id);
	at = put_text(at, e.correlation_id);
	at = put_known(at, e.actor);
	at = put_name(at, actor_type_name(e.actor_type));
	at = put_text(at, event_actor_reason(&e));
	at = put_text(at, e.target_type);
	at = put_text(at, e.target);
	at = put_text(at, e.origin);
	at = put_known(at, e.outcome);
	at = put_i16(at, (int)e.severity);
	at = put_name(at, trust_name(e.trust));
	at = put_name(at, source_name(e.source));
	at = put_text(at, e.rule);
	at = put_text(at, e.summary);
	at = put_text(at, e.message);
	at = put_jsonb(at, e.attributes);
	at = put_id(at, &c->stream);
	at = put_i64(at, (int64_t)c->batch->frames[key->frame_idx].seq);
	buf_cut(out, start + (size_t)(at - room));
	return ERR_NONE;
}
