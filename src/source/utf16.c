#include "source/utf16.h"

void utf16_init(struct utf16 *u)
{
	*u = (struct utf16){.odd_byte = -1};
}

static size_t end_pair(struct utf16 *u, char *out)
{
	size_t len = u->high ? utf8_write(u->high, out) : 0;

	u->high = 0;
	return len;
}

static size_t add_unit(struct utf16 *u, uint32_t unit, char *out)
{
	uint32_t code = unit;
	size_t len;

	if (u->high && unit >= 0xdc00 && unit <= 0xdfff) {
		code = 0x10000 + ((u->high - 0xd800) << 10) + (unit - 0xdc00);
		u->high = 0;
		return utf8_write(code, out);
	}
	len = end_pair(u, out);
	if (unit >= 0xd800 && unit <= 0xdbff) {
		u->high = unit;
		return len;
	}
	return len + utf8_write(code, out + len);
}

size_t utf16_add(struct utf16 *u, const uint8_t *bytes, size_t len, char *out)
{
	size_t written = 0;

	for (size_t i = 0; i < len; i++) {
		if (u->odd_byte < 0) {
			u->odd_byte = bytes[i];
			continue;
		}
		written +=
			add_unit(u, (uint32_t)u->odd_byte | (uint32_t)bytes[i] << 8, out + written);
		u->odd_byte = -1;
	}
	return written;
}

size_t utf16_end(struct utf16 *u, char *out)
{
	size_t len = end_pair(u, out);

	if (u->odd_byte >= 0)
		out[len++] = (char)u->odd_byte;
	u->odd_byte = -1;
	return len;
}
