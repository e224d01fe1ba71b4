#include "run/watcher.h"

#include "base/backoff.h"
#include "base/log.h"
#include "base/time.h"
#include "model/batch.h"
#include "store/snapshots.h"
#include "watch/watch.h"

#include <stdlib.h>

enum { POOL_WAIT_MS = 100, SETTLE_LOOK_MS = 20, PAYLOAD_BYTES_MAX = 256 * 1024 };

struct watcher {
	const struct leased_options *o;
	struct watch_api *api;
	struct watch *watch;
	struct snapshots *db; /* NULL: to be connected */
	struct buf payload;
	struct batch *batch; /* what was told and is not handed over; NULL: nothing */
	uint64_t told;       /* handed over, since the start */
	bool mine;           /* the lease */
	bool others;         /* and another replica has it, as Postgres says */
	int64_t renewed_ns;  /* on the monotonic clock */
	unsigned failures;   /* in a row */
	bool not_shown;      /* the newest poll */
};

static bool may_go_on(const struct watcher *w)
{
	return life_state(w->o->life) == LIFE_RUNNING;
}

static enum err_kind ending(struct err *err)
{
	return err_set(err, ERR_FULL, "the program is ending");
}

/* --- the lease --- */

/* ERR_RETRY: another replica has it, or Postgres is away. */
static enum err_kind hold_lease(struct watcher *w, struct err *err)
{
	int64_t now_ns = time_monotonic_ns();
	int64_t age_ns = now_ns - w->renewed_ns;
	/* One that has lapsed may have been another's meanwhile. */
	bool had_it = w->mine && age_ns < LEASED_SECONDS * NS_PER_S;
	enum err_kind rc;

	if (w->mine && age_ns < LEASED_RENEW_SECONDS * NS_PER_S)
		return ERR_NONE;
	w->mine = w->others = false;
	rc = snapshots_take_lease(w->db, LEASED_SECONDS, &w->mine, err);
	if (rc)
		return rc;
	w->renewed_ns = now_ns;
	w->others = !w->mine;
	if (!had_it)
		watch_forget(w->watch);
	return w->mine ? ERR_NONE : err_set(err, ERR_RETRY, "another replica watches");
}

/* --- what watch/watch.h asks for --- */

static enum err_kind load(void *arg, const char *resource, const char *scope,
			  struct watch_snapshot *ret, struct err *err)
{
	struct watcher *w = arg;
	struct snapshot found = {.found = false};
	enum err_kind rc = snapshots_load(w->db, resource, scope, ret->content, &found, err);

	ret->found = found.found;
	ret->unobserved = found.unobserved;
	ret->taken_ns = found.taken_ns;
	return rc;
}

static enum err_kind unobserve(void *arg, const char *resource, const char *scope, const char *why,
			       struct err *err)
{
	struct watcher *w = arg;

	return snapshots_unobserve(w->db, resource, scope, why, err);
}

static enum err_kind save(void *arg, const char *resource, const char *scope, struct span content,
			  int64_t taken_ns, struct err *err)
{
	struct watcher *w = arg;

	return snapshots_save(w->db, resource, scope, content, taken_ns, err);
}

static enum err_kind await_batch(struct watcher *w, struct err *err)
{
	while (!w->batch) {
		if (!may_go_on(w))
			return ending(err);
		w->batch = queue_get(w->o->pool, POOL_WAIT_MS * NS_PER_MS);
		if (w->batch)
			w->batch->source = SOURCE_WATCH;
	}
	return ERR_NONE;
}

static enum err_kind hand_over(struct watcher *w, struct err *err)
{
	struct batch *batch = w->batch;
	size_t count = batch ? batch->event_count : 0;

	w->batch = NULL;
	if (!batch)
		return ERR_NONE;
	if (queue_put(w->o->filled, batch)) {
		w->told += count;
		return ERR_NONE;
	}
	batch_reset(batch);
	REQUIRE(queue_put(w->o->pool, batch));
	return ending(err);
}

static enum err_kind tell(void *arg, const struct event *event, struct err *err)
{
	struct watcher *w = arg;
	struct span payload;
	enum err_kind rc;

	buf_reset(&w->payload);
	event_encode(event, &w->payload);
	rc = buf_check(&w->payload, err);
	payload = span_of(w->payload.data, w->payload.len);
	if (!rc)
		rc = await_batch(w, err);
	if (rc || batch_add_event(w->batch, payload, event->observed_ns))
		return rc;
	rc = hand_over(w, err);
	if (!rc)
		rc = await_batch(w, err);
	if (rc || batch_add_event(w->batch, payload, event->observed_ns))
		return rc;
	return err_set(err, ERR_FATAL, "out of memory for an event");
}

static enum err_kind settle(void *arg, struct err *err)
{
	struct watcher *w = arg;
	struct spool_stats stats;
	uint64_t appended_seq = 0;
	bool appended = false;
	enum err_kind rc = hand_over(w, err);

	while (!rc) {
		/* In this order: what is counted is in the spool, whose end is asked for after. */
		bool counted = atomic_load(&w->o->status->events_accepted) >= w->told;

		spool_stats(w->o->spool, &stats);
		if (counted && !appended) {
			appended = true;
			appended_seq = stats.appended_seq;
		}
		if (appended && stats.accepted_seq >= appended_seq)
			return ERR_NONE;
		if (!may_go_on(w))
			return ending(err);
		/* The spool may be full for long. Who has lost the lease does it again, or another.
		 */
		rc = hold_lease(w, err);
		if (!rc)
			life_wait(w->o->life, SETTLE_LOOK_MS * NS_PER_MS);
	}
	return rc;
}

static const struct watch_ops ops = {
	.load = load, .save = save, .unobserve = unobserve, .tell = tell, .settle = settle};

/* --- the thread --- */

static enum err_kind make(struct watcher *w, struct err *err)
{
	const struct config *c = w->o->config;
	const struct watch_api_options api = {
		.machines_url = c->machines_url,
		.api_url = c->api_url,
		.org = c->org,
		.own_app = c->fly_app_name,
		.token = c->access_token,
		.hmac_key = c->hmac_key,
		.cut = &w->o->life->ending,
	};
	struct watch_options watch = {
		.ops = &ops,
		.arg = w,
		.org = span_text(c->org),
		.own_app = span_text(c->fly_app_name),
		.full_ns = (int64_t)c->watch_full_seconds * NS_PER_S,
	};
	enum err_kind rc = watch_api_new(&w->api, &api, err);

	watch.api = w->api;
	return rc ? rc : watch_new(&w->watch, &watch, err);
}

static enum err_kind connect(struct watcher *w, struct err *err)
{
	const struct snapshots_options options = {
		.url = w->o->config->database_url,
		.replica = w->o->replica,
		.stream = spool_stream(w->o->spool),
	};

	return w->db ? ERR_NONE : snapshots_open(&w->db, &options, err);
}

static void disconnect(struct watcher *w)
{
	snapshots_close(w->db);
	w->db = NULL;
	w->mine = w->others = false;
}

/* Once, and not for each of many applications. */
static void note_shown(struct watcher *w, const struct watch_step *step, const struct err *why)
{
	if (!step->polled)
		return;
	if (step->not_shown && !w->not_shown)
		log_warn(watcher_waits, LOG_TEXT("error", why->text));
	w->not_shown = step->not_shown;
}

/* However long Fly wants to be left alone, the lease is kept. */
static enum err_kind wait_for(struct watcher *w, int64_t ns, struct err *err)
{
	int64_t until_ns = time_monotonic_ns() + ns;
	enum err_kind rc = ERR_NONE;

	while (!rc && ns > 0 && may_go_on(w)) {
		life_wait(w->o->life, time_earlier(ns, LEASED_RENEW_SECONDS * NS_PER_S));
		ns = until_ns - time_monotonic_ns();
		rc = hold_lease(w, err);
	}
	return rc;
}

/* Watches until something fails, or the program ends. */
static enum err_kind work(struct watcher *w, struct err *err)
{
	enum err_kind rc = connect(w, err);

	while (!rc && may_go_on(w)) {
		struct watch_step step = {.polled = false};
		int64_t wait_ns;

		rc = hold_lease(w, err);
		if (!rc)
			rc = watch_step(w->watch, &step, err);
		if (rc)
			break;
		w->failures = 0;
		note_shown(w, &step, err);
		wait_ns = time_earlier(step.wait_ns, LEASED_IDLE_MS * NS_PER_MS);
		wait_ns = time_later(wait_ns, WATCHER_PACE_MS * NS_PER_MS);
		rc = wait_for(w, time_later(wait_ns, watch_api_wait_ns(w->api)), err);
	}
	return rc;
}

static void wait_after(struct watcher *w, enum err_kind rc, const struct err *why)
{
	bool is_others = w->others;
	int64_t wait_ms = is_others          ? LEASED_OTHER_MS
			  : rc == ERR_CONFIG ? LEASED_PARKED_MS
					     : backoff_random_ms(++w->failures);

	if (!is_others) {
		log_warn(watcher_waits, LOG_TEXT("error", why->text),
			 LOG_NUMBER("wait_ms", wait_ms));
		disconnect(w);
	}
	life_wait(w->o->life, wait_ms * NS_PER_MS);
}

static void run_jobs(struct watcher *w, struct err *err)
{
	while (may_go_on(w)) {
		enum err_kind rc = work(w, err);

		if (rc == ERR_FATAL)
			return;
		if (rc != ERR_NONE && rc != ERR_FULL)
			wait_after(w, rc, err);
	}
	err->kind = ERR_NONE;
}

void watcher_run(const struct leased_options *options)
{
	struct watcher w = {.o = options};
	struct err err = {.kind = ERR_NONE};

	buf_init(&w.payload, PAYLOAD_BYTES_MAX);
	if (make(&w, &err) == ERR_NONE)
		run_jobs(&w, &err);
	if (err.kind == ERR_FATAL)
		life_fail(options->life, &err);
	if (w.batch) {
		batch_reset(w.batch);
		REQUIRE(queue_put(options->pool, w.batch));
	}
	snapshots_close(w.db);
	watch_free(w.watch);
	watch_api_free(w.api);
	buf_release(&w.payload);
}
