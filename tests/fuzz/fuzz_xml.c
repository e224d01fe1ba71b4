/* No bytes crash xml_read(), and what it tells is within its bounds and out of the document. */

#include "base/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct told {
	size_t elements, text_bytes;
};

static void element(void *arg, struct span path, struct span text)
{
	struct told *t = arg;

	REQUIRE(path.len > 0 && path.len <= XML_TEXT_BYTES_MAX);
	REQUIRE(text.len <= XML_TEXT_BYTES_MAX);
	t->elements++;
	t->text_bytes += text.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct told told = {.elements = 0};
	const struct xml_calls calls = {.element = element, .arg = &told};
	struct err err;
	enum err_kind rc = xml_read(span_of(bytes, len), &calls, &err);

	REQUIRE(rc == ERR_NONE || rc == ERR_REJECT);
	REQUIRE(told.elements <= len && told.text_bytes <= len);
	return 0;
}
