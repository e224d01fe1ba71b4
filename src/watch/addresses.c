/*
 * Addresses of an application. A public one opens what its services listen to, to everybody, so it
 * is told apart from one of the private network.
 */

#include "watch/resource.h"

#include <stdio.h>

/* What never changes is first: only that is told of an address that was allocated. */
enum {
	FIELD_type,
	FIELD_region,
	FIELD_network,
	FIELD_created_at,
	FIELDS_OF_START,
	FIELD_service = FIELDS_OF_START, /* the first of those that are listed */
};

static const char *const fields[] = {"type", "region", "network", "created_at", "service_name"};

static const char FLYCAST[] = "flycast";
static const char EGRESS[] = "egress";
static const char SHARED[] = "shared";
static const char PUBLIC[] = "public";

static bool is_true(const struct json *object, const char *member)
{
	const struct json *v = json_member(object, member);

	return v && json_type(v) == JSON_BOOL && json_bool(v);
}

static const char *type_of(const struct json *address)
{
	if (span_starts(watch_text(address, "ip"), SPAN("fdaa:")))
		return FLYCAST;
	if (is_true(address, "egress"))
		return EGRESS;
	return is_true(address, "shared") ? SHARED : PUBLIC;
}

static struct span network_of(const struct json *address)
{
	const struct json *network = json_member(address, "network");

	return network ? watch_text(network, "name") : SPAN("");
}

static enum err_kind take_address(const struct watch_ask *ask, const struct json *address,
				  struct listing *ret, struct err *err)
{
	char created[TIME_TEXT_BYTES];
	struct span ip = watch_text(address, "ip");
	struct item *item = NULL;
	enum err_kind rc;

	(void)ask;
	/* One that several services have may be listed for each. */
	if (listing_added(ret, ip))
		return ERR_NONE;
	rc = listing_add(ret, ip, &item, err);
	rc = watch_set(rc, ret, item, FIELD_type, span_text(type_of(address)), err);
	rc = watch_set(rc, ret, item, FIELD_region, watch_text(address, "region"), err);
	rc = watch_set(rc, ret, item, FIELD_service, watch_text(address, "service_name"), err);
	rc = watch_set(rc, ret, item, FIELD_network, network_of(address), err);
	return watch_set(rc, ret, item, FIELD_created_at,
			 span_text(watch_time(address, "created_at", created)), err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_list list = {
		.path = "v1/apps/{app}/ip_assignments", .member = "ips", .take = take_address};

	return watch_fetch_list(ask, &list, ret, err);
}

/* Everybody can reach one that is public or shared; one for what goes out nobody. */
static enum severity severity_of(const struct change *c, struct span type)
{
	bool is_added = c->kind == CHANGE_ADDED;

	if (span_is(type, FLYCAST))
		return SEVERITY_INFO;
	if (span_is(type, EGRESS))
		return SEVERITY_LOW;
	return is_added ? SEVERITY_HIGH : SEVERITY_MEDIUM;
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	struct span type = c->item->values[FIELD_type];
	bool is_added = c->kind == CHANGE_ADDED;

	if (nth > 0 || c->kind == CHANGE_CHANGED)
		return false;
	ret->action = is_added ? ACTION_access_address_allocated : ACTION_access_address_released;
	ret->target_type = "address";
	ret->region = c->item->values[FIELD_region];
	ret->severity = severity_of(c, type);
	watch_actor(ret, SPAN(""), "Fly's API does not say who allocates or releases an address");
	if (is_added) {
		ret->fly_ns = watch_field_time(c->item->values[FIELD_created_at]);
		ret->field_count = FIELDS_OF_START;
	}
	(void)snprintf(ret->summary, sizeof(ret->summary), "%.*s address %.*s of %s was %s",
		       (int)type.len, type.data, (int)c->item->key.len, c->item->key.data, ask->app,
		       is_added ? "allocated" : "released");
	return true;
}

const struct watch_resource watch_addresses = {
	.name = "addresses",
	.of = &watch_apps,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
