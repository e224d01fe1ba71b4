/* No bytes crash record_decode(), and what it accepts encodes back to the same bytes. */

#include "model/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* record_encode() writes attributes from attrs; put the decoded text in as it is. */
static void encode(struct record *r, struct buf *out)
{
	struct span attributes = r->attributes;

	record_encode(r, out);
	buf_cut(out, out->len - 4);
	buf_u8(out, (uint8_t)attributes.len);
	buf_u8(out, (uint8_t)(attributes.len >> 8));
	buf_u8(out, (uint8_t)(attributes.len >> 16));
	buf_u8(out, (uint8_t)(attributes.len >> 24));
	buf_span(out, attributes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct record r;
	struct err err;
	struct buf b;

	if (record_decode(span_of(bytes, len), &r, &err)) {
		REQUIRE(err.kind == ERR_CORRUPT);
		return 0;
	}
	buf_init(&b, 2 * len + RECORD_PAYLOAD_BYTES_MAX);
	encode(&r, &b);
	REQUIRE(!b.failed && b.len == len && memcmp(b.data, bytes, len) == 0);
	buf_release(&b);
	return 0;
}
