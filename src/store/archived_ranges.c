#include "store/archived_ranges.h"

#include "base/time.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	GROW_FROM = 256,
	ROOM_MAX = 2 * ARCHIVED_RANGES_MAX, /* with those that are to become one */
};

void archived_ranges_release(struct archived_ranges *r)
{
	free(r->items);
	*r = (struct archived_ranges){.count = 0};
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* By what two must have in common to become one. */
static int compare_places(const struct archived_range *a, const struct archived_range *b)
{
	int by_class = strcmp(a->class, b->class);
	int by_time = (a->from_ns > b->from_ns) - (a->from_ns < b->from_ns);

	if (by_class != 0)
		return by_class;
	return by_time != 0 ? by_time : id_compare(&a->stream, &b->stream);
}

static int compare(const void *a, const void *b)
{
	const struct archived_range *x = a, *y = b;
	int by_place = compare_places(x, y);

	return by_place != 0 ? by_place : compare_numbers(x->first_seq, y->first_seq);
}

static bool touches(const struct archived_range *before, const struct archived_range *r)
{
	return compare_places(before, r) == 0 &&
	       (r->first_seq <= before->last_seq || r->first_seq - before->last_seq == 1);
}

static void merge_all(struct archived_ranges *r)
{
	size_t kept = 0;

	if (r->merged == r->count)
		return;
	qsort(r->items, r->count, sizeof(r->items[0]), compare);
	for (size_t i = 1; i < r->count; i++) {
		struct archived_range *last = &r->items[kept];

		if (!touches(last, &r->items[i]))
			r->items[++kept] = r->items[i];
		else if (r->items[i].last_seq > last->last_seq)
			last->last_seq = r->items[i].last_seq;
	}
	r->count = kept + 1;
	r->merged = r->count;
}

static enum err_kind merge(struct archived_ranges *r, struct err *err)
{
	merge_all(r);
	if (r->count <= ARCHIVED_RANGES_MAX)
		return ERR_NONE;
	return err_set(err, ERR_FULL,
		       "the archive has more than %d ranges of that time: ask for less",
		       ARCHIVED_RANGES_MAX);
}

static enum err_kind make_room(struct archived_ranges *r, struct err *err)
{
	size_t wanted = r->room > 0 ? r->room * 2 : GROW_FROM;
	struct archived_range *grown;

	if (r->count < r->room)
		return ERR_NONE;
	if (wanted > ROOM_MAX)
		wanted = ROOM_MAX;
	grown = reallocarray(r->items, wanted, sizeof(*grown));
	if (!grown)
		return err_set(err, ERR_FATAL, "out of memory for the ranges of an archive");
	r->items = grown;
	r->room = wanted;
	return ERR_NONE;
}

enum err_kind archived_ranges_add(struct archived_ranges *r, const struct archived_range *range,
				  struct err *err)
{
	enum err_kind rc = r->count == ROOM_MAX ? merge(r, err) : ERR_NONE;

	if (!rc)
		rc = make_room(r, err);
	if (!rc)
		r->items[r->count++] = *range;
	return rc;
}

static uint64_t as_bigint(uint64_t seq)
{
	return seq < INT64_MAX ? seq : INT64_MAX;
}

enum err_kind archived_ranges_write(struct archived_ranges *r, const char *class, int64_t since_ns,
				    int64_t until_ns, struct buf *json, struct err *err)
{
	enum err_kind rc = merge(r, err);

	buf_reset(json);
	buf_u8(json, '[');
	for (size_t i = 0; i < r->count && !rc; i++) {
		const struct archived_range *range = &r->items[i];
		char uuid[ID_TEXT_BYTES], from[TIME_TEXT_BYTES];

		if (strcmp(range->class, class) != 0 || range->from_ns < since_ns ||
		    range->from_ns >= until_ns)
			continue;
		buf_fmt(json, "%s[\"%s\",\"%s\",%" PRIu64 ",%" PRIu64 "]", json->len > 1 ? "," : "",
			id_format(&range->stream, uuid), time_format(range->from_ns, from),
			as_bigint(range->first_seq), as_bigint(range->last_seq));
	}
	buf_u8(json, ']');
	return rc ? rc : buf_check(json, err);
}
