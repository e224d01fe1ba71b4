/*
 * No message crashes classify(), nothing inside a machine gets more than a guest's trust, and what
 * is made of it goes through the spool's format and back. The first byte chooses the provider.
 */

#include "stage/classify.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char *const providers[] = {"app", "", "runner", "proxy", "health"};
	static const char *const levels[] = {"info", "", "error"};
	static struct record r, back;
	struct arena arena;
	struct buf payload;
	struct err err;

	if (len == 0)
		return 0;
	arena_init(&arena, 1024 * 1024);
	buf_init(&payload, RECORD_PAYLOAD_BYTES_MAX);
	r = (struct record){.provider = span_text(providers[bytes[0] % ARRAY_LEN(providers)]),
			    .level = span_text(levels[bytes[0] / 16 % ARRAY_LEN(levels)]),
			    .message = span_of(bytes + 1, len - 1)};
	classify(&arena, &r);
	if (r.class != CLASS_app_log && bytes[0] % ARRAY_LEN(providers) < 2)
		REQUIRE(r.finding.trust == TRUST_GUEST);
	REQUIRE(action_class(r.action) == r.class);
	record_encode(&r, &payload);
	REQUIRE(buf_check(&payload, &err) == ERR_NONE);
	REQUIRE(record_decode(span_of(payload.data, payload.len), &back, &err) == ERR_NONE);
	REQUIRE(back.class == r.class && back.action == r.action);
	buf_release(&payload);
	arena_release(&arena);
	return 0;
}
