#include "stage/hits.h"

#include <stdlib.h>

enum { MARKER_NAME_BYTES_MAX = 24 };

static const struct span marker_head = {"[REDACTED:", 10};

static const char *const names[SECRET_KIND_COUNT] = {
#define KIND(name, doc) #name,
#include "stage/redact_kinds.def"
#undef KIND
};

static const struct span markers[SECRET_KIND_COUNT] = {
#define KIND(name, doc) {"[REDACTED:" #name "]", sizeof("[REDACTED:" #name "]") - 1},
#include "stage/redact_kinds.def"
#undef KIND
};

const char *secret_kind_name(enum secret_kind kind)
{
	REQUIRE(kind < SECRET_KIND_COUNT);
	return names[kind];
}

struct span secret_marker(enum secret_kind kind)
{
	REQUIRE(kind < SECRET_KIND_COUNT);
	return markers[kind];
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || c == '_';
}

/* How long the marker at the head of the text is; 0: there is none. */
static size_t marker_len(struct span at)
{
	for (size_t i = 0; i < SECRET_KIND_COUNT; i++) {
		if (span_starts(at, markers[i]))
			return markers[i].len;
	}
	return 0;
}

bool secret_in_marker(struct span text, size_t pos)
{
	size_t start = pos;

	while (start > 0 && pos - start < MARKER_NAME_BYTES_MAX && is_name(text.data[start - 1]))
		start--;
	if (start < marker_head.len)
		return false;
	start -= marker_head.len;
	return pos < start + marker_len(span_after(text, start));
}

bool secret_is_marker(struct span text)
{
	return text.len > 0 && marker_len(text) == text.len;
}

static bool is_marker(struct span text, const struct hit *hit)
{
	return hit->end - hit->start <= marker_len(span_after(text, hit->start));
}

void hits_init(struct hits *h)
{
	buf_init(&h->list, HITS_BYTES_MAX);
}

void hits_release(struct hits *h)
{
	buf_release(&h->list);
}

void hits_reset(struct hits *h)
{
	buf_reset(&h->list);
}

void hits_add(struct hits *h, struct span text, const struct hit *hit)
{
	if (hit->start < hit->end && !is_marker(text, hit))
		buf_add(&h->list, hit, sizeof(*hit));
}

size_t hits_count(const struct hits *h)
{
	return h->list.len / sizeof(struct hit);
}

struct hit *hits_at(const struct hits *h, size_t i)
{
	REQUIRE(i < hits_count(h));
	return (struct hit *)(void *)h->list.data + i;
}

bool hits_failed(const struct hits *h)
{
	return h->list.failed != ERR_NONE;
}

static int compare(const void *a, const void *b)
{
	const struct hit *x = a;
	const struct hit *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

void hits_merge(struct hits *h, size_t first)
{
	size_t count = hits_count(h);
	struct hit *last;

	if (count < first + 2)
		return;
	last = hits_at(h, first);
	qsort(last, count - first, sizeof(*last), compare);
	for (size_t i = first + 1; i < count; i++) {
		const struct hit *hit = hits_at(h, i);

		if (hit->start >= last->end) {
			*++last = *hit;
			continue;
		}
		if (hit->end > last->end)
			last->end = hit->end;
		if (hit->kind < last->kind)
			last->kind = hit->kind;
	}
	buf_cut(&h->list, (size_t)(last + 1 - hits_at(h, 0)) * sizeof(*last));
}

struct span hits_replace(const struct hits *h, struct arena *arena, struct span text)
{
	size_t count = hits_count(h);
	size_t len = text.len;
	size_t from = 0;
	char *out;
	char *to;

	for (size_t i = 0; i < count; i++) {
		const struct hit *hit = hits_at(h, i);

		len += markers[hit->kind].len - (hit->end - hit->start);
	}
	out = arena_alloc(arena, len);
	if (!out)
		return (struct span){NULL, 0};
	to = out;
	for (size_t i = 0; i < count; i++) {
		const struct hit *hit = hits_at(h, i);
		struct span marker = markers[hit->kind];

		memcpy(to, text.data + from, hit->start - from);
		to += hit->start - from;
		memcpy(to, marker.data, marker.len);
		to += marker.len;
		from = hit->end;
	}
	memcpy(to, text.data + from, text.len - from);
	return (struct span){out, len};
}
