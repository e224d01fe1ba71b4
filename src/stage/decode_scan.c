#include "base/bytes.h"
#include "stage/draft.h"
#include "stage/escape.h"

#define PART(before, field)                                                 \
	{                                                                   \
		{before, sizeof(before) - 1}, offsetof(struct draft, field) \
	}

/* What stands before each text in a line of Fly's stream, and where the text goes. */
static const struct part {
	struct span before;
	size_t field; /* offset in struct draft */
} parts[] = {
	PART("{\"event\":{\"provider\":\"", provider),
	PART("},\"fly\":{\"app\":{\"instance\":\"", machine_id),
	PART(",\"name\":\"", app),
	PART("},\"region\":\"", region),
	PART("},\"host\":\"", host),
	PART(",\"log\":{\"level\":\"", level),
	PART("},\"message\":\"", message),
	PART(",\"timestamp\":\"", time),
};

enum { PART_COUNT = ARRAY_LEN(parts), MESSAGE_PART = 6 };

/* Printable ASCII that is neither a quote nor an escape. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

/*
 * How many of eight bytes are plain before the first that is not. Taking n from each byte sets
 * the high bit of those below n; what it borrows changes only bytes behind such a one.
 */
static size_t plain_of_eight(const char *bytes)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t c = get_u64_le((const uint8_t *)bytes);
	uint64_t quote = c ^ ones * '"', escape = c ^ ones * '\\';
	uint64_t stops = (c - ones * 0x20) | (c + ones) | c | ((quote - ones) & ~quote) |
			 ((escape - ones) & ~escape);

	stops &= ones << 7;
	return stops ? (size_t)__builtin_ctzll(stops) / 8 : 8;
}

/* A short text without escapes, up to its quote. */
static bool plain_text(struct span s, struct span *ret)
{
	size_t len = 0, more = 8;

	while (more == 8 && s.len - len >= 8 && len <= RECORD_FIELD_BYTES_MAX) {
		more = plain_of_eight(s.data + len);
		len += more;
	}
	while (len < s.len && len <= RECORD_FIELD_BYTES_MAX && is_plain((unsigned char)s.data[len]))
		len++;
	*ret = span_of(s.data, len);
	return len < s.len && len <= RECORD_FIELD_BYTES_MAX && s.data[len] == '"';
}

bool scan_nats(struct draft *d, char *line, size_t len)
{
	struct span left = span_of(line, len);
	struct span texts[PART_COUNT];
	bool has_escapes = false;

	for (size_t i = 0; i < PART_COUNT; i++) {
		if (!span_starts(left, parts[i].before))
			return false;
		left = span_after(left, parts[i].before.len);
		texts[i].data = left.data;
		if (i == MESSAGE_PART) {
			if (!escape_text_end(left, &texts[i].len, &has_escapes))
				return false;
		} else if (!plain_text(left, &texts[i])) {
			return false;
		}
		left = span_after(left, texts[i].len + 1);
	}
	if (!span_equal(left, SPAN("}")))
		return false;
	if (has_escapes)
		texts[MESSAGE_PART].len = escape_undo(line + (texts[MESSAGE_PART].data - line),
						      texts[MESSAGE_PART].len);
	for (size_t i = 0; i < PART_COUNT; i++)
		memcpy((char *)d + parts[i].field, &texts[i], sizeof(texts[i]));
	return true;
}

/* Where a member stands: in the line, in its `meta`, in the `event` of that. */
enum level { LEVEL_line, LEVEL_meta, LEVEL_event };

enum kind {
	KIND_plain,
	KIND_message,
	KIND_repeated, /* says once more what the line has said */
	KIND_object,   /* of the next level */
	KIND_null,
};

#define TEXT(level, key, kind, field)                                          \
	{                                                                      \
		{"\"" key "\":\"", sizeof("\"" key "\":\"") - 1}, level, kind, \
			offsetof(struct draft, field)                          \
	}
#define OTHER(level, key, value, kind)                                                   \
	{                                                                                \
		{"\"" key "\":" value, sizeof("\"" key "\":" value) - 1}, level, kind, 0 \
	}

/* All that a line of Fly's API has, in whatever order, before its texts. */
static const struct member {
	struct span before;
	enum level level;
	enum kind kind;
	size_t field; /* offset in struct draft, of texts */
} members[] = {
	TEXT(LEVEL_line, "timestamp", KIND_plain, time),
	TEXT(LEVEL_line, "message", KIND_message, message),
	TEXT(LEVEL_line, "level", KIND_plain, level),
	TEXT(LEVEL_line, "instance", KIND_plain, machine_id),
	TEXT(LEVEL_line, "region", KIND_plain, region),
	OTHER(LEVEL_line, "meta", "{", KIND_object),
	TEXT(LEVEL_meta, "instance", KIND_repeated, machine_id),
	TEXT(LEVEL_meta, "region", KIND_repeated, region),
	OTHER(LEVEL_meta, "event", "{", KIND_object),
	OTHER(LEVEL_meta, "http", "null", KIND_null),
	OTHER(LEVEL_meta, "error", "null", KIND_null),
	OTHER(LEVEL_meta, "url", "null", KIND_null),
	TEXT(LEVEL_event, "provider", KIND_plain, provider),
};

enum { MEMBER_COUNT = ARRAY_LEN(members) };

struct fly_line {
	struct span left;
	struct draft found;
	unsigned seen; /* a bit for each of members */
	bool has_escapes;
};

static struct span *text_of(struct draft *d, const struct member *m)
{
	return (struct span *)(void *)((char *)d + m->field);
}

static bool take(struct span *left, struct span what)
{
	if (!span_starts(*left, what))
		return false;
	*left = span_after(*left, what.len);
	return true;
}

/* The member at hand, which has not been there before; NULL: another one. */
static const struct member *take_member(struct fly_line *f, enum level level)
{
	for (size_t i = 0; i < MEMBER_COUNT; i++) {
		const struct member *m = &members[i];

		if (m->level != level || !take(&f->left, m->before))
			continue;
		if (f->seen & 1U << i)
			return NULL;
		f->seen |= 1U << i;
		return m;
	}
	return NULL;
}

static bool take_text(struct fly_line *f, const struct member *m)
{
	struct span text = {.data = f->left.data};
	struct span *field = text_of(&f->found, m);

	if (m->kind == KIND_message) {
		if (!escape_text_end(f->left, &text.len, &f->has_escapes))
			return false;
	} else if (!plain_text(f->left, &text)) {
		return false;
	}
	f->left = span_after(f->left, text.len + 1);
	if (m->kind == KIND_repeated)
		return field->data && span_equal(*field, text);
	*field = text;
	return true;
}

/* Every member of the line and of what is in it, to the line's end. */
static bool take_members(struct fly_line *f)
{
	enum level level = LEVEL_line;

	for (;;) {
		const struct member *m = take_member(f, level);

		if (!m)
			return false;
		if (m->kind == KIND_object) {
			level++;
			continue;
		}
		if (m->kind != KIND_null && !take_text(f, m))
			return false;
		for (; take(&f->left, SPAN("}")); level--)
			if (level == LEVEL_line)
				return f->left.len == 0;
		if (!take(&f->left, SPAN(",")))
			return false;
	}
}

bool scan_fly(struct draft *d, char *line, size_t len)
{
	struct fly_line f = {.left = span_of(line, len)};
	const struct draft *found = &f.found;

	if (!take(&f.left, SPAN("{")) || !take_members(&f))
		return false;
	if (!found->time.data || !found->message.data || !found->level.data ||
	    !found->machine_id.data || !found->region.data || !found->provider.data)
		return false;
	if (f.has_escapes)
		f.found.message.len =
			escape_undo(line + (found->message.data - line), found->message.len);
	for (size_t i = 0; i < MEMBER_COUNT; i++)
		if (members[i].kind == KIND_plain || members[i].kind == KIND_message)
			*text_of(d, &members[i]) = *text_of(&f.found, &members[i]);
	return true;
}
