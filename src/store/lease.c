#include "store/lease.h"

#include <stdio.h>
#include <string.h>

enum { NUMBER_BYTES = 16 };

const char *lease_holder(const char *replica, const struct spool_stream *stream,
			 char text[LEASE_TEXT_BYTES])
{
	char uuid[ID_TEXT_BYTES];

	(void)snprintf(text, LEASE_TEXT_BYTES, "%.*s %s", LEASE_TEXT_BYTES - 1 - ID_TEXT_BYTES,
		       replica, id_format(&stream->uuid, uuid));
	return text;
}

static bool fits(const char *text)
{
	return text[0] != '\0' && strnlen(text, LEASE_TEXT_BYTES) < LEASE_TEXT_BYTES;
}

/*
 * What stands behind WHERE is asked of the newest row, after the transaction that may be changing
 * it. A lease that is renewed keeps taken_at. Who lost is told who has it, unless that one came
 * at this very moment, so that this statement cannot see it.
 */
static const char TAKE_SQL[] =
	"WITH taken AS ("
	" INSERT INTO flytrail.leases AS l (name, holder, taken_at, expires_at) "
	" VALUES ($1, $2, clock_timestamp(), clock_timestamp() + make_interval(secs => $3::int)) "
	" ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, "
	"  expires_at = excluded.expires_at, taken_at = "
	"  CASE WHEN l.holder = excluded.holder THEN l.taken_at ELSE excluded.taken_at END "
	" WHERE l.holder = excluded.holder OR l.expires_at <= clock_timestamp() "
	" RETURNING l.holder) "
	"SELECT true, holder FROM taken UNION ALL "
	"SELECT false, holder FROM flytrail.leases "
	"WHERE name = $1 AND NOT EXISTS (SELECT FROM taken)";

enum err_kind lease_take(struct session *s, const char *name, const char *holder, int seconds,
			 struct lease *ret, struct err *err)
{
	char seconds_text[NUMBER_BYTES];
	const char *const values[] = {name, holder, seconds_text};
	PGresult *row = NULL;
	enum err_kind rc;

	REQUIRE(fits(name) && fits(holder) && seconds > 0 && seconds <= LEASE_SECONDS_MAX);
	(void)snprintf(seconds_text, sizeof(seconds_text), "%d", seconds);
	rc = session_ask(s, TAKE_SQL, values, ARRAY_LEN(values), &row, err);
	if (rc)
		return rc;
	*ret = (struct lease){.mine = false};
	if (PQntuples(row) == 1) {
		ret->mine = PQgetvalue(row, 0, 0)[0] == 't';
		(void)snprintf(ret->holder, sizeof(ret->holder), "%s", PQgetvalue(row, 0, 1));
	}
	PQclear(row);
	return ERR_NONE;
}

enum err_kind lease_give_back(struct session *s, const char *name, const char *holder,
			      struct err *err)
{
	const char *const values[] = {name, holder};

	REQUIRE(fits(name) && fits(holder));
	return session_ask(s,
			   "UPDATE flytrail.leases SET expires_at = clock_timestamp() "
			   "WHERE name = $1 AND holder = $2 AND expires_at > clock_timestamp()",
			   values, ARRAY_LEN(values), NULL, err);
}
