#include "stage/prefilter.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

static void add_half_bytes(struct prefilter *p, size_t place, uint8_t group, unsigned char c)
{
	p->low[place][c & 0x0f] |= group;
	p->high[place][c >> 4] |= group;
}

/* Words of one group begin with one of few bytes, so that few others look like them. */
static void add_to_group(struct prefilter *p, const struct prefilter_word *word)
{
	uint8_t group = (uint8_t)(1 << (word->text.data[0] & 7));

	for (size_t i = 0; i < PREFILTER_WORD_BYTES_MIN; i++) {
		unsigned char c = (unsigned char)word->text.data[i];

		add_half_bytes(p, i, group, c);
		if (word->any_case && c >= 'a' && c <= 'z')
			add_half_bytes(p, i, group, (unsigned char)(c - ('a' - 'A')));
	}
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
		add_to_group(p, &words[i]);
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
static size_t skip_one_by_one(const struct prefilter *p, struct span text, size_t pos)
{
	for (; pos + PREFILTER_WORD_BYTES_MIN <= text.len; pos++) {
		if (p->heads[hash(three_bytes(text.data + pos))])
			return pos;
	}
	return text.len;
}

#if defined(__x86_64__)

enum {
	PLACES = 32, /* looked at in one go */
	WINDOW_BYTES = PLACES + PREFILTER_WORD_BYTES_MIN - 1,
};

#define SHUFFLE_TARGET __attribute__((target("avx2")))

/* What a table says of each of PLACES half-bytes. */
SHUFFLE_TARGET static inline __m256i look_up(const uint8_t table[PREFILTER_HALF_BYTES],
					     __m256i half_bytes)
{
	__m128i once = _mm_loadu_si128((const __m128i *)(const void *)table);

	return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(once), half_bytes);
}

/* The groups that have a word with these bytes at this place in it. */
SHUFFLE_TARGET static inline __m256i groups_of(const struct prefilter *p, size_t place,
					       const char *bytes)
{
	const __m256i half = _mm256_set1_epi8(0x0f);
	__m256i c = _mm256_loadu_si256((const __m256i *)(const void *)bytes);
	__m256i high = _mm256_and_si256(_mm256_srli_epi16(c, 4), half);

	return _mm256_and_si256(look_up(p->low[place], _mm256_and_si256(c, half)),
				look_up(p->high[place], high));
}

/* A bit for each of PLACES places at which a word of some group may stand. */
SHUFFLE_TARGET static inline uint32_t places_of(const struct prefilter *p, const char *window)
{
	__m256i groups = groups_of(p, 0, window), none = _mm256_setzero_si256();

	for (size_t i = 1; i < PREFILTER_WORD_BYTES_MIN; i++)
		groups = _mm256_and_si256(groups, groups_of(p, i, window + i));
	return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(groups, none));
}

SHUFFLE_TARGET static size_t skip_by_windows(const struct prefilter *p, struct span text,
					     size_t pos)
{
	while (pos + PREFILTER_WORD_BYTES_MIN <= text.len) {
		/* The last window reaches back over places that were looked at. */
		size_t start = pos + WINDOW_BYTES <= text.len ? pos : text.len - WINDOW_BYTES;
		uint32_t places = places_of(p, text.data + start) >> (pos - start);

		for (; places != 0; places &= places - 1) {
			size_t at = pos + (size_t)__builtin_ctz(places);

			if (p->heads[hash(three_bytes(text.data + at))])
				return at;
		}
		pos = start + PLACES;
	}
	return text.len;
}

static size_t skip_to_candidate(const struct prefilter *p, struct span text, size_t pos)
{
	if (text.len >= WINDOW_BYTES && __builtin_cpu_supports("avx2"))
		return skip_by_windows(p, text, pos);
	return skip_one_by_one(p, text, pos);
}

#else

static size_t skip_to_candidate(const struct prefilter *p, struct span text, size_t pos)
{
	return skip_one_by_one(p, text, pos);
}

#endif

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
