#include "run/refill.h"

#include "base/log.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	COVER_LOOK_MS = 2000,
	QUIET_LOOK_MS = 5000, /* while no gap is open */
	CLOSED_AGAIN_MS = 60 * 1000,
};
enum { KEPT_MARGIN_S = 60 }; /* what is about to fall out of Fly's reach is taken for out of it */

static const int64_t KEPT_NS = (LOGS_API_DAYS * INT64_C(86400) - KEPT_MARGIN_S) * NS_PER_S;

/* What is known of a gap between looks at it. */
struct progress {
	char gap_id[ID_TEXT_BYTES];
	int64_t end_ns;  /* when it grows, it begins anew */
	int64_t next_ns; /* when it is to be looked at again, on the monotonic clock */
	unsigned passes;
	uint64_t recovered; /* in all */
	/* the pass under way */
	bool in_pass;
	int64_t began_ns; /* on the monotonic clock */
	size_t app_idx;
	int64_t at_ns; /* up to where the application was compared; 0: not yet */
	uint64_t pass_recovered;
	/* what speaks against calling it filled */
	bool too_old; /* a part was out of Fly's reach when the first pass came to it */
	bool app_gone;
	bool list_refused; /* applications that the trail does not know of were left out */
	const char *lack;  /* why lines that Fly has cannot be had; NULL: they can */
};

struct refill {
	struct refill_options o; /* const after refill_new() */
	struct recovery_gap gaps[RECOVERY_GAPS_MAX];
	struct progress progress[RECOVERY_GAPS_MAX];
	size_t progress_count;
	size_t open_count;
	int64_t looked_ns; /* when Postgres was asked last, on the monotonic clock */
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
		*p = (struct progress){.end_ns = gap->end_ns};
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
	struct progress *p = progress_of(r, gap);

	post(r, gap, ACTION_trail_gap_closed, state, why);
	log_info(gap_closed, LOG_TEXT("gap", gap->id), LOG_TEXT("state", state),
		 LOG_TEXT("why", why), LOG_NUMBER("lines_recovered", gap->lines_recovered));
	/* The view says so when the fact is stored; if that does not come to be, it is done again.
	 */
	*p = (struct progress){.end_ns = gap->end_ns};
	memcpy(p->gap_id, gap->id, sizeof(p->gap_id));
	p->next_ns = time_monotonic_ns() + CLOSED_AGAIN_MS * NS_PER_MS;
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

/* From where on the application at hand is still to be compared. */
static int64_t begin_of(const struct recovery_gap *gap, struct progress *p)
{
	int64_t edge_ns = time_now_ns() - KEPT_NS;

	if (p->at_ns != 0)
		return p->at_ns;
	if (gap->start_ns != RECOVERY_NO_TIME && gap->start_ns >= edge_ns)
		return gap->start_ns;
	p->too_old = p->too_old || p->passes == 0;
	return edge_ns;
}

/* Some pages of one application; then newer gaps may come first. */
static enum err_kind compare_some(struct refill *r, struct recovery *db,
				  const struct recovery_gap *gap, struct progress *p,
				  struct err *err)
{
	struct app *app = &r->o.apps->list[p->app_idx];
	const struct copy_range range = {
		.app = app->name,
		.from_ns = begin_of(gap, p),
		.to_ns = gap->end_ns,
		.pages_max = REFILL_PAGES_AT_ONCE,
	};
	struct copy_result result = {0};
	enum err_kind rc = ERR_NONE;

	if (!app->gone || p->passes == 0)
		rc = second_copy_compare(r->o.copy, db, &range, &result, err);
	else
		result.through_ns = gap->end_ns;
	p->pass_recovered += result.recovered;
	p->recovered += result.recovered;
	p->at_ns = result.through_ns;
	if (copy_result_lack(&result))
		p->lack = copy_result_lack(&result);
	if (rc == ERR_REJECT) {
		rc = note_gone(app, db, gap, p, err);
		p->at_ns = gap->end_ns;
	}
	if (!rc && p->at_ns >= gap->end_ns) {
		p->app_idx++;
		p->at_ns = 0;
	}
	return rc;
}

static enum err_kind begin_pass(struct refill *r, struct recovery *db, struct progress *p,
				struct err *err)
{
	enum err_kind rc = second_copy_await_api(r->o.copy, err);

	if (!rc)
		rc = apps_refresh(r->o.apps, db, r->o.api, 0, err);
	if (!rc)
		rc = second_copy_settle(r->o.copy, err);
	if (rc)
		return rc;
	p->list_refused = p->list_refused || r->o.apps->list_refused;
	p->in_pass = true;
	p->began_ns = time_monotonic_ns();
	p->app_idx = 0;
	p->at_ns = 0;
	p->pass_recovered = 0;
	return ERR_NONE;
}

/* No more passes: two agree, or they never do. */
static void close_passed(struct refill *r, const struct recovery_gap *gap, const struct progress *p,
			 struct recovery_gap *ret_closed)
{
	bool agree = p->pass_recovered == 0;
	bool whole = agree && !p->too_old && !p->app_gone && !p->list_refused && !p->lack;
	char why[ERR_TEXT_BYTES];

	(void)snprintf(
		why, sizeof(why),
		"%u passes over %zu applications of Fly's second copy, the last %s a missing "
		"line%s%s%s%s%s",
		p->passes, r->o.apps->count, agree ? "without" : "still with",
		p->too_old ? "; a part is older than what Fly keeps" : "",
		p->app_gone ? "; an application of that time is gone from Fly" : "",
		p->list_refused ? "; the list of applications is not all known" : "",
		p->lack ? "; not to be had: " : "", p->lack ? p->lack : "");
	close_gap(r, gap, whole ? "filled" : "partly_lost", why, ret_closed);
}

static enum err_kind pass(struct refill *r, struct recovery *db, struct recovery_gap *gap,
			  struct recovery_gap *ret_closed, struct err *err)
{
	struct progress *p = progress_of(r, gap);
	enum err_kind rc = p->in_pass ? ERR_NONE : begin_pass(r, db, p, err);

	if (rc)
		return rc;
	/* What the view has may be older than what was found since. */
	if (p->recovered < gap->lines_recovered)
		p->recovered = gap->lines_recovered;
	if (p->app_idx < r->o.apps->count)
		rc = compare_some(r, db, gap, p, err);
	if (p->recovered > gap->lines_recovered) {
		gap->lines_recovered = p->recovered;
		post(r, gap, ACTION_trail_gap_progress, NULL, "");
	}
	if (rc || p->app_idx < r->o.apps->count)
		return rc;
	p->in_pass = false;
	p->next_ns = p->began_ns + r->o.delay_ns;
	p->passes++;
	if (p->passes >= 2 && (p->pass_recovered == 0 || p->passes >= REFILL_PASSES_MAX))
		close_passed(r, gap, p, ret_closed);
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
	return pass(r, db, gap, ret_closed, err);
}

enum err_kind refill_step(struct refill *r, struct recovery *db, bool *ret_worked,
			  struct recovery_gap *ret_closed, struct err *err)
{
	size_t count = 0, total = 0;
	int64_t now_ns = time_now_ns();
	enum err_kind rc;

	*ret_worked = false;
	ret_closed->id[0] = '\0';
	if (r->looked_ns != 0 && r->open_count == 0 &&
	    time_monotonic_ns() - r->looked_ns < QUIET_LOOK_MS * NS_PER_MS)
		return ERR_NONE;
	rc = recovery_find_gaps(db, r->gaps, &count, &total, err);
	if (rc)
		return rc;
	r->looked_ns = time_monotonic_ns();
	r->open_count = total;
	atomic_store(&r->o.status->gaps_open, total);
	for (size_t i = 0; i < count && !*ret_worked; i++) {
		if (!is_due(r, &r->gaps[i], now_ns))
			continue;
		*ret_worked = true;
		rc = work_on(r, db, &r->gaps[i], ret_closed, err);
	}
	return rc;
}
