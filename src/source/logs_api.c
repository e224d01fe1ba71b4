#include "source/logs_api.h"

#include "base/fly_client.h"
#include "base/json_scan.h"
#include "base/time.h"
#include "source/logs_page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL_BYTES = 1024 };

_Static_assert((int)RECORD_APP_BYTES_MAX == (int)FLY_CLIENT_NAME_BYTES_MAX,
	       "a name that may be asked for has room everywhere");

struct logs_api {
	char *url, *machines_url, *org; /* const after logs_api_new() */
	struct fly_client *client;
	struct hasher *hasher;
};

void logs_api_free(struct logs_api *a)
{
	if (!a)
		return;
	fly_client_free(a->client);
	hasher_free(a->hasher);
	free(a->url);
	free(a->machines_url);
	free(a->org);
	free(a);
}

enum err_kind logs_api_new(struct logs_api **ret, const struct logs_api_options *options,
			   struct err *err)
{
	const struct fly_client_options client = {
		.token = options->token,
		.cut = options->cut,
		.seconds = options->seconds,
		.ca_file = options->ca_file,
	};
	struct logs_api *a = calloc(1, sizeof(*a));
	enum err_kind rc;

	if (!a)
		return err_set(err, ERR_FATAL, "out of memory for the logs API");
	a->url = span_copy(span_text(options->url));
	a->machines_url = span_copy(span_text(options->machines_url));
	a->org = span_copy(span_text(options->org));
	if (a->url && a->machines_url && a->org)
		rc = fly_client_new(&a->client, &client, err);
	else
		rc = err_set(err, ERR_FATAL, "out of memory for the logs API");
	if (rc == ERR_NONE)
		rc = hasher_new(&a->hasher, err);
	if (rc)
		logs_api_free(a);
	else
		*ret = a;
	return rc;
}

int64_t logs_api_wait_ns(const struct logs_api *a)
{
	return fly_client_wait_ns(a->client);
}

enum err_kind logs_api_page(struct logs_api *a, const char *app, int64_t after_ns,
			    struct batch *batch, struct logs_page *ret, struct err *err)
{
	struct logs_page_question q = {.app = app, .after_ns = after_ns, .hasher = a->hasher};
	struct span body;
	char url[URL_BYTES];
	enum err_kind rc;

	if (!fly_client_is_name(span_text(app)))
		return err_set(err, ERR_REJECT, "no name that an application of Fly's can have");
	(void)snprintf(url, sizeof(url), "%s/api/v1/apps/%s/logs?next_token=%" PRId64, a->url, app,
		       after_ns);
	rc = fly_client_get(a->client, url, LOGS_API_PAGE_BYTES_MAX, &body, err);
	if (rc == ERR_NONE) {
		q.now_ns = time_now_ns();
		rc = fly_client_done(a->client, logs_page_read(body, &q, batch, ret, err));
	}
	return rc ? err_wrap(err, "logs of %s", app) : ERR_NONE;
}

/* The value of an object's member; data NULL: there is none. */
static struct span member_of(struct span object, const char *name)
{
	struct json_scan members;
	struct span key, value;

	if (!json_scan_begin(&members, object, '{'))
		return (struct span){NULL, 0};
	while (json_scan_next(&members, &key, &value)) {
		if (span_is(key, name))
			return value;
	}
	return (struct span){NULL, 0};
}

static enum err_kind read_apps(struct span body, struct logs_api_apps *ret, struct err *err)
{
	struct span list = member_of(body, "apps");
	struct json_scan whole = {.ended = false}, elements;
	struct span none, bytes;

	if (json_scan_begin(&whole, body, '{'))
		while (json_scan_next(&whole, &none, &bytes))
			continue;
	if (!json_scan_is_all(&whole) || !list.data)
		return err_set(err, ERR_RETRY, "the answer is no list of applications");
	if (span_is(list, "null"))
		return ERR_NONE;
	if (!json_scan_begin(&elements, list, '['))
		return err_set(err, ERR_RETRY, "the answer is no list of applications");
	while (json_scan_next(&elements, &none, &bytes)) {
		struct span name = json_scan_plain(member_of(bytes, "name"));

		if (!name.data || !fly_client_is_name(name))
			continue;
		ret->more = ret->count == LOGS_API_APPS_MAX;
		if (ret->more)
			break;
		memcpy(ret->names[ret->count], name.data, name.len);
		ret->names[ret->count++][name.len] = '\0';
	}
	return ERR_NONE;
}

enum err_kind logs_api_apps(struct logs_api *a, struct logs_api_apps *ret, struct err *err)
{
	struct logs_api_apps apps = {.count = 0};
	struct span body;
	char url[URL_BYTES];
	enum err_kind rc;

	if (!fly_client_is_name(span_text(a->org)))
		return err_set(err, ERR_CONFIG, "ORG is not set, or no slug of an organisation");
	(void)snprintf(url, sizeof(url), "%s/v1/apps?org_slug=%s", a->machines_url, a->org);
	rc = fly_client_get(a->client, url, LOGS_API_PAGE_BYTES_MAX, &body, err);
	if (rc == ERR_REJECT)
		rc = err_set(err, ERR_CONFIG,
			     "there is no such organisation (status 404): check ORG");
	if (rc == ERR_NONE) {
		apps.names = calloc(LOGS_API_APPS_MAX, sizeof(apps.names[0]));
		rc = apps.names ? read_apps(body, &apps, err)
				: err_set(err, ERR_FATAL,
					  "out of memory for the list of applications");
		rc = fly_client_done(a->client, rc);
	}
	if (rc) {
		logs_api_apps_release(&apps);
		return err_wrap(err, "list of applications");
	}
	*ret = apps;
	return ERR_NONE;
}

void logs_api_apps_release(struct logs_api_apps *apps)
{
	free(apps->names);
	*apps = (struct logs_api_apps){.names = NULL};
}
