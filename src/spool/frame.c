#include "spool/frame.h"

#include "base/bytes.h"
#include "base/gzip.h"

static const uint8_t header_magic[8] = {'F', 'L', 'Y', 'S', 'P', 'O', 'O', 'L'};

/* A salt never stands on disk as a magic: the header holds the salt itself. */
static const uint8_t frame_mask[FRAME_MAGIC_BYTES] = {'F', 'R', 'A', 'M', 'E', ' ', 'V', '1'};

enum {
	HEADER_CRC_AT = SEGMENT_HEADER_BYTES - 4,
	FRAME_CRC_AT = FRAME_HEADER_BYTES - 4,
	KIND_SHIFT = 24,
	CRC_BITS = 32,
	LENGTH_MASK = (1 << KIND_SHIFT) - 1,
};

_Static_assert((int)RECORD_PAYLOAD_BYTES_MAX <= (int)LENGTH_MASK,
	       "a payload's length has three bytes");

void segment_header_encode(const struct segment_header *h, uint8_t out[SEGMENT_HEADER_BYTES])
{
	memset(out, 0, SEGMENT_HEADER_BYTES);
	memcpy(out, header_magic, sizeof(header_magic));
	put_u32_le(out + 8, SEGMENT_FORMAT_VERSION);
	put_u32_le(out + 12, SEGMENT_HEADER_BYTES);
	memcpy(out + 16, h->uuid.bytes, sizeof(h->uuid.bytes));
	put_u64_le(out + 32, h->epoch);
	put_u64_le(out + 40, h->first_seq);
	put_u64_le(out + 48, (uint64_t)h->first_ns);
	memcpy(out + 56, h->salt, sizeof(h->salt));
	put_u32_le(out + HEADER_CRC_AT, gzip_crc32(0, out, HEADER_CRC_AT));
}

bool segment_header_decode(const uint8_t bytes[SEGMENT_HEADER_BYTES], struct segment_header *ret)
{
	if (memcmp(bytes, header_magic, sizeof(header_magic)) != 0)
		return false;
	if (get_u32_le(bytes + HEADER_CRC_AT) != gzip_crc32(0, bytes, HEADER_CRC_AT))
		return false;
	*ret = (struct segment_header){
		.version = get_u32_le(bytes + 8),
		.epoch = get_u64_le(bytes + 32),
		.first_seq = get_u64_le(bytes + 40),
		.first_ns = (int64_t)get_u64_le(bytes + 48),
	};
	memcpy(ret->uuid.bytes, bytes + 16, sizeof(ret->uuid.bytes));
	memcpy(ret->salt, bytes + 56, sizeof(ret->salt));
	return true;
}

struct frame_keys frame_keys_from(const uint8_t salt[FRAME_SALT_BYTES])
{
	struct frame_keys k = {.seed = gzip_crc32(0, salt, FRAME_SALT_BYTES)};

	for (size_t i = 0; i < FRAME_MAGIC_BYTES; i++)
		k.magic[i] = salt[i] ^ salt[FRAME_MAGIC_BYTES + i] ^ frame_mask[i];
	return k;
}

void frame_encode(const struct frame_keys *k, const struct frame *f, uint8_t *out)
{
	size_t len = f->payload.len;

	REQUIRE(len > 0 && len <= RECORD_PAYLOAD_BYTES_MAX);
	memcpy(out, k->magic, FRAME_MAGIC_BYTES);
	put_u32_le(out + 8, (uint32_t)len | (uint32_t)f->kind << KIND_SHIFT);
	put_u64_le(out + 12, f->seq);
	put_u64_le(out + 20, (uint64_t)f->observed_ns);
	put_u32_le(out + FRAME_CRC_AT, gzip_crc32(k->seed, out, FRAME_CRC_AT));
	memcpy(out + FRAME_HEADER_BYTES, f->payload.data, len);
	put_u32_le(out + FRAME_HEADER_BYTES + len, gzip_crc32(k->seed, f->payload.data, len));
}

void commit_encode(const struct frame_keys *k, const struct commit *c, uint64_t seq,
		   int64_t observed_ns, uint8_t out[COMMIT_FRAME_BYTES])
{
	uint8_t payload[COMMIT_PAYLOAD_BYTES];
	struct frame f = {
		.kind = FRAME_COMMIT,
		.seq = seq,
		.observed_ns = observed_ns,
		.payload = span_of(payload, sizeof(payload)),
	};

	put_u64_le(payload, c->start);
	put_u64_le(payload + 8, c->end);
	put_u64_le(payload + 16, c->count);
	frame_encode(k, &f, out);
}

static bool length_fits_kind(uint32_t kind, size_t len)
{
	if (kind == FRAME_COMMIT)
		return len == COMMIT_PAYLOAD_BYTES;
	return kind == FRAME_RECORD && len > 0 && len <= RECORD_PAYLOAD_BYTES_MAX;
}

enum frame_state frame_decode(const struct frame_keys *k, const uint8_t *bytes, size_t len,
			      struct frame *ret, size_t *ret_bytes)
{
	size_t magic_len = len < FRAME_MAGIC_BYTES ? len : FRAME_MAGIC_BYTES;
	size_t payload_len;
	uint32_t kind;

	if (memcmp(bytes, k->magic, magic_len) != 0)
		return FRAME_BAD;
	if (len < FRAME_HEADER_BYTES) {
		*ret_bytes = FRAME_HEADER_BYTES;
		return FRAME_SHORT;
	}
	if (get_u32_le(bytes + FRAME_CRC_AT) != gzip_crc32(k->seed, bytes, FRAME_CRC_AT))
		return FRAME_BAD;
	payload_len = get_u32_le(bytes + 8) & LENGTH_MASK;
	kind = get_u32_le(bytes + 8) >> KIND_SHIFT;
	if (!length_fits_kind(kind, payload_len))
		return FRAME_BAD;
	*ret_bytes = FRAME_OVERHEAD_BYTES + payload_len;
	if (len < *ret_bytes)
		return FRAME_SHORT;
	if (get_u32_le(bytes + FRAME_HEADER_BYTES + payload_len) !=
	    gzip_crc32(k->seed, bytes + FRAME_HEADER_BYTES, payload_len))
		return FRAME_BAD;
	*ret = (struct frame){
		.kind = kind == FRAME_COMMIT ? FRAME_COMMIT : FRAME_RECORD,
		.seq = get_u64_le(bytes + 12),
		.observed_ns = (int64_t)get_u64_le(bytes + 20),
		.payload = span_of(bytes + FRAME_HEADER_BYTES, payload_len),
		.mark = (uint64_t)get_u32_le(bytes + FRAME_CRC_AT) << CRC_BITS |
			get_u32_le(bytes + FRAME_HEADER_BYTES + payload_len),
	};
	return FRAME_WHOLE;
}

struct commit commit_decode(const struct frame *f)
{
	const uint8_t *at = (const uint8_t *)f->payload.data;

	REQUIRE(f->kind == FRAME_COMMIT && f->payload.len == COMMIT_PAYLOAD_BYTES);
	return (struct commit){
		.start = get_u64_le(at),
		.end = get_u64_le(at + 8),
		.count = get_u64_le(at + 16),
	};
}
