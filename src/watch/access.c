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
