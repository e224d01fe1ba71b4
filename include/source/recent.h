#ifndef SOURCE_RECENT_H
#define SOURCE_RECENT_H

/*
 * recent: which lines were just read, so that pages that overlap on purpose do
 * not go through the spool twice.
 *
 * Lines are known by a part of their SHA-256, so that no application can print
 * one that hides another. What has been forgotten meanwhile goes through again,
 * which its id makes harmless.
 *
 * Ownership: recent_free() frees.
 * Threads:   one owner.
 * Limits:    the last RECENT_LINES at least, twice as many at most, in 4 MiB.
 */

#include "base/hash.h"

enum { RECENT_LINES = 64 * 1024 };

struct recent;

NODISCARD enum err_kind recent_new(struct recent **ret, struct err *err);
void recent_free(struct recent *r); /* NULL is fine */

/* *ret_known: the line of this application was seen already. It is now, either way. */
NODISCARD enum err_kind recent_look(struct recent *r, struct span app, struct span line,
				    bool *ret_known, struct err *err);

#endif
