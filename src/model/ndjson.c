#include "model/ndjson.h"

#include "base/base64.h"
#include "base/json.h"
#include "base/json_scan.h"
#include "base/time.h"

/* The keys are constants that need no escape, and come with every record. */
#define FIRST(name) SPAN("{\"" name "\":")
#define KEY(name) SPAN(",\"" name "\":")

static void write_text(struct buf *out, struct span key, struct span text)
{
	buf_span(out, key);
	if (text.len > 0)
		json_write_text(out, text);
	else
		buf_span(out, SPAN("null"));
}

/* A word of ours: nothing in it needs an escape, and none is looked for. */
static void write_word(struct buf *out, struct span key, struct span word)
{
	uint8_t *room;

	buf_span(out, key);
	if (word.len == 0) {
		buf_span(out, SPAN("null"));
		return;
	}
	room = buf_extend(out, word.len + 2);
	if (!room)
		return;
	room[0] = room[word.len + 1] = '"';
	memcpy(room + 1, word.data, word.len);
}

static void write_time(struct buf *out, struct span key, int64_t ns)
{
	char text[TIME_TEXT_BYTES];

	write_word(out, key,
		   ns == RECORD_NO_TIME ? SPAN("")
					: span_of(time_format(ns, text), TIME_TEXT_BYTES - 1));
}

static void write_id(struct buf *out, struct span key, const struct id *id)
{
	char text[ID_TEXT_BYTES];

	write_word(out, key, span_of(id_format(id, text), ID_TEXT_BYTES - 1));
}

static void write_raw(struct buf *out, struct span raw)
{
	if (raw.data == NULL)
		return;
	buf_span(out, KEY("raw"));
	buf_u8(out, '"');
	base64_write(out, raw);
	buf_u8(out, '"');
}

static void write_attributes(struct buf *out, const struct record *r)
{
	buf_span(out, KEY("attributes"));
	if (r->attributes.len > 0)
		buf_span(out, r->attributes);
	else if (r->attr_count > 0)
		record_write_attributes(r, out);
	else
		buf_span(out, SPAN("null"));
}

void ndjson_write(const struct record *r, enum ndjson_finding finding, struct buf *out)
{
	bool found = r->class != CLASS_app_log;

	write_id(out, FIRST("id"), &r->id);
	write_time(out, KEY("occurred_at"), r->occurred_ns);
	write_time(out, KEY("observed_at"), r->observed_ns);
	write_word(out, KEY("source"), span_text(source_name(r->source)));
	write_text(out, KEY("org"), r->org);
	write_text(out, KEY("app"), r->app);
	write_text(out, KEY("region"), r->region);
	write_text(out, KEY("machine_id"), r->machine_id);
	write_text(out, KEY("host"), r->host);
	write_text(out, KEY("provider"), r->provider);
	write_text(out, KEY("level"), r->level);
	write_word(out, KEY("class"), span_text(class_name(r->class)));
	write_word(out, KEY("action"), span_text(action_name(r->action)));
	buf_span(out, KEY("message"));
	json_write_text(out, r->message);
	write_raw(out, r->raw);
	write_attributes(out, r);
	if (finding == NDJSON_WITH_FINDING) {
		write_word(out, KEY("trust"), span_text(found ? trust_name(r->finding.trust) : ""));
		write_text(out, KEY("rule"), span_text(found ? r->finding.rule : ""));
	}
	buf_span(out, SPAN("}\n"));
}

static void write_known(struct buf *out, struct span key, struct span text)
{
	write_text(out, key, text.len > 0 ? text : SPAN("unknown"));
}

void ndjson_write_event(const struct event *e, struct buf *out)
{
	write_id(out, FIRST("event_id"), &e->id);
	write_word(out, KEY("retention_class"), span_text(class_retention(e->class)));
	write_word(out, KEY("class"), span_text(class_name(e->class)));
	write_word(out, KEY("action"), span_text(action_name(e->action)));
	write_time(out, KEY("occurred_at"), e->occurred_ns);
	write_time(out, KEY("not_after"),
		   e->not_after_ns == EVENT_NO_TIME ? RECORD_NO_TIME : e->not_after_ns);
	write_word(out, KEY("time_basis"), span_text(time_basis_name(e->time_basis)));
	write_time(out, KEY("observed_at"), e->observed_ns);
	write_text(out, KEY("org"), e->org);
	write_text(out, KEY("app"), e->app);
	write_text(out, KEY("region"), e->region);
	write_text(out, KEY("machine_id"), e->machine_id);
	write_text(out, KEY("correlation_id"), e->correlation_id);
	write_known(out, KEY("actor"), e->actor);
	write_word(out, KEY("actor_type"), span_text(actor_type_name(e->actor_type)));
	write_text(out, KEY("actor_reason"), event_actor_reason(e));
	write_text(out, KEY("target_type"), e->target_type);
	write_text(out, KEY("target"), e->target);
	write_text(out, KEY("origin"), e->origin);
	write_known(out, KEY("outcome"), e->outcome);
	buf_span(out, KEY("severity"));
	buf_fmt(out, "%d", (int)e->severity);
	write_word(out, KEY("trust"), span_text(trust_name(e->trust)));
	write_word(out, KEY("source"), span_text(source_name(e->source)));
	write_text(out, KEY("rule"), e->rule);
	write_text(out, KEY("summary"), e->summary);
	write_text(out, KEY("message"), e->message);
	buf_span(out, KEY("attributes"));
	buf_span(out, e->attributes.len > 0 ? e->attributes : SPAN("null"));
	buf_span(out, SPAN("}\n"));
}

/* --- whether an id is its own --- */

enum column {
	AT_id,
	AT_event_id,
	AT_app,
	AT_machine_id,
	AT_message,
	AT_time,
	AT_attributes,
	COLUMNS
};

/* Where the columns' values stand; data NULL: there is none. False: one is there twice, or, with
 * an escape in its key, may be. */
static bool find_columns(struct span object, struct span values[COLUMNS])
{
	static const char *const names[COLUMNS] = {
		[AT_id] = "id",
		[AT_event_id] = "event_id",
		[AT_app] = "app",
		[AT_machine_id] = "machine_id",
		[AT_message] = "message",
		[AT_time] = "occurred_at",
		[AT_attributes] = "attributes",
	};
	struct json_scan s;
	struct span key, value;

	if (!json_scan_begin(&s, object, '{'))
		return false;
	while (json_scan_next(&s, &key, &value)) {
		if (key.len > 0 && memchr(key.data, '\\', key.len))
			return false;
		for (size_t i = 0; i < COLUMNS; i++) {
			if (!span_is(key, names[i]))
				continue;
			if (values[i].data)
				return false;
			values[i] = value;
		}
	}
	return s.ended && json_scan_is_all(&s);
}

struct text {
	struct span span;   /* without escapes; empty where the value is no text */
	struct json *owner; /* with which it ends; for json_free() */
};

/* ERR_FATAL alone. */
static enum err_kind read_text(struct span value, struct text *ret, struct err *err)
{
	struct span plain = value.data ? json_scan_plain(value) : value;
	enum err_kind rc;

	*ret = (struct text){.span = SPAN("")};
	if (plain.data)
		ret->span = plain;
	if (plain.data || !value.data)
		return ERR_NONE;
	rc = json_parse(&ret->owner, value, err);
	if (rc)
		return rc == ERR_FATAL ? rc : ERR_NONE;
	if (json_type(ret->owner) == JSON_TEXT)
		ret->span = json_text(ret->owner);
	return ERR_NONE;
}

/* The time that a line claimed and could not have; data NULL: it has its own. */
static struct span find_claimed_time(struct span attributes)
{
	struct span key, value, claimed = {NULL, 0};
	bool is_refused = false;
	struct json_scan s;

	if (!attributes.data || !json_scan_begin(&s, attributes, '{'))
		return claimed;
	while (json_scan_next(&s, &key, &value)) {
		if (span_is(key, "time"))
			is_refused = span_is(value, "\"out_of_range\"");
		else if (span_is(key, "claimed_time"))
			claimed = value;
	}
	return is_refused ? claimed : (struct span){NULL, 0};
}

static enum err_kind read_time(const struct span values[COLUMNS], int64_t *ret_ns, struct err *err)
{
	struct span claimed = find_claimed_time(values[AT_attributes]);
	struct text text;
	enum err_kind rc = read_text(claimed.data ? claimed : values[AT_time], &text, err);
	unsigned digits;

	if (!rc && !time_parse(text.span, claimed.data != NULL, ret_ns, &digits))
		rc = err_set(err, ERR_REJECT, "it has no time that its id could be made from");
	json_free(text.owner);
	return rc;
}

static enum err_kind make_id(struct hasher *h, const struct span values[COLUMNS], int64_t ns,
			     struct id *ret, struct err *err)
{
	static const enum column columns[] = {AT_app, AT_machine_id, AT_message};
	struct text texts[ARRAY_LEN(columns)] = {{.owner = NULL}};
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < ARRAY_LEN(columns) && !rc; i++)
		rc = read_text(values[columns[i]], &texts[i], err);
	if (!rc) {
		const struct id_parts parts = {
			.app = texts[0].span,
			.instance = texts[1].span,
			.message = texts[2].span,
			.occurred_ns = ns,
		};

		rc = id_line(h, &parts, ret, err);
	}
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		json_free(texts[i].owner);
	return rc;
}

enum err_kind ndjson_check_id(struct hasher *h, struct span object, struct err *err)
{
	struct span values[COLUMNS] = {{NULL, 0}};
	struct id id, made;
	enum err_kind rc;
	int64_t ns;

	if (!find_columns(object, values) ||
	    !id_parse(json_scan_plain(values[values[AT_id].data ? AT_id : AT_event_id]), &id))
		return err_set(err, ERR_REJECT, "it is no object with an id");
	if (id_is_beyond_row(&id))
		return ERR_NONE;
	rc = read_time(values, &ns, err);
	if (!rc)
		rc = make_id(h, values, ns, &made, err);
	if (rc)
		return rc;
	return id_compare(&id, &made) == 0
		       ? ERR_NONE
		       : err_set(err, ERR_REJECT, "it does not have the id that it makes");
}
