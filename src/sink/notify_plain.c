#include "sink/notify_plain.h"

#include "base/utf8.h"

#include <stdio.h>

enum { PIECE_BYTES = 12, COLOUR_BYTES_MAX = 64 };

static const char CUT_MARK[] = "\xe2\x80\xa6"; /* an ellipsis */

/* Characters that show nothing themselves, and change what is seen around them. */
static const struct {
	uint32_t first, last;
} unseen[] = {
	{0x80, 0x9f},       {0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},
	{0x115f, 0x1160},   {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f},
	{0x2028, 0x202e},   {0x2060, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},
	{0xfeff, 0xfeff},   {0xffa0, 0xffa0}, {0xfff9, 0xfffb}, {0x1d173, 0x1d17a},
	{0xe0000, 0xe0fff},
};

static bool is_unseen(uint32_t code)
{
	for (size_t i = 0; i < ARRAY_LEN(unseen); i++)
		if (code >= unseen[i].first && code <= unseen[i].last)
			return true;
	return false;
}

/* Of a character of len bytes, which is one. */
static uint32_t code_of(struct span s, size_t len)
{
	static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t code = (uint8_t)s.data[0] & masks[len];

	for (size_t i = 1; i < len; i++)
		code = code << 6 | ((uint8_t)s.data[i] & 0x3fu);
	return code;
}

/* Bytes of the colour at the start of s; 0: there is none. */
static size_t colour_len(struct span s)
{
	size_t at = 2;

	if (!span_starts(s, SPAN("\x1b[")))
		return 0;
	while (at < s.len && at < COLOUR_BYTES_MAX && strchr("0123456789;:", s.data[at]) &&
	       s.data[at] != '\0')
		at++;
	return at < s.len && s.data[at] == 'm' ? at + 1 : 0;
}

static size_t blank_len(struct span s)
{
	size_t at = 0;

	while (at < s.len && (s.data[at] == ' ' || (s.data[at] >= '\t' && s.data[at] <= '\r')))
		at++;
	return at;
}

/* What stands for the start of s, of which *ret_len bytes are taken. */
static void show(struct span s, char piece[PIECE_BYTES], size_t *ret_len)
{
	size_t len = utf8_char(s);
	uint8_t byte = (uint8_t)s.data[0];

	*ret_len = len > 0 ? len : 1;
	if (span_starts(s, SPAN("://"))) {
		*ret_len = 3;
		(void)snprintf(piece, PIECE_BYTES, "[://]");
	} else if (len == 0 || byte < ' ' || byte == 0x7f) {
		(void)snprintf(piece, PIECE_BYTES, "\\x%02x", byte);
	} else if (byte == '&') {
		(void)snprintf(piece, PIECE_BYTES, "&amp;");
	} else if (byte == '<' || byte == '>') {
		(void)snprintf(piece, PIECE_BYTES, byte == '<' ? "&lt;" : "&gt;");
	} else if (byte == '`') {
		(void)snprintf(piece, PIECE_BYTES, "'");
	} else if (is_unseen(code_of(s, len))) {
		(void)snprintf(piece, PIECE_BYTES, "\\u%04x", code_of(s, len));
	} else {
		(void)snprintf(piece, PIECE_BYTES, "%.*s", (int)len, s.data);
	}
}

bool notify_plain(struct span text, size_t max, struct buf *out)
{
	const size_t start = out->len, end = start + max;
	size_t fits = start; /* so much stays where the rest finds no room */
	bool blank = false;
	char piece[PIECE_BYTES];

	REQUIRE(max >= NOTIFY_PLAIN_BYTES_MIN);
	while (text.len > 0 && !out->failed) {
		size_t len = colour_len(text);

		if (len == 0) {
			len = blank_len(text);
			blank = blank || len > 0;
		}
		if (len > 0) {
			text = span_after(text, len);
			continue;
		}
		show(text, piece, &len);
		if (out->len + (blank && out->len > start) + strlen(piece) > end) {
			buf_cut(out, fits);
			buf_str(out, CUT_MARK);
			break;
		}
		if (blank && out->len > start)
			buf_u8(out, ' ');
		blank = false;
		buf_str(out, piece);
		if (out->len + sizeof(CUT_MARK) - 1 <= end)
			fits = out->len;
		text = span_after(text, len);
	}
	return out->len > start;
}
