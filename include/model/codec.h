#ifndef MODEL_CODEC_H
#define MODEL_CODEC_H

/*
 * codec: what record.c and event.c share to write and read spool payloads.
 *
 * A payload begins with its version and its kind, a byte each. Integers are
 * little-endian; a text is its length as a varint (seven bits a byte, lowest
 * first, in the shortest form) and its bytes. Last come the attributes, as
 * u32 length and bytes.
 *
 * Ownership: a reader lends from the payload.
 * Threads:   pure functions.
 * Limits:    a text and the attributes are at most 2^32 - 1 bytes.
 */

#include "base/buf.h"
#include "base/bytes.h"
#include "model/id.h"

enum {
	CODEC_VERSION = 1,
	CODEC_VARINT_BYTES_MAX = 5, /* of a u32 */
};

static inline uint8_t *codec_put_u8(uint8_t *at, unsigned v)
{
	*at = (uint8_t)v;
	return at + 1;
}

static inline uint8_t *codec_put_i64(uint8_t *at, int64_t v)
{
	put_u64_le(at, (uint64_t)v);
	return at + 8;
}

static inline uint8_t *codec_put_id(uint8_t *at, const struct id *id)
{
	memcpy(at, id->bytes, ID_BYTES);
	return at + ID_BYTES;
}

static inline uint8_t *codec_put_text(uint8_t *at, struct span s)
{
	size_t len = s.len;

	for (; len >= 0x80; len >>= 7)
		*at++ = (uint8_t)(len | 0x80);
	*at++ = (uint8_t)len;
	if (s.len > 0)
		memcpy(at, s.data, s.len);
	return at + s.len;
}

/* The most bytes that texts can take. */
size_t codec_texts_bound(const struct span *texts, size_t count);

/* What is left of a payload. After the first thing that does not fit, bad stays set. */
struct codec_reader {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

static inline struct codec_reader codec_reader(struct span payload)
{
	const uint8_t *at = (const uint8_t *)payload.data;

	return (struct codec_reader){.at = at, .end = payload.len > 0 ? at + payload.len : at};
}

/* Lends len bytes; NULL, and the reader is bad, where there are not so many. */
static inline const uint8_t *codec_take(struct codec_reader *r, size_t len)
{
	const uint8_t *at = r->at;

	if (r->bad || len > (size_t)(r->end - r->at)) {
		r->bad = true;
		return NULL;
	}
	r->at += len;
	return at;
}

static inline uint8_t codec_get_u8(struct codec_reader *r)
{
	const uint8_t *at = codec_take(r, 1);

	return at ? *at : 0;
}

static inline int64_t codec_get_i64(struct codec_reader *r)
{
	const uint8_t *at = codec_take(r, 8);

	return at ? (int64_t)get_u64_le(at) : 0;
}

static inline void codec_get_id(struct codec_reader *r, struct id *ret)
{
	const uint8_t *at = codec_take(r, ID_BYTES);

	if (at)
		memcpy(ret->bytes, at, ID_BYTES);
}

/* A byte below count, which is how enums stand in a payload. */
static inline unsigned codec_get_enum(struct codec_reader *r, unsigned count)
{
	unsigned value = codec_get_u8(r);

	if (value < count)
		return value;
	r->bad = true;
	return 0;
}

/* A varint that is not of one byte. */
size_t codec_get_long_varint(struct codec_reader *r);

static inline struct span codec_get_text(struct codec_reader *r)
{
	bool is_short = !r->bad && r->at < r->end && *r->at < 0x80;
	size_t len = is_short ? *r->at++ : codec_get_long_varint(r);
	const uint8_t *at = codec_take(r, len);

	return at ? span_of(at, len) : SPAN("");
}

struct span codec_get_attributes(struct codec_reader *r);

/* Nothing was bad, and nothing is left. */
static inline bool codec_is_done(const struct codec_reader *r)
{
	return !r->bad && r->at == r->end;
}

#endif
