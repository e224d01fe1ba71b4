#ifndef STORE_RETENTION_H
#define STORE_RETENTION_H

/*
 * retention: what the functions of sql/0013_retention.sql are asked: for how long rows are kept,
 * what a policy would do, holds, and the way that a partition goes.
 *
 *	retention_open(), retention_lock(), retention_plan(),
 *	then for each partition that goes: retention_detach(), retention_digest(),
 *	retention_drop(), or retention_attach() when it may not go after all
 *
 * Postgres decides: each of these functions looks by itself whether what it is asked for may be
 * done, by its own clock, and what goes is on record in the transaction in which it goes. So
 * nothing here guards anything, and a client that is wrong loses no row.
 *
 * The lock is the session's: of all sessions of a database one has it, until it is closed or lost.
 * A table that was detached and is not gone is called `leaving`. It stays so when a client dies,
 * and whoever has the lock next finds it by retention_leftovers().
 *
 * Ownership: retention_open() makes it, retention_close() ends it. A plan's texts are the plan's,
 *            a hold's are lent until the callback returns.
 * Threads:   one.
 * Limits:    RETENTION_ROWS_MAX partitions in a plan, and as many holds; RETENTION_NAMES_MAX names.
 *            A statement has RETENTION_ANSWER_SECONDS: a digest reads a whole partition.
 * Errors:    the session's (store/session.h); after ERR_RETRY ask retention_is_lost(). ERR_REJECT
 *            with the database's own sentence where the policy, a hold, a gap, the clock or the
 *            archive says no, or where a term or a hold makes no sense.
 */

#include "base/time.h"
#include "model/id.h"
#include "store/lease.h"

enum {
	RETENTION_KINDS = 3,
	RETENTION_ROWS_MAX = 100000,
	RETENTION_NAMES_MAX = 64,
	RETENTION_NAME_BYTES = 64, /* Postgres' names */
	RETENTION_DIGEST_BYTES = 65,
	RETENTION_CONNECT_SECONDS = 10,
	RETENTION_ANSWER_SECONDS = 3600,
	/* In days: a century, so that a slip of the hand is no policy. */
	RETENTION_TERM_MAX = 36500,
};

struct retention;

/* The writer's: it plans and applies. */
NODISCARD enum err_kind retention_open(struct retention **ret, const char *url, struct err *err);

/* The administrator's, acting as the owner: terms and holds. */
NODISCARD enum err_kind retention_open_admin(struct retention **ret, const char *url,
					     const char *owner_role, struct err *err);
void retention_close(struct retention *r); /* NULL is fine; gives the lock back */

/* Lent, for who reads an archive into a temporary table beside it. */
struct session *retention_session(struct retention *r);

/* After a failure: the connection is of no use any more. It asks the server. */
bool retention_is_lost(struct retention *r);

/* After ERR_REJECT from retention_drop(): it was because of the archive. */
bool retention_archive_differs(const struct retention *r);

/* --- terms --- */

/* "log_lines", "security", "operations"; those of events are their retention classes. */
extern const char *const retention_kinds[RETENTION_KINDS];

struct retention_term {
	const char *kind; /* of retention_kinds */
	int keep_for;     /* days; 0: for ever */
	int keep_at_most; /* days; 0: no limit */
};

NODISCARD enum err_kind retention_read_terms(struct retention *r,
					     struct retention_term ret[RETENTION_KINDS],
					     struct err *err);

/* All of them or none. */
NODISCARD enum err_kind retention_set_terms(struct retention *r, const struct retention_term *terms,
					    size_t count, struct err *err);

/* What they would do: they are set, planned by, and taken back, all in one transaction. */
struct retention_plan;

NODISCARD enum err_kind retention_try_terms(struct retention *r, const struct retention_term *terms,
					    size_t count, struct retention_plan **ret,
					    struct err *err);

/* --- holds --- */

struct retention_hold {
	const char *id;                  /* not read by retention_add_hold() */
	const char *app, *actor, *class; /* "": any */
	const char *since, *until;       /* RFC 3339, or dates; "": open */
	const char *reason;
	const char *by, *added; /* not read by retention_add_hold() */
};

NODISCARD enum err_kind retention_add_hold(struct retention *r, const struct retention_hold *hold,
					   char ret_id[ID_TEXT_BYTES], struct err *err);

/*
 * Whether it names what no event and no snapshot is of, mistyped perhaps. Lines are not asked: they
 * have no index of applications.
 */
struct retention_strangers {
	bool app, actor;
};

NODISCARD enum err_kind retention_hold_strangers(struct retention *r,
						 const struct retention_hold *hold,
						 struct retention_strangers *ret, struct err *err);

NODISCARD enum err_kind retention_release_hold(struct retention *r, const char *id,
					       const char *reason, struct err *err);

/* Open ones, by when they were added. */
NODISCARD enum err_kind
retention_list_holds(struct retention *r, void (*hold)(void *arg, const struct retention_hold *h),
		     void *arg, struct err *err);

/* --- the plan --- */

struct retention_row {
	const char *kind, *partition;
	const char *from, *to; /* dates, UTC; to is the first day that is not in it */
	int64_t from_ns, to_ns;
	uint64_t rows_about, bytes;
	bool goes, is_past_keep_at_most;
	const char *why;
};

NODISCARD enum err_kind retention_plan_read(struct retention *r, struct retention_plan **ret,
					    struct err *err);
void retention_plan_free(struct retention_plan *p); /* NULL is fine */
size_t retention_plan_count(const struct retention_plan *p);
struct retention_row retention_plan_row(const struct retention_plan *p, size_t idx);

/* It is past its term, and something else keeps it: what people should know. */
bool retention_row_waits(const struct retention_row *row);
/* It stays for its term alone: "kept until ...", "kept for ever ...". */
bool retention_row_is_kept(const struct retention_row *row);

/* --- applying it --- */

struct retention_names {
	size_t count;
	char names[RETENTION_NAMES_MAX][RETENTION_NAME_BYTES];
};

struct retention_digest {
	uint64_t rows, bytes;
	uint64_t apart; /* further rows, which came by no spool: commands' facts */
	char digest[RETENTION_DIGEST_BYTES];
};

/* *ret_mine false: another session has it. */
NODISCARD enum err_kind retention_lock(struct retention *r, bool *ret_mine, struct err *err);

/* ERR_CONFIG with the reason: Postgres' clock and the newest record do not agree. */
NODISCARD enum err_kind retention_check_clock(struct retention *r, struct err *err);

/* Tables that an apply left detached, and those that somebody else detached. */
NODISCARD enum err_kind retention_leftovers(struct retention *r, struct retention_names *ret,
					    struct err *err);
NODISCARD enum err_kind retention_strays(struct retention *r, struct retention_names *ret,
					 struct err *err);

/* ERR_RETRY while somebody uses the table; writes the name that it has from then on. */
NODISCARD enum err_kind retention_detach(struct retention *r, const char *partition,
					 char ret_leaving[RETENTION_NAME_BYTES], struct err *err);
NODISCARD enum err_kind retention_attach(struct retention *r, const char *leaving, struct err *err);
NODISCARD enum err_kind retention_digest(struct retention *r, const char *leaving,
					 struct retention_digest *ret, struct err *err);

/* archive: a JSON object that says what the archive has of it; NULL: there is none, or it was not
 * asked. */
NODISCARD enum err_kind retention_drop(struct retention *r, const char *leaving,
				       const char *archive, bool without_archive, struct err *err);

/* Snapshots of Fly's control plane that are older than every term. */
NODISCARD enum err_kind retention_tidy(struct retention *r, struct err *err);

/* --- for the replica that applies it daily --- */

/* As lease_take() has it. */
NODISCARD enum err_kind retention_take_lease(struct retention *r, const char *name,
					     const char *holder, int seconds, bool *ret_mine,
					     struct err *err);

/* Whether the trail has a fact trail.retention_waits of that partition and state. */
NODISCARD enum err_kind retention_wait_is_told(struct retention *r, const char *partition,
					       const char *state, bool *ret, struct err *err);

#endif
