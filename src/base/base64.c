#include "base/base64.h"

enum { GROUP_BYTES = 3, GROUP_DIGITS = 4, DIGIT_BITS = 6, DIGIT_MASK = 63, BYTE_BITS = 8 };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Three bytes, or what is left of them, as four digits. */
static void put_group(uint8_t *to, struct span s)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < GROUP_BYTES; i++)
		bits = bits << 8 | (i < s.len ? (uint8_t)s.data[i] : 0);
	for (size_t i = GROUP_DIGITS; i-- > 0; bits >>= DIGIT_BITS)
		to[i] = i <= s.len ? (uint8_t)digits[bits & DIGIT_MASK] : '=';
}

void base64_write(struct buf *out, struct span bytes)
{
	uint8_t *to = buf_extend(out, BASE64_BYTES(bytes.len));

	for (; to && bytes.len > 0; to += GROUP_DIGITS) {
		size_t len = bytes.len < GROUP_BYTES ? bytes.len : GROUP_BYTES;

		put_group(to, span_of(bytes.data, len));
		bytes = span_after(bytes, len);
	}
}

/* Four digits, of which the last `padding` are '=', as the bytes that they stand for. */
static bool read_group(uint8_t to[GROUP_BYTES], const char *group, size_t padding)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < GROUP_DIGITS; i++) {
		bool is_pad = i >= GROUP_DIGITS - padding;
		const char *at = is_pad ? NULL : memchr(digits, group[i], sizeof(digits) - 1);

		if (is_pad ? group[i] != '=' : !at)
			return false;
		bits = bits << DIGIT_BITS | (at ? (uint32_t)(at - digits) : 0);
	}
	for (size_t i = GROUP_BYTES; i-- > 0; bits >>= BYTE_BITS)
		to[i] = (uint8_t)bits;
	/* What padding stands for is nothing: two texts of the same bytes would be one otherwise.
	 */
	for (size_t i = GROUP_BYTES - padding; i < GROUP_BYTES; i++)
		if (to[i] != 0)
			return false;
	return true;
}

bool base64_read(struct buf *out, struct span text)
{
	size_t len = out->len;

	if (text.len % GROUP_DIGITS != 0)
		return false;
	for (; text.len > 0; text = span_after(text, GROUP_DIGITS)) {
		bool is_last = text.len == GROUP_DIGITS;
		size_t padding = !is_last || text.data[GROUP_DIGITS - 1] != '=' ? 0
				 : text.data[GROUP_DIGITS - 2] != '='           ? 1
										: 2;
		uint8_t bytes[GROUP_BYTES];

		if (!read_group(bytes, text.data, padding)) {
			buf_cut(out, len);
			return false;
		}
		buf_add(out, bytes, GROUP_BYTES - padding);
	}
	return true;
}
