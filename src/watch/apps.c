/* The organisation's applications: GET /v1/apps?org_slug=. They say whose the other resources are.
 */

#include "watch/resource.h"

enum { FIELD_id };

static const char *const fields[] = {"id"};

static enum err_kind take_app(struct watch_api *api, const struct json *app, struct listing *ret,
			      struct err *err)
{
	struct item *item;
	enum err_kind rc = listing_add(ret, watch_text(app, "name"), &item, err);

	(void)api;
	return rc ? rc : listing_set(ret, item, FIELD_id, watch_text(app, "id"), err);
}

static bool lacks_own(const struct listing *apps, const char *own_app)
{
	bool lacks = own_app[0] != '\0' || apps->count == 0;

	for (size_t i = 0; i < apps->count && lacks; i++)
		lacks = !span_is(apps->items[i].key, own_app);
	return lacks;
}

static enum err_kind fetch(struct watch_api *api, const char *app, struct listing *ret,
			   struct err *err)
{
	static const struct watch_list list = {
		.path = "apps?org_slug=%s", .member = "apps", .take = take_app};

	enum err_kind rc = watch_fetch_list(api, &list, watch_api_org(api), ret, err);

	(void)app;
	if (!rc && lacks_own(ret, watch_api_own_app(api)))
		rc = err_set(err, ERR_RETRY,
			     "a list without flytrail's own application, or without any, is not "
			     "the organisation's");
	return rc;
}

const struct watch_resource watch_apps = {
	.name = "apps",
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
};
