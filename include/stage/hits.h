#ifndef STAGE_HITS_H
#define STAGE_HITS_H

/*
 * hits: the secrets found in one text, and the markers that replace them.
 *
 * A marker is [REDACTED:<kind>]. What it says is none of the text's words any
 * more, and a hit that is nothing but a marker is none: so redacting twice is
 * redacting once.
 *
 * Ownership: hits own their list; the new text lives in the caller's arena.
 * Threads:   one owner at a time.
 * Limits:    HITS_BYTES_MAX; past it, and out of memory, hits_failed().
 */

#include "base/arena.h"
#include "base/buf.h"

/* What was found, the one that says most first. */
enum secret_kind {
#define KIND(name, doc) SECRET_##name,
#include "stage/redact_kinds.def"
#undef KIND
	SECRET_KIND_COUNT
};

enum { HITS_BYTES_MAX = 1024 * 1024 }; /* some 40,000 hits in one text */

struct hit {
	size_t start;
	size_t end;
	enum secret_kind kind;
};

struct hits {
	struct buf list; /* of struct hit */
};

const char *secret_kind_name(enum secret_kind kind);
struct span secret_marker(enum secret_kind kind);

/* Whether the text is a marker and nothing else. */
bool secret_is_marker(struct span text);

/* Whether pos is in the name of a marker. */
bool secret_in_marker(struct span text, size_t pos);

void hits_init(struct hits *h);
void hits_release(struct hits *h);
void hits_reset(struct hits *h);

/* Adds a hit, unless it is empty or a marker. */
void hits_add(struct hits *h, struct span text, const struct hit *hit);
size_t hits_count(const struct hits *h);
struct hit *hits_at(const struct hits *h, size_t i);
bool hits_failed(const struct hits *h);

/* Sorts the hits from the first on and makes one of those that overlap. */
void hits_merge(struct hits *h, size_t first);

/* The text with markers for its merged hits; its data is NULL when there is no room. */
struct span hits_replace(const struct hits *h, struct arena *arena, struct span text);

#endif
