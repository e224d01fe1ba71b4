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

struct codec_reader codec_reader(struct span payload)
{
	const uint8_t *at = (const uint8_t *)payload.data;

	return (struct codec_reader){.at = at, .end = payload.len > 0 ? at + payload.len : at};
}

/* len bytes, or NULL when there are not so many. */
static const uint8_t *take(struct codec_reader *r, size_t len)
{
	const uint8_t *at = r->at;

	if (r->bad || len > (size_t)(r->end - r->at)) {
		r->bad = true;
		return NULL;
	}
	r->at += len;
	return at;
}

uint8_t codec_get_u8(struct codec_reader *r)
{
	const uint8_t *at = take(r, 1);

	return at ? *at : 0;
}

int64_t codec_get_i64(struct codec_reader *r)
{
	const uint8_t *at = take(r, 8);

	return at ? (int64_t)get_u64_le(at) : 0;
}

void codec_get_id(struct codec_reader *r, struct id *ret)
{
	const uint8_t *at = take(r, ID_BYTES);

	if (at)
		memcpy(ret->bytes, at, ID_BYTES);
}

unsigned codec_get_enum(struct codec_reader *r, unsigned count)
{
	unsigned value = codec_get_u8(r);

	if (value < count)
		return value;
	r->bad = true;
	return 0;
}

static size_t get_varint(struct codec_reader *r)
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

static struct span lend(struct codec_reader *r, size_t len)
{
	const uint8_t *at = take(r, len);

	return at ? span_of(at, len) : SPAN("");
}

struct span codec_get_text(struct codec_reader *r)
{
	return lend(r, get_varint(r));
}

struct span codec_get_attributes(struct codec_reader *r)
{
	const uint8_t *len = take(r, 4);

	return len ? lend(r, get_u32_le(len)) : SPAN("");
}

bool codec_is_done(const struct codec_reader *r)
{
	return !r->bad && r->at == r->end;
}
