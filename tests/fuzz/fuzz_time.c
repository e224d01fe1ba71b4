/* No text crashes time_parse(), and what it reads is written as the same moment. */

#include "base/time.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char text[TIME_TEXT_BYTES];
	unsigned digits, digits_again;
	int64_t ns, again;

	if (!time_parse(span_of(bytes, len), true, &ns, &digits)) {
		REQUIRE(!time_parse(span_of(bytes, len), false, &ns, &digits));
		return 0;
	}
	REQUIRE(time_parse(span_text(time_format(ns, text)), false, &again, &digits_again));
	REQUIRE(again == ns && digits_again == 9);
	return 0;
}
