#ifndef STORE_INSPECT_H
#define STORE_INSPECT_H

/*
 * inspect: looks at a Postgres and at what its role may do, for `flytrail doctor`.
 *
 * Reads catalogues only; changes nothing.
 *
 * Threads: one.
 * Limits:  every wait on the server ends after INSPECT_WAIT_SECONDS.
 * Errors:  the session's (store/session.h); a server that takes no writes is one.
 */

#include "spool/spool.h"

enum { INSPECT_WAIT_SECONDS = 5, INSPECT_NAME_BYTES = 64 };

struct inspection {
	int server_version; /* 150006 */
	char role[INSPECT_NAME_BYTES];

	int schema_version; /* 0: no schema `flytrail` that the role may see */
	bool is_hidden;     /* there is one, and the role may not even read its version */
	int oldest_binary;  /* a binary that knows a smaller schema may not use this one */
	bool can_add;       /* INSERT on what `run` writes, and it may move its cursor */

	/* what the writer does not need */
	bool superuser, create_role, create_db, bypass_rls, replication;
	bool owns_tables;      /* itself, or as a member of the owner */
	int tables_changeable; /* tables and partitions of the trail that it may UPDATE, DELETE,
				  TRUNCATE */

	uint64_t id_mismatches; /* of a week: lines that Fly's second copy has with another text */

	bool has_stream; /* Postgres knows the spool that was asked about */
	uint64_t stream_epoch, stream_cursor;

	int64_t clock_ahead_ns; /* the server's clock minus ours; exact to round_trip_ns */
	int64_t round_trip_ns;
};

/* stream may be NULL: none is asked about. */
NODISCARD enum err_kind store_inspect(struct inspection *ret, const char *url,
				      const struct spool_stream *stream, struct err *err);

int store_library_version(void); /* of libpq: 150006 is 15.6 */

#endif
