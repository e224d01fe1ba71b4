#ifndef BASE_SPAN_H
#define BASE_SPAN_H

/*
 * span: borrowed bytes, as text from outside is passed around.
 *
 * A span owns nothing and is not NUL-terminated; it may hold NULs. data is
 * NULL only where the header that lends it says that NULL means "none".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct span {
	const char *data;
	size_t len;
};

/* A span over a string literal, usable in static tables. */
#define SPAN(literal) ((struct span){("" literal), sizeof(literal) - 1})

static inline struct span span_of(const void *bytes, size_t len)
{
	return (struct span){(const char *)bytes, len};
}

static inline struct span span_text(const char *text)
{
	return (struct span){text, strlen(text)};
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool span_is(struct span s, const char *text)
{
	return span_equal(s, span_text(text));
}

static inline bool span_starts(struct span s, struct span prefix)
{
	return s.len >= prefix.len && span_equal((struct span){s.data, prefix.len}, prefix);
}

/* The rest of s after its first n bytes; n may not exceed s.len. */
static inline struct span span_after(struct span s, size_t n)
{
	return (struct span){s.data + n, s.len - n};
}

/* False: it is not digits alone, or more than *ret holds. */
static inline bool span_digits(struct span s, uint64_t *ret)
{
	uint64_t value = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(s.data[i] - '0');

		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return false;
	}
	*ret = value;
	return s.len > 0;
}

/* The same bytes and a NUL, the caller's to free; NULL: no memory. */
static inline char *span_copy(struct span s)
{
	char *copy = malloc(s.len + 1);

	if (copy) {
		memcpy(copy, s.data, s.len);
		copy[s.len] = '\0';
	}
	return copy;
}

/* Of a copy that is a secret; NULL is fine. */
static inline void secret_free(char *copy)
{
	if (copy)
		explicit_bzero(copy, strlen(copy));
	free(copy);
}

#endif
