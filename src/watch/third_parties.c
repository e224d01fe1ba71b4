/*
 * Third parties that must vouch for who uses a token, as a single sign-on does: one that is gone,
 * or not asked any more, opens what it had closed.
 */

#include "watch/access.h"

#include <stdio.h>

enum {
	FIELD_name,
	FIELD_location,
	FIELD_flyctl_level,
	FIELD_uiex_level,
	FIELD_custom_level,
	FIELD_created_at,
	FIELDS_OF_START, /* who is asked is another fact each time; a time of change is not */
	FIELD_updated_at = FIELDS_OF_START,
};

static const char *const fields[] = {"name",         "location",   "flyctl_level", "uiex_level",
				     "custom_level", "created_at", "updated_at"};

static enum err_kind take_party(const struct watch_ask *ask, const struct json *party,
				struct listing *ret, struct err *err)
{
	char created[TIME_TEXT_BYTES], updated[TIME_TEXT_BYTES];
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, watch_text(party, "id"), &item, err);

	(void)ask;
	rc = access_set(rc, ret, item, FIELD_name, watch_text(party, "name"), err);
	rc = access_set(rc, ret, item, FIELD_location, watch_text(party, "location"), err);
	rc = access_set(rc, ret, item, FIELD_flyctl_level, watch_text(party, "flyctlLevel"), err);
	rc = access_set(rc, ret, item, FIELD_uiex_level, watch_text(party, "uiexLevel"), err);
	rc = access_set(rc, ret, item, FIELD_custom_level, watch_text(party, "customLevel"), err);
	rc = access_set(rc, ret, item, FIELD_created_at,
			span_text(watch_time(party, "createdAt", created)), err);
	return access_set(rc, ret, item, FIELD_updated_at,
			  span_text(watch_time(party, "updatedAt", updated)), err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_query query = {
		.text = "query third_parties($org: String!, $after: String) { "
			"organization(slug: $org) { "
			"thirdPartyConfigurations(first: 100, after: $after) { "
			"nodes { id name location flyctlLevel uiexLevel customLevel createdAt "
			"updatedAt } pageInfo { hasNextPage endCursor } } } }",
		.owner = "organization",
		.member = "thirdPartyConfigurations",
		.take = take_party,
	};

	return watch_fetch_query(ask, &query, ret, err);
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	static const struct {
		enum action action;
		const char *what;
	} said[] = {
		[CHANGE_ADDED] = {ACTION_access_third_party_added, "vouches for tokens"},
		[CHANGE_CHANGED] = {ACTION_access_third_party_changed, "vouches in another way"},
		[CHANGE_REMOVED] = {ACTION_access_third_party_removed, "vouches no longer"},
	};
	struct span name = access_word(c->item->values[FIELD_name]);
	size_t time = c->kind == CHANGE_ADDED ? FIELD_created_at : FIELD_updated_at;

	(void)ask;
	if (nth > 0)
		return false;
	ret->action = said[c->kind].action;
	ret->target_type = "third_party";
	ret->target = c->item->values[FIELD_name];
	ret->correlation = c->item->key;
	watch_actor(ret, SPAN(""), "Fly does not say who changes third parties");
	if (c->kind == CHANGE_ADDED)
		ret->field_count = FIELDS_OF_START;
	/* A time that was there before is of another change. */
	if (c->kind == CHANGE_ADDED || access_moved(c, FIELD_updated_at))
		ret->fly_ns = watch_field_time(c->item->values[time]);
	(void)snprintf(ret->summary, sizeof(ret->summary), "the third party %.*s %s", (int)name.len,
		       name.data, said[c->kind].what);
	return true;
}

const struct watch_resource watch_third_parties = {
	.name = "third_parties",
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
