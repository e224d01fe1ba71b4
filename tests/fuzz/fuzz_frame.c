/* No bytes crash frame_decode(), and what it accepts encodes back to the same bytes. */

#include "base/bytes.h"
#include "base/gzip.h"
#include "spool/frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const uint8_t salt[FRAME_SALT_BYTES] = "0123456789abcde";

/* Makes magic and checks right, so that more than the first check is reached. */
static void sign(const struct frame_keys *k, uint8_t *bytes, size_t len)
{
	size_t payload_len;

	if (len < FRAME_HEADER_BYTES)
		return;
	memcpy(bytes, k->magic, FRAME_MAGIC_BYTES);
	put_u32_le(bytes + 28, gzip_crc32(k->seed, bytes, 28));
	payload_len = get_u32_le(bytes + 8) & 0xffffff;
	if (len >= FRAME_OVERHEAD_BYTES + payload_len)
		put_u32_le(bytes + FRAME_HEADER_BYTES + payload_len,
			   gzip_crc32(k->seed, bytes + FRAME_HEADER_BYTES, payload_len));
}

static void check(const struct frame_keys *k, const uint8_t *bytes, size_t len)
{
	struct frame f;
	size_t used = 0;
	uint8_t *again;

	if (frame_decode(k, bytes, len, &f, &used) != FRAME_WHOLE)
		return;
	REQUIRE(used <= len && f.payload.len == used - FRAME_OVERHEAD_BYTES);
	again = malloc(used);
	REQUIRE(again);
	frame_encode(k, &f, again);
	REQUIRE(memcmp(again, bytes, used) == 0);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct frame_keys k = frame_keys_from(salt);
	uint8_t *signed_bytes = malloc(len + 1);

	REQUIRE(signed_bytes);
	check(&k, bytes, len);
	memcpy(signed_bytes, bytes, len);
	sign(&k, signed_bytes, len);
	check(&k, signed_bytes, len);
	free(signed_bytes);
	return 0;
}
