#ifndef WATCH_FLAT_H
#define WATCH_FLAT_H

/*
 * flat: a part of a machine's config as one line of text that can be compared and shown.
 *
 *	cpu_kind=shared cpus=1 memory_mb=256
 *	LOG_LEVEL#1a2b3c4d:0123456789abcdef TOKEN#1a2b3c4d:fedcba9876543210
 *
 * Each value has the path to it, in the order of paths, whatever Fly's order is. Behind '=' stands
 * the value, where the caller says that it may be shown; behind '#' the beginning of its HMAC
 * (watch/api.h), or nothing where there is no key. What does not fit in FLAT_BYTES_MAX, or is more
 * than FLAT_VALUES_MAX, is one more HMAC at the end, whose path is "~".
 *
 * Threads:   none shared.
 * Limits:    FLAT_BYTES_MAX of text, which is printable ASCII without quotes, so that JSON of it
 *            is as long.
 * Errors:    ERR_FATAL: no memory, or no HMAC. ERR_REJECT: two values of one path.
 */

#include "base/buf.h"
#include "base/json.h"
#include "watch/api.h"

enum { FLAT_BYTES_MAX = 1800, FLAT_VALUES_MAX = 2000 };

struct flat;

struct flat_options {
	const struct watch_api *api;
	bool (*may_show)(struct span path); /* NULL: nothing may be shown */
};

NODISCARD enum err_kind flat_new(struct flat **ret, const struct flat_options *options,
				 struct err *err);
void flat_free(struct flat *f); /* NULL is fine */

/* Adds all that is in a value, by paths that begin with `name`, where it is not empty. NULL:
 * nothing. */
NODISCARD enum err_kind flat_add(struct flat *f, struct span name, const struct json *value,
				 struct err *err);

/* The text of all that was added, in out, which has room for it. Nothing is added after it. */
NODISCARD enum err_kind flat_write(struct flat *f, struct buf *out, struct err *err);

/*
 * The paths whose values differ for sure between two texts, in out with ", " between, until `room`
 * bytes are in it. Returns how many differ.
 */
size_t flat_differences(struct span before, struct span after, size_t room, struct buf *out);

#endif
