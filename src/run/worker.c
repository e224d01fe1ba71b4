#include "run/worker.h"

#include "base/backoff.h"
#include "base/log.h"
#include "base/time.h"
#include "run/reconcile.h"
#include "run/refill.h"
#include "source/source.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	HEARTBEAT_SECONDS_USUAL = 30,
	STORED_SECONDS = 30,
};

static const char LEASE[] = "recovery";
static const char WHY_FLY[] = "Fly's HTTP logs API cannot be compared with now, the log's "
			      "`worker_waits` says why: gaps stay open until it can";
static const char WHY_TOKEN[] =
	"Fly's HTTP logs API refuses ACCESS_TOKEN: gaps stay open until it takes it";
static const char WHY_STORE[] =
	"Postgres does not answer, or refuses: gaps stay open until that is mended";

struct work {
	const struct leased_options *o;
	struct logs_api *api;
	struct recovery *db; /* NULL: to be connected */
	struct second_copy *copy;
	struct refill *refill;
	struct reconcile *reconcile;
	struct apps apps;
	bool mine;          /* the lease */
	int64_t renewed_ns; /* on the monotonic clock */
	unsigned failures;  /* in a row */
	bool db_failed;     /* of the present attempt: it was Postgres */
};

static bool can_store(const struct work *w)
{
	return atomic_load(&w->o->status->store_state) == STORE_WORKING;
}

/* Takes the lease, or keeps it. ERR_RETRY: another replica has it, or Postgres is away. */
static enum err_kind hold_lease(void *arg, struct err *err)
{
	struct work *w = arg;
	int64_t now_ns = time_monotonic_ns();
	enum err_kind rc;

	if (w->mine && now_ns - w->renewed_ns < LEASED_RENEW_SECONDS * NS_PER_S)
		return ERR_NONE;
	/* Who cannot store cannot tell what is missing, and must not keep others from it. */
	if (!can_store(w)) {
		if (w->mine)
			recovery_give_back_lease(w->db, LEASE);
		w->mine = false;
		return err_set(err, ERR_RETRY, "this replica stores nothing at present");
	}
	rc = recovery_take_lease(w->db, LEASE, LEASED_SECONDS, &w->mine, err);
	if (rc) {
		w->db_failed = true;
		w->mine = false;
		return rc;
	}
	w->renewed_ns = now_ns;
	if (w->mine)
		return ERR_NONE;
	return err_set(err, ERR_RETRY, "another replica fills gaps and compares");
}

static enum err_kind make_jobs(struct work *w, struct err *err)
{
	const struct config *c = w->o->config;
	uint64_t heartbeat_s =
		c->heartbeat_seconds > 0 ? c->heartbeat_seconds : HEARTBEAT_SECONDS_USUAL;
	int64_t delay_ns = (int64_t)c->backfill_delay_seconds * NS_PER_S;
	const struct logs_api_options api = {
		.url = c->api_url,
		.machines_url = c->machines_url,
		.token = c->access_token,
		.org = c->org,
		.cut = &w->o->life->ending,
	};
	struct second_copy_options copy = {
		.spool = w->o->spool,
		.trail = w->o->trail,
		.status = w->o->status,
		.life = w->o->life,
		.pool = w->o->pool,
		.filled = w->o->filled,
		.org = span_text(c->org),
		.own_app = span_text(c->fly_app_name),
		.tick = hold_lease,
		.arg = w,
	};
	struct refill_options refill = {
		.trail = w->o->trail,
		.status = w->o->status,
		.apps = &w->apps,
		.delay_ns = delay_ns,
		.cover_wait_ns = delay_ns +
				 (int64_t)(heartbeat_s * SOURCE_BEATS_PER_WORD) * NS_PER_S +
				 STORED_SECONDS * NS_PER_S,
	};
	struct reconcile_options reconcile = {
		.trail = w->o->trail,
		.status = w->o->status,
		.apps = &w->apps,
		/* What comes from Fly's second copy alone cannot be compared with it. */
		.pages_per_hour = config_by_http(c) ? 0 : c->reconcile_pages,
		.delay_ns = delay_ns,
	};
	enum err_kind rc;

	rc = logs_api_new(&w->api, &api, err);
	copy.api = w->api;
	refill.api = w->api;
	reconcile.api = w->api;
	if (!rc)
		rc = second_copy_new(&w->copy, &copy, err);
	refill.copy = w->copy;
	reconcile.copy = w->copy;
	if (!rc)
		rc = refill_new(&w->refill, &refill, err);
	if (!rc)
		rc = reconcile_new(&w->reconcile, &reconcile, err);
	return rc;
}

static void free_jobs(struct work *w)
{
	if (w->db && w->mine)
		recovery_give_back_lease(w->db, LEASE);
	recovery_close(w->db);
	reconcile_free(w->reconcile);
	refill_free(w->refill);
	second_copy_free(w->copy);
	logs_api_free(w->api);
	apps_release(&w->apps);
}

/* One step of what there is to do. */
static enum err_kind step(struct work *w, bool *ret_worked, struct err *err)
{
	struct recovery_gap closed;
	enum err_kind rc = refill_step(w->refill, w->db, ret_worked, &closed, err);

	if (!rc && closed.id[0] != '\0')
		reconcile_note_gap(w->reconcile, &closed);
	if (rc || *ret_worked)
		return rc;
	return reconcile_step(w->reconcile, w->db, ret_worked, err);
}

/* Works until something fails, or the program ends. */
static enum err_kind work(struct work *w, struct err *err)
{
	const struct recovery_options options = {
		.url = w->o->config->database_url,
		.replica = w->o->replica,
		.stream = spool_stream(w->o->spool),
	};
	enum err_kind rc = ERR_NONE;

	w->db_failed = false;
	if (!w->db)
		rc = recovery_open(&w->db, &options, err);
	if (rc) {
		w->db_failed = true;
		return rc;
	}
	while (!rc && life_state(w->o->life) == LIFE_RUNNING) {
		bool had_it = w->mine, worked = false;

		rc = hold_lease(w, err);
		if (!rc && !had_it)
			reconcile_forget(w->reconcile);
		if (!rc)
			rc = step(w, &worked, err);
		if (rc)
			break;
		w->failures = 0;
		atomic_store(&w->o->status->worker_why, NULL);
		if (!worked)
			life_wait(w->o->life, LEASED_IDLE_MS * NS_PER_MS);
	}
	return rc;
}

/* A connection that failed is of no use; one that did not is taken for that, too. */
static void disconnect(struct work *w)
{
	recovery_close(w->db);
	w->db = NULL;
	w->mine = false;
}

static void wait_after(struct work *w, enum err_kind rc, const struct err *why)
{
	const char *reason = rc == ERR_CONFIG ? WHY_TOKEN : WHY_FLY;
	int64_t wait_ms = rc == ERR_CONFIG ? LEASED_PARKED_MS : LEASED_IDLE_MS;

	/* Between requests to Fly the API waits of itself. */
	if (w->db_failed) {
		reason = WHY_STORE;
		wait_ms = backoff_random_ms(++w->failures);
	}
	atomic_store(&w->o->status->worker_why, reason);
	log_warn(worker_waits, LOG_TEXT("error", why->text), LOG_NUMBER("wait_ms", wait_ms));
	if (w->db && w->mine && !w->db_failed) /* another replica may do better */
		recovery_give_back_lease(w->db, LEASE);
	disconnect(w);
	life_wait(w->o->life, wait_ms * NS_PER_MS);
}

static void run_jobs(struct work *w, struct err *err)
{
	while (life_state(w->o->life) == LIFE_RUNNING) {
		enum err_kind rc = work(w, err);
		bool is_others = rc == ERR_RETRY && !w->db_failed && !w->mine && w->db != NULL;

		if (rc == ERR_FATAL)
			return;
		if (is_others && can_store(w)) {
			atomic_store(&w->o->status->worker_why, NULL);
			atomic_store(&w->o->status->gaps_open, 0); /* the other tells them */
			life_wait(w->o->life, LEASED_OTHER_MS * NS_PER_MS);
		} else if (is_others) {
			life_wait(w->o->life, LEASED_IDLE_MS * NS_PER_MS);
		} else if (rc != ERR_NONE && rc != ERR_FULL) {
			wait_after(w, rc, err);
		}
	}
	err->kind = ERR_NONE;
}

void worker_run(const struct leased_options *options)
{
	struct work *w = calloc(1, sizeof(*w));
	struct err err = {.kind = ERR_NONE};

	if (!w) {
		(void)err_set(&err, ERR_FATAL, "out of memory for the worker");
		life_fail(options->life, &err);
		return;
	}
	w->o = options;
	w->apps.own_app = options->config->fly_app_name;
	if (make_jobs(w, &err) == ERR_NONE)
		run_jobs(w, &err);
	if (err.kind == ERR_FATAL)
		life_fail(options->life, &err);
	free_jobs(w);
	free(w);
}
