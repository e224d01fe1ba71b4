#ifndef STORE_EVENT_ROW_H
#define STORE_EVENT_ROW_H

/*
 * event_row: a row of flytrail.events as the event that it was made of, but for what the columns
 * do not have: nanoseconds, and the order and the blanks of attributes, which jsonb keeps as it
 * likes.
 *
 * Ownership: spans point into the result, of which the attributes are rewritten in place. So a row
 *            is read once, and lives as long as the result does.
 * Threads:   none shared.
 */

#include "base/buf.h"
#include "model/event.h"

#include <libpq-fe.h>

/*
 * Microseconds since 1970. A time that no int64_t has in nanoseconds, as infinity, is the nearest
 * that it has: the writer's password can insert one, and a row that cannot be read would stop
 * all that read it for good.
 */
#define EVENT_ROW_US(column)                                              \
	"(extract(epoch FROM CASE WHEN " column " > '2262-01-01 00:00Z' " \
	"THEN '2262-01-01 00:00Z' WHEN " column " < '1678-01-01 00:00Z' " \
	"THEN '1678-01-01 00:00Z' ELSE " column " END) * 1000000)::bigint"

enum event_column {
#define COLUMN(name, sql) EVENT_ROW_##name,
#include "store/event_columns.def"
#undef COLUMN
	EVENT_ROW_COLUMNS
};

/*
 * first: of the result's columns, the first of those that event_columns.def has. False: the row has
 * a word that this flytrail does not know, as a newer one may have written it.
 */
NODISCARD bool event_row_read(const PGresult *rows, int row, int first, struct event *ret);

/* Words of columns that lines have, too. False: likewise. */
NODISCARD bool event_row_class(struct span word, enum line_class *ret);
NODISCARD bool event_row_action(struct span word, enum action *ret);
NODISCARD bool event_row_source(struct span word, enum record_source *ret);

/*
 * Appends the words that event_row_read() knows, but for actions, as Postgres reads an array of
 * texts: "trust.self" and so on, which EVENT_ROW_KNOWS() looks for, with their parameter's name.
 */
void event_row_words(struct buf *out);

#define EVENT_ROW_KNOWS(words)                                                                   \
	"('class.' || e.class = ANY (" words "::text[]) AND 'source.' || e.source = ANY (" words \
	"::text[]) AND 'actor_type.' || e.actor_type = ANY (" words                              \
	"::text[]) AND 'trust.' || e.trust = ANY (" words                                        \
	"::text[]) AND 'time_basis.' || e.time_basis = ANY (" words "::text[]))"

/* A JSON object of jsonb's, which has a blank behind each colon and comma outside of texts, as
 * flytrail writes it: without them. */
struct span event_row_attributes(const PGresult *rows, int row, int column);

#endif
