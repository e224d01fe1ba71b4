#ifndef SUPPORT_SECRETS_H
#define SUPPORT_SECRETS_H

/*
 * secrets: the made-up secrets of tests/data/secrets.txt, and whether anything
 * of one is left in a text.
 *
 * Threads: constant after secrets_load().
 */

#include "base/span.h"

enum { SECRETS_MAX = 128, SECRET_PIECE_BYTES = 12 };

struct secret {
	struct span kind;
	struct span secret;
	struct span text; /* what it stands in, which holds it once */
};

/* Read once; fails the test when the file is not there. */
const struct secret *secrets_load(size_t *ret_count);

/* Whether text holds the secret, or SECRET_PIECE_BYTES of it, as it is or under escapes and
 * colours. */
bool secret_is_in(struct span secret, struct span text);

#endif
