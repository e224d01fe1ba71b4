#ifndef SERVE_TOKEN_H
#define SERVE_TOKEN_H

/*
 * token: whether who asks may see /status.
 *
 * The comparison takes as long whatever is wrong with what was sent, so that
 * nobody finds the token by trying it byte by byte.
 *
 * Threads: a pure function.
 */

#include "base/util.h"

/* header: the value of Authorization, NULL: none was sent. token "": everybody may. */
bool token_admits(const char *token, const char *header);

#endif
