#include "watch/listing.h"

#include "base/json.h"
#include "base/time.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 64, OWN_FIELDS = 2 };

_Static_assert(LISTING_ITEMS_MAX *(1 + LISTING_FIELDS_MAX + OWN_FIELDS) < JSON_VALUES_MAX,
	       "a snapshot that was written can be read");

static const char SEEN_AT[] = "seen_at";
static const char MISSING_AT[] = "missing_at";

void listing_init(struct listing *l, const struct listing_shape *shape)
{
	REQUIRE(shape->field_count <= LISTING_FIELDS_MAX);
	*l = (struct listing){.shape = shape};
	arena_init(&l->arena, LISTING_BYTES_MAX);
}

void listing_release(struct listing *l)
{
	arena_release(&l->arena);
	free(l->items);
	l->items = NULL;
	l->count = l->capacity = 0;
}

void listing_reset(struct listing *l)
{
	const struct listing_shape *shape = l->shape;

	listing_release(l);
	listing_init(l, shape);
}

static enum err_kind copy_text(struct listing *l, struct span text, struct span *ret,
			       struct err *err)
{
	*ret = (struct span){NULL, 0};
	if (text.len == 0)
		return ERR_NONE;
	*ret = arena_copy(&l->arena, text);
	if (ret->data)
		return ERR_NONE;
	l->full = l->arena.used + text.len > l->arena.max;
	return l->full ? err_set(err, ERR_REJECT, "a list of more than %d MiB",
				 LISTING_BYTES_MAX >> 20)
		       : err_set(err, ERR_FATAL, "out of memory for a list of Fly's");
}

static enum err_kind grow(struct listing *l, struct err *err)
{
	size_t capacity = l->capacity == 0 ? CAPACITY_MIN : 2 * l->capacity;
	struct item *items;

	l->full = l->full || l->count == LISTING_ITEMS_MAX;
	if (l->count == LISTING_ITEMS_MAX)
		return err_set(err, ERR_REJECT, "a list of more than %d items", LISTING_ITEMS_MAX);
	if (l->count < l->capacity)
		return ERR_NONE;
	items = reallocarray(l->items, capacity, sizeof(items[0]));
	if (!items)
		return err_set(err, ERR_FATAL, "out of memory for a list of Fly's");
	l->items = items;
	l->capacity = capacity;
	return ERR_NONE;
}

enum err_kind listing_add(struct listing *l, struct span key, struct item **ret, struct err *err)
{
	struct item item = {
		.order = l->count, .seen_ns = LISTING_NO_TIME, .missing_ns = LISTING_NO_TIME};
	enum err_kind rc;

	if (key.len == 0 || key.len > LISTING_KEY_BYTES_MAX || !utf8_is_text(key))
		return err_set(err, ERR_REJECT, "an item whose name is none");
	rc = grow(l, err);
	if (!rc)
		rc = copy_text(l, key, &item.key, err);
	if (rc)
		return rc;
	l->items[l->count] = item;
	*ret = &l->items[l->count++];
	return ERR_NONE;
}

enum err_kind listing_set(struct listing *l, struct item *item, size_t field, struct span value,
			  struct err *err)
{
	REQUIRE(field < l->shape->field_count);
	if (value.len > 0 && !utf8_is_text(value))
		return err_set(err, ERR_REJECT, "a field that is no text");
	return copy_text(l, value, &item->values[field], err);
}

enum err_kind listing_copy(struct listing *l, const struct item *from, struct item **ret,
			   struct err *err)
{
	enum err_kind rc = listing_add(l, from->key, ret, err);

	for (size_t i = 0; i < l->shape->field_count && !rc; i++)
		rc = listing_set(l, *ret, i, from->values[i], err);
	if (rc)
		return rc;
	(*ret)->seen_ns = from->seen_ns;
	(*ret)->missing_ns = from->missing_ns;
	return ERR_NONE;
}

enum err_kind listing_keep(struct listing *l, const struct item *from, struct err *err)
{
	struct item *kept;
	enum err_kind rc = listing_copy(l, from, &kept, err);

	if (!rc)
		kept->seen_ns = kept->missing_ns = LISTING_NO_TIME;
	return rc;
}

int item_compare(const struct item *a, const struct item *b)
{
	size_t len = a->key.len < b->key.len ? a->key.len : b->key.len;
	int order = memcmp(a->key.data, b->key.data, len);

	return order != 0 ? order : (a->key.len > b->key.len) - (a->key.len < b->key.len);
}

static int compare_items(const void *a, const void *b)
{
	const struct item *one = a, *other = b;
	int order = item_compare(one, other);

	return order != 0 ? order : (one->order > other->order) - (one->order < other->order);
}

void listing_skip(struct listing *l, size_t count)
{
	REQUIRE(count <= l->count);
	l->count = count;
	l->part = true;
}

enum err_kind listing_end(struct listing *l, struct err *err)
{
	size_t count = 0;
	bool twice;

	if (l->count > 0)
		qsort(l->items, l->count, sizeof(l->items[0]), compare_items);
	for (size_t i = 0; i < l->count; i++) {
		/* Where pages moved while they were read, another may be in none of them. */
		if (count > 0 && span_equal(l->items[count - 1].key, l->items[i].key))
			continue;
		l->items[count] = l->items[i];
		l->items[count].order = count;
		count++;
	}
	twice = count < l->count;
	l->count = count;
	l->part = l->part || twice;
	return twice ? err_set(err, ERR_REJECT, "two items of one name") : ERR_NONE;
}

const struct item *listing_find(const struct listing *l, struct span key)
{
	const struct item wanted = {.key = key};
	size_t low = 0, high = l->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = item_compare(&l->items[middle], &wanted);

		if (order == 0)
			return &l->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct item *listing_added(const struct listing *l, struct span key)
{
	for (size_t i = 0; i < l->count; i++)
		if (span_equal(l->items[i].key, key))
			return &l->items[i];
	return NULL;
}

bool item_is_like(const struct item *a, const struct item *b, size_t field_count)
{
	for (size_t i = 0; i < field_count; i++)
		if (!span_equal(a->values[i], b->values[i]))
			return false;
	return true;
}

/* --- a snapshot --- */

void listing_write(const struct listing *l, struct buf *out)
{
	buf_u8(out, '{');
	for (size_t i = 0; i < l->count; i++) {
		const struct item *item = &l->items[i];

		json_write_key_span(out, item->key);
		buf_u8(out, '{');
		for (size_t f = 0; f < l->shape->field_count; f++) {
			if (item->values[f].len == 0)
				continue;
			json_write_key(out, l->shape->fields[f]);
			json_write_text(out, item->values[f]);
		}
		if (item->missing_ns != LISTING_NO_TIME) {
			json_write_time(out, SEEN_AT, item->seen_ns);
			json_write_time(out, MISSING_AT, item->missing_ns);
		}
		buf_u8(out, '}');
	}
	buf_u8(out, '}');
}

static const char not_a_snapshot[] = "a snapshot that is none of flytrail's";

static enum err_kind read_time(const struct json *object, const char *key, int64_t *ret,
			       struct err *err)
{
	const struct json *v = json_member(object, key);
	unsigned digits;

	if (!v)
		return ERR_NONE;
	if (json_type(v) != JSON_TEXT || !time_parse(json_text(v), true, ret, &digits))
		return err_set(err, ERR_REJECT, "%s", not_a_snapshot);
	return ERR_NONE;
}

static enum err_kind read_item(struct listing *l, const struct json *object, struct err *err)
{
	struct item *item;
	enum err_kind rc;

	if (json_type(object) != JSON_OBJECT)
		return err_set(err, ERR_REJECT, "%s", not_a_snapshot);
	rc = listing_add(l, json_key(object), &item, err);
	for (size_t f = 0; f < l->shape->field_count && !rc; f++) {
		const struct json *v = json_member(object, l->shape->fields[f]);

		if (v && json_type(v) == JSON_TEXT)
			rc = listing_set(l, item, f, json_text(v), err);
	}
	if (!rc)
		rc = read_time(object, SEEN_AT, &item->seen_ns, err);
	if (!rc)
		rc = read_time(object, MISSING_AT, &item->missing_ns, err);
	return rc;
}

enum err_kind listing_read(struct listing *l, struct span snapshot, struct err *err)
{
	struct json *root = NULL;
	enum err_kind rc = json_parse(&root, snapshot, err);

	if (!rc && json_type(root) != JSON_OBJECT)
		rc = err_set(err, ERR_REJECT, "%s", not_a_snapshot);
	for (const struct json *v = rc ? NULL : json_first(root); v && !rc; v = json_next(v))
		rc = read_item(l, v, err);
	json_free(root);
	return rc ? rc : listing_end(l, err);
}
