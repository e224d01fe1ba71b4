#include "watch/watch.h"

#include <stdio.h>
#include <stdlib.h>

enum { ATTRIBUTES_BYTES_MAX = 64 * 1024 };

static const struct watch_resource *const resources[] = {
#define RESOURCE(name) &watch_##name,
#include "watch/resources.def"
#undef RESOURCE
};

/* A resource of an application, or of the organisation. */
struct job {
	const struct watch_resource *resource;
	char scope[RECORD_APP_BYTES_MAX + 1]; /* the application; "": the organisation */
	int64_t due_ns;                       /* on the monotonic clock */
	bool loaded, found;
	struct listing snapshot;
	int64_t taken_ns;
};

struct watch {
	struct watch_options o; /* const after watch_new() */
	struct job *jobs;       /* the first is the list of applications */
	size_t count;
	struct hasher *hasher;
	struct buf content, attributes;
	const struct job *job; /* whose changes are told */
	int64_t now_ns;        /* when its answer was asked for */
};

static struct job *add_job(struct watch *w, const struct watch_resource *resource,
			   struct span scope)
{
	struct job *job = &w->jobs[w->count];

	if (w->count == WATCH_JOBS_MAX || scope.len > RECORD_APP_BYTES_MAX)
		return NULL;
	*job = (struct job){.resource = resource};
	if (scope.len > 0)
		memcpy(job->scope, scope.data, scope.len);
	listing_init(&job->snapshot, &resource->shape);
	w->count++;
	return job;
}

enum err_kind watch_new(struct watch **ret, const struct watch_options *options, struct err *err)
{
	struct watch *w = calloc(1, sizeof(*w));
	enum err_kind rc = ERR_NONE;

	if (w)
		w->jobs = calloc(WATCH_JOBS_MAX, sizeof(w->jobs[0]));
	if (!w || !w->jobs)
		rc = err_set(err, ERR_FATAL, "out of memory for watching");
	else
		rc = hasher_new(&w->hasher, err);
	if (rc) {
		watch_free(w);
		return rc;
	}
	w->o = *options;
	buf_init(&w->content, LISTING_JSON_BYTES_MAX);
	buf_init(&w->attributes, ATTRIBUTES_BYTES_MAX);
	for (size_t i = 0; i < ARRAY_LEN(resources); i++)
		if (!resources[i]->of_app)
			(void)add_job(w, resources[i], SPAN(""));
	*ret = w;
	return ERR_NONE;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->count; i++)
		listing_release(&w->jobs[i].snapshot);
	free(w->jobs);
	hasher_free(w->hasher);
	buf_release(&w->content);
	buf_release(&w->attributes);
	free(w);
}

void watch_forget(struct watch *w)
{
	for (size_t i = 0; i < w->count; i++)
		w->jobs[i].loaded = false;
}

/* --- events --- */

static void write_fields(const struct listing_shape *shape, const struct item *item,
			 const char *key, struct buf *out)
{
	if (!item)
		return;
	json_write_key(out, key);
	buf_u8(out, '{');
	for (size_t i = 0; i < shape->field_count; i++) {
		if (item->values[i].len == 0)
			continue;
		json_write_key(out, shape->fields[i]);
		json_write_text(out, item->values[i]);
	}
	buf_u8(out, '}');
}

struct what {
	enum action action;
	struct span key;
	int64_t fly_ns, from_ns;
};

/* Fly's own time is in both replicas' answers; without one it is the snapshot's that they share. */
static enum err_kind make_id(struct watch *w, const struct what *what, struct id *ret,
			     struct err *err)
{
	char fly[ID_NUMBER_BYTES], from[ID_NUMBER_BYTES];
	const struct span parts[] = {
		SPAN("watch"),
		span_text(w->job->resource->name),
		span_text(w->job->scope),
		span_text(action_name(what->action)),
		what->key,
		what->fly_ns != LISTING_NO_TIME ? id_number(what->fly_ns, fly) : SPAN(""),
		what->fly_ns != LISTING_NO_TIME ? SPAN("") : id_number(what->from_ns, from),
		span_of(w->attributes.data, w->attributes.len),
	};

	return id_event(w->hasher, parts, ARRAY_LEN(parts), ret, err);
}

static enum err_kind tell(struct watch *w, struct event *e, struct err *err)
{
	e->org = w->o.org;
	e->app = span_text(w->job->scope);
	e->class = action_class(e->action);
	e->observed_ns = w->now_ns;
	e->source = SOURCE_WATCH;
	e->rule = SPAN("watch");
	e->attributes = span_of(w->attributes.data, w->attributes.len);
	if (e->app.len > 0 && span_equal(e->app, w->o.own_app))
		e->severity = SEVERITY_FATAL;
	return w->o.ops->tell(w->o.arg, e, err);
}

/* Of a time that Fly says and that cannot be, nothing is believed. */
static int64_t good_time(const struct change *c, int64_t fly_ns)
{
	return fly_ns != LISTING_NO_TIME && fly_ns > 0 && fly_ns <= c->to_ns + NS_PER_S * 60
		       ? fly_ns
		       : LISTING_NO_TIME;
}

/*
 * An application that was not there before had nothing then: what it has is no baseline. One of
 * which there is a snapshot was there, whatever the list said meanwhile.
 */
static enum err_kind begin_app(struct watch *w, const struct change *c, struct err *err)
{
	char app[RECORD_APP_BYTES_MAX + 1];
	enum err_kind rc = ERR_NONE;

	(void)snprintf(app, sizeof(app), "%.*s", (int)c->item->key.len, c->item->key.data);
	for (size_t i = 0; i < ARRAY_LEN(resources) && !rc; i++) {
		struct watch_snapshot stored = {.content = &w->content, .found = false};

		if (!resources[i]->of_app)
			continue;
		buf_reset(&w->content);
		rc = w->o.ops->load(w->o.arg, resources[i]->name, app, &stored, err);
		if (!rc && !stored.found)
			rc = w->o.ops->save(w->o.arg, resources[i]->name, app, SPAN("{}"),
					    c->from_ns, err);
	}
	return rc;
}

static enum err_kind tell_change(void *arg, const struct change *c, struct err *err)
{
	struct watch *w = arg;
	const struct watch_resource *resource = w->job->resource;
	struct watch_fact fact = {.fly_ns = LISTING_NO_TIME};
	struct what what;
	struct event e;
	struct id id;
	enum err_kind rc;

	if (resource == &watch_apps && c->kind == CHANGE_ADDED) {
		rc = begin_app(w, c, err);
		if (rc)
			return rc;
	}
	if (!resource->describe || !resource->describe(c, w->job->scope, &fact))
		return ERR_NONE;
	fact.fly_ns = good_time(c, fact.fly_ns);
	buf_reset(&w->attributes);
	buf_u8(&w->attributes, '{');
	write_fields(&resource->shape, c->before, "before", &w->attributes);
	write_fields(&resource->shape, c->after, "after", &w->attributes);
	buf_u8(&w->attributes, '}');
	rc = buf_check(&w->attributes, err);
	what = (struct what){fact.action, c->item->key, fact.fly_ns, c->from_ns};
	if (!rc)
		rc = make_id(w, &what, &id, err);
	if (rc)
		return rc;
	e = (struct event){
		.id = id,
		.action = fact.action,
		.occurred_ns = fact.fly_ns != LISTING_NO_TIME ? fact.fly_ns : c->from_ns,
		.not_after_ns = fact.fly_ns != LISTING_NO_TIME ? EVENT_NO_TIME : c->to_ns,
		.time_basis = fact.fly_ns != LISTING_NO_TIME ? TIME_SOURCE : TIME_INTERVAL,
		.actor = fact.actor,
		.actor_type = fact.actor_type,
		.actor_reason = span_text(fact.actor_reason ? fact.actor_reason : ""),
		.target_type = span_text(fact.target_type),
		.target = c->item->key,
		.severity = action_severity(fact.action),
		.trust = TRUST_API,
		.summary = span_text(fact.summary),
	};
	return tell(w, &e, err);
}

static enum err_kind tell_baseline(struct watch *w, const struct listing *now, struct err *err)
{
	const struct what what = {ACTION_trail_baseline, SPAN(""), LISTING_NO_TIME, w->now_ns};
	char summary[WATCH_SUMMARY_BYTES];
	struct event e;
	struct id id;
	enum err_kind rc;

	(void)snprintf(summary, sizeof(summary), "%zu of %s%s%s when flytrail first looked",
		       now->count, w->job->resource->name, w->job->scope[0] != '\0' ? " of " : "",
		       w->job->scope);
	buf_reset(&w->attributes);
	buf_u8(&w->attributes, '{');
	json_write_key(&w->attributes, "resource");
	json_write_text(&w->attributes, span_text(w->job->resource->name));
	json_write_key(&w->attributes, "count");
	buf_fmt(&w->attributes, "%zu", now->count);
	buf_u8(&w->attributes, '}');
	rc = buf_check(&w->attributes, err);
	if (!rc)
		rc = make_id(w, &what, &id, err);
	if (rc)
		return rc;
	e = (struct event){
		.id = id,
		.action = ACTION_trail_baseline,
		.occurred_ns = w->now_ns,
		.not_after_ns = EVENT_NO_TIME,
		.time_basis = TIME_OBSERVED,
		.actor = SPAN("flytrail"),
		.actor_type = ACTOR_SELF,
		.target_type = SPAN("resource"),
		.target = span_text(w->job->resource->name),
		.severity = action_severity(ACTION_trail_baseline),
		.trust = TRUST_SELF,
		.summary = span_text(summary),
	};
	return tell(w, &e, err);
}

/* --- jobs --- */

static bool has_jobs(const struct watch *w, struct span app)
{
	for (size_t i = 0; i < w->count; i++)
		if (span_is(app, w->jobs[i].scope))
			return true;
	return false;
}

/* Jobs of applications that are gone, whose items are not there any more. */
static void drop_jobs(struct watch *w, const struct listing *apps)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->count; i++) {
		struct job *job = &w->jobs[i];
		bool there = !job->resource->of_app;

		for (size_t a = 0; a < apps->count && !there; a++)
			there = span_is(apps->items[a].key, job->scope);
		if (!there)
			listing_release(&job->snapshot);
		else if (kept++ != i)
			w->jobs[kept - 1] = *job;
	}
	w->count = kept;
}

static void follow_apps(struct watch *w)
{
	const struct listing *apps = &w->jobs[0].snapshot;

	drop_jobs(w, apps);
	for (size_t a = 0; a < apps->count; a++) {
		if (has_jobs(w, apps->items[a].key))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(resources); i++)
			if (resources[i]->of_app)
				(void)add_job(w, resources[i], apps->items[a].key);
	}
}

/* --- a poll --- */

static enum err_kind load(struct watch *w, struct job *job, struct err *err)
{
	struct watch_snapshot stored = {.content = &w->content, .found = false};
	enum err_kind rc;

	if (job->loaded)
		return ERR_NONE;
	listing_release(&job->snapshot);
	listing_init(&job->snapshot, &job->resource->shape);
	buf_reset(&w->content);
	rc = w->o.ops->load(w->o.arg, job->resource->name, job->scope, &stored, err);
	job->found = stored.found;
	job->taken_ns = stored.taken_ns;
	if (!rc && job->found)
		rc = listing_read(&job->snapshot, span_of(w->content.data, w->content.len), err);
	if (rc == ERR_REJECT) { /* somebody else wrote it: it begins anew, which is on record */
		listing_release(&job->snapshot);
		listing_init(&job->snapshot, &job->resource->shape);
		job->found = false;
		rc = ERR_NONE;
	}
	job->loaded = rc == ERR_NONE;
	if (!rc && job == &w->jobs[0] && job->found)
		follow_apps(w); /* the list itself may not be had for a while */
	return rc;
}

/* The events of what differs, accepted; then the snapshot that follows. */
static enum err_kind move_on(struct watch *w, struct job *job, const struct listing *now,
			     struct listing *next, struct err *err)
{
	const struct differ differ = {.take = tell_change, .arg = w};
	const struct dated before = {.list = &job->snapshot, .ns = job->taken_ns};
	const struct dated after = {.list = now, .ns = w->now_ns};
	struct item *kept;
	enum err_kind rc = ERR_NONE;

	if (job->found) {
		rc = differ_run(&differ, &before, &after, next, err);
	} else {
		for (size_t i = 0; i < now->count && !rc; i++)
			rc = listing_copy(next, &now->items[i], &kept, err);
		if (!rc)
			rc = tell_baseline(w, now, err);
	}
	if (!rc)
		rc = w->o.ops->settle(w->o.arg, err);
	if (rc)
		return rc;
	buf_reset(&w->content);
	listing_write(next, &w->content);
	rc = buf_check(&w->content, err);
	if (!rc)
		rc = w->o.ops->save(w->o.arg, job->resource->name, job->scope,
				    span_of(w->content.data, w->content.len), w->now_ns, err);
	return rc;
}

/* *ret_shown false: Fly could not show it, which says nothing of the others. */
static enum err_kind poll(struct watch *w, struct job *job, bool *ret_shown, struct err *err)
{
	struct listing now, next;
	enum err_kind rc = load(w, job, err);

	*ret_shown = true;
	if (rc)
		return rc;
	listing_init(&now, &job->resource->shape);
	listing_init(&next, &job->resource->shape);
	w->job = job;
	/* As exact as Postgres keeps it, so that events made again have the same times. */
	w->now_ns = time_now_ns() / NS_PER_US * NS_PER_US;
	rc = job->resource->fetch(w->o.api, job->scope, &now, err);
	/* Some may be closed to the token that others are open to. */
	*ret_shown =
		rc != ERR_RETRY && rc != ERR_REJECT && !(rc == ERR_CONFIG && job->resource->of_app);
	if (!rc)
		rc = move_on(w, job, &now, &next, err);
	listing_release(&now);
	if (rc) {
		listing_release(&next);
		return rc;
	}
	listing_release(&job->snapshot);
	job->snapshot = next;
	job->taken_ns = w->now_ns;
	job->found = true;
	return ERR_NONE;
}

/* --- which one --- */

static struct job *first_due(struct watch *w)
{
	struct job *first = &w->jobs[0];

	for (size_t i = 1; i < w->count; i++)
		if (w->jobs[i].due_ns < first->due_ns)
			first = &w->jobs[i];
	return first;
}

enum err_kind watch_step(struct watch *w, struct watch_step *ret, struct err *err)
{
	int64_t mono_ns = time_monotonic_ns();
	struct job *job = first_due(w);
	bool shown;
	enum err_kind rc;

	*ret = (struct watch_step){.polled = job->due_ns <= mono_ns};
	if (!ret->polled) {
		ret->wait_ns = job->due_ns - mono_ns;
		return ERR_NONE;
	}
	rc = poll(w, job, &shown, err);
	job->due_ns = mono_ns + (rc ? time_earlier(WATCH_RETRY_SECONDS * NS_PER_S, w->o.full_ns)
				    : w->o.full_ns);
	if (!rc && job == &w->jobs[0])
		follow_apps(w);
	ret->not_shown = !shown;
	return shown ? rc : ERR_NONE;
}
