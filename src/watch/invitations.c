/* Invitations to the organisation: who invited whom, and whether that person came. */

#include "watch/access.h"

#include <stdio.h>

/* What never changes is first: only that is told of an invitation that was made. */
enum {
	FIELD_email,
	FIELD_inviter,
	FIELD_created_at,
	FIELDS_OF_START,
	FIELD_redeemed = FIELDS_OF_START,
	FIELD_redeemed_at,
};

static const char *const fields[] = {"email", "inviter", "created_at", "redeemed", "redeemed_at"};

static enum err_kind take_invitation(const struct watch_ask *ask, const struct json *invitation,
				     struct listing *ret, struct err *err)
{
	char created[TIME_TEXT_BYTES], redeemed[TIME_TEXT_BYTES], text[TIME_TEXT_BYTES];
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, watch_text(invitation, "id"), &item, err);

	(void)ask;
	rc = access_set(rc, ret, item, FIELD_email, watch_text(invitation, "email"), err);
	rc = access_set(rc, ret, item, FIELD_inviter, access_email(invitation, "inviter"), err);
	rc = access_set(rc, ret, item, FIELD_created_at,
			span_text(watch_time(invitation, "createdAt", created)), err);
	rc = access_set(rc, ret, item, FIELD_redeemed, watch_scalar(invitation, "redeemed", text),
			err);
	return access_set(rc, ret, item, FIELD_redeemed_at,
			  span_text(watch_time(invitation, "redeemedAt", redeemed)), err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_query query = {
		.text = "query invitations($org: String!, $after: String) { "
			"organization(slug: $org) { invitations(first: 100, after: $after) { "
			"nodes { id email createdAt redeemed redeemedAt inviter { email } } "
			"pageInfo { hasNextPage endCursor } } } }",
		.owner = "organization",
		.member = "invitations",
		.take = take_invitation,
	};

	return watch_fetch_query(ask, &query, ret, err);
}

static bool is_redeemed(const struct item *item)
{
	return item && (span_is(item->values[FIELD_redeemed], "true") ||
			item->values[FIELD_redeemed_at].len > 0);
}

static void tell_made(const struct change *c, struct watch_fact *ret)
{
	struct span email = access_word(c->item->values[FIELD_email]);

	ret->action = ACTION_access_invitation_made;
	watch_actor(ret, c->item->values[FIELD_inviter], "Fly does not say who invited");
	ret->fly_ns = watch_field_time(c->item->values[FIELD_created_at]);
	ret->field_count = FIELDS_OF_START;
	(void)snprintf(ret->summary, sizeof(ret->summary), "%.*s was invited to the organisation",
		       (int)email.len, email.data);
}

static void tell_redeemed(const struct change *c, struct watch_fact *ret)
{
	struct span email = access_word(c->item->values[FIELD_email]);
	struct span inviter = access_word(c->item->values[FIELD_inviter]);

	ret->action = ACTION_access_invitation_redeemed;
	watch_actor(ret, c->item->values[FIELD_email], "Fly does not say who was invited");
	ret->fly_ns = watch_field_time(c->item->values[FIELD_redeemed_at]);
	(void)snprintf(ret->summary, sizeof(ret->summary), "%.*s took the invitation of %.*s",
		       (int)email.len, email.data, (int)inviter.len, inviter.data);
}

static void tell_gone(const struct change *c, struct watch_fact *ret)
{
	struct span email = access_word(c->item->values[FIELD_email]);

	ret->action = ACTION_access_invitation_gone;
	watch_actor(ret, SPAN(""),
		    "Fly does not say who withdrew the invitation, or that it lapsed");
	(void)snprintf(ret->summary, sizeof(ret->summary), "the invitation of %.*s is gone",
		       (int)email.len, email.data);
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	(void)ask;
	ret->target_type = "invitation";
	ret->target = c->item->values[FIELD_email];
	ret->correlation = c->item->key;
	if (c->kind == CHANGE_ADDED && nth-- == 0)
		tell_made(c, ret);
	else if (nth == 0 && is_redeemed(c->after) && !is_redeemed(c->before))
		tell_redeemed(c, ret);
	else if (nth == 0 && c->kind == CHANGE_REMOVED && !is_redeemed(c->before))
		tell_gone(c, ret);
	else
		return false;
	return true;
}

const struct watch_resource watch_invitations = {
	.name = "invitations",
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
