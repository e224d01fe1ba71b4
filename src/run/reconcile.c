#include "run/reconcile.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/time.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	HOUR_S = 3600,
	MINUTE_S = 60,
	HOUR_MINUTES = 60,
	HOURS_KEPT = 192, /* more than Fly's seven days */
	SAVED_S = 300,    /* pages that were not spent are kept so long */
	PAGES_LEAST = 2,  /* an hour's share */
};

#define HOUR_NS (HOUR_S * NS_PER_S)
#define MINUTE_NS (MINUTE_S * NS_PER_S)
static const int64_t KEPT_NS = (LOGS_API_DAYS * INT64_C(86400) - HOUR_S) * NS_PER_S;
static const int64_t US_NS = 1000;
static const int64_t OWED_NS_MAX = HOUR_NS; /* pages that claims may take ahead of their time */

struct urgent {
	char app[LOGS_API_APP_BYTES];
	int64_t from_ns, to_ns;
};

/* Hours since 1970 that are done, each at its place modulo HOURS_KEPT. */
struct done {
	uint32_t hours[HOURS_KEPT];
};

struct reconcile {
	struct reconcile_options o; /* const after reconcile_new() */
	int64_t saved_ns;           /* time whose pages are not spent yet */
	int64_t counted_ns;         /* up to when it was counted, on the monotonic clock */
	struct urgent urgent[RECONCILE_URGENT_MAX];
	size_t urgent_first, urgent_count;
	struct done *done; /* of each application, by its place in the list */
	bool loaded;
	int64_t begin_ns;              /* of the trail; RECOVERY_NO_TIME: not known yet */
	struct recovery_claims claims; /* of the present hour */
};

enum err_kind reconcile_new(struct reconcile **ret, const struct reconcile_options *options,
			    struct err *err)
{
	struct reconcile *r = calloc(1, sizeof(*r));

	if (r)
		r->done = calloc(RECOVERY_APPS_MAX, sizeof(r->done[0]));
	if (!r || !r->done) {
		reconcile_free(r);
		return err_set(err, ERR_FATAL, "out of memory for comparing");
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
	free(r->done);
	free(r);
}

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

static void push_urgent(struct reconcile *r, const char *app, int64_t from_ns, int64_t to_ns)
{
	struct urgent *u;

	if (r->urgent_count == RECONCILE_URGENT_MAX) {
		r->urgent_first = (r->urgent_first + 1) % RECONCILE_URGENT_MAX;
		r->urgent_count--;
	}
	u = &r->urgent[(r->urgent_first + r->urgent_count++) % RECONCILE_URGENT_MAX];
	*u = (struct urgent){.from_ns = from_ns, .to_ns = to_ns};
	(void)snprintf(u->app, sizeof(u->app), "%s", app);
}

void reconcile_note_gap(struct reconcile *r, const struct recovery_gap *gap)
{
	if (r->o.pages_per_hour == 0)
		return;
	for (size_t i = 0; i < r->o.apps->count; i++) {
		const struct app *app = &r->o.apps->list[i];

		if (app->gone)
			continue;
		if (gap->start_ns != RECOVERY_NO_TIME)
			push_urgent(r, app->name, gap->start_ns - MINUTE_NS, gap->start_ns);
		push_urgent(r, app->name, gap->end_ns, gap->end_ns + MINUTE_NS);
	}
}

static void post_window(struct reconcile *r, const struct copy_range *range,
			const struct copy_result *result, const char *state, const char *why)
{
	struct fact fact = {
		.action = ACTION_trail_window_checked,
		.noticed_ns = time_now_ns(),
		.gap = {.start_ns = range->from_ns, .end_ns = result->through_ns},
		.found = {.state = state,
			  .is_loss = strcmp(state, "lost") == 0,
			  .lines_seen = result->seen,
			  .lines_recovered = result->recovered,
			  .id_mismatches = result->mismatches},
	};

	(void)snprintf(fact.found.app, sizeof(fact.found.app), "%s", range->app);
	(void)snprintf(fact.why, sizeof(fact.why), "%s", why);
	trail_post(r->o.trail, &fact);
}

static void tell_window(struct reconcile *r, const struct copy_range *range,
			const struct copy_result *result)
{
	const char *lack = copy_result_lack(result);

	post_window(r, range, result,
		    lack                    ? "lost"
		    : result->recovered > 0 ? "recovered"
					    : "agrees",
		    lack ? lack : "");
}

/* What was compared in an hour, one time after the other or within it. */
struct compared {
	struct {
		int64_t from_ns, to_ns;
	} parts[RECONCILE_WINDOWS_MAX + 2];
	size_t count;
};

static bool has(const struct compared *c, int64_t ns)
{
	for (size_t i = 0; i < c->count; i++)
		if (ns >= c->parts[i].from_ns && ns < c->parts[i].to_ns)
			return true;
	return false;
}

/* Compares, spends, and asks for more around what does not agree. */
static enum err_kind compare(struct reconcile *r, struct recovery *db,
			     const struct copy_range *range, struct copy_result *ret,
			     struct err *err)
{
	enum err_kind rc = second_copy_compare(r->o.copy, db, range, ret, err);

	spend(r, ret->pages > 0 ? ret->pages : 1);
	if (ret->mismatches > 0) {
		push_urgent(r, range->app, range->from_ns - MINUTE_NS, range->from_ns);
		push_urgent(r, range->app, ret->through_ns, ret->through_ns + MINUTE_NS);
	}
	return rc;
}

static enum err_kind compare_window(struct reconcile *r, struct recovery *db,
				    const struct copy_range *range, struct compared *c,
				    struct err *err)
{
	struct copy_result result = {0};
	enum err_kind rc = compare(r, db, range, &result, err);

	if (rc)
		return rc;
	tell_window(r, range, &result);
	REQUIRE(c->count < ARRAY_LEN(c->parts));
	c->parts[c->count].from_ns = range->from_ns;
	c->parts[c->count++].to_ns = result.through_ns;
	return ERR_NONE;
}

/* --- urgent windows --- */

static enum err_kind check_urgent(struct reconcile *r, struct recovery *db, struct err *err)
{
	const struct urgent u = r->urgent[r->urgent_first];
	int64_t latest_ns = time_now_ns() - r->o.delay_ns;
	const struct copy_range range = {
		.app = u.app,
		.from_ns = u.from_ns,
		.to_ns = u.to_ns < latest_ns ? u.to_ns : latest_ns,
		.pages_max = RECONCILE_URGENT_MAX,
	};
	struct copy_result result = {0};
	enum err_kind rc;

	rc = second_copy_settle(r->o.copy, err);
	if (!rc)
		rc = compare(r, db, &range, &result, err);
	if (rc && rc != ERR_REJECT)
		return rc;
	r->urgent_first = (r->urgent_first + 1) % RECONCILE_URGENT_MAX;
	r->urgent_count--;
	/* A quiet minute of each application at each gap is not worth a row. */
	if (!rc && result.seen > 0)
		tell_window(r, &range, &result);
	if (!rc && result.recovered > 0)
		push_urgent(r, u.app, range.to_ns, range.to_ns + MINUTE_NS);
	return ERR_NONE;
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

/* Random minutes, for as many pages as are left of the hour's share. */
static enum err_kind compare_minutes(struct reconcile *r, struct recovery *db,
				     const struct copy_range *hour, unsigned minute_pages,
				     struct compared *c, struct err *err)
{
	unsigned count = share(r) / minute_pages;
	enum err_kind rc = ERR_NONE;

	if (count > RECONCILE_WINDOWS_MAX)
		count = RECONCILE_WINDOWS_MAX;
	for (unsigned i = 0; i < count && !rc; i++) {
		int64_t from_ns = hour->from_ns + random_below(HOUR_MINUTES) * MINUTE_NS;
		const struct copy_range minute = {
			.app = hour->app,
			.from_ns = from_ns,
			.to_ns = from_ns + MINUTE_NS,
			.pages_max = 2 * minute_pages + 1,
		};

		if (!has(c, from_ns))
			rc = compare_window(r, db, &minute, c, err);
	}
	return rc;
}

static enum err_kind compare_hour(struct reconcile *r, struct recovery *db,
				  const struct copy_range *hour, struct compared *c,
				  struct err *err)
{
	struct copy_range range = *hour;
	struct copy_result result = {0};
	int64_t page_covers_ns;
	enum err_kind rc;

	range.pages_max = 1;
	rc = compare(r, db, &range, &result, err);
	if (rc)
		return rc;
	page_covers_ns = result.through_ns - range.from_ns;
	if (page_covers_ns < 1)
		page_covers_ns = 1;
	if (result.through_ns < hour->to_ns && HOUR_NS / page_covers_ns < share(r)) {
		struct copy_result rest = {0};

		range.from_ns = result.through_ns;
		range.pages_max = 2 * share(r);
		rc = compare(r, db, &range, &rest, err);
		range.from_ns = hour->from_ns;
		result.seen += rest.seen;
		result.recovered += rest.recovered;
		result.mismatches += rest.mismatches;
		result.unreadable += rest.unreadable;
		result.unreachable = result.unreachable || rest.unreachable;
		result.through_ns = rest.through_ns;
	}
	if (rc)
		return rc;
	tell_window(r, &range, &result);
	c->parts[c->count].from_ns = hour->from_ns;
	c->parts[c->count++].to_ns = result.through_ns;
	if (result.through_ns >= hour->to_ns)
		return ERR_NONE;
	return compare_minutes(r, db, hour, (unsigned)(MINUTE_NS / page_covers_ns) + 1, c, err);
}

/* --- claims --- */

static void tell_unconfirmed(struct reconcile *r, const char *app,
			     const struct recovery_claim *claim)
{
	struct fact fact = {.action = ACTION_trail_unconfirmed_line, .noticed_ns = time_now_ns()};

	(void)id_format(&claim->id, fact.found.subject);
	(void)snprintf(fact.found.app, sizeof(fact.found.app), "%s", app);
	trail_post(r->o.trail, &fact);
	atomic_fetch_add(&r->o.status->lines_unconfirmed, 1);
	log_warn(line_unconfirmed, LOG_TEXT("app", app), LOG_TEXT("line", fact.found.subject));
}

/*
 * Looks for the claims that no window has had, a page from each on. *ret_until_ns: those before
 * it were looked for; the budget may be spent before the last.
 */
static enum err_kind probe(struct reconcile *r, struct recovery *db, const struct copy_range *hour,
			   const struct compared *c, int64_t *ret_until_ns, struct err *err)
{
	int64_t seen_ns = hour->from_ns;

	for (size_t i = 0; i < r->claims.count; i++) {
		int64_t ns = r->claims.list[i].occurred_us * US_NS;
		const struct copy_range range = {
			.app = hour->app, .from_ns = ns, .to_ns = hour->to_ns, .pages_max = 1};
		struct copy_result result = {0};
		enum err_kind rc;

		*ret_until_ns = ns;
		if (ns < seen_ns || has(c, ns))
			continue;
		if (r->saved_ns <= -OWED_NS_MAX)
			return ERR_NONE;
		rc = compare(r, db, &range, &result, err);
		if (rc)
			return rc;
		if (result.recovered > 0)
			tell_window(r, &range, &result);
		seen_ns = result.through_ns;
	}
	*ret_until_ns = hour->to_ns;
	return ERR_NONE;
}

/* What was looked for and is still not confirmed. */
static enum err_kind judge_claims(struct reconcile *r, struct recovery *db, const char *app,
				  const struct recovery_part *part, struct err *err)
{
	enum err_kind rc = recovery_find_claims(db, part, &r->claims, err);

	for (size_t i = 0; i < r->claims.count && !rc; i++)
		tell_unconfirmed(r, app, &r->claims.list[i]);
	return rc;
}

/* So many claims that an hour's pages were spent on them: a flood of forged lines may be one. */
static void tell_unprobed(struct reconcile *r, const struct copy_range *hour, int64_t from_ns)
{
	const struct copy_range rest = {.app = hour->app, .from_ns = from_ns};
	const struct copy_result none = {.through_ns = hour->to_ns};

	post_window(r, &rest, &none, "not_checked",
		    "lines in the platform's name that nothing confirms are more than the budget");
}

static enum err_kind check_claims(struct reconcile *r, struct recovery *db,
				  const struct copy_range *hour, const struct compared *c,
				  struct err *err)
{
	struct recovery_part rest = {
		.app = span_text(hour->app), .from_ns = hour->from_ns, .to_ns = hour->to_ns};
	bool more = true;

	while (more && rest.from_ns < hour->to_ns) {
		int64_t end_ns = hour->to_ns;
		struct recovery_part done = rest;
		enum err_kind rc = recovery_find_claims(db, &rest, &r->claims, err);

		if (rc || r->claims.count == 0)
			return rc;
		more = r->claims.count == RECOVERY_CLAIMS_MAX;
		rc = probe(r, db, hour, c, &end_ns, err);
		if (rc)
			return rc;
		if (more && end_ns == hour->to_ns)
			end_ns = r->claims.list[r->claims.count - 1].occurred_us * US_NS + US_NS;
		done.to_ns = end_ns;
		rc = judge_claims(r, db, hour->app, &done, err);
		if (rc)
			return rc;
		if (end_ns <= rest.from_ns) {
			tell_unprobed(r, hour, end_ns);
			return ERR_NONE;
		}
		rest.from_ns = end_ns;
	}
	return ERR_NONE;
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
	rc = recovery_find_checked(db, time_now_ns() - KEPT_NS - HOUR_NS, mark_done, r, err);
	r->loaded = rc == ERR_NONE;
	return rc;
}

/* The newest hour that is over for an hour and not done, of any application. */
static bool find_hour(const struct reconcile *r, size_t *ret_app, uint32_t *ret_hour)
{
	int64_t now_ns = time_now_ns();
	int64_t oldest_ns = now_ns - KEPT_NS;
	int64_t newest = (now_ns - HOUR_NS) / HOUR_NS - 1;

	if (r->begin_ns > oldest_ns)
		oldest_ns = r->begin_ns;
	for (int64_t hour = newest; hour * HOUR_NS >= oldest_ns; hour--) {
		for (size_t i = 0; i < r->o.apps->count; i++) {
			if (r->o.apps->list[i].gone ||
			    r->done[i].hours[hour % HOURS_KEPT] == (uint32_t)hour)
				continue;
			*ret_app = i;
			*ret_hour = (uint32_t)hour;
			return true;
		}
	}
	return false;
}

static enum err_kind check_hour(struct reconcile *r, struct recovery *db, size_t app, uint32_t hour,
				struct err *err)
{
	const struct copy_range range = {
		.app = r->o.apps->list[app].name,
		.from_ns = (int64_t)hour * HOUR_NS,
		.to_ns = ((int64_t)hour + 1) * HOUR_NS,
	};
	struct compared compared = {.count = 0};
	struct copy_result none = {.through_ns = range.to_ns};
	enum err_kind rc;

	rc = second_copy_settle(r->o.copy, err);
	if (!rc)
		rc = compare_hour(r, db, &range, &compared, err);
	if (!rc)
		rc = check_claims(r, db, &range, &compared, err);
	if (rc == ERR_REJECT) {
		post_window(r, &range, &none, "not_checked", "Fly knows no such application");
		rc = ERR_NONE;
	}
	if (!rc)
		r->done[app].hours[hour % HOURS_KEPT] = hour;
	return rc;
}

enum err_kind reconcile_step(struct reconcile *r, struct recovery *db, bool *ret_worked,
			     struct err *err)
{
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
	if (r->urgent_count > 0) {
		*ret_worked = true;
		return check_urgent(r, db, err);
	}
	if (r->begin_ns == RECOVERY_NO_TIME || !find_hour(r, &app, &hour))
		return ERR_NONE;
	*ret_worked = true;
	return check_hour(r, db, app, hour, err);
}
