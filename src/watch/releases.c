/*
 * Releases of an application: who made one, when, of which image, and what became of it. What a
 * release was made for Fly does not say: it is told by the images of those before it.
 */

#include "watch/resource.h"

#include <stdio.h>

enum {
	FEW = 20,              /* of the newest, at each look */
	ALL = 200,             /* where that leaves some out: as many as Fly gives */
	MOVING_SECONDS = 3600, /* one that is under way for longer may be so for ever */
};

#define FEW_PATH "api/v1/apps/{app}/releases?limit=20"
#define ALL_PATH "api/v1/apps/{app}/releases?limit=200"

/* What never changes is first: only that is told of a release that was made. */
enum {
	FIELD_version,
	FIELD_image,
	FIELD_strategy,
	FIELD_user,
	FIELD_created_at,
	FIELD_previous_image,
	FIELD_previous_at,
	FIELD_rollback_to,
	FIELDS_OF_START,
	FIELD_status = FIELDS_OF_START,
	FIELDS_OF_END,
	FIELD_moving = FIELDS_OF_END,
};

static const char *const fields[] = {
	"version",        "image",       "strategy",    "user",   "created_at",
	"previous_image", "previous_at", "rollback_to", "status", "moving",
};

/* -1: it is none. */
static int64_t version_of(const struct item *release)
{
	return watch_digits(release->values[FIELD_version]);
}

/* The newest release before that version; if an image is given, of those that brought it to
 * machines: after one that failed, the same image is another try. */
static const struct item *newest_before(const struct listing *list, int64_t version,
					struct span image)
{
	const struct item *newest = NULL;

	for (size_t i = 0; i < list->count; i++) {
		const struct item *r = &list->items[i];

		if (version_of(r) >= 0 && version_of(r) < version &&
		    (!newest || version_of(r) > version_of(newest)) &&
		    (image.len == 0 || (span_equal(r->values[FIELD_image], image) &&
					span_is(r->values[FIELD_status], "complete"))))
			newest = r;
	}
	return newest;
}

/* --- what there is --- */

static bool is_moving_now(const struct watch_ask *ask, const struct json *release,
			  const char *created_at)
{
	const struct json *moving = json_member(release, "in_progress");
	int64_t created_ns = watch_field_time(span_text(created_at));

	return ((moving && json_type(moving) == JSON_BOOL && json_bool(moving)) ||
		span_is(watch_text(release, "status"), "running")) &&
	       created_ns != LISTING_NO_TIME &&
	       created_ns > ask->now_ns - MOVING_SECONDS * NS_PER_S;
}

static enum err_kind take_release(const struct watch_ask *ask, const struct json *release,
				  struct listing *ret, struct err *err)
{
	char number[TIME_TEXT_BYTES], id[TIME_TEXT_BYTES], created[TIME_TEXT_BYTES];
	struct span version = watch_scalar(release, "version", number);
	struct span key = watch_scalar(release, "id", id);
	struct span made = span_text(watch_time(release, "created_at", created));
	bool moving = is_moving_now(ask, release, created);
	struct item *item = NULL;
	enum err_kind rc;

	/* One without an id is told from others by its version, or else by its time. */
	key = key.len > 0 ? key : version.len > 0 ? version : made;
	rc = listing_add(ret, key, &item, err);
	rc = watch_set(rc, ret, item, FIELD_version, version, err);
	rc = watch_set(rc, ret, item, FIELD_image, watch_text(release, "image_ref"), err);
	rc = watch_set(rc, ret, item, FIELD_strategy, watch_text(release, "strategy"), err);
	rc = watch_set(rc, ret, item, FIELD_user, watch_text(release, "user"), err);
	rc = watch_set(rc, ret, item, FIELD_created_at, made, err);
	rc = watch_set(rc, ret, item, FIELD_status, watch_text(release, "status"), err);
	return watch_set(rc, ret, item, FIELD_moving, moving ? SPAN("true") : SPAN(""), err);
}

/* What tells a deploy, a restart and a rollback from each other. */
static enum err_kind set_previous(struct listing *l, struct item *release, struct err *err)
{
	struct span image = release->values[FIELD_image];
	const struct item *previous = newest_before(l, version_of(release), SPAN(""));
	const struct item *same = NULL;
	enum err_kind rc = ERR_NONE;

	if (!previous)
		return ERR_NONE;
	if (image.len > 0 && !span_equal(previous->values[FIELD_image], image))
		same = newest_before(l, version_of(previous), image);
	rc = watch_set(rc, l, release, FIELD_previous_image, previous->values[FIELD_image], err);
	rc = watch_set(rc, l, release, FIELD_previous_at, previous->values[FIELD_created_at], err);
	return same ? watch_set(rc, l, release, FIELD_rollback_to, same->values[FIELD_version], err)
		    : rc;
}

/* Versions are counted, so that one that is left out shows. */
static bool has_hole(const struct listing *before, const struct listing *now)
{
	const struct item *known = newest_before(before, INT64_MAX, SPAN(""));
	int64_t last = known ? version_of(known) : 0;
	int64_t count = 0, newest = last;

	for (size_t i = 0; i < now->count; i++) {
		int64_t version = version_of(&now->items[i]);

		if (version <= last)
			continue;
		newest = version > newest ? version : newest;
		count++;
	}
	return newest - last != count;
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_list few = {
		.path = FEW_PATH, .member = "releases", .take = take_release};
	static const struct watch_list all = {
		.path = ALL_PATH, .member = "releases", .take = take_release};
	enum err_kind rc = watch_fetch_list(ask, &few, ret, err);

	if (!rc && ret->count >= FEW && ask->before_ns != LISTING_NO_TIME &&
	    has_hole(ask->before, ret)) {
		listing_reset(ret);
		rc = watch_fetch_list(ask, &all, ret, err);
	}
	for (size_t i = 0; !rc && i < ret->count; i++)
		rc = set_previous(ret, &ret->items[i], err);
	return rc;
}

static bool is_moving(const struct listing *list)
{
	return watch_any_has(list, FIELD_moving);
}

/* --- what that means --- */

static const struct ending {
	const char *status; /* any other says nothing that is known */
	enum action action;
	const char *words, *outcome;
} endings[] = {
	{"complete", ACTION_deploy_release_succeeded, "is on its machines", "success"},
	{"failed", ACTION_deploy_release_failed, "failed", "failure"},
	{"interrupted", ACTION_deploy_release_interrupted, "was interrupted", "failure"},
};

static const struct ending *ending_of(const struct item *release)
{
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (span_is(release->values[FIELD_status], endings[i].status))
			return &endings[i];
	return NULL;
}

static void describe_release(const struct item *release, const struct watch_ask *ask,
			     const char *words, struct watch_fact *ret)
{
	struct span version = release->values[FIELD_version];

	ret->target_type = "release";
	ret->target = ret->correlation = version;
	watch_actor(ret, release->values[FIELD_user],
		    "Fly's API names nobody as having made the release");
	(void)snprintf(ret->summary, sizeof(ret->summary), "release %.*s of %s %s",
		       (int)version.len, version.data ? version.data : "", ask->app, words);
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	const struct ending *ending = c->after ? ending_of(c->after) : NULL;
	bool is_new = !c->before;

	if (!c->after)
		return false;
	if (is_new && nth == 0) {
		ret->action = ACTION_deploy_release_started;
		ret->fly_ns = watch_field_time(c->after->values[FIELD_created_at]);
		ret->field_count = FIELDS_OF_START;
		describe_release(c->after, ask, "was made", ret);
		return true;
	}
	if (nth != (is_new ? 1 : 0) || !ending ||
	    (!is_new &&
	     span_equal(c->before->values[FIELD_status], c->after->values[FIELD_status])))
		return false;
	ret->action = ending->action;
	ret->outcome = span_text(ending->outcome);
	/* Fly does not say when it ended. It was not before it was made. */
	ret->since_ns = watch_field_time(c->after->values[FIELD_created_at]);
	ret->field_count = FIELDS_OF_END;
	describe_release(c->after, ask, ending->words, ret);
	return true;
}

const struct watch_resource watch_releases = {
	.name = "releases",
	.of = &watch_apps,
	.stirred_by = &watch_current_releases,
	.log = true,
	.page_max = ALL,
	.has_hole = has_hole,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
	.is_moving = is_moving,
};
