#ifndef STORE_ROWS_H
#define STORE_ROWS_H

/*
 * rows: how the rows of a plan (store/copy.h) get to Postgres: by binary COPY, into the
 * tables or into staging ones, and from there with ON CONFLICT DO NOTHING.
 *
 *	rows_send(), rows_end()     one table's rows; Postgres works between the two
 *	rows_merge()                from a staging table to the trail
 *	rows_make_partitions()      for the days of the rows; no part of a transaction
 *
 * Ownership: nothing is kept.
 * Threads:   as the session.
 * Limits:    those of the plan.
 * Errors:    the session's; ERR_REJECT for a payload that is none, after which the
 *            connection is good and a ROLLBACK is to follow.
 */

#include "store/copy.h"
#include "store/session.h"

/* One table's share of a plan. */
struct rows_part {
	const char *table; /* as the COPY names it */
	const char *columns;
	const struct copy_key *keys;
	size_t count;
	enum err_kind (*put)(const struct copy_context *c, const struct copy_key *key,
			     struct buf *out, struct err *err);
};

struct rows_part rows_lines(const char *table, const struct copy_plan *plan);
struct rows_part rows_events(const char *table, const struct copy_plan *plan);

/* A buffer that rows_send() can use. */
void rows_init_chunk(struct buf *chunk);

/* part has rows. `before` is statements that go with the COPY, each with its semicolon. */
NODISCARD enum err_kind rows_send(struct session *s, struct buf *chunk, const char *before,
				  const struct copy_context *context, const struct rows_part *part,
				  struct err *err);
NODISCARD enum err_kind rows_end(struct session *s, const struct rows_part *part, struct err *err);

/* part->table is the staging one, target a table of the schema flytrail, which is written in the
 * order of `order`. *ret_rows: those that were not there yet. */
struct rows_target {
	const char *table, *order;
};
extern const struct rows_target rows_target_lines, rows_target_events;

NODISCARD enum err_kind rows_merge(struct session *s, const struct rows_part *part,
				   const struct rows_target *target, uint64_t *ret_rows,
				   struct err *err);

NODISCARD enum err_kind rows_make_partitions(struct session *s, const struct copy_plan *plan,
					     struct err *err);

#endif
