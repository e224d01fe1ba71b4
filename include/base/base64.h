#ifndef BASE_BASE64_H
#define BASE_BASE64_H

/*
 * base64: bytes as text, in the alphabet and with the padding of RFC 4648, 4.
 *
 * Threads: pure functions.
 */

#include "base/buf.h"
#include "base/span.h"
#include "base/util.h"

#define BASE64_BYTES(len) (((len) + 2) / 3 * 4) /* of len bytes as text */

/* Appends to out, whose buf_check() tells. */
void base64_write(struct buf *out, struct span bytes);

/*
 * Appends the bytes that the text stands for to out, whose buf_check() tells. False: it is no such
 * text, to the last bit, and out is as it was.
 */
NODISCARD bool base64_read(struct buf *out, struct span text);

#endif
