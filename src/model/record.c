#include "model/record.h"

#include "base/json.h"
#include "model/codec.h"

#include <inttypes.h>

/*
 * A line's payload:
 *
 *	offset  size  field
 *	0       1     version, 1
 *	1       1     kind, PAYLOAD_LINE
 *	2       16    id
 *	18      8     occurred_ns
 *	26      8     observed_ns
 *	34      1     source
 *	35      1     class
 *	36      1     action
 *	37      1     bits: 1 raw follows the message, 2 the time is not the line's own
 *	38      3     of the finding: trust, severity, actor_type; absent in an app_log
 *	...           texts, in the order of line_texts() and finding_texts()
 *	...           attributes
 */
enum { HAS_RAW = 1, FOREIGN_TIME = 2, LINE_BITS_ALL = 3 };

enum {
	LINE_HEADER_BYTES_MAX = 41,
	LINE_TEXTS = 9, /* the last is raw */
	FINDING_TEXTS = 8,
	ATTRIBUTES_LEN_BYTES = 4,
};

enum actor_type actor_type_of(struct span name)
{
	static const struct span tokens = {"@tokens.fly.io", sizeof("@tokens.fly.io") - 1};

	if (name.len == 0 || !memchr(name.data, '@', name.len))
		return ACTOR_UNKNOWN;
	if (name.len >= tokens.len && span_equal(span_after(name, name.len - tokens.len), tokens))
		return ACTOR_TOKEN;
	return ACTOR_USER;
}

const char *actor_type_name(enum actor_type t)
{
	switch (t) {
	case ACTOR_UNKNOWN: return "unknown";
	case ACTOR_USER: return "user";
	case ACTOR_TOKEN: return "token";
	case ACTOR_FLYD: return "flyd";
	case ACTOR_PROXY: return "proxy";
	case ACTOR_SELF: return "flytrail";
	case ACTOR_TYPE_COUNT: break;
	}
	REQUIRE(t < ACTOR_TYPE_COUNT);
	return "";
}

static void add_attr(struct record *r, const struct attr *attr)
{
	struct attr *last = &r->attrs[RECORD_ATTRS_MAX - 1];

	if (r->attr_count < RECORD_ATTRS_MAX - 1) {
		r->attrs[r->attr_count++] = *attr;
		return;
	}
	if (r->attr_count < RECORD_ATTRS_MAX) {
		*last = (struct attr){.key = SPAN("attributes_dropped"), .type = ATTR_NUMBER};
		r->attr_count++;
	}
	last->number++;
}

void record_attr_text(struct record *r, struct span key, struct span text)
{
	add_attr(r, &(struct attr){.key = key, .type = ATTR_TEXT, .text = text});
}

void record_attr_number(struct record *r, struct span key, int64_t number)
{
	add_attr(r, &(struct attr){.key = key, .type = ATTR_NUMBER, .number = number});
}

void record_attr_bool(struct record *r, struct span key, bool value)
{
	add_attr(r, &(struct attr){.key = key, .type = ATTR_BOOL, .number = value});
}

void record_attr_json(struct record *r, struct span key, struct span json)
{
	add_attr(r, &(struct attr){.key = key, .type = ATTR_JSON, .text = json});
}

bool record_key_aside(struct arena *arena, struct span *key)
{
	static const struct span prefix = {"line.", 5};
	char *out = arena_alloc(arena, prefix.len + key->len);

	if (!out)
		return false;
	memcpy(out, prefix.data, prefix.len);
	if (key->len > 0)
		memcpy(out + prefix.len, key->data, key->len);
	*key = span_of(out, prefix.len + key->len);
	return true;
}

static struct attr *find_attr(struct record *r, size_t count, struct span key)
{
	for (size_t i = 0; i < count; i++) {
		if (span_equal(r->attrs[i].key, key))
			return &r->attrs[i];
	}
	return NULL;
}

bool record_attr_aside(struct record *r, struct arena *arena, size_t count, struct span key)
{
	struct attr *attr = find_attr(r, count, key);

	while (attr && find_attr(r, r->attr_count, key)) {
		if (!record_key_aside(arena, &key))
			return false;
	}
	if (attr)
		attr->key = key;
	return true;
}

static void write_value(const struct attr *attr, struct buf *out)
{
	switch (attr->type) {
	case ATTR_TEXT: json_write_text(out, attr->text); return;
	case ATTR_NUMBER: buf_fmt(out, "%" PRId64, attr->number); return;
	case ATTR_BOOL: buf_str(out, attr->number ? "true" : "false"); return;
	case ATTR_JSON: buf_span(out, attr->text); return;
	}
}

void record_write_attributes(const struct record *r, struct buf *out)
{
	if (r->attr_count == 0)
		return;
	buf_u8(out, '{');
	for (size_t i = 0; i < r->attr_count; i++) {
		json_write_key_span(out, r->attrs[i].key);
		write_value(&r->attrs[i], out);
	}
	buf_u8(out, '}');
}

static void line_texts(const struct record *r, struct span texts[LINE_TEXTS])
{
	texts[0] = r->org;
	texts[1] = r->app;
	texts[2] = r->region;
	texts[3] = r->machine_id;
	texts[4] = r->host;
	texts[5] = r->provider;
	texts[6] = r->level;
	texts[7] = r->message;
	texts[8] = r->raw;
}

static void finding_texts(const struct finding *f, struct span texts[FINDING_TEXTS])
{
	const char *rule = f->rule ? f->rule : "";

	texts[0] = span_of(rule, strlen(rule) + 1); /* with its NUL, for the reader to lend */
	texts[1] = f->actor;
	texts[2] = f->actor_reason;
	texts[3] = f->target_type;
	texts[4] = f->target;
	texts[5] = f->outcome;
	texts[6] = f->correlation_id;
	texts[7] = f->summary;
}

static uint8_t *put_texts(uint8_t *at, const struct span *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		at = codec_put_text(at, texts[i]);
	return at;
}

static uint8_t *put_header(uint8_t *at, const struct record *r, bool has_finding)
{
	at = codec_put_u8(at, CODEC_VERSION);
	at = codec_put_u8(at, PAYLOAD_LINE);
	at = codec_put_id(at, &r->id);
	at = codec_put_i64(at, r->occurred_ns);
	at = codec_put_i64(at, r->observed_ns);
	at = codec_put_u8(at, r->source);
	at = codec_put_u8(at, r->class);
	at = codec_put_u8(at, r->action);
	at = codec_put_u8(at, (r->raw.data ? HAS_RAW : 0u) | (r->foreign_time ? FOREIGN_TIME : 0u));
	if (!has_finding)
		return at;
	at = codec_put_u8(at, r->finding.trust);
	at = codec_put_u8(at, r->finding.severity);
	return codec_put_u8(at, r->finding.actor_type);
}

static void encode(const struct record *r,
		   void (*write_attributes)(const struct record *, struct buf *), struct buf *out)
{
	struct span texts[LINE_TEXTS + FINDING_TEXTS];
	size_t count = r->raw.data ? LINE_TEXTS : LINE_TEXTS - 1;
	bool has_finding = r->class != CLASS_app_log;
	size_t start = out->len;
	size_t attributes;
	uint8_t *room, *at;

	REQUIRE(r->class < CLASS_COUNT && r->action < ACTION_COUNT && r->source < SOURCE_COUNT);
	line_texts(r, texts);
	if (has_finding) {
		finding_texts(&r->finding, texts + count);
		count += FINDING_TEXTS;
	}
	room = buf_extend(out, LINE_HEADER_BYTES_MAX + codec_texts_bound(texts, count) +
				       ATTRIBUTES_LEN_BYTES);
	if (!room)
		return;
	at = put_texts(put_header(room, r, has_finding), texts, count);
	put_u32_le(at, 0);
	attributes = start + (size_t)(at - room) + ATTRIBUTES_LEN_BYTES;
	buf_cut(out, attributes);
	write_attributes(r, out);
	if (!out->failed)
		put_u32_le(out->data + attributes - ATTRIBUTES_LEN_BYTES,
			   (uint32_t)(out->len - attributes));
}

void record_encode(const struct record *r, struct buf *out)
{
	encode(r, record_write_attributes, out);
}

static void copy_attributes(const struct record *r, struct buf *out)
{
	buf_span(out, r->attributes);
}

void record_encode_again(const struct record *r, struct buf *out)
{
	encode(r, copy_attributes, out);
}

/* A rule is lent as a C string, so its NUL has to be there, and only at the end. */
static const char *rule_of(struct codec_reader *r, struct span text)
{
	if (text.len > 0 && memchr(text.data, '\0', text.len) == text.data + text.len - 1)
		return text.data;
	r->bad = true;
	return "";
}

static void get_finding(struct codec_reader *r, struct finding *f)
{
	f->rule = rule_of(r, codec_get_text(r));
	f->actor = codec_get_text(r);
	f->actor_reason = codec_get_text(r);
	f->target_type = codec_get_text(r);
	f->target = codec_get_text(r);
	f->outcome = codec_get_text(r);
	f->correlation_id = codec_get_text(r);
	f->summary = codec_get_text(r);
}

static void get_texts(struct codec_reader *r, struct record *ret, bool has_raw)
{
	ret->org = codec_get_text(r);
	ret->app = codec_get_text(r);
	ret->region = codec_get_text(r);
	ret->machine_id = codec_get_text(r);
	ret->host = codec_get_text(r);
	ret->provider = codec_get_text(r);
	ret->level = codec_get_text(r);
	ret->message = codec_get_text(r);
	ret->raw = has_raw ? codec_get_text(r) : (struct span){NULL, 0};
}

/* What a payload begins with. */
struct head {
	struct record_key key;
	int64_t observed_ns;
	enum record_source source;
};

static struct head get_head(struct codec_reader *r)
{
	struct head head;

	codec_get_id(r, &head.key.id);
	head.key.occurred_ns = codec_get_i64(r);
	head.observed_ns = codec_get_i64(r);
	head.source = (enum record_source)codec_get_enum(r, SOURCE_COUNT);
	head.key.class = (enum line_class)codec_get_enum(r, CLASS_COUNT);
	return head;
}

static enum err_kind refuse_kind(struct err *err)
{
	return err_set(err, ERR_CORRUPT, "a spool payload is no line of version %d", CODEC_VERSION);
}

enum err_kind record_decode_key(struct span payload, struct record_key *ret, struct err *err)
{
	struct codec_reader r;
	struct head head;

	if (payload_kind(payload) != PAYLOAD_LINE)
		return refuse_kind(err);
	r = codec_reader(span_after(payload, 2));
	head = get_head(&r);
	if (r.bad)
		return err_set(err, ERR_CORRUPT, "a line's payload of %zu bytes is cut",
			       payload.len);
	*ret = head.key;
	return ERR_NONE;
}

/* Leaves attrs alone: clearing them would cost more than all the rest. */
static bool decode_line(struct span payload, struct record *ret)
{
	struct codec_reader r = codec_reader(span_after(payload, 2));
	struct head head = get_head(&r);
	unsigned bits;

	ret->id = head.key.id;
	ret->occurred_ns = head.key.occurred_ns;
	ret->observed_ns = head.observed_ns;
	ret->source = head.source;
	ret->class = head.key.class;
	ret->action = (enum action)codec_get_enum(&r, ACTION_COUNT);
	bits = codec_get_enum(&r, LINE_BITS_ALL + 1);
	ret->foreign_time = (bits & FOREIGN_TIME) != 0;
	ret->finding = (struct finding){.rule = ""};
	if (ret->class != CLASS_app_log) {
		ret->finding.trust = (enum trust)codec_get_enum(&r, TRUST_COUNT);
		ret->finding.severity = (enum severity)codec_get_enum(&r, SEVERITY_FATAL + 1);
		ret->finding.actor_type = (enum actor_type)codec_get_enum(&r, ACTOR_TYPE_COUNT);
	}
	get_texts(&r, ret, (bits & HAS_RAW) != 0);
	if (ret->class != CLASS_app_log)
		get_finding(&r, &ret->finding);
	ret->attributes = codec_get_attributes(&r);
	ret->attr_count = 0;
	ret->exact_time = false;
	ret->decoded = false;
	ret->claimed_ns = 0;
	return codec_is_done(&r);
}

enum err_kind record_decode(struct span payload, struct record *ret, struct err *err)
{
	if (payload_kind(payload) != PAYLOAD_LINE)
		return refuse_kind(err);
	if (!decode_line(payload, ret))
		return err_set(err, ERR_CORRUPT, "a line's payload of %zu bytes is damaged",
			       payload.len);
	return ERR_NONE;
}

enum payload_kind payload_kind(struct span payload)
{
	if (payload.len < 2 || payload.data[0] != CODEC_VERSION)
		return PAYLOAD_UNKNOWN;
	if (payload.data[1] == PAYLOAD_LINE)
		return PAYLOAD_LINE;
	return payload.data[1] == PAYLOAD_EVENT ? PAYLOAD_EVENT : PAYLOAD_UNKNOWN;
}
