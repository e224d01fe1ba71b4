#include "run/retainer.h"

#include "base/log.h"
#include "base/time.h"
#include "base/utf8.h"
#include "run/archive_agrees.h"
#include "run/legal_hold.h"

#include <stdio.h>

static const char LEASE[] = "retention";
static const char WHY_STORE[] = "Postgres does not answer, or refuses; the log's "
				"`retention_waits` says why";
static const char WHY_CLOCK[] = "the log's `retention_waits` says why: Postgres' clock, or its "
				"configuration";
static const char WHY_OPEN[] =
	"some partitions were to go and stay: facts trail.retention_waits say why";
static const char WHY_STRAY[] =
	"somebody detached a partition, or gave one no times as its bounds: the "
	"log's `retention_stray` names it";
static const char WHY_HOLD[] =
	"S3's legal hold is not on all that a hold in Postgres is on: the log's "
	"`retention_waits` says why";

struct retainer {
	const struct leased_options *o;
	char holder[LEASE_TEXT_BYTES];
	struct retention *db; /* for the lease, and to ask what was told; NULL between looks */
	int64_t done_ns;      /* of the newest that was done, on the monotonic clock; 0: none */
	int64_t held_ns;      /* likewise, of what is held in the archive */
	struct legal_hold held;
	/* What was not well at the newest look, apply and hold: constant texts; NULL: it was. */
	const char *why_look, *why_apply, *why_hold;
};

static bool is_over(void *arg)
{
	const struct retainer *t = arg;

	return life_state(t->o->life) != LIFE_RUNNING;
}

static void wait(void *arg, int64_t ns)
{
	const struct retainer *t = arg;

	life_wait(t->o->life, ns);
}

/* --- what is told --- */

static void note_dropped(void *arg, const struct retention_row *row)
{
	const struct retainer *t = arg;

	(void)row; /* what went is on record in Postgres */
	atomic_fetch_add(&t->o->status->partitions_dropped, 1);
}

static void note_stays(void *arg, const struct retention_row *row, const char *state,
		       const char *why)
{
	struct retainer *t = arg;
	bool is_told = true;
	struct err aside;
	struct fact fact = {
		.action = ACTION_trail_retention_waits,
		.noticed_ns = time_now_ns(),
		.gap = {.start_ns = row->from_ns, .end_ns = row->to_ns},
		.found = {.state = state},
	};

	(void)snprintf(fact.found.subject, sizeof(fact.found.subject), "%s", row->partition);
	(void)snprintf(fact.why, sizeof(fact.why), "%s", why); /* with a hold's reason: any text */
	utf8_end(fact.why);
	/* What cannot be asked, or finds no room, is told with the next day's. */
	if (retention_wait_is_told(t->db, row->partition, state, &is_told, &aside) || is_told ||
	    !trail_offer(t->o->trail, &fact))
		return;
	(void)err_set(&aside, ERR_REJECT, "%s: %s", row->partition, why);
	log_warn(retention_stays, LOG_TEXT("error", aside.text), LOG_TEXT("state", state));
}

static void note_attached(void *arg, const char *table)
{
	(void)arg;
	log_warn(retention_attached, LOG_TEXT("error", table));
}

static void note_stray(void *arg, const char *table)
{
	(void)arg;
	log_warn(retention_stray, LOG_TEXT("error", table));
}

/* --- the thread --- */

static enum err_kind apply(struct retainer *t, struct retention_result *ret, struct err *err)
{
	struct sinks_s3 s3;
	struct archive_agrees_options archive = {.s3 = &s3, .is_over = is_over, .arg = t};
	const bool has_archive = sinks_has_s3(t->o->config);
	const struct retention_options options = {
		.url = t->o->config->database_url,
		.calls = {.check_archive = has_archive ? archive_agrees : NULL,
			  .archive_arg = &archive,
			  .dropped = note_dropped,
			  .stays = note_stays,
			  .attached = note_attached,
			  .stray = note_stray,
			  .is_over = is_over,
			  .wait = wait,
			  .arg = t},
	};

	if (has_archive) {
		sinks_s3(t->o->config, &s3);
		s3.options.client.cut = &t->o->life->cut;
	}
	return retention_apply(&options, ret, err);
}

static bool is_due(int64_t done_ns)
{
	return done_ns == 0 || time_monotonic_ns() - done_ns >= RETAINER_DAY_SECONDS * NS_PER_S;
}

static void note_why(const struct retainer *t)
{
	atomic_store(&t->o->status->retention_why, t->why_look    ? t->why_look
						   : t->why_apply ? t->why_apply
								  : t->why_hold);
}

/* S3's legal hold, on what came since. While S3 is away that is tried at each look. */
static void hold_archive(struct retainer *t)
{
	const struct legal_hold_options options = {.config = t->o->config,
						   .command = "run",
						   .cut = &t->o->life->cut,
						   .is_over = is_over,
						   .arg = t};
	struct legal_hold_result result;
	struct err err;
	enum err_kind rc;

	if (!sinks_has_s3(t->o->config) || !is_due(t->held_ns))
		return;
	rc = legal_hold_daily(&t->held, &options, &result, &err);
	if (rc != ERR_RETRY)
		t->held_ns = time_monotonic_ns();
	if (rc && !is_over(t)) {
		(void)err_wrap(&err, "legal hold in the archive");
		log_warn(retention_waits, LOG_TEXT("error", err.text));
	}
	t->why_hold = rc && !is_over(t) ? WHY_HOLD : NULL;
	note_why(t);
}

/* What others may know of it. */
static void note_end(struct retainer *t, enum err_kind rc, const struct retention_result *r)
{
	struct status *s = t->o->status;

	t->why_apply = rc == ERR_CONFIG ? WHY_CLOCK
		       : rc             ? WHY_STORE
		       : r->strays > 0  ? WHY_STRAY
		       : r->failed > 0  ? WHY_OPEN
					: NULL;
	note_why(t);
	atomic_store(&s->partitions_waiting, r->kept + r->failed);
	if (rc)
		return;
	t->done_ns = time_monotonic_ns();
	atomic_store(&s->retention_last_ns, time_now_ns());
	/* Most days there is nothing to say. */
	if (r->dropped + r->kept + r->failed + r->attached + r->strays > 0)
		log_info(retention_applied, LOG_NUMBER("dropped", r->dropped),
			 LOG_NUMBER("waiting", r->kept + r->failed),
			 LOG_NUMBER("attached", r->attached),
			 LOG_NUMBER("detached_by_hand", r->strays));
}

/* Whose it is to apply it is asked each time, so that another one knows when this is gone. */
static enum err_kind look(struct retainer *t, struct err *err)
{
	struct retention_result result = {.dropped = 0};
	bool mine = false;
	enum err_kind rc = retention_open(&t->db, t->o->config->database_url, err);

	if (!rc)
		rc = retention_take_lease(t->db, LEASE, t->holder, RETAINER_LEASE_SECONDS, &mine,
					  err);
	/* It may be back before anything is due. */
	t->why_look = rc ? WHY_STORE : NULL;
	if (!rc && mine && is_due(t->done_ns)) {
		rc = apply(t, &result, err);
		/* A command is at it; or the program ends, which is told elsewhere. */
		if (rc != ERR_FULL)
			note_end(t, rc, &result);
	} else if (!rc && !mine) {
		t->why_apply = t->why_hold = NULL;
		atomic_store(&t->o->status->partitions_waiting, 0);
		t->done_ns = 0;
	}
	retention_close(t->db);
	t->db = NULL;
	note_why(t);
	if (mine)
		hold_archive(t);
	return rc;
}

/*
 * Why Postgres cannot be reached at the start is told by the consumer. After a long pause the
 * newest fact is an old one, by which the clock looks wrong, until that of this start is stored.
 */
static bool has_begun(struct status *s)
{
	return atomic_load(&s->store_state) == STORE_WORKING && atomic_load(&s->events_stored) > 0;
}

void retainer_run(const struct leased_options *options)
{
	const struct spool_stream stream = spool_stream(options->spool);
	struct retainer t = {.o = options};
	struct err err;

	(void)lease_holder(options->replica, &stream, t.holder);
	while (life_state(options->life) == LIFE_RUNNING) {
		int64_t wait_ns = LEASED_IDLE_MS * NS_PER_MS;

		if (has_begun(options->status)) {
			enum err_kind rc = look(&t, &err);

			if (rc && rc != ERR_FULL)
				log_warn(retention_waits, LOG_TEXT("error", err.text));
			wait_ns = RETAINER_LOOK_SECONDS * NS_PER_S;
		}
		life_wait(options->life, wait_ns);
	}
}
