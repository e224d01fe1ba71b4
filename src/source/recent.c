#include "source/recent.h"

#include "base/bytes.h"

#include <stdlib.h>

enum { SLOTS = 2 * RECENT_LINES, KEY_BYTES = 16 }; /* a power of two; half of them stay free */

struct key {
	uint8_t bytes[KEY_BYTES]; /* all 0: a free slot */
};

struct recent {
	struct hasher *hasher;
	struct key *young, *old; /* tables of SLOTS */
	size_t count;            /* in the young one */
};

enum err_kind recent_new(struct recent **ret, struct err *err)
{
	struct recent *r = calloc(1, sizeof(*r));
	enum err_kind rc;

	if (!r)
		return err_set(err, ERR_FATAL, "out of memory for lines that were read");
	r->young = calloc(SLOTS, sizeof(*r->young));
	r->old = calloc(SLOTS, sizeof(*r->old));
	rc = hasher_new(&r->hasher, err);
	if (rc == ERR_NONE && (!r->young || !r->old))
		rc = err_set(err, ERR_FATAL, "out of memory for lines that were read");
	if (rc)
		recent_free(r);
	else
		*ret = r;
	return rc;
}

void recent_free(struct recent *r)
{
	if (!r)
		return;
	hasher_free(r->hasher);
	free(r->young);
	free(r->old);
	free(r);
}

/* Where the key stands, or would. */
static struct key *find(struct key *table, const struct key *key)
{
	static const struct key none;
	uint64_t start = get_u64_le(key->bytes);

	for (size_t i = 0;; i++) {
		struct key *slot = &table[(start + i) % SLOTS];

		REQUIRE(i < SLOTS); /* a table is never full */
		if (memcmp(slot, key, sizeof(*key)) == 0 || memcmp(slot, &none, sizeof(none)) == 0)
			return slot;
	}
}

static enum err_kind make_key(struct recent *r, struct span app, struct span line, struct key *ret,
			      struct err *err)
{
	uint8_t digest[HASH_BYTES];
	enum err_kind rc = hasher_begin(r->hasher, err);

	if (rc)
		return rc;
	hasher_add(r->hasher, app.data, app.len);
	hasher_add(r->hasher, "\n", 1);
	hasher_add(r->hasher, line.data, line.len);
	rc = hasher_end(r->hasher, digest, err);
	if (rc)
		return rc;
	memcpy(ret->bytes, digest, KEY_BYTES);
	ret->bytes[KEY_BYTES - 1] |= 1; /* never that of a free slot */
	return ERR_NONE;
}

enum err_kind recent_look(struct recent *r, struct span app, struct span line, bool *ret_known,
			  struct err *err)
{
	struct key key, *slot;
	enum err_kind rc = make_key(r, app, line, &key, err);

	if (rc)
		return rc;
	slot = find(r->young, &key);
	*ret_known = memcmp(slot, &key, sizeof(key)) == 0;
	if (*ret_known)
		return ERR_NONE;
	*ret_known = memcmp(find(r->old, &key), &key, sizeof(key)) == 0;
	*slot = key;
	if (++r->count < RECENT_LINES)
		return ERR_NONE;
	slot = r->old;
	r->old = r->young;
	r->young = slot;
	r->count = 0;
	memset(r->young, 0, SLOTS * sizeof(*r->young));
	return ERR_NONE;
}
