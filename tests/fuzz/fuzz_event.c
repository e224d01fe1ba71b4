/* No bytes crash event_decode(), and what it accepts encodes back to the same bytes. */

#include "model/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct event e;
	struct err err;
	struct buf b;

	if (event_decode(span_of(bytes, len), &e, &err)) {
		REQUIRE(err.kind == ERR_CORRUPT);
		return 0;
	}
	buf_init(&b, 2 * len + RECORD_PAYLOAD_BYTES_MAX);
	event_encode(&e, &b);
	REQUIRE(!b.failed && b.len == len && memcmp(b.data, bytes, len) == 0);
	buf_release(&b);
	return 0;
}
