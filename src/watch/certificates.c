/* Host names of an application that have TLS certificates, or wait for one. */

#include "watch/resource.h"

#include <stdio.h>

/* What never changes is first: only that is told of one that was asked for. */
enum {
	FIELD_created_at,
	FIELDS_OF_START,
	FIELD_status = FIELDS_OF_START,
	FIELD_acme,
	FIELD_fly,
	FIELD_custom,
	FIELD_dns,
	FIELD_COUNT
};

static const char *const fields[FIELD_COUNT] = {
	"created_at",   "status", "acme_requested", "has_fly_certificate", "has_custom_certificate",
	"dns_provider",
};

static enum err_kind take_certificate(const struct watch_ask *ask, const struct json *certificate,
				      struct listing *ret, struct err *err)
{
	char text[TIME_TEXT_BYTES];
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, watch_text(certificate, "hostname"), &item, err);

	(void)ask;
	for (size_t i = FIELDS_OF_START; i < FIELD_COUNT; i++)
		rc = watch_set(rc, ret, item, i, watch_scalar(certificate, fields[i], text), err);
	return watch_set(rc, ret, item, FIELD_created_at,
			 span_text(watch_time(certificate, fields[FIELD_created_at], text)), err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_list list = {
		.path = "v1/apps/{app}/certificates?limit=500&cursor={cursor}",
		.member = "certificates",
		.next = "next_cursor",
		.take = take_certificate,
	};

	return watch_fetch_list(ask, &list, ret, err);
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	bool is_added = c->kind == CHANGE_ADDED;

	if (nth > 0 || c->kind == CHANGE_CHANGED)
		return false;
	ret->action = is_added ? ACTION_cert_added : ACTION_cert_removed;
	ret->target_type = "hostname";
	watch_actor(ret, SPAN(""), "Fly's API does not say who adds or removes a certificate");
	if (is_added) {
		ret->fly_ns = watch_field_time(c->item->values[FIELD_created_at]);
		ret->field_count = FIELDS_OF_START;
	}
	(void)snprintf(ret->summary, sizeof(ret->summary), "certificates for %.*s were %s %s",
		       (int)c->item->key.len, c->item->key.data,
		       is_added ? "asked for, for" : "taken from", ask->app);
	return true;
}

const struct watch_resource watch_certificates = {
	.name = "certificates",
	.of = &watch_apps,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
