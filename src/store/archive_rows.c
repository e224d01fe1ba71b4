#include "store/archive_rows.h"

#include "base/buf.h"
#include "base/bytes.h"
#include "base/time.h"
#include "store/copy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	NAME_BYTES = 64, /* Postgres' names */
	SQL_BYTES = 2048,
	RANGE_BYTES_MAX = 128,
	RANGES_BYTES_MAX = 16 + ARCHIVE_ROWS_RANGES_MAX * RANGE_BYTES_MAX,
	ROW_BYTES = 2 + 4 + ID_BYTES, /* a count of fields, a length, the id */
	DATE_BYTES = 11,
};

struct archive_rows {
	struct session *session;
	const char *id_column;
	char table[NAME_BYTES];
	struct buf chunk, ranges;
};

/* --- tables --- */

#define IDS "pg_temp.archive_ids"
#define FOUND "pg_temp.archive_found"
#define COVERED "pg_temp.archive_covered"
#define DROP_SQL "DROP TABLE IF EXISTS " IDS ", " FOUND ", " COVERED

/* It goes into statements as it is. */
static bool is_table(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return len > 0 && len < NAME_BYTES && name[len] == '\0';
}

enum err_kind archive_rows_new(struct archive_rows **ret, struct session *session, const char *kind,
			       const char *table, struct err *err)
{
	static const char sql[] =
		DROP_SQL "; CREATE TEMPORARY TABLE archive_ids (id uuid NOT NULL); "
			 "CREATE TEMPORARY TABLE archive_covered (stream uuid, epoch numeric, "
			 "first_seq numeric, last_seq numeric)";
	struct archive_rows *r;
	enum err_kind rc;

	if (!is_table(table))
		return err_set(err, ERR_REJECT, "a table has a name that is none of flytrail's");
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, ERR_FATAL, "out of memory for an archive's ids");
	r->session = session;
	r->id_column = strcmp(kind, "log_lines") == 0 ? "id" : "event_id";
	(void)snprintf(r->table, sizeof(r->table), "%s", table);
	buf_init(&r->chunk, COPY_CHUNK_BYTES);
	buf_init(&r->ranges, RANGES_BYTES_MAX);
	rc = session_run(session, sql, err);
	if (rc)
		archive_rows_free(r);
	else
		*ret = r;
	return rc;
}

void archive_rows_free(struct archive_rows *r)
{
	struct err aside;

	if (!r)
		return;
	/* Where that fails they go with the session. */
	(void)!session_run(r->session, DROP_SQL, &aside);
	buf_release(&r->chunk);
	buf_release(&r->ranges);
	free(r);
}

/* --- what is covered --- */

/* A JSON array of the ranges, as $1 of the statements. */
static enum err_kind write_ranges(struct archive_rows *r, const struct archive_rows_range *ranges,
				  size_t count, struct err *err)
{
	char uuid[ID_TEXT_BYTES];

	REQUIRE(count <= ARCHIVE_ROWS_RANGES_MAX);
	buf_reset(&r->ranges);
	buf_str(&r->ranges, "[");
	for (size_t i = 0; i < count; i++)
		buf_fmt(&r->ranges, "%s[\"%s\",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "]",
			i > 0 ? "," : "", id_format(&ranges[i].stream, uuid), ranges[i].epoch,
			ranges[i].first_seq, ranges[i].last_seq);
	buf_str(&r->ranges, "]");
	buf_u8(&r->ranges, '\0');
	return buf_check(&r->ranges, err);
}

static enum err_kind ask(struct archive_rows *r, const char *sql,
			 const struct archive_rows_range *ranges, size_t count, PGresult **ret,
			 struct err *err)
{
	const char *values[1];
	enum err_kind rc = write_ranges(r, ranges, count, err);

	if (rc)
		return rc;
	values[0] = (const char *)r->ranges.data;
	return session_ask(r->session, sql, values, ARRAY_LEN(values), ret, err);
}

enum err_kind archive_rows_cover(struct archive_rows *r, const struct archive_rows_range *range,
				 struct err *err)
{
	static const char sql[] =
		"INSERT INTO " COVERED " SELECT (o ->> 0)::uuid, (o ->> 1)::numeric, "
		"(o ->> 2)::numeric, (o ->> 3)::numeric FROM jsonb_array_elements($1::jsonb) AS o";
	PGresult *result;
	enum err_kind rc = ask(r, sql, range, 1, &result, err);

	if (!rc)
		PQclear(result);
	return rc;
}

enum err_kind archive_rows_uncovered(struct archive_rows *r,
				     const struct archive_rows_range *ranges, size_t count,
				     bool *ret, struct err *err)
{
	static const char sql[] =
		"SELECT EXISTS (SELECT FROM " COVERED " c WHERE c.stream = (o ->> 0)::uuid "
		"AND c.epoch = (o ->> 1)::numeric AND c.first_seq <= (o ->> 2)::numeric "
		"AND c.last_seq >= (o ->> 3)::numeric) "
		"FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS t (o, n) ORDER BY n";
	PGresult *result;
	enum err_kind rc = ask(r, sql, ranges, count, &result, err);

	if (rc)
		return rc;
	REQUIRE((size_t)PQntuples(result) == count);
	for (size_t i = 0; i < count; i++)
		ret[i] = strcmp(PQgetvalue(result, (int)i, 0), "f") == 0;
	PQclear(result);
	return ERR_NONE;
}

/* --- ids --- */

enum err_kind archive_rows_begin(struct archive_rows *r, struct err *err)
{
	buf_reset(&r->chunk);
	copy_put_header(&r->chunk);
	return session_copy_begin(r->session, "COPY " IDS " (id) FROM STDIN (FORMAT binary)", err);
}

static enum err_kind send(struct archive_rows *r, struct err *err)
{
	enum err_kind rc = buf_check(&r->chunk, err);

	if (!rc)
		rc = session_copy_put(r->session, r->chunk.data, r->chunk.len, err);
	buf_reset(&r->chunk);
	return rc;
}

enum err_kind archive_rows_put(struct archive_rows *r, const struct id *id, struct err *err)
{
	uint8_t row[ROW_BYTES];

	put_u16_be(row, 1);
	put_u32_be(row + 2, ID_BYTES);
	memcpy(row + 2 + 4, id->bytes, ID_BYTES);
	buf_add(&r->chunk, row, sizeof(row));
	return r->chunk.len + ROW_BYTES + COPY_TRAILER_BYTES > COPY_CHUNK_BYTES ? send(r, err)
										: ERR_NONE;
}

enum err_kind archive_rows_end(struct archive_rows *r, struct err *err)
{
	uint64_t rows;
	enum err_kind rc;

	copy_put_trailer(&r->chunk);
	rc = send(r, err);
	if (!rc)
		rc = session_copy_done(r->session, err);
	return rc ? rc : session_copy_end(r->session, &rows, err);
}

enum err_kind archive_rows_drop(struct archive_rows *r, struct err *err)
{
	return session_copy_abort(r->session, err);
}

/* --- the comparison --- */

static uint64_t number(const PGresult *rows, int column)
{
	return strtoull(PQgetvalue(rows, 0, column), NULL, 10);
}

static enum err_kind count(struct archive_rows *r, struct archive_rows_result *ret, struct err *err)
{
	char sql[SQL_BYTES];
	PGresult *rows;
	enum err_kind rc;

	(void)snprintf(sql, sizeof(sql),
		       "DROP TABLE IF EXISTS " FOUND "; ANALYZE " IDS "; "
		       "CREATE TEMPORARY TABLE archive_found AS SELECT r.%s AS id "
		       "FROM flytrail.%s r WHERE r.seq > 0 "
		       "AND EXISTS (SELECT FROM " IDS " a WHERE a.id = r.%s)",
		       r->id_column, r->table, r->id_column);
	rc = session_run(r->session, sql, err);
	(void)snprintf(sql, sizeof(sql),
		       "SELECT (SELECT count(*) FROM flytrail.%s WHERE seq > 0), "
		       "(SELECT count(*) FROM " FOUND ")",
		       r->table);
	if (!rc)
		rc = session_ask(r->session, sql, NULL, 0, &rows, err);
	if (rc)
		return rc;
	ret->rows = number(rows, 0);
	ret->missing = ret->rows - number(rows, 1);
	PQclear(rows);
	return ERR_NONE;
}

/* Those of no spool, which may be there and need not. */
static enum err_kind count_apart(struct archive_rows *r, struct archive_rows_result *ret,
				 struct err *err)
{
	char sql[SQL_BYTES];
	PGresult *rows;
	enum err_kind rc;

	(void)snprintf(sql, sizeof(sql),
		       "SELECT (SELECT count(*) FROM flytrail.%s WHERE seq <= 0), "
		       "(SELECT count(*) FROM flytrail.%s r WHERE r.seq <= 0 "
		       "AND EXISTS (SELECT FROM " IDS " a WHERE a.id = r.%s))",
		       r->table, r->table, r->id_column);
	rc = session_ask(r->session, sql, NULL, 0, &rows, err);
	if (rc)
		return rc;
	ret->apart = number(rows, 0);
	ret->apart_found = number(rows, 1);
	PQclear(rows);
	return ERR_NONE;
}

enum err_kind archive_rows_compare(struct archive_rows *r, struct archive_rows_result *ret,
				   struct err *err)
{
	PGresult *rows;
	enum err_kind rc = count(r, ret, err);

	ret->digest[0] = '\0';
	if (!rc)
		rc = count_apart(r, ret, err);
	if (rc || ret->missing > 0)
		return rc;
	rc = session_ask(r->session, "SELECT flytrail.digest_of_ids('" FOUND "')", NULL, 0, &rows,
			 err);
	if (rc)
		return rc;
	(void)snprintf(ret->digest, sizeof(ret->digest), "%s", PQgetvalue(rows, 0, 0));
	PQclear(rows);
	return ERR_NONE;
}

/* "2026-11-26" */
static bool read_day(const char *date, int64_t *ret)
{
	char text[TIME_TEXT_BYTES];
	unsigned digits;

	(void)snprintf(text, sizeof(text), "%.10sT00:00:00Z", date);
	return time_parse(span_text(text), false, ret, &digits);
}

enum err_kind archive_rows_days(struct archive_rows *r, int64_t from_ns, int64_t until_ns,
				int64_t ret[ARCHIVE_ROWS_DAYS_MAX], size_t *ret_count,
				struct err *err)
{
	char sql[SQL_BYTES], from[TIME_TEXT_BYTES], until[TIME_TEXT_BYTES];
	const char *const values[] = {from, until};
	PGresult *rows;
	enum err_kind rc;

	(void)time_format(from_ns, from);
	(void)time_format(until_ns, until);
	from[DATE_BYTES - 1] = until[DATE_BYTES - 1] = '\0';
	(void)snprintf(
		sql, sizeof(sql),
		"SELECT DISTINCT d.day COLLATE \"C\" FROM flytrail.%s r, "
		"LATERAL (VALUES (to_char(r.observed_at, 'YYYY-MM-DD')), "
		"(left(r.attributes ->> 'claimed_time', 10))) AS d (day) "
		"WHERE r.seq > 0 AND d.day ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' "
		"AND NOT (d.day >= $1::text COLLATE \"C\" AND d.day < $2::text COLLATE \"C\") "
		"AND NOT EXISTS (SELECT FROM " IDS " a WHERE a.id = r.%s) "
		"ORDER BY 1 LIMIT %d",
		r->table, r->id_column, ARCHIVE_ROWS_DAYS_MAX);
	rc = session_ask(r->session, sql, values, ARRAY_LEN(values), &rows, err);
	if (rc)
		return rc;
	*ret_count = 0;
	for (int i = 0; i < PQntuples(rows); i++)
		if (read_day(PQgetvalue(rows, i, 0), &ret[*ret_count]))
			++*ret_count;
	PQclear(rows);
	return ERR_NONE;
}
