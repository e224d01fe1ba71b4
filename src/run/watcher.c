#include "run/watcher.h"

#include "base/backoff.h"
#include "base/log.h"
#include "base/time.h"
#include "run/event_feed.h"
#include "run/watch_store.h"
#include "watch/tokens.h"

#include <stdlib.h>

struct watcher {
	const struct leased_options *o;
	struct watch_api *api;
	struct watch *watch;
	struct watch_store *store;
	struct event_feed feed;
	unsigned failures; /* in a row */
	bool not_shown;    /* the newest poll */
	bool away;         /* Postgres, without which it goes on */
};

static bool may_go_on(const struct watcher *w)
{
	return life_state(w->o->life) == LIFE_RUNNING;
}

/* --- what watch/watch.h asks for --- */

/* Whether this replica may look now; with Postgres away it may if it did. */
static enum err_kind hold(void *arg, struct err *err)
{
	struct watcher *w = arg;
	bool anew = false;
	enum err_kind rc = watch_store_hold(w->store, &anew, err);

	if (anew)
		watch_forget(w->watch);
	return rc;
}

static enum err_kind load(void *arg, const char *resource, const char *scope,
			  struct watch_snapshot *ret, struct err *err)
{
	struct watcher *w = arg;

	return watch_store_load(w->store, resource, scope, ret, err);
}

/* What /metrics has of it ends no look. */
static void note_token(struct watcher *w, struct span tokens, int64_t now_ns)
{
	int64_t ends_ns = LISTING_NO_TIME;
	struct err err;

	if (!tokens_own_end(tokens, now_ns, &ends_ns, &err))
		atomic_store(&w->o->status->token_ends_ns,
			     ends_ns != LISTING_NO_TIME ? ends_ns : 0);
}

static enum err_kind save(void *arg, const char *resource, const char *scope, struct span content,
			  int64_t taken_ns, struct err *err)
{
	struct watcher *w = arg;

	if (strcmp(resource, watch_tokens.name) == 0)
		note_token(w, content, taken_ns);
	return watch_store_save(w->store, resource, scope, content, taken_ns, err);
}

static enum err_kind unobserve(void *arg, const char *resource, const char *scope, const char *why,
			       struct err *err)
{
	struct watcher *w = arg;

	return watch_store_unobserve(w->store, resource, scope, why, err);
}

static enum err_kind tell(void *arg, const struct event *event, struct err *err)
{
	struct watcher *w = arg;
	enum err_kind rc = event_feed_put(&w->feed, event, event->observed_ns, err);

	if (!rc && event->trust == TRUST_API)
		atomic_fetch_add(&w->o->status->watch_changes, 1);
	return rc;
}

static enum err_kind settle(void *arg, struct err *err)
{
	struct watcher *w = arg;

	return event_feed_settle(&w->feed, hold, w, err);
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
		.store_app = w->o->store_app,
		.full_ns = (int64_t)c->watch_full_seconds * NS_PER_S,
	};
	const struct watch_store_options store = {
		.url = c->database_url,
		.replica = w->o->replica,
		.stream = spool_stream(w->o->spool),
		.spool_folder = c->spool_dir,
	};
	enum err_kind rc = watch_api_new(&w->api, &api, err);

	watch.api = w->api;
	if (!rc)
		rc = watch_store_new(&w->store, &store, err);
	return rc ? rc : watch_new(&w->watch, &watch, err);
}

/* --- what others may know of it --- */

static const char postgres_away[] = "Postgres is away, or refuses";

static void count_step(struct watcher *w, const struct watch_step *step)
{
	struct status *s = w->o->status;

	atomic_store(&s->watch_blind, step->blind);
	if (!step->polled)
		return;
	atomic_fetch_add(&s->watch_looks, 1);
	atomic_fetch_add(&s->watch_refusals, step->refused);
	atomic_store(&s->watch_unobserved, step->unobserved);
	atomic_store(&s->watch_why, !step->not_shown ? NULL
				    : step->refused  ? "Fly refuses"
						     : "Fly does not answer as it should");
	if (!step->not_shown)
		atomic_store(&s->watch_last_ns, time_now_ns());
}

/* Whose it is to look, this one's or another replica's. */
static void note_turn(struct watcher *w, bool others)
{
	struct status *s = w->o->status;

	if (others == atomic_load(&s->watch_elsewhere) && atomic_load(&s->watch_from_ns) != 0)
		return;
	atomic_store(&s->watch_from_ns, time_now_ns());
	atomic_store(&s->watch_elsewhere, others);
	atomic_store(&s->watch_blind, false);
	atomic_store(&s->watch_unobserved, 0);
	atomic_store(&s->watch_why, NULL);
	atomic_store(&s->token_ends_ns, 0);
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
		rc = hold(w, err);
	}
	return rc;
}

static void note_postgres(struct watcher *w)
{
	const char *why = watch_store_away(w->store);

	if (why && !w->away)
		log_warn(watcher_alone, LOG_TEXT("error", why));
	if (!why && w->away)
		log_info(watcher_back, LOG_NUMBER("damaged", watch_store_damaged(w->store)));
	w->away = why != NULL;
	atomic_store(&w->o->status->watch_alone, w->away);
}

/* A look at what is due first. */
static enum err_kind look(struct watcher *w, struct watch_step *step, struct err *err)
{
	enum err_kind rc = watch_step(w->watch, step, err);
	/* What only Postgres has holds up nothing else while it is away. */
	bool is_without = rc == ERR_RETRY && watch_store_away(w->store);

	if (rc && !is_without)
		return rc;
	step->not_shown = step->not_shown || is_without;
	count_step(w, step);
	if (is_without)
		atomic_store(&w->o->status->watch_why, postgres_away);
	note_shown(w, step, err);
	return ERR_NONE;
}

int64_t watcher_pace_ns(uint64_t full_seconds, uint64_t requests)
{
	int64_t full_ns = (int64_t)full_seconds * NS_PER_S;
	int64_t pace = time_earlier(WATCHER_PACE_MS * NS_PER_MS, full_ns / WATCHER_PACE_SHARE);

	return pace * (int64_t)(requests > 0 ? requests : 1);
}

/* Watches until something fails, or the program ends. */
static enum err_kind work(struct watcher *w, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	while (!rc && may_go_on(w)) {
		struct watch_step step = {.polled = false};
		uint64_t sent = watch_api_sent(w->api);
		int64_t wait_ns;

		rc = hold(w, err);
		if (!rc) {
			note_turn(w, false);
			note_postgres(w);
			rc = look(w, &step, err);
		}
		if (rc)
			break;
		w->failures = 0;
		wait_ns = time_earlier(step.wait_ns, LEASED_IDLE_MS * NS_PER_MS);
		wait_ns = time_later(wait_ns, watcher_pace_ns(w->o->config->watch_full_seconds,
							      watch_api_sent(w->api) - sent));
		rc = wait_for(w, time_later(wait_ns, watch_api_wait_ns(w->api)), err);
	}
	return rc;
}

static void wait_after(struct watcher *w, enum err_kind rc, const struct err *why)
{
	bool is_others = watch_store_is_others(w->store);
	int64_t wait_ms = is_others          ? LEASED_OTHER_MS
			  : rc == ERR_CONFIG ? LEASED_PARKED_MS
					     : backoff_random_ms(++w->failures);

	note_turn(w, is_others);
	if (!is_others) {
		atomic_store(&w->o->status->watch_why, postgres_away);
		log_warn(watcher_waits, LOG_TEXT("error", why->text),
			 LOG_NUMBER("wait_ms", wait_ms));
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

	event_feed_init(&w.feed, options, SOURCE_WATCH, &options->status->events_accepted);
	note_turn(&w, false);
	atomic_store(&options->status->watch_seconds, options->config->watch_full_seconds);
	if (make(&w, &err) == ERR_NONE)
		run_jobs(&w, &err);
	if (err.kind == ERR_FATAL)
		life_fail(options->life, &err);
	event_feed_release(&w.feed);
	watch_store_free(w.store);
	watch_free(w.watch);
	watch_api_free(w.api);
}
