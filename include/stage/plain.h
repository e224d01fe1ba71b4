#ifndef STAGE_PLAIN_H
#define STAGE_PLAIN_H

/*
 * plain: a text as it reads, without colours and with its escapes undone.
 *
 * A secret may be hidden from a search by a colour or a NUL in its middle, or by
 * the escapes of a line that was not decoded ("fm2\u005f...", "postgres:\/\/"),
 * or by the encoding of URLs ("postgres%3A%2F%2F").
 * The plain form is searched as well, and what is found there is led back to
 * the bytes of the text it came from.
 *
 * NUL, bytes that are no UTF-8, halves of surrogate pairs, and U+FFFD, which
 * stands for them in a message, are left out.
 * Undone are terminal sequences that begin with ESC [, written as they are or
 * as \u001b, \x1b, \033, \e; \u00XX and \xXX below 128; \/ \n \r \t. A run of
 * backslashes counts as one, because escapes nest. \" stays.
 *
 * At a depth above 0 %XX below 128 is undone, too, as often as the depth says
 * (%2540), also where its characters are escaped themselves. Each depth is a
 * form of its own, since a password with %20 in it is one word until that is
 * undone.
 *
 * Threads: pure functions.
 * Limits:  a plain form is never longer than its text.
 */

#include "model/batch.h"

enum {
	PLAIN_DEPTH_MAX = 3,
	PLAIN_BYTES_MAX = 3 * RAW_BYTES_MAX, /* of a line whose bytes all became U+FFFD */
	PLAIN_KEEP_BYTES = 64 * 1024,        /* of the memory for it, from text to text */
};

/* Whether the next depth makes another form of one that was written. */
bool plain_has_percent(struct span text);

/* False: the text, where it is valid UTF-8, is its own plain form at depth 0. */
bool plain_differs(struct span text);

/* Appends the plain form to out, whose buf_check() tells. */
void plain_write(struct span text, unsigned depth, struct buf *out);

/* Leads places in the plain form back to its text; begin with {.depth}, ask in rising order. */
struct plain_walk {
	unsigned depth;
	size_t text_pos;
	size_t plain_pos;
};

/* Where the element that the plain byte at plain_pos belongs to begins, and where it ends. */
void plain_origin(struct plain_walk *w, struct span text, size_t plain_pos, size_t *ret_start,
		  size_t *ret_end);

#endif
