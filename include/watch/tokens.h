#ifndef WATCH_TOKENS_H
#define WATCH_TOKENS_H

/*
 * tokens: until when flytrail's own are good, by the snapshot of the organisation's tokens
 * (watch/tokens.c). Which of them this process uses Fly does not say: its own are those whose
 * name begins with "flytrail".
 *
 * Ownership: nothing is kept.
 * Threads:   pure.
 * Limits:    those of watch/listing.h.
 * Errors:    as listing_read().
 */

#include "base/err.h"
#include "base/span.h"

/* The first that ends after now_ns and is not revoked; LISTING_NO_TIME: there is none. */
NODISCARD enum err_kind tokens_own_end(struct span snapshot, int64_t now_ns, int64_t *ret_ns,
				       struct err *err);

#endif
