/*
 * WireGuard peers, which reach the organisation's private network. Fly says neither who made one
 * nor when, but flyctl names those that it makes itself
 *
 *	interactive-HOST-ADDRESS-ULID
 *
 * after the machine, the address of the person (all but letters and digits as '-') and the time.
 * A name can be chosen: what it says is a claim of whoever made the peer, and its time is believed
 * only where that fits with when the peer was seen. Keys are not asked for.
 */

#include "watch/access.h"

#include <stdio.h>

/* What Fly says is first: only that is told of a peer that came, for members come and go, too. */
enum {
	FIELD_name,
	FIELD_region,
	FIELD_network,
	FIELD_address,
	FIELDS_OF_START,
	FIELD_owner = FIELDS_OF_START,
	FIELD_owner_doubt
};

static const char *const fields[] = {"name",    "region", "network",
				     "address", "owner",  "owner_doubt"};

enum { ULID_DIGITS = 26, ULID_TIME_DIGITS = 10, ULID_DIGIT_BITS = 5, CLOCK_SECONDS = 60 };

static const struct span by_flyctl = {"interactive-", sizeof("interactive-") - 1};

/* --- names --- */

/* A digit of Crockford's base 32; -1: it is none. */
static int ulid_digit(char c)
{
	static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	char upper = c >= 'a' && c <= 'z' ? (char)(c - ('a' - 'A')) : c;
	const char *at = memchr(digits, upper, sizeof(digits) - 1);

	return at ? (int)(at - digits) : -1;
}

/* "HOST-ADDRESS" of a name that flyctl made; empty: it did not. */
static struct span owned_part(struct span name)
{
	size_t around = by_flyctl.len + 1 + ULID_DIGITS;

	if (!span_starts(name, by_flyctl) || name.len <= around ||
	    name.data[name.len - ULID_DIGITS - 1] != '-')
		return SPAN("");
	for (size_t i = name.len - ULID_DIGITS; i < name.len; i++)
		if (ulid_digit(name.data[i]) < 0)
			return SPAN("");
	return span_of(name.data + by_flyctl.len, name.len - around);
}

static int64_t time_in(struct span name)
{
	struct span digits = span_of(name.data + name.len - ULID_DIGITS, ULID_TIME_DIGITS);
	uint64_t ms = 0;

	for (size_t i = 0; i < digits.len; i++)
		ms = ms << ULID_DIGIT_BITS | (uint64_t)ulid_digit(digits.data[i]);
	return ms < (uint64_t)(INT64_MAX / NS_PER_MS) ? (int64_t)ms * NS_PER_MS : LISTING_NO_TIME;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Whether "HOST-ADDRESS" ends with an address, as it stands in a name. */
static bool ends_with(struct span owned, struct span email)
{
	size_t start = owned.len - email.len;

	if (email.len == 0 || owned.len <= email.len + 1 || owned.data[start - 1] != '-')
		return false;
	for (size_t i = 0; i < email.len; i++) {
		char want = lower(email.data[i]);

		if (lower(owned.data[start + i]) != (is_plain(want) ? want : '-'))
			return false;
	}
	return true;
}

/* --- owners --- */

/* Why there is no owner, as the field says it, and as people read it. */
enum doubt { DOUBT_none, DOUBT_named, DOUBT_members, DOUBT_nobody, DOUBT_several };

static const struct {
	const char *field, *reason;
} doubts[] = {
	/* There is one, who can yet be no actor: a member may have an odd address. */
	[DOUBT_none] = {"", "what stands in the peer's name for its owner is no e-mail address"},
	[DOUBT_named] = {"named", "somebody named the peer, and Fly does not say who"},
	[DOUBT_members] = {"members", "the members, whose address would be in the peer's name, "
				      "could not be read"},
	[DOUBT_nobody] = {"nobody", "the address in the peer's name is no member's"},
	[DOUBT_several] = {"several", "the address in the peer's name may be of several members"},
};

enum { MEMBER_email };

static enum err_kind take_member(const struct watch_ask *ask, const struct json *edge,
				 struct listing *ret, struct err *err)
{
	const struct json *user = json_member(edge, "node");
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, watch_text(user, "id"), &item, err);

	(void)ask;
	return access_set(rc, ret, item, MEMBER_email, watch_text(user, "email"), err);
}

static enum err_kind fetch_members(const struct watch_ask *ask, struct listing *ret,
				   struct err *err)
{
	static const struct watch_query query = {
		.text = "query peer_owners($org: String!, $after: String) { "
			"organization(slug: $org) { members(first: 100, after: $after) { "
			"edges { node { id email } } pageInfo { hasNextPage endCursor } } } }",
		.owner = "organization",
		.member = "members",
		.take = take_member,
	};

	return watch_fetch_query(ask, &query, ret, err);
}

static enum doubt find_owner(const struct listing *members, struct span owned, struct span *ret)
{
	enum doubt doubt = DOUBT_nobody;

	for (size_t i = 0; i < members->count; i++) {
		struct span email = members->items[i].values[MEMBER_email];

		if (!ends_with(owned, email))
			continue;
		if (doubt == DOUBT_none)
			return DOUBT_several;
		doubt = DOUBT_none;
		*ret = email;
	}
	return doubt;
}

/* members NULL: they could not be read. */
static enum err_kind name_owner(const struct listing *members, struct listing *peers,
				struct item *peer, struct err *err)
{
	struct span owner = SPAN("");
	struct span owned = owned_part(peer->values[FIELD_name]);
	enum doubt doubt = DOUBT_members;
	enum err_kind rc;

	if (owned.len == 0)
		doubt = DOUBT_named;
	else if (members)
		doubt = find_owner(members, owned, &owner);
	rc = listing_set(peers, peer, FIELD_owner, doubt == DOUBT_none ? owner : SPAN(""), err);
	return watch_set(rc, peers, peer, FIELD_owner_doubt, span_text(doubts[doubt].field), err);
}

static bool is_settled(const struct item *peer)
{
	return peer->values[FIELD_owner].len > 0 || peer->values[FIELD_owner_doubt].len > 0;
}

/* Of peers that are new: who owns one is not found out again. */
static enum err_kind name_owners(const struct watch_ask *ask, struct listing *peers,
				 struct err *err)
{
	static const char *const member_fields[] = {"email"};
	static const struct listing_shape shape = {.fields = member_fields, .field_count = 1};
	struct listing members;
	struct err unread = {.kind = ERR_NONE};
	bool is_asked = false;
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < peers->count && !is_asked; i++)
		is_asked = !is_settled(&peers->items[i]) &&
			   owned_part(peers->items[i].values[FIELD_name]).len > 0;
	listing_init(&members, &shape);
	/* A token that may read peers need not be one that may read members. */
	if (is_asked && (fetch_members(ask, &members, &unread) || members.part))
		is_asked = false;
	for (size_t i = 0; i < peers->count && !rc; i++)
		if (!is_settled(&peers->items[i]))
			rc = name_owner(is_asked ? &members : NULL, peers, &peers->items[i], err);
	listing_release(&members);
	if (unread.kind == ERR_FATAL)
		*err = unread;
	return unread.kind == ERR_FATAL ? ERR_FATAL : rc;
}

/* --- the list --- */

static enum err_kind take_peer(const struct watch_ask *ask, const struct json *peer,
			       struct listing *ret, struct err *err)
{
	struct span id = watch_text(peer, "id");
	const struct item *before;
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, id, &item, err);

	rc = access_set(rc, ret, item, FIELD_name, watch_text(peer, "name"), err);
	rc = access_set(rc, ret, item, FIELD_region, watch_text(peer, "region"), err);
	rc = access_set(rc, ret, item, FIELD_network, watch_text(peer, "network"), err);
	rc = access_set(rc, ret, item, FIELD_address, watch_text(peer, "peerip"), err);
	before = rc ? NULL : listing_find(ask->before, id);
	if (!before || !span_equal(before->values[FIELD_name], item->values[FIELD_name]))
		return rc;
	rc = listing_set(ret, item, FIELD_owner, before->values[FIELD_owner], err);
	return watch_set(rc, ret, item, FIELD_owner_doubt, before->values[FIELD_owner_doubt], err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_query query = {
		.text = "query peers($org: String!, $after: String) { "
			"organization(slug: $org) { wireGuardPeers(first: 100, after: $after) { "
			"nodes { id name region network peerip } "
			"pageInfo { hasNextPage endCursor } } } }",
		.owner = "organization",
		.member = "wireGuardPeers",
		.take = take_peer,
	};
	enum err_kind rc = watch_fetch_query(ask, &query, ret, err);

	return rc ? rc : name_owners(ask, ret, err);
}

/* --- what a change is --- */

static const char *reason_of(struct span doubt)
{
	for (size_t i = 0; i < ARRAY_LEN(doubts); i++)
		if (span_is(doubt, doubts[i].field))
			return doubts[i].reason;
	return doubts[DOUBT_named].reason;
}

/* Nobody saw it before the change began, nor could it be seen before it was made. */
static int64_t time_of(const struct change *c)
{
	static const int64_t clock_ns = CLOCK_SECONDS * NS_PER_S;
	struct span name = c->item->values[FIELD_name];
	int64_t ns = owned_part(name).len > 0 ? time_in(name) : LISTING_NO_TIME;

	if (ns < 0 || ns - c->to_ns > clock_ns || (ns < c->from_ns && c->from_ns - ns > clock_ns))
		return LISTING_NO_TIME;
	return ns;
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	struct span name = access_word(c->item->values[FIELD_name]);
	struct span doubt = c->item->values[FIELD_owner_doubt];
	bool is_new = c->kind == CHANGE_ADDED;

	(void)ask;
	if (nth > 0 || c->kind == CHANGE_CHANGED)
		return false;
	ret->action = is_new ? ACTION_access_peer_added : ACTION_access_peer_removed;
	ret->target_type = "peer";
	ret->target = c->item->values[FIELD_name];
	ret->correlation = c->item->key;
	if (is_new) {
		ret->field_count = FIELDS_OF_START;
		watch_actor(ret, c->item->values[FIELD_owner], reason_of(doubt));
		/* Fly tells the name, and whoever made the peer what stands in it. */
		if (ret->actor_type != ACTOR_UNKNOWN)
			ret->actor_reason =
				"inferred: from the peer's name, which its maker may choose";
		ret->fly_ns = time_of(c);
		/* As somebody's who is no member any more would be. */
		if (span_is(doubt, doubts[DOUBT_nobody].field))
			ret->severity = SEVERITY_HIGH;
	} else {
		watch_actor(ret, SPAN(""),
			    "Fly does not say who removes a peer, or that it lapsed");
	}
	(void)snprintf(ret->summary, sizeof(ret->summary), "the WireGuard peer %.*s %s",
		       (int)name.len, name.data,
		       is_new ? "can reach the organisation's network" : "is gone");
	return true;
}

const struct watch_resource watch_peers = {
	.name = "peers",
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
