#include "sink/datadog_log.h"

#include "base/json.h"
#include "base/time.h"
#include "base/utf8.h"
#include "sink/datadog_status.h"

#include <inttypes.h>

enum { TAGS_MAX = 5, TAGS_BYTES = TAGS_MAX * (DATADOG_TAG_BYTES_MAX + 1) };

/* What is behind the message of a log that is cut. */
static const char CUT_END[] = " [cut by flytrail]\",\"flytrail\":{\"cut\":true}}";

/* What is said of a line and of an event alike. */
struct said {
	struct id id;
	int64_t occurred_ns;
	enum line_class class;
	struct span app, region, machine_id, message;
	struct span host, provider, level; /* of a line */
	const struct event *event;         /* NULL: a line that is none */
};

/* --- parts of it --- */

static void write_text(struct buf *out, const char *key, struct span text)
{
	if (text.len == 0)
		return;
	json_write_key(out, key);
	json_write_text(out, utf8_cut(text, RECORD_FIELD_BYTES_MAX));
}

struct tags {
	char text[TAGS_BYTES];
	size_t len;
};

/* A comma would end the tag. */
static void add_tag(struct tags *t, const char *name, struct span value)
{
	size_t name_len = strlen(name);

	if (value.len == 0)
		return;
	if (t->len > 0)
		t->text[t->len++] = ',';
	memcpy(t->text + t->len, name, name_len);
	t->len += name_len;
	t->text[t->len++] = ':';
	value = utf8_cut(value, DATADOG_TAG_BYTES_MAX - name_len - 1);
	for (size_t i = 0; i < value.len; i++)
		t->text[t->len++] = value.data[i];
	for (size_t i = t->len - value.len; i < t->len; i++)
		if (t->text[i] == ',')
			t->text[i] = '_';
}

static void write_tags(struct buf *out, const struct said *s)
{
	struct tags t;

	t.len = 0;
	add_tag(&t, "app", s->app);
	add_tag(&t, "region", s->region);
	add_tag(&t, "class", span_text(class_name(s->class)));
	add_tag(&t, "trust", span_text(s->event ? trust_name(s->event->trust) : ""));
	add_tag(&t, "provider", s->provider);
	json_write_key(out, "ddtags");
	json_write_text(out, span_of(t.text, t.len));
}

static void write_status(struct buf *out, const struct said *s)
{
	const char *status = datadog_status_of_message(s->message);

	if (status[0] == '\0' && s->event)
		status = datadog_status_of_severity(s->event->severity);
	if (status[0] == '\0')
		status = datadog_status_of_level(s->level);
	write_text(out, "status", span_text(status));
}

static void open_object(struct buf *out, const char *key)
{
	json_write_key(out, key);
	buf_u8(out, '{');
}

static void write_one(struct buf *out, const char *object, const char *key, struct span text)
{
	if (text.len == 0)
		return;
	open_object(out, object);
	write_text(out, key, text);
	buf_u8(out, '}');
}

/* As Vector, which fly-log-shipper is, passes on what Fly publishes. */
static void write_old_names(struct buf *out, const struct said *s)
{
	open_object(out, "fly");
	open_object(out, "app");
	write_text(out, "name", s->app);
	write_text(out, "instance", s->machine_id);
	buf_u8(out, '}');
	write_text(out, "region", s->region);
	write_text(out, "host", s->host);
	buf_u8(out, '}');
	write_one(out, "log", "level", s->level);
	write_one(out, "event", "provider", s->provider);
}

static void write_event(struct buf *out, const struct event *e)
{
	write_text(out, "class", span_text(class_name(e->class)));
	write_text(out, "action", span_text(action_name(e->action)));
	write_text(out, "actor", e->actor);
	write_text(out, "actor_type",
		   e->actor.len > 0 ? span_text(actor_type_name(e->actor_type)) : SPAN(""));
	write_text(out, "target_type", e->target_type);
	write_text(out, "target", e->target);
	write_text(out, "outcome", e->outcome);
	write_text(out, "correlation_id", e->correlation_id);
	write_text(out, "summary", e->summary);
}

/* --- the message, which is the last --- */

/* The longest start of at most max bytes that splits neither an escape nor a character. */
static size_t whole_len(struct span escaped, size_t max)
{
	size_t at = 0;

	while (at < escaped.len) {
		struct span left = span_after(escaped, at);
		size_t len = left.data[0] != '\\'  ? utf8_char(left)
			     : left.data[1] == 'u' ? sizeof("\\u0000") - 1
						   : sizeof("\\n") - 1;

		REQUIRE(len > 0); /* base/json.h writes characters alone */
		if (at + len > max)
			break;
		at += len;
	}
	return at;
}

static void write_message(struct buf *out, struct span message)
{
	const size_t room = DATADOG_LOG_BYTES_MAX - (sizeof(CUT_END) - 1);
	size_t start;

	json_write_key(out, "message");
	start = out->len + 1; /* behind the quote */
	json_write_text(out, utf8_cut(message, DATADOG_LOG_BYTES_MAX));
	if (out->failed)
		return;
	if (out->len < DATADOG_LOG_BYTES_MAX) {
		buf_u8(out, '}');
		return;
	}
	REQUIRE(start < room); /* every other text is bounded */
	buf_cut(out, start + whole_len(span_of(out->data + start, out->len - start), room - start));
	buf_str(out, CUT_END);
}

/* --- the whole --- */

static void write_log(struct buf *out, const struct said *s)
{
	char id[ID_TEXT_BYTES];

	buf_u8(out, '{');
	write_text(out, "ddsource", SPAN("fly"));
	write_text(out, "service", s->app);
	write_text(out, "hostname", s->machine_id);
	write_tags(out, s);
	write_status(out, s);
	json_write_key(out, "timestamp");
	buf_fmt(out, "%" PRId64, s->occurred_ns / NS_PER_MS);
	write_text(out, "event_id", span_text(id_format(&s->id, id)));
	write_old_names(out, s);
	if (s->event)
		write_event(out, s->event);
	write_message(out, s->message);
}

static struct said of_line(const struct record *r, const struct event *e)
{
	return (struct said){
		.id = r->id,
		.occurred_ns = r->occurred_ns,
		.class = r->class,
		.app = r->app,
		.region = r->region,
		.machine_id = r->machine_id,
		.message = r->message,
		.host = r->host,
		.provider = r->provider,
		.level = r->level,
		.event = e,
	};
}

/* Datadog wants a message of every log. */
static struct span message_of(const struct event *e)
{
	if (e->message.len > 0)
		return e->message;
	return e->summary.len > 0 ? e->summary : span_text(action_name(e->action));
}

static struct said of_event(const struct event *e)
{
	return (struct said){
		.id = e->id,
		.occurred_ns = e->occurred_ns,
		.class = e->class,
		.app = e->app,
		.region = e->region,
		.machine_id = e->machine_id,
		.message = message_of(e),
		.event = e,
	};
}

enum err_kind datadog_log_write(struct span payload, struct record *scratch, struct buf *out,
				int64_t *ret_occurred_ns, struct err *err)
{
	bool is_line = payload_kind(payload) == PAYLOAD_LINE;
	struct event event;
	struct said said;
	enum err_kind rc =
		is_line ? record_decode(payload, scratch, err) : event_decode(payload, &event, err);

	REQUIRE(out->len == 0 && out->max >= DATADOG_LOG_ROOM_BYTES);
	if (rc)
		return rc;
	if (is_line && scratch->class != CLASS_app_log)
		event_from_record(scratch, &event);
	if (is_line)
		said = of_line(scratch, scratch->class != CLASS_app_log ? &event : NULL);
	else
		said = of_event(&event);
	write_log(out, &said);
	*ret_occurred_ns = said.occurred_ns;
	return buf_check(out, err);
}
