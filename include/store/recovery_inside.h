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

/* Of flytrail.events w: an hour or minute that was compared with Fly's second copy. */
#define RECOVERY_IS_WINDOW                                     \
	"w.retention_class = 'security' AND w.class = 'trail'" \
	" AND w.action = 'trail.window_checked'"

/* Of a statement whose answer is one truth value. */
NODISCARD enum err_kind recovery_ask_bool(struct recovery *r, const char *sql,
					  const char *const *values, int count, bool *ret,
					  struct err *err);

struct span recovery_text_at(const PGresult *rows, int row, int column);
void recovery_copy_at(const PGresult *rows, int row, int column, char *ret, size_t bytes);

#endif
