/*
 * Machines of the organisation: which there are, and the machines of `fly console`, which are
 * somebody at a shell. What a machine runs is told by machine_config.c, and what happens to it by
 * machine_events.c: both are asked when something here moves.
 *
 * The whole answer is what is there now; what was destroyed is asked for since the look before, so
 * that a machine that came and went meanwhile is seen, too. More of those than a list has room for
 * are not waited for, since they only grow in number: then what is there is all that is told, and a
 * machine that was never in a list of ours is missed.
 */

#include "base/utf8.h"
#include "watch/resource.h"

#include <stdio.h>

/* Fly's list is late at times, and its clock is not ours. */
enum { LATE_SECONDS = 120 };

/* Of what people may write: a machine must leave room for the others. */
enum { WORD_BYTES_MAX = 512 };

/* A thousand machines with much metadata would be more values than base/json.h reads. */
#define LIST "v1/orgs/{org}/machines?limit=500&include_deleted="
#define THERE LIST "false&cursor={cursor}"
#define MOVED LIST "true&updated_after={since}&cursor={cursor}"

/* What never changes is first: only that is told of a machine that was made. */
enum {
	FIELD_app,
	FIELD_name,
	FIELD_region,
	FIELD_created_at,
	FIELDS_OF_START,
	FIELD_state = FIELDS_OF_START,
	FIELD_version,
	FIELD_updated_at,
	FIELD_image,
	FIELD_group,
	FIELD_release
};

static const char *const fields[] = {"app",     "name",       "region", "created_at", "state",
				     "version", "updated_at", "image",  "group",      "release"};

/* --- what Fly says --- */

static struct span word_of(const struct json *object, const char *member)
{
	return utf8_cut(watch_text(object, member), WORD_BYTES_MAX);
}

/* An answer may be older than the one before it. */
static bool is_stale(const struct item *before, const char *updated)
{
	int64_t was_ns = watch_field_time(before->values[FIELD_updated_at]);
	int64_t is_ns = watch_field_time(span_text(updated));

	return was_ns != LISTING_NO_TIME && is_ns != LISTING_NO_TIME && is_ns < was_ns;
}

/* Of a machine whose host cannot be reached there is no config: it is what it was. */
static enum err_kind take_config(struct listing *l, struct item *item, const struct json *config,
				 const struct item *before, struct err *err)
{
	static const unsigned kept[] = {FIELD_image, FIELD_group, FIELD_release};
	const struct json *metadata;
	char text[TIME_TEXT_BYTES];
	struct span release;
	enum err_kind rc = ERR_NONE;

	if (!config || json_type(config) != JSON_OBJECT) {
		for (size_t i = 0; i < ARRAY_LEN(kept) && before; i++)
			rc = watch_set(rc, l, item, kept[i], before->values[kept[i]], err);
		return rc;
	}
	metadata = json_member(config, "metadata");
	release = utf8_cut(watch_scalar(metadata, "fly_release_version", text), WORD_BYTES_MAX);
	rc = watch_set(rc, l, item, FIELD_image, word_of(config, "image"), err);
	rc = watch_set(rc, l, item, FIELD_group, word_of(metadata, "fly_process_group"), err);
	return watch_set(rc, l, item, FIELD_release, release, err);
}

static enum err_kind take_machine(const struct watch_ask *ask, const struct json *machine,
				  struct listing *ret, struct err *err)
{
	char created[TIME_TEXT_BYTES], updated[TIME_TEXT_BYTES], text[TIME_TEXT_BYTES];
	struct span id = watch_text(machine, "id"), app = watch_text(machine, "app_name");
	const struct item *before = listing_find(ask->before, id);
	struct span version = watch_scalar(machine, "version", text);
	struct item *item = NULL;
	enum err_kind rc;

	(void)watch_time(machine, "created_at", created);
	(void)watch_time(machine, "updated_at", updated);
	if (before && is_stale(before, updated))
		return listing_keep(ret, before, err);
	if (version.len == 0)
		version = watch_text(machine, "instance_id");
	if (app.len == 0)
		return err_set(err, ERR_REJECT, "a machine of no application");
	rc = listing_add(ret, id, &item, err);
	rc = watch_set(rc, ret, item, FIELD_app, app, err);
	rc = watch_set(rc, ret, item, FIELD_name, word_of(machine, "name"), err);
	rc = watch_set(rc, ret, item, FIELD_state, watch_text(machine, "state"), err);
	rc = watch_set(rc, ret, item, FIELD_region, watch_text(machine, "region"), err);
	rc = watch_set(rc, ret, item, FIELD_version, version, err);
	rc = watch_set(rc, ret, item, FIELD_created_at, span_text(created), err);
	rc = watch_set(rc, ret, item, FIELD_updated_at, span_text(updated), err);
	return rc ? rc : take_config(ret, item, json_member(machine, "config"), before, err);
}

static bool is_destroyed(const struct item *item)
{
	return span_is(item->values[FIELD_state], "destroyed");
}

/* All machines that moved since a while before the newest look at all of them. */
static enum err_kind fetch_moved(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	int64_t since_ns = ask->before_ns == LISTING_NO_TIME ? ask->now_ns : ask->before_ns;
	char since[TIME_TEXT_BYTES];
	const struct watch_list moved = {
		.path = MOVED,
		.member = "machines",
		.next = "next_cursor",
		.doubt = "error_regions",
		.since = time_format(since_ns - LATE_SECONDS * NS_PER_S, since),
		.take = take_machine,
	};

	return watch_fetch_list(ask, &moved, ret, err);
}

/* What is there, but for what was destroyed meanwhile. */
static enum err_kind put_together(const struct listing *there, const struct listing *moved,
				  struct listing *ret, struct err *err)
{
	struct item *kept;
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < there->count && !rc; i++) {
		const struct item *other = listing_find(moved, there->items[i].key);

		if (!other || !is_destroyed(other))
			rc = listing_copy(ret, &there->items[i], &kept, err);
	}
	for (size_t i = 0; i < moved->count && !rc; i++)
		if (is_destroyed(&moved->items[i]))
			rc = listing_copy(ret, &moved->items[i], &kept, err);
	ret->part = there->part;
	return rc ? rc : listing_end(ret, err);
}

static enum err_kind fetch_all(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_list all = {
		.path = THERE,
		.member = "machines",
		.next = "next_cursor",
		.doubt = "error_regions",
		.take = take_machine,
	};
	struct listing there, moved;
	enum err_kind rc;

	listing_init(&there, ret->shape);
	listing_init(&moved, ret->shape);
	rc = watch_fetch_list(ask, &all, &there, err);
	if (!rc)
		rc = fetch_moved(ask, &moved, err);
	if (!rc)
		rc = put_together(&there, &moved, ret, err);
	if (rc && rc != ERR_FATAL && (moved.full || ret->full)) {
		listing_reset(&moved);
		listing_reset(ret);
		rc = put_together(&there, &moved, ret, err);
	}
	listing_release(&moved);
	listing_release(&there);
	return watch_not_gone(rc, err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	return ask->part ? fetch_moved(ask, ret, err) : fetch_all(ask, ret, err);
}

/* --- what a change means --- */

static const char *kind_of(const struct item *machine)
{
	static const struct {
		const char *group, *kind;
	} kinds[] = {
		{"fly_app_console", "console machine"},
		{"fly_app_release_command", "release command's machine"},
		{"fly_app_test_machine_command", "test machine"},
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (span_is(machine->values[FIELD_group], kinds[i].group))
			return kinds[i].kind;
	return "machine";
}

static bool is_console(const struct item *machine)
{
	return machine && span_is(machine->values[FIELD_group], "fly_app_console");
}

static void describe_coming(const struct item *machine, struct watch_fact *ret)
{
	struct span app = machine->values[FIELD_app];
	bool console = is_console(machine);

	ret->action = console ? ACTION_access_console_opened : ACTION_deploy_machine_created;
	ret->fly_ns = watch_field_time(machine->values[FIELD_created_at]);
	ret->field_count = FIELDS_OF_START;
	watch_actor(ret, SPAN(""), "Fly's API does not say who makes a machine");
	(void)snprintf(ret->summary, sizeof(ret->summary), "%s %.*s of %.*s was created%s",
		       kind_of(machine), (int)machine->key.len, machine->key.data, (int)app.len,
		       app.data,
		       console ? ": somebody has a shell with all that the application has" : "");
}

static void describe_going(const struct change *c, struct watch_fact *ret)
{
	struct span app = c->item->values[FIELD_app];

	ret->action = ACTION_deploy_machine_destroyed;
	/* Of one that is listed no more Fly does not say when it went. */
	if (c->kind != CHANGE_REMOVED)
		ret->fly_ns = watch_field_time(c->item->values[FIELD_updated_at]);
	watch_actor(ret, SPAN(""), "Fly's list of machines does not say who destroys one");
	(void)snprintf(ret->summary, sizeof(ret->summary), "%s %.*s of %.*s was destroyed",
		       kind_of(c->item), (int)c->item->key.len, c->item->key.data, (int)app.len,
		       app.data);
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	/* What a machine is for may be known later than the machine. */
	bool came = c->kind == CHANGE_ADDED ||
		    (c->kind == CHANGE_CHANGED && is_console(c->after) && !is_console(c->before));
	bool went = (c->kind == CHANGE_REMOVED || is_destroyed(c->item)) &&
		    !(c->before && is_destroyed(c->before));

	(void)ask;
	if (nth >= (unsigned)came + (unsigned)went)
		return false;
	ret->target_type = "machine";
	ret->app = c->item->values[FIELD_app];
	ret->machine = c->item->key;
	ret->region = c->item->values[FIELD_region];
	ret->correlation = c->item->values[FIELD_version];
	if (came && nth == 0)
		describe_coming(c->item, ret);
	else
		describe_going(c, ret);
	return true;
}

const struct watch_resource watch_machines = {
	.name = "machines",
	.quick = true,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
