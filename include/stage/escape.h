#ifndef STAGE_ESCAPE_H
#define STAGE_ESCAPE_H

/*
 * escape: the escapes in JSON texts, with those that no UTF-8 can say.
 *
 * base/json.h reads \u0000 and half a surrogate pair as U+FFFD, but the record
 * of a line keeps what came. So before a line goes to base/json.h,
 * escape_protect() puts stand-ins in their place, and escape_restore() takes
 * them out of the texts that come back:
 *
 *	\u0000, byte 00          FF 02
 *	half a surrogate pair    its three bytes, ED A0..BF 80..BF
 *	byte FF                  FF 01
 *
 * No UTF-8 has a byte FF, so stand-ins are never taken for text.
 *
 * Threads: pure but for the arena.
 */

#include "base/arena.h"

#include <stdint.h>

/*
 * Reads the escape at the start of s, a pair of surrogates as one character.
 * Half a pair is its code unit. False: no escape that JSON has.
 */
NODISCARD bool escape_read(struct span s, size_t *ret_len, uint32_t *ret_code);

/*
 * Finds the closing quote of a text, of which s is what follows the opening
 * one. False: there is none, or a bad escape before it.
 */
NODISCARD bool escape_text_end(struct span s, size_t *ret_len, bool *ret_has_escapes);

/* Undoes the escapes in place, all of them good. Returns the new length, never more. */
size_t escape_undo(char *text, size_t len);

/*
 * A copy of line with stand-ins, or line itself where nothing needs one. Bad
 * escapes stay, for the parser to refuse. data is NULL without memory.
 */
NODISCARD struct span escape_protect(struct arena *arena, struct span line);

/* A copy of text without stand-ins; data NULL without memory. */
NODISCARD struct span escape_restore(struct arena *arena, struct span text);

#endif
