#include "model/codec.h"

size_t codec_texts_bound(const struct span *texts, size_t count)
{
	size_t bound = 0;

	for (size_t i = 0; i < count; i++) {
		REQUIRE(texts[i].len <= UINT32_MAX);
		bound += texts[i].len + CODEC_VARINT_BYTES_MAX;
	}
	return bound;
}

size_t codec_get_long_varint(struct codec_reader *r)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < CODEC_VARINT_BYTES_MAX; i++) {
		uint8_t byte = codec_get_u8(r);

		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte & 0x80)
			continue;
		/* One form for each number, so that what decodes encodes to the same bytes. */
		r->bad |= (i > 0 && byte == 0) || value > UINT32_MAX;
		return (size_t)value;
	}
	r->bad = true;
	return 0;
}

struct span codec_get_attributes(struct codec_reader *r)
{
	const uint8_t *len = codec_take(r, 4);
	const uint8_t *at = len ? codec_take(r, get_u32_le(len)) : NULL;

	return at ? span_of(at, get_u32_le(len)) : SPAN("");
}
