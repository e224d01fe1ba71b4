/*
 * The certificates of one host name: an item for each kind that Fly serves ("fly/ecdsa", "custom"),
 * of which the one that is valid longest counts, because one that was renewed may be listed beside
 * its successor; and an item for what keeps Fly from validating the name.
 */

#include "watch/resource.h"

#include <stdio.h>

enum {
	FIELD_status,
	FIELD_issuer,
	FIELD_authority,
	FIELD_created_at,
	FIELD_expires_at,
	FIELD_expiry,
	FIELD_errors,
	FIELD_failed_at,
	FIELD_COUNT,
};

static const char *const fields[FIELD_COUNT] = {
	"status",     "issuer", "authority", "created_at",
	"expires_at", "expiry", "errors",    "failed_at",
};

enum { KEY_BYTES = 128, ERRORS_BYTES = 512 };

static const char VALIDATION[] = "validation";
static const char SOON[] = "soon";
static const char EXPIRED[] = "expired";

/* Fly renews its own a month before. */
#define SOON_NS (INT64_C(14) * 24 * 3600 * NS_PER_S)

/* --- what there is --- */

static const char *expiry_at(const struct watch_ask *ask, int64_t expires_ns)
{
	if (expires_ns == LISTING_NO_TIME || expires_ns > ask->now_ns + SOON_NS)
		return "";
	return expires_ns > ask->now_ns ? SOON : EXPIRED;
}

/* One that expires soon at the first look must not go down in the baseline: the second says it. */
static const char *expiry_to_say(const struct watch_ask *ask, int64_t expires_ns)
{
	const char *expiry = expiry_at(ask, expires_ns);

	return expiry == SOON && ask->before_ns == LISTING_NO_TIME ? "" : expiry;
}

/* issued: one of the entry's, or the entry itself. */
static enum err_kind take_issued(const struct watch_ask *ask, const struct json *entry,
				 const struct json *issued, struct listing *ret, struct err *err)
{
	struct span source = watch_text(entry, "source"), type = watch_text(issued, "type");
	char key[KEY_BYTES], created[TIME_TEXT_BYTES], expires[TIME_TEXT_BYTES];
	int64_t expires_ns = watch_field_time(span_text(watch_time(issued, "expires_at", expires)));
	struct item *item = NULL;
	enum err_kind rc = ERR_NONE;

	if (source.len == 0)
		source = SPAN("unknown");
	(void)snprintf(key, sizeof(key), "%.*s%s%.*s", (int)source.len, source.data,
		       type.len > 0 ? "/" : "", (int)type.len, type.data);
	item = listing_added(ret, span_text(key));
	if (item && watch_field_time(item->values[FIELD_expires_at]) >= expires_ns)
		return ERR_NONE;
	if (!item)
		rc = listing_add(ret, span_text(key), &item, err);
	rc = watch_set(rc, ret, item, FIELD_status, watch_text(entry, "status"), err);
	rc = watch_set(rc, ret, item, FIELD_issuer, watch_text(entry, "issuer"), err);
	rc = watch_set(rc, ret, item, FIELD_authority, watch_text(issued, "certificate_authority"),
		       err);
	rc = watch_set(rc, ret, item, FIELD_created_at,
		       span_text(watch_time(entry, "created_at", created)), err);
	rc = watch_set(rc, ret, item, FIELD_expires_at, span_text(expires), err);
	return watch_set(rc, ret, item, FIELD_expiry, span_text(expiry_to_say(ask, expires_ns)),
			 err);
}

static enum err_kind take_entry(const struct watch_ask *ask, const struct json *entry,
				struct listing *ret, struct err *err)
{
	const struct json *list = json_member(entry, "issued");
	const struct json *issued = list && json_type(list) == JSON_ARRAY ? json_first(list) : NULL;
	enum err_kind rc = ERR_NONE;

	if (!issued)
		return take_issued(ask, entry, entry, ret, err);
	for (; issued && !rc; issued = json_next(issued))
		rc = take_issued(ask, entry, issued, ret, err);
	return rc;
}

/* Their codes, and no more of what Fly says: as many as there is room for. */
static enum err_kind take_errors(const struct json *detail, struct listing *ret, struct err *err)
{
	const struct json *list = json_member(detail, "validation_errors");
	char codes[ERRORS_BYTES] = "", latest[TIME_TEXT_BYTES] = "", time[TIME_TEXT_BYTES];
	size_t used = 0;
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, span_text(VALIDATION), &item, err);

	for (const struct json *v = list ? json_first(list) : NULL; v; v = json_next(v)) {
		struct span code = watch_text(v, "code");

		if (code.len == 0)
			code = SPAN("unknown");
		if (used + 2 + code.len >= sizeof(codes))
			break;
		used += (size_t)snprintf(codes + used, sizeof(codes) - used, "%s%.*s",
					 used > 0 ? ", " : "", (int)code.len, code.data);
		if (strcmp(watch_time(v, "timestamp", time), latest) > 0)
			(void)snprintf(latest, sizeof(latest), "%s", time);
	}
	rc = watch_set(rc, ret, item, FIELD_status, watch_text(detail, "status"), err);
	rc = watch_set(rc, ret, item, FIELD_errors, span_text(codes), err);
	return watch_set(rc, ret, item, FIELD_failed_at, span_text(latest), err);
}

static enum err_kind take_detail(const struct watch_ask *ask, const struct json *detail,
				 struct listing *ret, struct err *err)
{
	const struct json *list = json_member(detail, "certificates");
	enum err_kind rc;

	if (!list || (json_type(list) != JSON_ARRAY && json_type(list) != JSON_NULL))
		return err_set(err, ERR_RETRY, "the answer has no list of certificates");
	rc = take_errors(detail, ret, err);
	for (const struct json *v = json_first(list); v && !rc; v = json_next(v))
		rc = take_entry(ask, v, ret, err);
	return rc ? rc : listing_end(ret, err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	const struct watch_names names = {.app = ask->app, .item = ask->item};
	struct json *detail = NULL;
	enum err_kind rc =
		watch_api_get(ask->api, "v1/apps/{app}/certificates/{item}", &names, &detail, err);

	if (rc)
		return rc;
	rc = take_detail(ask, detail, ret, err);
	json_free(detail);
	return watch_not_gone(rc, err);
}

/* --- what a change of it means --- */

static bool is_validation(const struct change *c)
{
	return span_is(c->item->key, VALIDATION);
}

static bool has_other(const struct change *c, size_t field)
{
	return !c->before || !span_equal(c->before->values[field], c->after->values[field]);
}

static bool is_issued(const struct change *c)
{
	return c->after && c->after->values[FIELD_expires_at].len > 0 &&
	       has_other(c, FIELD_expires_at);
}

/* What was only waited for is no certificate. */
static bool is_withdrawn(const struct change *c)
{
	return !c->after && c->before->values[FIELD_expires_at].len > 0;
}

/* It became so; or another one is so. */
static bool is_now(const struct change *c, const char *expiry)
{
	return c->after && span_is(c->after->values[FIELD_expiry], expiry) &&
	       (has_other(c, FIELD_expiry) || has_other(c, FIELD_expires_at));
}

static bool is_expiring(const struct change *c)
{
	return is_now(c, SOON);
}

static bool has_expired(const struct change *c)
{
	return is_now(c, EXPIRED);
}

static bool is_failing(const struct change *c)
{
	return c->after && c->after->values[FIELD_errors].len > 0 && has_other(c, FIELD_errors);
}

static bool is_mended(const struct change *c)
{
	return c->after && c->before && c->after->values[FIELD_errors].len == 0 &&
	       c->before->values[FIELD_errors].len > 0;
}

static const struct kind {
	bool (*holds)(const struct change *c);
	enum action action;
	const char *verb;
} kinds[] = {
	{is_issued, ACTION_cert_issued, "was issued"},
	{is_expiring, ACTION_cert_expiring, "expires soon"},
	{has_expired, ACTION_cert_expired, "has expired"},
	{is_withdrawn, ACTION_cert_withdrawn, "is gone"},
	{is_failing, ACTION_cert_validation_failing, "fails"},
	{is_mended, ACTION_cert_validation_passing, "does not fail any more"},
};

/* A time of before the look that did not show it is of something else, such as what it follows. */
static int64_t since_look(const struct change *c, int64_t ns)
{
	return ns >= c->from_ns ? ns : LISTING_NO_TIME;
}

static int64_t time_of(const struct kind *kind, const struct change *c)
{
	const struct span *values = c->item->values;
	bool is_same = c->after && !has_other(c, FIELD_expires_at);

	if (kind->holds == is_issued)
		return since_look(c, watch_field_time(values[FIELD_created_at]));
	if (kind->holds == is_failing)
		return since_look(c, watch_field_time(values[FIELD_failed_at]));
	if (kind->holds == is_expiring && is_same)
		return watch_field_time(values[FIELD_expires_at]) - SOON_NS;
	if (kind->holds == has_expired && is_same)
		return watch_field_time(values[FIELD_expires_at]);
	return LISTING_NO_TIME;
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	const struct kind *kind = kinds, *end = kinds + ARRAY_LEN(kinds);

	while (kind < end && !(kind->holds(c) && nth-- == 0))
		kind++;
	if (kind == end)
		return false;
	ret->action = kind->action;
	ret->target_type = "hostname";
	ret->target = span_text(ask->item);
	ret->fly_ns = time_of(kind, c);
	watch_actor(ret, SPAN(""), "Fly's API does not say who had a certificate issued");
	(void)snprintf(ret->summary, sizeof(ret->summary), "%s%.*s for %s of %s %s",
		       is_validation(c) ? "" : "certificate ", (int)c->item->key.len,
		       c->item->key.data, ask->item, ask->app, kind->verb);
	return true;
}

const struct watch_resource watch_certificate = {
	.name = "certificate",
	.of = &watch_certificates,
	.stirred_by = &watch_certificates,
	.every = 12,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
