/*
 * Members of the organisation, by Fly's id of the user: roles, and who is protected by a second
 * factor. Fly says when somebody joined, and neither who let them in nor who sent them away.
 */

#include "watch/access.h"

#include <stdio.h>

enum { FIELD_email, FIELD_role, FIELD_two_factor, FIELD_joined_at };

static const char *const fields[] = {"email", "role", "two_factor", "joined_at"};

static enum err_kind take_member(const struct watch_ask *ask, const struct json *edge,
				 struct listing *ret, struct err *err)
{
	const struct json *user = json_member(edge, "node");
	char joined[TIME_TEXT_BYTES], protected[TIME_TEXT_BYTES];
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, watch_text(user, "id"), &item, err);

	(void)ask;
	rc = access_set(rc, ret, item, FIELD_email, watch_text(user, "email"), err);
	rc = access_set(rc, ret, item, FIELD_role, watch_text(edge, "role"), err);
	rc = access_set(rc, ret, item, FIELD_two_factor,
			watch_scalar(user, "twoFactorProtection", protected), err);
	return access_set(rc, ret, item, FIELD_joined_at,
			  span_text(watch_time(edge, "joinedAt", joined)), err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_query query = {
		.text = "query members($org: String!, $after: String) { "
			"organization(slug: $org) { members(first: 100, after: $after) { "
			"edges { role joinedAt node { id email twoFactorProtection } } "
			"pageInfo { hasNextPage endCursor } } } }",
		.owner = "organization",
		.member = "members",
		.take = take_member,
	};

	return watch_fetch_query(ask, &query, ret, err);
}

static bool is_admin(const struct item *item)
{
	return span_is(item->values[FIELD_role], "ADMIN");
}

static bool tell_coming(const struct change *c, struct watch_fact *ret)
{
	struct span role = access_word(c->item->values[FIELD_role]);
	struct span email = access_word(c->item->values[FIELD_email]);
	bool is_bare = span_is(c->item->values[FIELD_two_factor], "false");

	ret->action = ACTION_access_member_added;
	watch_actor(ret, SPAN(""), "Fly's API does not say who lets a member in");
	ret->fly_ns = watch_field_time(c->item->values[FIELD_joined_at]);
	ret->severity = is_admin(c->item) ? SEVERITY_HIGH : SEVERITY_UNKNOWN;
	(void)snprintf(ret->summary, sizeof(ret->summary),
		       "%.*s became a member of the organisation, as %.*s%s", (int)email.len,
		       email.data, (int)role.len, role.data,
		       is_bare ? ", without two-factor authentication" : "");
	return true;
}

static bool tell_going(const struct change *c, struct watch_fact *ret)
{
	struct span email = access_word(c->item->values[FIELD_email]);

	ret->action = ACTION_access_member_removed;
	watch_actor(ret, SPAN(""), "Fly's API does not say who removes a member");
	(void)snprintf(ret->summary, sizeof(ret->summary),
		       "%.*s is no longer a member of the organisation", (int)email.len,
		       email.data);
	return true;
}

static void tell_role(const struct change *c, struct watch_fact *ret)
{
	struct span email = access_word(c->item->values[FIELD_email]);
	struct span was = access_word(c->before->values[FIELD_role]);
	struct span is = access_word(c->after->values[FIELD_role]);

	ret->action = ACTION_access_member_changed;
	ret->severity = is_admin(c->after) ? SEVERITY_HIGH : SEVERITY_UNKNOWN;
	(void)snprintf(ret->summary, sizeof(ret->summary), "%.*s is %.*s now, and was %.*s",
		       (int)email.len, email.data, (int)is.len, is.data, (int)was.len, was.data);
}

static void tell_two_factor(const struct change *c, struct watch_fact *ret)
{
	struct span email = access_word(c->item->values[FIELD_email]);
	bool is_off = span_is(c->after->values[FIELD_two_factor], "false");

	ret->action = is_off ? ACTION_access_two_factor_off : ACTION_access_two_factor_on;
	(void)snprintf(ret->summary, sizeof(ret->summary),
		       "two-factor authentication of %.*s was turned %s", (int)email.len,
		       email.data, is_off ? "off" : "on");
}

static void tell_email(const struct change *c, struct watch_fact *ret)
{
	struct span was = access_word(c->before->values[FIELD_email]);
	struct span is = access_word(c->after->values[FIELD_email]);

	ret->action = ACTION_access_member_changed;
	(void)snprintf(ret->summary, sizeof(ret->summary),
		       "the member %.*s has another address: %.*s", (int)was.len, was.data,
		       (int)is.len, is.data);
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	static const struct {
		size_t field;
		void (*tell)(const struct change *c, struct watch_fact *ret);
	} parts[] = {{FIELD_role, tell_role},
		     {FIELD_two_factor, tell_two_factor},
		     {FIELD_email, tell_email}};

	(void)ask;
	ret->target_type = "member";
	ret->target = c->item->values[FIELD_email];
	if (c->kind == CHANGE_ADDED)
		return nth == 0 && tell_coming(c, ret);
	if (c->kind == CHANGE_REMOVED)
		return nth == 0 && tell_going(c, ret);
	watch_actor(ret, SPAN(""), "Fly's API does not say who changes a member");
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (!access_moved(c, parts[i].field) || nth-- > 0)
			continue;
		parts[i].tell(c, ret);
		return true;
	}
	return false;
}

const struct watch_resource watch_members = {
	.name = "members",
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
