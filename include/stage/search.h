#ifndef STAGE_SEARCH_H
#define STAGE_SEARCH_H

/*
 * search: finds the secrets in one text.
 *
 * The kinds stand in redact_kinds.def, what they look like in
 * redact_patterns.def. A pattern is tried where the prefilter sees one of its
 * words, and there alone. A text is searched as it is and in its plain
 * forms (stage/plain.h).
 *
 * Ownership: hits are the searcher's, and lent until it is asked again.
 * Threads:   a searcher belongs to one thread.
 * Limits:    an attempt takes a bounded number of steps a byte, and no byte is
 *            walked over again and again.
 * Errors:    ERR_FATAL, when made, if a pattern does not compile or memory is
 *            out.
 */

#include "base/err.h"
#include "stage/hits.h"

struct searcher;

NODISCARD enum err_kind searcher_new(struct searcher **ret, struct err *err);
void searcher_free(struct searcher *s); /* NULL is fine */

/*
 * The hits in a text, in order, none overlapping; known is one found before, or
 * NULL. NULL: the text could not be searched (no memory, a limit was hit).
 */
const struct hits *searcher_find(struct searcher *s, struct span text, const struct hit *known);

/* The same in what need not be UTF-8. */
const struct hits *searcher_find_in_bytes(struct searcher *s, struct span bytes);

/* Whether a text that was searched holds "-----BEGIN", since this was last asked. */
bool searcher_saw_pem(struct searcher *s);

/* Whether a text has nothing that a secret could be found by: what costs least to ask. */
bool searcher_can_skip(const struct searcher *s, struct span text);

const char *searcher_library_version(void); /* of PCRE2 */

#endif
