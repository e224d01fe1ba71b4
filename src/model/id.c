#include "model/id.h"

#include "base/bytes.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	ID_SHORT_BYTES = 1024, /* a line up to here is hashed in one call; nearly all are */
	UUID_VERSION_HASHED = 8,
	UUID_VERSION_RANDOM = 4,
	BEYOND_ROW_BYTE = 8, /* the digit behind the third dash: a or b, not 8 or 9 */
	BEYOND_ROW_BIT = 0x20,
};

static const struct span line_domain = {"flytrail line 1\n", 16};
static const struct span event_domain = {"flytrail event 1\n", 17};

static void set_version(struct id *id, unsigned version)
{
	id->bytes[6] = (uint8_t)((id->bytes[6] & 0x0f) | version << 4);
	id->bytes[8] = (uint8_t)((id->bytes[8] & 0x3f) | 0x80);
}

static void add_part(struct hasher *h, struct span part)
{
	uint8_t len[4];

	put_u32_be(len, (uint32_t)part.len);
	hasher_add(h, len, sizeof(len));
	hasher_add(h, part.data, part.len);
}

static enum err_kind finish(struct hasher *h, bool beyond_row, struct id *ret, struct err *err)
{
	uint8_t digest[HASH_BYTES];
	enum err_kind rc = hasher_end(h, digest, err);

	if (rc)
		return rc;
	memcpy(ret->bytes, digest, ID_BYTES);
	set_version(ret, UUID_VERSION_HASHED);
	ret->bytes[BEYOND_ROW_BYTE] &= (uint8_t)~BEYOND_ROW_BIT;
	if (beyond_row)
		ret->bytes[BEYOND_ROW_BYTE] |= BEYOND_ROW_BIT;
	return ERR_NONE;
}

static uint8_t *put_bytes(uint8_t *at, struct span s)
{
	if (s.len > 0)
		memcpy(at, s.data, s.len);
	return at + s.len;
}

static uint8_t *put_part(uint8_t *at, struct span part)
{
	put_u32_be(at, (uint32_t)part.len);
	return put_bytes(at + 4, part);
}

/* What every line's id begins with. A call to libcrypto costs as much as hashing a hundred
 * bytes, so a line of ordinary length is put together first. */
static void add_line(struct hasher *h, const struct id_parts *line)
{
	const size_t numbers_len = 3 * 4 + 8; /* three lengths and the time */
	NOT_CLEARED uint8_t bytes[ID_SHORT_BYTES];
	uint8_t time[8];
	uint8_t *at = bytes;

	put_u64_be(time, (uint64_t)line->occurred_ns);
	if (line_domain.len + line->app.len + line->instance.len + line->message.len +
		    numbers_len <=
	    sizeof(bytes)) {
		at = put_bytes(at, line_domain);
		at = put_part(at, line->app);
		at = put_part(at, line->instance);
		at = put_part(at, line->message);
		at = put_bytes(at, span_of(time, sizeof(time)));
		hasher_add(h, bytes, (size_t)(at - bytes));
		return;
	}
	hasher_add(h, line_domain.data, line_domain.len);
	add_part(h, line->app);
	add_part(h, line->instance);
	add_part(h, line->message);
	hasher_add(h, time, sizeof(time));
}

enum err_kind id_line(struct hasher *h, const struct id_parts *line, struct id *ret,
		      struct err *err)
{
	const struct id_extra *extra = line->extra;
	uint8_t ordinal[8], file[8];
	enum err_kind rc = hasher_begin(h, err);

	if (rc)
		return rc;
	add_line(h, line);
	if (extra) {
		put_u64_be(ordinal, extra->ordinal);
		add_part(h, extra->source);
		add_part(h, extra->raw);
		hasher_add(h, ordinal, sizeof(ordinal));
		put_u64_be(file, extra->file);
		hasher_add(h, file, extra->file ? sizeof(file) : 0);
	}
	return finish(h, extra || line->beyond_row, ret, err);
}

bool id_is_beyond_row(const struct id *id)
{
	return (id->bytes[BEYOND_ROW_BYTE] & BEYOND_ROW_BIT) != 0;
}

enum err_kind id_event(struct hasher *h, const struct span *parts, size_t count, struct id *ret,
		       struct err *err)
{
	enum err_kind rc = hasher_begin(h, err);

	if (rc)
		return rc;
	hasher_add(h, event_domain.data, event_domain.len);
	for (size_t i = 0; i < count; i++)
		add_part(h, parts[i]);
	return finish(h, true, ret, err);
}

struct span id_number(int64_t n, char text[ID_NUMBER_BYTES])
{
	int len = snprintf(text, ID_NUMBER_BYTES, "%" PRId64, n);

	return span_of(text, (size_t)len);
}

enum err_kind id_random(struct id *ret, struct err *err)
{
	struct id id;
	enum err_kind rc = hash_random(id.bytes, sizeof(id.bytes), err);

	if (rc)
		return rc;
	set_version(&id, UUID_VERSION_RANDOM);
	*ret = id;
	return ERR_NONE;
}

/* A UUID's text has a dash before these bytes. */
static bool dash_before(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

const char *id_format(const struct id *id, char text[ID_TEXT_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	char *at = text;

	for (size_t i = 0; i < ID_BYTES; i++) {
		if (dash_before(i))
			*at++ = '-';
		*at++ = digits[id->bytes[i] >> 4];
		*at++ = digits[id->bytes[i] & 0x0f];
	}
	*at = '\0';
	return text;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool id_parse(struct span text, struct id *ret)
{
	struct id id;
	const char *at = text.data;

	if (text.len != ID_TEXT_BYTES - 1)
		return false;
	for (size_t i = 0; i < ID_BYTES; i++) {
		int high, low;

		if (dash_before(i) && *at++ != '-')
			return false;
		high = hex_value(*at++);
		low = hex_value(*at++);
		if (high < 0 || low < 0)
			return false;
		id.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*ret = id;
	return true;
}

int id_compare(const struct id *a, const struct id *b)
{
	return memcmp(a->bytes, b->bytes, ID_BYTES);
}
