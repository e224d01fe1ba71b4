#ifndef STORE_SESSION_H
#define STORE_SESSION_H

/*
 * session: one connection to Postgres on which no wait is for ever.
 *
 * libpq has no read deadline, so it is used without blocking, and every wait
 * is a poll() that ends answer_seconds after the call began. DNS is the
 * exception: libpq looks names up while it blocks, for as long as the
 * resolver's own limits.
 *
 * Ownership: session_open() makes it, session_close() ends it; results are the
 *            caller's to PQclear().
 * Threads:   one.
 * Errors:    by the table in store/sqlstate.c; ERR_RETRY also when the server
 *            is away or silent. After ERR_RETRY the connection is of no use:
 *            close it. The text has the server's words, unless they could
 *            quote a row, and never a password. Where the way to the server may
 *            be wrong, it names the variable; where the schema may be, the
 *            command that mends it.
 */

#include "base/err.h"

#include <libpq-fe.h>

struct session;

struct session_options {
	const char *url;
	const char *url_name; /* the variable it came from, for people; a constant */
	int connect_seconds;  /* for each host of the URL */
	int answer_seconds;
	bool has_no_rows; /* no record passes, so that the server's words can quote none */
};

NODISCARD enum err_kind session_open(struct session **ret, const struct session_options *options,
				     struct err *err);
void session_close(struct session *s); /* NULL is fine */

/* Runs one or more statements and drops what they answer. */
NODISCARD enum err_kind session_run(struct session *s, const char *sql, struct err *err);

/* Runs one statement with text parameters; *ret is its result, which is a good one. ret NULL: it is
 * dropped. */
NODISCARD enum err_kind session_ask(struct session *s, const char *sql, const char *const *values,
				    int count, PGresult **ret, struct err *err);

/*
 * Binary COPY: begin with statements of which the last is the COPY, put bytes, end.
 * A row that the server refuses is known at the end. *ret_rows: those it took.
 */
NODISCARD enum err_kind session_copy_begin(struct session *s, const char *sql, struct err *err);
NODISCARD enum err_kind session_copy_put(struct session *s, const void *bytes, size_t len,
					 struct err *err);
/* Instead of the rest: nothing of the COPY stands, and a ROLLBACK is to follow. */
NODISCARD enum err_kind session_copy_abort(struct session *s, struct err *err);
NODISCARD enum err_kind session_copy_done(struct session *s, struct err *err); /* nothing follows */
NODISCARD enum err_kind session_copy_end(struct session *s, uint64_t *ret_rows, struct err *err);

/* Of the newest failure: its SQLSTATE, and whether it is one that the store has a way around. */
const char *session_state(const struct session *s); /* "" when the server gave none */
bool session_lacks_partition(const struct session *s);

#endif
