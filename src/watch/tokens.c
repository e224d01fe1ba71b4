/*
 * Tokens that give access to the organisation: who made them, until when they are good, and who
 * revoked them. Neither the token, nor its header, nor what it may do in detail is asked for: the
 * first two give the access itself. Whether Fly lists an application's own tokens among those of
 * the organisation is not known.
 *
 * A token that is good for more than TOKEN_LIFE_DAYS_MAX has no expiry that anybody will see.
 */

#include "watch/tokens.h"

#include "watch/access.h"

#include <stdio.h>

/* What never changes is first: only that is told of a token that was made. */
enum {
	FIELD_name,
	FIELD_profile,
	FIELD_user,
	FIELD_created_at,
	FIELD_expires_at,
	FIELDS_OF_START,
	FIELD_expiry = FIELDS_OF_START,
	FIELD_revoked_at,
	FIELD_revoked_by
};

static const char *const fields[] = {"name",       "profile", "user",       "created_at",
				     "expires_at", "expiry",  "revoked_at", "revoked_by"};

enum { TOKEN_SOON_DAYS = 30, TOKEN_LIFE_DAYS_MAX = 5 * 365, SECONDS_A_DAY = 24 * 3600 };

static const int64_t day_ns = SECONDS_A_DAY * NS_PER_S;

/* What the field expiry says: it differs when its time has come. */
static const char soon[] = "soon", expired[] = "expired";

static const char *expiry_of(int64_t expires_ns, int64_t now_ns)
{
	if (expires_ns == LISTING_NO_TIME || expires_ns > now_ns + TOKEN_SOON_DAYS * day_ns)
		return "";
	return expires_ns > now_ns ? soon : expired;
}

/*
 * When flytrail first looks, a token may be about to expire already. That must not go down in the
 * baseline, and so is said at the second look.
 */
static const char *expiry_to_say(const struct watch_ask *ask, struct span id, int64_t expires_ns)
{
	const char *expiry = expiry_of(expires_ns, ask->now_ns);

	return expiry == soon && !listing_find(ask->before, id) ? "" : expiry;
}

static enum err_kind take_token(const struct watch_ask *ask, const struct json *token,
				struct listing *ret, struct err *err)
{
	char created[TIME_TEXT_BYTES], expires[TIME_TEXT_BYTES], revoked[TIME_TEXT_BYTES];
	int64_t expires_ns = watch_field_time(span_text(watch_time(token, "expiresAt", expires)));
	struct span id = watch_text(token, "id");
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, id, &item, err);

	rc = access_set(rc, ret, item, FIELD_name, watch_text(token, "name"), err);
	rc = access_set(rc, ret, item, FIELD_profile, watch_text(token, "profile"), err);
	rc = access_set(rc, ret, item, FIELD_user, access_email(token, "user"), err);
	rc = access_set(rc, ret, item, FIELD_created_at,
			span_text(watch_time(token, "createdAt", created)), err);
	rc = access_set(rc, ret, item, FIELD_expires_at, span_text(expires), err);
	rc = access_set(rc, ret, item, FIELD_expiry, span_text(expiry_to_say(ask, id, expires_ns)),
			err);
	rc = access_set(rc, ret, item, FIELD_revoked_at,
			span_text(watch_time(token, "revokedAt", revoked)), err);
	return access_set(rc, ret, item, FIELD_revoked_by, watch_text(token, "revokedBy"), err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_query query = {
		.text = "query tokens($org: String!, $after: String) { "
			"organization(slug: $org) { limitedAccessTokens(first: 100, after: $after) "
			"{ "
			"nodes { id name profile createdAt expiresAt revokedAt revokedBy "
			"user { email } } pageInfo { hasNextPage endCursor } } } }",
		.owner = "organization",
		.member = "limitedAccessTokens",
		.take = take_token,
	};

	return watch_fetch_query(ask, &query, ret, err);
}

/* --- what a change is --- */

/* flytrail's own by its name: who takes that away, ends the trail. */
static bool is_own(const struct item *token)
{
	return span_starts(token->values[FIELD_name], SPAN("flytrail"));
}

static bool is_revoked(const struct item *token)
{
	return token->values[FIELD_revoked_at].len > 0;
}

static int64_t life_ns(const struct item *token)
{
	int64_t created_ns = watch_field_time(token->values[FIELD_created_at]);
	int64_t expires_ns = watch_field_time(token->values[FIELD_expires_at]);

	return created_ns < 0 || expires_ns < created_ns ? 0 : expires_ns - created_ns;
}

static bool lives_too_long(const struct item *token)
{
	return token->values[FIELD_expires_at].len == 0 ||
	       life_ns(token) > TOKEN_LIFE_DAYS_MAX * day_ns;
}

static bool tell_created(const struct change *c, struct watch_fact *ret)
{
	struct span name = access_word(c->item->values[FIELD_name]);
	struct span profile = access_word(c->item->values[FIELD_profile]);
	struct span until = c->item->values[FIELD_expires_at];
	bool is_long = lives_too_long(c->item);

	if (c->kind != CHANGE_ADDED)
		return false;
	ret->action = ACTION_access_token_created;
	watch_actor(ret, c->item->values[FIELD_user], "Fly does not say who made the token");
	ret->fly_ns = watch_field_time(c->item->values[FIELD_created_at]);
	ret->field_count = FIELDS_OF_START;
	ret->severity = is_long ? SEVERITY_HIGH : SEVERITY_UNKNOWN;
	(void)snprintf(ret->summary, sizeof(ret->summary), "the token %.*s (%.*s) was made, %s%.*s",
		       (int)name.len, name.data, (int)profile.len, profile.data,
		       until.len == 0 ? "without expiry"
		       : is_long      ? "as good as without expiry: until "
				      : "good until ",
		       (int)until.len, until.len > 0 ? until.data : "");
	return true;
}

/* One that is not listed any more, and had not expired, was taken away. */
static bool tell_revoked(const struct change *c, struct watch_fact *ret)
{
	struct span name = access_word(c->item->values[FIELD_name]);
	bool was_good = !c->before || !is_revoked(c->before);
	bool is_taken =
		c->after ? is_revoked(c->after) : !span_is(c->item->values[FIELD_expiry], expired);

	if (!was_good || !is_taken)
		return false;
	ret->action = ACTION_access_token_revoked;
	watch_actor(ret, c->after ? c->after->values[FIELD_revoked_by] : SPAN(""),
		    c->after ? "Fly names nobody who revoked the token"
			     : "Fly does not list the token any more, and so not who revoked it");
	if (c->after)
		ret->fly_ns = watch_field_time(c->after->values[FIELD_revoked_at]);
	(void)snprintf(ret->summary, sizeof(ret->summary), "the token %.*s was revoked",
		       (int)name.len, name.data);
	return true;
}

/* The day itself is Fly's, for it follows from what Fly says. */
static bool tell_expiry(const struct change *c, struct watch_fact *ret)
{
	struct span name = access_word(c->item->values[FIELD_name]);
	struct span was = c->before ? c->before->values[FIELD_expiry] : SPAN("");
	struct span is = c->after ? c->after->values[FIELD_expiry] : SPAN("");
	bool is_over = span_is(is, expired);

	/* One that was made for less than that is always about to expire. */
	if (is.len == 0 || span_equal(was, is) || is_revoked(c->item) ||
	    (!is_over && life_ns(c->item) <= TOKEN_SOON_DAYS * day_ns))
		return false;
	ret->action = is_over ? ACTION_access_token_expired : ACTION_access_token_expiring;
	watch_actor(ret, SPAN(""), "time alone did it");
	ret->fly_ns = watch_field_time(c->item->values[FIELD_expires_at]);
	if (!is_over)
		ret->fly_ns -= TOKEN_SOON_DAYS * day_ns;
	(void)snprintf(ret->summary, sizeof(ret->summary),
		       is_over ? "the token %.*s has expired" : "the token %.*s is about to expire",
		       (int)name.len, name.data);
	return true;
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	static bool (*const tell[])(const struct change *c, struct watch_fact *ret) = {
		tell_created, tell_revoked, tell_expiry};

	(void)ask;
	ret->target_type = "token";
	ret->target = c->item->values[FIELD_name];
	ret->correlation = c->item->key;
	for (size_t i = 0; i < ARRAY_LEN(tell); i++) {
		struct watch_fact fact = *ret;

		if (!tell[i](c, &fact) || nth-- > 0)
			continue;
		*ret = fact;
		if (is_own(c->item))
			ret->severity = SEVERITY_FATAL;
		return true;
	}
	return false;
}

const struct watch_resource watch_tokens = {
	.name = "tokens",
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};

/* --- flytrail's own --- */

enum err_kind tokens_own_end(struct span snapshot, int64_t now_ns, int64_t *ret_ns, struct err *err)
{
	struct listing tokens;
	enum err_kind rc;

	*ret_ns = LISTING_NO_TIME;
	listing_init(&tokens, &watch_tokens.shape);
	rc = listing_read(&tokens, snapshot, err);
	for (size_t i = 0; i < tokens.count && !rc; i++) {
		const struct item *token = &tokens.items[i];
		int64_t ends_ns = watch_field_time(token->values[FIELD_expires_at]);

		if (is_own(token) && !is_revoked(token) && token->missing_ns == LISTING_NO_TIME &&
		    ends_ns > now_ns && (*ret_ns == LISTING_NO_TIME || ends_ns < *ret_ns))
			*ret_ns = ends_ns;
	}
	listing_release(&tokens);
	return rc;
}
