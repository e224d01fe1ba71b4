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
