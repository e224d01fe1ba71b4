#ifndef WATCH_ACCESS_H
#define WATCH_ACCESS_H

/*
 * access: what the resources that say who has access have in common.
 *
 * People choose names of tokens and peers, and so may choose them long: what is kept
 * of a text is its start, and what is shown in a sentence is less.
 *
 * Ownership: spans lend from what is given, or are constant.
 * Threads:   pure.
 * Errors:    as watch/listing.h.
 */

#include "watch/resource.h"

enum { ACCESS_FIELD_BYTES_MAX = 512, ACCESS_WORD_BYTES_MAX = 100 };

/* watch_set() of no more than ACCESS_FIELD_BYTES_MAX. */
enum err_kind access_set(enum err_kind rc, struct listing *l, struct item *item, size_t field,
			 struct span value, struct err *err);

/* The address of a user, who is a member of an object; empty: there is none. */
struct span access_email(const struct json *object, const char *member);

/* A field as it stands in a sentence. */
struct span access_word(struct span field);

/* Whether a field of an item that was there before is another, and was known. */
bool access_moved(const struct change *c, size_t field);

#endif
