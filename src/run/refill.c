#include "run/refill.h"

#include "base/log.h"
#include "base/time.h"
#include "source/gap_track.h"

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
	bool failed; /* an application could not be read: the pass does not count */
	/* what speaks against calling it filled */
	bool too_old;    /* a part was out of Fly's reach when the first pass came to it */
	bool no_witness; /* Fly does not show what the trail has from before the gap */
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

static bool is_loss(const char *state)
{
	return state && (strcmp(state, "lost") == 0 || strcmp(state, "partly_lost") == 0);
}

static enum err_kind post(struct refill *r, const struct recovery_gap *gap, enum action action,
			  const char *state, const char *why, struct err *err)
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
	fact.found.is_loss = is_loss(state);
	(void)snprintf(fact.why, sizeof(fact.why), "%s", why);
	return second_copy_tell(r->o.copy, r->o.trail, &fact, err);
}

static enum err_kind close_gap(struct refill *r, const struct recovery_gap *gap, const char *state,
			       const char *why, struct recovery_gap *ret_closed, struct err *err)
{
	struct progress *p = progress_of(r, gap);
	enum err_kind rc = post(r, gap, ACTION_trail_gap_closed, state, why, err);

	if (rc)
		return rc;
	log_info(gap_closed, LOG_TEXT("gap", gap->id), LOG_TEXT("state", state),
		 LOG_TEXT("why", why), LOG_NUMBER("lines_recovered", gap->lines_recovered));
	/* The view says so when the fact is stored; if that does not come to be, it is done again.
	 */
	if (is_loss(state))
		atomic_fetch_add(&r->o.status->gaps_lost, 1);
	*p = (struct progress){.end_ns = gap->end_ns};
	memcpy(p->gap_id, gap->id, sizeof(p->gap_id));
	p->next_ns = time_monotonic_ns() + CLOSED_AGAIN_MS * NS_PER_MS;
	*ret_closed = *gap;
	return ERR_NONE;
}

/* --- a pass --- */

/* An application that Fly does not know: whether lines of it may be in the gap. */
static enum err_kind note_gone(struct app *app, struct recovery *db, const struct recovery_gap *gap,
			       struct progress *p, struct err *err)
{
	bool near = false;
	enum err_kind rc = recovery_was_alive(db, app->name, gap, &near, err);

	app->gone = true;
	p->app_gone = p->app_gone || near;
	return rc;
}

/* A clock that was set back can turn a gap around: then it is all between, either way. */
static int64_t first_of(const struct recovery_gap *gap)
{
	return gap->start_ns > gap->end_ns ? gap->end_ns - GAP_MARGIN_NS : gap->start_ns;
}

static int64_t last_of(const struct recovery_gap *gap)
{
	return gap->start_ns > gap->end_ns ? gap->start_ns + GAP_MARGIN_NS : gap->end_ns;
}

/* From where on the application at hand is still to be compared. */
static int64_t begin_of(const struct recovery_gap *gap, struct progress *p)
{
	int64_t edge_ns = time_now_ns() - KEPT_NS;

	if (p->at_ns != 0)
		return p->at_ns;
	if (gap->start_ns != RECOVERY_NO_TIME && first_of(gap) >= edge_ns)
		return first_of(gap);
	p->too_old = p->too_old || p->passes == 0;
	return edge_ns;
}

/*
 * That Fly shows nothing of a time is no proof: it may keep less than it says. What the trail has
 * from shortly before the gap must be there, too.
 */
static enum err_kind check_reach(struct refill *r, struct recovery *db, const char *app,
				 int64_t from_ns, struct progress *p, struct err *err)
{
	const struct recovery_part before = {
		.app = app, .from_ns = time_now_ns() - KEPT_NS, .to_ns = from_ns};
	bool shown = true;
	enum err_kind rc = second_copy_reaches(r->o.copy, db, &before, &shown, err);

	p->no_witness = p->no_witness || (!rc && !shown);
	return rc;
}

/* Some pages of one application; then newer gaps may come first. */
static enum err_kind compare_some(struct refill *r, struct recovery *db,
				  const struct recovery_gap *gap, struct progress *p,
				  struct err *err)
{
	struct app *app = &r->o.apps->list[p->app_idx];
	bool begins = p->at_ns == 0;
	const struct copy_range range = {
		.app = app->name,
		.from_ns = begin_of(gap, p),
		.to_ns = last_of(gap),
		.pages_max = REFILL_PAGES_AT_ONCE,
	};
	struct copy_result result = {.through_ns = range.to_ns};
	enum err_kind rc = ERR_NONE;

	if (app->gone && !app->listed && p->passes > 0) {
		rc = note_gone(app, db, gap, p, err);
	} else {
		/* First, so that an application is not begun as long as that is not known. */
		if (begins)
			rc = check_reach(r, db, app->name, range.from_ns, p, err);
		if (rc)
			result.through_ns = p->at_ns;
		else
			rc = second_copy_compare(r->o.copy, db, &range, &result, err);
	}
	p->pass_recovered += result.recovered;
	p->recovered += result.recovered;
	p->at_ns = result.through_ns;
	if (copy_result_lack(&result))
		p->lack = copy_result_lack(&result);
	if (rc == ERR_REJECT) {
		rc = note_gone(app, db, gap, p, err);
		p->at_ns = range.to_ns;
	} else if (rc == ERR_RETRY && second_copy_fly_failed(r->o.copy)) {
		/* The others need not wait for one that Fly cannot show now. */
		p->failed = true;
		p->at_ns = range.to_ns;
		rc = ERR_NONE;
	}
	if (!rc && p->at_ns >= range.to_ns) {
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
	/* What spoke against it in an earlier pass may have passed. */
	p->list_refused = r->o.apps->list_refused;
	p->no_witness = false;
	p->app_gone = false;
	p->lack = NULL;
	p->failed = false;
	p->in_pass = true;
	p->began_ns = time_monotonic_ns();
	p->app_idx = 0;
	p->at_ns = 0;
	p->pass_recovered = 0;
	return ERR_NONE;
}

/* No more passes: two agree, or they never do. */
static enum err_kind close_passed(struct refill *r, const struct recovery_gap *gap,
				  const struct progress *p, struct recovery_gap *ret_closed,
				  struct err *err)
{
	bool agree = p->pass_recovered == 0;
	bool whole = agree && !p->too_old && !p->no_witness && !p->app_gone && !p->list_refused &&
		     !p->lack;
	char why[ERR_TEXT_BYTES];

	(void)snprintf(
		why, sizeof(why),
		"%u passes over %zu applications of Fly's second copy, the last %s a missing "
		"line%s%s%s%s%s%s",
		p->passes, r->o.apps->count, agree ? "without" : "still with",
		p->too_old ? "; a part is older than what Fly keeps" : "",
		p->no_witness ? "; lines from before it are not there either" : "",
		p->app_gone ? "; an application of that time is gone from Fly" : "",
		p->list_refused ? "; the list of applications is not all known" : "",
		p->lack ? "; not to be had: " : "", p->lack ? p->lack : "");
	return close_gap(r, gap, whole ? "filled" : "partly_lost", why, ret_closed, err);
}

static enum err_kind pass(struct refill *r, struct recovery *db, struct recovery_gap *gap,
			  struct recovery_gap *ret_closed, struct err *err)
{
	struct progress *p = progress_of(r, gap);
	enum err_kind rc = p->in_pass ? ERR_NONE : begin_pass(r, db, p, err);
	enum err_kind told = ERR_NONE;
	struct err aside = {.kind = ERR_NONE};
	uint64_t before;

	if (rc)
		return rc;
	/* What the view has may be older than what was found since. */
	if (p->recovered < gap->lines_recovered)
		p->recovered = gap->lines_recovered;
	before = p->recovered;
	if (p->app_idx < r->o.apps->count)
		rc = compare_some(r, db, gap, p, err);
	gap->lines_recovered = p->recovered;
	if (p->recovered > before)
		told = post(r, gap, ACTION_trail_gap_progress, NULL, "", &aside);
	if (!rc && told) {
		*err = aside;
		return told;
	}
	if (rc || p->app_idx < r->o.apps->count)
		return rc;
	p->in_pass = false;
	p->next_ns = p->began_ns + r->o.delay_ns;
	if (p->failed)
		return err_set(err, ERR_RETRY,
			       "Fly's HTTP logs API does not show all applications");
	p->passes++;
	if (p->passes >= 2 && (p->pass_recovered == 0 || p->passes >= REFILL_PASSES_MAX))
		return close_passed(r, gap, p, ret_closed, err);
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
		return close_gap(r, gap, "covered", why, ret_closed, err);
	}
	if (last_of(gap) <= time_now_ns() - KEPT_NS)
		return close_gap(r, gap, gap->lines_recovered > 0 ? "partly_lost" : "lost",
				 "it is older than what Fly keeps", ret_closed, err);
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
