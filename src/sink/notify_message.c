#include "sink/notify_message.h"

#include "base/json.h"
#include "base/utf8.h"
#include "model/ndjson.h"

#include <inttypes.h>

enum {
	ESCAPED = 6, /* bytes of JSON that one byte may be */
	TEXT_FIELDS = 20,
	EVENT_BYTES_MAX = ESCAPED * (3 * NOTIFY_MESSAGE_TEXT_BYTES_MAX +
				     TEXT_FIELDS * RECORD_FIELD_BYTES_MAX),
	END_BYTES_MAX = 128,
};

_Static_assert(2 * (EVENT_BYTES_MAX + END_BYTES_MAX) <= NOTIFY_MESSAGE_BYTES_MAX,
	       "one event has room, whatever it is");
_Static_assert(ESCAPED *NOTIFY_TEXT_BYTES_MAX + END_BYTES_MAX <= NOTIFY_MESSAGE_BYTES_MAX,
	       "Slack's text has room");

void notify_message_init(struct notify_message *m, enum notify_kind kind)
{
	memset(m, 0, sizeof(*m));
	m->kind = kind;
	notify_text_init(&m->text);
	buf_init(&m->scratch, NOTIFY_TEXT_BYTES_MAX);
	buf_init(&m->body, NOTIFY_MESSAGE_BYTES_MAX);
}

void notify_message_release(struct notify_message *m)
{
	notify_text_release(&m->text);
	buf_release(&m->scratch);
	buf_release(&m->body);
}

void notify_message_begin(struct notify_message *m, struct span org)
{
	m->org = org;
	m->count = m->shortened = 0;
	buf_reset(&m->body);
	notify_text_begin(&m->text);
	if (m->kind == NOTIFY_SLACK)
		return;
	buf_str(&m->body, "{\"version\":1,\"org\":");
	json_write_text(&m->body, org);
	buf_str(&m->body, ",\"events\":[");
}

static bool cut(struct span *text, size_t max)
{
	size_t len = text->len;

	*text = utf8_cut(*text, max);
	return text->len < len;
}

/* True: it was longer. No bound of a row in Postgres is relied on. */
static bool shorten(struct event *e)
{
	struct span *const fields[] = {
		&e->org,          &e->app,         &e->region, &e->machine_id, &e->correlation_id,
		&e->actor,        &e->target,      &e->origin, &e->outcome,    &e->rule,
		&e->actor_reason, &e->target_type,
	};
	bool is_cut = cut(&e->message, NOTIFY_MESSAGE_TEXT_BYTES_MAX);

	is_cut = cut(&e->summary, NOTIFY_MESSAGE_TEXT_BYTES_MAX) || is_cut;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		is_cut = cut(fields[i], RECORD_FIELD_BYTES_MAX) || is_cut;
	if (e->attributes.len <= NOTIFY_MESSAGE_TEXT_BYTES_MAX)
		return is_cut;
	e->attributes = SPAN("");
	return true;
}

static void add_event(struct notify_message *m, const struct event *e)
{
	struct event shown = *e;

	if (shorten(&shown))
		m->shortened++;
	if (m->count > 0)
		buf_u8(&m->body, ',');
	ndjson_write_event(&shown, &m->body);
}

void notify_message_add(struct notify_message *m, const struct event *e)
{
	if (m->kind == NOTIFY_SLACK)
		notify_text_add(&m->text, e);
	else
		add_event(m, e);
	m->count++;
}

bool notify_message_is_full(const struct notify_message *m)
{
	return m->kind == NOTIFY_WEBHOOK &&
	       m->body.len + EVENT_BYTES_MAX + END_BYTES_MAX > NOTIFY_MESSAGE_BYTES_MAX;
}

enum err_kind notify_message_end(struct notify_message *m, struct span *ret_body, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	if (m->kind == NOTIFY_SLACK) {
		buf_reset(&m->scratch);
		rc = notify_text_write(&m->text, m->org, &m->scratch, err);
		if (!rc)
			notify_text_body(span_of(m->scratch.data, m->scratch.len), &m->body);
	} else {
		buf_fmt(&m->body, "],\"count\":%" PRIu64 ",\"shortened\":%" PRIu64 "}", m->count,
			m->shortened);
	}
	if (!rc)
		rc = buf_check(&m->body, err);
	if (!rc)
		*ret_body = span_of(m->body.data, m->body.len);
	return rc;
}
