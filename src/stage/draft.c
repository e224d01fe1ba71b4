#include "stage/draft.h"

#include "base/utf8.h"

/* Keys that decode() or a later stage gives itself: a line may not forge them. */
static const char *const own_keys[] = {
	"undecoded",        "time",           "claimed_time", "fields_in_raw", "wrong_type",
	"subject_mismatch", "from_subject",   "line_bytes",   "line_sha256",   "redacted",
	"message_bytes",    "message_sha256", "raw_bytes",    "raw_sha256",    "attributes_dropped",
	"empty_message",
};

/* Bytes at the start of s, which is not empty, that become one character. */
static size_t next_char(struct span s, bool *good)
{
	size_t len = s.data[0] == '\0' ? 0 : utf8_char(s);
	const unsigned char *p = (const unsigned char *)s.data;

	*good = len > 0;
	if (len > 0)
		return len;
	/* Half a surrogate pair is one character that is missing, not three. */
	if (s.len >= 3 && p[0] == 0xed && p[1] >= 0xa0 && p[1] <= 0xbf && (p[2] & 0xc0) == 0x80)
		return 3;
	return 1;
}

/* The start of s that needs no change. */
static struct span fine_prefix(struct span s)
{
	size_t at = 0;
	bool good = true;

	while (at < s.len) {
		size_t len = next_char(span_after(s, at), &good);

		if (!good)
			break;
		at += len;
	}
	return span_of(s.data, at);
}

static size_t held_bytes(struct span s)
{
	size_t bytes = 0;

	while (s.len > 0) {
		bool good;
		size_t len = next_char(s, &good);

		bytes += good ? len : sizeof(UTF8_REPLACEMENT) - 1;
		s = span_after(s, len);
	}
	return bytes;
}

struct span draft_hold(struct arena *arena, struct span s, bool *changed)
{
	size_t room, at = 0;
	char *out;

	if (utf8_is_text(s))
		return s;
	*changed = true;
	room = held_bytes(s);
	out = arena_alloc(arena, room);
	if (!out)
		return fine_prefix(s);
	while (s.len > 0) {
		bool good;
		size_t len = next_char(s, &good);
		struct span c = good ? span_of(s.data, len) : SPAN(UTF8_REPLACEMENT);

		memcpy(out + at, c.data, c.len);
		at += c.len;
		s = span_after(s, len);
	}
	return span_of(out, at);
}

struct span draft_field(struct draft *d, struct span s)
{
	if (!s.data)
		return SPAN("");
	if (s.len > RECORD_FIELD_BYTES_MAX)
		d->in_raw = true;
	return draft_hold(d->ctx->arena, s, &d->in_raw);
}

static struct span own_key_aside(struct arena *arena, struct span key)
{
	for (size_t i = 0; i < ARRAY_LEN(own_keys); i++) {
		if (span_is(key, own_keys[i]))
			return record_key_aside(arena, &key) ? key : (struct span){NULL, 0};
	}
	return key;
}

static bool has_key(const struct record *r, struct span key)
{
	for (size_t i = 0; i < r->attr_count; i++) {
		if (span_equal(r->attrs[i].key, key))
			return true;
	}
	return false;
}

/* The key in its final form; data NULL where the attribute has to stay out. */
static struct span take_key(struct draft *d, struct span key)
{
	if (key.len <= RECORD_FIELD_BYTES_MAX && d->record->attr_count < DECODE_FIELDS_MAX) {
		key = draft_hold(d->ctx->arena, key, &d->in_raw);
		key = own_key_aside(d->ctx->arena, key);
		if (key.data && key.len <= RECORD_FIELD_BYTES_MAX && !has_key(d->record, key))
			return key;
	}
	d->in_raw = true;
	return (struct span){NULL, 0};
}

void draft_attr_text(struct draft *d, struct span key, struct span text)
{
	key = take_key(d, key);
	if (key.data)
		record_attr_text(d->record, key, draft_field(d, text));
}

void draft_attr_number(struct draft *d, struct span key, int64_t number)
{
	key = take_key(d, key);
	if (key.data)
		record_attr_number(d->record, key, number);
}

void draft_attr_bool(struct draft *d, struct span key, bool value)
{
	key = take_key(d, key);
	if (key.data)
		record_attr_bool(d->record, key, value);
}

void draft_attr_json(struct draft *d, struct span key, struct span json)
{
	key = take_key(d, key);
	if (key.data)
		record_attr_json(d->record, key, json);
}
