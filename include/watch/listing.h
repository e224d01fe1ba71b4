#ifndef WATCH_LISTING_H
#define WATCH_LISTING_H

/*
 * listing: what Fly's control plane says that there is of one resource in one
 * scope: the secrets of an application, the members of the organisation. Each
 * item has a key that names it and, as texts, the fields of the resource's shape.
 * What must not be stored (a value, a digest) is no field, or only its HMAC.
 *
 * A listing is also what a snapshot holds, as JSON: {"KEY":{"field":"text",...}},
 * where an empty field is absent, and an item that the newest answer lacked has
 * "seen_at" and "missing_at" (see watch/differ.h).
 *
 *	listing_init(&l, &shape);
 *	rc = listing_add(&l, key, &item, &err);
 *	rc = listing_set(&l, item, FIELD_role, text, &err);
 *	rc = listing_end(&l, &err);
 *	...read items...
 *	listing_release(&l);
 *
 * Ownership: the listing owns copies of all that it is given. An item lives until the
 *            next listing_add(); items stay in order after listing_end().
 * Threads:   none shared.
 * Limits:    LISTING_ITEMS_MAX items, LISTING_BYTES_MAX for all texts, LISTING_KEY_BYTES_MAX
 *            for a key, LISTING_FIELDS_MAX fields.
 * Errors:    ERR_REJECT: past a limit (then it is full), a key that is empty or no text, a
 *            snapshot that is none. ERR_FATAL: no memory. What was put in before stands.
 *            listing_end() says it of a key that is twice there: the first stays, and then
 *            the listing is a part, which may do.
 */

#include "base/arena.h"
#include "base/buf.h"

enum {
	LISTING_ITEMS_MAX = 3000,
	LISTING_FIELDS_MAX = 16,
	LISTING_KEY_BYTES_MAX = 512,
	LISTING_BYTES_MAX = 16 * 1024 * 1024,
	LISTING_JSON_BYTES_MAX = 4 * LISTING_BYTES_MAX,
};

#define LISTING_NO_TIME INT64_MIN

struct listing_shape {
	const char *const *fields; /* names, none of them "seen_at" or "missing_at" */
	size_t field_count;
};

struct item {
	struct span key;
	size_t order; /* in which it came */
	struct span values[LISTING_FIELDS_MAX];
	/* Of one that the newest answer lacked: the last that had it, and the first that did not.
	 */
	int64_t seen_ns, missing_ns; /* LISTING_NO_TIME: it is there */
};

struct listing {
	const struct listing_shape *shape;
	struct arena arena;
	struct item *items; /* by key, once it has ended */
	size_t count, capacity;
	bool full; /* something had no room */
	bool part; /* something had no name, or that of another: more may be there than is listed */
};

void listing_init(struct listing *l, const struct listing_shape *shape);
void listing_release(struct listing *l);
void listing_reset(struct listing *l); /* empty again, of the same shape */

NODISCARD enum err_kind listing_add(struct listing *l, struct span key, struct item **ret,
				    struct err *err);
NODISCARD enum err_kind listing_set(struct listing *l, struct item *item, size_t field,
				    struct span value, struct err *err);
/* What came since there were so many cannot be told from what is known: it is left out. */
void listing_skip(struct listing *l, size_t count);
/* Nothing more is added: they are put in order. */
NODISCARD enum err_kind listing_end(struct listing *l, struct err *err);

/* Copies an item of a listing of the same shape. */
NODISCARD enum err_kind listing_copy(struct listing *l, const struct item *from, struct item **ret,
				     struct err *err);

/* The same, as one that is there: for what an answer shows only in doubt. */
NODISCARD enum err_kind listing_keep(struct listing *l, const struct item *from, struct err *err);

/* Of a listing that has ended; NULL: it has none of that key. */
const struct item *listing_find(const struct listing *l, struct span key);
/* Of one that has not: each item is looked at. */
struct item *listing_added(const struct listing *l, struct span key);

int item_compare(const struct item *a, const struct item *b); /* by key */
bool item_is_like(const struct item *a, const struct item *b, size_t field_count);

/* Appends it to out, whose buf_check() tells. */
void listing_write(const struct listing *l, struct buf *out);
/* Adds what a snapshot holds; fields that the shape does not have are left out. */
NODISCARD enum err_kind listing_read(struct listing *l, struct span snapshot, struct err *err);

#endif
