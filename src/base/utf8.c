#include "base/utf8.h"

static bool is_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

size_t utf8_char(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.data;
	unsigned char low = 0x80, high = 0xbf; /* what the second byte may be */
	size_t len;

	if (s.len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0; /* below: a longer form than needed */
	else if (p[0] == 0xed)
		high = 0x9f; /* above: surrogates */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f; /* above: past U+10FFFF */
	if (s.len < len || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if (!is_continuation(p[i]))
			return 0;
	}
	return len;
}

/* Not 0 where one of eight bytes is NUL or past ASCII. */
static uint64_t stops_in(const char *bytes)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	/* Taking one from each byte sets the high bit of one that was NUL. */
	return (word | (word - ones)) & (ones << 7);
}

/* Bytes at the start of s that are ASCII without NUL, found in strides. */
static size_t plain_prefix(struct span s)
{
	const size_t word = sizeof(uint64_t);
	size_t at = 0;

	for (; s.len - at >= 4 * word; at += 4 * word) {
		const char *bytes = s.data + at;

		if (stops_in(bytes) | stops_in(bytes + word) | stops_in(bytes + 2 * word) |
		    stops_in(bytes + 3 * word))
			break;
	}
	while (s.len - at >= word && stops_in(s.data + at) == 0)
		at += word;
	while (at < s.len && s.data[at] > 0)
		at++;
	return at;
}

bool utf8_is_text(struct span s)
{
	for (;;) {
		size_t len;

		s = span_after(s, plain_prefix(s));
		if (s.len == 0)
			return true;
		len = s.data[0] != '\0' ? utf8_char(s) : 0;
		if (len == 0)
			return false;
		s = span_after(s, len);
	}
}

size_t utf8_write(uint32_t code, char out[UTF8_CHAR_BYTES_MAX])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}

struct span utf8_cut(struct span s, size_t max)
{
	if (s.len <= max)
		return s;
	s.len = max;
	/* A character has at most three continuation bytes; more is no UTF-8, cut anywhere. */
	for (unsigned back = 0; back < 3 && s.len > 0; back++) {
		if (!is_continuation((unsigned char)s.data[s.len]))
			break;
		s.len--;
	}
	return s;
}

void utf8_end(char *text)
{
	size_t len = strlen(text);

	for (size_t back = 1; back < UTF8_CHAR_BYTES_MAX && back <= len; back++) {
		char *last = text + len - back;

		if (is_continuation((unsigned char)*last))
			continue;
		if (utf8_char(span_of(last, back)) == 0)
			*last = '\0';
		return;
	}
}
