#include "run/refill.h"

#include "base/log.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { COVER_LOOK_MS = 2000, CLOSED_AGAIN_MS = 60 * 1000 };
enum { KEPT_MARGIN_S = 60 }; /* what is about to fall out of Fly's reach is taken for out of it */

static const int64_t KEPT_NS = (LOGS_API_DAYS * INT64_C(86400) - KEPT_MARGIN_S) * NS_PER_S;

/* What is known of a gap between its passes. */
struct progress {
	char gap_id[ID_TEXT_BYTES];
	int64_t end_ns; /* when it grows, it begins anew */
	unsigned passes;
	int64_t next_ns; /* when it is to be looked at again, on the monotonic clock */
	uint64_t recovered;
	bool reached_back; /* the first pass found all of the gap within Fly's reach */
	bool app_gone;
	bool list_refused; /* applications that the trail does not know of were left out */
	const char *lack;  /* why lines that Fly has cannot be had; NULL: they can */
};

struct refill {
	struct refill_options o; /* const after refill_new() */
	struct recovery_gap gaps[RECOVERY_GAPS_MAX];
	struct progress progress[RECOVERY_GAPS_MAX];
	size_t progress_count;
};

enum err_kind refill_new(struct refill **ret, const struct refill_options *options, struct err *err)
{
	struct refill *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(err, ERR_FATAL, "out of memory for filling gaps");
	r->o = *options;
	*ret = r;
	return ERR_NONE;
}

void refill_free(struct refill *r)
{
	free(r);
}

/* The oldest gives way: there are as many places as gaps are looked at. */
static struct progress *progress_of(struct refill *r, const struct recovery_gap *gap)
{
	struct progress *p = NULL;

	for (size_t i = 0; i < r->progress_count; i++)
		if (strcmp(r->progress[i].gap_id, gap->id) == 0)
			p = &r->progress[i];
	if (!p && r->progress_count == RECOVERY_GAPS_MAX) {
		memmove(&r->progress[0], &r->progress[1],
			(RECOVERY_GAPS_MAX - 1) * sizeof(r->progress[0]));
		r->progress_count--;
	}
	if (!p) {
		p = &r->progress[r->progress_count++];
		*p = (struct progress){.passes = 0};
	}
	if (p->gap_id[0] == '\0' || p->end_ns != gap->end_ns) {
		*p = (struct progress){.end_ns = gap->end_ns, .reached_back = true};
		memcpy(p->gap_id, gap->id, sizeof(p->gap_id));
	}
	return p;
}

static enum gap_reason reason_of(const struct recovery_gap *gap)
{
	for (int i = 0; i < GAP_REASON_COUNT; i++)
		if (strcmp(gap_reason_name((enum gap_reason)i), gap->reason) == 0)
			return (enum gap_reason)i;
	return GAP_start;
}

static void post(struct refill *r, const struct recovery_gap *gap, enum action action,
		 const char *state, const char *why)
{
	struct fact fact = {
		.action = action,
		.noticed_ns = time_now_ns(),
		.gap = {.reason = reason_of(gap),
			.start_ns = gap->start_ns == RECOVERY_NO_TIME ? 0 : gap->start_ns,
			.end_ns = gap->end_ns},
		.found = {.state = state, .lines_recovered = gap->lines_recovered},
	};

	memcpy(fact.found.subject, gap->id, sizeof(fact.found.subject));
	fact.found.is_loss =
		state && (strcmp(state, "lost") == 0 || strcmp(state, "partly_lost") == 0);
	(void)snprintf(fact.why, sizeof(fact.why), "%s", why);
	trail_post(r->o.trail, &fact);
}

static void close_gap(struct refill *r, const struct recovery_gap *gap, const char *state,
		      const char *why, struct recovery_gap *ret_closed)
{
	post(r, gap, ACTION_trail_gap_closed, state, why);
	log_info(gap_closed, LOG_TEXT("gap", gap->id), LOG_TEXT("state", state),
		 LOG_TEXT("why", why), LOG_NUMBER("lines_recovered", gap->lines_recovered));
	/* The view says so when the fact is stored; if that does not come to be, it is done again.
	 */
	progress_of(r, gap)->passes = 0;
	progress_of(r, gap)->next_ns = time_monotonic_ns() + CLOSED_AGAIN_MS * NS_PER_MS;
	*ret_closed = *gap;
}

/* --- a pass --- */

/* An application that Fly does not know: whether lines of it may be in the gap. */
static enum err_kind note_gone(struct app *app, struct recovery *db, const struct recovery_gap *gap,
			       struct progress *p, struct err *err)
{
	bool near = false;
	enum err_kind rc = recovery_was_alive(db, span_text(app->name), gap, &near, err);

	app->gone = true;
	p->app_gone = p->app_gone || near;
	return rc;
}

/* *ret_recovered: lines that were missing. */
static enum err_kind pass_apps(struct refill *r, struct recovery *db,
			       const struct recovery_gap *gap, struct progress *p,
			       uint64_t *ret_recovered, struct err *err)
{
	int64_t edge_ns = time_now_ns() - KEPT_NS;
	bool whole = gap->start_ns != RECOVERY_NO_TIME && gap->start_ns >= edge_ns;
	enum err_kind rc = ERR_NONE;

	p->reached_back = p->reached_back && whole;
	for (size_t i = 0; i < r->o.apps->count && !rc; i++) {
		struct app *app = &r->o.apps->list[i];
		const struct copy_range range = {
			.app = app->name,
			.from_ns = whole ? gap->start_ns : edge_ns,
			.to_ns = gap->end_ns,
		};
		struct copy_result result = {0};

		if (app->gone && p->passes > 0)
			continue;
		rc = second_copy_compare(r->o.copy, db, &range, &result, err);
		*ret_recovered += result.recovered;
		if (copy_result_lack(&result))
			p->lack = copy_result_lack(&result);
		if (rc == ERR_REJECT)
			rc = note_gone(app, db, gap, p, err);
	}
	return rc;
}

/* Two passes agree. */
static void close_filled(struct refill *r, const struct recovery_gap *gap, const struct progress *p,
			 struct recovery_gap *ret_closed)
{
	bool whole = p->reached_back && !p->app_gone && !p->list_refused && !p->lack;
	char why[ERR_TEXT_BYTES];

	(void)snprintf(why, sizeof(why),
		       "%u passes over %zu applications of Fly's second copy, the last without a "
		       "missing line%s%s%s%s%s",
		       p->passes, r->o.apps->count,
		       p->reached_back ? "" : "; a part is older than what Fly keeps",
		       p->app_gone ? "; an application of that time is gone from Fly" : "",
		       p->list_refused ? "; the list of applications is not all known" : "",
		       p->lack ? "; not to be had: " : "", p->lack ? p->lack : "");
	close_gap(r, gap, whole ? "filled" : "partly_lost", why, ret_closed);
}

static enum err_kind pass(struct refill *r, struct recovery *db, struct recovery_gap *gap,
			  struct progress *p, struct recovery_gap *ret_closed, struct err *err)
{
	uint64_t recovered = 0;
	enum err_kind rc;

	rc = second_copy_await_api(r->o.copy, err);
	if (!rc)
		rc = apps_refresh(r->o.apps, db, r->o.api, 0, err);
	if (!rc)
		rc = second_copy_settle(r->o.copy, err);
	if (rc)
		return rc;
	p->list_refused = p->list_refused || r->o.apps->list_refused;
	p->next_ns = time_monotonic_ns() + r->o.delay_ns;
	rc = pass_apps(r, db, gap, p, &recovered, err);
	/* What the view has may be older than what was found since. */
	if (p->recovered < gap->lines_recovered)
		p->recovered = gap->lines_recovered;
	p->recovered += recovered;
	gap->lines_recovered = p->recovered;
	if (recovered > 0)
		post(r, gap, ACTION_trail_gap_progress, NULL, "");
	if (rc)
		return rc;
	p->passes++;
	if (p->passes < 2 || recovered > 0)
		return ERR_NONE;
	close_filled(r, gap, p, ret_closed);
	return ERR_NONE;
}

/* --- which one --- */

static bool is_due(struct refill *r, const struct recovery_gap *gap, int64_t now_ns)
{
	if (gap->end_ns == RECOVERY_NO_TIME || gap->end_ns > now_ns - r->o.delay_ns)
		return false;
	return time_monotonic_ns() >= progress_of(r, gap)->next_ns;
}

static enum err_kind work_on(struct refill *r, struct recovery *db, struct recovery_gap *gap,
			     struct recovery_gap *ret_closed, struct err *err)
{
	struct recovery_cover cover;
	char why[ERR_TEXT_BYTES];
	enum err_kind rc;

	rc = recovery_find_cover(db, gap, &cover, err);
	if (rc)
		return rc;
	if (cover.by[0] != '\0' && !cover.is_whole &&
	    time_now_ns() - gap->end_ns < r->o.cover_wait_ns) {
		progress_of(r, gap)->next_ns = time_monotonic_ns() + COVER_LOOK_MS * NS_PER_MS;
		return ERR_NONE;
	}
	if (cover.is_whole) {
		(void)snprintf(why, sizeof(why), "replica %s took the lines of that time",
			       cover.by);
		close_gap(r, gap, "covered", why, ret_closed);
		return ERR_NONE;
	}
	if (gap->end_ns <= time_now_ns() - KEPT_NS) {
		close_gap(r, gap, gap->lines_recovered > 0 ? "partly_lost" : "lost",
			  "it is older than what Fly keeps", ret_closed);
		return ERR_NONE;
	}
	return pass(r, db, gap, progress_of(r, gap), ret_closed, err);
}

enum err_kind refill_step(struct refill *r, struct recovery *db, bool *ret_worked,
			  struct recovery_gap *ret_closed, struct err *err)
{
	size_t count = 0, total = 0;
	int64_t now_ns = time_now_ns();
	enum err_kind rc;

	*ret_worked = false;
	ret_closed->id[0] = '\0';
	rc = recovery_find_gaps(db, r->gaps, &count, &total, err);
	if (rc)
		return rc;
	atomic_store(&r->o.status->gaps_open, total);
	for (size_t i = 0; i < count && !*ret_worked; i++) {
		if (!is_due(r, &r->gaps[i], now_ns))
			continue;
		*ret_worked = true;
		rc = work_on(r, db, &r->gaps[i], ret_closed, err);
	}
	return rc;
}
