#include "watch/watch.h"

#include "watch/tell.h"

#include <stdio.h>
#include <stdlib.h>

struct watch {
	struct watch_options o; /* const after watch_new() */
	struct jobs jobs;
	struct teller teller;
	struct buf content;
	/* of the look that is under way */
	struct job *job;
	struct watch_ask ask;
	struct listing before, next; /* the snapshot; and the one that follows, if it does */
	bool items_moved;            /* some came or went, or are known only now */
	bool blind; /* the list of applications is refused: nothing else is asked */
};

enum err_kind watch_new(struct watch **ret, const struct watch_options *options, struct err *err)
{
	struct watch *w = calloc(1, sizeof(*w));
	enum err_kind rc;

	if (!w)
		return err_set(err, ERR_FATAL, "out of memory for watching");
	w->o = *options;
	buf_init(&w->content, LISTING_JSON_BYTES_MAX);
	rc = jobs_init(&w->jobs, err);
	if (!rc)
		rc = teller_init(&w->teller, err);
	if (rc) {
		watch_free(w);
		return rc;
	}
	w->teller.tell = options->ops->tell;
	w->teller.arg = options->arg;
	w->teller.org = options->org;
	w->teller.own_app = options->own_app;
	w->teller.store_app = options->store_app;
	*ret = w;
	return ERR_NONE;
}

void watch_free(struct watch *w)
{
	if (!w)
		return;
	jobs_release(&w->jobs);
	teller_release(&w->teller);
	buf_release(&w->content);
	free(w);
}

void watch_forget(struct watch *w)
{
	/* What another had stirred and not looked at is not known here: all is. */
	for (size_t i = 0; i < w->jobs.count; i++) {
		w->jobs.list[i].loaded = false;
		w->jobs.list[i].due_ns = w->jobs.list[i].all_due_ns = 0;
	}
}

/* --- changes --- */

/*
 * What came was not there before, so what it has is no baseline. If there is a snapshot of that,
 * it was there, whatever the list said meanwhile.
 */
static enum err_kind begin_children(struct watch *w, const struct change *c, struct err *err)
{
	const struct watch_resource *child;
	enum err_kind rc = ERR_NONE;

	for (size_t n = 0; !rc && (child = watch_child(w->job->resource, n)); n++) {
		struct watch_snapshot stored = {.content = &w->content, .found = false};
		char scope[JOB_SCOPE_BYTES];
		struct job job = {.resource = child};
		struct span app = job_app_of(w->job, c->item);
		struct span item = job_item_of(w->job, c->item);

		(void)snprintf(job.app, sizeof(job.app), "%.*s", (int)app.len, app.data);
		(void)snprintf(job.item, sizeof(job.item), "%.*s", (int)item.len, item.data);
		job_scope(&job, scope);
		buf_reset(&w->content);
		rc = w->o.ops->load(w->o.arg, child->name, scope, &stored, err);
		if (!rc && !stored.found)
			rc = w->o.ops->save(w->o.arg, child->name, scope, SPAN("{}"), c->from_ns,
					    err);
	}
	return rc;
}

static enum err_kind take_change(void *arg, const struct change *c, struct err *err)
{
	struct watch *w = arg;
	enum err_kind rc = ERR_NONE;

	if (c->kind == CHANGE_REMOVED && w->job->resource->log)
		return ERR_NONE;
	w->items_moved = w->items_moved || c->kind != CHANGE_CHANGED;
	if (c->kind == CHANGE_ADDED)
		rc = begin_children(w, c, err);
	if (c->kind != CHANGE_REMOVED)
		jobs_stir(&w->jobs, w->job, c->item);
	return rc ? rc : teller_change(&w->teller, w->job->resource, &w->ask, c, err);
}

/* Of a log: whether a full answer has nothing that was in the answer before, or has a hole. */
static bool has_overrun(const struct watch_resource *resource, const struct listing *before,
			const struct listing *now)
{
	size_t b = 0, n = 0;

	if (resource->has_hole)
		return resource->has_hole(before, now);
	if (!resource->log || now->count < resource->page_max)
		return false;
	while (b < before->count && n < now->count) {
		int order = item_compare(&before->items[b], &now->items[n]);

		if (order == 0)
			return false;
		b += order < 0;
		n += order > 0;
	}
	return true;
}

/* What is not listed may be there all the same. Of a log, that is so anyway. */
static bool is_part(const struct watch *w, const struct listing *now)
{
	return w->ask.part || (w->job->found && now->part && !w->job->resource->log);
}

static enum err_kind compare(struct watch *w, const struct listing *now, struct err *err)
{
	const struct differ differ = {.take = take_change, .arg = w};
	const struct dated old = {.list = &w->before, .ns = w->job->taken_ns};
	const struct dated new = {.list = now, .ns = w->ask.answered_ns, .part = is_part(w, now)};
	enum err_kind rc = differ_run(&differ, &old, &new, &w->next, err);

	if (!rc && has_overrun(w->job->resource, &w->before, now))
		rc = teller_overrun(&w->teller, w->job->resource, &w->ask, old.ns, err);
	return rc;
}

static enum err_kind begin(struct watch *w, const struct listing *now, struct err *err)
{
	struct item *kept;
	enum err_kind rc = ERR_NONE;

	w->items_moved = true;
	for (size_t i = 0; i < now->count && !rc; i++)
		rc = listing_copy(&w->next, &now->items[i], &kept, err);
	if (!rc && w->job->resource->describe)
		rc = teller_baseline(&w->teller, w->job->resource, &w->ask, now->count, err);
	return rc;
}

/* --- a look --- */

static enum err_kind load(struct watch *w, struct job *job, struct err *err)
{
	struct watch_snapshot stored = {.content = &job->content, .found = false};
	char scope[JOB_SCOPE_BYTES];
	enum err_kind rc;

	if (job->loaded)
		return ERR_NONE;
	job_scope(job, scope);
	buf_reset(&job->content);
	rc = w->o.ops->load(w->o.arg, job->resource->name, scope, &stored, err);
	job->loaded = rc == ERR_NONE;
	job->found = stored.found;
	job->taken_ns = stored.taken_ns;
	job->unobserved = stored.unobserved;
	w->items_moved = stored.found;
	return rc;
}

/* What somebody else wrote there is no snapshot: it begins anew, which is on record. */
static enum err_kind read_snapshot(struct watch *w, struct job *job, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	if (job->found)
		rc = listing_read(&w->before, span_of(job->content.data, job->content.len), err);
	if (rc == ERR_REJECT) {
		listing_reset(&w->before);
		job->found = false;
		rc = ERR_NONE;
	}
	return rc;
}

/* It cannot be looked at, or not at all of it. */
static enum err_kind mark(struct watch *w, const struct job *job, const char *why, struct err *err)
{
	char scope[JOB_SCOPE_BYTES];

	job_scope(job, scope);
	return w->o.ops->unobserve(w->o.arg, job->resource->name, scope, why, err);
}

static enum err_kind put_on_record(struct watch *w, struct job *job, const char *why,
				   struct err *err)
{
	enum err_kind rc = teller_sight(&w->teller, job->resource, &w->ask, why, err);

	if (!rc)
		rc = w->o.ops->settle(w->o.arg, err);
	if (!rc)
		rc = mark(w, job, why, err);
	job->unobserved = rc == ERR_NONE;
	return rc;
}

static enum err_kind save(struct watch *w, struct job *job, int64_t taken_ns, struct err *err)
{
	char scope[JOB_SCOPE_BYTES];
	enum err_kind rc;

	job_scope(job, scope);
	rc = w->o.ops->save(w->o.arg, job->resource->name, scope,
			    span_of(w->content.data, w->content.len), taken_ns, err);
	if (rc)
		return rc;
	buf_reset(&job->content);
	buf_add(&job->content, w->content.data, w->content.len);
	job->taken_ns = taken_ns;
	job->found = true;
	return buf_check(&job->content, err);
}

/*
 * Whether nobody looked for long, as when flytrail did not run or Fly did not answer. The list of
 * applications tells that for all: it is looked at before what they have.
 */
static bool was_away(const struct watch *w, const struct job *job)
{
	int64_t patience_ns =
		time_later(WATCH_AWAY_INTERVALS * w->o.full_ns, WATCH_AWAY_SECONDS_MIN * NS_PER_S);

	return job->resource == &watch_apps && job->found && !job->unobserved &&
	       w->ask.now_ns - job->taken_ns > patience_ns;
}

static const char in_part[] = "the answer has something that cannot be told from the rest";

/* The snapshot that follows, when the facts are accepted. */
static enum err_kind keep(struct watch *w, struct job *job, bool part, struct err *err)
{
	enum err_kind rc = w->o.ops->settle(w->o.arg, err);

	if (rc)
		return rc;
	buf_reset(&w->content);
	listing_write(&w->next, &w->content);
	rc = buf_check(&w->content, err);
	if (rc || !part)
		return rc ? rc : save(w, job, w->ask.now_ns, err);
	/* What is not in a part of an answer was not seen since the whole one before. */
	if (!span_equal(span_of(w->content.data, w->content.len),
			span_of(job->content.data, job->content.len)))
		rc = save(w, job, job->taken_ns, err);
	return rc || !job->unobserved ? rc : mark(w, job, in_part, err);
}

/* What goes cannot be seen as long as some of a list cannot be read. */
static enum err_kind note_part(struct watch *w, struct job *job, bool part, struct err *err)
{
	if (!part) {
		job->unobserved = false;
		job->parts = 0;
		return ERR_NONE;
	}
	if (w->ask.part || job->unobserved || ++job->parts < WATCH_REFUSALS_MAX)
		return ERR_NONE;
	return put_on_record(w, job, in_part, err);
}

/* The events of what differs, and what goes with them. */
static enum err_kind move_on(struct watch *w, struct job *job, const struct listing *now,
			     struct err *err)
{
	bool part = is_part(w, now);
	enum err_kind rc = job->found ? compare(w, now, err) : begin(w, now, err);

	if (!rc && job->unobserved && !part)
		rc = teller_sight(&w->teller, job->resource, &w->ask, NULL, err);
	if (!rc && was_away(w, job))
		rc = teller_absence(&w->teller, job->resource, &w->ask, job->taken_ns, err);
	if (!rc)
		rc = keep(w, job, part, err);
	if (rc)
		return rc;
	job->refusals = job->failures = 0;
	if (job->resource->is_moving && job->resource->is_moving(&w->next) && job->stirs < 2)
		job->stirs = 2; /* this look, and one more */
	return note_part(w, job, part, err);
}

/*
 * Fly could not show it, or what it shows cannot be kept. What is answered so again and again is on
 * record as unobserved.
 */
static enum err_kind take_failure(struct watch *w, struct job *job, const struct err *why,
				  struct err *err)
{
	if (watch_api_refused(w->o.api) && why->kind == ERR_REJECT)
		jobs_doubt(&w->jobs, job);
	if (job->unobserved)
		return ERR_NONE;
	if (watch_api_answered(w->o.api) ? ++job->refusals < WATCH_REFUSALS_MAX
					 : job->found || ++job->failures < WATCH_FAILURES_MAX)
		return ERR_NONE;
	return put_on_record(w, job, why->text, err);
}

/* *ret_shown false: Fly could not show it, for the reason why. */
static enum err_kind look(struct watch *w, struct job *job, bool *ret_shown, struct err *why,
			  struct err *err)
{
	struct listing now;
	enum err_kind rc;

	*ret_shown = true;
	rc = load(w, job, err);
	if (!rc)
		rc = read_snapshot(w, job, err);
	if (rc)
		return rc;
	w->ask = (struct watch_ask){
		.api = w->o.api,
		.app = job->app,
		.item = job->item,
		.before = &w->before,
		.before_ns = job->found ? job->taken_ns : LISTING_NO_TIME,
		/* As exact as Postgres keeps it: events made again have the same times. */
		.now_ns = time_now_ns() / NS_PER_US * NS_PER_US,
		.part = job->resource->quick && job->found && time_monotonic_ns() < job->all_due_ns,
	};
	listing_init(&now, &job->resource->shape);
	rc = job->resource->fetch(&w->ask, &now, why);
	/* Rounded up, because it is a bound. */
	w->ask.answered_ns = (time_now_ns() / NS_PER_US + 1) * NS_PER_US;
	*ret_shown = rc == ERR_NONE;
	if (!rc) {
		rc = move_on(w, job, &now, why);
		*ret_shown = rc != ERR_REJECT; /* it cannot be kept: that holds up nothing else */
		if (rc && *ret_shown)
			*err = *why;
	}
	listing_release(&now);
	if (rc == ERR_FATAL)
		*err = *why;
	return *ret_shown || rc == ERR_FATAL ? rc : take_failure(w, job, why, err);
}

/* --- when --- */

static void set_due(struct watch *w, struct job *job, bool shown)
{
	unsigned every = job->resource->every > 0 ? job->resource->every : 1;
	int64_t now_ns = time_monotonic_ns();
	int64_t soon_ns = now_ns + time_earlier(WATCH_QUICK_SECONDS * NS_PER_S, w->o.full_ns);

	if (!shown) {
		job->due_ns =
			now_ns + (job->unobserved ? w->o.full_ns
						  : time_earlier(WATCH_RETRY_SECONDS * NS_PER_S,
								 w->o.full_ns));
		return;
	}
	if (!w->ask.part)
		job->all_due_ns = now_ns + w->o.full_ns * every;
	job->due_ns = job->all_due_ns;
	if (job->stirs > 0)
		job->stirs--;
	if (job->resource->quick || job->stirs > 0)
		job->due_ns = time_earlier(job->due_ns, soon_ns);
}

enum err_kind watch_step(struct watch *w, struct watch_step *ret, struct err *err)
{
	int64_t now_ns = time_monotonic_ns();
	size_t idx = w->blind ? 0 : jobs_next(&w->jobs, now_ns);
	struct job *job = &w->jobs.list[idx];
	int64_t wait_ns = job->due_ns - now_ns;
	bool shown = true;
	struct err why = {.kind = ERR_NONE};
	enum err_kind rc;

	*ret = (struct watch_step){.polled = wait_ns <= 0, .blind = w->blind};
	if (!ret->polled) {
		ret->wait_ns = wait_ns;
		return ERR_NONE;
	}
	w->job = job;
	w->items_moved = false;
	listing_init(&w->before, &job->resource->shape);
	listing_init(&w->next, &job->resource->shape);
	rc = look(w, job, &shown, &why, err);
	set_due(w, job, shown && !rc);
	/* Who does not answer takes nothing back. */
	if (idx == 0 && !rc && (shown || watch_api_answered(w->o.api)))
		w->blind = !shown && job->unobserved && watch_api_refused(w->o.api);
	/* A whole list says it again: what belongs to an item may have been dropped meanwhile. */
	if (!rc && (w->items_moved || (shown && !w->ask.part)))
		rc = jobs_follow(&w->jobs, idx, shown ? &w->next : &w->before, err);
	listing_release(&w->before);
	listing_release(&w->next);
	if (!rc && !shown)
		*err = why;
	ret->not_shown = !shown;
	ret->refused = !shown && watch_api_refused(w->o.api);
	ret->unobserved = jobs_unobserved(&w->jobs);
	ret->blind = w->blind;
	return rc;
}
