#include "store/held.h"

#include "base/time.h"

#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_BYTES = 16 };

/* Microseconds, within what nanoseconds can say. Where it is null, so are these: least() would not.
 */
#define US(at)                                                                                    \
	"CASE WHEN " at " IS NOT NULL THEN least(greatest(extract(epoch FROM " at ") * 1000000, " \
	"-9000000000000000), 9000000000000000)::bigint END"

/* Open ones first. */
static const char SQL[] = "SELECT h.hold_id, coalesce(h.class, ''), " US("h.since_at") ", " US(
	"h.until_at") ", "
		      "r.hold_id IS NOT NULL FROM flytrail.holds h "
		      "LEFT JOIN flytrail.hold_releases r ON r.hold_id = h.hold_id "
		      "WHERE r.hold_id IS NULL OR r.released_at > now() - $1::integer * interval "
		      "'1 day' "
		      "ORDER BY r.hold_id IS NOT NULL, r.released_at DESC, h.hold_id LIMIT $2";

static int64_t time_at(const PGresult *rows, int row, int column, int64_t otherwise_ns)
{
	if (PQgetisnull(rows, row, column))
		return otherwise_ns;
	return strtoll(PQgetvalue(rows, row, column), NULL, 10) * NS_PER_US;
}

static bool is_released(const PGresult *rows, int row)
{
	return PQgetvalue(rows, row, 4)[0] == 't';
}

static void take(const PGresult *rows, int row, struct held *ret)
{
	(void)snprintf(ret->id, sizeof(ret->id), "%s", PQgetvalue(rows, row, 0));
	(void)snprintf(ret->class, sizeof(ret->class), "%s", PQgetvalue(rows, row, 1));
	ret->since_ns = time_at(rows, row, 2, INT64_MIN);
	ret->until_ns = time_at(rows, row, 3, INT64_MAX);
	ret->is_released = is_released(rows, row);
}

enum err_kind held_read(struct session *s, struct held_list *ret, struct err *err)
{
	char days[NUMBER_BYTES], limit[NUMBER_BYTES];
	const char *const values[] = {days, limit};
	PGresult *rows;
	enum err_kind rc;

	(void)snprintf(days, sizeof(days), "%d", HELD_RELEASED_DAYS);
	(void)snprintf(limit, sizeof(limit), "%d", HELD_MAX + 1);
	rc = session_ask(s, SQL, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	ret->count = 0;
	for (int i = 0; i < PQntuples(rows) && ret->count < HELD_MAX; i++)
		take(rows, i, &ret->holds[ret->count++]);
	/* Of released ones those that are left out are the oldest. */
	if (PQntuples(rows) > HELD_MAX && !is_released(rows, HELD_MAX))
		rc = err_set(err, ERR_FULL,
			     "there are more than %d open holds: release those that others cover",
			     HELD_MAX);
	PQclear(rows);
	return rc;
}
