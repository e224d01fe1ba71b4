/*
 * Secrets of an application: names, digests and times. Setting and unsetting leave no line in the
 * logs, and name nobody. The digest is kept as its HMAC alone, because it may let a weak value be
 * guessed.
 *
 * Machines are given a secret by the first release that is made after it was changed, and does not
 * fail. Releases are asked for only while there is a secret that none is known to have carried.
 */

#include "watch/resource.h"

#include <stdio.h>

enum {
	RELEASES_MAX = 20,
	MOVING_SECONDS = 3600, /* one that is under way for longer may be so for ever */
};

#define RELEASES_PATH "api/v1/apps/{app}/releases?limit=20"
#define UNKNOWN "unknown" /* the release: older than those that Fly shows */

/* What the secret is comes first: a change of it tells only that. */
enum {
	FIELD_mac,
	FIELD_created_at,
	FIELD_updated_at,
	FIELDS_OF_CHANGE,
	FIELD_release = FIELDS_OF_CHANGE,
	FIELD_released_at,
	FIELD_released_by,
	FIELDS_OF_DEPLOY,
	FIELD_moving = FIELDS_OF_DEPLOY, /* the release that may carry it is under way */
};

static const char *const fields[] = {"digest_mac",  "created_at",  "updated_at", "release",
				     "released_at", "released_by", "moving"};

static enum err_kind take_secret(const struct watch_ask *ask, const struct json *secret,
				 struct listing *ret, struct err *err)
{
	char mac[WATCH_MAC_BYTES], created[TIME_TEXT_BYTES], updated[TIME_TEXT_BYTES];
	struct item *item = NULL;
	enum err_kind rc = watch_api_mac(ask->api, watch_text(secret, "digest"), mac, err);

	if (!rc)
		rc = listing_add(ret, watch_text(secret, "name"), &item, err);
	rc = watch_set(rc, ret, item, FIELD_mac, span_text(mac), err);
	rc = watch_set(rc, ret, item, FIELD_created_at,
		       span_text(watch_time(secret, "created_at", created)), err);
	return watch_set(rc, ret, item, FIELD_updated_at,
			 span_text(watch_time(secret, "updated_at", updated)), err);
}

/* Another key of ours makes other HMACs of all digests: that is nothing of Fly's. */
static bool has_changed(const struct item *before, const struct item *after)
{
	return !span_equal(before->values[FIELD_created_at], after->values[FIELD_created_at]) ||
	       !span_equal(before->values[FIELD_updated_at], after->values[FIELD_updated_at]) ||
	       watch_macs_differ(before->values[FIELD_mac], after->values[FIELD_mac]);
}

/* --- the releases that carried them --- */

/* What is known already stays known, as long as the secret is the same. */
static enum err_kind carry_over(const struct watch_ask *ask, struct listing *l, bool *ret_pending,
				struct err *err)
{
	enum err_kind rc = ERR_NONE;
	size_t b = 0;

	*ret_pending = false;
	for (size_t i = 0; i < l->count; i++) {
		struct item *item = &l->items[i];
		const struct item *was;

		while (b < ask->before->count && item_compare(&ask->before->items[b], item) < 0)
			b++;
		was = b < ask->before->count ? &ask->before->items[b] : NULL;
		if (was && item_compare(was, item) == 0 && !has_changed(was, item))
			for (size_t f = FIELD_release; f < FIELDS_OF_DEPLOY; f++)
				rc = watch_set(rc, l, item, f, was->values[f], err);
		/* Without a time of the change no release can be known for it. */
		if (item->values[FIELD_release].len == 0 && item->values[FIELD_updated_at].len > 0)
			*ret_pending = true;
	}
	return rc;
}

struct release {
	char version[TIME_TEXT_BYTES], created_at[TIME_TEXT_BYTES];
	struct span user, status;
	int64_t ns;
};

/* What that leaves on machines, another release gives them; any other end may have given it. */
static bool has_failed(const struct release *r)
{
	return span_is(r->status, "failed") || span_is(r->status, "interrupted");
}

static bool is_under_way(const struct release *r, int64_t now_ns)
{
	return (span_is(r->status, "running") || span_is(r->status, "pending")) &&
	       r->ns > now_ns - MOVING_SECONDS * NS_PER_S;
}

/*
 * The first of the answer's that was made after the moment and has not failed, and whether none of
 * them was made before the moment.
 */
static bool find_release(const struct json *list, int64_t moment_ns, struct release *ret,
			 bool *ret_oldest)
{
	bool found = false;

	*ret_oldest = true;
	for (const struct json *v = json_first(list); v; v = json_next(v)) {
		struct release r = {.user = watch_text(v, "user"),
				    .status = watch_text(v, "status")};
		char number[TIME_TEXT_BYTES];
		struct span version = watch_scalar(v, "version", number);

		r.ns = watch_field_time(span_text(watch_time(v, "created_at", r.created_at)));
		if (r.ns == LISTING_NO_TIME || version.len == 0 || version.len >= sizeof(r.version))
			continue;
		/* A time in whole seconds may be cut: the release was made anywhere in that one. */
		if ((r.ns % NS_PER_S == 0 ? r.ns + NS_PER_S - 1 : r.ns) < moment_ns) {
			*ret_oldest = false;
			continue;
		}
		if (has_failed(&r) || (found && r.ns >= ret->ns))
			continue;
		(void)snprintf(r.version, sizeof(r.version), "%.*s", (int)version.len,
			       version.data);
		*ret = r;
		found = true;
	}
	return found;
}

static size_t count_of(const struct json *list)
{
	size_t count = 0;

	for (const struct json *v = json_first(list); v; v = json_next(v))
		count++;
	return count;
}

static enum err_kind set_releases(const struct watch_ask *ask, struct listing *l,
				  const struct json *list, struct err *err)
{
	bool is_full = count_of(list) >= RELEASES_MAX;
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < l->count && !rc; i++) {
		struct item *item = &l->items[i];
		int64_t moment_ns = watch_field_time(item->values[FIELD_updated_at]);
		struct release r;
		bool oldest;

		if (item->values[FIELD_release].len > 0 || moment_ns == LISTING_NO_TIME ||
		    !find_release(list, moment_ns, &r, &oldest))
			continue;
		/* There may be an older one, which the answer does not show. */
		if (oldest && is_full) {
			rc = watch_set(rc, l, item, FIELD_release, SPAN(UNKNOWN), err);
			continue;
		}
		/* Whether it is this one that gives it, its end will show. */
		if (is_under_way(&r, ask->now_ns)) {
			rc = watch_set(rc, l, item, FIELD_moving, SPAN("true"), err);
			continue;
		}
		rc = watch_set(rc, l, item, FIELD_release, span_text(r.version), err);
		rc = watch_set(rc, l, item, FIELD_released_at, span_text(r.created_at), err);
		rc = watch_set(rc, l, item, FIELD_released_by, r.user, err);
	}
	return rc;
}

/* Releases that cannot be had now, or never, hide no secret: the next look asks again. */
static enum err_kind ask_releases(const struct watch_ask *ask, struct listing *l, struct err *err)
{
	const struct watch_names names = {.app = ask->app};
	const struct json *list;
	struct json *root = NULL;
	struct err why = {.kind = ERR_NONE};
	enum err_kind rc = watch_api_get(ask->api, RELEASES_PATH, &names, &root, &why);

	if (rc) {
		if (rc == ERR_FATAL)
			*err = why;
		return rc == ERR_FATAL ? ERR_FATAL : ERR_NONE;
	}
	list = json_member(root, "releases");
	if (list && json_type(list) == JSON_ARRAY)
		rc = set_releases(ask, l, list, err);
	json_free(root);
	return rc;
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_list list = {
		.path = "v1/apps/{app}/secrets", .member = "secrets", .take = take_secret};
	bool pending = false;
	enum err_kind rc = watch_fetch_list(ask, &list, ret, err);

	if (!rc)
		rc = carry_over(ask, ret, &pending, err);
	if (!rc && pending)
		rc = ask_releases(ask, ret, err);
	/* What cannot be kept is no sign that the application is gone. */
	if (rc == ERR_REJECT && ret->count > 0)
		err->kind = rc = ERR_RETRY;
	return rc;
}

static bool is_moving(const struct listing *list)
{
	return watch_any_has(list, FIELD_moving);
}

/* --- what a change is --- */

static void describe_change(const struct change *c, const struct watch_ask *ask,
			    struct watch_fact *ret)
{
	static const char *const verbs[] = {"set", "updated", "unset"};
	static const enum action actions[] = {
		ACTION_secret_change_set, ACTION_secret_change_updated, ACTION_secret_change_unset};

	ret->action = actions[c->kind];
	ret->field_count = FIELDS_OF_CHANGE;
	watch_actor(ret, SPAN(""), "Fly's API does not say who changes a secret");
	/* Of one that is gone Fly does not say when; a time that was there before is of another. */
	if (c->kind != CHANGE_REMOVED &&
	    !(c->before &&
	      span_equal(c->before->values[FIELD_updated_at], c->item->values[FIELD_updated_at])))
		ret->fly_ns = watch_field_time(c->item->values[FIELD_updated_at]);
	if (c->kind == CHANGE_ADDED && ret->fly_ns == LISTING_NO_TIME)
		ret->fly_ns = watch_field_time(c->item->values[FIELD_created_at]);
	(void)snprintf(ret->summary, sizeof(ret->summary), "secret %.*s of %s was %s",
		       (int)c->item->key.len, c->item->key.data, ask->app, verbs[c->kind]);
}

static bool is_deployed(const struct change *c)
{
	return c->after && c->after->values[FIELD_release].len > 0 &&
	       !(c->before &&
		 span_equal(c->before->values[FIELD_release], c->after->values[FIELD_release]) &&
		 span_equal(c->before->values[FIELD_released_at],
			    c->after->values[FIELD_released_at]));
}

static void describe_deploy(const struct change *c, const struct watch_ask *ask,
			    struct watch_fact *ret)
{
	struct span release = c->after->values[FIELD_release];
	bool is_known = !span_is(release, UNKNOWN);

	ret->action = ACTION_secret_change_deployed;
	ret->field_count = FIELDS_OF_DEPLOY;
	watch_actor(ret, c->after->values[FIELD_released_by],
		    is_known ? "Fly's API names nobody as having made the release"
			     : "more releases were made since than Fly's answer shows");
	ret->fly_ns = watch_field_time(c->after->values[FIELD_released_at]);
	ret->since_ns = watch_field_time(c->after->values[FIELD_updated_at]);
	if (is_known)
		ret->correlation = release;
	(void)snprintf(ret->summary, sizeof(ret->summary),
		       "secret %.*s of %s was given to machines by release %.*s",
		       (int)c->item->key.len, c->item->key.data, ask->app, (int)release.len,
		       release.data);
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	bool changed = !(c->before && c->after && !has_changed(c->before, c->after));

	ret->target_type = "secret";
	if (changed && nth == 0) {
		describe_change(c, ask, ret);
		return true;
	}
	if (nth != (changed ? 1 : 0) || !is_deployed(c))
		return false;
	describe_deploy(c, ask, ret);
	return true;
}

const struct watch_resource watch_secrets = {
	.name = "secrets",
	.of = &watch_apps,
	.stirred_by = &watch_current_releases,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
	.is_moving = is_moving,
};
