/*
 * Whatever stands around a token, it is gone; twice is once; valid UTF-8 stays so; and the text
 * grows by no more than its markers. The first byte says where the token is put, the second how:
 * as it is, percent-encoded, or with a byte in its middle that is no UTF-8. The same text is then
 * the message, raw, and an attribute under the name of a secret in a record.
 */

#include "base/utf8.h"
#include "stage/redact.h"

#define HEAD "fm2_EXAMPLEfuzzed"
#define TAIL "EXAMPLEfuzzed"

static const struct span tail = {TAIL, sizeof(TAIL) - 1};

enum { INPUT_BYTES_MAX = 16 * 1024, MARKER_BYTES_MAX = 32 };

/* How the token is written; its last part must not be left. No escape reaches over a new line. */
static const char *const tokens[] = {
	HEAD TAIL,
	"\nfm2%5FEXAMPLE%66uzzed" TAIL,
	"\n" HEAD "\xff" TAIL,
	"\n" HEAD "\xed\xa0\x80" TAIL,
	"\n" HEAD "\\ud800" TAIL,
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static bool holds(struct span text, struct span part)
{
	return text.len > 0 && memmem(text.data, text.len, part.data, part.len) != NULL;
}

static void check_text(struct redactor *redactor, struct arena *arena, struct span text)
{
	unsigned count, again;
	struct span once = redact_text(redactor, arena, text, &count);
	struct span twice = redact_text(redactor, arena, once, &again);

	REQUIRE(count > 0 && once.len > 0);
	REQUIRE(!holds(once, tail));
	REQUIRE(again == 0 && span_equal(once, twice));
	REQUIRE(once.len <= text.len + count * MARKER_BYTES_MAX);
	REQUIRE(!utf8_is_text(text) || utf8_is_text(once));
}

static void check_record(struct redactor *redactor, struct arena *arena, struct span text)
{
	static struct record r;

	memset(&r, 0, sizeof(r));
	r.raw = text;
	r.attr_count = 2;
	r.attrs[0] = (struct attr){.key = SPAN("a.password.0"), .text = text};
	r.attrs[1] = (struct attr){.key = SPAN("b.0"), .text = text};
	redactor_begin_batch(redactor);
	redact(redactor, arena, &r);
	REQUIRE(!holds(r.raw, tail));
	REQUIRE(span_is(r.attrs[0].text, "[REDACTED:password]"));
	REQUIRE(!utf8_is_text(text) || !holds(r.attrs[1].text, tail));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct redactor *redactor;
	static char line[INPUT_BYTES_MAX + 64];
	struct span text, token;
	struct arena arena;
	struct err err;
	size_t at, rest;

	/* An input that has found the words out proves nothing. */
	if (len < 2 || len > INPUT_BYTES_MAX || holds(span_of(bytes, len), tail))
		return 0;
	if (!redactor)
		REQUIRE(redactor_new(&redactor, &err) == ERR_NONE);
	token = span_text(tokens[bytes[1] % ARRAY_LEN(tokens)]);
	at = (len - 2) * bytes[0] / UINT8_MAX;
	rest = len - 2 - at;
	memcpy(line, bytes + 2, at);
	memcpy(line + at, token.data, token.len);
	memcpy(line + at + token.len, bytes + 2 + at, rest);
	text = span_of(line, len - 2 + token.len);
	arena_init(&arena, 16 * 1024 * 1024);
	/* The text of a message is UTF-8: what is none is looked for in raw alone. */
	if (utf8_is_text(token))
		check_text(redactor, &arena, text);
	check_record(redactor, &arena, text);
	arena_release(&arena);
	return 0;
}
