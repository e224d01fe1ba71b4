/* Of store/recovery.h: what the log stream alone tells, and nothing has confirmed. */

#include "store/recovery.h"

#include "base/time.h"
#include "store/recovery_inside.h"

#include <stdio.h>
#include <stdlib.h>

#define IS_TOLD                                                                      \
	"EXISTS (SELECT FROM flytrail.events t WHERE t.retention_class = 'security'" \
	" AND t.class = 'trail' AND t.action = 'trail.unconfirmed_line'"             \
	" AND t.correlation_id = e.event_id::text)"
/* A claim that nothing has confirmed, and of which nobody has been told. */
#define IS_CLAIM                                                                  \
	"e.source = 'nats' AND (e.trust = 'platform' OR e.class = 'ssh_session')" \
	" AND NOT EXISTS (SELECT FROM flytrail.confirmations c"                   \
	"  WHERE c.event_id = e.event_id AND c.occurred_at = e.occurred_at)"      \
	" AND NOT " IS_TOLD
/* Fly's second copy showed it. */
#define IS_SHOWN                                                             \
	"(e.source = 'http' OR EXISTS (SELECT FROM flytrail.confirmations c" \
	" WHERE c.event_id = e.event_id AND c.occurred_at = e.occurred_at AND c.source = 'http'))"

static const char CLAIMS_SQL[] =
	"SELECT e.event_id, (extract(epoch FROM e.occurred_at) * 1000000)::bigint "
	"FROM flytrail.events e "
	"WHERE e.app = $1 AND e.occurred_at >= $2::timestamptz AND e.occurred_at < $3::timestamptz"
	" AND (e.occurred_at, e.event_id) > ($2::timestamptz, $5::uuid)"
	" AND " IS_CLAIM " ORDER BY e.occurred_at, e.event_id LIMIT $4";

static void take_claims(const PGresult *rows, struct recovery_claims *ret)
{
	ret->count = 0;
	for (int i = 0; i < PQntuples(rows); i++) {
		struct recovery_claim *claim = &ret->list[ret->count];

		if (!id_parse(recovery_text_at(rows, i, 0), &claim->id))
			continue;
		claim->occurred_us = strtoll(PQgetvalue(rows, i, 1), NULL, 10);
		claim->app[0] = '\0';
		if (PQnfields(rows) > 2) {
			recovery_copy_at(rows, i, 2, claim->app, sizeof(claim->app));
			claim->stored_us = strtoll(PQgetvalue(rows, i, 3), NULL, 10);
		}
		ret->count++;
	}
}

enum err_kind recovery_find_claims(struct recovery *r, const struct recovery_part *part,
				   struct recovery_claims *ret, struct err *err)
{
	char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES], limit[RECOVERY_NUMBER_BYTES];
	char after[ID_TEXT_BYTES];
	const char *const values[] = {part->app, time_format(part->from_ns, from),
				      time_format(part->to_ns, to), limit,
				      id_format(&part->after, after)};
	PGresult *rows;
	enum err_kind rc;

	ret->count = 0;
	(void)snprintf(limit, sizeof(limit), "%d", RECOVERY_CLAIMS_MAX);
	rc = session_ask(r->session, CLAIMS_SQL, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	take_claims(rows, ret);
	PQclear(rows);
	return ERR_NONE;
}

/*
 * By the index of what was stored when its hour may have been done, or whose application has a name
 * longer than any of Fly's, so that no hour is its: both are few.
 */
static const char LATE_SQL[] =
	"SELECT e.event_id, (extract(epoch FROM e.occurred_at) * 1000000)::bigint, e.app,"
	" (extract(epoch FROM e.stored_at) * 1000000)::bigint "
	"FROM flytrail.events e "
	"WHERE e.source = 'nats'"
	" AND (e.stored_at - e.occurred_at > interval '1 hour' OR length(e.app) > 64)"
	" AND e.stored_at >= $1::timestamptz AND e.stored_at < $2::timestamptz"
	" AND (e.stored_at, e.event_id) > ($1::timestamptz, $5::uuid)"
	" AND e.occurred_at >= $3::timestamptz"
	" AND e.app IS NOT NULL AND " IS_CLAIM " ORDER BY e.stored_at, e.event_id LIMIT $4";
_Static_assert(RECORD_APP_BYTES_MAX == 64, "as the index events_late_idx has it");

enum err_kind recovery_find_late_claims(struct recovery *r, const struct recovery_late *late,
					struct recovery_claims *ret, struct err *err)
{
	char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES], oldest[TIME_TEXT_BYTES];
	char limit[RECOVERY_NUMBER_BYTES], after[ID_TEXT_BYTES];
	const char *const values[] = {
		time_format(late->stored_from_ns, from), time_format(late->stored_to_ns, to),
		time_format(late->oldest_ns, oldest), limit, id_format(&late->after, after)};
	PGresult *rows;
	enum err_kind rc;

	ret->count = 0;
	(void)snprintf(limit, sizeof(limit), "%d", RECOVERY_LATE_MAX);
	rc = session_ask(r->session, LATE_SQL, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	take_claims(rows, ret);
	PQclear(rows);
	return ERR_NONE;
}

/*
 * The newest that Fly showed before; only where there is none, any other, but none that is known to
 * be forged: whoever can put a line into the stream must not make an answer of Fly's look empty.
 */
#define WITNESS                                                                           \
	"SELECT e.event_id, (extract(epoch FROM e.occurred_at) * 1000000)::bigint AS us " \
	"FROM flytrail.events e "                                                         \
	"WHERE e.app = $1 AND e.occurred_at >= $2::timestamptz"                           \
	" AND e.occurred_at < $3::timestamptz AND e.time_basis = 'source'"                \
	" AND e.class <> 'trail' AND "
static const char WITNESS_SQL[] =
	"SELECT event_id, us FROM ("
	"(SELECT 1 AS rank, s.* FROM (" WITNESS IS_SHOWN
	"  ORDER BY e.occurred_at DESC LIMIT 1) AS s)"
	" UNION ALL "
	"(SELECT 2, n.* FROM (" WITNESS "e.source = 'nats' AND e.trust = 'platform'"
	"  AND NOT " IS_TOLD " ORDER BY e.occurred_at DESC LIMIT 1) AS n)) AS found "
	"ORDER BY rank LIMIT 1";

enum err_kind recovery_find_witness(struct recovery *r, const struct recovery_part *part,
				    struct recovery_claim *ret, bool *ret_any, struct err *err)
{
	char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
	const char *const values[] = {part->app, time_format(part->from_ns, from),
				      time_format(part->to_ns, to)};
	PGresult *rows;
	enum err_kind rc;

	rc = session_ask(r->session, WITNESS_SQL, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	*ret_any = PQntuples(rows) == 1 && id_parse(recovery_text_at(rows, 0, 0), &ret->id);
	if (*ret_any)
		ret->occurred_us = strtoll(PQgetvalue(rows, 0, 1), NULL, 10);
	PQclear(rows);
	return ERR_NONE;
}

static const char IS_CLAIM_SQL[] =
	"SELECT EXISTS (SELECT FROM flytrail.events e WHERE e.event_id = $1::uuid"
	" AND e.retention_class IN ('operations', 'security')"
	" AND e.occurred_at = $2::timestamptz AND " IS_CLAIM ")";

enum err_kind recovery_is_claim(struct recovery *r, const struct recovery_claim *claim, bool *ret,
				struct err *err)
{
	char id[ID_TEXT_BYTES], at[TIME_TEXT_BYTES];
	const char *const values[] = {id_format(&claim->id, id),
				      time_format(claim->occurred_us * NS_PER_US, at)};

	return recovery_ask_bool(r, IS_CLAIM_SQL, values, ARRAY_LEN(values), ret, err);
}

/* A day longer than Fly keeps: what it showed before that is no longer judged. */
static const char SHOWN_SQL[] =
	"SELECT EXISTS (SELECT FROM flytrail.events w WHERE " RECOVERY_IS_WINDOW
	" AND w.occurred_at >= now() - interval '8 days' AND w.attributes ->> 'app' = $1"
	" AND w.attributes ->> 'state' <> 'not_checked')"
	" OR EXISTS (SELECT FROM flytrail.events e WHERE e.app = $1"
	" AND e.occurred_at >= now() - interval '8 days' AND " IS_SHOWN ")";

enum err_kind recovery_was_shown(struct recovery *r, const char *app, bool *ret, struct err *err)
{
	const char *const values[] = {app};

	return recovery_ask_bool(r, SHOWN_SQL, values, ARRAY_LEN(values), ret, err);
}
