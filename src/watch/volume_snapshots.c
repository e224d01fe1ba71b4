/*
 * Snapshots of a volume, which Fly makes each day where they are switched on. That none was made
 * when one should have been is told of the newest; where there is none at all, of an item of its
 * own, which is gone as soon as there is one.
 */

#include "watch/resource.h"

#include <stdio.h>

enum { FIELD_status, FIELD_size, FIELD_days, FIELD_created_at, FIELD_overdue_at, FIELD_COUNT };

static const char *const fields[FIELD_COUNT] = {"status", "size", "retention_days", "created_at",
						"overdue_at"};

static const char NONE[] = "none";

/* A day, and some time for Fly to get round to it. */
#define OVERDUE_NS (INT64_C(26) * 3600 * NS_PER_S)

/* --- what there is --- */

static enum err_kind take_snapshot(const struct watch_ask *ask, const struct json *snapshot,
				   struct listing *ret, struct err *err)
{
	char size[TIME_TEXT_BYTES], days[TIME_TEXT_BYTES], created[TIME_TEXT_BYTES];
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, watch_text(snapshot, "id"), &item, err);

	(void)ask;
	rc = watch_set(rc, ret, item, FIELD_status, watch_text(snapshot, "status"), err);
	rc = watch_set(rc, ret, item, FIELD_size, watch_scalar(snapshot, "size", size), err);
	rc = watch_set(rc, ret, item, FIELD_days, watch_scalar(snapshot, "retention_days", days),
		       err);
	return watch_set(rc, ret, item, FIELD_created_at,
			 span_text(watch_time(snapshot, "created_at", created)), err);
}

static bool has_failed(const struct item *snapshot)
{
	static const char *const words[] = {"failed", "error", "errored"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (span_is(snapshot->values[FIELD_status], words[i]))
			return true;
	return false;
}

/* NULL: there is none that did not fail, and whose time is known. */
static struct item *newest_of(const struct listing *list)
{
	struct item *newest = NULL;
	int64_t newest_ns = LISTING_NO_TIME;

	for (size_t i = 0; i < list->count; i++) {
		int64_t ns = watch_field_time(list->items[i].values[FIELD_created_at]);

		if (ns > newest_ns && !has_failed(&list->items[i])) {
			newest = &list->items[i];
			newest_ns = ns;
		}
	}
	return newest;
}

/* Since when the volume could have had one; LISTING_NO_TIME: it has none, as is wanted. */
static enum err_kind fetch_plan(const struct watch_ask *ask, int64_t *ret_ns, struct err *err)
{
	const struct watch_names names = {.app = ask->app, .item = ask->item};
	struct json *volume = NULL;
	char text[TIME_TEXT_BYTES];
	enum err_kind rc =
		watch_api_get(ask->api, "v1/apps/{app}/volumes/{item}", &names, &volume, err);

	*ret_ns = LISTING_NO_TIME;
	if (rc)
		return rc;
	if (span_is(watch_scalar(volume, "auto_backup_enabled", text), "true"))
		*ret_ns = watch_field_time(span_text(watch_time(volume, "created_at", text)));
	json_free(volume);
	return ERR_NONE;
}

static bool is_late(const struct watch_ask *ask, int64_t ns)
{
	return ns > 0 && ask->now_ns - ns > OVERDUE_NS;
}

/* The volume is asked for only where a snapshot seems to be overdue. */
static enum err_kind mark_overdue(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	struct item *newest = newest_of(ret);
	int64_t newest_ns = newest ? watch_field_time(newest->values[FIELD_created_at]) : 0;
	int64_t plan_ns = LISTING_NO_TIME;
	char text[TIME_TEXT_BYTES];
	enum err_kind rc;

	if (newest && !is_late(ask, newest_ns))
		return ERR_NONE;
	rc = fetch_plan(ask, &plan_ns, err);
	if (rc || !is_late(ask, plan_ns))
		return rc;
	if (!newest) {
		newest_ns = plan_ns;
		rc = listing_add(ret, span_text(NONE), &newest, err);
	}
	return watch_set(rc, ret, newest, FIELD_overdue_at,
			 span_text(time_format(newest_ns + OVERDUE_NS, text)), err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_list list = {.path = "v1/apps/{app}/volumes/{item}/snapshots",
					       .take = take_snapshot};
	enum err_kind rc = watch_fetch_list(ask, &list, ret, err);

	if (!rc)
		rc = mark_overdue(ask, ret, err);
	return rc ? rc : listing_end(ret, err);
}

/* --- what a change of it means --- */

static bool is_made(const struct item *snapshot)
{
	return snapshot && span_is(snapshot->values[FIELD_status], "created");
}

static bool is_overdue(const struct item *snapshot)
{
	return snapshot && snapshot->values[FIELD_overdue_at].len > 0;
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	const struct {
		bool holds;
		enum action action;
		size_t time;
		const char *verb;
	} kinds[] = {
		{is_made(c->after) && !is_made(c->before), ACTION_volume_snapshot_made,
		 FIELD_created_at, "was made"},
		{has_failed(c->item) && !(c->before && has_failed(c->before)),
		 ACTION_volume_snapshot_failed, FIELD_COUNT, "failed"},
		{is_overdue(c->after) && !is_overdue(c->before), ACTION_volume_snapshot_overdue,
		 FIELD_overdue_at, "is overdue"},
	};
	size_t at = 0;

	while (at < ARRAY_LEN(kinds) && !(kinds[at].holds && nth-- == 0))
		at++;
	if (at == ARRAY_LEN(kinds))
		return false;
	ret->action = kinds[at].action;
	ret->target_type = "volume";
	ret->target = span_text(ask->item);
	ret->correlation = c->item->key;
	watch_actor(ret, SPAN(""), "Fly's API does not say who made a snapshot");
	if (kinds[at].time != FIELD_COUNT)
		ret->fly_ns = watch_field_time(c->item->values[kinds[at].time]);
	(void)snprintf(ret->summary, sizeof(ret->summary), "a snapshot of volume %s of %s %s",
		       ask->item, ask->app, kinds[at].verb);
	return true;
}

const struct watch_resource watch_volume_snapshots = {
	.name = "volume_snapshots",
	.of = &watch_volumes,
	.every = 12,
	.log = true,
	/* They are kept for days, so that those that are not there any more have aged out. */
	.page_max = LISTING_ITEMS_MAX + 1,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
