/*
 * What happens to a machine, as Fly's control plane tells it: starts and ends with their exit
 * codes, restarts that were asked for, updates, migrations. Fly keeps the newest fifty of each
 * machine, and says of people only that it was a user.
 */

#include "watch/resource.h"

#include <stdio.h>
#include <string.h>

enum { EVENTS_MAX = 50, SIGNAL_BYTES = 24, NUMBER_DIGITS_MAX = 9 };

enum {
	FIELD_type,
	FIELD_status,
	FIELD_source,
	FIELD_at,
	FIELD_exited_at,
	FIELD_exit_code,
	FIELD_guest_exit_code,
	FIELD_signal,
	FIELD_oom_killed,
	FIELD_requested_stop,
	FIELD_restarting,
	FIELD_restart_count
};

static const char *const fields[] = {
	"type",       "status",         "source",          "at",
	"exited_at",  "exit_code",      "guest_exit_code", "signal",
	"oom_killed", "requested_stop", "restarting",      "restart_count"};

/* --- what Fly says --- */

/* Go leaves out what is 0 or false. */
static struct span scalar_or(const struct json *object, const char *member, const char *none,
			     char text[TIME_TEXT_BYTES])
{
	struct span got = watch_scalar(object, member, text);

	return got.len > 0 ? got : span_text(none);
}

/* As the logs name it. Empty: no signal ended it. */
static const char *signal_of(const struct json *exit, char ret[SIGNAL_BYTES])
{
	static const char *const members[] = {"signal", "guest_signal"};

	ret[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(members) && ret[0] == '\0'; i++) {
		char text[TIME_TEXT_BYTES];
		struct span got = watch_scalar(exit, members[i], text);
		int number = got.len <= NUMBER_DIGITS_MAX ? (int)watch_digits(got) : -1;
		const char *name = number > 0 ? sigabbrev_np(number) : NULL;

		if (name)
			(void)snprintf(ret, SIGNAL_BYTES, "SIG%s", name);
		else if (number > 0)
			(void)snprintf(ret, SIGNAL_BYTES, "%d", number);
	}
	return ret;
}

/* It stands in either of two places. */
static const struct json *exit_of(const struct json *request)
{
	const struct json *exit = json_member(request, "exit_event");

	return exit ? exit : json_member(json_member(request, "MonitorEvent"), "exit_event");
}

static enum err_kind take_exit(const struct json *event, struct listing *l, struct item *item,
			       struct err *err)
{
	static const struct {
		size_t field;
		const char *member, *none;
	} members[] = {
		{FIELD_exit_code, "exit_code", "0"},
		{FIELD_guest_exit_code, "guest_exit_code", "0"},
		{FIELD_oom_killed, "oom_killed", "false"},
		{FIELD_requested_stop, "requested_stop", "false"},
		{FIELD_restarting, "restarting", "false"},
	};
	const struct json *request = json_member(event, "request"), *exit = exit_of(request);
	char text[TIME_TEXT_BYTES], name[SIGNAL_BYTES];
	enum err_kind rc = ERR_NONE;

	if (!exit || json_type(exit) != JSON_OBJECT)
		return ERR_NONE;
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		rc = watch_set(rc, l, item, members[i].field,
			       scalar_or(exit, members[i].member, members[i].none, text), err);
	rc = watch_set(rc, l, item, FIELD_restart_count,
		       scalar_or(request, "restart_count", "0", text), err);
	rc = watch_set(rc, l, item, FIELD_exited_at, span_text(watch_time(exit, "exited_at", text)),
		       err);
	return watch_set(rc, l, item, FIELD_signal, span_text(signal_of(exit, name)), err);
}

static enum err_kind take_event(const struct watch_ask *ask, const struct json *event,
				struct listing *ret, struct err *err)
{
	struct span key = watch_text(event, "id");
	struct span type = watch_text(event, "type"), status = watch_text(event, "status");
	char at[TIME_TEXT_BYTES], made[LISTING_KEY_BYTES_MAX];
	struct item *item = NULL;
	enum err_kind rc;

	(void)ask;
	(void)watch_time(event, "timestamp", at);
	if (key.len == 0 && type.len > 0) {
		(void)snprintf(made, sizeof(made), "%s %.*s %.*s", at, (int)type.len, type.data,
			       (int)status.len, status.len > 0 ? status.data : "");
		key = span_text(made);
	}
	if (listing_added(ret, key))
		return ERR_NONE;
	rc = listing_add(ret, key, &item, err);
	rc = watch_set(rc, ret, item, FIELD_type, type, err);
	rc = watch_set(rc, ret, item, FIELD_status, status, err);
	rc = watch_set(rc, ret, item, FIELD_source, watch_text(event, "source"), err);
	rc = watch_set(rc, ret, item, FIELD_at, span_text(at), err);
	return rc ? rc : take_exit(event, ret, item, err);
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_list list = {
		.path = "v1/apps/{app}/machines/{item}/events?limit=50", .take = take_event};

	return watch_fetch_list(ask, &list, ret, err);
}

/* --- what an event means --- */

static bool is_true(const struct item *e, size_t field)
{
	return span_is(e->values[field], "true");
}

/* How it ended, as Fly says. */
static void describe_exit(const struct item *e, struct watch_fact *ret)
{
	struct span code = e->values[FIELD_exit_code], signal = e->values[FIELD_signal];
	struct span count = e->values[FIELD_restart_count];
	bool oom = is_true(e, FIELD_oom_killed);

	ret->action = ACTION_exit_ended;
	if (code.len == 0)
		return;
	if (oom || signal.len > 0 || !span_is(code, "0"))
		ret->action = ACTION_exit_crashed;
	/* A program may end by whatever it likes when it is asked to. */
	if (is_true(e, FIELD_requested_stop) && !oom)
		ret->action = ACTION_exit_stopped;
	if (oom)
		ret->severity = SEVERITY_HIGH;
	(void)snprintf(ret->summary, sizeof(ret->summary), " with exit code %.*s%s%.*s%s%s%.*s",
		       (int)code.len, code.data, signal.len > 0 ? " by " : "", (int)signal.len,
		       signal.len > 0 ? signal.data : "", oom ? ", for want of memory" : "",
		       span_is(count, "0") ? "" : ", restarts so far: ",
		       span_is(count, "0") ? 0 : (int)count.len, count.data);
}

struct kind {
	const char *type, *status, *source; /* NULL: any */
	enum action action;
	const char *what;
};

/* The first that fits. */
static const struct kind kinds[] = {
	{"start", "started", NULL, ACTION_boot_started, "started"},
	{"exit", NULL, NULL, ACTION_exit_ended, "ended"},
	{"restart", NULL, "user", ACTION_restart_requested, "was told to restart"},
	{"restart", NULL, NULL, ACTION_restart_begun, "is being started again"},
	{"update", NULL, NULL, ACTION_deploy_machine_replacing, "is given a version"},
	{"launch", "created", "flyd", ACTION_platform_machine_migrated,
	 "was moved to another host"},
	{"destroy", NULL, NULL, ACTION_deploy_machine_destroying, "is being destroyed"},
	{NULL, "destroyed", NULL, ACTION_deploy_machine_destroying, "is being destroyed"},
	{NULL, NULL, NULL, ACTION_platform_machine_event, "has an event"},
};

static const struct kind *kind_of(const struct item *e)
{
	const struct kind *k = kinds;

	while ((k->type && !span_is(e->values[FIELD_type], k->type)) ||
	       (k->status && !span_is(e->values[FIELD_status], k->status)) ||
	       (k->source && !span_is(e->values[FIELD_source], k->source)))
		k++;
	return k;
}

static void describe_actor(const struct item *e, struct watch_fact *ret)
{
	struct span source = e->values[FIELD_source];

	if (span_is(source, "user"))
		watch_actor(ret, source, "Fly says that it was a user, and not which");
	else
		watch_actor(ret, source, "Fly does not say who or what it was");
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	const struct kind *kind = kind_of(c->item);
	struct span type = c->item->values[FIELD_type], status = c->item->values[FIELD_status];
	char how[WATCH_SUMMARY_BYTES];

	/* An event is told once, whatever is added to it later. */
	if (nth > 0 || c->kind != CHANGE_ADDED)
		return false;
	ret->action = kind->action;
	if (kind->action == ACTION_exit_ended)
		describe_exit(c->item, ret);
	(void)snprintf(how, sizeof(how), "%s", ret->summary);
	ret->target_type = "machine";
	ret->target = ret->machine = span_text(ask->item);
	ret->fly_ns = watch_field_time(c->item->values[FIELD_at]);
	if (ret->action == ACTION_exit_crashed)
		ret->outcome = SPAN("failure");
	else if (ret->action == ACTION_boot_started)
		ret->outcome = SPAN("success");
	describe_actor(c->item, ret);
	if (kind->action == ACTION_platform_machine_event)
		(void)snprintf(how, sizeof(how), ": %.*s, %.*s", (int)type.len,
			       type.len > 0 ? type.data : "", (int)status.len,
			       status.len > 0 ? status.data : "");
	(void)snprintf(ret->summary, sizeof(ret->summary), "machine %.100s of %.100s %s%.250s",
		       ask->item, ask->app, kind->what, how);
	return true;
}

const struct watch_resource watch_machine_events = {
	.name = "machine_events",
	.of = &watch_machines,
	.stirred_by = &watch_machines,
	.every = 12,
	.log = true,
	.page_max = EVENTS_MAX,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
