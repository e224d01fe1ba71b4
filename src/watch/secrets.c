/*
 * Secrets of an application: names, digests and times. Setting and unsetting leave no line in the
 * logs, and name nobody. The digest is kept as its HMAC alone, because it may let a weak value be
 * guessed.
 */

#include "watch/resource.h"

#include <stdio.h>

enum { FIELD_mac, FIELD_created_at, FIELD_updated_at };

static const char *const fields[] = {"digest_mac", "created_at", "updated_at"};

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

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_list list = {
		.path = "v1/apps/{app}/secrets", .member = "secrets", .take = take_secret};

	return watch_fetch_list(ask, &list, ret, err);
}

/* Another key of ours makes other HMACs of all digests: that is nothing of Fly's. */
static bool has_changed(const struct item *before, const struct item *after)
{
	return !span_equal(before->values[FIELD_created_at], after->values[FIELD_created_at]) ||
	       !span_equal(before->values[FIELD_updated_at], after->values[FIELD_updated_at]) ||
	       watch_macs_differ(before->values[FIELD_mac], after->values[FIELD_mac]);
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	static const char *const verbs[] = {"set", "updated", "unset"};
	static const enum action actions[] = {
		ACTION_secret_change_set, ACTION_secret_change_updated, ACTION_secret_change_unset};

	if (nth > 0 || (c->before && c->after && !has_changed(c->before, c->after)))
		return false;
	ret->action = actions[c->kind];
	ret->target_type = "secret";
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
	return true;
}

const struct watch_resource watch_secrets = {
	.name = "secrets",
	.of = &watch_apps,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
