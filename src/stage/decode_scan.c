#include "stage/draft.h"
#include "stage/escape.h"

#define PART(before, field)                                                 \
	{                                                                   \
		{before, sizeof(before) - 1}, offsetof(struct draft, field) \
	}

/* What stands before each text in a line of Fly's stream, and where the text goes. */
static const struct part {
	struct span before;
	size_t field; /* offset in struct draft */
} parts[] = {
	PART("{\"event\":{\"provider\":\"", provider),
	PART("},\"fly\":{\"app\":{\"instance\":\"", machine_id),
	PART(",\"name\":\"", app),
	PART("},\"region\":\"", region),
	PART("},\"host\":\"", host),
	PART(",\"log\":{\"level\":\"", level),
	PART("},\"message\":\"", message),
	PART(",\"timestamp\":\"", time),
};

enum { PART_COUNT = ARRAY_LEN(parts), MESSAGE_PART = 6 };

/* A short text of printable ASCII without escapes, up to its quote. */
static bool plain_text(struct span s, struct span *ret)
{
	for (size_t len = 0; len < s.len && len <= RECORD_FIELD_BYTES_MAX; len++) {
		unsigned char c = (unsigned char)s.data[len];

		if (c == '"') {
			*ret = span_of(s.data, len);
			return true;
		}
		if (c < 0x20 || c > 0x7e || c == '\\')
			return false;
	}
	return false;
}

bool scan_nats(struct draft *d, char *line, size_t len)
{
	struct span left = span_of(line, len);
	struct span texts[PART_COUNT];
	bool has_escapes = false;

	for (size_t i = 0; i < PART_COUNT; i++) {
		if (!span_starts(left, parts[i].before))
			return false;
		left = span_after(left, parts[i].before.len);
		texts[i].data = left.data;
		if (i == MESSAGE_PART) {
			if (!escape_text_end(left, &texts[i].len, &has_escapes))
				return false;
		} else if (!plain_text(left, &texts[i])) {
			return false;
		}
		left = span_after(left, texts[i].len + 1);
	}
	if (!span_equal(left, SPAN("}")))
		return false;
	if (has_escapes)
		texts[MESSAGE_PART].len = escape_undo(line + (texts[MESSAGE_PART].data - line),
						      texts[MESSAGE_PART].len);
	for (size_t i = 0; i < PART_COUNT; i++)
		memcpy((char *)d + parts[i].field, &texts[i], sizeof(texts[i]));
	return true;
}
