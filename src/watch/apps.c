/* The organisation's applications. They say whose the other resources are. */

#include "watch/resource.h"

#include <stdio.h>

enum { FIELD_id };

static const char *const fields[] = {"id"};

static enum err_kind take_app(const struct watch_ask *ask, const struct json *app,
			      struct listing *ret, struct err *err)
{
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, watch_text(app, "name"), &item, err);

	(void)ask;
	return watch_set(rc, ret, item, FIELD_id, watch_text(app, "id"), err);
}

static bool lacks_own(const struct listing *apps, const char *own_app)
{
	bool lacks = own_app[0] != '\0' || apps->count == 0;

	for (size_t i = 0; i < apps->count && lacks; i++)
		lacks = !span_is(apps->items[i].key, own_app);
	return lacks;
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_list list = {
		.path = "v1/apps?org_slug={org}", .member = "apps", .take = take_app};
	enum err_kind rc = watch_fetch_list(ask, &list, ret, err);

	if (!rc && lacks_own(ret, watch_api_own_app(ask->api)))
		rc = err_set(err, ERR_RETRY,
			     "a list without flytrail's own application, or without any, is not "
			     "the organisation's");
	return rc;
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	bool added = c->kind == CHANGE_ADDED;

	(void)ask;
	if (nth > 0)
		return false;
	ret->action = added                       ? ACTION_deploy_app_created
		      : c->kind == CHANGE_REMOVED ? ACTION_deploy_app_deleted
						  : ACTION_deploy_app_replaced;
	ret->app = c->item->key;
	ret->target_type = "app";
	watch_actor(ret, SPAN(""), "Fly's API does not say who makes or deletes an application");
	(void)snprintf(ret->summary, sizeof(ret->summary), "application %.*s was %s",
		       (int)c->item->key.len, c->item->key.data,
		       added                       ? "created"
		       : c->kind == CHANGE_REMOVED ? "deleted"
						   : "deleted and created again");
	return true;
}

const struct watch_resource watch_apps = {
	.name = "apps",
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
