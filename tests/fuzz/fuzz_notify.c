/* What any text is in a message does nothing on Slack, and any event's message is within bounds. */

#include "base/json.h"
#include "base/utf8.h"
#include "sink/notify_message.h"
#include "sink/notify_plain.h"

enum { SHOWN_BYTES_MAX = 600 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_plain(struct span given)
{
	struct buf out;
	struct span shown;

	buf_init(&out, SHOWN_BYTES_MAX);
	(void)notify_plain(given, SHOWN_BYTES_MAX, &out);
	REQUIRE(!out.failed);
	shown = out.len > 0 ? span_of(out.data, out.len) : SPAN("");
	REQUIRE(utf8_is_text(shown));
	for (size_t i = 0; i < shown.len; i++) {
		struct span left = span_after(shown, i);

		REQUIRE((uint8_t)shown.data[i] >= ' ' && shown.data[i] != 0x7f);
		REQUIRE(!strchr("<>`", shown.data[i]));
		REQUIRE(shown.data[i] != '&' || span_starts(left, SPAN("&amp;")) ||
			span_starts(left, SPAN("&lt;")) || span_starts(left, SPAN("&gt;")));
		REQUIRE(!span_starts(left, SPAN("\xe2\x80\xae")));
		REQUIRE(!span_starts(left, SPAN("://")) || (i > 0 && shown.data[i - 1] == '['));
	}
	buf_release(&out);
}

static void check_message(const struct event *e, enum notify_kind kind)
{
	static struct notify_message m;
	struct json *json;
	struct span body;
	struct err err;

	notify_message_init(&m, kind);
	notify_message_begin(&m, SPAN("example-org"));
	for (int i = 0; i < 3 && !notify_message_is_full(&m); i++)
		notify_message_add(&m, e);
	REQUIRE(notify_message_end(&m, &body, &err) == ERR_NONE);
	/* What the attributes are is not looked at: Postgres holds nothing else than JSON there. */
	if (kind == NOTIFY_SLACK) {
		REQUIRE(json_parse(&json, body, &err) == ERR_NONE);
		json_free(json);
	}
	notify_message_release(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct event e;
	struct err err;

	check_plain(span_of(bytes, len));
	if (event_decode(span_of(bytes, len), &e, &err))
		return 0;
	check_message(&e, NOTIFY_SLACK);
	check_message(&e, NOTIFY_WEBHOOK);
	return 0;
}
