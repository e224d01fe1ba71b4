#include "stage/escape.h"

#include "base/utf8.h"

enum {
	UNIT_BYTES = 6, /* \uXXXX */
	STAND_IN_BYTES = 2,
	STAND_IN = 0xff, /* the first byte of every stand-in */
	STAND_IN_FF = 0x01,
	STAND_IN_NUL = 0x02,
};

static bool is_half(uint32_t code)
{
	return code >= 0xd800 && code <= 0xdfff;
}

/* The code unit of a \uXXXX at the start of s. */
static bool read_unit(struct span s, uint32_t *ret)
{
	uint32_t unit = 0;

	if (s.len < UNIT_BYTES || s.data[0] != '\\' || s.data[1] != 'u')
		return false;
	for (size_t i = 2; i < UNIT_BYTES; i++) {
		unsigned c = (unsigned char)s.data[i];
		unsigned lower = c | 0x20;

		if (c >= '0' && c <= '9')
			unit = unit << 4 | (c - '0');
		else if (lower >= 'a' && lower <= 'f')
			unit = unit << 4 | (lower - 'a' + 10);
		else
			return false;
	}
	*ret = unit;
	return true;
}

static bool read_unicode(struct span s, size_t *ret_len, uint32_t *ret_code)
{
	uint32_t first, second;

	if (!read_unit(s, &first))
		return false;
	*ret_len = UNIT_BYTES;
	*ret_code = first;
	if (first < 0xd800 || first > 0xdbff || !read_unit(span_after(s, UNIT_BYTES), &second) ||
	    second < 0xdc00 || second > 0xdfff)
		return true;
	*ret_len = 2 * (size_t)UNIT_BYTES;
	*ret_code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
	return true;
}

bool escape_read(struct span s, size_t *ret_len, uint32_t *ret_code)
{
	uint32_t code;

	if (s.len < 2 || s.data[0] != '\\')
		return false;
	switch (s.data[1]) {
	case '"':
	case '\\':
	case '/': code = (unsigned char)s.data[1]; break;
	case 'b': code = '\b'; break;
	case 'f': code = '\f'; break;
	case 'n': code = '\n'; break;
	case 'r': code = '\r'; break;
	case 't': code = '\t'; break;
	case 'u': return read_unicode(s, ret_len, ret_code);
	default: return false;
	}
	*ret_len = 2;
	*ret_code = code;
	return true;
}

/* The next c in text from at on; len where there is none. */
static size_t find(const char *text, size_t at, size_t len, char c)
{
	const char *hit = at < len ? memchr(text + at, c, len - at) : NULL;

	return hit ? (size_t)(hit - text) : len;
}

bool escape_text_end(struct span s, size_t *ret_len, bool *ret_has_escapes)
{
	size_t quote = find(s.data, 0, s.len, '"');
	size_t at = find(s.data, 0, quote, '\\');
	bool has_escapes = at < quote;

	while (at < quote) {
		size_t len;
		uint32_t code;

		if (!escape_read(span_after(s, at), &len, &code))
			return false;
		if (at + len > quote) /* it was the quote that is escaped */
			quote = find(s.data, at + len, s.len, '"');
		at = find(s.data, at + len, quote, '\\');
	}
	if (quote == s.len)
		return false;
	*ret_len = quote;
	*ret_has_escapes = has_escapes;
	return true;
}

size_t escape_undo(char *text, size_t len)
{
	size_t at = find(text, 0, len, '\\');
	size_t out = at;

	while (at < len) {
		size_t escape_len, next;
		uint32_t code;
		bool good = escape_read(span_of(text + at, len - at), &escape_len, &code);

		REQUIRE(good);
		out += utf8_write(code, text + out);
		at += escape_len;
		next = find(text, at, len, '\\');
		memmove(text + out, text + at, next - at);
		out += next - at;
		at = next;
	}
	return out;
}

static bool needs_protection(struct span line)
{
	return line.len > 0 &&
	       (memchr(line.data, '\\', line.len) || memchr(line.data, '\0', line.len) ||
		memchr(line.data, STAND_IN, line.len));
}

static size_t put_stand_in(char *out, char which)
{
	out[0] = (char)STAND_IN;
	out[1] = which;
	return STAND_IN_BYTES;
}

/* Copies one byte or escape from the start of s. Returns the bytes read. */
static size_t protect_one(struct span s, char *out, size_t *written)
{
	size_t len = 1;
	uint32_t code;

	if ((unsigned char)s.data[0] == STAND_IN) {
		*written += put_stand_in(out, STAND_IN_FF);
	} else if (s.data[0] == '\0' || (escape_read(s, &len, &code) && code == 0)) {
		*written += put_stand_in(out, STAND_IN_NUL);
	} else if (len > 1 && is_half(code)) {
		*written += utf8_write(code, out);
	} else {
		memcpy(out, s.data, len);
		*written += len;
	}
	return len;
}

struct span escape_protect(struct arena *arena, struct span line)
{
	size_t room = STAND_IN_BYTES * line.len;
	size_t len = 0;
	char *out;

	if (!needs_protection(line))
		return line;
	out = arena_alloc(arena, room);
	if (!out)
		return (struct span){NULL, 0};
	while (line.len > 0) {
		size_t read = protect_one(line, out + len, &len);

		line = span_after(line, read);
	}
	arena_shrink(arena, out, room, len);
	return span_of(out, len);
}

struct span escape_restore(struct arena *arena, struct span text)
{
	char *out = arena_alloc(arena, text.len);
	size_t len = 0;

	if (!out)
		return (struct span){NULL, 0};
	for (size_t at = 0; at < text.len; at++) {
		char c = text.data[at];

		if ((unsigned char)c == STAND_IN && at + 1 < text.len)
			c = text.data[++at] == STAND_IN_NUL ? '\0' : (char)STAND_IN;
		out[len++] = c;
	}
	arena_shrink(arena, out, text.len, len);
	return span_of(out, len);
}
