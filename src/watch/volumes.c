/*
 * The organisation's volumes. A volume that is destroyed stays in the list for a while, in a state
 * that says so. Of one on a host that Fly cannot reach nothing new is believed.
 */

#include "watch/resource.h"

#include <stdio.h>

/* What never changes is first: only that is told of a volume that was made. */
enum {
	FIELD_app,
	FIELD_name,
	FIELD_region,
	FIELD_encrypted,
	FIELD_created_at,
	FIELDS_OF_START,
	FIELD_state = FIELDS_OF_START,
	FIELD_size_gb,
	FIELD_machine,
	FIELD_snapshots,
	FIELD_snapshot_days,
	FIELD_COUNT,
};

static const char *const fields[FIELD_COUNT] = {
	"app",   "name",    "region",  "encrypted", "created_at",
	"state", "size_gb", "machine", "snapshots", "snapshot_retention",
};

/* --- what there is --- */

/* The volume as it was, where Fly cannot see it now. */
static const struct item *known(const struct watch_ask *ask, const struct json *volume)
{
	struct span status = watch_text(volume, "host_status");
	struct span id = watch_text(volume, "id");

	return status.len == 0 || span_is(status, "ok") ? NULL : listing_find(ask->before, id);
}

static enum err_kind take_volume(const struct watch_ask *ask, const struct json *volume,
				 struct listing *ret, struct err *err)
{
	static const struct {
		size_t field;
		const char *member;
	} members[] = {
		{FIELD_app, "app_name"},
		{FIELD_name, "name"},
		{FIELD_state, "state"},
		{FIELD_region, "region"},
		{FIELD_size_gb, "size_gb"},
		{FIELD_encrypted, "encrypted"},
		{FIELD_machine, "attached_machine_id"},
		{FIELD_snapshots, "auto_backup_enabled"},
		{FIELD_snapshot_days, "snapshot_retention"},
	};
	const struct item *was = known(ask, volume);
	char text[TIME_TEXT_BYTES];
	struct item *item = NULL;
	enum err_kind rc;

	if (was)
		return listing_keep(ret, was, err);
	rc = listing_add(ret, watch_text(volume, "id"), &item, err);
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		rc = watch_set(rc, ret, item, members[i].field,
			       watch_scalar(volume, members[i].member, text), err);
	return watch_set(rc, ret, item, FIELD_created_at,
			 span_text(watch_time(volume, "created_at", text)), err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_list list = {
		.path = "v1/orgs/{org}/volumes?limit=1000&cursor={cursor}",
		.member = "volumes",
		.next = "next_cursor",
		.doubt = "error_regions",
		.take = take_volume,
	};

	return watch_fetch_list(ask, &list, ret, err);
}

/* --- what a change of it means --- */

static bool is_going(const struct item *volume)
{
	static const char *const states[] = {"scheduling_destroy", "fork_cleanup",
					     "waiting_for_detach", "pending_destroy",
					     "destroying",         "destroyed"};

	for (size_t i = 0; volume && i < ARRAY_LEN(states); i++)
		if (span_is(volume->values[FIELD_state], states[i]))
			return true;
	return false;
}

/* It was there, and for use. */
static bool was_used(const struct change *c)
{
	return c->before && !is_going(c->before);
}

static bool is_used(const struct change *c)
{
	return c->after && !is_going(c->after);
}

static bool differs(const struct change *c, size_t field)
{
	return was_used(c) && is_used(c) &&
	       !span_equal(c->before->values[field], c->after->values[field]);
}

/* What was not known before has not changed by becoming known. */
static bool has_other(const struct change *c, size_t field)
{
	return differs(c, field) && c->before->values[field].len > 0 &&
	       c->after->values[field].len > 0;
}

static bool is_created(const struct change *c)
{
	return c->kind == CHANGE_ADDED && is_used(c);
}

static bool is_unencrypted(const struct change *c)
{
	return is_used(c) && span_is(c->after->values[FIELD_encrypted], "false") &&
	       !(c->before && span_is(c->before->values[FIELD_encrypted], "false"));
}

static bool is_deleted(const struct change *c)
{
	return was_used(c) && !is_used(c);
}

static bool is_detached(const struct change *c)
{
	return differs(c, FIELD_machine) && c->before->values[FIELD_machine].len > 0;
}

static bool is_attached(const struct change *c)
{
	return differs(c, FIELD_machine) && c->after->values[FIELD_machine].len > 0;
}

static bool is_extended(const struct change *c)
{
	return has_other(c, FIELD_size_gb);
}

static bool has_other_snapshots(const struct change *c)
{
	return has_other(c, FIELD_snapshots) || has_other(c, FIELD_snapshot_days);
}

static const struct kind {
	bool (*holds)(const struct change *c);
	enum action action;
	const char *verb;
} kinds[] = {
	{is_created, ACTION_volume_created, "was created"},
	{is_unencrypted, ACTION_volume_unencrypted, "is not encrypted"},
	{is_detached, ACTION_volume_detached, "was detached from its machine"},
	{is_attached, ACTION_volume_attached, "was attached to a machine"},
	{is_extended, ACTION_volume_extended, "has another size"},
	{has_other_snapshots, ACTION_volume_snapshots_changed, "has another plan of snapshots"},
	{is_deleted, ACTION_volume_deleted, "was deleted"},
};

static const struct kind *kind_of(const struct change *c, unsigned nth)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].holds(c) && nth-- == 0)
			return &kinds[i];
	return NULL;
}

static struct span or_unknown(struct span text)
{
	return text.len > 0 ? text : SPAN("unknown");
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	const struct kind *kind = kind_of(c, nth);
	const struct span *values = c->item->values;
	struct span name = or_unknown(values[FIELD_name]), app = or_unknown(values[FIELD_app]);

	(void)ask;
	if (!kind)
		return false;
	ret->action = kind->action;
	ret->target_type = "volume";
	ret->app = values[FIELD_app];
	ret->region = values[FIELD_region];
	ret->machine = kind->holds == is_detached ? c->before->values[FIELD_machine]
						  : values[FIELD_machine];
	watch_actor(ret, SPAN(""), "Fly's API does not say who changes a volume");
	if (c->kind == CHANGE_ADDED) {
		ret->fly_ns = watch_field_time(values[FIELD_created_at]);
		ret->field_count = FIELDS_OF_START;
	}
	(void)snprintf(ret->summary, sizeof(ret->summary), "volume %.*s (%.*s) of %.*s %s",
		       (int)c->item->key.len, c->item->key.data, (int)name.len, name.data,
		       (int)app.len, app.data, kind->verb);
	return true;
}

const struct watch_resource watch_volumes = {
	.name = "volumes",
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
