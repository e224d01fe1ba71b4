#ifndef STORE_TERMS_H
#define STORE_TERMS_H

/*
 * terms: for how long Postgres keeps each kind of rows, and what partitions that comes to, for
 * `flytrail doctor`.
 *
 * Reads only; changes nothing. Its schema has to be TERMS_SCHEMA at least.
 *
 * A query over the trail locks each partition that its times do not exclude, and each of their
 * indexes; the server's lock table has room for as many as max_locks_per_transaction for each of
 * max_connections and max_prepared_transactions (the manual of PostgreSQL, 20.12).
 *
 * Threads: one.
 * Limits:  every wait on the server ends after TERMS_WAIT_SECONDS; of names, TERMS_NAMES_MAX.
 * Errors:  the session's (store/session.h).
 */

#include "store/limits.h"

enum {
	TERMS_SCHEMA = 14,
	TERMS_WAIT_SECONDS = 5,
	TERMS_NAMES_MAX = 5,
	TERMS_NAMES_BYTES = TERMS_NAMES_MAX * 66, /* of 63 each, and what stands between them */
};

/* Tables that are partitions no more, or not now. */
struct terms_tables {
	uint64_t count;
	char names[TERMS_NAMES_BYTES]; /* the first ones */
};

struct terms {
	struct terms_kind {
		int64_t for_days;     /* 0: for ever */
		int64_t at_most_days; /* 0: there is no upper limit */
	} kinds[LIMITS_KINDS];
	uint64_t partitions;
	uint64_t locks;    /* of a query over all of them: tables and indexes */
	uint64_t lock_max; /* the room of the server's lock table */
	struct terms_tables leftovers, strays;
	char clock[ERR_TEXT_BYTES]; /* why nothing goes: Postgres' clock; "": it is right */
	uint64_t waiting; /* partitions that stay though past their terms, as the plan has it */
	char waits[ERR_TEXT_BYTES]; /* the oldest of these, and why */
};

NODISCARD enum err_kind terms_ask(struct terms *ret, const char *url, struct err *err);

#endif
