#include "watch/flat.h"

#include "watch/resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PATH_BYTES_MAX = 200,
	VALUE_BYTES_MAX = 256,                   /* that is shown */
	MAC_BYTES = WATCH_KEY_ID_BYTES + 1 + 16, /* of a value */
	REST_BYTES = 3 + MAC_BYTES,              /* " ~#" and its HMAC */
	REST_BYTES_MAX = 2 * WATCH_ANSWER_BYTES_MAX,
};

enum { FIELD_value };

static const char *const fields[] = {"value"};
static const struct listing_shape shape = {.fields = fields, .field_count = ARRAY_LEN(fields)};

struct flat {
	struct flat_options o;
	struct listing values; /* by path: '=' and the value, or '#' and its HMAC */
	struct buf rest;       /* what there is no room for, as it came */
};

/* Where a value is. */
struct path {
	char text[PATH_BYTES_MAX];
	size_t len;
	bool cut; /* it is longer, or has bytes that could not stand there: not by itself unique */
};

enum err_kind flat_new(struct flat **ret, const struct flat_options *options, struct err *err)
{
	struct flat *f = calloc(1, sizeof(*f));

	if (!f)
		return err_set(err, ERR_FATAL, "out of memory for a config");
	f->o = *options;
	listing_init(&f->values, &shape);
	buf_init(&f->rest, REST_BYTES_MAX);
	*ret = f;
	return ERR_NONE;
}

void flat_free(struct flat *f)
{
	if (!f)
		return;
	listing_release(&f->values);
	buf_release(&f->rest);
	free(f);
}

/* --- values and their paths --- */

static bool is_plain(char c)
{
	return c > ' ' && c <= '~' && !strchr("\"\\#=", c);
}

static void add_step(struct path *path, struct span step)
{
	if (path->len > 0 && path->len < PATH_BYTES_MAX)
		path->text[path->len++] = '.';
	for (size_t i = 0; i < step.len; i++) {
		bool plain = is_plain(step.data[i]);

		path->cut = path->cut || !plain || path->len == PATH_BYTES_MAX;
		if (path->len < PATH_BYTES_MAX)
			path->text[path->len++] = plain ? step.data[i] : '?';
	}
}

static bool may_show(const struct flat *f, struct span path, struct span value)
{
	bool may = value.len <= VALUE_BYTES_MAX && f->o.may_show && f->o.may_show(path);

	for (size_t i = 0; i < value.len && may; i++)
		may = is_plain(value.data[i]);
	return may;
}

static enum err_kind add_value(struct flat *f, const struct path *path, struct span value,
			       struct err *err)
{
	char key[LISTING_KEY_BYTES_MAX], text[1 + VALUE_BYTES_MAX + 1] = "#";
	char mac[WATCH_MAC_BYTES];
	struct item *item;
	enum err_kind rc;

	if (f->values.count == FLAT_VALUES_MAX) {
		buf_fmt(&f->rest, "%.*s=%zu:", (int)path->len, path->text, value.len);
		buf_span(&f->rest, value);
		return buf_check(&f->rest, err);
	}
	(void)snprintf(key, sizeof(key), "%.*s", (int)path->len, path->text);
	if (path->cut)
		(void)snprintf(key + path->len, sizeof(key) - path->len, "~%zu", f->values.count);
	if (key[0] == '\0')
		(void)snprintf(key, sizeof(key), ".");
	rc = watch_api_mac(f->o.api, value, mac, err);
	if (!rc && (value.len == 0 || may_show(f, span_text(key), value)))
		(void)snprintf(text, sizeof(text), "=%.*s", (int)value.len, value.data);
	else if (!rc)
		(void)snprintf(text, sizeof(text), "#%.*s", MAC_BYTES, mac);
	if (!rc)
		rc = listing_add(&f->values, span_text(key), &item, err);
	return rc ? rc : listing_set(&f->values, item, FIELD_value, span_text(text), err);
}

/* As deep as JSON may be: base/json.h bounds it. */
static enum err_kind add(struct flat *f, const struct path *path, const struct json *v,
			 struct err *err)
{
	bool in_list = json_type(v) == JSON_ARRAY;
	enum err_kind rc = ERR_NONE;
	size_t idx = 0;

	if (!in_list && json_type(v) != JSON_OBJECT) {
		char number[TIME_TEXT_BYTES];

		return json_type(v) == JSON_NULL ? ERR_NONE
						 : add_value(f, path, watch_value(v, number), err);
	}
	for (const struct json *member = json_first(v); member && !rc; member = json_next(member)) {
		struct path step = *path;
		char number[TIME_TEXT_BYTES];

		(void)snprintf(number, sizeof(number), "%zu", idx++);
		add_step(&step, in_list ? span_text(number) : json_key(member));
		rc = add(f, &step, member, err);
	}
	return rc;
}

enum err_kind flat_add(struct flat *f, struct span name, const struct json *value, struct err *err)
{
	struct path path = {.len = 0};

	if (!value)
		return ERR_NONE;
	add_step(&path, name);
	return add(f, &path, value, err);
}

/* --- as text --- */

static enum err_kind write_rest(struct flat *f, struct buf *out, struct err *err)
{
	char mac[WATCH_MAC_BYTES];
	enum err_kind rc = buf_check(&f->rest, err);

	if (!rc)
		rc = watch_api_mac(f->o.api, span_of(f->rest.data, f->rest.len), mac, err);
	if (!rc)
		buf_fmt(out, "%s~#%.*s", out->len > 0 ? " " : "", MAC_BYTES, mac);
	return rc;
}

enum err_kind flat_write(struct flat *f, struct buf *out, struct err *err)
{
	enum err_kind rc = listing_end(&f->values, err);
	size_t used = 0;

	for (size_t i = 0; i < f->values.count && !rc; i++) {
		const struct item *item = &f->values.items[i];
		struct span value = item->values[FIELD_value];
		/* What fits must not hang on whether there is a key. */
		size_t len = value.data[0] == '#' ? 1 + MAC_BYTES : value.len;
		struct buf *place;
		bool fits;

		used += 1 + item->key.len + len;
		fits = f->rest.len == 0 && used + REST_BYTES <= FLAT_BYTES_MAX;
		place = fits ? out : &f->rest;
		if (place->len > 0)
			buf_u8(place, ' ');
		buf_span(place, item->key);
		buf_span(place, value);
	}
	if (!rc && f->rest.len > 0)
		rc = write_rest(f, out, err);
	return rc ? rc : buf_check(out, err);
}

/* --- two texts --- */

struct piece {
	struct span path, value; /* the second with its '=' or '#' */
};

static struct piece next_piece(struct span *text)
{
	const char *end = memchr(text->data, ' ', text->len);
	struct span all = {text->data, end ? (size_t)(end - text->data) : text->len};
	size_t len = 0;

	while (len < all.len && all.data[len] != '=' && all.data[len] != '#')
		len++;
	*text = span_after(*text, all.len + (end ? 1 : 0));
	return (struct piece){.path = {all.data, len}, .value = span_after(all, len)};
}

static int compare_paths(struct span a, struct span b)
{
	const struct item first = {.key = a}, second = {.key = b};

	return item_compare(&first, &second);
}

/* An HMAC by another key, or one where there was no key, says nothing. */
static bool values_differ(struct span a, struct span b)
{
	if (a.len > 0 && b.len > 0 && a.data[0] == '#' && b.data[0] == '#')
		return watch_macs_differ(span_after(a, 1), span_after(b, 1));
	return !span_equal(a, b);
}

static void tell_path(struct span path, size_t room, struct buf *out)
{
	struct span shown = span_is(path, "~") ? SPAN("and more") : path;
	size_t comma = out->len > 0 ? 2 : 0;

	if (span_is(path, ".") || out->len + comma + shown.len > room)
		return;
	buf_add(out, ", ", comma);
	buf_span(out, shown);
}

/* "~" is last in each text, and is before any other path only where that one is beyond the text. */
static int order_of(struct span a, struct span b)
{
	bool a_rest = span_is(a, "~"), b_rest = span_is(b, "~");

	return a_rest || b_rest ? a_rest - b_rest : compare_paths(a, b);
}

size_t flat_differences(struct span before, struct span after, size_t room, struct buf *out)
{
	struct piece was = {.path = SPAN("")}, is = {.path = SPAN("")};
	bool read_was = true, read_is = true;
	size_t count = 0;

	while (before.len > 0 || after.len > 0 || !read_was || !read_is) {
		int order;

		if (read_was)
			was = before.len > 0 ? next_piece(&before)
					     : (struct piece){.path = SPAN("")};
		if (read_is)
			is = after.len > 0 ? next_piece(&after) : (struct piece){.path = SPAN("")};
		if (was.path.len == 0 && is.path.len == 0)
			break;
		order = was.path.len == 0 ? 1 : is.path.len == 0 ? -1 : order_of(was.path, is.path);
		if (order != 0 || values_differ(was.value, is.value)) {
			count++;
			tell_path(order > 0 ? is.path : was.path, room, out);
		}
		read_was = order <= 0;
		read_is = order >= 0;
	}
	return count;
}
