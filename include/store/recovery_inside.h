#ifndef STORE_RECOVERY_INSIDE_H
#define STORE_RECOVERY_INSIDE_H

/* What the two files behind store/recovery.h share; nobody else includes it. */

#include "base/buf.h"
#include "store/lease.h"
#include "store/recovery.h"
#include "store/session.h"

enum { RECOVERY_NUMBER_BYTES = 24 };

struct recovery {
	struct session *session;
	char holder[LEASE_TEXT_BYTES];
	struct buf times, ids, differs; /* arrays, as text */
};

/* Microseconds as Postgres told them; null is RECOVERY_NO_TIME. */
int64_t recovery_time_at(const PGresult *rows, int row, int column);
struct span recovery_text_at(const PGresult *rows, int row, int column);
void recovery_copy_at(const PGresult *rows, int row, int column, char *ret, size_t bytes);

#endif
