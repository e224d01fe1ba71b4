#include "store/fresh.h"

#include "base/time.h"
#include "store/event_row.h"
#include "store/postgres.h"

#include <stdio.h>
#include <string.h>

enum {
	NUMBER_BYTES = 16,
	TEXT_BYTES = 64,
	SQL_BYTES = 1024,
	WORDS_BYTES_MAX = 2048,
	KEYS_BYTES_MAX = 2 + FRESH_FACTS_MAX * (TIME_TEXT_BYTES + ID_TEXT_BYTES),
};

_Static_assert((int)FRESH_MARGIN_SECONDS >= 10 * (int)STORE_ANSWER_SECONDS,
	       "a batch that is stored waits for the server ten times at most");

/* As Postgres prints them: its own clock is the only one that counts here. */
struct times {
	char now[TEXT_BYTES];
	char stored_from[TEXT_BYTES]; /* empty: the taker has not begun */
	char occurred_from[TEXT_BYTES];
};

#define EVENT_TEXT(column) "e." column
static const char SELECT_SQL[] = "SELECT "
#define COLUMN(name, sql) sql ", "
#include "store/event_columns.def"
#undef COLUMN
				 "NULL FROM flytrail.events_security AS e ";

#define IS_UNTAKEN                                                               \
	"AND NOT EXISTS (SELECT FROM flytrail.facts_taken AS t WHERE t.taker = " \
	"$1::text AND t.event_id = e.event_id) "

#define IS_SEVERE "AND e.severity >= $2::smallint "

#define IS_ONE_OF_ALL(stored_from, occurred_from)                                                \
	"e.class IN ('ssh_session', 'secret_change', 'access', 'deploy', 'trail') "              \
	"AND (e.stored_at >= " stored_from " OR e.seq <= 0) AND e.occurred_at >= " occurred_from \
	" "

/* Those that are not known here come last, so that however many there are, others pass. */
static const char ORDER_SQL[] = "e.action NOT IN ("
#define ACTION(ident, text, class, severity, doc) "'" text "', "
#include "model/actions.def"
#undef ACTION
				"''), e.stored_at, e.event_id LIMIT $3::int";

/* --- how far it has come --- */

static void copy_text(char *to, const PGresult *rows, int column)
{
	(void)snprintf(to, TEXT_BYTES, "%s", PQgetvalue(rows, 0, column));
}

static enum err_kind ask_times(struct session *s, const struct fresh_taker *taker,
			       struct times *ret, struct err *err)
{
	static const char sql[] =
		"SELECT n.now, (SELECT CASE WHEN t.up_to > n.now + n.margin "
		"THEN n.now - interval '1 day' ELSE t.up_to - n.margin END "
		"FROM flytrail.fact_takers AS t WHERE t.taker = $1::text), "
		"n.now - make_interval(days => $3::int) "
		"FROM (SELECT now(), make_interval(secs => $2::int) AS margin) AS n";
	char margin[NUMBER_BYTES], days[NUMBER_BYTES];
	const char *const values[] = {taker->name, margin, days};
	PGresult *row;
	enum err_kind rc;

	(void)snprintf(margin, sizeof(margin), "%d", FRESH_MARGIN_SECONDS);
	(void)snprintf(days, sizeof(days), "%d", FRESH_DAYS);
	rc = session_ask(s, sql, values, ARRAY_LEN(values), &row, err);
	if (rc)
		return rc;
	copy_text(ret->now, row, 0);
	copy_text(ret->stored_from, row, 1);
	copy_text(ret->occurred_from, row, 2);
	PQclear(row);
	return ERR_NONE;
}

/* What is there counts as taken. */
static enum err_kind begin(struct session *s, const struct fresh_taker *taker, struct err *err)
{
	static const char sql[] =
		"WITH begun AS (INSERT INTO flytrail.fact_takers (taker, up_to) "
		"VALUES ($1::text, now()) ON CONFLICT DO NOTHING RETURNING taker) "
		"INSERT INTO flytrail.facts_taken (taker, event_id, occurred_at) "
		"SELECT b.taker, e.event_id, e.occurred_at "
		"FROM begun AS b, flytrail.events_security AS e WHERE " IS_ONE_OF_ALL(
			"now() - make_interval(secs => $2::int)",
			"now() - make_interval(days => $3::int)") "ON CONFLICT DO NOTHING";
	char margin[NUMBER_BYTES], days[NUMBER_BYTES];
	const char *const values[] = {taker->name, margin, days};

	(void)snprintf(margin, sizeof(margin), "%d", FRESH_MARGIN_SECONDS);
	(void)snprintf(days, sizeof(days), "%d", FRESH_DAYS);
	return session_ask(s, sql, values, ARRAY_LEN(values), NULL, err);
}

/*
 * All that was to be seen at `now` is taken, and what no read gives any more need not be known. A
 * day more is left, for a server whose clock goes back a little. Where it went back by more than
 * the margin up_to does, too: else nothing would be seen until it is there again.
 */
static enum err_kind move(struct session *s, const struct fresh_taker *taker,
			  const struct times *times, struct err *err)
{
	static const char sql[] =
		"WITH moved AS (INSERT INTO flytrail.fact_takers AS t (taker, up_to) "
		"VALUES ($1::text, $2::timestamptz) ON CONFLICT (taker) DO UPDATE "
		"SET up_to = excluded.up_to "
		"WHERE excluded.up_to > t.up_to + make_interval(secs => $3::int) "
		"OR excluded.up_to < t.up_to - make_interval(secs => $6::int) "
		"RETURNING t.taker) "
		"DELETE FROM flytrail.facts_taken AS f USING moved AS m "
		"WHERE f.taker = m.taker AND NOT $4::boolean "
		"AND f.occurred_at < $5::timestamptz - interval '1 day'";
	char least[NUMBER_BYTES], margin[NUMBER_BYTES];
	const char *const values[] = {
		taker->name,          times->now, least, taker->is_apart ? "true" : "false",
		times->occurred_from, margin};

	(void)snprintf(least, sizeof(least), "%d", FRESH_MOVE_SECONDS);
	(void)snprintf(margin, sizeof(margin), "%d", FRESH_MARGIN_SECONDS);
	return session_ask(s, sql, values, ARRAY_LEN(values), NULL, err);
}

enum err_kind fresh_reached(struct session *s, const struct fresh_taker *taker, struct err *err)
{
	struct times times;
	enum err_kind rc = ask_times(s, taker, &times, err);

	return rc ? rc : move(s, taker, &times, err);
}

/* --- pages --- */

void fresh_release(struct fresh_page *page)
{
	PQclear(page->rows);
	page->rows = NULL;
	page->count = page->unknown = 0;
}

static enum err_kind ask_page(struct session *s, const struct fresh_taker *taker,
			      const struct times *times, PGresult **ret, struct err *err)
{
	char sql[sizeof(SELECT_SQL) + sizeof(ORDER_SQL) + SQL_BYTES];
	char least[NUMBER_BYTES], limit[NUMBER_BYTES];
	struct buf words;
	enum err_kind rc;

	(void)snprintf(least, sizeof(least), "%d", (int)taker->least);
	(void)snprintf(limit, sizeof(limit), "%d", FRESH_FACTS_MAX);
	(void)snprintf(sql, sizeof(sql),
		       "%sWHERE %s" IS_UNTAKEN IS_SEVERE
		       "ORDER BY NOT " EVENT_ROW_KNOWS("$4") " OR %s",
		       SELECT_SQL,
		       taker->is_apart ? "e.seq <= 0 "
				       : IS_ONE_OF_ALL("$5::timestamptz", "$6::timestamptz"),
		       ORDER_SQL);
	buf_init(&words, WORDS_BYTES_MAX);
	event_row_words(&words);
	rc = buf_check(&words, err);
	if (!rc) {
		const char *const values[] = {taker->name,
					      least,
					      limit,
					      (const char *)words.data,
					      times->stored_from,
					      times->occurred_from};

		rc = session_ask(s, sql, values, taker->is_apart ? 4 : (int)ARRAY_LEN(values), ret,
				 err);
	}
	buf_release(&words);
	return rc;
}

enum err_kind fresh_read(struct session *s, const struct fresh_taker *taker,
			 struct fresh_page *page, struct err *err)
{
	struct times times;
	enum err_kind rc;

	fresh_release(page);
	rc = ask_times(s, taker, &times, err);
	if (!rc && !taker->is_apart && times.stored_from[0] == '\0') {
		rc = begin(s, taker, err);
		if (!rc)
			rc = ask_times(s, taker, &times, err);
	}
	if (!rc)
		rc = ask_page(s, taker, &times, &page->rows, err);
	if (rc)
		return rc;
	for (int i = 0; i < PQntuples(page->rows); i++)
		if (event_row_read(page->rows, i, 0, &page->facts[page->count]))
			page->count++;
		else
			page->unknown++;
	return PQntuples(page->rows) == 0 ? move(s, taker, &times, err) : ERR_NONE;
}

/* --- what was taken --- */

struct fresh_key fresh_key(const struct event *fact)
{
	return (struct fresh_key){.id = fact->id, .occurred_ns = fact->occurred_ns};
}

/* Arrays, as Postgres reads them. */
static enum err_kind write_keys(const struct fresh_key *keys, size_t count, struct buf *ids,
				struct buf *times, struct err *err)
{
	char id[ID_TEXT_BYTES], time[TIME_TEXT_BYTES];
	enum err_kind rc;

	buf_str(ids, "{");
	buf_str(times, "{");
	for (size_t i = 0; i < count; i++) {
		buf_fmt(ids, "%s%s", i > 0 ? "," : "", id_format(&keys[i].id, id));
		buf_fmt(times, "%s%s", i > 0 ? "," : "", time_format(keys[i].occurred_ns, time));
	}
	buf_add(ids, "}", 2);
	buf_add(times, "}", 2);
	rc = buf_check(ids, err);
	return rc ? rc : buf_check(times, err);
}

enum err_kind fresh_taken(struct session *s, const struct fresh_taker *taker,
			  const struct fresh_key *keys, size_t count, struct err *err)
{
	static const char sql[] =
		"INSERT INTO flytrail.facts_taken (taker, event_id, occurred_at) "
		"SELECT $1::text, k.id, k.at FROM unnest($2::uuid[], $3::timestamptz[]) "
		"AS k (id, at) ON CONFLICT DO NOTHING";
	struct buf ids, times;
	enum err_kind rc;

	REQUIRE(count <= FRESH_FACTS_MAX);
	if (count == 0)
		return ERR_NONE;
	buf_init(&ids, KEYS_BYTES_MAX);
	buf_init(&times, KEYS_BYTES_MAX);
	rc = write_keys(keys, count, &ids, &times, err);
	if (!rc) {
		const char *const values[] = {taker->name, (const char *)ids.data,
					      (const char *)times.data};

		rc = session_ask(s, sql, values, ARRAY_LEN(values), NULL, err);
	}
	buf_release(&ids);
	buf_release(&times);
	return rc;
}
