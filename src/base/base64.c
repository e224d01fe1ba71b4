#include "base/base64.h"

enum { GROUP_BYTES = 3, GROUP_DIGITS = 4, DIGIT_BITS = 6, DIGIT_MASK = 63 };

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
