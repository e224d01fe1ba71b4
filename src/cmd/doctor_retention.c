/* Of `flytrail doctor`: how long rows are kept, and what stands against that. */

#include "cmd/doctor.h"

#include "run/sinks.h"
#include "store/terms.h"

#include <inttypes.h>

enum { LOCKS_SHARE = 2 }; /* one query may take this part of the lock table: others go on, too */

static void tell_term(struct doctor *d, const struct terms *t, enum limits_kind kind)
{
	const struct terms_kind *k = &t->kinds[kind];
	const char *name = limits_kind_name(kind);

	if (k->for_days == 0)
		doctor_tell(d, OK,
			    "retention: %s: kept for ever; `flytrail retention set` sets a term",
			    name);
	else if (k->at_most_days == 0)
		doctor_tell(d, OK, "retention: %s: kept for %" PRId64 " days, no upper limit", name,
			    k->for_days);
	else
		doctor_tell(d, OK,
			    "retention: %s: kept for %" PRId64 " days, and for %" PRId64 " at most",
			    name, k->for_days, k->at_most_days);
}

/* What S3 must not delete before a day, against what must be deleted by a day. */
static void tell_lock(struct doctor *d, const struct terms *t, enum limits_kind kind,
		      uint64_t lock_days)
{
	static const char *const options[] = {
		[LIMITS_LINES] = "FLYTRAIL_S3_LOCK_LINES_DAYS",
		[LIMITS_SECURITY] = "FLYTRAIL_S3_LOCK_SECURITY_DAYS",
		[LIMITS_OPERATIONS] = "FLYTRAIL_S3_LOCK_OPERATIONS_DAYS",
	};
	const struct terms_kind *k = &t->kinds[kind];

	if (lock_days == 0)
		return;
	if (k->at_most_days > 0 && lock_days > (uint64_t)k->at_most_days)
		doctor_tell(d, FAIL,
			    "retention: %s may be kept for %" PRId64
			    " days at most, and S3 deletes nothing for %" PRIu64
			    ": lower %s, or raise keep_at_most",
			    limits_kind_name(kind), k->at_most_days, lock_days, options[kind]);
	else if (lock_days < (uint64_t)k->for_days)
		doctor_tell(d, OK,
			    "retention: %s: kept for %" PRId64
			    " days in Postgres, locked in S3 for "
			    "%" PRIu64 ": after that the bucket's own rules decide; %s",
			    limits_kind_name(kind), k->for_days, lock_days, options[kind]);
}

static void tell_locks(struct doctor *d, const struct terms *t)
{
	const struct config *c = &d->config;
	struct sinks_s3 s3;

	if (!sinks_has_s3(c))
		return;
	sinks_s3(c, &s3);
	if (s3.options.put.lock.mode == S3_LOCK_OFF)
		return;
	tell_lock(d, t, LIMITS_SECURITY, c->s3_lock_security_days);
	tell_lock(d, t, LIMITS_OPERATIONS, c->s3_lock_operations_days);
	tell_lock(d, t, LIMITS_LINES, c->s3_lock_lines_days);
}

static void tell_partitions(struct doctor *d, const struct terms *t)
{
	if (t->locks > t->lock_max / LOCKS_SHARE)
		doctor_tell(d, WARN,
			    "retention: %" PRIu64 " partitions: a query over all of them takes "
			    "%" PRIu64 " locks, of the %" PRIu64
			    " that the server has for all; make lines weekly by a term of more "
			    "than 90 days, or raise max_locks_per_transaction",
			    t->partitions, t->locks, t->lock_max);
	else
		doctor_tell(d, OK,
			    "retention: %" PRIu64 " partitions: a query over all of them takes "
			    "%" PRIu64 " of the server's %" PRIu64 " locks",
			    t->partitions, t->locks, t->lock_max);
}

static void tell_tables(struct doctor *d, const struct terms_tables *t, const char *what)
{
	if (t->count > 0)
		doctor_tell(d, WARN, "retention: %" PRIu64 " %s: %s%s", t->count, what, t->names,
			    t->count > TERMS_NAMES_MAX ? ", ..." : "");
}

void doctor_check_retention(struct doctor *d)
{
	struct terms terms;
	struct err err;

	/* Else it has been said what is wrong. */
	if (!d->store_inspected || !d->store.can_add || d->store.schema_version < TERMS_SCHEMA)
		return;
	if (terms_ask(&terms, d->config.database_url, &err)) {
		doctor_tell(d, FAIL, "retention: %s", err.text);
		return;
	}
	for (int i = 0; i < LIMITS_KINDS; i++)
		tell_term(d, &terms, (enum limits_kind)i);
	tell_locks(d, &terms);
	tell_partitions(d, &terms);
	if (terms.clock[0] != '\0')
		doctor_tell(d, WARN,
			    "retention: %s; set the clock that is wrong, or start `flytrail run`, "
			    "if nothing was recorded for so long",
			    terms.clock);
	/* A hold is why it should. */
	if (terms.waiting > 0)
		doctor_tell(d, OK,
			    "retention: %" PRIu64
			    " partitions stay though past their terms, the oldest is %s",
			    terms.waiting, terms.waits);
	tell_tables(d, &terms.leftovers,
		    "partitions are taken out of the trail and neither dropped nor put back, which "
		    "the next `flytrail retention apply` does unless one is at it");
	tell_tables(d, &terms.strays,
		    "tables are left alone: somebody detached them, so that no view shows their "
		    "rows, or attached them without two times as their bounds; attach them with "
		    "their bounds, or detach them and give them names of another form");
}
