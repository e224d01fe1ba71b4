/*
 * When each application's newest release was made, by a single request: what is cheap to ask
 * often, and stirs what is told by more. It is no fact itself.
 */

#include "watch/resource.h"

enum { FIELD_released_at };

static const char *const fields[] = {"released_at"};

static enum err_kind take_app(const struct json *moment, struct listing *ret, struct err *err)
{
	char text[TIME_TEXT_BYTES];
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, json_key(moment), &item, err);

	return watch_set(rc, ret, item, FIELD_released_at, span_text(watch_time_of(moment, text)),
			 err);
}

/* The answer has each application as a member. A part is never less: there is one request. */
static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	const struct watch_names names = {.app = ask->app};
	struct json *root = NULL;
	enum err_kind rc =
		watch_api_get(ask->api, "api/v1/releases/all_current", &names, &root, err);

	if (rc)
		return rc;
	if (json_type(root) != JSON_OBJECT)
		rc = err_set(err, ERR_RETRY, "the answer does not name applications");
	for (const struct json *v = json_first(root); v && !rc; v = json_next(v))
		rc = take_app(v, ret, err);
	if (!rc)
		rc = listing_end(ret, err);
	json_free(root);
	/* Only Fly's own 404 says that something is gone. */
	return rc == ERR_REJECT ? err_set(err, ERR_RETRY, "the answer's applications have no names")
				: rc;
}

const struct watch_resource watch_current_releases = {
	.name = "current_releases",
	.quick = true,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
};
