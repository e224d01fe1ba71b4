#ifndef BASE_BUF_H
#define BASE_BUF_H

/*
 * buf: a growing byte buffer with a hard ceiling and a sticky failure.
 *
 * Appends need no checking one by one: after the first that fails (ceiling or
 * memory) the buffer stays failed and later appends do nothing. Check once,
 * with buf_check(), before the bytes are used.
 *
 * Ownership: buf owns data. Pointers into it die at the next append.
 * Threads:   none; one owner at a time.
 * Limits:    max bytes, given at init.
 * Errors:    ERR_FULL at the ceiling, ERR_FATAL out of memory.
 *
 *	struct buf b;
 *	buf_init(&b, LINE_BYTES_MAX);
 *	buf_str(&b, "app=");
 *	buf_add(&b, app.data, app.len);
 *	rc = buf_check(&b, err);
 *	...
 *	buf_release(&b);
 */

#include "base/err.h"
#include "base/span.h"

struct buf {
	uint8_t *data; /* NUL-terminated when not empty; may hold NULs inside */
	size_t len;
	size_t cap;
	size_t max;
	enum err_kind failed;
};

void buf_init(struct buf *b, size_t max); /* allocates nothing */
void buf_release(struct buf *b);          /* frees; b is as after buf_init */
void buf_reset(struct buf *b);            /* empties and heals, keeps the memory */

void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_span(struct buf *b, struct span s);
void buf_str(struct buf *b, const char *text);
void buf_fmt(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_u8(struct buf *b, uint8_t v);

/* Room for len bytes at the end, for the caller to fill; NULL when the buffer failed. */
uint8_t *buf_extend(struct buf *b, size_t len);

/* Keeps the first len bytes; nothing on a failed buffer. */
void buf_cut(struct buf *b, size_t len);

NODISCARD enum err_kind buf_check(const struct buf *b, struct err *err);

#endif
