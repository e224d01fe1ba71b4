#include "run/reconcile.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/time.h"
#include "run/claims.h"
#include "run/urgent.h"
#include "store/coverage.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	HOUR_S = 3600,
	MINUTE_S = 60,
	HOUR_MINUTES = 60,
	HOURS_KEPT = 192, /* more than Fly's seven days */
	URGENT_PAGES_MAX = 1000,
	RETRY_S = 600,   /* an application that Fly could not show is left alone for so long */
	SAVED_S = 300,   /* pages that were not spent are kept so long */
	PAGES_LEAST = 2, /* an hour's share */
};

#define HOUR_NS (HOUR_S * NS_PER_S)
#define MINUTE_NS (MINUTE_S * NS_PER_S)

/* Hours since 1970 that are done, each at its place modulo HOURS_KEPT. */
struct done {
	uint32_t hours[HOURS_KEPT];
	int64_t retry_ns; /* on the monotonic clock: not before */
};

struct reconcile {
	struct reconcile_options o; /* const after reconcile_new() */
	int64_t saved_ns;           /* time whose pages are not spent yet */
	int64_t counted_ns;         /* up to when it was counted, on the monotonic clock */
	struct urgents urgent;
	struct done *done; /* of each application, by its place in the list */
	bool loaded;
	int64_t begin_ns; /* of the trail; RECOVERY_NO_TIME: not known yet */
	struct claims *claims;
};

void reconcile_forget(struct reconcile *r)
{
	r->loaded = false;
}

/* --- the budget --- */

static int64_t page_ns(const struct reconcile *r)
{
	return HOUR_NS / (int64_t)r->o.pages_per_hour;
}

static void save(struct reconcile *r)
{
	int64_t now_ns = time_monotonic_ns();

	r->saved_ns += now_ns - r->counted_ns;
	r->counted_ns = now_ns;
	if (r->saved_ns > SAVED_S * NS_PER_S)
		r->saved_ns = SAVED_S * NS_PER_S;
}

static void spend(struct reconcile *r, unsigned pages)
{
	r->saved_ns -= pages * page_ns(r);
}

/* --- what was compared --- */

void reconcile_note_gap(struct reconcile *r, const struct recovery_gap *gap)
{
	if (r->o.pages_per_hour == 0)
		return;
	for (size_t i = 0; i < r->o.apps->count; i++) {
		const struct app *app = &r->o.apps->list[i];

		if (app->gone)
			continue;
		if (gap->start_ns != RECOVERY_NO_TIME)
			urgent_push(&r->urgent, app->name, gap->start_ns - MINUTE_NS,
				    gap->start_ns);
		urgent_push(&r->urgent, app->name, gap->end_ns, gap->end_ns + MINUTE_NS);
	}
}

/* Compares, spends, and asks for more around what does not agree. */
static enum err_kind compare(void *arg, struct recovery *db, const struct copy_range *range,
			     struct copy_result *ret, struct err *err)
{
	struct reconcile *r = arg;
	enum err_kind rc = second_copy_compare(r->o.copy, db, range, ret, err);

	spend(r, ret->pages > 0 ? ret->pages : 1);
	if (!rc && ret->mismatches > 0) {
		urgent_push(&r->urgent, range->app, range->from_ns - MINUTE_NS, range->from_ns);
		urgent_push(&r->urgent, range->app, ret->through_ns, ret->through_ns + MINUTE_NS);
	}
	return rc;
}

enum err_kind reconcile_new(struct reconcile **ret, const struct reconcile_options *options,
			    struct err *err)
{
	struct reconcile *r = calloc(1, sizeof(*r));
	const struct claims_options claims = {
		.copy = options->copy,
		.trail = options->trail,
		.status = options->status,
		.pages_max = options->pages_per_hour,
		.compare = compare,
		.arg = r,
	};
	enum err_kind rc;

	if (r)
		r->done = calloc(RECOVERY_APPS_MAX, sizeof(r->done[0]));
	if (!r || !r->done)
		rc = err_set(err, ERR_FATAL, "out of memory for comparing");
	else
		rc = claims_new(&r->claims, &claims, err);
	if (rc) {
		reconcile_free(r);
		return rc;
	}
	r->o = *options;
	r->begin_ns = RECOVERY_NO_TIME;
	r->counted_ns = time_monotonic_ns();
	*ret = r;
	return ERR_NONE;
}

void reconcile_free(struct reconcile *r)
{
	if (!r)
		return;
	claims_free(r->claims);
	free(r->done);
	free(r);
}

/* *pages: that may be taken at most, and then that are left of them. */
static enum err_kind compare_window(struct reconcile *r, struct recovery *db,
				    struct copy_range *range, unsigned *pages, struct windows *c,
				    struct err *err)
{
	struct copy_result result = {0};
	struct window w;
	enum err_kind rc;

	range->pages_max = *pages > 0 ? *pages : 1;
	rc = compare(r, db, range, &result, err);
	if (rc)
		return rc;
	*pages -= result.pages < *pages ? result.pages : *pages;
	w = window_of(range, &result);
	windows_add(c, &w);
	return ERR_NONE;
}

/* --- urgent windows --- */

/* Whatever comes of it, it is done: a minute is not worth to hold up all others. */
static enum err_kind check_urgent(struct reconcile *r, struct recovery *db, const struct urgent *u,
				  struct err *err)
{
	const struct copy_range range = {.app = u->app,
					 .from_ns = u->from_ns,
					 .to_ns = u->to_ns,
					 .pages_max = URGENT_PAGES_MAX};
	struct copy_result result = {0};
	enum err_kind rc;

	rc = second_copy_settle(r->o.copy, err);
	if (!rc)
		rc = compare(r, db, &range, &result, err);
	if (rc == ERR_REJECT)
		return ERR_NONE;
	/* A quiet minute of each application at each gap is not worth a row. */
	if (!rc && result.seen > 0)
		rc = window_tell_alone(&range, &result, r->o.copy, r->o.trail, err);
	if (!rc && result.recovered > 0) {
		urgent_push(&r->urgent, u->app, range.from_ns - MINUTE_NS, range.from_ns);
		urgent_push(&r->urgent, u->app, range.to_ns, range.to_ns + MINUTE_NS);
	}
	return rc;
}

/* --- an hour --- */

static unsigned share(const struct reconcile *r)
{
	size_t apps = r->o.apps->count > 0 ? r->o.apps->count : 1;
	uint64_t pages = r->o.pages_per_hour / apps;

	return pages < PAGES_LEAST ? PAGES_LEAST : (unsigned)pages;
}

/* A random number below n. */
static unsigned random_below(unsigned n)
{
	uint32_t random = 0;
	struct err aside;

	if (hash_random(&random, sizeof(random), &aside))
		random = (uint32_t)time_monotonic_ns();
	return random % n;
}

/* Random minutes, for as many pages as are left, and one of them in any case. */
static enum err_kind compare_minutes(struct reconcile *r, struct recovery *db,
				     const struct copy_range *hour, unsigned pages,
				     struct windows *c, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	for (unsigned i = 0; i < RECONCILE_WINDOWS_MAX && !rc && (i == 0 || pages > 0); i++) {
		int64_t begin_ns = hour->to_ns - HOUR_NS;
		int64_t from_ns = begin_ns + random_below(HOUR_MINUTES) * MINUTE_NS;
		struct copy_range minute = {
			.app = hour->app, .from_ns = from_ns, .to_ns = from_ns + MINUTE_NS};

		if (from_ns >= hour->from_ns && !windows_have(c, from_ns))
			rc = compare_window(r, db, &minute, &pages, c, err);
	}
	return rc;
}

/* The hour from its beginning on, for half of its share; where that is not all, minutes of it. */
static enum err_kind compare_hour(struct reconcile *r, struct recovery *db,
				  const struct copy_range *hour, struct windows *c, struct err *err)
{
	struct copy_range range = *hour;
	unsigned half = share(r) / 2, rest = half;
	enum err_kind rc = compare_window(r, db, &range, &half, c, err);

	if (rc || c->list[0].result.through_ns >= hour->to_ns)
		return rc;
	return compare_minutes(r, db, hour, rest, c, err);
}

/* --- which hour --- */

static void mark_done(void *arg, struct span app, int64_t hour_s)
{
	struct reconcile *r = arg;
	size_t at = apps_find(r->o.apps, app);
	uint32_t hour = (uint32_t)(hour_s / HOUR_S);

	if (at < r->o.apps->count)
		r->done[at].hours[hour % HOURS_KEPT] = hour;
}

static enum err_kind load(struct reconcile *r, struct recovery *db, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	if (r->begin_ns == RECOVERY_NO_TIME)
		rc = recovery_find_beginning(db, &r->begin_ns, err);
	if (rc || r->loaded || r->begin_ns == RECOVERY_NO_TIME)
		return rc;
	rc = recovery_find_checked(db, time_now_ns() - SECOND_COPY_KEPT_NS - HOUR_NS, mark_done, r,
				   err);
	r->loaded = rc == ERR_NONE;
	return rc;
}

/* The newest hour that is over for an hour and not done, of any application. */
static bool find_hour(const struct reconcile *r, size_t *ret_app, uint32_t *ret_hour)
{
	int64_t now_ns = time_now_ns(), mono_ns = time_monotonic_ns();
	int64_t kept_ns = now_ns - SECOND_COPY_KEPT_NS;
	int64_t newest = (now_ns - HOUR_NS) / HOUR_NS - 1;

	for (int64_t hour = newest; hour * HOUR_NS >= kept_ns && (hour + 1) * HOUR_NS > r->begin_ns;
	     hour--) {
		for (size_t i = 0; i < r->o.apps->count; i++) {
			if (r->o.apps->list[i].gone || r->done[i].retry_ns > mono_ns ||
			    r->done[i].hours[hour % HOURS_KEPT] == (uint32_t)hour)
				continue;
			*ret_app = i;
			*ret_hour = (uint32_t)hour;
			return true;
		}
	}
	return false;
}

/* Fly does not know the application, or says so: one that is listed will be known again. */
static enum err_kind note_unknown(struct reconcile *r, struct app *app, struct done *done,
				  const struct copy_range *hour, struct err *err)
{
	const struct window w = {.from_ns = hour->from_ns,
				 .result = {.through_ns = hour->to_ns},
				 .state = "not_checked",
				 .why = COVERAGE_WHY_GONE};

	if (app->listed) {
		done->retry_ns = time_monotonic_ns() + RETRY_S * NS_PER_S;
		return ERR_NONE;
	}
	app->gone = true;
	return window_tell(&w, app->name, true, r->o.copy, r->o.trail, err);
}

/* --- what belongs to no hour --- */

/* One that Fly showed before was destroyed. Lines in the name of any other are forged. */
static enum err_kind check_stranger(struct reconcile *r, struct recovery *db, struct app *app,
				    struct err *err)
{
	bool was_shown = app->was_listed;
	enum err_kind rc = ERR_NONE;

	if (!was_shown)
		rc = recovery_was_shown(db, app->name, &was_shown, err);
	if (!rc && !was_shown)
		rc = claims_refuse(r->claims, db, app->name, err);
	return rc;
}

static enum err_kind check_strangers(struct reconcile *r, struct recovery *db, struct err *err)
{
	int64_t now_ns = time_monotonic_ns();
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < r->o.apps->count && r->o.apps->list_whole && !rc; i++) {
		struct app *app = &r->o.apps->list[i];

		if (!app->gone || r->done[i].retry_ns > now_ns)
			continue;
		r->done[i].retry_ns = now_ns + RETRY_S * NS_PER_S;
		rc = check_stranger(r, db, app, err);
	}
	return rc;
}

static enum err_kind check_aside(struct reconcile *r, struct recovery *db, bool *ret_worked,
				 struct err *err)
{
	enum err_kind rc = check_strangers(r, db, err);

	return rc ? rc : claims_check_late(r->claims, db, ret_worked, err);
}

static enum err_kind check_hour(struct reconcile *r, struct recovery *db, size_t app_idx,
				uint32_t hour, struct err *err)
{
	struct app *app = &r->o.apps->list[app_idx];
	struct done *done = &r->done[app_idx];
	const struct copy_range range = {
		.app = app->name,
		.from_ns = time_later((int64_t)hour * HOUR_NS, r->begin_ns),
		.to_ns = ((int64_t)hour + 1) * HOUR_NS,
	};
	struct windows compared = {.count = 0};
	enum err_kind rc;

	rc = second_copy_settle(r->o.copy, err);
	if (rc)
		return rc;
	rc = compare_hour(r, db, &range, &compared, err);
	if (!rc)
		rc = claims_check_hour(r->claims, db, &range, &compared, err);
	if (!rc)
		rc = windows_tell(&compared, app->name, r->o.copy, r->o.trail, err);
	if (rc == ERR_REJECT)
		rc = note_unknown(r, app, done, &range, err);
	if (rc == ERR_RETRY &&
	    second_copy_fly_failed(r->o.copy)) /* the others need not wait for it */
		done->retry_ns = time_monotonic_ns() + RETRY_S * NS_PER_S;
	if (!rc && done->retry_ns <= time_monotonic_ns())
		done->hours[hour % HOURS_KEPT] = hour;
	return rc;
}

enum err_kind reconcile_step(struct reconcile *r, struct recovery *db, bool *ret_worked,
			     struct err *err)
{
	struct urgent urgent;
	size_t app;
	uint32_t hour;
	enum err_kind rc;

	*ret_worked = false;
	if (r->o.pages_per_hour == 0)
		return ERR_NONE;
	save(r);
	if (r->saved_ns <= 0)
		return ERR_NONE;
	rc = second_copy_await_api(r->o.copy, err);
	if (!rc)
		rc = apps_refresh(r->o.apps, db, r->o.api, RECONCILE_APPS_SECONDS * NS_PER_S, err);
	if (!rc)
		rc = load(r, db, err);
	if (rc)
		return rc;
	rc = check_aside(r, db, ret_worked, err);
	if (rc || *ret_worked)
		return rc;
	if (urgent_take(&r->urgent, time_now_ns() - r->o.delay_ns, &urgent)) {
		*ret_worked = true;
		return check_urgent(r, db, &urgent, err);
	}
	if (r->begin_ns == RECOVERY_NO_TIME || !find_hour(r, &app, &hour))
		return ERR_NONE;
	*ret_worked = true;
	return check_hour(r, db, app, hour, err);
}
