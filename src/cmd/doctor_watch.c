/* Of `flytrail doctor`: what this token may read of Fly's control plane. */

#include "cmd/doctor.h"

#include "base/fly_client.h"
#include "watch/jobs.h"

enum {
	REQUEST_SECONDS = 5,
	TRIES = 2, /* a lone refusal is passing */
	PROBES_MAX = 64,
	NAME_COLUMNS = 18,
	TOKENS_SHOWN_MAX = 8,
	APPS_SHOWN_MAX = 5,
	SHOWN_BYTES = 512,
};

/* --- what is watched, each once --- */

struct probe {
	const struct watch_resource *resource, *parent;
	struct job job; /* whose it is, of what the parent's answer has first */
	bool nothing;   /* that has none */
	bool unknown;   /* or is none */
};

struct probes {
	struct probe list[PROBES_MAX];
	size_t count;
};

/* One anew for each, so that a refusal does not make the next one wait. */
static enum err_kind open_api(const struct doctor *d, struct watch_api **ret, struct err *err)
{
	const struct config *c = &d->config;
	const struct watch_api_options options = {
		.machines_url = c->machines_url,
		.api_url = c->api_url,
		.org = c->org,
		.own_app = c->fly_app_name,
		.token = c->access_token,
		.hmac_key = c->hmac_key,
		.seconds = REQUEST_SECONDS,
	};

	return watch_api_new(ret, &options, err);
}

static enum err_kind fetch(const struct doctor *d, const struct job *job, struct listing *list,
			   bool *ret_refused, struct err *err)
{
	struct listing nothing;
	struct watch_ask ask = {.app = job->app,
				.item = job->item,
				.before = &nothing,
				.now_ns = time_now_ns() / NS_PER_US * NS_PER_US};
	struct watch_api *api = NULL;
	enum err_kind rc = open_api(d, &api, err);

	listing_init(&nothing, &job->resource->shape);
	if (rc)
		return rc;
	ask.api = api;
	for (int i = 0; i == 0 || (rc != ERR_NONE && rc != ERR_FATAL && i < TRIES); i++) {
		listing_release(list);
		listing_init(list, &job->resource->shape);
		rc = job->resource->fetch(&ask, list, err);
	}
	*ret_refused = rc && watch_api_refused(api);
	watch_api_free(api);
	return rc;
}

/* Those that the items of an answer have are asked of its first. */
static void add_children(struct probes *all, const struct probe *parent, const struct listing *list)
{
	const struct watch_resource *of = parent ? parent->resource : NULL;
	const struct watch_resource *child;

	for (size_t n = 0; (child = watch_child(of, n)) && all->count < PROBES_MAX; n++) {
		struct probe *p = &all->list[all->count++];
		struct span app, item;

		*p = (struct probe){.resource = child,
				    .parent = of,
				    .job = {.resource = child},
				    .nothing = list && list->count == 0,
				    .unknown = parent && !list};
		if (!list || list->count == 0)
			continue;
		app = job_app_of(&parent->job, &list->items[0]);
		item = job_item_of(&parent->job, &list->items[0]);
		(void)snprintf(p->job.app, sizeof(p->job.app), "%.*s", (int)app.len, app.data);
		(void)snprintf(p->job.item, sizeof(p->job.item), "%.*s", (int)item.len, item.data);
	}
}

/* Names of Fly's alone come to a terminal. */
static const char *shown(const char *name)
{
	return fly_client_is_name(span_text(name)) ? name : "the first";
}

static void tell_readable(struct doctor *d, const struct probe *p, size_t count)
{
	const struct job *job = &p->job;

	doctor_tell(d, OK, "watch: %-*s readable: %zu%s%s%s%s", NAME_COLUMNS, p->resource->name,
		    count, job->app[0] != '\0' ? " of " : "",
		    job->app[0] != '\0' ? shown(job->app) : "", job->item[0] != '\0' ? ", " : "",
		    job->item[0] != '\0' ? shown(job->item) : "");
}

static void tell_unreadable(struct doctor *d, const struct probe *p, bool refused,
			    const struct err *why)
{
	bool is_apps = p->resource == &watch_apps;

	doctor_tell(d, is_apps && refused ? FAIL : WARN, "watch: %-*s %s (%s): %s", NAME_COLUMNS,
		    p->resource->name, refused ? "refused" : "not answered", why->text,
		    is_apps ? "without the list of applications nothing is watched; check ORG, and "
			      "that the token may read the organisation"
		    : refused ? "it is unobserved, and no change of it is seen with this token"
			      : "no change of it is seen until it is");
}

static void probe(struct doctor *d, struct probes *all, size_t idx)
{
	struct probe *p = &all->list[idx];
	struct err err = {.kind = ERR_NONE};
	struct listing list;
	bool refused = false;
	enum err_kind rc;

	if (p->unknown || p->nothing) {
		doctor_tell(
			d, p->nothing ? OK : WARN, "watch: %-*s not asked for, because %s of %s",
			NAME_COLUMNS, p->resource->name,
			p->nothing ? "there is nothing" : "nothing can be read", p->parent->name);
		add_children(all, p, NULL);
		return;
	}
	listing_init(&list, &p->resource->shape);
	rc = fetch(d, &p->job, &list, &refused, &err);
	if (rc)
		tell_unreadable(d, p, refused, &err);
	else
		tell_readable(d, p, list.count);
	add_children(all, p, rc ? NULL : &list);
	listing_release(&list);
}

/* --- the token --- */

static void add_apps(const struct json *apps, struct buf *out)
{
	size_t count = 0;

	if (!apps || json_type(apps) != JSON_ARRAY || !json_first(apps)) {
		buf_str(out, "all applications");
		return;
	}
	for (const struct json *v = json_first(apps); v; v = json_next(v), count++) {
		struct span name = json_type(v) == JSON_TEXT ? json_text(v) : SPAN("");

		if (count >= APPS_SHOWN_MAX || !fly_client_is_name(name))
			continue;
		buf_str(out, count > 0 ? ", " : "");
		buf_span(out, name);
	}
	if (count > APPS_SHOWN_MAX)
		buf_fmt(out, " and %zu more", count - APPS_SHOWN_MAX);
}

/* Whom it is of, and nothing by which it could be found again. */
static void tell_one_token(struct doctor *d, const struct json *token)
{
	bool is_fixed = watch_text(token, "restricted_to_machine").len > 0;
	struct span org = watch_text(token, "org_slug");
	struct buf text;
	struct err err;

	if (!fly_client_is_name(org))
		org = SPAN("unknown");
	buf_init(&text, SHOWN_BYTES);
	add_apps(json_member(token, "apps"), &text);
	if (buf_check(&text, &err) == ERR_NONE)
		doctor_tell(d, OK, "token: covers %s of %.*s%s; %s", (const char *)text.data,
			    (int)org.len, org.data, is_fixed ? ", from one machine alone" : "",
			    watch_text(token, "user").len > 0
				    ? "it is a person's, and may do what that one may"
				    : "it is no person's");
	buf_release(&text);
}

static void check_token(struct doctor *d)
{
	static const struct watch_names names = {.app = NULL};
	struct watch_api *api = NULL;
	struct json *root = NULL;
	struct err err = {.kind = ERR_NONE};
	enum err_kind rc = open_api(d, &api, &err);
	const struct json *tokens;
	int count = 0;

	if (!rc)
		rc = watch_api_get(api, "v1/tokens/current", &names, &root, &err);
	tokens = rc ? NULL : json_member(root, "tokens");
	if (tokens && json_type(tokens) == JSON_ARRAY)
		for (const struct json *v = json_first(tokens); v && count < TOKENS_SHOWN_MAX;
		     v = json_next(v), count++)
			tell_one_token(d, v);
	if (count == 0)
		doctor_tell(d, OK, "token: Fly does not say what it covers%s%s%s", rc ? " (" : "",
			    rc ? err.text : "", rc ? ")" : "");
	json_free(root);
	watch_api_free(api);
}

void doctor_check_watch(struct doctor *d)
{
	struct probes all = {.count = 0};

	check_token(d);
	add_children(&all, NULL, NULL);
	for (size_t i = 0; i < all.count; i++)
		probe(d, &all, i);
	if (d->config.hmac_key[0] == '\0')
		doctor_tell(d, WARN,
			    "secrets: FLYTRAIL_HMAC_KEY is not set, so secrets are compared by "
			    "their times alone; make one with `openssl rand -hex 32`, and keep it");
}
