/* No bytes crash the text form of decode(), what comes out fits the columns, and nothing is lost.
 */

#include "base/utf8.h"
#include "stage/decode.h"

enum {
	ARENA_BYTES_MAX = 64 * 1024 * 1024,
	FIELDS_MAX = 6, /* that flyctl prints */
	MARKS_MAX = 3,  /* fields_in_raw, time, claimed_time */
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct batch *batch;
	static struct arena arena;
	static struct record r;
	struct decode_context ctx = {.arena = &arena, .org = SPAN("o"), .app = SPAN("a")};
	struct span line = span_of(bytes, len), came;
	struct err err;
	struct raw *raw;

	if (!batch) {
		enum err_kind rc = batch_new(&batch, &err);

		REQUIRE(rc == ERR_NONE);
		arena_init(&arena, ARENA_BYTES_MAX);
	}
	arena_reset(&arena);
	batch_reset(batch);
	raw = batch_add(batch, SPAN(""), line);
	REQUIRE(raw != NULL);
	raw->form = RAW_FLY_TEXT;
	decode(&ctx, batch, raw, &r);

	REQUIRE(utf8_is_text(r.message));
	REQUIRE(r.message.len == 0 || !memchr(r.message.data, '\0', r.message.len));
	REQUIRE(r.region.len == 0 || r.region.len == 3);
	REQUIRE(r.attr_count <= FIELDS_MAX + MARKS_MAX);
	came = r.raw.data ? r.raw : r.message;
	if (r.decoded)
		REQUIRE(came.len == 0 || memmem(line.data, line.len, came.data, came.len));
	else
		REQUIRE(span_equal(came, line));
	return 0;
}
