#include "run/claims.h"

#include "base/log.h"
#include "base/time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct claims {
	struct claims_options o;       /* const after claims_new() */
	struct recovery_claims sought; /* that are looked for */
	struct recovery_claims left;   /* when that was done */
	uint64_t pages;                /* that the present hour's may still take */
	struct recovery_late late;     /* where the next look at those begins */
	int64_t look_ns;               /* on the monotonic clock: when there may be more of them */
	int64_t again_ns; /* on the monotonic clock: when all of them are looked at again */
};

enum err_kind claims_new(struct claims **ret, const struct claims_options *options, struct err *err)
{
	struct claims *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(err, ERR_FATAL, "out of memory for lines to be confirmed");
	c->o = *options;
	*ret = c;
	return ERR_NONE;
}

void claims_free(struct claims *c)
{
	free(c);
}

/* What is old enough to be judged, and still in Fly's copy. */
static int64_t since_ns(void)
{
	return time_now_ns() - SECOND_COPY_KEPT_NS;
}

static int64_t until_ns(void)
{
	return time_now_ns() - CLAIMS_WAIT_NS;
}

static enum err_kind tell_unconfirmed(struct claims *c, const char *app,
				      const struct recovery_claim *claim, struct err *err)
{
	struct fact fact = {.action = ACTION_trail_unconfirmed_line,
			    .noticed_ns = time_now_ns(),
			    .gap = {.start_ns = claim->occurred_us * NS_PER_US}};
	enum err_kind rc;

	(void)id_format(&claim->id, fact.found.subject);
	(void)snprintf(fact.found.app, sizeof(fact.found.app), "%s", app);
	rc = second_copy_tell(c->o.copy, c->o.trail, &fact, err);
	if (rc)
		return rc;
	atomic_fetch_add(&c->o.status->lines_unconfirmed, 1);
	log_warn(line_unconfirmed, LOG_TEXT("app", app), LOG_TEXT("line", fact.found.subject));
	return ERR_NONE;
}

/*
 * Looks for the claims that no window has had, a page from each on. *ret_until_ns: those before
 * it were looked for; the pages may be spent before the last.
 */
static enum err_kind probe(struct claims *c, struct recovery *db, const struct copy_range *hour,
			   const struct windows *compared, int64_t *ret_until_ns, struct err *err)
{
	int64_t seen_ns = hour->from_ns;

	for (size_t i = 0; i < c->sought.count; i++) {
		int64_t ns = c->sought.list[i].occurred_us * NS_PER_US;
		const struct copy_range range = {
			.app = hour->app, .from_ns = ns, .to_ns = hour->to_ns, .pages_max = 1};
		struct copy_result result = {0};
		enum err_kind rc;

		*ret_until_ns = ns;
		if (ns + NS_PER_US <= seen_ns || windows_have(compared, ns))
			continue;
		if (c->pages == 0)
			return ERR_NONE;
		c->pages--;
		rc = c->o.compare(c->o.arg, db, &range, &result, err);
		if (!rc && result.recovered > 0)
			rc = window_tell_alone(&range, &result, c->o.copy, c->o.trail, err);
		if (rc)
			return rc;
		seen_ns = result.through_ns;
	}
	*ret_until_ns = hour->to_ns;
	return ERR_NONE;
}

static bool is_among(const struct recovery_claims *claims, const struct id *id)
{
	for (size_t i = 0; i < claims->count; i++)
		if (id_compare(&claims->list[i].id, id) == 0)
			return true;
	return false;
}

/* What was looked for and is still not confirmed. What was stored meanwhile was not looked for. */
static enum err_kind judge(struct claims *c, struct recovery *db, const struct recovery_part *part,
			   struct err *err)
{
	enum err_kind rc = recovery_find_claims(db, part, &c->left, err);

	for (size_t i = 0; i < c->left.count && !rc; i++)
		if (is_among(&c->sought, &c->left.list[i].id))
			rc = tell_unconfirmed(c, part->app, &c->left.list[i], err);
	return rc;
}

/* So many claims that an hour's pages were spent on them: a flood of forged lines may be one. */
static void add_unprobed(struct windows *compared, const struct copy_range *hour, int64_t from_ns)
{
	const struct window w = {
		.from_ns = from_ns,
		.result = {.through_ns = hour->to_ns},
		.state = "not_checked",
		.why = "lines in the platform's name that nothing confirms are more than the "
		       "budget",
	};

	windows_add(compared, &w);
}

/*
 * That Fly shows nothing at all of an hour of which the trail has lines proves nothing about them,
 * unless it shows what was before.
 */
static enum err_kind check_witness(struct claims *c, struct recovery *db,
				   const struct copy_range *hour, struct windows *compared,
				   bool *ret, struct err *err)
{
	const struct recovery_part before = {
		.app = hour->app, .from_ns = since_ns(), .to_ns = hour->from_ns};
	enum err_kind rc;

	*ret = true;
	for (size_t i = 0; i < compared->count; i++)
		if (compared->list[i].result.seen > 0)
			return ERR_NONE;
	rc = second_copy_reaches(c->o.copy, db, &before, ret, err);
	for (size_t i = 0; i < compared->count && !rc && !*ret; i++) {
		compared->list[i].state = "not_checked";
		compared->list[i].why =
			"Fly's copy shows nothing, and not what the trail has from before";
	}
	return rc;
}

/* What follows the last of those that a list could not hold more of. */
static struct recovery_part after_last(const struct recovery_part *part,
				       const struct recovery_claims *claims)
{
	const struct recovery_claim *last = &claims->list[claims->count - 1];

	return (struct recovery_part){
		.app = part->app,
		.from_ns = last->occurred_us * NS_PER_US,
		.to_ns = part->to_ns,
		.after = last->id,
	};
}

enum err_kind claims_check_hour(struct claims *c, struct recovery *db,
				const struct copy_range *hour, struct windows *compared,
				struct err *err)
{
	struct recovery_part rest = {
		.app = hour->app, .from_ns = hour->from_ns, .to_ns = hour->to_ns};
	bool more = true, shown = false; /* once is enough */

	c->pages = c->o.pages_max;
	while (more && rest.from_ns < hour->to_ns) {
		int64_t end_ns = hour->to_ns;
		struct recovery_part done = rest, next;
		enum err_kind rc = recovery_find_claims(db, &rest, &c->sought, err);

		if (rc || c->sought.count == 0)
			return rc;
		more = c->sought.count == RECOVERY_CLAIMS_MAX;
		next = after_last(&rest, &c->sought);
		if (!shown)
			rc = check_witness(c, db, hour, compared, &shown, err);
		if (!rc && !shown)
			return ERR_NONE;
		if (!rc)
			rc = probe(c, db, hour, compared, &end_ns, err);
		if (rc)
			return rc;
		if (end_ns == hour->to_ns && more)
			done.to_ns = next.from_ns + NS_PER_US;
		else
			done.to_ns = end_ns;
		rc = judge(c, db, &done, err);
		if (rc)
			return rc;
		if (end_ns <= rest.from_ns) {
			add_unprobed(compared, hour, end_ns);
			return ERR_NONE;
		}
		if (end_ns < hour->to_ns) { /* the pages are spent */
			more = true;
			next = (struct recovery_part){
				.app = hour->app, .from_ns = end_ns, .to_ns = hour->to_ns};
		}
		rest = next;
	}
	return ERR_NONE;
}

/* An application that Fly does not know is claims_refuse()'s; a name that is none is nobody's. */
static enum err_kind check_one_late(struct claims *c, struct recovery *db,
				    const struct recovery_claim *claim, struct err *err)
{
	int64_t ns = claim->occurred_us * NS_PER_US;
	const struct copy_range range = {
		.app = claim->app, .from_ns = ns, .to_ns = ns + NS_PER_US, .pages_max = 2};
	const struct recovery_part before = {.app = claim->app, .from_ns = since_ns(), .to_ns = ns};
	struct copy_result result = {0};
	bool shown = true, unconfirmed = false;
	enum err_kind rc;

	if (strlen(claim->app) > RECORD_APP_BYTES_MAX)
		return tell_unconfirmed(c, claim->app, claim, err);
	rc = c->o.compare(c->o.arg, db, &range, &result, err);
	if (!rc && result.recovered > 0)
		rc = window_tell_alone(&range, &result, c->o.copy, c->o.trail, err);
	if (!rc && result.seen == 0)
		rc = second_copy_reaches(c->o.copy, db, &before, &shown, err);
	if (!rc && shown)
		rc = recovery_is_claim(db, claim, &unconfirmed, err);
	return !rc && unconfirmed ? tell_unconfirmed(c, claim->app, claim, err) : rc;
}

/* Those that could not be judged must not be in the way of others: the next look is behind it. */
static void step_late(struct claims *c, const struct recovery_claim *done)
{
	c->late.stored_from_ns = done->stored_us * NS_PER_US;
	c->late.after = done->id;
}

/* Nothing more for a while. */
static void rest_late(struct claims *c)
{
	c->look_ns = time_monotonic_ns() + CLAIMS_LOOK_NS;
}

static enum err_kind find_late(struct claims *c, struct recovery *db, struct err *err)
{
	enum err_kind rc;

	if (time_monotonic_ns() >= c->again_ns) {
		c->late = (struct recovery_late){.stored_from_ns = since_ns()};
		c->again_ns = time_monotonic_ns() + CLAIMS_AGAIN_NS;
	}
	c->late.stored_to_ns = until_ns();
	c->late.oldest_ns = since_ns();
	rc = recovery_find_late_claims(db, &c->late, &c->sought, err);
	if (rc || c->sought.count == 0)
		return rc;
	/* What was told of them, or confirms them, may be on its way. */
	rc = second_copy_settle(c->o.copy, err);
	return rc ? rc : recovery_find_late_claims(db, &c->late, &c->sought, err);
}

enum err_kind claims_check_late(struct claims *c, struct recovery *db, bool *ret_worked,
				struct err *err)
{
	enum err_kind rc;

	if (time_monotonic_ns() < c->look_ns)
		return ERR_NONE;
	rc = find_late(c, db, err);
	if (!rc && c->sought.count < RECOVERY_LATE_MAX)
		rest_late(c);
	for (size_t i = 0; !rc && i < c->sought.count; i++) {
		const struct recovery_claim *claim = &c->sought.list[i];

		*ret_worked = true;
		rc = check_one_late(c, db, claim, err);
		if (!rc || rc == ERR_REJECT || second_copy_fly_failed(c->o.copy))
			step_late(c, claim);
		if (rc == ERR_REJECT)
			rc = ERR_NONE;
		if (rc == ERR_RETRY && second_copy_fly_failed(c->o.copy)) {
			/* It waits long for each of its answers: gaps come first. */
			rest_late(c);
			return ERR_NONE;
		}
	}
	return rc;
}

enum err_kind claims_refuse(struct claims *c, struct recovery *db, const char *app, struct err *err)
{
	struct recovery_part part = {.app = app, .from_ns = since_ns(), .to_ns = until_ns()};
	enum err_kind rc = recovery_find_claims(db, &part, &c->sought, err);

	if (rc || c->sought.count == 0)
		return rc;
	rc = second_copy_settle(c->o.copy, err); /* what was told of them may be on its way */
	if (rc)
		return rc;
	do {
		rc = recovery_find_claims(db, &part, &c->sought, err);
		for (size_t i = 0; i < c->sought.count && !rc; i++)
			rc = tell_unconfirmed(c, app, &c->sought.list[i], err);
		if (c->sought.count > 0)
			part = after_last(&part, &c->sought);
	} while (!rc && c->sought.count == RECOVERY_CLAIMS_MAX);
	return rc;
}
