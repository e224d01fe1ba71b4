#include "model/event.h"

#include "model/codec.h"

/*
 * An event's payload:
 *
 *	offset  size  field
 *	0       1     version, 1
 *	1       1     kind, PAYLOAD_EVENT
 *	2       16    id
 *	18      8     occurred_ns
 *	26      8     not_after_ns
 *	34      8     observed_ns
 *	42      7     class, action, time_basis, actor_type, severity, trust, source
 *	49            texts, in the order of texts_of()
 *	...           attributes
 */
enum {
	EVENT_HEADER_BYTES = 49,
	EVENT_TEXTS = 14,
	ATTRIBUTES_LEN_BYTES = 4,
};

const char *time_basis_name(enum time_basis b)
{
	switch (b) {
	case TIME_SOURCE: return "source";
	case TIME_OBSERVED: return "observed";
	case TIME_INTERVAL: return "interval";
	case TIME_BASIS_COUNT: break;
	}
	REQUIRE(b < TIME_BASIS_COUNT);
	return "";
}

void event_from_record(const struct record *r, struct event *ret)
{
	const struct finding *f = &r->finding;

	REQUIRE(r->class != CLASS_app_log);
	*ret = (struct event){
		.id = r->id,
		.class = r->class,
		.action = r->action,
		.occurred_ns = r->occurred_ns,
		.not_after_ns = EVENT_NO_TIME,
		.time_basis = r->foreign_time ? TIME_OBSERVED : TIME_SOURCE,
		.observed_ns = r->observed_ns,
		.org = r->org,
		.app = r->app,
		.region = r->region,
		.machine_id = r->machine_id,
		.correlation_id = f->correlation_id,
		.actor = f->actor,
		.actor_type = f->actor_type,
		.actor_reason = f->actor_reason,
		.target_type = f->target_type,
		.target = f->target,
		.outcome = f->outcome,
		.severity = f->severity,
		.trust = f->trust,
		.source = r->source,
		.rule = span_text(f->rule ? f->rule : ""),
		.summary = f->summary,
		.message = r->message,
		.attributes = r->attributes,
	};
}

static void texts_of(const struct event *e, struct span texts[EVENT_TEXTS])
{
	const struct span all[] = {
		e->org,     e->app,          e->region,      e->machine_id, e->correlation_id,
		e->actor,   e->actor_reason, e->target_type, e->target,     e->origin,
		e->outcome, e->rule,         e->summary,     e->message,
	};

	_Static_assert(ARRAY_LEN(all) == EVENT_TEXTS, "the format has this many");
	memcpy(texts, all, sizeof(all));
}

static uint8_t *put_header(uint8_t *at, const struct event *e)
{
	at = codec_put_u8(at, CODEC_VERSION);
	at = codec_put_u8(at, PAYLOAD_EVENT);
	at = codec_put_id(at, &e->id);
	at = codec_put_i64(at, e->occurred_ns);
	at = codec_put_i64(at, e->not_after_ns);
	at = codec_put_i64(at, e->observed_ns);
	at = codec_put_u8(at, e->class);
	at = codec_put_u8(at, e->action);
	at = codec_put_u8(at, e->time_basis);
	at = codec_put_u8(at, e->actor_type);
	at = codec_put_u8(at, e->severity);
	at = codec_put_u8(at, e->trust);
	return codec_put_u8(at, e->source);
}

void event_encode(const struct event *e, struct buf *out)
{
	struct span texts[EVENT_TEXTS];
	size_t start = out->len;
	uint8_t *room, *at;

	REQUIRE(e->class < CLASS_COUNT && e->action < ACTION_COUNT && e->source < SOURCE_COUNT);
	REQUIRE(e->attributes.len <= UINT32_MAX);
	texts_of(e, texts);
	room = buf_extend(out, EVENT_HEADER_BYTES + codec_texts_bound(texts, EVENT_TEXTS) +
				       ATTRIBUTES_LEN_BYTES);
	if (!room)
		return;
	at = put_header(room, e);
	for (size_t i = 0; i < EVENT_TEXTS; i++)
		at = codec_put_text(at, texts[i]);
	put_u32_le(at, (uint32_t)e->attributes.len);
	buf_cut(out, start + (size_t)(at - room) + ATTRIBUTES_LEN_BYTES);
	buf_span(out, e->attributes);
}

static void get_header(struct codec_reader *r, struct event *e)
{
	codec_get_id(r, &e->id);
	e->occurred_ns = codec_get_i64(r);
	e->not_after_ns = codec_get_i64(r);
	e->observed_ns = codec_get_i64(r);
	e->class = (enum line_class)codec_get_enum(r, CLASS_COUNT);
	e->action = (enum action)codec_get_enum(r, ACTION_COUNT);
	e->time_basis = (enum time_basis)codec_get_enum(r, TIME_BASIS_COUNT);
	e->actor_type = (enum actor_type)codec_get_enum(r, ACTOR_TYPE_COUNT);
	e->severity = (enum severity)codec_get_enum(r, SEVERITY_FATAL + 1);
	e->trust = (enum trust)codec_get_enum(r, TRUST_COUNT);
	e->source = (enum record_source)codec_get_enum(r, SOURCE_COUNT);
}

static void get_texts(struct codec_reader *r, struct event *e)
{
	struct span *const texts[] = {
		&e->org,     &e->app,          &e->region,      &e->machine_id, &e->correlation_id,
		&e->actor,   &e->actor_reason, &e->target_type, &e->target,     &e->origin,
		&e->outcome, &e->rule,         &e->summary,     &e->message,
	};

	_Static_assert(ARRAY_LEN(texts) == EVENT_TEXTS, "the format has this many");
	for (size_t i = 0; i < EVENT_TEXTS; i++)
		*texts[i] = codec_get_text(r);
}

enum err_kind event_decode(struct span payload, struct event *ret, struct err *err)
{
	struct codec_reader r;
	struct event event;

	if (payload_kind(payload) != PAYLOAD_EVENT)
		return err_set(err, ERR_CORRUPT, "a spool payload is no event of version %d",
			       CODEC_VERSION);
	r = codec_reader(span_after(payload, 2));
	get_header(&r, &event);
	get_texts(&r, &event);
	event.attributes = codec_get_attributes(&r);
	if (!codec_is_done(&r))
		return err_set(err, ERR_CORRUPT, "an event's payload of %zu bytes is damaged",
			       payload.len);
	*ret = event;
	return ERR_NONE;
}

struct span event_actor_reason(const struct event *e)
{
	return e->actor.len == 0 && e->actor_reason.len == 0 ? SPAN("nothing names who did it")
							     : e->actor_reason;
}

enum err_kind event_of_payload(struct span payload, struct record *scratch, struct event *ret,
			       struct err *err)
{
	enum err_kind rc;

	if (payload_kind(payload) == PAYLOAD_EVENT)
		return event_decode(payload, ret, err);
	rc = record_decode(payload, scratch, err);
	if (!rc)
		event_from_record(scratch, ret);
	return rc;
}
