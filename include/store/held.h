#ifndef STORE_HELD_H
#define STORE_HELD_H

/*
 * held: the holds of the trail, as far as they are of use to who holds its archive.
 *
 * Beside the open ones those that were released in the last HELD_RELEASED_DAYS, for what was
 * held for them alone is to be let go of, and S3 may have been away then. A hold's application
 * and actor are left out: an object of the archive has all of an hour or a day.
 *
 * Ownership: the session is lent for the call.
 * Threads:   one.
 * Limits:    HELD_MAX holds.
 * Errors:    the session's (store/session.h). ERR_FULL: there are more open holds.
 */

#include "model/id.h"
#include "store/session.h"

#include <stdint.h>

enum { HELD_MAX = 1000, HELD_CLASS_BYTES = 32, HELD_RELEASED_DAYS = 30 };

struct held {
	char id[ID_TEXT_BYTES];
	char class[HELD_CLASS_BYTES]; /* "": all */
	int64_t since_ns, until_ns;   /* INT64_MIN, INT64_MAX: it is open there */
	bool is_released;
};

struct held_list {
	struct held holds[HELD_MAX];
	size_t count;
};

NODISCARD enum err_kind held_read(struct session *s, struct held_list *ret, struct err *err);

#endif
