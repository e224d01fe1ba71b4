#ifndef RUN_ACCOUNT_H
#define RUN_ACCOUNT_H

/*
 * account: the store's consumer's books in struct status, which has their sums.
 *
 * Threads: the consumer's; others read.
 */

#include "run/status.h"
#include "store/postgres.h"

/* Postgres says that it has all up to cursor; opened_seq: see struct spool_stats. */
void account_connected(struct status *s, uint64_t opened_seq, uint64_t cursor);

/* A write moved the cursor. */
void account_cursor(struct status *s, uint64_t cursor);

/* ... and what became of it, after took_ns. */
void account_written(struct status *s, const struct store_result *result, int64_t took_ns);

/* When the oldest record that is not stored was observed; 0: all is stored. */
void account_oldest(struct status *s, int64_t observed_ns);

#endif
