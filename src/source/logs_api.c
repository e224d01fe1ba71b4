#include "source/logs_api.h"

#include "base/backoff.h"
#include "base/http_client.h"
#include "base/json_scan.h"
#include "base/time.h"
#include "source/logs_page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	URL_BYTES = 1024,
	PACE_QUICKENS = 16, /* a good page takes so many parts of the pace away, one of them */
	STATUS_GOOD = 200,
	STATUS_REDIRECT = 300,
	STATUS_UNAUTHORIZED = 401,
	STATUS_FORBIDDEN = 403,
	STATUS_NOT_FOUND = 404,
	STATUS_TOO_MANY = 429,
};

static const char app_bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

struct logs_api {
	/* const after logs_api_new() */
	char *url, *machines_url, *org;
	char *authorization; /* the header */
	unsigned seconds;
	const _Atomic bool *cut;

	struct http_client *client;
	struct hasher *hasher;
	int64_t not_before_ns; /* on the monotonic clock: the next request */
	int64_t pace_ns;       /* between two requests; 0: none */
	unsigned failures;     /* in a row */
	unsigned refusals;     /* of the token, in a row */
};

static bool is_macaroon(struct span part)
{
	return span_starts(part, SPAN("fm2_")) || span_starts(part, SPAN("fm1r_")) ||
	       span_starts(part, SPAN("fm1a_"));
}

/* By any of its comma-separated parts, as Fly's own client does. */
static const char *scheme_of(struct span token)
{
	while (token.len > 0) {
		const char *comma = memchr(token.data, ',', token.len);
		size_t len = comma ? (size_t)(comma - token.data) : token.len;

		if (is_macaroon(span_of(token.data, len)))
			return "FlyV1";
		token = span_after(token, comma ? len + 1 : len);
	}
	return "Bearer";
}

static char *make_authorization(const char *token)
{
	const char *scheme = scheme_of(span_text(token));
	size_t room = sizeof("Authorization: FlyV1! ") + strlen(token);
	char *text = malloc(room);

	if (text)
		(void)snprintf(text, room, "Authorization: %s %s", scheme, token);
	return text;
}

void logs_api_free(struct logs_api *a)
{
	if (!a)
		return;
	http_client_free(a->client);
	hasher_free(a->hasher);
	if (a->authorization)
		explicit_bzero(a->authorization, strlen(a->authorization));
	free(a->authorization);
	free(a->url);
	free(a->machines_url);
	free(a->org);
	free(a);
}

enum err_kind logs_api_new(struct logs_api **ret, const struct logs_api_options *options,
			   struct err *err)
{
	const struct http_client_options client = {.ca_file = options->ca_file,
						   .cut = options->cut};
	struct logs_api *a = calloc(1, sizeof(*a));
	enum err_kind rc;

	if (!a)
		return err_set(err, ERR_FATAL, "out of memory for the logs API");
	a->cut = options->cut;
	a->seconds = options->seconds > 0 ? options->seconds : LOGS_API_SECONDS;
	a->url = span_copy(span_text(options->url));
	a->machines_url = span_copy(span_text(options->machines_url));
	a->org = span_copy(span_text(options->org));
	a->authorization = make_authorization(options->token);
	if (a->url && a->machines_url && a->org && a->authorization)
		rc = http_client_new(&a->client, &client, err);
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
	int64_t wait_ns = a->not_before_ns - time_monotonic_ns();

	return wait_ns > 0 ? wait_ns : 0;
}

static void wait_for(struct logs_api *a, int64_t wait_ns)
{
	a->not_before_ns = time_monotonic_ns() + wait_ns;
}

static enum err_kind after_failure(struct logs_api *a, enum err_kind kind)
{
	if (a->cut && atomic_load(a->cut))
		return kind;
	a->failures++;
	wait_for(a, backoff_random_ms(a->failures) * NS_PER_MS);
	return kind;
}

static void after_success(struct logs_api *a)
{
	a->failures = 0;
	a->refusals = 0;
	a->pace_ns -= a->pace_ns / PACE_QUICKENS;
	if (a->pace_ns < LOGS_API_PACE_MS_MIN * NS_PER_MS / PACE_QUICKENS)
		a->pace_ns = 0;
	wait_for(a, a->pace_ns);
}

static enum err_kind slow_down(struct logs_api *a, unsigned retry_after_seconds, struct err *err)
{
	int64_t asked_ns = (int64_t)retry_after_seconds * NS_PER_S;

	a->pace_ns *= 2;
	if (a->pace_ns < LOGS_API_PACE_MS_MIN * NS_PER_MS)
		a->pace_ns = LOGS_API_PACE_MS_MIN * NS_PER_MS;
	if (a->pace_ns > LOGS_API_PACE_MS_MAX * NS_PER_MS)
		a->pace_ns = LOGS_API_PACE_MS_MAX * NS_PER_MS;
	wait_for(a, asked_ns > a->pace_ns ? asked_ns : a->pace_ns);
	return err_set(err, ERR_RETRY, "asked too often (status 429)");
}

/* 401 and 403. */
static enum err_kind take_refusal(struct logs_api *a, unsigned status, struct err *err)
{
	if (a->refusals < LOGS_API_REFUSALS_MAX)
		a->refusals++;
	if (a->refusals < LOGS_API_REFUSALS_MAX)
		return after_failure(a, err_set(err, ERR_RETRY, "status %u", status));
	(void)err_set(err, ERR_CONFIG,
		      "the token is refused (status %u): check ACCESS_TOKEN, that it has not "
		      "expired, and that it may read this organisation",
		      status);
	return after_failure(a, ERR_CONFIG);
}

/* Any status that is not good. */
static enum err_kind take_status(struct logs_api *a, const struct http_answer *answer,
				 struct err *err)
{
	unsigned status = answer->status;

	if (status == STATUS_TOO_MANY)
		return slow_down(a, answer->retry_after_seconds, err);
	if (status == STATUS_UNAUTHORIZED || status == STATUS_FORBIDDEN)
		return take_refusal(a, status, err);
	if (status == STATUS_NOT_FOUND) {
		after_success(a);
		return err_set(err, ERR_REJECT, "status 404");
	}
	if (status / 100 == STATUS_REDIRECT / 100)
		(void)err_set(err, ERR_RETRY, "status %u: a redirect, which is not followed",
			      status);
	else
		(void)err_set(err, ERR_RETRY, "status %u", status);
	return after_failure(a, ERR_RETRY);
}

static enum err_kind get(struct logs_api *a, const char *url, struct http_answer *ret,
			 struct err *err)
{
	const char *const headers[] = {a->authorization, "Accept: application/json", NULL};
	const struct http_request request = {
		.url = url,
		.headers = headers,
		.body_max = LOGS_API_PAGE_BYTES_MAX,
		.seconds = a->seconds,
	};
	enum err_kind rc = http_client_send(a->client, &request, ret, err);

	if (rc)
		return after_failure(a, rc);
	return ret->status == STATUS_GOOD ? ERR_NONE : take_status(a, ret, err);
}

static bool is_app_name(struct span name)
{
	bool good = name.len > 0 && name.len < LOGS_API_APP_BYTES;

	for (size_t i = 0; i < name.len && good; i++)
		good = memchr(app_bytes, name.data[i], sizeof(app_bytes) - 1) != NULL;
	return good;
}

enum err_kind logs_api_page(struct logs_api *a, const char *app, int64_t after_ns,
			    struct batch *batch, struct logs_page *ret, struct err *err)
{
	struct logs_page_question q = {.app = app, .after_ns = after_ns, .hasher = a->hasher};
	struct http_answer answer;
	char url[URL_BYTES];
	enum err_kind rc;

	if (!is_app_name(span_text(app)))
		return err_set(err, ERR_REJECT, "no name that an application of Fly's can have");
	(void)snprintf(url, sizeof(url), "%s/api/v1/apps/%s/logs?next_token=%" PRId64, a->url, app,
		       after_ns);
	rc = get(a, url, &answer, err);
	if (rc == ERR_NONE) {
		q.now_ns = time_now_ns();
		rc = logs_page_read(answer.body, &q, batch, ret, err);
		if (rc)
			rc = after_failure(a, rc);
		else
			after_success(a);
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

		if (!name.data || !is_app_name(name))
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
	struct http_answer answer;
	char url[URL_BYTES];
	enum err_kind rc;

	if (!is_app_name(span_text(a->org)))
		return err_set(err, ERR_CONFIG, "ORG is not set, or no slug of an organisation");
	(void)snprintf(url, sizeof(url), "%s/v1/apps?org_slug=%s", a->machines_url, a->org);
	rc = get(a, url, &answer, err);
	if (rc == ERR_REJECT)
		rc = err_set(err, ERR_CONFIG,
			     "there is no such organisation (status 404): check ORG");
	if (rc == ERR_NONE) {
		apps.names = calloc(LOGS_API_APPS_MAX, sizeof(apps.names[0]));
		rc = apps.names ? read_apps(answer.body, &apps, err)
				: err_set(err, ERR_FATAL,
					  "out of memory for the list of applications");
		if (rc)
			rc = after_failure(a, rc);
		else
			after_success(a);
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
