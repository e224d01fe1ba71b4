#ifndef STORE_SQLSTATE_H
#define STORE_SQLSTATE_H

/*
 * sqlstate: what Postgres' five-letter codes mean to the store: one table, in sqlstate.c.
 *
 * Threads: pure functions over constants.
 */

#include "base/err.h"

/* What the caller does next. A code that no row of the table knows may work later. */
enum err_kind sqlstate_kind(const char *state);

/*
 * No row of the table: XX000, or what somebody's trigger raises (P0001). It may be about the
 * record or about everything; run/refusal.h finds out.
 */
bool sqlstate_is_unknown(const char *state);

/* One that flytrail's own functions raise (FT001 and on): their words are a sentence by themselves.
 */
bool sqlstate_is_own(const char *state);

/* A row with this key is there already: the batch goes through the staging tables. */
bool sqlstate_is_duplicate(const char *state);

/* No partition takes the row; a CHECK that refuses it has the same code, and a name. */
bool sqlstate_is_no_partition(const char *state, const char *constraint_name);

/* No such table, column or schema: none of what `flytrail migrate` makes, or not all of it. */
bool sqlstate_lacks_schema(const char *state);

/* The server's words may quote the row, so that they are not to be passed on. */
bool sqlstate_quotes_data(const char *state);

#endif
