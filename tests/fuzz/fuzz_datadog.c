/* What any payload is as a log of Datadog's is one JSON object, and within its bounds. */

#include "base/json.h"
#include "sink/datadog_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct record scratch;
	struct json *json;
	int64_t occurred_ns;
	struct err err;
	struct buf out;

	buf_init(&out, DATADOG_LOG_ROOM_BYTES);
	if (datadog_log_write(span_of(bytes, len), &scratch, &out, &occurred_ns, &err)) {
		REQUIRE(err.kind == ERR_CORRUPT);
	} else {
		REQUIRE(out.len <= DATADOG_LOG_BYTES_MAX);
		REQUIRE(json_parse(&json, span_of(out.data, out.len), &err) == ERR_NONE);
		REQUIRE(json_type(json) == JSON_OBJECT && json_member(json, "message"));
		json_free(json);
	}
	buf_release(&out);
	return 0;
}
