#include "base/json.h"
#include "stage/draft.h"
#include "stage/escape.h"

#include <stdio.h>

static const double integer_max = 999999999999999; /* 15 digits: a double holds them all */

enum {
	NUMBER_TEXT_BYTES = 32,
	WRONG_TYPE_BYTES_MAX =
		256, /* the names of all known fields and their parents, and commas */
};

#define DOUBLE_DIGITS "15"

/* The fields that have columns, by their dotted key. */
static const struct known {
	const char *key;
	enum raw_form form;
	size_t field; /* offset in struct draft */
} known_fields[] = {
	{"event.provider", RAW_NATS_JSON, offsetof(struct draft, provider)},
	{"fly.app.instance", RAW_NATS_JSON, offsetof(struct draft, machine_id)},
	{"fly.app.name", RAW_NATS_JSON, offsetof(struct draft, app)},
	{"fly.region", RAW_NATS_JSON, offsetof(struct draft, region)},
	{"host", RAW_NATS_JSON, offsetof(struct draft, host)},
	{"log.level", RAW_NATS_JSON, offsetof(struct draft, level)},
	{"message", RAW_NATS_JSON, offsetof(struct draft, message)},
	{"timestamp", RAW_NATS_JSON, offsetof(struct draft, time)},
	{"instance", RAW_FLY_JSON, offsetof(struct draft, machine_id)},
	{"level", RAW_FLY_JSON, offsetof(struct draft, level)},
	{"message", RAW_FLY_JSON, offsetof(struct draft, message)},
	{"meta.event.provider", RAW_FLY_JSON, offsetof(struct draft, provider)},
	{"region", RAW_FLY_JSON, offsetof(struct draft, region)},
	{"timestamp", RAW_FLY_JSON, offsetof(struct draft, time)},
};

/* Where a walk through an object is: the dotted key of the value at hand. */
struct walk {
	struct draft *draft;
	char key[RECORD_FIELD_BYTES_MAX];
	size_t key_len;
	char wrong_type[WRONG_TYPE_BYTES_MAX];
	size_t wrong_type_len;
};

static bool key_is(const struct walk *w, const char *key)
{
	return span_is(span_of(w->key, w->key_len), key);
}

/* flyctl writes meta's keys with capitals, Fly's API in lower case. */
static bool in_meta(const struct walk *w)
{
	return w->draft->form == RAW_FLY_JSON &&
	       span_starts(span_of(w->key, w->key_len), SPAN("meta."));
}

static struct span *known_field(const struct walk *w)
{
	for (size_t i = 0; i < ARRAY_LEN(known_fields); i++) {
		const struct known *k = &known_fields[i];

		if (k->form == w->draft->form && key_is(w, k->key))
			return (struct span *)(void *)((char *)w->draft + k->field);
	}
	return NULL;
}

/* Whether known fields stand below this key, so that its value must be an object. */
static bool is_known_parent(const struct walk *w)
{
	struct span key = span_of(w->key, w->key_len);

	for (size_t i = 0; i < ARRAY_LEN(known_fields); i++) {
		const struct known *k = &known_fields[i];

		if (k->form == w->draft->form && span_starts(span_text(k->key), key) &&
		    k->key[key.len] == '.')
			return true;
	}
	return false;
}

/* The key as an attribute has it, in memory that stays. */
static struct span attr_key(const struct walk *w)
{
	struct span key = span_of(w->key, w->key_len);

	if (in_meta(w))
		key = span_after(key, sizeof("meta.") - 1);
	return arena_copy(w->draft->ctx->arena, key);
}

/* What stands for a value that has nothing in it, or NULL. */
static const char *empty_text(const struct json *v)
{
	if (json_type(v) == JSON_NULL)
		return "null";
	if (json_type(v) == JSON_ARRAY)
		return json_first(v) ? NULL : "[]";
	return json_type(v) == JSON_OBJECT && !json_first(v) ? "{}" : NULL;
}

static bool is_zero(const struct json *v)
{
	if (empty_text(v))
		return true;
	if (json_type(v) == JSON_NUMBER)
		return json_number(v) >= 0 && json_number(v) <= 0;
	return json_type(v) == JSON_TEXT && json_text(v).len == 0;
}

/* meta says instance and region once more. */
static bool is_repeated(const struct walk *w, struct span text)
{
	const struct draft *d = w->draft;

	return (key_is(w, "meta.instance") && d->machine_id.data &&
		span_equal(d->machine_id, text)) ||
	       (key_is(w, "meta.region") && d->region.data && span_equal(d->region, text));
}

static void add_number(struct draft *d, struct span key, double number)
{
	int64_t integer;
	char text[NUMBER_TEXT_BYTES];
	int len;

	if (number >= -integer_max && number <= integer_max) {
		integer = (int64_t)number;
		if (!((double)integer < number) && !((double)integer > number)) {
			draft_attr_number(d, key, integer);
			return;
		}
	}
	len = snprintf(text, sizeof(text), "%." DOUBLE_DIGITS "g", number);
	draft_attr_text(d, key, arena_copy(d->ctx->arena, span_of(text, (size_t)len)));
}

static void add_attr(struct walk *w, const struct json *v)
{
	struct draft *d = w->draft;
	struct span key, text;

	if (in_meta(w) && is_zero(v))
		return;
	key = attr_key(w);
	if (!key.data) {
		d->in_raw = true;
		return;
	}
	if (json_type(v) == JSON_NUMBER) {
		add_number(d, key, json_number(v));
	} else if (json_type(v) == JSON_BOOL) {
		draft_attr_bool(d, key, json_bool(v));
	} else if (empty_text(v)) {
		draft_attr_json(d, key, span_text(empty_text(v)));
	} else {
		text = escape_restore(d->ctx->arena, json_text(v));
		if (!text.data)
			d->in_raw = true;
		else if (!is_repeated(w, text))
			draft_attr_text(d, key, text);
	}
}

static void note_wrong_type(struct walk *w)
{
	size_t room = WRONG_TYPE_BYTES_MAX - w->wrong_type_len;

	if (w->key_len + 1 > room)
		return;
	if (w->wrong_type_len > 0)
		w->wrong_type[w->wrong_type_len++] = ',';
	memcpy(w->wrong_type + w->wrong_type_len, w->key, w->key_len);
	w->wrong_type_len += w->key_len;
}

static void take_leaf(struct walk *w, const struct json *v)
{
	struct span *field = known_field(w);
	bool is_parent = !field && is_known_parent(w);

	if (json_type(v) == JSON_NULL && (field || is_parent))
		return; /* as if it were not there: its column is empty */
	if (is_parent)
		note_wrong_type(w);
	if (!field || field->data) {
		add_attr(w, v);
		return;
	}
	if (json_type(v) == JSON_TEXT) {
		*field = escape_restore(w->draft->ctx->arena, json_text(v));
		if (!field->data)
			w->draft->undecoded = UNDECODED_no_memory;
		return;
	}
	if (field == &w->draft->message) {
		w->draft->undecoded = UNDECODED_wrong_type;
		return; /* it is in the line, which becomes the message */
	}
	note_wrong_type(w);
	add_attr(w, v);
}

/* Puts a step at the end of the key; false when it gets too long. */
static bool push_key(struct walk *w, struct span step)
{
	size_t at = w->key_len;

	if (step.len + 1 > sizeof(w->key) - at)
		return false;
	if (at > 0)
		w->key[at++] = '.';
	memcpy(w->key + at, step.data, step.len);
	w->key_len = at + step.len;
	if (!in_meta(w))
		return true;
	for (size_t i = at; i < w->key_len; i++) {
		if (w->key[i] >= 'A' && w->key[i] <= 'Z')
			w->key[i] = (char)(w->key[i] - 'A' + 'a');
	}
	return true;
}

static bool push_step(struct walk *w, const struct json *v, unsigned idx, bool in_array)
{
	char number[NUMBER_TEXT_BYTES];
	struct span step;
	int len;

	if (!in_array) {
		step = escape_restore(w->draft->ctx->arena, json_key(v));
		return step.data && push_key(w, step);
	}
	len = snprintf(number, sizeof(number), "%u", idx);
	return push_key(w, span_of(number, (size_t)len));
}

static void walk_container(struct walk *w, const struct json *container);

static void take_container(struct walk *w, const struct json *v)
{
	struct span *field = known_field(w);
	bool is_parent = !field && is_known_parent(w);
	bool is_message = field == &w->draft->message;

	if (field || (is_parent && json_type(v) == JSON_ARRAY))
		note_wrong_type(w);
	if (is_message)
		w->draft->undecoded = UNDECODED_wrong_type;
	if (json_first(v))
		walk_container(w, v);
	else if (!is_message && !(is_parent && json_type(v) == JSON_OBJECT))
		add_attr(w, v);
}

/* Comes back to itself at most JSON_DEPTH_MAX deep, which json_parse() has seen to. */
static void walk_container(struct walk *w, const struct json *container)
{
	bool in_array = json_type(container) == JSON_ARRAY;
	size_t key_len = w->key_len;
	unsigned idx = 0;

	for (const struct json *v = json_first(container); v; v = json_next(v), idx++) {
		enum json_type type = json_type(v);

		if (!push_step(w, v, idx, in_array))
			w->draft->in_raw = true;
		else if (type == JSON_OBJECT || type == JSON_ARRAY)
			take_container(w, v);
		else
			take_leaf(w, v);
		w->key_len = key_len;
	}
}

static enum undecoded fault_word(enum json_fault fault)
{
	switch (fault) {
	case JSON_FAULT_SYNTAX: return UNDECODED_not_json;
	case JSON_FAULT_END: return UNDECODED_truncated;
	case JSON_FAULT_DEPTH: return UNDECODED_too_deep;
	case JSON_FAULT_COUNT: return UNDECODED_too_many_values;
	case JSON_FAULT_KEY_TWICE: return UNDECODED_duplicate_key;
	}
	return UNDECODED_not_json;
}

static struct json *parse(struct draft *d)
{
	struct span text = escape_protect(d->ctx->arena, d->line);
	struct json *root = NULL;
	struct err err;
	enum err_kind rc;

	if (!text.data) {
		d->undecoded = UNDECODED_no_memory;
		return NULL;
	}
	rc = json_parse(&root, text, &err);
	if (rc)
		d->undecoded = rc == ERR_FATAL ? UNDECODED_no_memory : fault_word(json_fault());
	return rc ? NULL : root;
}

/* A line may have nothing but an error to say, as in read_text(). For both of Fly's copies
 * alike, so that they have the same id. */
static void take_error_as_message(struct draft *d)
{
	const struct record *r = d->record;

	for (size_t i = 0; i < r->attr_count; i++) {
		if (span_is(r->attrs[i].key, "error.message") && r->attrs[i].type == ATTR_TEXT)
			d->message = r->attrs[i].text;
	}
}

void read_json(struct draft *d)
{
	struct walk w = {.draft = d};
	struct json *root = parse(d);

	if (!root)
		return;
	if (json_type(root) != JSON_OBJECT)
		d->undecoded = UNDECODED_wrong_type;
	else
		walk_container(&w, root);
	json_free(root);
	if (w.wrong_type_len > 0) {
		struct span names =
			arena_copy(d->ctx->arena, span_of(w.wrong_type, w.wrong_type_len));

		if (names.data)
			record_attr_text(d->record, SPAN("wrong_type"), names);
	}
	if (!d->message.data && !d->undecoded)
		d->undecoded = UNDECODED_missing_field;
	if (d->undecoded)
		d->message = (struct span){NULL, 0};
	else if (d->message.len == 0)
		take_error_as_message(d);
}
