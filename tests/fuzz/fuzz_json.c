/* No bytes crash json_parse(), and every text that it gives can be written and read again. */

#include "base/json.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void write_and_read(struct span text)
{
	struct json *again = NULL;
	struct err err;
	struct buf b;

	buf_init(&b, 6 * text.len + 2);
	json_write_text(&b, text);
	REQUIRE(!b.failed);
	REQUIRE(utf8_is_text(span_of(b.data, b.len)));
	REQUIRE(json_parse(&again, span_of(b.data, b.len), &err) == ERR_NONE);
	REQUIRE(!utf8_is_text(text) || span_equal(json_text(again), text));
	json_free(again);
	buf_release(&b);
}

static void visit(const struct json *v, unsigned depth)
{
	REQUIRE(depth <= JSON_DEPTH_MAX);
	write_and_read(json_key(v));
	if (json_type(v) == JSON_TEXT)
		write_and_read(json_text(v));
	for (const struct json *child = json_first(v); child; child = json_next(child))
		visit(child, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct json *root = NULL;
	struct err err;

	write_and_read(len > 0 ? span_of(bytes, len) : SPAN(""));
	if (json_parse(&root, span_of(bytes, len), &err))
		return 0;
	visit(root, 0);
	json_free(root);
	return 0;
}
