#include "watch/access.h"

#include "base/utf8.h"

enum err_kind access_set(enum err_kind rc, struct listing *l, struct item *item, size_t field,
			 struct span value, struct err *err)
{
	return watch_set(rc, l, item, field, utf8_cut(value, ACCESS_FIELD_BYTES_MAX), err);
}

struct span access_email(const struct json *object, const char *member)
{
	return watch_text(json_member(object, member), "email");
}

struct span access_word(struct span field)
{
	return field.len > 0 ? utf8_cut(field, ACCESS_WORD_BYTES_MAX) : SPAN("unknown");
}

bool access_moved(const struct change *c, size_t field)
{
	return c->before && c->after && c->before->values[field].len > 0 &&
	       c->after->values[field].len > 0 &&
	       !span_equal(c->before->values[field], c->after->values[field]);
}

static int compare_items(const void *a, const void *b)
{
	return item_compare(a, b);
}

const struct item *access_before(const struct watch_ask *ask, struct span key)
{
	const struct item wanted = {.key = key};

	return ask->before->count == 0 ? NULL
				       : bsearch(&wanted, ask->before->items, ask->before->count,
						 sizeof(wanted), compare_items);
}
