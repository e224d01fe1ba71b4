#ifndef RUN_RETENTION_H
#define RUN_RETENTION_H

/*
 * retention: what the policy says is done: partitions that are past their terms go, one after the
 * other.
 *
 *	lock, what an interrupted one left is attached again, what somebody detached is named,
 *	the clock is looked at, the plan is made; then for each partition that goes:
 *	detach -> digest -> hold against the archive -> drop, on record
 *
 * Nothing waits for it: a detachment has two seconds to get its lock (the function's own
 * lock_timeout), and is tried RETENTION_DETACH_TRIES times. Whatever fails after a detachment, a
 * signal, too, attaches the partition again: by this process, if need be by another connection, or
 * else by the next that applies. Until then its rows are in a table of their own, and in no view.
 *
 * The archive is asked by a callback, because who asks it is another module. One that fails, or
 * that has not all of a partition, keeps that partition, and says why; past keep_at_most the drop
 * happens, and has that on record.
 *
 * While the archive is asked the rows are in no view, and while a lock is waited for so are others.
 * What is in the way of RETENTION_TROUBLES_MAX partitions one after the other is taken to be in
 *that of those behind them, which stay untried: an archive that cannot be reached, and for a kind
 *of rows somebody who holds on to its table.
 *
 * Ownership: options are the caller's. Rows and texts that callbacks get are lent for the call.
 * Threads:   the caller's; only one in a database at a time, by a lock in Postgres.
 * Limits:    RETENTION_KEYS_MAX keys of indexes on record; the waits above.
 * Errors:    ERR_FULL: another is at work, or is_over() said so. ERR_CONFIG: the clock, or an
 *            operator must act. ERR_RETRY: Postgres is away; what was detached then is attached
 *            again where that is possible, and the text says where it is not. What keeps a single
 *            partition is no error: see the result.
 */

#include "base/buf.h"
#include "store/retention.h"

enum {
	RETENTION_DETACH_TRIES = 30,
	RETENTION_ATTACH_TRIES = 30,
	RETENTION_AGAIN_SECONDS = 3,
	RETENTION_TROUBLES_MAX = 3, /* more than one: it may be a single object, or partition */
	RETENTION_KEYS_MAX = 50,
	RETENTION_KEYS_BYTES_MAX = 64 * 1024,
};

/* What the archive is asked about: a table of rows that are going. */
struct retention_part {
	const char *kind, *partition;
	const char *leaving;    /* the table's name now */
	int64_t from_ns, to_ns; /* when its rows happened; to_ns is not in it */
	const struct retention_digest *digest;
};

/* What it has of them. */
struct retention_archive {
	uint64_t rows;
	char digest[RETENTION_DIGEST_BYTES]; /* of their ids, as flytrail.digest_of_ids() makes it
					      */
	uint64_t apart; /* further rows: of those that came by no spool, the ones that it has */
	uint64_t objects;
	bool is_none; /* of that kind nothing is archived: as where there is no archive */
	size_t key_count;
	struct buf keys; /* of indexes, as a JSON array's content; by retention_add_key() */
};

/* Beyond RETENTION_KEYS_MAX it is not kept. */
void retention_add_key(struct retention_archive *a, struct span key);

struct retention_calls {
	/* ret is empty when it is called; db is the connection, for temporary tables. */
	enum err_kind (*check_archive)(void *arg, struct retention *db,
				       const struct retention_part *part,
				       struct retention_archive *ret, struct err *err);
	void *archive_arg;

	void (*dropped)(void *arg, const struct retention_row *row);
	/*
	 * A partition past its term stays. state is a word for why: "hold" and "gap" are the
	 * plan's; "busy", "archive" and "refused" kept one that was to go.
	 */
	void (*stays)(void *arg, const struct retention_row *row, const char *state,
		      const char *why);
	void (*attached)(void *arg, const char *table); /* what an interrupted one had left */
	void (*stray)(void *arg, const char *table);    /* somebody detached it by hand */
	bool (*is_over)(void *arg);                     /* it is to stop, and attach again */
	void (*wait)(void *arg, int64_t ns);            /* or less */
	void *arg;
};

struct retention_options {
	const char *url;              /* the writer's */
	bool without_archive;         /* check_archive is not called, which is on record */
	struct retention_calls calls; /* check_archive NULL: there is no archive */
};

struct retention_result {
	size_t dropped;
	size_t kept;   /* past their terms: by holds and gaps */
	size_t failed; /* were to go, and stay */
	size_t attached, strays;
};

NODISCARD enum err_kind retention_apply(const struct retention_options *options,
					struct retention_result *ret, struct err *err);

/* For it and for tests: {"rows":..,"apart":..,"digest":..,"objects":..,"index":[..]}, and why it
 * failed. */
void retention_write_archive(const struct retention_archive *a, const char *failure,
			     struct buf *out);

/* "hold", "gap" or "refused", by the plan's words. */
const char *retention_state(const char *why);

#endif
