#ifndef STORE_MIGRATE_H
#define STORE_MIGRATE_H

/*
 * migrate: brings a database to this binary's schema.
 *
 * The files of sql/ are built into the binary. Migrations are numbered and
 * forward-only. Each runs in a transaction of its own under
 * pg_advisory_xact_lock, and records itself with the oldest binary that can
 * live with it. roles.sql runs before them and rights.sql after them, every
 * time: roles may be named anew. watch.sql ends it: how the schema is then is
 * what later looks compare with. A database that is newer than this binary is
 * left as it is.
 *
 * Threads: one.
 * Errors:  ERR_CONFIG with the server's own words, ERR_RETRY when it is away.
 */

#include "base/err.h"

/* The number of the newest migration this binary knows. */
int migrate_newest(void);

/*
 * Whether this binary can live with a database whose newest migration is
 * `version` and which asks for a binary that knows `oldest` at least.
 * ERR_CONFIG says who is to be made newer.
 */
NODISCARD enum err_kind migrate_check(int version, int oldest, struct err *err);

/* Likewise of the database that a session is with. ERR_CONFIG also: it has no schema flytrail. */
struct session;
NODISCARD enum err_kind migrate_check_database(struct session *s, struct err *err);

struct migrate_options {
	const char *url; /* the admin's */
	/* Roles: made where they do not exist and the server allows it. */
	const char *owner_role, *writer_role, *reader_role, *line_reader_role;
	/* Called before each migration that is applied; NULL: silent. */
	void (*progress)(int number, const char *name);
};

struct migrate_result {
	int version; /* of the database now; larger than migrate_newest(): nothing was done */
	int applied;
};

NODISCARD enum err_kind migrate(const struct migrate_options *options, struct migrate_result *ret,
				struct err *err);

#endif
