#ifndef STAGE_PREFILTER_H
#define STAGE_PREFILTER_H

/*
 * prefilter: finds some hundred words in a text in one pass.
 *
 * Nearly every text holds none, so that pass is what redaction costs. At each
 * byte the next three, letters folded, are hashed into a table that fits the
 * first-level cache; only where it says so is a word compared. x86-64 asks a
 * coarser question first, of 32 places at once: whether the half-bytes of those
 * three are ones that some word of the same group begins with.
 *
 * Ownership: lends the words.
 * Threads:   constant after init.
 * Limits:    PREFILTER_WORDS_MAX words of at least PREFILTER_WORD_BYTES_MIN.
 */

#include "base/span.h"
#include "base/util.h"

enum {
	PREFILTER_WORDS_MAX = 255, /* a word's number plus one fits a byte */
	PREFILTER_WORD_BYTES_MIN = 3,
	PREFILTER_HASH_BITS = 12,
	PREFILTER_HALF_BYTES = 16,
};

struct prefilter_word {
	struct span text; /* lower case where any_case */
	bool any_case;
	uint8_t owner; /* for the caller */
};

struct prefilter {
	const struct prefilter_word *words;
	uint8_t heads[1 << PREFILTER_HASH_BITS]; /* number of the first word, 0: none */
	uint8_t next[PREFILTER_WORDS_MAX];       /* chains words of one hash, likewise */
	/* A bit a group of words: those that have this half-byte in their first, second, third
	 * byte. */
	uint8_t low[PREFILTER_WORD_BYTES_MIN][PREFILTER_HALF_BYTES];
	uint8_t high[PREFILTER_WORD_BYTES_MIN][PREFILTER_HALF_BYTES];
};

/* Where in a text a word stands; begin with {0}. */
struct prefilter_place {
	size_t pos;
	const struct prefilter_word *word;
	uint8_t next; /* further words to compare at pos; 0: go on behind it */
	bool begun;
};

void prefilter_init(struct prefilter *p, const struct prefilter_word *words, size_t count);

/* The next place in order; words at one place come one by one. False: no more. */
bool prefilter_find(const struct prefilter *p, struct span text, struct prefilter_place *place);

#endif
