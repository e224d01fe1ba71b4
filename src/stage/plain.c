#include "stage/plain.h"

#include "base/utf8.h"

enum {
	ESC = 0x1b,
	NOT_ASCII = 0x80,        /* from this byte on */
	REPLACEMENT_HEAD = 0xef, /* the first byte of U+FFFD */
	SEQUENCE_CHARS_MAX = 64, /* of a terminal sequence; a longer one is taken for text */
};

/* A piece of text and the bytes that it stands for. */
struct element {
	size_t len;
	size_t plain_len;
	bool verbatim; /* it stands for itself, and plain is not used */
	char plain[2];
};

static const struct span replacement = {"\xef\xbf\xbd", 3};

static bool is_ascii_code(int high, int low)
{
	return high >= 0 && high <= 7 && low >= 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool plain_has_percent(struct span text)
{
	const char *at = text.len > 0 ? memchr(text.data, '%', text.len) : NULL;

	while (at) {
		text = span_after(text, (size_t)(at - text.data) + 1);
		if (text.len < 2)
			return false;
		if (is_ascii_code(hex_digit(text.data[0]), hex_digit(text.data[1])))
			return true;
		at = memchr(text.data, '%', text.len);
	}
	return false;
}

bool plain_differs(struct span text)
{
	return text.len > 0 &&
	       (memchr(text.data, '\\', text.len) || memchr(text.data, ESC, text.len) ||
		memchr(text.data, '\0', text.len) || memchr(text.data, REPLACEMENT_HEAD, text.len));
}

/* Whether behind backslashes stands half a surrogate pair, or U+FFFD. */
static bool is_no_character(struct span s)
{
	if (s.len < 5 || s.data[0] != 'u')
		return false;
	if (strncasecmp(s.data + 1, "fffd", 4) == 0)
		return true;
	return (s.data[1] | 0x20) == 'd' && hex_digit(s.data[2]) >= 8 &&
	       hex_digit(s.data[3]) >= 0 && hex_digit(s.data[4]) >= 0;
}

/* One escape behind its backslashes: its length, or 0; *ret_byte is what it stands for. */
static size_t escape_len(struct span s, char *ret_byte)
{
	size_t digits_at;
	int high;
	int low;

	if (is_no_character(s)) {
		*ret_byte = '\0';
		return 5;
	}
	if (s.len >= 5 && memcmp(s.data, "u00", 3) == 0) {
		digits_at = 3;
	} else if (s.len >= 3 && s.data[0] == 'x') {
		digits_at = 1;
	} else {
		if (s.len >= 3 && memcmp(s.data, "033", 3) == 0) {
			*ret_byte = ESC;
			return 3;
		}
		if (s.len == 0)
			return 0;
		switch (s.data[0]) {
		case '/': *ret_byte = '/'; return 1;
		case 'n': *ret_byte = '\n'; return 1;
		case 'r': *ret_byte = '\r'; return 1;
		case 't': *ret_byte = '\t'; return 1;
		case 'e': *ret_byte = ESC; return s.len > 1 && s.data[1] == '[' ? 1 : 0;
		default: return 0;
		}
	}
	high = hex_digit(s.data[digits_at]);
	low = hex_digit(s.data[digits_at + 1]);
	if (!is_ascii_code(high, low))
		return 0;
	*ret_byte = (char)(high * 16 + low);
	return digits_at + 2;
}

/* A run of backslashes and what it escapes; the whole run, so that it is walked once. */
static struct element backslash_element(struct span s)
{
	struct element e = {.plain_len = 1};
	size_t run = 1;
	size_t escape;
	char byte = 0;

	while (run < s.len && s.data[run] == '\\')
		run++;
	escape = escape_len(span_after(s, run), &byte);
	if (escape == 0)
		return (struct element){.len = run, .plain_len = run, .verbatim = true};
	e.len = run + escape;
	e.plain[0] = byte;
	/* An escaped quote stays one, as often as it is escaped: it does not close the text around
	 * it. */
	if (byte == '"' && run > 1)
		return (struct element){.len = run - 1, .plain_len = run - 1, .verbatim = true};
	if (byte == '"') {
		e.plain[0] = '\\';
		e.plain[1] = '"';
		e.plain_len = 2;
	}
	return e;
}

static struct element byte_element(struct span s)
{
	if (s.data[0] == '\\')
		return backslash_element(s);
	return (struct element){.len = 1, .plain_len = 1, .plain = {s.data[0]}};
}

/* The hex digit at pos, perhaps an escape itself, which pos is moved behind; -1: none. */
static int digit_at(struct span s, size_t *pos)
{
	struct element e;

	if (*pos >= s.len)
		return -1;
	e = byte_element(span_after(s, *pos));
	*pos += e.len;
	return e.verbatim || e.plain_len != 1 ? -1 : hex_digit(e.plain[0]);
}

/* A % and the two digits behind it, again where that is a % itself. */
static struct element percent_element(struct span s, struct element percent, unsigned depth)
{
	while (depth-- > 0 && percent.plain[0] == '%') {
		size_t pos = percent.len;
		int high = digit_at(s, &pos);
		int low = high < 0 ? -1 : digit_at(s, &pos);

		if (!is_ascii_code(high, low))
			break;
		percent.len = pos;
		percent.plain[0] = (char)(high * 16 + low);
	}
	return percent;
}

static struct element escape_element(struct span s, unsigned depth)
{
	struct element e = byte_element(s);

	return e.verbatim || e.plain[0] != '%' ? e : percent_element(s, e, depth);
}

/* How long the rest of a terminal sequence is, from its `[` on; 0: it is none. */
static size_t sequence_len(struct span s, unsigned depth)
{
	size_t pos = 0;

	for (size_t count = 0; pos < s.len && count < SEQUENCE_CHARS_MAX; count++) {
		struct element e = escape_element(span_after(s, pos), depth);

		if (e.verbatim || e.plain_len != 1 || (count == 0 && e.plain[0] != '['))
			return 0;
		pos += e.len;
		if (count > 0 && (e.plain[0] < 0x20 || e.plain[0] > 0x3f))
			return e.plain[0] >= 0x40 && e.plain[0] <= 0x7e ? pos : 0;
	}
	return 0;
}

/* A character; what is none stands for nothing, as it does in a message. */
static struct element character_at(struct span s)
{
	size_t len = utf8_char(s);

	if (span_starts(s, replacement))
		return (struct element){.len = replacement.len};
	if (len == 0)
		return (struct element){.len = 1};
	return (struct element){.len = len, .plain_len = len, .verbatim = true};
}

static struct element element_at(struct span s, unsigned depth)
{
	struct element e;

	if ((unsigned char)s.data[0] >= NOT_ASCII)
		return character_at(s);
	e = escape_element(s, depth);
	if (!e.verbatim && e.plain[0] == '\0')
		e.plain_len = 0;
	/* ESC goes with the sequence that it begins; one that begins none goes by itself. */
	if (!e.verbatim && e.plain[0] == ESC) {
		e.len += sequence_len(span_after(s, e.len), depth);
		e.plain_len = 0;
	}
	return e;
}

static bool may_be_special(char c)
{
	return c == '\\' || c == '%' || c == ESC || c == '\0' || (unsigned char)c >= NOT_ASCII;
}

/* As element_at(), but takes all that stands for itself in one. */
static struct element run_at(struct span s, unsigned depth)
{
	size_t len = 0;

	while (len < s.len && !may_be_special(s.data[len]))
		len++;
	if (len == 0)
		return element_at(s, depth);
	return (struct element){.len = len, .plain_len = len, .verbatim = true};
}

void plain_write(struct span text, unsigned depth, struct buf *out)
{
	size_t len = out->len;
	uint8_t *to = buf_extend(out, text.len);

	if (!to)
		return;
	for (size_t pos = 0; pos < text.len;) {
		struct element e = run_at(span_after(text, pos), depth);

		memcpy(to, e.verbatim ? text.data + pos : e.plain, e.plain_len);
		to += e.plain_len;
		len += e.plain_len;
		pos += e.len;
	}
	buf_cut(out, len);
}

void plain_origin(struct plain_walk *w, struct span text, size_t plain_pos, size_t *ret_start,
		  size_t *ret_end)
{
	while (w->text_pos < text.len) {
		struct element e = element_at(span_after(text, w->text_pos), w->depth);

		if (w->plain_pos + e.plain_len > plain_pos) {
			*ret_start = w->text_pos;
			*ret_end = w->text_pos + e.len;
			return;
		}
		w->plain_pos += e.plain_len;
		w->text_pos += e.len;
	}
	*ret_start = text.len;
	*ret_end = text.len;
}
