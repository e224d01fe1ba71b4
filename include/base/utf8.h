#ifndef BASE_UTF8_H
#define BASE_UTF8_H

/*
 * utf8: what is a character and what is not, by RFC 3629: shortest forms only,
 * no surrogates, nothing past U+10FFFF.
 *
 * Threads: pure functions.
 */

#include "base/span.h"

#include <stdint.h>

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Bytes of the character at the start of s: 1 to 4; 0 when there is none. */
size_t utf8_char(struct span s);

/* Characters alone, and no NUL: what a text of Postgres can hold. */
bool utf8_is_text(struct span s);

enum { UTF8_CHAR_BYTES_MAX = 4 };

/* Writes a character, or half a surrogate pair as if it were one. Returns its bytes. */
size_t utf8_write(uint32_t code, char out[UTF8_CHAR_BYTES_MAX]);

/* The longest start of s of at most max bytes that splits no character. */
struct span utf8_cut(struct span s, size_t max);

/* Of a text that was cut anywhere: takes away what a split character left at its end. */
void utf8_end(char *text);

#endif
