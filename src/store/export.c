#include "store/export.h"

#include "base/base64.h"
#include "base/time.h"
#include "store/event_row.h"
#include "store/migrate.h"
#include "store/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_BYTES = 24, SQL_BYTES = 64, RAW_BYTES = 2 * RECORD_TEXT_BYTES_MAX };

struct export
{
	struct session *session;
	PGresult *rows; /* what was fetched last; NULL: nothing yet */
	int at;         /* of these, the next */
	bool has_begun; /* something was fetched */
	bool is_last;   /* the server has no more */
	struct record record;
	struct buf payload, raw, rule;
};

/* What a row takes in memory is what these take; the rest is small. */
#define BYTES(table)                                      \
	"coalesce(octet_length(" table ".message), 0) + " \
	"coalesce(octet_length(" table ".attributes::text), 0)"

#define OF_RANGE                                                                       \
	" WHERE stream = $1::uuid AND seq BETWEEN $2::bigint AND $3::bigint"           \
	" AND occurred_at >= coalesce(nullif($4::text, '')::timestamptz, '-infinity')" \
	" AND occurred_at < coalesce(nullif($5::text, '')::timestamptz, 'infinity')"

/* What the rows after this one take, of which the next FETCH may give as many as EXPORT_ROWS. */
#define ORDER_KEYS "coalesce(l.seq, e.seq), l.id IS NULL, e.occurred_at, e.event_id"
#define NEXT_BYTES                                                                     \
	"coalesce(sum(" BYTES("l") " + coalesce(octet_length(l.raw), 0) * 2 + " BYTES( \
		"e") ") OVER (ORDER BY " ORDER_KEYS                                    \
		     " ROWS BETWEEN 1 FOLLOWING AND 256 FOLLOWING), 0)"
_Static_assert(EXPORT_ROWS == 256, "NEXT_BYTES looks as far as a FETCH goes");

enum column {
#define COLUMN(name, sql) AT_##name,
#include "store/export_columns.def"
#include "store/event_columns.def"
#undef COLUMN
};

/* A line has these itself. */
#define EVENT_TEXT(column) "CASE WHEN l.id IS NULL THEN e." column " END"

/* All of one moment: a line and its event are stored together, and may go apart. */
static const char BEGIN_SQL[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
static const char DECLARE_SQL[] =
	"DECLARE exported NO SCROLL CURSOR FOR SELECT "
#define COLUMN(name, sql) sql ", "
#include "store/export_columns.def"
#include "store/event_columns.def"
#undef COLUMN
	"NULL FROM (SELECT * FROM flytrail.log_lines" OF_RANGE ") AS l "
	"FULL JOIN (SELECT * FROM flytrail.events" OF_RANGE ") AS e "
	"ON e.event_id = l.id AND e.occurred_at = l.occurred_at AND e.seq = l.seq "
	"ORDER BY " ORDER_KEYS;

/* --- open --- */

static const char *number_text(uint64_t n, char text[NUMBER_BYTES])
{
	(void)snprintf(text, NUMBER_BYTES, "%" PRIu64, n);
	return text;
}

/* Such a stream there is, and it is stored so far. */
static enum err_kind check_range(struct export *e, const struct export_range *range,
				 struct err *err)
{
	char stream[ID_TEXT_BYTES];
	const char *const values[] = {id_format(&range->stream.uuid, stream)};
	uint64_t epoch, cursor;
	PGresult *row;
	enum err_kind rc = session_ask(
		e->session, "SELECT epoch, cursor_seq FROM flytrail.streams WHERE stream = $1",
		values, ARRAY_LEN(values), &row, err);

	if (rc)
		return rc;
	if (PQntuples(row) == 0) {
		PQclear(row);
		return err_set(err, ERR_CONFIG, "Postgres knows no stream %s", stream);
	}
	epoch = strtoull(PQgetvalue(row, 0, 0), NULL, 10);
	cursor = strtoull(PQgetvalue(row, 0, 1), NULL, 10);
	PQclear(row);
	if (epoch != range->stream.epoch)
		return err_set(err, ERR_CONFIG,
			       "stream %s has epoch %" PRIu64 " in Postgres, and not %" PRIu64,
			       stream, epoch, range->stream.epoch);
	if (cursor < range->last_seq)
		return err_set(err, ERR_CONFIG,
			       "of stream %s Postgres has what is numbered up to %" PRIu64
			       ", and not up to %" PRIu64,
			       stream, cursor, range->last_seq);
	return ERR_NONE;
}

static enum err_kind declare(struct export *e, const struct export_range *range, struct err *err)
{
	char stream[ID_TEXT_BYTES], first[NUMBER_BYTES], last[NUMBER_BYTES];
	const char *const values[] = {
		id_format(&range->stream.uuid, stream), number_text(range->first_seq, first),
		number_text(range->last_seq, last), range->since, range->until};
	PGresult *ignored;
	enum err_kind rc = session_run(e->session, BEGIN_SQL, err);

	if (!rc)
		rc = check_range(e, range, err);
	if (!rc)
		rc = session_ask(e->session, DECLARE_SQL, values, ARRAY_LEN(values), &ignored, err);
	if (!rc)
		PQclear(ignored);
	return rc;
}

enum err_kind export_open(struct export **ret, const char *url, const struct export_range *range,
			  struct err *err)
{
	const struct session_options options = {
		.url = url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = EXPORT_CONNECT_SECONDS,
		.answer_seconds = EXPORT_ANSWER_SECONDS,
	};
	struct export *e = calloc(1, sizeof(*e));
	enum err_kind rc;

	if (!e)
		return err_set(err, ERR_FATAL, "out of memory to read from Postgres");
	buf_init(&e->payload, RECORD_PAYLOAD_BYTES_MAX);
	buf_init(&e->raw, RAW_BYTES);
	buf_init(&e->rule, RECORD_FIELD_BYTES_MAX);
	rc = session_open(&e->session, &options, err);
	if (!rc)
		rc = migrate_check_database(e->session, err);
	if (!rc)
		rc = declare(e, range, err);
	if (rc)
		export_close(e);
	else
		*ret = e;
	return rc;
}

void export_close(struct export *e)
{
	if (!e)
		return;
	PQclear(e->rows);
	session_close(e->session);
	buf_release(&e->payload);
	buf_release(&e->raw);
	buf_release(&e->rule);
	free(e);
}

/* --- columns --- */

static bool is_null(const struct export *e, enum column column)
{
	return PQgetisnull(e->rows, e->at, (int)column) != 0;
}

/* Empty where there is none. */
static struct span text_at(const struct export *e, enum column column)
{
	return span_of(PQgetvalue(e->rows, e->at, (int)column),
		       (size_t)PQgetlength(e->rows, e->at, (int)column));
}

static int64_t number_at(const struct export *e, enum column column)
{
	return strtoll(PQgetvalue(e->rows, e->at, (int)column), NULL, 10);
}

static int64_t time_at(const struct export *e, enum column column)
{
	return number_at(e, column) * NS_PER_US;
}

static enum err_kind unknown(const struct export *e, struct err *err)
{
	return err_set(err, ERR_CONFIG,
		       "the row numbered %" PRId64 " has a word that this flytrail does not know: "
		       "a newer one wrote it",
		       number_at(e, AT_seq));
}

/* --- a row --- */

/* What classification found in a line, as its event has it. */
static enum err_kind read_finding(struct export *e, struct record *r, struct err *err)
{
	struct event event;

	if (is_null(e, AT_event_id)) {
		r->finding = (struct finding){
			.rule = "",
			.trust = TRUST_GUEST,
			.actor_reason = SPAN("what was found in this line is not stored any more"),
		};
		return ERR_NONE;
	}
	if (!event_row_read(e->rows, e->at, AT_event_id, &event))
		return unknown(e, err);
	buf_reset(&e->rule);
	buf_span(&e->rule, event.rule);
	buf_u8(&e->rule, '\0');
	r->foreign_time = event.time_basis == TIME_OBSERVED;
	r->finding = (struct finding){
		.rule = e->rule.failed ? "" : (const char *)e->rule.data,
		.trust = event.trust,
		.severity = event.severity,
		.actor_type = event.actor_type,
		.actor = event.actor,
		.actor_reason = event.actor_reason,
		.target_type = event.target_type,
		.target = event.target,
		.outcome = event.outcome,
		.correlation_id = event.correlation_id,
		.summary = event.summary,
	};
	return buf_check(&e->rule, err);
}

/* data NULL: there is none. */
static enum err_kind read_raw(struct export *e, struct span *ret, struct err *err)
{
	*ret = (struct span){NULL, 0};
	if (is_null(e, AT_raw))
		return ERR_NONE;
	buf_reset(&e->raw);
	buf_u8(&e->raw, 0); /* so that nothing at all has a place, too */
	if (!base64_read(&e->raw, text_at(e, AT_raw)))
		return err_set(err, ERR_RETRY, "Postgres gives bytes that are no base64");
	*ret = span_of(e->raw.data + 1, e->raw.len - 1);
	return buf_check(&e->raw, err);
}

static enum err_kind read_line(struct export *e, struct err *err)
{
	struct record *r = &e->record;
	enum err_kind rc = ERR_NONE;

	if (!event_row_class(text_at(e, AT_class), &r->class) ||
	    !event_row_action(text_at(e, AT_action), &r->action) ||
	    !event_row_source(text_at(e, AT_source), &r->source) ||
	    !id_parse(text_at(e, AT_id), &r->id))
		return unknown(e, err);
	r->occurred_ns = time_at(e, AT_occurred_us) + number_at(e, AT_occurred_ns);
	r->observed_ns = time_at(e, AT_observed_us);
	r->foreign_time = false;
	r->org = text_at(e, AT_org);
	r->app = text_at(e, AT_app);
	r->region = text_at(e, AT_region);
	r->machine_id = text_at(e, AT_machine_id);
	r->host = text_at(e, AT_host);
	r->provider = text_at(e, AT_provider);
	r->level = text_at(e, AT_level);
	r->message = text_at(e, AT_message);
	r->attributes = event_row_attributes(e->rows, e->at, AT_attributes);
	rc = read_raw(e, &r->raw, err);
	if (!rc && r->class != CLASS_app_log)
		rc = read_finding(e, r, err);
	if (!rc)
		record_encode_again(r, &e->payload);
	return rc;
}

static enum err_kind read_event(struct export *e, struct err *err)
{
	struct event event;

	if (!event_row_read(e->rows, e->at, AT_event_id, &event))
		return unknown(e, err);
	event_encode(&event, &e->payload);
	return ERR_NONE;
}

/* --- next --- */

static enum err_kind fetch(struct export *e, struct err *err)
{
	bool is_large = false;
	char sql[SQL_BYTES];
	enum err_kind rc;

	if (e->rows && PQntuples(e->rows) > 0) {
		e->at = PQntuples(e->rows) - 1;
		is_large = number_at(e, AT_next_bytes) > EXPORT_BYTES_MAX;
	}
	PQclear(e->rows);
	e->rows = NULL;
	e->at = 0;
	/* Of the first rows nothing is known yet. */
	(void)snprintf(sql, sizeof(sql), "FETCH %d FROM exported",
		       is_large || !e->has_begun ? 1 : EXPORT_ROWS);
	e->has_begun = true;
	rc = session_ask(e->session, sql, NULL, 0, &e->rows, err);
	if (!rc)
		e->is_last = PQntuples(e->rows) == 0;
	return rc;
}

enum err_kind export_next(struct export *e, struct export_record *ret, bool *ret_found,
			  struct err *err)
{
	enum err_kind rc = ERR_NONE;

	*ret_found = false;
	if (!e->is_last && (!e->rows || e->at == PQntuples(e->rows)))
		rc = fetch(e, err);
	if (rc || e->is_last)
		return rc;
	buf_reset(&e->payload);
	rc = is_null(e, AT_id) ? read_event(e, err) : read_line(e, err);
	if (!rc)
		rc = buf_check(&e->payload, err);
	if (rc)
		return rc;
	ret->seq = (uint64_t)number_at(e, AT_seq);
	ret->payload = span_of(e->payload.data, e->payload.len);
	*ret_found = true;
	e->at++;
	return ERR_NONE;
}
