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
