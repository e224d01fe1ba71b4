/* Tokens that make WireGuard peers by themselves: who has one can reach the network. */

#include "watch/access.h"

#include <stdio.h>

enum { FIELD_name };

static const char *const fields[] = {"name"};

static enum err_kind take_token(const struct watch_ask *ask, const struct json *token,
				struct listing *ret, struct err *err)
{
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, watch_text(token, "id"), &item, err);

	(void)ask;
	return access_set(rc, ret, item, FIELD_name, watch_text(token, "name"), err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_query query = {
		.text = "query delegated_tokens($org: String!, $after: String) { "
			"organization(slug: $org) { "
			"delegatedWireGuardTokens(first: 100, after: $after) { nodes { id name } "
			"pageInfo { hasNextPage endCursor } } } }",
		.owner = "organization",
		.member = "delegatedWireGuardTokens",
		.take = take_token,
	};

	return watch_fetch_query(ask, &query, ret, err);
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	struct span name = access_word(c->item->values[FIELD_name]);
	bool is_new = c->kind == CHANGE_ADDED;

	(void)ask;
	if (nth > 0 || c->kind == CHANGE_CHANGED)
		return false;
	ret->action = is_new ? ACTION_access_token_created : ACTION_access_token_revoked;
	ret->target_type = "wireguard_token";
	ret->target = c->item->values[FIELD_name];
	ret->correlation = c->item->key;
	watch_actor(ret, SPAN(""), "Fly does not say whose a WireGuard token is");
	(void)snprintf(ret->summary, sizeof(ret->summary), "the WireGuard token %.*s %s",
		       (int)name.len, name.data, is_new ? "was made" : "is gone");
	return true;
}

const struct watch_resource watch_delegated_tokens = {
	.name = "delegated_tokens",
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
