#include "watch/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct watch_resource *const resources[] = {
#define RESOURCE(name) &watch_##name,
#include "watch/resources.def"
#undef RESOURCE
};

/* False: there is no room. */
static bool add(struct jobs *j, const struct watch_resource *resource, struct span app,
		struct span item)
{
	struct job *job = &j->list[j->count];

	if (j->count == JOBS_MAX || app.len > RECORD_APP_BYTES_MAX ||
	    item.len > JOB_ITEM_BYTES_MAX || memchr(item.data, '\0', item.len))
		return false;
	*job = (struct job){.resource = resource};
	memcpy(job->app, app.data, app.len);
	memcpy(job->item, item.data, item.len);
	buf_init(&job->content, LISTING_JSON_BYTES_MAX);
	j->count++;
	return true;
}

enum err_kind jobs_init(struct jobs *j, struct err *err)
{
	*j = (struct jobs){.list = calloc(JOBS_MAX, sizeof(j->list[0]))};
	if (!j->list)
		return err_set(err, ERR_FATAL, "out of memory for watching");
	for (size_t i = 0; i < ARRAY_LEN(resources); i++)
		if (!resources[i]->of)
			REQUIRE(add(j, resources[i], SPAN(""), SPAN("")));
	return ERR_NONE;
}

void jobs_release(struct jobs *j)
{
	for (size_t i = 0; i < j->count; i++)
		buf_release(&j->list[i].content);
	free(j->list);
	j->list = NULL;
	j->count = 0;
}

void job_scope(const struct job *job, char ret[JOB_SCOPE_BYTES])
{
	(void)snprintf(ret, JOB_SCOPE_BYTES, "%s%s%s", job->app, job->item[0] != '\0' ? "/" : "",
		       job->item);
}

struct span job_app_of(const struct job *job, const struct item *item)
{
	const struct listing_shape *shape = &job->resource->shape;

	if (job->resource == &watch_apps)
		return item->key;
	for (size_t i = 0; i < shape->field_count; i++)
		if (strcmp(shape->fields[i], "app") == 0)
			return item->values[i];
	return span_text(job->app);
}

const struct watch_resource *watch_child(const struct watch_resource *parent, size_t nth)
{
	for (size_t i = 0; i < ARRAY_LEN(resources); i++)
		if (resources[i]->of == parent && nth-- == 0)
			return resources[i];
	return NULL;
}

struct span job_item_of(const struct job *job, const struct item *item)
{
	return job->resource == &watch_apps ? SPAN("") : item->key;
}

/* Whether a job is of an item of the parent's list; its item, if it is there still. */
static bool is_child(const struct job *job, const struct job *parent, const struct listing *list,
		     const struct item **ret)
{
	bool of_apps = parent->resource == &watch_apps;

	*ret = NULL;
	if (of_apps) { /* and all that is below */
		if (job->app[0] != '\0')
			*ret = listing_find(list, span_text(job->app));
		return job->app[0] != '\0';
	}
	if (job->resource->of != parent->resource ||
	    (parent->app[0] != '\0' && strcmp(job->app, parent->app) != 0))
		return false;
	*ret = listing_find(list, span_text(job->item));
	if (*ret && !span_is(job_app_of(parent, *ret), job->app))
		*ret = NULL;
	return true;
}

/* Drops what is gone; marks in `has` the items that have jobs already. */
static void drop(struct jobs *j, const struct job *parent, const struct listing *list, bool *has)
{
	size_t kept = 0;

	for (size_t i = 0; i < j->count; i++) {
		struct job *job = &j->list[i];
		const struct item *item;

		if (is_child(job, parent, list, &item) && !item) {
			buf_release(&job->content);
			continue;
		}
		if (item && job->resource->of == parent->resource)
			has[item - list->items] = true;
		if (kept++ != i)
			j->list[kept - 1] = *job;
	}
	j->count = kept;
}

/* All of them, or none: one that has some has all. Returns how many there is no room for. */
static size_t add_children(struct jobs *j, const struct job *parent, const struct item *item)
{
	size_t before = j->count, children = 0;
	const struct watch_resource *child;
	bool fits = true;

	for (; (child = watch_child(parent->resource, children)); children++)
		fits = fits && add(j, child, job_app_of(parent, item), job_item_of(parent, item));
	if (fits)
		return 0;
	j->count = before; /* they have nothing yet */
	return children;
}

enum err_kind jobs_follow(struct jobs *j, size_t parent_idx, const struct listing *list,
			  struct err *err)
{
	const struct job parent = j->list[parent_idx]; /* the table moves */
	size_t missed = 0;
	bool *has;

	if (!watch_child(parent.resource, 0))
		return ERR_NONE;
	has = calloc(list->count + 1, sizeof(has[0]));
	if (!has)
		return err_set(err, ERR_FATAL, "out of memory for watching");
	drop(j, &parent, list, has);
	for (size_t i = 0; i < list->count; i++)
		if (!has[i])
			missed += add_children(j, &parent, &list->items[i]);
	free(has);
	for (size_t i = 0; i < j->count; i++)
		if (j->list[i].resource == parent.resource &&
		    strcmp(j->list[i].app, parent.app) == 0)
			j->list[i].missed = missed;
	return ERR_NONE;
}

static void stir(struct job *job)
{
	job->stirs = job->item[0] != '\0' ? JOB_ITEM_STIRS : JOB_STIRS;
	/* Not before what has waited longer: that is never put off for ever. */
	job->due_ns = time_earlier(job->due_ns, time_monotonic_ns());
	job->all_due_ns = 0;
}

void jobs_stir(struct jobs *j, const struct job *parent, const struct item *item)
{
	struct span app = job_app_of(parent, item);

	/* What is listed by application names the application by its key. */
	if (app.len == 0)
		app = item->key;
	for (size_t i = 0; i < j->count; i++) {
		struct job *job = &j->list[i];

		if (job->resource->stirred_by != parent->resource || !span_is(app, job->app) ||
		    (job->item[0] != '\0' && !span_is(item->key, job->item)))
			continue;
		stir(job);
	}
}

void jobs_doubt(struct jobs *j, const struct job *job)
{
	for (size_t i = 0; i < j->count; i++) {
		struct job *parent = &j->list[i];

		if (parent->resource == job->resource->of && parent->stirs == 0 &&
		    (parent->app[0] == '\0' || strcmp(parent->app, job->app) == 0))
			stir(parent);
	}
}

size_t jobs_unobserved(const struct jobs *j)
{
	size_t count = 0;

	for (size_t i = 0; i < j->count; i++)
		count += j->list[i].unobserved + j->list[i].missed;
	return count;
}

/* The greater goes first; 0 also for what is not due. */
static int urgency(const struct job *job, int64_t now_ns)
{
	if (job->due_ns > now_ns)
		return 0;
	if (job->resource->quick || job->stirs > 0)
		return 2;
	return job->resource->every <= 1;
}

size_t jobs_next(struct jobs *j, int64_t now_ns)
{
	bool plain = ++j->turn % JOBS_PLAIN_EACH == 0;
	int most = plain ? 0 : urgency(&j->list[0], now_ns);
	size_t next = 0;

	for (size_t i = 1; i < j->count; i++) {
		int more = plain ? 0 : urgency(&j->list[i], now_ns);

		if (most == more ? j->list[i].due_ns < j->list[next].due_ns : more > most) {
			next = i;
			most = more;
		}
	}
	return next;
}
