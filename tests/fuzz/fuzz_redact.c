/*
 * Whatever stands around a token, it is gone; twice is once; valid UTF-8 stays so; and the text
 * grows by no more than its markers. The first byte says where the token is put.
 */

#include "base/utf8.h"
#include "stage/redact.h"

#define PIECE "EXAMPLEfuzzedEXAMPLE"

enum { INPUT_BYTES_MAX = 16 * 1024, MARKER_BYTES_MAX = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct redactor *redactor;
	static char line[INPUT_BYTES_MAX + 64];
	struct span text, once, twice;
	struct arena arena;
	struct err err;
	size_t at, rest;
	unsigned count, again;

	/* An input that has found the words out proves nothing. */
	if (len == 0 || len > INPUT_BYTES_MAX || memmem(bytes, len, PIECE, sizeof(PIECE) - 1))
		return 0;
	if (!redactor)
		REQUIRE(redactor_new(&redactor, &err) == ERR_NONE);
	at = (len - 1) * bytes[0] / UINT8_MAX;
	rest = len - 1 - at;
	memcpy(line, bytes + 1, at);
	memcpy(line + at, "fm2_" PIECE, sizeof("fm2_" PIECE) - 1);
	memcpy(line + at + sizeof("fm2_" PIECE) - 1, bytes + 1 + at, rest);
	text = span_of(line, len - 1 + sizeof("fm2_" PIECE) - 1);
	arena_init(&arena, 16 * 1024 * 1024);
	once = redact_text(redactor, &arena, text, &count);
	twice = redact_text(redactor, &arena, once, &again);
	REQUIRE(count > 0 && once.len > 0);
	REQUIRE(!memmem(once.data, once.len, PIECE, sizeof(PIECE) - 1));
	REQUIRE(again == 0 && span_equal(once, twice));
	REQUIRE(once.len <= text.len + count * MARKER_BYTES_MAX);
	REQUIRE(!utf8_is_text(text) || utf8_is_text(once));
	arena_release(&arena);
	return 0;
}
