#ifndef SOURCE_UTF16_H
#define SOURCE_UTF16_H

/*
 * utf16: little-endian UTF-16 to UTF-8, piece by piece.
 *
 * Half a surrogate pair becomes its three bytes, which are no UTF-8: the
 * decoder marks the line and keeps them. An odd byte at the end is kept as it
 * is.
 *
 * Threads: none; one owner at a time.
 */

#include "base/utf8.h"

struct utf16 {
	int odd_byte;  /* the first of a unit, -1: none */
	uint32_t high; /* the first of a surrogate pair, 0: none */
};

enum { UTF16_BYTES_OVER = 8 }; /* what may be written beyond twice the bytes that come in */

void utf16_init(struct utf16 *u);

/* Writes to out, which has room for 2 * len + UTF16_BYTES_OVER. Returns the bytes written. */
size_t utf16_add(struct utf16 *u, const uint8_t *bytes, size_t len, char *out);

/* What is left at the end: at most UTF16_BYTES_OVER. */
size_t utf16_end(struct utf16 *u, char *out);

#endif
