#include "model/ndjson.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/time.h"

static void write_text(struct buf *out, const char *key, struct span text)
{
	json_write_key(out, key);
	if (text.len > 0)
		json_write_text(out, text);
	else
		buf_str(out, "null");
}

static void write_time(struct buf *out, const char *key, int64_t ns)
{
	char text[TIME_TEXT_BYTES];

	write_text(out, key, span_text(ns == RECORD_NO_TIME ? "" : time_format(ns, text)));
}

static void write_raw(struct buf *out, struct span raw)
{
	if (raw.data == NULL)
		return;
	json_write_key(out, "raw");
	buf_u8(out, '"');
	base64_write(out, raw);
	buf_u8(out, '"');
}

static void write_attributes(struct buf *out, const struct record *r)
{
	json_write_key(out, "attributes");
	if (r->attributes.len > 0)
		buf_span(out, r->attributes);
	else if (r->attr_count > 0)
		record_write_attributes(r, out);
	else
		buf_str(out, "null");
}

void ndjson_write(const struct record *r, enum ndjson_finding finding, struct buf *out)
{
	bool found = r->class != CLASS_app_log;
	char id[ID_TEXT_BYTES];

	buf_u8(out, '{');
	write_text(out, "id", span_text(id_format(&r->id, id)));
	write_time(out, "occurred_at", r->occurred_ns);
	write_time(out, "observed_at", r->observed_ns);
	write_text(out, "source", span_text(source_name(r->source)));
	write_text(out, "org", r->org);
	write_text(out, "app", r->app);
	write_text(out, "region", r->region);
	write_text(out, "machine_id", r->machine_id);
	write_text(out, "host", r->host);
	write_text(out, "provider", r->provider);
	write_text(out, "level", r->level);
	write_text(out, "class", span_text(class_name(r->class)));
	write_text(out, "action", span_text(action_name(r->action)));
	json_write_key(out, "message");
	json_write_text(out, r->message);
	write_raw(out, r->raw);
	write_attributes(out, r);
	if (finding == NDJSON_WITH_FINDING) {
		write_text(out, "trust", span_text(found ? trust_name(r->finding.trust) : ""));
		write_text(out, "rule", span_text(found ? r->finding.rule : ""));
	}
	buf_str(out, "}\n");
}

static void write_known(struct buf *out, const char *key, struct span text)
{
	write_text(out, key, text.len > 0 ? text : SPAN("unknown"));
}

void ndjson_write_event(const struct event *e, struct buf *out)
{
	char id[ID_TEXT_BYTES];

	buf_u8(out, '{');
	write_text(out, "event_id", span_text(id_format(&e->id, id)));
	write_text(out, "retention_class", span_text(class_retention(e->class)));
	write_text(out, "class", span_text(class_name(e->class)));
	write_text(out, "action", span_text(action_name(e->action)));
	write_time(out, "occurred_at", e->occurred_ns);
	write_time(out, "not_after",
		   e->not_after_ns == EVENT_NO_TIME ? RECORD_NO_TIME : e->not_after_ns);
	write_text(out, "time_basis", span_text(time_basis_name(e->time_basis)));
	write_time(out, "observed_at", e->observed_ns);
	write_text(out, "org", e->org);
	write_text(out, "app", e->app);
	write_text(out, "region", e->region);
	write_text(out, "machine_id", e->machine_id);
	write_text(out, "correlation_id", e->correlation_id);
	write_known(out, "actor", e->actor);
	write_text(out, "actor_type", span_text(actor_type_name(e->actor_type)));
	write_text(out, "actor_reason", event_actor_reason(e));
	write_text(out, "target_type", e->target_type);
	write_text(out, "target", e->target);
	write_text(out, "origin", e->origin);
	write_known(out, "outcome", e->outcome);
	json_write_key(out, "severity");
	buf_fmt(out, "%d", (int)e->severity);
	write_text(out, "trust", span_text(trust_name(e->trust)));
	write_text(out, "source", span_text(source_name(e->source)));
	write_text(out, "rule", e->rule);
	write_text(out, "summary", e->summary);
	write_text(out, "message", e->message);
	json_write_key(out, "attributes");
	buf_span(out, e->attributes.len > 0 ? e->attributes : SPAN("null"));
	buf_str(out, "}\n");
}
