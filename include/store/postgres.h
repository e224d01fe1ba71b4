#ifndef STORE_POSTGRES_H
#define STORE_POSTGRES_H

/*
 * postgres: the store: rows and cursor in one transaction.
 *
 *	store_connect()   -> the position that Postgres has; rewind the spool to it
 *	store_write()     -> lines, events and the new cursor, committed
 *
 * The cursor moves by comparing stream, epoch and the old position, so two
 * writers of one stream cannot both win, and the loser sees by the cursor's mark
 * that it was not itself (include/run/consumer.h). A batch is sorted by primary key and
 * goes by binary COPY; after a duplicate key (23505) it goes through a staging
 * table with ON CONFLICT DO NOTHING, and so do the next STORE_STAGED_BATCHES.
 *
 * Rows that are past keep_at_most of their kind when they come (store/limits.h) are
 * counted instead of stored, whether there is a partition for them or none, and the
 * cursor moves past them. The caller learns of them before the COMMIT, so that it can
 * keep what it has to put on record. Where Postgres alone takes them for past it,
 * they are waited for if its clock is a little ahead, and refused if it is more.
 *
 * A pooler between has to keep sessions (PgBouncer's session mode): the staging
 * tables and the settings of a connection live as long as it does.
 *
 * Ownership: the store owns its connection; libpq is met in store/ alone.
 * Threads:   one thread.
 * Limits:    a batch of STORE_BATCH_ROWS or STORE_BATCH_BYTES_MAX; every wait on
 *            the server ends after STORE_ANSWER_SECONDS.
 * Errors:    ERR_RETRY: the connection is closed and to be made again.
 *            ERR_REJECT: some record of the batch cannot be stored: halve it.
 *            ERR_CONFIG: an operator must act (a credential, a migration, a
 *            copied volume). The table of SQLSTATEs is in store/sqlstate.c.
 */

#include "spool/spool.h"
#include "store/limits.h"

enum {
	STORE_BATCH_ROWS = 20000,
	STORE_BATCH_BYTES_MAX = 12 * 1024 * 1024,
	STORE_STAGED_BATCHES = 32,
	STORE_CONNECT_SECONDS = 10,
	STORE_ANSWER_SECONDS = 60,
};

struct store;

struct store_options {
	const char *url; /* the writer's */
	struct spool_stream stream;
	const char *replica; /* this machine's name, for people */
	struct histogram
		*copies; /* how long a COPY of one table's rows takes; NULL: not measured */
};

NODISCARD enum err_kind store_new(struct store **ret, const struct store_options *options,
				  struct err *err);
void store_free(struct store *s); /* NULL is fine */

/* Connects, checks the schema's version, finds or makes this stream's row. */
NODISCARD enum err_kind store_connect(struct store *s, uint64_t *ret_cursor_seq, struct err *err);

/* Of the record at the cursor that store_connect() gave, as Postgres knows it; 0: not known. */
uint64_t store_cursor_mark(const struct store *s);

/* Postgres's clock minus the one of this machine that never steps, by the newest reading of its
 * limits, late by as long as the answer was on its way; 0: not connected yet. */
int64_t store_clock_ns(const struct store *s);

/* Up to when there is what came live, of what is stored: when its newest line was taken, or, of
 * one that came by HTTP, printed. 0: there is none. */
NODISCARD enum err_kind store_find_newest_live(struct store *s, int64_t *ret_observed_ns,
					       struct err *err);

struct store_result {
	uint64_t lines; /* rows written */
	uint64_t events;
	uint64_t duplicates;                         /* rows that were there already */
	uint64_t line_duplicates;                    /* of these, lines */
	struct limits_expired expired[LIMITS_KINDS]; /* rows that came too late to be stored */
	bool unknown_code; /* refused with a code that store/sqlstate.c does not know */
};

/* Frames [first, first + count) of a batch. */
struct store_job {
	const struct spool_batch *batch;
	size_t first, count;
	uint64_t after_seq; /* where the cursor has to be */
	bool doubted;       /* a code that store/sqlstate.c does not know is ERR_REJECT */
	bool trial;         /* rolled back at the end; the cursor is left alone */
	/* Called once, with arg, while Postgres works: to read the next batch. May be NULL. */
	void (*meanwhile)(void *arg);
	/*
	 * Called with arg where rows are too late to be stored, when all is done but the COMMIT:
	 * what it cannot keep is not passed. May be called again by the next store_write(), of as
	 * much or less, after a COMMIT that failed or was not answered. May be NULL.
	 */
	enum err_kind (*expired)(void *arg, const struct store_result *result, uint64_t last_seq,
				 struct err *err);
	void *arg;
};

/*
 * Writes the frames and moves the cursor from after_seq to the last one's seq.
 * *ret is to be zeros.
 */
NODISCARD enum err_kind store_write(struct store *s, const struct store_job *wanted,
				    struct store_result *ret, struct err *err);

/*
 * For meanwhile: does what store_write() of the whole of next would begin with, so that Postgres
 * need not wait for it. next may not be emptied before it is written or the store connected anew.
 */
void store_plan(struct store *s, const struct spool_batch *next);

/* Whether any row was too late. */
bool store_has_expired(const struct store_result *result);

/* Makes the partitions of the coming days; the housekeeper's, on a connection of its own. */
NODISCARD enum err_kind store_make_partitions(struct store *s, struct err *err);

/* Looks whether the schema is what it was; *ret_facts: what was put on record about it, which is
 * each change once, whoever of the replicas looks first. Also the housekeeper's. */
NODISCARD enum err_kind store_check_schema(struct store *s, uint64_t *ret_facts, struct err *err);

#endif
