#include "watch/resource.h"

static enum err_kind take_list(struct watch_api *api, const struct watch_list *what,
			       const struct json *list, struct listing *ret, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	if (!list || (json_type(list) != JSON_ARRAY && json_type(list) != JSON_NULL))
		return err_set(err, ERR_RETRY, "the answer has no list `%s`", what->member);
	for (const struct json *v = json_first(list); v && !rc; v = json_next(v))
		rc = what->take(api, v, ret, err);
	if (!rc)
		rc = listing_end(ret, err);
	/* Only Fly's own 404 says that something is gone. */
	if (rc == ERR_REJECT)
		err->kind = rc = ERR_RETRY;
	return rc;
}

enum err_kind watch_fetch_list(struct watch_api *api, const struct watch_list *what,
			       const char *name, struct listing *ret, struct err *err)
{
	struct json *root = NULL;
	enum err_kind rc = watch_api_get(api, what->path, name, &root, err);

	if (rc)
		return rc;
	rc = take_list(api, what, json_member(root, what->member), ret, err);
	json_free(root);
	return rc;
}

struct span watch_text(const struct json *object, const char *member)
{
	const struct json *v = json_member(object, member);

	return v && json_type(v) == JSON_TEXT ? json_text(v) : (struct span){NULL, 0};
}

const char *watch_time(const struct json *object, const char *member, char text[TIME_TEXT_BYTES])
{
	unsigned digits;
	int64_t ns;

	text[0] = '\0';
	if (time_parse(watch_text(object, member), true, &ns, &digits))
		(void)time_format(ns, text);
	return text;
}

int64_t watch_field_time(struct span field)
{
	unsigned digits;
	int64_t ns;

	return time_parse(field, true, &ns, &digits) ? ns : LISTING_NO_TIME;
}
