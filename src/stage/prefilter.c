#include "stage/prefilter.h"

#include "base/bytes.h"

/* Folds both cases of a letter; what else falls together is told apart by compare(). */
#define FOLD_3_BYTES UINT32_C(0x00dfdfdf)
#define HASH_FACTOR UINT32_C(0x9e3779b1) /* 2^32 / golden ratio: spreads the high bits */

static uint32_t hash(uint32_t three)
{
	return (three & FOLD_3_BYTES) * HASH_FACTOR >> (32 - PREFILTER_HASH_BITS);
}

static uint32_t three_bytes(const char *s)
{
	return (uint32_t)(uint8_t)s[0] | (uint32_t)(uint8_t)s[1] << 8 |
	       (uint32_t)(uint8_t)s[2] << 16;
}

void prefilter_init(struct prefilter *p, const struct prefilter_word *words, size_t count)
{
	REQUIRE(count <= PREFILTER_WORDS_MAX);
	*p = (struct prefilter){.words = words};
	for (size_t i = count; i-- > 0;) {
		uint8_t *head;

		REQUIRE(words[i].text.len >= PREFILTER_WORD_BYTES_MIN);
		head = &p->heads[hash(three_bytes(words[i].text.data))];
		p->next[i] = *head;
		*head = (uint8_t)(i + 1);
	}
}

static bool stands_at(const struct prefilter_word *word, struct span text, size_t pos)
{
	const char *at = text.data + pos;

	if (word->text.len > text.len - pos)
		return false;
	if (!word->any_case)
		return memcmp(at, word->text.data, word->text.len) == 0;
	for (size_t i = 0; i < word->text.len; i++) {
		char c = at[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		if (c != word->text.data[i])
			return false;
	}
	return true;
}

/* The first place from pos on where a word may stand, or text.len. */
static size_t skip_to_candidate(const struct prefilter *p, struct span text, size_t pos)
{
	const char *s = text.data;

	/* Four bytes at a time are read, three are used. */
	for (; pos + 4 <= text.len; pos++) {
		if (p->heads[hash(get_u32_le((const uint8_t *)s + pos))])
			return pos;
	}
	for (; pos + 3 <= text.len; pos++) {
		if (p->heads[hash(three_bytes(s + pos))])
			return pos;
	}
	return text.len;
}

bool prefilter_find(const struct prefilter *p, struct span text, struct prefilter_place *place)
{
	for (;;) {
		while (place->next) {
			const struct prefilter_word *word = &p->words[place->next - 1];

			place->next = p->next[place->next - 1];
			place->word = word;
			if (stands_at(word, text, place->pos))
				return true;
		}
		place->pos = skip_to_candidate(p, text, place->pos + place->begun);
		place->begun = true;
		if (place->pos >= text.len)
			return false;
		place->next = p->heads[hash(three_bytes(text.data + place->pos))];
	}
}
