#include "run/apps.h"

#include "base/log.h"
#include "base/time.h"

#include <stdlib.h>

void apps_release(struct apps *a)
{
	free(a->list);
	*a = (struct apps){.own_app = a->own_app};
}

size_t apps_find(const struct apps *a, struct span name)
{
	size_t i = 0;

	while (i < a->count && !span_is(name, a->list[i].name))
		i++;
	return i;
}

/* The app of this name; NULL: it is no name of Fly's, or there are too many. */
static struct app *add(struct apps *a, struct span name)
{
	size_t at = apps_find(a, name);
	struct app *app = &a->list[at];

	if (at < a->count)
		return app;
	a->list_refused = a->list_refused || at == RECOVERY_APPS_MAX;
	if (name.len == 0 || name.len >= LOGS_API_APP_BYTES || at == RECOVERY_APPS_MAX)
		return NULL;
	a->count++;
	*app = (struct app){.listed = false};
	memcpy(app->name, name.data, name.len);
	return app;
}

static void add_known(void *arg, struct span name)
{
	(void)add(arg, name);
}

static void take_list(struct apps *a, const struct logs_api_apps *listed)
{
	for (size_t i = 0; i < a->count; i++)
		a->list[i].listed = false;
	for (size_t i = 0; i < listed->count; i++) {
		struct app *app = add(a, span_text(listed->names[i]));

		if (!app)
			continue;
		app->listed = app->was_listed = true;
		app->gone = false;
	}
}

/* A list without the application that asks for it, or without any, is not the organisation's. */
static bool lacks_own(const struct apps *a)
{
	size_t own = apps_find(a, span_text(a->own_app));
	bool any = false;

	if (a->own_app[0] != '\0')
		return own == a->count || !a->list[own].listed;
	for (size_t i = 0; i < a->count && !any; i++)
		any = a->list[i].listed;
	return a->count > 0 && !any;
}

/* What the organisation has. */
static enum err_kind ask_list(struct apps *a, struct logs_api *api, struct err *err)
{
	struct logs_api_apps listed = {0};
	enum err_kind rc = logs_api_apps(api, &listed, err);

	a->list_refused = rc == ERR_CONFIG || rc == ERR_REJECT;
	if (a->list_refused)
		log_warn(apps_unknown, LOG_TEXT("error", err->text));
	if (rc == ERR_NONE)
		take_list(a, &listed);
	a->list_refused = a->list_refused || listed.more;
	logs_api_apps_release(&listed);
	return rc == ERR_CONFIG || rc == ERR_REJECT ? ERR_NONE : rc;
}

enum err_kind apps_refresh(struct apps *a, struct recovery *db, struct logs_api *api,
			   int64_t max_age_ns, struct err *err)
{
	int64_t now_ns = time_monotonic_ns();
	bool whole;
	enum err_kind rc;

	if (a->asked_ns != 0 && now_ns - a->asked_ns < max_age_ns)
		return ERR_NONE;
	if (!a->list)
		a->list = calloc(RECOVERY_APPS_MAX, sizeof(a->list[0]));
	if (!a->list)
		return err_set(err, ERR_FATAL, "out of memory for the list of applications");
	rc = ask_list(a, api, err); /* first, so that there is room for them */
	whole = !a->list_refused;
	if (!rc)
		rc = recovery_find_apps(db, add_known, a, err);
	if (rc)
		return rc;
	a->list_whole = whole && !lacks_own(a);
	a->list_refused = a->list_refused || !a->list_whole;
	a->asked_ns = now_ns;
	return ERR_NONE;
}
