#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_init(struct buf *b, size_t max)
{
	REQUIRE(max > 0 && max < SIZE_MAX / 4);
	*b = (struct buf){.max = max};
}

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = ERR_NONE;
}

/* Makes room for len more bytes and a NUL. */
static bool reserve(struct buf *b, size_t len)
{
	size_t cap = b->cap ? b->cap : BUF_FIRST_BYTES;
	uint8_t *data;

	if (b->failed)
		return false;
	if (len > b->max - b->len) {
		b->failed = ERR_FULL;
		return false;
	}
	if (b->len + len < b->cap)
		return true;
	while (cap <= b->len + len)
		cap *= 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	data = realloc(b->data, cap);
	if (!data) {
		b->failed = ERR_FATAL;
		return false;
	}
	b->data = data;
	b->cap = cap;
	return true;
}

uint8_t *buf_extend(struct buf *b, size_t len)
{
	uint8_t *room;

	if (!reserve(b, len))
		return NULL;
	room = b->data + b->len;
	b->len += len;
	b->data[b->len] = '\0';
	return room;
}

void buf_cut(struct buf *b, size_t len)
{
	if (b->failed)
		return;
	REQUIRE(len <= b->len);
	b->len = len;
	if (b->data)
		b->data[len] = '\0';
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
	uint8_t *room = buf_extend(b, len);

	if (room && len > 0)
		memcpy(room, bytes, len);
}

void buf_span(struct buf *b, struct span s)
{
	buf_add(b, s.data, s.len);
}

void buf_str(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

void buf_u8(struct buf *b, uint8_t v)
{
	buf_add(b, &v, 1);
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list args, again;
	uint8_t *room;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	room = len < 0 ? NULL : buf_extend(b, (size_t)len);
	if (room)
		(void)vsnprintf((char *)room, (size_t)len + 1, fmt, again);
	va_end(again);
}

enum err_kind buf_check(const struct buf *b, struct err *err)
{
	switch (b->failed) {
	case ERR_NONE: return ERR_NONE;
	case ERR_FULL: return err_set(err, ERR_FULL, "more than %zu bytes in one buffer", b->max);
	case ERR_FATAL:
	case ERR_RETRY:
	case ERR_REJECT:
	case ERR_CORRUPT:
	case ERR_CONFIG: break;
	}
	return err_set(err, ERR_FATAL, "out of memory");
}
